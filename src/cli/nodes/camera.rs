//! `nodes camera`: pictures and films from a node's cameras.

use serde_json::{Value, json};

use super::{Media, duration_ms, nodes_command, outcome, print_media, text, without_nulls};
use crate::base::text::unless_blank;
use crate::cli::exit::Outcome;
use crate::cli::rpc::items;
use crate::cli::{Cli, Command, output};

nodes_command! {
    /// list a node's cameras
    pub(in super::super) struct CameraList: 60_000 {
        /// node: id, name or address
        #[argh(option, arg_name = "idOrNameOrIp")]
        node: String,
    }
}

impl Command for CameraList {
    fn run(self, cli: &Cli) -> Outcome {
        let answer = self.calls(cli).invoke(&self.node, "camera.list", json!({}), None);
        outcome("camera list", answer.map(|answer| self.show(items(&answer["payload"]["devices"]))))
    }
}

impl CameraList {
    fn show(&self, devices: &[Value]) {
        if self.json {
            output::json(&json!(devices));
            return;
        }
        if devices.is_empty() {
            output::line(&output::dim("No cameras reported."));
            return;
        }
        let row = |device: &Value| {
            let or = |key: &str, otherwise: &str| device[key].as_str().unwrap_or(otherwise).to_owned();
            vec![or("name", "Unknown Camera"), or("position", "unspecified"), text(device, "id").to_owned()]
        };
        output::line(&output::bold("Cameras"));
        output::line(&output::table(&["Name", "Position", "ID"], &devices.iter().map(row).collect::<Vec<_>>()));
    }
}

nodes_command! {
    /// take a picture with a node's camera
    pub(in super::super) struct CameraSnap: 60_000 {
        /// node: id, name or address
        #[argh(option, arg_name = "idOrNameOrIp")]
        node: String,
        /// front, back or both (default)
        #[argh(option, arg_name = "facing", default = "\"both\".to_owned()")]
        facing: String,
        /// camera, as nodes camera list calls it
        #[argh(option, arg_name = "id")]
        device_id: Option<String>,
        /// largest width in pixels
        #[argh(option, arg_name = "px")]
        max_width: Option<u64>,
        /// quality of the JPEG, 0 to 1
        #[argh(option, arg_name = "quality")]
        quality: Option<f64>,
        /// wait before the picture in milliseconds
        #[argh(option, arg_name = "ms")]
        delay_ms: Option<u64>,
        /// how long the node may take in milliseconds (default 20000)
        #[argh(option, arg_name = "ms", default = "20_000")]
        invoke_timeout: u64,
    }
}

impl Command for CameraSnap {
    fn run(self, cli: &Cli) -> Outcome {
        outcome("camera snap", self.snap(cli))
    }
}

impl CameraSnap {
    fn snap(&self, cli: &Cli) -> Result<(), String> {
        let calls = self.calls(cli);
        let node_id = calls.node_id(&self.node)?;
        let facings: &[&str] = match self.facing.trim().to_lowercase().as_str() {
            "both" => &["front", "back"],
            "front" => &["front"],
            "back" => &["back"],
            _ => return Err(format!("invalid facing: {} (expected front|back|both)", self.facing)),
        };
        let mut files = Vec::new();
        for facing in facings {
            let params = without_nulls(json!({
                "facing": facing, "maxWidth": self.max_width, "quality": self.quality, "format": "jpg",
                "delayMs": self.delay_ms, "deviceId": given(self.device_id.as_deref()),
            }));
            let answer = calls.invoke_id(&node_id, "camera.snap", params, Some(self.invoke_timeout), None)?;
            let media = Media::of(&answer, "camera.snap")?;
            if !media.payload["width"].is_number() || !media.payload["height"].is_number() {
                return Err("invalid camera.snap payload".to_owned());
            }
            let path = media.save(&format!("camera-snap-{facing}"))?;
            let (width, height) = (media.payload["width"].clone(), media.payload["height"].clone());
            files.push((path, *facing, width, height));
        }
        if self.json {
            let file = |(path, facing, width, height): &(std::path::PathBuf, &str, Value, Value)| json!({"facing": facing, "path": path, "width": width, "height": height});
            output::json(&json!({"files": files.iter().map(file).collect::<Vec<_>>()}));
        } else {
            files.iter().for_each(|(path, ..)| print_media(cli, path));
        }
        Ok(())
    }
}

nodes_command! {
    /// take a short film with a node's camera
    pub(in super::super) struct CameraClip: 90_000 {
        /// node: id, name or address
        #[argh(option, arg_name = "idOrNameOrIp")]
        node: String,
        /// front (default) or back
        #[argh(option, arg_name = "facing", default = "\"front\".to_owned()")]
        facing: String,
        /// camera, as nodes camera list calls it
        #[argh(option, arg_name = "id")]
        device_id: Option<String>,
        /// length, such as 3000 (default) or 10s
        #[argh(option, arg_name = "duration", default = "\"3000\".to_owned()")]
        duration: String,
        /// without sound
        #[argh(switch)]
        no_audio: bool,
        /// how long the node may take in milliseconds (default 90000)
        #[argh(option, arg_name = "ms", default = "90_000")]
        invoke_timeout: u64,
    }
}

impl Command for CameraClip {
    fn run(self, cli: &Cli) -> Outcome {
        outcome("camera clip", self.clip(cli))
    }
}

impl CameraClip {
    fn clip(&self, cli: &Cli) -> Result<(), String> {
        let calls = self.calls(cli);
        let node_id = calls.node_id(&self.node)?;
        let facing = self.facing.trim().to_lowercase();
        if !matches!(facing.as_str(), "front" | "back") {
            return Err(format!("invalid facing: {} (expected front|back)", self.facing));
        }
        let params = without_nulls(json!({
            "facing": facing, "durationMs": duration_ms(&self.duration)?, "includeAudio": !self.no_audio,
            "format": "mp4", "deviceId": given(self.device_id.as_deref()),
        }));
        let answer = calls.invoke_id(&node_id, "camera.clip", params, Some(self.invoke_timeout), None)?;
        let media = Media::of(&answer, "camera.clip")?;
        let (duration, has_audio) = (&media.payload["durationMs"], &media.payload["hasAudio"]);
        if !duration.is_number() || !has_audio.is_boolean() {
            return Err("invalid camera.clip payload".to_owned());
        }
        let path = media.save(&format!("camera-clip-{facing}"))?;
        if self.json {
            let file = json!({"facing": facing, "path": path, "durationMs": duration, "hasAudio": has_audio});
            output::json(&json!({"file": file}));
        } else {
            print_media(cli, &path);
        }
        Ok(())
    }
}

fn given(text: Option<&str>) -> Option<&str> {
    text.and_then(unless_blank)
}
