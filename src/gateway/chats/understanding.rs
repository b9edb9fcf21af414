//! The recordings, pictures, films and links of a message, put into words where somebody can (channels.md §5, agent.md §26).
//!
//! Comes after the gates, so that nothing of a stranger's or of an unmeant message is sent to anybody; pictures are left to
//! models that look at them themselves. A message's files are put into words on this thread and a few beside it. Not here:
//! who puts them into words (`agent::understanding`).

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::files::Files;
use super::handle::{Chat, kind_of};
use super::pump::{WORKERS_MAX, is_command};
use super::routing::Place;
use crate::agent::sessions::Entry;
use crate::agent::understanding::{self, Interpreter, Outcome, Programs};
use crate::base::ids::SessionKey;
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

/// Sessions of which it is remembered what became of the last files.
const SESSIONS_MAX: usize = 200;

/// How many messages' files are being put into words, by which programs that may be, and what became of earlier ones.
#[derive(Debug, Default)]
pub struct State {
    count: Arc<AtomicU64>,
    programs: Programs,
    became: Mutex<VecDeque<(SessionKey, String)>>,
}

impl State {
    /// Returns what became of the last files of a session, for people.
    pub fn of(&self, session: &SessionKey) -> Option<String> {
        let became = self.became.lock().unwrap_or_else(PoisonError::into_inner);
        became.iter().find(|(its, _)| its == session).map(|(_, line)| line.clone())
    }

    fn remember(&self, session: &SessionKey, line: String) {
        let mut became = self.became.lock().unwrap_or_else(PoisonError::into_inner);
        became.retain(|(its, _)| its != session);
        if became.len() == SESSIONS_MAX {
            became.pop_front();
        }
        became.push_back((session.clone(), line));
    }
}

/// The leave to put a message's files of some kinds and its links into words; gives its place back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Leave {
    /// The kinds of files that there are; why those of a kind are left as they are.
    kinds: Vec<(Medium, Option<&'static str>)>,
    links: Vec<String>,
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
        let refusal = |medium: Medium| {
            let refused = understanding::refusal(chat.config, medium, channel, kind, &place.session);
            let is_seen = || medium == Medium::Image && is_seen(chat, place);
            refused.or_else(|| is_seen().then_some("skipped (the model sees it)"))
        };
        let kinds = Medium::ALL.into_iter().filter(|medium| has(*medium));
        let kinds: Vec<_> = kinds.map(|medium| (medium, refusal(medium))).collect();
        let links = if is_command(message) {
            Vec::new()
        } else {
            understanding::links_in(&message.text, chat.config, channel, kind, &place.session)
        };
        if links.is_empty() && kinds.iter().all(|(_, refusal)| refusal.is_some()) {
            return Some(Self { kinds, links, count: None });
        }
        let most = at_a_time(chat.config);
        let count = chat.cx.chats.understanding.count.clone();
        let next = |count: u64| (count < most).then_some(count + 1);
        count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).ok()?;
        Some(Self { kinds, links, count: Some(count) })
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
    /// What programs say about the links.
    links: Vec<String>,
}

impl Understood {
    /// Has the files and the links of a message put into words.
    pub(super) fn of(chat: &Chat<'_>, place: &Place, entry: Option<&Entry>, files: &Files, leave: &Leave) -> Self {
        let chosen = |medium: &Medium| {
            let is_one = |(_, mime): &(String, Option<String>)| {
                mime.as_deref().and_then(Medium::of_mime).is_some_and(|its| its == *medium)
            };
            let places: Vec<usize> = (0..files.saved.len()).filter(|&at| is_one(&files.saved[at])).collect();
            let chosen = understanding::chosen(chat.config, *medium, places.len()).into_iter();
            chosen.map(|at| (*medium, places[at])).collect::<Vec<_>>()
        };
        if leave.kinds.is_empty() && leave.links.is_empty() {
            return Self::default();
        }
        let wanted = leave.kinds.iter().filter(|(_, refusal)| refusal.is_none());
        let tasks: Vec<(Medium, usize)> = wanted.flat_map(|(medium, _)| chosen(medium)).collect();
        let cancel = chat.cx.lifecycle.stopping().within(PATIENCE);
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
        let outcomes = at_once(tasks.len(), most, |task| {
            let (medium, at) = tasks[task];
            let (path, mime) = &files.saved[at];
            (medium, at, interpreter.interpret(medium, Path::new(path), mime.as_deref()))
        });
        let line = line(&leave.kinds, &outcomes);
        if !line.is_empty() {
            chat.cx.chats.understanding.remember(&place.session, line);
        }
        let words = outcomes.into_iter().filter_map(|(medium, at, outcome)| match outcome {
            Outcome::Words { text, .. } => Some((medium, at, text)),
            Outcome::Nothing(_) => None,
        });
        let links = at_once(leave.links.len(), most, |at| interpreter.link(&leave.links[at]));
        Self { words: words.collect(), links: links.into_iter().flatten().collect() }
    }

    /// Returns a message's text with what its links lead to.
    pub(super) fn with_links(&self, text: String) -> String {
        if self.links.is_empty() { text } else { format!("{text}\n\n{}", self.links.join("\n")) }
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

/// Returns what became of a message's files, for people.
fn line(kinds: &[(Medium, Option<&'static str>)], outcomes: &[(Medium, usize, Outcome)]) -> String {
    let part = |(medium, refusal): &(Medium, Option<&'static str>)| {
        let kind = medium.as_str();
        if let Some(refusal) = refusal {
            return Some(format!("{kind} {refusal}"));
        }
        let its: Vec<&Outcome> = outcomes.iter().filter(|(of, ..)| of == medium).map(|(.., outcome)| outcome).collect();
        let count = if its.len() > 1 { format!(" x{}", its.len()) } else { String::new() };
        let by = its.iter().find_map(|outcome| match outcome {
            Outcome::Words { by, .. } => Some(by),
            Outcome::Nothing(_) => None,
        });
        Some(match (by, its.first()?) {
            (Some(by), _) => format!("{kind}{count} ok ({by})"),
            (None, Outcome::Nothing(Some(why))) => format!("{kind}{count} skipped ({why})"),
            (None, _) => format!("{kind}{count} skipped"),
        })
    };
    kinds.iter().filter_map(part).collect::<Vec<_>>().join(" · ")
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
            Understood { words: words.collect(), links: Vec::new() }.text(typed)
        };
        assert_eq!(text("", &[(image, "a cat")]), "[Image]\nDescription:\na cat");
        assert_eq!(text("who?", &[(video, "a cat")]), "[Video]\nUser text:\nwho?\nDescription:\na cat");
        assert_eq!(
            text("who?", &[(image, "a cat"), (image, "a dog"), (audio, "hi")]),
            "User text:\nwho?\n\n[Image 1/2]\nDescription:\na cat\n\n[Image 2/2]\nDescription:\na dog\n\n[Audio]\nTranscript:\nhi"
        );
        let understood = |words| Understood { words, links: Vec::new() };
        assert_eq!(understood(vec![(image, 0, "a cat".to_owned())]).said(), None);
        let spoken = vec![(audio, 0, "one".to_owned()), (audio, 1, "two".to_owned())];
        assert_eq!(understood(spoken).said().as_deref(), Some("Audio 1:\none\n\nAudio 2:\ntwo"));
    }

    #[test]
    fn what_became_of_files_is_one_line() {
        let (image, audio, video) = (Medium::Image, Medium::Audio, Medium::Video);
        let kinds = [(image, None), (audio, None), (video, Some("denied"))];
        let outcomes = [
            (image, 0, Outcome::Nothing(Some("timeout"))),
            (image, 1, Outcome::Words { text: "a cat".into(), by: "cli/sees".into() }),
            (audio, 2, Outcome::Nothing(Some("maxBytes"))),
        ];
        assert_eq!(line(&kinds, &outcomes), "image x2 ok (cli/sees) · audio skipped (maxBytes) · video denied");
        assert_eq!(line(&kinds[..1], &[(image, 0, Outcome::Nothing(None))]), "image skipped");
        assert_eq!(line(&kinds[..1], &[]), "", "it did not arrive");
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
