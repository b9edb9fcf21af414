//! Heartbeats: who wakes the agent, what it answers, what clients hear of it.

use serde_json::json;

use crate::support::client::{Client, now_ms};
use crate::support::gateway::Gateway;
use crate::support::provider::{Answer, Provider};
use crate::support::replay::Replay;

fn wake(client: &mut Client, text: &str) {
    let answer = client.request("wake", json!({ "mode": "now", "text": text })).unwrap();
    assert_eq!(answer, json!({ "ok": true }));
}

#[test]
fn answers_as_recorded() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    for recording in ["wake", "wake-bad", "set-heartbeats", "set-heartbeats-bad", "last-heartbeat"] {
        Replay::of(recording).session(&gateway, &mut client);
    }
    let status = client.request("status", json!({})).unwrap();
    assert_eq!(status["queuedSystemEvents"], json!(["wake text"]));
    assert_eq!(client.request("wake", json!({ "mode": "now", "text": " " })).unwrap(), json!({ "ok": false }));
}

#[test]
fn a_wake_reaches_the_model_with_its_text() {
    let provider = Provider::always(Answer::Text(vec!["**HEARTBEAT_OK**"]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    // What comes together is one heartbeat.
    wake(&mut client, "the build is done");
    wake(&mut client, "and the tests are green");
    let event = client.event("heartbeat", |_| true);
    assert_eq!(
        (&event["status"], &event["reason"], &event["silent"]),
        (&json!("ok-token"), &json!("wake"), &json!(true))
    );
    assert_eq!(client.request("last-heartbeat", json!({})).unwrap(), event);
    let requests = provider.requests();
    assert_eq!(requests.len(), 1);
    let prompt = requests[0].to_string();
    for text in ["the build is done", "and the tests are green", "HEARTBEAT_OK"] {
        assert!(prompt.contains(text), "{text} in {prompt}");
    }
    let status = client.request("status", json!({})).unwrap();
    assert_eq!(status["queuedSystemEvents"], json!([]));
}

#[test]
fn an_answer_that_says_something_is_shown() {
    let provider = Provider::always(Answer::Text(vec!["Water the plants."]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    wake(&mut client, "look around");
    let event = client.event("heartbeat", |_| true);
    assert_eq!((&event["status"], &event["reason"]), (&json!("skipped"), &json!("no-target")));
    assert_eq!(event["preview"], "Water the plants.");
}

#[test]
fn a_heartbeat_has_its_own_model_and_says_nothing_twice_a_day() {
    let provider = Provider::always(Answer::Text(vec!["Water the plants."]));
    let heartbeat = json!({ "model": "test/other", "prompt": "Any news?" });
    let config = json!({ "agents": { "defaults": { "heartbeat": heartbeat } } });
    let gateway = Gateway::with_provider(&provider, config);
    let mut client = gateway.client();
    wake(&mut client, "look around");
    assert_eq!(client.event("heartbeat", |_| true)["reason"], "no-target");
    let asked = &provider.requests()[0];
    assert_eq!(asked["model"], "other");
    assert!(asked["messages"].to_string().contains("Any news?"), "{asked}");
    // As if it had been delivered a while ago.
    let home = gateway.kill();
    let mut index = home.sessions();
    index["agent:main:main"]["lastHeartbeatText"] = " Water the plants.\n".into();
    index["agent:main:main"]["lastHeartbeatSentAt"] = (now_ms() - 23 * 3_600_000).into();
    let file = home.state_dir().join("agents/main/sessions/sessions.json");
    std::fs::remove_file(file.with_extension("json.journal")).ok();
    std::fs::write(&file, index.to_string()).unwrap();
    let gateway = Gateway::start_in(home, &[], &[]);
    let mut client = gateway.client();
    wake(&mut client, "look around");
    let event = client.event("heartbeat", |_| true);
    assert_eq!((&event["status"], &event["reason"]), (&json!("skipped"), &json!("duplicate")), "{event}");
    // People are asked by the usual model.
    client
        .request("chat.send", json!({ "sessionKey": "agent:main:main", "message": "hi", "idempotencyKey": "r1" }))
        .expect("started");
    client.chat_end("r1");
    assert_eq!(provider.requests()[2]["model"], "m");
}

#[test]
fn a_finished_command_is_told_even_when_there_is_little_to_say() {
    let provider = Provider::start(|index, _| match index {
        0 => Answer::Tool("exec", json!({ "command": "echo approved" })),
        1 => Answer::Text(vec!["It waits for you."]),
        _ => Answer::Text(vec!["HEARTBEAT_OK"]),
    });
    let gateway = Gateway::with_provider(&provider, json!({ "tools": { "exec": { "host": "gateway" } } }));
    let mut client = gateway.client();
    client
        .request("chat.send", json!({ "sessionKey": "agent:main:main", "message": "run it", "idempotencyKey": "r1" }))
        .expect("started");
    let id = client.event("exec.approval.requested", |_| true)["id"].clone();
    assert_eq!(client.chat_end("r1")["state"], "final");
    client.request("exec.approval.resolve", json!({ "id": id, "decision": "allow-once" })).expect("resolved");
    let event = client.event("heartbeat", |_| true);
    assert_eq!((&event["reason"], &event["preview"]), (&json!("no-target"), &json!("HEARTBEAT_OK")), "{event}");
    let asked = provider.requests()[2]["messages"].as_array().unwrap().last().unwrap().to_string();
    assert!(asked.contains("Exec finished") && asked.contains("Tell the user about it now"), "{asked}");
}

#[test]
fn nobody_is_woken_when_heartbeats_are_off() {
    let provider = Provider::always(Answer::Text(vec!["HEARTBEAT_OK"]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    client.request("set-heartbeats", json!({ "enabled": false })).unwrap();
    wake(&mut client, "while off");
    client.request("set-heartbeats", json!({ "enabled": true })).unwrap();
    // The first wish may still be waiting for company; then both are one heartbeat.
    wake(&mut client, "while on");
    client.event("heartbeat", |event| event["status"] == "ok-token");
    assert_eq!(provider.requests().len(), 1);
    assert!(provider.requests()[0].to_string().contains("while off"), "what waited is not lost");
}

#[test]
fn the_clock_wakes_the_agent() {
    let provider = Provider::always(Answer::Text(vec!["HEARTBEAT_OK"]));
    let gateway =
        Gateway::with_provider(&provider, json!({ "agents": { "defaults": { "heartbeat": { "every": "300ms" } } } }));
    let mut client = gateway.client();
    let event = client.event("heartbeat", |event| event["status"] == "ok-token");
    assert_eq!(event["reason"], "interval");
    // The run has made the workspace; its HEARTBEAT.md asks for nothing, so the model is left alone from now on.
    client.event("heartbeat", |event| event["status"] == "skipped" && event["reason"] == "empty-heartbeat-file");
}

#[test]
fn a_failing_model_is_reported() {
    let provider = Provider::always(Answer::Status(401, "no such key"));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    wake(&mut client, "hello");
    let event = client.event("heartbeat", |_| true);
    assert_eq!((&event["status"], &event["indicatorType"]), (&json!("failed"), &json!("error")));
}
