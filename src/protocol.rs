//! The wire: types of frames and parameters, error shapes, and their schemas.
//!
//! Nothing else lives here. Parameter types are the source of `schemas/protocol.schema.json` (a test regenerates and
//! compares); frames are validated with that file, so a wrong derive fails loudly. Names are those of the original,
//! because the type names of its clients derive from them.

pub mod agent;
pub mod approvals;
pub mod browser;
pub mod channels;
pub mod chat;
pub mod config;
pub mod connect;
pub mod cron;
pub mod devices;
pub mod error;
pub mod frame;
pub mod node_pair;
pub mod nodes;
pub mod sessions;
pub mod skills;
pub mod system;
pub mod talk;
pub mod validate;
pub mod wizard;

#[cfg(test)]
mod outbound;
#[cfg(test)]
pub(crate) mod schema_gen;

use serde::{Deserialize, Serialize};

/// The protocol number this gateway speaks.
pub const PROTOCOL_VERSION: u64 = 3;
/// Largest inbound message, in bytes (`policy.maxPayload`).
pub const PAYLOAD_BYTES_MAX: usize = 512 * 1024;
/// Queued outbound bytes from which a client is slow (`policy.maxBufferedBytes`).
pub const BUFFERED_BYTES_MAX: usize = 1536 * 1024;
/// Interval of the `tick` event (`policy.tickIntervalMs`).
pub const TICK_INTERVAL_MS: u64 = 30_000;

/// A string of at least one character.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub struct NonEmpty(#[cfg_attr(test, schemars(length(min = 1)))] pub String);

impl std::ops::Deref for NonEmpty {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A session label: 1–64 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub struct SessionLabel(#[cfg_attr(test, schemars(length(min = 1, max = 64)))] pub String);

/// Reads a value that may be `null`: present and `null` is `Some(Null)`, absent is `None`.
pub(crate) fn given<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(from).map(Some)
}

/// Declares a module's closed parameter objects: every field in camel case, unknown fields refused by the schema. The
/// module's `define` puts them into the schema file.
macro_rules! params {
    ($($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)* })*) => {
        #[cfg(test)]
        pub(super) fn define(definitions: &mut serde_json::Map<String, serde_json::Value>) {
            $(super::schema_gen::add::<$name>(definitions);)*
        }

        $(
            $(#[$doc])*
            #[derive(Debug, Clone, serde::Deserialize)]
            #[cfg_attr(test, derive(schemars::JsonSchema))]
            #[serde(rename_all = "camelCase", deny_unknown_fields)]
            pub struct $name {
                $($(#[$field_doc])* pub $field: $type,)*
            }
        )*
    };
}
pub(crate) use params;

/// A field of a patch: absent leaves what is there, `null` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Patched<T> {
    /// Absent.
    #[default]
    Keep,
    /// `null`.
    Clear,
    /// A new value.
    Set(T),
}

impl<T> Patched<T> {
    /// Applies a function to the new value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Patched<U> {
        match self {
            Self::Keep => Patched::Keep,
            Self::Clear => Patched::Clear,
            Self::Set(value) => Patched::Set(change(value)),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patched<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

#[cfg(test)]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Patched<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Patched{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut branches = match generator.subschema_for::<T>().to_value().get_mut("anyOf") {
            Some(serde_json::Value::Array(branches)) => std::mem::take(branches),
            _ => vec![generator.subschema_for::<T>().to_value()],
        };
        // A list of one type marks a null that is meant, where `Option` adds one that is not.
        branches.push(serde_json::json!({"type": ["null"]}));
        schemars::json_schema!({"anyOf": branches})
    }
}
