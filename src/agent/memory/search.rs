//! Searching the notes, and conversations where the owner wants it: by words, by meaning where a service is configured, or both.
//!
//! Meaning never stands in the way: a service that fails, is slow or has not seen all notes yet leaves the search by words.
//! New pieces of notes get their vectors during a search, for a bounded time; the rest comes with the next one. Runs on the
//! thread that asks. Not here: how vectors are made (`embeddings`) and kept (`vectors`).

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::embeddings::{BATCH_TEXTS, Kind, Service};
use super::vectors::{VECTORS_MAX, Vectors, name_of, unit};
use super::words::ranked;
use super::{Chunk, chunks, conversations, files};
use crate::agent::credentials::Wallet;
use crate::agent::providers::ProviderError;
use crate::agent::session;
use crate::base::cancel::CancelToken;
use crate::base::clock::Clock;
use crate::base::ids::AgentId;
use crate::base::rng::Rng;
use crate::base::text::{ellipsize, unless_blank};
use crate::config::paths::Paths;
use crate::config::tree;
use crate::config::types::Config;
use crate::net::fetch::Fetch;

/// How long a search may make vectors of new notes, and a whole pass over all of them.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(20);
const INDEX_TIME_MAX: Duration = Duration::from_secs(600);
/// How long a query's own vector may take.
const QUERY_TIME_MAX: Duration = Duration::from_secs(10);
/// Characters of a snippet.
const SNIPPET_CHARS_MAX: usize = 700;
const RESULTS_DEFAULT: usize = 6;
const RESULTS_MAX: usize = 50;
/// Least score of a search by meaning, and the weights of both kinds, when nobody says otherwise.
const SCORE_MIN_DEFAULT: f64 = 0.35;
const VECTOR_WEIGHT_DEFAULT: f64 = 0.7;
const TEXT_WEIGHT_DEFAULT: f64 = 0.3;
/// How many times as many candidates as results are looked at.
const CANDIDATES_DEFAULT: f64 = 4.0;

/// Whose notes are searched, and with what.
pub struct Search<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// Where files are.
    pub paths: &'a Paths,
    /// Whose notes.
    pub agent: &'a AgentId,
    /// Where they are.
    pub workspace: &'a Path,
    /// The conversation that asks, whose latest words are known to it.
    pub session_id: Option<&'a str>,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// Randomness.
    pub rng: &'a dyn Rng,
    /// Stops the search.
    pub cancel: &'a CancelToken,
}

/// What was found.
pub struct Found {
    /// Rows with `path`, `startLine`, `endLine`, `score`, `snippet`, `source`.
    pub results: Vec<Value>,
    /// The service, or `none`.
    pub provider: String,
    /// Its model, or `bm25`.
    pub model: String,
    /// A service that was to be asked and failed, and why.
    pub fallback: Option<(String, String)>,
}

impl Found {
    /// Returns the answer of `memory_search`.
    pub fn to_json(&self) -> Value {
        let mut answer = json!({"results": self.results, "provider": self.provider, "model": self.model});
        if let Some((from, reason)) = &self.fallback {
            answer["fallback"] = json!({"from": from, "reason": reason});
        }
        answer
    }
}

/// How many notes have vectors.
pub struct Indexed {
    /// Notes.
    pub files: usize,
    /// Conversations, where they are searched too.
    pub conversations: usize,
    /// Their pieces.
    pub chunks: usize,
    /// Pieces with vectors.
    pub vectors: usize,
    /// The service, or why there is none.
    pub service: Result<String, String>,
}

/// Returns whether an agent searches its notes.
pub fn is_enabled(config: &Config, agent: &AgentId) -> bool {
    settings(config, agent)["enabled"].as_bool().unwrap_or(true)
}

/// Returns `memorySearch` of an agent over the general one.
fn settings(config: &Config, agent: &AgentId) -> Value {
    let mut merged = config.tree.pointer("/agents/defaults/memorySearch").cloned().unwrap_or_default();
    let own = session::agent_tree(config, agent).map(|it| &it["memorySearch"]);
    if let Some(own) = own.filter(|own| own.is_object()) {
        tree::merge_replacing(&mut merged, own.clone());
    }
    merged
}

/// Why a service gave nothing.
enum Miss {
    Stopped,
    Failed(String),
}

impl From<ProviderError> for Miss {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Cancelled => Self::Failed("it took too long".to_owned()),
            ProviderError::Failed { message, .. } => Self::Failed(message),
        }
    }
}

impl Search<'_> {
    /// Finds pieces of notes, the best first.
    ///
    /// # Errors
    /// When the search was stopped.
    pub fn find(&self, query: &str, count: Option<usize>, least: Option<f64>) -> Result<Found, String> {
        let settings = settings(self.config, self.agent);
        let number = |pointer: &str| settings.pointer(pointer).and_then(Value::as_f64).filter(|it| it.is_finite());
        let count = count.or(number("/query/maxResults").map(|it| it as usize)).unwrap_or(RESULTS_DEFAULT);
        let count = count.clamp(1, RESULTS_MAX);
        let (_, chunks) = self.pieces(&settings);
        let by_words = ranked(&chunks, query);
        let mut fallback = None;
        let services = if chunks.is_empty() { Vec::new() } else { self.services(&settings) };
        for (kind, service) in services {
            let found = service.map_err(Miss::Failed).and_then(|service| {
                let likeness = self.by_meaning(&service, &chunks, query)?;
                Ok((likeness, service))
            });
            match found {
                Ok((likeness, service)) => {
                    let least = least.or(number("/query/minScore")).unwrap_or(SCORE_MIN_DEFAULT);
                    let scores = Mix::of(&settings).scores(&by_words, &likeness, count);
                    return Ok(Found {
                        results: rows(&chunks, scores, least, count),
                        provider: kind.name().to_owned(),
                        model: service.model,
                        fallback,
                    });
                }
                Err(Miss::Stopped) => return Err("the run was stopped".to_owned()),
                Err(Miss::Failed(reason)) => {
                    log::warn!(target: "agent", "notes are not searched by {}: {reason}", kind.name());
                    fallback.get_or_insert((kind.name().to_owned(), reason));
                }
            }
        }
        let results = rows(&chunks, by_words, least.unwrap_or(0.0), count);
        Ok(Found { results, provider: "none".to_owned(), model: "bm25".to_owned(), fallback })
    }

    /// Makes the vectors that are missing; all of them with `force`.
    ///
    /// # Errors
    /// A text for people: why not all are there.
    pub fn index(&self, force: bool) -> Result<Indexed, String> {
        let settings = settings(self.config, self.agent);
        let Some((_, service)) = self.services(&settings).into_iter().next() else { return Ok(self.indexed()) };
        let service = service?;
        let mut vectors = self.vectors(&service);
        if force {
            vectors.keep(&HashSet::new());
        }
        let (_, chunks) = self.pieces(&settings);
        match self.refresh(&service, &mut vectors, &chunks, INDEX_TIME_MAX) {
            Ok(()) => Ok(self.indexed()),
            Err(Miss::Stopped) => Err("it was stopped".to_owned()),
            Err(Miss::Failed(error)) => Err(error),
        }
    }

    /// Returns how many notes have vectors.
    pub fn indexed(&self) -> Indexed {
        let settings = settings(self.config, self.agent);
        let (files, chunks) = self.pieces(&settings);
        let service = self.services(&settings).into_iter().next().map(|(_, service)| service);
        let known = service.as_ref().and_then(|it| it.as_ref().ok()).map(|service| self.vectors(service));
        let names = chunks.iter().map(|chunk| name_of(&chunk.text));
        Indexed {
            files,
            conversations: paths(&chunks, "sessions"),
            vectors: known.map_or(0, |known| names.filter(|name| known.has(name)).count()),
            chunks: chunks.len(),
            service: match service {
                Some(service) => service.map(|service| format!("{}/{}", service.kind.name(), service.model)),
                None => Err("no key of openai or gemini is known".to_owned()),
            },
        }
    }

    /// Returns how many notes there are, and the pieces of all that is searched: notes, then the latest conversations.
    fn pieces(&self, settings: &Value) -> (usize, Vec<Chunk>) {
        let sources = settings["sources"].as_array();
        let names = |name: &str| sources.is_some_and(|sources| sources.iter().any(|source| source == name));
        let has_conversations = names("sessions") && settings["experimental"]["sessionMemory"] == true;
        let notes = if names("memory") || !has_conversations { files(self.workspace) } else { Vec::new() };
        let mut pieces = chunks(&notes);
        if has_conversations {
            let own = self.session_id.map(|id| format!("sessions/{id}.jsonl"));
            let said = conversations::chunks(self.paths, self.agent).into_iter();
            pieces.extend(said.filter(|it| it.is_settled || own.as_ref() != Some(&it.path)));
        } else {
            conversations::forget(self.paths, self.agent);
        }
        (notes.len(), pieces)
    }

    /// Returns the services in the order in which they are asked. Without a choice and without a key there is none.
    fn services(&self, settings: &Value) -> Vec<(Kind, Result<Service, String>)> {
        let wallet = Wallet::open(self.config, self.paths, self.agent, self.clock.now_ms());
        let text = |key: &str| settings[key].as_str().and_then(unless_blank);
        let kind = |name: &str| match name {
            "openai" => Some(Kind::OpenAi),
            "gemini" => Some(Kind::Gemini),
            _ => None,
        };
        let of = |kind: Kind, remote: &Value| (kind, Service::new(kind, text("model"), remote, &wallet, self.config));
        let remote = &settings["remote"];
        match text("provider").unwrap_or("auto") {
            "auto" => [Kind::OpenAi, Kind::Gemini]
                .map(|kind| of(kind, remote))
                .into_iter()
                .find(|(_, it)| it.is_ok())
                .into_iter()
                .collect(),
            name => {
                let lacks = "models inside this process are not built in: run one as a server of this machine, and set \
                             memorySearch.provider to openai and memorySearch.remote.baseUrl to its address";
                let first = kind(name).map_or((Kind::OpenAi, Err(lacks.to_owned())), |kind| of(kind, remote));
                // Another provider's model and server are not this one's.
                let second = text("fallback").and_then(kind).filter(|second| *second != first.0 || first.1.is_err());
                let second = second.map(|kind| (kind, Service::new(kind, None, &Value::Null, &wallet, self.config)));
                [Some(first), second].into_iter().flatten().collect()
            }
        }
    }

    fn vectors(&self, service: &Service) -> Vectors {
        Vectors::open(self.paths.memory_dir().join(format!("{}.vectors.jsonl", self.agent)), &service.label())
    }

    /// Returns how like each piece is to the query, by its place.
    fn by_meaning(&self, service: &Service, chunks: &[Chunk], query: &str) -> Result<HashMap<usize, f64>, Miss> {
        let mut vectors = self.vectors(service);
        self.refresh(service, &mut vectors, chunks, SEARCH_TIME_MAX)?;
        let cancel = self.cancel.within(QUERY_TIME_MAX);
        let asked = self.embed(service, &[query], true, &Fetch::new(&cancel))?;
        let query = unit(asked.first().map(Vec::as_slice).unwrap_or_default());
        let likeness = |(at, chunk): (usize, &Chunk)| Some((at, vectors.likeness(&name_of(&chunk.text), &query)?));
        Ok(chunks.iter().enumerate().filter_map(likeness).collect())
    }

    /// Makes the vectors of new pieces for as long as it may, and forgets those of pieces that are gone.
    fn refresh(
        &self,
        service: &Service,
        vectors: &mut Vectors,
        chunks: &[Chunk],
        within: Duration,
    ) -> Result<(), Miss> {
        let mut names = HashSet::new();
        let mut missing: Vec<(String, &str)> = Vec::new();
        for chunk in chunks.iter().filter(|chunk| chunk.is_settled).take(VECTORS_MAX) {
            let name = name_of(&chunk.text);
            if names.insert(name.clone()) && !vectors.has(&name) {
                missing.push((name, &chunk.text));
            }
        }
        if chunks.len() > VECTORS_MAX {
            log::warn!(target: "agent", "{} pieces of notes are searched by words only", chunks.len() - VECTORS_MAX);
        }
        vectors.keep(&names);
        let cancel = self.cancel.within(within);
        let fetch = Fetch::new(&cancel);
        let mut outcome = Ok(());
        for batch in missing.chunks(BATCH_TEXTS) {
            let texts: Vec<&str> = batch.iter().map(|(_, text)| *text).collect();
            match self.embed(service, &texts, false, &fetch) {
                Ok(made) => batch.iter().zip(made).for_each(|((name, _), vector)| vectors.put(name, &vector)),
                // What there is will do; the next search goes on.
                Err(Miss::Failed(_)) if cancel.is_cancelled() && !self.cancel.is_cancelled() && vectors.len() > 0 => {
                    break;
                }
                Err(miss) => {
                    outcome = Err(miss);
                    break;
                }
            }
        }
        if let Err(error) = vectors.save() {
            log::warn!(target: "agent", "the vectors of {}'s notes are not kept: {error}", self.agent);
        }
        outcome
    }

    fn embed(&self, service: &Service, texts: &[&str], is_query: bool, fetch: &Fetch) -> Result<Vec<Vec<f32>>, Miss> {
        let made = service.embed(texts, is_query, fetch, &self.config.auth.cooldowns, (self.clock, self.rng));
        made.map_err(|error| if self.cancel.is_cancelled() { Miss::Stopped } else { error.into() })
    }
}

/// How words and meaning count.
struct Mix {
    is_hybrid: bool,
    vector: f64,
    text: f64,
    candidates: f64,
}

impl Mix {
    fn of(settings: &Value) -> Self {
        let hybrid = &settings["query"]["hybrid"];
        let share = |name: &str, otherwise: f64| {
            hybrid[name].as_f64().filter(|it| (0.0..=1.0).contains(it)).unwrap_or(otherwise)
        };
        let (vector, text) = (share("vectorWeight", VECTOR_WEIGHT_DEFAULT), share("textWeight", TEXT_WEIGHT_DEFAULT));
        let sum = if vector + text > 0.0 { vector + text } else { 1.0 };
        let candidates = hybrid["candidateMultiplier"].as_f64().unwrap_or(CANDIDATES_DEFAULT).clamp(1.0, 20.0);
        Self { is_hybrid: hybrid["enabled"] != false, vector: vector / sum, text: text / sum, candidates }
    }

    /// Returns the places of pieces with their scores, the best first.
    fn scores(&self, by_words: &[(f64, usize)], likeness: &HashMap<usize, f64>, count: usize) -> Vec<(f64, usize)> {
        let candidates = (count as f64 * self.candidates) as usize;
        let mut by_meaning: Vec<(f64, usize)> =
            likeness.iter().map(|(at, score)| (score.clamp(0.0, 1.0), *at)).collect();
        by_meaning.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        by_meaning.truncate(candidates);
        if !self.is_hybrid {
            return by_meaning;
        }
        let mut scores: HashMap<usize, f64> = by_meaning.iter().map(|(score, at)| (*at, self.vector * score)).collect();
        for (rank, (_, at)) in by_words.iter().take(candidates).enumerate() {
            let score = 1.0 / (1.0 + rank as f64);
            // A piece without a vector has only its words.
            let share = if likeness.contains_key(at) { self.text } else { 1.0 };
            *scores
                .entry(*at)
                .or_insert_with(|| self.vector * likeness.get(at).map_or(0.0, |it| it.clamp(0.0, 1.0))) +=
                share * score;
        }
        let mut scores: Vec<(f64, usize)> = scores.into_iter().map(|(at, score)| (score, at)).collect();
        scores.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scores
    }
}

/// Returns how many files of a source there are pieces of.
fn paths(chunks: &[Chunk], source: &str) -> usize {
    chunks.iter().filter(|chunk| chunk.source == source).map(|chunk| &chunk.path).collect::<HashSet<_>>().len()
}

fn rows(chunks: &[Chunk], scores: Vec<(f64, usize)>, least: f64, count: usize) -> Vec<Value> {
    let shown = scores.into_iter().filter(|(score, _)| *score >= least).take(count);
    let row = |(score, at): (f64, usize)| {
        let chunk = &chunks[at];
        json!({
            "path": chunk.path, "startLine": chunk.start, "endLine": chunk.end, "score": (score * 1000.0).round() / 1000.0,
            "snippet": ellipsize(chunk.text.trim(), SNIPPET_CHARS_MAX), "source": chunk.source,
        })
    };
    shown.map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_meaning_count_by_their_weights() {
        let likeness = HashMap::from([(0, 0.9), (1, 0.2), (2, -0.5)]);
        let by_words = [(0.8, 1), (0.4, 3)];
        let shown = |settings: Value| {
            let scores = Mix::of(&settings).scores(&by_words, &likeness, 6);
            scores.into_iter().map(|(score, at)| (at, (score * 100.0).round() as i64)).collect::<Vec<_>>()
        };
        assert_eq!(shown(json!({})), [(0, 63), (3, 50), (1, 44), (2, 0)]);
        assert_eq!(shown(json!({"query": {"hybrid": {"enabled": false}}})), [(0, 90), (1, 20), (2, 0)]);
        let words = json!({"query": {"hybrid": {"vectorWeight": 0, "textWeight": 0.5}}});
        assert_eq!(shown(words), [(1, 100), (3, 50), (0, 0), (2, 0)]);
    }

    #[test]
    fn an_agents_own_settings_win() {
        let tree = json!({"agents": {
            "defaults": {"memorySearch": {"provider": "gemini", "query": {"maxResults": 3, "minScore": 0.1}}},
            "list": [{"id": "Ops", "memorySearch": {"enabled": false, "query": {"minScore": 0.5}}}],
        }});
        let config = Config { tree, ..Config::default() };
        let own = settings(&config, &AgentId::new("ops"));
        assert_eq!((&own["provider"], &own["query"]), (&json!("gemini"), &json!({"maxResults": 3, "minScore": 0.5})));
        assert!(!is_enabled(&config, &AgentId::new("ops")) && is_enabled(&config, &AgentId::new("main")));
    }
}
