//! Groups as their members see them: who is answered when, with whose instructions and skills, and in which topic.

use serde_json::{Value, json};

use super::{ENV, config};
use crate::support::bot_api::{BOT_ID, BotApi, group};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Provider};

fn home(api: &BotApi, provider: &Provider, telegram: &Value, more: &Value) -> Home {
    let mut all = config(api, telegram);
    all["agents"] = json!({"defaults": {"heartbeat": {"every": "0m"}}});
    all.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
    let home = Home::with_config(&all);
    Gateway::use_provider(&home, provider);
    home
}

fn skill(home: &Home, name: &str) {
    let dir = home.path().join("clawd/skills").join(name);
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("SKILL.md"), format!("---\nname: {name}\ndescription: About {name}.\n---\n\nDo {name}.\n"))
        .unwrap();
}

/// The system prompt and the last words of the user in the last request.
fn asked(provider: &Provider) -> (String, String) {
    let request = provider.requests().pop().expect("a request");
    let text = |content: &Value| match content {
        Value::String(text) => text.clone(),
        parts => parts.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str()).collect(),
    };
    let messages = request["messages"].as_array().cloned().unwrap_or_default();
    (text(&messages[0]["content"]), messages.last().map(|it| text(&it["content"])).unwrap_or_default())
}

fn skills_of(prompt: &str) -> Vec<&str> {
    let named = prompt.split("<name>").skip(1).filter_map(|rest| rest.split("</name>").next());
    let mut named: Vec<&str> = named.filter(|name| ["fish", "birds", "trees"].contains(name)).collect();
    named.sort_unstable();
    named
}

#[test]
fn groups_and_topics_have_their_own_skills_and_instructions() {
    let api = BotApi::start();
    let provider = Provider::always(Answer::Text(vec!["ok"]));
    let groups = json!({"-100": {"requireMention": false, "skills": ["fish", "birds"], "systemPrompt": "Speak of water.",
        "topics": {"7": {"skills": ["trees"], "systemPrompt": "And of wood."}, "8": {"skills": []}}}, "*": {"requireMention": false}});
    let telegram = json!({"groupPolicy": "open", "groups": groups, "reactionLevel": "extensive"});
    let home = home(&api, &provider, &telegram, &json!({}));
    ["fish", "birds", "trees"].iter().for_each(|name| skill(&home, name));
    let gateway = Gateway::start_in(home, &[], &ENV);
    let mut forum = group(-100);
    forum["is_forum"] = true.into();
    let say = |chat: Value, thread: Option<i64>, text: &str| {
        let (id, before) = (chat["id"].to_string(), provider.requests().len());
        let count = api.texts(&id).len() + 1;
        let mut more = json!({"text": text});
        if let Some(thread) = thread {
            more["message_thread_id"] = thread.into();
        }
        api.message_in(chat, 5, more);
        api.wait_texts(&id, count);
        assert_eq!(provider.requests().len(), before + 1);
        asked(&provider)
    };
    let (prompt, _) = say(forum.clone(), None, "in the general topic");
    assert_eq!(skills_of(&prompt), ["birds", "fish"]);
    assert!(prompt.contains("Speak of water.") && !prompt.contains("And of wood."), "{prompt}");
    let (prompt, _) = say(forum.clone(), Some(7), "in a topic");
    assert_eq!(skills_of(&prompt), ["trees"]);
    assert!(prompt.contains("Speak of water.\n") && prompt.contains("And of wood."), "{prompt}");
    let (prompt, _) = say(forum.clone(), Some(8), "in another");
    assert!(skills_of(&prompt).is_empty(), "an empty list is none");
    let (prompt, _) = say(group(-300), None, "elsewhere");
    assert_eq!(skills_of(&prompt), ["birds", "fish", "trees"]);
    // A skill that does not count here is no command here.
    let (_, words) = say(forum, Some(7), "/fish now");
    assert!(words.contains("/fish now") && !words.contains("Do fish."), "{words}");
    let threads: Vec<Value> =
        api.done("sendMessage").iter().map(|call| call.params["message_thread_id"].clone()).collect();
    assert_eq!(threads, [Value::Null, json!(7), json!(8), Value::Null, json!(7)]);
    // The menu has all of them; where they do not count they are words.
    let menu = api.wait_done("setMyCommands", 1).remove(0).params["commands"].to_string();
    assert!(["fish", "birds", "trees", "status"].iter().all(|name| menu.contains(&format!("\"{name}\""))), "{menu}");
    let list = gateway.client().request("sessions.list", json!({})).unwrap();
    let mut keys: Vec<&str> =
        list["sessions"].as_array().unwrap().iter().filter_map(|row| row["key"].as_str()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "agent:main:telegram:group:-100:topic:1",
            "agent:main:telegram:group:-100:topic:7",
            "agent:main:telegram:group:-100:topic:8",
            "agent:main:telegram:group:-300"
        ]
    );
}

#[test]
fn the_model_knows_what_it_can_do_in_the_chat() {
    for (telegram, reactions, buttons, capabilities) in [
        (json!({}), Some("MINIMAL"), true, "inlineButtons"),
        (
            json!({"reactionLevel": "extensive", "capabilities": {"inlineButtons": "off"}}),
            Some("EXTENSIVE"),
            false,
            "none",
        ),
        (json!({"reactionLevel": "ack", "capabilities": ["stickers"]}), None, false, "stickers"),
    ] {
        let api = BotApi::start();
        let provider = Provider::always(Answer::Text(vec!["ok"]));
        let _gateway = Gateway::start_in(home(&api, &provider, &telegram, &json!({})), &[], &ENV);
        api.say(5, "hello");
        api.wait_texts("5", 1);
        let (prompt, _) = asked(&provider);
        let level = ["MINIMAL", "EXTENSIVE"]
            .into_iter()
            .find(|level| prompt.contains(&format!("Reactions are on for Telegram, {level}")));
        assert_eq!(level, reactions, "{telegram}");
        assert_eq!(prompt.contains("send with buttons=[[{text,callback_data}]]"), buttons, "{telegram}");
        assert_eq!(prompt.contains("channels.telegram.capabilities.inlineButtons"), !buttons, "{telegram}");
        assert!(prompt.contains(&format!("capabilities={capabilities} |")), "{telegram}: {prompt}");
    }
}

#[test]
fn a_group_is_answered_by_name_by_reply_and_always_when_it_wants_that() {
    let api = BotApi::start();
    let provider = Provider::always(Answer::Text(vec!["ok"]));
    let more = json!({"agents": {"defaults": {"heartbeat": {"every": "0m"}}, "list": [{"id": "main", "identity": {"name": "Clawd"}}]}});
    let _gateway = Gateway::start_in(home(&api, &provider, &json!({"groupPolicy": "open"}), &more), &[], &ENV);
    let say = |more: Value| api.message_in(group(-100), 5, more);
    let mut count = 0;
    let mut answered = |more: Value| {
        say(json!({"text": "nobody is meant"}));
        say(more);
        count += 1;
        assert_eq!(api.wait_texts("-100", count).len(), count);
        asked(&provider).1
    };
    let words = answered(json!({"text": "hey clawd, look"}));
    assert!(
        words.contains("[Chat messages since your last reply - for context]") && words.contains("nobody is meant [id:"),
        "{words}"
    );
    let bot = json!({"message_id": 900, "date": 1, "chat": group(-100), "text": "what I said", "from": {"id": BOT_ID, "is_bot": true, "first_name": "Test Bot"}});
    let words = answered(json!({"text": "really?", "reply_to_message": bot}));
    assert!(words.contains("[Replying to Test Bot id:900]\nwhat I said\n[/Replying]"), "{words}");
    // What was told once is not told again.
    assert_eq!(words.matches("nobody is meant").count(), 1, "{words}");
    // Somebody else is meant, although the name is in the text.
    say(json!({"text": "@other_bot ask clawd", "entities": [{"type": "mention", "offset": 0, "length": 10}]}));
    api.message_in(group(-100), 5, json!({"text": "/activation always"}));
    count += 1;
    let told = api.wait_texts("-100", count).pop().unwrap();
    assert!(told.to_lowercase().contains("always"), "{told}");
    say(json!({"text": "and without a name"}));
    count += 1;
    api.wait_texts("-100", count);
    assert!(asked(&provider).1.contains("and without a name"));
    assert_eq!(provider.requests().len(), 3);
}

#[test]
fn an_album_with_a_file_that_is_gone_keeps_the_rest() {
    let api = BotApi::start();
    let provider = Provider::always(Answer::Text(vec!["ok"]));
    let _gateway = Gateway::start_in(home(&api, &provider, &json!({"mediaMaxMb": 1}), &json!({})), &[], &ENV);
    api.put_file("one", b"\x89PNG\r\n\x1a\n0123");
    api.put_file("big", &vec![7; 1_100_000]);
    for file in ["one", "gone", "big"] {
        let mut more = json!({"media_group_id": "g", "photo": [{"file_id": file, "file_unique_id": file}]});
        if file == "gone" {
            more["caption"] = "three of them".into();
        }
        api.message(5, more);
    }
    api.wait_texts("5", 2);
    let (_, words) = asked(&provider);
    assert!(words.contains("three of them") && words.matches("[media attached: ").count() == 1, "{words}");
    assert_eq!(words.matches("[media missing: ").count(), 2, "{words}");
    assert!(api.texts("5").contains(&"⚠️ File too large. Maximum size is 1MB.".to_owned()), "{:?}", api.texts("5"));
}
