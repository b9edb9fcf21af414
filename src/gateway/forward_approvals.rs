//! Commands that wait for a person are told to chats, too (`approvals.exec`, agent.md §23).
//!
//! Owns who was told of what, until it is decided. Any worker; asking is a job. One leaf lock, and one for each request. Not here: deciding (`exec_approvals`, and the
//! command `/approve`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use regex_lite::RegexBuilder;
use serde_json::Value;

use super::ctx::Ctx;
use super::exec_approvals::{Question, Term};
use super::targets::{self, Aim};
use crate::base::ids::SessionKey;
use crate::base::route::Route;
use crate::channels::reply::{Reply, ReplyKind};

/// Chats of one request.
const TARGETS_MAX: usize = 20;
/// Requests whose end is told; as many as may wait.
const TOLD_MAX: usize = 1000;
/// Characters of a command.
const COMMAND_CHARS_MAX: usize = 1500;

/// Who was told of which request.
#[derive(Debug, Default)]
pub struct Told(Mutex<HashMap<String, Arc<Telling>>>);

/// Those who are told of one request.
#[derive(Debug)]
struct Telling {
    routes: Vec<Route>,
    /// Whether it is decided; held while one of them is asked, so that nobody is asked what is decided.
    is_over: Mutex<bool>,
}

/// Tells those who are to hear of a request.
pub fn asked(cx: &Arc<Ctx>, id: &str, question: &Question, term: Term) {
    let config = cx.config.get();
    let settings = &config.tree["approvals"]["exec"];
    if settings["enabled"] != true || !concerns(settings, question) {
        return;
    }
    let routes = routes(cx, settings, question);
    if routes.is_empty() {
        return;
    }
    let seconds = term.expires_at_ms.saturating_sub(term.created_at_ms) / 1000;
    let known = [("cwd", &question.cwd), ("host", &question.host), ("agent", &question.agent_id)];
    let rows = known.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", value.as_ref()?)));
    let rows: Vec<String> = rows.collect();
    let command = crate::base::text::ellipsize(&question.command, COMMAND_CHARS_MAX);
    let text = format!(
        "🔒 A command waits for approval\n```\n{command}\n```\n{}\nid: {id}\nexpires in {seconds}s\n\nReply with: /approve {id} allow-once|allow-always|deny",
        rows.join("\n"),
    );
    let telling = Arc::new(Telling { routes, is_over: Mutex::new(false) });
    {
        // Before anybody is asked: who decides at once must find those who are.
        let mut told = cx.approvals_told.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD_MAX {
            told.insert(id.to_owned(), telling.clone());
        }
    }
    let (job_cx, id, session) = (cx.clone(), id.to_owned(), question.session_key.clone());
    // Each of them is a write to the disk; whoever asks waits for none.
    let submitted = cx.jobs.submit(vec!["side".to_owned()], move || {
        for route in &telling.routes {
            let is_over = telling.is_over.lock().unwrap_or_else(PoisonError::into_inner);
            if *is_over {
                return;
            }
            say(&job_cx, &id, "asked", route, session.as_deref(), &text);
        }
    });
    if let Err(error) = submitted {
        log::warn!(target: "gateway/channels", "chats are not told of a command that waits: {error}");
    }
}

/// Tells those who heard of a request how it ended.
pub fn ended(cx: &Arc<Ctx>, id: &str, how: &str) {
    let telling = cx.approvals_told.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    let Some(telling) = telling else { return };
    *telling.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
    for route in &telling.routes {
        say(cx, id, "ended", route, None, &format!("🔒 Approval {id}: {how}"));
    }
}

fn say(cx: &Arc<Ctx>, id: &str, what: &str, route: &Route, session: Option<&str>, text: &str) {
    let key = session.map_or_else(|| cx.main_session(), SessionKey::new);
    let reply = Reply { text: text.to_owned(), kind: ReplyKind::Notice, ..Reply::default() };
    let id = format!("approval:{id}:{what}:{}:{}:{}", route.channel, route.account, route.to);
    if let Err(error) = targets::deliver(cx, &id, route, &key, vec![reply]) {
        log::warn!(target: "gateway/channels", "{} is not told of a command that waits: {error}", route.channel);
    }
}

/// Returns whether a request passes the filters.
fn concerns(settings: &Value, question: &Question) -> bool {
    let list = |key: &str| settings[key].as_array().filter(|list| !list.is_empty());
    let agent = question.agent_id.as_deref().unwrap_or_default();
    let session = question.session_key.as_deref().unwrap_or_default();
    let is_agent = list("agentFilter").is_none_or(|list| list.iter().any(|it| it == agent));
    let matches = |pattern: &str| {
        session.contains(pattern) || RegexBuilder::new(pattern).build().is_ok_and(|regex| regex.is_match(session))
    };
    is_agent && list("sessionFilter").is_none_or(|list| list.iter().filter_map(Value::as_str).any(matches))
}

fn routes(cx: &Ctx, settings: &Value, question: &Question) -> Vec<Route> {
    let mode = settings["mode"].as_str().unwrap_or("session");
    let mut routes: Vec<Route> = Vec::new();
    let mut add = |route: Result<Route, String>| match route {
        Ok(route) if routes.len() < TARGETS_MAX && !routes.iter().any(|it| it.leads_where(&route)) => {
            routes.push(route)
        }
        Ok(_) => {}
        Err(error) => log::warn!(target: "gateway/channels", "a command that waits is not told somewhere: {error}"),
    };
    if matches!(mode, "session" | "both")
        && let Some(key) = question.session_key.as_deref().map(SessionKey::new)
        && cx.sessions.entry(&key).is_some_and(|entry| entry.last_to.is_some() || entry.delivery_context.is_some())
    {
        add(targets::resolve(cx, &key, &Aim::default()));
    }
    if matches!(mode, "targets" | "both") {
        for target in settings["targets"].as_array().into_iter().flatten() {
            let thread = target["threadId"]
                .as_str()
                .map(str::to_owned)
                .or_else(|| Some(target["threadId"].as_i64()?.to_string()));
            let aim = Aim {
                channel: target["channel"].as_str(),
                to: target["to"].as_str(),
                account: target["accountId"].as_str(),
                thread: thread.as_deref(),
            };
            add(targets::resolve(cx, &cx.main_session(), &aim));
        }
    }
    routes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn filters() {
        let question = Question {
            command: "ls".into(),
            cwd: None,
            host: None,
            security: None,
            ask: None,
            agent_id: Some("main".into()),
            resolved_path: None,
            session_key: Some("agent:main:telegram:group:-1".into()),
        };
        for (settings, expected) in [
            (json!({}), true),
            (json!({"agentFilter": ["ops"]}), false),
            (json!({"agentFilter": ["main"], "sessionFilter": [":telegram:"]}), true),
            (json!({"sessionFilter": ["^agent:.*:group:-\\d+$"]}), true),
            (json!({"sessionFilter": ["whatsapp", "("]}), false),
        ] {
            assert_eq!(concerns(&settings, &question), expected, "{settings}");
        }
    }
}
