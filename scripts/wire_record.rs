//! Records an exchange with a gateway, this one or the original, as `tests/wire/` holds them.
//!
//! `cargo run --example wire-record -- ws://127.0.0.1:18789 TOKEN 'what it shows' [TEXT=INSTEAD…] <requests >tests/wire/x.json`
//!
//! Each line of the input is a request: `{"method": …, "params": …}`. It is sent when the one before has its answer. The
//! handshake is not recorded, nor are the events of [`NOISE`]. `TEXT=INSTEAD` takes names of the machine out of the file:
//! `"$HOME=/home/user"`.

use std::io::{BufRead as _, ErrorKind};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Events that come whatever is asked.
const NOISE: [&str; 4] = ["connect.challenge", "tick", "health", "presence"];
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long nothing must come before the recording ends.
const QUIET: Duration = Duration::from_secs(1);

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, token, case, replace @ ..] = arguments.as_slice() else {
        return Err("usage: wire-record URL TOKEN CASE [TEXT=INSTEAD...] <requests".into());
    };
    let mut recorder = Recorder::connect(url, token)?;
    for (line, id) in std::io::stdin().lock().lines().zip(1..) {
        let asked: Value = serde_json::from_str(&line?)?;
        let mut frame = json!({ "type": "req", "id": id.to_string(), "method": asked["method"] });
        if let Some(params) = asked.get("params") {
            frame["params"] = params.clone();
        }
        recorder.ask(frame)?;
    }
    recorder.listen(QUIET, |_| false)?;
    let recording =
        json!({ "case": case, "sent": recorder.sent, "received": recorder.received, "close": recorder.close });
    let mut text = serde_json::to_string_pretty(&recording)?;
    for (from, to) in replace.iter().filter_map(|it| it.split_once('=')) {
        text = text.replace(from, to);
    }
    println!("{text}");
    Ok(())
}

struct Recorder {
    socket: WebSocket<TcpStream>,
    sent: Vec<Value>,
    received: Vec<Value>,
    close: Value,
}

impl Recorder {
    /// Opens and gets through the handshake, of which nothing is kept.
    fn connect(url: &str, token: &str) -> Outcome<Self> {
        let address = url.strip_prefix("ws://").ok_or("only ws:// is spoken here")?.trim_end_matches('/');
        let (socket, _) = tungstenite::client(url, TcpStream::connect(address)?)?;
        let mut recorder = Self { socket, sent: Vec::new(), received: Vec::new(), close: Value::Null };
        recorder.ask(json!({
            "type": "req", "id": "connect", "method": "connect",
            "params": {
                "minProtocol": 3, "maxProtocol": 3, "role": "operator",
                "client": { "id": "test", "version": "1.0.0", "platform": "linux", "mode": "test" },
                "scopes": ["operator.admin", "operator.approvals", "operator.pairing"],
                "auth": { "token": token },
            },
        }))?;
        let hello = recorder.received.pop().ok_or("no answer to connect")?;
        if hello["ok"] != true {
            return Err(format!("refused: {}", hello["error"]).into());
        }
        recorder.sent.clear();
        recorder.received.clear();
        Ok(recorder)
    }

    fn ask(&mut self, frame: Value) -> Outcome<()> {
        let id = frame["id"].clone();
        self.socket.send(Message::text(frame.to_string()))?;
        self.sent.push(frame);
        self.listen(ANSWER_TIMEOUT, |frame| frame["type"] == "res" && frame["id"] == id)
    }

    /// Keeps what comes until it is what was waited for, nothing came for so long, or the gateway closed.
    fn listen(&mut self, patience: Duration, is_last: impl Fn(&Value) -> bool) -> Outcome<()> {
        self.socket.get_ref().set_read_timeout(Some(patience))?;
        while self.close.is_null() {
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    let frame: Value = serde_json::from_str(&text)?;
                    if NOISE.iter().any(|name| frame["event"] == *name) {
                        continue;
                    }
                    self.received.push(frame);
                    if self.received.last().is_some_and(&is_last) {
                        break;
                    }
                }
                Ok(Message::Close(frame)) => {
                    let (code, reason) =
                        frame.map_or((1005, String::new()), |it| (it.code.into(), it.reason.to_string()));
                    self.close = json!({ "code": code, "reason": reason });
                }
                Ok(_) => {}
                Err(tungstenite::Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
