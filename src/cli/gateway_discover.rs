//! `gateway discover`: the gateways that say that they are there (cli.md §6).

use std::time::Duration;

use serde_json::{Value, json};

use super::exit::{Failure, Outcome};
use super::{Cli, Command, output};
use crate::config::paths::GATEWAY_PORT;
use crate::discovery::{Beacon, LOCAL, WIDE_AREA_DOMAIN, find};

/// How long is listened unless said otherwise, in milliseconds.
const TIMEOUT_DEFAULT_MS: u64 = 2000;

/// find gateways on the local network (mDNS) and in the tailnet
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Discover {
    /// how long to listen, in milliseconds (default 2000)
    #[argh(option, arg_name = "ms")]
    timeout: Option<String>,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for Discover {
    const IS_LENIENT: bool = true;

    fn run(self, _cli: &Cli) -> Outcome {
        let timeout_ms =
            match self.timeout.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
                None => TIMEOUT_DEFAULT_MS,
                Some(text) => text.parse().ok().filter(|ms| *ms > 0).ok_or_else(|| {
                    Failure::text(format!("gateway discover failed: Error: invalid --timeout: {text}"))
                })?,
            };
        let found = find(Duration::from_millis(timeout_ms));
        if self.json {
            let beacons: Vec<Value> = found.iter().map(with_url).collect();
            let domains = [LOCAL, WIDE_AREA_DOMAIN];
            let count = beacons.len();
            output::json(&json!({"timeoutMs": timeout_ms, "domains": domains, "count": count, "beacons": beacons}));
            return Ok(());
        }
        output::line(&output::bold("Gateway Discovery"));
        let domains = format!("domains: {LOCAL}, {WIDE_AREA_DOMAIN}");
        output::line(&output::dim(&format!("Found {} gateway(s) · {domains}", found.len())));
        for beacon in &found {
            lines(beacon).iter().for_each(|line| output::line(line));
        }
        Ok(())
    }
}

fn with_url(beacon: &Beacon) -> Value {
    let mut value = json!(beacon);
    value["wsUrl"] = beacon.ws_url().into();
    value
}

fn lines(beacon: &Beacon) -> Vec<String> {
    let mut lines = vec![format!("- {} {}", output::bold(&beacon.display_name), output::dim(&beacon.domain))];
    let mut add = |name: &str, value: Option<&str>| lines.extend(value.map(|value| format!("  {name}: {value}")));
    add("tailnet", beacon.tailnet_dns.as_deref());
    add("lan", beacon.lan_host.as_deref());
    add("host", beacon.host.as_deref());
    add("ws", beacon.ws_url().as_deref());
    add("role", beacon.role.as_deref());
    add("transport", beacon.transport.as_deref());
    if beacon.gateway_tls == Some(true) {
        let fingerprint = beacon.gateway_tls_fingerprint_sha256.as_ref().map(|it| format!("sha256 {it}"));
        add("tls", Some(fingerprint.as_deref().unwrap_or("enabled")));
    }
    if let (Some(port), Some(host)) = (beacon.ssh_port, beacon.reach_host()) {
        let gateway = beacon.gateway_port.unwrap_or(GATEWAY_PORT);
        add("ssh", Some(&format!("ssh -N -L {GATEWAY_PORT}:127.0.0.1:{gateway} <user>@{host} -p {port}")));
    }
    lines
}
