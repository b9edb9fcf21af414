//! `gateway probe`: which of the gateways that could be meant answer (cli.md §6).
//!
//! Not here: SSH tunnels and discovery; the report says that nothing was discovered.

use std::time::Duration;

use serde_json::{Value, json};

use super::exit::{Failure, Outcome};
use super::rpc::Positive;
use super::{Cli, Command, output};
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::text::unless_blank;
use crate::client::target::{Overrides, Target, local_url};
use crate::client::{Client, ClientError, Deadline, Profile};
use crate::config::paths::gateway_port;

/// Time of the whole command, in milliseconds.
const BUDGET_DEFAULT_MS: u64 = 3000;
/// Time of a gateway on this machine, in milliseconds.
const LOCAL_MS_MAX: u64 = 800;
/// Time of any other gateway, in milliseconds.
const REMOTE_MS_MAX: u64 = 1500;

/// look for gateways: the given one, the configured one, this machine's
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Probe {
    /// gateway to probe as well
    #[argh(option, arg_name = "url")]
    url: Option<String>,
    /// gateway token
    #[argh(option, arg_name = "token")]
    token: Option<String>,
    /// gateway password
    #[argh(option, arg_name = "password")]
    password: Option<String>,
    /// time for everything in milliseconds (default 3000)
    #[argh(option, arg_name = "ms", default = "Default::default()")]
    timeout: Positive,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

/// A gateway that could be meant.
struct Candidate {
    id: &'static str,
    kind: &'static str,
    url: String,
    is_active: bool,
}

impl Command for Probe {
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let budget_ms = self.timeout.or(BUDGET_DEFAULT_MS);
        let started = SystemClock.now();
        let ts = SystemClock.now_ms();
        let targets: Vec<Value> =
            self.candidates(cli)?.iter().map(|candidate| self.probe(cli, candidate, budget_ms)).collect();
        let primary = targets.iter().find(|target| target["connect"]["ok"] == true && target["active"] == true);
        let primary = primary.or_else(|| targets.iter().find(|target| target["connect"]["ok"] == true));
        let is_ok = primary.is_some();
        let port = gateway_port(None, cli.config());
        let tailnet = crate::base::host::tailnet_ipv4();
        let report = json!({
            "ok": is_ok,
            "ts": ts,
            "durationMs": (SystemClock.now() - started).as_millis() as u64,
            "timeoutMs": budget_ms,
            "primaryTargetId": primary.map(|target| target["id"].clone()),
            "warnings": [],
            "network": {
                "localLoopbackUrl": format!("ws://127.0.0.1:{port}"),
                "localTailnetUrl": tailnet.map(|ip| format!("ws://{ip}:{port}")),
                "tailnetIPv4": tailnet.map(|ip| ip.to_string()),
            },
            "discovery": {"timeoutMs": 0, "count": 0, "beacons": []},
            "targets": targets,
        });
        if self.json {
            output::json(&report)
        } else {
            print(&report)
        }
        if is_ok { Ok(()) } else { Err(Failure::code(1)) }
    }
}

impl Probe {
    fn candidates(&self, cli: &Cli) -> Result<Vec<Candidate>, Failure> {
        let gateway = &cli.config().gateway;
        let is_remote = gateway.mode.as_deref() == Some("remote");
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut add = |id, kind, url: String, is_active| {
            if !candidates.iter().any(|candidate| candidate.url == url) {
                candidates.push(Candidate { id, kind, url, is_active });
            }
        };
        if let Some(url) = self.url.as_deref().and_then(unless_blank) {
            if !url.starts_with("ws://") && !url.starts_with("wss://") {
                return Err(Failure::error("--url must be a ws:// or wss:// address"));
            }
            add("explicit", "explicit", url.to_owned(), true);
        }
        if let Some(url) = gateway.remote.url.as_deref().and_then(unless_blank) {
            add("configRemote", "configRemote", url.to_owned(), is_remote);
        }
        let (_, source) = local_url(cli.config());
        log::debug!(target: "client", "local gateway source={source}");
        let port = gateway_port(None, cli.config());
        add("localLoopback", "localLoopback", format!("ws://127.0.0.1:{port}"), !is_remote);
        Ok(candidates)
    }

    fn probe(&self, cli: &Cli, candidate: &Candidate, budget_ms: u64) -> Value {
        let limit_ms = if candidate.kind == "localLoopback" { LOCAL_MS_MAX } else { REMOTE_MS_MAX };
        let deadline = Deadline::after(Duration::from_millis(budget_ms.min(limit_ms)));
        let started = SystemClock.now();
        let (mut target, mut close) = (self.target(cli, candidate), Value::Null);
        target.url.clone_from(&candidate.url);
        let mut latency_ms = Value::Null;
        let answers = Client::connect(&cli.paths, &target, &Profile::probe(), deadline).and_then(|mut client| {
            latency_ms = ((SystemClock.now() - started).as_millis() as u64).into();
            let mut ask = |method| client.request(method, json!({}), false, deadline);
            let answers = (|| Ok([ask("health")?, ask("status")?, ask("system-presence")?, ask("config.get")?]))();
            client.close();
            answers
        });
        if let Err(ClientError::Closed { code, reason, .. }) = &answers {
            close = json!({"code": code, "reason": reason});
        }
        let error = answers.as_ref().err().map(describe);
        let [health, summary, presence, config] = answers.unwrap_or_default();
        let own = presence.as_array().and_then(|list| list.iter().find(|entry| entry["mode"] == "gateway"));
        json!({
            "id": candidate.id,
            "kind": candidate.kind,
            "url": candidate.url,
            "active": candidate.is_active,
            "tunnel": null,
            "connect": {"ok": error.is_none(), "latencyMs": latency_ms, "error": error, "close": close},
            "self": own.map(self_view),
            "config": if config.is_null() { Value::Null } else { config_view(&config) },
            "health": health,
            "summary": summary,
            "presence": presence,
        })
    }

    fn target(&self, cli: &Cli, candidate: &Candidate) -> Target {
        let overrides =
            Overrides { url: Some(candidate.url.clone()), token: self.token.clone(), password: self.password.clone() };
        // A remote gateway has its own secrets, also while this machine is in local mode, and the other way round.
        let mut config = (**cli.config()).clone();
        config.gateway.mode = Some(if candidate.kind == "configRemote" { "remote" } else { "local" }.to_owned());
        Target::resolve(&cli.paths, &config, &overrides)
    }
}

fn describe(error: &ClientError) -> String {
    match error {
        ClientError::Closed { code: 1006, .. } => "connection refused or lost".to_owned(),
        ClientError::Closed { refusal: Some(text), .. } => text.clone(),
        ClientError::Timeout { .. } => "timeout".to_owned(),
        error => error.to_string(),
    }
}

fn self_view(entry: &Value) -> Value {
    json!({"host": entry["host"], "ip": entry["ip"], "version": entry["version"], "platform": entry["platform"]})
}

fn config_view(answer: &Value) -> Value {
    let gateway = &answer["config"]["gateway"];
    let is_set = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
    json!({
        "path": answer["path"],
        "exists": answer["exists"],
        "valid": answer["valid"],
        "issues": answer["issues"],
        "legacyIssues": answer["legacyIssues"],
        "gateway": {
            "mode": gateway["mode"],
            "bind": gateway["bind"],
            "port": gateway["port"],
            "controlUiEnabled": gateway["controlUi"]["enabled"],
            "controlUiBasePath": gateway["controlUi"]["basePath"],
            "authMode": gateway["auth"]["mode"],
            "authTokenConfigured": is_set(&gateway["auth"]["token"]),
            "authPasswordConfigured": is_set(&gateway["auth"]["password"]),
            "remoteUrl": gateway["remote"]["url"],
            "remoteTokenConfigured": is_set(&gateway["remote"]["token"]),
            "remotePasswordConfigured": is_set(&gateway["remote"]["password"]),
            "tailscaleMode": gateway["tailscale"]["mode"],
        },
        "discovery": {"wideAreaEnabled": answer["config"]["discovery"]["wideArea"]["enabled"]},
    })
}

fn print(report: &Value) {
    output::line(&output::bold("Gateway Status"));
    let is_ok = report["ok"] == true;
    output::line(&format!("Reachable: {}", output::verdict(is_ok, if is_ok { "yes" } else { "no" })));
    output::line(&format!("Probe budget: {}ms", report["timeoutMs"]));
    output::line(&format!("\n{}", output::bold("Targets")));
    for target in super::rpc::items(&report["targets"]) {
        let kind = match (target["kind"].as_str(), target["active"] == true) {
            (Some("localLoopback"), _) => "Local loopback",
            (Some("configRemote"), true) => "Remote (configured)",
            (Some("configRemote"), false) => "Remote (configured, inactive)",
            _ => "URL (explicit)",
        };
        output::line(&format!("{kind} {}", target["url"].as_str().unwrap_or_default()));
        let connect = &target["connect"];
        match connect["error"].as_str() {
            None => output::line(&format!("  Connect: ok ({}ms) · RPC: ok", connect["latencyMs"])),
            Some(error) => output::line(&format!("  Connect: failed - {error}")),
        }
        if let Some(own) = target["self"].as_object() {
            let text = |key: &str| own.get(key).and_then(Value::as_str).unwrap_or("unknown");
            output::line(&format!(
                "  Gateway: {} ({}) · {} · app {}",
                text("host"),
                text("ip"),
                text("platform"),
                text("version")
            ));
        }
        let wide_area = match target["config"]["discovery"]["wideAreaEnabled"].as_bool() {
            Some(true) => "enabled",
            Some(false) => "disabled",
            None => "unknown",
        };
        output::line(&format!("  Wide-area discovery: {wide_area}"));
    }
}
