//! Asking people about commands: events, deadline, answer (protocol.md §5.10).
//!
//! Runs on any worker or job. The requests themselves are kept by [`crate::approvals::requests`]; whether one must be asked
//! at all is decided by whoever runs the command.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::ctx::Ctx;
use super::work::Due;
use super::{events, forward_approvals};
use crate::approvals::policy::Decision;
use crate::approvals::requests::{Answer, Answered, AskError};
use crate::base::clock::UnixMs;
use crate::base::ids::ConnId;
use crate::base::pending::PendingId;

/// How long a request waits unless it says otherwise.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(120);
/// How long it waits at most.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What is asked; `null` where it is not known.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// The command line.
    pub command: String,
    /// Where it would run.
    pub cwd: Option<String>,
    /// On which host.
    pub host: Option<String>,
    /// The policy that asks.
    pub security: Option<String>,
    /// When it asks.
    pub ask: Option<String>,
    /// Whose command it is.
    pub agent_id: Option<String>,
    /// The program it would start.
    pub resolved_path: Option<String>,
    /// The conversation it comes from.
    pub session_key: Option<String>,
}

/// When a request began and when it ends.
#[derive(Debug, Clone, Copy)]
pub struct Term {
    /// When it was asked.
    pub created_at_ms: UnixMs,
    /// When nobody is waited for any longer.
    pub expires_at_ms: UnixMs,
}

impl Term {
    /// Returns the term of a request that begins now.
    pub fn starting(now_ms: UnixMs, timeout: Duration) -> Self {
        let timeout_ms = UnixMs::try_from(timeout.as_millis()).unwrap_or(UnixMs::MAX);
        Self { created_at_ms: now_ms, expires_at_ms: now_ms.saturating_add(timeout_ms) }
    }
}

/// Asks everybody who may approve; `answer` hears how it ends. `origin` is the connection that asks, if any.
///
/// # Errors
/// [`AskError`] when it does not wait; `answer` has heard so too.
pub fn ask(
    cx: &Arc<Ctx>,
    id: &str,
    question: &Question,
    term: Term,
    origin: Option<ConnId>,
    answer: Answer,
) -> Result<(), AskError> {
    let timeout = Duration::from_millis(term.expires_at_ms.saturating_sub(term.created_at_ms)).min(TIMEOUT_MAX);
    let waiting = cx.exec_requests.ask(id, cx.clock.now() + timeout, origin, answer)?;
    let payload = json!({
        "id": id, "request": question, "createdAtMs": term.created_at_ms, "expiresAtMs": term.expires_at_ms,
    });
    events::broadcast(&cx.net, events::EXEC_APPROVAL_REQUESTED, &payload, None);
    forward_approvals::asked(cx, id, question, term);
    cx.timer.arm(timeout, Due::ExecApproval(waiting));
    Ok(())
}

/// Carries somebody's decision out; false when no such request waits.
pub fn decide(cx: &Arc<Ctx>, id: &str, decision: Decision, by: Option<&str>) -> bool {
    let Some(answer) = cx.exec_requests.decide(id) else { return false };
    log::info!(
        target: "gateway",
        "exec approval {id}: {} by {}", decision.as_str(), by.unwrap_or("unknown"),
    );
    // Everybody hears of it before the one who asked goes on.
    resolved(cx, id, decision, by);
    answer(Answered::Decided(decision));
    true
}

/// Ends a request that nobody decided; not an event, because the clients know the term.
pub fn expire(cx: &Arc<Ctx>, waiting: &PendingId<String>) {
    if let Some(answer) = cx.exec_requests.expire(waiting) {
        forward_approvals::ended(cx, waiting.key(), "it expired before anybody decided");
        answer(Answered::TimedOut);
    }
}

/// Withdraws what a connection asked that is gone: nobody is there to run it, and its id is free again.
pub fn withdraw(cx: &Arc<Ctx>, origin: ConnId) {
    for id in cx.exec_requests.abandon(origin) {
        log::info!(target: "gateway", "exec approval {id}: withdrawn, its client is gone");
        resolved(cx, &id, Decision::Deny, None);
    }
}

fn resolved(cx: &Arc<Ctx>, id: &str, decision: Decision, by: Option<&str>) {
    let mut payload = json!({"id": id, "decision": decision.as_str()});
    if let Some(by) = by {
        payload["resolvedBy"] = by.into();
    }
    payload["ts"] = cx.clock.now_ms().into();
    events::broadcast(&cx.net, events::EXEC_APPROVAL_RESOLVED, &payload, None);
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    forward_approvals::ended(cx, id, &format!("{}{by}", decision.as_str()));
}
