//! The card of `/status`.

use std::time::Duration;

use crate::agent::message::Usage;
use crate::agent::models::{CONTEXT_TOKENS_DEFAULT, Model};
use crate::agent::queue::Settings;
use crate::agent::sessions::Entry;
use crate::agent::usage::priced;
use crate::base::ids::SessionKey;
use crate::base::text::{duration, tokens};

/// What the card shows.
pub struct StatusCard<'a> {
    /// Version of the product.
    pub version: &'a str,
    /// The session.
    pub key: &'a SessionKey,
    /// Its entry, if it has one.
    pub entry: Option<&'a Entry>,
    /// The model of its next turn, or why there is none.
    pub model: Result<Model, String>,
    /// How the model's provider knows who asks, see `Wallet::mode`.
    pub auth: Option<&'a str>,
    /// How long the gateway runs.
    pub uptime: Duration,
    /// Runs at this moment.
    pub active_runs: usize,
    /// How its messages wait, and how many do.
    pub queue: (Settings, usize),
    /// What became of the last files that were sent to it.
    pub media: Option<String>,
    /// How answers are spoken, where they are.
    pub voice: Option<String>,
}

/// Returns the card as text.
pub fn status_reply(card: &StatusCard<'_>) -> String {
    let mut lines = vec![format!("🦞 Clawdbot {}", card.version)];
    lines.extend(session_lines(card.key, card.entry, &card.model, card.auth));
    let uptime = duration(u64::try_from(card.uptime.as_millis()).unwrap_or(u64::MAX) / 1000 * 1000);
    let (queue, depth) = &card.queue;
    let waiting = if *depth > 0 { format!(" (depth {depth})") } else { String::new() };
    lines.extend(card.media.as_ref().map(|media| format!("📎 Media: {media}")));
    lines.extend(card.voice.as_ref().map(|voice| format!("🔊 Voice: {voice}")));
    lines.push(format!("🪢 Queue: {}{waiting}", queue.mode.as_str()));
    lines.push(format!("⏱️ Uptime: {uptime} · Active runs: {}", card.active_runs));
    lines.join("\n")
}

/// Returns the lines about a session alone; `auth` as in [`StatusCard`].
pub fn session_lines(
    key: &SessionKey,
    entry: Option<&Entry>,
    model: &Result<Model, String>,
    auth: Option<&str>,
) -> Vec<String> {
    let none = Entry::default();
    let entry = entry.unwrap_or(&none);
    let mut lines = vec![match model {
        Ok(model) if model.is_offline() => {
            "🧠 Model: none connected (offline agent). Set OPENAI_API_KEY or agents.defaults.model.primary".to_owned()
        }
        Ok(model) => {
            let auth = auth.map(|auth| format!(" · 🔑 {auth}")).unwrap_or_default();
            format!("🧠 Model: {}{auth}", model.label())
        }
        Err(error) => format!("🧠 Model: ⚠️ {error}"),
    }];
    if let (Some(input), Some(output)) = (entry.input_tokens, entry.output_tokens) {
        let cost = model.as_ref().ok().filter(|_| matches!(auth, Some("api-key" | "mixed"))).map(|model| {
            let usage = Usage { input, output, ..Usage::default() };
            priced(usage, model.cost).cost.total
        });
        let cost = cost.filter(|cost| *cost > 0.0).map(|cost| format!(" · 💵 Cost: {}", usd(cost))).unwrap_or_default();
        lines.push(format!("🧮 Tokens: {} in / {} out{cost}", tokens(input), tokens(output)));
    }
    let window = model.as_ref().map_or(CONTEXT_TOKENS_DEFAULT, |model| model.context_window);
    let window = entry.context_tokens.unwrap_or(window).max(1);
    let used = entry.total_tokens.unwrap_or(0);
    let percent = (used as f64 / window as f64 * 100.0).round().min(999.0);
    lines.push(format!(
        "📚 Context: {}/{} ({percent}%) · 🧹 Compactions: {}",
        tokens(used),
        tokens(window),
        entry.compaction_count.unwrap_or(0)
    ));
    lines.push(format!("🧵 Session: {key}"));
    let default = if model.as_ref().is_ok_and(|model| model.reasoning) { "low" } else { "off" };
    let mut options = format!("⚙️ Think: {}", entry.thinking_level.as_deref().unwrap_or(default));
    for (name, level) in
        [("Verbose", &entry.verbose_level), ("Reasoning", &entry.reasoning_level), ("Elevated", &entry.elevated_level)]
    {
        if let Some(level) = level.as_deref().filter(|level| *level != "off") {
            options.push_str(&format!(" · {name}: {level}"));
        }
    }
    lines.push(options);
    lines
}

/// Writes an amount of dollars: cents, and of less than one its hundredths.
fn usd(amount: f64) -> String {
    if amount >= 0.01 { format!("${amount:.2}") } else { format!("${amount:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::models;
    use crate::base::ids::AgentId;
    use crate::config::types::Config;
    use serde_json::json;

    #[test]
    fn what_was_used_has_a_price_where_it_is_paid_for() {
        let definition =
            json!({"id": "m", "name": "m", "cost": {"input": 3, "output": 15, "cacheRead": 0, "cacheWrite": 0}});
        let provider =
            json!({"baseUrl": "http://h/v1", "apiKey": "k", "api": "openai-completions", "models": [definition]});
        let config = Config::of(json!({
            "models": {"providers": {"p": provider}}, "agents": {"defaults": {"model": {"primary": "p/m"}}},
        }));
        let model = models::resolve(&config, &AgentId::new("main"), None, None);
        let entry = Entry { input_tokens: Some(2000), output_tokens: Some(1000), ..Entry::default() };
        let lines =
            |auth| session_lines(&SessionKey::new("agent:main:main"), Some(&entry), &model, Some(auth))[..2].join("\n");
        assert_eq!(lines("api-key"), "🧠 Model: p/m · 🔑 api-key\n🧮 Tokens: 2.0k in / 1.0k out · 💵 Cost: $0.02");
        assert_eq!(lines("oauth"), "🧠 Model: p/m · 🔑 oauth\n🧮 Tokens: 2.0k in / 1.0k out");
        assert_eq!([usd(1.5), usd(0.001)], ["$1.50", "$0.0010"]);
    }

    #[test]
    fn the_card_shows_model_context_and_session() {
        let entry = Entry { total_tokens: Some(8000), context_tokens: Some(32_000), ..Entry::default() };
        let card = StatusCard {
            version: "2026.1.24",
            key: &SessionKey::new("agent:main:main"),
            entry: Some(&entry),
            model: Err("no key".into()),
            auth: None,
            uptime: Duration::from_millis(61_500),
            active_runs: 2,
            queue: (Settings::default(), 3),
            media: Some("image ok (p/m)".into()),
            voice: Some("always".into()),
        };
        assert_eq!(
            status_reply(&card),
            "🦞 Clawdbot 2026.1.24\n🧠 Model: ⚠️ no key\n📚 Context: 8.0k/32k (25%) · 🧹 Compactions: 0\n\
             🧵 Session: agent:main:main\n⚙️ Think: off\n📎 Media: image ok (p/m)\n🔊 Voice: always\n🪢 Queue: collect (depth 3)\n⏱️ Uptime: 1m 1s · Active runs: 2"
        );
    }
}
