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
use super::compacting;
use super::ctx::Ctx;
use super::events::CHAT;
use super::fanout::{chat_event, settle_chat};
use super::replies;
use super::start_run::{Start, lane_of};
use super::subagents;
use super::ticket::Outcome;
use crate::agent::commands::{self, Command};
use crate::agent::message::Block;
use crate::agent::models;
use crate::agent::run::RunRequest;
use crate::agent::run_journal::Origin;
use crate::agent::session;
use crate::agent::speaker::Speaker;
use crate::agent::transcript::strip_envelope;
use crate::base::ids::{AgentId, RunId, SessionKey};
use crate::base::route::Route;
use crate::channels::reply::{Reply, ReplyKind};
use crate::skills::commands::{SkillCommand, prompt, used};

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
    /// Puts other words in place of what was typed, wherever the message holds that.
    fn replace(&mut self, typed: &str, words: &str) {
        self.text = match self.text.rfind(typed) {
            Some(at) => format!("{}{words}{}", &self.text[..at], &self.text[at + typed.len()..]),
            None => words.to_owned(),
        };
        self.raw = words.to_owned();
    }

    fn origin(&self) -> Origin {
        if self.route.is_some() { Origin::Channel } else { Origin::Chat }
    }

    fn echo(&self) -> &str {
        self.echo.as_deref().unwrap_or(self.session.as_str())
    }
}

/// Called once a message is on the disk, or was a command whose answer is; dropped when it was not accepted.
pub type Told = accepted::Told;

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
        return conclude(cx, &turn, told, Ok(BLANK_REPLY.to_owned()));
    }
    if turn.speaker.is_native || cx.config.get().commands.text != Some(false) {
        match read(cx, &mut turn) {
            Read::Ignored => {
                told();
                return settle(cx, &turn, None);
            }
            Read::Commands(commands) => return carry_out(cx, turn, commands, told),
            Read::Message => {}
        }
    }
    run(cx, turn, told);
}

/// What a message is.
enum Read {
    /// Commands of somebody who may give none.
    Ignored,
    /// Nothing but commands.
    Commands(Vec<Command>),
    /// Something for the model.
    Message,
}

/// Reads the commands in a message. Those within other text are taken out of it: directives count only alone, a few are
/// answered at once.
fn read(cx: &Arc<Ctx>, turn: &mut Turn) -> Read {
    let may = turn.speaker.is_authorised;
    let all = |commands| if may { Read::Commands(commands) } else { Read::Ignored };
    let typed = strip_envelope(&turn.raw).to_owned();
    if let Some(command) = reset_of(cx, &typed)
        .or_else(|| commands::parse(&typed))
        .or_else(|| alias_of(cx, &typed))
        .filter(|it| it.name != "skill")
    {
        return all(vec![command]);
    }
    if may && let Some((skill, input)) = skill_of(cx, turn, &typed) {
        if skill.tool.is_some() {
            return Read::Commands(vec![Command { name: "skill", args: typed }]);
        }
        turn.text = prompt(&skill, &input);
        return Read::Message;
    }
    // Without the command, an exclamation mark is none.
    if may
        && cx.config.get().tree["commands"]["bash"] == true
        && let Some(command) = commands::shell(&typed)
    {
        return Read::Commands(vec![command]);
    }
    let found = commands::directives(&typed);
    if !found.commands.is_empty() {
        if found.rest.is_empty() {
            return all(found.commands);
        }
        turn.replace(&typed, &found.rest);
    }
    let typed = strip_envelope(&turn.raw).to_owned();
    let found = commands::inline(&typed);
    if may && !found.commands.is_empty() && !found.rest.is_empty() {
        for command in &found.commands {
            if let Ok(Executed::Answer(text)) = chat_commands::execute(cx, turn, command) {
                let id = RunId::new(format!("{}-{}", turn.id, command.name));
                say(cx, &Turn { id, ..turn.clone() }, &text);
            }
        }
        turn.replace(&typed, &found.rest);
    }
    Read::Message
}

/// Returns the skill that is called by its command, and what is said to it.
fn skill_of(cx: &Ctx, turn: &Turn, typed: &str) -> Option<(SkillCommand, String)> {
    if !typed.trim_start().starts_with('/') {
        return None;
    }
    let commands = chat_commands::skill_commands(cx, &turn.agent, turn.route.as_ref());
    used(&commands, typed).map(|(skill, input)| (skill.clone(), input.to_owned()))
}

/// Returns the choice of a model that its alias behind a slash is.
fn alias_of(cx: &Ctx, typed: &str) -> Option<Command> {
    let word = typed.trim().strip_prefix('/')?;
    let is_it = !word.is_empty() && models::is_alias(&cx.config.get(), word);
    is_it.then(|| Command { name: "model", args: word.to_owned() })
}

/// Returns the command that one of the configured words for a new session is.
fn reset_of(cx: &Ctx, typed: &str) -> Option<Command> {
    let config = cx.config.get();
    let triggers = config.session.reset_triggers.as_deref()?;
    triggers.iter().map(|trigger| trigger.trim()).filter(|trigger| !trigger.is_empty()).find_map(|trigger| {
        let rest = typed.trim().get(trigger.len()..)?;
        let is_it = typed.trim()[..trigger.len()].eq_ignore_ascii_case(trigger);
        let fits = is_it && (rest.is_empty() || rest.starts_with(char::is_whitespace));
        fits.then(|| Command { name: "new", args: rest.trim().to_owned() })
    })
}

/// Carries commands out: here, or as a job when one of them may wait for something.
fn carry_out(cx: &Arc<Ctx>, turn: Turn, commands: Vec<Command>, told: Told) {
    if let [Command { name: "compact", args }] = commands.as_slice() {
        return compact(cx, turn, args.clone(), told);
    }
    if !commands.iter().any(chat_commands::is_slow) {
        return answer(cx, turn, &commands, told);
    }
    let job_cx = cx.clone();
    // Dropped with the message when it is not taken, which answers.
    if let Err(error) = cx.jobs.submit(vec!["side".to_owned()], move || answer(&job_cx, turn, &commands, told)) {
        log::warn!(target: "gateway", "a command was not taken: {error}");
    }
}

fn answer(cx: &Arc<Ctx>, mut turn: Turn, commands: &[Command], told: Told) {
    let mut said = Vec::new();
    for command in commands {
        if !counts(&turn, command) {
            continue;
        }
        if turn.speaker.is_native && command.name == "usage" && command.args.is_empty() {
            // Where there are buttons, nothing changes before one is pressed.
            said.push("⚙️ Usage: /usage off|tokens|full|cost".to_owned());
            continue;
        }
        match chat_commands::execute(cx, &turn, command) {
            Ok(Executed::Answer(text)) => said.push(text),
            #[cfg(feature = "tts")]
            Ok(Executed::Audio { path, is_voice }) => match &turn.route {
                Some(route) => {
                    let (media, kind) = (vec![path.display().to_string()], ReplyKind::Notice);
                    let reply = Reply { media, is_voice, kind, ..Reply::default() };
                    replies::promise(cx, &turn.id, &turn.session, route, "audio", vec![reply]);
                    told();
                    return settle(cx, &turn, None);
                }
                None => said.push(format!("🔊 {}", path.display())),
            },
            Ok(Executed::Prompt { prompt, notice }) => {
                if let (Some(route), Some(text)) = (&turn.route, notice) {
                    let reply = Reply { text, kind: ReplyKind::Notice, ..Reply::default() };
                    replies::promise(cx, &turn.id, &turn.session, route, "notice", vec![reply]);
                }
                turn.text = prompt;
                return run(cx, turn, told);
            }
            Ok(Executed::Ordinary) => return run(cx, turn, told),
            Err(error) => {
                log::error!(target: "gateway", "command in {} failed: {error:#}", turn.session);
                return conclude(cx, &turn, told, Err(format!("Error: {error:#}")));
            }
        }
    }
    if said.is_empty() {
        // Nothing of it counted here.
        told();
        return settle(cx, &turn, None);
    }
    conclude(cx, &turn, told, Ok(said.join(" ")));
}

/// In groups what makes commands freer counts only for who addresses the bot.
fn counts(turn: &Turn, command: &Command) -> bool {
    let is_free = match command.name {
        "elevated" => !command.args.eq_ignore_ascii_case("off"),
        "exec" => !command.args.to_lowercase().contains("security=deny"),
        _ => false,
    };
    !(turn.speaker.is_group() && !turn.speaker.was_mentioned && is_free)
}

/// Has the conversation summed up, behind whatever is under way, which is stopped.
fn compact(cx: &Arc<Ctx>, turn: Turn, wishes: String, told: Told) {
    let has_session = cx.sessions.entry(&turn.session).is_some_and(|entry| !entry.session_id.is_empty());
    if !has_session {
        let text = "⚙️ Compaction unavailable (missing session id).".to_owned();
        return conclude(cx, &turn, told, Ok(text));
    }
    abort::runs(cx, &cx.queue.under_way(&turn.session), "rpc");
    let job_cx = cx.clone();
    let lanes = vec![lane_of(&turn.session), "main".to_owned()];
    let submitted = cx.jobs.submit(lanes, move || {
        let text = compacting::compact(&job_cx, &turn, &wishes);
        job_cx.system_events.push(&turn.session, &text, job_cx.clock.now_ms());
        conclude(&job_cx, &turn, told, Ok(format!("⚙️ {text}")));
    });
    if let Err(error) = submitted {
        log::warn!(target: "gateway", "a compaction was not taken: {error}");
    }
}

/// Ends a message that needs no run. A client of the gateway is told first that its message was taken.
fn conclude(cx: &Arc<Ctx>, turn: &Turn, told: Told, answer: Result<String, String>) {
    let mut told = Some(told);
    if turn.route.is_none()
        && let Some(told) = told.take()
    {
        told();
    }
    let error = match answer {
        Ok(text) => {
            say(cx, turn, &text);
            None
        }
        Err(error) => Some(error),
    };
    settle(cx, turn, error);
    if let Some(told) = told {
        told();
    }
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
    let buttons = turn.speaker.is_native.then(|| commands::buttons(strip_envelope(&turn.raw))).flatten();
    let reply = Reply { text: text.to_owned(), kind: ReplyKind::Notice, buttons, ..Reply::default() };
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
