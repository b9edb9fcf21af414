//! One turn of the model: the chain of models, tries, what is kept of a turn that failed.
//!
//! Part of [`super::Run`], on its thread. Not here: what another try is worth (`agent::failover`), wire formats
//! (`agent::providers`).

use serde_json::Map;

use super::{Run, Stop};
use crate::agent::events::RunEvent;
use crate::agent::failover;
use crate::agent::message::{AssistantMessage, Block, Message, StopReason, Usage, blocks_text};
use crate::agent::models::Model;
use crate::agent::providers::{ProviderError, TurnRequest, provider_for};
use crate::agent::stream::{self, Visible};
use crate::agent::usage;

impl Run<'_> {
    /// One turn of the first model of the chain that manages it; `None` when the run was aborted.
    pub(super) fn turn(&mut self) -> Result<Option<AssistantMessage>, Stop> {
        let mut failures: Vec<(String, ProviderError)> = Vec::new();
        for model in self.chain.clone() {
            let (turn, partial) = self.tries(&model)?;
            match turn {
                Ok(turn) => {
                    self.spoke = (model.provider.clone(), model.id.clone());
                    return self.keep(turn).map(Some);
                }
                Err(ProviderError::Cancelled) => {
                    self.keep_partial(&model, &partial, StopReason::Aborted, None);
                    self.stopped()?;
                    return Ok(None);
                }
                Err(error) => {
                    let ProviderError::Failed { status, message, .. } = &error else { continue };
                    self.keep_partial(&model, &partial, StopReason::Error, Some(message.clone()));
                    let may_go_on = failover::reason(*status, message).is_some();
                    failures.push((format!("{}/{}", model.provider, model.id), error));
                    if !may_go_on {
                        break;
                    }
                }
            }
        }
        Err(Stop::Failed(all_failed(&failures)))
    }

    /// Tries one model until it answers or trying again makes no sense. Returns the text streamed by the last try too.
    #[allow(clippy::type_complexity)]
    fn tries(&mut self, model: &Model) -> Result<(Result<AssistantMessage, ProviderError>, String), Stop> {
        let provider = provider_for(model, &self.fetch, &*self.agent.clock).map_err(Stop::Failed)?;
        let none = Map::new();
        let name = format!("{}/{}", model.provider, model.id);
        let params = self.config.agents.defaults.models.get(&name).map_or(&none, |allowed| &allowed.params);
        let request = TurnRequest {
            model,
            system_prompt: &self.system_prompt,
            messages: &self.messages,
            tools: &self.tools,
            thinking: &self.thinking,
            params,
        };
        let mut backoff = failover::backoff();
        loop {
            let mut streamed = String::new();
            let mut visible = Visible::default();
            let mut has_shown = false;
            let turn = provider.turn(&request, &mut |piece| {
                streamed.push_str(piece);
                if let Some((text, delta)) = visible.push(piece) {
                    has_shown = true;
                    self.sink.emit(RunEvent::Assistant { text, delta });
                }
            });
            let Err(error) = &turn else { return Ok((turn, streamed)) };
            // What people have begun to read is not told again from its start.
            let may_retry = failover::is_transient(error) && !has_shown && backoff.attempts() + 1 < failover::TRIES_MAX;
            let ProviderError::Failed { message, retry_after, .. } = error else { return Ok((turn, streamed)) };
            if !may_retry {
                return Ok((turn, streamed));
            }
            let wait = retry_after.unwrap_or_else(|| backoff.next_delay(&*self.agent.rng));
            if retry_after.is_some() {
                // The server's own wait counts as a try too.
                backoff.next_delay(&*self.agent.rng);
            }
            log::info!(target: "agent", "run {}: {name} failed ({message}); trying again in {wait:?}", self.request.run_id);
            if !self.cancel.sleep(wait) {
                return Ok((Err(ProviderError::Cancelled), streamed));
            }
        }
    }

    /// Puts a finished turn into the transcript.
    fn keep(&mut self, turn: AssistantMessage) -> Result<AssistantMessage, Stop> {
        usage::add(&mut self.usage, &turn.usage);
        if turn.usage.total_tokens > 0 {
            self.context_tokens = turn.usage.total_tokens;
        }
        let text = stream::finished(&blocks_text(&turn.content));
        if !text.is_empty() {
            self.texts.push(text);
        }
        self.append(Message::Assistant(turn.clone()))?;
        Ok(turn)
    }

    /// Keeps what a turn said before it failed, for people to read; it is not replayed to models.
    fn keep_partial(&mut self, model: &Model, text: &str, stop_reason: StopReason, error_message: Option<String>) {
        let message = Message::Assistant(AssistantMessage {
            content: if text.is_empty() { Vec::new() } else { vec![Block::text(text)] },
            api: Some(model.api.clone()),
            provider: Some(model.provider.clone()),
            model: Some(model.id.clone()),
            usage: Usage::default(),
            stop_reason,
            error_message,
            timestamp: self.agent.clock.now_ms(),
        });
        if let Err(error) = self.transcript.append_message(&message) {
            log::error!(target: "agent", "cannot write the transcript of {}: {error}", self.request.session_key);
        }
    }
}

fn all_failed(failures: &[(String, ProviderError)]) -> String {
    let text = |error: &ProviderError| match error {
        ProviderError::Failed { message, .. } => message.clone(),
        ProviderError::Cancelled => "stopped".to_owned(),
    };
    if let [(_, error)] = failures {
        return text(error);
    }
    let list: Vec<String> = failures
        .iter()
        .map(|(model, error)| {
            let status = if let ProviderError::Failed { status, .. } = error { *status } else { None };
            let message = text(error);
            let reason = failover::reason(status, &message).map_or("unknown", failover::Reason::as_str);
            format!("{model}: {message} ({reason})")
        })
        .collect();
    format!("All models failed ({}): {}", list.len(), list.join(" | "))
}
