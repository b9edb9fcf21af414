//! Carrying on a run that a crash or a restart has cut off (agent.md §5).
//!
//! The transcript says how far it came: the run's message has an id that was fixed when the run was accepted, and what
//! stands behind it is the run's. A tool call that has its result there is not made again; one without is told to the
//! model as interrupted, because nobody knows whether it took effect. Not here: which runs those are (`run_journal`).

use std::io;

use super::{Agent, RunRequest};
use crate::agent::message::{AssistantMessage, Block, Message, StopReason, ToolResultMessage, Usage, UserMessage};
use crate::agent::reply::{self, Said};
use crate::agent::transcript::{Transcript, since};
use crate::agent::usage;
use crate::base::clock::UnixMs;

/// What is known of a run from before.
#[derive(Debug, Clone, Copy)]
pub struct Promise<'a> {
    /// The id that its message has in the transcript.
    pub entry_id: &'a str,
    /// When it was accepted, if that was before this start of the gateway.
    pub resumed_from: Option<UnixMs>,
}

/// How far a run came.
pub(super) struct Progress {
    /// The transcript it is in.
    pub session_id: String,
    /// What it has said so far.
    pub said: Vec<Said>,
    /// Its tokens so far.
    pub usage: Usage,
    /// Tokens of the conversation as its last turn counted them.
    pub context_tokens: u64,
    /// Who spoke last.
    pub spoke: Option<(String, String)>,
    /// Whether the model is done.
    pub is_over: bool,
    /// Calls that began, or were about to, and whose end nobody knows.
    interrupted: Vec<(String, String)>,
}

/// Looks how far a run came; `None` when it had not begun.
pub(super) fn progress(agent: &Agent, request: &RunRequest, promise: &Promise<'_>) -> io::Result<Option<Progress>> {
    let Some(accepted_at) = promise.resumed_from else { return Ok(None) };
    let Some(mut entry) = agent.sessions.entry(&request.session_key) else { return Ok(None) };
    if let Some(id) = &request.session_id {
        entry.session_id.clone_from(id);
    }
    let path = agent.sessions.transcript_path(&request.session_key, &entry);
    let Some(behind) = since(&path, promise.entry_id, accepted_at)? else { return Ok(None) };
    let messages = behind.into_iter().filter_map(|message| serde_json::from_value(message).ok());
    Ok(Some(Progress::of(entry.session_id, messages)))
}

impl Progress {
    fn of(session_id: String, messages: impl Iterator<Item = Message>) -> Self {
        let mut it = Self {
            session_id,
            said: Vec::new(),
            usage: Usage::default(),
            context_tokens: 0,
            spoke: None,
            is_over: false,
            interrupted: Vec::new(),
        };
        for message in messages {
            match message {
                Message::Assistant(turn) => it.heard(&turn),
                Message::ToolResult(result) => it.interrupted.retain(|(id, _)| *id != result.tool_call_id),
                Message::User(_) => {}
            }
        }
        it
    }

    fn heard(&mut self, turn: &AssistantMessage) {
        // Failed turns are tried again; injected texts are nobody's.
        if matches!(turn.stop_reason, StopReason::Error | StopReason::Aborted | StopReason::Injected) {
            return;
        }
        let calls = turn.content.iter().filter_map(|block| match block {
            Block::ToolCall { id, name, .. } => Some((id.clone(), name.clone())),
            _ => None,
        });
        self.interrupted = calls.collect();
        self.is_over = self.interrupted.is_empty();
        usage::add(&mut self.usage, &turn.usage);
        if turn.usage.total_tokens > 0 {
            self.context_tokens = turn.usage.total_tokens;
        }
        self.spoke = turn.provider.clone().zip(turn.model.clone()).or(self.spoke.take());
        let said = reply::said(&turn.content);
        if !said.is_empty() {
            self.said.push(said);
        }
    }

    /// Tells the model of the calls that were cut off.
    pub(super) fn close_calls(&self, transcript: &mut Transcript, now_ms: UnixMs) -> io::Result<()> {
        for (tool_call_id, tool_name) in &self.interrupted {
            let text = "Interrupted: the gateway went down before this call had ended. It is not known whether it took \
                        effect; it was not made again. Look before you repeat it.";
            transcript.append_message(&Message::ToolResult(ToolResultMessage {
                tool_call_id: tool_call_id.clone(),
                tool_name: tool_name.clone(),
                content: vec![Block::text(text)],
                details: None,
                is_error: true,
                timestamp: now_ms,
            }))?;
        }
        Ok(())
    }
}

/// Puts a run's message into the transcript; returns its entry's id too.
pub(super) fn append_request(
    transcript: &mut Transcript,
    request: &RunRequest,
    promise: Option<&Promise<'_>>,
    now_ms: UnixMs,
) -> io::Result<(String, Message)> {
    if let Some(promise) = promise {
        let said = append_said(transcript, request, promise.entry_id, now_ms)?;
        return Ok((promise.entry_id.to_owned(), said));
    }
    let said = Message::User(UserMessage { content: request.content(), timestamp: now_ms });
    Ok((transcript.append_message(&said)?, said))
}

/// Puts a message into the transcript under an id that was promised.
pub(super) fn append_said(
    transcript: &mut Transcript,
    request: &RunRequest,
    entry_id: &str,
    now_ms: UnixMs,
) -> io::Result<Message> {
    let said = Message::User(UserMessage { content: request.content(), timestamp: now_ms });
    let fields = serde_json::Map::from_iter([("message".to_owned(), serde_json::to_value(&said)?)]);
    transcript.append_as(entry_id, "message", fields)?;
    Ok(said)
}

/// Returns whether a run that never began has its message in the transcript: another run has read it there.
///
/// # Errors
/// Any I/O error.
pub fn was_read(agent: &Agent, request: &RunRequest, entry_id: &str, accepted_at: UnixMs) -> io::Result<bool> {
    let promise = Promise { entry_id, resumed_from: Some(accepted_at) };
    Ok(progress(agent, request, &promise)?.is_some())
}

/// Says in the session that a run will not be carried on, and why; its message is there, too. Once, however often it is
/// called.
///
/// # Errors
/// Any I/O error.
pub fn give_up(agent: &Agent, request: &RunRequest, promise: &Promise<'_>, notice: Option<&str>) -> io::Result<()> {
    let now_ms = agent.clock.now_ms();
    let key = &request.session_key;
    let progress = progress(agent, request, promise)?;
    let session_id = progress.as_ref().map(|it| it.session_id.clone()).or_else(|| request.session_id.clone());
    let (entry, _) = agent.sessions.open(key, session_id.as_deref(), now_ms)?;
    let mut transcript = agent.sessions.transcript(key, &entry)?;
    match &progress {
        None => drop(append_request(&mut transcript, request, Some(promise), now_ms)?),
        Some(progress) => progress.close_calls(&mut transcript, now_ms)?,
    }
    let Some(notice) = notice else { return Ok(()) };
    // Its id follows from the message's, so that it is found again.
    let id: String = promise.entry_id.chars().rev().collect();
    if since(transcript.path(), &id, promise.resumed_from.unwrap_or(now_ms))?.is_none() {
        let message = crate::agent::sessions::injected(notice, now_ms);
        transcript.append_as(&id, "message", serde_json::Map::from_iter([("message".to_owned(), message)]))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Shows how far these messages came: texts, whether it is over, the calls that were cut off.
    fn shown(messages: &[Value]) -> (Vec<String>, bool, Vec<String>) {
        let messages = messages.iter().map(|it| serde_json::from_value(it.clone()).expect("a message"));
        let it = Progress::of("s".into(), messages);
        (
            it.said.into_iter().map(|said| said.text).collect(),
            it.is_over,
            it.interrupted.into_iter().map(|(id, _)| id).collect(),
        )
    }

    #[test]
    fn how_far_a_run_came() {
        let text = |text: &str| json!({"type": "text", "text": text});
        let call = |id: &str| json!({"type": "toolCall", "id": id, "name": "exec", "arguments": {}});
        let said =
            |content: Vec<Value>, stop: &str| json!({"role": "assistant", "content": content, "stopReason": stop});
        let result = |id: &str| json!({"role": "toolResult", "toolCallId": id, "toolName": "exec", "content": [], "isError": false});
        let asks = || said(vec![text("let me see"), call("a"), call("b")], "toolUse");
        let see = || vec!["let me see".to_owned()];
        assert_eq!(shown(&[]), (vec![], false, vec![]));
        assert_eq!(shown(&[asks()]), (see(), false, vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(shown(&[asks(), result("a")]), (see(), false, vec!["b".to_owned()]));
        assert_eq!(shown(&[asks(), result("a"), result("b")]), (see(), false, vec![]));
        let cut = said(vec![text("half")], "aborted");
        assert_eq!(shown(&[asks(), result("a"), result("b"), cut]), (see(), false, vec![]));
        let done = said(vec![text("done")], "stop");
        let both = vec!["let me see".to_owned(), "done".to_owned()];
        assert_eq!(shown(&[asks(), result("a"), result("b"), done]), (both, true, vec![]));
    }
}
