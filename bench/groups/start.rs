//! How long a gateway takes until it serves, and how large its program is.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::{Bench, FEW_TURNS};
use crate::sheet::Unit;
use crate::times::{Times, millis};

/// Starts in a turn: with three turns, some twenty.
const STARTS: usize = 7;
/// A turn of a slow starter ends early.
const TURN_MAX: Duration = Duration::from_secs(15);

/// See the module.
pub fn run(bench: &mut Bench) -> Result<()> {
    for subject in bench.subjects.iter().filter(|subject| subject.is_gateway()) {
        if let Some(size) = subject.binary().and_then(|path| std::fs::metadata(path).ok()).map(|file| file.len()) {
            bench.sheet.note(&subject.name, "binary", Unit::Mb, size as f64 / 1e6);
        }
    }
    bench.sheet.settle()?;
    for _ in 0..FEW_TURNS {
        for subject in &bench.subjects {
            let start = Instant::now();
            let mut times = Vec::new();
            while times.len() < STARTS && (times.is_empty() || start.elapsed() < TURN_MAX) {
                times.push(subject.open(&json!({}))?.took);
            }
            let least = times.iter().min().map_or(f64::NAN, |time| millis(*time));
            bench.sheet.note(&subject.name, "first hello-ok", Unit::Ms, Times::new(times).percentile_ms(50));
            bench.sheet.note(&subject.name, "first hello-ok, best", Unit::Ms, least);
        }
    }
    Ok(())
}
