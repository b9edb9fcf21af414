//! A small WebSocket client of its own: it shares no code with the product, so it cannot share a mistake.

use std::net::TcpStream;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::protocol::{Message, WebSocket, WebSocketConfig};

use super::{PATIENCE, TOKEN};

/// A socket, the frames read but not yet asked for, and where the wait for the next one ends.
pub struct Client {
    socket: WebSocket<TcpStream>,
    unread: Vec<Value>,
    seqs: Vec<u64>,
    closed: Option<(u16, String)>,
    next_id: u32,
    /// The payload of hello-ok, once connected.
    pub hello: Value,
}

impl Client {
    /// Upgrades, and nothing more.
    pub fn open(port: u16, headers: &[(&str, &str)]) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the gateway accepts");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = format!("ws://127.0.0.1:{port}/").into_client_request().unwrap();
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (socket, _) = tungstenite::client::client_with_config(request, stream, Some(config)).expect("upgrade");
        Self { socket, unread: Vec::new(), seqs: Vec::new(), closed: None, next_id: 1, hello: Value::Null }
    }

    /// An operator with every scope and no device.
    pub fn connect(port: u16) -> Self {
        Self::connect_as(port, connect_params())
    }

    /// Connects with these parameters, which must be accepted.
    pub fn connect_as(port: u16, params: Value) -> Self {
        let mut client = Self::open(port, &[]);
        client.challenge();
        client.hello = client.request("connect", params).expect("hello-ok");
        assert_eq!(client.hello["type"], "hello-ok");
        client
    }

    /// Connects with these parameters and the proof of a device; they must be accepted.
    pub fn connect_device(port: u16, device: &Device, mut params: Value) -> Self {
        let mut client = Self::open(port, &[]);
        let nonce = client.challenge();
        params["device"] = device.sign(&params, now_ms(), Some(&nonce));
        client.hello = client.request("connect", params).expect("hello-ok");
        client
    }

    /// The nonce that the gateway greets with.
    pub fn challenge(&mut self) -> String {
        let event = self.event("connect.challenge", |_| true);
        event["nonce"].as_str().expect("a nonce").to_owned()
    }

    pub fn send(&mut self, frame: &Value) {
        self.send_message(Message::text(frame.to_string()));
    }

    pub fn send_message(&mut self, message: Message) {
        self.socket.send(message).expect("sent");
    }

    /// The socket below the frames, for bytes that no client would send.
    pub fn raw(&mut self) -> &mut TcpStream {
        self.socket.get_mut()
    }

    /// Sends a request without waiting; gives its id.
    pub fn post(&mut self, method: &str, params: Value) -> String {
        let id = format!("t{}", self.next_id);
        self.next_id += 1;
        self.send(&json!({ "type": "req", "id": id, "method": method, "params": params }));
        id
    }

    /// A request and its first response.
    pub fn request(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.post(method, params);
        self.response(&id)
    }

    pub fn response(&mut self, id: &str) -> Result<Value, Value> {
        let frame = self.wait(&format!("response {id}"), |frame| frame["type"] == "res" && frame["id"] == id);
        if frame["ok"] == true { Ok(frame["payload"].clone()) } else { Err(frame["error"].clone()) }
    }

    /// The payload of the first event of this name that `wanted` takes.
    pub fn event(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let frame = self.wait(&format!("event {name}"), |frame| frame["event"] == name && wanted(&frame["payload"]));
        frame["payload"].clone()
    }

    /// The last `chat` event of a run: `final`, `error` or `aborted`. Its deltas are used up.
    pub fn chat_end(&mut self, run: &str) -> Value {
        self.event("chat", |chat| chat["runId"] == run && chat["state"] != "delta")
    }

    /// The first frame that `wanted` takes; others stay for later waits.
    pub fn wait(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.unread.iter().position(&wanted) {
            return self.unread.remove(at);
        }
        let until = Instant::now() + PATIENCE;
        loop {
            match self.read(until) {
                Read::Frame(frame) if wanted(&frame) => return frame,
                Read::Frame(frame) => self.unread.push(frame),
                Read::Closed => panic!("closed {:?} while waiting for {what}; unread: {:#?}", self.closed, self.unread),
                Read::Nothing => panic!("waited for {what}; unread: {:#?}", self.unread),
            }
        }
    }

    /// Code and reason of the close frame; frames before it stay readable.
    pub fn wait_close(&mut self) -> (u16, String) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(close) = &self.closed {
                return close.clone();
            }
            match self.read(until) {
                Read::Frame(frame) => self.unread.push(frame),
                Read::Closed => {}
                Read::Nothing => panic!("waited for a close; unread: {:#?}", self.unread),
            }
        }
    }

    /// The numbers of all events read so far, in the order in which they came.
    pub fn seqs(&self) -> &[u64] {
        &self.seqs
    }

    /// Frames that were read while waiting for others.
    pub fn unread(&self) -> &[Value] {
        &self.unread
    }

    fn read(&mut self, until: Instant) -> Read {
        if self.closed.is_some() {
            return Read::Closed;
        }
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Read::Nothing;
            }
            self.socket.get_ref().set_read_timeout(Some(left)).unwrap();
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    let frame: Value = serde_json::from_str(&text).expect("every frame is JSON");
                    self.seqs.extend(frame["seq"].as_u64());
                    return Read::Frame(frame);
                }
                Ok(Message::Close(frame)) => {
                    self.closed =
                        Some(frame.map_or((1005, String::new()), |it| (it.code.into(), it.reason.to_string())));
                    let _ = self.socket.flush();
                    return Read::Closed;
                }
                Ok(_) => {}
                Err(tungstenite::Error::Io(error))
                    if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
                {
                    return Read::Nothing;
                }
                // A reset after our own oversized writes hides the close frame that preceded it.
                Err(error) => {
                    self.closed = Some((1006, error.to_string()));
                    return Read::Closed;
                }
            }
        }
    }
}

enum Read {
    Frame(Value),
    Closed,
    Nothing,
}

/// Connect parameters that every test gateway accepts.
pub fn connect_params() -> Value {
    json!({
        "minProtocol": 3, "maxProtocol": 3, "role": "operator", "caps": [],
        "client": { "id": "test", "displayName": "black box", "version": "1.0.0", "platform": "linux", "mode": "test", "instanceId": "black-box" },
        "scopes": ["operator.admin", "operator.approvals", "operator.pairing"],
        "auth": { "token": TOKEN },
    })
}

/// A device key of the test's own.
pub struct Device {
    key: SigningKey,
}

impl Device {
    /// The key whose secret is 32 times this byte.
    pub fn of(byte: u8) -> Self {
        Self { key: SigningKey::from_bytes(&[byte; 32]) }
    }

    pub fn id(&self) -> String {
        Sha256::digest(self.key.verifying_key().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The `device` object for these connect parameters; without a nonce it is the older form.
    pub fn sign(&self, params: &Value, signed_at: u64, nonce: Option<&str>) -> Value {
        let text = |pointer: &str| params.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let scopes: Vec<_> = params["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let role = params["role"].as_str().unwrap_or("operator");
        let mut fields = vec![
            if nonce.is_some() { "v2" } else { "v1" }.to_owned(),
            self.id(),
            text("/client/id"),
            text("/client/mode"),
            role.to_owned(),
            scopes.join(","),
            signed_at.to_string(),
            text("/auth/token"),
        ];
        fields.extend(nonce.map(str::to_owned));
        let signature = self.key.sign(fields.join("|").as_bytes()).to_bytes();
        let mut device = json!({
            "id": self.id(),
            "publicKey": URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes()),
            "signature": URL_SAFE_NO_PAD.encode(signature),
            "signedAt": signed_at,
        });
        if let Some(nonce) = nonce {
            device["nonce"] = nonce.into();
        }
        device
    }
}

pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("fits")
}
