//! `exec`: a shell command on this machine or on a node, in the foreground or with a life of its own.
//!
//! Here: what the model asks for, and waiting for a command on this machine. Not here: where it may run and who must be
//! asked (`settings`, `approval`, `node`), the processes themselves (`agent::processes`).

mod approval;
mod node;
mod settings;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::settings::{Place, Settings};
use super::arguments::Arguments;
use super::{Tool, ToolContext, ToolResult, always, policy_of};
use crate::agent::processes::{Finished, OUTPUT_BYTES_MAX, Process, Spec};
use crate::base::process::{Ended, WITHHELD};
use crate::base::text::text_of;

/// Bounds of how long a command may take before it goes into the background.
const YIELD_MS_MIN: f64 = 10.0;
const YIELD_MS_MAX: f64 = 120_000.0;
/// Most characters of an update.
const TAIL_CHARS_MAX: usize = 2000;
/// Most characters of output in a line for the next prompt.
const NOTICE_CHARS_MAX: usize = 400;
/// Least time between two updates of one command.
const UPDATE_INTERVAL: Duration = Duration::from_millis(150);
/// How long a command that was told to end is waited for.
const END_PATIENCE: Duration = Duration::from_secs(5);

pub(super) const TOOL: Tool = Tool {
    name: "exec",
    description: "Run a shell command and return its output. After yieldMs, or at once with background, it goes on by \
                  itself and the process tool follows it up; whatever a command started ends with it. Its stdin is empty \
                  unless background, yieldMs or pty is given.",
    parameters: &[
        ("command", "string*", "Shell command"),
        ("workdir", "string", "Working directory, default the workspace"),
        ("env", "object", "Environment variables to add"),
        ("yieldMs", "number", "Milliseconds until it goes into the background, default 10000"),
        ("background", "boolean", "Put it into the background at once"),
        ("timeout", "number", "Seconds until it is stopped, default 1800"),
        ("pty", "boolean", "Give it a terminal"),
        ("elevated", "boolean", "Run it on the gateway's host with elevated rights, where that is allowed"),
        ("host", "sandbox|gateway|node", "Where it runs; must be what is configured"),
        ("security", "deny|allowlist|full", "Stricter than configured, if at all"),
        ("ask", "off|on-miss|always", "Stricter than configured, if at all"),
        ("node", "string", "Node for host=node"),
    ],
    // `settings` refuses what belongs into a sandbox: other hosts are no part of it.
    is_local: false,
    is_wanted: always,
    run,
};

/// A command that is to run.
struct Wanted {
    script: String,
    cwd: PathBuf,
    /// Variables that the model asked for.
    env: Vec<(String, String)>,
    timeout: Option<Duration>,
    has_terminal: bool,
    has_stdin: bool,
    /// When it goes into the background; `None` when it may not.
    yields_after: Option<Duration>,
}

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    carry_out(cx, args, policy_of(&cx.subject()).refusal("process").is_none())
}

/// Runs a command for a person, who follows it up without the tool `process`.
///
/// # Errors
/// What it says, or why it may not run.
pub fn run_for_person(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    carry_out(cx, args, true)
}

fn carry_out(cx: &ToolContext<'_>, args: &Arguments<'_>, may_go_on: bool) -> Result<ToolResult, String> {
    let script = args.text("command").ok_or("Provide a command to start.")?.to_owned();
    let settings = Settings::of(cx, args)?;
    let env = variables(args.value("env"))?;
    let seconds = args.number("timeout").filter(|seconds| *seconds > 0.0).unwrap_or(settings.timeout_seconds);
    let timeout = Duration::try_from_secs_f64(seconds).ok();
    if let Place::Node = settings.place {
        return node::run(cx, args, &settings, &script, &env, timeout);
    }
    let cwd = args.text("workdir").map_or_else(|| cx.workspace.to_owned(), |given| cx.resolve(given));
    if !cwd.is_dir() {
        return Err(format!("workdir {} is not a directory", cwd.display()));
    }
    let has_terminal = args.flag("pty").unwrap_or(false);
    let is_background = args.flag("background").unwrap_or(false);
    let yields_after = match args.number("yieldMs") {
        _ if !may_go_on => None,
        _ if is_background => Some(Duration::ZERO),
        given => {
            let ms = given.unwrap_or(settings.background_ms).clamp(YIELD_MS_MIN, YIELD_MS_MAX);
            Some(Duration::from_millis(ms as u64))
        }
    };
    let has_stdin = may_go_on && (is_background || has_terminal || args.value("yieldMs").is_some());
    let wanted = Wanted { script, cwd, env, timeout, has_terminal, has_stdin, yields_after };
    if let Place::Gateway { asks: true } = settings.place
        && let Some(pending) = approval::judge(cx, &settings, &wanted)?
    {
        return Ok(pending);
    }
    in_foreground(cx, &settings, &wanted, seconds)
}

/// Reads variables; what the system does not take is refused.
fn variables(given: Option<&Value>) -> Result<Vec<(String, String)>, String> {
    let mut variables = Vec::new();
    for (name, value) in given.and_then(Value::as_object).into_iter().flatten() {
        let text = text_of(value);
        if name.is_empty() || name.contains(['=', '\0']) || text.contains('\0') {
            return Err(format!("env: {name:?} cannot be set"));
        }
        variables.push((name.clone(), text));
    }
    Ok(variables)
}

impl Wanted {
    fn spec(&self, cx: &ToolContext<'_>, settings: &Settings) -> Result<Spec, String> {
        if self.script.contains('\0') {
            return Err("command: must not contain NUL".to_owned());
        }
        let mut env = self.env.clone();
        let own = cx.skill_variables.iter().filter(|(name, _)| self.env.iter().all(|(asked, _)| asked != name));
        env.extend(own.cloned());
        if !settings.path_prepend.is_empty() && !env.iter().any(|(name, _)| name == "PATH") {
            env.push(("PATH".to_owned(), settings.search_path()));
        }
        Ok(Spec {
            agent: cx.agent.clone(),
            script: self.script.clone(),
            cwd: self.cwd.clone(),
            env,
            withheld: WITHHELD,
            timeout: self.timeout,
            has_terminal: self.has_terminal,
            has_stdin: self.has_stdin,
            keep_ms: settings.keep_ms,
        })
    }
}

/// Starts a command and waits for its end, or until it goes into the background.
fn in_foreground(
    cx: &ToolContext<'_>,
    settings: &Settings,
    wanted: &Wanted,
    seconds: f64,
) -> Result<ToolResult, String> {
    let (host, session, notifies) = (cx.host.clone(), cx.session.clone(), settings.notifies_on_exit);
    let on_end = Box::new(move |process: &Process, finished: &Finished| {
        if notifies {
            host.tell(&session, &exit_notice(process, finished), Some(&format!("exec:{}:exit", process.id())));
        }
    });
    let begun = Instant::now();
    let process = cx.toolbox.processes.start(wanted.spec(cx, settings)?, cx.clock, &**cx.rng, on_end)?;
    let yields_at = wanted.yields_after.map(|after| begun + after);
    let mut told = (0, None::<Instant>);
    loop {
        let finished = process.finished();
        let pieces = process.pieces();
        let now = Instant::now();
        // What a quick command says is told too, although it has ended before anybody looked.
        if pieces > told.0 && told.1.is_none_or(|last| finished.is_none() && now >= last + UPDATE_INTERVAL) {
            told = (pieces, Some(now));
            let details = state(&process);
            (cx.on_update)(json!({"content": [{"type": "text", "text": details["tail"]}], "details": details}));
        }
        if let Some(finished) = finished {
            cx.toolbox.processes.remove(&process);
            return ended(&process, &finished, begun.elapsed(), seconds);
        }
        if cx.cancel.is_cancelled() {
            process.stop();
            process.wait_end(Instant::now() + END_PATIENCE, &crate::base::cancel::CancelToken::new());
            cx.toolbox.processes.remove(&process);
            return Err(with_output(&process, "Command aborted by signal SIGTERM"));
        }
        if yields_at.is_some_and(|at| now >= at) && process.put_into_background() {
            return Ok(running(&process));
        }
        process.wait(pieces, yields_at.unwrap_or(now + END_PATIENCE));
    }
}

fn state(process: &Process) -> Value {
    json!({
        "status": "running", "sessionId": process.id(), "pid": process.pid(), "startedAt": process.started_at(),
        "cwd": process.cwd(), "tail": process.tail(TAIL_CHARS_MAX),
    })
}

fn running(process: &Arc<Process>) -> ToolResult {
    let text = format!(
        "Command still running (session {}, pid {}). Use process (list/poll/log/write/kill/clear/remove) for follow-up.",
        process.id(),
        process.pid()
    );
    ToolResult::text(text, Some(state(process)))
}

fn ended(process: &Process, finished: &Finished, took: Duration, seconds: f64) -> Result<ToolResult, String> {
    let failure = match finished.ended {
        Ended::Exited(0) => {
            let text = output(process);
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let details = json!({
                "status": "completed", "exitCode": 0, "durationMs": took_ms, "aggregated": text, "cwd": process.cwd(),
            });
            return Ok(ToolResult::text(if text.is_empty() { "(no output)" } else { &text }, Some(details)));
        }
        Ended::Exited(code) => format!("Command exited with code {code}"),
        Ended::Signalled(signal) => format!("Command aborted by signal {}", signal_name(signal)),
        Ended::TimedOut => format!("Command timed out after {seconds} seconds"),
        Ended::Cancelled => "Command aborted by signal SIGTERM".to_owned(),
    };
    Err(with_output(process, &failure))
}

fn output(process: &Process) -> String {
    let (text, is_cut) = process.output();
    let text = text.trim();
    if is_cut { format!("[output cut: its last {OUTPUT_BYTES_MAX} bytes follow]\n{text}") } else { text.to_owned() }
}

fn with_output(process: &Process, failure: &str) -> String {
    let text = output(process);
    if text.is_empty() { failure.to_owned() } else { format!("{text}\n\n{failure}") }
}

/// Returns the line about the end of a command in the background.
fn exit_notice(process: &Process, finished: &Finished) -> String {
    let name: String = process.id().chars().take(8).collect();
    let (verb, how) = match finished.ended {
        Ended::Exited(0) => ("completed", "code 0".to_owned()),
        ended => ("failed", ending(ended)),
    };
    let tail = process.tail(NOTICE_CHARS_MAX);
    let tail = tail.trim();
    let tail = if tail.is_empty() { String::new() } else { format!(" :: {tail}") };
    format!("Exec {verb} ({name}, {how}){tail}")
}

fn ending(ended: Ended) -> String {
    match ended {
        Ended::Exited(code) => format!("code {code}"),
        Ended::Signalled(signal) => format!("signal {}", signal_name(signal)),
        Ended::TimedOut => "timeout".to_owned(),
        Ended::Cancelled => "signal SIGTERM".to_owned(),
    }
}

pub(super) fn signal_name(signal: i32) -> String {
    match signal {
        libc::SIGHUP => "SIGHUP".to_owned(),
        libc::SIGTERM => "SIGTERM".to_owned(),
        libc::SIGKILL => "SIGKILL".to_owned(),
        libc::SIGSEGV => "SIGSEGV".to_owned(),
        libc::SIGINT => "SIGINT".to_owned(),
        libc::SIGABRT => "SIGABRT".to_owned(),
        libc::SIGPIPE => "SIGPIPE".to_owned(),
        other => other.to_string(),
    }
}
