//! `--force`: end whoever listens on the port, found with `lsof` (cli.md §3.3). Runs on main before anything starts.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::base::process::is_alive;

/// How long listeners may take to end by themselves.
const TERM_GRACE: Duration = Duration::from_millis(700);
/// How long everything may take.
const TOTAL: Duration = Duration::from_millis(2000);
/// Pause between two looks at processes that are not our children: the system offers no event for their end here.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    pid: u32,
    command: String,
}

/// Frees the port.
///
/// # Errors
/// `lsof` missing, a process that cannot be signalled, listeners that stay.
pub fn free_port(port: u16) -> anyhow::Result<()> {
    let lsof = find_lsof().context("lsof not found; required for --force")?;
    let holders = listeners(&lsof, port)?;
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

/// Returns who listens on a port, as lines for people; empty when `lsof` is missing or finds nobody.
pub fn describe_holders(port: u16) -> Vec<String> {
    let Some(lsof) = find_lsof() else { return Vec::new() };
    let holders = listeners(&lsof, port).unwrap_or_default();
    holders.iter().map(|holder| format!("- pid {}: {}", holder.pid, holder.command)).collect()
}

fn find_lsof() -> Option<PathBuf> {
    let fixed = ["/usr/bin/lsof", "/usr/sbin/lsof"].iter().map(PathBuf::from);
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    fixed.chain(std::env::split_paths(&on_path).map(|directory| directory.join("lsof"))).find(|path| path.is_file())
}

fn listeners(lsof: &PathBuf, port: u16) -> anyhow::Result<Vec<Holder>> {
    let output = Command::new(lsof)
        .args(["-nP", &format!("-iTCP:{port}"), "-sTCP:LISTEN", "-FpFc"])
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {}", lsof.display()))?;
    // Status 1 means that nobody listens.
    let own = std::process::id();
    Ok(parse(&String::from_utf8_lossy(&output.stdout)).into_iter().filter(|holder| holder.pid != own).collect())
}

fn parse(text: &str) -> Vec<Holder> {
    let mut holders: Vec<Holder> = Vec::new();
    for line in text.lines() {
        if let Some(pid) = line.strip_prefix('p').and_then(|pid| pid.parse().ok()) {
            if !holders.iter().any(|holder| holder.pid == pid) {
                holders.push(Holder { pid, command: "unknown".to_owned() });
            }
        } else if let (Some(command), Some(holder)) = (line.strip_prefix('c'), holders.last_mut()) {
            holder.command = command.to_owned();
        }
    }
    holders
}

fn signal(holder: &Holder, signal: i32) -> anyhow::Result<()> {
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
fn wait_gone(lsof: &PathBuf, port: u16, holders: &[Holder], deadline: Instant) -> anyhow::Result<Vec<Holder>> {
    loop {
        let mut left: Vec<Holder> = holders.iter().filter(|holder| is_alive(holder.pid)).cloned().collect();
        if !left.is_empty() {
            let listening = listeners(lsof, port)?;
            left.retain(|holder| listening.iter().any(|other| other.pid == holder.pid));
        }
        if left.is_empty() || Instant::now() >= deadline {
            return Ok(left);
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lsof_fields_are_read() {
        let holder = |pid, command: &str| Holder { pid, command: command.to_owned() };
        assert_eq!(parse("p12\ncnode\nf3\np13\ncnc\np12\n"), [holder(12, "node"), holder(13, "nc")]);
        assert_eq!(parse(""), []);
    }
}
