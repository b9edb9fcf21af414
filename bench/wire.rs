//! The bytes of a client: its upgrade, its `connect`, its calls, and how messages are told apart without parsing JSON.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::subject::TOKEN;

/// More headers than any server sends.
const HEADERS_MAX: usize = 32;

/// Id of every plain request.
const ID: &str = "b";

/// What is spoken on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// The gateway's protocol.
    WebSocket,
    /// Requests and answers on one connection.
    Http,
}

/// One WebSocket message of a server, which never fragments or masks.
pub struct Message<'a> {
    /// 1 = text, 8 = close, 9 = ping.
    pub opcode: u8,
    /// What it carries.
    pub payload: &'a [u8],
    /// Its bytes, head included.
    pub length: usize,
}

/// Asks for the upgrade.
pub fn upgrade() -> Vec<u8> {
    let key = "AAAAAAAAAAAAAAAAAAAAAA==";
    format!(
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {key}\r\n\r\n"
    )
    .into_bytes()
}

/// The first request: an operator that may do everything.
pub fn connect() -> Vec<u8> {
    let params = json!({
        "minProtocol": 3, "maxProtocol": 3, "role": "operator", "scopes": ["operator.admin"], "auth": {"token": TOKEN},
        "client": {"id": "cli", "version": "bench", "platform": "linux", "mode": "cli"},
    });
    request("connect", &params)
}

/// A request as a frame. All have the same id: a link's answers come in the order of its calls.
pub fn request(method: &str, params: &Value) -> Vec<u8> {
    request_as(ID, method, params)
}

/// As [`request`], with an id of its own.
pub fn request_as(id: &str, method: &str, params: &Value) -> Vec<u8> {
    frame(1, json!({"type": "req", "id": id, "method": method, "params": params}).to_string().as_bytes())
}

/// Whether an answer is one to a [`request`].
pub fn is_to_request(answer: &[u8]) -> bool {
    starts_with(answer, br#""id":"b""#)
}

/// A request for a file.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").into_bytes()
}

/// A request of the API that says nothing.
pub fn post(path: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    )
    .into_bytes()
}

/// What a request of [`get`] or [`post`] asks for.
pub fn path_of(request: &[u8]) -> &str {
    let word = request.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    std::str::from_utf8(word).unwrap_or_default()
}

/// An HTTP answer, taken apart.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its content type.
    pub kind: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Takes a whole one apart.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = answer.parse(bytes)? else { bail!("half an HTTP answer") };
        let kind = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-type"));
        let kind = kind.map(|header| String::from_utf8_lossy(header.value).into_owned()).unwrap_or_default();
        Ok(Self { status: answer.code.unwrap_or(0), kind, body: bytes[head..].to_vec() })
    }
}

/// A client's frame. The mask is zero, so the payload stands in it as it is.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length => {
            let length = u16::try_from(length).expect("requests of a bench are short");
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

/// The server's message that starts here, once it is whole.
pub fn message(bytes: &[u8]) -> Option<Message<'_>> {
    let (head, length) = match bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, usize::from(*short)),
    };
    let payload = bytes.get(head..head + length)?;
    Some(Message { opcode: bytes[0] & 0x0f, payload, length: head + length })
}

/// Length of the HTTP answer that starts here, once it is whole; `Err` for what is none.
pub fn http_answer(bytes: &[u8]) -> Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    let head = match answer.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => bail!("no HTTP answer: {error}"),
    };
    let length = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse::<usize>().ok());
    let total = head + length.context("an HTTP answer without Content-Length")?;
    Ok((bytes.len() >= total).then_some(total))
}

/// Whether the beginning of a message, with the first fields of its payload, holds this.
pub fn holds(text: &[u8], needle: &[u8]) -> bool {
    text[..text.len().min(300)].windows(needle.len()).any(|window| window == needle)
}

/// Whether the first bytes of a message hold this. Keys come in the order of the protocol's text: type, id or event, ok.
pub fn starts_with(text: &[u8], needle: &[u8]) -> bool {
    text[..text.len().min(80)].windows(needle.len()).any(|window| window == needle)
}
