//! Recordings into words: what a voice note says, by a service or a program of this machine (`tools.media.audio`).
//!
//! Whoever is configured is asked in order, else whoever could be: the provider of the agent's model, a program that is
//! installed, a provider for which there is a key. The first that says something counts; when none does, the message is
//! answered without. Runs on the caller's thread and ends with its token. Not here: which files of a message, and how the
//! words are told (`gateway::chats`); pictures and films, which models look at themselves.

mod program;
mod service;

use std::path::Path;
use std::time::Duration;

use self::program::Program;
use self::service::Service;
use crate::agent::credentials::Wallet;
use crate::agent::models;
use crate::agent::sessions::Entry;
use crate::base::cancel::CancelToken;
use crate::base::clock::Clock;
use crate::base::ids::{AgentId, SessionKey};
use crate::base::rng::Rng;
use crate::base::text::unless_blank;
use crate::config::paths::Paths;
use crate::config::types::{Config, MediaKind, MediaModel};

/// Largest recording, unless configured.
const BYTES_MAX: u64 = 20 * 1024 * 1024;
/// How long one service or program may take, unless configured.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest text that is kept, whatever is configured, in characters.
const CHARS_MAX: usize = 50_000;
/// How the names of directories begin, within [`Paths::media_dir`], in which a program puts sound into words.
pub const HEARING: &str = "hearing-";
/// What services are told, unless configured.
const PROMPT: &str = "Transcribe the audio.";
/// Services and programs that are asked about one recording.
const ENTRIES_MAX: usize = 8;
/// Recordings of one message.
const RECORDINGS_MAX: u64 = 10;

/// Who wants to know, and what of.
pub struct Listener<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// Where files are.
    pub paths: &'a Paths,
    /// Whose message it is.
    pub agent: &'a AgentId,
    /// Its session's entry.
    pub entry: Option<&'a Entry>,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// Randomness.
    pub rng: &'a dyn Rng,
    /// Ends it.
    pub cancel: &'a CancelToken,
}

/// Returns whether recordings of a chat are put into words. `chat`: direct, group or channel.
pub fn is_wanted(config: &Config, channel: &str, chat: &str, session: &SessionKey) -> bool {
    let audio = &config.tools.media.audio;
    if audio.enabled == Some(false) {
        return false;
    }
    let Some(scope) = &audio.scope else { return true };
    let is = |wanted: &Option<String>, have: &str| {
        wanted.as_deref().and_then(unless_blank).is_none_or(|wanted| wanted.eq_ignore_ascii_case(have))
    };
    let rule = scope.rules.iter().find(|rule| {
        let start = rule.matches.key_prefix.as_deref().map(|start| start.trim().to_lowercase());
        is(&rule.matches.channel, channel)
            && is(&rule.matches.chat_type, chat)
            && start.is_none_or(|start| session.as_str().starts_with(&start))
    });
    rule.map(|rule| rule.action.as_str()).or(scope.default.as_deref()) != Some("deny")
}

/// Chooses among so many recordings of one message; returns their places.
pub fn chosen(config: &Config, count: usize) -> Vec<usize> {
    let which = &config.tools.media.audio.attachments;
    let most = match which.mode.as_deref() {
        Some("all") => which.max_attachments.unwrap_or(1).clamp(1, RECORDINGS_MAX),
        _ => 1,
    };
    let places = 0..count;
    let most = usize::try_from(most).unwrap_or(1);
    if which.prefer.as_deref() == Some("last") {
        places.rev().take(most).collect()
    } else {
        places.take(most).collect()
    }
}

impl Listener<'_> {
    /// Returns what a recording says; `None` when nobody can tell, which is logged.
    pub fn words(&self, file: &Path, mime: Option<&str>) -> Option<String> {
        let entries = self.entries();
        for entry in entries.iter().take(ENTRIES_MAX) {
            let limits = Limits::of(&self.config.tools.media.audio, entry);
            let said = limits.check(file).and_then(|()| match entry.is_program() {
                true => Program::new(entry, self)?.run(file, &limits),
                false => Service::new(entry, self)?.ask(file, mime, &limits),
            });
            match said.map(|text| limits.cut(&text)) {
                Ok(Some(text)) => return Some(text),
                Ok(None) => log::info!(target: "agent", "{} heard nothing in a recording", name(entry)),
                Err(why) => log::warn!(target: "agent", "{} did not put a recording into words: {why}", name(entry)),
            }
            if self.cancel.is_cancelled() {
                break;
            }
        }
        None
    }

    /// Returns whom to ask, in order: who is configured, else who could be.
    fn entries(&self) -> Vec<MediaModel> {
        let media = &self.config.tools.media;
        let is_for_audio = |capabilities: &[String]| capabilities.iter().any(|it| it == "audio");
        let own = media.audio.models.iter();
        let own = own.filter(|entry| entry.capabilities.is_empty() || is_for_audio(&entry.capabilities));
        let shared = media.models.iter().filter(|entry| match entry.capabilities.is_empty() {
            false => is_for_audio(&entry.capabilities),
            // What is there for all kinds says so, or is a service that is known for it.
            true => !entry.is_program() && entry.provider.as_deref().is_some_and(service::is_for_audio),
        });
        let configured: Vec<MediaModel> = own.chain(shared).cloned().collect();
        if !configured.is_empty() {
            return configured;
        }
        let of = |provider: &str| MediaModel { provider: Some(provider.to_owned()), ..MediaModel::default() };
        let wallet = Wallet::open(self.config, self.paths, self.agent, self.clock.now_ms());
        let model = models::resolve(self.config, self.agent, self.entry, None).ok();
        let own = model.map(|model| model.provider).filter(|own| service::can(self.config, &wallet, own));
        let installed = || program::installed(&|name| std::env::var(name).ok());
        let known = || service::KNOWN.iter().find(|known| service::can(self.config, &wallet, known));
        let first = own.as_deref().map(of).or_else(installed).or_else(|| known().map(|known| of(known)));
        first.into_iter().collect()
    }
}

fn name(entry: &MediaModel) -> String {
    let (kind, model) = match entry.is_program() {
        true => (entry.command.as_deref(), None),
        false => (entry.provider.as_deref(), entry.model.as_deref()),
    };
    let model = model.map(|model| format!("/{model}")).unwrap_or_default();
    format!("{}{model}", kind.unwrap_or("a nameless entry of tools.media"))
}

/// What one of them may take.
pub(super) struct Limits {
    bytes_max: u64,
    chars_max: usize,
    patience: Duration,
}

impl Limits {
    fn of(section: &MediaKind, entry: &MediaModel) -> Self {
        let chars_max = entry.max_chars.or(section.max_chars).and_then(|chars| usize::try_from(chars).ok());
        let seconds = entry.timeout_seconds.or(section.timeout_seconds).filter(|seconds| (0.0..1e6).contains(seconds));
        Self {
            bytes_max: entry.max_bytes.or(section.max_bytes).unwrap_or(BYTES_MAX),
            chars_max: chars_max.unwrap_or(CHARS_MAX).min(CHARS_MAX),
            patience: seconds.map_or(PATIENCE, |seconds| Duration::from_secs_f64(seconds.max(1.0))),
        }
    }

    fn check(&self, file: &Path) -> Result<(), String> {
        let size = std::fs::metadata(file).map_err(|error| format!("{}: {error}", file.display()))?.len();
        if size > self.bytes_max {
            return Err(format!("it has {size} bytes; {} may have been (maxBytes)", self.bytes_max));
        }
        Ok(())
    }

    fn cut(&self, text: &str) -> Option<String> {
        let kept: String = text.trim().chars().take(self.chars_max).collect();
        unless_blank(&kept).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scopes_and_choices() {
        let wanted = |audio: serde_json::Value, chat: &str| {
            let config = Config::of(json!({"tools": {"media": {"audio": audio}}}));
            is_wanted(&config, "telegram", chat, &SessionKey::new("agent:main:main"))
        };
        assert!(wanted(json!({}), "direct") && !wanted(json!({"enabled": false}), "direct"));
        let direct_only =
            json!({"scope": {"default": "deny", "rules": [{"action": "allow", "match": {"chatType": "direct"}}]}});
        assert!(wanted(direct_only.clone(), "direct") && !wanted(direct_only, "group"));
        let not_here = json!({"scope": {"rules": [{"action": "deny", "match": {"channel": "Telegram", "keyPrefix": "agent:main"}}]}});
        assert!(!wanted(not_here, "group"));
        let places = |attachments: serde_json::Value, count| {
            chosen(&Config::of(json!({"tools": {"media": {"audio": {"attachments": attachments}}}})), count)
        };
        assert_eq!((places(json!({}), 3), places(json!({}), 0)), (vec![0], vec![]));
        assert_eq!(places(json!({"mode": "all", "maxAttachments": 2, "prefer": "last"}), 3), [2, 1]);
    }
}
