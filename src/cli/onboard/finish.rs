//! The end of a set-up: Telegram's token tried at once, the service installed, the gateway waited for, the page shown.
//!
//! Comes after the plan was carried out, so nothing here can spoil it: what fails is told, with the command for later.

use std::time::Duration;

use serde_json::Value;

use super::is_listening;
use crate::base::cancel::CancelToken;
use crate::base::clock::{Clock as _, SystemClock};
use crate::cli::{Cli, ask, config, dashboard, doctor, gateway_service, output};
use crate::config::tree;
use crate::net::fetch::Fetch;
use crate::service::systemd;

/// How long the gateway may take to come up, and how often is looked.
const UP_WAIT: Duration = Duration::from_secs(15);
const UP_LOOK: Duration = Duration::from_millis(300);
/// How long Telegram may take to say whose token it is, and how much it may say.
const TELEGRAM_WAIT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// How often a token is asked for.
const TOKEN_TRIES_MAX: usize = 5;

/// What of it is wanted.
pub(super) struct Wanted {
    /// Ask for Telegram.
    pub(super) channels: bool,
    /// Install the service; `None` asks.
    pub(super) service: Option<bool>,
    /// Open the page.
    pub(super) page: bool,
}

/// Does all of it with somebody at the terminal.
pub(super) fn with_person(wanted: &Wanted, paths: &crate::config::paths::Paths) {
    let mut cli = Cli::new(paths.clone());
    if cli.config().gateway.mode.as_deref() != Some("local") {
        return;
    }
    if wanted.channels && !has_telegram(&cli) {
        ask_telegram(&cli);
        cli = Cli::new(paths.clone());
    }
    let is_service = match wanted.service {
        Some(wanted) => wanted,
        None if !has_manager(&cli) => {
            output::line("\nThere is no service manager for users here, so the gateway runs in the foreground.");
            false
        }
        None => ask::confirm("Install the gateway as a service, so that it always runs?", true),
    };
    let is_up = is_service && install(&cli, |question| ask::confirm(question, true), true);
    if wanted.page && is_up {
        dashboard::show(&cli, true);
        return;
    }
    if !is_up {
        output::line(&format!("\nNext: {}", cli.paths.hint("gateway")));
        output::line(&format!("Then: {}", cli.paths.hint("dashboard")));
    }
}

/// Returns whether a service could be installed at all.
fn has_manager(cli: &Cli) -> bool {
    gateway_service::manager(&cli.paths).is_ok_and(|manager| manager.is_loaded().is_ok())
}

/// Installs the service and waits for the gateway; returns whether it answers.
pub(super) fn install(cli: &Cli, agrees: impl FnOnce(&str) -> bool, may_ask: bool) -> bool {
    let manager = match gateway_service::manager(&cli.paths) {
        Ok(manager) => manager,
        Err(error) => {
            output::line(&error);
            return false;
        }
    };
    match manager.is_loaded() {
        Err(error) if systemd::is_unavailable(&error) => {
            output::line("Systemd user services are unavailable; skipping service install.");
            return false;
        }
        Err(error) => {
            output::line(&format!("Gateway service check failed: {error}"));
            return false;
        }
        Ok(_) => {}
    }
    if cfg!(target_os = "linux") {
        doctor::ensure_linger(agrees, may_ask);
    }
    let plan = gateway_service::plan(cli, None, None);
    match plan.and_then(|plan| manager.install(&plan)) {
        Ok(lines) => lines.iter().for_each(|line| output::line(line)),
        Err(error) => {
            output::line(&format!("Gateway install failed: {error}"));
            output::line(&format!("Look closer: {}", cli.paths.hint("gateway status")));
            return false;
        }
    }
    let port = crate::config::paths::gateway_port(None, cli.config());
    let address = format!("127.0.0.1:{port}");
    let until = SystemClock.now() + UP_WAIT;
    // A service manager does not say when the gateway listens: there is nothing to wait on but the clock.
    while !is_listening(&address) && SystemClock.now() < until {
        CancelToken::new().sleep(UP_LOOK);
    }
    let is_up = is_listening(&address);
    output::line(&match is_up {
        true => format!("Gateway: reachable at ws://{address}"),
        false => format!("Gateway: not detected at ws://{address}; see {}", cli.paths.hint("gateway status")),
    });
    is_up
}

fn has_telegram(cli: &Cli) -> bool {
    let section = &cli.config().tree["channels"]["telegram"];
    let is_set = |key: &str| section[key].as_str().is_some_and(|text| !text.trim().is_empty());
    is_set("botToken")
        || is_set("tokenFile")
        || section["accounts"].is_object()
        || std::env::var("TELEGRAM_BOT_TOKEN").is_ok()
}

fn ask_telegram(cli: &Cli) {
    output::line("\nTelegram: talk to @BotFather, /newbot, and paste the token that it gives you (empty: later).");
    for _ in 0..TOKEN_TRIES_MAX {
        let Some(token) = ask::line("Bot token: ").filter(|token| !token.is_empty()) else { return };
        match try_token(cli, &token) {
            Ok(name) => {
                let saved = config::edit(&cli.paths, |file| {
                    tree::set(file, &["channels", "telegram", "enabled"], true.into())?;
                    tree::set(file, &["channels", "telegram", "botToken"], Value::from(token.as_str()))
                });
                match saved {
                    Ok(()) => output::line(&format!("Telegram: connected as @{name}.")),
                    Err(_) => output::line("The token works, but the configuration could not be written."),
                }
                return;
            }
            Err(Untaken::Refused(why)) => output::line(&format!("Telegram does not accept it: {why}")),
            Err(Untaken::Untried(why)) => output::line(&format!("The token could not be tried: {why}")),
        }
    }
}

/// Why a token is not taken.
enum Untaken {
    /// It is none, or Telegram does not know it.
    Refused(String),
    /// Telegram could not be asked.
    Untried(String),
}

/// Asks Telegram whose token this is; returns the bot's name.
fn try_token(cli: &Cli, token: &str) -> Result<String, Untaken> {
    use std::io::Read as _;
    let is_plausible = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-');
    if !token.contains(':') || !token.chars().all(is_plausible) {
        return Err(Untaken::Refused("a token looks like 123456:ABC-DEF".to_owned()));
    }
    let root = cli.config().tree["channels"]["telegram"]["apiRoot"].as_str().unwrap_or("https://api.telegram.org");
    let cancel = CancelToken::new();
    cancel.set_deadline(SystemClock.now() + TELEGRAM_WAIT);
    let url = format!("{}/bot{token}/getMe", root.trim_end_matches('/'));
    let untried = |error: String| Untaken::Untried(error.replace(token, "<token>"));
    let answer = Fetch::new(&cancel).get(&url, &[]).map_err(|error| untried(error.to_string()))?;
    let mut text = String::new();
    answer.body.take(ANSWER_BYTES_MAX).read_to_string(&mut text).map_err(|error| untried(error.to_string()))?;
    let answer: Value = serde_json::from_str(&text).map_err(|_| untried("the answer is not Telegram's".to_owned()))?;
    match answer["result"]["username"].as_str() {
        Some(name) if answer["ok"] == true => Ok(name.to_owned()),
        _ => Err(Untaken::Refused(answer["description"].as_str().unwrap_or("no description").to_owned())),
    }
}
