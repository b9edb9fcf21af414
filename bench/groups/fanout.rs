//! How long one event takes to its first client, to each and to its last. `talk.mode` tells everybody and does nothing else.

use anyhow::Result;
use serde_json::json;

use super::Bench;
use crate::fleet::Fleet;
use crate::sheet::{Sheet, Unit};
use crate::times::{Times, millis};
use crate::wire;

const CLIENTS: [usize; 4] = [1, 100, 1000, 10_000];
/// Events of a turn.
const EVENTS: usize = 20;

/// See the module.
pub fn run(bench: &mut Bench) -> Result<()> {
    let mut gateways = bench.open_all(&json!({}))?;
    for count in CLIENTS {
        if bench.is_quick && count > 1000 {
            break;
        }
        for _ in 0..bench.turns {
            for (subject, gateway) in bench.subjects.iter().zip(&mut gateways) {
                let clients = gateway.clients(count);
                let mut clients = gateway.blame(clients)?;
                let measured = measure(&mut clients, &mut bench.sheet, &subject.name, count);
                gateway.blame(measured)?;
            }
        }
        bench.sheet.settle()?;
    }
    Ok(())
}

fn measure(clients: &mut Fleet, sheet: &mut Sheet, subject: &str, count: usize) -> Result<()> {
    let request = wire::request("talk.mode", &json!({"enabled": true}));
    let (mut first, mut each, mut last) = (Vec::new(), Vec::new(), Vec::new());
    // The first ones find cold caches.
    for event in 0..EVENTS + 2 {
        let times = clients.fan_out(&request, br#""event":"talk.mode""#)?.into_inner();
        if event >= 2 {
            first.extend(times.first());
            last.extend(times.last());
            each.push(times.iter().sum::<std::time::Duration>() / times.len() as u32);
        }
    }
    let clients = if count == 1 { "1 client".to_owned() } else { format!("{count} clients") };
    let mut note = |figure: &str, times: Vec<_>| {
        sheet.note(subject, format!("{clients}, {figure} p50"), Unit::Ms, Times::new(times).percentile_ms(50));
    };
    let worst = last.iter().max().map_or(f64::NAN, |time| millis(*time));
    note("first", first);
    note("each", each);
    note("last", last);
    sheet.note(subject, format!("{clients}, last max"), Unit::Ms, worst);
    Ok(())
}
