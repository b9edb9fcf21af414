//! Services of the system: a clawdbot process that the system starts at login and keeps running (cli.md §26).
//!
//! [`plan`] says what is to be installed; a [`Manager`] installs it, asks how it is, and takes it away: [`systemd`] on
//! Linux, [`launchd`] on macOS. Runs on the caller's thread, each of the system's tools with a deadline. Not here: what
//! people are told (`cli`).

pub mod launchd;
pub mod plan;
pub mod systemd;

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;

use crate::base::cancel::CancelToken;
use crate::base::process::{Ended, Keep, capture};
use crate::config::paths::Paths;
use plan::{Names, Plan};

/// How long a tool of the system may take: starting a unit waits for its start.
const TOOL_WAIT: Duration = Duration::from_secs(90);
/// Output of a tool that is kept.
const TOOL_OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// What a service manager does for one service. Errors are texts for people; successes are lines for people.
pub trait Manager {
    /// Returns how the manager is called.
    fn label(&self) -> &'static str;
    /// Returns how it calls a service that is installed.
    fn loaded_text(&self) -> &'static str;
    /// Returns how it calls one that is not.
    fn not_loaded_text(&self) -> &'static str;

    /// Returns whether the service is installed.
    ///
    /// # Errors
    /// When the manager cannot be asked.
    fn is_loaded(&self) -> Result<bool, String>;
    /// Writes the service's file and starts it; an older one is replaced.
    ///
    /// # Errors
    /// When a step fails; earlier steps stay done.
    fn install(&self, plan: &Plan) -> Result<Vec<String>, String>;
    /// Stops the service and removes its file.
    ///
    /// # Errors
    /// When the manager cannot be asked.
    fn uninstall(&self) -> Result<Vec<String>, String>;
    /// Stops it until somebody starts it again.
    ///
    /// # Errors
    /// The manager's own.
    fn stop(&self) -> Result<Vec<String>, String>;
    /// Starts it, or starts it anew.
    ///
    /// # Errors
    /// The manager's own.
    fn restart(&self) -> Result<Vec<String>, String>;
    /// Returns what the service's file says, if there is one.
    fn installed(&self) -> Option<Installed>;
    /// Returns how the process is.
    fn runtime(&self) -> Runtime;
    /// Returns the command that starts the service by hand.
    fn start_hint(&self) -> String;
    /// Returns where the service's output is found.
    fn log_hints(&self) -> Vec<String>;
}

/// What a service's file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Installed {
    /// Program and arguments.
    pub program_arguments: Vec<String>,
    /// Working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Variables, in the file's order.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub environment: serde_json::Map<String, serde_json::Value>,
    /// The file.
    pub source_path: PathBuf,
}

/// How a service's process is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Runtime {
    /// running, stopped or unknown.
    pub status: &'static str,
    /// The manager's word for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// A finer one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_state: Option<String>,
    /// Process id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Exit status of the last process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_exit_status: Option<i64>,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_exit_reason: Option<String>,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Set when the manager knows no such service.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub missing_unit: bool,
    /// Set when the manager knows a service whose file is gone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cached_label: bool,
}

impl Runtime {
    /// Returns it in one line.
    pub fn describe(&self) -> String {
        let mut details = Vec::new();
        details.extend(self.pid.map(|pid| format!("pid {pid}")));
        let state = self.state.as_ref().filter(|state| !state.eq_ignore_ascii_case(self.status));
        details.extend(state.map(|state| format!("state {state}")));
        details.extend(self.sub_state.as_ref().map(|state| format!("sub {state}")));
        details.extend(self.last_exit_status.map(|status| format!("last exit {status}")));
        details.extend(self.last_exit_reason.as_ref().map(|reason| format!("reason {reason}")));
        details.extend(self.detail.clone());
        if details.is_empty() { self.status.to_owned() } else { format!("{} ({})", self.status, details.join(", ")) }
    }
}

/// Returns the manager of this system for one service.
///
/// # Errors
/// On systems without a known one.
pub fn manager(names: Names, paths: &Paths) -> Result<Box<dyn Manager>, String> {
    match std::env::consts::OS {
        "linux" => Ok(Box::new(systemd::Systemd::new(names, paths))),
        "macos" => Ok(Box::new(launchd::Launchd::new(names, paths))),
        other => Err(format!("Gateway service install not supported on {other}")),
    }
}

/// What a tool of the system said.
#[derive(Debug)]
struct Told {
    is_ok: bool,
    stdout: String,
    stderr: String,
}

impl Told {
    /// Returns what a failure was about.
    fn detail(&self) -> &str {
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        text.trim()
    }
}

/// Runs a tool of the system to its end.
fn ask(tool: &str, args: &[&str]) -> io::Result<Told> {
    let mut command = Command::new(tool);
    command.args(args);
    let captured = capture(command, Some(TOOL_WAIT), Keep::First(TOOL_OUTPUT_BYTES_MAX), &CancelToken::new())?;
    let mut stderr = captured.stderr;
    if captured.ended == Ended::TimedOut {
        stderr.push_str("no answer in time");
    }
    Ok(Told { is_ok: captured.ended == Ended::Exited(0), stdout: captured.stdout, stderr })
}

/// Reads lines `key=value`, keys in lower case.
fn key_values(text: &str) -> std::collections::HashMap<String, String> {
    let pair = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let key = key.trim().to_ascii_lowercase();
        (!key.is_empty()).then(|| (key, value.trim().to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_in_one_line() {
        let runtime = Runtime { status: "unknown", ..Runtime::default() };
        assert_eq!(runtime.describe(), "unknown");
        let runtime = Runtime {
            status: "stopped",
            state: Some("inactive".to_owned()),
            sub_state: Some("dead".to_owned()),
            last_exit_status: Some(0),
            last_exit_reason: Some("1".to_owned()),
            ..Runtime::default()
        };
        assert_eq!(runtime.describe(), "stopped (state inactive, sub dead, last exit 0, reason 1)");
    }
}
