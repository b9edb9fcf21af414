//! What is known of a model that the configuration names, whether or not it can be used: for lists and status reports.
//!
//! Pure functions of the configuration and the environment. Not here: choosing and reaching models (`agent::models`).

use serde_json::Value;

use super::builtin::{BUILTIN, SPOKEN, env_names};
use super::resolver::{Resolver, guess_input, process_env};
use super::{CONTEXT_TOKENS_DEFAULT, Name, OFFLINE, catalog, catalogue, is_allowed, offline, parse_name};
use crate::base::ids::AgentId;
use crate::base::secret::Secret;
use crate::config::types::{Config, ModelCost};

/// A model for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Its shown name.
    pub shown: String,
    /// `text`, `image`.
    pub input: Vec<String>,
    /// Context window in tokens.
    pub context_window: u64,
    /// Whether its server is this machine, or beside it.
    pub is_local: bool,
}

/// The keys there are for a provider.
#[derive(Debug, Default)]
pub struct Keys {
    /// The variable that holds one, and what it holds.
    pub env: Option<(&'static str, Secret)>,
    /// The one of the configuration.
    pub configured: Option<Secret>,
}

/// Describes a model; `None` when this version cannot speak to it.
pub fn describe(config: &Config, name: &Name) -> Option<Described> {
    Resolver::of_process(config, None).describe(name)
}

/// Returns the keys for a provider.
pub fn keys(config: &Config, provider: &str) -> Keys {
    Resolver::of_process(config, None).keys(provider)
}

/// Returns whether a provider's models work without a key.
pub fn needs_no_key(config: &Config, provider: &str) -> bool {
    let resolver = Resolver::of_process(config, None);
    provider == OFFLINE || resolver.key(provider, resolver.configured_provider(provider)).is_ok_and(|key| key.is_none())
}

/// Returns the built-in providers whose key is in the environment.
pub fn providers_of_env() -> Vec<&'static str> {
    let all = BUILTIN.iter().map(|builtin| builtin.id);
    all.filter(|provider| env_names(provider).iter().any(|name| process_env(name).is_some())).collect()
}

/// Says what speaks against a model that the setting called `key` names; nothing where it is blank or good.
pub fn faults(config: &Config, agent: &AgentId, key: &str, text: &str) -> Vec<String> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    let Some(name) = parse_name(config, text) else { return vec![format!("{key} \"{text}\" could not be resolved")] };
    let mut faults = Vec::new();
    if !is_allowed(config, agent, &name) {
        faults.push(format!("{key} \"{name}\" not in agents.defaults.models allowlist (will use primary instead)"));
    }
    let is_row = |row: &Value| row["provider"] == name.provider && row["id"] == name.id;
    if catalogue::find(&name.provider, &name.id).is_none() && !catalog(config).iter().any(is_row) {
        faults.push(format!("{key} \"{name}\" not in the model catalog (may fail at runtime)"));
    }
    faults
}

/// Returns the model of an agent's sessions that chose none.
pub fn default_name(config: &Config, agent: &AgentId) -> Name {
    Resolver::of_process(config, Some(agent)).chosen(agent, None)
}

/// Returns a model's price per million tokens: the configured one, else the catalogue's.
pub fn price(config: &Config, provider: &str, model: &str) -> Option<ModelCost> {
    let (provider, model) = (super::normalize_provider(provider), model.trim());
    // Asked for every entry of many transcripts: no file is read for it.
    let resolver = Resolver::without_files(config);
    let configured = resolver.configured_provider(&provider);
    let configured = configured.and_then(|provider| provider.models.iter().find(|definition| definition.id == model));
    configured.map(|definition| definition.cost).or_else(|| catalogue::find(&provider, model).map(|listed| listed.cost))
}

impl Resolver<'_> {
    fn describe(&self, name: &Name) -> Option<Described> {
        if name.provider == OFFLINE {
            let model = offline();
            let context_window = model.context_window;
            return Some(Described { shown: model.name, input: model.input, context_window, is_local: true });
        }
        let configured = self.configured_provider(&name.provider);
        let definition = configured.and_then(|provider| provider.models.iter().find(|model| model.id == name.id));
        let listed = self.listed(name);
        self.api(name, configured, definition, listed).filter(|api| SPOKEN.contains(api))?;
        let given = definition.map(|model| model.name.trim()).filter(|shown| !shown.is_empty());
        let given = given.or(listed.map(|listed| listed.name));
        let window = definition.map_or(0.0, |model| model.context_window);
        let window_default = self.config.agents.defaults.context_tokens.unwrap_or(CONTEXT_TOKENS_DEFAULT);
        let window_default = listed.map_or(window_default, |listed| listed.context_window);
        let input = definition.map(|model| model.input.clone()).filter(|input| !input.is_empty());
        let url = self.base_url(&name.provider, listed.as_ref());
        Some(Described {
            shown: given.unwrap_or(&name.id).to_owned(),
            input: input.or(listed.map(|listed| listed.input())).unwrap_or_else(|| guess_input(&name.id)),
            context_window: if window >= 1.0 { window as u64 } else { window_default },
            is_local: is_local(url.unwrap_or_default()),
        })
    }

    fn keys(&self, provider: &str) -> Keys {
        let env = env_names(provider).iter().find_map(|name| Some((*name, Secret::new((self.env)(name)?))));
        let written =
            self.configured_provider(provider).and_then(|provider| provider.api_key.as_deref()).map(str::trim);
        let configured = written.filter(|text| !text.is_empty()).and_then(|text| self.written_key(text));
        Keys { env, configured: configured.map(Secret::new) }
    }
}

/// Returns whether a URL means this machine or one of its network.
pub fn is_local(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let host = host.to_ascii_lowercase();
    matches!(host.as_str(), "localhost" | "127.0.0.1" | "0.0.0.0" | "::1") || host.ends_with(".local")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::models::parse_name;
    use serde_json::json;

    #[test]
    fn models_are_described_whether_or_not_they_can_be_used() {
        let config: Config = serde_json::from_value(json!({
            "models": {"providers": {
                "Mock": {"baseUrl": "http://127.0.0.1:9/v1/", "models": [{"id": "m1", "name": "M1", "contextWindow": 32000,
                    "cost": {"input": 3}}]},
                "other": {"baseUrl": "https://x.example", "api": "anthropic-messages", "apiKey": "k", "models": []},
            }},
        }))
        .expect("configuration");
        let of = |text: &str| describe(&config, &parse_name(&config, text).expect("name"));
        let mock = of("mock/m1").expect("known");
        assert_eq!((mock.shown.as_str(), mock.context_window, mock.is_local), ("M1", 32_000, true));
        assert_eq!(of("openai/gpt-5").map(|it| (it.is_local, it.input.len())), Some((false, 2)));
        assert!(of("offline").is_some_and(|it| it.is_local));
        assert_eq!(of("anthropic/claude-opus-4-5").map(|it| it.context_window), Some(200_000));
        for unusable in ["amazon-bedrock/x", "google-antigravity/x", "nobody/x"] {
            assert_eq!(of(unusable), None, "{unusable}");
        }
        assert!(needs_no_key(&config, "mock") && needs_no_key(&config, "ollama") && !needs_no_key(&config, "other"));
        assert_eq!(price(&config, "mock", "m1").map(|cost| cost.input), Some(3.0));
        assert!(price(&config, "mock", "m2").is_none() && price(&config, "nobody", "m1").is_none());
        assert!(keys(&config, "other").configured.is_some() && keys(&config, "mock").configured.is_none());
    }

    #[test]
    fn local_servers() {
        for (url, expected) in [
            ("http://localhost:1234/v1", true),
            ("http://u:p@[::1]:1/", true),
            ("https://nas.LOCAL/v1", true),
            ("https://api.openai.com/v1", false),
            ("https://localhost.example.com", false),
            ("", false),
        ] {
            assert_eq!(is_local(url), expected, "{url}");
        }
    }
}
