//! `image`: a question about a picture, asked of a model that can see.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, json};

use super::arguments::Arguments;
use super::policy::Subject;
use super::read::image_type;
use super::{Tool, ToolContext, ToolResult};
use crate::agent::credentials::{self, Credential, Wallet};
use crate::agent::failover;
use crate::agent::message::{Block, Content, Message, UserMessage, blocks_text};
use crate::agent::models::{self, Model};
use crate::agent::providers::{self, ProviderError, TurnRequest};
use crate::config::types::ModelRef;
use crate::net::fetch::Fetch;
use crate::net::public::{self, PublicError};

/// What is asked when the model asks nothing.
const PROMPT_DEFAULT: &str = "Describe the image.";
/// Largest picture unless the model says otherwise, and at most, in megabytes.
const MEGABYTES_DEFAULT: f64 = 6.0;
const MEGABYTES_MAX: f64 = 20.0;
/// How long a picture may take to arrive.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// Models that are asked when the configuration names none, if there is a key for them.
const FALLBACKS: [&str; 2] = ["openai/gpt-5-mini", "anthropic/claude-opus-4-5"];

pub(super) const TOOL: Tool = Tool {
    name: "image",
    description: "Look at an image (path, URL or data URL) with a model that can see, and answer a question about it.",
    parameters: &[
        ("prompt", "string", "What to find out"),
        ("image", "string*", "Path, http(s) URL or data URL"),
        ("model", "string", "Which model is asked"),
        ("maxBytesMb", "number", "Largest image, in megabytes"),
    ],
    is_local: true,
    is_wanted: |subject: &Subject<'_>| !candidates(subject, None).is_empty(),
    run,
};

/// Returns the models that may be asked, the first choice first.
fn candidates(subject: &Subject<'_>, wanted: Option<&str>) -> Vec<Model> {
    let mut names: Vec<String> = wanted.map(str::to_owned).into_iter().collect();
    let configured = subject.config.tree.pointer("/agents/defaults/imageModel").cloned();
    let configured = configured.and_then(|value| serde_json::from_value::<ModelRef>(value).ok());
    match &configured {
        Some(ModelRef::Plain(name)) => names.push(name.clone()),
        Some(ModelRef::Chain { primary, fallbacks }) => {
            names.extend(primary.clone());
            names.extend(fallbacks.iter().flatten().cloned());
        }
        None => {
            let (provider, id) = subject.model;
            names.push(format!("{provider}/{id}"));
            names.extend(FALLBACKS.map(str::to_owned));
        }
    }
    let usable = names.iter().filter_map(|name| models::resolve(subject.config, subject.agent, None, Some(name)).ok());
    usable.filter(|model| !model.is_offline() && model.input.iter().any(|kind| kind == "image")).collect()
}

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let given = args.required("image")?;
    let given = given.strip_prefix('@').unwrap_or(given);
    let megabytes = args.number("maxBytesMb").unwrap_or(MEGABYTES_DEFAULT).clamp(0.1, MEGABYTES_MAX);
    let (data, mime_type) = load(cx, given, (megabytes * 1024.0 * 1024.0) as usize)?;
    let blocks = vec![
        Block::text(args.text("prompt").unwrap_or(PROMPT_DEFAULT)),
        Block::Image { data: STANDARD.encode(data), mime_type },
    ];
    let messages = [Message::User(UserMessage { content: Content::Blocks(blocks), timestamp: cx.clock.now_ms() })];
    let fetch = Fetch::new(cx.cancel);
    let mut failures = Vec::new();
    for model in candidates(&cx.subject(), args.text("model")) {
        // Afresh: what failed at the model before may rest now.
        let wallet = Wallet::open(cx.config, cx.paths, cx.agent, cx.clock.now_ms());
        let (wish, _) = wallet.wish_of(cx.entry, &model.provider);
        let keys = match wallet.keys(&model.provider, &wish) {
            Ok(keys) => keys,
            Err(message) => {
                failures.push(format!("{}: {message}", model.label()));
                continue;
            }
        };
        let cooldowns = &cx.config.auth.cooldowns;
        let asked = credentials::each(&keys, &fetch, &**cx.clock, cooldowns, |key, has_next| {
            credentials::tries(failover::TRIES_MAX, has_next, &fetch, &**cx.rng, || {
                ask(cx, &model, key, &messages, &fetch)
            })
        });
        match asked {
            Ok(text) => {
                let details = json!({"model": model.label(), "image": shown(given)});
                return Ok(ToolResult::text(text, Some(details)));
            }
            Err(ProviderError::Cancelled) => return Err("the run was stopped".to_owned()),
            Err(ProviderError::Failed { message, .. }) => failures.push(format!("{}: {message}", model.label())),
        }
    }
    if failures.is_empty() {
        return Err("no model that can see images is configured (agents.defaults.imageModel)".to_owned());
    }
    Err(format!("no model could look at the image: {}", failures.join(" | ")))
}

/// Asks one model with one key.
fn ask(
    cx: &ToolContext<'_>,
    model: &Model,
    credential: &Credential,
    messages: &[Message],
    fetch: &Fetch,
) -> Result<String, ProviderError> {
    let request = TurnRequest {
        model,
        key: credential.key.as_ref(),
        account: credential.account.as_deref(),
        session_id: &cx.entry.session_id,
        system_prompt: "You look at images and answer questions about them.",
        messages,
        tools: &[],
        thinking: "off",
        params: &Map::new(),
    };
    providers::turn(&request, fetch, &**cx.clock, &mut |_: &str| ()).map(|turn| blocks_text(&turn.content))
}

/// A data URL is too long to be shown.
fn shown(given: &str) -> &str {
    if given.starts_with("data:") { "data:" } else { given }
}

fn load(cx: &ToolContext<'_>, given: &str, bytes_max: usize) -> Result<(Vec<u8>, String), String> {
    let too_large = || format!("the image is larger than {bytes_max} bytes (maxBytesMb)");
    if let Some(rest) = given.strip_prefix("data:") {
        let (kind, base64) = rest.split_once(";base64,").ok_or("the data URL is not base64")?;
        let data = STANDARD.decode(base64.trim()).map_err(|_| "the data URL is not base64")?;
        return if data.len() > bytes_max { Err(too_large()) } else { Ok((data, supported(kind)?)) };
    }
    if given.starts_with("http://") || given.starts_with("https://") {
        let answer = public::get(given, &[], FETCH_TIMEOUT, bytes_max, cx.cancel, public::is_public);
        let answer = answer.map_err(|error| match error {
            PublicError::Blocked(what) => format!("Blocked: {what}"),
            PublicError::Failed(error) => format!("the image cannot be fetched: {error}"),
            PublicError::Invalid => "Invalid URL: must be http or https".to_owned(),
            PublicError::Cancelled => "the run was stopped".to_owned(),
        })?;
        if answer.status != 200 {
            return Err(format!("the image cannot be fetched: status {}", answer.status));
        }
        if answer.is_cut {
            return Err(too_large());
        }
        let kind = answer.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        return Ok((answer.body, supported(&kind)?));
    }
    let path = cx.resolve(given.strip_prefix("file://").unwrap_or(given));
    let kind = image_type(&path).ok_or_else(|| format!("{given} is no image (png, jpg, gif, webp)"))?;
    let found = std::fs::metadata(&path).map_err(|error| format!("{given}: {error}"))?;
    if !found.is_file() {
        return Err(format!("{given} is not a regular file"));
    }
    if found.len() > bytes_max as u64 {
        return Err(too_large());
    }
    let data = std::fs::read(&path).map_err(|error| format!("{given}: {error}"))?;
    Ok((data, kind.to_owned()))
}

fn supported(kind: &str) -> Result<String, String> {
    match kind {
        "image/png" | "image/jpeg" | "image/gif" | "image/webp" => Ok(kind.to_owned()),
        other => Err(format!("images of type {other} are not supported (png, jpeg, gif, webp)")),
    }
}
