//! The lines of a file from its end: recent entries of a long transcript without reading all of it.
//!
//! Holds one line and one chunk in memory, never the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use serde::de::DeserializeOwned;

use super::LINE_BYTES_MAX;

/// Bytes read at once.
const CHUNK_BYTES: u64 = 64 * 1024;

/// See the module.
pub(super) struct Backwards {
    file: File,
    /// Start of what was read.
    start: u64,
    /// End of what was not yet handed out.
    end: u64,
    /// The bytes from `start` to `end`.
    pending: Vec<u8>,
    /// Bytes at the end of `pending` that hold no line end; spares searching them again.
    searched: usize,
    ends_with_newline: bool,
}

/// One line without its end.
pub(super) struct Line {
    /// Where it starts in the file.
    pub(super) start: u64,
    /// Its bytes; empty when it was too long to read.
    pub(super) text: Vec<u8>,
}

impl Line {
    /// Parses the line; `None` when it is not such a JSON value.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.text).ok()
    }

    /// Returns whether the line is complete JSON.
    pub(super) fn is_whole_json(&self) -> bool {
        self.parse::<serde::de::IgnoredAny>().is_some()
    }
}

impl Backwards {
    /// Starts at the present end of the file.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let end = file.metadata()?.len();
        let mut lines = Self { file, start: end, end, pending: Vec::new(), searched: 0, ends_with_newline: true };
        if end > 0 {
            lines.read_chunk()?;
            lines.ends_with_newline = lines.pending.last() == Some(&b'\n');
            if lines.ends_with_newline {
                lines.pending.pop();
                lines.end -= 1;
            }
        }
        Ok(lines)
    }

    /// Returns whether the file was empty or its last line complete.
    pub(super) fn ends_with_newline(&self) -> bool {
        self.ends_with_newline
    }

    /// Returns the line before the one returned last.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line>> {
        let mut is_too_long = false;
        loop {
            let unsearched = self.pending.len() - self.searched;
            if let Some(at) = self.pending[..unsearched].iter().rposition(|byte| *byte == b'\n') {
                let text = self.pending.split_off(at + 1);
                self.pending.pop();
                let line_start = self.start + at as u64 + 1;
                self.end = line_start - 1;
                self.searched = 0;
                return Ok(Some(line(line_start, text, is_too_long)));
            }
            self.searched = self.pending.len();
            if self.start == 0 {
                if self.end == 0 && self.pending.is_empty() {
                    return Ok(None);
                }
                self.end = 0;
                self.searched = 0;
                return Ok(Some(line(0, std::mem::take(&mut self.pending), is_too_long)));
            }
            if self.pending.len() > LINE_BYTES_MAX {
                // Forget the tail of the line; only its start is still wanted.
                is_too_long = true;
                self.pending.clear();
                self.searched = 0;
                self.end = self.start;
            }
            self.read_chunk()?;
        }
    }

    /// Puts the chunk before `start` in front of what is pending.
    fn read_chunk(&mut self) -> io::Result<()> {
        // Grows with the line, so that a long line is not copied once per chunk.
        let wanted = CHUNK_BYTES.max(self.pending.len() as u64).min(self.start);
        self.start -= wanted;
        let mut bytes = vec![0; usize::try_from(wanted).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut bytes, self.start)?;
        bytes.append(&mut self.pending);
        self.pending = bytes;
        Ok(())
    }
}

fn line(start: u64, text: Vec<u8>, is_too_long: bool) -> Line {
    Line { start, text: if is_too_long { Vec::new() } else { text } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn lines_come_last_first() {
        let dir = TempDir::new("backwards");
        let path = dir.path().join("f");
        let long = "x".repeat(CHUNK_BYTES as usize * 3);
        for (text, wanted) in [
            (String::new(), vec![]),
            ("\n".to_owned(), vec![]),
            ("a".to_owned(), vec![(0, "a")]),
            ("a\nb\n".to_owned(), vec![(2, "b"), (0, "a")]),
            ("\n\nb".to_owned(), vec![(2, "b"), (1, "")]),
            (format!("a\n{long}\nc\n"), vec![(long.len() as u64 + 3, "c"), (2, long.as_str()), (0, "a")]),
        ] {
            std::fs::write(&path, &text).expect("write");
            let mut lines = Backwards::new(File::open(&path).expect("open")).expect("lines");
            let mut found = Vec::new();
            while let Some(line) = lines.next_line().expect("read") {
                found.push((line.start, String::from_utf8(line.text).expect("UTF-8")));
            }
            let wanted: Vec<(u64, String)> = wanted.into_iter().map(|(start, text)| (start, text.to_owned())).collect();
            assert!(found == wanted, "{} lines of {} bytes", found.len(), text.len());
        }
    }
}
