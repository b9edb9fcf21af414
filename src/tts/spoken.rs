//! What of an answer is spoken, and how: the tags that a model writes for speech, and which answers are spoken at all.
//!
//! Pure. `[[tts:key=value …]]` chooses provider, voice and model, `[[tts:text]]…[[/tts:text]]` says what is spoken instead
//! of what is written (agent.md §2, row 17). Not here: speaking.

use super::{Auto, Provider, Settings};

/// Shorter answers are not worth a voice message, in characters.
const CHARS_MIN: usize = 10;

/// An answer as it is written, and what of it is to be spoken.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Spoken {
    /// What is shown.
    pub shown: String,
    /// What is spoken; `None` when nothing is.
    pub text: Option<String>,
    /// Whether it was shortened.
    pub is_shortened: bool,
    wishes: Vec<(String, String)>,
}

impl Spoken {
    /// Reads an answer. `is_reply_to_voice` says that the message before was spoken.
    pub fn of(settings: &Settings, auto: Auto, written: &str, has_files: bool, is_reply_to_voice: bool) -> Self {
        if auto == Auto::Off {
            return Self { shown: written.to_owned(), ..Self::default() };
        }
        let may = &settings.config.model_overrides;
        let (shown, own, wishes, is_tagged) =
            if settings.has_tags() { take_tags(written) } else { (written.to_owned(), None, Vec::new(), false) };
        let own = own.filter(|_| may.allow_text != Some(false));
        let is_wanted = match auto {
            Auto::Off => false,
            Auto::Always => true,
            Auto::Inbound => is_reply_to_voice,
            Auto::Tagged => is_tagged,
        };
        let text = own.unwrap_or_else(|| shown.clone());
        let is_wanted = is_wanted && !has_files && text.chars().count() >= CHARS_MIN;
        let whole = text.chars().count();
        let text = if !is_wanted {
            None
        } else if whole <= settings.chars_max {
            Some(text)
        } else {
            settings.shortens.then(|| first_sentences(&text, settings.chars_max))
        };
        let is_shortened = text.as_ref().is_some_and(|text| text.chars().count() < whole);
        Self { shown, text, is_shortened, wishes }
    }

    /// Returns the settings with what the model wished for.
    pub fn settings(&self, mut settings: Settings) -> Settings {
        let config = &mut settings.config;
        let may = config.model_overrides.clone();
        for (key, value) in &self.wishes {
            let text = || Some(value.clone());
            let may = match key.as_str() {
                "provider" => may.allow_provider,
                "speed" => may.allow_voice_settings,
                "language" | "languagecode" | "language_code" => may.allow_normalization,
                key if key.contains("voice") => may.allow_voice,
                _ => may.allow_model_id,
            };
            if may == Some(false) {
                continue;
            }
            match key.as_str() {
                "provider" => settings.provider = Provider::parse(&value.to_lowercase()).unwrap_or(settings.provider),
                "voice" | "openai_voice" | "openaivoice" => config.openai.voice = text(),
                "voiceid" | "voice_id" | "elevenlabs_voice" | "elevenlabsvoice" => config.elevenlabs.voice_id = text(),
                "model" | "modelid" | "model_id" | "elevenlabs_model" | "elevenlabsmodel" | "openai_model"
                | "openaimodel" => {
                    if super::OPENAI_MODELS.contains(&value.as_str()) {
                        config.openai.model = text();
                    } else {
                        config.elevenlabs.model_id = text();
                    }
                }
                "speed" => {
                    config.elevenlabs.voice_settings.speed = value.parse().ok().filter(|it| (0.5..=2.0).contains(it))
                }
                "language" | "languagecode" | "language_code" => config.elevenlabs.language_code = text(),
                // What nobody here knows is left out, as in the original.
                _ => {}
            }
        }
        settings
    }
}

/// Takes the tags out: what is left, what is to be spoken instead, the wishes, and whether there was any.
fn take_tags(written: &str) -> (String, Option<String>, Vec<(String, String)>, bool) {
    const OPEN: &str = "[[tts:text]]";
    const CLOSE: &str = "[[/tts:text]]";
    let (mut left, mut own, mut wishes, mut is_tagged) = (String::new(), None, Vec::new(), false);
    let mut rest = written;
    let starts = |text: &str, tag: &str| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
    while let Some(at) = rest.find("[[") {
        left.push_str(&rest[..at]);
        rest = &rest[at..];
        if starts(rest, OPEN)
            && let Some(end) = rest.to_ascii_lowercase().find(CLOSE)
        {
            own.get_or_insert_with(|| rest[OPEN.len()..end].trim().to_owned());
            (rest, is_tagged) = (&rest[end + CLOSE.len()..], true);
        } else if (starts(rest, "[[tts:") || starts(rest, "[[tts]]"))
            && let Some(end) = rest.find("]]")
        {
            let body = rest[..end].get("[[tts:".len()..).unwrap_or_default();
            let pairs = body.split_whitespace().filter_map(|word| word.split_once('='));
            wishes.extend(pairs.map(|(key, value)| (key.to_lowercase(), value.to_owned())));
            (rest, is_tagged) = (&rest[end + 2..], true);
        } else {
            left.push_str("[[");
            rest = &rest[2..];
        }
    }
    left.push_str(rest);
    let own = own.filter(|own: &String| !own.is_empty());
    if is_tagged { (left.trim().to_owned(), own, wishes, true) } else { (left, own, wishes, false) }
}

/// Returns as many whole sentences as fit, or words where the first sentence is too long.
fn first_sentences(text: &str, chars_max: usize) -> String {
    let end = text.char_indices().nth(chars_max).map_or(text.len(), |(at, _)| at);
    let window = &text[..end];
    let sentence = window.char_indices().filter(|(at, c)| {
        matches!(c, '.' | '!' | '?') && window[at + 1..].chars().next().is_none_or(char::is_whitespace)
    });
    let cut = sentence.map(|(at, _)| at + 1).next_back().or_else(|| window.rfind(char::is_whitespace));
    window[..cut.unwrap_or(end)].trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::types::Config;
    use serde_json::json;
    use std::path::PathBuf;

    #[test]
    fn what_is_spoken_depends_on_mode_tags_and_length() {
        let config: Config = serde_json::from_value(json!({})).expect("config");
        let prefs = json!({"tts": {"maxLength": 30}}).as_object().expect("an object").clone();
        let settings = Settings::resolve(&config, PathBuf::new(), &prefs, &|_| None);
        let of = |auto, text: &str| Spoken::of(&settings, auto, text, false, false);
        let long = "One two three. Four five six seven. Eight nine ten.";
        for (auto, written, shown, text) in [
            (Auto::Off, "hello out there [[tts:voice=x]]", "hello out there [[tts:voice=x]]", None),
            (Auto::Always, "hello out there", "hello out there", Some("hello out there")),
            (Auto::Always, "short", "short", None),
            (Auto::Always, long, long, Some("One two three.")),
            (Auto::Inbound, "hello out there", "hello out there", None),
            (Auto::Tagged, "hello out there", "hello out there", None),
            (
                Auto::Tagged,
                "hello out there [[tts:provider=openai voice=onyx]]",
                "hello out there",
                Some("hello out there"),
            ),
            (Auto::Always, "written [[tts:text]]said with a laugh[[/tts:text]]", "written", Some("said with a laugh")),
            (Auto::Always, "a [[link]] stays here", "a [[link]] stays here", Some("a [[link]] stays here")),
        ] {
            let spoken = of(auto, written);
            assert_eq!((spoken.shown.as_str(), spoken.text.as_deref()), (shown, text), "{auto:?} {written}");
        }
        let spoken = of(Auto::Tagged, "hello out there [[tts:provider=openai voice=onyx]]");
        let chosen = spoken.settings(Settings::resolve(&config, PathBuf::new(), &prefs, &|_| None));
        assert_eq!((chosen.provider, chosen.config.openai.voice.as_deref()), (Provider::OpenAi, Some("onyx")));
        let under = |overrides: serde_json::Value, text: &str| {
            let config = Config::of(json!({"messages": {"tts": {"modelOverrides": overrides}}}));
            let settings = Settings::resolve(&config, PathBuf::new(), &prefs, &|_| None);
            let spoken = Spoken::of(&settings, Auto::Always, text, false, false);
            let voice = spoken.settings(settings).config.openai.voice;
            (spoken.text.unwrap_or_default(), voice)
        };
        let text = "written here [[tts:voice=onyx]][[tts:text]]said aloud[[/tts:text]]";
        assert_eq!(under(json!({}), text), ("said aloud".to_owned(), Some("onyx".to_owned())));
        let strict = json!({"allowText": false, "allowVoice": false});
        assert_eq!(under(strict, text), ("written here".to_owned(), None));
        let none = json!({"enabled": false});
        assert_eq!(under(none, "as it is [[tts:voice=onyx]]").1, None);
    }
}
