//! What the turns of the last days took and cost, added up from transcripts (protocol.md §5.12, `usage.cost`).
//!
//! Reads each file once, line by line: memory is one line, however long a transcript is. Blocks its thread for as long
//! as the files take. Not here: how often that is done (`gateway::usage_costs`).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::base::clock::{UnixMs, local_date, parse_iso};
use crate::config::types::ModelCost;

/// Longest line that is looked at; a model's turn is far shorter.
const LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Sums.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Prompt tokens that were not cached.
    pub input: u64,
    /// Answer tokens.
    pub output: u64,
    /// Prompt tokens read from a cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache.
    pub cache_write: u64,
    /// All tokens.
    pub total_tokens: u64,
    /// Cost in USD.
    #[serde(serialize_with = "as_number")]
    pub total_cost: f64,
    /// Turns whose price nobody knows.
    pub missing_cost_entries: u64,
}

/// The sums of one local day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Day {
    /// `2026-11-23`.
    pub date: String,
    /// Its sums.
    #[serde(flatten)]
    pub totals: Totals,
}

/// The answer of `usage.cost`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// When it was made.
    pub updated_at: UnixMs,
    /// How many days it looks back.
    pub days: u64,
    /// Days on which something was said, oldest first.
    pub daily: Vec<Day>,
    /// The sums of all of them.
    pub totals: Totals,
}

/// Returns the price of a model, by provider and id, per million tokens.
pub type Price<'a> = &'a dyn Fn(&str, &str) -> Option<ModelCost>;

/// Adds up the transcripts of a directory, from `days - 1` days ago to now; archived ones do not count.
///
/// # Errors
/// When the directory or a file in it cannot be read; a missing directory is empty.
pub fn summarise(dir: &Path, days: u64, now_ms: UnixMs, price: Price<'_>) -> io::Result<Summary> {
    let since_ms = now_ms.saturating_sub(days.saturating_sub(1).saturating_mul(DAY_MS));
    let mut daily: BTreeMap<String, Totals> = BTreeMap::new();
    let mut totals = Totals::default();
    for file in transcripts(dir, since_ms)? {
        let mut reader = match File::open(&file) {
            Ok(file) => BufReader::with_capacity(READ_BYTES, file),
            // Archived since the directory was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        each_line(&mut reader, |line| {
            if let Some(turn) = Turn::parse(line, price).filter(|turn| turn.at_ms >= since_ms && turn.at_ms > 0) {
                daily.entry(local_date(turn.at_ms)).or_default().add(&turn);
                totals.add(&turn);
            }
        })?;
    }
    let daily = daily.into_iter().map(|(date, totals)| Day { date, totals }).collect();
    Ok(Summary { updated_at: now_ms, days, daily, totals })
}

/// Returns the transcripts that were written to since then.
fn transcripts(dir: &Path, since_ms: UnixMs) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let is_recent = |path: &PathBuf| {
        let written_at = fs::metadata(path).ok().filter(fs::Metadata::is_file)?.modified().ok()?;
        Some(written_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() >= u128::from(since_ms))
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let named = paths.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    Ok(named.filter(|path| is_recent(path) == Some(true)).collect())
}

/// Calls `visit` with each line; longer ones than [`LINE_BYTES_MAX`] are passed over.
fn each_line(reader: &mut impl BufRead, mut visit: impl FnMut(&[u8])) -> io::Result<()> {
    let mut line = Vec::new();
    let mut is_rest_of_long_line = false;
    loop {
        line.clear();
        if reader.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let is_cut = line.last() != Some(&b'\n') && line.len() as u64 == LINE_BYTES_MAX;
        if !is_cut && !is_rest_of_long_line {
            visit(&line);
        }
        is_rest_of_long_line = is_cut;
    }
}

/// One turn of a model.
struct Turn {
    at_ms: UnixMs,
    /// Input, output, cache read, cache written, all.
    tokens: [u64; 5],
    cost: Option<f64>,
}

/// A line of a transcript; fields of odd types are no reason to drop it.
#[derive(Deserialize)]
struct Line {
    timestamp: Option<Value>,
    message: Message,
    usage: Option<Value>,
    provider: Option<Value>,
    model: Option<Value>,
}

#[derive(Deserialize)]
struct Message {
    role: Option<Value>,
    timestamp: Option<Value>,
    usage: Option<Value>,
    provider: Option<Value>,
    model: Option<Value>,
}

impl Turn {
    fn parse(line: &[u8], price: Price<'_>) -> Option<Self> {
        let line: Line = serde_json::from_slice(line).ok()?;
        let message = line.message;
        if message.role? != "assistant" {
            return None;
        }
        let usage = message.usage.or(line.usage)?;
        let tokens = tokens_of(&usage)?;
        let of_line = line.timestamp.as_ref().and_then(Value::as_str).and_then(parse_iso);
        let at_ms = of_line.or_else(|| message.timestamp.as_ref()?.as_f64().map(|ms| ms as u64))?;
        let written = usage["cost"]["total"].as_f64().filter(|cost| *cost >= 0.0);
        let name = |of_message: &Option<Value>, of_line: &Option<Value>| {
            let text = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).map(str::to_owned);
            text(of_message).or_else(|| text(of_line))
        };
        let cost = written.or_else(|| {
            let price = price(&name(&message.provider, &line.provider)?, &name(&message.model, &line.model)?)?;
            let per_million = [price.input, price.output, price.cache_read, price.cache_write];
            Some(tokens.iter().zip(per_million).map(|(tokens, price)| *tokens as f64 * price).sum::<f64>() / 1e6)
        });
        Some(Self { at_ms, tokens, cost })
    }
}

/// Reads the counters under any name that a provider gave them; `None` when there is not one.
fn tokens_of(usage: &Value) -> Option<[u64; 5]> {
    let names: [&[&str]; 5] = [
        &["input", "inputTokens", "input_tokens", "promptTokens", "prompt_tokens"],
        &["output", "outputTokens", "output_tokens", "completionTokens", "completion_tokens"],
        &["cacheRead", "cache_read", "cache_read_input_tokens"],
        &["cacheWrite", "cache_write", "cache_creation_input_tokens"],
        &["total", "totalTokens", "total_tokens"],
    ];
    let count =
        |names: &[&str]| names.iter().find_map(|name| usage.get(name).filter(|value| !value.is_null()))?.as_f64();
    let counts = names.map(count);
    let [input, output, cache_read, cache_write, total] = counts.map(|count| count.unwrap_or(0.0) as u64);
    let parts = [input, output, cache_read, cache_write];
    let total = if counts[4].is_some() { total } else { parts.into_iter().fold(0, u64::saturating_add) };
    counts.iter().any(Option::is_some).then_some([input, output, cache_read, cache_write, total])
}

impl Totals {
    fn add(&mut self, turn: &Turn) {
        let [input, output, cache_read, cache_write, total] = turn.tokens;
        self.input = self.input.saturating_add(input);
        self.output = self.output.saturating_add(output);
        self.cache_read = self.cache_read.saturating_add(cache_read);
        self.cache_write = self.cache_write.saturating_add(cache_write);
        self.total_tokens = self.total_tokens.saturating_add(total);
        match turn.cost {
            Some(cost) => self.total_cost += cost,
            None => self.missing_cost_entries += 1,
        }
    }
}

/// Writes whole numbers without a fraction, as JavaScript does.
fn as_number<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        serializer.serialize_i64(*value as i64)
    } else {
        serializer.serialize_f64(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock as _, SystemClock, iso_utc};
    use crate::base::fs::testing::TempDir;
    use serde_json::json;

    fn no_price(_: &str, _: &str) -> Option<ModelCost> {
        None
    }

    fn turn(message: Value) -> Option<Turn> {
        let price: Price<'_> = &|provider, model| {
            let price = ModelCost { input: 1.0, output: 2.0, cache_read: 0.5, cache_write: 4.0 };
            (provider == "p" && model == "m").then_some(price)
        };
        let line = json!({"timestamp": "2026-11-22T13:20:48.869Z", "message": message});
        Turn::parse(line.to_string().as_bytes(), price)
    }

    #[test]
    fn counters_have_many_names() {
        for (usage, tokens) in [
            (json!({"input": 1, "output": 2, "cacheRead": 3, "cacheWrite": 4}), Some([1, 2, 3, 4, 10])),
            (json!({"input_tokens": 1, "completionTokens": 2, "total_tokens": 9}), Some([1, 2, 0, 0, 9])),
            (json!({"input": null, "prompt_tokens": 5}), Some([5, 0, 0, 0, 5])),
            (json!({"input": -5, "output": 1.9}), Some([0, 1, 0, 0, 1])),
            (json!({"input": "1"}), None),
            (json!({}), None),
            (json!(7), None),
        ] {
            assert_eq!(tokens_of(&usage), tokens, "{usage}");
        }
    }

    #[test]
    fn a_cost_is_written_or_known_or_missing() {
        for (message, cost) in [
            (json!({"usage": {"input": 1, "cost": {"total": 0.25}}}), Some(0.25)),
            (json!({"provider": "p", "model": "m", "usage": {"input": 1_000_000, "output": 500_000}}), Some(2.0)),
            (json!({"provider": "p", "model": "m", "usage": {"input": 1, "cost": {"total": -1}}}), Some(1e-6)),
            (json!({"provider": "p", "model": "x", "usage": {"input": 1}}), None),
            (json!({"usage": {"input": 0, "output": 0, "totalTokens": 0}}), None),
        ] {
            let mut all = message.clone();
            all["role"] = "assistant".into();
            assert_eq!(turn(all).expect("a turn").cost, cost, "{message}");
        }
        assert!(turn(json!({"role": "user", "usage": {"input": 1}})).is_none());
        assert!(turn(json!({"role": "assistant"})).is_none());
    }

    #[test]
    fn long_lines_cost_no_memory_and_hide_nothing() {
        let long = "x".repeat(usize::try_from(LINE_BYTES_MAX).expect("fits") * 2 + 7);
        let text = format!("a\n{long}\nb\n\n{}\nc", &long[..usize::try_from(LINE_BYTES_MAX).expect("fits")]);
        let mut seen = Vec::new();
        each_line(&mut BufReader::new(text.as_bytes()), |line| {
            seen.push(String::from_utf8_lossy(line).trim_end().to_owned());
        })
        .expect("read");
        assert_eq!(seen, ["a", "b", "", "c"]);
    }

    #[test]
    fn days_are_local_and_old_turns_left_out() {
        let dir = TempDir::new("costs");
        let now_ms = SystemClock.now_ms();
        let line = |ago_ms: u64| {
            let message = json!({"role": "assistant", "usage": {"input": 1, "output": 1, "cost": {"total": 0.5}}});
            format!("{}\n", json!({"type": "message", "timestamp": iso_utc(now_ms - ago_ms), "message": message}))
        };
        let lines = [line(0), line(DAY_MS), line(2 * DAY_MS - 1000), line(2 * DAY_MS + 1000)];
        fs::write(dir.path().join("a.jsonl"), format!("{{torn\n{}", lines.concat())).expect("write");
        fs::write(dir.path().join("b.jsonl.deleted.1"), line(0)).expect("write");
        let summary = summarise(dir.path(), 3, now_ms, &no_price).expect("summary");
        assert_eq!((summary.totals.total_tokens, summary.totals.total_cost), (6, 1.5));
        let dates: Vec<_> = summary.daily.iter().map(|day| day.date.clone()).collect();
        let mut wanted = vec![local_date(now_ms - 2 * DAY_MS + 1000), local_date(now_ms - DAY_MS), local_date(now_ms)];
        wanted.dedup();
        assert_eq!(dates, wanted);
        assert_eq!(json!(summary)["totals"]["totalCost"], json!(1.5));
        let none = summarise(&dir.path().join("none"), 30, now_ms, &no_price).expect("summary");
        assert_eq!(json!(none)["totals"]["totalCost"].to_string(), "0");
    }
}
