//! Calls: how many are answered, how long each takes, and what it costs the gateway.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::Bench;
use crate::history;
use crate::home::Home;
use crate::sheet::Unit;
use crate::subject::Gateway;
use crate::wire;

const TURN: Duration = Duration::from_millis(600);

/// Turns of the conversation that `chat.history` tells.
const CONVERSATION: usize = 1000;

/// Clients, and calls of each that are under way.
pub const SHAPES: [(usize, usize); 4] = [(1, 1), (1, 16), (50, 1), (50, 16)];

/// Methods, from the one that does nothing to the one that reads a file.
pub fn methods() -> [(&'static str, Value); 5] {
    [
        ("last-heartbeat", json!({})),
        ("health", json!({})),
        ("system-presence", json!({})),
        ("config.get", json!({})),
        ("chat.history", json!({"sessionKey": "main"})),
    ]
}

/// A gateway of each subject, with a long conversation in its main session.
pub fn open(bench: &Bench) -> Result<Vec<Gateway>> {
    let open = |subject: &crate::subject::Subject| {
        let home = Home::new(&json!({}))?;
        history::write(&home, CONVERSATION)?;
        subject.open_in(home)
    };
    bench.subjects.iter().map(open).collect()
}

/// See the module.
pub fn run(bench: &mut Bench) -> Result<()> {
    let mut gateways = open(bench)?;
    for (method, params) in methods() {
        let request = wire::request(method, &params);
        for (clients, depth) in SHAPES {
            for _ in 0..bench.turns {
                let length = bench.length(TURN);
                for (subject, gateway) in bench.subjects.iter().zip(&mut gateways) {
                    let fleet = gateway.clients(clients);
                    let mut fleet = gateway.blame(fleet)?;
                    let before = gateway.group().cpu();
                    let load = fleet.calls(&request, depth, length);
                    let load = gateway.blame(load)?;
                    let used = gateway.group().cpu().saturating_sub(before);
                    let mut note = |figure: &str, unit, value| {
                        bench.sheet.note(&subject.name, format!("{method} {clients}x{depth} {figure}"), unit, value);
                    };
                    note("rate", Unit::PerSecond, load.rate);
                    note("p50", Unit::Ms, load.times.percentile_ms(50));
                    note("p99", Unit::Ms, load.times.percentile_ms(99));
                    note("max", Unit::Ms, load.times.percentile_ms(100));
                    if load.refused > 0 {
                        let share = load.refused as f64 / (load.refused + load.times.count()) as f64;
                        note("refused", Unit::Percent, share * 100.0);
                    }
                    note("CPU each", Unit::Us, used.as_secs_f64() * 1e6 / load.times.count() as f64);
                }
            }
            bench.sheet.settle()?;
        }
    }
    Ok(())
}
