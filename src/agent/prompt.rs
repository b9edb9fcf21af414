//! The system prompt: sections in a fixed order, then the workspace's files (agent.md §2).
//!
//! Headings and tokens (`NO_REPLY`, `HEARTBEAT_OK`, `[[reply_to_current]]`) are what skills, templates and models rely on;
//! the sentences are ours. There is no clock in it, so that providers can cache it. Any thread that may read the
//! workspace.

use std::path::Path;

use crate::agent::models::Model;
use crate::agent::session;
use crate::agent::tools::{ChatBriefing, Reactions};
use crate::agent::workspace::{BOOTSTRAP, FILE_BYTES_MAX, FILES};
use crate::base::clock::local_zone_name;
use crate::base::fs::read_text_capped;
use crate::base::host;
use crate::base::ids::{AgentId, SessionKey};
use crate::base::text::tail_chars;
use crate::config::types::Config;

/// Characters of one injected file.
const FILE_CHARS_DEFAULT: u64 = 20_000;

/// The order in which tools are named; others follow by name.
const TOOL_ORDER: [&str; 23] = [
    "read",
    "write",
    "edit",
    "apply_patch",
    "grep",
    "find",
    "ls",
    "exec",
    "process",
    "web_search",
    "web_fetch",
    "browser",
    "canvas",
    "nodes",
    "cron",
    "message",
    "gateway",
    "agents_list",
    "sessions_list",
    "sessions_history",
    "sessions_send",
    "session_status",
    "image",
];

/// What the prompt is made of.
pub struct PromptInput<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// Who speaks.
    pub agent: &'a AgentId,
    /// Where.
    pub key: &'a SessionKey,
    /// The agent's workspace.
    pub workspace: &'a Path,
    /// Tools on offer: name and what it does.
    pub tools: &'a [(&'a str, &'a str)],
    /// The model of this turn.
    pub model: &'a Model,
    /// Level of thinking of this turn.
    pub thinking: &'a str,
    /// How much of the reasoning the user sees: off, on, stream.
    pub reasoning: &'a str,
    /// Where the message came from: `webchat`, `telegram`, …
    pub channel: &'a str,
    /// The list of skills that the model may use.
    pub skills: Option<&'a str>,
    /// What heartbeats ask; `None` when the agent has none.
    pub heartbeat_prompt: Option<&'a str>,
    /// The chat that is answered.
    pub chat: &'a ChatBriefing,
    /// What the model is told of answers that are spoken.
    pub voice_hint: Option<&'a str>,
    /// The caller's own addition.
    pub extra: Option<&'a str>,
}

/// Returns the system prompt.
pub fn system_prompt(input: &PromptInput<'_>) -> String {
    let is_minimal = session::is_subagent(input.key);
    let mut prompt = Prompt(vec!["You are a personal assistant running inside Clawdbot.".to_owned()]);
    tooling(&mut prompt, input);
    prompt.section(
        "Tool Call Style",
        "Call tools without announcing them. Say what you do only when the work is long, risky or surprising, and in few words.",
    );
    prompt.section(
        "Clawdbot CLI Quick Reference",
        "The gateway runs as a service: `clawdbot gateway status`, `clawdbot gateway start`, `clawdbot gateway stop`, \
         `clawdbot gateway restart`. For anything else ask `clawdbot help`; do not guess commands or flags.",
    );
    if !is_minimal {
        optional(&mut prompt, input);
    }
    prompt.section(
        "Workspace",
        &format!(
            "Your working directory is: {}\nRelative paths start there. Keep your files in it unless told otherwise.",
            input.workspace.display()
        ),
    );
    prompt.section("Current Date & Time", &format!("Time zone: {}", time_zone(input.config)));
    let files = context_files(input.config, input.workspace, is_minimal);
    if !files.is_empty() {
        prompt.section(
            "Workspace Files (injected)",
            "The files under Project Context below were read from your workspace and belong to its owner.",
        );
    }
    if !is_minimal {
        replies(&mut prompt, input);
    }
    if let Some(extra) = input.extra.map(str::trim).filter(|extra| !extra.is_empty()) {
        prompt.section(if is_minimal { "Subagent Context" } else { "Group Chat Context" }, extra);
    }
    if let Some(Reactions { network, is_free }) = &input.chat.reactions {
        let how = match is_free {
            true => format!(
                "Reactions are on for {network}, EXTENSIVE: react whenever a person would, to agree, to thank, to laugh, to say \
                 that something was understood."
            ),
            false => format!(
                "Reactions are on for {network}, MINIMAL: react only when it says something that matters, to an important \
                 request or a real feeling; never to routine or to yourself. Once in five to ten exchanges is plenty."
            ),
        };
        prompt.section("Reactions", &how);
    }
    if reasons_in_tags(&input.model.provider) {
        prompt.section(
            "Reasoning Format",
            "Put all reasoning inside <think>...</think> and the answer inside <final>...</final>. Only what is inside \
             <final> reaches the user.",
        );
    }
    project_context(&mut prompt, &files);
    if !is_minimal {
        prompt.section(
            "Silent Replies",
            "When there is nothing to say, your whole message is: NO_REPLY\nNever put it into a message that says something, \
             and never wrap it in markup.",
        );
        if let Some(heartbeat) = input.heartbeat_prompt {
            let is_default = *input.agent == session::default_agent(input.config);
            prompt.section(
                "Heartbeats",
                &format!(
                    "Heartbeat prompt: {}\nWhen a message is that prompt and nothing needs attention, answer exactly: \
                     HEARTBEAT_OK\nWhen something does, say what, without that word.",
                    if is_default { heartbeat.trim() } else { "(configured)" }
                ),
            );
        }
    }
    prompt.section("Runtime", &runtime(input));
    prompt.0.join("\n")
}

/// The lines of the prompt.
struct Prompt(Vec<String>);

impl Prompt {
    fn section(&mut self, heading: &str, body: &str) {
        self.0.push(format!("## {heading}"));
        self.0.extend(body.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
    }
}

fn tooling(prompt: &mut Prompt, input: &PromptInput<'_>) {
    let rank = |name: &str| TOOL_ORDER.iter().position(|known| *known == name).unwrap_or(TOOL_ORDER.len());
    let mut tools: Vec<&(&str, &str)> = input.tools.iter().collect();
    tools.sort_by_key(|(name, _)| (rank(name), *name));
    let first_line = |text: &str| text.lines().next().unwrap_or_default().trim().to_owned();
    let list: Vec<String> = tools.iter().map(|(name, what)| format!("- {name}: {}", first_line(what))).collect();
    let body = if list.is_empty() {
        "No tools are available in this session.".to_owned()
    } else {
        format!(
            "These tools are available; their names are case-sensitive:\n{}\nTOOLS.md holds notes about using them; it \
             neither adds nor removes any.",
            list.join("\n")
        )
    };
    prompt.section("Tooling", &body);
}

/// Sections that are there only when what they speak of is.
fn optional(prompt: &mut Prompt, input: &PromptInput<'_>) {
    let has = |name: &str| input.tools.iter().any(|(tool, _)| *tool == name);
    if let Some(skills) = input.skills.filter(|_| has("read")) {
        prompt.section(
            "Skills (mandatory)",
            &format!(
                "Before you answer, look through the descriptions in <available_skills>. When one skill clearly fits, read \
                 its SKILL.md at <location> with `read` and follow it; when several fit, the most specific one; when none \
                 does, read none. Never read more than one at the beginning.\n{skills}"
            ),
        );
    }
    if has("memory_search") {
        prompt.section(
            "Memory Recall",
            "Before you answer about earlier work, decisions, dates, people or preferences, search with memory_search and \
             read what it finds. Say so when that leaves doubt.",
        );
    }
    if has("gateway") {
        prompt.section(
            "Clawdbot Self-Update",
            "Update Clawdbot or change its configuration only when the user asks for it in so many words.",
        );
    }
    let aliases = input.config.agents.defaults.models.iter();
    let aliases = aliases.filter_map(|(name, allowed)| Some(format!("- {}: {name}", allowed.alias.as_deref()?.trim())));
    let aliases: Vec<String> = aliases.collect();
    if !aliases.is_empty() {
        prompt.section("Model Aliases", &aliases.join("\n"));
    }
}

fn replies(prompt: &mut Prompt, input: &PromptInput<'_>) {
    prompt.section(
        "Reply Tags",
        "To answer as a reply to a message, begin with one tag: [[reply_to_current]] for the message at hand, or \
         [[reply_to:<id>]] for one whose id you were given. The tag is taken off before sending.",
    );
    let mut messaging = String::from("Your answer goes to the chat that the message came from.");
    if input.tools.iter().any(|(name, _)| *name == "sessions_send") {
        messaging.push_str("\nTo write to another session use sessions_send(sessionKey, message).");
    }
    if input.tools.iter().any(|(name, _)| *name == "message") {
        messaging.push_str(
            "\nTo write elsewhere use the message tool. When the visible answer was already sent with it, reply only: NO_REPLY",
        );
        if input.chat.abilities.iter().any(|ability| ability.eq_ignore_ascii_case("inlineButtons")) {
            messaging.push_str(
                "\nTo offer choices here, send with buttons=[[{text,callback_data}]]; what is pressed comes back as a message.",
            );
        } else if input.chat.has_buttons {
            let channel = input.channel;
            messaging.push_str(&format!(
                "\nButtons are off here; the owner can allow them with channels.{channel}.capabilities.inlineButtons \
                 (dm, group, all or allowlist)."
            ));
        }
    }
    prompt.section("Messaging", &messaging);
    if let Some(hint) = input.voice_hint {
        prompt.section("Voice (TTS)", hint);
    }
}

fn project_context(prompt: &mut Prompt, files: &[ContextFile]) {
    if files.is_empty() {
        return;
    }
    prompt.0.push("# Project Context".to_owned());
    if files.iter().any(|file| file.name == "SOUL.md") {
        prompt.0.push("SOUL.md says how you are: speak and act accordingly.".to_owned());
    }
    for file in files {
        prompt.0.push(format!("## {}", file.name));
        // Blank lines within a file are the owner's and stay.
        prompt.0.push(file.text.clone());
    }
}

fn runtime(input: &PromptInput<'_>) -> String {
    let default = crate::agent::models::configured_name(input.config, &session::default_agent(input.config));
    let os = format!("{} {}", std::env::consts::OS, host::kernel_release());
    let abilities = input.chat.abilities.join(",");
    let parts = [
        ("agent", Some(input.agent.to_string())),
        ("host", Some(host::name())),
        ("os", Some(format!("{os} ({})", std::env::consts::ARCH))),
        ("model", Some(input.model.label())),
        ("default_model", default.map(|name| name.to_string())),
        ("channel", Some(input.channel.to_owned())),
        ("capabilities", Some(if abilities.is_empty() { "none".to_owned() } else { abilities })),
        ("thinking", Some(input.thinking.to_owned())),
    ];
    let parts = parts.into_iter().filter_map(|(name, value)| {
        let value = value.filter(|value| !value.is_empty())?;
        Some(format!("{name}={value}"))
    });
    let parts = parts.collect::<Vec<_>>().join(" | ");
    format!("Runtime: {parts}\nReasoning: {} (hidden unless on or stream; /reasoning changes it)", input.reasoning)
}

/// A workspace file as the prompt carries it.
#[derive(Debug, PartialEq, Eq)]
struct ContextFile {
    name: &'static str,
    text: String,
}

fn context_files(config: &Config, dir: &Path, is_minimal: bool) -> Vec<ContextFile> {
    let chars_max = config.agents.defaults.bootstrap_max_chars.filter(|&max| max > 0).unwrap_or(FILE_CHARS_DEFAULT);
    let chars_max = usize::try_from(chars_max).unwrap_or(usize::MAX);
    let mut files = Vec::new();
    for file in FILES.iter().filter(|file| file.is_for_subagents || !is_minimal) {
        let path = dir.join(file.name);
        let text = match read_text_capped(&path, FILE_BYTES_MAX) {
            Ok(Some(text)) => text.trim_end().to_owned(),
            // It is meant to be gone after the first conversation.
            Ok(None) if file.name == BOOTSTRAP => continue,
            Ok(None) | Err(_) => format!("[MISSING] Expected at: {}", path.display()),
        };
        if !text.is_empty() {
            files.push(ContextFile { name: file.name, text: capped(file.name, text, chars_max) });
        }
    }
    files
}

/// Keeps the head and the tail of a text that is too long.
fn capped(name: &str, text: String, chars_max: usize) -> String {
    let count = text.chars().count();
    if count <= chars_max {
        return text;
    }
    let part = |tenths: usize| chars_max.saturating_mul(tenths) / 10;
    let (head_len, tail_len) = (part(7), part(2));
    let head: String = text.chars().take(head_len).collect();
    let tail = tail_chars(&text, tail_len);
    log::warn!(target: "agent", "workspace file {name} has {count} characters; {chars_max} are the limit (bootstrapMaxChars)");
    format!(
        "{head}\n\n[... {name} is truncated here: kept {head_len}+{tail_len} chars of {count}; read the file for the rest ...]\n\n{tail}"
    )
}

/// Returns the user's zone, the host's, or `UTC`.
pub fn time_zone(config: &Config) -> String {
    let zone = config.agents.defaults.user_timezone.as_deref().map(str::trim).filter(|zone| !zone.is_empty());
    zone.filter(|zone| jiff::tz::TimeZone::get(zone).is_ok()).map_or_else(local_zone_name, str::to_owned)
}

/// Returns whether the provider's models reason in the text itself.
fn reasons_in_tags(provider: &str) -> bool {
    matches!(provider, "ollama" | "google-gemini-cli" | "google-generative-ai")
        || provider.contains("google-antigravity")
        || provider.contains("minimax")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    fn prompt(dir: &Path, key: &str) -> String {
        let config = Config::default();
        let agent = AgentId::new("main");
        let model = crate::agent::models::offline();
        system_prompt(&PromptInput {
            config: &config,
            agent: &agent,
            key: &SessionKey::new(key),
            workspace: dir,
            tools: &[("zeta", "last"), ("exec", "Runs a command.\nMore."), ("read", "Reads a file.")],
            model: &model,
            thinking: "off",
            reasoning: "off",
            channel: "webchat",
            skills: Some("<available_skills>\n</available_skills>"),
            heartbeat_prompt: Some("Look around."),
            voice_hint: None,
            chat: &ChatBriefing::default(),
            extra: Some("Be brief."),
        })
    }

    #[test]
    fn sections_come_in_order() {
        let dir = TempDir::new("prompt");
        std::fs::write(dir.path().join("SOUL.md"), "calm\n\nkind\n").expect("write");
        std::fs::write(dir.path().join("TOOLS.md"), " \n").expect("write");
        let text = prompt(dir.path(), "agent:main:main");
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
        assert_eq!(
            headings.join("|"),
            "## Tooling|## Tool Call Style|## Clawdbot CLI Quick Reference|## Skills (mandatory)\
             |## Workspace|## Current Date & Time\
             |## Workspace Files (injected)|## Reply Tags|## Messaging|## Group Chat Context|# Project Context|## AGENTS.md\
             |## SOUL.md|## IDENTITY.md|## USER.md|## HEARTBEAT.md|## Silent Replies|## Heartbeats|## Runtime"
        );
        assert!(text.contains("\n- read: Reads a file.\n- exec: Runs a command.\n- zeta: last\n"));
        assert!(text.contains("calm\n\nkind\n## IDENTITY.md\n[MISSING] Expected at: "));
        assert!(text.contains("Heartbeat prompt: Look around.\n"));
        assert!(text.contains("model=offline/offline | channel=webchat | capabilities=none | thinking=off"));
    }

    #[test]
    fn subagents_get_less() {
        let dir = TempDir::new("prompt-sub");
        let text = prompt(dir.path(), "agent:main:subagent:1");
        assert!(text.contains("## Subagent Context\nBe brief.") && text.contains("## AGENTS.md"));
        assert!(!text.contains("SOUL.md") && !text.contains("## Heartbeats") && !text.contains("NO_REPLY"));
    }

    #[test]
    fn long_files_keep_head_and_tail() {
        let text: String = ('a'..='z').cycle().take(120).collect();
        let short = capped("X.md", text.clone(), 100);
        assert!(short.starts_with(&text[..70]) && short.ends_with(&text[100..]));
        assert!(short.contains("X.md") && short.contains("kept 70+20 chars of 120"));
        assert_eq!(capped("X.md", "é".repeat(100), 100), "é".repeat(100));
    }
}
