//! Events: their names, who hears them, what happens when a listener is slow (protocol.md §6).

use serde::Serialize;

use super::client::Client;
use crate::net::{Broadcast, LoopHandle, LoopMsg};

/// One kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Name on the wire.
    pub name: &'static str,
    /// Scope bits of which one is needed; 0 = everybody.
    pub audience: u32,
    /// Whether slow clients miss it; otherwise they are closed.
    pub drop_if_slow: bool,
}

const fn event(name: &'static str, drop_if_slow: bool) -> Event {
    Event { name, audience: 0, drop_if_slow }
}

const fn guarded(name: &'static str, audience: u32) -> Event {
    Event { name, audience, drop_if_slow: true }
}

use super::client::scope::{ADMIN, PAIRING};

/// Run progress.
pub const AGENT: Event = event("agent", false);
/// Chat progress: final, error, aborted.
pub const CHAT: Event = event("chat", false);
/// Chat progress: delta.
pub const CHAT_DELTA: Event = event("chat", true);
/// The list of who is there.
pub const PRESENCE: Event = event("presence", true);
/// Keep-alive.
pub const TICK: Event = event("tick", true);
/// The gateway goes.
pub const SHUTDOWN: Event = event("shutdown", false);
/// A new health snapshot.
pub const HEALTH: Event = event("health", false);
/// A device asks for pairing.
pub const DEVICE_PAIR_REQUESTED: Event = guarded("device.pair.requested", ADMIN | PAIRING);
/// A request for pairing was decided.
pub const DEVICE_PAIR_RESOLVED: Event = guarded("device.pair.resolved", ADMIN | PAIRING);

/// `hello-ok.features.events`, in this order: everything this build can send.
pub const ADVERTISED: [&str; 9] = [
    "connect.challenge",
    "agent",
    "chat",
    "presence",
    "tick",
    "shutdown",
    "health",
    "device.pair.requested",
    "device.pair.resolved",
];

/// Serialises a payload once and hands it to the loop.
pub fn broadcast(handle: &LoopHandle<Client>, event: Event, payload: &impl Serialize, version: Option<(u64, u64)>) {
    handle.send(LoopMsg::Broadcast(message(event, payload, version)));
}

/// Returns the broadcast without sending it.
pub fn message(event: Event, payload: &impl Serialize, state_version: Option<(u64, u64)>) -> Broadcast {
    let payload = serde_json::to_string(payload).expect("event payloads hold only JSON values");
    Broadcast {
        event: event.name,
        payload: payload.into(),
        audience: event.audience,
        drop_if_slow: event.drop_if_slow,
        state_version,
    }
}
