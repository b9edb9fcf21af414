//! From a name to a model that can be asked: what the configuration says, else the agent's `models.json`, else the
//! catalogue and the table of providers.
//!
//! Reads a file of the agent's directory only where the configuration does not know a provider or has no key for it.

use std::cell::OnceCell;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::builtin::{BUILTIN, COMPLETIONS, OTHER_FORMATS, SPOKEN, builtin, env_names, is_signed_in_to};
use super::catalogue::{self, Listed};
use super::{
    CONTEXT_TOKENS_DEFAULT, CONTEXT_TOKENS_MIN, MAX_TOKENS_DEFAULT, Model, Name, OFFLINE, configured_name, file,
    is_allowed, normalize_provider, offline, parse_name,
};
use crate::agent::sessions::Entry;
use crate::agent::{auth_profiles, session};
use crate::base::ids::AgentId;
use crate::base::secret::Secret;
use crate::base::text::{trimmed, unless_blank};
use crate::config::env;
use crate::config::paths::Paths;
use crate::config::types::{Config, ModelDef, ModelProvider, ModelRef, Models};

/// The configuration with an environment.
pub(super) struct Resolver<'a> {
    pub(super) config: &'a Config,
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// The agent's directory, with more providers and with credentials; tests have none.
    dir: Option<PathBuf>,
    /// `models.json` there, once somebody has asked for it.
    file: OnceCell<Models>,
}

/// A blank variable is none.
pub(super) fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok().and_then(trimmed)
}

impl<'a> Resolver<'a> {
    /// Of an agent; of the default one if none is named.
    pub(super) fn of_process(config: &'a Config, agent: Option<&AgentId>) -> Self {
        let agent = agent.cloned().unwrap_or_else(|| session::default_agent(config));
        let dir = auth_profiles::agent_dir(config, &Paths::from_env(), &agent);
        Self { config, env: &process_env, dir: Some(dir), file: OnceCell::new() }
    }

    /// Of the configuration and the environment alone.
    pub(super) fn without_files(config: &'a Config) -> Self {
        Self { config, env: &process_env, dir: None, file: OnceCell::new() }
    }

    pub(super) fn resolve(
        &self,
        agent: &AgentId,
        entry: Option<&Entry>,
        requested: Option<&str>,
    ) -> Result<Model, String> {
        if let Some(text) = requested.map(str::trim).filter(|text| !text.is_empty()) {
            let name = parse_name(self.config, text).ok_or_else(|| format!("invalid model: {text}"))?;
            if !is_allowed(self.config, agent, &name) {
                return Err(format!("model not allowed: {name}"));
            }
            return self.model(&name);
        }
        self.model(&self.chosen(agent, entry))
    }

    pub(super) fn chain(&self, agent: &AgentId, entry: Option<&Entry>) -> Vec<Result<Model, String>> {
        let mut names = vec![self.chosen(agent, entry)];
        let fallbacks = self.fallbacks(agent).iter().filter_map(|text| parse_name(self.config, text));
        for name in fallbacks.chain(configured_name(self.config, agent)) {
            if is_allowed(self.config, agent, &name) && !names.contains(&name) {
                names.push(name);
            }
        }
        names.iter().map(|name| self.model(name)).collect()
    }

    /// Returns the session's choice; else what the configuration names; else the first provider whose key is in the
    /// environment; else no model at all. A choice that is no longer allowed counts as none.
    pub(super) fn chosen(&self, agent: &AgentId, entry: Option<&Entry>) -> Name {
        let of_session = self.override_of(entry).filter(|name| is_allowed(self.config, agent, name));
        if let Some(name) = of_session.or_else(|| configured_name(self.config, agent)) {
            return name;
        }
        let of_env = BUILTIN.iter().find(|provider| self.env_key(provider.env).is_some());
        let known = of_env.or_else(|| BUILTIN.iter().find(|provider| self.is_signed_in(provider.id)));
        let (provider, id) = known.map_or((OFFLINE, OFFLINE), |provider| (provider.id, provider.model_default));
        Name { provider: provider.to_owned(), id: id.to_owned() }
    }

    fn fallbacks(&self, agent: &AgentId) -> &'a [String] {
        let of = |model: Option<&'a ModelRef>| match model {
            Some(ModelRef::Chain { fallbacks, .. }) => fallbacks.as_deref(),
            Some(ModelRef::Plain(_)) | None => None,
        };
        let own = session::agent_entry(self.config, agent).and_then(|entry| entry.model.as_ref());
        of(own).or_else(|| of(self.config.agents.defaults.model.as_ref())).unwrap_or_default()
    }

    fn override_of(&self, entry: Option<&Entry>) -> Option<Name> {
        let entry = entry?;
        let id = entry.model_override.as_deref().map(str::trim).filter(|id| !id.is_empty())?;
        match entry.provider_override.as_deref().map(normalize_provider).filter(|provider| !provider.is_empty()) {
            Some(provider) => Some(Name { provider, id: id.to_owned() }),
            None => parse_name(self.config, id),
        }
    }

    pub(super) fn model(&self, name: &Name) -> Result<Model, String> {
        if name.provider == OFFLINE {
            return Ok(offline());
        }
        let configured = self.configured_provider(&name.provider);
        let definition = configured.and_then(|provider| provider.models.iter().find(|model| model.id == name.id));
        let listed = self.listed(name);
        let api = self.api(name, configured, definition, listed);
        let Some(api) = api.filter(|api| SPOKEN.contains(api)) else { return Err(self.unsupported(name, api)) };
        let base_url = self
            .base_url(&name.provider, listed.as_ref())
            .ok_or_else(|| format!("model {name} has no server: set models.providers.{}.baseUrl", name.provider))?;
        // Which key it is going to be is decided when the model is asked.
        match self.key(&name.provider, configured) {
            Err(error) if !self.is_signed_in(&name.provider) => return Err(error),
            _ => {}
        }
        self.assemble(name, configured, definition, listed, api, base_url)
    }

    /// Returns where a provider is: the configuration's address, else what the catalogue says of the model, else the built-in
    /// one.
    pub(super) fn base_url(&self, provider: &str, listed: Option<&Listed>) -> Option<&str> {
        let configured = self.configured_provider(provider).and_then(|it| unless_blank(&it.base_url));
        configured.or(listed.map(|listed| listed.base_url)).or_else(|| builtin(provider).map(|it| it.base_url))
    }

    /// Returns what the catalogue knows of a model.
    pub(super) fn listed(&self, name: &Name) -> Option<Listed> {
        let is_replaced = self.config.models.mode.as_deref() == Some("replace");
        catalogue::find(&name.provider, &name.id).filter(|_| !is_replaced)
    }

    /// Returns whether there are credentials of the provider in the agent's directory.
    fn is_signed_in(&self, provider: &str) -> bool {
        let Some(dir) = &self.dir else { return false };
        auth_profiles::read(dir).iter().any(|profile| profile.provider == provider)
    }

    /// Returns the wire format of a model; `None` when nothing is known of its provider.
    pub(super) fn api<'b>(
        &self,
        name: &Name,
        configured: Option<&'b ModelProvider>,
        definition: Option<&'b ModelDef>,
        listed: Option<Listed>,
    ) -> Option<&'b str> {
        let said = definition.and_then(|model| model.api.as_deref());
        let said = said.or_else(|| configured.and_then(|provider| provider.api.as_deref()));
        // A server of one's own under this name is hardly the provider's newest interface.
        let is_own = name.provider == "openai" && configured.is_some_and(|it| !it.base_url.trim().is_empty());
        let known = listed.map(|listed| listed.api).or_else(|| builtin(&name.provider).map(|provider| provider.api));
        said.or(known.filter(|_| !is_own)).or_else(|| configured.is_some().then_some(COMPLETIONS))
    }

    fn assemble(
        &self,
        name: &Name,
        configured: Option<&ModelProvider>,
        definition: Option<&ModelDef>,
        listed: Option<Listed>,
        api: &str,
        base_url: &str,
    ) -> Result<Model, String> {
        let tokens = |value: f64| (value >= 1.0).then_some(value as u64);
        let fallback_window = self.config.agents.defaults.context_tokens.unwrap_or(CONTEXT_TOKENS_DEFAULT);
        let context_window = definition
            .and_then(|model| tokens(model.context_window))
            .or(listed.map(|listed| listed.context_window))
            .unwrap_or(fallback_window);
        if context_window < CONTEXT_TOKENS_MIN {
            return Err(format!(
                "Model context window too small ({context_window} tokens). Minimum is {CONTEXT_TOKENS_MIN}. \
                 Correct contextWindow of {name} under models.providers, or choose another model"
            ));
        }
        let mut headers = configured.map(|provider| provider.headers.clone()).unwrap_or_default();
        headers.extend(definition.map(|model| model.headers.clone()).unwrap_or_default());
        let shown = definition.map(|model| model.name.trim()).filter(|shown| !shown.is_empty());
        let shown = shown.or(listed.map(|listed| listed.name));
        let input = definition.map(|model| model.input.clone()).filter(|input| !input.is_empty());
        let reasoning = definition.map(|model| model.reasoning).or(listed.map(|listed| listed.reasoning));
        let max_tokens = definition.and_then(|model| tokens(model.max_tokens));
        let max_tokens = max_tokens.or(listed.map(|listed| listed.max_tokens));
        let allowed = self.config.agents.defaults.models.iter();
        let params = allowed.filter(|(key, _)| parse_name(self.config, key).as_ref() == Some(name));
        Ok(Model {
            provider: name.provider.clone(),
            id: name.id.clone(),
            name: shown.unwrap_or(&name.id).to_owned(),
            api: api.to_owned(),
            base_url: base_url.trim_end_matches('/').to_owned(),
            headers,
            auth_header: configured.and_then(|provider| provider.auth_header).unwrap_or(api.starts_with("openai-")),
            reasoning: reasoning.unwrap_or_else(|| looks_reasoning(&name.id)),
            input: input.or(listed.map(|listed| listed.input())).unwrap_or_else(|| guess_input(&name.id)),
            cost: definition.map(|model| model.cost).or(listed.map(|listed| listed.cost)).unwrap_or_default(),
            context_window,
            max_tokens: max_tokens.unwrap_or_else(|| MAX_TOKENS_DEFAULT.min(context_window)),
            compat: definition.map(|model| model.compat.clone()).unwrap_or_default(),
            params: params.map(|(_, allowed)| allowed.params.clone()).next().unwrap_or_default(),
        })
    }

    /// Returns the key of a provider: environment, then configuration. Only hosted built-in providers must have one.
    pub(super) fn key(&self, provider: &str, configured: Option<&ModelProvider>) -> Result<Option<Secret>, String> {
        let names = env_names(provider);
        let written = configured.and_then(|provider| provider.api_key.as_deref()).map(str::trim);
        let written = written.filter(|text| !text.is_empty());
        let key = self.env_key(names).or_else(|| written.and_then(|text| self.written_key(text)));
        let is_own = configured.is_some_and(|provider| !provider.base_url.trim().is_empty());
        let needs_key = written.is_some() || ((!names.is_empty() || is_signed_in_to(provider)) && !is_own);
        match key {
            Some(key) => Ok(Some(Secret::new(key))),
            None if !needs_key => Ok(None),
            None => {
                let hint = match written.and_then(env_name) {
                    Some(name) => {
                        format!("set the environment variable {name}, which models.providers.{provider}.apiKey names")
                    }
                    None if names.is_empty() => {
                        format!("sign in with: clawdbot models auth login --provider {provider}")
                    }
                    None => format!(
                        "set {} or models.providers.{provider}.apiKey, then start the gateway again, or store one with: \
                         clawdbot models auth paste-token --provider {provider}",
                        names.join(" or ")
                    ),
                };
                Err(format!("No API key found for provider \"{provider}\": {hint}"))
            }
        }
    }

    /// Returns the key that is written as itself, or as the name of an environment variable.
    pub(super) fn written_key(&self, text: &str) -> Option<String> {
        match env_name(text) {
            Some(name) => self.var(name).or_else(|| {
                // Capitals alone may be a key; a name says what it names.
                let is_name =
                    text.starts_with("${") || ["_KEY", "_TOKEN", "_SECRET"].iter().any(|end| name.ends_with(end));
                (!is_name).then(|| text.to_owned())
            }),
            None => Some(text.to_owned()),
        }
    }

    fn env_key(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.var(name))
    }

    fn var(&self, name: &str) -> Option<String> {
        env::lookup(self.config, self.env, name)
    }

    /// Returns what the configuration says of a provider; else what the agent's `models.json` does.
    pub(super) fn configured_provider(&self, id: &str) -> Option<&ModelProvider> {
        let of = |models: &'_ Models| -> Option<String> {
            models.providers.keys().find(|name| normalize_provider(name) == id).cloned()
        };
        let config = &self.config.models;
        if let Some(name) = of(config) {
            return config.providers.get(&name);
        }
        if id == OFFLINE || config.mode.as_deref() == Some("replace") {
            return None;
        }
        let file = self.file.get_or_init(|| self.dir.as_deref().map(file::read).unwrap_or_default());
        of(file).and_then(|name| file.providers.get(&name))
    }

    fn unsupported(&self, name: &Name, api: Option<&str>) -> String {
        let Name { provider, .. } = name;
        let of_provider = OTHER_FORMATS.iter().find(|(id, _)| id == provider).map(|(_, api)| *api);
        let what = match api.or(of_provider) {
            Some(api) => format!("model {name} uses the wire format \"{api}\", which this version does not speak yet"),
            None => format!("Unknown model: {name}; nothing is known of provider \"{provider}\""),
        };
        format!(
            "{what}. Built in are {}. Choose one with: clawdbot config set agents.defaults.model.primary provider/model, or \
             add a server under models.providers with baseUrl, models and api ({})",
            BUILTIN.iter().map(|provider| provider.id).collect::<Vec<_>>().join(", "),
            SPOKEN.join(", ")
        )
    }

    pub(super) fn catalog(&self) -> Vec<Value> {
        let mut rows: Vec<Value> = Vec::new();
        let mut add = |row: Value| {
            if !rows.iter().any(|known| known["id"] == row["id"] && known["provider"] == row["provider"]) {
                rows.push(row);
            }
        };
        for (id, provider) in &self.config.models.providers {
            let provider_id = normalize_provider(id);
            for model in provider.models.iter().filter(|model| !model.id.trim().is_empty()) {
                let name = if model.name.trim().is_empty() { &model.id } else { &model.name };
                let window =
                    if model.context_window >= 1.0 { model.context_window as u64 } else { CONTEXT_TOKENS_DEFAULT };
                add(json!({
                    "id": model.id, "name": name, "provider": provider_id, "contextWindow": window,
                    "reasoning": model.reasoning,
                    "input": if model.input.is_empty() { vec!["text".to_owned()] } else { model.input.clone() },
                }));
            }
        }
        let defaults = &self.config.agents.defaults;
        let mut named: Vec<&str> = defaults.model.as_ref().and_then(ModelRef::primary).into_iter().collect();
        if let Some(ModelRef::Chain { fallbacks: Some(fallbacks), .. }) = &defaults.model {
            named.extend(fallbacks.iter().map(String::as_str));
        }
        named.extend(defaults.models.keys().map(String::as_str));
        named.extend(self.config.agents.list.iter().filter_map(|agent| agent.model.as_ref()?.primary()));
        // Providers that can be used bring all that is known of them.
        let usable =
            BUILTIN.iter().filter(|provider| self.env_key(provider.env).is_some() || self.is_signed_in(provider.id));
        let usable: Vec<Name> = usable
            .flat_map(|provider| {
                let name = |id: &str| Name { provider: provider.id.to_owned(), id: id.to_owned() };
                let is_replaced = self.config.models.mode.as_deref() == Some("replace");
                let listed = if is_replaced { Vec::new() } else { catalogue::of(provider.id) };
                listed.iter().map(|listed| name(listed.id)).chain([name(provider.model_default)]).collect::<Vec<_>>()
            })
            .collect();
        let names: Vec<Name> = named.iter().filter_map(|text| parse_name(self.config, text)).chain(usable).collect();
        for model in names.iter().filter_map(|name| self.model(name).ok()).chain([offline()]) {
            add(json!({
                "id": model.id, "name": model.name, "provider": model.provider, "contextWindow": model.context_window,
                "reasoning": model.reasoning, "input": model.input,
            }));
        }
        let order = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_lowercase();
        rows.sort_by_key(|row| (order(row, "provider"), order(row, "name")));
        rows
    }
}

/// Returns the variable's name when the text is one: `NAME` or `${NAME}`.
fn env_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    let is_upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (name.starts_with(|c: char| c.is_ascii_uppercase()) && name.bytes().all(is_upper)).then_some(name)
}

/// Guesses whether a model that nobody described reasons.
fn looks_reasoning(id: &str) -> bool {
    let id = id.rsplit('/').next().unwrap_or(id).to_lowercase();
    ["gpt-5", "o1", "o3", "o4", "gpt-oss"].iter().any(|start| id.starts_with(start))
        || id.contains("reasoning")
        || id.contains("thinking")
}

/// Guesses what a model that nobody described takes.
pub(super) fn guess_input(id: &str) -> Vec<String> {
    let id = id.rsplit('/').next().unwrap_or(id);
    let sees = ["gpt-4o", "gpt-4.1", "gpt-5", "o3", "o4", "claude", "gemini", "MiniMax-VL"];
    let sees = sees.iter().any(|start| id.starts_with(start));
    let kinds: &[&str] = if sees { &["text", "image"] } else { &["text"] };
    kinds.iter().map(|kind| (*kind).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(value: Value) -> Config {
        serde_json::from_value(value).expect("configuration")
    }

    fn with<R>(config: &Config, vars: &[(&str, &str)], test: impl FnOnce(&Resolver<'_>) -> R) -> R {
        let env = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        test(&Resolver { config, env: &env, dir: None, file: OnceCell::new() })
    }

    fn mock() -> Config {
        config(json!({
            "models": {"providers": {"Mock": {"baseUrl": "http://127.0.0.1:9/v1/", "apiKey": "k", "models": [
                {"id": "m1", "name": "M1", "contextWindow": 32000, "maxTokens": 2048},
                {"id": "tiny", "contextWindow": 4096},
            ]}}},
            "agents": {
                "defaults": {"model": {"primary": "mock/m1", "fallbacks": ["fast", "anthropic/x"]},
                    "models": {"mock/m1": {"params": {"temperature": 0}}, "openai/gpt-5-mini": {"alias": "Fast"}}},
                "list": [{"id": "main"}, {"id": "ops", "model": {"primary": "offline", "fallbacks": []}}],
            },
        }))
    }

    #[test]
    fn the_environment_decides_when_nothing_is_configured() {
        let main = AgentId::new("main");
        let empty = Config::default();
        let label = |vars: &[(&str, &str)]| {
            with(&empty, vars, |resolver| resolver.resolve(&main, None, None).map(|model| model.label()))
        };
        assert_eq!(label(&[]).as_deref(), Ok("offline/offline"));
        assert_eq!(label(&[("OPENROUTER_API_KEY", "k")]).as_deref(), Ok("openrouter/openai/gpt-5-mini"));
        assert_eq!(label(&[("OPENAI_API_KEY", "k"), ("GROQ_API_KEY", "k")]).as_deref(), Ok("openai/gpt-5-mini"));
    }

    #[test]
    fn sessions_choose_among_the_allowed() {
        let config = mock();
        let main = AgentId::new("main");
        with(&config, &[("OPENAI_API_KEY", "k")], |resolver| {
            let entry = |provider: &str, id: &str| Entry {
                provider_override: Some(provider.into()),
                model_override: Some(id.into()),
                ..Entry::default()
            };
            let label =
                |entry: Option<&Entry>, requested| resolver.resolve(&main, entry, requested).map(|model| model.label());
            assert_eq!(label(None, None).as_deref(), Ok("mock/m1"));
            assert_eq!(label(Some(&entry("openai", "gpt-5-mini")), None).as_deref(), Ok("openai/gpt-5-mini"));
            assert_eq!(label(Some(&entry("openai", "gpt-4")), None).as_deref(), Ok("mock/m1"));
            assert_eq!(label(None, Some("FAST")).as_deref(), Ok("openai/gpt-5-mini"));
            assert_eq!(label(None, Some("openai/gpt-4")), Err("model not allowed: openai/gpt-4".into()));
            let model = resolver.resolve(&main, None, None).expect("model");
            assert_eq!((model.context_window, model.max_tokens), (32_000, 2048));
            assert_eq!(model.base_url, "http://127.0.0.1:9/v1");
            assert_eq!(model.params["temperature"], 0);
        });
    }

    #[test]
    fn chains_follow_the_agent() {
        let config = mock();
        let labels = |agent: &str| -> Vec<String> {
            with(&config, &[("OPENAI_API_KEY", "k")], |resolver| {
                let models = resolver.chain(&AgentId::new(agent), None);
                models.into_iter().map(|model| model.map_or_else(|error| error, |model| model.label())).collect()
            })
        };
        assert_eq!(labels("main"), ["mock/m1", "openai/gpt-5-mini"]);
        assert_eq!(labels("ops"), ["offline/offline"]);
    }

    #[test]
    fn errors_say_what_to_do() {
        let config = mock();
        let error = |name: &str| {
            with(&config, &[], |resolver| {
                resolver.model(&parse_name(&config, name).expect("name")).expect_err("no model")
            })
        };
        for (name, part) in [
            ("claude-opus-4-5", "set ANTHROPIC_OAUTH_TOKEN or ANTHROPIC_API_KEY"),
            ("amazon-bedrock/x", "bedrock-converse-stream"),
            ("nobody/x", "Unknown model: nobody/x"),
            ("openai/gpt-5-mini", "set OPENAI_API_KEY"),
            ("mock/tiny", "Model context window too small (4096 tokens). Minimum is 16000."),
        ] {
            assert!(error(name).contains(part), "{}", error(name));
        }
    }

    #[test]
    fn keys_may_be_names() {
        let config = Config::default();
        with(&config, &[("MY_KEY", "secret")], |resolver| {
            for (written, key) in
                [("MY_KEY", Some("secret")), ("${MY_KEY}", Some("secret")), ("OTHER_KEY", None), ("sk-1", Some("sk-1"))]
            {
                assert_eq!(resolver.written_key(written).as_deref(), key, "{written}");
            }
        });
    }

    #[test]
    fn the_catalogue_lists_what_can_be_used() {
        let config = mock();
        let rows = with(&config, &[], |resolver| resolver.catalog());
        let names: Vec<String> =
            rows.iter().map(|row| format!("{}/{}", row["provider"], row["id"]).replace('"', "")).collect();
        assert_eq!(names, ["mock/m1", "mock/tiny", "offline/offline"]);
        assert_eq!(
            rows[0],
            json!({"id": "m1", "name": "M1", "provider": "mock", "contextWindow": 32000, "reasoning": false, "input": ["text"]})
        );
    }
}
