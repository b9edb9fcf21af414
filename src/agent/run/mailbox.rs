//! Messages for a run that is under way (agent.md §7, steering).
//!
//! The run looks into its mailbox behind each tool call and before it ends; a letter that it has read stands in the
//! transcript. Any thread, one leaf lock. A closed mailbox takes nothing, so that no letter is lost between the last look
//! and the end. Not here: which message goes to which run (`gateway::queue`).

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::RunRequest;

/// Letters that may lie unread.
const LETTERS_MAX: usize = 100;

/// Told whether a letter was read.
pub type Answered = Box<dyn FnOnce(bool) + Send>;

/// One message.
pub struct Letter {
    /// The id that it gets in the transcript.
    pub entry_id: String,
    /// What was said.
    pub request: Box<RunRequest>,
    /// Called right before it is put into the transcript.
    pub reading: Box<dyn Fn() + Send>,
    /// Called once it stands there, or the run ended without reading it.
    pub answered: Answered,
}

#[derive(Default)]
struct State {
    is_open: bool,
    letters: VecDeque<Letter>,
}

/// See the module.
#[derive(Default)]
pub struct Mailbox {
    state: Mutex<State>,
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").field("len", &self.lock().letters.len()).finish()
    }
}

impl Mailbox {
    /// Takes letters from now on, or not for a while; returns how it was.
    pub fn open(&self, is_open: bool) -> bool {
        std::mem::replace(&mut self.lock().is_open, is_open)
    }

    /// Puts a letter in.
    ///
    /// # Errors
    /// Gives it back when the run takes none.
    pub fn put(&self, letter: Letter) -> Result<(), Letter> {
        let mut state = self.lock();
        if !state.is_open || state.letters.len() >= LETTERS_MAX {
            return Err(letter);
        }
        state.letters.push_back(letter);
        Ok(())
    }

    /// Returns whether there is something to read.
    pub fn has_mail(&self) -> bool {
        !self.lock().letters.is_empty()
    }

    /// Takes the next letter out.
    pub fn next(&self) -> Option<Letter> {
        self.lock().letters.pop_front()
    }

    /// Closes it if there is nothing to read; returns whether it is closed.
    pub fn close_if_empty(&self) -> bool {
        let mut state = self.lock();
        if state.letters.is_empty() {
            state.is_open = false;
        }
        !state.is_open
    }

    /// Closes it and gives the unread letters back to whoever sent them.
    pub fn close(&self) {
        let unread = {
            let mut state = self.lock();
            state.is_open = false;
            std::mem::take(&mut state.letters)
        };
        // Outside the lock: the senders act.
        for letter in unread {
            (letter.answered)(false);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
