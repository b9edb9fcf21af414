//! The gateway's client: one blocking WebSocket connection that signs the challenge, calls methods and reads events.
//!
//! Used by the command line and by probes, on the caller's own thread; every wait has a deadline and nothing runs
//! between calls. Owns the socket and, through [`tokens`], the cache of device tokens. Not here: what is printed
//! (`cli`), which gateway is meant ([`target`]).

pub mod target;
pub mod tokens;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::handshake::HandshakeError;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

use crate::base::clock::{Clock as _, SystemClock};
use crate::base::rng::{SystemRng, uuid};
use crate::base::secret::Secret;
use crate::config::paths::Paths;
use crate::devices::identity::{self, Identity, PayloadFields};
use crate::protocol::PROTOCOL_VERSION;
use target::Target;

/// Largest message that is read, in bytes.
const MESSAGE_BYTES_MAX: usize = 25 * 1024 * 1024;
/// Read buffer: most answers are smaller.
const READ_BUFFER_BYTES: usize = 16 * 1024;
/// How long the challenge may take; after that the connect goes out unsigned by a nonce, as the original does.
const CHALLENGE_WAIT: Duration = Duration::from_millis(750);
/// How long the close frame may take after a refusal; it carries the reason.
const CLOSE_WAIT: Duration = Duration::from_millis(1000);
/// Close code of a policy violation: every refusal of a connect.
const CLOSE_POLICY: u16 = 1008;
/// What stands for a socket that broke without a close frame.
const CLOSE_ABNORMAL: u16 = 1006;

/// The scopes of an operator that may do everything.
pub const SCOPES_ALL: [&str; 3] = ["operator.admin", "operator.approvals", "operator.pairing"];

/// As whom to connect.
#[derive(Debug, Clone)]
pub struct Profile {
    /// `client.id`.
    pub id: &'static str,
    /// `client.mode`.
    pub mode: &'static str,
    /// `role`.
    pub role: &'static str,
    /// `scopes`.
    pub scopes: Vec<String>,
}

impl Profile {
    /// Returns the command line's own profile.
    pub fn cli() -> Self {
        Self { id: "cli", mode: "cli", role: "operator", scopes: SCOPES_ALL.map(str::to_owned).to_vec() }
    }

    /// Returns the profile of probes: it asks for one scope and leaves less in the gateway's log.
    pub fn probe() -> Self {
        Self { mode: "probe", scopes: vec![SCOPES_ALL[0].to_owned()], ..Self::cli() }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientError {
    /// The socket was closed, or could not be opened (1006).
    Closed {
        /// Close code.
        code: u16,
        /// Reason, maybe empty.
        reason: String,
        /// The gateway's answer to `connect`, when it refused.
        refusal: Option<String>,
    },
    /// The time was over.
    Timeout {
        /// All the time there was.
        after: Duration,
    },
    /// The gateway answered with an error.
    Rpc {
        /// Its code.
        code: String,
        /// Its message.
        message: String,
        /// What mends it, where the gateway knows.
        hint: Option<String>,
    },
    /// The request could not be made at all.
    Unusable(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { code, reason, .. } => {
                let hint = match *code {
                    CLOSE_ABNORMAL => " abnormal closure (no close frame)",
                    1000 => " normal closure",
                    _ => "",
                };
                let reason = if reason.trim().is_empty() { "no close reason" } else { reason.trim() };
                write!(f, "gateway closed ({code}{hint}): {reason}")
            }
            Self::Timeout { after } => write!(f, "gateway timeout after {}ms", after.as_millis()),
            Self::Rpc { message, .. } => f.write_str(message),
            Self::Unusable(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ClientError {}

impl ClientError {
    /// Returns whether the gateway was not reached or did not stay: the connection details then help.
    pub fn is_connection(&self) -> bool {
        matches!(self, Self::Closed { .. } | Self::Timeout { .. })
    }
}

/// A deadline that remembers how long it was, for the message.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
    total: Duration,
}

impl Deadline {
    /// Starts now.
    pub fn after(total: Duration) -> Self {
        let now = SystemClock.now();
        // Absurd timeouts must not overflow the clock.
        let at = now.checked_add(total).unwrap_or_else(|| now + Duration::from_secs(365 * 24 * 3600));
        Self { at, total }
    }

    /// Returns the rest.
    ///
    /// # Errors
    /// [`ClientError::Timeout`] when there is none.
    pub fn left(&self) -> Result<Duration, ClientError> {
        match self.at.saturating_duration_since(SystemClock.now()) {
            Duration::ZERO => Err(ClientError::Timeout { after: self.total }),
            left => Ok(left),
        }
    }
}

/// One thing the gateway said.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// An event.
    Event {
        /// Its name.
        event: String,
        /// What it carries.
        payload: Value,
    },
    /// A response.
    Response {
        /// The request it answers.
        id: String,
        /// Payload, or error.
        result: Result<Value, ClientError>,
    },
}

/// An admitted connection.
pub struct Client {
    socket: Socket,
    hello: Value,
    last_id: u64,
}

impl Client {
    /// Connects, signs the challenge and waits for `hello-ok`.
    ///
    /// # Errors
    /// See [`ClientError`]; a refusal is `Closed` with the gateway's answer in `refusal`.
    pub fn connect(paths: &Paths, target: &Target, profile: &Profile, deadline: Deadline) -> Result<Self, ClientError> {
        let identity = Identity::load_or_create(&paths.identity_dir(), &SystemRng, &SystemClock)
            .map_err(|error| ClientError::Unusable(format!("device identity: {error}")))?;
        let mut socket = Socket::open(&target.url, deadline)?;
        let nonce = socket.challenge(deadline)?;
        let stored = tokens::load(&paths.state_dir, identity.device_id(), profile.role);
        // compat: a stored device token goes first, even before a token given by flag.
        let token = stored.as_ref().map(|entry| &entry.token).or(target.token.as_ref());
        let params = connect_params(profile, target.password.as_ref(), token, &identity, nonce.as_deref());
        let mut client = Self { socket, hello: Value::Null, last_id: 0 };
        let id = client.send("connect", params)?;
        match client.await_response(&id, deadline, false, &mut |_, _| {}) {
            Ok(hello) => client.hello = hello,
            Err(ClientError::Rpc { message, hint, .. }) => {
                if stored.is_some() && target.token.is_some() {
                    tokens::forget(&paths.state_dir, identity.device_id(), profile.role);
                }
                let text = hint.map_or(message.clone(), |hint| format!("{message} ({hint})"));
                return Err(client.socket.refused(message, text));
            }
            Err(error) => return Err(error),
        }
        tokens::remember(&paths.state_dir, identity.device_id(), profile.role, stored.as_ref(), &client.hello["auth"]);
        Ok(client)
    }

    /// Returns the payload of `hello-ok`.
    pub fn hello(&self) -> &Value {
        &self.hello
    }

    /// Calls a method and waits for its answer; with `expect_final` an answer `accepted` is not the last one.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn request(
        &mut self,
        method: &str,
        params: Value,
        expect_final: bool,
        deadline: Deadline,
    ) -> Result<Value, ClientError> {
        self.request_watching(method, params, expect_final, deadline, &mut |_, _| {})
    }

    /// As [`Client::request`]; events that come meanwhile go to `on_event`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn request_watching(
        &mut self,
        method: &str,
        params: Value,
        expect_final: bool,
        deadline: Deadline,
        on_event: &mut dyn FnMut(&str, &Value),
    ) -> Result<Value, ClientError> {
        let id = self.send(method, params)?;
        self.await_response(&id, deadline, expect_final, on_event)
    }

    /// Sends a request and returns its id; the answer comes out of [`Client::next`].
    ///
    /// # Errors
    /// `Closed` when the socket is gone.
    pub fn send(&mut self, method: &str, params: Value) -> Result<String, ClientError> {
        self.last_id += 1;
        let id = self.last_id.to_string();
        let frame = json!({"type": "req", "id": id, "method": method, "params": params});
        self.socket.send(frame.to_string())?;
        Ok(id)
    }

    /// Waits for the next event or response.
    ///
    /// # Errors
    /// `Timeout`, or `Closed`.
    pub fn next(&mut self, deadline: Deadline) -> Result<Incoming, ClientError> {
        self.socket.next(deadline)
    }

    /// Says goodbye; the peer's answer is not waited for.
    pub fn close(mut self) {
        // The process or the caller goes on either way.
        let _ = self.socket.0.close(None);
        let _ = self.socket.0.flush();
    }

    fn await_response(
        &mut self,
        wanted: &str,
        deadline: Deadline,
        expect_final: bool,
        on_event: &mut dyn FnMut(&str, &Value),
    ) -> Result<Value, ClientError> {
        loop {
            match self.socket.next(deadline)? {
                Incoming::Event { event, payload } => on_event(&event, &payload),
                Incoming::Response { id, result } if id == wanted => match result {
                    Ok(payload) if expect_final && payload["status"] == "accepted" => {}
                    result => return result,
                },
                Incoming::Response { .. } => {}
            }
        }
    }
}

fn connect_params(
    profile: &Profile,
    password: Option<&Secret>,
    token: Option<&Secret>,
    identity: &Identity,
    nonce: Option<&str>,
) -> Value {
    let token = token.map(Secret::expose);
    let signed_at_ms = SystemClock.now_ms();
    let payload = identity::payload(&PayloadFields {
        device_id: identity.device_id(),
        client_id: profile.id,
        client_mode: profile.mode,
        role: profile.role,
        scopes: &profile.scopes,
        signed_at_ms,
        token,
        nonce,
    });
    let mut params = json!({
        "minProtocol": PROTOCOL_VERSION,
        "maxProtocol": PROTOCOL_VERSION,
        "client": {
            "id": profile.id,
            // compat: the original's command line calls itself `dev` here; the presence list shows it.
            "version": "dev",
            "platform": if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS },
            "mode": profile.mode,
            "instanceId": uuid(&SystemRng),
        },
        "caps": [],
        "role": profile.role,
        "scopes": profile.scopes,
        "device": {
            "id": identity.device_id(),
            "publicKey": identity::encode_public_key(&identity.public_key()),
            "signature": identity.sign(&payload),
            "signedAt": signed_at_ms,
        },
    });
    if let Some(nonce) = nonce {
        params["device"]["nonce"] = nonce.into();
    }
    if let Some(token) = token {
        params["auth"]["token"] = token.into();
    }
    if let Some(password) = password {
        params["auth"]["password"] = password.expose().into();
    }
    params
}

/// The WebSocket and its rules of reading.
struct Socket(WebSocket<TcpStream>);

impl Socket {
    fn open(url: &str, deadline: Deadline) -> Result<Self, ClientError> {
        let authority = authority_of(url)?;
        let stream = dial(&authority, deadline)?;
        // One small frame each way: waiting for more to send would only add delay.
        let ready = stream.set_nodelay(true).and_then(|()| {
            let left = deadline.left().unwrap_or(Duration::from_millis(1));
            stream.set_read_timeout(Some(left)).and_then(|()| stream.set_write_timeout(Some(left)))
        });
        ready.map_err(broken)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        match tungstenite::client::client_with_config(url, stream, Some(config)) {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(HandshakeError::Interrupted(_)) => Err(ClientError::Timeout { after: deadline.total }),
            Err(HandshakeError::Failure(error)) => Err(closed(&error, deadline)),
        }
    }

    /// Returns the nonce, or nothing when the gateway is too old or too slow to send one.
    fn challenge(&mut self, deadline: Deadline) -> Result<Option<String>, ClientError> {
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

    fn send(&mut self, text: String) -> Result<(), ClientError> {
        self.0.send(Message::text(text)).map_err(|error| closed(&error, Deadline::after(Duration::ZERO)))
    }

    fn next(&mut self, deadline: Deadline) -> Result<Incoming, ClientError> {
        loop {
            let left = deadline.left()?;
            self.0.get_ref().set_read_timeout(Some(left)).map_err(broken)?;
            match self.0.read() {
                Ok(Message::Text(text)) => {
                    if let Some(incoming) = parse(&text) {
                        return Ok(incoming);
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
                Err(tungstenite::Error::Io(error)) if is_timeout(&error) => {}
                Err(error) => return Err(closed(&error, deadline)),
            }
        }
    }

    /// Reads on until the close frame, which says why.
    fn refused(&mut self, message: String, text: String) -> ClientError {
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

/// Returns `host:port` of a `ws://` URL.
fn authority_of(url: &str) -> Result<String, ClientError> {
    let invalid = || ClientError::Unusable(format!("Invalid URL: {url}"));
    let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
    match scheme {
        "ws" => {}
        "wss" => {
            return Err(ClientError::Unusable(format!(
                "{url} needs TLS, which this client does not speak; use a ws:// URL through an SSH tunnel or a tailnet"
            )));
        }
        _ => return Err(invalid()),
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match authority {
        "" => Err(invalid()),
        _ if has_port => Ok(authority.to_owned()),
        _ => Ok(format!("{authority}:80")),
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

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// compat: whatever breaks the socket is the code 1006 without a reason, as a WebSocket library reports it.
fn broken(error: io::Error) -> ClientError {
    log::debug!(target: "client", "socket failed error={error}");
    ClientError::Closed { code: CLOSE_ABNORMAL, reason: String::new(), refusal: None }
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
mod tests;
