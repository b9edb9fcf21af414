//! `nodes status`, `nodes list`, `nodes describe`.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{Calls, age, duration_ms, nodes_command, outcome, text};
use crate::base::clock::{Clock as _, SystemClock};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::rpc::items;
use crate::cli::{Cli, Command, output};

nodes_command! {
    /// show the known nodes: connected or not, and what they can do
    pub(in super::super) struct Status: 10_000 {
        /// only nodes that are connected
        #[argh(switch)]
        connected: bool,
        /// only nodes that connected within this time, such as 24h
        #[argh(option, arg_name = "duration")]
        last_connected: Option<String>,
    }
}

impl Command for Status {
    fn run(self, cli: &Cli) -> Outcome {
        let filter = Filter::new(self.connected, self.last_connected.as_deref())?;
        outcome("status", self.show(&self.calls(cli), &filter))
    }
}

impl Status {
    fn show(&self, calls: &Calls<'_>, filter: &Filter) -> Result<(), String> {
        let mut list = calls.call("node.list", json!({}))?;
        let nodes = list["nodes"].take();
        let pairings = match filter.within_ms {
            Some(_) => calls.call("node.pair.list", json!({}))?,
            None => Value::Null,
        };
        let paired = by_id(&pairings["paired"]);
        let now_ms = SystemClock.now_ms();
        let shown: Vec<&Value> = items(&nodes)
            .iter()
            .filter(|node| filter.takes(node, paired.get(text(node, "nodeId")).copied(), now_ms))
            .collect();
        if self.json {
            let mut answer = if list.is_object() { list } else { json!({}) };
            if !answer["ts"].is_u64() {
                answer["ts"] = now_ms.into();
            }
            answer["nodes"] = json!(shown);
            output::json(&answer);
            return Ok(());
        }
        let count = |key: &str| shown.iter().filter(|node| node[key] == true).count();
        let of = of_all(shown.len(), items(&nodes).len());
        output::line(&format!(
            "Known: {}{of} · Paired: {} · Connected: {}",
            shown.len(),
            count("paired"),
            count("connected")
        ));
        if !shown.is_empty() {
            let rows: Vec<Vec<String>> = shown.iter().map(|node| status_row(calls.cli, node, now_ms)).collect();
            output::line(&output::table(&["Node", "ID", "IP", "Detail", "Status", "Caps"], &rows));
        }
        Ok(())
    }
}

fn status_row(cli: &Cli, node: &Value, now_ms: u64) -> Vec<String> {
    let field =
        |label: &str, key: &str| Some(text(node, key)).filter(|it| !it.is_empty()).map(|it| format!("{label}: {it}"));
    let detail = [
        field("device", "deviceFamily"),
        field("hw", "modelIdentifier"),
        permissions(node).map(|permissions| format!("perms: {permissions}")),
        versions(node),
        short_path(cli, text(node, "pathEnv")).map(|path| format!("path: {path}")),
    ];
    let since = node["connectedAtMs"].as_u64().map(|at| format!(" ({})", age(now_ms, at))).unwrap_or_default();
    vec![
        name_of(node),
        text(node, "nodeId").to_owned(),
        text(node, "remoteIp").to_owned(),
        detail.into_iter().flatten().collect::<Vec<_>>().join(" · "),
        format!("{}{since}", state_of(node)),
        caps(node),
    ]
}

nodes_command! {
    /// show pairing requests and paired nodes
    pub(in super::super) struct List: 10_000 {
        /// only nodes that are connected
        #[argh(switch)]
        connected: bool,
        /// only nodes that connected within this time, such as 24h
        #[argh(option, arg_name = "duration")]
        last_connected: Option<String>,
    }
}

impl Command for List {
    fn run(self, cli: &Cli) -> Outcome {
        let filter = Filter::new(self.connected, self.last_connected.as_deref())?;
        outcome("list", self.show(&self.calls(cli), &filter))
    }
}

impl List {
    fn show(&self, calls: &Calls<'_>, filter: &Filter) -> Result<(), String> {
        let pairings = calls.call("node.pair.list", json!({}))?;
        let is_filtered = filter.connected || filter.within_ms.is_some();
        // Requests are not connected; a filter leaves them out.
        let pending: &[Value] = if is_filtered { &[] } else { items(&pairings["pending"]) };
        let live = if is_filtered { calls.call("node.list", json!({}))? } else { Value::Null };
        let live = by_id(&live["nodes"]);
        let now_ms = SystemClock.now_ms();
        let all = items(&pairings["paired"]);
        let absent = Value::Null;
        let live_of = |node: &Value| live.get(text(node, "nodeId")).copied().unwrap_or(&absent);
        let paired: Vec<&Value> =
            all.iter().filter(|node| !is_filtered || filter.takes(live_of(node), Some(node), now_ms)).collect();
        if self.json {
            output::json(&json!({"pending": pending, "paired": paired}));
            return Ok(());
        }
        output::line(&format!(
            "Pending: {} · Paired: {}{}",
            pending.len(),
            paired.len(),
            of_all(paired.len(), all.len())
        ));
        if !pending.is_empty() {
            output::line("");
            print_pending(pending, now_ms);
        }
        if !paired.is_empty() {
            let row = |node: &&Value| {
                let at = node["lastConnectedAtMs"].as_u64().or_else(|| live_of(node)["connectedAtMs"].as_u64());
                let last = at.map_or_else(|| "unknown".to_owned(), |at| age(now_ms, at));
                vec![name_of(node), text(node, "nodeId").to_owned(), text(node, "remoteIp").to_owned(), last]
            };
            output::line(&format!("\n{}", output::bold("Paired")));
            let rows: Vec<Vec<String>> = paired.iter().map(row).collect();
            output::line(&output::table(&["Node", "ID", "IP", "Last Connect"], &rows));
        }
        Ok(())
    }
}

/// Prints the table of pairing requests.
pub(super) fn print_pending(pending: &[Value], now_ms: u64) {
    let row = |request: &Value| {
        let requested = request["ts"].as_u64().map_or_else(|| "unknown".to_owned(), |at| age(now_ms, at));
        let repair = if request["isRepair"] == true { "yes" } else { "" };
        vec![
            text(request, "requestId").to_owned(),
            name_of(request),
            text(request, "remoteIp").to_owned(),
            requested,
            repair.to_owned(),
        ]
    };
    output::line(&output::bold("Pending"));
    let rows: Vec<Vec<String>> = pending.iter().map(row).collect();
    output::line(&output::table(&["Request", "Node", "IP", "Requested", "Repair"], &rows));
}

nodes_command! {
    /// show one node with every command it answers to
    pub(in super::super) struct Describe: 10_000 {
        /// node: id, name or address
        #[argh(option, arg_name = "idOrNameOrIp")]
        node: String,
    }
}

impl Command for Describe {
    fn run(self, cli: &Cli) -> Outcome {
        outcome("describe", self.show(&self.calls(cli)))
    }
}

impl Describe {
    fn show(&self, calls: &Calls<'_>) -> Result<(), String> {
        let node_id = calls.node_id(&self.node)?;
        let node = calls.call("node.describe", json!({"nodeId": node_id}))?;
        if self.json {
            output::json(&node);
            return Ok(());
        }
        let given = |key: &str| Some(text(&node, key).to_owned()).filter(|text| !text.is_empty());
        let fields = [
            ("ID", Some(node_id.clone())),
            ("Name", Some(given("displayName").unwrap_or(node_id))),
            ("IP", given("remoteIp")),
            ("Device", given("deviceFamily")),
            ("Model", given("modelIdentifier")),
            ("Perms", permissions(&node)),
            ("Version", versions(&node)),
            ("PATH", given("pathEnv")),
            ("Status", Some(state_of(&node))),
            ("Caps", Some(caps(&node))),
        ];
        let rows: Vec<Vec<String>> =
            fields.into_iter().filter_map(|(name, value)| Some(vec![name.to_owned(), value?])).collect();
        output::line(&output::bold("Node"));
        output::line(&output::table(&["Field", "Value"], &rows));
        output::line(&format!("\n{}", output::bold("Commands")));
        let commands = sorted(&node["commands"]);
        if commands.is_empty() {
            output::line(&output::dim("- (none reported)"));
        }
        for command in commands {
            output::line(&format!("- {command}"));
        }
        Ok(())
    }
}

/// Which nodes are shown.
struct Filter {
    connected: bool,
    within_ms: Option<u64>,
}

impl Filter {
    fn new(connected: bool, last_connected: Option<&str>) -> Result<Self, Failure> {
        let given = last_connected.filter(|text| !text.trim().is_empty());
        let within_ms = given.map(duration_ms).transpose();
        let within_ms = within_ms.map_err(|error| Failure::text(format!("Invalid --last-connected: {error}")))?;
        Ok(Self { connected, within_ms })
    }

    /// Judges a node by what the registry and the pairing store say of it.
    fn takes(&self, live: &Value, paired: Option<&Value>, now_ms: u64) -> bool {
        if self.connected && live["connected"] != true {
            return false;
        }
        let Some(within_ms) = self.within_ms else { return true };
        let at_ms = paired.and_then(|it| it["lastConnectedAtMs"].as_u64()).or_else(|| live["connectedAtMs"].as_u64());
        at_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) <= within_ms)
    }
}

fn by_id(nodes: &Value) -> HashMap<&str, &Value> {
    items(nodes).iter().map(|node| (text(node, "nodeId"), node)).collect()
}

fn of_all(shown: usize, all: usize) -> String {
    if shown == all { String::new() } else { format!(" (of {all})") }
}

fn name_of(node: &Value) -> String {
    let name = text(node, "displayName");
    if name.is_empty() { text(node, "nodeId").to_owned() } else { name.to_owned() }
}

fn state_of(node: &Value) -> String {
    let paired = if node["paired"] == true { "paired" } else { "unpaired" };
    let connected = if node["connected"] == true { "connected" } else { "disconnected" };
    format!("{paired} · {connected}")
}

fn caps(node: &Value) -> String {
    if node["caps"].is_array() { sorted(&node["caps"]).join(", ") } else { "?".to_owned() }
}

fn sorted(list: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = items(list).iter().filter_map(Value::as_str).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names
}

/// `[camera=yes, location=no]`.
fn permissions(node: &Value) -> Option<String> {
    let mut parts: Vec<String> = node["permissions"]
        .as_object()?
        .iter()
        .filter(|(name, _)| !name.trim().is_empty())
        .map(|(name, granted)| format!("{}={}", name.trim(), if *granted == true { "yes" } else { "no" }))
        .collect();
    parts.sort_unstable();
    (!parts.is_empty()).then(|| format!("[{}]", parts.join(", ")))
}

/// `core v1.2 · ui v3`; a node that tells one version has it as its kind has: computers core, phones ui.
fn versions(node: &Value) -> Option<String> {
    let label =
        |text: &str| if text.starts_with(|c: char| c.is_ascii_digit()) { format!("v{text}") } else { text.to_owned() };
    let part = |name: &str, text: &str| (!text.is_empty()).then(|| format!("{name} {}", label(text)));
    let (core, ui) = match (text(node, "coreVersion"), text(node, "uiVersion")) {
        ("", "") => match text(node, "platform").to_lowercase().as_str() {
            "darwin" | "linux" | "win32" | "windows" => (text(node, "version"), ""),
            _ => ("", text(node, "version")),
        },
        both => both,
    };
    let parts: Vec<String> = [part("core", core), part("ui", ui)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}

/// The first two and the last directory.
fn short_path(cli: &Cli, path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split(':').filter(|part| !part.is_empty()).collect();
    let shown = match parts[..] {
        [] => return None,
        [first, second, _, .., last] => format!("{first}:{second}:…:{last}"),
        _ => path.to_owned(),
    };
    let home = cli.paths.home.to_string_lossy();
    Some(if home.len() > 1 { shown.replace(&*home, "~") } else { shown })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_by_kind() {
        let check = |node: Value, expected: Option<&str>| assert_eq!(versions(&node).as_deref(), expected, "{node}");
        check(json!({"platform": "Linux", "version": "1.2"}), Some("core v1.2"));
        check(json!({"platform": "ios", "version": "v3"}), Some("ui v3"));
        check(json!({"coreVersion": "1", "uiVersion": "dev", "version": "9"}), Some("core v1 · ui dev"));
        check(json!({}), None);
    }

    #[test]
    fn filters() {
        let filter = Filter::new(true, Some("1m")).expect("valid");
        let live = json!({"connected": true, "connectedAtMs": 100_000});
        assert!(filter.takes(&live, None, 160_000) && !filter.takes(&live, None, 160_001));
        assert!(filter.takes(&live, Some(&json!({"lastConnectedAtMs": 150_000})), 200_000));
        assert!(!filter.takes(&json!({"connected": false, "connectedAtMs": 1}), None, 2));
        let error = Filter::new(false, Some("soon")).err();
        assert_eq!(error, Some(Failure::text("Invalid --last-connected: invalid duration: soon")));
    }

    #[test]
    fn permissions_in_order() {
        let node = json!({"permissions": {"screen": false, "camera": true}});
        assert_eq!(permissions(&node).as_deref(), Some("[camera=yes, screen=no]"));
        assert_eq!(permissions(&json!({"permissions": {}})), None);
    }
}
