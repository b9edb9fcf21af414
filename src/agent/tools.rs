//! Tools: what a model may call, and the one way a call is carried out.
//!
//! A row per tool. Runs on the job's thread. Failures are results, never errors: the model reads them. Not here: which
//! calls a model makes (`run`).

mod exec;
mod read;

use std::path::Path;

use serde_json::{Value, json};

use super::message::Block;
use super::providers::ToolSpec;
use crate::base::cancel::CancelToken;
use crate::base::clock::Clock;
use crate::base::rng::Rng;
use crate::config::types::{Config, Tools};

/// What a tool may use.
pub struct ToolContext<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// Working directory.
    pub workspace: &'a Path,
    /// Home directory, for `~`.
    pub home: &'a Path,
    /// Stops the call.
    pub cancel: &'a CancelToken,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// Randomness.
    pub rng: &'a dyn Rng,
    /// Takes what a long call has produced so far, as `{content, details}`.
    pub on_update: &'a dyn Fn(Value),
}

/// What a call gave.
#[derive(Debug)]
pub struct ToolResult {
    /// For the model.
    pub content: Vec<Block>,
    /// For programs.
    pub details: Option<Value>,
    /// Set only for calls that could not be made at all.
    pub is_error: bool,
}

impl ToolResult {
    fn text(text: impl Into<String>, details: Option<Value>) -> Self {
        Self { content: vec![Block::text(text)], details, is_error: false }
    }

    /// compat: a tool that fails answers with this document, and the call itself counts as made.
    fn failed(tool: &str, error: &str) -> Self {
        let details = json!({"status": "error", "tool": tool, "error": error});
        Self::text(format!("{details:#}"), Some(details))
    }

    fn refused(text: impl Into<String>) -> Self {
        Self { content: vec![Block::text(text)], details: None, is_error: true }
    }
}

struct Tool {
    name: &'static str,
    description: &'static str,
    /// Name, type, whether required, description.
    parameters: &'static [(&'static str, &'static str, bool, &'static str)],
    group: &'static str,
    run: fn(&ToolContext<'_>, &Value) -> Result<ToolResult, String>,
    /// A short summary of the arguments.
    summary: fn(&Value) -> Option<String>,
}

/// In the order in which they are offered.
const TOOLS: [Tool; 2] = [
    Tool {
        name: "read",
        description: "Read a file. Text is cut at 2000 lines or 50 KB (use offset and limit for more); images are shown.",
        parameters: &[
            ("path", "string", true, "File to read, relative to the workspace or absolute"),
            ("offset", "number", false, "Line to start at, from 1"),
            ("limit", "number", false, "Most lines to read"),
        ],
        group: "group:fs",
        run: read::run,
        summary: |args| text_argument(args, &["path", "file_path"]),
    },
    Tool {
        name: "exec",
        description: "Run a shell command in the workspace and return its output.",
        parameters: &[
            ("command", "string", true, "Shell command"),
            ("workdir", "string", false, "Working directory, default the workspace"),
            ("env", "object", false, "Environment variables to add"),
            ("timeout", "number", false, "Seconds until the command is stopped, default 1800"),
        ],
        group: "group:runtime",
        run: exec::run,
        summary: |args| text_argument(args, &["command"]),
    },
];

/// Returns the tools that the configuration allows.
pub fn offered(config: &Config) -> Vec<ToolSpec> {
    TOOLS.iter().filter(|tool| is_allowed(&config.tools, tool)).map(Tool::spec).collect()
}

/// Returns a short summary of a call's arguments.
pub fn summary(name: &str, args: &Value) -> Option<String> {
    TOOLS.iter().find(|tool| tool.name == name).and_then(|tool| (tool.summary)(args))
}

/// Carries a call out.
pub fn call(cx: &ToolContext<'_>, name: &str, args: &Value) -> ToolResult {
    let Some(tool) = TOOLS.iter().find(|tool| tool.name == name && is_allowed(&cx.config.tools, tool)) else {
        return ToolResult::refused(format!("Tool {name} not found"));
    };
    let problems = tool.problems(args);
    if !problems.is_empty() {
        let list: String = problems.iter().map(|problem| format!("  - {problem}\n")).collect();
        return ToolResult::refused(format!(
            "Validation failed for tool \"{name}\":\n{list}\nReceived arguments:\n{args:#}"
        ));
    }
    (tool.run)(cx, args).unwrap_or_else(|error| ToolResult::failed(name, &error))
}

impl Tool {
    fn spec(&self) -> ToolSpec {
        let property = |kind: &str, description: &str| json!({"type": kind, "description": description});
        let properties: serde_json::Map<String, Value> =
            self.parameters.iter().map(|(name, kind, _, text)| ((*name).to_owned(), property(kind, text))).collect();
        let required: Vec<&str> = self.parameters.iter().filter(|row| row.2).map(|row| row.0).collect();
        let parameters = json!({"type": "object", "properties": properties, "required": required});
        ToolSpec { name: self.name, description: self.description, parameters }
    }

    fn problems(&self, args: &Value) -> Vec<String> {
        let Some(args) = args.as_object() else { return vec!["root: must be object".to_owned()] };
        let mut problems = Vec::new();
        for (name, kind, required, _) in self.parameters {
            let aliased = || *name == "path" && args.contains_key("file_path");
            match args.get(*name) {
                None | Some(Value::Null) if *required && !aliased() => {
                    problems.push(format!("{name}: must have required property '{name}'"));
                }
                Some(value) if !fits(value, kind) => problems.push(format!("{name}: must be {kind}")),
                _ => {}
            }
        }
        problems
    }
}

fn fits(value: &Value, kind: &str) -> bool {
    match (kind, value) {
        (_, Value::Null) => true,
        ("string", value) => value.is_string(),
        // Models send numbers as text now and then.
        ("number", Value::String(text)) => text.trim().parse::<f64>().is_ok(),
        ("number", value) => value.is_number(),
        ("object", value) => value.is_object(),
        _ => false,
    }
}

fn text_argument(args: &Value, names: &[&str]) -> Option<String> {
    let text = names.iter().find_map(|name| args.get(*name).and_then(Value::as_str))?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn number_argument(args: &Value, name: &str) -> Option<f64> {
    let value = args.get(name)?;
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn is_allowed(tools: &Tools, tool: &Tool) -> bool {
    let names = |list: &[String]| {
        list.iter().any(|entry| {
            let entry = entry.trim().to_lowercase();
            let entry = if entry == "bash" { "exec" } else { entry.as_str() };
            entry == tool.name || entry == tool.group || matches_star(entry, tool.name)
        })
    };
    // The smaller profiles name only tools that this version does not have.
    let by_profile = !matches!(tools.profile.as_deref(), Some("minimal" | "messaging"));
    let by_allow = tools.allow.as_deref().is_none_or(|allow| allow.is_empty() || names(allow));
    by_profile && by_allow && !tools.deny.as_deref().is_some_and(names)
}

fn matches_star(pattern: &str, name: &str) -> bool {
    pattern.split_once('*').is_some_and(|(head, tail)| {
        name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tools: Tools) -> Vec<&'static str> {
        offered(&Config { tools, ..Config::default() }).iter().map(|spec| spec.name).collect()
    }

    #[test]
    fn policy_decides_what_is_offered() {
        let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(names(Tools::default()), ["read", "exec"]);
        assert_eq!(names(Tools { deny: list(&["bash"]), ..Tools::default() }), ["read"]);
        assert_eq!(names(Tools { allow: list(&["group:runtime"]), ..Tools::default() }), ["exec"]);
        assert_eq!(names(Tools { deny: list(&["*"]), ..Tools::default() }), [""; 0]);
        assert_eq!(names(Tools { profile: Some("minimal".to_owned()), ..Tools::default() }), [""; 0]);
    }

    #[test]
    fn arguments_are_checked() {
        let exec = &TOOLS[1];
        assert_eq!(exec.problems(&json!({})), ["command: must have required property 'command'"]);
        assert_eq!(
            exec.problems(&json!({"command": 1, "timeout": "x"})),
            ["command: must be string", "timeout: must be number"]
        );
        assert_eq!(exec.problems(&json!("oops")), ["root: must be object"]);
    }
}
