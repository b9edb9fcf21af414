//! How many clients are let in, one after another and many at once.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::Bench;
use crate::sheet::Unit;

const TURN: Duration = Duration::from_secs(1);

/// See the module.
pub fn run(bench: &mut Bench) -> Result<()> {
    let mut gateways = bench.open_all(&json!({}))?;
    for width in [1, 16] {
        for _ in 0..bench.turns {
            let length = bench.length(TURN);
            for (subject, gateway) in bench.subjects.iter().zip(&mut gateways) {
                let load = gateway.fleet()?.handshakes(width, length);
                let load = gateway.blame(load)?;
                let mut note = |figure: &str, unit, value| {
                    bench.sheet.note(&subject.name, format!("{width} at once {figure}"), unit, value);
                };
                note("rate", Unit::PerSecond, load.rate);
                note("p50", Unit::Ms, load.times.percentile_ms(50));
                note("p99", Unit::Ms, load.times.percentile_ms(99));
            }
        }
        bench.sheet.settle()?;
    }
    Ok(())
}
