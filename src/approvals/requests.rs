//! Commands that wait for a person.
//!
//! Owns who waits for which answer, by the request's id. Whoever takes a request out (a decision, the timer, the end of
//! its connection, a stop) answers it, so each is answered once. Runs on any thread, behind one leaf lock. Not here: the
//! events, and the timer.

use std::fmt;
use std::time::Instant;

use super::policy::Decision;
use crate::base::ids::ConnId;
use crate::base::pending::{Pending, PendingId, Refused};

/// Most commands that wait at a time.
pub const REQUESTS_MAX: usize = 1000;

/// How a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// Somebody decided.
    Decided(Decision),
    /// Nobody did in time.
    TimedOut,
    /// It did not even wait.
    Refused(AskError),
}

/// Hears how a request ends; dropped unheard at a stop.
pub type Answer = Box<dyn FnOnce(Answered) + Send>;

/// Why a request was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskError {
    /// One of this id waits.
    IdTaken,
    /// Too many wait, or the gateway is stopping.
    Full,
}

struct Waiting {
    origin: Option<ConnId>,
    answer: Answer,
}

/// See the module.
pub struct Requests {
    waiting: Pending<String, Waiting>,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Requests")
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self { waiting: Pending::new(REQUESTS_MAX) }
    }
}

impl Requests {
    /// Has a request wait; `origin` is the connection that asks, if any. A refused one hears so at once.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn ask(
        &self,
        id: &str,
        deadline: Instant,
        origin: Option<ConnId>,
        answer: Answer,
    ) -> Result<PendingId<String>, AskError> {
        let (error, waiting) = match self.waiting.insert_only(id.to_owned(), deadline, Waiting { origin, answer }) {
            Ok(id) => return Ok(id),
            Err(Refused::Taken(waiting)) => (AskError::IdTaken, waiting),
            Err(Refused::Full(waiting)) => (AskError::Full, waiting),
        };
        (waiting.answer)(Answered::Refused(error));
        Err(error)
    }

    /// Takes a request out for its decision.
    pub fn decide(&self, id: &str) -> Option<Answer> {
        self.waiting.take(&id.to_owned()).pop().map(|waiting| waiting.answer)
    }

    /// Takes a request out whose time is up; `None` when it was decided.
    pub fn expire(&self, id: &PendingId<String>) -> Option<Answer> {
        self.waiting.take_one(id).map(|waiting| waiting.answer)
    }

    /// Drops the requests of a connection that is gone and returns their ids.
    pub fn abandon(&self, origin: ConnId) -> Vec<String> {
        let taken = self.waiting.take_where(|waiting| waiting.origin == Some(origin));
        taken.into_iter().map(|(id, _)| id).collect()
    }

    /// Drops every request and refuses what comes later.
    pub fn close(&self) {
        drop(self.waiting.close());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn each_request_hears_one_answer() {
        let requests = Requests::default();
        let heard: Arc<Mutex<Vec<(u32, Answered)>>> = Arc::default();
        let listener = |number: u32| -> Answer {
            let heard = heard.clone();
            Box::new(move |answered| heard.lock().expect("lock").push((number, answered)))
        };
        let at = Instant::now();
        let first = requests.ask("a", at, None, listener(1)).expect("taken");
        assert_eq!(requests.ask("a", at, None, listener(2)), Err(AskError::IdTaken));
        requests.decide("a").expect("waits")(Answered::Decided(Decision::AllowOnce));
        assert!(requests.decide("a").is_none() && requests.expire(&first).is_none());
        let again = requests.ask("a", at, Some(ConnId(7)), listener(3)).expect("taken");
        assert!(requests.expire(&first).is_none(), "the first one's timer");
        requests.expire(&again).expect("waits")(Answered::TimedOut);
        requests.ask("b", at, Some(ConnId(7)), listener(4)).expect("taken");
        requests.ask("c", at, Some(ConnId(8)), listener(5)).expect("taken");
        assert_eq!(requests.abandon(ConnId(7)), ["b"]);
        requests.close();
        assert!(requests.decide("c").is_none());
        assert_eq!(requests.ask("d", at, None, listener(6)), Err(AskError::Full));
        let expected = [
            (2, Answered::Refused(AskError::IdTaken)),
            (1, Answered::Decided(Decision::AllowOnce)),
            (3, Answered::TimedOut),
            (6, Answered::Refused(AskError::Full)),
        ];
        assert_eq!(*heard.lock().expect("lock"), expected);
    }
}
