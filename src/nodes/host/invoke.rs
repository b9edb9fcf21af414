//! Commands that the gateway asks for: each on a thread of its own, each answered exactly once.
//!
//! Owns the threads `invoke-N`, at most [`INVOKES_MAX`] at a time; one more is refused at once. The connection's thread
//! starts them and does nothing else here. Not here: what running a command means ([`super::run`]).

use std::sync::Arc;

use serde_json::{Value, json};

use super::command::{Refusal, Shared};
use super::outgoing::Outgoing;
use super::skill_bins::SkillBins;
use super::{approvals_file, run, which};
use crate::approvals::store::PolicyStore;
use crate::base::cancel::CancelToken;
use crate::base::text::unless_blank;
use crate::base::thread::{self, Joiner, STACK_WORKER_BYTES};
use crate::client::link::Post;
use crate::config::paths::Paths;

/// Commands that may be under way at a time.
pub(super) const INVOKES_MAX: usize = 16;

type Handler = fn(&Shared, &str) -> Result<Value, Refusal>;

/// Every command, in the order in which they are offered.
const COMMANDS: &[(&str, Handler)] = &[
    ("system.run", run::run),
    ("system.which", which::which),
    ("system.execApprovals.get", approvals_file::get),
    ("system.execApprovals.set", approvals_file::set),
];

/// Returns the names of the commands.
pub(super) fn names() -> Vec<&'static str> {
    COMMANDS.iter().map(|(name, _)| *name).collect()
}

/// See the module.
pub(super) struct Invokes {
    shared: Arc<Shared>,
    running: Vec<Joiner>,
    next: u64,
}

impl Invokes {
    pub(super) fn new(paths: Paths, path_env: String, post: Post<Outgoing>, stop: CancelToken) -> Self {
        let policy = PolicyStore::new(paths.exec_approvals_file());
        let shared = Shared { paths, path_env, post, stop, skill_bins: SkillBins::default(), policy };
        Self { shared: Arc::new(shared), running: Vec::new(), next: 0 }
    }

    /// Starts what a `node.invoke.request` asks for; returns the parameters of an answer when it cannot be started.
    pub(super) fn start(&mut self, payload: &Value, epoch: u64) -> Option<Value> {
        let request = Request::read(payload)?;
        self.running.retain(|thread| !thread.is_finished());
        if self.running.len() >= INVOKES_MAX {
            let message = format!("node is busy: {INVOKES_MAX} commands are running; try again when one has ended");
            return Some(request.answer(Err(Refusal::unavailable(message))));
        }
        self.next += 1;
        let refused = request.clone();
        let shared = self.shared.clone();
        // Five digits keep the name within what the system shows.
        let name = format!("invoke-{}", self.next % 100_000);
        let started = thread::spawn(&name, STACK_WORKER_BYTES, move || {
            let mut pending = Pending { request, epoch, shared: &shared, is_answered: false };
            let result = pending.request.carry_out(&shared);
            pending.answer(result);
        });
        match started {
            Ok(thread) => {
                self.running.push(thread);
                None
            }
            Err(error) => {
                Some(refused.answer(Err(Refusal::unavailable(format!("no thread for the command: {error}")))))
            }
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
struct Request {
    id: String,
    node_id: String,
    command: String,
    params: Option<String>,
}

impl Request {
    /// Reads an event's payload; one without id, node or command cannot even be answered.
    fn read(payload: &Value) -> Option<Self> {
        let text = |key: &str| payload[key].as_str().and_then(unless_blank).map(str::to_owned);
        let params = match (&payload["paramsJSON"], &payload["params"]) {
            (Value::String(json), _) => Some(json.clone()),
            (_, Value::Null) => None,
            (_, params) => Some(params.to_string()),
        };
        Some(Self { id: text("id")?, node_id: text("nodeId")?, command: text("command")?, params })
    }

    fn carry_out(&self, shared: &Shared) -> Result<Value, Refusal> {
        let handler = COMMANDS.iter().find(|(name, _)| *name == self.command).map(|(_, handler)| handler);
        let handler = handler.ok_or_else(|| Refusal::unavailable("command not supported"))?;
        handler(shared, self.params.as_deref().unwrap_or_default())
    }

    /// Returns the parameters of `node.invoke.result`.
    fn answer(&self, result: Result<Value, Refusal>) -> Value {
        let mut params = json!({"id": self.id, "nodeId": self.node_id, "ok": result.is_ok()});
        match result {
            Ok(payload) => params["payloadJSON"] = payload.to_string().into(),
            Err(Refusal { code, message }) => params["error"] = json!({"code": code, "message": message}),
        }
        params
    }
}

/// A request whose answer is due; a panic answers it, too.
struct Pending<'a> {
    request: Request,
    epoch: u64,
    shared: &'a Shared,
    is_answered: bool,
}

impl Pending<'_> {
    fn answer(&mut self, result: Result<Value, Refusal>) {
        self.is_answered = true;
        self.shared.post.send(Outgoing::Result { epoch: self.epoch, params: self.request.answer(result) });
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.answer(Err(Refusal::unavailable("the command failed in the node host; see its log")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_and_answered_in_the_wire_s_form() {
        let read = |payload: Value| Request::read(&payload);
        let request = read(json!({"id": " i ", "nodeId": "n", "command": "c", "paramsJSON": "{}", "params": 1}));
        let request = request.expect("complete");
        assert_eq!((request.id.as_str(), request.params.as_deref()), ("i", Some("{}")));
        assert_eq!(
            read(json!({"id": "i", "nodeId": "n", "command": "c", "params": {"a": 1}}))
                .and_then(|it| it.params)
                .as_deref(),
            Some("{\"a\":1}")
        );
        for payload in [json!({}), json!({"id": "", "nodeId": "n", "command": "c"}), json!({"id": "i", "nodeId": 1})] {
            assert!(read(payload.clone()).is_none(), "{payload}");
        }
        assert_eq!(
            request.answer(Ok(json!({"a": 1}))),
            json!({"id": "i", "nodeId": "n", "ok": true, "payloadJSON": "{\"a\":1}"})
        );
        assert_eq!(
            request.answer(Err(Refusal::invalid("why"))),
            json!({"id": "i", "nodeId": "n", "ok": false, "error": {"code": "INVALID_REQUEST", "message": "why"}})
        );
    }
}
