//! `memory_search` and `memory_get`: the agent's notes. How they are searched is in `agent::memory`.

use serde_json::json;

use super::arguments::Arguments;
use super::policy::Subject;
use super::{Tool, ToolContext, ToolResult};
use crate::agent::memory::{self, search::Search};

pub(super) const SEARCH: Tool = Tool {
    name: "memory_search",
    description: "Search your notes (MEMORY.md and memory/*.md), and earlier conversations where that is switched on; returns \
                  snippets with path and lines. Do so before answering about earlier work, decisions, dates, people, preferences or todos.",
    parameters: &[
        ("query", "string*", "What to look for"),
        ("maxResults", "number", "Most snippets, default 6"),
        ("minScore", "number", "Least score, 0 to 1"),
    ],
    is_local: true,
    is_wanted: is_enabled,
    run: search,
};

pub(super) const GET: Tool = Tool {
    name: "memory_get",
    description: "Read lines of MEMORY.md or of a file below memory/, as memory_search found them.",
    parameters: &[
        ("path", "string*", "Path within the workspace"),
        ("from", "number", "First line, from 1"),
        ("lines", "number", "Most lines"),
    ],
    is_local: true,
    is_wanted: is_enabled,
    run: get,
};

fn is_enabled(subject: &Subject<'_>) -> bool {
    memory::search::is_enabled(subject.config, subject.agent)
}

fn search(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let query = args.required("query")?;
    let search = Search {
        config: cx.config,
        paths: cx.paths,
        agent: cx.agent,
        workspace: cx.workspace,
        session_id: Some(&cx.entry.session_id),
        clock: &**cx.clock,
        rng: &**cx.rng,
        cancel: cx.cancel,
    };
    let found = search.find(query, args.count("maxResults"), args.number("minScore"))?;
    Ok(ToolResult::json(found.to_json()))
}

fn get(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let given = args.required("path")?;
    let text = match memory::note(cx.workspace, given) {
        Ok(text) => text,
        Err(error) => return Ok(ToolResult::json(json!({"path": given, "text": "", "error": error}))),
    };
    let from = args.count("from").unwrap_or(1).max(1);
    let lines = args.count("lines").unwrap_or(usize::MAX);
    let text = match args.value("from").or(args.value("lines")) {
        None => text,
        Some(_) => text.lines().skip(from - 1).take(lines).collect::<Vec<_>>().join("\n"),
    };
    Ok(ToolResult::json(json!({"path": given, "text": text})))
}
