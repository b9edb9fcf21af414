//! The gateway's service: older ones, others that may be in the way, what is out of date in this one, lingering.

use super::{Consent, note};
use crate::cli::gateway_status::View;
use crate::cli::service::this_program;
use crate::cli::{Cli, environment, gateway_service, output};
use crate::config::paths::is_nix_mode;
use crate::service::{Scope, audit, linger, scan};

/// Finds and mends.
pub(super) fn check(cli: &Cli, consent: &Consent, is_remote: bool, is_deep: bool) {
    let names = gateway_service::names(&cli.paths);
    let legacy = scan::legacy(&cli.paths);
    if !legacy.is_empty() {
        let lines: Vec<String> = legacy.iter().map(|found| format!("- {} ({})", found.label, found.detail)).collect();
        note("Legacy gateway services detected", &lines);
        if consent.repair("Remove legacy gateway services now?") {
            remove_legacy(cli, &legacy);
        }
    }
    let extra = scan::extra(&cli.paths, &names, is_deep);
    if !extra.is_empty() {
        let lines: Vec<String> =
            extra.iter().map(|found| format!("- {} ({}, {})", found.label, found.scope, found.detail)).collect();
        note("Other gateway-like services detected", &lines);
        let hints: Vec<String> =
            extra.iter().flat_map(scan::Found::cleanup_hints).map(|hint| format!("- {hint}")).collect();
        note("Cleanup hints", &hints);
        let advice = "Run a single gateway per machine; one gateway serves several agents. For more of them, isolate ports, config and state.";
        note("Gateway recommendation", &[advice.to_owned()]);
    }
    if is_remote {
        note("Gateway", &["Gateway mode is remote; skipped local service audit.".to_owned()]);
        return;
    }
    let Ok(view) = View::of(names, cli.paths.clone(), Scope::User) else { return };
    repair(consent, &view);
    mac_notes(cli);
    check_linger(consent, &view);
}

/// Compares the installed service with today's, and writes it anew.
fn repair(consent: &Consent, view: &View) {
    let Some(installed) = &view.installed else { return };
    let mut issues = view.audit();
    let program = this_program();
    issues.extend(program.iter().find_map(|program| audit::audit_program(installed, program)));
    if issues.is_empty() {
        return;
    }
    let lines: Vec<String> = issues.iter().map(|issue| format!("- {}", issue.line())).collect();
    note("Gateway service config", &lines);
    if is_nix_mode() {
        note("Gateway", &["Nix mode detected; skip service updates.".to_owned()]);
        return;
    }
    let is_edited = issues.iter().any(|issue| issue.level == "aggressive");
    let question = "Update gateway service config to the recommended defaults now?";
    let is_agreed = if is_edited { consent.overwrite(question) } else { consent.repair(question) };
    if !is_agreed {
        if is_edited {
            let text = "Custom or unexpected service edits detected. Rerun with --force to overwrite.";
            note("Gateway service config", &[text.to_owned()]);
        }
        return;
    }
    // What the service is told today stays: its port, and a token that only its file has.
    let (port, _) = view.port();
    let token = view.variable("CLAWDBOT_GATEWAY_TOKEN");
    let service_cli = Cli::new(view.paths.clone());
    let plan = gateway_service::plan(&service_cli, Some(port), token.as_deref());
    let lines = plan.and_then(|plan| view.manager.install(&plan));
    match lines {
        Ok(lines) => note("Gateway service config", &lines),
        Err(error) => note("Gateway service config", &[format!("Gateway service update failed: {error}")]),
    }
}

fn remove_legacy(cli: &Cli, legacy: &[scan::Found]) {
    for found in legacy {
        let trash = crate::base::trash::put_away(
            &found.file,
            &cli.paths.home,
            crate::base::clock::Clock::now_ms(&crate::base::clock::SystemClock),
        );
        output::line(&match trash {
            Ok(path) => format!("Removed {}; its file is {}", found.label, path.display()),
            Err(error) => format!("Cannot remove {}: {error}", found.file.display()),
        });
        // launchd keeps a label until it is told: its file is gone now.
        let hint = found.cleanup_hints().into_iter().next().unwrap_or_default();
        output::line(&format!("If it still runs: {hint}"));
    }
}

fn mac_notes(cli: &Cli) {
    let marker = cli.paths.home.join(".clawdbot/disable-launchagent");
    if cfg!(target_os = "macos") && marker.exists() {
        let lines = [
            format!("- LaunchAgent writes are disabled via {}.", cli.paths.shorten(&marker)),
            format!("- To restore them: rm {}", marker.display()),
        ];
        note("Gateway (macOS)", &lines);
    }
}

fn check_linger(consent: &Consent, view: &View) {
    if !cfg!(target_os = "linux") || !view.is_loaded {
        return;
    }
    ensure_linger(|question| consent.act(question, true), consent.may_ask);
}

/// Looks whether the user's services outlive the logout; `agrees` is asked before anything is changed.
pub(in crate::cli) fn ensure_linger(agrees: impl FnOnce(&str) -> bool, may_ask: bool) {
    let Some(found) = linger::look(environment::var) else {
        note(
            "Systemd",
            &["Unable to read loginctl linger status. Ensure systemd + loginctl are available.".to_owned()],
        );
        return;
    };
    if found.is_enabled {
        return;
    }
    let user = &found.user;
    let by_hand = format!("sudo loginctl enable-linger {user}");
    if !agrees(&format!("Enable systemd lingering for {user}, so that the gateway runs on after the logout?")) {
        let lines = [
            "Without lingering, the Gateway will stop when you log out.".to_owned(),
            format!("Systemd lingering is disabled for {user}. Run: {by_hand}"),
        ];
        note("Systemd", &lines);
        return;
    }
    let text = match linger::enable(user, may_ask) {
        Ok(()) => format!("Enabled systemd lingering for {user}."),
        Err(_) if !may_ask => format!("Systemd lingering is disabled for {user}. Run: {by_hand}"),
        Err(error) => format!("Failed to enable lingering: {error}\nRun manually: {by_hand}"),
    };
    note("Systemd", &[text]);
}
