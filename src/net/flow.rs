//! The answer to one HTTP request on its way from a job to the loop: how much of it is still unwritten, and whether
//! anybody still waits for it.
//!
//! Shared by the loop, which reports, and the one job that answers, which waits for room. One leaf lock, held for a few
//! instructions; the loop never waits for it longer than that. Not here: bytes.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

type Hook = Box<dyn FnOnce() + Send>;

/// See the module.
#[derive(Default)]
pub struct Flow {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    /// Bytes handed to the loop.
    sent: u64,
    /// Of these, bytes that the kernel has taken.
    written: u64,
    is_gone: bool,
    /// The client has shut its side; it may still read.
    has_ended: bool,
    hook: Option<Hook>,
}

impl std::fmt::Debug for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.lock();
        write!(f, "Flow({}/{}, gone: {})", state.written, state.sent, state.is_gone)
    }
}

impl Flow {
    /// Counts `bytes` as sent once no more than `unwritten_max` wait before them; false when nobody waits for them, or
    /// nothing moved for `patience`.
    pub fn reserve(&self, bytes: usize, unwritten_max: usize, patience: Duration) -> bool {
        let mut state = self.lock();
        loop {
            if state.is_gone {
                return false;
            }
            if state.sent - state.written <= unwritten_max as u64 {
                state.sent += bytes as u64;
                return true;
            }
            let before = state.written;
            let (back, timeout) = self.moved.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
            state = back;
            if timeout.timed_out() && state.written == before {
                return false;
            }
        }
    }

    /// Calls `hook`, on a frame worker, when the client goes away before its answer is complete; at once if it has.
    /// From now on a client that shuts its side counts as gone.
    pub fn on_gone(&self, hook: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.has_ended {
            state.is_gone = true;
        }
        if state.is_gone {
            drop(state);
            hook();
        } else {
            state.hook = Some(Box::new(hook));
        }
    }

    /// Calls the hook, if there is one. For a frame worker.
    pub fn hang_up(&self) {
        let hook = self.lock().hook.take();
        if let Some(hook) = hook {
            hook();
        }
    }

    /// The loop has written so much since `before` was pushed; `unwritten` is what its outbox still holds.
    pub(super) fn note_unwritten(&self, unwritten: usize, pushed: u64) {
        let written = pushed.saturating_sub(unwritten as u64);
        let mut state = self.lock();
        if written > state.written {
            state.written = written;
            self.moved.notify_all();
        }
    }

    /// The client has shut its side; returns whether it counts as gone and somebody must be told.
    pub(super) fn note_ended(&self) -> bool {
        let has_hook = {
            let mut state = self.lock();
            state.has_ended = true;
            state.hook.is_some()
        };
        has_hook && self.note_gone()
    }

    /// The client is gone; returns whether somebody must be told.
    pub(super) fn note_gone(&self) -> bool {
        let mut state = self.lock();
        let is_news = !std::mem::replace(&mut state.is_gone, true);
        self.moved.notify_all();
        is_news && state.hook.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const SOON: Duration = Duration::from_millis(20);
    const LATE: Duration = Duration::from_secs(20);

    #[test]
    fn a_full_flow_waits_for_the_reader() {
        let flow = Arc::new(Flow::default());
        assert!(flow.reserve(10, 4, SOON), "an empty one takes a part of any size");
        assert!(!flow.reserve(1, 4, SOON), "and no more until something is written");
        let waiter = flow.clone();
        let waiting = std::thread::spawn(move || waiter.reserve(1, 4, LATE));
        flow.note_unwritten(4, 10);
        assert!(waiting.join().expect("no panic"));
    }

    #[test]
    fn who_goes_away_is_noticed_by_both() {
        let flow = Arc::new(Flow::default());
        assert!(flow.reserve(10, 0, SOON));
        let (sender, receiver) = crossbeam_channel::bounded(1);
        flow.on_gone(move || sender.send(()).expect("room"));
        let waiter = flow.clone();
        let waiting = std::thread::spawn(move || waiter.reserve(1, 4, LATE));
        assert!(flow.note_gone() && !flow.note_gone());
        assert!(!waiting.join().expect("no panic"));
        assert!(receiver.try_recv().is_err(), "the loop calls nobody");
        flow.hang_up();
        assert_eq!(receiver.try_recv(), Ok(()));
    }
}
