//! Run logs: one line per finished run, in one file per job beside the store.
//!
//! Written by the thread that ends a run, read by any. A log over [`BYTES_MAX`] is cut to its last [`LINES_KEPT`] lines.
//! Losing a line to a crash is no harm, so nothing is synced.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::base::clock::UnixMs;
use crate::base::fs::{self, Durability};
use crate::protocol::cron::CronEvent;

/// Size from which a log is cut.
pub const BYTES_MAX: u64 = 2_000_000;
/// Lines that are left.
pub const LINES_KEPT: usize = 2000;
/// Most bytes of a log that are looked at.
const READ_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Entries when the caller names no limit.
pub const LIMIT_DEFAULT: u64 = 200;

/// Appends a finished run.
///
/// # Errors
/// Any I/O error; `InvalidInput` when the job's id cannot name a file.
pub fn append(store: &Path, event: &CronEvent, now_ms: UnixMs) -> io::Result<()> {
    let path = path(store, &event.job_id)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the job's id cannot name a file"))?;
    if let Some(directory) = path.parent() {
        fs::create_dir_private(directory)?;
    }
    let mut entry = Map::from_iter([("ts".to_owned(), json!(now_ms))]);
    if let Value::Object(fields) = json!(event) {
        entry.extend(fields);
    }
    let mut line = Value::Object(entry).to_string();
    line.push('\n');
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
    let len = file.seek(SeekFrom::End(0))?;
    let mut last = [b'\n'];
    if len > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last != *b"\n" {
        // The line before was torn by a crash; it must not take this one with it.
        line.insert(0, '\n');
    }
    file.write_all(line.as_bytes())?;
    if len + line.len() as u64 > BYTES_MAX { cut(&path) } else { Ok(()) }
}

/// Returns the last `limit` entries of a job, oldest first; lines that are none are passed over.
pub fn read(store: &Path, job_id: &str, limit: u64) -> Vec<Value> {
    let Some(text) = path(store, job_id).and_then(|path| text(&path).ok()) else { return Vec::new() };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_entry = |entry: &Value| entry["action"] == "finished" && entry["jobId"] == job_id && entry["ts"].is_number();
    let mut entries: Vec<Value> = text
        .lines()
        .rev()
        .filter_map(|line| serde_json::from_str(line.trim()).ok())
        .filter(is_entry)
        .take(limit)
        .collect();
    entries.reverse();
    entries
}

/// Returns the log's path. Ids come from clients and files: one that could leave the directory has no log.
fn path(store: &Path, job_id: &str) -> Option<PathBuf> {
    const ID_LEN_MAX: usize = 200;
    let is_name = !job_id.is_empty()
        && job_id.len() <= ID_LEN_MAX
        && !job_id.starts_with('.')
        && !job_id.contains(|c: char| matches!(c, '/' | '\\') || c.is_control());
    is_name.then(|| store.with_file_name("runs").join(format!("{job_id}.jsonl")))
}

fn text(path: &Path) -> io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(READ_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(READ_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn cut(path: &Path) -> io::Result<()> {
    let text = text(path)?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut kept = lines[lines.len().saturating_sub(LINES_KEPT)..].join("\n");
    kept.push('\n');
    fs::write_atomic(path, kept.as_bytes(), fs::MODE_PRIVATE, Durability::Process)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use crate::protocol::cron::{CronAction, CronStatus};

    fn event(summary: String) -> CronEvent {
        CronEvent {
            status: Some(CronStatus::Ok),
            summary: Some(summary),
            run_at_ms: Some(1),
            ..CronEvent::new("j", CronAction::Finished)
        }
    }

    #[test]
    fn the_last_entries_survive_torn_lines() {
        let dir = TempDir::new("cron-runs");
        let store = dir.path().join("jobs.json");
        append(&store, &event("one".into()), 5).expect("append");
        let file = dir.path().join("runs/j.jsonl");
        let mut torn = std::fs::read(&file).expect("read");
        torn.extend(b"{\"ts\":6,\"jobId\":\"j\",\"summ\xc3");
        std::fs::write(&file, torn).expect("write");
        append(&store, &event("two".into()), 7).expect("append");
        let entries = read(&store, "j", 10);
        let expected =
            json!({"ts": 7, "jobId": "j", "action": "finished", "status": "ok", "summary": "two", "runAtMs": 1});
        assert_eq!((entries.len(), &entries[1]), (2, &expected));
        assert_eq!(read(&store, "j", 1), [expected]);
    }

    #[test]
    fn long_logs_are_cut() {
        let dir = TempDir::new("cron-runs-cut");
        let store = dir.path().join("jobs.json");
        let filler = "x".repeat(2000);
        let line = format!("{}\n", json!({"ts": 1, "jobId": "j", "action": "finished", "summary": filler}));
        std::fs::create_dir_all(dir.path().join("runs")).expect("directory");
        let file = dir.path().join("runs/j.jsonl");
        std::fs::write(&file, line.repeat(2500)).expect("write");
        append(&store, &event("last".into()), 7).expect("append");
        let lines = std::fs::read_to_string(&file).expect("read").lines().count();
        let entries = read(&store, "j", 5000);
        assert_eq!((lines, entries.len()), (LINES_KEPT, LINES_KEPT));
        assert_eq!(entries[LINES_KEPT - 1]["summary"], "last");
    }

    #[test]
    fn ids_cannot_leave_the_directory() {
        let dir = TempDir::new("cron-runs-id");
        let store = dir.path().join("cron/jobs.json");
        for id in ["../secret", "a/b", "..", ".", "", "a\0"] {
            assert!(append(&store, &CronEvent::new(id, CronAction::Finished), 1).is_err(), "{id}");
            assert!(read(&store, id, 5).is_empty());
        }
    }
}
