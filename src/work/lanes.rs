//! Lanes: which job may run now. Sans-IO; [`super::jobs`] owns the threads.
//!
//! A job passes through a list of lanes in order and holds a slot in each it has entered until it is done: first its
//! session's lane (cap 1, so one run per session), then a global one. A lane is first in, first out.

use std::collections::{HashMap, VecDeque};

/// Jobs that may wait in one lane; beyond it a push is refused.
pub const LANE_WAITING_MAX: usize = 256;

/// A lane's name: `session:<key>`, `main`, `side` …
pub type LaneName = String;

/// The scheduler. `J` is the job; it is handed out when it holds a slot in all of its lanes.
#[derive(Debug)]
pub struct Lanes<J> {
    lanes: HashMap<LaneName, Lane>,
    caps: HashMap<LaneName, usize>,
    jobs: HashMap<u64, Job<J>>,
    ready: VecDeque<u64>,
    next_id: u64,
}

#[derive(Debug, Default)]
struct Lane {
    running: usize,
    waiting: VecDeque<u64>,
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

    /// Takes the next job that may run, with its id for [`Lanes::done`].
    pub fn next_ready(&mut self) -> Option<(u64, J)> {
        let id = self.ready.pop_front()?;
        let payload = self.jobs.get_mut(&id).and_then(|job| job.payload.take()).expect("a ready job has its payload");
        Some((id, payload))
    }

    /// Returns whether a job may run.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
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

    /// Takes every job that has not started out, for dropping at stop.
    pub fn drain(&mut self) -> Vec<J> {
        let waiting: Vec<u64> = self.jobs.iter().filter(|(_, job)| job.payload.is_some()).map(|(&id, _)| id).collect();
        let mut drained = Vec::with_capacity(waiting.len());
        for lane in self.lanes.values_mut() {
            lane.waiting.clear();
        }
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
            if self.lanes.get(&name).is_some_and(|lane| lane.running == 0 && lane.waiting.is_empty()) {
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
