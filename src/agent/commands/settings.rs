//! Commands that change a session: levels, the queue, where commands run, who is answered (agent.md §10).

use super::{Applied, Cx};
use crate::agent::queue;
use crate::agent::session::{self, KeyKind};
use crate::agent::tools::sandbox;
use crate::agent::{elevation, levels};

/// How settings of `/exec` are called, and what they may be.
const EXEC: [(&str, &str, &[&str]); 3] = [
    ("host", "Valid hosts: ", &["sandbox", "gateway", "node"]),
    ("security", "Valid: ", &["deny", "allowlist", "full"]),
    ("ask", "Valid: ", &["off", "on-miss", "always"]),
];
const EXEC_OPTIONS: &str = "host=sandbox|gateway|node, security=deny|allowlist|full, ask=off|on-miss|always, node=<id>";
const QUEUE_OPTIONS: &str = "modes steer, followup, collect, steer+backlog, interrupt; debounce:<ms|s|m>, cap:<n>, \
     drop:old|new|summarize";

impl Cx<'_> {
    fn thinking_level(&self) -> &str {
        let default = levels::thinking_default(self.config, self.model.as_ref().ok());
        self.entry.thinking_level.as_deref().unwrap_or(default)
    }

    pub(super) fn think(&self, word: &str) -> anyhow::Result<Applied> {
        let has_xhigh = self.model.as_ref().is_ok_and(|model| levels::has_xhigh(&model.name_ref()));
        let options = format!("{}{}", levels::THINKING.join(", "), if has_xhigh { ", xhigh" } else { "" });
        if word.is_empty() {
            return Applied::said(format!("Current thinking level: {}.\nOptions: {options}.", self.thinking_level()));
        }
        match levels::thinking(word).filter(|&level| level != "xhigh" || has_xhigh) {
            None => Applied::said(format!("Unrecognized thinking level \"{word}\". Valid levels: {options}.")),
            Some(level) => {
                // The original deletes the override for `off`, and a reasoning model goes on thinking.
                self.store(|entry| entry.thinking_level = Some(level.to_owned()))?;
                Applied::said(match level {
                    "off" => "Thinking disabled.".to_owned(),
                    _ => format!("Thinking level set to {level}."),
                })
            }
        }
    }

    pub(super) fn verbose(&self, word: &str) -> anyhow::Result<Applied> {
        if word.is_empty() {
            let default = self.config.agents.defaults.verbose_default.as_deref().unwrap_or("off");
            let level = self.entry.verbose_level.as_deref().unwrap_or(default);
            return Applied::said(format!("Current verbose level: {level}.\nOptions: on, full, off."));
        }
        let Some(level) = levels::verbose(word) else {
            return Applied::said(format!("Unrecognized verbose level \"{word}\". Valid levels: off, on, full."));
        };
        self.store(|entry| entry.verbose_level = Some(level.to_owned()))?;
        let what = match level {
            "off" => "disabled",
            "full" => "set to full",
            _ => "enabled",
        };
        Applied::said(format!("⚙️ Verbose logging {what}."))
    }

    pub(super) fn reasoning(&self, word: &str) -> anyhow::Result<Applied> {
        let current = self.entry.reasoning_level.as_deref().unwrap_or("off");
        if word.is_empty() {
            return Applied::said(format!("Current reasoning level: {current}.\nOptions: on, off, stream."));
        }
        let Some(level) = levels::reasoning(word) else {
            return Applied::said(format!("Unrecognized reasoning level \"{word}\". Valid levels: on, off, stream."));
        };
        self.store(|entry| entry.reasoning_level = Some(level.to_owned()))?;
        let (what, event) = match level {
            "off" => ("visibility disabled.", "Reasoning OFF — hide <think>."),
            "stream" => ("stream enabled (Telegram only).", "Reasoning STREAM — emit live <think>."),
            _ => ("visibility enabled.", "Reasoning ON — include <think>."),
        };
        let event = (level != current).then(|| event.to_owned());
        Ok(Applied { text: format!("⚙️ Reasoning {what}"), event })
    }

    pub(super) fn elevated(&self, word: &str) -> anyhow::Result<Applied> {
        let level = levels::elevated(word);
        let shut = elevation::shut_gates(self.config, self.agent, &self.speaker.channel, Some(self.speaker));
        if (word.is_empty() || level.is_some()) && !shut.is_empty() {
            let text = elevation::refusal(self.config, self.agent, self.key, &self.speaker.channel, &shut);
            return Applied::said(text);
        }
        let is_direct = !sandbox::is_asked_for(self.config, self.agent, self.key);
        let hint = "⚙️ Runtime is direct; sandboxing does not apply.";
        if word.is_empty() {
            let level = elevation::level(self.config, &self.entry);
            let hint = if is_direct { format!("\n{hint}") } else { String::new() };
            return Applied::said(format!("Current elevated level: {level}.\nOptions: on, off, ask, full.{hint}"));
        }
        let Some(level) = level else {
            return Applied::said(format!("Unrecognized elevated level \"{word}\". Valid levels: off, on, ask, full."));
        };
        self.store(|entry| entry.elevated_level = Some(level.to_owned()))?;
        let (what, event) = match level {
            "off" => ("disabled.", "Elevated OFF — exec stays in sandbox."),
            "full" => ("set to full (auto-approve).", "Elevated FULL — exec runs on host with auto-approval."),
            _ => (
                "set to ask (approvals may still apply).",
                "Elevated ASK — exec runs on host; approvals may still apply.",
            ),
        };
        let hint = if is_direct { format!(" {hint}") } else { String::new() };
        Ok(Applied { text: format!("⚙️ Elevated mode {what}{hint}"), event: Some(event.to_owned()) })
    }

    pub(super) fn exec(&self, args: &str) -> anyhow::Result<Applied> {
        let mut set: Vec<(&str, String)> = Vec::new();
        for word in args.split_whitespace() {
            let (key, value) = word.split_once(['=', ':']).unwrap_or((word, ""));
            let (key, value) = (key.to_lowercase(), value.trim());
            if key == "node" {
                if value.is_empty() {
                    return Applied::said("Exec node requires a value.");
                }
                set.push(("node", value.to_owned()));
                continue;
            }
            let Some((name, valid, values)) = EXEC.iter().find(|(name, ..)| *name == key) else {
                return Applied::said(format!("Unrecognized exec option \"{word}\".\nOptions: {EXEC_OPTIONS}."));
            };
            let value = value.to_lowercase();
            if !values.contains(&value.as_str()) {
                return Applied::said(format!("Unrecognized exec {name} \"{value}\". {valid}{}.", values.join(", ")));
            }
            set.push((name, value));
        }
        if set.is_empty() {
            return Applied::said(self.exec_defaults());
        }
        self.store(|entry| {
            for (name, value) in &set {
                let field = match *name {
                    "host" => &mut entry.exec_host,
                    "security" => &mut entry.exec_security,
                    "ask" => &mut entry.exec_ask,
                    _ => &mut entry.exec_node,
                };
                *field = Some(value.clone());
            }
        })?;
        let parts: Vec<String> = set.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Applied::said(format!("⚙️ Exec defaults set ({}).", parts.join(", ")))
    }

    fn exec_defaults(&self) -> String {
        let own = session::agent_entry(self.config, self.agent).and_then(|entry| entry.tools.as_ref());
        let of = |session: &Option<String>, name: &str, default: &str| {
            let own = own.and_then(|tools| tools["exec"][name].as_str());
            let all = self.config.tree["tools"]["exec"][name].as_str();
            session.as_deref().or(own).or(all).unwrap_or(default).to_owned()
        };
        let entry = &self.entry;
        format!(
            "Current exec defaults: host={}, security={}, ask={}, node={}.\nOptions: {EXEC_OPTIONS}.",
            of(&entry.exec_host, "host", "sandbox"),
            of(&entry.exec_security, "security", "deny"),
            of(&entry.exec_ask, "ask", "on-miss"),
            of(&entry.exec_node, "node", "(unset)"),
        )
    }

    pub(super) fn queue(&self, args: &str) -> anyhow::Result<Applied> {
        let options = queue::Options::parse(args);
        if options.is_empty() {
            let it = queue::Settings::of(self.config, &self.speaker.channel, Some(&self.entry));
            return Applied::said(format!(
                "Current queue settings: mode={}, debounce={}ms, cap={}, drop={}.\nOptions: {QUEUE_OPTIONS}.",
                it.mode.as_str(),
                it.debounce_ms,
                it.cap,
                it.drop.as_str()
            ));
        }
        if let Some((kind, word)) = &options.wrong {
            return Applied::said(match *kind {
                "mode" => format!(
                    "Unrecognized queue mode \"{word}\". Valid modes: steer, followup, collect, steer+backlog, interrupt."
                ),
                "debounce" => {
                    format!("Invalid debounce \"{word}\". Use ms/s/m (e.g. debounce:1500ms, debounce:2s).")
                }
                "cap" => format!("Invalid cap \"{word}\". Use a positive integer (e.g. cap:10)."),
                _ => format!("Invalid drop policy \"{word}\". Use drop:old, drop:new, or drop:summarize."),
            });
        }
        self.store(|entry| options.apply(entry))?;
        if options.is_reset {
            return Applied::said("⚙️ Queue mode reset to default.");
        }
        let said = [
            options.mode.map(|mode| format!("⚙️ Queue mode set to {}.", mode.as_str())),
            options.debounce_ms.map(|ms| format!("⚙️ Queue debounce set to {ms}ms.")),
            options.cap.map(|cap| format!("⚙️ Queue cap set to {cap}.")),
            options.drop.map(|drop| format!("⚙️ Queue drop set to {}.", drop.as_str())),
        ];
        Applied::said(said.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }

    pub(super) fn usage(&self, word: &str) -> anyhow::Result<Applied> {
        let mode = match word.to_lowercase().as_str() {
            "" => match self.entry.response_usage.as_deref() {
                None | Some("off") => "tokens",
                Some("tokens" | "on") => "full",
                Some(_) => "off",
            },
            "off" => "off",
            "tokens" | "on" => "tokens",
            "full" => "full",
            _ => return Applied::said("⚙️ Usage: /usage off|tokens|full|cost"),
        };
        self.store(|entry| entry.response_usage = (mode != "off").then(|| mode.to_owned()))?;
        Applied::said(format!("⚙️ Usage footer: {mode}."))
    }

    pub(super) fn send(&self, word: &str) -> anyhow::Result<Applied> {
        let mode = word.to_lowercase();
        let policy = match mode.as_str() {
            "on" => Some("allow"),
            "off" => Some("deny"),
            "inherit" => None,
            _ => return Applied::said("⚙️ Usage: /send on|off|inherit"),
        };
        self.store(|entry| entry.send_policy = policy.map(str::to_owned))?;
        Applied::said(format!("⚙️ Send policy set to {mode}."))
    }

    pub(super) fn activation(&self, word: &str) -> anyhow::Result<Applied> {
        if !self.speaker.is_group() && KeyKind::of(self.key) == KeyKind::Direct {
            return Applied::said("⚙️ Group activation only applies to group chats.");
        }
        let mode = word.to_lowercase();
        if !matches!(mode.as_str(), "mention" | "always") {
            return Applied::said("⚙️ Usage: /activation mention|always");
        }
        self.store(|entry| {
            entry.group_activation = Some(mode.clone());
            entry.other.insert("groupActivationNeedsSystemIntro".to_owned(), true.into());
        })?;
        Applied::said(format!("⚙️ Group activation set to {mode}."))
    }

    pub(super) fn whoami(&self) -> anyhow::Result<Applied> {
        let speaker = self.speaker;
        let mut lines = vec!["🧭 Identity".to_owned(), format!("Channel: {}", speaker.channel)];
        if let Some(id) = &speaker.id {
            lines.push(format!("User id: {id}"));
        }
        if let Some(name) = &speaker.username {
            lines.push(format!("Username: @{}", name.trim_start_matches('@')));
        }
        if speaker.is_group() {
            lines.push(format!("Chat: {}", self.key));
        }
        lines.push(format!("Agent: {}\nSession: {}", self.agent, self.key));
        if let Some(id) = &speaker.id {
            lines.push(format!("AllowFrom: {id}"));
        }
        Applied::said(lines.join("\n"))
    }
}
