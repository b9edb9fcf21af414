//! Hostile and broken peers: each gets its answer or its close, the others notice nothing, memory stays bounded.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use serde_json::json;
use tungstenite::protocol::Message;

use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::http;

/// Far above what a gateway at rest takes, far below what one unbounded buffer here would take.
const MEMORY_MAX_BYTES: u64 = 128 * 1024 * 1024;

/// A client that was there before the abuse and still works after it.
struct Bystander<'a> {
    gateway: &'a Gateway,
    client: Client,
}

impl<'a> Bystander<'a> {
    fn of(gateway: &'a Gateway) -> Self {
        Self { gateway, client: gateway.client() }
    }

    fn is_unaffected(&mut self) {
        assert_eq!(self.client.request("health", json!({})).expect("health")["ok"], true);
        // New ones are let in too.
        assert_eq!(self.gateway.client().request("health", json!({})).expect("health")["ok"], true);
        if let Some(peak) = self.gateway.memory_peak_bytes() {
            assert!(peak < MEMORY_MAX_BYTES, "{} MiB", peak >> 20);
        }
    }
}

#[test]
fn silent_and_half_open_peers() {
    let gateway = Gateway::start(json!({}));
    let mut bystander = Bystander::of(&gateway);
    let silent: Vec<_> = (0..50).map(|_| gateway.socket()).collect();
    let half_open: Vec<_> = (0..50)
        .map(|_| {
            let mut socket = gateway.socket();
            socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
            socket.shutdown(Shutdown::Write).unwrap();
            socket
        })
        .collect();
    bystander.is_unaffected();
    for mut socket in half_open {
        // A peer that has said its last byte without a whole head can only be let go.
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).expect("the end of the connection");
    }
    drop(silent);
    bystander.is_unaffected();
}

#[test]
fn two_hundred_slow_senders() {
    let gateway = Gateway::start(json!({}));
    let mut bystander = Bystander::of(&gateway);
    let mut slow: Vec<_> = (0..200).map(|_| gateway.socket()).collect();
    for byte in b"GET / HTTP/1.1\r\nX: " {
        for socket in &mut slow {
            socket.write_all(&[*byte]).expect("still open");
        }
    }
    bystander.is_unaffected();
    // Slow is not wrong: whoever finishes gets the answer.
    let mut last = slow.pop().expect("one of 200");
    last.write_all(b"y\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(http::read_response(&last).expect("a response").status, 200);
    bystander.is_unaffected();
}

#[test]
fn nesting_of_a_hundred_thousand() {
    let gateway = Gateway::start(json!({}));
    let mut bystander = Bystander::of(&gateway);
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));

    let mut first_frame = Client::open(gateway.port, &[]);
    first_frame.challenge();
    first_frame.send_message(Message::text(format!("{open}{close}")));
    let (code, _) = first_frame.wait_close();
    assert!(code == 1000 || code == 1008, "{code}");

    let mut params = gateway.client();
    let text = format!(r#"{{"type":"req","id":"deep","method":"health","params":{{"a":{open}{close}}}}}"#);
    params.send_message(Message::text(text));
    // Ignored as unreadable or refused: either way the connection goes on.
    assert_eq!(params.request("health", json!({})).expect("health")["ok"], true);
    bystander.is_unaffected();
}

#[test]
fn frames_too_big() {
    let gateway = Gateway::start(json!({}));
    let mut bystander = Bystander::of(&gateway);

    let mut client = gateway.client();
    let id = client.post("system-event", json!({ "text": "x".repeat(400 * 1024) }));
    client.response(&id).expect("below the limit");
    client.send(
        &json!({ "type": "req", "id": "big", "method": "system-event", "params": { "text": "x".repeat(600 * 1024) } }),
    );
    assert_eq!(client.wait_close(), (1009, String::new()));

    // 64 MiB announced: refused at its header, before the bytes.
    for admitted in [true, false] {
        let mut client = if admitted { gateway.client() } else { Client::open(gateway.port, &[]) };
        let mut header = vec![0x81, 0x80 | 127];
        header.extend_from_slice(&(64u64 << 20).to_be_bytes());
        header.extend_from_slice(&[0; 4]);
        client.raw().write_all(&header).unwrap();
        assert_eq!(client.wait_close(), (1009, String::new()), "admitted: {admitted}");
    }
    bystander.is_unaffected();
}

#[test]
fn endless_fragments() {
    let gateway = Gateway::start(json!({}));
    let mut bystander = Bystander::of(&gateway);
    let mut client = gateway.client();
    let mut fragment = vec![0x00, 0x80 | 126, 0xff, 0xff, 0, 0, 0, 0];
    fragment.resize(8 + 0xffff, b' ');
    for index in 0..16 {
        fragment[0] = if index == 0 { 0x01 } else { 0x00 };
        // The gateway may hang up in the middle of this megabyte.
        if client.raw().write_all(&fragment).is_err() {
            break;
        }
    }
    let (code, _) = client.wait_close();
    assert!(code == 1009 || code == 1006, "{code}");
    bystander.is_unaffected();
}

#[test]
fn protocol_errors() {
    let gateway = Gateway::start(json!({}));
    let mut bystander = Bystander::of(&gateway);
    for (name, bytes, code) in [
        ("unmasked", &[0x81, 0x02, b'{', b'}'][..], 1002),
        ("reserved opcode", &[0x83, 0x80, 0, 0, 0, 0][..], 1002),
        ("not UTF-8", &[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe][..], 1007),
    ] {
        let mut client = gateway.client();
        client.raw().write_all(bytes).unwrap();
        assert_eq!(client.wait_close().0, code, "{name}");
    }
    bystander.is_unaffected();
}

/// Who asks on without reading gets its answers as it takes them, and no more are kept for it.
#[test]
fn pipelined_requests_of_a_slow_reader() {
    const REQUESTS: usize = 8000;
    let gateway = Gateway::start(json!({}));
    let mut bystander = Bystander::of(&gateway);
    let mut socket = gateway.socket();
    let mut writer = socket.try_clone().expect("a second handle");
    let asker = std::thread::spawn(move || {
        let request = "GET /app.js HTTP/1.1\r\nHost: x\r\n\r\n".repeat(REQUESTS);
        writer.write_all(request.as_bytes()).expect("sent");
        writer.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    });
    bystander.is_unaffected();
    let mut answers = Vec::new();
    socket.read_to_end(&mut answers).expect("answers to the end");
    asker.join().expect("all was sent");
    let heads = answers.windows(15).filter(|window| window == b"HTTP/1.1 200 OK").count();
    assert_eq!(heads, REQUESTS + 1);
    bystander.is_unaffected();
}

#[test]
fn broken_requests() {
    let gateway = Gateway::start(json!({}));
    let mut bystander = Bystander::of(&gateway);
    let post = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer tok\r\n";
    for (name, request, status) in [
        ("bad chunk", format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 400),
        ("endless chunk line", format!("{post}Transfer-Encoding: chunked\r\n\r\n{}", "0".repeat(4096)), 400),
        ("two framings", format!("{post}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), 400),
        ("lengths that differ", format!("{post}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), 400),
        ("no request", "hello there\r\n\r\n".to_owned(), 400),
        ("long head", format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(20_000)), 431),
        ("body never sent", format!("{post}Content-Length: 1099511627776\r\n\r\n"), 413),
        ("chunk too big", format!("{post}Transfer-Encoding: chunked\r\n\r\nffffffff\r\n"), 413),
    ] {
        let response = http::exchange(gateway.socket(), request.as_bytes());
        assert_eq!(response.map(|it| it.status), Some(status), "{name}");
    }
    bystander.is_unaffected();
}
