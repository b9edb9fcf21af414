//! Writing the configuration file (config.md §8).
//!
//! Every write is checked as the reader would check it before it replaces the file, and leaves five older versions
//! beside it. Blocking, on whichever thread asks; edits of one process wait for each other, and the last of several
//! processes wins. Not here: comments and formatting of the old text, which are lost.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use super::issue::Issue;
use super::load::{self, Snapshot};
use super::paths::Paths;
use super::{include, json5, tree};
use crate::base::clock::{Clock as _, SystemClock, iso_utc};
use crate::base::fs::{Durability, MODE_PRIVATE, read_text_capped, write_atomic};

/// Highest number of an older version; with the unnumbered one they are five.
const BACKUPS_MAX: usize = 4;

static WRITING: Mutex<()> = Mutex::new(());

/// Why nothing was written.
#[derive(Debug)]
pub enum EditError {
    /// The file cannot be read or written.
    Io(io::Error),
    /// The file would be invalid; or, when it is not even JSON5, is.
    Invalid(Vec<Issue>),
    /// The change itself failed.
    Change(String),
}

impl std::fmt::Display for EditError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "config file: {error}"),
            Self::Invalid(issues) => {
                let first = issues.first().map(Issue::describe).unwrap_or_default();
                write!(f, "Config validation failed: {first}")
            }
            Self::Change(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for EditError {}

impl From<io::Error> for EditError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Replaces the file by `tree` as it would be read (so `${NAME}` and `$include` are allowed) and returns its hash.
///
/// # Errors
/// Any I/O error; `InvalidData` with the first issue when the result would be invalid.
pub fn write(paths: &Paths, tree: &Value) -> io::Result<String> {
    let _guard = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    match store(paths, tree.clone()) {
        Ok(snapshot) => Ok(snapshot.hash),
        Err(EditError::Io(error)) => Err(error),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
    }
}

/// Changes the file as it was written, includes and `${NAME}` unexpanded, and returns what it then means.
///
/// # Errors
/// What `change` returns; the issues of a result that would be invalid; any I/O error. The file is then as before.
pub fn edit(paths: &Paths, change: impl FnOnce(&mut Value) -> Result<(), String>) -> Result<Snapshot, EditError> {
    let _guard = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut tree = match read_text_capped(&paths.config_file, include::FILE_BYTES_MAX)? {
        Some(text) => json5::parse(&text).map_err(|error| {
            let issue = Issue::new("", format!("JSON5 parse failed: {}", error.message));
            EditError::Invalid(vec![Issue { line: error.line, ..issue }])
        })?,
        None => Value::Object(Map::new()),
    };
    change(&mut tree).map_err(EditError::Change)?;
    store(paths, tree)
}

/// Stamps, checks and writes; the caller holds the lock.
fn store(paths: &Paths, mut tree: Value) -> Result<Snapshot, EditError> {
    stamp(&mut tree);
    let text = format!("{tree:#}\n");
    let mut snapshot = load::from_text(paths, text.clone(), &|name| std::env::var(name).ok());
    if !snapshot.valid {
        // Lines of a text that nobody sees would only confuse.
        snapshot.issues.iter_mut().for_each(|issue| issue.line = None);
        return Err(EditError::Invalid(snapshot.issues));
    }
    rotate(&paths.config_file);
    write_atomic(&paths.config_file, text.as_bytes(), MODE_PRIVATE, Durability::Power)?;
    Ok(snapshot)
}

/// Notes who wrote the file and when.
fn stamp(tree: &mut Value) {
    // Anything else there is an issue that the check must see.
    if tree.is_object() && tree.get("meta").is_none_or(Value::is_object) {
        let meta = tree::object_mut(tree, &["meta"]);
        meta.insert("lastTouchedVersion".to_owned(), Value::from(env!("CARGO_PKG_VERSION")));
        meta.insert("lastTouchedAt".to_owned(), Value::from(iso_utc(SystemClock.now_ms())));
    }
}

/// Copies the file to `.bak` after moving the older versions up by one. Best effort: a write must not fail for its past.
fn rotate(file: &Path) {
    if !file.exists() {
        return;
    }
    for number in (1..=BACKUPS_MAX).rev() {
        let _ = std::fs::rename(backup(file, number - 1), backup(file, number));
    }
    let _ = std::fs::copy(file, backup(file, 0));
}

/// `.bak`, `.bak.1` … beside the file.
fn backup(file: &Path, number: usize) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(if number == 0 { ".bak".to_owned() } else { format!(".bak.{number}") });
    file.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt as _;

    fn paths_in(dir: &TempDir) -> Paths {
        let home = dir.path().display().to_string();
        Paths::resolve(|name| (name == "HOME").then(|| home.clone()))
    }

    #[test]
    fn five_older_versions_are_kept() {
        let dir = TempDir::new("write");
        let paths = paths_in(&dir);
        for port in 1..=7 {
            let hash = write(&paths, &json!({"gateway": {"port": port}})).expect("write");
            assert_eq!(hash, load::load(&paths).hash);
        }
        let port = |number| {
            let text = std::fs::read_to_string(backup(&paths.config_file, number)).ok()?;
            serde_json::from_str::<Value>(&text).ok()?["gateway"]["port"].as_u64()
        };
        assert_eq!((0..=5).map(port).collect::<Vec<_>>(), [Some(6), Some(5), Some(4), Some(3), Some(2), None]);
        let mode = std::fs::metadata(&paths.config_file).expect("meta").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&paths.config_file).expect("read");
        assert!(
            text.starts_with(
                "{\n  \"gateway\": {\n    \"port\": 7\n  },\n  \"meta\": {\n    \"lastTouchedVersion\": \""
            ),
            "{text}"
        );
        assert!(text.ends_with("\"\n  }\n}\n"), "{text}");
    }

    #[test]
    fn edits_keep_references_and_refuse_what_is_broken() {
        let dir = TempDir::new("edit");
        let paths = paths_in(&dir);
        std::fs::create_dir_all(&paths.state_dir).expect("dir");
        let text = "{ logging: { file: '${HOME}/x' }, $include: 'more.json' }";
        std::fs::write(&paths.config_file, text).expect("write");
        std::fs::write(paths.state_dir.join("more.json"), "{ ui: {} }").expect("write");
        for (value, part) in [(json!("x"), "gateway.port: Invalid input"), (json!(-1), "gateway.port: Too small")] {
            let error = edit(&paths, |tree| tree::set(tree, &["gateway", "port"], value)).expect_err("refused");
            assert!(error.to_string().starts_with(&format!("Config validation failed: {part}")), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&paths.config_file).expect("read"), text);
        let snapshot = edit(&paths, |tree| tree::set(tree, &["gateway", "port"], json!(5))).expect("edit");
        assert_eq!(snapshot.typed.gateway.port, Some(5));
        assert_eq!(snapshot.parsed["logging"]["file"], "${HOME}/x");
        assert_eq!(snapshot.parsed["$include"], "more.json");
        assert_eq!(load::load(&paths).hash, snapshot.hash);
        assert!(matches!(edit(&paths, |_| Err("no".to_owned())), Err(EditError::Change(_))));
    }
}
