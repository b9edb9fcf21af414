//! Messages of chats on their way to a run: at once, into the run that is under way, or after it.
//!
//! Carries out what `agent::queue` decides. Owns the messages that wait, which are in the journal of runs since they were
//! accepted: after a crash they are placed anew, in their order. Any thread, one leaf lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::abort;
use super::ctx::Ctx;
use super::start_run::Ready;
use super::work::Due;
use crate::agent::queue::{Arrival, Batch, Item, Next, Queues, Settings, Waits};
use crate::agent::run::{Letter, RunRequest};
use crate::agent::transcript;
use crate::base::ids::{RunId, SessionKey};

/// See the module.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queues: Queues,
    /// The runs of what waits, also of what was dropped and lives on as a line.
    waiting: HashMap<RunId, Ready>,
    is_closed: bool,
}

impl Queue {
    /// A run of a session begins, whatever it came by.
    pub fn began(&self, session: &SessionKey, run: &RunId) {
        self.lock().queues.began(session, run);
    }

    /// Returns the runs of a session that are under way.
    pub fn under_way(&self, session: &SessionKey) -> Vec<RunId> {
        self.lock().queues.under_way(session)
    }

    /// Returns how many messages of a session wait.
    pub fn depth(&self, session: &SessionKey) -> usize {
        self.lock().queues.depth(session)
    }

    /// Lets everything that waits go, for the next start.
    pub fn close(&self) {
        let waiting = {
            let mut state = self.lock();
            state.is_closed = true;
            std::mem::take(&mut state.waiting)
        };
        // Outside the lock: dropping a run puts it down.
        drop(waiting);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how a session's messages wait.
pub fn settings(cx: &Ctx, session: &SessionKey, channel: &str) -> Settings {
    Settings::of(&cx.config.get(), channel, cx.sessions.entry(session).as_ref())
}

/// Finds a place for an accepted message.
pub fn place(cx: &Arc<Ctx>, ready: Ready) {
    let (item, settings) = (item_of(ready.request()), settings(cx, ready.session(), &ready.request().channel));
    let session = ready.session().clone();
    let now_ms = cx.clock.now_ms();
    let mut state = cx.queue.lock();
    if state.is_closed {
        drop(state);
        // Put down for the next start.
        return drop(ready);
    }
    let arrival = state.queues.arrive(&session, item.clone(), settings, now_ms);
    match arrival {
        Arrival::Run => {
            drop(state);
            ready.submit();
        }
        Arrival::Interrupt { stop, clear } => {
            let cleared: Vec<Ready> = clear.iter().filter_map(|run| state.waiting.remove(run)).collect();
            drop(state);
            cleared.into_iter().for_each(Ready::stop);
            abort::runs(cx, &stop, "interrupt");
            ready.submit();
        }
        Arrival::Steer { into, is_kept } => {
            drop(state);
            steer(cx, ready, item, settings, &into, is_kept);
        }
        Arrival::Waits(waits) => keep(cx, state, ready, waits),
    }
}

/// Hands a message to a run under way, or lets it wait.
fn steer(cx: &Arc<Ctx>, ready: Ready, item: Item, settings: Settings, into: &[RunId], is_kept: bool) {
    let request = Box::new(ready.request().clone());
    if is_kept {
        let entry_id = transcript::new_id(&*cx.rng);
        wait(cx, ready, item, settings);
        let letter = Letter { entry_id, request, reading: Box::new(|| ()), answered: Box::new(|_| ()) };
        return drop(hand(cx, letter, into));
    }
    let entry_id = ready.entry_id().unwrap_or_else(|| transcript::new_id(&*cx.rng));
    let weak = Arc::downgrade(cx);
    let answered = move |is_read: bool| match weak.upgrade() {
        Some(_) if is_read => ready.leave(false),
        // Whoever stopped the run meant its letters too.
        Some(_) if ready.is_cancelled() => ready.stop(),
        Some(cx) => wait(&cx, ready, item, settings),
        None => {}
    };
    let (weak, run) = (Arc::downgrade(cx), request.run_id.clone());
    let reading = move || {
        if let Some(cx) = weak.upgrade() {
            cx.accepted.journal.read(&run);
        }
    };
    let letter = Letter { entry_id, request, reading: Box::new(reading), answered: Box::new(answered) };
    if let Err(letter) = hand(cx, letter, into) {
        (letter.answered)(false);
    }
}

fn hand(cx: &Ctx, mut letter: Letter, into: &[RunId]) -> Result<(), Letter> {
    for run in into {
        let Some(active) = cx.runs.active(run) else { continue };
        let message = letter.request.run_id.clone();
        match active.mailbox.put(letter) {
            Ok(()) => {
                log::debug!(target: "gateway", "message {message} goes to run {run}");
                return Ok(());
            }
            Err(back) => letter = back,
        }
    }
    Err(letter)
}

fn wait(cx: &Arc<Ctx>, ready: Ready, item: Item, settings: Settings) {
    let mut state = cx.queue.lock();
    let waits = state.queues.enqueue(&ready.session().clone(), item, settings, cx.clock.now_ms());
    keep(cx, state, ready, waits);
}

fn keep(cx: &Arc<Ctx>, mut state: MutexGuard<'_, State>, ready: Ready, waits: Waits) {
    if state.is_closed {
        drop(state);
        // Put down for the next start.
        return drop(ready);
    }
    let (session, run) = (ready.session().clone(), ready.run().clone());
    let is_queued = matches!(waits, Waits::Queued { .. });
    let gone: Vec<Ready> = match waits {
        Waits::Refused => vec![ready],
        Waits::Queued { forgotten } => {
            state.waiting.insert(run.clone(), ready);
            forgotten.iter().filter_map(|run| state.waiting.remove(run)).collect()
        }
    };
    drop(state);
    if is_queued {
        log::debug!(target: "gateway", "message {run} waits");
    }
    for gone in gone {
        log::info!(target: "gateway", "a message for {session} is not answered: too many waited, or it came twice");
        gone.leave(false);
    }
    // The run that it waits for may have ended meanwhile.
    advance(cx, &session);
}

/// A run has ended: what waits for it may go on.
pub fn ended(cx: &Arc<Ctx>, session: &SessionKey, run: &RunId) {
    cx.queue.lock().queues.ended(session, run);
    advance(cx, session);
}

/// Takes a message out that waits, because somebody stopped it.
pub fn withdraw(cx: &Ctx, session: &SessionKey, run: &RunId) {
    let ready = {
        let mut state = cx.queue.lock();
        state.queues.withdraw(session, run);
        state.waiting.remove(run)
    };
    if let Some(ready) = ready {
        ready.stop();
    }
}

/// Does what is due for a session.
pub fn advance(cx: &Arc<Ctx>, session: &SessionKey) {
    let mut state = cx.queue.lock();
    if state.is_closed {
        return;
    }
    match state.queues.next(session, cx.clock.now_ms()) {
        Next::Nothing => {}
        Next::In(ms) => {
            drop(state);
            cx.timer.arm(Duration::from_millis(ms), Due::Queue { session: session.clone() });
        }
        Next::Run(batch) => {
            let mut others: Vec<Ready> =
                batch.dropped.iter().filter_map(|(run, _)| state.waiting.remove(run)).collect();
            let mut runs: Vec<Ready> = batch.items.iter().filter_map(|item| state.waiting.remove(&item.id)).collect();
            drop(state);
            // The newest one's conditions hold for all.
            let Some(newest) = runs.pop() else { return };
            let merged = merged(&batch, &runs, newest.request());
            others.extend(runs);
            newest.submit_with(merged, others);
        }
    }
}

/// Returns the request of a turn that answers several messages; `None` when it is one alone.
fn merged(batch: &Batch, earlier: &[Ready], newest: &RunRequest) -> Option<RunRequest> {
    if batch.items.len() == 1 && batch.dropped_count == 0 {
        return None;
    }
    let requests: Vec<&RunRequest> = earlier.iter().map(Ready::request).chain([newest]).collect();
    let text = |item: &Item| {
        let request = requests.iter().find(|request| request.run_id == item.id);
        request.map_or_else(|| item.text.clone(), |request| request.message.clone())
    };
    // Whoever hears what became of the turn hears of every message in it.
    let typed: Vec<&str> = batch.items.iter().map(|item| item.text.as_str()).collect();
    Some(RunRequest {
        message: batch.prompt(text),
        typed: Some(typed.join("\n")),
        images: requests.iter().flat_map(|request| request.images.iter().cloned()).collect(),
        ..newest.clone()
    })
}

fn item_of(request: &RunRequest) -> Item {
    Item {
        id: request.run_id.clone(),
        text: request.typed.clone().unwrap_or_else(|| request.message.clone()),
        route: request.route.clone(),
        message_id: request.speaker.as_ref().and_then(|speaker| speaker.message_id.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::AgentId;
    use crate::gateway::accepted;

    #[test]
    fn a_notice_about_several_messages_names_each() {
        let item = |id: &str| Item { id: RunId::new(id), text: format!("say {id}"), route: None, message_id: None };
        let batch = Batch { items: vec![item("a"), item("b")], ..Batch::default() };
        let (agent, session) = (AgentId::new("main"), SessionKey::new("agent:main:main"));
        let newest = RunRequest {
            typed: Some("say b".into()),
            ..RunRequest::new(RunId::new("b"), agent, session, "[Ada] say b")
        };
        let merged = merged(&batch, &[], &newest).expect("two are one turn");
        assert!(merged.message.ends_with("Queued #2\n[Ada] say b"), "{}", merged.message);
        let notice = accepted::notice(&merged, "it broke");
        assert!(notice.contains("because it broke: “say a say b”."), "{notice}");
    }
}
