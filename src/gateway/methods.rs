//! The method table: each method declared once, with who may call it, its parameters and its handler.
//!
//! `hello-ok.features.methods`, authorisation and validation come from these rows. One file per family. A new method is a
//! row, a parameter type, a handler and a recorded exchange.

mod agent;
mod approvals;
mod browser;
#[cfg(test)]
mod catalogue;
pub mod channels;
mod chat;
mod config;
mod cron;
mod devices;
mod message;
mod node_pair;
mod nodes;
mod sessions;
pub mod skills;
mod system;
mod talk;
#[cfg(feature = "tts")]
pub mod tts;
mod usage;
#[cfg(feature = "onboarding")]
mod wizard;

use std::sync::{Arc, LazyLock};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ctx::Ctx;
use super::dispatch::{Call, Reply};
use crate::protocol::error::ErrorShape;
use crate::protocol::validate;

/// Who may call a method (protocol.md §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `operator.read` or `operator.write`.
    Read,
    /// `operator.write`.
    Write,
    /// `operator.approvals`.
    Approvals,
    /// `operator.pairing`.
    Pairing,
    /// `operator.admin`.
    Admin,
    /// A node, whatever its scopes; no operator.
    Node,
}

/// Where a handler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the frame worker: it takes microseconds.
    Frame,
    /// As a job of this lane: it reads files of any size.
    Lane(&'static str),
}

/// One row.
pub struct Method {
    /// Name on the wire.
    pub name: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Schema definition of its parameters; `None` takes any object.
    pub definition: Option<&'static str>,
    /// Puts parameters in order before they are judged, for what clients are known to send.
    pub prepare: Option<fn(&mut Value)>,
    /// Where it runs.
    pub place: Place,
    /// Handled but not advertised; the order below must not list it.
    #[cfg(test)]
    pub is_hidden: bool,
    /// The payload as JSON text if a glance at memory gives it: no file, no lock that is held for long, nothing sent. The
    /// loop asks it itself; `None` leaves it to the handler.
    pub glance: Option<fn(&Ctx, &Value) -> Option<String>>,
    /// What it does.
    pub handler: fn(&Arc<Ctx>, Call) -> Result<Reply, ErrorShape>,
}

/// Declares rows: `"name" Access Params handler [on lane] [via prepare] [after glance] [, hidden]`; `Any` takes
/// unvalidated parameters, and so does every glance.
macro_rules! methods {
    ($($name:literal $access:ident $params:ident $handler:ident $(on $lane:ident)? $(via $prepare:ident)? $(after $glance:ident)? $(, $hidden:ident)?;)*) => {
        &[$($crate::gateway::methods::Method {
            name: $name,
            access: $crate::gateway::methods::Access::$access,
            definition: $crate::gateway::methods::definition_of(stringify!($params)),
            prepare: methods!(@prepare $($prepare)?),
            place: methods!(@place $($lane)?),
            glance: methods!(@glance $($glance)?),
            #[cfg(test)]
            is_hidden: methods!(@hidden $($hidden)?),
            handler: |cx, mut call| {
                let params: $params = call.decode($name)?;
                $handler(cx, &call, params)
            },
        }),*]
    };
    (@prepare) => { None };
    (@prepare $prepare:ident) => { Some($prepare) };
    (@place) => { $crate::gateway::methods::Place::Frame };
    (@place $lane:ident) => { $crate::gateway::methods::Place::Lane(stringify!($lane)) };
    (@glance) => { None };
    (@glance $glance:ident) => { Some($glance) };
    (@hidden) => { false };
    (@hidden hidden) => { true };
}
use methods;

/// Parameters that no schema judges: the handler reads what it knows.
type Any = Value;

/// The handler of a row whose glance always answers.
fn nothing(_: &Arc<Ctx>, call: &Call, _: Any) -> Result<Reply, ErrorShape> {
    Err(ErrorShape::unavailable(format!("request {} has no answer", call.id)))
}

const fn definition_of(params: &'static str) -> Option<&'static str> {
    if matches!(params.as_bytes(), b"Any") { None } else { Some(params) }
}

const FAMILIES: &[&[Method]] = &[
    agent::METHODS,
    approvals::METHODS,
    browser::METHODS,
    channels::METHODS,
    chat::METHODS,
    config::METHODS,
    cron::METHODS,
    devices::METHODS,
    message::METHODS,
    node_pair::METHODS,
    nodes::METHODS,
    sessions::METHODS,
    skills::METHODS,
    system::METHODS,
    talk::METHODS,
    #[cfg(feature = "tts")]
    tts::METHODS,
    usage::METHODS,
    #[cfg(feature = "onboarding")]
    wizard::METHODS,
];

/// The original's order of `features.methods`; what this build has of it is advertised in this order.
const ORDER: [&str; 81] = [
    "health",
    "logs.tail",
    "channels.status",
    "channels.logout",
    "status",
    "usage.status",
    "usage.cost",
    "tts.status",
    "tts.providers",
    "tts.enable",
    "tts.disable",
    "tts.convert",
    "tts.setProvider",
    "config.get",
    "config.set",
    "config.apply",
    "config.patch",
    "config.schema",
    "exec.approvals.get",
    "exec.approvals.set",
    "exec.approvals.node.get",
    "exec.approvals.node.set",
    "exec.approval.request",
    "exec.approval.resolve",
    "wizard.start",
    "wizard.next",
    "wizard.cancel",
    "wizard.status",
    "talk.mode",
    "models.list",
    "agents.list",
    "skills.status",
    "skills.bins",
    "skills.install",
    "skills.update",
    "update.run",
    "voicewake.get",
    "voicewake.set",
    "sessions.list",
    "sessions.preview",
    "sessions.patch",
    "sessions.reset",
    "sessions.delete",
    "sessions.compact",
    "last-heartbeat",
    "set-heartbeats",
    "wake",
    "node.pair.request",
    "node.pair.list",
    "node.pair.approve",
    "node.pair.reject",
    "node.pair.verify",
    "device.pair.list",
    "device.pair.approve",
    "device.pair.reject",
    "device.token.rotate",
    "device.token.revoke",
    "node.rename",
    "node.list",
    "node.describe",
    "node.invoke",
    "node.invoke.result",
    "node.event",
    "cron.list",
    "cron.status",
    "cron.add",
    "cron.update",
    "cron.remove",
    "cron.run",
    "cron.runs",
    "system-presence",
    "system-event",
    "send",
    "agent",
    "agent.identity.get",
    "agent.wait",
    "chat.history",
    "chat.abort",
    "chat.send",
    "web.login.start",
    "web.login.wait",
];

/// Returns a method's row.
pub fn find(name: &str) -> Option<&'static Method> {
    static BY_NAME: LazyLock<Vec<&Method>> = LazyLock::new(|| {
        let mut rows: Vec<&Method> = FAMILIES.iter().flat_map(|family| family.iter()).collect();
        rows.sort_unstable_by_key(|row| row.name);
        rows
    });
    BY_NAME.binary_search_by(|row| row.name.cmp(name)).ok().map(|index| BY_NAME[index])
}

/// Returns the names for `hello-ok.features.methods`.
pub fn advertised(has_web_login: bool) -> impl Iterator<Item = &'static str> {
    static ADVERTISED: LazyLock<Vec<&str>> =
        LazyLock::new(|| ORDER.into_iter().filter(|name| find(name).is_some()).collect());
    ADVERTISED.iter().copied().filter(move |name| has_web_login || !name.starts_with("web.login."))
}

/// Judges parameters that a handler has to look at, or bring into shape, first.
fn decode<P: DeserializeOwned>(method: &str, definition: &'static str, params: Value) -> Result<P, ErrorShape> {
    let invalid = |issues: String| ErrorShape::invalid(format!("invalid {method} params: {issues}"));
    validate::check(definition, &params).map_err(invalid)?;
    serde_json::from_value(params).map_err(|error| invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::validate;

    #[test]
    fn the_order_lists_every_advertised_row_once() {
        let mut rows: Vec<&str> =
            FAMILIES.iter().flat_map(|family| family.iter()).filter(|row| !row.is_hidden).map(|row| row.name).collect();
        let mut order: Vec<&str> = advertised(true).collect();
        rows.sort_unstable();
        order.sort_unstable();
        assert_eq!(rows, order);
    }

    #[test]
    fn every_row_names_a_definition_of_the_schema() {
        for row in FAMILIES.iter().flat_map(|family| family.iter()) {
            assert!(row.glance.is_none() || row.definition.is_none(), "{}: nobody judges what a glance gets", row.name);
            if let Some(definition) = row.definition {
                assert!(validate::definitions().any(|name| name == definition), "{}: {definition}", row.name);
            }
        }
    }
}
