//! What commands post for the connection to send. The thread `node-link` reads it ([`super::connection`]).

use crossbeam_channel::Sender;
use serde_json::Value;

/// What commands have to say.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// The result of a command, for the connection that asked.
    Result {
        /// Which connection.
        epoch: u64,
        /// Parameters of `node.invoke.result`.
        params: Value,
    },
    /// Something that happened, for whichever connection there is.
    Event(
        /// Parameters of `node.event`.
        Value,
    ),
    /// A question to the gateway; dropping `reply` says that there is no answer.
    Ask {
        /// Method without parameters.
        method: &'static str,
        /// Who waits for the payload.
        reply: Sender<Value>,
    },
}
