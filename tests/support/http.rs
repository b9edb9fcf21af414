//! Plain HTTP over a socket, byte by byte where a test needs it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use super::TOKEN;
use super::gateway::Gateway;

/// A response as it came.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (there, value) = line.split_once(':')?;
            there.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// A request without a body on a connection of its own.
pub fn get(socket: TcpStream, method: &str, path: &str) -> Response {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    (&socket).write_all(request.as_bytes()).expect("sent");
    read_answer(&socket, method).expect("a response")
}

/// Sends bytes as they are and reads one response; `None` when the connection ends without one.
pub fn exchange(mut socket: TcpStream, bytes: &[u8]) -> Option<Response> {
    socket.write_all(bytes).ok()?;
    read_response(&socket)
}

pub fn read_response(socket: &TcpStream) -> Option<Response> {
    read_answer(socket, "GET")
}

/// Reads what answers a request of this method.
pub fn read_answer(socket: &TcpStream, method: &str) -> Option<Response> {
    let mut reader = BufReader::new(socket);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let mut response = Response { status, head, body: String::new() };
    let mut body = Vec::new();
    if method == "HEAD" || status == 304 {
        return Some(response);
    }
    match response.header("content-length").map(|it| it.parse::<usize>().expect("a length")) {
        Some(length) => {
            body.resize(length, 0);
            let _ = reader.read_exact(&mut body);
        }
        None => {
            let _ = reader.read_to_end(&mut body);
        }
    }
    response.body = String::from_utf8_lossy(&body).into_owned();
    Some(response)
}

/// A request with JSON, on a connection of its own that ends with the answer.
pub fn post(gateway: &Gateway, path: &str, headers: &str, body: &Value) -> Response {
    let mut socket = gateway.socket();
    send(&mut socket, path, headers, body);
    let mut response = read_response(&socket).expect("a response");
    if response.header("transfer-encoding") == Some("chunked") {
        response.body = unchunked(&response.body);
    }
    response
}

/// Sends such a request.
pub fn send(socket: &mut TcpStream, path: &str, headers: &str, body: &Value) {
    let body = body.to_string();
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n");
    write!(socket, "{head}{headers}Content-Length: {length}\r\n\r\n{body}").expect("sent");
}

/// A chunked body as one text.
pub fn unchunked(body: &str) -> String {
    let mut whole = Vec::new();
    let mut rest = body.as_bytes();
    loop {
        let line = rest.windows(2).position(|it| it == b"\r\n").expect("a chunk's size");
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).expect("a size"), 16).expect("a size");
        rest = &rest[line + 2..];
        whole.extend_from_slice(&rest[..size]);
        assert_eq!(&rest[size..size + 2], b"\r\n");
        rest = &rest[size + 2..];
        if size == 0 {
            return String::from_utf8(whole).expect("text");
        }
    }
}
