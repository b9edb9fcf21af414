//! `connect`: what a client says first.

use std::collections::BTreeMap;

use super::{NonEmpty, params};

/// Client ids that are accepted.
pub const CLIENT_IDS: [&str; 12] = [
    "webchat-ui",
    "clawdbot-control-ui",
    "webchat",
    "cli",
    "gateway-client",
    "clawdbot-macos",
    "clawdbot-ios",
    "clawdbot-android",
    "node-host",
    "test",
    "fingerprint",
    "clawdbot-probe",
];

/// Client modes that are accepted.
pub const CLIENT_MODES: [&str; 7] = ["webchat", "cli", "ui", "backend", "node", "probe", "test"];

params! {
    /// Parameters of `connect`.
    pub struct ConnectParams {
        /// Lowest protocol number the client speaks.
        #[cfg_attr(test, schemars(range(min = 1)))]
        pub min_protocol: u64,
        /// Highest protocol number the client speaks.
        #[cfg_attr(test, schemars(range(min = 1)))]
        pub max_protocol: u64,
        /// Who it is.
        pub client: ConnectClient,
        /// Capabilities.
        #[cfg_attr(test, schemars(extend("default" = [])))]
        pub caps: Option<Vec<NonEmpty>>,
        /// Node commands offered.
        pub commands: Option<Vec<NonEmpty>>,
        /// Node permissions.
        pub permissions: Option<BTreeMap<String, bool>>,
        /// PATH of a node host.
        pub path_env: Option<String>,
        /// operator (default) or node.
        pub role: Option<NonEmpty>,
        /// Scopes asked for.
        pub scopes: Option<Vec<NonEmpty>>,
        /// Proof of a device identity.
        pub device: Option<ConnectDevice>,
        /// Shared secret or device token.
        pub auth: Option<ConnectAuth>,
        /// Ignored.
        pub locale: Option<String>,
        /// Ignored.
        pub user_agent: Option<String>,
    }
}

/// `client` of `connect`.
#[derive(Debug, Clone, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectClient {
    /// One of [`CLIENT_IDS`].
    #[cfg_attr(test, schemars(schema_with = "super::schema_gen::client_ids"))]
    pub id: String,
    /// Shown name.
    pub display_name: Option<NonEmpty>,
    /// Version.
    pub version: NonEmpty,
    /// Platform, free text.
    pub platform: NonEmpty,
    /// Device family.
    pub device_family: Option<NonEmpty>,
    /// Device model.
    pub model_identifier: Option<NonEmpty>,
    /// One of [`CLIENT_MODES`].
    #[cfg_attr(test, schemars(schema_with = "super::schema_gen::client_modes"))]
    pub mode: String,
    /// Stable id of this installation.
    pub instance_id: Option<NonEmpty>,
}

/// `device` of `connect`.
#[derive(Debug, Clone, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectDevice {
    /// Lower-case hex SHA-256 of the raw public key.
    pub id: NonEmpty,
    /// base64url of the raw key, or PEM.
    pub public_key: NonEmpty,
    /// base64url of the Ed25519 signature.
    pub signature: NonEmpty,
    /// When it was signed, ms.
    #[cfg_attr(test, schemars(range(min = 0)))]
    pub signed_at: u64,
    /// The challenge's nonce.
    pub nonce: Option<NonEmpty>,
}

/// `auth` of `connect`.
#[derive(Clone, Default, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectAuth {
    /// Shared token or device token.
    pub token: Option<String>,
    /// Shared password.
    pub password: Option<String>,
}

impl std::fmt::Debug for ConnectAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConnectAuth(***)")
    }
}
