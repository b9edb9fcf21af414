//! Times and durations as people type them, and the time as an agent is told it.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::base::clock::UnixMs;
use crate::base::text::duration_unit_ms;

/// Parses a moment: epoch milliseconds, or a date with or without a time and a zone; an ISO text without a zone is UTC.
///
/// compat: other texts are local time, as in the original, whose parser for these is JavaScript's.
pub fn parse_moment(text: &str) -> Option<UnixMs> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|&ms| ms > 0);
    }
    let in_zone = |at: DateTime, zone: TimeZone| zone.to_timestamp(at).ok();
    let with_zone = || text.parse::<Timestamp>().ok();
    let without_zone = || {
        // A date alone would be read as its midnight by the next parser, too, but in another zone.
        let zone = if text.contains([' ', '\t']) { TimeZone::system() } else { TimeZone::UTC };
        text.parse::<DateTime>().ok().and_then(|at| in_zone(at, zone))
    };
    let date = || text.parse::<Date>().ok().and_then(|date| in_zone(date.at(0, 0, 0, 0), TimeZone::UTC));
    let mail = || jiff::fmt::rfc2822::parse(text).ok().map(|at| at.timestamp());
    let at = with_zone().or_else(date).or_else(without_zone).or_else(mail)?;
    UnixMs::try_from(at.as_millisecond()).ok()
}

/// Parses `<number>(ms|s|m|h|d)` into milliseconds, at least one. A unit and digits are wanted here, so that no date or bare
/// number counts as a duration.
pub fn parse_duration(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let unit_ms = duration_unit_ms(unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let ms = number.parse::<f64>().ok()? * unit_ms;
    // Beyond 2^53 a number is no longer exact in JSON; nobody waits that long.
    (1.0..9e15).contains(&ms).then_some(ms as u64)
}

/// Returns the line that tells an agent the time: `Current time: Sunday, November 22nd, 2026 — 2:34 PM (UTC)`.
pub fn time_line(now_ms: UnixMs, zone_name: &str, is_24_hours: bool) -> String {
    let zone = TimeZone::get(zone_name).unwrap_or(TimeZone::UTC);
    let timestamp = i64::try_from(now_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let now = timestamp.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned_datetime(zone);
    let suffix = match now.day() {
        11..=13 => "th",
        day if day % 10 == 1 => "st",
        day if day % 10 == 2 => "nd",
        day if day % 10 == 3 => "rd",
        _ => "th",
    };
    let clock = if is_24_hours { "%H:%M" } else { "%-I:%M %p" };
    format!("Current time: {} ({zone_name})", now.strftime(&format!("%A, %B %-d{suffix}, %Y — {clock}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        for (text, ms) in [
            ("2031-01-01T00:00:00Z", Some(1_924_992_000_000)),
            (" 2031-01-01 ", Some(1_924_992_000_000)),
            ("2031-01-01T00:00", Some(1_924_992_000_000)),
            ("2031-01-01T02:00:00.500+02:00", Some(1_924_992_000_500)),
            ("2031-01-01T02:00:00+0200", Some(1_924_992_000_000)),
            ("Wed, 01 Jan 2031 00:00:00 GMT", Some(1_924_992_000_000)),
            ("1924992000000", Some(1_924_992_000_000)),
            ("0", None),
            ("", None),
            ("20m", None),
            ("soon", None),
            ("2031-13-01", None),
            ("1900-01-01", None),
        ] {
            assert_eq!(parse_moment(text), ms, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, ms) in [
            ("10m", Some(600_000)),
            (" 1.5H ", Some(5_400_000)),
            ("250ms", Some(250)),
            ("1d", Some(86_400_000)),
            ("0.5ms", None),
            ("0s", None),
            ("10", None),
            ("1.m", None),
            ("-5m", None),
            ("1e9d", None),
            ("inf s", None),
            ("m", None),
        ] {
            assert_eq!(parse_duration(text), ms, "{text}");
        }
    }

    #[test]
    fn time_for_agents() {
        let at = 1_795_358_040_000;
        assert_eq!(time_line(at, "UTC", false), "Current time: Sunday, November 22nd, 2026 — 2:34 PM (UTC)");
        let line = time_line(at, "America/New_York", true);
        assert_eq!(line, "Current time: Sunday, November 22nd, 2026 — 09:34 (America/New_York)");
    }
}
