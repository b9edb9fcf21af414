//! `channels`: which chat networks are configured, how they are, and logging out (cli.md §15).

mod add;
mod login;
mod look;
mod prompts;

use std::io::{self, IsTerminal as _};

use argh::{ArgsInfo, FromArgs};
use serde_json::{Map, Value, json};

pub(super) use self::add::{Add, Remove};
pub(super) use self::login::Login;
pub(super) use self::look::{Capabilities, Logs, Resolve};
#[cfg(feature = "onboarding")]
pub(super) use self::prompts::offer;
use super::exit::{Failure, Outcome};
use super::rpc::{self, client_command, items};
use super::{Cli, Command, output, usage};
use crate::agent::{auth_profiles, session};
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::text::age;
use crate::channels::channel::{Channel, NOT_BUILT_IN, Setting};
use crate::channels::state::State;
use crate::channels::{self, DEFAULT, normalize};

/// list the chat channels that are configured, and who vouches for models
#[derive(FromArgs, ArgsInfo)]
pub(super) struct List {
    /// do not ask the providers what is used up
    #[argh(switch)]
    no_usage: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for List {
    fn run(self, cli: &Cli) -> Outcome {
        let config = cli.config();
        let at = Setting::of_process(config, &cli.paths, SystemClock.now_ms());
        let active = channels::active(&at);
        let agent = session::default_agent(config);
        let profiles = auth_profiles::read(&auth_profiles::agent_dir(config, &cli.paths, &agent));
        if self.json {
            let ids = |channel: &dyn Channel| -> Value {
                channel.accounts(&at).into_iter().map(|account| Value::from(account.id)).collect()
            };
            let chat: Map<String, Value> =
                active.iter().map(|channel| (channel.info().id.to_owned(), ids(*channel))).collect();
            let auth: Vec<Value> = profiles
                .iter()
                .map(|it| json!({"id": it.id, "provider": it.provider, "type": it.kind.as_str(), "isExternal": false}))
                .collect();
            let mut all = json!({"chat": chat, "auth": auth});
            if !self.no_usage
                && let Some(usage) = usage::ask(cli)
            {
                all["usage"] = usage;
            }
            output::json(&all);
            return Ok(());
        }
        output::line(&output::bold("Chat channels:"));
        for channel in active {
            for account in channel.accounts(&at) {
                let row = channel.snapshot(&at, &account, &State::default());
                output::line(&format!("- {}: {}", title(channel, &row), list_words(channel, &row).join(", ")));
            }
        }
        output::line(&format!("\n{}", output::bold("Auth providers (OAuth + API keys):")));
        for profile in &profiles {
            output::line(&format!("- {} ({})", profile.id, profile.kind.as_str()));
        }
        if profiles.is_empty() {
            output::line("- none");
        }
        if !self.no_usage {
            output::line("");
            match usage::ask(cli) {
                Some(usage) => usage::lines(&usage, SystemClock.now_ms()).iter().for_each(|line| output::line(line)),
                None => output::line("Usage: the gateway asks the providers, and it does not answer."),
            }
        }
        output::line("\nDocs: https://docs.clawd.bot/gateway/configuration");
        Ok(())
    }
}

/// What the list says of an account, in the original's order.
fn list_words(channel: &dyn Channel, row: &Value) -> Vec<String> {
    let mut words = Vec::new();
    words.extend(word(row, "linked", "linked", "not linked"));
    // Whether a network that is linked is configured says nothing.
    words.extend(
        word(row, "configured", "configured", "not configured").filter(|_| !channel.capabilities().has_web_login),
    );
    words.extend(row["tokenSource"].as_str().map(|source| format!("token={source}")));
    words.extend(word(row, "enabled", "enabled", "disabled"));
    words
}

fn word(row: &Value, key: &str, yes: &str, no: &str) -> Option<String> {
    row[key].as_bool().map(|is_so| if is_so { yes } else { no }.to_owned())
}

/// Returns `Label account (name)`.
fn title(channel: &dyn Channel, row: &Value) -> String {
    let name = row["name"].as_str().map(|name| format!(" ({name})")).unwrap_or_default();
    format!("{} {}{name}", channel.info().label, row["accountId"].as_str().unwrap_or("default"))
}

client_command! {
    /// show how the channels of the running gateway are
    pub(super) struct Status {
        /// ask the networks, too
        #[argh(switch)]
        probe: bool,
    }
}

impl Command for Status {
    fn run(self, cli: &Cli) -> Outcome {
        if !self.json && !io::stderr().is_terminal() {
            output::line(if self.probe { "Checking channel status (probe)…" } else { "Checking channel status…" });
        }
        let options = self.client_options();
        let timeout_ms = u64::try_from(options.timeout.as_millis()).unwrap_or(u64::MAX);
        let params = json!({"probe": self.probe, "timeoutMs": timeout_ms});
        match rpc::call(cli, &options, "channels.status", params) {
            Ok(answer) if self.json => output::json(&answer),
            Ok(answer) => gateway_lines(cli, &answer).iter().for_each(|line| output::line(line)),
            Err(error) if self.json => return Err(error.into()),
            Err(error) => {
                output::error_line(&format!("Gateway not reachable: {error}"));
                config_lines(cli).iter().for_each(|line| output::line(line));
            }
        }
        Ok(())
    }
}

fn gateway_lines(cli: &Cli, answer: &Value) -> Vec<String> {
    let now_ms = SystemClock.now_ms();
    let mut lines = vec![output::verdict(true, "Gateway reachable.")];
    let mut warnings = Vec::new();
    for channel in channels::all() {
        for row in items(&answer["channelAccounts"][channel.info().id]) {
            lines.push(format!("- {}: {}", title(channel, row), live_words(row, now_ms).join(", ")));
            let account = row["accountId"].as_str().unwrap_or("default");
            warnings.extend(
                issues(channel, row).into_iter().map(|text| format!("- {} {account}: {text}", channel.info().id)),
            );
        }
    }
    lines.push(String::new());
    if !warnings.is_empty() {
        lines.push("Warnings:".to_owned());
        lines.extend(warnings);
        lines.push(String::new());
    }
    lines.push(format!("Tip: {} shows the gateway's side.", cli.paths.hint("health --verbose")));
    lines
}

/// What the gateway says of an account, in the original's order.
fn live_words(row: &Value, now_ms: u64) -> Vec<String> {
    let text = |key: &str| row[key].as_str().filter(|text| !text.is_empty());
    let since = |key: &str| row[key].as_u64().map(|at| age(now_ms.saturating_sub(at)));
    let mut words = Vec::new();
    words.extend(word(row, "enabled", "enabled", "disabled"));
    words.extend(word(row, "configured", "configured", "not configured"));
    words.extend(word(row, "linked", "linked", "not linked"));
    words.extend(word(row, "running", "running", "stopped"));
    words.extend(word(row, "connected", "connected", "disconnected"));
    words.extend(since("lastInboundAt").map(|ago| format!("in:{ago}")));
    words.extend(since("lastOutboundAt").map(|ago| format!("out:{ago}")));
    words.extend(text("mode").map(|mode| format!("mode:{mode}")));
    words.extend(row["probe"]["bot"]["username"].as_str().map(|bot| format!("bot:@{}", bot.trim_start_matches('@'))));
    words.extend(text("dmPolicy").map(|policy| format!("dm:{policy}")));
    let allowed: Vec<&str> = items(&row["allowFrom"]).iter().filter_map(Value::as_str).take(2).collect();
    words.extend((!allowed.is_empty()).then(|| format!("allow:{}", allowed.join(","))));
    words.extend(text("tokenSource").map(|source| format!("token:{source}")));
    words.extend((row["allowUnmentionedGroups"] == true).then(|| "groups:unmentioned".to_owned()));
    words.extend(word(&row["probe"], "ok", "works", "probe failed"));
    words.extend(word(&row["audit"], "ok", "audit ok", "audit failed"));
    words.extend(text("lastError").map(|error| format!("error:{error}")));
    words
}

/// What should be mended about an account.
fn issues(channel: &dyn Channel, row: &Value) -> Vec<String> {
    let mut issues = Vec::new();
    if row["enabled"] != false && row["linked"] == false {
        let label = channel.info().detail_label;
        issues.push(format!("Not linked (no {label} session). Linking is {NOT_BUILT_IN}."));
    }
    // Running and not connected is what somebody must know: messages do not come in.
    if let (true, Some(error)) = (row["running"] == true && row["connected"] == false, row["lastError"].as_str()) {
        let attempts = row["reconnectAttempts"].as_u64().unwrap_or(0);
        issues.push(format!("Linked but disconnected (reconnectAttempts={attempts}): {error}"));
    }
    if row["allowUnmentionedGroups"] == true && row["probe"]["bot"]["canReadAllGroupMessages"] == false {
        let text = "requireMention=false lets groups speak without a mention, but the bot's privacy mode hides such messages: \
                    switch it off with BotFather, then add the bot to its groups again.";
        issues.push(text.to_owned());
    }
    let audit = &row["audit"];
    if audit["hasWildcardUnmentionedGroups"] == true {
        let text = "groups \"*\" with requireMention=false: whether the bot is in a group can be tried only for groups that are \
                    named by id.";
        issues.push(text.to_owned());
    }
    if let Some(count) = audit["unresolvedGroups"].as_u64().filter(|count| *count > 0) {
        issues.push(format!("{count} of the configured groups are no numeric ids and cannot be tried."));
    }
    for group in items(&audit["groups"]).iter().filter(|group| group["ok"] == false) {
        let text = |key: &str| group[key].as_str().map(str::to_owned);
        let status = text("status").map(|status| format!(" status={status}")).unwrap_or_default();
        let error = text("error").map(|error| format!(": {error}")).unwrap_or_default();
        issues.push(format!("Group {} not reachable by bot.{status}{error}", text("chatId").unwrap_or_default()));
    }
    issues
}

fn config_lines(cli: &Cli) -> Vec<String> {
    let config = cli.config();
    let at = Setting::of_process(config, &cli.paths, SystemClock.now_ms());
    let mode = if config.gateway.mode.as_deref() == Some("remote") { "remote" } else { "local" };
    let mut lines = vec![
        "Gateway not reachable; showing config-only status.".to_owned(),
        format!("Config: {}", cli.paths.config_file.display()),
        format!("Mode: {mode}"),
        String::new(),
    ];
    for channel in channels::active(&at) {
        for account in channel.accounts(&at) {
            let row = channel.snapshot(&at, &account, &State::default());
            let mut words = Vec::new();
            words.extend(word(&row, "enabled", "enabled", "disabled"));
            words.extend(word(&row, "configured", "configured", "not configured"));
            words.extend(word(&row, "linked", "linked", "not linked"));
            words.extend(row["mode"].as_str().map(|mode| format!("mode:{mode}")));
            words.extend(row["tokenSource"].as_str().map(|source| format!("token:{source}")));
            lines.push(format!("- {}: {}", title(channel, &row), words.join(", ")));
        }
    }
    lines
}

/// forget the credentials of a channel's account
#[derive(FromArgs, ArgsInfo)]
pub(super) struct Logout {
    /// channel (default whatsapp)
    #[argh(option, arg_name = "id")]
    channel: Option<String>,
    /// account (default: the channel's)
    #[argh(option, arg_name = "id")]
    account: Option<String>,
}

impl Command for Logout {
    fn run(self, cli: &Cli) -> Outcome {
        let failed = |text: &str| Failure::text(format!("Channel logout failed: Error: {text}"));
        let given = self.channel.as_deref().map(str::trim).filter(|id| !id.is_empty()).unwrap_or(DEFAULT);
        let id = normalize(given).ok_or_else(|| failed(&format!("Unsupported channel: {given}")))?;
        let at = Setting::of_process(cli.config(), &cli.paths, SystemClock.now_ms());
        let found = channels::all().find(|channel| channel.info().id == id);
        let channel = found.ok_or_else(|| failed(&format!("Unsupported channel: {id}")))?;
        let account = channels::account(channel, &at, self.account.as_deref()).map_err(|text| failed(&text))?;
        let done = channel.log_out(&at, &account).map_err(|text| failed(&text))?;
        let label = channel.info().detail_label;
        output::line(&match (channel.capabilities().has_web_login, done.cleared) {
            (true, true) => format!("Cleared {label} credentials."),
            (true, false) => format!("No {label} session found; nothing to delete."),
            (false, true) => "Removed the bot token from the configuration.".to_owned(),
            (false, false) => "No bot token in the configuration; nothing to remove.".to_owned(),
        });
        Ok(())
    }
}
