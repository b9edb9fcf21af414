//! Nodes on the wire: their registration, what they are asked for and what they report, and the copies of events for
//! the sessions they follow (protocol.md §5.8).
//!
//! Runs on frame workers; nothing waits here, answers come back through the registry's table. Not here: who is connected
//! (`nodes::registry`), the rows (`methods::nodes`).

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::accepted;
use super::auth::Place;
use super::client::Client;
use super::ctx::Ctx;
use super::events::{self, Event};
use super::heartbeat;
use super::remote_bins;
use super::start_run::Start;
use super::work::Due;
use crate::agent::run::RunRequest;
use crate::agent::run_journal::Origin;
use crate::agent::session;
use crate::base::ids::{ConnId, RunId};
use crate::base::rng::uuid;
use crate::base::text::unless_blank;
use crate::config::types::Config;
use crate::net::LoopMsg;
use crate::nodes::policy::{self, Platform};
use crate::nodes::registry::{Lost, Node, Outcome, Refused};
use crate::protocol::connect::ConnectParams;
use crate::protocol::error::ErrorShape;

/// How long a node has for a command unless the caller says otherwise.
const INVOKE_TIMEOUT_MS_DEFAULT: u64 = 30_000;
/// Longest text that a node may send to an agent, in characters.
const TEXT_CHARS_MAX: usize = 20_000;

/// Registers the node behind a connect that was accepted, before the loop admits it: its end cannot come earlier then,
/// and the loop keeps what is sent to it meanwhile.
pub fn register(cx: &Ctx, conn: ConnId, params: &ConnectParams, place: &Place) {
    let client = &params.client;
    let said = |text: &Option<crate::protocol::NonEmpty>| text.as_ref().map(|text| text.0.clone());
    let list = |list: &Option<Vec<crate::protocol::NonEmpty>>| -> Vec<String> {
        list.iter().flatten().map(|text| text.0.trim().to_owned()).filter(|text| !text.is_empty()).collect()
    };
    let config = cx.config.get();
    let device_family = said(&client.device_family);
    let allowed = allowed_commands(&config, Some(&client.platform), device_family.as_deref());
    let mut commands = list(&params.commands);
    commands.retain(|command| allowed.contains(command));
    let node = Node {
        node_id: params.device.as_ref().map_or_else(|| client.id.clone(), |device| device.id.0.clone()),
        display_name: said(&client.display_name),
        platform: Some(client.platform.0.clone()),
        version: Some(client.version.0.clone()),
        device_family,
        model_identifier: said(&client.model_identifier),
        remote_ip: place.ip.map(|ip| ip.to_string()),
        caps: list(&params.caps),
        commands,
        permissions: params.permissions.clone(),
        path_env: params.path_env.clone(),
        connected_at_ms: cx.clock.now_ms(),
    };
    let connected = format!("node connected id={} commands={}", node.node_id, node.commands.len());
    answer(cx.nodes.register(conn, node));
    // Last, so that whoever reads it finds the node.
    log::info!(target: "gateway/nodes", "{connected}");
}

/// Tells a node that was just admitted what it listens for, asks what it has, and notes that it came.
pub fn greet(cx: &Arc<Ctx>, conn: ConnId, node_id: &str, instance_id: Option<&str>) {
    events::send(&cx.net, vec![conn], events::VOICEWAKE_CHANGED, &json!({"triggers": cx.voicewake.triggers()}));
    if let Some(node) = cx.nodes.get(node_id) {
        remote_bins::ask(cx, &node);
    }
    let now_ms = cx.clock.now_ms();
    for id in std::iter::once(node_id).chain(instance_id.filter(|id| *id != node_id)) {
        let (job_cx, id) = (cx.clone(), id.to_owned());
        note(cx, move || job_cx.node_pairing.note_connected(&id, now_ms));
    }
}

/// Writes something down about a node of the older store, in turn and off the frame workers; most nodes are not in it.
pub fn note(cx: &Ctx, write: impl FnOnce() -> std::io::Result<bool> + Send + 'static) {
    let submitted = cx.jobs.submit(vec!["pairing".to_owned()], move || {
        if let Err(error) = write() {
            log::warn!(target: "gateway/nodes", "the node store does not take a note: {error}");
        }
    });
    if let Err(error) = submitted {
        log::warn!(target: "gateway/nodes", "the node store does not take a note: {error}");
    }
}

/// Forgets a node whose connection is gone; whoever waits for it is told.
pub fn disconnected(cx: &Ctx, conn: ConnId, client: &Client) {
    answer(cx.nodes.disconnected(conn));
    if cx.nodes.get(client.node_id()).is_none() {
        cx.remote_bins.forget(client.node_id());
    }
}

fn answer(lost: Lost) {
    for (answer, outcome) in lost {
        answer(outcome);
    }
}

fn allowed_commands(
    config: &Config,
    platform: Option<&str>,
    family: Option<&str>,
) -> std::collections::BTreeSet<String> {
    let nodes = &config.gateway.nodes;
    policy::allowed(Platform::of(platform, family), &nodes.allow_commands, &nodes.deny_commands)
}

/// Refuses a command that a node may not be asked for.
///
/// # Errors
/// Says why in `details.reason`.
pub fn require_allowed(config: &Config, node: &Node, command: &str) -> Result<(), ErrorShape> {
    let Some(reason) = refusal(config, node, command) else { return Ok(()) };
    let details = json!({"reason": reason, "command": command});
    Err(ErrorShape::invalid("node command not allowed").with_details(details))
}

fn refusal(config: &Config, node: &Node, command: &str) -> Option<&'static str> {
    if !allowed_commands(config, node.platform.as_deref(), node.device_family.as_deref()).contains(command) {
        Some("command not allowlisted")
    } else if node.commands.is_empty() {
        Some("node did not declare commands")
    } else if !node.commands.iter().any(|own| own == command) {
        Some("command not declared by node")
    } else {
        None
    }
}

/// A command for a node.
#[derive(Debug, Clone, Default)]
pub struct Invoke {
    /// Which node.
    pub node_id: String,
    /// What it is to do.
    pub command: String,
    /// The command's parameters; `None` when there are none.
    pub params: Option<Value>,
    /// How long it may take; the node is told only what is given here.
    pub timeout_ms: Option<u64>,
    /// Forwarded to the node.
    pub idempotency_key: Option<String>,
}

/// Asks a node for a command, whatever the policy says; `done` hears what came of it, on any thread.
pub fn invoke(cx: &Arc<Ctx>, invoke: Invoke, done: impl FnOnce(Result<Reply, ErrorShape>) + Send + 'static) {
    let id = uuid(&*cx.rng);
    let (node_id, command) = (invoke.node_id, invoke.command);
    let timer_cx = Arc::downgrade(cx);
    let timeout = Duration::from_millis(invoke.timeout_ms.unwrap_or(INVOKE_TIMEOUT_MS_DEFAULT));
    // Armed first: an answer that comes at once must find it.
    let timer = cx.timer.arm(timeout, Due::NodeInvoke { id: id.clone() });
    let answer = move |outcome: Outcome| {
        if outcome != Outcome::TimedOut
            && let Some(cx) = timer_cx.upgrade()
        {
            cx.timer.disarm(timer);
        }
        done(judge(outcome));
    };
    match cx.nodes.begin(&id, &node_id, &command, Box::new(answer)) {
        Ok(conn) => {
            let mut request = json!({
                "id": id, "nodeId": node_id, "command": command,
                "paramsJSON": invoke.params.map(|params| params.to_string()),
            });
            if let Some(timeout_ms) = invoke.timeout_ms {
                request["timeoutMs"] = timeout_ms.into();
            }
            if let Some(key) = invoke.idempotency_key {
                request["idempotencyKey"] = key.into();
            }
            events::send(&cx.net, vec![conn], events::NODE_INVOKE_REQUEST, &request);
        }
        Err((refused, answer)) => {
            let (code, message) = match refused {
                Refused::NotConnected => ("NOT_CONNECTED", "node not connected"),
                Refused::Busy => ("BUSY", "too many node commands are under way; try again later"),
            };
            let error = json!({"code": code, "message": message});
            answer(Outcome::Done { ok: false, payload: None, payload_json: None, error: Some(error) });
        }
    }
}

/// What a node gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Read from `payload_json` when there is one.
    pub payload: Value,
    /// As the node wrote it.
    pub payload_json: Option<String>,
}

/// Turns an outcome into what the caller is told.
fn judge(outcome: Outcome) -> Result<Reply, ErrorShape> {
    let failed = |error: Option<Value>| {
        let text = error.as_ref().and_then(|error| error["message"].as_str()).filter(|text| !text.is_empty());
        let shape = ErrorShape::unavailable(text.unwrap_or("node invoke failed"));
        shape.with_details(json!({"nodeError": error}))
    };
    match outcome {
        Outcome::Done { ok: true, payload, payload_json, .. } => {
            let payload = match &payload_json {
                Some(text) => serde_json::from_str(text).unwrap_or_else(|_| json!({"payloadJSON": text})),
                None => payload.unwrap_or(Value::Null),
            };
            Ok(Reply { payload, payload_json })
        }
        Outcome::Done { ok: false, error, .. } if is_not_connected(error.as_ref()) => {
            Err(ErrorShape::unavailable("node not connected").with_details(json!({"code": "NOT_CONNECTED"})))
        }
        Outcome::Done { ok: false, error, .. } => Err(failed(error)),
        Outcome::TimedOut => Err(failed(Some(json!({"code": "TIMEOUT", "message": "node invoke timed out"})))),
        Outcome::Disconnected { command } => Err(ErrorShape::exception(format!("node disconnected ({command})"))),
    }
}

fn is_not_connected(error: Option<&Value>) -> bool {
    error.is_some_and(|error| error["code"] == "NOT_CONNECTED" && error["message"] == "node not connected")
}

/// Ends a command whose time is up.
pub fn time_out(cx: &Ctx, id: &str) {
    if let Some(answer) = cx.nodes.take(id, None) {
        answer(Outcome::TimedOut);
    }
}

/// Sends an event to everybody, and once more, without `seq`, to the nodes that follow `session` (`None`: any session).
///
/// compat: nodes of the original expect these copies beside the broadcast.
pub fn broadcast(cx: &Ctx, event: Event, payload: &impl Serialize, version: Option<(u64, u64)>, session: Option<&str>) {
    let message = events::message(event, payload, version);
    let followers = cx.nodes.followers(session);
    if followers.is_empty() {
        return cx.net.send(LoopMsg::Broadcast(message));
    }
    cx.net.send(LoopMsg::Broadcast(message.clone()));
    cx.net.send(LoopMsg::Event { conns: followers, event: message });
}

/// Handles what a node reports; what cannot be read is ignored, as the original does.
pub fn event(cx: &Arc<Ctx>, conn: ConnId, client: &Client, event: &str, payload: &Value) {
    let text = |key: &str| payload[key].as_str().and_then(unless_blank);
    let node_id = client.node_id();
    match event {
        "chat.subscribe" => {
            if let Some(session) = text("sessionKey")
                && !cx.nodes.subscribe(conn, session)
            {
                log::warn!(target: "gateway/nodes", "node {node_id} follows too many sessions; {session} is left out");
            }
        }
        "chat.unsubscribe" => text("sessionKey").into_iter().for_each(|session| cx.nodes.unsubscribe(conn, session)),
        "exec.started" | "exec.finished" | "exec.denied" => {
            let default = format!("node-{node_id}");
            let config = cx.config.get();
            let key = session::canonical_key(&config, text("sessionKey").unwrap_or(&default), None);
            cx.system_events.push(&key, &exec_line(node_id, event, payload), cx.clock.now_ms());
            heartbeat::request(cx, &session::agent_of_key(&config, &key), "exec-event", |_, _| ());
        }
        "voice.transcript" => {
            if let Some(said) = text("text").filter(|said| said.chars().count() <= TEXT_CHARS_MAX) {
                run(cx, "voice", text("sessionKey").unwrap_or("main"), said, Some("low"), None);
            }
        }
        "agent.request" => {
            let default = format!("node-{node_id}");
            if let Some(said) = text("message").filter(|said| said.chars().count() <= TEXT_CHARS_MAX) {
                let timeout = payload["timeoutSeconds"].as_f64().filter(|seconds| *seconds > 0.0);
                let timeout = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                run(cx, "node", text("sessionKey").unwrap_or(&default), said, text("thinking"), timeout);
            }
        }
        _ => {}
    }
}

fn exec_line(node_id: &str, event: &str, payload: &Value) -> String {
    let text = |key: &str| payload[key].as_str().and_then(unless_blank);
    let mut line = format!("Exec {} (node={node_id}", event.trim_start_matches("exec."));
    if let Some(run) = text("runId") {
        line.push_str(&format!(" id={run}"));
    }
    let rest = match event {
        "exec.finished" => {
            let code = match payload["exitCode"].as_i64() {
                _ if payload["timedOut"] == true => "timeout".to_owned(),
                Some(code) => format!("code {code}"),
                None => "code ?".to_owned(),
            };
            line.push_str(&format!(", {code})"));
            text("output").map(|output| format!("\n{output}"))
        }
        _ => {
            text("reason")
                .filter(|_| event == "exec.denied")
                .into_iter()
                .for_each(|why| line.push_str(&format!(", {why}")));
            line.push(')');
            text("command").map(|command| format!(": {command}"))
        }
    };
    line + &rest.unwrap_or_default()
}

/// Starts a run for a node. Each has an id of its own, unlike the original's, which shares the session's: two runs of one
/// session could not be told apart there.
fn run(cx: &Arc<Ctx>, kind: &str, echo: &str, message: &str, thinking: Option<&str>, timeout: Option<Duration>) {
    let config = cx.config.get();
    let key = session::canonical_key(&config, echo, None);
    let run = RunId::new(format!("{kind}-{}", uuid(&*cx.rng)));
    let request = RunRequest {
        thinking: thinking.map(str::to_owned),
        channel: "node".to_owned(),
        timeout,
        ..RunRequest::new(run, session::agent_of_key(&config, &key), key, message)
    };
    let start = Start { request, echo: Some(echo.to_owned()), is_chat: true, takes_system_events: false };
    accepted::accept(cx, start, Origin::Node, Box::new(|| ()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_commands_on_nodes() {
        for (event, payload, expected) in [
            ("exec.started", json!({"runId": "r", "command": "ls"}), "Exec started (node=n id=r): ls"),
            ("exec.finished", json!({"exitCode": 0, "output": " done "}), "Exec finished (node=n, code 0)\ndone"),
            ("exec.finished", json!({"timedOut": true}), "Exec finished (node=n, timeout)"),
            (
                "exec.denied",
                json!({"reason": "allowlist-miss", "command": "rm"}),
                "Exec denied (node=n, allowlist-miss): rm",
            ),
        ] {
            assert_eq!(exec_line("n", event, &payload), expected);
        }
    }

    #[test]
    fn outcomes_are_worded_as_recorded() {
        let done = |ok, payload: Option<Value>, text: Option<&str>, error| Outcome::Done {
            ok,
            payload,
            payload_json: text.map(str::to_owned),
            error,
        };
        let reply = judge(done(true, None, Some("{\"a\":1}"), None)).expect("ok");
        assert_eq!(reply.payload, json!({"a": 1}));
        assert_eq!(judge(done(true, None, Some("{"), None)).expect("ok").payload, json!({"payloadJSON": "{"}));
        assert_eq!(judge(done(true, Some(json!(5)), None, None)).expect("ok").payload, json!(5));
        let error = judge(done(false, None, None, None)).expect_err("error");
        assert_eq!((error.message.as_str(), error.details), ("node invoke failed", Some(json!({"nodeError": null}))));
        let error = judge(Outcome::Disconnected { command: "x".into() }).expect_err("error");
        assert_eq!(error.message, "Error: node disconnected (x)");
    }
}
