//! Whom to ask about a file: who is configured, else who could be: for pictures the models that the configuration names for
//! them, then the provider of the agent's model, a program that is installed, a provider for which there is a key.

use super::{Interpreter, normal, program, service, sight};
use crate::agent::credentials::Wallet;
use crate::agent::{looking, models};
use crate::config::types::{MediaModel, Medium};

/// Returns what a provider is known for, where an entry for all kinds does not say.
fn known_for(provider: &str) -> &'static [Medium] {
    match provider {
        "google" => &Medium::ALL,
        "openai" | "anthropic" | "minimax" => &[Medium::Image],
        "groq" | "deepgram" => &[Medium::Audio],
        _ => &[],
    }
}

impl Interpreter<'_> {
    /// Returns whom to ask, in order.
    pub(super) fn entries(&self, medium: Medium) -> Vec<MediaModel> {
        let media = &self.config.tools.media;
        let says = |entry: &MediaModel| entry.capabilities.iter().any(|it| it == medium.as_str());
        let own = media.section(medium).models.iter();
        let own = own.filter(|entry| entry.capabilities.is_empty() || says(entry));
        let shared = media.models.iter().filter(|entry| match entry.capabilities.is_empty() {
            false => says(entry),
            // What is there for all kinds says so, or is a service that is known for it.
            true => {
                let provider = entry.provider.as_deref().filter(|_| !entry.is_program());
                provider.is_some_and(|provider| known_for(&normal(provider)).contains(&medium))
            }
        });
        let configured: Vec<MediaModel> = own.chain(shared).cloned().collect();
        if configured.is_empty() { self.unconfigured(medium) } else { configured }
    }

    fn unconfigured(&self, medium: Medium) -> Vec<MediaModel> {
        let wallet = Wallet::open(self.config, self.paths, self.agent, self.clock.now_ms());
        let active = models::chosen_name(self.config, self.agent, self.entry);
        let gemini = || self.programs.gemini(self);
        let found = match medium {
            Medium::Image => {
                // compat: the original does not read these names here; they say whom people want to look at pictures.
                let named = looking::configured(self.config).unwrap_or_default();
                let named = named.iter().filter_map(|text| models::parse_name(self.config, text));
                let named: Vec<MediaModel> = named.map(|name| service_entry(&name.provider, Some(&name.id))).collect();
                if !named.is_empty() {
                    return named;
                }
                let seeing = |provider: &str| sight::model_of(self, &wallet, provider);
                let known = || sight::DEFAULTS.iter().find_map(|(provider, _)| seeing(provider));
                seeing(&active.provider).or_else(gemini).or_else(known)
            }
            Medium::Audio => {
                let can = |provider: &str| service::can(self.config, &wallet, provider);
                let own = can(&active.provider).then(|| service_entry(&active.provider, None));
                let installed = || program::installed(&|name| std::env::var(name).ok());
                let known = || service::KNOWN.iter().find(|known| can(known)).map(|known| service_entry(known, None));
                own.or_else(installed).or_else(gemini).or_else(known)
            }
            Medium::Video => {
                let google = |model: Option<&str>| {
                    service::can(self.config, &wallet, "google").then(|| service_entry("google", model))
                };
                let own = if active.provider == "google" { google(Some(&active.id)) } else { None };
                own.or_else(gemini).or_else(|| google(None))
            }
        };
        found.into_iter().collect()
    }
}

pub(super) fn service_entry(provider: &str, model: Option<&str>) -> MediaModel {
    MediaModel { provider: Some(provider.to_owned()), model: model.map(str::to_owned), ..MediaModel::default() }
}
