//! How a run begins: the session and its transcript, the models to try, what of the conversation they get, the prompt.
//!
//! Part of [`super::Run`], on its thread. Not here: the turns that follow.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::resume;
use super::{Agent, Around, Promise, Run, RunRequest, Stop, thinking_level};
use crate::agent::credentials::{Wallet, Wish};
use crate::agent::models::{self, Model};
use crate::agent::prompt::{self, PromptInput};
use crate::agent::sessions::Entry;
use crate::agent::transcript::{History, Transcript};
use crate::agent::{pruning, tools, workspace};
use crate::base::clock::UnixMs;
use crate::config::types::Config;
use crate::net::fetch::Fetch;
use crate::skills;

/// Least that is read of a transcript for a turn, in bytes: pictures are long.
const HISTORY_BYTES_MIN: usize = 4 * 1024 * 1024;

impl<'a> Run<'a> {
    /// Opens the session and puts the user's message into its transcript, unless it is there from before.
    pub(super) fn begin(
        agent: &'a Agent,
        config: &'a Config,
        request: &'a RunRequest,
        around: &Around<'a>,
        promise: Option<&Promise<'_>>,
        started_at: UnixMs,
    ) -> Result<Self, Stop> {
        let key = &request.session_key;
        let disk = |what: &str, error: std::io::Error| Stop::Failed(format!("{what}: {error}"));
        let before = match promise {
            Some(promise) => resume::progress(agent, request, promise),
            None => Ok(None),
        };
        let before = before.map_err(|error| disk("cannot read the transcript", error))?;
        let session_id = before.as_ref().map(|it| it.session_id.as_str()).or(request.session_id.as_deref());
        let (entry, is_new_session) =
            agent.sessions.open(key, session_id, started_at).map_err(|error| disk("cannot open the session", error))?;
        let chain = models(config, request, &entry)?;
        let workspace = workspace::ensure(config, &agent.paths, &request.agent_id)
            .map_err(|error| disk("cannot prepare the workspace", error))?;
        let mut transcript =
            agent.sessions.transcript(key, &entry).map_err(|error| disk("cannot open the transcript", error))?;
        if let Some(before) = &before {
            before
                .close_calls(&mut transcript, started_at)
                .map_err(|error| disk("cannot write the transcript", error))?;
        }
        let mut history =
            transcript.history(history_bytes_max(&chain)).map_err(|error| disk("cannot read the transcript", error))?;
        let thinking = request.thinking.clone().unwrap_or_else(|| thinking_level(agent, key, Some(&entry)));
        let Some(model) = chain.first() else { return Err(Stop::Failed("no model is configured".to_owned())) };
        note_model(&mut transcript, &entry, model, &thinking, started_at)
            .map_err(|error| disk("cannot write the transcript", error))?;
        history.keep_user_turns(history_limit(config, request));
        prune(agent, config, request, model, &mut history, started_at);
        let mut tools = tools::offered(config, &request.agent_id, key, model);
        request.client.offer(&mut tools);
        let before_is_some = before.is_some();
        let is_over = before.as_ref().is_some_and(|it| it.is_over);
        let (said, usage, context_tokens, spoke) =
            before.map_or_else(Default::default, |it| (it.said, it.usage, it.context_tokens, it.spoke));
        let spoke = spoke.unwrap_or_else(|| (model.provider.clone(), model.id.clone()));
        let briefing = around.host.briefing(&request.agent_id, request.route.as_ref());
        let skill_variables =
            skills::prompt::variables(&briefing.skills, config, &|name| std::env::var_os(name).is_some());
        let system_prompt = prompt::system_prompt(&PromptInput {
            config,
            agent: &request.agent_id,
            key,
            workspace: &workspace,
            model,
            tools: &tools.iter().map(|tool| (&*tool.name, &*tool.description)).collect::<Vec<_>>(),
            thinking: &thinking,
            reasoning: entry.reasoning_level.as_deref().unwrap_or("off"),
            channel: &request.channel,
            skills: skills::prompt::list(&briefing.skills).as_deref(),
            heartbeat_prompt: briefing.heartbeat_prompt.as_deref(),
            voice_hint: briefing.voice_hint.as_deref(),
            chat: &briefing.chat,
            extra: request.extra_system_prompt.as_deref(),
        });
        Ok(Self {
            fetch: Fetch::new(around.cancel),
            agent,
            config,
            request,
            around: *around,
            entry,
            transcript,
            chain,
            workspace,
            messages: history.messages,
            ids: history.ids,
            tools,
            thinking,
            system_prompt,
            skill_variables,
            said,
            sent: Vec::new(),
            is_new_session,
            usage,
            context_tokens,
            spoke,
            asked_with: BTreeMap::new(),
            cache_touched: None,
            is_aborted: false,
            deadlines_passed: 0,
            client_calls: Vec::new(),
            compactions: None,
            is_said: before_is_some,
            survives: promise.is_some(),
            is_over,
        })
    }

    /// Puts the user's message into the transcript, unless it is there from before; what waits to be noted is noted first.
    pub(super) fn prepare(&mut self, promise: Option<&Promise<'_>>) -> Result<(), Stop> {
        if self.is_said {
            return Ok(());
        }
        self.flush_memory()?;
        let (id, said) = resume::append_request(&mut self.transcript, self.request, promise, self.agent.clock.now_ms())
            .map_err(|error| Stop::Failed(format!("cannot write the transcript: {error}")))?;
        self.messages.push(said);
        self.ids.push(Some(id));
        self.is_said = true;
        Ok(())
    }
}

/// Returns the models to try, in order. The first must be usable; others that are not are skipped with a word in the log.
fn models(config: &Config, request: &RunRequest, entry: &Entry) -> Result<Vec<Model>, Stop> {
    let agent = &request.agent_id;
    let wanted = request.model.as_deref().and_then(|text| models::parse_name(config, text));
    let allowed = wanted.filter(|name| {
        let is_allowed = models::is_allowed(config, agent, name);
        if !is_allowed {
            log::warn!(target: "agent", "run {} goes on with the usual model: {name} is not allowed", request.run_id);
        }
        is_allowed
    });
    let of_run = allowed.map(|name| Entry {
        provider_override: Some(name.provider),
        model_override: Some(name.id),
        ..entry.clone()
    });
    let mut chain = Vec::new();
    for (at, model) in models::chain(config, agent, Some(of_run.as_ref().unwrap_or(entry))).into_iter().enumerate() {
        match model {
            Ok(model) => chain.push(model),
            Err(error) if at == 0 => return Err(Stop::Failed(error)),
            Err(error) => log::warn!(target: "agent", "fallback model skipped: {error}"),
        }
    }
    Ok(chain)
}

/// Returns how much of a transcript is read for a turn: four times what any of the models could take, as bytes of lines,
/// which are longer than what they say.
fn history_bytes_max(chain: &[Model]) -> usize {
    let window = chain.iter().map(|model| model.context_window).max().unwrap_or(0);
    usize::try_from(window.saturating_mul(16)).unwrap_or(usize::MAX).max(HISTORY_BYTES_MIN)
}

/// Notes in the transcript who is going to speak, when that has changed (agent.md §5).
fn note_model(
    transcript: &mut Transcript,
    entry: &Entry,
    model: &Model,
    thinking: &str,
    now_ms: UnixMs,
) -> std::io::Result<()> {
    let is_same = entry.model_provider.as_deref() == Some(&model.provider) && entry.model.as_deref() == Some(&model.id);
    if is_same && transcript.leaf().is_some() {
        return Ok(());
    }
    let fields = |value: Value| match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    transcript.append_entry("model_change", fields(json!({"provider": model.provider, "modelId": model.id})))?;
    transcript.append_entry("thinking_level_change", fields(json!({"thinkingLevel": thinking})))?;
    let data = json!({"timestamp": now_ms, "provider": model.provider, "modelApi": model.api, "modelId": model.id});
    transcript.append_entry("custom", fields(json!({"customType": "model-snapshot", "data": data})))?;
    Ok(())
}

/// Returns how many turns of the user a model gets to see in this conversation; `None` without a limit (agent.md §5).
fn history_limit(config: &Config, request: &RunRequest) -> Option<usize> {
    let (_, peer) = request.session_key.as_str().rsplit_once(":dm:")?;
    let channel = config.channel(&request.channel);
    let limit = channel["dms"][peer]["historyLimit"].as_u64().or_else(|| channel["dmHistoryLimit"].as_u64())?;
    usize::try_from(limit).ok().filter(|limit| *limit > 0)
}

/// Shortens old tool results when the provider's cache has gone cold.
fn prune(agent: &Agent, config: &Config, request: &RunRequest, model: &Model, history: &mut History, now_ms: UnixMs) {
    let has_credentials = || {
        let wallet = Wallet::open(config, &agent.paths, &request.agent_id, now_ms);
        wallet.keys("anthropic", &Wish::Next).is_ok()
    };
    let is_cold = |settings: &pruning::Settings| settings.is_cold(history.cache_touched_at, now_ms);
    let settings = pruning::Settings::of(config, model, || model.provider == "anthropic" && has_credentials());
    let Some(settings) = settings.filter(is_cold) else { return };
    let count = settings.prune(&mut history.messages, model.context_window);
    log::debug!(target: "agent", "session {}: {count} old tool results were shortened", request.session_key);
}
