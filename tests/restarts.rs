//! Restarts within the process: the same process and port, nothing leaked, nobody's session lost, and within their time.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::lines::Lines;
use crate::support::provider::{Answer, Gate, Provider};
use crate::support::{PATIENCE, TOKEN, eventually};

/// How many in a row; `CLAWDBOT_SOAK=1` takes a thousand.
fn count() -> usize {
    if std::env::var("CLAWDBOT_SOAK").as_deref() == Ok("1") { 1000 } else { 12 }
}

/// Open files, threads, memory in KiB; without pages of the program's file, which come and go.
fn taken(gateway: &Gateway) -> (usize, usize, u64) {
    let entries =
        |name: &str| std::fs::read_dir(format!("/proc/{}/{name}", gateway.pid())).map_or(0, |entries| entries.count());
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap_or_default();
    let resident = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default();
    (entries("fd"), entries("task"), resident)
}

/// The same once the last thread of the start is there, and its workers, which stay for five idle seconds, have ended.
fn settled(gateway: &Gateway) -> (usize, usize, u64) {
    let tasks = format!("/proc/{}/task", gateway.pid());
    eventually("the start is over", || {
        let names = std::fs::read_dir(&tasks).into_iter().flatten().flatten();
        let names = names.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        let names: Vec<String> = names.collect();
        names.iter().any(|name| name.trim() == "config-watch") && !names.iter().any(|name| name.starts_with("job-"))
    });
    taken(gateway)
}

#[test]
fn many_restarts_leak_nothing_and_keep_process_port_and_sessions() {
    let mut gateway = Gateway::start(json!({ "commands": { "restart": true } }));
    let pid = gateway.pid();
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("its environment");
        let is_lean = String::from_utf8_lossy(&environment).contains("\0GLIBC_TUNABLES=glibc.malloc.");
        assert!(is_lean, "it has begun again, so that memory goes back");
    }
    let mut client = gateway.client();
    let sent = json!({ "sessionKey": "main", "message": "kept", "idempotencyKey": "k" });
    client.request("chat.send", sent).expect("accepted");
    client.chat_end("k");
    drop(client);
    let mut at_first = (0, 0, 0);
    let mut times = Vec::new();
    for number in 1..=count() {
        let began = Instant::now();
        gateway.signal(libc::SIGUSR1);
        gateway.wait_lines("listening on ws://127.0.0.1", number + 1);
        times.push(began.elapsed());
        if number == 5 {
            at_first = settled(&gateway);
        }
    }
    times.sort();
    let at_last = settled(&gateway);
    println!(
        "{} restarts: median {:?}, slowest {:?}; files, threads, KiB after five {at_first:?}, at last {at_last:?}",
        times.len(),
        times[times.len() / 2],
        times[times.len() - 1]
    );
    assert!(at_last.0 <= at_first.0 + 4 && at_last.1 <= at_first.1 + 4, "{at_first:?} became {at_last:?}");
    assert!(at_last.2 <= at_first.2 + 8 * 1024, "{at_first:?} became {at_last:?}");
    // The quickest: a busy machine slows some of them, whoever waits for what does not come slows all.
    assert!(times[0] < Duration::from_secs(1), "{times:?}");
    let mut client = gateway.client();
    let history = client.request("chat.history", json!({ "sessionKey": "main" })).expect("accepted");
    assert!(history.to_string().contains("kept"), "{history}");
    assert_eq!(gateway.pid(), pid);
    let ended = gateway.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn a_restart_by_hand_needs_permission() {
    let mut gateway = Gateway::start(json!({}));
    gateway.signal(libc::SIGUSR1);
    gateway.wait_errors("SIGUSR1 restart ignored (not authorized; enable commands.restart or use gateway tool).", 1);
    assert_eq!(gateway.count_lines("listening on ws://127.0.0.1"), 1);
    gateway.stop();
}

#[test]
fn a_run_that_does_not_end_holds_a_restart_up_for_fifteen_seconds_at_most() {
    let provider = Provider::always(Answer::Hang(Gate::default()));
    let mut gateway = Gateway::with_provider(&provider, json!({ "commands": { "restart": true } }));
    let mut client = gateway.client();
    let answer = client
        .request("chat.send", json!({ "sessionKey": "main", "message": "hi", "idempotencyKey": "r" }))
        .expect("accepted");
    assert_eq!(answer["status"], "started", "{answer}");
    provider.wait_requests(1);
    let began = Instant::now();
    gateway.signal(libc::SIGUSR1);
    gateway.wait_lines("the restart waits for 1 run under way, 15s at most", 1);
    gateway.wait_lines("runs that have not ended go on after the restart", 1);
    gateway.wait_lines("listening on ws://127.0.0.1", 2);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(14) && took < Duration::from_secs(25), "{took:?}");
    let _: Value = answer;
    gateway.stop();
}

#[test]
fn who_follows_the_log_goes_on_after_the_gateway_came_back() {
    let gateway = Gateway::start(json!({}));
    let mut command = gateway.home.command(&["logs", "--follow", "--interval", "100", "--plain"]);
    command.env("CLAWDBOT_GATEWAY_PORT", gateway.port.to_string()).env("CLAWDBOT_GATEWAY_TOKEN", TOKEN);
    let mut follower = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let stdout = Lines::collect(follower.stdout.take().expect("piped"));
    let stderr = Lines::collect(follower.stderr.take().expect("piped"));
    assert!(stdout.wait_count(PATIENCE, "listening on ws://127.0.0.1", 1), "{}", stdout.text());
    let port = gateway.port;
    let home = gateway.kill();
    assert!(stderr.wait_count(PATIENCE, "Gateway connection lost", 1), "{}", stderr.text());
    let again = Gateway::start_on(port, home);
    assert!(stderr.wait_count(PATIENCE, "Gateway connection is back.", 1), "{}", stderr.text());
    assert!(stdout.wait_count(PATIENCE, "listening on ws://127.0.0.1", 2), "{}", stdout.text());
    let _ = follower.kill();
    let _ = follower.wait();
    drop(again);
}
