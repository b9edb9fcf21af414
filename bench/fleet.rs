//! The one load generator: many clients of one server on one thread, over WebSocket or plain HTTP.
//!
//! Owns the sockets and one `Poll`. Answers are not parsed, only told apart by their first bytes, so that the generator
//! costs less than what it measures. Used for handshakes, calls, events and HTTP alike. Source addresses rotate through
//! 127.0.0.0/8: ten thousand clients and their predecessors in TIME_WAIT do not run out of ports.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mio::{Events, Poll, Token};

use crate::link::{Heard, Link, excerpt};
use crate::subject::PATIENCE;
use crate::times::Times;
use crate::wire::{self, Speech};

/// Clients of one batch of handshakes, in widths.
const BATCH_WIDTHS: usize = 32;

/// See the module.
pub struct Fleet {
    poll: Poll,
    events: Events,
    port: u16,
    links: Vec<Link>,
    /// Connections made so far; the next one's source address comes from it.
    dialled: usize,
    patience: Duration,
    /// Where every socket is read into.
    piece: Vec<u8>,
}

/// What a closed loop showed.
pub struct Load {
    /// Good answers in a second.
    pub rate: f64,
    /// How long each took.
    pub times: Times,
    /// Calls that were refused. They do not count: a gateway that fails fast would look fast.
    pub refused: usize,
}

impl Fleet {
    /// A fleet with no clients, for what listens on a port of this machine.
    pub fn new(port: u16) -> Result<Self> {
        let poll = Poll::new().context("make a poll")?;
        let (events, piece) = (Events::with_capacity(1024), vec![0; 64 * 1024]);
        Ok(Self { poll, events, port, links: Vec::new(), dialled: 0, patience: PATIENCE, piece })
    }

    /// Changes how long nothing may come that is waited for.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Adds clients that go through the whole handshake, at most `width` of them at once.
    pub fn open(&mut self, count: usize, width: usize) -> Result<Times> {
        let mut times = Vec::with_capacity(count);
        let mut left = count;
        let mut free = width;
        while times.len() < count {
            let more = left.min(free);
            (0..more).try_for_each(|_| self.dial(Speech::WebSocket))?;
            left -= more;
            free = 0;
            let hear = &mut |_: &mut Link, heard: Heard| {
                if let Heard::Hello(took) = heard {
                    times.push(took);
                    free += 1;
                }
            };
            let came = self.pump(hear);
            came.with_context(|| format!("{} of {count} clients were let in", times.len()))?;
        }
        Ok(Times::new(times))
    }

    /// Adds keep-alive HTTP connections.
    pub fn open_http(&mut self, count: usize) -> Result<()> {
        (0..count).try_for_each(|_| self.dial(Speech::Http))
    }

    /// Shakes hands for a while, `width` at once; the clients of a batch leave together.
    pub fn handshakes(&mut self, width: usize, length: Duration) -> Result<Load> {
        let start = Instant::now();
        let mut times = Vec::new();
        while start.elapsed() < length {
            times.extend(self.open(width * BATCH_WIDTHS, width)?.into_inner());
            self.links.clear();
        }
        Ok(Load::new(times, start.elapsed()))
    }

    /// Keeps `depth` calls of every client under way for a while.
    pub fn calls(&mut self, request: &[u8], depth: usize, length: Duration) -> Result<Load> {
        let start = Instant::now();
        for link in &mut self.links {
            (0..depth).for_each(|_| link.queue(request));
            link.flush()?;
        }
        let mut times = Vec::new();
        let (mut refused, mut refusal) = (0, String::new());
        while start.elapsed() < length {
            self.pump(&mut |link, heard| {
                match heard {
                    Heard::Answer(_, took) => times.push(took),
                    Heard::Refusal(text) => {
                        refused += 1;
                        refusal = excerpt(text);
                    }
                    _ => return,
                }
                link.queue(request);
            })?;
        }
        ensure!(!times.is_empty(), "it answered none of {refused} calls well, but with {refusal}");
        let load = Load { refused, ..Load::new(times, start.elapsed()) };
        // What is still under way is waited for: whoever comes next finds silence.
        while self.links.iter().any(Link::is_waiting) {
            self.pump(&mut |_, _| {})?;
        }
        Ok(load)
    }

    /// Makes one call on the first client and waits for its answer.
    pub fn ask(&mut self, request: &[u8]) -> Result<(Vec<u8>, Duration)> {
        self.send(request)?;
        let mut answer = None;
        loop {
            self.pump(&mut |link, heard| match heard {
                Heard::Answer(text, took) if link.is_http() || wire::is_to_request(text) => {
                    answer = Some(Ok((text.to_vec(), took)));
                }
                Heard::Refusal(text) => answer = Some(Err(excerpt(text))),
                _ => {}
            })?;
            match answer.take() {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(refusal)) => bail!("it answered {refusal}"),
                None => {}
            }
        }
    }

    /// Makes one call on the first client; [`Fleet::pump`] hears the answer.
    pub fn send(&mut self, request: &[u8]) -> Result<()> {
        self.send_from(0, request)
    }

    /// As [`Fleet::send`], on another client.
    pub fn send_from(&mut self, index: usize, request: &[u8]) -> Result<()> {
        let link = self.links.get_mut(index).context("no client is connected")?;
        link.queue(request);
        link.flush()
    }

    /// Makes a call that causes an event, and waits until every client has heard it; returns how long each waited.
    pub fn fan_out(&mut self, request: &[u8], event: &[u8]) -> Result<Times> {
        let count = self.links.len();
        let (mut times, mut is_answered) = (Vec::with_capacity(count), false);
        let mut refusal = None;
        let start = Instant::now();
        self.send(request)?;
        while times.len() < count || !is_answered {
            let came = self.pump(&mut |_, heard| match heard {
                Heard::Event(text) if wire::starts_with(text, event) => times.push(start.elapsed()),
                Heard::Answer(..) => is_answered = true,
                Heard::Refusal(text) => refusal = Some(excerpt(text)),
                _ => {}
            });
            came.with_context(|| format!("{} of {count} clients have heard the event", times.len()))?;
            ensure!(refusal.is_none(), "it answered {}", refusal.unwrap_or_default());
        }
        Ok(Times::new(times))
    }

    /// Reads and drops what comes for a while, as idle clients do.
    pub fn rest(&mut self, length: Duration) -> Result<()> {
        let start = Instant::now();
        while let Some(left) = length.checked_sub(start.elapsed()) {
            self.turn(left, &mut |_, _| {})?;
        }
        Ok(())
    }

    /// Waits until something comes and hands it out.
    pub fn pump(&mut self, hear: &mut dyn FnMut(&mut Link, Heard)) -> Result<()> {
        let start = Instant::now();
        loop {
            let left = self.patience.saturating_sub(start.elapsed());
            if self.turn(left, hear)? {
                return Ok(());
            }
            ensure!(start.elapsed() < self.patience, "nothing came for {} s", self.patience.as_secs());
        }
    }

    /// One turn of the poll; returns whether anything came.
    fn turn(&mut self, wait: Duration, hear: &mut dyn FnMut(&mut Link, Heard)) -> Result<bool> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(false),
            polled => polled.context("poll")?,
        }
        let mut has_come = false;
        for event in &self.events {
            let Some(link) = self.links.get_mut(event.token().0) else { continue };
            has_come |= link.serve(&mut self.piece, hear)?;
        }
        Ok(has_come)
    }

    fn dial(&mut self, speech: Speech) -> Result<()> {
        // 127.0.0.2 … 127.0.0.250.
        let source = Ipv4Addr::new(127, 0, 0, 2 + (self.dialled % 249) as u8);
        self.dialled += 1;
        let token = Token(self.links.len());
        self.links.push(Link::dial(self.poll.registry(), token, source, self.port, speech)?);
        Ok(())
    }
}

impl Load {
    fn new(times: Vec<Duration>, took: Duration) -> Self {
        Self { rate: times.len() as f64 / took.as_secs_f64(), times: Times::new(times), refused: 0 }
    }
}
