//! Plain HTTP on the loop: heads and bodies in, answers out whole or in parts, and when a connection is too slow.
//!
//! A request is either answered at once, from memory, or handed over with its [`Flow`] and answered by
//! [`LoopMsg::HttpPart`](super::LoopMsg::HttpPart) and [`LoopMsg::HttpReply`](super::LoopMsg::HttpReply); meanwhile its
//! connection's input waits, so that answers keep their order. Not here: what requests mean, and the upgrade to a
//! WebSocket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::conn::{Conn, HttpState, Phase, SocketRead};
use super::super::flow::Flow;
use super::super::handle::{NetEvent, Peer};
use super::super::http::{BodyDecoder, Malformed, RequestHead, Response, parse_head};
use super::{EventLoop, READS_PER_TURN_MAX, key_of};
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::ids::ConnId;

/// How long a peer may take nothing of what is written for it.
const STALL_MAX: Duration = Duration::from_secs(30);

impl<C: Send + Sync + 'static, W: From<NetEvent<C>> + Send + 'static> EventLoop<C, W> {
    /// Sends a part of an answer; more of it follows.
    pub(super) fn http_part(&mut self, id: ConnId, part: Bytes) {
        let Some(conn) = self.get(id) else { return };
        let Phase::Http(http) = &mut conn.phase else { return };
        let HttpState::Waiting { pushed, .. } = &mut http.state else { return };
        *pushed += part.len() as u64;
        conn.outbox.push(part);
        self.flush(id);
    }

    /// Sends an answer, or what is left of it.
    pub(super) fn http_reply(&mut self, id: ConnId, response: Bytes, keep_alive: bool) {
        let Some(conn) = self.get(id) else { return };
        let Phase::Http(http) = &mut conn.phase else { return };
        http.state = HttpState::Head;
        conn.outbox.push(response);
        if self.goes_on(id, keep_alive) {
            self.pump(id);
        }
    }

    /// After a response: waits for the next request, or begins to close.
    fn goes_on(&mut self, id: ConnId, keep_alive: bool) -> bool {
        let goes_on = keep_alive && self.stop_at.is_none();
        if goes_on {
            self.set_deadline(id, Some(Instant::now() + self.limits.keep_alive));
        } else {
            self.begin_closing(id);
        }
        goes_on
    }

    /// The deadline of a connection with unwritten bytes has passed: as long as they get fewer, it is not idle. Returns
    /// whether it goes on.
    pub(super) fn is_still_reading(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.get(id) else { return false };
        let unwritten = conn.outbox.len_bytes();
        if matches!(conn.phase, Phase::Ws(_)) || unwritten == 0 || unwritten >= conn.unwritten_before {
            return false;
        }
        conn.unwritten_before = unwritten;
        self.set_deadline(id, Some(Instant::now() + STALL_MAX));
        true
    }

    /// Everything is written: whoever answers may go on, and what idles idles from now on.
    pub(super) fn written(&mut self, id: ConnId) {
        let keep_alive = self.limits.keep_alive;
        let Some(conn) = self.get(id) else { return };
        // A deadline that was for reading is not one for the next request.
        let was_slow = std::mem::replace(&mut conn.unwritten_before, usize::MAX) != usize::MAX;
        if let Phase::Http(http) = &conn.phase
            && was_slow
            && matches!(http.state, HttpState::Head)
            && http.input.is_empty()
        {
            self.set_deadline(id, Some(Instant::now() + keep_alive));
        }
    }

    /// The peer has shut its side while its answer is being made. A run is not worth going on for nobody; what is
    /// answered in a moment is answered.
    pub(super) fn peer_ended(&mut self, id: ConnId) {
        let Some(Conn { phase: Phase::Http(http), .. }) = self.get(id) else { return };
        if let HttpState::Waiting { flow, .. } = &http.state
            && flow.note_ended()
        {
            let flow = flow.clone();
            self.emit(NetEvent::HttpGone { flow });
        }
    }

    /// A connection goes while its answer is being made.
    pub(super) fn report_gone(&mut self, state: HttpState) {
        if let HttpState::Waiting { flow, .. } = state
            && flow.note_gone()
        {
            self.emit(NetEvent::HttpGone { flow });
        }
    }

    pub(super) fn pump_http(&mut self, id: ConnId) {
        for _ in 0..READS_PER_TURN_MAX {
            // Whatever is buffered comes first: a pipelined request must not wait for new bytes.
            let wants_bytes = self.step_http(id);
            self.flush(id);
            if !wants_bytes {
                return;
            }
            let mut scratch = std::mem::take(&mut self.scratch);
            let read = match self.get(id) {
                Some(conn) if conn.is_readable => {
                    let read = conn.read(&mut scratch);
                    if let (SocketRead::Bytes(count), Phase::Http(http)) = (&read, &mut conn.phase) {
                        http.input.extend_from_slice(&scratch[..*count]);
                    }
                    read
                }
                _ => SocketRead::WouldBlock,
            };
            self.scratch = scratch;
            match read {
                SocketRead::Bytes(_) => {}
                SocketRead::WouldBlock => return,
                // It has said all it wanted, and still reads.
                SocketRead::Ended if self.get(id).is_some_and(|conn| !conn.outbox.is_empty()) => {
                    return self.begin_closing(id);
                }
                SocketRead::Ended | SocketRead::Gone => return self.remove(id),
            }
        }
        self.queue_if_readable(id);
    }

    /// Works off buffered input; returns whether the connection still wants bytes.
    fn step_http(&mut self, id: ConnId) -> bool {
        loop {
            let Some(conn) = self.conns.get_mut(key_of(id)).filter(|conn| conn.id == id) else { return false };
            let Phase::Http(http) = &mut conn.phase else { return false };
            if !matches!(http.state, HttpState::Head) {
                return self.step_http_body(id);
            }
            if http.input.is_empty() {
                return true;
            }
            if conn.outbox.len_bytes() > self.limits.outbox_event_bytes_max {
                // Who does not read its answers gets no more of them until it does; then it goes on here.
                self.flush(id);
                if self.get(id).is_none_or(|conn| conn.is_write_armed) {
                    return false;
                }
                continue;
            }
            match parse_head(&http.input) {
                Ok(None) => return true,
                Ok(Some((head, length))) => {
                    http.input.drain(..length);
                    if head.method == "CONNECT" {
                        // compat: this is no proxy, and whoever takes it for one gets no answer.
                        self.begin_closing(id);
                        return false;
                    }
                    if head.has_token("upgrade", "websocket") {
                        self.upgrade(id, head);
                        return false;
                    }
                    if !head.has_body()
                        && Instant::now() < self.answers_until
                        && let Some(response) = self.surface.respond(&head)
                    {
                        let (bytes, keep_alive) = response.encode(Some(&head), SystemClock.now_ms());
                        conn.outbox.push(bytes);
                        if !self.goes_on(id, keep_alive) {
                            return false;
                        }
                        continue;
                    }
                    let decoder = match BodyDecoder::new(&head, self.surface.body_bytes_max(&head)) {
                        Ok(decoder) => decoder,
                        Err(malformed) => {
                            self.refuse_http(id, malformed, Some(&head));
                            return false;
                        }
                    };
                    if head.has_token("expect", "100-continue") {
                        conn.outbox.push(Bytes::from_static(b"HTTP/1.1 100 Continue\r\n\r\n"));
                    }
                    http.state = HttpState::Body { head, decoder };
                    self.set_deadline(id, Some(Instant::now() + self.limits.request));
                }
                Err(malformed) => {
                    self.refuse_http(id, malformed, None);
                    return false;
                }
            }
        }
    }

    fn step_http_body(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.conns.get_mut(key_of(id)).filter(|conn| conn.id == id) else { return false };
        let Phase::Http(http) = &mut conn.phase else { return false };
        let HttpState::Body { decoder, .. } = &mut http.state else { return false };
        let is_complete = decoder.feed(&mut http.input);
        if matches!(is_complete, Ok(false)) {
            return true;
        }
        let flow = Arc::new(Flow::default());
        let waiting = HttpState::Waiting { flow: flow.clone(), pushed: 0 };
        let HttpState::Body { head, decoder } = std::mem::replace(&mut http.state, waiting) else {
            unreachable!("matched above");
        };
        match is_complete {
            Ok(_) => {
                if conn.is_ending {
                    flow.note_ended();
                }
                let Ok(local) = conn.socket.local_addr() else {
                    self.remove(id);
                    return false;
                };
                let peer = Peer { address: conn.address, local, head, nonce: String::new() };
                self.set_deadline(id, None);
                self.emit(NetEvent::Http { conn: id, peer, body: decoder.into_body(), flow });
            }
            Err(malformed) => self.refuse_http(id, malformed, Some(&head)),
        }
        false
    }

    fn refuse_http(&mut self, id: ConnId, malformed: Malformed, head: Option<&RequestHead>) {
        let mut response = match (malformed, head) {
            (Malformed::BodyTooLarge, Some(head)) => self.surface.body_too_large(head),
            (Malformed::HeadTooLarge, _) => Response::parser_error(431),
            _ => Response::parser_error(400),
        };
        response.close = true;
        self.answer_and_close(id, &response, head);
    }

    pub(super) fn answer_and_close(&mut self, id: ConnId, response: &Response, head: Option<&RequestHead>) {
        let (bytes, _) = response.encode(head, SystemClock.now_ms());
        if let Some(conn) = self.get(id) {
            conn.outbox.push(bytes);
        }
        self.begin_closing(id);
    }
}
