//! Up to which update everything is taken: one small file per account, in the original's format (channels.md §12.4).
//!
//! The number is only raised once all updates up to it are on the disk behind the sink, so it is a low-water mark. Updates
//! that the server sends again after a crash lie below it. Owned by the account's thread. Not here: the order of updates.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::base::fs::{self, Durability, MODE_PRIVATE};

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4096;
/// How far below the mark an update still counts as sent again. Farther down the server has begun to count anew, as it
/// does after a week of silence, and taking that for old would lose messages.
const AGAIN_MAX: i64 = 10_000;

/// See the module.
pub struct Offset {
    path: PathBuf,
    last: Option<i64>,
}

impl Offset {
    /// Reads the mark of an account; a file that cannot be read has none, which costs nothing: the sink knows what it took.
    pub fn open(state_dir: &Path, account: &str) -> Self {
        let is_plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.');
        let name: String = account.trim().chars().map(|it| if is_plain(it) { it } else { '_' }).collect();
        let path = state_dir.join("telegram").join(format!("update-offset-{name}.json"));
        let text = fs::read_text_capped(&path, FILE_BYTES_MAX).unwrap_or_else(|error| {
            log::warn!(target: "gateway/channels/telegram", "cannot read {}: {error}", path.display());
            None
        });
        let value: Value = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let last = value["lastUpdateId"].as_i64().filter(|_| value["version"] == 1);
        Self { path, last }
    }

    /// Returns whether an update was taken before.
    pub fn has(&self, update_id: i64) -> bool {
        self.last.is_some_and(|last| update_id <= last && last - update_id < AGAIN_MAX)
    }

    /// Notes that everything up to an update is taken.
    pub fn raise(&mut self, update_id: i64) {
        if self.has(update_id) {
            return;
        }
        self.last = Some(update_id);
        let text = format!("{:#}\n", json!({"version": 1, "lastUpdateId": update_id}));
        if let Err(error) = fs::write_atomic(&self.path, text.as_bytes(), MODE_PRIVATE, Durability::Process) {
            log::warn!(target: "gateway/channels/telegram", "cannot write {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn the_mark_survives_and_only_rises() {
        let dir = TempDir::new("tg-offset");
        let mut offset = Offset::open(dir.path(), "a/b");
        assert!(!offset.has(1));
        offset.raise(41);
        offset.raise(40);
        let offset = Offset::open(dir.path(), "a/b");
        assert_eq!((offset.last, offset.has(41), offset.has(42)), (Some(41), true, false));
        let text = std::fs::read_to_string(dir.path().join("telegram/update-offset-a_b.json")).expect("file");
        assert_eq!(text, "{\n  \"version\": 1,\n  \"lastUpdateId\": 41\n}\n");
    }

    #[test]
    fn a_server_that_counts_anew_loses_nothing() {
        let dir = TempDir::new("tg-offset-anew");
        let mut offset = Offset::open(dir.path(), "default");
        offset.raise(900_000_000);
        assert!(offset.has(899_999_999) && !offset.has(17));
        offset.raise(17);
        assert_eq!(Offset::open(dir.path(), "default").last, Some(17));
    }
}
