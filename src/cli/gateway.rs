//! `gateway` (run), `gateway call`, `gateway health` and `gateway usage-cost`.

use serde_json::{Value, json};

use super::exit::{Failure, Outcome};
use super::rpc::{self, Positive, client_command};
use super::{Cli, Command, environment, gateway_service, health, output};
use crate::base::text;
use crate::gateway::{RunOptions, WsLog};

/// Days of `usage-cost` when none are named.
const DAYS_DEFAULT: u64 = 30;

/// run the gateway in the foreground
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Run {
    /// port to listen on (default: CLAWDBOT_GATEWAY_PORT, gateway.port, 18789)
    #[argh(option, arg_name = "port")]
    port: Option<String>,
    /// where to listen: loopback, lan, tailnet, auto or custom (default: gateway.bind, loopback)
    #[argh(option, arg_name = "mode")]
    bind: Option<String>,
    /// shared token that clients must send
    #[argh(option, arg_name = "token")]
    token: Option<String>,
    /// how clients prove themselves: token or password
    #[argh(option, arg_name = "mode")]
    auth: Option<String>,
    /// shared password that clients must send
    #[argh(option, arg_name = "password")]
    password: Option<String>,
    /// publish through Tailscale: off, serve or funnel
    #[argh(option, arg_name = "mode")]
    tailscale: Option<String>,
    /// undo serve or funnel when the gateway stops
    #[argh(switch)]
    tailscale_reset_on_exit: bool,
    /// start although gateway.mode is not local
    #[argh(switch)]
    allow_unconfigured: bool,
    /// make a development configuration and workspace when they are missing
    #[argh(switch)]
    dev: bool,
    /// with --dev: first remove its configuration, credentials, sessions and workspace
    #[argh(switch)]
    reset: bool,
    /// end whatever listens on the port first
    #[argh(switch)]
    force: bool,
    /// show debug lines on the console
    #[argh(switch)]
    verbose: bool,
    /// show only lines of the claude-cli backend on the console
    #[argh(switch)]
    claude_cli_logs: bool,
    /// how WebSocket traffic is shown: auto, full or compact
    #[argh(option, arg_name = "style")]
    ws_log: Option<String>,
    /// same as --ws-log compact
    #[argh(switch)]
    compact: bool,
    /// write raw model events to a file
    #[argh(switch)]
    raw_stream: bool,
    /// that file
    #[argh(option, arg_name = "path")]
    raw_stream_path: Option<String>,
}

impl Command for Run {
    // The gateway judges the file itself: what is only old in it, it mends.
    const IS_LENIENT: bool = true;
    const IS_LASTING: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let options = self.options(cli)?;
        if let Some(token) = &options.token {
            environment::set("CLAWDBOT_GATEWAY_TOKEN", token);
        }
        if self.claude_cli_logs {
            environment::set("CLAWDBOT_CLAUDE_CLI_LOG_OUTPUT", "1");
        }
        if self.raw_stream {
            environment::set("CLAWDBOT_RAW_STREAM", "1");
        }
        if let Some(path) = &self.raw_stream_path {
            environment::set("CLAWDBOT_RAW_STREAM_PATH", path);
        }
        environment::enrich_path();
        match crate::gateway::run(options) {
            0 => Ok(()),
            code => Err(Failure::code(code)),
        }
    }
}

impl Run {
    /// Checks the values in the original's order.
    fn options(&self, cli: &Cli) -> Result<RunOptions, Failure> {
        let dev = self.dev || cli.paths.profile.as_deref() == Some("dev");
        if self.reset && !dev {
            return Err(Failure::text("Use --reset with --dev."));
        }
        let ws_log = match self.ws_log.as_deref() {
            _ if self.compact => WsLog::Compact,
            None | Some("auto") => WsLog::Auto,
            Some("full") => WsLog::Full,
            Some("compact") => WsLog::Compact,
            Some(_) => return Err(Failure::text("Invalid --ws-log (use \"auto\", \"full\", \"compact\")")),
        };
        let port = self.port.as_deref().map(parse_port).transpose()?;
        let one_of = |value: &Option<String>, allowed: &[&str], error: &str| match value.as_deref() {
            Some(value) if !allowed.contains(&value) => Err(Failure::text(error)),
            _ => Ok(()),
        };
        one_of(&self.auth, &["token", "password"], "Invalid --auth (use \"token\" or \"password\")")?;
        one_of(
            &self.tailscale,
            &["off", "serve", "funnel"],
            "Invalid --tailscale (use \"off\", \"serve\", or \"funnel\")",
        )?;
        one_of(
            &self.bind,
            &["loopback", "lan", "tailnet", "auto", "custom"],
            "Invalid --bind (use \"loopback\", \"lan\", \"tailnet\", \"auto\", or \"custom\")",
        )?;
        Ok(RunOptions {
            paths: cli.paths.clone(),
            port,
            bind: self.bind.clone(),
            auth: self.auth.clone(),
            token: self.token.clone().filter(|token| !token.trim().is_empty()),
            password: self.password.clone(),
            tailscale: self.tailscale.clone(),
            tailscale_reset_on_exit: self.tailscale_reset_on_exit,
            allow_unconfigured: self.allow_unconfigured,
            dev,
            reset: self.reset,
            force: self.force,
            verbose: self.verbose,
            ws_log,
            supervisor: gateway_service::supervisor_lines,
        })
    }
}

/// compat: the leading digits count, as in the original's parser.
pub(super) fn parse_port(text: &str) -> Result<u16, Failure> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    text[..digits].parse().ok().filter(|&port| port > 0).ok_or_else(|| Failure::text("Invalid port"))
}

client_command! {
    /// call one method of the gateway and print its answer
    pub(super) struct Call {
        /// method, such as health or chat.history
        #[argh(positional)]
        method: String,
        /// parameters as a JSON object (default: an empty one)
        #[argh(option, arg_name = "json", default = "\"{}\".to_owned()")]
        params: String,
    }
}

impl Command for Call {
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let params: Value = serde_json::from_str(&self.params)
            .map_err(|error| Failure::text(format!("Gateway call failed: SyntaxError: {error}")))?;
        let result = rpc::call(cli, &self.client_options(), &self.method, params)
            .map_err(|error| Failure::text(format!("Gateway call failed: Error: {error}")))?;
        if !self.json {
            output::line(&output::bold(&format!("Gateway call: {}", self.method)));
        }
        output::json(&result);
        Ok(())
    }
}

client_command! {
    /// ask the gateway for its health
    pub(super) struct Health {}
}

impl Command for Health {
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let result = rpc::call(cli, &self.client_options(), "health", json!({}))?;
        if self.json {
            output::json(&result);
            return Ok(());
        }
        output::line(&output::bold("Gateway Health"));
        let duration_ms = result["durationMs"].as_u64().unwrap_or(0);
        output::line(&format!("{} ({duration_ms}ms)", output::verdict(true, "OK")));
        for line in health::channel_lines(&result) {
            output::line(&line);
        }
        Ok(())
    }
}

client_command! {
    /// show what recent days took and cost
    pub(super) struct UsageCost {
        /// days to look back (default 30)
        #[argh(option, arg_name = "days", default = "Default::default()")]
        days: Positive,
    }
}

impl Command for UsageCost {
    fn run(self, cli: &Cli) -> Outcome {
        let days = self.days.or(DAYS_DEFAULT);
        let result = rpc::call(cli, &self.client_options(), "usage.cost", json!({"days": days}))
            .map_err(|error| Failure::text(format!("Gateway usage cost failed: Error: {error}")))?;
        if self.json {
            output::json(&result);
            return Ok(());
        }
        usage_lines(&result, days).iter().for_each(|line| output::line(line));
        Ok(())
    }
}

fn usage_lines(summary: &Value, days: u64) -> Vec<String> {
    let usd = |sums: &Value| {
        let cost = sums["totalCost"].as_f64().unwrap_or(0.0);
        if cost >= 0.01 { format!("${cost:.2}") } else { format!("${cost:.4}") }
    };
    let tokens = |sums: &Value| text::tokens(sums["totalTokens"].as_u64().unwrap_or(0));
    let totals = &summary["totals"];
    let mut lines = vec![
        output::bold(&format!("Usage cost ({days} days)")),
        format!("{} {} · {} tokens", output::dim("Total:"), usd(totals), tokens(totals)),
    ];
    if let Some(missing) = totals["missingCostEntries"].as_u64().filter(|&count| count > 0) {
        lines.push(format!("{} {missing}", output::dim("Missing entries:")));
    }
    if let Some(day) = rpc::items(&summary["daily"]).last() {
        let date = day["date"].as_str().unwrap_or_default();
        lines.push(format!("{} {date} · {} · {} tokens", output::dim("Latest day:"), usd(day), tokens(day)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_for_people() {
        let none = json!({"daily": [], "totals": {"totalCost": 0, "totalTokens": 0, "missingCostEntries": 0}});
        assert_eq!(usage_lines(&none, 7), ["Usage cost (7 days)", "Total: $0.0000 · 0 tokens"]);
        let some = json!({
            "daily": [{"date": "2026-11-22"}, {"date": "2026-11-23", "totalCost": 0.004, "totalTokens": 950}],
            "totals": {"totalCost": 1.239, "totalTokens": 12_400, "missingCostEntries": 2},
        });
        let lines = usage_lines(&some, 30);
        assert_eq!(
            lines[1..],
            ["Total: $1.24 · 12k tokens", "Missing entries: 2", "Latest day: 2026-11-23 · $0.0040 · 950 tokens",]
        );
    }

    #[test]
    fn ports() {
        assert_eq!(parse_port("18789x"), Ok(18789));
        for text in ["", "x", "0", "70000", "-1"] {
            assert_eq!(parse_port(text), Err(Failure::text("Invalid port")), "{text}");
        }
    }
}
