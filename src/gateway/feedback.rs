//! What a chat shows of a run before there is a reply: typing, a draft; and the sign under the message, taken away.
//!
//! Called on the run's thread, so nothing here waits for a network: jobs of lane [`LANE`] do, and when many wait, what is
//! only for show is left out. Typing is repeated while the run is at work. Owns who is typing where. Not here: replies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::chats::ack;
use super::ctx::Ctx;
use super::work::Due;
use crate::agent::speaker::Speaker;
use crate::base::cancel::CancelToken;
use crate::base::route::Route;
use crate::channels;
use crate::channels::channel::{Account, Channel, Setting};
use crate::channels::message::Address;

/// Lane of what is only for show.
pub const LANE: &str = "feedback";
/// Jobs of it that may wait.
const WAITING_MAX: usize = 64;
/// How often typing is repeated, unless configured.
const TYPING_EVERY: Duration = Duration::from_secs(6);
/// How long typing goes on when the run shows no sign of work.
const TYPING_MAX: Duration = Duration::from_secs(120);
/// How long a network may take for something that is only for show.
const PATIENCE: Duration = Duration::from_secs(10);
/// Chats that type at a time.
const CHATS_MAX: usize = 200;

/// Who is typing where, and who cannot draft.
#[derive(Debug, Default)]
pub struct Typing(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    chats: HashMap<String, Chat>,
    serial: u64,
}

#[derive(Debug)]
struct Chat {
    route: Route,
    serial: u64,
    /// Until when.
    until: Instant,
    /// Whether typing is shown; not before the model speaks where that is how it is to be.
    is_shown: bool,
    /// Whether drafts are of no use here.
    is_without_drafts: bool,
    is_drafting: bool,
}

impl Typing {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(route: &Route) -> String {
    let thread = route.thread.as_deref().unwrap_or_default();
    format!("{}\n{}\n{}\n{thread}", route.channel, route.account, route.to)
}

/// A run for this message begins.
pub fn begun(cx: &Arc<Ctx>, route: &Route, speaker: Option<&Speaker>) {
    let until = cx.clock.now() + TYPING_MAX;
    let config = cx.config.get();
    let modes = [&config.tree["session"]["typingMode"], &config.tree["agents"]["defaults"]["typingMode"]];
    let is_addressed = speaker.is_none_or(|speaker| !speaker.is_group() || speaker.was_mentioned);
    let default = if is_addressed { "instant" } else { "message" };
    let is_shown = match modes.into_iter().find_map(|mode| mode.as_str()).unwrap_or(default) {
        "never" => return,
        mode => mode == "instant",
    };
    let serial = {
        let mut state = cx.typing.lock();
        if state.chats.len() >= CHATS_MAX && !state.chats.contains_key(&key(route)) {
            return;
        }
        state.serial += 1;
        let serial = state.serial;
        let chat = Chat { route: route.clone(), serial, until, is_shown, is_without_drafts: false, is_drafting: false };
        state.chats.insert(key(route), chat);
        serial
    };
    if is_shown {
        typing(cx, route);
        arm(cx, key(route), serial);
    }
}

/// The run is at work: a tool starts, or the model speaks.
pub fn working(cx: &Arc<Ctx>, route: &Route) {
    let until = cx.clock.now() + TYPING_MAX;
    let begins = {
        let mut state = cx.typing.lock();
        let Some(chat) = state.chats.get_mut(&key(route)) else { return };
        chat.until = until;
        (!std::mem::replace(&mut chat.is_shown, true)).then_some(chat.serial)
    };
    if let Some(serial) = begins {
        typing(cx, route);
        arm(cx, key(route), serial);
    }
}

/// Typing is due again.
pub fn due(cx: &Arc<Ctx>, place: String, serial: u64) {
    let now = cx.clock.now();
    let route = {
        let mut state = cx.typing.lock();
        let Some(chat) = state.chats.get(&place).filter(|chat| chat.serial == serial) else { return };
        if chat.until <= now {
            state.chats.remove(&place);
            return;
        }
        chat.route.clone()
    };
    typing(cx, &route);
    arm(cx, place, serial);
}

fn arm(cx: &Ctx, place: String, serial: u64) {
    let configured = cx.config.get().tree["agents"]["defaults"]["typingIntervalSeconds"].as_u64();
    let every = configured.map_or(TYPING_EVERY, |seconds| Duration::from_secs(seconds.max(1)));
    cx.timer.arm(every, Due::Typing { place, serial });
}

fn typing(cx: &Arc<Ctx>, route: &Route) {
    let (job_cx, place) = (cx.clone(), key(route));
    aside(cx, route, move |it| {
        // Shown behind the answer it would stay for seconds.
        if job_cx.typing.lock().chats.contains_key(&place) {
            it.channel.typing(it.at, it.account, &it.to, it.cancel);
        }
    });
}

/// The answer so far.
pub fn draft(cx: &Arc<Ctx>, route: &Route, text: &str) {
    let Some(message) = route.reply_to.clone() else { return };
    {
        let mut state = cx.typing.lock();
        let Some(chat) = state.chats.get_mut(&key(route)) else { return };
        if chat.is_without_drafts || std::mem::replace(&mut chat.is_drafting, true) {
            return;
        }
    }
    let (place, text) = (key(route), text.to_owned());
    let job_cx = cx.clone();
    let is_tried = aside(cx, route, move |it| {
        let is_shown = it.channel.draft(it.at, it.account, &it.to, &message, &text, it.cancel);
        if let Some(chat) = job_cx.typing.lock().chats.get_mut(&place) {
            chat.is_drafting = false;
            chat.is_without_drafts = !is_shown;
        }
    });
    // Left out this time; the next one is to have its chance.
    if !is_tried && let Some(chat) = cx.typing.lock().chats.get_mut(&key(route)) {
        chat.is_drafting = false;
    }
}

/// The run is over and its replies are in the outbox.
pub fn done(cx: &Arc<Ctx>, route: &Route) {
    cx.typing.lock().chats.remove(&key(route));
    take_sign(cx, route);
}

/// Takes the sign under a message away, where it is to go when the message is answered.
pub fn take_sign(cx: &Arc<Ctx>, route: &Route) {
    if cx.chats.acks.take(route) {
        ack::set(cx, route, String::new());
    }
}

/// What something that is only for show is done with.
pub struct Aside<'a> {
    /// The channel.
    pub channel: &'static dyn Channel,
    /// The circumstances.
    pub at: &'a Setting<'a>,
    /// The account.
    pub account: &'a Account,
    /// Where.
    pub to: Address,
    /// Ends it soon.
    pub cancel: &'a CancelToken,
}

/// Does something beside the run, unless too much of it waits; returns whether it is not left out.
pub fn aside(cx: &Arc<Ctx>, route: &Route, act: impl FnOnce(Aside<'_>) + Send + 'static) -> bool {
    if cx.jobs.depth(LANE) >= WAITING_MAX {
        return false;
    }
    let (job_cx, route) = (cx.clone(), route.clone());
    // First the chat's own lane: what belongs to one chat keeps its order.
    let own = format!("{LANE}:{}:{}:{}", route.channel, route.account, route.to);
    let submitted = cx.jobs.submit(vec![own, LANE.to_owned()], move || {
        let config = job_cx.config.get();
        let at = job_cx.channels_at(&config);
        let Some(channel) = channels::find(&at, &route.channel) else { return };
        let Ok(account) = channels::account(channel, &at, Some(&route.account)) else { return };
        let cancel = job_cx.lifecycle.stopping().within(PATIENCE);
        let to = Address { to: route.to, thread: route.thread };
        act(Aside { channel, at: &at, account: &account, to, cancel: &cancel });
    });
    if let Err(error) = &submitted {
        log::debug!(target: "gateway/channels", "something for show is left out: {error}");
    }
    submitted.is_ok()
}
