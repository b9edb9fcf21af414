//! The way in: what happens between "a message arrived for a session" and "a run for it was accepted".
//!
//! Every chat, the web chat included, comes through [`receive`]: stop words and commands are carried out and answered,
//! everything else becomes a run in the journal. Runs on the thread that got the message. Not here: who may speak at all
//! and how a message is worded for the model (`channels`), what a run does (`agent::run`), where replies go (`replies`).

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use serde_json::{Value, json};

use super::abort;
use super::accepted;
use super::chat_commands::{self, Executed};
use super::ctx::Ctx;
use super::events::CHAT;
use super::fanout::{chat_event, settle_chat};
use super::methods::skills;
use super::replies;
use super::start_run::Start;
use super::subagents;
use super::ticket::Outcome;
use crate::agent::commands;
use crate::agent::message::Block;
use crate::agent::run::RunRequest;
use crate::agent::run_journal::Origin;
use crate::agent::session;
use crate::agent::speaker::Speaker;
use crate::base::ids::{AgentId, RunId, SessionKey};
use crate::base::route::Route;
use crate::channels::reply::{Reply, ReplyKind};
use crate::skills::commands::{list, prompt};

/// Answer to a message that is nothing but blanks.
const BLANK_REPLY: &str = "I didn't receive any text in your message. Please resend or add a caption.";

/// A message for a session.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Names the message and its run; the same message always has the same id, so that it is answered once.
    pub id: RunId,
    /// The session, in canonical form.
    pub session: SessionKey,
    /// Whose session that is.
    pub agent: AgentId,
    /// The session key as a client spelled it; events carry it. Others have none, and their session's key is used.
    pub echo: Option<String>,
    /// What was typed, without anything around it: commands are read from this.
    pub raw: String,
    /// The message as the model gets it.
    pub text: String,
    /// Images with it.
    pub images: Vec<Block>,
    /// Who spoke.
    pub speaker: Speaker,
    /// Where replies go; `None` for clients of the gateway, who see the session's events.
    pub route: Option<Route>,
    /// Thinking level of this turn alone.
    pub thinking: Option<String>,
    /// More instructions for the system prompt.
    pub extra_system_prompt: Option<String>,
    /// Limit of the run, instead of the configured one.
    pub timeout: Option<Duration>,
}

impl Turn {
    fn origin(&self) -> Origin {
        if self.route.is_some() { Origin::Channel } else { Origin::Chat }
    }

    fn echo(&self) -> &str {
        self.echo.as_deref().unwrap_or(self.session.as_str())
    }
}

/// Called once a message is on the disk, or was a command whose answer is; dropped when it was not accepted.
pub type Told = accepted::Told;

#[allow(dead_code, reason = "for channels whose threads bring one message after the other")]
/// Takes a message and returns once it is safe: `false` when it was not accepted and should be brought again.
pub fn receive_and_wait(cx: &Arc<Ctx>, turn: Turn) -> bool {
    let (sender, receiver) = bounded(1);
    // The receiver waits below.
    let told = move || {
        let _ = sender.send(());
    };
    receive(cx, turn, Box::new(told));
    receiver.recv().is_ok()
}

#[allow(dead_code, reason = "no channel is connected yet")]
/// Takes a message of a chat network. One that came before is not answered again.
pub fn receive(cx: &Arc<Ctx>, turn: Turn, told: Told) {
    if turn.route.is_some() {
        let config = cx.config.get();
        if !session::send_policy(&config, &turn.session, cx.sessions.entry(&turn.session).as_ref()) {
            log::info!(target: "gateway", "a message for {} is not answered: send policy", turn.session);
            return told();
        }
        let key = format!("channel:{}", turn.id);
        let in_flight = || Outcome::Ok(json!({"runId": turn.id, "status": "in_flight"}));
        if cx.dedupe.get_or_begin(&key, in_flight, cx.clock.now_ms()).is_some() {
            // It may still be on its way to the disk.
            return accepted::after(cx, told);
        }
    }
    if commands::is_stop(&turn.raw) && turn.speaker.is_authorised {
        stop(cx, &turn);
        return told();
    }
    take(cx, turn, told);
}

#[allow(dead_code, reason = "no channel is connected yet")]
/// Ends the session's runs and says so.
fn stop(cx: &Arc<Ctx>, turn: &Turn) {
    let runs = cx.runs.chats_of(&turn.session);
    abort::runs(cx, &runs, "stop");
    let stopped = subagents::stop_of(cx, &turn.session);
    let more = match stopped {
        0 => String::new(),
        1 => " Stopped 1 sub-agent.".to_owned(),
        _ => format!(" Stopped {stopped} sub-agents."),
    };
    say(cx, turn, &format!("⚙️ Agent was aborted.{more}"));
    settle(cx, turn, None);
}

/// Takes a message that nobody has seen before and that is no stop word.
pub fn take(cx: &Arc<Ctx>, mut turn: Turn, told: Told) {
    if turn.text.trim().is_empty() && turn.images.is_empty() {
        told();
        say(cx, &turn, BLANK_REPLY);
        return settle(cx, &turn, None);
    }
    let config = cx.config.get();
    let may_command = turn.speaker.is_native || config.commands.text != Some(false);
    if let Some(command) = commands::parse(&turn.raw).filter(|_| may_command && turn.speaker.is_authorised) {
        match chat_commands::execute(cx, &turn.session, command) {
            Ok(Executed::Prompt(prompt)) => turn.text = prompt,
            Ok(Executed::Answer(text)) => {
                told();
                say(cx, &turn, &text);
                return settle(cx, &turn, None);
            }
            Err(error) => {
                told();
                log::error!(target: "gateway", "command in {} failed: {error:#}", turn.session);
                return settle(cx, &turn, Some(format!("Error: {error:#}")));
            }
        }
    }
    if may_command && turn.speaker.is_authorised && turn.raw.trim_start().starts_with('/') {
        let usable = skills::usable(cx, &config, &turn.agent);
        let commands = list(&usable, &|name| commands::parse(&format!("/{name}")).is_some());
        turn.text = prompt(&commands, &turn.raw).unwrap_or(turn.text);
    }
    run(cx, turn, told);
}

/// Has a run for the message accepted.
fn run(cx: &Arc<Ctx>, turn: Turn, told: Told) {
    let origin = turn.origin();
    let echo = turn.echo().to_owned();
    let request = RunRequest {
        images: turn.images,
        thinking: turn.thinking,
        extra_system_prompt: turn.extra_system_prompt,
        channel: turn.speaker.channel.clone(),
        timeout: turn.timeout,
        speaker: Some(turn.speaker),
        route: turn.route,
        typed: Some(turn.raw).filter(|raw| *raw != turn.text),
        ..RunRequest::new(turn.id, turn.agent, turn.session, turn.text)
    };
    let start = Start { request, echo: Some(echo), is_chat: true, takes_system_events: true };
    accepted::accept(cx, start, origin, told);
}

/// Answers without a model: into the chat where the message came from, or to the clients that watch the session.
fn say(cx: &Arc<Ctx>, turn: &Turn, text: &str) {
    let Some(route) = &turn.route else {
        return chat_commands::answer(cx, &turn.id, &turn.session, turn.echo(), text);
    };
    let reply = Reply { text: text.to_owned(), kind: ReplyKind::Notice, ..Reply::default() };
    replies::promise(cx, &turn.id, &turn.session, route, "notice", vec![reply]);
}

/// Notes that a message needs no run; it is not carried out again, also after a restart.
fn settle(cx: &Arc<Ctx>, turn: &Turn, error: Option<String>) {
    if let Some(message) = &error {
        match turn.route {
            Some(_) => say(cx, turn, &format!("⚠️ {message}")),
            None => chat_event(cx, CHAT, &turn.id, turn.echo(), 1, "error", |payload: &mut Value| {
                payload["errorMessage"] = message.as_str().into();
            }),
        }
    }
    if turn.route.is_none() {
        settle_chat(cx, &turn.id, error.clone().map_or(Ok(()), Err));
    }
    accepted::note_done(cx, turn.origin(), &turn.id, error);
}
