//! What is stored about a device, in the original's format (protocol.md §3.7), and what of it may be shown.
//!
//! Plain data. Keys that this version does not know are kept. Not here: decisions (`pairing`, `tokens`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::clock::UnixMs;
use crate::base::requests::Request;

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
    /// Address, where its proxies can be believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
}

impl DeviceInfo {
    /// Returns the roles, older entries' single one included.
    pub fn all_roles(&self) -> Vec<String> {
        union(self.roles.clone(), self.role.as_slice())
    }
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
    /// Keys this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Pending {
    /// Returns whether nobody needs to consent.
    pub fn is_silent(&self) -> bool {
        self.silent == Some(true)
    }
}

impl Request for Pending {
    fn request_id(&self) -> &str {
        &self.request_id
    }

    fn subject(&self) -> &str {
        &self.info.device_id
    }

    fn asked_at_ms(&self) -> UnixMs {
        self.ts
    }
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
    /// Keys this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Token {
    /// Returns whether it is in force and covers these scopes.
    pub fn covers(&self, scopes: &[String]) -> bool {
        self.revoked_at_ms.is_none() && scopes.iter().all(|scope| self.scopes.contains(scope))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("role", &self.role).finish_non_exhaustive()
    }
}

/// A paired device as it is shown: no secrets, and nothing that this version does not know.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PairedSummary {
    #[serde(flatten)]
    info: DeviceInfo,
    created_at_ms: UnixMs,
    approved_at_ms: UnixMs,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tokens: Vec<TokenSummary>,
}

/// A token without its secret.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenSummary {
    role: String,
    scopes: Vec<String>,
    created_at_ms: UnixMs,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated_at_ms: Option<UnixMs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at_ms: Option<UnixMs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at_ms: Option<UnixMs>,
}

impl Paired {
    /// Returns what may be shown.
    pub fn summary(&self) -> PairedSummary {
        // By role: the map's order.
        let tokens = self.tokens.values().map(|token| TokenSummary {
            role: token.role.clone(),
            scopes: token.scopes.clone(),
            created_at_ms: token.created_at_ms,
            rotated_at_ms: token.rotated_at_ms,
            revoked_at_ms: token.revoked_at_ms,
            last_used_at_ms: token.last_used_at_ms,
        });
        PairedSummary {
            info: self.info.clone(),
            created_at_ms: self.created_at_ms,
            approved_at_ms: self.approved_at_ms,
            tokens: tokens.collect(),
        }
    }
}

/// Returns both lists' entries, each once, the old ones first.
pub(super) fn union(mut old: Vec<String>, new: &[String]) -> Vec<String> {
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
    use serde_json::json;

    #[test]
    fn unknown_keys_stay_in_the_file_and_secrets_out_of_sight() {
        let stored = json!({"deviceId": "d", "publicKey": "k", "later": {"a": 1}, "createdAtMs": 1, "approvedAtMs": 2,
            "tokens": {"operator": {"token": "secret", "role": "operator", "scopes": ["a"], "createdAtMs": 1, "more": true}}});
        let device: Paired = serde_json::from_value(stored.clone()).expect("decodes");
        assert_eq!(serde_json::to_value(&device).expect("JSON"), stored);
        let shown = json!({"deviceId": "d", "publicKey": "k", "createdAtMs": 1, "approvedAtMs": 2,
            "tokens": [{"role": "operator", "scopes": ["a"], "createdAtMs": 1}]});
        assert_eq!(serde_json::to_value(device.summary()).expect("JSON"), shown);
        assert!(!format!("{device:?}").contains("secret"));
    }
}
