//! Named threads that are joined.
//!
//! Owns the one way to start a thread: [`spawn`]. Whoever spawns holds the [`Joiner`], and dropping it joins, so no
//! thread outlives its owner unnoticed. Not here: pools (`work`) and what the threads do.

use std::thread::JoinHandle;

/// Stack of loops, timers, watchers and channels, in bytes; only touched pages cost memory.
pub const STACK_SMALL_BYTES: usize = 256 * 1024;
/// Stack of workers and jobs, in bytes: JSON of the deepest accepted nesting and provider calls fit well.
pub const STACK_WORKER_BYTES: usize = 1024 * 1024;

/// The longest thread name Linux shows.
const NAME_BYTES_MAX: usize = 15;

/// Joins its thread when dropped.
#[derive(Debug)]
pub struct Joiner {
    handle: Option<JoinHandle<()>>,
    name: String,
}

impl Joiner {
    /// Waits for the thread; returns false when it panicked.
    pub fn join(mut self) -> bool {
        self.join_inner()
    }

    /// Lets the thread go on alone. Only for threads that may hang in a foreign call at process exit.
    pub fn detach(mut self) {
        self.handle = None;
    }

    /// Returns whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn join_inner(&mut self) -> bool {
        match self.handle.take() {
            Some(handle) => {
                let ok = handle.join().is_ok();
                if !ok {
                    log::error!(target: "gateway", "thread {} panicked", self.name);
                }
                ok
            }
            None => true,
        }
    }
}

impl Drop for Joiner {
    fn drop(&mut self) {
        self.join_inner();
    }
}

/// Starts `body` on a thread called `name` (at most 15 bytes, as the system shows it) with the given stack.
///
/// # Errors
/// The system's error when no thread can be had.
pub fn spawn(name: &str, stack_bytes: usize, body: impl FnOnce() + Send + 'static) -> std::io::Result<Joiner> {
    debug_assert!(name.len() <= NAME_BYTES_MAX, "thread name {name:?} is cut by Linux");
    let handle = std::thread::Builder::new().name(name.to_owned()).stack_size(stack_bytes).spawn(body)?;
    Ok(Joiner { handle: Some(handle), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_a_joiner_waits_for_the_thread() {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let joiner = spawn("t", STACK_SMALL_BYTES, move || sender.send(7).expect("receiver lives")).expect("spawn");
        drop(joiner);
        assert_eq!(receiver.try_recv(), Ok(7));
    }
}
