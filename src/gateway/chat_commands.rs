//! Slash commands typed into a chat: carried out here, answered without a model (agent.md §10–11).
//!
//! The reply goes into the transcript as an injected message, then to every client as one `chat` final. Runs on the
//! worker that got the message: what a command does takes milliseconds. Not here: recognising commands
//! (`agent::commands`).

use std::sync::Arc;

use anyhow::Context as _;

use super::ctx::Ctx;
use super::events::CHAT;
use super::fanout::chat_event;
use super::lifecycle::Planned;
use super::queue;
use crate::agent::commands::{self, Command, StatusCard};
use crate::agent::{models, session};
use crate::base::ids::{RunId, SessionKey};

/// What became of a command.
pub enum Executed {
    /// It is answered with this text.
    Answer(String),
    /// The model is to speak; this is its prompt.
    Prompt(String),
}

/// Carries a command out.
///
/// # Errors
/// When the session cannot be written.
pub fn execute(cx: &Ctx, key: &SessionKey, command: Command) -> anyhow::Result<Executed> {
    let config = cx.config.get();
    let agent = session::agent_of_key(&config, key);
    match command {
        Command::New { rest } | Command::Reset { rest } => {
            cx.sessions.reset(key).with_context(|| format!("start a new session for {key}"))?;
            let prompt = if rest.trim().is_empty() { commands::GREETING_PROMPT.to_owned() } else { rest };
            Ok(Executed::Prompt(prompt))
        }
        Command::Status => {
            let entry = cx.sessions.entry(key);
            let card = StatusCard {
                version: super::version(),
                key,
                entry: entry.as_ref(),
                model: models::resolve(&config, &agent, entry.as_ref(), None),
                uptime: cx.clock.now().saturating_duration_since(cx.started_at),
                active_runs: cx.runs.active_count(),
                queue: (queue::settings(cx, key, "webchat"), cx.queue.depth(key)),
            };
            Ok(Executed::Answer(commands::status_reply(&card)))
        }
        Command::Restart if config.commands.restart == Some(true) => {
            cx.lifecycle.restart(Planned::new(None, "/restart", None));
            Ok(Executed::Answer("⚙️ Restarting clawdbot in-process (SIGUSR1); back in a few seconds.".to_owned()))
        }
        other => {
            let reply = commands::apply(&config, &cx.sessions, key, &agent, other)
                .with_context(|| format!("change session {key}"))?;
            Ok(Executed::Answer(reply))
        }
    }
}

/// Puts an answer into the transcript and shows it.
pub fn answer(cx: &Arc<Ctx>, run: &RunId, key: &SessionKey, echo: &str, text: &str) {
    let message = match cx.sessions.append_injected(key, text) {
        Ok((_, message)) => Some(message),
        Err(error) => {
            log::error!(target: "gateway", "cannot write the answer of a command to the transcript of {key}: {error}");
            None
        }
    };
    chat_event(cx, CHAT, run, echo, 1, "final", |payload| {
        if let Some(message) = message {
            payload["message"] = message;
        }
    });
}
