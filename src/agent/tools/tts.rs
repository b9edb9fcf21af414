//! `tts`: a text made into speech.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::arguments::Arguments;
use super::{Tool, ToolContext, ToolResult, always};
use crate::media;

/// How long a provider of speech may take.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) const TOOL: Tool = Tool {
    name: "tts",
    description: "Make speech of a text; returns a MEDIA: line to be copied exactly into the answer. For when the user wants \
                  to hear something.",
    parameters: &[("text", "string*", "What to say"), ("channel", "string", "Channel that the format is for")],
    is_local: false,
    is_wanted: always,
    run,
};

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let params = json!({"text": args.required("text")?, "channel": args.text("channel").unwrap_or(cx.channel)});
    let speech = match cx.host.call("tts.convert", params, TIMEOUT, cx.cancel) {
        Ok(speech) => speech,
        // compat: said in plain words, not as a failed tool.
        Err(error) => return Ok(ToolResult::text(error.clone(), Some(json!({"error": error})))),
    };
    let path = speech["audioPath"].as_str().unwrap_or_default();
    // What clients are handed goes after minutes and at a stop; the answer that names this may be on its way for longer.
    let path = media::keep_for_sending(cx.paths, &**cx.rng, Path::new(path))
        .map_err(|error| format!("cannot keep the audio: {error}"))?;
    let path = path.display().to_string();
    let voice = if speech["voiceCompatible"] == true { "[[audio_as_voice]]\n" } else { "" };
    let details = json!({"audioPath": path, "provider": speech["provider"]});
    Ok(ToolResult::text(format!("{voice}MEDIA:{path}"), Some(details)))
}
