//! Chats end to end: the built gateway between a Bot API server and a model that repeats what it hears.

use serde_json::{Value, json};

use crate::support::bot_api::{BotApi, group};
use crate::support::eventually;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Provider};

/// Makes every wait of the poll short, and lets channels start.
const ENV: [(&str, &str); 2] = [("CLAWDBOT_SKIP_CHANNELS", "0"), ("CLAWDBOT_TELEGRAM_HURRY", "1")];

/// A home whose only channel is this bot; `more` is laid over the configuration, its `telegram` over the channel's.
fn home(api: &BotApi, mut more: Value) -> Home {
    let mut telegram = api.config();
    let own = more.as_object_mut().expect("object").remove("telegram").unwrap_or(json!({}));
    telegram.as_object_mut().expect("object").extend(own.as_object().expect("object").clone());
    let mut config = json!({
        "channels": {"telegram": telegram},
        "agents": {"defaults": {"heartbeat": {"every": "0m"}}},
    });
    config.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
    Home::with_config(&config)
}

fn gateway(api: &BotApi, more: Value) -> Gateway {
    Gateway::start_in(home(api, more), &[], &ENV)
}

/// The text of the last user message of a request to the model.
fn said_last(request: &Value) -> String {
    let messages = request["messages"].as_array().cloned().unwrap_or_default();
    let last = messages.iter().rev().find(|message| message["role"] == "user").cloned().unwrap_or_default();
    match &last["content"] {
        Value::String(text) => text.clone(),
        blocks => blocks.as_array().into_iter().flatten().filter_map(|block| block["text"].as_str()).collect(),
    }
}

#[test]
fn a_message_is_answered_in_its_chat() {
    let api = BotApi::start();
    let gateway = gateway(&api, json!({}));
    let id = api.say(424_242, "good morning");
    let text = api.wait_texts("424242", 1).remove(0);
    assert!(text.contains("[Telegram User424242 (@user424242) id:424242"), "{text}");
    assert!(text.contains("] good morning") && text.contains(&format!("[message_id: {id}]")), "{text}");
    let mut client = gateway.client();
    eventually("the update is confirmed", || api.pending() == 0);
    let list = client.request("sessions.list", json!({})).unwrap();
    let main = &list["sessions"][0];
    assert_eq!(
        (&main["key"], &main["lastChannel"], &main["lastTo"]),
        (&json!("agent:main:main"), &json!("telegram"), &json!("424242"))
    );
    let status = client.request("channels.status", json!({})).unwrap();
    let row = &status["channelAccounts"]["telegram"][0];
    assert_eq!((&row["running"], &row["connected"], &row["lastError"]), (&json!(true), &json!(true), &Value::Null));
    assert!(row["lastInboundAt"].is_u64() && row["lastOutboundAt"].is_u64(), "{row}");
    // A command is answered without the model, and the answer comes back to the chat.
    api.say(424_242, "/whoami@test_bot");
    let text = api.wait_texts("424242", 2).remove(1);
    assert!(text.contains("424242"), "{text}");
}

#[test]
fn a_stranger_gets_a_code_and_is_let_in_with_it() {
    let api = BotApi::start();
    let gateway = gateway(&api, json!({"telegram": {"dmPolicy": "pairing", "allowFrom": []}}));
    api.say(515_151, "let me in");
    let text = api.wait_texts("515151", 1).remove(0);
    assert!(
        text.starts_with("Clawdbot: access not configured.\n\nYour Telegram user id: 515151\n\nPairing code: "),
        "{text}"
    );
    assert!(
        text.ends_with("Ask the bot owner to approve with:\nclawdbot pairing approve telegram &lt;code&gt;"),
        "{text}"
    );
    let listed = gateway.cli(&["pairing", "list", "telegram", "--json"]).json();
    let code = listed["requests"][0]["code"].as_str().expect("a code").to_owned();
    assert!(text.contains(&code), "{text}");
    assert_eq!(
        (&listed["requests"][0]["id"], &listed["requests"][0]["meta"]["username"]),
        (&json!("515151"), &json!("user515151"))
    );
    let wrong = gateway.cli(&["pairing", "approve", "telegram", "AAAAAAAA"]);
    assert_eq!(
        (wrong.code, wrong.stderr.trim()),
        (Some(1), "Error: No pending pairing request found for code: AAAAAAAA")
    );
    let done = gateway.cli(&["pairing", "approve", "telegram", &code.to_lowercase(), "--notify"]);
    assert_eq!((done.code, done.stdout.trim()), (Some(0), "Approved telegram sender 515151."), "{done:?}");
    let texts = api.wait_texts("515151", 2);
    assert_eq!(texts[1], "✅ Clawdbot access approved. Send a message to start chatting.");
    api.say(515_151, "thank you");
    let texts = api.wait_texts("515151", 3);
    assert!(texts[2].contains("thank you"), "{texts:?}");
    assert!(!texts.iter().any(|text| text.contains("let me in")), "a stranger reaches no model: {texts:?}");
    let none = gateway.cli(&["pairing", "list", "telegram"]);
    assert_eq!(none.stdout.trim(), "No pending telegram pairing requests.");
}

#[test]
fn a_group_is_answered_when_it_means_us_and_hears_what_was_said_before() {
    let api = BotApi::start();
    let provider = Provider::always(Answer::Text(vec!["Here I am."]));
    let home = home(
        &api,
        json!({
            "telegram": {"groupPolicy": "open", "groups": {"-100777": {"systemPrompt": "Speak of fish."}}},
            "messages": {"removeAckAfterReply": true},
        }),
    );
    Gateway::use_provider(&home, &provider);
    let gateway = Gateway::start_in(home, &[], &ENV);
    api.message_in(group(-100_777), 1111, json!({"text": "the cat is out"}));
    api.message_in(group(-100_888), 1111, json!({"text": "@test_bot not here"}));
    let id = api.message_in(
        group(-100_777),
        2222,
        json!({"text": "@test_bot where is it?", "entities": [{"type": "mention", "offset": 0, "length": 9}]}),
    );
    let texts = api.wait_texts("-100777", 1);
    assert_eq!(texts, ["Here I am."]);
    let request = provider.requests().remove(0);
    let said = said_last(&request);
    for part in [
        "[Chat messages since your last reply - for context]\n[Telegram The Group id:-100777",
        "User1111 (1111): the cat is out [id:",
        "[Current message - respond to this]\n[Telegram The Group id:-100777",
        "User2222 (2222): @test_bot where is it?",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let system = request["messages"][0]["content"].to_string();
    assert!(system.contains("Speak of fish.") && system.contains("The Group"), "{system}");
    api.wait("the sign comes and goes", |api| api.done("setMessageReaction").len() >= 2);
    let signs: Vec<Value> = api.done("setMessageReaction").into_iter().map(|call| call.params).collect();
    assert_eq!((&signs[0]["message_id"], &signs[0]["reaction"][0]["emoji"]), (&json!(id), &json!("👀")));
    assert_eq!(signs[1]["reaction"], json!([]));
    // Told once, not again.
    api.message_in(group(-100_777), 2222, json!({"text": "/whoami@test_bot"}));
    api.message_in(
        group(-100_777),
        2222,
        json!({"text": "hey @test_bot", "entities": [{"type": "mention", "offset": 4, "length": 9}]}),
    );
    provider.wait_requests(2);
    assert!(!said_last(&provider.requests()[1]).contains("Chat messages since"));
    assert_eq!(api.texts("-100888"), Vec::<String>::new());
    let list = gateway.client().request("sessions.list", json!({})).unwrap();
    let keys: Vec<&str> = list["sessions"].as_array().unwrap().iter().filter_map(|it| it["key"].as_str()).collect();
    assert!(keys.contains(&"agent:main:telegram:group:-100777"), "{keys:?}");
}

#[test]
fn killed_at_any_moment_each_message_is_answered_once() {
    let api = BotApi::start();
    let config = json!({"session": {"dmScope": "per-peer"}});
    let mut home = home(&api, config);
    let count = 24_i64;
    for round in 0..4 {
        let gateway = Gateway::start_in(home, &[], &ENV);
        for number in 0..count / 4 {
            // Each in a chat of its own, so that no queue puts two of them together.
            api.say(900_000 + round * 10 + number, &format!("word{}x", round * 10 + number));
        }
        // The kill comes at another point of the work each time.
        api.wait("some work is done", |api| api.done("sendMessage").len() as i64 > round * 2);
        home = gateway.kill();
    }
    let gateway = Gateway::start_in(home, &[], &ENV);
    let chats: Vec<i64> = (0..4).flat_map(|round| (0..count / 4).map(move |number| round * 10 + number)).collect();
    api.wait("every message is answered", |api| {
        chats.iter().all(|chat| !api.texts(&(900_000 + chat).to_string()).is_empty())
    });
    eventually("all is handled", || api.pending() == 0);
    drop(gateway);
    for chat in chats {
        let texts = api.texts(&(900_000 + chat).to_string());
        let answers =
            texts.iter().filter(|text| text.contains(&format!("] word{chat}x")) && !text.starts_with("⚠️")).count();
        let is_reported = texts.iter().any(|text| text.starts_with("⚠️"));
        assert!(answers == 1 || (answers == 0 && is_reported), "{chat}: {texts:?}");
    }
}

#[test]
fn people_and_agents_speak_and_act_through_the_gateway() {
    let api = BotApi::start();
    let gateway = gateway(&api, json!({"agents": {"defaults": {"heartbeat": {"every": "0m"}}}}));
    let send = gateway.cli(&["message", "send", "--target", "323232", "--message", "**hello**", "--json"]).json();
    assert_eq!(
        (&send["action"], &send["channel"], &send["payload"]["ok"]),
        (&json!("send"), &json!("telegram"), &json!(true))
    );
    let id = send["payload"]["messageId"].as_str().expect("an id").to_owned();
    assert_eq!(api.texts("323232"), ["<b>hello</b>"]);
    let history = gateway.client().request("chat.history", json!({"sessionKey": "main"})).unwrap();
    assert!(history["messages"].to_string().contains("**hello**"), "what was sent is kept: {history}");

    let react = gateway.cli(&["message", "react", "--target", "323232", "--message-id", &id, "--emoji", "👍"]);
    assert_eq!(react.stdout.trim(), "✅ Reaction added: 👍", "{react:?}");
    let gone = gateway.cli(&["message", "delete", "--target", "telegram:323232", "--message-id", &id]);
    assert_eq!(gone.code, Some(0), "{gone:?}");
    assert_eq!(api.done("deleteMessage").len(), 1);

    let refused = |args: &[&str]| {
        let ran = gateway.cli(args);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        ran.stderr.trim().to_owned()
    };
    assert_eq!(
        refused(&["message", "send", "--target", "somebody", "--message", "x"]),
        "Error: Unknown target \"somebody\" for Telegram. Hint: <chatId>"
    );
    assert_eq!(
        refused(&["message", "send", "--target", "1", "--channel", "nope", "--message", "x"]),
        "Error: Unknown channel: nope"
    );
    assert_eq!(
        refused(&["message", "pin", "--target", "323232", "--message-id", "1"]),
        "Error: Message action pin not supported for channel telegram."
    );
    assert_eq!(refused(&["message", "send", "--target", "323232"]), "Error: message required");
    let dry = gateway.cli(&["message", "send", "--target", "323232", "--message", "x", "--dry-run"]);
    assert_eq!(dry.stdout.trim(), "[dry-run] would run send via telegram");
    let all =
        gateway.cli(&["message", "broadcast", "--targets", "323232", "454545", "--message", "all", "--json"]).json();
    let oks: Vec<&Value> = all["payload"]["results"].as_array().unwrap().iter().map(|row| &row["ok"]).collect();
    assert_eq!(oks, [&json!(true), &json!(true)], "{all}");
    assert_eq!(api.texts("454545"), ["all"]);

    let ran = gateway.cli(&["agent", "--message", "news", "--deliver", "--channel", "telegram", "--to", "676767"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(api.wait_texts("676767", 1)[0].contains("news"));
}

#[test]
fn what_answers_nobody_goes_where_the_session_was_last_spoken_with() {
    let api = BotApi::start();
    let provider = Provider::always(Answer::Text(vec!["Water the plants."]));
    let home = home(&api, json!({"agents": {"defaults": {"heartbeat": {"every": "30m"}}}}));
    Gateway::use_provider(&home, &provider);
    let gateway = Gateway::start_in(home, &[], &ENV);
    let mut client = gateway.client();
    api.say(787_878, "hello");
    api.wait_texts("787878", 1);
    client.request("wake", json!({"mode": "now", "text": "look around"})).unwrap();
    let event = client.event("heartbeat", |_| true);
    assert_eq!(
        (&event["status"], &event["channel"], &event["to"]),
        (&json!("sent"), &json!("telegram"), &json!("787878")),
        "{event}"
    );
    assert_eq!(api.wait_texts("787878", 2)[1], "Water the plants.");
    // The same again is not told again.
    client.request("wake", json!({"mode": "now", "text": "once more"})).unwrap();
    assert_eq!(
        client.event("heartbeat", |event| event["payload"]["reason"] == "duplicate" || event["reason"] == "duplicate")
            ["status"],
        "skipped"
    );
    let job = client.request("cron.add", json!({
        "name": "news", "schedule": {"kind": "every", "everyMs": 3_600_000}, "sessionTarget": "isolated", "wakeMode": "next-heartbeat",
        "payload": {"kind": "agentTurn", "message": "news", "deliver": true, "channel": "last"},
    })).unwrap();
    client.request("cron.run", json!({"id": job["id"], "mode": "force"})).unwrap();
    assert_eq!(api.wait_texts("787878", 3)[2], "Water the plants.");
}

#[test]
fn commands_that_wait_for_a_person_are_told_to_chats() {
    let api = BotApi::start();
    let gateway = gateway(
        &api,
        json!({
            "approvals": {"exec": {"enabled": true, "mode": "targets", "targets": [{"channel": "telegram", "to": "898989"}]}},
        }),
    );
    let mut client = gateway.client();
    let asked = client.post(
        "exec.approval.request",
        json!({"id": "ab12", "command": "rm -r /tmp/x", "cwd": "/tmp", "timeoutMs": 60000}),
    );
    let text = api.wait_texts("898989", 1).remove(0);
    assert!(text.contains("rm -r /tmp/x") && text.contains("/approve ab12 allow-once|allow-always|deny"), "{text}");
    client.request("exec.approval.resolve", json!({"id": "ab12", "decision": "deny"})).unwrap();
    assert_eq!(client.response(&asked).unwrap()["decision"], "deny");
    assert!(api.wait_texts("898989", 2)[1].contains("deny"));
}

#[test]
fn what_sessions_announce_goes_to_the_topic_they_were_last_spoken_with_in() {
    let api = BotApi::start();
    let provider = Provider::start(|_, request| {
        if request["messages"].as_array().and_then(|all| all.last()).is_some_and(|it| it["role"] == "tool") {
            return Answer::Text(vec!["I have asked."]);
        }
        match said_last(request).as_str() {
            "ask" => Answer::Tool(
                "sessions_send",
                json!({"sessionKey": "agent:main:telegram:group:-100:topic:7", "message": "Is it up?"}),
            ),
            "Agent-to-agent announce step." => Answer::Text(vec!["It is up."]),
            _ => Answer::Text(vec!["Yes."]),
        }
    });
    let more = json!({
        "telegram": {"groupPolicy": "open", "groups": {"*": {"requireMention": false}}},
        "session": {"agentToAgent": {"maxPingPongTurns": 0}},
    });
    let home = home(&api, more);
    Gateway::use_provider(&home, &provider);
    let gateway = Gateway::start_in(home, &[], &ENV);
    let mut forum = group(-100);
    forum["is_forum"] = true.into();
    api.message_in(forum, 5, json!({"text": "hello", "message_thread_id": 7, "is_topic_message": true}));
    api.wait_texts("-100", 1);
    let params = json!({"sessionKey": "main", "message": "ask", "idempotencyKey": "r1"});
    gateway.client().request("chat.send", params).unwrap();
    assert_eq!(api.wait_texts("-100", 2)[1], "It is up.");
    let sent = api.done("sendMessage").pop().expect("a message").params;
    assert_eq!(sent["message_thread_id"], 7, "{sent}");
}

#[test]
fn the_settings_of_a_group_move_with_it_however_its_account_is_written() {
    let api = BotApi::start();
    let config =
        json!({"channels": {"telegram": {"accounts": {" Wo~rk/1": api.config(), "other": {"enabled": false}}}}});
    let home = Home::with_config(&config);
    let mut config = config;
    let groups = |id: &str| json!({id: {"requireMention": false}});
    config["channels"]["telegram"]["accounts"][" Wo~rk/1"]["groups"] = groups("-1");
    config["channels"]["telegram"]["accounts"]["other"]["groups"] = groups("-1");
    home.write_config(&config.to_string());
    let gateway = Gateway::start_in(home, &[], &ENV);
    api.push(json!({"message": {"message_id": 1, "date": 1, "chat": {"id": -1, "type": "group", "title": "G"}, "migrate_to_chat_id": -100}}));
    let written =
        || serde_json::from_str::<Value>(&std::fs::read_to_string(gateway.home.config_file()).unwrap()).unwrap();
    eventually("the settings move", || {
        written()["channels"]["telegram"]["accounts"][" Wo~rk/1"]["groups"] == groups("-100")
    });
    let other = &written()["channels"]["telegram"]["accounts"]["other"]["groups"];
    assert_eq!(*other, groups("-1"), "it is another's");
}

#[test]
fn an_account_receives_as_soon_as_it_is_added_and_not_when_it_is_gone() {
    let api = BotApi::start();
    let home = Home::with_config(&json!({"agents": {"defaults": {"heartbeat": {"every": "0m"}}}}));
    let gateway = Gateway::start_in(home, &[], &ENV);
    let telegram = api.config();
    let set = |path: &str, value: &Value| {
        let ran = gateway.cli(&["config", "set", path, &value.to_string(), "--json"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    };
    for key in ["apiRoot", "dmPolicy", "allowFrom"] {
        if key != "dmPolicy" {
            set(&format!("channels.telegram.{key}"), &telegram[key]);
        }
    }
    set("channels.telegram.dmPolicy", &telegram["dmPolicy"]);
    let token = telegram["botToken"].as_str().unwrap();
    let added = gateway.cli(&["channels", "add", "--channel", "telegram", "--token", token, "--name", "helper"]);
    assert_eq!(added.stdout.trim(), "Added Telegram account \"default\".", "{added:?}");
    api.say(565_656, "are you there");
    assert!(api.wait_texts("565656", 1)[0].contains("are you there"));
    let removed = gateway.cli(&["channels", "remove", "--channel", "telegram", "--delete"]);
    assert_eq!(removed.stdout.trim(), "Deleted Telegram account \"default\".", "{removed:?}");
    let mut client = gateway.client();
    eventually("it has stopped", || {
        let status = client.request("channels.status", json!({})).unwrap();
        status["channelAccounts"]["telegram"][0]["running"] != true
    });
    assert!(!std::fs::read_to_string(gateway.home.config_file()).unwrap().contains(token));
    let refused = gateway.cli(&["channels", "add", "--channel", "telegram"]);
    assert_eq!(
        (refused.code, refused.stderr.trim()),
        (Some(1), "Telegram requires token or --token-file (or --use-env).")
    );
    let listed = gateway.cli(&["channels", "capabilities", "--channel", "telegram", "--json"]).json();
    assert_eq!(listed["channels"][0]["support"]["threads"], true);
    assert!(gateway.cli(&["channels", "logs", "--channel", "telegram"]).stdout.starts_with("Log file: "));
    let resolved = gateway.cli(&["channels", "resolve", "--channel", "telegram", "tg:565656", "--json"]).json();
    assert_eq!((&resolved[0]["resolved"], &resolved[0]["id"]), (&json!(true), &json!("565656")));
}
