//! The desktop's trash directory: things are put there instead of being deleted.

use std::io;
use std::path::{Path, PathBuf};

use super::clock::UnixMs;
use super::fs::create_dir_private;

/// Moves a file or directory into the trash of the user whose home is `home`; returns where it is now.
///
/// # Errors
/// Any I/O error, also when the trash is on another file system; the thing is then where it was.
pub fn put_away(path: &Path, home: &Path, now_ms: UnixMs) -> io::Result<PathBuf> {
    let trash = home.join(".local/share/Trash/files");
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let target = trash.join(format!("{name}-{now_ms}"));
    create_dir_private(&trash)?;
    std::fs::rename(path, &target)?;
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn nothing_is_lost() {
        let dir = TempDir::new("trash");
        let thing = dir.path().join("thing");
        std::fs::write(&thing, "x").expect("write");
        let there = put_away(&thing, dir.path(), 5).expect("put away");
        assert!(!thing.exists() && there.ends_with("thing-5"));
        assert_eq!(std::fs::read_to_string(there).expect("read"), "x");
        assert!(put_away(&thing, dir.path(), 6).is_err());
    }
}
