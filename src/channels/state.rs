//! How an account is at the moment: whether it is running, whether its network answers, when what last happened.
//!
//! Written by the account's own thread and by whoever sends; read by `channels.status` and `health`. One leaf lock. Not
//! here: what configuration and credentials say (`channel`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::base::clock::UnixMs;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Whether its thread receives, or tries to.
    pub is_running: bool,
    /// Whether the network's last answer was one: linked says that it could be, this that it is.
    pub is_connected: bool,
    /// When the thread was started.
    pub last_start_at: Option<UnixMs>,
    /// When it ended.
    pub last_stop_at: Option<UnixMs>,
    /// What is wrong, until it is not.
    pub last_error: Option<String>,
    /// When the network began to answer.
    pub last_connected_at: Option<UnixMs>,
    /// When it last stopped answering, and what was wrong.
    pub last_disconnect: Option<(UnixMs, String)>,
    /// Failures since it last answered.
    pub reconnect_attempts: u32,
    /// When the network last answered anything.
    pub last_event_at: Option<UnixMs>,
    /// When a message last came in.
    pub last_inbound_at: Option<UnixMs>,
    /// When one last went out.
    pub last_outbound_at: Option<UnixMs>,
    /// When sending last failed, and why, until it works again.
    pub last_send_error: Option<(UnixMs, String)>,
    /// What the last try of the credentials said, and when.
    pub probe: Option<(UnixMs, Value)>,
    /// What the last look at the groups said.
    pub audit: Option<Value>,
}

/// Changes the state of one account; cheap to clone, from any thread.
#[derive(Debug, Clone, Default)]
pub struct StateHandle(Arc<Mutex<State>>);

impl StateHandle {
    /// Returns it as it is.
    pub fn get(&self) -> State {
        self.lock().clone()
    }

    /// Changes it.
    pub fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
    }

    /// Notes that the network answers.
    pub fn connected(&self, now_ms: UnixMs) {
        let mut state = self.lock();
        if !state.is_connected {
            state.is_connected = true;
            state.last_connected_at = Some(now_ms);
        }
        state.last_event_at = Some(now_ms);
        state.reconnect_attempts = 0;
        state.last_error = None;
    }

    /// Notes that it does not, and why.
    pub fn failed(&self, now_ms: UnixMs, error: impl Into<String>) {
        let error = error.into();
        let mut state = self.lock();
        if std::mem::take(&mut state.is_connected) {
            state.last_disconnect = Some((now_ms, error.clone()));
        }
        state.reconnect_attempts = state.reconnect_attempts.saturating_add(1);
        state.last_error = Some(error);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connected_and_not() {
        let state = StateHandle::default();
        state.failed(1, "no name");
        state.failed(2, "no name");
        assert_eq!((state.get().reconnect_attempts, state.get().last_disconnect), (2, None));
        state.connected(3);
        state.connected(4);
        let now = state.get();
        assert_eq!((now.last_connected_at, now.last_event_at, now.last_error), (Some(3), Some(4), None));
        state.failed(5, "reset");
        assert_eq!(state.get().last_disconnect, Some((5, "reset".to_owned())));
    }
}
