//! Tokens that run out: who issues them, and how new ones are asked for (agent.md §14.2).
//!
//! A refresh token is often good for one use. So renewals of one agent's credentials take turns, across processes too;
//! whoever waited looks first whether somebody else has done it; and new tokens are on the disk before they are used. Runs
//! on the thread that needs the token, for 20 s of silence at most. Not here: who issues (`issuer`), signing in (`cli`),
//! which credential is used (`agent::credentials`).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

pub use super::issuer::{BASE_URL_VARIABLE, Issuer, address, issuer};
use super::store::{self, Store};
use crate::agent::models::normalize_provider;
use crate::base::clock::{Clock, UnixMs};
use crate::base::fs;
use crate::base::secret::Secret;
use crate::base::text::{ellipsize, percent_encoded, unless_blank};
use crate::net::fetch::{Answer, Fetch, FetchError};

/// How long an issuer may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;
/// Tokens count as expired so long before they are, so that none runs out on its way.
const EARLY_MS: UnixMs = 5 * 60_000;
/// How long a token holds of which the issuer says nothing.
const LIFETIME_SECONDS_DEFAULT: u64 = 3600;
/// Characters of an issuer's words in an error.
const WORDS_CHARS_MAX: usize = 200;

/// Tokens that were issued.
pub struct Tokens {
    /// What requests are made with.
    pub access: Secret,
    /// What the next ones are asked with, if that has changed.
    pub refresh: Option<Secret>,
    /// Until when `access` is used.
    pub expires_at_ms: UnixMs,
    /// All that the issuer said, for what a provider says besides.
    pub said: Map<String, Value>,
}

/// Why there are no tokens.
pub enum TokenError {
    /// Whoever asks was stopped.
    Cancelled,
    /// The issuer's code, such as `authorization_pending`, and words for people.
    Refused {
        /// `error` of the answer; empty when it came to none.
        code: String,
        /// For people.
        message: String,
    },
}

impl Issuer {
    /// Asks for tokens.
    ///
    /// # Errors
    /// See [`TokenError`]; no text holds a token.
    pub fn ask(&self, fields: &[(&str, &str)], fetch: &Fetch, clock: &dyn Clock) -> Result<Tokens, TokenError> {
        let said = ask(&address(self.token_url), self.asks_json, fields, fetch)?;
        let text = |key: &str| said.get(key).and_then(Value::as_str).and_then(unless_blank).map(Secret::new);
        let Some(access) = text("access_token") else {
            return Err(refused("", "the answer has no access_token"));
        };
        let seconds = said.get("expires_in").and_then(Value::as_u64).unwrap_or(LIFETIME_SECONDS_DEFAULT);
        let lifetime_ms = seconds.saturating_mul(1000);
        let held_ms = lifetime_ms.saturating_sub(EARLY_MS).max(lifetime_ms / 2);
        let expires_at_ms = clock.now_ms().saturating_add(held_ms);
        Ok(Tokens { access, refresh: text("refresh_token"), expires_at_ms, said })
    }
}

fn refused(code: &str, message: impl Into<String>) -> TokenError {
    TokenError::Refused { code: code.to_owned(), message: message.into() }
}

/// Posts fields and returns the object that comes back.
///
/// # Errors
/// See [`TokenError`].
pub fn ask(
    url: &str,
    asks_json: bool,
    fields: &[(&str, &str)],
    fetch: &Fetch,
) -> Result<Map<String, Value>, TokenError> {
    let pairs = || fields.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value)));
    let (kind, body) = if asks_json {
        ("application/json", Value::Object(pairs().collect()).to_string())
    } else {
        let form: Vec<String> = fields.iter().map(|(key, value)| format!("{key}={}", percent_encoded(value))).collect();
        ("application/x-www-form-urlencoded", form.join("&"))
    };
    let headers = [("content-type".to_owned(), kind.to_owned()), ("accept".to_owned(), "application/json".to_owned())];
    let secrets: Vec<&str> = fields.iter().map(|(_, value)| *value).collect();
    said(fetch.post_json_within(url, &headers, body.as_bytes(), SILENCE_MAX), &secrets, fetch)
}

/// Asks with a token as its owner: posts `body`, or gets without one. Returns the object that comes back.
///
/// # Errors
/// See [`TokenError`]; no text holds the token.
pub fn ask_as(
    token: &Secret,
    url: &str,
    headers: &[(&str, String)],
    body: Option<&Value>,
    fetch: &Fetch,
) -> Result<Map<String, Value>, TokenError> {
    let own = [("authorization", format!("Bearer {}", token.expose())), ("accept", "application/json".to_owned())];
    let all = own.iter().chain(headers);
    let all: Vec<(String, String)> = all.map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let answer = match body {
        Some(body) => fetch.post_json_within(url, &all, body.to_string().as_bytes(), SILENCE_MAX),
        None => fetch.get_within(url, &all, SILENCE_MAX),
    };
    said(answer, &[token.expose()], fetch)
}

/// Reads an answer of an issuer, whose errors may repeat what was sent.
fn said(answer: Result<Answer, FetchError>, secrets: &[&str], fetch: &Fetch) -> Result<Map<String, Value>, TokenError> {
    let failed = |error: FetchError| match error {
        FetchError::Cancelled => TokenError::Cancelled,
        FetchError::Failed(error) => refused("", error),
    };
    let answer = answer.map_err(failed)?;
    let mut text = String::new();
    let read = answer.body.take(ANSWER_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| failed(fetch.read_failure(&error)))?;
    let said = serde_json::from_str::<Value>(&text).ok();
    let said = said.and_then(|said| if let Value::Object(said) = said { Some(said) } else { None }).unwrap_or_default();
    if (200..300).contains(&answer.status) && !said.contains_key("error") {
        return Ok(said);
    }
    // Only what is meant for people: a body may repeat what was sent.
    let word = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let (code, more) = match said.get("error") {
        Some(Value::Object(error)) => {
            let reason = error.get("details").and_then(Value::as_array).into_iter().flatten();
            let reason = reason.filter_map(|detail| detail.get("reason")).next();
            (word(error.get("type").or(reason)), word(error.get("message")))
        }
        error => (word(error), word(said.get("error_description").or(said.get("message")))),
    };
    let mut message = format!("status {} {code} {more}", answer.status);
    for value in secrets.iter().filter(|value| value.len() >= 8) {
        message = message.replace(value, "***");
    }
    let message = crate::base::text::collapse_whitespace(&message);
    Err(refused(&code, ellipsize(&message, WORDS_CHARS_MAX)))
}

/// Returns whether new tokens can be asked for with that credential.
pub(super) fn is_renewable(profile: &Map<String, Value>) -> bool {
    let text = |key: &str| profile.get(key).and_then(Value::as_str).and_then(unless_blank);
    text("type") == Some("oauth")
        && text("refresh").is_some()
        && text("provider")
            .is_some_and(|provider| issuer(&normalize_provider(provider)).is_some_and(|issuer| issuer.renews))
}

/// Why a token could not be renewed.
pub enum RenewError {
    /// Whoever asks was stopped.
    Cancelled,
    /// For the user.
    Failed(String),
}

/// Returns the token of a credential, after renewing it if it has run out or is the one that was `refused`.
///
/// # Errors
/// See [`RenewError`].
pub fn renew(
    dir: &Path,
    id: &str,
    refused: Option<&Secret>,
    fetch: &Fetch,
    clock: &dyn Clock,
) -> Result<Secret, RenewError> {
    let disk = |error: io::Error| RenewError::Failed(format!("OAuth token refresh failed for {id}: {error}"));
    let _turn = take_turn(dir).map_err(disk)?;
    let stored = |clock: &dyn Clock| -> io::Result<(Map<String, Value>, Option<Secret>)> {
        let store = Store::read(dir)?;
        let profile = store.profile(id).cloned().unwrap_or_default();
        let secret = store::secret(&profile, clock.now_ms()).filter(|secret| Some(secret) != refused);
        Ok((profile, secret))
    };
    let (profile, secret) = stored(clock).map_err(disk)?;
    if let Some(secret) = secret {
        return Ok(secret);
    }
    let text = |key: &str| profile.get(key).and_then(Value::as_str).and_then(unless_blank).unwrap_or_default();
    let provider = normalize_provider(text("provider"));
    let failed = |why: String| {
        RenewError::Failed(format!(
            "OAuth token refresh failed for {provider}: {why}. Please try again or re-authenticate (clawdbot models auth \
             login --provider {provider})."
        ))
    };
    let Some(issuer) = issuer(&provider).filter(|_| is_renewable(&profile)) else {
        return Err(failed("the credential is gone or cannot be renewed".to_owned()));
    };
    let (client_id, client_secret) = issuer.client(&profile).map_err(&failed)?;
    let refresh = text("refresh");
    let mut fields = vec![("grant_type", "refresh_token"), ("client_id", &client_id), ("refresh_token", refresh)];
    fields.extend(client_secret.as_deref().map(|secret| ("client_secret", secret)));
    let tokens = match issuer.ask(&fields, fetch, clock) {
        Ok(tokens) => tokens,
        Err(TokenError::Cancelled) => return Err(RenewError::Cancelled),
        // The original does not wait its turn here, so it may have been quicker.
        Err(TokenError::Refused { message, .. }) => {
            return stored(clock).ok().and_then(|(_, secret)| secret).ok_or_else(|| failed(message));
        }
    };
    let written = Store::update(dir, |store| {
        let mut profile = store.profile(id).filter(|now| now.get("refresh") == profile.get("refresh"))?.clone();
        profile.extend(fields_of(&tokens));
        store.put(id, Value::Object(profile));
        Some(())
    });
    match written {
        Ok(Some(())) => log::info!(target: "agent", "the token of credential {id} was renewed"),
        Ok(None) => log::warn!(target: "agent", "credential {id} was changed while its token was renewed"),
        // It holds for this turn; a sign-in may be due after it.
        Err(error) => log::error!(target: "agent", "the new token of credential {id} cannot be stored: {error}"),
    }
    Ok(tokens.access)
}

/// Returns the fields in which a credential keeps tokens.
pub fn fields_of(tokens: &Tokens) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("access".to_owned(), tokens.access.expose().into());
    if let Some(refresh) = &tokens.refresh {
        fields.insert("refresh".to_owned(), refresh.expose().into());
    }
    fields.insert("expires".to_owned(), json!(tokens.expires_at_ms));
    fields
}

/// Waits until nobody else renews credentials of that directory: for one renewal of another at most.
fn take_turn(dir: &Path) -> io::Result<File> {
    fs::create_dir_private(dir)?;
    let file = File::options().create(true).append(true).open(dir.join("auth-profiles.renewal.lock"))?;
    file.lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_an_issuer_is_renewed() {
        for (profile, expected) in [
            (json!({"type": "oauth", "provider": "Anthropic", "access": "a", "refresh": "r"}), true),
            (json!({"type": "oauth", "provider": "qwen", "refresh": "r"}), true),
            (json!({"type": "oauth", "provider": "anthropic", "refresh": " "}), false),
            (json!({"type": "token", "provider": "anthropic", "refresh": "r"}), false),
            (json!({"type": "oauth", "provider": "unknown", "refresh": "r"}), false),
        ] {
            assert_eq!(is_renewable(profile.as_object().expect("object")), expected, "{profile}");
        }
    }
}
