//! `update`: brings a git checkout of this program up to date, or says which command updates it (cli.md §22).
//!
//! The running gateway is left alone: it has the method `update.run` for that.

use std::time::Duration;

use super::exit::{Failure, Outcome};
use super::{Cli, Command, output};
use crate::base::cancel::CancelToken;
use crate::update::{self, Program, Status};

/// update this program, or say what does
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Update {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// limit of each step in seconds (default: 1200)
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
}

impl Command for Update {
    // A newer version may be what reads the file.
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let program =
            Program::find().map_err(|error| Failure::error(format!("cannot find this program's file: {error}")))?;
        let step_timeout = self.timeout.map_or(update::STEP_TIMEOUT, |seconds| Duration::from_secs(seconds.max(1)));
        let updated = update::run(&program, &cli.paths.home, step_timeout, &CancelToken::new());
        let result = updated.result();
        if self.json {
            output::json(&result);
        } else {
            for step in result["steps"].as_array().into_iter().flatten() {
                let mark = if step["exitCode"] == 0 { "ok" } else { "failed" };
                output::line(&format!("{mark:<6}  {}", step["command"].as_str().unwrap_or_default()));
            }
            let reason = result["reason"].as_str().unwrap_or_default();
            output::line(&match updated.status {
                Status::Ok => format!("Updated. To run it: {}", cli.paths.hint("gateway restart")),
                Status::Skipped => format!("Skipped: {reason}"),
                Status::Error => format!("Failed: {reason}"),
            });
        }
        if updated.status == Status::Error { Err(Failure::code(1)) } else { Ok(()) }
    }
}
