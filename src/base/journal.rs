//! A journal: a file of JSON lines that only grows, until it is rewritten.
//!
//! What keeps big state cheap to change: a change is one line here, and the state itself (a file, or what is still of
//! interest) is written now and then. Owns the file. A line counts once [`Journal::append`] has returned; what a crash
//! leaves of a line that nobody was told of is cut off at the next open. Any thread, one at a time. Not here: what the
//! lines say (`agent::sessions`, `agent::run_journal`, `channels::outbox`).

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::fs::{self, Durability, MODE_PRIVATE};

/// Longest line; a longer one is refused when writing and skipped when reading.
pub const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// Opened by the first append: who only reads leaves no file.
    file: Option<File>,
    /// Bytes that count.
    len: u64,
    /// How many of them the last rewrite left.
    base: u64,
}

impl Journal {
    /// Reads what is there, oldest first, without changing anything; a missing file has nothing.
    ///
    /// A line that is not JSON is skipped and logged: the ones behind it still count.
    ///
    /// # Errors
    /// Any I/O error but "not found".
    pub fn open(path: PathBuf, each: &mut dyn FnMut(Value)) -> io::Result<Self> {
        let len = match File::open(&path) {
            Ok(file) => read_lines(file, &path, each)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self { path, file: None, len, base: 0 })
    }

    /// Appends lines, all of them or none; with [`Durability::Power`] they are on the disk when this returns.
    ///
    /// # Errors
    /// Any I/O error, and a line over [`LINE_BYTES_MAX`]; the journal is then as before.
    pub fn append(&mut self, lines: &[Value], durability: Durability) -> io::Result<()> {
        let text = encode(lines)?;
        let len = self.len;
        let file = self.file()?;
        let written = file.write_all(&text).and_then(|()| match durability {
            Durability::Process => Ok(()),
            Durability::Power => file.sync_data(),
        });
        if let Err(error) = written {
            // Nobody is told of these lines, so they must not come back; if this fails too, the next append tries again.
            let _ = file.set_len(len);
            self.file = None;
            return Err(error);
        }
        self.len += text.len() as u64;
        Ok(())
    }

    /// Replaces everything by these lines; a crash at any byte leaves the old lines or the new ones.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn rewrite(&mut self, lines: &[Value]) -> io::Result<()> {
        let text = encode(lines)?;
        fs::write_atomic(&self.path, &text, MODE_PRIVATE, Durability::Power)?;
        self.file = None;
        self.len = text.len() as u64;
        self.base = self.len;
        Ok(())
    }

    /// Forgets everything; the file goes.
    ///
    /// # Errors
    /// Any I/O error but "not found".
    pub fn clear(&mut self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file = None;
        (self.len, self.base) = (0, 0);
        Ok(())
    }

    /// Returns how many bytes of lines there are.
    pub fn len_bytes(&self) -> u64 {
        self.len
    }

    /// Returns whether a rewrite is worth its while: there are more than `bytes_max` bytes, and twice as many as the last
    /// one left. What is of interest may be more than `bytes_max`, and must not be written anew at each change.
    pub fn is_long(&self, bytes_max: u64) -> bool {
        self.len > bytes_max.max(self.base.saturating_mul(2))
    }

    /// Returns the file, which ends behind the last line that counts.
    fn file(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            if let Some(parent) = self.path.parent() {
                fs::create_dir_private(parent)?;
            }
            let file = OpenOptions::new().append(true).create(true).mode(MODE_PRIVATE).open(&self.path)?;
            if file.metadata()?.len() != self.len {
                file.set_len(self.len)?;
            }
            if self.len == 0
                && let Some(parent) = self.path.parent()
            {
                // The name must survive a power cut as the lines do.
                File::open(parent)?.sync_all()?;
            }
            self.file = Some(file);
        }
        Ok(self.file.as_mut().expect("opened above"))
    }
}

/// Hands out the whole lines; returns where they end.
fn read_lines(file: File, path: &Path, each: &mut dyn FnMut(Value)) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let (mut end, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let count = reader.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            if count > LINE_BYTES_MAX {
                // Not one of ours; its rest is as little JSON as its start.
                end += count as u64;
                continue;
            }
            if count > 0 {
                log::warn!(target: "gateway", "{} ended within a line; {count} bytes are left out", path.display());
            }
            return Ok(end);
        }
        end += count as u64;
        match serde_json::from_slice(&line) {
            Ok(value) => each(value),
            Err(error) => {
                log::warn!(target: "gateway", "{}: a line before byte {end} is left out: {error}", path.display());
            }
        }
    }
}

fn encode(lines: &[Value]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for line in lines {
        let start = text.len();
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
        if text.len() - start > LINE_BYTES_MAX {
            let message = format!("a journal line is larger than {LINE_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use serde_json::json;

    fn open(path: &Path) -> (Journal, Vec<Value>) {
        let mut lines = Vec::new();
        let journal = Journal::open(path.to_owned(), &mut |line| lines.push(line)).expect("open");
        (journal, lines)
    }

    #[test]
    fn lines_survive_and_a_rewrite_replaces_them() {
        let dir = TempDir::new("journal");
        let path = dir.path().join("j/a.jsonl");
        let (mut journal, lines) = open(&path);
        assert!(lines.is_empty() && !path.exists(), "reading makes no file");
        journal.append(&[json!(1), json!({"a": "é"})], Durability::Power).expect("append");
        journal.append(&[json!(2)], Durability::Process).expect("append");
        let (mut journal, lines) = open(&path);
        assert_eq!(lines, [json!(1), json!({"a": "é"}), json!(2)]);
        journal.rewrite(&[json!(3)]).expect("rewrite");
        journal.append(&[json!(4)], Durability::Process).expect("append");
        let (mut journal, lines) = open(&path);
        assert_eq!((lines, journal.len_bytes()), (vec![json!(3), json!(4)], 4));
        journal.clear().expect("clear");
        assert!(!path.exists());
        journal.append(&[json!(5)], Durability::Process).expect("append");
        assert_eq!(open(&path).1, [json!(5)]);
    }

    #[test]
    fn what_is_live_is_not_rewritten_at_each_change() {
        let dir = TempDir::new("journal-long");
        let (mut journal, _) = open(&dir.path().join("a.jsonl"));
        let line = json!("12345678");
        let bytes = line.to_string().len() as u64 + 1;
        let append = |journal: &mut Journal| {
            journal.append(std::slice::from_ref(&line), Durability::Process).expect("append");
        };
        append(&mut journal);
        assert!(!journal.is_long(bytes) && journal.is_long(bytes - 1));
        journal.rewrite(&[line.clone(), line.clone()]).expect("rewrite");
        for _ in 0..2 {
            append(&mut journal);
            assert!(!journal.is_long(bytes), "{}", journal.len_bytes());
        }
        append(&mut journal);
        assert!(journal.is_long(bytes) && !journal.is_long(5 * bytes));
        journal.clear().expect("clear");
        append(&mut journal);
        assert!(journal.is_long(bytes - 1), "nothing is left of the last rewrite");
    }

    #[test]
    fn a_line_that_ends_at_any_byte_costs_nothing_but_itself() {
        let dir = TempDir::new("journal-torn");
        let path = dir.path().join("a.jsonl");
        let whole = "{\"a\":1}\n";
        let torn = "{\"b\":\"é\"}";
        for count in 0..=torn.len() {
            std::fs::write(&path, [whole.as_bytes(), &torn.as_bytes()[..count]].concat()).expect("write");
            let (mut journal, lines) = open(&path);
            assert_eq!(lines, [json!({"a": 1})], "{count}");
            journal.append(&[json!({"c": 2})], Durability::Process).expect("append");
            assert_eq!(open(&path).1, [json!({"a": 1}), json!({"c": 2})], "{count}");
        }
    }

    #[test]
    fn what_is_no_json_is_skipped_and_too_long_lines_are_refused() {
        let dir = TempDir::new("journal-odd");
        let path = dir.path().join("a.jsonl");
        std::fs::write(&path, "1\n{oops\n\0\0\0\n2\n").expect("write");
        let (mut journal, lines) = open(&path);
        assert_eq!(lines, [json!(1), json!(2)]);
        let long = json!("x".repeat(LINE_BYTES_MAX));
        assert!(journal.append(&[json!(3), long], Durability::Process).is_err());
        assert_eq!(open(&path).1, [json!(1), json!(2)]);
    }
}
