//! What the gateway knows of a channel: how it is called, which accounts it has, how they are, and what it can do.
//!
//! Methods that touch disks or networks run on jobs. Not here: any one network.

use serde_json::{Map, Value, json};

use crate::base::clock::UnixMs;
use crate::config::paths::Paths;
use crate::config::types::Config;

/// What an account says that would be connected if the code were here.
pub const NOT_BUILT_IN: &str = "not built into this version yet";
/// The account of a channel that configures none.
pub const DEFAULT_ACCOUNT: &str = "default";

/// How a channel is called.
#[derive(Debug, PartialEq, Eq)]
pub struct Info {
    /// Id in configuration and protocol.
    pub id: &'static str,
    /// Name for people.
    pub label: &'static str,
    /// Longer name.
    pub detail_label: &'static str,
    /// Symbol of Apple's set.
    pub system_image: &'static str,
}

/// The circumstances in which a channel is asked.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// Where files are.
    pub paths: &'a Paths,
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Now.
    pub now_ms: UnixMs,
    /// Channels are not to be started (`CLAWDBOT_SKIP_CHANNELS`).
    pub is_skipped: bool,
}

impl<'a> Setting<'a> {
    /// Returns those of this process.
    pub fn of_process(config: &'a Config, paths: &'a Paths, now_ms: UnixMs) -> Self {
        let env: &dyn Fn(&str) -> Option<String> = &|name| std::env::var(name).ok();
        let is_set = |name: &str| env(name).is_some_and(|value| !matches!(value.trim(), "" | "0"));
        let is_skipped = is_set("CLAWDBOT_SKIP_CHANNELS") || is_set("CLAWDBOT_SKIP_PROVIDERS");
        Self { config, paths, env, now_ms, is_skipped }
    }
}

/// One account of a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Its id.
    pub id: String,
    /// Its settings: the channel's own overlaid by the account's.
    pub settings: Map<String, Value>,
}

impl Account {
    /// Returns whether it is switched on.
    pub fn is_enabled(&self) -> bool {
        self.settings.get("enabled") != Some(&Value::Bool(false))
    }

    /// Returns a text of its settings, trimmed; `None` when absent or blank.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.settings.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
    }

    /// Returns a list of its settings as texts; numbers count.
    pub fn list(&self, key: &str) -> Vec<String> {
        let items = self.settings.get(key).and_then(Value::as_array).into_iter().flatten();
        items.map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
    }
}

/// A message to be sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outbound {
    /// Which account sends.
    pub account: String,
    /// To whom, as [`Channel::target`] spelled it.
    pub to: String,
    /// What to say.
    pub text: String,
    /// Pictures and files, by URL or path.
    pub media: Vec<String>,
    /// Whether a video plays as an animation.
    pub is_gif: bool,
}

/// A question to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Poll {
    /// Which account sends.
    pub account: String,
    /// To whom.
    pub to: String,
    /// The question.
    pub question: String,
    /// What can be chosen.
    pub options: Vec<String>,
    /// How many of them.
    pub selections_max: usize,
}

/// What was sent: the network's ids, as the protocol names them (`messageId`, `chatId`, `toJid` …).
pub type Sent = Map<String, Value>;

/// Why nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The account has no credentials: somebody must link it.
    NotLinked(String),
    /// Anything else; trying again later may help.
    Failed(String),
}

/// What a logout did.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedOut {
    /// Whether there was something to clear.
    pub cleared: bool,
    /// More fields of the answer.
    pub more: Map<String, Value>,
}

/// A chat network.
pub trait Channel: Send + Sync {
    /// Returns its names.
    fn info(&self) -> &'static Info;

    /// Returns whether it has what it needs to connect, wherever it is kept.
    fn has_credentials(&self, at: &Setting<'_>) -> bool;

    /// Returns its accounts, at least one.
    fn accounts(&self, at: &Setting<'_>) -> Vec<Account> {
        accounts_of(&at.config.tree["channels"][self.info().id])
    }

    /// Returns the account that is meant when none is named.
    fn default_account(&self, at: &Setting<'_>) -> Account {
        let mut accounts = self.accounts(at);
        let index = accounts.iter().position(|account| account.id == DEFAULT_ACCOUNT).unwrap_or(0);
        accounts.swap_remove(index)
    }

    /// Returns whether an account could connect.
    fn is_configured(&self, at: &Setting<'_>, account: &Account) -> bool;

    /// Returns an account's row of `channels.status`.
    fn snapshot(&self, at: &Setting<'_>, account: &Account) -> Value;

    /// Returns `channels.<id>` of `channels.status`.
    fn summary(&self, at: &Setting<'_>, account: &Account) -> Value;

    /// Returns an account's summary in `health`.
    fn health(&self, at: &Setting<'_>, account: &Account) -> Value;

    /// Spells a target as the network does.
    ///
    /// # Errors
    /// What a target looks like, for people.
    fn target(&self, at: &Setting<'_>, account: &Account, given: &str) -> Result<String, String>;

    /// Sends a message; may block.
    ///
    /// # Errors
    /// See [`SendError`].
    fn send(&self, at: &Setting<'_>, message: &Outbound) -> Result<Sent, SendError>;

    /// Returns how many options a poll may have; `None` when there are no polls.
    fn poll_options_max(&self) -> Option<usize> {
        None
    }

    /// Sends a poll; may block.
    ///
    /// # Errors
    /// See [`SendError`].
    fn poll(&self, at: &Setting<'_>, poll: &Poll) -> Result<Sent, SendError> {
        let _ = (at, poll);
        Err(SendError::Failed(format!("{} has no polls", self.info().label)))
    }

    /// Forgets an account's credentials; may block.
    ///
    /// # Errors
    /// What failed.
    fn log_out(&self, at: &Setting<'_>, account: &Account) -> Result<LoggedOut, String>;

    /// Returns whether an account is linked by scanning a code.
    fn has_web_login(&self) -> bool {
        false
    }
}

/// Returns the accounts of a section: those named in it, each overlaid on the channel's own settings, else one.
fn accounts_of(section: &Value) -> Vec<Account> {
    let mut base = section.as_object().cloned().unwrap_or_default();
    let named = base.remove("accounts");
    let named = named.as_ref().and_then(Value::as_object).filter(|named| !named.is_empty());
    let Some(named) = named else { return vec![Account { id: DEFAULT_ACCOUNT.to_owned(), settings: base }] };
    let mut accounts: Vec<Account> = named
        .iter()
        .map(|(id, own)| {
            let mut settings = base.clone();
            settings.extend(own.as_object().cloned().unwrap_or_default());
            Account { id: id.trim().to_lowercase(), settings }
        })
        .collect();
    crate::base::order::by_text(&mut accounts, |account| &account.id);
    accounts
}

/// Returns what an account says of itself while nothing runs it: nothing when it is not to run, else why it does not.
pub fn idle_error(at: &Setting<'_>, account: &Account, is_configured: bool) -> Value {
    match () {
        () if at.is_skipped => Value::Null,
        () if !account.is_enabled() => json!("disabled"),
        () if !is_configured => json!("not configured"),
        () => json!(NOT_BUILT_IN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_overlay_the_channel() {
        let accounts =
            accounts_of(&json!({"dmPolicy": "open", "accounts": {"Work": {"name": "W"}, "a": {"dmPolicy": "x"}}}));
        let shown: Vec<_> = accounts.iter().map(|it| (it.id.as_str(), it.text("dmPolicy"), it.text("name"))).collect();
        assert_eq!(shown, [("a", Some("x"), None), ("work", Some("open"), Some("W"))]);
        assert_eq!(accounts_of(&Value::Null)[0].id, DEFAULT_ACCOUNT);
    }
}
