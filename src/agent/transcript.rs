//! Transcripts: what was said in a session, as JSON lines that are only ever appended to (agent.md §5).
//!
//! A [`Transcript`] is the writing end; it belongs to the job that holds the session's lane. Injected messages come from
//! other threads, so each append takes the file's advisory lock and looks first whether somebody else has appended.
//! Every append is on the disk when it returns. Not here: what of it a model gets to see (`context`).

mod backwards;
mod compact;
mod context;
mod since;

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use self::backwards::Backwards;
pub use self::compact::{Compacted, archive_path, keep_last};
pub use self::context::{CACHE_TOUCH, History, load_history, load_messages, summary_message, summary_of};
pub use self::since::since;
use crate::agent::message::Message;
use crate::base::clock::{Clock, iso_utc};
use crate::base::fs::{MODE_PUBLIC, create_dir_private};
use crate::base::rng::{Rng, hex_token};

/// Version written into new files.
const VERSION: u64 = 3;
/// Longest line; a longer one is skipped when reading and refused when writing.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// See the module.
pub struct Transcript {
    path: PathBuf,
    file: File,
    /// Length of the file when `leaf` was found.
    len: u64,
    /// Id of the last entry.
    leaf: Option<String>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl Transcript {
    /// Opens a transcript for appending. A new one gets its header; a last line that a crash tore is cut off.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn open(
        path: PathBuf,
        session_id: &str,
        cwd: &Path,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            create_dir_private(parent)?;
        }
        let file = open_locked(&path)?;
        let mut transcript = Self { path, file, len: 0, leaf: None, clock, rng };
        let result = transcript.prepare(session_id, cwd);
        transcript.file.unlock()?;
        result.map(|()| transcript)
    }

    /// Appends a message; returns the id of its entry.
    ///
    /// # Errors
    /// Any I/O error; the file then ends as it did before, or is repaired by the next append.
    pub fn append_message(&mut self, message: &Message) -> io::Result<String> {
        let fields = Map::from_iter([("message".to_owned(), serde_json::to_value(message)?)]);
        self.append_entry("message", fields)
    }

    /// Appends an entry of the given type with its own fields; returns its id.
    ///
    /// # Errors
    /// As [`Transcript::append_message`].
    pub fn append_entry(&mut self, kind: &str, fields: Map<String, Value>) -> io::Result<String> {
        // Four random bytes: the context reader follows a parent to the nearest line above, so that one id in four
        // thousand million used twice in a file does no harm.
        self.append_as(&new_id(&*self.rng), kind, fields)
    }

    /// As [`Transcript::append_entry`], with an id from [`new_id`] that was promised before.
    ///
    /// # Errors
    /// As [`Transcript::append_message`].
    pub fn append_as(&mut self, id: &str, kind: &str, fields: Map<String, Value>) -> io::Result<String> {
        self.file.lock()?;
        if is_replaced(&self.file, &self.path)? {
            // It was compacted meanwhile; closing the old file gives its lock back.
            self.file = open_locked(&self.path)?;
            self.len = u64::MAX;
        }
        let result = self.append_locked(id, kind, fields);
        self.file.unlock()?;
        result
    }

    /// Returns the id of the last entry.
    pub fn leaf(&self) -> Option<&str> {
        self.leaf.as_deref()
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what a model is fed with; see [`load_messages`].
    ///
    /// # Errors
    /// Any I/O error.
    pub fn messages(&self) -> io::Result<Vec<Message>> {
        load_messages(&self.path)
    }

    /// As [`Transcript::messages`], with what else is known; see [`load_history`].
    ///
    /// # Errors
    /// Any I/O error.
    pub fn history(&self, bytes_max: usize) -> io::Result<History> {
        load_history(&self.path, bytes_max)
    }

    /// Writes the header of an empty file; else repairs the end and finds the last entry.
    fn prepare(&mut self, session_id: &str, cwd: &Path) -> io::Result<()> {
        self.repair_end()?;
        if self.len > 0 {
            self.leaf = find_leaf(&self.file)?;
            return Ok(());
        }
        self.write_line(&json!({
            "type": "session",
            "version": VERSION,
            "id": session_id,
            "timestamp": iso_utc(self.clock.now_ms()),
            "cwd": cwd.display().to_string(),
        }))
    }

    fn append_locked(&mut self, id: &str, kind: &str, fields: Map<String, Value>) -> io::Result<String> {
        if self.file.metadata()?.len() != self.len {
            // Somebody else has appended, or a write of ours was torn.
            self.repair_end()?;
            self.leaf = find_leaf(&self.file)?;
        }
        let mut entry = Map::new();
        entry.insert("type".to_owned(), kind.into());
        entry.insert("id".to_owned(), id.into());
        entry.insert("parentId".to_owned(), self.leaf.as_deref().into());
        entry.insert("timestamp".to_owned(), iso_utc(self.clock.now_ms()).into());
        entry.extend(fields);
        self.write_line(&Value::Object(entry))?;
        self.leaf = Some(id.to_owned());
        Ok(id.to_owned())
    }

    /// Cuts a torn last line off, or ends it when nothing but the line's end is missing; sets `len`.
    fn repair_end(&mut self) -> io::Result<()> {
        self.len = self.file.metadata()?.len();
        let mut lines = Backwards::new(self.file.try_clone()?)?;
        if lines.ends_with_newline() {
            return Ok(());
        }
        let Some(line) = lines.next_line()? else { return Ok(()) };
        if line.is_whole_json() {
            self.file.write_all(b"\n")?;
            self.len += 1;
        } else {
            log::warn!(
                target: "gateway",
                "transcript {} ended within a line; the torn {} bytes were removed",
                self.path.display(), self.len - line.start,
            );
            self.file.set_len(line.start)?;
            self.len = line.start;
        }
        self.file.sync_data()
    }

    fn write_line(&mut self, value: &Value) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        if line.len() >= LINE_BYTES_MAX {
            let text = format!("transcript entry is larger than {LINE_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            // On a full disk a part may be there; the next entry must not follow it on its line. If it cannot be taken
            // off either, the next opening does it.
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.file.sync_data()?;
        self.len += line.len() as u64;
        Ok(())
    }
}

/// Returns an id for an entry.
pub fn new_id(rng: &dyn Rng) -> String {
    hex_token(rng, 4)
}

/// Opens a transcript, made when there is none, and takes its lock.
fn open_locked(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(MODE_PUBLIC).open(path)?;
        file.lock()?;
        if !is_replaced(&file, path)? {
            return Ok(file);
        }
    }
}

/// Returns whether another file stands in this one's place. One that was moved away is still the session's: nothing may
/// come back under the name of what was deleted.
fn is_replaced(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) != (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the id of the last entry that has one.
fn find_leaf(file: &File) -> io::Result<Option<String>> {
    #[derive(serde::Deserialize)]
    struct Head {
        #[serde(rename = "type")]
        kind: String,
        id: Option<String>,
    }
    let mut lines = Backwards::new(file.try_clone()?)?;
    while let Some(line) = lines.next_line()? {
        match line.parse::<Head>() {
            Some(Head { kind, .. }) if kind == "session" => return Ok(None),
            Some(Head { id: Some(id), .. }) => return Ok(Some(id)),
            _ => {}
        }
    }
    Ok(None)
}

/// Returns the last messages of a file, oldest first, as clients see them: at most `limit`, and at most `bytes_max` bytes
/// of JSON. A missing file has none. What wraps a user's text for the model is taken off; nearly all else is the file's own text.
///
/// # Errors
/// Any I/O error but "not found".
pub fn shown_messages(path: &Path, limit: usize, bytes_max: usize) -> io::Result<Vec<Box<RawValue>>> {
    last_messages(path, limit, bytes_max, |message: Box<RawValue>| {
        if !message.get().starts_with('{') {
            return None;
        }
        if !wants_a_look(message.get()) {
            return Some(message);
        }
        let mut message: Value = serde_json::from_str(message.get()).ok()?;
        unwrap_user_text(&mut message);
        to_raw_value(&message).ok()
    })
}

/// As [`shown_messages`], parsed, with the users' texts as the model sees them.
///
/// # Errors
/// As [`shown_messages`].
pub fn read_messages(path: &Path, limit: usize, bytes_max: usize) -> io::Result<Vec<Value>> {
    last_messages(path, limit, bytes_max, |message: Value| message.is_object().then_some(message))
}

/// Returns what `take` makes of the last messages, oldest first.
fn last_messages<M: DeserializeOwned>(
    path: &Path,
    limit: usize,
    bytes_max: usize,
    take: impl Fn(M) -> Option<M>,
) -> io::Result<Vec<M>> {
    #[derive(Deserialize)]
    struct Line<M> {
        message: Option<M>,
    }
    let Some(mut lines) = open_backwards(path)? else { return Ok(Vec::new()) };
    let mut messages = Vec::new();
    let mut bytes = 2;
    while messages.len() < limit
        && let Some(line) = lines.next_line()?
    {
        let size = line.text.len();
        let Some(message) = line.parse::<Line<M>>().and_then(|line| take(line.message?)) else { continue };
        // The line is a little longer than its message: close enough, and on the safe side.
        if bytes + size > bytes_max {
            if messages.is_empty() {
                continue;
            }
            break;
        }
        bytes += size;
        messages.push(message);
    }
    messages.reverse();
    Ok(messages)
}

/// Spares most messages being parsed. A text may be wrapped that begins with a bracket, which JSON never escapes, or has a
/// line with an id; and half a surrogate pair is JSON but no text: a reader may refuse all of an answer for it.
fn wants_a_look(json: &str) -> bool {
    ["\"[", "[message_id:", "\\ud", "\\uD"].iter().any(|mark| json.contains(mark))
}

fn open_backwards(path: &Path) -> io::Result<Option<Backwards>> {
    match File::open(path) {
        Ok(file) => Backwards::new(file).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn unwrap_user_text(message: &mut Value) {
    if message["role"] != "user" {
        return;
    }
    match message.get_mut("content") {
        Some(Value::String(text)) => *text = unwrapped(text),
        Some(Value::Array(blocks)) => {
            for block in blocks.iter_mut().filter(|block| block["type"] == "text") {
                if let Some(Value::String(text)) = block.get_mut("text") {
                    *text = unwrapped(text);
                }
            }
        }
        _ => {}
    }
}

/// Takes a leading channel envelope and the lines with message ids off.
fn unwrapped(text: &str) -> String {
    let text = strip_envelope(text);
    if !text.contains("[message_id:") {
        return text.to_owned();
    }
    let is_id = |line: &str| {
        let inner = line.trim().strip_prefix('[').and_then(|line| line.strip_suffix(']'));
        inner.is_some_and(|inner| inner.to_ascii_lowercase().starts_with("message_id:") && !inner.contains(']'))
    };
    text.lines().filter(|line| !is_id(line)).collect::<Vec<_>>().join("\n")
}

/// Channels whose names begin an envelope.
const ENVELOPE_CHANNELS: [&str; 13] = [
    "WebChat",
    "WhatsApp",
    "Telegram",
    "Signal",
    "Slack",
    "Discord",
    "Google Chat",
    "iMessage",
    "Teams",
    "Matrix",
    "Zalo",
    "Zalo Personal",
    "BlueBubbles",
];

/// Takes a leading `[<channel> … <time>]` off a text.
pub fn strip_envelope(text: &str) -> &str {
    let Some((head, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) else { return text };
    let is_channel =
        || ENVELOPE_CHANNELS.iter().any(|name| head.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    if has_timestamp(head) || is_channel() { rest.trim_start() } else { text }
}

/// Returns whether the text holds `YYYY-MM-DD HH:MM` or `YYYY-MM-DDTHH:MMZ`.
fn has_timestamp(text: &str) -> bool {
    let matches = |window: &[u8], pattern: &[u8]| {
        window.iter().zip(pattern).all(|(byte, mark)| if *mark == b'0' { byte.is_ascii_digit() } else { byte == mark })
    };
    let bytes = text.as_bytes();
    let has = |pattern: &[u8]| bytes.windows(pattern.len()).any(|window| matches(window, pattern));
    has(b"0000-00-00 00:00") || has(b"0000-00-00T00:00Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::message::{Block, Content, UserMessage};
    use crate::base::clock::ManualClock;
    use crate::base::fs::testing::TempDir;
    use crate::base::rng::SeededRng;

    pub(super) fn open(path: &Path) -> Transcript {
        let clock = Arc::new(ManualClock::new(1_795_353_648_869));
        let seed = std::fs::metadata(path).map_or(1, |meta| meta.len());
        Transcript::open(path.to_owned(), "sid", Path::new("/w"), clock, Arc::new(SeededRng::new(seed))).expect("open")
    }

    pub(super) fn user(text: &str) -> Message {
        Message::User(UserMessage { content: Content::Blocks(vec![Block::text(text)]), timestamp: 1 })
    }

    fn lines(path: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).expect("read");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[test]
    fn lines_form_a_chain_across_writers() {
        let dir = TempDir::new("transcript");
        let path = dir.path().join("s/a.jsonl");
        let mut first = open(&path);
        let one = first.append_message(&user("one")).expect("append");
        let mut second = open(&path);
        let two = second.append_message(&user("two")).expect("append");
        let three = first.append_message(&user("three")).expect("append");
        let lines = lines(&path);
        assert_eq!(
            lines[0],
            json!({"type": "session", "version": 3, "id": "sid", "timestamp": "2026-11-22T13:20:48.869Z", "cwd": "/w"})
        );
        let parents: Vec<&Value> = lines[1..].iter().map(|line| &line["parentId"]).collect();
        assert_eq!(parents, [&Value::Null, &json!(one), &json!(two)]);
        assert_eq!(first.leaf(), Some(three.as_str()));
    }

    #[test]
    fn torn_ends_are_repaired() {
        let dir = TempDir::new("transcript-torn");
        let path = dir.path().join("a.jsonl");
        let one = open(&path).append_message(&user("one")).expect("append");
        let whole = std::fs::read_to_string(&path).expect("read");
        for (tail, kept) in [("{\"type\":\"mess", ""), ("{\"type\":\"label\",\"id\":\"x\"}", "x")] {
            std::fs::write(&path, format!("{whole}{tail}")).expect("write");
            let transcript = open(&path);
            let leaf = if kept.is_empty() { one.as_str() } else { kept };
            assert_eq!(transcript.leaf(), Some(leaf));
            assert!(std::fs::read_to_string(&path).expect("read").ends_with('\n'));
        }
        // A last line that ends at any byte costs nothing but itself, and the next one has its place.
        let two = "{\"type\":\"label\",\"id\":\"two\",\"targetId\":\"é\"}";
        for count in 0..two.len() {
            std::fs::write(&path, [whole.as_bytes(), &two.as_bytes()[..count]].concat()).expect("write");
            assert_eq!(open(&path).leaf(), Some(one.as_str()), "{count}");
            open(&path).append_message(&user("three")).expect("append");
            let texts: Vec<Value> = read_messages(&path, 5, 10_000).expect("read");
            assert_eq!(texts.len(), 2, "{count}");
        }
    }

    #[test]
    fn history_is_limited_and_unwrapped() {
        let dir = TempDir::new("transcript-history");
        let path = dir.path().join("a.jsonl");
        assert!(shown_messages(&path, 5, 1000).expect("read").is_empty());
        let mut transcript = open(&path);
        for text in ["one", "[Telegram Ann 2026-01-24 10:00] two\n[message_id: 7]", "[note] three"] {
            transcript.append_message(&user(text)).expect("append");
        }
        let texts = |limit, bytes| -> Vec<String> {
            let messages = shown_messages(&path, limit, bytes).expect("read");
            let text = |message: &Value| message["content"][0]["text"].as_str().unwrap_or_default().to_owned();
            messages.iter().map(|raw| text(&serde_json::from_str(raw.get()).expect("JSON"))).collect()
        };
        assert_eq!(texts(2, 10_000), ["two", "[note] three"]);
        assert_eq!(texts(9, 300), ["[note] three"]);
        assert_eq!(texts(9, 10_000).len(), 3);
        // Another program's line, with half a character at its end.
        let mut file = OpenOptions::new().append(true).open(&path).expect("open");
        let message = |half: &str| json!({"role": "user", "content": [{"type": "text", "text": half}]}).to_string();
        for half in [r"\ud83d", r"\ud83d\ude00"] {
            writeln!(file, r#"{{"type":"message","id":"x","message":{}}}"#, message("HALF").replace("HALF", half))
                .expect("write");
        }
        assert_eq!(texts(2, 10_000), ["[note] three", "😀"]);
    }
}
