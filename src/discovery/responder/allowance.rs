//! How many answers may go to single askers: some at once, and then as many as time gives back. Sans-IO.
//!
//! What is said to all has a pace of its own (RFC 6762 §6); an answer to one goes to whatever address the question claims to
//! come from, which may be somebody's who asked nothing.

use std::time::{Duration, Instant};

/// Answers at once.
pub(super) const ANSWERS_MAX: u32 = 20;
/// After this time there is one more.
pub(super) const GIVEN_BACK: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u32,
    /// When the last one was given back.
    since: Instant,
}

impl Allowance {
    /// Returns a whole one.
    pub(super) fn whole(now: Instant) -> Self {
        Self { left: ANSWERS_MAX, since: now }
    }

    /// Takes one; returns whether there was one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since).as_millis() / GIVEN_BACK.as_millis();
        match u32::try_from(passed) {
            Ok(given) if given < ANSWERS_MAX - self.left => {
                self.left += given;
                self.since += GIVEN_BACK * given;
            }
            // What nobody took is not kept beyond the whole.
            _ => *self = Self::whole(now),
        }
        let is_left = self.left > 0;
        self.left -= u32::from(is_left);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock as _, SystemClock};

    #[test]
    fn comes_back_with_time_and_not_beyond_the_whole() {
        let start = SystemClock.now();
        let mut allowance = Allowance::whole(start);
        let mut taken = |after_ms: u64, tries: u32| {
            let now = start + Duration::from_millis(after_ms);
            (0..tries).filter(|_| allowance.take(now)).count()
        };
        assert_eq!(taken(0, 100), 20);
        assert_eq!(taken(99, 5), 0);
        assert_eq!(taken(150, 5), 1);
        assert_eq!(taken(199, 5), 0, "what is begun of the next one stays");
        assert_eq!(taken(200, 5), 1);
        assert_eq!(taken(1200, 5), 5);
        assert_eq!(taken(1200, 100), 5);
        assert_eq!(taken(3_600_000, 100), 20);
        assert_eq!(taken(3_600_000, 1), 0);
        // A flood of a minute gets what the minute gives.
        let flood: usize = (1..=60_000).map(|ms| taken(3_600_000 + ms, 1)).sum();
        assert_eq!(flood, 600);
    }
}
