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
    /// Returns whether it asks for something and changes nothing.
    pub fn is_asking(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD")
    }

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

    /// Returns the target without scheme and host: path and query.
    fn origin_form(&self) -> &str {
        let target = self.target.as_str();
        if target.starts_with('/') {
            return target;
        }
        // Absolute form: `http://host/path`.
        let rest = target.split_once("://").map(|(_, rest)| rest);
        rest.map_or(target, |rest| rest.find(['/', '?']).map_or("/", |at| &rest[at..]))
    }

    /// Returns the path as sent, without the query.
    pub fn path(&self) -> &str {
        self.origin_form().split(['?', '#']).next().unwrap_or("/")
    }

    /// Returns the query as sent; empty when there is none.
    pub fn query(&self) -> &str {
        let target = self.origin_form().split('#').next().unwrap_or_default();
        target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Returns the path by which a request finds its route: `.` and `..` collapsed as browsers do it, also where they are
    /// written with `%2e`, and nothing else decoded. `None` for what is no path.
    pub fn routed_path(&self) -> Option<String> {
        let path = self.path();
        if path == "*" {
            // Of OPTIONS; no route is called like this.
            return Some("/*".to_owned());
        }
        if !path.starts_with('/') || path.starts_with("//") || path.contains('\0') {
            return None;
        }
        // What looks like a slash to a browser is one here too: nobody gets around a rule about paths with it.
        let path = path.replace('\\', "/");
        let mut segments: Vec<&str> = Vec::new();
        let mut ends_open = false;
        for segment in path[1..].split('/') {
            let dots = segment.to_ascii_lowercase().replace("%2e", ".");
            ends_open = matches!(dots.as_str(), "." | "..");
            match dots.as_str() {
                "." => {}
                ".." => drop(segments.pop()),
                _ => segments.push(segment),
            }
        }
        let end = if ends_open && !segments.is_empty() { "/" } else { "" };
        Some(format!("/{}{end}", segments.join("/")))
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
    let hosts: Vec<&str> =
        head.headers.iter().filter(|(key, _)| key == "host").map(|(_, value)| value.as_str()).collect();
    // Which of two hosts, or what of a strange one, counts is a matter of opinion; opinions differ between two parsers.
    let is_odd = |host: &&str| host.contains(|c: char| c.is_whitespace() || "/\\@,?#".contains(c));
    if hosts.len() > 1 || hosts.iter().any(is_odd) || (head.is_http11 && hosts.is_empty()) {
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
    /// Bytes of trailers so far; they are ignored.
    trailer_bytes: usize,
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
        let mut encodings = head.headers.iter().filter(|(key, _)| key == "transfer-encoding");
        let encoding = encodings.next().map(|(_, value)| value.as_str());
        if encodings.next().is_some() || (encoding.is_some() && !head.is_http11) {
            return Err(Malformed::BadRequest);
        }
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
        Ok(Self { state, body: Vec::new(), bytes_max, trailer_bytes: 0 })
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
                    // The parser takes a line without digits for 0, and any byte, a line feed alone included, for an extension.
                    Ok(httparse::Status::Complete((length, _)))
                        if !rest_input[0].is_ascii_hexdigit()
                            || length > CHUNK_LINE_BYTES_MAX
                            || rest_input[..length - 2].contains(&b'\n') =>
                    {
                        return Err(Malformed::BadRequest);
                    }
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
                    Some(end) if end == 0 || rest_input[end - 1] != b'\r' => return Err(Malformed::BadRequest),
                    Some(end) => {
                        *at += end + 1;
                        self.trailer_bytes += end + 1;
                        if end == 1 {
                            self.state = BodyState::Done;
                        } else if self.trailer_bytes > HEAD_BYTES_MAX {
                            return Err(Malformed::BadRequest);
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

    /// Returns a JSON response.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", "application/json; charset=utf-8".to_owned())],
            body: Bytes::from(body.to_string()),
            close: false,
        }
    }

    /// Adds a header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Encodes head and body for a request; returns the bytes and whether the connection stays.
    pub fn encode(&self, head: Option<&RequestHead>, now_ms: UnixMs) -> (Bytes, bool) {
        let is_head = head.is_some_and(|head| head.method == "HEAD");
        let is_http10 = head.is_some_and(|head| !head.is_http11);
        let has_length = !is_head && !is_http10 && !matches!(self.status, 204 | 304);
        let framing = if has_length { Framing::Length(self.body.len() as u64) } else { Framing::None };
        let (mut bytes, keep_alive) = self.encode_head(head, &framing, now_ms);
        if !is_head {
            bytes.extend_from_slice(&self.body);
        }
        (Bytes::from(bytes), keep_alive)
    }

    /// Encodes the head of a response whose body comes in parts, of a length that is known or not; returns whether the
    /// parts are chunks, and whether the connection stays.
    pub fn encode_stream(&self, head: &RequestHead, length: Option<u64>, now_ms: UnixMs) -> (Bytes, bool, bool) {
        let framing = match length {
            _ if !head.is_http11 => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        let is_chunked = matches!(framing, Framing::Chunked);
        let (bytes, keep_alive) = self.encode_head(Some(head), &framing, now_ms);
        (Bytes::from(bytes), is_chunked, keep_alive)
    }

    fn encode_head(&self, head: Option<&RequestHead>, framing: &Framing, now_ms: UnixMs) -> (Vec<u8>, bool) {
        use std::io::Write as _;
        let keep_alive = !self.close && head.is_some_and(RequestHead::wants_keep_alive);
        let mut bytes = Vec::with_capacity(256 + self.body.len());
        write!(bytes, "HTTP/1.1 {} {}\r\n", self.status, reason_phrase(self.status)).expect("memory");
        for (name, value) in &self.headers {
            write!(bytes, "{name}: {}\r\n", header_value(value)).expect("memory");
        }
        if head.is_some() {
            write!(bytes, "Date: {}\r\n", http_date(now_ms)).expect("memory");
        }
        bytes.extend_from_slice(if keep_alive {
            b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n".as_slice()
        } else {
            b"Connection: close\r\n".as_slice()
        });
        match framing {
            Framing::Length(length) => write!(bytes, "Content-Length: {length}\r\n").expect("memory"),
            Framing::Chunked => bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Framing::None => {}
        }
        bytes.extend_from_slice(b"\r\n");
        (bytes, keep_alive)
    }
}

/// How the end of a body is found.
enum Framing {
    Length(u64),
    Chunked,
    None,
}

/// A header's value without anything that could end its line.
fn header_value(value: &str) -> std::borrow::Cow<'_, str> {
    if value.contains(|c: char| c.is_control()) {
        return value.chars().filter(|c| !c.is_control()).collect::<String>().into();
    }
    value.into()
}

/// Encodes one chunk of a chunked body; an empty one ends it.
pub fn chunk(bytes: &[u8]) -> Bytes {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.reserve(bytes.len() + 2);
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    Bytes::from(chunk)
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        416 => "Range Not Satisfiable",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
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
        assert_eq!((absolute.path(), absolute.query()), ("/p/q", "x"));
        for two in ["Host: a\r\nHost: a", "Host: a b", "Host: a/b", "Host: a@b", "Host:x\r\n folded: y", "Host : x"] {
            assert_eq!(head(&format!("GET / HTTP/1.1\r\n{two}\r\n\r\n")), Err(Malformed::BadRequest), "{two:?}");
        }
    }

    #[test]
    fn routed_paths() {
        let check = |target: &str, path: Option<&str>| {
            let head = RequestHead { method: "GET".into(), target: target.into(), is_http11: true, headers: vec![] };
            assert_eq!(head.routed_path().as_deref(), path, "{target}");
        };
        check("/a/./b/../c?d=/..", Some("/a/c"));
        check("/../../etc", Some("/etc"));
        check("/a/%2e%2E/b/%2e", Some("/b/"));
        check("/a\\..\\b", Some("/b"));
        check("/a/..", Some("/"));
        check("/a//b/", Some("/a//b/"));
        check("/a/..%2fb", Some("/a/..%2fb"));
        check("http://h", Some("/"));
        check("http://h?x", None);
        check("//", None);
        check("*", Some("/*"));
        check("", None);
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
        for bad in [
            "zz\r\n",
            "-1\r\n",
            "0x3\r\n",
            "3\nabc",
            "0\r\nx\n",
            "0\r\n\n",
            "3\r\nabcX",
            "\r\n\r\n",
            ";x\r\n\r\n",
            "2;\nfoo\r\n",
        ] {
            assert_eq!(body(chunked, bad, 10), Err(Malformed::BadRequest), "{bad:?}");
        }
        let endless = format!("0\r\n{}", "T: 1\r\n".repeat(HEAD_BYTES_MAX / 6 + 1));
        assert_eq!(body(chunked, &endless, 10), Err(Malformed::BadRequest));
        for smuggling in [
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            "Content-Length: +3\r\n",
            "Content-Length: -3\r\n",
            "Content-Length: 3, 3\r\n",
            "Content-Length: 0x3\r\n",
            "Content-Length:\r\n",
        ] {
            assert_eq!(body(smuggling, "", 10), Err(Malformed::BadRequest), "{smuggling:?}");
        }
        assert_eq!(body(chunked, "3\r\nabcd", 10), Err(Malformed::BadRequest));
        assert_eq!(body(chunked, "ffffffffffffffff\r\n", 10), Err(Malformed::BodyTooLarge));
        assert_eq!(body(chunked, "6\r\nabcdef\r\n6\r\n", 10), Err(Malformed::BodyTooLarge));
    }
}
