//! Services that turn texts into vectors: OpenAI's interface, which local servers speak too, and Gemini's.
//!
//! A service is asked with the credentials of its provider, one after the other while these are to blame, as turns of a
//! model are. Texts of the notes go to it; the configuration decides whether there is one. Runs on the thread that asks.

use std::time::Duration;

use serde_json::{Value, json};

use crate::agent::credentials::{self, Credential, Wallet, Wish};
use crate::agent::failover;
use crate::agent::models;
use crate::agent::providers::{ProviderError, document};
use crate::base::clock::Clock;
use crate::base::rng::Rng;
use crate::base::secret::Secret;
use crate::base::text::unless_blank;
use crate::config::types::{AuthCooldowns, Config};
use crate::net::fetch::Fetch;

/// Texts of one request.
pub(super) const BATCH_TEXTS: usize = 64;
/// Longest vector that is taken.
const DIMENSIONS_MAX: usize = 8192;
/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How long a service may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Whose interface a service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `POST /embeddings`.
    OpenAi,
    /// `:embedContent` and `:batchEmbedContents`.
    Gemini,
}

impl Kind {
    /// Returns the name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Gemini => "gemini",
        }
    }

    /// Returns the provider whose credentials it takes.
    pub fn provider(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Gemini => "google",
        }
    }

    pub(super) fn model_default(self) -> &'static str {
        match self {
            Self::OpenAi => "text-embedding-3-small",
            Self::Gemini => "gemini-embedding-001",
        }
    }
}

/// A service that can be asked.
pub struct Service {
    /// Its interface.
    pub kind: Kind,
    /// Its model.
    pub model: String,
    base_url: String,
    headers: Vec<(String, String)>,
    keys: Vec<Credential>,
}

impl Service {
    /// Puts a service together; `remote` is what the configuration says of another server.
    ///
    /// # Errors
    /// A text for people: why it cannot be asked.
    pub fn new(
        kind: Kind,
        model: Option<&str>,
        remote: &Value,
        wallet: &Wallet<'_>,
        config: &Config,
    ) -> Result<Self, String> {
        let text = |key: &str| remote[key].as_str().and_then(unless_blank);
        let base_url = text("baseUrl").map(str::to_owned).or_else(|| models::base_url(config, kind.provider()));
        let base_url = base_url.ok_or_else(|| format!("no server of {} is known", kind.provider()))?;
        let keys = match text("apiKey") {
            Some(key) => vec![Credential::of_key(models::written_key(config, key).map(Secret::new))],
            None => match wallet.keys(kind.provider(), &Wish::Next) {
                Ok(keys) => keys,
                // A server of this machine asks for none.
                Err(_) if models::is_local(&base_url) => vec![Credential::of_key(None)],
                Err(error) => return Err(error),
            },
        };
        let headers = remote["headers"].as_object().into_iter().flatten();
        let headers = headers.filter_map(|(name, value)| Some((name.to_lowercase(), value.as_str()?.to_owned())));
        // Names of models may carry their provider's.
        let model = model.map(|model| model.trim_start_matches("models/")).unwrap_or(kind.model_default());
        let model = model.strip_prefix(kind.provider()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(model);
        Ok(Self {
            kind,
            model: model.to_owned(),
            base_url: base_url.trim_end_matches('/').to_owned(),
            headers: headers.collect(),
            keys,
        })
    }

    /// Returns what tells vectors of one service and model from those of another.
    pub fn label(&self) -> String {
        format!("{}/{} at {}", self.kind.name(), self.model, self.base_url)
    }

    /// Returns the vectors of texts, at most so many as one request takes, in their order.
    ///
    /// # Errors
    /// Why there are none; texts hold no key.
    pub fn embed(
        &self,
        texts: &[&str],
        is_query: bool,
        fetch: &Fetch,
        cooldowns: &AuthCooldowns,
        at: (&dyn Clock, &dyn Rng),
    ) -> Result<Vec<Vec<f32>>, ProviderError> {
        let (clock, rng) = at;
        credentials::each(&self.keys, fetch, clock, cooldowns, |credential, has_next| {
            credentials::tries(failover::TRIES_MAX, has_next, fetch, rng, || {
                self.ask(texts, is_query, credential.key.as_ref(), fetch)
            })
        })
    }

    fn ask(
        &self,
        texts: &[&str],
        is_query: bool,
        key: Option<&Secret>,
        fetch: &Fetch,
    ) -> Result<Vec<Vec<f32>>, ProviderError> {
        let (path, body) = match self.kind {
            Kind::OpenAi => ("embeddings".to_owned(), json!({"model": self.model, "input": texts})),
            Kind::Gemini => {
                let model = format!("models/{}", self.model);
                let purpose = if is_query { "RETRIEVAL_QUERY" } else { "RETRIEVAL_DOCUMENT" };
                let requests: Vec<Value> = texts
                    .iter()
                    .map(|text| json!({"model": model, "content": {"parts": [{"text": text}]}, "taskType": purpose}))
                    .collect();
                (format!("{model}:batchEmbedContents"), json!({"requests": requests}))
            }
        };
        let mut headers: Vec<(String, String)> = Vec::new();
        headers.extend(key.map(|key| match self.kind {
            Kind::OpenAi => ("authorization".to_owned(), format!("Bearer {}", key.expose())),
            Kind::Gemini => ("x-goog-api-key".to_owned(), key.expose().to_owned()),
        }));
        headers.extend(self.headers.iter().cloned());
        let url = format!("{}/{path}", self.base_url);
        let request = document::Request {
            what: &format!("embeddings of {}", self.kind.name()),
            url: &url,
            headers: &headers,
            key,
            silence_max: SILENCE_MAX,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let said = document::post(&request, body.to_string().as_bytes(), fetch)?;
        let vectors = self.vectors(&said);
        if vectors.len() != texts.len() {
            let what =
                format!("embeddings of {}: {} vectors for {} texts", self.kind.name(), vectors.len(), texts.len());
            return Err(ProviderError::failed(what));
        }
        Ok(vectors)
    }

    /// Returns the vectors of an answer; one that is none is left out, which makes their number wrong.
    fn vectors(&self, said: &Value) -> Vec<Vec<f32>> {
        let vector = |value: &Value| {
            let numbers = value.as_array()?.iter().map(|number| number.as_f64().map(|number| number as f32));
            let vector: Vec<f32> = numbers.collect::<Option<_>>()?;
            (1..=DIMENSIONS_MAX).contains(&vector.len()).then_some(vector)
        };
        match self.kind {
            Kind::OpenAi => {
                let mut rows: Vec<&Value> = said["data"].as_array().into_iter().flatten().collect();
                rows.sort_by_key(|row| row["index"].as_u64().unwrap_or(u64::MAX));
                rows.into_iter().filter_map(|row| vector(&row["embedding"])).collect()
            }
            Kind::Gemini => {
                let rows = said["embeddings"].as_array().into_iter().flatten();
                rows.filter_map(|row| vector(&row["values"])).collect()
            }
        }
    }
}
