//! `nodes screen record`: a film of a node's screen.

use std::path::PathBuf;

use serde_json::json;

use super::{Media, duration_ms, nodes_command, outcome, print_media, without_nulls};
use crate::cli::exit::Outcome;
use crate::cli::{Cli, Command, output};

nodes_command! {
    /// film a node's screen
    pub(in super::super) struct ScreenRecord: 180_000 {
        /// node: id, name or address
        #[argh(option, arg_name = "idOrNameOrIp")]
        node: String,
        /// screen, 0 (default) is the main one
        #[argh(option, arg_name = "index", default = "0")]
        screen: u64,
        /// length, such as 10s (default)
        #[argh(option, arg_name = "duration", default = "\"10000\".to_owned()")]
        duration: String,
        /// pictures per second (default 10)
        #[argh(option, arg_name = "fps", default = "10.0")]
        fps: f64,
        /// without the microphone's sound
        #[argh(switch)]
        no_audio: bool,
        /// file to write (default: a temporary one)
        #[argh(option, arg_name = "path")]
        out: Option<PathBuf>,
        /// how long the node may take in milliseconds (default 120000)
        #[argh(option, arg_name = "ms", default = "120_000")]
        invoke_timeout: u64,
    }
}

impl Command for ScreenRecord {
    fn run(self, cli: &Cli) -> Outcome {
        outcome("screen record", self.record(cli))
    }
}

impl ScreenRecord {
    fn record(&self, cli: &Cli) -> Result<(), String> {
        let calls = self.calls(cli);
        let node_id = calls.node_id(&self.node)?;
        let params = json!({
            "durationMs": duration_ms(&self.duration)?, "screenIndex": self.screen, "fps": self.fps, "format": "mp4",
            "includeAudio": !self.no_audio,
        });
        let answer = calls.invoke_id(&node_id, "screen.record", params, Some(self.invoke_timeout), None)?;
        let media = Media::of(&answer, "screen.record")?;
        let path = match &self.out {
            Some(path) => media.save_as(path).map(|()| path.clone())?,
            None => media.save("screen-record")?,
        };
        if self.json {
            let of = |key: &str| media.payload[key].clone();
            let file = without_nulls(json!({
                "path": path, "durationMs": of("durationMs"), "fps": of("fps"), "screenIndex": of("screenIndex"),
                "hasAudio": of("hasAudio"),
            }));
            output::json(&json!({"file": file}));
        } else {
            print_media(cli, &path);
        }
        Ok(())
    }
}
