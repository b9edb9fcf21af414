//! Parameters of `node.*`.

use serde_json::Value;

use super::{NonEmpty, params};

params! {
    /// Parameters of `node.list`.
    pub struct NodeListParams {}

    /// Parameters of `node.describe`.
    pub struct NodeDescribeParams {
        /// Which node.
        pub node_id: NonEmpty,
    }

    /// Parameters of `node.invoke`.
    pub struct NodeInvokeParams {
        /// Which node.
        pub node_id: NonEmpty,
        /// What it is to do.
        pub command: NonEmpty,
        /// The command's own parameters; absent and `null` differ on the way to the node.
        #[serde(default, deserialize_with = "super::given")]
        pub params: Option<Value>,
        /// How long to wait, default 30000; the node is told only what was given.
        #[cfg_attr(test, schemars(range(min = 0)))]
        pub timeout_ms: Option<u64>,
        /// Forwarded to the node.
        pub idempotency_key: NonEmpty,
    }

    /// Parameters of `node.invoke.result`.
    pub struct NodeInvokeResultParams {
        /// The request it answers.
        pub id: NonEmpty,
        /// Who answers.
        pub node_id: NonEmpty,
        /// Whether it worked.
        pub ok: bool,
        /// What came of it.
        pub payload: Option<Value>,
        /// What came of it, as JSON text.
        #[serde(rename = "payloadJSON")]
        pub payload_json: Option<String>,
        /// What went wrong.
        pub error: Option<NodeError>,
    }

    /// Parameters of `node.event`.
    pub struct NodeEventParams {
        /// What happened.
        pub event: NonEmpty,
        /// More of it.
        pub payload: Option<Value>,
        /// More of it, as JSON text; wins over `payload`.
        #[serde(rename = "payloadJSON")]
        pub payload_json: Option<String>,
    }
}

/// `error` of `node.invoke.result`.
#[derive(Debug, Clone, serde::Deserialize, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeError {
    /// The node's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<NonEmpty>,
    /// The node's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<NonEmpty>,
}
