//! Services of the system: a clawdbot process that the system starts at login and keeps running (cli.md §26).
//!
//! [`plan`] says what is to be installed; a [`Manager`] installs it, asks how it is, and takes it away: [`systemd`] on
//! Linux, [`launchd`] on macOS, [`schtasks`] on Windows. [`audit`] compares what is installed with what would be
//! installed today, [`scan`] finds services that may be in the way, [`linger`] keeps a user's services running after
//! the logout. Runs on the caller's thread, each of the system's tools with a deadline. Not here: what people are told
//! (`cli`).

pub mod audit;
pub mod launchd;
pub mod linger;
pub mod plan;
pub mod scan;
pub mod schtasks;
pub mod systemd;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Serialize;

use crate::base::cancel::CancelToken;
use crate::base::fs::{Durability, MODE_PRIVATE, read_text_capped, write_atomic};
use crate::base::process::{Ended, Keep, capture};
use crate::config::paths::Paths;
use plan::{Names, Plan};

/// How long a tool of the system may take: starting a unit waits for its start.
const TOOL_WAIT: Duration = Duration::from_secs(90);
/// A service's file is a page of text.
const FILE_BYTES_MAX: u64 = 256 * 1024;
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
    /// Returns the command that stops it by hand.
    fn stop_hint(&self) -> String;
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
    /// Result of the last run, of a scheduled task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_result: Option<String>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_time: Option<String>,
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
        details.extend(self.last_run_result.as_ref().map(|result| format!("last run {result}")));
        details.extend(self.last_run_time.as_ref().map(|time| format!("last run time {time}")));
        details.extend(self.detail.clone());
        if details.is_empty() { self.status.to_owned() } else { format!("{} ({})", self.status, details.join(", ")) }
    }
}

/// Whose service it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// A user's own: it runs while the user is logged in, or lingers.
    User,
    /// The system's: it runs from the start of the machine, as this user.
    System {
        /// Who runs it.
        user: String,
        /// Home of that user.
        home: PathBuf,
    },
}

/// Returns the manager of this system for one service.
///
/// # Errors
/// On systems without a known one, and for a system's service where only users have them.
pub fn manager(names: Names, paths: &Paths, scope: Scope) -> Result<Box<dyn Manager>, String> {
    match std::env::consts::OS {
        "linux" => Ok(Box::new(systemd::Systemd::new(names, paths, scope))),
        other if scope != Scope::User => Err(format!("--system needs systemd, which {other} does not have")),
        "macos" => Ok(Box::new(launchd::Launchd::new(names, paths))),
        "windows" => Ok(Box::new(schtasks::ScheduledTask::new(names, paths))),
        other => Err(format!("Gateway service install not supported on {other}")),
    }
}

/// Returns the directories of the system's units, the one for an administrator's own first. `CLAWDBOT_SYSTEMD_DIR` takes
/// their place: for images that are being built.
pub fn system_unit_dirs() -> Vec<PathBuf> {
    match std::env::var_os("CLAWDBOT_SYSTEMD_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => vec![dir.into()],
        None => ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"].map(PathBuf::from).into(),
    }
}

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its home.
    pub home: PathBuf,
}

/// Returns the account of a name, as the system knows it.
pub fn account(name: &str) -> Option<Account> {
    // What is not in the file (a directory service) is known to getent.
    let told = ask("getent", &["passwd", name]).ok().filter(|told| told.is_ok).map(|told| told.stdout);
    let text = told.or_else(|| std::fs::read_to_string("/etc/passwd").ok())?;
    let read = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [user, _, uid, _, _, home, ..] = fields.as_slice() else { return None };
        let is_it = *user == name || *uid == name;
        is_it.then(|| Account { name: (*user).to_owned(), home: PathBuf::from(home) })
    };
    text.lines().find_map(read)
}

/// Returns the account that this process runs under.
pub fn account_of_process() -> Option<Account> {
    // SAFETY: geteuid has no preconditions and cannot fail.
    let uid = unsafe { libc::geteuid() };
    account(&uid.to_string())
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

/// Returns what a question that was not answered failed with, if it said so.
fn why(told: Result<Told, String>) -> Option<String> {
    let detail = told.map_or_else(|error| error, |told| told.detail().to_owned());
    Some(detail).filter(|detail| !detail.is_empty())
}

/// Writes a service's file; private, because it may hold a token.
fn write(file: &Path, text: &str) -> Result<(), String> {
    write_atomic(file, text.as_bytes(), MODE_PRIVATE, Durability::Power)
        .map_err(|error| format!("write {}: {error}", file.display()))
}

/// Reads a service's file, if it is there and one.
fn read(file: &Path, parse: fn(&str) -> Option<Installed>) -> Option<Installed> {
    let text = read_text_capped(file, FILE_BYTES_MAX).ok()??;
    parse(&text).map(|installed| Installed { source_path: file.to_owned(), ..installed })
}

/// Removes a service's file; returns the line about it, which calls it `what`.
fn remove(file: &Path, what: &str) -> Result<Vec<String>, String> {
    let shown = file.display();
    let lower = what.to_lowercase();
    match std::fs::remove_file(file) {
        Ok(()) => Ok(vec![format!("Removed {lower}: {shown}")]),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![format!("{what} not found at {shown}")]),
        Err(error) => Err(format!("remove {shown}: {error}")),
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
