//! Reading the configuration file into a [`Snapshot`].

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::paths::Paths;
use super::types::Config;

/// One thing that is wrong, or worth saying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Dot-joined path; empty for the root.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
    /// Line in the file, from 1, where it is known.
    pub line: Option<usize>,
}

/// The file as it was at one moment, and what it means.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The file.
    pub path: PathBuf,
    /// Whether it is there.
    pub exists: bool,
    /// Its text.
    pub raw: Option<String>,
    /// What it says, before includes.
    pub parsed: Value,
    /// Whether a gateway may run on it.
    pub valid: bool,
    /// The effective tree, defaults included.
    pub config: Value,
    /// The typed view of `config`.
    pub typed: Arc<Config>,
    /// SHA-256 of the text, in hex.
    pub hash: String,
    /// What makes it invalid.
    pub issues: Vec<Issue>,
    /// What deserves a look.
    pub warnings: Vec<Issue>,
    /// Keys of older versions.
    pub legacy_issues: Vec<Issue>,
}

/// Reads the file.
pub fn load(paths: &Paths) -> Snapshot {
    let raw = std::fs::read_to_string(&paths.config_file).ok();
    let parsed = raw.as_deref().and_then(|text| json5::from_str(text).ok()).unwrap_or_else(|| Value::Object(Default::default()));
    let mut typed: Config = serde_json::from_value(parsed.clone()).unwrap_or_default();
    typed.tree = parsed.clone();
    Snapshot {
        path: paths.config_file.clone(),
        exists: raw.is_some(),
        hash: String::new(),
        raw,
        valid: true,
        config: parsed.clone(),
        parsed,
        typed: Arc::new(typed),
        issues: Vec::new(),
        warnings: Vec::new(),
        legacy_issues: Vec::new(),
    }
}
