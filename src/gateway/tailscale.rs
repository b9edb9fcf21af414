//! Reach through Tailscale: `serve` for the tailnet, `funnel` for everybody, by its own command (http.md §10.6).
//!
//! Runs in a job after the start, and on `main` at the stop if the exposure ends with the gateway. Not here: who such
//! visitors are (`auth`).

use std::time::Duration;

use crate::base::cancel::CancelToken;
use crate::base::tailscale::{own_name, run, status};

/// How long the command may take at start; at a stop there is less.
const WAIT: Duration = Duration::from_secs(15);
/// How long it may take when the gateway stops.
const RESET_WAIT: Duration = Duration::from_secs(2);

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
