//! Services that put recordings into words: OpenAI's interface, which Groq and local servers speak too, Deepgram's, and
//! Gemini's.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Limits, Listener, PROMPT};
use crate::agent::credentials::{self, Credential, Wallet, Wish};
use crate::agent::failover;
use crate::agent::models;
use crate::agent::providers::{ProviderError, document};
use crate::base::secret::Secret;
use crate::base::text::{percent_encoded, unless_blank};
use crate::config::types::{Config, MediaModel};
use crate::net::fetch::Fetch;
use crate::net::form::{Form, Upload};

/// Providers that are looked for a key of, when nobody is configured.
pub(super) const KNOWN: [&str; 4] = ["openai", "groq", "deepgram", "google"];
/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;
const DEEPGRAM_URL: &str = "https://api.deepgram.com/v1";
const DEEPGRAM_KEY: &str = "DEEPGRAM_API_KEY";

/// Whose interface a service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    OpenAi,
    Deepgram,
    Gemini,
}

impl Kind {
    fn of(provider: &str) -> Self {
        match provider {
            "deepgram" => Self::Deepgram,
            "google" => Self::Gemini,
            _ => Self::OpenAi,
        }
    }
}

/// Returns whether a provider is one of those that are known for recordings.
pub(super) fn is_for_audio(provider: &str) -> bool {
    matches!(normal(provider).as_str(), "groq" | "deepgram" | "google")
}

/// Returns whether a provider could be asked.
pub(super) fn can(config: &Config, wallet: &Wallet<'_>, provider: &str) -> bool {
    KNOWN.contains(&provider) && base_url(config, provider).is_some() && keys(wallet, provider, &Wish::Next).is_ok()
}

fn normal(provider: &str) -> String {
    let provider = provider.trim().to_lowercase();
    if provider == "gemini" { "google".to_owned() } else { provider }
}

fn base_url(config: &Config, provider: &str) -> Option<String> {
    models::base_url(config, provider).or_else(|| (provider == "deepgram").then(|| DEEPGRAM_URL.to_owned()))
}

fn keys(wallet: &Wallet<'_>, provider: &str, wish: &Wish) -> Result<Vec<Credential>, String> {
    let found = wallet.keys(provider, wish)?;
    if provider != "deepgram" || found.iter().any(|credential| credential.key.is_some()) {
        return Ok(found);
    }
    // No provider of models, so nobody else looks for its variable.
    let key = std::env::var(DEEPGRAM_KEY).ok().filter(|key| !key.trim().is_empty());
    let key = key.ok_or_else(|| format!("No API key found for provider \"deepgram\": set {DEEPGRAM_KEY}"))?;
    Ok(vec![Credential::of_key(Some(Secret::new(key.trim())))])
}

/// See the module.
pub(super) struct Service<'a> {
    kind: Kind,
    provider: String,
    model: String,
    base_url: String,
    headers: Vec<(String, String)>,
    language: Option<String>,
    prompt: String,
    query: Map<String, Value>,
    keys: Vec<Credential>,
    with: &'a Listener<'a>,
}

impl<'a> Service<'a> {
    /// Puts one together.
    pub(super) fn new(entry: &MediaModel, with: &'a Listener<'a>) -> Result<Self, String> {
        let section = &with.config.tools.media.audio;
        let provider = entry.provider.as_deref().map(normal).filter(|provider| !provider.is_empty());
        let provider = provider.ok_or("it names neither a provider nor a command")?;
        let kind = Kind::of(&provider);
        let text = |own: &Option<String>, shared: &Option<String>| {
            own.as_deref().and_then(unless_blank).or(shared.as_deref().and_then(unless_blank)).map(str::to_owned)
        };
        let url = text(&entry.base_url, &section.base_url).or_else(|| base_url(with.config, &provider));
        let url =
            url.ok_or_else(|| format!("no server of {provider} is known (models.providers.{provider}.baseUrl)"))?;
        let wish = match (&entry.profile, &entry.preferred_profile) {
            (Some(id), _) => Wish::Only(id.clone()),
            (None, Some(id)) => Wish::First(id.clone()),
            (None, None) => Wish::Next,
        };
        let wallet = Wallet::open(with.config, with.paths, with.agent, with.clock.now_ms());
        let keys = match keys(&wallet, &provider, &wish) {
            Ok(keys) => keys,
            // A server of this machine asks for none.
            Err(_) if models::is_local(&url) => vec![Credential::of_key(None)],
            Err(error) => return Err(error),
        };
        let default = match (kind, provider.as_str()) {
            (Kind::Deepgram, _) => "nova-3",
            (Kind::Gemini, _) => "gemini-3-flash-preview",
            (Kind::OpenAi, "groq") => "whisper-large-v3-turbo",
            (Kind::OpenAi, _) => "gpt-4o-mini-transcribe",
        };
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, value) in section.headers.iter().chain(&entry.headers) {
            let name = name.to_lowercase();
            headers.retain(|(its, _)| *its != name);
            headers.push((name, value.clone()));
        }
        let mut query = section.provider_options.get(&provider).cloned().unwrap_or_default();
        query.extend(entry.provider_options.get(&provider).cloned().unwrap_or_default());
        if kind == Kind::Deepgram {
            query.extend(
                section.deepgram.iter().chain(&entry.deepgram).map(|(key, value)| (key.clone(), value.clone())),
            );
        }
        Ok(Self {
            kind,
            model: entry.model.as_deref().and_then(unless_blank).unwrap_or(default).to_owned(),
            base_url: url.trim_end_matches('/').to_owned(),
            headers,
            language: text(&entry.language, &section.language),
            prompt: text(&entry.prompt, &section.prompt).unwrap_or_else(|| PROMPT.to_owned()),
            query,
            keys,
            provider,
            with,
        })
    }

    /// Asks with one credential after the other while these are to blame.
    pub(super) fn ask(&self, file: &Path, mime: Option<&str>, limits: &Limits) -> Result<String, String> {
        let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or("audio");
        let fetch = Fetch::new(&self.with.cancel.within(limits.patience));
        let cooldowns = &self.with.config.auth.cooldowns;
        let said = credentials::each(&self.keys, &fetch, self.with.clock, cooldowns, |credential, has_next| {
            credentials::tries(failover::TRIES_MAX, has_next, &fetch, self.with.rng, || {
                let upload =
                    Upload { field: "file", name, mime: mime.unwrap_or("application/octet-stream"), bytes: &bytes };
                self.once(&upload, credential.key.as_ref(), limits, &fetch)
            })
        });
        said.map_err(|error| match error {
            ProviderError::Cancelled => format!("it took longer than {:.0?}", limits.patience),
            ProviderError::Failed { message, .. } => message,
        })
    }

    fn once(
        &self,
        upload: &Upload<'_>,
        key: Option<&Secret>,
        limits: &Limits,
        fetch: &Fetch,
    ) -> Result<String, ProviderError> {
        let mut headers = self.headers.clone();
        let mut set = |name: &str, value: String| {
            if headers.iter().all(|(its, _)| its != name) {
                headers.push((name.to_owned(), value));
            }
        };
        let (url, body) = match self.kind {
            Kind::OpenAi => {
                let optional = [("language", self.language.clone()), ("prompt", Some(self.prompt.clone()))];
                let optional = optional.into_iter().filter_map(|(name, text)| Some((name, text?)));
                let params = std::iter::once(("model", self.model.clone())).chain(optional);
                let form = Form::new(params, upload, self.with.rng);
                set("content-type", form.content_type());
                key.into_iter().for_each(|key| set("authorization", format!("Bearer {}", key.expose())));
                (format!("{}/audio/transcriptions", self.base_url), form.into_bytes())
            }
            Kind::Deepgram => {
                set("content-type", upload.mime.to_owned());
                key.into_iter().for_each(|key| set("authorization", format!("Token {}", key.expose())));
                (format!("{}/listen?{}", self.base_url, self.deepgram_query()), upload.bytes.to_vec())
            }
            Kind::Gemini => {
                key.into_iter().for_each(|key| set("x-goog-api-key", key.expose().to_owned()));
                let data = json!({"mime_type": upload.mime, "data": STANDARD.encode(upload.bytes)});
                let parts = json!([{"text": self.prompt}, {"inline_data": data}]);
                let body = json!({"contents": [{"role": "user", "parts": parts}]}).to_string().into_bytes();
                (format!("{}/models/{}:generateContent", self.base_url, self.model), body)
            }
        };
        let request = document::Request {
            what: &format!("transcription by {}", self.provider),
            url: &url,
            headers: &headers,
            key,
            silence_max: limits.patience,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let said = document::post(&request, &body, fetch)?;
        self.text(&said).ok_or_else(|| ProviderError::failed("the answer holds no text"))
    }

    fn deepgram_query(&self) -> String {
        let mut pairs = vec![("model".to_owned(), self.model.clone())];
        pairs.extend(self.language.clone().map(|language| ("language".to_owned(), language)));
        for (key, value) in &self.query {
            let key = match key.as_str() {
                "detectLanguage" => "detect_language",
                "smartFormat" => "smart_format",
                key => key,
            };
            pairs.retain(|(its, _)| its != key);
            pairs.push((key.to_owned(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
        }
        let pairs = pairs.iter().map(|(key, value)| format!("{}={}", percent_encoded(key), percent_encoded(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    fn text(&self, said: &Value) -> Option<String> {
        match self.kind {
            Kind::OpenAi => said["text"].as_str().map(str::to_owned),
            Kind::Deepgram => {
                said.pointer("/results/channels/0/alternatives/0/transcript")?.as_str().map(str::to_owned)
            }
            Kind::Gemini => {
                let parts = said.pointer("/candidates/0/content/parts")?.as_array()?.iter();
                let parts: Vec<&str> = parts.filter_map(|part| unless_blank(part["text"].as_str()?)).collect();
                Some(parts.join("\n"))
            }
        }
    }
}
