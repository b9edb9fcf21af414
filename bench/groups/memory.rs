//! Memory and threads: at rest, with many clients that are silent, under load, and when the load is over.
//!
//! Each turn takes a fresh gateway through all of it, because memory remembers.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::{Bench, FEW_TURNS, rpc};
use crate::fleet::Fleet;
use crate::sheet::{Sheet, Unit};
use crate::subject::Gateway;
use crate::wire;

/// Until what a start or many handshakes set off is over.
const QUIET: Duration = Duration::from_secs(3);
/// Until what a load leaves behind should be given back.
const AFTER: Duration = Duration::from_secs(15);
/// How long each call of the load list is made.
const LOAD: Duration = Duration::from_millis(500);

/// See the module.
pub fn run(bench: &mut Bench) -> Result<()> {
    for _ in 0..FEW_TURNS {
        let mut gateways = rpc::open(bench)?;
        for (subject, gateway) in bench.subjects.iter().zip(&gateways) {
            bench.sheet.note(&subject.name, "just started RSS", Unit::MiB, gateway.group().memory().rss / 1024.0);
        }
        sleep(QUIET);
        let mut idle = Vec::new();
        for (subject, gateway) in bench.subjects.iter().zip(&mut gateways) {
            idle.push(gateway.group().memory().rss);
            note(&mut bench.sheet, &subject.name, "idle", gateway);
            let crowd = if bench.is_quick { [1000, 2000] } else { [1000, 10_000] };
            let measured = crowds(&mut bench.sheet, &subject.name, gateway, crowd);
            gateway.blame(measured)?;
            let length = bench.length(LOAD);
            let loaded = load(gateway, length);
            let peak = gateway.blame(loaded)?;
            bench.sheet.note(&subject.name, "RSS under load", Unit::MiB, peak / 1024.0);
        }
        sleep(AFTER);
        for ((subject, gateway), idle) in bench.subjects.iter().zip(&gateways).zip(idle) {
            note(&mut bench.sheet, &subject.name, "15 s after load", gateway);
            let after = gateway.group().memory().rss;
            bench.sheet.note(&subject.name, "RSS 15 s after load ÷ idle", Unit::Times, after / idle);
        }
    }
    Ok(())
}

fn note(sheet: &mut Sheet, subject: &str, when: &str, gateway: &Gateway) {
    let memory = gateway.group().memory();
    sheet.note(subject, format!("{when} RSS"), Unit::MiB, memory.rss / 1024.0);
    sheet.note(subject, format!("{when} PSS"), Unit::MiB, memory.pss / 1024.0);
    sheet.note(subject, format!("{when} private"), Unit::MiB, memory.private / 1024.0);
    sheet.note(subject, format!("{when} threads"), Unit::Count, gateway.group().threads());
}

/// What clients cost that only listen.
fn crowds(sheet: &mut Sheet, subject: &str, gateway: &Gateway, sizes: [usize; 2]) -> Result<()> {
    let bare = gateway.group().memory().private;
    let mut clients: Fleet = gateway.fleet()?;
    let mut count = 0;
    for size in sizes {
        clients.open(size - count, 16)?;
        count = size;
        clients.rest(QUIET)?;
        note(sheet, subject, &format!("{size} clients"), gateway);
        let each = (gateway.group().memory().private - bare) / size as f64;
        sheet.note(subject, format!("per client, {size} idle"), Unit::KiB, each);
    }
    Ok(())
}

/// The whole load list once, with as many clients as it knows; returns the most memory seen.
fn load(gateway: &Gateway, length: Duration) -> Result<f64> {
    let mut peak: f64 = 0.0;
    for (method, params) in rpc::methods() {
        for (clients, depth) in rpc::SHAPES {
            let mut fleet = gateway.clients(clients)?;
            fleet.calls(&wire::request(method, &params), depth, length)?;
            peak = peak.max(gateway.group().memory().rss);
        }
    }
    gateway.fleet()?.handshakes(16, length)?;
    let mut crowd = gateway.clients(1000)?;
    crowd.fan_out(&wire::request("talk.mode", &json!({"enabled": true})), br#""event":"talk.mode""#)?;
    peak = peak.max(gateway.group().memory().rss);
    let mut browsers = gateway.fleet()?;
    browsers.open_http(64)?;
    browsers.calls(&wire::get("/"), 1, length)?;
    Ok(peak.max(gateway.group().memory().rss))
}
