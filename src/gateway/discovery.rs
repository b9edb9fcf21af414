//! This gateway's place on the local network and in the tailnet (http.md §10.8, §10.9).
//!
//! Says what [`crate::discovery`] tells others, and when: from the end of a start to the beginning of a stop. Whatever
//! fails is only logged; the gateway works without. compat: a gateway that listens on loopback alone is advertised, too:
//! companion apps reach it through SSH, whose port is in the advertisement.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::ctx::Ctx;
use crate::base::cancel::CancelToken;
use crate::base::clock::iso_utc;
use crate::base::process::{Ended, Keep, capture};
use crate::base::text::{is_truthy, unless_blank};
use crate::base::{host, program, tailscale};
use crate::discovery::advertise::{Advertiser, Farewell};
use crate::discovery::{Advert, WIDE_AREA_DOMAIN, without_local, zone};

/// How long Tailscale and macOS may take to say a name.
const NAME_WAIT: Duration = Duration::from_millis(1500);

/// What only the start knows.
pub struct Facts {
    /// The gateway's port.
    pub port: u16,
    /// SHA-256 of its certificate, with TLS.
    pub tls_fingerprint: Option<String>,
    /// The canvas's own port, while there is one.
    pub canvas_port: Option<u16>,
    /// Whether it is published through Tailscale.
    pub has_tailscale: bool,
}

/// Begins; nothing of it is waited for. `farewell` is what the last start has left to say, if nobody says the same again.
pub fn start(cx: &Arc<Ctx>, facts: Facts, farewell: Option<Farewell>) -> Option<Advertiser> {
    let env = |name: &str| std::env::var(name).ok();
    let is_advertised = !env("CLAWDBOT_DISABLE_BONJOUR").is_some_and(|text| is_truthy(&text));
    let is_wide = cx.config.get().discovery.wide_area.enabled == Some(true);
    if !is_advertised && !is_wide {
        return None;
    }
    let cx = cx.clone();
    let started = Advertiser::start(move |cancel| {
        let advert = advert(facts, cancel);
        // A stop cut the questions short: what is missing of the answers would be published as missing.
        if cancel.is_cancelled() {
            return None;
        }
        if is_wide {
            publish(&cx, &advert);
        }
        is_advertised.then_some(advert)
    });
    if let Some(farewell) = farewell.filter(|_| is_advertised && started.is_ok()) {
        farewell.withdraw();
    }
    started.inspect_err(|error| log::warn!(target: "gateway/discovery", "bonjour advertising failed: {error}")).ok()
}

/// Asks the machine what there is to say.
fn advert(facts: Facts, cancel: &CancelToken) -> Advert {
    let env = |name: &str| std::env::var(name).ok().and_then(|text| unless_blank(&text).map(str::to_owned));
    let name = host::name();
    let machine = computer_name(cancel).unwrap_or_else(|| without_local(&name).to_owned());
    let told = env("CLAWDBOT_TAILNET_DNS").map(|name| name.trim_end_matches('.').to_owned());
    let tailnet = || tailscale::own_name(&tailscale::status(NAME_WAIT, cancel).ok()?);
    let own = || program::file().ok().map(|path| path.display().to_string());
    Advert {
        host: Advert::host_for(&name),
        instance: Advert::instance_for(&machine),
        port: facts.port,
        tls_fingerprint: facts.tls_fingerprint,
        canvas_port: facts.canvas_port,
        tailnet_dns: told.or_else(|| if facts.has_tailscale { tailnet() } else { None }),
        cli_path: env("CLAWDBOT_CLI_PATH").or_else(own),
        ssh_port: env("CLAWDBOT_SSH_PORT").and_then(|port| port.parse().ok()).filter(|port| *port > 0),
    }
}

/// Returns the name that the owner of a Mac gave it.
fn computer_name(cancel: &CancelToken) -> Option<String> {
    if !cfg!(target_os = "macos") {
        return None;
    }
    ["ComputerName", "LocalHostName"].iter().find_map(|key| {
        let mut command = Command::new("/usr/sbin/scutil");
        command.args(["--get", key]);
        let captured = capture(command, Some(NAME_WAIT), Keep::First(4096), cancel).ok()?;
        let name = unless_blank(&captured.stdout).map(str::to_owned);
        name.filter(|_| captured.ended == Ended::Exited(0))
    })
}

/// Writes the zone that the tailnet's name server publishes.
fn publish(cx: &Ctx, advert: &Advert) {
    let Some(ipv4) = host::tailnet_ipv4() else {
        log::warn!(
            target: "gateway/discovery",
            "discovery.wideArea.enabled is true, but no Tailscale IPv4 address was found; skipping unicast DNS-SD zone update",
        );
        return;
    };
    let place = zone::Place { ipv4, ipv6: host::tailnet_ipv6() };
    let today = iso_utc(cx.clock.now_ms())[..10].replace('-', "");
    match zone::write(&cx.paths.state_dir, advert, place, &today) {
        Ok((file, is_new)) => {
            let what = if is_new { "updated" } else { "unchanged" };
            let file = cx.paths.shorten(&file);
            log::info!(target: "gateway/discovery", "wide-area DNS-SD {what} ({WIDE_AREA_DOMAIN} → {file})");
        }
        Err(error) => log::warn!(target: "gateway/discovery", "wide-area discovery update failed: {error}"),
    }
}
