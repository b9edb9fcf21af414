//! `status`: one page about this installation; works with and without a running gateway (cli.md §9).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::exit::{Failure, Outcome};
use super::rpc::{Positive, TIMEOUT_DEFAULT_MS, items};
use super::{Cli, Command, gateway_service, gateway_status, health, output, security};
use crate::agent::session::{agent_ids, default_agent};
use crate::agent::sessions::{Sessions, store_path};
use crate::agent::{listing, workspace};
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::host;
use crate::base::rng::SystemRng;
use crate::base::text::{age, duration, tokens};
use crate::client::target::{Overrides, Target};
use crate::client::{Client, ClientError, Deadline, Profile};
use crate::config::live::Live;
use crate::service::plan::Names;
use crate::service::{self, Manager, Scope};

/// Longest wait for the gateway, in milliseconds.
const PROBE_MS_MAX: u64 = 2500;

/// The end of the log that `--all` shows.
const LOG_LINES: u64 = 30;
const LOG_BYTES_MAX: u64 = 16 * 1024;

/// show the state of the gateway, agents, channels and sessions
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Status {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// show everything that helps somebody else to help
    #[argh(switch)]
    all: bool,
    /// ask the providers for their usage
    #[argh(switch)]
    usage: bool,
    /// probe the channels
    #[argh(switch)]
    deep: bool,
    /// longest wait in milliseconds (default 10000)
    #[argh(option, arg_name = "ms", default = "Default::default()")]
    timeout: Positive,
    /// accepted for scripts
    #[argh(switch)]
    #[allow(dead_code)]
    verbose: bool,
    /// accepted for scripts
    #[argh(switch)]
    #[allow(dead_code)]
    debug: bool,
}

impl Command for Status {
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let target = Target::resolve(&cli.paths, cli.config(), &Overrides::default());
        let mut answers = self.ask(cli, &target)?;
        let mut report = match answers.summary.take() {
            Some(summary) if summary.is_object() => summary,
            _ => local_summary(cli),
        };
        let gateway = &cli.config().gateway;
        report["os"] = os();
        report["gateway"] = json!({
            "mode": gateway.mode.as_deref().filter(|mode| *mode == "remote").unwrap_or("local"),
            "url": target.url,
            "urlSource": target.source,
            "misconfigured": target.remote_fallback_note.is_some(),
            "reachable": answers.error.is_none(),
            "connectLatencyMs": answers.latency_ms,
            "self": answers.own,
            "error": answers.error,
        });
        report["agents"] = agents(cli, &report);
        let findings = security::audit(&cli.paths, cli.config());
        report["securityAudit"] = security::report_of(&findings, json!({}));
        report["gatewayService"] =
            service_view(service::manager(gateway_service::names(&cli.paths), &cli.paths, Scope::User));
        report["nodeService"] = service_view(service::manager(Names::node(), &cli.paths, Scope::User));
        if let Some(health) = answers.health {
            report["health"] = health;
        }
        if let Some(usage) = answers.usage {
            report["usage"] = usage;
        }
        if self.json {
            output::json(&report)
        } else {
            print(cli, &report, self.all)
        }
        Ok(())
    }
}

/// Returns what a service manager says in two words.
fn service_view(manager: Result<Box<dyn Manager>, String>) -> Value {
    let manager = match manager {
        Ok(manager) => manager,
        Err(error) => return json!({"label": "unknown", "installed": false, "loadedText": error, "runtimeShort": null}),
    };
    let is_loaded = manager.is_loaded().unwrap_or(false);
    let installed = is_loaded || manager.installed().is_some();
    let text = if is_loaded { manager.loaded_text() } else { manager.not_loaded_text() };
    let runtime = if installed { Value::from(manager.runtime().describe()) } else { Value::Null };
    json!({"label": manager.label(), "installed": installed, "loadedText": text, "runtimeShort": runtime})
}

/// What the gateway said.
#[derive(Default)]
struct Answers {
    error: Option<String>,
    latency_ms: Option<u64>,
    own: Option<Value>,
    summary: Option<Value>,
    health: Option<Value>,
    usage: Option<Value>,
}

impl Status {
    fn ask(&self, cli: &Cli, target: &Target) -> Result<Answers, Failure> {
        let timeout_ms = self.timeout.or(TIMEOUT_DEFAULT_MS);
        let quick = Deadline::after(Duration::from_millis(timeout_ms.min(PROBE_MS_MAX)));
        let started = SystemClock.now();
        let connected = target.check().and_then(|()| Client::connect(&cli.paths, target, &Profile::probe(), quick));
        let mut client = match connected {
            Ok(client) => client,
            // The connection details are on the page anyway.
            Err(error) if !self.deep => return Ok(Answers { error: Some(error.to_string()), ..Answers::default() }),
            Err(error) => return Err(Failure::error(format!("{error}\n{}", target.details()))),
        };
        let latency_ms = (SystemClock.now() - started).as_millis() as u64;
        let presence = items(&client.hello()["snapshot"]["presence"]);
        let own = presence.iter().find(|entry| entry["mode"] == "gateway").cloned();
        let mut answers = Answers { latency_ms: Some(latency_ms), own, ..Answers::default() };
        match client.request("status", json!({}), false, quick) {
            Ok(summary) => answers.summary = Some(summary),
            Err(error) => answers.error = Some(error.to_string()),
        }
        let slow = Deadline::after(Duration::from_millis(timeout_ms));
        if self.deep {
            let health = client.request("health", json!({"probe": true}), false, slow);
            answers.health = Some(health.map_err(Failure::error)?);
        }
        if self.usage {
            answers.usage = match client.request("usage.status", json!({}), false, slow) {
                Ok(usage) => Some(usage),
                Err(ClientError::Rpc { message, .. }) => Some(json!({"error": message})),
                Err(error) => return Err(Failure::error(error)),
            };
        }
        client.close();
        Ok(answers)
    }
}

/// The summary when no gateway answers: what the files say.
fn local_summary(cli: &Cli) -> Value {
    let live = Live::new(cli.snapshot().clone());
    let sessions = Sessions::new(live, cli.paths.clone(), Arc::new(SystemClock), Arc::new(SystemRng));
    json!({
        "heartbeat": {"defaultAgentId": default_agent(cli.config()).as_str(), "agents": []},
        "channelSummary": [],
        "queuedSystemEvents": [],
        "sessions": listing::status_sessions(cli.config(), &sessions, SystemClock.now_ms()),
    })
}

fn os() -> Value {
    let platform = host::platform();
    let (arch, release) = (host::arch(), host::kernel_release());
    json!({"platform": platform, "arch": arch, "release": release, "label": format!("{platform} {release} ({arch})")})
}

fn agents(cli: &Cli, report: &Value) -> Value {
    let by_agent = items(&report["sessions"]["byAgent"]);
    let rows: Vec<Value> = agent_ids(cli.config())
        .iter()
        .map(|agent| {
            let dir = workspace::dir(cli.config(), &cli.paths, agent);
            let stored = by_agent.iter().find(|row| row["agentId"] == agent.as_str());
            let newest = stored.and_then(|row| items(&row["recent"]).first());
            json!({
                "id": agent.as_str(),
                "workspaceDir": dir,
                "bootstrapPending": dir.join(workspace::BOOTSTRAP).exists(),
                "sessionsPath": store_path(cli.config(), &cli.paths, agent),
                "sessionsCount": stored.map_or(0, |row| row["count"].as_u64().unwrap_or(0)),
                "lastUpdatedAt": newest.map(|row| row["updatedAt"].clone()),
                "lastActiveAgeMs": newest.map(|row| row["age"].clone()),
            })
        })
        .collect();
    let total: u64 = rows.iter().filter_map(|row| row["sessionsCount"].as_u64()).sum();
    let pending = rows.iter().filter(|row| row["bootstrapPending"] == true).count();
    json!({
        "defaultId": default_agent(cli.config()).as_str(),
        "agents": rows,
        "totalSessions": total,
        "bootstrapPendingCount": pending,
    })
}

fn print(cli: &Cli, report: &Value, is_all: bool) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    output::line(&output::bold("Clawdbot status"));
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut add = |item: &str, value: String| rows.push(vec![item.to_owned(), value]);
    let control_ui = &cli.config().gateway.control_ui;
    let port = crate::config::paths::gateway_port(None, cli.config());
    let base = super::dashboard::base_path(control_ui.base_path.as_deref());
    add(
        "Dashboard",
        match control_ui.enabled {
            Some(false) => "disabled".to_owned(),
            _ => format!("http://127.0.0.1:{port}{base}/"),
        },
    );
    let problem = report["configProblem"].as_str().or_else(|| report["health"]["configProblem"].as_str());
    if let Some(problem) = problem {
        add("Config", format!("not in force: {problem}"));
    } else if !cli.snapshot().valid {
        add("Config", format!("invalid; see {}", cli.paths.hint("doctor")));
    }
    add("OS", text(&report["os"]["label"]));
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
            "{} · default {} · {} sessions",
            items(&agents["agents"]).len(),
            text(&agents["defaultId"]),
            agents["totalSessions"]
        ),
    );
    let events = items(&report["queuedSystemEvents"]);
    add("Events", if events.is_empty() { "none".to_owned() } else { format!("{} queued", events.len()) });
    let beats = items(&report["heartbeat"]["agents"]).iter().map(|agent| {
        let every = agent["everyMs"].as_u64().filter(|_| agent["enabled"] == true);
        format!("{} ({})", every.map_or_else(|| "disabled".to_owned(), duration), text(&agent["agentId"]))
    });
    let beats: Vec<String> = beats.collect();
    add("Heartbeat", if beats.is_empty() { "unknown".to_owned() } else { beats.join(", ") });
    add("Sessions", format!("{} active", report["sessions"]["count"]));
    if is_all {
        add("Config", cli.paths.shorten(&cli.paths.config_file));
        add("State", cli.paths.shorten(&cli.paths.state_dir));
        add("Log", cli.paths.default_log_file(SystemClock.now_ms()).display().to_string());
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
        output::line(&format!("\n{}\n{:#}", output::bold("Usage"), report["usage"]));
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
    let log = cli.config().logging.file.as_deref().map(|file| cli.paths.expand(file));
    let log = log.unwrap_or_else(|| cli.paths.default_log_file(SystemClock.now_ms()));
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
    let findings = items(&audit["findings"]).iter().filter(|finding| finding["severity"] != "info");
    for finding in findings.take(6) {
        let word = |key: &str| finding[key].as_str().unwrap_or_default();
        output::line(&format!("  {} {}", word("severity").to_uppercase(), word("title")));
    }
    output::line(&format!("Full report: {}", cli.paths.hint("security audit")));
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
        None if is_set(&auth.token) || super::environment::var("CLAWDBOT_GATEWAY_TOKEN").is_some() => "token",
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
