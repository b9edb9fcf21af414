//! `tools.media`: how recordings are put into words.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{SendPolicy, StringMap};

/// `tools.media`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MediaTools {
    /// Services and programs for several kinds.
    pub models: Vec<MediaModel>,
    /// Messages at a time, default 2.
    pub concurrency: Option<u64>,
    /// Recordings.
    pub audio: MediaKind,
}

/// `tools.media.audio`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MediaKind {
    /// Whether it is done, default true where something can do it.
    pub enabled: Option<bool>,
    /// In which chats; the first rule that applies decides.
    pub scope: Option<SendPolicy>,
    /// Largest file, in bytes.
    pub max_bytes: Option<u64>,
    /// Longest result, in characters.
    pub max_chars: Option<u64>,
    /// What a service is told.
    pub prompt: Option<String>,
    /// How long one of them may take.
    pub timeout_seconds: Option<f64>,
    /// What is spoken.
    pub language: Option<String>,
    /// More parameters, by service.
    pub provider_options: BTreeMap<String, Map<String, Value>>,
    /// More parameters of Deepgram.
    pub deepgram: Map<String, Value>,
    /// Another server.
    pub base_url: Option<String>,
    /// More headers.
    pub headers: StringMap,
    /// Which of several files.
    pub attachments: MediaAttachments,
    /// Services and programs, in order.
    pub models: Vec<MediaModel>,
}

/// `tools.media.audio.attachments`.
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
    /// As in the section.
    pub prompt: Option<String>,
    /// As in the section.
    pub max_chars: Option<u64>,
    /// As in the section.
    pub max_bytes: Option<u64>,
    /// As in the section.
    pub timeout_seconds: Option<f64>,
    /// As in the section.
    pub language: Option<String>,
    /// As in the section.
    pub provider_options: BTreeMap<String, Map<String, Value>>,
    /// As in the section.
    pub deepgram: Map<String, Value>,
    /// As in the section.
    pub base_url: Option<String>,
    /// As in the section.
    pub headers: StringMap,
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
