//! Pairing of devices and of older nodes: as recorded, by the command line, and over kill -9.

use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::client::{Client, Device, connect_params, now_ms};
use crate::support::gateway::Gateway;
use crate::support::http;
use crate::support::replay::Replay;

/// Makes a connection remote: the header comes from no trusted proxy.
const PROXIED: &[(&str, &str)] = &[("X-Forwarded-For", "203.0.113.9")];
/// The recorded Mac's key is not ours.
const OWN_KEYS: &[&str] = &["/payload/publicKey", "/payload/device/publicKey"];

/// A connect with this device; `headers` decide where it comes from.
fn connect(gateway: &Gateway, device: &Device, headers: &[(&str, &str)], params: Value) -> Result<Value, Value> {
    let mut client = Client::open(gateway.port, headers);
    let nonce = client.challenge();
    let mut params = params;
    params["device"] = device.sign(&params, now_ms(), Some(&nonce));
    client.request("connect", params)
}

fn mac(scopes: &[&str]) -> Value {
    let mut params = connect_params();
    params["client"] = json!({ "id": "clawdbot-macos", "displayName": "Mac", "version": "2.0", "platform": "macos 14.4", "mode": "ui" });
    params["scopes"] = json!(scopes);
    params
}

fn with(params: Value, pointer: &str, value: Value) -> Value {
    let mut params = params;
    *params.pointer_mut(pointer).expect("a parameter") = value;
    params
}

#[test]
fn a_remote_device_is_approved_rotated_and_revoked() {
    let gateway = Gateway::start(json!({}));
    let mut operator = gateway.client();
    let device = Device::of(21);
    let refused = connect(&gateway, &device, PROXIED, mac(&["operator.read"])).unwrap_err();
    let request = refused["details"]["requestId"].as_str().expect("a request").to_owned();
    let hint = refused["details"]["hint"].as_str().expect("a hint");
    assert!(hint.ends_with(&format!("clawdbot devices approve {request}")), "{hint}");
    Replay { ignore: OWN_KEYS, ..Replay::of("device.pair") }.in_turn(&gateway, &mut operator);

    // It may connect now, with what was approved (rotation replaced the scopes) and no more.
    let hello = connect(&gateway, &device, PROXIED, mac(&["operator.read"])).expect("approved");
    assert_eq!(hello["auth"]["scopes"], json!(["operator.read"]), "the revoked token was replaced");
    Replay { headers: PROXIED, device: 21, ..Replay::of("err-scope-upgrade") }.handshake(&gateway);

    let token = hello["auth"]["deviceToken"].clone();
    let by_token = || with(mac(&["operator.read"]), "/auth/token", token.clone());
    connect(&gateway, &device, PROXIED, by_token()).expect("the device token is enough");
    let wider = with(by_token(), "/scopes", json!(["operator.write"]));
    let refused = connect(&gateway, &device, PROXIED, wider).unwrap_err();
    assert!(refused["details"]["hint"].as_str().is_some_and(|it| it.contains("covers less")), "{refused}");
    let revoke = json!({ "deviceId": device.id(), "role": "operator" });
    operator.request("device.token.revoke", revoke).expect("revoked");
    let refused = connect(&gateway, &device, PROXIED, by_token()).unwrap_err();
    assert!(refused["message"].as_str().is_some_and(|it| it.starts_with("unauthorized: gateway token mismatch")));
    assert!(refused["details"]["hint"].as_str().is_some_and(|it| it.contains("revoked")), "{refused}");
}

#[test]
fn the_list_shows_no_secrets() {
    let gateway = Gateway::start(json!({}));
    let mut operator = gateway.client();
    let mut cli = connect_params();
    cli["client"] = json!({ "id": "cli", "version": "dev", "platform": "linux", "mode": "cli" });
    let hello = connect(&gateway, &Device::of(22), &[], cli.clone()).expect("paired silently");
    let token = hello["auth"]["deviceToken"].clone();
    connect(&gateway, &Device::of(22), &[], with(cli, "/auth/token", token.clone())).expect("its token is used");
    let mut backend = connect_params();
    backend["client"] = json!({ "id": "gateway-client", "displayName": "probe-client", "version": "1.0.0",
        "platform": "linux", "mode": "backend", "instanceId": "inst-1" });
    connect(&gateway, &Device::of(23), PROXIED, backend).unwrap_err();
    let ignore = &["/payload/pending/0/publicKey", "/payload/paired/0/publicKey"];
    Replay { ignore, ..Replay::of("device.pair.list") }.session(&gateway, &mut operator);
    let list = operator.request("device.pair.list", json!({})).unwrap();
    assert!(!list.to_string().contains(token.as_str().expect("a token")), "{list}");
}

#[test]
fn nobody_grants_more_than_they_hold() {
    let gateway = Gateway::start(json!({}));
    let wish = connect(&gateway, &Device::of(24), PROXIED, mac(&["operator.admin"])).unwrap_err();
    let request = json!({ "requestId": wish["details"]["requestId"] });
    let mut pairer = Client::connect_as(gateway.port, with(connect_params(), "/scopes", json!(["operator.pairing"])));
    let missing = json!({ "code": "INVALID_REQUEST", "message": "missing scope: operator.admin" });
    assert_eq!(pairer.request("device.pair.approve", request.clone()).unwrap_err(), missing);
    let mut admin = gateway.client();
    admin.request("device.pair.approve", request).expect("approved");
    let id = Device::of(24).id();
    for params in [
        json!({ "deviceId": id, "role": "operator" }),
        json!({ "deviceId": id, "role": "operator", "scopes": ["operator.admin"] }),
    ] {
        assert_eq!(pairer.request("device.token.rotate", params).unwrap_err(), missing);
    }
    let narrow = json!({ "deviceId": id, "role": "operator", "scopes": ["operator.pairing"] });
    pairer.request("device.token.rotate", narrow).expect("what it holds itself");
}

#[test]
fn the_gateway_without_a_secret_refuses_pages_under_names_of_their_own() {
    let gateway = Gateway::start(json!({ "gateway": { "auth": null } }));
    let host = format!("evil.example:{}", gateway.port);
    let origin = format!("http://{host}");
    let mut params = connect_params();
    params.as_object_mut().unwrap().remove("auth");
    let page = [("Host", host.as_str()), ("Origin", origin.as_str())];
    let refused = connect(&gateway, &Device::of(25), &page, params.clone()).unwrap_err();
    assert_eq!(refused["message"], "origin not allowed");
    connect(&gateway, &Device::of(25), &[], params).expect("programs are not pages");
}

#[test]
fn pages_of_other_sites_are_refused_at_the_door() {
    let gateway = Gateway::start(json!({}));
    let upgrade = |origin: &str| {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            gateway.port
        );
        http::exchange(gateway.socket(), request.as_bytes()).expect("a response")
    };
    for origin in ["https://evil.example", "null", "http://127.0.0.1.evil.example"] {
        let refused = upgrade(origin);
        assert_eq!(refused.status, 403, "{origin}");
        assert!(
            refused.body.contains("origin not allowed") && refused.body.contains("open the Control UI"),
            "{refused:?}"
        );
    }
}

#[test]
fn a_client_does_not_forward_itself_into_trust() {
    let gateway = Gateway::start(json!({ "gateway": { "trustedProxies": ["127.0.0.1"] } }));
    for (number, forwarded) in ["127.0.0.1, 203.0.113.9", "unknown", "localhost, 203.0.113.9"].into_iter().enumerate() {
        let device = Device::of(40 + u8::try_from(number).unwrap());
        let refused = connect(&gateway, &device, &[("X-Forwarded-For", forwarded)], connect_params()).unwrap_err();
        assert_eq!(refused["code"], "NOT_PAIRED", "{forwarded}: {refused}");
    }
}

#[test]
fn older_nodes() {
    let gateway = Gateway::start(json!({}));
    let mut operator = gateway.client();
    Replay::of("node.pair.list-empty").session(&gateway, &mut operator);
    Replay::of("node.pair").in_turn(&gateway, &mut operator);
    let list = operator.request("node.pair.list", json!({})).unwrap();
    let nodes = list["paired"].as_array().expect("a list");
    assert_eq!((nodes.len(), &nodes[0]["displayName"], nodes[0].get("token")), (1, &json!("New name"), None));
    let blank = operator.request("node.rename", json!({ "nodeId": "legacy-1", "displayName": " " })).unwrap_err();
    assert_eq!(blank["message"], "displayName required");
    let stored = std::fs::read_to_string(gateway.home.state_dir().join("nodes/paired.json")).expect("stored");
    assert!(serde_json::from_str::<Value>(&stored).expect("JSON")["legacy-1"]["token"].is_string());
}

#[test]
fn commands() {
    let gateway = Gateway::start(json!({}));
    let wish = |device: u8| {
        let refused = connect(&gateway, &Device::of(device), PROXIED, mac(&["operator.read"])).unwrap_err();
        refused["details"]["requestId"].as_str().expect("a request").to_owned()
    };
    let ran = gateway.cli(&["devices", "list"]);
    assert!(ran.stdout.contains("Paired (1)") && !ran.stdout.contains("Pending"), "{ran:?}");
    let request = wish(31);
    let list = gateway.cli(&["devices", "list", "--json"]).json();
    assert_eq!(
        (&list["pending"][0]["requestId"], &list["pending"][0]["displayName"]),
        (&json!(request), &json!("Mac"))
    );
    let ran = gateway.cli(&["devices", "list"]);
    assert!(
        ran.stdout.contains("Pending (1)") && ran.stdout.contains("Request") && ran.stdout.contains("Mac"),
        "{ran:?}"
    );
    let id = Device::of(31).id();
    let ran = gateway.cli(&["devices", "approve", &request]);
    assert_eq!((ran.code, ran.stdout.trim()), (Some(0), format!("Approved {id}").as_str()), "{ran:?}");
    let ran = gateway.cli(&["devices", "approve", &request]);
    assert_eq!((ran.code, ran.stderr.trim()), (Some(1), "Error: unknown requestId"));
    let ran = gateway.cli(&["devices", "reject", &wish(32)]);
    assert_eq!(ran.stdout.trim(), format!("Rejected {}", Device::of(32).id()), "{ran:?}");
    // Rejected is not banned: whoever comes back asks anew, and may be approved then.
    let again = wish(32);
    let list = gateway.cli(&["devices", "list", "--json"]).json();
    assert_eq!(list["pending"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list["pending"][0]["requestId"], json!(again));
    assert_eq!(wish(32), again, "asking twice is one request");
    assert_eq!(gateway.cli(&["devices", "approve", &again]).code, Some(0));
    connect(&gateway, &Device::of(32), PROXIED, mac(&["operator.read"])).expect("approved");

    let rotate =
        ["devices", "rotate", "--device", &id, "--role", "operator", "--scope", "operator.write", "operator.read"];
    let rotated = gateway.cli(&rotate).json();
    assert_eq!(rotated["scopes"], json!(["operator.read", "operator.write"]));
    let revoked = gateway.cli(&["devices", "revoke", "--device", &id, "--role", "operator"]).json();
    assert!(revoked["revokedAtMs"].is_u64(), "{revoked}");
    let ran = gateway.cli(&["devices", "list"]);
    assert!(ran.stdout.contains("operator (revoked)"), "{ran:?}");
    let ran = gateway.cli(&["devices", "revoke", "--device", " ", "--role", "operator"]);
    assert_eq!((ran.code, ran.stderr.trim()), (Some(1), "--device and --role required"));
}

#[test]
fn pairing_survives_kill_9_at_any_moment() {
    let mut home = None;
    let mut paired: Vec<(Device, Value)> = Vec::new();
    for round in 0..6_u8 {
        let gateway = match home.take() {
            Some(home) => Gateway::start_in(home, &[], &[]),
            None => Gateway::start(json!({})),
        };
        for (device, token) in &paired {
            let params = with(connect_params(), "/auth/token", token.clone());
            connect(&gateway, device, &[], params).expect("what was handed out opens the door again");
        }
        // Devices pair on another thread until the gateway dies under them.
        let port = gateway.port;
        let (report, reports) = std::sync::mpsc::channel();
        let pairing = std::thread::spawn(move || {
            let mut done = Vec::new();
            for number in 0..200_u8 {
                let device = Device::of(number.wrapping_add(round.wrapping_mul(37)).max(1));
                let Some(token) = try_pair(port, &device) else { break };
                done.push((device, token));
                // Nobody listens any more once enough are paired.
                let _ = report.send(());
            }
            done
        });
        let file = gateway.home.state_dir().join("devices/paired.json");
        // The gateway dies while the next one pairs.
        for _ in 0..=round {
            reports.recv_timeout(PATIENCE).expect("devices pair");
            let text = std::fs::read(&file).unwrap_or_else(|_| b"{}".to_vec());
            assert!(serde_json::from_slice::<Value>(&text).is_ok(), "half a file was seen");
        }
        home = Some(gateway.kill());
        paired = pairing.join().expect("no panic");
        let text = std::fs::read(&file).unwrap_or_else(|_| b"{}".to_vec());
        let stored: Value = serde_json::from_slice(&text).expect("a whole file after kill -9");
        for (device, token) in &paired {
            assert_eq!(stored[device.id()]["tokens"]["operator"]["token"], *token, "what was answered is on the disk");
        }
        let names = std::fs::read_dir(file.parent().expect("a directory")).into_iter().flatten().flatten();
        assert!(names.map(|it| it.file_name()).all(|name| !name.to_string_lossy().contains("corrupt")));
    }
    assert!(!paired.is_empty(), "some devices were paired before the last kill");
}

/// Pairs silently and gives the token; `None` when the gateway is gone.
fn try_pair(port: u16, device: &Device) -> Option<Value> {
    let socket = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    let (mut socket, _) = tungstenite::client(format!("ws://127.0.0.1:{port}/"), socket).ok()?;
    let mut read = || -> Option<Value> { serde_json::from_str(socket.read().ok()?.to_text().ok()?).ok() };
    let nonce = read()?["payload"]["nonce"].as_str()?.to_owned();
    let mut params = connect_params();
    params["device"] = device.sign(&params, now_ms(), Some(&nonce));
    let frame = json!({ "type": "req", "id": "c", "method": "connect", "params": params });
    socket.send(tungstenite::Message::text(frame.to_string())).ok()?;
    loop {
        let frame: Value = serde_json::from_str(socket.read().ok()?.to_text().ok()?).ok()?;
        if frame["id"] == "c" {
            return Some(frame["payload"]["auth"]["deviceToken"].clone()).filter(Value::is_string);
        }
    }
}
