//! Results by idempotency key: a repeated request gets the first one's result and has no second effect.
//!
//! In memory, for five minutes and at most 1000 entries, as the original keeps them. Runs on any worker, one leaf lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::ctx::Ctx;
use super::ticket::{Outcome, Ticket};
use crate::base::clock::UnixMs;
use crate::protocol::error::ErrorShape;

const TTL_MS: UnixMs = 300_000;
const ENTRIES_MAX: usize = 1000;
/// Callers that wait for one flight.
const PASSENGERS_MAX: usize = 100;

/// The cache; keys are `<class>:<idempotencyKey>`.
#[derive(Debug, Default)]
pub struct Dedupe {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    results: HashMap<String, (Outcome, UnixMs)>,
    /// Who waits for what is under way.
    flights: HashMap<String, Vec<Ticket>>,
}

/// An action under way whose answer all callers with its key share. Dropped unanswered, it tells them that it failed.
pub struct Flight {
    cx: Arc<Ctx>,
    key: String,
}

impl Flight {
    /// Starts the flight for `key`, or lets the ticket wait for (or be answered by) the one that was started before; then
    /// there is nothing to do.
    pub fn board(cx: &Arc<Ctx>, key: String, ticket: Ticket) -> Option<Self> {
        let mut state = cx.dedupe.lock();
        // It may have landed since the caller looked.
        let landed = state.results.get(&key).map(|(outcome, _)| outcome.clone());
        let answer = match (landed, state.flights.get_mut(&key)) {
            (Some(outcome), _) => outcome,
            (None, Some(waiting)) if waiting.len() < PASSENGERS_MAX => {
                waiting.push(ticket);
                return None;
            }
            (None, Some(_)) => Err(ErrorShape::busy("too many callers wait for this result; try again later")).into(),
            (None, None) => {
                state.flights.insert(key.clone(), vec![ticket]);
                return Some(Self { cx: cx.clone(), key });
            }
        };
        drop(state);
        ticket.finish(answer);
        None
    }

    /// Stores the result and answers everybody.
    pub fn land(self, outcome: Outcome) {
        self.cx.dedupe.put(&self.key, outcome.clone(), self.cx.clock.now_ms());
        for ticket in self.passengers() {
            ticket.finish(outcome.clone());
        }
    }

    fn passengers(&self) -> Vec<Ticket> {
        self.cx.dedupe.lock().flights.remove(&self.key).unwrap_or_default()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        // Outside the lock: a dropped ticket answers.
        drop(self.passengers());
    }
}

impl Dedupe {
    /// Returns the stored result, or stores `first` for this key and returns `None`: one step, so that of two equal
    /// requests only one runs.
    pub fn get_or_begin(&self, key: &str, first: impl FnOnce() -> Outcome, now_ms: UnixMs) -> Option<Outcome> {
        let mut state = self.lock();
        if let Some((outcome, _)) = state.results.get(key) {
            return Some(outcome.clone());
        }
        state.results.insert(key.to_owned(), (first(), now_ms));
        None
    }

    /// Returns the stored result.
    pub fn get(&self, key: &str) -> Option<Outcome> {
        self.lock().results.get(key).map(|(outcome, _)| outcome.clone())
    }

    /// Stores a result.
    pub fn put(&self, key: &str, outcome: Outcome, now_ms: UnixMs) {
        self.lock().results.insert(key.to_owned(), (outcome, now_ms));
    }

    /// Replaces a result; a key that is not known stays so.
    pub fn replace(&self, key: &str, outcome: Outcome, now_ms: UnixMs) {
        if let Some(stored) = self.lock().results.get_mut(key) {
            *stored = (outcome, now_ms);
        }
    }

    /// Forgets a result: what it stood for did not happen.
    pub fn forget(&self, key: &str) {
        drop(self.lock().results.remove(key));
        self.abandon(key);
    }

    /// Lets a ticket wait for the result of a run that was accepted; beyond a limit it is not answered again.
    pub fn ride(&self, key: &str, ticket: Ticket) {
        let mut state = self.lock();
        let is_under_way = |outcome: &Outcome| matches!(outcome, Outcome::Ok(told) if told["status"] == "accepted");
        // It may have ended since the caller looked.
        if let Some((outcome, _)) = state.results.get(key).filter(|(outcome, _)| !is_under_way(outcome)) {
            let outcome = outcome.clone();
            drop(state);
            return ticket.finish(outcome);
        }
        let waiting = state.flights.entry(key.to_owned()).or_default();
        if waiting.len() < PASSENGERS_MAX {
            waiting.push(ticket);
        } else {
            ticket.forget();
        }
    }

    /// Stores a result and answers everybody who waits for it.
    pub fn arrive(&self, key: &str, outcome: Outcome, now_ms: UnixMs) {
        let waiting = {
            let mut state = self.lock();
            state.results.insert(key.to_owned(), (outcome.clone(), now_ms));
            state.flights.remove(key).unwrap_or_default()
        };
        for ticket in waiting {
            ticket.finish(outcome.clone());
        }
    }

    /// Lets everybody who waits for a result go, told to try again.
    pub fn abandon(&self, key: &str) {
        let waiting = self.lock().flights.remove(key);
        // Outside the lock: a dropped ticket answers.
        drop(waiting);
    }

    /// Drops what is old, and the oldest beyond the limit. Called every minute.
    pub fn sweep(&self, now_ms: UnixMs) {
        let entries = &mut self.lock().results;
        entries.retain(|_, (_, at)| now_ms.saturating_sub(*at) <= TTL_MS);
        if entries.len() > ENTRIES_MAX {
            let mut ages: Vec<UnixMs> = entries.values().map(|(_, at)| *at).collect();
            ages.sort_unstable();
            let oldest_kept = ages[ages.len() - ENTRIES_MAX];
            entries.retain(|_, (_, at)| *at >= oldest_kept);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
