//! `health`: how the running gateway and its channels are.

use serde_json::{Value, json};

use super::exit::Outcome;
use super::rpc::{self, ClientOptions, Positive, TIMEOUT_DEFAULT_MS, items};
use super::{Cli, Command, output};
use crate::base::text::duration;
use crate::client::target::Target;

/// show the health of the running gateway and its channels
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Health {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// longest wait in milliseconds (default 10000)
    #[argh(option, arg_name = "ms", default = "Default::default()")]
    timeout: Positive,
    /// probe the channels, show every agent and the connection
    #[argh(switch)]
    verbose: bool,
    /// same as --verbose
    #[argh(switch)]
    debug: bool,
}

impl Command for Health {
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let is_verbose = self.verbose || self.debug;
        let options = ClientOptions {
            timeout: std::time::Duration::from_millis(self.timeout.or(TIMEOUT_DEFAULT_MS)),
            ..ClientOptions::default()
        };
        let target = Target::resolve(&cli.paths, cli.config(), &options.overrides);
        let details = target.details();
        let params = if is_verbose { json!({"probe": true}) } else { json!({}) };
        let result = rpc::call_target(cli, target, &options, "health", params)?;
        if self.json {
            output::json(&result);
            return Ok(());
        }
        if is_verbose {
            output::line("Gateway connection:");
            for line in details.lines() {
                output::line(&format!("  {line}"));
            }
        }
        for line in channel_lines(&result) {
            output::line(&line);
        }
        for line in agent_lines(&result, is_verbose) {
            output::line(&line);
        }
        Ok(())
    }
}

/// Asks a gateway and returns what people are shown.
///
/// # Errors
/// The call's error.
#[cfg(feature = "onboarding")]
pub(super) fn lines(cli: &Cli, target: Target, options: &ClientOptions) -> Result<Vec<String>, rpc::CallError> {
    let health = rpc::call_target(cli, target, options, "health", json!({}))?;
    Ok([channel_lines(&health), agent_lines(&health, false)].concat())
}

/// Returns `<Label>: <state>` for each channel, in the gateway's order.
pub(super) fn channel_lines(health: &Value) -> Vec<String> {
    let order = items(&health["channelOrder"]).iter().filter_map(Value::as_str);
    let mut ids: Vec<&str> = order.collect();
    for (id, _) in health["channels"].as_object().into_iter().flatten() {
        if !ids.contains(&id.as_str()) {
            ids.push(id);
        }
    }
    ids.into_iter()
        .filter_map(|id| {
            let channel = health["channels"].get(id)?;
            let label = health["channelLabels"][id].as_str().unwrap_or(id);
            Some(format!("{label}: {}", channel_state(channel)))
        })
        .collect()
}

fn channel_state(channel: &Value) -> String {
    match channel["linked"].as_bool() {
        Some(true) => {
            let age = channel["authAgeMs"].as_u64().map(|ms| format!(" (auth age {}m)", ms / 60_000));
            return format!("linked{}", age.unwrap_or_default());
        }
        Some(false) => return "not linked".to_owned(),
        None => {}
    }
    if channel["configured"] == false {
        return "not configured".to_owned();
    }
    let probe = &channel["probe"];
    match probe["ok"].as_bool() {
        Some(true) => {
            let bot = probe["bot"]["username"].as_str().map(|name| format!(" (@{name})")).unwrap_or_default();
            let elapsed = probe["elapsedMs"].as_u64().map(|ms| format!(" ({ms}ms)")).unwrap_or_default();
            let webhook = probe["webhook"]["url"].as_str().filter(|url| !url.is_empty());
            let webhook = webhook.map(|url| format!(" - webhook {url}")).unwrap_or_default();
            format!("ok{bot}{elapsed}{webhook}")
        }
        Some(false) => {
            let status = probe["status"].as_i64().map_or_else(|| "unknown".to_owned(), |status| status.to_string());
            let error = probe["error"].as_str().map(|error| format!(" - {error}")).unwrap_or_default();
            format!("failed ({status}){error}")
        }
        None if channel["configured"] == true => "configured".to_owned(),
        None => "unknown".to_owned(),
    }
}

fn agent_lines(health: &Value, is_verbose: bool) -> Vec<String> {
    let agents = items(&health["agents"]);
    let id_of = |agent: &Value| agent["agentId"].as_str().unwrap_or("?").to_owned();
    let shown: Vec<&Value> = agents.iter().filter(|agent| is_verbose || agent["isDefault"] == true).collect();
    let mut lines = Vec::new();
    let names = agents.iter().map(|agent| {
        let suffix = if agent["isDefault"] == true { " (default)" } else { "" };
        format!("{}{suffix}", id_of(agent))
    });
    lines.push(format!("Agents: {}", names.collect::<Vec<_>>().join(", ")));
    let beats = shown.iter().map(|agent| {
        let every = agent["heartbeat"]["everyMs"].as_u64().filter(|_| agent["heartbeat"]["enabled"] == true);
        format!("{} ({})", every.map_or_else(|| "disabled".to_owned(), duration), id_of(agent))
    });
    lines.push(format!("Heartbeat interval: {}", beats.collect::<Vec<_>>().join(", ")));
    for agent in shown {
        let sessions = &agent["sessions"];
        let path = sessions["path"].as_str().unwrap_or_default();
        lines.push(format!("Session store ({}): {path} ({} entries)", id_of(agent), sessions["count"]));
        for recent in items(&sessions["recent"]).iter().take(5) {
            let key = recent["key"].as_str().unwrap_or_default();
            let age = recent["age"].as_u64().filter(|_| recent["updatedAt"].as_u64().is_some_and(|at| at > 0));
            let age = age.map_or_else(|| "no activity".to_owned(), |ms| format!("{}m ago", ms / 60_000));
            lines.push(format!("- {key} ({age})"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_states() {
        let check = |channel: Value, expected: &str| assert_eq!(channel_state(&channel), expected, "{channel}");
        check(json!({"linked": true, "authAgeMs": 120_000}), "linked (auth age 2m)");
        check(json!({"linked": false, "configured": false}), "not linked");
        check(json!({"configured": false}), "not configured");
        check(json!({"configured": true}), "configured");
        let probe = json!({"ok": false, "status": null, "error": "fetch failed"});
        check(json!({"configured": true, "probe": probe}), "failed (unknown) - fetch failed");
        let probe = json!({"ok": true, "elapsedMs": 5, "bot": {"username": "b"}, "webhook": {"url": ""}});
        check(json!({"configured": true, "probe": probe}), "ok (@b) (5ms)");
    }
}
