//! When a schedule comes up next: pure arithmetic over wall-clock milliseconds.
//!
//! Cron patterns are `croner`'s; `Local` shows it our calendar. When clocks are set forward, a fixed time that does not
//! exist comes up at the first moment after the gap; when they are set back, a fixed time comes up once, in the first
//! pass, and a repeated one (`*/15 * * * *`) in both.

use std::cmp::Ordering;

use croner::errors::CronError;
use croner::parser::{CronParser, Year};
use croner::time::{CivilDateTime, CronDateTime, Resolution, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ZonedDateTime, civil};

use crate::base::clock::UnixMs;
use crate::base::text::unless_blank;
use crate::protocol::cron::CronSchedule;

/// Shortest period that is kept; a shorter one would do nothing but run.
const PERIOD_MS_MIN: u64 = 1000;
/// Longest cron expression that is looked at, in bytes.
const EXPRESSION_LEN_MAX: usize = 1000;

/// Returns when the schedule comes up next, from `now_ms` on; `None` when it never does.
///
/// A cron expression comes up strictly after `now_ms`; a one-shot schedule at its moment, also one in the past.
///
/// # Errors
/// What is wrong with the expression or the zone, worded as the original's library does.
pub fn next(schedule: &CronSchedule, now_ms: UnixMs) -> Result<Option<UnixMs>, String> {
    match schedule {
        CronSchedule::At { at_ms, .. } => Ok(Some(*at_ms)),
        CronSchedule::Every { every_ms, anchor_ms, .. } => Ok(Some(next_period(*every_ms, *anchor_ms, now_ms))),
        CronSchedule::Cron { expr, tz, .. } => next_match(expr, tz.as_deref(), now_ms),
    }
}

/// Returns the smallest anchor + n periods (n ≥ 1) that is not before now, or the anchor while it lies ahead.
fn next_period(every_ms: u64, anchor_ms: Option<u64>, now_ms: UnixMs) -> UnixMs {
    let every_ms = every_ms.max(PERIOD_MS_MIN);
    let anchor_ms = anchor_ms.unwrap_or(now_ms);
    if now_ms < anchor_ms {
        return anchor_ms;
    }
    let periods = (now_ms - anchor_ms).div_ceil(every_ms).max(1);
    anchor_ms.saturating_add(periods.saturating_mul(every_ms))
}

fn next_match(expr: &str, tz: Option<&str>, now_ms: UnixMs) -> Result<Option<UnixMs>, String> {
    let expr = expr.trim();
    if expr.len() > EXPRESSION_LEN_MAX {
        return Err(format!("RangeError: CronPattern: expression is longer than {EXPRESSION_LEN_MAX} characters"));
    }
    let cron = CronParser::builder().year(Year::Disallowed).build().parse(expr).map_err(|error| match error {
        CronError::InvalidPattern(_) | CronError::EmptyPattern => format!(
            "TypeError: CronPattern: invalid configuration format ('{expr}'), exactly five or six space separated \
             parts are required."
        ),
        error => format!("TypeError: CronPattern: {error}"),
    })?;
    let zone = match tz.and_then(unless_blank) {
        None => TimeZone::system(),
        Some(name) => TimeZone::get(name).map_err(|_| format!("RangeError: Invalid time zone specified: {name}"))?,
    };
    let now = i64::try_from(now_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let Some(now) = now else { return Ok(None) };
    match cron.find_next_occurrence(&Local(now.to_zoned_datetime(zone)), false) {
        Ok(Local(next)) => Ok(UnixMs::try_from(next.timestamp().as_millisecond()).ok()),
        // The expression is one, but no day is like it: 31 February.
        Err(_) => Ok(None),
    }
}

/// A moment in a zone, as `croner` looks at it.
#[derive(Debug, Clone)]
struct Local(ZonedDateTime);

impl CronDateTime for Local {
    fn to_civil(&self) -> CivilDateTime {
        let at = self.0.datetime();
        let part = |part: i8| u32::from(part.unsigned_abs());
        CivilDateTime::from_ymd_hms_opt(
            i32::from(at.year()),
            part(at.month()),
            part(at.day()),
            part(at.hour()),
            part(at.minute()),
            part(at.second()),
        )
        .expect("a date of one calendar is a date of the other")
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(u32::from(self.0.weekday().to_sunday_zero_offset().unsigned_abs()))
    }

    fn resolve_civil(&self, at: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let part = |part: u32| i8::try_from(part).map_err(|_| CronError::InvalidDate);
        let year = i16::try_from(at.year()).map_err(|_| CronError::InvalidDate)?;
        let (month, day) = (part(at.month())?, part(at.day())?);
        let (hour, minute, second) = (part(at.hour())?, part(at.minute())?, part(at.second())?);
        let at = civil::DateTime::new(year, month, day, hour, minute, second, 0).map_err(|_| CronError::InvalidDate)?;
        let found = self.0.time_zone().to_ambiguous_zoned_datetime(at);
        let local = |found: Result<ZonedDateTime, jiff::Error>| found.map(Local).map_err(|_| CronError::InvalidTime);
        Ok(match found.offset() {
            AmbiguousOffset::Unambiguous { .. } => Resolution::Single(local(found.unambiguous())?),
            AmbiguousOffset::Fold { .. } => {
                Resolution::Ambiguous(local(found.clone().earlier())?, local(found.later())?)
            }
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Local)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::iso_utc;
    use crate::base::rng::SeededRng;
    use crate::cron::when::parse_moment;

    fn cron(expr: &str, tz: &str, now: &str) -> Result<Option<String>, String> {
        next_match(expr, Some(tz), parse_moment(now).expect("a moment")).map(|next| next.map(iso_utc))
    }

    fn check(expr: &str, tz: &str, now: &str, expected: &str) {
        assert_eq!(cron(expr, tz, now), Ok(Some(format!("{expected}:00.000Z"))), "{expr} in {tz} after {now}");
    }

    #[test]
    fn expressions() {
        let now = "2026-03-29T00:30:00Z";
        check("* * * * *", "UTC", now, "2026-03-29T00:31");
        check("@daily", "UTC", now, "2026-03-30T00:00");
        check("0 9 L * *", "UTC", now, "2026-03-31T09:00");
        check("0 9 * * MON#2", "UTC", now, "2026-04-13T09:00");
        check("0 9 1 * MON", "UTC", now, "2026-03-30T09:00");
        check("0 0 7 * * *", "Asia/Tokyo", now, "2026-03-29T22:00");
        check("30 9 * * *", "asia/kolkata", now, "2026-03-29T04:00");
        assert_eq!(cron("*/20 * * * * *", "UTC", now), Ok(Some("2026-03-29T00:30:20.000Z".to_owned())));
        for never in ["0 0 31 2 *", "59 59 23 30 FEB *", "0 0 30 2 +MON"] {
            assert_eq!(cron(never, "UTC", now), Ok(None), "{never}");
        }
    }

    /// Clocks jump from 02:00 to 03:00 on 2026-03-29 in Berlin and on 2026-03-08 in New York.
    #[test]
    fn clocks_set_forward() {
        check("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", "2026-03-29T01:00");
        check("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00Z", "2026-03-30T00:30");
        check("30 3 * * *", "Europe/Berlin", "2026-03-28T12:00Z", "2026-03-29T01:30");
        check("30 2 * * *", "America/New_York", "2026-03-08T05:00Z", "2026-03-08T07:00");
        check("*/15 * * * *", "America/New_York", "2026-03-08T06:50Z", "2026-03-08T07:00");
        check("0 0 * * *", "America/New_York", "2026-03-08T12:00Z", "2026-03-09T04:00");
    }

    /// Clocks are set back from 03:00 to 02:00 on 2026-10-25 in Berlin, and by half an hour in April on Lord Howe Island.
    #[test]
    fn clocks_set_back() {
        check("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", "2026-10-25T00:30");
        check("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30Z", "2026-10-26T01:30");
        check("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:30Z", "2026-10-25T01:00");
        check("*/30 * * * *", "Europe/Berlin", "2026-10-25T01:00Z", "2026-10-25T01:30");
        check("30 1 * * *", "America/New_York", "2026-11-01T04:00Z", "2026-11-01T05:30");
        check("30 1 * * *", "America/New_York", "2026-11-01T05:30Z", "2026-11-02T06:30");
        check("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00Z", "2026-04-04T14:45");
        check("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T14:45Z", "2026-04-05T15:15");
    }

    #[test]
    fn mistakes_are_named() {
        let count = |expr: &str| {
            format!(
                "TypeError: CronPattern: invalid configuration format ('{expr}'), exactly five or six space separated \
                 parts are required."
            )
        };
        for (expr, tz, expected) in [
            ("not a cron", "", count("not a cron")),
            ("1 2 3 4 5 6 7", "", count("1 2 3 4 5 6 7")),
            ("@foo", "", count("@foo")),
            ("", "", count("")),
            ("* * * * *", "Foo/Bar", "RangeError: Invalid time zone specified: Foo/Bar".to_owned()),
        ] {
            assert_eq!(next_match(expr, Some(tz), 0), Err(expected));
        }
        for expr in ["61 * * * *", "a b c d e", "*/0 * * * *", "5-1 * * * *"] {
            let error = next_match(expr, None, 0).expect_err(expr);
            assert!(error.starts_with("TypeError: CronPattern: "), "{expr}: {error}");
        }
        assert!(next_match(&"1,".repeat(1000), None, 0).is_err());
    }

    #[test]
    fn periods() {
        for (every, anchor, now, expected) in [
            (60_000, None, 5, 60_005),
            (60_000, Some(100), 5, 100),
            (60_000, Some(100), 100, 60_100),
            (60_000, Some(100), 60_100, 60_100),
            (60_000, Some(100), 60_101, 120_100),
            (1, None, 5, 1005),
            (u64::MAX, None, 5, u64::MAX),
        ] {
            assert_eq!(next_period(every, anchor, now), expected, "{every} {anchor:?} {now}");
        }
    }

    /// Whatever a client sends as an expression is answered, and the answer lies ahead.
    #[test]
    fn any_text_is_survived() {
        const PIECES: [&str; 18] =
            ["*", "/", "-", ",", " ", " ", " ", "0", "1", "7", "31", "59", "L", "W", "#", "MON", "?", "é"];
        let now_ms = 1_795_353_648_869;
        for seed in crate::base::rng::testing::seeds(256) {
            let rng = SeededRng::new(seed);
            let piece = |_| PIECES[usize::try_from(rng.below(PIECES.len() as u64)).expect("small")];
            let wild: String = (0..rng.below(24)).map(piece).collect();
            let field = |_| format!("{}{}", piece(0), piece(0));
            let near: Vec<String> = (0..5).map(field).collect();
            for expr in [wild, near.join(" ")] {
                if let Ok(Some(next)) = next_match(&expr, Some("Europe/Berlin"), now_ms) {
                    assert!(next > now_ms, "SIM_SEED={seed}: {expr}");
                }
            }
        }
    }
}
