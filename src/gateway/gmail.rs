//! The gateway's watcher of a mailbox: when there is one, and with what (http.md §5.6).
//!
//! At the start, and where an edit of the configuration concerns it. Runs on whoever asks, `main` mostly, and returns at
//! once. Not here: what it does (`gmail::watch`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::ctx::Ctx;
use crate::base::text::{is_truthy, unless_blank};
use crate::config::diff;
use crate::config::types::Config;
use crate::gmail::watch::{Watch, Watcher};
use crate::gmail::{self, Overrides, Settings};

/// Keys whose change concerns the watcher; with them everything below.
const KEYS: [&str; 4] = ["hooks.gmail", "hooks.enabled", "hooks.token", "hooks.path"];

/// The watcher, and what only the start knows.
pub struct Mailbox {
    /// What runs.
    pub watcher: Watcher,
    /// Where this gateway is for programs of this machine.
    origin: String,
}

impl Mailbox {
    /// Returns one without a watch, for a gateway that listens there.
    pub fn new(address: Option<&SocketAddr>, has_tls: bool) -> Self {
        let origin = address.map(|address| {
            let ip = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
            format!("{}://{}", if has_tls { "https" } else { "http" }, SocketAddr::new(ip, address.port()))
        });
        Self { watcher: Watcher::default(), origin: origin.unwrap_or_default() }
    }
}

/// Begins, if the configuration wants it.
pub fn start(cx: &Ctx) {
    let wanted = wanted(cx);
    if wanted.is_some() {
        cx.mailbox.watcher.replace(wanted);
    }
}

/// Begins anew, or ends, where what changed concerns it.
pub fn reload(cx: &Ctx, changed: &[String]) {
    let concerns = |path: &String| {
        // compat: any change below hooks.gmail, also one that changes nothing here: so people restart it.
        path == "hooks" || KEYS.iter().any(|key| diff::covers(key, path))
    };
    if changed.iter().any(concerns) {
        cx.mailbox.watcher.replace(wanted(cx));
    }
}

/// Returns what is to run; says why nothing can.
fn wanted(cx: &Ctx) -> Option<Watch> {
    let config: &Config = &cx.config.get();
    let account = config.hooks.gmail.account.as_deref().and_then(unless_blank);
    if config.hooks.enabled != Some(true) || account.is_none() {
        return None;
    }
    if std::env::var("CLAWDBOT_SKIP_GMAIL_WATCHER").is_ok_and(|value| is_truthy(&value)) {
        log::info!(target: "gateway/hooks", "gmail watcher not started (CLAWDBOT_SKIP_GMAIL_WATCHER)");
        return None;
    }
    let found = gmail::gog().map_err(|hint| format!("gog binary not found ({hint})")).and_then(|gog| {
        let settings = Settings::resolve(config, &cx.mailbox.origin, &Overrides::default())?;
        Ok((gog, settings))
    });
    match found {
        Ok((gog, settings)) => {
            if settings.hook_url.starts_with("https://") && settings.hook_url.starts_with(&cx.mailbox.origin) {
                log::warn!(
                    target: "gateway/hooks",
                    "gog posts mails to {} and must trust this gateway's certificate; hooks.gmail.hookUrl names another way",
                    settings.hook_url,
                );
            }
            let tell = Arc::new(|level, text: &str| log::log!(target: "gmail-watcher", level, "{text}"));
            Some(Watch { settings, gog, tell })
        }
        Err(error) => {
            log::warn!(target: "gateway/hooks", "gmail watcher not started: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_gog_finds_the_gateway() {
        for (address, has_tls, origin) in [
            ("127.0.0.1:18789", false, "http://127.0.0.1:18789"),
            ("0.0.0.0:18789", false, "http://127.0.0.1:18789"),
            ("100.64.0.7:1", true, "https://100.64.0.7:1"),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(Mailbox::new(Some(&address), has_tls).origin, origin);
        }
    }
}
