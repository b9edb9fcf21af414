//! Commands typed into a chat that need the gateway: carried out here, answered without a model (agent.md §10–11).
//!
//! Quick ones run on the thread that got the message, the others as jobs, because they wait for disks and methods. Not
//! here: recognising commands, and those that only change their session (`agent::commands`).

mod allowlist;
pub mod bash;
mod config;
mod context;
mod debug;
mod subagents;
#[cfg(feature = "tts")]
mod tts;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::chats::briefing;
use super::ctx::Ctx;
use super::events::CHAT;
use super::fanout::chat_event;
use super::inbox::Turn;
use super::lifecycle::Planned;
use super::{queue, tool_host};
use crate::agent::commands::{self, Command, Cx, StatusCard};
use crate::agent::credentials::Wallet;
use crate::agent::models;
use crate::agent::run::{SingleCall, SingleFailure, call_one};
use crate::base::ids::{AgentId, RunId, SessionKey};
use crate::base::route::Route;
use crate::skills;
use crate::skills::commands::SkillCommand;

/// How long a command waits for a method of the gateway.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// What became of a command.
pub enum Executed {
    /// It is answered with this text.
    Answer(String),
    /// It is answered with a sound.
    #[cfg(feature = "tts")]
    Audio {
        /// The file.
        path: std::path::PathBuf,
        /// Whether the channel shows it as a voice message.
        is_voice: bool,
    },
    /// The model is to speak; this is its prompt. Before that the chat is told something.
    Prompt {
        /// The prompt.
        prompt: String,
        /// The word before it.
        notice: Option<String>,
    },
    /// It was none: the message is for the model as it is.
    Ordinary,
}

impl Executed {
    fn answer(text: impl Into<String>) -> anyhow::Result<Self> {
        Ok(Self::Answer(text.into()))
    }
}

/// Returns whether carrying it out may wait for something.
pub fn is_slow(command: &Command) -> bool {
    match command.name {
        "usage" => command.args.eq_ignore_ascii_case("cost"),
        "bash" | "skill" | "context" | "config" | "debug" | "approve" | "allowlist" | "tts" | "subagents" | "dock" => {
            true
        }
        _ => false,
    }
}

/// Carries a command out.
///
/// # Errors
/// When the session cannot be written, or what the command needs fails.
pub fn execute(cx: &Arc<Ctx>, turn: &Turn, command: &Command) -> anyhow::Result<Executed> {
    let config = cx.config.get();
    let (key, args) = (&turn.session, command.args.as_str());
    let with = Cx::new(&config, &cx.sessions, key, &turn.agent, &turn.speaker);
    if let Some(applied) = with.apply(command).with_context(|| format!("change session {key}"))? {
        if let Some(event) = &applied.event {
            cx.system_events.push(key, event, cx.clock.now_ms());
        }
        return Executed::answer(applied.text);
    }
    match command.name {
        "commands" => Executed::answer(all_commands(cx, turn)),
        "new" | "reset" => begin_anew(cx, turn, args),
        "status" => Executed::answer(status(cx, turn)),
        "usage" => usage::cost(cx, turn),
        "context" => context::report(cx, turn, args),
        "subagents" => subagents::manage(cx, turn, args),
        "approve" => approve(cx, args),
        "allowlist" => allowlist::manage(cx, turn, args),
        "config" => config::manage(cx, turn, args),
        "debug" => debug::manage(cx, args),
        "bash" => bash::manage(cx, turn, args),
        "skill" => call_skill(cx, turn, args),
        #[cfg(feature = "tts")]
        "tts" => tts::manage(cx, turn, args),
        #[cfg(not(feature = "tts"))]
        "tts" => Executed::answer("⚠️ Speech is not part of this build."),
        "dock" => dock(cx, turn, args),
        "restart" if config.commands.restart == Some(true) => {
            cx.lifecycle.restart(Planned::new(None, "/restart", None));
            Executed::answer("⚙️ Restarting clawdbot in-process (SIGUSR1); back in a few seconds.")
        }
        "restart" => Executed::answer("⚠️ /restart is disabled. Set commands.restart=true to enable."),
        _ => Ok(Executed::Ordinary),
    }
}

/// All commands, those of skills included.
fn all_commands(cx: &Ctx, turn: &Turn) -> String {
    let mut text = commands::list(&cx.config.get());
    for skill in skill_commands(cx, &turn.agent, turn.route.as_ref()) {
        text.push_str(&format!("\n/{} - {}", skill.name, skill.description));
    }
    text
}

/// Returns the commands that stand for the skills that an agent has in a chat.
pub fn skill_commands(cx: &Ctx, agent: &AgentId, route: Option<&Route>) -> Vec<SkillCommand> {
    let taken = |name: &str| commands::parse(&format!("/{name}")).is_some();
    skills::commands::list(&briefing::skills(cx, &cx.config.get(), agent, route), &taken)
}

/// Has a skill's command call its tool, without a model.
fn call_skill(cx: &Arc<Ctx>, turn: &Turn, typed: &str) -> anyhow::Result<Executed> {
    let all = skill_commands(cx, &turn.agent, turn.route.as_ref());
    let Some((skill, input)) = skills::commands::used(&all, typed) else { return Ok(Executed::Ordinary) };
    let Some(tool) = &skill.tool else { return Ok(Executed::Ordinary) };
    let args = json!({"command": input, "commandName": skill.name, "skillName": skill.skill});
    let call = SingleCall {
        agent: &turn.agent,
        session: &turn.session,
        channel: &turn.speaker.channel,
        speaker: Some(&turn.speaker),
        tool,
        action: None,
        args: args.as_object().cloned().unwrap_or_default(),
    };
    Executed::answer(match call_one(&cx.agent, call, &tool_host::of(cx), cx.lifecycle.stopping()) {
        Ok(result) => {
            let blocks = result["content"].as_array().into_iter().flatten();
            let text: String = blocks.filter_map(|block| block["text"].as_str()).collect();
            if text.trim().is_empty() { "✅ Done.".to_owned() } else { text }
        }
        Err(SingleFailure::NotAvailable) => format!("❌ Tool not available: {tool}"),
        Err(SingleFailure::Failed(error)) => format!("❌ {error}"),
    })
}

/// Calls a method of this gateway as an operator.
fn call(cx: &Arc<Ctx>, method: &str, params: Value) -> Result<Value, String> {
    tool_host::of(cx).call(method, params, CALL_TIMEOUT, cx.lifecycle.stopping())
}

/// A new session; its first words may name a model.
fn begin_anew(cx: &Arc<Ctx>, turn: &Turn, args: &str) -> anyhow::Result<Executed> {
    let key = &turn.session;
    cx.sessions.reset(key).with_context(|| format!("start a new session for {key}"))?;
    let config = cx.config.get();
    let (first, rest) = args.split_once(char::is_whitespace).unwrap_or((args, ""));
    // A word that is no alias must look like a reference: "hello" is nobody's model.
    let is_reference = || first.contains('/') || models::is_alias(&config, first);
    let chosen = (!first.is_empty() && is_reference())
        .then(|| models::parse_name(&config, first))
        .flatten()
        .filter(|name| models::is_allowed(&config, &turn.agent, name));
    let text = if chosen.is_some() { rest.trim() } else { args };
    if chosen.is_some() {
        let command = Command { name: "model", args: first.to_owned() };
        Cx::new(&config, &cx.sessions, key, &turn.agent, &turn.speaker).apply(&command)?;
    }
    let label = |entry| models::resolve(&config, &turn.agent, entry, None).map(|model| model.label());
    let default = label(None);
    let notice = label(cx.sessions.entry(key).as_ref()).ok().map(|model| match default {
        Ok(default) if default != model => format!("✅ New session started · model: {model} (default: {default})"),
        _ => format!("✅ New session started · model: {model}"),
    });
    let prompt = if text.trim().is_empty() { commands::GREETING_PROMPT.to_owned() } else { text.to_owned() };
    Ok(Executed::Prompt { prompt, notice })
}

fn status(cx: &Ctx, turn: &Turn) -> String {
    let config = cx.config.get();
    let key = &turn.session;
    let entry = cx.sessions.entry(key);
    let model = models::resolve(&config, &turn.agent, entry.as_ref(), None);
    let wallet = Wallet::open(&config, &cx.paths, &turn.agent, cx.clock.now_ms());
    commands::status_reply(&StatusCard {
        version: super::version(),
        key,
        entry: entry.as_ref(),
        auth: model.as_ref().ok().and_then(|model| wallet.mode(&model.provider)),
        model,
        uptime: cx.clock.now().saturating_duration_since(cx.started_at),
        active_runs: cx.runs.active_count(),
        media: cx.chats.understanding.of(key),
        queue: (queue::settings(cx, key, &turn.speaker.channel), cx.queue.depth(key)),
        #[cfg(feature = "tts")]
        voice: tts::line(cx, key),
        #[cfg(not(feature = "tts"))]
        voice: None,
    })
}

fn approve(cx: &Arc<Ctx>, args: &str) -> anyhow::Result<Executed> {
    let mut words = args.split_whitespace();
    let decision = |word: &str| match word.to_lowercase().as_str() {
        "allow-once" | "allow" | "once" => Some("allow-once"),
        "allow-always" | "always" => Some("allow-always"),
        "deny" | "reject" => Some("deny"),
        _ => None,
    };
    let given = words.next().zip(words.next().and_then(decision)).filter(|_| words.next().is_none());
    let Some((id, decision)) = given else {
        return Executed::answer("Usage: /approve <id> allow-once|allow-always|deny");
    };
    match call(cx, "exec.approval.resolve", json!({"id": id, "decision": decision})) {
        Ok(_) => Executed::answer(format!("✅ Exec approval {decision} submitted for {id}.")),
        Err(error) => Executed::answer(format!("❌ Failed to submit approval: Error: {error}")),
    }
}

/// Answers of this session go to another network from now on, where the same person is known.
fn dock(cx: &Arc<Ctx>, turn: &Turn, channel: &str) -> anyhow::Result<Executed> {
    let Some(channel) = crate::channels::normalize(channel) else { return Ok(Executed::Ordinary) };
    let config = cx.config.get();
    let own: Vec<String> =
        turn.speaker.id.iter().flat_map(|id| [id.clone(), format!("{}:{id}", turn.speaker.channel)]).collect();
    let mut known = config.session.identity_links.values();
    let person = known.find(|ids| ids.iter().any(|id| own.iter().any(|own| own.eq_ignore_ascii_case(id))));
    let prefix = format!("{channel}:");
    let to = person.and_then(|ids| ids.iter().find_map(|id| id.strip_prefix(&prefix).map(str::to_owned)));
    let Some(to) = to else {
        return Executed::answer(format!(
            "⚠️ Where you are on {channel} is not known. List your ids together in session.identityLinks, as in {{\"me\": \
             [\"telegram:123\", \"whatsapp:+49…\"]}}."
        ));
    };
    cx.sessions.update(&turn.session, |entry| {
        entry.last_channel = Some(channel.to_owned());
        entry.last_to = Some(to.clone());
        entry.last_account_id = None;
        entry.delivery_context = Some(crate::agent::sessions::DeliveryContext {
            channel: Some(channel.to_owned()),
            to: Some(to),
            ..Default::default()
        });
    })?;
    Executed::answer(format!("⚙️ Replies of this session go to {channel} from now on."))
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
