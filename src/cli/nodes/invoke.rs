//! `nodes invoke`: any command of a node, with its answer as it is.

use serde_json::Value;

use super::{nodes_command, outcome};
use crate::cli::exit::Outcome;
use crate::cli::{Cli, Command, output};

nodes_command! {
    /// ask a node for any of its commands
    pub(in super::super) struct Invoke: 30_000 {
        /// node: id, name or address
        #[argh(option, arg_name = "idOrNameOrIp")]
        node: String,
        /// command, such as canvas.eval
        #[argh(option, arg_name = "command")]
        command: String,
        /// parameters as JSON (default: an empty object)
        #[argh(option, arg_name = "json", default = "\"{}\".to_owned()")]
        params: String,
        /// how long the node may take in milliseconds (default 15000)
        #[argh(option, arg_name = "ms", default = "15_000")]
        invoke_timeout: u64,
        /// key that makes a repeated request the same one
        #[argh(option, arg_name = "key")]
        idempotency_key: Option<String>,
    }
}

impl Command for Invoke {
    fn run(self, cli: &Cli) -> Outcome {
        outcome("invoke", self.invoke(cli).map(|answer| output::json(&answer)))
    }
}

impl Invoke {
    fn invoke(&self, cli: &Cli) -> Result<Value, String> {
        let calls = self.calls(cli);
        let node_id = calls.node_id(&self.node)?;
        let command = self.command.trim();
        if command.is_empty() {
            return Err("--node and --command required".to_owned());
        }
        let params: Value = serde_json::from_str(&self.params).map_err(|error| format!("--params: {error}"))?;
        calls.invoke_id(&node_id, command, params, Some(self.invoke_timeout), self.idempotency_key.as_deref())
    }
}
