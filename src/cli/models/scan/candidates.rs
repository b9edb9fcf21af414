//! The free models of OpenRouter: its list, and what there is to say of each.

use std::io::Read as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::PROVIDER;
use crate::agent::models;
use crate::base::cancel::CancelToken;
use crate::base::text::unless_blank;
use crate::cli::Cli;
use crate::cli::exit::Failure;
use crate::net::fetch::Fetch;

/// Largest list that is read.
const LIST_BYTES_MAX: u64 = 16 * 1024 * 1024;
const LIST_TIMEOUT: Duration = Duration::from_secs(30);

/// A free model, and how it did.
#[derive(Debug, Clone, Default)]
pub(super) struct Candidate {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) context: Option<u64>,
    pub(super) answer: Option<u64>,
    pub(super) parameters: usize,
    pub(super) says_tools: bool,
    pub(super) modality: Option<String>,
    pub(super) billions: Option<f64>,
    pub(super) created_at_ms: Option<f64>,
    pub(super) pricing: Value,
    pub(super) tool: Probe,
    pub(super) image: Probe,
}

/// How one try went.
#[derive(Debug, Clone, Default)]
pub(super) struct Probe {
    /// How long it took; `None` when it was not made.
    pub(super) took_ms: Option<u64>,
    pub(super) error: Option<String>,
}

impl Probe {
    pub(super) fn is_ok(&self) -> bool {
        self.took_ms.is_some() && self.error.is_none()
    }

    pub(super) fn to_json(&self) -> Value {
        let mut value = json!({"ok": self.is_ok(), "latencyMs": self.took_ms});
        match &self.error {
            Some(error) => value["error"] = error.as_str().into(),
            None if self.took_ms.is_none() => value["skipped"] = true.into(),
            None => {}
        }
        value
    }

    pub(super) fn shown(&self) -> String {
        match self.took_ms {
            None => "skip".to_owned(),
            Some(_) if self.error.is_some() => "fail".to_owned(),
            Some(ms) => format!("{ms}ms"),
        }
    }
}

impl Candidate {
    pub(super) fn label(&self) -> String {
        format!("{PROVIDER}/{}", self.id)
    }

    pub(super) fn sees(&self) -> bool {
        let modality = self.modality.as_deref().unwrap_or_default().to_lowercase();
        // `text+image->text`: what stands before the arrow goes in.
        modality.split("->").next().unwrap_or_default().contains("image")
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "provider": PROVIDER, "modelRef": self.label(),
            "contextLength": self.context, "maxCompletionTokens": self.answer,
            "supportedParametersCount": self.parameters, "supportsToolsMeta": self.says_tools, "modality": self.modality,
            "inferredParamB": self.billions, "createdAtMs": self.created_at_ms, "pricing": self.pricing, "isFree": true,
            "tool": self.tool.to_json(), "image": self.image.to_json(),
        })
    }
}

/// Reads the provider's list and keeps what costs nothing.
pub(super) fn listed(cli: &Cli) -> Result<Vec<Candidate>, Failure> {
    let base = models::base_url(cli.config(), PROVIDER).unwrap_or_default();
    let url = format!("{}/models", base.trim_end_matches('/'));
    let cancel = CancelToken::new();
    cancel.set_deadline(Instant::now() + LIST_TIMEOUT);
    let failed = |what: String| Failure::error(format!("OpenRouter /models failed: {what}"));
    let fetch = Fetch::new(&cancel);
    let answer = fetch.get(&url, &[("accept".to_owned(), "application/json".to_owned())]);
    let answer = answer.map_err(|error| failed(error.to_string()))?;
    if answer.status != 200 {
        return Err(failed(format!("HTTP {}", answer.status)));
    }
    let mut text = String::new();
    answer.body.take(LIST_BYTES_MAX).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    let list: Value = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
    Ok(list["data"].as_array().into_iter().flatten().filter_map(free).collect())
}

/// Reads one row; `None` when it is none, or costs something.
fn free(row: &Value) -> Option<Candidate> {
    let id = row["id"].as_str().and_then(unless_blank)?;
    let price = |name: &str| match &row["pricing"][name] {
        Value::String(text) => text.trim().parse::<f64>().ok(),
        value => value.as_f64(),
    };
    let is_free = id.ends_with(":free") || (price("prompt") == Some(0.0) && price("completion") == Some(0.0));
    if !is_free {
        return None;
    }
    let name = row["name"].as_str().and_then(unless_blank).unwrap_or(id);
    let parameters: Vec<&str> =
        row["supported_parameters"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let modality = row["modality"].as_str().or(row["architecture"]["modality"].as_str());
    let created = row["created_at"].as_f64().or(row["created"].as_f64()).filter(|at| *at > 0.0);
    let pricing =
        ["prompt", "completion", "request", "image"].map(|name| (name.to_owned(), json!(price(name).unwrap_or(0.0))));
    Some(Candidate {
        id: id.to_owned(),
        name: name.to_owned(),
        context: row["context_length"].as_u64(),
        answer: row["max_completion_tokens"].as_u64().or(row["max_output_tokens"].as_u64()),
        parameters: parameters.len(),
        says_tools: parameters.contains(&"tools"),
        modality: modality.and_then(unless_blank).map(str::to_owned),
        billions: billions(&format!("{id} {name}")),
        created_at_ms: created.map(|at| if at > 1e12 { at } else { at * 1000.0 }),
        pricing: Value::Object(pricing.into_iter().collect()),
        ..Candidate::default()
    })
}

/// Returns the largest size that a name speaks of: `70b`, `a3b`, `1.5b`.
fn billions(text: &str) -> Option<f64> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    let sizes = words.filter_map(|word| {
        let number = word.strip_suffix('b')?;
        let number = number.strip_prefix(|c: char| c.is_ascii_lowercase()).unwrap_or(number);
        number.parse::<f64>().ok().filter(|size| *size > 0.0)
    });
    sizes.fold(None, |largest: Option<f64>, size| Some(largest.map_or(size, |largest| largest.max(size))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_names() {
        for (name, expected) in [
            ("meta-llama/llama-3.3-70b-instruct:free", Some(70.0)),
            ("qwen/qwen3-30b-a3b", Some(30.0)),
            ("google/gemma-3n-e4b-it", Some(4.0)),
            ("tiny 1.5B", Some(1.5)),
            ("z-ai/glm-4.5-air", None),
            ("abb/b", None),
        ] {
            assert_eq!(billions(name), expected, "{name}");
        }
    }

    #[test]
    fn only_what_costs_nothing_is_listed() {
        assert!(free(&json!({"id": "a/b:free"})).is_some());
        assert!(free(&json!({"id": "a/b", "pricing": {"prompt": "0", "completion": 0}})).is_some());
        assert!(free(&json!({"id": "a/b", "pricing": {"prompt": "0.1", "completion": "0"}})).is_none());
        assert!(free(&json!({"id": " "})).is_none());
        let seen = free(&json!({"id": "a/b:free", "architecture": {"modality": "text+image->text"}})).expect("free");
        assert!(seen.sees());
        let paints = free(&json!({"id": "a/b:free", "modality": "text->image"})).expect("free");
        assert!(!paints.sees());
    }
}
