//! Stand-in for the gateway, so that the command line builds before it: replace this file whole.

use crate::config::paths::Paths;

/// How much the console shows of WebSocket traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WsLog {
    /// Errors and slow calls.
    #[default]
    Auto,
    /// Everything.
    Full,
    /// Everything, short.
    Compact,
}

/// What the command line says about the gateway to run.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct RunOptions {
    pub paths: Paths,
    pub port: Option<u16>,
    pub bind: Option<String>,
    pub auth: Option<String>,
    pub token: Option<String>,
    pub password: Option<String>,
    pub tailscale: Option<String>,
    pub allow_unconfigured: bool,
    pub dev: bool,
    pub reset: bool,
    pub force: bool,
    pub verbose: bool,
    pub ws_log: WsLog,
}

/// Does nothing.
pub fn run(_: RunOptions) -> i32 {
    0
}

/// Returns the program's version.
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
