//! A speech provider that answers by script, for OpenAI's and ElevenLabs' requests alike.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use serde_json::Value;

use super::PATIENCE;
use super::provider::Gate;

/// What every request gets.
#[derive(Clone)]
pub enum Answer {
    /// 200 with these bytes.
    Audio(&'static [u8]),
    /// A status and a body that must not matter.
    Status(u16),
    /// Headers and a first byte, then nothing until the gate opens.
    Stall(Gate),
    /// The connection is closed without a byte.
    Drop,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(there, _)| there == name).map_or("", |(_, value)| value)
    }
}

/// Listens until the test process ends.
pub struct Speaker {
    port: u16,
    requests: Arc<(Mutex<Vec<Request>>, Condvar)>,
}

impl Speaker {
    pub fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().unwrap().port();
        let requests: Arc<(Mutex<Vec<Request>>, Condvar)> = Arc::default();
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), answer.clone());
                std::thread::spawn(move || serve(stream, &seen, answer));
            }
        });
        Self { port, requests }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.0.lock().unwrap().clone()
    }

    /// Waits until somebody asked.
    pub fn wait_request(&self) {
        let until = Instant::now() + PATIENCE;
        let mut requests = self.requests.0.lock().unwrap();
        while requests.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no request reached the speaker");
            requests = self.requests.1.wait_timeout(requests, left).unwrap().0;
        }
    }
}

fn serve(mut stream: TcpStream, seen: &(Mutex<Vec<Request>>, Condvar), answer: Answer) {
    let Some(request) = read(&stream) else { return };
    seen.0.lock().unwrap().push(request);
    seen.1.notify_all();
    // A client that gives up is one of the things under test.
    let _ = match answer {
        Answer::Audio(bytes) => head(&mut stream, 200, bytes.len()).and_then(|()| stream.write_all(bytes)),
        Answer::Status(status) => head(&mut stream, status, 4).and_then(|()| stream.write_all(b"nope")),
        Answer::Stall(gate) => head(&mut stream, 200, 1000).and_then(|()| stream.write_all(b"x")).map(|()| gate.wait()),
        Answer::Drop => Ok(()),
    };
}

fn head(stream: &mut TcpStream, status: u16, len: usize) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} Scripted\r\nContent-Type: audio/mpeg\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n"
    )
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split_whitespace().nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path, headers, body: serde_json::from_slice(&body).ok()? })
}
