//! Every process that a run starts. Each leads a group of its own, and none outlives the run, however that ends.
//!
//! Owns the *guard*: this program again, in another group, which is told of every start and end through a pipe. When the
//! pipe closes (the run is over, was interrupted, was killed with SIGKILL) it ends what is left and removes the run's
//! directory. Not here: what is started, and what it costs (`proc`).

use std::fs::File;
use std::io::{BufRead as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// The hidden argument that makes this program the guard.
pub const GUARD: &str = "--guard";

/// How much of a dead process's output an error shows.
const LAST_WORDS_BYTES_MAX: usize = 600;

static GUARD_PIPE: OnceLock<Mutex<ChildStdin>> = OnceLock::new();

/// Starts the guard of this run's directory.
pub fn start_guard(directory: &Path) -> Result<()> {
    let program = std::env::current_exe().context("find this program's own path")?;
    let mut command = Command::new(program);
    command.arg(GUARD).arg(directory).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut guard = command.process_group(0).spawn().context("start the guard of the processes under test")?;
    let pipe = guard.stdin.take().expect("its standard input is a pipe");
    let _ = GUARD_PIPE.set(Mutex::new(pipe));
    Ok(())
}

/// The guard itself: waits for the end of the run.
pub fn guard(directory: &Path) {
    let mut groups: Vec<i32> = Vec::new();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match (line.get(..1), line.get(1..).and_then(|id| id.parse().ok())) {
            (Some("+"), Some(group)) => groups.push(group),
            (Some("-"), Some(group)) => groups.retain(|known| *known != group),
            _ => {}
        }
    }
    groups.into_iter().for_each(kill);
    let _ = std::fs::remove_dir_all(directory);
}

/// A guard that is gone guards nothing, but the run still ends what it started.
fn tell_guard(sign: char, group: i32) {
    if let Some(pipe) = GUARD_PIPE.get() {
        let _ = writeln!(pipe.lock().unwrap_or_else(|poison| poison.into_inner()), "{sign}{group}");
    }
}

fn kill(group: i32) {
    // SAFETY: plain system call; a group is listed only until its leader has been waited for, so it is still its own.
    unsafe { libc::killpg(group, libc::SIGKILL) };
}

/// A process that was started; dropping it ends its whole group.
pub struct Process {
    child: std::process::Child,
    output: PathBuf,
}

impl Process {
    /// Starts a command; what it prints goes to the file `output`.
    pub fn start(mut command: Command, output: PathBuf) -> Result<Self> {
        let file = File::create(&output).with_context(|| format!("create {}", output.display()))?;
        let errors = file.try_clone().context("a second handle of the output file")?;
        command.stdin(Stdio::null()).stdout(file).stderr(errors).process_group(0);
        let child = command.spawn().with_context(|| {
            format!(
                "cannot start `{}`: give the whole command, as a shell would find it",
                command.get_program().display()
            )
        })?;
        let process = Self { child, output };
        tell_guard('+', process.group());
        Ok(process)
    }

    /// The process group, whose id is that of its leader.
    pub fn group(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    /// How the leader ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for the end of the leader, to the microsecond.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        // SAFETY: plain system call; the descriptor is handed to its owner at once.
        let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, self.group(), 0) };
        ensure!(descriptor >= 0, "cannot watch a process: {}", std::io::Error::last_os_error());
        // SAFETY: it was opened just now and belongs to nobody else.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor as i32) };
        let mut entry = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, as the count says. A signal ends the run or nothing, so there is no second try.
        unsafe { libc::poll(&mut entry, 1, patience.as_millis() as i32) };
        self.ended().with_context(|| format!("still runs after {} s: {}", patience.as_secs(), self.last_words()))
    }

    /// The end of what it printed.
    pub fn last_words(&self) -> String {
        let text = std::fs::read(&self.output).unwrap_or_default();
        let from = text.len().saturating_sub(LAST_WORDS_BYTES_MAX);
        let text = String::from_utf8_lossy(&text[from..]).trim().to_owned();
        if text.is_empty() { "(it printed nothing)".to_owned() } else { text }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill(self.group());
        // Before the wait: after it the number may be another group's.
        tell_guard('-', self.group());
        let _ = self.child.wait();
    }
}
