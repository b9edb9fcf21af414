use super::*;
use crate::base::fs::testing::TempDir;
use crate::base::thread::{STACK_WORKER_BYTES, spawn};
use crate::config::types::Config;
use std::net::TcpListener;
use target::Overrides;
use tungstenite::Message;

fn paths(dir: &TempDir) -> Paths {
    let home = dir.path().to_string_lossy().into_owned();
    Paths::resolve(|name| (name == "HOME").then(|| home.clone()))
}

fn resolve(config: Value, overrides: &Overrides) -> Target {
    let config: Config = serde_json::from_value(config).expect("config");
    let paths = Paths::resolve(|name| (name == "HOME").then(|| "/h".to_owned()));
    Target::resolve_with(&paths, &config, overrides, |name| {
        (name == "CLAWDBOT_GATEWAY_TOKEN").then(|| "from-env".to_owned())
    })
}

#[test]
fn flags_then_environment_then_configuration() {
    let token = |target: &Target| target.token.as_ref().map(|token| token.expose().to_owned());
    let local =
        resolve(json!({"gateway": {"port": 7, "auth": {"token": "c", "password": " p "}}}), &Overrides::default());
    assert_eq!((local.source.as_str(), token(&local).as_deref()), ("local loopback", Some("from-env")));
    assert_eq!(local.password.as_ref().map(Secret::expose), Some("p"));
    assert!(local.details().ends_with("Config: /h/.clawdbot/clawdbot.json\nBind: loopback"), "{}", local.details());
    let remote = json!({"gateway": {"mode": "remote", "remote": {"url": "ws://r:1", "token": "rt"}}});
    let remote = resolve(remote, &Overrides::default());
    assert_eq!((remote.url.as_str(), token(&remote).as_deref(), remote.bind_detail), ("ws://r:1", Some("rt"), None));
    let flags = Overrides { url: Some("ws://f:2".to_owned()), token: Some("ft".to_owned()), password: None };
    let flagged = resolve(json!({"gateway": {"mode": "remote"}}), &flags);
    assert_eq!(
        (flagged.url.as_str(), token(&flagged).as_deref(), flagged.check().is_ok()),
        ("ws://f:2", Some("ft"), true)
    );
    assert!(resolve(json!({"gateway": {"mode": "remote"}}), &Overrides::default()).check().is_err());
}

#[test]
fn errors_are_worded_as_the_original_s() {
    let check = |code, reason: &str, expected: &str| {
        let error = ClientError::Closed { code, reason: reason.to_owned(), refusal: None };
        assert_eq!(error.to_string(), expected);
    };
    check(1006, "", "gateway closed (1006 abnormal closure (no close frame)): no close reason");
    check(1000, "", "gateway closed (1000 normal closure): no close reason");
    check(1008, "slow consumer", "gateway closed (1008): slow consumer");
    let timeout = ClientError::Timeout { after: Duration::from_millis(250) };
    assert_eq!(timeout.to_string(), "gateway timeout after 250ms");
}

/// A gateway of one connection: challenge, then one scripted answer per request.
fn with_gateway(answers: Vec<Vec<Value>>, check: impl FnOnce(&Target)) -> Vec<Value> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let url = format!("ws://{}", listener.local_addr().expect("address"));
    let (sender, received) = crossbeam_channel::bounded(16);
    let server = spawn("fake-gateway", STACK_WORKER_BYTES, move || {
        let accept = || {
            let (stream, _) = listener.accept().expect("client");
            let mut socket = tungstenite::accept(stream).expect("handshake");
            let challenge = json!({"type": "event", "event": "connect.challenge", "payload": {"nonce": "n", "ts": 1}});
            socket.send(Message::text(challenge.to_string())).expect("send");
            socket
        };
        let mut socket = accept();
        for answers in answers {
            if !socket.can_write() {
                socket = accept();
            }
            let request: Value = match socket.read() {
                Ok(Message::Text(text)) => serde_json::from_str(&text).expect("json"),
                _ => return,
            };
            for mut answer in answers {
                if let Some(code) = answer["close"].as_u64() {
                    let reason = answer["reason"].as_str().unwrap_or_default().to_owned();
                    let code = (code as u16).into();
                    let _ = socket.close(Some(tungstenite::protocol::CloseFrame { code, reason: reason.into() }));
                    continue;
                }
                if answer["type"] == "res" {
                    answer["id"] = request["id"].clone();
                }
                socket.send(Message::text(answer.to_string())).expect("send");
            }
            sender.send(request).expect("test listens");
        }
        // Until the client is gone.
        while socket.read().is_ok() {}
    });
    let config: Config = serde_json::from_value(json!({"gateway": {"auth": {"token": "t"}}})).expect("config");
    let paths = Paths::resolve(|name| (name == "HOME").then(|| "/h".to_owned()));
    let overrides = Overrides { url: Some(url), ..Overrides::default() };
    check(&Target::resolve_with(&paths, &config, &overrides, |_| None));
    drop(server);
    received.try_iter().collect()
}

fn ok(payload: Value) -> Value {
    json!({"type": "res", "ok": true, "payload": payload})
}

#[test]
fn signs_the_challenge_keeps_the_device_token_and_waits_for_the_final_answer() {
    let dir = TempDir::new("client");
    let paths = paths(&dir);
    let hello =
        json!({"type": "hello-ok", "auth": {"deviceToken": "dt", "role": "operator", "scopes": ["operator.admin"]}});
    let tick = json!({"type": "event", "event": "tick", "payload": {}});
    let answers = vec![vec![ok(hello)], vec![ok(json!({"status": "accepted"})), tick, ok(json!({"status": "ok"}))]];
    let requests = with_gateway(answers, |target| {
        let deadline = Deadline::after(Duration::from_secs(10));
        let mut client = Client::connect(&paths, target, &Profile::cli(), deadline).expect("hello");
        let mut events = Vec::new();
        let mut watch = |event: &str, _: &Value| events.push(event.to_owned());
        let last = client.request_watching("agent", json!({}), true, deadline, &mut watch).expect("final");
        assert_eq!((&last["status"], events), (&json!("ok"), vec!["tick".to_owned()]));
        client.close();
    });
    let connect = &requests[0]["params"];
    let device = &connect["device"];
    let key = identity::decode_public_key(device["publicKey"].as_str().expect("key")).expect("key");
    let signed = identity::payload(&PayloadFields {
        device_id: device["id"].as_str().expect("id"),
        client_id: "cli",
        client_mode: "cli",
        role: "operator",
        scopes: &Profile::cli().scopes,
        signed_at_ms: device["signedAt"].as_u64().expect("number"),
        token: Some("t"),
        nonce: Some("n"),
    });
    assert!(identity::verify(&key, &signed, device["signature"].as_str().expect("signature")));
    assert_eq!(connect["auth"], json!({"token": "t"}));
    let known = tokens::load(&paths.state_dir, &identity::device_id_of(&key), "operator").expect("stored");
    assert_eq!(known.token.expose(), "dt");
}

#[test]
fn a_refused_device_token_gives_way_to_the_gateway_s_own_and_the_close_reason_is_told() {
    let dir = TempDir::new("client-refused");
    let paths = paths(&dir);
    let identity = Identity::load_or_create(&paths.identity_dir(), &SystemRng, &SystemClock).expect("identity");
    tokens::remember(&paths.state_dir, identity.device_id(), "operator", None, &json!({"deviceToken": "old"}));
    let refusal = json!({"type": "res", "ok": false, "error": {"code": "INVALID_REQUEST", "message": "no"}});
    let refused = vec![refusal, json!({"close": 1008, "reason": "why"})];
    let requests = with_gateway(vec![refused.clone(), refused], |target| {
        let deadline = Deadline::after(Duration::from_secs(10));
        let error = Client::connect(&paths, target, &Profile::cli(), deadline).err().expect("refused");
        let expected = ClientError::Closed { code: 1008, reason: "why".to_owned(), refusal: Some("no".to_owned()) };
        assert_eq!(error, expected);
    });
    assert_eq!(requests[0]["params"]["auth"], json!({"token": "old"}));
    assert_eq!(requests[1]["params"]["auth"], json!({"token": "t"}));
    assert_eq!(tokens::load(&paths.state_dir, identity.device_id(), "operator"), None);
}
