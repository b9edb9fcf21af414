//! `sessions`: what is in a session store file; no gateway needed (cli.md §10).

use std::path::Path;

use serde_json::{Map, Value};

use super::exit::{Failure, Outcome};
use super::{Cli, Command, output};
use crate::agent::sessions::store_path;
use crate::agent::{models, session};
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::text;
use crate::base::text::unless_blank;

/// Fields that are printed as they are stored, in this order.
const PLAIN_FIELDS: [&str; 12] = [
    "sessionId",
    "systemSent",
    "abortedLastRun",
    "thinkingLevel",
    "verboseLevel",
    "reasoningLevel",
    "elevatedLevel",
    "responseUsage",
    "groupActivation",
    "inputTokens",
    "outputTokens",
    "totalTokens",
];

/// list the conversations that are stored
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Sessions {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// session store to read (default: session.store, or the default agent's)
    #[argh(option, arg_name = "path")]
    store: Option<String>,
    /// only sessions that were active in the last minutes
    #[argh(option, arg_name = "minutes")]
    active: Option<String>,
    /// accepted for scripts; nothing more is shown
    #[argh(switch)]
    #[allow(dead_code)]
    verbose: bool,
}

impl Command for Sessions {
    fn run(self, cli: &Cli) -> Outcome {
        let active = self.active.as_deref().map(|text| {
            let minutes = text.trim().parse().ok().filter(|&minutes: &u64| minutes > 0);
            minutes.ok_or_else(|| Failure::text("--active must be a positive integer (minutes)"))
        });
        let active = active.transpose()?;
        let path = match self.store.as_deref().and_then(unless_blank) {
            Some(path) => cli.paths.expand(path),
            None => store_path(cli.config(), &cli.paths, &session::default_agent(cli.config())),
        };
        let index = read_index(&path)
            .map_err(|error| Failure::error(format!("read session store {}: {error}", path.display())))?;
        let rows = rows(cli, index, active);
        if self.json {
            let mut report = Map::new();
            report.insert("path".to_owned(), path.display().to_string().into());
            report.insert("count".to_owned(), rows.len().into());
            report.insert("activeMinutes".to_owned(), active.into());
            report.insert("sessions".to_owned(), rows.into());
            output::json(&Value::Object(report));
            return Ok(());
        }
        output::line(&format!("Session store: {}", path.display()));
        output::line(&format!("Sessions listed: {}", rows.len()));
        if let Some(minutes) = active {
            output::line(&format!("Filtered to last {minutes} minute(s)"));
        }
        if rows.is_empty() {
            output::line("No sessions found.");
            return Ok(());
        }
        let header = format!("{:<6} {:<26} {:<9} {:<14} {:<20} Flags", "Kind", "Key", "Age", "Model", "Tokens (ctx %)");
        output::line(&output::bold(&header));
        for row in &rows {
            output::line(&human(row));
        }
        Ok(())
    }
}

/// Reads a session store as it is, with what its gateway has not written into it yet; a missing file is empty.
pub(super) fn read_index(path: &Path) -> std::io::Result<Map<String, Value>> {
    crate::agent::sessions::read_raw(path)
}

/// Returns one row per session, newest first.
fn rows(cli: &Cli, index: Map<String, Value>, active_minutes: Option<u64>) -> Vec<Value> {
    let now_ms = SystemClock.now_ms();
    let config = cli.config();
    let agent = session::default_agent(config);
    let default_model = models::configured_name(config, &agent).map(|name| name.id);
    let mut rows: Vec<(u64, Value)> = Vec::new();
    for (key, entry) in index {
        let Some(entry) = entry.as_object() else { continue };
        let updated_at = entry.get("updatedAt").and_then(Value::as_u64);
        let age_ms = updated_at.map(|at| now_ms.saturating_sub(at));
        let is_shown =
            active_minutes.is_none_or(|minutes| age_ms.is_some_and(|age| age <= minutes.saturating_mul(60_000)));
        if !is_shown {
            continue;
        }
        let mut row = Map::new();
        row.insert("key".to_owned(), key.as_str().into());
        row.insert("kind".to_owned(), kind(&key, entry).into());
        row.insert("updatedAt".to_owned(), updated_at.into());
        row.insert("ageMs".to_owned(), age_ms.into());
        for field in PLAIN_FIELDS {
            if let Some(value) = entry.get(field) {
                row.insert(field.to_owned(), value.clone());
            }
        }
        let model = entry.get("model").or(entry.get("modelOverride")).and_then(Value::as_str);
        row.insert("model".to_owned(), model.map(str::to_owned).or_else(|| default_model.clone()).into());
        let context = entry.get("contextTokens").and_then(Value::as_u64);
        row.insert("contextTokens".to_owned(), context.unwrap_or_else(|| models::context_tokens(config, None)).into());
        rows.push((updated_at.unwrap_or(0), Value::Object(row)));
    }
    crate::base::order::newest_first(&mut rows, |(at, _)| *at);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn kind(key: &str, entry: &Map<String, Value>) -> &'static str {
    let chat_type = entry.get("chatType").and_then(Value::as_str);
    match key {
        "global" => "global",
        "unknown" => "unknown",
        _ if matches!(chat_type, Some("group" | "channel")) => "group",
        _ if key.contains(":group:") || key.contains(":channel:") => "group",
        _ => "direct",
    }
}

fn human(row: &Value) -> String {
    let text = |key: &str| row[key].as_str().unwrap_or_default();
    let age = row["ageMs"].as_u64().map_or_else(|| "unknown".to_owned(), text::age);
    let context = row["contextTokens"].as_u64().filter(|&context| context > 0);
    let tokens = match (row["totalTokens"].as_u64().filter(|&total| total > 0), context) {
        (Some(total), Some(context)) => {
            let percent = (total * 100 / context).min(999);
            format!("{}/{} ({percent}%)", text::tokens(total), text::tokens(context))
        }
        (Some(total), None) => text::tokens(total),
        (None, _) => "-".to_owned(),
    };
    let levels = [
        ("think", "thinkingLevel"),
        ("verbose", "verboseLevel"),
        ("reasoning", "reasoningLevel"),
        ("elev", "elevatedLevel"),
        ("usage", "responseUsage"),
        ("activation", "groupActivation"),
    ];
    let mut flags: Vec<String> = levels
        .iter()
        .filter_map(|(name, key)| Some(format!("{name}:{}", row[*key].as_str().filter(|value| !value.is_empty())?)))
        .collect();
    for (name, key) in [("system", "systemSent"), ("aborted", "abortedLastRun")] {
        if row[key] == true {
            flags.push(name.to_owned());
        }
    }
    flags.extend(row["sessionId"].as_str().map(|id| format!("id:{id}")));
    let model: String = text("model").chars().take(14).collect();
    let line = format!(
        "{:<6} {:<26} {age:<9} {model:<14} {tokens:<20} {}",
        text("kind"),
        shorten_key(text("key")),
        flags.join(" ")
    );
    line.trim_end().to_owned()
}

/// Cuts the middle of a long key: its beginning says whose it is, its end which one.
fn shorten_key(key: &str) -> String {
    const LEN_MAX: usize = 26;
    const TAIL_LEN: usize = 6;
    let chars: Vec<char> = key.chars().collect();
    if chars.len() <= LEN_MAX {
        return key.to_owned();
    }
    let head: String = chars[..LEN_MAX - TAIL_LEN - 4].iter().collect();
    let tail: String = chars[chars.len() - TAIL_LEN..].iter().collect();
    format!("{head}...{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_for_people() {
        let row = json!({"key": "agent:main:telegram:group:-1001234567890", "kind": "group", "ageMs": 300_000,
            "totalTokens": 12_000, "contextTokens": 200_000, "model": "m", "thinkingLevel": "low", "sessionId": "s"});
        let expected = "group  agent:main:teleg...567890  5m ago    m              12k/200k (6%)        think:low id:s";
        assert_eq!(human(&row).split_whitespace().collect::<Vec<_>>(), expected.split_whitespace().collect::<Vec<_>>());
        assert_eq!(shorten_key("agent:main:main"), "agent:main:main");
    }
}
