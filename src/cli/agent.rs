//! `agent`: one turn of the assistant through the running gateway, its answer on stdout (cli.md §14).

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::exit::{Failure, Outcome};
use super::rpc::{self, ClientOptions, items};
use super::{Cli, Command, output, sessions};
use crate::agent::session::{agent_ids, default_agent, main_key, normalize_agent_id};
use crate::agent::sessions::store_path;
use crate::base::ids::AgentId;
use crate::base::rng::{SystemRng, uuid};
use crate::base::text::unless_blank;

/// Run limit in seconds when neither the flag nor the configuration names one.
const TIMEOUT_DEFAULT_S: u64 = 600;
/// How much longer than the run the answer may take.
const TIMEOUT_MARGIN: Duration = Duration::from_secs(30);

/// run one turn of the assistant through the gateway
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Agent {
    /// what to say
    #[argh(option, short = 'm', arg_name = "text")]
    message: String,
    /// recipient that selects the session
    #[argh(option, short = 't', arg_name = "number")]
    to: Option<String>,
    /// session id to continue
    #[argh(option, arg_name = "id")]
    session_id: Option<String>,
    /// agent that answers
    #[argh(option, arg_name = "id")]
    agent: Option<String>,
    /// thinking level: off, minimal, low, medium or high
    #[argh(option, arg_name = "level")]
    thinking: Option<String>,
    /// keep tool output in the session: on or off
    #[argh(option, arg_name = "on|off")]
    #[allow(dead_code)] // Only an embedded run could use it; the wire has no such field.
    verbose: Option<String>,
    /// channel of the delivery: last, or a channel's id
    #[argh(option, arg_name = "channel")]
    channel: Option<String>,
    /// where to deliver instead of the session's own target
    #[argh(option, arg_name = "target")]
    reply_to: Option<String>,
    /// channel to deliver through instead
    #[argh(option, arg_name = "channel")]
    reply_channel: Option<String>,
    /// account to deliver from instead
    #[argh(option, arg_name = "id")]
    reply_account: Option<String>,
    /// run in this process (not available: runs belong to the gateway)
    #[argh(switch)]
    local: bool,
    /// send the answer through the channel, too
    #[argh(switch)]
    deliver: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// run limit in seconds (default: agents.defaults.timeoutSeconds, 600)
    #[argh(option, arg_name = "seconds")]
    timeout: Option<String>,
}

impl Command for Agent {
    fn run(self, cli: &Cli) -> Outcome {
        let message = self.message.trim();
        if message.is_empty() {
            return Err(Failure::error("Message (--message) is required"));
        }
        if self.local {
            return Err(Failure::error("--local is not available: start the gateway and run without it"));
        }
        let agent = self.agent(cli)?;
        if agent.is_none() && blank(&self.to) && blank(&self.session_id) {
            return Err(Failure::error("Pass --to <E.164>, --session-id, or --agent to choose a session"));
        }
        let timeout_s = self.timeout_s(cli)?;
        let wait = Duration::from_secs(timeout_s).saturating_add(TIMEOUT_MARGIN);
        let options = ClientOptions { timeout: wait, expect_final: true, ..ClientOptions::default() };
        let params = self.params(cli, message, agent.as_ref(), timeout_s);
        let result = rpc::call(cli, &options, "agent", params)?;
        if self.json {
            output::json(&result);
            return Ok(());
        }
        output::line(&reply_text(&result));
        Ok(())
    }
}

impl Agent {
    fn agent(&self, cli: &Cli) -> Result<Option<AgentId>, Failure> {
        let Some(given) = self.agent.as_deref().and_then(unless_blank) else {
            return Ok(None);
        };
        let agent = normalize_agent_id(given);
        if !agent_ids(cli.config()).contains(&agent) {
            let list = cli.paths.hint("agents list");
            let text = format!("Unknown agent id \"{given}\". Use \"{list}\" to see configured agents.");
            return Err(Failure::error(text));
        }
        Ok(Some(agent))
    }

    fn timeout_s(&self, cli: &Cli) -> Result<u64, Failure> {
        match self.timeout.as_deref() {
            None => Ok(cli.config().agents.defaults.timeout_seconds.unwrap_or(TIMEOUT_DEFAULT_S)),
            Some(text) => text
                .trim()
                .parse()
                .ok()
                .filter(|&seconds: &u64| seconds > 0)
                .ok_or_else(|| Failure::error("--timeout must be a positive integer (seconds)")),
        }
    }

    fn params(&self, cli: &Cli, message: &str, agent: Option<&AgentId>, timeout_s: u64) -> Value {
        let mut params = Map::new();
        params.insert("message".to_owned(), message.into());
        let optional = [
            ("agentId", agent.map(AgentId::as_str)),
            ("to", self.to.as_deref()),
            ("replyTo", self.reply_to.as_deref()),
            ("sessionId", self.session_id.as_deref()),
            ("thinking", self.thinking.as_deref()),
            ("channel", self.channel.as_deref()),
            ("replyChannel", self.reply_channel.as_deref()),
            ("replyAccountId", self.reply_account.as_deref()),
        ];
        for (key, value) in optional {
            if let Some(value) = value.and_then(unless_blank) {
                params.insert(key.to_owned(), value.into());
            }
        }
        if let Some(key) = self.session_key(cli, agent) {
            params.insert("sessionKey".to_owned(), key.into());
        }
        params.insert("deliver".to_owned(), self.deliver.into());
        params.insert("timeout".to_owned(), timeout_s.into());
        params.insert("idempotencyKey".to_owned(), uuid(&SystemRng).into());
        Value::Object(params)
    }

    /// Returns the session that is meant: the one with the given id, else the agent's main session.
    fn session_key(&self, cli: &Cli, agent: Option<&AgentId>) -> Option<String> {
        let config = cli.config();
        let owner = agent.cloned().unwrap_or_else(|| default_agent(config));
        let by_id = self.session_id.as_deref().and_then(|wanted| {
            let index = sessions::read_index(&store_path(cli.config(), &cli.paths, &owner)).ok()?;
            index.into_iter().find(|(_, entry)| entry["sessionId"] == wanted).map(|(key, _)| key)
        });
        let has_main = agent.is_some() || !blank(&self.to);
        by_id.or_else(|| has_main.then(|| main_key(config, &owner).to_string()))
    }
}

fn blank(text: &Option<String>) -> bool {
    text.as_deref().is_none_or(|text| text.trim().is_empty())
}

/// Returns what a person reads: each payload's text and media, else the summary.
fn reply_text(result: &Value) -> String {
    let mut lines = Vec::new();
    for payload in items(&result["result"]["payloads"]) {
        let text = payload["text"].as_str().unwrap_or_default().trim_end();
        if !text.is_empty() {
            lines.push(text.to_owned());
        }
        let many = items(&payload["mediaUrls"]);
        let one = [payload["mediaUrl"].clone()];
        let media = if many.is_empty() { &one[..] } else { many };
        lines.extend(media.iter().filter_map(Value::as_str).map(|url| format!("MEDIA:{url}")));
    }
    if !lines.is_empty() {
        return lines.join("\n");
    }
    let summary = &result["summary"];
    // compat: a run that ended well has the summary `completed`, which is no answer.
    match summary.as_str().filter(|summary| !summary.is_empty() && *summary != json!("completed")) {
        Some(summary) => summary.to_owned(),
        None => "No reply from agent.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_texts_then_media() {
        let payloads =
            json!([{"text": "a\n", "mediaUrl": null}, {"text": "b", "mediaUrls": ["u", "v"], "mediaUrl": "u"}]);
        assert_eq!(reply_text(&json!({"result": {"payloads": payloads}})), "a\nb\nMEDIA:u\nMEDIA:v");
        assert_eq!(reply_text(&json!({"summary": "completed"})), "No reply from agent.");
        assert_eq!(reply_text(&json!({"summary": "aborted"})), "aborted");
    }
}
