//! Several bots in one gateway, each with its own people and agent.

use serde_json::{Value, json};

use super::ENV;
use crate::support::bot_api::{BotApi, group};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Provider};

/// The agent that a request to the model speaks for.
fn agent_of(request: &Value) -> String {
    let prompt = request["messages"][0]["content"].to_string();
    let rest = prompt.split("agent=").nth(1).unwrap_or_default();
    rest.split([' ', '|']).next().unwrap_or_default().to_owned()
}

/// What an account needs of its own; who may speak, its channel says.
fn bare(api: &BotApi) -> Value {
    let mut config = api.config();
    for key in ["dmPolicy", "allowFrom"] {
        config.as_object_mut().expect("object").remove(key);
    }
    config
}

#[test]
fn each_account_answers_with_its_own_agent_through_its_own_bot() {
    let (one, two) = (BotApi::of("111:AAone"), BotApi::of("222:AAtwo"));
    let provider = Provider::start(|_, request| match &*agent_of(request) {
        "ops" => Answer::Text(vec!["ops here"]),
        "night" => Answer::Text(vec!["night here"]),
        _ => Answer::Text(vec!["main here"]),
    });
    let home = Home::with_config(&json!({
        "agents": {"defaults": {"heartbeat": {"every": "0m"}}, "list": [{"id": "main", "default": true}, {"id": "ops"}, {"id": "night"}]},
        "channels": {"telegram": {"groupPolicy": "open", "dmPolicy": "open", "allowFrom": ["*"], "accounts": {"default": bare(&one), "work": bare(&two)}}},
        "bindings": [
            {"agentId": "ops", "match": {"channel": "telegram", "accountId": "work"}},
            {"agentId": "night", "match": {"channel": "telegram", "accountId": "work", "peer": {"kind": "group", "id": "-100"}}},
        ],
    }));
    Gateway::use_provider(&home, &provider);
    let gateway = Gateway::start_in(home, &[], &ENV);
    one.say(5, "hello");
    two.say(5, "hello");
    two.message_in(group(-100), 5, json!({"text": "@test_bot hello"}));
    assert_eq!(one.wait_texts("5", 1), ["main here"]);
    assert_eq!(two.wait_texts("5", 1), ["ops here"]);
    assert_eq!(two.wait_texts("-100", 1), ["night here"]);
    assert!(one.texts("-100").is_empty());
    let mut client = gateway.client();
    let list = client.request("sessions.list", json!({})).unwrap();
    let mut rows: Vec<(&str, &str)> = list["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["key"].as_str().unwrap(), row["lastAccountId"].as_str().unwrap_or("default")))
        .collect();
    rows.sort_unstable();
    assert_eq!(
        rows,
        [("agent:main:main", "default"), ("agent:night:telegram:group:-100", "work"), ("agent:ops:main", "work")],
        "{list}"
    );
    // Who sends without a name does so by the default account, who names one by that.
    for (account, api, text) in [(Value::Null, &one, "a"), (json!("work"), &two, "b")] {
        let mut params = json!({"to": "7", "message": text, "channel": "telegram", "idempotencyKey": text});
        if !account.is_null() {
            params["accountId"] = account;
        }
        client.request("send", params).unwrap();
        assert_eq!(api.wait_texts("7", 1), [text]);
    }
    let params = json!({"to": "7", "message": "x", "channel": "telegram", "accountId": "nope", "idempotencyKey": "c"});
    let refused = client.request("send", params).unwrap_err()["message"].to_string();
    assert!(refused.contains("no account") && refused.contains("default, work"), "{refused}");
    // One that fails does not concern the other.
    two.go_down();
    one.say(5, "still there?");
    assert_eq!(one.wait_texts("5", 2)[1], "main here");
}
