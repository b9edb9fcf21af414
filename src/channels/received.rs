//! What was received and is not handled yet: on the disk before the network is told that it may forget it.
//!
//! Each conversation is a queue, and conversations take turns, so that a busy one neither overtakes itself nor holds up
//! others. Events that belong together (albums, pasted texts, quick messages) are handed out together. An event is handled
//! once: after a crash, whatever was not noted as done is handed out again, and whoever handles it can tell by its id how
//! far that came. Owns one journal. Any thread, one lock, which [`Received::accept`] holds across the disk. Not here: what
//! becomes of an event (`gateway::chats`).

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::batch::{self, Pace};
use super::inbound::{AcceptError, Event, Sink};
use crate::base::cancel::{CancelToken, SLICE};
use crate::base::clock::{Clock, UnixMs};
use crate::base::fs::Durability;
use crate::base::journal::Journal;
use crate::base::order;

/// Events that may wait; then [`Received::accept`] waits, and the network keeps the rest.
const WAITING_MAX: usize = 1000;
/// Their bytes, as JSON.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Ids of handled events that are remembered per account: networks repeat what they were not told to forget, a batch of a
/// hundred at most.
const SEEN_MAX: usize = 2000;
/// The journal is rewritten when it is longer.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Pauses between attempts at a conversation that could not go on, at most.
const RETRY_MS_MAX: UnixMs = 30_000;

/// An event of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Channel id.
    pub channel: String,
    /// Account id.
    pub account: String,
    /// When it came in.
    pub at: UnixMs,
    /// What happened.
    pub event: Event,
}

impl Item {
    /// Returns the account in which ids are unique.
    fn account_key(&self) -> String {
        account_key(&self.channel, &self.account)
    }

    fn place(&self) -> String {
        format!("{}\n{}", self.account_key(), self.event.place())
    }
}

fn account_key(channel: &str, account: &str) -> String {
    format!("{channel}\n{account}")
}

/// Events of one conversation that belong together; at least one.
#[derive(Debug)]
pub struct Batch {
    /// The events, oldest first.
    pub items: Vec<Item>,
    place: String,
}

/// What is to be done now.
#[derive(Debug)]
pub enum Next {
    /// These.
    Handle(Batch),
    /// Nothing before then.
    Wait(UnixMs),
    /// Nothing.
    Idle,
}

/// See the module.
pub struct Received {
    state: Mutex<State>,
    /// Whoever wants to hand something in waits here for room.
    room: Condvar,
    clock: Arc<dyn Clock>,
}

struct State {
    journal: Journal,
    places: HashMap<String, Place>,
    /// Conversations with something to do that nobody works on, in the order of their turns.
    turns: VecDeque<String>,
    seen: HashMap<String, Seen>,
    waiting: usize,
    waiting_bytes: usize,
    next_order: u64,
    is_closed: bool,
}

#[derive(Default)]
struct Place {
    queue: VecDeque<(u64, usize, Item)>,
    is_busy: bool,
    /// Not before.
    due_at: UnixMs,
    failures: u32,
    /// How many of the first were handed out together before; 0 when that is open.
    together: usize,
}

#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    fn insert(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > SEEN_MAX + WAITING_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Got(Box<Item>),
    Done {
        channel: String,
        account: String,
        ids: Vec<String>,
    },
    /// Events that were handed out together, and are again after a crash: whoever handles them knows them by one id.
    Together {
        channel: String,
        account: String,
        ids: Vec<String>,
    },
    /// Ids of events that were handled before the journal was rewritten.
    Seen {
        channel: String,
        account: String,
        ids: Vec<String>,
    },
}

impl Received {
    /// Opens the journal; what was not handled is handed out again.
    ///
    /// # Errors
    /// Any I/O error but "not found".
    pub fn open(path: PathBuf, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let mut lines = Vec::new();
        let journal = Journal::open(path, &mut |line| lines.push(line))?;
        let mut state = State {
            journal,
            places: HashMap::new(),
            turns: VecDeque::new(),
            seen: HashMap::new(),
            waiting: 0,
            waiting_bytes: 0,
            next_order: 0,
            is_closed: false,
        };
        let is_empty = lines.is_empty();
        for line in lines {
            let bytes = line.to_string().len();
            match serde_json::from_value(line) {
                Ok(line) => state.take(line, bytes),
                Err(error) => {
                    log::error!(target: "gateway/channels", "a received message cannot be read and is left out: {error}");
                }
            }
        }
        if !is_empty {
            state.rewrite()?;
        }
        Ok(Self { state: Mutex::new(state), room: Condvar::new(), clock })
    }

    /// Takes events of an account; see [`Sink::accept`]. Returns how many were new.
    ///
    /// # Errors
    /// See [`AcceptError`].
    pub fn accept(
        &self,
        channel: &str,
        account: &str,
        events: Vec<Event>,
        cancel: &CancelToken,
    ) -> Result<usize, AcceptError> {
        let mut state = self.lock();
        loop {
            if state.is_closed || cancel.is_cancelled() {
                return Err(AcceptError::Stopped);
            }
            if state.waiting < WAITING_MAX && state.waiting_bytes < WAITING_BYTES_MAX {
                break;
            }
            state = self.room.wait_timeout(state, SLICE).unwrap_or_else(PoisonError::into_inner).0;
        }
        let at = self.clock.now_ms();
        let key = account_key(channel, account);
        let mut ids = HashSet::new();
        let mut lines = Vec::new();
        for event in events {
            let id = event.update_id().to_owned();
            if state.seen.get(&key).is_some_and(|seen| seen.ids.contains(&id)) || !ids.insert(id) {
                continue;
            }
            let item = Item { channel: channel.to_owned(), account: account.to_owned(), at, event };
            let line = Line::Got(Box::new(item));
            let text = serde_json::to_value(&line).map_err(|error| AcceptError::Disk(error.to_string()))?;
            lines.push((line, text));
        }
        if lines.is_empty() {
            return Ok(0);
        }
        let texts: Vec<Value> = lines.iter().map(|(_, text)| text.clone()).collect();
        state.journal.append(&texts, Durability::Power).map_err(|error| AcceptError::Disk(error.to_string()))?;
        let count = lines.len();
        for (line, text) in lines {
            state.take(line, text.to_string().len());
        }
        Ok(count)
    }

    /// Returns the conversation whose turn it is; `pace` says which of its events belong together.
    pub fn next(&self, pace: &dyn Pace) -> Next {
        let now_ms = self.clock.now_ms();
        let mut state = self.lock();
        let mut soonest: Option<UnixMs> = None;
        for _ in 0..state.turns.len() {
            let Some(key) = state.turns.pop_front() else { break };
            let Some(place) = state.places.get_mut(&key) else { continue };
            let decision = match place.due_at > now_ms {
                true => batch::Decision::Wait(place.due_at),
                false if place.together > 0 => batch::Decision::Take(place.together),
                false => batch::decide(place.queue.iter().map(|(_, _, item)| item), pace, now_ms),
            };
            match decision {
                batch::Decision::Take(count) => {
                    place.is_busy = true;
                    let count = count.clamp(1, place.queue.len().max(1));
                    let items: Vec<Item> = place.queue.iter().take(count).map(|(_, _, item)| item.clone()).collect();
                    if count > 1 && place.together == 0 {
                        place.together = count;
                        state.note_together(&items);
                    }
                    return Next::Handle(Batch { items, place: key });
                }
                batch::Decision::Wait(until) => {
                    soonest = Some(soonest.map_or(until, |soonest| soonest.min(until)));
                    state.turns.push_back(key);
                }
            }
        }
        soonest.map_or(Next::Idle, Next::Wait)
    }

    /// Notes that events were handled; their conversation may go on.
    pub fn done(&self, batch: Batch) {
        let mut state = self.lock();
        let Some(first) = batch.items.first() else { return };
        let ids = batch.items.iter().map(|item| item.event.update_id().to_owned()).collect();
        let line = Line::Done { channel: first.channel.clone(), account: first.account.clone(), ids };
        if !state.is_closed {
            // The death of the process does not undo it; a power cut may, and then the runs' journal knows these ids.
            let written = serde_json::to_value(&line)
                .map_err(io::Error::from)
                .and_then(|text| state.journal.append(&[text], Durability::Process));
            if let Err(error) = written {
                log::warn!(target: "gateway/channels", "cannot write the journal of received messages: {error}");
            }
        }
        state.drop_first(&batch.place, batch.items.len());
        state.free(&batch.place, 0);
        if state.journal.is_long(BYTES_MAX)
            && !state.is_closed
            && let Err(error) = state.rewrite()
        {
            log::warn!(target: "gateway/channels", "cannot shorten the journal of received messages: {error}");
        }
        drop(state);
        self.room.notify_all();
    }

    /// Gives events back that could not be handled now; their conversation is tried again later.
    pub fn postpone(&self, batch: &Batch) {
        let now_ms = self.clock.now_ms();
        let mut state = self.lock();
        let failures = state.places.get_mut(&batch.place).map_or(0, |place| {
            place.failures = place.failures.saturating_add(1);
            place.failures
        });
        let pause = 500_u64.saturating_mul(1 << failures.min(10)).min(RETRY_MS_MAX);
        state.free(&batch.place, now_ms.saturating_add(pause));
    }

    /// Returns how many events wait.
    pub fn waiting(&self) -> usize {
        self.lock().waiting
    }

    /// Returns whether nothing is taken or written any more.
    pub fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Refuses to take or write anything from now on.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.room.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, line: Line, bytes: usize) {
        match line {
            Line::Got(item) => {
                if !self.seen.entry(item.account_key()).or_default().insert(item.event.update_id()) {
                    return;
                }
                let key = item.place();
                let place = self.places.entry(key.clone()).or_default();
                if place.queue.is_empty() && !place.is_busy {
                    self.turns.push_back(key);
                }
                place.queue.push_back((self.next_order, bytes, *item));
                self.next_order += 1;
                self.waiting += 1;
                self.waiting_bytes += bytes;
            }
            Line::Done { channel, account, ids } => {
                let key = account_key(&channel, &account);
                for place in self.places.values_mut() {
                    place.queue.retain(|(_, bytes, item)| {
                        let is_done = item.account_key() == key && ids.iter().any(|id| id == item.event.update_id());
                        if is_done {
                            self.waiting -= 1;
                            self.waiting_bytes -= bytes;
                        }
                        !is_done
                    });
                }
                self.places.retain(|_, place| !place.queue.is_empty());
                self.turns.retain(|key| self.places.contains_key(key));
            }
            Line::Together { channel, account, ids } => {
                let key = account_key(&channel, &account);
                let is_front = |place: &&mut Place| {
                    place.queue.len() >= ids.len()
                        && place
                            .queue
                            .iter()
                            .zip(&ids)
                            .all(|((_, _, item), id)| item.account_key() == key && item.event.update_id() == id)
                };
                if let Some(place) = self.places.values_mut().find(is_front) {
                    place.together = ids.len();
                }
            }
            Line::Seen { channel, account, ids } => {
                let seen = self.seen.entry(account_key(&channel, &account)).or_default();
                for id in &ids {
                    seen.insert(id);
                }
            }
        }
    }

    fn note_together(&mut self, items: &[Item]) {
        let Some(first) = items.first().filter(|_| !self.is_closed) else { return };
        let ids = items.iter().map(|item| item.event.update_id().to_owned()).collect();
        let line = Line::Together { channel: first.channel.clone(), account: first.account.clone(), ids };
        let written = serde_json::to_value(&line)
            .map_err(io::Error::from)
            .and_then(|text| self.journal.append(&[text], Durability::Process));
        if let Err(error) = written {
            log::warn!(target: "gateway/channels", "cannot write the journal of received messages: {error}");
        }
    }

    fn drop_first(&mut self, key: &str, count: usize) {
        let Some(place) = self.places.get_mut(key) else { return };
        for (_, bytes, _) in place.queue.drain(..count.min(place.queue.len())) {
            self.waiting -= 1;
            self.waiting_bytes -= bytes;
        }
        place.failures = 0;
        place.together = 0;
    }

    /// Lets a conversation have its next turn, not before `due_at`.
    fn free(&mut self, key: &str, due_at: UnixMs) {
        let Some(place) = self.places.get_mut(key) else { return };
        place.is_busy = false;
        place.due_at = due_at;
        if place.queue.is_empty() {
            self.places.remove(key);
        } else {
            self.turns.push_back(key.to_owned());
        }
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let mut waiting: Vec<&(u64, usize, Item)> = self.places.values().flat_map(|place| &place.queue).collect();
        order::by_key(&mut waiting, |(order, _, _)| *order);
        let are_waiting: HashSet<(String, &str)> =
            waiting.iter().map(|(_, _, item)| (item.account_key(), item.event.update_id())).collect();
        let mut lines = Vec::new();
        for (key, seen) in &self.seen {
            let Some((channel, account)) = key.split_once('\n') else { continue };
            let handled: Vec<&String> =
                seen.order.iter().filter(|id| !are_waiting.contains(&(key.clone(), id.as_str()))).collect();
            let recent = &handled[handled.len().saturating_sub(SEEN_MAX)..];
            lines.push(json!({"seen": {"channel": channel, "account": account, "ids": recent}}));
        }
        lines.extend(waiting.iter().map(|(_, _, item)| json!({"got": item})));
        for place in self.places.values().filter(|place| place.together > 0) {
            let items = place.queue.iter().take(place.together).map(|(_, _, item)| item);
            let ids: Vec<&str> = items.clone().map(|item| item.event.update_id()).collect();
            if let Some(first) = place.queue.front().map(|(_, _, item)| item) {
                lines.push(json!({"together": {"channel": first.channel, "account": first.account, "ids": ids}}));
            }
        }
        self.journal.rewrite(&lines)
    }
}

/// The sink of one account.
pub struct AccountSink {
    /// Where it goes.
    pub received: Arc<Received>,
    /// Channel id.
    pub channel: String,
    /// Account id.
    pub account: String,
    /// The account's.
    pub cancel: CancelToken,
    /// Called when something new is there.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

impl Sink for AccountSink {
    fn accept(&self, events: Vec<Event>) -> Result<(), AcceptError> {
        if self.received.accept(&self.channel, &self.account, events, &self.cancel)? > 0 {
            (self.wake)();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;
    use crate::base::fs::testing::TempDir;
    use crate::channels::inbound::{Chat, Inbound};
    use std::path::Path;

    struct Plain;

    impl Pace for Plain {
        fn debounce_ms(&self, _: &Item, _: &Inbound) -> u64 {
            0
        }
    }

    fn open(path: &Path) -> Received {
        Received::open(path.to_owned(), Arc::new(ManualClock::new(1000))).expect("open")
    }

    fn event(id: &str, chat: &str) -> Event {
        let chat = Chat { id: chat.to_owned(), ..Chat::default() };
        Event::Message(Box::new(Inbound { update_id: id.to_owned(), chat, ..Inbound::default() }))
    }

    fn take(received: &Received) -> Option<Batch> {
        match received.next(&Plain) {
            Next::Handle(batch) => Some(batch),
            _ => None,
        }
    }

    fn ids(batch: &Batch) -> Vec<&str> {
        batch.items.iter().map(|item| item.event.update_id()).collect()
    }

    fn accept(received: &Received, events: &[(&str, &str)]) -> usize {
        let events = events.iter().map(|(id, chat)| event(id, chat)).collect();
        received.accept("telegram", "default", events, &CancelToken::new()).expect("accept")
    }

    #[test]
    fn chats_take_turns_and_keep_their_order() {
        let dir = TempDir::new("received");
        let received = open(&dir.path().join("received.jsonl"));
        assert_eq!(accept(&received, &[("1", "a"), ("2", "a"), ("3", "a"), ("4", "b"), ("4", "b")]), 4);
        assert_eq!(accept(&received, &[("2", "a")]), 0, "it waits already");
        let first = take(&received).expect("a");
        let second = take(&received).expect("b");
        assert!(take(&received).is_none(), "a is busy, so its second one waits");
        assert_eq!((ids(&first), ids(&second)), (vec!["1"], vec!["4"]));
        received.done(first);
        received.done(second);
        assert_eq!(ids(&take(&received).expect("a")), ["2"]);
        assert_eq!(accept(&received, &[("1", "a"), ("4", "b")]), 0, "handled already");
    }

    #[test]
    fn what_was_not_done_is_there_after_a_crash_and_what_was_is_not() {
        let dir = TempDir::new("received-crash");
        let path = dir.path().join("received.jsonl");
        let received = open(&path);
        accept(&received, &[("1", "a"), ("2", "a"), ("3", "b")]);
        received.done(take(&received).expect("1"));
        let _under_way = take(&received);
        for _ in 0..2 {
            let again = open(&path);
            assert_eq!(again.waiting(), 2);
            assert_eq!(accept(&again, &[("1", "a"), ("2", "a")]), 0);
            assert_eq!(ids(&take(&again).expect("2")), ["2"]);
        }
        let again = open(&path);
        let batch = take(&again).expect("2");
        again.postpone(&batch);
        assert_eq!(ids(&take(&again).expect("b")), ["3"]);
        assert!(matches!(again.next(&Plain), Next::Wait(until) if until > 1000), "a waits for its next try");
        again.close();
        assert_eq!(again.accept("t", "d", vec![event("9", "a")], &CancelToken::new()), Err(AcceptError::Stopped));
    }

    #[test]
    fn a_full_journal_makes_the_network_wait() {
        let dir = TempDir::new("received-full");
        let received = open(&dir.path().join("received.jsonl"));
        {
            let mut state = received.lock();
            for number in 0..WAITING_MAX {
                let item =
                    Item { channel: "t".into(), account: "d".into(), at: 0, event: event(&number.to_string(), "a") };
                state.take(Line::Got(Box::new(item)), 100);
            }
        }
        let cancel = CancelToken::new();
        let received = Arc::new(received);
        let (other, token) = (received.clone(), cancel.clone());
        let waiting = std::thread::spawn(move || other.accept("t", "d", vec![event("x", "b")], &token));
        received.done(take(&received).expect("first"));
        assert_eq!(waiting.join().expect("no panic"), Ok(1));
        cancel.cancel(crate::base::cancel::CancelReason::Shutdown);
        assert_eq!(received.accept("t", "d", vec![event("y", "b")], &cancel), Err(AcceptError::Stopped));
    }
}
