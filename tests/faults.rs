//! What may go wrong on a host: a start says what it is and leaves nothing behind, a running gateway goes on.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::clock::Clock;
use crate::support::gateway::{Gateway, free_port};
use crate::support::home::Home;
use crate::support::lines::Lines;
use crate::support::{PATIENCE, eventually_some, skipped};

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    let home = Home::empty();
    std::fs::create_dir_all(home.config_file()).expect("a directory where the file should be");
    let ended = Gateway::run_to_end(&home, free_port(), &[]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("Config invalid\nFile: ~/.clawdbot/clawdbot.json\nProblem:\n  - <root>: read failed"),
        "{ended:?}"
    );
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let home = Home::with_config(&json!({}));
    std::fs::write(home.state_dir().join("devices"), "a file where a directory should be").expect("write");
    let ended = Gateway::run_to_end(&home, free_port(), &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.starts_with("Gateway failed to start: ") && ended.stderr.contains("devices"), "{ended:?}");
    std::fs::remove_file(home.state_dir().join("devices")).expect("remove");
    Gateway::start_in(home, &[], &[]).stop();
}

#[test]
fn torn_files_of_a_power_cut_are_put_aside_and_killed_writes_are_swept() {
    let home = Home::with_config(&json!({}));
    let state = home.state_dir();
    let torn = [
        "cron/jobs.json",
        "devices/paired.json",
        "nodes/paired.json",
        "settings/voicewake.json",
        "subagents/runs.json",
    ];
    for file in torn {
        std::fs::create_dir_all(state.join(file).parent().expect("a parent")).expect("directory");
        std::fs::write(state.join(file), "{\"version\":1,\"jobs\":[{\"id\":\"a").expect("write");
    }
    std::fs::create_dir_all(state.join("agents/main/sessions")).expect("directory");
    std::fs::create_dir_all(state.join("journal")).expect("directory");
    std::fs::write(state.join("agents/main/sessions/sessions.json"), "{\"agent:main:main\":{\"sess").expect("write");
    std::fs::write(state.join("journal/runs.jsonl"), "{\"torn").expect("write");
    // A process id that no process has: the largest that Linux gives out is 4194304.
    let left =
        [state.join("cron/jobs.json.4194999.0.tmp"), state.join("agents/main/sessions/sessions.json.4194999.7.tmp")];
    let own = state.join(format!("cron/jobs.json.{}.0.tmp", std::process::id()));
    for file in left.iter().chain([&own]) {
        std::fs::write(file, "half").expect("write");
    }
    let mut gateway = Gateway::start_in(home, &[], &[]);
    assert_eq!(gateway.cli(&["health", "--json"]).json()["ok"], true);
    gateway.wait_lines("removed 2 files of work", 1);
    assert!(left.iter().all(|file| !file.exists()) && own.exists(), "only those of dead processes");
    gateway.stop();
}

#[test]
fn of_two_starts_at_once_one_runs() {
    let home = Home::with_config(&json!({}));
    let port = free_port();
    let mut both = [spawn(&home, port), spawn(&home, port)];
    let loser =
        eventually_some("one of them ends", || both.iter_mut().position(|it| matches!(it.0.try_wait(), Ok(Some(_)))));
    assert_eq!(both[loser].0.wait().expect("ended").code(), Some(1));
    assert!(both[loser].2.wait_end(PATIENCE));
    let text = both[loser].2.text();
    assert!(text.contains("already running") || text.contains("already listening"), "{text}");
    let winner = &both[1 - loser];
    assert!(winner.1.wait(PATIENCE, |line| line.contains("listening on ws://").then_some(())).is_some());
}

#[test]
fn a_signal_during_the_start_ends_it_and_the_next_one_works() {
    let home = Home::with_config(&json!({}));
    for delay_ms in [0, 2, 5, 10, 20, 40, 80] {
        let mut started = spawn(&home, free_port());
        // Not a wait for something: moments all over a start are tried.
        std::thread::sleep(Duration::from_millis(delay_ms));
        let pid = i32::try_from(started.0.id()).expect("a pid");
        // SAFETY: plain system call on a child that has not been waited for.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        assert!(started.1.wait_end(PATIENCE), "still running after a signal at {delay_ms} ms");
        let status = started.0.wait().expect("ended");
        // Before the handlers are there the signal itself ends the process.
        let is_clean =
            status.code() == Some(0) || std::os::unix::process::ExitStatusExt::signal(&status) == Some(libc::SIGTERM);
        assert!(is_clean, "{delay_ms} ms: {status:?}\n{}", started.2.text());
    }
    Gateway::start_in(home, &[], &[]).stop();
}

/// A gateway whose state directory is a disk of its own, in a namespace of mounts.
struct OnDisk {
    home: Home,
    state: PathBuf,
    port: u16,
    started: Started,
}

impl OnDisk {
    /// Starts one on a disk with these options of `mount`; says which fault is not tried where that cannot be had.
    fn start(options: &str, fault: &str) -> Option<Self> {
        // SAFETY: geteuid has no preconditions and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            skipped(&format!("{fault}: mounts need root"));
            return None;
        }
        let home = Home::with_config(&json!({}));
        let state = home.path().join("disk");
        std::fs::create_dir(&state).expect("directory");
        let port = free_port();
        let script = format!(
            "mount --make-rprivate / && mount -t tmpfs -o {options} tmpfs \"$CLAWDBOT_STATE_DIR\" && exec \"$0\" gateway --allow-unconfigured --port \"$1\""
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script, &home.program.display().to_string(), &port.to_string()]).env_clear();
        command.envs(home.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("CLAWDBOT_STATE_DIR", &state).env("CLAWDBOT_CONFIG_PATH", home.config_file());
        let started = Started::of(command.stdin(Stdio::null()));
        let (stdout, stderr) = (&started.1, &started.2);
        let up = stdout.wait(PATIENCE, |line| line.contains("listening on ws://").then_some(()));
        if up.is_none() && stderr.text().contains("unshare") {
            skipped(&format!("{fault}: no mount namespace here"));
            return None;
        }
        assert!(up.is_some(), "{}\n{}", stdout.text(), stderr.text());
        Some(Self { home, state, port, started })
    }

    fn cli(&self, args: &[&str]) -> crate::support::home::Ran {
        let mut command = self.home.command(args);
        command.env("CLAWDBOT_GATEWAY_PORT", self.port.to_string());
        command.env("CLAWDBOT_GATEWAY_TOKEN", crate::support::TOKEN);
        crate::support::home::Ran::of(command)
    }

    fn add(&self, name: &str) -> crate::support::home::Ran {
        self.cli(&["cron", "add", "--name", name, "--every", "1h", "--system-event", "x", "--json"])
    }

    fn names(&self) -> Vec<serde_json::Value> {
        let jobs = self.cli(&["cron", "list", "--all", "--json"]).json();
        jobs["jobs"].as_array().expect("jobs").iter().map(|job| job["name"].clone()).collect()
    }
}

#[test]
fn a_full_disk_loses_nothing_and_ends_nothing() {
    let Some(gateway) = OnDisk::start("size=768k", "a full disk") else { return };
    let root = format!("/proc/{}/root", gateway.started.0.id());
    let inside = PathBuf::from(root).join(gateway.state.strip_prefix("/").expect("absolute"));
    assert_eq!(gateway.add("before").code, Some(0));
    fill(&inside.join("filler"));
    let refused = gateway.add("full");
    assert_eq!(refused.code, Some(1), "what cannot be kept is not accepted: {refused:?}");
    assert_eq!(gateway.cli(&["health", "--json"]).json()["ok"], true, "it goes on");
    std::fs::remove_file(inside.join("filler")).expect("remove");
    assert_eq!(gateway.add("after").code, Some(0));
    let names = gateway.names();
    assert_eq!(names.len(), 2, "{names:?}");
}

/// Takes all the room there is.
fn fill(file: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(file).expect("a file");
    for size in [64 * 1024, 4096, 64, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
}

/// A gateway that nobody waits for.
struct Started(Child, Lines, Lines);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Started {
    fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let stdout = Lines::collect(child.stdout.take().expect("piped"));
        let stderr = Lines::collect(child.stderr.take().expect("piped"));
        Self(child, stdout, stderr)
    }
}

fn spawn(home: &Home, port: u16) -> Started {
    Started::of(&mut home.command(&["gateway", "--allow-unconfigured", "--port", &port.to_string()]))
}

/// Root reads and writes whatever it likes, so the program runs as nobody; else this user's own rights are enough.
fn as_a_user(home: &Home) -> Option<Vec<String>> {
    // SAFETY: geteuid has no preconditions and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Some(Vec::new());
    }
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"].map(str::to_owned);
    let owner = std::process::Command::new("chown").args(["-R", "65534:65534"]).arg(home.path()).status();
    let reaches =
        std::process::Command::new(&nobody[0]).args(&nobody[1..]).arg(&home.program).arg("--version").output();
    let is_able = owner.is_ok_and(|status| status.success()) && reaches.is_ok_and(|output| output.status.success());
    is_able.then(|| nobody.into())
}

/// Runs a command of the home as that user.
fn run_as(user: &[String], home: &Home, args: &[&str]) -> crate::support::home::Ran {
    let plain = home.command(args);
    let Some((program, words)) = user.split_first() else { return crate::support::home::Ran::of(plain) };
    let mut command = Command::new(program);
    command.args(words).arg(&home.program).args(args).env_clear().current_dir(home.path()).stdin(Stdio::null());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    crate::support::home::Ran::of(command)
}

fn allow(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("mode");
}

#[test]
fn a_configuration_and_a_home_without_rights_are_named_and_lose_nothing() {
    let mut home = Home::with_config(&json!({}));
    // Of a copy, because nobody may not reach where it was built.
    let program = home.path().join("program");
    std::fs::copy(&home.program, &program).expect("copy");
    home.program = program;
    let Some(user) = as_a_user(&home) else { return skipped("missing rights: nobody cannot be run as here") };
    let port = free_port().to_string();
    let gateway = ["gateway", "--port", &port];
    let before = std::fs::read_to_string(home.config_file()).expect("readable");

    allow(&home.config_file(), 0);
    let ended = run_as(&user, &home, &gateway);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("~/.clawdbot/clawdbot.json") && ended.stderr.contains("Permission denied"),
        "{ended:?}"
    );
    let changed = run_as(&user, &home, &["config", "set", "gateway.port", "7"]);
    assert_eq!(changed.code, Some(1), "what cannot be read is not written over: {changed:?}");
    allow(&home.config_file(), 0o600);
    assert_eq!(std::fs::read_to_string(home.config_file()).expect("readable"), before);

    allow(&home.state_dir(), 0o500);
    let ended = run_as(&user, &home, &gateway);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let said = "Gateway failed to start: the state directory ~/.clawdbot cannot be written: Permission denied";
    assert!(ended.stderr.starts_with(said), "{ended:?}");
    let changed = run_as(&user, &home, &["config", "set", "gateway.port", "7"]);
    assert!(
        changed.code == Some(1) && changed.stderr.contains("~/.clawdbot/clawdbot.json cannot be changed"),
        "{changed:?}"
    );
    let doctor = run_as(&user, &home, &["doctor", "--non-interactive"]);
    assert!(doctor.stdout.contains("State directory not writable (~/.clawdbot)."), "{doctor:?}");
    allow(&home.state_dir(), 0o700);
    Gateway::start_in(home, &[], &[]).stop();
}

#[test]
fn a_disk_that_becomes_read_only_stops_nothing_and_refuses_the_next_start() {
    let Some(mut gateway) = OnDisk::start("rw", "a read-only disk") else { return };
    let (pid, state) = (gateway.started.0.id().to_string(), gateway.state.clone());
    let mount = |options: &str| {
        let mut command = Command::new("nsenter");
        command.args(["-t", &pid, "-m", "mount", "-o", options]).arg(&state);
        assert_eq!(crate::support::home::Ran::of(command).code, Some(0));
    };
    assert_eq!(gateway.add("before").code, Some(0));
    mount("remount,ro");
    let refused = gateway.add("meanwhile");
    assert!(refused.code == Some(1) && refused.stderr.contains("Read-only file system"), "{refused:?}");
    assert_eq!(gateway.cli(&["health", "--json"]).json()["ok"], true, "it goes on");
    mount("remount,rw");
    assert_eq!(gateway.add("after").code, Some(0));
    assert_eq!(gateway.names(), ["before", "after"]);
    mount("remount,ro");
    // SAFETY: plain system call on a child that has not been waited for.
    unsafe { libc::kill(gateway.started.0.id() as i32, libc::SIGTERM) };
    assert!(gateway.started.1.wait_end(PATIENCE), "a disk that cannot be written holds no stop up");
    assert_eq!(gateway.started.0.wait().expect("ended").code(), Some(0), "{}", gateway.started.2.text());
}

#[test]
fn a_clock_that_jumps_stops_nothing() {
    let home = Home::with_config(&json!({}));
    let Some(clock) = Clock::of(&home) else { return skipped("a clock that jumps: no C compiler here") };
    let env = clock.env();
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    let gateway = Gateway::start_in(home, &[], &env);
    let cli = |args: &[&str]| {
        let mut command = gateway.home.command(args);
        command
            .env("CLAWDBOT_GATEWAY_PORT", gateway.port.to_string())
            .env("CLAWDBOT_GATEWAY_TOKEN", crate::support::TOKEN);
        crate::support::home::Ran::of({
            command.envs(env);
            command
        })
    };
    let hourly = cli(&["cron", "add", "--name", "hourly", "--every", "1h", "--system-event", "beep", "--json"]).json();
    let mut client = gateway.client();
    let mut turn = |number: usize| {
        let id = format!("turn-{number}");
        let sent = json!({ "sessionKey": "main", "message": id, "idempotencyKey": id });
        client.request("chat.send", sent).expect("accepted");
        client.chat_end(&id);
    };
    turn(0);
    for (number, hours) in [(1, 30), (2, -30), (3, 24 * 400), (4, 0)] {
        clock.set(hours * 3600);
        assert_eq!(cli(&["health", "--json"]).json()["ok"], true, "{hours} h");
        turn(number);
        // Whoever changes a job has the clock looked at; without that it takes a minute at most.
        let name = format!("other-{number}");
        let added = cli(&["cron", "add", "--name", &name, "--every", "1h", "--system-event", "x", "--json"]);
        assert_eq!(added.code, Some(0), "{hours} h: {added:?}");
    }
    let id = hourly["id"].as_str().expect("an id");
    let last = eventually_some("the job has run after the jump forward", || {
        let jobs = cli(&["cron", "list", "--all", "--json"]).json();
        let job = jobs["jobs"].as_array().expect("jobs").iter().find(|job| job["id"] == id).cloned()?;
        job["state"]["lastRunAtMs"].is_u64().then_some(job)
    });
    assert_eq!((&last["enabled"], &last["state"]["lastStatus"]), (&json!(true), &json!("ok")), "{last}");
    // A session that was idle for days begins anew, so there are several transcripts.
    let kept = gateway.home.transcripts().into_iter().map(|file| std::fs::read_to_string(file).expect("a transcript"));
    let kept: String = kept.collect();
    assert!((0..=4).all(|number| kept.contains(&format!("turn-{number}"))), "{kept}");
    let mut again = Gateway::start_in(gateway.kill(), &[], &env);
    assert_eq!(again.cli(&["health", "--json"]).json()["ok"], true);
    assert_eq!(again.stop().code, Some(0));
}
