//! The scheduler: what is due, what runs, what comes next. Sans-IO: the caller brings the time, saves what is dirty, runs
//! what is claimed, and announces the events.
//!
//! A run goes through three steps. A *claim* takes a due job out of the timer's sight, so that it cannot come up twice;
//! [`Scheduler::begin`] starts its run when its turn in the lane has come; [`Scheduler::finish`] writes down how it went
//! and decides when it runs next. Claims live in memory: after a crash nothing runs, and `runningAtMs` in the file tells
//! which runs were cut off.
//!
//! Wall clocks jump. The timer looks at least once a minute ([`LOOK_AGAIN`]), so a jump forward costs no more than that;
//! after a jump back `Scheduler::look` pulls in what would now lie too far ahead.

use std::collections::BTreeMap;
use std::time::Duration;

use super::jobs::{self, Refused};
use super::schedule;
use crate::base::clock::UnixMs;
use crate::protocol::cron::{CronAction, CronEvent, CronJob, CronJobPatch, CronSchedule, CronStatus};

/// Longest time until the timer looks at the clock again.
pub const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Most jobs that can be added; a file with more is read.
pub const JOBS_MAX: usize = 1000;
/// How long a one-shot job that did not end well waits, after its first failure, its second, and so on; when these are
/// used up it is switched off.
///
/// The original tries again at once, several times a second, for as long as the cause lasts: a model that is away, or
/// heartbeats that are switched off (`skipped`), would keep the machine busy and cost money.
const RETRY_MS: [u64; 4] = [30_000, 60_000, 300_000, 900_000];
/// How long a job waits whose run could not be queued.
const REFUSED_MS: u64 = 60_000;
/// A clock that is set back by less shows minutes that have been: what came up in them does not come up again.
const JUMP_MS: u64 = 60_000;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Scheduler {
    jobs: Vec<CronJob>,
    claims: BTreeMap<String, Claim>,
    is_enabled: bool,
    is_dirty: bool,
    /// The time at the last look at the clock.
    seen_ms: UnixMs,
}

/// A run that waits or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// It waits for its turn.
    Queued,
    /// It goes.
    Running {
        since_ms: UnixMs,
        /// When it was due.
        due_ms: Option<UnixMs>,
        /// The moment of a one-shot job, to notice that it was set up anew meanwhile.
        at_ms: Option<UnixMs>,
    },
}

/// A run that is over, as it goes into the job.
struct Run<'a> {
    at_ms: UnixMs,
    duration_ms: Option<u64>,
    ended: &'a Ended,
    /// The job's next run lies after this.
    after_ms: UnixMs,
    /// Whether the job was given another moment while it ran, so that this run says nothing about that.
    is_set_up_anew: bool,
}

/// What became of a wish to run a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// It is to be queued.
    Yes,
    /// It is not due.
    NotDue,
    /// It waits or runs already.
    Running,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub status: CronStatus,
    /// What was wrong.
    pub error: Option<String>,
    /// What came of it.
    pub summary: Option<String>,
}

impl Ended {
    /// A run that went wrong.
    pub fn error(text: impl Into<String>) -> Self {
        Self { status: CronStatus::Error, error: Some(text.into()), summary: None }
    }
}

impl Scheduler {
    /// Returns the scheduler of these jobs. Nothing is due before [`Scheduler::start`].
    pub fn new(jobs: Vec<CronJob>) -> Self {
        Self { jobs, ..Self::default() }
    }

    /// Takes a run up again that was cut off and will be carried on; `None` when no run of such a job was under way. Before
    /// [`Scheduler::start`].
    pub fn take_up(&mut self, id: &str) -> Option<CronJob> {
        let job = &self.jobs[self.index(id)?];
        let since_ms = job.state.running_at_ms?;
        let claim = Claim::Running { since_ms, due_ms: job.state.next_run_at_ms, at_ms: moment(job) };
        self.claims.insert(id.to_owned(), claim);
        Some(job.clone())
    }

    /// Begins: runs that were cut off are written down, and every job learns when it runs next.
    ///
    /// Runs of periodic jobs that were missed are not made up; a one-shot job is still due.
    pub fn start(&mut self, is_enabled: bool, now_ms: UnixMs) -> Vec<CronEvent> {
        let mut events = Vec::new();
        let claims = &self.claims;
        for job in self.jobs.iter_mut().filter(|job| !claims.contains_key(&job.id)) {
            // Whatever its age: nothing can be running yet. For a one-shot job it counts as a failure, so that a job that
            // takes the gateway down with it does so only a few times.
            if let Some(at_ms) = job.state.running_at_ms.take() {
                let ended = &Ended::error("the gateway ended during this run");
                let run = Run { at_ms, duration_ms: None, ended, after_ms: now_ms, is_set_up_anew: false };
                settle(job, &run, now_ms);
                events.push(run.describe(with_next(CronAction::Finished, job)));
            } else {
                renew(job, now_ms);
            }
        }
        self.is_enabled = is_enabled;
        self.seen_ms = now_ms;
        self.changed();
        events
    }

    /// Switches the timer on or off; jobs can be kept and run by hand either way.
    pub fn set_enabled(&mut self, is_enabled: bool) {
        self.is_enabled = is_enabled;
    }

    /// Returns whether jobs run by themselves.
    pub fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// Returns all jobs, in the order of the file.
    pub fn jobs(&self) -> &[CronJob] {
        &self.jobs
    }

    /// Returns the jobs by when they run next; those that do not, first.
    pub fn list(&self, include_disabled: bool) -> Vec<&CronJob> {
        let mut jobs: Vec<&CronJob> = self.jobs.iter().filter(|job| include_disabled || job.enabled).collect();
        crate::base::order::by_key(&mut jobs, |job| job.state.next_run_at_ms.unwrap_or(0));
        jobs
    }

    /// Returns when the next job is due; `None` when nothing is, or the timer is off.
    pub fn next_wake(&self) -> Option<UnixMs> {
        let waiting = self.jobs.iter().filter(|job| !self.claims.contains_key(&job.id));
        waiting.filter_map(|job| job.state.next_run_at_ms).min().filter(|_| self.is_enabled)
    }

    /// Returns how long the timer may sleep.
    pub fn wait(&self, now_ms: UnixMs) -> Option<Duration> {
        let wake_ms = self.next_wake()?;
        Some(Duration::from_millis(wake_ms.saturating_sub(now_ms)).min(LOOK_AGAIN))
    }

    /// Adds a job.
    ///
    /// # Errors
    /// A schedule that is none, or too many jobs.
    pub fn add(&mut self, mut job: CronJob, now_ms: UnixMs) -> Result<(CronJob, CronEvent), Refused> {
        if self.jobs.len() >= JOBS_MAX {
            return Err(Refused::rule(format_args!("there are {JOBS_MAX} cron jobs already; remove some first")));
        }
        self.look(now_ms);
        job.state.next_run_at_ms = expected(&job, now_ms).map_err(Refused)?;
        let event = with_next(CronAction::Added, &job);
        self.jobs.push(job.clone());
        self.changed();
        Ok((job, event))
    }

    /// Changes a job; it is then due as a new one would be.
    ///
    /// # Errors
    /// No such job, a rule that the change breaks, or a schedule that is none; nothing is changed then.
    pub fn update(&mut self, id: &str, patch: CronJobPatch, now_ms: UnixMs) -> Result<(CronJob, CronEvent), Refused> {
        self.look(now_ms);
        let index = self.index(id).ok_or_else(|| Refused::unknown(id))?;
        let mut job = self.jobs[index].clone();
        let is_set_up_anew = patch.schedule.is_some() || patch.enabled == Some(true);
        jobs::patch(&mut job, patch)?;
        if is_set_up_anew {
            job.state.failures = 0;
        }
        job.updated_at_ms = now_ms;
        // Also of a disabled job: a mistake should not wait until it is enabled.
        let next = expected(&job, now_ms).map_err(Refused)?;
        job.state.next_run_at_ms = next.filter(|_| job.enabled);
        if !job.enabled {
            job.state.running_at_ms = None;
        }
        let event = with_next(CronAction::Updated, &job);
        self.jobs[index] = job.clone();
        self.changed();
        Ok((job, event))
    }

    /// Removes a job; a run of it goes on to its end.
    pub fn remove(&mut self, id: &str) -> Option<CronEvent> {
        let index = self.index(id)?;
        self.jobs.remove(index);
        self.changed();
        Some(CronEvent::new(id, CronAction::Removed))
    }

    /// Claims every job that is due and returns them, the longest overdue first.
    pub fn tick(&mut self, now_ms: UnixMs) -> Vec<String> {
        self.look(now_ms);
        if !self.is_enabled {
            return Vec::new();
        }
        let mut due: Vec<&CronJob> =
            self.jobs.iter().filter(|job| is_due(job, now_ms) && !self.claims.contains_key(&job.id)).collect();
        crate::base::order::by_key(&mut due, |job| job.state.next_run_at_ms.unwrap_or(0));
        let due: Vec<String> = due.into_iter().map(|job| job.id.clone()).collect();
        self.claims.extend(due.iter().map(|id| (id.clone(), Claim::Queued)));
        self.check_invariants();
        due
    }

    /// Looks at the clock. When it was set back, what lies too far ahead now comes sooner.
    fn look(&mut self, now_ms: UnixMs) {
        let back_ms = self.seen_ms.saturating_sub(now_ms);
        let from_ms = if back_ms <= JUMP_MS { self.seen_ms } else { now_ms };
        self.seen_ms = now_ms;
        if back_ms == 0 {
            return;
        }
        log::info!(target: "gateway/cron", "the clock was set back by {back_ms}ms");
        for job in &mut self.jobs {
            let sooner = expected(job, from_ms).ok().flatten();
            job.state.next_run_at_ms = job.state.next_run_at_ms.map(|next| sooner.map_or(next, |it| it.min(next)));
        }
    }

    /// Claims a job that somebody wants to run now; by force also when it is not due, or disabled.
    ///
    /// # Errors
    /// No such job.
    pub fn claim(&mut self, id: &str, by_force: bool, now_ms: UnixMs) -> Result<Claimed, Refused> {
        let job = &self.jobs[self.index(id).ok_or_else(|| Refused::unknown(id))?];
        if self.claims.contains_key(id) {
            return Ok(Claimed::Running);
        }
        if !by_force && !is_due(job, now_ms) {
            return Ok(Claimed::NotDue);
        }
        self.claims.insert(id.to_owned(), Claim::Queued);
        Ok(Claimed::Yes)
    }

    /// Starts a claimed job's run; `None`, and the claim is gone, when the job was removed, disabled or put off since.
    pub fn begin(&mut self, id: &str, by_force: bool, now_ms: UnixMs) -> Option<(CronJob, CronEvent)> {
        debug_assert_eq!(self.claims.get(id), Some(&Claim::Queued), "a run begins once");
        self.look(now_ms);
        let index = self.index(id).filter(|&index| by_force || is_due(&self.jobs[index], now_ms));
        let Some(index) = index else {
            self.claims.remove(id);
            return None;
        };
        let job = &mut self.jobs[index];
        let claim = Claim::Running { since_ms: now_ms, due_ms: job.state.next_run_at_ms, at_ms: moment(job) };
        self.claims.insert(id.to_owned(), claim);
        job.state.running_at_ms = Some(now_ms);
        job.state.last_error = None;
        let event = CronEvent { run_at_ms: Some(now_ms), ..CronEvent::new(id, CronAction::Started) };
        let job = job.clone();
        self.changed();
        Some((job, event))
    }

    /// Gives a claim back whose run could not be queued; the job comes up again a little later.
    pub fn give_back(&mut self, id: &str, now_ms: UnixMs) {
        self.claims.remove(id);
        if let Some(index) = self.index(id).filter(|&index| is_due(&self.jobs[index], now_ms)) {
            self.jobs[index].state.next_run_at_ms = Some(now_ms.saturating_add(REFUSED_MS));
        }
    }

    /// Writes down how a run ended and decides when the job runs next.
    pub fn finish(&mut self, id: &str, ended: &Ended, now_ms: UnixMs) -> Vec<CronEvent> {
        let Some(Claim::Running { since_ms, due_ms, at_ms }) = self.claims.remove(id) else {
            debug_assert!(false, "only what has begun can end");
            return Vec::new();
        };
        self.look(now_ms);
        let mut run = Run {
            at_ms: since_ms,
            duration_ms: Some(now_ms.saturating_sub(since_ms)),
            ended,
            // A clock that was set back a little would show the same minute again.
            after_ms: due_ms.filter(|due| now_ms < *due && due - now_ms <= JUMP_MS).unwrap_or(now_ms),
            is_set_up_anew: false,
        };
        let Some(index) = self.index(id) else {
            // It was removed meanwhile. Its run still ends for those who saw it begin.
            return vec![run.describe(CronEvent::new(id, CronAction::Finished))];
        };
        let job = &mut self.jobs[index];
        run.is_set_up_anew = moment(job) != at_ms;
        settle(job, &run, now_ms);
        let mut events = vec![run.describe(with_next(CronAction::Finished, job))];
        let is_done = at_ms.is_some() && !run.is_set_up_anew && ended.status == CronStatus::Ok;
        if is_done && job.delete_after_run == Some(true) {
            events.extend(self.remove(id));
        }
        self.changed();
        events
    }

    /// Returns whether the file is behind.
    pub fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Notes that the file has what is here.
    pub fn saved(&mut self) {
        self.is_dirty = false;
    }

    fn index(&self, id: &str) -> Option<usize> {
        self.jobs.iter().position(|job| job.id == id)
    }

    fn changed(&mut self) {
        self.is_dirty = true;
        self.check_invariants();
    }

    fn check_invariants(&self) {
        debug_assert!(
            self.jobs.iter().all(|job| job.enabled || job.state.next_run_at_ms.is_none()),
            "a disabled job is never due"
        );
    }
}

fn is_due(job: &CronJob, now_ms: UnixMs) -> bool {
    job.enabled && job.state.next_run_at_ms.is_some_and(|next| next <= now_ms)
}

/// Returns when a job that has not just run is due.
fn expected(job: &CronJob, now_ms: UnixMs) -> Result<Option<UnixMs>, String> {
    let state = &job.state;
    let CronSchedule::At { at_ms, .. } = job.schedule else { return schedule::next(&job.schedule, now_ms) };
    if state.last_status == Some(CronStatus::Ok) && state.last_run_at_ms.is_some_and(|ran| ran >= at_ms) {
        return Ok(None);
    }
    let Some(failures) = state.failures.checked_sub(1) else { return Ok(Some(at_ms)) };
    let delay = RETRY_MS[usize::try_from(failures).unwrap_or(usize::MAX).min(RETRY_MS.len() - 1)];
    let ended_ms = state.last_run_at_ms.unwrap_or(0).saturating_add(state.last_duration_ms.unwrap_or(0));
    // What ended in the future was timed by a clock that has been set back since.
    Ok(Some(at_ms.max(ended_ms.min(now_ms).saturating_add(delay))))
}

/// Sets when a job runs next; one whose schedule this version cannot follow does not run.
fn renew(job: &mut CronJob, now_ms: UnixMs) {
    job.state.next_run_at_ms = match expected(job, now_ms) {
        Ok(next) => next.filter(|_| job.enabled),
        Err(error) => {
            log::warn!(target: "gateway/cron", "job {} ({}) cannot be scheduled: {error}", job.id, job.name);
            None
        }
    };
}

/// Writes the end of a run into the job.
fn settle(job: &mut CronJob, run: &Run<'_>, now_ms: UnixMs) {
    job.updated_at_ms = run.at_ms;
    job.state.running_at_ms = None;
    job.state.last_run_at_ms = Some(run.at_ms);
    job.state.last_status = Some(run.ended.status);
    job.state.last_duration_ms = run.duration_ms;
    job.state.last_error = run.ended.error.clone();
    match job.schedule {
        // An anchored period may begin at this very moment, but this one has run.
        CronSchedule::Every { anchor_ms: Some(_), .. } => renew(job, run.after_ms.saturating_add(1)),
        // Without an anchor it is now that the next period begins.
        CronSchedule::Every { anchor_ms: None, .. } => renew(job, now_ms),
        CronSchedule::Cron { .. } => renew(job, run.after_ms),
        CronSchedule::At { .. } => {
            if !run.is_set_up_anew {
                settle_once(job, run.ended);
            }
            renew(job, now_ms);
        }
    }
}

/// A one-shot job is done, tries again, or gives up.
fn settle_once(job: &mut CronJob, ended: &Ended) {
    if ended.status == CronStatus::Ok {
        job.enabled = false;
        job.state.failures = 0;
        return;
    }
    job.state.failures = job.state.failures.saturating_add(1);
    if usize::try_from(job.state.failures).unwrap_or(usize::MAX) > RETRY_MS.len() {
        job.enabled = false;
        let reason = ended.error.as_deref().unwrap_or("it was skipped");
        let reason = format!("{reason} (switched off after {} attempts)", job.state.failures);
        log::warn!(target: "gateway/cron", "job {} ({}): {reason}", job.id, job.name);
        job.state.last_error = Some(reason);
    }
}

/// Returns the moment of a one-shot job.
fn moment(job: &CronJob) -> Option<UnixMs> {
    match job.schedule {
        CronSchedule::At { at_ms, .. } => Some(at_ms),
        CronSchedule::Every { .. } | CronSchedule::Cron { .. } => None,
    }
}

fn with_next(action: CronAction, job: &CronJob) -> CronEvent {
    CronEvent { next_run_at_ms: job.state.next_run_at_ms, ..CronEvent::new(&job.id, action) }
}

impl Run<'_> {
    fn describe(&self, event: CronEvent) -> CronEvent {
        CronEvent {
            status: Some(self.ended.status),
            error: self.ended.error.clone(),
            summary: self.ended.summary.clone(),
            run_at_ms: Some(self.at_ms),
            duration_ms: self.duration_ms,
            ..event
        }
    }
}

#[cfg(test)]
mod tests;
