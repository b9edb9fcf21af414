//! A large index of sessions beside a small one: listing, a change of one entry, a turn of a conversation.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::{Bench, streams};
use crate::fleet::Fleet;
use crate::history;
use crate::home::Home;
use crate::model::Model;
use crate::sheet::Unit;
use crate::subject::{Gateway, Kind, Subject};
use crate::times::Times;
use crate::wire;

const SIZES: [usize; 2] = [10, 10_000];
/// Calls of a kind in a turn.
const CALLS: usize = 15;
/// A turn of a slow gateway ends early.
const TURN_MAX: Duration = Duration::from_secs(5);

/// See the module.
pub fn run(bench: &mut Bench) -> Result<()> {
    let model = Model::start(1, Duration::ZERO)?;
    for size in SIZES {
        let open = |subject: &Subject| {
            let home = Home::new(&model.configuration())?;
            history::index(&home, size)?;
            subject.open_in(home)
        };
        let mut gateways: Vec<Gateway> = bench.subjects.iter().map(open).collect::<Result<_>>()?;
        for turn in 0..bench.turns {
            for (subject, gateway) in bench.subjects.iter().zip(&mut gateways) {
                let measured = measure(gateway, &model, subject.kind == Kind::Floor, turn);
                for (what, times) in gateway.blame(measured)? {
                    let name = format!("{what}, {size} sessions, p50");
                    bench.sheet.note(&subject.name, name, Unit::Ms, times.percentile_ms(50));
                }
            }
        }
        bench.sheet.settle()?;
    }
    Ok(())
}

fn measure(gateway: &Gateway, model: &Model, is_floor: bool, turn: usize) -> Result<Vec<(&'static str, Times)>> {
    let mut fleet = gateway.clients(1)?;
    let list = wire::request("sessions.list", &json!({"limit": 50}));
    let all = wire::request("sessions.list", &json!({}));
    let patch = |call: usize| {
        let params = json!({"key": "agent:main:s1", "label": format!("label {turn} {call}")});
        wire::request("sessions.patch", &params)
    };
    let say = |call: usize| {
        let params =
            json!({"message": "hi", "sessionKey": "agent:main:s2", "idempotencyKey": format!("t{turn}-{call}")});
        wire::request_as("run", "agent", &params)
    };
    let run = |fleet: &mut Fleet, call| {
        let start = Instant::now();
        if is_floor {
            return Model::read_directly(model.port());
        }
        fleet.send(&say(call))?;
        streams::finish(fleet, 1)?;
        Ok(start.elapsed())
    };
    Ok(vec![
        ("list 50", repeat(|_| Ok(fleet.ask(&list)?.1))?),
        ("list all", repeat(|_| Ok(fleet.ask(&all)?.1))?),
        ("patch", repeat(|call| Ok(fleet.ask(&patch(call))?.1))?),
        ("turn", repeat(|call| run(&mut fleet, call))?),
    ])
}

fn repeat(mut call: impl FnMut(usize) -> Result<Duration>) -> Result<Times> {
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < CALLS && (times.is_empty() || start.elapsed() < TURN_MAX) {
        times.push(call(times.len())?);
    }
    Ok(Times::new(times))
}
