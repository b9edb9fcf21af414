//! Pseudo terminals for commands that want one.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// Size of a command's terminal.
const COLUMNS: u16 = 120;
const ROWS: u16 = 30;

/// Opens a terminal: our side, and the command's.
///
/// # Errors
/// The system's.
pub fn open() -> io::Result<(File, OwnedFd)> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // Both sides are closed to other commands from the start: one may be started by another thread at any moment.
    // SAFETY: plain system calls; each descriptor is owned by nobody else when it is taken over.
    let (ours, theirs) = unsafe {
        let ours = File::from_raw_fd(check(libc::posix_openpt(flags))?);
        check(libc::grantpt(ours.as_raw_fd()))?;
        check(libc::unlockpt(ours.as_raw_fd()))?;
        let theirs = OwnedFd::from_raw_fd(check(libc::ioctl(ours.as_raw_fd(), libc::TIOCGPTPEER, flags))?);
        (ours, theirs)
    };
    let size = libc::winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the size is only read, and lives through the call.
    check(unsafe { libc::ioctl(ours.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) })?;
    Ok((ours, theirs))
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
