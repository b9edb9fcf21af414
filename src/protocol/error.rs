//! `ErrorShape` and its codes.

use serde::Serialize;
use serde_json::Value;

/// Longest message of an exception, in characters.
const EXCEPTION_CHARS_MAX: usize = 240;

/// Error codes of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The request is wrong: parameters, method, scope, authentication.
    InvalidRequest,
    /// The request is right but cannot be served now.
    Unavailable,
    /// The channel's account has no credentials.
    NotLinked,
    /// The device is unknown or waits for approval (only at connect).
    NotPaired,
    /// A deadline ended the run.
    AgentTimeout,
}

/// An error as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorShape {
    /// Code.
    pub code: ErrorCode,
    /// What went wrong.
    pub message: String,
    /// More of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// Whether trying again may help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// When to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ErrorShape {
    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    /// The request cannot be served.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unavailable, message)
    }

    /// The channel's account must be linked first.
    ///
    /// The original has the code and never uses it; a client can act on it where UNAVAILABLE says nothing.
    pub fn not_linked(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotLinked, message)
    }

    /// A deadline ended the run.
    pub fn agent_timeout(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::AgentTimeout, message)
    }

    /// The device must be paired first.
    pub fn not_paired(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotPaired, message)
    }

    /// The gateway is stopping or too busy: the caller may try again.
    pub fn busy(message: impl Into<String>) -> Self {
        Self { retryable: Some(true), ..Self::unavailable(message) }
    }

    /// An unexpected failure inside a handler, worded as the original words exceptions.
    pub fn exception(error: impl std::fmt::Display) -> Self {
        Self::unavailable(crate::base::text::ellipsize(&format!("Error: {error}"), EXCEPTION_CHARS_MAX))
    }

    /// Adds details.
    pub fn with_details(self, details: Value) -> Self {
        Self { details: Some(details), ..self }
    }

    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: None, retryable: None, retry_after_ms: None }
    }
}
