//! Transforms of mapped hooks: JavaScript modules of the owner's, run by an installed runtime (http.md §5.5).
//!
//! Each call is a process of its own, with nothing of the gateway's environment but where programs and the home are. Runs on
//! a job's thread.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::template::Seen;
use crate::base::cancel::CancelToken;
use crate::base::fs::{Durability, write_atomic};
use crate::base::process::{self, Ended, Keep};
use crate::base::rng::{SystemRng, uuid};

/// For one call.
const WITHIN: Duration = Duration::from_secs(15);
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Stands before what a transform returns, so that what it prints is told apart.
const MARK: &str = "\u{1}clawdbot-hook\u{1}";

/// Calls the transform with what it is to look at, and prints what it returned.
const CALLER: &str = r"
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
const [module, name, input] = process.argv.slice(-3);
const all = await import(pathToFileURL(module).href);
const transform = name ? all[name] : (all.default ?? all.transform);
if (typeof transform !== 'function') throw new Error(`no function ${name || 'default or transform'} in ${module}`);
const seen = JSON.parse(readFileSync(input, 'utf8'));
seen.url = new URL(seen.url);
const result = await transform(seen);
process.stdout.write('\n\u0001clawdbot-hook\u0001' + JSON.stringify(result === undefined ? { undefined: true } : { result }));
process.exit(0);
";

/// What a transform wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing else.
    Same,
    /// That nothing is done.
    Skip,
    /// These fields over the mapping's own.
    Over(Map<String, Value>),
}

/// Runs a transform.
///
/// # Errors
/// Why it did not work, for the log.
pub fn run(
    module: &Path,
    export: Option<&str>,
    seen: &Seen<'_>,
    target: &str,
    home: &Path,
    cancel: &CancelToken,
) -> Result<Wish, String> {
    let runtime = ["node", "bun"].iter().find_map(|name| process::find_program(name).map(|path| (*name, path)));
    let Some((name, program)) = runtime else {
        return Err("no JavaScript runtime is installed (node or bun)".to_owned());
    };
    let input = Input::new(seen, target).map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    match name {
        "node" => command.args(["--input-type=module", "-e", CALLER, "--"]),
        _ => command.args(["-e", CALLER, "--"]),
    };
    command.arg(module).arg(export.unwrap_or_default()).arg(&input.0).env_clear().env("HOME", home);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    let captured = process::capture(command, Some(WITHIN), Keep::Last(OUTPUT_BYTES_MAX), cancel);
    let captured = captured.map_err(|error| error.to_string())?;
    if captured.ended != Ended::Exited(0) {
        return Err(format!("{:?}: {}", captured.ended, captured.stderr.trim()));
    }
    let answer = captured.stdout.rsplit_once(MARK).map(|(_, answer)| answer).unwrap_or_default();
    let answer: Value = serde_json::from_str(answer).map_err(|_| "it ended without an answer".to_owned())?;
    Ok(match &answer["result"] {
        Value::Object(over) => Wish::Over(over.clone()),
        Value::Null if answer.get("result").is_some() => Wish::Skip,
        _ => Wish::Same,
    })
}

/// The file that a transform's input is in; gone afterwards.
struct Input(PathBuf);

impl Input {
    fn new(seen: &Seen<'_>, target: &str) -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("clawdbot-hook-{}.json", uuid(&SystemRng)));
        let url = format!("http://localhost{target}");
        let all = json!({"payload": seen.payload, "headers": seen.headers, "url": url, "path": seen.path});
        write_atomic(&path, all.to_string().as_bytes(), 0o600, Durability::Process)?;
        Ok(Self(path))
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            log::warn!(target: "gateway/hooks", "cannot remove {}: {error}", self.0.display());
        }
    }
}
