//! HTTP as such on the gateway port: as recorded, and what no peer may get with requests that two parsers read differently.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::PATIENCE;
use crate::support::gateway::Gateway;
use crate::support::http;
use crate::support::http_wire::load;

/// What goes otherwise than recorded, with the statuses that come instead.
const UNLIKE: [(&str, &[u16]); 5] = [
    ("badhost", &[400]),
    ("dslash", &[400]),
    // Nobody has to switch protocols.
    ("upgrade_h2c", &[404]),
    ("upgrade_noconn", &[400]),
    // Recorded with a smaller cap; the intended answer, where the original hung up.
    ("too_large_raw", &[413]),
];

/// The statuses of the answers, in order.
fn statuses(received: &str) -> Vec<u16> {
    let heads = received.split("HTTP/1.1 ").skip(1);
    heads.filter_map(|head| head.get(..3)?.parse().ok()).collect()
}

/// Sends bytes and reads what comes until the end, or as many answers as are due.
fn exchange(gateway: &Gateway, sent: &[u8], due: usize) -> String {
    let mut socket = gateway.socket();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // Who is refused in the middle of its request may not get rid of the rest.
    let _ = socket.write_all(sent);
    let mut received = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count) = socket.read(&mut piece) {
        received.extend_from_slice(&piece[..count]);
        if count == 0 || (due > 0 && statuses(&String::from_utf8_lossy(&received)).len() >= due) {
            break;
        }
    }
    String::from_utf8_lossy(&received).into_owned()
}

#[test]
fn the_transport_as_recorded() {
    let gateway = Gateway::start(json!({
        "gateway": {"auth": null}, "hooks": {"enabled": true, "token": "hooktok", "path": "/wh", "maxBodyBytes": 50},
    }));
    for recorded in load("http_core") {
        let name = recorded["name"].as_str().expect("a name");
        let mut sent = recorded["sent"].as_str().expect("bytes").to_owned();
        if let Some(at) = sent.find('…') {
            // The recording leaves out the rest of a long header.
            sent.replace_range(at.., &format!("{}\r\n\r\n", "a".repeat(20_000)));
        }
        let wanted = match UNLIKE.iter().find(|(other, _)| *other == name) {
            Some((_, statuses)) => statuses.to_vec(),
            None => statuses(recorded["received"].as_str().expect("bytes")),
        };
        let received = exchange(&gateway, sent.as_bytes(), wanted.len());
        assert_eq!(statuses(&received), wanted, "{name}: {received}");
        if recorded["serverClosed"] == false && wanted[0] != 400 {
            assert!(received.contains("Keep-Alive: timeout=5"), "{name}: {received}");
        }
    }
}

#[test]
fn upgrades_as_recorded() {
    let gateway = Gateway::start(json!({}));
    for recorded in load("ws_upgrade") {
        let (name, path) = (recorded["name"].as_str().expect("a name"), recorded["path"].as_str().expect("a path"));
        let version = recorded["extraHeaders"]["Sec-WebSocket-Version"].as_str().unwrap_or("13");
        let origin =
            recorded["extraHeaders"]["Origin"].as_str().map(|it| format!("Origin: {it}\r\n")).unwrap_or_default();
        let sent = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: {version}\r\n{origin}\r\n"
        );
        let received = exchange(&gateway, sent.as_bytes(), 1);
        let wanted = statuses(recorded["received"].as_str().expect("bytes"));
        match name {
            // Pages of other sites are refused here.
            "origin" => assert_eq!(statuses(&received), [403], "{received}"),
            _ => assert_eq!(statuses(&received), wanted, "{name}: {received}"),
        }
    }
}

/// Requests that two parsers could cut up differently are refused, and the connection ends: what follows them is nobody's.
#[test]
fn smuggled_requests_are_not_answered() {
    let gateway = Gateway::start(json!({}));
    let hidden = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = "POST /tools/invoke HTTP/1.1\r\nHost: x\r\n";
    for head in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Host: y\r\nContent-Length: 0\r\n",
    ] {
        let received = exchange(&gateway, format!("{post}{head}\r\n0\r\n\r\n{hidden}").as_bytes(), 0);
        let statuses = statuses(&received);
        assert!(statuses.len() == 1 && matches!(statuses[0], 400 | 401 | 413), "{head:?}: {received}");
        assert!(received.contains("Connection: close") && !received.contains("ok\n"), "{head:?}: {received}");
    }
    for (body, status) in [
        ("0\r\nx\n\r\n", 400),
        ("1\r\nab\r\n0\r\n\r\n", 400),
        ("0x1\r\na\r\n0\r\n\r\n", 400),
        ("1\na\r\n0\r\n\r\n", 400),
    ] {
        let received =
            exchange(&gateway, format!("{post}Transfer-Encoding: chunked\r\n\r\n{body}{hidden}").as_bytes(), 0);
        assert_eq!(statuses(&received), [status], "{body:?}: {received}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let gateway = Gateway::start(json!({}));
    let get = |path: &str, end: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{end}\r\n");
    let post = "POST /tools/invoke HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let all =
        [get("/healthz", ""), post.to_owned(), get("/nothing.json?x", ""), get("/v1/none", "Connection: close\r\n")]
            .concat();
    let received = exchange(&gateway, all.as_bytes(), 0);
    assert_eq!(statuses(&received), [200, 401, 200, 404], "{received}");
    // Byte by byte is the same.
    let mut socket = gateway.socket();
    for byte in all.as_bytes() {
        socket.write_all(&[*byte]).unwrap();
    }
    let mut slowly = String::new();
    socket.read_to_string(&mut slowly).unwrap();
    assert_eq!(statuses(&slowly), [200, 401, 200, 404]);
}

#[test]
fn ten_thousand_headers_are_too_many() {
    let gateway = Gateway::start(json!({}));
    let headers = "a:b\r\n".repeat(10_000);
    let received = exchange(&gateway, format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes(), 0);
    assert_eq!(statuses(&received), [431], "{received}");
    assert_eq!(http::get(gateway.socket(), "GET", "/healthz").status, 200);
}

/// Broken requests made at random: each gets an answer or an end, soon, and the gateway lives.
#[test]
fn random_requests_never_hang() {
    const CASES: u64 = 60;
    let gateway = Gateway::start(json!({}));
    let given = std::env::var("SIM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = given.map_or(1..CASES + 1, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let bytes = random_request(seed);
        let mut socket = gateway.socket();
        let _ = socket.write_all(&bytes);
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let began = Instant::now();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        assert!(began.elapsed() < PATIENCE / 2, "SIM_SEED={seed} hangs: {:?}", String::from_utf8_lossy(&bytes));
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "), "SIM_SEED={seed}");
    }
    assert_eq!(http::get(gateway.socket(), "GET", "/healthz").status, 200);
}

/// Pieces of requests in a row, some of them damaged.
fn random_request(seed: u64) -> Vec<u8> {
    const PIECES: [&[u8]; 22] = [
        b"GET / HTTP/1.1\r\n",
        b"POST /tools/invoke HTTP/1.1\r\n",
        b"GET /__clawdbot__/canvas/..%2f HTTP/1.0\r\n",
        b"Host: x\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: -5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Upgrade: websocket\r\n",
        b"Expect: 100-continue\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"ffffffff\r\n",
        b"hello",
        b"\0\xff\xfe",
        b": x\r\n",
        b"A",
        b"GET http://h/%00 HTTP/1.1\r\n",
        b"X: y\r\n",
    ];
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("small")
    };
    let mut bytes = Vec::new();
    for _ in 0..next(24) + 1 {
        bytes.extend_from_slice(PIECES[next(PIECES.len())]);
        if next(6) == 0 {
            let at = next(bytes.len());
            bytes[at] ^= 1 << next(8);
        }
    }
    bytes
}

#[test]
fn probes_and_metrics() {
    let gateway = Gateway::start(json!({"gateway": {"http": {"endpoints": {"metrics": {"enabled": true}}}}}));
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let response = http::get(gateway.socket(), "GET", path);
        assert_eq!((response.status, response.body.as_str()), (200, body));
        assert_eq!(http::get(gateway.socket(), "POST", path).status, 405);
    }
    assert_eq!(http::get(gateway.socket(), "GET", "/metrics").status, 401);
    let mut client = gateway.client();
    client.request("health", json!({})).expect("health");
    let ask = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer tok\r\n\r\n";
    let page = http::exchange(gateway.socket(), ask).expect("a response");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    let value = |name: &str| {
        let line = page
            .body
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_else(|| panic!("no {name} in {}", page.body));
        line.trim().parse::<f64>().expect("a number")
    };
    assert!(value("clawdbot_clients ") >= 1.0 && value("clawdbot_frames_total ") >= 1.0);
    assert!(
        value("clawdbot_http_responses_total{class=\"4xx\"} ") >= 3.0 && value("clawdbot_resident_memory_bytes ") > 1e6
    );
    assert_eq!(value("clawdbot_starts_total "), 1.0);
    for line in page.body.lines().filter(|line| !line.starts_with('#')) {
        let (name, number) = line.rsplit_once(' ').expect("a name and a number");
        assert!(name.starts_with("clawdbot_") && number.parse::<f64>().is_ok(), "{line}");
    }
    let off = Gateway::start(json!({}));
    assert_eq!(http::get(off.socket(), "GET", "/metrics").status, 404);
}
