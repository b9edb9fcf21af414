//! The recordings, pictures and films of a message, put into words where somebody can (channels.md §5, agent.md §26).
//!
//! Comes after the gates, so that nothing of a stranger's or of an unmeant message is sent to anybody; pictures are left to
//! models that look at them themselves. A message's files are put into words on this thread and a few beside it. Not here:
//! who puts them into words (`agent::understanding`).

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::files::Files;
use super::handle::{Chat, kind_of};
use super::pump::WORKERS_MAX;
use super::routing::Place;
use crate::agent::sessions::Entry;
use crate::agent::understanding::{self, Interpreter, Programs};
use crate::base::cancel::CancelToken;
use crate::base::thread::STACK_WORKER_BYTES;
use crate::channels::inbound::{Inbound, MediaKind, MediaRef};
use crate::config::types::{Config, Medium};

/// How long all files of a message may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// Messages whose files are put into words at a time, and files of each of them, unless configured, and at most: the other
/// workers of the pump stay free for everybody else.
const AT_A_TIME: u64 = 2;
const AT_A_TIME_MAX: u64 = WORKERS_MAX as u64 - 1;

fn at_a_time(config: &Config) -> u64 {
    config.tools.media.concurrency.unwrap_or(AT_A_TIME).clamp(1, AT_A_TIME_MAX)
}

/// How many messages' files are being put into words, and by which programs that may be.
#[derive(Debug, Default)]
pub struct Busy {
    count: Arc<AtomicU64>,
    programs: Programs,
}

/// The leave to put a message's files of some kinds into words; gives its place back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Leave {
    kinds: Vec<Medium>,
    count: Option<Arc<AtomicU64>>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        if let Some(count) = &self.count {
            count.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Leave {
    /// Asks for leave; `None` when too many others have it and the message must come again.
    pub(super) fn of(chat: &Chat<'_>, message: &Inbound, place: &Place) -> Option<Self> {
        let has = |medium: Medium| message.media.iter().any(|file| medium_of(file) == Some(medium));
        let (channel, kind) = (chat.channel.info().id, kind_of(message).as_str());
        let is_wanted = |medium: &Medium| {
            has(*medium)
                && understanding::is_wanted(chat.config, *medium, channel, kind, &place.session)
                && (*medium != Medium::Image || !is_seen(chat, place))
        };
        let kinds: Vec<Medium> = Medium::ALL.into_iter().filter(is_wanted).collect();
        if kinds.is_empty() {
            return Some(Self::default());
        }
        let most = at_a_time(chat.config);
        let count = chat.cx.chats.understanding.count.clone();
        let next = |count: u64| (count < most).then_some(count + 1);
        count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).ok()?;
        Some(Self { kinds, count: Some(count) })
    }
}

/// Returns whether the session's model looks at pictures itself.
fn is_seen(chat: &Chat<'_>, place: &Place) -> bool {
    understanding::sees(chat.config, &place.agent, chat.cx.sessions.entry(&place.session).as_ref())
}

/// Returns what a file is, as its network says: there is nothing else yet.
fn medium_of(file: &MediaRef) -> Option<Medium> {
    match (file.mime.as_deref().and_then(Medium::of_mime), file.kind) {
        (Some(medium), _) => Some(medium),
        (None, MediaKind::Image | MediaKind::Sticker) => Some(Medium::Image),
        (None, MediaKind::Audio) => Some(Medium::Audio),
        (None, MediaKind::Video) => Some(Medium::Video),
        (None, MediaKind::Document) => None,
    }
}

/// What a message's files say and show.
#[derive(Debug, Default)]
pub(super) struct Understood {
    /// Kinds, places among the message's files, and the words; kinds together.
    words: Vec<(Medium, usize, String)>,
}

impl Understood {
    /// Has the files of a message put into words.
    pub(super) fn of(chat: &Chat<'_>, place: &Place, entry: Option<&Entry>, files: &Files, leave: &Leave) -> Self {
        let chosen = |medium: &Medium| {
            let is_one = |(_, mime): &(String, Option<String>)| {
                mime.as_deref().and_then(Medium::of_mime).is_some_and(|its| its == *medium)
            };
            let places: Vec<usize> = (0..files.saved.len()).filter(|&at| is_one(&files.saved[at])).collect();
            let chosen = understanding::chosen(chat.config, *medium, places.len()).into_iter();
            chosen.map(|at| (*medium, places[at])).collect::<Vec<_>>()
        };
        let tasks: Vec<(Medium, usize)> = leave.kinds.iter().flat_map(chosen).collect();
        if tasks.is_empty() {
            return Self::default();
        }
        let cancel = CancelToken::new();
        cancel.set_deadline(Instant::now() + PATIENCE);
        let interpreter = Interpreter {
            config: chat.config,
            paths: chat.at.paths,
            agent: &place.agent,
            entry,
            clock: &*chat.cx.clock,
            rng: &*chat.cx.rng,
            programs: &chat.cx.chats.understanding.programs,
            cancel: &cancel,
        };
        let most = usize::try_from(at_a_time(chat.config)).unwrap_or(1);
        let words = at_once(tasks.len(), most, |task| {
            let (medium, at) = tasks[task];
            let (path, mime) = &files.saved[at];
            interpreter.words(medium, Path::new(path), mime.as_deref()).map(|words| (medium, at, words))
        });
        Self { words: words.into_iter().flatten().collect() }
    }

    /// Takes out of a message's files what are words now; returns those that are to be told of as files.
    pub(super) fn take_from(&self, files: &mut Files) -> Vec<(String, Option<String>)> {
        let is_left = |at: usize| self.words.iter().all(|(_, its, _)| *its != at);
        files.images.retain(|(at, _)| at.is_none_or(is_left));
        (0..files.saved.len()).filter(|at| is_left(*at)).map(|at| files.saved[at].clone()).collect()
    }

    /// Returns a message as it reads with those words; `None` when there are none.
    pub(super) fn message(&self, message: &Inbound) -> Option<Inbound> {
        (!self.words.is_empty()).then(|| Inbound { text: self.text(message.text.trim()), ..message.clone() })
    }

    fn text(&self, typed: &str) -> String {
        let is_one = self.words.len() == 1;
        let mut sections: Vec<String> = Vec::new();
        if !is_one && !typed.is_empty() {
            sections.push(format!("User text:\n{typed}"));
        }
        for medium in Medium::ALL {
            let (title, label) = match medium {
                Medium::Image => ("Image", "Description"),
                Medium::Audio => ("Audio", "Transcript"),
                Medium::Video => ("Video", "Description"),
            };
            let words: Vec<&str> = self.of_kind(medium).collect();
            for (at, text) in words.iter().enumerate() {
                let number = if words.len() > 1 { format!(" {}/{}", at + 1, words.len()) } else { String::new() };
                let user = if is_one && !typed.is_empty() { format!("User text:\n{typed}\n") } else { String::new() };
                sections.push(format!("[{title}{number}]\n{user}{label}:\n{text}"));
            }
        }
        sections.join("\n\n")
    }

    fn of_kind(&self, medium: Medium) -> impl Iterator<Item = &str> {
        self.words.iter().filter(move |(its, ..)| *its == medium).map(|(.., words)| words.as_str())
    }

    /// Returns what counts as typed when nothing was: commands are read from what was spoken.
    pub(super) fn said(&self) -> Option<String> {
        let spoken: Vec<&str> = self.of_kind(Medium::Audio).collect();
        match spoken.as_slice() {
            [] => None,
            [words] => Some((*words).to_owned()),
            many => {
                let words = many.iter().enumerate().map(|(at, words)| format!("Audio {}:\n{words}", at + 1));
                Some(words.collect::<Vec<_>>().join("\n\n"))
            }
        }
    }
}

/// Does `count` pieces of work, `most` at a time; returns what they gave, in order.
fn at_once<T: Send>(count: usize, most: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let take = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return;
            }
            let gave = work(at);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, gave));
        }
    };
    std::thread::scope(|scope| {
        for number in 1..most.min(count) {
            let helper = std::thread::Builder::new().name(format!("words-{number}")).stack_size(STACK_WORKER_BYTES);
            // Without a thread this one does it all.
            let _ = helper.spawn_scoped(scope, take);
        }
        take();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, gave)| gave).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_in_sections() {
        let (image, audio, video) = (Medium::Image, Medium::Audio, Medium::Video);
        let text = |typed: &str, words: &[(Medium, &str)]| {
            let words = words.iter().enumerate().map(|(at, (medium, words))| (*medium, at, (*words).to_owned()));
            Understood { words: words.collect() }.text(typed)
        };
        assert_eq!(text("", &[(image, "a cat")]), "[Image]\nDescription:\na cat");
        assert_eq!(text("who?", &[(video, "a cat")]), "[Video]\nUser text:\nwho?\nDescription:\na cat");
        assert_eq!(
            text("who?", &[(image, "a cat"), (image, "a dog"), (audio, "hi")]),
            "User text:\nwho?\n\n[Image 1/2]\nDescription:\na cat\n\n[Image 2/2]\nDescription:\na dog\n\n[Audio]\nTranscript:\nhi"
        );
        let understood = |words| Understood { words };
        assert_eq!(understood(vec![(image, 0, "a cat".to_owned())]).said(), None);
        let spoken = vec![(audio, 0, "one".to_owned()), (audio, 1, "two".to_owned())];
        assert_eq!(understood(spoken).said().as_deref(), Some("Audio 1:\none\n\nAudio 2:\ntwo"));
    }

    #[test]
    fn so_many_at_once_and_all_in_order() {
        let (now, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let together = std::sync::Barrier::new(2);
        let gave = at_once(4, 2, |at| {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            together.wait();
            now.fetch_sub(1, Ordering::SeqCst);
            at * 10
        });
        assert_eq!((gave, peak.into_inner()), (vec![0, 10, 20, 30], 2));
        assert_eq!(at_once(0, 2, |at| at), Vec::<usize>::new());
    }
}
