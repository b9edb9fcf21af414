//! DNS messages, as far as finding services needs them (RFC 1035, 2782, 6762, 6763): bytes both ways.
//!
//! Pure. What comes from the network never panics and is bounded: names point backwards only, and a message holds at most
//! `RECORDS_MAX` records. Not here: who asks and who answers (`responder`, `browse`, `wide_area`).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest message that is read or written, in bytes: mDNS allows what fits one Ethernet frame of the largest kind.
pub const MESSAGE_BYTES_MAX: usize = 9000;
/// Questions and records of a message that are read; the rest is left out.
const RECORDS_MAX: usize = 256;
/// The longest label, and the longest name, in bytes.
const LABEL_BYTES_MAX: usize = 63;
const NAME_BYTES_MAX: usize = 255;
/// Bit of a class: in a record, that it takes the place of older ones; in a question, that the answer may come to the
/// asker alone.
const TOP_BIT: u16 = 0x8000;
const CLASS_IN: u16 = 1;
/// Flags of an answer that is the last word on its names.
const ANSWER: u16 = 0x8400;
const IS_ANSWER: u16 = 0x8000;
const WANTS_RECURSION: u16 = 0x0100;
const OPCODE_AND_RCODE: u16 = 0x780f;

/// Types of records.
pub mod kind {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// Another name.
    pub const PTR: u16 = 12;
    /// Texts.
    pub const TXT: u16 = 16;
    /// An IPv6 address.
    pub const AAAA: u16 = 28;
    /// Host and port of a service.
    pub const SRV: u16 = 33;
    /// Which types a name has.
    pub const NSEC: u16 = 47;
    /// Of a question: all types.
    pub const ANY: u16 = 255;
}

/// A name: its labels, without the empty one at the end. Equal without regard to the case of ASCII letters.
#[derive(Clone, Default, Eq)]
pub struct Name(Vec<String>);

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| a.eq_ignore_ascii_case(b))
    }
}

impl Name {
    /// Reads a name whose labels hold no dots, such as `_http._tcp.local`; a dot at the end is one too many and allowed.
    pub fn of(text: &str) -> Self {
        Self(text.split('.').filter(|label| !label.is_empty()).map(str::to_owned).collect())
    }

    /// Returns this name below a label, which may hold dots and is cut to what a label can be.
    pub fn below(&self, label: &str) -> Self {
        let mut label = label.to_owned();
        while label.len() > LABEL_BYTES_MAX {
            label.pop();
        }
        Self(std::iter::once(label).chain(self.0.iter().cloned()).collect())
    }

    /// Returns the first label, if what follows is `parent`.
    pub fn label_below(&self, parent: &Self) -> Option<&str> {
        let (first, rest) = self.0.split_first()?;
        (Self(rest.to_vec()) == *parent).then_some(first)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// About which name.
    pub name: Name,
    /// For which type.
    pub kind: u16,
    /// Whether the answer may come to the asker alone.
    pub is_unicast: bool,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Another name.
    Ptr(Name),
    /// Host and port of a service; of the same priority and weight as all others.
    Srv {
        /// The host.
        host: Name,
        /// The port.
        port: u16,
    },
    /// Texts `key=value`.
    Txt(Vec<String>),
    /// The types that its name has, below 256, in order; it has no others.
    Nsec(Vec<u8>),
    /// Anything else, or what cannot be read.
    Other(u16),
}

impl Data {
    /// Returns its type.
    pub fn kind(&self) -> u16 {
        match self {
            Self::A(_) => kind::A,
            Self::Aaaa(_) => kind::AAAA,
            Self::Ptr(_) => kind::PTR,
            Self::Srv { .. } => kind::SRV,
            Self::Txt(_) => kind::TXT,
            Self::Nsec(_) => kind::NSEC,
            Self::Other(kind) => *kind,
        }
    }

    /// Returns its bytes with whole names: what two who want the same name at once are compared by.
    pub fn bytes(&self) -> Vec<u8> {
        let mut writer = Writer { bytes: Vec::new(), names: None };
        writer.data(&Name::default(), self);
        writer.bytes
    }
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub name: Name,
    /// Whether it takes the place of all older ones of its name and type: nobody else has any.
    pub is_unique: bool,
    /// How long it holds, in seconds; 0 takes it back.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// A question, an answer, or a probe, which asks and says what the asker would answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Names the question that is answered; 0 in mDNS.
    pub id: u16,
    /// Whether it answers.
    pub is_answer: bool,
    /// Whether the asker wants the server to ask others; never in mDNS.
    pub wants_recursion: bool,
    /// What is asked.
    pub questions: Vec<Question>,
    /// The answers; in a question, what the asker knows already.
    pub answers: Vec<Record>,
    /// In a probe, what the asker would say.
    pub authorities: Vec<Record>,
    /// What the asker would want to know next.
    pub additionals: Vec<Record>,
}

impl Message {
    /// Returns the bytes. Nothing that is made here comes near [`MESSAGE_BYTES_MAX`].
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer { bytes: Vec::with_capacity(512), names: Some(Vec::new()) };
        let flags = if self.is_answer { ANSWER } else { 0 } | if self.wants_recursion { WANTS_RECURSION } else { 0 };
        let sections = [&self.answers, &self.authorities, &self.additionals];
        let counts = [self.questions.len(), sections[0].len(), sections[1].len(), sections[2].len()];
        [self.id, flags].into_iter().chain(counts.map(|count| count as u16)).for_each(|word| writer.word(word));
        for question in &self.questions {
            writer.name(&question.name);
            writer.word(question.kind);
            writer.word(CLASS_IN | if question.is_unicast { TOP_BIT } else { 0 });
        }
        for record in sections.into_iter().flatten() {
            writer.record(record);
        }
        writer.bytes
    }

    /// Reads a message; `None` when it is none, or asks for something else than this module knows.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { bytes, at: 0 };
        let (id, flags) = (reader.word()?, reader.word()?);
        if flags & OPCODE_AND_RCODE != 0 {
            return None;
        }
        let mut counts = [0; 4];
        for count in &mut counts {
            *count = usize::from(reader.word()?).min(RECORDS_MAX);
        }
        let (is_answer, wants_recursion) = (flags & IS_ANSWER != 0, flags & WANTS_RECURSION != 0);
        let mut message = Self { id, is_answer, wants_recursion, ..Self::default() };
        for _ in 0..counts[0] {
            let (name, kind, class) = (reader.name()?, reader.word()?, reader.word()?);
            if class & !TOP_BIT == CLASS_IN || class & !TOP_BIT == kind::ANY {
                message.questions.push(Question { name, kind, is_unicast: class & TOP_BIT != 0 });
            }
        }
        let sections = [&mut message.answers, &mut message.authorities, &mut message.additionals];
        for (section, count) in sections.into_iter().zip(&counts[1..]) {
            for _ in 0..*count {
                section.extend(reader.record()?);
            }
        }
        Some(message)
    }
}

struct Writer {
    bytes: Vec<u8>,
    /// Names that were written, and where; `None` writes all of them whole.
    names: Option<Vec<(Name, u16)>>,
}

impl Writer {
    fn word(&mut self, word: u16) {
        self.bytes.extend(word.to_be_bytes());
    }

    fn name(&mut self, name: &Name) {
        for index in 0..name.0.len() {
            let rest = Name(name.0[index..].to_vec());
            if let Some(names) = &mut self.names {
                if let Some((_, place)) = names.iter().find(|(known, _)| known.0 == rest.0) {
                    self.bytes.extend((0xc000 | place).to_be_bytes());
                    return;
                }
                // A pointer has fourteen bits.
                if let Some(place) = u16::try_from(self.bytes.len()).ok().filter(|place| *place < 0x4000) {
                    names.push((rest, place));
                }
            }
            let label = name.0[index].as_bytes();
            let label = &label[..label.len().min(LABEL_BYTES_MAX)];
            self.bytes.push(label.len() as u8);
            self.bytes.extend(label);
        }
        self.bytes.push(0);
    }

    fn record(&mut self, record: &Record) {
        self.name(&record.name);
        self.word(record.data.kind());
        self.word(CLASS_IN | if record.is_unique { TOP_BIT } else { 0 });
        self.bytes.extend(record.ttl.to_be_bytes());
        let place = self.bytes.len();
        self.word(0);
        self.data(&record.name, &record.data);
        let length = (self.bytes.len() - place - 2) as u16;
        self.bytes[place..place + 2].copy_from_slice(&length.to_be_bytes());
    }

    fn data(&mut self, owner: &Name, data: &Data) {
        match data {
            Data::A(ip) => self.bytes.extend(ip.octets()),
            Data::Aaaa(ip) => self.bytes.extend(ip.octets()),
            Data::Ptr(name) => self.name(name),
            Data::Srv { host, port } => {
                [0, 0, *port].into_iter().for_each(|word| self.word(word));
                self.name(host);
            }
            Data::Txt(texts) => {
                for text in texts {
                    let text = &text.as_bytes()[..text.len().min(255)];
                    self.bytes.push(text.len() as u8);
                    self.bytes.extend(text);
                }
                if texts.is_empty() {
                    self.bytes.push(0);
                }
            }
            Data::Nsec(kinds) => {
                self.name(owner);
                let mut bits = [0_u8; 32];
                for kind in kinds {
                    bits[usize::from(kind / 8)] |= 0x80 >> (kind % 8);
                }
                let length = bits.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
                self.bytes.extend([0, length as u8]);
                self.bytes.extend(&bits[..length]);
            }
            Data::Other(_) => {}
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn word(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn name(&mut self) -> Option<Name> {
        let mut labels = Vec::new();
        let (mut at, mut length, mut end) = (self.at, 0, None);
        loop {
            let first = usize::from(*self.bytes.get(at)?);
            match first {
                0 => break,
                1..=LABEL_BYTES_MAX => {
                    let label = self.bytes.get(at + 1..at + 1 + first)?;
                    length += first + 1;
                    if length > NAME_BYTES_MAX {
                        return None;
                    }
                    labels.push(String::from_utf8_lossy(label).into_owned());
                    at += first + 1;
                }
                0xc0.. => {
                    let place = (first & 0x3f) << 8 | usize::from(*self.bytes.get(at + 1)?);
                    end.get_or_insert(at + 2);
                    // Only backwards, so that it ends.
                    if place >= at {
                        return None;
                    }
                    at = place;
                }
                _ => return None,
            }
        }
        self.at = end.unwrap_or(at + 1);
        Some(Name(labels))
    }

    /// Reads a record; an inner `None` is one of another class.
    fn record(&mut self) -> Option<Option<Record>> {
        let (name, kind, class) = (self.name()?, self.word()?, self.word()?);
        let ttl = u32::from(self.word()?) << 16 | u32::from(self.word()?);
        let length = usize::from(self.word()?);
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        // What is longer or shorter than it says cannot be read.
        let data = self.data(kind, end);
        let data = data.filter(|_| self.at == end).unwrap_or(Data::Other(kind));
        self.at = end;
        let is_internet = class & !TOP_BIT == CLASS_IN;
        Some(is_internet.then_some(Record { name, is_unique: class & TOP_BIT != 0, ttl, data }))
    }

    fn data(&mut self, kind: u16, end: usize) -> Option<Data> {
        match kind {
            kind::A => Some(Data::A(Ipv4Addr::from(<[u8; 4]>::try_from(self.take(4)?).ok()?))),
            kind::AAAA => Some(Data::Aaaa(Ipv6Addr::from(<[u8; 16]>::try_from(self.take(16)?).ok()?))),
            kind::PTR => self.name().map(Data::Ptr),
            kind::SRV => {
                self.take(4)?;
                let port = self.word()?;
                Some(Data::Srv { port, host: self.name()? })
            }
            kind::TXT => {
                let mut texts = Vec::new();
                while self.at < end {
                    let length = usize::from(self.byte()?);
                    let text = String::from_utf8_lossy(self.take(length)?).into_owned();
                    texts.extend(Some(text).filter(|text| !text.is_empty()));
                }
                Some(Data::Txt(texts))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::SeededRng;

    fn example() -> Message {
        let service = Name::of("_clawdbot-gw._tcp.local.");
        let (instance, host) = (service.below("a.b (Clawdbot)"), Name::of("box.local"));
        let record = |name: &Name, data| Record { name: name.clone(), is_unique: true, ttl: 120, data };
        Message {
            id: 7,
            is_answer: true,
            wants_recursion: true,
            questions: vec![Question { name: service.clone(), kind: kind::PTR, is_unicast: true }],
            answers: vec![record(&service, Data::Ptr(instance.clone()))],
            authorities: vec![record(&host, Data::Aaaa(Ipv6Addr::LOCALHOST))],
            additionals: vec![
                record(&instance, Data::Srv { host: host.clone(), port: 18789 }),
                record(&instance, Data::Txt(vec!["role=gateway".to_owned(), "displayName=ä b".to_owned()])),
                record(&host, Data::A(Ipv4Addr::new(10, 0, 0, 7))),
            ],
        }
    }

    #[test]
    fn messages_are_read_as_they_were_written() {
        let message = example();
        let bytes = message.encode();
        assert_eq!(Message::decode(&bytes), Some(message));
        assert_eq!(bytes.windows(12).filter(|at| *at == b"_clawdbot-gw").count(), 1, "names are written once");
        assert_eq!(Name::of("A.local"), Name::of("a.LOCAL"));
        let service = Name::of("_x._tcp.local");
        assert_eq!(service.below("a.b").label_below(&service), Some("a.b"));
        assert_eq!(service.below("a").label_below(&Name::of("local")), None);
    }

    #[test]
    fn types_of_a_name() {
        let nsec = Data::Nsec(vec![kind::A as u8, kind::SRV as u8]);
        assert_eq!(nsec.bytes(), [0, 0, 5, 0x40, 0, 0, 0, 0x40]);
    }

    #[test]
    fn whatever_comes_is_survived() {
        let bytes = example().encode();
        for end in 0..bytes.len() {
            assert_eq!(Message::decode(&bytes[..end]), None, "{end}");
        }
        let rng = SeededRng::new(11);
        for _ in 0..20_000 {
            let mut broken = bytes.clone();
            for _ in 0..=rng.below(4) {
                let at = rng.below(broken.len() as u64) as usize;
                broken[at] = rng.next_u64() as u8;
            }
            let _ = Message::decode(&broken);
        }
        // Data that is longer than it says, and what stands behind it.
        let mut long = vec![0, 0, 0x84, 0, 0, 0, 0, 2, 0, 0, 0, 0];
        long.extend([0, 0, 1, 0, 1, 0, 0, 0, 9, 0, 2, 10, 0]);
        long.extend([0, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 7]);
        let read: Vec<Data> =
            Message::decode(&long).expect("a message").answers.into_iter().map(|it| it.data).collect();
        assert_eq!(read, [Data::Other(kind::A), Data::A(Ipv4Addr::new(10, 0, 0, 7))]);
        // A name that points at itself.
        let mut looped = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        looped.extend([0xc0, 12, 0, 1, 0, 1]);
        assert_eq!(Message::decode(&looped), None);
    }
}
