//! `config get`, `set` and `unset`: one value of the configuration file (cli.md §12.6).

use serde_json::Value;

use super::exit::{Failure, Outcome};
use super::{Cli, Command, output};
use crate::config::load::Snapshot;
use crate::config::paths::Paths;
use crate::config::write::{self, EditError};
use crate::config::{json5, tree};

/// print one value of the effective configuration
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Get {
    /// path such as gateway.port or agents.list[0].id
    #[argh(positional)]
    path: String,
    /// print JSON, scalars too
    #[argh(switch)]
    json: bool,
}

impl Command for Get {
    // The file is judged below, in the words of these commands.
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let path = parse_path(&self.path)?;
        require_valid(cli)?;
        let found = tree::get(&cli.snapshot().config, &path);
        let value = found.ok_or_else(|| Failure::text(format!("Config path not found: {}", self.path)))?;
        match value {
            Value::String(text) if !self.json => output::line(text),
            value => output::json(value),
        }
        Ok(())
    }
}

/// set one value of the configuration file
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Set {
    /// path such as gateway.port or agents.list[0].id
    #[argh(positional)]
    path: String,
    /// value: JSON5, or else a text as it is
    #[argh(positional)]
    value: String,
    /// refuse a value that is not JSON5
    #[argh(switch)]
    json: bool,
}

impl Command for Set {
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let path = parse_path(&self.path)?;
        let value = match json5::parse(self.value.trim()) {
            Ok(value) => value,
            Err(error) if self.json => {
                return Err(Failure::error(format!("Failed to parse JSON5 value: {}", error.message)));
            }
            Err(_) => Value::String(self.value.clone()),
        };
        require_valid(cli)?;
        edit(&cli.paths, |config| tree::set(config, &path, value))?;
        output::line(&format!("Updated {}. Restart the gateway to apply.", self.path));
        Ok(())
    }
}

/// remove one value from the configuration file
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Unset {
    /// path such as gateway.port or agents.list[0]
    #[argh(positional)]
    path: String,
}

impl Command for Unset {
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let path = parse_path(&self.path)?;
        require_valid(cli)?;
        let not_found = format!("Config path not found: {}", self.path);
        edit(&cli.paths, |config| if tree::unset(config, &path) { Ok(()) } else { Err(not_found) })?;
        output::line(&format!("Removed {}. Restart the gateway to apply.", self.path));
        Ok(())
    }
}

/// Returns the words for a file that no command but a few may run on.
pub(super) fn describe_invalid(paths: &Paths, snapshot: &Snapshot) -> String {
    crate::config::load::describe_invalid(paths, snapshot).trim_end().to_owned()
}

/// Changes the file through the one writer; `change` may refuse with a text, and then nothing is written.
pub(super) fn edit(paths: &Paths, change: impl FnOnce(&mut Value) -> Result<(), String>) -> Outcome {
    match write::edit(paths, change) {
        Ok(_) => Ok(()),
        Err(EditError::Change(text)) => Err(Failure::text(text)),
        Err(EditError::Io(error)) => {
            let file = paths.shorten(&paths.config_file);
            Err(Failure::error(format!("the configuration {file} cannot be changed: {error}")))
        }
        Err(error) => Err(Failure::error(error)),
    }
}

fn parse_path(text: &str) -> Result<Vec<String>, Failure> {
    match tree::parse_path(text) {
        Ok(path) if path.is_empty() => Err(Failure::error("Path is empty.")),
        Ok(path) => Ok(path),
        Err(error) => Err(Failure::error(error)),
    }
}

fn require_valid(cli: &Cli) -> Outcome {
    let snapshot = cli.snapshot();
    if snapshot.valid {
        return Ok(());
    }
    let mut lines = vec![format!("Config invalid at {}.", cli.paths.shorten(&snapshot.path))];
    lines.extend(snapshot.issues.iter().map(|issue| {
        let path = if issue.path.is_empty() { "<root>" } else { &issue.path };
        format!("- {path}: {}", issue.message)
    }));
    lines.push(format!("Run `{}` to repair, then retry.", cli.paths.hint("doctor")));
    Err(Failure::text(lines.join("\n")))
}
