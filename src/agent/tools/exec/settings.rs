//! Where a command runs and under which rules: configuration, session, elevation, and what the model asks for.
//!
//! The model may choose the configured place only, and may only be stricter. Not here: judging a command (`approval`).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::agent::tools::arguments::Arguments;
use crate::agent::tools::{ToolContext, sandbox};
use crate::agent::{elevation, session};
use crate::approvals::allowlist::SAFE_BINS_DEFAULT;
use crate::approvals::policy::{Ask, Security};
use crate::base::clock::UnixMs;
use crate::base::text::trimmed;

/// Limit in seconds when nobody names one.
const TIMEOUT_SECONDS_DEFAULT: f64 = 1800.0;
/// When a command goes into the background by default.
const BACKGROUND_MS_DEFAULT: f64 = 10_000.0;
/// How long output is kept after a command's end: by default, at least, at most.
const KEEP_MS: (UnixMs, UnixMs, UnixMs) = (30 * 60_000, 60_000, 3 * 60 * 60_000);
/// When a command that was approved is reported as running.
const RUNNING_NOTICE_MS_DEFAULT: u64 = 10_000;

/// Where a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Here, unasked: the default for sessions that need no sandbox.
    Direct,
    /// Here, under the policy about commands; `asks` is false for fully elevated ones.
    Gateway {
        /// Whether the policy is consulted.
        asks: bool,
    },
    /// On a node.
    Node,
}

/// See the module.
pub struct Settings {
    /// Where it runs.
    pub place: Place,
    /// The tool's own strictness.
    pub security: Security,
    /// When the tool itself asks.
    pub ask: Ask,
    /// The node that commands are bound to.
    pub node: Option<String>,
    /// Programs that only filter.
    pub safe_bins: BTreeSet<String>,
    /// Directories in front of PATH.
    pub path_prepend: Vec<String>,
    /// Limit in seconds.
    pub timeout_seconds: f64,
    /// When a command goes into the background.
    pub background_ms: f64,
    /// How long output is kept after the end.
    pub keep_ms: UnixMs,
    /// Whether the end of a command in the background is told.
    pub notifies_on_exit: bool,
    /// When a command that was approved is reported as running; zero never.
    pub running_notice_ms: u64,
}

impl Settings {
    /// Decides for one call.
    ///
    /// # Errors
    /// Why it may not run where it is asked for.
    pub fn of(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<Self, String> {
        let own = session::agent_entry(cx.config, cx.agent).and_then(|entry| entry.tools.as_ref());
        let own = own.map_or(&Value::Null, |tools| &tools["exec"]);
        let all = &cx.config.tree["tools"]["exec"];
        let value = |name: &str| Some(&own[name]).filter(|value| !value.is_null()).unwrap_or(&all[name]);
        let text = |session: &Option<String>, name: &str| {
            let text = session.clone().or_else(|| value(name).as_str().map(str::to_owned));
            text.and_then(trimmed)
        };
        let configured = text(&cx.entry.exec_host, "host").unwrap_or_else(|| "sandbox".to_owned());
        let elevation = elevation(cx, args.flag("elevated"))?;
        let host = match (elevation, args.text("host")) {
            (Some(_), _) => "gateway",
            (None, Some(asked)) if asked != configured => {
                return Err(format!(
                    "exec host not allowed (requested {asked}; configure tools.exec.host={asked} to allow)."
                ));
            }
            (None, _) => configured.as_str(),
        };
        let place = match host {
            "sandbox" if sandbox::is_asked_for(cx.config, cx.agent, cx.session) => {
                return Err(sandbox::refusal("exec", cx.config, cx.agent));
            }
            "sandbox" => Place::Direct,
            "gateway" => Place::Gateway { asks: elevation != Some(Elevation::Full) },
            "node" => Place::Node,
            other => return Err(format!("exec host unknown: {other} (tools.exec.host is sandbox, gateway or node)")),
        };
        let session_security = text(&cx.entry.exec_security, "security");
        // What nobody knows is the strictest.
        let security =
            session_security.map_or(Security::Allowlist, |it| Security::parse(&it).unwrap_or(Security::Deny));
        let ask = text(&cx.entry.exec_ask, "ask").map_or(Ask::OnMiss, |it| Ask::parse(&it).unwrap_or(Ask::Always));
        let number = |name: &str| value(name).as_f64().filter(|number| *number >= 0.0);
        let list = |name: &str| -> Option<Vec<String>> {
            let texts = value(name).as_array()?.iter().filter_map(Value::as_str);
            Some(texts.filter_map(trimmed).collect())
        };
        let safe_bins = list("safeBins").unwrap_or_else(|| SAFE_BINS_DEFAULT.map(str::to_owned).into());
        Ok(Self {
            place,
            security: args.text("security").and_then(Security::parse).map_or(security, |asked| asked.min(security)),
            ask: args.text("ask").and_then(Ask::parse).map_or(ask, |asked| asked.max(ask)),
            node: text(&cx.entry.exec_node, "node"),
            safe_bins: safe_bins.into_iter().map(|bin| bin.to_lowercase()).collect(),
            path_prepend: list("pathPrepend").unwrap_or_default(),
            timeout_seconds: number("timeoutSec").filter(|it| *it > 0.0).unwrap_or(TIMEOUT_SECONDS_DEFAULT),
            background_ms: number("backgroundMs").unwrap_or(BACKGROUND_MS_DEFAULT),
            keep_ms: number("cleanupMs").map_or(KEEP_MS.0, |ms| (ms as UnixMs).clamp(KEEP_MS.1, KEEP_MS.2)),
            notifies_on_exit: value("notifyOnExit").as_bool().unwrap_or(true),
            running_notice_ms: number("approvalRunningNoticeMs").map_or(RUNNING_NOTICE_MS_DEFAULT, |ms| ms as u64),
        })
    }

    /// Returns the PATH that commands see.
    pub fn search_path(&self) -> String {
        let mut path = self.path_prepend.join(":");
        if let Ok(own) = std::env::var("PATH") {
            if !path.is_empty() {
                path.push(':');
            }
            path.push_str(&own);
        }
        path
    }
}

/// How far a command is elevated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Elevation {
    /// To this machine, under its policy.
    Ask,
    /// To this machine, unasked.
    Full,
}

/// Returns how far the call is elevated: as the session has it, unless the model says otherwise.
fn elevation(cx: &ToolContext<'_>, asked: Option<bool>) -> Result<Option<Elevation>, String> {
    let failing = elevation::shut_gates(cx.config, cx.agent, cx.channel, cx.speaker);
    let level = elevation::level(cx.config, cx.entry);
    let full = if level == "full" { Elevation::Full } else { Elevation::Ask };
    match asked {
        Some(false) => Ok(None),
        Some(true) if failing.is_empty() => Ok(Some(full)),
        Some(true) => Err(elevation::refusal(cx.config, cx.agent, cx.session, cx.channel, &failing)),
        None if failing.is_empty() && level != "off" => Ok(Some(full)),
        None => Ok(None),
    }
}
