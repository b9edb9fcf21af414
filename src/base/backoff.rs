//! Retry schedules: exponential growth with a cap and jitter.

use std::time::Duration;

use super::rng::Rng;

/// An exponential schedule; [`Backoff::next_delay`] grows it, [`Backoff::reset`] starts it over.
#[derive(Debug, Clone)]
pub struct Backoff {
    /// First delay.
    pub initial: Duration,
    /// Largest delay before jitter.
    pub max: Duration,
    /// Growth per attempt.
    pub factor: f64,
    /// Share of the delay that is random, 0.0–1.0.
    pub jitter: f64,
    attempt: u32,
}

impl Backoff {
    /// Returns a schedule that has not begun.
    pub fn new(initial: Duration, max: Duration, factor: f64, jitter: f64) -> Self {
        Self { initial, max, factor, jitter, attempt: 0 }
    }

    /// Returns how many delays were handed out since the last reset.
    pub fn attempts(&self) -> u32 {
        self.attempt
    }

    /// Returns the next delay.
    pub fn next_delay(&mut self, rng: &dyn Rng) -> Duration {
        let exponent = i32::try_from(self.attempt.min(64)).expect("at most 64");
        let grown = (self.initial.as_secs_f64() * self.factor.powi(exponent)).min(self.max.as_secs_f64());
        self.attempt = self.attempt.saturating_add(1);
        let mut byte = [0_u8; 2];
        rng.fill(&mut byte);
        let unit = f64::from(u16::from_le_bytes(byte)) / f64::from(u16::MAX);
        Duration::from_secs_f64(grown * (1.0 + self.jitter * (unit * 2.0 - 1.0)).max(0.0))
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::SeededRng;

    #[test]
    fn doubles_up_to_the_cap() {
        let rng = SeededRng::new(3);
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5), 2.0, 0.0);
        let delays: Vec<u64> = (0..4).map(|_| backoff.next_delay(&rng).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 5]);
        backoff.reset();
        assert_eq!(backoff.next_delay(&rng).as_secs(), 1);
    }
}
