//! What runs say in a chat, and what messages do to a run: between a Bot API server and a scripted model.

use serde_json::{Value, json};

use crate::support::bot_api::{BotApi, Fault};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Gate, Provider};
use crate::support::speech::{Answer as Sound, Speaker};
use crate::support::wire_formats::Part;

/// Makes every wait of the poll short, and lets channels start.
const ENV: [(&str, &str); 2] = [("CLAWDBOT_SKIP_CHANNELS", "0"), ("CLAWDBOT_TELEGRAM_HURRY", "1")];
const CHAT: &str = "424242";
const USER: i64 = 424_242;

/// A gateway whose only channel is this bot and whose only model is this provider.
fn gateway(api: &BotApi, provider: &Provider, telegram: &Value, more: &Value) -> Gateway {
    Gateway::start_in(home(api, provider, telegram, more), &[], &ENV)
}

fn home(api: &BotApi, provider: &Provider, telegram: &Value, more: &Value) -> Home {
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
    // So that a test sees where a message goes.
    config["logging"] = json!({ "consoleLevel": "debug" });
    config["messages"] = more["messages"].clone();
    if config["messages"].is_null() {
        config.as_object_mut().expect("object").remove("messages");
    }
    Home::with_config(&config)
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
    let gateway = gateway(&api, &provider, &json!({}), &queue);
    api.say(USER, "first");
    provider.wait_requests(1);
    for text in ["second", "third", "fourth"] {
        api.say(USER, text);
    }
    gateway.wait_lines(" waits", 3);
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
fn a_long_part_does_not_wait_for_a_model_that_is_silent() {
    let api = BotApi::start();
    let gate = Gate::default();
    let text = "A first paragraph that is whole.\n\nAnd a second one begins";
    let provider = Provider::always(Answer::Held(text, gate.clone(), " and ends."));
    let defaults = json!({ "defaults": {
        "blockStreamingChunk": { "minChars": 10, "maxChars": 1000 }, "blockStreamingCoalesce": { "idleMs": 50 },
    } });
    let _gateway = gateway(&api, &provider, &json!({ "blockStreaming": true }), &defaults);
    api.say(USER, "tell me");
    assert_eq!(api.wait_texts(CHAT, 1), ["A first paragraph that is whole."], "before the model has gone on");
    gate.open();
    assert_eq!(api.wait_texts(CHAT, 2)[1], "And a second one begins and ends.");
}

#[test]
fn parts_come_as_people_would_write_them() {
    let api = BotApi::start();
    let provider = Provider::always(Answer::Text(vec!["The first part.\n\nThe second part.\n\nThe third part."]));
    let defaults = json!({ "defaults": {
        "blockStreamingChunk": { "minChars": 10, "maxChars": 20 },
        "humanDelay": { "mode": "custom", "minMs": 400, "maxMs": 500 },
    } });
    let _gateway = gateway(&api, &provider, &json!({ "blockStreaming": true }), &defaults);
    api.say(USER, "tell me");
    assert_eq!(api.wait_texts(CHAT, 3), ["The first part.", "The second part.", "The third part."]);
    let at: Vec<_> = api.done("sendMessage").iter().map(|call| call.at).collect();
    for pair in at.windows(2) {
        let pause = pair[1] - pair[0];
        assert!(pause.as_millis() >= 300, "{pause:?}");
    }
}

#[test]
fn when_too_many_wait_the_policy_decides_who_is_answered() {
    for (policy, answered, dropped) in [
        ("old", ["delta", "echo"], ["bravo", "charlie"]),
        ("new", ["bravo", "charlie"], ["delta", "echo"]),
        ("summarize", ["delta", "echo"], ["bravo", "charlie"]),
    ] {
        let api = BotApi::start();
        let gate = Gate::default();
        let held = gate.clone();
        let provider = Provider::start(move |index, _| match index {
            0 => Answer::Held("One", held.clone(), "."),
            _ => Answer::Text(vec!["Two."]),
        });
        let queue = json!({ "messages": {
            "queue": { "debounceMs": 0, "cap": 2, "drop": policy },
            "ackReaction": "👀", "ackReactionScope": "all", "removeAckAfterReply": true,
        } });
        let gateway = gateway(&api, &provider, &json!({}), &queue);
        api.say(USER, "alpha");
        provider.wait_requests(1);
        for text in ["bravo", "charlie", "delta", "echo"] {
            api.say(USER, text);
            // One after the other, each its own message.
            api.wait("it is taken", |api| api.pending() == 0);
        }
        let signs = |api: &BotApi, is_gone: bool| {
            let calls = api.done("setMessageReaction");
            calls.iter().filter(|call| call.params["reaction"].to_string().contains("[]") == is_gone).count()
        };
        api.wait("all have their sign", |api| signs(api, false) == 5);
        let (line, count) = if policy == "new" { ("is not answered: too many waited", 2) } else { (" waits", 4) };
        gateway.wait_lines(line, count);
        gate.open();
        assert_eq!(api.wait_texts(CHAT, 2), ["One.", "Two."]);
        let asked = provider.requests()[1]["messages"].as_array().expect("messages").last().expect("one").to_string();
        answered.iter().for_each(|text| assert!(asked.contains(&format!("] {text}")), "{policy}: {text}: {asked}"));
        let is_summed_up = policy == "summarize";
        for text in dropped {
            assert_eq!(asked.contains(&format!("- {text}")), is_summed_up, "{policy}: {text}: {asked}");
            assert!(!asked.contains(&format!("] {text}")), "{policy}: {text}: {asked}");
        }
        let line = "[Queue overflow] Dropped 2 messages due to cap.";
        assert_eq!(asked.contains(line), is_summed_up, "{policy}: {asked}");
        api.wait("no sign stays", |api| signs(api, true) == 5);
    }
}

#[test]
fn a_command_without_its_word_offers_buttons_where_these_are_on() {
    let provider = Provider::always(Answer::Text(vec!["A model spoke."]));
    for (settings, has_buttons) in [(json!({}), true), (json!({ "capabilities": { "inlineButtons": "off" } }), false)] {
        let api = BotApi::start();
        let _gateway = gateway(&api, &provider, &settings, &json!({}));
        api.say(USER, "/verbose");
        assert_eq!(api.wait_texts(CHAT, 1), ["Current verbose level: off.\nOptions: on, full, off."]);
        let sent = &api.done("sendMessage")[0].params;
        assert_eq!(sent.to_string().contains("/verbose full"), has_buttons, "{sent}");
        api.say(USER, "/usage");
        assert_eq!(api.wait_texts(CHAT, 2)[1], "⚙️ Usage: /usage off|tokens|full|cost");
        api.say(USER, "/usage off");
        let sent = api.wait_done("sendMessage", 3)[2].params.clone();
        assert!(!sent.to_string().contains("inline_keyboard"), "{sent}");
    }
    assert!(provider.requests().is_empty());
}

#[test]
fn reasoning_is_a_draft_where_the_session_streams_it() {
    let api = BotApi::start();
    let provider = Provider::always(Answer::Parts(vec![Part::Thinking("I wonder.", ""), Part::Text("An answer.")]));
    let _gateway = gateway(&api, &provider, &json!({}), &json!({}));
    api.say(USER, "/reasoning stream");
    assert_eq!(api.wait_texts(CHAT, 1), ["⚙️ Reasoning stream enabled (Telegram only)."]);
    let topic = json!({ "text": "go on", "message_thread_id": 7, "is_topic_message": true });
    api.message(USER, topic);
    // The session of the topic is another one.
    api.wait_done("sendMessage", 2);
    assert!(api.done("sendMessageDraft").iter().all(|call| !call.params.to_string().contains("Reasoning")));
    let stream = json!({ "text": "/reasoning stream", "message_thread_id": 7, "is_topic_message": true });
    api.message(USER, stream);
    api.wait_done("sendMessage", 3);
    api.message(USER, json!({ "text": "and now", "message_thread_id": 7, "is_topic_message": true }));
    let drafts = |api: &BotApi| {
        let calls = api.done("sendMessageDraft");
        calls.iter().filter_map(|call| call.params["text"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    api.wait("a draft of the reasoning", |api| drafts(api).iter().any(|text| text.starts_with("Reasoning:\n_I")));
    let texts = api.wait_texts(CHAT, 4);
    assert_eq!(texts.last().map(String::as_str), Some("An answer."), "{texts:?}");
    assert!(texts.iter().all(|text| !text.starts_with("Reasoning")), "{texts:?}");
}

#[test]
fn answers_are_spoken_where_the_session_wants_it() {
    let api = BotApi::start();
    let provider = Provider::start(|index, _| match index {
        0 => Answer::Text(vec!["Nobody hears this one."]),
        1 => Answer::Text(vec!["Read this. [[tts:text]]Listen to this.[[/tts:text]]"]),
        _ => Answer::Text(vec!["A plain answer."]),
    });
    let speaker = Speaker::start(Sound::Audio(b"OggS sound"));
    let voice = json!({ "messages": { "tts": { "openai": { "apiKey": "k", "model": "m", "voice": "v" } } } });
    let env = [ENV[0], ENV[1], ("OPENAI_TTS_BASE_URL", &*speaker.url())];
    let _gateway = Gateway::start_in(home(&api, &provider, &json!({}), &voice), &[], &env);
    for (text, reply) in [
        ("one", "Nobody hears this one."),
        ("/tts limit 9", "⚙️ Usage: /tts"),
        ("/tts limit 120", "✅ TTS limit set to 120 characters."),
        ("/tts limit", "📏 TTS limit: 120 characters."),
        ("/tts summary off", "❌ TTS auto-summary disabled."),
        ("/tts provider edge", "✅ TTS provider set to edge (fallbacks: openai)."),
        ("/tts provider openai", "✅ TTS provider set to openai (fallbacks: none)."),
        ("/tts always", "🔊 TTS enabled (always)."),
        ("two", "Read this."),
        (
            "/tts",
            "📊 TTS status\nAuto: always (session)\nProvider: openai (✅ key)\nText limit: 120 chars\nAuto-summary: off\n\nLast attempt",
        ),
        ("/tts off", "🔇 TTS disabled."),
        ("three", "A plain answer."),
    ] {
        if text == "/tts" {
            // The words did not wait for their sound.
            api.wait_done("sendVoice", 1);
        }
        let before = api.texts(CHAT).len();
        api.say(USER, text);
        let replies = api.wait_texts(CHAT, before + 1);
        assert!(replies[before].starts_with(reply), "{text}: {replies:?}");
    }
    api.say(USER, "/tts audio Good morning");
    api.wait_done("sendVoice", 2);
    let spoken: Vec<String> = speaker.requests().iter().map(|it| it.body["input"].to_string()).collect();
    assert_eq!(spoken, ["\"Listen to this.\"", "\"Good morning\""]);
}

#[test]
fn words_do_not_wait_for_their_sound() {
    let api = BotApi::start();
    let provider = Provider::always(Answer::Text(vec!["Read this first."]));
    let gate = Gate::default();
    let speaker = Speaker::start(Sound::Stall(gate.clone()));
    let voice =
        json!({ "messages": { "tts": { "auto": "always", "timeoutMs": 120_000, "openai": { "apiKey": "k" } } } });
    let env = [ENV[0], ENV[1], ("OPENAI_TTS_BASE_URL", &*speaker.url())];
    let mut gateway = Gateway::start_in(home(&api, &provider, &json!({}), &voice), &[], &env);
    api.say(USER, "speak");
    assert_eq!(api.wait_texts(CHAT, 1), ["Read this first."]);
    speaker.wait_request();
    gateway.stop();
    assert!(api.done("sendVoice").is_empty() && speaker.requests().len() == 1);
}

#[test]
fn speech_that_a_model_asked_for_outlasts_a_restart() {
    let api = BotApi::start();
    let provider = Provider::start(|index, asked| match index {
        0 => Answer::Tool("tts", json!({ "text": "Good morning" })),
        _ => {
            let messages = asked["messages"].as_array().expect("messages");
            let said = messages.last().and_then(|it| it["content"].as_str()).expect("what the tool said").to_owned();
            Answer::Text(vec![said.leak()])
        }
    });
    let speaker = Speaker::start(Sound::Audio(b"OggS sound"));
    let voice = json!({ "messages": { "tts": { "openai": { "apiKey": "k" } } } });
    let env = [ENV[0], ENV[1], ("OPENAI_TTS_BASE_URL", &*speaker.url())];
    let mut gateway = Gateway::start_in(home(&api, &provider, &json!({}), &voice), &[], &env);
    api.fail(|call| (call.method == "sendVoice").then_some(Fault::Close));
    api.say(USER, "say good morning");
    api.wait("it is tried", |api| api.calls().iter().any(|call| call.method == "sendVoice"));
    gateway.stop();
    let home = gateway.kill();
    api.heal();
    let _gateway = Gateway::start_in(home, &[], &env);
    api.wait_done("sendVoice", 1);
}

#[test]
fn what_goes_out_in_parts_is_spoken_at_the_end_and_shows_no_tags() {
    let api = BotApi::start();
    let provider = Provider::always(Answer::Text(vec!["Read this first. [[tts:voice=onyx]]"]));
    let speaker = Speaker::start(Sound::Audio(b"OggS sound"));
    let voice = json!({ "messages": { "tts": { "auto": "always", "openai": { "apiKey": "k" } } } });
    let env = [ENV[0], ENV[1], ("OPENAI_TTS_BASE_URL", &*speaker.url())];
    let parts = json!({ "blockStreaming": true });
    let _gateway = Gateway::start_in(home(&api, &provider, &parts, &voice), &[], &env);
    api.say(USER, "speak");
    api.wait_done("sendVoice", 1);
    assert_eq!(api.texts(CHAT), ["Read this first."]);
    let asked = speaker.requests().remove(0).body;
    assert_eq!((&asked["input"], &asked["voice"]), (&json!("Read this first."), &json!("onyx")));
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
