//! Recorded HTTP exchanges (`tests/wire/http/*.json`) and what it means to answer as recorded.
//!
//! What was recorded must be in the answer; it may hold more: fields, events, headers. uuids, times and the words of a JSON
//! parser vary. Not compared: `Connection` and `Content-Length` (some bodies were scrubbed), and `bodySummary`.

use std::io::Write as _;
use std::path::Path;

use serde_json::Value;

use super::gateway::Gateway;
use super::http::{self, Response};

/// Numbers of clocks and models, by the ends of their names.
const VARYING: [&str; 4] = ["Ms", "/updatedAt", "/totalTokens", "/ts"];

/// An exchange that goes otherwise on purpose.
pub struct Unlike {
    pub name: &'static str,
    pub status: u16,
    /// Why; for whoever reads the test.
    pub why: &'static str,
}

pub const fn unlike(name: &'static str, status: u16, why: &'static str) -> Unlike {
    Unlike { name, status, why }
}

pub fn load(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/http").join(format!("{file}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let all: Value = serde_json::from_str(&text).expect("a recording is JSON");
    all["exchanges"].as_array().expect("exchanges").clone()
}

/// Sends what a file of recordings sent and demands what it received; those that `skip` names are left out.
pub fn replay(gateway: &Gateway, file: &str, skip: &[&str], unlike: &[Unlike]) {
    let mut wrong = Vec::new();
    let exchanges = load(file);
    for name in unlike.iter().map(|it| it.name).chain(skip.iter().copied()) {
        assert!(exchanges.iter().any(|it| it["name"] == name), "{file} has no {name}");
    }
    for exchange in &exchanges {
        let name = exchange["name"].as_str().expect("a name");
        if skip.contains(&name) {
            continue;
        }
        let Some(response) = ask(gateway, &exchange["request"]) else {
            wrong.push(format!("{name}: no answer"));
            continue;
        };
        match unlike.iter().find(|it| it.name == name) {
            Some(unlike) if unlike.status == response.status => assert!(!unlike.why.is_empty()),
            Some(unlike) => {
                wrong.push(format!("{name}: {} instead of {} ({})", response.status, unlike.status, unlike.why))
            }
            None => wrong.extend(
                differences(gateway, &exchange["response"], &response).iter().map(|it| format!("{name}: {it}")),
            ),
        }
    }
    assert!(wrong.is_empty(), "{file}:\n{}", wrong.join("\n"));
}

/// Sends a recorded request.
pub fn ask(gateway: &Gateway, request: &Value) -> Option<Response> {
    let body = match &request["body"] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        body => body.to_string(),
    };
    let mut text = format!(
        "{} {} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n",
        request["method"].as_str().expect("a method"),
        request["path"].as_str().expect("a path"),
    );
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        text.push_str(&format!("{name}: {}\r\n", value.as_str().expect("text")));
    }
    if !body.is_empty() || request["method"] == "POST" {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    let mut socket = gateway.socket();
    // A body that is refused before its end may break the pipe.
    let _ = socket.write_all(format!("{text}\r\n{body}").as_bytes());
    let mut response = http::read_answer(&socket, request["method"].as_str()?)?;
    if response.header("transfer-encoding") == Some("chunked") {
        response.body = http::unchunked(&response.body);
    }
    Some(response)
}

fn differences(gateway: &Gateway, expected: &Value, actual: &Response) -> Vec<String> {
    let mut wrong = Vec::new();
    if expected["status"] != actual.status {
        wrong.push(format!("status {} instead of {}: {}", actual.status, expected["status"], actual.body));
        return wrong;
    }
    for (name, value) in expected["headers"].as_object().into_iter().flatten() {
        let is_compared =
            !matches!(name.as_str(), "Connection" | "Content-Length" | "Transfer-Encoding" | "Keep-Alive");
        if is_compared && actual.header(name) != value.as_str() {
            wrong.push(format!("{name}: {:?} instead of {value}", actual.header(name)));
        }
    }
    if let Some(json) = expected.get("json") {
        match serde_json::from_str(&actual.body) {
            Ok(actual) => compare(gateway, "", json, &actual, &mut wrong),
            Err(error) => wrong.push(format!("{error}: {}", actual.body)),
        }
    } else if let Some(sse) = expected["sse"].as_str() {
        follow(gateway, sse, &actual.body, &mut wrong);
    } else if let Some(text) = expected["body"].as_str()
        && text.replace("/home/user", &gateway.home.path().to_string_lossy()) != actual.body
    {
        wrong.push(format!("{:?} instead of {text:?}", actual.body));
    }
    wrong
}

/// Events by name (of those that have one) and data.
pub fn events(sse: &str) -> Vec<(String, Value)> {
    let event = |block: &str| {
        let field =
            |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
        let data = field("data:");
        (field("event:"), serde_json::from_str(&data).unwrap_or(Value::String(data)))
    };
    sse.split("\n\n").filter(|block| !block.trim().is_empty()).map(event).collect()
}

/// The recorded events must come in their order; others may come between.
fn follow(gateway: &Gateway, expected: &str, actual: &str, wrong: &mut Vec<String>) {
    let there = events(actual);
    let mut rest = there.iter();
    for (name, data) in events(expected) {
        let fits = |it: &&(String, Value)| {
            let mut found = Vec::new();
            compare(gateway, "", &data, &it.1, &mut found);
            it.0 == name && found.is_empty()
        };
        if rest.find(fits).is_none() {
            wrong.push(format!("no event {name} {data} in its place in {actual}"));
            return;
        }
    }
}

fn compare(gateway: &Gateway, at: &str, expected: &Value, actual: &Value, wrong: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            for (key, value) in expected {
                compare(gateway, &format!("{at}/{key}"), value, actual.get(key).unwrap_or(&Value::Null), wrong);
            }
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                compare(gateway, &format!("{at}/{index}"), expected, actual, wrong);
            }
        }
        // What a model and a clock count.
        (Value::Number(_), Value::Number(_))
            if at.contains("usage") || at.contains("created") || VARYING.iter().any(|end| at.ends_with(end)) => {}
        // A tool's result stands twice in its answer, once as text.
        (Value::String(expected), Value::String(actual)) if document(expected).is_some() => {
            let actual = document(actual).unwrap_or_default();
            compare(gateway, at, &document(expected).unwrap_or_default(), &actual, wrong);
        }
        // The recorded one has lost its directory, because those of several agents were listed.
        (Value::String(expected), Value::String(actual)) if at.ends_with("/transcriptPath") => {
            let name = Path::new(actual).file_name().and_then(|name| name.to_str()).unwrap_or_default();
            compare(gateway, &format!("{at}/name"), &expected.as_str().into(), &name.into(), wrong);
        }
        (Value::String(expected), Value::String(actual)) if same_text(gateway, expected, actual) => {}
        (expected, actual) if expected == actual => {}
        _ => wrong.push(format!("{at}: {actual} instead of {expected}")),
    }
}

fn same_text(gateway: &Gateway, expected: &str, actual: &str) -> bool {
    let home = gateway.home.path().to_string_lossy();
    let is_fault = expected.starts_with("SyntaxError: ") && actual.starts_with("SyntaxError: ");
    is_fault || plain(&expected.replace("/home/user", &home)) == plain(actual)
}

/// An object that is written as text.
fn document(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(Value::is_object)
}

/// Without uuids.
fn plain(text: &str) -> String {
    let is_uuid = |part: &str| {
        part.len() == 36
            && part.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            })
    };
    let mut plain = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match rest.get(..36).filter(|part| is_uuid(part)) {
            Some(_) => {
                plain.push_str("<uuid>");
                rest = &rest[36..];
            }
            None => {
                plain.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    plain
}
