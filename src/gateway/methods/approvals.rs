//! exec.approval.*, exec.approvals.*.
//!
//! The policy file's handlers run on the lane `approvals`, one at a time and off the frame workers.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Method, methods};
use crate::approvals::policy::Decision;
use crate::approvals::requests::{Answered, AskError};
use crate::approvals::store::{ReplaceError, Snapshot};
use crate::base::rng::uuid;
use crate::base::text::unless_blank;
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::exec_approvals::{self, Question, Term};
use crate::protocol::approvals::{
    ExecApprovalRequestParams, ExecApprovalResolveParams, ExecApprovalsGetParams, ExecApprovalsSetParams,
};
use crate::protocol::error::ErrorShape;

pub(super) const METHODS: &[Method] = methods! {
    "exec.approvals.get" Admin ExecApprovalsGetParams get on approvals;
    "exec.approvals.set" Admin ExecApprovalsSetParams set on approvals;
    "exec.approval.request" Approvals ExecApprovalRequestParams request;
    "exec.approval.resolve" Approvals ExecApprovalResolveParams resolve;
};

fn get(cx: &Arc<Ctx>, _call: &Call, _params: ExecApprovalsGetParams) -> Result<Reply, ErrorShape> {
    cx.exec_policy.load_complete(&*cx.rng).map(|snapshot| Reply::Now(shown(&snapshot))).map_err(ErrorShape::exception)
}

fn set(cx: &Arc<Ctx>, call: &Call, params: ExecApprovalsSetParams) -> Result<Reply, ErrorShape> {
    let base_hash = params.base_hash.as_deref();
    let replaced = cx.exec_policy.replace(params.file, base_hash, cx.clock.now_ms(), &*cx.rng);
    let again = "re-run exec.approvals.get and retry";
    let snapshot = replaced.map_err(|error| match error {
        ReplaceError::BaseHashMissing => ErrorShape::invalid(format!("exec approvals base hash required; {again}")),
        ReplaceError::Changed => ErrorShape::invalid(format!("exec approvals changed since last load; {again}")),
        ReplaceError::Invalid(why) => {
            ErrorShape::invalid(format!("invalid exec.approvals.set params: at /file: {why}"))
        }
        ReplaceError::Io(error) => ErrorShape::exception(format!("write {}: {error}", cx.exec_policy.path().display())),
    })?;
    log::info!(target: "gateway", "exec approvals replaced by {}", call.client.id);
    Ok(Reply::Now(shown(&snapshot)))
}

fn shown(snapshot: &Snapshot) -> Value {
    json!({
        "path": snapshot.path, "exists": snapshot.exists, "hash": snapshot.hash, "file": snapshot.file.shown(),
    })
}

fn request(cx: &Arc<Ctx>, call: &Call, params: ExecApprovalRequestParams) -> Result<Reply, ErrorShape> {
    let given = params.id.as_deref().and_then(unless_blank);
    let id = given.map_or_else(|| uuid(&*cx.rng), str::to_owned);
    let question = Question {
        command: params.command.0,
        cwd: params.cwd,
        host: params.host,
        security: params.security,
        ask: params.ask,
        agent_id: params.agent_id,
        resolved_path: params.resolved_path,
        session_key: params.session_key,
    };
    let timeout = params.timeout_ms.map_or(exec_approvals::TIMEOUT_DEFAULT, Duration::from_millis);
    let term = Term::starting(cx.clock.now_ms(), timeout.min(exec_approvals::TIMEOUT_MAX));
    let ticket = call.ticket(cx);
    let answer_id = id.clone();
    let answer = Box::new(move |answered| ticket.finish(answer(&answer_id, term, answered)));
    // A refused request has heard so.
    let _ = exec_approvals::ask(cx, &id, &question, term, Some(call.conn), answer);
    Ok(Reply::Later)
}

fn answer(id: &str, term: Term, answered: Answered) -> Result<Value, ErrorShape> {
    let decision = match answered {
        Answered::Decided(decision) => Some(decision.as_str()),
        Answered::TimedOut => None,
        Answered::Refused(AskError::IdTaken) => return Err(ErrorShape::invalid("approval id already pending")),
        Answered::Refused(AskError::Full) => {
            return Err(ErrorShape::busy("too many commands wait for approval: decide some of them, then try again"));
        }
    };
    Ok(json!({
        "id": id, "decision": decision, "createdAtMs": term.created_at_ms, "expiresAtMs": term.expires_at_ms,
    }))
}

fn resolve(cx: &Arc<Ctx>, call: &Call, params: ExecApprovalResolveParams) -> Result<Reply, ErrorShape> {
    let decision = Decision::parse(&params.decision).ok_or_else(|| ErrorShape::invalid("invalid decision"))?;
    let by = call.client.display_name.as_deref().unwrap_or(&call.client.id);
    if exec_approvals::decide(cx, &params.id, decision, Some(by)) {
        Ok(Reply::Now(json!({"ok": true})))
    } else {
        Err(ErrorShape::invalid("unknown approval id"))
    }
}
