//! Cron, wired: the timer that notices what is due, the lane in which it runs, and who hears of it.
//!
//! Owns the store's handle and the number of the last arming. A timer entry becomes a job of lane [`LANE_STORE`], which
//! claims what is due and queues it for lane `cron`, as wide as `cron.maxConcurrentRuns`. Requests pass [`LANE_STORE`],
//! too: they may wait for the disk and for each other, never for a run. What a run does is in [`run`]; the rules are in
//! `crate::cron`.

mod run;

pub(super) use self::run::choose_model;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::ctx::Ctx;
use super::events;
use super::ticket::Ticket;
use super::work::Due;
use crate::config::paths::Paths;
use crate::config::types::Config;
use crate::cron::jobs::Refused;
use crate::cron::runs;
use crate::cron::scheduler::{Claimed, LOOK_AGAIN};
use crate::cron::store::Store;
use crate::protocol::cron::{CronAction, CronEvent};

/// Lane of everything that reads and changes the store; one at a time, so that what a client sends in a row takes effect
/// in a row.
const LANE_STORE: &str = "cron_store";

/// See the module.
pub struct Cron {
    /// Replaced when a reload names another file.
    store: RwLock<Arc<Store>>,
    /// Number of the last arming of the timer. An arming takes its number before it looks at the jobs, so the one with
    /// the highest number has seen every change that came before another arming.
    serial: AtomicU64,
    /// Dropped when the gateway stops, which closes [`Cron::stopped`].
    stop: Mutex<Option<Sender<Infallible>>>,
    /// Nothing comes out of it; runs that wait for somebody notice when it closes.
    stopped: Receiver<Infallible>,
}

impl Cron {
    /// Opens the store.
    ///
    /// # Errors
    /// See [`Store::open`].
    pub fn open(config: &Config, paths: &Paths) -> anyhow::Result<Self> {
        let store = open_store(store_path(config, paths))?;
        let (stop, stopped) = bounded(0);
        Ok(Self { store: RwLock::new(store), serial: AtomicU64::new(0), stop: Mutex::new(Some(stop)), stopped })
    }

    /// Returns the store in use.
    pub fn store(&self) -> Arc<Store> {
        self.store.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets runs that wait for somebody give up.
    pub fn cancel(&self) {
        drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Refuses to write from now on.
    pub fn close(&self) {
        self.store().close();
    }
}

fn store_path(config: &Config, paths: &Paths) -> PathBuf {
    match config.cron.store.as_deref().map(str::trim).filter(|path| !path.is_empty()) {
        Some(path) => paths.expand(path),
        None => paths.state_dir.join("cron").join("jobs.json"),
    }
}

fn open_store(path: PathBuf) -> anyhow::Result<Arc<Store>> {
    use anyhow::Context as _;
    let shown = path.display().to_string();
    let store = Store::open(path).with_context(|| format!("read {shown} (cron.store names another file)"))?;
    Ok(Arc::new(store))
}

/// Returns whether jobs run by themselves.
fn is_enabled(config: &Config) -> bool {
    let is_skipped = std::env::var("CLAWDBOT_SKIP_CRON").is_ok_and(|value| value == "1");
    !is_skipped && config.cron.enabled != Some(false)
}

/// Begins: what was cut off goes on or is noted, what is overdue runs.
pub fn start(cx: &Arc<Ctx>) {
    let store = cx.cron.store();
    let left = run::left(cx, &store);
    begin(cx, &store);
    for (job, left) in left {
        run::take_up(cx, &store, &job, left);
    }
}

/// Takes a changed configuration over.
pub fn reload(cx: &Ctx) {
    let config = cx.config.get();
    let (path, current) = (store_path(&config, &cx.paths), cx.cron.store());
    if path == current.path() {
        current.note(|scheduler| scheduler.set_enabled(is_enabled(&config)));
        arm(cx);
        return;
    }
    match open_store(path) {
        Ok(store) => {
            // Runs of the old jobs hold the old store and end there.
            current.note(|scheduler| scheduler.set_enabled(false));
            *cx.cron.store.write().unwrap_or_else(PoisonError::into_inner) = store.clone();
            begin(cx, &store);
        }
        Err(error) => log::error!(target: "gateway/cron", "the cron jobs stay as they are: {error:#}"),
    }
}

fn begin(cx: &Ctx, store: &Store) {
    let enabled = is_enabled(&cx.config.get());
    let cut_off = store.note(|scheduler| scheduler.start(enabled, cx.clock.now_ms()));
    let count = store.get().jobs().len();
    if enabled {
        log::info!(target: "gateway/cron", "cron started jobs={count}");
    } else {
        log::info!(target: "gateway/cron", "cron is disabled; jobs run only by hand jobs={count}");
    }
    announce(cx, store, &cut_off);
    arm(cx);
}

/// Has the timer come back when the next job is due.
pub fn arm(cx: &Ctx) {
    let serial = cx.cron.serial.fetch_add(1, Ordering::SeqCst) + 1;
    if let Some(wait) = cx.cron.store().get().wait(cx.clock.now_ms()) {
        cx.timer.arm(wait, Due::Cron { serial });
    }
}

/// The timer has come back.
pub fn due(cx: &Arc<Ctx>, serial: u64) {
    if serial != cx.cron.serial.load(Ordering::SeqCst) {
        return;
    }
    let job_cx = cx.clone();
    if let Err(error) = cx.jobs.submit(vec![LANE_STORE.to_owned()], move || tick(&job_cx)) {
        log::warn!(target: "gateway/cron", "cron comes back later: {error}");
        cx.timer.arm(LOOK_AGAIN, Due::Cron { serial });
    }
}

fn tick(cx: &Arc<Ctx>) {
    let store = cx.cron.store();
    for id in store.note(|scheduler| scheduler.tick(cx.clock.now_ms())) {
        run::queue(cx, &store, id, false, None);
    }
    arm(cx);
}

/// Runs a job because somebody wants it; the ticket answers when it has ended, unless it is not to run.
///
/// # Errors
/// No such job.
pub fn run_by_hand(
    cx: &Arc<Ctx>,
    id: &str,
    by_force: bool,
    ticket: impl FnOnce() -> Ticket,
) -> Result<Claimed, Refused> {
    let store = cx.cron.store();
    let claimed = store.note(|scheduler| scheduler.claim(id, by_force, cx.clock.now_ms()))?;
    if claimed == Claimed::Yes {
        run::queue(cx, &store, id.to_owned(), by_force, Some(ticket()));
    }
    Ok(claimed)
}

/// Tells clients; the end of a run is in its log before anybody hears of it.
pub fn announce(cx: &Ctx, store: &Store, events: &[CronEvent]) {
    for event in events {
        if event.action == CronAction::Finished
            && let Err(error) = runs::append(store.path(), event, cx.clock.now_ms())
        {
            log::warn!(target: "gateway/cron", "cannot log a run of job {}: {error}", event.job_id);
        }
        events::broadcast(&cx.net, events::CRON, event, None);
    }
}
