//! Providers that are known by name: where they are, how they speak, whose keys they take (agent.md §12.3–12.4).

/// The wire formats that this version speaks.
pub const SPOKEN: [&str; 6] = [
    "anthropic-messages",
    "openai-responses",
    "openai-completions",
    "google-generative-ai",
    "openai-codex-responses",
    "google-gemini-cli",
];

const ANTHROPIC: &str = SPOKEN[0];
const RESPONSES: &str = SPOKEN[1];
/// What servers speak of which nothing else is said.
pub(super) const COMPLETIONS: &str = SPOKEN[2];
const GOOGLE: &str = SPOKEN[3];
const CODEX: &str = SPOKEN[4];
const GEMINI_CLI: &str = SPOKEN[5];

/// One provider.
pub(super) struct Builtin {
    pub(super) id: &'static str,
    /// Wire format of models that the catalogue does not list.
    pub(super) api: &'static str,
    pub(super) base_url: &'static str,
    /// Environment variables of its key, in order; a local server has none, nor has one that people sign in to.
    pub(super) env: &'static [&'static str],
    /// What it is asked for when the configuration names no model.
    pub(super) model_default: &'static str,
}

const fn provider(
    id: &'static str,
    api: &'static str,
    base_url: &'static str,
    env: &'static [&'static str],
    model_default: &'static str,
) -> Builtin {
    Builtin { id, api, base_url, env, model_default }
}

/// In the order in which keys in the environment are looked for.
#[rustfmt::skip]
pub(super) static BUILTIN: [Builtin; 22] = [
    provider("anthropic", ANTHROPIC, "https://api.anthropic.com", &["ANTHROPIC_OAUTH_TOKEN", "ANTHROPIC_API_KEY"], "claude-opus-4-5"),
    provider("openai", RESPONSES, "https://api.openai.com/v1", &["OPENAI_API_KEY"], "gpt-5-mini"),
    provider("google", GOOGLE, "https://generativelanguage.googleapis.com/v1beta", &["GEMINI_API_KEY"], "gemini-3-pro-preview"),
    provider("openrouter", COMPLETIONS, "https://openrouter.ai/api/v1", &["OPENROUTER_API_KEY"], "openai/gpt-5-mini"),
    provider("groq", COMPLETIONS, "https://api.groq.com/openai/v1", &["GROQ_API_KEY"], "openai/gpt-oss-120b"),
    provider("cerebras", COMPLETIONS, "https://api.cerebras.ai/v1", &["CEREBRAS_API_KEY"], "gpt-oss-120b"),
    provider("xai", COMPLETIONS, "https://api.x.ai/v1", &["XAI_API_KEY"], "grok-4"),
    provider("mistral", COMPLETIONS, "https://api.mistral.ai/v1", &["MISTRAL_API_KEY"], "mistral-large-latest"),
    provider("moonshot", COMPLETIONS, "https://api.moonshot.ai/v1", &["MOONSHOT_API_KEY"], "kimi-k2-0905-preview"),
    provider("kimi-code", COMPLETIONS, "https://api.kimi.com/coding/v1", &["KIMICODE_API_KEY"], "kimi-for-coding"),
    provider("zai", COMPLETIONS, "https://api.z.ai/api/coding/paas/v4", &["ZAI_API_KEY", "Z_AI_API_KEY"], "glm-4.7"),
    provider("minimax", ANTHROPIC, "https://api.minimax.io/anthropic", &["MINIMAX_API_KEY"], "MiniMax-M2.1"),
    provider("synthetic", ANTHROPIC, "https://api.synthetic.new/anthropic", &["SYNTHETIC_API_KEY"], "hf:MiniMaxAI/MiniMax-M2.1"),
    provider("venice", COMPLETIONS, "https://api.venice.ai/api/v1", &["VENICE_API_KEY"], "llama-3.3-70b"),
    provider("vercel-ai-gateway", ANTHROPIC, "https://ai-gateway.vercel.sh", &["AI_GATEWAY_API_KEY"], "anthropic/claude-opus-4.5"),
    provider("opencode", COMPLETIONS, "https://opencode.ai/zen/v1", &["OPENCODE_API_KEY", "OPENCODE_ZEN_API_KEY"], "claude-opus-4-5"),
    provider("chutes", COMPLETIONS, "https://llm.chutes.ai/v1", &["CHUTES_OAUTH_TOKEN", "CHUTES_API_KEY"], "zai-org/GLM-4.7-FP8"),
    provider("qwen-portal", COMPLETIONS, "https://portal.qwen.ai/v1", &["QWEN_OAUTH_TOKEN", "QWEN_PORTAL_API_KEY"], "coder-model"),
    provider("openai-codex", CODEX, "https://chatgpt.com/backend-api", &[], "gpt-5.2"),
    provider("google-gemini-cli", GEMINI_CLI, "https://cloudcode-pa.googleapis.com", &[], "gemini-3-pro-preview"),
    // Tokens of GitHub are in many an environment; that alone chooses no model.
    provider("github-copilot", RESPONSES, "https://api.individual.githubcopilot.com", &[], "gpt-4o"),
    provider("ollama", COMPLETIONS, "http://127.0.0.1:11434/v1", &[], ""),
];

/// Providers that users of the original have configured, and what they need that is not here.
pub(super) const OTHER_FORMATS: [(&str, &str); 5] = [
    ("claude-cli", "a command-line agent"),
    ("google-vertex", "google-vertex"),
    // It answers only who says to be that editor.
    ("google-antigravity", "google-antigravity"),
    ("amazon-bedrock", "bedrock-converse-stream"),
    ("codex-cli", "a command-line agent"),
];

/// Returns whether people sign in to a provider, which then needs a credential.
pub(super) fn is_signed_in_to(provider: &str) -> bool {
    crate::agent::auth_profiles::oauth::issuer(provider).is_some()
}

/// Returns the provider of that id.
pub(super) fn builtin(id: &str) -> Option<&'static Builtin> {
    BUILTIN.iter().find(|builtin| builtin.id == id)
}

/// Returns the environment variables that may hold a provider's key, in order.
pub(super) fn env_names(provider: &str) -> &'static [&'static str] {
    match provider {
        "github-copilot" => &["COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"],
        _ => builtin(provider).map_or(&[], |builtin| builtin.env),
    }
}
