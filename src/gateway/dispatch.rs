//! From a frame to its answer: parse → authorise → look up → validate → decode → call (architecture §5).
//!
//! Runs on frame workers; a handler that would take long gives its ticket to a job. A panic in a handler answers that
//! request and nothing else.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::client::{Client, Role, scope};
use super::ctx::Ctx;
use super::methods::{self, Access, Method, Place};
use super::ticket::{Outcome, Ticket};
use super::ws_log;
use crate::base::ids::ConnId;
use crate::net::LoopMsg;
use crate::net::ws::append_text_frame;
use crate::protocol::error::ErrorShape;
use crate::protocol::frame::{BadFrame, Envelope, Request, error_text, ok_head, parse_request};
use crate::protocol::validate;

/// A frame that takes longer than this is logged with its method.
const SLOW_FRAME: Duration = Duration::from_millis(50);
/// The connection of calls from within; the loop never gives this number out.
const LOCAL_CONN: ConnId = ConnId(u64::MAX);

/// Largest frame that is looked at on the loop.
const GLANCE_BYTES_MAX: usize = 4096;

/// What a handler answers.
pub enum Reply {
    /// This, now.
    Now(Value),
    /// This JSON text, now.
    Text(String),
    /// The ticket answers.
    Later,
    /// Nothing was begun: this lane is crowded, and the frame can wait.
    Crowded(&'static str),
}

/// One request of an admitted client, as handlers see it.
pub struct Call {
    /// The connection.
    pub conn: ConnId,
    /// Who asks.
    pub client: Arc<Client>,
    /// The request's id.
    pub id: Value,
    /// Its parameters; `{}` when absent or null.
    pub params: Value,
    /// Who gets the answer when the request was made within this process.
    local: Option<Sender<Outcome>>,
}

impl Call {
    /// Decodes the parameters.
    ///
    /// # Errors
    /// INVALID_REQUEST; after a passed schema this means that schema and type differ.
    pub fn decode<P: DeserializeOwned>(&mut self, method: &str) -> Result<P, ErrorShape> {
        serde_json::from_value(self.params.take())
            .map_err(|error| ErrorShape::invalid(format!("invalid {method} params: {error}")))
    }

    /// Returns the ticket for answering later; the handler then returns [`Reply::Later`].
    pub fn ticket(&self, cx: &Ctx) -> Ticket {
        match &self.local {
            Some(answer) => Ticket::local(answer.clone()),
            None => Ticket::new(cx.net.clone(), self.conn, self.id.clone()),
        }
    }
}

/// Answers a frame on the loop if a glance at memory is all it takes; everything else, and whatever is wrong with it, is
/// for the workers.
pub fn at_once(cx: &Ctx, client: &Client, frame: &[u8], answers: &mut Vec<u8>) -> bool {
    // Who follows the traffic in the log follows it on the workers: the loop writes no files.
    if frame.len() > GLANCE_BYTES_MAX || ws_log::is_verbose() {
        return false;
    }
    let Some(envelope) = Envelope::read(frame) else { return false };
    let Some(method) = methods::find(&envelope.method) else { return false };
    let Some(glance) = method.glance.filter(|_| authorise(client, method.name, method.access).is_ok()) else {
        return false;
    };
    let Some(params) = envelope.params() else { return false };
    let Ok(Some(payload)) = catch_unwind(AssertUnwindSafe(|| glance(cx, &params))) else { return false };
    append_text_frame(answers, &[&ok_head(&envelope.id), &payload, "}"]);
    cx.metrics.frames.add();
    true
}

/// Handles a batch of one client, in order, and sends all answers back at once. A frame whose lane is crowded waits for
/// room, the rest of its batch behind it; until then the loop hands over no other and stops reading that client.
pub fn frames(cx: &Arc<Ctx>, conn: ConnId, client: &Arc<Client>, mut batch: VecDeque<Bytes>) {
    let mut answers = Vec::new();
    while let Some(bytes) = batch.front() {
        match one(cx, conn, client, bytes) {
            Handled::Answered(text) => append_text_frame(&mut answers, &[&text]),
            Handled::Silently => {}
            Handled::Crowded(lane) => {
                let rest = || {
                    let (cx, client, batch) = (cx.clone(), client.clone(), std::mem::take(&mut batch));
                    move || frames(&cx, conn, &client, batch)
                };
                if cx.jobs.park(lane, rest) {
                    if !answers.is_empty() {
                        cx.net.send(LoopMsg::Send { conn, frames: answers.into() });
                    }
                    return;
                }
                continue;
            }
        }
        batch.pop_front();
    }
    cx.net.send(LoopMsg::Done { conn, frames: answers.into() });
}

/// What became of a frame.
enum Handled {
    /// This is its answer.
    Answered(String),
    /// It has none, or a ticket has it.
    Silently,
    /// Nothing yet; see [`Reply::Crowded`].
    Crowded(&'static str),
}

/// Calls a method from within this process, as `client`; the first answer arrives at the receiver, which is closed without
/// one when nobody is left to answer.
pub fn local(cx: &Arc<Ctx>, client: &Arc<Client>, method: &str, params: Value) -> Receiver<Outcome> {
    let (sender, receiver) = bounded(1);
    let call = Call { conn: LOCAL_CONN, client: client.clone(), id: Value::Null, params, local: Some(sender.clone()) };
    let result = catch_unwind(AssertUnwindSafe(|| run(cx, method, call))).unwrap_or_else(|_| {
        Err(ErrorShape::unavailable(format!("{method} failed unexpectedly; see the gateway's log")))
    });
    let outcome = match result {
        Ok(Reply::Later | Reply::Crowded(_)) => return receiver,
        Ok(Reply::Now(payload)) => Outcome::Ok(payload),
        Ok(Reply::Text(payload)) => Outcome::Text(payload),
        Err(error) => Outcome::from(Err(error)),
    };
    // Full when it was answered before; the first answer counts.
    drop(sender.try_send(outcome));
    receiver
}

fn one(cx: &Arc<Ctx>, conn: ConnId, client: &Arc<Client>, bytes: &[u8]) -> Handled {
    let request = match parse_request(bytes) {
        Ok(request) => request,
        // compat: after the handshake what is not JSON is ignored.
        Err(BadFrame::NotJson(error)) => {
            log::warn!(target: "gateway/ws", "frame is not JSON conn={}: {error}", client.conn_id);
            return Handled::Silently;
        }
        Err(BadFrame::NotRequest { id, message }) => {
            return Handled::Answered(error_text(&id, &ErrorShape::invalid(message), None));
        }
    };
    let Request { id, method, params } = request;
    let started = cx.clock.now();
    let call = Call {
        conn,
        client: client.clone(),
        id: Value::String(id),
        params: params.filter(|params| !params.is_null()).unwrap_or_else(|| json!({})),
        local: None,
    };
    let id = call.id.clone();
    let result = catch_unwind(AssertUnwindSafe(|| run(cx, &method, call))).unwrap_or_else(|_| {
        Err(ErrorShape::unavailable(format!("{method} failed unexpectedly; see the gateway's log")))
    });
    let took = cx.clock.now().saturating_duration_since(started);
    if !matches!(result, Ok(Reply::Crowded(_))) {
        cx.metrics.frames.add();
        cx.metrics.frame.note(took);
    }
    if took > SLOW_FRAME {
        log::warn!(target: "gateway/ws", "slow frame {method} took {}ms", took.as_millis());
    }
    let outcome = match result {
        Ok(Reply::Crowded(lane)) => return Handled::Crowded(lane),
        Ok(Reply::Later) => return Handled::Silently,
        Ok(Reply::Now(payload)) => Outcome::Ok(payload),
        Ok(Reply::Text(payload)) => Outcome::Text(payload),
        Err(error) => Outcome::from(Err(error)),
    };
    ws_log::response(&method, &outcome, took, &client.conn_id, &id);
    Handled::Answered(outcome.text(&id))
}

fn run(cx: &Arc<Ctx>, name: &str, mut call: Call) -> Result<Reply, ErrorShape> {
    // Authorisation before lookup, as the original: an under-privileged caller learns nothing about method names.
    let method = methods::find(name);
    authorise(&call.client, name, method.map_or(Access::Admin, |method| method.access))?;
    let Some(method) = method else {
        return Err(match name {
            "connect" => ErrorShape::invalid("connect is only valid as the first request"),
            _ => ErrorShape::invalid(format!("unknown method: {name}")),
        });
    };
    if let Some(prepare) = method.prepare {
        prepare(&mut call.params);
    }
    if let Some(definition) = method.definition {
        validate::check(definition, &call.params)
            .map_err(|issues| ErrorShape::invalid(format!("invalid {name} params: {issues}")))?;
    }
    if let Some(payload) = method.glance.and_then(|glance| glance(cx, &call.params)) {
        return Ok(Reply::Text(payload));
    }
    match method.place {
        Place::Frame => (method.handler)(cx, call),
        Place::Lane(lane) if call.local.is_none() && cx.jobs.is_crowded(lane) => Ok(Reply::Crowded(lane)),
        Place::Lane(lane) => on_lane(cx, method, lane, call),
    }
}

/// Runs a handler as a job, with its ticket.
fn on_lane(cx: &Arc<Ctx>, method: &'static Method, lane: &str, call: Call) -> Result<Reply, ErrorShape> {
    let ticket = call.ticket(cx);
    let job_cx = cx.clone();
    let submitted = cx.jobs.submit(vec![lane.to_owned()], move || match (method.handler)(&job_cx, call) {
        Ok(Reply::Now(payload)) => ticket.finish(Ok(payload)),
        Ok(Reply::Text(payload)) => ticket.finish(Outcome::Text(payload)),
        Ok(Reply::Later | Reply::Crowded(_)) => ticket.forget(),
        Err(error) => ticket.finish(Err(error)),
    });
    match submitted {
        // A refused job dropped its ticket, which answered.
        Ok(()) | Err(_) => Ok(Reply::Later),
    }
}

/// Checks role and scope (protocol.md §4).
fn authorise(client: &Client, method: &str, access: Access) -> Result<(), ErrorShape> {
    match (client.role, access) {
        (Role::Node, Access::Node) => return Ok(()),
        (Role::Node, _) | (_, Access::Node) => {
            return Err(ErrorShape::invalid(format!("unauthorized role: {}", client.role.as_str())));
        }
        _ => {}
    }
    let (needed, name) = match access {
        Access::Read => (scope::READ | scope::WRITE, "operator.read"),
        Access::Write => (scope::WRITE, "operator.write"),
        Access::Approvals => (scope::APPROVALS, "operator.approvals"),
        Access::Pairing => (scope::PAIRING, "operator.pairing"),
        Access::Admin | Access::Node => (0, "operator.admin"),
    };
    if client.scopes & (scope::ADMIN | needed) == 0 {
        log::debug!(target: "gateway/ws", "refused {method}: missing scope {name} conn={}", client.conn_id);
        return Err(ErrorShape::invalid(format!("missing scope: {name}")));
    }
    Ok(())
}
