//! What to do about a failed turn: try again, ask with the next key or the next model, or tell the user (agent.md
//! §14.4–14.5).
//!
//! Pure rules over the status and text of an error.

use std::time::Duration;

use super::levels;
use super::providers::ProviderError;
use crate::base::backoff::Backoff;

/// Tries of one turn at one model.
pub const TRIES_MAX: u32 = 3;

/// Longest wait that a server may ask for while there is somebody else to ask.
pub const PATIENCE_WITH_OTHERS: Duration = Duration::from_secs(5);

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
    /// The server failed or cannot be reached. The original shows these errors as the model's words.
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

    /// Returns whether the key is to blame, so that it rests and another of the same provider may do better.
    ///
    /// compat: the original also lets keys rest for the shape of a request, which no other key would mend.
    pub fn is_of_key(self) -> bool {
        matches!(self, Self::RateLimit | Self::Billing | Self::Timeout | Self::Auth)
    }
}

/// Parts of error texts, in the order in which they are looked for.
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
            "no available auth profile",
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
            "re-authenticate",
            "oauth token refresh failed",
            "unauthorized",
            "forbidden",
            "access denied",
            "expired",
            "no credentials found",
            "no api key found",
        ],
    ),
];
/// Numbers that stand for a reason when they are words of a text.
const NUMBERS: [(Reason, &[&str]); 3] =
    [(Reason::RateLimit, &["429"]), (Reason::Billing, &["402"]), (Reason::Auth, &["401", "403"])];
/// Parts of texts that say that the conversation is too long for the model.
const OVERFLOW: [&str; 14] = [
    "prompt is too long",
    "input is too long",
    "context window",
    "context length",
    "context_length_exceeded",
    "maximum prompt length",
    "reduce the length of the messages",
    "available context size",
    "exceeds the maximum number of tokens",
    "too many tokens",
    "token limit exceeded",
    "request_too_large",
    "request exceeds the maximum size",
    "context overflow",
];

/// Classifies an error; `None` when another key or model would fail as well.
pub fn reason(status: Option<u16>, message: &str) -> Option<Reason> {
    let text = message.to_lowercase();
    if text.contains("image dimensions exceed max allowed size") {
        return None;
    }
    let by_status = match status {
        Some(429) => Some(Reason::RateLimit),
        Some(402) => Some(Reason::Billing),
        Some(408) => Some(Reason::Timeout),
        Some(401 | 403) => Some(Reason::Auth),
        Some(500..) => Some(Reason::Server),
        _ => None,
    };
    if by_status.is_some() {
        return by_status;
    }
    // Our own words; the address in them may look like anything.
    if text.starts_with("connection error") {
        return Some(if text.contains(": timeout:") { Reason::Timeout } else { Reason::Server });
    }
    let words = || text.split(|c: char| !c.is_alphanumeric() && c != '_');
    PATTERNS.iter().find_map(|(reason, parts)| {
        let has_part = parts.iter().any(|part| text.contains(part));
        let numbers = NUMBERS.iter().filter(|(of, _)| of == reason).flat_map(|(_, numbers)| *numbers);
        let has_number = status.is_none() && numbers.into_iter().any(|number| words().any(|word| word == *number));
        let is_billing = *reason == Reason::Billing
            && text.contains("billing")
            && ["upgrade", "credits", "payment", "plan"].iter().any(|part| text.contains(part));
        (has_part || has_number || is_billing).then_some(*reason)
    })
}

/// Returns whether an error says that the conversation is too long for the model.
pub fn is_context_overflow(message: &str) -> bool {
    let text = message.to_lowercase();
    // A window that is too small for any work is a matter of the configuration.
    !text.contains("context window too small") && OVERFLOW.iter().any(|part| text.contains(part))
}

/// Returns a level of thinking that the model takes, when an error names those that it does: the nearest below `asked`,
/// else the lowest.
pub fn supported_thinking(message: &str, asked: &str) -> Option<&'static str> {
    let text = message.to_lowercase();
    let start =
        ["supported values are", "supported values:"].iter().find_map(|mark| Some(text.find(mark)? + mark.len()))?;
    let list = text[start..].split(['.', '\n']).next().unwrap_or_default();
    let names = list.split(|c: char| !c.is_ascii_alphanumeric()).filter_map(|word| match word {
        "none" => Some("off"),
        word => levels::thinking(word).filter(|level| *level == word),
    });
    let rank = |level: &str| ["off", "minimal", "low", "medium", "high", "xhigh"].iter().position(|it| *it == level);
    let mut named: Vec<&'static str> = names.filter(|level| *level != asked).collect();
    named.sort_by_key(|level| rank(level));
    named.iter().rfind(|level| rank(level) < rank(asked)).or(named.first()).copied()
}

/// Returns whether the same model may well answer the next time.
pub fn is_transient(error: &ProviderError) -> bool {
    let ProviderError::Failed { status, message, .. } = error else { return false };
    // Money and plans do not come back within seconds.
    if message.contains("current quota")
        || message.contains("insufficient_quota")
        || message.contains("usage limit")
        || is_context_overflow(message)
    {
        return false;
    }
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
            (None, "connection error: x at http://401.example: timeout: nothing", Some(Reason::Timeout)),
            (None, "connection error: x at http://forbidden.example: reset", Some(Reason::Server)),
            (None, "Invalid API key", Some(Reason::Auth)),
            (None, "error 401 from upstream", Some(Reason::Auth)),
            (None, "14010 tokens and 4290 more", None),
            (None, "see your billing page to upgrade", Some(Reason::Billing)),
            (Some(400), "400 image dimensions exceed max allowed size; rate limit", None),
            (Some(529), "overloaded_error: Overloaded", Some(Reason::Server)),
        ] {
            assert_eq!(reason(status, text), expected, "{status:?} {text}");
        }
    }

    #[test]
    fn errors_that_name_what_is_supported_are_understood() {
        let error = "Unsupported value: 'minimal' is not supported with this model. Supported values are: 'low', 'medium', and 'high'.";
        for (message, asked, expected) in [
            (error, "minimal", Some("low")),
            (error, "xhigh", Some("high")),
            ("Supported values are: 'none' and 'high'", "medium", Some("off")),
            ("no such thing", "high", None),
        ] {
            assert_eq!(supported_thinking(message, asked), expected, "{message} {asked}");
        }
    }

    #[test]
    fn overflow_is_told_apart() {
        for (message, expected) in [
            ("400 prompt is too long: 213462 tokens > 200000 maximum", true),
            ("Your input exceeds the context window of this model", true),
            ("Model context window too small (4096 tokens). Minimum is 16000.", false),
            ("429 slow down", false),
        ] {
            assert_eq!(is_context_overflow(message), expected, "{message}");
        }
    }
}
