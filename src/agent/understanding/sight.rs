//! Pictures, described by models that can see, as any turn asks them.

use super::choice::service_entry;
use super::{Failure, Interpreter, Task, normal, wish};
use crate::agent::credentials::{Wallet, Wish};
use crate::agent::looking::Question;
use crate::agent::models::{self, Model, Name};
use crate::agent::providers::ProviderError;
use crate::config::types::MediaModel;
use crate::net::fetch::Fetch;

/// Providers that are looked for a key of when nobody is configured, and the models that they are asked for.
pub(super) const DEFAULTS: [(&str, &str); 4] = [
    ("openai", "gpt-5-mini"),
    ("anthropic", "claude-opus-4-5"),
    ("google", "gemini-3-flash-preview"),
    ("minimax", "MiniMax-VL-01"),
];
/// Room for an answer that nobody limits, in tokens; at least so much is asked for.
const TOKENS_MIN: u64 = 512;
/// What models that reason may take for that, besides.
const REASONING_TOKENS: u64 = 4096;

/// Returns a provider's model that can see and be asked: one that is configured, else the usual one.
pub(super) fn model_of(with: &Interpreter<'_>, wallet: &Wallet<'_>, provider: &str) -> Option<MediaModel> {
    let configured = with.config.models.providers.iter().filter(|(id, _)| models::normalize_provider(id) == provider);
    let configured = configured.flat_map(|(_, configured)| &configured.models);
    let configured = configured.filter(|model| model.input.iter().any(|kind| kind == "image")).map(|model| &*model.id);
    let usual = DEFAULTS.iter().filter(|(known, _)| *known == provider).map(|(_, model)| *model);
    let can = |id: &&str| {
        let name = Name { provider: provider.to_owned(), id: (*id).to_owned() };
        models::named(with.config, with.agent, &name).is_ok_and(|model| model.sees())
    };
    let id = configured.chain(usual).find(can)?;
    wallet.keys(provider, &Wish::Next).ok()?;
    Some(service_entry(provider, Some(id)))
}

/// Has a picture described.
pub(super) fn describe(entry: &MediaModel, task: &Task<'_>, with: &Interpreter<'_>) -> Result<String, Failure> {
    let provider = entry.provider.as_deref().map(normal).filter(|provider| !provider.is_empty());
    let provider = provider.ok_or("it names neither a provider nor a command")?;
    let wallet = Wallet::open(with.config, with.paths, with.agent, with.clock.now_ms());
    let id = entry.model.clone().or_else(|| model_of(with, &wallet, &provider)?.model);
    let id = id.ok_or("it names no model, and no model of this provider is known to see")?;
    let name = models::parse_name(with.config, &format!("{provider}/{id}")).ok_or("it names no model")?;
    let mut model: Model = models::named(with.config, with.agent, &name)?;
    if !model.sees() {
        return Err(format!("{name} takes no pictures").into());
    }
    if let Some(url) = &task.options.base_url {
        model.base_url = url.trim_end_matches('/').to_owned();
    }
    model.headers.extend(task.options.headers.clone());
    let keys = wallet.keys(&provider, &wish(entry))?;
    let mime = task.mime.unwrap_or("image/jpeg");
    let reasoning = if model.reasoning { REASONING_TOKENS } else { 0 };
    // A token is hardly less than a character.
    let tokens = (task.chars_max.unwrap_or_default() as u64).max(TOKENS_MIN) + reasoning;
    let asking = (with.clock, with.rng);
    let session = with.entry.map(|entry| entry.session_id.as_str()).unwrap_or_default();
    let picture = (task.prompt.as_str(), &*task.read()?, mime);
    let question = Question::new(with.config, asking, session, picture, Some(tokens.min(model.max_tokens)));
    let fetch = Fetch::new(&with.cancel.within(task.patience));
    question.ask(&model, &keys, &fetch).map_err(|error| match error {
        ProviderError::Cancelled => task.too_slow(),
        ProviderError::Failed { message, .. } => message.into(),
    })
}
