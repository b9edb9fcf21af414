//! Rules of heartbeats: when an agent is left alone, and what counts as «nothing to report» (agent.md §17).
//!
//! Pure functions over texts and times. Not here: settings and runs (`gateway::heartbeat`).

use crate::base::clock::{UnixMs, minute_of_day};

/// What an agent answers that has nothing to report.
pub const TOKEN: &str = "HEARTBEAT_OK";

/// When heartbeats are allowed, in minutes of the day; a window may wrap midnight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveHours {
    start: u16,
    end: u16,
    zone: Option<String>,
}

impl ActiveHours {
    /// Reads `HH:MM` and `HH:MM` (the end may be `24:00`); `None`, and so always active, when either is unreadable or
    /// both are equal. `zone` is an IANA name; `None` is the host's.
    pub fn parse(start: Option<&str>, end: Option<&str>, zone: Option<&str>) -> Option<Self> {
        let (start, end) = (minutes(start?, false)?, minutes(end?, true)?);
        (start != end).then(|| Self { start, end, zone: zone.map(str::to_owned) })
    }

    /// Returns whether `now_ms` lies in the window; the start does, the end does not.
    pub fn contains(&self, now_ms: UnixMs) -> bool {
        let now = minute_of_day(now_ms, self.zone.as_deref());
        if self.start < self.end { (self.start..self.end).contains(&now) } else { now >= self.start || now < self.end }
    }
}

fn minutes(text: &str, is_end: bool) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let total = hours.checked_mul(60)?.checked_add(minutes)?;
    let is_valid = minutes < 60 && (hours < 24 || (is_end && total == 24 * 60));
    is_valid.then_some(total)
}

/// Returns whether a HEARTBEAT.md asks for nothing: blank lines, headings and empty list items only.
pub fn is_empty_file(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| {
        let is_heading = line.starts_with('#') && line.trim_start_matches('#').starts_with([' ', '\t']);
        let rest = line.trim_start_matches(['-', '*', '+']).trim();
        let is_item = rest.len() < line.len() && matches!(rest, "" | "[ ]" | "[x]" | "[X]" | "[]");
        line.is_empty() || is_heading || line.chars().all(|c| c == '#') || is_item
    })
}

/// How long the same words are not said again.
const REPEAT_MS: UnixMs = 24 * 60 * 60_000;

/// Returns whether a text is what was said last, at `last_at`, and not long ago.
pub fn is_repeated(text: &str, last: Option<&str>, last_at: UnixMs, now_ms: UnixMs) -> bool {
    let is_recent = now_ms.saturating_sub(last_at) < REPEAT_MS;
    is_recent && last.is_some_and(|last| !last.trim().is_empty() && last.trim() == text.trim())
}

/// What is left of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Nothing at all was said.
    Empty,
    /// Nothing to report; the token stood there.
    Acknowledged,
    /// Something for the user.
    Text(String),
}

/// Takes the token from both ends, also inside markup and repeated. An answer that had it and says little else (at most
/// `ack_chars_max` characters) is an acknowledgement; a token in the middle of a text is left alone.
pub fn report(answer: &str, ack_chars_max: usize) -> Report {
    let answer = answer.trim();
    if answer.is_empty() {
        return Report::Empty;
    }
    let mut rest = answer;
    let mut had_token = false;
    loop {
        let bare = strip_markup(rest.trim_end_matches(['.', '!']));
        let cut = bare.strip_prefix(TOKEN).or_else(|| bare.strip_suffix(TOKEN));
        let Some(cut) = cut else { break };
        had_token = true;
        rest = cut.trim().trim_start_matches(['.', '!', ',', ':']).trim();
    }
    let left = strip_markup(rest);
    if had_token && left.chars().count() <= ack_chars_max {
        return Report::Acknowledged;
    }
    Report::Text(if had_token { rest } else { answer }.to_owned())
}

/// Removes markup that wraps a whole text: `**…**`, `` `…` ``, `<b>…</b>`.
fn strip_markup(text: &str) -> &str {
    let mut text = text.trim();
    loop {
        let bare = text.trim_matches(['*', '_', '`', '~']).trim();
        let bare = match (bare.strip_prefix('<'), bare.rfind("</")) {
            (Some(open), Some(close)) if bare.ends_with('>') => match open.find('>') {
                Some(end) if end + 2 <= close => bare[end + 2..close].trim(),
                _ => bare,
            },
            _ => bare,
        };
        if bare.len() == text.len() {
            return text;
        }
        text = bare;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        let noon = 12 * 3_600_000;
        for (start, end, at, expected) in [
            ("08:00", "22:00", noon, Some(true)),
            ("12:00", "12:30", noon, Some(true)),
            ("11:00", "12:00", noon, Some(false)),
            ("22:00", "08:00", noon, Some(false)),
            ("22:00", "08:00", 23 * 3_600_000, Some(true)),
            ("00:00", "24:00", noon, Some(true)),
            ("12:00", "12:00", noon, None),
            ("24:00", "12:00", noon, None),
            ("x", "12:00", noon, None),
        ] {
            let hours = ActiveHours::parse(Some(start), Some(end), Some("UTC"));
            assert_eq!(hours.map(|hours| hours.contains(at)), expected, "{start}-{end}");
        }
        assert_eq!(ActiveHours::parse(Some("08:00"), None, None), None);
    }

    #[test]
    fn the_same_words_are_said_once_a_day() {
        let day = REPEAT_MS;
        for (text, last, last_at, expected) in [
            ("Mail!", Some(" Mail!\n"), 1, true),
            ("Mail!", Some("Mail!"), day + 5, true),
            ("Mail!", Some("No mail."), day, false),
            ("Mail!", None, day, false),
            ("", Some(""), day, false),
        ] {
            assert_eq!(is_repeated(text, last, last_at, day), expected, "{text} {last:?} {last_at}");
        }
        assert!(!is_repeated("Mail!", Some("Mail!"), 1, day + 1));
    }

    #[test]
    fn files_that_ask_for_nothing() {
        for text in ["", "# HEARTBEAT.md\n\n", "## Tasks\n- \n* [ ]\n"] {
            assert!(is_empty_file(text), "{text:?}");
        }
        for text in ["check the mail", "# H\n- water the plants", "#hashtag"] {
            assert!(!is_empty_file(text), "{text:?}");
        }
    }

    #[test]
    fn answers() {
        let long = "x".repeat(40);
        for (answer, expected) in [
            ("", Report::Empty),
            ("HEARTBEAT_OK", Report::Acknowledged),
            ("**HEARTBEAT_OK**", Report::Acknowledged),
            ("<b>HEARTBEAT_OK</b>.", Report::Acknowledged),
            ("HEARTBEAT_OK HEARTBEAT_OK", Report::Acknowledged),
            ("All quiet. HEARTBEAT_OK", Report::Acknowledged),
            ("The word HEARTBEAT_OK is a token", Report::Text("The word HEARTBEAT_OK is a token".into())),
            ("Mail from Ann\n- urgent", Report::Text("Mail from Ann\n- urgent".into())),
        ] {
            assert_eq!(report(answer, 30), expected, "{answer}");
        }
        assert_eq!(report(&format!("HEARTBEAT_OK {long}"), 30), Report::Text(long));
    }
}
