//! `cron edit`: a change of a job from flags.

use serde_json::{Map, Value, json};

use super::{BadSchedule, ScheduleFlags, change, not_blank, now_ms, positive, set};
use crate::agent::session::normalize_agent_id;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::rpc::client_command;
use crate::cli::{Cli, Command};

client_command! {
    /// change a job; what is not named stays
    pub(in crate::cli) struct Edit {
        /// the job's id
        #[argh(positional)]
        id: String,
        /// shown name
        #[argh(option, arg_name = "name")]
        name: Option<String>,
        /// more about it
        #[argh(option, arg_name = "text")]
        description: Option<String>,
        /// switch it on
        #[argh(switch)]
        enable: bool,
        /// switch it off
        #[argh(switch)]
        disable: bool,
        /// remove a one-shot job once it ended well
        #[argh(switch)]
        delete_after_run: bool,
        /// keep a one-shot job once it ended well
        #[argh(switch)]
        keep_after_run: bool,
        /// session: main, or isolated
        #[argh(option, arg_name = "target")]
        session: Option<String>,
        /// agent that the job belongs to
        #[argh(option, arg_name = "id")]
        agent: Option<String>,
        /// give it back to the default agent
        #[argh(switch)]
        clear_agent: bool,
        /// how soon the agent hears of it: now, or next-heartbeat
        #[argh(option, arg_name = "mode")]
        wake: Option<String>,
        /// run once, at a time or after a duration such as 20m
        #[argh(option, arg_name = "when")]
        at: Option<String>,
        /// run again and again, with a period such as 10m
        #[argh(option, arg_name = "duration")]
        every: Option<String>,
        /// run by a cron expression
        #[argh(option, arg_name = "expr")]
        cron: Option<String>,
        /// IANA time zone of the expression
        #[argh(option, arg_name = "iana")]
        tz: Option<String>,
        /// what the main session is told
        #[argh(option, arg_name = "text")]
        system_event: Option<String>,
        /// what the agent is asked
        #[argh(option, arg_name = "text")]
        message: Option<String>,
        /// thinking level of the agent
        #[argh(option, arg_name = "level")]
        thinking: Option<String>,
        /// model instead of the agent's
        #[argh(option, arg_name = "model")]
        model: Option<String>,
        /// limit of the agent's run
        #[argh(option, arg_name = "n")]
        timeout_seconds: Option<String>,
        /// deliver the answer
        #[argh(switch)]
        deliver: bool,
        /// do not deliver the answer
        #[argh(switch)]
        no_deliver: bool,
        /// channel of the delivery: last, or a channel's id
        #[argh(option, arg_name = "channel")]
        channel: Option<String>,
        /// recipient: a phone number, chat id, or channel
        #[argh(option, arg_name = "dest")]
        to: Option<String>,
        /// a failed delivery is no failure of the job
        #[argh(switch)]
        best_effort_deliver: bool,
        /// a failed delivery is a failure of the job
        #[argh(switch)]
        no_best_effort_deliver: bool,
        /// put in front of what the main session is told of an isolated job
        #[argh(option, arg_name = "prefix")]
        post_prefix: Option<String>,
    }
}

impl Command for Edit {
    fn run(self, cli: &Cli) -> Outcome {
        let patch = self.patch(now_ms())?;
        change(cli, &self.client_options(), "cron.update", json!({"id": self.id, "patch": patch}))
    }
}

impl Edit {
    /// Returns the change; mistakes are looked for in the original's order.
    fn patch(&self, now_ms: u64) -> Result<Value, Failure> {
        let fail = |text: &str| Err(Failure::error(text));
        let is_session = |target: &str| self.session.as_deref() == Some(target);
        let is_given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        if is_session("main") && is_given(&self.message) {
            return fail("Main jobs cannot use --message; use --system-event or --session isolated.");
        }
        if is_session("isolated") && is_given(&self.system_event) {
            return fail("Isolated jobs cannot use --system-event; use --message or --session main.");
        }
        if is_session("main") && self.post_prefix.is_some() {
            return fail("--post-prefix only applies to isolated jobs.");
        }
        let mut patch = Map::new();
        set(&mut patch, "name", self.name.clone());
        set(&mut patch, "description", self.description.clone());
        let enabled = either(self.enable, self.disable, "Choose --enable or --disable, not both")?;
        set(&mut patch, "enabled", enabled);
        let both = "Choose --delete-after-run or --keep-after-run, not both";
        set(&mut patch, "deleteAfterRun", either(self.delete_after_run, self.keep_after_run, both)?);
        set(&mut patch, "sessionTarget", self.session.clone());
        set(&mut patch, "wakeMode", self.wake.clone());
        either(is_given(&self.agent), self.clear_agent, "Use --agent or --clear-agent, not both")?;
        let agent = not_blank(self.agent.as_deref()).map(|agent| String::from(normalize_agent_id(&agent)));
        set(&mut patch, "agentId", agent);
        set(&mut patch, "agentId", self.clear_agent.then_some(Value::Null));
        set(&mut patch, "schedule", self.schedule(now_ms)?);
        set(&mut patch, "payload", self.payload()?);
        let isolation = self.post_prefix.as_deref().map(|prefix| {
            let prefix = if prefix.trim().is_empty() { "Cron" } else { prefix };
            json!({"postToMainPrefix": prefix})
        });
        set(&mut patch, "isolation", isolation);
        Ok(Value::Object(patch))
    }

    fn schedule(&self, now_ms: u64) -> Result<Option<Value>, Failure> {
        let flags = ScheduleFlags {
            at: self.at.as_deref(),
            every: self.every.as_deref(),
            cron: self.cron.as_deref(),
            tz: self.tz.as_deref(),
        };
        match flags.schedule(now_ms) {
            Ok(schedule) => Ok(Some(schedule)),
            Err(BadSchedule::Count(0)) => Ok(None),
            Err(BadSchedule::Count(_)) => Err(Failure::error("Choose at most one schedule change")),
            Err(BadSchedule::At) => Err(Failure::error("Invalid --at")),
            Err(BadSchedule::Every) => Err(Failure::error("Invalid --every")),
        }
    }

    fn payload(&self) -> Result<Option<Value>, Failure> {
        let mut turn = Map::new();
        set(&mut turn, "message", self.message.clone());
        set(&mut turn, "model", not_blank(self.model.as_deref()));
        set(&mut turn, "thinking", not_blank(self.thinking.as_deref()));
        set(&mut turn, "timeoutSeconds", positive(self.timeout_seconds.as_deref()));
        set(&mut turn, "deliver", switch(self.deliver, self.no_deliver));
        set(&mut turn, "channel", self.channel.clone());
        set(&mut turn, "to", self.to.clone());
        set(&mut turn, "bestEffortDeliver", switch(self.best_effort_deliver, self.no_best_effort_deliver));
        match &self.system_event {
            Some(_) if !turn.is_empty() => Err(Failure::error("Choose at most one payload change")),
            Some(text) => Ok(Some(json!({"kind": "systemEvent", "text": text}))),
            None if turn.is_empty() => Ok(None),
            None => {
                turn.insert("kind".to_owned(), "agentTurn".into());
                Ok(Some(Value::Object(turn)))
            }
        }
    }
}

/// Returns which of two opposites was asked for, if any.
fn either(yes: bool, no: bool, both: &str) -> Result<Option<bool>, Failure> {
    if yes && no { Err(Failure::error(both)) } else { Ok(switch(yes, no)) }
}

/// As [`either`]; no wins.
fn switch(yes: bool, no: bool) -> Option<bool> {
    (yes || no).then_some(!no)
}

#[cfg(test)]
mod tests {
    use super::*;
    use argh::FromArgs as _;

    fn check(args: &[&str], expected: Result<Value, &str>) {
        let args = [args, &["--", "id"]].concat();
        let edit = Edit::from_args(&["cron", "edit"], &args).expect("flags");
        assert_eq!(edit.patch(1000), expected.map_err(Failure::error), "{args:?}");
    }

    #[test]
    fn changes() {
        check(&[], Ok(json!({})));
        check(
            &["--name", "n", "--enable", "--keep-after-run", "--clear-agent", "--every", "1m", "--post-prefix", " "],
            Ok(json!({"name": "n", "enabled": true, "deleteAfterRun": false, "agentId": null,
                "schedule": {"kind": "every", "everyMs": 60_000}, "isolation": {"postToMainPrefix": "Cron"}})),
        );
        check(
            &["--no-deliver", "--model", "m", "--session", "isolated", "--agent", "Ops"],
            Ok(json!({"sessionTarget": "isolated", "agentId": "ops",
                "payload": {"model": "m", "deliver": false, "kind": "agentTurn"}})),
        );
        check(&["--system-event", "t"], Ok(json!({"payload": {"kind": "systemEvent", "text": "t"}})));
    }

    #[test]
    fn mistakes() {
        for (args, error) in [
            (vec!["--enable", "--disable"], "Choose --enable or --disable, not both"),
            (vec!["--delete-after-run", "--keep-after-run"], "Choose --delete-after-run or --keep-after-run, not both"),
            (vec!["--agent", "a", "--clear-agent"], "Use --agent or --clear-agent, not both"),
            (vec!["--at", "1m", "--every", "1m"], "Choose at most one schedule change"),
            (vec!["--at", "x"], "Invalid --at"),
            (vec!["--every", "x"], "Invalid --every"),
            (vec!["--system-event", "t", "--to", "x"], "Choose at most one payload change"),
            (
                vec!["--session", "main", "--message", "m"],
                "Main jobs cannot use --message; use --system-event or --session isolated.",
            ),
            (
                vec!["--session", "isolated", "--system-event", "m"],
                "Isolated jobs cannot use --system-event; use --message or --session main.",
            ),
            (vec!["--session", "main", "--post-prefix", "p"], "--post-prefix only applies to isolated jobs."),
        ] {
            check(&args, Err(error));
        }
    }
}
