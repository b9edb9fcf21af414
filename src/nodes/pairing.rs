//! The older pairing of nodes: names and tokens that companion apps of earlier versions ask for (protocol.md §5.8).
//!
//! Owns `nodes/paired.json` and `nodes/pending.json` in the original's format. Nobody's connection depends on them. Runs
//! on any worker; one lock over both files makes a decision one step. Not here: connected nodes, devices.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::clock::UnixMs;
use crate::base::fs::Durability;
use crate::base::requests::{Request, Requests};
use crate::base::rng::{Rng, hex_token, uuid};
use crate::base::secret::constant_time_eq;
use crate::base::store::JsonStore;

/// Random bytes of a token; it is shown as twice as many hex digits.
const TOKEN_BYTES: usize = 16;

/// What a node says about itself, but for its id.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeInfo {
    /// Shown name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Version of its core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_version: Option<String>,
    /// Version of its user interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ui_version: Option<String>,
    /// Device family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    /// Device model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_identifier: Option<String>,
    /// Capabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caps: Option<Vec<String>>,
    /// Commands it offers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands: Option<Vec<String>>,
    /// What its user lets it do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<BTreeMap<String, bool>>,
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
}

/// A request that waits for approval.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PendingNode {
    /// Its id.
    pub request_id: String,
    /// The node.
    pub node_id: String,
    /// What it said.
    #[serde(flatten)]
    pub info: NodeInfo,
    /// Whether a companion app may approve it by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
    /// Whether the node was paired before.
    pub is_repair: bool,
    /// When it asked.
    pub ts: UnixMs,
    /// Keys this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Request for PendingNode {
    fn request_id(&self) -> &str {
        &self.request_id
    }

    fn subject(&self) -> &str {
        &self.node_id
    }

    fn asked_at_ms(&self) -> UnixMs {
        self.ts
    }
}

/// A paired node.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PairedNode {
    /// The node.
    pub node_id: String,
    /// Its secret.
    pub token: String,
    /// What it said.
    #[serde(flatten)]
    pub info: NodeInfo,
    /// Programs found on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bins: Option<Vec<String>>,
    /// When it was paired first.
    pub created_at_ms: UnixMs,
    /// When it was approved last.
    pub approved_at_ms: UnixMs,
    /// When it connected last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_connected_at_ms: Option<UnixMs>,
    /// Keys this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl std::fmt::Debug for PairedNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PairedNode").field("node_id", &self.node_id).finish_non_exhaustive()
    }
}

/// The two stores.
#[derive(Debug)]
pub struct NodePairing {
    paired: JsonStore<BTreeMap<String, PairedNode>>,
    requests: Requests<PendingNode>,
    /// Held over a whole decision.
    decision: Mutex<()>,
}

impl NodePairing {
    /// Opens the stores in `directory`.
    ///
    /// # Errors
    /// I/O errors of either file.
    pub fn open(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            paired: JsonStore::open(directory.join("paired.json"), Durability::Power)?,
            requests: Requests::open(directory.join("pending.json"))?,
            decision: Mutex::new(()),
        })
    }

    /// Returns what waits, newest first, and what is paired, last approved first.
    pub fn list(&self, now_ms: UnixMs) -> (Vec<PendingNode>, Vec<PairedNode>) {
        let mut paired: Vec<PairedNode> = self.paired.get().values().cloned().collect();
        crate::base::order::newest_first(&mut paired, |node| node.approved_at_ms);
        (self.requests.list(now_ms), paired)
    }

    /// Returns the node's waiting request, or raises one; and whether it is new.
    ///
    /// # Errors
    /// I/O errors; nothing was raised then.
    pub fn request(
        &self,
        node_id: &str,
        info: NodeInfo,
        silent: Option<bool>,
        now_ms: UnixMs,
        rng: &dyn Rng,
    ) -> io::Result<(PendingNode, bool)> {
        let _decision = self.lock();
        if let Some(waiting) = self.requests.of(node_id, now_ms) {
            return Ok((waiting, false));
        }
        let request = PendingNode {
            request_id: uuid(rng),
            node_id: node_id.to_owned(),
            info,
            silent,
            is_repair: self.paired.get().contains_key(node_id),
            ts: now_ms,
            extra: Map::new(),
        };
        self.requests.add(request.clone(), now_ms)?;
        Ok((request, true))
    }

    /// Approves a request and gives its node a new token; `None` when it does not wait, or no longer.
    ///
    /// # Errors
    /// I/O errors.
    pub fn approve(&self, request_id: &str, now_ms: UnixMs, rng: &dyn Rng) -> io::Result<Option<PairedNode>> {
        let _decision = self.lock();
        let Some(request) = self.requests.get(request_id, now_ms) else { return Ok(None) };
        let node = self.paired.update(|nodes| {
            let node = nodes.entry(request.node_id.clone()).or_default();
            node.node_id = request.node_id.clone();
            node.token = hex_token(rng, TOKEN_BYTES);
            node.info = request.info.clone();
            if node.created_at_ms == 0 {
                node.created_at_ms = now_ms;
            }
            node.approved_at_ms = now_ms;
            node.clone()
        })?;
        self.requests.take(request_id, now_ms)?;
        Ok(Some(node))
    }

    /// Drops a request and returns it; `None` when it does not wait, or no longer.
    ///
    /// # Errors
    /// I/O errors; it waits on then.
    pub fn reject(&self, request_id: &str, now_ms: UnixMs) -> io::Result<Option<PendingNode>> {
        let _decision = self.lock();
        self.requests.take(request_id, now_ms)
    }

    /// Returns the node whose token this is.
    pub fn verify(&self, node_id: &str, token: &str) -> Option<PairedNode> {
        let nodes = self.paired.get();
        nodes.get(node_id).filter(|node| constant_time_eq(node.token.as_bytes(), token.as_bytes())).cloned()
    }

    /// Gives a paired node another name; false when it is unknown.
    ///
    /// # Errors
    /// I/O errors; it keeps its name then.
    pub fn rename(&self, node_id: &str, display_name: &str) -> io::Result<bool> {
        self.change(node_id, |node| node.info.display_name = Some(display_name.to_owned()))
    }

    /// Notes that a node connected; false when it is not paired here.
    ///
    /// # Errors
    /// I/O errors.
    pub fn note_connected(&self, node_id: &str, now_ms: UnixMs) -> io::Result<bool> {
        self.change(node_id, |node| node.last_connected_at_ms = Some(now_ms))
    }

    /// Notes which programs a node has; false when it is not paired here.
    ///
    /// # Errors
    /// I/O errors.
    pub fn note_bins(&self, node_id: &str, bins: &[String]) -> io::Result<bool> {
        self.change(node_id, |node| node.bins = Some(bins.to_vec()))
    }

    /// Refuses every later write.
    pub fn close(&self) {
        self.paired.close();
        self.requests.close();
    }

    fn change(&self, node_id: &str, change: impl FnOnce(&mut PairedNode)) -> io::Result<bool> {
        let _decision = self.lock();
        if !self.paired.get().contains_key(node_id) {
            return Ok(false);
        }
        self.paired.update(|nodes| nodes.get_mut(node_id).map(change).is_some())
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.decision.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use crate::base::rng::SeededRng;

    #[test]
    fn nodes_are_paired_renamed_and_verified() {
        let dir = TempDir::new("node-pairing");
        let rng = SeededRng::new(1);
        let nodes = NodePairing::open(dir.path()).expect("open");
        let info = NodeInfo { display_name: Some("Phone".into()), ..NodeInfo::default() };
        let (request, is_new) = nodes.request("n", info.clone(), None, 1000, &rng).expect("request");
        assert!(is_new && !request.is_repair);
        let (same, is_new) = nodes.request("n", NodeInfo::default(), Some(true), 2000, &rng).expect("request");
        assert!(!is_new && same.request_id == request.request_id && same.info == info);
        let node = nodes.approve(&request.request_id, 3000, &rng).expect("approve").expect("waits");
        assert!(nodes.approve(&request.request_id, 3000, &rng).expect("approve").is_none());
        assert!(nodes.verify("n", &node.token).is_some() && nodes.verify("n", "bad").is_none());
        assert!(nodes.rename("n", "Other").expect("rename") && !nodes.rename("x", "Other").expect("rename"));
        assert!(nodes.note_connected("n", 4000).expect("note") && nodes.note_bins("n", &["git".into()]).expect("note"));

        let nodes = NodePairing::open(dir.path()).expect("reopen");
        let paired = nodes.list(5000).1.remove(0);
        assert_eq!((paired.info.display_name.as_deref(), paired.last_connected_at_ms), (Some("Other"), Some(4000)));
        let (again, _) = nodes.request("n", info, None, 5000, &rng).expect("request");
        assert!(again.is_repair);
        let repaired = nodes.approve(&again.request_id, 6000, &rng).expect("approve").expect("waits");
        assert_eq!((repaired.created_at_ms, repaired.bins), (3000, Some(vec!["git".to_owned()])));
        assert!(nodes.verify("n", &node.token).is_none(), "the old token is void");
        assert!(nodes.reject("nope", 6000).expect("reject").is_none());
    }
}
