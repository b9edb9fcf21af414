//! One `sessions.json` and the journal of its changes, `sessions.json.journal`.
//!
//! A change costs one line of the journal, however many sessions there are. The file itself, in the original's form, is
//! written when the gateway stops, and when the journal has grown as long as the file. Any thread: readers look at what
//! is in memory, writers wait for each other and for the disk.
//!
//! In memory an entry is its JSON text, read when somebody asks for it: about 400 bytes where the typed form takes four
//! times as much; descriptions of skills, which many sessions share word for word, are kept once.
//!
//! Somebody else may write the file while no gateway runs (the original did, or an editor). The journal therefore names
//! the file that it continues; with any other one, each session is taken from where it was changed last.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::Serializer as _;
use serde::ser::SerializeMap as _;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Entry;
use crate::base::clock::{Clock as _, SystemClock, UnixMs};
use crate::base::fs::{self, Durability, MODE_PRIVATE};
use crate::base::journal::Journal;
use crate::base::store::STORE_BYTES_MAX;

/// The journal is folded into the file when it is longer than the file and than this: amortised, a change stays cheap.
const JOURNAL_BYTES_MIN: u64 = 1024 * 1024;
/// An index up to this long is brought up to date soon after a change: other programs read it.
const SMALL_BYTES_MAX: u64 = 256 * 1024;
/// The field of an entry that is kept once for all sessions which share it.
const SHARED: &str = "skillsSnapshot";

/// What stands behind one key.
#[derive(Debug, Clone)]
pub struct Slot {
    /// When the session was last active.
    pub updated_at: UnixMs,
    /// Whether it looks like a session's.
    pub is_session: bool,
    /// The entry as JSON, but for the shared field.
    text: Arc<str>,
    shared: Option<Arc<str>>,
}

impl Slot {
    /// Returns the entry; `None` when this version cannot read it. It stays in the file until the session is used.
    pub fn entry(&self) -> Option<Entry> {
        let mut entry = self.own_entry()?;
        if let Some(shared) = &self.shared {
            entry.other.insert(SHARED.to_owned(), serde_json::from_str(shared).ok()?);
        }
        Some(entry)
    }

    /// Returns the entry without the shared field, for those who only look.
    pub fn own_entry(&self) -> Option<Entry> {
        serde_json::from_str(&self.text).ok().map(Entry::migrated)
    }

    /// Returns whether the entry's text holds this text as a JSON string: a quick look before it is parsed.
    pub fn mentions(&self, text: &str) -> bool {
        serde_json::to_string(text).is_ok_and(|text| self.text.contains(&text))
    }

    fn new(mut entry: Value, pool: &mut HashSet<Arc<str>>) -> Self {
        let shared = entry.as_object_mut().and_then(|entry| entry.shift_remove(SHARED));
        let shared = shared.map(|shared| {
            let text = shared.to_string();
            if let Some(known) = pool.get(text.as_str()) {
                return known.clone();
            }
            let text: Arc<str> = text.into();
            pool.insert(text.clone());
            text
        });
        let updated_at = entry["updatedAt"].as_u64().unwrap_or(0);
        let is_session = entry.is_object() && entry.get("sessionId").is_none_or(Value::is_string);
        Self { updated_at, is_session, text: entry.to_string().into(), shared }
    }

    /// Returns the entry as the file has it.
    pub fn value(&self) -> Value {
        let mut value: Value = serde_json::from_str(&self.text).unwrap_or_default();
        if let (Some(entry), Some(shared)) = (value.as_object_mut(), &self.shared) {
            entry.insert(SHARED.to_owned(), serde_json::from_str(shared).unwrap_or_default());
        }
        value
    }
}

type Slots = BTreeMap<Arc<str>, Slot>;

/// See the module.
pub struct Index {
    path: PathBuf,
    slots: RwLock<Slots>,
    writer: Mutex<Writer>,
}

struct Writer {
    journal: Journal,
    /// The file that the journal continues.
    base: Option<Identity>,
    base_bytes: u64,
    pool: HashSet<Arc<str>>,
    is_closed: bool,
}

/// Tells one content of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    inode: u64,
    bytes: u64,
    modified_ns: i128,
}

impl Identity {
    fn of(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::metadata(path) {
            Ok(meta) => Ok(Some(Self {
                inode: meta.ino(),
                bytes: meta.len(),
                modified_ns: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn to_json(self) -> Value {
        json!({"inode": self.inode, "bytes": self.bytes, "modifiedNs": self.modified_ns.to_string()})
    }
}

/// A change that waits for the disk; nobody else changes anything meanwhile.
pub struct Change<'a> {
    index: &'a Index,
    writer: MutexGuard<'a, Writer>,
}

impl Index {
    /// Reads file and journal; changes neither.
    ///
    /// # Errors
    /// I/O errors, and a file over [`STORE_BYTES_MAX`].
    pub fn open(path: PathBuf) -> io::Result<Self> {
        Self::open_with(path, read)
    }

    /// As [`Index::open`], but a torn file is an error and stays where it is.
    ///
    /// # Errors
    /// As [`Index::open`], and `InvalidData`.
    pub fn look_at(path: PathBuf) -> io::Result<Self> {
        Self::open_with(path, |path, pool| match fs::read_text_capped(path, STORE_BYTES_MAX)? {
            Some(text) => Ok(parse(&text, pool)?),
            None => Ok(Slots::new()),
        })
    }

    fn open_with(path: PathBuf, read: fn(&Path, &mut HashSet<Arc<str>>) -> io::Result<Slots>) -> io::Result<Self> {
        let mut pool = HashSet::new();
        // The journal first: a gateway that folds it in meanwhile replaces the file before it empties the journal.
        let mut lines = Lines::default();
        let journal = Journal::open(journal_path(&path), &mut |line| lines.take(line))?;
        let base = Identity::of(&path)?;
        let mut slots = read(&path, &mut pool)?;
        let continues_it = lines.base == Some(base.map_or(Value::Null, Identity::to_json));
        lines.apply(&mut slots, continues_it, &mut pool);
        let writer = Writer { journal, base, base_bytes: base.map_or(0, |base| base.bytes), pool, is_closed: false };
        Ok(Self { path, slots: RwLock::new(slots), writer: Mutex::new(writer) })
    }

    /// Returns whether there is anything to open.
    pub fn is_there(path: &Path) -> bool {
        path.exists() || journal_path(path).exists()
    }

    /// Returns one slot.
    pub fn get(&self, key: &str) -> Option<Slot> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Returns all slots in the order of their keys.
    pub fn all(&self) -> Vec<(Arc<str>, Slot)> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.iter().map(|(key, slot)| (key.clone(), slot.clone())).collect()
    }

    /// Begins a change.
    ///
    /// # Errors
    /// After [`Index::close`].
    pub fn change(&self) -> io::Result<Change<'_>> {
        let writer = self.lock();
        if writer.is_closed {
            return Err(io::Error::other("sessions are closed"));
        }
        Ok(Change { index: self, writer })
    }

    /// Folds the journal into the file and refuses every later change.
    pub fn close(&self) {
        let mut writer = self.lock();
        if !std::mem::replace(&mut writer.is_closed, true)
            && let Err(error) = self.fold(&mut writer)
        {
            // Nothing is lost: the next start reads the journal.
            log::warn!(target: "gateway", "cannot write {}: {error}", self.path.display());
        }
    }

    /// Folds the journal into the file, if there is anything to fold.
    ///
    /// # Errors
    /// Any I/O error; file and journal then still mean the same.
    pub fn tidy(&self) -> io::Result<()> {
        let mut writer = self.lock();
        if writer.is_closed { Ok(()) } else { self.fold(&mut writer) }
    }

    /// Tells whether the file is behind and small enough to be written at once. An index that is being changed says no.
    pub fn is_behind(&self) -> bool {
        let Ok(writer) = self.writer.try_lock() else { return false };
        let behind = writer.journal.len_bytes();
        behind > 0 && writer.base_bytes + behind <= SMALL_BYTES_MAX
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fold(&self, writer: &mut Writer) -> io::Result<()> {
        if writer.journal.len_bytes() == 0 {
            return Ok(());
        }
        if Identity::of(&self.path)? != writer.base {
            self.take_over(writer)?;
        }
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner).clone();
        let backup = backup_path(&self.path);
        if writer.base.is_some() {
            // Best effort: without it a torn file could only be set aside.
            let _ = std::fs::remove_file(&backup);
            let _ = fs::keep_as(&self.path, &backup);
        }
        fs::write_atomic_with(&self.path, MODE_PRIVATE, Durability::Power, |file| {
            let mut out = BufWriter::with_capacity(64 * 1024, file);
            let mut map = serde_json::Serializer::pretty(&mut out);
            let mut map = map.serialize_map(Some(slots.len()))?;
            for (key, slot) in &slots {
                map.serialize_entry(key.as_ref(), &slot.value())?;
            }
            map.end()?;
            out.write_all(b"\n")?;
            out.flush()
        })?;
        writer.base = Identity::of(&self.path)?;
        writer.base_bytes = writer.base.map_or(0, |base| base.bytes);
        writer.pool.retain(|text| Arc::strong_count(text) > 1);
        writer.journal.clear()
    }

    /// Takes in what somebody else has written into the file while this gateway ran.
    fn take_over(&self, writer: &mut Writer) -> io::Result<()> {
        log::info!(target: "gateway", "{} was changed by somebody else; the newer of each session is kept", self.path.display());
        let theirs = read(&self.path, &mut writer.pool)?;
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        for (key, slot) in theirs {
            if slots.get(&key).is_none_or(|ours| ours.updated_at < slot.updated_at) {
                slots.insert(key, slot);
            }
        }
        Ok(())
    }
}

impl Change<'_> {
    /// Returns the entry as it is now.
    pub fn entry(&self, key: &str) -> Option<Entry> {
        self.index.get(key)?.entry()
    }

    /// Writes an entry down.
    ///
    /// # Errors
    /// Any I/O error; nothing is changed then.
    pub fn put(&mut self, key: &str, entry: &Entry, durability: Durability) -> io::Result<()> {
        let slot = Slot::new(serde_json::to_value(entry)?, &mut self.writer.pool);
        let old = self.index.get(key);
        let mut line = json!({"key": key, "entry": serde_json::from_str::<Value>(&slot.text)?});
        match &slot.shared {
            Some(shared) if old.is_some_and(|old| old.shared.as_ref() == Some(shared)) => line["keeps"] = true.into(),
            Some(shared) => line["entry"][SHARED] = serde_json::from_str(shared)?,
            None => {}
        }
        self.write(line, durability)?;
        let mut slots = self.index.slots.write().unwrap_or_else(PoisonError::into_inner);
        match slots.get_mut(key) {
            Some(there) => *there = slot,
            None => drop(slots.insert(key.into(), slot)),
        }
        drop(slots);
        self.fold_when_long();
        Ok(())
    }

    /// Forgets sessions.
    ///
    /// # Errors
    /// Any I/O error; nothing is changed then.
    pub fn remove(&mut self, key: &str, now_ms: UnixMs) -> io::Result<()> {
        self.write(json!({"key": key, "removedAt": now_ms}), Durability::Power)?;
        self.index.slots.write().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.fold_when_long();
        Ok(())
    }

    fn write(&mut self, line: Value, durability: Durability) -> io::Result<()> {
        let Writer { journal, base, .. } = &mut *self.writer;
        if journal.len_bytes() > 0 {
            return journal.append(&[line], durability);
        }
        let head = json!({"continues": base.map_or(Value::Null, Identity::to_json)});
        journal.append(&[head, line], durability)
    }

    fn fold_when_long(&mut self) {
        let bytes_max = self.writer.base_bytes.max(JOURNAL_BYTES_MIN);
        if self.writer.journal.len_bytes() > bytes_max
            && let Err(error) = self.index.fold(&mut self.writer)
        {
            log::warn!(target: "gateway", "cannot write {}: {error}", self.index.path.display());
        }
    }
}

/// What a journal comes to.
#[derive(Default)]
struct Lines {
    /// The file that it continues.
    base: Option<Value>,
    /// The last word about each key.
    last: BTreeMap<String, Value>,
}

impl Lines {
    fn take(&mut self, mut line: Value) {
        if let Some(base) = line.get_mut("continues") {
            self.base = Some(base.take());
            return;
        }
        let Some(key) = line["key"].as_str().map(str::to_owned) else { return };
        if line["keeps"] == true
            && let Some(shared) = self.last.get_mut(&key).and_then(|old| old["entry"].get_mut(SHARED))
        {
            line["entry"][SHARED] = shared.take();
        }
        self.last.insert(key, line);
    }

    fn apply(self, slots: &mut Slots, continues_it: bool, pool: &mut HashSet<Arc<str>>) {
        for (key, mut line) in self.last {
            let there = slots.get(key.as_str());
            let removed_at = line["removedAt"].as_u64();
            let at = removed_at.or_else(|| line["entry"]["updatedAt"].as_u64()).unwrap_or(0);
            if !continues_it && there.is_some_and(|there| there.updated_at >= at) {
                continue;
            }
            if removed_at.is_some() {
                slots.remove(key.as_str());
                continue;
            }
            let keeps = line["keeps"] == true && line["entry"].get(SHARED).is_none();
            let shared = there.filter(|_| keeps).and_then(|there| there.shared.clone());
            let mut slot = Slot::new(line["entry"].take(), pool);
            if shared.is_some() {
                slot.shared = shared;
            }
            slots.insert(key.into(), slot);
        }
    }
}

/// Reads the file; one that is torn is set aside, and the one before it takes its place.
fn read(path: &Path, pool: &mut HashSet<Arc<str>>) -> io::Result<Slots> {
    let Some(text) = fs::read_text_capped(path, STORE_BYTES_MAX)? else { return Ok(Slots::new()) };
    match parse(&text, pool) {
        Ok(slots) => Ok(slots),
        Err(error) => {
            let aside = fs::set_aside(path, SystemClock.now_ms())?;
            let backup = fs::read_text_capped(&backup_path(path), STORE_BYTES_MAX).ok().flatten();
            let slots = backup.and_then(|text| parse(&text, pool).ok()).unwrap_or_default();
            log::error!(
                target: "gateway",
                "session index {} could not be read ({error}); it was moved to {}, and {} sessions of the copy before it \
                 are used",
                path.display(), aside.display(), slots.len(),
            );
            Ok(slots)
        }
    }
}

fn parse(text: &str, pool: &mut HashSet<Arc<str>>) -> serde_json::Result<Slots> {
    let raw: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(text)?;
    let slot = |(key, raw): (Cow<'_, str>, &RawValue)| {
        Ok((Arc::from(&*key), Slot::new(serde_json::from_str(raw.get())?, pool)))
    };
    raw.into_iter().map(slot).collect()
}

fn journal_path(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.journal", path.display()))
}

fn backup_path(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.bak", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    fn entry(id: &str, updated_at: UnixMs) -> Entry {
        Entry { session_id: id.into(), updated_at, ..Entry::default() }
    }

    fn put(index: &Index, key: &str, entry: &Entry) {
        index.change().expect("open").put(key, entry, Durability::Process).expect("put");
    }

    fn ids(index: &Index) -> Vec<String> {
        index.all().iter().map(|(key, slot)| format!("{key}={}", slot.entry().expect("entry").session_id)).collect()
    }

    #[test]
    fn a_change_is_one_line_and_the_file_follows_later() {
        let dir = TempDir::new("index");
        let path = dir.path().join("sessions.json");
        std::fs::write(&path, json!({"a": {"sessionId": "1", "updatedAt": 5, "new": [1]}, "odd": 7}).to_string())
            .expect("write");
        let index = Index::open(path.clone()).expect("open");
        let before = std::fs::read(&path).expect("read");
        put(&index, "a", &Entry { updated_at: 6, ..index.get("a").expect("a").entry().expect("entry") });
        put(&index, "b", &entry("2", 7));
        put(&index, "c", &entry("3", 7));
        index.change().expect("open").remove("c", 8).expect("remove");
        assert_eq!(std::fs::read(&path).expect("read"), before, "the file waits");
        // As after a kill: what was acknowledged is there, twice over.
        for _ in 0..2 {
            let again = Index::open(path.clone()).expect("open");
            let keys: Vec<Arc<str>> = again.all().into_iter().map(|(key, _)| key).collect();
            assert_eq!(keys, ["a".into(), "b".into(), "odd".into()] as [Arc<str>; 3]);
            assert_eq!(again.get("a").expect("a").updated_at, 6);
        }
        index.close();
        assert!(index.change().is_err() && !journal_path(&path).exists());
        let stored: Value = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
        assert_eq!(stored["a"], json!({"sessionId": "1", "updatedAt": 6, "new": [1]}));
        assert_eq!((&stored["odd"], stored.get("c")), (&json!(7), None));
    }

    #[test]
    fn the_newer_of_two_writers_wins_session_by_session() {
        let dir = TempDir::new("index-foreign");
        let path = dir.path().join("sessions.json");
        let index = Index::open(path.clone()).expect("open");
        for key in ["old", "new", "gone", "kept"] {
            put(&index, key, &entry("ours", 10));
        }
        index.tidy().expect("fold");
        for (key, at) in [("old", 20), ("new", 20), ("ours", 20)] {
            put(&index, key, &entry("later", at));
        }
        index.change().expect("open").remove("gone", 20).expect("remove");
        index.change().expect("open").remove("kept", 20).expect("remove");
        drop(index);
        // Somebody else goes on from the file as it was.
        let theirs = json!({
            "old": {"sessionId": "theirs", "updatedAt": 19}, "new": {"sessionId": "theirs", "updatedAt": 21},
            "gone": {"sessionId": "theirs", "updatedAt": 10}, "kept": {"sessionId": "theirs", "updatedAt": 30},
        });
        std::fs::write(&path, theirs.to_string()).expect("write");
        let index = Index::open(path.clone()).expect("open");
        let wanted = ["kept=theirs", "new=theirs", "old=later", "ours=later"];
        assert_eq!(ids(&index), wanted);
        // And while this one runs.
        std::fs::write(&path, json!({"new": {"sessionId": "again", "updatedAt": 50}}).to_string()).expect("write");
        index.close();
        assert_eq!(ids(&Index::open(path).expect("open")), ["kept=theirs", "new=again", "old=later", "ours=later"]);
    }

    #[test]
    fn a_crash_while_folding_changes_nothing() {
        let dir = TempDir::new("index-fold");
        let path = dir.path().join("sessions.json");
        let index = Index::open(path.clone()).expect("open");
        put(&index, "a", &entry("1", 5));
        put(&index, "b", &entry("2", 5));
        index.change().expect("open").remove("b", 6).expect("remove");
        let journal = std::fs::read(journal_path(&path)).expect("journal");
        index.tidy().expect("fold");
        // The file was written, the journal not yet emptied.
        std::fs::write(journal_path(&path), journal).expect("write");
        assert_eq!(ids(&Index::open(path).expect("open")), ["a=1"]);
    }

    #[test]
    fn a_torn_file_gives_way_to_the_one_before() {
        let dir = TempDir::new("index-torn");
        let path = dir.path().join("sessions.json");
        let index = Index::open(path.clone()).expect("open");
        put(&index, "a", &entry("1", 5));
        index.tidy().expect("fold");
        put(&index, "a", &entry("1", 6));
        index.close();
        for torn in ["", "{\"a\": {"] {
            std::fs::write(&path, torn).expect("write");
            assert_eq!(ids(&Index::open(path.clone()).expect("open")), ["a=1"]);
        }
    }

    #[test]
    fn a_long_journal_is_folded_and_shared_text_is_kept_once() {
        let dir = TempDir::new("index-long");
        let path = dir.path().join("sessions.json");
        let index = Index::open(path.clone()).expect("open");
        let snapshot = json!({"prompt": "x".repeat(10_000)});
        let with =
            |at| Entry { other: serde_json::Map::from_iter([(SHARED.to_owned(), snapshot.clone())]), ..entry("1", at) };
        for number in 0..100 {
            put(&index, &format!("k{number}"), &with(1));
        }
        let (a, b) = (index.get("k1").expect("slot"), index.get("k2").expect("slot"));
        assert!(Arc::ptr_eq(&a.shared.expect("shared"), &b.shared.expect("shared")));
        let long = index.lock().journal.len_bytes();
        put(&index, "k1", &with(2));
        assert!(index.lock().journal.len_bytes() - long < 500, "what has not changed is not written again");
        let again = Index::open(path.clone()).expect("open");
        assert_eq!(again.get("k1").expect("slot").entry(), Some(with(2)));
        for at in 3..10_000 {
            put(&index, "k2", &entry("2", at));
            if path.exists() {
                break;
            }
        }
        assert!(path.exists() && index.lock().journal.len_bytes() < 500);
    }
}
