//! `system`: events, heartbeats and presence of the running gateway.

use serde_json::{Value, json};

use super::exit::{Failure, Outcome};
use super::rpc::{self, client_command};
use super::{Cli, Command, output};

client_command! {
    /// tell the assistant something, at once or with the next heartbeat
    pub(super) struct Event {
        /// what to tell
        #[argh(option, arg_name = "text")]
        text: String,
        /// when: now or next-heartbeat (default)
        #[argh(option, arg_name = "mode", default = "\"next-heartbeat\".to_owned()")]
        mode: String,
    }
}

impl Command for Event {
    fn run(self, cli: &Cli) -> Outcome {
        let text = self.text.trim();
        if text.is_empty() {
            return Err(Failure::error("--text is required"));
        }
        if !matches!(self.mode.as_str(), "now" | "next-heartbeat") {
            return Err(Failure::error("--mode must be now or next-heartbeat"));
        }
        let result = rpc::call(cli, &self.client_options(), "wake", json!({"mode": self.mode, "text": text}))?;
        if self.json {
            output::json(&result)
        } else {
            output::line("ok")
        }
        Ok(())
    }
}

/// Declares a command that calls one method and prints the answer as JSON.
macro_rules! json_command {
    ($(#[$meta:meta])* $name:ident, $method:literal, $params:expr) => {
        client_command! {
            $(#[$meta])*
            pub(super) struct $name {}
        }

        impl Command for $name {
            fn run(self, cli: &Cli) -> Outcome {
                let params: Value = $params;
                output::json(&rpc::call(cli, &self.client_options(), $method, params)?);
                Ok(())
            }
        }
    };
}

json_command! {
    /// show the last heartbeat
    HeartbeatLast, "last-heartbeat", json!({})
}
json_command! {
    /// switch heartbeats on
    HeartbeatEnable, "set-heartbeats", json!({"enabled": true})
}
json_command! {
    /// switch heartbeats off
    HeartbeatDisable, "set-heartbeats", json!({"enabled": false})
}
json_command! {
    /// list who is connected
    Presence, "system-presence", json!({})
}
