//! Reach through Tailscale: `serve` for the tailnet, `funnel` for everybody, by its own command (http.md §10.6).
//!
//! Runs in a job after the start, and on `main` at the stop if the exposure ends with the gateway. Not here: who such
//! visitors are (`auth`).

use std::process::Command;
use std::time::Duration;

use crate::base::cancel::CancelToken;
use crate::base::process::{Ended, Keep, capture};
use crate::base::tailscale::{own_name, program, status};

/// How long the command may take at start; at a stop there is less.
const WAIT: Duration = Duration::from_secs(15);
/// How long it may take when the gateway stops.
const RESET_WAIT: Duration = Duration::from_secs(2);
/// Output that is kept.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// serve or funnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For the tailnet.
    Serve,
    /// For the internet.
    Funnel,
}

impl Mode {
    /// Reads a setting; `None` where nothing is to be done.
    pub fn parse(word: Option<&str>) -> Option<Self> {
        match word {
            Some("serve") => Some(Self::Serve),
            Some("funnel") => Some(Self::Funnel),
            _ => None,
        }
    }

    /// Returns the word for it, which is also the subcommand's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Funnel => "funnel",
        }
    }
}

/// Publishes a port and says where; failures are only logged: the gateway works without.
pub fn publish(mode: Mode, port: u16, base_path: &str, cancel: &CancelToken) {
    let word = mode.as_str();
    match run(&[word, "--bg", "--yes", &port.to_string()], WAIT, cancel) {
        Ok(_) => match status(WAIT, cancel).ok().as_ref().and_then(own_name) {
            Some(host) => {
                log::info!(target: "gateway/tailscale", "{word} enabled: https://{host}{base_path} (WS via wss://{host})");
            }
            None => log::info!(target: "gateway/tailscale", "{word} enabled"),
        },
        Err(error) => log::warn!(target: "gateway/tailscale", "{word} failed: {error}"),
    }
}

/// Takes it back.
pub fn reset(mode: Mode) {
    if let Err(error) = run(&[mode.as_str(), "reset"], RESET_WAIT, &CancelToken::new()) {
        log::warn!(target: "gateway/tailscale", "{} cleanup failed: {error}", mode.as_str());
    }
}

/// Runs the command; where it wants more rights, once more through sudo, which must not ask.
fn run(args: &[&str], wait: Duration, cancel: &CancelToken) -> Result<String, String> {
    let tool = program().ok_or("tailscale is not installed, or not on the PATH")?;
    let mut command = Command::new(&tool);
    command.args(args);
    let first = finish(command, wait, cancel);
    match &first {
        Err(error)
            if ["permission denied", "access denied", "operator", "must be root"]
                .iter()
                .any(|sign| error.to_lowercase().contains(sign)) =>
        {
            let mut command = Command::new("sudo");
            command.arg("-n").arg(&tool).args(args);
            finish(command, wait, cancel).or(first)
        }
        _ => first,
    }
}

fn finish(command: Command, wait: Duration, cancel: &CancelToken) -> Result<String, String> {
    let captured =
        capture(command, Some(wait), Keep::First(OUTPUT_BYTES_MAX), cancel).map_err(|error| error.to_string())?;
    match captured.ended {
        Ended::Exited(0) => Ok(captured.stdout),
        Ended::TimedOut => Err(format!("no answer within {}s", wait.as_secs())),
        _ if captured.stderr.trim().is_empty() => Err(captured.stdout.trim().to_owned()),
        _ => Err(captured.stderr.trim().to_owned()),
    }
}
