//! What to do about a failed turn: try again, ask the next model, or tell the user (agent.md §14.4–14.5).
//!
//! Pure rules over the status and text of an error.

use std::time::Duration;

use super::providers::ProviderError;
use crate::base::backoff::Backoff;

/// Tries of one turn at one model.
pub const TRIES_MAX: u32 = 3;

/// Returns the waits between the tries of one turn: half a second, then a second, each give or take a fifth.
pub fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(500), Duration::from_secs(8), 2.0, 0.2)
}

/// Why another model may do better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Too many requests, or overloaded.
    RateLimit,
    /// The request's shape.
    Format,
    /// No money.
    Billing,
    /// Took too long.
    Timeout,
    /// Key refused.
    Auth,
    /// The server failed or cannot be reached.
    Server,
}

impl Reason {
    /// Returns the name used in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RateLimit => "rate_limit",
            Self::Format => "format",
            Self::Billing => "billing",
            Self::Timeout => "timeout",
            Self::Auth => "auth",
            Self::Server => "server",
        }
    }
}

const PATTERNS: [(Reason, &[&str]); 5] = [
    (
        Reason::RateLimit,
        &[
            "rate_limit",
            "rate limit",
            "too many requests",
            "exceeded your current quota",
            "resource has been exhausted",
            "resource_exhausted",
            "quota exceeded",
            "usage limit",
            "overloaded",
        ],
    ),
    (Reason::Format, &["string should match pattern", "tool_use.id", "tool_use_id", "invalid request format"]),
    (Reason::Billing, &["payment required", "insufficient credits", "credit balance", "plans & billing"]),
    (Reason::Timeout, &["timeout", "timed out", "deadline exceeded"]),
    (
        Reason::Auth,
        &[
            "invalid_api_key",
            "invalid api key",
            "incorrect api key",
            "invalid token",
            "authentication",
            "unauthorized",
            "forbidden",
            "access denied",
            "no api key found",
        ],
    ),
];

/// Classifies an error; `None` when another model would fail as well.
pub fn reason(status: Option<u16>, message: &str) -> Option<Reason> {
    let by_status = match status {
        Some(429) => Some(Reason::RateLimit),
        Some(402) => Some(Reason::Billing),
        Some(408) => Some(Reason::Timeout),
        Some(401 | 403) => Some(Reason::Auth),
        Some(500..) => Some(Reason::Server),
        _ => None,
    };
    let text = message.to_lowercase();
    let by_text = || {
        PATTERNS.iter().find(|(_, texts)| texts.iter().any(|pattern| text.contains(pattern))).map(|(reason, _)| *reason)
    };
    let unreachable = || text.starts_with("connection error").then_some(Reason::Server);
    by_status.or_else(by_text).or_else(unreachable)
}

/// Returns whether the same model may well answer the next time.
pub fn is_transient(error: &ProviderError) -> bool {
    let ProviderError::Failed { status, message, .. } = error else { return false };
    match status {
        Some(408 | 409 | 429 | 500..) => true,
        Some(_) => false,
        None => matches!(reason(None, message), Some(Reason::RateLimit | Reason::Server | Reason::Timeout)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_texts_are_classified() {
        for (status, text, expected) in [
            (Some(429), "429 slow down", Some(Reason::RateLimit)),
            (Some(503), "503 x", Some(Reason::Server)),
            (Some(400), "400 bad", None),
            (Some(400), "400 quota exceeded", Some(Reason::RateLimit)),
            (None, "connection error: x at y: refused", Some(Reason::Server)),
            (None, "Invalid API key", Some(Reason::Auth)),
        ] {
            assert_eq!(reason(status, text), expected, "{status:?} {text}");
        }
    }
}
