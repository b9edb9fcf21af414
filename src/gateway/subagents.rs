//! Sub-agents: runs that agents start, and whose end is announced to the session that asked (agent.md §20).
//!
//! Owns `<state>/subagents/runs.json`: a record per sub-agent until its session is archived, so that an end is announced
//! also after a restart, and once. The runs themselves are journalled like all others (`accepted`). Runs on the thread of the run that starts one, on that of the one that ends, and once a minute on a
//! job. Not here: who may start what (`agent::tools`).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ctx::Ctx;
use super::start_run::Start;
use super::{accepted, dispatch, tool_host};
use crate::agent::run::{CHANNEL_DEFAULT, RunRequest};
use crate::agent::run_journal::{Accepted, Ended, Origin};
use crate::agent::session;
use crate::agent::tools::Subagent;
use crate::base::clock::UnixMs;
use crate::base::fs::Durability;
use crate::base::ids::{RunId, SessionKey};
use crate::base::rng::uuid;
use crate::base::route::Route;
use crate::base::store::JsonStore;
use crate::base::text;

/// Version of the file's form.
const VERSION: u64 = 2;
/// Most records; an agent that starts one more is refused.
const RECORDS_MAX: usize = 1000;
/// When a sub-agent's session is archived by default, in minutes.
const ARCHIVE_MINUTES_DEFAULT: u64 = 60;
/// Longest text of a task's name, in characters.
const NAME_CHARS_MAX: usize = 200;
/// Longest result that is announced, in characters; the transcript has all of it.
const RESULT_CHARS_MAX: usize = 20_000;

/// Field of a record whose end is announced to nobody: why.
const SILENT: &str = "suppressAnnounceReason";

/// The file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
struct File {
    version: u64,
    runs: BTreeMap<String, Record>,
}

impl Default for File {
    fn default() -> Self {
        Self { version: VERSION, runs: BTreeMap::new() }
    }
}

/// One sub-agent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Record {
    run_id: String,
    child_session_key: String,
    requester_session_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    requester_origin: Option<Value>,
    requester_display_key: String,
    task: String,
    cleanup: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    created_at: UnixMs,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<UnixMs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<UnixMs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    archive_at_ms: Option<UnixMs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cleanup_handled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cleanup_completed_at: Option<UnixMs>,
    /// What this version does not know.
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl Record {
    /// Returns whether its end is announced to nobody.
    fn is_silent(&self) -> bool {
        self.other.contains_key(SILENT)
    }
}

/// See the module.
pub struct Subagents {
    store: JsonStore<File>,
}

impl Subagents {
    /// Opens the file.
    ///
    /// # Errors
    /// I/O errors.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        Ok(Self { store: JsonStore::open(state_dir.join("subagents").join("runs.json"), Durability::Power)? })
    }

    /// Takes no more changes.
    pub fn close(&self) {
        self.store.close();
    }

    fn change(&self, run: &str, change: impl FnOnce(&mut Record)) {
        let changed = self.store.update(|file| {
            if let Some(record) = file.runs.get_mut(run) {
                change(record);
            }
        });
        if let Err(error) = changed {
            log::error!(target: "gateway", "cannot write down what became of sub-agent run {run}: {error}");
        }
    }
}

/// Starts a sub-agent; returns the id of its run.
///
/// # Errors
/// Why it was not started.
pub fn spawn(cx: &Arc<Ctx>, subagent: Subagent) -> Result<String, String> {
    let run = uuid(&*cx.rng);
    let now_ms = cx.clock.now_ms();
    let minutes =
        cx.config.get().tree.pointer("/agents/defaults/subagents/archiveAfterMinutes").and_then(Value::as_u64);
    let archive_after_ms = minutes.unwrap_or(ARCHIVE_MINUTES_DEFAULT).saturating_mul(60_000);
    let origin = match &subagent.requester_route {
        Some(route) => Some(json!({
            "channel": route.channel, "accountId": route.account, "to": route.to, "threadId": route.thread,
        })),
        None => (subagent.requester_channel != CHANNEL_DEFAULT).then(|| json!({"channel": subagent.requester_channel})),
    };
    let record = Record {
        run_id: run.clone(),
        child_session_key: subagent.session.to_string(),
        requester_session_key: subagent.requester.to_string(),
        requester_origin: origin,
        requester_display_key: subagent.requester.to_string(),
        task: subagent.task.clone(),
        cleanup: if subagent.is_deleted_after { "delete" } else { "keep" }.to_owned(),
        label: subagent.label.clone(),
        created_at: now_ms,
        started_at: Some(now_ms),
        archive_at_ms: (archive_after_ms > 0).then(|| now_ms.saturating_add(archive_after_ms)),
        ..Record::default()
    };
    let failed = |error: io::Error| format!("cannot start a sub-agent: {error}");
    let taken = cx.subagents.store.update(|file| {
        let has_room = file.runs.len() < RECORDS_MAX;
        if has_room {
            file.runs.insert(run.clone(), record);
        }
        has_room
    });
    if !taken.map_err(failed)? {
        return Err(format!("{RECORDS_MAX} sub-agents are not archived yet; try again later"));
    }
    let requester = subagent.requester.to_string();
    cx.sessions.update(&subagent.session, |entry| entry.spawned_by = Some(requester)).map_err(failed)?;
    let request = RunRequest {
        thinking: subagent.thinking,
        extra_system_prompt: Some(subagent.system_prompt),
        channel: subagent.requester_channel,
        timeout: subagent.timeout,
        lane: Some("subagent".to_owned()),
        ..RunRequest::new(RunId::new(run.clone()), subagent.agent, subagent.session.clone(), subagent.task)
    };
    let echo = Some(subagent.session.to_string());
    let start = Start { request, echo, is_chat: false, takes_system_events: false };
    if let Err(error) = accepted::accept_now(cx, start, Origin::Subagent) {
        forget(cx, &run);
        return Err(failed(error));
    }
    Ok(run)
}

/// Looks after what an earlier start left behind, before `left`, the runs that go on, do.
pub fn start(cx: &Arc<Ctx>, left: &[Accepted]) {
    let goes_on = |run: &str| left.iter().any(|accepted| accepted.request.run_id.as_str() == run);
    let ends = cx.accepted.journal.recent();
    let end_of = |run: &str| ends.iter().find(|ended| ended.run.as_str() == run);
    let open = |record: &&Record| record.cleanup_handled != Some(true);
    let records: Vec<Record> = cx.subagents.store.get().runs.values().filter(open).cloned().collect();
    for record in records {
        let announcement = announcement_of(&record.run_id);
        if goes_on(&record.run_id) || goes_on(&announcement) {
            continue;
        }
        match (record.ended_at, end_of(&record.run_id)) {
            (None, Some(ended)) => settled(cx, ended),
            (None, None) => {
                let lost = "it was interrupted by a restart of the gateway".to_owned();
                finish(cx, &record.run_id, json!({"status": "error", "error": lost}), None);
            }
            (Some(_), _) if end_of(&announcement).is_some() => clean_up(cx, &record),
            (Some(_), ended) => announce(cx, &record, ended.and_then(Ended::last_text)),
        }
    }
}

/// One sub-agent as people see it.
pub struct Seen {
    /// Its run.
    pub run: String,
    /// Its session.
    pub session: String,
    /// What it was given to do.
    pub task: String,
    /// How it was called.
    pub label: Option<String>,
    /// When it began.
    pub started_at: UnixMs,
    /// When it ended.
    pub ended_at: Option<UnixMs>,
    /// running, done, failed, timed out.
    pub status: &'static str,
}

/// Returns the sub-agents that a session has started, the newest first.
pub fn seen(cx: &Ctx, requester: &SessionKey) -> Vec<Seen> {
    let file = cx.subagents.store.get();
    let own = file.runs.values().filter(|record| record.requester_session_key == requester.as_str());
    let mut seen: Vec<Seen> = own
        .map(|record| Seen {
            run: record.run_id.clone(),
            session: record.child_session_key.clone(),
            task: record.task.clone(),
            label: record.label.clone(),
            started_at: record.started_at.unwrap_or(record.created_at),
            ended_at: record.ended_at,
            status: match record.outcome.as_ref().and_then(|outcome| outcome["status"].as_str()) {
                _ if record.ended_at.is_none() => "running",
                Some("ok") => "done",
                Some("timeout") => "timed out",
                _ => "failed",
            },
        })
        .collect();
    seen.sort_by_key(|it| std::cmp::Reverse(it.started_at));
    seen
}

/// Stops one sub-agent; nobody is told of its end.
pub fn stop(cx: &Ctx, run: &str) {
    cx.subagents.change(run, |record| drop(record.other.insert(SILENT.to_owned(), "stopped".into())));
    let run = RunId::new(run);
    cx.accepted.journal.abort(&run, false);
    cx.runs.abort(&run);
}

/// Stops the sub-agents that a session has under way, and theirs; nobody is told of their ends. Returns how many.
pub fn stop_of(cx: &Ctx, requester: &SessionKey) -> usize {
    let stopped = cx.subagents.store.update(|file| {
        let mut sessions = vec![requester.to_string()];
        let mut stopped = Vec::new();
        while let Some(session) = sessions.pop() {
            let under_way = |record: &&mut Record| record.ended_at.is_none() && !record.is_silent();
            for record in file.runs.values_mut().filter(|it| it.requester_session_key == session).filter(under_way) {
                record.other.insert(SILENT.to_owned(), "stopped".into());
                stopped.push(RunId::new(record.run_id.clone()));
                sessions.push(record.child_session_key.clone());
            }
        }
        stopped
    });
    let stopped = stopped.unwrap_or_else(|error| {
        log::error!(target: "gateway", "cannot note that the sub-agents of {requester} are stopped: {error}");
        Vec::new()
    });
    for run in &stopped {
        cx.accepted.journal.abort(run, false);
        cx.runs.abort(run);
    }
    stopped.len()
}

/// Archives the sessions of sub-agents whose time is over. Called every minute.
pub fn sweep(cx: &Arc<Ctx>) {
    let now_ms = cx.clock.now_ms();
    let is_over = |record: &&Record| record.archive_at_ms.is_some_and(|at| now_ms >= at) && record.ended_at.is_some();
    let over: Vec<Record> = cx.subagents.store.get().runs.values().filter(is_over).cloned().collect();
    if over.is_empty() {
        return;
    }
    let job_cx = cx.clone();
    let submitted = cx.jobs.submit(vec!["disk".to_owned()], move || {
        for record in over {
            delete(&job_cx, &record.child_session_key);
            forget(&job_cx, &record.run_id);
        }
    });
    if let Err(error) = submitted {
        log::debug!(target: "gateway", "sub-agents are archived later: {error}");
    }
}

/// Takes the end of a sub-agent's run.
pub fn settled(cx: &Arc<Ctx>, ended: &Ended) {
    let is_aborted = ended.is_aborted();
    let outcome = match &ended.error {
        Some(_) if ended.timed_out => json!({"status": "timeout"}),
        Some(error) => json!({"status": "error", "error": error}),
        None if is_aborted => json!({"status": "error", "error": "it was stopped"}),
        None => json!({"status": "ok"}),
    };
    finish(cx, ended.run.as_str(), outcome, ended.last_text().filter(|_| !is_aborted));
}

/// Takes the end of the run that announced one.
pub fn announced(cx: &Arc<Ctx>, of: &RunId, error: Option<String>) {
    if let Some(error) = error {
        log::warn!(target: "gateway", "the end of sub-agent run {of} was not announced: {error}");
    }
    if let Some(record) = cx.subagents.store.get().runs.get(of.as_str()) {
        clean_up(cx, record);
    }
}

fn finish(cx: &Arc<Ctx>, run: &str, outcome: Value, result: Option<&str>) {
    let now_ms = cx.clock.now_ms();
    cx.subagents.change(run, |record| {
        record.ended_at = Some(now_ms);
        record.outcome = Some(outcome);
    });
    let Some(record) = cx.subagents.store.get().runs.get(run).cloned() else { return };
    if record.is_silent() { clean_up(cx, &record) } else { announce(cx, &record, result) }
}

/// Returns the id of the run that announces a sub-agent's end: always the same, so that it is told once.
fn announcement_of(run: &str) -> String {
    format!("announce:{run}")
}

/// Returns where the requester's replies go; of an origin without a chat nobody knows.
fn route_of(origin: &Value) -> Option<Route> {
    let text = |name: &str| origin[name].as_str().map(str::to_owned);
    Some(Route {
        channel: text("channel")?,
        account: text("accountId").unwrap_or_else(|| "default".to_owned()),
        to: text("to")?,
        // The original writes numbers too.
        thread: text("threadId").or_else(|| origin["threadId"].as_i64().map(|thread| thread.to_string())),
        reply_to: None,
    })
}

/// Has the agent that asked tell its user what came of it.
fn announce(cx: &Arc<Ctx>, record: &Record, result: Option<&str>) {
    let config = cx.config.get();
    let requester = session::canonical_key(&config, &record.requester_session_key, None);
    let origin = record.requester_origin.as_ref().and_then(|origin| origin["channel"].as_str());
    let result = result.map(str::trim).filter(|result| !result.is_empty()).unwrap_or("(no output)");
    let owner = session::agent_of_key(&config, &requester);
    let prompt = message(cx, record, result);
    let run = RunId::new(announcement_of(&record.run_id));
    let request = RunRequest {
        channel: origin.unwrap_or(CHANNEL_DEFAULT).to_owned(),
        route: record.requester_origin.as_ref().and_then(route_of),
        ..RunRequest::new(run, owner, requester.clone(), prompt)
    };
    let start = Start { request, echo: Some(requester.to_string()), is_chat: false, takes_system_events: false };
    let of = RunId::new(record.run_id.clone());
    if let Err(error) = accepted::accept_now(cx, start, Origin::Announcement { of }) {
        // The record says that it is not announced yet; the next start does it.
        log::error!(target: "gateway", "the end of sub-agent run {} is not announced yet: {error}", record.run_id);
    }
}

fn clean_up(cx: &Arc<Ctx>, record: &Record) {
    let now_ms = cx.clock.now_ms();
    if record.cleanup == "delete" {
        delete(cx, &record.child_session_key);
        forget(cx, &record.run_id);
        return;
    }
    if let Some(label) = &record.label {
        let key = SessionKey::new(&record.child_session_key);
        // A label that another session has is not worth more than a word in the log.
        let params = json!({"key": key.as_str(), "label": label});
        drop(dispatch::local(cx, &tool_host::client(), "sessions.patch", params));
    }
    cx.subagents.change(&record.run_id, |record| {
        record.cleanup_handled = Some(true);
        record.cleanup_completed_at = Some(now_ms);
    });
}

fn forget(cx: &Ctx, run: &str) {
    if let Err(error) = cx.subagents.store.update(|file| file.runs.remove(run)) {
        log::warn!(target: "gateway", "cannot forget sub-agent run {run}: {error}");
    }
}

/// Removes a session; nobody waits for it.
fn delete(cx: &Arc<Ctx>, key: &str) {
    let params = json!({"key": key, "deleteTranscript": true});
    drop(dispatch::local(cx, &tool_host::client(), "sessions.delete", params));
}

fn message(cx: &Ctx, record: &Record, result: &str) -> String {
    let outcome = record.outcome.clone().unwrap_or_default();
    let how = match outcome["status"].as_str() {
        Some("ok") => "completed successfully".to_owned(),
        Some("timeout") => "timed out".to_owned(),
        Some("error") => format!("failed: {}", outcome["error"].as_str().unwrap_or("unknown error")),
        _ => "finished with unknown status".to_owned(),
    };
    let name = record.label.as_deref().unwrap_or(&record.task);
    let name = text::ellipsize(&text::collapse_whitespace(name), NAME_CHARS_MAX);
    format!(
        "A background task \"{name}\" just {how}.\n\nFindings:\n{}\n\n{}\n\nTell the user about it in your own words, in one or \
         two sentences, as part of the conversation. Leave out technical matters such as tokens, keys and that it was a \
         background task. When there is nothing that the user needs to know, answer only NO_REPLY.",
        text::ellipsize(result, RESULT_CHARS_MAX),
        stats(cx, record),
    )
}

fn stats(cx: &Ctx, record: &Record) -> String {
    let key = SessionKey::new(&record.child_session_key);
    let entry = cx.sessions.entry(&key);
    let runtime = record.ended_at.zip(record.started_at).map(|(end, start)| text::duration(end.saturating_sub(start)));
    let mut parts = vec![format!("runtime {}", runtime.unwrap_or_else(|| "n/a".to_owned()))];
    let tokens = |count: Option<u64>| count.map_or_else(|| "n/a".to_owned(), text::tokens);
    match entry.as_ref().filter(|entry| entry.total_tokens.is_some()) {
        Some(entry) => parts.push(format!(
            "tokens {} (in {} / out {})",
            tokens(entry.total_tokens),
            tokens(entry.input_tokens),
            tokens(entry.output_tokens)
        )),
        None => parts.push("tokens n/a".to_owned()),
    }
    parts.push(format!("sessionKey {key}"));
    if let Some(entry) = entry.filter(|entry| !entry.session_id.is_empty()) {
        parts.push(format!("sessionId {}", entry.session_id));
        parts.push(format!("transcript {}", cx.sessions.transcript_path(&key, &entry).display()));
    }
    format!("Stats: {}", parts.join(" • "))
}
