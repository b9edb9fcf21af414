//! Files: atomic writes, capped reads, private modes.
//!
//! Every file of the product is written by [`write_atomic`]: a temporary file beside it, then a rename, so a reader
//! or a crash sees the old text or the new one, never half of either. What is appended to is `base::journal` and
//! `agent::transcript`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::clock::UnixMs;

/// Mode of files that may hold secrets.
pub const MODE_PRIVATE: u32 = 0o600;
/// Mode of ordinary files, before the umask.
pub const MODE_PUBLIC: u32 = 0o644;

static TEMP_COUNTER: AtomicU64 = AtomicU64::new(0);

/// How hard a write tries to survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The rename is atomic; the kernel writes when it likes. Survives any death of the process.
    Process,
    /// The data are synced before the rename: configuration, credentials, pairing.
    Power,
}

/// Checks that a directory can be written. Room on the disk is another matter.
///
/// # Errors
/// The system's, such as a read-only file system or missing rights.
pub fn check_writable(dir: &Path) -> io::Result<()> {
    let path = std::ffi::CString::new(dir.as_os_str().as_encoded_bytes())?;
    // SAFETY: the path is a NUL-terminated string that lives for the call.
    if unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Replaces `path` by `data` with the given mode; missing parent directories are made (0700).
///
/// # Errors
/// Any I/O error; the old file is then still whole and the temporary one is gone.
pub fn write_atomic(path: &Path, data: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    write_atomic_with(path, mode, durability, |file| file.write_all(data))
}

/// As [`write_atomic`], with data that `fill` writes into the new file, so that they need not be in memory.
///
/// # Errors
/// As [`write_atomic`], and whatever `fill` fails with.
pub fn write_atomic_with(
    path: &Path,
    mode: u32,
    durability: Durability,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_dir_private(parent)?;
    }
    let temp = temp_beside(path);
    let result = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temp)?;
        fill(&mut file)?;
        if durability == Durability::Power {
            file.sync_all()?;
        }
        std::fs::rename(&temp, path)?;
        // Without this a power cut may bring the old file back: what somebody was told would be gone.
        if let (Durability::Power, Some(parent)) = (durability, parent) {
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    })();
    if result.is_err() {
        // Best effort: the error below is what the caller must see.
        let _ = std::fs::remove_file(&temp);
    }
    result
}

/// Gives a file that will be replaced, never written to, a second name; copies it where the file system has no links.
///
/// # Errors
/// Any I/O error of the copy.
pub fn keep_as(path: &Path, second: &Path) -> io::Result<()> {
    std::fs::hard_link(path, second).or_else(|_| std::fs::copy(path, second).map(|_| ()))
}

/// Makes a directory and its parents with mode 0700; an existing one is left as it is.
///
/// # Errors
/// Any I/O error but "exists already".
pub fn create_dir_private(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Reads a whole text file of at most `bytes_max` bytes; `None` when it does not exist.
///
/// # Errors
/// Any other I/O error, text that is not UTF-8, or a file over the limit (`InvalidData`).
pub fn read_text_capped(path: &Path, bytes_max: u64) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(bytes_max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("file is larger than {bytes_max} bytes")));
    }
    Ok(Some(text))
}

/// Creates `path` with `data` unless it exists; returns whether it was created.
///
/// # Errors
/// Any I/O error but "exists already".
pub fn create_if_missing(path: &Path, data: &[u8], mode: u32) -> io::Result<bool> {
    match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(mut file) => file.write_all(data).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Moves a file that cannot be read out of the way, to `<file>.corrupt-<ms>`, and returns where it is now; what was moved
/// away before is never overwritten.
///
/// # Errors
/// Any I/O error; the file is then where it was.
pub fn set_aside(path: &Path, now_ms: UnixMs) -> io::Result<PathBuf> {
    let mut stamp = now_ms;
    loop {
        let aside = PathBuf::from(format!("{}.corrupt-{stamp}", path.display()));
        // A hard link fails where a rename would replace.
        match std::fs::hard_link(path, &aside) {
            Ok(()) => return std::fs::remove_file(path).map(|()| aside),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => stamp += 1,
            Err(_) => return std::fs::rename(path, &aside).map(|()| aside),
        }
    }
}

/// Returns whether a file's name is that of a write of [`write_atomic`] whose process is gone.
pub fn is_left_behind(name: &str) -> bool {
    let Some(rest) = name.strip_suffix(".tmp") else { return false };
    let mut parts = rest.rsplitn(3, '.');
    let (Some(count), Some(pid), Some(_)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number(count) && pid.parse().is_ok_and(|pid: u32| !super::process::is_alive(pid))
}

fn temp_beside(path: &Path) -> PathBuf {
    let count = TEMP_COUNTER.fetch_add(1, Ordering::Relaxed);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.{count}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// A directory for one unit test, removed when dropped.
#[cfg(test)]
pub mod testing {
    use std::path::{Path, PathBuf};

    /// See [`TempDir::new`].
    pub struct TempDir(PathBuf);

    impl TempDir {
        /// Makes a fresh directory whose name holds `name`.
        pub fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!(
                "clawdbot-unit-{name}-{}-{}",
                std::process::id(),
                crate::base::rng::hex_token(&crate::base::rng::SystemRng, 4)
            ));
            std::fs::create_dir_all(&path).expect("temporary directory");
            Self(path)
        }

        /// Returns its path.
        pub fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn writes_whole_private_files_and_leaves_no_temp() {
        let dir = testing::TempDir::new("fs");
        let path = dir.path().join("a/b.json");
        write_atomic(&path, b"one", MODE_PRIVATE, Durability::Power).expect("write");
        write_atomic(&path, b"two", MODE_PRIVATE, Durability::Process).expect("write");
        assert_eq!(read_text_capped(&path, 3).expect("read").as_deref(), Some("two"));
        assert_eq!(std::fs::metadata(&path).expect("meta").permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().expect("parent")).expect("dir").count(), 1);
        assert!(read_text_capped(&path, 2).is_err());
        assert_eq!(read_text_capped(&dir.path().join("no"), 2).expect("read"), None);
    }

    #[test]
    fn a_write_that_ends_at_any_byte_leaves_the_old_file() {
        let dir = testing::TempDir::new("fs-torn");
        let path = dir.path().join("b.json");
        write_atomic(&path, b"old", MODE_PRIVATE, Durability::Process).expect("write");
        let new = b"the new content";
        for count in 0..=new.len() {
            let result = write_atomic_with(&path, MODE_PRIVATE, Durability::Process, |file| {
                file.write_all(&new[..count])?;
                // What a kill would find here: the old file whole, the new one beside it.
                assert_eq!(read_text_capped(&path, 100).expect("read").as_deref(), Some("old"), "{count}");
                Err(io::Error::other("no more"))
            });
            assert!(result.is_err());
            assert_eq!(read_text_capped(&path, 100).expect("read").as_deref(), Some("old"), "{count}");
            assert_eq!(std::fs::read_dir(dir.path()).expect("dir").count(), 1);
        }
    }
}
