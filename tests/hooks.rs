//! Hooks: as recorded, what they make the agent do, and what the main session hears of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::http::{self, Response};
use crate::support::http_wire::{replay, unlike};
use crate::support::provider::{Answer, Provider};
use crate::support::skipped;

const TRANSFORM: &str = "export default async ({ payload, url }) => {
  if (payload.boom) throw new Error('boom');
  if (payload.skip) return null;
  console.log('printed');
  return { message: `T ${payload.x} ${url.pathname}`, deliver: false, wakeMode: 'next-heartbeat' };
};";

fn config() -> Value {
    json!({"hooks": {"enabled": true, "token": "hooktok", "presets": ["gmail"], "transformsDir": "~/transforms", "mappings": [
        {"match": {"path": "wk"}, "action": "wake", "textTemplate": "W {{msg}} {{query.q}} {{headers.x-foo}}", "wakeMode": "next-heartbeat"},
        {"match": {"path": "tr"}, "messageTemplate": "x", "transform": {"module": "t.mjs"}},
        {"match": {"source": "ci"}, "action": "wake", "textTemplate": "CI {{items[0].a}}"},
        {"match": {"path": "empty"}, "messageTemplate": "{{nothing}}"},
    ]}})
}

fn hook(gateway: &Gateway, path: &str, body: &Value) -> Response {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer hooktok\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    http::exchange(gateway.socket(), request.as_bytes()).expect("a response")
}

fn has_node() -> bool {
    std::process::Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn hooks_as_recorded() {
    let provider = Provider::always(Answer::Text(vec!["Done."]));
    let gateway = Gateway::with_provider(&provider, config());
    std::fs::create_dir_all(gateway.home.path().join("transforms")).unwrap();
    std::fs::write(gateway.home.path().join("transforms/t.mjs"), TRANSFORM).unwrap();
    let mut skip = Vec::new();
    if !has_node() {
        skipped("transforms of hooks: node is not installed");
        skip.extend(["map_transform", "map_transform_skip", "map_transform_throw"]);
    }
    let unlike = [unlike("too_large", 400, "what was recorded is cut off and no JSON; the limit is tested below")];
    replay(&gateway, "hooks", &skip, &unlike);
}

static LOOK: AtomicUsize = AtomicUsize::new(0);

/// Lines that wait for the main session show in its next prompt.
fn prompt_with(gateway: &Gateway, provider: &Provider, wanted: &str) -> String {
    let mut client = gateway.client();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let run = format!("look-{}", LOOK.fetch_add(1, Ordering::Relaxed));
        client
            .request("chat.send", json!({"sessionKey": "main", "message": "what is new?", "idempotencyKey": run}))
            .unwrap();
        client.chat_end(&run);
        let asked = provider.requests().last().expect("a request")["messages"].to_string();
        if asked.contains(wanted) || Instant::now() > deadline {
            return asked;
        }
    }
}

#[test]
fn an_agent_hook_runs_apart_and_the_main_session_hears_of_it() {
    let provider = Provider::always(Answer::Text(vec!["All built."]));
    let mut config = config();
    config["agents"] = json!({"defaults": {"models": {"test/m": {}}}});
    let gateway = Gateway::with_provider(&provider, config);
    let body = json!({"message": "build it", "name": "CI", "sessionKey": "hook:CI:1", "deliver": false, "wakeMode": "next-heartbeat"});
    let response = hook(&gateway, "/hooks/agent", &body);
    assert_eq!(response.status, 202, "{}", response.body);
    provider.wait_requests(1);
    assert!(provider.requests()[0]["messages"].to_string().contains("build it"));
    let asked = prompt_with(&gateway, &provider, "Hook CI: All built.");
    assert!(asked.contains("Hook CI: All built."), "{asked}");
    assert!(gateway.home.sessions().get("agent:main:hook:ci:1").is_some());

    let body = json!({"message": "x", "name": "No", "model": "test/other", "wakeMode": "next-heartbeat"});
    assert_eq!(hook(&gateway, "/hooks/agent", &body).status, 202);
    let asked = prompt_with(&gateway, &provider, "Hook No (error): model not allowed");
    assert!(asked.contains("Hook No (error): model not allowed"), "{asked}");

    // Where it should go but cannot, the answer is told with its status.
    assert_eq!(
        hook(&gateway, "/hooks/agent", &json!({"message": "x", "name": "Far", "wakeMode": "next-heartbeat"})).status,
        202
    );
    let asked = prompt_with(&gateway, &provider, "Hook Far (error): All built.");
    assert!(asked.contains("Hook Far (error): All built."), "{asked}");
}

#[test]
fn a_wake_is_told_and_a_template_filled() {
    let provider = Provider::always(Answer::Text(vec!["Ok."]));
    let gateway = Gateway::with_provider(&provider, config());
    assert_eq!(hook(&gateway, "/hooks/wk?q=Q%20Q", &json!({"msg": "m1"})).status, 200);
    let asked = prompt_with(&gateway, &provider, "W m1 Q Q");
    assert!(asked.contains("W m1 Q Q"), "{asked}");
}

#[test]
fn strangers_and_giants_are_refused() {
    let mut config = config();
    config["hooks"]["maxBodyBytes"] = json!(50);
    config["hooks"]["path"] = json!("/wh/");
    let gateway = Gateway::start(config);
    let response = hook(&gateway, "/wh/wake", &json!({"text": "x".repeat(100)}));
    assert_eq!((response.status, response.body.as_str()), (413, r#"{"ok":false,"error":"payload too large"}"#));
    assert_eq!(hook(&gateway, "/wh/wake", &json!({"text": "x", "mode": "next-heartbeat"})).status, 200);
    assert_eq!(hook(&gateway, "/wh/nothing", &json!({})).status, 404);
    let stranger = http::get(gateway.socket(), "POST", "/wh/wake?token=wrong");
    assert_eq!(stranger.status, 401);
}

#[test]
fn hooks_without_a_token_do_not_start() {
    let home = Home::with_config(&json!({"hooks": {"enabled": true}}));
    let ended = Gateway::run_to_end(&home, crate::support::gateway::free_port(), &[]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("hooks.enabled requires hooks.token"), "{}", ended.stderr);
    let off = Gateway::start(json!({"hooks": {"enabled": false}}));
    assert_eq!(hook(&off, "/hooks/wake", &json!({"text": "x"})).status, 404);
}
