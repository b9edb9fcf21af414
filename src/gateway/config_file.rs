//! The configuration file as clients see it: its answer to `config.get`, kept while the file stays as it is.
//!
//! Reading, judging and wording it takes some hundred microseconds, and every page of the Control UI asks again. One leaf
//! lock; jobs of the lane `config`. Not here: the configuration in force (`config::live`).

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::base::clock::UnixMs;
use crate::base::stamp::Stamp;
use crate::config::issue::Issue;
use crate::config::paths::Paths;
use crate::config::{include, load};

/// See the module.
#[derive(Debug, Default)]
pub struct ConfigFile(Mutex<Option<(Stamp, Arc<str>)>>);

impl ConfigFile {
    /// Returns the answer of `config.get`: the file as it is on disk now, valid or not.
    pub fn shown(&self, paths: &Paths, now_ms: UnixMs) -> Arc<str> {
        let stamp = Stamp::of(&paths.config_file);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(stamp), Some((of, text))) = (stamp, &*kept)
            && stamp == *of
        {
            return text.clone();
        }
        let snapshot = load::load(paths);
        let text: Arc<str> = json!({
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
        })
        .to_string()
        .into();
        // What other files bring has stamps of its own.
        let is_whole = snapshot.raw.is_some() && !include::is_used(&snapshot.parsed);
        *kept = stamp.filter(|stamp| is_whole && stamp.is_settled(now_ms)).map(|stamp| (stamp, text.clone()));
        text
    }

    /// Forgets the answer, for its memory.
    pub fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Returns issues as the protocol shows them.
pub fn issues(issues: &[Issue]) -> Vec<Value> {
    issues.iter().map(|issue| json!({"path": issue.path, "message": issue.message})).collect()
}
