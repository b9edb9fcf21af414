//! Presence: who is there. One map in memory with a version; entries fade after five minutes.
//!
//! Owns the entries behind one lock. Runs on any worker. Rules and texts: protocol.md §7. Not here: broadcasting.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::base::clock::UnixMs;

/// How long an entry stays without being touched.
const TTL_MS: UnixMs = 300_000;
/// Most entries; the oldest go.
const ENTRIES_MAX: usize = 200;

/// One row of the list, as it goes over the wire.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PresenceEntry {
    /// Shown host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Address, unless it is local.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Version of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Device family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    /// Device model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_identifier: Option<String>,
    /// Seconds since the last input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_input_seconds: Option<u64>,
    /// Mode of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Why it was touched last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Device id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// Roles seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Scopes seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Stable id of the installation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// One line for people.
    pub text: String,
    /// When it was touched last.
    pub ts: UnixMs,
}

/// The store.
#[derive(Debug)]
pub struct Presence {
    self_entry: PresenceEntry,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rows: Vec<(String, PresenceEntry)>,
    version: u64,
}

/// What `system-event` says about its sender.
#[derive(Debug, Clone, Default)]
pub struct SystemPresence {
    /// The text as sent, trimmed.
    pub text: String,
    /// Fields that were given with the right type.
    pub entry: PresenceEntry,
}

/// What a system event changed, for the line queued to the main session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceChange {
    /// Key of the row.
    pub key: String,
    /// Row before, reduced to what is compared.
    pub before: Compared,
    /// Row after.
    pub after: Compared,
}

/// The fields whose change is worth a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Host.
    pub host: Option<String>,
    /// Address.
    pub ip: Option<String>,
    /// Version.
    pub version: Option<String>,
    /// Mode.
    pub mode: Option<String>,
    /// Reason.
    pub reason: Option<String>,
}

impl Presence {
    /// Returns the store with the gateway's own row.
    pub fn new(self_entry: PresenceEntry) -> Self {
        Self { self_entry, state: Mutex::new(State { rows: Vec::new(), version: 1 }) }
    }

    /// Returns the list, newest first, and its version. The gateway's own row is always fresh.
    pub fn list(&self, now_ms: UnixMs) -> (Vec<PresenceEntry>, u64) {
        let mut state = self.lock();
        state.rows.retain(|(_, entry)| now_ms.saturating_sub(entry.ts) <= TTL_MS);
        let mut rows: Vec<PresenceEntry> = state.rows.iter().map(|(_, entry)| entry.clone()).collect();
        rows.push(PresenceEntry { ts: now_ms, ..self.self_entry.clone() });
        crate::base::order::newest_first(&mut rows, |entry| entry.ts);
        (rows, state.version)
    }

    /// Returns the version.
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// A client connected: absent values overwrite with absent; roles, scopes and the text are kept. Grows the version.
    pub fn connect(&self, key: &str, entry: PresenceEntry) {
        let mut state = self.lock();
        let old = state.take(&key.to_lowercase());
        let mut entry = entry;
        if let Some(old) = old {
            entry.roles = union(&old.roles, &entry.roles);
            entry.scopes = union(&old.scopes, &entry.scopes);
            entry.text = old.text;
        } else {
            let (host, mode) = (entry.host.as_deref().unwrap_or_default(), entry.mode.as_deref().unwrap_or_default());
            entry.text = format!("Node: {host} · mode {mode}");
        }
        state.put(key.to_lowercase(), entry);
        state.version += 1;
    }

    /// A client went: its row stays for a while. Grows the version.
    pub fn disconnect(&self, key: &str, now_ms: UnixMs) {
        let mut state = self.lock();
        let key = key.to_lowercase();
        if let Some((_, entry)) = state.rows.iter_mut().find(|(other, _)| *other == key) {
            entry.reason = Some("disconnect".to_owned());
            entry.ts = now_ms;
        }
        state.version += 1;
    }

    /// Merges what a system event says; given fields win over parsed ones, parsed over stored. Grows the version.
    pub fn system_event(&self, event: SystemPresence, now_ms: UnixMs) -> PresenceChange {
        let parsed = parse_text(&event.text);
        let given = event.entry;
        let key = given
            .device_id
            .clone()
            .or_else(|| given.instance_id.clone())
            .or_else(|| parsed.host.clone())
            .or_else(|| parsed.ip.clone())
            .unwrap_or_else(|| event.text.chars().take(64).collect())
            .to_lowercase();
        let mut state = self.lock();
        let old = state.take(&key).unwrap_or_default();
        let before = compared(&old);
        let pick = |given: Option<String>, parsed: Option<String>, old: Option<String>| given.or(parsed).or(old);
        let entry = PresenceEntry {
            host: pick(given.host, parsed.host, old.host),
            ip: pick(given.ip, parsed.ip, old.ip),
            version: pick(given.version, parsed.version, old.version),
            platform: given.platform.or(old.platform),
            device_family: given.device_family.or(old.device_family),
            model_identifier: given.model_identifier.or(old.model_identifier),
            last_input_seconds: given.last_input_seconds.or(parsed.last_input_seconds).or(old.last_input_seconds),
            mode: pick(given.mode, parsed.mode, old.mode),
            reason: pick(given.reason, parsed.reason, old.reason),
            device_id: given.device_id.or(old.device_id),
            roles: union(&old.roles, &given.roles),
            scopes: union(&old.scopes, &given.scopes),
            instance_id: given.instance_id.or(old.instance_id),
            text: event.text,
            ts: now_ms,
        };
        let after = compared(&entry);
        state.put(key.clone(), entry);
        state.version += 1;
        PresenceChange { key, before, after }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, key: &str) -> Option<PresenceEntry> {
        let index = self.rows.iter().position(|(other, _)| other == key)?;
        Some(self.rows.remove(index).1)
    }

    fn put(&mut self, key: String, entry: PresenceEntry) {
        self.rows.push((key, entry));
        if self.rows.len() > ENTRIES_MAX {
            let oldest = self.rows.iter().enumerate().min_by_key(|(_, (_, entry))| entry.ts).map(|(index, _)| index);
            if let Some(index) = oldest {
                self.rows.remove(index);
            }
        }
    }
}

fn compared(entry: &PresenceEntry) -> Compared {
    Compared {
        host: entry.host.clone(),
        ip: entry.ip.clone(),
        version: entry.version.clone(),
        mode: entry.mode.clone(),
        reason: entry.reason.clone(),
    }
}

fn union(old: &[String], new: &[String]) -> Vec<String> {
    let mut all = old.to_vec();
    for item in new {
        if !all.contains(item) {
            all.push(item.clone());
        }
    }
    all
}

/// Reads `Node: <host> (<ip>) · app <version> · last input <n>s ago · mode <mode> · reason <reason>`.
fn parse_text(text: &str) -> PresenceEntry {
    let mut entry = PresenceEntry::default();
    for (index, part) in text.split('·').map(str::trim).enumerate() {
        let lower = part.to_lowercase();
        let behind = |prefix: &str| lower.starts_with(prefix).then(|| part[prefix.len()..].trim().to_owned());
        if index == 0 {
            let Some(head) = behind("node:") else { return entry };
            match head.rsplit_once('(') {
                Some((host, ip)) => {
                    entry.host = Some(host.trim().to_owned());
                    entry.ip = Some(ip.trim_end_matches(')').trim().to_owned());
                }
                None => entry.host = Some(head),
            }
        } else if let Some(version) = behind("app ") {
            entry.version = Some(version);
        } else if let Some(age) = behind("last input ") {
            entry.last_input_seconds = age.split('s').next().and_then(|seconds| seconds.trim().parse().ok());
        } else if let Some(mode) = behind("mode ") {
            entry.mode = Some(mode);
        } else if let Some(reason) = behind("reason ") {
            entry.reason = Some(reason);
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Presence {
        Presence::new(PresenceEntry { host: Some("gw".into()), reason: Some("self".into()), ..Default::default() })
    }

    fn client(host: &str, ts: u64) -> PresenceEntry {
        PresenceEntry {
            host: Some(host.into()),
            mode: Some("backend".into()),
            roles: vec!["operator".into()],
            ts,
            ..Default::default()
        }
    }

    #[test]
    fn rows_live_five_minutes_and_the_gateway_for_ever() {
        let presence = store();
        presence.connect("Inst-1", client("a", 1000));
        let (rows, version) = presence.list(2000);
        assert_eq!((rows.len(), version, rows[0].reason.as_deref()), (2, 2, Some("self")));
        assert_eq!(rows[1].text, "Node: a · mode backend");
        presence.disconnect("inst-1", 3000);
        assert_eq!(presence.list(3000 + TTL_MS).0.len(), 2);
        assert_eq!(presence.list(3001 + TTL_MS).0.len(), 1);
    }

    #[test]
    fn system_events_are_parsed_and_merged() {
        let presence = store();
        let text = "Node: mac-studio (192.0.2.44) · app 1.2.3 · last input 12s ago · mode ui · reason periodic";
        let change = presence.system_event(SystemPresence { text: text.into(), entry: PresenceEntry::default() }, 5);
        assert_eq!((change.key.as_str(), change.after.version.as_deref()), ("mac-studio", Some("1.2.3")));
        let row = presence.list(6).0.pop().expect("row");
        assert_eq!(
            (row.ip.as_deref(), row.last_input_seconds, row.mode.as_deref()),
            (Some("192.0.2.44"), Some(12), Some("ui"))
        );
    }
}
