//! One client of a fleet: its socket, how far it is, and the messages that it takes out of what it reads.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::dial::dial;
use crate::wire::{self, Speech};

/// One client.
pub struct Link {
    socket: TcpStream,
    stage: Stage,
    since: Instant,
    /// Bytes that are no whole message yet.
    input: Vec<u8>,
    /// Bytes to write once all that has come is read.
    output: Vec<u8>,
    /// When the calls under way were made, oldest first.
    sent: VecDeque<Instant>,
}

/// How far a client is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Upgrading,
    Greeting,
    Ready(Speech),
}

/// What came on a link.
pub enum Heard<'a> {
    /// The client was let in just now; since it was dialled, so much time has passed.
    Hello(Duration),
    /// An answer, and how long the oldest call took.
    Answer(&'a [u8], Duration),
    /// An answer that says no.
    Refusal(&'a [u8]),
    /// Anything else but a tick.
    Event(&'a [u8]),
}

impl Link {
    /// Starts to connect; a WebSocket client then goes through the handshake by itself.
    pub fn dial(registry: &Registry, token: Token, source: Ipv4Addr, port: u16, speech: Speech) -> Result<Self> {
        let target = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let mut socket = dial(source, target).with_context(|| format!("connect from {source}"))?;
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE).context("watch a socket")?;
        let (stage, output) = match speech {
            Speech::WebSocket => (Stage::Upgrading, wire::upgrade()),
            Speech::Http => (Stage::Ready(speech), Vec::new()),
        };
        Ok(Self { socket, stage, since: Instant::now(), input: Vec::new(), output, sent: VecDeque::new() })
    }

    /// Does what the socket is ready for; returns whether anything came but ticks.
    pub fn serve(&mut self, piece: &mut [u8], hear: &mut dyn FnMut(&mut Self, Heard)) -> Result<bool> {
        self.flush()?;
        let has_come = self.read(piece, hear)?;
        // Calls made by whoever heard leave together.
        self.flush()?;
        Ok(has_come)
    }

    /// Whether an answer is due.
    pub fn is_waiting(&self) -> bool {
        !self.sent.is_empty()
    }

    /// Makes a call with the next write.
    pub fn queue(&mut self, request: &[u8]) {
        self.sent.push_back(Instant::now());
        self.output.extend_from_slice(request);
    }

    /// Whether it speaks plain HTTP.
    pub fn is_http(&self) -> bool {
        self.stage == Stage::Ready(Speech::Http)
    }

    /// Writes what is queued; what the socket does not take waits until it is writable.
    pub fn flush(&mut self) -> Result<()> {
        while !self.output.is_empty() {
            match self.socket.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("write to the gateway"),
            }
        }
        Ok(())
    }

    /// Reads all there is; returns whether it held anything but ticks.
    fn read(&mut self, piece: &mut [u8], hear: &mut dyn FnMut(&mut Self, Heard)) -> Result<bool> {
        let mut has_come = false;
        loop {
            match self.socket.read(piece) {
                Ok(0) => bail!("the connection was closed"),
                Ok(count) => {
                    self.input.extend_from_slice(&piece[..count]);
                    has_come |= self.take_messages(hear)?;
                    // A short read took all there was.
                    if count < piece.len() {
                        return Ok(has_come);
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(has_come);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("read from the gateway"),
            }
        }
    }

    fn take_messages(&mut self, hear: &mut dyn FnMut(&mut Self, Heard)) -> Result<bool> {
        let was_ready = matches!(self.stage, Stage::Ready(_));
        let mut input = std::mem::take(&mut self.input);
        let (mut at, mut has_come) = (0, false);
        loop {
            let rest = &input[at..];
            let taken = match self.stage {
                Stage::Upgrading => self.take_upgrade(rest)?,
                Stage::Greeting => self.take_greeting(rest, hear)?,
                Stage::Ready(Speech::WebSocket) => self.take_frame(rest, hear)?,
                Stage::Ready(Speech::Http) => self.take_answer(rest, hear)?,
            };
            let Some((length, counts)) = taken else { break };
            at += length;
            has_come |= counts;
        }
        input.drain(..at);
        // The buffer of the long greeting goes: ten thousand of them would weigh on the machine.
        if was_ready || !input.is_empty() {
            self.input = input;
        }
        Ok(has_come)
    }

    fn take_upgrade(&mut self, bytes: &[u8]) -> Result<Option<(usize, bool)>> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
        let line = String::from_utf8_lossy(&bytes[..bytes.iter().position(|byte| *byte == b'\r').unwrap_or(end)]);
        ensure!(line.contains(" 101 "), "the upgrade was refused: {line}");
        self.output.extend_from_slice(&wire::connect());
        self.stage = Stage::Greeting;
        Ok(Some((end + 4, true)))
    }

    fn take_greeting(&mut self, bytes: &[u8], hear: &mut dyn FnMut(&mut Self, Heard)) -> Result<Option<(usize, bool)>> {
        let Some(message) = wire::message(bytes) else { return Ok(None) };
        check(&message)?;
        if is_answer(message.payload) {
            ensure!(is_good(message.payload), "a client was refused with {}", excerpt(message.payload));
            self.stage = Stage::Ready(Speech::WebSocket);
            hear(self, Heard::Hello(self.since.elapsed()));
        }
        Ok(Some((message.length, true)))
    }

    fn take_frame(&mut self, bytes: &[u8], hear: &mut dyn FnMut(&mut Self, Heard)) -> Result<Option<(usize, bool)>> {
        let Some(message) = wire::message(bytes) else { return Ok(None) };
        check(&message)?;
        let mut counts = true;
        if message.opcode == 9 {
            self.output.extend_from_slice(&wire::frame(10, message.payload));
            counts = false;
        } else if is_answer(message.payload) {
            let took = self.sent.pop_front().map(|sent| sent.elapsed()).unwrap_or_default();
            let (answer, refusal) = (Heard::Answer(message.payload, took), Heard::Refusal(message.payload));
            hear(self, if is_good(message.payload) { answer } else { refusal });
        } else if wire::starts_with(message.payload, br#""event":"tick""#) {
            counts = false;
        } else {
            hear(self, Heard::Event(message.payload));
        }
        Ok(Some((message.length, counts)))
    }

    fn take_answer(&mut self, bytes: &[u8], hear: &mut dyn FnMut(&mut Self, Heard)) -> Result<Option<(usize, bool)>> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let Some(length) = wire::http_answer(bytes)? else { return Ok(None) };
        let took = self.sent.pop_front().map(|sent| sent.elapsed()).unwrap_or_default();
        hear(self, Heard::Answer(&bytes[..length], took));
        Ok(Some((length, true)))
    }
}

/// A gateway that closes an orderly connection has failed.
fn check(message: &wire::Message) -> Result<()> {
    ensure!(message.opcode != 8, "the gateway closed the connection: {}", excerpt(message.payload));
    Ok(())
}

fn is_answer(text: &[u8]) -> bool {
    wire::starts_with(text, br#""type":"res""#)
}

fn is_good(text: &[u8]) -> bool {
    wire::starts_with(text, br#""ok":true"#)
}

/// As much as an error shows.
pub fn excerpt(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(300)]).into_owned()
}
