use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::*;
use crate::base::rng::SeededRng;
use crate::base::rng::testing::seeds;

const NOON: UnixMs = 1_795_348_800_000;

fn job(id: &str, schedule: Value) -> CronJob {
    let params = json!({"name": id, "schedule": schedule, "sessionTarget": "main", "wakeMode": "now",
        "payload": {"kind": "systemEvent", "text": "t"}});
    jobs::create(serde_json::from_value(params).expect("parameters"), id.to_owned(), NOON).expect("a job")
}

fn patch(value: Value) -> CronJobPatch {
    serde_json::from_value(value).expect("a patch")
}

fn with(schedule: Value) -> Scheduler {
    let mut scheduler = Scheduler::new(vec![job("j", schedule)]);
    // As if it had been added: files hold what was enabled.
    scheduler.start(true, NOON);
    scheduler
}

/// Runs the one job, which must be due, and returns when it runs next.
fn run(scheduler: &mut Scheduler, ended: &Ended, now_ms: UnixMs) -> Option<UnixMs> {
    assert_eq!(scheduler.tick(now_ms), ["j"]);
    assert!(scheduler.begin("j", false, now_ms).is_some());
    scheduler.finish("j", ended, now_ms + 5);
    scheduler.next_wake()
}

fn ok() -> Ended {
    Ended { status: CronStatus::Ok, error: None, summary: None }
}

#[test]
fn a_one_shot_job_that_fails_backs_off_and_is_switched_off() {
    let mut scheduler = with(json!({"kind": "at", "atMs": NOON - 1000}));
    let mut now = NOON;
    for delay in RETRY_MS {
        let next = run(&mut scheduler, &Ended::error("no model"), now).expect("tried again");
        assert_eq!(next, now + 5 + delay);
        assert!(scheduler.tick(next - 1).is_empty());
        now = next;
    }
    assert_eq!(run(&mut scheduler, &Ended::error("no model"), now), None);
    let state = &scheduler.jobs()[0].state;
    assert_eq!(state.last_error.as_deref(), Some("no model (switched off after 5 attempts)"));
    let (job, _) = scheduler.update("j", patch(json!({"enabled": true})), now).expect("update");
    assert_eq!((job.state.failures, job.state.next_run_at_ms), (0, Some(NOON - 1000)));
    assert_eq!(run(&mut scheduler, &ok(), now), None);
    assert!(!scheduler.jobs()[0].enabled);
}

#[test]
fn a_run_that_was_cut_off_is_a_failure_and_the_job_stays() {
    let mut scheduler = with(json!({"kind": "at", "atMs": NOON}));
    scheduler.tick(NOON);
    scheduler.begin("j", false, NOON).expect("begun");
    let mut scheduler = Scheduler::new(scheduler.jobs().to_vec());
    let events = scheduler.start(true, NOON + 10);
    assert_eq!(events[0].status, Some(CronStatus::Error));
    assert_eq!(scheduler.next_wake(), Some(NOON + 30_000));
    assert_eq!(scheduler.jobs()[0].state.running_at_ms, None);
}

#[test]
fn a_moment_set_while_the_job_runs_counts() {
    let mut scheduler = with(json!({"kind": "at", "atMs": NOON}));
    scheduler.tick(NOON);
    scheduler.begin("j", false, NOON).expect("begun");
    let later = json!({"schedule": {"kind": "at", "atMs": NOON + 60_000}});
    scheduler.update("j", patch(later), NOON + 1).expect("update");
    scheduler.finish("j", &ok(), NOON + 2);
    assert_eq!(scheduler.next_wake(), Some(NOON + 60_000));
}

#[test]
fn a_job_put_off_while_it_waits_for_its_turn_does_not_run() {
    for change in [json!({"enabled": false}), json!({"schedule": {"kind": "at", "atMs": NOON + 9}})] {
        let mut scheduler = with(json!({"kind": "at", "atMs": NOON}));
        scheduler.tick(NOON);
        scheduler.update("j", patch(change.clone()), NOON).expect("update");
        assert!(scheduler.begin("j", false, NOON).is_none(), "{change}");
        assert_eq!(scheduler.claim("j", true, NOON), Ok(Claimed::Yes), "by force it does");
        assert!(scheduler.begin("j", true, NOON).is_some());
    }
}

#[test]
fn a_small_step_back_of_the_clock_repeats_nothing() {
    let mut scheduler = with(json!({"kind": "cron", "expr": "* * * * *", "tz": "UTC"}));
    let due = scheduler.next_wake().expect("due");
    scheduler.tick(due);
    scheduler.begin("j", false, due).expect("begun");
    scheduler.finish("j", &ok(), due - 500);
    assert_eq!(scheduler.next_wake(), Some(due + 60_000));
}

#[test]
fn a_run_that_ends_as_the_next_period_begins_is_not_followed_at_once() {
    let mut scheduler = with(json!({"kind": "every", "everyMs": 2000, "anchorMs": NOON}));
    assert_eq!(scheduler.tick(NOON + 2000), ["j"]);
    scheduler.begin("j", false, NOON + 2000).expect("begun");
    scheduler.finish("j", &ok(), NOON + 4000);
    assert_eq!(scheduler.next_wake(), Some(NOON + 6000));
}

#[test]
fn a_large_step_back_of_the_clock_stops_no_job() {
    let hour = 3_600_000;
    for schedule in
        [json!({"kind": "every", "everyMs": 600_000}), json!({"kind": "cron", "expr": "*/10 * * * *", "tz": "UTC"})]
    {
        let mut scheduler = with(schedule);
        assert!(scheduler.tick(NOON - hour).is_empty());
        assert_eq!(scheduler.next_wake(), Some(NOON - hour + 600_000));
    }
}

#[test]
fn a_queue_that_is_full_puts_the_job_off() {
    let mut scheduler = with(json!({"kind": "at", "atMs": NOON}));
    assert_eq!(scheduler.tick(NOON), ["j"]);
    scheduler.give_back("j", NOON);
    assert_eq!(scheduler.wait(NOON), Some(LOOK_AGAIN));
    assert_eq!(scheduler.tick(NOON + 60_000), ["j"]);
}

#[test]
fn deleted_after_its_run() {
    let mut once = job("j", json!({"kind": "at", "atMs": NOON}));
    once.delete_after_run = Some(true);
    let mut scheduler = Scheduler::new(vec![once]);
    scheduler.start(true, NOON);
    scheduler.tick(NOON);
    scheduler.begin("j", false, NOON).expect("begun");
    let actions: Vec<CronAction> = scheduler.finish("j", &ok(), NOON).iter().map(|event| event.action).collect();
    assert_eq!(actions, [CronAction::Finished, CronAction::Removed]);
    assert!(scheduler.jobs().is_empty());
}

#[test]
fn switched_off_means_no_timer_but_runs_by_hand() {
    let mut scheduler = with(json!({"kind": "at", "atMs": NOON}));
    scheduler.set_enabled(false);
    assert_eq!((scheduler.wait(NOON), scheduler.tick(NOON).len()), (None, 0));
    assert_eq!(scheduler.claim("j", true, NOON), Ok(Claimed::Yes));
    assert_eq!(scheduler.claim("j", true, NOON), Ok(Claimed::Running));
    assert_eq!(scheduler.claim("x", true, NOON), Err(Refused::unknown("x")));
}

/// A gateway in virtual time: one timer on a clock that only goes forward, a wall clock that jumps, a lane of two slots,
/// runs that take a while and end as they like.
struct World {
    rng: SeededRng,
    scheduler: Scheduler,
    /// The clock of the timer.
    mono_ms: u64,
    wall_ms: UnixMs,
    /// When the timer fires, by its own clock.
    timer_ms: Option<u64>,
    queue: Vec<(String, bool)>,
    running: BTreeMap<String, u64>,
    /// One-shot jobs that ended well and were not touched since.
    done: BTreeSet<String>,
    next_id: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut scheduler = Scheduler::new(Vec::new());
        scheduler.start(true, NOON);
        Self {
            rng: SeededRng::new(seed),
            scheduler,
            mono_ms: 0,
            wall_ms: NOON,
            timer_ms: None,
            queue: Vec::new(),
            running: BTreeMap::new(),
            done: BTreeSet::new(),
            next_id: 0,
        }
    }

    fn below(&self, bound: u64) -> u64 {
        self.rng.below(bound)
    }

    fn schedule(&self) -> Value {
        const EXPRESSIONS: [&str; 4] = ["* * * * *", "*/5 * * * *", "*/10 * * * * *", "30 2 * * *"];
        match self.below(4) {
            0 => json!({"kind": "at", "atMs": self.wall_ms + self.below(600_000) - 120_000}),
            1 => json!({"kind": "every", "everyMs": 1 + self.below(300_000)}),
            2 => {
                json!({"kind": "every", "everyMs": 1 + self.below(300_000), "anchorMs": self.wall_ms - self.below(600_000)})
            }
            _ => {
                let expr = EXPRESSIONS[usize::try_from(self.below(4)).expect("small")];
                json!({"kind": "cron", "expr": expr, "tz": "Europe/Berlin"})
            }
        }
    }

    fn some_id(&self) -> Option<String> {
        let jobs = self.scheduler.jobs();
        (!jobs.is_empty()).then(|| jobs[usize::try_from(self.below(jobs.len() as u64)).expect("small")].id.clone())
    }

    fn step(&mut self) {
        match self.below(12) {
            0 | 1 => {
                self.next_id += 1;
                let job = job(&format!("job-{}", self.next_id), self.schedule());
                self.scheduler.add(job, self.wall_ms).expect("a valid job");
            }
            2 => {
                if let Some(id) = self.some_id() {
                    let change = match self.below(3) {
                        0 => json!({"schedule": self.schedule()}),
                        1 => json!({"enabled": false}),
                        _ => json!({"enabled": true}),
                    };
                    self.done.remove(&id);
                    self.scheduler.update(&id, patch(change), self.wall_ms).expect("a valid change");
                }
            }
            3 => {
                if let Some(id) = self.some_id() {
                    self.scheduler.remove(&id);
                }
            }
            4 => {
                if let Some(id) = self.some_id()
                    && self.scheduler.claim(&id, true, self.wall_ms) == Ok(Claimed::Yes)
                {
                    self.queue.push((id, true));
                }
            }
            5 => {
                let by = 1 + self.below(7_200_000);
                self.wall_ms = if self.below(2) == 0 { self.wall_ms + by } else { self.wall_ms - by };
                // The timer does not notice by itself.
                self.advance(60_000);
                self.nothing_is_overdue();
                return;
            }
            6 if self.below(4) == 0 => self.crash(),
            _ => {
                let by = self.below(400_000);
                self.advance(by);
                self.nothing_is_overdue();
            }
        }
        self.arm();
    }

    fn crash(&mut self) {
        self.scheduler = Scheduler::new(self.scheduler.jobs().to_vec());
        self.scheduler.start(true, self.wall_ms);
        self.queue.clear();
        self.running.clear();
    }

    fn arm(&mut self) {
        let minimum = self
            .scheduler
            .jobs()
            .iter()
            .filter(|job| job.enabled && !self.is_claimed(&job.id))
            .filter_map(|job| job.state.next_run_at_ms)
            .min();
        assert_eq!(self.scheduler.next_wake(), minimum, "the timer's next wake is the minimum");
        let wait = self.scheduler.wait(self.wall_ms).map(|wait| u64::try_from(wait.as_millis()).expect("a minute"));
        self.timer_ms = wait.map(|wait| self.mono_ms + wait);
    }

    fn is_claimed(&self, id: &str) -> bool {
        self.running.contains_key(id) || self.queue.iter().any(|(queued, _)| queued == id)
    }

    /// Lets time pass: runs begin and end, the timer fires.
    fn advance(&mut self, by_ms: u64) {
        let until = self.mono_ms + by_ms;
        let mut turns = 0;
        loop {
            turns += 1;
            assert!(turns < 20_000, "a tight loop");
            while self.running.len() < 2 && !self.queue.is_empty() {
                let (id, by_force) = self.queue.remove(0);
                self.begin(id, by_force);
                self.arm();
            }
            let ends = self.running.values().copied().min();
            let Some(next) = [ends, self.timer_ms].into_iter().flatten().min().filter(|next| *next <= until) else {
                break;
            };
            let passed = next.saturating_sub(self.mono_ms);
            self.mono_ms += passed;
            self.wall_ms += passed;
            if ends == Some(next) {
                let id = self.running.iter().find(|(_, end)| **end == next).map(|(id, _)| id.clone()).expect("found");
                self.end(&id);
            } else {
                for id in self.scheduler.tick(self.wall_ms) {
                    assert!(!self.is_claimed(&id), "{id} is queued twice");
                    self.queue.push((id, false));
                }
                let wait = self.scheduler.wait(self.wall_ms);
                assert!(wait.is_none_or(|wait| !wait.is_zero()), "the timer would fire at once again");
            }
            self.arm();
        }
        self.wall_ms += until - self.mono_ms;
        self.mono_ms = until;
    }

    fn begin(&mut self, id: String, by_force: bool) {
        let Some((job, event)) = self.scheduler.begin(&id, by_force, self.wall_ms) else { return };
        assert_eq!((event.action, job.state.running_at_ms), (CronAction::Started, Some(self.wall_ms)));
        assert!(by_force || job.enabled, "{id} is disabled and runs");
        assert!(by_force || !self.done.contains(&id), "{id} runs although it is done");
        let takes = if self.below(4) == 0 { self.below(300_000) } else { self.below(50) };
        assert!(self.running.insert(id.clone(), self.mono_ms + takes).is_none(), "{id} runs twice");
    }

    fn end(&mut self, id: &str) {
        self.running.remove(id);
        let ended = match self.below(4) {
            0 => Ended::error("bad luck"),
            1 => Ended { status: CronStatus::Skipped, error: Some("disabled".to_owned()), summary: None },
            _ => ok(),
        };
        let events = self.scheduler.finish(id, &ended, self.wall_ms);
        assert_eq!(events[0].action, CronAction::Finished);
        let Some(job) = self.scheduler.jobs().iter().find(|job| job.id == id) else { return };
        assert_eq!(job.state.last_status, Some(ended.status));
        let next = job.state.next_run_at_ms;
        assert!(job.enabled || next.is_none());
        let is_once = matches!(job.schedule, CronSchedule::At { .. });
        assert!(next.is_none_or(|next| next > self.wall_ms || is_once), "{id} is due again at once");
        if is_once && !job.enabled {
            self.done.insert(id.to_owned());
        } else if is_once && job.state.failures > 0 {
            assert!(next > Some(self.wall_ms), "{id} is tried again at once");
        }
    }

    /// After a minute of the timer's clock nothing waits that could run, however the wall clock was set.
    fn nothing_is_overdue(&mut self) {
        self.advance(60_000);
        for job in self.scheduler.jobs().iter().filter(|job| job.enabled && !self.is_claimed(&job.id)) {
            let Some(next) = job.state.next_run_at_ms else { continue };
            assert!(next >= self.wall_ms, "{} is overdue by {}ms", job.id, self.wall_ms - next);
            if let Ok(Some(latest)) = expected(job, self.wall_ms + JUMP_MS) {
                assert!(next <= latest, "{} would wait {}ms too long", job.id, next - latest);
            }
        }
    }
}

#[test]
fn simulation() {
    for seed in seeds(256) {
        let mut world = World::new(seed);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..50 {
                world.step();
            }
        }));
        assert!(ended.is_ok(), "SIM_SEED={seed}");
    }
}
