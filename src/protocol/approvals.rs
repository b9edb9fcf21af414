//! Parameters of `exec.approval.*` and `exec.approvals.*`.
//!
//! The policy file is carried as it came: the schema has judged it, and who stores it (`approvals::file`) reads it.

use serde_json::Value;

use super::{NonEmpty, params};

params! {
    /// Parameters of `exec.approvals.get`.
    pub struct ExecApprovalsGetParams {}

    /// Parameters of `exec.approvals.set`.
    pub struct ExecApprovalsSetParams {
        /// The new file.
        #[cfg_attr(test, schemars(with = "file::ExecApprovalsFile"))]
        pub file: Value,
        /// Hash of the file that the change was made to.
        pub base_hash: Option<NonEmpty>,
    }

    /// Parameters of `exec.approvals.node.get`.
    pub struct ExecApprovalsNodeGetParams {
        /// Whose file.
        pub node_id: NonEmpty,
    }

    /// Parameters of `exec.approvals.node.set`.
    pub struct ExecApprovalsNodeSetParams {
        /// Whose file.
        pub node_id: NonEmpty,
        /// The new file.
        #[cfg_attr(test, schemars(with = "file::ExecApprovalsFile"))]
        pub file: Value,
        /// Hash of the file that the change was made to.
        pub base_hash: Option<NonEmpty>,
    }

    /// Parameters of `exec.approval.request`.
    pub struct ExecApprovalRequestParams {
        /// Its id; a new one when absent.
        pub id: Option<NonEmpty>,
        /// The command line.
        pub command: NonEmpty,
        /// Where it would run.
        #[cfg_attr(test, schemars(with = "Option<super::schema_gen::NullableText>"))]
        pub cwd: Option<String>,
        /// On which host.
        #[cfg_attr(test, schemars(with = "Option<super::schema_gen::NullableText>"))]
        pub host: Option<String>,
        /// The policy that asks.
        #[cfg_attr(test, schemars(with = "Option<super::schema_gen::NullableText>"))]
        pub security: Option<String>,
        /// When it asks.
        #[cfg_attr(test, schemars(with = "Option<super::schema_gen::NullableText>"))]
        pub ask: Option<String>,
        /// Whose command it is.
        #[cfg_attr(test, schemars(with = "Option<super::schema_gen::NullableText>"))]
        pub agent_id: Option<String>,
        /// The program it would start.
        #[cfg_attr(test, schemars(with = "Option<super::schema_gen::NullableText>"))]
        pub resolved_path: Option<String>,
        /// The conversation it comes from.
        #[cfg_attr(test, schemars(with = "Option<super::schema_gen::NullableText>"))]
        pub session_key: Option<String>,
        /// How long it waits, default 120,000.
        #[cfg_attr(test, schemars(range(min = 1)))]
        pub timeout_ms: Option<u64>,
    }

    /// Parameters of `exec.approval.resolve`.
    pub struct ExecApprovalResolveParams {
        /// The request.
        pub id: NonEmpty,
        /// `allow-once`, `allow-always` or `deny`.
        pub decision: NonEmpty,
    }
}

/// Shape of the policy file, for the schema alone.
#[cfg(test)]
#[allow(dead_code, missing_docs)]
pub mod file {
    use std::collections::BTreeMap;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::NonEmpty;

    #[derive(Deserialize, JsonSchema)]
    #[schemars(inline)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct ExecApprovalsFile {
        #[schemars(schema_with = "super::super::schema_gen::one")]
        version: u64,
        socket: Option<Socket>,
        defaults: Option<Defaults>,
        agents: Option<BTreeMap<String, Agent>>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[schemars(inline)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct Socket {
        path: Option<String>,
        token: Option<String>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[schemars(inline)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct Defaults {
        security: Option<String>,
        ask: Option<String>,
        ask_fallback: Option<String>,
        auto_allow_skills: Option<bool>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[schemars(inline)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct Agent {
        security: Option<String>,
        ask: Option<String>,
        ask_fallback: Option<String>,
        auto_allow_skills: Option<bool>,
        allowlist: Option<Vec<AllowlistEntry>>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[schemars(inline)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct AllowlistEntry {
        id: Option<NonEmpty>,
        pattern: String,
        #[schemars(range(min = 0))]
        last_used_at: Option<u64>,
        last_used_command: Option<String>,
        last_resolved_path: Option<String>,
    }
}
