//! The typed view of the effective configuration: what running code reads.
//!
//! One struct per section, filled from the effective tree after validation, so unknown keys never reach it. `None`
//! means that the key is absent and that the consumer's own default applies (named at the field). Sections that no
//! code reads yet stay in [`Config::tree`] alone. Not here: reading, checking and writing the file.

mod auth;
mod chats;
pub mod http;
mod media;
mod skills;
pub mod tts;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

pub use self::auth::{Auth, AuthCooldowns, AuthProfile};
pub use self::chats::{Binding, BindingMatch, BindingPeer, GroupChat, InboundPace, Messages};
pub use self::media::{LinkTools, MediaAttachments, MediaModel, MediaOptions, MediaSection, MediaTools, Medium};
pub use self::skills::{SkillEntry, Skills, SkillsInstall, SkillsLoad};

/// A string map whose order does not matter.
pub type StringMap = BTreeMap<String, String>;

/// The whole effective configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Config {
    /// `env`.
    pub env: Env,
    /// `logging`.
    pub logging: Logging,
    /// `update`.
    pub update: Update,
    /// `ui`.
    pub ui: Ui,
    /// `auth`.
    pub auth: Auth,
    /// `models`.
    pub models: Models,
    /// `agents`.
    pub agents: Agents,
    /// `tools`.
    pub tools: Tools,
    /// `messages`.
    pub messages: Messages,
    /// `bindings`.
    pub bindings: Vec<Binding>,
    /// `commands`.
    pub commands: Commands,
    /// `session`.
    pub session: Session,
    /// `gateway`.
    pub gateway: Gateway,
    /// `skills`.
    pub skills: Skills,
    /// `cron`.
    pub cron: Cron,
    /// `hooks`.
    pub hooks: http::Hooks,
    /// `canvasHost`.
    pub canvas_host: http::CanvasHost,
    /// `discovery`.
    pub discovery: http::Discovery,
    /// The effective tree as it would be written, every section included.
    #[serde(skip)]
    pub tree: Value,
}

impl Config {
    /// Returns the section of a channel as it is written; what it holds is the channel's own affair. `Null` when absent.
    pub fn channel(&self, id: &str) -> &Value {
        &self.tree["channels"][id]
    }

    /// Returns what is written of one account of a channel; `Null` when nothing is. Keys are ids as people write them.
    pub fn channel_account(&self, channel: &str, account: &str) -> &Value {
        let is_it = |(id, _): &(&String, &Value)| id.trim().to_lowercase() == account;
        let accounts = self.channel(channel)["accounts"].as_object();
        accounts.and_then(|accounts| accounts.iter().find(is_it)).map_or(&Value::Null, |(_, own)| own)
    }

    /// Returns what a tree means.
    ///
    /// # Panics
    /// When it is none that is valid.
    #[cfg(test)]
    pub fn of(tree: Value) -> Self {
        Self { tree: tree.clone(), ..serde_json::from_value(tree).expect("a configuration") }
    }
}

/// `update`: where newer versions of this program come from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Update {
    /// stable, beta or dev; default: what the installation says.
    pub channel: Option<String>,
}

/// `env`: variables exported to the process.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Env {
    /// `env.vars`.
    pub vars: StringMap,
    /// Other keys directly under `env` (strings win over `vars`; `shellEnv` is an object and is skipped here).
    #[serde(flatten)]
    pub inline: BTreeMap<String, Value>,
}

/// `logging`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Logging {
    /// File level: silent, fatal, error, warn, info (default), debug, trace.
    pub level: Option<String>,
    /// Log file instead of the daily one.
    pub file: Option<String>,
    /// Console level, default info.
    pub console_level: Option<String>,
    /// pretty, compact or json; default by terminal.
    pub console_style: Option<String>,
    /// `tools` (default) or `off`.
    pub redact_sensitive: Option<String>,
    /// Patterns that replace the built-in ones.
    pub redact_patterns: Option<Vec<String>>,
}

/// `ui`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Ui {
    /// `ui.assistant`.
    pub assistant: UiAssistant,
}

/// `ui.assistant`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UiAssistant {
    /// Shown name.
    pub name: Option<String>,
    /// Shown avatar.
    pub avatar: Option<String>,
}

/// `models`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Models {
    /// merge (default) or replace the built-in catalogue.
    pub mode: Option<String>,
    /// Providers by id as written.
    pub providers: BTreeMap<String, ModelProvider>,
}

/// `models.providers.<id>`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ModelProvider {
    /// Base URL; for the OpenAI kinds it includes `/v1`.
    pub base_url: String,
    /// Key, or the name of an environment variable.
    pub api_key: Option<String>,
    /// api-key, aws-sdk, oauth or token.
    pub auth: Option<String>,
    /// Wire format of all its models unless a model says otherwise.
    pub api: Option<String>,
    /// Extra request headers.
    pub headers: StringMap,
    /// Whether the key goes into `Authorization` (default true for the OpenAI kinds).
    pub auth_header: Option<bool>,
    /// Its models.
    pub models: Vec<ModelDef>,
}

/// One configured model.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ModelDef {
    /// Id sent to the provider.
    pub id: String,
    /// Shown name.
    pub name: String,
    /// Wire format.
    pub api: Option<String>,
    /// Whether the model reasons.
    pub reasoning: bool,
    /// `text`, `image`.
    pub input: Vec<String>,
    /// Price in USD per million tokens.
    pub cost: ModelCost,
    /// Context window in tokens; 0 = 200000.
    pub context_window: f64,
    /// Largest answer in tokens; 0 = min(8192, context window).
    pub max_tokens: f64,
    /// Extra request headers.
    pub headers: StringMap,
    /// Deviations of the server.
    pub compat: ModelCompat,
}

/// `cost` of a model, USD per million tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ModelCost {
    /// Prompt.
    pub input: f64,
    /// Answer.
    pub output: f64,
    /// Cached prompt read.
    pub cache_read: f64,
    /// Cached prompt written.
    pub cache_write: f64,
}

/// `compat` of a model.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ModelCompat {
    /// Whether `store` may be sent.
    pub supports_store: Option<bool>,
    /// Whether the role `developer` is known.
    pub supports_developer_role: Option<bool>,
    /// Whether `reasoning_effort` may be sent.
    pub supports_reasoning_effort: Option<bool>,
    /// `max_completion_tokens` or `max_tokens`.
    pub max_tokens_field: Option<String>,
}

/// `agents`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Agents {
    /// `agents.defaults`.
    pub defaults: AgentDefaults,
    /// `agents.list`; empty means one implicit agent `main`.
    pub list: Vec<AgentEntry>,
}

/// A model reference: a bare string, or primary and fallbacks.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum ModelRef {
    /// `"provider/model"` or an alias.
    Plain(String),
    /// `{primary, fallbacks}`.
    Chain {
        /// First choice.
        #[serde(default)]
        primary: Option<String>,
        /// Further choices; `Some([])` switches inherited ones off.
        #[serde(default)]
        fallbacks: Option<Vec<String>>,
    },
}

impl ModelRef {
    /// Returns the first choice, if any is named.
    pub fn primary(&self) -> Option<&str> {
        match self {
            Self::Plain(name) => Some(name),
            Self::Chain { primary, .. } => primary.as_deref(),
        }
    }
}

/// `agents.defaults`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AgentDefaults {
    /// Model; default: see `agent::models`.
    pub model: Option<ModelRef>,
    /// Allowed models and their aliases, `provider/model` → entry; empty = all.
    pub models: BTreeMap<String, AllowedModel>,
    /// Workspace directory, default `~/clawd` (`~/clawd-<profile>`).
    pub workspace: Option<String>,
    /// Whether no workspace files are made.
    pub skip_bootstrap: Option<bool>,
    /// Largest injected workspace file in characters, default 20000.
    pub bootstrap_max_chars: Option<u64>,
    /// IANA zone of the user.
    pub user_timezone: Option<String>,
    /// 12, 24 or auto (default), which is 12.
    pub time_format: Option<String>,
    /// Fallback context window.
    pub context_tokens: Option<u64>,
    /// off … xhigh.
    pub thinking_default: Option<String>,
    /// off (default), on, full.
    pub verbose_default: Option<String>,
    /// Run limit in seconds, default 600.
    pub timeout_seconds: Option<u64>,
    /// Heartbeat of agents that have none of their own.
    pub heartbeat: Option<Heartbeat>,
    /// Width of lane `main`, default 4.
    pub max_concurrent: Option<u64>,
    /// `agents.defaults.subagents`.
    pub subagents: SubagentDefaults,
}

/// `agents.defaults.models.<provider/model>`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AllowedModel {
    /// Short name.
    pub alias: Option<String>,
    /// `temperature`, `maxTokens`, `cacheControlTtl`.
    pub params: serde_json::Map<String, Value>,
}

/// `agents.defaults.subagents`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubagentDefaults {
    /// Width of lane `subagent`, default 8.
    pub max_concurrent: Option<u64>,
    /// How long a sub-agent's session stays after its last activity, default 60.
    pub archive_after_minutes: Option<u64>,
}

/// A heartbeat schedule.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Heartbeat {
    /// `30m`, `1h`; `0m` switches off. Default 30m.
    pub every: Option<String>,
    /// Model of heartbeat runs.
    pub model: Option<String>,
    /// Session, default main.
    pub session: Option<String>,
    /// Delivery target, default last.
    pub target: Option<String>,
    /// Whom, on that channel.
    pub to: Option<String>,
    /// Prompt instead of the built-in one.
    pub prompt: Option<String>,
    /// Longest acknowledgement, default 300.
    pub ack_max_chars: Option<u64>,
    /// When heartbeats are allowed, default always.
    pub active_hours: Option<HeartbeatHours>,
}

/// `activeHours` of a heartbeat.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HeartbeatHours {
    /// `HH:MM`.
    pub start: Option<String>,
    /// `HH:MM`, or `24:00`.
    pub end: Option<String>,
    /// user (default), local, or an IANA zone.
    pub timezone: Option<String>,
}

/// One entry of `agents.list`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AgentEntry {
    /// Id as written.
    pub id: String,
    /// Whether it is the default agent.
    pub default: bool,
    /// Shown name.
    pub name: Option<String>,
    /// Its workspace.
    pub workspace: Option<String>,
    /// Its directory for credentials.
    pub agent_dir: Option<String>,
    /// Its model.
    pub model: Option<ModelRef>,
    /// Its heartbeat.
    pub heartbeat: Option<Heartbeat>,
    /// Who it is.
    pub identity: Option<Identity>,
    /// `groupChat` of this agent.
    pub group_chat: GroupChat,
    /// `tools` of this agent.
    pub tools: Option<Value>,
}

/// `identity` of an agent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Identity {
    /// Name.
    pub name: Option<String>,
    /// Theme.
    pub theme: Option<String>,
    /// Emoji.
    pub emoji: Option<String>,
    /// Workspace-relative path, http(s) URL or data URI.
    pub avatar: Option<String>,
}

/// `tools`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tools {
    /// `tools.exec`.
    pub exec: ToolExec,
    /// `tools.media`.
    pub media: MediaTools,
    /// `tools.links`.
    pub links: LinkTools,
}

/// `tools.exec`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ToolExec {
    /// deny, allowlist, full.
    pub security: Option<String>,
    /// off, on-miss, always.
    pub ask: Option<String>,
    /// Directories put in front of PATH.
    pub path_prepend: Vec<String>,
    /// Programs that only filter, allowed without an entry.
    pub safe_bins: Option<Vec<String>>,
    /// Node that `nodes run` and the tool use.
    pub node: Option<String>,
}

/// `commands`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Commands {
    /// Whether `/commands` in text are parsed, default true.
    pub text: Option<bool>,
    /// Whether SIGUSR1 by hand and `/restart` work, default false.
    pub restart: Option<bool>,
    /// Whether only people of the lists may command, default true.
    pub use_access_groups: Option<bool>,
    /// Whether networks offer commands of their own: a boolean, or `auto` (default).
    pub native: Option<Value>,
    /// Whether skills are among these: a boolean, or `auto` (default).
    pub native_skills: Option<Value>,
}

/// `session`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Session {
    /// per-sender (default) or global.
    pub scope: Option<String>,
    /// Where direct chats are held: main (default), per-peer, per-channel-peer.
    pub dm_scope: Option<String>,
    /// Addresses of one person, by a name for them.
    pub identity_links: BTreeMap<String, Vec<String>>,
    /// Messages that start a new session, default `/new`, `/reset`.
    pub reset_triggers: Option<Vec<String>>,
    /// Legacy idle limit in minutes.
    pub idle_minutes: Option<u64>,
    /// When a session grows stale.
    pub reset: Option<SessionReset>,
    /// Store path with `{agentId}`.
    pub store: Option<String>,
    /// Who may get replies.
    pub send_policy: Option<SendPolicy>,
}

/// `session.reset`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SessionReset {
    /// daily (default) or idle.
    pub mode: Option<String>,
    /// Local hour of the daily boundary, default 4.
    pub at_hour: Option<i64>,
    /// Idle limit in minutes.
    pub idle_minutes: Option<u64>,
}

/// `session.sendPolicy`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SendPolicy {
    /// allow (default) or deny.
    pub default: Option<String>,
    /// Rules in order.
    pub rules: Vec<SendPolicyRule>,
}

/// One rule of `session.sendPolicy`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SendPolicyRule {
    /// allow or deny.
    pub action: String,
    /// What it applies to; absent parts match everything.
    #[serde(rename = "match")]
    pub matches: SendPolicyMatch,
}

/// `match` of a send policy rule.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SendPolicyMatch {
    /// Channel id.
    pub channel: Option<String>,
    /// direct, group, channel.
    pub chat_type: Option<String>,
    /// Prefix of the session key.
    pub key_prefix: Option<String>,
}

/// `gateway`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Gateway {
    /// Port, default 18789.
    pub port: Option<u64>,
    /// local or remote.
    pub mode: Option<String>,
    /// auto, lan, loopback (default), custom, tailnet.
    pub bind: Option<String>,
    /// Extension: the address of bind mode custom.
    pub custom_bind_host: Option<String>,
    /// `gateway.controlUi`.
    pub control_ui: ControlUi,
    /// `gateway.auth`.
    pub auth: GatewayAuth,
    /// Proxy addresses whose forwarding headers are believed.
    pub trusted_proxies: Vec<String>,
    /// `gateway.tailscale`.
    pub tailscale: Tailscale,
    /// `gateway.remote`: the client side.
    pub remote: GatewayRemote,
    /// `gateway.reload`.
    pub reload: GatewayReload,
    /// `gateway.tls`.
    pub tls: GatewayTls,
    /// `gateway.nodes`.
    pub nodes: GatewayNodes,
    /// `gateway.http`.
    pub http: http::GatewayHttp,
}

/// `gateway.nodes`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayNodes {
    /// Which node's browser serves `browser.request`.
    pub browser: GatewayNodesBrowser,
    /// Commands allowed beside those of the platform.
    pub allow_commands: Vec<String>,
    /// Commands forbidden on every node.
    pub deny_commands: Vec<String>,
}

/// `gateway.nodes.browser`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayNodesBrowser {
    /// auto (default), manual, off.
    pub mode: Option<String>,
    /// Node id or name.
    pub node: Option<String>,
}

/// `gateway.controlUi`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ControlUi {
    /// Default true.
    pub enabled: Option<bool>,
    /// URL prefix.
    pub base_path: Option<String>,
    /// Whether the page may connect without a device identity.
    pub allow_insecure_auth: Option<bool>,
}

/// `gateway.auth`.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayAuth {
    /// token or password; default by which secret is set.
    pub mode: Option<String>,
    /// Shared token.
    pub token: Option<String>,
    /// Shared password.
    pub password: Option<String>,
    /// Whether Tailscale identity headers are accepted.
    pub allow_tailscale: Option<bool>,
}

impl std::fmt::Debug for GatewayAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayAuth").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// `gateway.tailscale`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tailscale {
    /// off (default), serve, funnel.
    pub mode: Option<String>,
    /// Whether the exposure ends with the gateway; default false.
    pub reset_on_exit: Option<bool>,
}

/// `gateway.remote`.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayRemote {
    /// WebSocket URL.
    pub url: Option<String>,
    /// Token for it.
    pub token: Option<String>,
    /// Password for it.
    pub password: Option<String>,
    /// SHA-256 of the certificate it must show, over TLS.
    pub tls_fingerprint: Option<String>,
    /// Machine to tunnel to it through: `user@host:port`.
    pub ssh_target: Option<String>,
    /// Key file for that.
    pub ssh_identity: Option<String>,
}

impl std::fmt::Debug for GatewayRemote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayRemote").field("url", &self.url).finish_non_exhaustive()
    }
}

/// `cron`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Cron {
    /// Whether jobs run by themselves; default true.
    pub enabled: Option<bool>,
    /// The jobs' file, default `<state>/cron/jobs.json`.
    pub store: Option<String>,
    /// Jobs that run at a time, default 1.
    pub max_concurrent_runs: Option<u64>,
}

/// `gateway.reload`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayReload {
    /// off, restart, hot, hybrid (default).
    pub mode: Option<String>,
    /// Default 300.
    pub debounce_ms: Option<u64>,
}

/// `gateway.tls`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayTls {
    /// Default false.
    pub enabled: Option<bool>,
    /// Whether a certificate is made where there is none; default true.
    pub auto_generate: Option<bool>,
    /// The certificate, PEM.
    pub cert_path: Option<String>,
    /// Its key, PEM.
    pub key_path: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn accounts_are_found_however_people_write_their_names() {
        let config = Config::of(json!({"channels": {"telegram": {"accounts": {" Work": {"configWrites": false}}}}}));
        assert_eq!(config.channel_account("telegram", "work")["configWrites"], false);
        assert!(config.channel_account("telegram", "home").is_null() && config.channel_account("x", "work").is_null());
    }
}
