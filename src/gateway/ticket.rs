//! A ticket: the duty to answer one request later, from any thread.
//!
//! Every request gets exactly one final response: a ticket dropped unanswered (panic, cancel, shutdown) answers
//! UNAVAILABLE by itself.

use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::Sender;
use serde_json::Value;

use crate::base::ids::ConnId;
use crate::net::LoopHandle;
use crate::protocol::error::ErrorShape;
use crate::protocol::frame;

use super::client::Client;

/// See the module.
pub struct Ticket {
    asker: Asker,
    is_answered: bool,
}

/// Who gets the answer.
#[derive(Clone)]
enum Asker {
    /// The client behind a connection.
    Client { handle: LoopHandle<Client>, conn: ConnId, id: Value },
    /// Somebody within this process, who takes the first answer.
    Local(Sender<Outcome>),
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.asker {
            Asker::Client { conn, id, .. } => write!(f, "Ticket(conn {conn}, id {id})"),
            Asker::Local(_) => f.write_str("Ticket(local)"),
        }
    }
}

/// How a request ends.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// `ok:true`.
    Ok(Value),
    /// `ok:true`, with a payload that is JSON text already.
    Text(String),
    /// `ok:false`; a payload only where the original sends one beside the error.
    Err {
        /// What went wrong.
        error: ErrorShape,
        /// Payload beside it.
        payload: Option<Value>,
    },
}

impl From<Result<Value, ErrorShape>> for Outcome {
    fn from(result: Result<Value, ErrorShape>) -> Self {
        match result {
            Ok(payload) => Self::Ok(payload),
            Err(error) => Self::Err { error, payload: None },
        }
    }
}

impl Outcome {
    /// Returns the text of the response with this id.
    pub fn text(&self, id: &Value) -> String {
        match self {
            Self::Ok(payload) => frame::ok_text(id, payload),
            Self::Text(payload) => frame::ok_head(id.as_str().unwrap_or_default()) + payload + "}",
            Self::Err { error, payload } => frame::error_text(id, error, payload.as_ref()),
        }
    }
}

impl Ticket {
    /// Returns the ticket of a request.
    pub fn new(handle: LoopHandle<Client>, conn: ConnId, id: Value) -> Self {
        Self { asker: Asker::Client { handle, conn, id }, is_answered: false }
    }

    /// Returns the ticket of a request that was made within this process.
    pub fn local(answer: Sender<Outcome>) -> Self {
        Self { asker: Asker::Local(answer), is_answered: false }
    }

    /// Returns a way to send a first response; the duty of the final one stays (`agent` alone answers twice).
    pub fn early(&self) -> Early {
        Early(self.asker.clone())
    }

    /// Answers.
    pub fn finish(mut self, outcome: impl Into<Outcome>) {
        self.is_answered = true;
        match &self.asker {
            Asker::Client { handle, conn, id } => handle.send_text(*conn, &outcome.into().text(id)),
            Asker::Local(answer) => drop(answer.try_send(outcome.into())),
        }
    }

    /// Gives the duty up without an answer: somebody else's response stands for this one.
    pub fn forget(mut self) {
        self.is_answered = true;
    }
}

/// Sends a first response to a request; the final one is its ticket's.
pub struct Early(Asker);

impl Early {
    /// Sends it.
    pub fn send(&self, payload: &Value) {
        match &self.0 {
            Asker::Client { handle, conn, id } => handle.send_text(*conn, &frame::ok_text(id, payload)),
            // Full when it was answered before; the first answer counts.
            Asker::Local(answer) => drop(answer.try_send(Outcome::Ok(payload.clone()))),
        }
    }
}

/// A ticket that a job takes up when its turn comes, unless the job's deadline was there first. One of them answers.
#[derive(Debug, Clone)]
pub struct SharedTicket(Arc<Mutex<Option<Ticket>>>);

impl SharedTicket {
    /// Shares a ticket.
    pub fn new(ticket: Ticket) -> Self {
        Self(Arc::new(Mutex::new(Some(ticket))))
    }

    /// Takes the ticket; `None` when the other one has it.
    pub fn take(&self) -> Option<Ticket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let error = ErrorShape::busy("the gateway could not finish this request (it failed or is stopping); try again");
        match &self.asker {
            Asker::Client { handle, conn, id } => handle.send_text(*conn, &frame::error_text(id, &error, None)),
            Asker::Local(answer) => drop(answer.try_send(Outcome::from(Err(error)))),
        }
    }
}
