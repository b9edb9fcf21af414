//! The floor: the least that a server of the same crates does. One poll loop; no threads, no JSON, no checks.
//!
//! It runs as a process of its own, this program with a hidden argument. It lets everybody in with a short `hello-ok`,
//! answers each request with the same few bytes, sends an event to all on `talk.mode`, and answers plain HTTP with one
//! short body. Clients that are too slow for their socket's buffer are dropped.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context as _, Result, bail};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Message, Role, WebSocket, WebSocketConfig};

/// The hidden argument that makes this program the floor.
pub const FLOOR: &str = "--floor";
/// For the self-check: it never answers.
pub const DEAF: &str = "--deaf";
/// For the self-check: it dies in the middle of things.
pub const FRAIL: &str = "--frail";
/// How many wake-ups a frail one lives through.
const FRAIL_LIFE: usize = 20_000;

/// The body of every HTTP answer.
pub const HTTP_BODY: &str = "{\"error\":{\"message\":\"Not Found\",\"type\":\"invalid_request_error\"}}";

const LISTENER: Token = Token(usize::MAX);
const READ_BUFFER_BYTES: usize = 4096;

const HELLO: &str = r#"{"type":"hello-ok","protocol":3,"server":{"version":"floor","connId":"c"},"features":{"methods":[],"events":[]},"snapshot":{},"policy":{}}"#;
const PAYLOAD: &str =
    r#"{"ts":1750000000000,"status":"ok","reason":"a constant of about a hundred bytes, as small answers are"}"#;
const EVENT: &str =
    r#"{"type":"event","event":"talk.mode","payload":{"enabled":true,"phase":null,"ts":1750000000000},"seq":1}"#;

enum Conn {
    Http {
        stream: TcpStream,
        input: Vec<u8>,
    },
    WebSocket(Box<WebSocket<TcpStream>>),
    /// Taken apart while it changes.
    Gone,
}

/// Serves the port of `… gateway --port N` until it is killed; without one it ends at once, as a command line would.
pub fn floor(args: &[String]) -> Result<()> {
    let port = args.windows(2).find(|pair| pair[0] == "--port").map(|pair| pair[1].parse());
    let Some(port) = port else { return Ok(()) };
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port.context("--port takes a number")?);
    let mut listener = TcpListener::bind(address.into()).with_context(|| format!("listen on {address}"))?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut conns: Slab<Conn> = Slab::new();
    let mut events = Events::with_capacity(1024);
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let (is_deaf, is_frail) = (has(DEAF), has(FRAIL));
    for life in 0.. {
        if is_frail && life == FRAIL_LIFE {
            bail!("frail as it is, the floor gives in");
        }
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            if is_deaf {
                continue;
            }
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    let _ = stream.set_nodelay(true);
                    let entry = conns.vacant_entry();
                    poll.registry().register(&mut stream, Token(entry.key()), Interest::READABLE)?;
                    entry.insert(Conn::Http { stream, input: Vec::new() });
                }
                continue;
            }
            let key = event.token().0;
            let Some(conn) = conns.get_mut(key) else { continue };
            match conn.serve() {
                Some(false) => {}
                Some(true) => conns.retain(|_, conn| conn.tell()),
                None => drop(conns.try_remove(key)),
            }
        }
    }
    Ok(())
}

impl Conn {
    /// Answers all that has come. Returns whether everybody is to be told; `None` when the connection is over.
    fn serve(&mut self) -> Option<bool> {
        if let Self::Http { stream, input } = self {
            if !fill(stream, input) || !self.serve_http()? {
                return None;
            }
            if let Self::Http { .. } = self {
                return Some(false);
            }
        }
        let Self::WebSocket(socket) = self else { return None };
        serve_frames(socket)
    }

    /// Answers plain requests, or becomes a WebSocket. Returns whether all is well.
    fn serve_http(&mut self) -> Option<bool> {
        let Self::Http { stream, input } = self else { return Some(true) };
        let mut out = Vec::new();
        let mut at = 0;
        let key = loop {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut request = httparse::Request::new(&mut headers);
            let httparse::Status::Complete(length) = request.parse(&input[at..]).ok()? else { break None };
            let key = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("sec-websocket-key"));
            let key = key.map(|header| derive_accept_key(header.value));
            let body = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
            let body = body.and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse::<usize>().ok());
            let whole = length + body.unwrap_or(0);
            if input.len() - at < whole {
                break None;
            }
            at += whole;
            if key.is_some() {
                break key;
            }
            let length = HTTP_BODY.len();
            let _ = write!(
                out,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{HTTP_BODY}"
            );
        };
        if let Some(key) = &key {
            let _ = write!(
                out,
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {key}\r\n\r\n"
            );
        }
        stream.write_all(&out).ok()?;
        input.drain(..at);
        if key.is_some() {
            let Self::Http { stream, input } = std::mem::replace(self, Self::Gone) else { return None };
            let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
            *self =
                Self::WebSocket(Box::new(WebSocket::from_partially_read(stream, input, Role::Server, Some(config))));
        }
        Some(true)
    }

    /// Sends the event; returns whether the client is to be kept.
    fn tell(&mut self) -> bool {
        match self {
            Self::WebSocket(socket) => socket.send(Message::text(EVENT)).is_ok(),
            _ => true,
        }
    }
}

/// Reads all there is; returns whether the peer is still there.
fn fill(stream: &mut TcpStream, input: &mut Vec<u8>) -> bool {
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return false,
            Ok(count) => input.extend_from_slice(&piece[..count]),
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

fn serve_frames(socket: &mut WebSocket<TcpStream>) -> Option<bool> {
    let mut is_told = false;
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => {
                let id =
                    text.split_once(r#""id":""#).and_then(|(_, rest)| rest.split_once('"')).map_or("", |(id, _)| id);
                is_told |= text.contains(r#""method":"talk.mode""#);
                let payload = if text.contains(r#""method":"connect""#) { HELLO } else { PAYLOAD };
                let answer = format!(r#"{{"type":"res","id":"{id}","ok":true,"payload":{payload}}}"#);
                socket.write(Message::text(answer)).ok()?;
            }
            Ok(_) => {}
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => break,
            Err(_) => return None,
        }
    }
    // Once for all that has come, as a server would.
    socket.flush().ok()?;
    Some(is_told)
}
