//! The report of `status` for people (cli.md §9).

use serde_json::Value;

use crate::base::clock::{Clock as _, SystemClock};
use crate::base::text::{age, duration, ellipsize, tokens, unless_blank};
use crate::cli::rpc::items;
use crate::cli::{Cli, dashboard, gateway_service, gateway_status, health, output, update, usage};
use crate::service::Scope;
use crate::update::look::Look;

/// The end of the log that `--all` shows.
const LOG_LINES: u64 = 30;
const LOG_BYTES_MAX: u64 = 16 * 1024;
/// Findings of the security audit that are shown, and how much of each.
const FINDINGS_MAX: usize = 6;
const DETAIL_CHARS_MAX: usize = 160;

/// Prints the report; with `is_all` also what helps somebody else to help.
pub(super) fn print(cli: &Cli, report: &Value, look: Option<&Look>, is_all: bool) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    output::line(&output::bold("Clawdbot status"));
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut add = |item: &str, value: String| rows.push(vec![item.to_owned(), value]);
    let control_ui = &cli.config().gateway.control_ui;
    let port = crate::config::paths::gateway_port(None, cli.config());
    add(
        "Dashboard",
        match control_ui.enabled {
            Some(false) => "disabled".to_owned(),
            _ => dashboard::page_url(cli.config(), port),
        },
    );
    let problem = report["configProblem"].as_str().or_else(|| report["health"]["configProblem"].as_str());
    if let Some(problem) = problem {
        add("Config", format!("not in force: {problem}"));
    } else if !cli.snapshot().valid {
        add("Config", format!("invalid; see {}", cli.paths.hint("doctor")));
    }
    add("OS", text(&report["os"]["label"]));
    add("Version", crate::gateway::version().to_owned());
    add("Tailscale", cli.config().gateway.tailscale.mode.clone().unwrap_or_else(|| "off".to_owned()));
    if let Some(look) = look {
        add("Channel", look.channel(update::configured_channel(cli)).label);
        if let Some(line) = look.git_line() {
            add("Git", line);
        }
        add("Update", look.line());
    }
    add("Gateway", gateway_value(cli, &report["gateway"]));
    for (name, key) in [("Gateway service", "gatewayService"), ("Node service", "nodeService")] {
        let service = &report[key];
        let state = match service["installed"].as_bool() {
            Some(true) => format!(
                "{} {} · {}",
                text(&service["label"]),
                text(&service["loadedText"]),
                service["runtimeShort"].as_str().unwrap_or("unknown")
            ),
            _ => format!("{} not installed", text(&service["label"])),
        };
        add(name, state);
    }
    let agents = &report["agents"];
    add(
        "Agents",
        format!(
            "{} · {} · sessions {} · default {} active {}",
            items(&agents["agents"]).len(),
            match agents["bootstrapPendingCount"].as_u64() {
                None | Some(0) => "no bootstraps".to_owned(),
                Some(pending) => format!("{pending} bootstrapping"),
            },
            agents["totalSessions"],
            text(&agents["defaultId"]),
            items(&agents["agents"])
                .iter()
                .find(|agent| agent["id"] == agents["defaultId"])
                .and_then(|agent| agent["lastActiveAgeMs"].as_u64())
                .map_or_else(|| "unknown".to_owned(), age),
        ),
    );
    add("Memory", memory_value(report));
    let is_probed = report["health"].is_object();
    add("Probes", if is_probed { "enabled" } else { "skipped (use --deep)" }.to_owned());
    let events = items(&report["queuedSystemEvents"]);
    add("Events", if events.is_empty() { "none".to_owned() } else { format!("{} queued", events.len()) });
    let beats = items(&report["heartbeat"]["agents"]).iter().map(|agent| {
        let every = agent["everyMs"].as_u64().filter(|_| agent["enabled"] == true);
        format!("{} ({})", every.map_or_else(|| "disabled".to_owned(), duration), text(&agent["agentId"]))
    });
    let beats: Vec<String> = beats.collect();
    add("Heartbeat", if beats.is_empty() { "unknown".to_owned() } else { beats.join(", ") });
    add("Sessions", sessions_value(cli, &report["sessions"]));
    if is_all {
        add("Config", cli.paths.shorten(&cli.paths.config_file));
        add("State", cli.paths.shorten(&cli.paths.state_dir));
        add("Log", cli.paths.shorten(&cli.paths.log_file(cli.config(), SystemClock.now_ms())));
    }
    output::line(&format!("\n{}\n{}", output::bold("Overview"), output::table(&["Item", "Value"], &rows)));
    print_audit(cli, &report["securityAudit"]);
    let channels = items(&report["channelSummary"]);
    if !channels.is_empty() {
        output::line(&format!("\n{}", output::bold("Channels")));
        channels.iter().for_each(|line| output::line(&text(line)));
    }
    let recent: Vec<Vec<String>> = items(&report["sessions"]["recent"]).iter().take(10).map(session_row).collect();
    output::line(&format!("\n{}", output::bold("Sessions")));
    match recent.is_empty() {
        true => output::line("no sessions yet"),
        false => output::line(&output::table(&["Key", "Kind", "Age", "Model", "Tokens"], &recent)),
    }
    if !events.is_empty() {
        output::line(&format!("\n{}", output::bold("System events")));
        events.iter().take(5).for_each(|event| output::line(&format!("- {}", text(event))));
    }
    if report["health"].is_object() {
        output::line(&format!("\n{}", output::bold("Health")));
        health::channel_lines(&report["health"]).iter().for_each(|line| output::line(line));
    }
    if !report["usage"].is_null() {
        output::line("");
        usage::lines(&report["usage"], SystemClock.now_ms()).iter().for_each(|line| output::line(line));
    }
    if is_all {
        print_diagnosis(cli);
    }
    output::line("\nFAQ: https://docs.clawd.bot/faq");
    output::line("Troubleshooting: https://docs.clawd.bot/troubleshooting");
    output::line("\nNext steps:");
    if report["gateway"]["reachable"] == true {
        output::line(&format!("  Channels and agents: {}", cli.paths.hint("health --verbose")));
        output::line(&format!("  Logs: {}", cli.paths.hint("logs --follow")));
    } else {
        output::line(&format!("  Start it: {}", cli.paths.hint("gateway")));
        output::line(&format!("  Look closer: {}", cli.paths.hint("gateway status")));
    }
}

/// Shows what helps somebody else to help: the file's problems, who holds the port, the last failed start, the log's end.
fn print_diagnosis(cli: &Cli) {
    output::line(&format!("\n{}", output::bold("Diagnosis")));
    let snapshot = cli.snapshot();
    for issue in snapshot.issues.iter().chain(&snapshot.warnings) {
        output::line(&format!("Config: {}", issue.describe()));
    }
    let sentinel = cli.paths.state_dir.join("restart-sentinel.json");
    if sentinel.exists() {
        output::line(&format!("Restart sentinel: {}", cli.paths.shorten(&sentinel)));
    }
    let port = crate::config::paths::gateway_port(None, cli.config());
    let usage = crate::base::ports::look(port);
    output::line(&format!("Port {port}: {}", usage.status.as_str()));
    usage.lines().iter().for_each(|line| output::line(line));
    let view = gateway_status::View::of(gateway_service::names(&cli.paths), cli.paths.clone(), Scope::User);
    if let Some(error) = view.ok().and_then(|view| view.last_error()) {
        output::line(&format!("Last gateway error: {error}"));
    }
    let log = cli.paths.log_file(cli.config(), SystemClock.now_ms());
    let end = crate::logging::tail::tail(&log, None, LOG_LINES, LOG_BYTES_MAX);
    output::line(&format!("Log: {}", cli.paths.shorten(&log)));
    for line in end.map(|end| end.lines).unwrap_or_default() {
        output::line(&format!("  {line}"));
    }
}

/// Shows the worst of what `security audit` finds.
fn print_audit(cli: &Cli, audit: &Value) {
    let summary = &audit["summary"];
    output::line(&format!("\n{}", output::bold("Security audit")));
    output::line(&format!(
        "Summary: {} critical · {} warn · {} info",
        summary["critical"], summary["warn"], summary["info"]
    ));
    let of = |severity: &'static str| items(&audit["findings"]).iter().filter(move |it| it["severity"] == severity);
    let findings: Vec<&Value> = of("critical").chain(of("warn")).collect();
    if findings.is_empty() {
        output::line("No critical or warn findings detected.");
    }
    for finding in findings.iter().take(FINDINGS_MAX) {
        let word = |key: &str| finding[key].as_str().unwrap_or_default();
        output::line(&format!("  {} {}", word("severity").to_uppercase(), word("title")));
        output::line(&format!("    {}", ellipsize(&word("detail").replace('\n', " "), DETAIL_CHARS_MAX)));
        if let Some(fix) = unless_blank(word("remediation")) {
            output::line(&format!("    {}", output::dim(&format!("Fix: {fix}"))));
        }
    }
    if let Some(more @ 1..) = findings.len().checked_sub(FINDINGS_MAX) {
        output::line(&format!("… +{more} more"));
    }
    output::line(&format!("Full report: {}", cli.paths.hint("security audit")));
    output::line(&format!("Deep probe: {}", cli.paths.hint("security audit --deep")));
}

fn memory_value(report: &Value) -> String {
    let (plugin, memory) = (&report["memoryPlugin"], &report["memory"]);
    if plugin["enabled"] != true {
        let reason = plugin["reason"].as_str().map(|reason| format!(" ({reason})"));
        return format!("disabled{}", reason.unwrap_or_default());
    }
    let (vectors, chunks) = (memory["vectors"].as_u64().unwrap_or(0), memory["chunks"].as_u64().unwrap_or(0));
    let vector = match memory["provider"].is_string() {
        false => "vector off".to_owned(),
        true if vectors == chunks => "vector ready".to_owned(),
        true => format!("vector {vectors} of {chunks}"),
    };
    format!("{} files · {chunks} chunks · {vector}", memory["files"])
}

fn sessions_value(cli: &Cli, sessions: &Value) -> String {
    let defaults = &sessions["defaults"];
    let context = defaults["contextTokens"].as_u64().map(|count| format!(" ({} ctx)", tokens(count)));
    let stores = items(&sessions["paths"]);
    let store = match stores {
        [only] => cli.paths.shorten(only.as_str().unwrap_or("unknown").as_ref()),
        [] => "unknown".to_owned(),
        several => format!("{} stores", several.len()),
    };
    format!(
        "{} active · default {}{} · {store}",
        sessions["count"],
        defaults["model"].as_str().unwrap_or("unknown"),
        context.unwrap_or_default(),
    )
}

fn gateway_value(cli: &Cli, gateway: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let state = if gateway["misconfigured"] == true {
        "misconfigured (remote.url missing)".to_owned()
    } else if gateway["reachable"] == true {
        format!("reachable {}ms", gateway["connectLatencyMs"])
    } else {
        format!("unreachable ({})", text(&gateway["error"]))
    };
    let auth = &cli.config().gateway.auth;
    let is_set = |secret: &Option<String>| secret.as_deref().is_some_and(|text| !text.trim().is_empty());
    let auth = match auth.mode.as_deref() {
        Some(mode) => mode,
        None if is_set(&auth.password) => "password",
        None if is_set(&auth.token) || crate::cli::environment::var("CLAWDBOT_GATEWAY_TOKEN").is_some() => "token",
        None => "none",
    };
    let mut parts = vec![
        text(&gateway["mode"]),
        format!("{} ({})", text(&gateway["url"]), text(&gateway["urlSource"])),
        state,
        format!("auth {auth}"),
    ];
    let own = &gateway["self"];
    if own.is_object() {
        let (host, ip) = (text(&own["host"]), text(&own["ip"]));
        parts.push(format!("{host} ({ip}) app {} {}", text(&own["version"]), text(&own["platform"])));
    }
    parts.join(" · ")
}

fn session_row(row: &Value) -> Vec<String> {
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let context = row["contextTokens"].as_u64().unwrap_or(0);
    let used = match row["totalTokens"].as_u64() {
        Some(total) if context > 0 => format!("{}/{} ({}%)", tokens(total), tokens(context), row["percentUsed"]),
        Some(total) => tokens(total),
        None => "-".to_owned(),
    };
    vec![
        text("key"),
        text("kind"),
        row["age"].as_u64().map_or_else(|| "no activity".to_owned(), age),
        text("model"),
        used,
    ]
}
