//! Writing the configuration file (config.md §8).
//!
//! Every write is checked as the reader would check it before it replaces the file, and leaves five older versions
//! beside it. Blocking, on whichever thread asks; edits wait for each other, those of other processes too. Not here:
//! comments and formatting of the old text, which are lost.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use super::issue::Issue;
use super::load::{self, Snapshot};
use super::paths::Paths;
use super::rewrite::{Includes, express, has_includes};
use super::{include, json5, tree};
use crate::base::clock::{Clock as _, SystemClock, iso_utc};
use crate::base::fs::{Durability, MODE_PRIVATE, create_dir_private, keep_as, read_text_capped, write_atomic};
use crate::base::text::unless_blank;

/// Highest number of an older version; with the unnumbered one they are five.
const BACKUPS_MAX: usize = 4;

static WRITING: Mutex<()> = Mutex::new(());

/// The right to write. The system's lock on the directory needs no file of its own and ends with the process.
struct Turn {
    _threads: MutexGuard<'static, ()>,
    _processes: Option<File>,
}

impl Turn {
    fn wait(paths: &Paths) -> Self {
        let threads = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        // Best effort: some file systems have no locks, and one process alone is safe without.
        let processes = paths.config_file.parent().and_then(|dir| {
            create_dir_private(dir).ok()?;
            let dir = File::open(dir).ok()?;
            dir.lock().ok().map(|()| dir)
        });
        Self { _threads: threads, _processes: processes }
    }
}

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
    let _turn = Turn::wait(paths);
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
    let _turn = Turn::wait(paths);
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

/// What a client's edit came to.
#[derive(Debug)]
pub struct Replaced {
    /// What the file now means.
    pub snapshot: Snapshot,
    /// What the client wanted, with the defaults that the original would have written.
    pub config: Value,
}

/// Replaces the configuration by the tree that `wanted` makes of the present one, if that is still the one with
/// `base_hash`. The file keeps its own words where their meaning is wanted.
///
/// # Errors
/// A text of the base hash, or of `wanted`, as [`EditError::Change`]; else as [`edit`]. The file is then as before.
pub fn replace(
    paths: &Paths,
    base_hash: Option<&str>,
    wanted: impl FnOnce(&Snapshot) -> Result<Value, String>,
) -> Result<Replaced, EditError> {
    let _turn = Turn::wait(paths);
    let present = load::load(paths);
    check_base(&present, base_hash).map_err(|text| EditError::Change(text.to_owned()))?;
    let wanted = wanted(&present).map_err(EditError::Change)?;
    let snapshot = store(paths, best_words(paths, &present, &wanted))?;
    let config = load::check_payload(paths, &wanted).unwrap_or_else(|_| snapshot.config.clone());
    Ok(Replaced { snapshot, config })
}

/// Nobody may overwrite a version that they have not seen.
fn check_base(present: &Snapshot, base_hash: Option<&str>) -> Result<(), &'static str> {
    match base_hash.and_then(unless_blank) {
        _ if !present.exists => Ok(()),
        _ if present.raw.is_none() => Err("config base hash unavailable; re-run config.get and retry"),
        None => Err("config base hash required; re-run config.get and retry"),
        Some(hash) if hash != present.hash => Err("config changed since last load; re-run config.get and retry"),
        Some(_) => Ok(()),
    }
}

/// Returns the file's words for what is wanted. An include is kept when the reader then reads the same as without it.
fn best_words(paths: &Paths, present: &Snapshot, wanted: &Value) -> Value {
    let plain = express(&present.parsed, &present.config, wanted, Includes::Dissolve);
    if !has_includes(&present.parsed) {
        return plain;
    }
    let kept = express(&present.parsed, &present.config, wanted, Includes::Keep);
    let read = |tree: &Value| load::from_text(paths, tree.to_string(), &|name| std::env::var(name).ok());
    let (with, without) = (read(&kept), read(&plain));
    if with.valid && with.config == without.config { kept } else { plain }
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

/// Keeps the file as `.bak` after moving the older versions up by one. Best effort: a write must not fail for its past.
fn rotate(file: &Path) {
    if !file.exists() {
        return;
    }
    for number in (1..=BACKUPS_MAX).rev() {
        let _ = std::fs::rename(backup(file, number - 1), backup(file, number));
    }
    let _ = keep_as(file, &backup(file, 0));
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

    #[test]
    fn clients_replace_only_what_they_have_seen() {
        let dir = TempDir::new("replace");
        let paths = paths_in(&dir);
        let wanted = |_: &Snapshot| Ok(json!({"gateway": {"port": 1}}));
        let first = replace(&paths, None, wanted).expect("there is no file yet");
        assert_eq!(first.config["commands"], json!({"native": "auto", "nativeSkills": "auto"}));
        assert_eq!(first.snapshot.parsed.as_object().map(serde_json::Map::len), Some(2), "gateway and meta");
        for (hash, text) in [(None, "required"), (Some(" "), "required"), (Some("x"), "changed since last load")] {
            let error = replace(&paths, hash, wanted).expect_err("refused").to_string();
            assert!(error.contains(text), "{error}");
        }
        replace(&paths, Some(&first.snapshot.hash), |_| Ok(json!([]))).expect_err("not an object");
        replace(&paths, Some(&first.snapshot.hash), wanted).expect("nothing was written meanwhile");
    }

    #[test]
    fn includes_and_references_outlive_an_edit_of_the_effective_configuration() {
        let dir = TempDir::new("replace-words");
        let paths = paths_in(&dir);
        std::fs::create_dir_all(&paths.state_dir).expect("dir");
        std::fs::write(paths.state_dir.join("more.json"), "{ messages: { responsePrefix: 'p' } }").expect("write");
        let edit = |path: &[&str], value: Option<Value>| {
            let text = "{ $include: 'more.json', logging: { file: '${HOME}/x' } }";
            std::fs::write(&paths.config_file, text).expect("write");
            let replaced = replace(&paths, Some(&load::hash(text)), |present| {
                let mut wanted = present.config.clone();
                match &value {
                    Some(value) => tree::set(&mut wanted, path, value.clone())?,
                    None => assert!(tree::unset(&mut wanted, path)),
                }
                Ok(wanted)
            });
            let snapshot = replaced.expect("replace").snapshot;
            assert_eq!(tree::get(&snapshot.config, path), value.as_ref());
            snapshot.parsed
        };
        let beside = edit(&["gateway", "port"], Some(json!(5)));
        assert_eq!((&beside["$include"], &beside["logging"]["file"]), (&json!("more.json"), &json!("${HOME}/x")));
        assert!(beside.get("messages").is_none());
        let over = edit(&["messages", "responsePrefix"], Some(json!("q")));
        assert_eq!((&over["$include"], &over["messages"]), (&json!("more.json"), &json!({"responsePrefix": "q"})));
        let without = edit(&["messages", "responsePrefix"], None);
        assert!(without.get("$include").is_none(), "what it brings cannot be taken away beside it");
    }
}
