//! What becomes of a message that arrives while its session is at work (agent.md §7).
//!
//! [`Queues`] decides and knows nothing of runs, clocks or threads: `(state, what happened, now)` gives what to do. Owns,
//! per session, which runs are under way and what waits. Not here: carrying it out (`gateway::queue`), the words of
//! `/queue` (`settings`).

mod settings;

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::base::clock::UnixMs;
use crate::base::ids::{RunId, SessionKey};
use crate::base::route::Route;
use crate::base::text::collapse_whitespace;

pub use self::settings::{DropPolicy, Mode, Options, Settings};

/// Characters of a dropped message that are kept.
const LINE_CHARS_MAX: usize = 160;

/// A message that may have to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its run.
    pub id: RunId,
    /// What was typed.
    pub text: String,
    /// Where the answer goes; clients of the gateway have none.
    pub route: Option<Route>,
    /// Its id in the network.
    pub message_id: Option<String>,
}

impl Item {
    /// Returns whether both are the same message of the same chat.
    fn is_same(&self, other: &Self) -> bool {
        let leads = match (&self.route, &other.route) {
            (Some(own), Some(other)) => own.leads_where(other),
            (None, None) => true,
            _ => false,
        };
        leads && self.message_id.is_some() && self.message_id == other.message_id
    }
}

/// What to do with a message that has arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Nothing is under way: run it. It counts as under way from now on.
    Run,
    /// Stop these runs and what waits, and run it. It counts as under way from now on.
    Interrupt {
        /// Runs under way.
        stop: Vec<RunId>,
        /// Messages that had waited.
        clear: Vec<RunId>,
    },
    /// Hand it to the run that is under way. When none takes it, [`Queues::enqueue`] it; with `is_kept`, do so anyway.
    Steer {
        /// Runs under way.
        into: Vec<RunId>,
        /// Whether it is also answered by itself.
        is_kept: bool,
    },
    /// It waits.
    Waits(Waits),
}

/// How a message waits.
#[derive(Debug, PartialEq, Eq)]
pub enum Waits {
    /// Behind the others; these are not remembered any more, not even by a line.
    Queued {
        /// Dropped for good.
        forgotten: Vec<RunId>,
    },
    /// It does not: it is there already, or there is no room.
    Refused,
}

/// What to run next.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Messages that become one turn, oldest first; never empty.
    pub items: Vec<Item>,
    /// Messages that were dropped before, and the line that is left of each.
    pub dropped: Vec<(RunId, String)>,
    /// How many were dropped in all.
    pub dropped_count: u64,
}

impl Batch {
    /// Returns the prompt of the turn: a single message as `prompt` words it, several as one text.
    pub fn prompt(&self, mut prompt: impl FnMut(&Item) -> String) -> String {
        let overflow = self.overflow();
        if let ([item], None) = (self.items.as_slice(), &overflow) {
            return prompt(item);
        }
        let mut parts = Vec::new();
        if self.items.len() > 1 {
            parts.push("[Queued messages while agent was busy]".to_owned());
        }
        parts.extend(overflow);
        match self.items.as_slice() {
            [item] => parts.push(prompt(item)),
            items => {
                let blocks = items.iter().enumerate();
                parts.extend(blocks.map(|(at, item)| format!("---\nQueued #{}\n{}", at + 1, prompt(item).trim())));
            }
        }
        parts.join("\n\n")
    }

    fn overflow(&self) -> Option<String> {
        if self.dropped_count == 0 {
            return None;
        }
        let noun = if self.dropped_count == 1 { "message" } else { "messages" };
        let mut text = format!("[Queue overflow] Dropped {} {noun} due to cap.", self.dropped_count);
        if !self.dropped.is_empty() {
            text.push_str("\nSummary:");
            self.dropped.iter().for_each(|(_, line)| text.push_str(&format!("\n- {line}")));
        }
        Some(text)
    }
}

/// When to look again.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing waits, or a run is under way: its end will ask.
    Nothing,
    /// In so many milliseconds.
    In(u64),
    /// Now; its newest item counts as under way from now on.
    Run(Batch),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Queues {
    sessions: HashMap<SessionKey, Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    active: BTreeSet<RunId>,
    items: VecDeque<Item>,
    dropped: VecDeque<(RunId, String)>,
    dropped_count: u64,
    settings: Settings,
    last_at: UnixMs,
    /// The messages came by different ways, so each is answered by itself until all are.
    is_mixed: bool,
}

impl Queues {
    /// A message arrives.
    pub fn arrive(&mut self, session: &SessionKey, item: Item, settings: Settings, now_ms: UnixMs) -> Arrival {
        let queue = self.sessions.entry(session.clone()).or_default();
        if queue.active.is_empty() && queue.items.is_empty() {
            queue.active.insert(item.id);
            return Arrival::Run;
        }
        let is_busy = !queue.active.is_empty();
        match settings.mode {
            Mode::Interrupt => {
                let stop = queue.active.iter().cloned().collect();
                let dropped = queue.dropped.drain(..).map(|(id, _)| id);
                let clear = dropped.chain(queue.items.drain(..).map(|item| item.id)).collect();
                queue.dropped_count = 0;
                queue.active.insert(item.id);
                Arrival::Interrupt { stop, clear }
            }
            Mode::Steer | Mode::SteerBacklog if is_busy => Arrival::Steer {
                into: queue.active.iter().cloned().collect(),
                is_kept: settings.mode == Mode::SteerBacklog,
            },
            _ => Arrival::Waits(queue.enqueue(item, settings, now_ms)),
        }
    }

    /// A message that could not be handed to a run waits.
    pub fn enqueue(&mut self, session: &SessionKey, item: Item, settings: Settings, now_ms: UnixMs) -> Waits {
        self.sessions.entry(session.clone()).or_default().enqueue(item, settings, now_ms)
    }

    /// A run begins that did not come through [`Queues::arrive`].
    pub fn began(&mut self, session: &SessionKey, run: &RunId) {
        self.sessions.entry(session.clone()).or_default().active.insert(run.clone());
    }

    /// A run has ended, or was never carried out.
    pub fn ended(&mut self, session: &SessionKey, run: &RunId) {
        if let Some(queue) = self.sessions.get_mut(session) {
            queue.active.remove(run);
            self.drop_empty(session);
        }
    }

    /// A message that waits is not wanted any more; returns whether it waited.
    pub fn withdraw(&mut self, session: &SessionKey, run: &RunId) -> bool {
        let Some(queue) = self.sessions.get_mut(session) else { return false };
        let count = queue.items.len() + queue.dropped.len();
        queue.items.retain(|item| item.id != *run);
        queue.dropped.retain(|(id, _)| id != run);
        let has_waited = queue.items.len() + queue.dropped.len() < count;
        self.drop_empty(session);
        has_waited
    }

    /// Returns what to do for a session now.
    pub fn next(&mut self, session: &SessionKey, now_ms: UnixMs) -> Next {
        let Some(queue) = self.sessions.get_mut(session) else { return Next::Nothing };
        if !queue.active.is_empty() || queue.items.is_empty() {
            return Next::Nothing;
        }
        let due_at = queue.last_at.saturating_add(queue.settings.debounce_ms);
        if now_ms < due_at {
            return Next::In(due_at - now_ms);
        }
        Next::Run(queue.take())
    }

    /// Returns the runs of a session that are under way.
    pub fn under_way(&self, session: &SessionKey) -> Vec<RunId> {
        self.sessions.get(session).map(|queue| queue.active.iter().cloned().collect()).unwrap_or_default()
    }

    /// Returns how many messages of a session wait.
    pub fn depth(&self, session: &SessionKey) -> usize {
        self.sessions.get(session).map_or(0, |queue| queue.items.len())
    }

    fn drop_empty(&mut self, session: &SessionKey) {
        let is_empty = |queue: &Queue| queue.active.is_empty() && queue.items.is_empty() && queue.dropped.is_empty();
        if self.sessions.get(session).is_some_and(is_empty) {
            self.sessions.remove(session);
        }
    }
}

impl Queue {
    fn enqueue(&mut self, item: Item, settings: Settings, now_ms: UnixMs) -> Waits {
        if self.items.iter().any(|waiting| waiting.is_same(&item)) {
            return Waits::Refused;
        }
        self.last_at = now_ms;
        self.settings = settings;
        let cap = settings.cap.max(1);
        let mut forgotten = Vec::new();
        while self.items.len() >= cap {
            if settings.drop == DropPolicy::New {
                return Waits::Refused;
            }
            let Some(oldest) = self.items.pop_front() else { break };
            if settings.drop == DropPolicy::Old {
                forgotten.push(oldest.id);
                continue;
            }
            self.dropped.push_back((oldest.id, line_of(&oldest.text)));
            self.dropped_count += 1;
        }
        while self.dropped.len() > cap {
            forgotten.extend(self.dropped.pop_front().map(|(id, _)| id));
        }
        self.items.push_back(item);
        Waits::Queued { forgotten }
    }

    fn take(&mut self) -> Batch {
        let is_together = self.settings.mode == Mode::Collect && !self.is_mixed && self.lead_together();
        self.is_mixed |= self.settings.mode == Mode::Collect && !is_together;
        let count = if is_together { self.items.len() } else { 1 };
        let items: Vec<Item> = self.items.drain(..count).collect();
        if self.items.is_empty() {
            self.is_mixed = false;
        }
        self.active.extend(items.last().map(|item| item.id.clone()));
        Batch {
            items,
            dropped: self.dropped.drain(..).collect(),
            dropped_count: std::mem::take(&mut self.dropped_count),
        }
    }

    /// Whether all answers go to one chat of a network.
    fn lead_together(&self) -> bool {
        let Some(first) = self.items.front().and_then(|item| item.route.as_ref()) else { return false };
        self.items.iter().all(|item| item.route.as_ref().is_some_and(|route| route.leads_where(first)))
    }
}

/// Returns what is left of a dropped message.
fn line_of(text: &str) -> String {
    let text = collapse_whitespace(text);
    if text.chars().count() <= LINE_CHARS_MAX {
        return text;
    }
    let cut: String = text.chars().take(LINE_CHARS_MAX - 1).collect();
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests;
