//! Talk mode, wake words, speech.

use serde_json::{Value, json};

use crate::support::client::{Client, connect_params};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::Gate;
use crate::support::replay::Replay;
use crate::support::speech::{Answer, Speaker};
use crate::support::{PATIENCE, TOKEN, wire};

#[test]
fn wake_words_as_recorded_and_kept() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let mut listener = gateway.client();
    for recording in ["voicewake.get", "voicewake.set-bad", "voicewake.set"] {
        Replay::of(recording).session(&gateway, &mut client);
    }
    assert_eq!(listener.event("voicewake.changed", |_| true), json!({ "triggers": ["clawd", "computer"] }));

    let gateway = Gateway::start_on(gateway.port, gateway.kill());
    let kept = gateway.client().request("voicewake.get", json!({})).unwrap();
    assert_eq!(kept, json!({ "triggers": ["clawd", "computer"] }));
}

#[test]
fn talk_mode_as_recorded() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let mut listener = gateway.client();
    Replay::of("talk.mode").session(&gateway, &mut client);
    let recorded = &wire::load("talk.mode").received[0]["payload"];
    let heard = listener.event("talk.mode", |_| true);
    assert_eq!((&heard["enabled"], &heard["phase"]), (&recorded["enabled"], &recorded["phase"]));
    let off = client.request("talk.mode", json!({ "enabled": false })).unwrap();
    assert_eq!(off["phase"], json!(null));
    let wrong = client.request("talk.mode", json!({ "enabled": "yes" })).unwrap_err();
    assert_eq!(wrong["message"], "invalid talk.mode params: at /enabled: must be boolean");
}

#[test]
fn a_web_page_needs_a_device_that_talks() {
    let gateway = Gateway::start(json!({}));
    for (id, mode) in [("webchat", "webchat"), ("webchat-ui", "ui")] {
        let mut params = connect_params();
        params["client"]["id"] = json!(id);
        params["client"]["mode"] = json!(mode);
        let mut page = Client::connect_as(gateway.port, params);
        // Said before the parameters are looked at.
        let refused = page.request("talk.mode", json!({})).unwrap_err();
        let wanted = json!({ "code": "UNAVAILABLE", "message": "talk disabled: no connected iOS/Android nodes" });
        assert_eq!(refused, wanted, "{id}");
    }
}

#[test]
fn scopes_of_talk_and_speech() {
    let gateway = Gateway::start(json!({}));
    let mut params = connect_params();
    params["scopes"] = json!(["operator.read"]);
    let mut reader = Client::connect_as(gateway.port, params);
    assert!(reader.request("voicewake.get", json!({})).is_ok());
    for method in ["voicewake.set", "talk.mode", "tts.enable", "tts.disable", "tts.convert", "tts.setProvider"] {
        let refused = reader.request(method, json!({})).unwrap_err();
        assert_eq!(refused["message"], "missing scope: operator.write", "{method}");
    }
    for method in ["tts.status", "tts.providers"] {
        assert!(reader.request(method, json!({})).is_ok(), "{method}");
    }
}

#[test]
fn speech_settings_as_recorded() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    // The original speaks through Edge without a key; this build has no Edge and says so.
    Replay { ignore: &["/payload/edgeEnabled"], ..Replay::of("tts.status") }.session(&gateway, &mut client);
    Replay { ignore: &["/payload/providers/2/configured"], ..Replay::of("tts.providers") }
        .session(&gateway, &mut client);
    assert_eq!(client.request("tts.status", json!({})).unwrap()["edgeEnabled"], false);
    for recording in ["tts.enable", "tts.setProvider-bad", "tts.convert-bad"] {
        Replay::of(recording).session(&gateway, &mut client);
    }
    let chosen = client.request("tts.setProvider", json!({ "provider": "elevenlabs" })).unwrap();
    assert_eq!(chosen, json!({ "provider": "elevenlabs" }));
    let file = gateway.home.state_dir().join("settings/tts.json");
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(kept, json!({ "tts": { "auto": "always", "provider": "elevenlabs" } }));

    let gateway = Gateway::start_on(gateway.port, gateway.kill());
    let mut client = gateway.client();
    let status = client.request("tts.status", json!({})).unwrap();
    assert_eq!(
        (&status["enabled"], &status["auto"], &status["provider"]),
        (&json!(true), &json!("always"), &json!("elevenlabs"))
    );
    Replay::of("tts.disable").session(&gateway, &mut client);
    assert_eq!(client.request("tts.status", json!({})).unwrap()["auto"], "off");
}

#[test]
fn the_configuration_may_move_the_preferences() {
    let home = Home::empty();
    let file = home.path().join("elsewhere/voice.json");
    home.write_config(
        &json!({ "gateway": { "auth": { "token": TOKEN } }, "messages": { "tts": { "prefsPath": file } } }).to_string(),
    );
    let gateway = Gateway::start_in(home, &[], &[("CLAWDBOT_TTS_PREFS", "/nowhere")]);
    let mut client = gateway.client();
    client.request("tts.enable", json!({})).unwrap();
    assert_eq!(client.request("tts.status", json!({})).unwrap()["prefsPath"], json!(file));
    assert!(std::fs::read_to_string(&file).unwrap().contains("always"));
}

/// A gateway with both providers configured, each at its own server.
fn speaking_gateway(openai: &Speaker, elevenlabs: &Speaker, more: Value) -> Gateway {
    let mut tts = json!({
        "openai": { "apiKey": "sk-secret-one" },
        "elevenlabs": { "apiKey": "secret-two", "baseUrl": format!("{}/", elevenlabs.url()) },
        "timeoutMs": 1000,
    });
    for (key, value) in more.as_object().unwrap() {
        tts[key] = value.clone();
    }
    let url = format!("{}/v1/", openai.url());
    let home = Home::with_config(&json!({ "messages": { "tts": tts }, "logging": { "level": "trace" } }));
    Gateway::start_in(home, &[], &[("OPENAI_TTS_BASE_URL", &url)])
}

#[test]
fn a_text_is_spoken() {
    let (openai, elevenlabs) = (Speaker::start(Answer::Audio(b"one")), Speaker::start(Answer::Audio(b"two")));
    let mut gateway = speaking_gateway(&openai, &elevenlabs, json!({}));
    let mut client = gateway.client();
    let spoken = client.request("tts.convert", json!({ "text": " hello " })).unwrap();
    let path = spoken["audioPath"].as_str().unwrap().to_owned();
    let name = path.strip_prefix(gateway.home.path().join("tmp/tts-").to_str().unwrap()).expect("a private directory");
    assert!(name.contains("/voice-") && name.ends_with(".mp3"), "{path}");
    assert_eq!(std::fs::read(&path).unwrap(), b"one");
    let rest = json!([spoken["provider"], spoken["outputFormat"], spoken["voiceCompatible"]]);
    assert_eq!(rest, json!(["openai", "mp3", false]));
    let request = &openai.requests()[0];
    assert_eq!((request.path.as_str(), request.header("authorization")), ("/v1/audio/speech", "Bearer sk-secret-one"));
    let body = json!({ "model": "gpt-4o-mini-tts", "input": "hello", "voice": "alloy", "response_format": "mp3" });
    assert_eq!(request.body, body);

    client.request("tts.setProvider", json!({ "provider": "elevenlabs" })).unwrap();
    let voice = client.request("tts.convert", json!({ "text": "hello", "channel": "telegram" })).unwrap();
    assert!(voice["audioPath"].as_str().unwrap().ends_with(".opus"), "{voice}");
    let rest = json!([voice["provider"], voice["outputFormat"], voice["voiceCompatible"]]);
    assert_eq!(rest, json!(["elevenlabs", "opus_48000_64", true]));
    let request = &elevenlabs.requests()[0];
    let wanted = "/v1/text-to-speech/pMsXgVXv3BLzUgSXRplE?output_format=opus_48000_64";
    assert_eq!((request.path.as_str(), request.header("xi-api-key")), (wanted, "secret-two"));
    assert_eq!(request.body["text"], "hello");

    let status = client.request("tts.status", json!({})).unwrap();
    assert_eq!(status["fallbackProviders"], json!(["openai"]));
    assert_eq!(gateway.stop().code, Some(0));
    assert!(!std::path::Path::new(&path).exists(), "audio does not outlive the gateway");
    let log = std::fs::read_to_string(gateway.home.log_file()).unwrap();
    assert!(!log.contains("secret-one") && !log.contains("secret-two"), "keys are never logged");
}

#[test]
fn one_provider_stands_in_for_the_other() {
    let gate = Gate::default();
    for (answer, wanted) in [
        (Answer::Status(401), "openai: OpenAI TTS API error (401)"),
        (Answer::Stall(gate.clone()), "openai: request timed out"),
        (Answer::Audio(b""), "openai: the answer holds no audio"),
        (Answer::Drop, "openai: "),
    ] {
        let (openai, elevenlabs) = (Speaker::start(answer), Speaker::start(Answer::Audio(b"two")));
        let mut gateway = speaking_gateway(&openai, &elevenlabs, json!({ "provider": "openai" }));
        let mut client = gateway.client();
        let spoken = client.request("tts.convert", json!({ "text": "hello" })).unwrap();
        assert_eq!(spoken["provider"], "elevenlabs", "{wanted}");
        gateway.stop();
        let log = std::fs::read_to_string(gateway.home.log_file()).unwrap();
        let reason = wanted.split_once(": ").unwrap().1;
        assert!(log.contains("openai did not speak") && log.contains(reason), "{wanted}: {log}");
    }
    gate.open();
}

#[test]
fn what_cannot_be_spoken() {
    let (openai, elevenlabs) = (Speaker::start(Answer::Status(401)), Speaker::start(Answer::Status(500)));
    let gateway = speaking_gateway(&openai, &elevenlabs, json!({ "maxTextLength": 5 }));
    let mut client = gateway.client();
    let long = client.request("tts.convert", json!({ "text": "sound 😀" })).unwrap_err();
    assert_eq!(long, json!({ "code": "UNAVAILABLE", "message": "Text too long (8 chars, max 5)" }));
    assert!(openai.requests().is_empty());
    let failed = client.request("tts.convert", json!({ "text": "hello" })).unwrap_err();
    let wanted = "TTS conversion failed: openai: OpenAI TTS API error (401); elevenlabs: ElevenLabs API error (500)";
    assert_eq!(failed, json!({ "code": "UNAVAILABLE", "message": wanted }));

    let bare = Gateway::start(json!({}));
    let failed = bare.client().request("tts.convert", json!({ "text": "hello" })).unwrap_err();
    let message = failed["message"].as_str().unwrap();
    assert!(message.starts_with("TTS conversion failed: no provider is configured"), "{message}");
    assert!(message.contains("OPENAI_API_KEY") && message.contains("Edge"), "{message}");
}

#[test]
fn a_stalled_provider_does_not_hold_up_the_stop_or_others() {
    let gate = Gate::default();
    let (openai, elevenlabs) = (Speaker::start(Answer::Stall(gate.clone())), Speaker::start(Answer::Status(500)));
    let mut gateway = speaking_gateway(&openai, &elevenlabs, json!({ "timeoutMs": 60_000 }));
    let mut client = gateway.client();
    let id = client.post("tts.convert", json!({ "text": "hello" }));
    openai.wait_request();
    // Answered while the conversion waits.
    assert!(client.request("tts.status", json!({})).is_ok());
    let started = std::time::Instant::now();
    assert_eq!(gateway.stop().code, Some(0));
    assert!(started.elapsed() < PATIENCE / 2, "the stop waited for the provider");
    let error = client.response(&id).unwrap_err();
    assert_eq!(error["code"], "UNAVAILABLE");
    gate.open();
}
