//! GitHub Copilot: a GitHub token does not run out, but models want what it is traded for, which holds for half an hour.
//!
//! The traded token is kept in the file where the original keeps its own, `<state>/credentials/github-copilot.token.json`
//! (0600), with a mark of the GitHub token it is for: a second account never gets the first one's. It names the server of
//! the subscription's kind. Runs on the asker's thread. Not here: signing in (`cli`), the headers of requests
//! (`agent::providers::copilot`).

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::oauth::{RenewError, TokenError, address, ask_as};
use crate::base::clock::{Clock, UnixMs};
use crate::base::fs::{self, Durability, read_text_capped};
use crate::base::hash::sha256_hex;
use crate::base::secret::Secret;
use crate::net::fetch::Fetch;

/// Its id.
pub const PROVIDER: &str = "github-copilot";
/// The server of those whose token names none.
pub const BASE_URL_DEFAULT: &str = "https://api.individual.githubcopilot.com";
/// A token counts as run out so long before it is.
const EARLY_MS: UnixMs = 5 * 60_000;
/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Characters of the mark that tells GitHub tokens apart.
const MARK_CHARS: usize = 16;

/// Where a GitHub token is traded, and where the result is kept.
#[derive(Debug, Clone)]
pub struct Trade {
    file: PathBuf,
    domain: String,
}

impl Trade {
    /// At GitHub, or at the server of a company.
    pub fn new(state_dir: &Path, domain: Option<&str>) -> Self {
        let file = state_dir.join("credentials").join("github-copilot.token.json");
        let host = |url: &str| {
            let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
            rest.split(['/', '?']).next().unwrap_or_default().trim().to_ascii_lowercase()
        };
        let domain = domain.map(host).filter(|host| !host.is_empty()).unwrap_or_else(|| "github.com".to_owned());
        Self { file, domain }
    }

    /// Returns the token that models take, a new one if there is none or it is the one that was `refused`.
    ///
    /// # Errors
    /// See [`RenewError`].
    pub fn token(
        &self,
        github: &Secret,
        refused: Option<&Secret>,
        fetch: &Fetch,
        clock: &dyn Clock,
    ) -> Result<Secret, RenewError> {
        let now_ms = clock.now_ms();
        let mut mark = sha256_hex(format!("{}\n{}", self.domain, github.expose()).as_bytes());
        mark.truncate(MARK_CHARS);
        if let Some(kept) = self.kept(&mark, now_ms).filter(|kept| Some(kept) != refused) {
            return Ok(kept);
        }
        let url = address(&format!("https://api.{}/copilot_internal/v2/token", self.domain));
        let failed = |why: &str| {
            RenewError::Failed(format!(
                "Copilot token exchange failed: {why}. Does this GitHub account have Copilot? Sign in again with: clawdbot \
                 models auth login --provider {PROVIDER}"
            ))
        };
        let said = ask_as(github, &url, &[], None, fetch).map_err(|error| match error {
            TokenError::Cancelled => RenewError::Cancelled,
            TokenError::Refused { message, .. } => failed(&message),
        })?;
        let token = said.get("token").and_then(Value::as_str).map(str::trim).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| failed("the answer has no token"))?;
        let expires_at = said.get("expires_at").and_then(|at| at.as_u64().or_else(|| at.as_str()?.trim().parse().ok()));
        // compat: seconds, which some answers give as milliseconds.
        let expires_at = expires_at.map_or(now_ms, |at| if at > 10_000_000_000 { at } else { at.saturating_mul(1000) });
        self.keep(&json!({"token": token, "expiresAt": expires_at, "updatedAt": now_ms, "of": mark}));
        Ok(Secret::new(token))
    }

    fn kept(&self, mark: &str, now_ms: UnixMs) -> Option<Secret> {
        let text = read_text_capped(&self.file, FILE_BYTES_MAX).ok()??;
        let kept: Value = serde_json::from_str(&text).ok()?;
        let holds = kept["expiresAt"].as_u64().is_some_and(|at| now_ms.saturating_add(EARLY_MS) < at);
        let token = kept["token"].as_str().filter(|_| holds && kept["of"] == mark)?;
        Some(Secret::new(token))
    }

    fn keep(&self, kept: &Value) {
        let written = self.file.parent().map_or(Ok(()), fs::create_dir_private).and_then(|()| {
            fs::write_atomic(&self.file, format!("{kept:#}\n").as_bytes(), fs::MODE_PRIVATE, Durability::Process)
        });
        if let Err(error) = written {
            // The next turn trades again.
            log::warn!(target: "agent", "the Copilot token is not kept in {}: {error}", self.file.display());
        }
    }
}

/// Returns the server that a token names (`…;proxy-ep=proxy.x.example;…`).
pub fn base_url(token: &str) -> Option<String> {
    let host = token.split(';').find_map(|part| part.trim().strip_prefix("proxy-ep="))?.trim();
    let host = host.split_once("://").map_or(host, |(_, host)| host);
    let host = host.strip_prefix("proxy.").map_or_else(|| host.to_owned(), |rest| format!("api.{rest}"));
    let is_host = !host.is_empty() && host.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-'));
    is_host.then(|| format!("https://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_their_server() {
        for (token, expected) in [
            ("tid=1;exp=2;proxy-ep=proxy.business.example.com;sku=x", Some("https://api.business.example.com")),
            ("proxy-ep=https://proxy.x.example", Some("https://api.x.example")),
            ("proxy-ep=evil/path", None),
            ("tid=1", None),
        ] {
            assert_eq!(base_url(token).as_deref(), expected, "{token}");
        }
    }
}
