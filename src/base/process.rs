//! Child processes: run one to its end with a deadline, a cancel token and an output cap.
//!
//! The child leads a process group of its own, so that ending it ends what it started. Output of both streams is read
//! in arrival order through one pipe, or apart through two. Runs on the caller's thread, which blocks in `poll` and looks at the token
//! between slices. Not here: background processes with a life of their own.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::cancel::{CancelToken, SLICE};

/// How long a child that was told to end (SIGTERM) may take before SIGKILL.
const TERM_GRACE: Duration = Duration::from_millis(500);
/// How often a child is looked at that has closed its output.
const SLICE_AT_END: Duration = Duration::from_millis(2);

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

/// What a child left behind, its streams apart.
#[derive(Debug)]
pub struct Captured {
    /// How it ended.
    pub ended: Ended,
    /// stdout, lossy UTF-8; the first part is dropped beyond the cap.
    pub stdout: String,
    /// stderr, in the same way.
    pub stderr: String,
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
    on_output: impl FnMut(&str),
) -> io::Result<Output> {
    let (reader, writer) = pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    let start = Instant::now();
    let child = command.spawn()?;
    // The command holds the write ends; without this drop the pipe would never report its end.
    drop(command);
    started(child.id());
    let mut tails = [Tail::new(reader, output_bytes_max)];
    let ended = watch(child, timeout.map(|timeout| start + timeout), &mut tails, cancel, on_output)?;
    let [tail] = tails;
    let (text, truncated) = tail.finish();
    Ok(Output { ended, text, truncated, duration: start.elapsed() })
}

/// As [`run`], with the streams apart: the last `output_bytes_max` bytes of each.
///
/// # Errors
/// As [`run`].
pub fn capture(
    mut command: Command,
    timeout: Duration,
    output_bytes_max: usize,
    cancel: &CancelToken,
) -> io::Result<Captured> {
    let ((stdout, out), (stderr, err)) = (pipe()?, pipe()?);
    command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    let deadline = Instant::now() + timeout;
    let child = command.spawn()?;
    drop(command);
    let mut tails = [Tail::new(stdout, output_bytes_max), Tail::new(stderr, output_bytes_max)];
    let ended = watch(child, Some(deadline), &mut tails, cancel, |_| ())?;
    let [stdout, stderr] = tails.map(|tail| tail.finish().0);
    Ok(Captured { ended, stdout, stderr })
}

/// Reads a child's pipes until it is over, or ends it when its time is.
fn watch(
    mut child: Child,
    deadline: Option<Instant>,
    tails: &mut [Tail],
    cancel: &CancelToken,
    mut on_output: impl FnMut(&str),
) -> io::Result<Ended> {
    let mut killed = None;
    loop {
        if killed.is_none() {
            killed = if cancel.is_cancelled() {
                Some(Ended::Cancelled)
            } else if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                Some(Ended::TimedOut)
            } else {
                None
            };
            if killed.is_some() {
                kill_group(child.id(), libc::SIGTERM);
                let grace = Instant::now() + TERM_GRACE;
                while child.try_wait()?.is_none() && Instant::now() < grace {
                    read_ready(tails, Duration::from_millis(20), &mut |_| ())?;
                }
                kill_group(child.id(), libc::SIGKILL);
            }
        }
        // With its pipes closed a child is as good as gone, but may go on: then the deadline still holds.
        let slice = if tails.iter().all(|tail| tail.is_over) { SLICE_AT_END } else { SLICE };
        let left = deadline.map_or(slice, |deadline| deadline.saturating_duration_since(Instant::now()).min(slice));
        if read_ready(tails, left, &mut on_output)? {
            continue;
        }
        // A background grandchild may hold a pipe open for ever: the child's own end decides.
        if killed.is_some() || child.try_wait()?.is_some() {
            break;
        }
    }
    let status = child.wait()?;
    let natural = status.code().map_or_else(|| Ended::Signalled(status.signal().unwrap_or(0)), Ended::Exited);
    Ok(killed.unwrap_or(natural))
}

/// The reading end of a pipe, and the last of what came through it.
struct Tail {
    reader: File,
    bytes: Vec<u8>,
    bytes_max: usize,
    is_truncated: bool,
    is_over: bool,
}

impl Tail {
    fn new(reader: File, bytes_max: usize) -> Self {
        Self { reader, bytes: Vec::new(), bytes_max, is_truncated: false, is_over: false }
    }

    /// Reads once; only called when there is something to read.
    fn read(&mut self, on_output: &mut impl FnMut(&str)) -> io::Result<()> {
        let mut chunk = [0_u8; 8192];
        let count = self.reader.read(&mut chunk)?;
        self.is_over = count == 0;
        if count > 0 {
            on_output(&String::from_utf8_lossy(&chunk[..count]));
            self.bytes.extend_from_slice(&chunk[..count]);
            // Cut at twice the cap, so that a long output is not moved at every read.
            if self.bytes.len() > self.bytes_max * 2 {
                self.cut();
            }
        }
        Ok(())
    }

    fn cut(&mut self) {
        if self.bytes.len() > self.bytes_max {
            self.bytes.drain(..self.bytes.len() - self.bytes_max);
            self.is_truncated = true;
        }
    }

    fn finish(mut self) -> (String, bool) {
        self.cut();
        (String::from_utf8_lossy(&self.bytes).into_owned(), self.is_truncated)
    }
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

fn pipe() -> io::Result<(File, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors that pipe2 writes.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both descriptors were just made by pipe2 and are owned by nobody else.
    Ok(unsafe { (File::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Waits until a pipe has something, and reads it; returns whether there was output.
fn read_ready(tails: &mut [Tail], timeout: Duration, on_output: &mut impl FnMut(&str)) -> io::Result<bool> {
    let mut polls: Vec<libc::pollfd> = tails
        .iter()
        // A negative descriptor is passed over: a pipe at its end would be ready for ever.
        .map(|tail| if tail.is_over { -1 } else { tail.reader.as_raw_fd() })
        .map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 })
        .collect();
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let count = libc::nfds_t::try_from(polls.len()).unwrap_or(0);
    // SAFETY: `polls` holds `count` valid entries for the length of the call.
    if unsafe { libc::poll(polls.as_mut_ptr(), count, timeout_ms) } == -1 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) };
    }
    let mut has_output = false;
    for (tail, _) in tails.iter_mut().zip(&polls).filter(|(_, poll)| poll.revents != 0) {
        tail.read(on_output)?;
        has_output |= !tail.is_over;
    }
    Ok(has_output)
}

/// Returns the program that a name means on `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let directories = std::env::split_paths(&path).filter(|directory| !directory.as_os_str().is_empty());
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
    fn streams_may_be_kept_apart() {
        let script = "echo out; echo err >&2; yes | head -c 100000 >&2; echo end >&2; exit 3";
        let all = capture(shell(script), Duration::from_secs(10), 100, &CancelToken::new()).expect("run");
        assert_eq!((all.ended, all.stdout.as_str()), (Ended::Exited(3), "out\n"));
        assert!(all.stderr.len() <= 100 && all.stderr.ends_with("end\n"), "{}", all.stderr);
        let late =
            capture(shell("echo go; sleep 60"), Duration::from_millis(50), 100, &CancelToken::new()).expect("run");
        assert_eq!((late.ended, late.stdout.as_str()), (Ended::TimedOut, "go\n"));
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(find_program("sh").is_some_and(|file| is_executable(&file)));
        assert!(find_program("no-such-program").is_none() && !is_executable(Path::new("/")));
    }

    #[test]
    fn a_deadline_ends_the_whole_group() {
        let output = check("sleep 60 & sleep 60", 50, 1000);
        assert_eq!(output.ended, Ended::TimedOut);
        assert!(output.duration < Duration::from_secs(10));
        let mute = check("exec >&- 2>&-; sleep 60", 50, 1000);
        assert_eq!(mute.ended, Ended::TimedOut);
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
}
