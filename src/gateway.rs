//! The wiring: the one place that knows both the features and the network.
//!
//! `supervise` runs start → wait → stop; `boot` starts and stops one gateway; `work` is everything that can make it act.

mod abort;
mod accepted;
pub mod attachments;
pub mod auth;
mod boot;
#[cfg(feature = "canvas")]
mod canvas_host;
mod chat_commands;
mod chats;
mod client;
mod compacting;
mod config_file;
mod connect;
mod crew;
mod cron;
mod ctx;
mod dedupe;
mod deliveries;
mod dev;
#[cfg(feature = "discovery")]
mod discovery;
mod dispatch;
mod events;
mod exec_approvals;
mod fanout;
mod feedback;
mod force;
mod forward_approvals;
#[cfg(feature = "gmail")]
mod gmail;
mod health;
mod heartbeat;
mod hooks;
mod host;
mod http;
mod inbox;
mod lifecycle;
pub mod lock;
mod methods;
mod metrics;
mod nodes;
mod queue;
mod reload;
mod remote_bins;
mod replies;
mod runs;
mod sentinel;
mod start_run;
mod subagents;
mod supervise;
mod surfaces;
mod sweep;
mod system_events;
mod tailscale;
mod talks;
mod targets;
mod ticket;
mod tls;
mod tool_host;
mod usage_costs;
#[cfg(feature = "onboarding")]
mod wizards;
mod work;
mod ws_log;

pub use supervise::{run, start_logging};

use crate::config::paths::Paths;

/// What `clawdbot gateway` was asked to do.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Where files are.
    pub paths: Paths,
    /// `--port`.
    pub port: Option<u16>,
    /// `--bind`.
    pub bind: Option<String>,
    /// `--auth`.
    pub auth: Option<String>,
    /// `--token`.
    pub token: Option<String>,
    /// `--password`.
    pub password: Option<String>,
    /// `--tailscale`.
    pub tailscale: Option<String>,
    /// `--tailscale-reset-on-exit`.
    pub tailscale_reset_on_exit: bool,
    /// `--allow-unconfigured`.
    pub allow_unconfigured: bool,
    /// `--dev`, or profile dev.
    pub dev: bool,
    /// `--reset`.
    pub reset: bool,
    /// `--force`.
    pub force: bool,
    /// `--verbose`.
    pub verbose: bool,
    /// `--ws-log`.
    pub ws_log: WsLog,
    /// Says in lines for people which service may be keeping a gateway running; asked when a start fails.
    pub supervisor: fn(&Paths) -> Vec<String>,
}

/// Style of the WebSocket log with `--verbose`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WsLog {
    /// One line per request.
    #[default]
    Auto,
    /// Each frame.
    Full,
    /// One line per request.
    Compact,
}

/// Returns the version this gateway reports.
pub fn version() -> &'static str {
    static VERSION: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    VERSION.get_or_init(|| {
        std::env::var("CLAWDBOT_BUNDLED_VERSION")
            .ok()
            .filter(|version| !version.is_empty())
            .unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned())
    })
}
