//! What is done to messages that are there, who may have it done, and what is said of an account that is tried.

use serde_json::{Value, json};

use super::{ENV, config, gateway};
use crate::support::bot_api::{BOT_ID, BotApi, Fault};
use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::home::Home;

fn act(client: &mut Client, action: &str, params: Value) -> Result<Value, Value> {
    client.request("message.action", json!({"action": action, "channel": "telegram", "params": params}))
}

fn fault(result: Result<Value, Value>) -> String {
    result.unwrap_err()["message"].as_str().unwrap().to_owned()
}

#[test]
fn messages_are_edited_reacted_to_and_deleted() {
    let api = BotApi::start();
    let gateway = gateway(&api, &json!({}));
    let mut client = gateway.client();
    let sent = act(&mut client, "send", json!({"to": "5", "message": "one"})).unwrap();
    let id = sent["messageId"].clone();
    let buttons = json!([[{"text": "Go", "callback_data": "go"}]]);
    let edited =
        act(&mut client, "edit", json!({"to": "5", "messageId": id, "message": "**two** <x>", "buttons": buttons}));
    assert_eq!(edited.unwrap(), json!({"ok": true, "messageId": id, "chatId": "5"}));
    let call = api.done("editMessageText").remove(0);
    assert_eq!((&call.params["text"], &call.params["parse_mode"]), (&json!("<b>two</b> &lt;x&gt;"), &json!("HTML")));
    assert_eq!(call.params["reply_markup"]["inline_keyboard"], buttons);
    // A fault that passes is not the end of it.
    api.fail_next("setMessageReaction", 1, Fault::Html(502));
    let reacted = act(&mut client, "react", json!({"to": "5", "messageId": id, "emoji": "🔥"})).unwrap();
    assert_eq!(reacted, json!({"ok": true, "added": "🔥"}));
    let removed =
        act(&mut client, "react", json!({"to": "5", "messageId": id, "emoji": "🔥", "remove": true})).unwrap();
    assert_eq!(removed, json!({"ok": true, "removed": true}));
    let reactions: Vec<Value> =
        api.done("setMessageReaction").iter().map(|call| call.params["reaction"].clone()).collect();
    assert_eq!(reactions.last(), Some(&json!([])));
    assert_eq!(reactions[reactions.len() - 2], json!([{"type": "emoji", "emoji": "🔥"}]));
    assert!(
        fault(act(&mut client, "react", json!({"to": "5", "messageId": id, "remove": true})))
            .contains("Emoji is required")
    );
    assert_eq!(
        act(&mut client, "delete", json!({"to": "5", "messageId": id})).unwrap(),
        json!({"ok": true, "deleted": true})
    );
    let gone = fault(act(&mut client, "delete", json!({"to": "5", "messageId": id})));
    assert!(gone.contains("message to delete not found"), "{gone}");
    let none = fault(act(&mut client, "poll", json!({"to": "5", "pollQuestion": "?", "pollOption": ["a", "b"]})));
    assert_eq!(none, "Message action poll not supported for channel telegram.");
    // The same of an account that is called by its own poll method.
    let poll = client.request(
        "poll",
        json!({"to": "5", "question": "?", "options": ["a", "b"], "channel": "telegram", "idempotencyKey": "p"}),
    );
    assert_eq!(fault(poll), "unsupported poll channel: telegram");
}

#[test]
fn gates_and_levels_say_what_may_be_done() {
    let api = BotApi::start();
    let more = json!({"actions": {"deleteMessage": false, "sendMessage": true}, "reactionLevel": "ack",
        "capabilities": {"inlineButtons": "group"}});
    let gateway = gateway(&api, &more);
    let mut client = gateway.client();
    let id = act(&mut client, "send", json!({"to": "5", "message": "one"})).unwrap()["messageId"].clone();
    let refused = fault(act(&mut client, "delete", json!({"to": "5", "messageId": id})));
    assert_eq!(refused, "Message action delete not supported for channel telegram.");
    // Whoever sits at the command line may; an agent may not.
    let params = json!({"to": "5", "messageId": id, "emoji": "👍"});
    act(&mut client, "react", params.clone()).unwrap();
    let asked = json!({"action": "react", "channel": "telegram", "sessionKey": "main", "params": params});
    let text = fault(client.request("message.action", asked));
    assert!(text.starts_with("Telegram agent reactions disabled (reactionLevel=\"ack\")."), "{text}");
    let buttons = json!([[{"text": "y", "callback_data": "y"}]]);
    let text = fault(act(&mut client, "send", json!({"to": "5", "message": "x", "buttons": buttons})));
    assert!(text.contains("limited to groups when inlineButtons=\"group\"."), "{text}");
    act(&mut client, "send", json!({"to": "-5", "message": "x", "buttons": buttons})).unwrap();
}

#[test]
fn a_probe_tells_which_groups_the_bot_hears() {
    let api = BotApi::start();
    api.forget_chat("-200");
    let groups = json!({"-100": {"requireMention": false}, "-200": {"requireMention": false}, "-300": {},
        "my-group": {"requireMention": false}, "*": {"requireMention": false}});
    let gateway = Gateway::start_in(Home::with_config(&config(&api, &json!({"groups": groups}))), &[], &ENV);
    let status = gateway.client().request("channels.status", json!({"probe": true})).unwrap();
    let row = &status["channelAccounts"]["telegram"][0];
    let bot = &row["probe"]["bot"];
    assert_eq!((&row["probe"]["ok"], &bot["id"], &bot["username"]), (&json!(true), &json!(BOT_ID), &json!("test_bot")));
    assert_eq!(row["probe"]["webhook"], json!({"url": "", "hasCustomCert": false}));
    assert!(row["lastProbeAt"].is_u64() && row["allowUnmentionedGroups"] == true, "{row}");
    let audit = &row["audit"];
    assert_eq!(
        (&audit["ok"], &audit["checkedGroups"], &audit["unresolvedGroups"], &audit["hasWildcardUnmentionedGroups"]),
        (&json!(false), &json!(2), &json!(1), &json!(true)),
        "{audit}"
    );
    let heard: Vec<(&Value, &Value, &Value)> = audit["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (&group["chatId"], &group["ok"], &group["status"]))
        .collect();
    assert_eq!(
        heard,
        [(&json!("-100"), &json!(true), &json!("member")), (&json!("-200"), &json!(false), &Value::Null)]
    );
    assert!(api.done("getChatMember").iter().all(|call| call.params["user_id"] == BOT_ID));
    let shown = gateway.cli(&["channels", "status", "--probe"]).stdout;
    for words in [
        "bot:@test_bot",
        "works",
        "audit failed",
        "privacy mode",
        "1 of the configured groups are no numeric ids",
        "-200",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    // Without a probe nobody is asked.
    let asked = api.done("getChatMember").len();
    gateway.client().request("channels.status", json!({})).unwrap();
    assert_eq!(api.done("getChatMember").len(), asked);
}
