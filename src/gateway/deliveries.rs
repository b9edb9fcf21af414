//! Deliveries on their way out: written down, then sent by a few workers per account, those of one chat in order.
//!
//! What is promised goes out also after a restart, and as long as the network is away it is tried again for a day. A chat
//! that must wait keeps no other waiting. What was cut off while it was being sent is not sent twice: the chat is told that
//! it may be missing. Workers are jobs of lane [`LANE`], so an account that sends nothing costs nothing. Not here: the
//! journal and the order (`channels::outbox`), the count of workers (`crew`), what a network needs (`channels::channel`).

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::crew::Crew;
use super::ctx::Ctx;
use super::ticket::Outcome;
use super::work::Due;
use crate::agent::session;
use crate::base::backoff::Backoff;
use crate::base::cancel::{CancelReason, CancelToken};
use crate::base::clock::UnixMs;
use crate::base::ids::SessionKey;
use crate::base::route::Route;
use crate::base::text::{collapse_whitespace, ellipsize};
use crate::channels;
use crate::channels::channel::{Account, Channel, Setting};
use crate::channels::message::{Address, Part, Poll, SendError, Sent};
use crate::channels::outbox::{Delivery, Done, Next, PutError};
use crate::channels::reply::{Reply, ReplyKind};
use crate::media;
use crate::protocol::error::ErrorShape;

/// Lane of the workers.
pub const LANE: &str = "deliver";
/// Workers per account: so many chats are served at the same time.
const WORKERS_MAX: usize = 4;
/// How long a promised delivery is tried.
const PATIENCE_MS: UnixMs = 24 * 60 * 60_000;
/// Pauses between attempts at what was promised.
const PAUSE_MIN: Duration = Duration::from_millis(400);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Attempts at what somebody waits for, and the longest pause between them, unless the channel's `retry` says otherwise.
const ATTEMPTS: u64 = 3;
const RETRY_MAX_MS: u64 = 30_000;
/// Characters of a text in the notice that it may be missing.
const QUOTE_CHARS_MAX: usize = 80;

/// Called once a delivery has ended.
pub type Waiter = Box<dyn FnOnce(&Arc<Ctx>, Result<Sent, SendError>) + Send>;

/// What is under way; one per start.
#[derive(Default)]
pub struct Deliveries {
    state: Mutex<State>,
    /// Who sends, by channel and account.
    crew: Crew<(String, String)>,
    /// Ends what is being sent.
    cancel: CancelToken,
}

#[derive(Default)]
struct State {
    waiters: HashMap<String, Waiter>,
    /// Nobody may begin to wait once those who waited were told.
    is_closed: bool,
}

impl Deliveries {
    /// Begins nothing any more.
    pub fn close(&self) {
        self.crew.close();
        let waiters = {
            let mut state = self.lock();
            state.is_closed = true;
            std::mem::take(&mut state.waiters)
        };
        // Outside the lock: whoever waits is answered.
        drop(waiters);
    }

    /// Cuts off what is being sent.
    pub fn cancel(&self) {
        self.cancel.cancel(CancelReason::Shutdown);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what the outbox keeps of a reply, promised. Equal ids are one delivery.
pub fn of(cx: &Ctx, id: String, route: &Route, reply: &Reply) -> Delivery {
    let content = serde_json::to_value(reply).unwrap_or(Value::Null);
    let new = Delivery::new(id, &route.channel, &route.account, &route.to, content, cx.clock.now_ms());
    let thread = reply.thread.clone().or_else(|| route.thread.clone());
    Delivery { thread, is_promised: true, ..new }
}

/// Writes deliveries down, in order, and sends them; they are on the disk when this returns. One that is known already is
/// left as it is.
///
/// # Errors
/// What could not be written down.
pub fn promise(cx: &Arc<Ctx>, deliveries: Vec<Delivery>) -> Result<(), String> {
    for delivery in deliveries {
        let (id, account) = (delivery.id.clone(), (delivery.channel.clone(), delivery.account.clone()));
        match cx.outbox.put(delivery) {
            Ok(()) => pump(cx, &account.0, &account.1),
            Err(PutError::Known | PutError::Done(_)) => {}
            Err(error) => return Err(format!("reply {id}: {error}")),
        }
    }
    Ok(())
}

/// Writes a delivery down and sends it; `waiter` hears of its end, or is dropped when the gateway stops first.
///
/// # Errors
/// Why it is not taken; `waiter` is dropped.
pub fn send(cx: &Arc<Ctx>, delivery: Delivery, waiter: Waiter) -> Result<(), PutError> {
    let (channel, account) = (delivery.channel.clone(), delivery.account.clone());
    let id = delivery.id.clone();
    {
        let mut state = cx.deliveries.lock();
        if state.is_closed {
            return Err(PutError::Disk(std::io::Error::other("the gateway is stopping")));
        }
        if state.waiters.contains_key(&id) {
            return Err(PutError::Known);
        }
        state.waiters.insert(id.clone(), waiter);
    }
    if let Err(error) = cx.outbox.put(delivery) {
        let waiter = cx.deliveries.lock().waiters.remove(&id);
        // Outside the lock: whoever waits is answered.
        drop(waiter);
        return Err(error);
    }
    pump(cx, &channel, &account);
    Ok(())
}

/// Makes known again what was sent before this start, and what was cut off: nobody knows whether that arrived, so it is
/// not sent again under the same key. Before anybody can ask.
pub fn restore(cx: &Ctx) {
    for delivery in cx.outbox.waiting().into_iter().filter(|it| !it.is_promised) {
        log::warn!(target: "gateway/channels", "a message by {} was cut off by a stop of the gateway", delivery.channel);
        let text = "the gateway stopped while this was being sent; it may have arrived. Look before you send it again";
        cx.outbox.finish(&delivery.id, Err(text.to_owned()), cx.clock.now_ms());
    }
    for done in cx.outbox.recent() {
        let at = done.at;
        cx.dedupe.put(&done.id.clone(), answer_of(done), at);
    }
}

/// Returns the answer to whoever asked for a delivery that has ended.
pub fn answer_of(done: Done) -> Outcome {
    done.result.map_err(ErrorShape::exception).into()
}

/// Sends what was promised before this start, and says of what was cut off that it may be missing.
pub fn resume(cx: &Arc<Ctx>) {
    for delivery in cx.outbox.waiting() {
        if delivery.is_interrupted && delivery.content["kind"] == "notice" && !delivery.parts.is_empty() {
            // A word of our own twice does no harm; one that is missing might.
            cx.outbox.set_parts(&delivery.id, delivery.parts.clone(), delivery.parts_done);
        } else if delivery.is_interrupted {
            say_unclear(cx, &delivery, "the gateway was restarted while it sent it");
        }
    }
    for (channel, account) in cx.outbox.accounts() {
        pump(cx, &channel, &account);
    }
}

/// The time has come at which an account can go on.
pub fn due(cx: &Arc<Ctx>, account: &(String, String), until: UnixMs) {
    cx.deliveries.crew.due(account, until);
    pump(cx, &account.0, &account.1);
}

/// Has a worker look after an account, unless enough do.
pub fn pump(cx: &Arc<Ctx>, channel: &str, account: &str) {
    let place = (channel.to_owned(), account.to_owned());
    if !cx.deliveries.crew.join(&place, WORKERS_MAX) {
        return;
    }
    let worker = Worker { cx: cx.clone(), account: place, has_left: false };
    if let Err(error) = cx.jobs.submit(vec![LANE.to_owned()], move || worker.work()) {
        log::warn!(target: "gateway/channels", "what is to be sent by {channel} waits: {error}");
    }
}

/// One worker of an account; dropped without having left, it gives its place back.
struct Worker {
    cx: Arc<Ctx>,
    account: (String, String),
    has_left: bool,
}

impl Worker {
    fn work(mut self) {
        while !self.cx.deliveries.crew.is_closed() {
            let (cx, (channel, account)) = (&self.cx, &self.account);
            match cx.outbox.next(channel, account, cx.clock.now_ms()) {
                Next::Send(delivery) => {
                    if cx.outbox.depth(channel, account) > 1 {
                        pump(cx, channel, account);
                    }
                    let guard = LetGo { cx, delivery: &delivery };
                    if catch_unwind(AssertUnwindSafe(|| attempt(cx, &delivery))).is_err() {
                        broke(cx, &delivery);
                    }
                    drop(guard);
                }
                Next::Wait(until) => {
                    self.arm(until);
                    if self.may_leave() {
                        return;
                    }
                }
                Next::Idle => {
                    if self.may_leave() {
                        return;
                    }
                }
            }
        }
    }

    /// Has the account looked after then, unless that happens sooner anyway.
    fn arm(&self, until: UnixMs) {
        if self.cx.deliveries.crew.arm(&self.account, until) {
            let wait = Duration::from_millis(until.saturating_sub(self.cx.clock.now_ms()).max(1));
            self.cx.timer.arm(wait, Due::Deliver { account: self.account.clone(), until });
        }
    }

    /// Returns whether nothing came meanwhile.
    fn may_leave(&mut self) -> bool {
        self.has_left = self.cx.deliveries.crew.may_leave(&self.account);
        self.has_left
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.has_left {
            self.cx.deliveries.crew.leave(&self.account);
        }
    }
}

/// An attempt panicked: whether the message arrived is unknown, and another attempt would meet the same fault.
fn broke(cx: &Arc<Ctx>, delivery: &Delivery) {
    log::error!(target: "gateway/channels", "a message by {} to {} met a fault of the program", delivery.channel, delivery.to);
    if cx.outbox.waiting().iter().any(|it| it.id == delivery.id) {
        end(cx, delivery, Err(SendError::Unclear("a fault of the program; see the log".to_owned())));
    }
}

/// Lets the next of the chat have its turn, also when the attempt panics.
struct LetGo<'a> {
    cx: &'a Ctx,
    delivery: &'a Delivery,
}

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        self.cx.outbox.let_go(self.delivery);
    }
}

fn attempt(cx: &Arc<Ctx>, delivery: &Delivery) {
    let config = cx.config.get();
    let at = cx.channels_at(&config);
    let error = match place(&at, delivery).and_then(|place| act(cx, &at, &place, delivery)) {
        Ok(sent) => return end(cx, delivery, Ok(sent)),
        Err(error) => error,
    };
    if cx.deliveries.cancel.is_cancelled() {
        // Cut off by a stop: it stays in the journal as it is.
        return;
    }
    match error {
        SendError::Later { text, after } => match pause(cx, &at, delivery, after) {
            Some(pause) => {
                log::warn!(target: "gateway/channels", "{} did not take a message ({text}); again in {pause:.1?}", delivery.channel);
                cx.channels.handle(&delivery.channel, &delivery.account).update(|state| {
                    state.last_send_error = Some((cx.clock.now_ms(), text));
                });
                let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                cx.outbox.fail(&delivery.id, cx.clock.now_ms().saturating_add(pause_ms));
            }
            None => end(cx, delivery, Err(SendError::Later { text, after })),
        },
        SendError::Unclear(text) if delivery.is_promised => {
            // The journal knows how far it came by now.
            let current = cx.outbox.waiting().into_iter().find(|it| it.id == delivery.id);
            say_unclear(cx, &current.unwrap_or_else(|| delivery.clone()), &text);
        }
        SendError::Failed(text) if delivery.is_promised && go_on_without_file(cx, &at, delivery, &text) => {}
        error => end(cx, delivery, Err(error)),
    }
}

/// Returns the pause before the next attempt; `None` when there is none.
fn pause(cx: &Ctx, at: &Setting<'_>, delivery: &Delivery, after: Option<Duration>) -> Option<Duration> {
    if delivery.is_promised {
        let is_over = cx.clock.now_ms().saturating_sub(delivery.asked_at) > PATIENCE_MS;
        let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX, 2.0, 0.1);
        let next = (0..=delivery.failures.min(10)).map(|_| backoff.next_delay(&*cx.rng)).last().unwrap_or(PAUSE_MAX);
        return (!is_over).then(|| after.map_or(next, |after| after.max(PAUSE_MIN)));
    }
    let account = place(at, delivery).ok()?.account;
    let retry = account.settings.get("retry").cloned().unwrap_or_default();
    let number = |key: &str, default: u64| retry[key].as_u64().unwrap_or(default);
    if u64::from(delivery.failures) + 1 >= number("attempts", ATTEMPTS) {
        return None;
    }
    let min = Duration::from_millis(number("minDelayMs", 400));
    let max = Duration::from_millis(number("maxDelayMs", RETRY_MAX_MS));
    let jitter = retry["jitter"].as_f64().unwrap_or(0.1).clamp(0.0, 1.0);
    let mut backoff = Backoff::new(min, max, 2.0, jitter);
    let next = (0..=delivery.failures.min(30)).map(|_| backoff.next_delay(&*cx.rng)).last()?;
    Some(after.map_or(next, |after| after.min(max.max(Duration::from_secs(1)))))
}

/// By whom and where to a delivery goes.
struct Place {
    channel: &'static dyn Channel,
    account: Account,
    to: Address,
}

fn place(at: &Setting<'_>, delivery: &Delivery) -> Result<Place, SendError> {
    let channel = channels::find(at, &delivery.channel)
        .ok_or_else(|| SendError::Failed(format!("channel {} is switched off", delivery.channel)))?;
    let account = channels::account(channel, at, Some(&delivery.account)).map_err(SendError::Failed)?;
    Ok(Place { channel, account, to: Address { to: delivery.to.clone(), thread: delivery.thread.clone() } })
}

/// Sends what is left of a delivery.
fn act(cx: &Ctx, at: &Setting<'_>, place: &Place, delivery: &Delivery) -> Result<Sent, SendError> {
    let disk = || SendError::Later {
        text: "the journal of deliveries cannot be written; see the log".to_owned(),
        after: None,
    };
    let cancel = &cx.deliveries.cancel;
    let state = cx.channels.handle(&delivery.channel, &delivery.account);
    let went_out = || {
        state.update(|state| {
            state.last_outbound_at = Some(cx.clock.now_ms());
            state.last_send_error = None;
        });
    };
    if let Some(poll) = delivery.content.get("poll") {
        let poll: Poll = serde_json::from_value(poll.clone()).map_err(|error| SendError::Failed(error.to_string()))?;
        if !cx.outbox.begin(&delivery.id) {
            return Err(disk());
        }
        return place.channel.poll(at, &place.account, &place.to, &poll, cancel).inspect(|_| went_out());
    }
    let mut parts = delivery.parts.clone();
    if parts.is_empty() {
        parts = prepare(at, place, &delivery.content)?;
        if !cx.outbox.set_parts(&delivery.id, parts.clone(), 0) {
            return Err(disk());
        }
    }
    let mut last = Sent::new();
    for part in parts.iter().skip(delivery.parts_done) {
        if cancel.is_cancelled() || !cx.outbox.begin(&delivery.id) {
            return Err(disk());
        }
        last = place.channel.send(at, &place.account, &place.to, part, cancel)?;
        if let Some(id) = last.get("messageId").and_then(Value::as_str) {
            // Who reacts names the chat as the network does, not as it was written to us.
            let chat = ["chatId", "toJid"].iter().find_map(|key| last.get(*key)?.as_str()).unwrap_or(&delivery.to);
            cx.chats.sent.note(&delivery.channel, &delivery.account, chat, id, cx.clock.now_ms());
        }
        cx.outbox.part_done(&delivery.id);
        went_out();
    }
    Ok(last)
}

fn prepare(at: &Setting<'_>, place: &Place, content: &Value) -> Result<Vec<Part>, SendError> {
    let reply: Reply = serde_json::from_value(content.clone())
        .map_err(|error| SendError::Failed(format!("the reply cannot be read: {error}")))?;
    if reply.text.trim().is_empty() && reply.media.is_empty() {
        return Err(SendError::Failed("No delivery result".to_owned()));
    }
    place.channel.prepare(at, &place.account, &place.to, &reply).map_err(SendError::Failed)
}

/// Notes how a delivery ended, and tells whoever waits, or the session that counts on it.
fn end(cx: &Arc<Ctx>, delivery: &Delivery, result: Result<Sent, SendError>) {
    let kept = result.clone().map(|sent| match key_of(delivery) {
        // What whoever asks again is answered, also after a restart.
        Some(key) => payload(key, &delivery.channel, sent),
        None => Value::Object(sent),
    });
    let kept = kept.map_err(|error| error.text().to_owned());
    cx.outbox.finish(&delivery.id, kept, cx.clock.now_ms());
    if let Err(error) = &result {
        cx.channels.handle(&delivery.channel, &delivery.account).update(|state| {
            state.last_send_error = Some((cx.clock.now_ms(), error.text().to_owned()));
        });
        if delivery.is_promised {
            log::error!(target: "gateway/channels", "a message by {} to {} was given up: {}", delivery.channel, delivery.to, error.text());
            if let Some(session) = session_of(cx, delivery) {
                let text = format!(
                    "A message to {} {} could not be delivered: {}",
                    delivery.channel,
                    delivery.to,
                    error.text()
                );
                cx.system_events.push(&session, &text, cx.clock.now_ms());
            }
        }
    }
    let waiter = cx.deliveries.lock().waiters.remove(&delivery.id);
    if let Some(waiter) = waiter {
        waiter(cx, result);
    }
}

/// Returns the idempotency key of whoever asked by `send` or `poll`.
fn key_of(delivery: &Delivery) -> Option<&str> {
    let (method, key) = delivery.id.split_once(':')?;
    (!delivery.is_promised && matches!(method, "send" | "poll")).then_some(key)
}

fn session_of(cx: &Ctx, delivery: &Delivery) -> Option<SessionKey> {
    let key = delivery.content["session"].as_str()?;
    Some(session::canonical_key(&cx.config.get(), key, None))
}

/// What was promised with a file that cannot be sent goes out without it, and says so; `false` when there is no such file.
/// Whoever waits is told instead.
fn go_on_without_file(cx: &Arc<Ctx>, at: &Setting<'_>, delivery: &Delivery, why: &str) -> bool {
    let (Ok(place), Ok(reply)) = (place(at, delivery), serde_json::from_value::<Reply>(delivery.content.clone()))
    else {
        return false;
    };
    let Some((first, rest)) = reply.media.split_first() else { return false };
    let current = cx.outbox.waiting().into_iter().find(|it| it.id == delivery.id);
    // A reply begins with its first file, unless that was left out before.
    let is_first = |it: &Delivery| {
        it.parts_done == 0 && prepare(at, &place, &delivery.content).is_ok_and(|parts| parts == it.parts)
    };
    if !current.is_some_and(|it| is_first(&it)) {
        return false;
    }
    let text = format!("{}\n\n⚠️ Media failed: {}", reply.text, without_place(cx, first, why)).trim_start().to_owned();
    let words = Reply { text, media: Vec::new(), ..reply.clone() };
    let files = Reply { text: String::new(), media: rest.to_vec(), reply_to: None, buttons: None, ..reply.clone() };
    let Ok(mut parts) = prepare(at, &place, &json!(words)) else { return false };
    parts.extend(prepare(at, &place, &json!(files)).unwrap_or_default());
    log::warn!(target: "gateway/channels", "a file by {} to {} is left out: {why}", delivery.channel, delivery.to);
    cx.outbox.set_parts(&delivery.id, parts, 0)
}

/// Says of a file of this host its name alone: a chat need not know where it lies.
fn without_place(cx: &Ctx, source: &str, why: &str) -> String {
    let path = media::local(&cx.paths, source);
    let name = path.file_name().and_then(|name| name.to_str());
    match (name, why.strip_prefix(&*path.to_string_lossy())) {
        (Some(name), Some(rest)) => format!("{name}{rest}"),
        _ => why.to_owned(),
    }
}

/// Nobody knows whether the message that was being sent arrived: the chat is told, and the rest goes out.
fn say_unclear(cx: &Arc<Ctx>, delivery: &Delivery, why: &str) {
    log::warn!(target: "gateway/channels", "a message by {} to {} may be missing: {why}", delivery.channel, delivery.to);
    let config = cx.config.get();
    let at = cx.channels_at(&config);
    let quote = ellipsize(&collapse_whitespace(delivery.content["text"].as_str().unwrap_or_default()), QUOTE_CHARS_MAX);
    let text =
        format!("⚠️ This message may not have arrived, because {why}: “{quote}”. Ask again if you did not get it.");
    let notice = Reply { text, kind: ReplyKind::Notice, thread: delivery.thread.clone(), ..Reply::default() };
    let noted = place(&at, delivery).and_then(|place| prepare(&at, &place, &json!(notice)));
    let is_noted = noted.is_ok_and(|notice| {
        let done = (delivery.parts_done + 1).min(delivery.parts.len());
        let (out, rest) = delivery.parts.split_at(done);
        let parts = [out, &notice, rest].concat();
        cx.outbox.set_parts(&delivery.id, parts, done)
    });
    if !is_noted {
        end(cx, delivery, Err(SendError::Unclear(format!("it may not have arrived: {why}"))));
    }
}

/// Returns the answer to whoever asked for a delivery.
pub fn payload(run: &str, channel: &str, sent: Sent) -> Value {
    let mut payload = Map::from_iter([("runId".to_owned(), run.into())]);
    payload.insert("messageId".to_owned(), sent.get("messageId").cloned().unwrap_or(Value::Null));
    payload.insert("channel".to_owned(), channel.into());
    payload.extend(sent);
    Value::Object(payload)
}
