//! What is sent to each speech provider: pure functions of the settings and the text.

use serde_json::{Value, json};

use super::{Provider, Settings};
use crate::base::text::unless_blank;

/// OpenAI's own server.
pub(super) const OPENAI_URL: &str = "https://api.openai.com/v1";
/// ElevenLabs' own server.
const ELEVENLABS_URL: &str = "https://api.elevenlabs.io";
/// Models of OpenAI's server; the first is the default.
pub const OPENAI_MODELS: [&str; 3] = ["gpt-4o-mini-tts", "tts-1", "tts-1-hd"];
/// Voices of OpenAI's server; the first is the default.
pub const OPENAI_VOICES: [&str; 9] = ["alloy", "ash", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer"];
/// Models of ElevenLabs; the first is the default.
pub const ELEVENLABS_MODELS: [&str; 3] = ["eleven_multilingual_v2", "eleven_turbo_v2_5", "eleven_monolingual_v1"];
/// The original's default voice of ElevenLabs.
const ELEVENLABS_VOICE: &str = "pMsXgVXv3BLzUgSXRplE";

/// One request, ready to be sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// What is said before the status when the provider refuses.
    pub(super) refusal: &'static str,
    /// The provider's name of the audio format.
    pub(super) format: &'static str,
    /// Ending of the audio file.
    pub(super) extension: &'static str,
}

impl Request {
    /// Builds the request; `is_voice` asks for what chat networks show as a voice message.
    ///
    /// # Errors
    /// What is wrong with the settings, or that the provider cannot be used.
    pub(super) fn new(settings: &Settings, provider: Provider, text: &str, is_voice: bool) -> Result<Self, String> {
        match provider {
            Provider::OpenAi => openai(settings, text, is_voice),
            Provider::ElevenLabs => elevenlabs(settings, text, is_voice),
            Provider::Edge => Err("not part of this build".to_owned()),
        }
    }
}

fn extension(is_voice: bool) -> &'static str {
    if is_voice { ".opus" } else { ".mp3" }
}

fn openai(settings: &Settings, text: &str, is_voice: bool) -> Result<Request, String> {
    let key = settings.openai_key.as_ref().ok_or("no API key")?;
    let model = settings.config.openai.model.as_deref().unwrap_or(OPENAI_MODELS[0]);
    let voice = settings.config.openai.voice.as_deref().unwrap_or(OPENAI_VOICES[0]);
    if !has_openai_model(settings, model) {
        return Err(format!("Invalid model: {model}"));
    }
    if !has_openai_voice(settings, voice) {
        return Err(format!("Invalid voice: {voice}"));
    }
    let format = if is_voice { "opus" } else { "mp3" };
    let body = json!({"model": model, "input": text, "voice": voice, "response_format": format});
    Ok(Request {
        url: format!("{}/audio/speech", settings.openai_url),
        headers: vec![("authorization".to_owned(), format!("Bearer {}", key.expose()))],
        body: body.to_string().into_bytes(),
        refusal: "OpenAI TTS API error",
        format,
        extension: extension(is_voice),
    })
}

fn elevenlabs(settings: &Settings, text: &str, is_voice: bool) -> Result<Request, String> {
    let key = settings.elevenlabs_key.as_ref().ok_or("no API key")?;
    let config = &settings.config.elevenlabs;
    let voice = config.voice_id.as_deref().unwrap_or(ELEVENLABS_VOICE);
    if !is_elevenlabs_voice(voice) {
        return Err("Invalid voiceId format".to_owned());
    }
    let base_url = config.base_url.as_deref().map(|url| url.trim().trim_end_matches('/'));
    let base_url = base_url.filter(|url| !url.is_empty()).unwrap_or(ELEVENLABS_URL);
    let format = if is_voice { "opus_48000_64" } else { "mp3_44100_128" };
    let voice_settings = &config.voice_settings;
    let mut body = json!({
        "text": text,
        "model_id": config.model_id.as_deref().unwrap_or(ELEVENLABS_MODELS[0]),
        "voice_settings": {
            "stability": voice_settings.stability.unwrap_or(0.5),
            "similarity_boost": voice_settings.similarity_boost.unwrap_or(0.75),
            "style": voice_settings.style.unwrap_or(0.0),
            "use_speaker_boost": voice_settings.use_speaker_boost.unwrap_or(true),
            "speed": voice_settings.speed.unwrap_or(1.0),
        },
    });
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body[name] = value;
        }
    };
    add("seed", config.seed.map(Value::from));
    add("apply_text_normalization", config.apply_text_normalization.clone().map(Value::from));
    add("language_code", language(config.language_code.as_deref())?.map(Value::from));
    Ok(Request {
        url: format!("{base_url}/v1/text-to-speech/{voice}?output_format={format}"),
        headers: vec![
            ("xi-api-key".to_owned(), key.expose().to_owned()),
            ("accept".to_owned(), "audio/mpeg".to_owned()),
        ],
        body: body.to_string().into_bytes(),
        refusal: "ElevenLabs API error",
        format,
        extension: extension(is_voice),
    })
}

/// Returns whether the server that speaks for OpenAI may have this model; another than OpenAI's own has some of its own.
pub(super) fn has_openai_model(settings: &Settings, model: &str) -> bool {
    settings.openai_url != OPENAI_URL || OPENAI_MODELS.contains(&model)
}

/// As [`has_openai_model`], for voices.
pub(super) fn has_openai_voice(settings: &Settings, voice: &str) -> bool {
    settings.openai_url != OPENAI_URL || OPENAI_VOICES.contains(&voice)
}

/// Returns whether a voice can be asked for: it becomes part of a URL.
pub(super) fn is_elevenlabs_voice(voice: &str) -> bool {
    (10..=40).contains(&voice.len()) && voice.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Returns a language code as ElevenLabs takes it, if there is one.
///
/// # Errors
/// How it should look.
pub(super) fn language(code: Option<&str>) -> Result<Option<String>, String> {
    let Some(code) = code.and_then(unless_blank) else { return Ok(None) };
    let code = code.to_ascii_lowercase();
    if code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_lowercase()) {
        Ok(Some(code))
    } else {
        Err("languageCode must be a 2-letter ISO 639-1 code (e.g. en, de, fr)".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::types::Config;
    use std::path::PathBuf;

    fn request(tts: Value, url: Option<&str>, provider: Provider, is_voice: bool) -> Result<Request, String> {
        let config: Config = serde_json::from_value(json!({"messages": {"tts": tts}})).expect("config");
        let env = |name: &str| match name {
            "OPENAI_TTS_BASE_URL" => url.map(str::to_owned),
            "OPENAI_API_KEY" | "ELEVENLABS_API_KEY" => Some("key".to_owned()),
            _ => None,
        };
        let settings = Settings::resolve(&config, PathBuf::new(), &serde_json::Map::new(), &env);
        Request::new(&settings, provider, "hi", is_voice)
    }

    #[test]
    fn openai_takes_its_own_models_and_others_take_any() {
        let plain = request(json!({}), None, Provider::OpenAi, false).expect("request");
        assert_eq!(plain.url, "https://api.openai.com/v1/audio/speech");
        let body: Value = serde_json::from_slice(&plain.body).expect("JSON");
        assert_eq!(
            body,
            json!({"model": "gpt-4o-mini-tts", "input": "hi", "voice": "alloy", "response_format": "mp3"})
        );
        let own = json!({"openai": {"model": "kokoro", "voice": "x"}});
        let refused = request(own.clone(), None, Provider::OpenAi, false).expect_err("refused");
        assert_eq!(refused, "Invalid model: kokoro");
        let elsewhere = request(own, Some("http://h:1/v1//"), Provider::OpenAi, true).expect("request");
        assert_eq!((elsewhere.url.as_str(), elsewhere.format), ("http://h:1/v1/audio/speech", "opus"));
    }

    #[test]
    fn elevenlabs_gets_what_is_configured() {
        let tts = json!({"elevenlabs": {
            "baseUrl": "http://h:1/", "voiceId": "abcdefghij", "seed": 7, "languageCode": " DE ", "voiceSettings": {"speed": 2},
        }});
        let request_ = request(tts, None, Provider::ElevenLabs, true).expect("request");
        assert_eq!(request_.url, "http://h:1/v1/text-to-speech/abcdefghij?output_format=opus_48000_64");
        let body: Value = serde_json::from_slice(&request_.body).expect("JSON");
        assert_eq!(
            (&body["seed"], &body["language_code"], &body["voice_settings"]["speed"]),
            (&json!(7), &json!("de"), &json!(2.0))
        );
        for (tts, error) in [
            (json!({"voiceId": "../../etc/x"}), "Invalid voiceId format"),
            (json!({"languageCode": "german"}), "languageCode must be"),
        ] {
            let refused = request(json!({"elevenlabs": tts}), None, Provider::ElevenLabs, false).expect_err("refused");
            assert!(refused.starts_with(error), "{refused}");
        }
    }
}
