//! `nodes pending`, `nodes approve`, `nodes reject`, `nodes rename`.

use serde_json::{Value, json};

use super::status::print_pending;
use super::{nodes_command, outcome};
use crate::base::clock::{Clock as _, SystemClock};
use crate::cli::exit::Outcome;
use crate::cli::rpc::items;
use crate::cli::{Cli, Command, output};

nodes_command! {
    /// show pairing requests
    pub(in super::super) struct Pending: 10_000 {}
}

impl Command for Pending {
    fn run(self, cli: &Cli) -> Outcome {
        outcome("pending", self.calls(cli).call("node.pair.list", json!({})).map(|list| self.show(&list["pending"])))
    }
}

impl Pending {
    fn show(&self, pending: &Value) {
        if self.json {
            output::json(&json!(items(pending)));
        } else if items(pending).is_empty() {
            output::line(&output::dim("No pending pairing requests."));
        } else {
            print_pending(items(pending), SystemClock.now_ms());
        }
    }
}

nodes_command! {
    /// let a node in
    pub(in super::super) struct Approve: 10_000 {
        /// id of the request
        #[argh(positional, arg_name = "requestId")]
        request_id: String,
    }
}

impl Command for Approve {
    fn run(self, cli: &Cli) -> Outcome {
        let answer = self.calls(cli).call("node.pair.approve", json!({"requestId": self.request_id}));
        outcome("approve", answer.map(|answer| output::json(&answer)))
    }
}

nodes_command! {
    /// keep a node out
    pub(in super::super) struct Reject: 10_000 {
        /// id of the request
        #[argh(positional, arg_name = "requestId")]
        request_id: String,
    }
}

impl Command for Reject {
    fn run(self, cli: &Cli) -> Outcome {
        let answer = self.calls(cli).call("node.pair.reject", json!({"requestId": self.request_id}));
        outcome("reject", answer.map(|answer| output::json(&answer)))
    }
}

nodes_command! {
    /// give a node another name
    pub(in super::super) struct Rename: 10_000 {
        /// node: id, name or address
        #[argh(option, arg_name = "idOrNameOrIp")]
        node: String,
        /// its new name
        #[argh(option, arg_name = "displayName")]
        name: String,
    }
}

impl Command for Rename {
    fn run(self, cli: &Cli) -> Outcome {
        outcome("rename", self.rename(cli))
    }
}

impl Rename {
    fn rename(&self, cli: &Cli) -> Result<(), String> {
        let calls = self.calls(cli);
        let node_id = calls.node_id(&self.node)?;
        let name = self.name.trim();
        if name.is_empty() {
            return Err("--node and --name required".to_owned());
        }
        let answer = calls.call("node.rename", json!({"nodeId": node_id, "displayName": name}))?;
        if self.json {
            output::json(&answer);
        } else {
            output::line(&format!("node rename ok: {node_id} -> {name}"));
        }
        Ok(())
    }
}
