//! The one wizard that clients may drive at a time: whose it is, and who waits for its end (protocol.md §5.12).
//!
//! Owns its [`Session`] behind a leaf lock; tickets are answered outside of it. Any worker. A run outlives its client, so
//! that one who reconnects goes on; it gives way to a new one when its client is gone or it was idle for long. Not here:
//! the questions (`wizard`) and the methods (`methods::wizard`).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ticket::Ticket;
use crate::base::ids::ConnId;
use crate::protocol::error::ErrorShape;
use crate::wizard::plan::Plan;
use crate::wizard::session::{End, Session, State};
use crate::wizard::{Kind, Step};

/// How long a run without any call keeps others out.
const IDLE_MAX: Duration = Duration::from_secs(10 * 60);
/// Callers that may wait for the end of one run.
const WAITERS_MAX: usize = 16;

struct Run {
    id: String,
    session: Session,
    owner: ConnId,
    is_orphan: bool,
    last_call: Instant,
    waiters: Vec<Ticket>,
}

impl Run {
    fn is_abandoned(&self, now: Instant) -> bool {
        let is_applying = matches!(self.session.state(), State::Applying);
        (self.is_orphan && !is_applying) || now.saturating_duration_since(self.last_call) >= IDLE_MAX
    }
}

/// See the module.
#[derive(Default)]
pub struct Wizards(Mutex<Option<Run>>);

/// What a call found.
pub enum Found {
    /// This is the answer.
    Answer(Value),
    /// Everything is answered: the plan must be carried out, then [`Wizards::applied`] be told.
    Apply(Box<Plan>),
    /// The plan is being carried out: wait with [`Wizards::wait`].
    Wait,
}

impl Wizards {
    /// Starts a run under this id and returns its first answer.
    ///
    /// # Errors
    /// When another one is running and not abandoned.
    pub fn start(&self, id: String, session: Session, owner: ConnId, now: Instant) -> Result<Value, ErrorShape> {
        let mut slot = self.lock();
        if slot.as_ref().is_some_and(|run| run.session.is_running() && !run.is_abandoned(now)) {
            return Err(ErrorShape::unavailable("wizard already running"));
        }
        let mut answer = progress(session.state());
        answer["sessionId"] = id.as_str().into();
        let run = Run { id, session, owner, is_orphan: false, last_call: now, waiters: Vec::new() };
        let replaced = std::mem::replace(&mut *slot, Some(run).filter(|run| run.session.is_running()));
        drop(slot);
        // Outside the lock: its waiters' tickets answer as they go.
        drop(replaced);
        Ok(answer)
    }

    /// Answers the waiting step, when there is an answer, and returns what comes next.
    ///
    /// # Errors
    /// When there is no such run, or no such step waits.
    pub fn next(
        &self,
        id: &str,
        answer: Option<(&str, Value)>,
        conn: ConnId,
        now: Instant,
    ) -> Result<Found, ErrorShape> {
        let mut slot = self.lock();
        let run = found(&mut slot, id)?;
        (run.owner, run.is_orphan, run.last_call) = (conn, false, now);
        if let Some((step, value)) = answer {
            if !run.session.is_running() {
                return Err(ErrorShape::invalid("wizard not running"));
            }
            let is_waiting = matches!(run.session.state(), State::Asking { id, .. } if id == step);
            if !is_waiting {
                return Err(ErrorShape::invalid("Error: wizard: no pending step"));
            }
            if let Err(why) = run.session.answer(value) {
                // compat: an answer that cannot be taken ends the run.
                run.session.end(End::Failed(why));
            }
        }
        if let Some(plan) = run.session.take_plan() {
            return Ok(Found::Apply(Box::new(plan)));
        }
        if matches!(run.session.state(), State::Applying) {
            return Ok(Found::Wait);
        }
        let answer = progress(run.session.state());
        forget_ended(&mut slot);
        Ok(Found::Answer(answer))
    }

    /// Has the ticket answered when the plan was carried out.
    pub fn wait(&self, id: &str, ticket: Ticket) {
        let mut slot = self.lock();
        let run = slot.as_mut().filter(|run| run.id == id && matches!(run.session.state(), State::Applying));
        let outcome = match run {
            Some(run) if run.waiters.len() < WAITERS_MAX => {
                run.waiters.push(ticket);
                return;
            }
            Some(_) => Err(ErrorShape::busy("too many wait for this wizard")),
            // It ended between the call and this one.
            None => Err(ErrorShape::invalid("wizard not found")),
        };
        drop(slot);
        ticket.finish(outcome);
    }

    /// Ends the run after its plan was carried out, or was not; returns the last answer and who waits for it. When its
    /// client is gone, the end is kept until somebody asks.
    pub fn applied(&self, id: &str, result: Result<(), String>) -> (Value, Vec<Ticket>) {
        let mut slot = self.lock();
        let Some(run) = slot.as_mut().filter(|run| run.id == id) else {
            // Replaced meanwhile; the caller still learns how it went.
            return (progress(&State::Ended(result.map_or_else(End::Failed, |()| End::Done))), Vec::new());
        };
        run.session.finish(result);
        let answer = progress(run.session.state());
        let waiters = std::mem::take(&mut run.waiters);
        if !run.is_orphan {
            forget_ended(&mut slot);
        }
        (answer, waiters)
    }

    /// Cancels a run.
    ///
    /// # Errors
    /// When there is no such run, or its plan is being carried out.
    pub fn cancel(&self, id: &str) -> Result<Value, ErrorShape> {
        let mut slot = self.lock();
        let run = found(&mut slot, id)?;
        if matches!(run.session.state(), State::Applying) {
            return Err(ErrorShape::busy("the wizard is writing its result and cannot be cancelled any more"));
        }
        run.session.end(End::Cancelled("cancelled".to_owned()));
        let answer = status(run.session.state());
        forget_ended(&mut slot);
        Ok(answer)
    }

    /// Returns the status of a run.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn status(&self, id: &str) -> Result<Value, ErrorShape> {
        let mut slot = self.lock();
        let answer = status(found(&mut slot, id)?.session.state());
        forget_ended(&mut slot);
        Ok(answer)
    }

    /// Notes that a connection is gone.
    pub fn client_gone(&self, conn: ConnId) {
        if let Some(run) = self.lock().as_mut().filter(|run| run.owner == conn) {
            run.is_orphan = true;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn found<'a>(slot: &'a mut Option<Run>, id: &str) -> Result<&'a mut Run, ErrorShape> {
    slot.as_mut().filter(|run| run.id == id).ok_or_else(|| ErrorShape::invalid("wizard not found"))
}

/// A run that ended is known until its end was told, and no longer.
fn forget_ended(slot: &mut Option<Run>) {
    if slot.as_ref().is_some_and(|run| !run.session.is_running()) {
        *slot = None;
    }
}

/// `{done, step?, status, error?}`.
fn progress(state: &State) -> Value {
    let mut answer = json!({"done": matches!(state, State::Ended(_))});
    if let State::Asking { id, step } = state {
        answer["step"] = step_on_wire(id, step);
    }
    if let (Some(answer), Value::Object(status)) = (answer.as_object_mut(), status(state)) {
        answer.extend(status);
    }
    answer
}

/// `{status, error?}`.
fn status(state: &State) -> Value {
    match state {
        State::Asking { .. } | State::Ready(_) | State::Applying => json!({"status": "running"}),
        State::Ended(End::Done) => json!({"status": "done"}),
        State::Ended(End::Cancelled(why)) => json!({"status": "cancelled", "error": why}),
        State::Ended(End::Failed(why)) => json!({"status": "error", "error": format!("Error: {why}")}),
    }
}

fn step_on_wire(id: &str, step: &Step) -> Value {
    let kind = match step.kind {
        Kind::Note => "note",
        Kind::Select => "select",
        Kind::Text => "text",
        Kind::Confirm => "confirm",
    };
    let mut wire = json!({"type": kind});
    let mut add = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            wire[key] = value;
        }
    };
    add("title", step.title.as_deref().map(Value::from));
    add("message", Some(step.message.as_str().into()));
    let options = step.options.iter().map(|option| {
        let mut wire = json!({"value": option.value, "label": option.label});
        if let Some(hint) = &option.hint {
            wire["hint"] = hint.as_str().into();
        }
        wire
    });
    add("options", (step.kind == Kind::Select).then(|| options.collect()));
    add("initialValue", step.initial.clone());
    add("placeholder", step.placeholder.as_deref().map(Value::from));
    add("sensitive", step.is_sensitive.then_some(Value::Bool(true)));
    add("executor", Some("client".into()));
    add("id", Some(id.into()));
    wire
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::SystemRng;
    use crate::config::load::load;
    use crate::config::paths::Paths;
    use crate::wizard::{Facts, Request};
    use std::sync::Arc;

    fn session() -> Session {
        let paths = Paths::resolve(|name| (name == "HOME").then(|| "/nonexistent".to_owned()));
        let snapshot = Arc::new(load(&paths));
        Session::start(Facts::new(paths, snapshot, &SystemRng), Request::default(), Arc::new(SystemRng))
    }

    #[test]
    fn a_run_gives_way_when_nobody_wants_it_any_more() {
        let wizards = Wizards::default();
        let (one, two) = (ConnId(1), ConnId(2));
        let start = |id: &str, conn, at| wizards.start(id.to_owned(), session(), conn, at).map(|_| ());
        let began = Instant::now();
        let almost = began + IDLE_MAX - Duration::from_secs(1);
        assert_eq!(start("a", one, began), Ok(()));
        assert!(start("b", two, almost).is_err());
        assert!(wizards.next("a", None, one, almost).is_ok(), "a call keeps it alive");
        assert!(start("b", two, began + IDLE_MAX).is_err());
        assert_eq!(start("b", two, almost + IDLE_MAX), Ok(()), "idle for too long");
        assert!(wizards.status("a").is_err());

        wizards.client_gone(one);
        assert!(start("c", one, almost + IDLE_MAX).is_err(), "somebody else went");
        wizards.client_gone(two);
        assert!(wizards.next("b", None, one, almost + IDLE_MAX).is_ok(), "taken over");
        assert!(start("c", two, almost + IDLE_MAX).is_err());
        wizards.client_gone(one);
        assert_eq!(start("c", two, almost + IDLE_MAX), Ok(()));
        assert_eq!(wizards.cancel("c").map(|answer| answer["status"].clone()), Ok(json!("cancelled")));
        assert!(wizards.status("c").is_err(), "forgotten once told");
        assert_eq!(start("d", one, began), Ok(()));
    }
}
