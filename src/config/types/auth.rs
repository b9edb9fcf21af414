//! `auth`: which stored credentials are used, and how long a failed one rests.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `auth`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Auth {
    /// Credentials by id, as far as the configuration speaks of them; the secrets are elsewhere.
    pub profiles: BTreeMap<String, AuthProfile>,
    /// Ids per provider, in the order of their use.
    pub order: BTreeMap<String, Vec<String>>,
    /// `auth.cooldowns`.
    pub cooldowns: AuthCooldowns,
}

/// One of `auth.profiles`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AuthProfile {
    /// Whose it is.
    pub provider: String,
    /// api_key, token or oauth.
    pub mode: String,
}

/// How long credentials rest.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AuthCooldowns {
    /// First rest after a refusal for lack of money; default 5.
    pub billing_backoff_hours: Option<f64>,
    /// The same for single providers.
    pub billing_backoff_hours_by_provider: BTreeMap<String, f64>,
    /// Longest such rest; default 24.
    pub billing_max_hours: Option<f64>,
    /// After how long without a failure it counts as the first again; default 24.
    pub failure_window_hours: Option<f64>,
}
