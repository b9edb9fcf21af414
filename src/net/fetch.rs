//! HTTP requests to others, made on the caller's own thread: one [`Fetch`] per job, stopped through its token.
//!
//! Owns the connections of one job (kept alive between its requests). Cancelling the token shuts the sockets down, so a
//! blocked read returns at once. Bodies are read by the caller, who caps them. Not here: what is asked.

use std::cell::Cell;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport, time,
};

use crate::base::cancel::{CancelReason, CancelToken, Hooked};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Per connection and direction; the library's own default is eight times this.
const BUFFER_BYTES: usize = 16 * 1024;
/// Longest wait that a server may ask for with `retry-after`.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// Makes the requests of one job.
pub struct Fetch {
    agent: ureq::Agent,
    cancel: CancelToken,
    _hooked: Hooked,
    /// Of the request under way, for its errors.
    silence_max: Cell<Duration>,
    glance: Arc<Glance>,
}

/// How long reads wait at present before they come back for now, and whether one did.
#[derive(Debug, Default)]
struct Glance {
    /// Zero: as long as it takes.
    wait_us: AtomicU64,
    came_back: AtomicBool,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum FetchError {
    /// The token was cancelled or its deadline passed; its reason tells which.
    Cancelled,
    /// The server could not be reached, or hung up.
    Failed(String),
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cancelled => f.write_str("it was stopped before the answer was there"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

/// The head of an answer, and its body to be read.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `content-type` without parameters, in lower case.
    pub content_type: String,
    /// How long the server asks to wait before the next try.
    pub retry_after: Option<Duration>,
    /// The body. Reading fails when the token is cancelled.
    pub body: Box<dyn Read>,
}

impl Fetch {
    /// Prepares requests that end when `cancel` does.
    pub fn new(cancel: &CancelToken) -> Self {
        let glance = Arc::new(Glance::default());
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .user_agent(concat!("clawdbot/", env!("CARGO_PKG_VERSION")))
            .build();
        let connector = DefaultConnector::default().chain(Glancing(glance.clone()));
        let agent = ureq::Agent::with_parts(config, connector, DefaultResolver::default());
        let stopped = agent.clone();
        // Taken back: the token may be the gateway's own, which would keep what is left of every request.
        let hooked = cancel.hook(move || stopped.shutdown());
        Self { agent, cancel: cancel.clone(), _hooked: hooked, silence_max: Cell::default(), glance }
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// See [`FetchError`]; an answer of any status is no error.
    pub fn post_json(&self, url: &str, headers: &[(String, String)], body: &[u8]) -> Result<Answer, FetchError> {
        self.post(url, headers, body, None)
    }

    /// Posts JSON, or what the header `content-type` says, to a server that may be silent for `silence_max` at most, before its answer and within it.
    ///
    /// # Errors
    /// As [`Fetch::post_json`].
    pub fn post_json_within(
        &self,
        url: &str,
        headers: &[(String, String)],
        body: &[u8],
        silence_max: Duration,
    ) -> Result<Answer, FetchError> {
        self.post(url, headers, body, Some(silence_max))
    }

    fn post(
        &self,
        url: &str,
        headers: &[(String, String)],
        body: &[u8],
        silence_max: Option<Duration>,
    ) -> Result<Answer, FetchError> {
        let mut config = self.agent.post(url).config().timeout_global(self.time_left()?);
        if is_loopback(url) {
            // A proxy of the environment cannot reach what is on this machine.
            config = config.proxy(None);
        }
        let mut request = config.timeout_per_read(silence_max).build();
        self.silence_max.set(silence_max.unwrap_or_default());
        if !headers.iter().any(|(name, _)| name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send(body).map(answer).map_err(|error| self.failure(&error))
    }

    /// Gets a document or file; redirections are followed.
    ///
    /// # Errors
    /// As [`Fetch::post_json`].
    pub fn get(&self, url: &str, headers: &[(String, String)]) -> Result<Answer, FetchError> {
        self.get_with(url, headers, None)
    }

    /// Gets from a server that may be silent for `silence_max` at most, before its answer and within it.
    ///
    /// # Errors
    /// As [`Fetch::post_json`].
    pub fn get_within(
        &self,
        url: &str,
        headers: &[(String, String)],
        silence_max: Duration,
    ) -> Result<Answer, FetchError> {
        self.get_with(url, headers, Some(silence_max))
    }

    fn get_with(
        &self,
        url: &str,
        headers: &[(String, String)],
        silence_max: Option<Duration>,
    ) -> Result<Answer, FetchError> {
        let mut config = self.agent.get(url).config().timeout_global(self.time_left()?);
        if is_loopback(url) {
            config = config.proxy(None);
        }
        let mut request = config.timeout_per_read(silence_max).build();
        self.silence_max.set(silence_max.unwrap_or_default());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.call().map(answer).map_err(|error| self.failure(&error))
    }

    /// From now on a read of a body waits so long at most, and then fails for now: [`Fetch::came_back`] tells, and reading
    /// again goes on where it was. `None` waits as long as it takes.
    pub fn glance(&self, wait: Option<Duration>) {
        let wait_us = wait.map_or(0, |wait| u64::try_from(wait.as_micros()).unwrap_or(u64::MAX).max(1));
        self.glance.wait_us.store(wait_us, Ordering::Relaxed);
    }

    /// Returns whether the read that just failed did so only for now.
    pub fn came_back(&self) -> bool {
        self.glance.came_back.swap(false, Ordering::Relaxed)
    }

    /// Waits before the next request; returns false as soon as none may be made any more.
    pub fn pause(&self, wait: Duration) -> bool {
        self.cancel.sleep(wait)
    }

    /// Returns how long a request may take; fails when none may be made any more.
    fn time_left(&self) -> Result<Option<Duration>, FetchError> {
        if self.cancel.is_cancelled() {
            return Err(FetchError::Cancelled);
        }
        Ok(self.cancel.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now())))
    }

    /// Tells a failed read of a body apart from a stop.
    pub fn read_failure(&self, error: &io::Error) -> FetchError {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => self.failure(error),
            None if self.is_stopped(error.kind() == io::ErrorKind::TimedOut) => FetchError::Cancelled,
            None => FetchError::Failed(error.to_string()),
        }
    }

    fn failure(&self, error: &Error) -> FetchError {
        if self.is_stopped(matches!(error, Error::Timeout(ureq::Timeout::Global))) {
            return FetchError::Cancelled;
        }
        FetchError::Failed(match error {
            Error::Timeout(ureq::Timeout::PerRead) => {
                format!("timeout: nothing arrived for {:?}", self.silence_max.get())
            }
            Error::Io(error) => error.to_string(),
            Error::HostNotFound => "the host name cannot be resolved".to_owned(),
            Error::Timeout(timeout) => format!("timeout: {timeout}"),
            other => other.to_string(),
        })
    }

    /// Returns whether the job is over. The library's clock and the token's differ by microseconds: whoever notices
    /// first that the deadline has passed decides.
    fn is_stopped(&self, has_passed: bool) -> bool {
        if has_passed {
            self.cancel.cancel(CancelReason::TimedOut);
        }
        self.cancel.is_cancelled()
    }
}

/// Puts [`Glance`] around connections.
#[derive(Debug)]
struct Glancing(Arc<Glance>);

impl<In: Transport> Connector<In> for Glancing {
    type Out = GlancingTransport<In>;

    fn connect(&self, _: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| GlancingTransport { inner, glance: self.0.clone() }))
    }
}

#[derive(Debug)]
struct GlancingTransport<In> {
    inner: In,
    glance: Arc<Glance>,
}

impl<In: Transport> Transport for GlancingTransport<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, mut timeout: NextTimeout) -> Result<bool, Error> {
        let wait_us = self.glance.wait_us.load(Ordering::Relaxed);
        if wait_us == 0 {
            return self.inner.await_input(timeout);
        }
        let wait = time::Duration::from(Duration::from_micros(wait_us));
        let is_shorter = wait < timeout.for_read().after;
        if is_shorter {
            timeout.per_read = Some(wait);
        }
        self.inner.await_input(timeout).inspect_err(|error| {
            let is_for_now = is_shorter && is_read_timeout(error);
            self.glance.came_back.store(is_for_now, Ordering::Relaxed);
        })
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

fn is_read_timeout(error: &Error) -> bool {
    match error {
        Error::Timeout(ureq::Timeout::PerRead) => true,
        // Through TLS it comes back wrapped.
        Error::Io(error) => {
            error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).is_some_and(is_read_timeout)
        }
        _ => false,
    }
}

/// Returns whether a URL leads to this machine, where no proxy of the environment can go.
pub fn is_loopback(url: &str) -> bool {
    let host = url.parse::<ureq::http::Uri>().ok().and_then(|uri| uri.host().map(str::to_ascii_lowercase));
    let host = host.unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn answer(response: ureq::http::Response<ureq::Body>) -> Answer {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let content_type = header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let content_type = content_type.to_ascii_lowercase();
    let retry_after = retry_after(header("retry-after-ms"), header("retry-after"));
    let status = response.status().as_u16();
    Answer { status, content_type, retry_after, body: Box::new(response.into_body().into_reader()) }
}

fn retry_after(milliseconds: Option<&str>, seconds: Option<&str>) -> Option<Duration> {
    let number = |text: Option<&str>| text?.trim().parse::<f64>().ok().filter(|number| (0.0..1e6).contains(number));
    let wait = number(milliseconds).map(|ms| ms / 1000.0).or_else(|| number(seconds))?;
    Some(Duration::from_secs_f64(wait).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_may_ask_for_a_bounded_wait() {
        assert_eq!(retry_after(Some("250"), Some("9")), Some(Duration::from_millis(250)));
        assert_eq!(retry_after(None, Some("7200")), Some(RETRY_AFTER_MAX));
        assert_eq!(retry_after(None, Some("Wed, 21 Oct 2026 07:28:00 GMT")), None);
    }

    #[test]
    fn nothing_stays_in_a_token_that_lives_long() {
        let cancel = CancelToken::new();
        let fetch = Fetch::new(&cancel);
        assert_eq!(cancel.hooks_len(), 1);
        drop(fetch);
        assert_eq!(cancel.hooks_len(), 0);
    }

    #[test]
    fn this_machine_is_told_apart() {
        for (url, expected) in [
            ("http://127.0.0.1:11434/v1", true),
            ("http://[::1]:1/x", true),
            ("http://LocalHost/", true),
            ("https://localhost.example/", false),
            ("not a url", false),
        ] {
            assert_eq!(is_loopback(url), expected, "{url}");
        }
    }
}
