//! A tunnel through SSH to a gateway that listens on its own machine alone (cli.md §6).
//!
//! Owns the process of `ssh`, watched by a thread `ssh` and ended with the tunnel. Nobody is asked anything: keys that
//! need a passphrase, hosts that have changed, and unknown ones that nobody named, are failures.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use serde_json::{Value, json};

use crate::base::cancel::{CancelReason, CancelToken};
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::process::{Ended, Keep, capture, guard};
use crate::base::text::unless_blank;
use crate::base::thread::{self, Joiner};

/// How long `ssh` may take to say what its configuration makes of a host.
const CONFIG_WAIT: Duration = Duration::from_millis(800);
/// How long the tunnel may take to stand, and how often is looked.
const UP_WAIT_MAX: Duration = Duration::from_millis(1500);
const UP_WAIT_MIN: Duration = Duration::from_millis(250);
const UP_LOOK: Duration = Duration::from_millis(50);
const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// The usual port.
pub(super) const SSH_PORT: u16 = 22;

/// Where to tunnel to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    user: Option<String>,
    host: String,
    port: u16,
    identity: Option<String>,
    /// Whether its owner named it: then a key that `ssh` does not know yet is believed once, as by the original.
    is_named: bool,
}

impl Host {
    /// Reads `user@host:port`, as it is given to `ssh`; `None` when it names no host.
    pub(super) fn parse(text: &str, identity: Option<&str>) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("ssh ").unwrap_or(text).trim();
        let (user, rest) = text.rsplit_once('@').map_or((None, text), |(user, rest)| (unless_blank(user), rest));
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, "")) => (host, SSH_PORT),
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port > 0)?),
            None => (rest, SSH_PORT),
        };
        // A host that begins with a dash would be an option.
        let host = unless_blank(host).filter(|host| !host.starts_with('-'))?;
        let (user, identity) = (user.map(str::to_owned), identity.and_then(unless_blank).map(str::to_owned));
        (!user.as_ref().is_some_and(|user| user.starts_with('-'))).then(|| Self {
            user,
            host: host.to_owned(),
            port,
            identity,
            is_named: true,
        })
    }

    /// Returns it as one that only the network speaks of.
    pub(super) fn discovered(self) -> Self {
        Self { is_named: false, ..self }
    }

    /// Returns `user@host`, with the port unless it is the usual one.
    pub(super) fn text(&self) -> String {
        let address = self.address();
        if self.port == SSH_PORT { address } else { format!("{address}:{}", self.port) }
    }

    fn address(&self) -> String {
        self.user.as_ref().map_or_else(|| self.host.clone(), |user| format!("{user}@{}", self.host))
    }

    /// Returns what the user's own SSH configuration makes of it; as it is when `ssh` does not say.
    pub(super) fn resolved(&self, wait: Duration) -> Self {
        let mut command = Command::new("ssh");
        command.arg("-G");
        if self.port != SSH_PORT {
            command.args(["-p", &self.port.to_string()]);
        }
        command.args(self.identity.iter().flat_map(|file| ["-i", file])).args(["--", &self.address()]);
        let captured =
            capture(command, Some(wait.min(CONFIG_WAIT)), Keep::First(OUTPUT_BYTES_MAX), &CancelToken::new());
        let Ok(captured) = captured.map(|it| (it.ended, it.stdout)) else { return self.clone() };
        if captured.0 != Ended::Exited(0) { self.clone() } else { self.configured(&captured.1) }
    }

    fn configured(&self, told: &str) -> Self {
        let value =
            |key: &str| told.lines().find_map(|line| unless_blank(line.trim().strip_prefix(key)?.strip_prefix(' ')?));
        let identity = value("identityfile").filter(|file| *file != "none").map(str::to_owned);
        Self {
            user: value("user").map(str::to_owned).or_else(|| self.user.clone()),
            host: value("hostname").unwrap_or(&self.host).to_owned(),
            port: value("port").and_then(|port| port.parse().ok()).unwrap_or(self.port),
            identity: self.identity.clone().or(identity),
            is_named: self.is_named,
        }
    }
}

/// A tunnel that stands; dropping it takes it down.
pub(super) struct Tunnel {
    host: Host,
    local_port: u16,
    remote_port: u16,
    cancel: CancelToken,
    /// Joined after the token was cancelled.
    _thread: Joiner,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.cancel.cancel(CancelReason::Aborted);
    }
}

impl Tunnel {
    /// Opens a tunnel from a port of this machine, the same one where it is free, to `remote_port` of the other's loopback.
    ///
    /// # Errors
    /// What `ssh` says, or that it does not stand in time.
    pub(super) fn open(host: Host, remote_port: u16, wait: Duration) -> Result<Self, String> {
        let local_port = free_port(remote_port).map_err(|error| error.to_string())?;
        let cancel = CancelToken::new();
        let (sender, ended) = bounded(1);
        let (mut command, token) = (command(&host, local_port, remote_port), cancel.clone());
        // Nobody would know of a tunnel that outlives this command, as when Ctrl-C ends it.
        guard::tie_to_thread(&mut command);
        let thread = thread::spawn("ssh", thread::STACK_SMALL_BYTES, move || {
            let text = match capture(command, None, Keep::Last(OUTPUT_BYTES_MAX), &token) {
                Ok(it) => match it.ended {
                    Ended::Exited(code) => format!("ssh exited ({code})\n{}", it.stderr.trim()),
                    _ => format!("ssh was ended\n{}", it.stderr.trim()),
                },
                Err(error) => format!("ssh: {error}"),
            };
            // Nobody listens any more once the tunnel stands.
            let _ = sender.send(text.trim_end().to_owned());
        });
        let thread = thread.map_err(|error| error.to_string())?;
        let tunnel = Self { host, local_port, remote_port, cancel, _thread: thread };
        let until = SystemClock.now() + wait.clamp(UP_WAIT_MIN, UP_WAIT_MAX);
        loop {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, local_port)).is_ok() {
                return Ok(tunnel);
            }
            // ssh does not say when it listens.
            match ended.recv_timeout(UP_LOOK) {
                Ok(error) => return Err(error),
                Err(RecvTimeoutError::Timeout) if SystemClock.now() < until => {}
                Err(_) => return Err(format!("ssh tunnel did not start listening on localhost:{local_port}")),
            }
        }
    }

    /// Returns the address of its end here.
    pub(super) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.local_port)
    }

    /// Returns it as the report has it.
    pub(super) fn view(&self) -> Value {
        json!({
            "kind": "ssh", "target": self.host.text(), "localPort": self.local_port, "remotePort": self.remote_port,
            "pid": null,
        })
    }
}

fn command(host: &Host, local_port: u16, remote_port: u16) -> Command {
    let mut command = Command::new("ssh");
    command.args(["-N", "-L", &format!("{local_port}:127.0.0.1:{remote_port}"), "-p", &host.port.to_string()]);
    let (checking, update) = match host.is_named {
        true => ("StrictHostKeyChecking=accept-new", "UpdateHostKeys=yes"),
        false => ("StrictHostKeyChecking=yes", "UpdateHostKeys=no"),
    };
    for option in [
        "ExitOnForwardFailure=yes",
        "BatchMode=yes",
        checking,
        update,
        "ConnectTimeout=5",
        "ServerAliveInterval=15",
        "ServerAliveCountMax=3",
    ] {
        command.args(["-o", option]);
    }
    // Behind the dashes nothing is an option.
    command.args(host.identity.iter().flat_map(|file| ["-i", file])).args(["--", &host.address()]);
    command
}

/// Returns the wanted port if it is free, else any.
fn free_port(wanted: u16) -> std::io::Result<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)).or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    listener.local_addr().map(|address| address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (text, wanted) in [
            ("me@box:2222", Some("me@box:2222")),
            ("ssh me@box", Some("me@box")),
            ("box:22", Some("box")),
            ("box:", Some("box")),
            ("box:x", None),
            (" ", None),
            ("@box", Some("box")),
            ("-oProxyCommand=x", None),
            ("-l@box", None),
        ] {
            assert_eq!(Host::parse(text, None).map(|host| host.text()).as_deref(), wanted, "{text}");
        }
        let host = Host::parse("alias", None).expect("a host");
        let told = "user me\nhostname box.example\nport 2200\nidentityfile ~/.ssh/id\nidentityfile ~/.ssh/other\n";
        let configured = host.configured(told);
        assert_eq!(
            (configured.text().as_str(), configured.identity.as_deref()),
            ("me@box.example:2200", Some("~/.ssh/id"))
        );
        assert_eq!(host.configured(""), host);
    }
}
