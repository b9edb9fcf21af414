//! What the configuration opens: the gateway's door, hooks, tools, logs.

use serde_json::Value;

use super::{Finding, Severity};
use crate::config::paths::Paths;
use crate::config::tree;
use crate::config::types::Config;

/// A secret that is shorter can be guessed.
const SECRET_CHARS_MIN: usize = 24;
/// A list of people for elevated commands that is longer is not looked after.
const ALLOWED_MAX: usize = 25;

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

pub(super) fn findings(paths: &Paths, config: &Config, env: Env<'_>) -> Vec<Finding> {
    let tree = &config.tree;
    let mut found = vec![surface(tree)];
    found.extend(synced(paths));
    let token = gateway(config, env, &mut found);
    logging(tree, &mut found);
    elevated(tree, &mut found);
    hooks(tree, token.as_deref(), &mut found);
    if text(tree, &["gateway", "auth", "password"]).is_some() {
        let detail = "gateway.auth.password stands in the configuration file.";
        let finding = Finding::new(
            "config.secrets.gateway_password_in_config",
            Severity::Warn,
            "The gateway's password is in the configuration",
            detail,
        );
        // What the file really says may be a reference to a variable: the effective tree has its value.
        found.push(finding.fix("Put it into CLAWDBOT_GATEWAY_PASSWORD, or refer to a variable with ${NAME}."));
    }
    found
}

fn surface(tree: &Value) -> Finding {
    let mut open = Vec::new();
    let mut listed = 0;
    for (id, section) in tree["channels"].as_object().into_iter().flatten().filter(|(id, _)| *id != "defaults") {
        let policies =
            std::iter::once(section).chain(section["accounts"].as_object().into_iter().flat_map(|it| it.values()));
        for policy in policies.filter_map(|it| it["groupPolicy"].as_str()) {
            match policy {
                "open" => open.push(id.clone()),
                "allowlist" => listed += 1,
                _ => {}
            }
        }
    }
    let word = |is_on: bool| if is_on { "enabled" } else { "disabled" };
    let detail = format!(
        "groups: open={}, allowlist={listed}\ntools.elevated: {}\nhooks: {}\nbrowser control: {}",
        open.len(),
        word(tree["tools"]["elevated"]["enabled"] != false),
        word(tree["hooks"]["enabled"] == true),
        word(tree["browser"]["enabled"] != false),
    );
    Finding::new("summary.attack_surface", Severity::Info, "Attack surface summary", detail)
}

fn synced(paths: &Paths) -> Option<Finding> {
    let is_synced = |path: &std::path::Path| {
        let path = path.to_string_lossy().to_lowercase();
        ["icloud", "dropbox", "google drive", "googledrive", "onedrive"].iter().any(|name| path.contains(name))
    };
    if !is_synced(&paths.state_dir) && !is_synced(&paths.config_file) {
        return None;
    }
    let detail = format!(
        "{} and {}: what is kept there is copied to other machines, credentials and transcripts included.",
        paths.state_dir.display(),
        paths.config_file.display()
    );
    let finding = Finding::new("fs.synced_dir", Severity::Warn, "State or configuration is in a synced folder", detail);
    Some(finding.fix("Move it to a local directory and set CLAWDBOT_STATE_DIR."))
}

/// Judges the gateway's door; returns its token.
fn gateway(config: &Config, env: Env<'_>, found: &mut Vec<Finding>) -> Option<String> {
    let gateway = &config.gateway;
    let given = |text: &Option<String>| text.as_deref().map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned);
    let token = given(&gateway.auth.token).or_else(|| env("CLAWDBOT_GATEWAY_TOKEN"));
    let password = given(&gateway.auth.password).or_else(|| env("CLAWDBOT_GATEWAY_PASSWORD"));
    let mode = match gateway.auth.mode.as_deref() {
        Some(mode) => mode,
        None if password.is_some() => "password",
        None if token.is_some() => "token",
        None => "none",
    };
    let is_open = match mode {
        "token" => token.is_none(),
        "password" => password.is_none(),
        _ => true,
    };
    let bind = gateway.bind.as_deref().unwrap_or("loopback");
    let has_page = gateway.control_ui.enabled != Some(false);
    if bind != "loopback" && is_open {
        let detail = format!("gateway.bind is {bind}, and there is neither a token nor a password.");
        let title = "The gateway is open to the network without a secret";
        found.push(
            Finding::new("gateway.bind_no_auth", Severity::Critical, title, detail)
                .fix("Set gateway.auth.token, or gateway.bind to loopback."),
        );
    }
    if bind == "loopback" && has_page && config.tree["gateway"]["trustedProxies"].as_array().is_none_or(Vec::is_empty) {
        let detail = "A reverse proxy in front of the page would make every visitor look local.";
        found.push(
            Finding::new("gateway.trusted_proxies_missing", Severity::Warn, "No trusted proxy is configured", detail)
                .fix("Set gateway.trustedProxies if there is a proxy; otherwise keep the page to this machine."),
        );
    }
    if bind == "loopback" && has_page && is_open {
        let detail = "Every program of this machine may use the gateway, and everybody behind a proxy to it.";
        found.push(
            Finding::new("gateway.loopback_no_auth", Severity::Critical, "The gateway asks for no secret", detail)
                .fix("Set gateway.auth.token; doctor --generate-gateway-token makes one."),
        );
    }
    match gateway.tailscale.mode.as_deref() {
        Some("funnel") => {
            let detail = "gateway.tailscale.mode is funnel: the whole internet reaches the gateway.";
            found.push(
                Finding::new("gateway.tailscale_funnel", Severity::Critical, "The gateway is public by Funnel", detail)
                    .fix("Use serve, which stays within the tailnet, or off."),
            );
        }
        Some("serve") => {
            let detail = "gateway.tailscale.mode is serve: your tailnet reaches the gateway.";
            let title = "The gateway is on your tailnet";
            found.push(Finding::new("gateway.tailscale_serve", Severity::Info, title, detail));
        }
        _ => {}
    }
    if config.tree["gateway"]["controlUi"]["allowInsecureAuth"] == true {
        let detail = "gateway.controlUi.allowInsecureAuth lets the page in by token alone, over plain HTTP too.";
        let title = "The page may sign in over plain HTTP";
        found.push(
            Finding::new("gateway.control_ui.insecure_auth", Severity::Warn, title, detail)
                .fix("Switch it off and use HTTPS (Tailscale serve, gateway.tls) or localhost."),
        );
    }
    let token = token.filter(|_| mode == "token");
    if let Some(chars) = token.as_ref().map(|token| token.chars().count()).filter(|&chars| chars < SECRET_CHARS_MIN) {
        let detail = format!("It has {chars} characters; a random one of 48 cannot be guessed.");
        let title = "The gateway's token is short";
        found.push(Finding::new("gateway.token_too_short", Severity::Warn, title, detail));
    }
    token
}

fn logging(tree: &Value, found: &mut Vec<Finding>) {
    if tree["logging"]["redactSensitive"] == "off" {
        let detail = "logging.redactSensitive is off: secrets in tool calls reach the log.";
        found.push(
            Finding::new("logging.redact_off", Severity::Warn, "Secrets are not masked in the log", detail)
                .fix("Set logging.redactSensitive to tools."),
        );
    }
}

fn elevated(tree: &Value, found: &mut Vec<Finding>) {
    let elevated = &tree["tools"]["elevated"];
    if elevated["enabled"] == false {
        return;
    }
    for (channel, list) in elevated["allowFrom"].as_object().into_iter().flatten() {
        let people = list.as_array().map_or(&[][..], Vec::as_slice);
        if people.iter().any(|it| it.as_str().is_some_and(|it| it.trim() == "*")) {
            let detail =
                format!("tools.elevated.allowFrom.{channel} has \"*\": everybody there may use elevated tools.");
            let id = format!("tools.elevated.allowFrom.{channel}.wildcard");
            found.push(Finding::new(id, Severity::Critical, "Elevated tools are open to everybody", detail));
        } else if people.len() > ALLOWED_MAX {
            let detail = format!("tools.elevated.allowFrom.{channel} has {} entries.", people.len());
            let id = format!("tools.elevated.allowFrom.{channel}.large");
            found.push(Finding::new(id, Severity::Warn, "Many people may use elevated tools", detail));
        }
    }
    let mut open = Vec::new();
    for (channel, section) in tree["channels"].as_object().into_iter().flatten() {
        if section["groupPolicy"] == "open" {
            open.push(format!("channels.{channel}.groupPolicy"));
        }
        for (account, section) in section["accounts"].as_object().into_iter().flatten() {
            if section["groupPolicy"] == "open" {
                open.push(format!("channels.{channel}.accounts.{account}.groupPolicy"));
            }
        }
    }
    if !open.is_empty() {
        let list: String = open.iter().map(|path| format!("- {path}\n")).collect();
        let detail = format!("Open groups, with elevated tools enabled:\n{list}A prompt injection there can do much.");
        let title = "Open groups and elevated tools together";
        found.push(
            Finding::new("security.exposure.open_groups_with_elevated", Severity::Critical, title, detail)
                .fix("Set groupPolicy to allowlist."),
        );
    }
}

fn hooks(tree: &Value, gateway_token: Option<&str>, found: &mut Vec<Finding>) {
    if tree["hooks"]["enabled"] != true {
        return;
    }
    if let Some(token) = text(tree, &["hooks", "token"]) {
        if token.chars().count() < SECRET_CHARS_MIN {
            let detail = format!("hooks.token has {} characters.", token.chars().count());
            found.push(Finding::new("hooks.token_too_short", Severity::Warn, "The hooks' token is short", detail));
        }
        if Some(token) == gateway_token {
            let detail = "Whoever may post to a hook may do everything.";
            let title = "Hooks and gateway share a token";
            found.push(
                Finding::new("hooks.token_reuse_gateway_token", Severity::Warn, title, detail)
                    .fix("Give hooks.token a value of its own."),
            );
        }
        let detail = "Treat the file like a key.";
        let title = "The hooks' token is in the configuration";
        found.push(Finding::new("config.secrets.hooks_token_in_config", Severity::Info, title, detail));
    }
    if text(tree, &["hooks", "path"]) == Some("/") {
        let detail = "hooks.path is /: it would cover every other address of the gateway.";
        found.push(
            Finding::new("hooks.path_root", Severity::Critical, "Hooks take every address", detail)
                .fix("Use a path of their own, such as /hooks."),
        );
    }
}

fn text<'a>(tree: &'a Value, path: &[&str]) -> Option<&'a str> {
    tree::get(tree, path).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(tree: Value, ids: &[&str]) {
        let mut config: Config = serde_json::from_value(tree.clone()).expect("a configuration");
        config.tree = tree;
        let paths = Paths::resolve(|name| (name == "HOME").then(|| "/h".to_owned()));
        let found = super::findings(&paths, &config, &|_| None);
        let found: Vec<&str> = found.iter().map(|finding| finding.check_id.as_str()).skip(1).collect();
        assert_eq!(found, ids, "{}", config.tree);
    }

    #[test]
    fn doors_are_found() {
        let long = "a long and random enough token";
        let proxies = "gateway.trusted_proxies_missing";
        check(json!({}), &[proxies, "gateway.loopback_no_auth"]);
        check(json!({"gateway": {"auth": {"token": long}}}), &[proxies]);
        check(json!({"gateway": {"auth": {"token": "short"}}}), &[proxies, "gateway.token_too_short"]);
        check(json!({"gateway": {"bind": "lan"}}), &["gateway.bind_no_auth"]);
        let funnel =
            json!({"gateway": {"auth": {"mode": "password", "password": "p"}, "tailscale": {"mode": "funnel"}}});
        check(funnel, &[proxies, "gateway.tailscale_funnel", "config.secrets.gateway_password_in_config"]);
        let token = json!({"auth": {"token": long}, "controlUi": {"enabled": false}});
        check(json!({"gateway": token, "logging": {"redactSensitive": "off"}}), &["logging.redact_off"]);
        check(
            json!({"gateway": token, "hooks": {"enabled": true, "token": long, "path": "/"}}),
            &["hooks.token_reuse_gateway_token", "config.secrets.hooks_token_in_config", "hooks.path_root"],
        );
        check(
            json!({"gateway": token, "tools": {"elevated": {"allowFrom": {"telegram": ["*"]}}},
                "channels": {"telegram": {"groupPolicy": "open"}}}),
            &["tools.elevated.allowFrom.telegram.wildcard", "security.exposure.open_groups_with_elevated"],
        );
    }
}
