//! Heartbeats: who wakes the agent, what it answers, what clients hear of it.

use serde_json::json;

use crate::support::client::Client;
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
