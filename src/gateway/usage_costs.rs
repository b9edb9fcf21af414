//! The cost of recent days: made when asked for, kept for a while, made by one job at a time.
//!
//! Owns the answers by number of days. Who asks for one that is too old gets it all the same and causes a new one; who
//! asks for one that was never made waits for it. Not here: adding up (`agent::usage::costs`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::ctx::Ctx;
use super::ticket::Ticket;
use crate::agent::models;
use crate::agent::usage::costs;
use crate::base::clock::UnixMs;
use crate::protocol::error::ErrorShape;

/// How long an answer counts as new.
const FRESH_MS: UnixMs = 30_000;
/// Numbers of days that are remembered; beyond it the oldest is forgotten.
const ENTRIES_MAX: usize = 16;
/// Callers that may wait for an answer; beyond it they are told to try again.
const WAITING_MAX: usize = 256;
/// One scan at a time: it reads every recent transcript.
const LANE: &str = "usage.cost";
/// The agent whose transcripts count. compat: the original looks at no other's.
const AGENT: &str = "main";

struct Entry<W> {
    latest: Option<Arc<Value>>,
    made_at_ms: UnixMs,
    is_refreshing: bool,
    waiting: Vec<W>,
}

/// The store; `W` is who waits.
pub struct UsageCosts<W = Ticket> {
    entries: Mutex<HashMap<u64, Entry<W>>>,
}

impl<W> Default for UsageCosts<W> {
    fn default() -> Self {
        Self { entries: Mutex::default() }
    }
}

/// What becomes of a caller.
struct Asked<W> {
    /// Whom to answer now, and what with; `None` for the answer means that too many wait.
    answer: Option<(W, Option<Arc<Value>>)>,
    /// Whether the caller must start a refresh.
    must_refresh: bool,
}

impl<W> UsageCosts<W> {
    fn ask(&self, days: u64, who: W, now_ms: UnixMs) -> Asked<W> {
        let mut entries = self.lock();
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&days) {
            let idle = entries.iter().filter(|(_, entry)| !entry.is_refreshing);
            match idle.min_by_key(|(_, entry)| entry.made_at_ms).map(|(days, _)| *days) {
                Some(oldest) => drop(entries.remove(&oldest)),
                None => return Asked { answer: Some((who, None)), must_refresh: false },
            }
        }
        let fresh = Entry { latest: None, made_at_ms: 0, is_refreshing: false, waiting: Vec::new() };
        let entry = entries.entry(days).or_insert(fresh);
        let is_fresh = entry.latest.is_some() && now_ms.saturating_sub(entry.made_at_ms) < FRESH_MS;
        let must_refresh = !is_fresh && !entry.is_refreshing;
        entry.is_refreshing |= must_refresh;
        let answer = match &entry.latest {
            Some(latest) => Some((who, Some(latest.clone()))),
            None if entry.waiting.len() >= WAITING_MAX => Some((who, None)),
            None => {
                entry.waiting.push(who);
                None
            }
        };
        Asked { answer, must_refresh }
    }

    /// Ends a refresh, with its result or without; returns who waited.
    fn settle(&self, days: u64, result: Option<(Arc<Value>, UnixMs)>) -> Vec<W> {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(&days) else { return Vec::new() };
        entry.is_refreshing = false;
        let waiting = std::mem::take(&mut entry.waiting);
        match result {
            Some((latest, now_ms)) => {
                entry.latest = Some(latest);
                entry.made_at_ms = now_ms;
            }
            None if entry.latest.is_none() => drop(entries.remove(&days)),
            None => {}
        }
        waiting
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Entry<W>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers the ticket with the cost of the last `days` days.
pub fn answer(cx: &Arc<Ctx>, days: u64, ticket: Ticket) {
    let Asked { answer, must_refresh } = cx.usage_costs.ask(days, ticket, cx.clock.now_ms());
    match answer {
        Some((ticket, Some(latest))) => ticket.finish(Ok((*latest).clone())),
        Some((ticket, None)) => {
            ticket.finish(Err(ErrorShape::busy("too many callers wait for usage; try again later")))
        }
        None => {}
    }
    if must_refresh {
        refresh(cx, days);
    }
}

fn refresh(cx: &Arc<Ctx>, days: u64) {
    let job_cx = cx.clone();
    let submitted = cx.jobs.submit(vec![LANE.to_owned(), "disk".to_owned()], move || {
        // If the scan panics, those who wait must not wait for ever.
        let guard = GiveUp { store: &job_cx.usage_costs, days };
        let result = scan(&job_cx, days);
        std::mem::forget(guard);
        let error = match result {
            Ok(summary) => {
                let summary = Arc::new(summary);
                for ticket in job_cx.usage_costs.settle(days, Some((summary.clone(), job_cx.clock.now_ms()))) {
                    ticket.finish(Ok((*summary).clone()));
                }
                return;
            }
            Err(error) => error,
        };
        log::warn!(target: "gateway", "cannot add up usage: {error}");
        for ticket in job_cx.usage_costs.settle(days, None) {
            ticket.finish(Err(ErrorShape::exception(&error)));
        }
    });
    if let Err(error) = submitted {
        log::warn!(target: "gateway", "usage is not added up: {error}");
        drop(cx.usage_costs.settle(days, None));
    }
}

fn scan(cx: &Ctx, days: u64) -> std::io::Result<Value> {
    let config = cx.config.get();
    let dir = cx.paths.sessions_dir(AGENT);
    let price = |provider: &str, model: &str| models::price(&config, provider, model);
    costs::summarise(&dir, days, cx.clock.now_ms(), &price).map(|summary| json!(summary))
}

struct GiveUp<'a> {
    store: &'a UsageCosts,
    days: u64,
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        drop(self.store.settle(self.days, None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(store: &UsageCosts<u32>, days: u64, who: u32, now_ms: UnixMs) -> (Option<Option<String>>, bool) {
        let asked = store.ask(days, who, now_ms);
        (asked.answer.map(|(_, value)| value.map(|value| value.to_string())), asked.must_refresh)
    }

    #[test]
    fn one_refresh_serves_all_and_old_answers_bridge_the_next() {
        let store = UsageCosts::<u32>::default();
        let value = |number: u32| Arc::new(json!(number));
        assert_eq!(ask(&store, 7, 1, 0), (None, true));
        assert_eq!(ask(&store, 7, 2, 0), (None, false));
        assert_eq!(ask(&store, 30, 3, 0), (None, true), "another number of days is another answer");
        assert_eq!(store.settle(7, Some((value(1), 1000))), [1, 2]);
        assert_eq!(ask(&store, 7, 4, 30_999), (Some(Some("1".into())), false));
        assert_eq!(ask(&store, 7, 5, 31_000), (Some(Some("1".into())), true));
        assert_eq!(ask(&store, 7, 6, 31_000), (Some(Some("1".into())), false));
        assert!(store.settle(7, None).is_empty(), "a failed refresh keeps the old answer");
        assert_eq!(ask(&store, 7, 7, 31_000), (Some(Some("1".into())), true));
        assert_eq!(store.settle(30, None), [3]);
        assert_eq!(ask(&store, 30, 8, 31_000), (None, true), "a failed first one leaves nothing");
    }

    #[test]
    fn entries_and_waiting_callers_are_bounded() {
        let store = UsageCosts::<u32>::default();
        for days in 1..=16 {
            assert_eq!(ask(&store, days, 0, 0), (None, true));
        }
        assert_eq!(ask(&store, 17, 0, 0), (Some(None), false), "all are being made");
        for days in 1..=16 {
            store.settle(days, Some((Arc::new(json!(days)), 100 - days)));
        }
        assert_eq!(ask(&store, 17, 0, 100), (None, true));
        assert!(!store.lock().contains_key(&16) && store.lock().len() == ENTRIES_MAX);
        for who in 1..WAITING_MAX {
            assert_eq!(ask(&store, 17, u32::try_from(who).expect("small"), 100), (None, false));
        }
        assert_eq!(ask(&store, 17, 0, 100), (Some(None), false));
    }
}
