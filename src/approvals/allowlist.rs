//! Whether everything that a command would start was allowed before.
//!
//! Each program is resolved to a file as the shell would, and its path compared with the patterns of the allowlist. Looks
//! at files (does it exist, may it run), writes nothing. Not here: reading command lines (`command`).

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::command::{self, Form, Segment, Unclear};
use super::file::AllowlistEntry;
use super::{glob, safe_bins};
use crate::base::process::is_executable;

pub use super::safe_bins::DEFAULT as SAFE_BINS_DEFAULT;

/// Variables by which a command does something else than it says; their names, and beginnings of names.
const RISKY_VARIABLES: [&str; 24] = [
    "BASH_ENV",
    "CDPATH",
    "ENV",
    "GCONV_PATH",
    "GIT_EXTERNAL_DIFF",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "HOME",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PATH",
    "PERL5LIB",
    "PERL5OPT",
    "PROMPT_COMMAND",
    "PS4",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYLIB",
    "RUBYOPT",
    "SHELLOPTS",
    "BASHOPTS",
];
const RISKY_VARIABLE_STARTS: [&str; 3] = ["LD_", "DYLD_", "BASH_FUNC_"];

/// What is to run.
#[derive(Debug, Clone, Copy)]
pub enum CommandLine<'a> {
    /// A line for a shell.
    Shell(&'a str),
    /// Words for the system, the program first.
    Words(&'a [String]),
}

/// Where it is to run.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Its working directory.
    pub cwd: &'a Path,
    /// The home directory.
    pub home: &'a Path,
    /// Its `PATH`.
    pub search_path: &'a str,
    /// Names of the variables that whoever asks has set for it.
    pub variables: &'a [&'a str],
}

/// What was allowed before.
#[derive(Debug, Clone, Copy)]
pub struct Allowed<'a> {
    /// Entries of the policy file.
    pub allowlist: &'a [AllowlistEntry],
    /// Programs that only filter.
    pub safe_bins: &'a BTreeSet<String>,
    /// Programs that skills name; empty unless the policy allows them.
    pub skill_bins: &'a BTreeSet<String>,
}

/// One program of the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name as it was written.
    pub name: String,
    /// Its file; `None` when there is none.
    pub path: Option<PathBuf>,
    /// Pattern of the entry that allows it.
    pub pattern: Option<String>,
}

/// Why the allowlist does not cover a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// It is not understood.
    Unclear(Unclear),
    /// This variable may change what it does.
    Variable(String),
    /// Nothing allows this program, or not with these arguments.
    Program(String),
}

/// What was found out about a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// What it starts, in order; empty when it is not understood.
    pub programs: Vec<Program>,
    /// Why it is not covered; `None` when it is.
    pub miss: Option<Miss>,
}

impl Evaluation {
    /// Returns whether everything that the command starts was allowed before.
    pub fn is_allowed(&self) -> bool {
        self.miss.is_none()
    }

    /// Returns the patterns that "allow always" adds: the files of all its programs.
    pub fn patterns(&self) -> Vec<String> {
        // A path with pattern characters would allow more than itself.
        let is_plain = |path: &String| !path.contains(['*', '?']);
        let paths = self.programs.iter().filter_map(|program| program.path.as_ref()?.to_str().map(str::to_owned));
        paths.filter(is_plain).collect()
    }
}

/// Finds out whether a command is covered.
pub fn evaluate(line: CommandLine<'_>, at: &Surroundings<'_>, allowed: &Allowed<'_>) -> Evaluation {
    let parsed = match line {
        CommandLine::Shell(text) => command::parse(text),
        CommandLine::Words(words) => command::from_words(words),
    };
    let segments = match parsed {
        Ok(segments) => segments,
        Err(unclear) => return Evaluation { programs: Vec::new(), miss: Some(Miss::Unclear(unclear)) },
    };
    let mut miss =
        at.variables.iter().find(|name| is_risky_variable(name)).map(|name| Miss::Variable((*name).to_owned()));
    let mut programs = Vec::with_capacity(segments.len());
    for segment in &segments {
        let name = segment.words[0].text.clone();
        let path = resolve(segment, at);
        let pattern = path.as_deref().and_then(|path| matching(allowed.allowlist, path, at.home));
        let is_allowed =
            pattern.is_some() || path.as_deref().is_some_and(|path| is_known_bin(segment, path, at, allowed));
        if !is_allowed && miss.is_none() {
            miss = Some(Miss::Program(name.clone()));
        }
        programs.push(Program { name, path, pattern });
    }
    Evaluation { programs, miss }
}

/// Returns whether a variable can change what a command does.
pub fn is_risky_variable(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    RISKY_VARIABLES.contains(&name.as_str()) || RISKY_VARIABLE_STARTS.iter().any(|start| name.starts_with(start))
}

/// Programs that are known by name alone: they must be called by it, and not lie where the command works.
fn is_known_bin(segment: &Segment, path: &Path, at: &Surroundings<'_>, allowed: &Allowed<'_>) -> bool {
    let name = segment.words[0].text.as_str();
    if name.contains('/') || path.starts_with(at.cwd) {
        return false;
    }
    allowed.skill_bins.contains(name)
        || (allowed.safe_bins.contains(&name.to_lowercase())
            && safe_bins::is_safe_use(name, &segment.words[1..], at.cwd))
}

/// Returns the pattern of the first entry that allows this file.
fn matching(allowlist: &[AllowlistEntry], path: &Path, home: &Path) -> Option<String> {
    let path = path.to_str()?;
    let entry = allowlist.iter().find(|entry| {
        let pattern = entry.pattern.trim();
        // compat: a bare name allows nothing; patterns are for paths.
        (pattern.contains('/') || pattern.starts_with('~')) && glob::matches(&expand_home(pattern, home), path)
    })?;
    Some(entry.pattern.clone())
}

fn expand_home(text: &str, home: &Path) -> String {
    match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{}{rest}", home.display()),
        _ => text.to_owned(),
    }
}

/// Finds the file that the shell would start.
fn resolve(segment: &Segment, at: &Surroundings<'_>) -> Option<PathBuf> {
    let program = &segment.words[0];
    let name = match program.form {
        Form::Home => expand_home(&program.text, at.home),
        _ => program.text.clone(),
    };
    if name.contains('/') {
        return Some(at.cwd.join(name)).filter(|path| is_executable(path)).and_then(|path| settled(&path));
    }
    if name.is_empty() {
        return None;
    }
    // An empty entry is the working directory, for every shell.
    let found = at.search_path.split(':').map(|entry| at.cwd.join(entry).join(&name)).find(|path| is_executable(path));
    found.and_then(|path| settled(&path))
}

/// Returns the path without `.` and `..`: `/usr/bin/../../tmp/x` must not look like a file of `/usr/bin`.
fn settled(path: &Path) -> Option<PathBuf> {
    if !path.components().any(|part| part == Component::ParentDir) {
        return Some(path.components().collect());
    }
    let parent = path.parent()?.canonicalize().ok()?;
    path.file_name().map(|name| parent.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use std::os::unix::fs::PermissionsExt as _;

    /// A home with programs `bin/ok`, `bin/jq`, a data file, and a working directory with an `ok`, a `jq` of its own.
    struct World {
        dir: TempDir,
    }

    impl World {
        fn new() -> Self {
            let dir = TempDir::new("allowlist");
            let world = Self { dir };
            for program in ["bin/ok", "bin/jq", "bin/tool", "work/ok", "work/jq", "work/own", "evil/ok"] {
                world.file(program, 0o755);
            }
            world.file("bin/data", 0o644);
            world
        }

        fn file(&self, name: &str, mode: u32) {
            let path = self.dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("directory");
            std::fs::write(&path, "#!/bin/sh\n").expect("write");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
        }

        fn evaluate_at(
            &self,
            line: CommandLine<'_>,
            search_path: &str,
            variables: &[&str],
            patterns: &[&str],
        ) -> Evaluation {
            let home = self.dir.path();
            let search_path = search_path.replace('~', &home.display().to_string());
            let list: Vec<AllowlistEntry> = patterns
                .iter()
                .map(|&pattern| AllowlistEntry { pattern: pattern.into(), ..Default::default() })
                .collect();
            let safe_bins = SAFE_BINS_DEFAULT.iter().map(|&name| name.to_owned()).collect();
            let skill_bins = BTreeSet::from(["tool".to_owned()]);
            let allowed = Allowed { allowlist: &list, safe_bins: &safe_bins, skill_bins: &skill_bins };
            let cwd = home.join("work");
            evaluate(line, &Surroundings { cwd: &cwd, home, search_path: &search_path, variables }, &allowed)
        }

        fn allows(&self, line: &str, patterns: &[&str]) -> bool {
            self.evaluate_at(CommandLine::Shell(line), "~/bin", &[], patterns).is_allowed()
        }
    }

    #[test]
    fn programs_are_matched_by_their_file() {
        let world = World::new();
        for (line, patterns, expected) in [
            ("ok", &["~/bin/ok"][..], true),
            ("ok -x 'a b' $Y *", &["~/bin/ok"], true),
            ("ok", &["~/bin/*"], true),
            ("ok", &["~/**"], true),
            ("ok", &["~/BIN/OK"], true),
            ("~/bin/ok", &["~/bin/ok"], true),
            ("../bin/ok", &["~/bin/ok"], true),
            ("ok", &["ok"], false),
            ("ok", &["*"], false),
            ("ok", &[""], false),
            ("ok", &["~/other/ok"], false),
            ("ok", &["~/work/ok"], false),
            ("./ok", &["~/bin/ok"], false),
            ("./ok", &["~/work/ok"], true),
            ("absent", &["~/**"], false),
            ("~/bin/absent", &["~/**"], false),
            ("~/bin/data", &["~/**"], false),
            ("~/bin", &["~/**"], false),
            ("'~/bin/ok'", &["~/**"], false),
            ("ok && ok | ok; ok", &["~/bin/ok"], true),
            ("ok && absent", &["~/bin/ok"], false),
            ("ok | ./ok", &["~/bin/ok"], false),
            ("ok; ok \"$(ok)\"", &["~/bin/ok"], false),
        ] {
            assert_eq!(world.allows(line, patterns), expected, "{line} with {patterns:?}");
        }
    }

    #[test]
    fn ways_around_a_pattern_are_closed() {
        let world = World::new();
        assert!(!world.allows("~/bin/../evil/ok", &["~/bin/**"]), "a path that leaves the allowed directory");
        assert!(world.allows("~/bin/./ok", &["~/bin/ok"]));
        let at = |search_path: &str, patterns: &[&str]| {
            world.evaluate_at(CommandLine::Shell("ok"), search_path, &[], patterns).is_allowed()
        };
        for search_path in [":~/bin", ".:~/bin", "../evil:~/bin", "~/evil:~/bin"] {
            assert!(!at(search_path, &["~/bin/ok"]), "{search_path}: the shell would start another file");
        }
        assert!(at("~/nowhere:~/bin:", &["~/bin/ok"]));
        for variable in ["PATH", "LD_PRELOAD", "ld_library_path", "BASH_ENV", "BASH_FUNC_ok%%", "NODE_OPTIONS", "IFS"] {
            let found = world.evaluate_at(CommandLine::Shell("ok"), "~/bin", &["LANG", variable], &["~/bin/ok"]);
            assert_eq!(found.miss, Some(Miss::Variable(variable.to_owned())));
        }
        assert!(world.evaluate_at(CommandLine::Shell("ok"), "~/bin", &["LANG"], &["~/bin/ok"]).is_allowed());
    }

    #[test]
    fn safe_and_skill_bins_go_by_name() {
        let world = World::new();
        assert!(world.allows("ok | jq .a", &["~/bin/ok"]));
        assert!(world.allows("tool anything /etc/passwd", &[]));
        assert!(!world.allows("jq . own", &[]), "a file of the working directory");
        assert!(!world.allows("./jq .", &[]) && !world.allows("~/bin/jq .", &[]), "not by path");
        let own = world.evaluate_at(CommandLine::Shell("jq ."), "~/work:~/bin", &[], &[]);
        assert!(!own.is_allowed(), "not from the working directory");
        assert!(!world.allows("sort x", &[]), "not when there is no such program");
    }

    #[test]
    fn words_are_taken_as_they_are() {
        let world = World::new();
        let words = |list: &[&str]| {
            let words: Vec<String> = list.iter().map(|&word| word.to_owned()).collect();
            world.evaluate_at(CommandLine::Words(&words), "~/bin", &[], &["~/bin/ok"])
        };
        assert!(words(&["ok", "$(rm x)", ";", "&&"]).is_allowed());
        assert!(!words(&["ok; rm x"]).is_allowed() && !words(&["~/bin/ok"]).is_allowed());
        assert!(!words(&[]).is_allowed() && !words(&["", "x"]).is_allowed());
    }

    #[test]
    fn allow_always_adds_the_files() {
        let world = World::new();
        world.file("bin/st*r", 0o755);
        let found = world.evaluate_at(CommandLine::Shell("ok | jq . && absent; 'st*r'"), "~/bin", &[], &[]);
        let bin = world.dir.path().join("bin");
        assert_eq!(found.patterns(), [bin.join("ok").display().to_string(), bin.join("jq").display().to_string()]);
        assert_eq!(found.miss, Some(Miss::Program("ok".into())));
    }
}
