//! The event loop: one thread, one `Poll`, every socket.
//!
//! Owns listeners, connections, outboxes and the event counter `seq`. It never blocks but in `poll`: work goes to the
//! workers by `try_send`, and a full queue stops reading instead. mio is edge-triggered, so whoever stops before
//! `WouldBlock` (budget, full inbox) is remembered: on the ready list, or until the batch that is out comes back.
//! Not here: what frames and requests mean.

mod http;

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::conn::{Conn, HttpConn, HttpState, Phase, SocketRead, WsConn};
use super::crowd;
use super::handle::{Broadcast, LoopMsg, Mailbox, NetEvent, Peer, WAKER_TOKEN, Wakeup};
use super::http::{RequestHead, Response};
use super::stats::Stats;
use super::tls::Socket;
use super::ws::{WsCodec, WsRead, close_frame, text_frame};
use crate::base::ids::ConnId;

const LISTENER_TOKEN_FIRST: usize = 1;
const CONN_TOKEN_FIRST: usize = 64;
/// Messages taken per turn before sockets get their turn again.
const MESSAGES_PER_TURN_MAX: usize = 256;
/// Events that may wait for one connection while its client is admitted; admission takes microseconds.
const EARLY_EVENTS_MAX: usize = 64;
/// WebSockets that only hear; the pages that a few devices have open.
const HEARERS_MAX: usize = 256;
/// How long a turn answers frames at once before it leaves the rest to the workers: a busy loop shares its load.
const ANSWERS_PER_TURN_MAX: Duration = Duration::from_millis(1);
/// Socket reads per connection and turn.
const READS_PER_TURN_MAX: usize = 16;
/// Room for connections that is not given back.
const CONNS_KEPT_MIN: usize = 256;
/// Bytes of one socket read; one buffer for the whole loop.
const SCRATCH_BYTES: usize = 64 * 1024;
/// How long a stop waits for peers to close after they were sent everything: closing first may cost them the last words.
const LINGER_MAX: Duration = Duration::from_millis(50);
/// After a failed accept (descriptors used up) the loop tries again this much later at the latest.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);
/// How long a closing connection may take to read what is queued for it.
const CLOSE_GRACE: Duration = Duration::from_secs(10);

/// Limits of one loop; the defaults are those of the architecture text.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections; accepting pauses there and resumes at 90 %.
    pub connections_max: usize,
    /// Connections before their handshake; the oldest is closed beyond it.
    pub unadmitted_max: usize,
    /// From upgrade to admission.
    pub handshake: Duration,
    /// For a request head.
    pub head: Duration,
    /// For a whole request.
    pub request: Duration,
    /// Between requests of one connection.
    pub keep_alive: Duration,
    /// Inbound WebSocket message.
    pub message_bytes_max: usize,
    /// Frames waiting per connection.
    pub inbox_len_max: usize,
    /// Bytes waiting per connection.
    pub inbox_bytes_max: usize,
    /// Queued bytes from which a client counts as slow for events.
    pub outbox_event_bytes_max: usize,
    /// Queued bytes from which even answers close the connection.
    pub outbox_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            unadmitted_max: 1024,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(60),
            request: Duration::from_secs(300),
            keep_alive: Duration::from_secs(5),
            message_bytes_max: 512 * 1024,
            inbox_len_max: 64,
            inbox_bytes_max: 1024 * 1024,
            outbox_event_bytes_max: 1536 * 1024,
            outbox_bytes_max: 32 * 1024 * 1024,
        }
    }
}

/// What the layer above decides on the loop itself: short, from memory, without I/O and without sending to the loop.
pub trait Surface<C>: Send {
    /// Appends the answer to a frame of an admitted client; `false` hands the frame to the workers.
    fn answer(&self, client: &C, frame: &[u8], answers: &mut Vec<u8>) -> bool;
    /// Returns the response to a request without a body; `None` hands the request to the workers.
    fn respond(&self, head: &RequestHead) -> Option<Response>;
    /// Returns what becomes of a new WebSocket.
    fn greet(&self, head: &RequestHead) -> Greeting;
    /// Returns the response that refuses an upgrade, if it is refused.
    fn refuse_upgrade(&self, head: &RequestHead) -> Option<Response>;
    /// Returns how many body bytes the route takes.
    fn body_bytes_max(&self, head: &RequestHead) -> usize;
    /// Returns the response for a body over that cap.
    fn body_too_large(&self, head: &RequestHead) -> Response;
}

/// What becomes of a new WebSocket.
#[derive(Debug)]
pub enum Greeting {
    /// It is to become a client: its nonce, and the JSON text to greet it with.
    Client(String, String),
    /// It only hears what [`LoopMsg::Notify`] says; what it says itself is thrown away.
    Hearer,
}

/// A bound listening socket.
#[derive(Debug)]
pub struct Listener(pub std::net::TcpListener);

/// The loop. `C` is the client record, `W` the work item that events become.
pub struct EventLoop<C, W> {
    poll: Poll,
    listeners: Vec<TcpListener>,
    conns: Slab<Conn<C>>,
    generation: u32,
    surface: Box<dyn Surface<C>>,
    limits: Limits,
    work: Sender<W>,
    /// Items that did not fit into the work queue, in order.
    backlog: VecDeque<W>,
    inbox: Receiver<LoopMsg<C>>,
    wakeup: Arc<Wakeup>,
    stats: Arc<Stats>,
    client_count: usize,
    ready: VecDeque<ConnId>,
    /// Connections that events were queued for in this turn: what comes in one turn is written at once.
    unsent: Vec<ConnId>,
    deadlines: BTreeSet<(Instant, ConnId)>,
    /// Unadmitted connections in the order of their arrival; entries may be stale.
    unadmitted: VecDeque<ConnId>,
    unadmitted_count: usize,
    /// WebSockets that only hear.
    hearer_count: usize,
    is_accept_paused: bool,
    accept_retry_at: Option<Instant>,
    seq: u64,
    stop_at: Option<Instant>,
    /// Until when a stop waits for peers that were sent everything to close, too.
    linger_until: Option<Instant>,
    scratch: Vec<u8>,
    /// What sockets speak TLS with, if they do.
    tls: Option<Arc<rustls::ServerConfig>>,
    /// Until when frames are answered at once in this turn.
    answers_until: Instant,
}

impl<C: Send + Sync + 'static, W: From<NetEvent<C>> + Send + 'static> EventLoop<C, W> {
    /// Has the sockets that are accepted from now on speak TLS.
    pub fn with_tls(self, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        Self { tls, ..self }
    }

    /// Builds a loop over bound listeners, for whoever has the other end of `mailbox`.
    ///
    /// # Errors
    /// The system's error when registering fails.
    pub fn new(
        mailbox: Mailbox<C>,
        listeners: Vec<Listener>,
        surface: Box<dyn Surface<C>>,
        limits: Limits,
        work: Sender<W>,
    ) -> io::Result<Self> {
        let Mailbox { poll, inbox, wakeup, stats } = mailbox;
        let mut registered = Vec::new();
        for (index, Listener(listener)) in listeners.into_iter().enumerate() {
            listener.set_nonblocking(true)?;
            let mut listener = TcpListener::from_std(listener);
            poll.registry().register(&mut listener, Token(LISTENER_TOKEN_FIRST + index), Interest::READABLE)?;
            registered.push(listener);
        }
        Ok(Self {
            poll,
            listeners: registered,
            conns: Slab::new(),
            generation: 0,
            surface,
            limits,
            work,
            backlog: VecDeque::new(),
            inbox,
            wakeup,
            stats,
            client_count: 0,
            ready: VecDeque::new(),
            unsent: Vec::new(),
            deadlines: BTreeSet::new(),
            unadmitted: VecDeque::new(),
            unadmitted_count: 0,
            hearer_count: 0,
            is_accept_paused: false,
            accept_retry_at: None,
            seq: 0,
            stop_at: None,
            linger_until: None,
            scratch: vec![0; SCRATCH_BYTES],
            tls: None,
            answers_until: Instant::now(),
        })
    }

    /// Runs until told to shut down. Its thread is its own.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(256);
        loop {
            let has_more = self.drain_messages();
            self.flush_unsent();
            self.drain_ready();
            self.drain_backlog();
            self.note_stats();
            let now = Instant::now();
            self.expire(now);
            if self.stop_at.is_some_and(|at| now >= at || self.have_all_left(now)) {
                return;
            }
            self.wakeup.fall_asleep();
            let timeout = if has_more || self.has_news() { Some(Duration::ZERO) } else { self.poll_timeout(now) };
            let polled = self.poll.poll(&mut events, timeout);
            self.wakeup.wake_up();
            self.answers_until = Instant::now() + ANSWERS_PER_TURN_MAX;
            match polled {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => panic!("poll failed: {error}"),
            }
            for event in &events {
                match event.token() {
                    WAKER_TOKEN => {}
                    Token(token) if token < CONN_TOKEN_FIRST => self.accept(),
                    Token(token) => {
                        let key = token - CONN_TOKEN_FIRST;
                        self.on_socket(key, event);
                    }
                }
            }
        }
    }

    fn note_stats(&self) {
        self.stats.open.store(self.conns.len(), Ordering::Relaxed);
        self.stats.clients.store(self.client_count, Ordering::Relaxed);
        self.stats.backlog.store(self.backlog.len(), Ordering::Relaxed);
    }

    fn poll_timeout(&self, now: Instant) -> Option<Duration> {
        let nearest = self.deadlines.first().map(|&(at, _)| at);
        [nearest, self.stop_at, self.linger_until.filter(|at| *at > now), self.accept_retry_at]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.saturating_duration_since(now))
    }

    // ── messages ────────────────────────────────────────────────────────────

    /// Returns whether something can go on without the sockets.
    fn has_news(&self) -> bool {
        let has_room = !self.backlog.is_empty() && !self.wakeup.starved.load(Ordering::Relaxed);
        has_room || !self.ready.is_empty() || !self.inbox.is_empty()
    }

    fn drain_messages(&mut self) -> bool {
        for _ in 0..MESSAGES_PER_TURN_MAX {
            match self.inbox.try_recv() {
                Ok(message) => self.on_message(message),
                Err(_) => return false,
            }
        }
        true
    }

    /// Writes the events of this turn.
    fn flush_unsent(&mut self) {
        crowd::write_unsent(&mut self.conns, self.unsent.len());
        for id in std::mem::take(&mut self.unsent) {
            if let Some(conn) = self.get(id) {
                conn.is_unsent = false;
                self.flush(id);
            }
        }
    }

    fn on_message(&mut self, message: LoopMsg<C>) {
        match message {
            LoopMsg::Send { conn, frames } => self.send(conn, frames),
            LoopMsg::Done { conn, frames } => {
                if let Some(Conn { phase: Phase::Ws(ws), .. }) = self.get(conn) {
                    ws.is_out = false;
                }
                self.send(conn, frames);
                self.pump(conn);
            }
            LoopMsg::Admit { conn, client, audience, frames } => self.admit(conn, client, audience, frames),
            LoopMsg::Close { conn, frames, code, reason } => {
                self.send(conn, frames);
                self.close_ws(conn, code, &reason);
            }
            LoopMsg::Broadcast(broadcast) => self.broadcast(&broadcast),
            LoopMsg::Notify(text) => self.notify(text),
            LoopMsg::Event { conns, event } => self.deliver(&conns, &event, None),
            LoopMsg::HttpPart { conn, part } => self.http_part(conn, part),
            LoopMsg::HttpReply { conn, response, keep_alive } => self.http_reply(conn, response, keep_alive),
            LoopMsg::Shutdown { code, reason, within } => self.shutdown(code, &reason, within),
        }
    }

    fn admit(&mut self, id: ConnId, client: Arc<C>, audience: u32, frames: Bytes) {
        self.set_deadline(id, None);
        let Some(Conn { phase: Phase::Ws(ws), .. }) = self.get(id) else {
            // The socket went away during the handshake: whoever registered the client must still hear of its end.
            self.emit(NetEvent::Closed { conn: id, client });
            return;
        };
        ws.client = Some(client);
        ws.audience = audience;
        ws.peer = None;
        ws.is_out = false;
        let early = std::mem::take(&mut ws.early);
        self.unadmitted_count -= 1;
        self.client_count += 1;
        self.stats.admitted.add();
        self.send(id, frames);
        for event in early {
            self.send(id, event);
        }
        self.pump(id);
    }

    fn broadcast(&mut self, broadcast: &Broadcast) {
        self.seq += 1;
        let hears = |ws: &WsConn<C>| broadcast.audience == 0 || broadcast.audience & ws.audience != 0;
        let hearers = self.conns.iter().filter_map(|(_, conn)| match &conn.phase {
            Phase::Ws(ws) if ws.client.is_some() && hears(ws) => Some(conn.id),
            _ => None,
        });
        let hearers: Vec<ConnId> = hearers.collect();
        self.deliver(&hearers, broadcast, Some(self.seq));
    }

    /// Tells every WebSocket that only hears; who has not taken the last word misses this one.
    fn notify(&mut self, text: &'static str) {
        let hears = |conn: &Conn<C>| matches!(&conn.phase, Phase::Ws(ws) if ws.is_hearer) && conn.outbox.is_empty();
        let hearers: Vec<ConnId> = self.conns.iter().filter(|(_, conn)| hears(conn)).map(|(_, conn)| conn.id).collect();
        let frame = text_frame(text);
        for id in hearers {
            if let Some(conn) = self.get(id) {
                conn.outbox.push(frame.clone());
            }
            self.flush(id);
        }
    }

    /// Queues an event; who is slow misses it or is closed. For a connection whose client is just being admitted it
    /// waits until the hello is sent.
    fn deliver(&mut self, conns: &[ConnId], event: &Broadcast, seq: Option<u64>) {
        let mut frame = None;
        let over = self.limits.outbox_event_bytes_max;
        for &id in conns {
            let Some(conn) = self.get(id) else { continue };
            let Phase::Ws(ws) = &mut conn.phase else { continue };
            if ws.client.is_none() && !ws.is_hearer {
                if ws.early.len() < EARLY_EVENTS_MAX {
                    ws.early.push(text_frame(&event_text(event, seq)));
                }
                continue;
            }
            if conn.outbox.len_bytes() > over {
                self.flush(id);
            }
            let Some(conn) = self.get(id) else { continue };
            if conn.outbox.len_bytes() <= over {
                conn.outbox.push(frame.get_or_insert_with(|| text_frame(&event_text(event, seq))).clone());
                if !std::mem::replace(&mut conn.is_unsent, true) {
                    self.unsent.push(id);
                }
            } else if !event.drop_if_slow {
                log::warn!(target: "gateway/ws", "closing slow consumer conn={id} event={}", event.event);
                self.stats.slow.add();
                self.close_ws(id, 1008, "slow consumer");
            }
        }
    }

    fn shutdown(&mut self, code: u16, reason: &str, within: Duration) {
        for listener in &mut self.listeners {
            // Deregistering a live listener cannot fail in a way that matters here: it is dropped next.
            let _ = self.poll.registry().deregister(listener);
        }
        self.listeners.clear();
        self.accept_retry_at = None;
        let ids: Vec<ConnId> = self.conns.iter().map(|(_, conn)| conn.id).collect();
        for id in ids {
            match self.get(id).map(|conn| &conn.phase) {
                Some(Phase::Ws(_)) => self.close_ws(id, code, reason),
                // A request that a worker has still gets its answer; idle ones go.
                Some(Phase::Http(http)) if !matches!(http.state, HttpState::Waiting { .. }) => self.begin_closing(id),
                _ => {}
            }
        }
        let now = Instant::now();
        (self.stop_at, self.linger_until) = (Some(now + within), Some(now + LINGER_MAX));
    }

    /// Returns whether nobody is left to wait for: the connections are closed by both sides, or, after a moment, all was
    /// sent and only the other side has not closed.
    fn have_all_left(&self, now: Instant) -> bool {
        let is_over = self.linger_until.is_some_and(|at| now >= at);
        let is_shut = |conn: &Conn<C>| matches!(conn.phase, Phase::Closing { is_shut: true, .. });
        self.conns.iter().all(|(_, conn)| is_over && is_shut(conn))
    }

    // ── work ────────────────────────────────────────────────────────────────

    fn emit(&mut self, event: NetEvent<C>) {
        if self.backlog.is_empty() {
            match self.work.try_send(W::from(event)) {
                Ok(()) | Err(TrySendError::Disconnected(_)) => {}
                Err(TrySendError::Full(item)) => {
                    self.backlog.push_back(item);
                    self.wakeup.starved.store(true, Ordering::Release);
                }
            }
        } else {
            // Bounded by the connections: each has at most one batch out and one farewell.
            self.backlog.push_back(W::from(event));
        }
    }

    fn drain_backlog(&mut self) {
        while let Some(item) = self.backlog.pop_front() {
            // Announced before the attempt, so that a worker that takes an item in between wakes the loop.
            self.wakeup.starved.store(true, Ordering::Release);
            if let Err(TrySendError::Full(item)) = self.work.try_send(item) {
                self.backlog.push_front(item);
                return;
            }
        }
    }

    // ── accepting ───────────────────────────────────────────────────────────

    fn accept(&mut self) {
        for index in 0..self.listeners.len() {
            loop {
                if self.conns.len() >= self.limits.connections_max {
                    if !self.is_accept_paused {
                        log::warn!(target: "gateway", "connection limit reached ({}); accepting paused", self.conns.len());
                    }
                    self.is_accept_paused = true;
                    return;
                }
                match self.listeners[index].accept() {
                    Ok((socket, address)) => self.add(socket, address),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                    Err(error) => {
                        log::warn!(target: "gateway", "cannot accept a connection: {error}; trying again");
                        self.accept_retry_at = Some(Instant::now() + ACCEPT_RETRY);
                        break;
                    }
                }
            }
        }
    }

    fn add(&mut self, socket: mio::net::TcpStream, address: std::net::SocketAddr) {
        self.evict_oldest_unadmitted();
        // Latency matters more than packets; without it small answers wait for the peer's delayed ACK.
        let _ = socket.set_nodelay(true);
        let Some(mut socket) = Socket::new(socket, self.tls.as_ref()) else { return };
        let entry = self.conns.vacant_entry();
        let key = entry.key();
        if self.poll.registry().register(&mut socket, Token(CONN_TOKEN_FIRST + key), Interest::READABLE).is_err() {
            return;
        }
        self.generation = self.generation.wrapping_add(1);
        let id = ConnId((u64::from(self.generation) << 32) | key as u64);
        entry.insert(Conn {
            id,
            socket,
            address,
            phase: Phase::Http(Box::new(HttpConn::new())),
            outbox: Default::default(),
            is_readable: false,
            is_ending: false,
            is_write_armed: false,
            is_ready_queued: false,
            is_unsent: false,
            unwritten_before: usize::MAX,
            deadline: None,
        });
        self.stats.accepted.add();
        self.unadmitted.push_back(id);
        self.unadmitted_count += 1;
        self.set_deadline(id, Some(Instant::now() + self.limits.head));
    }

    fn evict_oldest_unadmitted(&mut self) {
        let mut spared = Vec::new();
        while self.unadmitted_count >= self.limits.unadmitted_max {
            let Some(oldest) = self.unadmitted.pop_front() else { break };
            match self.get(oldest).map(|conn| (conn.is_unadmitted(), conn.is_served())) {
                Some((true, true)) => spared.push(oldest),
                Some((true, false)) => self.remove(oldest),
                _ => {}
            }
        }
        spared.into_iter().rev().for_each(|id| self.unadmitted.push_front(id));
        // Stale entries (admitted or gone) at the front go as they surface, so the list stays short.
        while let Some(&front) = self.unadmitted.front() {
            if self.get(front).is_some_and(|conn| conn.is_unadmitted()) {
                break;
            }
            self.unadmitted.pop_front();
        }
        if self.unadmitted.len() > 2 * self.limits.unadmitted_max {
            let live: VecDeque<ConnId> = std::mem::take(&mut self.unadmitted)
                .into_iter()
                .filter(|&id| self.get(id).is_some_and(|conn| conn.is_unadmitted()))
                .collect();
            self.unadmitted = live;
        }
    }

    // ── sockets ─────────────────────────────────────────────────────────────

    fn on_socket(&mut self, key: usize, event: &Event) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let id = conn.id;
        if event.is_writable() {
            self.flush(id);
            if matches!(self.get(id), Some(Conn { phase: Phase::Http(_), .. })) {
                self.pump(id);
            }
        }
        if (event.is_readable() || event.is_read_closed())
            && let Some(conn) = self.get(id)
        {
            conn.is_readable = true;
            if event.is_read_closed() || event.is_error() {
                conn.is_ending = true;
                self.peer_ended(id);
            }
            self.pump(id);
        }
    }

    fn drain_ready(&mut self) {
        // Only those queued before this turn: one that is queued again waits for the sockets' turn.
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { return };
            if let Some(conn) = self.get(id) {
                conn.is_ready_queued = false;
                self.pump(id);
            }
        }
    }

    /// Moves a connection forward as far as its input, its budget and its inbox allow.
    fn pump(&mut self, id: ConnId) {
        match self.get(id).map(|conn| &conn.phase) {
            Some(Phase::Http(_)) => self.pump_http(id),
            Some(Phase::Ws(_)) => self.pump_ws(id),
            Some(Phase::Closing { .. }) => self.pump_closing(id),
            None => {}
        }
    }

    fn pump_closing(&mut self, id: ConnId) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut is_gone = false;
        if let Some(conn) = self.get(id) {
            for _ in 0..READS_PER_TURN_MAX {
                match conn.read(&mut scratch) {
                    SocketRead::Bytes(_) => {}
                    SocketRead::WouldBlock => break,
                    SocketRead::Ended if !conn.outbox.is_empty() => {
                        // It says nothing more, and still reads.
                        conn.is_readable = false;
                        if let Phase::Closing { is_ended, .. } = &mut conn.phase {
                            *is_ended = true;
                        }
                        break;
                    }
                    SocketRead::Ended | SocketRead::Gone => {
                        is_gone = true;
                        break;
                    }
                }
            }
        }
        self.scratch = scratch;
        if is_gone {
            self.remove(id);
        } else {
            self.queue_if_readable(id);
        }
    }

    fn upgrade(&mut self, id: ConnId, head: RequestHead) {
        if let Some(response) = upgrade_fault(&head).or_else(|| self.surface.refuse_upgrade(&head)) {
            return self.answer_and_close(id, &response, Some(&head));
        }
        let greeting = self.surface.greet(&head);
        if matches!(greeting, Greeting::Hearer) && self.hearer_count >= HEARERS_MAX {
            return self.answer_and_close(id, &Response::text(503, "too many pages are open"), Some(&head));
        }
        let key = head.header("sec-websocket-key").unwrap_or_default();
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        let mut response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
        );
        if let Some(offered) = head.header("sec-websocket-protocol").and_then(|offered| offered.split(',').next()) {
            response.push_str(&format!("Sec-WebSocket-Protocol: {}\r\n", offered.trim()));
        }
        response.push_str("\r\n");
        let message_bytes_max = self.limits.message_bytes_max;
        let handshake_deadline = Instant::now() + self.limits.handshake;
        let Some(conn) = self.get(id) else { return };
        let Phase::Http(http) = &mut conn.phase else { return };
        let Ok(local) = conn.socket.local_addr() else { return self.remove(id) };
        let codec = WsCodec::new(message_bytes_max, std::mem::take(&mut http.input));
        conn.outbox.push(Bytes::from(response));
        match greeting {
            Greeting::Client(nonce, text) => {
                let peer = Arc::new(Peer { address: conn.address, local, head, nonce });
                conn.phase = Phase::Ws(Box::new(WsConn::new(codec, Some(peer))));
                conn.outbox.push(text_frame(&text));
                self.set_deadline(id, Some(handshake_deadline));
            }
            Greeting::Hearer => {
                conn.phase = Phase::Ws(Box::new(WsConn::new(codec, None)));
                self.hearer_count += 1;
                self.unadmitted_count -= 1;
                self.set_deadline(id, None);
            }
        }
        self.flush(id);
        self.pump(id);
    }

    fn pump_ws(&mut self, id: ConnId) {
        let (inbox_len_max, inbox_bytes_max) = (self.limits.inbox_len_max, self.limits.inbox_bytes_max);
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut end = None;
        let mut has_more = false;
        let mut reads = 0;
        let (mut at, mut filled) = (0, 0);
        if let Some(conn) = self.conns.get_mut(key_of(id)).filter(|conn| conn.id == id) {
            while let Phase::Ws(ws) = &mut conn.phase {
                if ws.inbox.len() >= inbox_len_max || ws.inbox_bytes >= inbox_bytes_max {
                    has_more = true;
                    break;
                }
                let mut input = &scratch[at..filled];
                let read = ws.codec.read(&mut input);
                at = filled - input.len();
                match read {
                    WsRead::Message(_) if ws.is_hearer => {}
                    WsRead::Message(message) => {
                        ws.inbox_bytes += message.len();
                        ws.inbox.push_back(message);
                    }
                    WsRead::NeedInput if !conn.is_readable => break,
                    WsRead::NeedInput if reads >= READS_PER_TURN_MAX => {
                        has_more = true;
                        break;
                    }
                    WsRead::NeedInput => {
                        reads += 1;
                        match conn.read(&mut scratch) {
                            SocketRead::Bytes(count) => (at, filled) = (0, count),
                            SocketRead::WouldBlock => break,
                            SocketRead::Ended | SocketRead::Gone => {
                                end = Some(WsEnd::Gone);
                                break;
                            }
                        }
                    }
                    WsRead::Closed => {
                        end = Some(WsEnd::Closed);
                        break;
                    }
                    WsRead::Violation(code) => {
                        end = Some(WsEnd::Violation(code));
                        break;
                    }
                }
            }
            if let Phase::Ws(ws) = &mut conn.phase {
                if at < filled {
                    ws.codec.keep(&scratch[at..filled]);
                }
                let output = ws.codec.take_output();
                conn.outbox.push(output);
            }
        }
        self.scratch = scratch;
        self.dispatch(id);
        match end {
            None => {
                self.flush(id);
                if has_more {
                    self.queue_unless_out(id);
                }
            }
            Some(WsEnd::Gone) => self.remove(id),
            Some(WsEnd::Closed) => self.begin_closing(id),
            Some(WsEnd::Violation(code)) => self.close_ws(id, code, ""),
        }
    }

    /// Answers what can be answered at once and hands the rest to the workers, unless a batch is out already.
    fn dispatch(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(key_of(id)).filter(|conn| conn.id == id) else { return };
        let Phase::Ws(ws) = &mut conn.phase else { return };
        if ws.is_out {
            return;
        }
        if let Some(client) = &ws.client
            && conn.outbox.len_bytes() <= self.limits.outbox_event_bytes_max
        {
            let mut answers = Vec::new();
            while let Some(frame) = ws.inbox.front()
                && Instant::now() < self.answers_until
                && self.surface.answer(client, frame, &mut answers)
            {
                ws.inbox_bytes -= frame.len();
                ws.inbox.pop_front();
            }
            conn.outbox.push(answers.into());
        }
        if ws.inbox.is_empty() {
            // An idle client keeps no queue.
            ws.inbox = VecDeque::new();
            return;
        }
        ws.is_out = true;
        // Before admission one frame goes out at a time: the rest waits until the handshake has an answer.
        let count = if ws.client.is_some() { ws.inbox.len() } else { 1 };
        let frames: Vec<Bytes> = ws.inbox.drain(..count).collect();
        ws.inbox_bytes -= frames.iter().map(Bytes::len).sum::<usize>();
        if ws.inbox.is_empty() {
            // An idle client keeps no queue.
            ws.inbox = VecDeque::new();
        }
        let (client, peer) = (ws.client.clone(), ws.peer.clone());
        self.emit(NetEvent::Frames { conn: id, client, peer, frames });
    }

    fn queue_if_readable(&mut self, id: ConnId) {
        if self.get(id).is_some_and(|conn| conn.is_readable) {
            self.queue(id);
        }
    }

    /// For a WebSocket that stopped with input left; one whose batch is out goes on when that comes back.
    fn queue_unless_out(&mut self, id: ConnId) {
        let is_out = |conn: &Conn<C>| matches!(&conn.phase, Phase::Ws(ws) if ws.is_out);
        if self.get(id).is_some_and(|conn| !is_out(conn)) {
            self.queue(id);
        }
    }

    fn queue(&mut self, id: ConnId) {
        if let Some(conn) = self.get(id)
            && !conn.is_ready_queued
        {
            conn.is_ready_queued = true;
            self.ready.push_back(id);
        }
    }

    fn send(&mut self, id: ConnId, frames: Bytes) {
        let bytes_max = self.limits.outbox_bytes_max;
        let Some(conn) = self.get(id) else { return };
        if !matches!(conn.phase, Phase::Ws(_)) || frames.is_empty() {
            return;
        }
        conn.outbox.push(frames);
        self.flush(id);
        if self.get(id).is_some_and(|conn| conn.outbox.len_bytes() > bytes_max) {
            log::warn!(target: "gateway/ws", "closing conn={id}: more than {bytes_max} bytes of answers unread");
            self.stats.slow.add();
            if let Some(conn) = self.get(id) {
                conn.outbox.clear();
            }
            self.close_ws(id, 1008, "slow consumer");
        }
    }

    fn flush(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(key_of(id)).filter(|conn| conn.id == id) else { return };
        let flushed = conn.outbox.flush(&mut conn.socket);
        // Under TLS what was taken may still wait in the session.
        let is_flushed = match flushed.and_then(|is_flushed| Ok(conn.socket.settle()? && is_flushed)) {
            Ok(is_flushed) => is_flushed,
            Err(_) => return self.remove(id),
        };
        conn.note_written();
        if is_flushed == conn.is_write_armed {
            conn.is_write_armed = !is_flushed;
            let interest = if is_flushed { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            let token = Token(CONN_TOKEN_FIRST + key_of(id));
            if self.poll.registry().reregister(&mut conn.socket, token, interest).is_err() {
                return self.remove(id);
            }
        }
        if is_flushed {
            conn.shut_write();
            if matches!(conn.phase, Phase::Closing { is_ended: true, .. }) {
                return self.remove(id);
            }
            self.written(id);
        }
    }

    // ── ends ────────────────────────────────────────────────────────────────

    /// Sends a close frame and lets the connection run out.
    fn close_ws(&mut self, id: ConnId, code: u16, reason: &str) {
        if let Some(conn) = self.get(id)
            && matches!(conn.phase, Phase::Ws(_))
        {
            conn.outbox.push(close_frame(code, reason));
            self.begin_closing(id);
        }
    }

    /// Flushes, shuts our side, and waits a while for the peer to close its own.
    fn begin_closing(&mut self, id: ConnId) {
        let Some(conn) = self.get(id) else { return };
        let was_unadmitted = conn.is_unadmitted();
        let before = std::mem::replace(&mut conn.phase, Phase::Closing { is_shut: false, is_ended: false });
        if was_unadmitted {
            self.unadmitted_count -= 1;
        }
        self.report_closed(id, before);
        self.set_deadline(id, Some(Instant::now() + CLOSE_GRACE));
        self.flush(id);
        self.pump(id);
    }

    fn remove(&mut self, id: ConnId) {
        if self.get(id).is_none() {
            return;
        }
        self.set_deadline(id, None);
        let mut conn = self.conns.remove(key_of(id));
        // The socket is dropped right after; an error here changes nothing.
        let _ = self.poll.registry().deregister(&mut conn.socket);
        if conn.is_unadmitted() {
            self.unadmitted_count -= 1;
        }
        self.report_closed(id, conn.phase);
        if self.conns.capacity() > CONNS_KEPT_MIN.max(8 * self.conns.len()) {
            // As far as the last ones that are left allow: a crowd leaves no empty hall behind.
            self.conns.shrink_to_fit();
        }
        if self.is_accept_paused && self.conns.len() * 10 <= self.limits.connections_max * 9 {
            self.is_accept_paused = false;
            log::info!(target: "gateway", "accepting connections again ({} open)", self.conns.len());
            self.accept();
        }
    }

    fn report_closed(&mut self, id: ConnId, phase: Phase<C>) {
        match phase {
            Phase::Ws(ws) if ws.is_hearer => self.hearer_count -= 1,
            Phase::Ws(ws) => {
                if let Some(client) = ws.client {
                    self.client_count -= 1;
                    self.emit(NetEvent::Closed { conn: id, client });
                }
            }
            Phase::Http(http) => self.report_gone(http.state),
            Phase::Closing { .. } => {}
        }
    }

    fn expire(&mut self, now: Instant) {
        if self.accept_retry_at.is_some_and(|at| at <= now) {
            self.accept_retry_at = None;
            self.accept();
        }
        while let Some(&(at, id)) = self.deadlines.first() {
            if at > now {
                return;
            }
            self.set_deadline(id, None);
            if self.is_still_reading(id) {
                continue;
            }
            let Some(conn) = self.get(id) else { continue };
            match &conn.phase {
                Phase::Ws(_) => self.close_ws(id, 1000, ""),
                Phase::Http(http) if matches!(http.state, HttpState::Head) && http.input.is_empty() => self.remove(id),
                Phase::Http(_) => self.answer_and_close(id, &Response::parser_error(408), None),
                Phase::Closing { .. } => self.remove(id),
            }
        }
    }

    fn set_deadline(&mut self, id: ConnId, deadline: Option<Instant>) {
        let Some(conn) = self.conns.get_mut(key_of(id)).filter(|conn| conn.id == id) else { return };
        if let Some(old) = std::mem::replace(&mut conn.deadline, deadline) {
            self.deadlines.remove(&(old, id));
        }
        if let Some(at) = deadline {
            self.deadlines.insert((at, id));
        }
    }

    fn get(&mut self, id: ConnId) -> Option<&mut Conn<C>> {
        self.conns.get_mut(key_of(id)).filter(|conn| conn.id == id)
    }
}

enum WsEnd {
    Gone,
    Closed,
    Violation(u16),
}

fn key_of(id: ConnId) -> usize {
    (id.0 & u64::from(u32::MAX)) as usize
}

/// Splices the sequence number into an event.
fn event_text(broadcast: &Broadcast, seq: Option<u64>) -> String {
    let Broadcast { event, payload, state_version, .. } = broadcast;
    let Some(seq) = seq else { return format!(r#"{{"type":"event","event":"{event}","payload":{payload}}}"#) };
    let version = match state_version {
        Some((presence, health)) => format!(r#","stateVersion":{{"presence":{presence},"health":{health}}}"#),
        None => String::new(),
    };
    format!(r#"{{"type":"event","event":"{event}","payload":{payload},"seq":{seq}{version}}}"#)
}

/// What is wrong with an upgrade request, as the original's WebSocket library words it.
fn upgrade_fault(head: &RequestHead) -> Option<Response> {
    let fault = |status, text: &str| {
        let mut response = Response::text(status, text);
        response.headers = vec![("Content-Type", "text/html".to_owned())];
        response.close = true;
        Some(response)
    };
    if head.method != "GET" {
        return fault(405, "Invalid HTTP method");
    }
    if !head.has_token("connection", "upgrade") {
        return fault(400, "Invalid Upgrade header");
    }
    let is_key = |key: &str| key.len() == 24 && key.ends_with("==");
    if !head.header("sec-websocket-key").is_some_and(is_key) {
        return fault(400, "Missing or invalid Sec-WebSocket-Key header");
    }
    if !matches!(head.header("sec-websocket-version"), Some("13" | "8")) {
        let mut response = fault(400, "Missing or invalid Sec-WebSocket-Version header")?;
        response.headers.push(("Sec-WebSocket-Version", "13, 8".to_owned()));
        return Some(response);
    }
    None
}
