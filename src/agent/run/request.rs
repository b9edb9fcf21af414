//! What a run is asked for, and what comes of it.

use std::time::Duration;

use serde_json::{Value, json};

use super::client_tools::{ClientCall, ClientSide};
use crate::agent::message::{Block, Content, Usage};
use crate::agent::reply::Said;
use crate::agent::speaker::Speaker;
use crate::base::clock::UnixMs;
use crate::base::ids::{AgentId, RunId, SessionKey};
use crate::base::route::Route;

/// The channel of runs that came by none.
pub const CHANNEL_DEFAULT: &str = "webchat";

/// What is asked for; kept in the journal of runs until it is done.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRequest {
    /// Its id.
    pub run_id: RunId,
    /// Where it takes place.
    pub session_key: SessionKey,
    /// Whose session that is.
    pub agent_id: AgentId,
    /// A transcript to go on with instead of the session's current one.
    pub session_id: Option<String>,
    /// What the user said, as the model gets it.
    pub message: String,
    /// What the user typed, when that is something else.
    #[serde(default)]
    pub typed: Option<String>,
    /// Images with it.
    pub images: Vec<Block>,
    /// Lines put in front of the message: system events that wait for the next prompt.
    pub prefix_lines: Vec<String>,
    /// Thinking level of this run alone.
    pub thinking: Option<String>,
    /// More instructions for the system prompt.
    pub extra_system_prompt: Option<String>,
    /// The channel it came by.
    pub channel: String,
    /// Its limit, instead of the configured one.
    pub timeout: Option<Duration>,
    /// The model of this run alone, as people write it.
    #[serde(default)]
    pub model: Option<String>,
    /// The global lane it waits in, instead of `main`.
    #[serde(default)]
    pub lane: Option<String>,
    /// Who spoke, when it was a person in a chat.
    #[serde(default)]
    pub speaker: Option<Speaker>,
    /// Whether the clock asked, and not a person.
    #[serde(default)]
    pub is_heartbeat: bool,
    /// Where its replies go beside the clients that watch the session.
    #[serde(default)]
    pub route: Option<Route>,
    /// What the client brings along.
    #[serde(default)]
    pub client: ClientSide,
}

impl RunRequest {
    /// A message of nobody in particular, under the usual conditions.
    pub fn new(run_id: RunId, agent_id: AgentId, session_key: SessionKey, message: impl Into<String>) -> Self {
        Self {
            run_id,
            session_key,
            agent_id,
            session_id: None,
            message: message.into(),
            typed: None,
            images: Vec::new(),
            prefix_lines: Vec::new(),
            thinking: None,
            extra_system_prompt: None,
            channel: CHANNEL_DEFAULT.to_owned(),
            timeout: None,
            model: None,
            lane: None,
            speaker: None,
            is_heartbeat: false,
            route: None,
            client: ClientSide::default(),
        }
    }

    /// Returns the user's turn: the lines in front, the message, the images.
    pub(super) fn content(&self) -> Content {
        let mut text = self.prefix_lines.join("\n");
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(&self.message);
        let mut blocks = vec![Block::text(text)];
        blocks.extend(self.images.iter().cloned());
        Content::Blocks(blocks)
    }
}

/// A run that came to its end.
#[derive(Debug, Clone)]
pub struct RunOutcome {
    /// The messages of the answer, in order.
    pub said: Vec<Said>,
    /// What the model has sent by its tool meanwhile.
    pub sent: Vec<Sent>,
    /// Whether the session began with this run.
    pub is_new_session: bool,
    /// When it began.
    pub started_at: UnixMs,
    /// How long it took.
    pub duration_ms: u64,
    /// The session's transcript id.
    pub session_id: String,
    /// Who answered.
    pub provider: String,
    /// With which model.
    pub model: String,
    /// Tokens of all its turns.
    pub usage: Usage,
    /// Compactions of the transcript, when the run has made one.
    pub compactions: Option<u64>,
    /// Whether it was aborted.
    pub aborted: bool,
    /// Calls that the client is to carry out; with one of these the run is over.
    pub client_calls: Vec<ClientCall>,
}

impl RunOutcome {
    /// What comes of a message that needs no run of its own.
    pub fn none(now_ms: UnixMs, aborted: bool) -> Self {
        Self {
            said: Vec::new(),
            sent: Vec::new(),
            is_new_session: false,
            started_at: now_ms,
            duration_ms: 0,
            session_id: String::new(),
            provider: String::new(),
            model: String::new(),
            usage: Usage::default(),
            compactions: None,
            aborted,
            client_calls: Vec::new(),
        }
    }

    /// Returns the visible texts of the answer, in order.
    pub fn texts(&self) -> Vec<&str> {
        self.said.iter().map(|said| said.text.as_str()).filter(|text| !text.is_empty()).collect()
    }

    /// Returns `result` of the `agent` response (agent.md §8).
    pub fn to_json(&self) -> Value {
        let payload = |said: &Said| {
            let mut payload = json!({"text": said.text, "mediaUrl": said.media.first()});
            if !said.media.is_empty() {
                payload["mediaUrls"] = json!(said.media);
            }
            payload
        };
        let payloads: Vec<Value> = self.said.iter().filter(|said| !said.is_empty()).map(payload).collect();
        let usage = json!({
            "input": self.usage.input, "output": self.usage.output, "cacheRead": self.usage.cache_read,
            "cacheWrite": self.usage.cache_write, "total": self.usage.total_tokens,
        });
        let agent_meta = json!({
            "sessionId": self.session_id, "provider": self.provider, "model": self.model, "usage": usage,
        });
        json!({
            "payloads": payloads,
            "meta": {"durationMs": self.duration_ms, "agentMeta": agent_meta, "aborted": self.aborted},
        })
    }
}

/// A message that the model has sent by its tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// By which channel, if it said so.
    pub channel: Option<String>,
    /// To whom, if it said so; else to the chat that it speaks with.
    pub to: Option<String>,
    /// What.
    pub text: String,
}

impl Sent {
    /// Returns whether it went where the answer goes.
    pub fn leads_to(&self, route: &Route) -> bool {
        let bare = |to: &str| to.rsplit(':').next().unwrap_or(to).trim_start_matches('@').to_lowercase();
        self.channel.as_ref().is_none_or(|channel| channel.eq_ignore_ascii_case(&route.channel))
            && self.to.as_deref().is_none_or(|to| bare(to) == bare(&route.to))
    }
}

/// A run that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError {
    /// What to tell the user.
    pub message: String,
    /// Whether its deadline ended it.
    pub timed_out: bool,
    /// When it began, if it did.
    pub started_at: Option<UnixMs>,
}

impl RunError {
    /// A run that did not even begin.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), timed_out: false, started_at: None }
    }
}
