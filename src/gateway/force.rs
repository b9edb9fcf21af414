//! `--force`: end whoever listens on the port, found with `lsof` (cli.md §3.3). Runs on main before anything starts.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::base::ports::{Listener, find_lsof, listeners};
use crate::base::process::is_alive;

/// How long listeners may take to end by themselves.
const TERM_GRACE: Duration = Duration::from_millis(700);
/// How long everything may take.
const TOTAL: Duration = Duration::from_millis(2000);
/// Pause between two looks at processes that are not our children: the system offers no event for their end here.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Frees the port.
///
/// # Errors
/// `lsof` missing, a process that cannot be signalled, listeners that stay.
pub fn free_port(port: u16) -> anyhow::Result<()> {
    let lsof = find_lsof().context("lsof not found; required for --force")?;
    let holders = look(&lsof, port)?;
    if holders.is_empty() {
        log::info!(target: "gateway", "force: no listeners on port {port}");
        return Ok(());
    }
    let started = Instant::now();
    for holder in &holders {
        signal(holder, libc::SIGTERM)?;
        log::info!(target: "gateway", "force: killed pid {} ({}) on port {port}", holder.pid, holder.command);
    }
    let mut left = wait_gone(&lsof, port, &holders, started + TERM_GRACE)?;
    if !left.is_empty() {
        log::info!(target: "gateway", "force: escalated to SIGKILL while freeing port {port}");
        for holder in &left {
            signal(holder, libc::SIGKILL)?;
        }
        left = wait_gone(&lsof, port, &left, started + TOTAL)?;
    }
    if !left.is_empty() {
        let pids: Vec<String> = left.iter().map(|holder| holder.pid.to_string()).collect();
        bail!("port {port} still has listeners after --force: {}", pids.join(", "));
    }
    log::info!(target: "gateway", "force: waited {}ms for port {port} to free", started.elapsed().as_millis());
    Ok(())
}

fn look(lsof: &Path, port: u16) -> anyhow::Result<Vec<Listener>> {
    listeners(lsof, port).with_context(|| format!("run {}", lsof.display()))
}

fn signal(holder: &Listener, signal: i32) -> anyhow::Result<()> {
    let pid = i32::try_from(holder.pid).context("process id out of range")?;
    // SAFETY: kill takes plain integers and touches no memory of ours.
    if unsafe { libc::kill(pid, signal) } == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    // Gone in the meantime is what was wanted.
    if error.raw_os_error() == Some(libc::ESRCH) {
        return Ok(());
    }
    bail!("failed to kill pid {} ({}): {error}", holder.pid, holder.command)
}

/// Looks until nobody of `holders` is left or the deadline passes; returns who is.
fn wait_gone(lsof: &Path, port: u16, holders: &[Listener], deadline: Instant) -> anyhow::Result<Vec<Listener>> {
    loop {
        let mut left: Vec<Listener> = holders.iter().filter(|holder| is_alive(holder.pid)).cloned().collect();
        if !left.is_empty() {
            let listening = look(lsof, port)?;
            left.retain(|holder| listening.iter().any(|other| other.pid == holder.pid));
        }
        if left.is_empty() || Instant::now() >= deadline {
            return Ok(left);
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}
