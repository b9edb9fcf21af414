//! `nodes location get`: where a node is.

use serde_json::json;

use super::{nodes_command, outcome, without_nulls};
use crate::cli::exit::Outcome;
use crate::cli::{Cli, Command, output};

nodes_command! {
    /// ask a node where it is
    pub(in super::super) struct LocationGet: 30_000 {
        /// node: id, name or address
        #[argh(option, arg_name = "idOrNameOrIp")]
        node: String,
        /// a place known for at most this long will do, in milliseconds
        #[argh(option, arg_name = "ms")]
        max_age: Option<u64>,
        /// coarse, balanced or precise
        #[argh(option, arg_name = "accuracy")]
        accuracy: Option<String>,
        /// how long the node may look for its place in milliseconds (default 10000)
        #[argh(option, arg_name = "ms", default = "10_000")]
        location_timeout: u64,
        /// how long the node may take in milliseconds (default 20000)
        #[argh(option, arg_name = "ms", default = "20_000")]
        invoke_timeout: u64,
    }
}

impl Command for LocationGet {
    fn run(self, cli: &Cli) -> Outcome {
        outcome("location get", self.get(cli))
    }
}

impl LocationGet {
    fn get(&self, cli: &Cli) -> Result<(), String> {
        let accuracy = self.accuracy.as_deref().map(|text| text.trim().to_lowercase());
        // compat: an unknown word leaves the choice to the node.
        let accuracy = accuracy.filter(|word| matches!(word.as_str(), "coarse" | "balanced" | "precise"));
        let params = without_nulls(json!({
            "maxAgeMs": self.max_age, "desiredAccuracy": accuracy, "timeoutMs": self.location_timeout,
        }));
        let answer = self.calls(cli).invoke(&self.node, "location.get", params, Some(self.invoke_timeout))?;
        let payload = &answer["payload"];
        if self.json {
            output::json(payload);
            return Ok(());
        }
        match (&payload["lat"], &payload["lon"]) {
            (lat, lon) if lat.is_number() && lon.is_number() => {
                let accuracy = payload["accuracyMeters"].as_f64();
                let accuracy = accuracy.map(|meters| format!(" ±{meters:.1}m")).unwrap_or_default();
                output::line(&format!("{lat},{lon}{accuracy}"));
            }
            _ => output::line(&payload.to_string()),
        }
        Ok(())
    }
}
