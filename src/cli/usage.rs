//! How much of providers' plans is used up, for `status --usage` and `channels list`.
//!
//! The gateway asks the providers (`usage.status`): tokens are renewed there, and by one process alone.

use std::time::Duration;

use serde_json::{Value, json};

use super::Cli;
use super::rpc::items;
use crate::base::text::duration;
use crate::client::target::{Overrides, Target};
use crate::client::{Client, Deadline, Profile};

/// How long the gateway may take: it asks one provider after the other.
const WAIT: Duration = Duration::from_secs(20);

/// Asks the gateway; `None` when it does not answer.
pub(super) fn ask(cli: &Cli) -> Option<Value> {
    let target = Target::resolve(&cli.paths, cli.config(), &Overrides::default());
    let deadline = Deadline::after(WAIT);
    target.check().ok()?;
    let mut client = Client::connect(&cli.paths, &target, &Profile::cli(), deadline).ok()?;
    let usage = client.request("usage.status", json!({}), false, deadline).ok();
    client.close();
    usage
}

/// Words the answer for people.
pub(super) fn lines(usage: &Value, now_ms: u64) -> Vec<String> {
    if let Some(error) = usage["error"].as_str() {
        return vec![format!("Usage: {error}")];
    }
    let providers = items(&usage["providers"]);
    if providers.is_empty() {
        return vec!["Usage: no provider usage available.".to_owned()];
    }
    let mut lines = vec!["Usage:".to_owned()];
    for provider in providers {
        let plan = provider["plan"].as_str().map(|plan| format!(" ({plan})")).unwrap_or_default();
        let name = format!("  {}{plan}", provider["displayName"].as_str().unwrap_or("unknown"));
        let windows = items(&provider["windows"]);
        match provider["error"].as_str() {
            Some(error) => lines.push(format!("{name}: {error}")),
            None if windows.is_empty() => lines.push(format!("{name}: no data")),
            None => lines.push(name),
        }
        for window in windows.iter().filter(|_| provider["error"].is_null()) {
            let left = (100.0 - window["usedPercent"].as_f64().unwrap_or(0.0)).clamp(0.0, 100.0);
            let reset = window["resetAt"].as_u64().map(|at| match at.saturating_sub(now_ms) {
                0 => " · resets now".to_owned(),
                left_ms => format!(" · resets {}", duration(left_ms)),
            });
            let label = window["label"].as_str().unwrap_or("window");
            lines.push(format!("    {label}: {left:.0}% left{}", reset.unwrap_or_default()));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_people() {
        let check = |usage: Value, wanted: &[&str]| assert_eq!(lines(&usage, 1_000_000), wanted);
        check(json!({"providers": []}), &["Usage: no provider usage available."]);
        check(json!({"error": "too busy"}), &["Usage: too busy"]);
        let windows = json!([
            {"label": "5h", "usedPercent": 12.4, "resetAt": 1_000_000 + 7_500_000},
            {"label": "Week", "usedPercent": 130, "resetAt": 5},
            {"label": "Month", "usedPercent": 0},
        ]);
        let providers = json!([
            {"displayName": "Claude", "plan": "Max", "windows": windows},
            {"displayName": "z.ai", "windows": [], "error": "HTTP 401"},
            {"displayName": "Codex", "windows": []},
        ]);
        check(
            json!({ "providers": providers }),
            &[
                "Usage:",
                "  Claude (Max)",
                "    5h: 88% left · resets 2h 5m",
                "    Week: 0% left · resets now",
                "    Month: 100% left",
                "  z.ai: HTTP 401",
                "  Codex: no data",
            ],
        );
    }
}
