//! What may go wrong on a host: a start says what it is and leaves nothing behind, a running gateway goes on.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

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
    gateway.wait_lines("removed 2 temporary files", 1);
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

#[test]
fn a_full_disk_loses_nothing_and_ends_nothing() {
    let home = Home::with_config(&json!({}));
    let state = home.path().join("small");
    std::fs::create_dir(&state).expect("directory");
    // SAFETY: geteuid has no preconditions and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return skipped("a full disk: mounts need root");
    }
    let port = free_port();
    let program = home.program.display().to_string();
    let script = "mount --make-rprivate / && mount -t tmpfs -o size=768k tmpfs \"$CLAWDBOT_STATE_DIR\" && exec \"$0\" gateway --allow-unconfigured --port \"$1\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, &program, &port.to_string()]);
    let from = home.command(&[]);
    command.env_clear();
    for (name, value) in from.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.env("CLAWDBOT_STATE_DIR", &state).env("CLAWDBOT_CONFIG_PATH", home.config_file());
    let started = Started::of(command.stdin(Stdio::null()));
    let (pid, stdout, stderr) = (started.0.id(), &started.1, &started.2);
    let up = stdout.wait(PATIENCE, |line| line.contains("listening on ws://").then_some(()));
    if up.is_none() && stderr.text().contains("unshare") {
        return skipped("a full disk: no mount namespace here");
    }
    assert!(up.is_some(), "{}\n{}", stdout.text(), stderr.text());
    let inside = PathBuf::from(format!("/proc/{pid}/root")).join(state.strip_prefix("/").expect("absolute"));
    let cli = |args: &[&str]| {
        let mut command = home.command(args);
        command.env("CLAWDBOT_GATEWAY_PORT", port.to_string()).env("CLAWDBOT_GATEWAY_TOKEN", crate::support::TOKEN);
        crate::support::home::Ran::of(command)
    };
    let add = |name: &str| cli(&["cron", "add", "--name", name, "--every", "1h", "--system-event", "x", "--json"]);
    assert_eq!(add("before").code, Some(0));
    fill(&inside.join("filler"));
    let refused = add("full");
    assert_eq!(refused.code, Some(1), "what cannot be kept is not accepted: {refused:?}");
    assert_eq!(cli(&["health", "--json"]).json()["ok"], true, "it goes on");
    std::fs::remove_file(inside.join("filler")).expect("remove");
    assert_eq!(add("after").code, Some(0));
    let jobs = cli(&["cron", "list", "--all", "--json"]).json();
    let names: Vec<_> = jobs["jobs"].as_array().expect("jobs").iter().map(|job| job["name"].clone()).collect();
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
