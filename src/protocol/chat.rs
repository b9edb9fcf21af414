//! Parameters of `chat.*`.

use serde_json::Value;

use super::{NonEmpty, params};

params! {
    /// Parameters of `chat.history`.
    pub struct ChatHistoryParams {
        /// Session key as the client spells it.
        pub session_key: NonEmpty,
        /// Messages, default 200.
        #[cfg_attr(test, schemars(range(min = 1, max = 1000)))]
        pub limit: Option<u64>,
    }

    /// Parameters of `chat.send`.
    pub struct ChatSendParams {
        /// Session key as the client spells it; events echo it.
        pub session_key: NonEmpty,
        /// What to say. May be blank (then it is answered so).
        #[cfg_attr(test, schemars(length(min = 1)))]
        pub message: String,
        /// Thinking level of this turn.
        pub thinking: Option<String>,
        /// Accepted and ignored.
        pub deliver: Option<bool>,
        /// Images.
        pub attachments: Option<Vec<Value>>,
        /// Run limit; 0 = default.
        #[cfg_attr(test, schemars(range(min = 0)))]
        pub timeout_ms: Option<u64>,
        /// The run's id.
        pub idempotency_key: NonEmpty,
    }

    /// Parameters of `chat.abort`.
    pub struct ChatAbortParams {
        /// Session key.
        pub session_key: NonEmpty,
        /// One run; absent = all of the session.
        pub run_id: Option<NonEmpty>,
    }

    /// Parameters of `chat.inject`.
    pub struct ChatInjectParams {
        /// Session key.
        pub session_key: NonEmpty,
        /// Text put into the transcript as the assistant's.
        pub message: NonEmpty,
        /// Put in brackets in front of it.
        #[cfg_attr(test, schemars(length(max = 100)))]
        pub label: Option<String>,
    }
}
