//! Which node a person means: `--node` takes an id, an address, a name, or the beginning of an id (cli.md §18).

use serde_json::json;

use super::Cli;
use super::rpc::{self, CallError, ClientOptions, items};
use crate::nodes::reference::choose;

/// Returns the id of the node that `query` means.
///
/// # Errors
/// The text for the person: no such node, several, or a gateway that does not answer.
pub(super) fn resolve(cli: &Cli, options: &ClientOptions, query: &str) -> Result<String, String> {
    let listed = rpc::call(cli, options, "node.list", json!({})).map(|answer| answer["nodes"].clone());
    let nodes = listed.or_else(|error: CallError| match error.error.is_connection() {
        true => Err(error),
        // An older gateway knows pairings only.
        false => rpc::call(cli, options, "node.pair.list", json!({})).map(|answer| answer["paired"].clone()),
    });
    choose(items(&nodes.map_err(|error| error.to_string())?), query)
}
