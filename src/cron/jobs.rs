//! Making and changing one job, and the rules it must keep. Pure.

use serde_json::Map;

use crate::base::clock::UnixMs;
use crate::protocol::cron::{
    CronAddParams, CronJob, CronJobPatch, CronJobState, CronPayload, CronPayloadPatch, CronSessionTarget, CronTurn,
    Other,
};

/// Why something was not done, in the words of the wire, error class included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

impl Refused {
    /// A broken rule.
    pub fn rule(text: impl std::fmt::Display) -> Self {
        Self(format!("Error: {text}"))
    }

    /// There is no such job.
    pub fn unknown(id: &str) -> Self {
        Self::rule(format_args!("unknown cron job id: {id}"))
    }
}

/// Returns the job that is asked for; when it runs is not decided yet.
///
/// # Errors
/// A blank name, or a payload that is not the session's.
pub fn create(params: CronAddParams, id: String, now_ms: UnixMs) -> Result<CronJob, Refused> {
    let job = CronJob {
        id,
        agent_id: params.agent_id,
        name: name(&params.name)?,
        description: params.description.and_then(|text| not_blank(&text)),
        enabled: params.enabled != Some(false),
        delete_after_run: params.delete_after_run,
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
        schedule: params.schedule,
        session_target: params.session_target,
        wake_mode: params.wake_mode,
        payload: params.payload,
        isolation: params.isolation,
        state: CronJobState::default(),
        other: Other::new(),
    };
    check(&job)?;
    Ok(job)
}

/// Changes a job; when it runs next is not decided here.
///
/// # Errors
/// As [`create`], and a payload of another kind without its text. The job may then be half changed.
pub fn patch(job: &mut CronJob, patch: CronJobPatch) -> Result<(), Refused> {
    let CronJobPatch { agent_id, delete_after_run, isolation, state, .. } = patch;
    if let Some(given) = patch.name {
        job.name = name(&given)?;
    }
    if let Some(given) = patch.description {
        job.description = not_blank(&given);
    }
    if let Some(given) = patch.payload {
        change_payload(&mut job.payload, given)?;
    }
    if let Some(state) = state {
        change_state(&mut job.state, state);
    }
    job.agent_id = agent_id.unwrap_or_else(|| job.agent_id.take());
    job.enabled = patch.enabled.unwrap_or(job.enabled);
    job.session_target = patch.session_target.unwrap_or(job.session_target);
    job.wake_mode = patch.wake_mode.unwrap_or(job.wake_mode);
    job.delete_after_run = delete_after_run.or(job.delete_after_run);
    job.isolation = isolation.or_else(|| job.isolation.take());
    if let Some(schedule) = patch.schedule {
        job.schedule = schedule;
    }
    check(job)
}

fn check(job: &CronJob) -> Result<(), Refused> {
    match (job.session_target, &job.payload) {
        (CronSessionTarget::Main, CronPayload::AgentTurn { .. }) => {
            Err(Refused::rule(r#"main cron jobs require payload.kind="systemEvent""#))
        }
        (CronSessionTarget::Isolated, CronPayload::SystemEvent { .. }) => {
            Err(Refused::rule(r#"isolated cron jobs require payload.kind="agentTurn""#))
        }
        _ => Ok(()),
    }
}

fn name(given: &str) -> Result<String, Refused> {
    not_blank(given).ok_or_else(|| Refused::rule("cron job name is required"))
}

fn not_blank(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Fields are merged into a payload of the same kind; another kind begins anew.
fn change_payload(payload: &mut CronPayload, patch: CronPayloadPatch) -> Result<(), Refused> {
    match (&mut *payload, patch) {
        (CronPayload::SystemEvent { text, .. }, CronPayloadPatch::SystemEvent { text: given }) => {
            if let Some(given) = given {
                *text = given;
            }
        }
        (CronPayload::AgentTurn { message, turn, .. }, CronPayloadPatch::AgentTurn { message: given, turn: more }) => {
            if let Some(given) = given {
                *message = given;
            }
            let old = std::mem::take(turn);
            *turn = CronTurn {
                model: more.model.or(old.model),
                thinking: more.thinking.or(old.thinking),
                timeout_seconds: more.timeout_seconds.or(old.timeout_seconds),
                deliver: more.deliver.or(old.deliver),
                channel: more.channel.or(old.channel),
                to: more.to.or(old.to),
                best_effort_deliver: more.best_effort_deliver.or(old.best_effort_deliver),
            };
        }
        (_, CronPayloadPatch::SystemEvent { text }) => {
            let text = text.ok_or_else(|| Refused::rule(r#"cron.update payload.kind="systemEvent" requires text"#))?;
            *payload = CronPayload::SystemEvent { text, other: Map::new() };
        }
        (_, CronPayloadPatch::AgentTurn { message, turn }) => {
            let message =
                message.ok_or_else(|| Refused::rule(r#"cron.update payload.kind="agentTurn" requires message"#))?;
            *payload = CronPayload::AgentTurn { message, turn, other: Map::new() };
        }
    }
    Ok(())
}

fn change_state(state: &mut CronJobState, patch: CronJobState) {
    let old = std::mem::take(state);
    *state = CronJobState {
        next_run_at_ms: patch.next_run_at_ms.or(old.next_run_at_ms),
        running_at_ms: patch.running_at_ms.or(old.running_at_ms),
        last_run_at_ms: patch.last_run_at_ms.or(old.last_run_at_ms),
        last_status: patch.last_status.or(old.last_status),
        last_error: patch.last_error.or(old.last_error),
        last_duration_ms: patch.last_duration_ms.or(old.last_duration_ms),
        failures: old.failures,
        other: old.other,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn job() -> CronJob {
        let params = json!({"name": " j ", "description": " ", "schedule": {"kind": "every", "everyMs": 60000},
            "sessionTarget": "isolated", "wakeMode": "now",
            "payload": {"kind": "agentTurn", "message": "m", "model": "a/b", "to": "x"}});
        create(serde_json::from_value(params).expect("parameters"), "id".to_owned(), 5).expect("a job")
    }

    fn check(change: Value, pointer: &str, expected: Value) {
        let mut job = job();
        let result = patch(&mut job, serde_json::from_value(change.clone()).expect("a patch"));
        let found = match result {
            Ok(()) => json!(job).pointer(pointer).cloned().unwrap_or(Value::Null),
            Err(Refused(text)) => text.into(),
        };
        assert_eq!(found, expected, "{change}");
    }

    #[test]
    fn new_jobs() {
        let job = job();
        assert_eq!((job.name.as_str(), &job.description, job.enabled), ("j", &None, true));
        let stored = json!(job);
        let again: CronJob = serde_json::from_value(stored.clone()).expect("a job");
        assert_eq!((again, stored["payload"]["model"].as_str()), (job, Some("a/b")));
    }

    #[test]
    fn unknown_fields_survive() {
        let mut stored = json!(job());
        for pointer in ["", "/schedule", "/payload", "/state"] {
            stored.pointer_mut(pointer).expect("there")["new"] = json!({"a": [1]});
        }
        let again: CronJob = serde_json::from_value(stored.clone()).expect("a job");
        assert_eq!(json!(again), stored);
    }

    #[test]
    fn changes() {
        check(json!({"name": " n "}), "/name", json!("n"));
        check(json!({"name": "  "}), "", json!("Error: cron job name is required"));
        check(json!({"agentId": "ops"}), "/agentId", json!("ops"));
        check(json!({"agentId": null}), "/agentId", Value::Null);
        check(json!({"enabled": false}), "/enabled", json!(false));
        check(json!({"state": {"lastStatus": "ok"}}), "/state/lastStatus", json!("ok"));
        check(json!({"payload": {"kind": "agentTurn", "thinking": "low"}}), "/payload/model", json!("a/b"));
        check(json!({"payload": {"kind": "agentTurn", "deliver": false}}), "/payload/deliver", json!(false));
        check(json!({"schedule": {"kind": "at", "atMs": 9}}), "/schedule", json!({"kind": "at", "atMs": 9}));
        check(
            json!({"payload": {"kind": "systemEvent"}}),
            "",
            json!("Error: cron.update payload.kind=\"systemEvent\" requires text"),
        );
        check(
            json!({"payload": {"kind": "systemEvent", "text": "t"}}),
            "",
            json!("Error: isolated cron jobs require payload.kind=\"agentTurn\""),
        );
        check(
            json!({"sessionTarget": "main"}),
            "",
            json!("Error: main cron jobs require payload.kind=\"systemEvent\""),
        );
        check(
            json!({"sessionTarget": "main", "payload": {"kind": "systemEvent", "text": "t"}}),
            "/payload",
            json!({"kind": "systemEvent", "text": "t"}),
        );
    }
}
