//! What goes out: formats, lengths, files, refusals.

use serde_json::{Value, json};

use super::{ENV, gateway};
use crate::support::bot_api::{BotApi, Fault};
use crate::support::client::Client;
use crate::support::gateway::Gateway;

fn send(client: &mut Client, key: &str, more: Value) -> Result<Value, Value> {
    let mut params = json!({"to": "5", "message": "", "channel": "telegram", "idempotencyKey": key});
    params.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
    client.request("send", params)
}

#[test]
fn markdown_is_formatted_cut_and_falls_back_to_words() {
    let api = BotApi::start();
    let gateway = gateway(&api, &json!({"linkPreview": false}));
    let mut client = gateway.client();
    let sent = send(&mut client, "a", json!({"message": "**bold** & `code`", "to": "telegram:5"})).unwrap();
    assert_eq!((&sent["channel"], &sent["chatId"]), (&json!("telegram"), &json!("5")), "{sent}");
    let call = &api.done("sendMessage")[0];
    assert_eq!(call.params["text"], "<b>bold</b> &amp; <code>code</code>");
    assert_eq!(
        (&call.params["parse_mode"], &call.params["link_preview_options"]),
        (&json!("HTML"), &json!({"is_disabled": true}))
    );
    assert_eq!(sent["messageId"], call.answer["result"]["message_id"].to_string());

    let words = ["word"; 2000].join(" ");
    send(&mut client, "b", json!({"message": format!("**{words}**")})).unwrap();
    let texts: Vec<Value> =
        api.done("sendMessage")[1..].iter().map(|call| call.answer["result"]["text"].clone()).collect();
    assert_eq!(texts.len(), 3);
    let count: usize = texts.iter().map(|text| text.as_str().unwrap().split_whitespace().count()).sum();
    assert_eq!(count, 2000);

    // A server that does not like the tags gets the words.
    api.fail(|call| {
        (call.params["parse_mode"] == "HTML").then_some(Fault::Refuse(
            400,
            "Bad Request: can't parse entities: x",
            None,
        ))
    });
    send(&mut client, "c", json!({"message": "*lean* <b>"})).unwrap();
    let last = api.done("sendMessage").pop().unwrap();
    assert_eq!((&last.params["text"], last.params.get("parse_mode")), (&json!("lean <b>"), None));
}

#[test]
fn whoever_asks_again_after_a_restart_is_answered_the_same() {
    let api = BotApi::start();
    let before = gateway(&api, &json!({}));
    let sent = send(&mut before.client(), "a", json!({"message": "once"})).unwrap();
    assert_eq!((&sent["runId"], &sent["channel"]), (&json!("a"), &json!("telegram")), "{sent}");
    let after = Gateway::start_in(before.kill(), &[], &ENV);
    assert_eq!(send(&mut after.client(), "a", json!({"message": "once"})).unwrap(), sent);
    assert_eq!(api.texts("5"), ["once"]);
}

#[test]
fn topics_are_named_but_for_the_general_one() {
    let api = BotApi::start();
    let gateway = gateway(&api, &json!({}));
    let mut client = gateway.client();
    send(&mut client, "a", json!({"to": "telegram:group:-100200:topic:7", "message": "x"})).unwrap();
    send(&mut client, "b", json!({"to": "-100200:topic:1", "message": "x"})).unwrap();
    let threads: Vec<Value> =
        api.done("sendMessage").iter().map(|call| call.params["message_thread_id"].clone()).collect();
    assert_eq!(threads, [json!(7), Value::Null], "{:#?}", api.calls());
}

#[test]
fn refusals_are_told_and_limits_kept() {
    let api = BotApi::start();
    let gateway = gateway(&api, &json!({}));
    let mut client = gateway.client();
    api.forget_chat("77");
    let error = send(&mut client, "a", json!({"to": "77", "message": "x"})).unwrap_err();
    assert!(
        error["message"].as_str().unwrap().contains("chat not found (chat_id=77). Likely: bot not started in DM"),
        "{error}"
    );
    // A limit is waited for, a proxy's page and a reset are tried again, and nothing is there twice.
    for (key, fault) in [
        ("b", Fault::Refuse(429, "Too Many Requests: retry after 1", Some(1))),
        ("c", Fault::Html(502)),
        ("d", Fault::Close),
    ] {
        api.fail_next("sendMessage", 1, fault);
        let sent = send(&mut client, key, json!({"message": key})).unwrap();
        assert!(sent["messageId"].is_string(), "{sent}");
        assert_eq!(api.wait_texts("5", 1).iter().filter(|text| *text == key).count(), 1);
    }
    // Half an answer: it is there, and nobody may send it again.
    api.fail_next("sendMessage", 9, Fault::Half);
    let error = send(&mut client, "e", json!({"message": "e"})).unwrap_err();
    assert!(error["message"].as_str().unwrap().contains("Network request for 'sendMessage' failed"), "{error}");
    assert_eq!(api.texts("5").iter().filter(|text| *text == "e").count(), 1);
}
