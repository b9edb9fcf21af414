//! `POST /tools/invoke`: as recorded, by policy, and not after its client is gone.

use serde_json::json;

use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::http;
use crate::support::http_wire::{replay, unlike};
use crate::support::provider::{Answer, Provider};

#[test]
fn tools_as_recorded() {
    let provider = Provider::always(Answer::Text(vec!["Hi."]));
    let home = Home::with_config(&json!({"gateway": {"http": {"endpoints": {"responses": {"enabled": true}}}}}));
    Gateway::use_model(&home, &provider, "fm", 128_000);
    let gateway = Gateway::start_in(home, &[], &[]);
    // The session that the recorded gateway had.
    assert_eq!(http::post(&gateway, "/v1/responses", "", &json!({"model": "m", "input": "hi"})).status, 200);
    let unlike = [
        unlike("browser", 404, "this version drives no browser of its own"),
        unlike("session_status", 200, "the main session is there before anybody has spoken in it"),
        unlike("tool_error", 400, "in other words"),
        unlike("too_large", 400, "what was recorded is cut off and no JSON; the limit is tested elsewhere"),
    ];
    replay(&gateway, "tools_invoke", &[], &unlike);
}

#[test]
fn policy_decides_what_there_is() {
    let gateway = Gateway::start(json!({"tools": {"profile": "messaging", "deny": ["sessions_list"]}}));
    let ask = |tool: &str| http::post(&gateway, "/tools/invoke", "", &json!({"tool": tool})).status;
    assert_eq!((ask("agents_list"), ask("sessions_list"), ask("cron")), (404, 404, 404));
    assert_ne!(ask("session_status"), 404);
}

#[test]
fn pages_of_other_sites_cannot_call_tools_of_an_open_gateway() {
    let gateway = Gateway::start(json!({"gateway": {"auth": null}}));
    let ask = |headers: &str| {
        let body = r#"{"tool":"agents_list"}"#;
        let request = format!(
            "POST /tools/invoke HTTP/1.1\r\n{headers}Content-Type: text/plain\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        http::exchange(gateway.socket(), request.as_bytes()).expect("a response").status
    };
    assert_eq!(ask("Host: 127.0.0.1\r\n"), 200);
    for headers in [
        "Host: 127.0.0.1\r\nOrigin: https://evil.example\r\n",
        "Host: evil.example\r\nOrigin: http://evil.example\r\n",
        "Host: evil.example\r\n",
        "Host: 127.0.0.1\r\nX-Forwarded-For: 203.0.113.9\r\n",
    ] {
        assert_eq!(ask(headers), 403, "{headers}");
    }
}
