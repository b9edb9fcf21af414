//! What came in is handled by a few workers, conversation by conversation.
//!
//! Workers are jobs of lane [`LANE`]; when nothing waits, there are none. An event that cannot be handled now keeps its
//! place and is tried again. Not here: the queue (`channels::received`), what handling means (`handle`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::handle;
use crate::agent::commands;
use crate::base::clock::UnixMs;
use crate::channels::batch::Pace;
use crate::channels::inbound::Inbound;
use crate::channels::mentions::command_text;
use crate::channels::received::{Item, Next};
use crate::config::types::Config;
use crate::gateway::ctx::Ctx;
use crate::gateway::work::Due;

/// Lane of the workers.
pub const LANE: &str = "inbound";
/// Workers: so many conversations are handled at the same time.
pub const WORKERS_MAX: usize = 4;

/// The workers; one per start.
#[derive(Debug, Default)]
pub struct Pump(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    active: usize,
    /// Something came while all were at work.
    is_wanted: bool,
    /// When the timer wakes them.
    armed: Option<UnixMs>,
    is_closed: bool,
}

impl Pump {
    /// Begins nothing any more.
    pub fn close(&self) {
        self.lock().is_closed = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has a worker look after what came in, unless enough do.
pub fn wake(cx: &Arc<Ctx>) {
    {
        let mut state = cx.chats.pump.lock();
        if state.is_closed {
            return;
        }
        if state.active >= WORKERS_MAX {
            state.is_wanted = true;
            return;
        }
        state.active += 1;
    }
    let worker = Worker(cx.clone());
    if let Err(error) = cx.jobs.submit(vec![LANE.to_owned()], move || worker.work()) {
        log::warn!(target: "gateway/channels", "what came in waits: {error}");
    }
}

/// The time has come at which something can go on.
pub fn due(cx: &Arc<Ctx>, until: UnixMs) {
    {
        let mut state = cx.chats.pump.lock();
        if state.armed == Some(until) {
            state.armed = None;
        }
    }
    wake(cx);
}

/// One worker; dropped without having worked, it gives its place back.
struct Worker(Arc<Ctx>);

impl Worker {
    fn work(self) {
        let cx = &self.0;
        loop {
            if cx.chats.pump.lock().is_closed {
                return;
            }
            let config = cx.config.get();
            match cx.received.next(&Quick(&config)) {
                Next::Handle(batch) => {
                    if cx.received.waiting() > batch.items.len() {
                        wake(cx);
                    }
                    let guard = Postpone { cx, batch: Some(batch) };
                    guard.handle();
                }
                Next::Wait(until) => {
                    self.arm(until);
                    if self.may_end() {
                        return;
                    }
                }
                Next::Idle => {
                    if self.may_end() {
                        return;
                    }
                }
            }
        }
    }

    fn arm(&self, until: UnixMs) {
        let cx = &self.0;
        {
            let mut state = cx.chats.pump.lock();
            if state.armed.is_some_and(|armed| armed <= until) {
                return;
            }
            state.armed = Some(until);
        }
        let wait = Duration::from_millis(until.saturating_sub(cx.clock.now_ms()).max(1));
        cx.timer.arm(wait, Due::Inbound { until });
    }

    fn may_end(&self) -> bool {
        !std::mem::take(&mut self.0.chats.pump.lock().is_wanted)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.chats.pump.lock().active -= 1;
    }
}

/// Gives a batch back that was not handled, also when handling it panics.
struct Postpone<'a> {
    cx: &'a Arc<Ctx>,
    batch: Option<crate::channels::received::Batch>,
}

impl Postpone<'_> {
    fn handle(mut self) {
        let is_done = self.batch.as_ref().is_none_or(|batch| handle::batch(self.cx, &batch.items));
        if is_done && let Some(batch) = self.batch.take() {
            self.cx.received.done(batch);
        }
    }
}

impl Drop for Postpone<'_> {
    fn drop(&mut self) {
        if let Some(batch) = &self.batch {
            self.cx.received.postpone(batch);
        }
    }
}

/// How quick messages are put together, as configured.
struct Quick<'a>(&'a Config);

impl Pace for Quick<'_> {
    fn debounce_ms(&self, item: &Item, message: &Inbound) -> u64 {
        let inbound = &self.0.tree["messages"]["inbound"];
        let number = |value: &serde_json::Value| value.as_f64().filter(|ms| *ms > 0.0).map(|ms| ms as u64);
        let pause =
            number(&inbound["byChannel"][&item.channel]).or_else(|| number(&inbound["debounceMs"])).unwrap_or(0);
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
