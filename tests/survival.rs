//! What was accepted outlives the gateway: runs after kills and restarts, session indexes, deliveries.

use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Gate, Provider};
use crate::support::{PATIENCE, eventually};

const MAIN: &str = "agent:main:main";

fn send(client: &mut Client, session: &str, run: &str, message: &str) -> Value {
    client
        .request("chat.send", json!({ "sessionKey": session, "message": message, "idempotencyKey": run }))
        .expect("ok")
}

fn history(client: &mut Client, session: &str) -> Vec<Value> {
    let history = client.request("chat.history", json!({ "sessionKey": session })).expect("history");
    history["messages"].as_array().expect("messages").clone()
}

fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        content => content.as_array().into_iter().flatten().filter_map(|it| it["text"].as_str()).collect(),
    }
}

/// Roles and texts, for comparing at a glance.
fn shown(messages: &[Value]) -> Vec<String> {
    messages.iter().map(|it| format!("{}: {}", it["role"].as_str().unwrap_or_default(), text_of(it))).collect()
}

/// How a run ended that may have done so before anybody listened.
fn wait_end(client: &mut Client, run: &str) -> Value {
    client.request("agent.wait", json!({ "runId": run, "timeoutMs": 20_000 })).expect("an end")
}

fn start(home: Home) -> Gateway {
    Gateway::start_in(home, &[], &[])
}

/// Waits until a file has so many lines; a command wrote them, which tells nobody.
fn wait_lines(path: &Path, count: usize) {
    let until = Instant::now() + PATIENCE;
    while std::fs::read_to_string(path).unwrap_or_default().lines().count() < count {
        assert!(Instant::now() < until, "{} has no {count} lines", path.display());
        std::thread::yield_now();
    }
}

#[test]
fn a_run_goes_on_after_a_kill_and_its_message_is_there_once() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |index, _| match index {
        0 => Answer::Held("Half", held.clone(), "never"),
        _ => Answer::Text(vec!["Whole answer."]),
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    assert_eq!(send(&mut client, MAIN, "r1", "remember me")["status"], "started");
    client.event("chat", |chat| chat["state"] == "delta");
    // A second one waits in the session's lane.
    assert_eq!(send(&mut client, MAIN, "r2", "and me")["status"], "started");
    let gateway = start(gateway.kill());
    let mut client = gateway.client();
    assert_eq!(wait_end(&mut client, "r1")["status"], "ok");
    assert_eq!(wait_end(&mut client, "r2")["status"], "ok");
    let wanted = ["user: remember me", "assistant: Whole answer.", "user: and me", "assistant: Whole answer."];
    assert_eq!(shown(&history(&mut client, MAIN)), wanted);
    // The same request again is the same run.
    assert_eq!(send(&mut client, MAIN, "r1", "remember me"), json!({ "runId": "r1", "status": "ok" }));
    assert_eq!(provider.requests().len(), 3);
    gate.open();
}

#[test]
fn who_asks_again_after_the_restart_gets_the_runs_answer() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |index, _| match index {
        0 | 1 => Answer::Hang(held.clone()),
        _ => Answer::Text(vec!["It is done."]),
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    let params = json!({ "message": "do it", "sessionKey": MAIN, "idempotencyKey": "a1" });
    let id = client.post("agent", params.clone());
    assert_eq!(client.response(&id).unwrap()["status"], "accepted");
    provider.wait_requests(1);
    let gateway = start(gateway.kill());
    let mut client = gateway.client();
    provider.wait_requests(2);
    let id = client.post("agent", params.clone());
    assert_eq!(client.response(&id).unwrap()["status"], "accepted");
    let gateway = start(gateway.kill());
    let mut client = gateway.client();
    let id = client.post("agent", params.clone());
    let mut end = client.response(&id).unwrap();
    if end["status"] == "accepted" {
        end = client.response(&id).unwrap();
    }
    assert_eq!((&end["status"], &end["result"]["payloads"][0]["text"]), (&json!("ok"), &json!("It is done.")));
    // Also when it had ended before the restart.
    let gateway = start(gateway.kill());
    assert_eq!(gateway.client().request("agent", params).unwrap(), end);
    assert_eq!(provider.requests().len(), 3);
    gate.open();
}

#[test]
fn a_finished_tool_call_is_not_repeated_and_its_result_is_used() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |index, _| match index {
        0 => Answer::Tool("exec", json!({ "command": "echo tool-$((40+2)); echo once >> ~/calls" })),
        1 => Answer::Hang(held.clone()),
        _ => Answer::Text(vec!["It printed that."]),
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    send(&mut client, MAIN, "r1", "run it");
    provider.wait_requests(2);
    let gateway = start(gateway.kill());
    let mut client = gateway.client();
    assert_eq!(wait_end(&mut client, "r1")["status"], "ok");
    let request = &provider.requests()[2];
    let results: Vec<&Value> =
        request["messages"].as_array().unwrap().iter().filter(|it| it["role"] == "tool").collect();
    assert_eq!(results.len(), 1, "{request}");
    assert!(text_of(results[0]).contains("tool-42"), "{request}");
    assert_eq!(std::fs::read_to_string(gateway.home.path().join("calls")).unwrap(), "once\n");
    gate.open();
}

#[test]
fn a_tool_call_that_was_cut_off_is_told_to_the_model() {
    let provider = Provider::start(move |index, _| match index {
        0 => Answer::Tool("exec", json!({ "command": "echo once >> ~/calls; sleep 30" })),
        _ => Answer::Text(vec!["I shall look."]),
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    send(&mut client, MAIN, "r1", "run it");
    let calls = gateway.home.path().join("calls");
    wait_lines(&calls, 1);
    let gateway = start(gateway.kill());
    let mut client = gateway.client();
    assert_eq!(wait_end(&mut client, "r1")["status"], "ok");
    let messages = history(&mut client, MAIN);
    let result = messages.iter().find(|it| it["role"] == "toolResult").expect("a result");
    assert!(result["isError"] == true && text_of(result).starts_with("Interrupted"), "{result}");
    assert_eq!(std::fs::read_to_string(&calls).unwrap(), "once\n");
    assert_eq!(text_of(messages.last().unwrap()), "I shall look.");
}

#[test]
fn a_run_that_takes_the_gateway_down_three_times_is_given_up() {
    let gate = Gate::default();
    let provider = Provider::always(Answer::Hang(gate.clone()));
    let mut gateway = Gateway::with_provider(&provider, json!({}));
    send(&mut gateway.client(), MAIN, "r1", "poison");
    for count in 1..=3 {
        provider.wait_requests(count);
        gateway = start(gateway.kill());
    }
    let mut client = gateway.client();
    let end = wait_end(&mut client, "r1");
    assert_eq!(end["status"], "error", "{end}");
    let messages = shown(&history(&mut client, MAIN));
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[1].contains("the gateway went down 3 times") && messages[1].contains("“poison”"), "{messages:?}");
    let again = client.request("chat.send", json!({ "sessionKey": MAIN, "message": "poison", "idempotencyKey": "r1" }));
    assert!(again.unwrap_err()["message"].as_str().unwrap().contains("3 times"));
    assert_eq!(provider.requests().len(), 3);
    gate.open();
}

/// Changes what the journal says of every accepted run.
fn edit_accepted(home: &Home, change: impl Fn(&mut Value)) {
    let path = home.state_dir().join("journal/runs.jsonl");
    let text = std::fs::read_to_string(&path).expect("a journal");
    let mut file = std::fs::File::create(&path).unwrap();
    for line in text.lines() {
        let mut line: Value = serde_json::from_str(line).expect("a line");
        if line.get("accepted").is_some() {
            change(&mut line["accepted"]);
        }
        if line.get("begun").is_some() {
            change(&mut line["begun"]);
        }
        writeln!(file, "{line}").unwrap();
    }
}

#[test]
fn a_run_whose_time_is_over_says_so_in_its_session() {
    let gate = Gate::default();
    let provider = Provider::always(Answer::Hang(gate.clone()));
    let gateway = Gateway::with_provider(&provider, json!({}));
    send(&mut gateway.client(), MAIN, "r1", "urgent");
    provider.wait_requests(1);
    let home = gateway.kill();
    edit_accepted(&home, |line| {
        if line.get("at").is_some() {
            line["at"] = 5.into();
        }
    });
    let gateway = start(home);
    let mut client = gateway.client();
    assert_eq!(wait_end(&mut client, "r1")["status"], "error");
    let messages = shown(&history(&mut client, MAIN));
    assert_eq!((messages.len(), messages[0].as_str()), (2, "user: urgent"));
    assert!(messages[1].contains("its time was over"), "{messages:?}");
    assert_eq!(provider.requests().len(), 1);
    gate.open();
}

#[test]
fn a_run_of_a_deleted_session_does_not_bring_it_back() {
    let gate = Gate::default();
    let provider = Provider::always(Answer::Hang(gate.clone()));
    let gateway = Gateway::with_provider(&provider, json!({}));
    send(&mut gateway.client(), "agent:main:gone", "r1", "hello");
    provider.wait_requests(1);
    let home = gateway.kill();
    // As a kill right after the deletion leaves it.
    std::fs::remove_dir_all(home.state_dir().join("agents/main/sessions")).unwrap();
    let journal = home.state_dir().join("journal/runs.jsonl");
    let mut journal = std::fs::OpenOptions::new().append(true).open(journal).unwrap();
    writeln!(journal, "{}", json!({ "aborted": { "run": "r1", "isDeleted": true } })).unwrap();
    let gateway = start(home);
    let mut client = gateway.client();
    let end = wait_end(&mut client, "r1");
    assert!(end["error"].as_str().unwrap_or_default().contains("deleted"), "{end}");
    assert_eq!(client.request("sessions.list", json!({})).unwrap()["count"], 0);
    gate.open();
}

/// A model that starts a sub-agent when asked to, and takes its end in. The first sub-agents' turns, and the first turns
/// about their end, hang.
fn with_subagent(hanging: usize, gate: &Gate) -> Provider {
    let gate = gate.clone();
    let (turns, ends) = (Mutex::new(0), Mutex::new(0));
    let is_nth = move |count: &Mutex<usize>, hanging: usize| {
        let mut count = count.lock().unwrap();
        *count += 1;
        *count <= hanging
    };
    Provider::start(move |_, request| {
        let messages = request["messages"].as_array().expect("messages");
        let last = messages.last().expect("a message");
        let said = text_of(messages.iter().rev().find(|it| it["role"] == "user").expect("a question"));
        match (last["role"] == "tool", said) {
            (true, _) => Answer::Text(vec!["Started."]),
            (_, said) if said.contains("A background task") && is_nth(&ends, hanging) => Answer::Hang(gate.clone()),
            (_, said) if said.contains("A background task") => Answer::Text(vec!["It is forty-two."]),
            (_, said) if said.contains("compute it") && is_nth(&turns, hanging) => Answer::Hang(gate.clone()),
            (_, said) if said.contains("compute it") => Answer::Text(vec!["Found 42."]),
            _ => Answer::Tool("sessions_spawn", json!({ "task": "compute it" })),
        }
    })
}

#[test]
fn a_subagent_outlives_kills_and_its_end_is_told_once() {
    let gate = Gate::default();
    let provider = with_subagent(1, &gate);
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    send(&mut client, MAIN, "r1", "find out");
    assert_eq!(wait_end(&mut client, "r1")["status"], "ok");
    // Question, tool result, and the sub-agent's own turn, in which the gateway goes down; then in the announcement.
    provider.wait_requests(3);
    let gateway = start(gateway.kill());
    provider.wait_requests(5);
    let gateway = start(gateway.kill());
    let runs = gateway.home.state_dir().join("subagents/runs.json");
    eventually("it is done", || {
        std::fs::read_to_string(&runs).unwrap_or_default().contains("\"cleanupHandled\": true")
    });
    let gateway = start(gateway.kill());
    let mut client = gateway.client();
    let messages = shown(&history(&mut client, MAIN));
    let told: Vec<&String> = messages.iter().filter(|it| it.contains("A background task")).collect();
    assert_eq!(told.len(), 1, "{messages:?}");
    assert!(told[0].contains("completed successfully") && told[0].contains("Found 42."), "{told:?}");
    assert_eq!(messages.iter().filter(|it| *it == "assistant: It is forty-two.").count(), 1, "{messages:?}");
    assert_eq!(provider.requests().len(), 6);
    gate.open();
}

#[test]
fn two_sessions_go_on_talking_also_after_a_kill() {
    let gate = Gate::default();
    let held = gate.clone();
    let hung = Mutex::new(false);
    let provider = Provider::start(move |_, request| {
        let messages = request["messages"].as_array().expect("messages");
        let brief = text_of(&messages[0]);
        let said = text_of(messages.iter().rev().find(|it| it["role"] == "user").expect("a question"));
        if messages.last().is_some_and(|it| it["role"] == "tool") {
            return Answer::Text(vec!["I have asked."]);
        }
        match said.as_str() {
            "Is it up?" => Answer::Text(vec!["Yes."]),
            "Yes." if brief.contains("Turn 1 of 5.") => Answer::Text(vec!["Since when?"]),
            "Since when?" if brief.contains("Turn 2 of 5.") && !std::mem::replace(&mut *hung.lock().unwrap(), true) => {
                Answer::Hang(held.clone())
            }
            "Since when?" if brief.contains("Turn 2 of 5.") => Answer::Text(vec!["Monday."]),
            "Monday." if brief.contains("Turn 3 of 5.") => Answer::Text(vec!["REPLY_SKIP"]),
            "Agent-to-agent announce step." if brief.contains("Latest reply: Monday.") => {
                Answer::Text(vec!["ANNOUNCE_SKIP"])
            }
            "ask" => Answer::Tool("sessions_send", json!({ "sessionKey": "agent:main:side", "message": "Is it up?" })),
            said => panic!("nobody says {said}: {brief}"),
        }
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    send(&mut client, MAIN, "r1", "ask");
    assert_eq!(wait_end(&mut client, "r1")["status"], "ok");
    let sent = history(&mut client, MAIN).into_iter().find(|it| it["role"] == "toolResult").expect("a result");
    assert!(text_of(&sent).contains("\"reply\": \"Yes.\""), "{sent}");
    // Question, answer, tool result, turn 1, and turn 2, in which the gateway goes down.
    provider.wait_requests(5);
    let gateway = start(gateway.kill());
    provider.wait_requests(8);
    let mut client = gateway.client();
    let opening = serde_json::from_str::<Value>(&text_of(&sent)).expect("JSON")["runId"].clone();
    assert_eq!(wait_end(&mut client, &format!("{}:announce", opening.as_str().unwrap()))["status"], "ok");
    let side = shown(&history(&mut client, "agent:main:side"));
    let wanted = [
        "user: Is it up?",
        "assistant: Yes.",
        "user: Since when?",
        "assistant: Monday.",
        "user: Agent-to-agent announce step.",
        "assistant: ANNOUNCE_SKIP",
    ];
    assert_eq!(side, wanted);
    assert_eq!(provider.requests().len(), 8);
    gate.open();
}

#[test]
fn a_full_disk_is_told_and_the_session_stays_usable() {
    let long: &'static str = Box::leak("long ".repeat(60_000).into_boxed_str());
    let provider = Provider::start(move |index, _| match index {
        1 => Answer::Text(vec![long]),
        _ => Answer::Text(vec!["Short."]),
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    // No file of this gateway may be longer than 128 KiB: writing beyond fails, as on a full disk.
    let mut home = gateway.kill();
    let program = home.program.clone();
    let limited = home.path().join("limited");
    let script = format!("#!/bin/sh\ntrap '' XFSZ\nulimit -f 256\nexec '{}' \"$@\"\n", program.display());
    std::fs::write(&limited, script).unwrap();
    std::fs::set_permissions(&limited, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    home.program = limited;
    let gateway = start(home);
    let mut client = gateway.client();
    for (run, expected) in [("r1", "ok"), ("r2", "error"), ("r3", "ok")] {
        send(&mut client, MAIN, run, run);
        let end = wait_end(&mut client, run);
        assert_eq!(end["status"], expected, "{run}: {end}");
        if expected == "error" {
            let error = end["error"].as_str().expect("a text");
            assert!(error.starts_with("cannot write the transcript: File too large"), "{error}");
        }
    }
    let mut home = gateway.kill();
    home.program = program;
    let gateway = start(home);
    let mut client = gateway.client();
    send(&mut client, MAIN, "r4", "r4");
    assert_eq!(wait_end(&mut client, "r4")["status"], "ok");
    let wanted =
        ["user: r1", "assistant: Short.", "user: r2", "user: r3", "assistant: Short.", "user: r4", "assistant: Short."];
    assert_eq!(shown(&history(&mut client, MAIN)), wanted);
    let transcript = std::fs::read_to_string(&gateway.home.transcripts()[0]).unwrap();
    transcript.lines().for_each(|line| drop(serde_json::from_str::<Value>(line).expect("a whole line")));
}

#[test]
fn who_starts_a_run_may_name_its_session_and_whose_it_is() {
    let provider = Provider::always(Answer::Text(vec!["Yes."]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    let params = json!({
        "message": "hello", "sessionKey": "agent:main:subagent:1", "idempotencyKey": "a1", "label": " sums ",
        "spawnedBy": MAIN, "lane": "subagent",
    });
    client.request("agent", params).expect("accepted");
    wait_end(&mut client, "a1");
    let listed = client.request("sessions.list", json!({ "spawnedBy": MAIN })).expect("sessions");
    assert_eq!((&listed["count"], &listed["sessions"][0]["label"]), (&json!(1), &json!("sums")), "{listed}");
}

#[test]
fn a_stop_reaches_the_sessions_subagents_and_nobody_is_told_of_their_end() {
    let gate = Gate::default();
    let provider = with_subagent(usize::MAX, &gate);
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    send(&mut client, MAIN, "r1", "find out");
    assert_eq!(wait_end(&mut client, "r1")["status"], "ok");
    provider.wait_requests(3);
    send(&mut client, MAIN, "r2", "/stop");
    let runs = gateway.home.state_dir().join("subagents/runs.json");
    eventually("it is done", || {
        std::fs::read_to_string(&runs).unwrap_or_default().contains("\"cleanupHandled\": true")
    });
    let gateway = start(gateway.kill());
    let messages = shown(&history(&mut gateway.client(), MAIN));
    assert!(!messages.iter().any(|it| it.contains("A background task")), "{messages:?}");
    assert_eq!(provider.requests().len(), 3);
    gate.open();
}

#[test]
fn an_aborted_run_stays_aborted() {
    let gate = Gate::default();
    let provider = Provider::always(Answer::Hang(gate.clone()));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    send(&mut client, MAIN, "r1", "first");
    provider.wait_requests(1);
    send(&mut client, MAIN, "r2", "second");
    let aborted = client.request("chat.abort", json!({ "sessionKey": MAIN, "runId": "r2" })).unwrap();
    assert_eq!(aborted["aborted"], true);
    let gateway = start(gateway.kill());
    let mut client = gateway.client();
    provider.wait_requests(2);
    client.request("chat.abort", json!({ "sessionKey": MAIN, "runId": "r1" })).unwrap();
    wait_end(&mut client, "r2");
    let messages = shown(&history(&mut client, MAIN));
    assert!(messages.contains(&"user: second".to_owned()), "{messages:?}");
    assert_eq!(provider.requests().len(), 2);
    gate.open();
}

#[test]
fn a_restart_waits_for_the_runs_under_way() {
    let gate = Gate::default();
    let provider = Provider::always(Answer::Held("Almost", gate.clone(), " done."));
    let gateway = Gateway::with_provider(&provider, json!({ "commands": { "restart": true } }));
    let mut client = gateway.client();
    send(&mut client, MAIN, "r1", "hello");
    client.event("chat", |chat| chat["state"] == "delta");
    gateway.signal(libc::SIGUSR1);
    gateway.wait_lines("1 run under way", 1);
    // What comes now waits for the next start.
    assert_eq!(send(&mut client, MAIN, "r2", "later")["status"], "started");
    gate.open();
    let end = client.chat_end("r1");
    assert_eq!(text_of(&end["message"]), "Almost done.");
    client.wait_close();
    gateway.wait_lines("listening on ws://127.0.0.1", 2);
    let mut client = gateway.client();
    assert_eq!(wait_end(&mut client, "r2")["status"], "ok");
    let wanted = ["user: hello", "assistant: Almost done.", "user: later", "assistant: Almost done."];
    assert_eq!(shown(&history(&mut client, MAIN)), wanted);
    assert_eq!(provider.requests().len(), 2);
}

#[test]
fn a_stop_puts_runs_down_and_a_start_takes_them_up() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |index, _| match index {
        0..4 => Answer::Held("Half", held.clone(), ""),
        _ => Answer::Text(vec!["Whole."]),
    });
    let mut gateway = Gateway::with_provider(&provider, json!({}));
    send(&mut gateway.client(), MAIN, "r1", "hello");
    // More often than a run may take the gateway down: a stop is no crash.
    for count in 1..=4 {
        provider.wait_requests(count);
        assert_eq!(gateway.stop().code, Some(0));
        gateway = start(gateway.kill());
    }
    let mut client = gateway.client();
    assert_eq!(wait_end(&mut client, "r1")["status"], "ok");
    assert_eq!(shown(&history(&mut client, MAIN)), ["user: hello", "assistant: Whole."]);
    gate.open();
}

#[test]
fn a_cron_turn_goes_on_after_a_kill_and_after_a_stop() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |index, _| match index {
        0 | 1 => Answer::Held("Half", held.clone(), ""),
        _ => Answer::Text(vec!["Nothing new."]),
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    let job = json!({
        "name": "news", "schedule": { "kind": "at", "atMs": 5 }, "sessionTarget": "isolated", "wakeMode": "next-heartbeat",
        "payload": { "kind": "agentTurn", "message": "What is new?" },
    });
    let id = client.request("cron.add", job).expect("added")["id"].clone();
    provider.wait_requests(1);
    let mut gateway = start(gateway.kill());
    provider.wait_requests(2);
    assert_eq!(gateway.stop().code, Some(0));
    let gateway = start(gateway.kill());
    let mut client = gateway.client();
    let until = Instant::now() + PATIENCE;
    let runs = loop {
        let runs = client.request("cron.runs", json!({ "id": id })).unwrap()["entries"].as_array().unwrap().clone();
        if !runs.is_empty() {
            break runs;
        }
        assert!(Instant::now() < until, "the job has not ended");
    };
    assert_eq!(runs.len(), 1, "reported once: {runs:?}");
    assert_eq!((&runs[0]["status"], &runs[0]["summary"]), (&json!("ok"), &json!("Nothing new.")));
    let jobs = client.request("cron.list", json!({ "includeDisabled": true })).unwrap();
    assert_eq!((&jobs["jobs"][0]["enabled"], &jobs["jobs"][0]["state"]["lastStatus"]), (&json!(false), &json!("ok")));
    let [transcript] = gateway.home.transcripts().try_into().expect("one run, one transcript");
    let text = std::fs::read_to_string(transcript).unwrap();
    assert_eq!(text.matches("What is new?").count(), 1, "{text}");
    assert_eq!(provider.requests().len(), 3);
    gate.open();
}

#[test]
fn the_session_index_is_whole_after_a_stop_and_after_a_kill() {
    let mut gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    for number in 0..20 {
        let patch = json!({ "key": format!("s{number}"), "label": format!("label {number}") });
        client.request("sessions.patch", patch).expect("patched");
    }
    let file = gateway.home.state_dir().join("agents/main/sessions/sessions.json");
    gateway.stop();
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(stored.as_object().unwrap().len(), 20, "as the original reads it");
    let gateway = start(gateway.kill());
    let mut client = gateway.client();
    client.request("sessions.patch", json!({ "key": "s1", "label": "another" })).expect("patched");
    client.request("sessions.delete", json!({ "key": "s2" })).expect("deleted");
    let home = gateway.kill();
    assert_eq!(home.run(&["sessions", "--json"]).json()["count"], 19, "without a gateway, too");
    // The original ran in between.
    let mut theirs = stored.clone();
    theirs["agent:main:s3"]["label"] = "theirs".into();
    theirs["agent:main:s3"]["updatedAt"] = json!(4_000_000_000_000_u64);
    std::fs::write(&file, theirs.to_string()).unwrap();
    let gateway = start(home);
    let mut client = gateway.client();
    for (label, found) in
        [("another", true), ("theirs", true), ("label 1", false), ("label 2", false), ("label 3", false)]
    {
        let answer = client.request("sessions.list", json!({ "label": label })).unwrap();
        assert_eq!(answer["count"] == 1, found, "{label}: {answer}");
    }
}
