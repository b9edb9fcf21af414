//! Counting: how often something happened, and how long it took. Any thread, no lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of a histogram's buckets, in microseconds; what takes longer is in none of them.
pub const BUCKETS_US: [u64; 9] = [100, 500, 2_000, 10_000, 50_000, 250_000, 1_000_000, 10_000_000, 60_000_000];

/// Something that happens.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// It happened.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long something takes.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BUCKETS_US.len()],
    count: Counter,
    sum_us: AtomicU64,
}

impl Histogram {
    /// It took this long.
    pub fn note(&self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(at) = BUCKETS_US.iter().position(|&end| took_us <= end) {
            self.buckets[at].add();
        }
        self.count.add();
        self.sum_us.fetch_add(took_us, Ordering::Relaxed);
    }

    /// Returns how often it took no longer than each bucket's end, how often it happened, and the sum in seconds.
    pub fn read(&self) -> ([u64; BUCKETS_US.len()], u64, f64) {
        let mut total = 0;
        let upto = std::array::from_fn(|at| {
            total += self.buckets[at].get();
            total
        });
        // What came in between is in the buckets and not in the count; the count must not be less.
        (upto, self.count.get().max(total), self.sum_us.load(Ordering::Relaxed) as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_is_below_their_end() {
        let histogram = Histogram::default();
        for us in [100, 101, 3_000, 90_000_000] {
            histogram.note(Duration::from_micros(us));
        }
        let (upto, count, sum) = histogram.read();
        assert_eq!((&upto[..4], upto[8], count), (&[1, 2, 2, 3][..], 3, 4));
        assert!((sum - 90.003_201).abs() < 1e-9, "{sum}");
    }
}
