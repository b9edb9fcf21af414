//! The job workers: threads that exist only while lanes have work.
//!
//! Owns the [`Lanes`] behind one lock and the threads `job-N`. A worker that finds nothing to do for a few seconds ends: a
//! thread costs microseconds to start, and some ten KiB of stack and heap as long as it lives. A job's panic is caught; whatever the job was to answer is answered by dropping its ticket.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::lanes::{LaneFull, LaneName, Lanes};
use crate::base::thread::{self, Joiner};

/// How long a worker waits for the next job before it ends.
const IDLE_MAX: Duration = Duration::from_secs(5);

type Work = Box<dyn FnOnce() + Send>;

struct State {
    lanes: Lanes<Work>,
    workers: Vec<Joiner>,
    idle: usize,
    live: usize,
    /// Workers that are in a job; the others take what is ready, as soon as they have started or woken.
    busy: usize,
    next_worker: u64,
    is_closed: bool,
}

/// Submits jobs; cheap to clone, from any thread.
#[derive(Clone)]
pub struct Jobs {
    shared: Arc<Shared>,
    idle_max: Duration,
}

struct Shared {
    state: Mutex<State>,
    /// Idle workers wait here.
    work: Condvar,
    /// Whoever waits for the workers' end waits here: waking the idle ones for each end would keep them.
    ended: Condvar,
}

/// Why a job was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum SubmitError {
    /// Too many wait in this lane; trying again later helps.
    LaneFull(LaneName),
    /// The gateway is stopping.
    Closed,
    /// The system gives no thread.
    NoThread(String),
}

impl std::fmt::Display for SubmitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LaneFull(lane) => write!(f, "too many requests wait in lane {lane}; try again later"),
            Self::Closed => f.write_str("gateway is stopping"),
            Self::NoThread(error) => write!(f, "no thread for the job: {error}"),
        }
    }
}

impl Jobs {
    /// Returns the workers' front with these lane widths; no thread is started yet.
    pub fn new(caps: impl IntoIterator<Item = (LaneName, usize)>) -> Self {
        let state = State {
            lanes: Lanes::new(caps),
            workers: Vec::new(),
            idle: 0,
            live: 0,
            busy: 0,
            next_worker: 0,
            is_closed: false,
        };
        Self {
            shared: Arc::new(Shared { state: Mutex::new(state), work: Condvar::new(), ended: Condvar::new() }),
            idle_max: IDLE_MAX,
        }
    }

    /// Runs `work` once it holds a slot in every lane of `path`, which it passes in order.
    ///
    /// # Errors
    /// See [`SubmitError`]; the job is dropped.
    pub fn submit(&self, path: Vec<LaneName>, work: impl FnOnce() + Send + 'static) -> Result<(), SubmitError> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(SubmitError::Closed);
        }
        state.lanes.push(path, Box::new(work)).map_err(|LaneFull(lane)| SubmitError::LaneFull(lane))?;
        self.wake_workers(&mut state)
    }

    /// Returns whether whoever can wait outside `lane` should; see [`Jobs::park`].
    pub fn is_crowded(&self, lane: &str) -> bool {
        self.lock().lanes.is_crowded(lane)
    }

    /// Has a worker call what `later` makes once `lane` has room, if it is crowded; returns whether it was. What still waits
    /// when the gateway stops is dropped.
    pub fn park<F: FnOnce() + Send + 'static>(&self, lane: &str, later: impl FnOnce() -> F) -> bool {
        self.lock().lanes.park(lane, || Box::new(later()))
    }

    /// Changes the width of a lane.
    pub fn set_cap(&self, lane: &str, cap: usize) {
        let mut state = self.lock();
        state.lanes.set_cap(lane, cap);
        if let Err(error) = self.wake_workers(&mut state) {
            log::error!(target: "gateway", "{error}");
        }
    }

    /// Returns how many jobs wait in or hold a slot of `lane`.
    pub fn depth(&self, lane: &str) -> usize {
        self.lock().lanes.depth(lane)
    }

    /// Returns the lanes that have jobs, with how many run and wait; those of sessions count as one.
    pub fn census(&self) -> Vec<(LaneName, usize, usize)> {
        self.lock().lanes.census()
    }

    /// Gives back what ended workers hold; returns whether the others, if there are any, all wait for their end.
    pub fn reap(&self) -> bool {
        let mut state = self.lock();
        state.workers.retain(|worker| !worker.is_finished());
        state.live > 0 && state.idle == state.live
    }

    /// Refuses new jobs and drops those that have not begun; running ones go on.
    pub fn close(&self) {
        let dropped = {
            let mut state = self.lock();
            state.is_closed = true;
            state.lanes.drain()
        };
        self.shared.work.notify_all();
        // Outside the lock: dropping a job answers its ticket.
        drop(dropped);
    }

    /// Waits until every worker has ended, or gives up after `within`; returns whether all ended. Call after `close`.
    pub fn join(&self, within: Duration) -> bool {
        let deadline = std::time::Instant::now() + within;
        let mut state = self.lock();
        while state.live > 0 {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                for worker in state.workers.drain(..) {
                    // It hangs in a foreign call; its stores are closed, so it can only end.
                    worker.detach();
                }
                return false;
            }
            state = self.shared.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let workers = std::mem::take(&mut state.workers);
        drop(state);
        drop(workers);
        true
    }

    fn wake_workers(&self, state: &mut State) -> Result<(), SubmitError> {
        let ready = state.lanes.ready();
        if ready == 0 {
            return Ok(());
        }
        if state.idle > 0 {
            self.shared.work.notify_one();
        }
        if ready <= state.live - state.busy {
            return Ok(());
        }
        let jobs = self.clone();
        let name = format!("job-{}", state.next_worker);
        state.next_worker += 1;
        let worker = thread::spawn(&name, thread::STACK_WORKER_BYTES, move || jobs.work())
            .map_err(|error| SubmitError::NoThread(error.to_string()))?;
        state.workers.retain(|worker| !worker.is_finished());
        state.workers.push(worker);
        state.live += 1;
        Ok(())
    }

    /// The body of a worker.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some((id, work)) = state.lanes.next_ready() {
                state.busy += 1;
                // More may be ready than workers were woken for.
                if let Err(error) = self.wake_workers(&mut state) {
                    log::warn!(target: "gateway", "{error}");
                }
                drop(state);
                if catch_unwind(AssertUnwindSafe(work)).is_err() {
                    log::error!(target: "gateway", "a job panicked; its request was answered as unavailable");
                }
                state = self.lock();
                state.lanes.done(id);
                while let Some(parked) = state.lanes.unpark() {
                    drop(state);
                    if catch_unwind(AssertUnwindSafe(parked)).is_err() {
                        log::error!(target: "gateway", "frames that had waited for their lane panicked");
                    }
                    state = self.lock();
                }
                state.busy -= 1;
                continue;
            }
            if state.is_closed {
                break;
            }
            state.idle += 1;
            let (back, timeout) =
                self.shared.work.wait_timeout(state, self.idle_max).unwrap_or_else(PoisonError::into_inner);
            state = back;
            state.idle -= 1;
            if timeout.timed_out() && state.lanes.ready() == 0 {
                break;
            }
        }
        state.live -= 1;
        drop(state);
        self.shared.ended.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;

    const WAIT: Duration = Duration::from_secs(10);

    #[test]
    fn jobs_of_one_lane_run_in_order_and_a_panic_costs_one_job() {
        let jobs = Jobs::new([]);
        let (sender, receiver) = bounded(8);
        for index in 0..4 {
            let sender = sender.clone();
            jobs.submit(vec!["x".into()], move || {
                assert_ne!(index, 1, "this one panics on purpose");
                sender.send(index).expect("receiver lives");
            })
            .expect("room");
        }
        let seen: Vec<i32> = (0..3).map(|_| receiver.recv_timeout(WAIT).expect("job")).collect();
        assert_eq!(seen, [0, 2, 3]);
        jobs.close();
        assert!(jobs.join(WAIT));
        assert_eq!(jobs.submit(vec!["x".into()], || ()), Err(SubmitError::Closed));
    }

    /// Idle workers end together, not one after the other.
    #[test]
    fn idle_workers_end() {
        const WORKERS: usize = 64;
        let mut jobs = Jobs::new([]);
        jobs.idle_max = Duration::from_millis(100);
        let barrier = Arc::new(std::sync::Barrier::new(WORKERS));
        for index in 0..WORKERS {
            let barrier = barrier.clone();
            jobs.submit(vec![format!("x{index}")], move || {
                barrier.wait();
            })
            .expect("room");
        }
        let began = std::time::Instant::now();
        let state = jobs.lock();
        let (state, timeout) =
            jobs.shared.ended.wait_timeout_while(state, WAIT, |state| state.live > 0).expect("no panic");
        assert!(!timeout.timed_out() && began.elapsed() < Duration::from_secs(5), "{} still live", state.live);
        drop(state);
        assert!(!jobs.reap());
    }

    /// A worker that has just ended its job takes the next: no lane ever has more workers than it has slots.
    #[test]
    fn short_jobs_make_no_crowd_of_workers() {
        let jobs = Jobs::new([("x".to_owned(), 2)]);
        let (sender, receiver) = bounded(1000);
        for _ in 0..200 {
            for _ in 0..5 {
                let sender = sender.clone();
                jobs.submit(vec!["x".into()], move || sender.send(()).expect("receiver lives")).expect("room");
            }
            for _ in 0..5 {
                receiver.recv_timeout(WAIT).expect("job");
            }
        }
        assert!(jobs.lock().live <= 2, "{} workers", jobs.lock().live);
        jobs.close();
    }

    #[test]
    fn jobs_of_different_lanes_run_together() {
        let jobs = Jobs::new([("main".to_owned(), 4)]);
        let barrier = Arc::new(std::sync::Barrier::new(4));
        let (sender, receiver) = bounded(4);
        for index in 0..4 {
            let (barrier, sender) = (barrier.clone(), sender.clone());
            jobs.submit(vec![format!("session:{index}"), "main".into()], move || {
                barrier.wait();
                sender.send(index).expect("receiver lives");
            })
            .expect("room");
        }
        let mut seen: Vec<i32> = (0..4).map(|_| receiver.recv_timeout(WAIT).expect("all four meet")).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3]);
        jobs.close();
    }
}
