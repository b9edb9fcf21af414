//! config.get.

use std::sync::Arc;

use serde_json::json;

use super::{Method, methods};
use crate::config::issue::Issue;
use crate::config::load;
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::protocol::config::ConfigGetParams;
use crate::protocol::error::ErrorShape;

pub(super) const METHODS: &[Method] = methods! {
    "config.get" Admin ConfigGetParams get on disk;
};

/// The file as it is on disk now, valid or not; the configuration in force stays the last good one.
fn get(cx: &Arc<Ctx>, _call: &Call, _params: ConfigGetParams) -> Result<Reply, ErrorShape> {
    let snapshot = load::load(&cx.paths);
    let issues = |issues: &[Issue]| -> Vec<serde_json::Value> {
        issues.iter().map(|issue| json!({"path": issue.path, "message": issue.message})).collect()
    };
    Ok(Reply::Now(json!({
        "path": snapshot.path,
        "exists": snapshot.exists,
        "raw": snapshot.raw,
        "parsed": snapshot.parsed,
        "valid": snapshot.valid,
        "config": snapshot.config,
        "hash": snapshot.hash,
        "issues": issues(&snapshot.issues),
        "warnings": issues(&snapshot.warnings),
        "legacyIssues": issues(&snapshot.legacy_issues),
    })))
}
