//! State where older versions of the original kept it: sessions and agent outside `agents/`, WhatsApp's keys in
//! `credentials/` itself. Moves it; what was there already stays, and what is left over is kept under another name.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Consent, note};
use crate::agent::session;
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::fs::{Durability, MODE_PRIVATE, create_dir_private, read_text_capped, write_atomic};
use crate::cli::Cli;
use crate::config::json5;
use crate::config::types::Config;
use crate::gateway::lock;

/// An index of sessions that is larger was not written by a program of ours.
const INDEX_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Finds and moves it.
pub(super) fn check(cli: &Cli, config: &Config, consent: &Consent) {
    let state = &cli.paths.state_dir;
    let agent = session::default_agent(config);
    let target = cli.paths.agent_dir(agent.as_str());
    let (sessions, agent_dir) = (state.join("sessions"), state.join("agent"));
    let keys = whatsapp_keys(&state.join("credentials"));
    let whatsapp = state.join("credentials/whatsapp/default");
    let mut found = Vec::new();
    let shorten = |path: &Path| cli.paths.shorten(path);
    let has_entries = |dir: &Path| std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if has_entries(&sessions) {
        found.push(format!("- Sessions: {} → {}", shorten(&sessions), shorten(&target.join("sessions"))));
    }
    if has_entries(&agent_dir) {
        found.push(format!("- Agent dir: {} → {}", shorten(&agent_dir), shorten(&target.join("agent"))));
    }
    if !keys.is_empty() {
        let from = shorten(&state.join("credentials"));
        found.push(format!("- WhatsApp auth: {} files of {from} → {}", keys.len(), shorten(&whatsapp)));
    }
    if found.is_empty() {
        return;
    }
    note("Legacy state detected", &found);
    if lock::holder(&cli.paths.lock_file()).is_some() {
        let stop = cli.paths.hint("gateway stop");
        note(
            "Legacy state",
            &[format!("A gateway uses this state. Stop it ({stop}) and run doctor again to move it.")],
        );
        return;
    }
    // Nothing is lost by it, so that nobody need agree; but who can be asked is.
    if consent.may_ask && !consent.repair("Migrate legacy state (sessions/agent/WhatsApp auth) now?") {
        return;
    }
    let mut done = Vec::new();
    let mut failed = Vec::new();
    let mut step = |what: &str, moved: std::io::Result<String>| match moved {
        Ok(line) => done.push(format!("- {line}")),
        Err(error) => failed.push(format!("- {what}: {error}")),
    };
    let now = SystemClock.now_ms();
    if has_entries(&sessions) {
        step("Sessions", move_sessions(config, &sessions, &target.join("sessions"), now));
    }
    if has_entries(&agent_dir) {
        step("Agent dir", move_files(&agent_dir, &target.join("agent"), now));
    }
    if !keys.is_empty() {
        let moved = create_dir_private(&whatsapp).and_then(|()| {
            let mut count = 0;
            for file in &keys {
                let Some(name) = file.file_name() else { continue };
                if !whatsapp.join(name).exists() {
                    std::fs::rename(file, whatsapp.join(name))?;
                    count += 1;
                }
            }
            Ok(format!("Moved {count} WhatsApp auth files"))
        });
        step("WhatsApp auth", moved);
    }
    note("Doctor changes", &done);
    note("Doctor warnings", &failed);
}

fn whatsapp_keys(credentials: &Path) -> Vec<PathBuf> {
    let is_key = |name: &str| {
        let kinds = ["app-state-sync-", "session-", "sender-key-", "pre-key-"];
        name == "creds.json"
            || name == "creds.json.bak"
            || name.ends_with(".json") && kinds.iter().any(|kind| name.starts_with(kind))
    };
    let entries = std::fs::read_dir(credentials).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && path.file_name().is_some_and(|name| is_key(&name.to_string_lossy())))
        .collect();
    found.sort();
    found
}

/// Moves transcripts, and the entries of the index under the names that keys have today; the newer of two wins.
fn move_sessions(config: &Config, from: &Path, to: &Path, now: u64) -> std::io::Result<String> {
    create_dir_private(to)?;
    let index = |dir: &Path| -> std::io::Result<Map<String, Value>> {
        let text = read_text_capped(&dir.join("sessions.json"), INDEX_BYTES_MAX)?;
        let parsed = text.map(|text| json5::parse(&text).map_err(|error| std::io::Error::other(error.to_string())));
        Ok(parsed.transpose()?.and_then(|value| value.as_object().cloned()).unwrap_or_default())
    };
    let old = index(from)?;
    let mut merged = index(to)?;
    let mut count = 0;
    for (key, entry) in old.iter().filter(|(_, entry)| entry.is_object()) {
        let key = session::canonical_key(config, key, None).to_string();
        let updated = |entry: Option<&Value>| entry.and_then(|entry| entry["updatedAt"].as_u64());
        if merged.get(&key).is_none() || updated(merged.get(&key)) < updated(Some(entry)) {
            merged.insert(key, entry.clone());
            count += 1;
        }
    }
    if count > 0 {
        let text = format!("{:#}\n", Value::Object(merged));
        write_atomic(&to.join("sessions.json"), text.as_bytes(), MODE_PRIVATE, Durability::Power)?;
    }
    let index = from.join("sessions.json");
    if index.exists() {
        std::fs::rename(&index, from.join(format!("sessions.json.migrated-{now}")))?;
    }
    move_files(from, to, now).map(|line| format!("{line}; {count} sessions are in the index"))
}

/// Moves what is not there yet; returns what was done. What is left over stays beside it, under another name.
fn move_files(from: &Path, to: &Path, now: u64) -> std::io::Result<String> {
    create_dir_private(to)?;
    let mut count = 0;
    for entry in std::fs::read_dir(from)?.flatten() {
        let name = entry.file_name();
        if !to.join(&name).exists() && !name.to_string_lossy().contains(".migrated-") {
            std::fs::rename(entry.path(), to.join(&name))?;
            count += 1;
        }
    }
    let left = std::fs::read_dir(from)?.next().is_some();
    let base = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let kept = from.with_file_name(format!("{base}.legacy-{now}"));
    if left {
        std::fs::rename(from, &kept)?;
    } else {
        std::fs::remove_dir(from)?;
    }
    let rest = if left { format!(", the rest is in {}", kept.display()) } else { String::new() };
    Ok(format!("Moved {count} files to {}{rest}", to.display()))
}
