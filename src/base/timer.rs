//! The timer: one thread, one heap of `(Instant, M)`, delivered through one function.
//!
//! Owns the heap behind one lock that is released before a message is delivered. Thread `timer` sleeps on a condition
//! variable until the earliest entry; arming an earlier one wakes it. Not here: what is due (`gateway::work`).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::thread::{self, Joiner};

/// Names one armed entry, to disarm it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId(u64);

struct Item<M> {
    at: Instant,
    serial: u64,
    message: M,
}

impl<M> PartialEq for Item<M> {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}
impl<M> Eq for Item<M> {}
impl<M> PartialOrd for Item<M> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<M> Ord for Item<M> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

struct State<M> {
    heap: BinaryHeap<Reverse<Item<M>>>,
    disarmed: HashSet<u64>,
    next_serial: u64,
    stopped: bool,
}

struct Shared<M> {
    state: Mutex<State<M>>,
    changed: Condvar,
}

/// Arms and disarms entries; cheap to clone, from any thread.
pub struct TimerHandle<M> {
    shared: Arc<Shared<M>>,
}

impl<M> Clone for TimerHandle<M> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<M> TimerHandle<M> {
    /// Delivers `message` after `delay`.
    pub fn arm(&self, delay: Duration, message: M) -> TimerId {
        let at = Instant::now() + delay;
        let mut state = lock(&self.shared);
        let serial = state.next_serial;
        state.next_serial += 1;
        let is_earliest = state.heap.peek().is_none_or(|Reverse(first)| at < first.at);
        state.heap.push(Reverse(Item { at, serial, message }));
        drop(state);
        if is_earliest {
            self.shared.changed.notify_one();
        }
        TimerId(serial)
    }

    /// Takes an entry back; does nothing when it was delivered already.
    pub fn disarm(&self, id: TimerId) {
        let mut state = lock(&self.shared);
        if state.heap.iter().any(|Reverse(item)| item.serial == id.0) {
            state.disarmed.insert(id.0);
        }
    }
}

/// The running timer; dropping it stops the thread and forgets what is armed.
pub struct Timer<M> {
    handle: TimerHandle<M>,
    joiner: Option<Joiner>,
}

impl<M: Send + 'static> Timer<M> {
    /// Starts the thread; `deliver` runs on it and may block only on a bounded queue that is always drained.
    ///
    /// # Errors
    /// The system's error when no thread can be had.
    pub fn start(deliver: impl Fn(M) + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                heap: BinaryHeap::new(),
                disarmed: HashSet::new(),
                next_serial: 0,
                stopped: false,
            }),
            changed: Condvar::new(),
        });
        let handle = TimerHandle { shared: shared.clone() };
        let joiner = thread::spawn("timer", thread::STACK_SMALL_BYTES, move || run(&shared, &deliver))?;
        Ok(Self { handle, joiner: Some(joiner) })
    }

    /// Returns a handle for arming.
    pub fn handle(&self) -> TimerHandle<M> {
        self.handle.clone()
    }
}

impl<M> Drop for Timer<M> {
    fn drop(&mut self) {
        lock(&self.handle.shared).stopped = true;
        self.handle.shared.changed.notify_one();
        drop(self.joiner.take());
    }
}

fn run<M>(shared: &Shared<M>, deliver: &impl Fn(M)) {
    let mut state = lock(shared);
    while !state.stopped {
        let now = Instant::now();
        match state.heap.peek().map(|Reverse(first)| first.at) {
            Some(at) if at <= now => {
                let Reverse(item) = state.heap.pop().expect("peeked");
                if !state.disarmed.remove(&item.serial) {
                    drop(state);
                    deliver(item.message);
                    state = lock(shared);
                }
            }
            Some(at) => {
                state = shared.changed.wait_timeout(state, at - now).unwrap_or_else(PoisonError::into_inner).0;
            }
            None => state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

fn lock<M>(shared: &Shared<M>) -> std::sync::MutexGuard<'_, State<M>> {
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delivers_in_order_of_time_and_not_what_was_disarmed() {
        let (sender, receiver) = crossbeam_channel::bounded(8);
        let timer = Timer::start(move |message| sender.send(message).expect("receiver lives")).expect("timer");
        let handle = timer.handle();
        handle.arm(Duration::from_millis(30), "late");
        let gone = handle.arm(Duration::from_millis(20), "gone");
        handle.arm(Duration::from_millis(1), "early");
        handle.disarm(gone);
        let wait = Duration::from_secs(10);
        assert_eq!(receiver.recv_timeout(wait), Ok("early"));
        assert_eq!(receiver.recv_timeout(wait), Ok("late"));
    }
}
