//! `/bash` and `!`: commands of the gateway's machine, typed into a chat by somebody who may (agent.md §11).
//!
//! One at a time. A command that takes long goes on by itself, to be looked at and stopped. It runs under the policy about
//! commands like a model's, so it may have to be approved. Not here: running commands (`agent::tools::exec`).

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::{Ctx, Executed, Turn};
use crate::agent::elevation;
use crate::agent::processes::Process;
use crate::agent::run::{SingleCall, SingleFailure, command_of_person};
use crate::base::ids::AgentId;
use crate::base::process::Ended;
use crate::base::text::tail_chars;
use crate::gateway::tool_host;

/// How long a command is waited for: by default, and at most, in milliseconds.
const FOREGROUND_MS: (u64, u64) = (2000, 30_000);
/// Most of a command's output in one answer, in characters: its end.
const OUTPUT_CHARS_MAX: usize = 3000;
const USAGE: &str =
    "⚙️ Usage:\n- ! <command>\n- !poll | ! poll\n- !stop | ! stop\n- /bash ... (alias; same subcommands as !)";

/// The command that people look after: whose it is and what it is called, or nothing of that while it begins.
#[derive(Debug, Default)]
pub struct Typed(Mutex<Option<Option<(AgentId, String)>>>);

impl Typed {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Option<(AgentId, String)>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a command that begins: given back when it is dropped, also by a fault of the program, unless the command
/// goes on.
struct Place<'a> {
    typed: &'a Typed,
    goes_on: Option<(AgentId, String)>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.typed.lock() = self.goes_on.take().map(Some);
    }
}

/// Carries it out.
pub(super) fn manage(cx: &Arc<Ctx>, turn: &Turn, args: &str) -> anyhow::Result<Executed> {
    let config = cx.config.get();
    if config.tree["commands"]["bash"] != true {
        return Executed::answer("⚠️ bash is disabled. Set commands.bash=true to enable.");
    }
    let speaker = &turn.speaker;
    let shut = elevation::shut_gates(&config, &turn.agent, &speaker.channel, Some(speaker));
    if !shut.is_empty() {
        return Executed::answer(elevation::refusal(&config, &turn.agent, &turn.session, &speaker.channel, &shut));
    }
    let (word, rest) = args.split_once(char::is_whitespace).unwrap_or((args, ""));
    Executed::answer(match word.to_lowercase().as_str() {
        "" | "help" => USAGE.to_owned(),
        "poll" => with_process(cx, turn, rest.trim(), |process| poll(cx, process)),
        "stop" => with_process(cx, turn, rest.trim(), stop),
        _ => run(cx, turn, args),
    })
}

/// Returns the command under way, or that one that is named.
fn with_process(cx: &Ctx, turn: &Turn, id: &str, act: impl FnOnce(&Process) -> String) -> String {
    let known = cx.typed.lock().clone().flatten();
    let (agent, id) = match (known, id) {
        (known, id) if !id.is_empty() => (known.map_or_else(|| turn.agent.clone(), |(agent, _)| agent), id.to_owned()),
        (Some(known), _) => known,
        (None, _) => return "⚙️ No active bash job.".to_owned(),
    };
    match cx.agent.toolbox.processes.find(&agent, &id, cx.clock.now_ms()) {
        Some(process) => act(&process),
        None => format!("⚙️ No bash session found for {id}."),
    }
}

fn poll(cx: &Ctx, process: &Process) -> String {
    let (id, output) = (process.id(), process.output().0);
    let Some(finished) = process.finished() else {
        let seconds = cx.clock.now_ms().saturating_sub(process.started_at()) / 1000;
        let output = if output.trim().is_empty() { "(no output yet)".to_owned() } else { output };
        return format!(
            "⚙️ bash still running (session {id}, {seconds}s).\n{}\nHint: !stop (or /bash stop)",
            block(&output)
        );
    };
    let (sign, how) = match finished.ended {
        Ended::Exited(0) => ("⚙️", "code 0".to_owned()),
        Ended::Exited(code) => ("⚠️", format!("code {code}")),
        Ended::Signalled(signal) => ("⚠️", format!("signal {signal}")),
        Ended::TimedOut => ("⚠️", "time-out".to_owned()),
        Ended::Cancelled => ("⚠️", "stopped".to_owned()),
    };
    format!("{sign} bash finished (session {id}).\nExit: {how}\n{}", block(&output))
}

fn stop(process: &Process) -> String {
    let id = process.id();
    if process.has_ended() {
        return format!("⚙️ No running bash job found for {id}.");
    }
    process.stop();
    format!("⚙️ bash stopped (session {id}).")
}

fn run(cx: &Arc<Ctx>, turn: &Turn, script: &str) -> String {
    {
        let mut typed = cx.typed.lock();
        let now_ms = cx.clock.now_ms();
        let running = typed.as_ref().and_then(|it| match it {
            None => Some("starting".to_owned()),
            Some((agent, id)) => {
                let process = cx.agent.toolbox.processes.find(agent, id, now_ms)?;
                (!process.has_ended()).then(|| id.clone())
            }
        });
        if let Some(running) = running {
            return format!(
                "⚠️ A bash job is already running ({running}). Use !poll / !stop (or /bash poll / /bash stop)."
            );
        }
        *typed = Some(None);
    }
    let mut place = Place { typed: &cx.typed, goes_on: None };
    let config = cx.config.get();
    let wait_ms = config.tree["commands"]["bashForegroundMs"].as_f64().map_or(FOREGROUND_MS.0, |ms| ms.max(0.0) as u64);
    let wait_ms = wait_ms.min(FOREGROUND_MS.1);
    let mut args = Map::from_iter([("command".to_owned(), script.into()), ("elevated".to_owned(), true.into())]);
    match wait_ms {
        0 => args.insert("background".to_owned(), true.into()),
        ms => args.insert("yieldMs".to_owned(), ms.into()),
    };
    let call = SingleCall {
        agent: &turn.agent,
        session: &turn.session,
        channel: &turn.speaker.channel,
        speaker: Some(&turn.speaker),
        tool: "exec",
        action: None,
        args,
    };
    let ran = command_of_person(&cx.agent, call, &tool_host::of(cx), cx.lifecycle.stopping());
    let goes_on = ran.as_ref().ok().and_then(|ran| ran["details"]["sessionId"].as_str()).map(str::to_owned);
    place.goes_on = goes_on.map(|id| (turn.agent.clone(), id));
    drop(place);
    match ran {
        Ok(ran) => told(script, &ran),
        Err(SingleFailure::NotAvailable) => "⚠️ bash is not available here.".to_owned(),
        Err(SingleFailure::Failed(error)) => format!("⚠️ bash failed: {script}\n{}", block(&error)),
    }
}

fn told(script: &str, ran: &Value) -> String {
    let details = &ran["details"];
    let text = ran["content"][0]["text"].as_str().unwrap_or_default();
    match details["status"].as_str() {
        Some("running") => format!(
            "⚙️ bash started (session {}). Still running; use !poll / !stop (or /bash poll / /bash stop).",
            details["sessionId"].as_str().unwrap_or_default()
        ),
        Some("approval-pending") => {
            let id = details["approvalId"].as_str().unwrap_or_default();
            format!("⚙️ bash: {script}\n{text}\nHere: /approve {id} allow-once|allow-always|deny")
        }
        _ => format!("⚙️ bash: {script}\nExit: {}\n{}", details.get("exitCode").unwrap_or(&json!(0)), block(text)),
    }
}

fn block(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return "(no output)".to_owned();
    }
    let shown = tail_chars(text, OUTPUT_CHARS_MAX);
    let mut block = String::new();
    if shown.len() < text.len() {
        let _ = writeln!(block, "(the last {OUTPUT_CHARS_MAX} characters)");
    }
    // A fence longer than any in the output holds it.
    let ticks = "`".repeat(if shown.contains("```") { 5 } else { 3 });
    let _ = write!(block, "{ticks}txt\n{}\n{ticks}", shown.trim());
    block
}
