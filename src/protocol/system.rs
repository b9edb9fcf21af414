//! Parameters of the system family: `logs.tail`, `wake`. Others of it take any object.

use super::{NonEmpty, params};

params! {
    /// Parameters of `wake`.
    pub struct WakeParams {
        /// When the agent is to hear it.
        #[cfg_attr(test, schemars(schema_with = "super::schema_gen::wake_modes"))]
        pub mode: WakeMode,
        /// What to tell it.
        pub text: NonEmpty,
    }

    /// Parameters of `logs.tail`.
    pub struct LogsTailParams {
        /// Where the last answer ended.
        #[cfg_attr(test, schemars(range(min = 0)))]
        pub cursor: Option<u64>,
        /// Lines, default 500.
        #[cfg_attr(test, schemars(range(min = 1, max = 5000)))]
        pub limit: Option<u64>,
        /// Bytes, default 250000.
        #[cfg_attr(test, schemars(range(min = 1, max = 1_000_000)))]
        pub max_bytes: Option<u64>,
    }
}

/// When an agent hears what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WakeMode {
    /// At once.
    Now,
    /// With whatever prompt comes next.
    NextHeartbeat,
}
