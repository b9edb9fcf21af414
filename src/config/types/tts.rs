//! `messages.tts`: speech. Defaults named here are those of `crate`'s module `tts`, which reads these fields.

use serde::Deserialize;

use crate::base::secret::Secret;

/// `messages.tts`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tts {
    /// off (default), always, inbound, tagged.
    pub auto: Option<String>,
    /// final (default): answers; all: what is said before them too.
    pub mode: Option<String>,
    /// openai, elevenlabs, edge; default: the first with a key.
    pub provider: Option<String>,
    /// What models may choose.
    pub model_overrides: ModelOverrides,
    /// `messages.tts.openai`.
    pub openai: OpenAi,
    /// `messages.tts.elevenlabs`.
    pub elevenlabs: ElevenLabs,
    /// File of the preferences, default `<state>/settings/tts.json`.
    pub prefs_path: Option<String>,
    /// Longest text in UTF-16 units, default 4000.
    pub max_text_length: Option<u64>,
    /// Limit of one attempt, default 30000.
    pub timeout_ms: Option<u64>,
}

/// `messages.tts.modelOverrides`: what models may choose in tags, all of it unless said otherwise.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ModelOverrides {
    /// Whether there are tags at all.
    pub enabled: Option<bool>,
    /// What is spoken instead of what is written.
    pub allow_text: Option<bool>,
    /// Who speaks.
    pub allow_provider: Option<bool>,
    /// With which voice.
    pub allow_voice: Option<bool>,
    /// With which model.
    pub allow_model_id: Option<bool>,
    /// How fast and how.
    pub allow_voice_settings: Option<bool>,
    /// In which language, and how numbers and dates are read.
    pub allow_normalization: Option<bool>,
    /// Repeatably.
    pub allow_seed: Option<bool>,
}

/// `messages.tts.openai`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OpenAi {
    /// Key; else `OPENAI_API_KEY`.
    pub api_key: Option<Secret>,
    /// Model, default gpt-4o-mini-tts.
    pub model: Option<String>,
    /// Voice, default alloy.
    pub voice: Option<String>,
}

/// `messages.tts.elevenlabs`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ElevenLabs {
    /// Key; else `ELEVENLABS_API_KEY`, `XI_API_KEY`.
    pub api_key: Option<Secret>,
    /// Server, default the provider's own.
    pub base_url: Option<String>,
    /// Voice.
    pub voice_id: Option<String>,
    /// Model, default eleven_multilingual_v2.
    pub model_id: Option<String>,
    /// Makes answers repeatable.
    pub seed: Option<u64>,
    /// auto, on, off.
    pub apply_text_normalization: Option<String>,
    /// Two letters.
    pub language_code: Option<String>,
    /// `messages.tts.elevenlabs.voiceSettings`.
    pub voice_settings: VoiceSettings,
}

/// `messages.tts.elevenlabs.voiceSettings`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VoiceSettings {
    /// Default 0.5.
    pub stability: Option<f64>,
    /// Default 0.75.
    pub similarity_boost: Option<f64>,
    /// Default 0.
    pub style: Option<f64>,
    /// Default true.
    pub use_speaker_boost: Option<bool>,
    /// Default 1.
    pub speed: Option<f64>,
}
