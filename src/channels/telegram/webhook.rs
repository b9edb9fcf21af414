//! Updates that Telegram sends to the gateway's port (channels.md §12.5).
//!
//! Runs on a job. The answer is 200 once the update is on the disk behind the sink, or is left out as the poll leaves it out;
//! anything else makes Telegram send it again. Not here: the registration (`poll`).

use super::Telegram;
use super::account;
use super::types::{Numbered, Update};
use super::update::Reader;
use crate::base::secret::Secret;
use crate::channels::channel::{Account, Channel as _, Setting, Webhook};
use crate::channels::inbound::Sink;
use crate::config::types::Config;

/// Where updates go unless configured.
const PATH: &str = "/telegram-webhook";
const SECRET_HEADER: &str = "x-telegram-bot-api-secret-token";

/// Returns whether a path is one to which some account lets its updates be sent.
pub fn claims(config: &Config, path: &str) -> bool {
    let section = config.channel("telegram");
    let named = section["accounts"].as_object().into_iter().flat_map(|named| named.values());
    [section].into_iter().chain(named).any(|keys| {
        let word = |key: &str| keys[key].as_str().or(section[key].as_str()).map(str::trim).filter(|it| !it.is_empty());
        word("webhookUrl").is_some() && word("webhookPath").unwrap_or(PATH) == path
    })
}

/// Answers a request with a status; `None` when it is none of Telegram's.
pub fn take(
    telegram: &Telegram,
    at: &Setting<'_>,
    request: &Webhook<'_>,
    sink: &dyn Fn(&Account) -> Box<dyn Sink>,
) -> Option<u16> {
    let is_its = |account: &Account| {
        let is_on = account::webhook_url(account).is_some() && account.is_enabled();
        is_on && account.text("webhookPath").unwrap_or(PATH) == request.path
    };
    let accounts: Vec<Account> = telegram.accounts(at).into_iter().filter(is_its).collect();
    if accounts.is_empty() {
        return None;
    }
    let given = (request.header)(SECRET_HEADER).unwrap_or_default();
    // Accounts that share a path are told apart by their secrets; one without a secret takes nothing from anybody.
    let is_secret = |account: &Account| account.text("webhookSecret").is_some_and(|it| Secret::new(it).matches(&given));
    let Some(account) = accounts.iter().find(|account| is_secret(account)) else { return Some(401) };
    // As text, like the answers of the poll: the types are compiled once.
    let Ok(body) = std::str::from_utf8(request.body) else { return Some(400) };
    let update = match serde_json::from_str::<Update>(body) {
        Ok(update) => update,
        Err(error) => return Some(refuse(body, &error)),
    };
    let Some(token) = account::token(at, account).1 else { return Some(500) };
    // Before the first answer of `getMe` nobody could tell who is spoken to.
    let Some(me) = telegram.me(&token) else { return Some(503) };
    let Some(event) = (Reader { me: &me, account }).event(&update) else { return Some(200) };
    let result = sink(account).accept(vec![event]);
    if let Some(query) = update.callback_query.as_ref().filter(|_| result.is_ok()) {
        telegram.acknowledge(at, account, &query.id);
    }
    Some(if result.is_ok() { 200 } else { 500 })
}

/// Returns the status for what is no update that is understood. One with a number is Telegram's: sent again, it would be
/// understood no better, and hold up all others meanwhile.
fn refuse(body: &str, error: &serde_json::Error) -> u16 {
    let Ok(Numbered { update_id }) = serde_json::from_str(body) else { return 400 };
    log::warn!(target: "gateway/channels/telegram", "update {update_id} is not understood and left out: {error}");
    200
}
