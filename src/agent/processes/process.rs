//! One command: started, read, waited for, written to.
//!
//! Its own thread carries it out; any thread may look at it, write to it or stop it. Output is bounded.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::kept::{Decoder, Kept};
use super::{OnEnd, terminal};
use crate::base::cancel::{CancelReason, CancelToken, SLICE};
use crate::base::clock::{Clock, UnixMs};
use crate::base::ids::AgentId;
use crate::base::process::{Care, Ended, guard, pipe, supervise};

/// Most output kept, in bytes; the same again of what nobody has polled yet.
pub const OUTPUT_BYTES_MAX: usize = 200_000;
/// How long a command may take to accept what is written to it.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// Written at a time: what a pipe that has room takes without blocking.
const WRITE_BYTES: usize = 512;

/// What is to run.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Whose command it is.
    pub agent: AgentId,
    /// The line for the shell.
    pub script: String,
    /// Where it runs.
    pub cwd: PathBuf,
    /// Variables over those of this process.
    pub env: Vec<(String, String)>,
    /// Variables of this process that it must not see.
    pub withheld: &'static [&'static str],
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Whether it gets a terminal.
    pub has_terminal: bool,
    /// Whether it can be written to.
    pub has_stdin: bool,
    /// How long its output is kept after its end.
    pub keep_ms: UnixMs,
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How.
    pub ended: Ended,
    /// When.
    pub at_ms: UnixMs,
}

/// What a command has come to so far.
#[derive(Debug)]
pub struct Progress {
    /// Its number, as the system has it.
    pub pid: u32,
    /// How it ended, if it did.
    pub finished: Option<Finished>,
    /// Whether it goes on without its run.
    pub is_backgrounded: bool,
    /// Grows with each piece of output.
    pub pieces: u64,
    output: Kept,
    unpolled: Kept,
}

/// See the module.
pub struct Process {
    id: String,
    spec: Spec,
    started_at: UnixMs,
    cancel: CancelToken,
    progress: Mutex<Progress>,
    changed: Condvar,
    stdin: Mutex<Option<File>>,
}

impl Process {
    pub(super) fn new(id: String, spec: Spec, started_at: UnixMs) -> Self {
        let progress = Progress {
            pid: 0,
            finished: None,
            is_backgrounded: false,
            pieces: 0,
            output: Kept::new(OUTPUT_BYTES_MAX),
            unpolled: Kept::new(OUTPUT_BYTES_MAX),
        };
        let progress = Mutex::new(progress);
        let cancel = CancelToken::new();
        Self { id, spec, started_at, cancel, progress, changed: Condvar::new(), stdin: Mutex::default() }
    }

    /// Returns its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns whose it is.
    pub fn agent(&self) -> &AgentId {
        &self.spec.agent
    }

    /// Returns its line.
    pub fn script(&self) -> &str {
        &self.spec.script
    }

    /// Returns where it runs.
    pub fn cwd(&self) -> &Path {
        &self.spec.cwd
    }

    /// Returns when it began.
    pub fn started_at(&self) -> UnixMs {
        self.started_at
    }

    /// Returns whether it goes on without its run.
    pub fn is_backgrounded(&self) -> bool {
        self.progress().is_backgrounded
    }

    /// Returns whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.progress().finished.is_some()
    }

    /// Returns how it ended.
    pub fn finished(&self) -> Option<Finished> {
        self.progress().finished.clone()
    }

    /// Returns its number.
    pub fn pid(&self) -> u32 {
        self.progress().pid
    }

    /// Returns how many pieces of output there were.
    pub fn pieces(&self) -> u64 {
        self.progress().pieces
    }

    /// Returns the output that is kept, and whether some was dropped.
    pub fn output(&self) -> (String, bool) {
        let mut progress = self.progress();
        let is_cut = progress.output.is_cut();
        (progress.output.text().to_owned(), is_cut)
    }

    /// Returns the last characters of the output.
    pub fn tail(&self, chars_max: usize) -> String {
        crate::base::text::tail_chars(self.progress().output.text(), chars_max).to_owned()
    }

    /// Returns the output since the last call.
    pub fn poll(&self) -> String {
        self.progress().unpolled.take()
    }

    pub(super) fn is_stale(&self, now_ms: UnixMs) -> bool {
        let progress = self.progress();
        let finished = progress.finished.as_ref();
        finished.is_some_and(|it| progress.is_backgrounded && now_ms.saturating_sub(it.at_ms) > self.spec.keep_ms)
    }

    /// Lets it go on without its run; false when it has ended already.
    pub fn put_into_background(&self) -> bool {
        let mut progress = self.progress();
        progress.is_backgrounded = progress.finished.is_none();
        progress.is_backgrounded
    }

    /// Ends it and everything it started.
    pub fn stop(&self) {
        self.cancel.cancel(CancelReason::Aborted);
    }

    /// Waits for its end, for more output than `pieces`, or for `until`, but no longer than one slice.
    pub fn wait(&self, pieces: u64, until: Instant) {
        let left = until.saturating_duration_since(Instant::now()).min(SLICE);
        let progress = self.progress();
        let is_same = |progress: &mut Progress| progress.finished.is_none() && progress.pieces == pieces;
        // Whatever it was, the caller looks again.
        let _ = self.changed.wait_timeout_while(progress, left, is_same).unwrap_or_else(PoisonError::into_inner);
    }

    /// Waits until it has ended, or for `until`; returns whether it has.
    pub fn wait_end(&self, until: Instant, cancel: &CancelToken) -> bool {
        while !self.has_ended() && Instant::now() < until && !cancel.is_cancelled() {
            self.wait(self.pieces(), until);
        }
        self.has_ended()
    }

    /// Writes to its stdin; with `is_last` its stdin ends with that.
    ///
    /// # Errors
    /// When it has none, or does not take it.
    pub fn write(&self, bytes: &[u8], is_last: bool) -> io::Result<()> {
        let mut stdin = self.stdin.lock().unwrap_or_else(PoisonError::into_inner);
        let file = stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let until = Instant::now() + WRITE_PATIENCE;
        for piece in bytes.chunks(WRITE_BYTES) {
            wait_writable(file, until)?;
            file.write_all(piece)?;
        }
        if is_last && self.spec.has_terminal {
            // A terminal's input ends with a character.
            wait_writable(file, until)?;
            file.write_all(b"\x04")?;
        } else if is_last {
            *stdin = None;
        }
        Ok(())
    }

    /// Starts it and waits for its end. Runs on its own thread; `started` hears whether it began.
    pub(super) fn carry_out(&self, clock: &dyn Clock, on_end: OnEnd, started: &Sender<Result<(), String>>) {
        let (mut child, reader) = match self.spawn() {
            Ok(begun) => begun,
            Err(error) => {
                // The one who waits is told; if it is gone nobody needs to know.
                let _ = started.send(Err(format!("cannot start {} in {}: {error}", shell(), self.spec.cwd.display())));
                return;
            }
        };
        self.progress().pid = child.id();
        let _ = started.send(Ok(()));
        let deadline = self.spec.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let care = Care { deadline, is_guarded: true, ..Care::until(&self.cancel) };
        let mut decoder = Decoder::default();
        let ended = supervise(&mut child, &mut [Some(reader)], &care, &mut |_, bytes| {
            let text = decoder.push(bytes);
            let mut progress = self.progress();
            progress.output.push(&text);
            progress.unpolled.push(&text);
            progress.pieces += 1;
            self.changed.notify_all();
        });
        let ended = ended.unwrap_or_else(|error| {
            log::error!(target: "agent", "lost sight of command {} pid={}: {error}", self.id, child.id());
            Ended::Signalled(libc::SIGKILL)
        });
        *self.stdin.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let finished = Finished { ended, at_ms: clock.now_ms() };
        let is_backgrounded = {
            let mut progress = self.progress();
            progress.finished = Some(finished.clone());
            self.changed.notify_all();
            progress.is_backgrounded
        };
        if is_backgrounded {
            on_end(self, &finished);
        }
    }

    fn spawn(&self) -> io::Result<(Child, File)> {
        let spec = &self.spec;
        let mut command = Command::new(shell());
        command.arg("-c").arg(&spec.script).current_dir(&spec.cwd);
        for name in spec.withheld {
            command.env_remove(name);
        }
        command.envs(spec.env.iter().map(|(name, value)| (name, value)));
        let (reader, stdin) = if spec.has_terminal {
            let (ours, theirs) = terminal::open()?;
            command.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(theirs);
            command.env("TERM", "xterm-256color");
            (ours.try_clone()?, Some(ours))
        } else {
            let (reader, writer) = pipe()?;
            let stdin = if spec.has_stdin { Stdio::piped() } else { Stdio::null() };
            command.stdin(stdin).stdout(writer.try_clone()?).stderr(writer);
            (reader, None)
        };
        guard::put_before(&mut command, spec.has_terminal);
        let mut child = command.spawn()?;
        let stdin = stdin.or_else(|| child.stdin.take().map(|pipe| File::from(OwnedFd::from(pipe))));
        *self.stdin.lock().unwrap_or_else(PoisonError::into_inner) = stdin;
        // Dropping the command closes its ends of the pipes here.
        Ok((child, reader))
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the shell that runs commands.
pub(super) fn shell() -> &'static str {
    if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" }
}

fn wait_writable(file: &File, until: Instant) -> io::Result<()> {
    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    let left = until.saturating_duration_since(Instant::now());
    let timeout_ms = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one valid entry that lives through the call.
    match unsafe { libc::poll(&raw mut poll, 1, timeout_ms) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ if poll.revents & libc::POLLOUT != 0 => Ok(()),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}
