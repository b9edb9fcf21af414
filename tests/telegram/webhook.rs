//! Updates that come to the gateway's port.

use serde_json::{Value, json};

use super::receiving::home;
use super::{ENV, status};
use crate::support::bot_api::{BotApi, person};
use crate::support::gateway::Gateway;
use crate::support::http;
use crate::support::provider::{Answer, Provider};

fn post(gateway: &Gateway, path: &str, secret: &str, body: &Value) -> u16 {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nX-Telegram-Bot-Api-Secret-Token: {secret}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    http::exchange(gateway.socket(), request.as_bytes()).expect("an answer").status
}

#[test]
fn updates_come_to_the_gateways_port() {
    let api = BotApi::start();
    let provider = Provider::always(Answer::Text(vec!["hello"]));
    let more = json!({"webhookUrl": "https://bot.example/telegram-webhook", "webhookSecret": "s3cret"});
    let gateway = Gateway::start_in(home(&api, &provider, &more), &[], &ENV);
    let set = api.wait_done("setWebhook", 1).remove(0).params;
    assert_eq!((&set["url"], &set["secret_token"]), (&more["webhookUrl"], &more["webhookSecret"]), "{set}");
    let row = status(&gateway);
    assert_eq!((&row["mode"], &row["running"], &row["connected"]), (&json!("webhook"), &json!(true), &json!(true)));

    let mut chat = person(5);
    chat["type"] = "private".into();
    let update =
        json!({"update_id": 9, "message": {"message_id": 3, "date": 1, "chat": chat, "from": person(5), "text": "hi"}});
    assert_eq!(post(&gateway, "/telegram-webhook", "wrong", &update), 401);
    assert_ne!(post(&gateway, "/other", "s3cret", &update), 200);
    assert_eq!(post(&gateway, "/telegram-webhook", "s3cret", &json!("no update")), 400);
    assert_eq!(post(&gateway, "/telegram-webhook", "s3cret", &update), 200);
    assert_eq!(api.wait_texts("5", 1), ["hello"]);
    // One that nobody understands is not asked for again: it would hold up the others for ever.
    let odd = json!({"update_id": 11, "message": {"message_id": "three"}});
    assert_eq!(post(&gateway, "/telegram-webhook", "s3cret", &odd), 200);
    assert_eq!(post(&gateway, "/telegram-webhook", "wrong", &odd), 401);
    // Sent again, as Telegram does when an answer was lost: it is not answered again.
    assert_eq!(post(&gateway, "/telegram-webhook", "s3cret", &update), 200);
    let mut next = update.clone();
    (next["update_id"], next["message"]["message_id"]) = (10.into(), 4.into());
    assert_eq!(post(&gateway, "/telegram-webhook", "s3cret", &next), 200);
    assert_eq!(api.wait_texts("5", 2).len(), 2);
    assert_eq!(provider.asked().len(), 2);
    assert!(api.done("getUpdates").is_empty());
}
