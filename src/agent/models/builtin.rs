//! Providers that need nothing but a key: the ones with an OpenAI-compatible endpoint (agent.md §12.3–12.4).

/// The wire format that this version speaks.
pub(super) const SPOKEN: &str = "openai-completions";

/// One provider.
pub(super) struct Builtin {
    pub(super) id: &'static str,
    pub(super) base_url: &'static str,
    /// Environment variables of its key, in order; a local server has none.
    pub(super) env: &'static [&'static str],
    /// What it is asked for when the configuration names no model.
    pub(super) model_default: &'static str,
}

const fn provider(
    id: &'static str,
    base_url: &'static str,
    env: &'static [&'static str],
    model_default: &'static str,
) -> Builtin {
    Builtin { id, base_url, env, model_default }
}

/// In the order in which keys in the environment are looked for.
pub(super) const BUILTIN: [Builtin; 12] = [
    provider("openai", "https://api.openai.com/v1", &["OPENAI_API_KEY"], "gpt-5-mini"),
    provider("openrouter", "https://openrouter.ai/api/v1", &["OPENROUTER_API_KEY"], "openai/gpt-5-mini"),
    provider("groq", "https://api.groq.com/openai/v1", &["GROQ_API_KEY"], "openai/gpt-oss-120b"),
    provider("cerebras", "https://api.cerebras.ai/v1", &["CEREBRAS_API_KEY"], "gpt-oss-120b"),
    provider("xai", "https://api.x.ai/v1", &["XAI_API_KEY"], "grok-4"),
    provider("mistral", "https://api.mistral.ai/v1", &["MISTRAL_API_KEY"], "mistral-large-latest"),
    provider("moonshot", "https://api.moonshot.ai/v1", &["MOONSHOT_API_KEY"], "kimi-k2-0905-preview"),
    provider("zai", "https://api.z.ai/api/paas/v4", &["ZAI_API_KEY", "Z_AI_API_KEY"], "glm-4.7"),
    provider("venice", "https://api.venice.ai/api/v1", &["VENICE_API_KEY"], "llama-3.3-70b"),
    provider("vercel-ai-gateway", "https://ai-gateway.vercel.sh/v1", &["AI_GATEWAY_API_KEY"], "openai/gpt-5-mini"),
    provider("opencode", "https://opencode.ai/zen/v1", &["OPENCODE_API_KEY", "OPENCODE_ZEN_API_KEY"], "kimi-k2"),
    provider("ollama", "http://127.0.0.1:11434/v1", &[], ""),
];

/// Providers that users of the original have configured, and the wire formats they need.
pub(super) const OTHER_FORMATS: [(&str, &str); 12] = [
    ("anthropic", "anthropic-messages"),
    ("claude-cli", "a command-line agent"),
    ("minimax", "anthropic-messages"),
    ("synthetic", "anthropic-messages"),
    ("google", "google-generative-ai"),
    ("google-vertex", "google-vertex"),
    ("google-gemini-cli", "google-gemini-cli"),
    ("github-copilot", "github-copilot"),
    ("amazon-bedrock", "bedrock-converse-stream"),
    ("openai-codex", "openai-codex-responses"),
    ("codex-cli", "a command-line agent"),
    ("qwen-portal", "openai-completions with OAuth"),
];

/// Returns the environment variables that may hold a provider's key, in order.
pub(super) fn env_names(provider: &str) -> &'static [&'static str] {
    match provider {
        "anthropic" => &["ANTHROPIC_OAUTH_TOKEN", "ANTHROPIC_API_KEY"],
        "github-copilot" => &["COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"],
        "google" => &["GEMINI_API_KEY"],
        "minimax" => &["MINIMAX_API_KEY"],
        "synthetic" => &["SYNTHETIC_API_KEY"],
        "qwen-portal" => &["QWEN_OAUTH_TOKEN", "QWEN_PORTAL_API_KEY"],
        _ => BUILTIN.iter().find(|builtin| builtin.id == provider).map_or(&[], |builtin| builtin.env),
    }
}
