//! Which model servers answer on this machine: Ollama, llama.cpp, LM Studio at their usual ports.
//!
//! Asked one after the other; most of the time nothing is there, which a closed port says at once.

use std::io::Read as _;
use std::time::Duration;

use serde_json::Value;

use super::is_listening;
use crate::base::cancel::CancelToken;
use crate::base::clock::{Clock as _, SystemClock};
use crate::net::fetch::Fetch;
use crate::wizard::LocalServer;

/// How long a server may take to tell its models.
const WAIT: Duration = Duration::from_millis(1500);
/// How much it may tell.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
/// Models that are named.
const MODELS_MAX: usize = 20;

/// The word that chooses it, its name, its port.
const USUAL: [(&str, &str, u16); 3] =
    [("ollama", "Ollama", 11434), ("custom", "llama.cpp", 8080), ("custom", "LM Studio", 1234)];

/// Looks at the usual ports.
pub(super) fn look() -> Vec<LocalServer> {
    USUAL.iter().filter_map(|(word, label, port)| ask(word, label, *port)).collect()
}

fn ask(word: &'static str, label: &'static str, port: u16) -> Option<LocalServer> {
    if !is_listening(&format!("127.0.0.1:{port}")) {
        return None;
    }
    let cancel = CancelToken::new();
    cancel.set_deadline(SystemClock.now() + WAIT);
    let base_url = format!("http://127.0.0.1:{port}/v1");
    let answer = Fetch::new(&cancel).get(&format!("{base_url}/models"), &[]).ok().filter(|it| it.status == 200)?;
    let mut text = String::new();
    answer.body.take(ANSWER_BYTES_MAX).read_to_string(&mut text).ok()?;
    let listed: Value = serde_json::from_str(&text).ok()?;
    // Something else at this port would not answer in this form.
    let models = listed["data"].as_array()?.iter().filter_map(|model| model["id"].as_str().map(str::to_owned));
    Some(LocalServer { word, label, base_url, models: models.take(MODELS_MAX).collect() })
}
