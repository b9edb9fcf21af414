//! `security audit`: what in the configuration and the files lets somebody in who should not be (cli.md §11, row 14).
//!
//! [`audit`] gathers findings from `security/`; `status` and `doctor` use it, too. Reads only, but for `--fix`.

mod channels;
mod exposure;
mod files;
mod fix;

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::exit::Outcome;
use super::{Cli, Command, output};
use crate::base::clock::{Clock as _, SystemClock};
use crate::client::target::{Overrides, Target};
use crate::client::{Client, Deadline, Profile};
use crate::config::load::load;
use crate::config::paths::Paths;
use crate::config::types::Config;

/// How long the gateway may take to answer with `--deep`.
const PROBE_WAIT: Duration = Duration::from_secs(5);

/// look for open doors in the configuration and in file permissions
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Audit {
    /// ask the running gateway, too
    #[argh(switch)]
    deep: bool,
    /// close what can be closed without a question
    #[argh(switch)]
    fix: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for Audit {
    fn run(self, cli: &Cli) -> Outcome {
        let fixed = self.fix.then(|| fix::fix(&cli.paths, cli.config()));
        let snapshot = load(&cli.paths);
        let mut findings = audit(&cli.paths, &snapshot.typed);
        let mut report = json!({});
        if self.deep {
            let (view, finding) = probe(cli, &snapshot.typed);
            report["deep"] = json!({"gateway": view});
            findings.extend(finding);
        }
        let report = report_of(&findings, report);
        if self.json {
            output::json(&match fixed {
                Some(fixed) => json!({"fix": fixed.view(), "report": report}),
                None => report,
            });
            return Ok(());
        }
        output::line(&output::bold("Clawdbot security audit"));
        output::line(&format!("Summary: {}", summary_line(&findings)));
        if !self.deep {
            output::line(&format!("Run deeper: {}", cli.paths.hint("security audit --deep")));
        }
        match &fixed {
            Some(fixed) => fixed.lines(&cli.paths).iter().for_each(|line| output::line(line)),
            None if findings.iter().any(Finding::is_fixable) => {
                output::line(&format!("Fix: {}", cli.paths.hint("security audit --fix")));
            }
            None => {}
        }
        for severity in Severity::ALL {
            let found: Vec<&Finding> = findings.iter().filter(|finding| finding.severity == severity).collect();
            if found.is_empty() {
                continue;
            }
            output::line(&format!("\n{}", output::bold(&severity.as_str().to_uppercase())));
            for finding in found {
                output::line(&format!("{} {}", output::dim(&finding.check_id), finding.title));
                finding.detail.lines().for_each(|line| output::line(&format!("  {line}")));
                if let Some(remediation) = &finding.remediation {
                    output::line(&format!("  {}", output::dim(&format!("Fix: {remediation}"))));
                }
            }
        }
        Ok(())
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Somebody can get in.
    Critical,
    /// One mistake away from that.
    Warn,
    /// Good to know.
    Info,
}

impl Severity {
    pub(super) const ALL: [Self; 3] = [Self::Critical, Self::Warn, Self::Info];

    fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warn => "warn",
            Self::Info => "info",
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    /// For scripts.
    pub(super) check_id: String,
    /// How bad it is.
    pub(super) severity: Severity,
    /// In a few words.
    pub(super) title: String,
    /// In a sentence.
    pub(super) detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remediation: Option<String>,
}

impl Finding {
    pub(super) fn new(check_id: impl Into<String>, severity: Severity, title: &str, detail: impl Into<String>) -> Self {
        let (check_id, title) = (check_id.into(), title.to_owned());
        Self { check_id, severity, title, detail: detail.into(), remediation: None }
    }

    pub(super) fn fix(self, remediation: impl Into<String>) -> Self {
        Self { remediation: Some(remediation.into()), ..self }
    }

    /// Returns whether `--fix` mends it.
    fn is_fixable(&self) -> bool {
        self.check_id.starts_with("fs.") && self.check_id.contains(".perms_")
            || self.check_id == "logging.redact_off"
            || self.check_id.ends_with(".warning.group_policy_open")
    }
}

/// Returns everything that is found without a gateway.
pub(super) fn audit(paths: &Paths, config: &Config) -> Vec<Finding> {
    let env = |name: &str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
    let mut findings = exposure::findings(paths, config, &env);
    findings.extend(files::findings(paths, config));
    findings.extend(channels::findings(paths, config));
    findings
}

/// Returns the report of `--json`, which `status` shows as `securityAudit`.
pub(super) fn report_of(findings: &[Finding], more: Value) -> Value {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let mut report = json!({
        "ts": SystemClock.now_ms(),
        "summary": {
            "critical": count(Severity::Critical), "warn": count(Severity::Warn), "info": count(Severity::Info),
        },
        "findings": findings,
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        report[key] = value.clone();
    }
    report
}

/// Returns `n critical · n warn · n info`.
pub(super) fn summary_line(findings: &[Finding]) -> String {
    let count = |severity: Severity| {
        let count = findings.iter().filter(|finding| finding.severity == severity).count();
        format!("{count} {}", severity.as_str())
    };
    Severity::ALL.map(count).join(" · ")
}

fn probe(cli: &Cli, config: &Config) -> (Value, Option<Finding>) {
    let target = Target::resolve(&cli.paths, config, &Overrides::default());
    let deadline = Deadline::after(PROBE_WAIT);
    let asked = Client::connect(&cli.paths, &target, &Profile::probe(), deadline).and_then(|mut client| {
        let health = client.request("health", json!({}), false, deadline);
        client.close();
        health
    });
    let error = asked.err().map(|error| error.to_string());
    let view = json!({"attempted": true, "url": target.url, "ok": error.is_none(), "error": error});
    let finding = error.map(|error| {
        let status = cli.paths.hint("status --all");
        Finding::new("gateway.probe_failed", Severity::Warn, "The gateway does not answer", error)
            .fix(format!("See {status}, then look again."))
    });
    (view, finding)
}
