//! `onboard --non-interactive`: the same plan as the wizard's, from flags (cli.md §12.3).

use std::time::Duration;

use serde_json::json;

use super::{Onboard, carry_out, facts, finish, unsupported_choice, wait_listening};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::rpc::ClientOptions;
use crate::cli::{Cli, health, output};
use crate::client::target::{Overrides, Target};
use crate::config::load::load;
use crate::config::types::Config;
use crate::config::{env, paths};
use crate::wizard::plan::{Auth, GatewayChoice, ModelChoice, Plan};
use crate::wizard::{Facts, HOSTED, Hosted, Mode, current_gateway, default_workspace, hosted_env};

/// How long its health may take.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn run(flags: Onboard, cli: &Cli) -> Outcome {
    if !flags.accept_risk {
        return Err(Failure::text(format!(
            "Non-interactive onboarding requires explicit risk acknowledgement.\n\
             Read: https://docs.clawd.bot/security\n\
             Then add --accept-risk: {}",
            cli.paths.hint("onboard --non-interactive --accept-risk ...")
        )));
    }
    let facts = facts(cli);
    let mut plan = Plan::new("onboard");
    plan.reset = flags.reset_scope(&facts)?;
    if !facts.snapshot.valid && plan.reset.is_none() {
        let doctor = cli.paths.hint("doctor");
        return Err(Failure::text(format!("Config invalid. Run `{doctor}` to repair it, then re-run onboarding.")));
    }
    let empty = Config::default();
    let config = if plan.reset.is_some() { &empty } else { &*facts.snapshot.typed };
    match flags.parsed_mode()?.unwrap_or(Mode::Local) {
        Mode::Remote => remote(&flags, cli, plan),
        Mode::Local => local(&flags, cli, &facts, config, plan),
    }
}

fn remote(flags: &Onboard, cli: &Cli, mut plan: Plan) -> Outcome {
    let url = given(&flags.remote_url).ok_or_else(|| Failure::text("Missing --remote-url for remote mode."))?;
    if !url.starts_with("ws://") && !url.starts_with("wss://") {
        return Err(Failure::text("Invalid --remote-url (it must start with ws:// or wss://)."));
    }
    let token = given(&flags.remote_token);
    plan.mode(Mode::Remote);
    plan.remote(url, token);
    carry_out(cli, &plan).map_err(Failure::error)?;
    let auth = if token.is_some() { "token" } else { "none" };
    if flags.json {
        output::json(&json!({"mode": "remote", "remoteUrl": url, "auth": auth}));
    } else {
        output::line(&format!("Remote gateway: {url}"));
        output::line(&format!("Auth: {auth}"));
        output::line(&format!("Tip: look whether it answers with {}", cli.paths.hint("health")));
    }
    Ok(())
}

fn local(flags: &Onboard, cli: &Cli, facts: &Facts, config: &Config, mut plan: Plan) -> Outcome {
    plan.mode(Mode::Local);
    let workspace = given(&flags.workspace).map_or_else(|| default_workspace(facts, config), str::to_owned);
    plan.workspace(&cli.paths, &workspace);
    let choice = given(&flags.auth_choice).unwrap_or("skip");
    if let Some(flag) = flags.unsupported() {
        return Err(Failure::text(format!(
            "{flag} is for a model provider that this build does not speak to; see --auth-choice in the help."
        )));
    }
    let saved = decide_model(flags, config, choice, &mut plan)?;
    let gateway = decide_gateway(flags, facts, config)?;
    plan.gateway(&gateway);
    if !flags.skip_skills {
        let manager = given(&flags.node_manager).unwrap_or("npm");
        if !matches!(manager, "npm" | "pnpm" | "bun") {
            return Err(Failure::text("Invalid --node-manager (use npm, pnpm, or bun)"));
        }
        plan.set(&["skills", "install", "nodeManager"], manager.into());
    }
    carry_out(cli, &plan).map_err(Failure::error)?;
    if let Some(variable) = saved {
        output::line(&format!("Saved {variable} to {}", cli.paths.shorten(&cli.paths.config_file)));
    }
    let installs = flags.install_daemon && !flags.no_install_daemon && !flags.skip_daemon;
    let is_up = installs && finish::install(&Cli::new(cli.paths.clone()), |_| true, false);
    if !flags.skip_health {
        // Installing has waited for it already.
        show_health(cli, &gateway, is_up, !installs)?;
    }
    if flags.json {
        let mut summary = json!({
            "mode": "local",
            "workspace": plan.workspace_dir(),
            "authChoice": choice,
            "gateway": {
                "port": gateway.port, "bind": gateway.bind, "authMode": gateway.auth.as_str(),
                "tailscaleMode": gateway.tailscale,
            },
            "installDaemon": installs,
        });
        if installs {
            summary["daemonRuntime"] = given(&flags.daemon_runtime).unwrap_or("node").into();
        }
        summary["skipSkills"] = flags.skip_skills.into();
        summary["skipHealth"] = flags.skip_health.into();
        output::json(&summary);
    } else {
        output::line(&format!("Next: {}", cli.paths.hint("gateway")));
    }
    Ok(())
}

/// Decides the model by `--auth-choice`; returns the variable whose key will be stored.
fn decide_model(
    flags: &Onboard,
    config: &Config,
    choice: &str,
    plan: &mut Plan,
) -> Result<Option<&'static str>, Failure> {
    if let Some(hosted) = HOSTED.iter().find(|hosted| hosted.choice == choice) {
        let (variable, model) = hosted_env(hosted);
        let (flag, key) = key_flag(flags, hosted);
        let of_process = |name: &str| std::env::var(name).ok();
        let key = key.map(str::to_owned).or_else(|| env::lookup(config, &of_process, variable)).ok_or_else(|| {
            let flag = flag.map(|flag| format!("Missing {flag} (or {variable} in env)."));
            Failure::text(flag.unwrap_or_else(|| format!("Missing {variable} in env.")))
        })?;
        // A model of this provider that was chosen before stays.
        let chosen = config.agents.defaults.model.as_ref().and_then(|model| model.primary());
        let chosen = chosen.filter(|chosen| chosen.starts_with(&format!("{}/", hosted.provider)));
        let model = chosen.map_or(model, str::to_owned);
        plan.model(config, ModelChoice::Hosted { variable, key, model });
        return Ok(Some(variable));
    }
    match choice {
        "skip" => plan.model(config, ModelChoice::Keep),
        "offline" => plan.model(config, ModelChoice::Offline),
        _ => return Err(unsupported_choice(choice)),
    }
    Ok(None)
}

/// Returns the flag of a provider's key, where there is one, and its value.
fn key_flag<'a>(flags: &'a Onboard, hosted: &Hosted) -> (Option<&'static str>, Option<&'a str>) {
    let (flag, value) = match hosted.provider {
        "anthropic" => ("--anthropic-api-key", &flags.anthropic_api_key),
        "google" => ("--gemini-api-key", &flags.gemini_api_key),
        "kimi-code" => ("--kimi-code-api-key", &flags.kimi_code_api_key),
        "minimax" => ("--minimax-api-key", &flags.minimax_api_key),
        "synthetic" => ("--synthetic-api-key", &flags.synthetic_api_key),
        "openai" => ("--openai-api-key", &flags.openai_api_key),
        "openrouter" => ("--openrouter-api-key", &flags.openrouter_api_key),
        "vercel-ai-gateway" => ("--ai-gateway-api-key", &flags.ai_gateway_api_key),
        "moonshot" => ("--moonshot-api-key", &flags.moonshot_api_key),
        "zai" => ("--zai-api-key", &flags.zai_api_key),
        "opencode" => ("--opencode-zen-api-key", &flags.opencode_zen_api_key),
        _ => return (None, None),
    };
    (Some(flag), given(value))
}

fn decide_gateway(flags: &Onboard, facts: &Facts, config: &Config) -> Result<GatewayChoice, Failure> {
    let one_of = |flag: &str, given: Option<&str>, allowed: &[&str], default: &str| match given {
        None => Ok(default.to_owned()),
        Some(word) if allowed.contains(&word) => Ok(word.to_owned()),
        Some(word) => Err(Failure::text(format!("Invalid {flag} \"{word}\" (use {}).", allowed.join("|")))),
    };
    let port = match given(&flags.gateway_port) {
        None => paths::gateway_port(None, config),
        Some(port) => {
            let port = port.parse::<u16>().ok().filter(|&port| port > 0);
            port.ok_or_else(|| Failure::text("Invalid --gateway-port"))?
        }
    };
    let binds = ["loopback", "tailnet", "lan", "auto", "custom"];
    let current = current_gateway(facts, config);
    let mut gateway = GatewayChoice {
        port,
        bind: one_of("--gateway-bind", given(&flags.gateway_bind), &binds, "loopback")?,
        custom_host: current.custom_host,
        auth: Auth::Off,
        tailscale: one_of("--tailscale", given(&flags.tailscale), &["off", "serve", "funnel"], "off")?,
        reset_on_exit: flags.tailscale_reset_on_exit,
    };
    if gateway.bind == "custom" && gateway.custom_host.is_none() {
        return Err(Failure::text("--gateway-bind custom needs an address: set gateway.customBindHost first."));
    }
    let mut auth = one_of("--gateway-auth", given(&flags.gateway_auth), &["off", "token", "password"], "token")?;
    for note in gateway.tighten(&mut auth) {
        output::line(&note);
    }
    gateway.auth = match auth.as_str() {
        "password" => {
            let existing = config.gateway.auth.password.as_deref().filter(|password| !password.trim().is_empty());
            let password = given(&flags.gateway_password).or(existing);
            let password = password.ok_or_else(|| Failure::text("Missing --gateway-password for password auth."))?;
            Auth::Password(password.to_owned())
        }
        // A token that clients know already stays: running this again must not lock them out.
        "token" => match (given(&flags.gateway_token), current.auth) {
            (Some(token), _) => Auth::Token(token.to_owned()),
            (None, Auth::Token(token)) => Auth::Token(token),
            (None, _) => Auth::Token(facts.fresh_token.clone()),
        },
        _ => Auth::Off,
    };
    Ok(gateway)
}

/// Shows the gateway's health, if it is up or comes up while it is waited for.
fn show_health(cli: &Cli, gateway: &GatewayChoice, is_up: bool, may_wait: bool) -> Outcome {
    let (token, password) = match &gateway.auth {
        Auth::Token(token) => (Some(token.clone()), None),
        Auth::Password(password) => (None, Some(password.clone())),
        Auth::Off => (None, None),
    };
    let written = load(&cli.paths);
    let target = Target::resolve(&cli.paths, &written.typed, &Overrides { url: None, token, password });
    if !(is_up || may_wait && wait_listening(&target.url)) {
        let (run, skip) = (cli.paths.hint("gateway"), "--skip-health");
        return Err(Failure::error(format!(
            "Everything is written, but no gateway answers at {} yet. Start it with: {run} (or pass {skip})",
            target.url
        )));
    }
    let options = ClientOptions { timeout: HEALTH_TIMEOUT, ..ClientOptions::default() };
    for line in health::lines(cli, target, &options)? {
        output::line(&line);
    }
    Ok(())
}

/// Returns a flag's value, unless it is missing or blank.
fn given(flag: &Option<String>) -> Option<&str> {
    flag.as_deref().map(str::trim).filter(|text| !text.is_empty())
}
