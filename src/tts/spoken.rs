//! What of an answer is spoken, and how: the tags that a model writes for speech, and which answers are spoken at all.
//!
//! Pure. `[[tts:key=value …]]` chooses provider, voice and model, `[[tts:text]]…[[/tts:text]]` says what is spoken instead
//! of what is written (agent.md §2, row 17). Not here: speaking.

use super::{Auto, Provider, Settings, request};
use crate::base::text::parse_flag;

/// Shorter answers are not worth a voice message, in characters.
const CHARS_MIN: usize = 10;

/// Around what is spoken instead of what is written.
const OPEN: &str = "[[tts:text]]";
const CLOSE: &str = "[[/tts:text]]";

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

    /// Returns what is shown of an answer that is still being written: a tag that is not closed yet hides what follows it.
    pub fn shown_so_far(settings: &Settings, auto: Auto, written: &str) -> String {
        if auto == Auto::Off || !settings.has_tags() {
            return written.to_owned();
        }
        let lower = written.to_ascii_lowercase();
        let open = lower.rfind(OPEN).filter(|at| !lower[*at..].contains(CLOSE));
        let mut shown = take_tags(&written[..open.unwrap_or(written.len())]).0;
        let half_open = shown.rfind("[[").filter(|at| {
            let tag = shown[*at..].to_ascii_lowercase();
            tag.starts_with("[[tts") || "[[tts".starts_with(&tag)
        });
        shown.truncate(half_open.unwrap_or(shown.len()));
        shown
    }

    /// Returns the settings with what the model wished for, as far as it may. What nobody here understands changes nothing,
    /// as in the original.
    pub fn settings(&self, mut settings: Settings) -> Settings {
        for (key, value) in &self.wishes {
            wish(&mut settings, &key.replace('_', ""), value);
        }
        settings
    }
}

/// Carries one wish out; `key` is in lower case, without underscores.
fn wish(settings: &mut Settings, key: &str, value: &str) {
    let may = &settings.config.model_overrides;
    let may = match key {
        "provider" => may.allow_provider,
        "voice" | "openaivoice" | "voiceid" | "elevenlabsvoice" => may.allow_voice,
        "model" | "modelid" | "openaimodel" | "elevenlabsmodel" => may.allow_model_id,
        "normalize" | "applytextnormalization" | "language" | "languagecode" => may.allow_normalization,
        "seed" => may.allow_seed,
        _ => may.allow_voice_settings,
    };
    if may == Some(false) {
        return;
    }
    let has_voice = request::has_openai_voice(settings, value);
    // Another server than OpenAI's own may know any name.
    let has_model = request::has_openai_model(settings, value);
    let number = |min: f64, max: f64| value.parse().ok().filter(|number| (min..=max).contains(number));
    let (openai, elevenlabs) = (&mut settings.config.openai, &mut settings.config.elevenlabs);
    let voice = &mut elevenlabs.voice_settings;
    match key {
        "provider" => settings.provider = Provider::parse(&value.to_lowercase()).unwrap_or(settings.provider),
        "voice" | "openaivoice" => set(&mut openai.voice, has_voice.then(|| value.to_owned())),
        "voiceid" | "elevenlabsvoice" => {
            set(&mut elevenlabs.voice_id, request::is_elevenlabs_voice(value).then(|| value.to_owned()));
        }
        "model" | "modelid" | "openaimodel" | "elevenlabsmodel" => {
            let model = if has_model { &mut openai.model } else { &mut elevenlabs.model_id };
            *model = Some(value.to_owned());
        }
        "stability" => set(&mut voice.stability, number(0.0, 1.0)),
        "similarity" | "similarityboost" => set(&mut voice.similarity_boost, number(0.0, 1.0)),
        "style" => set(&mut voice.style, number(0.0, 1.0)),
        "speed" => set(&mut voice.speed, number(0.5, 2.0)),
        "speakerboost" | "usespeakerboost" => set(&mut voice.use_speaker_boost, parse_flag(value)),
        "normalize" | "applytextnormalization" => {
            let mode = value.to_lowercase();
            let is_mode = matches!(mode.as_str(), "auto" | "on" | "off");
            set(&mut elevenlabs.apply_text_normalization, is_mode.then_some(mode));
        }
        "language" | "languagecode" => {
            set(&mut elevenlabs.language_code, request::language(Some(value)).ok().flatten());
        }
        "seed" => set(&mut elevenlabs.seed, value.parse::<u32>().ok().map(u64::from)),
        _ => {}
    }
}

fn set<T>(setting: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *setting = value;
    }
}

/// Takes the tags out: what is left, what is to be spoken instead, the wishes, and whether there was any.
fn take_tags(written: &str) -> (String, Option<String>, Vec<(String, String)>, bool) {
    let (mut left, mut own, mut wishes, mut is_tagged) = (String::new(), None, Vec::new(), false);
    let starts = |at: usize, tag: &str| written.get(at..at + tag.len()).is_some_and(|it| it.eq_ignore_ascii_case(tag));
    // Looked for from the end, so that tags nobody closes do not cost a search to the end each.
    let lower = written.to_ascii_lowercase();
    let (last_close, last_end) = (lower.rfind(CLOSE), lower.rfind("]]"));
    let find = |from: usize, what: &str, last: Option<usize>| {
        last.filter(|last| *last >= from).and_then(|_| lower[from..].find(what)).map(|at| from + at)
    };
    let mut rest = 0;
    while let Some(at) = find(rest, "[[", Some(written.len())) {
        left.push_str(&written[rest..at]);
        if starts(at, OPEN)
            && let Some(end) = find(at, CLOSE, last_close)
        {
            own.get_or_insert_with(|| written[at + OPEN.len()..end].trim().to_owned());
            (rest, is_tagged) = (end + CLOSE.len(), true);
        } else if (starts(at, "[[tts:") || starts(at, "[[tts]]"))
            && let Some(end) = find(at, "]]", last_end)
        {
            let body = written[at..end].get("[[tts:".len()..).unwrap_or_default();
            let pairs = body.split_whitespace().filter_map(|word| word.split_once('='));
            wishes.extend(pairs.map(|(key, value)| (key.to_lowercase(), value.to_owned())));
            (rest, is_tagged) = (end + 2, true);
        } else {
            left.push_str("[[");
            rest = at + 2;
        }
    }
    left.push_str(&written[rest..]);
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
        for (written, shown) in [
            ("so [[link]] is [", "so [[link]] is ["),
            ("well [", "well ["),
            ("well [[", "well "),
            ("well [[tt", "well "),
            ("well [[tts:voice=", "well "),
            ("well [[tts:voice=onyx]] then", "well  then"),
            ("well [[tts:text]] and so", "well "),
            ("well [[tts:text]]hm[[/tts:text]] then [[see", "well  then [[see"),
        ] {
            assert_eq!(Spoken::shown_so_far(&settings, Auto::Always, written), shown);
            assert_eq!(Spoken::shown_so_far(&settings, Auto::Off, written), written);
        }
        let wishes = "hello out there [[tts:voice=nobody stability=0.2 similarity=2 style=0.4 speed=1.5 use_speaker_boost=no \
                      normalize=ON language=DE seed=7 voiceid=../x model=eleven_turbo_v2_5 mood=odd]]";
        let chosen = of(Auto::Always, wishes).settings(settings.clone()).config;
        let voice = &chosen.elevenlabs.voice_settings;
        assert_eq!((voice.stability, voice.similarity_boost, voice.style), (Some(0.2), None, Some(0.4)));
        assert_eq!((voice.speed, voice.use_speaker_boost, chosen.elevenlabs.seed), (Some(1.5), Some(false), Some(7)));
        assert_eq!((chosen.openai.voice, chosen.elevenlabs.voice_id), (None, None), "what cannot be is left out");
        let texts =
            [chosen.elevenlabs.apply_text_normalization, chosen.elevenlabs.language_code, chosen.elevenlabs.model_id];
        assert_eq!(texts.map(Option::unwrap_or_default), ["on", "de", "eleven_turbo_v2_5"]);
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
