//! What a gateway costs that nobody asks anything. All subjects are watched at the same time.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::{Bench, FEW_TURNS};
use crate::sheet::Unit;
use crate::times::millis;

/// Until what a start sets off is over.
const QUIET: Duration = Duration::from_secs(5);
/// How long they are watched.
const WATCH: Duration = Duration::from_secs(20);

/// See the module.
pub fn run(bench: &mut Bench) -> Result<()> {
    let gateways = bench.open_all(&json!({}))?;
    sleep(QUIET);
    let length = bench.length(WATCH);
    // A quick look is shorter, its figures are per 20 s all the same.
    let share = WATCH.as_secs_f64() / length.as_secs_f64();
    for _ in 0..FEW_TURNS {
        let before: Vec<_> = gateways.iter().map(|it| (it.group().cpu(), it.group().switches())).collect();
        sleep(length);
        for ((subject, gateway), (cpu, switches)) in bench.subjects.iter().zip(&gateways).zip(before) {
            let used = gateway.group().cpu().saturating_sub(cpu);
            let woken = gateway.group().switches() - switches;
            bench.sheet.note(&subject.name, "CPU in 20 s", Unit::Ms, millis(used) * share);
            bench.sheet.note(&subject.name, "wake-ups in 20 s", Unit::Count, woken * share);
        }
    }
    Ok(())
}
