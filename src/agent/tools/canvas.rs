//! `canvas`: what a node shows on its canvas.

use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::nodes::{invoke, keep, media, node_id};
use super::{Tool, ToolContext, ToolResult, always};
use crate::agent::message::Block;
use crate::base::fs::read_text_capped;
use crate::base::rng::uuid;

/// Largest file of `jsonlPath`.
const JSONL_BYTES_MAX: u64 = 1024 * 1024;

pub(super) const TOOL: Tool = Tool {
    name: "canvas",
    description: "Control a node's canvas: present, hide, navigate, eval, snapshot (shows what is rendered), A2UI.",
    parameters: &[
        ("action", "present|hide|navigate|eval|snapshot|a2ui_push|a2ui_reset*", "What to do"),
        ("gatewayUrl", "string", ""),
        ("gatewayToken", "string", ""),
        ("timeoutMs", "number", ""),
        ("node", "string", "Id, name or address of the node; needed when several are connected"),
        ("target", "string", "What to present"),
        ("x", "number", ""),
        ("y", "number", ""),
        ("width", "number", ""),
        ("height", "number", ""),
        ("url", "string", "For navigate"),
        ("javaScript", "string", "For eval"),
        ("outputFormat", "png|jpg|jpeg", "For snapshot"),
        ("maxWidth", "number", ""),
        ("quality", "number", ""),
        ("delayMs", "number", ""),
        ("jsonl", "string", "For a2ui_push"),
        ("jsonlPath", "string", "For a2ui_push"),
    ],
    is_local: false,
    is_wanted: always,
    run,
};

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let action = args.required("action")?;
    let node = node_id(cx, args.text("node"), true)?;
    let ask = |command: &str, params: Map<String, Value>| invoke(cx, &node, command, params, None);
    let object = |value: Value| value.as_object().cloned().unwrap_or_default();
    match action {
        "present" => {
            let mut params = Map::new();
            if let Some(target) = args.text("target") {
                params.insert("url".to_owned(), target.into());
            }
            let placement = args.only(&["x", "y", "width", "height"]);
            if !placement.is_empty() {
                params.insert("placement".to_owned(), placement.into());
            }
            ask("canvas.present", params)?;
        }
        "hide" => {
            ask("canvas.hide", Map::new())?;
        }
        "navigate" => {
            ask("canvas.navigate", object(json!({"url": args.required("url")?})))?;
        }
        "eval" => {
            let payload = ask("canvas.eval", object(json!({"javaScript": args.required("javaScript")?})))?;
            if let Some(result) = payload["result"].as_str().filter(|result| !result.is_empty()) {
                return Ok(ToolResult::text(result, Some(json!({"result": result}))));
            }
        }
        "snapshot" => {
            let format = if matches!(args.text("outputFormat"), Some("jpg" | "jpeg")) { "jpeg" } else { "png" };
            let mut params = args.only(&["maxWidth", "quality"]);
            params.insert("format".to_owned(), format.into());
            let payload = ask("canvas.snapshot", params)?;
            let (format, base64) = media(&payload, "canvas.snapshot", &["png", "jpg", "jpeg"])?;
            let (extension, mime_type) = if format == "png" { ("png", "image/png") } else { ("jpg", "image/jpeg") };
            let name = format!("clawdbot-canvas-snapshot-{}.{extension}", uuid(&**cx.rng));
            let path = keep(cx, &name, base64, None)?;
            let image = Block::Image { data: base64.to_owned(), mime_type: mime_type.to_owned() };
            let content = vec![Block::text(format!("MEDIA:{}", path.display())), image];
            return Ok(ToolResult { content, details: Some(json!({"format": format, "path": path})), is_error: false });
        }
        "a2ui_push" => {
            let from_file = |given: &str| read_text_capped(&cx.resolve(given), JSONL_BYTES_MAX);
            let jsonl = match (args.text("jsonl"), args.text("jsonlPath")) {
                (Some(jsonl), _) => jsonl.to_owned(),
                (None, Some(given)) => {
                    let text = from_file(given).map_err(|error| format!("read {given}: {error}"))?;
                    text.ok_or_else(|| format!("read {given}: there is no such file"))?
                }
                (None, None) => return Err("jsonl or jsonlPath required".to_owned()),
            };
            ask("canvas.a2ui.pushJSONL", object(json!({"jsonl": jsonl})))?;
        }
        "a2ui_reset" => {
            ask("canvas.a2ui.reset", Map::new())?;
        }
        other => return Err(format!("Unknown action: {other}")),
    }
    Ok(ToolResult::json(json!({"ok": true})))
}
