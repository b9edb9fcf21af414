//! Who listens on a TCP port of this machine, as `lsof` and `ps` tell.
//!
//! Runs on the caller's thread, each tool with a deadline. Not here: ending the listeners (`gateway --force`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cancel::CancelToken;
use super::process::{Ended, Keep, capture};

/// How long one tool may take.
const TOOL_WAIT: Duration = Duration::from_secs(5);
/// Output of a tool that is kept.
const TOOL_OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// A process that listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listener {
    /// Its process id.
    pub pid: u32,
    /// Its name, cut short by `lsof`.
    pub command: String,
    /// The first address that it listens at.
    pub address: Option<String>,
    /// Its whole command line; only [`look`] asks for it.
    pub command_line: Option<String>,
    /// Who runs it; only [`look`] asks for it.
    pub user: Option<String>,
}

/// Whether somebody listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nobody does.
    Free,
    /// Somebody does.
    Busy,
    /// It cannot be known.
    Unknown,
}

impl Status {
    /// Returns the word that reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Busy => "busy",
            Self::Unknown => "unknown",
        }
    }
}

/// What a look at a port found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The port.
    pub port: u16,
    /// Whether it is taken.
    pub status: Status,
    /// By whom, as far as can be seen.
    pub listeners: Vec<Listener>,
}

impl Usage {
    /// Returns who holds the port, one line each.
    pub fn lines(&self) -> Vec<String> {
        let line = |listener: &Listener| {
            let user = listener.user.as_ref().map(|user| format!(" {user}")).unwrap_or_default();
            let command = listener.command_line.as_deref().unwrap_or(&listener.command);
            let address = listener.address.as_ref().map(|address| format!(" ({address})")).unwrap_or_default();
            format!("- pid {}{user}: {command}{address}", listener.pid)
        };
        self.listeners.iter().map(line).collect()
    }

    /// Returns what can be done about it; `stop` is the command that stops a gateway.
    pub fn hints(&self, stop: &str) -> Vec<String> {
        if self.status != Status::Busy {
            return Vec::new();
        }
        let mut hints: Vec<String> = Vec::new();
        for listener in &self.listeners {
            let text = listener.command_line.as_deref().unwrap_or(&listener.command).to_lowercase();
            let hint = if text.contains("clawdbot") {
                format!("Gateway already running locally. Stop it ({stop}) or use a different port.")
            } else if text.contains("ssh") {
                "SSH tunnel already bound to this port. Close the tunnel or use a different local port in -L."
                    .to_owned()
            } else {
                "Another process is listening on this port.".to_owned()
            };
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        match self.listeners.len() {
            0 => hints.push(
                "Port is in use but process details are unavailable (install lsof or run as an admin user).".to_owned(),
            ),
            1 => {}
            _ => hints.push(
                "Multiple listeners detected; ensure only one gateway/tunnel per port unless intentionally running isolated profiles."
                    .to_owned(),
            ),
        }
        hints
    }
}

/// Looks who listens on a port, with their command lines.
pub fn look(port: u16) -> Usage {
    let mut found = find_lsof().and_then(|lsof| listeners(&lsof, port).ok()).unwrap_or_default();
    for listener in &mut found {
        listener.command_line = ps(listener.pid, "command=");
        listener.user = ps(listener.pid, "user=");
    }
    let status = if found.is_empty() { try_bind(port) } else { Status::Busy };
    Usage { port, status, listeners: found }
}

/// Returns where `lsof` is.
pub fn find_lsof() -> Option<PathBuf> {
    let mut fixed = ["/usr/bin/lsof", "/usr/sbin/lsof"];
    if cfg!(target_os = "macos") {
        fixed.reverse();
    }
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path).map(|directory| directory.join("lsof"));
    fixed.iter().map(PathBuf::from).chain(on_path).find(|path| path.is_file())
}

/// Returns the processes that listen on a port; this one is left out.
///
/// # Errors
/// When `lsof` cannot be run.
pub fn listeners(lsof: &Path, port: u16) -> io::Result<Vec<Listener>> {
    let mut command = Command::new(lsof);
    command.args(["-nP", &format!("-iTCP:{port}"), "-sTCP:LISTEN", "-FpFcn"]);
    // Status 1 means that nobody listens.
    let captured = capture(command, Some(TOOL_WAIT), Keep::First(TOOL_OUTPUT_BYTES_MAX), &CancelToken::new())?;
    let own = std::process::id();
    Ok(parse(&captured.stdout).into_iter().filter(|listener| listener.pid != own).collect())
}

fn parse(text: &str) -> Vec<Listener> {
    let mut found: Vec<Listener> = Vec::new();
    // The process that the next lines are about: lsof names one again for each of its sockets.
    let mut at = None;
    for line in text.lines() {
        let Some((kind, rest)) = line.split_at_checked(1) else { continue };
        if kind == "p" {
            at = rest.parse().ok().map(|pid: u32| {
                found.iter().position(|listener| listener.pid == pid).unwrap_or_else(|| {
                    found.push(Listener { pid, command: "unknown".to_owned(), ..Listener::default() });
                    found.len() - 1
                })
            });
        }
        let Some(listener) = at.and_then(|at: usize| found.get_mut(at)) else { continue };
        match kind {
            "c" => listener.command = rest.to_owned(),
            "n" => {
                listener.address.get_or_insert_with(|| rest.to_owned());
            }
            _ => {}
        }
    }
    found
}

fn ps(pid: u32, column: &str) -> Option<String> {
    let mut command = Command::new("ps");
    command.args(["-p", &pid.to_string(), "-o", column]);
    let captured = capture(command, Some(TOOL_WAIT), Keep::First(TOOL_OUTPUT_BYTES_MAX), &CancelToken::new()).ok()?;
    let text = captured.stdout.trim();
    (captured.ended == Ended::Exited(0) && !text.is_empty()).then(|| text.to_owned())
}

/// Tries to listen there: the way that needs no tool.
fn try_bind(port: u16) -> Status {
    let addresses: [IpAddr; 4] = [
        Ipv4Addr::LOCALHOST.into(),
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv6Addr::LOCALHOST.into(),
        Ipv6Addr::UNSPECIFIED.into(),
    ];
    let mut status = Status::Free;
    for address in addresses {
        match TcpListener::bind((address, port)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Status::Busy,
            // A machine without this kind of address has nobody listening there.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
            Err(_) => status = Status::Unknown,
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lsof_s_fields_are_read() {
        let listener = |pid, command: &str, address: Option<&str>| Listener {
            pid,
            command: command.to_owned(),
            address: address.map(str::to_owned),
            ..Listener::default()
        };
        let text = "p12\ncnode\nf3\nn127.0.0.1:1\nf4\nn[::1]:1\np13\ncnc\np12\n";
        assert_eq!(parse(text), [listener(12, "node", Some("127.0.0.1:1")), listener(13, "nc", None)]);
        assert_eq!(parse("nonsense\n\n"), []);
    }

    #[test]
    fn hints_name_what_is_there() {
        let usage = |commands: &[&str]| Usage {
            port: 1,
            status: Status::Busy,
            listeners: commands
                .iter()
                .map(|command| Listener { command_line: Some((*command).to_owned()), ..Listener::default() })
                .collect(),
        };
        let hints = |commands: &[&str]| usage(commands).hints("stop it");
        assert!(hints(&["/usr/bin/clawdbot gateway"])[0].contains("(stop it)"));
        assert!(hints(&["ssh -N"])[0].starts_with("SSH tunnel"));
        assert_eq!(hints(&["nc", "nc"]).len(), 2);
        assert!(hints(&[])[0].contains("install lsof"));
        assert_eq!(Usage { status: Status::Free, ..usage(&[]) }.hints("x"), Vec::<String>::new());
        assert_eq!(usage(&["nc -l"]).lines(), ["- pid 0: nc -l"]);
    }
}
