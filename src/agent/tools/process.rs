//! `process`: commands in the background, looked at, written to, ended.
//!
//! Failures are texts with `details.status` "failed", as the original words them. An agent sees its own commands only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::arguments::Arguments;
use super::exec::signal_name;
use super::{Tool, ToolContext, ToolResult, always};
use crate::agent::processes::{Finished, Process};
use crate::base::process::Ended;
use crate::base::text::{duration, ellipsize};

/// How long a command that is killed is waited for.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// Longest command in a list, in characters.
const NAME_CHARS_MAX: usize = 120;

pub(super) const TOOL: Tool = Tool {
    name: "process",
    description: "Follow up commands that run in the background: list, poll (new output), log (lines), write and \
                  send-keys (input), submit (Enter), paste, kill, clear, remove.",
    parameters: &[
        ("action", "list|poll|log|write|send-keys|submit|paste|kill|clear|remove*", "What to do"),
        ("sessionId", "string", "The command, as exec named it; for all but list"),
        ("data", "string", "Text for write"),
        ("keys", "string[]", "Keys for send-keys: Enter, Tab, Escape, Up, C-c, M-x, F1 ..."),
        ("hex", "string[]", "Bytes for send-keys, in hexadecimal"),
        ("literal", "string", "Text for send-keys, as it is"),
        ("text", "string", "Text for paste"),
        ("bracketed", "boolean", "Whether paste is marked as such, default yes"),
        ("eof", "boolean", "Whether write ends the input"),
        ("offset", "number", "First line of log, from 0"),
        ("limit", "number", "Most lines of log"),
    ],
    is_local: true,
    is_wanted: always,
    run,
};

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let action = args.required("action")?;
    if action == "list" {
        return Ok(list(cx));
    }
    let Some(id) = args.text("sessionId") else { return Ok(failed("sessionId is required for this action.")) };
    let found = cx.toolbox.processes.find(cx.agent, id, cx.clock.now_ms());
    let is_input = matches!(action, "write" | "send-keys" | "submit" | "paste");
    let process = match found {
        Some(process) if is_input && process.has_ended() => None,
        found => found,
    };
    let Some(process) = process else {
        let is_active_wanted = is_input || action == "kill";
        let what = if is_active_wanted { "No active session found" } else { "No session found" };
        return Ok(failed(&format!("{what} for {id}")));
    };
    if !process.is_backgrounded() {
        return Ok(failed(&format!("Session {id} is not backgrounded.")));
    }
    Ok(match action {
        "poll" => poll(&process),
        "log" => log(&process, args),
        "kill" if process.has_ended() => failed(&format!("No active session found for {id}")),
        "kill" => {
            end(&process);
            ToolResult::text(format!("Killed session {id}."), Some(details(&process, "failed")))
        }
        "clear" if !process.has_ended() => failed(&format!("Session {id} is still running; kill or remove it.")),
        "clear" | "remove" => {
            end(&process);
            cx.toolbox.processes.remove(&process);
            let verb = if action == "clear" { "Cleared" } else { "Removed" };
            ToolResult::text(format!("{verb} session {id}."), Some(json!({"status": "completed"})))
        }
        _ => input(&process, action, args)?,
    })
}

fn failed(text: &str) -> ToolResult {
    ToolResult::text(text, Some(json!({"status": "failed"})))
}

/// Ends a command that still runs, and waits for its end.
fn end(process: &Process) {
    if !process.has_ended() {
        process.stop();
        process.wait_end(Instant::now() + END_PATIENCE, &crate::base::cancel::CancelToken::new());
    }
}

fn status(finished: Option<&Finished>) -> &'static str {
    match finished.map(|finished| finished.ended) {
        None => "running",
        Some(Ended::Exited(0)) => "completed",
        Some(_) => "failed",
    }
}

fn details(process: &Process, status: &str) -> Value {
    let mut details = json!({"status": status, "sessionId": process.id()});
    if let Some(Finished { ended: Ended::Exited(code), .. }) = process.finished() {
        details["exitCode"] = code.into();
    }
    details["name"] = name(process).into();
    details
}

fn name(process: &Process) -> String {
    ellipsize(process.script().lines().next().unwrap_or_default(), NAME_CHARS_MAX)
}

fn list(cx: &ToolContext<'_>) -> ToolResult {
    let now_ms = cx.clock.now_ms();
    let processes = cx.toolbox.processes.list(cx.agent, now_ms);
    let (mut lines, mut rows) = (Vec::new(), Vec::new());
    for process in &processes {
        let finished = process.finished();
        let ended_at = finished.as_ref().map_or(now_ms, |finished| finished.at_ms);
        let runtime_ms = ended_at.saturating_sub(process.started_at());
        let status = status(finished.as_ref());
        lines.push(format!("{} {status:<9} {} :: {}", process.id(), duration(runtime_ms), name(process)));
        let mut row = details(process, status);
        row["pid"] = process.pid().into();
        row["startedAt"] = process.started_at().into();
        row["runtimeMs"] = runtime_ms.into();
        row["cwd"] = json!(process.cwd());
        row["command"] = process.script().into();
        rows.push(row);
    }
    let text = if lines.is_empty() { "No running or recent sessions.".to_owned() } else { lines.join("\n") };
    ToolResult::text(text, Some(json!({"status": "completed", "sessions": rows})))
}

fn poll(process: &Arc<Process>) -> ToolResult {
    // First, so that output that comes with the end is not missed.
    let finished = process.finished();
    let new = process.poll();
    let new = new.trim();
    let how = match finished.as_ref().map(|finished| finished.ended) {
        None => "Process still running.".to_owned(),
        Some(Ended::Exited(code)) => format!("Process exited with code {code}."),
        Some(Ended::Signalled(signal)) => format!("Process exited with signal {}.", signal_name(signal)),
        Some(Ended::TimedOut) => "Process timed out.".to_owned(),
        Some(Ended::Cancelled) => "Process exited with signal SIGTERM.".to_owned(),
    };
    let text = format!("{}\n\n{how}", if new.is_empty() { "(no new output)" } else { new });
    let mut details = details(process, status(finished.as_ref()));
    details["aggregated"] = process.output().0.into();
    ToolResult::text(text, Some(details))
}

fn log(process: &Process, args: &Arguments<'_>) -> ToolResult {
    let (text, is_cut) = process.output();
    let lines: Vec<&str> = text.lines().collect();
    let limit = args.count("limit").filter(|limit| *limit > 0);
    // Without an offset the last lines are what is wanted.
    let offset = args.count("offset").unwrap_or_else(|| lines.len().saturating_sub(limit.unwrap_or(usize::MAX)));
    let shown: Vec<&str> = lines.iter().skip(offset).take(limit.unwrap_or(usize::MAX)).copied().collect();
    let mut details = details(process, status(process.finished().as_ref()));
    details["totalLines"] = lines.len().into();
    details["totalChars"] = text.chars().count().into();
    details["truncated"] = is_cut.into();
    let text = shown.join("\n");
    ToolResult::text(if text.is_empty() { "(no output in this range)" } else { &text }, Some(details))
}

fn input(process: &Process, action: &str, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let id = process.id();
    let is_last = action == "write" && args.flag("eof") == Some(true);
    let (bytes, text) = match action {
        "write" => {
            let data = args.raw("data").unwrap_or_default();
            let closed = if is_last { " (stdin closed)" } else { "" };
            (data.as_bytes().to_vec(), format!("Wrote {} bytes to session {id}{closed}.", data.len()))
        }
        "submit" => (b"\r".to_vec(), format!("Submitted session {id} (sent CR).")),
        "paste" => {
            let pasted = args.raw("text").unwrap_or_default();
            if pasted.is_empty() {
                return Ok(failed("No paste text provided."));
            }
            let bytes = match args.flag("bracketed") {
                Some(false) => pasted.to_owned(),
                _ => format!("\x1b[200~{pasted}\x1b[201~"),
            };
            (bytes.into_bytes(), format!("Pasted {} chars to session {id}.", pasted.chars().count()))
        }
        _ => {
            let bytes = keys(args)?;
            if bytes.is_empty() {
                return Ok(failed("No key data provided."));
            }
            let text = format!("Sent {} bytes to session {id}.", bytes.len());
            (bytes, text)
        }
    };
    match process.write(&bytes, is_last) {
        Ok(()) => Ok(ToolResult::text(text, Some(details(process, "running")))),
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            Ok(failed(&format!("Session {id} does not read its input.")))
        }
        Err(_) => Ok(failed(&format!("Session {id} stdin is not writable."))),
    }
}

/// Returns what the keys of a call stand for.
fn keys(args: &Arguments<'_>) -> Result<Vec<u8>, String> {
    let mut bytes = args.raw("literal").unwrap_or_default().as_bytes().to_vec();
    for hex in args.list("hex") {
        let digits = hex.trim().trim_start_matches("0x");
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| format!("hex: {hex:?} is not a byte"))?);
    }
    for key in args.list("keys") {
        bytes.extend(self::key(key.trim())?);
    }
    Ok(bytes)
}

/// Returns what one key sends; `C-`, `M-` and `S-` in front of it are its modifiers.
fn key(token: &str) -> Result<Vec<u8>, String> {
    let (mut name, mut ctrl, mut meta, mut shift) = (token, false, false, false);
    if let Some(rest) = token.strip_prefix('^').filter(|rest| rest.len() == 1) {
        (name, ctrl) = (rest, true);
    }
    while let Some((modifier, rest)) = name.split_once('-').filter(|(_, rest)| !rest.is_empty()) {
        match modifier {
            "C" | "c" => ctrl = true,
            "M" | "m" => meta = true,
            "S" | "s" => shift = true,
            _ => break,
        }
        name = rest;
    }
    let mut bytes = Vec::new();
    let mut characters = name.chars();
    match (characters.next(), characters.next()) {
        (Some(one), None) if ctrl => match one.to_ascii_uppercase() {
            upper @ '@'..='_' => bytes.push(upper as u8 & 0x1F),
            '?' => bytes.push(0x7F),
            _ => return Err(format!("keys: {token:?} is no control character")),
        },
        (Some(one), None) => {
            let one = if shift { one.to_ascii_uppercase() } else { one };
            bytes.extend(one.to_string().as_bytes());
        }
        _ => {
            let modifier = 1 + u8::from(shift) + 2 * u8::from(meta) + 4 * u8::from(ctrl);
            return named(&name.to_lowercase(), modifier).ok_or_else(|| format!("keys: unknown key {token:?}"));
        }
    }
    if meta {
        bytes.insert(0, 0x1B);
    }
    Ok(bytes)
}

/// Returns what a named key sends, as xterm does.
fn named(name: &str, modifier: u8) -> Option<Vec<u8>> {
    let plain = match name {
        "enter" | "return" => "\r",
        "tab" if modifier == 2 => "\x1b[Z",
        "tab" => "\t",
        "btab" => "\x1b[Z",
        "escape" | "esc" => "\x1b",
        "space" => " ",
        "bspace" | "backspace" => "\x7f",
        _ => "",
    };
    if !plain.is_empty() {
        let meta = if modifier == 3 { "\x1b" } else { "" };
        return Some(format!("{meta}{plain}").into_bytes());
    }
    // Letter keys end in their letter, the others in `~` after their number.
    let (number, end) = match name {
        "up" => (1, 'A'),
        "down" => (1, 'B'),
        "right" => (1, 'C'),
        "left" => (1, 'D'),
        "home" => (1, '~'),
        "insert" | "ic" => (2, '~'),
        "delete" | "del" | "dc" => (3, '~'),
        "end" => (4, '~'),
        "pageup" | "pgup" | "ppage" => (5, '~'),
        "pagedown" | "pgdn" | "npage" => (6, '~'),
        _ => {
            let f: u8 = name.strip_prefix('f')?.parse().ok()?;
            let codes = [15, 17, 18, 19, 20, 21, 23, 24];
            match f {
                1..=4 if modifier == 1 => return Some(vec![0x1B, b'O', b'O' + f]),
                1..=4 => (1, (b'O' + f) as char),
                5..=12 => (codes[usize::from(f) - 5], '~'),
                _ => return None,
            }
        }
    };
    Some(
        match (modifier, end) {
            (1, '~') => format!("\x1b[{number}~"),
            (1, end) => format!("\x1b[{end}"),
            (modifier, end) => format!("\x1b[{number};{modifier}{end}"),
        }
        .into_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_a_terminal_sends() {
        for (token, expected) in [
            ("a", "a"),
            ("é", "é"),
            ("C-c", "\x03"),
            ("^C", "\x03"),
            ("C-[", "\x1b"),
            ("M-x", "\x1bx"),
            ("S-a", "A"),
            ("-", "-"),
            ("Enter", "\r"),
            ("S-Tab", "\x1b[Z"),
            ("BSpace", "\x7f"),
            ("Up", "\x1b[A"),
            ("C-Left", "\x1b[1;5D"),
            ("PgDn", "\x1b[6~"),
            ("S-Delete", "\x1b[3;2~"),
            ("F1", "\x1bOP"),
            ("F5", "\x1b[15~"),
            ("C-F12", "\x1b[24;5~"),
        ] {
            assert_eq!(key(token), Ok(expected.as_bytes().to_vec()), "{token}");
        }
        for token in ["Nope", "C-é", "F13"] {
            assert!(key(token).is_err(), "{token}");
        }
    }
}
