//! Commands under way for agents: in the foreground of a run, or with a life of their own (agent.md §21).
//!
//! Owns the running commands and, for a while, the finished ones that may still be asked about. Each has a thread
//! `exec` that starts it, reads its output and waits for its end; commands that wait for a person's approval have
//! one too. All of them end with the gateway. Not here: whether a command may run (`approvals`), the tools (`tools`).

mod kept;
mod process;
mod terminal;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::bounded;

pub use process::{Finished, OUTPUT_BYTES_MAX, Process, Progress, Spec};

use crate::base::cancel::{CancelReason, CancelToken};
use crate::base::clock::{Clock, UnixMs};
use crate::base::ids::AgentId;
use crate::base::rng::Rng;
use crate::base::thread::{self, Joiner};

/// Most threads of commands at a time: running ones, and ones that wait for approval.
const THREADS_MAX: usize = 64;
/// Finished commands that are kept; the oldest goes.
const FINISHED_MAX: usize = 50;

/// Halves of a command's name, which is easy to say and to type.
const FIRST: [&str; 24] = [
    "amber", "brisk", "calm", "clear", "cool", "crisp", "dawn", "deep", "faint", "fresh", "glow", "keen", "kind",
    "lucky", "mellow", "mild", "neat", "quick", "quiet", "rapid", "tidal", "tidy", "vivid", "warm",
];
const SECOND: [&str; 24] = [
    "atlas", "bloom", "breeze", "brook", "cedar", "cloud", "comet", "coral", "cove", "crest", "dune", "ember", "fjord",
    "forest", "glade", "harbor", "lagoon", "meadow", "otter", "pine", "reef", "river", "summit", "willow",
];

/// See the module.
#[derive(Default)]
pub struct Processes {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    processes: Vec<Arc<Process>>,
    threads: Vec<Joiner>,
    /// Stops whatever a thread waits for beside its process.
    stop: CancelToken,
    is_closed: bool,
}

/// Hears of the end of a command that was put into the background, on that command's thread.
pub type OnEnd = Box<dyn FnOnce(&Process, &Finished) + Send>;

impl Processes {
    /// Starts a command; `on_end` is called only if it is in the background by then.
    ///
    /// # Errors
    /// Why it was not started.
    pub fn start(
        &self,
        spec: Spec,
        clock: &Arc<dyn Clock>,
        rng: &dyn Rng,
        on_end: OnEnd,
    ) -> Result<Arc<Process>, String> {
        let process = {
            let mut state = self.lock();
            state.sweep(clock.now_ms());
            let process = Arc::new(Process::new(state.free_name(rng), spec, clock.now_ms()));
            state.processes.push(process.clone());
            process
        };
        let (sender, receiver) = bounded(1);
        let (own, own_clock) = (process.clone(), clock.clone());
        let result = self
            .thread(move |_| own.carry_out(&*own_clock, on_end, &sender))
            // A thread that died without a word dropped the sender.
            .and_then(|()| receiver.recv().unwrap_or_else(|_| Err("the command's thread failed".to_owned())));
        if let Err(error) = result {
            self.remove(&process);
            return Err(error);
        }
        Ok(process)
    }

    /// Runs `body` on a thread of its own; its token ends with the gateway.
    ///
    /// # Errors
    /// When there are too many, or the gateway is stopping.
    pub fn thread(&self, body: impl FnOnce(&CancelToken) + Send + 'static) -> Result<(), String> {
        let mut state = self.lock();
        if state.is_closed {
            return Err("the gateway is stopping".to_owned());
        }
        state.threads.retain(|thread| !thread.is_finished());
        if state.threads.len() >= THREADS_MAX {
            return Err(format!(
                "{THREADS_MAX} commands are under way; end some of them first (process list, process kill)"
            ));
        }
        let stop = state.stop.clone();
        let thread = thread::spawn("exec", thread::STACK_WORKER_BYTES, move || body(&stop))
            .map_err(|error| format!("cannot start a thread for the command: {error}"))?;
        state.threads.push(thread);
        Ok(())
    }

    /// Returns an agent's commands in the background, running and finished, the newest first.
    pub fn list(&self, agent: &AgentId, now_ms: UnixMs) -> Vec<Arc<Process>> {
        let mut state = self.lock();
        state.sweep(now_ms);
        let own = state.processes.iter().rev().filter(|process| process.agent() == agent && process.is_backgrounded());
        own.cloned().collect()
    }

    /// Returns a command of an agent by its name.
    pub fn find(&self, agent: &AgentId, id: &str, now_ms: UnixMs) -> Option<Arc<Process>> {
        let mut state = self.lock();
        state.sweep(now_ms);
        state.processes.iter().find(|process| process.agent() == agent && process.id() == id).cloned()
    }

    /// Forgets a command; it is not stopped by that.
    pub fn remove(&self, process: &Arc<Process>) {
        self.lock().processes.retain(|other| !Arc::ptr_eq(other, process));
    }

    /// Forgets what has been finished for long enough. Called every minute.
    pub fn sweep(&self, now_ms: UnixMs) {
        self.lock().sweep(now_ms);
    }

    /// Ends every command and waits until the last is gone; none starts afterwards.
    pub fn close(&self) {
        let (threads, processes) = {
            let mut state = self.lock();
            state.is_closed = true;
            state.stop.cancel(CancelReason::Shutdown);
            (std::mem::take(&mut state.threads), std::mem::take(&mut state.processes))
        };
        for process in &processes {
            process.stop();
        }
        // Joins, outside the lock.
        drop(threads);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn sweep(&mut self, now_ms: UnixMs) {
        self.processes.retain(|process| !process.is_stale(now_ms));
        let finished = self.processes.iter().filter(|process| process.has_ended()).count();
        for _ in FINISHED_MAX..finished {
            if let Some(at) = self.processes.iter().position(|process| process.has_ended()) {
                self.processes.remove(at);
            }
        }
    }

    fn free_name(&self, rng: &dyn Rng) -> String {
        let mut byte = [0_u8; 2];
        for _ in 0..8 {
            rng.fill(&mut byte);
            let [first, second] = byte.map(usize::from);
            let name = format!("{}-{}", FIRST[first % FIRST.len()], SECOND[second % SECOND.len()]);
            if self.processes.iter().all(|process| process.id() != name) {
                return name;
            }
        }
        format!("command-{}", crate::base::rng::hex_token(rng, 6))
    }
}
