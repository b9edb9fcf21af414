//! Device tokens: what they open, and how they are issued, replaced and revoked (protocol.md §3.5, §5.9).
//!
//! Runs on any worker under the pairing's lock. Tokens are compared in constant time and never logged.

use std::io;

use super::pairing::Pairing;
use super::record::{Paired, Token};
use crate::base::clock::UnixMs;
use crate::base::rng::{Rng, hex_token};
use crate::base::secret::constant_time_eq;
use crate::base::text::trimmed;

/// A use within this time of the last noted one is not noted: a client that reconnects in a loop costs no disk writes.
const USE_NOTED_EVERY_MS: UnixMs = 60_000;
/// Random bytes of a token; it is shown as twice as many hex digits.
const TOKEN_BYTES: usize = 16;

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefusal {
    /// It is not this device's for this role, or no longer.
    Unknown,
    /// It was revoked.
    Revoked,
    /// It does not cover what was asked for.
    TooNarrow,
}

impl Pairing {
    /// Returns whether `token` is this device's token for `role` and covers `scopes`; notes its use.
    pub fn accepts_token(&self, device_id: &str, role: &str, scopes: &[String], token: &str, now_ms: UnixMs) -> bool {
        self.check_token(device_id, role, scopes, token, now_ms).is_ok()
    }

    /// As [`Pairing::accepts_token`], and says why not.
    ///
    /// # Errors
    /// [`TokenRefusal`].
    pub fn check_token(
        &self,
        device_id: &str,
        role: &str,
        scopes: &[String],
        token: &str,
        now_ms: UnixMs,
    ) -> Result<(), TokenRefusal> {
        let _decision = self.lock();
        let devices = self.paired.get();
        let stored = devices.get(device_id).and_then(|device| device.tokens.get(role)).ok_or(TokenRefusal::Unknown)?;
        if !constant_time_eq(stored.token.as_bytes(), token.as_bytes()) {
            return Err(TokenRefusal::Unknown);
        }
        // From here on whoever asks has shown the token itself.
        if stored.revoked_at_ms.is_some() {
            return Err(TokenRefusal::Revoked);
        }
        if !stored.covers(scopes) {
            return Err(TokenRefusal::TooNarrow);
        }
        if stored.last_used_at_ms.is_none_or(|at| now_ms.abs_diff(at) >= USE_NOTED_EVERY_MS) {
            let noted = self.paired.update(|devices| {
                if let Some(stored) = devices.get_mut(device_id).and_then(|device| device.tokens.get_mut(role)) {
                    stored.last_used_at_ms = Some(now_ms);
                }
            });
            if let Err(error) = noted {
                log::warn!(target: "gateway", "cannot note the use of a device token: {error}");
            }
        }
        Ok(())
    }

    /// Returns the scopes that a rotated token gets: those given, else the old token's, else the device's; `None` for a
    /// device that is not paired.
    pub fn rotation_scopes(&self, device_id: &str, role: &str, given: Option<Vec<String>>) -> Option<Vec<String>> {
        let devices = self.paired.get();
        let device = devices.get(device_id)?;
        let old = || device.tokens.get(role).map_or_else(|| device.info.scopes.clone(), |token| token.scopes.clone());
        Some(sorted(&given.unwrap_or_else(old)))
    }

    /// Replaces a role's token; `is_approval` makes `scopes` the device's approved ones too. `None` for a device that is
    /// not paired.
    ///
    /// # Errors
    /// I/O errors; the old token is in force then.
    pub fn rotate(
        &self,
        device_id: &str,
        role: &str,
        scopes: &[String],
        is_approval: bool,
        now_ms: UnixMs,
        rng: &dyn Rng,
    ) -> io::Result<Option<Token>> {
        let _decision = self.lock();
        if !self.paired.get().contains_key(device_id) {
            return Ok(None);
        }
        self.paired.update(|devices| {
            let device = devices.get_mut(device_id)?;
            if is_approval {
                device.info.scopes = scopes.to_vec();
            }
            issue(device, role, scopes, now_ms, rng);
            let token = device.tokens.get_mut(role)?;
            token.rotated_at_ms = Some(now_ms);
            Some(token.clone())
        })
    }

    /// Puts a role's token out of force; `None` for a device or role without one.
    ///
    /// # Errors
    /// I/O errors; the token is in force then.
    pub fn revoke(&self, device_id: &str, role: &str, now_ms: UnixMs) -> io::Result<Option<Token>> {
        let _decision = self.lock();
        if self.paired.get().get(device_id).is_none_or(|device| !device.tokens.contains_key(role)) {
            return Ok(None);
        }
        self.paired.update(|devices| {
            let token = devices.get_mut(device_id)?.tokens.get_mut(role)?;
            token.revoked_at_ms = Some(now_ms);
            Some(token.clone())
        })
    }
}

/// Gives a device a new token for a role.
pub(super) fn issue(device: &mut Paired, role: &str, scopes: &[String], now_ms: UnixMs, rng: &dyn Rng) -> Token {
    let old = device.tokens.remove(role);
    let token = Token {
        token: hex_token(rng, TOKEN_BYTES),
        role: role.to_owned(),
        scopes: sorted(scopes),
        created_at_ms: old.as_ref().map_or(now_ms, |old| old.created_at_ms),
        rotated_at_ms: old.as_ref().map(|_| now_ms),
        revoked_at_ms: None,
        last_used_at_ms: old.as_ref().and_then(|old| old.last_used_at_ms),
        extra: old.map(|old| old.extra).unwrap_or_default(),
    };
    device.tokens.insert(role.to_owned(), token.clone());
    token
}

fn sorted(scopes: &[String]) -> Vec<String> {
    let mut scopes: Vec<String> = scopes.iter().filter_map(trimmed).collect();
    scopes.sort();
    scopes.dedup();
    scopes
}
