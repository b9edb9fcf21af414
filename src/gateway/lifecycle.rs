//! Restarts that clients asked for: after an update or a change of the configuration (cli.md §3.6, §3.8).
//!
//! Such a restart is a message to `main`, not a signal, so that nobody else's signal can be taken for it. Owns whether
//! one is coming; the earliest wins, and `main` is asked once per start. Any thread, one leaf lock. Not here: the restart
//! itself (`supervise`), and what the next start is told (`sentinel`).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::reload::Change;
use super::work::Due;
use crate::base::cancel::{CancelReason, CancelToken};
use crate::base::timer::TimerHandle;

/// Delay when the client names none.
const DELAY_MS_DEFAULT: u64 = 2000;
/// Longest delay.
const DELAY_MS_MAX: u64 = 60_000;

/// What a running gateway asks `main` for.
pub enum Ask {
    /// The configuration file has a new, valid content.
    Reload(Change),
    /// The log is to be as the configuration in force has it.
    Logging,
    /// Stop and start anew; with another program, which takes this one's place in the process.
    Restart(Option<PathBuf>),
}

/// Hands something to `main`; false when it cannot be taken.
pub type AskMain = Arc<dyn Fn(Ask) -> bool + Send + Sync>;

/// See the module.
pub struct Lifecycle {
    timer: TimerHandle<Due>,
    ask: AskMain,
    coming: Mutex<Option<Coming>>,
    stopping: CancelToken,
}

struct Coming {
    at: Instant,
    program: Option<PathBuf>,
}

/// A restart that a client asked for; it is answered before it is carried out.
pub struct Planned {
    delay: Duration,
    reason: &'static str,
    program: Option<PathBuf>,
}

impl Planned {
    /// Plans a restart, with `program` in place of this one if there is one.
    pub fn new(delay_ms: Option<u64>, reason: &'static str, program: Option<PathBuf>) -> Self {
        Self { delay: Duration::from_millis(delay_ms.unwrap_or(DELAY_MS_DEFAULT).min(DELAY_MS_MAX)), reason, program }
    }

    /// Returns the answer's `restart`.
    pub fn answer(&self) -> Value {
        // compat: the original restarts by a signal to itself, and says so.
        json!({
            "ok": true,
            "pid": std::process::id(),
            "signal": "SIGUSR1",
            "delayMs": u64::try_from(self.delay.as_millis()).unwrap_or(DELAY_MS_MAX),
            "reason": self.reason,
            "mode": "emit",
        })
    }
}

impl Lifecycle {
    /// Starts with no restart in sight.
    pub fn new(timer: TimerHandle<Due>, ask: AskMain) -> Self {
        Self { timer, ask, coming: Mutex::default(), stopping: CancelToken::new() }
    }

    /// Has the gateway restart as planned; the earliest of several plans wins.
    pub fn restart(&self, planned: Planned) {
        let Planned { delay, reason, program } = planned;
        let at = Instant::now() + delay;
        let mut coming = self.lock();
        let is_earliest = coming.as_ref().is_none_or(|coming| at < coming.at);
        let program = program.or_else(|| coming.as_mut().and_then(|coming| coming.program.take()));
        let at = coming.as_ref().map_or(at, |coming| at.min(coming.at));
        *coming = Some(Coming { at, program });
        drop(coming);
        if is_earliest {
            self.timer.arm(delay, Due::Restart);
        }
        log::info!(target: "gateway", "restart in {}ms ({reason})", delay.as_millis());
    }

    /// Returns whether a restart is coming anyway, so that a change that needs one need not ask for another.
    pub fn is_restarting(&self) -> bool {
        self.lock().is_some()
    }

    /// Asks `main`, once the delay is over.
    pub fn fire(&self) {
        let program = match &mut *self.lock() {
            Some(coming) if coming.at <= Instant::now() => coming.program.take(),
            // A later one, of which an earlier one took the place.
            _ => return,
        };
        if !(self.ask)(Ask::Restart(program)) {
            *self.lock() = None;
            log::error!(target: "gateway", "restart not possible now: too much waits for the supervisor");
        }
    }

    /// Has the log follow the configuration in force.
    pub fn logging_changed(&self) {
        if !(self.ask)(Ask::Logging) {
            log::warn!(target: "gateway", "the log stays as it is: too much waits for the supervisor");
        }
    }

    /// Returns the token of work that must not outlive this start.
    pub fn stopping(&self) -> &CancelToken {
        &self.stopping
    }

    /// Ends that work.
    pub fn stop(&self) {
        self.stopping.cancel(CancelReason::Shutdown);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Coming>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::timer::Timer;
    use crossbeam_channel::bounded;

    #[test]
    fn the_earliest_restart_wins_and_is_asked_for_once() {
        let (due, dues) = bounded(8);
        let timer = Timer::start(move |item| due.send(item).expect("the test listens")).expect("timer");
        let (asked, asks) = bounded(8);
        let ask: AskMain = Arc::new(move |ask| asked.try_send(ask).is_ok());
        let lifecycle = Lifecycle::new(timer.handle(), ask);
        lifecycle.fire();
        assert!(!lifecycle.is_restarting() && asks.is_empty(), "nobody asked for one");
        assert_eq!(Planned::new(Some(70_000), "config.patch", None).answer()["delayMs"], 60_000);
        assert_eq!(Planned::new(None, "config.patch", None).answer()["delayMs"], 2000);
        lifecycle.restart(Planned::new(None, "update.run", Some("/new".into())));
        lifecycle.fire();
        assert!(asks.is_empty() && lifecycle.is_restarting(), "its time has not come");
        lifecycle.restart(Planned::new(Some(0), "config.patch", None));
        assert!(matches!(dues.recv_timeout(Duration::from_secs(10)), Ok(Due::Restart)));
        lifecycle.fire();
        let Ok(Ask::Restart(Some(program))) = asks.try_recv() else { panic!("the program of the update is kept") };
        assert_eq!(program, PathBuf::from("/new"));
        drop(asks);
        lifecycle.fire();
        assert!(!lifecycle.is_restarting(), "what cannot be asked for is not awaited");
    }
}
