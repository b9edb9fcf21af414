//! `cron list`: the jobs as a table.

use serde_json::{Value, json};

use super::now_ms;
use crate::base::clock::iso_utc;
use crate::cli::exit::Outcome;
use crate::cli::rpc::{self, client_command, items};
use crate::cli::{Cli, Command, output};

/// Columns and their widths.
const COLUMNS: [(&str, usize); 8] = [
    ("ID", 36),
    ("Name", 24),
    ("Schedule", 32),
    ("Next", 10),
    ("Last", 10),
    ("Status", 9),
    ("Target", 9),
    ("Agent", 10),
];
/// Where the status stands, which is coloured.
const STATUS: usize = 5;

client_command! {
    /// list the jobs by when they run next
    pub(in crate::cli) struct List {
        /// also those that are switched off
        #[argh(switch)]
        all: bool,
    }
}

impl Command for List {
    fn run(self, cli: &Cli) -> Outcome {
        let params = json!({"includeDisabled": self.all});
        let result = rpc::call(cli, &self.client_options(), "cron.list", params)?;
        if self.json {
            output::json(&result);
            return Ok(());
        }
        let jobs = items(&result["jobs"]);
        if jobs.is_empty() {
            output::line("No cron jobs.");
            return Ok(());
        }
        let names = COLUMNS.map(|(name, _)| name.to_owned());
        output::line(&output::bold(&row(&names, false)));
        let now_ms = now_ms();
        for job in jobs {
            output::line(&row(&cells(job, now_ms), true));
        }
        Ok(())
    }
}

fn cells(job: &Value, now_ms: u64) -> [String; 8] {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (state, is_enabled) = (&job["state"], job["enabled"] == true);
    let next = state["nextRunAtMs"].as_u64().filter(|_| is_enabled);
    let status = if !is_enabled {
        "disabled"
    } else if state["runningAtMs"].as_u64().is_some_and(|at| at > 0) {
        "running"
    } else {
        state["lastStatus"].as_str().unwrap_or("idle")
    };
    [
        text(&job["id"]),
        text(&job["name"]),
        schedule(&job["schedule"]),
        relative(next, now_ms),
        relative(state["lastRunAtMs"].as_u64(), now_ms),
        status.to_owned(),
        text(&job["sessionTarget"]),
        job["agentId"].as_str().unwrap_or("default").to_owned(),
    ]
}

/// Returns the cells side by side; ids are shown whole, whatever their length.
fn row(cells: &[String; 8], is_job: bool) -> String {
    let shown: Vec<String> = cells
        .iter()
        .zip(COLUMNS)
        .enumerate()
        .map(|(index, (cell, (_, width)))| {
            let cell = if index == 0 { cell.clone() } else { fit(cell, width) };
            let padded = format!("{cell:<width$}");
            match cell.as_str() {
                "ok" | "error" if is_job && index == STATUS => output::verdict(cell == "ok", &padded),
                "disabled" | "idle" | "skipped" if is_job && index == STATUS => output::dim(&padded),
                _ => padded,
            }
        })
        .collect();
    shown.join(" ").trim_end().to_owned()
}

fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    format!("{}...", text.chars().take(width - 3).collect::<String>())
}

fn schedule(schedule: &Value) -> String {
    let text = |key: &str| schedule[key].as_str().filter(|text| !text.is_empty());
    match text("kind") {
        Some("at") => {
            let at = iso_utc(schedule["atMs"].as_u64().unwrap_or(0));
            format!("at {} {}Z", &at[..10], &at[11..16])
        }
        Some("every") => {
            let every_ms = schedule["everyMs"].as_u64().unwrap_or(0);
            let seconds = || format!("{}s", rounded(every_ms, 1000).max(1));
            format!("every {}", coarse(every_ms).unwrap_or_else(seconds))
        }
        _ => {
            let zone = text("tz").map(|zone| format!(" @ {zone}")).unwrap_or_default();
            format!("cron {}{zone}", text("expr").unwrap_or_default())
        }
    }
}

/// Returns how far a moment is away: `in 10m`, `<1m ago`, `-`.
fn relative(at_ms: Option<u64>, now_ms: u64) -> String {
    let Some(at_ms) = at_ms.filter(|&at_ms| at_ms > 0) else { return "-".to_owned() };
    let span = coarse(at_ms.abs_diff(now_ms)).unwrap_or_else(|| "<1m".to_owned());
    if at_ms >= now_ms { format!("in {span}") } else { format!("{span} ago") }
}

/// Returns a duration of a minute or more in its largest unit.
fn coarse(ms: u64) -> Option<String> {
    match ms {
        0..60_000 => None,
        60_000..3_600_000 => Some(format!("{}m", rounded(ms, 60_000))),
        3_600_000..86_400_000 => Some(format!("{}h", rounded(ms, 3_600_000))),
        _ => Some(format!("{}d", rounded(ms, 86_400_000))),
    }
}

fn rounded(ms: u64, unit_ms: u64) -> u64 {
    ms.saturating_add(unit_ms / 2) / unit_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_for_people() {
        let job = json!({"id": "63ed6b56-1f74-4cf2-9035-a55b4d80ce36", "name": "a name of more than twenty-four letters",
            "enabled": true, "schedule": {"kind": "cron", "expr": "0 9 * * *", "tz": "Europe/Berlin"},
            "sessionTarget": "main", "state": {"nextRunAtMs": 5_500_000, "lastRunAtMs": 90_000, "lastStatus": "skipped"}});
        assert_eq!(
            row(&cells(&job, 100_000), false),
            "63ed6b56-1f74-4cf2-9035-a55b4d80ce36 a name of more than t... cron 0 9 * * * @ Europe/Berlin   in 2h      \
             <1m ago    skipped   main      default",
        );
        for (value, text) in [
            (json!({"kind": "at", "atMs": 1_924_992_000_000_u64}), "at 2031-01-01 00:00Z"),
            (json!({"kind": "every", "everyMs": 600_000}), "every 10m"),
            (json!({"kind": "every", "everyMs": 1}), "every 1s"),
            (json!({"kind": "cron", "expr": "@daily"}), "cron @daily"),
        ] {
            assert_eq!(schedule(&value), text);
        }
        assert_eq!((relative(None, 5), relative(Some(3 * 86_400_000), 0)), ("-".to_owned(), "in 3d".to_owned()));
    }
}
