//! How many calls a gateway answers, and how long each takes: some methods, with 1 or 50 clients and 1 or 16 calls of each
//! under way.
//!
//! `cargo bench --bench rpc` measures this build (or `CLAWDBOT_BIN`); with `CLAWDBOT_PEER="node …/entry.js"` it measures
//! that gateway too, in turns, and prints ratios. Only ratios of one run compare. One thread makes all the calls, without
//! parsing answers, so that it costs less than what it measures. `CLAWDBOT_BENCH_ASSERT=1` exits 1 when a ratio misses its
//! goal; `CLAWDBOT_BENCH_CASE="health 50"` picks cases.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use serde_json::json;

mod support;
use support::{Gateway, Home, connect, program};

/// How long one figure is measured, in each turn.
const TURN: Duration = Duration::from_secs(2);
/// Turns of each gateway.
const TURNS: usize = 3;

/// Method, clients, calls of each under way, least ratio to the peer.
const CASES: &[(&str, usize, usize, f64)] = &[
    ("last-heartbeat", 1, 1, 1.3),
    ("last-heartbeat", 1, 16, 1.3),
    ("last-heartbeat", 50, 1, 1.3),
    ("last-heartbeat", 50, 16, 6.0),
    ("health", 1, 1, 1.3),
    ("health", 50, 1, 10.0),
    ("health", 50, 16, 6.0),
    ("system-presence", 50, 1, 1.3),
    ("config.get", 50, 1, 1.3),
    ("sessions.list", 50, 1, 1.3),
];

fn main() {
    let peer = std::env::var("CLAWDBOT_PEER").ok();
    let names: Vec<String> = std::iter::once(program()).chain(peer).collect();
    let homes: Vec<Home> = names.iter().map(|name| Home::new(name, &json!({}))).collect();
    let gateways: Vec<Gateway> = homes.iter().map(Gateway::spawn).collect();
    gateways.iter().for_each(|gateway| drop(connect(gateway.port)));
    println!("{:<18} {:>7} {:>10} {:>9} {:>9} {:>9}", "method", "shape", "calls/s", "p50 ms", "p99 ms", "max ms");
    let mut has_missed = false;
    let wanted = std::env::var("CLAWDBOT_BENCH_CASE").unwrap_or_default();
    for &(method, clients, depth, goal) in
        CASES.iter().filter(|case| format!("{} {}x{}", case.0, case.1, case.2).contains(&wanted))
    {
        let mut results: Vec<Vec<Load>> = gateways.iter().map(|_| Vec::new()).collect();
        for _ in 0..TURNS {
            for (gateway, results) in gateways.iter().zip(&mut results) {
                results.push(Load::run(gateway.port, method, clients, depth));
            }
        }
        // The middle turn: one that the machine disturbed counts neither way.
        let middle: Vec<Load> = results
            .into_iter()
            .map(|mut turns| {
                turns.sort_by(|a, b| a.rate.total_cmp(&b.rate));
                turns.swap_remove(TURNS / 2)
            })
            .collect();
        for load in &middle {
            println!("{method:<18} {:>7} {load}", format!("{clients}x{depth}"));
        }
        if let [ours, theirs] = middle.as_slice() {
            let ratio = ours.rate / theirs.rate;
            let mark = if ratio >= goal { ' ' } else { '!' };
            has_missed |= ratio < goal;
            println!("{mark} {:<24} {ratio:>10.1} times the peer (goal {goal})", "");
        }
    }
    if has_missed && std::env::var("CLAWDBOT_BENCH_ASSERT").as_deref() == Ok("1") {
        std::process::exit(1);
    }
}

/// What one turn showed.
struct Load {
    /// Calls answered in a second.
    rate: f64,
    /// How long each took, sorted.
    times: Vec<Duration>,
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |percent: usize| {
            let index = (self.times.len() * percent / 100).min(self.times.len().saturating_sub(1));
            self.times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
        };
        write!(f, "{:>10.0} {:>9.3} {:>9.3} {:>9.3}", self.rate, at(50), at(99), at(100))
    }
}

/// One client: the calls under way, oldest first, and bytes that are no whole frame yet.
struct Caller {
    socket: mio::net::TcpStream,
    sent: VecDeque<Instant>,
    input: Vec<u8>,
}

impl Load {
    /// Keeps `depth` calls of each of `clients` under way for a turn.
    fn run(port: u16, method: &str, clients: usize, depth: usize) -> Self {
        let call = frame(&json!({"type": "req", "id": "b", "method": method, "params": {}}).to_string());
        let mut poll = Poll::new().expect("a poll");
        let mut callers: Vec<Caller> = (0..clients).map(|_| Caller::new(connect(port).get_ref())).collect();
        for (index, caller) in callers.iter_mut().enumerate() {
            poll.registry().register(&mut caller.socket, Token(index), Interest::READABLE).expect("registered");
            caller.call(&call, depth);
        }
        let mut events = Events::with_capacity(256);
        let mut times = Vec::new();
        let start = Instant::now();
        while start.elapsed() < TURN {
            poll.poll(&mut events, Some(TURN)).expect("polled");
            for event in &events {
                let caller = &mut callers[event.token().0];
                let count = caller.answers(&mut times);
                caller.call(&call, count);
            }
        }
        let rate = times.len() as f64 / start.elapsed().as_secs_f64();
        times.sort();
        Self { rate, times }
    }
}

impl Caller {
    fn new(stream: &TcpStream) -> Self {
        let stream = stream.try_clone().expect("a second handle");
        stream.set_nonblocking(true).expect("not blocking");
        Self { socket: mio::net::TcpStream::from_std(stream), sent: VecDeque::new(), input: Vec::new() }
    }

    /// Makes `count` calls with one write.
    fn call(&mut self, call: &[u8], count: usize) {
        let now = Instant::now();
        self.sent.extend(std::iter::repeat_n(now, count));
        // Calls are small and few: the socket always takes them.
        self.socket.write_all(&call.repeat(count)).expect("sent");
    }

    /// Reads what has come; returns how many answers it held.
    fn answers(&mut self, times: &mut Vec<Duration>) -> usize {
        let mut piece = [0; 64 * 1024];
        loop {
            match self.socket.read(&mut piece) {
                Ok(count) if count > 0 && count < piece.len() => {
                    // A short read took all there was.
                    self.input.extend_from_slice(&piece[..count]);
                    break;
                }
                Ok(0) => panic!("the gateway closed the connection"),
                Ok(count) => self.input.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        let (mut at, mut count) = (0, 0);
        while let Some(length) = frame_length(&self.input[at..]) {
            // Events of the gateway come between answers.
            let head = &self.input[at..(at + length).min(at + 64)];
            if head.windows(12).any(|window| window == br#""type":"res""#) {
                times.extend(self.sent.pop_front().map(|sent| sent.elapsed()));
                count += 1;
            }
            at += length;
        }
        self.input.drain(..at);
        count
    }
}

/// A text frame of a client; the mask is zero, so the text stands in it as it is.
fn frame(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x81];
    match text.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// Returns the length of the server's frame that starts here, once it is whole.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let (head, payload) = match bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, usize::from(*short)),
    };
    (bytes.len() >= head + payload).then_some(head + payload)
}
