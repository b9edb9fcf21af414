//! `nodes canvas`: what a node's canvas shows.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Media, a2ui, nodes_command, outcome, print_media, without_nulls};
use crate::base::fs::read_text_capped;
use crate::cli::exit::Outcome;
use crate::cli::{Cli, Command, output};

/// Largest file of messages that is pushed: what fits into one frame of the gateway.
const JSONL_BYTES_MAX: u64 = 512 * 1024;

nodes_command! {
    /// take a picture of the canvas
    pub(in super::super) struct CanvasSnapshot: 60_000 {
        /// node: id, name or address
        #[argh(option, arg_name = "idOrNameOrIp")]
        node: String,
        /// png, jpg (default) or jpeg
        #[argh(option, arg_name = "format", default = "\"jpg\".to_owned()")]
        format: String,
        /// largest width in pixels
        #[argh(option, arg_name = "px")]
        max_width: Option<u64>,
        /// quality of a JPEG, 0 to 1
        #[argh(option, arg_name = "quality")]
        quality: Option<f64>,
        /// how long the node may take in milliseconds (default 20000)
        #[argh(option, arg_name = "ms", default = "20_000")]
        invoke_timeout: u64,
    }
}

impl Command for CanvasSnapshot {
    fn run(self, cli: &Cli) -> Outcome {
        outcome("canvas snapshot", self.snapshot(cli))
    }
}

impl CanvasSnapshot {
    fn snapshot(&self, cli: &Cli) -> Result<(), String> {
        let format = match self.format.trim().to_lowercase().as_str() {
            "jpg" | "jpeg" => "jpeg",
            "png" => "png",
            _ => return Err(format!("invalid format: {} (expected png|jpg|jpeg)", self.format)),
        };
        let params = without_nulls(json!({"format": format, "maxWidth": self.max_width, "quality": self.quality}));
        let answer = self.calls(cli).invoke(&self.node, "canvas.snapshot", params, Some(self.invoke_timeout))?;
        let media = Media::of(&answer, "canvas.snapshot")?;
        let path = media.save("canvas-snapshot")?;
        if self.json {
            output::json(&json!({"file": {"path": path, "format": media.format}}));
        } else {
            print_media(cli, &path);
        }
        Ok(())
    }
}

nodes_command! {
    /// show the canvas
    pub(in super::super) struct CanvasPresent: 10_000 {
        /// node: id, name or address
        #[argh(option, arg_name = "idOrNameOrIp")]
        node: String,
        /// URL or path to show
        #[argh(option, arg_name = "urlOrPath")]
        target: Option<String>,
        /// left edge
        #[argh(option, arg_name = "px")]
        x: Option<f64>,
        /// top edge
        #[argh(option, arg_name = "px")]
        y: Option<f64>,
        /// width
        #[argh(option, arg_name = "px")]
        width: Option<f64>,
        /// height
        #[argh(option, arg_name = "px")]
        height: Option<f64>,
        /// how long the node may take in milliseconds
        #[argh(option, arg_name = "ms")]
        invoke_timeout: Option<u64>,
    }
}

impl Command for CanvasPresent {
    fn run(self, cli: &Cli) -> Outcome {
        let placement = without_nulls(json!({"x": self.x, "y": self.y, "width": self.width, "height": self.height}));
        let mut params = json!({});
        if let Some(target) = self.target.as_deref().filter(|target| !target.is_empty()) {
            params["url"] = target.into();
        }
        if placement.as_object().is_some_and(|placement| !placement.is_empty()) {
            params["placement"] = placement;
        }
        let answer = self.calls(cli).invoke(&self.node, "canvas.present", params, self.invoke_timeout);
        outcome("canvas present", answer.map(|_| say(self.json, "canvas present ok")))
    }
}

nodes_command! {
    /// hide the canvas
    pub(in super::super) struct CanvasHide: 10_000 {
        /// node: id, name or address
        #[argh(option, arg_name = "idOrNameOrIp")]
        node: String,
        /// how long the node may take in milliseconds
        #[argh(option, arg_name = "ms")]
        invoke_timeout: Option<u64>,
    }
}

impl Command for CanvasHide {
    fn run(self, cli: &Cli) -> Outcome {
        let answer = self.calls(cli).invoke(&self.node, "canvas.hide", Value::Null, self.invoke_timeout);
        outcome("canvas hide", answer.map(|_| say(self.json, "canvas hide ok")))
    }
}

nodes_command! {
    /// show another page in the canvas
    pub(in super::super) struct CanvasNavigate: 10_000 {
        /// URL or path to show
        #[argh(positional, arg_name = "url")]
        page: String,
        /// node: id, name or address
        #[argh(option, arg_name = "idOrNameOrIp")]
        node: String,
        /// how long the node may take in milliseconds
        #[argh(option, arg_name = "ms")]
        invoke_timeout: Option<u64>,
    }
}

impl Command for CanvasNavigate {
    fn run(self, cli: &Cli) -> Outcome {
        let params = json!({"url": self.page});
        let answer = self.calls(cli).invoke(&self.node, "canvas.navigate", params, self.invoke_timeout);
        outcome("canvas navigate", answer.map(|_| say(self.json, "canvas navigate ok")))
    }
}

nodes_command! {
    /// run JavaScript in the canvas
    pub(in super::super) struct CanvasEval: 10_000 {
        /// code to run
        #[argh(positional, arg_name = "js")]
        script: Option<String>,
        /// the same, as an option
        #[argh(option, arg_name = "code")]
        js: Option<String>,
        /// node: id, name or address
        #[argh(option, arg_name = "idOrNameOrIp")]
        node: String,
        /// how long the node may take in milliseconds
        #[argh(option, arg_name = "ms")]
        invoke_timeout: Option<u64>,
    }
}

impl Command for CanvasEval {
    fn run(self, cli: &Cli) -> Outcome {
        outcome("canvas eval", self.eval(cli))
    }
}

impl CanvasEval {
    fn eval(&self, cli: &Cli) -> Result<(), String> {
        let script = self.js.as_ref().or(self.script.as_ref()).filter(|script| !script.is_empty());
        let script = script.ok_or("missing --js or <js>")?;
        let params = json!({"javaScript": script});
        let answer = self.calls(cli).invoke(&self.node, "canvas.eval", params, self.invoke_timeout)?;
        if self.json {
            output::json(&answer);
            return Ok(());
        }
        match &answer["payload"]["result"] {
            Value::String(text) if !text.is_empty() => output::line(text),
            Value::Null | Value::String(_) => output::line("canvas eval ok"),
            result => output::line(&result.to_string()),
        }
        Ok(())
    }
}

nodes_command! {
    /// show A2UI messages in the canvas
    pub(in super::super) struct A2uiPush: 10_000 {
        /// node: id, name or address
        #[argh(option, arg_name = "idOrNameOrIp")]
        node: String,
        /// file of messages, one JSON object per line
        #[argh(option, arg_name = "path")]
        jsonl: Option<PathBuf>,
        /// text to show, in place of a file
        #[argh(option, arg_name = "text")]
        text: Option<String>,
        /// how long the node may take in milliseconds
        #[argh(option, arg_name = "ms")]
        invoke_timeout: Option<u64>,
    }
}

impl Command for A2uiPush {
    fn run(self, cli: &Cli) -> Outcome {
        outcome("canvas a2ui push", self.push(cli))
    }
}

impl A2uiPush {
    fn push(&self, cli: &Cli) -> Result<(), String> {
        let jsonl = match (&self.jsonl, &self.text) {
            (None, Some(text)) => a2ui::of_text(text),
            (Some(path), None) => read_text_capped(path, JSONL_BYTES_MAX)
                .map_err(|error| format!("read {}: {error}", path.display()))?
                .ok_or_else(|| format!("no such file: {}", path.display()))?,
            _ => return Err("provide exactly one of --jsonl or --text".to_owned()),
        };
        let count = a2ui::check(&jsonl)?;
        let params = json!({"jsonl": jsonl});
        self.calls(cli).invoke(&self.node, "canvas.a2ui.pushJSONL", params, self.invoke_timeout)?;
        let plural = if count == 1 { "" } else { "s" };
        say(self.json, &format!("canvas a2ui push ok (v0.8, {count} message{plural})"));
        Ok(())
    }
}

nodes_command! {
    /// forget every A2UI surface of the canvas
    pub(in super::super) struct A2uiReset: 10_000 {
        /// node: id, name or address
        #[argh(option, arg_name = "idOrNameOrIp")]
        node: String,
        /// how long the node may take in milliseconds
        #[argh(option, arg_name = "ms")]
        invoke_timeout: Option<u64>,
    }
}

impl Command for A2uiReset {
    fn run(self, cli: &Cli) -> Outcome {
        let answer = self.calls(cli).invoke(&self.node, "canvas.a2ui.reset", Value::Null, self.invoke_timeout);
        outcome("canvas a2ui reset", answer.map(|_| say(self.json, "canvas a2ui reset ok")))
    }
}

/// compat: with `--json` success is silent.
fn say(is_json: bool, text: &str) {
    if !is_json {
        output::line(text);
    }
}
