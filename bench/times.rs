//! Numbers out of many: percentiles of times, the middle of turns and how far the turns lie apart.

use std::time::Duration;

/// Times of one kind, sorted.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Sorts them.
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// Gives them back, sorted.
    pub fn into_inner(self) -> Vec<Duration> {
        self.0
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time in ms that so many of a hundred did not exceed; no number when there are none.
    pub fn percentile_ms(&self, percent: usize) -> f64 {
        let index = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(index).map_or(f64::NAN, |time| millis(*time))
    }
}

/// A duration in ms.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The middle one; of an even number, the upper of the two in the middle.
pub fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How far the values lie apart, as a share of the middle one. Of five or more, the two farthest out do not count: what
/// disturbs the machine once is no property of the gateway.
pub fn spread(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let inner = if sorted.len() >= 5 { &sorted[1..sorted.len() - 1] } else { &sorted[..] };
    let (Some(lowest), Some(highest)) = (inner.first(), inner.last()) else { return 0.0 };
    let middle = middle(values).abs();
    if middle > 0.0 { (highest - lowest) / middle } else { 0.0 }
}
