//! Which providers could be asked how much of a plan is used up (`usage.status`).
//!
//! A provider counts when there is a credential that its usage endpoint takes. Pure functions. Those that `ask` does not know
//! are reported with an error that says so, instead of as if nothing were configured.

pub mod ask;

use serde_json::{Value, json};

use crate::agent::auth_profiles::{Kind, Profile};
use crate::agent::models::normalize_provider;
use crate::config::types::Config;

/// What a provider is answered with.
const NOT_BUILT_IN: &str = "usage lookup is not built into this version";

/// One provider with a usage endpoint.
struct Provider {
    id: &'static str,
    label: &'static str,
    /// Variables and kinds of stored credentials that its endpoint takes.
    env: &'static [&'static str],
    kinds: &'static [Kind],
    takes_configured_key: bool,
}

const SIGNED_IN: &[Kind] = &[Kind::OAuth, Kind::Token];

const fn signed_in(id: &'static str, label: &'static str) -> Provider {
    Provider { id, label, env: &[], kinds: SIGNED_IN, takes_configured_key: false }
}

/// In the order of the answer.
const PROVIDERS: [Provider; 7] = [
    signed_in("anthropic", "Claude"),
    signed_in("github-copilot", "Copilot"),
    signed_in("google-gemini-cli", "Gemini"),
    signed_in("google-antigravity", "Antigravity"),
    Provider {
        id: "minimax",
        label: "MiniMax",
        env: &["MINIMAX_CODE_PLAN_KEY", "MINIMAX_API_KEY"],
        kinds: &[Kind::ApiKey, Kind::Token],
        takes_configured_key: true,
    },
    signed_in("openai-codex", "Codex"),
    Provider {
        id: "zai",
        label: "z.ai",
        env: &["ZAI_API_KEY", "Z_AI_API_KEY"],
        kinds: &[Kind::ApiKey],
        takes_configured_key: true,
    },
];

/// Returns the `providers` of `usage.status`.
pub fn providers(config: &Config, profiles: &[Profile], env: &dyn Fn(&str) -> Option<String>) -> Vec<Value> {
    let is_set = |text: Option<&str>| text.is_some_and(|text| !text.trim().is_empty());
    let has_credential = |provider: &&Provider| {
        let configured = config.models.providers.iter();
        let key = configured
            .filter(|(id, _)| normalize_provider(id) == provider.id)
            .find_map(|(_, it)| it.api_key.as_deref());
        provider.env.iter().any(|name| is_set(env(name).as_deref()))
            || (provider.takes_configured_key && is_set(key))
            || profiles.iter().any(|it| it.provider == provider.id && provider.kinds.contains(&it.kind))
    };
    let row = |it: &Provider| json!({"provider": it.id, "displayName": it.label, "windows": [], "error": NOT_BUILT_IN});
    PROVIDERS.iter().filter(has_credential).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_with_a_fitting_credential_are_reported() {
        let check = |tree: Value, profiles: &[(&str, Kind)], var: &str, wanted: &[&str]| {
            let config: Config = serde_json::from_value(tree).expect("configuration");
            let profile = |(provider, kind): &(&str, Kind)| Profile {
                id: "x".to_owned(),
                provider: (*provider).to_owned(),
                kind: *kind,
                expires_at_ms: None,
                is_renewable: false,
            };
            let profiles: Vec<Profile> = profiles.iter().map(profile).collect();
            let rows = providers(&config, &profiles, &|name| (name == var).then(|| "k".to_owned()));
            assert_eq!(rows.iter().map(|row| row["provider"].as_str().unwrap_or("")).collect::<Vec<_>>(), wanted);
        };
        check(json!({}), &[], "", &[]);
        check(json!({}), &[("anthropic", Kind::ApiKey)], "ANTHROPIC_API_KEY", &[]);
        check(
            json!({}),
            &[("anthropic", Kind::Token), ("openai-codex", Kind::OAuth)],
            "",
            &["anthropic", "openai-codex"],
        );
        check(json!({"models": {"providers": {"z-ai": {"apiKey": "k"}}}}), &[], "MINIMAX_API_KEY", &["minimax", "zai"]);
        check(json!({"models": {"providers": {"zai": {"apiKey": " "}}}}), &[], "", &[]);
    }
}
