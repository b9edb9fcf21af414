//! Commands that talk to a person: run on a pseudo-terminal, with everything typed in advance.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::FromRawFd as _;
use std::process::Command;

use super::PATIENCE;
use super::home::Ran;
use super::lines::Lines;

/// The key that ends the input.
pub const END: &str = "\u{4}";

/// Runs a command to its end on a terminal where `typed` was typed; what it shows (with the echo) is its `stdout`.
pub fn run(mut command: Command, typed: &str) -> Ran {
    let (mut master, slave) = open();
    let other = || slave.try_clone().expect("a descriptor");
    command.env("NO_COLOR", "1").stdin(other()).stdout(other()).stderr(other());
    master.write_all(typed.as_bytes()).expect("typed");
    let mut child = command.spawn().expect("the binary runs");
    // The terminal ends when nobody holds its other side any more.
    drop((command, slave));
    let shown = Lines::collect(master);
    let ended = shown.wait_end(PATIENCE);
    if !ended {
        let _ = child.kill();
    }
    let status = child.wait().expect("a child can be waited for");
    assert!(ended, "still running after {PATIENCE:?}: {}", shown.text());
    Ran { code: status.code(), stdout: shown.text(), stderr: String::new() }
}

fn open() -> (File, File) {
    let (mut master, mut slave) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: both pointers are valid for the call; name, settings and size may be null.
    let code = unsafe { libc::openpty(&raw mut master, &raw mut slave, null, null.cast(), null.cast()) };
    assert_eq!(code, 0, "a pseudo-terminal");
    // SAFETY: the call gave both descriptors to us alone.
    unsafe { (File::from_raw_fd(master), File::from_raw_fd(slave)) }
}
