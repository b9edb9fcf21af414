//! Messages for a session that is at work: told to the run, answered after it, put in its place; and after a kill.

mod chat;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::provider::{Answer, Gate, Provider};

const MAIN: &str = "agent:main:main";

fn send(client: &mut Client, run: &str) {
    let params = json!({ "sessionKey": MAIN, "message": format!("this is {run}"), "idempotencyKey": run });
    assert_eq!(client.request("chat.send", params).expect("started")["status"], "started");
}

/// Sends a message while a run is under way, and sees where it goes: the answer to its sender comes before that.
fn send_behind(gateway: &Gateway, client: &mut Client, run: &str, place: &str) {
    send(client, run);
    gateway.wait_lines(&format!("message {run} {place}"), 1);
}

fn final_text(client: &mut Client, run: &str) -> Option<String> {
    let end = client.chat_end(run);
    assert_eq!(end["state"], "final", "{end}");
    end["message"]["content"][0]["text"].as_str().map(str::to_owned)
}

/// What the users said in a request that reached the provider, each as its last word.
fn said(request: &Value) -> Vec<String> {
    let messages = request["messages"].as_array().expect("messages");
    let text = |message: &Value| match &message["content"] {
        Value::String(text) => text.clone(),
        content => content.as_array().into_iter().flatten().filter_map(|it| it["text"].as_str()).collect(),
    };
    let users = messages.iter().filter(|it| it["role"] == "user").map(text);
    users.map(|text| text.split_whitespace().last().unwrap_or_default().to_owned()).collect()
}

fn queue(mode: &str) -> Value {
    json!({ "messages": { "queue": { "mode": mode, "debounceMs": 0 } }, "logging": { "consoleLevel": "debug" } })
}

/// A provider whose first answer waits for a gate.
fn held(gate: &Gate) -> Provider {
    let gate = gate.clone();
    Provider::start(move |index, _| match index {
        0 => Answer::Held("One", gate.clone(), "."),
        1 => Answer::Text(vec!["Two."]),
        _ => Answer::Text(vec!["Three."]),
    })
}

#[test]
fn a_steered_message_is_read_by_the_run_under_way() {
    let gate = Gate::default();
    let provider = held(&gate);
    let gateway = Gateway::with_provider(&provider, queue("steer"));
    let mut client = gateway.client();
    send(&mut client, "r1");
    provider.wait_requests(1);
    send_behind(&gateway, &mut client, "r2", "goes to run r1");
    gate.open();
    assert_eq!(final_text(&mut client, "r2"), None, "it has no run of its own");
    assert_eq!(final_text(&mut client, "r1").as_deref(), Some("Two."));
    let requests = provider.requests();
    assert_eq!((requests.len(), said(&requests[1])), (2, vec!["r1".to_owned(), "r2".to_owned()]));
}

#[test]
fn a_backlogged_message_is_read_and_answered() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |index, _| match index {
        0 => Answer::Held("Thinking", held.clone(), " aloud."),
        _ => Answer::Text(vec!["Done."]),
    });
    let gateway = Gateway::with_provider(&provider, queue("steer-backlog"));
    let mut client = gateway.client();
    send(&mut client, "r1");
    provider.wait_requests(1);
    send_behind(&gateway, &mut client, "r2", "goes to run r1");
    gate.open();
    assert_eq!(final_text(&mut client, "r1").as_deref(), Some("Done."));
    assert_eq!(final_text(&mut client, "r2").as_deref(), Some("Done."), "and once more by itself");
    let requests = provider.requests();
    assert_eq!(said(&requests[1]), ["r1", "r2"]);
    assert_eq!(said(&requests[2]), ["r1", "r2", "r2"]);
}

#[test]
fn an_interruption_takes_the_runs_place() {
    let gate = Gate::default();
    let provider = held(&gate);
    let gateway = Gateway::with_provider(&provider, queue("interrupt"));
    let mut client = gateway.client();
    send(&mut client, "r1");
    provider.wait_requests(1);
    send(&mut client, "r2");
    let end = client.chat_end("r1");
    assert_eq!((&end["state"], &end["stopReason"]), (&json!("aborted"), &json!("interrupt")), "{end}");
    assert_eq!(final_text(&mut client, "r2").as_deref(), Some("Two."));
    gate.open();
}

#[test]
fn what_waits_is_answered_in_order_unless_it_is_stopped() {
    let gate = Gate::default();
    let provider = held(&gate);
    let gateway = Gateway::with_provider(&provider, queue("collect"));
    let mut client = gateway.client();
    send(&mut client, "r1");
    provider.wait_requests(1);
    ["r2", "r3", "r4"].iter().for_each(|run| send_behind(&gateway, &mut client, run, "waits"));
    let stopped = client.request("chat.abort", json!({ "sessionKey": MAIN, "runId": "r2" })).expect("ok");
    assert_eq!(stopped["aborted"], true, "{stopped}");
    assert_eq!(client.chat_end("r2")["state"], "aborted");
    gate.open();
    assert_eq!(final_text(&mut client, "r1").as_deref(), Some("One."));
    assert_eq!(final_text(&mut client, "r3").as_deref(), Some("Two."));
    assert_eq!(final_text(&mut client, "r4").as_deref(), Some("Three."));
    assert_eq!(said(&provider.requests()[2]), ["r1", "r2", "r3", "r4"], "what was stopped was said all the same");
}

#[test]
fn a_session_with_much_to_do_lets_others_have_their_turn() {
    let gate = Gate::default();
    let provider = held(&gate);
    let mut config = queue("followup");
    config["agents"] = json!({ "defaults": { "maxConcurrent": 1 } });
    let gateway = Gateway::with_provider(&provider, config);
    let mut client = gateway.client();
    send(&mut client, "r1");
    provider.wait_requests(1);
    ["r2", "r3"].iter().for_each(|run| send_behind(&gateway, &mut client, run, "waits"));
    let other = json!({ "sessionKey": "agent:main:other", "message": "this is x1", "idempotencyKey": "x1" });
    assert_eq!(client.request("chat.send", other).expect("started")["status"], "started");
    gate.open();
    for run in ["r1", "x1", "r2", "r3"] {
        final_text(&mut client, run);
    }
    let order: Vec<String> = provider.requests().iter().filter_map(|request| said(request).pop()).collect();
    assert_eq!(order, ["r1", "x1", "r2", "r3"], "who came last but had nothing yet is not last");
}

#[test]
fn what_waits_is_answered_after_a_kill() {
    let gate = Gate::default();
    let provider = held(&gate);
    let gateway = Gateway::with_provider(&provider, queue("followup"));
    let mut client = gateway.client();
    send(&mut client, "r1");
    provider.wait_requests(1);
    ["r2", "r3"].iter().for_each(|run| send(&mut client, run));
    drop(client);
    let home = gateway.kill();
    gate.open();
    let gateway = Gateway::start_in(home, &[], &[]);
    let mut client = gateway.client();
    for run in ["r1", "r2", "r3"] {
        let end = client.request("agent.wait", json!({ "runId": run, "timeoutMs": 20_000 })).expect("an end");
        assert_eq!(end["status"], "ok", "{run}: {end}");
    }
    let last = provider.requests().pop().expect("a request");
    assert_eq!(said(&last), ["r1", "r2", "r3"]);
}
