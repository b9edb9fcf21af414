//! Time as a value: wall clock and monotonic clock behind one trait, and the formats of the product.
//!
//! Everything that stores or shows a time takes a [`Clock`]; tests hand in [`ManualClock`].

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, as the wire and every state file carry them.
pub type UnixMs = u64;

/// A source of time.
pub trait Clock: Send + Sync {
    /// Returns the wall time in milliseconds since the Unix epoch.
    fn now_ms(&self) -> UnixMs;
    /// Returns the monotonic time, for durations and deadlines.
    fn now(&self) -> Instant;
}

/// The operating system's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> UnixMs {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as UnixMs)
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that moves only when told, for tests.
#[derive(Debug)]
pub struct ManualClock {
    start: Instant,
    start_ms: UnixMs,
    elapsed: Mutex<Duration>,
}

impl ManualClock {
    /// Returns a clock that stands at `start_ms`.
    pub fn new(start_ms: UnixMs) -> Self {
        Self { start: Instant::now(), start_ms, elapsed: Mutex::new(Duration::ZERO) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        *self.elapsed.lock().expect("no panic under this lock") += by;
    }

    fn elapsed(&self) -> Duration {
        *self.elapsed.lock().expect("no panic under this lock")
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> UnixMs {
        self.start_ms + self.elapsed().as_millis() as UnixMs
    }

    fn now(&self) -> Instant {
        self.start + self.elapsed()
    }
}

/// Formats as ISO 8601 in UTC with milliseconds: `2026-11-23T18:55:00.123Z`.
pub fn iso_utc(ms: UnixMs) -> String {
    let timestamp = timestamp(ms);
    timestamp.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// Reads an ISO 8601 time with its offset, such as [`iso_utc`] writes; `None` for anything else or before 1970.
pub fn parse_iso(text: &str) -> Option<UnixMs> {
    let timestamp: jiff::Timestamp = text.trim().parse().ok()?;
    u64::try_from(timestamp.as_millisecond()).ok()
}

/// Formats the local date as `2026-11-23`.
pub fn local_date(ms: UnixMs) -> String {
    local(ms).strftime("%Y-%m-%d").to_string()
}

/// Formats the local time of day as `18:55:00`.
pub fn local_time(ms: UnixMs) -> String {
    local(ms).strftime("%H:%M:%S").to_string()
}

/// Formats for people in an IANA zone, the host's when it is unknown: `Monday, 2026-11-23 — 18:55`.
pub fn zoned_text(ms: UnixMs, zone: &str) -> String {
    let zone = jiff::tz::TimeZone::get(zone).unwrap_or_else(|_| jiff::tz::TimeZone::system());
    timestamp(ms).to_zoned_datetime(zone).strftime("%A, %Y-%m-%d — %H:%M").to_string()
}

/// Formats as the head of a chat message shows it: `2026-11-23 18:55 CET` in an IANA zone or `local`, `2026-11-23T17:55Z` in
/// `utc` and when the zone is unknown.
pub fn envelope_time(ms: UnixMs, zone: &str) -> String {
    let zone = match zone.to_lowercase().as_str() {
        "local" | "host" | "" => Some(jiff::tz::TimeZone::system()),
        "utc" | "gmt" => None,
        _ => jiff::tz::TimeZone::get(zone).ok(),
    };
    match zone {
        Some(zone) => timestamp(ms).to_zoned_datetime(zone).strftime("%Y-%m-%d %H:%M %Z").to_string(),
        None => timestamp(ms).strftime("%Y-%m-%dT%H:%MZ").to_string(),
    }
}

/// Formats for the HTTP `Date` header: `Mon, 23 Nov 2026 18:55:00 GMT`.
pub fn http_date(ms: UnixMs) -> String {
    timestamp(ms).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Returns the minute of the day (0–1439) in an IANA zone; in the host's when none is given or the name is unknown.
pub fn minute_of_day(ms: UnixMs, zone: Option<&str>) -> u16 {
    let named = zone.and_then(|zone| jiff::tz::TimeZone::get(zone).ok());
    let zoned = timestamp(ms).to_zoned_datetime(named.unwrap_or_else(jiff::tz::TimeZone::system));
    u16::from(zoned.hour().unsigned_abs()) * 60 + u16::from(zoned.minute().unsigned_abs())
}

/// Returns the host's IANA zone name, `UTC` when it has none.
pub fn local_zone_name() -> String {
    jiff::tz::TimeZone::system().iana_name().unwrap_or("UTC").to_owned()
}

/// Returns the latest local time at or before `ms` at which the clock showed `hour`:00 (0–23).
pub fn last_local_hour(ms: UnixMs, hour: i8) -> UnixMs {
    let now = local(ms);
    let at =
        |date: jiff::civil::Date| date.at(hour.clamp(0, 23), 0, 0, 0).to_zoned_datetime(now.time_zone().clone()).ok();
    let today = at(now.date());
    let boundary = match today {
        Some(today) if today <= now => Some(today),
        _ => now.date().yesterday().ok().and_then(at),
    };
    boundary.map_or(0, |zoned| zoned.timestamp().as_millisecond().max(0) as UnixMs)
}

fn timestamp(ms: UnixMs) -> jiff::Timestamp {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

fn local(ms: UnixMs) -> jiff::ZonedDateTime {
    timestamp(ms).to_zoned_datetime(jiff::tz::TimeZone::system())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        assert_eq!(iso_utc(1_795_353_648_869), "2026-11-22T13:20:48.869Z");
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        for (text, ms) in [
            ("2026-11-22T13:20:48.869Z", Some(1_795_353_648_869)),
            ("2026-11-22T14:20:48.869+01:00", Some(1_795_353_648_869)),
            ("1969-12-31T23:59:59Z", None),
            ("2026-11-22", None),
        ] {
            assert_eq!(parse_iso(text), ms, "{text}");
        }
    }

    #[test]
    fn last_local_hour_is_within_a_day() {
        let now = 1_795_353_648_869;
        let boundary = last_local_hour(now, 4);
        assert!(boundary <= now && now - boundary <= 25 * 3_600_000, "{boundary}");
    }
}
