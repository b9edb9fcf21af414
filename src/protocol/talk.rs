//! Parameters of `talk.mode`. Those of `voicewake.*` and `tts.*` take any object.

use super::params;

params! {
    /// Parameters of `talk.mode`.
    pub struct TalkModeParams {
        /// Whether talk mode is on.
        pub enabled: bool,
        /// What it is doing (`listening`, `speaking` …).
        pub phase: Option<String>,
    }
}
