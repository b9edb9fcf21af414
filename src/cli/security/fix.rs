//! `security audit --fix`: modes of files, and two settings that have a safe value.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::files::guarded;
use crate::config::paths::Paths;
use crate::config::types::Config;
use crate::config::write;

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Fixed {
    changes: Vec<String>,
    modes: Vec<(PathBuf, u32)>,
    errors: Vec<String>,
}

impl Fixed {
    /// Returns it as JSON.
    pub(super) fn view(&self) -> Value {
        let action = |(path, mode): &(PathBuf, u32)| json!({"kind": "chmod", "path": path, "mode": mode, "ok": true});
        json!({
            "ok": self.errors.is_empty(), "changes": self.changes,
            "actions": self.modes.iter().map(action).collect::<Vec<_>>(), "errors": self.errors,
        })
    }

    /// Returns it in lines.
    pub(super) fn lines(&self, paths: &Paths) -> Vec<String> {
        let mut lines: Vec<String> = self.changes.iter().map(|change| format!("  {change}")).collect();
        lines.extend(self.modes.iter().map(|(path, mode)| format!("  chmod {mode:o} {}", paths.shorten(path))));
        lines.extend(self.errors.iter().map(|error| format!("  error: {error}")));
        if lines.is_empty() {
            vec!["Fixes: nothing to change".to_owned()]
        } else {
            [vec![String::new(), "FIX".to_owned()], lines].concat()
        }
    }
}

/// Mends what can be mended without a question.
pub(super) fn fix(paths: &Paths, config: &Config) -> Fixed {
    let mut fixed = Fixed::default();
    // The file as it is written decides; what it includes is left to its owner.
    let mut changes = Vec::new();
    let changed = write::edit(paths, |tree| {
        changes = tighten(tree);
        if changes.is_empty() { Err(String::new()) } else { Ok(()) }
    });
    match changed {
        Ok(_) => fixed.changes = changes,
        Err(write::EditError::Change(_)) => {}
        Err(error) => fixed.errors.push(error.to_string()),
    }
    for guarded in guarded(paths, config) {
        let Ok(metadata) = std::fs::symlink_metadata(&guarded.path) else { continue };
        // A link's target belongs to somebody who may have meant it.
        if metadata.is_symlink() || metadata.permissions().mode() & 0o077 == 0 {
            continue;
        }
        match std::fs::set_permissions(&guarded.path, std::fs::Permissions::from_mode(guarded.mode)) {
            Ok(()) => fixed.modes.push((guarded.path, guarded.mode)),
            Err(error) => fixed.errors.push(format!("chmod {}: {error}", guarded.path.display())),
        }
    }
    fixed
}

/// Gives settings their safe value; returns what was changed.
fn tighten(tree: &mut Value) -> Vec<String> {
    let mut changes = Vec::new();
    if tree["logging"]["redactSensitive"] == "off" {
        tree["logging"]["redactSensitive"] = "tools".into();
        changes.push("logging.redactSensitive: off -> tools".to_owned());
    }
    let channels = tree.get_mut("channels").and_then(Value::as_object_mut);
    for (id, section) in channels.into_iter().flatten() {
        let mut close = |path: String, section: &mut Value| {
            if section["groupPolicy"] == "open" {
                section["groupPolicy"] = "allowlist".into();
                changes.push(format!("{path}.groupPolicy: open -> allowlist"));
            }
        };
        close(format!("channels.{id}"), section);
        let accounts = section.get_mut("accounts").and_then(Value::as_object_mut);
        for (account, section) in accounts.into_iter().flatten() {
            close(format!("channels.{id}.accounts.{account}"), section);
        }
    }
    changes
}
