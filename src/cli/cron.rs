//! `cron`: jobs that run by themselves, kept by the running gateway (cli.md §20).
//!
//! Each command is one request; what is asked for is judged here as far as the original's command line judges it. Not
//! here: the rules of the jobs themselves (`crate::cron`).

mod add;
mod edit;
mod list;

pub(super) use add::Add;
pub(super) use edit::Edit;
pub(super) use list::List;

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::exit::Outcome;
use super::rpc::{self, ClientOptions, client_command};
use super::{Cli, Command, output};
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::text::unless_blank;
use crate::cron::when::{parse_duration, parse_moment};

/// How long a run by hand may take unless `--timeout` says otherwise: it is answered when the job has ended.
const RUN_TIMEOUT_MS: u64 = 600_000;
/// Entries of `runs` unless `--limit` says otherwise.
const RUNS_LIMIT: u64 = 50;

client_command! {
    /// show whether jobs run, where they are kept, and when the next is due
    pub(super) struct Status {}
}

impl Command for Status {
    fn run(self, cli: &Cli) -> Outcome {
        output::json(&rpc::call(cli, &self.client_options(), "cron.status", json!({}))?);
        Ok(())
    }
}

client_command! {
    /// remove a job
    pub(super) struct Remove {
        /// the job's id
        #[argh(positional)]
        id: String,
    }
}

impl Command for Remove {
    fn run(self, cli: &Cli) -> Outcome {
        output::json(&rpc::call(cli, &self.client_options(), "cron.remove", json!({"id": self.id}))?);
        Ok(())
    }
}

client_command! {
    /// switch a job on
    pub(super) struct Enable {
        /// the job's id
        #[argh(positional)]
        id: String,
    }
}

impl Command for Enable {
    fn run(self, cli: &Cli) -> Outcome {
        let params = json!({"id": self.id, "patch": {"enabled": true}});
        change(cli, &self.client_options(), "cron.update", params)
    }
}

client_command! {
    /// switch a job off; it is kept
    pub(super) struct Disable {
        /// the job's id
        #[argh(positional)]
        id: String,
    }
}

impl Command for Disable {
    fn run(self, cli: &Cli) -> Outcome {
        let params = json!({"id": self.id, "patch": {"enabled": false}});
        change(cli, &self.client_options(), "cron.update", params)
    }
}

client_command! {
    /// run a job now, if it is due, and wait for its end
    pub(super) struct Run {
        /// the job's id
        #[argh(positional)]
        id: String,
        /// run it although it is not due, or disabled
        #[argh(switch)]
        force: bool,
    }
}

impl Command for Run {
    fn run(self, cli: &Cli) -> Outcome {
        let mode = if self.force { "force" } else { "due" };
        let timeout = Duration::from_millis(self.timeout.or(RUN_TIMEOUT_MS));
        let options = ClientOptions { timeout, ..self.client_options() };
        output::json(&rpc::call(cli, &options, "cron.run", json!({"id": self.id, "mode": mode}))?);
        Ok(())
    }
}

client_command! {
    /// show how a job's runs ended, the last one last
    pub(super) struct Runs {
        /// the job's id
        #[argh(option, arg_name = "id")]
        id: String,
        /// most runs to show (default 50)
        #[argh(option, arg_name = "n", default = "Default::default()")]
        limit: rpc::Positive,
    }
}

impl Command for Runs {
    fn run(self, cli: &Cli) -> Outcome {
        let params = json!({"id": self.id, "limit": self.limit.or(RUNS_LIMIT)});
        output::json(&rpc::call(cli, &self.client_options(), "cron.runs", params)?);
        Ok(())
    }
}

/// Has the gateway change a job, shows the job, and says so when it will not run by itself.
fn change(cli: &Cli, options: &ClientOptions, method: &str, params: Value) -> Outcome {
    output::json(&rpc::call(cli, options, method, params)?);
    // The change is made: a gateway that does not answer this any more takes nothing back.
    let Ok(status) = rpc::call(cli, options, "cron.status", json!({})) else { return Ok(()) };
    if status["enabled"] != true {
        output::error_line(
            "warning: cron scheduler is disabled in the Gateway; jobs are saved but will not run automatically.\n\
             Re-enable with `cron.enabled: true` (or remove `cron.enabled: false`) and restart the Gateway.",
        );
        if let Some(path) = status["storePath"].as_str().filter(|path| !path.is_empty()) {
            output::error_line(&format!("store: {path}"));
        }
    }
    Ok(())
}

/// What was typed for a schedule.
#[derive(Debug, Default)]
struct ScheduleFlags<'a> {
    at: Option<&'a str>,
    every: Option<&'a str>,
    cron: Option<&'a str>,
    tz: Option<&'a str>,
}

/// Why no schedule came of it.
#[derive(Debug, PartialEq, Eq)]
enum BadSchedule {
    /// This many were named.
    Count(usize),
    /// `--at` is no time.
    At,
    /// `--every` is no duration.
    Every,
}

impl ScheduleFlags<'_> {
    /// Returns the one schedule that was asked for.
    fn schedule(&self, now_ms: u64) -> Result<Value, BadSchedule> {
        let given = |flag: Option<&'_ str>| flag.filter(|text| !text.is_empty()).map(str::to_owned);
        match (given(self.at), given(self.every), given(self.cron)) {
            (Some(at), None, None) => {
                let moment = parse_moment(&at).or_else(|| Some(now_ms + parse_duration(&at)?));
                Ok(json!({"kind": "at", "atMs": moment.filter(|&ms| ms > 0).ok_or(BadSchedule::At)?}))
            }
            (None, Some(every), None) => {
                Ok(json!({"kind": "every", "everyMs": parse_duration(&every).ok_or(BadSchedule::Every)?}))
            }
            (None, None, Some(expr)) => {
                let mut schedule = json!({"kind": "cron", "expr": expr});
                if let Some(tz) = not_blank(self.tz) {
                    schedule["tz"] = tz.into();
                }
                Ok(schedule)
            }
            (at, every, cron) => Err(BadSchedule::Count([at, every, cron].iter().flatten().count())),
        }
    }
}

fn now_ms() -> u64 {
    SystemClock.now_ms()
}

/// Returns what was typed, trimmed, unless it is blank.
fn not_blank(text: Option<&str>) -> Option<String> {
    text.and_then(unless_blank).map(str::to_owned)
}

/// Returns a positive whole number that was typed; anything else counts as not given.
fn positive(text: Option<&str>) -> Option<u64> {
    text.and_then(|text| text.trim().parse().ok()).filter(|&number| number > 0)
}

/// Sets a field if there is something to set.
fn set(fields: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        fields.insert(key.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        let check = |[at, every, cron, tz]: [Option<&str>; 4], expected: Result<Value, BadSchedule>| {
            assert_eq!(ScheduleFlags { at, every, cron, tz }.schedule(1000), expected, "{at:?} {every:?} {cron:?}");
        };
        check([Some("20m"), None, None, None], Ok(json!({"kind": "at", "atMs": 1_201_000})));
        check([Some("2031-01-01"), None, Some(""), None], Ok(json!({"kind": "at", "atMs": 1_924_992_000_000_u64})));
        check([Some("soon"), None, None, None], Err(BadSchedule::At));
        check([None, Some("1h"), None, None], Ok(json!({"kind": "every", "everyMs": 3_600_000})));
        check([None, Some("1"), None, None], Err(BadSchedule::Every));
        check(
            [None, None, Some("0 9 * * *"), Some(" Europe/Berlin ")],
            Ok(json!({"kind": "cron", "expr": "0 9 * * *", "tz": "Europe/Berlin"})),
        );
        check([None, None, None, Some("UTC")], Err(BadSchedule::Count(0)));
        check([Some("1m"), Some("1m"), None, None], Err(BadSchedule::Count(2)));
    }
}
