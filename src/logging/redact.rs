//! Masks secrets in log lines (cli.md §23.4).
//!
//! Patterns are compiled when a line that may hold a secret is first seen: most lines never cost a match.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use regex_lite::{Captures, Regex};

/// Names, lower case, whose value is a secret when one is given.
const NAMES: [&str; 6] = ["token", "secret", "password", "passwd", "key", "bottoken"];
/// Beginnings, lower case, of secrets that need no name.
const PREFIXES: [&str; 10] = ["bearer ", "sk-", "ghp_", "github_pat_", "xox", "xapp-", "gsk_", "aiza", "pplx-", "npm_"];

const PATTERNS: [&str; 6] = [
    r#"(?i)\b[A-Z0-9_]*(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD)\b\s*[=:]\s*["']?([^\s"'\\,;]+)"#,
    r#"(?i)"(?:api_?key|token|secret|password|passwd|access_?token|refresh_?token|bottoken)"\s*:\s*"([^"]+)""#,
    r#"(?i)--(?:api-?key|token|secret|password|passwd)[=\s]+["']?([^\s"']+)"#,
    r"(?i)\bBearer\s+([A-Za-z0-9._\-+/=]{8,})",
    r"\b((?:sk-|ghp_|github_pat_|gsk_|AIza|pplx-|npm_|xox[baprs]-|xapp-)[A-Za-z0-9_\-]{8,})",
    r"\b(\d{6,}:[A-Za-z0-9_\-]{20,})\b",
];

#[derive(Default)]
struct Redactor {
    is_off: bool,
    custom: Option<Vec<String>>,
    compiled: Mutex<Option<Arc<Vec<Regex>>>>,
}

fn redactor() -> &'static RwLock<Redactor> {
    static REDACTOR: OnceLock<RwLock<Redactor>> = OnceLock::new();
    REDACTOR.get_or_init(RwLock::default)
}

/// Sets what is masked from now on; `None` keeps the built-in patterns.
pub fn set_patterns(is_redacting: bool, patterns: Option<Vec<String>>) {
    *redactor().write().unwrap_or_else(PoisonError::into_inner) =
        Redactor { is_off: !is_redacting, custom: patterns, compiled: Mutex::default() };
}

/// Returns `text` with secrets masked.
pub fn redact(text: &str) -> String {
    let redactor = redactor().read().unwrap_or_else(PoisonError::into_inner);
    if redactor.is_off || (redactor.custom.is_none() && !may_hold_secret(text)) {
        return text.to_owned();
    }
    let patterns = redactor
        .compiled
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_with(|| Arc::new(compile(redactor.custom.as_deref())))
        .clone();
    patterns.iter().fold(text.to_owned(), |text, pattern| {
        pattern.replace_all(&text, |found: &Captures<'_>| mask_group(found)).into_owned()
    })
}

/// Tells in a few scans whether a built-in pattern can match at all.
fn may_hold_secret(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_given = |at: usize, name: &str| {
        let after = lower[at + name.len()..].trim_start_matches(['"', ' ', '\t']);
        after.starts_with(['=', ':'])
            || lower[..at].ends_with("--")
            || lower[..at].ends_with("--api-")
            || lower[..at].ends_with("--api")
    };
    // A Telegram bot token has no word in it: six digits and a colon.
    let is_bot_token = |at: usize| at >= 6 && lower.as_bytes()[at - 6..at].iter().all(u8::is_ascii_digit);
    NAMES.iter().any(|name| lower.match_indices(name).any(|(at, _)| is_given(at, name)))
        || PREFIXES.iter().any(|prefix| lower.contains(prefix))
        || lower.match_indices(':').any(|(at, _)| is_bot_token(at))
}

fn compile(custom: Option<&[String]>) -> Vec<Regex> {
    match custom {
        None => {
            PATTERNS.iter().map(|pattern| Regex::new(pattern).expect("built-in patterns compile (tested)")).collect()
        }
        Some(patterns) => patterns.iter().filter_map(|pattern| compile_custom(pattern)).collect(),
    }
}

/// `/re/flags` or a plain expression, always case-insensitive.
fn compile_custom(pattern: &str) -> Option<Regex> {
    let body = pattern.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')).map_or(pattern, |(body, _)| body);
    Regex::new(&format!("(?i){body}")).ok()
}

/// Masks the first group, or the whole match when the pattern has none.
fn mask_group(found: &Captures<'_>) -> String {
    let whole = found.get(0).expect("group 0 is the match");
    let secret = found.get(1).unwrap_or(whole);
    let (start, end) = (secret.start() - whole.start(), secret.end() - whole.start());
    format!("{}{}{}", &whole.as_str()[..start], mask(secret.as_str()), &whole.as_str()[end..])
}

/// Returns a secret as it may be shown: the ends of a long one, nothing of a short one.
pub fn mask(secret: &str) -> String {
    let chars: Vec<char> = secret.chars().collect();
    if chars.len() < 18 {
        return "***".to_owned();
    }
    let head: String = chars[..6].iter().collect();
    let tail: String = chars[chars.len() - 4..].iter().collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_secrets_and_nothing_else() {
        for (text, expected) in [
            ("GATEWAY_TOKEN=abc", "GATEWAY_TOKEN=***"),
            (r#"{"token":"0123456789abcdefghij"}"#, r#"{"token":"012345…ghij"}"#),
            ("run --token tok --port 1", "run --token *** --port 1"),
            ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer ***"),
            ("key sk-abcdefghijklmnopqrstuv", "key sk-abc…stuv"),
            ("bot 123456789:ABCDEFGHIJKLMNOPQRSTUVWX ends", "bot 123456…UVWX ends"),
            ("nothing to hide: tokens used 12", "nothing to hide: tokens used 12"),
        ] {
            assert_eq!(redact(text), expected);
        }
    }
}
