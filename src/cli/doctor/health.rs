//! The running gateway: does it answer, how are its channels; if not, why not, and should its service be started.

use std::time::Duration;

use serde_json::json;

use super::{Consent, note};
use crate::base::cancel::CancelToken;
use crate::base::ports;
use crate::cli::gateway_status::View;
use crate::cli::rpc::{ClientOptions, call_target, items};
use crate::cli::{Cli, gateway_service, health, output, service};
use crate::client::target::{Overrides, Target};
use crate::config::types::Config;
use crate::service::{Scope, systemd};

/// How long the gateway may take; shorter where nobody waits for it.
const WAIT: Duration = Duration::from_secs(10);
const WAIT_UNATTENDED: Duration = Duration::from_secs(3);
/// How long a started service may take before it is looked at again.
const START_WAIT: Duration = Duration::from_millis(1500);

/// Asks, and offers to start it.
pub(super) fn check(cli: &Cli, config: &Config, consent: &Consent, is_remote: bool) {
    if ask(cli, config, consent) || is_remote {
        return;
    }
    let names = gateway_service::names(&cli.paths);
    let view = match View::of(names, cli.paths.clone(), Scope::User) {
        Ok(view) => view,
        Err(error) => return note("Gateway", &[error]),
    };
    let detail = view.runtime.detail.clone().unwrap_or_default();
    let (port, _) = view.port();
    let usage = ports::look(port);
    if usage.status == ports::Status::Busy {
        let stop = cli.paths.hint("gateway stop");
        let mut lines = vec![format!("Port {port} is already in use.")];
        lines.extend(usage.lines());
        lines.extend(usage.hints(&stop).iter().map(|hint| format!("- {hint}")));
        note("Gateway port", &lines);
    } else if view.is_loaded && view.runtime.status == "running" {
        let last = view.last_error().map(|line| format!("Last gateway error: {line}"));
        note("Gateway", &last.into_iter().collect::<Vec<_>>());
    }
    if systemd::is_unavailable(&detail) {
        return note("Gateway", &service::unavailable_hints(cli, "gateway"));
    }
    let started = if !view.is_loaded {
        note("Gateway", &[format!("Gateway service not installed. Run: {}", cli.paths.hint("gateway install"))]);
        if !consent.act("Install gateway service now?", true) {
            return;
        }
        let fresh = &Cli::new(cli.paths.clone());
        gateway_service::plan(fresh, None, None).and_then(|plan| view.manager.install(&plan))
    } else {
        let question = match view.runtime.status {
            "running" => "Restart gateway service now?",
            _ => "Start gateway service now?",
        };
        if !consent.act(question, true) {
            return;
        }
        view.manager.restart()
    };
    match started {
        Ok(lines) => {
            lines.iter().for_each(|line| output::line(line));
            // A service manager does not say when the gateway listens.
            CancelToken::new().sleep(START_WAIT);
            ask(cli, config, consent);
        }
        Err(error) => note("Gateway", &[format!("Gateway service start failed: {error}")]),
    }
}

/// Returns whether the gateway answers, and tells of its channels.
fn ask(cli: &Cli, config: &Config, consent: &Consent) -> bool {
    let timeout = if consent.may_ask { WAIT } else { WAIT_UNATTENDED };
    let options = ClientOptions { timeout, ..ClientOptions::default() };
    let target = Target::resolve(&cli.paths, config, &Overrides::default());
    match call_target(cli, target.clone(), &options, "health", json!({})) {
        Ok(report) => {
            note("Gateway health", &health::channel_lines(&report));
            output::line("Gateway reachable.");
        }
        Err(failed) if failed.error.is_connection() => {
            note("Gateway", &["Gateway not running.".to_owned()]);
            note("Gateway connection", &[target.details()]);
            return false;
        }
        Err(failed) => {
            note("Gateway", &[format!("Health check failed: {}", failed.error)]);
            return false;
        }
    }
    let params = json!({"probe": true, "timeoutMs": 5000});
    let status = call_target(cli, target, &options, "channels.status", params).unwrap_or_default();
    let mut warnings = Vec::new();
    for (channel, accounts) in status["channelAccounts"].as_object().into_iter().flatten() {
        for account in items(accounts) {
            let text = |key: &str| account[key].as_str().filter(|text| !text.is_empty());
            let problem = text("lastError").map(str::to_owned).or_else(|| {
                let is_failed = account["probe"]["ok"] == false;
                is_failed.then(|| account["probe"]["error"].as_str().unwrap_or("probe failed").to_owned())
            });
            let id = text("accountId").unwrap_or("default");
            warnings.extend(problem.map(|problem| format!("- {channel} {id}: {problem}")));
        }
    }
    note("Channel warnings", &warnings);
    true
}
