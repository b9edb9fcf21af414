//! Slash commands: recognising them in a message, and what each one does to a session (agent.md §10–11).
//!
//! `TABLE` is the only list of commands: parsing, `/help` and `/commands` come from it. Any thread that may touch the
//! disk. Not here: commands that need the gateway's state (`gateway::chat_commands`).

mod model;
mod parse;
mod settings;
mod status;

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::agent::models::{self, Model};
use crate::agent::sessions::{Entry, Sessions};
use crate::agent::speaker::Speaker;
use crate::base::ids::{AgentId, SessionKey};
use crate::config::types::Config;

pub use self::parse::{Found, directives, inline, is_stop, parse, shell};
pub use self::status::{StatusCard, session_lines, status_reply};

/// What the model is told at the start of a session that the user began without saying anything.
pub const GREETING_PROMPT: &str = "A new session was started with /new or /reset. Greet the user in your own manner, in one \
     to three short sentences, and ask what they would like to do. If you run on another model than the default one, name \
     the default. Do not speak of files, tools, or these instructions.";

/// A command with its argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its first name in the table.
    pub name: &'static str,
    /// What follows it, trimmed.
    pub args: String,
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

/// Who carries a command out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// This module; it may stand within a message.
    Directive,
    /// This module.
    Session,
    /// The gateway.
    Gateway,
}

/// One command.
struct Spec {
    names: &'static [&'static str],
    args: Args,
    kind: Kind,
    usage: &'static str,
    summary: &'static str,
}

macro_rules! commands {
    ($($names:expr, $args:ident, $kind:ident, $usage:literal, $summary:literal;)*) => {
        &[$(Spec { names: &$names, args: Args::$args, kind: Kind::$kind, usage: $usage, summary: $summary },)*]
    };
}

const TABLE: &[Spec] = commands! {
    ["help"], None, Session, "", "the most useful commands";
    ["commands"], None, Gateway, "", "all commands";
    ["status"], None, Gateway, "", "version, model, context and session";
    ["whoami", "id"], None, Session, "", "who you are to the gateway";
    ["context"], Word, Gateway, "[list|detail|json]", "what fills the model's context";
    ["new"], Any, Gateway, "[model] [message]", "begin a new session";
    ["reset"], Any, Gateway, "[model] [message]", "begin a new session";
    ["stop"], None, Gateway, "", "stop the running answer";
    ["compact"], Any, Gateway, "[instructions]", "sum the older part of the conversation up";
    ["model"], Word, Directive, "[provider/model]", "show or choose the model";
    ["models"], Any, Session, "[provider] [page]", "list providers and models";
    ["think", "thinking", "t"], Word, Directive, "[off|minimal|low|medium|high]", "how hard the model thinks";
    ["verbose", "v"], Word, Directive, "[off|on|full]", "how much of the tools' work is shown";
    ["reasoning", "reason"], Word, Directive, "[off|on|stream]", "whether reasoning is shown";
    ["elevated", "elev"], Word, Directive, "[off|on|ask|full]", "whether commands run beyond the sandbox";
    ["exec"], Any, Directive, "[host=… security=… ask=… node=…]", "where commands run, and what is asked";
    ["queue"], Any, Directive, "[mode] [debounce:2s] [cap:20] [drop:old]", "what messages do to a running answer";
    ["usage"], Word, Gateway, "[off|tokens|full|cost]", "usage footer under answers, or what was spent";
    ["send"], Word, Session, "on|off|inherit", "whether this session is answered";
    ["activation"], Word, Session, "mention|always", "when a group is answered";
    ["skill"], Any, Gateway, "<name> [input]", "use a skill";
    ["subagents"], Any, Gateway, "[list|stop|log|info|send] [id] [text]", "agents at work for this session";
    ["approve"], Any, Gateway, "<id> allow-once|allow-always|deny", "decide about a command that waits";
    ["bash"], Any, Gateway, "<command>|poll|stop", "run a command of the gateway's machine (also !command)";
    ["allowlist"], Any, Gateway, "[list|add|remove] …", "who may write to the bot";
    ["config"], Any, Gateway, "[show|get|set|unset] [path=value]", "show or change the configuration";
    ["debug"], Any, Gateway, "[show|set|unset|reset] [path=value]", "change the configuration until the next start";
    ["tts"], Any, Gateway, "[off|always|inbound|tagged|status|provider|limit|summary|audio]", "spoken answers";
    ["restart"], None, Gateway, "", "restart the gateway";
};

/// Commands that there are only where `commands.<name>` says so.
const BY_CONFIGURATION: [&str; 3] = ["bash", "config", "debug"];
/// Networks that have menus of commands; answers of a session can be sent there by a command.
const DOCKS: [&str; 3] = ["discord", "slack", "telegram"];
/// Commands of one word that is one of a few: networks with buttons offer them.
const WITH_BUTTONS: [&str; 7] = ["think", "verbose", "reasoning", "elevated", "usage", "activation", "send"];
/// Buttons in a row.
const BUTTONS_IN_ROW: usize = 2;
/// Commands that `/help` names.
const HELPFUL: [&str; 14] = [
    "new",
    "stop",
    "compact",
    "status",
    "model",
    "think",
    "verbose",
    "reasoning",
    "elevated",
    "usage",
    "skill",
    "config",
    "debug",
    "commands",
];

fn offered(config: &Config) -> impl Iterator<Item = &'static Spec> {
    TABLE.iter().filter(|spec| {
        let name = spec.names[0];
        !BY_CONFIGURATION.contains(&name) || config.tree["commands"][name] == true
    })
}

/// Returns every command with what it does, for the menus of chat networks.
pub fn menu(config: &Config) -> Vec<(String, String)> {
    let of_table = offered(config).map(|spec| (spec.names[0].to_owned(), spec.summary.to_owned()));
    of_table.chain(docks(config).map(|dock| (format!("dock_{dock}"), dock_summary(dock)))).collect()
}

/// Returns the networks that can be docked to: those that are configured.
fn docks(config: &Config) -> impl Iterator<Item = &'static str> {
    DOCKS.into_iter().filter(|dock| config.channel(dock).is_object())
}

fn dock_summary(dock: &str) -> String {
    format!("send the answers of this session to {dock}")
}

/// Returns rows of buttons for a command that was given without its word, as channels take them.
pub fn buttons(message: &str) -> Option<Value> {
    let command = parse(message).filter(|command| command.args.is_empty())?;
    let spec = TABLE.iter().find(|spec| spec.names[0] == command.name && WITH_BUTTONS.contains(&spec.names[0]))?;
    let words: Vec<&str> = spec.usage.trim_matches(['[', ']']).split('|').collect();
    let button = |word: &&str| json!({"text": word, "callback_data": format!("/{} {word}", command.name)});
    let rows = words.chunks(BUTTONS_IN_ROW).map(|row| row.iter().map(button).collect::<Value>());
    Some(rows.collect())
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The reply.
    pub text: String,
    /// What the model is told before its next turn.
    pub event: Option<String>,
}

impl Applied {
    fn said(text: impl Into<String>) -> anyhow::Result<Self> {
        Ok(Self { text: text.into(), event: None })
    }
}

/// What a command works on.
pub struct Cx<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// The session indexes.
    pub sessions: &'a Sessions,
    /// The session.
    pub key: &'a SessionKey,
    /// Whose it is.
    pub agent: &'a AgentId,
    /// Who gives the command.
    pub speaker: &'a Speaker,
    entry: Entry,
    model: Result<Model, String>,
}

impl<'a> Cx<'a> {
    /// Looks at a session.
    pub fn new(
        config: &'a Config,
        sessions: &'a Sessions,
        key: &'a SessionKey,
        agent: &'a AgentId,
        speaker: &'a Speaker,
    ) -> Self {
        let entry = sessions.entry(key);
        let model = models::resolve(config, agent, entry.as_ref(), None);
        Self { config, sessions, key, agent, speaker, entry: entry.unwrap_or_default(), model }
    }

    fn store(&self, change: impl FnOnce(&mut Entry)) -> anyhow::Result<()> {
        self.sessions.update(self.key, change)?;
        Ok(())
    }

    /// Carries a command out that needs nothing but the session; `None` for those that the gateway carries out.
    ///
    /// # Errors
    /// When the session cannot be written.
    pub fn apply(&self, command: &Command) -> anyhow::Result<Option<Applied>> {
        let args = command.args.as_str();
        match command.name {
            "help" => Applied::said(help(self.config, true)),
            "whoami" => self.whoami(),
            "model" => model::choose(self, args),
            "models" => Applied::said(model::list(self.config, args)),
            "think" => self.think(args),
            "verbose" => self.verbose(args),
            "reasoning" => self.reasoning(args),
            "elevated" => self.elevated(args),
            "exec" => self.exec(args),
            "queue" => self.queue(args),
            "usage" if args != "cost" => self.usage(args),
            "send" => self.send(args),
            "activation" => self.activation(args),
            _ => return Ok(None),
        }
        .map(Some)
    }
}

/// Returns the list of all commands.
pub fn list(config: &Config) -> String {
    help(config, false)
}

fn help(config: &Config, is_short: bool) -> String {
    let mut text = String::from(if is_short { "ℹ️ Help\n" } else { "ℹ️ Commands\n" });
    let is_shown = |spec: &&Spec| !is_short || HELPFUL.contains(&spec.names[0]);
    for Spec { names, usage, summary, .. } in offered(config).filter(is_shown) {
        let blank = if usage.is_empty() { "" } else { " " };
        let _ = write!(text, "/{}{blank}{usage} - {summary}", names[0]);
        if names.len() > 1 && !is_short {
            let _ = write!(text, " (also /{})", names[1..].join(", /"));
        }
        text.push('\n');
    }
    for dock in docks(config).filter(|_| !is_short) {
        let _ = writeln!(text, "/dock_{dock} - {} (also /dock-{dock})", dock_summary(dock));
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::sessions::tests::sessions;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn words_to_choose_from_are_buttons() {
        let rows = buttons("/v").expect("buttons");
        assert_eq!(rows[1], json!([{"text": "full", "callback_data": "/verbose full"}]));
        for message in ["/verbose on", "/queue", "/status", "hello"] {
            assert_eq!(buttons(message), None, "{message}");
        }
        for name in WITH_BUTTONS {
            let rows = buttons(&format!("/{name}")).expect("buttons");
            let data = rows.as_array().into_iter().flatten().flat_map(|row| row.as_array().into_iter().flatten());
            assert!(data.filter_map(|it| it["callback_data"].as_str()).all(|it| parse(it).is_some()), "{rows}");
        }
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
        let speaker = Speaker::webchat();
        let reply = |message: &str| {
            let cx = Cx::new(&config, &sessions, &key, &agent, &speaker);
            cx.apply(&parse(message).expect("command")).expect("written").expect("reply").text
        };
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
            ("/activation always", "⚙️ Group activation only applies to group chats."),
            (
                "/queue",
                "Current queue settings: mode=collect, debounce=1000ms, cap=20, drop=summarize.\nOptions: modes steer, \
              followup, collect, steer+backlog, interrupt; debounce:<ms|s|m>, cap:<n>, drop:old|new|summarize.",
            ),
            ("/queue steer cap:3", "⚙️ Queue mode set to steer. ⚙️ Queue cap set to 3."),
            ("/queue reset", "⚙️ Queue mode reset to default."),
            ("/exec host=moon", "Unrecognized exec host \"moon\". Valid hosts: sandbox, gateway, node."),
            ("/exec host=node ask=off", "⚙️ Exec defaults set (host=node, ask=off)."),
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
        assert!(reply("/help").lines().count() < list(&config).lines().count());
    }
}
