//! Compaction within a run: before a turn that would not fit, after one that did not, and when somebody asks for it.
//!
//! What goes is summed up by the model of the run; the summary is an entry of the transcript, which keeps everything.
//! Part of [`super::Run`], on its thread. Not here: the rules (`agent::compaction`).

use serde_json::{Map, Value, json};

use super::{Run, Stop};
use crate::agent::compaction::{self, Cut, Limits};
use crate::agent::credentials::{self, Credential};
use crate::agent::events::RunEvent;
use crate::agent::message::{Block, Content, Message, Usage, UserMessage, blocks_text};
use crate::agent::models::Model;
use crate::agent::providers::{self, ProviderError, TurnRequest};
use crate::agent::stream;
use crate::agent::transcript::{summary_message, summary_of};

/// Tries of one request for a summary with one key.
const TRIES_MAX: u32 = 2;

/// Why room is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why<'a> {
    /// The conversation grows too long.
    Full,
    /// The provider refused it as too long; the turn is tried again.
    Overflow,
    /// Somebody asks for it, with wishes.
    Asked(Option<&'a str>),
}

/// What compaction gained, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compaction {
    /// Of the conversation before.
    pub before: u64,
    /// After it.
    pub after: u64,
    /// Of the window.
    pub window: u64,
}

impl Run<'_> {
    fn limits(&self) -> Limits {
        let window = self.chain.first().map_or(0, |model| model.context_window);
        Limits::of(self.config, window)
    }

    /// Makes room before a turn if there is too little. That it could not be made is no reason not to try the turn.
    pub(super) fn make_room(&mut self) -> Result<(), Stop> {
        let is_offline = self.chain.first().is_none_or(Model::is_offline);
        if is_offline || !self.limits().is_full(compaction::tokens(&self.messages)) {
            return Ok(());
        }
        if let Err(error) = self.compact(Why::Full)? {
            log::warn!(target: "agent", "session {} grows long and could not be compacted: {error}", self.request.session_key);
        }
        Ok(())
    }

    /// Sums the older part of the conversation up; `None` when it is short enough. Within, why that failed.
    pub(super) fn compact(&mut self, why: Why<'_>) -> Result<Result<Option<Compaction>, String>, Stop> {
        let limits = self.limits();
        let Some(cut) = self.place_to_cut(why, limits) else { return Ok(Ok(None)) };
        self.around.sink.emit(RunEvent::CompactionStart);
        let was_open = self.around.mailbox.open(false);
        let before = compaction::tokens(&self.messages);
        let wishes = if let Why::Asked(wishes) = why { wishes } else { None };
        let summary = match self.summary(cut, wishes, limits) {
            // Without room the session would be speechless.
            Err(error) if why == Why::Overflow && !self.around.cancel.is_cancelled() => {
                log::warn!(target: "agent", "session {}: no summary ({error})", self.request.session_key);
                Ok(compaction::FALLBACK.to_owned())
            }
            other => other,
        };
        let done = match summary {
            Ok(summary) => self.replace(cut, summary, before, limits).map(Ok),
            Err(error) => Ok(Err(error)),
        };
        self.around.mailbox.open(was_open);
        let will_retry = why == Why::Overflow && matches!(done, Ok(Ok(_)));
        self.around.sink.emit(RunEvent::CompactionEnd { will_retry });
        Ok(done?.map(Some))
    }

    fn place_to_cut(&self, why: Why<'_>, limits: Limits) -> Option<Cut> {
        // After an overflow little is known of what fits.
        let keeps = if why == Why::Overflow { [limits.keep / 2, limits.keep / 8] } else { [limits.keep; 2] };
        let cut = keeps.iter().find_map(|keep| compaction::cut(&self.messages, *keep))?;
        // What is only in memory cannot be named in the transcript.
        let has_id = |at: &usize| self.ids[*at].is_some() && !matches!(self.messages[*at], Message::ToolResult(_));
        let kept_from = (cut.kept_from..self.messages.len()).find(has_id)?;
        // A summary alone is not summed up again.
        let has_more = kept_from > 1 || summary_of(&self.messages[0]).is_none();
        has_more.then_some(Cut { kept_from, ..cut })
    }

    fn summary(&mut self, cut: Cut, wishes: Option<&str>, limits: Limits) -> Result<String, String> {
        let before = self.messages.first().and_then(summary_of).map(str::to_owned);
        let from = usize::from(before.is_some());
        let turn_from = cut.turn_from.filter(|at| *at >= from).unwrap_or(cut.kept_from);
        let history = compaction::chunks(&self.messages[from..turn_from], limits);
        let prefix = compaction::chunks(&self.messages[turn_from..cut.kept_from], limits);
        let mut summary = self.summed_up(&history, before, false, wishes, limits)?;
        if turn_from < cut.kept_from {
            let prefix = self.summed_up(&prefix, None, true, wishes, limits)?;
            let start = if summary.is_empty() { String::new() } else { format!("{summary}\n\n---\n\n") };
            summary = format!("{start}**Turn Context (split turn):**\n\n{prefix}");
        }
        summary.push_str(&compaction::appendix(&self.messages[from..cut.kept_from]));
        Ok(summary)
    }

    /// Sums a conversation's pieces up one after the other, each knowing what came of the one before.
    fn summed_up(
        &mut self,
        chunks: &[String],
        before: Option<String>,
        is_prefix: bool,
        wishes: Option<&str>,
        limits: Limits,
    ) -> Result<String, String> {
        let mut summary = before;
        for chunk in chunks {
            let prompt = compaction::prompt(chunk, summary.as_deref(), is_prefix, wishes);
            summary = Some(self.ask_for_summary(prompt, limits)?);
        }
        Ok(summary.unwrap_or_default())
    }

    /// Asks the models of the run, whoever spoke last first.
    fn ask_for_summary(&mut self, prompt: String, limits: Limits) -> Result<String, String> {
        let content = Content::Blocks(vec![Block::text(prompt)]);
        let messages = [Message::User(UserMessage { content, timestamp: self.agent.clock.now_ms() })];
        let mut chain = self.chain.clone();
        chain.sort_by_key(|model| (&model.provider, &model.id) != (&self.spoke.0, &self.spoke.1));
        let mut last = "no model is connected".to_owned();
        for model in chain.iter().filter(|model| !model.is_offline()) {
            let keys = match self.keys(model) {
                Ok(keys) => keys,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            let cooldowns = &self.config.auth.cooldowns;
            let asked = credentials::each(&keys, &self.fetch, &*self.agent.clock, cooldowns, |key, has_next| {
                credentials::tries(TRIES_MAX, has_next, &self.fetch, &*self.agent.rng, || {
                    self.summary_of(model, key, &messages, limits)
                })
            });
            match asked {
                Ok(summary) => return Ok(summary),
                Err(ProviderError::Cancelled) => return Err("it was stopped".to_owned()),
                Err(ProviderError::Failed { message, .. }) => last = message,
            }
        }
        Err(last)
    }

    fn summary_of(
        &self,
        model: &Model,
        credential: &Credential,
        messages: &[Message],
        limits: Limits,
    ) -> Result<String, ProviderError> {
        let params =
            Map::from_iter([("maxTokens".to_owned(), limits.summary_tokens_max().min(model.max_tokens).into())]);
        let request = TurnRequest {
            model,
            key: credential.key.as_ref(),
            account: credential.account.as_deref(),
            session_id: &self.entry.session_id,
            system_prompt: compaction::SYSTEM_PROMPT,
            messages,
            tools: &[],
            thinking: "off",
            params: &params,
        };
        let turn = providers::turn(&request, &self.fetch, &*self.agent.clock, &mut |_: &str| ())?;
        let text = stream::finished(&blocks_text(&turn.content)).trim().to_owned();
        if text.is_empty() { Err(ProviderError::failed("the model gave no summary")) } else { Ok(text) }
    }

    /// Puts the summary in place of what it sums up.
    fn replace(&mut self, cut: Cut, summary: String, before: u64, limits: Limits) -> Result<Compaction, Stop> {
        let fields = json!({
            "summary": summary,
            "firstKeptEntryId": self.ids[cut.kept_from],
            "tokensBefore": before,
            "details": compaction::details(&self.messages[..cut.kept_from]),
        });
        let fields = if let Value::Object(fields) = fields { fields } else { Map::new() };
        self.transcript
            .append_entry("compaction", fields)
            .map_err(|error| Stop::Failed(format!("cannot write the transcript: {error}")))?;
        self.messages.drain(..cut.kept_from);
        self.ids.drain(..cut.kept_from);
        self.messages.insert(0, summary_message(&summary));
        self.ids.insert(0, None);
        // They counted what is gone.
        for message in &mut self.messages {
            if let Message::Assistant(turn) = message {
                turn.usage = Usage::default();
            }
        }
        let after = compaction::tokens(&self.messages);
        self.context_tokens = after;
        let updated = self.agent.sessions.note(&self.request.session_key, |entry| {
            entry.compaction_count = Some(entry.compaction_count.unwrap_or(0) + 1);
            entry.total_tokens = Some(after);
        });
        match updated {
            Ok(entry) => self.compactions = entry.compaction_count,
            Err(error) => log::error!(target: "agent", "cannot update session {}: {error}", self.request.session_key),
        }
        log::info!(target: "agent", "session {} was compacted: {before} → {after} tokens", self.request.session_key);
        Ok(Compaction { before, after, window: limits.window })
    }
}
