//! Device pairing: which devices may connect, in which role and with which scopes.
//!
//! Owns `devices/paired.json` and `devices/pending.json` in the original's format (protocol.md §3.7). Runs on any worker;
//! one lock over both files makes a decision one step. A device is written as paired before its request goes, so a crash
//! in between leaves a request that may be approved once more. Not here: proof of identity (`identity`), what tokens open
//! (`tokens`), events.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::clock::UnixMs;
use crate::base::fs::Durability;
use crate::base::requests::Requests;
use crate::base::rng::{Rng, uuid};
use crate::base::store::JsonStore;

use super::record::union;
pub use super::record::{DeviceInfo, Paired, PairedSummary, Pending, Token};
use super::tokens::issue;

/// What became of a device's wish to connect.
#[derive(Debug)]
pub enum Admission {
    /// It may; this request was approved on the way (it is an event).
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
    pub(super) paired: JsonStore<BTreeMap<String, Paired>>,
    requests: Requests<Pending>,
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
            requests: Requests::open(directory.join("pending.json"))?,
            decision: Mutex::new(()),
        })
    }

    /// Returns the paired devices.
    pub fn paired(&self) -> Arc<BTreeMap<String, Paired>> {
        self.paired.get()
    }

    /// Returns what waits, newest first, and what is paired, last approved first.
    pub fn list(&self, now_ms: UnixMs) -> (Vec<Pending>, Vec<Paired>) {
        let mut paired: Vec<Paired> = self.paired.get().values().cloned().collect();
        crate::base::order::newest_first(&mut paired, |device| device.approved_at_ms);
        (self.requests.list(now_ms), paired)
    }

    /// Returns a request that waits.
    pub fn pending(&self, request_id: &str, now_ms: UnixMs) -> Option<Pending> {
        self.requests.get(request_id, now_ms)
    }

    /// Approves a request; `None` when it does not wait, or no longer.
    ///
    /// # Errors
    /// I/O errors.
    pub fn approve(&self, request_id: &str, now_ms: UnixMs, rng: &dyn Rng) -> io::Result<Option<Paired>> {
        let _decision = self.lock();
        match self.requests.get(request_id, now_ms) {
            Some(request) => self.pair(&request, now_ms, rng).map(Some),
            None => Ok(None),
        }
    }

    /// Drops a request and returns it; `None` when it does not wait, or no longer.
    ///
    /// # Errors
    /// I/O errors; it waits on then.
    pub fn reject(&self, request_id: &str, now_ms: UnixMs) -> io::Result<Option<Pending>> {
        let _decision = self.lock();
        self.requests.take(request_id, now_ms)
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
        // Twice at most: a silent request that was left in the file may ask for less than this connect.
        while needs_approval(self.paired.get().get(&info.device_id), info, role, scopes) {
            // compat: a waiting request answers for every connect of its device; a remote one holds up local ones too.
            let request = match self.requests.of(&info.device_id, now_ms) {
                Some(request) if request.is_silent() => request,
                Some(request) => return Ok(Admission::Pending { request, is_new: false }),
                None => {
                    let is_repair = self.paired.get().contains_key(&info.device_id);
                    let request = request_of(info, role, scopes, is_local, is_repair, now_ms, rng);
                    if !is_local {
                        self.requests.add(request.clone(), now_ms)?;
                        return Ok(Admission::Pending { request, is_new: true });
                    }
                    request
                }
            };
            self.pair(&request, now_ms, rng)?;
            approved.push(request);
        }
        let token = self.refresh(info, role, scopes, now_ms, rng)?;
        Ok(Admission::Admitted { token, approved })
    }

    /// Refuses every later write.
    pub fn close(&self) {
        self.paired.close();
        self.requests.close();
    }

    /// Carries an approval out.
    fn pair(&self, request: &Pending, now_ms: UnixMs, rng: &dyn Rng) -> io::Result<Paired> {
        let paired = self.paired.update(|devices| {
            let device = devices.entry(request.info.device_id.clone()).or_default();
            let (old_roles, old_scopes) = if device.info.public_key == request.info.public_key {
                (device.info.all_roles(), std::mem::take(&mut device.info.scopes))
            } else {
                // Another key under this id is another device: nothing it may do is inherited.
                device.tokens.clear();
                (Vec::new(), Vec::new())
            };
            device.info = request.info.clone();
            device.info.roles = union(old_roles, &request.info.all_roles());
            device.info.scopes = union(old_scopes, &request.info.scopes);
            if device.created_at_ms == 0 {
                device.created_at_ms = now_ms;
            }
            device.approved_at_ms = now_ms;
            if let Some(role) = request.info.role.as_deref().filter(|role| !role.is_empty()) {
                issue(device, role, &request.info.scopes, now_ms, rng);
            }
            device.clone()
        })?;
        self.requests.take(&request.request_id, now_ms)?;
        Ok(paired)
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
        let devices = self.paired.get();
        let stored = devices.get(&info.device_id);
        if let Some(device) = stored
            && let Some(token) = device.tokens.get(role).filter(|token| token.covers(scopes))
            && is_unchanged(&device.info, info, role)
        {
            // The usual reconnect writes nothing.
            return Ok(token.clone());
        }
        self.paired.update(|devices| {
            let device = devices.entry(info.device_id.clone()).or_default();
            let roles = device.info.all_roles();
            let stored = &mut device.info;
            stored.display_name = info.display_name.clone().or_else(|| stored.display_name.take());
            stored.platform = info.platform.clone().or_else(|| stored.platform.take());
            stored.client_id = info.client_id.clone();
            stored.client_mode = info.client_mode.clone();
            stored.remote_ip = info.remote_ip.clone().or_else(|| stored.remote_ip.take());
            stored.role = Some(role.to_owned());
            stored.roles = roles;
            match device.tokens.get(role) {
                Some(token) if token.covers(scopes) => token.clone(),
                _ => issue(device, role, scopes, now_ms, rng),
            }
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ()> {
        self.decision.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request_of(
    info: &DeviceInfo,
    role: &str,
    scopes: &[String],
    is_local: bool,
    is_repair: bool,
    now_ms: UnixMs,
    rng: &dyn Rng,
) -> Pending {
    let info = DeviceInfo {
        role: Some(role.to_owned()),
        roles: vec![role.to_owned()],
        scopes: scopes.to_vec(),
        ..info.clone()
    };
    Pending { request_id: uuid(rng), info, silent: Some(is_local), is_repair, ts: now_ms, ..Pending::default() }
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

#[cfg(test)]
mod tests;
