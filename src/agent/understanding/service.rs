//! Services that put recordings into words: OpenAI's interface, which Groq and local servers speak too, Deepgram's, and
//! Gemini's, which watches films as well.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Failure, Interpreter, MB, Task, normal, too_large, wish};
use crate::agent::credentials::{self, Credential, Wallet, Wish};
use crate::agent::failover;
use crate::agent::models;
use crate::agent::providers::{ProviderError, document};
use crate::base::secret::Secret;
use crate::base::text::{percent_encoded, unless_blank};
use crate::config::types::{Config, MediaModel, Medium};
use crate::net::fetch::Fetch;
use crate::net::form::{Form, Upload};

/// Providers that are looked for a key of, when nobody is configured.
pub(super) const KNOWN: [&str; 4] = ["openai", "groq", "deepgram", "google"];
/// Largest film that is sent, whatever is configured: 70 MB in base64.
const FILM_BYTES_MAX: u64 = 70 * MB / 4 * 3;
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

/// Returns whether a provider could be asked.
pub(super) fn can(config: &Config, wallet: &Wallet<'_>, provider: &str) -> bool {
    KNOWN.contains(&provider) && base_url(config, provider).is_some() && keys(wallet, provider, &Wish::Next).is_ok()
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
    keys: Vec<Credential>,
    task: &'a Task<'a>,
    with: &'a Interpreter<'a>,
}

impl<'a> Service<'a> {
    /// Puts one together.
    pub(super) fn new(entry: &MediaModel, task: &'a Task<'a>, with: &'a Interpreter<'a>) -> Result<Self, String> {
        let provider = entry.provider.as_deref().map(normal).filter(|provider| !provider.is_empty());
        let provider = provider.ok_or("it names neither a provider nor a command")?;
        let kind = Kind::of(&provider);
        if task.medium == Medium::Video && kind != Kind::Gemini {
            return Err("it watches no films; google does".to_owned());
        }
        let url = task.options.base_url.clone().or_else(|| base_url(with.config, &provider));
        let url =
            url.ok_or_else(|| format!("no server of {provider} is known (models.providers.{provider}.baseUrl)"))?;
        let wallet = Wallet::open(with.config, with.paths, with.agent, with.clock.now_ms());
        let keys = match keys(&wallet, &provider, &wish(entry)) {
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
        let model = entry.model.as_deref().and_then(unless_blank).unwrap_or(default);
        let full = models::parse_name(with.config, &format!("{provider}/{model}")).map(|name| name.id);
        let of_provider = models::headers(with.config, &provider).into_iter();
        let of_provider = of_provider.map(|(name, value)| (name.to_lowercase(), value));
        let of_provider = of_provider.filter(|(name, _)| !task.options.headers.contains_key(name));
        Ok(Self {
            kind,
            model: full.unwrap_or_else(|| model.to_owned()),
            base_url: url.trim_end_matches('/').to_owned(),
            headers: of_provider.chain(task.options.headers.clone()).collect(),
            keys,
            provider,
            task,
            with,
        })
    }

    /// Asks with one credential after the other while these are to blame.
    pub(super) fn ask(&self) -> Result<String, Failure> {
        let body = self.body()?;
        let fetch = Fetch::new(&self.with.cancel.within(self.task.patience));
        let cooldowns = &self.with.config.auth.cooldowns;
        let said = credentials::each(&self.keys, &fetch, self.with.clock, cooldowns, |credential, has_next| {
            credentials::tries(failover::TRIES_MAX, has_next, &fetch, self.with.rng, || {
                self.once(&body, credential.key.as_ref(), &fetch)
            })
        });
        said.map_err(|error| match error {
            ProviderError::Cancelled => self.task.too_slow(),
            ProviderError::Failed { message, .. } => message.into(),
        })
    }

    fn mime(&self) -> &str {
        self.task.mime.unwrap_or("application/octet-stream")
    }

    /// Returns what is sent, and its type.
    fn body(&self) -> Result<(Option<String>, Vec<u8>), Failure> {
        let task = self.task;
        match self.kind {
            Kind::OpenAi => {
                let name = task.file.file_name().and_then(|name| name.to_str()).unwrap_or("audio");
                let upload = Upload { field: "file", name, mime: self.mime(), bytes: &task.read()? };
                let optional = [("language", task.options.language.clone()), ("prompt", Some(task.prompt.clone()))];
                let optional = optional.into_iter().filter_map(|(name, text)| Some((name, text?)));
                let params = std::iter::once(("model", self.model.clone())).chain(optional);
                let form = Form::new(params, &upload, self.with.rng);
                Ok((Some(form.content_type()), form.into_bytes()))
            }
            Kind::Deepgram => Ok((Some(self.mime().to_owned()), task.read()?)),
            Kind::Gemini => Ok((None, self.gemini_body()?)),
        }
    }

    /// A film is large: it is neither held beside its base64 nor copied.
    fn gemini_body(&self) -> Result<Vec<u8>, Failure> {
        let task = self.task;
        let failed = |error: std::io::Error| format!("{}: {error}", task.file.display());
        let file = std::fs::File::open(task.file).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        if size > FILM_BYTES_MAX {
            return Err(too_large(size, FILM_BYTES_MAX));
        }
        let (prompt, mime) = (json!(task.prompt), json!(self.mime()));
        let head = format!(
            r#"{{"contents":[{{"role":"user","parts":[{{"text":{prompt}}},{{"inline_data":{{"mime_type":{mime},"data":""#
        );
        let mut body = String::with_capacity(head.len() + usize::try_from(size / 3 * 4).unwrap_or_default() + 64);
        body.push_str(&head);
        // Whole groups of three bytes, so that the parts join without padding.
        let mut part = vec![0; 48 * 1024];
        let mut file = file.take(FILM_BYTES_MAX);
        loop {
            let mut len = 0;
            while len < part.len() {
                match file.read(&mut part[len..]).map_err(failed)? {
                    0 => break,
                    read => len += read,
                }
            }
            STANDARD.encode_string(&part[..len], &mut body);
            if len < part.len() {
                break;
            }
        }
        body.push_str(r#""}}]}]}"#);
        Ok(body.into_bytes())
    }

    fn once(
        &self,
        (content_type, body): &(Option<String>, Vec<u8>),
        key: Option<&Secret>,
        fetch: &Fetch,
    ) -> Result<String, ProviderError> {
        let mut headers = self.headers.clone();
        let mut set = |name: &str, value: String| {
            if headers.iter().all(|(its, _)| its != name) {
                headers.push((name.to_owned(), value));
            }
        };
        if let Some(content_type) = content_type {
            set("content-type", content_type.clone());
        }
        let key_text = key.map(Secret::expose);
        let (path, own) = match self.kind {
            Kind::OpenAi => {
                ("audio/transcriptions".to_owned(), key_text.map(|key| ("authorization", format!("Bearer {key}"))))
            }
            Kind::Deepgram => (
                format!("listen?{}", self.deepgram_query()),
                key_text.map(|key| ("authorization", format!("Token {key}"))),
            ),
            Kind::Gemini => (
                format!("models/{}:generateContent", self.model),
                key_text.map(|key| ("x-goog-api-key", key.to_owned())),
            ),
        };
        if let Some((name, value)) = own {
            set(name, value);
        }
        let what = if self.task.medium == Medium::Video { "a description" } else { "transcription" };
        let request = document::Request {
            what: &format!("{what} by {}", self.provider),
            url: &format!("{}/{path}", self.base_url),
            headers: &headers,
            key,
            silence_max: self.task.patience,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let said = document::post(&request, body, fetch)?;
        self.text(&said).ok_or_else(|| ProviderError::failed("the answer holds no text"))
    }

    fn deepgram_query(&self) -> String {
        let options = &self.task.options;
        let mut pairs = vec![("model".to_owned(), self.model.clone())];
        pairs.extend(options.language.clone().map(|language| ("language".to_owned(), language)));
        let query = options.provider_options.get(&self.provider).into_iter().flatten();
        for (key, value) in options.deepgram.iter().chain(query) {
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
