//! `gateway.http`, `hooks` and `canvasHost`: what the HTTP surfaces are told.

use serde::Deserialize;

const MIB: usize = 1024 * 1024;
/// Least cap of a body, unless it is set.
const BODY_BYTES_DEFAULT: usize = 20 * MIB;

/// `gateway.http`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayHttp {
    /// `gateway.http.endpoints`.
    pub endpoints: Endpoints,
}

/// `gateway.http.endpoints`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Endpoints {
    /// `POST /v1/chat/completions`.
    pub chat_completions: Switch,
    /// `POST /v1/responses`.
    pub responses: ResponsesEndpoint,
    /// Extension: `GET /metrics`.
    pub metrics: Switch,
}

/// Something that is off unless it is switched on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Switch {
    /// Default false.
    pub enabled: Option<bool>,
}

/// `gateway.http.endpoints.responses`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResponsesEndpoint {
    /// Default false.
    pub enabled: Option<bool>,
    /// Default 20 MiB, or twice the largest file or image.
    pub max_body_bytes: Option<usize>,
    /// Files that come with a request.
    pub files: MediaRules,
    /// Images that come with a request.
    pub images: MediaRules,
}

impl ResponsesEndpoint {
    /// Returns how many bytes a request may have.
    pub fn body_bytes_max(&self) -> usize {
        let twice = |rules: &MediaRules, default: usize| 2 * rules.max_bytes.unwrap_or(default);
        let default = BODY_BYTES_DEFAULT.max(twice(&self.files, 5 * MIB)).max(twice(&self.images, 10 * MIB));
        self.max_body_bytes.unwrap_or(default)
    }
}

/// `….files` and `….images`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MediaRules {
    /// Whether they may be fetched; default true.
    pub allow_url: Option<bool>,
    /// Types; the built-in ones when empty.
    pub allowed_mimes: Vec<String>,
    /// Largest one; default 5 MiB for files, 10 MiB for images.
    pub max_bytes: Option<usize>,
    /// Longest text of a file in characters; default 200,000.
    pub max_chars: Option<usize>,
    /// Redirections; default 3.
    pub max_redirects: Option<usize>,
    /// For a whole fetch; default 10 s.
    pub timeout_ms: Option<u64>,
    /// `files.pdf`.
    pub pdf: PdfRules,
}

/// `….files.pdf`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PdfRules {
    /// Pages that are read; default 4.
    pub max_pages: Option<usize>,
    /// Pixels of a page as a picture; default 4,000,000.
    pub max_pixels: Option<usize>,
    /// Characters from which the text alone counts; default 200.
    pub min_text_chars: Option<usize>,
}

/// `hooks`.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Hooks {
    /// Default false.
    pub enabled: Option<bool>,
    /// Default `/hooks`.
    pub path: Option<String>,
    /// What callers must show.
    pub token: Option<String>,
    /// Default 256 KiB.
    pub max_body_bytes: Option<usize>,
    /// Built-in mappings; `gmail` alone is known.
    pub presets: Vec<String>,
    /// Where transforms are; default the configuration's directory.
    pub transforms_dir: Option<String>,
    /// What becomes of requests below the path.
    pub mappings: Vec<HookMapping>,
    /// `hooks.gmail`.
    pub gmail: HooksGmail,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks").field("enabled", &self.enabled).field("path", &self.path).finish_non_exhaustive()
    }
}

/// `hooks.mappings[]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HookMapping {
    /// For the log.
    pub id: Option<String>,
    /// Which requests; all when absent.
    #[serde(rename = "match")]
    pub matches: Option<HookMatch>,
    /// wake or agent (default).
    pub action: Option<String>,
    /// now (default) or next-heartbeat.
    pub wake_mode: Option<String>,
    /// Template of the hook's name.
    pub name: Option<String>,
    /// Template of the session's key.
    pub session_key: Option<String>,
    /// Template of what to do.
    pub message_template: Option<String>,
    /// Template of what to tell the main session.
    pub text_template: Option<String>,
    /// Default true.
    pub deliver: Option<bool>,
    /// last (default), or a network.
    pub channel: Option<String>,
    /// Template of the recipient.
    pub to: Option<String>,
    /// Template of the model.
    pub model: Option<String>,
    /// Template of the thinking level.
    pub thinking: Option<String>,
    /// Limit of the run.
    pub timeout_seconds: Option<u64>,
    /// A function that decides.
    pub transform: Option<HookTransform>,
}

/// `hooks.mappings[].match`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HookMatch {
    /// The path below the hooks' own.
    pub path: Option<String>,
    /// `source` of the body.
    pub source: Option<String>,
}

/// `hooks.mappings[].transform`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HookTransform {
    /// A JavaScript module.
    pub module: String,
    /// Which of its functions.
    pub export: Option<String>,
}

/// `hooks.gmail`: the watcher of a mailbox, and what its mails are answered with.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HooksGmail {
    /// The account that is watched; nothing is without.
    pub account: Option<String>,
    /// Default INBOX.
    pub label: Option<String>,
    /// Pub/Sub topic, `projects/…/topics/…`.
    pub topic: Option<String>,
    /// Pub/Sub subscription; default gog-gmail-watch-push.
    pub subscription: Option<String>,
    /// What Google shows.
    pub push_token: Option<String>,
    /// Where mails are posted; default this gateway.
    pub hook_url: Option<String>,
    /// Default true.
    pub include_body: Option<bool>,
    /// Default 20,000.
    pub max_bytes: Option<u64>,
    /// Default 720.
    pub renew_every_minutes: Option<u64>,
    /// Where the watcher listens.
    pub serve: HooksGmailServe,
    /// How Google reaches it.
    pub tailscale: HooksGmailTailscale,
    /// Model of its sessions.
    pub model: Option<String>,
    /// Thinking level of its sessions.
    pub thinking: Option<String>,
}

impl std::fmt::Debug for HooksGmail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HooksGmail").field("account", &self.account).finish_non_exhaustive()
    }
}

/// `hooks.gmail.serve`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HooksGmailServe {
    /// Default 127.0.0.1.
    pub bind: Option<String>,
    /// Default 8788.
    pub port: Option<u64>,
    /// Default /gmail-pubsub.
    pub path: Option<String>,
}

/// `hooks.gmail.tailscale`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HooksGmailTailscale {
    /// off (default), serve or funnel.
    pub mode: Option<String>,
    /// Public path; default the watcher's.
    pub path: Option<String>,
    /// Where requests go, in place of the port.
    pub target: Option<String>,
}

/// `discovery`: how gateways are found.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Discovery {
    /// `discovery.wideArea`: beyond the local network.
    pub wide_area: WideArea,
}

/// `discovery.wideArea`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WideArea {
    /// Whether a zone is written for the tailnet's name server; default false.
    pub enabled: Option<bool>,
}

/// `canvasHost`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CanvasHost {
    /// Default true.
    pub enabled: Option<bool>,
    /// Default `~/clawd/canvas`.
    pub root: Option<String>,
    /// Default 18793, or the gateway's port and four.
    pub port: Option<u16>,
    /// Default true.
    pub live_reload: Option<bool>,
}
