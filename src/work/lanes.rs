//! Lanes: which job may run now. Sans-IO; [`super::jobs`] owns the threads.
//!
//! A job passes through a list of lanes in order and holds a slot in each it has entered until it is done: first its
//! session's lane (cap 1, so one run per session), then a global one. A lane is first in, first out.
//!
//! A lane in which many wait is *crowded*: whoever can wait without being refused (a client whose frames then stay in its
//! socket) parks what it was about to do, and is called again, in order, when half of them are through.

use std::collections::{HashMap, VecDeque};

/// Jobs that may wait in one lane, some KiB each; beyond it a push is refused. Five hundred HTTP streams fit.
pub const LANE_WAITING_MAX: usize = 1024;
/// Jobs that wait in a crowded lane; the room above is for those who cannot wait outside.
const CROWDED_AT: usize = 128;
/// Jobs that may still wait when parked ones are called again: enough to keep the workers busy meanwhile.
const ROOM_AT: usize = 64;

/// A lane's name: `session:<key>`, `main`, `side` …
pub type LaneName = String;

/// The scheduler. `J` is the job; it is handed out when it holds a slot in all of its lanes.
#[derive(Debug)]
pub struct Lanes<J> {
    lanes: HashMap<LaneName, Lane<J>>,
    caps: HashMap<LaneName, usize>,
    jobs: HashMap<u64, Job<J>>,
    ready: VecDeque<u64>,
    next_id: u64,
    /// How much is parked in all lanes.
    parked: usize,
}

#[derive(Debug)]
struct Lane<J> {
    running: usize,
    waiting: VecDeque<u64>,
    /// What is to be called when there is room; bounded by who parks: a connection parks once.
    parked: VecDeque<J>,
}

impl<J> Default for Lane<J> {
    fn default() -> Self {
        Self { running: 0, waiting: VecDeque::new(), parked: VecDeque::new() }
    }
}

impl<J> Lane<J> {
    fn is_over(&self) -> bool {
        self.running == 0 && self.waiting.is_empty() && self.parked.is_empty()
    }
}

#[derive(Debug)]
struct Job<J> {
    payload: Option<J>,
    path: Vec<LaneName>,
    /// Lanes of the path in which it holds a slot.
    entered: usize,
}

/// A refused push: the lane is full.
#[derive(Debug, PartialEq, Eq)]
pub struct LaneFull(pub LaneName);

impl<J> Lanes<J> {
    /// Returns a scheduler; lanes that `caps` does not name take one job at a time.
    pub fn new(caps: impl IntoIterator<Item = (LaneName, usize)>) -> Self {
        Self {
            lanes: HashMap::new(),
            caps: caps.into_iter().collect(),
            jobs: HashMap::new(),
            ready: VecDeque::new(),
            next_id: 0,
            parked: 0,
        }
    }

    /// Changes the width of a lane; running jobs are not touched.
    pub fn set_cap(&mut self, lane: &str, cap: usize) {
        self.caps.insert(lane.to_owned(), cap.max(1));
        self.admit(lane);
    }

    /// Adds a job that must pass `path`.
    ///
    /// # Errors
    /// [`LaneFull`] when too many wait in one of the lanes; the job is dropped.
    pub fn push(&mut self, path: Vec<LaneName>, payload: J) -> Result<u64, LaneFull> {
        debug_assert!(!path.is_empty(), "a job needs a lane");
        for name in &path {
            if self.lanes.get(name).is_some_and(|lane| lane.waiting.len() >= LANE_WAITING_MAX) {
                return Err(LaneFull(name.clone()));
            }
        }
        let id = self.next_id;
        self.next_id += 1;
        let first = path[0].clone();
        self.jobs.insert(id, Job { payload: Some(payload), path, entered: 0 });
        self.lanes.entry(first.clone()).or_default().waiting.push_back(id);
        self.admit(&first);
        self.check_invariants();
        Ok(id)
    }

    /// Returns the lanes that have jobs, with how many run and wait; those of sessions count as one.
    pub fn census(&self) -> Vec<(LaneName, usize, usize)> {
        let mut census: std::collections::BTreeMap<&str, (usize, usize)> = Default::default();
        for (name, lane) in &self.lanes {
            let name = name.split(':').next().unwrap_or(name);
            let counts = census.entry(name).or_default();
            *counts = (counts.0 + lane.running, counts.1 + lane.waiting.len() + lane.parked.len());
        }
        census.into_iter().map(|(name, (running, waiting))| (name.to_owned(), running, waiting)).collect()
    }

    /// Returns whether whoever can wait should.
    pub fn is_crowded(&self, lane: &str) -> bool {
        self.lanes.get(lane).is_some_and(|lane| lane.waiting.len() >= CROWDED_AT)
    }

    /// Keeps what `payload` makes until `lane` has room, if it is crowded; returns whether it was.
    pub fn park(&mut self, lane: &str, payload: impl FnOnce() -> J) -> bool {
        let Some(lane) = self.lanes.get_mut(lane).filter(|lane| lane.waiting.len() >= CROWDED_AT) else { return false };
        lane.parked.push_back(payload());
        self.parked += 1;
        true
    }

    /// Takes what was parked longest in a lane that has room now. Call it after each [`Lanes::done`], and again after what
    /// it gave was called, until there is no more: a lane without jobs would call nobody.
    pub fn unpark(&mut self) -> Option<J> {
        if self.parked == 0 {
            return None;
        }
        let (name, lane) =
            self.lanes.iter_mut().find(|(_, lane)| !lane.parked.is_empty() && lane.waiting.len() <= ROOM_AT)?;
        let payload = lane.parked.pop_front();
        self.parked -= 1;
        if lane.is_over() {
            let name = name.clone();
            self.lanes.remove(&name);
        }
        payload
    }

    /// Takes the next job that may run, with its id for [`Lanes::done`].
    pub fn next_ready(&mut self) -> Option<(u64, J)> {
        let id = self.ready.pop_front()?;
        let payload = self.jobs.get_mut(&id).and_then(|job| job.payload.take()).expect("a ready job has its payload");
        Some((id, payload))
    }

    /// Returns how many jobs may run.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Gives the slots of a finished job back.
    pub fn done(&mut self, id: u64) {
        let Some(job) = self.jobs.remove(&id) else { return };
        for name in &job.path[..job.entered] {
            if let Some(lane) = self.lanes.get_mut(name) {
                lane.running -= 1;
            }
        }
        for name in &job.path {
            self.admit(name);
        }
        self.check_invariants();
    }

    /// Takes every job that has not started out, and everything parked, for dropping at stop.
    pub fn drain(&mut self) -> Vec<J> {
        let waiting: Vec<u64> = self.jobs.iter().filter(|(_, job)| job.payload.is_some()).map(|(&id, _)| id).collect();
        let mut drained = Vec::with_capacity(waiting.len());
        for lane in self.lanes.values_mut() {
            lane.waiting.clear();
            drained.extend(lane.parked.drain(..));
        }
        self.parked = 0;
        self.ready.clear();
        for id in waiting {
            if let Some(job) = self.jobs.get_mut(&id) {
                drained.extend(job.payload.take());
            }
            self.done(id);
        }
        drained
    }

    /// Returns how many jobs wait in or hold a slot of `lane`.
    pub fn depth(&self, lane: &str) -> usize {
        self.lanes.get(lane).map_or(0, |lane| lane.running + lane.waiting.len())
    }

    /// Lets waiting jobs into `name` while it has room, and on into the lanes behind it.
    fn admit(&mut self, name: &str) {
        let mut pending = vec![name.to_owned()];
        while let Some(name) = pending.pop() {
            let cap = self.caps.get(&name).copied().unwrap_or(1);
            let Some(lane) = self.lanes.get_mut(&name) else { continue };
            let mut moved = Vec::new();
            while lane.running < cap {
                let Some(id) = lane.waiting.pop_front() else { break };
                lane.running += 1;
                let job = self.jobs.get_mut(&id).expect("a waiting job is known");
                job.entered += 1;
                match job.path.get(job.entered) {
                    Some(next) => moved.push((id, next.clone())),
                    None => self.ready.push_back(id),
                }
            }
            for (id, next) in moved {
                self.lanes.entry(next.clone()).or_default().waiting.push_back(id);
                pending.push(next);
            }
            if self.lanes.get(&name).is_some_and(Lane::is_over) {
                self.lanes.remove(&name);
            }
        }
    }

    fn check_invariants(&self) {
        if cfg!(debug_assertions) {
            for (name, lane) in &self.lanes {
                let holding = self.jobs.values().filter(|job| job.path[..job.entered].contains(name)).count();
                debug_assert_eq!(lane.running, holding, "slots of lane {name}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::SeededRng;

    fn path(names: &[&str]) -> Vec<LaneName> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn one_job_per_session_and_a_cap_over_all() {
        let mut lanes = Lanes::new([("main".to_owned(), 2)]);
        for (session, job) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("c", "c1")] {
            lanes.push(path(&[session, "main"]), job).expect("room");
        }
        let (first, a1) = lanes.next_ready().expect("a1 runs");
        let (_, b1) = lanes.next_ready().expect("b1 runs");
        assert_eq!((a1, b1), ("a1", "b1"));
        assert!(lanes.next_ready().is_none(), "main is full and a2 waits for its session");
        lanes.done(first);
        assert_eq!(lanes.next_ready().map(|(_, job)| job), Some("c1"), "c1 waited for main before a2 did");
    }

    #[test]
    fn a_full_lane_refuses() {
        let mut lanes = Lanes::new([]);
        for job in 0..=LANE_WAITING_MAX {
            lanes.push(path(&["x"]), job).expect("room");
        }
        assert_eq!(lanes.push(path(&["x"]), 0), Err(LaneFull("x".into())));
        assert_eq!(lanes.drain().len(), LANE_WAITING_MAX + 1);
        assert_eq!(lanes.depth("x"), 0);
    }

    #[test]
    fn a_crowded_lane_calls_in_order_once_it_has_room() {
        let mut lanes = Lanes::new([]);
        assert!(!lanes.park("x", || 1000), "an empty lane takes it");
        for job in 0..=CROWDED_AT {
            assert!(!lanes.park("x", || 1000), "not crowded at {job}");
            lanes.push(path(&["x"]), job).expect("room");
        }
        for parked in [1000, 1001] {
            assert!(lanes.is_crowded("x") && lanes.park("x", || parked));
        }
        let mut called = Vec::new();
        for ended in 0..=CROWDED_AT {
            called.extend(lanes.unpark().map(|parked| (parked, ended)));
            let (id, _) = lanes.next_ready().expect("one runs");
            lanes.done(id);
        }
        assert_eq!(called, [(1000, CROWDED_AT - ROOM_AT), (1001, CROWDED_AT - ROOM_AT + 1)]);
        assert!(lanes.lanes.is_empty());
    }

    /// Random pushes and ends: caps hold after each step, and everything pushed runs once.
    #[test]
    fn simulation() {
        for seed in crate::base::rng::testing::seeds(256) {
            let rng = SeededRng::new(seed);
            let mut lanes = Lanes::new([("main".to_owned(), 3)]);
            let (mut pushed, mut ran, mut running) = (0_u64, 0_u64, Vec::new());
            for step in 0..300 {
                if step < 200 && rng.below(3) > 0 {
                    let session = format!("session:{}", rng.below(5));
                    pushed += u64::from(lanes.push(vec![session.clone(), "main".into()], session).is_ok());
                }
                while let Some((id, session)) = lanes.next_ready() {
                    ran += 1;
                    running.push((id, session));
                }
                assert!(running.len() <= 3, "seed {seed}: main over its cap");
                let mut sessions: Vec<&String> = running.iter().map(|(_, session)| session).collect();
                sessions.sort();
                sessions.dedup();
                assert_eq!(sessions.len(), running.len(), "seed {seed}: two runs of one session");
                if !running.is_empty() && rng.below(2) == 0 {
                    let index = rng.below(running.len() as u64) as usize;
                    lanes.done(running.swap_remove(index).0);
                }
            }
            loop {
                while let Some((id, session)) = lanes.next_ready() {
                    ran += 1;
                    running.push((id, session));
                }
                let Some((id, _)) = running.pop() else { break };
                lanes.done(id);
            }
            assert_eq!(pushed, ran, "seed {seed}: a job was lost");
            assert_eq!(lanes.depth("main"), 0);
        }
    }
}
