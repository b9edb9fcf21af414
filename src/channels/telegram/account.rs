//! An account's token and how its server is reached (channels.md §12.1, §12.2).

use std::time::Duration;

use serde_json::{Map, Value};

use super::api::{Access, ROOT};
use crate::base::fs::read_text_capped;
use crate::base::secret::Secret;
use crate::base::text::trimmed;
use crate::channels::channel::{Account, Credentials, DEFAULT_ACCOUNT, Joining, Setting, accounts_of};
use crate::channels::markdown::{Cut, Tables};

/// Largest token file that is read, in bytes.
const TOKEN_FILE_BYTES_MAX: u64 = 4096;
const TOKEN_VARIABLE: &str = "TELEGRAM_BOT_TOKEN";
/// Most of a message, in UTF-16 units, and what is used unless configured.
const TEXT_UNITS_MAX: usize = 4096;
const TEXT_UNITS: usize = 4000;

/// How a bot comes to an account.
pub const JOINING: Joining = Joining {
    variable: TOKEN_VARIABLE,
    token: "bot token",
    help: "Talk to @BotFather in Telegram, send it /newbot (or /mybots), and copy the token: it looks like 123456:ABC-DEF.",
    keys: &["botToken", "tokenFile"],
};

/// Where an account's token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSource {
    Config,
    File,
    Env,
    None,
}

impl TokenSource {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::File => "tokenFile",
            Self::Env => "env",
            Self::None => "none",
        }
    }
}

/// Returns the accounts: those that are named in the section or in bindings, else one.
pub fn accounts(at: &Setting<'_>) -> Vec<Account> {
    let section = at.config.channel("telegram");
    let mut accounts = accounts_of(section);
    let is_named = section["accounts"].as_object().is_some_and(|named| !named.is_empty());
    let bound: Vec<String> = bindings(at).filter_map(|(account, _)| account).collect();
    if !is_named && !bound.is_empty() {
        accounts.clear();
    }
    for id in bound {
        if accounts.iter().all(|account| account.id != id) {
            let mut settings = section.as_object().cloned().unwrap_or_default();
            settings.remove("accounts");
            accounts.push(Account { id, settings });
        }
    }
    crate::base::order::by_text(&mut accounts, |account| &account.id);
    accounts
}

/// Returns the account that is meant when none is named: the default agent's, else `default`, else the first.
pub fn default_account(at: &Setting<'_>) -> Account {
    let agents = &at.config.agents.list;
    let agent = agents.iter().find(|agent| agent.default).or(agents.first());
    let agent = agent.map_or("main", |agent| &agent.id).trim().to_lowercase();
    let mut accounts = accounts(at);
    let bound = bindings(at).find(|(account, its)| account.is_some() && *its == agent).and_then(|(account, _)| account);
    let place = |wanted: &str| accounts.iter().position(|account| account.id == wanted);
    let index = bound.as_deref().and_then(place).or_else(|| place(DEFAULT_ACCOUNT)).unwrap_or(0);
    accounts.swap_remove(index)
}

/// Returns what is bound to this channel: the account, if one is named, and the agent.
fn bindings<'a>(at: &Setting<'a>) -> impl Iterator<Item = (Option<String>, String)> + use<'a> {
    let ours = at.config.bindings.iter().filter(|binding| binding.is_of("telegram"));
    ours.map(|binding| (binding.account().filter(|id| id != "*"), binding.agent_id.trim().to_lowercase()))
}

/// Returns the token of the environment.
pub fn env_token(at: &Setting<'_>) -> Option<String> {
    (at.env)(TOKEN_VARIABLE).and_then(trimmed)
}

/// Looks for a token: a named file that cannot be read ends the search, so that a broken secret never falls back to an
/// older one.
pub fn token(at: &Setting<'_>, account: &Account) -> (TokenSource, Option<Secret>) {
    // An account's own keys go before those of the channel, which only the default account has.
    let section = at.config.channel("telegram");
    let own = at.config.channel_account("telegram", &account.id);
    let base = (account.id == DEFAULT_ACCOUNT).then_some(section);
    for keys in std::iter::once(own).chain(base) {
        let word = |key: &str| keys[key].as_str().map(str::trim).filter(|text| !text.is_empty());
        if let Some(file) = word("tokenFile") {
            let text = read_text_capped(&at.paths.expand(file), TOKEN_FILE_BYTES_MAX).ok().flatten();
            let token = text.and_then(trimmed);
            let source = if token.is_some() { TokenSource::File } else { TokenSource::None };
            return (source, token.map(Secret::new));
        }
        if let Some(token) = word("botToken") {
            return (TokenSource::Config, Some(Secret::new(token)));
        }
    }
    match env_token(at).filter(|_| base.is_some()) {
        Some(token) => (TokenSource::Env, Some(Secret::new(token))),
        None => (TokenSource::None, None),
    }
}

/// Returns the settings that an account gets from whoever adds it.
///
/// # Errors
/// What is missing, for people.
pub fn settings_of(account: &str, given: &Credentials<'_>) -> Result<Map<String, Value>, String> {
    let setting = |key: &str, text: &str| Map::from_iter([(key.to_owned(), Value::from(text))]);
    match (given.from_environment, given.token_file, given.token) {
        (true, ..) if account != DEFAULT_ACCOUNT => {
            Err(format!("{TOKEN_VARIABLE} can only be used for the default account."))
        }
        (true, ..) => Ok(Map::new()),
        (false, Some(file), _) => Ok(setting("tokenFile", file)),
        (false, None, Some(token)) => Ok(setting("botToken", token)),
        (false, None, None) => Err("Telegram requires token or --token-file (or --use-env).".to_owned()),
    }
}

/// Returns what it takes to ask for an account.
///
/// # Errors
/// What to configure, for people.
pub fn access(at: &Setting<'_>, account: &Account) -> Result<Access, String> {
    let (_, token) = token(at, account);
    let token = token.ok_or_else(|| {
        let id = &account.id;
        format!(
            "Telegram bot token missing for account \"{id}\" (set channels.telegram.accounts.{id}.botToken/tokenFile or \
             {TOKEN_VARIABLE} for default)."
        )
    })?;
    let root = account.text("apiRoot").unwrap_or(ROOT).trim_end_matches('/').to_owned();
    let seconds = account.settings.get("timeoutSeconds").and_then(Value::as_f64);
    let timeout = seconds.filter(|seconds| (1.0..1e6).contains(seconds)).map(Duration::from_secs_f64);
    Ok(Access { token, root, proxy: account.text("proxy").map(str::to_owned), timeout })
}

/// Returns the most of one message, in UTF-16 units.
pub fn text_units(account: &Account) -> usize {
    let configured = account.settings.get("textChunkLimit").and_then(Value::as_u64);
    let units = configured.and_then(|units| usize::try_from(units).ok()).filter(|units| *units > 0);
    units.unwrap_or(TEXT_UNITS).min(TEXT_UNITS_MAX)
}

/// Returns where long text is cut.
pub fn cut(account: &Account) -> Cut {
    if account.text("chunkMode") == Some("newline") { Cut::Paragraphs } else { Cut::Length }
}

/// Returns how tables are shown.
pub fn tables(account: &Account) -> Tables {
    let mode = account.settings.get("markdown").and_then(|it| it["tables"].as_str());
    mode.and_then(Tables::named).unwrap_or(Tables::Code)
}

/// Returns where updates are to be sent to, when they are.
pub fn webhook_url(account: &Account) -> Option<&str> {
    account.text("webhookUrl")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use crate::config::paths::Paths;
    use crate::config::types::Config;
    use serde_json::json;

    fn check(telegram: Value, id: &str, env: Option<&str>) -> (TokenSource, Option<String>) {
        let dir = TempDir::new("tg-token");
        let home = dir.path().display().to_string();
        std::fs::write(dir.path().join("token"), " 7:file \n").expect("write");
        let paths = Paths::resolve(|name| (name == "HOME").then(|| home.clone()));
        let config = Config::of(json!({"channels": {"telegram": telegram}}));
        let env = |name: &str| (name == TOKEN_VARIABLE).then(|| env.map(str::to_owned)).flatten();
        let at = Setting { config: &config, paths: &paths, env: &env, now_ms: 0, is_skipped: true };
        let account = Account { id: id.into(), settings: serde_json::Map::new() };
        let (source, token) = token(&at, &account);
        (source, token.map(|token| token.expose().to_owned()))
    }

    #[test]
    fn accounts_are_named_in_the_section_or_in_bindings() {
        let dir = TempDir::new("tg-accounts");
        let home = dir.path().display().to_string();
        let paths = Paths::resolve(|name| (name == "HOME").then(|| home.clone()));
        let env = |_: &str| None;
        let check = |tree: Value| {
            let config = Config::of(tree);
            let at = Setting { config: &config, paths: &paths, env: &env, now_ms: 0, is_skipped: true };
            let ids: Vec<String> = accounts(&at).into_iter().map(|account| account.id).collect();
            (ids.join(" "), default_account(&at).id)
        };
        let bind = |agent: &str, account: &str| json!({"agentId": agent, "match": {"channel": "telegram", "accountId": account}});
        let two = json!({"telegram": {"accounts": {"Work": {}, "alerts": {}}}});
        for (tree, ids, default) in [
            (json!({}), "default", "default"),
            (json!({"channels": two}), "alerts work", "alerts"),
            (json!({"channels": two, "bindings": [bind("main", "work")]}), "alerts work", "work"),
            (
                json!({"channels": two, "bindings": [bind("x", "default"), bind("x", "*")]}),
                "alerts default work",
                "default",
            ),
            (json!({"bindings": [bind("x", "ops")]}), "ops", "ops"),
        ] {
            assert_eq!(check(tree.clone()), (ids.to_owned(), default.to_owned()), "{tree}");
        }
    }

    #[test]
    fn tokens_come_from_the_nearest_place() {
        use TokenSource::{Config, Env, File, None as Nowhere};
        let own = json!({"botToken": "1:base", "accounts": {"Work": {"botToken": "2:work"}, "none": {}}});
        for (telegram, id, env, source, token) in [
            (own.clone(), "work", Some("9:env"), Config, Some("2:work")),
            (own.clone(), "default", Some("9:env"), Config, Some("1:base")),
            // The channel's token is the default account's alone: two pollers would fight over it.
            (own, "none", Some("9:env"), Nowhere, None),
            (json!({}), "default", Some(" 9:env "), Env, Some("9:env")),
            (json!({}), "work", Some("9:env"), Nowhere, None),
            (json!({"tokenFile": "~/token", "botToken": "1:base"}), "default", None, File, Some("7:file")),
            (json!({"tokenFile": "~/missing", "botToken": "1:base"}), "default", Some("9:env"), Nowhere, None),
            (
                json!({"botToken": "1:base", "accounts": {"default": {"tokenFile": "~/missing"}}}),
                "default",
                None,
                Nowhere,
                None,
            ),
        ] {
            assert_eq!(check(telegram.clone(), id, env), (source, token.map(str::to_owned)), "{telegram} {id}");
        }
    }
}
