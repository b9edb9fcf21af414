//! The recordings of a message, put into words where somebody can (channels.md §5, agent.md §26).
//!
//! Comes after the gates, so that nothing of a stranger's or of an unmeant message is sent to anybody. Not here: who puts
//! them into words (`agent::transcribe`).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::files::Files;
use super::handle::{Chat, kind_of};
use super::pump::WORKERS_MAX;
use super::routing::Place;
use crate::agent::sessions::Entry;
use crate::agent::transcribe::{self, Listener};
use crate::base::cancel::CancelToken;
use crate::channels::inbound::{Inbound, MediaKind};

/// How long all recordings of a message may take.
const PATIENCE: Duration = Duration::from_secs(150);

/// Messages whose recordings are put into words at a time, unless configured, and at most: the other workers of the pump stay
/// free for everybody else.
const AT_A_TIME: u64 = 2;
const AT_A_TIME_MAX: u64 = WORKERS_MAX as u64 - 1;

/// How many messages' recordings are being put into words.
#[derive(Debug, Default)]
pub struct Busy(Arc<AtomicU64>);

/// The leave to put a message's recordings into words; gives its place back when it is dropped.
#[derive(Debug)]
pub(super) struct Leave(Option<Arc<AtomicU64>>);

impl Drop for Leave {
    fn drop(&mut self) {
        if let Some(busy) = &self.0 {
            busy.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Asks for leave; `None` when too many others have it and the message must come again.
pub(super) fn leave(chat: &Chat<'_>, message: &Inbound, place: &Place) -> Option<Leave> {
    let has_recording = message.media.iter().any(|media| {
        media.kind == MediaKind::Audio || media.mime.as_deref().is_some_and(|mime| mime.starts_with("audio/"))
    });
    let kind = kind_of(message).as_str();
    if !has_recording || !transcribe::is_wanted(chat.config, chat.channel.info().id, kind, &place.session) {
        return Some(Leave(None));
    }
    let most = chat.config.tools.media.concurrency.unwrap_or(AT_A_TIME).clamp(1, AT_A_TIME_MAX);
    let busy = chat.cx.chats.hearing.0.clone();
    let next = |count: u64| (count < most).then_some(count + 1);
    busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).ok()?;
    Some(Leave(Some(busy)))
}

/// What recordings say.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Places among the message's files, and the words.
    words: Vec<(usize, String)>,
}

impl Heard {
    /// Has the recordings of a message put into words.
    pub(super) fn of(chat: &Chat<'_>, place: &Place, entry: Option<&Entry>, files: &Files, leave: &Leave) -> Self {
        let is_recording =
            |(_, mime): &(String, Option<String>)| mime.as_deref().is_some_and(|mime| mime.starts_with("audio/"));
        let recordings: Vec<usize> = (0..files.saved.len()).filter(|&at| is_recording(&files.saved[at])).collect();
        if recordings.is_empty() || leave.0.is_none() {
            return Self::default();
        }
        let cancel = CancelToken::new();
        cancel.set_deadline(Instant::now() + PATIENCE);
        let listener = Listener {
            config: chat.config,
            paths: chat.at.paths,
            agent: &place.agent,
            entry,
            clock: &*chat.cx.clock,
            rng: &*chat.cx.rng,
            cancel: &cancel,
        };
        let mut chosen: Vec<usize> =
            transcribe::chosen(chat.config, recordings.len()).into_iter().map(|at| recordings[at]).collect();
        chosen.sort_unstable();
        let words = |at: usize| {
            let (path, mime) = &files.saved[at];
            Some((at, listener.words(Path::new(path), mime.as_deref())?))
        };
        Self { words: chosen.into_iter().filter_map(words).collect() }
    }

    /// Returns the files that are to be told of as files: not those that are words now.
    pub(super) fn left(&self, files: &Files) -> Vec<(String, Option<String>)> {
        let is_left = |at: &usize| self.words.iter().all(|(its, _)| its != at);
        (0..files.saved.len()).filter(is_left).map(|at| files.saved[at].clone()).collect()
    }

    /// Returns a message as it reads with what was said; `None` when nothing was.
    pub(super) fn message(&self, message: &Inbound) -> Option<Inbound> {
        let typed = message.text.trim();
        let section = |at: usize, words: &str| match self.words.len() {
            1 if typed.is_empty() => format!("[Audio]\nTranscript:\n{words}"),
            1 => format!("[Audio]\nUser text:\n{typed}\nTranscript:\n{words}"),
            count => format!("[Audio {}/{count}]\nTranscript:\n{words}", at + 1),
        };
        let mut sections: Vec<String> = Vec::new();
        if self.words.len() > 1 && !typed.is_empty() {
            sections.push(format!("User text:\n{typed}"));
        }
        sections.extend(self.words.iter().enumerate().map(|(at, (_, words))| section(at, words)));
        (!self.words.is_empty()).then(|| Inbound { text: sections.join("\n\n"), ..message.clone() })
    }

    /// Returns what counts as typed when nothing was: commands are read from it.
    pub(super) fn said(&self) -> Option<String> {
        match self.words.as_slice() {
            [] => None,
            [(_, words)] => Some(words.clone()),
            many => {
                let words = many.iter().enumerate().map(|(at, (_, words))| format!("Audio {}:\n{words}", at + 1));
                Some(words.collect::<Vec<_>>().join("\n\n"))
            }
        }
    }
}
