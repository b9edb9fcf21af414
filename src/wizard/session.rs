//! One run of the wizard: the step that waits, the answers so far, and how it ended.
//!
//! Owned by whoever carries steps and answers (a terminal, or the gateway behind a lock); knows neither.

use std::sync::Arc;

use serde_json::Value;

use super::ask::{Asker, Stop};
use super::plan::Plan;
use super::{Facts, Kind, Request, Step, flow};
use crate::base::rng::{Rng, uuid};

/// Most answers of one run: far more than the longest way through.
const ANSWERS_MAX: usize = 300;

/// Where a run is.
pub enum State {
    /// A step waits for its answer.
    Asking {
        /// The step's id.
        id: String,
        /// The step.
        step: Step,
    },
    /// Everything is answered; the plan waits to be carried out.
    Ready(Box<Plan>),
    /// The plan is being carried out.
    Applying,
    /// It is over.
    Ended(End),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The plan was carried out.
    Done,
    /// Somebody did not want to; why.
    Cancelled(String),
    /// It could not be finished; why.
    Failed(String),
}

/// See the module.
pub struct Session {
    facts: Facts,
    request: Request,
    rng: Arc<dyn Rng>,
    answers: Vec<Value>,
    state: State,
}

impl Session {
    /// Starts a run: its first step waits.
    pub fn start(facts: Facts, request: Request, rng: Arc<dyn Rng>) -> Self {
        let state = State::Ended(End::Cancelled(String::new()));
        let mut session = Self { facts, request, rng, answers: Vec::new(), state };
        // Without answers there is nothing to reject.
        let _ = session.advance();
        session
    }

    /// Returns where the run is.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Returns whether the run has not ended.
    pub fn is_running(&self) -> bool {
        !matches!(self.state, State::Ended(_))
    }

    /// Answers the waiting step.
    ///
    /// # Errors
    /// What is wrong with the answer; the step then still waits.
    pub fn answer(&mut self, value: Value) -> Result<(), String> {
        let State::Asking { step, .. } = &self.state else {
            return Err("wizard: no pending step".to_owned());
        };
        // All answers are kept: what a client sends beside them is not.
        let value = match step.kind {
            Kind::Note => Value::Null,
            Kind::Confirm => Value::Bool(value == Value::Bool(true)),
            Kind::Select | Kind::Text => value,
        };
        if self.answers.len() >= ANSWERS_MAX {
            self.state = State::Ended(End::Failed("too many answers".to_owned()));
            return Ok(());
        }
        self.answers.push(value);
        let result = self.advance();
        if result.is_err() {
            self.answers.pop();
        }
        self.check_invariants();
        result
    }

    /// Takes the plan to carry it out; [`Session::finish`] says how that went.
    pub fn take_plan(&mut self) -> Option<Plan> {
        match std::mem::replace(&mut self.state, State::Applying) {
            State::Ready(plan) => Some(*plan),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Ends the run after its plan was carried out, or was not.
    pub fn finish(&mut self, result: Result<(), String>) {
        if matches!(self.state, State::Applying) {
            self.state = State::Ended(match result {
                Ok(()) => End::Done,
                Err(why) => End::Failed(why),
            });
        }
    }

    /// Ends the run for this reason, unless it ended before or its plan is being carried out.
    pub fn end(&mut self, end: End) {
        if self.is_running() && !matches!(self.state, State::Applying) {
            self.state = State::Ended(end);
        }
    }

    /// Runs the questions on all answers so far.
    fn advance(&mut self) -> Result<(), String> {
        let state = match flow::run(&self.facts, &self.request, &mut Asker::new(&self.answers)) {
            Ok(plan) => State::Ready(Box::new(plan)),
            Err(stop) => match *stop {
                Stop::Ask(step) => State::Asking { id: uuid(&*self.rng), step },
                Stop::Cancelled(why) => State::Ended(End::Cancelled(why)),
                Stop::Failed(why) => State::Ended(End::Failed(why)),
                Stop::Rejected(why) => return Err(why),
            },
        };
        self.state = state;
        Ok(())
    }

    fn check_invariants(&self) {
        debug_assert!(self.answers.len() <= ANSWERS_MAX, "bounded");
        if let State::Asking { step, .. } = &self.state {
            debug_assert_eq!(step.kind == Kind::Select, !step.options.is_empty(), "only a select has options");
        }
    }
}
