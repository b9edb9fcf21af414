//! What the loop says and what it is told: [`NetEvent`], [`LoopMsg`], and the handle that senders hold.
//!
//! Senders may be on any thread; they block only while the loop's bounded inbox is full, and the loop always drains it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use mio::{Poll, Token, Waker};

use super::flow::Flow;
use super::http::RequestHead;
use super::stats::Stats;
use super::ws::text_frame;
use crate::base::ids::ConnId;

/// Token of the waker among those of the sockets.
pub(super) const WAKER_TOKEN: Token = Token(0);
/// Messages that may wait for the loop; a sender blocks when it is full.
pub const LOOP_INBOX_LEN_MAX: usize = 1024;

/// What a connection said about itself with an upgrade, until the client is admitted, or with a request.
#[derive(Debug)]
pub struct Peer {
    /// The TCP peer.
    pub address: SocketAddr,
    /// The address it reached us at.
    pub local: SocketAddr,
    /// The request.
    pub head: RequestHead,
    /// The nonce a WebSocket was greeted with.
    pub nonce: String,
}

/// What happened on the network; becomes one item of work.
#[derive(Debug)]
pub enum NetEvent<C> {
    /// Frames of one connection, in order. Before admission (`client` is `None`) exactly one.
    Frames {
        /// Where they came from.
        conn: ConnId,
        /// Who it is; `None` before the handshake is done.
        client: Option<Arc<C>>,
        /// The upgrade, while there is no client yet.
        peer: Option<Arc<Peer>>,
        /// Message payloads as they came; text is UTF-8, binary may be anything.
        frames: Vec<Bytes>,
    },
    /// One HTTP request with its whole body.
    Http {
        /// Where it came from.
        conn: ConnId,
        /// Whom it came from, with its head.
        peer: Peer,
        /// Its body, at most as long as the surface allows.
        body: Bytes,
        /// The way its answer takes.
        flow: Arc<Flow>,
    },
    /// The client of a request went away before its answer was complete; its [`Flow`] knows whom to tell.
    HttpGone {
        /// The way that leads nowhere any more.
        flow: Arc<Flow>,
    },
    /// An admitted client's socket is gone.
    Closed {
        /// Which one.
        conn: ConnId,
        /// Who it was.
        client: Arc<C>,
    },
}

/// An event for many clients, or for chosen ones. Serialised once; the loop splices in `seq`.
#[derive(Debug, Clone)]
pub struct Broadcast {
    /// Event name.
    pub event: &'static str,
    /// Payload as JSON text.
    pub payload: Arc<str>,
    /// Client bits of which one must be set; 0 = everybody.
    pub audience: u32,
    /// Whether a slow client is skipped; otherwise it is closed.
    pub drop_if_slow: bool,
    /// `stateVersion` (presence, health).
    pub state_version: Option<(u64, u64)>,
}

/// What the loop is told.
#[derive(Debug)]
pub enum LoopMsg<C> {
    /// Queue frames for one connection.
    Send {
        /// To whom.
        conn: ConnId,
        /// Encoded WebSocket frames, one behind the other.
        frames: Bytes,
    },
    /// A batch of frames was handled: queue its answers, hand over the next batch.
    Done {
        /// Whose batch.
        conn: ConnId,
        /// Encoded WebSocket frames, one behind the other.
        frames: Bytes,
    },
    /// The handshake succeeded.
    Admit {
        /// Which connection.
        conn: ConnId,
        /// Its record.
        client: Arc<C>,
        /// Its audience bits.
        audience: u32,
        /// Encoded frames to begin with (hello).
        frames: Bytes,
    },
    /// Answer if there is something to say, then close with this code.
    Close {
        /// Which connection.
        conn: ConnId,
        /// Encoded frames to send first.
        frames: Bytes,
        /// WebSocket close code.
        code: u16,
        /// Close reason, at most 123 bytes.
        reason: String,
    },
    /// An event for many.
    Broadcast(Broadcast),
    /// A word for every WebSocket that only hears.
    Notify(&'static str),
    /// An event for these connections alone, without `seq`; its audience is not asked.
    Event {
        /// To whom; connections that are gone are left out.
        conns: Vec<ConnId>,
        /// The event.
        event: Broadcast,
    },
    /// A part of an encoded HTTP response, counted by its [`Flow`]; more follows.
    HttpPart {
        /// To whom.
        conn: ConnId,
        /// The bytes.
        part: Bytes,
    },
    /// An encoded HTTP response, or its last part.
    HttpReply {
        /// To whom.
        conn: ConnId,
        /// The bytes.
        response: Bytes,
        /// Whether the connection stays.
        keep_alive: bool,
    },
    /// Stop accepting, close every client with this code, flush, end.
    Shutdown {
        /// WebSocket close code.
        code: u16,
        /// Close reason.
        reason: String,
        /// After this long whatever is left is dropped.
        within: Duration,
    },
}

/// Sends messages to a loop; cheap to clone.
pub struct LoopHandle<C> {
    sender: Sender<LoopMsg<C>>,
    wakeup: Arc<Wakeup>,
    stats: Arc<Stats>,
}

impl<C> Clone for LoopHandle<C> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), wakeup: self.wakeup.clone(), stats: self.stats.clone() }
    }
}

impl<C> LoopHandle<C> {
    /// Queues a message and wakes the loop if it sleeps. After the loop ended it does nothing.
    pub fn send(&self, message: LoopMsg<C>) {
        if self.sender.send(message).is_ok() {
            self.wakeup.wake();
        }
    }

    /// Returns what the loop counts.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Returns how many messages wait for the loop.
    pub fn waiting(&self) -> usize {
        self.sender.len()
    }

    /// Queues one JSON text for one connection.
    pub fn send_text(&self, conn: ConnId, text: &str) {
        self.send(LoopMsg::Send { conn, frames: text_frame(text) });
    }

    /// Tells the loop that the work queue has room again; called by whoever takes work.
    pub fn work_taken(&self) {
        if self.wakeup.starved.swap(false, Ordering::AcqRel) {
            self.wakeup.wake();
        }
    }
}

/// The loop's alarm clock: it rings only while the loop sleeps, and once.
///
/// Whoever has news leaves them first (in the inbox, or by taking `starved` back) and looks at `is_asleep` then; the loop
/// announces its sleep first and looks for news then. In one order of all four, so one of the two sees the other.
pub(super) struct Wakeup {
    waker: Waker,
    is_asleep: AtomicBool,
    /// Set by the loop when work did not fit into the queue.
    pub(super) starved: AtomicBool,
}

impl Wakeup {
    fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.is_asleep.load(Ordering::Relaxed)
            && self.is_asleep.swap(false, Ordering::Relaxed)
            && let Err(error) = self.waker.wake()
        {
            log::error!(target: "gateway", "cannot wake the event loop: {error}");
        }
    }

    /// Called by the loop before it looks for news a last time and sleeps.
    pub(super) fn fall_asleep(&self) {
        self.is_asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Called by the loop when it does not sleep any more.
    pub(super) fn wake_up(&self) {
        self.is_asleep.store(false, Ordering::Relaxed);
    }
}

/// The loop's end of its handle; becomes part of the loop.
pub struct Mailbox<C> {
    pub(super) poll: Poll,
    pub(super) inbox: Receiver<LoopMsg<C>>,
    pub(super) wakeup: Arc<Wakeup>,
    pub(super) stats: Arc<Stats>,
}

/// Returns a handle, which may be given away before there is a loop, and the end that the loop is built on.
///
/// # Errors
/// The system's error when there can be no poll.
pub fn mailbox<C>() -> io::Result<(LoopHandle<C>, Mailbox<C>)> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), WAKER_TOKEN)?;
    // Senders: workers, jobs, timer. Receiver: the loop. Full: the sender blocks; the loop never waits for it.
    let (sender, receiver) = bounded(LOOP_INBOX_LEN_MAX);
    let wakeup = Arc::new(Wakeup { waker, is_asleep: AtomicBool::new(false), starved: AtomicBool::new(false) });
    let stats = Arc::<Stats>::default();
    let handle = LoopHandle { sender, wakeup: wakeup.clone(), stats: stats.clone() };
    Ok((handle, Mailbox { poll, inbox: receiver, wakeup, stats }))
}
