//! Telegram (channels.md §12): a bot per account, over the Bot API.
//!
//! [`Telegram`] is what the framework knows of it. Owns what must be one in the process: who polls with which token, the
//! connections by account, who the bots are. Not here: access, pairing, order, attempts, the journal — all
//! channels share those.

mod account;
mod actions;
mod api;
mod buttons;
mod commands;
mod draft;
mod entities;
mod html;
mod offset;
mod poll;
mod pollers;
mod prepare;
mod probe;
mod send;
mod target;
mod types;
mod update;
mod webhook;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use self::account::TokenSource;
use self::api::Api;
use self::send::{Sender, sent};
use super::channel::{
    Account, Capabilities, Channel, Credentials, DEFAULT_ACCOUNT, Download, DownloadError, Info, Joining, LoggedOut,
    Reacting, ReceiveError, Reception, Setting, Webhook, error_of,
};
use super::inbound::{ChatKind, MediaRef, Sink};
use super::message::{Address, Part, Reaction, SendError, Sent};
use super::reply::Reply;
use super::state::State;
use crate::base::cancel::CancelToken;
use crate::base::secret::Secret;
use crate::config::types::Config;
use crate::config::write;

/// Accounts whose connections are kept.
const APIS_MAX: usize = 16;
/// How long a running account may hear nothing, not even that there is nothing, before it says so.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// See the module.
pub struct Telegram {
    pollers: pollers::Pollers,
    drafts: draft::Drafts,
    apis: Mutex<Vec<Arc<Api>>>,
    /// Who the bots are, by token.
    bots: Mutex<Vec<(Secret, types::User)>>,
    /// Accounts whose messages wait for room behind the sink.
    crowded: Mutex<Vec<String>>,
}

impl Telegram {
    /// Knows nothing yet.
    pub const fn new() -> Self {
        Self {
            pollers: pollers::Pollers::new(),
            drafts: draft::Drafts::new(),
            apis: Mutex::new(Vec::new()),
            bots: Mutex::new(Vec::new()),
            crowded: Mutex::new(Vec::new()),
        }
    }

    /// Notes whether an account waits for room: then its silence is its own.
    fn set_crowded(&self, account: &str, is_crowded: bool) {
        let mut crowded = self.crowded.lock().unwrap_or_else(PoisonError::into_inner);
        crowded.retain(|its| its != account);
        if is_crowded {
            crowded.push(account.to_owned());
        }
    }

    /// Returns how long a poll has been silent, if that is too long: a poll that hangs must not look healthy.
    fn silence(&self, at: &Setting<'_>, account: &Account, state: &State) -> Option<Duration> {
        if !state.is_running || account::webhook_url(account).is_some() {
            return None;
        }
        let silence = Duration::from_millis(at.now_ms.saturating_sub(state.last_event_at.or(state.last_start_at)?));
        (silence > SILENCE_MAX).then_some(silence)
    }

    /// Returns what is wrong with an account, a silent poll included.
    fn trouble(&self, at: &Setting<'_>, account: &Account, source: TokenSource, state: &State) -> Value {
        let Some(silence) = self.silence(at, account, state).filter(|_| state.last_error.is_none()) else {
            return error_of(at, account, source != TokenSource::None, state);
        };
        let seconds = silence.as_secs();
        if self.crowded.lock().unwrap_or_else(PoisonError::into_inner).contains(&account.id) {
            return format!("as many messages wait to be answered as may; Telegram has kept the rest for {seconds} s")
                .into();
        }
        format!("Telegram has not answered for {seconds} s").into()
    }

    /// Returns the connections of an account.
    fn api(&self, at: &Setting<'_>, account: &Account) -> Result<Arc<Api>, String> {
        let access = account::access(at, account)?;
        let mut apis = self.apis.lock().unwrap_or_else(PoisonError::into_inner);
        apis.retain(|api| !api.is_stopped());
        if let Some(api) = apis.iter().find(|api| *api.access() == access) {
            return Ok(api.clone());
        }
        let api = Arc::new(Api::new(access)?);
        if apis.len() >= APIS_MAX {
            apis.remove(0);
        }
        apis.push(api.clone());
        Ok(api)
    }

    /// As [`Telegram::api`], for whoever sends; what is under way ends when `cancel` does.
    fn sending<T>(
        &self,
        at: &Setting<'_>,
        account: &Account,
        cancel: &CancelToken,
        work: impl FnOnce(&Api) -> Result<T, SendError>,
    ) -> Result<T, SendError> {
        let api = self.api(at, account).map_err(SendError::NotLinked)?;
        let stopped = api.clone();
        let _hook = cancel.hook(move || stopped.stop());
        work(&api)
    }

    /// Keeps who the bot of a token is.
    fn remember(&self, token: &Secret, me: &types::User) {
        let mut bots = self.bots.lock().unwrap_or_else(PoisonError::into_inner);
        bots.retain(|(its, _)| its != token);
        if bots.len() >= APIS_MAX {
            bots.remove(0);
        }
        bots.push((token.clone(), me.clone()));
    }

    /// Returns who the bot of a token is, once it has been asked.
    fn me(&self, token: &Secret) -> Option<types::User> {
        let bots = self.bots.lock().unwrap_or_else(PoisonError::into_inner);
        bots.iter().find(|(its, _)| its == token).map(|(_, me)| me.clone())
    }

    /// Tells the server that a button was noticed.
    fn acknowledge(&self, at: &Setting<'_>, account: &Account, query: &str) {
        if let Ok(api) = self.api(at, account) {
            api.acknowledge(query);
        }
    }
}

impl Channel for Telegram {
    fn info(&self) -> &'static Info {
        &Info { id: "telegram", label: "Telegram", detail_label: "Telegram Bot", system_image: "paperplane" }
    }

    fn capabilities(&self) -> &'static Capabilities {
        &Capabilities {
            chat_types: &["direct", "group", "channel", "thread"],
            actions: &["send", "react", "delete", "edit"],
            // compat: the Bot API has polls, the original sends none.
            poll_options_max: None,
            has_reactions: true,
            has_threads: true,
            has_buttons: true,
            has_media: true,
            has_native_commands: true,
            has_block_streaming: true,
            has_web_login: false,
            id_prefixes: &["telegram:", "tg:"],
            id_label: "Your Telegram user id",
            id_column: "telegramUserId",
            target_hint: "<chatId>",
            pairing_counts_in_groups: true,
            answers_sends_itself: true,
            binds_accounts: false,
            has_voice_notes: true,
            inbound_media_mb: 5,
            restarted_by: &["channels.telegram", "plugins.entries.telegram", "bindings"],
        }
    }

    fn has_credentials(&self, at: &Setting<'_>) -> bool {
        account::env_token(at).is_some()
    }

    fn accounts(&self, at: &Setting<'_>) -> Vec<Account> {
        account::accounts(at)
    }

    fn default_account(&self, at: &Setting<'_>) -> Account {
        account::default_account(at)
    }

    fn is_configured(&self, at: &Setting<'_>, account: &Account) -> bool {
        account::token(at, account).0 != TokenSource::None
    }

    fn snapshot(&self, at: &Setting<'_>, account: &Account, state: &State) -> Value {
        let source = account::token(at, account).0;
        let groups = account.settings.get("groups").and_then(Value::as_object);
        let allows_unmentioned =
            groups.is_some_and(|groups| groups.values().any(|group| group["requireMention"] == false));
        let mut row = json!({"accountId": account.id});
        if let Some(name) = account.text("name") {
            row["name"] = name.into();
        }
        let more = json!({
            "enabled": account.is_enabled(),
            "configured": source != TokenSource::None,
            "tokenSource": source.as_str(),
            "running": state.is_running,
            "lastStartAt": state.last_start_at,
            "lastStopAt": state.last_stop_at,
            "lastError": self.trouble(at, account, source, state),
            "mode": mode(account),
            "allowUnmentionedGroups": allows_unmentioned,
            "lastInboundAt": state.last_inbound_at,
            "lastOutboundAt": state.last_outbound_at,
        });
        extend(&mut row, more);
        if state.last_start_at.is_some() {
            // Linked is one thing, receiving another.
            row["connected"] = (state.is_connected && self.silence(at, account, state).is_none()).into();
            row["reconnectAttempts"] = state.reconnect_attempts.into();
            row["lastEventAt"] = json!(state.last_event_at);
        }
        row
    }

    fn summary(&self, at: &Setting<'_>, account: &Account, state: &State) -> Value {
        let source = account::token(at, account).0;
        let mut summary = json!({
            "configured": source != TokenSource::None,
            "tokenSource": source.as_str(),
            "running": state.is_running,
            "mode": mode(account),
            "lastStartAt": state.last_start_at,
            "lastStopAt": state.last_stop_at,
            "lastError": self.trouble(at, account, source, state),
        });
        if let Some((_, probe)) = &state.probe {
            summary["probe"] = probe.clone();
        }
        summary["lastProbeAt"] = json!(state.probe.as_ref().map(|(at, _)| at));
        summary
    }

    fn health(&self, at: &Setting<'_>, account: &Account, state: &State) -> Value {
        let mut health = self.summary(at, account, state);
        // compat: health shows neither source nor mode.
        health["tokenSource"] = "none".into();
        health["mode"] = Value::Null;
        health["accountId"] = account.id.clone().into();
        health
    }

    fn probe(&self, at: &Setting<'_>, account: &Account, within: Duration) -> Option<(Value, Option<Value>)> {
        let api = self.api(at, account).ok()?;
        let started = Instant::now();
        let probe = probe::probe(&api, within);
        let left = within.saturating_sub(started.elapsed());
        let audit = probe["bot"]["id"].as_i64().and_then(|bot| probe::audit(&api, account, bot, left));
        Some((probe, audit))
    }

    fn receive(&self, reception: &Reception<'_>) -> Result<(), ReceiveError> {
        poll::receive(self, reception)
    }

    fn claims(&self, config: &Config, path: &str) -> bool {
        webhook::claims(config, path)
    }

    fn webhook(
        &self,
        at: &Setting<'_>,
        request: &Webhook<'_>,
        sink: &dyn Fn(&Account) -> Box<dyn Sink>,
    ) -> Option<u16> {
        webhook::take(self, at, request, sink)
    }

    fn download(
        &self,
        at: &Setting<'_>,
        account: &Account,
        media: &MediaRef,
        bytes_max: u64,
        cancel: &CancelToken,
    ) -> Result<Download, DownloadError> {
        let api = self.api(at, account).map_err(DownloadError::Failed)?;
        let stopped = api.clone();
        let _hook = cancel.hook(move || stopped.stop());
        let failed = |error: api::ApiError| match error.refusal() {
            Some(refusal) if refusal.description.contains("file is too big") => DownloadError::TooLarge,
            Some(refusal) if (400..500).contains(&refusal.code) && refusal.code != 429 => {
                DownloadError::Gone(error.to_string())
            }
            _ => DownloadError::Failed(error.to_string()),
        };
        if media.size_bytes.is_some_and(|size| size > bytes_max) {
            return Err(DownloadError::TooLarge);
        }
        let file: types::File = api.call("getFile", &json!({"file_id": media.source["fileId"]})).map_err(failed)?;
        let Some(path) = file.file_path else {
            return Err(DownloadError::Failed("Telegram getFile returned no file_path".to_owned()));
        };
        let bytes = api.download(&path, bytes_max).map_err(failed)?.ok_or(DownloadError::TooLarge)?;
        let name = path.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned);
        Ok(Download { bytes, mime: media.mime.clone(), name: media.name.clone().or(name) })
    }

    fn target(&self, _at: &Setting<'_>, _account: &Account, given: &str) -> Result<String, String> {
        target::spell(given).ok_or_else(|| "Delivering to Telegram requires target <chatId>".to_owned())
    }

    fn address(&self, target: &str) -> Address {
        target::address(target)
    }

    fn is_address(&self, target: &str) -> bool {
        target::is_explicit(target)
    }

    fn chat_kind(&self, to: &str) -> ChatKind {
        // Groups are negative numbers.
        if to.starts_with('-') { ChatKind::Group } else { ChatKind::Direct }
    }

    fn history_mark(&self, chat: &str, message_id: &str) -> String {
        format!(" [id:{message_id} chat:{chat}]")
    }

    fn abilities(&self, account: &Account) -> Vec<String> {
        let mut abilities = account.list("capabilities");
        let is_named = abilities.iter().any(|ability| ability == buttons::ABILITY);
        if buttons::Scope::of(account) != buttons::Scope::Off && !is_named {
            abilities.push(buttons::ABILITY.to_owned());
        }
        abilities
    }

    fn reacting(&self, account: &Account) -> Option<Reacting> {
        Some(match account.text("reactionLevel") {
            None | Some("minimal") => Reacting::Seldom,
            Some("extensive") => Reacting::Freely,
            Some(_) => Reacting::Off,
        })
    }

    fn prepare(&self, _at: &Setting<'_>, account: &Account, to: &Address, reply: &Reply) -> Result<Vec<Part>, String> {
        prepare::prepare(account, to, reply)
    }

    fn send(
        &self,
        at: &Setting<'_>,
        account: &Account,
        to: &Address,
        part: &Part,
        cancel: &CancelToken,
    ) -> Result<Sent, SendError> {
        let message: prepare::Message = serde_json::from_value(part.clone())
            .map_err(|error| SendError::Failed(format!("the message was written down by another version: {error}")))?;
        self.sending(at, account, cancel, |api| {
            let done = Sender { api, account, to, paths: at.paths, cancel }.send(&message)?;
            Ok(sent(&done, to))
        })
    }

    fn react(
        &self,
        at: &Setting<'_>,
        account: &Account,
        to: &Address,
        reaction: &Reaction,
        cancel: &CancelToken,
    ) -> Result<Sent, SendError> {
        self.sending(at, account, cancel, |api| actions::react(api, to, reaction))
    }

    fn act(
        &self,
        at: &Setting<'_>,
        account: &Account,
        action: &str,
        params: &Map<String, Value>,
        cancel: &CancelToken,
    ) -> Result<Value, SendError> {
        self.sending(at, account, cancel, |api| actions::act(api, account, action, params))
    }

    fn typing(&self, at: &Setting<'_>, account: &Account, to: &Address, cancel: &CancelToken) {
        let shown = self.sending(at, account, cancel, |api| {
            Sender { api, account, to, paths: at.paths, cancel }.chat_action("typing");
            Ok(())
        });
        if let Err(error) = shown {
            log::debug!(target: "gateway/channels/telegram", "typing not shown: {}", error.text());
        }
    }

    fn draft(
        &self,
        at: &Setting<'_>,
        account: &Account,
        to: &Address,
        message_id: &str,
        text: &str,
        cancel: &CancelToken,
    ) -> bool {
        let me = account::token(at, account).1.and_then(|token| self.me(&token));
        let has_topics = me.and_then(|me| me.has_topics_enabled) == Some(true);
        draft::Drafts::are_wanted(account, to, has_topics)
            && self
                .sending(at, account, cancel, |api| Ok(self.drafts.show(api, account, to, message_id, text)))
                .unwrap_or(false)
    }

    fn joining(&self) -> Option<&'static Joining> {
        Some(&account::JOINING)
    }

    fn is_base(&self, account: &str) -> bool {
        account == DEFAULT_ACCOUNT
    }

    fn settings_of(&self, account: &str, given: &Credentials<'_>) -> Result<Map<String, Value>, String> {
        account::settings_of(account, given)
    }

    fn log_out(&self, at: &Setting<'_>, account: &Account) -> Result<LoggedOut, String> {
        let mut cleared = false;
        let snapshot = write::edit(at.paths, |tree| {
            let Some(section) = tree.pointer_mut("/channels/telegram").and_then(Value::as_object_mut) else {
                return Ok(());
            };
            if account.id == DEFAULT_ACCOUNT {
                cleared |= section.shift_remove("botToken").is_some();
            }
            let named = section.get_mut("accounts").and_then(Value::as_object_mut).into_iter().flatten();
            for (_, own) in named.filter(|(id, _)| id.trim().to_lowercase() == account.id) {
                cleared |= own.as_object_mut().is_some_and(|own| own.shift_remove("botToken").is_some());
            }
            Ok(())
        })
        .map_err(|error| error.to_string())?;
        let after = Setting { config: &snapshot.typed, ..*at };
        let left = self.accounts(&after).iter().any(|it| it.id == account.id && self.is_configured(&after, it));
        let mut more = Map::new();
        more.insert("envToken".to_owned(), self.has_credentials(at).into());
        more.insert("loggedOut".to_owned(), (!left).into());
        Ok(LoggedOut { cleared, more })
    }
}

fn mode(account: &Account) -> &'static str {
    if account::webhook_url(account).is_some() { "webhook" } else { "polling" }
}

/// Appends the fields of an object.
fn extend(row: &mut Value, more: Value) {
    if let (Value::Object(row), Value::Object(more)) = (row, more) {
        row.extend(more);
    }
}
