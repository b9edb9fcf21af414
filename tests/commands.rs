//! What is typed into a chat besides messages: commands alone, and directives within other words.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::provider::{Answer, Provider};

const MAIN: &str = "agent:main:main";

fn answer(client: &mut Client, run: &str, message: &str) -> String {
    let params = json!({ "sessionKey": MAIN, "message": message, "idempotencyKey": run });
    assert_eq!(client.request("chat.send", params).expect("started")["status"], "started");
    let end = client.chat_end(run);
    assert_eq!(end["state"], "final", "{end}");
    end["message"]["content"][0]["text"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn commands_are_answered_without_a_model() {
    let provider = Provider::always(Answer::Text(vec!["A model spoke."]));
    let gateway = Gateway::with_provider(&provider, json!({ "commands": { "config": true } }));
    let mut client = gateway.client();
    for (at, (message, wanted)) in [
        ("/think high /verbose on", "Thinking level set to high. ⚙️ Verbose logging enabled."),
        ("/queue steer", "⚙️ Queue mode set to steer."),
        ("/elevated full", "elevated is not available right now"),
        ("/approve nothing", "Usage: /approve <id> allow-once|allow-always|deny"),
        ("/approve 1 deny", "❌ Failed to submit approval: Error: unknown approval id"),
        ("/config set messages.queue.cap=7", "⚙️ Config updated: messages.queue.cap=7"),
        ("/config get messages.queue.cap", "⚙️ Config messages.queue.cap:\n```json\n7\n```"),
        ("/config set x", "⚠️ Usage: /config set path=value"),
        ("/allowlist", "⚠️ Unknown channel. Add channel=<id> to the command."),
        ("/subagents", "🧭 Subagents: none for this session."),
        ("/usage cost", "💸 Usage cost\nSession $0.00"),
        ("/context", "🧠 Context breakdown\n"),
        ("/whoami", "🧭 Identity\nChannel: webchat"),
        ("/debug", "⚠️ /debug is disabled."),
        ("/restart", "⚠️ /restart is disabled."),
        ("/status", "🦞 Clawdbot "),
    ]
    .iter()
    .enumerate()
    {
        let reply = answer(&mut client, &format!("c{at}"), message);
        assert!(reply.starts_with(wanted), "{message}: {reply}");
    }
    assert!(provider.requests().is_empty());
}

#[test]
fn directives_within_a_message_are_taken_out() {
    let provider = Provider::always(Answer::Text(vec!["A model spoke."]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    assert_eq!(answer(&mut client, "r1", "fix it /think high please /status"), "A model spoke.");
    let request = provider.requests().pop().expect("a request");
    let users: Vec<&Value> = request["messages"].as_array().unwrap().iter().filter(|it| it["role"] == "user").collect();
    let said = users[0].to_string();
    assert!(said.contains("fix it please") && !said.contains("/think") && !said.contains("/status"), "{said}");
    let status = client.event("chat", |chat| chat["runId"] == "r1-status");
    assert!(status.to_string().contains("Clawdbot"), "{status}");
    let sessions = client.request("sessions.list", json!({})).unwrap();
    assert_eq!(sessions["sessions"][0]["thinkingLevel"], Value::Null, "it counts only alone: {sessions}");
}
