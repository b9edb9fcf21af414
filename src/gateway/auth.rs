//! Shared authentication: token, password, Tailscale identity; and where a client really is (protocol.md §3.4–3.5).
//!
//! Pure functions over what was received. Not here: device identity and pairing (`connect`).

use std::net::IpAddr;

use crate::base::host;
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
                .or_else(|| file.clone().filter(|text| !text.trim().is_empty()).map(Secret::new))
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

    /// Returns whether this is the secret that must be shown.
    pub fn is_secret(&self, given: &str) -> bool {
        match &self.mode {
            Mode::Token(Some(expected)) | Mode::Password(Some(expected)) => expected.matches(given),
            _ => false,
        }
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
    place_among(config, peer, host::is_own_tailnet)
}

fn place_among(config: &Config, peer: &Peer, is_own_tailnet: impl Fn(IpAddr) -> bool) -> Place {
    let peer_ip = canonical(peer.address.ip());
    let is_trusted = is_trusted_proxy(config, peer_ip);
    let forwarded = header_list(&peer.head, "x-forwarded-for");
    let real = peer.head.header("x-real-ip");
    let has_proxy_headers = peer.head.header("x-forwarded-for").is_some() || real.is_some();
    let has_untrusted_proxy = has_proxy_headers && !is_trusted;
    let is_near = |ip: IpAddr| ip.is_loopback() || is_own_tailnet(ip);
    let (ip, is_local) = if has_untrusted_proxy {
        (None, false)
    } else if !is_trusted {
        (Some(peer_ip), is_near(peer_ip))
    } else if !forwarded.is_empty() {
        let chain: Vec<Option<IpAddr>> = forwarded.iter().map(|text| parse_ip(text)).collect();
        // The client writes the beginning of the chain: it is local only when nobody far away had a part in it, and what
        // is no address is nobody's.
        let far = chain.iter().flatten().copied().find(|&ip| !is_near(ip));
        (far.or(chain[0]), chain.iter().all(|ip| ip.is_some_and(&is_near)))
    } else if let Some(real) = real.filter(|text| !text.is_empty()) {
        let ip = parse_ip(real);
        (ip, ip.is_some_and(is_near))
    } else {
        (Some(peer_ip), is_near(peer_ip))
    };
    let is_direct_local = is_local
        && ip.is_some_and(|ip| ip.is_loopback())
        && is_local_host_name(&peer.head)
        && (!is_forwarded(&peer.head) || is_trusted);
    Place { ip, has_untrusted_proxy, is_local, is_direct_local }
}

/// Returns the entries of a header, however often it was sent; none when all of them are blank.
fn header_list<'a>(head: &'a RequestHead, name: &str) -> Vec<&'a str> {
    let values = head.headers.iter().filter(|(key, _)| key == name);
    let entries: Vec<&str> = values.flat_map(|(_, value)| value.split(',').map(str::trim)).collect();
    if entries.iter().all(|entry| entry.is_empty()) { Vec::new() } else { entries }
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
        .all(|name| peer.head.header(name).is_some_and(|value| !value.is_empty()));
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

/// Returns whether a proxy passed a request on: whoever forwards sets one of these headers; a page cannot.
fn is_forwarded(head: &RequestHead) -> bool {
    ["x-forwarded-for", "x-forwarded-host", "x-real-ip"].iter().any(|key| head.header(key).is_some())
}

/// Returns whether a page may have been brought here by a name that its author pointed at this machine (DNS rebinding):
/// its origin is the host it asked for, as it should be, but that host is neither an address nor a local name. A gateway
/// without a secret must not listen to it.
pub fn may_be_rebound(head: &RequestHead) -> bool {
    let Some((_, authority)) = head.header("origin").and_then(|origin| origin.split_once("://")) else { return false };
    let name = host_name(authority).to_ascii_lowercase();
    let is_local = name == "localhost" || name.ends_with(".localhost") || name.ends_with(".ts.net");
    !is_local && !is_forwarded(head) && name.parse::<IpAddr>().is_err()
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
    fn nobody_talks_itself_into_being_local() {
        let mut config = Config::default();
        config.gateway.trusted_proxies = vec!["127.0.0.1".into()];
        let check = |headers: &[(&str, &str)], ip: Option<&str>, is_local: bool| {
            let found = place(&config, &peer("127.0.0.1:1", headers));
            assert_eq!((found.ip, found.is_local), (ip.map(|ip| ip.parse().expect("ip")), is_local), "{headers:?}");
        };
        let forwarded = "x-forwarded-for";
        check(&[], Some("127.0.0.1"), true);
        check(&[(forwarded, "127.0.0.1")], Some("127.0.0.1"), true);
        check(&[(forwarded, "::1, 127.0.0.1")], Some("::1"), true);
        check(&[(forwarded, "127.0.0.1, 203.0.113.9")], Some("203.0.113.9"), false);
        check(&[(forwarded, "127.0.0.1"), (forwarded, "203.0.113.9")], Some("203.0.113.9"), false);
        check(&[(forwarded, ""), (forwarded, "203.0.113.9")], Some("203.0.113.9"), false);
        check(&[(forwarded, "unknown, 203.0.113.9")], Some("203.0.113.9"), false);
        check(&[(forwarded, "unknown")], None, false);
        check(&[(forwarded, ""), ("x-real-ip", "203.0.113.9")], Some("203.0.113.9"), false);
        check(&[("x-real-ip", "somebody")], None, false);
        check(&[("x-real-ip", "127.0.0.1")], Some("127.0.0.1"), true);
    }

    #[test]
    fn own_tailscale_addresses_are_local() {
        let config = Config::default();
        let own: IpAddr = "100.64.1.2".parse().expect("ip");
        let at = |address: &str| place_among(&config, &peer(address, &[("host", "127.0.0.1")]), |ip| ip == own);
        assert!(at("100.64.1.2:1").is_local && !at("100.64.1.3:1").is_local);
        assert!(!at("100.64.1.2:1").is_direct_local, "but not reached by the loopback");
    }

    #[test]
    fn pages_by_a_name_of_their_own() {
        let check = |origin: &str, more: &[(&str, &str)]| {
            may_be_rebound(&peer("127.0.0.1:1", &[&[("origin", origin)], more].concat()).head)
        };
        assert!(check("http://evil.example:18789", &[]));
        for origin in
            ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost", "https://gw.tail.ts.net", "http://10.0.0.2"]
        {
            assert!(!check(origin, &[]), "{origin}");
        }
        assert!(!check("https://gw.example", &[("x-forwarded-for", "127.0.0.1")]));
        assert!(!may_be_rebound(&peer("127.0.0.1:1", &[]).head));
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
