//! `node`: this machine as a headless node of a gateway, in the foreground or as a service (cli.md §19).

use serde_json::{Value, json};

use super::exit::{Failure, Outcome};
use super::service::{Verb, snapshot, this_program};
use super::{Cli, Command, environment, output};
use crate::base::host;
use crate::base::rng::{SystemRng, uuid};
use crate::base::secret::Secret;
use crate::client::target::Target;
use crate::config::env;
use crate::config::paths::GATEWAY_PORT;
use crate::gateway;
use crate::nodes::host as node_host;
use crate::nodes::host::config::{GatewayAddress, NodeConfig};
use crate::service::plan::{Names, NodeOptions, Plan};
use crate::service::{self, Manager, Scope};

/// Declares a command with the options that say which gateway: `--host --port --tls --tls-fingerprint --node-id
/// --display-name`.
macro_rules! host_command {
    ($(#[$meta:meta])* pub(super) struct $name:ident { $($fields:tt)* }) => {
        $(#[$meta])*
        #[derive(argh::FromArgs, argh::ArgsInfo)]
        pub(super) struct $name {
            /// host name or address of the gateway (default: node.json, 127.0.0.1)
            #[argh(option, arg_name = "host")]
            host: Option<String>,
            /// port of the gateway (default: node.json, 18789)
            #[argh(option, arg_name = "port")]
            port: Option<String>,
            /// connect by TLS
            #[argh(switch)]
            tls: bool,
            /// SHA-256 of the gateway's certificate, in place of the certificate authorities
            #[argh(option, arg_name = "sha256")]
            tls_fingerprint: Option<String>,
            /// id of this node (default: node.json, a random one)
            #[argh(option, arg_name = "id")]
            node_id: Option<String>,
            /// name of this node (default: node.json, the host's name)
            #[argh(option, arg_name = "name")]
            display_name: Option<String>,
            $($fields)*
        }

        impl $name {
            fn gateway(&self, known: &NodeConfig) -> Result<GatewayAddress, Failure> {
                gateway_of(self.host.as_deref(), self.port.as_deref(), self.tls, self.tls_fingerprint.as_deref(), known)
            }
        }
    };
}

host_command! {
    /// run the node host in the foreground
    pub(super) struct Run {}
}

impl Command for Run {
    const IS_LASTING: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        for (name, value) in env::export(cli.config(), |name| std::env::var(name).ok()) {
            environment::set(&name, &value);
        }
        environment::enrich_path();
        let path_env = environment::var("PATH").unwrap_or_else(|| node_host::PATH_DEFAULT.to_owned());
        gateway::start_logging(cli.config(), &cli.paths, false);
        let store =
            node_host::config::open(&cli.paths).map_err(|error| Failure::error(format!("node.json: {error}")))?;
        let known = store.get();
        let gateway = self.gateway(&known)?;
        let config = NodeConfig {
            version: 1,
            node_id: given(self.node_id.as_deref(), &known.node_id).unwrap_or_else(|| uuid(&SystemRng)),
            display_name: Some(
                given(self.display_name.as_deref(), known.display_name.as_deref().unwrap_or_default())
                    .unwrap_or_else(machine_name),
            ),
            gateway: Some(gateway.clone()),
            rest: known.rest.clone(),
        };
        if config != *known {
            store
                .update(|file| *file = config.clone())
                .map_err(|error| Failure::error(format!("node.json: {error}")))?;
        }
        output::line(&format!("node host PATH: {path_env}"));
        node_host::run(node_host::Options {
            paths: cli.paths.clone(),
            target: target(cli, &gateway),
            version: crate::gateway::version().to_owned(),
            node_id: config.node_id,
            display_name: config.display_name.unwrap_or_default(),
            path_env,
        })
        .map_err(|error| Failure::error(format!("{error:#}")))
    }
}

fn target(cli: &Cli, gateway: &GatewayAddress) -> Target {
    let config = &cli.config().gateway;
    let is_remote = config.mode.as_deref() == Some("remote");
    let (token, password) = match is_remote {
        true => (&config.remote.token, &config.remote.password),
        false => (&config.auth.token, &config.auth.password),
    };
    let secret = |name: &str, configured: &Option<String>| {
        given(environment::var(name).as_deref(), configured.as_deref().unwrap_or_default()).map(Secret::new)
    };
    Target {
        url: gateway.url(),
        source: "node.json".to_owned(),
        bind_detail: None,
        remote_fallback_note: None,
        config_file: cli.paths.config_file.clone(),
        token: secret("CLAWDBOT_GATEWAY_TOKEN", token),
        password: secret("CLAWDBOT_GATEWAY_PASSWORD", password),
        tls_fingerprint: gateway.tls_fingerprint.clone(),
    }
}

/// Decides which gateway: what was typed, then what is stored. TLS of the stored one counts only for that one.
fn gateway_of(
    host: Option<&str>,
    port: Option<&str>,
    tls: bool,
    tls_fingerprint: Option<&str>,
    known: &NodeConfig,
) -> Result<GatewayAddress, Failure> {
    let stored = known.gateway.clone().unwrap_or_default();
    let fingerprint = given(tls_fingerprint, "");
    let port = match port {
        Some(text) => {
            Some(text.trim().parse().ok().filter(|&port: &u16| port > 0).ok_or_else(|| Failure::text("Invalid port"))?)
        }
        None => stored.port,
    };
    let is_stored = given(host, "").is_none_or(|host| Some(host) == stored.host);
    let tls = tls || fingerprint.is_some() || (is_stored && stored.tls);
    let tls_fingerprint = fingerprint.or_else(|| stored.tls_fingerprint.filter(|_| is_stored));
    let host = given(host, stored.host.as_deref().unwrap_or("127.0.0.1"));
    Ok(GatewayAddress { host, port: port.or(Some(GATEWAY_PORT)), tls, tls_fingerprint })
}

fn given(typed: Option<&str>, otherwise: &str) -> Option<String> {
    let usable = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    typed.and_then(usable).or_else(|| usable(otherwise))
}

/// Returns what this machine is called.
fn machine_name() -> String {
    let name = host::name();
    name.strip_suffix(".local").unwrap_or(&name).to_owned()
}

host_command! {
    /// install the node host as a service of this user
    pub(super) struct Install {
        /// accepted for compatibility: node or bun
        #[argh(option, arg_name = "runtime")]
        runtime: Option<String>,
        /// replace a service that is installed
        #[argh(switch)]
        force: bool,
        /// print JSON
        #[argh(switch)]
        json: bool,
    }
}

impl Command for Install {
    fn run(self, cli: &Cli) -> Outcome {
        if self.runtime.as_deref().is_some_and(|runtime| !matches!(runtime, "node" | "bun")) {
            return Err(Failure::text("Invalid --runtime (use \"node\" or \"bun\")"));
        }
        let store =
            node_host::config::open(&cli.paths).map_err(|error| Failure::error(format!("node.json: {error}")))?;
        let gateway = self.gateway(&store.get())?;
        let plan = || {
            let options = NodeOptions {
                host: gateway.host.unwrap_or_default(),
                port: gateway.port.unwrap_or(GATEWAY_PORT),
                tls: gateway.tls,
                tls_fingerprint: gateway.tls_fingerprint,
                node_id: given(self.node_id.as_deref(), ""),
                display_name: given(self.display_name.as_deref(), ""),
            };
            let version = crate::gateway::version();
            Ok(Plan::node(&Names::node(), &options, this_program()?, version, |name| std::env::var(name).ok()))
        };
        with_verb(cli, "install", self.json, |verb| verb.install(self.force, &token_warning(cli), plan))
    }
}

/// A service has this shell's variables no more: says where a secret that is only there has to go.
fn token_warning(cli: &Cli) -> Vec<String> {
    let gateway = &cli.config().gateway;
    let configured =
        if gateway.mode.as_deref() == Some("remote") { &gateway.remote.token } else { &gateway.auth.token };
    let is_lost = environment::var("CLAWDBOT_GATEWAY_TOKEN").is_some() && configured.is_none();
    let file = cli.paths.shorten(&cli.paths.state_dir.join(".env"));
    let text = format!(
        "The service will not see CLAWDBOT_GATEWAY_TOKEN of this shell; put it into {file} unless this node is paired."
    );
    if is_lost { vec![text] } else { Vec::new() }
}

/// Declares a service verb with `--json`.
macro_rules! verb_command {
    ($(#[$meta:meta])* $name:ident, $action:literal, $run:expr) => {
        $(#[$meta])*
        #[derive(argh::FromArgs, argh::ArgsInfo)]
        pub(super) struct $name {
            /// print JSON
            #[argh(switch)]
            json: bool,
        }

        impl Command for $name {
            fn run(self, cli: &Cli) -> Outcome {
                with_verb(cli, $action, self.json, $run)
            }
        }
    };
}

verb_command! {
    /// stop the node host service and remove it
    Uninstall, "uninstall", |verb| verb.uninstall()
}
verb_command! {
    /// start the node host service
    Start, "start", |verb| verb.restart("started")
}
verb_command! {
    /// stop the node host service
    Stop, "stop", |verb| verb.stop()
}
verb_command! {
    /// restart the node host service
    Restart, "restart", |verb| verb.restart("restarted")
}

fn with_verb(cli: &Cli, action: &'static str, is_json: bool, run: impl FnOnce(&Verb<'_>) -> Outcome) -> Outcome {
    let manager = service::manager(Names::node(), &cli.paths, Scope::User).map_err(Failure::error)?;
    run(&Verb { cli, noun: "Node", manager: manager.as_ref(), action, is_json, is_system: false })
}

/// show the node host service and its gateway
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Status {
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for Status {
    fn run(self, cli: &Cli) -> Outcome {
        let manager = service::manager(Names::node(), &cli.paths, Scope::User).map_err(Failure::error)?;
        let config =
            node_host::config::open(&cli.paths).map_err(|error| Failure::error(format!("node.json: {error}")))?;
        // compat: a manager that cannot be asked has no such service; its runtime says why.
        let is_loaded = manager.is_loaded().unwrap_or(false);
        if self.json {
            output::json(&status_json(cli, manager.as_ref(), is_loaded, &config.get()));
            return Ok(());
        }
        let verb =
            Verb { cli, noun: "Node", manager: manager.as_ref(), action: "status", is_json: false, is_system: false };
        print_status(&verb, is_loaded, &config.get());
        Ok(())
    }
}

fn status_json(cli: &Cli, manager: &dyn Manager, is_loaded: bool, config: &NodeConfig) -> Value {
    let mut service = snapshot(manager, is_loaded);
    service["command"] = manager.installed().map_or(Value::Null, |installed| json!(installed));
    service["runtime"] = json!(manager.runtime());
    json!({
        "service": service,
        "node": {
            "path": node_host::config::path(&cli.paths), "nodeId": config.node_id, "displayName": config.display_name,
            "gateway": config.gateway, "gatewayUrl": config.gateway.as_ref().map(GatewayAddress::url),
        },
    })
}

fn print_status(verb: &Verb<'_>, is_loaded: bool, config: &NodeConfig) {
    let manager = verb.manager;
    let state = if is_loaded { manager.loaded_text() } else { manager.not_loaded_text() };
    output::line(&format!("Service: {} ({})", manager.label(), output::verdict(is_loaded, state)));
    if let Some(installed) = manager.installed() {
        output::line(&format!("Command: {}", installed.program_arguments.join(" ")));
        output::line(&format!("Service file: {}", verb.cli.paths.shorten(&installed.source_path)));
        if let Some(directory) = installed.working_directory {
            output::line(&format!("Working dir: {directory}"));
        }
    }
    let runtime = manager.runtime();
    output::line(&format!("Runtime: {}", runtime.describe()));
    if !config.node_id.is_empty() {
        let file = node_host::config::path(&verb.cli.paths);
        output::line(&format!("Node: {} ({})", config.display_name.as_deref().unwrap_or("unnamed"), config.node_id));
        output::line(&format!("Config: {}", verb.cli.paths.shorten(&file)));
    }
    if let Some(gateway) = &config.gateway {
        output::line(&format!("Gateway: {}", gateway.url()));
    }
    if !is_loaded {
        output::line("");
        for hint in verb.start_hints() {
            output::line(&format!("Start with: {hint}"));
        }
        for hint in verb.unavailable_hints(runtime.detail.as_deref().unwrap_or_default()) {
            output::error_line(&hint);
        }
        return;
    }
    let problem = match runtime.status {
        _ if runtime.missing_unit => "Service unit not found.",
        "stopped" => "Service is loaded but not running.",
        _ => return,
    };
    output::error_line(problem);
    for hint in manager.log_hints() {
        output::error_line(&hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_wins_and_tls_belongs_to_its_gateway() {
        let stored = GatewayAddress {
            host: Some("gw".to_owned()),
            port: Some(7),
            tls: true,
            tls_fingerprint: Some("ab".to_owned()),
        };
        let known = NodeConfig { gateway: Some(stored), ..NodeConfig::default() };
        let check = |host, port, tls, pin, expected: &str, expected_pin: Option<&str>| {
            let gateway = gateway_of(host, port, tls, pin, &known).expect("usable");
            assert_eq!((gateway.url().as_str(), gateway.tls_fingerprint.as_deref()), (expected, expected_pin));
        };
        check(None, None, false, None, "wss://gw:7", Some("ab"));
        check(Some("gw"), Some("8"), false, None, "wss://gw:8", Some("ab"));
        check(Some(" other "), None, false, None, "ws://other:7", None);
        check(Some("other"), None, false, Some("cd"), "wss://other:7", Some("cd"));
        check(Some(""), None, true, None, "wss://gw:7", Some("ab"));
        let fresh = gateway_of(None, None, false, None, &NodeConfig::default()).expect("usable");
        assert_eq!(fresh.url(), "ws://127.0.0.1:18789");
        for port in ["0", "x", "70000"] {
            assert_eq!(gateway_of(None, Some(port), false, None, &known), Err(Failure::text("Invalid port")), "{port}");
        }
    }
}
