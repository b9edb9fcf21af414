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
    let (mut ours, mut theirs) = (0, 0);
    let size = libc::winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the two descriptors are written by the call, the size is read, name and modes are not wanted.
    let result = unsafe {
        libc::openpty(&raw mut ours, &raw mut theirs, std::ptr::null_mut(), std::ptr::null(), &raw const size)
    };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both descriptors were just made and are owned by nobody else.
    let (ours, theirs) = unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
    for descriptor in [ours.as_raw_fd(), theirs.as_raw_fd()] {
        // SAFETY: the descriptor is open; other commands must not inherit it.
        if unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok((ours, theirs))
}
