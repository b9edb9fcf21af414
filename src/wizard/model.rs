//! Who thinks: the questions for a model provider, its key and the default model.

use serde_json::json;

use super::ask::{Asked, Asker, Text, required};
use super::plan::{ModelChoice, Plan};
use super::{Choice, Facts, LocalServer};
use crate::agent::{models, session};
use crate::config::types::Config;

/// A provider that needs nothing but a key.
pub struct Hosted {
    /// The word of flags and answers.
    pub choice: &'static str,
    /// The provider's id.
    pub provider: &'static str,
    /// Its name.
    pub label: &'static str,
}

const fn hosted(choice: &'static str, provider: &'static str, label: &'static str) -> Hosted {
    Hosted { choice, provider, label }
}

/// Every such provider, in the order in which they are offered.
pub const HOSTED: [Hosted; 16] = [
    hosted("apiKey", "anthropic", "Anthropic"),
    hosted("openai-api-key", "openai", "OpenAI"),
    hosted("gemini-api-key", "google", "Google Gemini"),
    hosted("openrouter-api-key", "openrouter", "OpenRouter"),
    hosted("groq-api-key", "groq", "Groq"),
    hosted("cerebras-api-key", "cerebras", "Cerebras"),
    hosted("xai-api-key", "xai", "xAI"),
    hosted("mistral-api-key", "mistral", "Mistral"),
    hosted("moonshot-api-key", "moonshot", "Moonshot"),
    hosted("kimi-code-api-key", "kimi-code", "Kimi Code"),
    hosted("zai-api-key", "zai", "Z.AI"),
    hosted("minimax-api", "minimax", "MiniMax"),
    hosted("synthetic-api-key", "synthetic", "Synthetic"),
    hosted("venice-api-key", "venice", "Venice"),
    hosted("ai-gateway-api-key", "vercel-ai-gateway", "Vercel AI Gateway"),
    hosted("opencode-zen", "opencode", "OpenCode Zen"),
];

/// A provider that people sign in to: the word, the provider's id, its name.
pub const SIGNED_IN: [Hosted; 5] = [
    hosted("openai-codex", "openai-codex", "OpenAI Codex (ChatGPT OAuth)"),
    hosted("google-gemini-cli", "google-gemini-cli", "Google Gemini CLI OAuth"),
    hosted("github-copilot", "github-copilot", "GitHub Copilot (GitHub device login)"),
    hosted("qwen-portal", "qwen-portal", "Qwen OAuth"),
    hosted("chutes", "chutes", "Chutes (OAuth)"),
];

/// Returns the variable of a hosted provider's key and the provider's default model.
pub fn hosted_env(hosted: &Hosted) -> (&'static str, String) {
    let defaults = models::key_variable_and_default(hosted.provider);
    // Every row of the table above is one of the built-in providers (tested).
    defaults.map_or(("", String::new()), |(name, model)| (name, format!("{}/{model}", hosted.provider)))
}

/// A server of the user's own: the word, its provider id, its usual address.
const SERVERS: [(&str, &str, &str); 2] =
    [("ollama", "Ollama", "http://127.0.0.1:11434/v1"), ("custom", "Another OpenAI-compatible server", "")];

/// Returns whether this word chooses a model provider.
pub fn is_model_choice(word: &str) -> bool {
    let is_hosted = HOSTED.iter().chain(&SIGNED_IN).any(|hosted| hosted.choice == word);
    is_hosted || SERVERS.iter().any(|(server, ..)| *server == word) || matches!(word, "offline" | "skip")
}

/// Asks for everything that `chosen` leaves open and notes it in `plan`.
pub(super) fn ask(
    asker: &mut Asker<'_>,
    facts: &Facts,
    config: &Config,
    chosen: Option<&str>,
    plan: &mut Plan,
) -> Asked<()> {
    let current = models::configured_name(config, &session::default_agent(config)).map(|name| name.to_string());
    let chosen = match chosen {
        Some(chosen) => chosen.to_owned(),
        None => ask_provider(asker, facts, config, current.as_deref())?,
    };
    if let Some(hosted) = HOSTED.iter().find(|hosted| hosted.choice == chosen) {
        return ask_hosted(asker, facts, config, hosted, current.as_deref(), plan);
    }
    if let Some(known) = SIGNED_IN.iter().find(|known| known.choice == chosen) {
        let message = format!(
            "The sign-in itself takes a terminal of this machine: right after this set-up, or any time with\nclawdbot models \
             auth login --provider {}",
            known.provider
        );
        asker.note(known.label, &message)?;
        let usual = models::default_model(known.provider).map(|model| format!("{}/{model}", known.provider));
        let of_provider = current.as_deref().filter(|current| current.starts_with(&format!("{}/", known.provider)));
        let model = ask_model(asker, known.provider, of_provider.or(usual.as_deref()).unwrap_or_default())?;
        plan.model(config, ModelChoice::SignIn { provider: known.provider, model });
        return Ok(());
    }
    if let Some((id, label, url)) = SERVERS.iter().find(|(word, ..)| *word == chosen) {
        let found = facts.servers.iter().find(|server| server.word == chosen);
        return ask_server(asker, config, (id, label, url), found, plan);
    }
    plan.model(config, if chosen == "offline" { ModelChoice::Offline } else { ModelChoice::Keep });
    Ok(())
}

fn ask_provider(asker: &mut Asker<'_>, facts: &Facts, config: &Config, current: Option<&str>) -> Asked<String> {
    let keep = match current {
        Some(model) => Choice::new("skip", format!("Keep {model}")),
        None => Choice::new("skip", "Skip for now").hint("The built-in offline agent answers until a model is there"),
    };
    let has_key = |hosted: &&Hosted| facts.var(config, hosted_env(hosted).0).is_some();
    let mut options: Vec<Choice> = Vec::new();
    options.extend(HOSTED.iter().map(|hosted| {
        let option = Choice::new(hosted.choice, hosted.label);
        if has_key(&hosted) { option.hint(format!("{} is set", hosted_env(hosted).0)) } else { option }
    }));
    options.extend(SIGNED_IN.iter().map(|known| Choice::new(known.choice, known.label).hint("Asks you to sign in")));
    options.extend(SERVERS.iter().map(|(word, label, url)| {
        let option = Choice::new(*word, *label);
        if let Some(found) = facts.servers.iter().find(|server| server.word == *word) {
            let models = found.models.first().map(|model| format!(" with {model}")).unwrap_or_default();
            return option.hint(format!("{} runs here{models}", found.label));
        }
        if url.is_empty() { option.hint("LM Studio, vLLM, llama.cpp …") } else { option.hint(*url) }
    }));
    options.push(Choice::new("offline", "Offline").hint("Needs no model and no network; for trying things out"));
    options.push(keep);
    // What can be used at once comes first to mind; who has a model already keeps it.
    let usable = HOSTED.iter().find(has_key).map(|hosted| hosted.choice);
    let usable = usable.or_else(|| facts.servers.first().map(|server| server.word));
    let initial = usable.filter(|_| current.is_none()).unwrap_or("skip");
    asker.select("Model provider", &options, Some(initial))
}

fn ask_hosted(
    asker: &mut Asker<'_>,
    facts: &Facts,
    config: &Config,
    hosted: &Hosted,
    current: Option<&str>,
    plan: &mut Plan,
) -> Asked<()> {
    let (variable, model) = hosted_env(hosted);
    let mut key = facts.var(config, variable);
    if key.is_some() && !asker.confirm(&format!("Use the key that is set as {variable}?"), true)? {
        key = None;
    }
    let key = match key {
        Some(key) => key,
        None => asker.text(Text {
            message: &format!("{} API key", hosted.label),
            is_sensitive: true,
            check: Some(&required),
            ..Text::default()
        })?,
    };
    let of_provider = current.filter(|current| current.starts_with(&format!("{}/", hosted.provider)));
    let model = ask_model(asker, hosted.provider, of_provider.unwrap_or(&model))?;
    plan.model(config, ModelChoice::Hosted { variable, key, model });
    Ok(())
}

fn ask_server(
    asker: &mut Asker<'_>,
    config: &Config,
    server: (&str, &str, &str),
    found: Option<&LocalServer>,
    plan: &mut Plan,
) -> Asked<()> {
    let (id, label, url) = server;
    let existing = config.models.providers.get(id);
    let url = found.map_or(url, |found| found.base_url.as_str());
    let url = existing.map_or(url, |existing| existing.base_url.as_str());
    let is_url = |given: &str| {
        let is_ok = given.starts_with("http://") || given.starts_with("https://");
        (!is_ok).then(|| "URL must start with http:// or https://".to_owned())
    };
    let base_url = asker.text(Text {
        message: &format!("Base URL of {label}"),
        initial: url.to_owned(),
        placeholder: "http://127.0.0.1:1234/v1",
        check: Some(&is_url),
        ..Text::default()
    })?;
    let key = if id == "ollama" {
        String::new()
    } else {
        let message = "API key (blank for none)";
        let initial = existing.and_then(|existing| existing.api_key.clone()).unwrap_or_default();
        asker.text(Text { message, initial, is_sensitive: true, ..Text::default() })?
    };
    let known = existing.and_then(|existing| existing.models.first()).map(|model| model.id.as_str());
    let known = known.or_else(|| found.and_then(|found| found.models.first()).map(String::as_str));
    let model = ask_model(asker, id, &known.map(|known| format!("{id}/{known}")).unwrap_or_default())?;
    plan.model(config, ModelChoice::Server { id: id.to_owned(), base_url, key, model });
    Ok(())
}

/// Asks for the default model; a bare id belongs to the provider.
fn ask_model(asker: &mut Asker<'_>, provider: &str, initial: &str) -> Asked<String> {
    let prefix = format!("{provider}/");
    let check = |given: &str| {
        let id = given.strip_prefix(&prefix).unwrap_or(given);
        (id.trim_matches('/').is_empty()).then(|| format!("Required: a model of {provider}, such as {prefix}<model>"))
    };
    let model = asker.text(Text {
        message: "Default model",
        initial: initial.to_owned(),
        placeholder: &format!("{prefix}<model>"),
        check: Some(&check),
        ..Text::default()
    })?;
    Ok(if model.starts_with(&prefix) { model } else { format!("{prefix}{model}") })
}

/// Asks for web search and fetch.
pub(super) fn ask_web(asker: &mut Asker<'_>, config: &Config, plan: &mut Plan) -> Asked<()> {
    let web = |path: &str| config.tree.pointer(&format!("/tools/web/{path}"));
    let has_key = web("search/apiKey").and_then(|key| key.as_str()).is_some_and(|key| !key.trim().is_empty());
    let searches = web("search/enabled").and_then(|enabled| enabled.as_bool()).unwrap_or(has_key);
    let search = asker.confirm("Enable web_search (Brave Search)?", searches)?;
    plan.set(&["tools", "web", "search", "enabled"], json!(search));
    if search {
        let message = if has_key {
            "Brave Search API key (blank keeps the current one)"
        } else {
            "Brave Search API key (blank: BRAVE_API_KEY of the gateway is used)"
        };
        let key = asker.text(Text { message, placeholder: "BSA…", is_sensitive: true, ..Text::default() })?;
        if !key.is_empty() {
            plan.set(&["tools", "web", "search", "apiKey"], json!(key));
        }
    }
    let fetches = web("fetch/enabled").and_then(|enabled| enabled.as_bool()).unwrap_or(true);
    let fetch = asker.confirm("Enable web_fetch (needs no key)?", fetches)?;
    plan.set(&["tools", "web", "fetch", "enabled"], json!(fetch));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hosted_provider_is_built_in() {
        for hosted in &HOSTED {
            let (variable, model) = hosted_env(hosted);
            assert!(variable.ends_with("_API_KEY") && model.len() > hosted.provider.len() + 1, "{}", hosted.choice);
        }
        assert!(SIGNED_IN.iter().all(|known| models::default_model(known.provider).is_some()));
    }
}
