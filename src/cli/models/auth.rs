//! `models auth`: storing keys and tokens, and the order in which an agent uses them.
//!
//! Secrets are read from the terminal or from a pipe, never from the command line, where every program could see them.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use serde_json::{Value, json};

use super::super::exit::{Failure, Outcome};
use super::super::{Cli, Command, output};
use super::edit;
use crate::agent::auth_profiles::{self, Store};
use crate::agent::{models, session};
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::ids::AgentId;
use crate::config::tree;

/// Longest secret that is read.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// How tokens of `claude setup-token` begin, and how long they are at least.
const SETUP_TOKEN_MARK: &str = "sk-ant-oat01-";
const SETUP_TOKEN_BYTES_MIN: usize = 80;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// store a key or token of a provider; asks for what is missing
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct AuthAdd {
    /// provider, such as anthropic
    #[argh(option, arg_name = "id")]
    provider: Option<String>,
}

impl Command for AuthAdd {
    fn run(self, cli: &Cli) -> Outcome {
        let provider = match self.provider {
            Some(provider) => provider,
            None => ask("Provider id, such as anthropic")?,
        };
        let provider = provider_of(Some(&provider))?;
        let id = format!("{provider}:default");
        paste(cli, &provider, &id, "key", None)
    }
}

/// store a token of a provider, read from the terminal or a pipe
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct PasteToken {
    /// provider, such as anthropic
    #[argh(option, arg_name = "id")]
    provider: Option<String>,
    /// what to store it as (default: <provider>:manual)
    #[argh(option, arg_name = "id")]
    profile_id: Option<String>,
    /// how long it holds, such as 365d or 12h
    #[argh(option, arg_name = "duration")]
    expires_in: Option<String>,
}

impl Command for PasteToken {
    fn run(self, cli: &Cli) -> Outcome {
        let provider = provider_of(self.provider.as_deref())?;
        let given = self.profile_id.as_deref().map(str::trim).filter(|id| !id.is_empty());
        let id = given.map_or_else(|| format!("{provider}:manual"), str::to_owned);
        let expires = self.expires_in.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(expires_at);
        paste(cli, &provider, &id, "token", expires.transpose()?)
    }
}

/// store the token of a Claude subscription, as `claude setup-token` prints it on any machine
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct SetupToken {
    /// provider; only anthropic has such tokens
    #[argh(option, arg_name = "id")]
    provider: Option<String>,
    /// ask nothing but the token
    #[argh(switch)]
    yes: bool,
}

impl Command for SetupToken {
    fn run(self, cli: &Cli) -> Outcome {
        let provider = self.provider.as_deref().map_or_else(|| "anthropic".to_owned(), models::normalize_provider);
        if provider != "anthropic" {
            return Err(Failure::error("Only --provider anthropic is supported for setup-token."));
        }
        if !self.yes {
            output::line("Run `claude setup-token` on a machine with a browser; it prints the token.");
        }
        let token = ask(&format!("Paste the token ({SETUP_TOKEN_MARK}…)"))?;
        if !token.starts_with(SETUP_TOKEN_MARK) || token.len() < SETUP_TOKEN_BYTES_MIN {
            return Err(Failure::error(format!(
                "That is no such token: it begins with {SETUP_TOKEN_MARK} and has at least {SETUP_TOKEN_BYTES_MIN} characters."
            )));
        }
        let profile = json!({"type": "token", "provider": provider, "token": token});
        keep(cli, &provider, "anthropic:default", "token", profile)
    }
}

/// show the order in which an agent uses the credentials of a provider
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct OrderGet {
    /// provider, such as anthropic
    #[argh(option, arg_name = "id")]
    provider: Option<String>,
    /// agent (default: the default one)
    #[argh(option, arg_name = "id")]
    agent: Option<String>,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for OrderGet {
    fn run(self, cli: &Cli) -> Outcome {
        let at = Target::of(cli, self.provider.as_deref(), self.agent.as_deref())?;
        let order = at.read()?.order(&at.provider);
        if self.json {
            output::json(&json!({
                "agentId": at.agent.as_str(), "agentDir": at.dir, "provider": at.provider, "authStorePath": at.shown(cli),
                "order": order,
            }));
            return Ok(());
        }
        at.print(cli);
        let shown = order.map_or_else(|| "(none)".to_owned(), |ids| ids.join(", "));
        output::line(&format!("Order override: {shown}"));
        Ok(())
    }
}

/// set the order in which an agent uses the credentials of a provider
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct OrderSet {
    /// provider, such as anthropic
    #[argh(option, arg_name = "id")]
    provider: Option<String>,
    /// agent (default: the default one)
    #[argh(option, arg_name = "id")]
    agent: Option<String>,
    /// credentials, first choice first
    #[argh(positional)]
    profiles: Vec<String>,
}

impl Command for OrderSet {
    fn run(self, cli: &Cli) -> Outcome {
        let at = Target::of(cli, self.provider.as_deref(), self.agent.as_deref())?;
        let mut ids: Vec<String> = Vec::new();
        for id in self.profiles.iter().map(|id| id.trim()).filter(|id| !id.is_empty()) {
            if !ids.iter().any(|known| known == id) {
                ids.push(id.to_owned());
            }
        }
        if ids.is_empty() {
            return Err(Failure::error("Missing profile ids. Provide one or more profile ids."));
        }
        let mut known = Store::default();
        for dir in auth_profiles::dirs(cli.config(), &cli.paths, &at.agent).iter().rev() {
            known.overlay(&auth_profiles::read_store(dir));
        }
        for id in &ids {
            let Some(profile) = known.profile(id) else {
                return Err(Failure::error(format!("Auth profile \"{id}\" not found in {}.", at.dir.display())));
            };
            let of = profile.get("provider").and_then(Value::as_str).unwrap_or_default();
            if models::normalize_provider(of) != at.provider {
                return Err(Failure::error(format!("Auth profile \"{id}\" is for {of}, not {}.", at.provider)));
            }
        }
        at.change(|store| store.set_order(&at.provider, &ids))?;
        at.print(cli);
        output::line(&format!("Order override: {}", ids.join(", ")));
        Ok(())
    }
}

/// let an agent use the credentials of a provider in the usual order again
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct OrderClear {
    /// provider, such as anthropic
    #[argh(option, arg_name = "id")]
    provider: Option<String>,
    /// agent (default: the default one)
    #[argh(option, arg_name = "id")]
    agent: Option<String>,
}

impl Command for OrderClear {
    fn run(self, cli: &Cli) -> Outcome {
        let at = Target::of(cli, self.provider.as_deref(), self.agent.as_deref())?;
        at.change(|store| store.set_order(&at.provider, &[]))?;
        at.print(cli);
        output::line("Cleared per-agent order override.");
        Ok(())
    }
}

/// Whose order is meant.
struct Target {
    provider: String,
    agent: AgentId,
    dir: std::path::PathBuf,
}

impl Target {
    fn of(cli: &Cli, provider: Option<&str>, agent: Option<&str>) -> Result<Self, Failure> {
        let provider = provider_of(provider)?;
        let agent = match agent.map(str::trim).filter(|agent| !agent.is_empty()) {
            Some(agent) => session::normalize_agent_id(agent),
            None => session::default_agent(cli.config()),
        };
        let dir = auth_profiles::agent_dir(cli.config(), &cli.paths, &agent);
        Ok(Self { provider, agent, dir })
    }

    fn shown(&self, cli: &Cli) -> String {
        cli.paths.shorten(&auth_profiles::file(&self.dir))
    }

    fn print(&self, cli: &Cli) {
        output::line(&format!("Agent: {}", self.agent));
        output::line(&format!("Provider: {}", self.provider));
        output::line(&format!("Auth file: {}", self.shown(cli)));
    }

    fn read(&self) -> Result<Store, Failure> {
        Store::read(&self.dir).map_err(|error| unusable("read", &self.dir, &error))
    }

    fn change(&self, change: impl FnOnce(&mut Store)) -> Outcome {
        let changed = Store::update(&self.dir, |store| {
            change(store);
            Some(())
        });
        changed.map(drop).map_err(|error| unusable("update", &self.dir, &error))
    }
}

fn unusable(what: &str, dir: &std::path::Path, error: &io::Error) -> Failure {
    Failure::error(format!("Cannot {what} {}: {error}", auth_profiles::file(dir).display()))
}

pub(super) fn provider_of(given: Option<&str>) -> Result<String, Failure> {
    let provider = given.map(models::normalize_provider).filter(|provider| !provider.is_empty());
    provider.ok_or_else(|| Failure::error("Missing --provider."))
}

fn expires_at(text: &str) -> Result<u64, Failure> {
    let days = text.parse::<u64>().ok().map(|days| days.saturating_mul(DAY_MS));
    let wait = days.or_else(|| crate::cron::when::parse_duration(text));
    let wait = wait.filter(|ms| *ms > 0);
    let wait = wait.ok_or_else(|| Failure::error(format!("Invalid --expires-in \"{text}\" (such as 365d or 12h).")))?;
    Ok(SystemClock.now_ms().saturating_add(wait))
}

/// Reads a secret and stores it for all agents.
fn paste(cli: &Cli, provider: &str, id: &str, what: &str, expires: Option<u64>) -> Outcome {
    let secret = ask(&format!("Paste {what} for {provider}"))?;
    let (kind, field) = if what == "key" { ("api_key", "key") } else { ("token", "token") };
    let mut profile = json!({"type": kind, "provider": provider, field: secret});
    if let Some(at) = expires {
        profile["expires"] = at.into();
    }
    keep(cli, provider, id, kind, profile)
}

/// Stores a credential for all agents.
pub(super) fn keep(cli: &Cli, provider: &str, id: &str, kind: &str, profile: Value) -> Outcome {
    let dir = auth_profiles::main_dir(cli.config(), &cli.paths);
    let stored = Store::update(&dir, |store| {
        store.put(id, profile);
        Some(())
    });
    stored.map_err(|error| unusable("update", &dir, &error))?;
    // The configuration may list what is used; then this has to be on the list.
    edit(cli, |config| {
        tree::set(config, &["auth", "profiles", id, "provider"], provider.into())?;
        tree::set(config, &["auth", "profiles", id, "mode"], kind.into())?;
        let order = tree::get(config, &["auth", "order", provider]).and_then(Value::as_array).cloned();
        if let Some(mut order) = order.filter(|order| !order.iter().any(|known| known == id)) {
            order.push(id.into());
            tree::set(config, &["auth", "order", provider], order.into())?;
        }
        Ok(())
    })?;
    output::line(&format!("Auth profile: {id} ({provider}/{kind})"));
    Ok(())
}

/// Reads one line; from a terminal with a question before it.
pub(super) fn ask(question: &str) -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        let mut stdout = io::stdout().lock();
        // If nobody can read the question, the answer's absence is told below.
        let _ = write!(stdout, "{question}: ").and_then(|()| stdout.flush());
    }
    let mut line = String::new();
    let read = io::Read::take(io::stdin().lock(), SECRET_BYTES_MAX).read_line(&mut line);
    read.map_err(|error| Failure::error(format!("Cannot read the answer: {error}")))?;
    match line.trim() {
        "" => Err(Failure::error(format!("{question}: nothing was given"))),
        text => Ok(text.to_owned()),
    }
}
