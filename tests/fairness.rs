//! Many clients at once: nobody's burst, slowness or silence costs anybody else an answer or an event.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::time::Instant;

use serde_json::{Value, json};
use tungstenite::protocol::Message;

use crate::support::PATIENCE;
use crate::support::client::{Client, Device, connect_params};
use crate::support::gateway::Gateway;
use crate::support::provider::{Answer, Gate, Provider};

/// As many as the issue names; each is a socket on both sides, and both sides are of this machine.
const CLIENTS: usize = 1000;

fn many(gateway: &Gateway, count: usize) -> Vec<Client> {
    (0..count).map(|_| gateway.client()).collect()
}

#[test]
fn a_burst_starts_in_order_and_slow_methods_hold_nobody_up() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    // Each wake leaves a line, so the lines tell in which order the requests began.
    for index in 0..20 {
        client.post("wake", json!({ "mode": "next-heartbeat", "text": format!("line {index}") }));
    }
    // Answered by a timer, a disk job and a wait: none of them may delay what comes behind.
    let slow = client.post("agent.wait", json!({ "runId": "nobody", "timeoutMs": 600_000 }));
    let disk = client.post("chat.history", json!({ "sessionKey": "main" }));
    let quick = client.request("last-heartbeat", json!({})).unwrap();
    assert_eq!(quick, Value::Null);
    assert!(client.response(&disk).is_ok());
    let status = client.request("status", json!({})).unwrap();
    let expected: Vec<String> = (0..20).map(|index| format!("line {index}")).collect();
    assert_eq!(status["queuedSystemEvents"], json!(expected));
    assert!(client.unread().iter().all(|frame| frame["id"] != slow.as_str()), "nobody ended that wait");
}

/// More frames than an inbox holds, in one piece: what the loop answers itself and what workers answer come in the order
/// of the requests, and nothing is left lying.
#[test]
fn a_pipelined_burst_is_answered_in_order() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let mut burst = Vec::new();
    for index in 0..500 {
        let method = if index % 50 == 7 { "agents.list" } else { "last-heartbeat" };
        let text = json!({ "type": "req", "id": format!("q{index}"), "method": method }).to_string();
        // A masked text frame; a mask of zeros leaves the text as it is.
        burst.extend([0x81, 0x80 | u8::try_from(text.len()).expect("a short frame"), 0, 0, 0, 0]);
        burst.extend(text.as_bytes());
    }
    client.raw().write_all(&burst).expect("sent");
    assert!(client.response("q499").is_ok());
    let ids: Vec<&str> = client
        .unread()
        .iter()
        .filter(|frame| frame["type"] == "res")
        .filter_map(|frame| frame["id"].as_str())
        .collect();
    let expected: Vec<String> = (0..499).map(|index| format!("q{index}")).collect();
    assert_eq!(ids, expected);
}

#[test]
fn a_thousand_clients_with_a_request_each_are_all_answered() {
    let gateway = Gateway::start(json!({}));
    let mut clients = many(&gateway, CLIENTS);
    let wait = json!({ "runId": "nobody", "timeoutMs": 600_000 });
    let waits: Vec<String> = clients[1..].iter_mut().map(|client| client.post("agent.wait", wait.clone())).collect();
    // One client asks for far more than its share; the others must not have to wait until it is served.
    let greedy: Vec<String> = (0..500).map(|_| clients[0].post("config.get", json!({}))).collect();
    let ids: Vec<String> = clients[1..].iter_mut().map(|client| client.post("system-presence", json!({}))).collect();
    for (client, id) in clients[1..].iter_mut().zip(&ids) {
        assert!(client.response(id).is_ok());
    }
    for (client, id) in clients[1..].iter().zip(&waits) {
        assert!(client.unread().iter().all(|frame| frame["id"] != id.as_str()), "nobody ended that wait");
    }
    for id in greedy {
        assert!(clients[0].response(&id).is_ok());
    }
}

/// Far more at once than a lane holds: the senders wait in their sockets, and nobody is refused or forgotten.
#[test]
fn requests_beyond_a_full_lane_wait_for_room() {
    let gateway = Gateway::start(json!({}));
    let mut clients = many(&gateway, 40);
    let asked: Vec<Vec<String>> =
        clients.iter_mut().map(|client| (0..50).map(|_| client.post("sessions.list", json!({}))).collect()).collect();
    for (client, ids) in clients.iter_mut().zip(asked) {
        for id in ids {
            let answer = client.response(&id);
            assert!(answer.is_ok(), "{answer:?}");
        }
        assert!(client.request("last-heartbeat", json!({})).is_ok(), "it goes on as before");
    }
}

#[test]
fn one_slow_reader_among_a_thousand_costs_nobody_an_event() {
    let gate = Gate::default();
    let provider = Provider::always(Answer::Held("begin", gate.clone(), "end"));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut slow = gateway.client();
    let mut clients = many(&gateway, CLIENTS);
    let mut sender = gateway.client();
    sender.request("chat.send", json!({ "sessionKey": "main", "message": "hi", "idempotencyKey": "first" })).unwrap();
    gate.open();
    sender.chat_end("first");
    let long = json!({ "sessionKey": "main", "message": "n".repeat(400_000) });
    sender.request("chat.inject", long).unwrap();
    // The slow one asks for more than its socket takes and reads none of it.
    for _ in 0..40 {
        slow.post("chat.history", json!({ "sessionKey": "main" }));
    }
    // Asked for after those, answered after them.
    sender.request("chat.history", json!({ "sessionKey": "main" })).unwrap();
    sender.request("chat.history", json!({ "sessionKey": "main" })).unwrap();
    // Each note is an event for everybody that may not be dropped.
    let shown = |label: String| {
        move |frame: &Value| {
            let text = &frame["payload"]["message"]["content"][0]["text"];
            frame["event"] == "chat" && text.as_str().is_some_and(|text| text.starts_with(&label))
        }
    };
    let mut ended = None;
    for index in 1..=20 {
        let label = format!("{index:02}");
        sender.request("chat.inject", json!({ "sessionKey": "main", "message": "note", "label": label })).unwrap();
        for client in &mut clients {
            client.wait("the note", shown(format!("[{label}]")));
        }
        // Once it is closed it has ten seconds to read why; on a busy machine the other notes take longer.
        let is_closed = || {
            let log = std::fs::read_to_string(gateway.home.log_file()).unwrap_or_default();
            log.contains("closing slow consumer")
        };
        if ended.is_none() && is_closed() {
            ended = Some(slow.wait_close());
        }
    }
    let (code, reason) = ended.unwrap_or_else(|| slow.wait_close());
    assert_eq!((code, reason.as_str()), (1008, "slow consumer"));
    for client in &mut clients {
        assert!(client.request("last-heartbeat", json!({})).is_ok());
        let seqs = client.seqs();
        let gaps = seqs.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
        assert_eq!(gaps, 0, "no gap: {seqs:?}");
    }
}

#[test]
fn whoever_leaves_a_crowd_costs_the_others_nothing() {
    let gateway = Gateway::start(json!({}));
    let mut speaker = gateway.client();
    // Enough for several threads to write to.
    let mut crowd = many(&gateway, 400);
    for round in 0..5 {
        // With words of the last round unread, so that a write to them fails at once or not at all.
        crowd.truncate(crowd.len() - 20);
        speaker.request("talk.mode", json!({ "enabled": true, "phase": round.to_string() })).unwrap();
    }
    for client in &mut crowd {
        for round in 0..5 {
            assert_eq!(client.event("talk.mode", |_| true)["phase"], round.to_string());
        }
    }
    speaker.request("health", json!({})).unwrap();
}

#[test]
fn gaps_are_scope_filters_and_nothing_else() {
    let gateway = Gateway::start(json!({}));
    let mut params = connect_params();
    params["scopes"] = json!(["operator.read"]);
    let mut reader = Client::connect_as(gateway.port, params);
    let mut admin = gateway.client();
    let mut bodies = BTreeMap::new();
    for index in 0..5 {
        admin.request("system-event", json!({ "text": format!("Node: n{index}") })).unwrap();
        // A device that pairs is an event for those who may pair, and for nobody else.
        let mut params = connect_params();
        params["client"]["instanceId"] = format!("paired-{index}").into();
        Client::connect_device(gateway.port, &Device::of(100 + index), params);
    }
    admin.request("set-heartbeats", json!({ "enabled": true })).unwrap();
    admin.request("system-event", json!({ "text": "Node: end" })).unwrap();
    let is_last = |frame: &Value| frame["event"] == "presence" && frame["payload"].to_string().contains("Node: end");
    admin.wait("the last presence", is_last);
    reader.wait("the last presence", is_last);
    for (name, client) in [("admin", &mut admin), ("reader", &mut reader)] {
        for frame in client.unread().iter().filter(|frame| frame["seq"].is_u64()) {
            let seq = frame["seq"].as_u64().unwrap();
            let first = bodies.entry(seq).or_insert_with(|| frame.clone());
            assert_eq!(first, frame, "{name}: everybody has the same event under one number");
        }
    }
    let guarded =
        |client: &Client| client.unread().iter().filter(|frame| frame["event"] == "device.pair.resolved").count();
    assert_eq!((guarded(&admin), guarded(&reader)), (5, 0));
    let (all, seen) = (admin.seqs(), reader.seqs());
    let hidden: Vec<u64> =
        bodies.iter().filter(|(_, frame)| frame["event"] == "device.pair.resolved").map(|(seq, _)| *seq).collect();
    let missed: Vec<u64> = all.iter().copied().filter(|seq| *seq > seen[0] && !seen.contains(seq)).collect();
    assert_eq!(missed, hidden);
}

#[test]
fn connects_share_health_refreshes() {
    let gateway = Gateway::start(json!({}));
    let mut watcher = gateway.client();
    let before = Instant::now();
    let clients = many(&gateway, 200);
    // What they caused is over when a refresh that was asked for now is.
    watcher.request("health", json!({ "probe": true })).unwrap();
    let count = watcher.unread().iter().filter(|frame| frame["event"] == "health").count();
    let allowed = 3 + usize::try_from(before.elapsed().as_secs()).unwrap();
    assert!(count <= allowed, "{count} health events for {} connects", clients.len());
}

#[test]
fn silent_sockets_and_half_frames_hold_nobody_up() {
    let gateway = Gateway::start(json!({}));
    let mut silent: Vec<_> = (0..200).map(|_| gateway.socket()).collect();
    for socket in &mut silent {
        socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
    }
    let mut half = gateway.client();
    half.raw().write_all(&[0x81, 0xfe]).unwrap();
    let mut client = gateway.client();
    for _ in 0..50 {
        client.request("system-presence", json!({})).unwrap();
    }
    client.send_message(Message::Ping(vec![1].into()));
    assert!(client.request("last-heartbeat", json!({})).is_ok());
    silent[0].set_read_timeout(Some(PATIENCE)).unwrap();
    silent[0].write_all(b"\r\n").unwrap();
    assert!(silent[0].read(&mut [0; 16]).unwrap() > 0, "a late head is still answered");
}
