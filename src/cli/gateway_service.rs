//! `gateway install|uninstall|start|stop|restart`: the gateway as a service (cli.md §4).

use std::path::{Path, PathBuf};

use super::exit::{Failure, Outcome};
use super::service::{Verb, this_program};
use super::{Cli, Command, environment, gateway};
use crate::base::text::unless_blank;
use crate::config::env;
use crate::config::paths::{Paths, gateway_port};
use crate::service::plan::{GatewayOptions, Names, Plan};
use crate::service::{self, Manager, Scope};

/// install the gateway as a service of this user, or of the system
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Install {
    /// port of the gateway (default: CLAWDBOT_GATEWAY_PORT, gateway.port, 18789)
    #[argh(option, arg_name = "port")]
    port: Option<String>,
    /// accepted for compatibility: node or bun
    #[argh(option, arg_name = "runtime")]
    runtime: Option<String>,
    /// shared token that the service is started with (default: gateway.auth.token, CLAWDBOT_GATEWAY_TOKEN)
    #[argh(option, arg_name = "token")]
    token: Option<String>,
    /// replace a service that is installed
    #[argh(switch)]
    force: bool,
    /// a service of the system, which runs without anybody logged in (needs root; runs as the user of sudo)
    #[argh(switch)]
    system: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for Install {
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        if self.runtime.as_deref().is_some_and(|runtime| !matches!(runtime, "node" | "bun")) {
            return Err(Failure::text("Invalid --runtime (use \"node\" or \"bun\")"));
        }
        let port = self.port.as_deref().map(gateway::parse_port).transpose()?;
        with_verb(cli, "install", self.json, self.system, |verb, cli| {
            verb.install(self.force, &warnings(cli), || plan(cli, port, self.token.as_deref()))
        })
    }
}

/// Returns what is installed as the gateway's service: with this port and token, else those of the configuration.
///
/// Its places and its profile are those of `cli`, which need not be this process's: a service is mended from any shell.
pub(super) fn plan(cli: &Cli, port: Option<u16>, token: Option<&str>) -> Result<Plan, String> {
    let config = cli.config();
    let given = |text: Option<&str>| text.and_then(unless_blank).map(str::to_owned);
    let options = GatewayOptions {
        port: gateway_port(port, config),
        token: given(token)
            .or_else(|| given(config.gateway.auth.token.as_deref()))
            .or_else(|| environment::var("CLAWDBOT_GATEWAY_TOKEN")),
        profile: cli.paths.profile.clone(),
        // As if nothing were set here: the service starts with nothing set.
        variables: env::export(config, |_| None),
    };
    let paths = &cli.paths;
    // What would be found without a variable needs none, unless somebody said it on purpose.
    let place = |name: &str, path: &Path, usual: PathBuf| {
        (path != usual || environment::var(name).is_some()).then(|| path.display().to_string())
    };
    let variable = |name: &str| match name {
        "HOME" => Some(paths.home.display().to_string()),
        "CLAWDBOT_PROFILE" => paths.profile.clone(),
        "CLAWDBOT_STATE_DIR" => place(name, &paths.state_dir, paths.home.join(".clawdbot")),
        "CLAWDBOT_CONFIG_PATH" => place(name, &paths.config_file, paths.state_dir.join("clawdbot.json")),
        name => std::env::var(name).ok(),
    };
    let version = crate::gateway::version();
    Ok(Plan::gateway(&names(&cli.paths), &options, this_program()?, version, variable))
}

/// Returns what keeps the service from working although it can be installed.
fn warnings(cli: &Cli) -> Vec<String> {
    let mut warnings = Vec::new();
    if !cli.snapshot().valid {
        let doctor = cli.paths.hint("doctor");
        warnings.push(format!("The configuration is invalid, so the service cannot start yet. Run: {doctor}"));
    } else if cli.config().gateway.mode.as_deref() != Some("local") {
        let command = cli.paths.hint("config set gateway.mode local");
        warnings.push(format!("gateway.mode is not local, so the service cannot start yet. Run: {command}"));
    }
    warnings
}

/// Declares a service verb with `--system` and `--json`.
macro_rules! verb_command {
    ($(#[$meta:meta])* $name:ident, $action:literal, $run:expr) => {
        $(#[$meta])*
        #[derive(argh::FromArgs, argh::ArgsInfo)]
        pub(super) struct $name {
            /// the service of the system instead of this user's
            #[argh(switch)]
            system: bool,
            /// print JSON
            #[argh(switch)]
            json: bool,
        }

        impl Command for $name {
            const IS_LENIENT: bool = true;

            fn run(self, cli: &Cli) -> Outcome {
                with_verb(cli, $action, self.json, self.system, $run)
            }
        }
    };
}

verb_command! {
    /// stop the gateway service and remove it
    Uninstall, "uninstall", |verb, _| verb.uninstall()
}
verb_command! {
    /// start the gateway service
    Start, "start", |verb, _| verb.restart("started")
}
verb_command! {
    /// stop the gateway service
    Stop, "stop", |verb, _| verb.stop()
}
verb_command! {
    /// restart the gateway service
    Restart, "restart", |verb, _| verb.restart("restarted")
}

/// Returns what this profile's service is called.
pub(super) fn names(paths: &Paths) -> Names {
    Names::gateway(paths.profile.as_deref(), |name| std::env::var(name).ok())
}

/// Returns the manager of this user's gateway service.
pub(super) fn manager(paths: &Paths) -> Result<Box<dyn Manager>, String> {
    service::manager(names(paths), paths, Scope::User)
}

fn with_verb(
    cli: &Cli,
    action: &'static str,
    is_json: bool,
    is_system: bool,
    run: impl FnOnce(&Verb<'_>, &Cli) -> Outcome,
) -> Outcome {
    let (scope, paths) = if is_system { system_scope(cli)? } else { (Scope::User, cli.paths.clone()) };
    // What the system's service reads is the home of whom it runs as, not root's.
    let cli = &Cli::new(paths);
    let manager = service::manager(names(&cli.paths), &cli.paths, scope).map_err(Failure::error)?;
    run(&Verb { cli, noun: "Gateway", manager: manager.as_ref(), action, is_json, is_system }, cli)
}

/// Returns as whom a service of the system runs, and where that user's files are.
pub(super) fn system_scope(cli: &Cli) -> Result<(Scope, Paths), Failure> {
    let account = match environment::var("SUDO_USER") {
        Some(user) => service::account(&user),
        None => service::account_of_process(),
    };
    let account =
        account.ok_or_else(|| Failure::error("cannot find out who this user is; is /etc/passwd readable?"))?;
    let paths = match environment::var("SUDO_USER") {
        Some(_) => cli.paths.moved_to(&account.home, environment::var),
        None => cli.paths.clone(),
    };
    Ok((Scope::System { user: account.name, home: paths.home.clone() }, paths))
}

/// Says which service may be keeping a gateway running: for a start that finds the port or the lock taken.
pub(super) fn supervisor_lines(paths: &Paths) -> Vec<String> {
    let Ok(manager) = manager(paths) else { return Vec::new() };
    let state = match manager.is_loaded() {
        Ok(false) => return Vec::new(),
        Ok(true) => format!("Gateway service appears {}. Stop it first.", manager.loaded_text()),
        Err(_) => "Gateway service status unknown; if supervised, stop it first.".to_owned(),
    };
    vec![state, format!("Tip: {}", paths.hint("gateway stop")), format!("Or: {}", manager.stop_hint())]
}
