//! Parameters of `skills.*`.

use std::collections::BTreeMap;

use super::{NonEmpty, params};

params! {
    /// Parameters of `skills.status`.
    pub struct SkillsStatusParams {}

    /// Parameters of `skills.bins`.
    pub struct SkillsBinsParams {}

    /// Parameters of `skills.install`.
    pub struct SkillsInstallParams {
        /// The skill's name.
        pub name: NonEmpty,
        /// One of its ways to install.
        pub install_id: NonEmpty,
        /// Longest run, default 300000, at most 900000.
        #[cfg_attr(test, schemars(range(min = 1000)))]
        pub timeout_ms: Option<u64>,
    }

    /// Parameters of `skills.update`.
    pub struct SkillsUpdateParams {
        /// The skill's key in `skills.entries`.
        pub skill_key: NonEmpty,
        /// Whether it may be used.
        pub enabled: Option<bool>,
        /// Value of its primary variable; a blank one removes it.
        pub api_key: Option<String>,
        /// Variables of its runs; a blank value removes one.
        pub env: Option<BTreeMap<String, String>>,
    }
}
