//! One request and the right to answer it, once: whole, or as a stream that waits for its reader.
//!
//! Owned by whoever answers, on any thread. One that is dropped unanswered says that the gateway is stopping; a stream
//! that is dropped before its end closes the connection, so that nobody takes a part for the whole.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::base::clock::Clock;
use crate::base::ids::ConnId;
use crate::gateway::client::Client;
use crate::gateway::ctx::Ctx;
use crate::gateway::metrics::Metrics;
use crate::net::flow::Flow;
use crate::net::http::{RequestHead, Response, chunk};
use crate::net::{LoopHandle, LoopMsg, Peer};

/// Bytes of a stream that may wait for their reader; whoever makes more of them waits.
const UNWRITTEN_BYTES_MAX: usize = 32 * 1024;
/// How long a reader may take nothing before it counts as gone.
const READER_PATIENCE: Duration = Duration::from_secs(60);

/// A request as routes get it.
#[derive(Debug)]
pub struct Request {
    /// Whom it came from, with its head.
    pub peer: Peer,
    /// Its path with dots collapsed; nothing else is decoded.
    pub path: String,
    /// Its body, no longer than the route allows.
    pub body: Bytes,
}

impl Request {
    /// Returns its head.
    pub fn head(&self) -> &RequestHead {
        &self.peer.head
    }

    /// Returns a header, trimmed; `None` when it is blank.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head().header(name).map(str::trim).filter(|value| !value.is_empty())
    }
}

/// The right to answer.
pub struct Exchange {
    net: LoopHandle<Client>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    began: Instant,
    conn: ConnId,
    flow: Arc<Flow>,
    head: RequestHead,
    is_answered: bool,
}

impl Exchange {
    /// Takes the right over.
    pub fn new(cx: &Ctx, conn: ConnId, flow: Arc<Flow>, head: RequestHead) -> Self {
        Self::on(cx.net.clone(), cx.clock.clone(), cx.metrics.clone(), conn, flow, head)
    }

    /// Takes it over for a connection of this loop.
    pub fn on(
        net: LoopHandle<Client>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        conn: ConnId,
        flow: Arc<Flow>,
        head: RequestHead,
    ) -> Self {
        let began = clock.now();
        Self { net, clock, metrics, began, conn, flow, head, is_answered: false }
    }

    /// Returns the head of its request.
    #[cfg(feature = "canvas")]
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// Returns the way of the answer, which knows whether the client is still there.
    pub fn flow(&self) -> Arc<Flow> {
        self.flow.clone()
    }

    /// Answers.
    pub fn respond(mut self, response: &Response) {
        self.answer(response);
    }

    /// Begins an answer that comes in parts.
    pub fn stream(self, response: &Response) -> Stream {
        self.stream_of(response, None)
    }

    /// Begins an answer that comes in parts, of so many bytes together if that is known.
    pub fn stream_of(mut self, response: &Response, length: Option<u64>) -> Stream {
        self.is_answered = true;
        let (head, is_chunked, keep_alive) = response.encode_stream(&self.head, length, self.clock.now_ms());
        self.metrics.answered(response.status);
        let stream = Stream {
            net: self.net.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            began: self.began,
            conn: self.conn,
            flow: self.flow.clone(),
            is_chunked,
            has_length: length.is_some() && self.head.is_http11,
            keep_alive,
            is_ended: false,
        };
        log(&self.head, response.status);
        stream.push(head);
        stream
    }

    fn answer(&mut self, response: &Response) {
        self.is_answered = true;
        let (bytes, keep_alive) = response.encode(Some(&self.head), self.clock.now_ms());
        log(&self.head, response.status);
        self.metrics.answered(response.status);
        self.metrics.http.note(self.clock.now().saturating_duration_since(self.began));
        self.net.send(LoopMsg::HttpReply { conn: self.conn, response: bytes, keep_alive });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.is_answered {
            let mut response = Response::text(503, "the gateway is stopping or too busy; try again soon");
            response.close = true;
            self.answer(&response);
        }
    }
}

fn log(head: &RequestHead, status: u16) {
    log::debug!(target: "gateway/http", "{} {} -> {status}", head.method, head.path());
}

/// The client has gone away, or takes nothing any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone;

/// An answer under way.
pub struct Stream {
    net: LoopHandle<Client>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    began: Instant,
    conn: ConnId,
    flow: Arc<Flow>,
    is_chunked: bool,
    has_length: bool,
    keep_alive: bool,
    is_ended: bool,
}

impl Stream {
    /// Sends a part, and waits while too much of the stream is unread.
    ///
    /// # Errors
    /// [`Gone`]: nobody will read it.
    pub fn send(&self, part: &[u8]) -> Result<(), Gone> {
        if part.is_empty() {
            return Ok(());
        }
        let bytes = if self.is_chunked { chunk(part) } else { Bytes::copy_from_slice(part) };
        if self.push(bytes) { Ok(()) } else { Err(Gone) }
    }

    /// Ends it.
    pub fn end(mut self) {
        let is_framed = self.is_chunked || self.has_length;
        self.finish(self.keep_alive && is_framed, if self.is_chunked { chunk(b"") } else { Bytes::new() });
    }

    fn push(&self, part: Bytes) -> bool {
        let is_wanted = self.flow.reserve(part.len(), UNWRITTEN_BYTES_MAX, READER_PATIENCE);
        if is_wanted {
            self.net.send(LoopMsg::HttpPart { conn: self.conn, part });
        }
        is_wanted
    }

    fn finish(&mut self, keep_alive: bool, rest: Bytes) {
        self.is_ended = true;
        self.metrics.http.note(self.clock.now().saturating_duration_since(self.began));
        self.net.send(LoopMsg::HttpReply { conn: self.conn, response: rest, keep_alive });
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.is_ended {
            self.finish(false, Bytes::new());
        }
    }
}
