//! How commands end: what goes to stderr and which exit code the shell sees (cli.md §1.6).

use std::fmt;

use super::rpc::CallError;

/// Result of a command.
pub(crate) type Outcome = Result<(), Failure>;

/// Why a command fails.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    text: Option<String>,
    code: i32,
}

impl Failure {
    /// An error of the usual form, `Error: <message>`, exit code 1.
    pub(crate) fn error(message: impl fmt::Display) -> Self {
        Self::text(format!("Error: {message}"))
    }

    /// A text as it is, exit code 1.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), code: 1 }
    }

    /// A wrong profile flag, exit code 2.
    pub(crate) fn profile(message: &str) -> Self {
        Self { text: Some(format!("[clawdbot] {message}")), code: 2 }
    }

    /// An exit code alone: everything has been said.
    pub(crate) fn code(code: i32) -> Self {
        Self { text: None, code }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::error(error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::error(format!("{error:#}"))
    }
}

/// Prints the failure and returns the exit code.
pub(crate) fn report(failure: &Failure) -> i32 {
    if let Some(text) = &failure.text {
        super::output::error_line(text);
    }
    failure.code
}
