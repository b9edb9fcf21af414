//! Cancellation: a token passed down to everything that may block.
//!
//! A [`CancelToken`] carries a deadline and the reason it was cancelled for. Blocking calls of a job look at it at
//! least every [`SLICE`]; waiting code can also be woken at once through [`CancelToken::on_cancel`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest a job may block without looking at its token.
pub const SLICE: Duration = Duration::from_millis(200);

/// Why a token was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// Somebody asked for it (`chat.abort`, `/stop`).
    Aborted,
    /// The token's deadline passed.
    TimedOut,
    /// The gateway is stopping or restarting.
    Shutdown,
}

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    reason: Option<CancelReason>,
    deadline: Option<Instant>,
    hooks: Vec<Hook>,
}

/// A shared flag with a reason and an optional deadline. Cheap to clone; may be used from any thread.
#[derive(Clone, Default)]
pub struct CancelToken {
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CancelToken({:?})", self.reason())
    }
}

impl CancelToken {
    /// Returns a token that only [`CancelToken::cancel`] ends.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the instant after which the token counts as [`CancelReason::TimedOut`].
    pub fn set_deadline(&self, deadline: Instant) {
        self.lock().deadline = Some(deadline);
    }

    /// Returns the deadline, if one was set.
    pub fn deadline(&self) -> Option<Instant> {
        self.lock().deadline
    }

    /// Gives a token more time, also after its deadline has passed; false when somebody has cancelled it.
    pub fn extend(&self, deadline: Instant) -> bool {
        let mut state = self.lock();
        let may_go_on = matches!(state.reason, None | Some(CancelReason::TimedOut));
        if may_go_on {
            state.reason = None;
            state.deadline = Some(deadline);
        }
        may_go_on
    }

    /// Returns a token that ends with this one, and by itself after `limit`.
    pub fn within(&self, limit: Duration) -> Self {
        let inner = Self::new();
        let until = Instant::now() + limit;
        inner.set_deadline(self.deadline().map_or(until, |deadline| deadline.min(until)));
        // Weak: a token that held itself would never go.
        let (outer, ended) = (Arc::downgrade(&self.state), inner.clone());
        self.on_cancel(move || {
            let reason = outer.upgrade().and_then(|state| state.lock().unwrap_or_else(PoisonError::into_inner).reason);
            ended.cancel(reason.unwrap_or(CancelReason::Aborted));
        });
        inner
    }

    /// Cancels; the first reason stays. Hooks run on the caller's thread, outside the lock.
    pub fn cancel(&self, reason: CancelReason) {
        let hooks = {
            let mut state = self.lock();
            if state.reason.is_some() {
                return;
            }
            state.reason = Some(reason);
            std::mem::take(&mut state.hooks)
        };
        for hook in hooks {
            hook();
        }
    }

    /// Returns why the token is cancelled, or `None` while work may go on.
    pub fn reason(&self) -> Option<CancelReason> {
        let mut state = self.lock();
        if state.reason.is_none() && state.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            state.reason = Some(CancelReason::TimedOut);
        }
        state.reason
    }

    /// Returns whether work must stop.
    pub fn is_cancelled(&self) -> bool {
        self.reason().is_some()
    }

    /// Runs `hook` when the token is cancelled by a call (not by its deadline); at once if it already is.
    pub fn on_cancel(&self, hook: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.reason.is_some() {
            drop(state);
            hook();
        } else {
            state.hooks.push(Box::new(hook));
        }
    }

    /// Waits; returns false as soon as the token is cancelled or its deadline passes.
    pub fn sleep(&self, duration: Duration) -> bool {
        let (sender, receiver) = crossbeam_channel::bounded::<()>(1);
        self.on_cancel(move || drop(sender));
        let left = self
            .deadline()
            .map_or(duration, |deadline| duration.min(deadline.saturating_duration_since(Instant::now())));
        // Nothing is ever sent: the channel closes when the token is cancelled.
        let _ = receiver.recv_timeout(left);
        !self.is_cancelled()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_reason_wins_and_hooks_run_once() {
        let token = CancelToken::new();
        let (sender, receiver) = crossbeam_channel::bounded(4);
        let second = sender.clone();
        token.on_cancel(move || sender.send(1).expect("room"));
        token.cancel(CancelReason::Aborted);
        token.cancel(CancelReason::Shutdown);
        token.on_cancel(move || second.send(2).expect("room"));
        assert_eq!(token.reason(), Some(CancelReason::Aborted));
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_cancelled_sleep_ends_early() {
        let token = CancelToken::new();
        assert!(token.sleep(Duration::from_millis(1)));
        let other = token.clone();
        let sleeper = std::thread::spawn(move || other.sleep(Duration::from_secs(3600)));
        token.cancel(CancelReason::Aborted);
        assert!(!sleeper.join().expect("no panic"));
    }

    #[test]
    fn an_inner_token_ends_with_the_outer_one_and_keeps_neither() {
        let outer = CancelToken::new();
        let inner = outer.within(Duration::from_secs(3600));
        let early = outer.within(Duration::ZERO);
        assert_eq!((early.reason(), inner.reason(), outer.reason()), (Some(CancelReason::TimedOut), None, None));
        outer.cancel(CancelReason::Shutdown);
        assert_eq!(inner.reason(), Some(CancelReason::Shutdown));
        let (gone, _inner) = (Arc::downgrade(&outer.state), inner);
        drop(outer);
        assert!(gone.upgrade().is_none());
    }

    #[test]
    fn a_passed_deadline_is_a_timeout() {
        let token = CancelToken::new();
        token.set_deadline(Instant::now());
        assert_eq!(token.reason(), Some(CancelReason::TimedOut));
        assert!(token.extend(Instant::now() + Duration::from_secs(3600)));
        assert_eq!(token.reason(), None);
        token.cancel(CancelReason::Aborted);
        assert!(!token.extend(Instant::now() + Duration::from_secs(3600)));
    }
}
