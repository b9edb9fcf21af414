//! Asking the tailnet for gateways: DNS-SD by unicast in the domain `clawdbot.internal.` (http.md §10.9).
//!
//! Nobody needs to say who serves that domain: every machine of the tailnet is asked, as the original does, and the first
//! that knows a gateway is believed. Runs on the caller's thread, within its time. Not here: what such a server publishes
//! (`zone`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::message::{Data, MESSAGE_BYTES_MAX, Message, Name, Question, Record, kind};
use super::{Beacon, SERVICE, WIDE_AREA_DOMAIN};
use crate::base::cancel::CancelToken;
use crate::base::clock::{Clock, SystemClock};
use crate::base::rng::{Rng as _, SystemRng};
use crate::base::{host, tailscale};

/// How long Tailscale may take to name the tailnet's machines.
const STATUS_WAIT: Duration = Duration::from_millis(700);
/// How long the machines have to answer, and how long the server that was found has for the details.
const SERVER_WAIT: Duration = Duration::from_millis(500);
const DETAILS_WAIT: Duration = Duration::from_millis(700);
/// Machines that are asked.
const MACHINES_MAX: usize = 40;
/// Gateways that are looked at.
const GATEWAYS_MAX: usize = 40;
const DNS_PORT: u16 = 53;

/// Returns the gateways that the tailnet's name servers know; none where there is no tailnet.
pub fn browse(timeout: Duration) -> Vec<Beacon> {
    let until = SystemClock.now() + timeout;
    let Ok(status) = tailscale::status(STATUS_WAIT.min(timeout), &CancelToken::new()) else { return Vec::new() };
    let machines: Vec<Ipv4Addr> = tailscale::machines(&status)
        .into_iter()
        .filter_map(|ip| match ip {
            IpAddr::V4(ip) if host::is_tailnet(ip.into()) => Some(ip),
            _ => None,
        })
        .take(MACHINES_MAX)
        .collect();
    match ask(&machines, DNS_PORT, until) {
        Ok(found) => found,
        Err(error) => {
            log::debug!(target: "discovery", "the tailnet cannot be asked: {error}");
            Vec::new()
        }
    }
}

fn ask(machines: &[Ipv4Addr], port: u16, until: Instant) -> io::Result<Vec<Beacon>> {
    let asker = Asker { socket: UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?, port, until };
    let service = Name::of(&format!("{SERVICE}.{WIDE_AREA_DOMAIN}"));
    let Some((server, pointers)) = asker.first(machines, &service)? else { return Ok(Vec::new()) };
    let mut names: Vec<Name> = pointers.into_iter().filter_map(|record| pointer(record, &service)).collect();
    names.truncate(GATEWAYS_MAX);
    let details = asker.details(server, &names)?;
    let beacon = |name: &Name| {
        let of_name = || details.iter().filter(|record| record.name == *name);
        let (host, port) = of_name().find_map(|record| match &record.data {
            Data::Srv { host, port } => Some((host.to_string(), *port)),
            _ => None,
        })?;
        let texts = of_name().find_map(|record| match &record.data {
            Data::Txt(texts) => Some(texts.as_slice()),
            _ => None,
        });
        let label = name.label_below(&service)?;
        Some(Beacon::of(label, WIDE_AREA_DOMAIN, &host, port, texts.unwrap_or_default()))
    };
    Ok(names.iter().filter_map(beacon).collect())
}

fn pointer(record: Record, service: &Name) -> Option<Name> {
    match record.data {
        Data::Ptr(name) if record.name == *service => Some(name),
        _ => None,
    }
}

struct Asker {
    socket: UdpSocket,
    /// Where the servers listen.
    port: u16,
    until: Instant,
}

impl Asker {
    /// Asks all machines at once; returns the first answer that knows a gateway, and whose it is.
    fn first(&self, machines: &[Ipv4Addr], service: &Name) -> io::Result<Option<(SocketAddr, Vec<Record>)>> {
        let id = new_id();
        let question = message(id, service, kind::PTR);
        for ip in machines {
            // A machine that cannot be reached is one that does not answer.
            let _ = self.socket.send_to(&question, (*ip, self.port));
        }
        let until = self.until.min(SystemClock.now() + SERVER_WAIT);
        while let Some((from, answer)) = self.next(until)? {
            let is_asked =
                matches!(from, SocketAddr::V4(from) if machines.contains(from.ip()) && from.port() == self.port);
            let is_asked = is_asked && answer.id == id;
            let is_about = |record: &Record| matches!(&record.data, Data::Ptr(_)) && record.name == *service;
            if is_asked && answer.answers.iter().any(is_about) {
                return Ok(Some((from, answer.answers)));
            }
        }
        Ok(None)
    }

    /// Asks one server for hosts, ports and texts of all names at once.
    fn details(&self, server: SocketAddr, names: &[Name]) -> io::Result<Vec<Record>> {
        let mut open = Vec::new();
        for name in names {
            for kind in [kind::SRV, kind::TXT] {
                let id = new_id();
                self.socket.send_to(&message(id, name, kind), server)?;
                open.push(id);
            }
        }
        let until = self.until.min(SystemClock.now() + DETAILS_WAIT);
        let mut records = Vec::new();
        while !open.is_empty() {
            let Some((from, answer)) = self.next(until)? else { break };
            if from != server {
                continue;
            }
            if let Some(index) = open.iter().position(|id| *id == answer.id) {
                open.swap_remove(index);
                records.extend(answer.answers);
            }
        }
        Ok(records)
    }

    /// Returns the next answer; `None` when the time is over.
    fn next(&self, until: Instant) -> io::Result<Option<(SocketAddr, Message)>> {
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        loop {
            let left = until.saturating_duration_since(SystemClock.now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    if let Some(answer) = Message::decode(&buffer[..length]).filter(|answer| answer.is_answer) {
                        return Ok(Some((from, answer)));
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Ok(None),
                    // A machine without a name server says so.
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }
}

fn message(id: u16, name: &Name, kind: u16) -> Vec<u8> {
    let questions = vec![Question { name: name.clone(), kind, is_unicast: false }];
    Message { id, questions, wants_recursion: true, ..Message::default() }.encode()
}

fn new_id() -> u16 {
    let mut bytes = [0; 2];
    SystemRng.fill(&mut bytes);
    u16::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::thread;

    #[test]
    fn a_server_that_knows_gateways_is_asked_for_all_of_them() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let port = server.local_addr().expect("an address").port();
        let service = Name::of(&format!("{SERVICE}.{WIDE_AREA_DOMAIN}"));
        let (known, broken) = (service.below("box-gateway"), service.below("broken"));
        let serve = move || {
            let mut buffer = [0; MESSAGE_BYTES_MAX];
            let record = |name: &Name, data| Record { name: name.clone(), is_unique: false, ttl: 60, data };
            // The service, and host and texts of two.
            for _ in 0..5 {
                let (length, from) = server.recv_from(&mut buffer).expect("a question");
                let question = Message::decode(&buffer[..length]).expect("a question");
                assert!(question.wants_recursion && !question.is_answer);
                let asked = question.questions[0].clone();
                let answers = match asked.kind {
                    kind::PTR => {
                        vec![record(&service, Data::Ptr(known.clone())), record(&service, Data::Ptr(broken.clone()))]
                    }
                    kind::SRV if asked.name == known => {
                        vec![record(&known, Data::Srv { host: Name::of("box.clawdbot.internal"), port: 18789 })]
                    }
                    kind::TXT if asked.name == known => {
                        vec![record(&known, Data::Txt(vec!["gatewayTls=1".to_owned()]))]
                    }
                    _ => Vec::new(),
                };
                // Somebody else's answer first: it must not count.
                let mut stray = Message { id: question.id ^ 1, is_answer: true, ..Message::default() };
                server.send_to(&stray.encode(), from).expect("sent");
                (stray.id, stray.questions, stray.answers) = (question.id, vec![asked], answers);
                server.send_to(&stray.encode(), from).expect("sent");
            }
        };
        let joiner = thread::spawn("dns", thread::STACK_SMALL_BYTES, serve).expect("a thread");
        let silent = Ipv4Addr::new(127, 0, 0, 2);
        let until = SystemClock.now() + Duration::from_secs(20);
        let found = ask(&[silent, Ipv4Addr::LOCALHOST], port, until).expect("asked");
        assert!(joiner.join());
        assert_eq!(found.len(), 1, "{found:?}");
        let beacon = &found[0];
        assert_eq!((beacon.instance_name.as_str(), beacon.domain.as_str()), ("box-gateway", WIDE_AREA_DOMAIN));
        assert_eq!(beacon.ws_url().as_deref(), Some("wss://box.clawdbot.internal:18789"));
    }
}
