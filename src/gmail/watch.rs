//! Keeps `gog gmail watch serve` running, and Google pushing.
//!
//! A [`Watch`] runs on a thread of its own (`gmail`): it publishes the port, asks Google to push, keeps `gog` running, which
//! ends with that thread, and waits in `poll` over its output, its end and the token. A second thread (`gmail-renew`) asks Google again
//! every renewal period; it only sleeps between. [`Watcher`] holds at most one watch and replaces it without making anybody
//! wait. Not here: when there is to be one (`gateway::gmail`, `cli::webhooks`).

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use crossbeam_channel::bounded;
use log::Level;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Settings;
use crate::base::backoff::Backoff;
use crate::base::cancel::{CancelReason, CancelToken};
use crate::base::process::{Captured, Care, Ended, Keep, capture, guard, pipe, supervise, withhold};
use crate::base::rng::SystemRng;
use crate::base::signals::CloseOnDrop;
use crate::base::thread::{self, Joiner};

/// How long `gog` may take to ask Google.
const START_WAIT: Duration = Duration::from_secs(120);
/// How long it may take to end after SIGTERM.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// Pause after it has ended by itself; after so many quick ends in a row, the longer one.
const PAUSE: Duration = Duration::from_secs(5);
const QUICK_ENDS_MAX: u32 = 5;
const PAUSE_LONG: Duration = Duration::from_secs(60);
/// Longest pause before Tailscale is asked again to publish the port; the first is [`PAUSE`].
const UNPUBLISHED_PAUSE_MAX: Duration = Duration::from_secs(10 * 60);
/// An end after this time is not quick.
const STEADY: Duration = Duration::from_secs(60);
/// Longest period between two questions to Google, whatever is configured.
const RENEW_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Output of a command that is kept for its error.
const OUTPUT_BYTES_MAX: usize = 4096;
/// A longer line of `gog` is told in parts.
const LINE_BYTES_MAX: usize = 8192;

/// Tells people what happens, and what `gog` says.
pub type Tell = Arc<dyn Fn(Level, &str) + Send + Sync>;

/// What is to run.
pub struct Watch {
    /// How.
    pub settings: Settings,
    /// The program `gog`.
    pub gog: PathBuf,
    /// Who hears of it.
    pub tell: Tell,
}

/// Why a watch ends before its token does.
#[derive(Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The port cannot be published: what Tailscale said.
    Unpublished(String),
    /// Somebody else listens on the port.
    AddressInUse,
}

/// How one `gog gmail watch serve` came to its end.
enum Served {
    Ended(Ended),
    AddressInUse,
    /// It could not be started, or was lost.
    Failed(String),
}

impl Watch {
    /// Runs until `cancel`; `begun` is called when `gog` is about to be started.
    ///
    /// # Errors
    /// Why it ended earlier. With [`Stopped::AddressInUse`] Google has been asked to push, and may be asked again: whoever
    /// has the port is probably another watcher.
    pub fn run(&self, cancel: &CancelToken, begun: impl FnOnce()) -> Result<(), Stopped> {
        let place = &self.settings.place;
        if place.published.mode != "off" {
            match place.published.publish(place.port, cancel) {
                Ok(url) => {
                    let mode = &place.published.mode;
                    self.info(&format!("tailscale {mode} configured for port {} ({url})", place.port));
                }
                Err(_) if cancel.is_cancelled() => return Ok(()),
                Err(error) => return Err(Stopped::Unpublished(error)),
            }
        }
        if !self.ask_google(cancel) && !cancel.is_cancelled() {
            self.warn("gmail watch start failed, but continuing with serve");
        }
        if cancel.is_cancelled() {
            return Ok(());
        }
        begun();
        self.keep_serving(cancel)
    }

    /// Asks Google again every `period`, until `cancel`.
    fn keep_asking(&self, period: Duration, cancel: &CancelToken) {
        while cancel.sleep(period) {
            self.ask_google(cancel);
        }
    }

    /// Has Google push for some days; tells how it went.
    fn ask_google(&self, cancel: &CancelToken) -> bool {
        let mut command = Command::new(&self.gog);
        command.args(self.settings.start_args());
        withhold(&mut command);
        let account = &self.settings.account;
        match capture(command, Some(START_WAIT), Keep::Last(OUTPUT_BYTES_MAX), cancel) {
            Ok(Captured { ended: Ended::Exited(0), .. }) => {
                self.info(&format!("watch started for {account}"));
                return true;
            }
            Ok(Captured { ended: Ended::Cancelled, .. }) => {}
            Ok(captured) => self.error(&format!("watch start failed: {}", said(&captured))),
            Err(error) => self.error(&format!("watch start error: {error}")),
        }
        false
    }

    /// Keeps it running until `cancel`.
    fn keep_serving(&self, cancel: &CancelToken) -> Result<(), Stopped> {
        let mut quick_ends = 0;
        loop {
            let since = Instant::now();
            let served = self.serve(cancel);
            if cancel.is_cancelled() {
                return Ok(());
            }
            quick_ends = if since.elapsed() < STEADY { quick_ends + 1 } else { 0 };
            let pause = if quick_ends > QUICK_ENDS_MAX { PAUSE_LONG } else { PAUSE };
            let how = match served {
                Served::AddressInUse => {
                    self.warn(
                        "gog serve failed to bind (address already in use); stopping restarts. Another watcher is likely \
                         running. Set CLAWDBOT_SKIP_GMAIL_WATCHER=1 or stop the other process.",
                    );
                    return Err(Stopped::AddressInUse);
                }
                Served::Ended(Ended::Exited(code)) => format!("gog exited (code={code}, signal=null)"),
                Served::Ended(Ended::Signalled(signal)) => format!("gog exited (code=null, signal={signal})"),
                Served::Ended(Ended::TimedOut | Ended::Cancelled) => return Ok(()),
                Served::Failed(error) => format!("gog process error: {error}"),
            };
            self.warn(&format!("{how}; restarting in {}s", pause.as_secs()));
            if !cancel.sleep(pause) {
                return Ok(());
            }
        }
    }

    /// Runs it once, for as long as this thread lives: nothing of it may hold the port when this process is killed.
    fn serve(&self, cancel: &CancelToken) -> Served {
        self.info(&format!("starting gog {}", self.settings.shown_serve_args()));
        let (mut child, mut pipes) = match self.spawn() {
            Ok(begun) => begun,
            Err(error) => return Served::Failed(error.to_string()),
        };
        let mut lines = [Lines::default(), Lines::default()];
        let (since, mut is_address_in_use) = (Instant::now(), false);
        let mut hear = |stream: usize, line: &str| {
            // At its start: later such words may be those of a mail, and must not end the watch.
            is_address_in_use |= stream == 1 && since.elapsed() < STEADY && is_address_in_use_error(line);
            let level = if stream == 0 { Level::Info } else { Level::Warn };
            (self.tell)(level, &format!("[gog] {}", self.settings.mask(line)));
        };
        let care = Care { grace: STOP_GRACE, ..Care::until(cancel) };
        let ended = supervise(&mut child, &mut pipes, &care, &mut |stream, bytes| {
            lines[stream].push(bytes, |line| hear(stream, line));
        });
        for (stream, lines) in lines.into_iter().enumerate() {
            lines.finish(|line| hear(stream, line));
        }
        match ended {
            _ if is_address_in_use => Served::AddressInUse,
            Ok(ended) => Served::Ended(ended),
            Err(error) => Served::Failed(error.to_string()),
        }
    }

    fn spawn(&self) -> std::io::Result<(Child, [Option<std::fs::File>; 2])> {
        let ((stdout, out), (stderr, err)) = (pipe()?, pipe()?);
        let mut command = Command::new(&self.gog);
        command.args(self.settings.serve_args()).stdin(Stdio::null()).stdout(out).stderr(err);
        withhold(&mut command);
        guard::tie_to_thread(&mut command);
        // Dropping the command closes its ends of the pipes here.
        Ok((command.spawn()?, [Some(stdout), Some(stderr)]))
    }

    fn info(&self, text: &str) {
        (self.tell)(Level::Info, text);
    }

    fn warn(&self, text: &str) {
        (self.tell)(Level::Warn, text);
    }

    fn error(&self, text: &str) {
        (self.tell)(Level::Error, text);
    }
}

/// Returns what a failed command said.
fn said(captured: &Captured) -> String {
    match (captured.said(), captured.ended) {
        (_, Ended::TimedOut) => format!("no answer within {}s", START_WAIT.as_secs()),
        (Some(text), _) => text.to_owned(),
        (None, ended) => format!("gog watch start failed ({ended:?})"),
    }
}

fn is_address_in_use_error(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    line.contains("address already in use") || line.contains("eaddrinuse")
}

/// Cuts what arrives into lines.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], mut hear: impl FnMut(&str)) {
        for &byte in bytes {
            if byte != b'\n' {
                self.rest.push(byte);
            }
            if byte == b'\n' || self.rest.len() == LINE_BYTES_MAX {
                tell_line(&std::mem::take(&mut self.rest), &mut hear);
            }
        }
    }

    fn finish(self, mut hear: impl FnMut(&str)) {
        tell_line(&self.rest, &mut hear);
    }
}

/// Tells a line without what would steer a terminal: it may hold what a stranger wrote in a mail.
fn tell_line(line: &[u8], hear: &mut impl FnMut(&str)) {
    let text = String::from_utf8_lossy(line).replace(|c: char| c.is_control(), " ");
    if !text.trim().is_empty() {
        hear(text.trim());
    }
}

/// Runs a watch in the foreground, until SIGTERM or SIGINT.
///
/// # Errors
/// When signals or threads cannot be had, and why the watch ended by itself.
pub fn run_in_foreground(watch: Watch) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("signals")?;
    let end_of_signals = CloseOnDrop(signals.handle());
    let cancel = CancelToken::new();
    let (told, stopped) = bounded(1);
    let (watch, token) = (Arc::new(watch), cancel.clone());
    let thread = thread::spawn("gmail", thread::STACK_WORKER_BYTES, move || {
        let _end_of_signals = end_of_signals;
        let mut renewing = None;
        let ended = watch.run(&token, || renewing = renew(&watch, &token));
        // There is room, and who listens is joined below. Before the renewals are waited for, which end with the token.
        let _ = told.send(ended);
        token.cancel(CancelReason::Aborted);
    })
    .context("thread")?;
    signals.forever().next();
    cancel.cancel(CancelReason::Shutdown);
    thread.join();
    match stopped.try_recv() {
        Ok(Err(Stopped::Unpublished(error))) => bail!("tailscale setup failed: {error}"),
        Ok(Err(Stopped::AddressInUse)) => bail!(
            "another watcher listens there already, probably the gateway's: stop it, or choose another --bind or --port"
        ),
        _ => Ok(()),
    }
}

/// Holds the watch that runs, if one does.
#[derive(Default)]
pub struct Watcher {
    /// Held while one watch takes another's place, which waits for nobody.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    is_closed: bool,
}

struct Running {
    cancel: CancelToken,
    /// Ends soon after the token: the grace of `gog`, at most.
    thread: Joiner,
}

impl Watcher {
    /// Ends what runs; `next` begins when it has ended. Returns at once.
    pub fn replace(&self, next: Option<Watch>) {
        let mut state = self.lock();
        if state.is_closed {
            return;
        }
        if let Some(running) = &state.running {
            running.cancel.cancel(CancelReason::Aborted);
        }
        // What is being ended stays here, where a stop waits for it.
        let Some(watch) = next else { return };
        let before = state.running.take();
        let cancel = CancelToken::new();
        let (token, tell) = (cancel.clone(), watch.tell.clone());
        let body = move || {
            drop(before);
            if !token.is_cancelled() {
                watch_until(&Arc::new(watch), &token);
            }
        };
        match thread::spawn("gmail", thread::STACK_WORKER_BYTES, body) {
            Ok(thread) => state.running = Some(Running { cancel, thread }),
            Err(error) => tell(Level::Error, &format!("gmail watcher failed to start: {error}")),
        }
    }

    /// Has what runs end, for good; [`Watcher::join`] waits for it.
    pub fn cancel(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        if let Some(running) = &state.running {
            running.cancel.cancel(CancelReason::Shutdown);
        }
    }

    /// Waits for the end of what was cancelled.
    pub fn join(&self) {
        let running = self.lock().running.take();
        if let Some(running) = running {
            running.thread.join();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Joining comes with the field's own drop.
        self.cancel();
    }
}

/// The body of the thread `gmail`.
fn watch_until(watch: &Arc<Watch>, cancel: &CancelToken) {
    let mut renewing = None;
    // After a machine's start Tailscale may not be there yet.
    let mut pauses = Backoff::new(PAUSE, UNPUBLISHED_PAUSE_MAX, 2.0, 0.0);
    loop {
        let stopped = watch.run(cancel, || {
            renewing = renew(watch, cancel);
            let Settings { account, renew_minutes, .. } = &watch.settings;
            watch.info(&format!("gmail watcher started for {account} (renew every {renew_minutes}m)"));
        });
        match stopped {
            Err(Stopped::Unpublished(error)) => {
                let pause = pauses.next_delay(&SystemRng);
                let seconds = pause.as_secs();
                watch.warn(&format!(
                    "gmail watcher not started: tailscale setup failed: {error}; trying again in {seconds}s"
                ));
                if !cancel.sleep(pause) {
                    return;
                }
            }
            // Google is asked on: the mails go to whoever has the port.
            Err(Stopped::AddressInUse) => cancel.wait(),
            Ok(()) => break,
        }
        if cancel.is_cancelled() {
            break;
        }
    }
    drop(renewing);
    watch.info("gmail watcher stopped");
}

fn renew(watch: &Arc<Watch>, cancel: &CancelToken) -> Option<Joiner> {
    let (inner, token) = (watch.clone(), cancel.clone());
    let period = Duration::from_secs(watch.settings.renew_minutes.saturating_mul(60)).min(RENEW_MAX);
    let started = thread::spawn("gmail-renew", thread::STACK_SMALL_BYTES, move || inner.keep_asking(period, &token));
    started.inspect_err(|error| watch.error(&format!("the watch is not renewed: {error}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::types::Config;
    use crate::gmail::Overrides;
    use serde_json::json;

    #[test]
    fn lines_as_they_arrive() {
        let mut lines = Lines::default();
        let mut heard = Vec::new();
        for bytes in ["one\ntw", "o\n\n  \nthr", "e\te\x1b[2J\r\n", "rest"] {
            lines.push(bytes.as_bytes(), |line| heard.push(line.to_owned()));
        }
        lines.push(&[b'x'; LINE_BYTES_MAX], |line| heard.push(line[line.len() - 1..].to_owned()));
        lines.finish(|line| heard.push(line.to_owned()));
        assert_eq!(heard, ["one", "two", "thre e [2J", "x", "xxxx"]);
    }

    #[test]
    fn google_is_asked_every_period() {
        let hooks = json!({"token": "h", "gmail": {"account": "me@x.y", "topic": "t", "pushToken": "p"}});
        let config = Config { hooks: serde_json::from_value(hooks).expect("hooks"), ..Config::default() };
        let settings = Settings::resolve(&config, "http://x", &Overrides::default()).expect("settings");
        let (heard, hears) = bounded(1);
        let tell = Arc::new(move |_, text: &str| heard.send(text.to_owned()).expect("somebody listens"));
        let watch = Arc::new(Watch { settings, gog: PathBuf::from("/bin/echo"), tell });
        let (cancel, asking) = (CancelToken::new(), watch.clone());
        let token = cancel.clone();
        let body = move || asking.keep_asking(Duration::from_millis(1), &token);
        let thread = thread::spawn("t", thread::STACK_SMALL_BYTES, body).expect("spawn");
        for _ in 0..3 {
            let text = hears.recv_timeout(Duration::from_secs(20)).expect("asked");
            assert_eq!(text, "watch started for me@x.y");
        }
        cancel.cancel(CancelReason::Aborted);
        // What is said last must not wait for a listener.
        while !thread.is_finished() {
            let _ = hears.recv_timeout(Duration::from_millis(10));
        }
        assert!(thread.join());
    }

    #[test]
    fn a_taken_address_is_known_by_its_text() {
        for (line, expected) in [
            ("listen tcp 127.0.0.1:8788: bind: address already in use", true),
            ("Error: EADDRINUSE", true),
            ("Address in use", false),
        ] {
            assert_eq!(is_address_in_use_error(line), expected, "{line}");
        }
    }
}
