//! The accounts that receive: one thread each, started anew when it fails, stopped within bounds.
//!
//! Owns the threads and the states of the accounts. A failed account is tried again after pauses that grow to half a minute;
//! one that the network refuses, every ten minutes: nothing that a network does ends it for ever. Any thread may call; a
//! lock that only starts and stops hold keeps those in order. Not here: what receiving means (`channel`).

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::channel::{Account, Channel, ReceiveError, Reception, Setting};
use super::inbound::Sink;
use super::state::{State, StateHandle};
use crate::base::backoff::Backoff;
use crate::base::cancel::{CancelReason, CancelToken};
use crate::base::clock::Clock;
use crate::base::rng::Rng;
use crate::base::thread::{self, Joiner};
use crate::config::live::Live;
use crate::config::paths::Paths;
use crate::config::types::Config;

/// Pauses after failures.
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(30);
const PAUSE_FACTOR: f64 = 1.8;
const PAUSE_JITTER: f64 = 0.25;
/// Pause after a refusal.
const REFUSED_PAUSE: Duration = Duration::from_secs(10 * 60);
/// An account that ran this long before it failed starts over with short pauses.
const STEADY: Duration = Duration::from_secs(60);
/// How long an account may take to stop.
const STOP_MAX: Duration = Duration::from_secs(2);
/// Characters of an account's name in its thread's.
const NAME_CHARS: usize = 12;

/// Makes the sink of an account: channel, account, its token.
pub type MakeSink = Arc<dyn Fn(&str, &str, &CancelToken) -> Box<dyn Sink> + Send + Sync>;

/// What the threads need.
#[derive(Clone)]
pub struct Tools {
    /// The configuration.
    pub live: Live,
    /// Where files are.
    pub paths: Paths,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
}

/// Lists the commands for the menu of an account.
pub type MakeMenu = Arc<dyn Fn(&Config, &Account) -> Vec<(String, String)> + Send + Sync>;

/// See the module.
pub struct Supervisor {
    tools: Tools,
    accounts: Mutex<Accounts>,
    /// Held while accounts are started and stopped.
    turn: Mutex<()>,
}

#[derive(Default)]
struct Accounts {
    states: BTreeMap<(String, String), StateHandle>,
    running: BTreeMap<(String, String), Running>,
    is_closed: bool,
}

struct Running {
    cancel: CancelToken,
    /// Closes when the thread ends.
    ended: Receiver<()>,
    thread: Joiner,
}

impl Supervisor {
    /// Returns it with nothing running.
    pub fn new(tools: Tools) -> Self {
        Self { tools, accounts: Mutex::default(), turn: Mutex::default() }
    }

    /// Returns the state of an account, also of one that does not run.
    pub fn state(&self, channel: &str, account: &str) -> State {
        self.handle(channel, account).get()
    }

    /// Returns the handle to the state of an account.
    pub fn handle(&self, channel: &str, account: &str) -> StateHandle {
        self.lock().states.entry((channel.to_owned(), account.to_owned())).or_default().clone()
    }

    /// Starts the accounts of a channel that are switched on and configured and do not run.
    pub fn start(&self, channel: &'static dyn Channel, make_sink: &MakeSink, make_menu: &MakeMenu) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let config = self.tools.live.get();
        let at = Setting::of_process(&config, &self.tools.paths, self.tools.clock.now_ms());
        if at.is_skipped {
            return;
        }
        for account in channel.accounts(&at) {
            if account.is_enabled() && channel.is_configured(&at, &account) {
                // Here and not on the account's thread, whose memory stays small that way.
                let menu = make_menu(&config, &account);
                self.start_account(channel, account, make_sink, menu);
            }
        }
    }

    fn start_account(
        &self,
        channel: &'static dyn Channel,
        account: Account,
        make_sink: &MakeSink,
        menu: Vec<(String, String)>,
    ) {
        let id = channel.info().id;
        let key = (id.to_owned(), account.id.clone());
        let state = self.handle(id, &account.id);
        let mut accounts = self.lock();
        if accounts.is_closed || accounts.running.contains_key(&key) {
            return;
        }
        let cancel = CancelToken::new();
        let sink = make_sink(id, &account.id, &cancel);
        let (ending, ended) = bounded(0);
        let (tools, token, name) = (self.tools.clone(), cancel.clone(), thread_name(id, &account.id));
        let own_state = state.clone();
        let body = move || {
            // Dropped, which says so, however the thread ends.
            let _ending = ending;
            keep_receiving(channel, &account, &menu, &tools, &token, &own_state, &*sink);
        };
        match thread::spawn(&name, thread::STACK_WORKER_BYTES, body) {
            Ok(thread) => {
                accounts.running.insert(key, Running { cancel, ended, thread });
            }
            Err(error) => {
                log::error!(target: "gateway/channels", "{name} cannot be started: {error}");
                state.failed(self.tools.clock.now_ms(), format!("cannot be started: {error}"));
            }
        }
    }

    /// Stops the accounts of a channel, or one of them.
    pub fn stop(&self, channel: &str, account: Option<&str>) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.stop_where(|key| key.0 == channel && account.is_none_or(|account| key.1 == account));
    }

    /// Stops everything, for good.
    pub fn close(&self) {
        self.lock().is_closed = true;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.stop_where(|_| true);
    }

    fn stop_where(&self, is_meant: impl Fn(&(String, String)) -> bool) {
        let mut stopping = Vec::new();
        {
            let mut accounts = self.lock();
            let keys: Vec<_> = accounts.running.keys().filter(|key| is_meant(key)).cloned().collect();
            for key in keys {
                if let Some(running) = accounts.running.remove(&key) {
                    stopping.push((key, running));
                }
            }
        }
        for (_, running) in &stopping {
            running.cancel.cancel(CancelReason::Shutdown);
        }
        let until = Instant::now() + STOP_MAX;
        for ((channel, account), Running { ended, thread, .. }) in stopping {
            let left = until.saturating_duration_since(Instant::now());
            if ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                // Its sink is closed, so it can do no harm; it ends with the call in which it hangs.
                log::warn!(target: "gateway/channels", "{channel} account={account} did not stop in time and was abandoned");
                thread.detach();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a name that the system shows whole.
fn thread_name(channel: &str, account: &str) -> String {
    let short: String = channel.chars().take(2).collect();
    let account: String = account.chars().filter(char::is_ascii).take(NAME_CHARS).collect();
    format!("{short}-{account}")
}

/// The body of an account's thread.
fn keep_receiving(
    channel: &'static dyn Channel,
    account: &Account,
    commands: &[(String, String)],
    tools: &Tools,
    cancel: &CancelToken,
    state: &StateHandle,
    sink: &dyn Sink,
) {
    let Tools { live, paths, clock, rng } = tools;
    let (clock, rng) = (&**clock, &**rng);
    let id = channel.info().id;
    state.update(|state| {
        state.is_running = true;
        state.is_connected = false;
        state.last_start_at = Some(clock.now_ms());
        state.last_error = None;
    });
    let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX, PAUSE_FACTOR, PAUSE_JITTER);
    while !cancel.is_cancelled() {
        let began = clock.now();
        let reception = Reception { account, live, paths, clock, rng, cancel, state, sink, commands };
        let result = catch_unwind(AssertUnwindSafe(|| channel.receive(&reception)))
            .unwrap_or_else(|_| Err(ReceiveError::Failed("a fault of the program; see the log".to_owned())));
        if cancel.is_cancelled() {
            break;
        }
        if clock.now().saturating_duration_since(began) >= STEADY {
            backoff.reset();
        }
        let (text, pause) = match result {
            Err(ReceiveError::Refused(text)) => (text, REFUSED_PAUSE),
            Err(ReceiveError::Failed(text)) => (text, backoff.next_delay(rng)),
            Ok(()) => ("it stopped receiving by itself".to_owned(), backoff.next_delay(rng)),
        };
        let is_refused = pause == REFUSED_PAUSE;
        log::error!(target: "gateway/channels", "[{}] channel exited: {text}; {id} is tried again in {pause:.1?}", account.id);
        state.failed(clock.now_ms(), text);
        state.update(|state| state.is_running = !is_refused);
        if !cancel.sleep(pause) {
            break;
        }
        state.update(|state| state.is_running = true);
    }
    state.update(|state| {
        state.is_running = false;
        state.is_connected = false;
        state.last_stop_at = Some(clock.now_ms());
    });
}
