//! Parameters of `agent`, `agent.wait`, `agent.identity.get`, `agents.list`, `models.list`.

use serde_json::Value;

use super::{NonEmpty, SessionLabel, params};

params! {
    /// Parameters of `agent`.
    pub struct AgentParams {
        /// What to say to the agent.
        pub message: NonEmpty,
        /// Which agent.
        pub agent_id: Option<NonEmpty>,
        /// Recipient that selects the session.
        pub to: Option<String>,
        /// Delivery target.
        pub reply_to: Option<String>,
        /// Transcript id.
        pub session_id: Option<String>,
        /// Session key.
        pub session_key: Option<String>,
        /// Thinking level.
        pub thinking: Option<String>,
        /// Whether the reply is delivered through a channel.
        pub deliver: Option<bool>,
        /// Images.
        pub attachments: Option<Vec<Value>>,
        /// Channel of the message.
        pub channel: Option<String>,
        /// Channel of the reply.
        pub reply_channel: Option<String>,
        /// Channel account.
        pub account_id: Option<String>,
        /// Channel account of the reply.
        pub reply_account_id: Option<String>,
        /// Thread.
        pub thread_id: Option<String>,
        /// Group.
        pub group_id: Option<String>,
        /// Group channel.
        pub group_channel: Option<String>,
        /// Group space.
        pub group_space: Option<String>,
        /// Run limit in seconds; 0 = default.
        #[cfg_attr(test, schemars(range(min = 0)))]
        pub timeout: Option<u64>,
        /// Global lane.
        pub lane: Option<String>,
        /// Appended to the system prompt.
        pub extra_system_prompt: Option<String>,
        /// The run's id; a repetition is answered with the first result.
        pub idempotency_key: NonEmpty,
        /// Session label.
        pub label: Option<SessionLabel>,
        /// Parent session.
        pub spawned_by: Option<String>,
    }

    /// Parameters of `agent.wait`.
    pub struct AgentWaitParams {
        /// The run.
        pub run_id: NonEmpty,
        /// How long, default 30000; 0 = only look.
        #[cfg_attr(test, schemars(range(min = 0)))]
        pub timeout_ms: Option<u64>,
    }

    /// Parameters of `agent.identity.get`.
    pub struct AgentIdentityParams {
        /// Which agent.
        pub agent_id: Option<NonEmpty>,
        /// Whose agent.
        pub session_key: Option<String>,
    }

    /// Parameters of `agents.list`.
    pub struct AgentsListParams {}

    /// Parameters of `models.list`.
    pub struct ModelsListParams {}
}
