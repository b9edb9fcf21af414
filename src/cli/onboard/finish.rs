//! The end of a set-up: chat networks joined, the service installed, the gateway waited for, the page shown.
//!
//! Comes after the plan was carried out, so nothing here can spoil it: what fails is told, with the command for later.

use super::wait_listening;
use crate::cli::{Cli, ask, channels, dashboard, doctor, gateway_service, output};
use crate::client::target::local_url;
use crate::service::systemd;

/// What of it is wanted.
pub(super) struct Wanted {
    /// Ask for chat networks.
    pub(super) channels: bool,
    /// Install the service; `None` asks.
    pub(super) service: Option<bool>,
    /// Open the page.
    pub(super) page: bool,
}

/// Does all of it with somebody at the terminal.
pub(super) fn with_person(wanted: &Wanted, paths: &crate::config::paths::Paths) {
    let mut cli = Cli::new(paths.clone());
    if cli.config().gateway.mode.as_deref() != Some("local") {
        return;
    }
    if wanted.channels {
        channels::offer(&cli);
        cli = Cli::new(paths.clone());
    }
    let is_service = match wanted.service {
        Some(wanted) => wanted,
        None if !has_manager(&cli) => {
            output::line("\nThere is no service manager for users here, so the gateway runs in the foreground.");
            false
        }
        None => ask::confirm("Install the gateway as a service, so that it always runs?", true),
    };
    let is_up = is_service && install(&cli, |question| ask::confirm(question, true), true);
    if wanted.page && is_up {
        dashboard::show(&cli, true);
        return;
    }
    if !is_up {
        output::line(&format!("\nNext: {}", cli.paths.hint("gateway")));
        output::line(&format!("Then: {}", cli.paths.hint("dashboard")));
    }
}

/// Returns whether a service could be installed at all.
fn has_manager(cli: &Cli) -> bool {
    gateway_service::manager(&cli.paths).is_ok_and(|manager| manager.is_loaded().is_ok())
}

/// Installs the service and waits for the gateway; returns whether it answers.
pub(super) fn install(cli: &Cli, agrees: impl FnOnce(&str) -> bool, may_ask: bool) -> bool {
    let manager = match gateway_service::manager(&cli.paths) {
        Ok(manager) => manager,
        Err(error) => {
            output::line(&error);
            return false;
        }
    };
    match manager.is_loaded() {
        Err(error) if systemd::is_unavailable(&error) => {
            output::line("Systemd user services are unavailable; skipping service install.");
            return false;
        }
        Err(error) => {
            output::line(&format!("Gateway service check failed: {error}"));
            return false;
        }
        Ok(_) => {}
    }
    if cfg!(target_os = "linux") {
        doctor::ensure_linger(agrees, may_ask);
    }
    let plan = gateway_service::plan(cli, None, None);
    match plan.and_then(|plan| manager.install(&plan)) {
        Ok(lines) => lines.iter().for_each(|line| output::line(line)),
        Err(error) => {
            output::line(&format!("Gateway install failed: {error}"));
            output::line(&format!("Look closer: {}", cli.paths.hint("gateway status")));
            return false;
        }
    }
    let (url, _) = local_url(cli.config());
    let is_up = wait_listening(&url);
    output::line(&match is_up {
        true => format!("Gateway: reachable at {url}"),
        false => format!("Gateway: not detected at {url}; see {}", cli.paths.hint("gateway status")),
    });
    is_up
}
