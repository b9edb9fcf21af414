//! What came in is handled by a few workers, conversation by conversation.
//!
//! Workers are jobs of lane [`LANE`]; when nothing waits, there are none. An event that cannot be handled now keeps its
//! place and is tried again. Not here: the queue (`channels::received`), the count of workers (`crew`), what handling means (`handle`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::handle;
use crate::agent::commands;
use crate::base::clock::UnixMs;
use crate::channels::batch::Pace;
use crate::channels::inbound::Inbound;
use crate::channels::mentions::command_text;
use crate::channels::received::{Batch, Item, Next};
use crate::config::types::Config;
use crate::gateway::crew::Crew;
use crate::gateway::ctx::Ctx;
use crate::gateway::work::Due;

/// Lane of the workers.
pub const LANE: &str = "inbound";
/// Workers: so many conversations are handled at the same time.
pub const WORKERS_MAX: usize = 4;

/// The workers; one per start.
pub type Pump = Crew<()>;

/// Has a worker look after what came in, unless enough do.
pub fn wake(cx: &Arc<Ctx>) {
    if !cx.chats.pump.join(&(), WORKERS_MAX) {
        return;
    }
    let worker = Worker { cx: cx.clone(), has_left: false };
    if let Err(error) = cx.jobs.submit(vec![LANE.to_owned()], move || worker.work()) {
        log::warn!(target: "gateway/channels", "what came in waits: {error}");
    }
}

/// The time has come at which something can go on.
pub fn due(cx: &Arc<Ctx>, until: UnixMs) {
    cx.chats.pump.due(&(), until);
    wake(cx);
}

/// One worker; dropped without having left, it gives its place back.
struct Worker {
    cx: Arc<Ctx>,
    has_left: bool,
}

impl Worker {
    fn work(mut self) {
        while !self.cx.chats.pump.is_closed() {
            let cx = &self.cx;
            let config = cx.config.get();
            match cx.received.next(&Quick(&config)) {
                Next::Handle(batch) => {
                    if cx.received.waiting() > batch.items.len() {
                        wake(cx);
                    }
                    handle(cx, batch);
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

    fn arm(&self, until: UnixMs) {
        let cx = &self.cx;
        if cx.chats.pump.arm(&(), until) {
            let wait = Duration::from_millis(until.saturating_sub(cx.clock.now_ms()).max(1));
            cx.timer.arm(wait, Due::Inbound { until });
        }
    }

    fn may_leave(&mut self) -> bool {
        self.has_left = self.cx.chats.pump.may_leave(&());
        self.has_left
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.has_left {
            self.cx.chats.pump.leave(&());
        }
    }
}

/// Handles a batch, or gives it back. A panic is one's own fault, and no reason to strand the conversation: it waits as
/// after any other failure, and the worker goes on.
fn handle(cx: &Arc<Ctx>, batch: Batch) {
    let is_done = catch_unwind(AssertUnwindSafe(|| handle::batch(cx, &batch.items))).unwrap_or_else(|_| {
        log::error!(target: "gateway/channels", "what came in at {} met a fault of the program; it is tried again", batch.items.first().map_or("", |item| &item.channel));
        false
    });
    if is_done {
        cx.received.done(batch);
    } else {
        cx.received.postpone(&batch);
    }
}

/// How quick messages are put together, as configured.
struct Quick<'a>(&'a Config);

impl Pace for Quick<'_> {
    fn debounce_ms(&self, item: &Item, message: &Inbound) -> u64 {
        let inbound = &self.0.messages.inbound;
        let set = [inbound.by_channel.get(&item.channel).copied(), inbound.debounce_ms];
        let pause = set.into_iter().flatten().find(|ms| *ms > 0.0).map_or(0, |ms| ms as u64);
        let is_plain = message.media.is_empty()
            && !message.text.trim().is_empty()
            && message.location.is_none()
            && !message.is_button
            && !is_command(message);
        if is_plain { pause } else { 0 }
    }
}

/// Returns whether a message is a command of ours, or a word that stops.
pub fn is_command(message: &Inbound) -> bool {
    let text = command_text(&message.text, message.own_username.as_deref());
    (text.starts_with('/') && commands::parse(&text).is_some()) || commands::is_stop(&text)
}
