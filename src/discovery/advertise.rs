//! The thread that answers for this machine's gateway by mDNS.
//!
//! Owns the thread `mdns` and its sockets: one poll over all of them, until the responder's next duty or the next look at
//! the machine's networks. Not here: what is said (`responder`).

use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use super::links::{Link, candidates};
use super::message::MESSAGE_BYTES_MAX;
use super::responder::{Out, Responder};
use super::{Advert, PORT, SERVICE};
use crate::base::cancel::{CancelReason, CancelToken};
use crate::base::clock::{Clock, SystemClock};
use crate::base::rng::SystemRng;
use crate::base::thread::{self, Joiner};

/// How often the machine's networks are looked at: they come and go, and a port may become free.
const LOOK_GAP: Duration = Duration::from_secs(60);
/// Messages of one link that are taken before the others have their turn.
const TURN_MESSAGES_MAX: usize = 64;
const WAKE: Token = Token(usize::MAX);

/// A gateway that is being advertised; dropping it ends that without a word.
pub struct Advertiser {
    leave: Sender<()>,
    farewells: Receiver<Farewell>,
    waker: Arc<Waker>,
    preparing: CancelToken,
    thread: Option<Joiner>,
}

impl Advertiser {
    /// Starts. `prepare` says what there is to say; it runs on the thread, because it may ask other programs, and gets a
    /// token that ends with the advertiser. Without anything to say the thread ends.
    ///
    /// # Errors
    /// The system's.
    pub fn start(prepare: impl FnOnce(&CancelToken) -> Option<Advert> + Send + 'static) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        // Holds the one word there is: to leave. The other one holds what is to be said then.
        let (leave, left) = bounded(1);
        let (farewell, farewells) = bounded(1);
        let preparing = CancelToken::new();
        let token = preparing.clone();
        let thread = thread::spawn("mdns", thread::STACK_SMALL_BYTES, move || {
            if let Some(advert) = prepare(&token) {
                let goodbye = Actor::new(advert, poll, left).run();
                // Nobody takes it where the advertiser was dropped without a word.
                let _ = goodbye.map(|goodbye| farewell.send(goodbye));
            }
        })?;
        Ok(Self { leave, farewells, waker, preparing, thread: Some(thread) })
    }

    /// Ends; returns what is still to be said, if anything was said before.
    pub fn leave(self) -> Option<Farewell> {
        // Full only if that was asked for before.
        let _ = self.leave.try_send(());
        self.hurry();
        self.farewells.recv().ok()
    }

    fn hurry(&self) {
        self.preparing.cancel(CancelReason::Shutdown);
        if let Err(error) = self.waker.wake() {
            log::warn!(target: "gateway/discovery", "bonjour: cannot wake the thread: {error}");
        }
    }
}

impl Drop for Advertiser {
    fn drop(&mut self) {
        // Replaced by one whose receiver is gone: the thread sees that nobody holds it any more.
        self.leave = bounded(0).0;
        self.hurry();
        drop(self.thread.take());
    }
}

/// What tells everybody that a gateway goes: said when it is dropped, so that nobody is left with an advertisement of a
/// gateway that did not come back, which would be kept for 75 minutes.
pub struct Farewell {
    links: Vec<Link>,
    messages: Vec<Out>,
}

impl Farewell {
    /// Says nothing: the gateway is there again and says the same as before.
    pub fn withdraw(mut self) {
        self.messages.clear();
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        send(&self.links, std::mem::take(&mut self.messages));
    }
}

struct Actor {
    poll: Poll,
    left: Receiver<()>,
    responder: Responder,
    links: Vec<Link>,
    is_told: bool,
    is_failing: bool,
    /// Whether somebody else claimed a name since the last look.
    is_disputed: bool,
    port: u16,
}

impl Actor {
    fn new(advert: Advert, poll: Poll, left: Receiver<()>) -> Self {
        let port = advert.port;
        let responder = Responder::new(advert, Arc::new(SystemRng), SystemClock.now());
        let links = Vec::new();
        Self { poll, left, responder, links, is_told: false, is_failing: false, is_disputed: false, port }
    }

    /// Runs until nobody wants it any more; returns what is to be said then, where that was asked for.
    fn run(mut self) -> Option<Farewell> {
        let mut events = Events::with_capacity(16);
        let mut buffer = Box::new([0; MESSAGE_BYTES_MAX]);
        let mut look_at = SystemClock.now();
        let mut is_more = false;
        loop {
            let now = SystemClock.now();
            // Who speaks for this host from an address that is not known yet may be this machine's other responder.
            if now >= look_at || std::mem::take(&mut self.is_disputed) {
                self.look(now);
                look_at = now + LOOK_GAP;
            }
            let due = self.responder.run(now);
            send(&self.links, due);
            self.tell();
            let until = self.responder.next().map_or(look_at, |next| next.min(look_at));
            let wait = if is_more { Duration::ZERO } else { until.saturating_duration_since(SystemClock.now()) };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    log::warn!(target: "gateway/discovery", "bonjour: {error}; nothing is advertised any more");
                    return None;
                }
                _ => {}
            }
            match self.left.try_recv() {
                Err(TryRecvError::Empty) => {}
                Ok(()) => return Some(Farewell { messages: self.responder.goodbye(), links: self.links }),
                Err(TryRecvError::Disconnected) => return None,
            }
            is_more = self.receive(&mut buffer);
        }
    }

    /// Takes what has come; returns whether there may be more.
    fn receive(&mut self, buffer: &mut [u8; MESSAGE_BYTES_MAX]) -> bool {
        let mut is_more = false;
        for index in 0..self.links.len() {
            for turn in 1..=TURN_MESSAGES_MAX {
                let Some(taken) = self.links[index].receive(buffer) else { break };
                is_more |= turn == TURN_MESSAGES_MAX;
                let Some((message, from)) = taken else { continue };
                let was_settled = self.responder.is_settled();
                let answers = self.responder.receive(index, &message, from, SystemClock.now());
                send(&self.links, answers);
                self.is_disputed |= was_settled && !self.responder.is_settled();
            }
        }
        is_more
    }

    /// Follows the machine's networks: opens sockets for new ones, closes those that are gone.
    fn look(&mut self, now: Instant) {
        let wanted = candidates();
        let is_same =
            wanted.len() == self.links.len() && wanted.iter().zip(&self.links).all(|(it, link)| link.is_of(it));
        if is_same && !wanted.is_empty() {
            return;
        }
        // A closed socket leaves the poll by itself.
        self.links.clear();
        let mut failure = None;
        for candidate in &wanted {
            let opened = Link::open(candidate, PORT).and_then(|link| {
                let descriptor = link.socket.as_raw_fd();
                let token = Token(self.links.len());
                self.poll.registry().register(&mut SourceFd(&descriptor), token, Interest::READABLE)?;
                Ok(link)
            });
            match opened {
                Ok(link) => self.links.push(link),
                Err(error) => failure = Some(error),
            }
        }
        self.responder.set_links(self.links.iter().map(Link::addresses).collect(), now);
        self.is_told &= !self.links.is_empty();
        let is_failing = self.links.is_empty();
        if is_failing && !self.is_failing {
            let why = failure.map_or_else(|| "no network".to_owned(), |error| error.to_string());
            log::warn!(target: "gateway/discovery", "bonjour: not advertised: {why}; trying again each minute");
        }
        self.is_failing = is_failing;
    }

    /// Says once under which names the gateway is found.
    fn tell(&mut self) {
        if self.is_told || self.links.is_empty() || !self.responder.is_settled() {
            return;
        }
        let (instance, host) = self.responder.names();
        let port = self.port;
        log::info!(target: "gateway/discovery", "bonjour: advertised {instance:?} ({SERVICE}) host={host} port={port}");
        self.is_told = true;
    }
}

fn send(links: &[Link], messages: Vec<Out>) {
    for Out { link, to, message } in messages {
        if let Err(error) = links[link].send(&message, to) {
            log::debug!(target: "gateway/discovery", "bonjour: not sent: {error}");
        }
    }
}
