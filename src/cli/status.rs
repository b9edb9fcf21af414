//! `status`: one page about this installation; works with and without a running gateway (cli.md §9).

mod print;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::exit::{Failure, Outcome};
use super::rpc::{Positive, TIMEOUT_DEFAULT_MS, items};
use super::{Cli, Command, gateway_service, output, security, update};
use crate::agent::session::{agent_ids, default_agent};
use crate::agent::sessions::{Sessions, store_path};
use crate::agent::{listing, workspace};
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::host;
use crate::base::rng::SystemRng;
use crate::client::target::{Overrides, Target};
use crate::client::{Client, ClientError, Deadline, Profile};
use crate::config::live::Live;
use crate::service::plan::Names;
use crate::service::{self, Manager, Scope};

/// Longest wait for the gateway, in milliseconds.
const PROBE_MS_MAX: u64 = 2500;

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
        let look = update::look_beside(cli);
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
        (report["memory"], report["memoryPlugin"]) = memory(cli);
        let findings = security::audit(&cli.paths, cli.config());
        report["securityAudit"] = security::report_of(&findings, json!({}));
        report["gatewayService"] =
            service_view(service::manager(gateway_service::names(&cli.paths), &cli.paths, Scope::User));
        report["nodeService"] = service_view(service::manager(Names::node(), &cli.paths, Scope::User));
        let look = look.recv().ok();
        if let Some(look) = &look {
            let channel = look.channel(update::configured_channel(cli));
            report["update"] = look.view();
            report["updateChannel"] = channel.value.into();
            report["updateChannelSource"] = channel.source.into();
        }
        if let Some(health) = answers.health {
            report["health"] = health;
        }
        if let Some(usage) = answers.usage {
            report["usage"] = usage;
        }
        if self.json {
            output::json(&report)
        } else {
            print::print(cli, &report, look.as_ref(), self.all)
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

/// Returns what the default agent's notes are like, and whether they are searched.
#[cfg(feature = "memory")]
fn memory(cli: &Cli) -> (Value, Value) {
    let agent = default_agent(cli.config());
    if !crate::agent::memory::search::is_enabled(cli.config(), &agent) {
        return (Value::Null, json!({"enabled": false, "slot": null, "reason": "memorySearch is off"}));
    }
    (super::memory::view(cli, &agent), json!({"enabled": true, "slot": "memory-core"}))
}

#[cfg(not(feature = "memory"))]
fn memory(_cli: &Cli) -> (Value, Value) {
    (Value::Null, json!({"enabled": false, "slot": null, "reason": "not built in"}))
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
