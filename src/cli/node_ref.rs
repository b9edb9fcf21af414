//! Which node a person means: `--node` takes an id, an address, a name, or the beginning of an id (cli.md §18).

use serde_json::{Value, json};

use super::Cli;
use super::rpc::{self, CallError, ClientOptions, items};
use crate::nodes::reference::choose;

/// Returns the id of the node that `query` means.
///
/// # Errors
/// As [`find`].
pub(super) fn resolve(cli: &Cli, options: &ClientOptions, query: &str) -> Result<String, String> {
    find(cli, options, query).map(|(id, _)| id)
}

/// Returns the id of the node that `query` means, and what is known of it.
///
/// # Errors
/// The text for the person: no such node, several, or a gateway that does not answer.
pub(super) fn find(cli: &Cli, options: &ClientOptions, query: &str) -> Result<(String, Value), String> {
    let listed = rpc::call(cli, options, "node.list", json!({})).map(|answer| answer["nodes"].clone());
    let nodes = listed.or_else(|error: CallError| match error.error.is_connection() {
        true => Err(error),
        // An older gateway knows pairings only.
        false => rpc::call(cli, options, "node.pair.list", json!({})).map(|answer| answer["paired"].clone()),
    });
    let nodes = nodes.map_err(|error| error.to_string())?;
    let id = choose(items(&nodes), query)?;
    let node = items(&nodes).iter().find(|node| node["nodeId"] == *id).cloned();
    Ok((id, node.unwrap_or_default()))
}
