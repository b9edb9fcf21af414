//! The wizard, driven by clients.

use serde_json::{Value, json};

use crate::support::client::{Client, connect_params};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::replay::Replay;
use crate::support::{TOKEN, wire};

/// A run that a client drives, answering by the question's first words; notes pass, other questions get their
/// suggestion.
struct Drive<'a> {
    client: &'a mut Client,
    session: String,
    last: Value,
}

impl<'a> Drive<'a> {
    fn start(client: &'a mut Client, params: Value) -> Self {
        let last = client.request("wizard.start", params).expect("a run");
        let session = last["sessionId"].as_str().expect("an id").to_owned();
        Self { client, session, last }
    }

    fn name(&self) -> &str {
        self.last["step"]["title"].as_str().or(self.last["step"]["message"].as_str()).unwrap_or_default()
    }

    fn params(&self, value: Value) -> Value {
        json!({ "sessionId": self.session, "answer": { "stepId": self.last["step"]["id"], "value": value } })
    }

    fn answer(&mut self, value: Value) {
        let params = self.params(value);
        self.last = self.client.request("wizard.next", params).expect("the next step");
    }

    /// Goes on until the step that starts with these words, or the end.
    fn until(&mut self, stop: &str, answers: &[(&str, Value)]) {
        for _ in 0..STEPS_MAX {
            if self.last["done"] != false || self.name().starts_with(stop) {
                return;
            }
            let given = answers.iter().find(|(start, _)| self.name().starts_with(start));
            let value = given.map_or_else(|| self.last["step"]["initialValue"].clone(), |(_, value)| value.clone());
            self.answer(value);
        }
        panic!("no end after {STEPS_MAX} steps: {}", self.last);
    }
}

/// More than the longest way through.
const STEPS_MAX: usize = 100;

/// No step starts so.
const NEVER: &str = "\u{0}";

#[test]
fn as_recorded() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    Replay::of("wizard.status-unknown").session(&gateway, &mut client);
    let recording = wire::load("wizard");
    let (mut session, mut step) = (Value::Null, Value::Null);
    for (sent, expected) in recording.sent.iter().zip(&recording.received) {
        let mut frame = sent.clone();
        if !frame["params"]["sessionId"].is_null() {
            frame["params"]["sessionId"] = session.clone();
        }
        if frame["params"]["answer"]["value"] == true {
            frame["params"]["answer"]["stepId"] = step.clone();
        }
        client.send(&frame);
        let actual = client.wait("the answer", |it| it["type"] == "res" && it["id"] == frame["id"]);
        let found = wire::differences(expected, &actual, gateway.home.path(), &[]);
        assert!(found.is_empty(), "{sent}: {found:?}");
        if frame["id"] == "1" {
            session = actual["payload"]["sessionId"].clone();
            step = actual["payload"]["step"]["id"].clone();
        }
    }
}

#[test]
fn a_run_makes_a_configuration_that_a_gateway_starts_on() {
    let home = Home::empty();
    home.write_config(&json!({ "logging": { "file": home.log_file() } }).to_string());
    let gateway = Gateway::start_in(home, &["--token", TOKEN], &[]);
    let mut client = gateway.client();
    let mut run = Drive::start(&mut client, json!({ "mode": "local", "workspace": "~/work" }));
    let answers = [
        ("I understand", json!(true)),
        ("Onboarding mode", json!("advanced")),
        ("Config handling", json!("modify")),
        ("Model provider", json!("offline")),
        ("Gateway token", json!("made-by-wizard")),
    ];
    run.until("Done", &answers);
    let before = std::fs::read_to_string(gateway.home.config_file()).unwrap();
    assert!(!before.contains("made-by-wizard") && !gateway.home.path().join("work").exists());
    run.answer(Value::Null);
    assert_eq!(run.last, json!({ "done": true, "status": "done" }));

    let config: Value = serde_json::from_str(&std::fs::read_to_string(gateway.home.config_file()).unwrap()).unwrap();
    assert_eq!(config["gateway"]["mode"], "local");
    assert_eq!(config["gateway"]["port"], gateway.port);
    assert_eq!(config["agents"]["defaults"]["workspace"], json!(gateway.home.path().join("work")));
    assert!(gateway.home.path().join("work/AGENTS.md").exists());

    let gateway = Gateway::start_on(gateway.port, gateway.kill());
    let mut params = connect_params();
    params["auth"]["token"] = json!("made-by-wizard");
    let mut client = Client::connect_as(gateway.port, params);
    let said = json!({ "sessionKey": "main", "message": "hello", "idempotencyKey": "r1" });
    client.request("chat.send", said).unwrap();
    assert_eq!(client.chat_end("r1")["state"], "final");
}

#[test]
fn a_cancelled_run_changes_nothing() {
    let gateway = Gateway::start(json!({}));
    let before = std::fs::read_to_string(gateway.home.config_file()).unwrap();
    let mut client = gateway.client();
    let mut run = Drive::start(&mut client, json!({}));
    run.until("Done", &[("I understand", json!(true)), ("Config handling", json!("reset"))]);
    assert_eq!(run.name(), "Done");
    let session = run.session.clone();
    let cancelled = client.request("wizard.cancel", json!({ "sessionId": session })).unwrap();
    assert_eq!(cancelled, json!({ "status": "cancelled", "error": "cancelled" }));
    assert_eq!(std::fs::read_to_string(gateway.home.config_file()).unwrap(), before);
    assert!(!gateway.home.path().join("clawd").exists());
    // And refusing the risk is a way to cancel.
    let mut run = Drive::start(&mut client, json!({}));
    run.until(NEVER, &[]);
    assert_eq!(run.last, json!({ "done": true, "status": "cancelled", "error": "risk not accepted" }));
    assert_eq!(std::fs::read_to_string(gateway.home.config_file()).unwrap(), before);
}

#[test]
fn a_killed_gateway_leaves_the_old_configuration() {
    let gateway = Gateway::start(json!({}));
    let before = std::fs::read_to_string(gateway.home.config_file()).unwrap();
    let mut client = gateway.client();
    let mut run = Drive::start(&mut client, json!({}));
    run.until("Done", &[("I understand", json!(true))]);
    assert_eq!(run.name(), "Done");
    let port = gateway.port;
    let home = gateway.kill();
    assert_eq!(std::fs::read_to_string(home.config_file()).unwrap(), before);
    let gateway = Gateway::start_on(port, home);
    assert!(gateway.client().request("wizard.start", json!({})).is_ok(), "a new process knows nothing of the old run");
}

#[test]
fn two_clients_and_one_wizard() {
    let gateway = Gateway::start(json!({}));
    let (mut one, mut two) = (gateway.client(), gateway.client());
    let run = Drive::start(&mut one, json!({}));
    let (session, step) = (run.session.clone(), run.last["step"]["id"].clone());
    let refused = two.request("wizard.start", json!({})).unwrap_err();
    assert_eq!(refused, json!({ "code": "UNAVAILABLE", "message": "wizard already running" }));
    // Whoever knows the id may go on; the step waits until it is answered.
    let again = two.request("wizard.next", json!({ "sessionId": session })).unwrap();
    assert_eq!(again["step"]["id"], step);
    let answer = json!({ "sessionId": session, "answer": { "stepId": step } });
    let next = two.request("wizard.next", answer.clone()).unwrap();
    assert_eq!(next["step"]["title"], "Security");
    let late = one.request("wizard.next", answer).unwrap_err();
    assert_eq!(late, json!({ "code": "INVALID_REQUEST", "message": "Error: wizard: no pending step" }));
    assert_eq!(one.request("wizard.status", json!({ "sessionId": session })).unwrap(), json!({ "status": "running" }));
    // Without the right to change everything there is no wizard.
    let mut params = connect_params();
    params["scopes"] = json!(["operator.write"]);
    let mut writer = Client::connect_as(gateway.port, params);
    let refused = writer.request("wizard.start", json!({})).unwrap_err();
    assert_eq!(refused["message"], "missing scope: operator.admin");
    let wrong = one.request("wizard.start", json!({ "mode": "sideways" })).unwrap_err();
    assert!(wrong["message"].as_str().unwrap().starts_with("invalid wizard.start params: at /mode: "), "{wrong}");
}

#[test]
fn a_client_that_vanished_can_come_back_or_be_replaced() {
    let gateway = Gateway::start(json!({}));
    let mut other = gateway.client();
    let mut first = gateway.client();
    let session = Drive::start(&mut first, json!({})).session;
    drop(first);
    other.event("presence", |_| true);
    // Back again: the run goes on, and is not abandoned any more.
    let mut back = gateway.client();
    assert_eq!(back.request("wizard.next", json!({ "sessionId": session })).unwrap()["done"], false);
    assert!(other.request("wizard.start", json!({})).is_err());
    drop(back);
    other.event("presence", |_| true);
    let run = Drive::start(&mut other, json!({}));
    assert_ne!(run.session, session);
    let gone = other.request("wizard.next", json!({ "sessionId": session })).unwrap_err();
    assert_eq!(gone["message"], "wizard not found");
}

#[test]
fn an_answer_that_cannot_be_taken_ends_the_run() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let mut run = Drive::start(&mut client, json!({ "mode": "local" }));
    let answers = [
        ("I understand", json!(true)),
        ("Onboarding mode", json!("advanced")),
        ("Config handling", json!("modify")),
        ("Gateway port", json!("many")),
    ];
    run.until(NEVER, &answers);
    assert_eq!(run.last, json!({ "done": true, "status": "error", "error": "Error: Invalid port" }));
    assert!(Drive::start(&mut client, json!({})).last["done"] == false, "the next one may start");
}

#[test]
fn everybody_who_waits_hears_of_the_end() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let mut run = Drive::start(&mut client, json!({}));
    run.until("Done", &[("I understand", json!(true))]);
    let (last, wait) = (run.params(Value::Null), json!({ "sessionId": run.session }));
    let answering = client.post("wizard.next", last);
    let waiting = client.post("wizard.next", wait.clone());
    let cancelling = client.post("wizard.cancel", wait);
    assert_eq!(client.response(&answering).unwrap(), json!({ "done": true, "status": "done" }));
    // Both came while the plan was carried out, or just after.
    match client.response(&waiting) {
        Ok(end) => assert_eq!(end, json!({ "done": true, "status": "done" })),
        Err(error) => assert_eq!(error["message"], "wizard not found"),
    }
    let refused = client.response(&cancelling).unwrap_err();
    assert!(refused["retryable"] == true || refused["message"] == "wizard not found", "{refused}");
    let config = std::fs::read_to_string(gateway.home.config_file()).unwrap();
    assert!(config.contains("lastRunCommand"), "{config}");
}
