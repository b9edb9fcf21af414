//! Cancellation: a token passed down to everything that may block.
//!
//! A [`CancelToken`] carries a deadline and the reason it was cancelled for. Blocking calls of a job look at it at
//! least every [`SLICE`]; waiting code can also be woken at once through [`CancelToken::on_cancel`].

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
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

/// Takes its hook back when dropped.
pub struct Hooked {
    token: CancelToken,
    id: u64,
}

impl Drop for Hooked {
    fn drop(&mut self) {
        self.token.shared.unhook(self.id);
    }
}

#[derive(Default)]
struct State {
    reason: Option<CancelReason>,
    deadline: Option<Instant>,
    hooks: Vec<(u64, Hook)>,
    hooks_ever: u64,
}

/// A shared flag with a reason and an optional deadline. Cheap to clone; may be used from any thread.
#[derive(Clone, Default)]
pub struct CancelToken {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Wakes those who sleep when the token is cancelled.
    cancelled: Condvar,
    /// The token that this one ends with, and the hook there.
    outer: Option<(Weak<Self>, u64)>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns why somebody cancelled it.
    fn reason(&self) -> Option<CancelReason> {
        self.lock().reason
    }

    fn unhook(&self, id: u64) {
        let taken: Vec<_> = self.lock().hooks.extract_if(.., |(own, _)| *own == id).collect();
        // Outside the lock: what a hook owns may lock, too.
        drop(taken);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some((outer, id)) = self.outer.take()
            && let Some(outer) = outer.upgrade()
        {
            outer.unhook(id);
        }
    }
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

    /// Returns a token that ends with this one, and by itself after `limit`. Neither keeps the other, and one that is
    /// dropped leaves nothing behind.
    pub fn within(&self, limit: Duration) -> Self {
        let until = Instant::now() + limit;
        let until = self.deadline().map_or(until, |deadline| deadline.min(until));
        let outer = Arc::downgrade(&self.shared);
        let shared = Arc::new_cyclic(|inner: &Weak<Shared>| {
            let (inner, of) = (inner.clone(), outer.clone());
            let id = self.add(Box::new(move || {
                // Gone at once where the outer one has ended already; see below.
                let (Some(inner), Some(outer)) = (inner.upgrade(), of.upgrade()) else { return };
                Self { shared: inner }.cancel(outer.reason().unwrap_or(CancelReason::Aborted));
            }));
            let state = State { deadline: Some(until), ..State::default() };
            Shared { state: Mutex::new(state), cancelled: Condvar::new(), outer: Some((outer, id)) }
        });
        let inner = Self { shared };
        // It may have been cancelled before there was anything to tell.
        if let Some(reason) = self.shared.reason() {
            inner.cancel(reason);
        }
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
            self.shared.cancelled.notify_all();
            std::mem::take(&mut state.hooks)
        };
        for (_, hook) in hooks {
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
        self.add(Box::new(hook));
    }

    /// As [`CancelToken::on_cancel`], until the guard is dropped: for short work under a token that lives long.
    pub fn hook(&self, hook: impl FnOnce() + Send + 'static) -> Hooked {
        Hooked { token: self.clone(), id: self.add(Box::new(hook)) }
    }

    fn add(&self, hook: Hook) -> u64 {
        let mut state = self.lock();
        state.hooks_ever += 1;
        let id = state.hooks_ever;
        if state.reason.is_some() {
            drop(state);
            hook();
        } else {
            state.hooks.push((id, hook));
        }
        id
    }

    /// Waits; returns false as soon as the token is cancelled or its deadline passes.
    pub fn sleep(&self, duration: Duration) -> bool {
        self.wait_until(Some(Instant::now() + duration));
        !self.is_cancelled()
    }

    /// Waits until the token is cancelled or its deadline passes.
    pub fn wait(&self) {
        self.wait_until(None);
    }

    /// Waits for the first of a time, the token's end and its deadline as it is now.
    fn wait_until(&self, until: Option<Instant>) {
        let mut state = self.lock();
        let until = until.into_iter().chain(state.deadline).min();
        let cancelled = &self.shared.cancelled;
        // Leaves nothing behind: who retries for months sleeps on one token.
        while state.reason.is_none() {
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return,
                Some(left) => cancelled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => cancelled.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Returns how many hooks are left in it.
    #[cfg(test)]
    pub fn hooks_len(&self) -> usize {
        self.lock().hooks.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
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
        let (gone, _inner) = (Arc::downgrade(&outer.shared), inner);
        drop(outer);
        assert!(gone.upgrade().is_none());
    }

    #[test]
    fn inner_tokens_leave_nothing_behind_in_one_that_lives_long() {
        let outer = CancelToken::new();
        drop(outer.within(Duration::from_secs(3600)));
        assert_eq!(outer.hooks_len(), 0);
        outer.cancel(CancelReason::Shutdown);
        assert_eq!(outer.within(Duration::from_secs(3600)).reason(), Some(CancelReason::Shutdown));
    }

    #[test]
    fn a_hook_goes_with_its_guard() {
        let token = CancelToken::new();
        let (sender, receiver) = crossbeam_channel::bounded(2);
        let second = sender.clone();
        drop(token.hook(move || sender.send(1).expect("room")));
        let kept = token.hook(move || second.send(2).expect("room"));
        token.cancel(CancelReason::Aborted);
        drop(kept);
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [2]);
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
