//! The frame workers: a fixed number of threads that take items from one bounded queue.
//!
//! Each item runs under `catch_unwind`: a panic costs that item, never the worker. Threads `frame-N`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::base::thread::{self, Joiner};

/// Items that may wait for a worker.
pub const WORK_QUEUE_LEN_MAX: usize = 256;

/// The pool. Dropping it waits until the queue is empty and every worker has ended; all senders must be gone by then.
pub struct Pool {
    workers: Vec<Joiner>,
}

/// Returns the two ends of the work queue.
///
/// Senders: the loop (`try_send`; keeps the item when full), timer and channels (block when full). Receivers: workers.
pub fn work_queue<W>() -> (Sender<W>, Receiver<W>) {
    bounded(WORK_QUEUE_LEN_MAX)
}

impl Pool {
    /// Starts `count` workers that run `handle` for each item; `taken` is called right after an item left the queue.
    ///
    /// # Errors
    /// The system's error when no thread can be had.
    pub fn start<W: Send + 'static>(
        count: usize,
        queue: &Receiver<W>,
        taken: impl Fn() + Send + Sync + 'static,
        handle: impl Fn(W) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new((taken, handle));
        let mut workers = Vec::with_capacity(count);
        for index in 0..count {
            let (queue, shared) = (queue.clone(), shared.clone());
            workers.push(thread::spawn(&format!("frame-{index}"), thread::STACK_WORKER_BYTES, move || {
                for item in queue.iter() {
                    (shared.0)();
                    if catch_unwind(AssertUnwindSafe(|| (shared.1)(item))).is_err() {
                        log::error!(target: "gateway", "a frame worker caught a panic; the item was dropped");
                    }
                }
            })?);
        }
        Ok(Self { workers })
    }

    /// Waits for every worker; all senders of the queue must have been dropped.
    pub fn join(self) {
        drop(self.workers);
    }
}

/// Returns how many frame workers this machine gets: one per core, at least 2.
pub fn worker_count() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(2, 16)
}
