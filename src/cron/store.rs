//! The store: the jobs' file and the scheduler over it.
//!
//! Owns `jobs.json` in the original's format (`{version: 1, jobs: []}`) and a copy of it, `jobs.json.bak`. Readers get a
//! snapshot and never wait; writers wait for each other and for the disk. A job is told to exist only once it is in the
//! file. Entries and fields that this version cannot read stay in the file as they are. Any thread.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde_json::{Map, Value, json};

use super::input;
use super::jobs::Refused;
use super::scheduler::Scheduler;
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::fs::{self, Durability};
use crate::base::store::STORE_BYTES_MAX;
use crate::config::json5;
use crate::protocol::cron::CronJob;

/// See the module.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    snapshot: RwLock<Arc<Scheduler>>,
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    is_closed: bool,
    /// Entries of the list that are no jobs.
    entries: Vec<Value>,
    /// The file's other fields.
    fields: Map<String, Value>,
}

/// What a file holds.
#[derive(Debug, Default)]
struct Contents {
    jobs: Vec<CronJob>,
    entries: Vec<Value>,
    fields: Map<String, Value>,
}

impl Store {
    /// Opens the store; a missing file is an empty list.
    ///
    /// A file that cannot be parsed is moved aside and logged; the copy takes its place, if that can be read.
    ///
    /// # Errors
    /// I/O errors, and files that are too large.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let Contents { jobs, entries, fields } = load(&path)?;
        if !entries.is_empty() {
            let count = entries.len();
            log::warn!(target: "gateway/cron", "{count} entries of {} are kept but cannot be run", path.display());
        }
        Ok(Self {
            path,
            snapshot: RwLock::new(Arc::new(Scheduler::new(jobs))),
            writer: Mutex::new(Writer { is_closed: false, entries, fields }),
        })
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the scheduler as it is now.
    pub fn get(&self) -> Arc<Scheduler> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does what somebody asked for: all of it, file included, or nothing.
    ///
    /// # Errors
    /// What `change` refuses, and a write that fails.
    pub fn change<R>(&self, change: impl FnOnce(&mut Scheduler) -> Result<R, Refused>) -> Result<R, Refused> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Scheduler::clone(&self.get());
        let result = change(&mut next)?;
        self.save(&writer, &mut next)
            .map_err(|error| Refused::rule(format_args!("cannot write {}: {error}", self.path.display())))?;
        self.swap(next);
        Ok(result)
    }

    /// Takes note of what has happened, also when it cannot be written; the next write makes up for it.
    pub fn note<R>(&self, change: impl FnOnce(&mut Scheduler) -> R) -> R {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Scheduler::clone(&self.get());
        let result = change(&mut next);
        if let Err(error) = self.save(&writer, &mut next) {
            log::error!(target: "gateway/cron", "cannot write {}: {error}", self.path.display());
        }
        self.swap(next);
        result
    }

    /// Writes no more, so that a run that outlives its gateway cannot write behind the next one's back.
    pub fn close(&self) {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
    }

    fn swap(&self, next: Scheduler) {
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }

    fn save(&self, writer: &Writer, scheduler: &mut Scheduler) -> io::Result<()> {
        if !scheduler.is_dirty() {
            return Ok(());
        }
        if writer.is_closed {
            return Err(io::Error::other("the store is closed"));
        }
        let jobs: Vec<Value> =
            scheduler.jobs().iter().map(|job| json!(job)).chain(writer.entries.iter().cloned()).collect();
        let mut file = Map::from_iter([("version".to_owned(), json!(1)), ("jobs".to_owned(), jobs.into())]);
        file.extend(writer.fields.clone());
        let mut text = serde_json::to_vec_pretty(&file)?;
        text.push(b'\n');
        fs::write_atomic(&self.path, &text, fs::MODE_PRIVATE, Durability::Power)?;
        scheduler.saved();
        if let Err(error) = fs::write_atomic(&backup(&self.path), &text, fs::MODE_PRIVATE, Durability::Process) {
            log::debug!(target: "gateway/cron", "no copy of {}: {error}", self.path.display());
        }
        Ok(())
    }
}

fn backup(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.bak", path.display()))
}

fn load(path: &Path) -> io::Result<Contents> {
    let error = match read(path)? {
        None => return Ok(Contents::default()),
        Some(Ok(contents)) => return Ok(contents),
        Some(Err(error)) => error,
    };
    let aside = fs::set_aside(path, SystemClock.now_ms())?;
    let copy = backup(path);
    let (contents, rest) = match read(&copy) {
        Ok(Some(Ok(contents))) => (contents, format!("the jobs of {} are used", copy.display())),
        _ => (Contents::default(), "there are no jobs now".to_owned()),
    };
    log::error!(
        target: "gateway/cron",
        "the cron jobs in {} could not be read ({error}); the file was moved to {}, and {rest}",
        path.display(), aside.display(),
    );
    Ok(contents)
}

/// Reads a file; the inner result is about what is in it.
fn read(path: &Path) -> io::Result<Option<Result<Contents, String>>> {
    let text = match fs::read_text_capped(path, STORE_BYTES_MAX) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Some(Err(error.to_string()))),
        Err(error) => return Err(error),
    };
    // Programs write JSON, people JSON5.
    let value = serde_json::from_str(&text).or_else(|_| json5::parse(&text).map_err(|error| error.message));
    Ok(Some(value.and_then(parse)))
}

fn parse(value: Value) -> Result<Contents, String> {
    let Value::Object(mut fields) = value else { return Err("it holds no object".to_owned()) };
    let list = match fields.remove("jobs") {
        None => Vec::new(),
        Some(Value::Array(list)) => list,
        Some(_) => return Err("`jobs` is no list".to_owned()),
    };
    let mut contents = Contents { fields, ..Contents::default() };
    let mut seen = HashSet::new();
    for entry in list.into_iter().filter(|entry| !entry.is_null()) {
        match job(&entry).filter(|job| !job.id.is_empty() && seen.insert(job.id.clone())) {
            Some(job) => contents.jobs.push(job),
            None => contents.entries.push(entry),
        }
    }
    Ok(contents)
}

fn job(entry: &Value) -> Option<CronJob> {
    let mut fields = entry.as_object()?.clone();
    input::stored(&mut fields);
    serde_json::from_value(Value::Object(fields)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use crate::cron::jobs;

    fn new_job(name: &str) -> CronJob {
        let params = json!({"name": name, "schedule": {"kind": "every", "everyMs": 60000}, "sessionTarget": "main",
            "wakeMode": "now", "payload": {"kind": "systemEvent", "text": "t"}});
        jobs::create(serde_json::from_value(params).expect("parameters"), name.to_owned(), 5).expect("a job")
    }

    fn names(store: &Store) -> Vec<String> {
        store.get().jobs().iter().map(|job| job.name.clone()).collect()
    }

    #[test]
    fn jobs_survive_and_failed_writes_change_nothing() {
        let dir = TempDir::new("cron-store");
        let path = dir.path().join("cron/jobs.json");
        let store = Store::open(path.clone()).expect("open");
        store.change(|scheduler| scheduler.add(new_job("a"), 5)).expect("add");
        assert_eq!(names(&Store::open(path.clone()).expect("open")), ["a"]);
        assert_eq!(std::fs::read(&path).expect("file"), std::fs::read(backup(&path)).expect("copy"));
        store.close();
        assert!(store.change(|scheduler| scheduler.add(new_job("b"), 5)).is_err());
        assert_eq!(names(&store), ["a"]);
    }

    #[test]
    fn what_is_not_understood_stays() {
        let dir = TempDir::new("cron-store-foreign");
        let path = dir.path().join("jobs.json");
        let odd = json!({"id": "odd", "schedule": {"kind": "moon"}});
        let text = json!({"version": 1, "note": "mine", "jobs": [
            {"id": "x", "enabled": true, "color": "red", "schedule": {"kind": "at", "atMs": "2031-01-01"},
             "payload": {"kind": "systemEvent", "text": "hello", "provider": "Telegram"}},
            odd, null, {"id": "x", "schedule": {"everyMs": 5}, "payload": {"kind": "systemEvent", "text": "twin"}},
        ]});
        // A trailing comma and a comment: somebody edited it.
        std::fs::write(&path, text.to_string().replace(r#""note""#, "/* by hand */ note").replace("]}", "],}"))
            .expect("write");
        let store = Store::open(path.clone()).expect("open");
        assert_eq!(names(&store), ["hello"]);
        store.change(|scheduler| scheduler.add(new_job("b"), 5)).expect("add");
        let stored: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect("read")).expect("JSON");
        assert_eq!((&stored["note"], &stored["jobs"][0]["color"]), (&json!("mine"), &json!("red")));
        assert_eq!(stored["jobs"][2], odd);
        assert_eq!(stored["jobs"].as_array().map(Vec::len), Some(4));
    }

    #[test]
    fn a_torn_file_is_kept_aside_and_its_copy_used() {
        let dir = TempDir::new("cron-store-torn");
        let path = dir.path().join("jobs.json");
        let store = Store::open(path.clone()).expect("open");
        store.change(|scheduler| scheduler.add(new_job("a"), 5)).expect("add");
        let text = std::fs::read_to_string(&path).expect("read");
        std::fs::write(&path, &text[..text.len() / 2]).expect("tear");
        assert_eq!(names(&Store::open(path.clone()).expect("open")), ["a"]);
        std::fs::write(&path, "[]").expect("tear");
        std::fs::write(backup(&path), "{").expect("tear");
        assert!(names(&Store::open(path).expect("open")).is_empty());
        let entries = std::fs::read_dir(dir.path()).expect("directory").filter_map(Result::ok);
        let kept = entries.filter(|entry| entry.file_name().to_string_lossy().contains(".corrupt-")).count();
        assert_eq!(kept, 2);
    }
}
