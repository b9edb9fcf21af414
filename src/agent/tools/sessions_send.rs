//! `sessions_send`: a message into another session, and its answer.

use std::time::Duration;

use serde_json::{Value, json};

use super::arguments::Arguments;
use super::sessions::{messages, refusal, refusal_between, resolve, shown, text_of};
use super::{Tool, ToolContext, ToolResult, always};
use crate::agent::session;
use crate::agent::talk::{self, Step, Talk};
use crate::base::rng::uuid;

/// How long the answer is waited for when the model says nothing.
const TIMEOUT_SECONDS_DEFAULT: f64 = 30.0;
/// The longest wait.
const TIMEOUT_SECONDS_MAX: f64 = 3600.0;
/// Messages that are looked through for the answer.
const ANSWER_MESSAGES: usize = 50;

pub(super) const TOOL: Tool = Tool {
    name: "sessions_send",
    description: "Send a message into another session (by sessionKey or label) and wait for its answer; with timeoutSeconds 0 \
                  only send it. The two sessions may go on talking afterwards.",
    parameters: &[
        ("sessionKey", "string", "Key from sessions_list"),
        ("label", "string", "Label of the session, instead of its key"),
        ("agentId", "string", "Whose session the label means"),
        ("message", "string*", "What to say"),
        ("timeoutSeconds", "number", "How long to wait, default 30"),
    ],
    is_local: false,
    is_wanted: always,
    run,
};

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let message = args.required("message")?;
    let run = uuid(&**cx.rng);
    let answer = |status: &str, more: Value| {
        let mut answer = json!({"runId": run, "status": status});
        let more = more.as_object().cloned().unwrap_or_default();
        answer.as_object_mut().into_iter().for_each(|answer| answer.extend(more.clone()));
        Ok(ToolResult::json(answer))
    };
    let given = match (args.text("sessionKey"), args.text("label")) {
        (Some(_), Some(_)) => {
            return answer("error", json!({"error": "Provide either sessionKey or label (not both)."}));
        }
        (None, None) => return answer("error", json!({"error": "Either sessionKey or label is required"})),
        (Some(key), None) => key.to_owned(),
        (None, Some(label)) => {
            let agent = args.text("agentId").map(session::normalize_agent_id);
            if let Some(error) = agent.as_ref().and_then(|agent| refusal_between(cx, agent, "messaging")) {
                return answer("forbidden", json!({"error": error}));
            }
            let params = json!({"label": label, "agentId": agent.as_ref().unwrap_or(cx.agent).as_str()});
            match cx.call("sessions.resolve", params) {
                Ok(found) => found["key"].as_str().unwrap_or_default().to_owned(),
                Err(error) => return answer("error", json!({"error": error})),
            }
        }
    };
    let key = match resolve(cx, &given) {
        Ok(key) => key,
        Err(error) => return answer("error", json!({"error": error})),
    };
    let name = shown(cx, &key);
    if let Some(error) = refusal(cx, &key, "messaging") {
        return answer("forbidden", json!({"error": error, "sessionKey": name}));
    }
    let seconds = args.number("timeoutSeconds").unwrap_or(TIMEOUT_SECONDS_DEFAULT).clamp(0.0, TIMEOUT_SECONDS_MAX);
    if key == *cx.session && seconds > 0.0 {
        let error = "this is the session at hand: its answer would wait for the run that waits for it";
        return answer("error", json!({"error": error, "sessionKey": name}));
    }
    let talk = Talk {
        requester: cx.session.clone(),
        requester_channel: cx.channel.to_owned(),
        target: key.clone(),
        target_name: name.clone(),
        message: message.to_owned(),
        turns_max: talk::turns_max(cx.config),
        step: Step::Opening,
        first: None,
        latest: None,
    };
    let delivery = json!({"status": "pending", "mode": "announce"});
    if let Err(error) = cx.host.talk(&run, talk) {
        return answer("error", json!({"error": error, "sessionKey": name}));
    }
    if seconds == 0.0 {
        return answer("accepted", json!({"sessionKey": name, "delivery": delivery}));
    }
    let limit = Duration::from_secs_f64(seconds);
    let wait = json!({"runId": run, "timeoutMs": u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)});
    let ended = match cx.host.call("agent.wait", wait, limit + Duration::from_secs(2), cx.cancel) {
        Ok(ended) => ended,
        Err(error) => return answer("error", json!({"error": error, "sessionKey": name, "delivery": delivery})),
    };
    match ended["status"].as_str() {
        Some("ok") => {
            let all = messages(cx, &key, Some(ANSWER_MESSAGES), false)?;
            let reply = answer_to(&all, message);
            answer("ok", json!({"reply": reply, "sessionKey": name, "delivery": delivery}))
        }
        Some("timeout") => answer("timeout", json!({"sessionKey": name, "delivery": delivery})),
        _ => {
            let error = ended["error"].as_str().unwrap_or("agent error");
            answer("error", json!({"error": error, "sessionKey": name, "delivery": delivery}))
        }
    }
}

/// Returns what was answered to a message. The conversation may have gone on since.
fn answer_to(messages: &[Value], message: &str) -> Option<String> {
    let is_it = |it: &Value| it["role"] == "user" && text_of(it).contains(message);
    let behind = messages.iter().rposition(is_it).map_or(0, |at| at + 1);
    let answer = messages[behind..].iter().take_while(|it| it["role"] != "user");
    answer.filter(|it| it["role"] == "assistant").last().map(text_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_what_follows_the_message() {
        let said = |role: &str, text: &str| json!({"role": role, "content": text});
        let messages = [
            said("user", "ping"),
            said("assistant", "old"),
            said("user", "ping"),
            said("assistant", "let me see"),
            said("assistant", "pong"),
            said("user", "Agent-to-agent announce step."),
            said("assistant", "ANNOUNCE_SKIP"),
        ];
        assert_eq!(answer_to(&messages, "ping").as_deref(), Some("pong"));
        assert_eq!(answer_to(&messages[..1], "ping"), None);
    }
}
