//! A model provider that answers by script, on plain threads, with every way to fail.
//!
//! It speaks the wire format that it is asked in: the path of a request tells which (`wire_formats`).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use serde_json::{Value, json};

use super::PATIENCE;
use super::wire_formats::{Part, Wire};

/// What one request gets.
#[derive(Clone)]
pub enum Answer {
    /// The pieces as deltas, then the end.
    Text(Vec<&'static str>),
    /// The first piece at once, the rest when the gate opens.
    Held(&'static str, Gate, &'static str),
    /// So many words, each a delta, as fast as they can be written; the end when the gate opens.
    Flood(usize, Gate),
    /// A call of a tool.
    Tool(&'static str, Value),
    /// A whole answer.
    Parts(Vec<Part>),
    /// So many bytes of that answer's stream, then the end of the connection.
    Cut(Vec<Part>, usize),
    /// An error inside the stream, after some text: its name and its words.
    StreamError(&'static str, &'static str),
    /// The connection is closed without a byte.
    Drop,
    /// Some deltas, then a reset.
    ResetAfter(&'static str),
    /// Headers, then nothing until the gate opens.
    Hang(Gate),
    /// 200 with something that is no event stream.
    Garbage,
    /// A delta, then the first half of another and the end.
    HalfEvent(&'static str),
    /// One JSON document.
    Json(Value),
    /// An HTTP status with a JSON error.
    Status(u16, &'static str),
    /// An HTTP status with that document.
    Refused(u16, Value),
    /// A status, asking for a wait of so many milliseconds.
    Later(u16, &'static str, u64),
}

/// A request that arrived.
#[derive(Clone)]
pub struct Asked {
    pub index: usize,
    pub at: Instant,
    pub path: String,
    /// The head without the first line, names in lower case.
    pub head: String,
    pub body: Value,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| Some(line.split_once(':')?).filter(|(key, _)| *key == name))
            .map(|it| it.1.trim())
    }
}

/// Something a test opens; closed gates let go after the test's patience, so that no thread stays.
#[derive(Clone, Default)]
pub struct Gate {
    shared: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    pub fn open(&self) {
        *self.shared.0.lock().unwrap() = true;
        self.shared.1.notify_all();
    }

    pub fn wait(&self) {
        let open = self.shared.0.lock().unwrap();
        let _ = self.shared.1.wait_timeout_while(open, PATIENCE * 3, |open| !*open).unwrap();
    }
}

/// Listens until the test process ends; its threads hold nothing that a later test needs.
pub struct Provider {
    port: u16,
    requests: Arc<Seen>,
}

type Seen = (Mutex<Vec<Asked>>, Condvar);

impl Provider {
    /// Answers the n-th request (from 0) with what `script` says.
    pub fn start(script: impl Fn(usize, &Value) -> Answer + Send + Sync + 'static) -> Self {
        Self::judging(move |asked| script(asked.index, &asked.body))
    }

    /// Answers each request with what `script` says.
    pub fn judging(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().unwrap().port();
        let requests: Arc<Seen> = Arc::default();
        let seen = Arc::clone(&requests);
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                std::thread::spawn(move || serve(stream, &seen, &*script));
            }
        });
        Self { port, requests }
    }

    /// Always the same answer.
    pub fn always(answer: Answer) -> Self {
        Self::start(move |_, _| answer.clone())
    }

    /// Nobody listens where this one says it is.
    pub fn absent() -> Self {
        Self { port: super::gateway::free_port(), requests: Arc::default() }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The bodies received so far.
    pub fn requests(&self) -> Vec<Value> {
        self.asked().into_iter().map(|asked| asked.body).collect()
    }

    /// The requests received so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.requests.0.lock().unwrap().clone()
    }

    pub fn wait_requests(&self, count: usize) {
        let until = Instant::now() + PATIENCE;
        let mut requests = self.requests.0.lock().unwrap();
        while requests.len() < count {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {count} requests reached the provider", requests.len());
            requests = self.requests.1.wait_timeout(requests, left).unwrap().0;
        }
    }
}

fn serve(mut stream: TcpStream, seen: &Seen, script: &dyn Fn(&Asked) -> Answer) {
    let Some(mut asked) = read_request(&stream) else { return };
    {
        let mut requests = seen.0.lock().unwrap();
        asked.index = requests.len();
        requests.push(asked.clone());
        seen.1.notify_all();
    }
    // A client that went away is one of the things under test.
    let wire = Wire::of(&asked.path);
    let scripted = script(&asked);
    let _ = match wire.objection(&asked) {
        Some(why) => answer(&mut stream, wire, Answer::Status(400, why)),
        None => answer(&mut stream, wire, scripted),
    };
    let _ = stream.shutdown(Shutdown::Both);
}

fn answer(stream: &mut TcpStream, wire: Wire, answer: Answer) -> std::io::Result<()> {
    match answer {
        Answer::Text(pieces) => {
            head(stream)?;
            for piece in pieces {
                delta(stream, &json!({ "content": piece }))?;
            }
            finish(stream, "stop")
        }
        Answer::Held(first, gate, rest) => {
            head(stream)?;
            delta(stream, &json!({ "content": first }))?;
            gate.wait();
            delta(stream, &json!({ "content": rest }))?;
            finish(stream, "stop")
        }
        Answer::Tool(name, arguments) => {
            head(stream)?;
            let function = json!({ "name": name, "arguments": arguments.to_string() });
            let call = json!({ "index": 0, "id": "call_1", "type": "function", "function": function });
            delta(stream, &json!({ "tool_calls": [call] }))?;
            finish(stream, "tool_calls")
        }
        Answer::Flood(words, gate) => {
            head(stream)?;
            for word in 0..words {
                delta(stream, &json!({ "content": format!("w{word} ") }))?;
            }
            gate.wait();
            finish(stream, "stop")
        }
        Answer::Parts(parts) => {
            head(stream)?;
            stream.write_all(wire.stream(&parts).as_bytes())
        }
        Answer::Cut(parts, bytes) => {
            head(stream)?;
            let whole = wire.stream(&parts);
            stream.write_all(&whole.as_bytes()[..bytes.min(whole.len() - 1)])
        }
        Answer::StreamError(kind, message) => {
            head(stream)?;
            stream.write_all(wire.error(kind, message).as_bytes())
        }
        Answer::Drop => Ok(()),
        Answer::ResetAfter(piece) => {
            head(stream)?;
            delta(stream, &json!({ "content": piece }))?;
            reset_on_close(stream);
            Ok(())
        }
        Answer::Hang(gate) => {
            head(stream)?;
            gate.wait();
            Ok(())
        }
        Answer::Garbage => stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html>\xff\xfe no stream</html>",
        ),
        Answer::HalfEvent(piece) => {
            head(stream)?;
            delta(stream, &json!({ "content": piece }))?;
            stream.write_all(b"data: {\"choices\":[{\"delta\":{\"con")
        }
        Answer::Json(body) => {
            let body = body.to_string();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            )
        }
        Answer::Refused(status, body) => refuse(stream, status, &body, ""),
        Answer::Status(status, message) => refuse(stream, status, &error(message), ""),
        Answer::Later(status, message, ms) => {
            refuse(stream, status, &error(message), &format!("retry-after-ms: {ms}\r\n"))
        }
    }
}

fn error(message: &str) -> Value {
    json!({ "error": { "message": message, "type": "test" } })
}

fn refuse(stream: &mut TcpStream, status: u16, body: &Value, headers: &str) -> std::io::Result<()> {
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn head(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
}

fn delta(stream: &mut TcpStream, delta: &Value) -> std::io::Result<()> {
    event(
        stream,
        &json!({ "id": "c", "model": "m", "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] }),
    )
}

fn finish(stream: &mut TcpStream, reason: &str) -> std::io::Result<()> {
    event(
        stream,
        &json!({ "id": "c", "model": "m", "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] }),
    )?;
    let usage = json!({ "prompt_tokens": 11, "completion_tokens": 9, "total_tokens": 20 });
    event(stream, &json!({ "id": "c", "model": "m", "choices": [], "usage": usage }))?;
    stream.write_all(b"data: [DONE]\n\n")
}

fn event(stream: &mut TcpStream, data: &Value) -> std::io::Result<()> {
    write!(stream, "data: {data}\n\n")?;
    stream.flush()
}

/// Makes the next close a reset instead of an orderly end.
fn reset_on_close(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = libc::socklen_t::try_from(size_of::<libc::linger>()).expect("small");
    // SAFETY: the descriptor is open, the option value lives through the call and has the size given.
    let code = unsafe {
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size)
    };
    assert_eq!(code, 0);
}

fn read_request(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut chunked) = (0, false);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let (name, value) = line.trim_end().split_once(':').unwrap_or((line.trim_end(), ""));
        let line = format!("{}:{value}", name.to_ascii_lowercase());
        if name.is_empty() {
            break;
        }
        head.push_str(&line);
        head.push('\n');
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let size = usize::from_str_radix(line.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                break;
            }
        }
    } else {
        body.resize(length, 0);
        reader.read_exact(&mut body).ok()?;
    }
    // A form is a text.
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into());
    Some(Asked { index: 0, at: Instant::now(), path, head, body })
}
