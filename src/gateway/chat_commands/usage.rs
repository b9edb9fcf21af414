//! `/usage cost`: what the session, today and the last days cost.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Ctx, Executed, Turn, call};
use crate::agent::transcript;
use crate::base::text::tokens;

/// Most that is read of the session's transcript, in bytes.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Answers with the costs.
pub(super) fn cost(cx: &Arc<Ctx>, turn: &Turn) -> anyhow::Result<Executed> {
    let all = match call(cx, "usage.cost", json!({"days": 30})) {
        Ok(all) => all,
        Err(error) => return Executed::answer(format!("⚠️ Usage is not known: {error}")),
    };
    let today = all["daily"].as_array().and_then(|days| days.last()).cloned().unwrap_or_default();
    let lines = [
        "💸 Usage cost".to_owned(),
        line("Session", &of_session(cx, turn)),
        line("Today", &today),
        line("Last 30d", &all["totals"]),
    ];
    Executed::answer(lines.join("\n"))
}

fn line(name: &str, it: &Value) -> String {
    let cost = it["totalCost"].as_f64().map_or_else(|| "n/a".to_owned(), |cost| format!("${cost:.2}"));
    let partial = if it["missingCostEntries"].as_u64().unwrap_or(0) > 0 { " (partial)" } else { "" };
    let count = it["totalTokens"].as_u64().filter(|count| *count > 0 && name == "Session");
    format!("{name} {cost}{partial}{}", count.map_or_else(String::new, |count| format!(" · {} tokens", tokens(count))))
}

/// Sums the turns of the session's transcript up, as far as they are read.
fn of_session(cx: &Ctx, turn: &Turn) -> Value {
    let Some(entry) = cx.sessions.entry(&turn.session) else { return Value::Null };
    let path = cx.sessions.transcript_path(&turn.session, &entry);
    let messages = transcript::read_messages(&path, usize::MAX, BYTES_MAX).unwrap_or_default();
    let (mut cost, mut count, mut missing) = (0.0, 0, 0_u64);
    for usage in messages.iter().map(|message| &message["usage"]).filter(|usage| usage.is_object()) {
        let used = usage["totalTokens"].as_u64().unwrap_or(0);
        let paid = usage["cost"]["total"].as_f64().unwrap_or(0.0);
        count += used;
        cost += paid;
        missing += u64::from(used > 0 && paid == 0.0);
    }
    json!({"totalCost": cost, "totalTokens": count, "missingCostEntries": missing})
}
