//! How this program came here, and whether there is a newer one: `update status`, and a row of `status` (cli.md §9, §22).
//!
//! Asks git, which may fetch, and the package manager; nothing is changed. Blocking, within a time. Not here: the update.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{ASK_TIMEOUT, Checkout, Installed, advice, answer, detect};
use crate::base::cancel::CancelToken;

/// What was found.
#[derive(Debug)]
pub struct Look {
    installed: Installed,
    git: Option<Git>,
    advice: Option<String>,
}

/// State of a checkout; `None` is what git does not say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Git {
    root: String,
    sha: Option<String>,
    tag: Option<String>,
    branch: Option<String>,
    upstream: Option<String>,
    is_dirty: Option<bool>,
    ahead: Option<u64>,
    behind: Option<u64>,
    /// Whether the other side was asked, and answered.
    is_fetched: Option<bool>,
    error: Option<String>,
}

/// Which line of versions is followed, and who says so.
#[derive(Debug, PartialEq, Eq)]
pub struct Channel {
    /// stable, beta or dev.
    pub value: String,
    /// config, git-tag, git-branch or default.
    pub source: &'static str,
    /// Both, for people.
    pub label: String,
}

/// Looks at the program `exe`; what a checkout is asked may take `timeout` in all. `is_fetching` asks where the checkout came from.
pub fn look(exe: &Path, home: &Path, timeout: Duration, is_fetching: bool, cancel: &CancelToken) -> Look {
    let installed = detect(exe, home, cancel);
    let git = match &installed {
        Installed::Checkout(checkout) => Some(Git::of(checkout, timeout, is_fetching, cancel)),
        _ => None,
    };
    let advice = git.is_none().then(|| advice(&installed, exe));
    Look { installed, git, advice }
}

/// Reads a channel's name; `None` when it is none.
pub fn parse_channel(text: &str) -> Option<String> {
    Some(text.trim().to_lowercase()).filter(|name| matches!(name.as_str(), "stable" | "beta" | "dev"))
}

impl Git {
    fn of(checkout: &Checkout, timeout: Duration, is_fetching: bool, cancel: &CancelToken) -> Self {
        let until = Instant::now() + timeout.max(Duration::from_millis(250));
        let ask = |words: &[&str]| -> Result<String, String> {
            let mut command = Command::new("git");
            // A question would never be answered.
            command.args(words).current_dir(&checkout.root).env("GIT_TERMINAL_PROMPT", "0");
            answer(command, until.saturating_duration_since(Instant::now()).min(ASK_TIMEOUT), cancel)
        };
        let root = checkout.root.display().to_string();
        let branch = match ask(&["rev-parse", "--abbrev-ref", "HEAD"]) {
            Ok(branch) => Some(branch).filter(|branch| !branch.is_empty()),
            Err(error) => return Self { root, error: Some(error), ..Self::default() },
        };
        let said = |words: &[&str]| ask(words).ok().filter(|text| !text.is_empty());
        let upstream = said(&["rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{upstream}"]);
        let mut git = Self {
            sha: said(&["rev-parse", "HEAD"]),
            tag: said(&["describe", "--tags", "--exact-match"]),
            is_dirty: ask(&["status", "--porcelain"]).ok().map(|text| !text.is_empty()),
            is_fetched: is_fetching.then(|| ask(&["fetch", "--quiet", "--prune"]).is_ok()),
            ..Self::default()
        };
        let range = upstream.as_ref().map(|upstream| format!("HEAD...{upstream}"));
        let counts = range.and_then(|range| ask(&["rev-list", "--left-right", "--count", &range]).ok());
        let mut counts = counts.iter().flat_map(|text| text.split_whitespace()).map(|count| count.parse().ok());
        (git.ahead, git.behind) = (counts.next().flatten(), counts.next().flatten());
        (git.root, git.branch, git.upstream) = (root, branch, upstream);
        git
    }

    fn view(&self) -> Value {
        let mut view = json!({
            "root": self.root, "sha": self.sha, "tag": self.tag, "branch": self.branch, "upstream": self.upstream,
            "dirty": self.is_dirty, "ahead": self.ahead, "behind": self.behind, "fetchOk": self.is_fetched,
        });
        if let Some(error) = &self.error {
            view["error"] = error.as_str().into();
        }
        view
    }

    fn line(&self) -> String {
        let mut parts = vec![self.branch.as_ref().map_or_else(|| "git".to_owned(), |branch| format!("git {branch}"))];
        parts.extend(self.upstream.as_ref().map(|upstream| format!("↔ {upstream}")));
        parts.extend((self.is_dirty == Some(true)).then(|| "dirty".to_owned()));
        parts.extend(match (self.ahead, self.behind) {
            (Some(0), Some(0)) => Some("up to date".to_owned()),
            (Some(0), Some(behind)) => Some(format!("behind {behind}")),
            (Some(ahead), Some(0)) => Some(format!("ahead {ahead}")),
            (Some(ahead), Some(behind)) => Some(format!("diverged (ahead {ahead}, behind {behind})")),
            _ => None,
        });
        parts.extend((self.is_fetched == Some(false)).then(|| "fetch failed".to_owned()));
        parts.extend(self.error.as_ref().map(|error| format!("git: {}", error.lines().next().unwrap_or_default())));
        parts.join(" · ")
    }
}

impl Look {
    /// Returns it as reports have it.
    pub fn view(&self) -> Value {
        let (kind, manager, root) = match &self.installed {
            Installed::Checkout(checkout) => ("git", "cargo", Some(&checkout.root)),
            Installed::Cargo(_) => ("package", "cargo", None),
            Installed::Package(_) => ("package", "dpkg", None),
            Installed::Plain => ("unknown", "unknown", None),
        };
        let mut view = json!({"root": root, "installKind": kind, "packageManager": manager});
        if let Some(git) = &self.git {
            view["git"] = git.view();
        }
        if let Some(advice) = &self.advice {
            view["advice"] = advice.as_str().into();
        }
        view
    }

    /// Returns whether there is a newer one, as reports have it. No registry is asked.
    pub fn availability(&self) -> Value {
        let behind = self.git.as_ref().and_then(|git| git.behind);
        let is_behind = behind.is_some_and(|count| count > 0);
        json!({
            "available": is_behind, "hasGitUpdate": is_behind, "hasRegistryUpdate": false, "latestVersion": null,
            "gitBehind": behind,
        })
    }

    /// Returns the channel: the configured one, else what the checkout says, else the usual one.
    pub fn channel(&self, configured: Option<&str>) -> Channel {
        let channel = |value: &str, source, detail: &str| Channel {
            value: value.to_owned(),
            source,
            label: format!("{value} ({detail})"),
        };
        let git = self.git.as_ref();
        let tag = git.and_then(|git| git.tag.as_deref());
        let branch = git.and_then(|git| git.branch.as_deref()).filter(|branch| *branch != "HEAD");
        match (configured.and_then(parse_channel), tag, branch) {
            (Some(value), ..) => channel(&value, "config", "config"),
            (None, Some(tag), _) if tag.to_lowercase().contains("-beta") => channel("beta", "git-tag", tag),
            (None, Some(tag), _) => channel("stable", "git-tag", tag),
            (None, None, Some(branch)) => channel("dev", "git-branch", branch),
            _ => channel(if git.is_some() { "dev" } else { "stable" }, "default", "default"),
        }
    }

    /// Returns how it came here, for people.
    pub fn install(&self) -> String {
        match &self.installed {
            Installed::Checkout(checkout) => format!("git ({})", checkout.root.display()),
            Installed::Cargo(Some(source)) => format!("cargo ({source})"),
            Installed::Cargo(None) => "cargo".to_owned(),
            Installed::Package(name) => format!("package {name}"),
            Installed::Plain => "a single file".to_owned(),
        }
    }

    /// Returns branch, tag and commit of a checkout.
    pub fn git_line(&self) -> Option<String> {
        let git = self.git.as_ref()?;
        let branch = git.branch.as_deref().filter(|branch| *branch != "HEAD");
        let mut parts = vec![branch.unwrap_or(if git.tag.is_some() { "detached" } else { "git" }).to_owned()];
        parts.extend(git.tag.as_ref().map(|tag| format!("tag {tag}")));
        parts.extend(git.sha.as_ref().map(|sha| format!("@ {}", &sha[..sha.len().min(8)])));
        Some(parts.join(" · "))
    }

    /// Returns how new it is, in a line; what updates it where that cannot be told.
    pub fn line(&self) -> String {
        match (&self.git, &self.advice) {
            (Some(git), _) => git.line(),
            (None, Some(advice)) => advice.clone(),
            (None, None) => "unknown".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(git: Git) -> Look {
        let checkout = Checkout { root: "/src".into(), profile: "release".to_owned() };
        Look { installed: Installed::Checkout(checkout), git: Some(git), advice: None }
    }

    #[test]
    fn states_of_a_checkout() {
        let text = |text: &str| Some(text.to_owned());
        let plain = || Git { branch: text("main"), upstream: text("origin/main"), ..Git::default() };
        for (ahead, behind, is_fetched, wanted) in [
            (0, 0, None, "git main · ↔ origin/main · up to date"),
            (0, 3, Some(true), "git main · ↔ origin/main · behind 3"),
            (2, 0, Some(false), "git main · ↔ origin/main · ahead 2 · fetch failed"),
            (2, 3, None, "git main · ↔ origin/main · diverged (ahead 2, behind 3)"),
        ] {
            let look = with(Git { ahead: Some(ahead), behind: Some(behind), is_fetched, ..plain() });
            assert_eq!(look.line(), wanted);
            assert_eq!(look.availability()["available"], behind > 0);
        }
        let broken = with(Git { error: text("fatal: no\nmore"), ..Git::default() });
        assert_eq!(
            (broken.line().as_str(), &broken.availability()["gitBehind"]),
            ("git · git: fatal: no", &Value::Null)
        );
    }

    #[test]
    fn channels() {
        let text = |text: &str| Some(text.to_owned());
        let of = |branch: Option<&str>, tag: Option<&str>, configured: Option<&str>| {
            let look = with(Git { branch: branch.map(str::to_owned), tag: tag.map(str::to_owned), ..Git::default() });
            let channel = look.channel(configured);
            (channel.label, channel.source)
        };
        assert_eq!(of(Some("main"), None, None), ("dev (main)".to_owned(), "git-branch"));
        assert_eq!(of(Some("HEAD"), Some("v1"), None), ("stable (v1)".to_owned(), "git-tag"));
        assert_eq!(of(None, Some("v1-beta.2"), None), ("beta (v1-beta.2)".to_owned(), "git-tag"));
        assert_eq!(of(Some("HEAD"), None, Some("none")), ("dev (default)".to_owned(), "default"));
        assert_eq!(of(Some("main"), None, Some(" Beta ")), ("beta (config)".to_owned(), "config"));
        let plain = Look { installed: Installed::Plain, git: None, advice: text("copy it") };
        assert_eq!((plain.channel(None).label.as_str(), plain.line().as_str()), ("stable (default)", "copy it"));
        assert_eq!(plain.view()["installKind"], "unknown");
    }
}
