//! What every command of the node host is given, and how it refuses. Runs on the command's thread. Not here: which
//! commands there are ([`super::invoke`]).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::environment::complete;
use super::outgoing::Outgoing;
use super::skill_bins::SkillBins;
use crate::approvals::store::PolicyStore;
use crate::base::cancel::CancelToken;
use crate::client::link::Post;
use crate::config::paths::Paths;

/// What commands share.
pub(super) struct Shared {
    pub(super) paths: Paths,
    pub(super) path_env: String,
    pub(super) post: Post<Outgoing>,
    pub(super) stop: CancelToken,
    pub(super) skill_bins: SkillBins,
    pub(super) policy: PolicyStore,
}

impl Shared {
    /// Returns the environment of a command that the caller gave these variables.
    pub(super) fn environment(&self, accepted: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        // Names and values that are not Unicode cannot be compared with anything; no command needs them.
        let own =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        complete(own, &self.path_env, accepted)
    }
}

/// Why a command was not carried out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { code: "INVALID_REQUEST", message: message.into() }
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self { code: "UNAVAILABLE", message: message.into() }
    }
}

/// Decodes a command's parameters.
pub(super) fn decode<T: for<'de> Deserialize<'de>>(params: &str) -> Result<T, Refusal> {
    if params.is_empty() {
        return Err(Refusal::invalid("Error: INVALID_REQUEST: paramsJSON required"));
    }
    serde_json::from_str(params).map_err(|error| Refusal::invalid(format!("Error: INVALID_REQUEST: {error}")))
}
