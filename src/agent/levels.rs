//! The levels a session can be set to, and the words people use for them (agent.md §10).

use crate::agent::models::{Model, Name};
use crate::config::types::Config;

/// Levels of thinking that every model takes.
pub const THINKING: [&str; 5] = ["off", "minimal", "low", "medium", "high"];

/// Models that can think harder than `high`.
const XHIGH_MODELS: [&str; 3] = ["openai/gpt-5.2", "openai-codex/gpt-5.2-codex", "openai-codex/gpt-5.1-codex"];

/// Returns the level of thinking that a word means.
pub fn thinking(word: &str) -> Option<&'static str> {
    Some(match word.trim().to_lowercase().as_str() {
        "off" => "off",
        "minimal" | "min" | "think" => "minimal",
        "low" | "on" | "enable" | "enabled" | "thinkhard" | "think-hard" => "low",
        "medium" | "mid" | "med" | "thinkharder" | "think-harder" | "harder" => "medium",
        "high" | "ultra" | "ultrathink" | "thinkhardest" | "highest" | "max" => "high",
        "xhigh" | "x-high" | "x_high" => "xhigh",
        _ => return None,
    })
}

/// Returns whether the model takes level `xhigh`.
pub fn has_xhigh(model: &Name) -> bool {
    XHIGH_MODELS.contains(&model.to_string().to_lowercase().as_str())
}

/// Returns the models that take level `xhigh`, as a text.
pub fn xhigh_models() -> String {
    let [others @ .., last] = XHIGH_MODELS;
    format!("{} or {last}", others.join(", "))
}

/// Returns the level of thinking of sessions that set none: the configured one, else `low` for models that reason.
pub fn thinking_default(config: &Config, model: Option<&Model>) -> &'static str {
    let configured = config.agents.defaults.thinking_default.as_deref().and_then(thinking);
    configured.unwrap_or(if model.is_some_and(|model| model.reasoning) { "low" } else { "off" })
}

/// Returns how much of the tools' work is shown.
pub fn verbose(word: &str) -> Option<&'static str> {
    Some(match word.trim().to_lowercase().as_str() {
        "off" | "false" | "no" | "0" => "off",
        "on" | "minimal" | "true" | "yes" | "1" => "on",
        "full" | "all" | "everything" => "full",
        _ => return None,
    })
}

/// Returns what a session's commands may do beyond their sandbox.
pub fn elevated(word: &str) -> Option<&'static str> {
    Some(match word.trim().to_lowercase().as_str() {
        "off" | "false" | "no" | "0" => "off",
        "on" | "true" | "yes" | "1" => "on",
        "ask" | "prompt" | "approval" | "approve" => "ask",
        "full" | "auto" | "auto-approve" | "autoapprove" => "full",
        _ => return None,
    })
}

/// Returns how much of the reasoning is shown.
pub fn reasoning(word: &str) -> Option<&'static str> {
    Some(match word.trim().to_lowercase().as_str() {
        "off" | "false" | "no" | "0" | "hide" | "hidden" | "disable" | "disabled" => "off",
        "on" | "true" | "yes" | "1" | "show" | "visible" | "enable" | "enabled" => "on",
        "stream" | "streaming" | "draft" | "live" => "stream",
        _ => return None,
    })
}
