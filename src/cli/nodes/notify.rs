//! `nodes notify`: a notification on a node's screen.

use serde_json::json;

use super::{nodes_command, outcome, without_nulls};
use crate::cli::exit::Outcome;
use crate::cli::{Cli, Command, output};

nodes_command! {
    /// show a notification on a node
    pub(in super::super) struct Notify: 10_000 {
        /// node: id, name or address
        #[argh(option, arg_name = "idOrNameOrIp")]
        node: String,
        /// title
        #[argh(option, arg_name = "text")]
        title: Option<String>,
        /// text
        #[argh(option, arg_name = "text")]
        body: Option<String>,
        /// sound
        #[argh(option, arg_name = "name")]
        sound: Option<String>,
        /// passive, active or timeSensitive
        #[argh(option, arg_name = "priority")]
        priority: Option<String>,
        /// system (default), overlay or auto
        #[argh(option, arg_name = "mode", default = "\"system\".to_owned()")]
        delivery: String,
        /// how long the node may take in milliseconds (default 15000)
        #[argh(option, arg_name = "ms", default = "15_000")]
        invoke_timeout: u64,
    }
}

impl Command for Notify {
    fn run(self, cli: &Cli) -> Outcome {
        outcome("notify", self.notify(cli))
    }
}

impl Notify {
    fn notify(&self, cli: &Cli) -> Result<(), String> {
        let calls = self.calls(cli);
        let node_id = calls.node_id(&self.node)?;
        let trimmed = |text: &Option<String>| text.as_deref().map(str::trim).unwrap_or_default().to_owned();
        let (title, body) = (trimmed(&self.title), trimmed(&self.body));
        if title.is_empty() && body.is_empty() {
            return Err("missing --title or --body".to_owned());
        }
        let params = without_nulls(json!({
            "title": title, "body": body, "sound": self.sound, "priority": self.priority, "delivery": self.delivery,
        }));
        let answer = calls.invoke_id(&node_id, "system.notify", params, Some(self.invoke_timeout), None)?;
        if self.json {
            output::json(&answer);
        } else {
            output::line("notify ok");
        }
        Ok(())
    }
}
