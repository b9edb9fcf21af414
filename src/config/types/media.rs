//! `tools.media` and `tools.links`: how recordings, pictures, films and what links lead to are put into words.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{SendPolicy, StringMap};
use crate::base::text::unless_blank;

/// What can be put into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// A picture.
    Image,
    /// A recording.
    Audio,
    /// A film.
    Video,
}

impl Medium {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 3] = [Self::Image, Self::Audio, Self::Video];

    /// Returns its name in the configuration, with which the types of its files begin.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }

    /// Returns what files of a type are; `None` for what cannot be put into words.
    pub fn of_mime(mime: &str) -> Option<Self> {
        let start = mime.split('/').next()?;
        Self::ALL.into_iter().find(|medium| medium.as_str() == start)
    }
}

/// `tools.media`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MediaTools {
    /// Services and programs for several kinds.
    pub models: Vec<MediaModel>,
    /// Messages at a time, and files of each of them, default 2.
    pub concurrency: Option<u64>,
    /// Pictures.
    pub image: MediaSection,
    /// Recordings.
    pub audio: MediaSection,
    /// Films.
    pub video: MediaSection,
}

impl MediaTools {
    /// Returns what is said of one kind.
    pub fn section(&self, medium: Medium) -> &MediaSection {
        match medium {
            Medium::Image => &self.image,
            Medium::Audio => &self.audio,
            Medium::Video => &self.video,
        }
    }
}

/// `tools.media.image`, `.audio` and `.video`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MediaSection {
    /// Whether it is done, default true where something can do it.
    pub enabled: Option<bool>,
    /// In which chats; the first rule that applies decides.
    pub scope: Option<SendPolicy>,
    /// What its services and programs are asked with, unless they say otherwise.
    #[serde(flatten)]
    pub options: MediaOptions,
    /// Which of several files.
    pub attachments: MediaAttachments,
    /// Services and programs, in order.
    pub models: Vec<MediaModel>,
}

/// Which of several files of a kind are put into words.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MediaAttachments {
    /// first (default) or all.
    pub mode: Option<String>,
    /// How many of all, default 1.
    pub max_attachments: Option<u64>,
    /// first (default) or last; `path` and `url` make no difference here.
    pub prefer: Option<String>,
}

/// A service or program of `tools.media`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MediaModel {
    /// provider or cli; default: cli when there is a command.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The service.
    pub provider: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// What it is for (image, audio, video).
    pub capabilities: Vec<String>,
    /// The program.
    pub command: Option<String>,
    /// Its arguments, with `{{MediaPath}}` and the like in them.
    pub args: Vec<String>,
    /// What it is asked with; what is not said here, the section says.
    #[serde(flatten)]
    pub options: MediaOptions,
    /// The stored credential to take and no other.
    pub profile: Option<String>,
    /// The stored credential to take first.
    pub preferred_profile: Option<String>,
}

impl MediaModel {
    /// Returns whether it is a program.
    pub fn is_program(&self) -> bool {
        self.kind.as_deref().map_or(self.command.is_some(), |kind| kind == "cli")
    }
}

/// `tools.links`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LinkTools {
    /// Whether links are read, default true where there are programs.
    pub enabled: Option<bool>,
    /// In which chats; the first rule that applies decides.
    pub scope: Option<SendPolicy>,
    /// How many of a message, default 3.
    pub max_links: Option<u64>,
    /// How long a program may take.
    pub timeout_seconds: Option<f64>,
    /// Programs, in order, with `{{LinkUrl}}` in their arguments.
    pub models: Vec<MediaModel>,
}

/// What services and programs are asked with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MediaOptions {
    /// Largest file, in bytes.
    pub max_bytes: Option<u64>,
    /// Longest result, in characters.
    pub max_chars: Option<u64>,
    /// What is asked.
    pub prompt: Option<String>,
    /// How long one of them may take.
    pub timeout_seconds: Option<f64>,
    /// What is spoken in recordings.
    pub language: Option<String>,
    /// More parameters of a service of recordings, by service.
    pub provider_options: BTreeMap<String, Map<String, Value>>,
    /// More parameters of Deepgram.
    pub deepgram: Map<String, Value>,
    /// Another server.
    pub base_url: Option<String>,
    /// More headers, under names in any case.
    pub headers: StringMap,
}

impl MediaOptions {
    /// Returns these, completed by those of the section.
    pub fn over(&self, section: &Self) -> Self {
        let text = |own: &Option<String>, shared: &Option<String>| {
            own.as_deref().and_then(unless_blank).or(shared.as_deref().and_then(unless_blank)).map(str::to_owned)
        };
        let mut provider_options = section.provider_options.clone();
        for (provider, own) in &self.provider_options {
            provider_options.entry(provider.clone()).or_default().extend(own.clone());
        }
        let headers = section.headers.iter().chain(&self.headers);
        Self {
            max_bytes: self.max_bytes.or(section.max_bytes),
            max_chars: self.max_chars.or(section.max_chars),
            prompt: text(&self.prompt, &section.prompt),
            timeout_seconds: self.timeout_seconds.or(section.timeout_seconds),
            language: text(&self.language, &section.language),
            provider_options,
            deepgram: section.deepgram.iter().chain(&self.deepgram).map(|(k, v)| (k.clone(), v.clone())).collect(),
            base_url: text(&self.base_url, &section.base_url),
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.clone())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_entry_says_more_than_its_section() {
        let tools: MediaTools = serde_json::from_value(json!({
            "image": {"prompt": "What?", "maxChars": 9, "headers": {"X-A": "1", "x-b": "1"}, "timeoutSeconds": 5,
                "providerOptions": {"p": {"a": 1, "b": 1}},
                "models": [{"provider": "p", "prompt": " ", "maxChars": 3, "headers": {"x-a": "2"},
                    "providerOptions": {"p": {"b": 2}}}]},
        }))
        .expect("tools.media");
        let section = tools.section(Medium::Image);
        let merged = section.models[0].options.over(&section.options);
        assert_eq!(
            (merged.prompt.as_deref(), merged.max_chars, merged.timeout_seconds),
            (Some("What?"), Some(3), Some(5.0))
        );
        assert_eq!(merged.headers, StringMap::from([("x-a".into(), "2".into()), ("x-b".into(), "1".into())]));
        assert_eq!(json!(merged.provider_options), json!({"p": {"a": 1, "b": 2}}));
        assert_eq!(Medium::of_mime("video/mp4"), Some(Medium::Video));
        assert_eq!((Medium::of_mime("application/pdf"), Medium::of_mime("imagex/png")), (None, None));
    }
}
