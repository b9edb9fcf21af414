//! `update`: brings a git checkout of this program up to date, or says which command updates it (cli.md §22).
//!
//! The method `update.run` does the same for a running gateway's clients. Not here: what an update is (`update`).

use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use serde_json::json;

use super::exit::{Failure, Outcome};
use super::{Cli, Command, ask, config, gateway_service, output};
use crate::base::cancel::CancelToken;
use crate::base::thread;
use crate::config::tree;
use crate::update::look::{self, Look};
use crate::update::{self, Program};

/// How long looking may take unless said otherwise.
const LOOK_TIMEOUT: Duration = Duration::from_millis(3500);
/// How long it may take beside other things.
const BESIDE_TIMEOUT: Duration = Duration::from_millis(2500);

/// update this program, or say what does
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Update {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// leave the gateway's service as it is afterwards
    #[argh(switch)]
    no_restart: bool,
    /// remember a channel: stable, beta or dev
    #[argh(option, arg_name = "channel")]
    channel: Option<String>,
    /// accepted for scripts of the original; checkouts follow their branch
    #[argh(option, arg_name = "tag")]
    tag: Option<String>,
    /// limit of each step in seconds (default: 1200)
    #[argh(option, arg_name = "seconds")]
    timeout: Option<String>,
    /// accepted for scripts of the original; nothing is asked
    #[argh(switch)]
    #[allow(dead_code)]
    yes: bool,
}

impl Command for Update {
    // A newer version may be what reads the file.
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let step_timeout = seconds(self.timeout.as_deref())?.unwrap_or(update::STEP_TIMEOUT);
        if let Some(channel) = &self.channel {
            self.remember(cli, channel)?;
        }
        if self.tag.is_some() && !self.json {
            output::line("Note: --tag is for npm installs of the original; it changes nothing here.");
        }
        run(cli, step_timeout, self.json, !self.no_restart)
    }
}

impl Update {
    fn remember(&self, cli: &Cli, channel: &str) -> Outcome {
        let Some(name) = look::parse_channel(channel) else {
            return Err(Failure::text(format!(
                "--channel must be \"stable\", \"beta\", or \"dev\" (got \"{channel}\")"
            )));
        };
        if !cli.snapshot().valid {
            let issues = cli.snapshot().issues.iter().map(|issue| format!("\n- {}: {}", issue.path, issue.message));
            let issues: String = issues.collect();
            return Err(Failure::text(format!("Config is invalid; cannot set update channel.{issues}")));
        }
        config::edit(&cli.paths, |file| tree::set(file, &["update", "channel"], name.as_str().into()))?;
        if !self.json {
            output::line(&format!("Update channel set to {name}."));
        }
        Ok(())
    }
}

/// Updates, says what happened, and lets the service run the new program.
fn run(cli: &Cli, step_timeout: Duration, is_json: bool, may_restart: bool) -> Outcome {
    let program = program()?;
    let updated = update::run(&program, &cli.paths.home, step_timeout, &CancelToken::new());
    let result = updated.result();
    if is_json {
        output::json(&result);
    } else {
        for step in result["steps"].as_array().into_iter().flatten() {
            let mark = if step["exitCode"] == 0 { "ok" } else { "failed" };
            output::line(&format!("{mark:<6}  {}", step["command"].as_str().unwrap_or_default()));
        }
    }
    let say = |line: &str| {
        if !is_json {
            output::line(line);
        }
    };
    let reason = result["reason"].as_str().unwrap_or_default();
    match updated.status {
        update::Status::Skipped => say(&format!("Skipped: {reason}")),
        update::Status::Error => {
            say(&format!("Failed: {reason}"));
            return Err(Failure::code(1));
        }
        update::Status::Ok => {
            let manager = gateway_service::manager(&cli.paths).ok();
            let service = manager.filter(|manager| may_restart && manager.is_loaded().unwrap_or(false));
            match service.map(|manager| manager.restart()) {
                None => say(&format!("Updated. To run it: {}", cli.paths.hint("gateway restart"))),
                Some(Ok(_)) => say("Updated, and the gateway's service was restarted."),
                Some(Err(error)) => {
                    say(&format!("Updated, but the gateway's service was not restarted: {error}"));
                    say(&format!("By hand: {}", cli.paths.hint("gateway restart")));
                }
            }
        }
    }
    Ok(())
}

/// show where updates come from, and whether there is one
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Status {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// limit of looking in seconds (default: 3.5)
    #[argh(option, arg_name = "seconds")]
    timeout: Option<String>,
}

impl Command for Status {
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let timeout = seconds(self.timeout.as_deref())?.unwrap_or(LOOK_TIMEOUT);
        let look = look_at(cli, timeout)?;
        if !self.json {
            print(cli, &look);
            return Ok(());
        }
        let configured = configured_channel(cli);
        let channel = look.channel(configured);
        output::json(&json!({
            "update": look.view(),
            "channel": {
                "value": channel.value, "source": channel.source, "label": channel.label,
                "config": configured.and_then(look::parse_channel),
            },
            "availability": look.availability(),
        }));
        Ok(())
    }
}

/// update step by step, with questions
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Wizard {
    /// limit of each step in seconds (default: 1200)
    #[argh(option, arg_name = "seconds")]
    timeout: Option<String>,
}

impl Command for Wizard {
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let step_timeout = seconds(self.timeout.as_deref())?.unwrap_or(update::STEP_TIMEOUT);
        if !ask::has_terminal() {
            let instead = cli.paths.hint("update");
            return Err(Failure::text(format!(
                "The update wizard asks questions and needs a terminal. Use: {instead}"
            )));
        }
        let look = look_at(cli, LOOK_TIMEOUT)?;
        print(cli, &look);
        let is_new = look.availability()["available"] == true;
        if !ask::confirm("Update now?", is_new) {
            output::line("Update cancelled.");
            return Ok(());
        }
        let restart = ask::confirm("Restart the gateway's service afterwards?", true);
        run(cli, step_timeout, false, restart)
    }
}

/// Returns the configured channel, whatever it says.
pub(super) fn configured_channel(cli: &Cli) -> Option<&str> {
    cli.config().update.channel.as_deref()
}

/// Looks without asking where the program came from, on a thread of its own; the answer comes when it has it.
pub(super) fn look_beside(cli: &Cli) -> Receiver<Look> {
    let (sender, receiver) = bounded(1);
    let home = cli.paths.home.clone();
    let started = thread::spawn("update-look", thread::STACK_SMALL_BYTES, move || {
        if let Ok(program) = Program::find() {
            // Nobody listens any more if the command has failed.
            let _ = sender.send(look::look(&program.file, &home, BESIDE_TIMEOUT, false, &CancelToken::new()));
        }
    });
    match started {
        // It ends by itself, within its time.
        Ok(thread) => thread.detach(),
        Err(error) => log::debug!(target: "update", "not looked: {error}"),
    }
    receiver
}

fn look_at(cli: &Cli, timeout: Duration) -> Result<Look, Failure> {
    Ok(look::look(&program()?.file, &cli.paths.home, timeout, true, &CancelToken::new()))
}

fn program() -> Result<Program, Failure> {
    Program::find().map_err(|error| Failure::error(format!("cannot find this program's file: {error}")))
}

fn print(cli: &Cli, look: &Look) {
    let row = |item: &str, value: String| vec![item.to_owned(), value];
    let mut rows = vec![
        row("Install", look.install()),
        row("Version", crate::gateway::version().to_owned()),
        row("Channel", look.channel(configured_channel(cli)).label),
    ];
    rows.extend(look.git_line().map(|line| row("Git", line)));
    let availability = look.availability();
    let is_new = availability["available"] == true;
    let line = look.line();
    rows.push(row("Update", if is_new { format!("available · {line}") } else { line }));
    output::line(&output::bold("Clawdbot update status"));
    output::line(&format!("\n{}\n", output::table(&["Item", "Value"], &rows)));
    if is_new {
        let (behind, update) = (&availability["gitBehind"], cli.paths.hint("update"));
        output::line(&format!("Update available (git behind {behind}). Run: {update}"));
    }
}

/// Reads a limit; `None` when there is none.
fn seconds(text: Option<&str>) -> Result<Option<Duration>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let seconds = text.trim().parse::<u32>().ok().filter(|seconds| *seconds > 0);
    let error = || Failure::text("--timeout must be a positive integer (seconds)");
    seconds.map(|seconds| Some(Duration::from_secs(seconds.into()))).ok_or_else(error)
}
