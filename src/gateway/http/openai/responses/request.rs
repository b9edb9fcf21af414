//! What a request of `POST /v1/responses` may say, and the words for what it may not (http.md §3.2–3.3).
//!
//! The original judges with a schema library, whose words clients may know: the first fault in the order of the fields,
//! `path: issue`. Faults of kind inside `input` are one: `input: Invalid input`. Beside the original's own shapes those that
//! OpenAI's clients send are taken: tools without a `function` around them, messages without a `type`, pictures as
//! `image_url`, and fields that mean nothing here. Pure.

use serde_json::{Map, Value};

use super::super::completions::chosen;
use super::super::conversation::{Conversation, Speaker};
use super::super::media::{self, Source, Wanted};
use super::super::turn;
use crate::agent::run::ClientTool;

/// Fields of the original's schema.
const FIELDS: [&str; 16] = [
    "model",
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "stream",
    "max_output_tokens",
    "max_tool_calls",
    "user",
    "temperature",
    "top_p",
    "metadata",
    "store",
    "previous_response_id",
    "reasoning",
    "truncation",
];
/// Fields that OpenAI's clients may send beside them; nothing here depends on them.
const FIELDS_IGNORED: [&str; 13] = [
    "background",
    "conversation",
    "include",
    "parallel_tool_calls",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "stream_options",
    "text",
    "top_logprobs",
    "context_management",
];

/// A request that may be answered.
#[derive(Debug, Default)]
pub struct Asked {
    /// As sent.
    pub model: String,
    /// Whether events are wanted.
    pub is_stream: bool,
    /// Whose session.
    pub user: Option<String>,
    /// Longest answer.
    pub tokens_max: Option<u64>,
    /// What was said, with instructions.
    pub conversation: Conversation,
    /// Images and files.
    pub wanted: Vec<Wanted>,
    /// The client's tools, as far as its choice leaves them.
    pub tools: Vec<ClientTool>,
}

/// Reads a body.
///
/// # Errors
/// The first fault, in words.
pub fn read(body: &Value) -> Result<Asked, String> {
    let Value::Object(body) = body else {
        return Err(format!(": Invalid input: expected object, received {}", kind(Some(body))));
    };
    let mut asked = Asked { model: required_text(body, "model", "model")?, ..Asked::default() };
    if let Some(text) = optional(body, "instructions", "string", Value::is_string)? {
        asked.conversation.instruct(text.as_str().unwrap_or_default());
    }
    let mut items = Items { faults: Vec::new(), wanted: Vec::new(), conversation: &mut asked.conversation };
    items.input(body.get("input"))?;
    asked.wanted = std::mem::take(&mut items.wanted);
    let tools = tools(body.get("tools"))?;
    judge_choice(body.get("tool_choice"))?;
    asked.is_stream = optional(body, "stream", "boolean", Value::is_boolean)? == Some(&Value::Bool(true));
    asked.tokens_max = positive(body, "max_output_tokens")?;
    positive(body, "max_tool_calls")?;
    asked.user = optional(body, "user", "string", Value::is_string)?.and_then(Value::as_str).map(str::to_owned);
    for name in ["temperature", "top_p"] {
        optional(body, name, "number", Value::is_number)?;
    }
    metadata(body.get("metadata"))?;
    optional(body, "store", "boolean", Value::is_boolean)?;
    optional(body, "previous_response_id", "string", Value::is_string)?;
    if let Some(reasoning) = optional(body, "reasoning", "object", Value::is_object)? {
        option("reasoning.effort", reasoning.get("effort"), &["low", "medium", "high"])?;
        option("reasoning.summary", reasoning.get("summary"), &["auto", "concise", "detailed"])?;
    }
    option("truncation", body.get("truncation"), &["auto", "disabled"])?;
    let unknown = |name: &&String| !FIELDS.contains(&name.as_str()) && !FIELDS_IGNORED.contains(&name.as_str());
    if let Some(fault) = unrecognized(body.keys().filter(unknown)) {
        return Err(format!(": {fault}"));
    }
    let (tools, sentence) = chosen(tools, body.get("tool_choice"))?;
    asked.tools = tools;
    if let Some(sentence) = sentence {
        asked.conversation.instruct(&sentence);
    }
    Ok(asked)
}

/// Returns the kind of a value as the original's words name it.
fn kind(value: Option<&Value>) -> &'static str {
    match value {
        None => "undefined",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "boolean",
        Some(Value::Number(_)) => "number",
        Some(Value::String(_)) => "string",
        Some(Value::Array(_)) => "array",
        Some(Value::Object(_)) => "object",
    }
}

fn unexpected(path: &str, expected: &str, value: Option<&Value>) -> String {
    format!("{path}: Invalid input: expected {expected}, received {}", kind(value))
}

fn required_text(fields: &Map<String, Value>, name: &str, path: &str) -> Result<String, String> {
    let value = fields.get(name);
    value.and_then(Value::as_str).map(str::to_owned).ok_or_else(|| unexpected(path, "string", value))
}

/// Returns a field that may be absent; `null`, which OpenAI's clients send for that, counts as absent.
fn optional<'a>(
    fields: &'a Map<String, Value>,
    name: &str,
    expected: &str,
    is_right: fn(&Value) -> bool,
) -> Result<Option<&'a Value>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) if is_right(value) => Ok(Some(value)),
        value => Err(unexpected(name, expected, value)),
    }
}

fn positive(fields: &Map<String, Value>, name: &str) -> Result<Option<u64>, String> {
    let Some(value) = optional(fields, name, "number", Value::is_number)? else { return Ok(None) };
    let number = value.as_f64().unwrap_or_default();
    if number.fract() != 0.0 {
        return Err(unexpected(name, "int", Some(value)));
    }
    if number <= 0.0 {
        return Err(format!("{name}: Too small: expected number to be >0"));
    }
    Ok(Some(number as u64))
}

fn option(path: &str, value: Option<&Value>, options: &[&str]) -> Result<(), String> {
    match value {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(text)) if options.contains(&text.as_str()) => Ok(()),
        Some(_) => {
            let list: Vec<String> = options.iter().map(|option| format!("\"{option}\"")).collect();
            Err(format!("{path}: Invalid option: expected one of {}", list.join("|")))
        }
    }
}

fn metadata(value: Option<&Value>) -> Result<(), String> {
    match value {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(fields)) => match fields.iter().find(|(_, value)| !value.is_string()) {
            Some((name, value)) => Err(unexpected(&format!("metadata.{name}"), "string", Some(value))),
            None => Ok(()),
        },
        value => Err(unexpected("metadata", "record", value)),
    }
}

fn unrecognized<'a>(names: impl Iterator<Item = &'a String>) -> Option<String> {
    let list: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
    match list.len() {
        0 => None,
        1 => Some(format!("Unrecognized key: {}", list[0])),
        _ => Some(format!("Unrecognized keys: {}", list.join(", "))),
    }
}

fn tools(value: Option<&Value>) -> Result<Vec<ClientTool>, String> {
    let list = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        value => return Err(unexpected("tools", "array", value)),
    };
    let mut tools = Vec::new();
    for (at, tool) in list.iter().enumerate() {
        let path = format!("tools.{at}");
        let Value::Object(fields) = tool else { return Err(unexpected(&path, "object", Some(tool))) };
        if tool["type"] != "function" {
            return Err(format!("{path}.type: Invalid input: expected \"function\""));
        }
        let is_flat = !fields.contains_key("function") && fields.contains_key("name");
        let path_of_function = format!("{path}.function");
        let function = match fields.get("function") {
            _ if is_flat => fields,
            Some(Value::Object(function)) => function,
            value => return Err(unexpected(&path_of_function, "object", value)),
        };
        let inner = if is_flat { path.clone() } else { path_of_function };
        let name = required_text(function, "name", &format!("{inner}.name"))?;
        if name.is_empty() {
            return Err(format!("{inner}.name: Tool name cannot be empty"));
        }
        for (key, expected, is_right) in [
            ("description", "string", Value::is_string as fn(&Value) -> bool),
            ("parameters", "record", Value::is_object),
        ] {
            optional(function, key, expected, is_right).map_err(|fault| format!("{inner}.{fault}"))?;
        }
        if !is_flat && let Some(fault) = unrecognized(fields.keys().filter(|key| *key != "type" && *key != "function"))
        {
            return Err(format!("{path}: {fault}"));
        }
        let description = function.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
        tools.push(ClientTool { name, description, parameters: turn::parameters(function.get("parameters")) });
    }
    Ok(tools)
}

fn judge_choice(value: Option<&Value>) -> Result<(), String> {
    let is_right = match value {
        None | Some(Value::Null) => true,
        Some(Value::String(choice)) => matches!(choice.as_str(), "auto" | "none" | "required"),
        Some(choice) => {
            choice["type"] == "function" && (choice["function"]["name"].is_string() || choice["name"].is_string())
        }
    };
    if is_right { Ok(()) } else { Err("tool_choice: Invalid input".to_owned()) }
}

/// A fault of an item; one of kind hides where it is.
enum Fault {
    Kind,
    At(String),
}

struct Items<'a> {
    faults: Vec<Fault>,
    wanted: Vec<Wanted>,
    conversation: &'a mut Conversation,
}

impl Items<'_> {
    fn input(&mut self, input: Option<&Value>) -> Result<(), String> {
        match input {
            Some(Value::String(text)) => self.conversation.say(Speaker::User, text),
            Some(Value::Array(items)) => {
                for (at, item) in items.iter().enumerate() {
                    self.item(&format!("input.{at}"), item);
                }
            }
            _ => self.faults.push(Fault::Kind),
        }
        if self.faults.iter().any(|fault| matches!(fault, Fault::Kind)) {
            return Err("input: Invalid input".to_owned());
        }
        match self.faults.drain(..).next() {
            Some(Fault::At(fault)) => Err(fault),
            _ => Ok(()),
        }
    }

    fn at(&mut self, fault: String) {
        self.faults.push(Fault::At(fault));
    }

    /// Returns a text that must be there.
    fn text<'v>(&mut self, value: &'v Value) -> &'v str {
        match value.as_str() {
            Some(text) => text,
            None => {
                self.faults.push(Fault::Kind);
                ""
            }
        }
    }

    fn keys(&mut self, path: &str, item: &Value, known: &[&str]) {
        let fields = item.as_object().into_iter().flat_map(Map::keys);
        if let Some(fault) = unrecognized(fields.filter(|key| !known.contains(&key.as_str()))) {
            self.at(format!("{path}: {fault}"));
        }
    }

    fn item(&mut self, path: &str, item: &Value) {
        let kind = item["type"]
            .as_str()
            .or_else(|| item.get("role").filter(|_| item.get("type").is_none()).map(|_| "message"));
        match kind {
            Some("message") => self.message(path, item),
            Some("function_call") => {
                let (name, arguments) = (self.text(&item["name"]), self.text(&item["arguments"]));
                let id = item["call_id"].as_str().or(item["id"].as_str()).unwrap_or_default();
                let line = format!("[called {name} with {arguments} as {id}]");
                self.conversation.say(Speaker::Assistant, &line);
                self.keys(path, item, &["type", "id", "call_id", "name", "arguments", "status", "parsed_arguments"]);
            }
            Some("function_call_output") => {
                let id = self.text(&item["call_id"]).to_owned();
                let output = match &item["output"] {
                    Value::Array(parts) => {
                        parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
                    }
                    output => self.text(output).to_owned(),
                };
                self.conversation.say(Speaker::Tool(Some(id)), &output);
                self.keys(path, item, &["type", "id", "call_id", "output", "status"]);
            }
            Some("reasoning") => {
                self.keys(path, item, &["type", "id", "content", "encrypted_content", "summary", "status"]);
            }
            Some("item_reference") => {
                self.text(&item["id"]);
                self.keys(path, item, &["type", "id"]);
            }
            _ => self.faults.push(Fault::Kind),
        }
    }

    fn message(&mut self, path: &str, item: &Value) {
        let role = item["role"].as_str().unwrap_or_default();
        if !matches!(role, "system" | "developer" | "user" | "assistant") {
            return self.faults.push(Fault::Kind);
        }
        let text = match &item["content"] {
            Value::String(text) => text.clone(),
            Value::Array(parts) => {
                let texts: Vec<String> = parts
                    .iter()
                    .enumerate()
                    .filter_map(|(at, part)| self.part(&format!("{path}.content.{at}"), part))
                    .collect();
                texts.join("\n")
            }
            _ => return self.faults.push(Fault::Kind),
        };
        // What an answer of ours looks like when it is sent back.
        let more: &[&str] = if role == "assistant" {
            &["type", "role", "content", "id", "status"]
        } else {
            &["type", "role", "content"]
        };
        self.keys(path, item, more);
        match role {
            "user" => self.conversation.say(Speaker::User, text.trim()),
            "assistant" => self.conversation.say(Speaker::Assistant, text.trim()),
            _ => self.conversation.instruct(text.trim()),
        }
    }

    /// Reads a part; returns its text.
    fn part(&mut self, path: &str, part: &Value) -> Option<String> {
        match part["type"].as_str() {
            Some("input_text") => {
                self.keys(path, part, &["type", "text"]);
                Some(self.text(&part["text"]).to_owned())
            }
            Some("output_text") => {
                self.keys(path, part, &["type", "text", "annotations", "logprobs", "parsed"]);
                Some(self.text(&part["text"]).to_owned())
            }
            Some("refusal") => Some(self.text(&part["refusal"]).to_owned()),
            Some("input_image") => {
                let source = match part["image_url"].as_str() {
                    Some(url) => self.url(&format!("{path}.image_url"), url),
                    None => self.source(&format!("{path}.source"), &part["source"], true),
                };
                self.keys(path, part, &["type", "source", "image_url", "detail"]);
                self.wanted.extend(source.map(Wanted::Image));
                None
            }
            Some("input_file") => {
                let (source, name) = match (part["file_data"].as_str(), part["file_url"].as_str()) {
                    (Some(data), _) => (Some(Source::of_url(data)), part["filename"].as_str()),
                    (None, Some(url)) => (self.url(&format!("{path}.file_url"), url), part["filename"].as_str()),
                    (None, None) => {
                        let source = self.source(&format!("{path}.source"), &part["source"], false);
                        (source, part["source"]["filename"].as_str())
                    }
                };
                self.keys(path, part, &["type", "source", "file_data", "file_url", "filename"]);
                let name = name.unwrap_or("file").to_owned();
                self.wanted.extend(source.map(|source| Wanted::File { source, name }));
                None
            }
            _ => {
                self.faults.push(Fault::Kind);
                None
            }
        }
    }

    fn url(&mut self, path: &str, url: &str) -> Option<Source> {
        if is_url(url) {
            return Some(Source::of_url(url));
        }
        self.at(format!("{path}: Invalid URL"));
        None
    }

    fn source(&mut self, path: &str, source: &Value, is_image: bool) -> Option<Source> {
        match source["type"].as_str() {
            Some("url") => {
                let url = self.text(&source["url"]).to_owned();
                self.url(&format!("{path}.url"), &url)
            }
            Some("base64") => {
                let media_type = self.text(&source["media_type"]);
                if is_image && !media::IMAGE_TYPES.contains(&media_type) {
                    self.faults.push(Fault::Kind);
                }
                let data = self.text(&source["data"]);
                for (name, text) in [("media_type", media_type), ("data", data)] {
                    if text.is_empty() {
                        self.at(format!("{path}.{name}: Too small: expected string to have >=1 characters"));
                    }
                }
                Some(Source::Data { media_type: media_type.to_owned(), base64: data.to_owned() })
            }
            _ => {
                self.faults.push(Fault::Kind);
                None
            }
        }
    }
}

/// Returns whether a text is a URL with a scheme, and with a host where its scheme has one.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let has_host = || rest.trim_start_matches('/').starts_with(|c: char| !"/?#:".contains(c));
    is_scheme && (!matches!(scheme, "http" | "https" | "ws" | "wss" | "ftp") || has_host())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn fault(body: Value) -> String {
        read(&body).map(|asked| format!("{asked:?}")).expect_err("a fault")
    }

    /// The recorded ones are replayed in `tests/`; these are the rules behind them.
    #[test]
    fn faults_in_the_words_of_the_original() {
        let input = |item: Value| json!({"model": "m", "input": [item]});
        let part = |part: Value| input(json!({"type": "message", "role": "user", "content": [part]}));
        for (body, words) in [
            (json!([]), ": Invalid input: expected object, received array"),
            (json!({"model": 1}), "model: Invalid input: expected string, received number"),
            (json!({"model": "m", "input": "x", "foo": 1}), ": Unrecognized key: \"foo\""),
            (
                json!({"model": "m", "input": "x", "max_output_tokens": 1.5}),
                "max_output_tokens: Invalid input: expected int, received number",
            ),
            (
                json!({"model": "m", "input": "x", "tools": [{"type": "web_search"}]}),
                "tools.0.type: Invalid input: expected \"function\"",
            ),
            (
                json!({"model": "m", "input": "x", "tools": [{"type": "function", "function": {"name": "f"}, "strict": true}]}),
                "tools.0: Unrecognized key: \"strict\"",
            ),
            (
                json!({"model": "m", "input": "x", "truncation": "no"}),
                "truncation: Invalid option: expected one of \"auto\"|\"disabled\"",
            ),
            (
                part(json!({"type": "input_text", "text": "x", "foo": 1})),
                "input.0.content.0: Unrecognized key: \"foo\"",
            ),
            (
                part(
                    json!({"type": "input_image", "source": {"type": "base64", "media_type": "image/png", "data": ""}}),
                ),
                "input.0.content.0.source.data: Too small: expected string to have >=1 characters",
            ),
            (
                part(json!({"type": "input_image", "source": {"type": "url", "url": "http://"}})),
                "input.0.content.0.source.url: Invalid URL",
            ),
            (
                json!({"model": "m", "input": [{"type": "message", "role": "user", "content": "x", "z": 1}, {"type": "zz"}]}),
                "input: Invalid input",
            ),
        ] {
            assert_eq!(fault(body.clone()), words, "{body}");
        }
    }

    #[test]
    fn what_openai_clients_send_is_taken() {
        let asked = read(&json!({
            "model": "m", "stream": null, "parallel_tool_calls": true, "text": {"format": {"type": "text"}},
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true}],
            "tool_choice": {"type": "function", "name": "f"},
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": "data:image/png;base64,eA==", "detail": "auto"}]},
                {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "hm", "annotations": []}]},
                {"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"},
                {"type": "function_call_output", "call_id": "c1", "output": "sun"},
            ],
        }))
        .expect("fine");
        assert_eq!((asked.tools.len(), asked.wanted.len()), (1, 1));
        assert_eq!(
            asked.conversation.prompt().as_deref(),
            Some(
                "[Chat messages since your last reply - for context]\nUser: look\nAssistant: hm\n\
                 Assistant: [called f with {} as c1]\n\n[Current message - respond to this]\nTool:c1: sun"
            )
        );
        assert_eq!(asked.conversation.instructions().as_deref(), Some("You must call the f tool before responding."));
    }
}
