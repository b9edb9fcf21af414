//! Parameters of `sessions.*`.

use serde::Deserialize;

use super::{NonEmpty, Patched, SessionLabel, params};

params! {
    /// Parameters of `sessions.list`.
    pub struct SessionsListParams {
        /// Most rows.
        #[cfg_attr(test, schemars(range(min = 1)))]
        pub limit: Option<u64>,
        /// Only sessions touched this recently.
        #[cfg_attr(test, schemars(range(min = 1)))]
        pub active_minutes: Option<u64>,
        /// Whether `global` is listed.
        pub include_global: Option<bool>,
        /// Whether `unknown` is listed.
        pub include_unknown: Option<bool>,
        /// Whether titles are read from the transcripts.
        pub include_derived_titles: Option<bool>,
        /// Whether the last message is read from the transcripts.
        pub include_last_message: Option<bool>,
        /// Exact label.
        pub label: Option<SessionLabel>,
        /// Exact parent.
        pub spawned_by: Option<NonEmpty>,
        /// One agent's sessions.
        pub agent_id: Option<NonEmpty>,
        /// Substring of names and ids.
        pub search: Option<String>,
    }

    /// Parameters of `sessions.preview`.
    pub struct SessionsPreviewParams {
        /// Session keys; the first 64 count.
        #[cfg_attr(test, schemars(length(min = 1)))]
        pub keys: Vec<NonEmpty>,
        /// Items per session, default 12, at most 50.
        #[cfg_attr(test, schemars(range(min = 1)))]
        pub limit: Option<u64>,
        /// Characters per item, default 240, at most 2000.
        #[cfg_attr(test, schemars(range(min = 20)))]
        pub max_chars: Option<u64>,
    }

    /// Parameters of `sessions.reset`.
    pub struct SessionsResetParams {
        /// Session key.
        pub key: NonEmpty,
    }

    /// Parameters of `sessions.resolve`: one of `key`, `sessionId`, `label`; the rest narrows the search.
    pub struct SessionsResolveParams {
        /// Session key.
        pub key: Option<NonEmpty>,
        /// Id of its transcript, or a stored key.
        pub session_id: Option<NonEmpty>,
        /// Exact label.
        pub label: Option<SessionLabel>,
        /// One agent's sessions.
        pub agent_id: Option<NonEmpty>,
        /// Exact parent.
        pub spawned_by: Option<NonEmpty>,
        /// Whether `global` counts.
        pub include_global: Option<bool>,
        /// Whether `unknown` counts.
        pub include_unknown: Option<bool>,
    }

    /// Parameters of `sessions.patch`.
    pub struct SessionsPatchParams {
        /// Session key.
        pub key: NonEmpty,
        /// Name that the user gives, unique in the store.
        #[serde(default)]
        pub label: Patched<SessionLabel>,
        /// See `agent::levels`.
        #[serde(default)]
        pub thinking_level: Patched<NonEmpty>,
        /// See `agent::levels`.
        #[serde(default)]
        pub verbose_level: Patched<NonEmpty>,
        /// See `agent::levels`.
        #[serde(default)]
        pub reasoning_level: Patched<NonEmpty>,
        /// What is said about tokens under an answer.
        #[serde(default)]
        pub response_usage: Patched<ResponseUsage>,
        /// See `agent::levels`.
        #[serde(default)]
        pub elevated_level: Patched<NonEmpty>,
        /// Where commands run.
        #[serde(default)]
        pub exec_host: Patched<NonEmpty>,
        /// Which commands may run.
        #[serde(default)]
        pub exec_security: Patched<NonEmpty>,
        /// When consent is asked for.
        #[serde(default)]
        pub exec_ask: Patched<NonEmpty>,
        /// Node of `execHost` node.
        #[serde(default)]
        pub exec_node: Patched<NonEmpty>,
        /// `provider/model`, or an alias.
        #[serde(default)]
        pub model: Patched<NonEmpty>,
        /// The session that started this one.
        #[serde(default)]
        pub spawned_by: Patched<NonEmpty>,
        /// Whether the session may be answered.
        #[serde(default)]
        pub send_policy: Patched<SendPolicy>,
        /// When a group is answered.
        #[serde(default)]
        pub group_activation: Patched<GroupActivation>,
    }

    /// Parameters of `sessions.delete`.
    pub struct SessionsDeleteParams {
        /// Session key.
        pub key: NonEmpty,
        /// Whether the transcripts are put aside, default true.
        pub delete_transcript: Option<bool>,
    }

    /// Parameters of `sessions.compact`.
    pub struct SessionsCompactParams {
        /// Session key.
        pub key: NonEmpty,
        /// Lines that stay, default 400.
        #[cfg_attr(test, schemars(range(min = 1)))]
        pub max_lines: Option<u64>,
    }
}

/// Declares a text that is one of a few words, each with its spelling on the wire.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        pub enum $name {
            $($(#[$word_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Returns the word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        #[cfg(test)]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                super::schema_gen::words(&[$($word),*])
            }
        }
    };
}

words! {
    /// What is said about tokens under an answer.
    ResponseUsage {
        /// Nothing.
        Off = "off",
        /// Their numbers.
        Tokens = "tokens",
        /// Numbers and costs.
        Full = "full",
        /// The word of older clients for `tokens`.
        On = "on",
    }
}

words! {
    /// Whether a session may be answered.
    SendPolicy {
        /// Yes.
        Allow = "allow",
        /// No.
        Deny = "deny",
    }
}

words! {
    /// When a group is answered.
    GroupActivation {
        /// When it mentions the assistant.
        Mention = "mention",
        /// Always.
        Always = "always",
    }
}
