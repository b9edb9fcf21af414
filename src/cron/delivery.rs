//! What becomes of an isolated job's answer: its summary, whether and where it would be delivered, and the line for the
//! main session (agent.md §19). Pure.

use super::scheduler::Ended;
use crate::base::text::unless_blank;
use crate::heartbeat::{Report, report};
use crate::protocol::cron::{CronIsolation, CronPostMode, CronStatus, CronTurn};

/// Longest summary, in characters.
const SUMMARY_CHARS_MAX: usize = 2000;
/// Longest text of mode full, in characters, unless the job says otherwise.
const FULL_CHARS_MAX: u64 = 8000;

/// Where the agent's main session was last answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastRoute {
    /// Channel.
    pub channel: Option<String>,
    /// Recipient.
    pub to: Option<String>,
}

/// Returns how a run ends whose agent said `texts`; `deliver` promises to send what is to be sent, or says why it cannot.
pub fn ended(
    texts: &[String],
    turn: &CronTurn,
    last: &LastRoute,
    ack_chars_max: usize,
    deliver: &mut dyn FnMut(Vec<String>) -> Result<(), String>,
) -> Ended {
    let summary = full_text(texts).map(|text| shorten(text, SUMMARY_CHARS_MAX));
    let has_to = |to: &Option<String>| to.as_deref().is_some_and(|to| !to.trim().is_empty());
    let is_wanted = turn.deliver.unwrap_or_else(|| has_to(&turn.to));
    let says_something = |text: &&String| matches!(report(text, ack_chars_max), Report::Text(_));
    if !is_wanted || !texts.iter().any(|text| says_something(&text)) {
        return Ended { status: CronStatus::Ok, error: None, summary };
    }
    let delivered = match has_to(&turn.to) || has_to(&last.to) {
        true => deliver(texts.iter().filter(|text| !text.trim().is_empty()).cloned().collect()),
        false => Err("Cron delivery requires a recipient (--to).".to_owned()),
    };
    let Err(reason) = delivered else { return Ended { status: CronStatus::Ok, error: None, summary } };
    if turn.best_effort_deliver == Some(true) {
        let summary = Some(format!("Delivery skipped ({reason})."));
        return Ended { status: CronStatus::Skipped, error: None, summary };
    }
    Ended { status: CronStatus::Error, error: Some(reason), summary }
}

/// Returns the line that tells the main session.
pub fn post(isolation: Option<&CronIsolation>, ended: &Ended, texts: &[String]) -> String {
    let default = CronIsolation::default();
    let isolation = isolation.unwrap_or(&default);
    let prefix = isolation.post_to_main_prefix.as_deref().and_then(unless_blank);
    let status = match ended.status {
        CronStatus::Ok => String::new(),
        status => format!(" ({})", status.as_str()),
    };
    let summary = ended.summary.as_deref().or(ended.error.as_deref()).unwrap_or(ended.status.as_str()).trim();
    let body = match (isolation.post_to_main_mode, full_text(texts)) {
        (Some(CronPostMode::Full), Some(text)) => {
            let chars_max = isolation.post_to_main_max_chars.unwrap_or(FULL_CHARS_MAX);
            shorten(text, usize::try_from(chars_max).unwrap_or(usize::MAX))
        }
        _ => summary.to_owned(),
    };
    format!("{}{status}: {body}", prefix.unwrap_or("Cron"))
}

/// Returns the last thing that was said.
fn full_text(texts: &[String]) -> Option<&str> {
    texts.iter().rev().map(|text| text.trim()).find(|text| !text.is_empty())
}

fn shorten(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn check(said: &[&str], turn: CronTurn, last_to: Option<&str>, expected: (CronStatus, Option<&str>, Option<&str>)) {
        let last = LastRoute { channel: Some("telegram".to_owned()), to: last_to.map(str::to_owned) };
        let mut refuse = |_| Err("Unsupported channel: telegram".to_owned());
        let ended = ended(&texts(said), &turn, &last, 300, &mut refuse);
        assert_eq!((ended.status, ended.error.as_deref(), ended.summary.as_deref()), expected, "{said:?} {turn:?}");
    }

    #[test]
    fn deliveries() {
        use CronStatus::{Error, Ok, Skipped};
        let turn = CronTurn::default;
        let to = || CronTurn { to: Some("+1".to_owned()), ..turn() };
        let asked = || CronTurn { deliver: Some(true), ..turn() };
        check(&["one", "two", " "], turn(), None, (Ok, None, Some("two")));
        check(&[], asked(), None, (Ok, None, None));
        check(&["hi"], asked(), None, (Error, Some("Cron delivery requires a recipient (--to)."), Some("hi")));
        check(&["hi"], asked(), Some("+2"), (Error, Some("Unsupported channel: telegram"), Some("hi")));
        let mut sent = Vec::new();
        let mut send = |texts: Vec<String>| {
            sent = texts;
            Result::Ok(())
        };
        let ended = ended(&texts(&["one", " ", "two"]), &to(), &LastRoute::default(), 300, &mut send);
        assert_eq!((ended.status, sent), (Ok, texts(&["one", "two"])));
        check(&["hi"], CronTurn { deliver: Some(false), ..to() }, None, (Ok, None, Some("hi")));
        check(&["**HEARTBEAT_OK** all is well"], to(), None, (Ok, None, Some("**HEARTBEAT_OK** all is well")));
        let summary = "Delivery skipped (Unsupported channel: telegram).";
        check(&["hi"], CronTurn { best_effort_deliver: Some(true), ..to() }, None, (Skipped, None, Some(summary)));
    }

    #[test]
    fn posts() {
        let said = texts(&["a long answer"]);
        let ok = Ended { status: CronStatus::Ok, error: None, summary: Some("short".to_owned()) };
        assert_eq!(post(None, &ok, &said), "Cron: short");
        let full = CronIsolation {
            post_to_main_prefix: Some(" News ".to_owned()),
            post_to_main_mode: Some(CronPostMode::Full),
            post_to_main_max_chars: Some(6),
            ..CronIsolation::default()
        };
        assert_eq!(post(Some(&full), &ok, &said), "News: a long…");
        assert_eq!(post(Some(&full), &Ended::error("no model"), &[]), "News (error): no model");
        let skipped = Ended { status: CronStatus::Skipped, error: None, summary: None };
        assert_eq!(post(None, &skipped, &[]), "Cron (skipped): skipped");
    }
}
