//! What must not be forgotten is written down before a conversation is summed up: one silent turn per compaction
//! (agent.md §15).
//!
//! Part of [`super::Run`], on its thread. Not here: compaction itself (`compact`).

use serde_json::Value;

use super::{Run, Stop};
use crate::agent::compaction::Limits;
use crate::agent::events::{RunEvent, RunSink};
use crate::agent::message::{Block, Content, Message, UserMessage};
use crate::agent::sessions::Entry;
use crate::agent::stream::SILENT;
use crate::config::types::Config;

/// Tokens before the limit of compaction at which it happens.
const SOFT_TOKENS_DEFAULT: u64 = 4000;
/// What the agent is asked.
const PROMPT: &str = "The conversation is about to be shortened. Write down now what should be remembered later, in \
     memory/YYYY-MM-DD.md of the workspace (make the directory if there is none). If there is nothing to keep, answer \
     NO_REPLY.";
/// What its system prompt says beside.
const SYSTEM_PROMPT: &str = "This turn is for your notes only: older messages are going to be replaced by a summary. Keep \
     durable facts in files; nobody reads your answer, so NO_REPLY is the right one.";

/// Hears nothing.
struct Silence;

static SILENCE: Silence = Silence;

impl RunSink for Silence {
    fn emit(&self, _: RunEvent) {}
}

/// One silent turn.
struct Flush {
    prompt: String,
    system_prompt: String,
}

impl Flush {
    /// Returns it when it is time for one.
    fn due(config: &Config, entry: &Entry, window: u64) -> Option<Self> {
        let set = &config.tree["agents"]["defaults"]["compaction"]["memoryFlush"];
        let soft = set["softThresholdTokens"].as_u64().unwrap_or(SOFT_TOKENS_DEFAULT);
        let threshold = window.saturating_sub(Limits::of(config, window).reserve + soft);
        let used = entry.total_tokens.unwrap_or(0);
        let done_at = entry.other.get("memoryFlushCompactionCount").and_then(Value::as_u64);
        let is_done = done_at == Some(entry.compaction_count.unwrap_or(0));
        if set["enabled"] == false || threshold == 0 || used < threshold || is_done {
            return None;
        }
        let text = |name: &str, default: &str| {
            let text = set[name].as_str().map(str::trim).filter(|text| !text.is_empty()).unwrap_or(default);
            let hint = format!("\n\nIf there is nothing for the user to read, answer {SILENT}.");
            if text.contains(SILENT) { text.to_owned() } else { format!("{text}{hint}") }
        };
        Some(Self { prompt: text("prompt", PROMPT), system_prompt: text("systemPrompt", SYSTEM_PROMPT) })
    }
}

impl Run<'_> {
    /// Has the agent write its notes, if it is time. That it failed is no reason not to answer.
    pub(super) fn flush_memory(&mut self) -> Result<(), Stop> {
        let Some(model) = self.chain.first().filter(|model| !model.is_offline()) else { return Ok(()) };
        let is_chat = self.request.speaker.is_some() && !self.request.is_heartbeat;
        let Some(flush) = Flush::due(self.config, &self.entry, model.context_window).filter(|_| is_chat) else {
            return Ok(());
        };
        let now_ms = self.agent.clock.now_ms();
        let noted = self.agent.sessions.note(&self.request.session_key, |entry| {
            entry.other.insert("memoryFlushAt".to_owned(), now_ms.into());
            let count = entry.compaction_count.unwrap_or(0);
            entry.other.insert("memoryFlushCompactionCount".to_owned(), count.into());
        });
        if let Err(error) = noted {
            // It would happen again and again.
            log::error!(target: "agent", "no notes are taken: cannot update session {}: {error}", self.request.session_key);
            return Ok(());
        }
        let loud = std::mem::replace(&mut self.around.sink, &SILENCE);
        let system_prompt = self.system_prompt.clone();
        self.system_prompt = format!("{system_prompt}\n\n{}", flush.system_prompt);
        let content = Content::Blocks(vec![Block::text(flush.prompt)]);
        let said = Message::User(UserMessage { content, timestamp: now_ms });
        let ended = self.append(said).and_then(|()| self.go());
        self.around.sink = loud;
        self.system_prompt = system_prompt;
        self.said.clear();
        match ended {
            Err(Stop::Failed(error)) => {
                log::warn!(target: "agent", "no notes were taken in {}: {error}", self.request.session_key);
                Ok(())
            }
            other => other,
        }
    }
}
