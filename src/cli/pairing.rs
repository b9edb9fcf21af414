//! `pairing`: who asked a channel to be let in, and letting them in (cli.md §16). Works on the files alone; no gateway is
//! needed but to tell the one who was let in.

use argh::{ArgsInfo, FromArgs};
use serde_json::json;

use super::exit::{Failure, Outcome};
use super::rpc::{self, ClientOptions};
use super::{Cli, Command, output};
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::rng::{SystemRng, uuid};
use crate::channels::access;
use crate::channels::channel::Channel;
use crate::channels::pairing::Store;
use crate::channels::{self, normalize};

/// What somebody is told who was let in.
const WELCOME: &str = "✅ Clawdbot access approved. Send a message to start chatting.";

/// show who waits to be let in
#[derive(FromArgs, ArgsInfo)]
pub(super) struct List {
    /// channel
    #[argh(positional, arg_name = "channel")]
    channel_name: Option<String>,
    /// channel
    #[argh(option, arg_name = "channel")]
    channel: Option<String>,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for List {
    fn run(self, cli: &Cli) -> Outcome {
        let given = self.channel.or(self.channel_name).ok_or_else(|| {
            let ids: Vec<&str> = channels::all().map(|channel| channel.info().id).collect();
            Failure::error(format!(
                "Channel required. Use --channel <channel> or pass it as the first argument (expected one of: {})",
                ids.join(", ")
            ))
        })?;
        let channel = channel_of(&given)?;
        let requests = store(cli, &channel).waiting(SystemClock.now_ms()).map_err(Failure::error)?;
        if self.json {
            output::json(&json!({"channel": channel, "requests": requests}));
            return Ok(());
        }
        if requests.is_empty() {
            output::line(&format!("No pending {channel} pairing requests."));
            return Ok(());
        }
        let rows: Vec<Vec<String>> = requests
            .iter()
            .map(|request| {
                let meta = request.meta.as_ref().map(|meta| json!(meta).to_string()).unwrap_or_default();
                vec![request.code.clone(), request.id.clone(), meta, request.created_at.clone()]
            })
            .collect();
        output::line(&output::bold(&format!("Pairing requests ({})", rows.len())));
        let label = channels::by_id(&channel).map_or("userId", |channel| channel.capabilities().id_column);
        output::line(&output::table(&["Code", label, "Meta", "Requested"], &rows));
        Ok(())
    }
}

/// let somebody in who waits
#[derive(FromArgs, ArgsInfo)]
pub(super) struct Approve {
    /// channel and code, or with --channel the code alone
    #[argh(positional, arg_name = "channel code")]
    words: Vec<String>,
    /// channel
    #[argh(option, arg_name = "channel")]
    channel: Option<String>,
    /// tell them in the chat
    #[argh(switch)]
    notify: bool,
}

impl Command for Approve {
    fn run(self, cli: &Cli) -> Outcome {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let (channel, code) = match (self.channel.as_deref(), &words[..]) {
            (Some(channel), [code]) => (channel, *code),
            (None, [channel, code]) => (*channel, *code),
            (Some(_), [_, _, ..]) | (None, [_, _, _, ..]) => {
                let usage = cli.paths.hint("pairing approve <channel> <code>");
                return Err(Failure::error(format!("Too many arguments. Use: {usage}")));
            }
            _ => {
                let usage = cli.paths.hint("pairing approve <channel> <code>");
                let other = cli.paths.hint("pairing approve --channel <channel> <code>");
                return Err(Failure::error(format!("Usage: {usage} (or: {other})")));
            }
        };
        let channel = channel_of(channel)?;
        let prefixes = known(&channel).map(|channel| channel.capabilities().id_prefixes).unwrap_or_default();
        let spell = |id: &str| access::strip(id, prefixes);
        let approved = store(cli, &channel).approve(code, SystemClock.now_ms(), spell).map_err(Failure::error)?;
        let Some(request) = approved else {
            return Err(Failure::error(format!("No pending pairing request found for code: {code}")));
        };
        output::line(&output::verdict(true, &format!("Approved {channel} sender {}.", request.id)));
        if self.notify {
            let options = ClientOptions {
                timeout: std::time::Duration::from_millis(rpc::TIMEOUT_DEFAULT_MS),
                ..ClientOptions::default()
            };
            let params = json!({
                "to": request.id, "message": WELCOME, "channel": channel, "idempotencyKey": uuid(&SystemRng),
            });
            if let Err(error) = rpc::call(cli, &options, "send", params) {
                output::error_line(&format!("Failed to notify requester: {error}"));
            }
        }
        Ok(())
    }
}

fn known(id: &str) -> Option<&'static dyn Channel> {
    channels::all().find(|channel| channel.info().id == id)
}

/// Returns the channel that is meant; ids of networks that this version does not have are taken as they are.
fn channel_of(given: &str) -> Result<String, Failure> {
    let given = given.trim().to_lowercase();
    if let Some(id) = normalize(&given) {
        return Ok(id.to_owned());
    }
    let is_word = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-');
    let is_id = given.starts_with(|c: char| c.is_ascii_lowercase()) && given.len() <= 64 && given.chars().all(is_word);
    if is_id { Ok(given) } else { Err(Failure::error(format!("Invalid channel: {given}"))) }
}

fn store(cli: &Cli, channel: &str) -> Store {
    Store::new(&cli.paths, &|name| std::env::var(name).ok(), channel)
}
