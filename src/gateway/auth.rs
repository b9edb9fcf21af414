//! Shared authentication: token, password, Tailscale identity; and where a client really is (protocol.md §3.4–3.5).
//!
//! Pure functions over what was received. Not here: device identity and pairing (`connect`).

use std::net::IpAddr;

use crate::base::secret::Secret;
use crate::config::types::Config;
use crate::net::Peer;
use crate::net::http::RequestHead;

/// What a client must show.
#[derive(Debug, Clone)]
pub enum Mode {
    /// Nothing.
    None,
    /// The shared token.
    Token(Option<Secret>),
    /// The shared password.
    Password(Option<Secret>),
}

/// The authentication in force: flags over configuration over environment.
#[derive(Debug, Clone)]
pub struct Auth {
    /// What must be shown.
    pub mode: Mode,
    /// Whether Tailscale identity headers are accepted instead.
    pub allow_tailscale: bool,
}

/// Command-line values that win over the configuration.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--auth`.
    pub mode: Option<String>,
    /// `--token`.
    pub token: Option<Secret>,
    /// `--password`.
    pub password: Option<Secret>,
}

impl Auth {
    /// Decides the authentication.
    pub fn resolve(config: &Config, overrides: &Overrides, env: impl Fn(&str) -> Option<String>) -> Self {
        let auth = &config.gateway.auth;
        let pick = |flag: &Option<Secret>, file: &Option<String>, name: &str| {
            flag.clone()
                .or_else(|| file.clone().filter(|text| !text.is_empty()).map(Secret::new))
                .or_else(|| env(name).filter(|text| !text.trim().is_empty()).map(Secret::new))
        };
        let token = pick(&overrides.token, &auth.token, "CLAWDBOT_GATEWAY_TOKEN");
        let password = pick(&overrides.password, &auth.password, "CLAWDBOT_GATEWAY_PASSWORD");
        let mode = match overrides.mode.as_deref().or(auth.mode.as_deref()) {
            Some("password") => Mode::Password(password),
            Some("token") => Mode::Token(token),
            _ if password.is_some() => Mode::Password(password),
            _ if token.is_some() => Mode::Token(token),
            _ => Mode::None,
        };
        let serves = config.gateway.tailscale.mode.as_deref() == Some("serve");
        let allow_tailscale = auth.allow_tailscale.unwrap_or(serves && !matches!(mode, Mode::Password(_)));
        Self { mode, allow_tailscale }
    }

    /// Returns whether a secret must be shown.
    pub fn is_required(&self) -> bool {
        !matches!(self.mode, Mode::None)
    }

    /// Judges what a client shows.
    ///
    /// # Errors
    /// Why it was refused.
    pub fn check(
        &self,
        peer: &Peer,
        place: &Place,
        token: Option<&str>,
        password: Option<&str>,
    ) -> Result<(), Refusal> {
        if self.allow_tailscale && !place.is_direct_local {
            match tailscale_identity(peer) {
                Ok(()) => return Ok(()),
                Err(refusal) if matches!(self.mode, Mode::None) => return Err(refusal),
                Err(_) => {}
            }
        }
        match &self.mode {
            Mode::None => Ok(()),
            Mode::Token(None) => Err(Refusal::TokenNotConfigured),
            Mode::Token(Some(expected)) => match token {
                None => Err(Refusal::TokenMissing),
                Some(given) if expected.matches(given) => Ok(()),
                Some(_) => Err(Refusal::TokenMismatch),
            },
            Mode::Password(None) => Err(Refusal::PasswordNotConfigured),
            Mode::Password(Some(expected)) => match password {
                None => Err(Refusal::PasswordMissing),
                Some(given) if expected.matches(given) => Ok(()),
                Some(_) => Err(Refusal::PasswordMismatch),
            },
        }
    }
}

/// Why shared authentication failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No token was given.
    TokenMissing,
    /// Another token was given.
    TokenMismatch,
    /// The gateway has no token to compare with.
    TokenNotConfigured,
    /// No password was given.
    PasswordMissing,
    /// Another password was given.
    PasswordMismatch,
    /// The gateway has no password to compare with.
    PasswordNotConfigured,
    /// Tailscale did not say who it is.
    TailscaleUserMissing,
    /// The request did not come through Tailscale's proxy.
    TailscaleProxyMissing,
}

impl Refusal {
    /// Returns the text for a client, which says what to do there.
    pub fn message(self, client_id: &str, client_mode: &str) -> String {
        let is_cli = client_mode == "cli";
        let is_page = client_id == "clawdbot-control-ui" || client_id == "webchat-ui" || client_mode == "webchat";
        let token_hint = if is_cli {
            "set gateway.remote.token to match gateway.auth.token"
        } else if is_page {
            "open a tokenized dashboard URL or paste token in Control UI settings"
        } else {
            "provide gateway auth token"
        };
        let password_hint = if is_cli {
            "set gateway.remote.password to match gateway.auth.password"
        } else if is_page {
            "enter the password in Control UI settings"
        } else {
            "provide gateway auth password"
        };
        match self {
            Self::TokenMissing => format!("unauthorized: gateway token missing ({token_hint})"),
            Self::TokenMismatch => format!("unauthorized: gateway token mismatch ({token_hint})"),
            Self::TokenNotConfigured => {
                "unauthorized: gateway token not configured on gateway (set gateway.auth.token)".to_owned()
            }
            Self::PasswordMissing => format!("unauthorized: gateway password missing ({password_hint})"),
            Self::PasswordMismatch => format!("unauthorized: gateway password mismatch ({password_hint})"),
            Self::PasswordNotConfigured => {
                "unauthorized: gateway password not configured on gateway (set gateway.auth.password)".to_owned()
            }
            Self::TailscaleUserMissing => {
                "unauthorized: tailscale identity missing (use Tailscale Serve auth or gateway token/password)"
                    .to_owned()
            }
            Self::TailscaleProxyMissing => {
                "unauthorized: tailscale proxy headers missing (use Tailscale Serve or gateway token/password)"
                    .to_owned()
            }
        }
    }
}

/// Where a client is, as far as its proxies can be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its address; `None` behind a proxy that is not trusted.
    pub ip: Option<IpAddr>,
    /// Forwarding headers came from an address that is not a trusted proxy.
    pub has_untrusted_proxy: bool,
    /// It is on this machine.
    pub is_local: bool,
    /// It is on this machine and reached us without a proxy, by a local name.
    pub is_direct_local: bool,
}

/// Finds out where a client is.
pub fn place(config: &Config, peer: &Peer) -> Place {
    let peer_ip = canonical(peer.address.ip());
    let is_trusted = is_trusted_proxy(config, peer_ip);
    let forwarded = peer.head.header("x-forwarded-for");
    let real = peer.head.header("x-real-ip");
    let has_proxy_headers = forwarded.is_some() || real.is_some();
    let has_untrusted_proxy = has_proxy_headers && !is_trusted;
    let ip = if is_trusted {
        let first = forwarded.and_then(|list| list.split(',').next()).and_then(parse_ip);
        Some(first.or_else(|| real.and_then(parse_ip)).unwrap_or(peer_ip))
    } else if has_untrusted_proxy {
        None
    } else {
        Some(peer_ip)
    };
    let is_local = ip.is_some_and(|ip| ip.is_loopback());
    let has_any_proxy_header = has_proxy_headers || peer.head.header("x-forwarded-host").is_some();
    let is_direct_local = is_local && is_local_host_name(&peer.head) && (!has_any_proxy_header || is_trusted);
    Place { ip, has_untrusted_proxy, is_local, is_direct_local }
}

fn is_trusted_proxy(config: &Config, ip: IpAddr) -> bool {
    config.gateway.trusted_proxies.iter().filter_map(|text| parse_ip(text)).any(|trusted| trusted == ip)
}

fn is_local_host_name(head: &RequestHead) -> bool {
    let name = host_name(head.header("host").unwrap_or_default()).to_ascii_lowercase();
    matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1") || name.ends_with(".ts.net")
}

/// Returns the name in a `Host` header or URL authority, without port and brackets.
pub fn host_name(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None if host.matches(':').count() == 1 => host.split(':').next().unwrap_or(host),
        None => host,
    }
}

fn tailscale_identity(peer: &Peer) -> Result<(), Refusal> {
    if peer.head.header("tailscale-user-login").is_none_or(|login| login.trim().is_empty()) {
        return Err(Refusal::TailscaleUserMissing);
    }
    let has_headers = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]
        .iter()
        .all(|name| peer.head.header(name).is_some());
    if peer.address.ip().is_loopback() && has_headers { Ok(()) } else { Err(Refusal::TailscaleProxyMissing) }
}

/// Parses an address with or without port: `1.2.3.4`, `1.2.3.4:5`, `[::1]:5`, `::ffff:1.2.3.4`.
fn parse_ip(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.parse()
        .ok()
        .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| host_name(text).parse().ok())
        .map(canonical)
}

fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Returns whether a browser page from `origin` may open a WebSocket here.
///
/// Pages of this gateway, of this machine and of the host they were served from may; a page of any other site must not
/// reach a gateway on the visitor's machine behind the visitor's back. Programs send no Origin.
pub fn is_origin_allowed(head: &RequestHead) -> bool {
    let Some(origin) = head.header("origin").filter(|origin| !origin.is_empty()) else { return true };
    let Some((scheme, authority)) = origin.split_once("://") else {
        // `null` (sandboxed frames, files) and malformed values name no site; apps with embedded pages send `file://`.
        return false;
    };
    if !matches!(scheme, "http" | "https" | "ws" | "wss") {
        // Desktop and phone shells (`tauri://localhost`, `capacitor://localhost`, `file://`) are not web sites.
        return true;
    }
    let name = host_name(authority).to_ascii_lowercase();
    let own =
        host_name(head.header("x-forwarded-host").or(head.header("host")).unwrap_or_default()).to_ascii_lowercase();
    name == own
        || name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str, headers: &[(&str, &str)]) -> Peer {
        let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Peer {
            address: address.parse().expect("address"),
            local: "127.0.0.1:18789".parse().expect("address"),
            head: RequestHead { method: "GET".into(), target: "/".into(), is_http11: true, headers },
            nonce: String::new(),
        }
    }

    #[test]
    fn places() {
        let mut config = Config::default();
        let direct = place(&config, &peer("127.0.0.1:1", &[("host", "127.0.0.1:18789")]));
        assert!(direct.is_local && direct.is_direct_local && !direct.has_untrusted_proxy);
        let proxied = [("host", "x"), ("x-forwarded-for", "203.0.113.9:4711, 10.0.0.1")];
        let untrusted = place(&config, &peer("127.0.0.1:1", &proxied));
        assert_eq!((untrusted.is_local, untrusted.has_untrusted_proxy, untrusted.ip), (false, true, None));
        config.gateway.trusted_proxies = vec!["127.0.0.1".into()];
        let trusted = place(&config, &peer("127.0.0.1:1", &proxied));
        assert_eq!((trusted.is_local, trusted.ip), (false, Some("203.0.113.9".parse().expect("ip"))));
        assert!(place(&config, &peer("[::ffff:127.0.0.1]:1", &[("x-forwarded-for", "127.0.0.1")])).is_local);
    }

    #[test]
    fn origins() {
        let check = |origin: &str, host: &str| {
            is_origin_allowed(&peer("127.0.0.1:1", &[("host", host), ("origin", origin)]).head)
        };
        assert!(check("http://127.0.0.1:18789", "127.0.0.1:18789"));
        assert!(check("http://localhost:5173", "127.0.0.1:18789"));
        assert!(check("https://gw.example", "gw.example"));
        assert!(check("tauri://localhost", "127.0.0.1:18789"));
        assert!(!check("https://evil.example", "127.0.0.1:18789"));
        assert!(!check("null", "127.0.0.1:18789"));
    }

    #[test]
    fn modes() {
        let mut config = Config::default();
        let none = |_: &str| None;
        assert!(!Auth::resolve(&config, &Overrides::default(), none).is_required());
        let env = |name: &str| (name == "CLAWDBOT_GATEWAY_TOKEN").then(|| "env".to_owned());
        config.gateway.auth.token = Some("file".into());
        let auth = Auth::resolve(&config, &Overrides::default(), env);
        let at = peer("127.0.0.1:1", &[]);
        let here = place(&config, &at);
        assert_eq!(auth.check(&at, &here, Some("file"), None), Ok(()));
        assert_eq!(auth.check(&at, &here, Some("env"), None), Err(Refusal::TokenMismatch));
        assert_eq!(auth.check(&at, &here, None, Some("file")), Err(Refusal::TokenMissing));
        let flag = Overrides { token: Some(Secret::new("flag")), ..Overrides::default() };
        assert_eq!(Auth::resolve(&config, &flag, env).check(&at, &here, Some("flag"), None), Ok(()));
    }
}
