//! HTTP/1: request heads, bodies and responses as bytes. Sans-IO; the loop feeds it.
//!
//! Not here: routes and what they answer (`gateway::http`).

use bytes::Bytes;

use crate::base::clock::{UnixMs, http_date};

/// Largest request head, in bytes (431 above).
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most headers of a request (431 above).
const HEADERS_MAX: usize = 100;
/// Longest line of a chunk size, in bytes.
const CHUNK_LINE_BYTES_MAX: usize = 256;

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// Method as sent.
    pub method: String,
    /// Request target as sent.
    pub target: String,
    /// Whether it is HTTP/1.1 (else 1.0).
    pub is_http11: bool,
    /// Headers in order; names in lower case.
    pub headers: Vec<(String, String)>,
}

impl RequestHead {
    /// Returns the first header of this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns whether a comma-separated header holds `token`, in any case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.headers
            .iter()
            .filter(|(key, _)| key == name)
            .any(|(_, value)| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    }

    /// Returns whether a body follows, be it an empty one.
    pub fn has_body(&self) -> bool {
        self.header("content-length").or_else(|| self.header("transfer-encoding")).is_some()
    }

    /// Returns whether the connection may serve another request.
    pub fn wants_keep_alive(&self) -> bool {
        self.is_http11 && !self.has_token("connection", "close")
    }

    /// Returns the path without the query.
    pub fn path(&self) -> &str {
        let target = self.target.as_str();
        // Absolute form: `http://host/path`.
        let target = target
            .split_once("://")
            .and_then(|(_, rest)| rest.find('/').map(|slash| &rest[slash..]))
            .filter(|_| !target.starts_with('/'))
            .unwrap_or(target);
        target.split(['?', '#']).next().unwrap_or("/")
    }
}

/// Why a head or body cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// 400.
    BadRequest,
    /// 431.
    HeadTooLarge,
    /// The body exceeds the route's cap.
    BodyTooLarge,
}

/// Parses a head at the start of `bytes`; returns it with its length, or `None` while it is incomplete.
///
/// # Errors
/// What is wrong with it; the caller answers and closes.
pub fn parse_head(bytes: &[u8]) -> Result<Option<(RequestHead, usize)>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() > HEAD_BYTES_MAX => return Err(Malformed::HeadTooLarge),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed::HeadTooLarge),
        Err(_) => return Err(Malformed::BadRequest),
    };
    if length > HEAD_BYTES_MAX {
        return Err(Malformed::HeadTooLarge);
    }
    let method = request.method.unwrap_or_default();
    let has_lower = method.bytes().any(|byte| byte.is_ascii_lowercase());
    // Line ends must be CRLF: a bare LF lets two parsers disagree about where a head ends.
    let has_bare_newline = bytes[..length]
        .iter()
        .enumerate()
        .any(|(index, &byte)| byte == b'\n' && (index == 0 || bytes[index - 1] != b'\r'));
    if has_lower || has_bare_newline {
        return Err(Malformed::BadRequest);
    }
    let headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|header| (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).trim().to_owned()))
        .collect();
    let head = RequestHead {
        method: method.to_owned(),
        target: request.path.unwrap_or("/").to_owned(),
        is_http11: request.version == Some(1),
        headers,
    };
    if head.is_http11 && head.header("host").is_none() {
        return Err(Malformed::BadRequest);
    }
    Ok(Some((head, length)))
}

/// Takes a request's body out of the byte stream.
#[derive(Debug)]
pub struct BodyDecoder {
    state: BodyState,
    body: Vec<u8>,
    bytes_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyState {
    Length { rest: usize },
    ChunkSize,
    ChunkData { rest: usize },
    ChunkEnd,
    Trailers,
    Done,
}

impl BodyDecoder {
    /// Decides how the body of `head` is framed.
    ///
    /// # Errors
    /// `BadRequest` for contradicting or unreadable lengths, `BodyTooLarge` when the declared one is over the cap.
    pub fn new(head: &RequestHead, bytes_max: usize) -> Result<Self, Malformed> {
        let lengths: Vec<&str> =
            head.headers.iter().filter(|(key, _)| key == "content-length").map(|(_, value)| value.as_str()).collect();
        let encoding = head.header("transfer-encoding");
        let state = match (encoding, lengths.first()) {
            (Some(_), Some(_)) => return Err(Malformed::BadRequest),
            (Some(encoding), None) if encoding.eq_ignore_ascii_case("chunked") => BodyState::ChunkSize,
            (Some(_), None) => return Err(Malformed::BadRequest),
            (None, None) => BodyState::Done,
            (None, Some(first)) => {
                if lengths.iter().any(|length| length != first) || !first.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(Malformed::BadRequest);
                }
                match first.parse::<usize>() {
                    Ok(0) => BodyState::Done,
                    Ok(rest) if rest > bytes_max => return Err(Malformed::BodyTooLarge),
                    Ok(rest) => BodyState::Length { rest },
                    Err(_) if first.is_empty() => return Err(Malformed::BadRequest),
                    Err(_) => return Err(Malformed::BodyTooLarge),
                }
            }
        };
        Ok(Self { state, body: Vec::new(), bytes_max })
    }

    /// Moves what belongs to the body out of `input`; returns whether the body is complete.
    ///
    /// # Errors
    /// `BadRequest` for broken chunks, `BodyTooLarge` beyond the cap.
    pub fn feed(&mut self, input: &mut Vec<u8>) -> Result<bool, Malformed> {
        let mut at = 0;
        let result = self.step(input, &mut at);
        input.drain(..at);
        result
    }

    /// Returns the body.
    pub fn into_body(self) -> Bytes {
        Bytes::from(self.body)
    }

    fn step(&mut self, input: &[u8], at: &mut usize) -> Result<bool, Malformed> {
        loop {
            let rest_input = &input[*at..];
            match self.state {
                BodyState::Done => return Ok(true),
                BodyState::Length { rest } => {
                    let taken = self.take(rest_input, rest, at);
                    if taken < rest {
                        self.state = BodyState::Length { rest: rest - taken };
                        return Ok(false);
                    }
                    self.state = BodyState::Done;
                }
                BodyState::ChunkSize => match httparse::parse_chunk_size(rest_input) {
                    Ok(httparse::Status::Complete((length, size))) => {
                        *at += length;
                        let size = usize::try_from(size).map_err(|_| Malformed::BodyTooLarge)?;
                        if size > self.bytes_max.saturating_sub(self.body.len()) {
                            return Err(Malformed::BodyTooLarge);
                        }
                        self.state = if size == 0 { BodyState::Trailers } else { BodyState::ChunkData { rest: size } };
                    }
                    Ok(httparse::Status::Partial) if rest_input.len() <= CHUNK_LINE_BYTES_MAX => return Ok(false),
                    _ => return Err(Malformed::BadRequest),
                },
                BodyState::ChunkData { rest } => {
                    let taken = self.take(rest_input, rest, at);
                    if taken < rest {
                        self.state = BodyState::ChunkData { rest: rest - taken };
                        return Ok(false);
                    }
                    self.state = BodyState::ChunkEnd;
                }
                BodyState::ChunkEnd => match rest_input {
                    [b'\r', b'\n', ..] => {
                        *at += 2;
                        self.state = BodyState::ChunkSize;
                    }
                    [] | [b'\r'] => return Ok(false),
                    _ => return Err(Malformed::BadRequest),
                },
                BodyState::Trailers => match rest_input.iter().position(|&byte| byte == b'\n') {
                    Some(end) => {
                        *at += end + 1;
                        if end <= 1 {
                            self.state = BodyState::Done;
                        }
                    }
                    None if rest_input.len() > HEAD_BYTES_MAX => return Err(Malformed::BadRequest),
                    None => return Ok(false),
                },
            }
        }
    }

    fn take(&mut self, input: &[u8], rest: usize, at: &mut usize) -> usize {
        let taken = rest.min(input.len());
        self.body.extend_from_slice(&input[..taken]);
        *at += taken;
        taken
    }
}

/// A whole response.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers in order; `Date`, `Connection`, `Keep-Alive` and `Content-Length` are added when encoding.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Bytes,
    /// Closes the connection whatever the request wanted.
    pub close: bool,
}

impl Response {
    /// Returns a plain-text response.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", "text/plain; charset=utf-8".to_owned())],
            body: Bytes::from(body.into()),
            close: false,
        }
    }

    /// Returns an empty response that ends the connection, as the original's parser answers.
    pub fn parser_error(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), close: true }
    }

    /// Encodes head and body for a request; returns the bytes and whether the connection stays.
    pub fn encode(&self, head: Option<&RequestHead>, now_ms: UnixMs) -> (Bytes, bool) {
        use std::io::Write as _;
        let keep_alive = !self.close && head.is_some_and(RequestHead::wants_keep_alive);
        let is_head = head.is_some_and(|head| head.method == "HEAD");
        let mut bytes = Vec::with_capacity(256 + self.body.len());
        write!(bytes, "HTTP/1.1 {} {}\r\n", self.status, reason_phrase(self.status)).expect("memory");
        for (name, value) in &self.headers {
            write!(bytes, "{name}: {value}\r\n").expect("memory");
        }
        if head.is_some() {
            write!(bytes, "Date: {}\r\n", http_date(now_ms)).expect("memory");
        }
        bytes.extend_from_slice(if keep_alive {
            b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n".as_slice()
        } else {
            b"Connection: close\r\n".as_slice()
        });
        let is_http10 = head.is_some_and(|head| !head.is_http11);
        if !is_head && !is_http10 {
            write!(bytes, "Content-Length: {}\r\n", self.body.len()).expect("memory");
        }
        bytes.extend_from_slice(b"\r\n");
        if !is_head {
            bytes.extend_from_slice(&self.body);
        }
        (Bytes::from(bytes), keep_alive)
    }
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Payload Too Large",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<(RequestHead, usize)>, Malformed> {
        parse_head(text.as_bytes())
    }

    #[test]
    fn heads() {
        let (parsed, length) = head("GET /a?b=1 HTTP/1.1\r\nHost: x\r\n\r\nrest").expect("fine").expect("whole");
        assert_eq!((parsed.path(), length), ("/a", 32));
        assert!(parsed.wants_keep_alive());
        assert_eq!(head("GET / HTTP/1.1\r\nHost: x\r\n"), Ok(None));
        for bad in [
            "get / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\nHost: x\n\n",
            "GET / HTTP/1.1\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert_eq!(head(bad), Err(Malformed::BadRequest), "{bad:?}");
        }
        let long = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}", "y".repeat(HEAD_BYTES_MAX));
        assert_eq!(head(&long), Err(Malformed::HeadTooLarge));
        let (absolute, _) = head("GET http://h/p/q?x HTTP/1.1\r\nHost: h\r\n\r\n").expect("fine").expect("whole");
        assert_eq!(absolute.path(), "/p/q");
    }

    fn body(headers: &str, input: &str, cap: usize) -> Result<Option<String>, Malformed> {
        let (head, _) = head(&format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).expect("head").expect("whole");
        let mut decoder = BodyDecoder::new(&head, cap)?;
        let mut fed = Vec::new();
        // Byte by byte, so that every split is tried.
        for byte in input.bytes() {
            fed.push(byte);
            if decoder.feed(&mut fed)? {
                return Ok(Some(String::from_utf8_lossy(&decoder.into_body()).into_owned()));
            }
        }
        Ok(None)
    }

    #[test]
    fn bodies() {
        assert_eq!(body("Content-Length: 3\r\n", "abc", 10), Ok(Some("abc".into())));
        assert_eq!(body("Content-Length: 3\r\n", "ab", 10), Ok(None));
        assert_eq!(body("Content-Length: 11\r\n", "", 10), Err(Malformed::BodyTooLarge));
        assert_eq!(body("Content-Length: 1\r\nContent-Length: 2\r\n", "", 10), Err(Malformed::BadRequest));
        assert_eq!(body("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "", 10), Err(Malformed::BadRequest));
        let chunked = "Transfer-Encoding: chunked\r\n";
        assert_eq!(body(chunked, "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n", 10), Ok(Some("abcde".into())));
        assert_eq!(body(chunked, "zz\r\n", 10), Err(Malformed::BadRequest));
        assert_eq!(body(chunked, "3\r\nabcd", 10), Err(Malformed::BadRequest));
        assert_eq!(body(chunked, "ffffffffffffffff\r\n", 10), Err(Malformed::BodyTooLarge));
        assert_eq!(body(chunked, "6\r\nabcdef\r\n6\r\n", 10), Err(Malformed::BodyTooLarge));
    }
}
