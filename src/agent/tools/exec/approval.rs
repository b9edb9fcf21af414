//! Commands on this machine under the policy: whether one may run, and asking a person when that must decide.
//!
//! A command that waits for a person does so on a thread of its own; the model is told at once that it waits, and what
//! came of it reaches the session as a line of its next prompt. Not here: the policy itself (`approvals`).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::settings::Settings;
use super::{NOTICE_CHARS_MAX, Wanted, ending};
use crate::agent::processes::{Process, Spec};
use crate::agent::tools::{Host, ToolContext, ToolResult, Toolbox};
use crate::approvals::allowlist::{Allowed, CommandLine, Evaluation, Surroundings, evaluate};
use crate::approvals::policy::{Decision, Denial, Strictness, Verdict};
use crate::base::cancel::CancelToken;
use crate::base::clock::Clock;
use crate::base::ids::{AgentId, SessionKey};
use crate::base::process::Ended;
use crate::base::rng::{Rng, uuid};

/// How long a person has.
pub(super) const TIMEOUT_MS: u64 = 120_000;
/// How long the answer may take beyond that.
const SLACK: Duration = Duration::from_secs(10);
/// Why an agent is woken about a command.
const WAKE: &str = "exec-event";

/// Decides about a command. `None` when it may run now, else what to tell the model meanwhile.
///
/// # Errors
/// Why it may not run.
pub(super) fn judge(cx: &ToolContext<'_>, settings: &Settings, wanted: &Wanted) -> Result<Option<ToolResult>, String> {
    let policy = cx
        .toolbox
        .exec_policy
        .load_complete(&**cx.rng)
        .map_err(|error| format!("exec denied: the policy about commands cannot be read: {error}"))?;
    let strictness = policy.strictness(Some(cx.agent.as_str()), settings.security, settings.ask);
    let variables: Vec<&str> = wanted.env.iter().map(|(name, _)| name.as_str()).collect();
    let search_path = settings.search_path();
    let at = Surroundings { cwd: &wanted.cwd, home: &cx.paths.home, search_path: &search_path, variables: &variables };
    let allowlist = policy.file.allowlist(Some(cx.agent.as_str()));
    let skill_bins = if strictness.allows_skills { cx.host.skill_bins() } else { BTreeSet::new() };
    let allowed = Allowed { allowlist: &allowlist, safe_bins: &settings.safe_bins, skill_bins: &skill_bins };
    let found = evaluate(CommandLine::Shell(&wanted.script), &at, &allowed);
    match strictness.judge(found.is_allowed()) {
        Verdict::Run => {
            note(cx.toolbox, cx.agent, &wanted.script, &found, false, &**cx.clock, &**cx.rng);
            Ok(None)
        }
        Verdict::Deny(Denial::Security) => Err("exec denied: host=gateway security=deny".to_owned()),
        Verdict::Deny(_) => Err("exec denied: allowlist miss".to_owned()),
        Verdict::Ask => {
            let spec = wanted.spec(cx, settings)?;
            let question = Question::new(cx, "gateway", &wanted.script, Some(&wanted.cwd), strictness)
                .about(found.programs.first().and_then(|program| program.path.clone()));
            let pending = question.pending();
            let waiting = Waiting {
                question,
                spec,
                found,
                toolbox: cx.toolbox.clone(),
                clock: cx.clock.clone(),
                rng: cx.rng.clone(),
                agent: cx.agent.clone(),
                running_notice_ms: settings.running_notice_ms,
            };
            cx.toolbox.processes.thread(move |stop| waiting.go(stop))?;
            Ok(Some(pending))
        }
    }
}

/// Writes down which entries let a command run, and what was allowed for good; a failure costs only that note.
fn note(
    toolbox: &Toolbox,
    agent: &AgentId,
    script: &str,
    found: &Evaluation,
    for_good: bool,
    clock: &dyn Clock,
    rng: &dyn Rng,
) {
    let now_ms = clock.now_ms();
    let patterns = if for_good { found.patterns() } else { Vec::new() };
    let used = || found.programs.iter().filter_map(|it| Some((it.pattern.as_deref()?, it.path.as_deref()?)));
    if patterns.is_empty() && used().next().is_none() {
        return;
    }
    let agent = Some(agent.as_str());
    let written = toolbox.exec_policy.update(now_ms, rng, |file| {
        for pattern in &patterns {
            file.allow(agent, pattern, now_ms);
        }
        for (pattern, path) in used() {
            file.note_use(agent, pattern, script, path, now_ms);
        }
        true
    });
    if let Err(error) = written {
        log::warn!(target: "agent", "exec approvals not updated: {error}");
    }
}

/// What a person is asked.
pub(super) struct Question {
    /// The request's id.
    pub id: String,
    /// The policy under which it is asked.
    pub strictness: Strictness,
    /// The line.
    pub command: String,
    /// The session that hears of it.
    pub session: SessionKey,
    /// The gateway.
    pub host: Arc<dyn Host>,
    place: &'static str,
    cwd: Option<PathBuf>,
    agent: AgentId,
    program: Option<PathBuf>,
    expires_at_ms: u64,
}

impl Question {
    /// Puts a question together.
    pub fn new(
        cx: &ToolContext<'_>,
        place: &'static str,
        command: &str,
        cwd: Option<&PathBuf>,
        strictness: Strictness,
    ) -> Self {
        Self {
            id: uuid(&**cx.rng),
            strictness,
            command: command.to_owned(),
            session: cx.session.clone(),
            host: cx.host.clone(),
            place,
            cwd: cwd.cloned(),
            agent: cx.agent.clone(),
            program: None,
            expires_at_ms: cx.clock.now_ms() + TIMEOUT_MS,
        }
    }

    fn about(mut self, program: Option<PathBuf>) -> Self {
        self.program = program;
        self
    }

    /// Returns what the model is told while a person decides.
    pub fn pending(&self) -> ToolResult {
        let slug: String = self.id.chars().take(8).collect();
        let text = format!("Approval required (id {slug}). Approve to run; updates will arrive after completion.");
        let mut details = json!({
            "status": "approval-pending", "approvalId": self.id, "approvalSlug": slug,
            "expiresAtMs": self.expires_at_ms, "host": self.place, "command": self.command,
        });
        if let Some(cwd) = &self.cwd {
            details["cwd"] = json!(cwd);
        }
        ToolResult::text(text, Some(details))
    }

    /// Asks, and waits for the answer; `None` when there was none in time.
    ///
    /// # Errors
    /// When nobody could be asked.
    pub fn ask(&self, stop: &CancelToken) -> Result<Option<Decision>, String> {
        let params = json!({
            "id": self.id, "command": self.command, "cwd": self.cwd, "host": self.place,
            "security": self.strictness.security.as_str(), "ask": self.strictness.ask.as_str(),
            "agentId": self.agent.as_str(), "resolvedPath": self.program, "sessionKey": self.session.as_str(),
            "timeoutMs": TIMEOUT_MS,
        });
        let within = Duration::from_millis(TIMEOUT_MS) + SLACK;
        let answer = self.host.call("exec.approval.request", without_nulls(params), within, stop)?;
        Ok(answer["decision"].as_str().and_then(Decision::parse))
    }

    /// Tells the session what came of it.
    pub fn tell(&self, line: &str) {
        self.host.tell(&self.session, line, Some(WAKE));
    }
}

fn without_nulls(mut params: Value) -> Value {
    if let Some(params) = params.as_object_mut() {
        params.retain(|_, value| !value.is_null());
    }
    params
}

/// A command that waits for a person.
struct Waiting {
    question: Question,
    spec: Spec,
    found: Evaluation,
    toolbox: Arc<Toolbox>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    agent: AgentId,
    running_notice_ms: u64,
}

impl Waiting {
    fn go(self, stop: &CancelToken) {
        let Self { question, found, .. } = &self;
        let (id, command) = (&question.id, &question.command);
        let denied = |why: &str| question.tell(&format!("Exec denied (gateway id={id}, {why}): {command}"));
        let decision = match question.ask(stop) {
            Ok(decision) => decision,
            Err(error) => {
                log::warn!(target: "agent", "approval {id} was not decided: {error}");
                return denied("approval-request-failed");
            }
        };
        if let Err(denial) = question.strictness.answered(decision, found.is_allowed()) {
            return denied(&denial.to_string());
        }
        let for_good = decision == Some(Decision::AllowAlways);
        note(&self.toolbox, &self.agent, command, found, for_good, &*self.clock, &*self.rng);
        // Its end is told below, with the approval's id.
        let on_end = Box::new(|_: &Process, _: &_| ());
        let Ok(process) = self.toolbox.processes.start(self.spec.clone(), &self.clock, &*self.rng, on_end) else {
            return denied("spawn-failed");
        };
        // So that it can be looked at, and stays for a while; it may have ended already.
        process.put_into_background();
        if self.running_notice_ms > 0
            && !process.wait_end(Instant::now() + Duration::from_millis(self.running_notice_ms), stop)
            && !stop.is_cancelled()
        {
            let seconds = (self.running_notice_ms / 1000).max(1);
            let name = process.id();
            question.tell(&format!("Exec running (gateway id={id}, session={name}, >{seconds}s): {command}"));
        }
        while !stop.is_cancelled() && !process.wait_end(Instant::now() + Duration::from_secs(3600), stop) {}
        let Some(finished) = process.finished() else { return };
        let how = match finished.ended {
            Ended::TimedOut => "timeout".to_owned(),
            ended => ending(ended),
        };
        let tail = process.tail(NOTICE_CHARS_MAX);
        let tail = tail.trim();
        let tail = if tail.is_empty() { String::new() } else { format!("\n{tail}") };
        question.tell(&format!("Exec finished (gateway id={id}, session={}, {how}){tail}", process.id()));
    }
}
