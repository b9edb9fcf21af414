//! Receiving: the long poll, and the webhook's registration (channels.md §12.4, §12.5).
//!
//! Runs on the account's own thread. The order is what keeps every update: it is on the disk behind the sink, then the mark
//! is raised, then the next call confirms it to the server. Faults of the network are retried here for ever, with capped
//! pauses, and each shows in the account's state. Not here: what an update means (`update`), who polls (`pollers`).

use std::time::Duration;

use serde_json::{Value, json};

use super::api::{Api, ApiError};
use super::offset::Offset;
use super::types::{MemberUpdate, Update, User};
use super::update::Reader;
use super::{Telegram, account};
use crate::base::backoff::Backoff;
use crate::base::cancel::CancelToken;
use crate::channels::channel::{ReceiveError, Reception};
use crate::channels::inbound::AcceptError;

/// What the server is asked for.
pub const ALLOWED_UPDATES: [&str; 6] =
    ["message", "edited_message", "callback_query", "message_reaction", "my_chat_member", "channel_post"];
/// Most updates of one answer.
const UPDATES_MAX: u64 = 100;
/// How long a call that is no poll may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Names the variable that makes all waits short: for tests.
const HURRY_VARIABLE: &str = "CLAWDBOT_TELEGRAM_HURRY";

/// How patient the poll is.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// How long the server may hold a poll, in seconds.
    poll_seconds: u64,
    /// How much later its answer may be before the poll counts as stuck: the watchdog.
    grace: Duration,
    /// Longest pause between attempts.
    pause_max: Duration,
}

impl Pace {
    fn of_process() -> Self {
        if std::env::var_os(HURRY_VARIABLE).is_some() {
            return Self { poll_seconds: 1, grace: Duration::from_secs(1), pause_max: Duration::from_millis(40) };
        }
        Self { poll_seconds: 30, grace: Duration::from_secs(15), pause_max: Duration::from_secs(30) }
    }
}

/// Receives until the account is stopped.
pub fn receive(telegram: &Telegram, reception: &Reception<'_>) -> Result<(), ReceiveError> {
    let setting = |name: &str| std::env::var(name).ok();
    let config = reception.live.get();
    let at = crate::channels::channel::Setting {
        config: &config,
        paths: reception.paths,
        env: &setting,
        now_ms: reception.clock.now_ms(),
        is_skipped: false,
    };
    let access = account::access(&at, reception.account).map_err(ReceiveError::Refused)?;
    let stop = CancelToken::new();
    let linked = stop.clone();
    let _linked = reception.cancel.hook(move || linked.cancel(crate::base::cancel::CancelReason::Aborted));
    let id = &reception.account.id;
    let lease = telegram.pollers.claim(&access.token, id, stop).map_err(|taken| taken_error(id, taken))?;
    let api = std::sync::Arc::new(Api::new(access).map_err(ReceiveError::Refused)?);
    let stopped = api.clone();
    lease.stop().on_cancel(move || stopped.stop());
    let pace = Pace::of_process();
    let mut session = Session {
        telegram,
        reception,
        api: &api,
        stop: lease.stop(),
        pace,
        backoff: Backoff::new(Duration::from_millis(100).min(pace.pause_max), pace.pause_max, 2.0, 0.2),
        conflicts: Backoff::new(Duration::from_secs(2).min(pace.pause_max), pace.pause_max, 1.8, 0.25),
    };
    let result = session.run();
    match result {
        // Whoever took over, or the gateway, ended it.
        Err(Ended::Stopped) => Ok(()),
        Err(Ended::Refused(text)) => Err(ReceiveError::Refused(text)),
        Ok(()) => Ok(()),
    }
}

fn taken_error(account: &str, taken: super::pollers::Taken) -> ReceiveError {
    match taken {
        super::pollers::Taken::By(other) => ReceiveError::Refused(format!(
            "the accounts \"{account}\" and \"{other}\" have the same bot token; a bot can be polled once only: give each its own"
        )),
        super::pollers::Taken::Stuck => ReceiveError::Failed("the old poll has not ended yet".to_owned()),
    }
}

/// Why a session is over.
enum Ended {
    /// It is to stop.
    Stopped,
    /// The server does not know the token.
    Refused(String),
}

struct Session<'a> {
    telegram: &'a Telegram,
    reception: &'a Reception<'a>,
    api: &'a Api,
    stop: &'a CancelToken,
    pace: Pace,
    /// Pauses after faults.
    backoff: Backoff,
    /// Pauses after conflicts: whoever else polls is to notice.
    conflicts: Backoff,
}

impl Session<'_> {
    fn run(&mut self) -> Result<(), Ended> {
        let me: User = self.insist("getMe", &json!({}))?;
        let shown = me.username.as_deref().unwrap_or("?");
        let id = &self.reception.account.id;
        log::info!(target: "gateway/channels/telegram", "[{id}] starting provider (@{shown})");
        self.telegram.remember(&self.api.access().token, &me);
        self.offer_commands();
        match account::webhook_url(self.reception.account) {
            Some(url) => self.webhook(url),
            None => self.poll(&me),
        }
    }

    /// Polls until it is stopped.
    fn poll(&mut self, me: &User) -> Result<(), Ended> {
        let account = self.reception.account;
        let mut offset = Offset::open(&self.reception.paths.state_dir, &account.id);
        // The server sends what was not confirmed; where it counts is its own affair until it has said so.
        let mut next: i64 = 0;
        let mut count = UPDATES_MAX;
        loop {
            let params = json!({"offset": next, "limit": count, "timeout": self.pace.poll_seconds, "allowed_updates": ALLOWED_UPDATES});
            let within = Duration::from_secs(self.pace.poll_seconds) + self.pace.grace;
            let updates = match self.api.updates(&params, within) {
                Ok(updates) => updates,
                Err(error) => {
                    // What is too large or broken on the way may come through in smaller pieces.
                    count = (count / 2).max(1);
                    self.pause("getUpdates", &error)?;
                    continue;
                }
            };
            self.succeeded();
            count = UPDATES_MAX;
            let Some(last) = updates.iter().map(|(id, _)| *id).max() else { continue };
            self.take(me, &offset, &updates)?;
            offset.raise(last);
            next = last + 1;
            self.acknowledge(&updates);
        }
    }

    /// Hands updates over; returns when they are on the disk.
    fn take(&mut self, me: &User, offset: &Offset, updates: &[(i64, Option<Update>)]) -> Result<(), Ended> {
        let reader = Reader { me, account: self.reception.account };
        let fresh = updates.iter().filter(|(id, _)| !offset.has(*id)).filter_map(|(_, update)| update.as_ref());
        let mut events = Vec::new();
        for update in fresh {
            if let Some(member) = &update.my_chat_member {
                self.tell_membership(member);
            }
            events.extend(reader.event(update));
        }
        let mut pauses = self.conflicts.clone();
        while !events.is_empty() {
            let id = &self.reception.account.id;
            self.telegram.set_crowded(id, true);
            let accepted = self.reception.sink.accept(events.clone());
            self.telegram.set_crowded(id, false);
            match accepted {
                Ok(()) => break,
                Err(AcceptError::Stopped) => return Err(Ended::Stopped),
                Err(error @ AcceptError::Disk(_)) => {
                    self.reception.state.failed(self.reception.clock.now_ms(), error.to_string());
                    log::error!(target: "gateway/channels/telegram", "[{}] {error}", self.reception.account.id);
                    self.wait(pauses.next_delay(self.reception.rng))?;
                }
            }
        }
        Ok(())
    }

    /// Tells the server that buttons were noticed, so that they stop turning.
    fn acknowledge(&self, updates: &[(i64, Option<Update>)]) {
        for query in updates.iter().filter_map(|(_, update)| update.as_ref()?.callback_query.as_ref()) {
            self.api.acknowledge(&query.id);
        }
    }

    fn tell_membership(&self, member: &MemberUpdate) {
        let chat = member.chat.title.as_deref().unwrap_or("a private chat");
        let (id, status) = (member.chat.id, member.new_chat_member.status.as_str());
        log::info!(target: "gateway/channels/telegram", "[{}] now \"{status}\" in {chat} (id:{id})", self.reception.account.id);
    }

    /// Lets the server send updates to the gateway's port, and waits until the account is stopped.
    fn webhook(&mut self, url: &str) -> Result<(), Ended> {
        let Some(secret) = self.reception.account.text("webhookSecret") else {
            let text = "channels.telegram.webhookUrl needs channels.telegram.webhookSecret: without it anybody could speak to the bot";
            return Err(Ended::Refused(text.to_owned()));
        };
        let params = json!({"url": url, "secret_token": secret, "allowed_updates": ALLOWED_UPDATES});
        let _: bool = self.insist("setWebhook", &params)?;
        let id = &self.reception.account.id;
        log::info!(target: "gateway/channels/telegram", "[{id}] webhook set");
        self.stop.wait();
        Err(Ended::Stopped)
    }

    /// Offers commands in people's menus; failing is no loss.
    fn offer_commands(&self) {
        let Some(commands) = super::commands::menu(self.reception) else { return };
        let params = json!({"commands": commands});
        if let Err(error) = self.api.call_within::<Value>("setMyCommands", &params, CALL_TIMEOUT) {
            log::warn!(target: "gateway/channels/telegram", "[{}] commands not offered: {error}", self.reception.account.id);
        }
    }

    /// Calls until there is an answer.
    fn insist<T: serde::de::DeserializeOwned>(&mut self, method: &'static str, params: &Value) -> Result<T, Ended> {
        loop {
            match self.api.call_within(method, params, CALL_TIMEOUT.min(self.pace.grace)) {
                Ok(value) => {
                    self.succeeded();
                    return Ok(value);
                }
                Err(error) => self.pause(method, &error)?,
            }
        }
    }

    fn succeeded(&mut self) {
        self.backoff.reset();
        self.conflicts.reset();
        self.reception.state.connected(self.reception.clock.now_ms());
    }

    /// Shows a fault and waits as long as it asks for.
    fn pause(&mut self, method: &str, error: &ApiError) -> Result<(), Ended> {
        let rng = self.reception.rng;
        let refusal = match error {
            ApiError::Stopped => return Err(Ended::Stopped),
            ApiError::Lost { .. } => None,
            ApiError::Refused(refusal) => Some(refusal),
        };
        let asked = refusal.and_then(|refusal| refusal.retry_after);
        let (text, delay) = match refusal.map(|refusal| refusal.code) {
            // Unknown tokens are 401, words that cannot be a token 404.
            Some(401 | 404) => return Err(Ended::Refused(format!("{error}: is the bot token right?"))),
            Some(409) => (conflict(error), self.conflicts.next_delay(rng)),
            _ => (error.to_string(), self.backoff.next_delay(rng)),
        };
        let delay = asked.map_or(delay, |asked| asked.max(delay));
        let failures = self.reception.state.get().reconnect_attempts;
        self.reception.state.failed(self.reception.clock.now_ms(), text.as_str());
        let id = &self.reception.account.id;
        // The first of a kind is news; thousands of the same are not.
        if failures == 0 || failures.is_multiple_of(20) {
            log::warn!(target: "gateway/channels/telegram", "[{id}] {method}: {text}; retrying in {delay:.1?}");
        } else {
            log::debug!(target: "gateway/channels/telegram", "[{id}] {method}: {text}; retrying in {delay:.1?}");
        }
        self.wait(delay)
    }

    fn wait(&self, delay: Duration) -> Result<(), Ended> {
        if self.stop.sleep(delay) { Ok(()) } else { Err(Ended::Stopped) }
    }
}

/// Words a conflict: another poll elsewhere, or a webhook that is still registered.
fn conflict(error: &ApiError) -> String {
    if error.to_string().to_lowercase().contains("webhook") {
        return format!(
            "{error} (a webhook is registered for this bot: delete it, or configure channels.telegram.webhookUrl)"
        );
    }
    format!("Telegram getUpdates conflict: another program polls with this bot token ({error})")
}
