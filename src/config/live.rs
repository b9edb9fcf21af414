//! The configuration in force: one shared pointer, swapped whole when the file changes.
//!
//! Readers take the current `Arc` once per request and never see half a change. Any thread.

use std::sync::{Arc, PoisonError, RwLock};

use super::load::Snapshot;
use super::types::Config;

/// See the module. Clones share the same configuration.
#[derive(Debug, Clone)]
pub struct Live(Arc<RwLock<Arc<Snapshot>>>, Arc<RwLock<Option<String>>>);

impl Live {
    /// Starts with one configuration.
    pub fn new(snapshot: Snapshot) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(snapshot))), Arc::default())
    }

    /// Returns the typed view of the configuration in force.
    pub fn get(&self) -> Arc<Config> {
        self.snapshot().typed.clone()
    }

    /// Returns everything known of the configuration in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns why the file as it is now is not in force, if it is not.
    pub fn problem(&self) -> Option<String> {
        self.1.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that, or that all is well.
    pub fn note_problem(&self, problem: Option<String>) {
        *self.1.write().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// Puts another configuration into force.
    pub fn replace(&self, snapshot: Snapshot) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }
}
