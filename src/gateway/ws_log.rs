//! One line per request for the operator (cli.md §23.3): failures and slow ones always, all of them with `--verbose`.

use std::time::Duration;

use serde_json::Value;

use super::ticket::Outcome;

/// From here on a response counts as slow.
const SLOW: Duration = Duration::from_millis(50);
/// Longest value shown, in characters.
const VALUE_CHARS_MAX: usize = 240;

/// Returns whether all responses are logged, not failures and slow ones alone.
pub fn is_verbose() -> bool {
    log::log_enabled!(target: "gateway/ws", log::Level::Debug)
}

/// Logs how a request was answered.
pub fn response(method: &str, outcome: &Outcome, took: Duration, conn_id: &str, id: &Value) {
    let (mark, failure) = match outcome {
        Outcome::Ok(_) | Outcome::Text(_) => ('✓', String::new()),
        Outcome::Err { error, .. } => {
            let message = crate::base::text::ellipsize(&error.message, VALUE_CHARS_MAX);
            ('✗', format!(" errorCode={:?} errorMessage={message}", error.code))
        }
    };
    let level = if failure.is_empty() && took < SLOW { log::Level::Debug } else { log::Level::Info };
    let id = id.as_str().unwrap_or_default();
    log::log!(
        target: "gateway/ws", level,
        "⇄ res {mark} {method} {}ms{failure} conn={} id={}", took.as_millis(), short(conn_id), short(id),
    );
}

/// UUIDs as first 8 + `…` + last 4, other long ids as first 12 + `…` + last 4.
fn short(id: &str) -> String {
    let is_uuid = id.len() == 36 && id.bytes().filter(|&byte| byte == b'-').count() == 4;
    let head = match id.len() {
        36 if is_uuid => 8,
        0..=24 => return id.to_owned(),
        _ => 12,
    };
    let head: String = id.chars().take(head).collect();
    format!("{head}…{}", crate::base::text::tail_chars(id, 4))
}
