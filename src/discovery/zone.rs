//! The zone file that a name server of the tailnet publishes this gateway with (http.md §10.9).
//!
//! Owns `<state>/dns/clawdbot.internal.db`: written anew only when it would say something else, with a serial that grows.
//! Runs where a gateway is started. Not here: the name server, which is somebody else's program.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use super::{Advert, SERVICE, WIDE_AREA_DOMAIN};
use crate::base::fs::{Durability, create_dir_private, read_text_capped, write_atomic};

/// A zone is a dozen lines.
const ZONE_BYTES_MAX: u64 = 64 * 1024;
/// A name server of another user reads it.
const MODE: u32 = 0o644;

/// Where a gateway is in the tailnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its address.
    pub ipv4: Ipv4Addr,
    /// Its other address.
    pub ipv6: Option<Ipv6Addr>,
}

/// Writes the zone into the state directory if it says something new; returns where it is, and whether it was written.
///
/// # Errors
/// The system's.
pub fn write(state_dir: &Path, advert: &Advert, place: Place, today: &str) -> io::Result<(PathBuf, bool)> {
    let dir = state_dir.join("dns");
    let file = dir.join(format!("{WIDE_AREA_DOMAIN}db"));
    let old = read_text_capped(&file, ZONE_BYTES_MAX)?.unwrap_or_default();
    let body = |serial: &str| render(advert, place, serial);
    let mark = format!("; clawdbot-content-hash: {:08x}\n", fnv1a(&body("SERIAL")));
    if old.starts_with(&mark) {
        return Ok((file, false));
    }
    create_dir_private(&dir)?;
    let text = format!("{mark}{}", body(&next_serial(&old, today)));
    write_atomic(&file, text.as_bytes(), MODE, Durability::Process)?;
    Ok((file, true))
}

fn render(advert: &Advert, place: Place, serial: &str) -> String {
    let host = label(&advert.host, "clawdbot");
    let instance = label(&format!("{}-gateway", advert.host), "clawdbot-gw");
    let Place { ipv4, ipv6 } = place;
    let mut text = format!("$ORIGIN {WIDE_AREA_DOMAIN}\n$TTL 60\n");
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("a string takes all");
    line(format_args!("@ IN SOA ns1 hostmaster {serial} 7200 3600 1209600 60"));
    line(format_args!("@ IN NS ns1"));
    line(format_args!("ns1 IN A {ipv4}"));
    line(format_args!("{host} IN A {ipv4}"));
    if let Some(ipv6) = ipv6 {
        line(format_args!("{host} IN AAAA {ipv6}"));
    }
    line(format_args!("{SERVICE} IN PTR {instance}.{SERVICE}"));
    line(format_args!("{instance}.{SERVICE} IN SRV 0 0 {} {host}", advert.port));
    // compat: the whole name here, where mDNS has the one without its mark.
    let mut texts = vec![format!("displayName={}", advert.instance.trim()), "role=gateway".to_owned()];
    texts.extend(["transport=gateway".to_owned(), format!("gatewayPort={}", advert.port)]);
    texts.extend(advert.tls_texts());
    texts.extend(advert.tailnet_dns.as_ref().map(|name| format!("tailnetDns={name}")));
    texts.extend(advert.ssh_port.map(|port| format!("sshPort={port}")));
    texts.extend(advert.cli_path.as_ref().map(|path| format!("cliPath={path}")));
    let texts: Vec<String> = texts.iter().map(|text| quote(text)).collect();
    line(format_args!("{instance}.{SERVICE} IN TXT {}", texts.join(" ")));
    text
}

/// Returns a name as a label of a zone can be.
fn label(name: &str, fallback: &str) -> String {
    let (mut label, mut was_other) = (String::new(), false);
    for c in name.trim().to_lowercase().chars() {
        let is_other = !matches!(c, 'a'..='z' | '0'..='9' | '-');
        if !(is_other && was_other) {
            label.push(if is_other { '-' } else { c });
        }
        was_other = is_other;
    }
    let label = label.trim_matches('-');
    if label.is_empty() { fallback.to_owned() } else { label[..label.len().min(63)].to_owned() }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// Returns the serial after that of a zone: of `today`, written `20261129`, and two digits.
fn next_serial(old: &str, today: &str) -> String {
    let soa = old.lines().find_map(|line| line.trim_start().strip_prefix("@ IN SOA "));
    let serial = soa.and_then(|rest| rest.split_whitespace().nth(2)?.parse::<u64>().ok());
    let first: u64 = format!("{today}01").parse().unwrap_or(1);
    match serial {
        Some(serial) if serial.to_string().starts_with(today) => serial + 1,
        _ => first,
    }
    .to_string()
}

fn fnv1a(text: &str) -> u32 {
    // compat: over UTF-16, as the original's strings are.
    text.encode_utf16().fold(0x811c_9dc5, |hash, unit| (hash ^ u32::from(unit)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn a_zone_is_written_when_it_says_something_new() {
        let dir = TempDir::new("zone");
        let mut advert = Advert {
            host: "My Box".to_owned(),
            instance: "My \"Box\" (Clawdbot)".to_owned(),
            port: 18789,
            cli_path: Some("/usr/bin/clawdbot".to_owned()),
            ..Advert::default()
        };
        let place = Place { ipv4: Ipv4Addr::new(100, 64, 0, 9), ipv6: Some("fd7a:115c:a1e0::9".parse().expect("ip")) };
        let (file, is_new) = write(dir.path(), &advert, place, "20261129").expect("written");
        assert!(is_new && file.ends_with("dns/clawdbot.internal.db"));
        let text = std::fs::read_to_string(&file).expect("zone");
        let (mark, zone) = text.split_once('\n').expect("lines");
        assert_eq!(mark.len(), "; clawdbot-content-hash: 01234567".len());
        let wanted = "$ORIGIN clawdbot.internal.
$TTL 60
@ IN SOA ns1 hostmaster 2026112901 7200 3600 1209600 60
@ IN NS ns1
ns1 IN A 100.64.0.9
my-box IN A 100.64.0.9
my-box IN AAAA fd7a:115c:a1e0::9
_clawdbot-gw._tcp IN PTR my-box-gateway._clawdbot-gw._tcp
my-box-gateway._clawdbot-gw._tcp IN SRV 0 0 18789 my-box
my-box-gateway._clawdbot-gw._tcp IN TXT \"displayName=My \\\"Box\\\" (Clawdbot)\" \"role=gateway\" \"transport=gateway\" \"gatewayPort=18789\" \"cliPath=/usr/bin/clawdbot\"
";
        assert_eq!(zone, wanted);
        assert!(!write(dir.path(), &advert, place, "20261130").expect("read").1, "nothing new");
        advert.port = 7;
        for (today, serial) in [("20261129", "2026112902"), ("20261130", "2026113001")] {
            advert.port += 1;
            assert!(write(dir.path(), &advert, place, today).expect("written").1);
            assert!(std::fs::read_to_string(&file).expect("zone").contains(serial), "{serial}");
        }
    }

    #[test]
    fn labels() {
        for (name, wanted) in [("A.b c", "a-b-c"), ("--", "x"), ("äö", "x"), ("-a-", "a"), ("a--b  c", "a--b-c")] {
            assert_eq!(label(name, "x"), wanted);
        }
    }
}
