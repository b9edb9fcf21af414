//! `system.execApprovals.get` and `.set`: this machine's policy file, from afar.
//!
//! Whoever writes must say which file it saw; the socket's token is never shown.

use serde::Deserialize;
use serde_json::{Value, json};

use super::command::{Refusal, Shared, decode};
use crate::approvals::store::{ReplaceError, Snapshot};
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::rng::SystemRng;

/// Returns the file and its hash; a missing file is made.
pub(super) fn get(shared: &Shared, _params: &str) -> Result<Value, Refusal> {
    let snapshot = shared.policy.load_complete(&SystemRng).map_err(|error| invalid(&error.to_string()))?;
    Ok(payload(&snapshot))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SetParams {
    #[serde(default)]
    file: Value,
    #[serde(default)]
    base_hash: Option<String>,
}

/// Replaces the file.
pub(super) fn set(shared: &Shared, params: &str) -> Result<Value, Refusal> {
    let params: SetParams = decode(params)?;
    if !params.file.is_object() {
        return Err(invalid("exec approvals file required"));
    }
    let replaced = shared.policy.replace(params.file, params.base_hash.as_deref(), SystemClock.now_ms(), &SystemRng);
    replaced.map(|snapshot| payload(&snapshot)).map_err(|error| match error {
        ReplaceError::BaseHashMissing => invalid("exec approvals base hash required; reload and retry"),
        ReplaceError::Changed => invalid("exec approvals changed; reload and retry"),
        ReplaceError::Invalid(reason) => invalid(&reason),
        ReplaceError::Io(error) => invalid(&error.to_string()),
    })
}

fn payload(snapshot: &Snapshot) -> Value {
    json!({
        "path": snapshot.path, "exists": snapshot.exists, "hash": snapshot.hash, "file": snapshot.file.shown(),
    })
}

fn invalid(reason: &str) -> Refusal {
    Refusal::invalid(format!("Error: INVALID_REQUEST: {reason}"))
}
