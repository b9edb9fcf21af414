//! Where things are: the questions for workspace, gateway (port, bind, secret) and a gateway elsewhere.

use std::net::Ipv4Addr;

use super::ask::{Asked, Asker, Text, required};
use super::plan::{Auth, GatewayChoice, Plan};
use super::{Choice, Facts};
use crate::config::paths::gateway_port;
use crate::config::types::Config;

/// Address of a gateway on this machine, as the suggestion for a tunnel.
const REMOTE_URL: &str = "ws://127.0.0.1:18789";

/// Asks for the workspace.
pub(super) fn ask_workspace(asker: &mut Asker<'_>, facts: &Facts, config: &Config, plan: &mut Plan) -> Asked<()> {
    let given = asker.text(Text {
        message: "Workspace directory",
        initial: default_workspace(facts, config),
        check: Some(&is_anchored),
        ..Text::default()
    })?;
    let given = if given.is_empty() { default_workspace(facts, config) } else { given };
    plan.workspace(&facts.paths, &given);
    Ok(())
}

/// Refuses a path that depends on where somebody stands, which is the gateway's place when a client asks.
fn is_anchored(given: &str) -> Option<String> {
    let is_ok = given.is_empty() || given.starts_with(['/', '~']);
    (!is_ok).then(|| "Use a path that starts with / or ~".to_owned())
}

/// Returns the configured workspace, else the default one.
pub fn default_workspace(facts: &Facts, config: &Config) -> String {
    let configured = config.agents.defaults.workspace.clone().filter(|path| !path.trim().is_empty());
    configured.unwrap_or_else(|| facts.paths.default_workspace().display().to_string())
}

/// Returns the gateway that the configuration describes, completed by defaults; its secret is the fresh token when it
/// has none.
pub fn current_gateway(facts: &Facts, config: &Config) -> GatewayChoice {
    let gateway = &config.gateway;
    let secret = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let (token, password) = (secret(&gateway.auth.token), secret(&gateway.auth.password));
    let auth = match (gateway.auth.mode.as_deref(), token, password) {
        (Some("password"), _, Some(password)) | (None, None, Some(password)) => Auth::Password(password),
        (_, token, _) => Auth::Token(token.unwrap_or_else(|| facts.fresh_token.clone())),
    };
    GatewayChoice {
        port: gateway_port(None, config),
        bind: gateway.bind.clone().unwrap_or_else(|| "loopback".to_owned()),
        custom_host: gateway.custom_bind_host.clone(),
        auth,
        tailscale: gateway.tailscale.mode.clone().unwrap_or_else(|| "off".to_owned()),
        reset_on_exit: config.tree.pointer("/gateway/tailscale/resetOnExit").and_then(|it| it.as_bool()) == Some(true),
    }
}

/// Returns whether the configuration says anything about the gateway's place or secret.
pub(super) fn has_gateway(config: &Config) -> bool {
    let gateway = &config.gateway;
    let auth = &gateway.auth;
    let is_placed = gateway.port.is_some() || gateway.bind.is_some() || gateway.custom_bind_host.is_some();
    is_placed || auth.mode.is_some() || auth.token.is_some() || auth.password.is_some()
}

/// Asks for everything about the gateway.
pub(super) fn ask_gateway(asker: &mut Asker<'_>, facts: &Facts, config: &Config, plan: &mut Plan) -> Asked<()> {
    let current = current_gateway(facts, config);
    let is_port =
        |given: &str| given.parse::<u16>().ok().filter(|&port| port > 0).is_none().then(|| "Invalid port".to_owned());
    let port = asker.text(Text {
        message: "Gateway port",
        initial: current.port.to_string(),
        check: Some(&is_port),
        ..Text::default()
    })?;
    let binds = [
        Choice::new("loopback", "Loopback (127.0.0.1)").hint("Only this machine"),
        Choice::new("lan", "LAN (0.0.0.0)").hint("Every network of this machine"),
        Choice::new("tailnet", "Tailnet (Tailscale IP)"),
        Choice::new("auto", "Auto (Loopback → LAN)"),
        Choice::new("custom", "Custom IP"),
    ];
    let bind = asker.select("Gateway bind", &binds, Some(&current.bind))?;
    let custom_host = if bind == "custom" { Some(ask_address(asker, current.custom_host.as_deref())?) } else { None };
    let auths = [
        Choice::new("token", "Token").hint("Recommended, on this machine too"),
        Choice::new("password", "Password"),
        Choice::new("off", "Off (loopback only)").hint("Every program on this machine could use the gateway"),
    ];
    let initial = if matches!(current.auth, Auth::Password(_)) { "password" } else { "token" };
    let mut gateway = GatewayChoice {
        port: port.parse().unwrap_or(current.port),
        bind,
        custom_host,
        auth: Auth::Off,
        ..current.clone()
    };
    let mut auth = asker.select("Gateway auth", &auths, Some(initial))?;
    // The choice of the secret's kind is corrected before the secret is asked for.
    let notes = gateway.tighten(&mut auth);
    if !notes.is_empty() {
        asker.note("Note", &notes.join("\n"))?;
    }
    gateway.auth = match auth.as_str() {
        "token" => Auth::Token(ask_token(asker, facts, &current.auth)?),
        "password" => Auth::Password(ask_password(asker, &current.auth)?),
        _ => Auth::Off,
    };
    plan.gateway(&gateway);
    Ok(())
}

fn ask_address(asker: &mut Asker<'_>, initial: Option<&str>) -> Asked<String> {
    let is_address = |given: &str| {
        given.parse::<Ipv4Addr>().is_err().then(|| "Invalid IPv4 address (e.g., 192.168.1.100)".to_owned())
    };
    asker.text(Text {
        message: "Custom IP address",
        initial: initial.unwrap_or_default().to_owned(),
        placeholder: "192.168.1.100",
        check: Some(&is_address),
        ..Text::default()
    })
}

fn ask_token(asker: &mut Asker<'_>, facts: &Facts, current: &Auth) -> Asked<String> {
    let existing = match current {
        Auth::Token(token) if *token != facts.fresh_token => token.clone(),
        _ => String::new(),
    };
    let token = asker.text(Text {
        message: "Gateway token (blank to generate)",
        initial: existing,
        placeholder: "Clients must show it",
        is_sensitive: true,
        ..Text::default()
    })?;
    Ok(if token.is_empty() { facts.fresh_token.clone() } else { token })
}

fn ask_password(asker: &mut Asker<'_>, current: &Auth) -> Asked<String> {
    let existing = match current {
        Auth::Password(password) => password.clone(),
        _ => String::new(),
    };
    asker.text(Text {
        message: "Gateway password",
        initial: existing,
        is_sensitive: true,
        check: Some(&required),
        ..Text::default()
    })
}

/// Asks for a gateway elsewhere.
pub(super) fn ask_remote(asker: &mut Asker<'_>, config: &Config, plan: &mut Plan) -> Asked<()> {
    let remote = &config.gateway.remote;
    let is_url = |given: &str| {
        let is_ok = given.starts_with("ws://") || given.starts_with("wss://");
        (!is_ok).then(|| "URL must start with ws:// or wss://".to_owned())
    };
    let url = asker.text(Text {
        message: "Gateway WebSocket URL",
        initial: remote.url.clone().unwrap_or_else(|| REMOTE_URL.to_owned()),
        check: Some(&is_url),
        ..Text::default()
    })?;
    let auths = [Choice::new("token", "Token (recommended)"), Choice::new("off", "No auth")];
    let token = if asker.select("Gateway auth", &auths, Some("token"))? == "token" {
        Some(asker.text(Text {
            message: "Gateway token",
            initial: remote.token.clone().unwrap_or_default(),
            is_sensitive: true,
            check: Some(&required),
            ..Text::default()
        })?)
    } else {
        None
    };
    plan.remote(&url, token.as_deref());
    Ok(())
}
