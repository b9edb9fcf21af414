//! Sends what a recording sent and demands what it received.

use std::collections::HashMap;

use serde_json::{Value, json};
use tungstenite::protocol::Message;

use super::client::{Client, Device, now_ms};
use super::gateway::Gateway;
use super::wire::{self, Recording, differences};

/// How one recording is replayed; see the fields.
pub struct Replay<'a> {
    /// File name without `.json`.
    pub recording: &'a str,
    /// Headers of the upgrade.
    pub headers: &'a [(&'a str, &'a str)],
    /// Whose key signs in place of the recorded one.
    pub device: u8,
    /// Applied to the signed `device` object, for the recordings of bad ones.
    pub spoil: fn(&mut Value),
    /// How long ago the signature was made.
    pub signed_ago_ms: u64,
    /// Pointers into the received frames that this gateway fills differently.
    pub ignore: &'a [&'a str],
}

impl<'a> Replay<'a> {
    pub fn of(recording: &'a str) -> Self {
        Self { recording, headers: &[], device: 7, spoil: |_| {}, signed_ago_ms: 0, ignore: &[] }
    }

    /// A recording that holds the handshake itself.
    pub fn handshake(&self, gateway: &Gateway) {
        let recording = wire::load(self.recording);
        let mut client = Client::open(gateway.port, self.headers);
        let greeting = client.wait("the challenge", |frame| frame["event"] == "connect.challenge");
        let nonce = greeting["payload"]["nonce"].as_str().expect("a nonce").to_owned();
        self.check(gateway, &recording.received[0], &greeting);
        self.exchange(gateway, &mut client, &recording, 1, &nonce);
    }

    /// A recording that starts after the handshake.
    pub fn session(&self, gateway: &Gateway, client: &mut Client) {
        self.exchange(gateway, client, &wire::load(self.recording), 0, "");
    }

    /// A recording whose requests name ids and tokens of earlier answers: each request is sent when those are known.
    pub fn in_turn(&self, gateway: &Gateway, client: &mut Client) {
        self.turns(gateway, client, &wire::load(self.recording));
    }

    /// As [`Replay::in_turn`], for a recording at hand.
    pub fn turns(&self, gateway: &Gateway, client: &mut Client, recording: &Recording) {
        let mut known: HashMap<String, String> = HashMap::new();
        let mut unsent = recording.sent.as_slice();
        for (index, expected) in recording.received.iter().enumerate() {
            // What is awaited may be the work of any request up to the one that is answered next.
            let next = recording.received[index..].iter().find(|frame| frame["type"] == "res");
            while next.is_some_and(|next| unsent.iter().any(|frame| frame["id"] == next["id"])) {
                let frame = substituted(&unsent[0], &known);
                if expected["type"] == "event" && awaits_answers(&frame, &recording.received) {
                    break;
                }
                client.send(&frame);
                unsent = &unsent[1..];
            }
            let what = format!("{}: {}", recording.name, head_of(expected));
            let actual = client.wait(&what, |frame| same_kind(expected, frame));
            self.check(gateway, expected, &actual);
            wire::learn(expected, &actual, &mut known);
        }
    }

    /// What a recording received, when its requests were sent before.
    pub fn receive(&self, gateway: &Gateway, client: &mut Client, recording: &Recording) {
        for expected in &recording.received {
            let what = format!("{}: {}", recording.name, head_of(expected));
            let actual = client.wait(&what, |frame| same_kind(expected, frame));
            self.check(gateway, expected, &actual);
        }
    }

    fn exchange(&self, gateway: &Gateway, client: &mut Client, recording: &Recording, from: usize, nonce: &str) {
        for frame in &recording.sent {
            let message = match frame["_raw"].as_str() {
                Some(text) => Message::text(text),
                None => self.message(frame.clone(), nonce),
            };
            client.send_message(message);
        }
        for expected in &recording.received[from..] {
            let what = format!("{}: {}", recording.name, head_of(expected));
            let actual = client.wait(&what, |frame| same_kind(expected, frame));
            self.check(gateway, expected, &actual);
        }
        // 1005: the recording client went away by itself.
        if let Some(close) = recording.close.as_ref().filter(|close| close.0 != 1005) {
            assert_eq!(client.wait_close(), *close, "{}", recording.name);
        }
    }

    fn message(&self, mut frame: Value, nonce: &str) -> Message {
        let binary = frame.as_object_mut().is_some_and(|it| it.remove("_binary").is_some());
        if frame.pointer("/params/device").is_some() {
            let with_nonce = frame.pointer("/params/device/nonce").is_some().then_some(nonce);
            let signed_at = now_ms() - self.signed_ago_ms;
            let mut device = Device::of(self.device).sign(&frame["params"], signed_at, with_nonce);
            (self.spoil)(&mut device);
            frame["params"]["device"] = device;
        }
        let text = frame.to_string();
        if binary { Message::binary(text) } else { Message::text(text) }
    }

    fn check(&self, gateway: &Gateway, expected: &Value, actual: &Value) {
        check(self.recording, gateway, expected, actual, self.ignore);
    }
}

/// Demands that a frame is as recorded.
#[track_caller]
pub fn check(recording: &str, gateway: &Gateway, expected: &Value, actual: &Value, ignore: &[&str]) {
    let found = differences(expected, actual, gateway.home.path(), ignore);
    assert!(found.is_empty(), "{recording}: {}\n{}\nactual: {actual}", head_of(expected), found.join("\n"));
}

/// Whether a request names something random of the recording that is not known yet.
fn awaits_answers(request: &Value, received: &[Value]) -> bool {
    let mut wanted = Vec::new();
    wire::random_texts(&request["params"], &mut wanted);
    let mut recorded = Vec::new();
    received.iter().for_each(|frame| wire::random_texts(frame, &mut recorded));
    wanted.iter().any(|text| recorded.contains(text))
}

fn substituted(frame: &Value, known: &HashMap<String, String>) -> Value {
    match frame {
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), substituted(value, known))).collect())
        }
        Value::Array(items) => items.iter().map(|item| substituted(item, known)).collect(),
        Value::String(text) => known.get(text).unwrap_or(text).as_str().into(),
        other => other.clone(),
    }
}

/// Which received frame stands for which recorded one: ids for responses; name, run, stream and phase for events.
pub fn same_kind(expected: &Value, actual: &Value) -> bool {
    let same = |pointer: &str| expected.pointer(pointer) == actual.pointer(pointer);
    if expected["type"] == "res" {
        return same("/type") && same("/id");
    }
    ["/type", "/event", "/payload/runId", "/payload/state", "/payload/stream", "/payload/data/phase"]
        .iter()
        .all(|it| same(it))
        || (expected["event"] == "chat"
            && same("/event")
            && expected["payload"]["runId"].as_str().is_some_and(|it| it.starts_with("inject-")))
}

fn head_of(frame: &Value) -> Value {
    json!([frame["type"], frame["id"], frame["event"], frame["payload"]["state"], frame["payload"]["stream"]])
}
