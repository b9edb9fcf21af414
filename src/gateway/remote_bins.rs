//! Programs on connected Macs: a skill that needs one may be used through the node that has it (protocol.md §3.8).
//!
//! Owns what each connected node answered. A node is asked when it connects, and again some time after a skill changed;
//! the question is put together on a job, because skills are files. Not here: which skills there are (`skills`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::ctx::Ctx;
use super::nodes::{self, Invoke};
use super::work::Due;
use crate::agent::{session, workspace};
use crate::nodes::policy::Platform;
use crate::nodes::registry::Node;
use crate::skills::Sources;
use crate::skills::status::Remote;

/// How long a node has for the answer.
const TIMEOUT_MS: u64 = 15_000;
/// How long after a change of skills the nodes are asked again: installers and editors make many changes at once.
const CHANGE_DELAY: Duration = Duration::from_secs(30);
/// Programs that are kept of one node.
const BINS_MAX: usize = 1000;
/// How Node calls the platform of these nodes.
const PLATFORM: &str = "darwin";

/// See the module.
#[derive(Default)]
pub struct RemoteBins {
    by_node: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl RemoteBins {
    /// Returns what the nodes add to this machine; `None` when no node counts.
    pub fn remote(&self) -> Option<Remote> {
        let by_node = self.by_node.lock().unwrap_or_else(PoisonError::into_inner);
        let bins = by_node.values().flatten().cloned().collect();
        (!by_node.is_empty()).then(|| Remote { platforms: vec![PLATFORM.to_owned()], bins })
    }

    fn keep(&self, node_id: &str, bins: BTreeSet<String>) {
        self.by_node.lock().unwrap_or_else(PoisonError::into_inner).insert(node_id.to_owned(), bins);
    }

    /// Forgets a node that is no longer there.
    pub fn forget(&self, node_id: &str) {
        self.by_node.lock().unwrap_or_else(PoisonError::into_inner).remove(node_id);
    }
}

/// Returns whether a node's programs count: it is a Mac that runs or finds them.
fn counts(node: &Node) -> bool {
    let platform = Platform::of(node.platform.as_deref(), node.device_family.as_deref());
    platform == Platform::MacOs && ["system.which", "system.run"].iter().any(|command| offers(node, command))
}

fn offers(node: &Node, command: &str) -> bool {
    node.commands.iter().any(|own| own == command)
}

/// Asks a node which of the programs that skills need it has.
pub fn ask(cx: &Arc<Ctx>, node: &Arc<Node>) {
    if !counts(node) {
        return;
    }
    let (job_cx, node) = (cx.clone(), node.clone());
    let submitted = cx.jobs.submit(vec!["disk".to_owned()], move || {
        let bins = wanted(&job_cx);
        if !bins.is_empty() {
            question(&job_cx, &node, &bins);
        }
    });
    if let Err(error) = submitted {
        log::warn!(target: "gateway/nodes", "the node's programs stay unknown: {error}");
    }
}

/// Has all nodes asked again, later.
pub fn skills_changed(cx: &Ctx) {
    cx.timer.arm(CHANGE_DELAY, Due::RemoteBins);
}

/// Asks all nodes again.
pub fn ask_all(cx: &Arc<Ctx>) {
    cx.nodes.list().iter().for_each(|node| ask(cx, node));
}

/// The programs that skills require which could be used on such a node.
fn wanted(cx: &Ctx) -> Vec<String> {
    let config = cx.config.get();
    let mut bins = BTreeSet::new();
    for agent in session::agent_ids(&config) {
        let sources = Sources::new(&config, &cx.paths, &workspace::dir(&config, &cx.paths, &agent));
        for skill in cx.skills.all(&sources, cx.clock.now_ms()) {
            let requires = &skill.requires;
            if requires.os.is_empty() || requires.os.iter().any(|os| os == PLATFORM) {
                bins.extend(requires.bins.iter().chain(&requires.any_bins).cloned());
            }
        }
    }
    bins.into_iter().collect()
}

fn question(cx: &Arc<Ctx>, node: &Arc<Node>, bins: &[String]) {
    let (command, params) = if offers(node, "system.which") {
        ("system.which", json!({"bins": bins}))
    } else {
        // Names come from files: as arguments they cannot be read as commands.
        let script = "for bin in \"$@\"; do command -v -- \"$bin\" >/dev/null 2>&1 && echo \"$bin\"; done; true";
        let words = ["/bin/sh", "-lc", script, "sh"].into_iter().chain(bins.iter().map(String::as_str));
        ("system.run", json!({"command": words.collect::<Vec<_>>()}))
    };
    let invoke = Invoke {
        node_id: node.node_id.clone(),
        command: command.to_owned(),
        params: Some(params),
        timeout_ms: Some(TIMEOUT_MS),
        idempotency_key: None,
    };
    let (done_cx, node, asked) = (Arc::downgrade(cx), node.clone(), bins.to_vec());
    nodes::invoke(cx, invoke, move |result| {
        let Some(cx) = done_cx.upgrade() else { return };
        match result {
            Ok(reply) => answered(&cx, &node, &reply.payload, &asked),
            Err(error) => {
                log::warn!(target: "gateway/nodes", "node {} does not say its programs: {}", node.node_id, error.message);
            }
        }
    });
}

fn answered(cx: &Arc<Ctx>, node: &Arc<Node>, payload: &Value, asked: &[String]) {
    let bins = found(payload, asked);
    log::debug!(target: "gateway/nodes", "node {} has {} of the programs that skills need", node.node_id, bins.len());
    cx.remote_bins.keep(&node.node_id, bins.clone());
    // It may have gone while it answered; then nobody else would forget it.
    if cx.nodes.get(&node.node_id).is_none() {
        cx.remote_bins.forget(&node.node_id);
    }
    let (job_cx, id) = (cx.clone(), node.node_id.clone());
    nodes::note(cx, move || job_cx.node_pairing.note_bins(&id, &bins.into_iter().collect::<Vec<_>>()));
}

/// Reads `{bins: [name…]}`, `{bins: {name: path}}` or `{stdout}` with a name on each line; names that nobody asked for do
/// not count.
fn found(payload: &Value, asked: &[String]) -> BTreeSet<String> {
    let names: Vec<&str> = match (&payload["bins"], payload["stdout"].as_str()) {
        (Value::Array(list), _) => list.iter().filter_map(Value::as_str).collect(),
        (Value::Object(paths), _) => paths.keys().map(String::as_str).collect(),
        (_, Some(lines)) => lines.lines().collect(),
        _ => Vec::new(),
    };
    let known = names.into_iter().map(str::trim).filter(|name| asked.iter().any(|bin| bin == name));
    known.take(BINS_MAX).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_in_each_form() {
        let asked = ["git".to_owned(), "brew".to_owned()];
        for payload in [
            json!({"bins": ["git", "rm"]}),
            json!({"bins": {"git": "/usr/bin/git"}}),
            json!({"stdout": " git \nnoise\n"}),
        ] {
            assert_eq!(found(&payload, &asked), BTreeSet::from(["git".to_owned()]), "{payload}");
        }
        assert!(found(&json!(null), &asked).is_empty());
    }

    #[test]
    fn only_macs_count() {
        let node = |platform: &str, commands: &[&str]| Node {
            platform: Some(platform.to_owned()),
            commands: commands.iter().map(|&command| command.to_owned()).collect(),
            ..Node::default()
        };
        assert!(counts(&node("macos 14.4", &["system.which"])));
        assert!(!counts(&node("macos 14.4", &["camera.snap"])));
        assert!(!counts(&node("linux", &["system.which"])));
    }
}
