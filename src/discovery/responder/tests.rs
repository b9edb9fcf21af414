use super::*;
use crate::base::clock::{Clock, SystemClock};
use crate::base::rng::SeededRng;

/// Machines on one network: what each sends to all reaches everybody, itself included.
struct Network {
    now: Instant,
    machines: Vec<(Ipv4Addr, Responder)>,
    heard: Vec<(usize, Message)>,
}

impl Network {
    fn of(count: u8) -> Self {
        let now = SystemClock.now();
        let machine = |index: u8| {
            let ip = Ipv4Addr::new(10, 0, 0, index + 1);
            let advert = Advert {
                host: "box".to_owned(),
                instance: "box (Clawdbot)".to_owned(),
                port: 18789 + u16::from(index),
                ..Advert::default()
            };
            let mut responder = Responder::new(advert, Arc::new(SeededRng::new(index.into())), now);
            responder.set_links(vec![vec![ip]], now);
            (ip, responder)
        };
        Self { now, machines: (0..count).map(machine).collect(), heard: Vec::new() }
    }

    /// Lets time pass, in steps of 10 ms.
    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while self.now < until {
            self.now += Duration::from_millis(10);
            for index in 0..self.machines.len() {
                let due = self.machines[index].1.run(self.now);
                self.deliver(index, due);
            }
        }
    }

    fn deliver(&mut self, sender: usize, messages: Vec<Out>) {
        let from = SocketAddrV4::new(self.machines[sender].0, PORT);
        for Out { message, .. } in messages {
            let bytes = message.encode();
            self.heard.push((sender, message));
            for index in 0..self.machines.len() {
                let message = Message::decode(&bytes).expect("a message");
                let answers = self.machines[index].1.receive(0, &message, from, self.now);
                self.deliver(index, answers);
            }
        }
    }

    /// Asks one machine from the outside; returns what it says to the asker, then within `span` to all.
    fn ask(&mut self, question: Message, port: u16, span: Duration) -> (Vec<Message>, Vec<Message>) {
        let from = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 99), port);
        let alone = self.machines[0].1.receive(0, &question, from, self.now);
        let before = self.heard.len();
        self.pass(span);
        let all = self.heard.drain(before..).map(|(_, message)| message).collect();
        (alone.into_iter().map(|out| out.message).collect(), all)
    }
}

fn question(name: &str, kind: u16) -> Message {
    let name = match name.strip_prefix("box (Clawdbot).") {
        Some(rest) => Name::of(rest).below("box (Clawdbot)"),
        None => Name::of(name),
    };
    Message { questions: vec![Question { name, kind, is_unicast: false }], ..Message::default() }
}

fn kinds(records: &[Record]) -> Vec<u16> {
    records.iter().map(|record| record.data.kind()).collect()
}

#[test]
fn names_are_asked_for_three_times_then_said_twice() {
    let mut network = Network::of(1);
    network.pass(Duration::from_secs(5));
    let said: Vec<bool> = network.heard.iter().map(|(_, message)| message.is_answer).collect();
    assert_eq!(said, [false, false, false, true, true]);
    let probe = &network.heard[0].1;
    assert_eq!((probe.questions.len(), kinds(&probe.authorities)), (2, vec![kind::SRV, kind::TXT, kind::A]));
    let announced = &network.heard[3].1.answers;
    assert_eq!(kinds(announced), [kind::PTR, kind::SRV, kind::TXT, kind::A]);
    assert_eq!(announced.iter().map(|it| it.is_unique).collect::<Vec<_>>(), [false, true, true, true]);
    assert_eq!(network.machines[0].1.next(), None, "then it waits");
    let goodbye = network.machines[0].1.goodbye().remove(0).message;
    assert!(
        goodbye.answers.iter().all(|it| it.ttl == 0) && kinds(&goodbye.answers) == [kind::PTR, kind::SRV, kind::TXT]
    );
}

#[test]
fn machines_of_one_name_find_different_ones() {
    for count in [2, 4] {
        let mut network = Network::of(count);
        network.pass(Duration::from_secs(30));
        let mut names: Vec<(String, String)> = network.machines.iter().map(|(_, it)| it.names()).collect();
        assert!(network.machines.iter().all(|(_, it)| it.is_settled()));
        names.sort();
        let distinct = |it: Vec<&String>| it.iter().collect::<std::collections::BTreeSet<_>>().len();
        let (instances, hosts) = names.iter().map(|(instance, host)| (instance, host)).unzip();
        assert_eq!((distinct(instances), distinct(hosts)), (count.into(), count.into()), "{names:?}");
        assert!(names.contains(&("box (Clawdbot)".to_owned(), "box.local".to_owned())), "{names:?}");
    }
}

#[test]
fn gateways_of_one_machine_share_its_host() {
    let mut network = Network::of(2);
    let now = network.now;
    let ip = network.machines[0].0;
    network.machines[1].0 = ip;
    network.machines[1].1.set_links(vec![vec![ip]], now);
    network.pass(Duration::from_secs(20));
    let names: Vec<(String, String)> = network.machines.iter().map(|(_, it)| it.names()).collect();
    assert_eq!((names[0].1.as_str(), names[1].1.as_str()), ("box.local", "box.local"));
    assert_ne!(names[0].0, names[1].0);
}

#[test]
fn whoever_asks_is_answered() {
    let second = Duration::from_secs(1);
    let mut network = Network::of(1);
    network.pass(Duration::from_secs(5));
    let service = "_clawdbot-gw._tcp.local";
    let (alone, all) = network.ask(question(service, kind::PTR), PORT, second);
    assert_eq!((alone.len(), all.len()), (0, 1));
    assert_eq!(
        (kinds(&all[0].answers), kinds(&all[0].additionals)),
        (vec![kind::PTR], vec![kind::SRV, kind::TXT, kind::A])
    );
    // Who knows is not told again, nor is anybody within a second.
    network.pass(second);
    let mut known = question(service, kind::PTR);
    known.answers = all[0].answers.clone();
    assert_eq!(network.ask(known, PORT, second), (vec![], vec![]));
    assert_eq!(network.ask(question(service, kind::PTR), PORT, second).1.len(), 1);
    assert_eq!(network.ask(question(service, kind::PTR), PORT, Duration::from_millis(10)).1.len(), 0);
    network.pass(second + second);
    // From another port, as resolvers of the system ask: alone, with the question, short-lived.
    let mut legacy = question(service, kind::PTR);
    legacy.id = 77;
    let (alone, all) = network.ask(legacy.clone(), 40_000, second);
    assert_eq!((alone.len(), all.len(), alone[0].id, &alone[0].questions), (1, 0, 77, &legacy.questions));
    assert!(alone[0].answers.iter().chain(&alone[0].additionals).all(|it| it.ttl == LEGACY_TTL && !it.is_unique));
    // Of what is not answered nothing comes back: an answer to a forged sender is no larger than need be.
    legacy.questions.extend(question("other.local", kind::A).questions);
    assert_eq!(network.ask(legacy, 40_000, second).0[0].questions.len(), 1);
    for (name, kind, wanted) in [
        ("_services._dns-sd._udp.local", kind::PTR, vec![kind::PTR]),
        ("box (Clawdbot)._clawdbot-gw._tcp.local", kind::SRV, vec![kind::SRV]),
        ("box (Clawdbot)._clawdbot-gw._tcp.local", kind::ANY, vec![kind::SRV, kind::TXT]),
        ("BOX.local", kind::A, vec![kind::A]),
        ("box.local", kind::AAAA, vec![kind::NSEC]),
    ] {
        network.pass(second);
        let (_, all) = network.ask(question(name, kind), PORT, second);
        assert_eq!(all.iter().map(|it| kinds(&it.answers)).collect::<Vec<_>>(), [wanted], "{name} {kind}");
    }
    network.pass(second);
    for other in ["_http._tcp.local", "other.local"] {
        assert_eq!(network.ask(question(other, kind::ANY), PORT, second), (vec![], vec![]), "{other}");
    }
}

#[test]
fn a_new_network_is_told_and_a_lost_one_leaves_nothing_to_do() {
    let mut network = Network::of(1);
    network.pass(Duration::from_secs(5));
    network.heard.clear();
    let now = network.now;
    network.machines[0].1.set_links(Vec::new(), now);
    assert_eq!(network.machines[0].1.next(), None);
    network.machines[0].1.set_links(vec![vec![Ipv4Addr::new(10, 1, 0, 1)]], now);
    network.pass(Duration::from_secs(5));
    assert_eq!(network.heard.len(), 5, "as at the start");
    network.machines[0].1.set_links(vec![vec![Ipv4Addr::new(10, 1, 0, 1)]], now);
    assert_eq!(network.machines[0].1.next(), None, "nothing new");
}

#[test]
fn nobody_keeps_others_from_an_answer() {
    let mut network = Network::of(1);
    network.pass(Duration::from_secs(5));
    network.heard.clear();
    let from = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 99), PORT);
    for _ in 0..30 {
        let (now, asked) = (network.now, question("_clawdbot-gw._tcp.local", kind::PTR));
        assert_eq!(network.machines[0].1.receive(0, &asked, from, now), vec![]);
        network.pass(Duration::from_millis(10));
    }
    assert_eq!(network.heard.len(), 1, "once, although the questions never stop");
    // Who claims a name hears at once that it is taken, also while others wait for their second to be over.
    let mut probe = question("box.local", kind::ANY);
    let ip = Data::A(Ipv4Addr::new(10, 0, 0, 99));
    probe.authorities = vec![Record { name: Name::of("box.local"), is_unique: false, ttl: HOST_TTL, data: ip }];
    let (_, all) = network.ask(probe, PORT, PROBE_GAP + Duration::from_millis(20));
    assert!(all.iter().any(|it| kinds(&it.answers).contains(&kind::A)), "{all:?}");
}

#[test]
fn nobody_makes_it_flood_an_address() {
    let mut network = Network::of(1);
    network.pass(Duration::from_secs(5));
    network.heard.clear();
    let ask = question("_clawdbot-gw._tcp.local", kind::PTR);
    let answers = |network: &mut Network, port, question: &Message| -> usize {
        let from = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 99), port);
        let now = network.now;
        (0..1000).map(|_| network.machines[0].1.receive(0, question, from, now).len()).sum()
    };
    assert_eq!(answers(&mut network, 40_000, &ask), 20);
    network.pass(Duration::from_secs(1));
    assert_eq!(answers(&mut network, 40_001, &ask), 10, "whatever port it says to come from");
    assert!(network.heard.is_empty(), "and nobody else is told");
    // Who speaks mDNS and would like an answer alone hears the one for all.
    let mut alone = ask.clone();
    alone.questions[0].is_unicast = true;
    assert_eq!(answers(&mut network, PORT, &alone), 0);
    network.pass(Duration::from_secs(1));
    assert_eq!(network.heard.len(), 1, "{:?}", network.heard);
    assert_eq!(answers(&mut network, PORT, &alone), 10);
}

#[test]
fn names_are_given_up_one_by_one_and_not_for_an_address_of_ones_own() {
    let mut network = Network::of(1);
    network.pass(Duration::from_secs(5));
    let (from, other) = (SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 50), PORT), Ipv4Addr::new(10, 0, 0, 50));
    let claim = |host: &str| {
        let record = Record { name: Name::of(host), is_unique: true, ttl: HOST_TTL, data: Data::A(other) };
        Message { is_answer: true, answers: vec![record], ..Message::default() }
    };
    // The machine got another address, and its other responder said so first.
    let (now, responder) = (network.now, &mut network.machines[0].1);
    assert_eq!(responder.receive(0, &claim("box.local"), from, now), vec![]);
    assert!(!responder.is_settled());
    responder.set_links(vec![vec![other]], now);
    network.pass(PROBE_GAP * 2);
    let (now, responder) = (network.now, &mut network.machines[0].1);
    responder.receive(0, &claim("box.local"), from, now);
    assert_eq!(responder.names().1, "box.local");
    // Somebody who claims all names at once takes one at a time.
    responder.set_links(vec![vec![Ipv4Addr::new(10, 0, 0, 1)]], now);
    network.pass(PROBE_GAP * 2);
    let (now, responder) = (network.now, &mut network.machines[0].1);
    for host in ["box.local", "box-2.local", "box-3.local", "box-4.local"] {
        responder.receive(0, &claim(host), from, now);
    }
    assert_eq!(responder.names().1, "box-2.local");
}
