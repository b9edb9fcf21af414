//! The state directory: is it there, may it be written, who else may read it, and do its sessions have transcripts.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Consent, note};
use crate::agent::{session, sessions, workspace};
use crate::base::fs::{check_writable, create_dir_private};
use crate::base::ids::AgentId;
use crate::cli::{Cli, environment};
use crate::config::types::Config;

/// Sessions that are looked at, the newest first.
const RECENT_MAX: usize = 5;

/// Finds and mends.
pub(super) fn check(cli: &Cli, config: &Config, consent: &Consent) {
    let mut found = Found { cli, consent, warnings: Vec::new(), changes: Vec::new() };
    let state = cli.paths.state_dir.clone();
    if !state.is_dir() {
        let shown = cli.paths.shorten(&state);
        found.warnings.push(format!(
            "- CRITICAL: state directory missing ({shown}). Sessions, credentials, logs, and config are stored there."
        ));
        if config.gateway.mode.as_deref() == Some("remote") {
            found.warnings.push("- The gateway is a remote one; run doctor on its host, too.".to_owned());
        }
        if consent.repair(&format!("Create {shown} now?")) {
            found.made(&state, "state directory");
        }
    }
    if state.is_dir() {
        found.writable(&state, "State directory");
        found.mode(&state, 0o700, "State directory permissions are too open");
        found.mode(&cli.paths.config_file, 0o600, "Config file is group/world readable");
        let agent = session::default_agent(config);
        let store = sessions::store_path(config, &cli.paths, &agent);
        let directories = [
            (cli.paths.agent_dir(agent.as_str()).join("sessions"), "Sessions dir"),
            (store.parent().map(Path::to_owned).unwrap_or_default(), "Session store dir"),
            (cli.paths.credentials_dir(environment::var), "OAuth dir"),
        ];
        let mut seen: Vec<PathBuf> = Vec::new();
        for (dir, label) in directories {
            if !seen.contains(&dir) {
                found.directory(&dir, label);
                seen.push(dir);
            }
        }
        found.other_state_dirs();
        found.sessions(config, &agent);
    }
    note("State integrity", &found.warnings);
    note("Doctor changes", &found.changes);
}

/// Says how to keep the workspace safe.
pub(super) fn workspace_tip(cli: &Cli, config: &Config) {
    let dir = workspace::dir(config, &cli.paths, &session::default_agent(config));
    if dir.is_dir() && !dir.join(".git").exists() {
        let lines = [
            "- Tip: keep the workspace in a private git repository; it is the assistant's memory.".to_owned(),
            format!(
                "- Keep {} out of it: credentials and conversations are there.",
                cli.paths.shorten(&cli.paths.state_dir)
            ),
        ];
        note("Workspace", &lines);
    }
}

/// Returns how many lines of a transcript hold something, up to `max`: all of it may be long.
fn count_lines(file: &Path, max: usize) -> std::io::Result<usize> {
    let lines = BufReader::new(std::fs::File::open(file)?).split(b'\n');
    let full = lines.filter(|line| !line.as_ref().is_ok_and(Vec::is_empty)).take(max);
    full.map(|line| line.map(|_| 1)).sum()
}

struct Found<'a> {
    cli: &'a Cli,
    consent: &'a Consent,
    warnings: Vec<String>,
    changes: Vec<String>,
}

impl Found<'_> {
    fn made(&mut self, dir: &Path, label: &str) {
        let shown = self.cli.paths.shorten(dir);
        match create_dir_private(dir) {
            Ok(()) => self.changes.push(format!("- Created {label}: {shown}")),
            Err(error) => self.warnings.push(format!("- Failed to create {shown}: {error}")),
        }
    }

    fn directory(&mut self, dir: &Path, label: &str) {
        let shown = self.cli.paths.shorten(dir);
        if !dir.is_dir() {
            self.warnings.push(format!("- CRITICAL: {label} missing ({shown})."));
            if self.consent.repair(&format!("Create {label} at {shown}?")) {
                self.made(dir, label);
            }
            return;
        }
        self.writable(dir, label);
    }

    fn writable(&mut self, dir: &Path, label: &str) {
        if check_writable(dir).is_ok() {
            return;
        }
        let shown = self.cli.paths.shorten(dir);
        self.warnings.push(format!("- {label} not writable ({shown})."));
        let Ok(metadata) = std::fs::metadata(dir) else { return };
        // SAFETY: geteuid has no preconditions and cannot fail.
        let uid = unsafe { libc::geteuid() };
        if metadata.uid() != uid {
            let owner = metadata.uid();
            self.warnings.push(format!("  It belongs to user {owner}. Run: sudo chown -R $USER \"{}\"", dir.display()));
            return;
        }
        if self.consent.repair(&format!("Repair permissions on {shown}?")) {
            let mode = metadata.permissions().mode() & 0o777 | 0o700;
            self.changed(dir, mode, format!("- Repaired permissions on {shown}"));
        }
    }

    /// Looks whether others may reach what only its owner should.
    fn mode(&mut self, path: &Path, wanted: u32, problem: &str) {
        let Ok(metadata) = std::fs::metadata(path) else { return };
        if metadata.permissions().mode() & 0o077 == 0 {
            return;
        }
        let shown = self.cli.paths.shorten(path);
        self.warnings.push(format!("- {problem} ({shown}). Recommend chmod {wanted:o}."));
        if self.consent.repair(&format!("Tighten permissions on {shown} to {wanted:o}?")) {
            self.changed(path, wanted, format!("- Tightened permissions on {shown} to {wanted:o}"));
        }
    }

    fn changed(&mut self, path: &Path, mode: u32, line: String) {
        match std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)) {
            Ok(()) => self.changes.push(line),
            Err(error) => self.warnings.push(format!("- chmod {mode:o} {}: {error}", path.display())),
        }
    }

    fn other_state_dirs(&mut self) {
        let paths = &self.cli.paths;
        let mut others = vec![paths.home.join(".clawdbot")];
        let homes = if cfg!(target_os = "macos") { "/Users" } else { "/home" };
        let entries = std::fs::read_dir(homes).into_iter().flatten().flatten();
        others.extend(entries.map(|entry| entry.path().join(".clawdbot")));
        others.retain(|dir| *dir != paths.state_dir && dir.is_dir());
        others.sort();
        others.dedup();
        // A profile has its directory on purpose; without one, another is a surprise.
        if others.is_empty() || paths.profile.is_some() {
            return;
        }
        self.warnings.push("- Multiple state directories detected. This can split session history.".to_owned());
        self.warnings.extend(others.iter().map(|dir| format!("  - {}", paths.shorten(dir))));
        self.warnings.push(format!("  Active state dir: {}", paths.shorten(&paths.state_dir)));
    }

    fn sessions(&mut self, config: &Config, agent: &AgentId) {
        let index = sessions::store_path(config, &self.cli.paths, agent);
        let all = match sessions::read_raw(&index) {
            Ok(all) => all,
            Err(error) => {
                let shown = self.cli.paths.shorten(&index);
                self.warnings.push(format!("- Session store cannot be read ({shown}): {error}"));
                return;
            }
        };
        let transcript = |entry: &Value| {
            let file = entry["sessionFile"].as_str().map(PathBuf::from);
            let id = entry["sessionId"].as_str()?;
            // Transcripts stay in the agent's directory, wherever the store is.
            Some(file.unwrap_or_else(|| self.cli.paths.sessions_dir(agent.as_str()).join(format!("{id}.jsonl"))))
        };
        let mut recent: Vec<&Value> = all.values().collect();
        recent.sort_by_key(|entry| std::cmp::Reverse(entry["updatedAt"].as_u64()));
        recent.truncate(RECENT_MAX);
        let missing = recent.iter().filter(|entry| transcript(entry).is_some_and(|file| !file.is_file())).count();
        if missing > 0 {
            self.warnings.push(format!(
                "- {missing}/{} recent sessions are missing transcripts. Check for deleted session files or split state dirs.",
                recent.len()
            ));
        }
        let main = all.get(session::main_key(config, agent).as_str());
        let Some(file) = main.and_then(transcript) else { return };
        match count_lines(&file, 2) {
            Err(_) => {
                let shown = self.cli.paths.shorten(&file);
                self.warnings
                    .push(format!("- Main session transcript missing ({shown}). History will appear to reset."));
            }
            Ok(lines @ 0..=1) => self.warnings.push(format!(
                "- Main session transcript has only {lines} line. Session history may not be appending."
            )),
            Ok(_) => {}
        }
    }
}
