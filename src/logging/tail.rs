//! `logs.tail`: the end of the log file, and what came since a cursor (cli.md §7).

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Lines when the caller names no limit.
pub const LINES_DEFAULT: u64 = 500;
/// Bytes when the caller names no limit.
pub const BYTES_DEFAULT: u64 = 250_000;

/// Answer of `logs.tail`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Tail {
    /// The file that was read.
    pub file: String,
    /// Where the next call goes on.
    pub cursor: u64,
    /// Its size.
    pub size: u64,
    /// Whole lines.
    pub lines: Vec<String>,
    /// Whether older bytes were left out.
    pub truncated: bool,
    /// Whether the cursor did not fit and the end was read instead.
    pub reset: bool,
}

/// Reads the end of `path`, or what came after `cursor`.
///
/// # Errors
/// I/O errors but "not found", which is an empty answer.
pub fn tail(path: &Path, cursor: Option<u64>, lines_max: u64, bytes_max: u64) -> io::Result<Tail> {
    let path = existing_file(path);
    let mut answer = Tail {
        file: path.display().to_string(),
        cursor: 0,
        size: 0,
        lines: Vec::new(),
        truncated: false,
        reset: false,
    };
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(answer),
        Err(error) => return Err(error),
    };
    let size = file.metadata()?.len();
    let last = size.saturating_sub(bytes_max);
    let start = match cursor {
        Some(cursor) if cursor > size => {
            answer.reset = true;
            last
        }
        Some(cursor) if size - cursor > bytes_max => {
            answer.reset = true;
            last
        }
        Some(cursor) => cursor,
        None => last,
    };
    answer.truncated = if cursor.is_some() { answer.reset && last > 0 } else { last > 0 };
    answer.lines = read_lines(&mut file, start, size)?;
    let surplus = answer.lines.len().saturating_sub(usize::try_from(lines_max).unwrap_or(usize::MAX));
    answer.lines.drain(..surplus);
    (answer.cursor, answer.size) = (size, size);
    Ok(answer)
}

fn read_lines(file: &mut File, start: u64, end: u64) -> io::Result<Vec<String>> {
    // One byte earlier, to see whether the start is the beginning of a line.
    let from = start.saturating_sub(1);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(end - from).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = if start == 0 { &text[..] } else { text.find('\n').map_or("", |newline| &text[newline + 1..]) };
    Ok(text.lines().map(str::to_owned).collect())
}

/// A daily file of today may not exist yet: then the newest of its folder.
fn existing_file(path: &Path) -> PathBuf {
    let is_daily = |name: &str| name.starts_with("clawdbot-") && name.ends_with(".log");
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if path.exists() || !is_daily(&name) {
        return path.to_owned();
    }
    let newest = path.parent().and_then(|parent| std::fs::read_dir(parent).ok()).and_then(|entries| {
        entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.file_name().is_some_and(|name| is_daily(&name.to_string_lossy())))
            .max()
    });
    newest.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn tails_and_follows() {
        let dir = TempDir::new("tail");
        let path = dir.path().join("x.log");
        assert_eq!(tail(&path, None, 5, 100).expect("tail").lines, Vec::<String>::new());
        std::fs::write(&path, "one\ntwo\nthree\n").expect("write");
        let check = |cursor, lines_max, bytes_max| tail(&path, cursor, lines_max, bytes_max).expect("tail");
        let all = check(None, 5, 100);
        assert_eq!((all.lines.len(), all.cursor, all.truncated), (3, 14, false));
        assert_eq!(check(None, 1, 100).lines, ["three"]);
        let cut = check(None, 5, 8);
        assert_eq!((cut.lines, cut.truncated, cut.reset), (vec!["three".to_owned()], true, false));
        assert_eq!(check(Some(8), 5, 100).lines, ["three"]);
        assert_eq!(check(Some(14), 5, 100).lines, Vec::<String>::new());
        let past = check(Some(99), 5, 100);
        assert_eq!((past.reset, past.truncated, past.lines.len()), (true, false, 3));
    }
}
