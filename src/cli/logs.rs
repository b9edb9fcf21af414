//! `logs`: the end of the gateway's log file, asked for over the wire, and what comes after it (cli.md §7).

use std::io;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::exit::{Failure, Outcome};
use super::rpc::{self, CallError, Positive, client_command, items};
use super::{Cli, Command, output};
use crate::base::text::text_of;

/// Lines of the first look.
const LIMIT_DEFAULT: u64 = 200;
/// Bytes of one look.
const MAX_BYTES_DEFAULT: u64 = 250_000;
/// Pause between two looks, in milliseconds.
const INTERVAL_DEFAULT_MS: u64 = 1000;

client_command! {
    /// show the gateway's log
    pub(super) struct Logs {
        /// most lines to show (default 200)
        #[argh(option, arg_name = "n", default = "Default::default()")]
        limit: Positive,
        /// most bytes to read (default 250000)
        #[argh(option, arg_name = "n", default = "Default::default()")]
        max_bytes: Positive,
        /// go on with lines that are added
        #[argh(switch)]
        follow: bool,
        /// pause between two looks with --follow, in milliseconds (default 1000)
        #[argh(option, arg_name = "ms", default = "Default::default()")]
        interval: Positive,
        /// write no colours and no short times
        #[argh(switch)]
        plain: bool,
    }
}

impl Command for Logs {
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let options = self.client_options();
        let interval = Duration::from_millis(self.interval.or(INTERVAL_DEFAULT_MS));
        // Nobody stops a pause: the process ends by its signal.
        let (_keep, never) = crossbeam_channel::bounded::<()>(0);
        let mut cursor: Option<u64> = None;
        let mut is_lost = false;
        loop {
            let mut params = json!({
                "limit": self.limit.or(LIMIT_DEFAULT),
                "maxBytes": self.max_bytes.or(MAX_BYTES_DEFAULT),
            });
            if let Some(cursor) = cursor {
                params["cursor"] = cursor.into();
            }
            let tail = match rpc::call(cli, &options, "logs.tail", params) {
                Ok(tail) => tail,
                // A gateway that was there comes back: a restart must not end somebody's watching.
                Err(error) if self.follow && cursor.is_some() && error.error.is_connection() => {
                    if !is_lost && self.notice("Gateway connection lost; waiting for it to come back.").is_err() {
                        return Ok(());
                    }
                    is_lost = true;
                    let _ = never.recv_timeout(interval);
                    continue;
                }
                Err(error) => return Err(self.unreachable(cli, &error)),
            };
            if is_lost {
                is_lost = false;
                let _ = self.notice("Gateway connection is back.");
            }
            if self.print(&tail, cursor.is_none()).is_err() {
                output::error_line("clawdbot logs: output stdout closed (EPIPE). Stopping tail.");
                return Ok(());
            }
            cursor = tail["cursor"].as_u64().or(cursor);
            if !self.follow {
                return Ok(());
            }
            let _ = never.recv_timeout(interval);
        }
    }
}

impl Logs {
    fn print(&self, tail: &Value, is_first: bool) -> io::Result<()> {
        let file = tail["file"].as_str().unwrap_or_default();
        let is_pretty = !self.plain && output::has_colour();
        if is_first && self.json {
            let meta = json!({"type": "meta", "file": file, "cursor": tail["cursor"], "size": tail["size"]});
            output::try_line(&meta.to_string())?;
        } else if is_first && !file.is_empty() {
            output::try_line(&format!("Log file: {file}"))?;
        }
        for raw in items(&tail["lines"]).iter().filter_map(Value::as_str) {
            let entry = Entry::parse(raw);
            let line = match (entry, self.json) {
                (Some(entry), true) => entry.to_json(raw).to_string(),
                (None, true) => json!({"type": "raw", "raw": raw}).to_string(),
                (Some(entry), false) => entry.to_line(is_pretty),
                (None, false) => raw.to_owned(),
            };
            output::try_line(&line)?;
        }
        if tail["truncated"] == true {
            self.notice("Log tail truncated (increase --max-bytes).")?;
        }
        if tail["reset"] == true {
            self.notice("Log cursor reset (file rotated).")?;
        }
        Ok(())
    }

    fn notice(&self, text: &str) -> io::Result<()> {
        if self.json {
            return output::try_line(&json!({"type": "notice", "message": text}).to_string());
        }
        output::error_line(text);
        Ok(())
    }

    fn unreachable(&self, cli: &Cli, error: &CallError) -> Failure {
        const MESSAGE: &str = "Gateway not reachable. Is it running and accessible?";
        let hint = format!("Hint: run `{}`.", cli.paths.hint("doctor"));
        let target = &error.target;
        if !self.json {
            return Failure::text(format!("{MESSAGE}\n{}\n{hint}", target.details()));
        }
        let mut details = json!({"url": target.url, "urlSource": target.source});
        if let Some(bind) = &target.bind_detail {
            details["bindDetail"] = bind.as_str().into();
        }
        if let Some(note) = &target.remote_fallback_note {
            details["remoteFallbackNote"] = note.as_str().into();
        }
        details["message"] = target.details().into();
        let line = json!({
            "type": "error",
            "message": MESSAGE,
            "error": format!("Error: {error}"),
            "details": details,
            "hint": hint,
        });
        Failure::text(line.to_string())
    }
}

/// One line of the log file that is JSON.
#[derive(Debug, Default)]
pub(super) struct Entry {
    time: Option<String>,
    level: Option<String>,
    subsystem: Option<String>,
    module: Option<String>,
    message: String,
}

impl Entry {
    /// Reads a line; `None` when it is no JSON.
    pub(super) fn parse(raw: &str) -> Option<Self> {
        let line: Map<String, Value> = serde_json::from_str(raw).ok()?;
        let meta = line.get("_meta");
        let meta_text = |key: &str| meta.and_then(|meta| meta[key].as_str());
        let name = meta_text("name");
        let named: Value = name.and_then(|name| serde_json::from_str(name).ok()).unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Some(Self {
            time: line.get("time").and_then(text).or_else(|| meta_text("date").map(str::to_owned)),
            level: meta_text("logLevelName").map(str::to_lowercase),
            subsystem: text(&named["subsystem"]),
            module: text(&named["module"]),
            message: message(&line, name),
        })
    }

    /// Returns who wrote it.
    pub(super) fn subsystem(&self) -> &str {
        self.subsystem.as_deref().or(self.module.as_deref()).unwrap_or_default()
    }

    /// Returns what it says.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Returns it for programs.
    pub(super) fn to_json(&self, raw: &str) -> Value {
        let mut object = Map::new();
        object.insert("type".to_owned(), "log".into());
        let optional =
            [("time", &self.time), ("level", &self.level), ("subsystem", &self.subsystem), ("module", &self.module)];
        for (key, value) in optional {
            if let Some(value) = value {
                object.insert(key.to_owned(), value.as_str().into());
            }
        }
        object.insert("message".to_owned(), self.message.as_str().into());
        object.insert("raw".to_owned(), raw.into());
        Value::Object(object)
    }

    /// Returns it for people.
    pub(super) fn to_line(&self, is_pretty: bool) -> String {
        let time = self.time.as_deref().unwrap_or_default();
        // `2026-11-23T18:55:00.123Z` → `18:55:00`.
        let time = if is_pretty { time.get(11..19).unwrap_or(time) } else { time };
        let place = self.subsystem.as_deref().or(self.module.as_deref()).unwrap_or_default();
        let level = self.level.as_deref().unwrap_or_default();
        let is_bad = matches!(level, "error" | "fatal" | "warn");
        let parts = match is_pretty {
            true => [output::dim(time), output::verdict(!is_bad, level), output::dim(place), self.message.clone()],
            false => [time.to_owned(), level.to_owned(), place.to_owned(), self.message.clone()],
        };
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// Returns the values of the numeric keys, without the first when it only repeats the logger's name.
fn message(line: &Map<String, Value>, name: Option<&str>) -> String {
    let mut parts: Vec<(u64, &Value)> =
        line.iter().filter_map(|(key, value)| Some((key.parse().ok()?, value))).collect();
    crate::base::order::by_key(&mut parts, |(key, _)| *key);
    let shown = parts.into_iter().filter(|(key, value)| !(*key == 0 && name.is_some() && value.as_str() == name));
    let texts = shown.map(|(_, value)| text_of(value));
    texts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_are_read() {
        let raw = r#"{"0":"{\"subsystem\":\"gateway/ws\"}","1":"hello","2":{"a":1},"_meta":{"name":"{\"subsystem\":\"gateway/ws\"}","logLevelName":"INFO"},"time":"2026-11-22T13:20:48.869Z"}"#;
        let entry = Entry::parse(raw).expect("JSON");
        assert_eq!(entry.to_line(false), r#"2026-11-22T13:20:48.869Z info gateway/ws hello {"a":1}"#);
        assert_eq!(entry.to_json("r")["subsystem"], "gateway/ws");
        assert!(Entry::parse("plain text").is_none());
    }
}
