//! Parameters of the system family: `logs.tail`, `wake`. Others of it take any object.

use super::params;

params! {
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
