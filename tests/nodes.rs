//! Nodes: what they may be asked for, what they answer, what they hear; as recorded, and when they go away.

use serde_json::{Value, json};

use crate::support::client::{Client, Device, connect_params};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Provider};
use crate::support::replay::{Replay, check, same_kind};
use crate::support::wire;

/// The node of the recordings.
const RECORDED_ID: &str = "018f1d450fd306f578ba36e676df1c0302cf87570e940d13aa8eb22a74e1d443";

/// The phone of the recordings, with a key of the test's own.
fn phone(gateway: &Gateway, device: &Device) -> Client {
    let mut params = wire::load("node-hello-ok").sent[0]["params"].clone();
    params["auth"]["token"] = connect_params()["auth"]["token"].clone();
    params.as_object_mut().unwrap().remove("device");
    Client::connect_device(gateway.port, device, params)
}

/// Asks through `operator`, answers through `node`, and compares both sides with the recording.
fn replay_invoke(gateway: &Gateway, operator: &mut Client, node: &mut Client, name: &str, id: &str) {
    let recording = wire::load_with(name, &[(RECORDED_ID, id)]);
    let peer = recording.peer();
    operator.send(&recording.sent[0]);
    let request = node.wait("the request", |frame| frame["event"] == "node.invoke.request");
    check(name, gateway, &peer.received[0], &request, &[]);
    let is_late = name.ends_with("timeout");
    if is_late {
        let answer = operator.wait("the timeout", |frame| same_kind(&recording.received[0], frame));
        check(name, gateway, &recording.received[0], &answer, &[]);
    }
    for (index, (sent, expected)) in peer.sent.iter().zip(&peer.received[1..]).enumerate() {
        let mut sent = sent.clone();
        if index == 0 {
            sent["params"]["id"] = request["payload"]["id"].clone();
        }
        node.send(&sent);
        let answer = node.wait("the receipt", |frame| same_kind(expected, frame));
        check(name, gateway, expected, &answer, &[]);
    }
    if !is_late {
        let answer = operator.wait("the result", |frame| same_kind(&recording.received[0], frame));
        check(name, gateway, &recording.received[0], &answer, &[]);
    }
}

#[test]
fn a_phone_as_recorded() {
    let gateway = Gateway::start(json!({}));
    let mut operator = gateway.client();
    for recording in ["node.list-empty", "node.describe-unknown", "node.invoke-not-connected"] {
        Replay::of(recording).session(&gateway, &mut operator);
    }
    let device = Device::of(9);
    let mut node = phone(&gateway, &device);
    assert_eq!(node.hello["auth"]["role"], "node");
    let resolved = operator.wait("pairing", |frame| frame["event"] == "device.pair.resolved");
    check("node-connect", &gateway, &wire::load("node-connect").received[0], &resolved, &[]);

    let list = wire::load("node.list");
    for (sent, expected) in list.sent.iter().zip(&list.received) {
        let mut sent = sent.clone();
        if sent["method"] == "node.describe" {
            sent["params"]["nodeId"] = device.id().into();
        }
        operator.send(&sent);
        let answer = operator.wait("the answer", |frame| same_kind(expected, frame));
        check("node.list", &gateway, expected, &answer, &[]);
    }

    for recording in ["node.invoke", "node.invoke-error", "node.invoke-timeout"] {
        replay_invoke(&gateway, &mut operator, &mut node, recording, &device.id());
    }
    let refused = wire::load_with("node.invoke-not-allowed", &[(RECORDED_ID, &device.id())]);
    for (sent, expected) in refused.sent.iter().zip(&refused.received) {
        operator.send(sent);
        let answer = operator.wait("the refusal", |frame| same_kind(expected, frame));
        check("node.invoke-not-allowed", &gateway, expected, &answer, &[]);
    }
    // What skills need is this machine's own matter.
    Replay { ignore: &["/payload/bins"], ..Replay::of("node-role-methods") }.session(&gateway, &mut node);
    Replay::of("node.event-exec").session(&gateway, &mut node);
    let status = operator.request("status", json!({})).unwrap();
    let expected = format!("Exec finished (node={} id=r1, code 0)\ndone", device.id());
    assert_eq!(status["queuedSystemEvents"], json!([expected]));

    drop(node);
    let presence = operator.event("presence", |_| true);
    let gone = presence["presence"].as_array().unwrap().iter().find(|row| row["deviceId"] == device.id()).unwrap();
    assert_eq!(gone["reason"], "disconnect");
    let left = operator.request("node.describe", json!({ "nodeId": device.id() })).unwrap();
    assert_eq!((&left["connected"], &left["paired"], &left["commands"]), (&json!(false), &json!(true), &json!([])));
}

#[test]
fn a_lost_node_fails_what_it_was_asked_for() {
    let gateway = Gateway::start(json!({}));
    let mut operator = gateway.client();
    let device = Device::of(9);
    let mut first = phone(&gateway, &device);
    let ask = |operator: &mut Client, key: &str| {
        operator.post(
            "node.invoke",
            json!({ "nodeId": device.id(), "command": "canvas.hide", "idempotencyKey": key, "timeoutMs": 60_000 }),
        )
    };
    let lost = ask(&mut operator, "a");
    first.event("node.invoke.request", |_| true);
    // The same device again: the newer connection takes the place, the older one's request is over.
    let mut second = phone(&gateway, &device);
    let error = operator.response(&lost).unwrap_err();
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("UNAVAILABLE"), &json!("Error: node disconnected (canvas.hide)"))
    );
    drop(first);
    operator.event("presence", |_| true);
    let lost = ask(&mut operator, "b");
    let request = second.event("node.invoke.request", |request| request["idempotencyKey"] == "b");
    // A slow method does not hold a quick one up.
    assert!(operator.request("last-heartbeat", json!({})).is_ok());
    let result = json!({ "id": request["id"], "nodeId": device.id(), "ok": true, "payloadJSON": null, "payload": 5 });
    assert_eq!(second.request("node.invoke.result", result.clone()).unwrap(), json!({ "ok": true }));
    assert_eq!(second.request("node.invoke.result", result).unwrap(), json!({ "ok": true, "ignored": true }));
    let done = operator.response(&lost).unwrap();
    assert_eq!((&done["payload"], &done["payloadJSON"]), (&json!(5), &Value::Null));
    let lost = ask(&mut operator, "c");
    second.event("node.invoke.request", |request| request["idempotencyKey"] == "c");
    drop(second);
    assert_eq!(operator.response(&lost).unwrap_err()["message"], "Error: node disconnected (canvas.hide)");
}

#[test]
fn followers_get_copies() {
    let provider = Provider::always(Answer::Text(vec!["Hello", " there."]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let device = Device::of(9);
    let mut node = phone(&gateway, &device);
    let key = "agent:main:main";
    let subscribe = json!({ "event": "chat.subscribe", "payloadJSON": json!({ "sessionKey": key }).to_string() });
    assert_eq!(node.request("node.event", subscribe).unwrap(), json!({ "ok": true }));
    let mut operator = gateway.client();
    let params = json!({ "sessionKey": key, "message": "hi", "idempotencyKey": "follow-1" });
    operator.request("chat.send", params).unwrap();
    let last = |frame: &Value| frame["event"] == "chat" && frame["payload"]["state"] == "final";
    let with_seq = node.wait("the broadcast", |frame| last(frame) && frame["seq"].is_u64());
    let copy = node.wait("the copy", |frame| last(frame) && frame["seq"].is_null());
    assert_eq!(with_seq["payload"], copy["payload"]);
    let recorded = wire::load("node-chat-subscribed");
    let recorded: Vec<&Value> = recorded.peer().received.iter().filter(|frame| last(frame)).collect();
    let differ = &["/payload/runId", "/payload/message/content/0/text"];
    check("node-chat-subscribed", &gateway, recorded[0], &with_seq, differ);
    check("node-chat-subscribed", &gateway, recorded[1], &copy, differ);
    operator.request("health", json!({ "probe": true })).unwrap();
    node.wait("a copy of health", |frame| frame["event"] == "health" && frame["seq"].is_null());
}

#[test]
fn what_a_node_says_reaches_an_agent() {
    let provider = Provider::always(Answer::Text(vec!["Understood."]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut operator = gateway.client();
    let mut node = phone(&gateway, &Device::of(9));
    for (event, payload) in [
        ("voice.transcript", json!({ "text": "what time is it" })),
        ("agent.request", json!({ "message": "open the door", "sessionKey": "agent:main:door" })),
        ("agent.request", json!({ "message": "x".repeat(20_001) })),
        ("agent.request", json!("not an object")),
        ("voice.transcript", json!({ "text": 5 })),
    ] {
        let params = json!({ "event": event, "payload": payload });
        assert_eq!(node.request("node.event", params).unwrap(), json!({ "ok": true }));
    }
    for session in ["main", "agent:main:door"] {
        let done = operator.event("chat", |chat| chat["sessionKey"] == session && chat["state"] == "final");
        assert_eq!(done["message"]["content"][0]["text"], "Understood.");
    }
    assert_eq!(provider.requests().len(), 2);
}

/// A Mac that offers these commands.
fn mac(gateway: &Gateway, device: &Device, commands: &[&str]) -> Client {
    let mut params = connect_params();
    params["role"] = "node".into();
    params["scopes"] = json!([]);
    params["commands"] = json!(commands);
    params["client"] = json!({ "id": "clawdbot-macos", "displayName": "Mac", "version": "2.0", "platform": "macos 14.4", "mode": "node" });
    Client::connect_device(gateway.port, device, params)
}

fn answer(node: &mut Client, device: &Device, command: &str, payload: &Value) -> Value {
    let request = node.event("node.invoke.request", |request| request["command"] == command);
    let result = json!({ "id": request["id"], "nodeId": device.id(), "ok": true, "payloadJSON": payload.to_string() });
    assert_eq!(node.request("node.invoke.result", result).unwrap(), json!({ "ok": true }));
    request
}

#[test]
fn a_mac_lends_its_programs_to_skills() {
    let home = Home::with_config(&json!({}));
    let skill = home.state_dir().join("skills/far");
    std::fs::create_dir_all(&skill).unwrap();
    let metadata = json!({ "clawdbot": { "os": ["darwin"], "requires": { "bins": ["far-away-tool"] } } });
    let text = format!("---\nname: far\ndescription: needs a Mac\nmetadata: {metadata}\n---\nUse it.\n");
    std::fs::write(skill.join("SKILL.md"), text).unwrap();
    let gateway = Gateway::start_in(home, &[], &[]);
    let mut operator = gateway.client();
    let eligible = |operator: &mut Client| {
        let status = operator.request("skills.status", json!({})).unwrap();
        let skills = status["skills"].as_array().unwrap();
        skills.iter().find(|skill| skill["name"] == "far").expect("the skill")["eligible"].clone()
    };
    assert_eq!(eligible(&mut operator), json!(false));
    let device = Device::of(31);
    let mut node = mac(&gateway, &device, &["system.which"]);
    let request = answer(&mut node, &device, "system.which", &json!({ "bins": ["far-away-tool"] }));
    assert_eq!(request["timeoutMs"], 15_000);
    assert_eq!(request["paramsJSON"], json!({ "bins": ["far-away-tool"] }).to_string());
    assert_eq!(eligible(&mut operator), json!(true));
    drop(node);
    operator.event("presence", |_| true);
    assert_eq!(eligible(&mut operator), json!(false));
}

#[test]
fn a_browser_is_a_node_s() {
    let gateway = Gateway::start(json!({}));
    let mut operator = gateway.client();
    let call = json!({ "method": "get", "path": "/tabs", "query": { "profile": "clawd" }, "timeoutMs": 9000 });
    let none = operator.request("browser.request", call.clone()).unwrap_err();
    assert_eq!(none["code"], "UNAVAILABLE");
    let device = Device::of(32);
    let mut node = mac(&gateway, &device, &["browser.proxy"]);
    let id = operator.post("browser.request", call);
    let request = answer(&mut node, &device, "browser.proxy", &json!({ "result": { "tabs": [] }, "files": [] }));
    let expected = json!({ "method": "GET", "path": "/tabs", "query": { "profile": "clawd" }, "timeoutMs": 9000 });
    assert_eq!(serde_json::from_str::<Value>(request["paramsJSON"].as_str().unwrap()).unwrap(), expected);
    assert_eq!(operator.response(&id).unwrap(), json!({ "tabs": [] }));
    let wrong = operator.request("browser.request", json!({ "method": "PUT", "path": "/" })).unwrap_err();
    assert_eq!(wrong["message"], "method must be GET, POST, or DELETE");
}
