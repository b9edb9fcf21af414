//! What an account costs that nobody writes to.

use std::time::{Duration, Instant};

use serde_json::json;

use super::config;
use crate::support::PATIENCE;
use crate::support::bot_api::BotApi;
use crate::support::gateway::Gateway;
use crate::support::home::Home;

/// Private memory in KiB and processor time in ticks; `None` where the system does not tell.
pub(super) fn cost(gateway: &Gateway) -> Option<(u64, u64)> {
    let path = |name: &str| format!("/proc/{}/{name}", gateway.pid());
    let rollup = std::fs::read_to_string(path("smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"))?;
    let memory = line.split_whitespace().next()?.parse().ok()?;
    let stat = std::fs::read_to_string(path("stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some((memory, fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?))
}

#[test]
fn an_idle_account_costs_next_to_nothing() {
    let api = BotApi::start();
    // The product's own pace: a poll is held for half a minute.
    let with = Gateway::start_in(Home::with_config(&config(&api, &json!({}))), &[], &[("CLAWDBOT_SKIP_CHANNELS", "0")]);
    let without = Gateway::start_in(Home::with_config(&config(&api, &json!({}))), &[], &[]);
    api.say(5, "hello");
    api.wait("it polls, and has been spoken to", |api| {
        api.pending() == 0 && api.calls().last().unwrap().method == "getUpdates"
    });
    // The workers of the start have gone when their five idle seconds are over.
    let Some(_) = cost(&with) else { return };
    let until = Instant::now() + PATIENCE;
    let (mut memory, mut ticks) = (u64::MAX, u64::MAX);
    while Instant::now() < until && (memory > 1024 || ticks > 1) {
        let (before, other) = (cost(&with).unwrap(), cost(&without).unwrap());
        std::thread::park_timeout(Duration::from_secs(2));
        let (after, other_after) = (cost(&with).unwrap(), cost(&without).unwrap());
        memory = after.0.saturating_sub(other_after.0);
        ticks = (after.1 - before.1).saturating_sub(other_after.1 - other.1);
    }
    println!("an idle account: {memory} KiB, {ticks} ticks in 2 s");
    assert!(memory <= 1024, "{memory} KiB more than without");
    assert!(ticks <= 1, "{ticks} ticks in 2 s");
}
