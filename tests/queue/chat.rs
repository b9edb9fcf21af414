//! What runs say in a chat, and what messages do to a run: between a Bot API server and a scripted model.

use serde_json::{Value, json};

use crate::support::bot_api::BotApi;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Gate, Provider};

/// Makes every wait of the poll short, and lets channels start.
const ENV: [(&str, &str); 2] = [("CLAWDBOT_SKIP_CHANNELS", "0"), ("CLAWDBOT_TELEGRAM_HURRY", "1")];
const CHAT: &str = "424242";
const USER: i64 = 424_242;

/// A gateway whose only channel is this bot and whose only model is this provider.
fn gateway(api: &BotApi, provider: &Provider, telegram: &Value, more: &Value) -> Gateway {
    let mut channel = api.config();
    channel.as_object_mut().expect("object").extend(telegram.as_object().expect("object").clone());
    let model = json!({ "id": "m", "name": "m", "input": ["text"], "contextWindow": 32000, "maxTokens": 1000 });
    let entry = json!({ "baseUrl": provider.url(), "apiKey": "k", "api": "openai-completions", "models": [model] });
    let mut config = json!({
        "channels": { "telegram": channel },
        "models": { "providers": { "test": entry } },
        "agents": { "defaults": { "model": { "primary": "test/m" }, "heartbeat": { "every": "0m" } } },
    });
    let defaults = more["defaults"].as_object().cloned().unwrap_or_default();
    config["agents"]["defaults"].as_object_mut().expect("object").extend(defaults);
    config["messages"] = more["messages"].clone();
    if config["messages"].is_null() {
        config.as_object_mut().expect("object").remove("messages");
    }
    Gateway::start_in(Home::with_config(&config), &[], &ENV)
}

#[test]
fn messages_that_come_meanwhile_are_answered_together() {
    let api = BotApi::start();
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |index, _| match index {
        0 => Answer::Held("One", held.clone(), "."),
        _ => Answer::Text(vec!["All three."]),
    });
    let queue = json!({ "messages": { "queue": { "debounceMs": 300 } } });
    let _gateway = gateway(&api, &provider, &json!({}), &queue);
    api.say(USER, "first");
    provider.wait_requests(1);
    for text in ["second", "third", "fourth"] {
        api.say(USER, text);
    }
    api.wait("they are taken", |api| api.pending() == 0);
    gate.open();
    assert_eq!(api.wait_texts(CHAT, 2), ["One.", "All three."]);
    let asked = provider.requests()[1].to_string();
    assert!(asked.contains("[Queued messages while agent was busy]") && asked.contains("Queued #3"), "{asked}");
    assert_eq!(provider.requests().len(), 2);
}

#[test]
fn answers_have_their_prefix_and_footer_and_tools_are_told() {
    let api = BotApi::start();
    let provider = Provider::start(|index, _| match index {
        0 => Answer::Tool("exec", json!({ "command": "echo hi" })),
        _ => Answer::Text(vec!["[[reply_to_current]] It says hi."]),
    });
    let prefix = json!({ "messages": { "responsePrefix": "({model})" } });
    let _gateway = gateway(&api, &provider, &json!({}), &prefix);
    api.say(USER, "/verbose on");
    api.say(USER, "/usage tokens");
    assert_eq!(api.wait_texts(CHAT, 2), ["⚙️ Verbose logging enabled.", "⚙️ Usage footer: tokens."]);
    let id = api.say(USER, "run it");
    let texts = api.wait_texts(CHAT, 4);
    assert_eq!(texts[2], "🛠️ exec: echo hi");
    assert!(texts[3].starts_with("(m) It says hi.\nUsage: 22 in / 18 out"), "{texts:?}");
    let last = api.done("sendMessage").pop().expect("a message");
    assert!(last.params.to_string().contains(&id.to_string()), "it answers the message: {:?}", last.params);
}

#[test]
fn long_answers_go_out_in_parts_where_that_is_wished_for() {
    let api = BotApi::start();
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::always(Answer::Held(
        "A first paragraph that is whole.\n\nAnd a second one begins",
        held,
        " and ends.",
    ));
    let chunk = json!({ "defaults": { "blockStreamingChunk": { "minChars": 10, "maxChars": 40 } } });
    let _gateway = gateway(&api, &provider, &json!({ "blockStreaming": true }), &chunk);
    api.say(USER, "tell me");
    assert_eq!(api.wait_texts(CHAT, 1), ["A first paragraph that is whole."], "before the model has ended");
    gate.open();
    assert_eq!(api.wait_texts(CHAT, 2)[1], "And a second one begins and ends.");
    api.say(USER, "/stop");
    assert_eq!(api.wait_texts(CHAT, 3)[2], "⚙️ Agent was aborted.");
}

#[test]
fn what_waited_at_a_kill_is_answered_once() {
    let api = BotApi::start();
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |index, _| match index {
        0 => Answer::Held("One", held.clone(), "."),
        1 => Answer::Text(vec!["First."]),
        _ => Answer::Text(vec!["Both others."]),
    });
    let queue = json!({ "messages": { "queue": { "debounceMs": 0 } } });
    let gateway = gateway(&api, &provider, &json!({}), &queue);
    api.say(USER, "first");
    provider.wait_requests(1);
    for text in ["second", "third"] {
        api.say(USER, text);
    }
    api.wait("they are taken", |api| api.pending() == 0);
    // Taken from the network means on the disk; the second is in its session's queue once the third is handed on.
    let gateway = Gateway::start_in(gateway.kill(), &[], &ENV);
    gate.open();
    let texts = api.wait_texts(CHAT, 2);
    assert_eq!(texts, ["First.", "Both others."], "and nothing twice");
    let mut client = gateway.client();
    let said = client.request("chat.history", json!({ "sessionKey": "main" })).expect("history").to_string();
    for text in ["first", "second", "third"] {
        assert_eq!(said.matches(text).count(), 1, "{text}: {said}");
    }
}
