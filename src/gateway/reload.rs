//! Applying a changed configuration: swap the live one, then what reads it only at start (config.md §10).
//!
//! Runs on `main`; overrides of `/debug` come from a job. This version applies what is read at use, cron, lane widths and logging in place; for what needs more it
//! says so. Not here: noticing and judging the change (`config::watch`, `config::diff`).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::cron;
use super::ctx::Ctx;
use crate::config::diff::{self, Decision};
use crate::config::load::{self, Snapshot};
use crate::config::types::Config;
use crate::work::lanes::LaneName;

/// A valid edit of the file.
pub struct Change(pub Box<Snapshot>);

/// What became of a change.
#[derive(Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is in force, or there was nothing to do.
    InPlace,
    /// The gateway must restart to apply these paths.
    NeedsRestart(Vec<String>),
}

/// Widths of the global lanes (agent.md §7, architecture §6).
pub fn lane_caps(config: &Config) -> Vec<(LaneName, usize)> {
    let width = |configured: Option<u64>, default: usize| {
        configured.and_then(|width| usize::try_from(width).ok()).unwrap_or(default).max(1)
    };
    Vec::from([
        ("main".to_owned(), width(config.agents.defaults.max_concurrent, 4)),
        ("subagent".to_owned(), width(config.agents.defaults.subagents.max_concurrent, 8)),
        // Runs that another run waits for: in `main` they could wait for each other.
        ("nested".to_owned(), width(config.agents.defaults.max_concurrent, 4)),
        ("cron".to_owned(), width(config.cron.max_concurrent_runs, 1)),
        ("disk".to_owned(), 2),
        ("side".to_owned(), 8),
        (super::deliveries::LANE.to_owned(), 32),
        (super::chats::pump::LANE.to_owned(), super::chats::pump::WORKERS_MAX),
        (super::feedback::LANE.to_owned(), 4),
        (super::http::LANE.to_owned(), 16),
        #[cfg(feature = "canvas")]
        (super::canvas_host::LANE.to_owned(), 16),
    ])
}

/// Puts a change into force; it is compared with `old`, the last valid configuration that was seen.
pub fn apply(cx: &Arc<Ctx>, old: &Config, change: Change) -> Applied {
    let snapshot = *change.0;
    let plan = diff::plan(old, &snapshot.typed, diff::Mode::of(&snapshot.typed));
    if plan.changed.is_empty() {
        return Applied::InPlace;
    }
    let list = |paths: &[String]| paths.join(", ");
    log::info!(target: "gateway/reload", "config change detected; evaluating reload ({})", list(&plan.changed));
    match plan.decision {
        Decision::Restart => {
            log::warn!(target: "gateway/reload", "config change requires gateway restart ({})", list(&plan.restart));
            return Applied::NeedsRestart(plan.restart);
        }
        Decision::Disabled => {
            log::info!(target: "gateway/reload", "config reload disabled (gateway.reload.mode=off)");
        }
        Decision::Refused => log::warn!(
            target: "gateway/reload",
            "config reload requires gateway restart; hot mode ignoring ({})",
            list(&plan.restart),
        ),
        Decision::Nothing | Decision::Apply => {
            cx.config.replace(snapshot);
            take_effect(cx, &plan);
            log::info!(target: "gateway/reload", "config change applied (dynamic reads: {})", list(&plan.changed));
        }
    }
    Applied::InPlace
}

/// Lays the overrides of `/debug` over the file, in place of those before. Any thread.
///
/// # Errors
/// Why they cannot be used; nothing changes then.
pub fn override_with(cx: &Arc<Ctx>, overrides: Map<String, Value>) -> Result<(), String> {
    let (old, new) =
        (cx.config.get(), cx.config.under(&overrides).map_err(|error| format!("Invalid override: {error}"))?);
    let mut plan = diff::plan(&old, &new, diff::Mode::Hybrid);
    if !plan.restart.is_empty() {
        let paths = plan.restart.join(", ");
        return Err(format!("{paths} is read when the gateway starts; /config set changes it."));
    }
    if let Err(issues) = load::check_payload(&cx.paths, &new.tree)
        && let Some(issue) = issues
            .into_iter()
            .find(|issue| plan.changed.iter().any(|path| path.starts_with(&issue.path) || issue.path.starts_with(path)))
    {
        return Err(format!("Invalid override ({}).", issue.describe()));
    }
    cx.config.set_overrides(overrides).map_err(|error| format!("Invalid override: {error}"))?;
    take_effect(cx, &plan);
    plan.changed.retain(|path| path == "logging" || path.starts_with("logging."));
    if !plan.changed.is_empty() {
        cx.lifecycle.logging_changed();
    }
    Ok(())
}

/// Tells those who do not look each time.
fn take_effect(cx: &Arc<Ctx>, plan: &diff::Plan) {
    for (lane, width) in lane_caps(&cx.config.get()) {
        cx.jobs.set_cap(&lane, width);
    }
    super::heartbeat::schedule(cx);
    if plan.hot.iter().any(|path| path == "cron" || path.starts_with("cron.")) {
        cron::reload(cx);
    }
    #[cfg(feature = "gmail")]
    super::gmail::reload(cx, &plan.changed);
    super::chats::reload(cx, &plan.changed);
}
