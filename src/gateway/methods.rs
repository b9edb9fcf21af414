//! The method table: each method declared once, with who may call it, its parameters and its handler.
//!
//! `hello-ok.features.methods`, authorisation and validation come from these rows. One file per family. A new method is a
//! row, a parameter type, a handler and a recorded exchange.

mod agent;
mod chat;
mod config;
mod sessions;
mod system;

use std::sync::Arc;

use super::ctx::Ctx;
use super::dispatch::{Call, Reply};
use crate::protocol::error::ErrorShape;

/// Who may call a method (protocol.md §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `operator.read` or `operator.write`.
    Read,
    /// `operator.write`.
    Write,
    /// `operator.admin`.
    Admin,
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
    /// Where it runs.
    pub place: Place,
    /// Handled but not advertised; the order below must not list it.
    #[cfg(test)]
    pub is_hidden: bool,
    /// What it does.
    pub handler: fn(&Arc<Ctx>, Call) -> Result<Reply, ErrorShape>,
}

/// Declares rows: `"name" Access Params handler [on lane] [hidden]`; `Any` takes unvalidated parameters.
macro_rules! methods {
    ($($name:literal $access:ident $params:ident $handler:ident $(on $lane:ident)? $(, $hidden:ident)?;)*) => {
        &[$($crate::gateway::methods::Method {
            name: $name,
            access: $crate::gateway::methods::Access::$access,
            definition: $crate::gateway::methods::definition_of(stringify!($params)),
            place: methods!(@place $($lane)?),
            #[cfg(test)]
            is_hidden: methods!(@hidden $($hidden)?),
            handler: |cx, mut call| {
                let params: $params = call.decode($name)?;
                $handler(cx, &call, params)
            },
        }),*]
    };
    (@place) => { $crate::gateway::methods::Place::Frame };
    (@place $lane:ident) => { $crate::gateway::methods::Place::Lane(stringify!($lane)) };
    (@hidden) => { false };
    (@hidden hidden) => { true };
}
use methods;

/// Parameters that no schema judges: the handler reads what it knows.
type Any = serde_json::Value;

const fn definition_of(params: &'static str) -> Option<&'static str> {
    if matches!(params.as_bytes(), b"Any") { None } else { Some(params) }
}

const FAMILIES: [&[Method]; 5] = [system::METHODS, config::METHODS, agent::METHODS, chat::METHODS, sessions::METHODS];

/// The original's order of `features.methods`; what this build has of it is advertised in this order.
const ORDER: [&str; 18] = [
    "health",
    "logs.tail",
    "status",
    "config.get",
    "models.list",
    "agents.list",
    "sessions.list",
    "sessions.preview",
    "sessions.reset",
    "last-heartbeat",
    "system-presence",
    "system-event",
    "agent",
    "agent.identity.get",
    "agent.wait",
    "chat.history",
    "chat.abort",
    "chat.send",
];

/// Returns a method's row.
pub fn find(name: &str) -> Option<&'static Method> {
    FAMILIES.iter().flat_map(|family| family.iter()).find(|method| method.name == name)
}

/// Returns the names for `hello-ok.features.methods`.
pub fn advertised() -> &'static [&'static str] {
    &ORDER
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::validate;

    #[test]
    fn the_order_lists_every_advertised_row_once() {
        let mut rows: Vec<&str> =
            FAMILIES.iter().flat_map(|family| family.iter()).filter(|row| !row.is_hidden).map(|row| row.name).collect();
        let mut order = ORDER.to_vec();
        rows.sort_unstable();
        order.sort_unstable();
        assert_eq!(rows, order);
    }

    #[test]
    fn every_row_names_a_definition_of_the_schema() {
        for row in FAMILIES.iter().flat_map(|family| family.iter()) {
            if let Some(definition) = row.definition {
                assert!(validate::definitions().any(|name| name == definition), "{}: {definition}", row.name);
            }
        }
    }
}
