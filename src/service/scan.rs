//! Services that may start a second gateway: older names of ours, and others that mention clawdbot (cli.md §26.5).
//!
//! Reads files only. Not here: taking them away (`doctor`).

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::plan::Names;
use super::system_unit_dirs;
use crate::base::fs::read_text_capped;
use crate::config::paths::Paths;

/// Labels that gateways had in launchd once.
pub const LEGACY_LABELS: [&str; 1] = ["com.steipete.clawdbot.gateway"];

/// A unit or an agent is a page of text.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// A service that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// As Node names it.
    pub platform: &'static str,
    /// Unit, label or task.
    pub label: String,
    /// Where it is.
    pub detail: String,
    /// user or system.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub scope: &'static str,
    /// Its file.
    #[serde(skip)]
    pub file: PathBuf,
}

impl Found {
    /// Returns the commands that take it away.
    pub fn cleanup_hints(&self) -> Vec<String> {
        let (label, file) = (&self.label, self.file.display());
        match (self.platform, self.scope) {
            ("darwin", _) => {
                vec![format!("launchctl bootout gui/$UID/{label}"), format!("rm ~/Library/LaunchAgents/{label}.plist")]
            }
            (_, "system") => vec![format!("sudo systemctl disable --now {label}"), format!("sudo rm {file}")],
            _ => vec![format!("systemctl --user disable --now {label}"), format!("rm {file}")],
        }
    }
}

/// Returns services under our older names.
pub fn legacy(paths: &Paths) -> Vec<Found> {
    if !cfg!(target_os = "macos") {
        return Vec::new();
    }
    let file = |label: &str| paths.home.join("Library/LaunchAgents").join(format!("{label}.plist"));
    let found = |label: &&str| Found {
        platform: "darwin",
        label: (*label).to_owned(),
        detail: format!("not loaded, plist: {}", file(label).display()),
        scope: "",
        file: file(label),
    };
    LEGACY_LABELS.iter().filter(|label| file(label).exists()).map(found).collect()
}

/// Returns gateway-like services besides the one that `own` names; `is_deep` looks into the system's directories, too.
pub fn extra(paths: &Paths, own: &Names, is_deep: bool) -> Vec<Found> {
    let is_mac = cfg!(target_os = "macos");
    let mut places: Vec<(PathBuf, &'static str)> = Vec::new();
    let user = if is_mac { "Library/LaunchAgents" } else { ".config/systemd/user" };
    places.push((paths.home.join(user), "user"));
    if is_deep && is_mac {
        places.extend(["/Library/LaunchAgents", "/Library/LaunchDaemons"].map(|dir| (PathBuf::from(dir), "system")));
    } else if is_deep {
        places.extend(system_unit_dirs().into_iter().map(|dir| (dir, "system")));
    }
    let mut found: Vec<Found> = Vec::new();
    let mut seen: Vec<PathBuf> = Vec::new();
    for (dir, scope) in places {
        // /lib is /usr/lib on most systems.
        let real = dir.canonicalize().unwrap_or_else(|_| dir.clone());
        if seen.contains(&real) {
            continue;
        }
        seen.push(real);
        found.extend(in_directory(&dir, scope, own, is_mac));
    }
    found
}

fn in_directory(dir: &Path, scope: &'static str, own: &Names, is_mac: bool) -> Vec<Found> {
    let extension = if is_mac { "plist" } else { "service" };
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|file| file.extension().is_some_and(|it| it == extension))
        .collect();
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = read_text_capped(&file, FILE_BYTES_MAX).ok().flatten().unwrap_or_default();
        if !is_extra(&name, &text, own, is_mac) {
            continue;
        }
        let kind = if is_mac { "plist" } else { "unit" };
        found.push(Found {
            platform: if is_mac { "darwin" } else { "linux" },
            label: if is_mac { name } else { format!("{name}.service") },
            detail: format!("{kind}: {}", file.display()),
            scope,
            file,
        });
    }
    found
}

fn is_extra(name: &str, text: &str, own: &Names, is_mac: bool) -> bool {
    let lower = text.to_lowercase();
    let is_own_name = name == own.unit || name == own.label || LEGACY_LABELS.contains(&name);
    let is_marked = text.contains("CLAWDBOT_SERVICE_MARKER")
        && lower.contains("clawdbot")
        && text.contains("CLAWDBOT_SERVICE_KIND")
        && lower.contains("gateway");
    let start = if is_mac { "com.clawdbot." } else { "clawdbot-gateway" };
    let is_named = name.starts_with(start) && lower.contains("gateway");
    lower.contains("clawdbot") && !is_own_name && !is_marked && !is_named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_told_from_our_own() {
        let own = Names::gateway(None, |_| None);
        let check = |name: &str, text: &str| is_extra(name, text, &own, false);
        assert!(check("my-bot", "ExecStart=/opt/Clawdbot/run"));
        assert!(!check("my-bot", "ExecStart=/opt/other"));
        assert!(!check("clawdbot-gateway", "ExecStart=clawdbot x"));
        assert!(!check("clawdbot-gateway-work", "ExecStart=clawdbot gateway"));
        assert!(!check("x", "Environment=CLAWDBOT_SERVICE_MARKER=clawdbot\nEnvironment=CLAWDBOT_SERVICE_KIND=gateway"));
        assert!(check("clawdbot-node", "ExecStart=clawdbot node run"));
    }
}
