//! Requests to the public internet on behalf of somebody who must not reach anything else: pages that a model asks for.
//!
//! A name is resolved here and the connection is made to the very address that was checked, so that a name cannot mean
//! one thing when it is judged and another when it is used. Redirections are the caller's to follow, each as a request of
//! its own. Configured proxies are not used: a proxy would resolve names itself. Runs on the caller's thread.

use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::base::cancel::CancelToken;

/// Decides about an address.
pub type Judge = fn(IpAddr) -> bool;

/// Names that mean this machine or its network, and ends of such names.
const PRIVATE_NAMES: [&str; 2] = ["localhost", "metadata.google.internal"];
const PRIVATE_NAME_ENDS: [&str; 3] = [".localhost", ".local", ".internal"];
/// What the resolver says about an address that was refused; never shown.
const REFUSED: &str = "not a public address";
/// How long the address of a name may take that is only looked at.
const LOOK_WAIT: Duration = Duration::from_secs(3);

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum PublicError {
    /// The URL is none for the web.
    Invalid,
    /// It leads to where nobody may go: what that is.
    Blocked(&'static str),
    /// The token was cancelled.
    Cancelled,
    /// The server could not be reached, or hung up.
    Failed(String),
}

/// One answer; its body is bounded.
#[derive(Debug)]
pub struct PublicAnswer {
    /// HTTP status.
    pub status: u16,
    /// `content-type` as it came.
    pub content_type: String,
    /// Where a redirection leads.
    pub location: Option<String>,
    /// The body, as far as it was read.
    pub body: Vec<u8>,
    /// Whether the body is longer.
    pub is_cut: bool,
}

/// Gets a document from an address that `judge` lets pass.
///
/// # Errors
/// [`PublicError`]; an answer of any status is no error.
pub fn get(
    url: &str,
    headers: &[(&str, &str)],
    within: Duration,
    bytes_max: usize,
    cancel: &CancelToken,
    judge: Judge,
) -> Result<PublicAnswer, PublicError> {
    let uri = web_uri(url, judge)?;
    if cancel.is_cancelled() {
        return Err(PublicError::Cancelled);
    }
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .max_idle_connections(0)
        .timeout_global(Some(within))
        .build();
    let resolver = Checked { inner: DefaultResolver::default(), judge };
    let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), resolver);
    let stopped = agent.clone();
    // Taken back at the end: the token may live long.
    let _hooked = cancel.hook(move || stopped.shutdown());
    let failure = |error: &ureq::Error| match error {
        _ if cancel.is_cancelled() => PublicError::Cancelled,
        error if is_refusal(error) => PublicError::Blocked("private/internal IP address"),
        ureq::Error::Io(error) => PublicError::Failed(error.to_string()),
        ureq::Error::HostNotFound => PublicError::Failed("the host name cannot be resolved".to_owned()),
        ureq::Error::Timeout(timeout) => PublicError::Failed(format!("timeout: {timeout}")),
        other => PublicError::Failed(other.to_string()),
    };
    let mut request = agent.get(uri.clone());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.call().map_err(|error| failure(&error))?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (content_type, location) = (header("content-type").unwrap_or_default(), header("location"));
    let status = response.status().as_u16();
    let mut body = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let read = response.into_body().into_reader().take(limit).read_to_end(&mut body);
    if let Err(error) = read {
        return Err(if cancel.is_cancelled() {
            PublicError::Cancelled
        } else {
            PublicError::Failed(error.to_string())
        });
    }
    let is_cut = body.len() > bytes_max;
    body.truncate(bytes_max);
    Ok(PublicAnswer { status, content_type, location, body, is_cut })
}

/// Returns whether a URL may be given to somebody who asks for it: it is of the web, and its host is not written as one of
/// this machine or its networks. What a name resolves to is not looked at.
pub fn looks_public(url: &str) -> bool {
    web_uri(url, is_public).is_ok()
}

/// Returns whether a URL that looks public leads to no address of this machine or its networks as far as can be told: a name
/// that nobody knows here, or in time, passes. Whoever opens it asks for the address again and follows redirections, so this
/// keeps away what is simple, and is no wall.
pub fn leads_public(url: &str) -> bool {
    web_uri(url, is_public).is_ok_and(|uri| !is_refused(&uri, is_public))
}

fn is_refused(uri: &Uri, judge: Judge) -> bool {
    let resolver = Checked { inner: DefaultResolver::default(), judge };
    let timeout = NextTimeout { after: LOOK_WAIT.into(), ..NextTimeout::default() };
    let found = resolver.resolve(uri, &ureq::config::Config::default(), timeout);
    found.is_err_and(|error| is_refusal(&error))
}

fn is_refusal(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Io(error) if error.to_string() == REFUSED)
}

fn web_uri(url: &str, judge: Judge) -> Result<Uri, PublicError> {
    let uri: Uri = url.parse().map_err(|_| PublicError::Invalid)?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let host = uri.host().filter(|_| is_web).ok_or(PublicError::Invalid)?;
    refuse_host(host, judge)?;
    Ok(uri)
}

/// Refuses what can be refused without asking for an address.
fn refuse_host(host: &str, judge: Judge) -> Result<(), PublicError> {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    if let Some(ip) = literal(&host) {
        return if judge(ip) { Ok(()) } else { Err(PublicError::Blocked("private/internal IP address")) };
    }
    let is_private = PRIVATE_NAMES.contains(&host.as_str()) || PRIVATE_NAME_ENDS.iter().any(|end| host.ends_with(end));
    // Where the judge lets this machine pass, its name passes too.
    if is_private && !judge(IpAddr::V4(Ipv4Addr::LOCALHOST)) {
        return Err(PublicError::Blocked("private/internal host name"));
    }
    Ok(())
}

/// Returns the address that a host is written as, also where it is written as a number (`2130706433`, `0x7f.1`): resolvers
/// take that for an address, too.
pub fn literal(host: &str) -> Option<IpAddr> {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(ip);
    }
    let number = |part: &str| -> Option<u32> {
        let lower = part.to_ascii_lowercase();
        match lower.strip_prefix("0x") {
            Some("") => Some(0),
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None if lower.len() > 1 && lower.starts_with('0') => u32::from_str_radix(&lower, 8).ok(),
            None => lower.parse().ok(),
        }
    };
    let parts: Vec<u32> = host.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|&part| part > 255) {
        return None;
    }
    // The last part fills what the others leave.
    let bits = 8 * (4 - first.len() as u32);
    if u64::from(*last) >= 1u64 << bits {
        return None;
    }
    let high = first.iter().fold(0u32, |all, &part| (all << 8) | part);
    let high = if bits == 32 { 0 } else { high << bits };
    Some(IpAddr::V4(Ipv4Addr::from(high | last)))
}

#[derive(Debug)]
struct Checked {
    inner: DefaultResolver,
    judge: Judge,
}

impl Resolver for Checked {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        // One that is refused refuses all: a name with a private address among public ones is a trap.
        if found.iter().any(|address| !(self.judge)(address.ip())) {
            return Err(ureq::Error::Io(io::Error::new(io::ErrorKind::PermissionDenied, REFUSED)));
        }
        Ok(found)
    }
}

/// Returns whether an address is one of the public internet.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19)))
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // Written for an IPv4 address: mapped, translated (two ranges), 6to4.
        [0, 0, 0, 0, 0, 0xFFFF, high, low] | [0x64, 0xFF9B, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // The rest of the global range but Teredo, ORCHID and other special uses, and documentation.
        [0x2001, b, ..] => b >= 0x200 && b != 0xDB8,
        [0x3FFF, b, ..] => b >= 0x1000,
        [a, ..] => (0x2000..0x4000).contains(&a),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_by_what_they_stand_for() {
        let refused = |url: &str, judge: Judge| is_refused(&url.parse().expect("a URL"), judge);
        assert!(refused("http://localhost/x", is_public) && !refused("https://localhost:1", |ip| ip.is_loopback()));
        assert!(refused("http://10.0.0.1/", is_public) && !refused("http://1.1.1.1/", is_public));
    }

    #[test]
    fn addresses() {
        for public in
            ["1.1.1.1", "93.184.216.34", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
        {
            assert!(is_public(public.parse().expect("address")), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.1",
            "192.0.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "::127.0.0.1",
        ] {
            assert!(!is_public(private.parse().expect("address")), "{private}");
        }
    }

    #[test]
    fn addresses_written_as_numbers() {
        for (host, ip) in [
            ("2130706433", Some("127.0.0.1")),
            ("0x7f000001", Some("127.0.0.1")),
            ("0177.0.0.1", Some("127.0.0.1")),
            ("127.1", Some("127.0.0.1")),
            ("10.0.258", Some("10.0.1.2")),
            ("[::1]", Some("::1")),
            ("1.2.3.4.", Some("1.2.3.4")),
            ("example.com", None),
            ("256.1.1.1", None),
            ("1.2.3.4.5", None),
            ("4294967296", None),
            ("", None),
        ] {
            assert_eq!(literal(host), ip.map(|ip| ip.parse().expect("address")), "{host}");
        }
    }

    #[test]
    fn urls_that_lead_inside_are_refused_without_a_connection() {
        let cancel = CancelToken::new();
        let get = |url: &str| get(url, &[], Duration::from_secs(1), 10, &cancel, is_public).map(|answer| answer.status);
        for url in ["file:///etc/passwd", "ftp://example.com/", "nonsense", "http://", ""] {
            assert_eq!(get(url), Err(PublicError::Invalid), "{url}");
        }
        for url in [
            "http://127.0.0.1/",
            "http://[::1]:80/",
            "http://10.0.0.1",
            "https://169.254.169.254/latest",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://localhost./",
            "http://printer.local/",
            "http://x.internal/",
            "http://metadata.google.internal/",
            "http://user:secret@127.0.0.1/",
        ] {
            let refused = get(url);
            assert!(matches!(refused, Err(PublicError::Blocked(_) | PublicError::Failed(_))), "{url}: {refused:?}");
        }
        // A name that means a private address is found out when it is resolved.
        assert!(get("http://ip6-localhost/").is_err());
    }
}
