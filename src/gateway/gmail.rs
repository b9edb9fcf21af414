//! The gateway's watcher of a mailbox: when there is one, and with what (http.md §5.6).
//!
//! At the start, and where an edit of the configuration concerns it. Runs on whoever asks, `main` mostly, and returns at
//! once. Not here: what it does (`gmail::watch`).

use std::sync::Arc;

use super::ctx::Ctx;
use crate::base::text::{is_truthy, unless_blank};
use crate::config::paths::gateway_port;
use crate::config::types::Config;
use crate::gmail::watch::Watch;
use crate::gmail::{self, Overrides, Settings};

/// Keys whose change concerns the watcher; with them everything below.
const KEYS: [&str; 4] = ["hooks.gmail", "hooks.enabled", "hooks.token", "hooks.path"];

/// Begins, if the configuration wants it.
pub fn start(cx: &Ctx) {
    let wanted = wanted(&cx.config.get());
    if wanted.is_some() {
        cx.gmail.replace(wanted);
    }
}

/// Begins anew, or ends, where what changed concerns it.
pub fn reload(cx: &Ctx, changed: &[String]) {
    let concerns = |path: &String| {
        // compat: any change below hooks.gmail, also one that changes nothing here: so people restart it.
        path == "hooks"
            || KEYS
                .iter()
                .any(|key| path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    };
    if changed.iter().any(concerns) {
        cx.gmail.replace(wanted(&cx.config.get()));
    }
}

/// Returns what is to run; says why nothing can.
fn wanted(config: &Config) -> Option<Watch> {
    let account = config.hooks.gmail.account.as_deref().and_then(unless_blank);
    if config.hooks.enabled != Some(true) || account.is_none() {
        return None;
    }
    if std::env::var("CLAWDBOT_SKIP_GMAIL_WATCHER").is_ok_and(|value| is_truthy(&value)) {
        log::info!(target: "gateway/hooks", "gmail watcher not started (CLAWDBOT_SKIP_GMAIL_WATCHER)");
        return None;
    }
    let found = gmail::gog().map_err(|hint| format!("gog binary not found ({hint})")).and_then(|gog| {
        let settings = Settings::resolve(config, gateway_port(None, config), &Overrides::default())?;
        Ok((gog, settings))
    });
    match found {
        Ok((gog, settings)) => {
            let tell = Arc::new(|level, text: &str| log::log!(target: "gmail-watcher", level, "{text}"));
            Some(Watch { settings, gog, tell })
        }
        Err(error) => {
            log::warn!(target: "gateway/hooks", "gmail watcher not started: {error}");
            None
        }
    }
}
