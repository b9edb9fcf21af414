//! Deliveries on their way out: written down before anybody counts on them, done at most once more than said.
//!
//! A network is not asked twice for the same delivery unless it is known that the first time did nothing, or the channel
//! can tell a repeat by its id. So each attempt is noted before it begins, and one whose end nobody saw is *interrupted*:
//! whoever asked, or the chat, is told. A delivery may take several messages (*parts*); each is noted by itself. Within a
//! chat the order is kept; chats take turns. Owns one journal. Any thread, one leaf lock, which [`Outbox::put`] holds across
//! the disk. Not here: who makes the attempts (`gateway::deliveries`).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::clock::UnixMs;
use crate::base::fs::Durability;
use crate::base::journal::Journal;
use crate::base::order;

/// Deliveries that may wait at a time.
pub const WAITING_MAX: usize = 1000;
/// The journal is rewritten when it is longer, unless most of it is still of interest.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How long and how many of the results are kept for those who ask again.
const DONE_TTL_MS: UnixMs = 5 * 60_000;
const DONE_MAX: usize = 1000;

/// A delivery that waits or is under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Names it: the idempotency key of whoever asked, so that the same wish is one delivery.
    pub id: String,
    /// By which channel.
    pub channel: String,
    /// From which account.
    pub account: String,
    /// To whom.
    pub to: String,
    /// Thread or topic there.
    #[serde(default)]
    pub thread: Option<String>,
    /// What, before the channel has its say: a reply or a poll.
    pub content: Value,
    /// Whether it goes out after a restart by itself. Else whoever asked was told nothing and asks again.
    pub is_promised: bool,
    /// When it was asked for.
    pub asked_at: UnixMs,
    /// Attempts that failed for sure.
    #[serde(default)]
    pub failures: u32,
    /// Not before.
    #[serde(default)]
    pub due_at: UnixMs,
    /// Whether an attempt began whose end is unknown.
    #[serde(default)]
    pub is_interrupted: bool,
    /// The messages it takes, as the channel wrote them; empty before the first attempt.
    #[serde(default)]
    pub parts: Vec<Value>,
    /// How many of them are out.
    #[serde(default)]
    pub parts_done: usize,
}

impl Delivery {
    /// Returns a new one, which nobody has tried yet.
    pub fn new(id: String, channel: &str, account: &str, to: &str, content: Value, asked_at: UnixMs) -> Self {
        Self {
            id,
            channel: channel.to_owned(),
            account: account.to_owned(),
            to: to.to_owned(),
            thread: None,
            content,
            is_promised: false,
            asked_at,
            failures: 0,
            due_at: 0,
            is_interrupted: false,
            parts: Vec::new(),
            parts_done: 0,
        }
    }

    fn is_of(&self, channel: &str, account: &str) -> bool {
        self.channel == channel && self.account == account
    }
}

/// What is to be sent now.
#[derive(Debug)]
pub enum Next {
    /// This one; nobody else gets one of the same chat before [`Outbox::fail`] or [`Outbox::finish`].
    Send(Box<Delivery>),
    /// Nothing before then.
    Wait(UnixMs),
    /// Nothing.
    Idle,
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// Which.
    pub id: String,
    /// When.
    pub at: UnixMs,
    /// What the network said, or what went wrong.
    pub result: Result<Value, String>,
}

/// Why a delivery is not taken.
#[derive(Debug)]
pub enum PutError {
    /// It waits, or is under way, already.
    Known,
    /// It ended already.
    Done(Done),
    /// [`WAITING_MAX`] others wait.
    Full,
    /// It cannot be written down.
    Disk(io::Error),
}

impl std::fmt::Display for PutError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known => f.write_str("this delivery is under way already"),
            Self::Done(_) => f.write_str("this delivery has ended already"),
            Self::Full => write!(f, "{WAITING_MAX} deliveries wait already; try again later"),
            Self::Disk(error) => write!(f, "the delivery could not be written down: {error}"),
        }
    }
}

/// See the module.
pub struct Outbox {
    state: Mutex<State>,
}

struct State {
    journal: Journal,
    waiting: HashMap<String, (u64, Delivery)>,
    done: VecDeque<Done>,
    next_order: u64,
    /// Chats in which something is being sent, as channel, account, chat.
    busy: HashMap<Place, String>,
    /// When each chat with something waiting had its last turn.
    turns: HashMap<Place, u64>,
    next_turn: u64,
    is_closed: bool,
}

type Place = (String, String, String);

fn place_of(delivery: &Delivery) -> Place {
    (delivery.channel.clone(), delivery.account.clone(), delivery.to.clone())
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Put(Box<Delivery>),
    Parts { id: String, parts: Vec<Value>, done: usize },
    Begun { id: String },
    PartDone { id: String },
    Failed { id: String, due_at: UnixMs },
    Done(Done),
}

impl Outbox {
    /// Opens the journal and keeps of it what is still of interest.
    ///
    /// # Errors
    /// Any I/O error but "not found".
    pub fn open(path: PathBuf, now_ms: UnixMs) -> io::Result<Self> {
        let mut lines = Vec::new();
        let journal = Journal::open(path, &mut |line| lines.push(line))?;
        let mut state = State {
            journal,
            waiting: HashMap::new(),
            done: VecDeque::new(),
            next_order: 0,
            busy: HashMap::new(),
            turns: HashMap::new(),
            next_turn: 0,
            is_closed: false,
        };
        let is_empty = lines.is_empty();
        for line in lines {
            match serde_json::from_value(line) {
                Ok(line) => state.take(line),
                Err(error) => {
                    log::error!(target: "gateway/channels", "a delivery cannot be read and is left out: {error}")
                }
            }
        }
        state.waiting.retain(|_, (_, delivery)| delivery.is_promised || delivery.is_interrupted);
        state.forget(now_ms);
        if !is_empty {
            state.rewrite()?;
        }
        Ok(Self { state: Mutex::new(state) })
    }

    /// Writes a delivery down; it is on the disk when this returns.
    ///
    /// # Errors
    /// See [`PutError`].
    pub fn put(&self, delivery: Delivery) -> Result<(), PutError> {
        let mut state = self.lock();
        if state.waiting.contains_key(&delivery.id) {
            return Err(PutError::Known);
        }
        if let Some(done) = state.done.iter().find(|done| done.id == delivery.id) {
            return Err(PutError::Done(done.clone()));
        }
        if state.waiting.len() >= WAITING_MAX {
            return Err(PutError::Full);
        }
        if state.is_closed {
            return Err(PutError::Disk(io::Error::other("the gateway is stopping")));
        }
        let line = Line::Put(Box::new(delivery));
        let text = serde_json::to_value(&line).map_err(|error| PutError::Disk(error.into()))?;
        state.journal.append(&[text], Durability::Power).map_err(PutError::Disk)?;
        state.take(line);
        Ok(())
    }

    /// Returns what an account is to send next: the oldest of the chat that has waited longest for its turn.
    pub fn next(&self, channel: &str, account: &str, now_ms: UnixMs) -> Next {
        let mut state = self.lock();
        let state = &mut *state;
        let mut fronts: HashMap<&str, (u64, &Delivery)> = HashMap::new();
        for (order, delivery) in state.waiting.values().filter(|(_, delivery)| delivery.is_of(channel, account)) {
            let front = fronts.entry(&delivery.to).or_insert((*order, delivery));
            if *order < front.0 {
                *front = (*order, delivery);
            }
        }
        let mut soonest: Option<UnixMs> = None;
        let mut chosen: Option<((u64, u64), &Delivery)> = None;
        for (order, delivery) in fronts.into_values() {
            let place = place_of(delivery);
            if state.busy.contains_key(&place) {
                continue;
            }
            if delivery.due_at > now_ms {
                soonest = Some(soonest.map_or(delivery.due_at, |soonest| soonest.min(delivery.due_at)));
                continue;
            }
            let rank = (state.turns.get(&place).copied().unwrap_or(0), order);
            if chosen.is_none_or(|(best, _)| rank < best) {
                chosen = Some((rank, delivery));
            }
        }
        let Some((_, delivery)) = chosen else { return soonest.map_or(Next::Idle, Next::Wait) };
        let (delivery, place) = (delivery.clone(), place_of(delivery));
        state.next_turn += 1;
        state.turns.insert(place.clone(), state.next_turn);
        state.busy.insert(place, delivery.id.clone());
        Next::Send(Box::new(delivery))
    }

    /// Returns the accounts for which something waits, as channel and account.
    pub fn accounts(&self) -> Vec<(String, String)> {
        let state = self.lock();
        let mut accounts: Vec<(String, String)> =
            state.in_order().map(|delivery| (delivery.channel.clone(), delivery.account.clone())).collect();
        accounts.sort();
        accounts.dedup();
        accounts
    }

    /// Notes which messages a delivery takes, and how many of them count as out. Returns whether that was written.
    pub fn set_parts(&self, id: &str, parts: Vec<Value>, done: usize) -> bool {
        let mut state = self.lock();
        state.waiting.contains_key(id) && state.note(Line::Parts { id: id.to_owned(), parts, done })
    }

    /// Notes that one more message of a delivery is out.
    pub fn part_done(&self, id: &str) {
        self.lock().note(Line::PartDone { id: id.to_owned() });
    }

    /// Lets the chat of a delivery have its next turn without any change.
    pub fn let_go(&self, delivery: &Delivery) {
        self.lock().free(&place_of(delivery), &delivery.id);
    }

    /// Returns how many deliveries of an account wait or are under way.
    pub fn depth(&self, channel: &str, account: &str) -> usize {
        self.lock().waiting.values().filter(|(_, delivery)| delivery.is_of(channel, account)).count()
    }

    /// Notes that an attempt begins; `false`, and it must not, when the delivery is unknown, ended, or that cannot be
    /// written down.
    pub fn begin(&self, id: &str) -> bool {
        let mut state = self.lock();
        state.waiting.contains_key(id) && state.note(Line::Begun { id: id.to_owned() })
    }

    /// Notes that an attempt did nothing, for sure; the next one is due then.
    pub fn fail(&self, id: &str, due_at: UnixMs) {
        self.lock().note(Line::Failed { id: id.to_owned(), due_at });
    }

    /// Notes how a delivery ended.
    pub fn finish(&self, id: &str, result: Result<Value, String>, now_ms: UnixMs) {
        let mut state = self.lock();
        state.note(Line::Done(Done { id: id.to_owned(), at: now_ms, result }));
        state.forget(now_ms);
        if state.journal.is_long(BYTES_MAX)
            && let Err(error) = state.rewrite()
        {
            log::warn!(target: "gateway/channels", "cannot shorten the journal of deliveries: {error}");
        }
    }

    /// Returns the deliveries whose ids begin like this, waiting ones and recent ones.
    pub fn ids_of(&self, prefix: &str) -> Vec<String> {
        let state = self.lock();
        let known = state.waiting.keys().chain(state.done.iter().map(|done| &done.id));
        known.filter(|id| id.starts_with(prefix)).cloned().collect()
    }

    /// Returns what waits, in the order in which it was asked for: what was promised before a restart, what is to be
    /// tried again, what was interrupted.
    pub fn waiting(&self) -> Vec<Delivery> {
        self.lock().in_order().cloned().collect()
    }

    /// Returns the recent results, oldest first.
    pub fn recent(&self) -> Vec<Done> {
        self.lock().done.iter().cloned().collect()
    }

    /// Refuses to write from now on, so that an attempt that outlives its gateway cannot write behind the next one's back.
    pub fn close(&self) {
        self.lock().is_closed = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Appends a line that the death of the process does not undo, and takes it; returns whether it was written.
    fn note(&mut self, line: Line) -> bool {
        if self.is_closed {
            return false;
        }
        let written = serde_json::to_value(&line)
            .map_err(io::Error::from)
            .and_then(|text| self.journal.append(&[text], Durability::Process));
        if let Err(error) = &written {
            log::warn!(target: "gateway/channels", "cannot write the journal of deliveries: {error}");
        }
        self.take(line);
        written.is_ok()
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Put(delivery) => {
                self.waiting.insert(delivery.id.clone(), (self.next_order, *delivery));
                self.next_order += 1;
            }
            Line::Begun { id } => {
                if let Some((_, delivery)) = self.waiting.get_mut(&id) {
                    delivery.is_interrupted = true;
                }
            }
            Line::Failed { id, due_at } => {
                if let Some((_, delivery)) = self.waiting.get_mut(&id) {
                    delivery.is_interrupted = false;
                    delivery.failures += 1;
                    delivery.due_at = due_at;
                    let place = place_of(delivery);
                    self.free(&place, &id);
                }
            }
            Line::Parts { id, parts, done } => {
                if let Some((_, delivery)) = self.waiting.get_mut(&id) {
                    (delivery.parts, delivery.parts_done) = (parts, done);
                    delivery.is_interrupted = false;
                }
            }
            Line::PartDone { id } => {
                if let Some((_, delivery)) = self.waiting.get_mut(&id) {
                    delivery.is_interrupted = false;
                    delivery.parts_done += 1;
                    delivery.failures = 0;
                }
            }
            Line::Done(done) => {
                if let Some((_, delivery)) = self.waiting.remove(&done.id) {
                    let place = place_of(&delivery);
                    self.free(&place, &delivery.id);
                    if !self.waiting.values().any(|(_, it)| place_of(it) == place) {
                        self.turns.remove(&place);
                    }
                }
                self.done.push_back(done);
            }
        }
    }

    /// Lets a chat's next delivery have its turn, unless it has it already.
    fn free(&mut self, place: &Place, id: &str) {
        if self.busy.get(place).is_some_and(|its| its == id) {
            self.busy.remove(place);
        }
    }

    /// Forgets the oldest results.
    fn forget(&mut self, now_ms: UnixMs) {
        let is_over = |done: &Done| now_ms.saturating_sub(done.at) > DONE_TTL_MS;
        while self.done.len() > DONE_MAX || self.done.front().is_some_and(is_over) {
            self.done.pop_front();
        }
    }

    /// Returns what waits, in the order in which it was asked for.
    fn in_order(&self) -> impl Iterator<Item = &Delivery> {
        let mut waiting: Vec<&(u64, Delivery)> = self.waiting.values().collect();
        order::by_key(&mut waiting, |(order, _)| *order);
        waiting.into_iter().map(|(_, delivery)| delivery)
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let mut lines: Vec<Value> = self.in_order().map(|delivery| json!({"put": delivery})).collect();
        lines.extend(self.done.iter().map(|done| json!({"done": done})));
        if lines.is_empty() { self.journal.clear() } else { self.journal.rewrite(&lines) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use std::path::Path;

    fn delivery(id: &str, is_promised: bool) -> Delivery {
        let new = Delivery::new(id.into(), "telegram", "default", "1", json!({"text": "hello"}), 5);
        Delivery { is_promised, ..new }
    }

    fn open(path: &Path) -> Outbox {
        Outbox::open(path.to_owned(), 100).expect("open")
    }

    /// Shows each delivery that waits as `id failures interrupted`.
    fn shown(outbox: &Outbox) -> Vec<String> {
        outbox.waiting().iter().map(|it| format!("{} {} {}", it.id, it.failures, it.is_interrupted)).collect()
    }

    #[test]
    fn what_was_promised_or_interrupted_is_there_after_a_crash() {
        let dir = TempDir::new("outbox");
        let path = dir.path().join("outbox.jsonl");
        let outbox = open(&path);
        for (id, is_promised) in [("promised", true), ("not", false), ("sent", true), ("cut", false), ("again", true)] {
            outbox.put(delivery(id, is_promised)).expect("put");
        }
        assert!(matches!(outbox.put(delivery("not", false)), Err(PutError::Known)));
        assert!(outbox.begin("sent") && outbox.begin("cut") && outbox.begin("again") && !outbox.begin("unknown"));
        outbox.finish("sent", Ok(json!({"messageId": "7"})), 90);
        outbox.fail("again", 200);
        assert!(!outbox.begin("sent"), "it is out");
        for _ in 0..2 {
            let outbox = open(&path);
            assert_eq!(shown(&outbox), ["promised 0 false", "cut 0 true", "again 1 false"]);
            assert_eq!(outbox.waiting()[2].due_at, 200);
            let Err(PutError::Done(done)) = outbox.put(delivery("sent", true)) else { panic!("it went out before") };
            assert_eq!(done.result, Ok(json!({"messageId": "7"})));
        }
        let outbox = open(&path);
        for delivery in outbox.waiting() {
            outbox.finish(&delivery.id, Err("given up".into()), 101);
        }
        outbox.close();
        assert!(matches!(outbox.put(delivery("late", true)), Err(PutError::Disk(_))));
        assert!(shown(&open(&path)).is_empty());
        let later = Outbox::open(path.clone(), 102 + DONE_TTL_MS).expect("open");
        assert!(later.recent().is_empty() && !path.exists());
    }

    #[test]
    fn at_any_byte_of_the_journal_nothing_is_out_twice() {
        let dir = TempDir::new("outbox-torn");
        let path = dir.path().join("outbox.jsonl");
        let outbox = open(&path);
        outbox.put(delivery("a", true)).expect("put");
        outbox.begin("a");
        outbox.finish("a", Ok(json!({})), 90);
        let whole = std::fs::read(&path).expect("read");
        for count in 0..=whole.len() {
            std::fs::write(&path, &whole[..count]).expect("write");
            let outbox = open(&path);
            // Before the attempt was noted it was not made; after that it is not made again unasked.
            let may_go = outbox.waiting().iter().any(|it| !it.is_interrupted);
            let has_begun = whole[..count].windows(7).any(|window| window == b"\"begun\"")
                && whole[..count].iter().filter(|b| **b == b'\n').count() >= 2;
            assert!(!(may_go && has_begun), "{count}");
        }
    }

    #[test]
    fn a_worker_that_is_late_does_not_give_away_the_next_ones_turn() {
        let dir = TempDir::new("outbox-late");
        let outbox = open(&dir.path().join("outbox.jsonl"));
        let next = || match outbox.next("telegram", "default", 100) {
            Next::Send(delivery) => Some(delivery),
            _ => None,
        };
        outbox.put(delivery("a", true)).expect("put");
        let first = next().expect("a");
        outbox.finish("a", Ok(json!({})), 100);
        outbox.put(delivery("b", true)).expect("put");
        assert_eq!(next().expect("b").id, "b");
        // Whoever sent the first lets go only now; the second is under way and must not go out twice.
        outbox.let_go(&first);
        assert!(next().is_none());
    }

    #[test]
    fn chats_take_turns_and_keep_their_order() {
        let dir = TempDir::new("outbox-turns");
        let outbox = open(&dir.path().join("outbox.jsonl"));
        for (id, to) in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")] {
            outbox.put(Delivery { to: to.into(), ..delivery(id, true) }).expect("put");
        }
        let next = |now_ms| match outbox.next("telegram", "default", now_ms) {
            Next::Send(delivery) => delivery.id.clone(),
            other => format!("{other:?}"),
        };
        assert_eq!((next(0), next(0), next(0)), ("a1".into(), "b1".into(), "Idle".into()));
        outbox.fail("a1", 50);
        assert_eq!(next(0), "Wait(50)", "the others of its chat wait behind it");
        assert_eq!(next(50), "a1");
        outbox.finish("a1", Ok(json!({})), 60);
        outbox.finish("b1", Ok(json!({})), 60);
        outbox.put(Delivery { to: "b".into(), ..delivery("b2", true) }).expect("put");
        assert_eq!((next(60), next(60)), ("b2".into(), "a2".into()), "b has not had a turn for longest");
        assert_eq!(outbox.accounts(), [("telegram".to_owned(), "default".to_owned())]);
        assert!(matches!(outbox.next("telegram", "other", 60), Next::Idle));
    }

    #[test]
    fn parts_that_are_out_stay_out() {
        let dir = TempDir::new("outbox-parts");
        let path = dir.path().join("outbox.jsonl");
        let outbox = open(&path);
        outbox.put(delivery("a", true)).expect("put");
        assert!(outbox.set_parts("a", vec![json!(1), json!(2), json!(3)], 0) && outbox.begin("a"));
        outbox.part_done("a");
        let state = |outbox: &Outbox| {
            let it = outbox.waiting().remove(0);
            (it.parts.len(), it.parts_done, it.is_interrupted)
        };
        assert_eq!(state(&open(&path)), (3, 1, false));
        let outbox = open(&path);
        outbox.begin("a");
        assert_eq!(state(&open(&path)), (3, 1, true));
    }

    #[test]
    fn it_is_bounded() {
        let dir = TempDir::new("outbox-full");
        let outbox = open(&dir.path().join("outbox.jsonl"));
        {
            // Straight into memory: a thousand syncs prove nothing.
            let mut state = outbox.lock();
            (0..WAITING_MAX).for_each(|number| state.take(Line::Put(Box::new(delivery(&number.to_string(), true)))));
        }
        assert!(matches!(outbox.put(delivery("more", true)), Err(PutError::Full)));
        (0..DONE_MAX + 5).for_each(|number| outbox.finish(&number.to_string(), Ok(json!({})), 100));
        assert_eq!(outbox.recent().len(), DONE_MAX);
    }
}
