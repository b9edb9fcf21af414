//! `exec`: a shell command in the foreground, with a deadline and capped output.
//!
//! Background commands and approvals are not here; where the configuration asks for approvals, commands are refused.

use std::cell::RefCell;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::read::resolve;
use super::{ToolContext, ToolResult, number_argument, text_argument};
use crate::base::process::{self, Ended};
use crate::base::text::tail_chars;
use crate::config::types::ToolExec;

/// Most output kept, in bytes.
const OUTPUT_BYTES_MAX: usize = 200_000;
/// Limit in seconds when nobody names one.
const TIMEOUT_SECONDS_DEFAULT: u64 = 1800;
/// Most characters of an update.
const TAIL_CHARS_MAX: usize = 2000;

pub(super) fn run(cx: &ToolContext<'_>, args: &Value) -> Result<ToolResult, String> {
    let settings = &cx.config.tools.exec;
    refuse_what_needs_approval(settings)?;
    let script = text_argument(args, &["command"]).ok_or("Provide a command to start.")?;
    let workdir = text_argument(args, &["workdir"]);
    let cwd = workdir.map_or_else(|| cx.workspace.to_owned(), |given| resolve(&given, cx.workspace, cx.home));
    if !cwd.is_dir() {
        return Err(format!("workdir {} is not a directory", cwd.display()));
    }
    let default = settings.timeout_sec.unwrap_or(TIMEOUT_SECONDS_DEFAULT);
    let seconds = number_argument(args, "timeout").filter(|seconds| *seconds > 0.0).unwrap_or(default as f64);
    let timeout = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let mut command = Command::new(shell());
    command.arg("-c").arg(&script).current_dir(&cwd);
    for (name, value) in args.get("env").and_then(Value::as_object).into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        command.env(name, text);
    }
    if !settings.path_prepend.is_empty() {
        let old = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{old}", settings.path_prepend.join(":")));
    }
    let started_at = cx.clock.now_ms();
    let session_id = crate::base::rng::hex_token(cx.rng, 4);
    let seen = RefCell::new(String::new());
    let pid = std::cell::Cell::new(0);
    let output = process::run(command, Some(timeout), OUTPUT_BYTES_MAX, cx.cancel, |id| pid.set(id), |chunk| {
        let mut seen = seen.borrow_mut();
        seen.push_str(chunk);
        let tail = tail_chars(&seen, TAIL_CHARS_MAX).to_owned();
        (cx.on_update)(json!({
            "content": [{"type": "text", "text": tail}],
            "details": {
                "status": "running", "sessionId": session_id, "pid": pid.get(), "startedAt": started_at, "cwd": cwd, "tail": tail,
            },
        }));
        *seen = tail;
    })
    .map_err(|error| format!("cannot start {}: {error}", shell()))?;
    let mut text = output.text.trim().to_owned();
    if output.truncated {
        text = format!("[output cut: its last {OUTPUT_BYTES_MAX} bytes follow]\n{text}");
    }
    let failure = match output.ended {
        Ended::Exited(0) => None,
        Ended::Exited(code) => Some(format!("Command exited with code {code}")),
        Ended::Signalled(signal) => Some(format!("Command aborted by signal {}", signal_name(signal))),
        Ended::TimedOut => Some(format!("Command timed out after {seconds} seconds")),
        Ended::Cancelled => Some("Command aborted by signal SIGTERM".to_owned()),
    };
    if let Some(failure) = failure {
        return Err(if text.is_empty() { failure } else { format!("{text}\n\n{failure}") });
    }
    let details = json!({
        "status": "completed", "exitCode": 0, "durationMs": u64::try_from(output.duration.as_millis()).unwrap_or(u64::MAX),
        "aggregated": text, "cwd": cwd,
    });
    Ok(ToolResult::text(if text.is_empty() { "(no output)".to_owned() } else { text }, Some(details)))
}

/// Commands on the default host run without asking, like the original's. Where the operator chose a host that asks, an
/// answer cannot be had yet, and running unasked is not an option.
fn refuse_what_needs_approval(settings: &ToolExec) -> Result<(), String> {
    let host = settings.host.as_deref().unwrap_or("sandbox");
    let security = settings.security.as_deref();
    if security == Some("deny") && host != "sandbox" {
        return Err("exec denied: tools.exec.security is \"deny\"".to_owned());
    }
    if host == "node" {
        return Err("exec host not available: this version cannot run commands on nodes (tools.exec.host)".to_owned());
    }
    if host == "gateway" && !(security == Some("full") && settings.ask.as_deref() == Some("off")) {
        return Err("exec denied: approvals are not supported yet, so tools.exec.host \"gateway\" needs \
                    tools.exec.security \"full\" and tools.exec.ask \"off\""
            .to_owned());
    }
    Ok(())
}

fn shell() -> &'static str {
    if std::path::Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" }
}

fn signal_name(signal: i32) -> String {
    match signal {
        libc::SIGTERM => "SIGTERM".to_owned(),
        libc::SIGKILL => "SIGKILL".to_owned(),
        libc::SIGSEGV => "SIGSEGV".to_owned(),
        libc::SIGINT => "SIGINT".to_owned(),
        libc::SIGABRT => "SIGABRT".to_owned(),
        other => other.to_string(),
    }
}
