//! Cutting a transcript down to its last lines (`sessions.compact`, protocol.md §5.5).
//!
//! The old file stays whole beside the new one. Its lock is held meanwhile, and whoever appends afterwards notices that
//! the file was replaced, so that this may happen during a run. A crash at any byte leaves the old file or the new one
//! under the name. Not here: compaction by a summary, which is an entry like any other (`context`).

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::backwards::{Backwards, Line};
use super::is_replaced;
use crate::base::clock::{UnixMs, iso_utc};
use crate::base::fs::{Durability, MODE_PUBLIC, keep_as, write_atomic_with};

/// Bytes searched for the end of the first line.
const HEADER_BYTES_MAX: u64 = 64 * 1024;

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Compacted {
    /// There is no such file.
    Missing,
    /// It is short enough; so many lines it has.
    Short(usize),
    /// It was cut; where the old one is, and how many lines were kept.
    Cut(PathBuf, usize),
}

/// Keeps the last `lines_max` lines of a transcript, blank ones not counted.
///
/// Its header stays in any case and does not count: the original drops it, and what is left is no transcript any more.
///
/// # Errors
/// Any I/O error; the transcript is then as before.
pub fn keep_last(path: &Path, lines_max: usize, now_ms: UnixMs) -> io::Result<Compacted> {
    let file = loop {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Compacted::Missing),
            Err(error) => return Err(error),
        };
        file.lock()?;
        if !is_replaced(&file, path)? {
            break file;
        }
    };
    let mut lines = Backwards::new(file.try_clone()?)?;
    let (mut kept, mut start) = (0, 0);
    loop {
        let Some(line) = lines.next_line()? else { return Ok(Compacted::Short(kept)) };
        if is_blank(&line) {
            continue;
        }
        if kept < lines_max {
            (kept, start) = (kept + 1, line.start);
        } else if line.start == 0 && is_header(&line) {
            return Ok(Compacted::Short(kept + 1));
        } else {
            break;
        }
    }
    let archived = archive_path(path, "bak", now_ms);
    keep_as(path, &archived)?;
    let written = write_atomic_with(path, MODE_PUBLIC, Durability::Power, |new| {
        new.write_all(&header(&file)?)?;
        let mut rest = &file;
        rest.seek(SeekFrom::Start(start))?;
        io::copy(&mut rest, new).map(|_| ())
    });
    if let Err(error) = written {
        // The old file is still in place, so its second name says nothing.
        let _ = std::fs::remove_file(&archived);
        return Err(error);
    }
    Ok(Compacted::Cut(archived, kept))
}

/// Returns the name under which a transcript is put aside: `<file>.<reason>.<time>`.
pub fn archive_path(path: &Path, reason: &str, now_ms: UnixMs) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{reason}.{}", iso_utc(now_ms).replace(':', "-")));
    PathBuf::from(name)
}

fn is_blank(line: &Line) -> bool {
    line.text.iter().all(u8::is_ascii_whitespace)
}

fn is_header(line: &Line) -> bool {
    #[derive(serde::Deserialize)]
    struct Head {
        #[serde(rename = "type")]
        kind: String,
    }
    line.parse::<Head>().is_some_and(|head| head.kind == "session")
}

/// Returns the first line with its end when it is a header, else nothing.
fn header(file: &File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut file = file;
    file.seek(SeekFrom::Start(0))?;
    file.take(HEADER_BYTES_MAX).read_to_end(&mut text)?;
    text.truncate(text.iter().position(|byte| *byte == b'\n').unwrap_or(0));
    let line = Line { start: 0, text };
    Ok(if is_header(&line) { [line.text.as_slice(), b"\n"].concat() } else { Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{open, user};
    use super::*;
    use crate::base::fs::testing::TempDir;

    fn texts(path: &Path) -> Vec<String> {
        let messages = super::super::read_messages(path, 1000, 1_000_000).expect("read");
        messages.iter().map(|message| message["content"][0]["text"].as_str().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn the_last_lines_and_the_header_stay() {
        let dir = TempDir::new("compact");
        let path = dir.path().join("a.jsonl");
        assert_eq!(keep_last(&path, 2, 0).expect("compact"), Compacted::Missing);
        let mut transcript = open(&path);
        for text in ["one", "two", "three"] {
            transcript.append_message(&user(text)).expect("append");
        }
        let old = std::fs::read(&path).expect("read");
        assert_eq!(keep_last(&path, 4, 0).expect("compact"), Compacted::Short(4));
        assert_eq!(keep_last(&path, 3, 0).expect("compact"), Compacted::Short(4));
        let archived = dir.path().join("a.jsonl.bak.1970-01-01T00-00-00.000Z");
        assert_eq!(keep_last(&path, 2, 0).expect("compact"), Compacted::Cut(archived.clone(), 2));
        assert_eq!(std::fs::read(&archived).expect("read"), old);
        assert!(std::fs::read_to_string(&path).expect("read").starts_with("{\"type\":\"session\","));
        assert_eq!(texts(&path), ["two", "three"]);
        assert_eq!(keep_last(&path, 2, 1).expect("compact"), Compacted::Short(3));

        // Whoever had the old file open goes on in the new one, behind its last entry.
        transcript.append_message(&user("four")).expect("append");
        assert_eq!(texts(&path), ["two", "three", "four"]);
        assert_eq!(std::fs::read(&archived).expect("read"), old);
        let shown = super::super::load_messages(&path).expect("load");
        assert_eq!(shown.len(), 3, "the chain holds");
    }

    #[test]
    fn what_was_moved_away_does_not_come_back() {
        let dir = TempDir::new("compact-moved");
        let path = dir.path().join("a.jsonl");
        let mut transcript = open(&path);
        let aside = archive_path(&path, "deleted", 0);
        std::fs::rename(&path, &aside).expect("rename");
        transcript.append_message(&user("late")).expect("append");
        assert!(!path.exists());
        assert_eq!(texts(&aside), ["late"]);
    }
}
