//! The record of an admitted client: who it is and what it may do. Immutable; shared by the loop and the workers.

/// Role of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A person's client.
    Operator,
    /// A device that offers commands.
    Node,
}

impl Role {
    /// Returns the role's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Node => "node",
        }
    }
}

/// Scope bits, used as the loop's audience mask too.
pub mod scope {
    /// `operator.admin`.
    pub const ADMIN: u32 = 1;
    /// `operator.read`.
    pub const READ: u32 = 2;
    /// `operator.write`.
    pub const WRITE: u32 = 4;
    /// `operator.approvals`.
    pub const APPROVALS: u32 = 8;
    /// `operator.pairing`.
    pub const PAIRING: u32 = 16;

    /// Returns the bit of a scope name, 0 for unknown ones.
    pub fn bit(name: &str) -> u32 {
        match name {
            "operator.admin" => ADMIN,
            "operator.read" => READ,
            "operator.write" => WRITE,
            "operator.approvals" => APPROVALS,
            "operator.pairing" => PAIRING,
            _ => 0,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Client {
    /// Connection id as clients and logs see it.
    pub conn_id: String,
    /// Client id (`cli`, `clawdbot-control-ui` …).
    pub id: String,
    /// Role.
    pub role: Role,
    /// Scope bits; 0 for nodes.
    pub scopes: u32,
    /// Client mode (`cli`, `webchat`, `node` …).
    pub mode: String,
    /// Shown name, if it gave one.
    pub display_name: Option<String>,
    /// Its device, if it proved one.
    pub device_id: Option<String>,
    /// Key of its presence row; `None` when it is not tracked (mode `cli`).
    pub presence_key: Option<String>,
}

impl Client {
    /// Returns the id under which a node is known.
    pub fn node_id(&self) -> &str {
        self.device_id.as_deref().unwrap_or(&self.id)
    }

    /// Returns whether it is a page that chats.
    pub fn is_webchat(&self) -> bool {
        self.mode == "webchat" || self.id == "webchat-ui"
    }
}
