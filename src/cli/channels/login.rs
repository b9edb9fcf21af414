//! `channels login`: linking an account by a code that is scanned, through the running gateway (cli.md §15).

use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use serde_json::json;

use crate::channels::{self, DEFAULT, normalize};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::rpc::{self, ClientOptions};
use crate::cli::{Cli, Command, output};

/// How long the code may take, and the person who scans it.
const CODE_MS: u64 = 30_000;
const SCAN_MS: u64 = 120_000;
/// What the wire takes beside it.
const EXTRA: Duration = Duration::from_secs(10);

/// link an account by scanning a code
#[derive(FromArgs, ArgsInfo)]
pub(in crate::cli) struct Login {
    /// channel (default whatsapp)
    #[argh(option, arg_name = "id")]
    channel: Option<String>,
    /// account (default: the channel's)
    #[argh(option, arg_name = "id")]
    account: Option<String>,
    /// accepted for compatibility
    #[argh(switch)]
    #[allow(dead_code)] // Scripts written for the original pass it.
    verbose: bool,
}

impl Command for Login {
    fn run(self, cli: &Cli) -> Outcome {
        let failed = |text: String| Failure::text(format!("Channel login failed: Error: {text}"));
        let given = self.channel.as_deref().map(str::trim).filter(|id| !id.is_empty()).unwrap_or(DEFAULT);
        let id = normalize(given).ok_or_else(|| failed(format!("Unsupported channel: {given}")))?;
        let channel = channels::all().find(|channel| channel.info().id == id);
        let channel = channel.ok_or_else(|| failed(format!("Unsupported channel: {id}")))?;
        if !channel.capabilities().has_web_login {
            return Err(failed(format!("Channel {id} does not support login")));
        }
        let call = |method: &str, ms: u64| {
            let options = ClientOptions { timeout: Duration::from_millis(ms) + EXTRA, ..ClientOptions::default() };
            let params = json!({"accountId": self.account, "timeoutMs": ms});
            let params = params.as_object().cloned().unwrap_or_default();
            let given: serde_json::Map<_, _> = params.into_iter().filter(|(_, value)| !value.is_null()).collect();
            rpc::call(cli, &options, method, given.into()).map_err(|error| failed(error.to_string()))
        };
        let started = call("web.login.start", CODE_MS)?;
        output::line(started["message"].as_str().unwrap_or_default());
        let Some(code) = started["qrDataUrl"].as_str() else {
            let is_linked = started["message"].as_str().is_some_and(|text| text.contains("already linked"));
            return if is_linked { Ok(()) } else { Err(Failure::code(1)) };
        };
        output::line(code);
        output::line(&format!("Waiting for {} connection...", channel.info().label));
        let ended = call("web.login.wait", SCAN_MS)?;
        let message = ended["message"].as_str().unwrap_or_default().to_owned();
        if ended["connected"] != true {
            return Err(failed(message));
        }
        output::line("✅ Linked! Credentials saved for future sends.");
        Ok(())
    }
}
