//! Child processes: run one to its end with a deadline, a cancel token and an output cap.
//!
//! The child leads a process group of its own, so that ending it ends what it started. Output of both streams is read
//! in arrival order through one pipe. Runs on the caller's thread, which blocks in `poll` and looks at the token
//! between slices. Not here: background processes with a life of their own.

use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::cancel::{CancelToken, SLICE};

/// How long a child that was told to end (SIGTERM) may take before SIGKILL.
const TERM_GRACE: Duration = Duration::from_millis(500);

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
    let (mut reader, writer) = pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    let start = Instant::now();
    let mut child = command.spawn()?;
    // The command holds the write ends; without this drop the pipe would never report its end.
    drop(command);
    started(child.id());
    let deadline = timeout.map(|timeout| start + timeout);
    let mut bytes: Vec<u8> = Vec::new();
    let mut truncated = false;
    let mut killed = None;
    let mut chunk = [0_u8; 8192];
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
                    wait_readable(&reader, Duration::from_millis(20))?;
                    drain(&mut reader, &mut chunk, &mut bytes)?;
                }
                kill_group(child.id(), libc::SIGKILL);
            }
        }
        let slice = deadline.map_or(SLICE, |deadline| deadline.saturating_duration_since(Instant::now()).min(SLICE));
        let readable = wait_readable(&reader, slice)?;
        let count = if readable { reader.read(&mut chunk)? } else { 0 };
        if count > 0 {
            on_output(&String::from_utf8_lossy(&chunk[..count]));
            bytes.extend_from_slice(&chunk[..count]);
            if bytes.len() > output_bytes_max * 2 {
                bytes.drain(..bytes.len() - output_bytes_max);
                truncated = true;
            }
            continue;
        }
        // A background grandchild may hold the pipe open for ever: the child's own end decides.
        if readable || killed.is_some() || child.try_wait()?.is_some() {
            break;
        }
    }
    let status = child.wait()?;
    if bytes.len() > output_bytes_max {
        bytes.drain(..bytes.len() - output_bytes_max);
        truncated = true;
    }
    let natural = status.code().map_or_else(|| Ended::Signalled(status.signal().unwrap_or(0)), Ended::Exited);
    Ok(Output {
        ended: killed.unwrap_or(natural),
        text: String::from_utf8_lossy(&bytes).into_owned(),
        truncated,
        duration: start.elapsed(),
    })
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

fn pipe() -> io::Result<(std::fs::File, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors that pipe2 writes.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both descriptors were just made by pipe2 and are owned by nobody else.
    Ok(unsafe { (std::fs::File::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

fn wait_readable(reader: &std::fs::File, timeout: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `poll` is one valid pollfd for the length of the call.
    match unsafe { libc::poll(&raw mut poll, 1, timeout_ms) } {
        -1 => {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) }
        }
        0 => Ok(false),
        _ => Ok(true),
    }
}

fn drain(reader: &mut std::fs::File, chunk: &mut [u8], bytes: &mut Vec<u8>) -> io::Result<()> {
    while wait_readable(reader, Duration::ZERO)? {
        match reader.read(chunk)? {
            0 => break,
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
    Ok(())
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
}
