//! `/model` and `/models`.

use std::collections::BTreeMap;

use super::{Applied, Cx};
use crate::agent::credentials::{self, Wallet};
use crate::agent::models;
use crate::base::clock::{Clock as _, SystemClock};
use crate::config::paths::Paths;
use crate::config::types::Config;

/// Models per page of `/models`.
const PAGE_LEN: usize = 20;
const HOW_TO: &str = "Browse: /models or /models <provider>\nSwitch: /model <provider/model>";

/// Shows or chooses the session's model.
pub(super) fn choose(cx: &Cx<'_>, word: &str) -> anyhow::Result<Applied> {
    match word.to_lowercase().as_str() {
        "" | "status" => {
            let current = match &cx.model {
                Ok(model) => model.label(),
                Err(error) => format!("none that works: {error}"),
            };
            return Applied::said(format!("Current: {current}\n\n{HOW_TO}"));
        }
        "list" => return Applied::said(list(cx.config, "")),
        _ if word.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Applied::said(format!("Numeric model selection is not supported in chat.\n\n{HOW_TO}"));
        }
        _ => {}
    }
    let (word, profile) = match word.rsplit_once('@') {
        Some((name, profile)) if !name.is_empty() => (name, Some(profile)),
        _ => (word, None),
    };
    let name = models::parse_name(cx.config, word);
    let Some(name) = name.filter(|name| models::is_allowed(cx.config, cx.agent, name)) else {
        return Applied::said(format!(
            "Model \"{word}\" is not allowed. Use /models to list providers, or /models <provider> to list models."
        ));
    };
    if let Some(profile) = profile {
        let wallet = Wallet::open(cx.config, &Paths::from_env(), cx.agent, SystemClock.now_ms());
        if !wallet.has(&name.provider, profile) {
            return Applied::said(format!("Auth profile \"{profile}\" not found."));
        }
    }
    // A model that cannot be used would leave the session speechless.
    if let Err(error) = models::resolve(cx.config, cx.agent, None, Some(word)) {
        return Applied::said(format!("⚠️ {error}"));
    }
    let is_alias = !word.contains('/') && !word.eq_ignore_ascii_case(&name.id);
    let label = if is_alias { format!("{word} ({name})") } else { name.to_string() };
    let default = models::resolve(cx.config, cx.agent, None, None).ok().map(|model| model.name_ref());
    let is_default = default.as_ref() == Some(&name);
    let switched = name.to_string();
    cx.store(|entry| {
        (entry.provider_override, entry.model_override) =
            if is_default { (None, None) } else { (Some(name.provider), Some(name.id)) };
        // It was the window of the model before.
        entry.context_tokens = None;
        match profile {
            Some(profile) => credentials::remember(entry, profile, true),
            None => credentials::forget(entry),
        }
    })?;
    let is_new = cx.model.as_ref().is_ok_and(|model| model.name_ref().to_string() != switched);
    let event = is_new.then(|| {
        if is_alias {
            format!("Model switched to {word} ({switched}).")
        } else {
            format!("Model switched to {switched}.")
        }
    });
    let said = if is_default { format!("Model reset to default ({label}).") } else { format!("Model set to {label}.") };
    let text = profile.map_or(said.clone(), |profile| format!("{said} Auth profile set to {profile}."));
    Ok(Applied { text, event })
}

/// Lists providers, or one page of a provider's models.
pub(super) fn list(config: &Config, args: &str) -> String {
    let mut by_provider: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in models::catalog(config) {
        let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        by_provider.entry(text("provider")).or_default().push(text("id"));
    }
    let mut words = args.split_whitespace();
    let lines = |found: Vec<String>| found.join("\n");
    let Some(provider) = words.next().map(models::normalize_provider) else {
        let providers = by_provider.iter().map(|(provider, ids)| format!("- {provider} ({})", ids.len()));
        return format!(
            "Providers:\n{}\n\nUse: /models <provider>\nSwitch: /model <provider/model>",
            lines(providers.collect())
        );
    };
    let Some(ids) = by_provider.get(&provider) else {
        let known = by_provider.keys().map(|known| format!("- {known}")).collect();
        return format!(
            "Unknown provider: {provider}\n\nAvailable providers:\n{}\n\nUse: /models <provider>",
            lines(known)
        );
    };
    let pages = ids.len().div_ceil(PAGE_LEN);
    let page = words.next().and_then(|word| word.trim_start_matches("page=").parse().ok()).unwrap_or(1).clamp(1, pages);
    let shown = ids.iter().skip((page - 1) * PAGE_LEN).take(PAGE_LEN).map(|id| format!("- {provider}/{id}")).collect();
    let more = if page < pages { format!("\nMore: /models {provider} {}", page + 1) } else { String::new() };
    format!("Models of {provider} (page {page} of {pages}):\n{}\n{more}\nSwitch: /model <provider/model>", lines(shown))
}
