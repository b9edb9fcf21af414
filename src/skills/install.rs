//! Installing what a skill requires: Homebrew, Node packages, Go modules, uv tools, downloads.
//!
//! Runs the installer as a child process with its arguments as they are (no shell) or fetches a file; blocks its thread
//! for minutes, so it belongs into a job of its own. What went wrong is part of the [`Outcome`], in the original's words.
//! Not here: which way suits a host (`status`).

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::manifest::{InstallKind, InstallSpec, Skill, Unpack};
use super::status::node_manager;
use crate::base::cancel::{CancelReason, CancelToken};
use crate::base::process::{self, Captured, Ended, Keep, find_program, is_executable};
use crate::base::text::{collapse_whitespace, unless_blank};
use crate::config::paths::Paths;
use crate::config::types::SkillsInstall;
use crate::net::fetch::{Fetch, FetchError};

/// Bytes of each stream that are kept; the end tells what went wrong.
const OUTPUT_BYTES_MAX: usize = 32 * 1024;
/// Characters of the line that a failure quotes.
const SUMMARY_CHARS_MAX: usize = 200;
/// Largest file that is downloaded.
const DOWNLOAD_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// How long an installer runs by default, at least and at most.
const TIMEOUT_DEFAULT_MS: u64 = 300_000;
const TIMEOUT_MIN_MS: u64 = 1000;
const TIMEOUT_MAX_MS: u64 = 900_000;
/// How long Homebrew gets to say where it lives.
const PREFIX_TIMEOUT: Duration = Duration::from_secs(30);

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Whether it is installed now.
    pub ok: bool,
    /// For people.
    pub message: String,
    /// The end of the installer's output.
    pub stdout: String,
    /// The end of its other output.
    pub stderr: String,
    /// Its exit code. compat: null without one.
    pub code: Option<i32>,
}

impl Outcome {
    fn refused(message: impl Into<String>) -> Self {
        Self { ok: false, message: message.into(), stdout: String::new(), stderr: String::new(), code: None }
    }

    /// An installation that failed without an installer's exit code.
    fn failed(error: impl Into<String>) -> Self {
        let error = error.into();
        Self { stderr: error.clone(), ..Self::refused(error) }
    }
}

/// What an installation works with.
pub struct Installer<'a> {
    /// `skills.install`.
    pub settings: &'a SkillsInstall,
    /// Where files are.
    pub paths: &'a Paths,
    /// Longest run of one command or download.
    pub timeout: Duration,
    /// Ends it.
    pub cancel: &'a CancelToken,
}

/// Returns the limit for a wish in milliseconds.
pub fn timeout(wanted_ms: Option<u64>) -> Duration {
    Duration::from_millis(wanted_ms.unwrap_or(TIMEOUT_DEFAULT_MS).clamp(TIMEOUT_MIN_MS, TIMEOUT_MAX_MS))
}

impl Installer<'_> {
    /// Installs what the skill of this name needs, in the way of this id.
    pub fn install(&self, skills: &[Arc<Skill>], name: &str, id: &str) -> Outcome {
        let Some(skill) = skills.iter().find(|skill| skill.name == name) else {
            return Outcome::refused(format!("Skill not found: {name}"));
        };
        let Some(spec) = skill.install.iter().find(|spec| spec.id == id) else {
            return Outcome::refused(format!("Installer not found: {id}"));
        };
        match check_object(spec) {
            Err(message) => Outcome::refused(message),
            Ok(()) if spec.kind == InstallKind::Download => self.download(skill, spec),
            Ok(()) => self.run_installer(spec).unwrap_or_else(|refusal| refusal),
        }
    }

    fn run_installer(&self, spec: &InstallSpec) -> Result<Outcome, Outcome> {
        let object = spec.object.as_str();
        let brew = find_program("brew").or_else(|| self.unlisted_brew());
        let command = match spec.kind {
            InstallKind::Brew => {
                command(&brew.ok_or_else(|| Outcome::refused("brew not installed"))?, &["install", object])
            }
            InstallKind::Node => self.node_command(object)?,
            InstallKind::Uv => command(&self.program_or_brewed("uv", brew.as_deref())?, &["tool", "install", object]),
            InstallKind::Go | InstallKind::Download => {
                let go = self.program_or_brewed("go", brew.as_deref())?;
                let mut command = command(&go, &["install", object]);
                // Homebrew's directory is on people's PATH; Go's own often is not.
                if let Some(bin) = brew.and_then(|brew| self.brew_bin(&brew)) {
                    command.env("GOBIN", bin);
                }
                command
            }
        };
        Ok(self.finish(command, "Installed"))
    }

    fn node_command(&self, package: &str) -> Result<Command, Outcome> {
        let manager = node_manager(self.settings);
        let Some(program) = find_program(manager) else {
            return Err(Outcome::refused(format!(
                "{manager} not installed (install it, or choose another with skills.install.nodeManager)"
            )));
        };
        let args: &[&str] = match manager {
            "pnpm" | "bun" => &["add", "-g", package],
            "yarn" => &["global", "add", package],
            _ => &["install", "-g", package],
        };
        let mut command = command(&program, args);
        if std::env::var_os("NPM_CONFIG_FUND").is_none() {
            command.env("NPM_CONFIG_FUND", "false");
        }
        Ok(command)
    }

    /// Returns a program that is there, or that Homebrew has just installed.
    fn program_or_brewed(&self, name: &str, brew: Option<&Path>) -> Result<PathBuf, Outcome> {
        if let Some(program) = find_program(name) {
            return Ok(program);
        }
        let Some(brew) = brew else {
            return Err(Outcome::refused(format!("{name} not installed (install via brew)")));
        };
        let outcome = self.finish(command(brew, &["install", name]), "Installed");
        if !outcome.ok {
            return Err(Outcome { message: format!("Failed to install {name} (brew)"), ..outcome });
        }
        let brewed = brew.parent().map(|bin| bin.join(name)).filter(|program| is_executable(program));
        Ok(find_program(name).or(brewed).unwrap_or_else(|| PathBuf::from(name)))
    }

    /// Returns Homebrew where it lives when its directory is not on `PATH`, as in services.
    fn unlisted_brew(&self) -> Option<PathBuf> {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let named = [var("HOMEBREW_BREW_FILE"), var("HOMEBREW_PREFIX").map(|prefix| prefix.join("bin/brew"))];
        let usual = [
            self.paths.home.join(".linuxbrew/bin/brew"),
            "/home/linuxbrew/.linuxbrew/bin/brew".into(),
            "/opt/homebrew/bin/brew".into(),
            "/usr/local/bin/brew".into(),
        ];
        named.into_iter().flatten().chain(usual).find(|file| is_executable(file))
    }

    fn brew_bin(&self, brew: &Path) -> Option<PathBuf> {
        let timeout = self.timeout.min(PREFIX_TIMEOUT);
        let output =
            process::capture(command(brew, &["--prefix"]), Some(timeout), Keep::Last(OUTPUT_BYTES_MAX), self.cancel)
                .ok()?;
        let prefix = output.stdout.trim();
        (output.ended == Ended::Exited(0) && !prefix.is_empty()).then(|| Path::new(prefix).join("bin"))
    }

    /// Runs a command; `done` is what there is to say when it went well.
    fn finish(&self, command: Command, done: &str) -> Outcome {
        log::info!(target: "skills", "running {}", shown(&command));
        match process::capture(command, Some(self.timeout), Keep::Last(OUTPUT_BYTES_MAX), self.cancel) {
            Ok(output) => self.outcome(&output, done),
            Err(error) => Outcome {
                message: format!("Install failed (unknown exit): {error}"),
                ..Outcome::failed(error.to_string())
            },
        }
    }

    fn outcome(&self, output: &Captured, done: &str) -> Outcome {
        let (stdout, stderr) = (output.stdout.trim().to_owned(), output.stderr.trim().to_owned());
        let (code, how) = match output.ended {
            Ended::Exited(0) => return Outcome { ok: true, message: done.to_owned(), stdout, stderr, code: Some(0) },
            Ended::Exited(code) => (Some(code), format!("exit {code}")),
            Ended::Signalled(_) => (None, "unknown exit".to_owned()),
            Ended::TimedOut => (None, self.timed_out()),
            Ended::Cancelled => (None, self.why_stopped()),
        };
        let message = match summary(&stderr).or_else(|| summary(&stdout)) {
            Some(summary) => format!("Install failed ({how}): {summary}"),
            None => format!("Install failed ({how})"),
        };
        Outcome { ok: false, message, stdout, stderr, code }
    }

    fn timed_out(&self) -> String {
        format!("timed out after {}s", self.timeout.as_secs_f64().ceil())
    }

    fn why_stopped(&self) -> String {
        match self.cancel.reason() {
            // The deadline of a download holds for the unpacking too.
            Some(CancelReason::TimedOut) => self.timed_out(),
            _ => "the gateway is stopping".to_owned(),
        }
    }

    fn download(&self, skill: &Skill, spec: &InstallSpec) -> Outcome {
        let Some(dir) = self.download_dir(skill, &spec.unpack) else {
            return Outcome::refused(format!("skill key is no directory name: {}", skill.key));
        };
        let name = file_name(&spec.object);
        let file = dir.join(name);
        let bytes = match self.fetch(&spec.object, &file) {
            Ok(bytes) => bytes,
            Err(message) => return Outcome::failed(message),
        };
        let archive = spec.unpack.archive.as_deref().map(str::to_ascii_lowercase).or_else(|| archive_of(name));
        if !spec.unpack.extract.unwrap_or(archive.is_some()) {
            let message = format!("Downloaded to {}", file.display());
            return Outcome {
                ok: true,
                message,
                stdout: format!("downloaded={bytes}"),
                stderr: String::new(),
                code: Some(0),
            };
        }
        match archive {
            None => Outcome::refused("extract requested but archive type could not be detected"),
            Some(archive) => self.unpack(&archive, &file, &dir, spec.unpack.strip_components),
        }
    }

    /// Returns where a download goes; `None` when the skill's key would lead elsewhere.
    fn download_dir(&self, skill: &Skill, unpack: &Unpack) -> Option<PathBuf> {
        if let Some(dir) = &unpack.target_dir {
            return Some(self.paths.expand(dir));
        }
        let is_name = !matches!(skill.key.as_str(), "" | "." | "..") && !skill.key.contains(['/', '\\', '\0']);
        is_name.then(|| self.paths.state_dir.join("tools").join(&skill.key))
    }

    /// Fetches a file; a download that breaks off leaves the file of before.
    fn fetch(&self, url: &str, file: &Path) -> Result<u64, String> {
        self.cancel.set_deadline(Instant::now() + self.timeout);
        let fetch = Fetch::new(self.cancel);
        let say = |error: FetchError| match error {
            FetchError::Cancelled => format!("Download failed ({})", self.why_stopped()),
            FetchError::Failed(error) => format!("Download failed ({error})"),
        };
        let answer = fetch.get(url, &[]).map_err(say)?;
        if !(200..300).contains(&answer.status) {
            return Err(format!("Download failed ({})", answer.status));
        }
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = file.with_file_name(name);
        let write_error = |error: io::Error| format!("cannot write {}: {error}", file.display());
        fs::create_dir_all(file.parent().unwrap_or(file)).map_err(write_error)?;
        let result = copy(answer.body, &part, |error| say(fetch.read_failure(&error)));
        match result.and_then(|bytes| fs::rename(&part, file).map(|()| bytes).map_err(write_error)) {
            Ok(bytes) => Ok(bytes),
            Err(message) => {
                // Best effort: the message below is what matters.
                let _ = fs::remove_file(&part);
                Err(message)
            }
        }
    }

    fn unpack(&self, archive: &str, file: &Path, dir: &Path, strip_components: Option<u64>) -> Outcome {
        let name = if archive == "zip" { "unzip" } else { "tar" };
        let Some(program) = find_program(name) else {
            let error = format!("{name} not found on PATH");
            return Outcome { message: format!("Install failed (unknown exit): {error}"), ..Outcome::failed(error) };
        };
        let mut command = command(&program, &[]);
        if archive == "zip" {
            command.args(["-q", "-o"]).arg(file).arg("-d").arg(dir);
        } else {
            command.arg("xf").arg(file).arg("-C").arg(dir).arg("--no-same-owner");
            if let Some(count) = strip_components {
                command.args(["--strip-components", &count.to_string()]);
            }
        }
        self.finish(command, &format!("Downloaded and extracted to {}", dir.display()))
    }
}

/// Refuses what is missing, or would be read as an option of the installer.
fn check_object(spec: &InstallSpec) -> Result<(), String> {
    let (kind, what, object) = (spec.kind.as_str(), spec.kind.object(), spec.object.as_str());
    if object.is_empty() {
        return Err(format!("missing {kind} {what}"));
    }
    let is_url = object.starts_with("https://") || object.starts_with("http://");
    let is_odd = object.starts_with('-') || object.contains(|c: char| c.is_whitespace() || c.is_control());
    if is_odd || (spec.kind == InstallKind::Download && !is_url) {
        return Err(format!("invalid {kind} {what}: {object}"));
    }
    Ok(())
}

fn command(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    process::withhold(&mut command);
    command
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Returns the line of an output that tells most: an error, else the last.
fn summary(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().filter_map(unless_blank).collect();
    let is_error = |line: &&&str| {
        let lower = line.to_ascii_lowercase();
        lower
            .strip_prefix("error")
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
    };
    let speaks_of_one = |line: &&&str| {
        let lower = line.to_ascii_lowercase();
        ["err!", "error:", "failed"].iter().any(|word| lower.contains(word))
    };
    let line = lines.iter().find(is_error).or_else(|| lines.iter().find(speaks_of_one)).or(lines.last())?;
    let line = collapse_whitespace(line);
    Some(match line.char_indices().nth(SUMMARY_CHARS_MAX) {
        Some(_) => line.chars().take(SUMMARY_CHARS_MAX - 1).chain(['…']).collect(),
        None => line,
    })
}

/// Returns the name under which a URL's file is stored.
fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    path.rsplit('/').next().filter(|name| !matches!(*name, "" | "." | "..")).unwrap_or("download")
}

fn archive_of(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let ends =
        [(".tar.gz", "tar.gz"), (".tgz", "tar.gz"), (".tar.bz2", "tar.bz2"), (".tbz2", "tar.bz2"), (".zip", "zip")];
    ends.iter().find(|(end, _)| lower.ends_with(end)).map(|(_, archive)| (*archive).to_owned())
}

fn copy(body: impl Read, file: &Path, read_error: impl Fn(io::Error) -> String) -> Result<u64, String> {
    let write_error = |error: io::Error| format!("cannot write {}: {error}", file.display());
    let mut out = File::create(file).map_err(write_error)?;
    let mut body = body.take(DOWNLOAD_BYTES_MAX + 1);
    let mut chunk = vec![0; 64 * 1024];
    let mut bytes = 0;
    loop {
        let count = body.read(&mut chunk).map_err(&read_error)?;
        if count == 0 {
            return Ok(bytes);
        }
        bytes += count as u64;
        if bytes > DOWNLOAD_BYTES_MAX {
            return Err(format!("Download failed (larger than {DOWNLOAD_BYTES_MAX} bytes)"));
        }
        out.write_all(&chunk[..count]).map_err(write_error)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kind: InstallKind, object: &str) -> InstallSpec {
        InstallSpec {
            id: "i".to_owned(),
            kind,
            label: None,
            bins: Vec::new(),
            os: Vec::new(),
            object: object.to_owned(),
            unpack: Unpack::default(),
        }
    }

    #[test]
    fn odd_objects_are_refused() {
        for (kind, object, message) in [
            (InstallKind::Brew, "", Err("missing brew formula")),
            (InstallKind::Node, "", Err("missing node package")),
            (InstallKind::Go, "", Err("missing go module")),
            (InstallKind::Uv, "--index=x", Err("invalid uv package: --index=x")),
            (InstallKind::Node, "a b", Err("invalid node package: a b")),
            (InstallKind::Node, "@scope/pkg@1", Ok(())),
            (InstallKind::Download, "file:///etc/passwd", Err("invalid download url: file:///etc/passwd")),
            (InstallKind::Download, "https://x/y", Ok(())),
        ] {
            assert_eq!(check_object(&spec(kind, object)), message.map_err(str::to_owned), "{object}");
        }
    }

    #[test]
    fn the_telling_line_is_quoted() {
        for (text, line) in [
            ("a\n  b \n\n", Some("b")),
            ("done\nError: no   such formula\nhint", Some("Error: no such formula")),
            ("errors\nnpm ERR! code E404\nlast", Some("npm ERR! code E404")),
            (" \n", None),
        ] {
            assert_eq!(summary(text).as_deref(), line, "{text}");
        }
        let long = summary(&"é".repeat(300)).expect("a line");
        assert_eq!((long.chars().count(), long.ends_with('…')), (200, true));
        assert_eq!(summary(&"é".repeat(200)).map(|line| line.ends_with('é')), Some(true));
    }

    #[test]
    fn downloads_have_names_and_kinds() {
        for (url, name, archive) in [
            ("https://x/a/b.tar.gz?v=1#z", "b.tar.gz", Some("tar.gz")),
            ("https://x/a/B.ZIP", "B.ZIP", Some("zip")),
            ("https://x/", "download", None),
            ("https://x", "download", None),
            ("https://x/a/..", "download", None),
        ] {
            assert_eq!((file_name(url), archive_of(file_name(url)).as_deref()), (name, archive), "{url}");
        }
    }

    #[test]
    fn timeouts_have_bounds() {
        for (wanted, ms) in [(None, 300_000), (Some(1), 1000), (Some(5000), 5000), (Some(u64::MAX), 900_000)] {
            assert_eq!(timeout(wanted), Duration::from_millis(ms));
        }
    }
}
