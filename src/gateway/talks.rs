//! The runs of conversations between sessions: each step is a run in the journal, whose end begins the next one.
//!
//! Runs on the thread of the run that asks, then on those of the steps. Not here: whose turn it is (`agent::talk`).

use std::io;
use std::sync::Arc;

use super::accepted;
use super::ctx::Ctx;
use super::start_run::Start;
use super::targets::{self, Aim};
use crate::agent::run::RunRequest;
use crate::agent::run_journal::{Accepted, Ended, Origin};
use crate::agent::session;
use crate::agent::talk::Talk;
use crate::base::ids::RunId;
use crate::channels::reply::Reply;

/// Lane of runs that agents start in sessions that exist.
const LANE: &str = "nested";

/// Begins a conversation; its first run has the id `opening`.
///
/// # Errors
/// Why there is none.
pub fn begin(cx: &Arc<Ctx>, opening: &str, talk: Talk) -> Result<(), String> {
    let config = cx.config.get();
    if !session::send_policy(&config, &talk.target, cx.sessions.entry(&talk.target).as_ref()) {
        return Err("send blocked by session policy".to_owned());
    }
    step(cx, opening, talk).map_err(|error| format!("the message could not be written down: {error}"))
}

fn step(cx: &Arc<Ctx>, opening: &str, talk: Talk) -> io::Result<()> {
    let said = talk.said();
    let agent = session::agent_of_key(&cx.config.get(), &said.session);
    let run = RunId::new(talk.run_id(opening));
    let request = RunRequest {
        extra_system_prompt: Some(said.brief),
        lane: Some(LANE.to_owned()),
        ..RunRequest::new(run, agent, said.session.clone(), said.message)
    };
    let echo = Some(said.session.to_string());
    let start = Start { request, echo, is_chat: false, takes_system_events: false };
    accepted::accept_now(cx, start, Origin::Talk { opening: opening.to_owned(), talk: Box::new(talk) })
}

/// Takes the end of a step.
pub fn settled(cx: &Arc<Ctx>, ended: &Ended) {
    let Origin::Talk { opening, talk } = &ended.origin else { return };
    // Who stops a step stops the conversation.
    if ended.is_aborted() {
        return;
    }
    let reply = ended.last_text();
    if let Some(text) = talk.announced(reply) {
        announce(cx, ended.run.as_str(), talk, text);
    }
    go_on(cx, opening, talk, reply);
}

fn go_on(cx: &Arc<Ctx>, opening: &str, talk: &Talk, reply: Option<&str>) {
    let Some(next) = talk.clone().next(reply) else { return };
    if let Err(error) = step(cx, opening, next) {
        log::warn!(target: "gateway", "the conversation of {} and {} ends: {error}", talk.requester, talk.target);
    }
}

/// Takes up conversations that a stop cut off between two steps, before `left`, the runs that go on, do.
pub fn start(cx: &Arc<Ctx>, left: &[Accepted]) {
    let ends = cx.accepted.journal.recent();
    for ended in &ends {
        let Origin::Talk { opening, talk } = &ended.origin else { continue };
        let Some(next) = talk.clone().next(ended.last_text()) else { continue };
        let run = next.run_id(opening);
        let is_known =
            ends.iter().any(|it| it.run.as_str() == run) || left.iter().any(|it| it.request.run_id.as_str() == run);
        if !is_known && ended.error.is_none() && !ended.is_aborted() {
            go_on(cx, opening, talk, ended.last_text());
        }
    }
}

/// Promises to send the announcement to where the target's answers went last.
fn announce(cx: &Arc<Ctx>, run: &str, talk: &Talk, text: &str) {
    let Some(last) = cx.sessions.entry(&talk.target).and_then(|entry| entry.delivery_context) else { return };
    if last.channel.is_none_or(|channel| channel == "webchat") || last.to.is_none() {
        return;
    }
    let promised = targets::resolve(cx, &talk.target, &Aim::default()).and_then(|route| {
        let reply = Reply { text: text.to_owned(), ..Reply::default() };
        targets::deliver(cx, &format!("talk:{run}"), &route, &talk.target, vec![reply]).map(|()| route)
    });
    match promised {
        Ok(route) => {
            let session = targets::session_of(cx, &route).unwrap_or_else(|| talk.target.clone());
            targets::mirror(cx, &session, text);
        }
        Err(error) => log::warn!(target: "gateway", "what {} has to announce is not sent: {error}", talk.target),
    }
}
