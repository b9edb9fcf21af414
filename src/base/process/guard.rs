//! A guard: a small process between this one and a command, so that nothing of the command outlives it.
//!
//! The guard is the command's parent and the reaper of everything that the command leaves behind (`PR_SET_CHILD_SUBREAPER`),
//! also of what has left its process group or session. It kills all of it when the command ends, when it is told to
//! (SIGUSR1), and when the thread that started it ends, however this process dies. It then ends as the command did. A
//! polite signal is passed on to the command's process group.
//!
//! It is a fork of this process that never becomes another program, so it only makes system calls.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Tells a guard to end everything at once.
pub const END_NOW: i32 = libc::SIGUSR1;

/// Bytes of a list of children that are read at a time; what does not fit comes in the next round.
const LIST_BYTES: usize = 4096;
/// Descriptors that are closed one by one where the kernel cannot close them all.
const DESCRIPTORS_MAX: i32 = 1024;

/// Puts a guard in front of `command`; its own number is then the guard's. With `has_terminal`, stdin is a terminal that
/// becomes the command's own. The thread that starts the command must live until it ends.
pub fn put_before(command: &mut Command, has_terminal: bool) {
    let parent = std::process::id();
    command.process_group(0);
    // SAFETY: between fork and exec `split` only makes system calls and touches no heap and no locks.
    unsafe { command.pre_exec(move || split(parent, has_terminal)) };
}

/// Has `command` killed when the thread that starts it ends, however this process dies. For a program that stays and starts
/// nothing itself: a guard would keep a copy of this process's memory for as long.
pub fn tie_to_thread(command: &mut Command) {
    let parent = std::process::id();
    command.process_group(0);
    let tie = move || {
        // SAFETY: plain system calls on plain integers.
        unsafe {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            if u32::try_from(libc::getppid()) != Ok(parent) {
                // Whoever asked for it is gone already.
                libc::_exit(1);
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec `tie` only makes system calls and touches no heap and no locks.
    unsafe { command.pre_exec(tie) };
}

/// Runs in the new process: becomes the guard, and returns only in the command's process.
fn split(parent: u32, has_terminal: bool) -> io::Result<()> {
    // SAFETY: plain system calls on values of this frame.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const all, &raw mut before))?;
        check(libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1))?;
        check(libc::prctl(libc::PR_SET_PDEATHSIG, END_NOW))?;
        if u32::try_from(libc::getppid()) != Ok(parent) {
            // Whoever asked for it is gone already.
            libc::_exit(1);
        }
        match check(libc::fork())? {
            0 => {
                check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
                if has_terminal {
                    check(libc::setsid())?;
                    check(libc::ioctl(0, libc::TIOCSCTTY, 0))?;
                } else {
                    check(libc::setpgid(0, 0))?;
                }
                check(libc::sigprocmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()))?;
                Ok(())
            }
            command => {
                if !has_terminal {
                    // Both sides set it, so that it holds whichever comes first.
                    libc::setpgid(command, command);
                }
                watch(command, &all)
            }
        }
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The guard's life: until the command ends, then until nothing of it is left.
unsafe fn watch(command: libc::pid_t, all: &libc::sigset_t) -> ! {
    // SAFETY: plain system calls on values of this frame; see the callers.
    unsafe {
        close_descriptors();
        let mut status = 0;
        loop {
            if reap(command, &mut status) {
                break;
            }
            match libc::sigwaitinfo(all, std::ptr::null_mut()) {
                END_NOW => break,
                signal @ (libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGQUIT) => {
                    libc::kill(-command, signal);
                }
                _ => {}
            }
        }
        end_all(command, &mut status);
        end_as(status)
    }
}

/// Collects whoever has ended; returns whether the command is among them.
unsafe fn reap(command: libc::pid_t, status: &mut libc::c_int) -> bool {
    loop {
        let mut ended = 0;
        // SAFETY: `ended` lives through the call.
        match unsafe { libc::waitpid(-1, &raw mut ended, libc::WNOHANG) } {
            pid if pid == command => {
                *status = ended;
                return true;
            }
            pid if pid <= 0 => return false,
            _ => {}
        }
    }
}

/// Kills every child until there is none: the children of the killed become this process's own.
unsafe fn end_all(command: libc::pid_t, status: &mut libc::c_int) {
    // SAFETY: plain system calls on values of this frame.
    unsafe {
        loop {
            let knows_children = kill_children();
            if !knows_children {
                libc::kill(-command, libc::SIGKILL);
            }
            let mut ended = 0;
            // Without the list a child may be left that nobody kills; it is not waited for.
            match libc::waitpid(-1, &raw mut ended, if knows_children { 0 } else { libc::WNOHANG }) {
                pid if pid == command => *status = ended,
                pid if pid <= 0 => return,
                _ => {}
            }
        }
    }
}

/// Kills the children that the kernel lists; false where it has no list.
unsafe fn kill_children() -> bool {
    // SAFETY: the path is NUL-terminated, the buffer lives through the calls and is read only as far as it was filled.
    unsafe {
        let file = libc::open(c"/proc/thread-self/children".as_ptr(), libc::O_RDONLY);
        if file == -1 {
            return false;
        }
        let mut list = [0_u8; LIST_BYTES];
        let count = libc::read(file, list.as_mut_ptr().cast(), LIST_BYTES);
        libc::close(file);
        let mut pid: libc::pid_t = 0;
        for &byte in list.iter().take(usize::try_from(count).unwrap_or(0)) {
            match byte {
                b'0'..=b'9' => pid = pid.wrapping_mul(10).wrapping_add(i32::from(byte - b'0')),
                _ if pid > 0 => {
                    libc::kill(pid, libc::SIGKILL);
                    pid = 0;
                }
                _ => {}
            }
        }
        true
    }
}

unsafe fn close_descriptors() {
    // SAFETY: the guard uses no descriptor, and its memory is its own.
    unsafe {
        if libc::syscall(libc::SYS_close_range, 0_u32, u32::MAX, 0_u32) == -1 {
            for descriptor in 0..DESCRIPTORS_MAX {
                libc::close(descriptor);
            }
        }
    }
}

/// Ends this process the way the command ended.
unsafe fn end_as(status: libc::c_int) -> ! {
    // SAFETY: plain system calls on values of this frame.
    unsafe {
        if libc::WIFSIGNALED(status) {
            let signal = libc::WTERMSIG(status);
            // The core file, if any, is the command's.
            libc::prctl(libc::PR_SET_DUMPABLE, 0);
            libc::signal(signal, libc::SIG_DFL);
            // The others stay blocked: one that waits must not be what this process ends by.
            let mut others: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut others);
            libc::sigdelset(&raw mut others, signal);
            libc::kill(libc::getpid(), signal);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const others, std::ptr::null_mut());
        }
        libc::_exit(libc::WEXITSTATUS(status))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Care, Ended, is_alive, pipe, supervise};
    use super::*;
    use crate::base::cancel::CancelToken;
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    /// Runs a script behind a guard; returns how it ended and what it printed.
    fn check(script: &str, timeout: Option<Duration>) -> (Ended, String) {
        let mut command = Command::new("/bin/sh");
        let (reader, writer) = pipe().expect("pipe");
        command.arg("-c").arg(script).stdin(Stdio::null()).stdout(writer).stderr(Stdio::null());
        put_before(&mut command, false);
        let mut child = command.spawn().expect("spawn");
        drop(command);
        let mut text = String::new();
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let cancel = CancelToken::new();
        let care = Care { deadline, is_guarded: true, ..Care::until(&cancel) };
        let ended = supervise(&mut child, &mut [Some(reader)], &care, &mut |_, bytes| {
            text.push_str(&String::from_utf8_lossy(bytes));
        });
        (ended.expect("supervised"), text)
    }

    fn pids(text: &str) -> Vec<u32> {
        text.split_whitespace().map(|word| word.parse().expect("a pid")).collect()
    }

    #[test]
    fn the_command_s_end_is_the_guard_s() {
        assert_eq!(check("exit 7", None).0, Ended::Exited(7));
        assert_eq!(check("kill -9 $$", None).0, Ended::Signalled(libc::SIGKILL));
        assert_eq!(check("kill -TERM $$; sleep 60", None).0, Ended::Signalled(libc::SIGTERM));
        let mut absent = Command::new("/no/such/program");
        put_before(&mut absent, false);
        assert_eq!(absent.spawn().expect_err("absent").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn nothing_is_left_also_of_what_ran_away() {
        for (script, timeout) in [
            ("sleep 60 & echo $!; setsid sleep 60 & echo $!; exit 0", None),
            ("(setsid sh -c 'echo $$; sleep 60 & echo $!; wait' &) ; sleep 0.2; exit 0", None),
            ("trap '' TERM; setsid sleep 60 & echo $!; sleep 60; sleep 60", Some(Duration::from_millis(1500))),
        ] {
            let (ended, text) = check(script, timeout);
            assert_eq!(ended, if timeout.is_some() { Ended::TimedOut } else { Ended::Exited(0) }, "{script}");
            let pids = pids(&text);
            assert!(!pids.is_empty() && !pids.iter().any(|&pid| is_alive(pid)), "{script}: {pids:?}");
        }
    }
}
