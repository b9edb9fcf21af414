//! message.action: what the tool `message` and the command `message` do in chats (channels.md §10).
//!
//! Ours: the original has no such method, because its command line speaks to Telegram itself. Not here: `send` and `poll`,
//! which clients of the original call.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::channels::shape;
use super::{Any, Method, methods};
use crate::agent::session;
use crate::base::cancel::CancelToken;
use crate::base::ids::SessionKey;
use crate::base::rng::uuid;
use crate::base::text::trimmed;
use crate::channels::channel::{Account, Channel, Reacting, Setting};
use crate::channels::message::{Poll, Reaction, SendError, Sent};
use crate::channels::outbox::Delivery;
use crate::channels::reply::Reply as ChatReply;
use crate::channels::{self, normalize};
use crate::gateway::chats::record;
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::ticket::{Outcome, Ticket};
use crate::gateway::{deliveries, targets};
use crate::media;
use crate::protocol::error::ErrorShape;

pub(super) const METHODS: &[Method] = methods! {
    "message.action" Write Any action, hidden;
};

/// Most targets of one broadcast.
const TARGETS_MAX: usize = 50;
/// Largest file that is brought along as base64.
const BUFFER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long an action may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// What is asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wanted {
    /// What to do.
    action: String,
    /// By which channel; absent = the session's, else the only one.
    channel: Option<String>,
    /// By which account.
    account_id: Option<String>,
    /// The conversation that asks; its own chat is meant where nothing else is named.
    session_key: Option<String>,
    /// A repetition is one action.
    idempotency_key: Option<String>,
    /// Only say what would be done.
    dry_run: bool,
    /// The action's own parameters, as the tool has them.
    params: Map<String, Value>,
}

impl Wanted {
    fn text(&self, key: &str) -> Option<&str> {
        self.params.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
    }

    fn flag(&self, key: &str) -> bool {
        self.params.get(key) == Some(&Value::Bool(true))
    }

    /// Returns a text or number as a text.
    fn word(&self, key: &str) -> Option<String> {
        let value = self.params.get(key)?;
        value
            .as_str()
            .map(|text| text.trim().to_owned())
            .or_else(|| Some(value.as_i64()?.to_string()))
            .filter(|it| !it.is_empty())
    }
}

/// Whom an action is for.
struct Place {
    channel: &'static dyn Channel,
    account: Account,
    target: String,
}

fn action(cx: &Arc<Ctx>, call: &Call, params: Any) -> Result<Reply, ErrorShape> {
    let wanted: Wanted = serde_json::from_value(params)
        .map_err(|error| ErrorShape::invalid(format!("invalid message.action params: {error}")))?;
    let (job_cx, ticket) = (cx.clone(), call.ticket(cx));
    let submitted = cx.jobs.submit(vec!["side".to_owned()], move || {
        let fault = |text: String| -> Outcome { Err(ErrorShape::invalid(text)).into() };
        match wanted.action.as_str() {
            "broadcast" => broadcast(&job_cx, &wanted, ticket),
            _ => match place(&job_cx, &wanted, wanted.word("to").or_else(|| wanted.word("target"))) {
                Ok(place) => act(&job_cx, &wanted, place, Once::new(ticket)),
                Err(text) => ticket.finish(fault(text)),
            },
        }
    });
    if let Err(error) = submitted {
        log::warn!(target: "gateway/channels", "message action not started: {error}");
    }
    Ok(Reply::Later)
}

/// A ticket that the first answer takes.
#[derive(Clone)]
struct Once(Arc<Mutex<Option<Asker>>>);

/// Who waits for an answer.
type Asker = Box<dyn FnOnce(Outcome) + Send>;

impl Once {
    fn new(ticket: Ticket) -> Self {
        Self::with(Box::new(move |outcome| ticket.finish(outcome)))
    }

    fn with(asker: Asker) -> Self {
        Self(Arc::new(Mutex::new(Some(asker))))
    }

    fn finish(&self, outcome: Outcome) {
        let asker = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(asker) = asker {
            asker(outcome);
        }
    }
}

/// Finds channel, account and target.
fn place(cx: &Ctx, wanted: &Wanted, target: Option<String>) -> Result<Place, String> {
    let config = cx.config.get();
    let at = cx.channels_at(&config);
    let entry = wanted.session_key.as_deref().map(|key| session::canonical_key(&config, key, None));
    let own = entry.and_then(|key| cx.sessions.entry(&key)).unwrap_or_default();
    let context = own.delivery_context.unwrap_or_default();
    let own_channel = context.channel.or(own.last_channel).filter(|channel| channel != "webchat");
    let given = wanted.channel.as_deref().map(str::trim).filter(|channel| !channel.is_empty());
    let channel = match given.map(str::to_owned).or(own_channel.clone()) {
        Some(given) => {
            let id = normalize(&given).ok_or_else(|| format!("Unknown channel: {given}"))?;
            let shown = target.as_deref().unwrap_or_default();
            channels::find(&at, id).ok_or_else(|| format!("Unknown target \"{shown}\" for {id}."))?
        }
        None => only_channel(&at)?,
    };
    let id = channel.info().id;
    judge_action(channel, &config.tree, &wanted.action)?;
    let is_own = own_channel.as_deref() == Some(id);
    let own_account = context.account_id.or(own.last_account_id).filter(|_| is_own);
    let account = wanted.account_id.clone().or(own_account);
    let account = channels::account(channel, &at, account.as_deref())?;
    let own_target = || context.to.clone().or_else(|| own.last_to.clone()).filter(|_| is_own);
    let target = target.or_else(own_target).ok_or_else(|| format!("Action {} requires a target.", wanted.action))?;
    if !channel.is_address(&target) {
        let hint = channel.capabilities().target_hint;
        let hint = if hint.is_empty() { String::new() } else { format!(" Hint: {hint}") };
        return Err(format!("Unknown target \"{target}\" for {}.{hint}", channel.info().label));
    }
    let target = channel.target(&at, &account, &target)?;
    Ok(Place { channel, account, target })
}

/// Returns the channel that is meant when none is named.
fn only_channel(at: &Setting<'_>) -> Result<&'static dyn Channel, String> {
    let configured: Vec<&dyn Channel> = channels::active(at)
        .into_iter()
        .filter(|channel| channel.accounts(at).iter().any(|account| channel.is_configured(at, account)))
        .collect();
    match configured[..] {
        [] => Err("Channel is required (no configured channels detected).".to_owned()),
        [one] => channels::find(at, one.info().id).ok_or_else(|| "Channel is required.".to_owned()),
        _ => {
            let names: Vec<&str> = configured.iter().map(|channel| channel.info().id).collect();
            Err(format!("Channel is required when multiple channels are configured: {}", names.join(", ")))
        }
    }
}

/// Says why a channel does not do something, if it does not.
fn judge_action(channel: &dyn Channel, tree: &Value, action: &str) -> Result<(), String> {
    let id = channel.info().id;
    let gate = match action {
        "send" => "sendMessage",
        "react" | "reactions" => "reactions",
        "poll" => "polls",
        "delete" => "deleteMessage",
        "edit" => "editMessage",
        _ => "",
    };
    let is_off = !gate.is_empty() && tree["channels"][id]["actions"][gate] == false;
    if is_off || !channel.capabilities().actions.contains(&action) {
        return Err(format!("Message action {action} not supported for channel {id}."));
    }
    Ok(())
}

fn act(cx: &Arc<Ctx>, wanted: &Wanted, place: Place, once: Once) {
    let result = match wanted.action.as_str() {
        "send" => send(cx, wanted, &place, once.clone()),
        "poll" => poll(cx, wanted, &place, once.clone()),
        _ if wanted.dry_run => Ok(Some(
            json!({"dryRun": true, "action": wanted.action, "channel": place.channel.info().id, "to": place.target}),
        )),
        "react" => react(cx, wanted, &place).map(Some),
        action => {
            let config = cx.config.get();
            let cancel = patience();
            let mut params = wanted.params.clone();
            params.insert("to".to_owned(), place.target.as_str().into());
            place
                .channel
                .act(&cx.channels_at(&config), &place.account, action, &params, &cancel)
                .map(Some)
                .map_err(|error| shape(&error))
        }
    };
    match result {
        // It answers when it has ended.
        Ok(None) => {}
        Ok(Some(payload)) => once.finish(Outcome::Ok(payload)),
        Err(error) => once.finish(Err(error).into()),
    }
}

fn patience() -> CancelToken {
    let cancel = CancelToken::new();
    cancel.set_deadline(std::time::Instant::now() + PATIENCE);
    cancel
}

fn send(cx: &Arc<Ctx>, wanted: &Wanted, place: &Place, once: Once) -> Result<Option<Value>, ErrorShape> {
    let text = wanted.text("message").or_else(|| wanted.text("caption")).unwrap_or_default();
    let named = ["media", "path", "filePath"].iter().find_map(|key| wanted.text(key)).map(str::to_owned);
    let kept = if named.is_none() && !wanted.dry_run { brought(cx, wanted)? } else { None };
    let media = named.or_else(|| kept.as_ref().map(|file| file.0.display().to_string()));
    let buttons = wanted.params.get("buttons").filter(|buttons| !buttons.is_null()).cloned();
    if text.is_empty() && media.is_none() {
        return Err(ErrorShape::invalid("message required"));
    }
    let reply = ChatReply {
        text: text.to_owned(),
        media: media.iter().cloned().collect(),
        reply_to: wanted.word("replyTo"),
        thread: wanted.word("threadId"),
        is_voice: wanted.flag("asVoice"),
        is_gif: wanted.flag("gifPlayback"),
        buttons,
        ..ChatReply::default()
    };
    let id = place.channel.info().id;
    let via = json!({"channel": id, "to": place.target, "via": "gateway", "mediaUrl": media});
    if wanted.dry_run {
        let mut answer = via;
        answer["dryRun"] = true.into();
        return Ok(Some(answer));
    }
    let session = session_of(cx, place);
    let delivery = delivery(cx, wanted, place, json!(reply));
    let (text, answers_itself) = (reply.text, place.channel.capabilities().answers_sends_itself);
    go(cx, delivery, once, move |cx, sent| {
        // Until now it might have had to be read again.
        drop(kept);
        targets::mirror(cx, &session, &text);
        if answers_itself {
            json!({"ok": true, "messageId": sent.get("messageId"), "chatId": sent.get("chatId")})
        } else {
            let mut answer = via;
            answer["result"] = Value::Object(sent);
            answer
        }
    })?;
    Ok(None)
}

/// A file that goes when what it is for is over.
struct Brought(PathBuf);

impl Drop for Brought {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            log::warn!(target: "gateway/channels", "{} stays: {error}", self.0.display());
        }
    }
}

/// Writes down the file that a message brings along as base64.
fn brought(cx: &Ctx, wanted: &Wanted) -> Result<Option<Brought>, ErrorShape> {
    let Some(given) = wanted.text("buffer") else { return Ok(None) };
    let (said, base64) = match given.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
        Some((mime, base64)) => (Some(mime), base64),
        None => (None, given),
    };
    let bytes = STANDARD.decode(base64.trim()).map_err(|_| ErrorShape::invalid("buffer is not base64"))?;
    if bytes.is_empty() || bytes.len() > BUFFER_BYTES_MAX {
        return Err(ErrorShape::invalid(format!("buffer must have 1 to {BUFFER_BYTES_MAX} bytes")));
    }
    let name = wanted.text("filename");
    let mime = media::mime_of(&bytes, wanted.text("contentType").or(said), name);
    let path = media::save(&cx.paths, media::OUTBOUND, &*cx.rng, &bytes, mime.as_deref(), name);
    path.map(|path| Some(Brought(path))).map_err(|error| ErrorShape::exception(format!("keep the file: {error}")))
}

/// Returns the session of the target, begun and pointed there if nobody has spoken in it.
fn session_of(cx: &Ctx, place: &Place) -> SessionKey {
    let config = cx.config.get();
    let found = targets::session_at(&config, place.channel, &place.account, &place.target);
    if cx.sessions.entry(&found.session).is_none() {
        let address = place.channel.address(&place.target);
        if let Err(error) = record::note_target(cx, place.channel, &place.account, &address, &found) {
            log::warn!(target: "gateway/channels", "session {} cannot be begun: {error}", found.session);
        }
    }
    found.session
}

fn delivery(cx: &Ctx, wanted: &Wanted, place: &Place, content: Value) -> Delivery {
    let key = wanted.idempotency_key.clone().unwrap_or_else(|| uuid(&*cx.rng));
    let address = place.channel.address(&place.target);
    let id = place.channel.info().id;
    let new = Delivery::new(format!("message:{key}"), id, &place.account.id, &address.to, content, cx.clock.now_ms());
    let thread = wanted.word("threadId").or(address.thread);
    Delivery { thread, ..new }
}

/// Has a delivery made; `answer` words what came of it.
fn go(
    cx: &Arc<Ctx>,
    delivery: Delivery,
    once: Once,
    answer: impl FnOnce(&Arc<Ctx>, Sent) -> Value + Send + 'static,
) -> Result<(), ErrorShape> {
    let waiter = Box::new(move |cx: &Arc<Ctx>, result: Result<Sent, SendError>| {
        let outcome = match result {
            Ok(sent) => Outcome::Ok(answer(cx, sent)),
            Err(error) => {
                // With what it holds, before anybody hears of the end.
                drop(answer);
                Err(shape(&error)).into()
            }
        };
        once.finish(outcome);
    });
    deliveries::send(cx, delivery, waiter).map_err(|error| ErrorShape::busy(format!("Error: {error}")))
}

fn poll(cx: &Arc<Ctx>, wanted: &Wanted, place: &Place, once: Once) -> Result<Option<Value>, ErrorShape> {
    let list = wanted.params.get("pollOption").and_then(Value::as_array).into_iter().flatten();
    let options: Vec<String> = list.filter_map(Value::as_str).filter_map(trimmed).collect();
    if options.len() < 2 {
        return Err(ErrorShape::invalid("pollOption requires at least two values"));
    }
    let question = wanted.text("pollQuestion").ok_or_else(|| ErrorShape::invalid("pollQuestion required"))?.to_owned();
    let selections_max = if wanted.flag("pollMulti") { options.len() } else { 1 };
    let duration_hours = wanted.params.get("pollDurationHours").and_then(Value::as_u64);
    let poll = Poll { question, options, selections_max, duration_hours };
    let options_max = place.channel.capabilities().poll_options_max.unwrap_or(0);
    super::channels::judge_poll(&poll, options_max).map_err(ErrorShape::exception)?;
    let id = place.channel.info().id;
    if wanted.dry_run {
        return Ok(Some(json!({"dryRun": true, "channel": id, "to": place.target})));
    }
    let (to, delivery) = (place.target.clone(), delivery(cx, wanted, place, json!({"poll": poll})));
    go(cx, delivery, once, move |_, sent| json!({"channel": id, "to": to, "via": "gateway", "result": sent}))?;
    Ok(None)
}

fn react(cx: &Arc<Ctx>, wanted: &Wanted, place: &Place) -> Result<Value, ErrorShape> {
    let message_id = wanted.word("messageId").ok_or_else(|| ErrorShape::invalid("messageId required"))?;
    let emoji = wanted.text("emoji").unwrap_or_default().to_owned();
    let is_removal = wanted.flag("remove");
    let label = place.channel.info().label;
    if is_removal && emoji.is_empty() {
        return Err(ErrorShape::invalid(format!("Emoji is required to remove a {label} reaction.")));
    }
    // An agent reacts only where it may; a person at the command line does as he likes.
    if wanted.session_key.is_some() && place.channel.reacting(&place.account) == Some(Reacting::Off) {
        let (id, level) = (place.channel.info().id, place.account.text("reactionLevel").unwrap_or("off"));
        return Err(ErrorShape::invalid(format!(
            "{label} agent reactions disabled (reactionLevel=\"{level}\"). Set channels.{id}.reactionLevel to \"minimal\" or \"extensive\" to enable."
        )));
    }
    let config = cx.config.get();
    let address = place.channel.address(&place.target);
    let (shown, is_gone) = (emoji.clone(), is_removal || emoji.is_empty());
    let reaction = Reaction { message_id, emoji, is_removal, more: wanted.params.clone() };
    place
        .channel
        .react(&cx.channels_at(&config), &place.account, &address, &reaction, &patience())
        .map_err(|error| shape(&error))?;
    Ok(if is_gone { json!({"ok": true, "removed": true}) } else { json!({"ok": true, "added": shown}) })
}

/// Sends one text to several targets, by one channel or by all that are configured.
fn broadcast(cx: &Arc<Ctx>, wanted: &Wanted, ticket: Ticket) {
    let config = cx.config.get();
    let at = cx.channels_at(&config);
    let fault = |text: &str| -> Outcome { Err(ErrorShape::invalid(text)).into() };
    if config.tree["tools"]["message"]["broadcast"]["enabled"] == false {
        return ticket.finish(fault("Broadcast is disabled. Set tools.message.broadcast.enabled to true."));
    }
    let list = wanted.params.get("targets").and_then(Value::as_array).into_iter().flatten();
    let list: Vec<String> = list.filter_map(Value::as_str).map(str::to_owned).take(TARGETS_MAX).collect();
    if list.is_empty() {
        return ticket.finish(fault("Broadcast requires at least one target in --targets."));
    }
    let named = wanted.channel.as_deref().filter(|channel| !channel.is_empty() && *channel != "all");
    let channels: Vec<String> = match named {
        Some(one) => vec![one.to_owned()],
        None => {
            let is_ready = |it: &&dyn Channel| it.accounts(&at).iter().any(|account| it.is_configured(&at, account));
            channels::active(&at).into_iter().filter(|it| is_ready(it)).map(|it| it.info().id.to_owned()).collect()
        }
    };
    if channels.is_empty() {
        return ticket.finish(fault("Broadcast requires at least one configured channel."));
    }
    let total = channels.len() * list.len();
    let gathered = Arc::new(Mutex::new((Vec::<(usize, Value)>::new(), Some(ticket))));
    for (index, (channel, to)) in
        channels.iter().flat_map(|channel| list.iter().map(move |to| (channel, to))).enumerate()
    {
        let row = json!({"channel": channel, "to": to});
        let gathered = gathered.clone();
        let once = Once::with(Box::new(move |outcome: Outcome| {
            let mut row = row;
            match outcome {
                Outcome::Ok(result) => {
                    row["ok"] = true.into();
                    row["result"] = result;
                }
                Outcome::Text(text) => {
                    row["ok"] = true.into();
                    row["result"] = text.into();
                }
                Outcome::Err { error, .. } => {
                    row["ok"] = false.into();
                    row["error"] = error.message.into();
                }
            }
            let mut state = gathered.lock().unwrap_or_else(PoisonError::into_inner);
            state.0.push((index, row));
            if state.0.len() == total
                && let Some(ticket) = state.1.take()
            {
                crate::base::order::by_key(&mut state.0, |(index, _)| *index as u64);
                let rows: Vec<Value> = std::mem::take(&mut state.0).into_iter().map(|(_, row)| row).collect();
                ticket.finish(Outcome::Ok(json!({"results": rows})));
            }
        }));
        let one = Wanted {
            action: "send".to_owned(),
            channel: Some(channel.clone()),
            idempotency_key: wanted.idempotency_key.as_ref().map(|key| format!("{key}/{index}")),
            ..wanted.clone()
        };
        match place(cx, &one, Some(to.clone())) {
            Ok(place) => act(cx, &one, place, once),
            Err(text) => once.finish(Err(ErrorShape::invalid(text)).into()),
        }
    }
}
