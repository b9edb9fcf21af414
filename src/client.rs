//! The gateway's client: one blocking WebSocket connection that signs the challenge, calls methods and reads events.
//!
//! Used by the command line and by probes, on the caller's own thread; every wait has a deadline and nothing runs
//! between calls. Who stays connected goes on with a [`link`]. Owns, through [`tokens`], the cache of device tokens. Not
//! here: the bytes (`socket`), what is printed (`cli`), which gateway is meant ([`target`]).

mod error;
pub mod link;
mod socket;
pub mod target;
mod tls;
pub mod tokens;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::base::clock::{Clock as _, SystemClock};
use crate::base::host;
use crate::base::rng::{SystemRng, uuid};
use crate::base::secret::Secret;
use crate::config::paths::Paths;
use crate::devices::identity::{self, Identity, PayloadFields};
use crate::protocol::PROTOCOL_VERSION;
pub use error::ClientError;
use socket::Socket;
use target::Target;

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
    /// `client.version`.
    pub version: String,
    /// `client.displayName`.
    pub display_name: Option<String>,
    /// `client.instanceId`; a random one when absent.
    pub instance_id: Option<String>,
    /// `caps`: kinds of things a node can do.
    pub caps: Vec<&'static str>,
    /// `commands`: what a node answers to; absent for everybody else.
    pub commands: Option<Vec<&'static str>>,
    /// `pathEnv`: where a node looks for programs.
    pub path_env: Option<String>,
}

impl Profile {
    /// Returns the command line's own profile.
    pub fn cli() -> Self {
        Self {
            id: "cli",
            mode: "cli",
            role: "operator",
            scopes: SCOPES_ALL.map(str::to_owned).to_vec(),
            // compat: the original's command line calls itself `dev` here; the presence list shows it.
            version: "dev".to_owned(),
            display_name: None,
            instance_id: None,
            caps: Vec::new(),
            commands: None,
            path_env: None,
        }
    }

    /// Returns the profile of probes: it asks for one scope and leaves less in the gateway's log.
    pub fn probe() -> Self {
        Self { mode: "probe", scopes: vec![SCOPES_ALL[0].to_owned()], ..Self::cli() }
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
        let identity = Identity::load_or_create(&paths.identity_dir(), &SystemRng, &SystemClock).map_err(|error| {
            let dir = paths.shorten(&paths.identity_dir());
            ClientError::Unusable(format!("this machine's identity cannot be kept in {dir}: {error}"))
        })?;
        let mut stored = tokens::load(&paths.state_dir, identity.device_id(), profile.role);
        // compat: a stored device token goes first, even before a token given by flag.
        let token = stored.as_ref().map(|entry| &entry.token).or(target.token.as_ref());
        let first = Self::try_connect(target, profile, token, &identity, deadline);
        let result = match first {
            // It was revoked, or covers fewer scopes than are asked for now: the gateway's own token still counts. The
            // original forgets the stored one too, but fails, and only the next command works.
            Err(ClientError::Closed { refusal: Some(_), .. }) if stored.is_some() && target.token.is_some() => {
                tokens::forget(&paths.state_dir, identity.device_id(), profile.role);
                stored = None;
                Self::try_connect(target, profile, target.token.as_ref(), &identity, deadline)
            }
            result => result,
        };
        let client = result?;
        tokens::remember(&paths.state_dir, identity.device_id(), profile.role, stored.as_ref(), &client.hello["auth"]);
        Ok(client)
    }

    /// Connects with this token.
    fn try_connect(
        target: &Target,
        profile: &Profile,
        token: Option<&Secret>,
        identity: &Identity,
        deadline: Deadline,
    ) -> Result<Self, ClientError> {
        let mut socket = Socket::open(&target.url, target.tls_fingerprint.as_deref(), deadline)?;
        let nonce = socket.challenge(deadline)?;
        let params = connect_params(profile, target.password.as_ref(), token, identity, nonce.as_deref());
        let mut client = Self { socket, hello: Value::Null, last_id: 0 };
        let id = client.send("connect", params)?;
        match client.await_response(&id, deadline, false, &mut |_, _| {}) {
            Ok(hello) => {
                client.hello = hello;
                Ok(client)
            }
            Err(ClientError::Rpc { message, hint, .. }) => {
                let text = hint.map_or(message.clone(), |hint| format!("{message} ({hint})"));
                Err(client.socket.refused(message, text))
            }
            Err(error) => Err(error),
        }
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
        let (id, frame) = self.request_frame(method, params);
        self.socket.send(frame)?;
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
        self.socket.close(None);
    }

    fn request_frame(&mut self, method: &str, params: Value) -> (String, String) {
        self.last_id += 1;
        let id = self.last_id.to_string();
        let frame = json!({"type": "req", "id": id, "method": method, "params": params}).to_string();
        (id, frame)
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
            "version": profile.version,
            "platform": host::platform(),
            "mode": profile.mode,
            "instanceId": profile.instance_id.clone().unwrap_or_else(|| uuid(&SystemRng)),
        },
        "caps": profile.caps,
        "role": profile.role,
        "scopes": profile.scopes,
        "device": {
            "id": identity.device_id(),
            "publicKey": identity::encode_public_key(&identity.public_key()),
            "signature": identity.sign(&payload),
            "signedAt": signed_at_ms,
        },
    });
    if let Some(name) = &profile.display_name {
        params["client"]["displayName"] = name.as_str().into();
    }
    if let Some(commands) = &profile.commands {
        params["commands"] = commands.as_slice().into();
    }
    if let Some(path) = &profile.path_env {
        params["pathEnv"] = path.as_str().into();
    }
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

#[cfg(test)]
mod tests;
