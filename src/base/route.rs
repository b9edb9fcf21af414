//! Where replies go: an address in a chat network, as data.
//!
//! Data and no closure, because it is kept in journals: a run or a delivery that a restart has cut off still knows its
//! way. Not here: sending.

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Channel id.
    pub channel: String,
    /// The account that sends.
    pub account: String,
    /// The chat, as the channel spells it.
    pub to: String,
    /// Thread or topic within the chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// The message that is being answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
}

impl Route {
    /// Returns whether both lead to the same place, whichever message is answered there.
    pub fn leads_where(&self, other: &Self) -> bool {
        (&self.channel, &self.account, &self.to, &self.thread)
            == (&other.channel, &other.account, &other.to, &other.thread)
    }
}
