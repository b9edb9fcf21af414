//! `channels capabilities`, `channels resolve` and `channels logs`: what a channel can do, what a target means to it, what
//! it said (cli.md §15).

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use crate::base::clock::{Clock as _, SystemClock};
use crate::channels::channel::{Channel, Setting};
use crate::channels::{self, normalize};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::logs::Entry;
use crate::cli::{Cli, Command, output};
use crate::logging::tail::tail;

/// Lines of the log unless said otherwise, and bytes that are looked through.
const LINES_DEFAULT: u64 = 200;
const LOG_BYTES_MAX: u64 = 1_000_000;

/// show what channels can do
#[derive(FromArgs, ArgsInfo)]
pub(in crate::cli) struct Capabilities {
    /// channel (default: all that are switched on)
    #[argh(option, arg_name = "id")]
    channel: Option<String>,
    /// account
    #[argh(option, arg_name = "id")]
    account: Option<String>,
    /// accepted for compatibility
    #[argh(option, arg_name = "dest")]
    #[allow(dead_code)] // Scripts written for the original pass it.
    target: Option<String>,
    /// accepted for compatibility
    #[argh(option, arg_name = "ms")]
    #[allow(dead_code)] // As above.
    timeout: Option<u64>,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for Capabilities {
    fn run(self, cli: &Cli) -> Outcome {
        let at = Setting::of_process(cli.config(), &cli.paths, SystemClock.now_ms());
        let chosen = match self.channel.as_deref().filter(|given| *given != "all") {
            Some(given) => vec![known(given)?],
            None => channels::active(&at),
        };
        let mut rows = Vec::new();
        for channel in chosen {
            let accounts = match self.account.as_deref() {
                Some(named) => vec![channels::account(channel, &at, Some(named)).map_err(Failure::error)?],
                None => channel.accounts(&at),
            };
            for account in accounts {
                let caps = channel.capabilities();
                let mut row = json!({
                    "channel": channel.info().id, "accountId": account.id,
                    "configured": channel.is_configured(&at, &account), "enabled": account.is_enabled(),
                    "support": {
                        "chatTypes": caps.chat_types, "polls": caps.poll_options_max.is_some(),
                        "reactions": caps.has_reactions, "threads": caps.has_threads, "media": caps.has_media,
                        "nativeCommands": caps.has_native_commands, "blockStreaming": caps.has_block_streaming,
                    },
                    "actions": caps.actions,
                });
                if let Some(name) = account.text("name") {
                    row["accountName"] = name.into();
                }
                rows.push((channel, row));
            }
        }
        if self.json {
            output::json(&json!({"channels": rows.iter().map(|(_, row)| row).collect::<Vec<_>>()}));
            return Ok(());
        }
        for (channel, row) in rows {
            let account = row["accountId"].as_str().unwrap_or_default();
            output::line(&output::bold(&format!("{} {account}", channel.info().label)));
            let support = row["support"].as_object().into_iter().flatten();
            let words: Vec<&str> = support.filter(|(_, has)| **has == true).map(|(name, _)| name.as_str()).collect();
            output::line(&format!(
                "Support: chatTypes={} {}",
                channel.capabilities().chat_types.join(","),
                words.join(" ")
            ));
            output::line(&format!("Actions: {}", channel.capabilities().actions.join(", ")));
        }
        Ok(())
    }
}

/// show which addresses names stand for
#[derive(FromArgs, ArgsInfo)]
pub(in crate::cli) struct Resolve {
    /// names or addresses
    #[argh(positional, arg_name = "entries")]
    entries: Vec<String>,
    /// channel (default: the only one that is switched on)
    #[argh(option, arg_name = "id")]
    channel: Option<String>,
    /// account
    #[argh(option, arg_name = "id")]
    account: Option<String>,
    /// auto, user or group
    #[argh(option, arg_name = "kind")]
    #[allow(dead_code)] // An address says itself what it is.
    kind: Option<String>,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for Resolve {
    fn run(self, cli: &Cli) -> Outcome {
        let at = Setting::of_process(cli.config(), &cli.paths, SystemClock.now_ms());
        let channel = match self.channel.as_deref() {
            Some(given) => known(given)?,
            None => match channels::active(&at)[..] {
                [one] => known(one.info().id)?,
                _ => return Err(Failure::error("Channel is required. Use --channel <name>.")),
            },
        };
        let entries: Vec<&str> = self.entries.iter().map(|it| it.trim()).filter(|it| !it.is_empty()).collect();
        if entries.is_empty() {
            return Err(Failure::error("At least one entry is required."));
        }
        let account = channels::account(channel, &at, self.account.as_deref()).map_err(Failure::error)?;
        let rows: Vec<(&str, Result<String, String>)> =
            entries.into_iter().map(|entry| (entry, channel.target(&at, &account, entry))).collect();
        if self.json {
            let row = |(input, found): &(&str, Result<String, String>)| match found {
                Ok(id) => json!({"input": input, "resolved": true, "id": id}),
                Err(note) => json!({"input": input, "resolved": false, "note": note}),
            };
            output::json(&rows.iter().map(row).collect::<Value>());
            return Ok(());
        }
        for (input, found) in rows {
            match found {
                Ok(id) => output::line(&format!("{input} -> {id}")),
                Err(note) => output::error_line(&format!("{input} -> unresolved ({note})")),
            }
        }
        Ok(())
    }
}

fn known(given: &str) -> Result<&'static dyn Channel, Failure> {
    let id = normalize(given).ok_or_else(|| Failure::error(format!("Unknown channel: {given}")))?;
    let channel = channels::all().find(|channel| channel.info().id == id);
    channel.ok_or_else(|| Failure::error(format!("Unknown channel: {given}")))
}

/// show what the log says of channels
#[derive(FromArgs, ArgsInfo)]
pub(in crate::cli) struct Logs {
    /// channel, or all (default all)
    #[argh(option, arg_name = "id")]
    channel: Option<String>,
    /// most lines to show (default 200)
    #[argh(option, arg_name = "n")]
    lines: Option<u64>,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for Logs {
    fn run(self, cli: &Cli) -> Outcome {
        let named =
            self.channel.as_deref().and_then(normalize).filter(|id| channels::all().any(|it| it.info().id == *id));
        let file = cli.paths.log_file(cli.config(), SystemClock.now_ms());
        let count =
            usize::try_from(self.lines.filter(|count| *count > 0).unwrap_or(LINES_DEFAULT)).unwrap_or(usize::MAX);
        let read = tail(&file, None, u64::MAX, LOG_BYTES_MAX).map_err(Failure::error)?;
        let is_meant = |entry: &Entry| match named {
            None => entry.subsystem().contains("gateway/channels"),
            // All channels write under one name, so the line itself says which it is about.
            Some(id) => {
                let is_own = entry.subsystem().contains(&format!("gateway/channels/{id}"));
                is_own || (entry.subsystem().contains("gateway/channels") && entry.message().contains(id))
            }
        };
        let entries: Vec<(Entry, &String)> = read
            .lines
            .iter()
            .filter_map(|raw| Some((Entry::parse(raw)?, raw)))
            .filter(|(entry, _)| is_meant(entry))
            .collect();
        let latest = &entries[entries.len().saturating_sub(count)..];
        let channel = named.unwrap_or("all");
        if self.json {
            let rows: Vec<Value> = latest.iter().map(|(entry, raw)| entry.to_json(raw)).collect();
            output::json(&json!({"file": read.file, "channel": channel, "lines": rows}));
            return Ok(());
        }
        output::line(&format!("Log file: {}", read.file));
        if named.is_some() {
            output::line(&format!("Channel: {channel}"));
        }
        if latest.is_empty() {
            output::line("No matching log lines.");
        }
        for (entry, _) in latest {
            output::line(&entry.to_line(false));
        }
        Ok(())
    }
}
