//! Earlier conversations as a source of memory: what people and the agent said, in pieces (agent.md §16).
//!
//! Only where the owner asks for it (`memorySearch.sources` with `sessions` and `experimental.sessionMemory`): a search then
//! finds what was said in any chat of the agent, whoever asks. Tools' results, reasoning and pictures are left out. The
//! pieces are kept in `<state>/memory/<agent>.sessions.jsonl` (0600) with how far each transcript was read, so a search reads
//! only what is new; a transcript that was replaced is read anew, one that is gone is forgotten. Runs on the thread that
//! asks. Not here: how pieces are searched (`search`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{CHUNK_CHARS, Chunk};
use crate::base::fs::{Durability, MODE_PRIVATE, create_dir_private};
use crate::base::ids::AgentId;
use crate::base::journal::Journal;
use crate::base::text::collapse_whitespace;
use crate::config::paths::Paths;

/// What results name as their source.
const SOURCE: &str = "sessions";
/// Transcripts that are looked at, the latest first; pieces of one, its last ones; pieces of all.
const FILES_MAX: usize = 1000;
const PIECES_OF_ONE_MAX: usize = 256;
const PIECES_MAX: usize = 4096;
/// Bytes of a transcript that are read when it is new here, its end; bytes of all that one look reads.
const TAIL_BYTES_MAX: u64 = 4 * 1024 * 1024;
const LOOK_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Longest line that is read; pictures and results of tools may be longer.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// The file is rewritten when it is longer than this; what counts takes half of it at most.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A line of the file: how far a transcript was read, and a piece of it, unless there was nothing to keep.
#[derive(Serialize, Deserialize)]
struct Record {
    file: String,
    inode: u64,
    to: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    piece: Option<Piece>,
}

/// Some messages of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Piece {
    /// Its place among the pieces; the same again replaces it.
    number: usize,
    /// First and last message, counted from 1.
    start: usize,
    end: usize,
    text: String,
}

/// What is known of a transcript.
#[derive(Default)]
struct Known {
    inode: u64,
    to: u64,
    pieces: Vec<Piece>,
    /// The first piece that is not in the file as it is now.
    changed_from: Option<usize>,
}

impl Known {
    fn take(&mut self, record: Record) {
        if self.inode != record.inode {
            *self = Self { inode: record.inode, ..Self::default() };
        }
        self.to = record.to;
        if let Some(piece) = record.piece {
            self.pieces.retain(|known| known.number < piece.number);
            self.pieces.push(piece);
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        let extra = self.pieces.len().saturating_sub(PIECES_OF_ONE_MAX);
        self.pieces.drain(..extra);
    }

    /// Puts a message behind the others: to the last piece while it has room, for only that one changes.
    fn say(&mut self, line: &str) {
        let (mut number, message) = self.pieces.last().map_or((0, 1), |last| (last.number + 1, last.end + 1));
        if let Some(last) = self.pieces.last_mut().filter(|last| last.text.len() + line.len() < CHUNK_CHARS) {
            last.text.push('\n');
            last.text.push_str(line);
            last.end = message;
            self.changed_from = Some(self.changed_from.unwrap_or(last.number).min(last.number));
            return;
        }
        self.changed_from = self.changed_from.or(Some(number));
        let mut rest = line;
        while !rest.is_empty() {
            let cut = (CHUNK_CHARS.min(rest.len())..=rest.len()).find(|at| rest.is_char_boundary(*at));
            let (text, more) = rest.split_at(cut.unwrap_or(rest.len()));
            self.pieces.push(Piece { number, start: message, end: message, text: text.to_owned() });
            (number, rest) = (number + 1, more);
        }
        self.shorten();
    }

    /// Returns the lines that say what is new.
    fn news(&mut self, name: &str) -> Vec<Value> {
        let from = self.changed_from.take();
        let changed = self.pieces.iter().filter(|piece| from.is_some_and(|from| piece.number >= from));
        let mut lines: Vec<Value> = changed.map(|piece| self.line(name, Some(piece))).collect();
        if lines.is_empty() {
            lines.push(self.line(name, None));
        }
        lines
    }

    fn line(&self, name: &str, piece: Option<&Piece>) -> Value {
        json!(Record { file: name.to_owned(), inode: self.inode, to: self.to, piece: piece.cloned() })
    }
}

/// A transcript as it is on the disk.
struct Found {
    name: String,
    path: PathBuf,
    inode: u64,
    len: u64,
    changed: SystemTime,
}

/// Returns the pieces of an agent's conversations, the latest conversation first, after reading what is new in them.
/// What cannot be read or kept is left out, with a word in the log.
pub(super) fn chunks(paths: &Paths, agent: &AgentId) -> Vec<Chunk> {
    look(&paths.sessions_dir(agent.as_str()), &file(paths, agent)).unwrap_or_else(|error| {
        log::warn!(target: "agent", "conversations of {agent} are not searched: {error}");
        Vec::new()
    })
}

/// Forgets what was kept, where conversations are not searched any more.
pub(super) fn forget(paths: &Paths, agent: &AgentId) {
    let path = file(paths, agent);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            log::warn!(target: "agent", "cannot remove {}: {error}", path.display());
        }
        _ => {}
    }
}

fn file(paths: &Paths, agent: &AgentId) -> PathBuf {
    paths.memory_dir().join(format!("{agent}.sessions.jsonl"))
}

fn look(transcripts: &Path, kept: &Path) -> io::Result<Vec<Chunk>> {
    let _turn = take_turn(kept)?;
    let mut all: BTreeMap<String, Known> = BTreeMap::new();
    let mut journal = Journal::open(kept.to_owned(), &mut |line| {
        if let Ok(record) = serde_json::from_value::<Record>(line) {
            all.entry(record.file.clone()).or_default().take(record);
        }
    })?;
    let found = find(transcripts);
    let count = all.len();
    all.retain(|name, _| transcripts.join(name).exists());
    let is_gone = count > all.len();
    let mut news: Vec<Value> = Vec::new();
    let mut left = LOOK_BYTES_MAX;
    for it in &found {
        let known = all.entry(it.name.clone()).or_default();
        if left == 0 || (known.inode == it.inode && known.to == it.len) {
            continue;
        }
        match read(it, known, left) {
            Ok(0) => {}
            Ok(bytes) => {
                left = left.saturating_sub(bytes);
                news.append(&mut known.news(&it.name));
            }
            // It may have been renamed meanwhile.
            Err(error) => log::debug!(target: "agent", "{} is not searched: {error}", it.path.display()),
        }
    }
    let mut chunks = Vec::new();
    for it in &found {
        let pieces = all.get(&it.name).map(|known| known.pieces.as_slice()).unwrap_or_default();
        let room = PIECES_MAX - chunks.len();
        let from = pieces.len().saturating_sub(room);
        chunks.extend(pieces[from..].iter().enumerate().map(|(at, piece)| Chunk {
            path: format!("sessions/{}", it.name),
            start: piece.start,
            end: piece.end,
            text: piece.text.clone(),
            source: SOURCE,
            is_settled: from + at + 1 < pieces.len(),
        }));
    }
    if is_gone || journal.len_bytes() > FILE_BYTES_MAX {
        journal.rewrite(&worth_keeping(&found, &all))?;
    } else if !news.is_empty() {
        // What a crash loses is read again.
        journal.append(&news, Durability::Process)?;
    }
    Ok(chunks)
}

/// Returns the lines of what counts: as many pieces as are searched, and of every conversation the last one, behind which it
/// goes on.
fn worth_keeping(found: &[Found], all: &BTreeMap<String, Known>) -> Vec<Value> {
    let mut lines = Vec::new();
    for (name, known) in found.iter().filter_map(|it| Some((&it.name, all.get(&it.name)?))) {
        let room = PIECES_MAX.saturating_sub(lines.len()).max(1);
        let from = known.pieces.len().saturating_sub(room);
        lines.extend(known.pieces[from..].iter().map(|piece| known.line(name, Some(piece))));
        lines.extend(known.pieces.is_empty().then(|| known.line(name, None)));
    }
    lines
}

/// Waits until nobody else looks at the conversations of that agent: for one look of another at most.
fn take_turn(kept: &Path) -> io::Result<File> {
    if let Some(dir) = kept.parent() {
        create_dir_private(dir)?;
    }
    let path = kept.with_extension("lock");
    let file = File::options().create(true).append(true).mode(MODE_PRIVATE).open(path)?;
    file.lock()?;
    Ok(file)
}

fn find(transcripts: &Path) -> Vec<Found> {
    let entries = std::fs::read_dir(transcripts).into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok().filter(|name| name.ends_with(".jsonl"))?;
        let meta = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let changed = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Some(Found { path: entry.path(), name, inode: meta.ino(), len: meta.len(), changed })
    });
    let mut found: Vec<Found> = found.collect();
    found.sort_by(|a, b| b.changed.cmp(&a.changed).then_with(|| a.name.cmp(&b.name)));
    found.truncate(FILES_MAX);
    found
}

/// Reads what is new in a transcript, so many bytes at most, and whole lines only; returns how many were read.
fn read(it: &Found, known: &mut Known, bytes_max: u64) -> io::Result<u64> {
    let mut reader = BufReader::new(File::open(&it.path)?);
    // One that is shorter was written anew, whatever its number.
    let is_same = known.inode == it.inode && known.to <= it.len;
    if !is_same {
        *known = Known { inode: it.inode, to: it.len.saturating_sub(TAIL_BYTES_MAX), ..Known::default() };
    }
    let mut is_cut = !is_same && known.to > 0;
    reader.seek(SeekFrom::Start(known.to))?;
    let mut bytes = 0;
    while bytes < bytes_max
        && let Some((line, length)) = next_line(&mut reader)?
    {
        bytes += length;
        known.to += length;
        // What a tail begins with is hardly a whole line.
        if !std::mem::take(&mut is_cut)
            && let Some(said) = said(&line)
        {
            known.say(&said);
        }
    }
    Ok(bytes)
}

/// Returns the next line that has its end, empty when it is too long, and its length; `None` at the end of the file.
fn next_line(reader: &mut impl BufRead) -> io::Result<Option<(Vec<u8>, u64)>> {
    let mut line = Vec::new();
    let limit = LINE_BYTES_MAX as u64;
    let mut length = reader.by_ref().take(limit).read_until(b'\n', &mut line)? as u64;
    while line.last() != Some(&b'\n') {
        if length < limit {
            return Ok(None);
        }
        line.clear();
        let more = reader.by_ref().take(limit).read_until(b'\n', &mut line)? as u64;
        length += more;
        if more == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            return Ok(Some((Vec::new(), length)));
        }
        if more < limit {
            return Ok(None);
        }
    }
    Ok(Some((line, length)))
}

/// Returns what a line of a transcript says, if somebody said something there.
fn said(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        #[serde(rename = "type")]
        kind: String,
        message: Option<Message>,
    }
    #[derive(Deserialize)]
    struct Message {
        role: String,
        #[serde(default)]
        content: Value,
    }
    let line: Line = serde_json::from_slice(line).ok()?;
    let message = line.message.filter(|_| line.kind == "message")?;
    let who = match message.role.as_str() {
        "user" => "User",
        "assistant" => "Assistant",
        _ => return None,
    };
    let blocks = message.content.as_array().into_iter().flatten().filter(|block| block["type"] == "text");
    let texts = message.content.as_str().into_iter().chain(blocks.filter_map(|block| block["text"].as_str()));
    let text = texts.map(collapse_whitespace).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then(|| format!("{who}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use std::io::Write as _;

    fn append(path: &Path, lines: &[Value]) {
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("directory");
        let mut file = File::options().create(true).append(true).open(path).expect("open");
        lines.iter().for_each(|line| writeln!(file, "{line}").expect("write"));
    }

    fn message(role: &str, text: &str) -> Value {
        json!({"type": "message", "message": {"role": role, "content": [{"type": "text", "text": text},
            {"type": "thinking", "thinking": "hidden"}]}})
    }

    #[test]
    fn only_what_is_new_is_read_and_what_is_gone_is_forgotten() {
        let dir = TempDir::new("conversations");
        let (transcripts, kept) = (dir.path().join("s"), dir.path().join("m/main.sessions.jsonl"));
        let (one, two) = (transcripts.join("one.jsonl"), transcripts.join("two.jsonl"));
        append(&one, &[json!({"type": "session"}), message("user", "hi\nthere"), message("assistant", "hello")]);
        append(&one, &[message("toolResult", "hidden"), json!({"type": "custom"})]);
        let texts = || -> Vec<(String, usize, usize, String)> {
            let chunks = look(&transcripts, &kept).expect("looked");
            chunks.into_iter().map(|it| (it.path, it.start, it.end, it.text)).collect()
        };
        let piece = |path: &str, end: usize, text: &str| (format!("sessions/{path}.jsonl"), 1, end, text.to_owned());
        assert_eq!(texts(), [piece("one", 2, "User: hi there\nAssistant: hello")]);
        let before = std::fs::metadata(&kept).expect("kept").len();
        assert_eq!(texts().len(), 1);
        assert_eq!(std::fs::metadata(&kept).expect("kept").len(), before, "nothing new, nothing written");
        assert_eq!(std::fs::metadata(&kept).expect("kept").mode() & 0o777, 0o600);
        // Half a line waits for its other half.
        std::fs::write(&two, "{\"type\":\"message\",\"mess").expect("write");
        append(&one, &[message("user", "bye")]);
        assert_eq!(texts(), [piece("one", 3, "User: hi there\nAssistant: hello\nUser: bye")]);
        // A transcript that was replaced is read anew, one that is gone leaves nothing behind.
        std::fs::rename(&one, transcripts.join("one.jsonl.deleted.x")).expect("rename");
        append(&one, &[message("user", "afresh")]);
        std::fs::remove_file(&two).expect("remove");
        assert_eq!(texts(), [piece("one", 1, "User: afresh")]);
        std::fs::remove_file(&one).expect("remove");
        assert!(texts().is_empty());
        assert_eq!(std::fs::read_to_string(&kept).expect("kept"), "");
    }

    #[test]
    fn no_more_is_kept_than_is_searched() {
        let count = PIECES_MAX / PIECES_OF_ONE_MAX + 3;
        let found = (0..count).map(|at| Found {
            name: at.to_string(),
            path: PathBuf::new(),
            inode: 1,
            len: 1,
            changed: SystemTime::UNIX_EPOCH,
        });
        let found: Vec<Found> = found.collect();
        let mut known = Known::default();
        (0..PIECES_OF_ONE_MAX).for_each(|_| known.say(&"x".repeat(CHUNK_CHARS)));
        let pieces = || known.pieces.clone();
        let all = found.iter().map(|it| (it.name.clone(), Known { pieces: pieces(), ..Known::default() })).collect();
        let lines = worth_keeping(&found, &all);
        assert_eq!(lines.len(), PIECES_MAX + 3);
        assert_eq!(lines.last().map(|line| &line["piece"]["number"]), Some(&json!(PIECES_OF_ONE_MAX - 1)));
    }

    #[test]
    fn long_conversations_keep_their_end_and_whole_pieces_stay_as_they_are() {
        let mut known = Known::default();
        for number in 0..3000 {
            known.say(&format!("User: {number} {}", "x".repeat(400)));
        }
        assert_eq!((known.pieces.len(), known.pieces.last().map(|last| last.end)), (PIECES_OF_ONE_MAX, Some(3000)));
        let whole = known.pieces[10].clone();
        known.say(&"\u{e4}".repeat(CHUNK_CHARS * 2));
        assert!(known.pieces.contains(&whole) && known.pieces.iter().all(|it| it.text.len() <= CHUNK_CHARS + 4));
        let mut reader =
            BufReader::new(io::Cursor::new([vec![b'x'; LINE_BYTES_MAX * 2 + 5], b"\nab\nc".to_vec()].concat()));
        let lengths: Vec<(usize, u64)> = std::iter::from_fn(|| next_line(&mut reader).expect("read"))
            .map(|(line, length)| (line.len(), length))
            .collect();
        assert_eq!(lengths, [(0, LINE_BYTES_MAX as u64 * 2 + 6), (3, 3)]);
    }
}
