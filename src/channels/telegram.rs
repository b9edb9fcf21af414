//! Telegram, as far as configuration tells (channels.md §12). Not here yet: the network.

use serde_json::{Map, Value, json};

use super::channel::{
    Account, Capabilities, Channel, DEFAULT_ACCOUNT, Info, LoggedOut, NOT_BUILT_IN, ReceiveError, Reception, Setting,
    error_of,
};
use super::message::{Address, Part, SendError, Sent};
use super::reply::Reply;
use super::state::State;
use crate::base::cancel::CancelToken;
use crate::base::fs::read_text_capped;
use crate::config::write;

/// Largest token file that is read, in bytes.
const TOKEN_FILE_BYTES_MAX: u64 = 4096;
const TOKEN_VARIABLE: &str = "TELEGRAM_BOT_TOKEN";

/// See the module.
pub struct Telegram;

/// Where an account's token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenSource {
    Config,
    File,
    Env,
    None,
}

impl TokenSource {
    fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::File => "tokenFile",
            Self::Env => "env",
            Self::None => "none",
        }
    }
}

/// Looks for a token: a named file that cannot be read ends the search, so that a broken secret never falls back to an
/// older one.
fn token_source(at: &Setting<'_>, account: &Account) -> TokenSource {
    if let Some(file) = account.text("tokenFile") {
        let text = read_text_capped(&at.paths.expand(file), TOKEN_FILE_BYTES_MAX).ok().flatten();
        let has_token = text.is_some_and(|text| !text.trim().is_empty());
        return if has_token { TokenSource::File } else { TokenSource::None };
    }
    let is_default = account.id == DEFAULT_ACCOUNT;
    if account.text("botToken").is_some() {
        TokenSource::Config
    } else if is_default && (at.env)(TOKEN_VARIABLE).is_some_and(|token| !token.trim().is_empty()) {
        TokenSource::Env
    } else {
        TokenSource::None
    }
}

impl Channel for Telegram {
    fn info(&self) -> &'static Info {
        &Info { id: "telegram", label: "Telegram", detail_label: "Telegram Bot", system_image: "paperplane" }
    }

    fn capabilities(&self) -> &'static Capabilities {
        &Capabilities {
            chat_types: &["direct", "group", "channel", "thread"],
            actions: &["send", "react", "delete"],
            poll_options_max: None,
            has_reactions: true,
            has_threads: true,
            has_media: true,
            has_native_commands: true,
            has_block_streaming: true,
            has_web_login: false,
            id_prefixes: &["telegram:", "tg:"],
            id_label: "Your Telegram user id",
            inbound_media_mb: 5,
        }
    }

    fn has_credentials(&self, at: &Setting<'_>) -> bool {
        (at.env)(TOKEN_VARIABLE).is_some_and(|token| !token.trim().is_empty())
    }

    fn is_configured(&self, at: &Setting<'_>, account: &Account) -> bool {
        token_source(at, account) != TokenSource::None
    }

    fn snapshot(&self, at: &Setting<'_>, account: &Account, state: &State) -> Value {
        let source = token_source(at, account);
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
            "lastError": error_of(at, account, source != TokenSource::None, state),
            "mode": mode(account),
            "allowUnmentionedGroups": allows_unmentioned,
            "lastInboundAt": state.last_inbound_at,
            "lastOutboundAt": state.last_outbound_at,
        });
        extend(&mut row, more);
        if state.last_start_at.is_some() {
            // Linked is one thing, receiving another.
            row["connected"] = state.is_connected.into();
            row["reconnectAttempts"] = state.reconnect_attempts.into();
            row["lastEventAt"] = json!(state.last_event_at);
        }
        row
    }

    fn summary(&self, at: &Setting<'_>, account: &Account, state: &State) -> Value {
        let source = token_source(at, account);
        json!({
            "configured": source != TokenSource::None,
            "tokenSource": source.as_str(),
            "running": state.is_running,
            "mode": mode(account),
            "lastStartAt": state.last_start_at,
            "lastStopAt": state.last_stop_at,
            "lastError": error_of(at, account, source != TokenSource::None, state),
            "lastProbeAt": state.probe.as_ref().map(|(at, _)| at),
        })
    }

    fn health(&self, at: &Setting<'_>, account: &Account, state: &State) -> Value {
        let is_configured = self.is_configured(at, account);
        // compat: health shows neither source nor mode.
        json!({
            "configured": is_configured,
            "tokenSource": "none",
            "running": state.is_running,
            "mode": null,
            "lastStartAt": state.last_start_at,
            "lastStopAt": state.last_stop_at,
            "lastError": error_of(at, account, is_configured, state),
            "lastProbeAt": null,
            "accountId": account.id,
        })
    }

    fn target(&self, _at: &Setting<'_>, _account: &Account, given: &str) -> Result<String, String> {
        let given = given.trim();
        let bare = ["telegram:", "tg:"].iter().find_map(|prefix| given.strip_prefix(prefix)).unwrap_or(given).trim();
        let bare = bare.strip_prefix("group:").unwrap_or(bare).trim();
        if bare.is_empty() {
            return Err("Delivering to Telegram requires target <chatId>".to_owned());
        }
        Ok(bare.to_owned())
    }

    fn receive(&self, _reception: &Reception<'_>) -> Result<(), ReceiveError> {
        Err(ReceiveError::Refused(NOT_BUILT_IN.to_owned()))
    }

    fn prepare(&self, _: &Setting<'_>, _: &Account, _: &Address, reply: &Reply) -> Result<Vec<Part>, String> {
        Ok(vec![json!({"text": reply.text, "media": reply.media})])
    }

    fn send(
        &self,
        at: &Setting<'_>,
        account: &Account,
        _: &Address,
        _: &Part,
        _: &CancelToken,
    ) -> Result<Sent, SendError> {
        if !self.is_configured(at, account) {
            let id = &account.id;
            return Err(SendError::NotLinked(format!(
                "Telegram bot token missing for account \"{id}\" (set channels.telegram.accounts.{id}.botToken/tokenFile \
                 or {TOKEN_VARIABLE} for default)."
            )));
        }
        Err(SendError::Failed(format!("Telegram is {NOT_BUILT_IN}")))
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
    if account.text("webhookUrl").is_some() { "webhook" } else { "polling" }
}

/// Appends the fields of an object.
fn extend(row: &mut Value, more: Value) {
    if let (Value::Object(row), Value::Object(more)) = (row, more) {
        row.extend(more);
    }
}
