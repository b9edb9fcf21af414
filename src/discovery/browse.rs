//! Asking the local network for gateways by mDNS (RFC 6762 §5.2).
//!
//! [`browse`] has the sockets and runs on the caller's thread for as long as it may; `Browser` is sans-IO: what to ask,
//! and which gateways the answers make.

use std::io;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::links::{Link, candidates};
use super::message::{Data, MESSAGE_BYTES_MAX, Message, Name, Question, Record, kind};
use super::{Beacon, DOMAIN, LOCAL, PORT, SERVICE};
use crate::base::clock::{Clock, SystemClock};

/// How long after the first question it is asked again; then twice as long each time.
const ASK_GAP: Duration = Duration::from_secs(1);
/// How soon what is missing of a gateway is asked for.
const MORE_GAP: Duration = Duration::from_millis(50);
/// Records that are kept; a network with more gateways than that is not shown whole.
const RECORDS_MAX: usize = 1000;
/// Gateways that one question names, as known or as asked for, so that it stays a message.
const NAMES_MAX: usize = 40;

/// Returns the gateways that say within `timeout` that they are there.
///
/// # Errors
/// The system's, when no network can be asked.
pub fn browse(timeout: Duration) -> io::Result<Vec<Beacon>> {
    let poll = Poll::new()?;
    let mut links = Vec::new();
    let mut failure = None;
    for candidate in candidates() {
        // Where the port of mDNS is another program's alone, answers come to any other.
        match Link::open(&candidate, PORT).or_else(|_| Link::open(&candidate, 0)) {
            Ok(link) => {
                let descriptor = link.socket.as_raw_fd();
                poll.registry().register(&mut SourceFd(&descriptor), Token(links.len()), Interest::READABLE)?;
                links.push(link);
            }
            Err(error) => failure = Some(error),
        }
    }
    if let (true, Some(error)) = (links.is_empty(), failure) {
        return Err(error);
    }
    run(poll, &links, timeout)
}

fn run(mut poll: Poll, links: &[Link], timeout: Duration) -> io::Result<Vec<Beacon>> {
    let mut events = Events::with_capacity(16);
    let mut buffer = Box::new([0; MESSAGE_BYTES_MAX]);
    let mut browser = Browser::new(SystemClock.now());
    let until = SystemClock.now() + timeout;
    loop {
        let now = SystemClock.now();
        if now >= until {
            return Ok(browser.beacons());
        }
        if let Some(question) = browser.ask(now) {
            for link in links {
                if let Err(error) = link.send(&question, None) {
                    log::debug!(target: "discovery", "a network cannot be asked: {error}");
                }
            }
        }
        match poll.poll(&mut events, Some(browser.next().min(until).saturating_duration_since(now))) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for link in links {
            while SystemClock.now() < until {
                let Some(taken) = link.receive(&mut buffer) else { break };
                if let Some((message, _)) = taken {
                    browser.take(message, SystemClock.now());
                }
            }
        }
    }
}

/// What was asked and answered so far.
struct Browser {
    service: Name,
    records: Vec<Record>,
    ask_at: Instant,
    gap: Duration,
    /// When to ask for what is missing.
    more_at: Option<Instant>,
    /// Instances whose missing parts were asked for.
    asked: Vec<Name>,
}

impl Browser {
    fn new(now: Instant) -> Self {
        let service = Name::of(&format!("{SERVICE}.{DOMAIN}"));
        Self { service, records: Vec::new(), ask_at: now, gap: ASK_GAP, more_at: None, asked: Vec::new() }
    }

    /// Returns when there is something to ask.
    fn next(&self) -> Instant {
        self.more_at.map_or(self.ask_at, |more| more.min(self.ask_at))
    }

    /// Returns the question that is due.
    fn ask(&mut self, now: Instant) -> Option<Message> {
        let question = |name: &Name, kind| Question { name: name.clone(), kind, is_unicast: false };
        let mut message = Message::default();
        if now >= self.ask_at {
            message.questions.push(question(&self.service, kind::PTR));
            let known = self.records.iter().filter(|record| record.name == self.service && record.ttl > 0);
            let known = known.map(|record| Record { is_unique: false, ..record.clone() });
            message.answers = known.take(NAMES_MAX).collect();
            self.ask_at = now + self.gap;
            self.gap *= 2;
        }
        if self.more_at.is_some_and(|more| more <= now) {
            self.more_at = None;
            let mut missing = self.incomplete();
            if missing.len() > NAMES_MAX {
                missing.truncate(NAMES_MAX);
                self.more_at = Some(now + MORE_GAP);
            }
            for name in missing {
                message.questions.extend([question(&name, kind::SRV), question(&name, kind::TXT)]);
                self.asked.push(name);
            }
        }
        (!message.questions.is_empty()).then_some(message)
    }

    /// Takes an answer in.
    fn take(&mut self, message: Message, now: Instant) {
        if !message.is_answer {
            return;
        }
        for record in message.answers.into_iter().chain(message.additionals) {
            let is_ours = record.name == self.service || record.name.label_below(&self.service).is_some();
            let is_wanted = matches!(record.data, Data::Ptr(_) | Data::Srv { .. } | Data::Txt(_));
            if !is_ours || !is_wanted {
                continue;
            }
            let is_replaced = |old: &Record| {
                let is_same = old.name == record.name && old.data.kind() == record.data.kind();
                is_same && (record.is_unique || old.data == record.data)
            };
            self.records.retain(|old| !is_replaced(old));
            if record.ttl > 0 && self.records.len() < RECORDS_MAX {
                self.records.push(record);
            }
        }
        if !self.incomplete().is_empty() {
            self.more_at.get_or_insert(now + MORE_GAP);
        }
    }

    fn instances(&self) -> impl Iterator<Item = &Name> {
        self.records.iter().filter_map(|record| match &record.data {
            Data::Ptr(name) if record.name == self.service && name.label_below(&self.service).is_some() => Some(name),
            _ => None,
        })
    }

    /// Returns the instances of which something is missing that was not asked for yet.
    fn incomplete(&self) -> Vec<Name> {
        let has = |name: &Name, kind| self.records.iter().any(|it| it.name == *name && it.data.kind() == kind);
        let is_whole = |name: &Name| has(name, kind::SRV) && has(name, kind::TXT);
        self.instances().filter(|name| !is_whole(name) && !self.asked.contains(name)).cloned().collect()
    }

    fn beacons(&self) -> Vec<Beacon> {
        let found = self.instances().map(|name| {
            let of_name = || self.records.iter().filter(|record| record.name == *name);
            let (host, port) = of_name()
                .find_map(|record| match &record.data {
                    Data::Srv { host, port } => Some((host.to_string(), *port)),
                    _ => None,
                })
                .unwrap_or_default();
            let texts = of_name().find_map(|record| match &record.data {
                Data::Txt(texts) => Some(texts.as_slice()),
                _ => None,
            });
            let label = name.label_below(&self.service).unwrap_or_default();
            Beacon::of(label, LOCAL, &host, port, texts.unwrap_or_default())
        });
        found.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_put_together_from_what_comes() {
        let start = SystemClock.now();
        let mut browser = Browser::new(start);
        let question = browser.ask(start).expect("a question");
        assert_eq!((question.questions.len(), question.answers.len()), (1, 0));
        let service = browser.service.clone();
        let (one, two) = (service.below("one"), service.below("two"));
        let record = |name: &Name, ttl, data| Record { name: name.clone(), is_unique: false, ttl, data };
        let answer = |answers| Message { is_answer: true, answers, ..Message::default() };
        let pointers = vec![record(&service, 9, Data::Ptr(one.clone())), record(&service, 9, Data::Ptr(two.clone()))];
        browser.take(answer(pointers), start);
        assert_eq!(browser.ask(start), None, "what is missing may still come");
        let more = browser.ask(start + MORE_GAP).expect("a question");
        assert_eq!(more.questions.len(), 4);
        assert_eq!(browser.ask(start + MORE_GAP), None, "once");
        let host = Name::of("box.local");
        browser.take(answer(vec![record(&one, 9, Data::Srv { host, port: 5 })]), start);
        browser.take(answer(vec![record(&one, 9, Data::Txt(vec!["displayName=One".to_owned()]))]), start);
        let again = browser.ask(start + ASK_GAP).expect("a question");
        assert_eq!((again.questions.len(), again.answers.len()), (1, 2), "who is known need not answer");
        let found = browser.beacons();
        assert_eq!((found.len(), found[0].display_name.as_str(), found[0].port), (2, "One", Some(5)));
        assert_eq!((found[0].host.as_deref(), found[1].display_name.as_str()), (Some("box.local"), "two"));
        browser.take(answer(vec![record(&service, 0, Data::Ptr(two))]), start);
        assert_eq!(browser.beacons().len(), 1, "who says goodbye is gone");
        let questions =
            Message { is_answer: false, ..answer(vec![record(&service, 9, Data::Ptr(service.below("x")))]) };
        browser.take(questions, start);
        assert_eq!(browser.beacons().len(), 1, "questions tell nothing");
    }

    #[test]
    fn a_question_stays_a_message_however_many_gateways_there_are() {
        let start = SystemClock.now();
        let mut browser = Browser::new(start);
        let service = browser.service.clone();
        let long = |index: usize| service.below(&format!("{index:03}{}", "x".repeat(60)));
        let pointer = |index| Record { name: service.clone(), is_unique: false, ttl: 9, data: Data::Ptr(long(index)) };
        for index in 0..100 {
            let answers = vec![pointer(index)];
            browser.take(Message { is_answer: true, answers, ..Message::default() }, start);
        }
        let mut asked = 0;
        let mut now = start + MORE_GAP;
        while let Some(question) = browser.ask(now) {
            assert!(question.encode().len() <= MESSAGE_BYTES_MAX);
            asked += question.questions.iter().filter(|it| it.kind == kind::SRV).count();
            now += MORE_GAP;
        }
        assert_eq!(asked, 100, "in several messages");
    }
}
