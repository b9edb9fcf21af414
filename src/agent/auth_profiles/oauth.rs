//! Tokens that run out: who issues them, and how new ones are asked for (agent.md §14.2).
//!
//! A refresh token is often good for one use. So renewals of one agent's credentials take turns, across processes too;
//! whoever waited looks first whether somebody else has done it; and new tokens are on the disk before they are used. The
//! ids are those of the applications for which the original's users have signed in: their tokens are renewed under no
//! other. Runs on the thread that needs the token, for 20 s of silence at most. Not here: signing in (`cli`), which
//! credential is used (`agent::credentials`).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::store::{self, Store};
use crate::agent::models::normalize_provider;
use crate::base::clock::{Clock, UnixMs};
use crate::base::fs;
use crate::base::secret::Secret;
use crate::base::text::{ellipsize, percent_encoded, unless_blank};
use crate::net::fetch::{Fetch, FetchError};

/// Variable whose value stands for the scheme and host of every issuer: for tests and for proxies.
pub const BASE_URL_VARIABLE: &str = "CLAWDBOT_OAUTH_BASE_URL";
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

/// Who issues the tokens of a provider.
pub struct Issuer {
    /// The provider.
    pub provider: &'static str,
    /// Where tokens come from.
    pub token_url: &'static str,
    /// The application; empty where everybody registers one.
    client_id: &'static str,
    /// Variables of an own application and its secret.
    client_variables: Option<(&'static str, &'static str)>,
    /// Whether it is asked in JSON instead of a form.
    asks_json: bool,
}

static ISSUERS: [Issuer; 5] = [
    Issuer {
        provider: "anthropic",
        token_url: "https://console.anthropic.com/v1/oauth/token",
        client_id: "9d1c250a-e61b-44d9-88ed-5944d1962f5e",
        client_variables: None,
        asks_json: true,
    },
    Issuer {
        provider: "openai-codex",
        token_url: "https://auth.openai.com/oauth/token",
        client_id: "app_EMoamEEZ73f0CkXaXp7hrann",
        client_variables: None,
        asks_json: false,
    },
    Issuer {
        provider: "qwen-portal",
        token_url: "https://chat.qwen.ai/api/v1/oauth2/token",
        client_id: "f0304373b74a44d2b584a3fb70ca9e56",
        client_variables: None,
        asks_json: false,
    },
    Issuer {
        provider: "chutes",
        token_url: "https://api.chutes.ai/idp/token",
        client_id: "",
        client_variables: Some(("CHUTES_CLIENT_ID", "CHUTES_CLIENT_SECRET")),
        asks_json: false,
    },
    Issuer {
        provider: "google-gemini-cli",
        token_url: "https://oauth2.googleapis.com/token",
        client_id: "",
        client_variables: Some(("GEMINI_CLI_OAUTH_CLIENT_ID", "GEMINI_CLI_OAUTH_CLIENT_SECRET")),
        asks_json: false,
    },
];

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

/// Returns who issues the tokens of a provider; `None` for those that nobody renews.
pub fn issuer(provider: &str) -> Option<&'static Issuer> {
    ISSUERS.iter().find(|issuer| issuer.provider == provider)
}

/// Returns an issuer's address, or the one that stands for it.
pub fn address(url: &str) -> String {
    let Some(base) = variable(BASE_URL_VARIABLE) else { return url.to_owned() };
    let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..])).unwrap_or("/");
    format!("{}{path}", base.trim_end_matches('/'))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().as_deref().and_then(unless_blank).map(str::to_owned)
}

impl Issuer {
    /// Returns the application's id and secret, those of `profile` first.
    ///
    /// # Errors
    /// A text for the user: which variable has to be set.
    pub fn client(&self, profile: &Map<String, Value>) -> Result<(String, Option<String>), String> {
        let own = profile.get("clientId").and_then(Value::as_str).and_then(unless_blank).map(str::to_owned);
        let Some((id, secret)) = self.client_variables else {
            return Ok((own.unwrap_or_else(|| self.client_id.to_owned()), None));
        };
        let found = own.or_else(|| variable(id));
        found.map(|found| (found, variable(secret))).ok_or_else(|| format!("set {id} to your application's id"))
    }

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
    let failed = |error: FetchError| match error {
        FetchError::Cancelled => TokenError::Cancelled,
        FetchError::Failed(error) => refused("", error),
    };
    let answer = fetch.post_json_within(url, &headers, body.as_bytes(), SILENCE_MAX).map_err(failed)?;
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
        Some(Value::Object(error)) => (word(error.get("type")), word(error.get("message"))),
        error => (word(error), word(said.get("error_description"))),
    };
    let mut message = format!("status {} {code} {more}", answer.status);
    for (_, value) in fields.iter().filter(|(_, value)| value.len() >= 8) {
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
        && text("provider").is_some_and(|provider| issuer(&normalize_provider(provider)).is_some())
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

    #[test]
    fn an_own_application_is_the_credentials_or_the_environments() {
        let issuer = issuer("chutes").expect("known");
        let profile = json!({"clientId": "mine"});
        assert_eq!(issuer.client(profile.as_object().expect("object")), Ok(("mine".to_owned(), None)));
        let error = issuer.client(&Map::new()).expect_err("none");
        assert_eq!(error, "set CHUTES_CLIENT_ID to your application's id");
    }
}
