//! The watcher of a mailbox: how `gog` is run, and what a pushed mail does. `gog`, `gcloud` and `tailscale` are small scripts
//! that write down how they were called.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::service::with_tool;
use crate::support::gateway::Gateway;
use crate::support::home::{Home, Ran};
use crate::support::http;
use crate::support::lines::Lines;
use crate::support::provider::{Answer, Provider};
use crate::support::{PATIENCE, eventually, eventually_some};

/// `serve` notes its pid and stays; files in the home make it do otherwise.
pub const GOG: &str = r#"
case "$3" in
start)
    test ! -e "$HOME/start-fails" || { echo "no such topic" >&2; exit 1; } ;;
serve)
    env > "$HOME/gog.env"
    echo "$$" >> "$HOME/gog.pids"
    test ! -e "$HOME/taken" || { echo "listen tcp 127.0.0.1:8788: bind: address already in use" >&2; exit 1; }
    test ! -e "$HOME/stubborn" || trap '' TERM
    test -e "$HOME/stubborn" || trap 'echo told >> "$HOME/gog.told"; exit 0' TERM
    echo "serving with --token pushtok-1 for hooktok-1" >&2
    while :; do sleep 1 & wait $!; done ;;
esac"#;

pub const TAILSCALE: &str = r#"
test ! -e "$HOME/tailscale-down" || { echo "not running" >&2; exit 1; }
test "$1" != status || echo '{"Self": {"DNSName": "box.tail.ts.net."}}'"#;

/// Knows nothing yet and lets everything be made.
pub const GCLOUD: &str = r#"
case "$*" in
"auth list"*) test -e "$HOME/signed-out" || echo me@example.com ;;
*describe*) exit 1 ;;
"projects list"*) echo found-project ;;
esac"#;

/// A PATH without any program.
const NOWHERE: &str = "/nowhere";

pub fn config() -> Value {
    json!({"hooks": {"enabled": true, "token": "hooktok-1", "presets": ["gmail"], "gmail": {
        "account": "me@example.com", "topic": "projects/p/topics/t", "pushToken": "pushtok-1",
    }}})
}

/// A gateway whose PATH has the fake `gog`.
pub fn watched(home: Home, env: &[(&str, &str)]) -> Gateway {
    let path = with_tool(&home, "gog", GOG);
    Gateway::start_in(home, &[], &[&[("PATH", path.as_str())], env].concat())
}

pub fn calls(home: &Home, program: &str) -> Vec<String> {
    let text = std::fs::read_to_string(home.path().join(format!("{program}.log"))).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The pids of all `gog … serve` so far, once there are so many.
pub fn pids(home: &Home, count: usize) -> Vec<i32> {
    eventually_some("gog serves", || {
        let text = std::fs::read_to_string(home.path().join("gog.pids")).ok()?;
        let pids: Vec<i32> = text.lines().map(|line| line.parse().expect("a pid")).collect();
        (pids.len() >= count).then_some(pids)
    })
}

/// Whether it runs; one whose parent is gone may stay as a zombie until somebody collects it.
fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub fn kill(pid: i32, signal: i32) {
    // SAFETY: plain system call on a process that this test's gateway started.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

fn option<'a>(call: &'a str, name: &str) -> &'a str {
    let mut words = call.split(' ');
    words.find(|word| *word == name).and_then(|_| words.next()).unwrap_or_else(|| panic!("no {name} in {call}"))
}

#[test]
fn gog_is_kept_serving_and_what_it_posts_makes_the_agent_run() {
    let provider = Provider::always(Answer::Text(vec!["Nothing urgent."]));
    let home = Home::with_config(&config());
    Gateway::use_provider(&home, &provider);
    let mut gateway = watched(home, &[]);
    gateway.wait_lines("gmail watcher started for me@example.com (renew every 720m)", 1);
    let pid = pids(&gateway.home, 1)[0];
    let calls = calls(&gateway.home, "gog");
    let hook_url = format!("http://127.0.0.1:{}/hooks/gmail", gateway.port);
    assert_eq!(
        calls,
        [
            "gmail watch start --account me@example.com --label INBOX --topic projects/p/topics/t".to_owned(),
            format!(
                "gmail watch serve --account me@example.com --bind 127.0.0.1 --port 8788 --path /gmail-pubsub \
                 --token pushtok-1 --hook-url {hook_url} --hook-token hooktok-1 --include-body --max-bytes 20000"
            ),
        ]
    );
    let env = std::fs::read_to_string(gateway.home.path().join("gog.env")).expect("noted");
    assert!(!env.contains("CLAWDBOT_GATEWAY_TOKEN"), "the gateway's secrets are not gog's: {env}");

    // As gog does with what Google pushed.
    let mail = json!({"source": "gmail", "account": "me@example.com", "messages": [
        {"id": "m1", "from": "Ann <a@b.c>", "subject": "Lunch", "snippet": "At one?", "body": "At one? Ann"},
    ]});
    let (body, token) = (mail.to_string(), option(&calls[1], "--hook-token"));
    let request = format!(
        "POST /hooks/gmail HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let response = http::exchange(gateway.socket(), request.as_bytes()).expect("a response");
    assert_eq!(response.status, 202, "{}", response.body);
    provider.wait_requests(1);
    let asked = provider.requests()[0]["messages"].to_string();
    assert!(asked.contains(r"New email from Ann <a@b.c>\nSubject: Lunch\nAt one?\nAt one? Ann"), "{asked}");
    eventually("the mail has a session", || gateway.home.sessions().get("agent:main:hook:gmail:m1").is_some());

    gateway.wait_errors("[gog] serving with --token *** for ***", 1);
    assert_eq!(gateway.stop().code, Some(0));
    assert!(!is_alive(pid), "gog ends with the gateway");
    let told = std::fs::read_to_string(gateway.home.path().join("gog.told")).expect("told politely");
    assert_eq!(told, "told\n");
    let log = std::fs::read_to_string(gateway.home.log_file()).expect("a log");
    assert!(log.contains("gmail watch serve") && !log.contains("pushtok-1") && !log.contains("hooktok-1"), "{log}");
}

#[test]
fn gog_comes_back_after_a_crash_and_goes_with_a_killed_gateway() {
    let home = Home::with_config(&config());
    // Google does not answer: mails that are on their way still arrive.
    std::fs::write(home.path().join("start-fails"), "").expect("write");
    let gateway = watched(home, &[]);
    gateway.wait_errors("watch start failed: no such topic", 1);
    gateway.wait_errors("gmail watch start failed, but continuing with serve", 1);
    let first = pids(&gateway.home, 1)[0];
    let begun = Instant::now();
    kill(first, libc::SIGKILL);
    gateway.wait_errors("gog exited (code=null, signal=9); restarting in 5s", 1);
    let second = pids(&gateway.home, 2)[1];
    assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
    let home = gateway.kill();
    eventually("gog goes with a gateway that was killed", || !is_alive(second));
    drop(home);
}

#[test]
fn an_address_in_use_is_not_fought_for_and_an_edit_begins_anew() {
    let home = Home::with_config(&config());
    std::fs::write(home.path().join("taken"), "").expect("write");
    let gateway = watched(home, &[]);
    gateway.wait_errors("address already in use); stopping restarts", 1);
    pids(&gateway.home, 1);
    std::fs::remove_file(gateway.home.path().join("taken")).expect("remove");
    let edit = |change: &dyn Fn(&mut Value)| {
        let file = gateway.home.config_file();
        let mut all: Value = serde_json::from_str(&std::fs::read_to_string(&file).expect("read")).expect("JSON");
        change(&mut all);
        std::fs::write(file, all.to_string()).expect("write");
    };
    edit(&|all| all["hooks"]["gmail"]["label"] = "Work".into());
    let second = pids(&gateway.home, 2)[1];
    assert!(calls(&gateway.home, "gog")[2].contains("--label Work"), "{:?}", calls(&gateway.home, "gog"));
    // What does not concern it leaves it alone.
    edit(&|all| all["hooks"]["mappings"] = json!([{"match": {"path": "x"}, "messageTemplate": "x"}]));
    gateway.wait_lines("config change applied (dynamic reads: hooks.mappings)", 1);
    assert!(is_alive(second));
    // A new token is for the next one, which waits for the end of the last.
    edit(&|all| all["hooks"]["token"] = "hooktok-2".into());
    let third = pids(&gateway.home, 3)[2];
    assert!(!is_alive(second), "two never run at a time");
    assert_eq!(option(&calls(&gateway.home, "gog")[5], "--hook-token"), "hooktok-2");
    edit(&|all| drop(all["hooks"].as_object_mut().expect("hooks").remove("gmail")));
    gateway.wait_lines("gmail watcher stopped", 3);
    assert!(!is_alive(third));
    assert_eq!(gateway.count_lines("listening on ws://127.0.0.1"), 1, "nothing restarted");
}

#[test]
fn a_gog_that_does_not_listen_is_killed_in_time() {
    let home = Home::with_config(&config());
    std::fs::write(home.path().join("stubborn"), "").expect("write");
    let mut gateway = watched(home, &[]);
    gateway.wait_errors("[gog] serving", 1);
    let pid = pids(&gateway.home, 1)[0];
    let begun = Instant::now();
    let ended = gateway.stop();
    assert_eq!(ended.code, Some(0));
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(3), "{took:?}");
    // On a busy machine the stop may be over its time, which kills it as well.
    eventually("gog is killed", || !is_alive(pid));
}

#[test]
fn what_keeps_it_from_starting_is_said() {
    let gateway = Gateway::start_in(Home::with_config(&config()), &[], &[("PATH", NOWHERE)]);
    gateway.wait_errors("gmail watcher not started: gog binary not found (gog is not installed", 1);
    drop(gateway);

    let mut without = config();
    without["hooks"]["gmail"].as_object_mut().expect("gmail").remove("pushToken");
    without["hooks"]["gmail"]["model"] = "test/unknown".into();
    without["agents"] = json!({"defaults": {"models": {"test/m": {}}}});
    let gateway = watched(Home::with_config(&without), &[]);
    gateway.wait_errors("gmail watcher not started: gmail push token required", 1);
    gateway.wait_errors("hooks.gmail.model \"test/unknown\" not in agents.defaults.models allowlist", 1);
    gateway.wait_errors("hooks.gmail.model \"test/unknown\" not in the model catalog", 1);
    let doctor = gateway.cli(&["doctor", "--non-interactive"]);
    assert!(doctor.stdout.contains("Hooks\n  - hooks.gmail.model \"test/unknown\" not in agents."), "{doctor:?}");
    drop(gateway);

    let gateway = watched(Home::with_config(&config()), &[("CLAWDBOT_SKIP_GMAIL_WATCHER", "1")]);
    gateway.wait_lines("gmail watcher not started (CLAWDBOT_SKIP_GMAIL_WATCHER)", 1);
    assert_eq!(calls(&gateway.home, "gog"), [""; 0]);
}

#[test]
fn a_mail_is_read_also_where_its_model_may_not_be_used() {
    let provider = Provider::always(Answer::Text(vec!["Read."]));
    let mut all = config();
    all["hooks"]["gmail"] = json!({"model": "test/other", "thinking": "low"});
    all["agents"] = json!({"defaults": {"models": {"test/m": {}}}});
    let gateway = Gateway::with_provider(&provider, all);
    let body = json!({"messages": [{"id": "m1", "from": "a@b.c"}]}).to_string();
    let request = format!(
        "POST /hooks/gmail HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer hooktok-1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(http::exchange(gateway.socket(), request.as_bytes()).expect("a response").status, 202);
    provider.wait_requests(1);
    assert_eq!(provider.requests()[0]["model"], "m");
}

#[test]
fn tailscale_publishes_the_port_first() {
    let mut all = config();
    all["hooks"]["gmail"]["tailscale"] = json!({"mode": "funnel"});
    let home = Home::with_config(&all);
    with_tool(&home, "tailscale", TAILSCALE);
    let gateway = watched(home, &[]);
    gateway.wait_lines("tailscale funnel configured for port 8788 (https://box.tail.ts.net/gmail-pubsub)", 1);
    pids(&gateway.home, 1);
    assert_eq!(calls(&gateway.home, "tailscale"), ["status --json", "funnel --bg --set-path /gmail-pubsub --yes 8788"]);
    assert_eq!(option(&calls(&gateway.home, "gog")[1], "--path"), "/");
    drop(gateway);

    let home = Home::with_config(&all);
    with_tool(&home, "tailscale", TAILSCALE);
    std::fs::write(home.path().join("tailscale-down"), "").expect("write");
    let gateway = watched(home, &[]);
    gateway.wait_errors("gmail watcher not started: tailscale setup failed: tailscale status failed: not running", 1);
    assert_eq!(calls(&gateway.home, "gog"), [""; 0]);
    // As after the start of a machine: it comes up later.
    std::fs::remove_file(gateway.home.path().join("tailscale-down")).expect("remove");
    gateway.wait_lines("gmail watcher started", 1);
}

/// `webhooks gmail run`, killed when dropped.
struct Foreground {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Foreground {
    fn start(home: &Home, path: &str, args: &[&str]) -> Self {
        let mut command = home.command(&[&["webhooks", "gmail", "run"], args].concat());
        command.env("PATH", path).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stdout = Lines::collect(child.stdout.take().expect("piped"));
        let stderr = Lines::collect(child.stderr.take().expect("piped"));
        Self { child, stdout, stderr }
    }

    fn end(&mut self) -> Option<i32> {
        // Both: each is read by a thread of its own.
        let has_ended = self.stdout.wait_end(PATIENCE) && self.stderr.wait_end(PATIENCE);
        assert!(has_ended, "still running:\n{}", self.stderr.text());
        self.child.wait().expect("a child can be waited for").code()
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_runs_in_the_foreground_too() {
    let home = Home::with_config(&config());
    let path = with_tool(&home, "gog", GOG);
    let mut run = Foreground::start(&home, &path, &["--port", "8799", "--label", "Work"]);
    let pid = pids(&home, 1)[0];
    let started =
        run.stdout.wait(PATIENCE, |line| line.starts_with("starting gog gmail watch serve").then(|| line.to_owned()));
    assert!(started.is_some_and(|line| line.contains("--port 8799") && line.contains("--token ***")));
    assert!(calls(&home, "gog")[0].contains("--label Work"));
    kill(i32::try_from(run.child.id()).expect("a pid"), libc::SIGINT);
    assert_eq!(run.end(), Some(0));
    assert!(!is_alive(pid));

    std::fs::write(home.path().join("taken"), "").expect("write");
    let mut run = Foreground::start(&home, &path, &[]);
    assert_eq!(run.end(), Some(1));
    assert!(run.stderr.text().contains("another watcher listens there already"), "{}", run.stderr.text());

    let fail = |path: &str, args: &[&str]| {
        let mut command = home.command(&[&["webhooks", "gmail"], args].concat());
        let ran = Ran::of({
            command.env("PATH", path);
            command
        });
        assert_eq!(ran.code, Some(1), "{ran:?}");
        ran.stderr
    };
    assert!(fail(NOWHERE, &["run"]).starts_with("Error: gog is not installed, or not on the PATH: install"));
    assert_eq!(fail(&path, &["run", "--port", "0"]), "Error: Invalid --port \"0\" (use a number from 1 to 65535)");
    assert!(fail(&path, &["run", "--tailscale", "on"]).contains("(use funnel, serve or off)"));
    let help = home.run(&["webhooks", "gmail", "setup", "--help"]).stdout;
    assert!(help.contains("clawdbot webhooks gmail setup --account you@example.com"), "{help}");
}

/// Runs `webhooks gmail setup` with all three programs.
pub fn set_up(home: &Home, args: &[&str]) -> Ran {
    with_tool(home, "gog", GOG);
    with_tool(home, "tailscale", TAILSCALE);
    let path = with_tool(home, "gcloud", GCLOUD);
    let mut command = home.command(&[&["webhooks", "gmail", "setup"], args].concat());
    command.env("PATH", path);
    Ran::of(command)
}

pub fn written(home: &Home) -> Value {
    serde_json::from_str(&std::fs::read_to_string(home.config_file()).expect("a file")).expect("JSON")
}

#[test]
fn setup_makes_what_google_needs_and_writes_it_down() {
    let home = Home::with_config(&json!({"hooks": {"presets": ["other"], "path": "/wh"}}));
    let credentials = home.path().join(".config/gogcli");
    std::fs::create_dir_all(&credentials).expect("directory");
    std::fs::write(credentials.join("credentials.json"), r#"{"installed": {"client_id": "42-abc.apps"}}"#)
        .expect("write");
    let made = set_up(&home, &["--account", "me@example.com", "--json"]).json();
    let (push, hook) = (made["pushToken"].as_str().expect("made"), made["hookToken"].as_str().expect("made"));
    assert_eq!((push.len(), hook.len()), (48, 48));
    let endpoint = format!("https://box.tail.ts.net/gmail-pubsub?token={push}");
    let hook_url = "http://127.0.0.1:18789/wh/gmail";
    assert_eq!(
        made,
        json!({
            "projectId": "found-project", "topic": "projects/found-project/topics/gog-gmail-watch",
            "subscription": "gog-gmail-watch-push", "pushEndpoint": endpoint, "hookUrl": hook_url,
            "hookToken": hook, "pushToken": push, "serve": {"bind": "127.0.0.1", "port": 8788, "path": "/"},
        })
    );
    assert_eq!(
        calls(&home, "gcloud"),
        [
            "auth list --filter status:ACTIVE --format value(account)",
            "projects list --filter projectNumber=42 --format value(projectId)",
            "config set project found-project --quiet",
            "services enable gmail.googleapis.com pubsub.googleapis.com --project found-project --quiet",
            "pubsub topics describe gog-gmail-watch --project found-project",
            "pubsub topics create gog-gmail-watch --project found-project",
            "pubsub topics add-iam-policy-binding gog-gmail-watch --project found-project \
             --member serviceAccount:gmail-api-push@system.gserviceaccount.com --role roles/pubsub.publisher --quiet",
            "pubsub subscriptions describe gog-gmail-watch-push --project found-project",
            &format!(
                "pubsub subscriptions create gog-gmail-watch-push --project found-project --topic gog-gmail-watch \
                 --push-endpoint {endpoint}"
            ),
        ]
    );
    let config = written(&home)["hooks"].clone();
    assert_eq!(config["presets"], json!(["other", "gmail"]));
    assert_eq!(
        (&config["enabled"], &config["token"], &config["gmail"]["pushToken"]),
        (&json!(true), &json!(hook), &json!(push))
    );
    assert_eq!(config["gmail"]["tailscale"], json!({"mode": "funnel", "path": "/gmail-pubsub"}));

    // Once more, for people: what was made stays, and no secret is shown.
    let again = set_up(&home, &["--account", "me@example.com", "--label", "Work"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.contains("- push endpoint: https://box.tail.ts.net/gmail-pubsub?token=***"), "{again:?}");
    assert!(!again.stdout.contains(push) && !again.stderr.contains(push), "{again:?}");
    let mut expected = config;
    expected["gmail"]["label"] = "Work".into();
    assert_eq!(written(&home)["hooks"], expected);
    // And a gateway watches from then on.
    let gateway = watched(home, &[]);
    gateway.wait_lines("gmail watcher started for me@example.com", 1);
}

#[test]
fn setup_says_what_is_missing_before_it_changes_anything() {
    let home = Home::with_config(&json!({}));
    let before = written(&home);
    let fail = |args: &[&str]| {
        let ran = set_up(&home, args);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        ran.stderr
    };
    assert_eq!(fail(&[]), "Error: --account is required");
    assert!(
        fail(&["--account", "me@x", "--tailscale", "off"])
            .starts_with("Error: push endpoint required (set --push-endpoint")
    );
    assert!(fail(&["--account", "me@x"]).contains("GCP project id required: pass --project"));
    std::fs::write(home.path().join("signed-out"), "").expect("write");
    assert!(fail(&["--account", "me@x"]).contains("gcloud is not signed in: run `gcloud auth login`"));
    std::fs::remove_file(home.path().join("signed-out")).expect("remove");
    std::fs::write(home.path().join("start-fails"), "").expect("write");
    let error = fail(&["--account", "me@x", "--project", "p", "--push-endpoint", "https://mine/x"]);
    assert!(error.ends_with("Error: gog gmail watch start failed: no such topic"), "{error}");
    for (program, hint) in [("gog", "install gogcli"), ("gcloud", "install the Google Cloud CLI")] {
        let home = Home::with_config(&json!({}));
        with_tool(&home, if program == "gog" { "gcloud" } else { "gog" }, "");
        // This alone: a machine may have them.
        let path = home.path().join("fake-bin");
        let mut command =
            home.command(&["webhooks", "gmail", "setup", "--account", "me@x", "--push-endpoint", "https://x"]);
        command.env("PATH", path);
        let ran = Ran::of(command);
        assert!(ran.code == Some(1) && ran.stderr.contains(hint), "{ran:?}");
    }
    assert_eq!(written(&home), before);
}
