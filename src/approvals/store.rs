//! The policy file's owner: `~/.clawdbot/exec-approvals.json`.
//!
//! The file is read afresh each time, because companion apps and editors write it too. Writes are atomic and 0600, under a
//! lock of this process and guarded by the hash that the writer saw. A file that cannot be read is never overwritten
//! unasked, and allows nothing. Runs on any thread that may wait for a disk. Not here: what the file means (`file`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::file::PolicyFile;
use super::policy::{Ask, Security, Strictness};
use crate::base::clock::UnixMs;
use crate::base::fs::{Durability, MODE_PRIVATE, read_text_capped, set_aside, write_atomic};
use crate::base::hash::sha256_hex;
use crate::base::rng::Rng;
use crate::base::text::unless_blank;

/// Largest policy file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The file as it is.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is there.
    pub exists: bool,
    /// Hex SHA-256 of its text; of nothing when it is not there.
    pub hash: String,
    /// Its content; empty when it cannot be read.
    pub file: PolicyFile,
    /// Why it cannot be read.
    pub fault: Option<String>,
}

impl Snapshot {
    /// Returns what holds for an agent; nothing runs under a policy that cannot be read.
    pub fn strictness(&self, agent: Option<&str>, tool_security: Security, tool_ask: Ask) -> Strictness {
        match self.fault {
            Some(_) => Strictness::CLOSED,
            None => self.file.strictness(agent, tool_security, tool_ask),
        }
    }
}

/// Why a file was not replaced.
#[derive(Debug)]
pub enum ReplaceError {
    /// The writer did not say which file it saw.
    BaseHashMissing,
    /// The writer saw another file.
    Changed,
    /// What it wrote is no policy file.
    Invalid(String),
    /// The disk.
    Io(io::Error),
}

impl From<io::Error> for ReplaceError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The file's owner in this process.
#[derive(Debug)]
pub struct PolicyStore {
    path: PathBuf,
    write: Mutex<()>,
}

impl PolicyStore {
    /// Returns the store of the file at `path`; reads nothing yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, write: Mutex::new(()) }
    }

    /// Returns where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file.
    ///
    /// # Errors
    /// I/O errors but "not there"; a file that is no policy is no error but a fault of the snapshot.
    pub fn load(&self) -> io::Result<Snapshot> {
        let text = match read_text_capped(&self.path, FILE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Ok(self.snapshot(true, &[], Err(error.to_string())));
            }
            text => text?,
        };
        Ok(match text {
            None => self.snapshot(false, &[], Ok(PolicyFile::default())),
            Some(text) => self.snapshot(true, text.as_bytes(), PolicyFile::parse(&text)),
        })
    }

    /// Reads the file, and first makes it or fills in what is missing.
    ///
    /// # Errors
    /// I/O errors.
    pub fn load_complete(&self, rng: &dyn Rng) -> io::Result<Snapshot> {
        let _write = self.lock();
        self.complete(rng)
    }

    /// Puts another file in the place of the one with this hash. What clients are not shown is kept; a file that cannot
    /// be read is moved aside.
    ///
    /// # Errors
    /// [`ReplaceError`]; the file is as it was then.
    pub fn replace(
        &self,
        file: Value,
        base_hash: Option<&str>,
        now_ms: UnixMs,
        rng: &dyn Rng,
    ) -> Result<Snapshot, ReplaceError> {
        let _write = self.lock();
        let stored = self.complete(rng)?;
        let base_hash = base_hash.and_then(unless_blank);
        if base_hash.ok_or(ReplaceError::BaseHashMissing)? != stored.hash {
            return Err(ReplaceError::Changed);
        }
        let file: PolicyFile =
            serde_json::from_value(file).map_err(|error| ReplaceError::Invalid(error.to_string()))?;
        let mut file = file.normalised();
        file.keep_hidden(&stored.file);
        file.complete(&self.socket_path(), rng);
        self.write(&file, &stored, now_ms)?;
        Ok(self.load()?)
    }

    /// Changes the file as it is now; nothing is written when `change` returns false.
    ///
    /// # Errors
    /// I/O errors, and `InvalidData` for a file that cannot be read.
    pub fn update(
        &self,
        now_ms: UnixMs,
        rng: &dyn Rng,
        change: impl FnOnce(&mut PolicyFile) -> bool,
    ) -> io::Result<Snapshot> {
        let _write = self.lock();
        let stored = self.load()?;
        if let Some(fault) = &stored.fault {
            let text = format!("{} cannot be read ({fault}); mend or remove it", self.path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut file = stored.file.clone();
        if !change(&mut file) {
            return Ok(stored);
        }
        file.complete(&self.socket_path(), rng);
        self.write(&file, &stored, now_ms)?;
        self.load()
    }

    fn complete(&self, rng: &dyn Rng) -> io::Result<Snapshot> {
        let mut stored = self.load()?;
        if let Some(fault) = &stored.fault {
            log::warn!(
                target: "gateway",
                "exec approvals {} cannot be read ({fault}): no command is allowed until it is mended or replaced",
                self.path.display(),
            );
            return Ok(stored);
        }
        if !stored.file.complete(&self.socket_path(), rng) && stored.exists {
            return Ok(stored);
        }
        self.write_text(&stored.file)?;
        self.load()
    }

    fn write(&self, file: &PolicyFile, stored: &Snapshot, now_ms: UnixMs) -> io::Result<()> {
        if stored.fault.is_some() {
            let aside = set_aside(&self.path, now_ms)?;
            log::warn!(target: "gateway", "exec approvals that could not be read were moved to {}", aside.display());
        }
        self.write_text(file)
    }

    fn write_text(&self, file: &PolicyFile) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(file)?;
        text.push(b'\n');
        write_atomic(&self.path, &text, MODE_PRIVATE, Durability::Power)
    }

    fn snapshot(&self, exists: bool, text: &[u8], file: Result<PolicyFile, String>) -> Snapshot {
        let hash = sha256_hex(text);
        let (file, fault) = match file {
            Ok(file) => (file, None),
            Err(fault) => (PolicyFile::default(), Some(fault)),
        };
        Snapshot { path: self.path.clone(), exists, hash, file, fault }
    }

    fn socket_path(&self) -> PathBuf {
        self.path.with_extension("sock")
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.write.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
