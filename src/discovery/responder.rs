//! Who answers for a gateway on the local network (RFC 6762): claims its names, says them aloud, answers, and says goodbye.
//!
//! Owns the names in use and what each link was told when. Sans-IO: messages and instants in, messages out; `advertise`
//! has the sockets and the thread. A name that somebody else holds is given up for the next one.

mod allowance;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::allowance::Allowance;
use super::message::{Data, Message, Name, Question, Record, kind};
use super::{Advert, DOMAIN, PORT, SERVICE};
use crate::base::rng::{Rng, below};

/// Lifetimes, in seconds: of what names a host, of everything else, and of what is told to who does not speak mDNS.
const HOST_TTL: u32 = 120;
const SERVICE_TTL: u32 = 4500;
const LEGACY_TTL: u32 = 10;
/// How often a name is asked for before it is taken, and how far apart.
const PROBES: u8 = 3;
const PROBE_GAP: Duration = Duration::from_millis(250);
/// How often it is then said, and how far apart.
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_GAP: Duration = Duration::from_secs(1);
/// Who asks first for the same name, waits so long and asks again.
const DEFER: Duration = Duration::from_secs(1);
/// After so many names that were taken, each further one waits.
const QUICK_NAMES_MAX: u32 = 10;
const SLOW_NAME: Duration = Duration::from_secs(5);
/// Nothing is said twice to all within this time.
const REPEAT_GAP: Duration = Duration::from_secs(1);

/// A message to be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Out {
    /// On which link.
    pub link: usize,
    /// To whom; `None` is everybody there.
    pub to: Option<SocketAddrV4>,
    /// What.
    pub message: Message,
}

/// A network that this machine is on.
#[derive(Debug)]
struct Link {
    /// This machine's addresses there.
    addresses: Vec<Ipv4Addr>,
    /// What was said to all, and when last.
    said: Vec<(Name, u16, Instant)>,
    /// Answers that wait.
    waiting: Vec<Record>,
    /// Until then.
    due: Option<Instant>,
    /// Answers that may go to single askers.
    allowance: Allowance,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// So many probes were sent.
    Probe(u8),
    /// So many announcements were.
    Announce(u8),
    /// Only who asks is answered.
    Quiet,
}

/// See the module.
pub struct Responder {
    advert: Advert,
    rng: Arc<dyn Rng>,
    links: Vec<Link>,
    phase: Phase,
    due: Instant,
    /// How many names were given up, of the service and of the host.
    instances: u32,
    hosts: u32,
}

impl Responder {
    /// Returns one that begins to claim its names at `now`.
    pub fn new(advert: Advert, rng: Arc<dyn Rng>, now: Instant) -> Self {
        let due = now + Duration::from_millis(below(&*rng, 250));
        Self { advert, rng, links: Vec::new(), phase: Phase::Probe(0), due, instances: 0, hosts: 0 }
    }

    /// Says which networks there are now, by this machine's addresses on each; what is new there is said aloud.
    pub fn set_links(&mut self, links: Vec<Vec<Ipv4Addr>>, now: Instant) {
        let is_same = links.iter().eq(self.links.iter().map(|link| &link.addresses));
        if is_same {
            return;
        }
        let link = |addresses| {
            let allowance = Allowance::whole(now);
            Link { addresses, said: Vec::new(), waiting: Vec::new(), due: None, allowance }
        };
        self.links = links.into_iter().map(link).collect();
        // Somebody on a new network may hold the names.
        self.claim(now + Duration::from_millis(below(&*self.rng, 250)));
    }

    /// Returns the names in use: of the service and of the host.
    pub fn names(&self) -> (String, String) {
        (self.instance_label(), format!("{}.local", self.host_label()))
    }

    /// Returns whether the names are this gateway's own.
    pub fn is_settled(&self) -> bool {
        !matches!(self.phase, Phase::Probe(_))
    }

    /// Returns when there is something to do; `None` while it waits for others.
    pub fn next(&self) -> Option<Instant> {
        let own = (self.phase != Phase::Quiet && !self.links.is_empty()).then_some(self.due);
        self.links.iter().filter_map(|link| link.due).chain(own).min()
    }

    /// Does what is due.
    pub fn run(&mut self, now: Instant) -> Vec<Out> {
        let mut out = Vec::new();
        if self.due <= now && !self.links.is_empty() {
            match self.phase {
                Phase::Probe(sent) if sent < PROBES => {
                    out.extend((0..self.links.len()).map(|link| self.to_all(link, self.probe(link))));
                    (self.phase, self.due) = (Phase::Probe(sent + 1), now + PROBE_GAP);
                }
                Phase::Probe(_) => self.announce(0, now, &mut out),
                Phase::Announce(sent) if sent < ANNOUNCEMENTS => self.announce(sent, now, &mut out),
                Phase::Announce(_) => self.phase = Phase::Quiet,
                Phase::Quiet => {}
            }
        }
        for link in 0..self.links.len() {
            if self.links[link].due.is_some_and(|due| due <= now) {
                self.links[link].due = None;
                let answers = std::mem::take(&mut self.links[link].waiting);
                out.extend(self.say(link, answers, now));
            }
        }
        out
    }

    /// Begins to claim the names, at `due`; what waits to be said of them is not to be said any more.
    fn claim(&mut self, due: Instant) {
        (self.phase, self.due) = (Phase::Probe(0), due);
        for link in &mut self.links {
            link.waiting.clear();
            link.due = None;
        }
    }

    /// Takes a message that came on a link; returns answers that do not wait.
    pub fn receive(&mut self, link: usize, message: &Message, from: SocketAddrV4, now: Instant) -> Vec<Out> {
        if link >= self.links.len() {
            return Vec::new();
        }
        if message.is_answer {
            // Only its own port speaks for a host.
            if from.port() == PORT {
                self.judge(message, now);
            }
            return Vec::new();
        }
        if !message.authorities.is_empty() && !self.is_settled() {
            self.compare(link, message, now);
            return Vec::new();
        }
        if !self.is_settled() {
            return Vec::new();
        }
        self.answer(link, message, from, now)
    }

    /// Returns what takes everything back.
    pub fn goodbye(&self) -> Vec<Out> {
        if !self.is_settled() {
            return Vec::new();
        }
        let gone = |link| {
            // The host stays: only the service ends.
            let answers = self.records(link).into_iter().filter(|record| !matches!(record.data, Data::A(_)));
            let answers = answers.map(|record| Record { ttl: 0, ..record }).collect();
            self.to_all(link, Message { is_answer: true, answers, ..Message::default() })
        };
        (0..self.links.len()).map(gone).collect()
    }

    fn instance_label(&self) -> String {
        match self.instances {
            0 => self.advert.instance.clone(),
            taken => format!("{} ({})", self.advert.instance, taken + 1),
        }
    }

    fn host_label(&self) -> String {
        match self.hosts {
            0 => self.advert.host.clone(),
            taken => format!("{}-{}", self.advert.host, taken + 1),
        }
    }

    fn service(&self) -> Name {
        Name::of(&format!("{SERVICE}.{DOMAIN}"))
    }

    fn instance(&self) -> Name {
        self.service().below(&self.instance_label())
    }

    fn host(&self) -> Name {
        Name::of(DOMAIN).below(&self.host_label())
    }

    /// Returns everything there is to say on a link: the service first, then what belongs to it alone, then the host.
    fn records(&self, link: usize) -> Vec<Record> {
        let (instance, host) = (self.instance(), self.host());
        let record = |name: &Name, is_unique, ttl, data| Record { name: name.clone(), is_unique, ttl, data };
        let texts = self.advert.texts(&format!("{}.local", self.host_label()));
        let mut records = vec![
            record(&self.service(), false, SERVICE_TTL, Data::Ptr(instance.clone())),
            record(&instance, true, HOST_TTL, Data::Srv { host: host.clone(), port: self.advert.port }),
            record(&instance, true, SERVICE_TTL, Data::Txt(texts)),
        ];
        let addresses = self.links[link].addresses.iter();
        records.extend(addresses.map(|ip| record(&host, true, HOST_TTL, Data::A(*ip))));
        records
    }

    fn to_all(&self, link: usize, message: Message) -> Out {
        Out { link, to: None, message }
    }

    fn probe(&self, link: usize) -> Message {
        let question = |name| Question { name, kind: kind::ANY, is_unicast: false };
        let authorities = self.records(link).into_iter().filter(|record| record.is_unique);
        let authorities = authorities.map(|record| Record { is_unique: false, ..record }).collect();
        let questions = vec![question(self.instance()), question(self.host())];
        Message { questions, authorities, ..Message::default() }
    }

    fn announce(&mut self, sent: u8, now: Instant, out: &mut Vec<Out>) {
        for link in 0..self.links.len() {
            let records = self.records(link);
            out.extend(self.say(link, records, now));
        }
        (self.phase, self.due) = (Phase::Announce(sent + 1), now + ANNOUNCE_GAP);
    }

    /// Says something to everybody, and remembers that.
    fn say(&mut self, link: usize, answers: Vec<Record>, now: Instant) -> Option<Out> {
        if answers.is_empty() {
            return None;
        }
        let additionals = self.companions(link, &answers);
        let said = &mut self.links[link].said;
        said.retain(|(.., at)| now - *at < REPEAT_GAP);
        said.extend(answers.iter().map(|record| (record.name.clone(), record.data.kind(), now)));
        Some(self.to_all(link, Message { is_answer: true, answers, additionals, ..Message::default() }))
    }

    /// Returns what the asker wants to know next.
    fn companions(&self, link: usize, answers: &[Record]) -> Vec<Record> {
        let has = |kind| answers.iter().any(|record| record.data.kind() == kind);
        let is_wanted = |record: &Record| match record.data {
            Data::Srv { .. } | Data::Txt(_) => has(kind::PTR) && answers.iter().any(|it| it.name == self.service()),
            Data::A(_) => has(kind::PTR) || has(kind::SRV),
            _ => false,
        };
        self.records(link).into_iter().filter(|record| is_wanted(record) && !answers.contains(record)).collect()
    }

    fn answer(&mut self, link: usize, message: &Message, from: SocketAddrV4, now: Instant) -> Vec<Out> {
        let is_known = |record: &Record| {
            let is_it = |known: &Record| known.name == record.name && known.data == record.data;
            message.answers.iter().any(|known| is_it(known) && known.ttl >= record.ttl / 2)
        };
        let is_legacy = from.port() != PORT;
        let (mut alone, mut all, mut answered) = (Vec::new(), Vec::new(), Vec::new());
        for question in &message.questions {
            let answers = self.answers(link, question);
            answered.extend((is_legacy && !answers.is_empty()).then(|| question.clone()));
            let answers = answers.into_iter().filter(|record| is_legacy || !is_known(record));
            let target = if is_legacy || question.is_unicast { &mut alone } else { &mut all };
            for record in answers {
                if !target.contains(&record) {
                    target.push(record);
                }
            }
        }
        let may_answer_alone = alone.is_empty() || self.links[link].allowance.take(now);
        if !may_answer_alone && !is_legacy {
            // Who speaks mDNS hears it with everybody else, at the pace of that (RFC 6762 §5.4 allows it).
            all.extend(alone.drain(..).filter(|record| !all.contains(record)).collect::<Vec<_>>());
        }
        let is_probe = !message.authorities.is_empty();
        self.put_off(link, all, is_probe, now);
        if alone.is_empty() || !may_answer_alone {
            return Vec::new();
        }
        let mut reply = Message { is_answer: true, additionals: self.companions(link, &alone), ..Message::default() };
        reply.answers = alone;
        if is_legacy {
            // Who asks from another port knows nothing of mDNS: it wants its question back (those that are
            // answered, so that no answer is much larger than what was asked), and short lives.
            (reply.id, reply.questions) = (message.id, answered);
            for record in reply.answers.iter_mut().chain(&mut reply.additionals) {
                (record.is_unique, record.ttl) = (false, record.ttl.min(LEGACY_TTL));
            }
        }
        vec![Out { link, to: Some(from), message: reply }]
    }

    /// Returns what there is to say to a question.
    fn answers(&self, link: usize, question: &Question) -> Vec<Record> {
        let mut records = self.records(link);
        let catalogue = Name::of(&format!("_services._dns-sd._udp.{DOMAIN}"));
        records.push(Record { name: catalogue, is_unique: false, ttl: SERVICE_TTL, data: Data::Ptr(self.service()) });
        records.retain(|record| record.name == question.name);
        let nsec = records.first().filter(|record| record.is_unique).map(|record| {
            let mut kinds: Vec<u8> = records.iter().map(|record| record.data.kind() as u8).collect();
            kinds.sort_unstable();
            kinds.dedup();
            Record { data: Data::Nsec(kinds), ..record.clone() }
        });
        records.retain(|record| matches!(question.kind, kind::ANY) || record.data.kind() == question.kind);
        // A name that has no such record says so: nobody needs to wait for one.
        if records.is_empty() { nsec.into_iter().collect() } else { records }
    }

    /// Lets answers to everybody wait a moment, so that several become one message and nothing is said too often.
    fn put_off(&mut self, link: usize, answers: Vec<Record>, is_probe: bool, now: Instant) {
        // Others may answer for the service, too; what is this gateway's alone is answered at once, a probe above all.
        let is_shared = answers.iter().any(|record| !record.is_unique) && !is_probe;
        let delay = Duration::from_millis(if is_shared { 20 + below(&*self.rng, 100) } else { 0 });
        let link = &mut self.links[link];
        for record in answers {
            let said =
                link.said.iter().rev().find(|(name, kind, _)| *name == record.name && *kind == record.data.kind());
            let gap = if is_probe { PROBE_GAP } else { REPEAT_GAP };
            let earliest = said.map_or(now, |(.., at)| *at + gap);
            let due = (now + delay).max(earliest);
            link.due = Some(match link.due {
                // Who claims a name is not kept waiting by what others want to know.
                Some(until) if is_probe => until.min(due),
                // Only for what was said just now: else who keeps asking would keep all from an answer.
                Some(until) => until.max(earliest),
                None => due,
            });
            if !link.waiting.contains(&record) {
                link.waiting.push(record);
            }
        }
    }

    /// Looks whether an answer of somebody else contradicts what is said here.
    fn judge(&mut self, message: &Message, now: Instant) {
        // A name that was not asked for yet is nobody's business: whoever has it, says so when it is. So nobody can hurry
        // this from name to name.
        if self.phase == Phase::Probe(0) {
            return;
        }
        let (instance, host) = (self.instance(), self.host());
        let own: Vec<Record> = if self.links.is_empty() { Vec::new() } else { self.records(0) };
        let theirs = || message.answers.iter().chain(&message.additionals).filter(|record| record.ttl > 0);
        let is_instance_taken = theirs().any(|record| {
            record.name == instance
                && matches!(record.data, Data::Srv { .. } | Data::Txt(_))
                && !own.iter().any(|it| it.data == record.data)
        });
        let is_host_taken = theirs()
            .any(|record| record.name == host && matches!(record.data, Data::A(ip) if !self.is_own_address(ip)));
        if !is_instance_taken && !is_host_taken {
            return;
        }
        if self.is_settled() {
            // Asking again decides it: who has it, says so.
            return self.claim(now);
        }
        self.instances += u32::from(is_instance_taken);
        self.hosts += u32::from(is_host_taken);
        let (name, host) = self.names();
        log::warn!(target: "gateway/discovery", "bonjour: a name was taken; now {name:?} on {host}");
        let pause = if self.instances + self.hosts > QUICK_NAMES_MAX { SLOW_NAME } else { PROBE_GAP };
        self.claim(now + pause);
    }

    fn is_own_address(&self, ip: Ipv4Addr) -> bool {
        self.links.iter().any(|link| link.addresses.contains(&ip))
    }

    /// Decides between two who ask for the same name at once: whose records come later wins.
    fn compare(&mut self, link: usize, message: &Message, now: Instant) {
        let sorted = |records: &[Record], name: &Name| {
            let mut said: Vec<(u16, Vec<u8>)> =
                records.iter().filter(|it| it.name == *name).map(|it| (it.data.kind(), it.data.bytes())).collect();
            said.sort_unstable();
            said
        };
        let own = self.records(link);
        let loses = [self.instance(), self.host()].iter().any(|name| {
            let theirs = sorted(&message.authorities, name);
            // This machine's own other responder means the same host.
            let is_own_host = message.authorities.iter().filter(|it| it.name == *name).all(|it| match it.data {
                Data::A(ip) => self.is_own_address(ip),
                Data::Aaaa(_) => true,
                _ => false,
            });
            !theirs.is_empty() && !is_own_host && theirs > sorted(&own, name)
        });
        if loses {
            self.claim(now + DEFER);
        }
    }
}

#[cfg(test)]
mod tests;
