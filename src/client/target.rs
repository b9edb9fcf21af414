//! Which gateway is meant, and with which secrets: flags, then environment, then configuration (cli.md §2).
//!
//! Decisions over values that the caller read; nothing is looked up on the network. The one look at this machine: whether an
//! address is its own.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use crate::base::host;
use crate::base::secret::Secret;
use crate::config::paths::{Paths, gateway_port};
use crate::config::types::Config;

use super::ClientError;

/// A gateway to talk to.
#[derive(Debug, Clone)]
pub struct Target {
    /// WebSocket URL.
    pub url: String,
    /// Where the URL comes from, for people.
    pub source: String,
    /// `Bind: <mode>`, when the URL is the local one.
    pub bind_detail: Option<String>,
    /// What to say about a remote mode without URL.
    pub remote_fallback_note: Option<String>,
    /// The configuration file.
    pub config_file: PathBuf,
    /// Shared token.
    pub token: Option<Secret>,
    /// Shared password.
    pub password: Option<Secret>,
    /// SHA-256 of the certificate it must show, over TLS.
    pub tls_fingerprint: Option<String>,
}

/// What the command line says about the gateway.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--url`.
    pub url: Option<String>,
    /// `--token`.
    pub token: Option<String>,
    /// `--password`.
    pub password: Option<String>,
}

impl Target {
    /// Decides from flags, the process environment and the configuration.
    pub fn resolve(paths: &Paths, config: &Config, overrides: &Overrides) -> Self {
        Self::resolve_with(paths, config, overrides, |name| std::env::var(name).ok())
    }

    /// As [`Target::resolve`], with the variables read through `env`.
    pub fn resolve_with(
        paths: &Paths,
        config: &Config,
        overrides: &Overrides,
        env: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let gateway = &config.gateway;
        let is_remote = gateway.mode.as_deref() == Some("remote");
        let flag = given(overrides.url.as_deref());
        let remote = if is_remote { given(gateway.remote.url.as_deref()) } else { None };
        let pin = if flag.is_none() && remote.is_some() { &gateway.remote.tls_fingerprint } else { &None };
        // This machine's own gateway is known by its certificate: nobody else can read the file.
        let is_local = flag.is_none() && remote.is_none() && gateway.tls.enabled == Some(true);
        let own = || super::tls::fingerprint_of(&paths.tls_files(config).0);
        let tls_fingerprint = given(pin.as_deref()).or_else(|| if is_local { own() } else { None });
        let mut bind_detail = None;
        let mut note = None;
        let (url, source) = match (flag, remote) {
            (Some(url), _) => (url, "cli --url".to_owned()),
            (None, Some(url)) => (url, "config gateway.remote.url".to_owned()),
            (None, None) => {
                let (url, source) = local_url(config);
                bind_detail = Some(format!("Bind: {}", gateway.bind.as_deref().unwrap_or("loopback")));
                if is_remote {
                    note = Some(
                        "Warn: gateway.mode=remote but gateway.remote.url is missing; set gateway.remote.url or switch gateway.mode=local."
                            .to_owned(),
                    );
                    (url, "missing gateway.remote.url (fallback local)".to_owned())
                } else {
                    (url, source)
                }
            }
        };
        let first = |candidates: [Option<String>; 3]| {
            candidates.into_iter().find_map(|text| given(text.as_deref())).map(Secret::new)
        };
        let token = match is_remote {
            true => first([overrides.token.clone(), gateway.remote.token.clone(), None]),
            false => first([overrides.token.clone(), env("CLAWDBOT_GATEWAY_TOKEN"), gateway.auth.token.clone()]),
        };
        let configured = if is_remote { &gateway.remote.password } else { &gateway.auth.password };
        let password = first([overrides.password.clone(), env("CLAWDBOT_GATEWAY_PASSWORD"), configured.clone()]);
        Self {
            url,
            source,
            bind_detail,
            remote_fallback_note: note,
            config_file: paths.config_file.clone(),
            token,
            password,
            tls_fingerprint,
        }
    }

    /// Returns the block of connection details that errors end with.
    pub fn details(&self) -> String {
        let mut lines = vec![
            format!("Gateway target: {}", self.url),
            format!("Source: {}", self.source),
            format!("Config: {}", self.config_file.display()),
        ];
        lines.extend(self.bind_detail.clone());
        lines.extend(self.remote_fallback_note.clone());
        lines.join("\n")
    }

    /// Refuses to call the local gateway when a remote one is configured without its URL.
    ///
    /// # Errors
    /// `Unusable`, with what to do.
    pub fn check(&self) -> Result<(), ClientError> {
        if self.remote_fallback_note.is_none() {
            return Ok(());
        }
        Err(ClientError::Unusable(format!(
            "gateway remote mode misconfigured: gateway.remote.url missing\nConfig: {}\nFix: set gateway.remote.url, or set gateway.mode=local.",
            self.config_file.display()
        )))
    }
}

/// Returns the URL of this machine's own gateway and where it comes from.
pub fn local_url(config: &Config) -> (String, String) {
    let port = gateway_port(None, config);
    let (host, kind) = local_host(config);
    let source = if kind == "loopback" { "local loopback".to_owned() } else { format!("local {kind} {host}") };
    (format!("{}://{host}:{port}", scheme(config)), source)
}

/// Returns the address where this machine's own gateway listens for this machine, and what kind of address it is. One that
/// cannot be had is not the gateway's either: then it listens on all of them.
pub fn local_host(config: &Config) -> (Ipv4Addr, &'static str) {
    let custom = || {
        let ip: Ipv4Addr = config.gateway.custom_bind_host.as_deref()?.parse().ok()?;
        (!ip.is_unspecified() && TcpListener::bind((ip, 0)).is_ok()).then_some(ip)
    };
    let chosen = match config.gateway.bind.as_deref() {
        Some("tailnet") => host::tailnet_ipv4().map(|ip| (ip, "tailnet")),
        Some("custom") => custom().filter(|ip| *ip != Ipv4Addr::LOCALHOST).map(|ip| (ip, "custom")),
        _ => None,
    };
    chosen.unwrap_or((Ipv4Addr::LOCALHOST, "loopback"))
}

/// Returns what this machine's own gateway is spoken to with.
pub fn scheme(config: &Config) -> &'static str {
    if config.gateway.tls.enabled == Some(true) { "wss" } else { "ws" }
}

fn given(text: Option<&str>) -> Option<String> {
    text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}
