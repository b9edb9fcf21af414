//! Parameters of `talk.mode`. Those of `voicewake.*` and `tts.*` take any object.

use super::params;

params! {}
