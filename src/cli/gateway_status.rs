//! `gateway status`: the service, its configuration, its port and whether it answers (cli.md §5).
//!
//! Gathers everything into one report, which `--json` prints as it is. Not here: its form for people (`print`).

mod print;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::exit::{Failure, Outcome};
use super::rpc::{Positive, TIMEOUT_DEFAULT_MS};
use super::service::snapshot;
use super::{Cli, Command, gateway_service, output};
use crate::base::cancel::CancelToken;
use crate::base::fs::read_text_capped;
use crate::base::ports;
use crate::base::process::{Ended, Keep, capture};
use crate::client::target::{Overrides, Target};
use crate::client::{Client, ClientError, Deadline, Profile};
use crate::config::load::{Snapshot, load};
use crate::config::paths::{GATEWAY_PORT, Paths};
use crate::service::plan::{Names, minimal_path_dirs};
use crate::service::{self, Installed, Manager, Runtime, Scope, audit, scan};

/// A log of a service's starts is looked through from its end, this far.
const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How long the journal may take to answer.
const JOURNAL_WAIT: Duration = Duration::from_secs(3);
/// Variables of the service that are shown; a token never is.
const SHOWN: [&str; 5] =
    ["CLAWDBOT_PROFILE", "CLAWDBOT_STATE_DIR", "CLAWDBOT_CONFIG_PATH", "CLAWDBOT_GATEWAY_PORT", "CLAWDBOT_NIX_MODE"];
/// What a gateway says when it cannot start, in lower case.
const START_ERRORS: [&str; 4] =
    ["refusing to bind gateway", "gateway auth mode", "gateway start blocked", "failed to bind gateway socket"];

/// show whether the gateway's service runs and the gateway answers
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Status {
    /// gateway to probe (default: the local one)
    #[argh(option, arg_name = "url")]
    url: Option<String>,
    /// gateway token
    #[argh(option, arg_name = "token")]
    token: Option<String>,
    /// gateway password
    #[argh(option, arg_name = "password")]
    password: Option<String>,
    /// longest wait of the probe in milliseconds (default 10000)
    #[argh(option, arg_name = "ms", default = "Default::default()")]
    timeout: Positive,
    /// do not ask the gateway
    #[argh(switch)]
    no_probe: bool,
    /// look for services in the system's directories, too
    #[argh(switch)]
    deep: bool,
    /// the service of the system instead of this user's
    #[argh(switch)]
    system: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for Status {
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let (scope, paths) =
            if self.system { gateway_service::system_scope(cli)? } else { (Scope::User, cli.paths.clone()) };
        let view = View::of(gateway_service::names(&paths), paths, scope)
            .map_err(|error| Failure::text(format!("Gateway status failed: {error}")))?;
        let gathered = self.gather(cli, &view);
        if self.json {
            output::json(&gathered.report);
        } else {
            print::print(cli, &view, &gathered);
        }
        Ok(())
    }
}

/// What was found out.
struct Gathered {
    /// All of it, as `--json` prints it.
    report: Value,
    /// What is wrong with the installed service.
    audit: Vec<audit::Issue>,
    /// Services that may start a second gateway.
    extra: Vec<scan::Found>,
}

/// What the service manager knows, and the configuration as the service reads it.
pub(super) struct View {
    pub(super) manager: Box<dyn Manager>,
    pub(super) names: Names,
    /// Whether it is the whole system's service.
    is_system: bool,
    pub(super) is_loaded: bool,
    pub(super) installed: Option<Installed>,
    pub(super) runtime: Runtime,
    /// Where the service's files are.
    pub(super) paths: Paths,
    /// The configuration that it reads.
    pub(super) snapshot: Snapshot,
}

impl View {
    /// Asks the service manager and reads what the service reads.
    ///
    /// # Errors
    /// On systems without a known service manager.
    pub(super) fn of(names: Names, paths: Paths, scope: Scope) -> Result<Self, String> {
        let is_system = matches!(scope, Scope::System { .. });
        let manager = service::manager(names.clone(), &paths, scope)?;
        let installed = manager.installed();
        // compat: a manager that cannot be asked has no such service; its runtime says why.
        let is_loaded = manager.is_loaded().unwrap_or(false);
        let runtime = manager.runtime();
        let paths = match &installed {
            // A unit that does not say whose home is meant runs as the one whom it was looked for.
            Some(installed) => Paths::resolve(|name| match (name, installed.environment.get(name)) {
                ("HOME", None) => Some(paths.home.display().to_string()),
                _ => merged(&installed.environment, name),
            }),
            None => paths,
        };
        let snapshot = load(&paths);
        Ok(Self { manager, names, is_system, is_loaded, installed, runtime, paths, snapshot })
    }

    /// Returns a variable as the service sees it, else as this process does.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        match &self.installed {
            Some(installed) => merged(&installed.environment, name),
            None => std::env::var(name).ok(),
        }
    }

    /// Returns the port that the service listens at, and who says so.
    pub(super) fn port(&self) -> (u16, &'static str) {
        let arguments = self.installed.iter().flat_map(|installed| &installed.program_arguments);
        let mut arguments = arguments.skip_while(|word| !word.starts_with("--port"));
        let argument = arguments.next().and_then(|word| match word.split_once('=') {
            Some((_, port)) => port.parse().ok(),
            None => arguments.next()?.parse().ok(),
        });
        if let Some(port) = argument.filter(|&port: &u16| port > 0) {
            return (port, "service args");
        }
        let variable = self.variable("CLAWDBOT_GATEWAY_PORT").and_then(|port| port.trim().parse().ok());
        let configured = || self.snapshot.typed.gateway.port.and_then(|port| u16::try_from(port).ok());
        let port = variable.filter(|&port: &u16| port > 0).or_else(configured);
        (port.filter(|&port| port > 0).unwrap_or(GATEWAY_PORT), "env/config")
    }

    /// Returns what is wrong with the installed service.
    pub(super) fn audit(&self) -> Vec<audit::Issue> {
        let text = self.installed.as_ref().and_then(|it| read_text_capped(&it.source_path, LOG_BYTES_MAX).ok()?);
        let wanted = minimal_path_dirs(|name| match name {
            "HOME" => Some(self.paths.home.display().to_string()),
            name => std::env::var(name).ok(),
        });
        audit::audit(self.installed.as_ref(), text.as_deref(), &wanted)
    }

    /// Returns the last line that says why the gateway did not start.
    pub(super) fn last_error(&self) -> Option<String> {
        let prefix = &self.names.log_prefix;
        let logs = self.paths.state_dir.join("logs");
        let read = |name: String| tail(&logs.join(name));
        let (errors, all) = (read(format!("{prefix}.err.log")), read(format!("{prefix}.log")));
        last_error(&errors, &all).or_else(|| last_error(&journal(&self.names.unit, self.is_system), ""))
    }
}

/// Returns a variable of the service, else of this process.
fn merged(environment: &Map<String, Value>, name: &str) -> Option<String> {
    environment.get(name).and_then(Value::as_str).map(str::to_owned).or_else(|| std::env::var(name).ok())
}

impl Status {
    fn gather(&self, cli: &Cli, view: &View) -> Gathered {
        let gateway = &view.snapshot.typed.gateway;
        let (port, port_source) = view.port();
        let bind_mode = gateway.bind.as_deref().unwrap_or("loopback");
        let host = match bind_mode {
            "custom" => gateway.custom_bind_host.clone(),
            "tailnet" => crate::base::host::tailnet_ipv4().map(|ip| ip.to_string()),
            _ => None,
        };
        let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
        let bind_host = if bind_mode == "lan" { "0.0.0.0" } else { &host };
        // compat: always ws, also with TLS; the probe itself speaks what the gateway does.
        let url = self.url.clone().unwrap_or_else(|| format!("ws://{host}:{port}"));
        let usage = ports::look(port);
        let probe = (!self.no_probe).then(|| self.probe(view, &url));

        let audit = view.audit();
        let mut service = snapshot(view.manager.as_ref(), view.is_loaded);
        service["command"] = view.installed.as_ref().map_or(Value::Null, command_view);
        service["runtime"] = json!(view.runtime);
        service["configAudit"] = json!({"ok": audit.is_empty(), "issues": audit});
        let mut config = json!({"cli": config_view(cli.snapshot()), "daemon": config_view(&view.snapshot)});
        if cli.paths.config_file != view.paths.config_file {
            config["mismatch"] = true.into();
        }
        let mut report = json!({"service": service, "config": config});
        let mut gateway = json!({"bindMode": bind_mode, "bindHost": bind_host});
        if let Some(custom) = &view.snapshot.typed.gateway.custom_bind_host {
            gateway["customBindHost"] = custom.as_str().into();
        }
        gateway["port"] = port.into();
        gateway["portSource"] = port_source.into();
        gateway["probeUrl"] = url.as_str().into();
        if let Some(note) = probe_note(bind_mode).filter(|_| self.url.is_none()) {
            gateway["probeNote"] = note.into();
        }
        report["gateway"] = gateway;
        let stop = cli.paths.hint("gateway stop");
        report["port"] = port_view(&usage, &stop);
        let own_port = crate::config::paths::gateway_port(None, cli.config());
        if own_port != port {
            report["portCli"] = port_view(&ports::look(own_port), &stop);
        }
        if view.is_loaded
            && view.runtime.status == "running"
            && usage.status != ports::Status::Busy
            && let Some(line) = view.last_error()
        {
            report["lastError"] = line.into();
        }
        if let Some(probe) = probe {
            report["rpc"] = match probe {
                Ok(()) => json!({"ok": true, "url": url}),
                Err(error) => json!({"ok": false, "error": error, "url": url}),
            };
        }
        report["legacyServices"] = json!(scan::legacy(&view.paths));
        let extra = scan::extra(&view.paths, &view.names, self.deep);
        report["extraServices"] = json!(extra);
        Gathered { report, audit, extra }
    }

    fn probe(&self, view: &View, url: &str) -> Result<(), String> {
        let config = &view.snapshot.typed;
        let secret = |flag: &Option<String>, name: &str| flag.clone().or_else(|| view.variable(name));
        let overrides = Overrides {
            url: Some(url.to_owned()),
            token: secret(&self.token, "CLAWDBOT_GATEWAY_TOKEN").or_else(|| config.gateway.auth.token.clone()),
            password: secret(&self.password, "CLAWDBOT_GATEWAY_PASSWORD")
                .or_else(|| config.gateway.auth.password.clone()),
        };
        let mut target = Target::resolve(&view.paths, config, &overrides);
        if self.url.is_none() && config.gateway.tls.enabled == Some(true) {
            // Its own certificate is known: by the file, not by the address.
            let local = Overrides { url: None, ..overrides };
            let url = url.replacen("ws://", "wss://", 1);
            target = Target { url, ..Target::resolve(&view.paths, config, &local) };
        }
        let deadline = Deadline::after(Duration::from_millis(self.timeout.or(TIMEOUT_DEFAULT_MS)));
        let result = Client::connect(&view.paths, &target, &Profile::cli(), deadline).and_then(|mut client| {
            let result = client.request("status", json!({}), false, deadline);
            client.close();
            result
        });
        result.map(|_| ()).map_err(|error: ClientError| match error.is_connection() {
            true => format!("{error}\n{}", target.details()),
            false => error.to_string(),
        })
    }
}

fn command_view(installed: &Installed) -> Value {
    let shown: Map<String, Value> = SHOWN
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), installed.environment.get(*name)?.clone())))
        .filter(|(_, value)| value.as_str().is_some_and(|text| !text.trim().is_empty()))
        .collect();
    json!(Installed { environment: shown, ..installed.clone() })
}

fn config_view(snapshot: &Snapshot) -> Value {
    let mut view = json!({"path": snapshot.path, "exists": snapshot.exists, "valid": snapshot.valid});
    if !snapshot.issues.is_empty() {
        let issues = snapshot.issues.iter().map(|issue| json!({"path": issue.path, "message": issue.message}));
        view["issues"] = issues.collect();
    }
    if let Some(control_ui) = snapshot.config["gateway"].get("controlUi") {
        view["controlUi"] = control_ui.clone();
    }
    view
}

fn port_view(usage: &ports::Usage, stop: &str) -> Value {
    let listener = |listener: &ports::Listener| {
        let mut view = json!({"pid": listener.pid, "command": listener.command});
        for (key, value) in
            [("address", &listener.address), ("commandLine", &listener.command_line), ("user", &listener.user)]
        {
            if let Some(value) = value {
                view[key] = value.as_str().into();
            }
        }
        view
    };
    json!({
        "port": usage.port, "status": usage.status.as_str(),
        "listeners": usage.listeners.iter().map(listener).collect::<Vec<_>>(), "hints": usage.hints(stop),
    })
}

fn probe_note(bind_mode: &str) -> Option<&'static str> {
    match bind_mode {
        "loopback" => Some("Loopback-only gateway; only local clients can connect."),
        "lan" => Some(
            "Local probe uses loopback (127.0.0.1). bind=lan listens on 0.0.0.0 (all interfaces); use a LAN IP for remote clients.",
        ),
        _ => None,
    }
}

/// Returns a file's last part; nothing when it is not there.
fn tail(file: &Path) -> String {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(file)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES_MAX)))?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Returns what a unit of this user, or of the system, wrote lately; nothing where there is no journal.
fn journal(unit: &str, is_system: bool) -> String {
    let Some(tool) = crate::base::process::find_program("journalctl") else { return String::new() };
    let mut command = std::process::Command::new::<PathBuf>(tool);
    command.args((!is_system).then_some("--user"));
    command.args(["-u", &format!("{unit}.service"), "-n", "200", "--no-pager", "-o", "cat", "-q"]);
    match capture(command, Some(JOURNAL_WAIT), Keep::Last(256 * 1024), &CancelToken::new()) {
        Ok(captured) if captured.ended == Ended::Exited(0) => captured.stdout,
        _ => String::new(),
    }
}

/// Returns the last line that a failed start wrote: a known one of either log, else whatever came last.
fn last_error(errors: &str, all: &str) -> Option<String> {
    let is_known = |line: &&str| {
        let line = line.to_lowercase();
        let is_tailscale = line.split_once("tailscale ").is_some_and(|(_, rest)| rest.contains(" requires"));
        is_tailscale || START_ERRORS.iter().any(|start| line.contains(start))
    };
    // compat: the log of everything stands behind that of errors, so its lines win.
    let known = all.lines().rev().find(is_known).or_else(|| errors.lines().rev().find(is_known));
    let last = |text: &str| text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned);
    known.map(|line| line.trim().to_owned()).or_else(|| last(errors)).or_else(|| last(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_says_why_is_found() {
        let known = "x\nGateway start blocked: set gateway.mode=local\nlater\n";
        assert_eq!(last_error(known, "").as_deref(), Some("Gateway start blocked: set gateway.mode=local"));
        assert_eq!(
            last_error(known, "Refusing to bind gateway to lan\n").as_deref(),
            Some("Refusing to bind gateway to lan")
        );
        assert_eq!(last_error("a\nb\n\n", "c").as_deref(), Some("b"));
        assert_eq!(last_error("", "c\n").as_deref(), Some("c"));
        assert_eq!(last_error("", ""), None);
        let tailscale = "tailscale funnel requires gateway auth mode=password\nx";
        assert!(last_error(tailscale, "").is_some_and(|line| line.starts_with("tailscale funnel")));
    }
}
