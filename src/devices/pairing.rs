//! Device pairing: which devices may connect, in which role and with which scopes, and their tokens.
//!
//! Owns `devices/paired.json` and `devices/pending.json` in the original's format (protocol.md §3.7). Runs on any worker;
//! one lock over both files makes a handshake's decision one step. Not here: proof of identity (`identity`), events.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::clock::UnixMs;
use crate::base::fs::Durability;
use crate::base::rng::{Rng, hex_token, uuid};
use crate::base::secret::constant_time_eq;
use crate::base::store::JsonStore;

/// How long a request waits for approval.
const PENDING_TTL_MS: UnixMs = 5 * 60_000;
/// Most requests that wait; the oldest go.
const PENDING_MAX: usize = 100;

/// What a device says about itself when it connects.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceInfo {
    /// Hex SHA-256 of the raw public key.
    pub device_id: String,
    /// base64url of the raw public key.
    pub public_key: String,
    /// Shown name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Client id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Client mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_mode: Option<String>,
    /// Role asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Roles approved (or asked for).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Scopes approved (or asked for).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Address, unless local.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
}

/// A request that waits for approval.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pending {
    /// Its id.
    pub request_id: String,
    /// Who asks.
    #[serde(flatten)]
    pub info: DeviceInfo,
    /// Whether it came from this machine and needs nobody's consent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
    /// Whether the device was paired before.
    pub is_repair: bool,
    /// When it asked.
    pub ts: UnixMs,
}

/// A paired device.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Paired {
    /// Who it is.
    #[serde(flatten)]
    pub info: DeviceInfo,
    /// Tokens by role.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tokens: BTreeMap<String, Token>,
    /// When it was paired first.
    pub created_at_ms: UnixMs,
    /// When it was approved last.
    pub approved_at_ms: UnixMs,
    /// Keys this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A device token.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Token {
    /// 32 hex characters.
    pub token: String,
    /// Its role.
    pub role: String,
    /// Its scopes, sorted.
    pub scopes: Vec<String>,
    /// When it was issued first.
    pub created_at_ms: UnixMs,
    /// When it was replaced last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotated_at_ms: Option<UnixMs>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at_ms: Option<UnixMs>,
    /// When it was used last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at_ms: Option<UnixMs>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("role", &self.role).finish_non_exhaustive()
    }
}

/// What became of a device's wish to connect.
#[derive(Debug)]
pub enum Admission {
    /// It may; these requests were approved on the way (each is an event).
    Admitted {
        /// The token to hand out.
        token: Token,
        /// Requests approved silently.
        approved: Vec<Pending>,
    },
    /// It must wait for approval.
    Pending {
        /// The request.
        request: Pending,
        /// Whether it is new (then it is an event).
        is_new: bool,
    },
}

/// The two stores.
#[derive(Debug)]
pub struct Pairing {
    paired: JsonStore<BTreeMap<String, Paired>>,
    pending: JsonStore<BTreeMap<String, Pending>>,
    /// Held over a whole decision, so that two connects of one device do not interleave.
    decision: Mutex<()>,
}

impl Pairing {
    /// Opens the stores in `directory`.
    ///
    /// # Errors
    /// I/O errors of either file.
    pub fn open(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            paired: JsonStore::open(directory.join("paired.json"), Durability::Power)?,
            pending: JsonStore::open(directory.join("pending.json"), Durability::Power)?,
            decision: Mutex::new(()),
        })
    }

    /// Returns the paired devices.
    pub fn paired(&self) -> Arc<BTreeMap<String, Paired>> {
        self.paired.get()
    }

    /// Returns whether `token` is this device's token for `role` and covers `scopes`; notes its use.
    pub fn accepts_token(&self, device_id: &str, role: &str, scopes: &[String], token: &str, now_ms: UnixMs) -> bool {
        let _decision = self.lock();
        let is_accepted =
            self.paired.get().get(device_id).and_then(|device| device.tokens.get(role)).is_some_and(|stored| {
                stored.revoked_at_ms.is_none()
                    && constant_time_eq(stored.token.as_bytes(), token.as_bytes())
                    && scopes.iter().all(|scope| stored.scopes.contains(scope))
            });
        if is_accepted {
            let noted = self.paired.update(|devices| {
                if let Some(stored) = devices.get_mut(device_id).and_then(|device| device.tokens.get_mut(role)) {
                    stored.last_used_at_ms = Some(now_ms);
                }
            });
            if let Err(error) = noted {
                log::warn!(target: "gateway", "cannot note the use of a device token: {error}");
            }
        }
        is_accepted
    }

    /// Decides whether a device that proved its identity may connect as `info.role` with `scopes`.
    ///
    /// # Errors
    /// I/O errors; nothing was decided then.
    pub fn admit(
        &self,
        info: &DeviceInfo,
        role: &str,
        scopes: &[String],
        is_local: bool,
        now_ms: UnixMs,
        rng: &dyn Rng,
    ) -> io::Result<Admission> {
        let _decision = self.lock();
        let mut approved = Vec::new();
        loop {
            let devices = self.paired.get();
            if !needs_approval(devices.get(&info.device_id), info, role, scopes) {
                break;
            }
            let (request, is_new) = self.request(info, role, scopes, is_local, now_ms, rng)?;
            if request.silent != Some(true) {
                return Ok(Admission::Pending { request, is_new });
            }
            self.approve(&request, now_ms, rng)?;
            approved.push(request);
        }
        let token = self.refresh(info, role, scopes, now_ms, rng)?;
        Ok(Admission::Admitted { token, approved })
    }

    /// Refuses every later write.
    pub fn close(&self) {
        self.paired.close();
        self.pending.close();
    }

    /// Returns the device's waiting request, or raises one.
    fn request(
        &self,
        info: &DeviceInfo,
        role: &str,
        scopes: &[String],
        is_local: bool,
        now_ms: UnixMs,
        rng: &dyn Rng,
    ) -> io::Result<(Pending, bool)> {
        let is_repair = self.paired.get().contains_key(&info.device_id);
        let fresh = |entry: &Pending| now_ms.saturating_sub(entry.ts) <= PENDING_TTL_MS;
        let waiting =
            self.pending.get().values().find(|entry| entry.info.device_id == info.device_id && fresh(entry)).cloned();
        if let Some(waiting) = waiting {
            return Ok((waiting, false));
        }
        let request = Pending {
            request_id: uuid(rng),
            info: DeviceInfo {
                role: Some(role.to_owned()),
                roles: vec![role.to_owned()],
                scopes: scopes.to_vec(),
                ..info.clone()
            },
            silent: Some(is_local),
            is_repair,
            ts: now_ms,
        };
        self.pending.update(|pending| {
            pending.retain(|_, entry| fresh(entry));
            while pending.len() >= PENDING_MAX {
                let oldest = pending.values().min_by_key(|entry| entry.ts).map(|entry| entry.request_id.clone());
                let Some(oldest) = oldest else { break };
                pending.remove(&oldest);
            }
            pending.insert(request.request_id.clone(), request.clone());
        })?;
        Ok((request, true))
    }

    fn approve(&self, request: &Pending, now_ms: UnixMs, rng: &dyn Rng) -> io::Result<()> {
        let role = request.info.role.clone().unwrap_or_default();
        self.paired.update(|devices| {
            let device = devices.entry(request.info.device_id.clone()).or_default();
            let is_same_key = device.info.public_key == request.info.public_key;
            let (old_roles, old_scopes) = if is_same_key {
                (std::mem::take(&mut device.info.roles), std::mem::take(&mut device.info.scopes))
            } else {
                // Another key under this id is another device: nothing it may do is inherited.
                device.tokens.clear();
                (Vec::new(), Vec::new())
            };
            device.info = request.info.clone();
            device.info.roles = union(old_roles, &request.info.roles);
            device.info.scopes = union(old_scopes, &request.info.scopes);
            if device.created_at_ms == 0 {
                device.created_at_ms = now_ms;
            }
            device.approved_at_ms = now_ms;
            issue(device, &role, &request.info.scopes, now_ms, rng);
        })?;
        self.pending.update(|pending| {
            pending.remove(&request.request_id);
        })
    }

    /// Notes what the device said and returns its token, issuing one when the stored one does not serve.
    fn refresh(
        &self,
        info: &DeviceInfo,
        role: &str,
        scopes: &[String],
        now_ms: UnixMs,
        rng: &dyn Rng,
    ) -> io::Result<Token> {
        let serves =
            |token: &Token| token.revoked_at_ms.is_none() && scopes.iter().all(|scope| token.scopes.contains(scope));
        let devices = self.paired.get();
        let stored = devices.get(&info.device_id);
        if let Some(device) = stored
            && let Some(token) = device.tokens.get(role).filter(|token| serves(token))
            && is_unchanged(&device.info, info, role)
        {
            // The usual reconnect writes nothing.
            return Ok(token.clone());
        }
        self.paired.update(|devices| {
            let device = devices.entry(info.device_id.clone()).or_default();
            device.info.display_name = info.display_name.clone().or_else(|| device.info.display_name.take());
            device.info.platform = info.platform.clone().or_else(|| device.info.platform.take());
            device.info.client_id = info.client_id.clone();
            device.info.client_mode = info.client_mode.clone();
            device.info.role = Some(role.to_owned());
            device.info.remote_ip = info.remote_ip.clone().or_else(|| device.info.remote_ip.take());
            match device.tokens.get(role) {
                Some(token) if serves(token) => token.clone(),
                _ => issue(device, role, scopes, now_ms, rng),
            }
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ()> {
        self.decision.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The three tests of protocol.md §3.7: unknown or other key, role not approved, scopes not approved.
fn needs_approval(device: Option<&Paired>, info: &DeviceInfo, role: &str, scopes: &[String]) -> bool {
    let Some(device) = device else { return true };
    let has_role = match device.info.roles.as_slice() {
        [] => device.info.role.as_deref() == Some(role),
        roles => roles.iter().any(|stored| stored == role),
    };
    device.info.public_key != info.public_key
        || !has_role
        || !scopes.iter().all(|scope| device.info.scopes.contains(scope))
}

fn is_unchanged(stored: &DeviceInfo, info: &DeviceInfo, role: &str) -> bool {
    let same = |new: &Option<String>, old: &Option<String>| new.is_none() || new == old;
    same(&info.display_name, &stored.display_name)
        && same(&info.platform, &stored.platform)
        && same(&info.remote_ip, &stored.remote_ip)
        && info.client_id == stored.client_id
        && info.client_mode == stored.client_mode
        && stored.role.as_deref() == Some(role)
}

fn issue(device: &mut Paired, role: &str, scopes: &[String], now_ms: UnixMs, rng: &dyn Rng) -> Token {
    let mut scopes = scopes.to_vec();
    scopes.sort();
    scopes.dedup();
    let old = device.tokens.get(role);
    let token = Token {
        token: hex_token(rng, 16),
        role: role.to_owned(),
        scopes,
        created_at_ms: old.map_or(now_ms, |old| old.created_at_ms),
        rotated_at_ms: old.map(|_| now_ms),
        revoked_at_ms: None,
        last_used_at_ms: old.and_then(|old| old.last_used_at_ms),
    };
    device.tokens.insert(role.to_owned(), token.clone());
    token
}

fn union(mut old: Vec<String>, new: &[String]) -> Vec<String> {
    for item in new {
        if !old.contains(item) {
            old.push(item.clone());
        }
    }
    old
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use crate::base::rng::SeededRng;

    fn info(key: &str) -> DeviceInfo {
        DeviceInfo {
            device_id: "d".into(),
            public_key: key.into(),
            client_id: Some("cli".into()),
            ..Default::default()
        }
    }

    fn scopes(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn local_devices_pair_silently_and_keep_their_token() {
        let dir = TempDir::new("pairing");
        let rng = SeededRng::new(1);
        let pairing = Pairing::open(dir.path()).expect("open");
        let admit =
            |scopes: &[String], local| pairing.admit(&info("k"), "operator", scopes, local, 1000, &rng).expect("admit");
        let Admission::Admitted { token, approved } = admit(&scopes(&["b", "a"]), true) else { panic!("admitted") };
        assert_eq!((approved.len(), token.scopes.as_slice()), (1, scopes(&["a", "b"]).as_slice()));
        let Admission::Admitted { token: again, approved } = admit(&scopes(&["a"]), false) else { panic!("admitted") };
        assert_eq!((approved.len(), &again.token), (0, &token.token));
        assert!(pairing.accepts_token("d", "operator", &scopes(&["a"]), &token.token, 2000));
        assert!(!pairing.accepts_token("d", "operator", &scopes(&["c"]), &token.token, 2000));
        assert!(!pairing.accepts_token("d", "node", &[], &token.token, 2000));
    }

    #[test]
    fn remote_devices_wait_and_local_ones_wait_with_them() {
        let dir = TempDir::new("pairing-remote");
        let rng = SeededRng::new(2);
        let pairing = Pairing::open(dir.path()).expect("open");
        let admit = |local| pairing.admit(&info("k"), "operator", &scopes(&["a"]), local, 1000, &rng).expect("admit");
        let Admission::Pending { request, is_new: true } = admit(false) else { panic!("pending") };
        let Admission::Pending { request: same, is_new: false } = admit(true) else { panic!("still pending") };
        assert_eq!(request.request_id, same.request_id);
    }
}
