//! Pictures and films: described for a model that cannot see them, and answered without when nobody can. Links: read by
//! programs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::{ENV, config};
use crate::support::bot_api::{BotApi, group};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Gate, Provider};
use crate::support::wire_formats::Part;

const PICTURE: &[u8] = b"\xff\xd8\xff-a-red-cat";
const FILM: &[u8] = b"\x00\x00\x00\x20ftypisom-a-cat-runs";
const DESCRIBE: &str = "Describe the image. Respond in at most 500 characters.";

/// A home whose model cannot see; `providers` are others, `media` is `tools.media`.
fn home(api: &BotApi, model: &Provider, providers: &Value, media: &Value) -> Home {
    let mut all = config(api, &json!({"groupPolicy": "open"}));
    all["agents"] = json!({"defaults": {"heartbeat": {"every": "0m"}}});
    all["tools"] = json!({"media": media});
    let home = Home::with_config(&all);
    Gateway::use_provider(&home, model);
    edit(&home, |all| {
        all["models"]["providers"].as_object_mut().expect("object").extend(providers.as_object().unwrap().clone());
    });
    home
}

fn edit(home: &Home, change: impl FnOnce(&mut Value)) {
    let mut all: Value = serde_json::from_str(&std::fs::read_to_string(home.config_file()).unwrap()).unwrap();
    change(&mut all);
    home.write_config(&all.to_string());
}

/// A provider with one model that sees, spoken to in this format.
fn eyes(provider: &Provider, api: &str) -> Value {
    let model =
        json!({"id": "eye", "name": "eye", "input": ["text", "image"], "contextWindow": 32000, "maxTokens": 1000});
    json!({"baseUrl": provider.url(), "apiKey": "sk-top-secret", "api": api, "models": [model]})
}

fn picture() -> Value {
    json!({"photo": [{"file_id": "picture", "file_unique_id": "p", "width": 1, "height": 1}]})
}

fn film() -> Value {
    json!({"video": {"file_id": "film", "file_unique_id": "f", "width": 1, "height": 1, "duration": 1, "mime_type": "video/mp4"}})
}

fn with(mut message: Value, more: Value) -> Value {
    message.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
    message
}

fn api() -> BotApi {
    let api = BotApi::start();
    api.put_file("picture", PICTURE);
    api.put_file("film", FILM);
    api
}

/// Waits until nothing is left that the next gateway would be sent again.
fn wait_confirmed(api: &BotApi) {
    api.wait("what came is confirmed", |api| api.pending() == 0);
}

/// What the model was told last: its text, and whether there was a picture.
fn told(provider: &Provider) -> (String, bool) {
    let request = provider.requests().pop().expect("a request");
    let last = request["messages"].as_array().expect("messages").last().cloned().expect("one");
    let text = match &last["content"] {
        Value::String(text) => text.clone(),
        parts => parts.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str()).collect(),
    };
    (text, last.to_string().contains(&STANDARD.encode(PICTURE)))
}

fn program(home: &Home, name: &str, script: &str) {
    let path = home.path().join(name);
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn log(gateway: &Gateway) -> String {
    std::fs::read_to_string(gateway.home.log_file()).unwrap_or_default()
}

#[test]
fn a_picture_is_described_for_a_model_that_cannot_see() {
    let api = api();
    let model = Provider::always(Answer::Text(vec!["ok"]));
    for (index, format) in ["openai-completions", "anthropic-messages", "google-generative-ai"].into_iter().enumerate()
    {
        let seer = Provider::always(Answer::Parts(vec![Part::Text(" a red cat ")]));
        let media = json!({"image": {"models": [{"provider": "eyes", "model": "eye"}]}});
        let home = home(&api, &model, &json!({"eyes": eyes(&seer, format)}), &media);
        let _gateway = Gateway::start_in(home, &[], &ENV);
        api.message(5, with(picture(), json!({"caption": "what is it?"})));
        api.wait_texts("5", index + 1);
        let (text, has_picture) = told(&model);
        let section = "] [Image]\nUser text:\nwhat is it?\nDescription:\na red cat\n[message_id: ";
        assert!(text.contains(section) && !has_picture, "{format}: {text}");
        assert!(!text.contains("[media attached") && !text.contains("<media:"), "words need no file: {text}");
        let asked = seer.asked();
        let body = asked[0].body.to_string();
        assert!(asked.len() == 1 && body.contains(DESCRIBE) && body.contains(&STANDARD.encode(PICTURE)), "{body}");
        wait_confirmed(&api);
    }
}

#[test]
fn a_model_that_sees_looks_for_itself() {
    let api = api();
    let model = Provider::always(Answer::Text(vec!["ok"]));
    let seer = Provider::always(Answer::Text(vec!["a red cat"]));
    let media = json!({"image": {"models": [{"provider": "eyes", "model": "eye"}]}});
    let home = home(&api, &model, &json!({"eyes": eyes(&seer, "openai-completions")}), &media);
    edit(&home, |all| all["models"]["providers"]["test"]["models"][0]["input"] = json!(["text", "image"]));
    let gateway = Gateway::start_in(home, &[], &ENV);
    api.message(5, picture());
    api.wait_texts("5", 1);
    let (text, has_picture) = told(&model);
    assert!(has_picture && text.contains("[media attached: ") && text.contains("<media:image>"), "{text}");
    assert_eq!(seer.requests().len(), 0, "{}", log(&gateway));
}

#[test]
fn whoever_is_named_for_pictures_or_has_a_key_describes_them() {
    let api = api();
    let model = Provider::always(Answer::Text(vec!["ok"]));
    let seer = Provider::judging(|asked| match asked.path.as_str() {
        "/v1/coding_plan/vlm" => Answer::Json(json!({"base_resp": {"status_code": 0}, "content": "seen by minimax"})),
        _ => Answer::Parts(vec![Part::Text("seen by a model")]),
    });
    let minimax = json!({"baseUrl": format!("{}/anthropic", seer.origin()), "apiKey": "k", "models": []});
    for (index, (providers, image_model, words)) in [
        (json!({"eyes": eyes(&seer, "openai-completions")}), json!({"primary": "eyes/eye"}), "seen by a model"),
        (json!({"minimax": minimax}), Value::Null, "seen by minimax"),
        (json!({}), Value::Null, ""),
    ]
    .into_iter()
    .enumerate()
    {
        let home = home(&api, &model, &providers, &json!({}));
        edit(&home, |all| {
            if image_model.is_object() {
                all["agents"]["defaults"]["imageModel"] = image_model;
            }
        });
        let _gateway = Gateway::start_in(home, &[], &ENV);
        api.message(5, picture());
        api.wait_texts("5", index + 1);
        let (text, _) = told(&model);
        match words {
            "" => assert!(text.contains("<media:image>") && !text.contains("Description"), "{text}"),
            words => assert!(text.contains(&format!("] [Image]\nDescription:\n{words}\n[message_id: ")), "{text}"),
        }
        wait_confirmed(&api);
    }
    let body = &seer.requests()[1];
    assert_eq!(body["prompt"], DESCRIBE);
    assert_eq!(body["image_url"], format!("data:image/jpeg;base64,{}", STANDARD.encode(PICTURE)));
}

#[test]
fn the_next_is_asked_when_one_fails_and_a_program_sees_too() {
    let api = api();
    let model = Provider::always(Answer::Text(vec!["ok"]));
    let seer = Provider::always(Answer::Status(401, "it broke, sk-top-secret"));
    let media = json!({"image": {"prompt": "What is it?", "maxChars": 12, "models": [
        {"provider": "eyes", "model": "eye"},
        {"provider": "test", "model": "m"},
        {"provider": "eyes", "model": "eye", "maxBytes": 3},
        {"command": "~/sees", "args": ["{{MediaPath}}", "{{Prompt}}", "{{MaxChars}}"]},
    ]}});
    let home = home(&api, &model, &json!({"eyes": eyes(&seer, "openai-completions")}), &media);
    program(&home, "sees", "#!/bin/sh\necho \"$3 chars: $2 of $(basename $1 | tail -c 5)\"\n");
    let gateway = Gateway::start_in(home, &[], &ENV);
    api.message(5, picture());
    api.wait_texts("5", 1);
    let (text, _) = told(&model);
    assert!(text.contains("] [Image]\nDescription:\n12 chars: Wh\n[message_id: "), "{text}");
    api.say(5, "/status");
    let status = api.wait_texts("5", 2).pop().unwrap();
    assert!(status.contains("\n📎 Media: image ok (cli/sees)\n"), "no path: {status}");
    let log = log(&gateway);
    for why in [
        "eyes/eye did not put a picture into words: 401",
        "test/m did not put a picture into words: test/m takes no pictures",
        "it has 13 bytes; 3 may have been (maxBytes)",
    ] {
        assert!(log.contains(why), "{why}: {log}");
    }
    assert!(!log.contains("sk-top-secret"), "{log}");
}

#[test]
fn a_message_is_answered_without_a_description_when_nobody_can_give_one() {
    let api = api();
    let model = Provider::always(Answer::Text(vec!["ok"]));
    let seer = Provider::absent();
    let local = |more: Value| with(json!({"provider": "eyes", "model": "eye"}), more);
    let media = json!({
        "image": {"scope": {"rules": [{"action": "deny", "match": {"chatType": "group"}}]},
            "models": [local(json!({})), local(json!({"maxBytes": 3})), {"command": "/nope/nothing"}]},
        "video": {"enabled": false},
    });
    let home = home(&api, &model, &json!({"eyes": eyes(&seer, "openai-completions")}), &media);
    let gateway = Gateway::start_in(home, &[], &ENV);
    api.message(5, picture());
    assert_eq!(api.wait_texts("5", 1), ["ok"]);
    let (text, _) = told(&model);
    assert!(text.contains("[media attached: ") && text.contains(".jpg (image/jpeg)"), "{text}");
    assert!(text.contains("<media:image>") && !text.contains("Description"), "{text}");
    let failures = log(&gateway).matches("did not put a picture into words").count();
    assert_eq!(failures, 3, "{}", log(&gateway));
    // Where the scope says no, and where it is switched off, nobody is asked.
    api.message_in(group(-100), 5, with(picture(), json!({"caption": "@test_bot look"})));
    api.wait_texts("-100", 1);
    assert!(told(&model).0.contains("[media attached: "), "{}", told(&model).0);
    api.say(5, "/status");
    let status = api.wait_texts("5", 2).pop().unwrap();
    assert!(status.contains("\n📎 Media: image skipped (failed)\n"), "{status}");
    api.message(5, film());
    api.wait_texts("5", 3);
    assert!(told(&model).0.contains("<media:video>"), "{}", told(&model).0);
    assert_eq!(log(&gateway).matches(" into words: ").count(), failures, "{}", log(&gateway));
}

#[test]
fn a_film_is_described_by_google() {
    let api = api();
    let model = Provider::always(Answer::Text(vec!["ok"]));
    let words =
        json!({"candidates": [{"content": {"parts": [{"text": " a cat runs "}, {"text": ""}, {"text": "home"}]}}]});
    let google = Provider::always(Answer::Json(words));
    let server = json!({"baseUrl": google.url(), "headers": {"X-Own": "1"}, "models": []});
    // Who cannot watch films says so, and google is asked next; without any entry google is found by its key.
    for (index, media) in [
        json!({"video": {"models": [{"provider": "openai"}]}, "models": [{"provider": "gemini", "model": "gemini-3-pro"}]}),
        json!({}),
    ]
    .into_iter()
    .enumerate()
    {
        let home = home(&api, &model, &json!({"google": server}), &media);
        let gateway = Gateway::start_in(home, &[], &[ENV[0], ENV[1], ("GEMINI_API_KEY", "sk-top-secret")]);
        api.message(5, film());
        api.wait_texts("5", index + 1);
        let (text, _) = told(&model);
        assert!(text.contains("] [Video]\nDescription:\na cat runs\nhome\n[message_id: "), "{text}\n{}", log(&gateway));
        assert!(!text.contains("[media attached"), "{text}");
        wait_confirmed(&api);
    }
    let asked = google.asked();
    let paths: Vec<&str> = asked.iter().map(|asked| asked.path.as_str()).collect();
    let path = |model: &str| format!("/v1/models/{model}:generateContent");
    assert_eq!(paths, [path("gemini-3-pro-preview"), path("gemini-3-flash-preview")]);
    assert_eq!((asked[0].header("x-goog-api-key"), asked[0].header("x-own")), (Some("sk-top-secret"), Some("1")));
    let parts = json!([
        {"text": "Describe the video. Respond in at most 500 characters."},
        {"inline_data": {"mime_type": "video/mp4", "data": STANDARD.encode(FILM)}},
    ]);
    assert_eq!(asked[0].body, json!({"contents": [{"role": "user", "parts": parts}]}));
}

#[test]
fn several_files_are_described_at_once_and_told_in_order() {
    let api = api();
    let model = Provider::always(Answer::Text(vec!["ok"]));
    let gate = Gate::default();
    let opens = gate.clone();
    // The first answer waits for the second request.
    let seer = Provider::start(move |index, _| {
        if index > 0 {
            opens.open();
        }
        Answer::Held("some", gate.clone(), " cat")
    });
    let media = json!({"image": {
        "attachments": {"mode": "all", "maxAttachments": 2}, "models": [{"provider": "eyes", "model": "eye"}],
    }});
    let home = home(&api, &model, &json!({"eyes": eyes(&seer, "openai-completions")}), &media);
    let gateway = Gateway::start_in(home, &[], &ENV);
    api.put_file("other", b"\x89PNG\r\n");
    let other = json!({"photo": [{"file_id": "other", "file_unique_id": "o", "width": 1, "height": 1}]});
    let of_album = |more: Value| with(more, json!({"media_group_id": "g"}));
    api.message(5, of_album(with(picture(), json!({"caption": "which?"}))));
    api.message(5, of_album(other));
    api.message(5, of_album(film()));
    api.wait_texts("5", 1);
    let (text, _) = told(&model);
    let sections = "] User text:\nwhich?\n\n[Image 1/2]\nDescription:\nsome cat\n\n[Image 2/2]\nDescription:\nsome cat\n[message_id: ";
    assert!(text.contains(sections), "{text}\n{}", log(&gateway));
    assert!(text.contains("[media attached: ") && text.contains("(video/mp4)"), "the film stays a file: {text}");
    assert!(!text.contains("(image/"), "{text}");
}

#[test]
fn geminis_program_looks_when_it_answers() {
    let api = api();
    let model = Provider::always(Answer::Text(vec!["ok"]));
    let home = home(&api, &model, &json!({}), &json!({}));
    // It is asked whether it answers only once.
    program(
        &home,
        "gemini",
        "#!/bin/sh\nif [ \"$3\" = ok ]; then echo probed >> \"$HOME/probes\"; echo '{\"response\": \"ok\"}'; exit; fi\n\
         printf '{\\n  \"response\": \"it sees: %s\",\\n  \"stats\": {}\\n}\\n' \"$7\"\n",
    );
    let path = format!("{}:{}", home.path().display(), std::env::var("PATH").unwrap_or_default());
    let gateway = Gateway::start_in(home, &[], &[ENV[0], ENV[1], ("PATH", &path)]);
    for (index, (message, words)) in [
        (picture(), "[Image]\nDescription:\nit sees: Describe the image. Respond"),
        (film(), "[Video]\nDescription:\nit sees: Describe the video. Respond"),
    ]
    .into_iter()
    .enumerate()
    {
        api.message(5, message);
        api.wait_texts("5", index + 1);
        let (text, _) = told(&model);
        assert!(text.contains(words), "{text}\n{}", log(&gateway));
    }
    assert_eq!(std::fs::read_to_string(gateway.home.path().join("probes")).unwrap(), "probed\n");
}

#[test]
fn a_stop_cuts_a_description_off_and_it_is_made_after_the_next_start() {
    let api = api();
    let model = Provider::always(Answer::Text(vec!["ok"]));
    let gate = Gate::default();
    let seer = Provider::start(move |index, _| match index {
        0 => Answer::Hang(gate.clone()),
        _ => Answer::Text(vec!["a red cat"]),
    });
    let media = json!({"image": {"models": [{"provider": "eyes", "model": "eye"}]}});
    let home = home(&api, &model, &json!({"eyes": eyes(&seer, "openai-completions")}), &media);
    let mut gateway = Gateway::start_in(home, &[], &ENV);
    api.message(5, picture());
    seer.wait_requests(1);
    let ended = gateway.stop();
    assert!(ended.code == Some(0) && !log(&gateway).contains("did not end in time"), "{}", log(&gateway));
    let gateway = Gateway::start_in(gateway.kill(), &[], &ENV);
    assert_eq!(api.wait_texts("5", 1), ["ok"]);
    let (text, _) = told(&model);
    assert!(text.contains("] [Image]\nDescription:\na red cat\n[message_id: "), "{text}\n{}", log(&gateway));
    assert_eq!(model.requests().len(), 1);
}

#[test]
fn programs_say_what_links_lead_to() {
    let api = api();
    let model = Provider::always(Answer::Text(vec!["ok"]));
    let home = home(&api, &model, &json!({}), &json!({}));
    edit(&home, |all| {
        all["tools"]["links"] = json!({"models": [
            {"command": "/nope/nothing"}, {"command": "~/reads", "args": ["--url={{LinkUrl}}"]},
        ]});
    });
    program(&home, "reads", "#!/bin/sh\necho \"read: $1\"\n");
    let gateway = Gateway::start_in(home, &[], &ENV);
    // Nobody is asked what addresses stand for.
    api.say(5, "see https://1.1.1.1/x?y=$(id), and https://8.8.8.8; not http://127.0.0.1:1/ or http://localhost/");
    api.wait_texts("5", 1);
    let (text, _) = told(&model);
    let told_of = "localhost/\n\nread: --url=https://1.1.1.1/x?y=$(id)\nread: --url=https://8.8.8.8\n[message_id: ";
    assert!(text.contains(told_of), "{text}\n{}", log(&gateway));
}
