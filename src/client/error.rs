//! Why the gateway's client has no answer, and what a broken socket counts as.

use std::fmt;
use std::io;
use std::time::Duration;

/// What stands for a socket that broke without a close frame.
pub(super) const CLOSE_ABNORMAL: u16 = 1006;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientError {
    /// The socket was closed, or could not be opened (1006).
    Closed {
        /// Close code.
        code: u16,
        /// Reason, maybe empty.
        reason: String,
        /// The gateway's answer to `connect`, when it refused.
        refusal: Option<String>,
    },
    /// The time was over.
    Timeout {
        /// All the time there was.
        after: Duration,
    },
    /// The gateway answered with an error.
    Rpc {
        /// Its code.
        code: String,
        /// Its message.
        message: String,
        /// What mends it, where the gateway knows.
        hint: Option<String>,
    },
    /// The request could not be made at all.
    Unusable(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { code, reason, .. } => {
                let hint = match *code {
                    CLOSE_ABNORMAL => " abnormal closure (no close frame)",
                    1000 => " normal closure",
                    _ => "",
                };
                let reason = if reason.trim().is_empty() { "no close reason" } else { reason.trim() };
                write!(f, "gateway closed ({code}{hint}): {reason}")
            }
            Self::Timeout { after } => write!(f, "gateway timeout after {}ms", after.as_millis()),
            Self::Rpc { message, .. } => f.write_str(message),
            Self::Unusable(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ClientError {}

impl ClientError {
    /// Returns whether the gateway was not reached or did not stay: the connection details then help.
    pub fn is_connection(&self) -> bool {
        matches!(self, Self::Closed { .. } | Self::Timeout { .. })
    }
}

/// Returns whether a read or write ended because its time was over.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// compat: whatever breaks the socket is the code 1006 without a reason, as a WebSocket library reports it.
pub(super) fn broken(error: io::Error) -> ClientError {
    log::debug!(target: "client", "socket failed error={error}");
    ClientError::Closed { code: CLOSE_ABNORMAL, reason: String::new(), refusal: None }
}
