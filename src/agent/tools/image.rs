//! `image`: a question about a picture, asked of a model that can see.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::arguments::Arguments;
use super::policy::Subject;
use super::read::image_type;
use super::{Tool, ToolContext, ToolResult};
use crate::agent::credentials::Wallet;
use crate::agent::looking::{self, PROMPT, Question};
use crate::agent::models::{self, Model};
use crate::agent::providers::ProviderError;
use crate::net::fetch::Fetch;
use crate::net::public::{self, PublicError};

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
    names.extend(looking::configured(subject.config).unwrap_or_else(|| {
        let (provider, id) = subject.model;
        std::iter::once(format!("{provider}/{id}")).chain(FALLBACKS.map(str::to_owned)).collect()
    }));
    let usable = names.iter().filter_map(|name| models::resolve(subject.config, subject.agent, None, Some(name)).ok());
    usable.filter(|model| !model.is_offline() && model.sees()).collect()
}

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let given = args.required("image")?;
    let given = given.strip_prefix('@').unwrap_or(given);
    let megabytes = args.number("maxBytesMb").unwrap_or(MEGABYTES_DEFAULT).clamp(0.1, MEGABYTES_MAX);
    let (data, mime_type) = load(cx, given, (megabytes * 1024.0 * 1024.0) as usize)?;
    let picture = (args.text("prompt").unwrap_or(PROMPT), data.as_slice(), mime_type.as_str());
    let question = Question::new(cx.config, (&**cx.clock, &**cx.rng), &cx.entry.session_id, picture, None);
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
        match question.ask(&model, &keys, &fetch) {
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
