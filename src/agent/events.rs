//! What a run tells the world while it goes: [`RunEvent`]s into a [`RunSink`].
//!
//! The run knows nothing of clients, sequence numbers or channels; the gateway's fan-out implements the sink on the
//! job's own thread. Shapes on the wire are protocol.md §6.1.

use std::time::Duration;

use serde_json::Value;

use crate::agent::reply::Said;
use crate::base::clock::UnixMs;

/// One step of a run, in the order things happen.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    /// The run has begun; exactly one per run, before everything else but `Error`.
    Start {
        /// When.
        started_at: UnixMs,
    },
    /// The visible text of the current assistant message grew.
    Assistant {
        /// Whole visible text of this message so far, trimmed at its end.
        text: String,
        /// What was added since the last event of this message (may begin with white space). A fast model's words are put
        /// together.
        delta: String,
        /// The files that it names so far.
        media: Vec<String>,
    },
    /// The reasoning of the current turn grew; only where somebody watches it.
    Thinking {
        /// All of it so far.
        text: String,
    },
    /// The model has been silent for as long as the sink wanted to hear of, in the middle of a message.
    Lull,
    /// A message of the answer is complete and in the transcript.
    Said {
        /// What it says.
        said: Said,
    },
    /// A tool call begins.
    ToolStart {
        /// Tool name.
        name: String,
        /// The model's id of the call.
        tool_call_id: String,
        /// Its arguments.
        args: Value,
    },
    /// A running tool produced output.
    ToolUpdate {
        /// Tool name.
        name: String,
        /// The model's id of the call.
        tool_call_id: String,
        /// `{content, details}` so far.
        partial_result: Value,
    },
    /// A tool call ended.
    ToolResult {
        /// Tool name.
        name: String,
        /// The model's id of the call.
        tool_call_id: String,
        /// A short summary of the arguments (for exec the command).
        meta: Option<String>,
        /// Whether it failed.
        is_error: bool,
        /// `{content, details}`, large text cut to 8000 characters.
        result: Value,
    },
    /// The older part of the conversation is about to be summed up.
    CompactionStart,
    /// It was, or could not be.
    CompactionEnd {
        /// Whether the turn that did not fit is made again.
        will_retry: bool,
    },
    /// The run is over and its turn is in the transcript; the last event.
    End {
        /// Present only when the run was aborted.
        started_at: Option<UnixMs>,
        /// When.
        ended_at: UnixMs,
        /// Whether a deadline or an abort ended it.
        aborted: bool,
    },
    /// The run failed; the last event.
    Error {
        /// Present when the run had begun.
        started_at: Option<UnixMs>,
        /// When.
        ended_at: UnixMs,
        /// What to tell the user.
        error: String,
    },
}

/// Receives the events of one run, on the run's own thread. Must not block for long: the model's stream waits.
pub trait RunSink {
    /// Takes one event.
    fn emit(&self, event: RunEvent);

    /// Returns after how long a silence within a message it wants to hear of it.
    fn lull(&self) -> Option<Duration> {
        None
    }
}
