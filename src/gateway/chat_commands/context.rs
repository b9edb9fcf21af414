//! `/context`: what fills the model's context before anybody has said a word.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::json;

use super::{Ctx, Executed, Turn};
use crate::agent::prompt::{self, PromptInput};
use crate::agent::run::thinking_level;
use crate::agent::{models, tools, workspace};
use crate::base::fs::read_text_capped;
use crate::gateway::tool_host;
use crate::skills;

/// Lines of each list that are shown, unless all are asked for.
const TOP: usize = 8;

/// Reports the composition of the system prompt.
pub(super) fn report(cx: &Arc<Ctx>, turn: &Turn, args: &str) -> anyhow::Result<Executed> {
    let form = args.trim().to_lowercase();
    if !matches!(form.as_str(), "" | "list" | "detail" | "deep" | "json") {
        return Executed::answer("🧠 Usage: /context list|detail|json");
    }
    let config = cx.config.get();
    let entry = cx.sessions.entry(&turn.session);
    let model = models::resolve(&config, &turn.agent, entry.as_ref(), None).map_err(anyhow::Error::msg)?;
    let dir = workspace::dir(&config, &cx.paths, &turn.agent);
    let offered = tools::offered(&config, &turn.agent, &turn.session, &model);
    let thinking = thinking_level(&cx.agent, &turn.session, entry.as_ref());
    let briefing = tool_host::of(cx).briefing(&turn.agent, turn.route.as_ref());
    let prompt = prompt::system_prompt(&PromptInput {
        config: &config,
        agent: &turn.agent,
        key: &turn.session,
        workspace: &dir,
        model: &model,
        tools: &offered.iter().map(|tool| (&*tool.name, &*tool.description)).collect::<Vec<_>>(),
        thinking: &thinking,
        reasoning: "off",
        channel: &turn.speaker.channel,
        skills: skills::prompt::list(&briefing.skills).as_deref(),
        heartbeat_prompt: briefing.heartbeat_prompt.as_deref(),
        chat: &briefing.chat,
        voice_hint: briefing.voice_hint.as_deref(),
        extra: None,
    });
    let chars = prompt.chars().count();
    let files: Vec<(String, usize)> = workspace::FILES
        .iter()
        .filter_map(|file| {
            let text = read_text_capped(&dir.join(file.name), workspace::FILE_BYTES_MAX).ok().flatten()?;
            Some((file.name.to_owned(), text.trim_end().chars().count()))
        })
        .collect();
    let schemas: Vec<(String, usize)> =
        offered.iter().map(|tool| (tool.name.to_string(), tool.parameters.to_string().len())).collect();
    let schema_chars: usize = schemas.iter().map(|(_, chars)| chars).sum();
    let used = entry.as_ref().and_then(|entry| entry.total_tokens).unwrap_or(0);
    if form == "json" {
        let named = |list: &[(String, usize)]| -> Vec<_> {
            list.iter().map(|(name, chars)| json!({"name": name, "chars": chars})).collect()
        };
        let report = json!({
            "source": "estimate", "provider": model.provider, "model": model.id, "workspaceDir": dir,
            "systemPrompt": {"chars": chars}, "injectedWorkspaceFiles": named(&files),
            "tools": {"schemaChars": schema_chars, "entries": named(&schemas)},
            "session": {"totalTokens": used, "contextTokens": model.context_window},
        });
        return Executed::answer(format!("```json\n{report:#}\n```"));
    }
    let mut text = format!(
        "🧠 Context breakdown\nWorkspace: {}\nSystem prompt: {}\nTool schemas: {}\nSession: {used} of {} tokens\n\n\
         Workspace files:\n",
        dir.display(),
        size(chars),
        size(schema_chars),
        model.context_window
    );
    let all = matches!(form.as_str(), "detail" | "deep");
    list(&mut text, files, all);
    text.push_str("\nTools by schema:\n");
    list(&mut text, schemas, all);
    Executed::answer(text.trim_end())
}

fn size(chars: usize) -> String {
    format!("{chars} chars (~{} tok)", chars.div_ceil(4))
}

fn list(text: &mut String, mut entries: Vec<(String, usize)>, all: bool) {
    entries.sort_by_key(|(_, chars)| std::cmp::Reverse(*chars));
    let shown = if all { entries.len() } else { TOP.min(entries.len()) };
    for (name, chars) in &entries[..shown] {
        let _ = writeln!(text, "- {name}: {}", size(*chars));
    }
    if shown < entries.len() {
        let _ = writeln!(text, "- and {} more (/context detail)", entries.len() - shown);
    }
}
