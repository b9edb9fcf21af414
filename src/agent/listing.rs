//! Sessions as clients list them: `sessions.list`, and the parts of `health` and `status` (protocol.md §5.5, §8).
//!
//! Reads the index, and for titles a few kilobytes of each transcript; any thread that may touch the disk.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use crate::agent::sessions::{DeliveryContext, Entry, Origin, Sessions, Stored};
use crate::agent::{models, session, transcript};
use crate::base::clock::{UnixMs, iso_utc};
use crate::base::ids::{AgentId, SessionKey};
use crate::base::order::newest_first;
use crate::base::text::{collapse_whitespace, unless_blank};
use crate::config::types::Config;

/// Sessions of `health`.
const HEALTH_LEN_MAX: usize = 5;
/// Sessions of `status`, per list.
const STATUS_LEN_MAX: usize = 10;
/// Characters of a derived title.
const TITLE_LEN_MAX: usize = 60;
/// How much of a transcript is searched for its first user message.
const TITLE_BYTES_MAX: u64 = 8 * 1024;
const TITLE_LINES_MAX: usize = 10;
/// How much of a transcript's end is searched for its last message.
const LAST_BYTES_MAX: usize = 16 * 1024;
const LAST_LINES_MAX: usize = 20;

/// What `sessions.list` is asked for.
#[derive(Debug, Default)]
pub struct Filter {
    /// Most rows.
    pub limit: Option<u64>,
    /// Only sessions touched this recently.
    pub active_minutes: Option<u64>,
    /// Whether `global` is listed.
    pub include_global: bool,
    /// Whether `unknown` is listed.
    pub include_unknown: bool,
    /// Whether titles are read from the transcripts.
    pub include_derived_titles: bool,
    /// Whether the last message is read from the transcripts.
    pub include_last_message: bool,
    /// Exact label.
    pub label: Option<String>,
    /// Exact parent.
    pub spawned_by: Option<String>,
    /// One agent's sessions.
    pub agent: Option<AgentId>,
    /// Substring of names and ids, any case.
    pub search: Option<String>,
}

#[derive(Serialize)]
struct Listing {
    ts: UnixMs,
    path: String,
    count: usize,
    defaults: Value,
    sessions: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    key: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    space: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
    updated_at: Option<UnixMs>,
    session_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_sent: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aborted_last_run: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verbose_level: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_level: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elevated_level: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    send_policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens: Option<u64>,
    total_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_usage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_context: Option<DeliveryContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    derived_title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message_preview: Option<String>,
    /// Name that somebody gave; the derived title if there is one.
    #[serde(skip)]
    given_title: Option<String>,
}

/// Returns the result of `sessions.list`.
pub fn list(config: &Config, sessions: &Sessions, filter: &Filter, now_ms: UnixMs) -> impl Serialize + use<> {
    let found = collect(config, sessions, filter);
    let search = filter.search.as_deref().map(|text| text.trim().to_lowercase()).filter(|text| !text.is_empty());
    let since = filter.active_minutes.map(|minutes| now_ms.saturating_sub(minutes.max(1).saturating_mul(60_000)));
    let limit = filter.limit.map_or(usize::MAX, |limit| usize::try_from(limit.max(1)).unwrap_or(usize::MAX));
    // Entry by entry, and no further than needed: there may be tens of thousands.
    let rows: Vec<Row> = found
        .into_iter()
        .filter(|it| since.is_none_or(|since| it.updated_at() >= since))
        .filter_map(|it| Some(row(sessions, &it.key, it.entry()?)))
        .filter(|(_, row)| search.as_deref().is_none_or(|search| row.matches(search)))
        .take(limit)
        .map(|(path, row)| titled(filter, &path, row))
        .collect();
    let default = session::default_agent(config);
    let model = models::configured_name(config, &default)
        .or_else(|| models::resolve(config, &default, None, None).ok().map(|model| model.name_ref()));
    Listing {
        ts: now_ms,
        path: shown_path(config, sessions, &default),
        count: rows.len(),
        defaults: json!({
            "modelProvider": model.as_ref().map(|name| &name.provider),
            "model": model.as_ref().map(|name| &name.id),
            "contextTokens": default_context(config, &default),
        }),
        sessions: rows,
    }
}

/// Returns `sessions` of one agent for `health`.
pub fn health_sessions(sessions: &Sessions, agent: &AgentId, now_ms: UnixMs) -> impl Serialize + use<> {
    let found = named_sessions(sessions, agent);
    let recent: Vec<Value> = found
        .iter()
        .take(HEALTH_LEN_MAX)
        .filter_map(|it| Some((it.key.as_str(), it.entry()?)))
        .map(|(key, entry)| json!({"key": key, "updatedAt": time(&entry), "age": age(&entry, now_ms)}))
        .collect();
    json!({"path": sessions.path(agent).display().to_string(), "count": found.len(), "recent": recent})
}

/// Returns `sessions` for `status`.
pub fn status_sessions(config: &Config, sessions: &Sessions, now_ms: UnixMs) -> Value {
    let default = session::default_agent(config);
    let model = models::resolve(config, &default, None, None).ok().map(|model| model.id);
    let context = default_context(config, &default);
    let mut paths: Vec<String> = Vec::new();
    let mut count = 0;
    let mut all = Vec::new();
    let mut by_agent = Vec::new();
    for agent in session::agent_ids(config) {
        let path = sessions.path(&agent).display().to_string();
        if !paths.contains(&path) {
            paths.push(path.clone());
        }
        let found = named_sessions(sessions, &agent);
        let recent = found.iter().filter_map(|it| Some((it, it.entry()?))).take(STATUS_LEN_MAX);
        let recent: Vec<(UnixMs, Value)> = recent
            .map(|(it, entry)| {
                (it.updated_at(), status_row(&agent, &it.key, &entry, model.as_deref(), context, now_ms))
            })
            .collect();
        let rows: Vec<&Value> = recent.iter().map(|(_, row)| row).collect();
        by_agent.push(json!({"agentId": agent.as_str(), "path": path, "count": found.len(), "recent": rows}));
        count += found.len();
        all.extend(recent);
    }
    newest_first(&mut all, |(updated_at, _)| *updated_at);
    let recent: Vec<Value> = all.into_iter().take(STATUS_LEN_MAX).map(|(_, row)| row).collect();
    json!({
        "paths": paths,
        "count": count,
        "defaults": {"model": model, "contextTokens": context},
        "recent": recent,
        "byAgent": by_agent,
    })
}

fn status_row(
    agent: &AgentId,
    key: &SessionKey,
    entry: &Entry,
    model: Option<&str>,
    context: u64,
    now_ms: UnixMs,
) -> Value {
    let context = entry.context_tokens.unwrap_or(context);
    let total = total_tokens(entry);
    let percent = (context > 0).then(|| ((total as f64 / context as f64) * 100.0).round().min(999.0) as u64);
    let mut row = json!({"agentId": agent.as_str(), "key": key.as_str(), "kind": kind(key, entry)});
    let mut put = |name: &str, value: Value| row[name] = value;
    put("sessionId", entry.session_id.as_str().into());
    put("updatedAt", json!(time(entry)));
    put("age", json!(age(entry, now_ms)));
    let mut flags: Vec<String> = Vec::new();
    let levels = [
        ("think", "thinkingLevel", &entry.thinking_level),
        ("verbose", "verboseLevel", &entry.verbose_level),
        ("reasoning", "reasoningLevel", &entry.reasoning_level),
        ("elevated", "elevatedLevel", &entry.elevated_level),
    ];
    for (flag, name, level) in levels {
        if let Some(level) = level.as_deref().filter(|level| !level.is_empty()) {
            put(name, level.into());
            flags.push(format!("{flag}:{level}"));
        }
    }
    for (flag, name, value) in
        [("system", "systemSent", entry.system_sent), ("aborted", "abortedLastRun", entry.aborted_last_run)]
    {
        if let Some(value) = value {
            put(name, value.into());
            flags.extend(value.then(|| flag.to_owned()));
        }
    }
    for (name, tokens) in [("inputTokens", entry.input_tokens), ("outputTokens", entry.output_tokens)] {
        if let Some(tokens) = tokens {
            put(name, tokens.into());
        }
    }
    flags.push(format!("id:{}", entry.session_id));
    put("totalTokens", total.into());
    put("remainingTokens", context.saturating_sub(total).into());
    put("percentUsed", json!(percent));
    put("model", json!(entry.model.as_deref().or(model)));
    put("contextTokens", context.into());
    put("flags", flags.into());
    row
}

/// Returns the sessions that pass the filters which need nothing but the entry, newest first.
pub(super) fn collect(config: &Config, sessions: &Sessions, filter: &Filter) -> Vec<Stored> {
    let agents = session::agent_ids(config);
    let all = agents.iter().filter(|agent| filter.agent.as_ref().is_none_or(|wanted| wanted == *agent));
    let mut found: Vec<Stored> = all.flat_map(|agent| sessions.all(agent)).collect();
    let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let (label, parent) = (given(&filter.label), given(&filter.spawned_by));
    found.retain(|it| {
        let is_general = filter.agent.is_none() && filter.spawned_by.is_none();
        let is_shown = match it.key.as_str() {
            "global" => filter.include_global && is_general,
            "unknown" => filter.include_unknown && is_general,
            _ => true,
        };
        // Reading every entry would cost more than looking for the text first.
        let may_be = label.iter().chain(&parent).all(|text| it.mentions(text));
        let is_wanted = || {
            let Some(entry) = it.entry() else { return false };
            label.as_ref().is_none_or(|label| entry.label.as_ref() == Some(label))
                && parent.as_ref().is_none_or(|parent| entry.spawned_by.as_ref() == Some(parent))
        };
        is_shown && may_be && (label.is_none() && parent.is_none() || is_wanted())
    });
    newest_first(&mut found, Stored::updated_at);
    found
}

/// Returns an agent's sessions but `global` and `unknown`, newest first.
fn named_sessions(sessions: &Sessions, agent: &AgentId) -> Vec<Stored> {
    let mut found = sessions.all(agent);
    found.retain(|it| !matches!(it.key.as_str(), "global" | "unknown"));
    newest_first(&mut found, Stored::updated_at);
    found
}

fn row(sessions: &Sessions, key: &SessionKey, entry: Entry) -> (std::path::PathBuf, Row) {
    let path = sessions.transcript_path(key, &entry);
    let (key_channel, group_id) = group_of_key(key).unzip();
    let channel = entry.channel.clone().or_else(|| key_channel.map(str::to_owned));
    let display_name = entry
        .display_name
        .clone()
        .or_else(|| channel.as_deref().map(|channel| group_name(channel, &entry, group_id, key)))
        .or_else(|| entry.label.clone())
        .or_else(|| entry.origin.as_ref()?.label.clone());
    let route = entry.delivery_context.clone().or_else(|| {
        entry.last_channel.as_ref().map(|channel| DeliveryContext {
            channel: Some(channel.clone()),
            to: entry.last_to.clone(),
            account_id: entry.last_account_id.clone(),
            thread_id: None,
        })
    });
    let given_title = [&entry.display_name, &entry.subject]
        .into_iter()
        .flatten()
        .map(|name| name.trim().to_owned())
        .find(|name| !name.is_empty());
    let row = Row {
        given_title,
        key: key.as_str().to_owned(),
        kind: kind(key, &entry),
        display_name,
        channel,
        updated_at: time(&entry),
        total_tokens: total_tokens(&entry),
        last_channel: entry.last_channel.or_else(|| route.as_ref()?.channel.clone()),
        last_to: entry.last_to.or_else(|| route.as_ref()?.to.clone()),
        last_account_id: entry.last_account_id.or_else(|| route.as_ref()?.account_id.clone()),
        delivery_context: route,
        label: entry.label,
        subject: entry.subject,
        group_channel: entry.group_channel,
        space: entry.space,
        chat_type: entry.chat_type,
        origin: entry.origin,
        session_id: entry.session_id,
        system_sent: entry.system_sent,
        aborted_last_run: entry.aborted_last_run,
        thinking_level: entry.thinking_level,
        verbose_level: entry.verbose_level,
        reasoning_level: entry.reasoning_level,
        elevated_level: entry.elevated_level,
        send_policy: entry.send_policy,
        input_tokens: entry.input_tokens,
        output_tokens: entry.output_tokens,
        response_usage: entry.response_usage,
        model_provider: entry.model_provider,
        model: entry.model,
        context_tokens: entry.context_tokens,
        derived_title: None,
        last_message_preview: None,
    };
    (path, row)
}

impl Row {
    fn matches(&self, search: &str) -> bool {
        let names = [&self.display_name, &self.label, &self.subject].into_iter().flatten();
        names.chain([&self.session_id, &self.key]).any(|name| name.to_lowercase().contains(search))
    }
}

fn titled(filter: &Filter, path: &Path, mut row: Row) -> Row {
    if filter.include_derived_titles && !row.session_id.is_empty() {
        row.derived_title = Some(title(path, &row));
    }
    if filter.include_last_message {
        row.last_message_preview = last_text(path);
    }
    row
}

/// Returns the name of a conversation: a given one, else how it began, else the start of its id.
fn title(path: &Path, row: &Row) -> String {
    let said = || first_user_text(path).map(|text| cut_title(&collapse_whitespace(&text)));
    row.given_title.clone().or_else(said).unwrap_or_else(|| {
        let start: String = row.session_id.chars().take(8).collect();
        match row.updated_at {
            Some(at) => format!("{start} ({})", &iso_utc(at)[..10]),
            None => start,
        }
    })
}

fn cut_title(text: &str) -> String {
    if text.chars().count() <= TITLE_LEN_MAX {
        return text.to_owned();
    }
    let cut: String = text.chars().take(TITLE_LEN_MAX - 1).collect();
    // A word is left out rather than cut, unless it is a long one.
    let end = cut.rfind(' ').filter(|&end| cut[..end].chars().count() * 10 > TITLE_LEN_MAX * 6);
    format!("{}…", &cut[..end.unwrap_or(cut.len())])
}

fn first_user_text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(TITLE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let lines = bytes.split(|byte| *byte == b'\n').take(TITLE_LINES_MAX);
    let mut messages = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    messages.find_map(|line| text_of(&line["message"]).filter(|_| line["message"]["role"] == "user"))
}

fn last_text(path: &Path) -> Option<String> {
    let messages = transcript::read_messages(path, LAST_LINES_MAX, LAST_BYTES_MAX).ok()?;
    let said = messages.iter().rev().filter(|message| message["role"] == "user" || message["role"] == "assistant");
    said.filter_map(text_of).next()
}

/// Returns the first text of a message.
fn text_of(message: &Value) -> Option<String> {
    let texts: Vec<&str> = match &message["content"] {
        Value::String(text) => vec![text],
        Value::Array(blocks) => {
            blocks.iter().filter(|block| block["type"] == "text").filter_map(|block| block["text"].as_str()).collect()
        }
        _ => Vec::new(),
    };
    texts.into_iter().map(str::trim).find(|text| !text.is_empty()).map(str::to_owned)
}

fn kind(key: &SessionKey, entry: &Entry) -> &'static str {
    let is_group = || {
        matches!(entry.chat_type.as_deref(), Some("group" | "channel"))
            || [":group:", ":channel:"].iter().any(|mark| key.as_str().contains(mark))
    };
    match key.as_str() {
        "global" => "global",
        "unknown" => "unknown",
        _ if is_group() => "group",
        _ => "direct",
    }
}

/// Returns channel and id of a group's key.
fn group_of_key(key: &SessionKey) -> Option<(&str, &str)> {
    let (channel, rest) = session::rest_of(key.as_str()).split_once(':')?;
    let (kind, id) = rest.split_once(':')?;
    (matches!(kind, "group" | "channel") && !id.is_empty()).then_some((channel, id))
}

/// Returns `<channel>:<slug>` of a group (agent.md §4).
fn group_name(channel: &str, entry: &Entry, id: Option<&str>, key: &SessionKey) -> String {
    let text = |text: &Option<String>| text.as_deref().and_then(unless_blank).map(str::to_owned);
    let room = text(&entry.group_channel);
    let detail = match (room, text(&entry.space)) {
        (Some(room), Some(space)) => Some(format!("{space}{}{room}", if room.starts_with('#') { "" } else { "#" })),
        (Some(room), None) => Some(room),
        (None, space) => text(&entry.subject).or(space),
    };
    let fallback = id.unwrap_or_else(|| key.as_str());
    let slug = slug(detail.as_deref().unwrap_or(fallback));
    let slug = if slug.is_empty() { short_id(fallback) } else { slug };
    let is_marked = slug.starts_with(['@', '#']) || slug.starts_with("g-") || slug.contains('#');
    format!("{channel}:{}{slug}", if is_marked { "" } else { "g-" })
}

fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for c in text.trim().to_lowercase().chars() {
        if c.is_ascii_alphanumeric() || "#@._+".contains(c) {
            slug.push(c);
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_matches(['-', '.']).to_owned()
}

fn short_id(id: &str) -> String {
    let chars: Vec<char> = id.chars().collect();
    if chars.len() <= 14 {
        return id.to_owned();
    }
    let part = |range: &[char]| range.iter().collect::<String>();
    format!("{}...{}", part(&chars[..6]), part(&chars[chars.len() - 4..]))
}

fn shown_path(config: &Config, sessions: &Sessions, agent: &AgentId) -> String {
    match config.session.store.as_deref().and_then(unless_blank) {
        None => "(multiple)".to_owned(),
        Some(template) if template.contains("{agentId}") => template.to_owned(),
        Some(_) => sessions.path(agent).display().to_string(),
    }
}

fn default_context(config: &Config, agent: &AgentId) -> u64 {
    models::context_tokens(config, models::resolve(config, agent, None, None).ok().as_ref())
}

fn total_tokens(entry: &Entry) -> u64 {
    let sum = || entry.input_tokens.unwrap_or(0).saturating_add(entry.output_tokens.unwrap_or(0));
    entry.total_tokens.unwrap_or_else(sum)
}

fn time(entry: &Entry) -> Option<UnixMs> {
    Some(entry.updated_at).filter(|&at| at > 0)
}

fn age(entry: &Entry, now_ms: UnixMs) -> Option<u64> {
    time(entry).map(|at| now_ms.saturating_sub(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::sessions::tests::sessions;
    use crate::base::fs::testing::TempDir;

    fn config(value: &Value) -> Config {
        serde_json::from_value(value.clone()).expect("configuration")
    }

    fn mock() -> Value {
        json!({
            "models": {"providers": {"mock": {"baseUrl": "http://127.0.0.1:9/v1", "models": [{"id": "m1", "contextWindow": 32000}]}}},
            "agents": {"defaults": {"model": "mock/m1"}},
        })
    }

    #[test]
    fn rows_carry_what_clients_show() {
        let dir = TempDir::new("listing");
        let (sessions, _) = sessions(&dir, &mock());
        let key = SessionKey::new("agent:main:main");
        let change = |entry: &mut Entry| {
            entry.label = Some("My label".into());
            entry.last_channel = Some("webchat".into());
            (entry.input_tokens, entry.output_tokens) = (Some(11), Some(9));
            entry.updated_at = 1_795_353_898_180;
        };
        let entry = sessions.update(&key, change).expect("update");
        let group = SessionKey::new("agent:main:telegram:group:-100123");
        sessions.update(&group, |entry| entry.updated_at = 5).expect("update");
        sessions.append_injected(&key, " Hello there. ").expect("inject");
        let now_ms = 1_795_354_003_489;
        let filter = Filter { include_derived_titles: true, include_last_message: true, ..Filter::default() };
        let result = json!(list(&config(&mock()), &sessions, &filter, now_ms));
        assert_eq!((&result["path"], &result["count"]), (&json!("(multiple)"), &json!(2)));
        assert_eq!(result["defaults"], json!({"modelProvider": "mock", "model": "m1", "contextTokens": 32000}));
        assert_eq!(
            result["sessions"][0],
            json!({
                "key": "agent:main:main", "kind": "direct", "label": "My label", "displayName": "My label",
                "updatedAt": 1_795_353_898_180_u64, "sessionId": entry.session_id, "inputTokens": 11, "outputTokens": 9,
                "totalTokens": 20, "deliveryContext": {"channel": "webchat"}, "lastChannel": "webchat",
                "derivedTitle": format!("{} (2026-11-22)", &entry.session_id[..8]), "lastMessagePreview": "Hello there.",
            })
        );
        assert_eq!(result["sessions"][1]["displayName"], "telegram:g-100123");
        for (filter, keys) in [
            (Filter { search: Some("LABEL".into()), ..Filter::default() }, vec![key.as_str()]),
            (Filter { active_minutes: Some(5), ..Filter::default() }, vec![key.as_str()]),
            (Filter { label: Some("x".into()), ..Filter::default() }, vec![]),
            (Filter { agent: Some(AgentId::new("main")), limit: Some(1), ..Filter::default() }, vec![key.as_str()]),
        ] {
            let result = json!(list(&config(&mock()), &sessions, &filter, now_ms));
            let rows = result["sessions"].as_array().expect("rows");
            assert_eq!(rows.iter().map(|row| row["key"].as_str().expect("key")).collect::<Vec<_>>(), keys);
        }
    }

    #[test]
    fn health_and_status_summarise() {
        let dir = TempDir::new("listing-status");
        let (sessions, _) = sessions(&dir, &mock());
        let key = SessionKey::new("agent:main:main");
        let change = |entry: &mut Entry| {
            entry.updated_at = 900;
            entry.total_tokens = Some(8000);
            entry.thinking_level = Some("low".into());
        };
        let entry = sessions.update(&key, change).expect("update");
        let health = json!(health_sessions(&sessions, &AgentId::new("main"), 1000));
        assert_eq!(health["recent"], json!([{"key": "agent:main:main", "updatedAt": 900, "age": 100}]));
        let status = status_sessions(&config(&mock()), &sessions, 1000);
        assert_eq!(status["defaults"], json!({"model": "m1", "contextTokens": 32000}));
        let row = &status["byAgent"][0]["recent"][0];
        assert_eq!((&row["percentUsed"], &row["remainingTokens"]), (&json!(25), &json!(24_000)));
        assert_eq!(row["flags"], json!(["think:low", format!("id:{}", entry.session_id)]));
        assert_eq!(status["recent"][0], *row);
    }

    #[test]
    fn titles_are_cut_at_words() {
        let text = "System: Telegram: configured System: - default (token:config) System: more";
        assert_eq!(cut_title(text), "System: Telegram: configured System: - default…");
        assert_eq!(cut_title(&"x".repeat(70)).chars().count(), 60);
    }
}
