//! Methods and frames after the handshake, as recorded.

use serde_json::{Value, json};

use crate::support::client::{Client, connect_params};
use crate::support::gateway::Gateway;
use crate::support::provider::{Answer, Provider};
use crate::support::replay::Replay;
use crate::support::wire;

#[test]
fn bad_frames_and_refusals() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    for recording in [
        "frames-after-handshake",
        "err-connect-again",
        "err-unknown-method",
        "err-params-extra",
        "err-params-not-object",
        "err-agent-params",
        "err-chat-send-params",
    ] {
        Replay::of(recording).session(&gateway, &mut client);
    }
}

#[test]
fn scopes() {
    let gateway = Gateway::start(json!({}));
    let mut params = connect_params();
    params["scopes"] = json!(["operator.read"]);
    let mut client = Client::connect_as(gateway.port, params);
    let offered = client.hello["features"]["methods"].clone();
    let recording = wire::load("err-missing-scope");
    for (sent, expected) in recording.sent.iter().zip(&recording.received) {
        let answer = client.request(sent["method"].as_str().unwrap(), sent["params"].clone());
        let unknown = json!({ "code": "INVALID_REQUEST", "message": "missing scope: operator.admin" });
        // A method that is not there yet is refused like any name that nobody knows.
        let is_here = offered.as_array().unwrap().contains(&sent["method"]);
        match (answer, expected["ok"] == true) {
            (Ok(payload), true) => assert_eq!(payload, expected["payload"], "{sent}"),
            (Err(error), false) if is_here => assert_eq!(error, expected["error"], "{sent}"),
            (Err(error), false) => assert!(error == unknown || error == expected["error"], "{sent}: {error}"),
            (answer, _) => panic!("{sent}: {answer:?}"),
        }
    }
}

#[test]
fn answers_as_recorded() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    for recording in ["agents.list", "agent.identity.get", "agent.wait-timeout", "agent-errors", "last-heartbeat"] {
        Replay::of(recording).session(&gateway, &mut client);
    }
}

#[test]
fn system() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    Replay::of("system-event-missing-text").session(&gateway, &mut client);

    let event = wire::load("system-event").sent[0]["params"].clone();
    let answer = client.request("system-event", event).unwrap();
    assert_eq!(answer, json!({ "ok": true }));
    let presence = client.event("presence", |_| true);
    let mac = find(&presence["presence"], "host", "mac-studio");
    assert_eq!((&mac["ip"], &mac["lastInputSeconds"], &mac["mode"]), (&json!("192.0.2.44"), &json!(12), &json!("ui")));

    let list = client.request("system-presence", json!({})).unwrap();
    assert_eq!(find(&list, "instanceId", "black-box")["reason"], "connect");
    let own = find(&list, "reason", "self");
    let recorded = &wire::load("system-presence").received[0]["payload"][0];
    assert_eq!(keys(&own), keys(recorded));
}

#[test]
fn health_and_status() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let health = client.request("health", json!({})).unwrap();
    assert_eq!(health["ok"], true);
    assert_eq!(keys(&health), keys(&wire::load("health").received[0]["payload"]));
    let status = client.request("status", json!({})).unwrap();
    let mut recorded = keys(&wire::load("status").received[0]["payload"]);
    // Only present with a channel that can be linked.
    recorded.retain(|key| key != "linkChannel");
    assert_eq!(keys(&status), recorded);
    assert_eq!(status["sessions"]["count"], 0);
}

#[test]
fn config_get_tells_the_file() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let config = client.request("config.get", json!({})).unwrap();
    let recorded = &wire::load("config.get").received[0]["payload"];
    assert_eq!(keys(&config), keys(recorded));
    assert_eq!(config["path"], json!(gateway.home.config_file()));
    assert_eq!((&config["exists"], &config["valid"]), (&json!(true), &json!(true)));
    assert_eq!(config["raw"], json!(std::fs::read_to_string(gateway.home.config_file()).unwrap()));
}

#[test]
fn logs_tail_reads_on_from_its_cursor() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let first = client.request("logs.tail", json!({ "limit": 5 })).unwrap();
    assert_eq!(keys(&first), keys(&wire::load("logs.tail").received[0]["payload"]));
    assert_eq!(first["file"], json!(gateway.home.log_file()));
    let lines = first["lines"].as_array().unwrap();
    assert!((1..=5).contains(&lines.len()));
    for line in lines {
        let line: Value = serde_json::from_str(line.as_str().unwrap()).expect("a log line is JSON");
        assert!(line["_meta"]["logLevelName"].is_string() && line["time"].is_string(), "{line}");
    }
    let next = client.request("logs.tail", json!({ "cursor": first["cursor"] })).unwrap();
    assert_eq!(next["reset"], false);
    assert!(next["cursor"].as_u64() >= first["cursor"].as_u64());
}

#[test]
fn sessions_and_models() {
    let provider = Provider::always(Answer::Text(vec!["hi"]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    Replay { ignore: &["/payload/path", "/payload/defaults"], ..Replay::of("sessions.list-empty") }
        .session(&gateway, &mut client);
    Replay { ignore: &["/payload/thinkingLevel"], ..Replay::of("chat.history-empty") }.session(&gateway, &mut client);
    let models = client.request("models.list", json!({})).unwrap();
    let own = models["models"].as_array().unwrap().iter().find(|it| it["provider"] == "test").expect("configured");
    assert_eq!((&own["id"], &own["contextWindow"]), (&json!("m"), &json!(32000)));
}

#[test]
fn a_chat_as_recorded() {
    let provider = Provider::always(Answer::Text(vec![
        "Hello",
        " from",
        " the",
        " mock",
        " model.",
        " This",
        " is",
        " a",
        " streamed",
        " answer.",
    ]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    // How text is cut into deltas is timing; the frames' shapes, the first text and the last are not.
    let text = &["/payload/data/text", "/payload/data/delta", "/payload/message/content/0/text", "/payload/seq"];
    let recording = wire::load("chat.send");
    let run = client.request("chat.send", recording.sent[0]["params"].clone()).unwrap();
    assert_eq!(run, recording.received[0]["payload"]);
    let of = |list: &[Value], event: &str, kind: &str| -> Value {
        let found = list.iter().find(|it| {
            it["event"] == event && (it["payload"]["state"] == kind || it["payload"]["data"]["phase"] == kind)
        });
        found.unwrap_or_else(|| panic!("no {event} {kind} in {list:#?}")).clone()
    };
    let last = client.wait("final", |frame| frame["event"] == "chat" && frame["payload"]["state"] == "final");
    let events = client.unread().to_vec();
    let mut seen = events.clone();
    seen.push(last);
    for (event, kind) in [("agent", "start"), ("agent", "end"), ("chat", "delta"), ("chat", "final")] {
        let (expected, actual) = (of(&recording.received, event, kind), of(&seen, event, kind));
        let found = wire::differences(&expected, &actual, gateway.home.path(), text);
        assert!(found.is_empty(), "{event} {kind}: {found:?}");
    }
    assert_eq!(
        of(&seen, "chat", "final")["payload"]["message"]["content"][0]["text"],
        "Hello from the mock model. This is a streamed answer."
    );
    Replay::of("chat.send-dedupe").session(&gateway, &mut client);

    let inject = wire::load("chat.inject");
    assert_eq!(client.request("chat.inject", inject.sent[0]["params"].clone()).unwrap()["ok"], true);
    let shown = client.event("chat", |chat| chat["runId"].as_str().is_some_and(|it| it.starts_with("inject-")));
    assert_eq!(shown["message"]["content"][0]["text"], "[Note]\n\ninjected note");
    let missing = client.request("chat.inject", inject.sent[1]["params"].clone()).unwrap_err();
    assert_eq!(missing["message"], "session not found");
}

#[test]
fn agent_answers_twice() {
    let provider = Provider::always(Answer::Text(vec!["Hello", " there."]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    let recording = wire::load("agent");
    let id = client.post("agent", recording.sent[0]["params"].clone());
    let accepted = client.response(&id).unwrap();
    assert_eq!((&accepted["runId"], &accepted["status"]), (&json!("karun-1"), &json!("accepted")));
    let done = client.response(&id).unwrap();
    assert_eq!((&done["status"], &done["summary"]), (&json!("ok"), &json!("completed")));
    assert_eq!(done["result"]["payloads"][0]["text"], "Hello there.");
    let usage = &done["result"]["meta"]["agentMeta"]["usage"];
    assert_eq!((&usage["input"], &usage["output"]), (&json!(11), &json!(9)), "{done}");

    let again = client.request("agent", recording.sent[0]["params"].clone()).unwrap();
    assert_eq!(again, done, "a repeated key is answered from memory");
    assert_eq!(provider.requests().len(), 1);
    let waited = client.request("agent.wait", json!({ "runId": "karun-1", "timeoutMs": 1000 })).unwrap();
    assert_eq!(waited["status"], "ok");
    let nowhere = client.post("agent", wire::load("agent-no-session").sent[0]["params"].clone());
    assert_eq!(client.response(&nowhere).unwrap()["status"], "accepted");
    assert_eq!(client.response(&nowhere).unwrap_err()["code"], "UNAVAILABLE");
}

fn keys(value: &Value) -> Vec<String> {
    let mut keys: Vec<_> = value.as_object().expect("an object").keys().cloned().collect();
    keys.sort();
    keys
}

fn find(list: &Value, key: &str, wanted: &str) -> Value {
    let found = list.as_array().expect("a list").iter().find(|it| it[key] == wanted);
    found.unwrap_or_else(|| panic!("no {key}={wanted} in {list}")).clone()
}
