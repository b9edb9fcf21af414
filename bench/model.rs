//! A model that streams words by script, and what reads it without a gateway in between.
//!
//! A thread each for the listener and for every stream; they end with the process. Speaks the form of OpenAI's chat
//! completions.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// Longest time between two words of a stream that is read directly.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
pub struct Model {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    words: usize,
    pause: Duration,
    /// Streams under way.
    active: AtomicUsize,
    /// Streams say their last word now.
    is_over: AtomicBool,
}

impl Model {
    /// Starts one whose answers have so many words, with a pause before each.
    pub fn start(words: usize, pause: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen as the scripted model")?;
        let port = listener.local_addr().context("the scripted model's port")?.port();
        let shared = Arc::new(Shared { words, pause, active: AtomicUsize::new(0), is_over: AtomicBool::new(false) });
        let inner = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&inner);
                std::thread::spawn(move || {
                    shared.active.fetch_add(1, Ordering::SeqCst);
                    // A reader that went away ends its stream.
                    let _ = serve(stream, &shared);
                    shared.active.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(Self { port, shared })
    }

    /// Configuration of a gateway that speaks to it.
    pub fn configuration(&self) -> Value {
        let row = json!({"id": "m", "name": "m", "reasoning": false, "input": ["text"], "contextWindow": 32000,
            "maxTokens": 1000, "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}});
        let url = format!("http://127.0.0.1:{}/v1", self.port);
        let provider = json!({"baseUrl": url, "apiKey": "k", "api": "openai-completions", "models": [row]});
        json!({
            "models": {"providers": {"test": provider}},
            "agents": {"defaults": {"model": {"primary": "test/m"}, "maxConcurrent": 64, "skipBootstrap": true}},
        })
    }

    /// How many streams are under way.
    pub fn active(&self) -> usize {
        self.shared.active.load(Ordering::SeqCst)
    }

    /// Lets all streams end, or lets new ones begin.
    pub fn set_over(&self, is_over: bool) {
        self.shared.is_over.store(is_over, Ordering::SeqCst);
    }

    /// Reads one answer to its end, as a gateway would have to at least; returns how long that took.
    pub fn read_directly(port: u16) -> Result<Duration> {
        let start = Instant::now();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("reach the scripted model")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]}).to_string();
        let length = body.len();
        write!(stream, "POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\nContent-Length: {length}\r\n\r\n{body}")?;
        let (mut line, mut words) = (String::new(), 0);
        let mut reader = BufReader::new(stream);
        while reader.read_line(&mut line)? > 0 {
            if let Some(data) = line.strip_prefix("data: {") {
                // As much as nobody can do without: the JSON is read.
                let chunk: Value = serde_json::from_str(&format!("{{{data}"))?;
                words += usize::from(chunk["choices"][0]["delta"]["content"].is_string());
            }
            line.clear();
        }
        ensure!(words > 0, "the scripted model said nothing");
        Ok(start.elapsed())
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    reader.read_exact(&mut vec![0; length])?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")?;
    for word in 0..shared.words {
        if !shared.pause.is_zero() {
            std::thread::sleep(shared.pause);
        }
        if shared.is_over.load(Ordering::SeqCst) && word > 0 {
            break;
        }
        say(&mut stream, &json!({"content": format!("word{word} ")}), None)?;
    }
    say(&mut stream, &json!({}), Some("stop"))?;
    stream.write_all(b"data: [DONE]\n\n")
}

fn say(stream: &mut TcpStream, delta: &Value, reason: Option<&str>) -> std::io::Result<()> {
    let chunk = json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    stream.write_all(format!("data: {chunk}\n\n").as_bytes())
}
