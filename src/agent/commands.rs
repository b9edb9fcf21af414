//! Slash commands: recognising them in a message, and what each one does to a session (agent.md §10–11).
//!
//! `TABLE` is the only list of commands: parsing, `/help` and `/commands` come from it. Any thread that may touch the
//! disk. Not here: commands that need the gateway's state (`/new`, `/status` are carried out by `gateway::chat_commands`).

mod model;
mod status;

use std::fmt::Write as _;

use crate::agent::levels;
use crate::agent::models::{self, Model};
use crate::agent::sessions::{Entry, Sessions};
use crate::base::ids::{AgentId, SessionKey};
use crate::config::types::Config;

pub use self::status::{StatusCard, session_lines, status_reply};

/// What the model is told at the start of a session that the user began without saying anything.
pub const GREETING_PROMPT: &str = "A new session was started with /new or /reset. Greet the user in your own manner, in one \
     to three short sentences, and ask what they would like to do. If you run on another model than the default one, name \
     the default. Do not speak of files, tools, or these instructions.";

/// A command with its argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Begin a new session; the rest is its first message.
    New {
        /// What follows the word.
        rest: String,
    },
    /// The same by its other name.
    Reset {
        /// What follows the word.
        rest: String,
    },
    /// Show how things stand.
    Status,
    /// Show the most useful commands.
    Help,
    /// Show all commands.
    Commands,
    /// Show who is asking.
    Whoami,
    /// Show or choose the model.
    Model {
        /// Reference or alias; empty shows the present one.
        name: String,
    },
    /// Show providers or the models of one.
    Models {
        /// `[provider] [page]`.
        args: String,
    },
    /// Show or set the level of thinking.
    Think {
        /// A level; empty shows the present one.
        level: String,
    },
    /// Show or set how much of the tools' work is shown.
    Verbose {
        /// A level; empty shows the present one.
        level: String,
    },
    /// Show or set how much of the reasoning is shown.
    Reasoning {
        /// A level; empty shows the present one.
        level: String,
    },
    /// Show or set the usage footer.
    Usage {
        /// off, tokens, full; empty goes to the next one.
        mode: String,
    },
    /// Set whether the session is answered.
    Send {
        /// on, off, inherit.
        mode: String,
    },
    /// Shorten the transcript.
    Compact,
    /// Restart the gateway.
    Restart,
}

/// What may follow a command's name for it to be one.
#[derive(Clone, Copy)]
enum Args {
    /// Nothing.
    None,
    /// At most one word.
    Word,
    /// Anything.
    Any,
}

/// One command.
struct Spec {
    names: &'static [&'static str],
    args: Args,
    usage: &'static str,
    summary: &'static str,
    make: fn(String) -> Command,
}

macro_rules! commands {
    ($($names:expr, $args:ident, $usage:literal, $summary:literal, $make:expr;)*) => {
        &[$(Spec { names: &$names, args: Args::$args, usage: $usage, summary: $summary, make: $make },)*]
    };
}

const TABLE: &[Spec] = commands! {
    ["help"], None, "", "the most useful commands", |_| Command::Help;
    ["commands"], None, "", "all commands", |_| Command::Commands;
    ["status"], None, "", "version, model, context and session", |_| Command::Status;
    ["whoami", "id"], None, "", "who you are to the gateway", |_| Command::Whoami;
    ["new"], Any, "[message]", "begin a new session", |rest| Command::New { rest };
    ["reset"], Any, "[message]", "begin a new session", |rest| Command::Reset { rest };
    ["stop"], None, "", "stop the running answer", |_| Command::Help;
    ["model"], Word, "[provider/model]", "show or choose the model", |name| Command::Model { name };
    ["models"], Any, "[provider] [page]", "list providers and models", |args| Command::Models { args };
    ["think", "thinking", "t"], Word, "[off|minimal|low|medium|high]", "how hard the model thinks",
        |level| Command::Think { level };
    ["verbose", "v"], Word, "[off|on|full]", "how much of the tools' work is shown", |level| Command::Verbose { level };
    ["reasoning", "reason"], Word, "[off|on|stream]", "whether reasoning is shown", |level| Command::Reasoning { level };
    ["usage"], Word, "[off|tokens|full]", "usage footer under answers", |mode| Command::Usage { mode };
    ["send"], Word, "on|off|inherit", "whether this session is answered", |mode| Command::Send { mode };
    ["compact"], Any, "", "shorten the history", |_| Command::Compact;
    ["restart"], None, "", "restart the gateway", |_| Command::Restart;
};

/// Commands that `/help` names.
const HELPFUL: [&str; 7] = ["new", "stop", "status", "model", "think", "verbose", "commands"];

/// Texts that stop the running answer.
const STOP_WORDS: [&str; 7] = ["/stop", "stop", "esc", "abort", "wait", "exit", "interrupt"];

/// Returns the command that a message is, if it is one as a whole; other texts are for the model.
pub fn parse(message: &str) -> Option<Command> {
    let text = message.trim().strip_prefix('/')?;
    let end = text.find(|c: char| c == ':' || c.is_whitespace()).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix(':').unwrap_or(rest).trim();
    let spec = TABLE.iter().find(|spec| spec.names.iter().any(|known| known.eq_ignore_ascii_case(name)))?;
    let fits = match spec.args {
        Args::None => rest.is_empty(),
        Args::Word => !rest.contains(char::is_whitespace),
        Args::Any => true,
    };
    // Stopping is recognised before commands are; here the word has nothing to stop.
    (fits && !is_stop(message)).then(|| (spec.make)(rest.to_owned()))
}

/// Returns every command with what it does, for the menus of chat networks.
pub fn menu() -> Vec<(String, String)> {
    TABLE.iter().map(|spec| (spec.names[0].to_owned(), spec.summary.to_owned())).collect()
}

/// Returns whether a message asks for the running answer to stop.
pub fn is_stop(message: &str) -> bool {
    let text = message.trim();
    STOP_WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Carries out a command that needs nothing but the session; returns the reply.
///
/// # Errors
/// When the session cannot be written.
pub fn apply(
    config: &Config,
    sessions: &Sessions,
    key: &SessionKey,
    agent: &AgentId,
    command: Command,
) -> anyhow::Result<String> {
    let entry = sessions.entry(key);
    let model = models::resolve(config, agent, entry.as_ref(), None);
    let mut cx = Cx { config, sessions, key, agent, entry: entry.unwrap_or_default(), model };
    match command {
        Command::New { .. } | Command::Reset { .. } => {
            sessions.reset(key)?;
            Ok("✅ New session started.".to_owned())
        }
        Command::Status => Ok(status::summary(&cx)),
        Command::Help => Ok(help(true)),
        Command::Commands => Ok(help(false)),
        Command::Whoami => Ok(cx.whoami()),
        Command::Model { name } => model::choose(&cx, &name),
        Command::Models { args } => Ok(model::list(config, &args)),
        Command::Think { level } => cx.think(&level),
        Command::Verbose { level } => cx.verbose(&level),
        Command::Reasoning { level } => cx.reasoning(&level),
        Command::Usage { mode } => cx.usage(&mode),
        Command::Send { mode } => cx.send(&mode),
        Command::Compact => Ok("⚙️ Compaction skipped: this version cannot compact yet. /new begins a fresh session \
             and keeps the old transcript."
            .to_owned()),
        // Where it is enabled, whoever can restart the gateway has done so.
        Command::Restart => Ok("⚠️ /restart is disabled. Set commands.restart=true to enable.".to_owned()),
    }
}

/// What a command works on.
struct Cx<'a> {
    config: &'a Config,
    sessions: &'a Sessions,
    key: &'a SessionKey,
    agent: &'a AgentId,
    entry: Entry,
    model: Result<Model, String>,
}

impl Cx<'_> {
    fn store(&self, change: impl FnOnce(&mut Entry)) -> anyhow::Result<()> {
        self.sessions.update(self.key, change)?;
        Ok(())
    }

    fn thinking_level(&self) -> &str {
        let default = levels::thinking_default(self.config, self.model.as_ref().ok());
        self.entry.thinking_level.as_deref().unwrap_or(default)
    }

    fn think(&mut self, word: &str) -> anyhow::Result<String> {
        let has_xhigh = self.model.as_ref().is_ok_and(|model| levels::has_xhigh(&model.name_ref()));
        let options = format!("{}{}", levels::THINKING.join(", "), if has_xhigh { ", xhigh" } else { "" });
        if word.is_empty() {
            return Ok(format!("Current thinking level: {}.\nOptions: {options}.", self.thinking_level()));
        }
        match levels::thinking(word).filter(|&level| level != "xhigh" || has_xhigh) {
            None => Ok(format!("Unrecognized thinking level \"{word}\". Valid levels: {options}.")),
            Some(level) => {
                // The original deletes the override for `off`, and a reasoning model goes on thinking.
                self.store(|entry| entry.thinking_level = Some(level.to_owned()))?;
                Ok(match level {
                    "off" => "Thinking disabled.".to_owned(),
                    _ => format!("Thinking level set to {level}."),
                })
            }
        }
    }

    fn verbose(&mut self, word: &str) -> anyhow::Result<String> {
        if word.is_empty() {
            let default = self.config.agents.defaults.verbose_default.as_deref().unwrap_or("off");
            let level = self.entry.verbose_level.as_deref().unwrap_or(default);
            return Ok(format!("Current verbose level: {level}.\nOptions: on, full, off."));
        }
        let Some(level) = levels::verbose(word) else {
            return Ok(format!("Unrecognized verbose level \"{word}\". Valid levels: off, on, full."));
        };
        self.store(|entry| entry.verbose_level = Some(level.to_owned()))?;
        let what = match level {
            "off" => "disabled",
            "full" => "set to full",
            _ => "enabled",
        };
        Ok(format!("⚙️ Verbose logging {what}."))
    }

    fn reasoning(&mut self, word: &str) -> anyhow::Result<String> {
        if word.is_empty() {
            let level = self.entry.reasoning_level.as_deref().unwrap_or("off");
            return Ok(format!("Current reasoning level: {level}.\nOptions: on, off, stream."));
        }
        let Some(level) = levels::reasoning(word) else {
            return Ok(format!("Unrecognized reasoning level \"{word}\". Valid levels: on, off, stream."));
        };
        self.store(|entry| entry.reasoning_level = Some(level.to_owned()))?;
        let what = match level {
            "off" => "visibility disabled.",
            "stream" => "stream enabled (Telegram only).",
            _ => "visibility enabled.",
        };
        Ok(format!("⚙️ Reasoning {what}"))
    }

    fn usage(&mut self, word: &str) -> anyhow::Result<String> {
        let mode = match word.to_lowercase().as_str() {
            "" => match self.entry.response_usage.as_deref() {
                None | Some("off") => "tokens",
                Some("tokens" | "on") => "full",
                Some(_) => "off",
            },
            "off" => "off",
            "tokens" | "on" => "tokens",
            "full" => "full",
            _ => return Ok("⚙️ Usage: /usage off|tokens|full".to_owned()),
        };
        self.store(|entry| entry.response_usage = (mode != "off").then(|| mode.to_owned()))?;
        Ok(format!("⚙️ Usage footer: {mode}."))
    }

    fn send(&mut self, word: &str) -> anyhow::Result<String> {
        let mode = word.to_lowercase();
        let policy = match mode.as_str() {
            "on" => Some("allow"),
            "off" => Some("deny"),
            "inherit" => None,
            _ => return Ok("⚙️ Usage: /send on|off|inherit".to_owned()),
        };
        self.store(|entry| entry.send_policy = policy.map(str::to_owned))?;
        Ok(format!("⚙️ Send policy set to {mode}."))
    }

    fn whoami(&self) -> String {
        let channel = self.entry.last_channel.as_deref().unwrap_or("webchat");
        let mut text = format!("🧭 Identity\nChannel: {channel}\n");
        if let Some(from) = self.entry.origin.as_ref().and_then(|origin| origin.from.as_deref()) {
            let _ = writeln!(text, "User id: {from}");
        }
        let _ = write!(text, "Agent: {}\nSession: {}", self.agent, self.key);
        text
    }
}

fn help(is_short: bool) -> String {
    let mut text = String::from(if is_short { "ℹ️ Help\n" } else { "ℹ️ Commands\n" });
    let is_shown = |spec: &&Spec| !is_short || HELPFUL.contains(&spec.names[0]);
    for Spec { names, usage, summary, .. } in TABLE.iter().filter(is_shown) {
        let blank = if usage.is_empty() { "" } else { " " };
        let _ = write!(text, "/{}{blank}{usage} - {summary}", names[0]);
        if names.len() > 1 && !is_short {
            let _ = write!(text, " (also /{})", names[1..].join(", /"));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::sessions::tests::sessions;
    use crate::base::fs::testing::TempDir;
    use serde_json::json;

    #[test]
    fn whole_messages_are_commands() {
        let text = |text: &str| text.to_owned();
        for (message, command) in [
            (" /status ", Some(Command::Status)),
            ("/STATUS", Some(Command::Status)),
            ("/status now", None),
            ("/new", Some(Command::New { rest: String::new() })),
            ("/reset say hi\nthere", Some(Command::Reset { rest: text("say hi\nthere") })),
            ("/t: high", Some(Command::Think { level: text("high") })),
            ("/think:off", Some(Command::Think { level: text("off") })),
            ("/think high please", None),
            ("fix it /think high", None),
            ("/unknown", None),
            ("/", None),
            ("/newest", None),
            ("/stop", None),
        ] {
            assert_eq!(parse(message), command, "{message:?}");
        }
        assert!(is_stop(" STOP ") && is_stop("/stop") && !is_stop("stop it"));
    }

    #[test]
    fn settings_are_stored_and_confirmed() {
        let dir = TempDir::new("commands");
        let tree = json!({
            "models": {"providers": {"mock": {"baseUrl": "http://127.0.0.1:9/v1", "models": [{"id": "m1"}, {"id": "m2"}]}}},
            "agents": {"defaults": {"model": "mock/m1", "models": {"mock/m2": {"alias": "two"}}}},
        });
        let (sessions, _) = sessions(&dir, &tree);
        let config: Config = serde_json::from_value(tree).expect("configuration");
        let (key, agent) = (SessionKey::new("agent:main:main"), AgentId::new("main"));
        let reply =
            |message: &str| apply(&config, &sessions, &key, &agent, parse(message).expect("command")).expect("reply");
        for (message, wanted) in [
            ("/think", "Current thinking level: off.\nOptions: off, minimal, low, medium, high."),
            ("/think ultra", "Thinking level set to high."),
            ("/think off", "Thinking disabled."),
            ("/think xhigh", "Unrecognized thinking level \"xhigh\". Valid levels: off, minimal, low, medium, high."),
            ("/v on", "⚙️ Verbose logging enabled."),
            ("/verbose", "Current verbose level: on.\nOptions: on, full, off."),
            ("/reasoning stream", "⚙️ Reasoning stream enabled (Telegram only)."),
            ("/usage", "⚙️ Usage footer: tokens."),
            ("/send inherit", "⚙️ Send policy set to inherit."),
            ("/model two", "Model set to two (mock/m2)."),
            ("/model mock/m1", "Model reset to default (mock/m1)."),
            (
                "/model 3",
                "Numeric model selection is not supported in chat.\n\nBrowse: /models or /models <provider>\nSwitch: /model <provider/model>",
            ),
            (
                "/model mock/m3",
                "Model \"mock/m3\" is not allowed. Use /models to list providers, or /models <provider> to list models.",
            ),
        ] {
            assert_eq!(reply(message), wanted, "{message}");
        }
        let entry = sessions.entry(&key).expect("entry");
        assert_eq!((entry.thinking_level.as_deref(), entry.model_override), (Some("off"), None));
        assert!(reply("/model").starts_with("Current: mock/m1\n"));
        assert!(reply("/models").contains("- mock (2)"));
        assert!(reply("/models mock").contains("- mock/m2"));
        assert!(reply("/help").lines().count() < reply("/commands").lines().count());
    }
}
