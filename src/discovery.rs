//! Finding gateways: what one says of itself on the local network, and how others are found (http.md §10.8, §10.9).
//!
//! [`advertise`] answers for this machine's gateway by mDNS, [`browse`] asks the local network, [`wide_area`] asks the
//! tailnet's name servers, [`zone`] writes what such a server publishes. DNS messages are [`message`]'s, who holds which
//! name is decided by [`responder`], [`links`] has the sockets. IPv4 only, as the gateway's port. Not here: when a gateway
//! is advertised (`gateway::discovery`) and what commands print (`cli`).

pub mod advertise;
pub mod browse;
pub mod links;
pub mod message;
pub mod responder;
pub mod wide_area;
pub mod zone;

use std::net::Ipv4Addr;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::base::thread;

/// The port of mDNS, and the group that speaks it.
pub const PORT: u16 = 5353;
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// The local network's domain.
const DOMAIN: &str = "local";
/// What gateways are found by.
const SERVICE: &str = "_clawdbot-gw._tcp";
/// The same, as it is shown.
pub const LOCAL: &str = "local.";
/// The domain of gateways beyond the local network.
pub const WIDE_AREA_DOMAIN: &str = "clawdbot.internal.";

/// What a gateway says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advert {
    /// Label of its host.
    pub host: String,
    /// Name of its service.
    pub instance: String,
    /// Its port.
    pub port: u16,
    /// SHA-256 of its certificate, in hex; `None` where it speaks without TLS.
    pub tls_fingerprint: Option<String>,
    /// The canvas's own port, while there is one.
    pub canvas_port: Option<u16>,
    /// Its name in the tailnet.
    pub tailnet_dns: Option<String>,
    /// Where its command line is.
    pub cli_path: Option<String>,
    /// The port of its machine's SSH, where somebody said so.
    pub ssh_port: Option<u16>,
}

impl Advert {
    /// Returns the name of a service for a machine's name.
    pub fn instance_for(machine: &str) -> String {
        match machine.trim() {
            "" => "Clawdbot".to_owned(),
            name if name.to_lowercase().contains("clawdbot") => name.to_owned(),
            name => format!("{name} (Clawdbot)"),
        }
    }

    /// Returns the label of a host for its name.
    pub fn host_for(name: &str) -> String {
        let label = without_local(name).split('.').next().unwrap_or_default().trim();
        if label.is_empty() { "clawdbot".to_owned() } else { label.to_owned() }
    }

    /// Returns the texts of its service; `lan_host` is the host's name in use.
    fn texts(&self, lan_host: &str) -> Vec<String> {
        let mut texts = vec!["role=gateway".to_owned(), format!("gatewayPort={}", self.port)];
        texts.push(format!("lanHost={lan_host}"));
        texts.push(format!("displayName={}", self.display_name()));
        texts.extend(self.tls_texts());
        texts.extend(self.canvas_port.map(|port| format!("canvasPort={port}")));
        texts.extend(self.tailnet_dns.as_ref().map(|name| format!("tailnetDns={name}")));
        texts.extend(self.cli_path.as_ref().map(|path| format!("cliPath={path}")));
        texts.push(format!("sshPort={}", self.ssh_port.unwrap_or(22)));
        texts.push("transport=gateway".to_owned());
        texts
    }

    fn tls_texts(&self) -> Vec<String> {
        let fingerprint = self.tls_fingerprint.iter();
        fingerprint.flat_map(|it| ["gatewayTls=1".to_owned(), format!("gatewayTlsSha256={it}")]).collect()
    }

    /// Returns the name for people: without what marks it as a gateway's.
    fn display_name(&self) -> String {
        let name = self.instance.split_whitespace().collect::<Vec<_>>().join(" ");
        let mark = name.len().saturating_sub(" (clawdbot)".len());
        let is_marked = name.get(mark..).is_some_and(|end| end.eq_ignore_ascii_case(" (clawdbot)"));
        if is_marked && mark > 0 { name[..mark].to_owned() } else { name }
    }
}

/// Returns a machine's name without a `.local` at its end.
pub fn without_local(name: &str) -> &str {
    let cut = name.len().saturating_sub(".local".len());
    if name.get(cut..).is_some_and(|end| end.eq_ignore_ascii_case(".local")) { &name[..cut] } else { name }
}

/// A gateway that was found. In JSON as the original has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Beacon {
    /// Name of its service.
    pub instance_name: String,
    /// Its name for people.
    pub display_name: String,
    /// Where it was found: `local.`, or [`WIDE_AREA_DOMAIN`].
    pub domain: String,
    /// The host that its service names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port that its service names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// All its texts.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub txt: Map<String, Value>,
    /// Its host on the local network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lan_host: Option<String>,
    /// Its host in the tailnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tailnet_dns: Option<String>,
    /// Where its command line is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cli_path: Option<String>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_port: Option<u16>,
    /// The port of its machine's SSH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_port: Option<u16>,
    /// Whether it speaks TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_tls: Option<bool>,
    /// SHA-256 of its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_tls_fingerprint_sha256: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// How it is spoken to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
}

/// Returns the gateways that answer within `timeout`, on the local network and in the tailnet, by name. A network that
/// cannot be asked has none.
pub fn find(timeout: Duration) -> Vec<Beacon> {
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let wide = thread::spawn("discover", thread::STACK_SMALL_BYTES, move || {
        // Full never: it is sent once, and received below.
        let _ = sender.send(wide_area::browse(timeout));
    });
    let mut found = browse::browse(timeout).unwrap_or_else(|error| {
        log::debug!(target: "discovery", "the local network cannot be asked: {error}");
        Vec::new()
    });
    if wide.is_ok() {
        found.extend(receiver.recv().unwrap_or_default());
    }
    found.sort_by_cached_key(|beacon| (beacon.display_name.to_lowercase(), beacon.domain != LOCAL));
    found.dedup_by(|a, b| a == b);
    found
}

impl Beacon {
    /// Returns what a service says of itself. Texts come from whoever is on the network: control characters are left out.
    fn of(instance: &str, domain: &str, host: &str, port: u16, texts: &[String]) -> Self {
        let clean = |text: &str| -> String { text.chars().filter(|c| !c.is_control()).collect() };
        let mut txt = Map::new();
        for (key, value) in texts.iter().filter_map(|text| text.split_once('=')) {
            let key = clean(key.trim());
            if !key.is_empty() {
                // The first of a key counts (RFC 6763 §6.4).
                txt.entry(key).or_insert_with(|| clean(value.trim()).into());
            }
        }
        let text = |key: &str| txt.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let number = |key: &str| text(key)?.parse().ok().filter(|&port: &u16| port > 0);
        let instance_name = clean(instance);
        Self {
            display_name: text("displayName").unwrap_or_else(|| instance_name.clone()),
            instance_name,
            domain: domain.to_owned(),
            host: Some(clean(host.trim_end_matches('.'))).filter(|host| !host.is_empty()),
            port: Some(port).filter(|port| *port > 0),
            lan_host: text("lanHost"),
            tailnet_dns: text("tailnetDns"),
            cli_path: text("cliPath"),
            gateway_port: number("gatewayPort"),
            ssh_port: number("sshPort"),
            gateway_tls: text("gatewayTls").map(|it| matches!(&*it.to_lowercase(), "1" | "true" | "yes")),
            gateway_tls_fingerprint_sha256: text("gatewayTlsSha256"),
            role: text("role"),
            transport: text("transport"),
            txt,
        }
    }

    /// Returns the host to reach it by: in the tailnet, on the local network, or whatever its service names. What is no
    /// name of a host is passed over: it would mean something else in an address or on a command line.
    pub fn reach_host(&self) -> Option<&str> {
        [&self.tailnet_dns, &self.lan_host, &self.host].into_iter().flatten().map(String::as_str).find(|it| is_host(it))
    }

    /// Returns its address; `None` where no host is known.
    pub fn ws_url(&self) -> Option<String> {
        let scheme = if self.gateway_tls == Some(true) { "wss" } else { "ws" };
        let port = self.gateway_port.unwrap_or(crate::config::paths::GATEWAY_PORT);
        self.reach_host().map(|host| format!("{scheme}://{host}:{port}"))
    }
}

/// Returns whether a text can be a host's name or IPv4 address.
fn is_host(text: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=253).contains(&text.len()) && !text.starts_with(['-', '.']) && text.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_no_options_or_commands() {
        for host in ["box.local", "10.0.0.7", "a-b_c.example", "Bücher.local"] {
            assert!(is_host(host), "{host}");
        }
        let long = "a".repeat(254);
        for no_host in ["", "-oProxyCommand=x", "a b", "a;b", "$(a)", "`a`", "a@b", "a:1", "a/b", "a'b", ".", &long] {
            assert!(!is_host(no_host), "{no_host}");
        }
        let texts = ["tailnetDns=-oProxyCommand=x", "lanHost=a b.local"].map(str::to_owned);
        let beacon = Beacon::of("i", "local.", "box.local.", 1, &texts);
        assert_eq!(beacon.ws_url().as_deref(), Some("ws://box.local:18789"));
        assert_eq!(Beacon { host: None, ..beacon }.ws_url(), None);
    }

    #[test]
    fn names_of_machines() {
        for (machine, instance, host, shown) in [
            ("box", "box (Clawdbot)", "box", "box"),
            ("Mac mini.LOCAL", "Mac mini.LOCAL (Clawdbot)", "Mac mini", "Mac mini.LOCAL"),
            ("a.b.example", "a.b.example (Clawdbot)", "a", "a.b.example"),
            ("my-clawdbot", "my-clawdbot", "my-clawdbot", "my-clawdbot"),
            (" ", "Clawdbot", "clawdbot", "Clawdbot"),
            ("a  b", "a  b (Clawdbot)", "a  b", "a b"),
        ] {
            let advert = Advert { instance: Advert::instance_for(machine), ..Advert::default() };
            assert_eq!((advert.instance.as_str(), Advert::host_for(machine).as_str()), (instance, host));
            assert_eq!(advert.display_name(), shown);
        }
    }

    #[test]
    fn what_is_said_is_understood() {
        let advert = Advert {
            host: "box".to_owned(),
            instance: "box (Clawdbot)".to_owned(),
            port: 18789,
            tls_fingerprint: Some("ab12".to_owned()),
            canvas_port: Some(18793),
            tailnet_dns: Some("box.tail.ts.net".to_owned()),
            cli_path: Some("/usr/bin/clawdbot".to_owned()),
            ssh_port: None,
        };
        let keys: Vec<String> =
            advert.texts("box.local").iter().map(|it| it[..it.find('=').unwrap()].to_owned()).collect();
        let wanted = "role gatewayPort lanHost displayName gatewayTls gatewayTlsSha256 canvasPort tailnetDns cliPath sshPort transport";
        assert_eq!(keys.join(" "), wanted);
        let beacon = Beacon::of("box (Clawdbot)", "local.", "box.local.", 18789, &advert.texts("box.local"));
        assert_eq!((beacon.display_name.as_str(), beacon.host.as_deref()), ("box", Some("box.local")));
        assert_eq!((beacon.gateway_tls, beacon.ssh_port), (Some(true), Some(22)));
        assert_eq!(beacon.ws_url().as_deref(), Some("wss://box.tail.ts.net:18789"));
        let strange = ["=x", "role", "gatewayPort=0", "lanHost=a\u{1b}[31mb", "displayName=", "lanHost=second"];
        let beacon = Beacon::of("i\n", "local.", "", 0, &strange.map(str::to_owned));
        assert_eq!((beacon.display_name.as_str(), beacon.lan_host.as_deref()), ("i", Some("a[31mb")));
        assert_eq!((beacon.host.as_deref(), beacon.gateway_port, beacon.role), (None, None, None));
    }
}
