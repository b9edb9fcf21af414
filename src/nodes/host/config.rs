//! The node host's file: who this node is, and which gateway it belongs to.
//!
//! Owns `<state>/node.json` (0600) in the original's format; keys of others are kept.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::fs::Durability;
use crate::base::store::JsonStore;
use crate::config::paths::Paths;

/// `node.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeConfig {
    /// 1.
    pub version: u32,
    /// A random id.
    pub node_id: String,
    /// Shown name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayAddress>,
    /// What else is there.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Where the gateway is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayAddress {
    /// Host name or address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// SHA-256 of its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_fingerprint: Option<String>,
}

impl GatewayAddress {
    /// Returns the WebSocket URL.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "wss" } else { "ws" };
        let host = self.host.as_deref().unwrap_or("127.0.0.1");
        let port = self.port.unwrap_or(crate::config::paths::GATEWAY_PORT);
        // A bare IPv6 address needs brackets.
        if host.contains(':') && !host.starts_with('[') {
            format!("{scheme}://[{host}]:{port}")
        } else {
            format!("{scheme}://{host}:{port}")
        }
    }
}

/// Returns where the file is.
pub fn path(paths: &Paths) -> PathBuf {
    paths.state_dir.join("node.json")
}

/// Opens the file; a missing one is empty.
///
/// # Errors
/// I/O errors; a file that is not JSON is moved aside.
pub fn open(paths: &Paths) -> io::Result<JsonStore<NodeConfig>> {
    JsonStore::open(path(paths), Durability::Power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_original_s_file_is_read_and_what_is_not_ours_is_kept() {
        let file = json!({
            "version": 1, "nodeId": "n", "token": "t", "displayName": "d",
            "gateway": {"host": "::1", "port": 7, "tls": false},
        });
        let config: NodeConfig = serde_json::from_value(file.clone()).expect("readable");
        assert_eq!(config.gateway.as_ref().map(GatewayAddress::url).as_deref(), Some("ws://[::1]:7"));
        assert_eq!(config.rest["token"], "t");
        assert_eq!(serde_json::to_value(&config).expect("writable"), file);
        assert_eq!(GatewayAddress { tls: true, ..GatewayAddress::default() }.url(), "wss://127.0.0.1:18789");
    }
}
