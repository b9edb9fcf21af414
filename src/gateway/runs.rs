//! Runs: which are active, how to stop them, and how the recent ones ended.
//!
//! Owns the cancel tokens of active runs, the per-run event counters, the memory of finished runs (10 minutes) and those
//! who wait for one. Runs on any worker, one leaf lock; it calls nobody. Not here: running (`agent::run`), events
//! (`fanout`).

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use serde_json::{Value, json};

use super::ticket::Ticket;
use crate::agent::events::RunEvent;
use crate::agent::run::Mailbox;
use crate::base::cancel::{CancelReason, CancelToken};
use crate::base::clock::UnixMs;
use crate::base::ids::{RunId, SessionKey};
use crate::base::pending::{Pending, PendingId};

/// How long a finished run is remembered for `agent.wait`.
const FINISHED_TTL_MS: UnixMs = 10 * 60_000;
/// Most finished runs remembered.
const FINISHED_MAX: usize = 1000;
/// Most callers of `agent.wait` at a time.
const WAITERS_MAX: usize = 1000;

/// A run that is waiting for its lane or going.
#[derive(Debug, Clone)]
pub struct Active {
    /// Stops it.
    pub cancel: CancelToken,
    /// Its session.
    pub session: SessionKey,
    /// The session key as the client spelled it; events echo it.
    pub echo: Option<String>,
    /// Whether `chat.abort` may stop it: it came from `chat.send`.
    pub is_chat: bool,
    /// Takes further messages of the user.
    pub mailbox: Arc<Mailbox>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// What went wrong; `None` when it went well.
    pub error: Option<String>,
    /// When it began.
    pub started_at: Option<UnixMs>,
    /// When it ended.
    pub ended_at: UnixMs,
}

/// Hears what a run says beside everybody else, on the run's own thread.
#[derive(Clone)]
pub struct Listener(pub Arc<dyn Fn(&RunEvent) + Send + Sync>);

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

#[derive(Debug, Default)]
struct State {
    active: HashMap<RunId, Active>,
    finished: HashMap<RunId, Finished>,
    /// Last event number of each active run.
    seq: HashMap<RunId, u64>,
    /// Of runs that somebody follows.
    listeners: HashMap<RunId, Listener>,
    /// How many have ended well, and how many badly.
    ended: (u64, u64),
    /// Dropped when no run is active any more.
    watch: Option<Sender<Infallible>>,
}

impl State {
    fn remove(&mut self, run: &RunId) -> Option<Active> {
        let active = self.active.remove(run);
        if self.active.is_empty() {
            self.watch = None;
        }
        active
    }
}

/// The store.
#[derive(Debug)]
pub struct Runs {
    state: Mutex<State>,
    waiters: Pending<RunId, Ticket>,
}

impl Default for Runs {
    fn default() -> Self {
        Self { state: Mutex::default(), waiters: Pending::new(WAITERS_MAX) }
    }
}

impl Runs {
    /// Registers a run; false when one of this id is active already.
    pub fn begin(&self, run: &RunId, active: Active) -> bool {
        let mut state = self.lock();
        if state.active.contains_key(run) {
            return false;
        }
        state.finished.remove(run);
        state.active.insert(run.clone(), active);
        true
    }

    /// Returns an active run.
    pub fn active(&self, run: &RunId) -> Option<Active> {
        self.lock().active.get(run).cloned()
    }

    /// Returns every active run.
    pub fn all(&self) -> Vec<(RunId, Active)> {
        self.lock().active.iter().map(|(run, active)| (run.clone(), active.clone())).collect()
    }

    /// Returns the active chat runs of a session.
    pub fn chats_of(&self, session: &SessionKey) -> Vec<RunId> {
        let state = self.lock();
        let mut runs: Vec<RunId> = state
            .active
            .iter()
            .filter(|(_, active)| active.is_chat && active.session == *session)
            .map(|(run, _)| run.clone())
            .collect();
        runs.sort();
        runs
    }

    /// Has a run followed that is about to be started; until its end, which must come.
    pub fn listen(&self, run: &RunId, listener: Listener) {
        self.lock().listeners.insert(run.clone(), listener);
    }

    /// Returns who follows a run.
    pub fn listener(&self, run: &RunId) -> Option<Listener> {
        self.lock().listeners.get(run).cloned()
    }

    /// Returns the next event number of a run, from 1.
    pub fn next_seq(&self, run: &RunId) -> u64 {
        let mut state = self.lock();
        let seq = state.seq.entry(run.clone()).or_insert(0);
        *seq += 1;
        *seq
    }

    /// Stops a run; it leaves the active ones at once, so that its id answers no second abort. Returns whether it was
    /// active.
    pub fn abort(&self, run: &RunId) -> Option<Active> {
        let active = self.lock().remove(run)?;
        active.cancel.cancel(CancelReason::Aborted);
        Some(active)
    }

    /// Stops everything, at shutdown.
    pub fn cancel_all(&self) {
        let tokens: Vec<CancelToken> = self.lock().active.values().map(|active| active.cancel.clone()).collect();
        for token in tokens {
            token.cancel(CancelReason::Shutdown);
        }
    }

    /// Returns something that closes as soon as no run is active.
    pub fn watch(&self) -> Receiver<Infallible> {
        let (sender, receiver) = bounded(0);
        let mut state = self.lock();
        state.watch = Some(sender).filter(|_| !state.active.is_empty());
        receiver
    }

    /// Returns how many runs are active.
    pub fn active_count(&self) -> usize {
        self.lock().active.len()
    }

    /// Returns how many runs have ended well, and how many badly.
    pub fn ended_counts(&self) -> (u64, u64) {
        self.lock().ended
    }

    /// Notes how a run ended and returns who waits for it.
    pub fn finish(&self, run: &RunId, finished: Finished) -> Vec<Ticket> {
        {
            let mut state = self.lock();
            state.remove(run);
            state.seq.remove(run);
            state.listeners.remove(run);
            match finished.error {
                None => state.ended.0 += 1,
                Some(_) => state.ended.1 += 1,
            }
            state.finished.insert(run.clone(), finished);
            if state.finished.len() > FINISHED_MAX {
                let oldest =
                    state.finished.iter().min_by_key(|(_, finished)| finished.ended_at).map(|(run, _)| run.clone());
                if let Some(oldest) = oldest {
                    state.finished.remove(&oldest);
                }
            }
        }
        self.waiters.take(run)
    }

    /// Lets a run go that ends after another start; returns who waits for it.
    pub fn put_down(&self, run: &RunId) -> Vec<Ticket> {
        {
            let mut state = self.lock();
            state.remove(run);
            state.seq.remove(run);
            state.listeners.remove(run);
        }
        self.waiters.take(run)
    }

    /// Returns how a run ended, as long as it is remembered.
    pub fn finished(&self, run: &RunId) -> Option<Finished> {
        self.lock().finished.get(run).cloned()
    }

    /// Lets a ticket wait for a run's end; gives it back when too many wait.
    pub fn wait(&self, run: &RunId, timeout: Duration, ticket: Ticket) -> Result<PendingId<RunId>, Ticket> {
        self.waiters.insert(run.clone(), Instant::now() + timeout, ticket)
    }

    /// Takes a waiter whose time is up; `None` when it was answered already.
    pub fn give_up(&self, id: &PendingId<RunId>) -> Option<Ticket> {
        self.waiters.take_one(id)
    }

    /// Forgets old endings. Called every minute.
    pub fn sweep(&self, now_ms: UnixMs) {
        self.lock().finished.retain(|_, finished| now_ms.saturating_sub(finished.ended_at) <= FINISHED_TTL_MS);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Finished {
    /// Returns the answer of `agent.wait`.
    pub fn to_wait_result(&self, run: &RunId) -> Value {
        let mut result = json!({"runId": run.as_str(), "status": if self.error.is_some() { "error" } else { "ok" }});
        if let Some(started_at) = self.started_at {
            result["startedAt"] = started_at.into();
        }
        result["endedAt"] = self.ended_at.into();
        if let Some(error) = &self.error {
            result["error"] = error.as_str().into();
        }
        result
    }
}
