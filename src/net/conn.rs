//! One connection: its socket, its phase, its buffers. Owned by the loop; knows nothing of other connections.
//!
//! Lifecycle: `Http` (head → body → waiting for the reply, again) — an upgrade turns it into `Ws` — and whoever ends it
//! makes it `Closing`: what is queued is flushed, the write side is shut, and input is discarded until the peer closes
//! or the deadline passes, so that the peer gets the last bytes instead of a reset.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::flow::Flow;
use super::handle::Peer;
use super::http::{BodyDecoder, RequestHead};
use super::outbox::Outbox;
use super::tls::Socket;
use super::ws::WsCodec;
use crate::base::ids::ConnId;
use bytes::Bytes;

/// One connection of a loop whose clients are `C`.
#[derive(Debug)]
pub(super) struct Conn<C> {
    pub id: ConnId,
    pub socket: Socket,
    pub address: SocketAddr,
    pub phase: Phase<C>,
    pub outbox: Outbox,
    /// Input may be waiting in the kernel: mio is edge-triggered, so this is remembered until a read would block.
    pub is_readable: bool,
    /// The peer has shut its side, or the socket failed: only a read to the end tells.
    pub is_ending: bool,
    /// WRITABLE is armed: the last flush would have blocked.
    pub is_write_armed: bool,
    /// On the loop's ready list.
    pub is_ready_queued: bool,
    /// On the loop's list of those that events were queued for in this turn.
    pub is_unsent: bool,
    /// Unwritten bytes when the deadline passed last and was put off; `usize::MAX` when it was not.
    pub unwritten_before: usize,
    pub deadline: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum Phase<C> {
    Http(Box<HttpConn>),
    Ws(Box<WsConn<C>>),
    /// `client` is still to be reported as gone.
    Closing {
        is_shut: bool,
        /// The peer has shut its side; it may still read.
        is_ended: bool,
    },
}

/// The HTTP side of a connection.
#[derive(Debug)]
pub(super) struct HttpConn {
    pub input: Vec<u8>,
    pub state: HttpState,
}

#[derive(Debug)]
pub(super) enum HttpState {
    /// Collecting a head.
    Head,
    /// Collecting its body.
    Body { head: RequestHead, decoder: BodyDecoder },
    /// A worker has the request; input waits so that answers keep their order.
    Waiting {
        flow: Arc<Flow>,
        /// Bytes of the answer that went into the outbox so far.
        pushed: u64,
    },
}

/// The WebSocket side of a connection.
#[derive(Debug)]
pub(super) struct WsConn<C> {
    pub codec: WsCodec,
    /// The upgrade, until the client is admitted.
    pub peer: Option<Arc<Peer>>,
    pub client: Option<Arc<C>>,
    /// It hears what is told to pages and says nothing itself.
    pub is_hearer: bool,
    pub audience: u32,
    pub inbox: VecDeque<Bytes>,
    pub inbox_bytes: usize,
    /// A batch is with the workers.
    pub is_out: bool,
    /// Events that came for it while its client was being admitted.
    pub early: Vec<Bytes>,
}

/// What a read from the socket gave.
pub(super) enum SocketRead {
    Bytes(usize),
    WouldBlock,
    /// The peer has shut its side.
    Ended,
    Gone,
}

impl<C> Conn<C> {
    /// Reads once into `scratch`.
    pub fn read(&mut self, scratch: &mut [u8]) -> SocketRead {
        loop {
            return match self.socket.read(scratch) {
                Ok(0) => SocketRead::Ended,
                Ok(count) => {
                    // A short read took all there was; whatever comes from now on is a new event. Under TLS it took a record.
                    self.is_readable =
                        count == scratch.len() || self.is_ending || !self.socket.is_drained_by_short_read();
                    SocketRead::Bytes(count)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    SocketRead::WouldBlock
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => SocketRead::Gone,
            };
        }
    }

    /// Returns whether nobody was admitted on it: it counts against the limit of unfinished handshakes.
    pub fn is_unadmitted(&self) -> bool {
        match &self.phase {
            Phase::Http(_) => true,
            Phase::Ws(ws) => ws.client.is_none() && !ws.is_hearer,
            Phase::Closing { .. } => false,
        }
    }

    /// Returns whether its request is being answered: then it makes no room for others.
    pub fn is_served(&self) -> bool {
        matches!(&self.phase, Phase::Http(http) if matches!(http.state, HttpState::Waiting { .. }))
    }

    /// Tells whoever answers how much of it was written.
    pub fn note_written(&self) {
        if let Phase::Http(http) = &self.phase
            && let HttpState::Waiting { flow, pushed } = &http.state
        {
            flow.note_unwritten(self.outbox.len_bytes(), *pushed);
        }
    }

    /// Ends our side once everything is flushed; what the peer still sends is discarded.
    pub fn shut_write(&mut self) {
        if let Phase::Closing { is_shut, .. } = &mut self.phase
            && !*is_shut
        {
            *is_shut = true;
            // The peer may be gone already; then the next read says so.
            let _ = self.socket.shutdown(Shutdown::Write);
        }
    }
}

impl HttpConn {
    pub fn new() -> Self {
        Self { input: Vec::new(), state: HttpState::Head }
    }
}

impl<C> WsConn<C> {
    /// Of a client to come, or without `peer` of one that only hears.
    pub fn new(codec: WsCodec, peer: Option<Arc<Peer>>) -> Self {
        Self {
            codec,
            is_hearer: peer.is_none(),
            peer,
            client: None,
            audience: 0,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            is_out: false,
            early: Vec::new(),
        }
    }
}
