//! Commands of Telegram's menu: who may give them, what offers choices, and how an account is added by answering questions.

use serde_json::{Value, json};

use super::ENV;
use crate::support::bot_api::{BotApi, TOKEN, group};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Provider};
use crate::support::{eventually, terminal};

#[test]
fn a_command_with_a_few_choices_offers_them_and_a_press_is_one() {
    let api = BotApi::start();
    let gateway = super::gateway(&api, &json!({}));
    api.say(5, "/send");
    api.wait_texts("5", 1);
    let call = api.done("sendMessage").remove(0);
    let keyboard = &call.params["reply_markup"]["inline_keyboard"];
    assert_eq!((keyboard[0].as_array().map(Vec::len), keyboard[1].as_array().map(Vec::len)), (Some(2), Some(1)));
    assert_eq!(keyboard[1][0], json!({"text": "inherit", "callback_data": "/send inherit"}));
    let press = |data: &str| {
        api.push(json!({"callback_query": {"id": format!("cb{data}"), "from": {"id": 5, "first_name": "P", "is_bot": false},
            "chat_instance": "1", "data": data,
            "message": {"message_id": call.answer["result"]["message_id"], "date": 1, "chat": {"id": 5, "type": "private"}}}}));
    };
    press("/send off");
    assert_eq!(api.wait_texts("5", 2)[1], "⚙️ Send policy set to off.");
    assert_eq!(api.wait_done("answerCallbackQuery", 1)[0].params["callback_query_id"], "cb/send off");
    let mut client = gateway.client();
    let list = client.request("sessions.list", json!({})).unwrap();
    assert_eq!(list["sessions"][0]["sendPolicy"], "deny", "{list}");
    // The menu names what there is.
    let menu = api.wait_done("setMyCommands", 1).remove(0).params["commands"].clone();
    let names: Vec<&str> = menu.as_array().unwrap().iter().filter_map(|it| it["command"].as_str()).collect();
    assert!(names.contains(&"send") && names.contains(&"status"), "{names:?}");
}

#[test]
fn where_buttons_are_off_a_command_says_how_things_are() {
    let api = BotApi::start();
    let _gateway = super::gateway(&api, &json!({"capabilities": {"inlineButtons": "off"}}));
    api.say(5, "/verbose");
    assert_eq!(api.wait_texts("5", 1), ["Current verbose level: off.\nOptions: on, full, off."]);
}

#[test]
fn whoever_may_not_command_is_told_why() {
    let api = BotApi::start();
    let more = json!({"dmPolicy": "pairing", "allowFrom": ["5"], "groupAllowFrom": ["6"],
        "groups": {"-100": {}, "-200": {"enabled": false}, "-300": {"topics": {"7": {"enabled": false}}}}});
    let _gateway = super::gateway(&api, &more);
    let mut forum = group(-300);
    forum["is_forum"] = true.into();
    for (chat, user, more, told) in [
        (group(-100), 6, json!({"text": "/status"}), "You are not authorized to use this command."),
        (group(-200), 5, json!({"text": "/status@test_bot"}), "This group is disabled."),
        (forum, 5, json!({"text": "/status", "message_thread_id": 7}), "This topic is disabled."),
        (group(-400), 6, json!({"text": "/status"}), "This group is not allowed."),
    ] {
        let id = chat["id"].to_string();
        // Another bot's command is no command, and means nobody here.
        api.message_in(chat.clone(), user, json!({"text": "/status@other_bot"}));
        api.message_in(chat, user, more);
        assert_eq!(api.wait_texts(&id, 1), [told], "{id}");
    }
    api.say(7, "/status");
    assert_eq!(api.wait_texts("7", 1), ["You are not authorized to use this command."]);
    // What is no command of ours is a message, and a stranger's.
    api.say(7, "/start");
    assert!(api.wait_texts("7", 2)[1].contains("Pairing code: "));
    // Who may is answered in a group without being asked by name.
    let (api, more) = (BotApi::start(), json!({"groups": {"-100": {}}}));
    let _gateway = super::gateway(&api, &more);
    api.message_in(group(-100), 5, json!({"text": "/whoami"}));
    assert!(api.wait_texts("-100", 1)[0].contains('5'));
}

#[test]
fn a_network_that_is_linked_later_is_added_and_switched_off() {
    let home = Home::with_config(&json!({}));
    let ran = terminal::run(home.command(&["channels", "add"]), "2\nwork\nfamily\n3\n+49123\nn\n");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stdout.contains("Link it with: clawdbot channels login --channel whatsapp --account work"),
        "{}",
        ran.stdout
    );
    let ran = home.run(&["channels", "add", "--channel", "whatsapp", "--auth-dir", "~/wa"]);
    assert_eq!(ran.stdout.trim(), "Added WhatsApp account \"default\".", "{ran:?}");
    let off = terminal::run(home.command(&["channels", "remove", "--channel", "whatsapp"]), "y\n");
    assert!(off.stdout.contains("Disabled WhatsApp account \"default\"."), "{off:?}");
    let written: Value = serde_json::from_str(&std::fs::read_to_string(home.config_file()).unwrap()).unwrap();
    let accounts = &written["channels"]["whatsapp"]["accounts"];
    assert_eq!(
        accounts["work"],
        json!({"enabled": true, "name": "family", "dmPolicy": "allowlist", "allowFrom": ["+49123"]})
    );
    assert_eq!(accounts["default"], json!({"enabled": false, "authDir": "~/wa"}));
    let gone = home.run(&["channels", "remove", "--channel", "whatsapp", "--account", "work", "--delete"]);
    assert_eq!(gone.stdout.trim(), "Deleted WhatsApp account \"work\".", "{gone:?}");
}

#[test]
fn an_account_is_added_by_answering_questions() {
    let api = BotApi::start();
    let root = json!({"channels": {"telegram": {"apiRoot": api.url()}}, "agents": {"defaults": {"heartbeat": {"every": "0m"}}}});
    let home = Home::with_config(&root);
    let wrong = "99:wrong";
    // Network, account, a wrong token, the right one, a name, who may write, whom, no other one.
    let answers = format!("1\n\n{wrong}\n{TOKEN}\nhelper\n3\n5, @ada\nn\n");
    let ran = terminal::run(home.command(&["channels", "add"]), &answers);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for words in [
        "1) Telegram Bot (not configured)",
        "@BotFather",
        "Telegram does not accept it: Unauthorized",
        "connected as @test_bot",
        "Added Telegram account \"default\".",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    let written: Value = serde_json::from_str(&std::fs::read_to_string(home.config_file()).unwrap()).unwrap();
    let telegram = &written["channels"]["telegram"];
    assert_eq!(
        (&telegram["botToken"], &telegram["name"], &telegram["enabled"], &telegram["dmPolicy"], &telegram["allowFrom"]),
        (&json!(TOKEN), &json!("helper"), &json!(true), &json!("allowlist"), &json!(["5", "@ada"]))
    );
    let provider = Provider::always(Answer::Text(vec!["hello"]));
    Gateway::use_provider(&home, &provider);
    let gateway = Gateway::start_in(home, &[], &ENV);
    api.say(6, "a stranger");
    api.say(5, "a friend");
    assert_eq!(api.wait_texts("5", 1), ["hello"]);
    assert!(api.texts("6").is_empty(), "who is not on the list hears nothing");
    eventually("it is connected", || super::status(&gateway)["connected"] == true);
    // Asked again, it keeps the token; a second account needs its own.
    let ran = terminal::run(gateway.home.command(&["channels", "add"]), "1\n\ny\n\n1\ny\n1\nwork\n\nn\n");
    assert!(ran.stdout.contains("Telegram has a bot token for this account. Keep it?"), "{}", ran.stdout);
    assert!(ran.stdout.contains("Nothing was changed."), "{}", ran.stdout);
    let again: Value = serde_json::from_str(&std::fs::read_to_string(gateway.home.config_file()).unwrap()).unwrap();
    assert_eq!(again["channels"]["telegram"], *telegram);
}
