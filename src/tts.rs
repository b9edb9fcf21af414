//! Speech: which provider speaks, with which key, and whether answers are spoken (protocol.md §5.12, config.md §11.5).
//!
//! Owns the preferences file, the audio files handed out, and the attempts under way. Any thread; [`Tts::convert`]
//! waits for a provider and belongs into a job. Edge TTS is not part of this build, and is reported so. Not here: the
//! methods (`gateway::methods::tts`) and when an audio file is old.

mod attempts;
mod audio;
mod prefs;
mod request;
mod spoken;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::cancel::CancelReason;
use crate::base::clock::{Clock, UnixMs};
use crate::base::rng::Rng;
use crate::base::secret::Secret;
use crate::base::text::unless_blank;
use crate::config::env;
use crate::config::paths::Paths;
use crate::config::types::Config;
use crate::config::types::tts::Tts as TtsConfig;
use attempts::Attempts;
use audio::AudioFiles;
use prefs::Prefs;
use request::{OPENAI_URL, Request};

pub use request::{ELEVENLABS_MODELS, OPENAI_MODELS, OPENAI_VOICES};
pub use spoken::Spoken;

/// Longest answer that is spoken whole unless the preferences say otherwise, in characters.
const ANSWER_CHARS_MAX_DEFAULT: usize = 1500;
/// What the preferences may set that to.
pub const ANSWER_CHARS: std::ops::RangeInclusive<usize> = 100..=10_000;

/// Longest text unless the configuration says otherwise, in UTF-16 units.
const TEXT_LEN_MAX_DEFAULT: u64 = 4000;
/// Limit of one attempt unless the configuration says otherwise.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Who can speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// OpenAI, or a server that speaks its format.
    OpenAi,
    /// ElevenLabs.
    ElevenLabs,
    /// Microsoft Edge's service; known, but not part of this build.
    Edge,
}

impl Provider {
    /// Every provider, in the order in which they stand in for each other.
    pub const ALL: [Self; 3] = [Self::OpenAi, Self::ElevenLabs, Self::Edge];

    /// Returns its id on the wire and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::ElevenLabs => "elevenlabs",
            Self::Edge => "edge",
        }
    }

    /// Returns the provider of this id.
    pub fn parse(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == id)
    }
}

/// Which answers are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auto {
    /// None.
    Off,
    /// All.
    Always,
    /// Those to spoken messages.
    Inbound,
    /// Those that ask for it.
    Tagged,
}

impl Auto {
    const ALL: [Self; 4] = [Self::Off, Self::Always, Self::Inbound, Self::Tagged];

    /// Returns its name on the wire and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Always => "always",
            Self::Inbound => "inbound",
            Self::Tagged => "tagged",
        }
    }

    /// Returns the mode of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|auto| name.trim().eq_ignore_ascii_case(auto.as_str()))
    }
}

/// What is in force: configuration, environment and preferences together.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which answers are spoken.
    pub auto: Auto,
    /// Who speaks first.
    pub provider: Provider,
    /// The preferences file.
    pub prefs_path: PathBuf,
    /// Longest answer that is spoken whole, in characters.
    pub chars_max: usize,
    /// Whether longer ones are shortened; else they are not spoken.
    pub shortens: bool,
    openai_key: Option<Secret>,
    elevenlabs_key: Option<Secret>,
    openai_url: String,
    config: TtsConfig,
}

impl Settings {
    /// Returns whether a provider could speak now.
    pub fn is_configured(&self, provider: Provider) -> bool {
        match provider {
            Provider::OpenAi => self.openai_key.is_some(),
            Provider::ElevenLabs => self.elevenlabs_key.is_some(),
            Provider::Edge => false,
        }
    }

    /// Returns which answers of a session are spoken that has a word of its own about it, or has not.
    pub fn auto_of(&self, session: Option<&str>) -> Auto {
        session.and_then(Auto::parse).unwrap_or(self.auto)
    }

    /// Returns whether every message of an answer is spoken, and not only the last word.
    pub fn speaks_parts(&self) -> bool {
        self.config.mode.as_deref() == Some("all")
    }

    /// Returns whether models choose with tags what is spoken and how.
    pub fn has_tags(&self) -> bool {
        self.config.model_overrides.enabled != Some(false)
    }

    /// Returns who speaks when the first one fails, in order.
    pub fn fallbacks(&self) -> Vec<Provider> {
        let others = Provider::ALL.into_iter().filter(|&provider| provider != self.provider);
        others.filter(|&provider| self.is_configured(provider)).collect()
    }

    fn resolve(config: &Config, prefs_path: PathBuf, prefs: &prefs::File, env: env::Lookup<'_>) -> Self {
        let tts = &config.messages.tts;
        let key = |own: &Option<Secret>, names: &[&str]| {
            let own = own.clone().filter(|key| !key.expose().trim().is_empty());
            own.or_else(|| names.iter().find_map(|name| env::lookup(config, env, name)).map(Secret::new))
        };
        let openai_key = key(&tts.openai.api_key, &["OPENAI_API_KEY"]);
        let elevenlabs_key = key(&tts.elevenlabs.api_key, &["ELEVENLABS_API_KEY", "XI_API_KEY"]);
        let by_key = match (&openai_key, &elevenlabs_key) {
            (Some(_), _) => Provider::OpenAi,
            (None, Some(_)) => Provider::ElevenLabs,
            (None, None) => Provider::Edge,
        };
        let provider = prefs::provider(prefs).or_else(|| Provider::parse(tts.provider.as_deref()?)).unwrap_or(by_key);
        let auto = prefs::auto(prefs).or_else(|| Auto::parse(tts.auto.as_deref()?)).unwrap_or(Auto::Off);
        let openai_url = env::lookup(config, env, "OPENAI_TTS_BASE_URL");
        let openai_url = openai_url.map_or_else(|| OPENAI_URL.to_owned(), |url| url.trim_end_matches('/').to_owned());
        let chars_max = prefs::chars_max(prefs).unwrap_or(ANSWER_CHARS_MAX_DEFAULT);
        let shortens = prefs::shortens(prefs).unwrap_or(true);
        let config = tts.clone();
        Self { auto, provider, prefs_path, chars_max, shortens, openai_key, elevenlabs_key, openai_url, config }
    }
}

/// A text, spoken.
#[derive(Debug)]
pub struct Speech {
    /// The audio file; it is removed by [`Tts::remove_audio`] or [`Tts::close`].
    pub audio: PathBuf,
    /// Who spoke.
    pub provider: Provider,
    /// The provider's name of the format.
    pub format: &'static str,
    /// Whether chat networks show it as a voice message.
    pub is_voice: bool,
}

/// Why a text was not spoken; worded as clients see it.
#[derive(Debug, PartialEq, Eq)]
pub enum SpeakError {
    /// The text is longer than allowed.
    TooLong {
        /// Its length in UTF-16 units.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// No provider did it; what each of them said.
    Failed(String),
}

impl std::fmt::Display for SpeakError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong { len, max } => write!(f, "Text too long ({len} chars, max {max})"),
            Self::Failed(why) => write!(f, "TTS conversion failed: {why}"),
        }
    }
}

/// How speaking went the last time.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// When.
    pub at_ms: UnixMs,
    /// Length of the text, in characters.
    pub chars: usize,
    /// Who spoke and how long it took in milliseconds, or why nobody did.
    pub result: Result<(Provider, u64), String>,
}

/// See the module.
pub struct Tts {
    paths: Paths,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    prefs: Prefs,
    audio: AudioFiles,
    attempts: Attempts,
    last: Mutex<Option<Attempt>>,
}

impl Tts {
    /// Returns the speech of one start of the gateway; no file is read yet.
    pub fn new(paths: Paths, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        let (prefs, audio, attempts) = (Prefs::default(), AudioFiles::default(), Attempts::default());
        Self { paths, clock, rng, prefs, audio, attempts, last: Mutex::default() }
    }

    /// Returns what is in force.
    ///
    /// # Errors
    /// When the preferences file cannot be read.
    pub fn settings(&self, config: &Config) -> io::Result<Settings> {
        let env = |name: &str| std::env::var(name).ok();
        let path = self.prefs_path(config, &env);
        let prefs = self.prefs.at(&path)?.get();
        Ok(Settings::resolve(config, path, &prefs, &env))
    }

    /// Speaks every answer, or none.
    ///
    /// # Errors
    /// When the preferences cannot be kept.
    pub fn set_auto(&self, config: &Config, auto: Auto) -> io::Result<()> {
        self.prefs_store(config)?.update(|file| prefs::set_auto(file, auto))
    }

    /// Chooses who speaks first.
    ///
    /// # Errors
    /// When the preferences cannot be kept.
    pub fn set_provider(&self, config: &Config, provider: Provider) -> io::Result<()> {
        self.prefs_store(config)?.update(|file| prefs::set(file, "provider", provider.as_str().into()))
    }

    /// Sets how long an answer may be to be spoken whole, in characters.
    ///
    /// # Errors
    /// When the preferences cannot be kept.
    pub fn set_chars_max(&self, config: &Config, chars_max: usize) -> io::Result<()> {
        self.prefs_store(config)?.update(|file| prefs::set(file, "maxLength", chars_max.into()))
    }

    /// Sets whether longer answers are shortened.
    ///
    /// # Errors
    /// When the preferences cannot be kept.
    pub fn set_shortens(&self, config: &Config, shortens: bool) -> io::Result<()> {
        self.prefs_store(config)?.update(|file| prefs::set(file, "summarize", shortens.into()))
    }

    /// Returns how speaking went the last time, if it was tried since the start.
    pub fn last_attempt(&self) -> Option<Attempt> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Speaks a text with the first provider that can, for a voice note if it is to be one; waits for it.
    ///
    /// # Errors
    /// See [`SpeakError`].
    pub fn convert(&self, settings: &Settings, text: &str, is_voice: bool) -> Result<Speech, SpeakError> {
        let begun = self.clock.now();
        let spoken = self.speak(settings, text, is_voice);
        let took = self.clock.now().saturating_duration_since(begun);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let result = spoken.as_ref().map(|speech| (speech.provider, took_ms)).map_err(ToString::to_string);
        let attempt = Attempt { at_ms: self.clock.now_ms(), chars: text.chars().count(), result };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(attempt);
        spoken
    }

    fn speak(&self, settings: &Settings, text: &str, is_voice: bool) -> Result<Speech, SpeakError> {
        let len = text.encode_utf16().count() as u64;
        let max = settings.config.max_text_length.unwrap_or(TEXT_LEN_MAX_DEFAULT);
        if len > max {
            return Err(SpeakError::TooLong { len, max });
        }
        let timeout = settings.config.timeout_ms.map_or(TIMEOUT_DEFAULT, Duration::from_millis);
        let mut failures = Vec::new();
        let candidates = std::iter::once(settings.provider).chain(settings.fallbacks());
        for provider in candidates.filter(|&provider| settings.is_configured(provider)) {
            let spoken = Request::new(settings, provider, text, is_voice).and_then(|request| {
                let audio = self.attempts.make(&request, self.clock.now() + timeout)?;
                let stored = self.audio.store(&audio, request.extension, self.clock.now_ms(), &*self.rng);
                let path = stored.map_err(|error| format!("cannot keep the audio: {error}"))?;
                Ok(Speech { audio: path, provider, format: request.format, is_voice })
            });
            match spoken {
                Ok(speech) => return Ok(speech),
                Err(error) => {
                    log::warn!(target: "gateway/tts", "{} did not speak {len} chars: {error}", provider.as_str());
                    failures.push(format!("{}: {error}", provider.as_str()));
                }
            }
        }
        Err(SpeakError::Failed(match failures.as_slice() {
            [] => "no provider is configured; set messages.tts.openai.apiKey (or OPENAI_API_KEY) or \
                   messages.tts.elevenlabs.apiKey (or ELEVENLABS_API_KEY). Edge TTS is not part of this build"
                .to_owned(),
            // All of them: the last alone would hide why the chosen one failed.
            failures => failures.join("; "),
        }))
    }

    /// Removes an audio file that was handed out.
    pub fn remove_audio(&self, audio: &Path) {
        self.audio.remove(audio);
    }

    /// Ends the attempts under way, removes every audio file and refuses later changes.
    pub fn close(&self) {
        self.attempts.close(CancelReason::Shutdown);
        self.audio.close();
        self.prefs.close();
    }

    fn prefs_path(&self, config: &Config, env: env::Lookup<'_>) -> PathBuf {
        let configured = config.messages.tts.prefs_path.as_deref().and_then(unless_blank);
        let chosen = configured.map(str::to_owned).or_else(|| env::lookup(config, env, "CLAWDBOT_TTS_PREFS"));
        chosen.map_or_else(|| self.paths.settings_dir().join("tts.json"), |path| self.paths.expand(&path))
    }

    fn prefs_store(&self, config: &Config) -> io::Result<Arc<prefs::Store>> {
        self.prefs.at(&self.prefs_path(config, &|name| std::env::var(name).ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_provider_is_chosen_by_preference_then_configuration_then_key() {
        let check = |tts: serde_json::Value, prefs: serde_json::Value, vars: &[&str], expected: &str| {
            let config: Config = serde_json::from_value(json!({"messages": {"tts": tts}})).expect("config");
            let env = |name: &str| vars.contains(&name).then(|| "k".to_owned());
            let prefs = prefs.as_object().expect("an object").clone();
            let settings = Settings::resolve(&config, PathBuf::new(), &prefs, &env);
            let fallbacks: Vec<&str> = settings.fallbacks().into_iter().map(Provider::as_str).collect();
            let found = format!("{} {} {}", settings.auto.as_str(), settings.provider.as_str(), fallbacks.join(","));
            assert_eq!(found.trim(), expected, "{tts} {prefs:?} {vars:?}");
        };
        let none = json!({});
        check(none.clone(), none.clone(), &[], "off edge");
        check(none.clone(), none.clone(), &["XI_API_KEY"], "off elevenlabs");
        check(none.clone(), none.clone(), &["XI_API_KEY", "OPENAI_API_KEY"], "off openai elevenlabs");
        check(json!({"openai": {"apiKey": " "}}), none.clone(), &[], "off edge");
        check(
            json!({"provider": "elevenlabs", "auto": "tagged"}),
            none.clone(),
            &["OPENAI_API_KEY"],
            "tagged elevenlabs openai",
        );
        let prefs = json!({"tts": {"provider": "edge", "auto": " Always "}});
        check(json!({"provider": "openai", "auto": "off"}), prefs, &["OPENAI_API_KEY"], "always edge openai");
        check(none.clone(), json!({"tts": {"provider": "x", "enabled": true}}), &[], "always edge");
        check(none, json!({"tts": 5}), &[], "off edge");
    }
}
