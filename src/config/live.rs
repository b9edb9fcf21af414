//! The configuration in force: one shared pointer, swapped whole when the file changes, under what `/debug` lays over it.
//!
//! Readers take the current `Arc` once per request and never see half a change. Overrides live in memory alone: they are
//! in no file and end with the gateway's start. Any thread.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::{Map, Value};

use super::load::Snapshot;
use super::tree;
use super::types::Config;

/// See the module. Clones share the same configuration.
#[derive(Debug, Clone)]
pub struct Live(Arc<RwLock<State>>);

#[derive(Debug)]
struct State {
    file: Arc<Snapshot>,
    overrides: Map<String, Value>,
    in_force: Arc<Config>,
    problem: Option<String>,
}

impl Live {
    /// Starts with one configuration.
    pub fn new(snapshot: Snapshot) -> Self {
        let in_force = snapshot.typed.clone();
        let state = State { file: Arc::new(snapshot), overrides: Map::new(), in_force, problem: None };
        Self(Arc::new(RwLock::new(state)))
    }

    /// Returns the typed view of the configuration in force, overrides included.
    pub fn get(&self) -> Arc<Config> {
        self.read().in_force.clone()
    }

    /// Returns everything known of the file that is in force, without overrides.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.read().file.clone()
    }

    /// Returns why the file as it is now is not in force, if it is not.
    pub fn problem(&self) -> Option<String> {
        self.read().problem.clone()
    }

    /// Notes that, or that all is well.
    pub fn note_problem(&self, problem: Option<String>) {
        self.write().problem = problem;
    }

    /// Puts another configuration into force. Overrides that it cannot bear are dropped.
    pub fn replace(&self, snapshot: Snapshot) {
        let misfit = {
            let mut state = self.write();
            let laid_over = overlay(&snapshot, &state.overrides);
            let misfit = laid_over.as_ref().err().cloned();
            state.in_force = laid_over.unwrap_or_else(|_| snapshot.typed.clone());
            if misfit.is_some() {
                state.overrides.clear();
            }
            state.file = Arc::new(snapshot);
            misfit
        };
        if let Some(error) = misfit {
            log::warn!(target: "gateway/reload", "the overrides of /debug do not fit the new configuration and are dropped: {error}");
        }
    }

    /// Returns what is laid over the file.
    pub fn overrides(&self) -> Map<String, Value> {
        self.read().overrides.clone()
    }

    /// Returns the configuration as it would be under these overrides.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn under(&self, overrides: &Map<String, Value>) -> Result<Arc<Config>, String> {
        overlay(&self.snapshot(), overrides)
    }

    /// Lays these overrides over the file, in place of those before.
    ///
    /// # Errors
    /// Why the configuration cannot be used like that; it stays as it is.
    pub fn set_overrides(&self, overrides: Map<String, Value>) -> Result<(), String> {
        let mut state = self.write();
        state.in_force = overlay(&state.file, &overrides)?;
        state.overrides = overrides;
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn overlay(file: &Snapshot, overrides: &Map<String, Value>) -> Result<Arc<Config>, String> {
    if overrides.is_empty() {
        return Ok(file.typed.clone());
    }
    let mut whole = file.config.clone();
    tree::merge_replacing(&mut whole, Value::Object(overrides.clone()));
    let mut typed: Config = serde_json::from_value(whole.clone()).map_err(|error| error.to_string())?;
    typed.tree = whole;
    Ok(Arc::new(typed))
}
