//! `gateway probe`: which of the gateways that could be meant answer, and which say that they are there (cli.md §6).

mod tunnel;

use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use serde_json::{Value, json};

#[cfg(feature = "discovery")]
use self::tunnel::SSH_PORT;
use self::tunnel::{Host, Tunnel};
use super::exit::{Failure, Outcome};
use super::rpc::Positive;
use super::{Cli, Command, environment, output};
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::text::unless_blank;
use crate::base::thread;
use crate::client::target::{Overrides, Target, local_url, scheme};
use crate::client::{Client, ClientError, Deadline, Profile};
use crate::config::paths::gateway_port;
#[cfg(feature = "discovery")]
use crate::discovery::Beacon;

/// Time of the whole command, in milliseconds.
const BUDGET_DEFAULT_MS: u64 = 3000;
/// Time of a gateway on this machine, in milliseconds.
const LOCAL_MS_MAX: u64 = 800;
/// Time of any other gateway, in milliseconds.
const REMOTE_MS_MAX: u64 = 1500;
/// Time of a gateway behind a tunnel, in milliseconds.
const TUNNEL_MS_MAX: u64 = 2000;
/// Time for gateways to say that they are there, in milliseconds; the probes go on beside it.
const DISCOVERY_MS_MAX: u64 = 1200;

/// Machines of discovered gateways that are tried.
const DISCOVERED_HOSTS_MAX: usize = 4;

/// What is said when more than one answers.
const SEVERAL: &str = "More than one gateway answers. One per network is usual, unless profiles are kept apart on purpose, such as a rescue bot.";

/// look for gateways: the given one, the configured one, this machine's
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Probe {
    /// gateway to probe as well
    #[argh(option, arg_name = "url")]
    url: Option<String>,
    /// machine to reach its gateway through: user@host, or user@host:port
    #[argh(option, arg_name = "target")]
    ssh: Option<String>,
    /// key file for that
    #[argh(option, arg_name = "path")]
    ssh_identity: Option<String>,
    /// for that, take a gateway that is discovered, on a machine whose key ssh knows
    #[argh(switch)]
    ssh_auto: bool,
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
    /// What makes it one; its id, too.
    kind: &'static str,
    url: String,
    is_active: bool,
    /// The tunnel that leads to it, as the report has it.
    tunnel: Value,
}

impl Command for Probe {
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let budget_ms = self.timeout.or(BUDGET_DEFAULT_MS);
        let (started, ts) = (SystemClock.now(), SystemClock.now_ms());
        let mut candidates = self.candidates(cli)?;
        let discovery_ms = budget_ms.min(DISCOVERY_MS_MAX);
        let discovery = Discovery::start(Duration::from_millis(discovery_ms));
        let port = gateway_port(None, cli.config());
        let mut found = None;
        let wait = Duration::from_millis(budget_ms);
        // Stands until the probes are over.
        let tunnel = match self.ssh_host(cli, budget_ms) {
            Some(host) => Some(Tunnel::open(host, port, wait)),
            None if self.ssh_auto => {
                self.discovered_tunnel(found.insert(discovery.finish()), port, Deadline::after(wait))
            }
            None => None,
        };
        let mut warnings = Vec::new();
        match &tunnel {
            Some(Ok(tunnel)) => {
                // What the gateway is spoken to with does not change on the way.
                let remote = cli.config().gateway.remote.url.as_deref().unwrap_or_default();
                let url = tunnel.url(if remote.trim().starts_with("wss://") { "wss" } else { "ws" });
                candidates.retain(|candidate| candidate.url != url);
                candidates.insert(0, Candidate { kind: "sshTunnel", url, is_active: true, tunnel: tunnel.view() });
            }
            Some(Err(error)) => {
                warnings.push(json!({"code": "ssh_tunnel_failed", "message": format!("SSH tunnel failed: {error}")}));
            }
            None => {}
        }
        let targets: Vec<Value> = candidates.iter().map(|it| self.probe(cli, it, budget_ms)).collect();
        drop(tunnel);
        let reached: Vec<&Value> = targets.iter().filter(|target| target["connect"]["ok"] == true).collect();
        let of_kind = |kind: &str| reached.iter().find(|target| target["kind"] == kind);
        let primary = ["explicit", "sshTunnel", "configRemote", "localLoopback"].into_iter().find_map(of_kind);
        if reached.len() > 1 {
            let ids: Vec<&Value> = reached.iter().map(|target| &target["id"]).collect();
            warnings.push(json!({"code": "multiple_gateways", "message": SEVERAL, "targetIds": ids}));
        }
        let is_ok = primary.is_some();
        let beacons: Vec<Value> =
            found.unwrap_or_else(|| discovery.finish()).into_iter().map(|gateway| gateway.view).collect();
        let tailnet = crate::base::host::tailnet_ipv4();
        let scheme = scheme(cli.config());
        let report = json!({
            "ok": is_ok,
            "ts": ts,
            "durationMs": (SystemClock.now() - started).as_millis() as u64,
            "timeoutMs": budget_ms,
            "primaryTargetId": primary.map(|target| target["id"].clone()),
            "warnings": warnings,
            "network": {
                "localLoopbackUrl": format!("{scheme}://127.0.0.1:{port}"),
                "localTailnetUrl": tailnet.map(|ip| format!("{scheme}://{ip}:{port}")),
                "tailnetIPv4": tailnet.map(|ip| ip.to_string()),
            },
            "discovery": {"timeoutMs": discovery_ms, "count": beacons.len(), "beacons": beacons},
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
    /// Returns the machine to reach the gateway through: the given one, the configured one, that of the remote gateway.
    fn ssh_host(&self, cli: &Cli, budget_ms: u64) -> Option<Host> {
        let remote = &cli.config().gateway.remote;
        let configured = |value: &Option<String>| value.as_deref().and_then(unless_blank).map(str::to_owned);
        let identity = configured(&self.ssh_identity).or_else(|| configured(&remote.ssh_identity));
        let named = configured(&self.ssh).or_else(|| configured(&remote.ssh_target));
        let host = match named {
            Some(named) => Host::parse(&named, identity.as_deref())?,
            None => Host::parse(&as_user(&host_of(remote.url.as_deref()?)?), identity.as_deref())?,
        };
        Some(host.resolved(Duration::from_millis(budget_ms)))
    }

    /// Opens a tunnel to the first machine of those that were discovered where one can be had; `None` where none was.
    /// Whoever is on the network can say that it has a gateway, so the machine must be one that `ssh` has met before.
    fn discovered_tunnel(&self, found: &[Found], port: u16, deadline: Deadline) -> Option<Result<Tunnel, String>> {
        let mut hosts: Vec<Host> = Vec::new();
        for gateway in found {
            let host = gateway.host.as_deref().and_then(|host| {
                Host::parse(&format!("{}:{}", as_user(host), gateway.ssh_port), self.ssh_identity.as_deref())
            });
            // Several gateways may be on one machine.
            hosts.extend(host.map(Host::discovered).filter(|host| !hosts.contains(host)));
        }
        let mut errors = Vec::new();
        for host in hosts.into_iter().take(DISCOVERED_HOSTS_MAX) {
            let Ok(left) = deadline.left() else { break };
            let name = host.text();
            match Tunnel::open(host, port, left) {
                Ok(tunnel) => return Some(Ok(tunnel)),
                Err(error) if error.contains("Host key verification failed") => errors.push(format!(
                    "{name} says on the network that it has a gateway, but ssh does not know it, and anybody there can say so. \
                     If it is yours, connect once with ssh, or name it: --ssh {name}\n{error}"
                )),
                Err(error) => errors.push(format!("{name}: {error}")),
            }
        }
        (!errors.is_empty()).then(|| Err(errors.join("\n")))
    }

    fn candidates(&self, cli: &Cli) -> Result<Vec<Candidate>, Failure> {
        let gateway = &cli.config().gateway;
        let is_remote = gateway.mode.as_deref() == Some("remote");
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut add = |kind, url: String, is_active| {
            if !candidates.iter().any(|candidate| candidate.url == url) {
                candidates.push(Candidate { kind, url, is_active, tunnel: Value::Null });
            }
        };
        if let Some(url) = self.url.as_deref().and_then(unless_blank) {
            if !url.starts_with("ws://") && !url.starts_with("wss://") {
                return Err(Failure::error("--url must be a ws:// or wss:// address"));
            }
            add("explicit", url.to_owned(), true);
        }
        if let Some(url) = gateway.remote.url.as_deref().and_then(unless_blank) {
            add("configRemote", url.to_owned(), is_remote);
        }
        let (url, source) = local_url(cli.config());
        log::debug!(target: "client", "local gateway source={source}");
        add("localLoopback", url, !is_remote);
        Ok(candidates)
    }

    fn probe(&self, cli: &Cli, candidate: &Candidate, budget_ms: u64) -> Value {
        let limit_ms = match candidate.kind {
            "localLoopback" => LOCAL_MS_MAX,
            "sshTunnel" => TUNNEL_MS_MAX,
            _ => REMOTE_MS_MAX,
        };
        let deadline = Deadline::after(Duration::from_millis(budget_ms.min(limit_ms)));
        let started = SystemClock.now();
        let (target, mut close) = (self.target(cli, candidate), Value::Null);
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
            "id": candidate.kind,
            "kind": candidate.kind,
            "url": candidate.url,
            "active": candidate.is_active,
            "tunnel": candidate.tunnel,
            "connect": {"ok": error.is_none(), "latencyMs": latency_ms, "error": error, "close": close},
            "self": own.map(self_view),
            "config": if config.is_null() { Value::Null } else { config_view(&config) },
            "health": health,
            "summary": summary,
            "presence": presence,
        })
    }

    fn target(&self, cli: &Cli, candidate: &Candidate) -> Target {
        // Without an address on the command line, what is known of the certificate counts.
        let url = (candidate.kind == "explicit").then(|| candidate.url.clone());
        let overrides = Overrides { url, token: self.token.clone(), password: self.password.clone() };
        // A remote gateway has its own secrets, also while this machine is in local mode, and the other way round.
        let mut config = (**cli.config()).clone();
        let is_remote = matches!(candidate.kind, "configRemote" | "sshTunnel");
        config.gateway.mode = Some(if is_remote { "remote" } else { "local" }.to_owned());
        Target {
            url: candidate.url.clone(),
            remote_fallback_note: None,
            ..Target::resolve(&cli.paths, &config, &overrides)
        }
    }
}

/// Returns the host of a gateway's address; `None` for one that `ssh` would not take as it stands there.
fn host_of(url: &str) -> Option<String> {
    let url: ureq::http::Uri = url.trim().parse().ok()?;
    url.host().filter(|host| !host.starts_with('[')).map(str::to_owned)
}

/// Returns a host as this user would log in there.
fn as_user(host: &str) -> String {
    match environment::var("USER").as_deref().and_then(unless_blank) {
        Some(user) => format!("{user}@{host}"),
        None => host.to_owned(),
    }
}

/// A gateway that was discovered.
struct Found {
    /// As the report has it.
    view: Value,
    /// Its machine.
    host: Option<String>,
    ssh_port: u16,
}

/// Gateways that are being looked for, by a thread of its own.
struct Discovery(Receiver<Vec<Found>>);

impl Discovery {
    fn start(timeout: Duration) -> Self {
        let (sender, receiver) = bounded(1);
        let started = thread::spawn("discover", thread::STACK_SMALL_BYTES, move || {
            // Nobody listens any more if the command has failed.
            let _ = sender.send(discover(timeout));
        });
        match started {
            // It ends by itself, within its time.
            Ok(thread) => thread.detach(),
            Err(error) => log::debug!(target: "discovery", "nothing is discovered: {error}"),
        }
        Self(receiver)
    }

    /// Waits for it.
    fn finish(&self) -> Vec<Found> {
        self.0.recv().unwrap_or_default()
    }
}

#[cfg(feature = "discovery")]
fn discover(timeout: Duration) -> Vec<Found> {
    let found = |beacon: &Beacon| Found {
        view: json!({
            "instanceName": beacon.instance_name,
            "displayName": beacon.display_name,
            "domain": beacon.domain,
            "host": beacon.host,
            "lanHost": beacon.lan_host,
            "tailnetDns": beacon.tailnet_dns,
            "gatewayPort": beacon.gateway_port,
            "sshPort": beacon.ssh_port,
            "wsUrl": beacon.ws_url(),
        }),
        host: beacon.reach_host().map(str::to_owned),
        ssh_port: beacon.ssh_port.unwrap_or(SSH_PORT),
    };
    crate::discovery::find(timeout).iter().map(found).collect()
}

#[cfg(not(feature = "discovery"))]
fn discover(_timeout: Duration) -> Vec<Found> {
    Vec::new()
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
    let warnings = super::rpc::items(&report["warnings"]);
    if !warnings.is_empty() {
        output::line("\nWarning:");
        for warning in warnings {
            output::line(&format!("- {}", warning["message"].as_str().unwrap_or_default()));
        }
    }
    output::line(&format!("\n{}", output::bold("Discovery (this machine)")));
    let count = report["discovery"]["count"].as_u64().unwrap_or_default();
    let found = if count == 0 { "0 gateways".to_owned() } else { format!("{count} gateway(s)") };
    output::line(&format!("Found {found} via Bonjour (local. + clawdbot.internal.)"));
    if count == 0 {
        let tip = "Tip: mDNS does not cross networks; a remote gateway needs wide-area discovery or an SSH tunnel.";
        output::line(&output::dim(tip));
    }
    output::line(&format!("\n{}", output::bold("Targets")));
    for target in super::rpc::items(&report["targets"]) {
        let kind = match (target["kind"].as_str(), target["active"] == true) {
            (Some("localLoopback"), _) => "Local loopback",
            (Some("configRemote"), true) => "Remote (configured)",
            (Some("configRemote"), false) => "Remote (configured, inactive)",
            (Some("sshTunnel"), _) => "Remote over SSH",
            _ => "URL (explicit)",
        };
        output::line(&format!("{kind} {}", target["url"].as_str().unwrap_or_default()));
        let connect = &target["connect"];
        match connect["error"].as_str() {
            None => output::line(&format!("  Connect: ok ({}ms) · RPC: ok", connect["latencyMs"])),
            Some(error) => output::line(&format!("  Connect: failed - {error}")),
        }
        if let Some(host) = target["tunnel"]["target"].as_str() {
            output::line(&format!("  ssh: {host}"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_addresses() {
        for (url, wanted) in [
            ("wss://box.example", Some("box.example")),
            ("wss://box.example/clawdbot?x=1", Some("box.example")),
            ("ws://10.0.0.7:18789/", Some("10.0.0.7")),
            ("wss://me:secret@box.example:1", Some("box.example")),
            ("ws://[::1]:18789", None),
            ("box", Some("box")),
            ("", None),
        ] {
            assert_eq!(host_of(url).as_deref(), wanted, "{url}");
        }
    }
}
