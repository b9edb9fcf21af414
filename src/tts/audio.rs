//! The audio files that were handed out, each in a private directory of its own below the host's temporary one.
//!
//! Any thread; one lock over the list, never held while a file is written or removed.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::base::clock::UnixMs;
use crate::base::fs::{Durability, MODE_PRIVATE, write_atomic};
use crate::base::rng::{Rng, hex_token};

/// Most files at once; the oldest goes when another one comes.
const FILES_MAX: usize = 64;
/// Random bytes of a directory's name.
const NAME_BYTES: usize = 6;

#[derive(Default)]
struct State {
    directories: VecDeque<PathBuf>,
    is_closed: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct AudioFiles(Mutex<State>);

impl AudioFiles {
    /// Writes `voice-<ms><extension>` into a new directory and returns its path.
    pub(super) fn store(&self, audio: &[u8], extension: &str, now_ms: UnixMs, rng: &dyn Rng) -> io::Result<PathBuf> {
        let directory = std::env::temp_dir().join(format!("tts-{}", hex_token(rng, NAME_BYTES)));
        std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let file = directory.join(format!("voice-{now_ms}{extension}"));
        let written = write_atomic(&file, audio, MODE_PRIVATE, Durability::Process);
        let surplus = {
            let mut state = self.lock();
            if written.is_err() || state.is_closed {
                Some(directory)
            } else {
                state.directories.push_back(directory);
                if state.directories.len() > FILES_MAX { state.directories.pop_front() } else { None }
            }
        };
        surplus.iter().for_each(|directory| discard(directory));
        written.map(|()| file)
    }

    /// Removes the file at `path`, if it is still one of these.
    pub(super) fn remove(&self, path: &Path) {
        let Some(directory) = path.parent() else { return };
        let found = {
            let mut state = self.lock();
            let index = state.directories.iter().position(|known| known == directory);
            index.and_then(|index| state.directories.remove(index))
        };
        found.iter().for_each(|directory| discard(directory));
    }

    /// Removes every file, and what is stored later at once.
    pub(super) fn close(&self) {
        let directories = {
            let mut state = self.lock();
            state.is_closed = true;
            std::mem::take(&mut state.directories)
        };
        directories.iter().for_each(|directory| discard(directory));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn discard(directory: &Path) {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            log::warn!(target: "gateway/tts", "cannot remove {}: {error}", directory.display());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::SystemRng;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn files_are_private_bounded_and_gone_at_the_end() {
        let files = AudioFiles::default();
        let store = || files.store(b"sound", ".mp3", 5, &SystemRng).expect("store");
        let first = store();
        assert!(first.ends_with("voice-5.mp3"));
        let mode = |path: &Path| std::fs::metadata(path).expect("meta").permissions().mode() & 0o777;
        assert_eq!((mode(first.parent().expect("parent")), mode(&first)), (0o700, 0o600));
        let second = store();
        files.remove(&second);
        assert!(!second.parent().expect("parent").exists());
        files.remove(Path::new("/etc/passwd"));
        let more: Vec<PathBuf> = (0..FILES_MAX).map(|_| store()).collect();
        assert!(!first.exists(), "the oldest goes");
        assert!(more.iter().all(|file| file.exists()));
        files.close();
        assert!(!more.iter().any(|file| file.exists()));
        assert!(!store().exists(), "nothing stays after the end");
    }
}
