//! Whether this machine's policy lets a command run (agent.md §23).
//!
//! The policy file and the configuration are read afresh for each command; whatever cannot be read allows nothing. A
//! question to a person has been put by the gateway before the command came: its answer is in the parameters, and
//! without one a command that needs it does not run. Runs on the command's thread.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::command::Shared;
use super::run::{Job, Params};
use crate::approvals::allowlist::{Allowed, CommandLine, Evaluation, SAFE_BINS_DEFAULT, Surroundings, evaluate};
use crate::approvals::file::Policy;
use crate::approvals::policy::{Ask, Decision, Denial as Cause, Security, Strictness, Verdict};
use crate::approvals::store::Snapshot;
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::rng::SystemRng;
use crate::config::load::load;
use crate::config::types::Config;

/// What holds where neither file nor configuration says anything.
const SECURITY_DEFAULT: Security = Security::Allowlist;
/// The same, for questions.
const ASK_DEFAULT: Ask = Ask::OnMiss;

/// Why a command does not run: a word for the event, a text for the answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Denial {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Denial {
    fn new(reason: &'static str, message: &str) -> Self {
        Self { reason, message: message.to_owned() }
    }
}

/// Judges a command; what was allowed for good is remembered, and so is that an entry was used.
pub(super) fn judge(shared: &Shared, job: &Job, params: &Params) -> Result<(), Denial> {
    let config = load(&shared.paths);
    if !config.valid {
        return Err(Denial::new(
            "security=deny",
            "SYSTEM_RUN_DISABLED: the node's configuration is invalid; run doctor there",
        ));
    }
    let policy = shared.policy.load_complete(&SystemRng).map_err(|error| Denial {
        reason: "security=deny",
        message: format!("SYSTEM_RUN_DISABLED: exec approvals: {error}"),
    })?;
    let agent = job.agent.as_deref();
    let settings = Settings::of(&config.typed, agent);
    let strictness = strictness(&policy, agent, &settings);
    let found = evaluation(shared, job, &policy, &settings, strictness);
    let decision = params.approval_decision.as_deref().and_then(Decision::parse);
    let is_approved =
        matches!(decision, Some(Decision::AllowOnce | Decision::AllowAlways)) || params.approved == Some(true);
    decide(strictness, found.is_allowed(), is_approved)?;
    if params.needs_screen_recording == Some(true) {
        return Err(Denial::new("permission:screenRecording", "PERMISSION_MISSING: screenRecording"));
    }
    remember(
        shared,
        job,
        &found,
        decision == Some(Decision::AllowAlways) && strictness.security == Security::Allowlist,
    );
    Ok(())
}

/// What the configuration says.
struct Settings {
    security: Option<Security>,
    ask: Option<Ask>,
    safe_bins: BTreeSet<String>,
}

impl Settings {
    fn of(config: &Config, agent: Option<&str>) -> Self {
        let entry =
            config.agents.list.iter().find(|entry| agent.is_some_and(|agent| entry.id.eq_ignore_ascii_case(agent)));
        let own = entry.and_then(|entry| entry.tools.as_ref()).map_or(&Value::Null, |tools| &tools["exec"]);
        let all = &config.tools.exec;
        let text = |key: &str, all: &Option<String>| own[key].as_str().map(str::to_owned).or_else(|| all.clone());
        let own_bins = own["safeBins"].as_array();
        let own_bins = own_bins.map(|bins| bins.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        let safe_bins: Option<Vec<String>> = own_bins.or_else(|| all.safe_bins.clone());
        let safe_bins = safe_bins.unwrap_or_else(|| SAFE_BINS_DEFAULT.map(str::to_owned).into());
        Self {
            security: text("security", &all.security).as_deref().and_then(Security::parse),
            ask: text("ask", &all.ask).as_deref().and_then(Ask::parse),
            safe_bins: safe_bins.iter().map(|bin| bin.trim().to_lowercase()).filter(|bin| !bin.is_empty()).collect(),
        }
    }
}

/// Returns how strict the policy is.
///
/// compat: where the configuration says nothing, the file may be laxer than the default; where it does, the stricter of
/// both holds, while the original lets the file win.
fn strictness(policy: &Snapshot, agent: Option<&str>, settings: &Settings) -> Strictness {
    let says = |pick: fn(&Policy) -> bool| policy.file.says(agent, pick);
    let security = settings.security.unwrap_or(match says(|policy| policy.security.is_some()) {
        true => Security::Full,
        false => SECURITY_DEFAULT,
    });
    let ask = settings.ask.unwrap_or(match says(|policy| policy.ask.is_some()) {
        true => Ask::Off,
        false => ASK_DEFAULT,
    });
    policy.strictness(agent, security, ask)
}

fn evaluation(
    shared: &Shared,
    job: &Job,
    policy: &Snapshot,
    settings: &Settings,
    strictness: Strictness,
) -> Evaluation {
    let skill_bins = match strictness.allows_skills {
        true => shared.skill_bins.current(&shared.post),
        false => BTreeSet::new(),
    };
    let cwd = job.cwd.as_deref().map_or_else(|| std::env::current_dir().unwrap_or_default(), PathBuf::from);
    let variables: Vec<&str> = job.added.keys().map(String::as_str).collect();
    let at = Surroundings {
        cwd: &cwd,
        home: &shared.paths.home,
        search_path: job.environment.get("PATH").map_or("", String::as_str),
        variables: &variables,
    };
    let allowlist = policy.file.allowlist(job.agent.as_deref());
    let allowed = Allowed { allowlist: &allowlist, safe_bins: &settings.safe_bins, skill_bins: &skill_bins };
    let line = job.raw.as_deref().map_or(CommandLine::Words(&job.argv), CommandLine::Shell);
    evaluate(line, &at, &allowed)
}

/// Decides; an approval stands for a person's answer.
fn decide(strictness: Strictness, is_allowed: bool, is_approved: bool) -> Result<(), Denial> {
    match strictness.judge(is_allowed) {
        Verdict::Run => Ok(()),
        Verdict::Deny(Cause::Security) => Err(Denial::new("security=deny", "SYSTEM_RUN_DISABLED: security=deny")),
        _ if is_approved => Ok(()),
        Verdict::Ask => Err(Denial::new("approval-required", "SYSTEM_RUN_DENIED: approval required")),
        Verdict::Deny(_) => Err(Denial::new("allowlist-miss", "SYSTEM_RUN_DENIED: allowlist miss")),
    }
}

/// Writes down what was allowed for good, and which entries let the command run; a failure costs only that note.
fn remember(shared: &Shared, job: &Job, found: &Evaluation, allow_always: bool) {
    let agent = job.agent.as_deref();
    let now_ms = SystemClock.now_ms();
    let used: Vec<(&str, &Path)> =
        found.programs.iter().filter_map(|it| Some((it.pattern.as_deref()?, it.path.as_deref()?))).collect();
    let patterns = if allow_always { found.patterns() } else { Vec::new() };
    if used.is_empty() && patterns.is_empty() {
        return;
    }
    let text = job.text();
    let written = shared.policy.update(now_ms, &SystemRng, |file| {
        for pattern in &patterns {
            file.allow(agent, pattern, now_ms);
        }
        for (pattern, path) in &used {
            file.note_use(agent, pattern, &text, path, now_ms);
        }
        true
    });
    if let Err(error) = written {
        log::warn!(target: "node", "exec approvals not updated error={error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approvals::file::PolicyFile;
    use serde_json::json;

    fn snapshot(file: Value) -> Snapshot {
        Snapshot {
            path: PathBuf::new(),
            exists: true,
            hash: String::new(),
            file: PolicyFile::parse(&file.to_string()).expect("a policy"),
            fault: None,
        }
    }

    fn settings(config: Value, agent: Option<&str>) -> Settings {
        Settings::of(&serde_json::from_value(config).expect("config"), agent)
    }

    #[test]
    fn file_and_configuration_make_the_policy() {
        let check = |file: Value, config: Value, security, ask| {
            let found = strictness(&snapshot(file.clone()), Some("main"), &settings(config.clone(), Some("main")));
            assert_eq!((found.security, found.ask), (security, ask), "{file} {config}");
        };
        let open = || json!({"version": 1, "defaults": {"security": "full", "ask": "off"}});
        let tools = |security: &str| json!({"tools": {"exec": {"security": security}}});
        check(json!({"version": 1}), json!({}), Security::Allowlist, Ask::OnMiss);
        check(open(), json!({}), Security::Full, Ask::Off);
        check(open(), tools("allowlist"), Security::Allowlist, Ask::Off);
        check(json!({"version": 1}), tools("full"), Security::Full, Ask::OnMiss);
        check(json!({"version": 1, "agents": {"*": {"security": "deny"}}}), tools("full"), Security::Deny, Ask::OnMiss);
        let own = json!({"agents": {"list": [{"id": "Main", "tools": {"exec": {"security": "deny"}}}]}});
        check(open(), own, Security::Deny, Ask::Off);
    }

    #[test]
    fn a_policy_that_cannot_be_read_allows_nothing() {
        let broken = Snapshot { fault: Some("torn".to_owned()), ..snapshot(json!({"version": 1})) };
        let found =
            strictness(&broken, None, &settings(json!({"tools": {"exec": {"security": "full", "ask": "off"}}}), None));
        assert_eq!(decide(found, true, true), Err(Denial::new("security=deny", "SYSTEM_RUN_DISABLED: security=deny")));
    }

    #[test]
    fn answers() {
        let check = |security, ask, is_allowed, is_approved, expected: Option<&str>| {
            let strictness = Strictness { security, ask, fallback: Security::Full, allows_skills: false };
            let found = decide(strictness, is_allowed, is_approved).err().map(|denial| denial.reason);
            assert_eq!(found, expected, "{security:?} {ask:?} {is_allowed} {is_approved}");
        };
        use Security::{Allowlist, Deny, Full};
        check(Deny, Ask::Off, true, true, Some("security=deny"));
        check(Full, Ask::Off, false, false, None);
        check(Full, Ask::OnMiss, false, false, None);
        check(Full, Ask::Always, true, false, Some("approval-required"));
        check(Full, Ask::Always, true, true, None);
        check(Allowlist, Ask::OnMiss, true, false, None);
        // Nobody is here to be asked: the fallback is the gateway's.
        check(Allowlist, Ask::OnMiss, false, false, Some("approval-required"));
        check(Allowlist, Ask::OnMiss, false, true, None);
        check(Allowlist, Ask::Off, false, false, Some("allowlist-miss"));
        check(Allowlist, Ask::Off, false, true, None);
    }

    #[test]
    fn safe_programs_come_from_agent_configuration_or_list() {
        let bins = |config: Value| settings(config, Some("a")).safe_bins.into_iter().collect::<Vec<_>>().join(" ");
        assert!(bins(json!({})).contains("grep"));
        assert_eq!(bins(json!({"tools": {"exec": {"safeBins": [" JQ ", ""]}}})), "jq");
        let own = json!({"id": "a", "tools": {"exec": {"safeBins": []}}});
        assert_eq!(bins(json!({"agents": {"list": [own]}, "tools": {"exec": {"safeBins": ["x"]}}})), "");
    }
}
