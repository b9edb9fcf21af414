//! Updating this program: how it came here, and what to do about a newer version (protocol.md §5.6, `update.run`).
//!
//! Only a clean git checkout that follows another one is updated, by a fast-forward and a build; in every other case the
//! answer says which command does it. Nothing is ever discarded. Blocking, for minutes; run it as a job. Not here: the
//! restart into the new program.

pub mod look;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::base::cancel::CancelToken;
use crate::base::process::{self, Ended, Keep};
use crate::base::program;

/// Limit of a step that the caller names none for.
pub const STEP_TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// Limit of a question to the system's package manager.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes kept of a step's output.
const TAIL_BYTES_MAX: usize = 8000;
/// Version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// This program's file.
#[derive(Debug)]
pub struct Program {
    /// Where it is.
    pub file: PathBuf,
    /// Whether another one has been put there since this one was started.
    is_replaced: bool,
}

impl Program {
    /// Asks the system.
    ///
    /// # Errors
    /// The system's error when it cannot say, or when nothing is there any more.
    pub fn find() -> std::io::Result<Self> {
        let exe = program::file()?;
        // Linux says so of a file that has another inode by now.
        let known = exe.to_str().and_then(|path| path.strip_suffix(" (deleted)"));
        let file = fs::canonicalize(known.map_or(&*exe, Path::new))?;
        Ok(Self { file, is_replaced: known.is_some() })
    }
}

/// How this program came here.
#[derive(Debug, PartialEq, Eq)]
pub enum Installed {
    /// Built in a git checkout of its source.
    Checkout(Checkout),
    /// By `cargo install`; its source as cargo notes it.
    Cargo(Option<String>),
    /// By the system's package of this name.
    Package(String),
    /// Copied to where it is.
    Plain,
}

/// A git checkout with this program below its `target`.
#[derive(Debug, PartialEq, Eq)]
pub struct Checkout {
    root: PathBuf,
    /// The directory of the build, which is the name of its profile.
    profile: String,
}

/// How far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// There is a new program.
    Ok,
    /// Something failed; the old program is still there.
    Error,
    /// Nothing was done.
    Skipped,
}

/// What an update came to.
#[derive(Debug)]
pub struct Update {
    /// How far it came.
    pub status: Status,
    mode: &'static str,
    root: Option<PathBuf>,
    reason: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
    steps: Vec<Step>,
    duration: Duration,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    command: String,
    cwd: PathBuf,
    duration: Duration,
    output: String,
    exit_code: Option<i32>,
}

impl Step {
    fn is_ok(&self) -> bool {
        self.exit_code == Some(0)
    }
}

impl Status {
    /// Returns the word of the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Skipped => "skipped",
        }
    }
}

impl Update {
    /// Returns the answer's `result`.
    pub fn result(&self) -> Value {
        let mut result = json!({"status": self.status.as_str(), "mode": self.mode});
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                result[name] = value;
            }
        };
        put("root", self.root.as_ref().map(|root| json!(root)));
        put("reason", self.reason.as_ref().map(|reason| json!(reason)));
        put("before", self.before.clone());
        put("after", self.after.clone());
        let step = |step: &Step| {
            let mut value = json!({
                "name": step.name, "command": step.command, "cwd": step.cwd, "durationMs": ms(step.duration),
                "stdoutTail": step.output,
            });
            if let Some(code) = step.exit_code {
                value["exitCode"] = code.into();
            }
            value
        };
        put("steps", Some(self.steps.iter().map(step).collect()));
        put("durationMs", Some(ms(self.duration).into()));
        result
    }

    /// Returns the `stats` of the note to the next start.
    pub fn stats(&self) -> Value {
        let step = |step: &Step| {
            json!({
                "name": step.name, "command": step.command, "cwd": step.cwd, "durationMs": ms(step.duration),
                "log": {"stdoutTail": step.output, "stderrTail": null, "exitCode": step.exit_code},
            })
        };
        let mut stats = json!({"mode": self.mode});
        if let Some(root) = &self.root {
            stats["root"] = json!(root);
        }
        stats["before"] = json!(self.before);
        stats["after"] = json!(self.after);
        stats["steps"] = self.steps.iter().map(step).collect();
        stats["reason"] = json!(self.reason);
        stats["durationMs"] = ms(self.duration).into();
        stats
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Updates the program if that can be done safely. `step_timeout` limits each step.
pub fn run(program: &Program, home: &Path, step_timeout: Duration, cancel: &CancelToken) -> Update {
    let started = Instant::now();
    let mut update = match detect(&program.file, home, cancel) {
        Installed::Checkout(checkout) => {
            Git { checkout, program, home, step_timeout, cancel, steps: Vec::new() }.update()
        }
        other => skipped(advice(&other, &program.file)),
    };
    update.duration = started.elapsed();
    update
}

/// Returns how the program at `exe` came there.
pub fn detect(exe: &Path, home: &Path, cancel: &CancelToken) -> Installed {
    if let Some(checkout) = checkout(exe) {
        return Installed::Checkout(checkout);
    }
    let cargo_home = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    if exe.parent() == Some(&*cargo_home.join("bin")) {
        return Installed::Cargo(cargo_source(&cargo_home));
    }
    let mut ask = Command::new("dpkg");
    ask.arg("-S").arg(exe);
    match answer(ask, ASK_TIMEOUT, cancel).as_deref().map(|answer| answer.split_once(": ")) {
        Ok(Some((package, _))) => Installed::Package(package.to_owned()),
        _ => Installed::Plain,
    }
}

/// `<root>/target/<profile>/<program>` with this program's manifest and a repository in the root.
fn checkout(exe: &Path) -> Option<Checkout> {
    let build = exe.parent()?;
    let target = build.parent().filter(|target| target.file_name().is_some_and(|name| name == "target"))?;
    let root = target.parent()?;
    let manifest = fs::read_to_string(root.join("Cargo.toml")).ok()?;
    let is_ours = manifest.lines().any(|line| line.trim() == format!("name = \"{}\"", env!("CARGO_PKG_NAME")));
    let profile = build.file_name()?.to_str()?.to_owned();
    (is_ours && root.join(".git").exists()).then(|| Checkout { root: root.to_owned(), profile })
}

/// Returns where cargo had the source from, as its own list of installed programs says.
fn cargo_source(cargo_home: &Path) -> Option<String> {
    let list: Value = serde_json::from_str(&fs::read_to_string(cargo_home.join(".crates2.json")).ok()?).ok()?;
    let start = format!("{} ", env!("CARGO_PKG_NAME"));
    let name = list["installs"].as_object()?.keys().find(|name| name.starts_with(&start))?;
    Some(name.rsplit_once('(')?.1.trim_end_matches(')').to_owned())
}

/// Says what updates the program.
fn advice(installed: &Installed, exe: &Path) -> String {
    let command = match installed {
        Installed::Cargo(source) => {
            let source = source.as_deref().unwrap_or_default();
            let what = if let Some(path) = source.strip_prefix("path+file://") {
                format!("--path {path}")
            } else if let Some(url) = source.strip_prefix("git+") {
                format!("--git {}", url.split(['#', '?']).next().unwrap_or(url))
            } else {
                env!("CARGO_PKG_NAME").to_owned()
            };
            format!("it was installed by cargo. Run: cargo install --force {what}")
        }
        Installed::Package(name) => {
            format!("it belongs to the package {name}. Run: sudo apt-get install --only-upgrade {name}")
        }
        Installed::Checkout(_) | Installed::Plain => {
            format!("it is a single file. Put a newer one in the place of {}", exe.display())
        }
    };
    format!("this program does not update itself here: {command}, then: clawdbot gateway restart")
}

fn skipped(reason: String) -> Update {
    Update {
        status: Status::Skipped,
        // compat: the wire knows git and some package managers of the original.
        mode: "unknown",
        root: None,
        reason: Some(reason),
        before: Some(json!({"version": VERSION})),
        after: None,
        steps: Vec::new(),
        duration: Duration::ZERO,
    }
}

/// The update of a checkout.
struct Git<'a> {
    checkout: Checkout,
    program: &'a Program,
    home: &'a Path,
    step_timeout: Duration,
    cancel: &'a CancelToken,
    steps: Vec<Step>,
}

impl Git<'_> {
    fn update(mut self) -> Update {
        let before = self.version();
        let (status, reason) = match self.go() {
            Ok(true) => (Status::Ok, None),
            Ok(false) => (Status::Skipped, Some("already up to date".to_owned())),
            Err((status, reason)) => (status, Some(reason)),
        };
        let after = (status != Status::Skipped).then(|| self.version());
        Update {
            status,
            mode: "git",
            root: Some(self.checkout.root),
            reason,
            before: Some(before),
            after,
            steps: self.steps,
            duration: Duration::ZERO,
        }
    }

    /// Returns whether there is a new program.
    fn go(&mut self) -> Result<bool, (Status, String)> {
        let root = self.checkout.root.display().to_string();
        let by_hand = format!("git -C {root} pull --ff-only && {}", self.build_command().join(" "));
        let skip = |why: String| (Status::Skipped, why);
        let fail = |what: &str| (Status::Error, format!("{what} failed; see the step's output. By hand: {by_hand}"));
        let clean = self.git("clean check", &["status", "--porcelain"]);
        if !clean.is_ok() {
            return Err(fail("git status"));
        }
        if !clean.output.trim().is_empty() {
            return Err(skip(format!(
                "the checkout {root} has changes of its own. Commit or stash them, then run: {by_hand}"
            )));
        }
        if !self.git("upstream check", &["rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{upstream}"]).is_ok() {
            return Err(skip(format!(
                "the branch of {root} follows no other. Choose one: git branch --set-upstream-to …"
            )));
        }
        if !self.git("git fetch", &["fetch", "--quiet"]).is_ok() {
            return Err(fail("git fetch"));
        }
        if !self.git("git merge", &["merge", "--ff-only", "@{upstream}"]).is_ok() {
            return Err(skip(format!(
                "the checkout {root} has commits of its own. Rebase or merge them, then run: {by_hand}"
            )));
        }
        // Also when nothing came: an earlier build may have failed.
        let before = identity(&self.program.file);
        let build = self.build_command();
        let cargo = self.cargo();
        let mut command = Command::new(&cargo);
        command.args(&build[1..]);
        if !self.step("cargo build", command, build.join(" ")).is_ok() {
            return Err(fail("the build"));
        }
        Ok(self.program.is_replaced || identity(&self.program.file) != before)
    }

    fn build_command(&self) -> Vec<String> {
        let profile: &[&str] = match self.checkout.profile.as_str() {
            "release" => &["--release"],
            "debug" => &[],
            other => &["--profile", other],
        };
        let words = ["cargo", "build", "--locked"].iter().chain(profile);
        words.map(|word| (*word).to_owned()).collect()
    }

    /// A service's path seldom has cargo's directory.
    fn cargo(&self) -> PathBuf {
        let own = self.home.join(".cargo/bin/cargo");
        if process::find_program("cargo").is_some() || !own.is_file() { PathBuf::from("cargo") } else { own }
    }

    fn git(&mut self, name: &'static str, words: &[&str]) -> &Step {
        let mut command = Command::new("git");
        // A question would never be answered.
        command.args(words).env("GIT_TERMINAL_PROMPT", "0");
        self.step(name, command, format!("git {}", words.join(" ")))
    }

    fn step(&mut self, name: &'static str, mut command: Command, shown: String) -> &Step {
        command.current_dir(&self.checkout.root);
        log::info!(target: "gateway", "update: {name} ({shown})");
        let ran = process::run(command, Some(self.step_timeout), TAIL_BYTES_MAX, self.cancel, |_| (), |_| ());
        let (output, exit_code, duration) = match ran {
            Ok(ran) => {
                let text = ran.text.trim_end();
                let text = if ran.truncated { format!("…{text}") } else { text.to_owned() };
                match ran.ended {
                    Ended::Exited(code) => (text, Some(code), ran.duration),
                    Ended::Signalled(signal) => (format!("{text}\nended by signal {signal}"), None, ran.duration),
                    Ended::TimedOut => (format!("{text}\nstopped: it took too long"), None, ran.duration),
                    Ended::Cancelled => (format!("{text}\nstopped: the gateway is stopping"), None, ran.duration),
                }
            }
            Err(error) => (format!("cannot be run: {error}"), None, Duration::ZERO),
        };
        let cwd = self.checkout.root.clone();
        self.steps.push(Step { name, command: shown, cwd, duration, output, exit_code });
        self.steps.last().expect("just pushed")
    }

    /// Returns commit and version of the checkout.
    fn version(&self) -> Value {
        let manifest = fs::read_to_string(self.checkout.root.join("Cargo.toml")).unwrap_or_default();
        let version = manifest.lines().find_map(|line| line.strip_prefix("version = \""));
        let mut ask = Command::new("git");
        ask.args(["rev-parse", "HEAD"]).current_dir(&self.checkout.root);
        let sha = answer(ask, ASK_TIMEOUT, self.cancel).ok();
        json!({"sha": sha, "version": version.map(|version| version.trim_end_matches('"'))})
    }
}

/// Returns what a command says that only answers a question; warnings are no answers.
///
/// # Errors
/// What it complains of, or why it cannot be run.
fn answer(command: Command, within: Duration, cancel: &CancelToken) -> Result<String, String> {
    let ran = process::capture(command, Some(within), Keep::First(TAIL_BYTES_MAX), cancel);
    let ran = ran.map_err(|error| error.to_string())?;
    if ran.ended == Ended::Exited(0) { Ok(ran.stdout.trim().to_owned()) } else { Err(ran.stderr.trim().to_owned()) }
}

/// Returns what tells one build of a program from another.
fn identity(exe: &Path) -> Option<(u64, std::time::SystemTime)> {
    let meta = fs::metadata(exe).ok()?;
    Some((meta.len(), meta.modified().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn how_it_came_here() {
        let dir = TempDir::new("update");
        let root = dir.path();
        let none = CancelToken::new();
        let build = root.join("src/target/release");
        fs::create_dir_all(&build).expect("dir");
        let exe = build.join("clawdbot");
        assert_eq!(detect(&exe, root, &none), Installed::Plain, "no manifest");
        fs::write(root.join("src/Cargo.toml"), "[package]\nname = \"clawdbot\"\n").expect("write");
        assert_eq!(detect(&exe, root, &none), Installed::Plain, "no repository");
        fs::create_dir(root.join("src/.git")).expect("dir");
        let Installed::Checkout(checkout) = detect(&exe, root, &none) else { panic!("a checkout") };
        assert_eq!((checkout.root, checkout.profile), (root.join("src"), "release".to_owned()));
        let list = json!({"installs": {"clawdbot 2026.1.24 (git+https://host/x?branch=main#abc)": {}}});
        fs::create_dir(root.join(".cargo")).expect("dir");
        fs::write(root.join(".cargo/.crates2.json"), list.to_string()).expect("write");
        let installed = Installed::Cargo(cargo_source(&root.join(".cargo")));
        assert!(advice(&installed, &exe).contains("Run: cargo install --force --git https://host/x, then"));
    }

    #[test]
    fn whoever_cannot_be_updated_is_told_the_command() {
        let exe = Path::new("/opt/clawdbot");
        for (installed, part) in [
            (Installed::Cargo(None), "Run: cargo install --force clawdbot, then: clawdbot gateway restart"),
            (Installed::Cargo(Some("path+file:///s".into())), "cargo install --force --path /s"),
            (Installed::Package("clawdbot".into()), "Run: sudo apt-get install --only-upgrade clawdbot"),
            (Installed::Plain, "a newer one in the place of /opt/clawdbot"),
        ] {
            let update = skipped(advice(&installed, exe));
            let result = update.result();
            assert_eq!((&result["status"], &result["mode"]), (&json!("skipped"), &json!("unknown")));
            assert!(result["reason"].as_str().expect("reason").contains(part), "{result}");
            assert_eq!(result["steps"], json!([]));
        }
    }
}
