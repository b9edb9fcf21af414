//! `nodes`: the nodes of a gateway: who they are, what they may do, and asking them for it (cli.md §18).
//!
//! One file per group of commands. This one holds what they share: their options, their calls, how a node is named, how
//! a failure is worded, and where media go.

mod a2ui;
mod camera;
mod canvas;
mod invoke;
mod location;
mod notify;
mod pairing;
mod run;
mod screen;
mod status;

pub(super) use camera::{CameraClip, CameraList, CameraSnap};
pub(super) use canvas::{A2uiPush, A2uiReset, CanvasEval, CanvasHide, CanvasNavigate, CanvasPresent, CanvasSnapshot};
pub(super) use invoke::Invoke;
pub(super) use location::LocationGet;
pub(super) use notify::Notify;
pub(super) use pairing::{Approve, Pending, Reject, Rename};
pub(super) use run::Run;
pub(super) use screen::ScreenRecord;
pub(super) use status::{Describe, List, Status};

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::exit::{Failure, Outcome};
use super::rpc::{self, ClientOptions};
use super::{Cli, node_ref, output};
use crate::base::fs::{Durability, MODE_PRIVATE, write_atomic};
use crate::base::rng::{SystemRng, uuid};
use crate::base::text::short_age;

/// Declares a command with the options that all of them have: `--url --token --timeout --json`. The number is the
/// default of `--timeout`.
macro_rules! nodes_command {
    ($(#[$meta:meta])* pub(in super::super) struct $name:ident: $timeout_ms:literal { $($fields:tt)* }) => {
        $(#[$meta])*
        #[derive(argh::FromArgs, argh::ArgsInfo)]
        pub(in super::super) struct $name {
            $($fields)*
            /// gateway to call (default: what the configuration says)
            #[argh(option, arg_name = "url")]
            url: Option<String>,
            /// gateway token
            #[argh(option, arg_name = "token")]
            token: Option<String>,
            /// longest wait for the gateway's answer in milliseconds
            #[argh(option, arg_name = "ms", default = "Default::default()")]
            timeout: $crate::cli::rpc::Positive,
            /// print JSON
            #[argh(switch)]
            #[allow(dead_code)] // Some commands print nothing but JSON.
            json: bool,
        }

        impl $name {
            fn calls<'a>(&self, cli: &'a $crate::cli::Cli) -> super::Calls<'a> {
                super::Calls::new(cli, self.url.clone(), self.token.clone(), self.timeout.or($timeout_ms))
            }
        }
    };
}
use nodes_command;

/// Calls of one command.
struct Calls<'a> {
    cli: &'a Cli,
    options: ClientOptions,
}

impl<'a> Calls<'a> {
    fn new(cli: &'a Cli, url: Option<String>, token: Option<String>, timeout_ms: u64) -> Self {
        let overrides = crate::client::target::Overrides { url, token, password: None };
        let timeout = std::time::Duration::from_millis(timeout_ms);
        Self { cli, options: ClientOptions { overrides, timeout, expect_final: false } }
    }

    /// Returns the same with a longer wait, for what waits for people.
    fn waiting_at_least(&self, wait: std::time::Duration) -> Self {
        let timeout = self.options.timeout.max(wait);
        Self { cli: self.cli, options: ClientOptions { timeout, ..self.options.clone() } }
    }

    fn call(&self, method: &str, params: Value) -> Result<Value, String> {
        rpc::call(self.cli, &self.options, method, params).map_err(|error| error.to_string())
    }

    /// Returns the id of the node that was typed.
    fn node_id(&self, typed: &str) -> Result<String, String> {
        node_ref::resolve(self.cli, &self.options, typed)
    }

    /// Returns that id, and what is known of the node.
    fn node(&self, typed: &str) -> Result<(String, Value), String> {
        node_ref::find(self.cli, &self.options, typed)
    }

    /// Asks a node for something, `null` standing for no parameters; `timeout_ms` is how long it may take.
    fn invoke(&self, node: &str, command: &str, params: Value, timeout_ms: Option<u64>) -> Result<Value, String> {
        self.invoke_id(&self.node_id(node)?, command, params, timeout_ms, None)
    }

    fn invoke_id(
        &self,
        node_id: &str,
        command: &str,
        params: Value,
        timeout_ms: Option<u64>,
        idempotency_key: Option<&str>,
    ) -> Result<Value, String> {
        let key = idempotency_key.map_or_else(|| uuid(&SystemRng), str::to_owned);
        let mut request = json!({"nodeId": node_id, "command": command, "idempotencyKey": key});
        if !params.is_null() {
            request["params"] = params;
        }
        if let Some(timeout_ms) = timeout_ms {
            request["timeoutMs"] = timeout_ms.into();
        }
        self.call("node.invoke", request)
    }
}

/// Words a failure as these commands do.
fn outcome(command: &str, result: Result<(), String>) -> Outcome {
    result.map_err(|message| Failure::text(format!("nodes {command} failed: Error: {message}")))
}

/// Returns a text field, empty when it is missing.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().map_or("", str::trim)
}

/// Formats an age with its largest unit: `12s ago`, `3m ago`, `5h ago`, `2d ago`.
fn age(now_ms: u64, at_ms: u64) -> String {
    format!("{} ago", short_age(now_ms.saturating_sub(at_ms)))
}

/// Reads `<number>(ms|s|m|h|d)`; a bare number is milliseconds.
fn duration_ms(typed: &str) -> Result<u64, String> {
    let text = typed.trim().to_lowercase();
    if text.is_empty() {
        return Err("invalid duration (empty)".to_owned());
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let factor = match &text[digits..] {
        "" | "ms" => 1.0,
        "s" => 1e3,
        "m" => 60e3,
        "h" => 3_600e3,
        "d" => 86_400e3,
        _ => return Err(format!("invalid duration: {typed}")),
    };
    let number = text[..digits].parse::<f64>().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit()));
    number.map(|number| (number * factor).round() as u64).ok_or_else(|| format!("invalid duration: {typed}"))
}

/// A picture or film that a node sent.
struct Media<'a> {
    payload: &'a Value,
    format: &'a str,
    bytes: Vec<u8>,
}

impl<'a> Media<'a> {
    /// Reads the payload of an answer; `command` names it in the error.
    fn of(answer: &'a Value, command: &str) -> Result<Self, String> {
        let payload = &answer["payload"];
        let invalid = || format!("invalid {command} payload");
        let format = payload["format"].as_str().ok_or_else(invalid)?;
        // It becomes part of a file name.
        if format.is_empty() || format.len() > 8 || !format.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(invalid());
        }
        let base64 = payload["base64"].as_str().filter(|base64| !base64.is_empty()).ok_or_else(invalid)?;
        let bytes = STANDARD.decode(base64.trim()).map_err(|_| invalid())?;
        Ok(Self { payload, format, bytes })
    }

    /// Returns the ending of its file.
    fn extension(&self) -> &str {
        if self.format == "jpeg" { "jpg" } else { self.format }
    }

    /// Writes it to a new temporary file.
    fn save(&self, kind: &str) -> Result<PathBuf, String> {
        let name = format!("clawdbot-{kind}-{}.{}", uuid(&SystemRng), self.extension());
        let path = std::env::temp_dir().join(name);
        self.save_as(&path)?;
        Ok(path)
    }

    fn save_as(&self, path: &Path) -> Result<(), String> {
        write_atomic(path, &self.bytes, MODE_PRIVATE, Durability::Process)
            .map_err(|error| format!("write {}: {error}", path.display()))
    }
}

/// Prints where a file is, in the form that agents look for.
fn print_media(cli: &Cli, path: &Path) {
    output::line(&format!("MEDIA:{}", cli.paths.shorten(path)));
}

/// Takes out of an object what is null: parameters that were not given.
fn without_nulls(mut object: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.retain(|_, value| !value.is_null());
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (typed, expected) in
            [("250", 250), ("1.5s", 1500), ("2m", 120_000), ("24H", 86_400_000), ("1d", 86_400_000)]
        {
            assert_eq!(duration_ms(typed), Ok(expected), "{typed}");
        }
        for typed in ["x", "5w", ".5s", "-1s", "1.2.3"] {
            assert_eq!(duration_ms(typed), Err(format!("invalid duration: {typed}")));
        }
        assert_eq!(duration_ms(" "), Err("invalid duration (empty)".to_owned()));
    }

    #[test]
    fn media_cannot_choose_their_place() {
        let answer = |format: &str, base64: &str| json!({"payload": {"format": format, "base64": base64}});
        let jpeg = answer("jpeg", "aGk=");
        let media = Media::of(&jpeg, "camera.snap").expect("valid");
        assert_eq!((media.bytes.as_slice(), media.extension()), (&b"hi"[..], "jpg"));
        for (format, base64) in [("../x", "aGk="), ("", "aGk="), ("png", "?"), ("png", "")] {
            let error = Media::of(&answer(format, base64), "camera.snap").err();
            assert_eq!(error.as_deref(), Some("invalid camera.snap payload"), "{format} {base64}");
        }
    }

    #[test]
    fn ages() {
        assert_eq!(
            [age(5000, 9000), age(59_999, 0), age(3_600_000, 0), age(172_800_000, 0)],
            ["0s ago", "59s ago", "1h ago", "2d ago"]
        );
    }
}
