//! Runs that stream from a model: how long a call takes meanwhile, and what a run adds to every word.
//!
//! The floor of the first is the floor's own answer while as many threads read the same streams directly; that of the
//! second is one such reader.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::Bench;
use crate::fleet::Fleet;
use crate::link::{Heard, excerpt};
use crate::model::Model;
use crate::sheet::{Sheet, Unit};
use crate::subject::{Gateway, Kind};
use crate::times::{Times, millis};
use crate::wire;

const RUNS: [usize; 2] = [12, 64];
/// Pause between the words of those: a fast model's.
const PAUSE: Duration = Duration::from_millis(20);
/// More words than a turn takes.
const WORDS_MAX: usize = 100_000;
const TURN: Duration = Duration::from_secs(2);
/// Between two calls of the one who asks meanwhile.
const BREATH: Duration = Duration::from_millis(1);
/// How long runs may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);
/// Words of the answers whose every word is timed, which come as fast as they can be written.
const WORDS: usize = 2000;
/// Such answers in a turn.
const REPEATS: usize = 5;

/// See the module.
pub fn run(bench: &mut Bench) -> Result<()> {
    let model = Model::start(WORDS_MAX, PAUSE)?;
    let mut gateways = bench.open_all(&model.configuration())?;
    for runs in RUNS {
        for turn in 0..bench.turns {
            let length = bench.length(TURN);
            for (subject, gateway) in bench.subjects.iter().zip(&mut gateways) {
                let is_direct = subject.kind == Kind::Floor;
                let measured = latency(gateway, &model, is_direct, (runs, turn), length);
                let (streaming, times) = gateway.blame(measured)?;
                if streaming < runs {
                    let missing = (runs - streaming) as f64 / runs as f64 * 100.0;
                    bench.sheet.note(&subject.name, format!("never streamed, {runs} runs"), Unit::Percent, missing);
                }
                let mut note = |figure: &str, percent| {
                    let name = format!("call {figure}, {runs} runs");
                    bench.sheet.note(&subject.name, name, Unit::Ms, times.percentile_ms(percent));
                };
                note("p50", 50);
                note("p99", 99);
                note("max", 100);
            }
        }
        bench.sheet.settle()?;
    }
    drop(gateways);
    words(bench)
}

/// How long calls take while so many runs stream, and how many do: a slow gateway never gets to some of them.
fn latency(
    gateway: &Gateway,
    model: &Model,
    is_direct: bool,
    (runs, turn): (usize, usize),
    length: Duration,
) -> Result<(usize, Times)> {
    // The first client asks, the second has the runs; both hear every word.
    let mut fleet = gateway.clients(2)?;
    let port = model.port();
    model.set_over(false);
    let readers: Vec<_> =
        (0..if is_direct { runs } else { 0 }).map(|_| std::thread::spawn(move || Model::read_directly(port))).collect();
    if !is_direct {
        for run in 0..runs {
            let params = json!({"message": "hi", "sessionKey": format!("agent:main:r{runs}-{turn}-{run}"),
                "idempotencyKey": format!("r{runs}-{turn}-{run}")});
            fleet.send_from(1, &wire::request_as("run", "agent", &params))?;
        }
    }
    let start = Instant::now();
    while model.active() < runs && start.elapsed() < PATIENCE {
        fleet.rest(BREATH)?;
    }
    let streaming = model.active();
    ensure!(streaming > 0, "no run streams after {} s", PATIENCE.as_secs());
    let (mut times, request, start) = (Vec::new(), wire::request("last-heartbeat", &json!({})), Instant::now());
    while start.elapsed() < length {
        times.push(fleet.ask(&request)?.1);
        fleet.rest(BREATH)?;
    }
    model.set_over(true);
    if !is_direct {
        finish(&mut fleet, runs)?;
    }
    for reader in readers {
        reader.join().ok().context("a reader of the model panicked")??;
    }
    Ok((streaming, Times::new(times)))
}

/// Waits until so many runs have given their second answer.
pub fn finish(fleet: &mut Fleet, runs: usize) -> Result<()> {
    let (mut finished, mut failure) = (0, None);
    while finished < runs && failure.is_none() {
        let came = fleet.pump(&mut |_, heard| match heard {
            Heard::Answer(text, _) if wire::holds(text, br#""status":"accepted""#) => {}
            Heard::Answer(text, _) if wire::holds(text, br#""status":"ok""#) => finished += 1,
            Heard::Answer(text, _) | Heard::Refusal(text) => {
                failure = Some(excerpt(text));
            }
            _ => {}
        });
        came.with_context(|| format!("{finished} of {runs} runs have ended"))?;
    }
    ensure!(failure.is_none(), "a run ended with {}", failure.unwrap_or_default());
    Ok(())
}

/// What a word costs on its way through a run.
fn words(bench: &mut Bench) -> Result<()> {
    let model = Model::start(WORDS, Duration::ZERO)?;
    let mut gateways = bench.open_all(&model.configuration())?;
    for turn in 0..bench.turns {
        let direct: Vec<_> = (0..REPEATS).map(|_| Model::read_directly(model.port())).collect::<Result<_>>()?;
        let direct = Times::new(direct).percentile_ms(50);
        for (subject, gateway) in bench.subjects.iter().zip(&mut gateways) {
            if subject.kind == Kind::Floor {
                bench.sheet.note(&subject.name, "a word of a run", Unit::Us, direct * 1000.0 / WORDS as f64);
                continue;
            }
            let measured = run_words(gateway, &mut bench.sheet, &subject.name, direct, turn);
            gateway.blame(measured)?;
        }
    }
    Ok(())
}

fn run_words(gateway: &Gateway, sheet: &mut Sheet, subject: &str, direct: f64, turn: usize) -> Result<()> {
    let mut fleet = gateway.clients(1)?;
    let (mut times, before) = (Vec::new(), gateway.group().cpu());
    for run in 0..REPEATS {
        let key = format!("w{turn}-{run}");
        let params = json!({"message": "hi", "sessionKey": format!("agent:main:{key}"), "idempotencyKey": key});
        let start = Instant::now();
        fleet.send(&wire::request_as("run", "agent", &params))?;
        finish(&mut fleet, 1)?;
        times.push(start.elapsed());
    }
    let used = gateway.group().cpu().saturating_sub(before) / times.len() as u32;
    let took = Times::new(times).percentile_ms(50);
    sheet.note(subject, "a word of a run", Unit::Us, took * 1000.0 / WORDS as f64);
    sheet.note(subject, "a word's CPU", Unit::Us, millis(used) * 1000.0 / WORDS as f64);
    sheet.note(subject, "what a run adds to a word", Unit::Us, (took - direct).max(0.0) * 1000.0 / WORDS as f64);
    Ok(())
}
