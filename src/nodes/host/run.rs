//! `system.run`: a program, or a shell command, within this machine's policy.
//!
//! Runs on the command's own thread: the policy is asked ([`approval`]), the program runs with a deadline and an output
//! cap, and the gateway hears of both outcomes by an event besides the answer. Not here: who may ask (the gateway),
//! what a policy means (`approvals`).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::approval::{self, Denial};
use super::command::{Refusal, Shared, decode};
use super::environment::{accepted, find_program};
use super::outgoing::Outgoing;
use crate::base::process::{self, Captured, Ended, Keep};
use crate::base::rng::{SystemRng, uuid};
use crate::base::text::{tail_chars, text_of, unless_blank};

/// Output that is kept, both streams together.
const OUTPUT_BYTES_MAX: usize = 200_000;
/// Output that an event carries.
const EVENT_OUTPUT_CHARS_MAX: usize = 20_000;
/// What is said about output that was cut.
const CUT: &str = "... (truncated)";

/// The parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Params {
    pub(super) command: Vec<Value>,
    pub(super) raw_command: Option<String>,
    pub(super) cwd: Option<String>,
    pub(super) env: Option<BTreeMap<String, Value>>,
    pub(super) timeout_ms: Option<f64>,
    pub(super) needs_screen_recording: Option<bool>,
    pub(super) agent_id: Option<String>,
    pub(super) session_key: Option<String>,
    pub(super) approved: Option<bool>,
    pub(super) approval_decision: Option<String>,
    pub(super) run_id: Option<String>,
}

/// What is to be run, in the terms that policy and program share.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) argv: Vec<String>,
    /// The shell command that `argv` stands for, when the caller says so.
    pub(super) raw: Option<String>,
    pub(super) cwd: Option<String>,
    /// The caller's variables, as far as they are accepted.
    pub(super) added: BTreeMap<String, String>,
    /// All variables.
    pub(super) environment: BTreeMap<String, String>,
    pub(super) agent: Option<String>,
}

impl Job {
    /// Returns the command as people read it.
    pub(super) fn text(&self) -> String {
        self.raw.clone().unwrap_or_else(|| quoted(&self.argv))
    }
}

/// Carries the command out.
pub(super) fn run(shared: &Shared, params: &str) -> Result<Value, Refusal> {
    let params: Params = decode(params)?;
    let argv: Vec<String> = params.command.iter().map(text_of).collect();
    if argv.first().is_none_or(|program| program.trim().is_empty()) {
        return Err(Refusal::invalid("command required"));
    }
    let asked: BTreeMap<String, String> =
        params.env.iter().flatten().map(|(name, value)| (name.clone(), text_of(value))).collect();
    let added = accepted(&shared.path_env, &asked);
    let job = Job {
        raw: given(params.raw_command.as_deref()).filter(|raw| is_shell_form(&argv, raw)),
        argv,
        cwd: given(params.cwd.as_deref()),
        environment: shared.environment(&added),
        added,
        agent: given(params.agent_id.as_deref()),
    };
    let report = Report {
        shared,
        session_key: given(params.session_key.as_deref()).unwrap_or_else(|| "node".to_owned()),
        run_id: given(params.run_id.as_deref()).unwrap_or_else(|| uuid(&SystemRng)),
        command: job.text(),
    };
    if let Err(Denial { reason, message }) = approval::judge(shared, &job, &params) {
        report.denied(reason);
        return Err(Refusal::unavailable(message));
    }
    let timeout = params.timeout_ms.filter(|ms| *ms > 0.0 && ms.is_finite());
    let outcome = Outcome::of(shared, &job, timeout.map(|ms| Duration::from_secs_f64((ms / 1000.0).min(MAX_SECONDS))));
    report.finished(&outcome);
    Ok(outcome.payload())
}

/// A year: what is longer is no limit.
const MAX_SECONDS: f64 = 365.0 * 24.0 * 3600.0;

/// What the program left behind.
#[derive(Debug)]
struct Outcome {
    exit_code: Option<i32>,
    timed_out: bool,
    stdout: String,
    stderr: String,
    error: Option<String>,
}

impl Outcome {
    fn of(shared: &Shared, job: &Job, timeout: Option<Duration>) -> Self {
        match start(shared, job, timeout) {
            Ok(captured) => Self::from_captured(captured),
            Err(error) => Self {
                exit_code: None,
                timed_out: false,
                stdout: String::new(),
                stderr: String::new(),
                error: Some(error),
            },
        }
    }

    fn from_captured(captured: Captured) -> Self {
        let Captured { ended, mut stdout, mut stderr, truncated } = captured;
        if truncated {
            let shown = if stderr.trim().is_empty() { &mut stdout } else { &mut stderr };
            shown.push('\n');
            shown.push_str(CUT);
        }
        let (exit_code, error) = match ended {
            Ended::Exited(code) => (Some(code), None),
            Ended::Signalled(_) | Ended::TimedOut => (None, None),
            Ended::Cancelled => (None, Some("node host is stopping".to_owned())),
        };
        Self { exit_code, timed_out: ended == Ended::TimedOut, stdout, stderr, error }
    }

    fn is_success(&self) -> bool {
        self.exit_code == Some(0) && self.error.is_none()
    }

    fn payload(&self) -> Value {
        let mut payload = json!({});
        if let Some(code) = self.exit_code {
            payload["exitCode"] = code.into();
        }
        payload["timedOut"] = self.timed_out.into();
        payload["success"] = self.is_success().into();
        payload["stdout"] = self.stdout.as_str().into();
        payload["stderr"] = self.stderr.as_str().into();
        payload["error"] = self.error.as_deref().into();
        payload
    }
}

/// Starts the program and waits for its end; the error is for people.
fn start(shared: &Shared, job: &Job, timeout: Option<Duration>) -> Result<Captured, String> {
    let program = job.argv[0].as_str();
    if let Some(cwd) = &job.cwd
        && !Path::new(cwd).is_dir()
    {
        return Err(format!("working directory {cwd} does not exist"));
    }
    // Looked up here, so that what runs is what the policy saw.
    let path = job.environment.get("PATH").map_or("", String::as_str);
    let found = if program.contains('/') { Some(program.into()) } else { find_program(program, path) };
    let mut command = Command::new(found.ok_or_else(|| format!("spawn {program} ENOENT"))?);
    command.args(&job.argv[1..]).env_clear().envs(&job.environment);
    if let Some(cwd) = &job.cwd {
        command.current_dir(cwd);
    }
    process::capture(command, timeout, Keep::First(OUTPUT_BYTES_MAX), &shared.stop).map_err(|error| {
        match error.kind() {
            std::io::ErrorKind::NotFound => format!("spawn {program} ENOENT"),
            std::io::ErrorKind::PermissionDenied => format!("spawn {program} EACCES"),
            _ => format!("spawn {program}: {error}"),
        }
    })
}

/// Tells the gateway what became of a command.
///
/// compat: the original's host tells of ends and refusals only: a start would wake the agent for nothing.
struct Report<'a> {
    shared: &'a Shared,
    session_key: String,
    run_id: String,
    command: String,
}

impl Report<'_> {
    fn denied(&self, reason: &str) {
        let mut payload = self.payload();
        payload["reason"] = reason.into();
        self.send("exec.denied", &payload);
    }

    fn finished(&self, outcome: &Outcome) {
        let mut payload = self.payload();
        if let Some(code) = outcome.exit_code {
            payload["exitCode"] = code.into();
        }
        payload["timedOut"] = outcome.timed_out.into();
        payload["success"] = outcome.is_success().into();
        let parts = [outcome.stdout.as_str(), &outcome.stderr, outcome.error.as_deref().unwrap_or_default()];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let output = parts.join("\n");
        let output = output.trim();
        if !output.is_empty() {
            payload["output"] = event_output(output).into();
        }
        self.send("exec.finished", &payload);
    }

    fn payload(&self) -> Value {
        json!({"sessionKey": self.session_key, "runId": self.run_id, "host": "node", "command": self.command})
    }

    fn send(&self, event: &str, payload: &Value) {
        self.shared.post.send(Outgoing::Event(json!({"event": event, "payloadJSON": payload.to_string()})));
    }
}

fn event_output(output: &str) -> String {
    match tail_chars(output, EVENT_OUTPUT_CHARS_MAX) {
        tail if tail.len() == output.len() => output.to_owned(),
        tail => format!("{CUT} {tail}"),
    }
}

/// Returns whether these words have a shell run this command and nothing else: only then does it tell what they do.
fn is_shell_form(argv: &[String], raw: &str) -> bool {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    matches!(words[..], ["/bin/sh" | "sh", "-lc" | "-c", command] if command.trim() == raw)
}

/// compat: words are joined as the original shows them, which is no shell's quoting.
fn quoted(argv: &[String]) -> String {
    let word = |word: &String| match word.trim() {
        "" => "\"\"".to_owned(),
        word if word.contains(|c: char| c.is_whitespace() || c == '"') => format!("\"{}\"", word.replace('"', "\\\"")),
        word => word.to_owned(),
    };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn given(text: Option<&str>) -> Option<String> {
    text.and_then(unless_blank).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(ended: Ended, stdout: &str, stderr: &str, truncated: bool) -> Value {
        Outcome::from_captured(Captured { ended, stdout: stdout.into(), stderr: stderr.into(), truncated }).payload()
    }

    #[test]
    fn payloads() {
        assert_eq!(
            captured(Ended::Exited(0), "o", "", false).to_string(),
            r#"{"exitCode":0,"timedOut":false,"success":true,"stdout":"o","stderr":"","error":null}"#
        );
        assert_eq!(
            captured(Ended::TimedOut, "", "e", true).to_string(),
            r#"{"timedOut":true,"success":false,"stdout":"","stderr":"e\n... (truncated)","error":null}"#
        );
        assert_eq!(captured(Ended::Exited(0), "o", " ", true)["stdout"], "o\n... (truncated)");
        assert_eq!(captured(Ended::Signalled(9), "", "", false)["success"], false);
        assert_eq!(captured(Ended::Cancelled, "", "", false)["error"], "node host is stopping");
    }

    #[test]
    fn commands_as_people_read_them() {
        let words = |words: &[&str]| quoted(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(words(&["/bin/sh", "-lc", "echo \"hi\" there", " "]), r#"/bin/sh -lc "echo \"hi\" there" """#);
    }

    #[test]
    fn a_shell_command_counts_only_when_it_is_what_runs() {
        let check =
            |argv: &[&str], raw: &str| is_shell_form(&argv.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>(), raw);
        assert!(check(&["/bin/sh", "-lc", " ls "], "ls"));
        for argv in
            [&["/bin/sh", "-lc", "rm x"][..], &["rm", "x"], &["/bin/sh", "-lc", "ls", "x"], &["/tmp/sh", "-lc", "ls"]]
        {
            assert!(!check(argv, "ls"), "{argv:?}");
        }
    }

    #[test]
    fn events_carry_the_end_of_long_output() {
        assert_eq!(event_output("short"), "short");
        let long = format!("{}é", "x".repeat(EVENT_OUTPUT_CHARS_MAX));
        let cut = event_output(&long);
        assert!(cut.starts_with("... (truncated) xx") && cut.ends_with("xé"));
        assert_eq!(cut.chars().count(), EVENT_OUTPUT_CHARS_MAX + CUT.len() + 1);
    }
}
