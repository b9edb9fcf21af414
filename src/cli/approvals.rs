//! `approvals`: which commands the assistant may run, on this machine, the gateway's or a node (cli.md §22).

use std::io::Read as _;

use serde_json::{Value, json};

use super::exit::{Failure, Outcome};
use super::rpc::{self, ClientOptions, client_command, items};
use super::{Cli, Command, node_ref, output};
use crate::approvals::file::PolicyFile;
use crate::approvals::store::{PolicyStore, ReplaceError, Snapshot};
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::fs::read_text_capped;
use crate::base::rng::SystemRng;
use crate::base::text::{short_age, unless_blank};
use crate::config::json5;

/// Largest policy that is read, in bytes.
const INPUT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The agent that is meant when none is named: all of them.
const AGENT_DEFAULT: &str = "*";

client_command! {
    /// show what is allowed
    pub(super) struct Get {
        /// of this node: id, name or address
        #[argh(option, arg_name = "node")]
        node: Option<String>,
        /// of the gateway's machine
        #[argh(switch)]
        gateway: bool,
    }
}

impl Command for Get {
    fn run(self, cli: &Cli) -> Outcome {
        let options = self.client_options();
        let place = Place::choose(cli, &options, self.node.as_deref(), self.gateway)?;
        let snapshot = place.load()?;
        if self.json {
            output::line(&snapshot.to_string());
            return Ok(());
        }
        if place.is_local() {
            output::line(&output::dim("Showing local approvals."));
            output::line("");
        }
        show(&snapshot, &place.label());
        Ok(())
    }
}

client_command! {
    /// replace what is allowed by a JSON file
    pub(super) struct Set {
        /// on this node: id, name or address
        #[argh(option, arg_name = "node")]
        node: Option<String>,
        /// on the gateway's machine
        #[argh(switch)]
        gateway: bool,
        /// file to read (JSON5)
        #[argh(option, arg_name = "path")]
        file: Option<String>,
        /// read standard input
        #[argh(switch)]
        stdin: bool,
    }
}

impl Command for Set {
    fn run(self, cli: &Cli) -> Outcome {
        let text = match (&self.file, self.stdin) {
            (None, false) => return Err(Failure::text("Provide --file or --stdin.")),
            (Some(_), true) => return Err(Failure::text("Use either --file or --stdin (not both).")),
            (Some(path), false) => read_file(path),
            (None, true) => read_stdin(),
        };
        let text = text.map_err(Failure::text)?;
        let mut file = json5::parse(&text)
            .map_err(|error| Failure::text(format!("Failed to parse approvals JSON: {}", first_line(&error))))?;
        if !file.is_object() {
            return Err(Failure::text("Failed to parse approvals JSON: it must be an object"));
        }
        file["version"] = 1.into();
        let options = self.client_options();
        let place = Place::choose(cli, &options, self.node.as_deref(), self.gateway)?;
        place.write(self.json, |_| Ok(Change::To(file)))
    }
}

client_command! {
    /// allow the programs that a pattern of paths matches
    pub(super) struct AllowlistAdd {
        /// on this node: id, name or address
        #[argh(option, arg_name = "node")]
        node: Option<String>,
        /// on the gateway's machine
        #[argh(switch)]
        gateway: bool,
        /// for this agent (default: "*", all of them)
        #[argh(option, arg_name = "id")]
        agent: Option<String>,
        /// pattern such as "~/Projects/**/bin/rg"
        #[argh(positional)]
        pattern: String,
    }
}

impl Command for AllowlistAdd {
    fn run(self, cli: &Cli) -> Outcome {
        let options = self.client_options();
        let place = Place::choose(cli, &options, self.node.as_deref(), self.gateway)?;
        let (agent, pattern) = agent_and_pattern(self.agent.as_deref(), &self.pattern)?;
        place.write(self.json, |mut file| {
            let is_new = file.allow(Some(agent), pattern, SystemClock.now_ms());
            Ok(if is_new { Change::To(file.shown()) } else { Change::None("Already allowlisted.") })
        })
    }
}

client_command! {
    /// take a pattern out of the allowlist
    pub(super) struct AllowlistRemove {
        /// on this node: id, name or address
        #[argh(option, arg_name = "node")]
        node: Option<String>,
        /// on the gateway's machine
        #[argh(switch)]
        gateway: bool,
        /// of this agent (default: "*", all of them)
        #[argh(option, arg_name = "id")]
        agent: Option<String>,
        /// pattern as approvals get shows it
        #[argh(positional)]
        pattern: String,
    }
}

impl Command for AllowlistRemove {
    fn run(self, cli: &Cli) -> Outcome {
        let options = self.client_options();
        let place = Place::choose(cli, &options, self.node.as_deref(), self.gateway)?;
        let (agent, pattern) = agent_and_pattern(self.agent.as_deref(), &self.pattern)?;
        place.write(self.json, |mut file| {
            let was_there = file.disallow(Some(agent), pattern);
            Ok(if was_there { Change::To(file.shown()) } else { Change::None("Pattern not found.") })
        })
    }
}

fn agent_and_pattern<'a>(agent: Option<&'a str>, pattern: &'a str) -> Result<(&'a str, &'a str), Failure> {
    let pattern = pattern.trim();
    if pattern.is_empty() {
        return Err(Failure::text("Pattern required."));
    }
    Ok((agent.and_then(unless_blank).unwrap_or(AGENT_DEFAULT), pattern))
}

/// What becomes of a file.
enum Change {
    /// It is replaced by this one.
    To(Value),
    /// It stays, and this is why.
    None(&'static str),
}

/// Whose policy it is.
enum Place<'a> {
    Local(PolicyStore),
    Gateway { cli: &'a Cli, options: &'a ClientOptions },
    Node { cli: &'a Cli, options: &'a ClientOptions, id: String },
}

impl<'a> Place<'a> {
    fn choose(
        cli: &'a Cli,
        options: &'a ClientOptions,
        node: Option<&str>,
        wants_gateway: bool,
    ) -> Result<Self, Failure> {
        let node = node.and_then(unless_blank);
        match node {
            _ if wants_gateway => Ok(Self::Gateway { cli, options }),
            None => Ok(Self::Local(PolicyStore::new(cli.paths.exec_approvals_file()))),
            Some(query) => {
                let id = node_ref::resolve(cli, options, query).map_err(|error| Failure::text(first_line(&error)))?;
                Ok(Self::Node { cli, options, id })
            }
        }
    }

    fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }

    fn label(&self) -> String {
        match self {
            Self::Local(_) => "local".to_owned(),
            Self::Gateway { .. } => "gateway".to_owned(),
            Self::Node { id, .. } => format!("node:{id}"),
        }
    }

    /// Returns `{path, exists, hash, file}`; nothing is made or changed.
    fn load(&self) -> Result<Value, Failure> {
        match self {
            Self::Local(store) => {
                store.load().map(|found| local_view(&found)).map_err(|error| io_failure(store, &error))
            }
            Self::Gateway { cli, options } => call(cli, options, "exec.approvals.get", json!({})),
            Self::Node { cli, options, id } => call(cli, options, "exec.approvals.node.get", json!({"nodeId": id})),
        }
    }

    /// Replaces the file by what `change` makes of it, and shows it.
    fn write(&self, is_json: bool, change: impl FnOnce(PolicyFile) -> Result<Change, Failure>) -> Outcome {
        // A file must be there before a hash can name it.
        let snapshot = match self {
            Self::Local(store) => {
                let found = store.load_complete(&SystemRng).map_err(|error| io_failure(store, &error))?;
                local_view(&found)
            }
            _ => self.load()?,
        };
        let hash = snapshot["hash"].as_str().filter(|hash| !hash.is_empty());
        let hash = hash.ok_or_else(|| Failure::text("Exec approvals hash missing; reload and retry."))?;
        if self.is_local() && !is_json {
            output::line(&output::dim("Writing local approvals."));
        }
        let file = PolicyFile::parse(&snapshot["file"].to_string())
            .map_err(|error| Failure::text(format!("Exec approvals of another version: {error}")))?;
        let file = match change(file)? {
            Change::To(file) => file,
            Change::None(why) => {
                output::line(why);
                return Ok(());
            }
        };
        let after = match self {
            Self::Local(store) => {
                let replaced = store.replace(file, Some(hash), SystemClock.now_ms(), &SystemRng);
                local_view(&replaced.map_err(|error| replace_failure(store, error))?)
            }
            Self::Gateway { cli, options } => {
                call(cli, options, "exec.approvals.set", json!({"file": file, "baseHash": hash}))?
            }
            Self::Node { cli, options, id } => {
                let params = json!({"nodeId": id, "file": file, "baseHash": hash});
                call(cli, options, "exec.approvals.node.set", params)?
            }
        };
        if is_json {
            output::line(&after.to_string());
            return Ok(());
        }
        let label = self.label();
        output::line(&output::dim(&format!("Target: {label}")));
        show(&after, &label);
        Ok(())
    }
}

fn call(cli: &Cli, options: &ClientOptions, method: &str, params: Value) -> Result<Value, Failure> {
    rpc::call(cli, options, method, params).map_err(|error| Failure::text(first_line(&error)))
}

fn local_view(found: &Snapshot) -> Value {
    if let Some(fault) = &found.fault {
        output::error_line(&format!(
            "{} cannot be read ({fault}): no command is allowed until it is mended or replaced",
            found.path.display()
        ));
    }
    json!({"path": found.path, "exists": found.exists, "hash": found.hash, "file": found.file.shown()})
}

fn io_failure(store: &PolicyStore, error: &std::io::Error) -> Failure {
    Failure::text(format!("{}: {error}", store.path().display()))
}

fn replace_failure(store: &PolicyStore, error: ReplaceError) -> Failure {
    match error {
        ReplaceError::Io(error) => io_failure(store, &error),
        ReplaceError::Invalid(why) => Failure::text(format!("Failed to parse approvals JSON: {why}")),
        ReplaceError::BaseHashMissing | ReplaceError::Changed => {
            Failure::text("Exec approvals changed meanwhile; run the command again.")
        }
    }
}

/// compat: these commands print the first line of an error alone.
fn first_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn read_file(path: &str) -> Result<String, String> {
    match read_text_capped(path.as_ref(), INPUT_BYTES_MAX) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(format!("{path}: no such file")),
        Err(error) => Err(format!("{path}: {error}")),
    }
}

fn read_stdin() -> Result<String, String> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(INPUT_BYTES_MAX).read_to_string(&mut text);
    read.map(|_| text).map_err(|error| format!("standard input: {error}"))
}

fn show(snapshot: &Value, label: &str) {
    let file = &snapshot["file"];
    let allowed = allowlist_rows(file, label, SystemClock.now_ms());
    let text = |value: &Value, default: &str| value.as_str().unwrap_or(default).to_owned();
    let rows = [
        ("Target", label.to_owned()),
        ("Path", text(&snapshot["path"], "")),
        ("Exists", if snapshot["exists"] == true { "yes" } else { "no" }.to_owned()),
        ("Hash", text(&snapshot["hash"], "")),
        ("Version", file["version"].as_u64().unwrap_or(1).to_string()),
        ("Socket", text(&file["socket"]["path"], "default")),
        ("Defaults", defaults(&file["defaults"])),
        ("Agents", file["agents"].as_object().map_or(0, serde_json::Map::len).to_string()),
        ("Allowlist", allowed.len().to_string()),
    ];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(field, value)| vec![field.to_owned(), value]).collect();
    output::line(&output::bold("Approvals"));
    output::line(&output::table(&["Field", "Value"], &rows));
    output::line("");
    if allowed.is_empty() {
        output::line(&output::dim("No allowlist entries."));
        return;
    }
    output::line(&output::bold("Allowlist"));
    output::line(&output::table(&["Target", "Agent", "Pattern", "Last Used"], &allowed));
}

fn allowlist_rows(file: &Value, label: &str, now_ms: u64) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (agent, entry) in file["agents"].as_object().into_iter().flatten() {
        for allowed in items(&entry["allowlist"]) {
            let pattern = allowed["pattern"].as_str().unwrap_or_default().trim();
            if pattern.is_empty() {
                continue;
            }
            let used = allowed["lastUsedAt"].as_u64().filter(|&at| at > 0);
            let used = used.map(|at| format!("{} ago", short_age(now_ms.saturating_sub(at))));
            let used = used.unwrap_or_else(|| "unknown".to_owned());
            rows.push(vec![label.to_owned(), agent.clone(), pattern.to_owned(), used]);
        }
    }
    rows
}

fn defaults(defaults: &Value) -> String {
    let texts = ["security", "ask", "askFallback"].iter().filter_map(|key| {
        let value = defaults[*key].as_str().filter(|value| !value.is_empty())?;
        Some(format!("{key}={value}"))
    });
    let skills = defaults["autoAllowSkills"].as_bool();
    let skills = skills.map(|is_on| format!("autoAllowSkills={}", if is_on { "on" } else { "off" }));
    let parts: Vec<String> = texts.chain(skills).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown() {
        let file = json!({"defaults": {"security": "allowlist", "ask": "", "autoAllowSkills": false}, "agents": {
            "main": {"allowlist": [{"pattern": "/bin/ls", "lastUsedAt": 1000}, {"pattern": " "}, {"pattern": "/bin/a"}]}, "x": {},
        }});
        assert_eq!(defaults(&file["defaults"]), "security=allowlist, autoAllowSkills=off");
        assert_eq!(defaults(&Value::Null), "none");
        let rows = allowlist_rows(&file, "local", 7_201_000);
        assert_eq!(rows, [["local", "main", "/bin/ls", "2h ago"], ["local", "main", "/bin/a", "unknown"]]);
    }
}
