//! What people send, in words: what a voice note says and what a picture or a film shows, by a service or a program of this
//! machine (`tools.media`), and what links lead to, by a program (`tools.links`).
//!
//! Whoever is configured is asked in order, else whoever could be (`choice`). The first that says something counts; when
//! none does, the message is answered without. Runs on the caller's thread and ends with its token. Not here: which files
//! of a message, and how the words are told (`gateway::chats`); models that look at pictures themselves.

mod choice;
mod links;
mod program;
mod service;
mod sight;

use std::path::Path;
use std::time::Duration;

pub use self::links::in_text as links_in;
use self::program::Program;
pub use self::program::Programs;
use self::service::Service;
use super::credentials::Wish;
use super::models;
use super::session;
use super::sessions::Entry;
use crate::base::cancel::CancelToken;
use crate::base::clock::Clock;
use crate::base::ids::{AgentId, SessionKey};
use crate::base::rng::Rng;
use crate::base::text::unless_blank;
use crate::config::paths::Paths;
use crate::config::types::{Config, MediaModel, MediaOptions, Medium, SendPolicy};

const MB: u64 = 1024 * 1024;
/// Longest text that is kept, whatever is configured, in characters.
const CHARS_MAX: usize = 50_000;
/// Longest description, unless configured, in characters.
const DESCRIPTION_CHARS: u64 = 500;
/// How the names of directories begin, within [`Paths::media_dir`], in which a program puts a file into words.
pub const SCRATCH: &str = "understanding-";
/// Services and programs that are asked about one file.
const ENTRIES_MAX: usize = 8;
/// Files of one kind of one message.
const FILES_MAX: u64 = 10;

/// What holds for a kind unless configured: largest file, patience, and what is asked.
fn defaults(medium: Medium) -> (u64, Duration, &'static str) {
    let (megabytes, seconds, prompt) = match medium {
        Medium::Image => (10, 60, super::looking::PROMPT),
        Medium::Audio => (20, 60, "Transcribe the audio."),
        Medium::Video => (50, 120, "Describe the video."),
    };
    (megabytes * MB, Duration::from_secs(seconds), prompt)
}

/// Who wants to know, and what of.
pub struct Interpreter<'a> {
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
    /// What is known of this machine's programs.
    pub programs: &'a Programs,
    /// Ends it.
    pub cancel: &'a CancelToken,
}

/// What came of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its words.
    Words {
        /// They.
        text: String,
        /// Who found them, for people; never a path.
        by: String,
    },
    /// There are none; why, in a word or two, unless there was nobody to ask.
    Nothing(Option<&'static str>),
}

/// Why one service or program found no words.
struct Failure {
    /// For people in chats.
    short: &'static str,
    /// For the log.
    text: String,
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self { short: "failed", text }
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Returns why files of a kind are not put into words in a chat: `off` or `denied`; `None` when they are. `chat`: direct,
/// group or channel.
pub fn refusal(
    config: &Config,
    medium: Medium,
    channel: &str,
    chat: &str,
    session: &SessionKey,
) -> Option<&'static str> {
    let section = config.tools.media.section(medium);
    if section.enabled == Some(false) {
        return Some("off");
    }
    (!is_allowed(section.scope.as_ref(), channel, chat, session)).then_some("denied")
}

fn is_allowed(scope: Option<&SendPolicy>, channel: &str, chat: &str, key: &SessionKey) -> bool {
    let Some(scope) = scope else { return true };
    let rule = scope.rules.iter().find(|rule| session::applies(&rule.matches, Some(channel), Some(chat), key));
    rule.map(|rule| rule.action.as_str()).or(scope.default.as_deref()) != Some("deny")
}

/// Returns whether the model that answers a session looks at pictures itself, so that nobody has to describe them.
pub fn sees(config: &Config, agent: &AgentId, entry: Option<&Entry>) -> bool {
    models::chain(config, agent, entry).into_iter().find_map(Result::ok).is_some_and(|model| model.sees())
}

/// Chooses among so many files of a kind of one message; returns their places.
pub fn chosen(config: &Config, medium: Medium, count: usize) -> Vec<usize> {
    let which = &config.tools.media.section(medium).attachments;
    let most = match which.mode.as_deref() {
        Some("all") => which.max_attachments.unwrap_or(1).clamp(1, FILES_MAX),
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

impl Interpreter<'_> {
    /// Finds out what a recording says, or what a picture or a film shows; who cannot tell is logged.
    pub fn interpret(&self, medium: Medium, file: &Path, mime: Option<&str>) -> Outcome {
        let what = match medium {
            Medium::Image => "a picture",
            Medium::Audio => "a recording",
            Medium::Video => "a film",
        };
        let mut first = None;
        for entry in self.entries(medium).iter().take(ENTRIES_MAX) {
            let task = Task::of(self.config, entry, medium, file, mime);
            let said = task.check().and_then(|()| match (entry.is_program(), medium) {
                (true, _) => Program::new(entry, &task, self)?.run(),
                (false, Medium::Image) => sight::describe(entry, &task, self),
                (false, Medium::Audio | Medium::Video) => Service::new(entry, &task, self)?.ask(),
            });
            match said.map(|text| task.cut(&text)) {
                Ok(Some(text)) => return Outcome::Words { text, by: label(entry) },
                Ok(None) => {
                    first.get_or_insert("empty output");
                    log::info!(target: "agent", "{} found nothing to say about {what}", name(entry));
                }
                Err(Failure { short, text }) => {
                    first.get_or_insert(short);
                    log::warn!(target: "agent", "{} did not put {what} into words: {text}", name(entry));
                }
            }
            if self.cancel.is_cancelled() {
                break;
            }
        }
        Outcome::Nothing(first)
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

/// Names an entry for people in chats: of a program the name alone.
fn label(entry: &MediaModel) -> String {
    match entry.command.as_deref().filter(|_| entry.is_program()) {
        Some(command) => format!("cli/{}", Path::new(command).file_stem().unwrap_or_default().display()),
        None => name(entry),
    }
}

/// Returns the id of a provider as it is compared.
fn normal(provider: &str) -> String {
    let provider = models::normalize_provider(provider);
    if provider == "gemini" { "google".to_owned() } else { provider }
}

/// Returns whose credential an entry wants.
fn wish(entry: &MediaModel) -> Wish {
    match (&entry.profile, &entry.preferred_profile) {
        (Some(id), _) => Wish::Only(id.clone()),
        (None, Some(id)) => Wish::First(id.clone()),
        (None, None) => Wish::Next,
    }
}

/// One file for one service or program, and what that may take.
struct Task<'a> {
    medium: Medium,
    file: &'a Path,
    mime: Option<&'a str>,
    /// The entry's, completed by the section's.
    options: MediaOptions,
    prompt: String,
    bytes_max: u64,
    /// `None`: as much as it says.
    chars_max: Option<usize>,
    patience: Duration,
}

impl<'a> Task<'a> {
    fn of(config: &Config, entry: &MediaModel, medium: Medium, file: &'a Path, mime: Option<&'a str>) -> Self {
        let options = entry.options.over(&config.tools.media.section(medium).options);
        let (bytes_max, patience, prompt) = defaults(medium);
        let chars_max = options.max_chars.or((medium != Medium::Audio).then_some(DESCRIPTION_CHARS));
        let prompt = options.prompt.as_deref().unwrap_or(prompt);
        let prompt = match chars_max.filter(|_| medium != Medium::Audio) {
            Some(chars) => format!("{prompt} Respond in at most {chars} characters."),
            None => prompt.to_owned(),
        };
        Self {
            medium,
            file,
            mime,
            prompt,
            bytes_max: options.max_bytes.unwrap_or(bytes_max),
            chars_max: chars_max.map(|chars| usize::try_from(chars).unwrap_or(CHARS_MAX)),
            patience: seconds(options.timeout_seconds, patience),
            options,
        }
    }

    fn check(&self) -> Result<(), Failure> {
        let size = std::fs::metadata(self.file).map_err(|error| format!("{}: {error}", self.file.display()))?.len();
        if size > self.bytes_max {
            return Err(too_large(size, self.bytes_max));
        }
        Ok(())
    }

    fn cut(&self, text: &str) -> Option<String> {
        cut(text, self.chars_max.unwrap_or(CHARS_MAX).min(CHARS_MAX))
    }

    fn read(&self) -> Result<Vec<u8>, String> {
        std::fs::read(self.file).map_err(|error| format!("{}: {error}", self.file.display()))
    }

    fn too_slow(&self) -> Failure {
        too_slow(self.patience)
    }
}

fn too_slow(patience: Duration) -> Failure {
    Failure { short: "timeout", text: format!("it took longer than {patience:.0?}") }
}

fn cut(text: &str, chars_max: usize) -> Option<String> {
    let kept: String = text.trim().chars().take(chars_max).collect();
    unless_blank(&kept).map(str::to_owned)
}

fn seconds(configured: Option<f64>, default: Duration) -> Duration {
    let configured = configured.filter(|seconds| (0.0..1e6).contains(seconds));
    configured.map_or(default, |seconds| Duration::from_secs_f64(seconds.max(1.0)))
}

fn too_large(size: u64, bytes_max: u64) -> Failure {
    Failure { short: "maxBytes", text: format!("it has {size} bytes; {bytes_max} may have been (maxBytes)") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn scopes_and_choices() {
        let refused = |audio: Value, chat: &str| -> Option<&'static str> {
            let config = Config::of(json!({"tools": {"media": {"audio": audio}}}));
            let refusal = |medium| refusal(&config, medium, "telegram", chat, &SessionKey::new("agent:main:main"));
            assert_eq!(refusal(Medium::Video), None);
            refusal(Medium::Audio)
        };
        assert_eq!((refused(json!({}), "direct"), refused(json!({"enabled": false}), "direct")), (None, Some("off")));
        let direct_only =
            json!({"scope": {"default": "deny", "rules": [{"action": "allow", "match": {"chatType": "direct"}}]}});
        assert_eq!((refused(direct_only.clone(), "direct"), refused(direct_only, "group")), (None, Some("denied")));
        let not_here = json!({"scope": {"rules": [{"action": "deny", "match": {"channel": "Telegram", "keyPrefix": "agent:main"}}]}});
        assert_eq!(refused(not_here, "group"), Some("denied"));
        let places = |attachments: Value, count| {
            let config = Config::of(json!({"tools": {"media": {"image": {"attachments": attachments}}}}));
            chosen(&config, Medium::Image, count)
        };
        assert_eq!((places(json!({}), 3), places(json!({}), 0)), (vec![0], vec![]));
        assert_eq!(places(json!({"mode": "all", "maxAttachments": 2, "prefer": "last"}), 3), [2, 1]);
    }

    #[test]
    fn tasks_have_the_limits_of_their_kind() {
        let config = Config::of(json!({"tools": {"media": {
            "video": {"maxBytes": 7, "timeoutSeconds": 0.1, "prompt": "What happens?", "maxChars": 3},
        }}}));
        let task = |medium| Task::of(&config, &MediaModel::default(), medium, Path::new("/x"), None);
        let of = |medium| {
            let task = task(medium);
            (task.prompt, task.bytes_max, task.chars_max, task.patience.as_secs())
        };
        let described = "Describe the image. Respond in at most 500 characters.".to_owned();
        assert_eq!(of(Medium::Image), (described, 10 * MB, Some(500), 60));
        assert_eq!(of(Medium::Audio), ("Transcribe the audio.".to_owned(), 20 * MB, None, 60));
        let film = "What happens? Respond in at most 3 characters.".to_owned();
        assert_eq!(of(Medium::Video), (film, 7, Some(3), 1));
        assert_eq!(task(Medium::Video).cut("  äöüß "), Some("äöü".to_owned()));
    }
}
