//! What comes in is answered: once, in order, whatever happens to the process.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{ENV, config, status};
use crate::support::PATIENCE;
use crate::support::bot_api::{BotApi, Fault, group, person};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Asked, Gate, Provider};
use crate::support::wire_formats::Part;

/// A home whose model is a scripted provider and whose only channel is a bot.
pub(super) fn home(api: &BotApi, provider: &Provider, more: &Value) -> Home {
    let mut all = config(api, more);
    let model = json!({
        "id": "m", "name": "m", "reasoning": false, "input": ["text", "image"], "contextWindow": 128_000, "maxTokens": 1000,
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
    });
    let entry = json!({"baseUrl": provider.url(), "apiKey": "k", "api": "openai-completions", "models": [model]});
    all["models"] = json!({"providers": {"test": entry}});
    all["agents"] =
        json!({"defaults": {"model": {"primary": "test/m"}, "heartbeat": {"every": "0m"}, "maxConcurrent": 8}});
    // A session for each chat, so that they do not wait for each other.
    all["session"] = json!({"dmScope": "per-channel-peer"});
    // Every message is to be found again, also of those that wait for a busy session.
    all["messages"] = json!({"queue": {"cap": 1000}});
    Home::with_config(&all)
}

/// What the user has said in a request since the model last spoke: more than one message where one came while it worked.
fn last_words(asked: &Asked) -> String {
    let messages = asked.body["messages"].as_array().cloned().unwrap_or_default();
    let since = messages.iter().rposition(|message| message["role"] == "assistant").map_or(0, |at| at + 1);
    let text = |content: &Value| match content {
        Value::String(text) => text.clone(),
        parts => parts.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str()).collect(),
    };
    let said = messages[since..].iter().filter(|message| message["role"] == "user").map(|it| text(&it["content"]));
    said.collect::<Vec<_>>().join("\n")
}

/// Says again every word like `m12` of what it was told last.
fn echo(asked: &Asked) -> Answer {
    let words = last_words(asked);
    let is_name =
        |word: &&str| word.strip_prefix('m').is_some_and(|it| !it.is_empty() && it.bytes().all(|b| b.is_ascii_digit()));
    let names: Vec<&str> = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(is_name).collect();
    // The provider's parts live as long as the test: a few bytes each.
    Answer::Parts(vec![Part::Text(Box::leak(format!("got {}", names.join(" ")).into_boxed_str()))])
}

#[test]
fn a_message_is_answered_with_what_it_came_with() {
    let api = BotApi::start();
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::judging(move |asked| match asked.index {
        0 => Answer::Held("**Hello**", held.clone(), " to you"),
        _ => Answer::Parts(vec![Part::Text("**Hello** to you")]),
    });
    let gateway = Gateway::start_in(home(&api, &provider, &json!({})), &[], &ENV);
    let message = api.say(5, "hi there");
    api.wait("typing is shown", |api| !api.done("sendChatAction").is_empty());
    gate.open();
    assert_eq!(api.wait_texts("5", 1), ["<b>Hello</b> to you"]);
    let words = last_words(&provider.asked()[0]);
    assert!(words.contains("[Telegram User5 (@user5) id:5"), "{words}");
    assert!(words.contains("hi there") && words.contains(&format!("[message_id: {message}]")), "{words}");

    // A picture, a topic of a group that mentions the bot, a button.
    api.put_file("pic", b"\x89PNG\r\n\x1a\n0123");
    api.message(5, json!({"caption": "look", "photo": [{"file_id": "pic", "file_unique_id": "p"}]}));
    api.wait_texts("5", 2);
    let words = last_words(&provider.asked()[1]);
    assert!(words.contains("look") && words.contains("[media attached: "), "{words}");
    let mut forum = group(-100);
    forum["is_forum"] = true.into();
    let more = json!({"text": "@test_bot hi", "message_thread_id": 7, "is_topic_message": true});
    api.message_in(forum, 5, more);
    api.wait_texts("-100", 1);
    assert_eq!(api.done("sendMessage").pop().unwrap().params["message_thread_id"], 7);
    api.push(json!({"callback_query": {"id": "cb", "from": {"id": 5, "first_name": "P", "is_bot": false}, "chat_instance": "1",
        "data": "pressed", "message": {"message_id": 1, "date": 1, "chat": {"id": 5, "type": "private"}}}}));
    api.wait_texts("5", 3);
    assert!(last_words(provider.asked().last().unwrap()).contains("pressed"));
    assert_eq!(api.done("answerCallbackQuery").len(), 1);
    assert_ne!(status(&gateway)["lastInboundAt"], Value::Null);
    assert_ne!(status(&gateway)["lastOutboundAt"], Value::Null);
}

#[test]
fn a_stop_does_not_wait_for_a_file_and_the_next_start_fetches_it() {
    let api = BotApi::start();
    let provider = Provider::always(Answer::Parts(vec![Part::Text("seen")]));
    let mut gateway = Gateway::start_in(home(&api, &provider, &json!({})), &[], &ENV);
    api.put_file("pic", b"\x89PNG\r\n\x1a\n0123");
    let gate = Gate::default();
    let held = gate.clone();
    api.fail(move |call| (call.method == "getFile").then(|| Fault::Hang(held.clone())));
    api.message(5, json!({"caption": "look", "photo": [{"file_id": "pic", "file_unique_id": "p"}]}));
    api.wait("the file is asked for", |api| api.calls().iter().any(|call| call.method == "getFile"));
    let ended = gateway.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("abandoned") && gateway.count_lines("abandoned") == 0, "{ended:?}");
    gate.open();
    api.heal();
    let _gateway = Gateway::start_in(gateway.kill(), &[], &ENV);
    assert_eq!(api.wait_texts("5", 1), ["seen"]);
    let asked = provider.asked();
    let words = last_words(&asked[0]);
    assert!(asked.len() == 1 && words.contains("look") && words.contains("[media attached: "), "{words}");
}

#[test]
fn reactions_to_what_the_bot_said_reach_the_next_turn() {
    let api = BotApi::start();
    let provider = Provider::always(Answer::Text(vec!["said"]));
    let gateway = Gateway::start_in(home(&api, &provider, &json!({})), &[], &ENV);
    let theirs = api.say(5, "hello");
    api.wait_texts("5", 1);
    let sent = json!({"to": "5", "message": "by hand", "channel": "telegram", "idempotencyKey": "k"});
    let by_hand =
        gateway.client().request("send", sent).unwrap()["messageId"].as_str().unwrap().parse::<i64>().unwrap();
    let answer = api.done("sendMessage")[0].answer["result"]["message_id"].as_i64().unwrap();
    for (message, emoji) in [(theirs, "👎"), (answer, "🔥"), (by_hand, "🎉")] {
        let reaction = json!({"chat": {"id": 5, "type": "private", "first_name": "User5"}, "message_id": message, "date": 1,
            "user": person(5), "old_reaction": [], "new_reaction": [{"type": "emoji", "emoji": emoji}]});
        api.push(json!({"message_reaction": reaction}));
    }
    api.wait("all are read", |api| api.pending() == 0);
    api.say(5, "and now?");
    api.wait_texts("5", 3);
    let words = last_words(provider.asked().last().unwrap());
    let added =
        |emoji: &str, message: i64| format!("Telegram reaction added: {emoji} by User5 (@user5) on msg {message}");
    assert!(words.contains(&added("🔥", answer)) && words.contains(&added("🎉", by_hand)), "{words}");
    assert!(!words.contains("👎"), "it was no message of the bot: {words}");
}

#[test]
fn albums_and_long_pastes_are_one_message() {
    let api = BotApi::start();
    let provider = Provider::judging(|_| Answer::Text(vec!["ok"]));
    let _gateway = Gateway::start_in(home(&api, &provider, &json!({})), &[], &ENV);
    for index in 0..3 {
        let id = format!("pic{index}");
        api.put_file(&id, b"\x89PNG\r\n\x1a\n0123");
        let mut more = json!({"media_group_id": "g", "photo": [{"file_id": id, "file_unique_id": id}]});
        if index == 1 {
            more["caption"] = "my album".into();
        }
        api.message(5, more);
    }
    api.wait_texts("5", 1);
    let words = last_words(&provider.asked()[0]);
    assert!(words.contains("my album") && words.contains("[media attached: 3 files]"), "{words}");
    let (first, second) = ("a".repeat(4096), "b".repeat(10));
    api.say(6, &first);
    api.say(6, &second);
    api.wait_texts("6", 1);
    let words = last_words(&provider.asked()[1]);
    assert!(words.contains(&format!("{first}{second}")), "{}", words.len());
    assert_eq!(provider.asked().len(), 2);
}

/// How often each name is in the answers, notices apart.
fn answered(api: &BotApi, chats: std::ops::Range<i64>) -> (BTreeMap<String, usize>, Vec<String>) {
    let (mut counts, mut notices) = (BTreeMap::new(), Vec::new());
    for text in chats.flat_map(|chat| api.texts(&chat.to_string())) {
        match text.strip_prefix("got ") {
            Some(names) => names.split_whitespace().for_each(|name| *counts.entry(name.to_owned()).or_default() += 1),
            None => notices.push(text),
        }
    }
    (counts, notices)
}

#[test]
fn a_kill_at_any_point_neither_loses_nor_repeats() {
    const MESSAGES: usize = 60;
    let seed = std::env::var("SIM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7_u64);
    println!("SIM_SEED={seed}");
    let mut random = seed;
    let mut next = move |most: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % most
    };
    let api = BotApi::start();
    let provider = Provider::judging(echo);
    let mut gateway = Gateway::start_in(home(&api, &provider, &json!({})), &[], &ENV);
    let chats = 10..16;
    let mut said = 0;
    while said < MESSAGES {
        for _ in 0..=next(9) {
            if said < MESSAGES {
                api.say(10 + next(6) as i64, &format!("m{said}"));
                said += 1;
            }
        }
        // At any point: after so many more calls, of whatever kind.
        let calls = api.calls().len() + next(12) as usize;
        api.wait("the next call", |api| api.calls().len() >= calls);
        gateway = Gateway::start_in(gateway.kill(), &[], &ENV);
    }
    let untold = || {
        let (counts, notices) = answered(&api, chats.clone());
        let words = |text: &str, name: &str| text.split(|c: char| !c.is_ascii_alphanumeric()).any(|it| it == name);
        let is_told = |name: &String| counts.contains_key(name) || notices.iter().any(|notice| words(notice, name));
        let names = (0..MESSAGES).map(|index| format!("m{index}")).filter(|name| !is_told(name));
        let mut names: Vec<String> = names.collect();
        // A notice that may be missing is quoted as far as fits, which is not as far as the name.
        let quoted = notices.iter().filter(|notice| notice.contains("“⚠")).count();
        names.truncate(names.len().saturating_sub(quoted));
        (names, notices)
    };
    let until = Instant::now() + PATIENCE;
    while !untold().0.is_empty() {
        assert!(Instant::now() < until, "neither answered nor reported, beside the notices: {:#?}", untold());
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let (counts, notices) = answered(&api, chats.clone());
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "answered twice: {twice:?}; notices: {notices:#?}");
    api.wait("everything is confirmed", |api| api.pending() == 0);
    drop(gateway);
}

#[test]
fn a_flood_is_bounded_ordered_and_fair() {
    const CHATS: i64 = 20;
    const EACH: usize = 60;
    let api = BotApi::start();
    let provider = Provider::judging(echo);
    let gateway = Gateway::start_in(home(&api, &provider, &json!({"historyLimit": 0})), &[], &ENV);
    // One chat has most of it: 200 messages a second in all, for six seconds.
    let started = Instant::now();
    let mut count = 0_u64;
    for index in 0..EACH {
        for chat in 0..CHATS {
            api.say(100 + chat, &format!("m{index}"));
            count += 1;
            let due = Duration::from_millis(count * 5);
            while started.elapsed() < due {
                std::thread::yield_now();
            }
        }
    }
    // Somebody who speaks once, in the middle of it, does not wait for the others.
    api.say(999, "m0");
    let asked = Instant::now();
    api.wait_texts("999", 1);
    let waited = asked.elapsed();
    let is_answered = |api: &BotApi| {
        (0..CHATS).all(|chat| {
            let said: Vec<String> = api.texts(&(100 + chat).to_string());
            said.iter().any(|text| text.split_whitespace().any(|name| name == format!("m{}", EACH - 1)))
        })
    };
    let until = Instant::now() + PATIENCE * 4;
    while !is_answered(&api) {
        assert!(Instant::now() < until, "not all is answered");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    for chat in 0..CHATS {
        let texts = api.texts(&(100 + chat).to_string());
        let names: Vec<usize> = texts
            .iter()
            .flat_map(|text| text.split_whitespace().filter_map(|name| name.strip_prefix('m')?.parse().ok()))
            .collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted, "chat {chat} is answered in order and once");
        assert_eq!(names.len(), EACH, "chat {chat}: {names:?}");
    }
    println!("the one who spoke once waited {waited:?}; peak {:?}", gateway.memory_peak_bytes());
    assert!(waited < Duration::from_secs(10), "{waited:?}");
    if let Some(peak) = gateway.memory_peak_bytes() {
        // A debug build with its workers; what matters is that it does not hold the flood many times over.
        assert!(peak < 160 * 1024 * 1024, "{peak}");
    }
}
