//! Runs: the offline agent, a scripted provider and each of its failures, aborts, many at once, and crashes.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::provider::{Answer, Gate, Provider};

const MAIN: &str = "agent:main:main";

fn send(client: &mut Client, session: &str, run: &str, message: &str) {
    let params = json!({ "sessionKey": session, "message": message, "idempotencyKey": run });
    let answer = client.request("chat.send", params).expect("started");
    assert_eq!((&answer["runId"], &answer["status"]), (&json!(run), &json!("started")));
}

/// The text a run ends with.
fn answer(client: &mut Client, session: &str, run: &str, message: &str) -> String {
    send(client, session, run, message);
    final_text(client, run)
}

fn final_text(client: &mut Client, run: &str) -> String {
    let end = client.chat_end(run);
    assert_eq!(end["state"], "final", "{end}");
    end["message"]["content"][0]["text"].as_str().unwrap_or_default().to_owned()
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

/// What the user said last in a request that reached the provider.
fn said_last(request: &Value) -> String {
    let messages = request["messages"].as_array().expect("messages");
    messages.iter().rev().find(|it| it["role"] == "user").map(text_of).unwrap_or_default()
}

#[test]
fn offline_agent_answers_and_uses_tools() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let text = answer(&mut client, MAIN, "r1", "good morning");
    assert!(text.ends_with("You said: good morning"), "{text}");
    answer(&mut client, MAIN, "r2", r#"!tool exec {"command": "echo tool-$((40+2))"}"#);
    let messages = history(&mut client, MAIN);
    let result = messages.iter().find(|it| it["role"] == "toolResult").expect("a tool result");
    assert!(text_of(result).contains("tool-42"), "{result}");
    assert_eq!(result["isError"], false);
    let text = answer(&mut client, MAIN, "r3", "/help");
    assert!(!text.is_empty());
}

#[test]
fn a_model_streams_and_its_usage_is_counted() {
    let gate = Gate::default();
    let provider = Provider::always(Answer::Held("Hello", gate.clone(), " there."));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    send(&mut client, MAIN, "r1", "hi model");
    let delta = client.event("chat", |chat| chat["runId"] == "r1" && chat["state"] == "delta");
    assert_eq!(delta["message"]["content"][0]["text"], "Hello", "before the provider went on");
    gate.open();
    assert_eq!(final_text(&mut client, "r1"), "Hello there.");

    let request = &provider.requests()[0];
    assert_eq!((&request["model"], &request["stream"]), (&json!("m"), &json!(true)));
    assert!(said_last(request).contains("hi model"));
    let messages = history(&mut client, MAIN);
    let last = messages.last().expect("an answer");
    assert_eq!((text_of(last).as_str(), &last["stopReason"]), ("Hello there.", &json!("stop")));
    assert_eq!((&last["usage"]["input"], &last["usage"]["output"]), (&json!(11), &json!(9)));
    let sessions = client.request("sessions.list", json!({})).unwrap();
    assert_eq!(sessions["count"], 1);
    assert_eq!(sessions["sessions"][0]["totalTokens"], 20, "{sessions}");
}

#[test]
fn a_fast_model_is_heard_at_a_pace_and_to_its_last_word() {
    const WORDS: usize = 5000;
    let gate = Gate::default();
    let provider = Provider::always(Answer::Flood(WORDS, gate.clone()));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    send(&mut client, MAIN, "r1", "hi model");
    // The model is silent by then, and its answer is not over.
    let last = format!("w{}", WORDS - 1);
    let (mut text, mut events) = (String::new(), 0);
    while !text.ends_with(&last) {
        let event = client.event("agent", |event| event["runId"] == "r1" && event["stream"] == "assistant");
        text.push_str(event["data"]["delta"].as_str().expect("a delta"));
        assert_eq!(event["data"]["text"].as_str(), Some(&*text), "event {events}");
        events += 1;
    }
    assert!((100..WORDS / 2).contains(&events), "{events} events");
    gate.open();
    assert_eq!(final_text(&mut client, "r1"), text);
}

#[test]
fn what_is_held_back_while_it_might_be_a_token_is_said_in_the_end() {
    let provider = Provider::start(|index, _| match index {
        0 => Answer::Text(vec!["N", "O"]),
        1 => Answer::Text(vec!["[[reply", "_to_current]] ", "a", " <"]),
        2 => Answer::Text(vec!["Look:\n", "MEDIA:/tmp/x.png"]),
        _ => Answer::Text(vec!["NO_", "REPLY"]),
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    assert_eq!(answer(&mut client, MAIN, "r1", "may I?"), "NO");
    assert_eq!(answer(&mut client, MAIN, "r2", "compare"), "a <");
    send(&mut client, MAIN, "r3", "show me");
    let event = client.event("agent", |event| event["runId"] == "r3" && !event["data"]["mediaUrls"].is_null());
    assert_eq!(event["data"], json!({ "text": "Look:", "delta": "", "mediaUrls": ["/tmp/x.png"] }));
    assert_eq!(final_text(&mut client, "r3"), "Look:");
    send(&mut client, MAIN, "r4", "and now?");
    let end = client.chat_end("r4");
    assert_eq!((&end["state"], &end["message"]), (&json!("final"), &Value::Null), "{end}");
}

#[test]
fn a_tool_call_goes_back_to_the_model() {
    let provider = Provider::start(|index, _| match index {
        0 => Answer::Tool("exec", json!({ "command": "echo tool-$((40+2))" })),
        _ => Answer::Text(vec!["It printed that."]),
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    assert_eq!(answer(&mut client, MAIN, "r1", "run it"), "It printed that.");
    let requests = provider.requests();
    assert_eq!(requests.len(), 2);
    let result = requests[1]["messages"].as_array().unwrap().iter().find(|it| it["role"] == "tool").expect("a result");
    assert_eq!(result["tool_call_id"], "call_1");
    assert!(text_of(result).contains("tool-42"), "{result}");
}

#[test]
fn an_unknown_tool_and_bad_arguments_are_told_to_the_model() {
    let provider = Provider::start(|index, _| match index {
        0 => Answer::Tool("no_such_tool", json!({})),
        1 => Answer::Tool("exec", json!({ "command": 7 })),
        _ => Answer::Text(vec!["Understood."]),
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    assert_eq!(answer(&mut client, MAIN, "r1", "try"), "Understood.");
    let messages = history(&mut client, MAIN);
    let failed = messages.iter().filter(|it| it["role"] == "toolResult" && it["isError"] == true).count();
    assert_eq!(failed, 2, "{messages:#?}");
}

#[test]
fn every_failure_is_one_clear_error_and_the_next_run_works() {
    let failures = || {
        [
            ("drop", Answer::Drop),
            ("reset", Answer::ResetAfter("part")),
            ("half", Answer::HalfEvent("part")),
            ("garbage", Answer::Garbage),
            ("unauthorized", Answer::Status(401, "bad key")),
            ("limited", Answer::Status(429, "slow down")),
            ("broken", Answer::Status(500, "internal trouble")),
        ]
    };
    let provider = Provider::start(move |_, request| {
        let said = said_last(request);
        let failure = failures().into_iter().find(|(name, _)| said.contains(&format!("case-{name}")));
        failure.map_or(Answer::Text(vec!["fine"]), |(_, answer)| answer)
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    for (name, _) in failures() {
        // Sessions of their own, so that a failure's traces in one history do not trigger the next.
        let session = format!("agent:main:{name}");
        send(&mut client, &session, name, &format!("case-{name}"));
        let end = client.chat_end(name);
        assert_eq!(end["state"], "error", "{name}: {end}");
        let message = end["errorMessage"].as_str().unwrap_or_default();
        assert!(message.len() > 8 && !message.contains("panicked"), "{name}: {message:?}");
        let next = format!("{name}-next");
        assert_eq!(answer(&mut client, &session, &next, "again"), "fine", "{name}");
        let more = client
            .unread()
            .iter()
            .filter(|it| it["event"] == "chat" && it["payload"]["runId"] == name && it["payload"]["state"] != "delta");
        assert_eq!(more.count(), 0, "{name}: told once");
    }
}

#[test]
fn a_provider_that_is_not_there() {
    let provider = Provider::absent();
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    send(&mut client, MAIN, "r1", "hello");
    let end = client.chat_end("r1");
    assert_eq!(end["state"], "error", "{end}");
    let id = client.post("agent", json!({ "message": "hello", "sessionKey": MAIN, "idempotencyKey": "a1" }));
    assert_eq!(client.response(&id).unwrap()["status"], "accepted");
    assert_eq!(client.response(&id).unwrap_err()["code"], "UNAVAILABLE");
}

#[test]
fn abort_in_the_middle_of_a_stream() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |index, _| match index {
        0 => Answer::Held("Part", held.clone(), " never shown"),
        _ => Answer::Text(vec!["next"]),
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    send(&mut client, MAIN, "r1", "long story");
    client.event("chat", |chat| chat["runId"] == "r1" && chat["state"] == "delta");
    let other = client.request("chat.abort", json!({ "sessionKey": "other", "runId": "r1" })).unwrap_err();
    assert_eq!(other["message"], "runId does not match sessionKey");
    let aborted = client.request("chat.abort", json!({ "sessionKey": MAIN, "runId": "r1" })).unwrap();
    assert_eq!(aborted, json!({ "ok": true, "aborted": true, "runIds": ["r1"] }));
    let end = client.chat_end("r1");
    assert_eq!((&end["state"], &end["stopReason"]), (&json!("aborted"), &json!("rpc")));
    // The provider is still silent: the lane must be free without it.
    assert_eq!(answer(&mut client, MAIN, "r2", "another"), "next");
    gate.open();
    let again = client.request("chat.abort", json!({ "sessionKey": MAIN, "runId": "r1" })).unwrap();
    assert_eq!(again["aborted"], false);
}

#[test]
fn stop_as_a_message() {
    let gate = Gate::default();
    let provider = Provider::always(Answer::Held("Part", gate.clone(), ""));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    send(&mut client, MAIN, "r1", "long story");
    client.event("chat", |chat| chat["runId"] == "r1" && chat["state"] == "delta");
    let params = json!({ "sessionKey": MAIN, "message": "/stop", "idempotencyKey": "r2" });
    let answer = client.request("chat.send", params).unwrap();
    assert_eq!(answer, json!({ "ok": true, "aborted": true, "runIds": ["r1"] }));
    assert_eq!(client.chat_end("r1")["stopReason"], "stop");
    gate.open();
}

#[test]
fn a_run_that_takes_too_long_ends() {
    let gate = Gate::default();
    let provider = Provider::always(Answer::Hang(gate.clone()));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    let params = json!({ "message": "hello", "sessionKey": MAIN, "idempotencyKey": "a1", "timeout": 1 });
    let id = client.post("agent", params);
    assert_eq!(client.response(&id).unwrap()["status"], "accepted");
    let end = client.wait("the final response", |frame| frame["type"] == "res" && frame["id"] == id.as_str());
    assert!(end["ok"] == false || end["payload"]["result"]["meta"]["aborted"] == true, "{end}");
    assert_eq!(client.request("health", json!({})).unwrap()["ok"], true);
    gate.open();
}

#[test]
fn sixty_four_runs_over_a_slow_provider() {
    let gate = Gate::default();
    let provider = Provider::always(Answer::Held("one", gate.clone(), " two"));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    let runs: Vec<_> = (0..64).map(|index| format!("run-{index}")).collect();
    for run in &runs {
        send(&mut client, &format!("agent:main:{run}"), run, "hello");
    }
    provider.wait_requests(2);
    assert_eq!(client.request("health", json!({})).unwrap()["ok"], true, "while all of them wait");
    assert!(gateway.client().request("status", json!({})).unwrap()["sessions"]["count"].is_u64());
    gate.open();
    for run in &runs {
        assert_eq!(final_text(&mut client, run), "one two");
    }
    assert_eq!(provider.requests().len(), 64);
}

#[test]
fn a_turn_survives_kill_right_after_its_end() {
    let provider = Provider::always(Answer::Text(vec!["remembered"]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    assert_eq!(answer(&mut client, MAIN, "r1", "remember me"), "remembered");
    let home = gateway.kill();

    let gateway = Gateway::start_in(home, &[], &[]);
    let mut client = gateway.client();
    let messages = history(&mut client, MAIN);
    assert_eq!(messages.iter().map(|it| &it["role"]).collect::<Vec<_>>(), ["user", "assistant"]);
    assert!(text_of(&messages[0]).contains("remember me"));
    assert_eq!(text_of(&messages[1]), "remembered");
}

#[test]
fn a_torn_last_line_does_no_harm() {
    let provider = Provider::always(Answer::Text(vec!["whole"]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    answer(&mut client, MAIN, "r1", "first");
    let home = gateway.kill();
    let transcripts = home.transcripts();
    assert_eq!(transcripts.len(), 1, "{transcripts:?}");
    let mut file = std::fs::OpenOptions::new().append(true).open(&transcripts[0]).unwrap();
    file.write_all(br#"{"type":"message","id":"deadbeef","message":{"role":"user","cont"#).unwrap();

    let gateway = Gateway::start_in(home, &[], &[]);
    let mut client = gateway.client();
    assert_eq!(history(&mut client, MAIN).len(), 2);
    assert_eq!(answer(&mut client, MAIN, "r2", "second"), "whole");
    let messages = history(&mut client, MAIN);
    let said: Vec<_> = messages.iter().map(text_of).collect();
    assert_eq!(messages.len(), 4, "{said:?}");
    assert!(said[2].contains("second"), "{said:?}");
}
