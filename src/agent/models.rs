//! Which model speaks: references, aliases, overrides, fallbacks and keys (agent.md §12).
//!
//! Functions of the configuration, the environment and, where these do not know a provider or its key, the agent's
//! directory; any thread. Not here: speaking to models (`agent::providers`), which of several keys is used
//! (`agent::credentials`), what to do when one fails (`agent::failover`).

mod builtin;
mod catalogue;
mod describe;
mod file;
mod resolver;

use serde_json::{Map, Value};

pub use self::builtin::SPOKEN;
use self::builtin::builtin;
pub use self::describe::{
    Described, Keys, default_name, describe, faults, is_local, keys, needs_no_key, price, providers_of_env,
};
use self::resolver::Resolver;
use crate::agent::session;
use crate::agent::sessions::Entry;
use crate::base::ids::AgentId;
use crate::base::secret::Secret;
use crate::config::types::{Config, ModelCompat, ModelCost, ModelRef, StringMap};

/// Wire format of the built-in agent that answers without a model.
const OFFLINE: &str = "offline";
/// Provider of references that name none.
const PROVIDER_DEFAULT: &str = "anthropic";
/// Context window of models that nobody describes.
pub const CONTEXT_TOKENS_DEFAULT: u64 = 200_000;
/// Smallest context window an agent can work in.
const CONTEXT_TOKENS_MIN: u64 = 16_000;
/// Longest answer of models that nobody describes.
const MAX_TOKENS_DEFAULT: u64 = 8192;

/// A model and how to reach it.
#[derive(Debug, Clone)]
pub struct Model {
    /// Provider id, normalised.
    pub provider: String,
    /// Id sent to the provider.
    pub id: String,
    /// Shown name.
    pub name: String,
    /// Wire format.
    pub api: String,
    /// Base URL; for the OpenAI kinds it includes `/v1`.
    pub base_url: String,
    /// Extra request headers.
    pub headers: StringMap,
    /// Whether the key goes into `Authorization`.
    pub auth_header: bool,
    /// Whether it reasons.
    pub reasoning: bool,
    /// `text`, `image`.
    pub input: Vec<String>,
    /// Price in USD per million tokens.
    pub cost: ModelCost,
    /// Context window in tokens.
    pub context_window: u64,
    /// Largest answer in tokens.
    pub max_tokens: u64,
    /// Deviations of the server.
    pub compat: ModelCompat,
    /// `temperature`, `maxTokens` of `agents.defaults.models`.
    pub params: Map<String, Value>,
}

impl Model {
    /// Returns whether it is the built-in agent that works without any model.
    pub fn is_offline(&self) -> bool {
        self.api == OFFLINE
    }

    /// Returns whether its server is this machine, or beside it.
    pub fn is_local(&self) -> bool {
        describe::is_local(&self.base_url)
    }

    /// Returns whether it takes pictures.
    pub fn sees(&self) -> bool {
        self.input.iter().any(|kind| kind == "image")
    }

    /// Returns its name.
    pub fn name_ref(&self) -> Name {
        Name { provider: self.provider.clone(), id: self.id.clone() }
    }

    /// Returns `provider/id`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.provider, self.id)
    }
}

/// A model's name: provider and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Provider id, normalised.
    pub provider: String,
    /// Id sent to the provider.
    pub id: String,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.provider, self.id)
    }
}

/// Returns the model of a turn: `requested`, else the session's, else the agent's, else the default.
///
/// # Errors
/// A text for the user: what cannot be used and what to do about it.
pub fn resolve(
    config: &Config,
    agent: &AgentId,
    entry: Option<&Entry>,
    requested: Option<&str>,
) -> Result<Model, String> {
    Resolver::of_process(config, Some(agent)).resolve(agent, entry, requested)
}

/// Returns a model by its name, whether or not sessions may choose it.
///
/// # Errors
/// As [`resolve`].
pub fn named(config: &Config, agent: &AgentId, name: &Name) -> Result<Model, String> {
    Resolver::of_process(config, Some(agent)).model(name)
}

/// Returns the models of a turn in the order in which they are tried: the chosen one, then the fallbacks; never empty.
pub fn chain(config: &Config, agent: &AgentId, entry: Option<&Entry>) -> Vec<Result<Model, String>> {
    Resolver::of_process(config, Some(agent)).chain(agent, entry)
}

/// Returns the rows of `models.list`: configured models, those of the environment's keys, and the built-in agent.
pub fn catalog(config: &Config) -> Vec<Value> {
    Resolver::of_process(config, None).catalog()
}

/// Returns the variable of a hosted provider's key and its default model, without the provider; `None` for others.
pub fn key_variable_and_default(provider: &str) -> Option<(&'static str, &'static str)> {
    let found = builtin(provider)?;
    // A token of a subscription may stand before the key.
    let variable = found.env.iter().find(|name| name.ends_with("_API_KEY")).or(found.env.first())?;
    Some((variable, found.model_default))
}

/// Returns the id of a built-in provider's usual model; `None` where there is none.
pub fn default_model(provider: &str) -> Option<&'static str> {
    builtin(provider).map(|found| found.model_default).filter(|model| !model.is_empty())
}

/// Returns what a reference or an alias means; `None` for a blank one.
pub fn parse_name(config: &Config, text: &str) -> Option<Name> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if let Some((provider, id)) = text.split_once('/') {
        let (provider, id) = (normalize_provider(provider), id.trim());
        return (!provider.is_empty() && !id.is_empty()).then(|| Name { id: full_id(&provider, id), provider });
    }
    let of_alias = config.agents.defaults.models.iter().find(|(name, allowed)| {
        name.contains('/') && allowed.alias.as_deref().is_some_and(|alias| alias.trim().eq_ignore_ascii_case(text))
    });
    if let Some((name, _)) = of_alias {
        return parse_name(config, name);
    }
    if text.eq_ignore_ascii_case(OFFLINE) {
        return Some(Name { provider: OFFLINE.to_owned(), id: OFFLINE.to_owned() });
    }
    // A configured model of that id is what is meant, before the original's general default.
    let configured = config.models.providers.iter().find(|(_, provider)| provider.models.iter().any(|m| m.id == text));
    let provider = configured.map_or_else(|| PROVIDER_DEFAULT.to_owned(), |(provider, _)| normalize_provider(provider));
    Some(Name { id: full_id(&provider, text), provider })
}

/// Returns whether a word is the short name of an allowed model.
pub fn is_alias(config: &Config, word: &str) -> bool {
    let mut listed = config.agents.defaults.models.values();
    listed.any(|allowed| allowed.alias.as_deref().is_some_and(|alias| alias.trim().eq_ignore_ascii_case(word.trim())))
}

/// Returns the agent's own choice, without a session's; `None` when the configuration names none.
pub fn configured_name(config: &Config, agent: &AgentId) -> Option<Name> {
    let own = session::agent_entry(config, agent).and_then(|entry| entry.model.as_ref());
    let chosen = own.and_then(ModelRef::primary).filter(|name| !name.trim().is_empty());
    let chosen = chosen.or_else(|| config.agents.defaults.model.as_ref().and_then(ModelRef::primary));
    parse_name(config, chosen?)
}

/// Returns the name of the model of a session's next turn, whether or not it can be used.
pub fn chosen_name(config: &Config, agent: &AgentId, entry: Option<&Entry>) -> Name {
    Resolver::of_process(config, Some(agent)).chosen(agent, entry)
}

/// Returns whether a session may choose the model: everything goes unless `agents.defaults.models` lists some.
pub fn is_allowed(config: &Config, agent: &AgentId, name: &Name) -> bool {
    let listed = &config.agents.defaults.models;
    listed.is_empty()
        || configured_name(config, agent).as_ref() == Some(name)
        || listed.keys().any(|key| parse_name(config, key).as_ref() == Some(name))
}

/// Returns the key of a provider in the environment or the configuration; local servers need none.
///
/// # Errors
/// A text for the user: where a key may stand.
pub fn key(config: &Config, provider: &str) -> Result<Option<Secret>, String> {
    let resolver = Resolver::of_process(config, None);
    resolver.key(provider, resolver.configured_provider(provider))
}

/// Returns where a provider is: the configuration's address, else the built-in one.
pub fn base_url(config: &Config, provider: &str) -> Option<String> {
    Resolver::of_process(config, None).base_url(provider, None).map(str::to_owned)
}

/// Returns what a provider is sent beside the key, as the configuration says.
pub fn headers(config: &Config, provider: &str) -> StringMap {
    let resolver = Resolver::of_process(config, None);
    resolver.configured_provider(provider).map(|provider| provider.headers.clone()).unwrap_or_default()
}

/// Returns the key that the configuration writes as itself, or as the name of an environment variable.
pub fn written_key(config: &Config, text: &str) -> Option<String> {
    Resolver::of_process(config, None).written_key(text)
}

/// Returns the context window to reckon with: `agents.defaults.contextTokens`, else the model's.
pub fn context_tokens(config: &Config, model: Option<&Model>) -> u64 {
    let model = model.map_or(CONTEXT_TOKENS_DEFAULT, |model| model.context_window);
    config.agents.defaults.context_tokens.unwrap_or(model)
}

/// The agent that works without any model.
pub(super) fn offline() -> Model {
    Model {
        provider: OFFLINE.to_owned(),
        id: OFFLINE.to_owned(),
        name: "Offline (no model connected)".to_owned(),
        api: OFFLINE.to_owned(),
        base_url: String::new(),
        headers: StringMap::new(),
        auth_header: false,
        reasoning: false,
        input: vec!["text".to_owned()],
        cost: ModelCost::default(),
        context_window: CONTEXT_TOKENS_DEFAULT,
        max_tokens: MAX_TOKENS_DEFAULT,
        compat: ModelCompat::default(),
        params: Map::new(),
    }
}

/// Returns a provider id in the form in which ids are compared.
pub fn normalize_provider(id: &str) -> String {
    let id = id.trim().to_lowercase();
    match id.as_str() {
        "z.ai" | "z-ai" => "zai".to_owned(),
        "opencode-zen" => "opencode".to_owned(),
        "qwen" => "qwen-portal".to_owned(),
        _ => id,
    }
}

/// Returns the id behind the short forms that the original knows.
fn full_id(provider: &str, id: &str) -> String {
    let full = match (provider, id) {
        ("anthropic", "opus-4.5") => "claude-opus-4-5",
        ("anthropic", "sonnet-4.5") => "claude-sonnet-4-5",
        ("google", "gemini-3-pro") => "gemini-3-pro-preview",
        ("google", "gemini-3-flash") => "gemini-3-flash-preview",
        _ => id,
    };
    full.to_owned()
}
