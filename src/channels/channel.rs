//! What the gateway knows of a channel: how it is called, which accounts it has, how they are, and what it can do.
//!
//! Methods that touch disks or networks run on jobs, but for [`Channel::receive`], which has the account's own thread. Not
//! here: any one network, and what all of them share (access, order, attempts).

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::inbound::{ChatKind, MediaRef, Sink};
use super::message::{Address, Part, Poll, Reaction, SendError, Sent};
use super::reply::Reply;
use super::state::{State, StateHandle};
use crate::base::cancel::CancelToken;
use crate::base::clock::{Clock, UnixMs};
use crate::base::rng::Rng;
use crate::base::text::text_of;
use crate::config::live::Live;
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
    /// Returns whether it offers commands of its own, where its network can.
    pub fn wants_native_commands(&self, config: &Config) -> bool {
        // `auto` is on for the networks of this build that can.
        let own = self.settings.get("commands").map(|commands| &commands["native"]).filter(|own| !own.is_null());
        own.or(config.commands.native.as_ref()) != Some(&Value::Bool(false))
    }

    /// Returns whether skills are among them.
    pub fn wants_skill_commands(&self, config: &Config) -> bool {
        let own = self.settings.get("commands").map(|commands| &commands["nativeSkills"]).filter(|own| !own.is_null());
        own.or(config.commands.native_skills.as_ref()) != Some(&Value::Bool(false))
    }

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
        items.map(text_of).collect()
    }
}

/// What a logout did.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedOut {
    /// Whether there was something to clear.
    pub cleared: bool,
    /// More fields of the answer.
    pub more: Map<String, Value>,
}

/// What a channel can do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Kinds of conversation (`direct`, `group`, `channel`, `thread`).
    pub chat_types: &'static [&'static str],
    /// Message actions that it carries out, as the tool `message` calls them, before configuration gates them.
    pub actions: &'static [&'static str],
    /// How many options a poll may have; `None` when there are no polls.
    pub poll_options_max: Option<usize>,
    /// Whether reactions can be set.
    pub has_reactions: bool,
    /// Whether conversations have threads.
    pub has_threads: bool,
    /// Whether messages can have buttons.
    pub has_buttons: bool,
    /// Whether pictures and files can be sent.
    pub has_media: bool,
    /// Whether it offers commands of its own to people.
    pub has_native_commands: bool,
    /// Whether answers may be sent in blocks while they are written.
    pub has_block_streaming: bool,
    /// Whether an account is linked by scanning a code.
    pub has_web_login: bool,
    /// What stands before ids in lists of who may speak (`telegram:`, `tg:`).
    pub id_prefixes: &'static [&'static str],
    /// What the note to a stranger calls the sender's id (`Your Telegram user id`).
    pub id_label: &'static str,
    /// What its ids are called in the list of who waits for a code.
    pub id_column: &'static str,
    /// What a target looks like, as people are told who wrote another (empty: nothing is said).
    pub target_hint: &'static str,
    /// Whether who was let in by a code may speak in groups, too.
    pub pairing_counts_in_groups: bool,
    /// Whether what the tool `message` sends is answered in the channel's own form.
    // compat: the original's Telegram carries such sends out itself, its other channels leave it to the core.
    pub answers_sends_itself: bool,
    /// Whether a rule that binds an agent to it always names the account.
    pub binds_accounts: bool,
    /// Whether spoken answers go out as voice notes.
    pub has_voice_notes: bool,
    /// Megabytes of a received file, unless configured.
    pub inbound_media_mb: u64,
    /// Settings whose change starts its accounts anew; all others are read at each use.
    pub restarted_by: &'static [&'static str],
}

/// Where in groups the sign is shown that says that a message was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckGroup {
    /// Nowhere.
    Never,
    /// Under every message.
    Always,
    /// Under messages that are meant for us, where only such are answered.
    MeantWhereAsked,
    /// Under messages that are meant for us.
    Meant,
}

/// When the sign is shown that says that a message was seen, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// In direct chats.
    pub in_direct: bool,
    /// In groups.
    pub in_groups: AckGroup,
    /// The sign; `None` is the agent's own, empty is none.
    pub emoji: Option<String>,
    /// Whether it goes when the answer is there.
    pub is_passing: bool,
}

impl Ack {
    /// Returns what `messages` in the configuration says.
    pub fn of_messages(config: &Config) -> Self {
        let messages = &config.messages;
        let (in_direct, in_groups) = match messages.ack_reaction_scope.as_deref() {
            Some("all") => (true, AckGroup::Always),
            Some("direct") => (true, AckGroup::Never),
            Some("group-all") => (false, AckGroup::Always),
            Some("off") => (false, AckGroup::Never),
            _ => (false, AckGroup::MeantWhereAsked),
        };
        let is_passing = messages.remove_ack_after_reply == Some(true);
        Self { in_direct, in_groups, emoji: messages.ack_reaction.clone(), is_passing }
    }
}

/// How freely an agent may set reactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reacting {
    /// Not at all.
    Off,
    /// Now and then.
    Seldom,
    /// As people do.
    Freely,
}

/// What somebody gives who adds an account.
#[derive(Debug, Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// A token.
    pub token: Option<&'a str>,
    /// A file that holds one.
    pub token_file: Option<&'a str>,
    /// Take the token of the environment.
    pub from_environment: bool,
    /// A directory that holds what a link left behind.
    pub auth_dir: Option<&'a str>,
}

/// How a network is joined by a token.
#[derive(Debug, PartialEq, Eq)]
pub struct Joining {
    /// The variable from which the default account may take it.
    pub variable: &'static str,
    /// What it is called.
    pub token: &'static str,
    /// How to get one, for people.
    pub help: &'static str,
    /// Settings that hold one: a new one takes their place.
    pub keys: &'static [&'static str],
}

/// What the thread of an account gets.
pub struct Reception<'a> {
    /// The account, as configured when it was started; a change of its settings starts it anew.
    pub account: &'a Account,
    /// The configuration in force.
    pub live: &'a Live,
    /// Where files are.
    pub paths: &'a Paths,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// Randomness.
    pub rng: &'a dyn Rng,
    /// Cancelled when the account is to stop; hooks shut sockets down.
    pub cancel: &'a CancelToken,
    /// How the account is: the thread says whether its network answers.
    pub state: &'a StateHandle,
    /// Takes what comes in.
    pub sink: &'a dyn Sink,
    /// Commands that people may give, with what they do: for the network's own menu.
    pub commands: &'a [(String, String)],
}

/// Why an account stopped receiving by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiveError {
    /// Trying again soon may help: it is, with growing pauses of at most half a minute.
    Failed(String),
    /// Somebody must do something first (a new token, a new link); it is tried again now and then all the same.
    Refused(String),
}

/// A file that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Type, as the network has it.
    pub mime: Option<String>,
    /// File name.
    pub name: Option<String>,
}

/// Why a file was not fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownloadError {
    /// It is larger than the cap.
    TooLarge,
    /// The network does not give it away now; trying again may help.
    Failed(String),
    /// It is gone.
    Gone(String),
}

/// A request to the gateway's port that a network may have made.
#[derive(Clone, Copy)]
pub struct Webhook<'a> {
    /// Path, without the query.
    pub path: &'a str,
    /// Headers, names in lower case.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    /// Body.
    pub body: &'a [u8],
}

/// A chat network.
pub trait Channel: Send + Sync {
    /// Returns its names.
    fn info(&self) -> &'static Info;

    /// Returns what it can do.
    fn capabilities(&self) -> &'static Capabilities;

    /// Returns whether it has what it needs to connect, wherever it is kept.
    fn has_credentials(&self, at: &Setting<'_>) -> bool;

    /// Returns its accounts, at least one.
    fn accounts(&self, at: &Setting<'_>) -> Vec<Account> {
        accounts_of(at.config.channel(self.info().id))
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
    fn snapshot(&self, at: &Setting<'_>, account: &Account, state: &State) -> Value;

    /// Returns `channels.<id>` of `channels.status`.
    fn summary(&self, at: &Setting<'_>, account: &Account, state: &State) -> Value;

    /// Returns an account's summary in `health`.
    fn health(&self, at: &Setting<'_>, account: &Account, state: &State) -> Value;

    /// Tries an account's credentials; may block for `within`. Returns `probe` and `audit` of its row; `None` when there is
    /// nothing to try.
    fn probe(&self, at: &Setting<'_>, account: &Account, within: Duration) -> Option<(Value, Option<Value>)> {
        let _ = (at, account, within);
        None
    }

    /// Receives for an account until it is cancelled, on a thread of its own; the framework starts it anew when it fails.
    ///
    /// # Errors
    /// See [`ReceiveError`]; `Ok` when it was cancelled.
    fn receive(&self, reception: &Reception<'_>) -> Result<(), ReceiveError>;

    /// Returns whether requests to a path of the gateway's port are this network's.
    fn claims(&self, config: &Config, path: &str) -> bool {
        let _ = (config, path);
        false
    }

    /// Answers a request to the gateway's port with an HTTP status, if it is one of this network's; may block.
    fn webhook(
        &self,
        at: &Setting<'_>,
        request: &Webhook<'_>,
        sink: &dyn Fn(&Account) -> Box<dyn Sink>,
    ) -> Option<u16> {
        let _ = (at, request, sink);
        None
    }

    /// Fetches a file of a message; may block.
    ///
    /// # Errors
    /// See [`DownloadError`].
    fn download(
        &self,
        at: &Setting<'_>,
        account: &Account,
        media: &MediaRef,
        bytes_max: u64,
        cancel: &CancelToken,
    ) -> Result<Download, DownloadError> {
        let _ = (at, account, media, bytes_max, cancel);
        Err(DownloadError::Gone(format!("{} has no files", self.info().label)))
    }

    /// Spells a target as the network does.
    ///
    /// # Errors
    /// What a target looks like, for people.
    fn target(&self, at: &Setting<'_>, account: &Account, given: &str) -> Result<String, String>;

    /// Splits a target that [`Channel::target`] spelled into chat and thread.
    fn address(&self, target: &str) -> Address {
        Address { to: target.to_owned(), thread: None }
    }

    /// Returns whether a target is an address, and no name that a directory would have to know.
    fn is_address(&self, target: &str) -> bool;

    /// Returns what kind of conversation a target is, as far as its spelling tells.
    fn chat_kind(&self, to: &str) -> ChatKind;

    /// Returns what follows a message in the history of a group, so that it can be answered or reacted to.
    fn history_mark(&self, chat: &str, message_id: &str) -> String;

    /// Returns when an account shows that it has seen a message.
    fn ack(&self, config: &Config, account: &Account) -> Ack {
        let _ = account;
        Ack::of_messages(config)
    }

    /// Returns what agents can do by an account beyond words and files, by the names that the prompt and skills know.
    fn abilities(&self, account: &Account) -> Vec<String> {
        account.list("capabilities")
    }

    /// Returns how freely agents may react by an account; `None` where that is not set by anybody, and nothing is said of it.
    fn reacting(&self, account: &Account) -> Option<Reacting> {
        let _ = account;
        None
    }

    /// Splits a reply into the messages that the network needs for it, at least one; touches no network.
    ///
    /// # Errors
    /// Why it cannot be sent at all, for people.
    fn prepare(&self, at: &Setting<'_>, account: &Account, to: &Address, reply: &Reply) -> Result<Vec<Part>, String>;

    /// Sends one message; may block.
    ///
    /// # Errors
    /// See [`SendError`].
    fn send(
        &self,
        at: &Setting<'_>,
        account: &Account,
        to: &Address,
        part: &Part,
        cancel: &CancelToken,
    ) -> Result<Sent, SendError>;

    /// Sends a poll; may block.
    ///
    /// # Errors
    /// See [`SendError`].
    fn poll(
        &self,
        at: &Setting<'_>,
        account: &Account,
        to: &Address,
        poll: &Poll,
        cancel: &CancelToken,
    ) -> Result<Sent, SendError> {
        let _ = (at, account, to, poll, cancel);
        Err(SendError::Failed(format!("{} has no polls", self.info().label)))
    }

    /// Sets or removes a reaction; may block.
    ///
    /// # Errors
    /// See [`SendError`].
    fn react(
        &self,
        at: &Setting<'_>,
        account: &Account,
        to: &Address,
        reaction: &Reaction,
        cancel: &CancelToken,
    ) -> Result<Sent, SendError> {
        let _ = (at, account, to, reaction, cancel);
        Err(SendError::Failed(format!("Message action react not supported for channel {}.", self.info().id)))
    }

    /// Carries out any other action of the tool `message`, with its parameters; may block.
    ///
    /// # Errors
    /// See [`SendError`].
    fn act(
        &self,
        at: &Setting<'_>,
        account: &Account,
        action: &str,
        params: &Map<String, Value>,
        cancel: &CancelToken,
    ) -> Result<Value, SendError> {
        let _ = (at, account, params, cancel);
        Err(SendError::Failed(format!("Message action {action} not supported for channel {}.", self.info().id)))
    }

    /// Shows that an answer is being written, for some seconds; may block, and failing is no loss.
    fn typing(&self, at: &Setting<'_>, account: &Account, to: &Address, cancel: &CancelToken) {
        let _ = (at, account, to, cancel);
    }

    /// Shows an answer that is being written as far as it is, where the network has that; `false` when it has not, and
    /// nobody asks again. May block.
    fn draft(
        &self,
        at: &Setting<'_>,
        account: &Account,
        to: &Address,
        message_id: &str,
        text: &str,
        cancel: &CancelToken,
    ) -> bool {
        let _ = (at, account, to, message_id, text, cancel);
        false
    }

    /// Returns how the network is joined by a token, where it is.
    fn joining(&self) -> Option<&'static Joining> {
        None
    }

    /// Returns whether an account's settings are the channel's own, and no entry among its `accounts`.
    fn is_base(&self, account: &str) -> bool {
        let _ = account;
        false
    }

    /// Returns the settings that an account gets from whoever adds it.
    ///
    /// # Errors
    /// What is missing, for people.
    fn settings_of(&self, account: &str, given: &Credentials<'_>) -> Result<Map<String, Value>, String>;

    /// Begins to link an account by a code; may block. Returns `{message, qrDataUrl?}`.
    fn log_in(&self, at: &Setting<'_>, account: &Account, is_forced: bool, within: Duration) -> Value {
        let _ = (at, account, is_forced, within);
        serde_json::json!({"message": format!("{label} is not linked by scanning a code", label = self.info().label)})
    }

    /// Waits until the code was scanned; may block. Returns `{connected, message}`.
    fn wait_for_login(&self, at: &Setting<'_>, account: &Account, within: Duration) -> Value {
        let _ = (at, account, within);
        let message = format!("No active {} login in progress.", self.info().label);
        serde_json::json!({"connected": false, "message": message})
    }

    /// Forgets an account's credentials; may block.
    ///
    /// # Errors
    /// What failed.
    fn log_out(&self, at: &Setting<'_>, account: &Account) -> Result<LoggedOut, String>;
}

/// Returns the accounts of a section: those named in it, each overlaid on the channel's own settings, else one.
pub(super) fn accounts_of(section: &Value) -> Vec<Account> {
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

/// Returns what is wrong with an account: what its thread says, else why none is started.
pub fn error_of(at: &Setting<'_>, account: &Account, is_configured: bool, state: &State) -> Value {
    match () {
        () if state.last_error.is_some() => json!(state.last_error),
        () if at.is_skipped => Value::Null,
        () if !account.is_enabled() => json!("disabled"),
        () if !is_configured => json!("not configured"),
        () => Value::Null,
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
