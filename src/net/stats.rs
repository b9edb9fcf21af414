//! What a loop counts; whoever holds its handle may look.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::meter::Counter;

/// See the module.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections accepted.
    pub accepted: Counter,
    /// Clients admitted.
    pub admitted: Counter,
    /// Clients closed because they did not read.
    pub slow: Counter,
    /// Connections open, as of the last turn.
    pub(super) open: AtomicUsize,
    /// Of these, admitted clients.
    pub(super) clients: AtomicUsize,
    /// Items of work that did not fit into their queue, as of the last turn.
    pub(super) backlog: AtomicUsize,
}

impl Stats {
    /// Returns how many connections are open, how many of these are clients, and how much work waits for the queue.
    pub fn now(&self) -> (usize, usize, usize) {
        let read = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        (read(&self.open), read(&self.clients), read(&self.backlog))
    }
}
