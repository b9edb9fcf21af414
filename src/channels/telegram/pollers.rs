//! Who polls with which token: at most one in this process (complaint 5: a bot that fights itself).
//!
//! A new start of the same account ends the old poll first and waits until it has; another account with the same token is
//! refused, because two would take each other's messages. One leaf lock. Not here: the poll.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::base::cancel::{CancelReason, CancelToken};
use crate::base::secret::Secret;

/// How long an old poll may take to end: its sockets are shut down, so it takes milliseconds.
const END_WAIT: Duration = Duration::from_secs(20);

/// See the module.
pub struct Pollers {
    held: Mutex<Vec<Held>>,
    ended: Condvar,
}

struct Held {
    token: Secret,
    account: String,
    stop: CancelToken,
    id: Arc<()>,
}

/// The right to poll, until it is dropped.
pub struct Lease<'a> {
    pollers: &'a Pollers,
    id: Arc<()>,
    stop: CancelToken,
}

impl Lease<'_> {
    /// Returns the token that ends with this right.
    pub fn stop(&self) -> &CancelToken {
        &self.stop
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.pollers.lock().retain(|held| !Arc::ptr_eq(&held.id, &self.id));
        self.pollers.ended.notify_all();
    }
}

/// Why nobody else may poll.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// This account uses the same token.
    By(String),
    /// The old poll does not end.
    Stuck,
}

impl Pollers {
    /// Nobody polls.
    pub const fn new() -> Self {
        Self { held: Mutex::new(Vec::new()), ended: Condvar::new() }
    }

    /// Takes the right to poll with a token for an account; `stop` is what ends that poll.
    ///
    /// # Errors
    /// See [`Taken`].
    pub fn claim(&self, token: &Secret, account: &str, stop: CancelToken) -> Result<Lease<'_>, Taken> {
        let until = Instant::now() + END_WAIT;
        let mut held = self.lock();
        while let Some(other) = held.iter().find(|held| held.token == *token) {
            if other.account != account {
                return Err(Taken::By(other.account.clone()));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Taken::Stuck);
            }
            let old = other.stop.clone();
            drop(held);
            old.cancel(CancelReason::Aborted);
            held = self.lock();
            if held.iter().any(|held| held.token == *token) {
                held = self.ended.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        let id = Arc::new(());
        held.push(Held { token: token.clone(), account: account.to_owned(), stop: stop.clone(), id: id.clone() });
        Ok(Lease { pollers: self, id, stop })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_start_ends_the_old_poll_first() {
        static POLLERS: Pollers = Pollers::new();
        let token = Secret::new("1:a");
        let Ok(lease) = POLLERS.claim(&token, "default", CancelToken::new()) else { panic!("it is free") };
        assert_eq!(POLLERS.claim(&token, "work", CancelToken::new()).err(), Some(Taken::By("default".into())));
        assert!(POLLERS.claim(&Secret::new("2:b"), "work", CancelToken::new()).is_ok());
        let (sender, ended) = crossbeam_channel::bounded(2);
        let old = std::thread::spawn(move || {
            // What a poll does: it waits until it is told to stop, and then lets go.
            lease.stop().wait();
            sender.send("old").expect("room");
            drop(lease);
        });
        let Ok(lease) = POLLERS.claim(&token, "default", CancelToken::new()) else { panic!("it is taken over") };
        assert_eq!(ended.try_recv(), Ok("old"), "the old one had ended");
        assert!(!lease.stop().is_cancelled());
        old.join().expect("no panic");
    }
}
