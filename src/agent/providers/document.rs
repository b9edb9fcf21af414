//! One request to a service whose answer is one JSON document: vectors of texts, words of a recording, of a film.
//!
//! Whatever goes wrong becomes the same error as a turn's, without secrets, so that `credentials` and `failover` judge it
//! alike. Runs on the thread that asks.

use std::io::Read as _;
use std::time::Duration;

use serde_json::Value;

use super::ProviderError;
use crate::base::secret::Secret;
use crate::base::text::ellipsize;
use crate::net::fetch::{Fetch, FetchError};

/// Shortest text that is looked for as a secret in errors: shorter ones are words.
const SECRET_BYTES_MIN: usize = 8;
/// Characters of an error that are shown.
const ERROR_CHARS_MAX: usize = 300;

/// What is asked for.
pub struct Request<'a> {
    /// What it is, for people (`embeddings of openai`).
    pub what: &'a str,
    /// Where.
    pub url: &'a str,
    /// With what; the body is JSON unless `content-type` says otherwise. Values count as secrets.
    pub headers: &'a [(String, String)],
    /// What the headers make of the key is not shown either.
    pub key: Option<&'a Secret>,
    /// How long the service may be silent.
    pub silence_max: Duration,
    /// Largest answer that is read.
    pub answer_bytes_max: u64,
}

/// Posts and reads the answer.
///
/// # Errors
/// Why there is none.
pub fn post(request: &Request<'_>, body: &[u8], fetch: &Fetch) -> Result<Value, ProviderError> {
    let lost = |error: FetchError| match error {
        FetchError::Cancelled => ProviderError::Cancelled,
        FetchError::Failed(error) => ProviderError::failed(format!("connection error: {}: {error}", request.what)),
    };
    let answer = fetch.post_json_within(request.url, request.headers, body, request.silence_max).map_err(lost)?;
    let mut bytes = Vec::new();
    let read = answer.body.take(request.answer_bytes_max).read_to_end(&mut bytes);
    read.map_err(|error| lost(fetch.read_failure(&error)))?;
    let said: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if answer.status == 200 {
        return Ok(said);
    }
    let words = ["/error/message", "/error", "/err_msg"].iter().find_map(|path| said.pointer(path)?.as_str());
    let words = ellipsize(&without_secrets(request, words.unwrap_or("no reason given")), ERROR_CHARS_MAX);
    let message = format!("{} {words}", answer.status);
    Err(ProviderError::Failed { status: Some(answer.status), message, retry_after: answer.retry_after })
}

/// Takes the secrets of a request out of what the service says.
pub fn without_secrets(request: &Request<'_>, text: &str) -> String {
    let values = request.headers.iter().map(|(_, value)| value.as_str());
    let secrets = request.key.map(Secret::expose).into_iter().chain(values).filter(|it| it.len() >= SECRET_BYTES_MIN);
    secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}
