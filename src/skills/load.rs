//! Finding skills: every `SKILL.md` below a directory.
//!
//! Reads the heads of the files, never the rest. Remembers what it looked at ([`Stamp`]s), so that a later look costs a
//! few `stat` calls. Links are followed; depth and numbers are bounded, so a link to a parent ends.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::manifest::{self, Skill, Source};
use crate::base::clock::UnixMs;
use crate::base::stamp::Stamp;

/// Name of the file that makes a directory a skill.
const FILE_NAME: &str = "SKILL.md";
/// How much of a file may be its head.
const HEAD_BYTES_MAX: u64 = 64 * 1024;
/// Directories within each other.
const DEPTH_MAX: usize = 8;
/// Directories that are looked into, below one root.
const DIRS_MAX: usize = 4096;
/// Skills of one root.
const SKILLS_MAX: usize = 1024;

/// What a root held, and what tells that it still does.
#[derive(Debug, Default)]
pub struct Scan {
    /// The skills, in the order of their paths.
    pub skills: Vec<Arc<Skill>>,
    looked_at: Vec<(PathBuf, Option<Stamp>)>,
    is_cut: bool,
}

impl Scan {
    /// Looks for skills below `root`; a missing directory holds none.
    pub fn of(root: &Path, source: Source) -> Self {
        let mut scan = Self::default();
        scan.directory(root, source, 0);
        if scan.is_cut {
            log::warn!(target: "skills", "{} holds too much to look at; some skills may be missing", root.display());
        }
        scan
    }

    /// Returns whether everything still is as it was.
    pub fn is_fresh(&self) -> bool {
        self.looked_at.iter().all(|(path, stamp)| Stamp::of(path) == *stamp)
    }

    /// Returns whether a change after the scan must show in the stamps.
    pub fn is_settled(&self, scanned_at_ms: UnixMs) -> bool {
        self.looked_at.iter().filter_map(|(_, stamp)| stamp.as_ref()).all(|stamp| stamp.is_settled(scanned_at_ms))
    }

    fn directory(&mut self, dir: &Path, source: Source, depth: usize) {
        if depth > DEPTH_MAX || self.looked_at.len() >= DIRS_MAX + SKILLS_MAX {
            self.is_cut = true;
            return;
        }
        // Stamped before it is read: a change in between is then noticed next time.
        self.looked_at.push((dir.to_owned(), Stamp::of(dir)));
        let Ok(entries) = fs::read_dir(dir) else { return };
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
        let mut names: Vec<_> =
            names.filter(|name| !name.as_encoded_bytes().starts_with(b".") && name != "node_modules").collect();
        names.sort_unstable();
        for name in names {
            let path = dir.join(&name);
            let Ok(meta) = fs::metadata(&path) else { continue };
            if meta.is_dir() {
                self.directory(&path, source, depth + 1);
            } else if meta.is_file() && name == FILE_NAME {
                self.file(&path, source);
            }
        }
    }

    fn file(&mut self, path: &Path, source: Source) {
        if self.skills.len() >= SKILLS_MAX {
            self.is_cut = true;
            return;
        }
        self.looked_at.push((path.to_owned(), Stamp::of(path)));
        match read_head(path) {
            Ok(text) => match manifest::parse(&text, path, source) {
                Some(skill) => self.skills.push(Arc::new(skill)),
                None => log::debug!(target: "skills", "{} has no description and is no skill", path.display()),
            },
            Err(error) => log::warn!(target: "skills", "cannot read skill {}: {error}", path.display()),
        }
    }
}

fn read_head(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(HEAD_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    fn write(dir: &Path, name: &str, head: &str) {
        fs::create_dir_all(dir.join(name)).expect("directory");
        fs::write(dir.join(name).join(FILE_NAME), format!("---\n{head}\n---\n")).expect("file");
    }

    fn names(scan: &Scan) -> Vec<&str> {
        scan.skills.iter().map(|skill| skill.name.as_str()).collect()
    }

    #[test]
    fn files_below_a_directory_are_found_in_order() {
        let dir = TempDir::new("skills-load");
        let root = dir.path();
        for name in ["b", "a", "group/c", ".hidden", "node_modules/d"] {
            write(root, name, "description: d");
        }
        write(root, "broken", "name: only");
        std::os::unix::fs::symlink(root, root.join("group/loop")).expect("link");
        fs::write(root.join("a/other.md"), "---\ndescription: d\n---\n").expect("file");
        let scan = Scan::of(root, Source::Extra);
        assert_eq!(&names(&scan)[..4], ["a", "b", "c", "a"], "{:?}", names(&scan));
        assert!(scan.is_cut, "the loop ends");
        assert!(names(&Scan::of(&root.join("none"), Source::Extra)).is_empty());
    }

    #[test]
    fn changes_are_noticed() {
        let dir = TempDir::new("skills-fresh");
        let root = dir.path().join("skills");
        let missing = Scan::of(&root, Source::Managed);
        assert!(missing.is_fresh());
        write(&root, "a", "description: one");
        assert!(!missing.is_fresh());
        let scan = Scan::of(&root, Source::Managed);
        assert!(scan.is_fresh());
        write(&root, "a", "description: other");
        assert!(!scan.is_fresh());
        let scan = Scan::of(&root, Source::Managed);
        write(&root, "b", "description: d");
        assert!(!scan.is_fresh() && !scan.is_settled(0) && scan.is_settled(u64::MAX / 2));
    }
}
