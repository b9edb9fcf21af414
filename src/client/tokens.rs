//! The cache of device tokens: what gateways handed to this machine's device, by role.
//!
//! Owns `<state>/identity/device-auth.json` (0600) in the original's format. A damaged file counts as empty: the
//! gateway hands out a token again. Errors of writing are logged, never fatal.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::clock::{Clock as _, SystemClock, UnixMs};
use crate::base::fs::{Durability, MODE_PRIVATE, read_text_capped, write_atomic};
use crate::base::secret::Secret;

/// A file over this size is not ours.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A cached token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The token.
    pub token: Secret,
    /// Scopes it was issued for.
    pub scopes: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    version: u32,
    device_id: String,
    #[serde(default)]
    tokens: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    token: String,
    role: String,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    updated_at_ms: UnixMs,
}

/// Returns the token of a role, if one is cached for this device.
pub fn load(state_dir: &Path, device_id: &str, role: &str) -> Option<Entry> {
    let mut file = read(&path_in(state_dir), device_id)?;
    let stored: Stored = serde_json::from_value(file.tokens.remove(role)?).ok()?;
    let token = Some(stored.token).filter(|token| !token.is_empty())?;
    Some(Entry { token: Secret::new(token), scopes: stored.scopes })
}

/// Stores what `hello-ok.auth` carries, unless it is what was `known` before: most connects write nothing.
pub fn remember(state_dir: &Path, device_id: &str, role: &str, known: Option<&Entry>, auth: &Value) {
    let Some(token) = auth["deviceToken"].as_str().filter(|token| !token.is_empty()) else { return };
    let role = auth["role"].as_str().unwrap_or(role);
    let scopes: Vec<String> =
        auth["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    if known.is_some_and(|known| known.token.matches(token) && known.scopes == scopes) {
        return;
    }
    let stored = Stored { token: token.to_owned(), role: role.to_owned(), scopes, updated_at_ms: SystemClock.now_ms() };
    change(state_dir, device_id, |tokens| {
        if let Ok(value) = serde_json::to_value(&stored) {
            tokens.insert(role.to_owned(), value);
        }
    });
}

/// Drops the token of a role.
pub fn forget(state_dir: &Path, device_id: &str, role: &str) {
    change(state_dir, device_id, |tokens| {
        tokens.shift_remove(role);
    });
}

fn path_in(state_dir: &Path) -> PathBuf {
    state_dir.join("identity/device-auth.json")
}

fn read(path: &Path, device_id: &str) -> Option<File> {
    let text = read_text_capped(path, FILE_BYTES_MAX).ok()??;
    serde_json::from_str::<File>(&text).ok().filter(|file| file.version == 1 && file.device_id == device_id)
}

fn change(state_dir: &Path, device_id: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    let path = path_in(state_dir);
    let mut file = read(&path, device_id).unwrap_or_else(|| File {
        version: 1,
        device_id: device_id.to_owned(),
        tokens: Map::new(),
    });
    change(&mut file.tokens);
    let written = serde_json::to_string_pretty(&file)
        .map_err(std::io::Error::from)
        .and_then(|text| write_atomic(&path, format!("{text}\n").as_bytes(), MODE_PRIVATE, Durability::Process));
    if let Err(error) = written {
        log::warn!(target: "client", "device token not stored path={} error={error}", path.display());
    }
}
