//! Reading the configuration file into a [`Snapshot`] (config.md §2).
//!
//! Owns the order of the steps; each step is a module of its own. Blocking file reads, on whichever thread asks. Never
//! fails: what is wrong becomes issues of the snapshot. Not here: sharing the result (`live`), exporting `env` (`env`).

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::issue::Issue;
use super::paths::Paths;
use super::types::Config;
use super::{checks, defaults, env, include, json5, keys, migrate};
use crate::base::fs::read_text_capped;

/// The file as it was at one moment, and what it means.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The file.
    pub path: PathBuf,
    /// Whether it is there.
    pub exists: bool,
    /// Its text.
    pub raw: Option<String>,
    /// What it says, before includes.
    pub parsed: Value,
    /// Whether a gateway may run on it.
    pub valid: bool,
    /// The effective tree, defaults included.
    pub config: Value,
    /// The typed view of `config`.
    pub typed: Arc<Config>,
    /// SHA-256 of the text, in hex.
    pub hash: String,
    /// What makes it invalid.
    pub issues: Vec<Issue>,
    /// What deserves a look.
    pub warnings: Vec<Issue>,
    /// Keys of older versions.
    pub legacy_issues: Vec<Issue>,
}

/// Reads the file.
pub fn load(paths: &Paths) -> Snapshot {
    let process_env = |name: &str| std::env::var(name).ok();
    match read_text_capped(&paths.config_file, include::FILE_BYTES_MAX) {
        Ok(Some(text)) => from_text(paths, text, &process_env),
        Ok(None) => {
            let mut config = Value::Object(Map::new());
            defaults::apply_missing(&mut config);
            snapshot(paths, None, Meaning { parsed: empty(), config, ..Meaning::default() })
        }
        Err(error) => {
            let issue = Issue::new("", format!("read failed: {error}"));
            let meaning = Meaning { parsed: empty(), config: empty(), issues: vec![issue], ..Meaning::default() };
            Snapshot { exists: true, ..snapshot(paths, None, meaning) }
        }
    }
}

/// Makes the snapshot that a file with this text would give.
pub fn from_text(paths: &Paths, text: String, env: defaults::Env) -> Snapshot {
    let mut meaning = understand(paths, &text, env);
    // A key that an include brought has no line here; it may then be found nowhere, which is fine.
    for issue in meaning.issues.iter_mut().chain(&mut meaning.warnings).chain(&mut meaning.legacy_issues) {
        issue.line = issue.line.or_else(|| locate(&text, &issue.path));
    }
    snapshot(paths, Some(text), meaning)
}

/// Checks a tree that a client wants to have written: no includes, no `${NAME}`. Returns it with the defaults that are written.
///
/// # Errors
/// What is wrong with it.
pub fn check_payload(paths: &Paths, tree: &Value) -> Result<Value, Vec<Issue>> {
    let mut tree = tree.clone();
    let judged = judge(paths, &mut tree);
    if judged.issues.is_empty() {
        defaults::apply_written(&mut tree);
        Ok(tree)
    } else {
        Err(judged.issues)
    }
}

/// Returns the SHA-256 of a text in hex, by which clients name the version they edited.
pub fn hash(text: &str) -> String {
    crate::base::hash::sha256_hex(text.as_bytes())
}

/// Returns what people are told when the file is invalid, each line ended.
pub fn describe_invalid(paths: &Paths, snapshot: &Snapshot) -> String {
    let mut text = format!("Config invalid\nFile: {}\nProblem:\n", paths.shorten(&snapshot.path));
    let mut list = |title: &str, issues: &[Issue]| {
        text.push_str(title);
        for issue in issues {
            text.push_str(&format!("  - {}\n", issue.describe()));
        }
    };
    list("", &snapshot.issues);
    if !snapshot.legacy_issues.is_empty() {
        list("Legacy config keys detected:\n", &snapshot.legacy_issues);
    }
    text.push_str(&format!("\nRun: {}\n", paths.hint("doctor --fix")));
    text
}

fn empty() -> Value {
    Value::Object(Map::new())
}

/// What a text says.
#[derive(Default)]
struct Meaning {
    parsed: Value,
    config: Value,
    issues: Vec<Issue>,
    warnings: Vec<Issue>,
    legacy_issues: Vec<Issue>,
}

fn snapshot(paths: &Paths, raw: Option<String>, meaning: Meaning) -> Snapshot {
    let Meaning { parsed, config, mut issues, warnings, legacy_issues } = meaning;
    let mut typed = Config::default();
    if issues.is_empty() {
        match serde_json::from_value::<Config>(config.clone()) {
            Ok(config) => typed = config,
            // The table of keys accepts only what the types take; should they part, a refusal is safer than defaults.
            Err(error) => issues.push(Issue::new("", format!("config cannot be used: {error}"))),
        }
    }
    typed.tree = if issues.is_empty() { config.clone() } else { empty() };
    Snapshot {
        path: paths.config_file.clone(),
        exists: raw.is_some(),
        hash: hash(raw.as_deref().unwrap_or_default()),
        raw,
        parsed,
        valid: issues.is_empty(),
        config,
        typed: Arc::new(typed),
        issues,
        warnings,
        legacy_issues,
    }
}

fn understand(paths: &Paths, text: &str, env: defaults::Env) -> Meaning {
    let parsed = match json5::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            let issue = Issue { line: error.line, ..Issue::new("", format!("JSON5 parse failed: {}", error.message)) };
            return Meaning { parsed: empty(), config: empty(), issues: vec![issue], ..Meaning::default() };
        }
    };
    let mut config = match include::resolve(parsed.clone(), &paths.config_file) {
        Ok(config) => config,
        Err(message) => {
            return Meaning {
                config: parsed.clone(),
                parsed,
                issues: vec![Issue::new("", message)],
                ..Meaning::default()
            };
        }
    };
    if let Err(missing) = env::substitute(&mut config, env) {
        let at = missing.at.replace('[', ".").replace(']', "");
        let issue = Issue { line: json5::line_of(text, &at), ..Issue::new("", missing.to_string()) };
        return Meaning { parsed, config, issues: vec![issue], ..Meaning::default() };
    }
    let unchecked = config.clone();
    let mut judged = judge(paths, &mut config);
    if judged.issues.is_empty() {
        note_oddities(&unchecked, &mut judged.warnings);
        defaults::apply(&mut config, env);
        defaults::expand_paths(&mut config, &|path| paths.expand(path).display().to_string());
    } else {
        // Best effort: what the file says, without what the check did to it.
        config = if unchecked.is_object() { unchecked } else { empty() };
        for (issue, at) in judged.issues.iter_mut().zip(judged.pointers) {
            issue.line = at.and_then(|at| json5::line_of(text, &at));
        }
    }
    Meaning { parsed, config, issues: judged.issues, warnings: judged.warnings, legacy_issues: judged.legacy_issues }
}

/// What the checks found.
#[derive(Default)]
struct Judged {
    issues: Vec<Issue>,
    /// For each issue the path to point at, where it is not the issue's own.
    pointers: Vec<Option<String>>,
    warnings: Vec<Issue>,
    legacy_issues: Vec<Issue>,
}

/// Runs the checks one after the other; the first that finds something is the last.
fn judge(paths: &Paths, tree: &mut Value) -> Judged {
    let only = |issues: Vec<Issue>| Judged { issues, ..Judged::default() };
    if let Some(issue) = checks::agent_dirs(tree, paths) {
        return only(vec![issue]);
    }
    let legacy = migrate::issues(tree);
    if !legacy.is_empty() {
        return Judged { legacy_issues: legacy.clone(), ..only(legacy) };
    }
    let written = tree.get("channels").cloned().unwrap_or_default();
    let found = keys::check(tree);
    if !found.is_empty() {
        let (issues, pointers) =
            found.into_iter().map(|found| (Issue::new(found.path, found.message), found.at)).unzip();
        return Judged { pointers, ..only(issues) };
    }
    defaults::inherit_by_accounts(&written, tree);
    let avatars = checks::avatars(tree, paths);
    if !avatars.is_empty() {
        return only(avatars);
    }
    let (issues, warnings) = checks::plugins_and_channels(tree, paths);
    Judged { warnings, ..only(issues) }
}

/// Says what a file has that works and is probably not meant.
fn note_oddities(tree: &Value, warnings: &mut Vec<Issue>) {
    let text =
        |section: &str, key: &str| tree.get(section).and_then(|section| section.get(key)).and_then(Value::as_str);
    if text("session", "mainKey").is_some_and(|key| !key.trim().is_empty() && key.trim() != "main") {
        warnings.push(Issue::new("session.mainKey", "session.mainKey is ignored; main session is always \"main\"."));
    }
    let current = env!("CARGO_PKG_VERSION");
    if let Some(version) =
        text("meta", "lastTouchedVersion").filter(|version| version_parts(version) > version_parts(current))
    {
        let message = format!("Config was last written by a newer Clawdbot ({version}); current version is {current}.");
        warnings.push(Issue::new("meta.lastTouchedVersion", message));
    }
}

/// Year, month and day of a version; a revision after `-` does not make a file newer.
fn version_parts(version: &str) -> Vec<u64> {
    let (base, _) = version.split_once('-').unwrap_or((version, ""));
    base.trim_start_matches('v').split('.').map_while(|part| part.parse().ok()).collect()
}

/// Returns the line of a path, or of the object it is missing in.
fn locate(text: &str, path: &str) -> Option<usize> {
    let parent = || path.rsplit_once('.').and_then(|(parent, _)| json5::line_of(text, parent));
    json5::line_of(text, path).or_else(parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    fn paths_in(dir: &TempDir) -> Paths {
        let home = dir.path().display().to_string();
        Paths::resolve(|name| (name == "HOME").then(|| home.clone()))
    }

    fn read(text: &str) -> Snapshot {
        let dir = TempDir::new("load");
        from_text(&paths_in(&dir), text.to_owned(), &|name| (name == "TOKEN").then(|| "t".to_owned()))
    }

    #[test]
    fn a_missing_file_is_valid() {
        let dir = TempDir::new("load-missing");
        let snapshot = load(&paths_in(&dir));
        assert!(snapshot.valid && !snapshot.exists && snapshot.raw.is_none());
        assert_eq!(snapshot.hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(snapshot.typed.agents.defaults.max_concurrent, Some(4));
        assert_eq!(snapshot.config.get("commands"), None);
    }

    #[test]
    fn a_good_file_is_typed_and_filled() {
        let snapshot = read("{ gateway: { port: 1234, auth: { token: '${TOKEN}' } }, logging: { file: '~/x.log' } }");
        assert_eq!(snapshot.issues, []);
        assert_eq!(snapshot.typed.gateway.port, Some(1234));
        assert_eq!(snapshot.typed.gateway.auth.token.as_deref(), Some("t"));
        assert!(snapshot.typed.logging.file.as_deref().is_some_and(|file| file.starts_with('/')));
        assert_eq!(snapshot.parsed["gateway"]["auth"]["token"], "${TOKEN}");
        assert_eq!(snapshot.typed.tree, snapshot.config);
        assert_eq!(snapshot.config["commands"]["native"], "auto");
    }

    #[test]
    fn broken_files_say_what_and_where() {
        for (text, path, message, line) in [
            ("{\n a: 1\n b: 2 }", "", "JSON5 parse failed: SyntaxError: JSON5: ", Some(3)),
            ("", "", "JSON5 parse failed: SyntaxError: JSON5: ", Some(1)),
            ("{\n gateway: {\n port: 1,\n foo: 2 } }", "gateway", "Unrecognized key: \"foo\"", Some(4)),
            (
                "{\n gateway: {\n port: 'x' } }",
                "gateway.port",
                "Invalid input: expected number, received string",
                Some(3),
            ),
            ("{ agents: {\n list: [\n {} ] } }", "agents.list.0.id", "Invalid input: expected string", Some(3)),
            (
                "{\n\n logging: { file: '${NO}' } }",
                "",
                "Missing env var \"NO\" referenced at config path: logging.file",
                Some(3),
            ),
            ("{ $include: 'no.json' }", "", "Failed to read include file: no.json", None),
            ("[]", "", "Invalid input: expected object, received array", None),
            ("null", "", "Invalid input: expected object, received null", None),
            ("{ channels: {\n fax: {} } }", "channels.fax", "unknown channel id: fax", Some(2)),
        ] {
            let snapshot = read(text);
            let [issue] = snapshot.issues.as_slice() else { panic!("{text}: {:?}", snapshot.issues) };
            assert!(!snapshot.valid && issue.message.starts_with(message), "{text}: {issue:?}");
            assert_eq!((issue.path.as_str(), issue.line), (path, line), "{text}");
            assert_eq!(snapshot.typed.gateway.port, None);
        }
    }

    #[test]
    fn people_are_told() {
        let dir = TempDir::new("load-tell");
        let paths = paths_in(&dir);
        let snapshot = from_text(&paths, "{\n identity: {} }".to_owned(), &|_| None);
        let text = describe_invalid(&paths, &snapshot);
        assert!(
            text.starts_with("Config invalid\nFile: ~/.clawdbot/clawdbot.json\nProblem:\n  - identity: "),
            "{text}"
        );
        assert!(text.contains("(line 2)\nLegacy config keys detected:\n  - identity: "), "{text}");
        assert!(text.ends_with("\n\nRun: clawdbot doctor --fix\n"), "{text}");
    }
}
