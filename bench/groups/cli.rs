//! Commands as a script runs them, from start to end. The floor is a program that ends at once.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::Bench;
use crate::process::Process;
use crate::sheet::Unit;
use crate::subject::{Gateway, Subject};
use crate::times::Times;

const COMMANDS: [&str; 4] = ["--version", "gateway call health", "status --json", "sessions --json"];
/// Runs of a command in a turn.
const RUNS: usize = 7;
/// A turn of a slow program ends early.
const TURN_MAX: Duration = Duration::from_secs(3);
/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
pub fn run(bench: &mut Bench) -> Result<()> {
    let mut gateways = bench.open_all(&json!({}))?;
    for command in COMMANDS {
        for _ in 0..bench.turns {
            for (subject, gateway) in bench.subjects.iter().zip(&mut gateways) {
                let (turn, mut times) = (Instant::now(), Vec::new());
                while times.len() < RUNS && (times.is_empty() || turn.elapsed() < TURN_MAX) {
                    let took = time(subject, gateway, command);
                    times.push(gateway.blame(took)?);
                }
                bench.sheet.note(&subject.name, command, Unit::Ms, Times::new(times).percentile_ms(50));
            }
        }
        bench.sheet.settle()?;
    }
    Ok(())
}

fn time(subject: &Subject, gateway: &Gateway, command: &str) -> Result<Duration> {
    let args: Vec<&str> = command.split(' ').collect();
    let start = Instant::now();
    let command_line = subject.command(&gateway.home, &args, gateway.port);
    let mut process = Process::start(command_line, gateway.home.path().join("command-output"))?;
    let status = process.wait(PATIENCE).with_context(|| format!("`{command}`"))?;
    let took = start.elapsed();
    ensure!(status.success(), "`{command}` ended with {status}; it said:\n{}", process.last_words());
    Ok(took)
}
