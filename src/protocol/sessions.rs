//! Parameters of `sessions.*`.

use super::{NonEmpty, SessionLabel, params};

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
}
