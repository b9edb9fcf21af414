//! The file log: one JSON object per line, in the original's shape (cli.md §23.1).

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use log::Level;
use serde_json::{Map, Value, json};

use super::level_meta;
use crate::base::clock::{UnixMs, iso_utc, local_date};
use crate::base::host;

/// A file of this size gives way to a new one and stays as `<file>.1`, in place of the one before it.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Daily files older than this are deleted when a new one is opened.
const KEEP: Duration = Duration::from_secs(24 * 3600);

/// Where the log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// `clawdbot-YYYY-MM-DD.log` in this directory, a new file each local day.
    Daily(PathBuf),
    /// One file.
    Fixed(PathBuf),
}

impl Destination {
    /// Returns the file for a moment.
    pub fn path(&self, now_ms: UnixMs) -> PathBuf {
        match self {
            Self::Daily(directory) => directory.join(format!("clawdbot-{}.log", local_date(now_ms))),
            Self::Fixed(path) => path.clone(),
        }
    }
}

/// The open file, reopened when the day or the settings change.
#[derive(Debug, Default)]
pub struct FileLog {
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    destination: Destination,
    day: u64,
    file: File,
    /// How large it is, as far as this process knows.
    bytes: u64,
}

impl FileLog {
    /// Appends one record. A log that cannot be written must not stop the gateway, so errors end here.
    pub fn write(&self, destination: &Destination, now_ms: UnixMs, level: Level, subsystem: &str, message: &str) {
        let mut line = record(now_ms, level, subsystem, message);
        line.push('\n');
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Days are compared in hours so that the local midnight is noticed within the hour in every zone.
        let day = now_ms / 3_600_000;
        if open.as_ref().is_none_or(|open| open.day != day || open.destination != *destination) {
            *open = open_file(destination, now_ms).map(|file| Open::new(destination, day, file));
        }
        if open.as_ref().is_some_and(|open| open.bytes >= BYTES_MAX) {
            let path = destination.path(now_ms);
            let mut older = path.clone().into_os_string();
            older.push(".1");
            // A file that cannot be moved goes on growing: better than no log.
            let _ = std::fs::rename(&path, older);
            *open = open_file(destination, now_ms).map(|file| Open::new(destination, day, file));
        }
        if let Some(open) = open.as_mut() {
            // One write per line: lines of several processes do not mix.
            let _ = open.file.write_all(line.as_bytes());
            open.bytes += line.len() as u64;
        }
    }

    /// Hands everything to the system.
    pub fn flush(&self) {
        if let Some(open) = self.open.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            let _ = open.file.flush();
        }
    }
}

impl Open {
    fn new(destination: &Destination, day: u64, file: File) -> Self {
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        Self { destination: destination.clone(), day, file, bytes }
    }
}

fn open_file(destination: &Destination, now_ms: UnixMs) -> Option<File> {
    let path = destination.path(now_ms);
    if let Some(parent) = path.parent() {
        let _ = std::fs::create_dir_all(parent);
        if matches!(destination, Destination::Daily(_)) {
            prune(parent);
        }
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).ok()
}

fn prune(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_old = entry
            .metadata()
            .and_then(|meta| meta.modified())
            .is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > KEEP));
        if name.starts_with("clawdbot-") && (name.ends_with(".log") || name.ends_with(".log.1")) && is_old {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn record(now_ms: UnixMs, level: Level, subsystem: &str, message: &str) -> String {
    let time = iso_utc(now_ms);
    let name = json!({ "subsystem": subsystem }).to_string();
    let (level_id, level_name) = level_meta(level);
    let mut line = Map::new();
    line.insert("0".into(), name.clone().into());
    line.insert("1".into(), message.into());
    line.insert(
        "_meta".into(),
        json!({
            "runtime": "rust",
            "runtimeVersion": env!("CARGO_PKG_VERSION"),
            "hostname": host::name(),
            "name": name,
            "parentNames": ["clawdbot"],
            "date": time,
            "logLevelId": level_id,
            "logLevelName": level_name,
        }),
    );
    line.insert("time".into(), time.into());
    Value::Object(line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn lines_have_the_originals_keys() {
        let dir = TempDir::new("log");
        let destination = Destination::Daily(dir.path().join("logs"));
        let log = FileLog::default();
        log.write(&destination, 1_795_353_648_869, Level::Warn, "gateway/ws", "hello");
        let text = std::fs::read_to_string(destination.path(1_795_353_648_869)).expect("log file");
        let line: Value = serde_json::from_str(text.trim_end()).expect("one JSON line");
        assert_eq!(line["0"], r#"{"subsystem":"gateway/ws"}"#);
        assert_eq!((&line["1"], &line["_meta"]["logLevelName"]), (&json!("hello"), &json!("WARN")));
        assert_eq!(line.as_object().and_then(|line| line.keys().next_back().cloned()).as_deref(), Some("time"));
    }
}
