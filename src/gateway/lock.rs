//! One gateway per configuration: a lock file in the original's format that dies with its process (cli.md §3.4).
//!
//! The file names pid, start time and configuration; an owner that is dead, or whose pid belongs to another process now,
//! loses it at once. Besides, the file is held under an exclusive `flock`, which the kernel gives up on any death.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::base::clock::{Clock, iso_utc};
use crate::base::process::is_alive;

/// How long a lock may outlive its owner, and how long between two looks.
const HEIR_PATIENCE: Duration = Duration::from_secs(2);
const HEIR_STEP: Duration = Duration::from_millis(5);

/// The held lock; dropping it removes the file.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

/// Why the lock was not had.
#[derive(Debug)]
pub enum LockError {
    /// Another gateway runs with this configuration.
    Held {
        /// Its process, when it can be known.
        pid: Option<u32>,
    },
    /// The file cannot be made.
    Io(PathBuf, io::Error),
}

impl std::fmt::Display for LockError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // compat: scripts look for the start of this text; unlike the original we need no five seconds to know.
            Self::Held { pid: Some(pid) } => write!(f, "gateway already running (pid {pid})"),
            Self::Held { pid: None } => f.write_str("gateway already running"),
            Self::Io(path, error) => write!(f, "failed to acquire gateway lock at {}: {error}", path.display()),
        }
    }
}

/// Takes the lock at `path` for the configuration at `config_path`.
///
/// # Errors
/// See [`LockError`].
pub fn acquire(path: &Path, config_path: &Path, clock: &dyn Clock) -> Result<Lock, LockError> {
    let io_error = |error| LockError::Io(path.to_owned(), error);
    if let Some(parent) = path.parent() {
        crate::base::fs::create_dir_private(parent).map_err(io_error)?;
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(io_error)?;
    let mut owner = Owner::read(&mut file);
    let patience = clock.now() + HEIR_PATIENCE;
    while !try_flock(&file) {
        let is_left_behind = owner.as_ref().is_some_and(|owner| !owner.is_running_gateway());
        if !is_left_behind || clock.now() >= patience {
            return Err(LockError::Held { pid: owner.map(|owner| owner.pid) });
        }
        // A command that the dead one was just starting has the file until it is one: a matter of milliseconds.
        std::thread::sleep(HEIR_STEP);
        owner = Owner::read(&mut file);
    }
    // An original gateway holds no flock: its process tells.
    if let Some(pid) = running(owner) {
        return Err(LockError::Held { pid: Some(pid) });
    }
    let pid = std::process::id();
    let mut content = json!({"pid": pid, "createdAt": iso_utc(clock.now_ms()), "configPath": config_path});
    if let Some(start_time) = start_time(pid) {
        content["startTime"] = start_time.into();
    }
    (|| {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(content.to_string().as_bytes())
    })()
    .map_err(io_error)?;
    Ok(Lock { path: path.to_owned(), _file: file })
}

/// Returns the process of the gateway that has the lock at `path`; `None` when nobody has it, or it was left behind.
pub fn holder(path: &Path) -> Option<u32> {
    running(Owner::read(&mut File::open(path).ok()?))
}

fn running(owner: Option<Owner>) -> Option<u32> {
    owner.filter(Owner::is_running_gateway).map(|owner| owner.pid)
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A file that stays behind names a dead process and is taken over silently.
        let _ = std::fs::remove_file(&self.path);
    }
}

struct Owner {
    pid: u32,
    start_time: Option<u64>,
}

impl Owner {
    /// Reads who has the file; an unreadable owner is no owner, and the flock still decides between gateways of this kind.
    fn read(file: &mut File) -> Option<Self> {
        let mut text = String::new();
        file.rewind().ok()?;
        Read::take(file, 4096).read_to_string(&mut text).ok()?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let pid = u32::try_from(value.get("pid")?.as_u64()?).ok()?;
        Some(Self { pid, start_time: value.get("startTime").and_then(Value::as_u64) })
    }

    fn is_running_gateway(&self) -> bool {
        if self.pid == std::process::id() || !is_alive(self.pid) {
            return false;
        }
        match self.start_time {
            Some(recorded) => start_time(self.pid) == Some(recorded),
            None => looks_like_gateway(self.pid),
        }
    }
}

/// Field 22 of `/proc/<pid>/stat`; `None` where there is no such file.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name (field 2) may hold blanks and brackets: fields are counted behind its last bracket.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn looks_like_gateway(pid: u32) -> bool {
    let Ok(command_line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let arguments: Vec<String> =
        command_line.split(|&byte| byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect();
    let is_clawdbot = |argument: &String| argument == "clawdbot" || argument.contains("/clawdbot");
    arguments.iter().any(is_clawdbot) && arguments.iter().any(|argument| argument == "gateway")
}

fn try_flock(file: &File) -> bool {
    // SAFETY: the descriptor is open for the length of the call.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn a_lock_whose_pid_is_another_process_now_has_no_holder() {
        let dir = TempDir::new("holder");
        let path = dir.path().join("gateway.lock");
        assert_eq!(holder(&path), None);
        let pid = std::os::unix::process::parent_id();
        let Some(started) = start_time(pid) else { return };
        for (start_time, expected) in [(started, Some(pid)), (started + 1, None)] {
            std::fs::write(&path, json!({"pid": pid, "startTime": start_time}).to_string()).expect("write");
            assert_eq!(holder(&path), expected);
        }
    }

    #[test]
    fn one_holder_and_dead_owners_lose() {
        let dir = TempDir::new("lock");
        let path = dir.path().join("d/gateway.lock");
        let take = || acquire(&path, Path::new("/c.json"), &SystemClock);
        let first = take().expect("free");
        assert!(matches!(take(), Err(LockError::Held { pid: Some(pid) }) if pid == std::process::id()));
        drop(first);
        assert!(!path.exists());
        std::fs::write(&path, r#"{"pid":999999999,"startTime":1}"#).expect("write");
        drop(take().expect("a dead owner's lock is free"));
        // The command that a dead owner was just starting lets go a moment later.
        std::fs::write(&path, r#"{"pid":999999999,"startTime":1}"#).expect("write");
        let heir = File::open(&path).expect("open");
        assert!(try_flock(&heir));
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| take().map(drop));
            drop(heir);
            taken.join().expect("no panic").expect("the lock is free");
        });
        std::fs::write(&path, "junk").expect("write");
        drop(take().expect("junk is nobody's lock"));
    }
}
