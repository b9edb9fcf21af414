//! `cron add`: a new job from flags.

use serde_json::{Map, Value, json};

use super::{BadSchedule, ScheduleFlags, change, not_blank, now_ms, positive, set};
use crate::agent::session::normalize_agent_id;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::rpc::client_command;
use crate::cli::{Cli, Command};

client_command! {
    /// add a job
    pub(in crate::cli) struct Add {
        /// shown name
        #[argh(option, arg_name = "name")]
        name: String,
        /// more about it
        #[argh(option, arg_name = "text")]
        description: Option<String>,
        /// add it switched off
        #[argh(switch)]
        disabled: bool,
        /// remove a one-shot job once it ended well
        #[argh(switch)]
        delete_after_run: bool,
        /// agent that the job belongs to (default: the default agent)
        #[argh(option, arg_name = "id")]
        agent: Option<String>,
        /// session: main (default), or isolated, one of the job's own
        #[argh(option, arg_name = "target", default = "\"main\".to_owned()")]
        session: String,
        /// how soon the agent hears of it: now, or next-heartbeat (default)
        #[argh(option, arg_name = "mode", default = "\"next-heartbeat\".to_owned()")]
        wake: String,
        /// run once, at a time (ISO, UTC unless it says otherwise) or after a duration such as 20m
        #[argh(option, arg_name = "when")]
        at: Option<String>,
        /// run again and again, with a period such as 10m, 1h, 1d
        #[argh(option, arg_name = "duration")]
        every: Option<String>,
        /// run by a cron expression of five or six fields
        #[argh(option, arg_name = "expr")]
        cron: Option<String>,
        /// IANA time zone of the expression (default: the gateway's)
        #[argh(option, arg_name = "iana")]
        tz: Option<String>,
        /// what the main session is told
        #[argh(option, arg_name = "text")]
        system_event: Option<String>,
        /// what the agent is asked in a session of the job's own
        #[argh(option, arg_name = "text")]
        message: Option<String>,
        /// thinking level of the agent: off, minimal, low, medium or high
        #[argh(option, arg_name = "level")]
        thinking: Option<String>,
        /// model instead of the agent's (provider/model or an alias)
        #[argh(option, arg_name = "model")]
        model: Option<String>,
        /// limit of the agent's run
        #[argh(option, arg_name = "n")]
        timeout_seconds: Option<String>,
        /// deliver the answer, to where the main session was answered last unless --to says otherwise
        #[argh(switch)]
        deliver: bool,
        /// channel of the delivery: last (default), or a channel's id
        #[argh(option, arg_name = "channel", default = "\"last\".to_owned()")]
        channel: String,
        /// recipient: a phone number, chat id, or channel
        #[argh(option, arg_name = "dest")]
        to: Option<String>,
        /// a failed delivery is no failure of the job
        #[argh(switch)]
        best_effort_deliver: bool,
        /// put in front of what the main session is told of an isolated job (default Cron)
        #[argh(option, arg_name = "prefix")]
        post_prefix: Option<String>,
        /// how much it is told: summary (default) or full
        #[argh(option, arg_name = "mode", default = "\"summary\".to_owned()")]
        post_mode: String,
        /// most characters of mode full (default 8000)
        #[argh(option, arg_name = "n", default = "\"8000\".to_owned()")]
        post_max_chars: String,
    }
}

impl Command for Add {
    fn run(self, cli: &Cli) -> Outcome {
        let params = self.params(now_ms())?;
        change(cli, &self.client_options(), "cron.add", params)
    }
}

impl Add {
    /// Returns the parameters; mistakes are looked for in the original's order.
    fn params(&self, now_ms: u64) -> Result<Value, Failure> {
        let flags = ScheduleFlags {
            at: self.at.as_deref(),
            every: self.every.as_deref(),
            cron: self.cron.as_deref(),
            tz: self.tz.as_deref(),
        };
        let schedule = flags.schedule(now_ms).map_err(|error| {
            Failure::error(match error {
                BadSchedule::Count(_) => "Choose exactly one schedule: --at, --every, or --cron",
                BadSchedule::At => "Invalid --at; use ISO time or duration like 20m",
                BadSchedule::Every => "Invalid --every; use e.g. 10m, 1h, 1d",
            })
        })?;
        let session = one_of(&self.session, "main", "isolated", "--session must be main or isolated")?;
        let wake = one_of(&self.wake, "next-heartbeat", "now", "--wake must be now or next-heartbeat")?;
        let payload = self.payload()?;
        let is_isolated = session == "isolated";
        match payload["kind"] == "agentTurn" {
            true if !is_isolated => return Err(Failure::error("Main jobs require --system-event (systemEvent).")),
            false if is_isolated => return Err(Failure::error("Isolated jobs require --message (agentTurn).")),
            _ => {}
        }
        let name = not_blank(Some(&self.name)).ok_or_else(|| Failure::error("--name is required"))?;
        let mut params = Map::from_iter([("name".to_owned(), Value::from(name))]);
        set(&mut params, "description", not_blank(self.description.as_deref()));
        set(&mut params, "enabled", Some(!self.disabled));
        set(&mut params, "deleteAfterRun", Some(self.delete_after_run));
        let agent = not_blank(self.agent.as_deref()).map(|agent| String::from(normalize_agent_id(&agent)));
        set(&mut params, "agentId", agent);
        set(&mut params, "schedule", Some(schedule));
        set(&mut params, "sessionTarget", Some(session));
        set(&mut params, "wakeMode", Some(wake));
        set(&mut params, "payload", Some(payload));
        set(&mut params, "isolation", is_isolated.then(|| self.isolation()));
        Ok(Value::Object(params))
    }

    fn payload(&self) -> Result<Value, Failure> {
        match (not_blank(self.system_event.as_deref()), not_blank(self.message.as_deref())) {
            (Some(text), None) => Ok(json!({"kind": "systemEvent", "text": text})),
            (None, Some(message)) => {
                let mut payload = Map::from_iter([
                    ("kind".to_owned(), Value::from("agentTurn")),
                    ("message".to_owned(), message.into()),
                ]);
                set(&mut payload, "model", not_blank(self.model.as_deref()));
                set(&mut payload, "thinking", not_blank(self.thinking.as_deref()));
                set(&mut payload, "timeoutSeconds", positive(self.timeout_seconds.as_deref()));
                set(&mut payload, "deliver", self.deliver.then_some(true));
                set(&mut payload, "channel", Some(self.channel.as_str()));
                set(&mut payload, "to", not_blank(self.to.as_deref()));
                set(&mut payload, "bestEffortDeliver", self.best_effort_deliver.then_some(true));
                Ok(Value::Object(payload))
            }
            _ => Err(Failure::error("Choose exactly one payload: --system-event or --message")),
        }
    }

    fn isolation(&self) -> Map<String, Value> {
        let prefix = not_blank(self.post_prefix.as_deref()).unwrap_or_else(|| "Cron".to_owned());
        let mut isolation = Map::from_iter([("postToMainPrefix".to_owned(), Value::from(prefix))]);
        let mode = Some(self.post_mode.as_str()).filter(|mode| matches!(*mode, "summary" | "full"));
        set(&mut isolation, "postToMainMode", mode);
        set(&mut isolation, "postToMainMaxChars", self.post_max_chars.parse::<u64>().ok());
        isolation
    }
}

/// Returns which of two words was typed; a blank one means the first.
fn one_of<'a>(given: &str, first: &'a str, second: &'a str, error: &str) -> Result<&'a str, Failure> {
    match given.trim() {
        "" => Ok(first),
        word if word == first => Ok(first),
        word if word == second => Ok(second),
        _ => Err(Failure::error(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argh::FromArgs as _;

    fn check(args: &[&str], expected: Result<Value, &str>) {
        let add = Add::from_args(&["cron", "add"], args).expect("flags");
        assert_eq!(add.params(1000), expected.map_err(Failure::error), "{args:?}");
    }

    #[test]
    fn jobs() {
        check(
            &["--name", " a ", "--at", "1m", "--system-event", " t ", "--agent", "Ops!"],
            Ok(json!({"name": "a", "enabled": true, "deleteAfterRun": false, "agentId": "ops",
                "schedule": {"kind": "at", "atMs": 61_000}, "sessionTarget": "main", "wakeMode": "next-heartbeat",
                "payload": {"kind": "systemEvent", "text": "t"}})),
        );
        check(
            &[
                "--name",
                "a",
                "--every",
                "1h",
                "--session",
                "isolated",
                "--message",
                "m",
                "--wake",
                "now",
                "--to",
                "+1",
                "--timeout-seconds",
                "x",
                "--post-mode",
                "full",
                "--disabled",
                "--description",
                "d",
            ],
            Ok(json!({"name": "a", "description": "d", "enabled": false, "deleteAfterRun": false,
                "schedule": {"kind": "every", "everyMs": 3_600_000}, "sessionTarget": "isolated", "wakeMode": "now",
                "payload": {"kind": "agentTurn", "message": "m", "channel": "last", "to": "+1"},
                "isolation": {"postToMainPrefix": "Cron", "postToMainMode": "full", "postToMainMaxChars": 8000}})),
        );
    }

    #[test]
    fn mistakes_in_order() {
        let session = ["--name", " ", "--session", "x", "--wake", "y"];
        let with = |more: &[&'static str]| [&session[..], more].concat();
        check(&session, Err("Choose exactly one schedule: --at, --every, or --cron"));
        check(&with(&["--at", "x"]), Err("Invalid --at; use ISO time or duration like 20m"));
        check(&with(&["--every", "x"]), Err("Invalid --every; use e.g. 10m, 1h, 1d"));
        check(&with(&["--at", "1m"]), Err("--session must be main or isolated"));
        check(&["--name", "a", "--at", "1m", "--wake", "y"], Err("--wake must be now or next-heartbeat"));
        let error = "Choose exactly one payload: --system-event or --message";
        check(&["--name", "a", "--at", "1m"], Err(error));
        check(&["--name", "a", "--at", "1m", "--message", "m", "--system-event", "t"], Err(error));
        check(&["--name", "a", "--at", "1m", "--message", "m"], Err("Main jobs require --system-event (systemEvent)."));
        check(
            &["--name", "a", "--at", "1m", "--session", "isolated", "--system-event", "m"],
            Err("Isolated jobs require --message (agentTurn)."),
        );
        check(&["--name", " ", "--at", "1m", "--system-event", "m"], Err("--name is required"));
    }
}
