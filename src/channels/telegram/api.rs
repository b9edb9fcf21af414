//! The Bot API over HTTP: one call, one answer, and every way in which there is none (channels.md §12.3).
//!
//! Owns the connections to one server with one token; they are kept open between calls. Any thread; [`Api::stop`] ends what
//! is under way at once. No error that leaves here holds the token. Not here: what is asked, and whether it is asked again.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::types::{Numbered, Update};
use crate::base::rng::SystemRng;
use crate::base::secret::Secret;
use crate::base::text::{ellipsize, text_of};
use crate::net::fetch::is_loopback;
use crate::net::form::{Form, Upload};

/// The public server.
pub const ROOT: &str = "https://api.telegram.org";
/// How long a connection may take to be made, name and handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long any other call may take, unless configured (`timeoutSeconds`).
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the acknowledgement of a button may take: nothing depends on it.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a file may take.
const FILE_TIMEOUT: Duration = Duration::from_secs(500);
/// Per connection and direction.
const BUFFER_BYTES: usize = 8 * 1024;
/// Largest answer that is read. A hundred of the longest messages that quote as long ones are 4 MiB.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Most of an answer that is no answer that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// What it takes to ask: equal ones share connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The bot's token.
    pub token: Secret,
    /// The server, without a slash at its end.
    pub root: String,
    /// The way to it.
    pub proxy: Option<String>,
    /// How long a call may take.
    pub timeout: Option<Duration>,
}

/// Why a call brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiError {
    /// The server says no, or not now.
    Refused(Refusal),
    /// No answer of the Bot API came.
    Lost {
        /// What happened, for people.
        text: String,
        /// Whether the server had said yes when the answer broke off.
        is_done: bool,
    },
    /// [`Api::stop`] was called.
    Stopped,
}

/// An error of the Bot API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The method.
    pub method: &'static str,
    /// Its code, an HTTP status.
    pub code: u16,
    /// Its words.
    pub description: String,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
    /// The chat's new id.
    pub migrate_to: Option<i64>,
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(it) => write!(f, "Call to '{}' failed! ({}: {})", it.method, it.code, it.description),
            Self::Lost { text, .. } => f.write_str(text),
            Self::Stopped => f.write_str("the account is being stopped"),
        }
    }
}

impl ApiError {
    /// Returns the server's refusal, if it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

/// See the module.
pub struct Api {
    agent: ureq::Agent,
    access: Access,
    is_stopped: AtomicBool,
}

#[derive(Deserialize)]
struct Answer<'a> {
    ok: bool,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error_code: Option<u16>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<Parameters>,
}

#[derive(Deserialize, Default)]
struct Parameters {
    retry_after: Option<f64>,
    migrate_to_chat_id: Option<i64>,
}

impl Api {
    /// Prepares calls.
    ///
    /// # Errors
    /// What is wrong with the proxy's address.
    pub fn new(access: Access) -> Result<Self, String> {
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .max_idle_connections(4)
            .max_redirects(0)
            .user_agent(concat!("clawdbot/", env!("CARGO_PKG_VERSION")));
        if let Some(proxy) = &access.proxy {
            let proxy = ureq::Proxy::new(proxy)
                .map_err(|_| "channels.telegram.proxy is no address of a proxy, such as http://host:8080".to_owned())?;
            config = config.proxy(Some(proxy));
        } else if is_loopback(&access.root) {
            config = config.proxy(None);
        }
        Ok(Self { agent: config.build().new_agent(), access, is_stopped: AtomicBool::new(false) })
    }

    /// Returns what it asks with.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Ends what is under way and refuses everything from now on.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        self.agent.clone().shutdown();
    }

    /// Returns whether [`Api::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }

    /// Calls a method.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn call<T: DeserializeOwned>(&self, method: &'static str, params: &Value) -> Result<T, ApiError> {
        self.call_within(method, params, self.access.timeout.unwrap_or(CALL_TIMEOUT))
    }

    /// Calls a method that must answer in a given time.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn call_within<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &Value,
        within: Duration,
    ) -> Result<T, ApiError> {
        let text = self.post(method, Body::Json(params.to_string()), within)?;
        result(method, &text)
    }

    /// Tells the server that a button was noticed, so that it stops turning; failing is no loss.
    pub fn acknowledge(&self, query: &str) {
        let params = json!({"callback_query_id": query});
        if let Err(error) = self.call_within::<Value>("answerCallbackQuery", &params, ACKNOWLEDGE_TIMEOUT) {
            log::debug!(target: "gateway/channels/telegram", "{error}");
        }
    }

    /// Calls a method with a file.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn upload<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &Value,
        file: &Upload<'_>,
    ) -> Result<T, ApiError> {
        let within = self.access.timeout.unwrap_or(FILE_TIMEOUT);
        let params = params.as_object().into_iter().flatten();
        let texts = params.map(|(name, value)| (name.as_str(), text_of(value)));
        let text = self.post(method, Body::Form(Form::new(texts, file, &SystemRng)), within)?;
        result(method, &text)
    }

    /// Waits for updates. One that is not understood has its number only, so that it cannot hold up the others.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn updates(&self, params: &Value, within: Duration) -> Result<Vec<(i64, Option<Update>)>, ApiError> {
        let text = self.post("getUpdates", Body::Json(params.to_string()), within)?;
        let raw: Vec<&RawValue> = result("getUpdates", &text)?;
        let read = |raw: &RawValue| {
            let Numbered { update_id } = serde_json::from_str(raw.get()).ok()?;
            let update = serde_json::from_str(raw.get());
            let update = update.inspect_err(|error| {
                log::warn!(target: "gateway/channels/telegram", "update {update_id} is not understood and left out: {error}");
            });
            Some((update_id, update.ok()))
        };
        Ok(raw.into_iter().filter_map(read).collect())
    }

    /// Fetches a file by the path that `getFile` told; `None` when it has more than `bytes_max` bytes.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn download(&self, path: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, ApiError> {
        const METHOD: &str = "file";
        let path = path.trim_start_matches('/');
        let url = format!("{}/file/bot{}/{path}", self.access.root, self.access.token.expose());
        let config = self.agent.get(&url).config().timeout_global(Some(FILE_TIMEOUT));
        let answer = config.build().call().map_err(|error| self.lost(METHOD, &error, false))?;
        let status = answer.status().as_u16();
        if status != 200 {
            let description = answer.status().canonical_reason().unwrap_or("refused").to_owned();
            let refusal = Refusal { method: METHOD, code: status, description, retry_after: None, migrate_to: None };
            return Err(ApiError::Refused(refusal));
        }
        let mut bytes = Vec::new();
        let read = answer.into_body().into_reader().take(bytes_max + 1).read_to_end(&mut bytes);
        read.map_err(|error| self.broken(METHOD, &error, false))?;
        Ok((bytes.len() as u64 <= bytes_max).then_some(bytes))
    }

    fn post(&self, method: &'static str, body: Body<'_>, within: Duration) -> Result<String, ApiError> {
        if self.is_stopped() {
            return Err(ApiError::Stopped);
        }
        let url = format!("{}/bot{}/{method}", self.access.root, self.access.token.expose());
        let request = self.agent.post(&url).config().timeout_global(Some(within)).build();
        let request = request.header("content-type", body.content_type());
        let sent = match body {
            Body::Json(text) => request.send(text),
            Body::Form(form) => {
                let (length, mut reader) = form.into_reader();
                request.header("content-length", length.to_string()).send(ureq::SendBody::from_reader(&mut reader))
            }
        };
        let answer = sent.map_err(|error| self.lost(method, &error, false))?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get("retry-after").and_then(|it| it.to_str().ok()?.trim().parse().ok());
        let kind = answer.headers().get("content-type").and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
        let is_json = kind.starts_with("application/json");
        let mut bytes = Vec::new();
        let read = answer.into_body().into_reader().take(ANSWER_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|error| self.broken(method, &error, status == 200 && is_json))?;
        if bytes.len() as u64 > ANSWER_BYTES_MAX {
            let text = format!("the answer to '{method}' is larger than {ANSWER_BYTES_MAX} bytes");
            return Err(ApiError::Lost { text, is_done: status == 200 });
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match serde_json::from_str::<Answer<'_>>(&text) {
            Ok(Answer { ok: true, .. }) => Ok(text),
            Ok(no) => Err(ApiError::Refused(refusal(method, status, no, retry_after))),
            Err(_) if status == 429 => Err(ApiError::Refused(Refusal {
                method,
                code: 429,
                description: "Too Many Requests".to_owned(),
                retry_after: retry_after.map(Duration::from_secs),
                migrate_to: None,
            })),
            Err(_) => {
                let shown = ellipsize(text.trim(), SHOWN_CHARS_MAX);
                let text = format!("the answer to '{method}' is not of the Bot API (HTTP {status}): {shown}");
                Err(ApiError::Lost { text: self.masked(&text), is_done: status == 200 && is_json })
            }
        }
    }

    fn broken(&self, method: &str, error: &std::io::Error, is_done: bool) -> ApiError {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
            Some(error) => self.lost(method, error, is_done),
            None => self.lost_text(method, &error.to_string(), is_done),
        }
    }

    fn lost(&self, method: &str, error: &ureq::Error, is_done: bool) -> ApiError {
        let text = match error {
            ureq::Error::HostNotFound => "the host name cannot be resolved".to_owned(),
            ureq::Error::Timeout(timeout) => format!("timeout: {timeout}"),
            ureq::Error::Io(error) => error.to_string(),
            other => other.to_string(),
        };
        self.lost_text(method, &text, is_done)
    }

    fn lost_text(&self, method: &str, text: &str, is_done: bool) -> ApiError {
        if self.is_stopped() {
            return ApiError::Stopped;
        }
        ApiError::Lost { text: self.masked(&format!("Network request for '{method}' failed: {text}")), is_done }
    }

    /// Takes the token out of what will be shown.
    fn masked(&self, text: &str) -> String {
        text.replace(self.access.token.expose(), "***")
    }
}

fn result<'a, T: Deserialize<'a>>(method: &str, text: &'a str) -> Result<T, ApiError> {
    let answer: Answer<'a> = serde_json::from_str(text).map_err(|error| odd(method, &error))?;
    let raw = answer.result.map_or("null", RawValue::get);
    serde_json::from_str(raw).map_err(|error| odd(method, &error))
}

fn odd(method: &str, error: &serde_json::Error) -> ApiError {
    ApiError::Lost { text: format!("the answer to '{method}' is not understood: {error}"), is_done: true }
}

fn refusal(method: &'static str, status: u16, no: Answer<'_>, retry_after: Option<u64>) -> Refusal {
    let parameters = no.parameters.unwrap_or_default();
    let asked = parameters.retry_after.filter(|seconds| (0.0..1e6).contains(seconds)).map(Duration::from_secs_f64);
    Refusal {
        method,
        code: no.error_code.unwrap_or(status),
        description: no.description.unwrap_or_else(|| "no reason given".to_owned()),
        retry_after: asked.or(retry_after.map(Duration::from_secs)),
        migrate_to: parameters.migrate_to_chat_id,
    }
}

enum Body<'a> {
    Json(String),
    Form(Form<'a>),
}

impl Body<'_> {
    fn content_type(&self) -> String {
        match self {
            Self::Json(_) => "application/json".to_owned(),
            Self::Form(form) => form.content_type(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn refusals_say_what_to_do() {
        let text = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 7","parameters":{"retry_after":7}}"#;
        let answer = serde_json::from_str(text).expect("an answer");
        let refused = refusal("sendMessage", 429, answer, None);
        assert_eq!(refused.retry_after, Some(Duration::from_secs(7)));
        let shown = ApiError::Refused(refused).to_string();
        assert_eq!(shown, "Call to 'sendMessage' failed! (429: Too Many Requests: retry after 7)");
    }

    #[test]
    fn errors_hold_no_token() {
        let access = Access { token: Secret::new("123:secret"), root: "bad root".into(), proxy: None, timeout: None };
        let api = Api::new(access).expect("an api");
        let error = api.call::<Value>("getMe", &json!({})).expect_err("no address");
        assert!(!error.to_string().contains("secret"), "{error}");
        api.stop();
        assert_eq!(api.call::<Value>("getMe", &json!({})), Err(ApiError::Stopped));
    }
}
