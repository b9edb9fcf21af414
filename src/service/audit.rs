//! Compares an installed service with what would be installed today (cli.md §26.6).
//!
//! Pure functions over what the caller read. Not here: repairing it (`doctor`).

use serde::Serialize;

use super::Installed;
use crate::base::text::unless_blank;

/// What is wrong with a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// For scripts.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// recommended, or aggressive: an owner's edit may be meant.
    pub level: &'static str,
}

impl Issue {
    fn new(code: &'static str, message: impl Into<String>, detail: Option<String>) -> Self {
        Self { code, message: message.into(), detail, level: "recommended" }
    }

    /// Returns it in one line.
    pub fn line(&self) -> String {
        let detail = self.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        format!("{}{detail}", self.message)
    }
}

/// Parts of paths of version and package managers: a service that depends on one breaks with its next update.
const MANAGED: [&str; 10] = [
    "/.nvm/",
    "/.fnm/",
    "/.volta/",
    "/.asdf/",
    "/.n/",
    "/.nodenv/",
    "/.nodebrew/",
    "/nvs/",
    "/.local/share/pnpm/",
    "/pnpm/",
];

/// Returns what is wrong with an installed gateway service; `text` is that of its file, `path` the directories that
/// a service should find.
pub fn audit(installed: Option<&Installed>, text: Option<&str>, path: &[String]) -> Vec<Issue> {
    let Some(installed) = installed else { return Vec::new() };
    let mut issues = Vec::new();
    if !installed.program_arguments.iter().any(|word| word == "gateway") {
        let message = "Service command does not include the gateway subcommand";
        issues.push(Issue { level: "aggressive", ..Issue::new("gateway-command-missing", message, None) });
    }
    if !cfg!(windows) {
        issues.extend(audit_path(installed, path));
    }
    let text = text.unwrap_or_default();
    let file = Some(installed.source_path.display().to_string());
    match installed.source_path.extension().and_then(|extension| extension.to_str()) {
        Some("service") => issues.extend(audit_unit(text, file)),
        Some("plist") => issues.extend(audit_plist(text, file)),
        _ => {}
    }
    issues
}

fn audit_path(installed: &Installed, wanted: &[String]) -> Vec<Issue> {
    let Some(path) = installed.environment.get("PATH").and_then(|path| path.as_str()) else {
        let message = "Gateway service PATH is not set; the daemon should use a minimal PATH.";
        return vec![Issue::new("gateway-path-missing", message, None)];
    };
    let dirs: Vec<&str> = path.split(':').filter_map(unless_blank).collect();
    let missing: Vec<&str> = wanted.iter().map(String::as_str).filter(|dir| !dirs.contains(dir)).collect();
    let mut issues = Vec::new();
    if !missing.is_empty() {
        let message = format!("Gateway service PATH missing required dirs: {}", missing.join(", "));
        issues.push(Issue::new("gateway-path-missing-dirs", message, None));
    }
    let is_managed = |dir: &&&str| {
        let slashed = format!("{dir}/");
        MANAGED.iter().any(|part| slashed.contains(part)) && !wanted.iter().any(|wanted| wanted == **dir)
    };
    let managed: Vec<&str> = dirs.iter().filter(is_managed).copied().collect();
    if !managed.is_empty() {
        let message = "Gateway service PATH includes version managers or package managers; recommend a minimal PATH.";
        issues.push(Issue::new("gateway-path-nonminimal", message, Some(managed.join(", "))));
    }
    issues
}

fn audit_unit(text: &str, file: Option<String>) -> Vec<Issue> {
    let values = |key: &str| {
        let prefix = format!("{key}=");
        text.lines().filter_map(move |line| line.trim().strip_prefix(&prefix).map(str::to_owned)).collect::<Vec<_>>()
    };
    let has_target = |key: &str| {
        values(key).iter().any(|value| value.split_whitespace().any(|target| target == "network-online.target"))
    };
    let mut issues = Vec::new();
    if !has_target("After") {
        let message = "Missing systemd After=network-online.target";
        issues.push(Issue::new("systemd-after-network-online", message, file.clone()));
    }
    if !has_target("Wants") {
        let message = "Missing systemd Wants=network-online.target";
        issues.push(Issue::new("systemd-wants-network-online", message, file.clone()));
    }
    let seconds = |text: &String| text.trim_end_matches('s').trim().parse::<f64>().ok();
    let restart_sec = values("RestartSec").last().and_then(seconds);
    if !restart_sec.is_some_and(|seconds| (seconds - 5.0).abs() < 0.01) {
        let message = "RestartSec does not match the recommended 5s";
        issues.push(Issue::new("systemd-restart-sec", message, file.clone()));
    }
    if values("MemoryMax").is_empty() {
        let message = "Missing systemd MemoryMax: a command that takes all memory would take the host with it";
        issues.push(Issue::new("systemd-memory-max", message, file));
    }
    issues
}

fn audit_plist(text: &str, file: Option<String>) -> Vec<Issue> {
    let is_true = |key: &str| {
        let after = text.split_once(&format!("<key>{key}</key>")).map(|(_, after)| after.trim_start());
        after.is_some_and(|after| after.starts_with("<true/>") || after.starts_with("<true />"))
    };
    let mut issues = Vec::new();
    if !is_true("RunAtLoad") {
        let message = "LaunchAgent is missing RunAtLoad=true";
        issues.push(Issue::new("launchd-run-at-load", message, file.clone()));
    }
    if !is_true("KeepAlive") {
        issues.push(Issue::new("launchd-keep-alive", "LaunchAgent is missing KeepAlive=true", file));
    }
    issues
}

/// Returns the issue of a service that runs another program than `current`; that of the original counts as one.
pub fn audit_program(installed: &Installed, current: &str) -> Option<Issue> {
    let canonical = |path: &str| std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let first = installed.program_arguments.first()?;
    // The original runs node with its entry file as the first argument.
    let shown = match installed.program_arguments.get(1) {
        Some(second) if second.contains('/') => second,
        _ => first,
    };
    if canonical(shown) == canonical(current) {
        return None;
    }
    let message = "Gateway service entrypoint does not match the current install.";
    Some(Issue::new("gateway-entrypoint-mismatch", message, Some(format!("{shown} -> {current}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn installed(words: &[&str], path: Option<&str>, file: &str) -> Installed {
        let mut environment = serde_json::Map::new();
        if let Some(path) = path {
            environment.insert("PATH".to_owned(), json!(path));
        }
        Installed {
            program_arguments: words.iter().map(|word| (*word).to_owned()).collect(),
            working_directory: None,
            environment,
            source_path: file.into(),
        }
    }

    fn check(installed: &Installed, text: &str, codes: &[&str]) {
        let found = audit(Some(installed), Some(text), &["/usr/bin".to_owned(), "/bin".to_owned()]);
        assert_eq!(found.iter().map(|issue| issue.code).collect::<Vec<_>>(), codes, "{text}");
    }

    #[test]
    fn what_is_missing_is_found() {
        let unit = "After=network-online.target\nWants=a network-online.target\nRestartSec=5\nMemoryMax=1G\n";
        let good = installed(&["/bin/clawdbot", "gateway"], Some("/usr/bin:/bin"), "/u.service");
        check(&good, unit, &[]);
        check(&installed(&["/bin/x"], Some("/usr/bin:/bin"), "/u.service"), unit, &["gateway-command-missing"]);
        check(&installed(&["gateway"], None, "/u.service"), unit, &["gateway-path-missing"]);
        let managed = installed(&["gateway"], Some("/h/.nvm/bin:/usr/bin:/bin"), "/u.service");
        check(&managed, unit, &["gateway-path-nonminimal"]);
        let bare = [
            "systemd-after-network-online",
            "systemd-wants-network-online",
            "systemd-restart-sec",
            "systemd-memory-max",
        ];
        check(&good, "RestartSec=10", &bare);
        let agent = installed(&["gateway"], Some("/usr/bin:/bin"), "/a.plist");
        check(&agent, "<key>RunAtLoad</key> <true/>", &["launchd-keep-alive"]);
        assert_eq!(audit(None, None, &[]), []);
    }

    #[test]
    fn another_program_is_a_mismatch_the_original_too() {
        let ours = installed(&["/bin/sh", "gateway"], None, "/u.service");
        assert_eq!(audit_program(&ours, "/bin/sh"), None);
        let node = installed(&["/usr/bin/node", "/opt/clawdbot/dist/entry.js", "gateway"], None, "/u.service");
        let detail = audit_program(&node, "/bin/sh").and_then(|issue| issue.detail);
        assert_eq!(detail.as_deref(), Some("/opt/clawdbot/dist/entry.js -> /bin/sh"));
    }
}
