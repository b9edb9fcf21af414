//! One session as `sessions.json` keeps it (agent.md §4).
//!
//! Fields that running code reads are typed; all others are carried along untouched, so that the original finds them
//! again.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::clock::UnixMs;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Entry {
    /// The current transcript.
    pub session_id: String,
    /// Last activity; decides when the session grows stale.
    pub updated_at: UnixMs,
    /// Transcript elsewhere than usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_file: Option<String>,
    /// The session that started this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spawned_by: Option<String>,
    /// Whether the first turn of this transcript was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_sent: Option<bool>,
    /// Whether the last run was aborted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aborted_last_run: Option<bool>,
    /// direct, group, channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_type: Option<String>,
    /// off … xhigh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_level: Option<String>,
    /// off, on, full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbose_level: Option<String>,
    /// off, on, stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_level: Option<String>,
    /// off, on, ask, full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elevated_level: Option<String>,
    /// sandbox, gateway, node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec_host: Option<String>,
    /// deny, allowlist, full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec_security: Option<String>,
    /// off, on-miss, always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec_ask: Option<String>,
    /// Node of `execHost` node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec_node: Option<String>,
    /// off, tokens, full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_usage: Option<String>,
    /// Provider that the user chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_override: Option<String>,
    /// Model that the user chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_override: Option<String>,
    /// allow, deny.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_policy: Option<String>,
    /// mention, always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_activation: Option<String>,
    /// Prompt tokens of the last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Answer tokens of the last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Size of the last prompt, cached parts included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
    /// Provider of the last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_provider: Option<String>,
    /// Model of the last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Context window of that model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// Compactions of this transcript.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compaction_count: Option<u64>,
    /// Name that the user gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Shown name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Channel of a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Id of a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// Subject of a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Room of a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_channel: Option<String>,
    /// Server or team of a room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// Where it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Where the last answer went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_context: Option<DeliveryContext>,
    /// Mirror of `deliveryContext.channel`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_channel: Option<String>,
    /// Mirror of `deliveryContext.to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_to: Option<String>,
    /// Mirror of `deliveryContext.accountId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_account_id: Option<String>,
    /// Everything else of the file.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Where a session began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Origin {
    /// Who, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Channel id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Surface within the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
    /// direct, group, channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_type: Option<String>,
    /// Sender's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Receiver's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Account that received it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Text or number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<Value>,
}

/// A route of answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeliveryContext {
    /// Channel id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Account that sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Text or number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<Value>,
}

impl Entry {
    /// Reads keys of older versions into their present fields.
    pub(super) fn migrated(mut self) -> Self {
        let Self { channel, last_channel, group_channel, other, .. } = &mut self;
        for (old, field) in [("provider", channel), ("lastProvider", last_channel), ("room", group_channel)] {
            if let Some(Value::String(text)) = other.remove(old) {
                field.get_or_insert(text);
            }
        }
        self
    }

    /// Points the session at another transcript; settings stay, what counted the old one does not.
    pub(super) fn begin(&mut self, session_id: String) {
        self.session_id = session_id;
        self.session_file = None;
        self.system_sent = Some(false);
        self.aborted_last_run = Some(false);
        self.compaction_count = Some(0);
        (self.input_tokens, self.output_tokens, self.total_tokens) = (None, None, None);
        for field in ["memoryFlushAt", "memoryFlushCompactionCount", "cliSessionIds", "claudeCliSessionId"] {
            self.other.remove(field);
        }
    }

    /// Returns what is left of the session after an explicit reset.
    ///
    /// compat: the original's `sessions.reset` forgets the model that the user chose and its `/new` keeps it; both come
    /// through here and the choice is kept.
    pub(super) fn after_reset(&self, session_id: String, now_ms: UnixMs) -> Self {
        let old = self.clone();
        let mut other = Map::new();
        if let Some((name, snapshot)) = old.other.get_key_value("skillsSnapshot") {
            other.insert(name.clone(), snapshot.clone());
        }
        Self {
            session_id,
            updated_at: now_ms,
            system_sent: Some(false),
            aborted_last_run: Some(false),
            thinking_level: old.thinking_level,
            verbose_level: old.verbose_level,
            reasoning_level: old.reasoning_level,
            response_usage: old.response_usage,
            provider_override: old.provider_override,
            model_override: old.model_override,
            model: old.model,
            context_tokens: old.context_tokens,
            send_policy: old.send_policy,
            label: old.label,
            origin: old.origin,
            last_channel: old.last_channel,
            last_to: old.last_to,
            input_tokens: Some(0),
            output_tokens: Some(0),
            total_tokens: Some(0),
            other,
            ..Self::default()
        }
    }
}
