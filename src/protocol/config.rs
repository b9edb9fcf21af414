//! Parameters of `config.*` and `update.run`.

use super::{NonEmpty, params};

params! {
    /// Parameters of `config.get`.
    pub struct ConfigGetParams {}

    /// Parameters of `config.schema`.
    pub struct ConfigSchemaParams {}

    /// Parameters of `config.set`.
    pub struct ConfigSetParams {
        /// The whole configuration, JSON5.
        pub raw: NonEmpty,
        /// Hash of the file that was edited.
        pub base_hash: Option<NonEmpty>,
    }

    /// Parameters of `config.apply`.
    pub struct ConfigApplyParams {
        /// The whole configuration, JSON5.
        pub raw: NonEmpty,
        /// Hash of the file that was edited.
        pub base_hash: Option<NonEmpty>,
        /// The session that hears of the restart; the main one otherwise.
        pub session_key: Option<String>,
        /// What it hears beside.
        pub note: Option<String>,
        /// When to restart, default 2000.
        #[cfg_attr(test, schemars(range(min = 0)))]
        pub restart_delay_ms: Option<u64>,
    }

    /// Parameters of `config.patch`.
    pub struct ConfigPatchParams {
        /// A JSON merge patch, JSON5.
        pub raw: NonEmpty,
        /// Hash of the file that was edited.
        pub base_hash: Option<NonEmpty>,
        /// The session that hears of the restart; the main one otherwise.
        pub session_key: Option<String>,
        /// What it hears beside.
        pub note: Option<String>,
        /// When to restart, default 2000.
        #[cfg_attr(test, schemars(range(min = 0)))]
        pub restart_delay_ms: Option<u64>,
    }

    /// Parameters of `update.run`.
    pub struct UpdateRunParams {
        /// The session that hears of the restart; the main one otherwise.
        pub session_key: Option<String>,
        /// What it hears beside.
        pub note: Option<String>,
        /// When to restart, default 2000.
        #[cfg_attr(test, schemars(range(min = 0)))]
        pub restart_delay_ms: Option<u64>,
        /// Limit of each step, default 20 minutes.
        #[cfg_attr(test, schemars(range(min = 1)))]
        pub timeout_ms: Option<u64>,
    }
}
