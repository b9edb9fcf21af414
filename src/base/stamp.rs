//! Stamps: what tells, for the price of one `stat`, that a file is still the one that was read.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::clock::UnixMs;

/// File systems tick too slowly to tell two changes within this time apart.
const TICK_MS_MAX: UnixMs = 50;

/// What changes when a file or directory does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    changed_at_ns: i128,
    len: u64,
    inode: u64,
}

impl Stamp {
    /// Returns the stamp of what `path` names now; `None` when it cannot be looked at. Take it before reading: a change in
    /// between is then noticed next time.
    pub fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        // The time of change moves even when somebody sets the time of modification back.
        let changed_at_ns = i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec());
        Some(Self { changed_at_ns, len: meta.len(), inode: meta.ino() })
    }

    /// Returns whether every change after `read_at_ms` must show in the stamp.
    pub fn is_settled(&self, read_at_ms: UnixMs) -> bool {
        self.changed_at_ns < (i128::from(read_at_ms) - i128::from(TICK_MS_MAX)) * 1_000_000
    }
}
