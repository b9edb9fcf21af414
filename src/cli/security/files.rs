//! Who else may read or write the files of the state directory.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Finding, Severity};
use crate::agent::{session, sessions};
use crate::cli::environment;
use crate::config::include;
use crate::config::paths::Paths;
use crate::config::types::Config;

/// A file or directory that only its owner should reach.
pub(super) struct Guarded {
    /// Start of the ids of its findings.
    id: &'static str,
    /// What it is.
    name: &'static str,
    /// Where it is.
    pub(super) path: PathBuf,
    /// The mode that it should have.
    pub(super) mode: u32,
    /// How bad it is when others may read it.
    readable: Severity,
}

/// Returns what is looked after.
pub(super) fn guarded(paths: &Paths, config: &Config) -> Vec<Guarded> {
    let file = |id, name, path, readable| Guarded { id, name, path, mode: 0o600, readable };
    let dir = |id, name, path| Guarded { id, name, path, mode: 0o700, readable: Severity::Warn };
    let mut all = vec![
        dir("fs.state_dir", "The state directory", paths.state_dir.clone()),
        file("fs.config", "The configuration file", paths.config_file.clone(), Severity::Critical),
    ];
    for included in include::files(&paths.config_file) {
        all.push(file("fs.config_include", "An included configuration file", included, Severity::Critical));
    }
    all.push(dir("fs.credentials_dir", "The credentials directory", paths.credentials_dir(environment::var)));
    for agent in session::agent_ids(config) {
        let dir = paths.agent_dir(agent.as_str());
        let profiles = dir.join("agent/auth-profiles.json");
        all.push(file("fs.auth_profiles", "auth-profiles.json", profiles, Severity::Warn));
        let sessions = sessions::store_path(config, paths, &agent);
        all.push(file("fs.sessions_store", "sessions.json", sessions, Severity::Warn));
    }
    all.extend(paths.configured_log_file(config).map(|log| file("fs.log_file", "The log file", log, Severity::Warn)));
    all
}

pub(super) fn findings(paths: &Paths, config: &Config) -> Vec<Finding> {
    guarded(paths, config).iter().flat_map(judge).collect()
}

fn judge(guarded: &Guarded) -> Vec<Finding> {
    let mut found = Vec::new();
    let path = &guarded.path;
    if is_link(path) && matches!(guarded.id, "fs.state_dir" | "fs.config") {
        let detail = format!("{} is a link; whoever owns what it leads to decides.", path.display());
        let title = format!("{} is a link", guarded.name);
        found.push(Finding::new(format!("{}.symlink", guarded.id), Severity::Warn, &title, detail));
    }
    let Ok(metadata) = std::fs::metadata(path) else { return found };
    let mode = metadata.permissions().mode() & 0o777;
    let is_dir = guarded.mode == 0o700;
    let (kind, severity, what) = match mode {
        mode if mode & 0o002 != 0 && is_dir => ("world_writable", Severity::Critical, "may be written by everybody"),
        mode if mode & 0o020 != 0 && is_dir => ("group_writable", Severity::Warn, "may be written by its group"),
        mode if mode & 0o022 != 0 => ("writable", Severity::Critical, "may be written by others"),
        mode if mode & 0o004 != 0 && !is_dir => ("world_readable", guarded.readable, "may be read by everybody"),
        mode if mode & 0o040 != 0 && !is_dir => ("group_readable", Severity::Warn, "may be read by its group"),
        mode if mode & 0o044 != 0 => ("readable", Severity::Warn, "may be read by others"),
        _ => return found,
    };
    // compat: ids of the original, which tells kinds apart for its configuration only.
    let kind = match (guarded.id, kind) {
        ("fs.credentials_dir", "world_writable" | "group_writable") => "writable",
        ("fs.auth_profiles" | "fs.sessions_store" | "fs.log_file", "world_readable" | "group_readable") => "readable",
        (_, kind) => kind,
    };
    let severity = if guarded.id == "fs.credentials_dir" && kind == "writable" { Severity::Critical } else { severity };
    let detail = format!("{} has mode {mode:o}.", path.display());
    let title = format!("{} {what}", guarded.name);
    let finding = Finding::new(format!("{}.perms_{kind}", guarded.id), severity, &title, detail);
    found.push(finding.fix(format!("chmod {:o} {}", guarded.mode, path.display())));
    found
}

fn is_link(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}
