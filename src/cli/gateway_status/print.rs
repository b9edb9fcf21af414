//! The report of `gateway status` for people (cli.md §5.4).

use serde_json::Value;

use super::{Gathered, View};
use crate::base::clock::{Clock as _, SystemClock};
use crate::cli::output::{error_line, line, verdict};
use crate::cli::rpc::items;
use crate::cli::service::unavailable_hints;
use crate::cli::{Cli, dashboard};
use crate::config::paths::{GATEWAY_PORT, Paths};
use crate::service::{scan, systemd};

/// Prints the report.
pub(super) fn print(cli: &Cli, view: &View, gathered: &Gathered) {
    let report = &gathered.report;
    service(cli, view, gathered);
    config(cli, report);
    address(view, report);
    let is_answering = report["rpc"]["ok"] == true;
    runtime(view, report);
    problems(cli, view, report, is_answering);
    others(cli, gathered);
    line(&format!("Troubles: run {}", cli.paths.hint("status")));
    line("Troubleshooting: https://docs.clawd.bot/troubleshooting");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn service(cli: &Cli, view: &View, Gathered { report, audit, .. }: &Gathered) {
    let manager = &view.manager;
    let state = if view.is_loaded { manager.loaded_text() } else { manager.not_loaded_text() };
    line(&format!("Service: {} ({})", manager.label(), verdict(view.is_loaded, state)));
    line(&format!("File logs: {}", log_file(view)));
    if let Some(installed) = &view.installed {
        line(&format!("Command: {}", installed.program_arguments.join(" ")));
        line(&format!("Service file: {}", cli.paths.shorten(&installed.source_path)));
        if let Some(directory) = &installed.working_directory {
            line(&format!("Working dir: {directory}"));
        }
        let shown = report["service"]["command"]["environment"].as_object();
        let shown: Vec<String> =
            shown.into_iter().flatten().map(|(name, value)| format!("{name}={}", text(value))).collect();
        if !shown.is_empty() {
            line(&format!("Service env: {}", shown.join(" ")));
        }
    }
    line("");
    if !audit.is_empty() {
        error_line("Service config looks out of date or non-standard.");
        for issue in audit {
            error_line(&format!("Service config issue: {}", issue.line()));
        }
        let (doctor, repair) = (cli.paths.hint("doctor"), cli.paths.hint("doctor --repair"));
        error_line(&format!("Recommendation: run \"{doctor}\" (or \"{repair}\")."));
    }
}

fn log_file(view: &View) -> String {
    view.paths.shorten(&view.paths.log_file(&view.snapshot.typed, SystemClock.now_ms()))
}

fn config(cli: &Cli, report: &Value) {
    for (name, key, issue) in [("cli", "cli", "Config issue"), ("service", "daemon", "Service config issue")] {
        let config = &report["config"][key];
        let missing = if config["exists"] == true { "" } else { " (missing)" };
        let invalid = if config["valid"] == true { "" } else { " (invalid)" };
        let path = cli.paths.shorten(text(&config["path"]).as_ref());
        line(&format!("Config ({name}): {path}{missing}{invalid}"));
        for problem in items(&config["issues"]).iter().take(5) {
            let path = Some(text(&problem["path"])).filter(|path| !path.is_empty()).unwrap_or("<root>");
            error_line(&format!("{issue}: {path}: {}", text(&problem["message"])));
        }
    }
    if report["config"]["mismatch"] == true {
        error_line(
            "Root cause: CLI and service are using different config paths (likely a profile/state-dir mismatch).",
        );
        let again = cli.paths.hint("gateway install --force");
        error_line(&format!("Fix: rerun `{again}` from the same --profile / CLAWDBOT_STATE_DIR you expect."));
    }
    line("");
}

fn address(view: &View, report: &Value) {
    let gateway = &report["gateway"];
    line(&format!(
        "Gateway: bind={} ({}), port={} ({})",
        text(&gateway["bindMode"]),
        text(&gateway["bindHost"]),
        gateway["port"],
        text(&gateway["portSource"])
    ));
    line(&format!("Probe target: {}", text(&gateway["probeUrl"])));
    line(&format!("Dashboard: {}", dashboard_url(view, report)));
    if let Some(note) = gateway["probeNote"].as_str() {
        line(&format!("Probe note: {note}"));
    }
    line("");
}

fn dashboard_url(view: &View, report: &Value) -> String {
    let gateway = &view.snapshot.typed.gateway;
    if gateway.control_ui.enabled == Some(false) {
        return "disabled".to_owned();
    }
    let port = report["gateway"]["port"].as_u64().and_then(|port| port.try_into().ok());
    dashboard::page_url(&view.snapshot.typed, port.unwrap_or(GATEWAY_PORT))
}

fn runtime(view: &View, report: &Value) {
    line(&format!("Runtime: {}", view.runtime.describe()));
    let rpc = &report["rpc"];
    if rpc["ok"] == false && view.runtime.status == "running" {
        line("Warm-up: launch agents can take a few seconds. Try again shortly.");
    }
    match rpc["ok"].as_bool() {
        Some(true) => line(&format!("RPC probe: {}", verdict(true, "ok"))),
        Some(false) => {
            error_line(&format!("RPC probe: {}", verdict(false, "failed")));
            error_line(&format!("RPC target: {}", text(&rpc["url"])));
            for problem in text(&rpc["error"]).lines().take(12) {
                error_line(&format!("  {problem}"));
            }
        }
        None => {}
    }
    line("");
}

fn problems(cli: &Cli, view: &View, report: &Value, is_answering: bool) {
    let detail = view.runtime.detail.as_deref().unwrap_or_default();
    if systemd::is_unavailable(detail) {
        error_line("systemd user services unavailable.");
        unavailable_hints(cli, "gateway").iter().for_each(|hint| error_line(hint));
        error_line("");
    } else if view.is_loaded && view.runtime.missing_unit {
        error_line("Service unit not found.");
        hints(view, &view.paths);
    } else if view.is_loaded && view.runtime.status == "stopped" {
        error_line("Service is loaded but not running (likely exited immediately).");
        hints(view, &view.paths);
        error_line("");
    }
    if view.runtime.cached_label {
        let label = &view.names.label;
        error_line(&format!(
            "LaunchAgent label cached but plist missing. Clear with: launchctl bootout gui/$UID/{label}"
        ));
        error_line(&format!("Then reinstall: {}", cli.paths.hint("gateway install")));
    }
    let port = &report["port"];
    if port["status"] == "busy" && !is_answering {
        error_line(&format!("Port {} is already in use.", port["port"]));
        for listener in items(&port["listeners"]) {
            let user = listener["user"].as_str().map(|user| format!(" {user}")).unwrap_or_default();
            let command = listener["commandLine"].as_str().unwrap_or(text(&listener["command"]));
            let address = listener["address"].as_str().map(|address| format!(" ({address})")).unwrap_or_default();
            error_line(&format!("- pid {}{user}: {command}{address}", listener["pid"]));
        }
        for hint in items(&port["hints"]) {
            error_line(&format!("- {}", text(hint)));
        }
    }
    let addresses: Vec<&str> = items(&port["listeners"]).iter().filter_map(|it| it["address"].as_str()).collect();
    if !addresses.is_empty() {
        line(&format!("Listening: {}", addresses.join(", ")));
    }
    if report["portCli"].is_object() {
        let own = &report["portCli"];
        line(&format!("Note: CLI config resolves gateway port={} ({}).", own["port"], text(&own["status"])));
    }
    if view.is_loaded && view.runtime.status == "running" && port["status"] != "busy" {
        error_line(&format!("Gateway port {} is not listening (service appears running).", port["port"]));
        if let Some(last) = report["lastError"].as_str() {
            error_line(&format!("Last gateway error: {last}"));
        }
        view.manager.log_hints().iter().for_each(|hint| error_line(hint));
        error_line("");
    }
}

/// Says where the service's words are found.
fn hints(view: &View, paths: &Paths) {
    if view.runtime.missing_unit {
        error_line(&format!("Service not installed. Run: {}", paths.hint("gateway install")));
    }
    error_line(&format!("File logs: {}", log_file(view)));
    view.manager.log_hints().iter().for_each(|hint| error_line(hint));
}

fn others(cli: &Cli, Gathered { report, extra, .. }: &Gathered) {
    let legacy = items(&report["legacyServices"]);
    if !legacy.is_empty() {
        error_line("Legacy gateway services detected:");
        for service in legacy {
            error_line(&format!("- {} ({})", text(&service["label"]), text(&service["detail"])));
        }
        error_line(&format!("Cleanup: {}", cli.paths.hint("doctor")));
        error_line("");
    }
    if !extra.is_empty() {
        error_line("Other gateway-like services detected (best effort):");
        for service in extra {
            error_line(&format!("- {} ({}, {})", service.label, service.scope, service.detail));
        }
        for hint in extra.iter().flat_map(scan::Found::cleanup_hints) {
            error_line(&format!("Cleanup hint: {hint}"));
        }
        error_line("");
    }
    if !legacy.is_empty() || !extra.is_empty() {
        error_line("Recommendation: run a single gateway per machine; one gateway serves several agents.");
        error_line("If you need more of them (e.g., a rescue bot on the same host), isolate ports + config/state.");
        error_line("");
    }
}
