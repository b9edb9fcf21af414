//! The bytes of a connection: TCP or TLS, the WebSocket, and how failures are told.
//!
//! Blocking with deadlines, or non-blocking for [`super::link`]. Runs on the caller's thread.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;
use tungstenite::handshake::HandshakeError;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Message, WebSocket};

use super::error::{CLOSE_ABNORMAL, ClientError, broken, is_timeout};
use super::{Deadline, Incoming, tls};

/// Largest message that is read, in bytes.
const MESSAGE_BYTES_MAX: usize = 25 * 1024 * 1024;
/// Read buffer: most answers are smaller.
const READ_BUFFER_BYTES: usize = 16 * 1024;
/// What may wait to be written, in bytes; a peer that lets more pile up is left.
const WRITE_BUFFER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long the challenge may take; after that the connect goes out unsigned by a nonce, as the original does.
const CHALLENGE_WAIT: Duration = Duration::from_millis(750);
/// How long the close frame may take after a refusal; it carries the reason.
const CLOSE_WAIT: Duration = Duration::from_millis(1000);
/// How long writing our own close frame may take.
const GOODBYE_WAIT: Duration = Duration::from_millis(200);
/// Close code of a policy violation: every refusal of a connect.
const CLOSE_POLICY: u16 = 1008;

/// TCP, or TLS over it.
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(buffer),
            Self::Tls(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// The WebSocket and its rules of reading.
pub(super) struct Socket(WebSocket<Stream>);

impl Socket {
    /// Connects, with TLS for `wss://`, and upgrades.
    pub(super) fn open(url: &str, pin: Option<&str>, deadline: Deadline) -> Result<Self, ClientError> {
        let address = Address::of(url)?;
        if pin.is_some() && !address.is_tls {
            return Err(ClientError::Unusable("gateway tls fingerprint requires wss:// gateway url".to_owned()));
        }
        let stream = dial(&address.authority, deadline)?;
        // One small frame each way: waiting for more to send would only add delay.
        let ready = stream.set_nodelay(true).and_then(|()| {
            let left = deadline.left().unwrap_or(Duration::from_millis(1));
            stream.set_read_timeout(Some(left)).and_then(|()| stream.set_write_timeout(Some(left)))
        });
        ready.map_err(broken)?;
        let stream = match address.is_tls {
            true => Stream::Tls(tls::connect(stream, &address.authority, pin, deadline)?),
            false => Stream::Plain(stream),
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        match tungstenite::client::client_with_config(url, stream, Some(config)) {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(HandshakeError::Interrupted(_)) => Err(ClientError::Timeout { after: deadline.total }),
            Err(HandshakeError::Failure(error)) => Err(closed(&error, deadline)),
        }
    }

    /// Returns the nonce, or nothing when the gateway is too old or too slow to send one.
    pub(super) fn challenge(&mut self, deadline: Deadline) -> Result<Option<String>, ClientError> {
        let wait = Deadline::after(CHALLENGE_WAIT.min(deadline.left()?));
        loop {
            match self.next(wait) {
                Ok(Incoming::Event { event, payload }) if event == "connect.challenge" => {
                    return Ok(payload["nonce"].as_str().map(str::to_owned));
                }
                Ok(_) => {}
                Err(ClientError::Timeout { .. }) => return deadline.left().map(|_| None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends one text; blocks while the peer does not read.
    pub(super) fn send(&mut self, text: String) -> Result<(), ClientError> {
        self.0.send(Message::text(text)).map_err(|error| closed(&error, Deadline::after(Duration::ZERO)))
    }

    /// Waits for the next event or response.
    pub(super) fn next(&mut self, deadline: Deadline) -> Result<Incoming, ClientError> {
        loop {
            let left = deadline.left()?;
            self.0.get_ref().tcp().set_read_timeout(Some(left)).map_err(broken)?;
            if let Some(incoming) = self.read(deadline)? {
                return Ok(incoming);
            }
        }
    }

    /// Reads until an event or response is there, or the stream has nothing (in time).
    fn read(&mut self, deadline: Deadline) -> Result<Option<Incoming>, ClientError> {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => {
                    if let Some(incoming) = parse(&text) {
                        return Ok(Some(incoming));
                    }
                }
                Ok(Message::Close(frame)) => {
                    // The answer to the close; the peer does not need it.
                    let _ = self.0.flush();
                    let (code, reason) =
                        frame.map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
                    return Err(ClientError::Closed { code, reason, refusal: None });
                }
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if is_timeout(&error) => return Ok(None),
                Err(error) => return Err(closed(&error, deadline)),
            }
        }
    }

    /// From now on nothing blocks; returns the descriptor to poll.
    pub(super) fn set_nonblocking(&mut self) -> io::Result<RawFd> {
        self.0.get_ref().tcp().set_nonblocking(true)?;
        Ok(self.0.get_ref().tcp().as_raw_fd())
    }

    /// Returns what has arrived, if anything has.
    pub(super) fn try_next(&mut self) -> Result<Option<Incoming>, ClientError> {
        self.read(Deadline::after(Duration::ZERO))
    }

    /// Puts a text into the write buffer.
    pub(super) fn queue(&mut self, text: String) -> Result<(), ClientError> {
        match self.0.write(Message::text(text)) {
            Ok(()) => Ok(()),
            // It is in the buffer; the stream takes it later.
            Err(tungstenite::Error::Io(error)) if is_timeout(&error) => Ok(()),
            Err(error) => Err(closed(&error, Deadline::after(Duration::ZERO))),
        }
    }

    /// Writes what is buffered; returns whether all of it is gone.
    pub(super) fn try_flush(&mut self) -> Result<bool, ClientError> {
        match self.0.flush() {
            Ok(()) => Ok(true),
            Err(tungstenite::Error::Io(error)) if is_timeout(&error) => Ok(false),
            Err(error) => Err(closed(&error, Deadline::after(Duration::ZERO))),
        }
    }

    /// Says goodbye; the peer's answer is not waited for.
    pub(super) fn close(&mut self, reason: Option<(u16, &str)>) {
        let frame = reason.map(|(code, reason)| CloseFrame { code: code.into(), reason: reason.into() });
        // The process or the caller goes on either way.
        let _ = self.0.get_ref().tcp().set_nonblocking(false);
        let _ = self.0.get_ref().tcp().set_write_timeout(Some(GOODBYE_WAIT));
        let _ = self.0.close(frame);
        let _ = self.0.flush();
    }

    /// Reads on until the close frame, which says why; `text` is the gateway's answer with what mends it.
    pub(super) fn refused(&mut self, message: String, text: String) -> ClientError {
        let deadline = Deadline::after(CLOSE_WAIT);
        loop {
            match self.next(deadline) {
                Ok(_) => {}
                Err(ClientError::Closed { code, reason, .. }) if code != CLOSE_ABNORMAL => {
                    return ClientError::Closed { code, reason, refusal: Some(text) };
                }
                Err(_) => {
                    return ClientError::Closed { code: CLOSE_POLICY, reason: message, refusal: Some(text) };
                }
            }
        }
    }
}

fn parse(text: &str) -> Option<Incoming> {
    let mut frame: Value = serde_json::from_str(text).ok()?;
    match frame["type"].as_str()? {
        "event" => {
            Some(Incoming::Event { event: frame["event"].as_str()?.to_owned(), payload: frame["payload"].take() })
        }
        "res" => {
            let result = if frame["ok"] == true {
                Ok(frame["payload"].take())
            } else {
                let text = |key: &str, default: &str| frame["error"][key].as_str().unwrap_or(default).to_owned();
                Err(ClientError::Rpc {
                    code: text("code", "UNAVAILABLE"),
                    message: text("message", "unknown error"),
                    hint: frame["error"]["details"]["hint"].as_str().map(str::to_owned),
                })
            };
            Some(Incoming::Response { id: frame["id"].as_str()?.to_owned(), result })
        }
        _ => None,
    }
}

/// Where a URL leads.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    /// `host:port`.
    authority: String,
    is_tls: bool,
}

impl Address {
    fn of(url: &str) -> Result<Self, ClientError> {
        let invalid = || ClientError::Unusable(format!("Invalid URL: {url}"));
        let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
        let (is_tls, default_port) = match scheme {
            "ws" => (false, 80),
            "wss" => (true, 443),
            _ => return Err(invalid()),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        match authority {
            "" => Err(invalid()),
            _ if has_port => Ok(Self { authority: authority.to_owned(), is_tls }),
            _ => Ok(Self { authority: format!("{authority}:{default_port}"), is_tls }),
        }
    }
}

fn dial(authority: &str, deadline: Deadline) -> Result<TcpStream, ClientError> {
    // Numeric addresses are parsed, not looked up.
    let addresses: Vec<SocketAddr> = match authority.parse() {
        Ok(address) => vec![address],
        Err(_) => authority.to_socket_addrs().map_err(broken)?.collect(),
    };
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(&address, deadline.left()?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    if is_timeout(&last) {
        deadline.left()?;
    }
    Err(broken(last))
}

fn closed(error: &tungstenite::Error, deadline: Deadline) -> ClientError {
    match error {
        tungstenite::Error::Io(error) if is_timeout(error) => ClientError::Timeout { after: deadline.total },
        tungstenite::Error::Url(_) => ClientError::Unusable(format!("Invalid URL: {error}")),
        tungstenite::Error::Capacity(error) => {
            ClientError::Closed { code: 1009, reason: error.to_string(), refusal: None }
        }
        _ => {
            log::debug!(target: "client", "connection lost error={error}");
            ClientError::Closed { code: CLOSE_ABNORMAL, reason: String::new(), refusal: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |url: &str, authority: &str, is_tls| {
            assert_eq!(Address::of(url), Ok(Address { authority: authority.to_owned(), is_tls }), "{url}");
        };
        check("ws://h:5/x?y", "h:5", false);
        check("ws://u@[::1]:5", "[::1]:5", false);
        check("ws://h", "h:80", false);
        check("wss://h", "h:443", true);
        for url in ["h:5", "http://h", "ws://"] {
            assert!(matches!(Address::of(url), Err(ClientError::Unusable(_))), "{url}");
        }
    }
}
