//! The recorded exchanges that belong to no theme of their own, and that none is forgotten.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, Device, connect_params, now_ms};
use crate::support::gateway::Gateway;
use crate::support::provider::{Answer, Gate, Provider};
use crate::support::replay::{Replay, check, same_kind};
use crate::support::wire::{self, Recording};

/// Recordings of which no test repeats the frames, and why.
const APART: &[(&str, &str)] = &[
    ("device-signature-vectors", "no exchange: the unit tests of device identity check it"),
    ("pipelined-after-connect-device", "a race of the original; here such frames wait for the hello"),
    ("tick", "half a minute of waiting for one field; every event is judged by its schema elsewhere"),
];

#[test]
fn no_recording_is_forgotten() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut sources = String::new();
    for directory in [root.clone(), root.join("original"), root.join("support")] {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            if entry.path().extension().is_some_and(|it| it == "rs") {
                sources.push_str(&std::fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    let names = ["wire", "wire/http"].map(|directory| std::fs::read_dir(root.join(directory)).unwrap().flatten());
    let names = names.into_iter().flatten();
    let names = names.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json").map(str::to_owned));
    let forgotten: Vec<String> = names.filter(|name| !sources.contains(&format!("\"{name}\""))).collect();
    assert!(forgotten.is_empty(), "no test names {forgotten:?} ({} are set apart)", APART.len());
}

/// The words of the recorded model.
fn mock() -> Answer {
    Answer::Text(vec!["Hello", " from", " the", " mock", " model.", " This", " is", " a", " streamed", " answer."])
}

/// Takes the recorded frames in their order but for deltas, which are a matter of timing.
fn follow(gateway: &Gateway, client: &mut Client, recording: &Recording, ignore: &[&str]) {
    let is_delta = |frame: &Value| frame["payload"]["state"] == "delta" || frame["payload"]["stream"] == "assistant";
    for expected in recording.received.iter().filter(|frame| !is_delta(frame)) {
        let actual = client.wait(&recording.name, |frame| same_kind(expected, frame));
        check(&recording.name, gateway, expected, &actual, ignore);
    }
}

#[test]
fn a_repeated_run_is_answered_with_the_first() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |index, _| match index {
        0 => Answer::Held("Hello", held.clone(), " again."),
        _ => mock(),
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    Replay { ignore: &["/payload/data/text"], ..Replay::of("agent-dedupe-inflight") }.session(&gateway, &mut client);
    gate.open();
    client.chat_end("karun-2");

    let first = wire::load("agent").sent[0].clone();
    let id = client.post("agent", first["params"].clone());
    client.response(&id).expect("accepted");
    client.response(&id).expect("done");
    // The diagnostic report of the original may be left out.
    let ignore = &[
        "/payload/result/meta/systemPromptReport",
        "/payload/result/meta/agentMeta/provider",
        "/payload/result/meta/agentMeta/model",
        "/payload/result/meta/aborted",
    ];
    Replay { ignore, ..Replay::of("agent-dedupe") }.session(&gateway, &mut client);
    assert_eq!(provider.requests().len(), 2);
}

#[test]
fn without_credentials_every_waiter_hears_why() {
    let gateway =
        Gateway::start(json!({ "agents": { "defaults": { "model": { "primary": "anthropic/claude-opus-4-5" } } } }));
    let mut client = gateway.client();
    // Each program words in its own way what is missing and how to add it.
    let words =
        &["/payload/data/error", "/payload/errorMessage", "/payload/summary", "/error/message", "/payload/error"];
    Replay { ignore: words, ..Replay::of("agent-no-key") }.session(&gateway, &mut client);
    Replay { ignore: words, ..Replay::of("agent.wait-error") }.session(&gateway, &mut client);
    Replay::of("chat.send-no-key").session(&gateway, &mut client);
    // The original leaves this client waiting for ever.
    let end = client.chat_end("nokey-2");
    assert_eq!(end["state"], "error");
    assert!(end["errorMessage"].as_str().is_some_and(|text| text.contains("anthropic")), "{end}");
}

#[test]
fn commands_and_stops_in_a_chat() {
    let provider = Provider::always(Answer::Hang(Gate::default()));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    // The recorded /status had nothing to say; ours has.
    Replay { ignore: &["/payload/message"], ..Replay::of("chat.send-command") }.session(&gateway, &mut client);
    let stop = wire::load("chat.stop-command");
    client.send(&stop.sent[0]);
    provider.wait_requests(1);
    client.send(&stop.sent[1]);
    follow(&gateway, &mut client, &stop, &[]);
}

#[test]
fn tool_calls_are_shown_to_the_verbose_alone() {
    let provider = Provider::start(|index, _| match index % 2 {
        0 => Answer::Tool("exec", json!({ "command": "echo hi" })),
        _ => mock(),
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    // Which process ran, and how much of its output came first.
    let ignore = &["/payload/data/partialResult", "/payload/data/result/details", "/payload/data/toolCallId"];
    for (recording, level) in [("chat.send-tool", "on"), ("chat.send-tool-quiet", "off")] {
        client.request("sessions.patch", json!({ "key": "main", "verboseLevel": level })).unwrap();
        let recording = wire::load(recording);
        client.send(&recording.sent[0]);
        follow(&gateway, &mut client, &recording, ignore);
        let tools = client.unread().iter().filter(|frame| frame["payload"]["stream"] == "tool").count();
        assert_eq!(tools, 0, "{}: no more of them than recorded", recording.name);
    }
}

#[test]
fn sessions_as_recorded() {
    let provider = Provider::start(|index, _| match index {
        0 => Answer::Tool("exec", json!({ "command": "echo hi" })),
        _ => mock(),
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    Replay { ignore: &["/payload/defaults"], ..Replay::of("err-params-null") }.session(&gateway, &mut client);
    // The recorded gateway knew the session; nothing had been said in it.
    client.request("sessions.patch", json!({ "key": "main" })).unwrap();
    Replay::of("sessions.preview-missing").session(&gateway, &mut client);
    let say = |client: &mut Client, run: &str| {
        client.request("chat.send", json!({ "sessionKey": "main", "message": run, "idempotencyKey": run })).unwrap();
        client.chat_end(run);
    };
    say(&mut client, "first");
    let preview = wire::load("sessions.preview");
    client.send(&preview.sent[0]);
    let actual = client.wait("the preview", |frame| same_kind(&preview.received[0], frame));
    let (expected, actual) = (&preview.received[0]["payload"]["previews"], &actual["payload"]["previews"]);
    assert_eq!(expected[0]["items"][0], actual[0]["items"][1], "a call of a tool");
    assert_eq!(expected[0]["items"][1], actual[0]["items"][2], "what it gave");
    assert_eq!(expected[0]["items"][2], actual[0]["items"][3], "what the model said");
    assert_eq!(expected[1], actual[1], "a session that is not there");

    let patch = json!({ "key": "main", "thinkingLevel": "low", "verboseLevel": "on", "sendPolicy": "allow", "label": "My label" });
    client.request("sessions.patch", patch).unwrap();
    Replay {
        ignore: &["/payload/entry/model", "/payload/entry/modelProvider", "/payload/entry/contextTokens"],
        ..Replay::of("sessions.reset")
    }
    .session(&gateway, &mut client);
}

#[test]
fn a_device_token_is_enough_as_recorded() {
    let gateway = Gateway::start(json!({}));
    let device = Device::of(7);
    let recording = wire::load("connect-device-token");
    let mut params = recording.sent[0]["params"].clone();
    params.as_object_mut().unwrap().remove("device");
    params["auth"] = connect_params()["auth"].clone();
    let paired = Client::connect_device(gateway.port, &device, params.clone());
    params["auth"]["token"] = paired.hello["auth"]["deviceToken"].clone();

    let mut client = Client::open(gateway.port, &[]);
    let nonce = client.challenge();
    params["device"] = device.sign(&params, now_ms(), Some(&nonce));
    client.send(&json!({ "type": "req", "id": "connect-1", "method": "connect", "params": params }));
    let expected = &recording.received[1];
    let actual = client.wait("hello-ok", |frame| same_kind(expected, frame));
    let ignore = &["/payload/features", "/payload/snapshot", "/payload/server/version", "/payload/canvasHostUrl"];
    check("connect-device-token", &gateway, expected, &actual, ignore);
}

#[test]
fn broken_clients_are_closed_as_recorded() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let recording = wire::load("err-frame-too-big");
    client
        .send(&json!({ "type": "req", "id": "big", "method": "health", "params": { "text": "x".repeat(600 * 1024) } }));
    assert_eq!(Some(client.wait_close()), recording.close);

    let recording = wire::load("err-handshake-timeout");
    let mut silent = Client::open(gateway.port, &[]);
    let started = Instant::now();
    assert_eq!(Some(silent.wait_close()), recording.close);
    assert!(started.elapsed() > Duration::from_secs(9), "not before its time");
    // The reader that stops reading is a test of `fairness`; this is how the recorded one ended.
    assert_eq!(wire::load("slow-consumer").close, Some((1008, "slow consumer".to_owned())));
}

#[test]
fn a_request_behind_the_connect_waits_for_the_hello() {
    let gateway = Gateway::start(json!({}));
    let recording = wire::load("pipelined-after-connect");
    let mut client = Client::open(gateway.port, &[]);
    client.challenge();
    for sent in &recording.sent {
        let mut sent = sent.clone();
        if sent["method"] == "connect" {
            sent["params"]["auth"] = connect_params()["auth"].clone();
        }
        client.send(&sent);
    }
    for expected in recording.received.iter().filter(|frame| frame["type"] == "res") {
        let actual = client.wait("an answer", |frame| frame["type"] == "res");
        assert_eq!((&actual["id"], &actual["ok"]), (&expected["id"], &expected["ok"]), "in this order");
    }
}

#[test]
fn a_node_that_leaves_as_recorded() {
    let gateway = Gateway::start(json!({}));
    let mut operator = gateway.client();
    let mut params = wire::load("node-hello-ok").sent[0]["params"].clone();
    params["auth"] = connect_params()["auth"].clone();
    params.as_object_mut().unwrap().remove("device");
    let node = Client::connect_device(gateway.port, &Device::of(9), params);
    drop(node);
    let recording = wire::load("node-disconnect");
    let expected = |kind: &str| recording.received.iter().find(|frame| frame["type"] == kind).unwrap();
    let presence = operator.wait("presence", |frame| frame["event"] == "presence");
    let row = |frame: &Value| {
        let rows = frame["payload"]["presence"].as_array().unwrap();
        rows.iter().find(|row| row["host"] == "iPhone").expect("the phone").clone()
    };
    check("node-disconnect", &gateway, &row(expected("event")), &row(&presence), &[]);
    operator.send(&recording.sent[0]);
    let list = operator.wait("the list", |frame| same_kind(expected("res"), frame));
    // A node on this machine has no remote address worth keeping.
    check("node-disconnect", &gateway, expected("res"), &list, &["/payload/nodes/0/remoteIp"]);
}
