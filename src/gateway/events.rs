//! Events: their names, who hears them, what happens when a listener is slow (protocol.md §6).

use serde::Serialize;

use super::client::Client;
use crate::base::ids::ConnId;
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

use super::client::scope::{ADMIN, APPROVALS, PAIRING};

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
/// Talk mode was switched.
pub const TALK_MODE: Event = event("talk.mode", true);
/// How a heartbeat went.
pub const HEARTBEAT: Event = event("heartbeat", true);
/// A cron job changed or ran.
pub const CRON: Event = event("cron", true);
/// A node asks for pairing (the older store).
pub const NODE_PAIR_REQUESTED: Event = guarded("node.pair.requested", ADMIN | PAIRING);
/// A node's request was decided.
pub const NODE_PAIR_RESOLVED: Event = guarded("node.pair.resolved", ADMIN | PAIRING);
/// A command for one node; never broadcast.
pub const NODE_INVOKE_REQUEST: Event = event("node.invoke.request", false);
/// A device asks for pairing.
pub const DEVICE_PAIR_REQUESTED: Event = guarded("device.pair.requested", ADMIN | PAIRING);
/// A request for pairing was decided.
pub const DEVICE_PAIR_RESOLVED: Event = guarded("device.pair.resolved", ADMIN | PAIRING);
/// The wake words changed.
pub const VOICEWAKE_CHANGED: Event = event("voicewake.changed", true);
/// A command waits for somebody's consent.
pub const EXEC_APPROVAL_REQUESTED: Event = guarded("exec.approval.requested", ADMIN | APPROVALS);
/// Somebody decided on a command.
pub const EXEC_APPROVAL_RESOLVED: Event = guarded("exec.approval.resolved", ADMIN | APPROVALS);

/// `hello-ok.features.events`, in the original's order.
pub const ADVERTISED: [&str; 18] = [
    "connect.challenge",
    "agent",
    "chat",
    "presence",
    "tick",
    "talk.mode",
    "shutdown",
    "health",
    "heartbeat",
    "cron",
    "node.pair.requested",
    "node.pair.resolved",
    "node.invoke.request",
    "device.pair.requested",
    "device.pair.resolved",
    "voicewake.changed",
    "exec.approval.requested",
    "exec.approval.resolved",
];

/// Serialises a payload once and hands it to the loop.
pub fn broadcast(handle: &LoopHandle<Client>, event: Event, payload: &impl Serialize, version: Option<(u64, u64)>) {
    handle.send(LoopMsg::Broadcast(message(event, payload, version)));
}

/// Sends an event to these connections alone, without `seq` (protocol.md §2.4).
pub fn send(handle: &LoopHandle<Client>, conns: Vec<ConnId>, event: Event, payload: &impl Serialize) {
    handle.send(LoopMsg::Event { conns, event: message(event, payload, None) });
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
