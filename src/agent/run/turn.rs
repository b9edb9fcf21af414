//! One turn of the model: the chain of models, the keys of each, tries, what is kept of a turn that failed.
//!
//! Part of [`super::Run`], on its thread. Not here: what an error is worth (`agent::failover`), in which order keys come
//! (`agent::credentials`), wire formats (`agent::providers`).

use std::time::Instant;

use serde_json::{Map, json};

use super::compact::Why;
use super::speaking::Speaking;
use super::{Run, Stop};
use crate::agent::credentials::{self, Credential, Wallet, Wish};
use crate::agent::events::RunEvent;
use crate::agent::failover::{self, Reason};
use crate::agent::message::{AssistantMessage, Block, Message, StopReason, Usage};
use crate::agent::models::Model;
use crate::agent::providers::{self, ProviderError, TurnRequest};
use crate::agent::transcript::CACHE_TOUCH;
use crate::agent::{pruning, reply, usage};
use crate::base::cancel::CancelReason;
use crate::net::fetch::Fetch;

/// How asking one model went.
enum Asked {
    Answered(Box<AssistantMessage>),
    /// The run is over.
    Stopped,
    /// It failed; whether another model may do better.
    Failed {
        may_go_on: bool,
    },
}

/// Who is left to ask.
#[derive(Clone, Copy)]
struct Others {
    key: bool,
    model: bool,
}

impl Run<'_> {
    /// One turn of the first model of the chain that manages it; `None` when the run was aborted.
    pub(super) fn turn(&mut self) -> Result<Option<AssistantMessage>, Stop> {
        let mut chain = self.chain.clone();
        if !self.asked_with.is_empty() {
            // Who answered the last turn knows the way; whoever failed before it would only fail again.
            chain.sort_by_key(|model| (&model.provider, &model.id) != (&self.spoke.0, &self.spoke.1));
        }
        let mut has_made_room = false;
        loop {
            let mut failures: Vec<(String, ProviderError)> = Vec::new();
            for (at, model) in chain.iter().enumerate() {
                match self.ask(model, at + 1 < chain.len(), &mut failures)? {
                    Asked::Answered(turn) => return Ok(Some(*turn)),
                    Asked::Stopped => return Ok(None),
                    Asked::Failed { may_go_on: false } => break,
                    Asked::Failed { may_go_on: true } => {}
                }
            }
            if !has_made_room && has_overflowed(&failures) {
                has_made_room = true;
                if let Ok(Some(_)) = self.compact(Why::Overflow)? {
                    continue;
                }
            }
            if self.stopped()? {
                return Ok(None);
            }
            return Err(Stop::Failed(all_failed(&failures)));
        }
    }

    /// Asks one model, with one key after the other while these are to blame.
    fn ask(
        &mut self,
        model: &Model,
        has_other_model: bool,
        failures: &mut Vec<(String, ProviderError)>,
    ) -> Result<Asked, Stop> {
        let keys = match self.keys(model) {
            Ok(keys) => keys,
            Err(message) => {
                failures.push((model.label(), ProviderError::Failed { status: None, message, retry_after: None }));
                return Ok(Asked::Failed { may_go_on: true });
            }
        };
        let count = keys.len();
        let mut last = None;
        let mut may_go_on = true;
        for (at, credential) in keys.iter().enumerate() {
            let others = Others { key: at + 1 < count, model: has_other_model };
            let (turn, partial) = self.with(model, credential, others);
            let error = match turn {
                Ok(turn) => {
                    self.worked(model, credential);
                    return self.keep(turn).map(|turn| Asked::Answered(Box::new(turn)));
                }
                Err(ProviderError::Cancelled) if others.model && self.begins_again_in_time() => {
                    let message = "LLM request timed out.".to_owned();
                    self.keep_partial(model, &partial, StopReason::Error, Some(message.clone()));
                    let now_ms = self.agent.clock.now_ms();
                    credentials::judge(credential, None, &message, &self.config.auth.cooldowns, now_ms);
                    failures.push((model.label(), ProviderError::Failed { status: None, message, retry_after: None }));
                    return Ok(Asked::Failed { may_go_on: true });
                }
                Err(ProviderError::Cancelled) => {
                    self.keep_partial(model, &partial, StopReason::Aborted, None);
                    self.stopped()?;
                    return Ok(Asked::Stopped);
                }
                Err(error) => error,
            };
            let ProviderError::Failed { status, message, .. } = &error else { continue };
            self.keep_partial(model, &partial, StopReason::Error, Some(message.clone()));
            let now_ms = self.agent.clock.now_ms();
            let reason = credentials::judge(credential, *status, message, &self.config.auth.cooldowns, now_ms);
            may_go_on = reason.is_some();
            last = Some(error);
            if matches!(reason, None | Some(Reason::Format)) {
                break;
            }
        }
        failures.extend(last.map(|error| (model.label(), error)));
        Ok(Asked::Failed { may_go_on })
    }

    /// Returns whether the run's time is over and it gets as much again for the next model: once for each.
    fn begins_again_in_time(&mut self) -> bool {
        let is_over = self.around.cancel.reason() == Some(CancelReason::TimedOut);
        if !is_over || self.deadlines_passed + 1 >= self.chain.len() {
            return false;
        }
        let until = Instant::now().checked_add(super::limit(self.config, self.request));
        let goes_on = until.is_some_and(|until| self.around.cancel.extend(until));
        if goes_on {
            self.deadlines_passed += 1;
            // The connections of the one before are shut.
            self.fetch = Fetch::new(self.around.cancel);
        }
        goes_on
    }

    /// Returns what to ask a model with: what worked in this run first, else what the session sticks to.
    pub(super) fn keys(&mut self, model: &Model) -> Result<Vec<Credential>, String> {
        if model.is_offline() {
            return Ok(vec![Credential::of_key(None)]);
        }
        let wallet = Wallet::open(self.config, &self.agent.paths, &self.request.agent_id, self.agent.clock.now_ms());
        let is_chosen = self.chain.first().is_some_and(|first| first.provider == model.provider);
        let (wish, is_new) = if is_chosen { wallet.wish_of(&self.entry, &model.provider) } else { (Wish::Next, false) };
        let wish = match (wish, self.asked_with.get(&model.provider)) {
            (Wish::Only(id), _) => Wish::Only(id),
            (_, Some(Some(id))) => Wish::First(id.clone()),
            (wish, _) => wish,
        };
        if let (Wish::First(id), true) = (&wish, is_new) {
            credentials::remember(&mut self.entry, id, false);
            let key = &self.request.session_key;
            let noted = self.agent.sessions.update(key, |entry| credentials::remember(entry, id, false));
            if let Err(error) = noted {
                log::warn!(target: "agent", "cannot note the credential of session {key}: {error}");
            }
        }
        wallet.keys(&model.provider, &wish)
    }

    /// Notes who answered, and that the key is good: once in a run.
    fn worked(&mut self, model: &Model, credential: &Credential) {
        self.spoke = (model.provider.clone(), model.id.clone());
        let id = credential.profile.as_ref().map(|profile| profile.id.clone());
        if pruning::Settings::of(self.config, model, || model.provider == "anthropic").is_some() {
            self.cache_touched = Some(self.spoke.clone());
        }
        let known = self.asked_with.insert(model.provider.clone(), id.clone());
        if known != Some(id) {
            credentials::worked(credential, self.agent.clock.now_ms());
        }
    }

    /// Tries one model with one key, whose token is renewed if it has run out or is refused.
    fn with(
        &self,
        model: &Model,
        credential: &Credential,
        others: Others,
    ) -> (Result<AssistantMessage, ProviderError>, String) {
        let mut streamed = String::new();
        let clock = self.agent.clock.clone();
        let turn = credentials::renewing(credential, &self.fetch, &*clock, |fresh| {
            let (turn, text) = self.tries(model, fresh, others);
            streamed = text;
            turn
        });
        (turn, streamed)
    }

    /// Notes when the provider's cache of the conversation was last used, for pruning in the next run.
    pub(super) fn note_cache(&mut self) {
        let Some((provider, model)) = self.cache_touched.take() else { return };
        let data = json!({"timestamp": self.agent.clock.now_ms(), "provider": provider, "modelId": model});
        let fields = Map::from_iter([("customType".to_owned(), CACHE_TOUCH.into()), ("data".to_owned(), data)]);
        if let Err(error) = self.transcript.append_entry("custom", fields) {
            log::warn!(target: "agent", "cannot write the transcript of {}: {error}", self.request.session_key);
        }
    }

    /// Tries one model with one key until it answers or trying again makes no sense. Returns the text streamed by the
    /// last try too.
    fn tries(
        &self,
        model: &Model,
        credential: &Credential,
        others: Others,
    ) -> (Result<AssistantMessage, ProviderError>, String) {
        let none = Map::new();
        let name = model.label();
        let params = self.config.agents.defaults.models.get(&name).map_or(&none, |allowed| &allowed.params);
        let own = self.request.client.tokens_max.map(|tokens_max| {
            let mut params = params.clone();
            params.insert("maxTokens".to_owned(), tokens_max.into());
            params
        });
        let params = own.as_ref().unwrap_or(params);
        let mut thinking: &str = &self.thinking;
        let mut backoff = failover::backoff();
        loop {
            let request = TurnRequest {
                model,
                key: credential.key.as_ref(),
                account: credential.account.as_deref(),
                session_id: &self.entry.session_id,
                system_prompt: &self.system_prompt,
                messages: &self.messages,
                tools: &self.tools,
                thinking,
                params,
            };
            let shows_thoughts = self.entry.reasoning_level.as_deref() == Some("stream");
            let mut speaking = Speaking::new(self.around.sink, &*self.agent.clock, shows_thoughts);
            let turn = providers::turn(&request, &self.fetch, &*self.agent.clock, &mut speaking);
            speaking.finish(turn.is_ok());
            let Speaking { streamed, has_shown, .. } = speaking;
            let Err(ProviderError::Failed { status, message, retry_after }) = &turn else { return (turn, streamed) };
            // What people have begun to read is not told again from its start.
            if has_shown || backoff.attempts() + 1 >= failover::TRIES_MAX {
                return (turn, streamed);
            }
            if let Some(level) = failover::supported_thinking(message, thinking) {
                log::info!(target: "agent", "{name} does not think at level {thinking}; trying level {level}");
                thinking = level;
                backoff.next_delay(&*self.agent.rng);
                continue;
            }
            let is_limited = failover::reason(*status, message) == Some(Reason::RateLimit);
            let asks_patience = retry_after.is_some_and(|wait| wait > failover::PATIENCE_WITH_OTHERS);
            let goes_on = (is_limited && others.key) || (asks_patience && (others.key || others.model));
            if goes_on || turn.as_ref().is_err_and(|error| !failover::is_transient(error)) {
                return (turn, streamed);
            }
            // The server's own wait counts as a try too.
            let own = backoff.next_delay(&*self.agent.rng);
            let wait = retry_after.unwrap_or(own);
            log::info!(target: "agent", "run {}: {name} failed ({message}); trying again in {wait:?}", self.request.run_id);
            if !self.around.cancel.sleep(wait) {
                return (Err(ProviderError::Cancelled), streamed);
            }
        }
    }

    /// Puts a finished turn into the transcript.
    fn keep(&mut self, turn: AssistantMessage) -> Result<AssistantMessage, Stop> {
        usage::add(&mut self.usage, &turn.usage);
        if turn.usage.total_tokens > 0 {
            self.context_tokens = turn.usage.total_tokens;
        }
        let said = reply::said(&turn.content);
        self.append(Message::Assistant(turn.clone()))?;
        if !said.is_empty() {
            self.around.sink.emit(RunEvent::Said { said: said.clone() });
            self.said.push(said);
        }
        Ok(turn)
    }

    /// Keeps what a turn said before it failed, for people to read; it is not replayed to models.
    fn keep_partial(&mut self, model: &Model, text: &str, stop_reason: StopReason, error_message: Option<String>) {
        if self.survives && self.around.cancel.reason() == Some(CancelReason::Shutdown) {
            // It is carried on after the next start, and says it again.
            return;
        }
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

/// Returns whether the conversation was too long for who was asked last.
fn has_overflowed(failures: &[(String, ProviderError)]) -> bool {
    let is_overflow = |error: &ProviderError| matches!(error, ProviderError::Failed { message, .. } if failover::is_context_overflow(message));
    failures.last().is_some_and(|(_, error)| is_overflow(error))
}

fn all_failed(failures: &[(String, ProviderError)]) -> String {
    let text = |error: &ProviderError| match error {
        ProviderError::Failed { message, .. } => message.clone(),
        ProviderError::Cancelled => "stopped".to_owned(),
    };
    if let [(_, error)] = failures {
        let text = text(error);
        return match failover::is_context_overflow(&text) {
            true => format!(
                "Context overflow: the conversation is too long for the model ({text}). /compact shortens it, /new begins \
                 another, a model with a larger context may take it whole"
            ),
            false => text,
        };
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
