//! The handshake, as recorded: what is accepted, what is refused, and with which close.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, Device, connect_params, now_ms};
use crate::support::gateway::Gateway;
use crate::support::replay::Replay;
use crate::support::wire;

/// What of hello-ok is this gateway's own: its channels, the machine, the clients it saw, the methods it has so far.
const OWN_HELLO: &[&str] = &[
    "/payload/server/version",
    "/payload/features",
    "/payload/snapshot/presence",
    "/payload/snapshot/health",
    "/payload/canvasHostUrl",
];
/// The health that follows names the channels, and the heartbeat of another configuration.
const OWN_HEALTH: &[&str] = &[
    "/payload/channels",
    "/payload/channelOrder",
    "/payload/channelLabels",
    "/payload/heartbeatSeconds",
    "/payload/agents",
    "/payload/sessions",
];
const PROXIED: &[(&str, &str)] = &[("X-Forwarded-For", "203.0.113.9")];

fn own() -> Vec<&'static str> {
    [OWN_HELLO, OWN_HEALTH].concat()
}

#[test]
fn accepted_with_a_token() {
    let gateway = Gateway::start(json!({}));
    let ignore = own();
    for (recording, device) in
        [("hello-ok", 1), ("hello-ok-device", 2), ("connect-device-v1-loopback", 3), ("connect-binary-frame", 4)]
    {
        Replay { device, ignore: &ignore, ..Replay::of(recording) }.handshake(&gateway);
    }
}

#[test]
fn refused_with_a_token() {
    let gateway = Gateway::start(json!({}));
    for recording in [
        "err-bad-json",
        "err-connect-client-id",
        "err-connect-client-mode",
        "err-connect-extra",
        "err-connect-params-missing",
        "err-connect-params-none",
        "err-control-ui-no-device",
        "err-first-not-connect",
        "err-first-not-req",
        "err-first-null",
        "err-first-req-extra-field",
        "err-invalid-role",
        "err-password-given-in-token-mode",
        "err-protocol-mismatch-high",
        "err-protocol-mismatch-low",
        "err-token-missing-device",
        "err-token-missing-no-device",
        "err-token-wrong-cli",
        "err-token-wrong-no-device",
        "err-token-wrong-webchat",
    ] {
        Replay::of(recording).handshake(&gateway);
    }
}

#[test]
fn refused_devices() {
    let gateway = Gateway::start(json!({}));
    let spoilt = |recording, spoil| Replay { spoil, ..Replay::of(recording) }.handshake(&gateway);
    spoilt("err-device-id-mismatch", |device| device["id"] = "0".repeat(64).into());
    spoilt("err-device-nonce-mismatch", |device| device["nonce"] = "another".into());
    spoilt("err-device-signature-invalid", |device| device["signedAt"] = (now_ms() - 1000).into());
    Replay { signed_ago_ms: 11 * 60 * 1000, ..Replay::of("err-device-signature-expired") }.handshake(&gateway);
    Replay { headers: PROXIED, ..Replay::of("err-device-nonce-required") }.handshake(&gateway);
    Replay { headers: PROXIED, device: 9, ..Replay::of("err-pairing-required") }.handshake(&gateway);
}

#[test]
fn a_pending_pairing_is_not_approved_by_a_local_connect() {
    let gateway = Gateway::start(json!({}));
    Replay { headers: PROXIED, ..Replay::of("err-pairing-required") }.handshake(&gateway);
    Replay::of("err-pairing-pending-local").handshake(&gateway);
}

#[test]
fn password_mode() {
    let gateway = Gateway::start(json!({ "gateway": { "auth": { "mode": "password", "password": "pw" } } }));
    for recording in
        ["auth-password-missing", "auth-password-ok-no-device", "auth-password-token-given", "auth-password-wrong"]
    {
        Replay::of(recording).handshake(&gateway);
    }
    Replay { ignore: &own(), ..Replay::of("auth-password-ok") }.handshake(&gateway);
}

#[test]
fn control_ui_without_a_secure_context() {
    let auth = json!({ "mode": "password", "password": "pw" });
    let gateway = Gateway::start(json!({ "gateway": { "auth": auth, "controlUi": { "allowInsecureAuth": true } } }));
    Replay::of("auth-controlui-insecure-noauth").handshake(&gateway);
    Replay { ignore: &own(), ..Replay::of("auth-controlui-insecure") }.handshake(&gateway);
}

#[test]
fn no_auth() {
    let gateway = Gateway::start(json!({ "gateway": { "auth": null } }));
    Replay::of("auth-none-no-device").handshake(&gateway);
    Replay { headers: PROXIED, ..Replay::of("auth-none-proxied") }.handshake(&gateway);
    Replay { ignore: &own(), ..Replay::of("auth-none-ok") }.handshake(&gateway);
    Replay { ignore: &own(), ..Replay::of("auth-none-no-device-any-token") }.handshake(&gateway);
}

#[test]
fn behind_a_proxy() {
    let gateway =
        Gateway::start(json!({ "gateway": { "trustedProxies": ["127.0.0.1"], "auth": { "allowTailscale": true } } }));
    let remote = [("X-Forwarded-For", "203.0.113.9:4711, 10.0.0.1")];
    Replay { headers: &remote, ..Replay::of("auth-trusted-proxy-remote") }.handshake(&gateway);
    let local = [("X-Forwarded-For", "127.0.0.1")];
    Replay { headers: &local, device: 2, ignore: &own(), ..Replay::of("auth-trusted-proxy-local") }.handshake(&gateway);
    let tailnet = [
        ("X-Forwarded-For", "100.64.1.2"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "gw.tail.ts.net"),
        ("Host", "gw.tail.ts.net"),
    ];
    Replay { headers: &tailnet, device: 3, ..Replay::of("auth-tailscale-no-login") }.handshake(&gateway);
    let user = [&tailnet[..], &[("Tailscale-User-Login", "user@example.com")]].concat();
    Replay { headers: &user, device: 3, ..Replay::of("auth-tailscale-pairing") }.handshake(&gateway);
}

#[test]
fn a_device_token_replaces_the_shared_one() {
    let gateway = Gateway::start(json!({}));
    let device = Device::of(5);
    let connect = |token: &str| {
        let mut client = Client::open(gateway.port, &[]);
        let nonce = client.challenge();
        let mut params = connect_params();
        params["auth"]["token"] = token.into();
        params["device"] = device.sign(&params, now_ms(), Some(&nonce));
        client.request("connect", params)
    };
    let hello = connect("tok").expect("paired silently");
    let token = hello["auth"]["deviceToken"].as_str().expect("a device token").to_owned();
    assert_eq!(token.len(), 32);
    let again = connect(&token).expect("the device token is enough");
    assert_eq!(again["auth"]["deviceToken"], token, "an unrevoked token is kept");
    assert!(connect(&token.replace(|_: char| true, "0")).is_err());
}

#[test]
fn requests_sent_before_hello_ok_wait_for_it() {
    let gateway = Gateway::start(json!({}));
    let mut client = Client::open(gateway.port, &[]);
    client.challenge();
    let connect = client.post("connect", connect_params());
    let health = client.post("health", json!({}));
    assert!(client.response(&connect).is_ok());
    assert_eq!(client.response(&health).expect("health")["ok"], true);
}

#[test]
fn a_silent_client_is_closed_after_ten_seconds() {
    let gateway = Gateway::start(json!({}));
    let mut client = Client::open(gateway.port, &[]);
    client.challenge();
    let began = Instant::now();
    assert_eq!(client.wait_close(), (1000, String::new()));
    let took = began.elapsed();
    assert!((Duration::from_secs(8)..Duration::from_secs(15)).contains(&took), "{took:?}");
}

#[test]
fn hello_ok_says_what_there_is() {
    let gateway = Gateway::start(json!({}));
    let client = gateway.client();
    let recorded = &wire::load("hello-ok").received[1]["payload"];
    let names = |hello: &Value, kind: &str| -> Vec<String> {
        let list = hello["features"][kind].as_array().expect("a list");
        list.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect()
    };
    let events = names(&client.hello, "events");
    let order: Vec<_> = names(recorded, "events").into_iter().filter(|it| events.contains(it)).collect();
    assert_eq!(events, order, "events that clients know, in the order they know");
    let (known, offered) = (names(recorded, "methods"), names(&client.hello, "methods"));
    for needed in
        ["health", "status", "agent", "chat.send", "chat.abort", "chat.history", "system-presence", "logs.tail"]
    {
        assert!(offered.iter().any(|it| it == needed), "{needed} is not offered");
    }
    let strange: Vec<_> = offered.iter().filter(|it| !known.contains(it)).collect();
    assert!(strange.is_empty(), "clients do not know {strange:?}");
    let presence = client.hello["snapshot"]["presence"].as_array().expect("presence");
    assert!(presence.iter().any(|it| it["reason"] == "self"), "{presence:?}");
    assert!(presence.iter().any(|it| it["instanceId"] == "black-box"), "{presence:?}");
}
