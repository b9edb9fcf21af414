//! Files that go out: as what each is sent, what stands below it, and what is done when Telegram does not want it so.

use serde_json::{Value, json};

use super::receiving::home;
use super::{ENV, gateway};
use crate::support::bot_api::{BotApi, Call, Fault};
use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::provider::{Answer, Provider};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n0123";
const OGG: &[u8] = b"OggS0123456789";

/// Writes a file that is to be sent; returns its path.
fn file(gateway: &Gateway, name: &str, bytes: &[u8]) -> String {
    let path = gateway.home.path().join(name);
    std::fs::write(&path, bytes).expect("written");
    path.display().to_string()
}

/// Has a file sent by the action of the tool `message`.
fn act(client: &mut Client, more: Value) -> Result<Value, Value> {
    let mut params = json!({"to": "5"});
    params.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
    client.request("message.action", json!({"action": "send", "channel": "telegram", "params": params}))
}

fn last(api: &BotApi) -> Call {
    api.calls()
        .into_iter()
        .rfind(|call| call.method.starts_with("send") && call.method != "sendChatAction")
        .expect("a send")
}

#[test]
fn each_kind_goes_out_as_what_it_is() {
    let api = BotApi::start();
    let gateway = gateway(&api, &json!({}));
    let mut client = gateway.client();
    let file = |name: &str, bytes: &[u8]| file(&gateway, name, bytes);
    for (name, bytes, more, method, field) in [
        ("a.png", PNG, json!({}), "sendPhoto", "photo"),
        ("a.gif", b"GIF89a01".as_slice(), json!({}), "sendAnimation", "animation"),
        ("a.mp4", b"\x00\x00\x00\x20ftypisom".as_slice(), json!({}), "sendVideo", "video"),
        ("b.mp4", b"\x00\x00\x00\x20ftypisom".as_slice(), json!({"gifPlayback": true}), "sendAnimation", "animation"),
        ("a.ogg", OGG, json!({}), "sendAudio", "audio"),
        ("b.ogg", OGG, json!({"asVoice": true}), "sendVoice", "voice"),
        ("a.pdf", b"%PDF-1.4".as_slice(), json!({}), "sendDocument", "document"),
        ("notes.txt", b"hello".as_slice(), json!({}), "sendDocument", "document"),
    ] {
        let mut more = more;
        more["media"] = file(name, bytes).into();
        more["message"] = "**see** <this>".into();
        let sent = act(&mut client, more).unwrap();
        let call = last(&api);
        assert_eq!(call.method, method, "{name}");
        let (params, uploaded) = (&call.params, &call.params[field]);
        assert_eq!((&uploaded["name"], &uploaded["size"]), (&json!(name), &json!(bytes.len())), "{call:?}");
        assert_eq!((&params["caption"], &params["parse_mode"]), (&json!("<b>see</b> &lt;this&gt;"), &json!("HTML")));
        assert_eq!(call.answer["result"]["message_id"].to_string(), sent["messageId"].as_str().unwrap());
    }
}

#[test]
fn long_words_follow_their_picture_with_the_buttons() {
    let api = BotApi::start();
    let gateway = gateway(&api, &json!({}));
    let path = gateway.home.path().join("a.png");
    std::fs::write(&path, PNG).unwrap();
    let words = "word ".repeat(1000);
    let buttons = json!([[{"text": "More", "callback_data": "/help"}]]);
    let sent = act(&mut gateway.client(), json!({"media": path, "message": words, "buttons": buttons})).unwrap();
    let calls: Vec<Call> =
        api.calls().into_iter().filter(|call| matches!(&*call.method, "sendPhoto" | "sendMessage")).collect();
    let methods: Vec<&str> = calls.iter().map(|call| call.method.as_str()).collect();
    assert_eq!(methods, ["sendPhoto", "sendMessage", "sendMessage"], "4999 characters are two messages");
    assert!(
        calls[0].params.get("caption").is_none() && calls[0].params.get("reply_markup").is_none(),
        "{:?}",
        calls[0]
    );
    assert!(calls[1].params.get("reply_markup").is_none());
    let keyboard: Value = match &calls[2].params["reply_markup"] {
        Value::String(text) => serde_json::from_str(text).unwrap(),
        other => other.clone(),
    };
    assert_eq!(keyboard["inline_keyboard"], buttons);
    assert_eq!(sent["messageId"], calls[2].answer["result"]["message_id"].to_string(), "the last is the result");
}

#[test]
fn what_telegram_does_not_want_so_goes_out_otherwise() {
    let api = BotApi::start();
    let gateway = gateway(&api, &json!({}));
    let mut client = gateway.client();
    let file = |name: &str, bytes: &[u8]| file(&gateway, name, bytes);
    api.fail(|call| {
        let formatted = call.params["parse_mode"] == "HTML";
        match &*call.method {
            "sendPhoto" => Some(Fault::Refuse(400, "Bad Request: PHOTO_INVALID_DIMENSIONS", None)),
            "sendVoice" => Some(Fault::Refuse(400, "Bad Request: VOICE_MESSAGES_FORBIDDEN", None)),
            "sendDocument" if formatted => Some(Fault::Refuse(400, "Bad Request: can't parse entities: x", None)),
            _ => None,
        }
    });
    act(&mut client, json!({"media": file("a.png", PNG), "message": "*pic* <1>"})).unwrap();
    let call = last(&api);
    assert_eq!((&*call.method, &call.params["caption"]), ("sendDocument", &json!("pic <1>")), "words without formats");
    assert!(call.params.get("parse_mode").is_none());
    act(&mut client, json!({"media": file("a.ogg", OGG), "message": "my words", "asVoice": true})).unwrap();
    let call = last(&api);
    assert_eq!(
        (&*call.method, &call.params["text"]),
        ("sendMessage", &json!("my words")),
        "who takes no voice notes reads"
    );
    let refused = act(&mut client, json!({"media": file("b.ogg", OGG), "asVoice": true})).unwrap_err();
    assert!(refused["message"].as_str().unwrap().contains("VOICE_MESSAGES_FORBIDDEN"), "{refused}");
    let missing = act(&mut client, json!({"media": "/nope/x.png", "message": "x"})).unwrap_err();
    assert!(missing["message"].as_str().unwrap().contains("/nope/x.png"), "{missing}");
    assert_eq!(last(&api).method, "sendVoice", "without its file a message does not go out half");
}

#[test]
fn an_answer_brings_its_files_as_voice_where_it_says_so() {
    let api = BotApi::start();
    let provider = Provider::always(Answer::Text(vec!["[[audio_as_voice]] Listen.\n", "MEDIA:./hello.ogg"]));
    let home = home(&api, &provider, &json!({}));
    let workspace = home.path().join("clawd");
    std::fs::create_dir_all(&workspace).unwrap();
    std::fs::write(workspace.join("hello.ogg"), OGG).unwrap();
    let _gateway = Gateway::start_in(home, &[], &ENV);
    api.say(5, "say it");
    let call = api.wait_done("sendVoice", 1).remove(0);
    assert_eq!((&call.params["voice"]["name"], &call.params["caption"]), (&json!("hello.ogg"), &json!("Listen.")));
    assert!(api.done("sendChatAction").iter().any(|call| call.params["action"] == "record_voice"));
}

#[test]
fn an_answer_whose_file_is_missing_is_read_all_the_same() {
    let api = BotApi::start();
    let provider = Provider::always(Answer::Text(vec!["Two of them.\nMEDIA:/nope/a.png\nMEDIA:./b.png"]));
    let home = home(&api, &provider, &json!({}));
    let workspace = home.path().join("clawd");
    std::fs::create_dir_all(&workspace).unwrap();
    std::fs::write(workspace.join("b.png"), PNG).unwrap();
    let _gateway = Gateway::start_in(home, &[], &ENV);
    api.say(5, "show");
    let text = api.wait_texts("5", 1).remove(0);
    assert!(text.starts_with("Two of them.\n\n⚠️ Media failed: a.png"), "{text}");
    assert_eq!(api.wait_done("sendPhoto", 1)[0].params["photo"]["name"], "b.png");
}

#[test]
fn what_is_too_large_to_be_read_is_said() {
    let api = BotApi::start();
    let provider = Provider::always(Answer::Text(vec!["ok"]));
    let _gateway = Gateway::start_in(home(&api, &provider, &json!({"mediaMaxMb": 1})), &[], &ENV);
    api.put_file("big", &vec![7; 1_100_000]);
    // The size is not told beforehand: it shows while the file is fetched.
    let id = api.message(5, json!({"document": {"file_id": "big", "file_unique_id": "b", "file_name": "x.bin"}}));
    assert_eq!(api.wait_texts("5", 1), ["⚠️ File too large. Maximum size is 1MB."]);
    assert_eq!(api.done("sendMessage")[0].params["reply_to_message_id"], id);
    api.say(5, "and words");
    assert_eq!(api.wait_texts("5", 2)[1], "ok");
    assert_eq!(provider.requests().len(), 1, "the file's message reaches no model");
}

#[test]
fn a_file_may_come_along_as_base64() {
    let api = BotApi::start();
    let gateway = gateway(&api, &json!({}));
    let mut client = gateway.client();
    let sent =
        act(&mut client, json!({"buffer": "iVBORw0KGgowMTIz", "filename": "map.png", "message": "here"})).unwrap();
    let call = last(&api);
    assert_eq!((&*call.method, &call.params["photo"]["size"]), ("sendPhoto", &json!(12)));
    assert!(call.params["photo"]["name"].as_str().unwrap().starts_with("map---"), "{call:?}");
    assert_eq!(call.answer["result"]["message_id"].to_string(), sent["messageId"].as_str().unwrap());
    let fault = act(&mut client, json!({"buffer": "no base64!"})).unwrap_err();
    assert_eq!(fault["message"], "buffer is not base64");
    api.fail(|call| (call.method == "sendDocument").then_some(Fault::Refuse(403, "Forbidden: bot was blocked", None)));
    act(&mut client, json!({"buffer": "data:text/plain;base64,aGVsbG8="})).unwrap_err();
    let left = std::fs::read_dir(gateway.home.state_dir().join("media/outbound")).unwrap().count();
    assert_eq!(left, 0, "what was brought goes with its message");
}
