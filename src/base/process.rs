//! Child processes: run one to its end with a deadline, a cancel token and an output cap.
//!
//! The child leads a process group of its own, so that ending it ends what it started. Output is read through pipes as
//! it arrives: both streams through one ([`run`]), or each through its own ([`capture`]). Runs on the caller's thread,
//! which blocks in `poll` until something happens; a cancelled token wakes it. Commands that must leave nothing behind get
//! a [`guard`]. Not here: background processes with a life of their own.

pub mod guard;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::cancel::{CancelToken, Hooked, SLICE};
use super::text::unless_blank;

/// Variables that no child of ours gets to see: the gateway's own secrets.
pub const WITHHELD: &[&str] = &["CLAWDBOT_GATEWAY_TOKEN", "CLAWDBOT_GATEWAY_PASSWORD"];
/// How long a child that was told to end (SIGTERM) may take before SIGKILL.
const TERM_GRACE: Duration = Duration::from_millis(500);
/// The longest wait between two looks at a child whose end the kernel does not announce.
const UNWATCHED_SLICE: Duration = Duration::from_millis(20);
/// The most that is read from a pipe after the child's end: a grandchild may go on writing for ever.
const LEFT_OVER_BYTES_MAX: usize = 1024 * 1024;

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
    /// Killed here: the deadline passed.
    TimedOut,
    /// Killed here: the token was cancelled.
    Cancelled,
}

/// What a child left behind.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub ended: Ended,
    /// stdout and stderr in arrival order, lossy UTF-8; the first part is dropped beyond the cap.
    pub text: String,
    /// Whether the cap dropped anything.
    pub truncated: bool,
    /// How long it ran.
    pub duration: Duration,
}

/// What a child left behind, each stream apart.
#[derive(Debug)]
pub struct Captured {
    /// How it ended.
    pub ended: Ended,
    /// stdout, lossy UTF-8.
    pub stdout: String,
    /// stderr, lossy UTF-8.
    pub stderr: String,
    /// Whether anything was dropped.
    pub truncated: bool,
}

impl Captured {
    /// Returns what a child that failed said: its complaints, else its output; `None` when it said nothing.
    pub fn said(&self) -> Option<&str> {
        unless_blank(&self.stderr).or_else(|| unless_blank(&self.stdout))
    }
}

/// Keeps the gateway's own secrets from a child.
pub fn withhold(command: &mut Command) {
    for name in WITHHELD {
        command.env_remove(name);
    }
}

/// What is kept of a child's output, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The first so many of both streams together.
    First(usize),
    /// The last so many of each stream.
    Last(usize),
}

/// How a child is looked after.
#[derive(Debug, Clone, Copy)]
pub struct Care<'a> {
    /// When it is ended, at the latest.
    pub deadline: Option<Instant>,
    /// Ends it early.
    pub cancel: &'a CancelToken,
    /// Whether a [`guard`] stands before it.
    pub is_guarded: bool,
    /// How long it may take after SIGTERM before it is killed.
    pub grace: Duration,
}

impl<'a> Care<'a> {
    /// Cares for a child until its own end, or until the token's.
    pub fn until(cancel: &'a CancelToken) -> Self {
        Self { deadline: None, cancel, is_guarded: false, grace: TERM_GRACE }
    }
}

/// Runs `command` to its end, keeping the last `output_bytes_max` bytes of its output.
///
/// `on_output` sees each piece as it arrives.
///
/// # Errors
/// The system's error when the child cannot be started or its pipe cannot be read.
pub fn run(
    mut command: Command,
    timeout: Option<Duration>,
    output_bytes_max: usize,
    cancel: &CancelToken,
    started: impl FnOnce(u32),
    mut on_output: impl FnMut(&str),
) -> io::Result<Output> {
    let (reader, writer) = pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    let start = Instant::now();
    let mut child = command.spawn()?;
    // The command holds the write ends; without this drop the pipe would never report its end.
    drop(command);
    started(child.id());
    let mut tail = Tail::new(output_bytes_max);
    let care = Care { deadline: timeout.map(|timeout| start + timeout), ..Care::until(cancel) };
    let ended = supervise(&mut child, &mut [Some(reader)], &care, &mut |_, chunk| {
        on_output(&String::from_utf8_lossy(chunk));
        tail.push(chunk);
    })?;
    let (text, truncated) = tail.finish();
    Ok(Output { ended, text, truncated, duration: start.elapsed() })
}

/// Runs `command` to its end, with its streams apart.
///
/// # Errors
/// As [`run`].
pub fn capture(command: Command, timeout: Option<Duration>, keep: Keep, cancel: &CancelToken) -> io::Result<Captured> {
    capture_with(command, timeout, keep, Care::until(cancel))
}

/// As [`capture`], behind a [`guard`]: nothing of the command is left when this returns.
///
/// # Errors
/// As [`run`].
pub fn capture_all(
    mut command: Command,
    timeout: Option<Duration>,
    keep: Keep,
    cancel: &CancelToken,
) -> io::Result<Captured> {
    guard::put_before(&mut command, false);
    capture_with(command, timeout, keep, Care { is_guarded: true, ..Care::until(cancel) })
}

fn capture_with(mut command: Command, timeout: Option<Duration>, keep: Keep, care: Care<'_>) -> io::Result<Captured> {
    let ((stdout, out), (stderr, err)) = (pipe()?, pipe()?);
    command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    let care = Care { deadline: timeout.map(|timeout| Instant::now() + timeout), ..care };
    let mut child = command.spawn()?;
    drop(command);
    let (mut room, tail_bytes_max) = match keep {
        Keep::First(bytes_max) => (bytes_max, usize::MAX),
        Keep::Last(bytes_max) => (usize::MAX, bytes_max),
    };
    let mut tails = [Tail::new(tail_bytes_max), Tail::new(tail_bytes_max)];
    let mut is_full = false;
    let ended = supervise(&mut child, &mut [Some(stdout), Some(stderr)], &care, &mut |stream, chunk| {
        let kept = chunk.len().min(room);
        room -= kept;
        is_full |= kept < chunk.len();
        tails[stream].push(&chunk[..kept]);
    })?;
    let [(stdout, is_stdout_cut), (stderr, is_stderr_cut)] = tails.map(Tail::finish);
    Ok(Captured { ended, stdout, stderr, truncated: is_full || is_stdout_cut || is_stderr_cut })
}

/// The last of what came through a pipe.
struct Tail {
    bytes: Vec<u8>,
    bytes_max: usize,
    is_cut: bool,
}

impl Tail {
    fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max, is_cut: false }
    }

    fn push(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
        // Cut at twice the cap, so that a long output is not moved at every read.
        if self.bytes.len() > self.bytes_max.saturating_mul(2) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.bytes.len() > self.bytes_max {
            self.bytes.drain(..self.bytes.len() - self.bytes_max);
            self.is_cut = true;
        }
    }

    fn finish(mut self) -> (String, bool) {
        self.cut();
        (String::from_utf8_lossy(&self.bytes).into_owned(), self.is_cut)
    }
}

/// Waits for the child's end, or ends it and its group; `on_bytes` gets what arrives, with the pipe's number.
///
/// The child's own end decides: a grandchild may hold the pipes open, and a child may close them, for ever.
///
/// # Errors
/// The system's error when a pipe cannot be read or the child cannot be waited for; then it has been killed.
pub fn supervise(
    child: &mut Child,
    pipes: &mut [Option<File>],
    care: &Care<'_>,
    on_bytes: &mut dyn FnMut(usize, &[u8]),
) -> io::Result<Ended> {
    watch(child, pipes, care, on_bytes).inspect_err(|_| {
        kill_group(child.id(), if care.is_guarded { guard::END_NOW } else { libc::SIGKILL });
        // Without this it would stay as a zombie.
        let _ = child.wait();
    })
}

fn watch(
    child: &mut Child,
    pipes: &mut [Option<File>],
    care: &Care<'_>,
    on_bytes: &mut dyn FnMut(usize, &[u8]),
) -> io::Result<Ended> {
    let pid = child.id();
    let exit = watch_exit(pid);
    let (mut wake, _hooked) = match wake_on_cancel(care.cancel) {
        Some((wake, hooked)) => (Some(wake), Some(hooked)),
        None => (None, None),
    };
    let mut killed: Option<(Ended, Instant)> = None;
    while !has_ended(pid)? {
        let now = Instant::now();
        let wake_at = match killed {
            None => {
                let reason = match care.deadline {
                    _ if care.cancel.is_cancelled() => Some(Ended::Cancelled),
                    Some(deadline) if now >= deadline => Some(Ended::TimedOut),
                    _ => None,
                };
                if let Some(reason) = reason {
                    // A guard leads a group of its own and passes it on.
                    kill_group(pid, libc::SIGTERM);
                    killed = Some((reason, now + care.grace));
                    // It has said what it had to, and would say it for ever.
                    wake = None;
                }
                let until = care.deadline.into_iter().chain(care.cancel.deadline()).min();
                killed.map(|(_, kill_at)| kill_at).or(until)
            }
            Some((_, kill_at)) if now < kill_at => Some(kill_at),
            Some(_) => {
                kill_group(pid, if care.is_guarded { guard::END_NOW } else { libc::SIGKILL });
                None
            }
        };
        let mut slice = wake_at.map(|at| at.saturating_duration_since(now));
        // Whoever cannot be woken looks from time to time; what is being killed is killed again.
        let look = if exit.is_none() { UNWATCHED_SLICE } else { SLICE };
        if exit.is_none() || wake.is_none() {
            slice = Some(slice.map_or(look, |slice| slice.min(look)));
        }
        for index in wait_readable(pipes, exit.as_ref(), wake.as_ref(), slice)? {
            read_once(pipes, index, on_bytes)?;
        }
    }
    let mut left = LEFT_OVER_BYTES_MAX;
    while left > 0 {
        let readable = wait_readable(pipes, None, None, Some(Duration::ZERO))?;
        let mut count = 0;
        for index in readable {
            count += read_once(pipes, index, on_bytes)?;
        }
        if count == 0 {
            break;
        }
        left = left.saturating_sub(count);
    }
    if killed.is_some() {
        // Before the child is reaped: until then nobody else can have its number.
        kill_group(pid, libc::SIGKILL);
    }
    let status = child.wait()?;
    let natural = status.code().map_or_else(|| Ended::Signalled(status.signal().unwrap_or(0)), Ended::Exited);
    Ok(killed.map_or(natural, |(ended, _)| ended))
}

/// Reads one piece of a readable pipe; closes the pipe at its end.
fn read_once(pipes: &mut [Option<File>], index: usize, on_bytes: &mut dyn FnMut(usize, &[u8])) -> io::Result<usize> {
    let Some(pipe) = &mut pipes[index] else { return Ok(0) };
    let mut chunk = [0_u8; 8192];
    let count = match pipe.read(&mut chunk) {
        // A terminal whose other side is closed.
        Err(error) if error.raw_os_error() == Some(libc::EIO) => 0,
        count => count?,
    };
    if count == 0 {
        pipes[index] = None;
    } else {
        on_bytes(index, &chunk[..count]);
    }
    Ok(count)
}

/// Sends `signal` to the process group led by `pid`; a group that is gone is no error.
pub fn kill_group(pid: u32, signal: i32) {
    if let Ok(pid) = i32::try_from(pid) {
        // SAFETY: kill takes plain integers and touches no memory of ours.
        unsafe { libc::kill(-pid, signal) };
    }
}

/// Returns whether a process with this id exists.
pub fn is_alive(pid: u32) -> bool {
    let Ok(pid) = i32::try_from(pid) else { return false };
    // SAFETY: signal 0 only asks; kill takes plain integers.
    let result = unsafe { libc::kill(pid, 0) };
    result == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// Returns a pipe: the end to read from, and the end to write to.
///
/// # Errors
/// The system's.
pub fn pipe() -> io::Result<(File, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors that pipe2 writes.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both descriptors were just made by pipe2 and are owned by nobody else.
    Ok(unsafe { (std::fs::File::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Returns a pipe that becomes readable when the token is cancelled, as long as the other value lives; `None` where no
/// descriptors are left.
fn wake_on_cancel(cancel: &CancelToken) -> Option<(File, Hooked)> {
    let (wake, waker) = pipe().ok()?;
    let hooked = cancel.hook(move || {
        // The pipe is empty. Fails only where nobody reads it any more: the child is being ended already.
        let _ = File::from(waker).write_all(b"!");
    });
    Some((wake, hooked))
}

/// Waits until a pipe has something, the child's end is announced or `wake` says something; returns the numbers of the readable
/// pipes.
fn wait_readable(
    pipes: &[Option<File>],
    exit: Option<&OwnedFd>,
    wake: Option<&File>,
    timeout: Option<Duration>,
) -> io::Result<Vec<usize>> {
    let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // A negative descriptor is skipped by poll.
    let mut polls: Vec<libc::pollfd> =
        pipes.iter().map(|pipe| entry(pipe.as_ref().map_or(-1, |pipe| pipe.as_raw_fd()))).collect();
    polls.push(entry(exit.map_or(-1, |exit| exit.as_raw_fd())));
    polls.push(entry(wake.map_or(-1, |wake| wake.as_raw_fd())));
    let count = libc::nfds_t::try_from(polls.len()).expect("a few descriptors");
    // Rounded up: waking too early would only poll again.
    let timeout_ms = timeout.map_or(-1, |it| i32::try_from(it.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
    // SAFETY: `polls` is a valid array of `count` entries for the length of the call.
    if unsafe { libc::poll(polls.as_mut_ptr(), count, timeout_ms) } == -1 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(Vec::new()) } else { Err(error) };
    }
    Ok((0..pipes.len()).filter(|&index| polls[index].revents != 0).collect())
}

/// Returns a descriptor that becomes readable when the process ends; `None` where the kernel has no such thing.
fn watch_exit(pid: u32) -> Option<OwnedFd> {
    // SAFETY: pidfd_open takes plain integers and returns a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::pid_t::try_from(pid).ok()?, 0) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: the descriptor was just made by the kernel and is owned by nobody else.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Returns whether a child has ended, without reaping it.
fn has_ended(pid: u32) -> io::Result<bool> {
    // SAFETY: siginfo_t is plain data for which all zeroes is valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is valid for the length of the call.
    if unsafe { libc::waitid(libc::P_PID, pid, &raw mut info, flags) } == -1 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) };
    }
    // SAFETY: waitid succeeded, so the field is set; zero means that the child still runs.
    Ok(unsafe { info.si_pid() } != 0)
}

/// Returns the program that a name means on `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    find_program_in(name, &std::env::var_os("PATH")?)
}

/// Returns the program that a name means in the directories of `path`.
pub fn find_program_in(name: &str, path: &OsStr) -> Option<PathBuf> {
    let directories = std::env::split_paths(path).filter(|directory| !directory.as_os_str().is_empty());
    directories.map(|directory| directory.join(name)).find(|file| is_executable(file))
}

/// Returns whether this process may run the file.
pub fn is_executable(file: &Path) -> bool {
    let Ok(name) = std::ffi::CString::new(file.as_os_str().as_encoded_bytes()) else { return false };
    // SAFETY: `name` is a NUL-terminated path; access only looks.
    file.is_file() && unsafe { libc::access(name.as_ptr(), libc::X_OK) } == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::cancel::CancelReason;
    use crate::base::fs::testing::TempDir;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script);
        command
    }

    fn check(script: &str, timeout_ms: u64, cap: usize) -> Output {
        run(shell(script), Some(Duration::from_millis(timeout_ms)), cap, &CancelToken::new(), |_| (), |_| ())
            .expect("run")
    }

    #[test]
    fn keeps_both_streams_and_the_code() {
        let output = check("echo out; echo err >&2; exit 3", 10_000, 1000);
        assert_eq!((output.ended, output.text.as_str()), (Ended::Exited(3), "out\nerr\n"));
    }

    #[test]
    fn a_deadline_ends_the_whole_group() {
        let output = check("sleep 60 & sleep 60", 50, 1000);
        assert_eq!(output.ended, Ended::TimedOut);
        assert!(output.duration < Duration::from_secs(10));
    }

    #[test]
    fn output_is_capped_at_its_end() {
        let output = check("yes | head -c 100000; echo end", 10_000, 100);
        assert!(output.truncated && output.text.len() <= 100 && output.text.ends_with("end\n"));
    }

    #[test]
    fn a_cancelled_token_ends_it() {
        let cancel = CancelToken::new();
        let other = cancel.clone();
        let output =
            run(shell("echo go; sleep 60"), None, 100, &cancel, |_| (), move |_| other.cancel(CancelReason::Aborted))
                .expect("run");
        assert_eq!((output.ended, output.text.as_str()), (Ended::Cancelled, "go\n"));
    }

    #[test]
    fn so_does_a_token_s_own_deadline() {
        let cancel = CancelToken::new();
        cancel.set_deadline(Instant::now() + Duration::from_millis(50));
        let output = run(shell("sleep 60"), None, 100, &cancel, |_| (), |_| ()).expect("run");
        assert_eq!(output.ended, Ended::Cancelled);
        assert!(output.duration < Duration::from_secs(10), "{:?}", output.duration);
    }

    fn check_captured(script: &str, timeout_ms: u64, cap: usize) -> Captured {
        capture(shell(script), Some(Duration::from_millis(timeout_ms)), Keep::First(cap), &CancelToken::new())
            .expect("capture")
    }

    #[test]
    fn the_end_of_each_stream_may_be_kept() {
        let script = "echo out; echo err >&2; yes | head -c 100000 >&2; echo end >&2; exit 3";
        let all = capture(shell(script), None, Keep::Last(100), &CancelToken::new()).expect("run");
        assert_eq!((all.ended, all.stdout.as_str(), all.truncated), (Ended::Exited(3), "out\n", true));
        assert!(all.stderr.len() <= 100 && all.stderr.ends_with("end\n"), "{}", all.stderr);
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(find_program("sh").is_some_and(|file| is_executable(&file)));
        assert!(find_program("no-such-program").is_none() && !is_executable(Path::new("/")));
        assert_eq!(find_program_in("sh", OsStr::new("/nowhere::/bin")), Some(PathBuf::from("/bin/sh")));
    }

    #[test]
    fn captures_each_stream_apart() {
        let output = check_captured("echo out; echo err >&2; exit 3", 10_000, 1000);
        assert_eq!(
            (output.ended, output.stdout.as_str(), output.stderr.as_str()),
            (Ended::Exited(3), "out\n", "err\n")
        );
        let output = check_captured("echo 12345; kill -9 $$", 10_000, 3);
        assert_eq!((output.ended, output.stdout.as_str(), output.truncated), (Ended::Signalled(9), "123", true));
    }

    #[test]
    fn pipes_held_open_or_closed_early_do_not_decide_the_end() {
        let start = Instant::now();
        assert_eq!(check_captured("sleep 60 & echo go", 30_000, 100).ended, Ended::Exited(0));
        assert_eq!(check_captured("yes & exit 4", 30_000, 100).ended, Ended::Exited(4));
        let closed = check_captured("exec >&- 2>&-; sleep 60", 100, 100);
        assert_eq!(closed.ended, Ended::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }

    #[test]
    fn a_child_that_ignores_the_polite_signal_is_killed() {
        assert_eq!(check_captured("trap '' TERM; sleep 60; sleep 60", 50, 100).ended, Ended::TimedOut);
    }

    #[test]
    fn nothing_is_left_of_one_behind_a_guard() {
        let dir = TempDir::new("guarded");
        let told = dir.path().join("told");
        let script = format!(
            "trap '' TERM; setsid sleep 60 & echo $!; sleep 60 & echo $!; : > '{}'; wait; sleep 60",
            told.display()
        );
        let cancel = CancelToken::new();
        let other = cancel.clone();
        let canceller = std::thread::spawn(move || {
            let until = Instant::now() + Duration::from_secs(20);
            while !told.exists() && Instant::now() < until {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            other.cancel(CancelReason::Aborted);
        });
        let captured = capture_all(shell(&script), None, Keep::First(100), &cancel).expect("capture");
        canceller.join().expect("no panic");
        let pids: Vec<u32> = captured.stdout.lines().map(|line| line.parse().expect("a pid")).collect();
        assert_eq!((captured.ended, pids.len()), (Ended::Cancelled, 2), "{captured:?}");
        assert!(!pids.iter().any(|&pid| is_alive(pid)), "{pids:?}");
    }
}
