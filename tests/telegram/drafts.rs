//! Answers that are shown while they are written, and the buttons that an agent offers.

use serde_json::{Value, json};

use super::{ENV, config};
use crate::support::bot_api::{BotApi, Fault};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Gate, Provider};

fn home(api: &BotApi, provider: &Provider, telegram: &Value) -> Home {
    let mut all = config(api, telegram);
    all["agents"] = json!({"defaults": {"heartbeat": {"every": "0m"}}});
    let home = Home::with_config(&all);
    Gateway::use_provider(&home, provider);
    home
}

/// Drafts that were asked for, refused ones included.
fn drafts(api: &BotApi) -> usize {
    api.calls().iter().filter(|call| call.method == "sendMessageDraft").count()
}

#[test]
fn a_private_topic_sees_the_answer_grow() {
    let api = BotApi::start();
    let gate = Gate::default();
    let provider = Provider::always(Answer::Held("The first half", gate.clone(), " and the second."));
    let _gateway = Gateway::start_in(home(&api, &provider, &json!({})), &[], &ENV);
    let message = api.message(5, json!({"text": "tell me", "message_thread_id": 9, "is_topic_message": true}));
    let draft = api.wait_done("sendMessageDraft", 1).remove(0).params;
    assert_eq!(
        (&draft["chat_id"], &draft["draft_id"], &draft["message_thread_id"]),
        (&json!("5"), &json!(message), &json!(9)),
        "{draft}"
    );
    assert_eq!(draft["text"], "The first half");
    assert!(api.texts("5").is_empty(), "no message before the end");
    gate.open();
    assert_eq!(api.wait_texts("5", 1), ["The first half and the second."]);
    assert_eq!(api.done("sendMessage")[0].params["message_thread_id"], 9);
}

#[test]
fn who_has_no_drafts_gets_the_answer_alone() {
    // Not in a topic, switched off, refused by the server: the answer is the same.
    for (telegram, thread, refused) in
        [(json!({}), None, false), (json!({"streamMode": "off"}), Some(9), false), (json!({}), Some(9), true)]
    {
        let api = BotApi::start();
        if refused {
            api.fail(|call| {
                (call.method == "sendMessageDraft").then_some(Fault::Refuse(400, "Bad Request: DRAFTS_OFF", None))
            });
        }
        let gate = Gate::default();
        let provider = Provider::always(Answer::Held("one", gate.clone(), " two"));
        let _gateway = Gateway::start_in(home(&api, &provider, &telegram), &[], &ENV);
        let mut more = json!({"text": "hello"});
        if let Some(thread) = thread {
            more["message_thread_id"] = thread.into();
        }
        api.message(5, more);
        provider.wait_requests(1);
        if refused {
            api.wait("a draft is refused", |api| drafts(api) == 1);
        }
        gate.open();
        assert_eq!(api.wait_texts("5", 1), ["one two"], "{telegram}");
        assert_eq!(drafts(&api), usize::from(refused), "{telegram}");
    }
}

#[test]
fn an_agent_offers_buttons_and_hears_what_is_pressed() {
    let api = BotApi::start();
    let provider = Provider::start(|_, request| {
        let messages = request["messages"].as_array().cloned().unwrap_or_default();
        let last = messages.last().cloned().unwrap_or_default();
        if last["role"] == "tool" {
            return Answer::Text(vec!["NO_REPLY"]);
        }
        if last["content"].to_string().contains("tea please") {
            return Answer::Text(vec!["Tea it is."]);
        }
        let buttons =
            json!([[{"text": "Tea", "callback_data": "tea please"}, {"text": "Coffee", "callback_data": "coffee"}]]);
        Answer::Tool("message", json!({"action": "send", "message": "Which one?", "buttons": buttons}))
    });
    let gateway =
        Gateway::start_in(home(&api, &provider, &json!({"dmPolicy": "allowlist", "allowFrom": ["5"]})), &[], &ENV);
    api.say(5, "I am thirsty");
    assert_eq!(api.wait_texts("5", 1), ["Which one?"]);
    let call = api.done("sendMessage").remove(0);
    assert_eq!(
        call.params["reply_markup"]["inline_keyboard"][0][1],
        json!({"text": "Coffee", "callback_data": "coffee"})
    );
    let press = |user: i64, id: &str| {
        api.push(json!({"callback_query": {"id": id, "from": {"id": user, "first_name": "P", "is_bot": false}, "chat_instance": "1",
            "data": "tea please", "message": {"message_id": call.answer["result"]["message_id"], "date": 1, "chat": {"id": user, "type": "private"}}}}));
    };
    // A stranger's press is noticed and no more: it brings neither an answer nor a code.
    press(6, "strange");
    press(5, "own");
    assert_eq!(api.wait_texts("5", 2)[1], "Tea it is.");
    api.wait("both are noticed", |api| api.done("answerCallbackQuery").len() == 2);
    assert!(api.texts("6").is_empty());
    let history = gateway.client().request("chat.history", json!({"sessionKey": "main"})).unwrap();
    assert!(history.to_string().contains("Which one?"), "{history}");
}
