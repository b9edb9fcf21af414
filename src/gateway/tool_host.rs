//! The gateway as tools see it: its methods, lines for prompts, sub-agents, a restart.
//!
//! A call goes through the same dispatcher as a client's, with the rights of an operator of this machine, on the thread of
//! the run that makes it; what a handler answers later is waited for there. Not here: the tools (`agent::tools`).

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use serde_json::{Value, json};

use super::chats;
use super::client::{Client, Role, scope};
use super::ctx::Ctx;
use super::lifecycle::Planned;
use super::methods::skills;
use super::ticket::Outcome;
use super::{dispatch, heartbeat, sentinel, subagents, talks};
use crate::agent::session;
use crate::agent::talk::Talk;
use crate::agent::tools::{Briefing, Host, Subagent};
use crate::base::cancel::{CancelToken, SLICE};
use crate::base::ids::{AgentId, SessionKey};
use crate::base::route::Route;

/// What the gateway says when it is no longer there.
const STOPPING: &str = "the gateway is stopping";

/// Who calls: an operator with every right, of this process.
static CLIENT: LazyLock<Arc<Client>> = LazyLock::new(|| {
    Arc::new(Client {
        conn_id: "agent".to_owned(),
        id: "gateway-client".to_owned(),
        role: Role::Operator,
        scopes: scope::ADMIN | scope::READ | scope::WRITE | scope::APPROVALS | scope::PAIRING,
        mode: "backend".to_owned(),
        display_name: Some("agent".to_owned()),
        device_id: None,
        presence_key: None,
    })
});

/// Returns the gateway for the tools of a run.
pub fn of(cx: &Arc<Ctx>) -> Arc<dyn Host> {
    Arc::new(ToolHost(Arc::downgrade(cx)))
}

/// Returns the client as which this process calls its own methods.
pub fn client() -> Arc<Client> {
    CLIENT.clone()
}

/// Weak: commands in the background keep theirs, and must not keep a stopped gateway.
struct ToolHost(Weak<Ctx>);

impl ToolHost {
    fn cx(&self) -> Result<Arc<Ctx>, String> {
        self.0.upgrade().ok_or_else(|| STOPPING.to_owned())
    }
}

impl Host for ToolHost {
    fn call(&self, method: &str, params: Value, within: Duration, cancel: &CancelToken) -> Result<Value, String> {
        let answer = dispatch::local(&self.cx()?, &CLIENT, method, params);
        let until = Instant::now().checked_add(within);
        loop {
            let left = until.map_or(SLICE, |until| until.saturating_duration_since(Instant::now()).min(SLICE));
            match answer.recv_timeout(left) {
                Ok(Outcome::Ok(payload)) => return Ok(payload),
                Ok(Outcome::Text(payload)) => return serde_json::from_str(&payload).map_err(|error| error.to_string()),
                Ok(Outcome::Err { error, .. }) => return Err(error.message),
                Err(RecvTimeoutError::Disconnected) => return Err(STOPPING.to_owned()),
                Err(RecvTimeoutError::Timeout) if cancel.is_cancelled() => return Err("the run was stopped".to_owned()),
                Err(RecvTimeoutError::Timeout) if until.is_some_and(|until| Instant::now() >= until) => {
                    return Err(format!("gateway timeout after {}ms: {method}", within.as_millis()));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn tell(&self, session: &SessionKey, line: &str, wake: Option<&str>) {
        let Ok(cx) = self.cx() else { return };
        cx.system_events.push(session, line, cx.clock.now_ms());
        if let Some(reason) = wake {
            heartbeat::request(&cx, &session::agent_of_key(&cx.config.get(), session), reason, |_, _| ());
        }
    }

    fn spawn(&self, subagent: Subagent) -> Result<String, String> {
        subagents::spawn(&self.cx()?, subagent)
    }

    fn briefing(&self, agent: &AgentId, route: Option<&Route>) -> Briefing {
        let Ok(cx) = self.cx() else { return Briefing::default() };
        let config = cx.config.get();
        let settings = heartbeat::settings(&config, agent);
        Briefing {
            #[cfg(feature = "tts")]
            voice_hint: super::replies::voice::hint(&cx),
            #[cfg(not(feature = "tts"))]
            voice_hint: None,
            skills: chats::briefing::skills(&cx, &config, agent, route),
            heartbeat_prompt: settings.every_ms.is_some().then(|| settings.prompt().to_owned()),
            chat: route.map(|route| chats::briefing::chat(&cx, &config, route)).unwrap_or_default(),
        }
    }

    fn skill_bins(&self) -> BTreeSet<String> {
        self.cx().map(|cx| skills::all_bins(&cx, &cx.config.get())).unwrap_or_default()
    }

    fn talk(&self, run: &str, talk: Talk) -> Result<(), String> {
        talks::begin(&self.cx()?, run, talk)
    }

    fn restart(&self, delay_ms: Option<u64>, session: &str, note: Option<&str>) -> Result<Value, String> {
        let cx = self.cx()?;
        let stats = json!({"mode": "gateway.restart", "reason": note});
        let payload = sentinel::payload(&cx, "restart", "ok", Some(session), note, stats);
        sentinel::leave(&cx.paths, payload);
        let planned = Planned::new(delay_ms, "gateway tool", None);
        let answer = planned.answer();
        cx.lifecycle.restart(planned);
        Ok(answer)
    }
}
