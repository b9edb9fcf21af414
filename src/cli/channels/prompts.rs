//! Questions about a new account, asked at a terminal: what `channels add` does without options. A token is tried before it
//! is kept.

use std::time::Duration;

use serde_json::{Map, Value};

use super::add::{New, account_id};
use crate::base::clock::{Clock as _, SystemClock};
use crate::channels;
use crate::channels::channel::{Channel, Credentials, DEFAULT_ACCOUNT, Joining, Setting};
use crate::cli::exit::Outcome;
use crate::cli::{Cli, ask, environment, output};
use crate::config::types::Config;

/// How often a token is asked for.
const TRIES_MAX: usize = 5;
/// How long a network may take to say whose token it is.
const TRY_WAIT: Duration = Duration::from_secs(10);
/// Who may write, with what that means.
const POLICIES: [(&str, &str); 4] = [
    ("pairing", "strangers get a code, which you approve"),
    ("allowlist", "only people whom you name"),
    ("open", "everybody"),
    ("disabled", "nobody"),
];

/// Asks for one account after the other.
pub(super) fn add(cli: &Cli) -> Outcome {
    loop {
        // What was written a moment ago counts.
        let cli = Cli::new(cli.paths.clone());
        let Some(channel) = choose_channel(&cli) else { return Ok(()) };
        if let Some(new) = ask_all(&cli, channel) {
            new.save(&cli)?;
            output::line(&format!("Added {} account \"{}\".", channel.info().label, new.account));
            if channel.capabilities().has_web_login {
                let id = channel.info().id;
                let login = format!("channels login --channel {id} --account {}", new.account);
                output::line(&format!("Link it with: {}", cli.paths.hint(&login)));
            }
        } else {
            output::line("Nothing was changed.");
        }
        if !ask::confirm("Set up another one?", false) {
            return Ok(());
        }
    }
}

/// Offers to join every network that takes a token and has none yet; empty answers leave it for later.
#[cfg(feature = "onboarding")]
pub(in crate::cli) fn offer(cli: &Cli) {
    for channel in channels::all() {
        let Some(joining) = channel.joining().filter(|_| !is_configured(cli.config(), cli, channel, None)) else {
            continue;
        };
        let label = channel.info().label;
        output::line(&format!("\n{label}: {} (Empty: later.)", joining.help));
        let Some(new) = ask_token(cli, channel, DEFAULT_ACCOUNT, joining, false) else { continue };
        if new.save(cli).is_err() {
            output::line("The token works, but the configuration could not be written.");
        }
    }
}

fn choose_channel(cli: &Cli) -> Option<&'static dyn Channel> {
    let all: Vec<&'static dyn Channel> = channels::all().collect();
    let shown = |channel: &&'static dyn Channel| {
        let state = if is_configured(cli.config(), cli, *channel, None) { "configured" } else { "not configured" };
        format!("{} ({state})", channel.info().detail_label)
    };
    let options: Vec<String> = all.iter().map(shown).collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    ask::choose("Which chat network?", &options).map(|index| all[index])
}

/// Returns whether an account, or any, has what it needs to connect.
fn is_configured(config: &Config, cli: &Cli, channel: &dyn Channel, account: Option<&str>) -> bool {
    let at = Setting::of_process(config, &cli.paths, SystemClock.now_ms());
    let mut accounts = channel.accounts(&at).into_iter().filter(|it| account.is_none_or(|id| it.id == id));
    accounts.any(|account| channel.is_configured(&at, &account))
}

/// Asks everything about one account; `None` when nobody answers.
fn ask_all(cli: &Cli, channel: &'static dyn Channel) -> Option<New> {
    let account = account_id(Some(&ask::line(&format!("Account [{DEFAULT_ACCOUNT}]: "))?));
    let mut new = credentials(cli, channel, &account)?;
    let name = ask::line("Name for people (empty: none): ")?;
    if !name.is_empty() {
        new.own.insert("name".to_owned(), name.into());
    }
    new.own.extend(policy(cli, channel, &account)?);
    Some(new)
}

/// Asks what an account is joined by.
fn credentials(cli: &Cli, channel: &'static dyn Channel, account: &str) -> Option<New> {
    let Some(joining) = channel.joining() else { return Some(New::kept(channel, account)) };
    let label = channel.info().label;
    let is_in_environment = channel.is_base(account) && environment::var(joining.variable).is_some();
    if is_in_environment && ask::confirm(&format!("{} is set. Use it?", joining.variable), true) {
        let given = Credentials { from_environment: true, ..Credentials::default() };
        return New::of(channel, account, None, &given).ok();
    }
    let has_one = !is_in_environment && is_configured(cli.config(), cli, channel, Some(account));
    if has_one && ask::confirm(&format!("{label} has a {} for this account. Keep it?", joining.token), true) {
        return Some(New::kept(channel, account));
    }
    output::line(joining.help);
    ask_token(cli, channel, account, joining, true)
}

/// Asks for a token until one is taken; `None` when there is none. `may_keep`: one that cannot be tried may be taken, too.
fn ask_token(
    cli: &Cli,
    channel: &'static dyn Channel,
    account: &str,
    joining: &Joining,
    may_keep: bool,
) -> Option<New> {
    let label = channel.info().label;
    let mut question = joining.token.to_owned();
    question[..1].make_ascii_uppercase();
    for _ in 0..TRIES_MAX {
        let token = ask::line(&format!("{question}: ")).filter(|token| !token.is_empty())?;
        let given = Credentials { token: Some(&token), ..Credentials::default() };
        let new = match New::of(channel, account, None, &given) {
            Ok(new) => new,
            Err(why) => {
                output::line(&why);
                continue;
            }
        };
        match try_out(cli, &new) {
            Ok(who) => {
                output::line(&format!("{label}: connected as {who}."));
                return Some(new);
            }
            Err(Untaken::Refused(why)) => output::line(&format!("{label} does not accept it: {why}")),
            Err(Untaken::Untried(why)) => {
                output::line(&format!("The token could not be tried: {why}"));
                if may_keep && ask::confirm("Keep it all the same?", false) {
                    return Some(new);
                }
            }
        }
    }
    None
}

/// Why a token is not taken.
enum Untaken {
    /// The network does not know it.
    Refused(String),
    /// The network could not be asked.
    Untried(String),
}

/// Asks the network who an account would be.
fn try_out(cli: &Cli, new: &New) -> Result<String, Untaken> {
    let mut config = Config::clone(cli.config());
    let id = new.channel.info().id;
    let section = crate::config::tree::object_mut(&mut config.tree, &["channels", id]);
    new.put(section);
    let at = Setting::of_process(&config, &cli.paths, SystemClock.now_ms());
    let account = channels::account(new.channel, &at, Some(&new.account)).map_err(Untaken::Untried)?;
    let Some((probe, _)) = new.channel.probe(&at, &account, TRY_WAIT) else {
        return Err(Untaken::Untried("there is nothing to try".to_owned()));
    };
    let error = || probe["error"].as_str().unwrap_or("no reason given").to_owned();
    match probe["bot"]["username"].as_str() {
        Some(name) if probe["ok"] == true => Ok(format!("@{name}")),
        _ if probe["status"].is_number() => Err(Untaken::Refused(error())),
        _ => Err(Untaken::Untried(error())),
    }
}

/// Asks who may write; what stays as it is has no setting.
fn policy(cli: &Cli, channel: &'static dyn Channel, account: &str) -> Option<Map<String, Value>> {
    let config = cli.config();
    let at = Setting::of_process(config, &cli.paths, SystemClock.now_ms());
    let settings = channels::account(channel, &at, Some(account)).map(|account| account.settings).unwrap_or_default();
    let current = settings.get("dmPolicy").and_then(Value::as_str).unwrap_or(POLICIES[0].0);
    let mut options = vec![format!("leave it as it is ({current})")];
    options.extend(POLICIES.iter().map(|(policy, meaning)| format!("{policy}: {meaning}")));
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let Some(chosen) = ask::choose("Who may write to it?", &options)?.checked_sub(1) else { return Some(Map::new()) };
    let mut allowed: Vec<Value> = settings.get("allowFrom").and_then(Value::as_array).cloned().unwrap_or_default();
    match POLICIES[chosen].0 {
        "allowlist" => {
            let people = ask::line("Their ids or @names, with commas between them: ")?;
            allowed.retain(|it| it != "*");
            allowed.extend(people.split([',', ';']).map(str::trim).filter(|it| !it.is_empty()).map(Value::from));
        }
        "open" if !allowed.iter().any(|it| it == "*") => allowed.push("*".into()),
        _ => {}
    }
    allowed.dedup();
    let mut own = Map::from_iter([("dmPolicy".to_owned(), POLICIES[chosen].0.into())]);
    if !allowed.is_empty() {
        own.insert("allowFrom".to_owned(), allowed.into());
    }
    Some(own)
}
