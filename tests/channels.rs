//! Channels as far as they are here: what configuration and credentials say, and sends that say why they cannot be.

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::replay::Replay;
use crate::support::wire;

/// Telegram with a token, WhatsApp not linked, as in the recordings.
fn gateway() -> Gateway {
    Gateway::start(json!({
        "channels": {
            "telegram": { "enabled": true, "botToken": "123:abc", "apiRoot": "http://127.0.0.1:9" },
            "whatsapp": { "dmPolicy": "pairing", "allowFrom": ["+15555550123"] },
        },
        "agents": { "defaults": { "heartbeat": { "every": "0m" } } },
    }))
}

#[test]
fn status_and_refusals_as_recorded() {
    let gateway = gateway();
    let mut client = gateway.client();
    for recording in [
        "channels.status",
        "channels.logout-bad",
        "channels.logout-unsupported",
        "err-send-channel",
        "err-send-bad-target",
        "poll-unsupported",
        "web.login.wait-none",
    ] {
        Replay::of(recording).session(&gateway, &mut client);
    }
    // Not linked is a state of its own for clients, which the original calls UNAVAILABLE.
    Replay { ignore: &["/error/code"], ..Replay::of("send-whatsapp-not-linked") }.session(&gateway, &mut client);
    let again = client.request("send", wire::load("send-whatsapp-not-linked").sent[0]["params"].clone()).unwrap_err();
    assert_eq!(again["code"], "NOT_LINKED");
    let offered = client.hello["features"]["methods"].as_array().unwrap();
    assert!(offered.contains(&json!("web.login.start")));
    let start = client.request("web.login.start", json!({})).unwrap();
    assert!(start["message"].as_str().unwrap().contains("not built into this version"), "{start}");
}

#[test]
fn health_and_status_show_channels_as_recorded() {
    let gateway = gateway();
    let mut client = gateway.client();
    // Nobody asks the network yet, so there is no probe.
    let probes = &[
        "/payload/channels/telegram/probe",
        "/payload/channels/telegram/lastProbeAt",
        "/payload/channels/telegram/accounts/default/probe",
        "/payload/channels/telegram/accounts/default/lastProbeAt",
    ];
    let recorded = wire::load("health-probe");
    let answer = recorded.received.iter().find(|frame| frame["type"] == "res").unwrap();
    client.send(&recorded.sent[0]);
    let id = recorded.sent[0]["id"].clone();
    let actual = client.wait("health", |frame| frame["id"] == id);
    let found = wire::differences(
        answer,
        &actual,
        gateway.home.path(),
        &[probes.as_slice(), &["/payload/agents/0/heartbeat/prompt"]].concat(),
    );
    assert!(found.is_empty(), "{found:#?}");

    let status = client.request("status", json!({})).unwrap();
    // compat: the original calls WhatsApp linked as soon as it is configured; the truth is more useful.
    assert_eq!(
        status["linkChannel"],
        json!({ "id": "whatsapp", "label": "WhatsApp", "linked": false, "authAgeMs": null })
    );
    let lines = json!(["Telegram: configured", "  - default (token:config)", "WhatsApp: not linked"]);
    assert_eq!(status["channelSummary"], lines);
    let recorded = &wire::load("status").received[0]["payload"];
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&status), keys(recorded));
}

#[test]
fn a_logout_forgets_the_token_and_nothing_else() {
    let gateway = gateway();
    let mut client = gateway.client();
    let done = client.request("channels.logout", json!({ "channel": "Telegram" })).unwrap();
    let expected =
        json!({ "channel": "telegram", "accountId": "default", "cleared": true, "envToken": false, "loggedOut": true });
    assert_eq!(done, expected);
    let config: Value = serde_json::from_str(&std::fs::read_to_string(gateway.home.config_file()).unwrap()).unwrap();
    assert_eq!(config["channels"]["telegram"], json!({ "enabled": true, "apiRoot": "http://127.0.0.1:9" }));
    assert_eq!(config["channels"]["whatsapp"]["allowFrom"], json!(["+15555550123"]));
    let unknown = client.request("channels.logout", json!({ "channel": "telegram", "accountId": "work" })).unwrap_err();
    assert!(unknown["message"].as_str().unwrap().contains("configured: default"), "{unknown}");
}

#[test]
fn the_command_line_shows_channels_and_logs_them_out() {
    let mut gateway = gateway();
    let list = gateway.cli(&["channels", "list"]);
    let shown = "Chat channels:\n- Telegram default: configured, token=config, enabled\n\
                 - WhatsApp default: not linked, enabled\n";
    assert!(list.stdout.starts_with(shown), "{list:?}");
    let json = gateway.cli(&["channels", "list", "--json"]).json();
    assert_eq!(
        json,
        json!({ "chat": { "telegram": ["default"], "whatsapp": ["default"] }, "auth": [], "usage": json["usage"] })
    );
    assert_eq!(json["usage"]["providers"], json!([]));
    assert_eq!(gateway.cli(&["channels", "list", "--no-usage", "--json"]).json().get("usage"), None);

    let status = gateway.cli(&["channels", "status"]);
    assert!(status.stdout.contains("Gateway reachable.\n"), "{status:?}");
    let whatsapp = "- WhatsApp default: enabled, configured, not linked, stopped, disconnected, dm:pairing, \
                    allow:+15555550123";
    assert!(status.stdout.contains(whatsapp), "{status:?}");
    assert_eq!(gateway.cli(&["channels", "status", "--json"]).json()["channels"]["telegram"]["configured"], true);

    gateway.stop();
    let status = gateway.cli(&["channels", "status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(status.stderr.contains("Gateway not reachable: "), "{status:?}");
    assert!(
        status.stdout.contains("- Telegram default: enabled, configured, mode:polling, token:config"),
        "{status:?}"
    );
    assert_eq!(gateway.cli(&["channels", "status", "--json"]).code, Some(1));

    let refused = gateway.cli(&["channels", "logout", "--channel", "discord"]);
    assert_eq!(
        (refused.code, refused.stderr.trim()),
        (Some(1), "Channel logout failed: Error: Unsupported channel: discord",)
    );
    let gone = gateway.cli(&["channels", "logout", "--channel", "telegram"]);
    assert_eq!(gone.stdout, "Removed the bot token from the configuration.", "{gone:?}");
    assert!(!std::fs::read_to_string(gateway.home.config_file()).unwrap().contains("123:abc"));
    let again = gateway.cli(&["channels", "logout", "--channel", "telegram"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(gateway.cli(&["channels", "logout"]).stdout.contains("nothing to delete"));
}

#[test]
fn equal_sends_share_one_result() {
    let gateway = gateway();
    let mut client = gateway.client();
    let params = json!({ "to": "+15555550123", "message": "hi", "channel": "whatsapp", "idempotencyKey": "same" });
    let ids: Vec<String> = (0..20).map(|_| client.post("send", params.clone())).collect();
    let answers: Vec<Value> = ids.iter().map(|id| client.response(id).unwrap_err()).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    // Only the first result explains this: asked afresh, it would be a channel that does not exist.
    let mut other = params.clone();
    other["channel"] = json!("nope");
    assert_eq!(client.request("send", other).unwrap_err(), answers[0]);
    let poll = json!({ "to": "+15555550123", "question": " ", "options": ["a", " "], "idempotencyKey": "p" });
    assert_eq!(client.request("poll", poll).unwrap_err()["message"], "Error: Poll question is required");
}

#[test]
fn without_channels_nothing_is_offered() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let offered = client.hello["features"]["methods"].as_array().unwrap();
    assert!(!offered.contains(&json!("web.login.start")));
    let status = client.request("channels.status", json!({})).unwrap();
    assert_eq!((&status["channelOrder"], &status["channels"]), (&json!([]), &json!({})));
    let error = client.request("web.login.wait", json!({})).unwrap_err();
    assert_eq!(error["message"], "web login provider is not available");
    let error = client.request("send", json!({ "to": "x", "message": "x", "idempotencyKey": "k" })).unwrap_err();
    assert_eq!(error["message"], "unsupported channel: whatsapp");
}
