//! The command line: from what was typed to one function per command and an exit code.
//!
//! `argv` understands the words, `environment` applies profile and `.env` files, the tables below name every command,
//! and each command is one struct that declares its options and runs. One thread. Not here: what a gateway does.

mod agent;
mod agents;
mod approvals;
mod argv;
mod ask;
mod channels;
mod completion;
mod config;
#[cfg(feature = "onboarding")]
mod configure;
mod cron;
mod dashboard;
mod devices;
mod doctor;
mod environment;
mod exit;
mod gateway;
#[cfg(feature = "discovery")]
mod gateway_discover;
mod gateway_probe;
mod gateway_service;
mod gateway_status;
mod health;
mod help;
mod logs;
#[cfg(feature = "memory")]
mod memory;
mod message;
mod models;
#[cfg(feature = "node-host")]
mod node;
mod node_ref;
mod nodes;
#[cfg(feature = "onboarding")]
mod onboard;
mod output;
mod pairing;
#[cfg(feature = "onboarding")]
mod prompt;
mod reset;
mod rpc;
mod security;
mod service;
mod sessions;
mod setup;
mod skills;
mod status;
mod system;
mod update;
mod usage;
#[cfg(feature = "gmail")]
mod webhooks;

use std::cell::OnceCell;
use std::sync::Arc;

use argh::{ArgsInfo, CommandInfoWithArgs, FromArgs};

use crate::config::load::{Snapshot, load};
use crate::config::paths::Paths;
use crate::config::types::Config;
use argv::Resolved;
use exit::{Failure, Outcome};

/// What every command gets: where things are, and the configuration, read when first asked for.
pub(crate) struct Cli {
    /// Where everything is.
    pub(crate) paths: Paths,
    snapshot: OnceCell<Snapshot>,
}

impl Cli {
    fn new(paths: Paths) -> Self {
        Self { paths, snapshot: OnceCell::new() }
    }

    /// Returns the configuration file as it was at the first call.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        self.snapshot.get_or_init(|| load(&self.paths))
    }

    /// Says which file was changed.
    pub(crate) fn updated(&self) -> String {
        format!("Updated {}", self.paths.shorten(&self.paths.config_file))
    }

    /// Returns the configuration.
    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.snapshot().typed
    }
}

/// One command: its fields are its options.
pub(crate) trait Command: FromArgs + ArgsInfo {
    /// Whether it also runs on an invalid configuration.
    const IS_LENIENT: bool = false;
    /// Whether its process stays, so that what it keeps in memory counts.
    const IS_LASTING: bool = false;

    /// Does the work.
    fn run(self, cli: &Cli) -> Outcome;
}

/// A row of [`COMMANDS`].
pub(crate) struct Row {
    /// The words that name it.
    path: &'static [&'static str],
    /// Lines of the help's examples, without `clawdbot`.
    examples: &'static [&'static str],
    info: fn() -> CommandInfoWithArgs,
    run: fn(&Cli, &[&str], &[&str]) -> Outcome,
    is_lenient: bool,
    is_lasting: bool,
}

const fn row<C: Command>(path: &'static [&'static str], examples: &'static [&'static str]) -> Row {
    Row {
        path,
        examples,
        info: C::get_args_info,
        run: parse_and_run::<C>,
        is_lenient: C::IS_LENIENT,
        is_lasting: C::IS_LASTING,
    }
}

fn parse_and_run<C: Command>(cli: &Cli, path: &[&str], args: &[&str]) -> Outcome {
    match C::from_args(path, args) {
        Ok(command) => command.run(cli),
        // `argv` has checked names and counts: only a value can be wrong here.
        Err(early) => Err(Failure::text(format!("error: {}", early.output.trim_end()))),
    }
}

/// Commands that only hold others, and what these are for.
const GROUPS: &[(&[&str], &str)] = &[
    (&["gateway"], "run the gateway, or ask a running one"),
    (&["daemon"], "older name of the gateway's service verbs"),
    (&["config"], "read and change the configuration file"),
    (&["approvals"], "which commands the assistant may run, here, on the gateway or on a node"),
    (&["approvals", "allowlist"], "allow programs, and take that back"),
    (&["devices"], "device pairing and device tokens"),
    (&["channels"], "the chat networks and their accounts"),
    (&["message"], "say and do things in chats"),
    (&["pairing"], "who asked a chat channel to be let in"),
    (&["cron"], "jobs that run by themselves"),
    #[cfg(feature = "node-host")]
    (&["node"], "run this machine as a headless node of a gateway (system.run, system.which)"),
    (&["nodes"], "look at a gateway's nodes, let them in, ask them for what they can do"),
    (&["nodes", "camera"], "pictures and films from a node's cameras"),
    (&["nodes", "canvas"], "what a node's canvas shows"),
    (&["nodes", "canvas", "a2ui"], "A2UI messages in a node's canvas"),
    (&["nodes", "location"], "where a node is"),
    (&["nodes", "screen"], "films of a node's screen"),
    (&["system"], "system events, heartbeats and presence"),
    (&["system", "heartbeat"], "look at heartbeats, switch them on or off"),
    (&["agents"], "agents with workspaces of their own"),
    #[cfg(feature = "memory")]
    (&["memory"], "an agent's notes, and how they are searched"),
    (&["models"], "which models are used"),
    (&["models", "aliases"], "short names of models"),
    (&["models", "auth"], "keys and tokens of model providers"),
    (&["models", "auth", "order"], "in which order an agent uses the credentials of a provider"),
    (&["models", "fallbacks"], "models that are tried when others fail"),
    (&["models", "image-fallbacks"], "models that are tried for images when others fail"),
    (&["security"], "who could get in"),
    (&["skills"], "what the agent has learnt to do"),
    #[cfg(feature = "gmail")]
    (&["webhooks"], "other programs that wake the agent"),
    #[cfg(feature = "gmail")]
    (&["webhooks", "gmail"], "new mail wakes the agent (through gogcli)"),
];

/// Other names of commands and groups.
const ALIASES: &[(&[&str], &str)] = &[(&["exec-approvals"], "approvals")];

/// Every command, in the order of the help.
const COMMANDS: &[Row] = &[
    row::<setup::Setup>(&["setup"], &["setup", "setup --workspace ~/assistant"]),
    #[cfg(feature = "onboarding")]
    row::<onboard::Onboard>(
        &["onboard"],
        &["onboard", "onboard --non-interactive --accept-risk --auth-choice openai-api-key --openai-api-key <key>"],
    ),
    #[cfg(feature = "onboarding")]
    row::<configure::Configure>(&["configure"], &["configure", "configure --section model --section gateway"]),
    #[cfg(feature = "onboarding")]
    row::<configure::Configure>(&["config"], &["config", "config --section gateway", "config get gateway.port"]),
    row::<config::Get>(&["config", "get"], &["config get gateway.port", "config get agents.list[0].id --json"]),
    row::<config::Set>(
        &["config", "set"],
        &["config set gateway.mode local", "config set agents.defaults.model '{primary: \"openai/gpt-5\"}' --json"],
    ),
    row::<config::Unset>(&["config", "unset"], &["config unset channels.telegram.groups[-100123]"]),
    row::<doctor::Doctor>(&["doctor"], &["doctor", "doctor --fix", "doctor --non-interactive --deep"]),
    row::<security::Audit>(&["security", "audit"], &["security audit", "security audit --deep --fix"]),
    row::<dashboard::Dashboard>(&["dashboard"], &["dashboard --no-open"]),
    row::<agent::Agent>(
        &["agent"],
        &["agent --to +15555550123 --message \"status?\"", "agent --agent ops --message \"summarise the log\" --json"],
    ),
    row::<gateway::Run>(&["gateway"], GATEWAY_RUN_EXAMPLES),
    row::<gateway::Run>(&["gateway", "run"], GATEWAY_RUN_EXAMPLES),
    row::<gateway_status::Status>(&["gateway", "status"], &["gateway status", "gateway status --json --no-probe"]),
    row::<gateway_service::Install>(
        &["gateway", "install"],
        &["gateway install", "gateway install --port 18789 --force"],
    ),
    row::<gateway_service::Uninstall>(&["gateway", "uninstall"], &["gateway uninstall"]),
    row::<gateway_service::Start>(&["gateway", "start"], &["gateway start"]),
    row::<gateway_service::Stop>(&["gateway", "stop"], &["gateway stop"]),
    row::<gateway_service::Restart>(&["gateway", "restart"], &["gateway restart", "gateway restart --json"]),
    row::<gateway::Call>(
        &["gateway", "call"],
        &["gateway call health", "gateway call chat.history --params '{\"sessionKey\":\"main\"}'"],
    ),
    row::<gateway::Health>(&["gateway", "health"], &["gateway health --json"]),
    row::<gateway_probe::Probe>(&["gateway", "probe"], &["gateway probe", "gateway probe --url ws://10.0.0.2:18789"]),
    #[cfg(feature = "discovery")]
    row::<gateway_discover::Discover>(&["gateway", "discover"], &["gateway discover", "gateway discover --json"]),
    row::<gateway::UsageCost>(
        &["gateway", "usage-cost"],
        &["gateway usage-cost", "gateway usage-cost --days 7 --json"],
    ),
    row::<gateway_service::Install>(&["daemon", "install"], &["daemon install", "daemon install --port 18789 --force"]),
    row::<gateway_service::Uninstall>(&["daemon", "uninstall"], &["daemon uninstall"]),
    row::<gateway_service::Start>(&["daemon", "start"], &["daemon start"]),
    row::<gateway_service::Stop>(&["daemon", "stop"], &["daemon stop"]),
    row::<gateway_service::Restart>(&["daemon", "restart"], &["daemon restart", "daemon restart --json"]),
    row::<gateway_status::Status>(&["daemon", "status"], &["daemon status"]),
    row::<logs::Logs>(&["logs"], &["logs --follow", "logs --limit 50 --json"]),
    row::<channels::List>(&["channels", "list"], &["channels list", "channels list --json"]),
    row::<channels::Status>(&["channels", "status"], &["channels status", "channels status --probe"]),
    row::<channels::Add>(
        &["channels", "add"],
        &[
            "channels add --channel telegram --token <token>",
            "channels add --channel telegram --account work --token-file ~/work.token",
        ],
    ),
    row::<channels::Remove>(&["channels", "remove"], &["channels remove --channel telegram --account work --delete"]),
    row::<channels::Login>(&["channels", "login"], &["channels login --channel whatsapp"]),
    row::<channels::Logout>(&["channels", "logout"], &["channels logout --channel telegram --account default"]),
    row::<channels::Logs>(&["channels", "logs"], &["channels logs --channel telegram --lines 50"]),
    row::<channels::Capabilities>(&["channels", "capabilities"], &["channels capabilities --channel telegram --json"]),
    row::<channels::Resolve>(&["channels", "resolve"], &["channels resolve --channel telegram @somebody"]),
    row::<message::Send>(
        &["message", "send"],
        &[
            "message send --channel telegram --target 123456789 --message \"Hello\"",
            "message send --target @somebody --media ./photo.jpg",
        ],
    ),
    row::<message::Broadcast>(
        &["message", "broadcast"],
        &["message broadcast --targets 123456789 987654321 --message \"Hello\""],
    ),
    row::<message::Poll>(
        &["message", "poll"],
        &[
            "message poll --channel whatsapp --target +15555550123 --poll-question \"When?\" --poll-option Now --poll-option Later",
        ],
    ),
    row::<message::React>(&["message", "react"], &["message react --target 123456789 --message-id 7 --emoji 👍"]),
    row::<message::Reactions>(&["message", "reactions"], &["message reactions --target 123456789 --message-id 7"]),
    row::<message::Read>(&["message", "read"], &["message read --target 123456789 --limit 20"]),
    row::<message::Edit>(
        &["message", "edit"],
        &["message edit --target 123456789 --message-id 7 --message \"Better\""],
    ),
    row::<message::Delete>(&["message", "delete"], &["message delete --target 123456789 --message-id 7"]),
    row::<message::Pin>(&["message", "pin"], &["message pin --target 123456789 --message-id 7"]),
    row::<message::Unpin>(&["message", "unpin"], &["message unpin --target 123456789 --message-id 7"]),
    row::<message::Pins>(&["message", "pins"], &["message pins --target 123456789"]),
    row::<pairing::List>(&["pairing", "list"], &["pairing list telegram", "pairing list telegram --json"]),
    row::<pairing::Approve>(&["pairing", "approve"], &["pairing approve telegram <code> --notify"]),
    row::<cron::Status>(&["cron", "status"], &["cron status"]),
    row::<cron::List>(&["cron", "list"], &["cron list", "cron list --all --json"]),
    row::<cron::Add>(&["cron", "add"], CRON_ADD_EXAMPLES),
    row::<cron::Add>(&["cron", "create"], CRON_ADD_EXAMPLES),
    row::<cron::Edit>(&["cron", "edit"], &["cron edit <id> --every 1h", "cron edit <id> --message \"What is new?\""]),
    row::<cron::Enable>(&["cron", "enable"], &["cron enable <id>"]),
    row::<cron::Disable>(&["cron", "disable"], &["cron disable <id>"]),
    row::<cron::Remove>(&["cron", "rm"], &["cron rm <id>"]),
    row::<cron::Remove>(&["cron", "remove"], &["cron remove <id>"]),
    row::<cron::Remove>(&["cron", "delete"], &["cron delete <id>"]),
    row::<cron::Run>(&["cron", "run"], &["cron run <id> --force"]),
    row::<cron::Runs>(&["cron", "runs"], &["cron runs --id <id> --limit 10"]),
    row::<nodes::Status>(&["nodes", "status"], &["nodes status", "nodes status --connected --json"]),
    row::<nodes::List>(&["nodes", "list"], &["nodes list", "nodes list --last-connected 24h"]),
    row::<nodes::Describe>(&["nodes", "describe"], &["nodes describe --node \"my phone\""]),
    row::<nodes::Pending>(&["nodes", "pending"], &["nodes pending"]),
    row::<nodes::Approve>(&["nodes", "approve"], &["nodes approve <requestId>"]),
    row::<nodes::Reject>(&["nodes", "reject"], &["nodes reject <requestId>"]),
    row::<nodes::Rename>(&["nodes", "rename"], &["nodes rename --node 10.0.0.7 --name \"living room\""]),
    row::<nodes::Invoke>(
        &["nodes", "invoke"],
        &["nodes invoke --node box --command system.which --params '{\"bins\":[\"git\"]}'"],
    ),
    row::<nodes::Run>(
        &["nodes", "run"],
        &["nodes run --node box -- git status", "nodes run --node box --raw 'ls | wc -l'"],
    ),
    row::<nodes::Notify>(&["nodes", "notify"], &["nodes notify --node mac --title Done --body \"the build is green\""]),
    row::<nodes::CanvasSnapshot>(
        &["nodes", "canvas", "snapshot"],
        &["nodes canvas snapshot --node tablet --format png"],
    ),
    row::<nodes::CanvasPresent>(&["nodes", "canvas", "present"], &["nodes canvas present --node tablet --target /"]),
    row::<nodes::CanvasHide>(&["nodes", "canvas", "hide"], &["nodes canvas hide --node tablet"]),
    row::<nodes::CanvasNavigate>(&["nodes", "canvas", "navigate"], &["nodes canvas navigate --node tablet /clock/"]),
    row::<nodes::CanvasEval>(&["nodes", "canvas", "eval"], &["nodes canvas eval --node tablet --js document.title"]),
    row::<nodes::A2uiPush>(
        &["nodes", "canvas", "a2ui", "push"],
        &["nodes canvas a2ui push --node tablet --text hello"],
    ),
    row::<nodes::A2uiReset>(&["nodes", "canvas", "a2ui", "reset"], &["nodes canvas a2ui reset --node tablet"]),
    row::<nodes::CameraList>(&["nodes", "camera", "list"], &["nodes camera list --node phone"]),
    row::<nodes::CameraSnap>(&["nodes", "camera", "snap"], &["nodes camera snap --node phone --facing front"]),
    row::<nodes::CameraClip>(&["nodes", "camera", "clip"], &["nodes camera clip --node phone --duration 10s"]),
    row::<nodes::ScreenRecord>(&["nodes", "screen", "record"], &["nodes screen record --node mac --out screen.mp4"]),
    row::<nodes::LocationGet>(&["nodes", "location", "get"], &["nodes location get --node phone"]),
    #[cfg(feature = "node-host")]
    row::<node::Run>(
        &["node", "run"],
        &["node run --host gateway.local --port 18789", "node run --host gw --tls-fingerprint <sha256>"],
    ),
    #[cfg(feature = "node-host")]
    row::<node::Status>(&["node", "status"], &["node status", "node status --json"]),
    #[cfg(feature = "node-host")]
    row::<node::Install>(&["node", "install"], &["node install --host gateway.local --display-name \"build box\""]),
    #[cfg(feature = "node-host")]
    row::<node::Uninstall>(&["node", "uninstall"], &["node uninstall"]),
    #[cfg(feature = "node-host")]
    row::<node::Start>(&["node", "start"], &["node start"]),
    #[cfg(feature = "node-host")]
    row::<node::Stop>(&["node", "stop"], &["node stop"]),
    #[cfg(feature = "node-host")]
    row::<node::Restart>(&["node", "restart"], &["node restart --json"]),
    row::<system::Event>(&["system", "event"], &["system event --text \"the build is done\" --mode now"]),
    row::<system::HeartbeatLast>(&["system", "heartbeat", "last"], &["system heartbeat last"]),
    row::<system::HeartbeatEnable>(&["system", "heartbeat", "enable"], &["system heartbeat enable"]),
    row::<system::HeartbeatDisable>(&["system", "heartbeat", "disable"], &["system heartbeat disable"]),
    row::<system::Presence>(&["system", "presence"], &["system presence"]),
    row::<approvals::Get>(&["approvals", "get"], &["approvals get", "approvals get --gateway --json"]),
    row::<approvals::Set>(
        &["approvals", "set"],
        &["approvals set --file ./approvals.json", "approvals set --gateway --stdin"],
    ),
    row::<approvals::AllowlistAdd>(
        &["approvals", "allowlist", "add"],
        &[
            "approvals allowlist add \"~/Projects/**/bin/rg\"",
            "approvals allowlist add --agent main /usr/bin/uptime --gateway",
        ],
    ),
    row::<approvals::AllowlistRemove>(
        &["approvals", "allowlist", "remove"],
        &["approvals allowlist remove \"~/Projects/**/bin/rg\""],
    ),
    row::<devices::List>(&["devices", "list"], &["devices list", "devices list --json"]),
    row::<devices::Approve>(&["devices", "approve"], &["devices approve 6f1c0c1e-…"]),
    row::<devices::Reject>(&["devices", "reject"], &["devices reject 6f1c0c1e-…"]),
    row::<devices::Rotate>(
        &["devices", "rotate"],
        &["devices rotate --device <id> --role operator --scope operator.read --scope operator.write"],
    ),
    row::<devices::Revoke>(&["devices", "revoke"], &["devices revoke --device <id> --role node"]),
    row::<status::Status>(&["status"], &["status", "status --json"]),
    row::<health::Health>(&["health"], &["health", "health --json --timeout 3000"]),
    row::<sessions::Sessions>(&["sessions"], &["sessions", "sessions --active 60 --json"]),
    row::<completion::Completion>(
        &["completion"],
        &["completion bash > ~/.local/share/bash-completion/completions/clawdbot"],
    ),
    row::<reset::Reset>(&["reset"], &["reset --dry-run --scope full", "reset --scope config --yes"]),
    row::<reset::Uninstall>(&["uninstall"], &["uninstall --dry-run --all", "uninstall --service --yes"]),
    row::<update::Update>(&["update"], &["update", "update --no-restart", "update --json"]),
    row::<update::Status>(&["update", "status"], &["update status", "update status --json"]),
    row::<update::Wizard>(&["update", "wizard"], &["update wizard"]),
    row::<agents::List>(&["agents"], &["agents"]),
    row::<agents::List>(&["agents", "list"], &["agents list --bindings", "agents list --json"]),
    row::<agents::Add>(
        &["agents", "add"],
        &["agents add ops --workspace ~/clawd-ops", "agents add home --workspace ~/home --bind telegram:family"],
    ),
    row::<agents::SetIdentity>(
        &["agents", "set-identity"],
        &[
            "agents set-identity --agent main --name Clawd --emoji 🦞",
            "agents set-identity --workspace ~/clawd --from-identity",
        ],
    ),
    row::<agents::Delete>(&["agents", "delete"], &["agents delete ops"]),
    #[cfg(feature = "memory")]
    row::<memory::Status>(&["memory", "status"], &["memory status"]),
    #[cfg(feature = "memory")]
    row::<memory::Index>(&["memory", "index"], &["memory index"]),
    #[cfg(feature = "memory")]
    row::<memory::SearchNotes>(&["memory", "search"], &["memory search 'release notes' --max-results 3"]),
    row::<models::Models>(&["models"], &["models"]),
    row::<models::List>(&["models", "list"], &["models list", "models list --all --provider openai"]),
    row::<models::Status>(&["models", "status"], &["models status", "models status --check"]),
    row::<models::ScanModels>(
        &["models", "scan"],
        &["models scan", "models scan --no-probe", "models scan --min-params 30 --yes"],
    ),
    row::<models::Set>(&["models", "set"], &["models set openai/gpt-5-mini"]),
    row::<models::SetImage>(&["models", "set-image"], &["models set-image openai/gpt-5-mini"]),
    row::<models::AliasesList>(&["models", "aliases", "list"], &["models aliases list"]),
    row::<models::AliasesAdd>(&["models", "aliases", "add"], &["models aliases add fast groq/openai/gpt-oss-120b"]),
    row::<models::AliasesRemove>(&["models", "aliases", "remove"], &["models aliases remove fast"]),
    row::<models::AuthAdd>(&["models", "auth", "add"], &["models auth add", "models auth add --provider anthropic"]),
    row::<models::PasteToken>(
        &["models", "auth", "paste-token"],
        &["models auth paste-token --provider anthropic --expires-in 365d"],
    ),
    row::<models::SetupToken>(&["models", "auth", "setup-token"], &["models auth setup-token"]),
    row::<models::Login>(&["models", "auth", "login"], &["models auth login --provider anthropic"]),
    row::<models::LoginGithubCopilot>(
        &["models", "auth", "login-github-copilot"],
        &["models auth login-github-copilot"],
    ),
    row::<models::OrderGet>(&["models", "auth", "order", "get"], &["models auth order get --provider anthropic"]),
    row::<models::OrderSet>(
        &["models", "auth", "order", "set"],
        &["models auth order set --provider anthropic anthropic:work anthropic:home"],
    ),
    row::<models::OrderClear>(&["models", "auth", "order", "clear"], &["models auth order clear --provider anthropic"]),
    row::<models::FallbacksList>(&["models", "fallbacks", "list"], &["models fallbacks list"]),
    row::<models::FallbacksAdd>(
        &["models", "fallbacks", "add"],
        &["models fallbacks add openrouter/openai/gpt-5-mini"],
    ),
    row::<models::FallbacksRemove>(&["models", "fallbacks", "remove"], &["models fallbacks remove fast"]),
    row::<models::FallbacksClear>(&["models", "fallbacks", "clear"], &["models fallbacks clear"]),
    row::<models::ImageFallbacksList>(&["models", "image-fallbacks", "list"], &["models image-fallbacks list"]),
    row::<models::ImageFallbacksAdd>(
        &["models", "image-fallbacks", "add"],
        &["models image-fallbacks add openai/gpt-5-mini"],
    ),
    row::<models::ImageFallbacksRemove>(
        &["models", "image-fallbacks", "remove"],
        &["models image-fallbacks remove openai/gpt-5-mini"],
    ),
    row::<models::ImageFallbacksClear>(&["models", "image-fallbacks", "clear"], &["models image-fallbacks clear"]),
    row::<skills::List>(&["skills"], &["skills"]),
    row::<skills::List>(&["skills", "list"], &["skills list --eligible", "skills list --json"]),
    row::<skills::Info>(&["skills", "info"], &["skills info github"]),
    row::<skills::Check>(&["skills", "check"], &["skills check", "skills check --json"]),
    #[cfg(feature = "gmail")]
    row::<webhooks::GmailSetup>(
        &["webhooks", "gmail", "setup"],
        &[
            "webhooks gmail setup --account you@example.com",
            "webhooks gmail setup --account you@example.com --push-endpoint https://mail.example.com/gmail-pubsub --json",
        ],
    ),
    #[cfg(feature = "gmail")]
    row::<webhooks::GmailRun>(&["webhooks", "gmail", "run"], &["webhooks gmail run", "webhooks gmail run --port 8799"]),
];

const CRON_ADD_EXAMPLES: &[&str] = &[
    "cron add --name tea --at 20m --system-event \"Tell me that the tea is ready\" --wake now",
    "cron add --name news --cron \"0 7 * * 1-5\" --tz Europe/Berlin --session isolated --message \"What is new?\"",
];
const GATEWAY_RUN_EXAMPLES: &[&str] = &["gateway", "gateway --port 19001 --bind lan --token secret", "gateway --force"];

/// Runs the command line and returns the exit code; `args` is without the program's name.
pub fn main(args: Vec<String>) -> i32 {
    match run(args) {
        Ok(()) => 0,
        Err(failure) => exit::report(&failure),
    }
}

fn run(args: Vec<String>) -> Outcome {
    let globals = argv::globals(args).map_err(Failure::profile)?;
    let words: Vec<&str> = globals.words.iter().map(String::as_str).collect();
    let resolved = argv::resolve(&words);
    // Before anything else is read, for it may be read again.
    if !globals.wants_version && matches!(&resolved, Ok(Resolved::Command { row, .. }) if row.is_lasting) {
        environment::lean_malloc();
    }
    environment::apply(&globals);
    if globals.wants_version {
        output::line(crate::gateway::version());
        return Ok(());
    }
    output::banner(&globals.words);
    match resolved? {
        Resolved::Help { path, asked: true } => {
            output::line(&help::render(&path));
            Ok(())
        }
        Resolved::Help { path, asked: false } => Err(Failure::text(help::render(&path))),
        Resolved::Command { row, args } => {
            let args = argv::normalise(&(row.info)(), &args)?;
            let cli = Cli::new(Paths::from_env());
            if !row.is_lenient && !cli.snapshot().valid {
                return Err(Failure::text(config::describe_invalid(&cli.paths, cli.snapshot())));
            }
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            (row.run)(&cli, row.path, &args)
        }
    }
}
