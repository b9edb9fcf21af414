//! What handlers get: the stores, the queues, the clock. Built once per start by `boot`; shared by every worker and job.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde_json::{Value, json};

use super::accepted::Acceptance;
use super::auth::Auth;
use super::chats::Chats;
use super::client::Client;
use super::config_file::ConfigFile;
use super::cron::Cron;
use super::dedupe::Dedupe;
use super::deliveries::Deliveries;
use super::feedback::Typing;
use super::forward_approvals;
use super::health::HealthStore;
use super::heartbeat::Heartbeats;
use super::lifecycle::Lifecycle;
use super::queue::Queue;
use super::remote_bins::RemoteBins;
use super::runs::Runs;
use super::subagents::Subagents;
use super::system_events::SystemEvents;
use super::usage_costs::UsageCosts;
#[cfg(feature = "onboarding")]
use super::wizards::Wizards;
use super::work::Due;
use crate::agent::run::Agent;
use crate::agent::session;
use crate::agent::sessions::Sessions;
use crate::approvals::requests::Requests;
use crate::approvals::store::PolicyStore;
use crate::base::clock::Clock;
use crate::base::rng::Rng;
use crate::base::timer::TimerHandle;
use crate::channels::channel::Setting;
use crate::channels::outbox::Outbox;
use crate::channels::received::Received;
use crate::channels::supervisor::Supervisor;
use crate::config::live::Live;
use crate::config::paths::Paths;
use crate::config::types::Config;
use crate::devices::pairing::Pairing;
use crate::net::LoopHandle;
use crate::nodes::pairing::NodePairing;
use crate::nodes::registry::Registry;
use crate::presence::Presence;
use crate::skills::Skills;
use crate::tts::Tts;
use crate::voicewake::VoiceWake;
use crate::work::jobs::Jobs;

/// See the module.
pub struct Ctx {
    /// The event loop.
    pub net: LoopHandle<Client>,
    /// Jobs under lanes.
    pub jobs: Jobs,
    /// Things that are due later.
    pub timer: TimerHandle<Due>,
    /// The configuration.
    pub config: Live,
    /// Its file, as clients see it.
    pub config_file: ConfigFile,
    /// Where files are.
    pub paths: Paths,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// What clients must show; fixed for this start.
    pub auth: Auth,
    /// Paired devices.
    pub pairing: Pairing,
    /// Connected nodes and what they were asked for.
    pub nodes: Registry,
    /// Programs on them.
    pub remote_bins: RemoteBins,
    /// Paired nodes of the older kind.
    pub node_pairing: NodePairing,
    /// The policy about commands.
    pub exec_policy: Arc<PolicyStore>,
    /// Commands that wait for a person.
    pub exec_requests: Requests,
    /// Who is there.
    pub presence: Arc<Presence>,
    /// The health snapshot.
    pub health: HealthStore,
    /// Session indexes and transcripts.
    pub sessions: Arc<Sessions>,
    /// What runs need.
    pub agent: Agent,
    /// Runs that outlive the gateway.
    pub accepted: Acceptance,
    /// Messages that wait for their run.
    pub queue: Queue,
    /// Active and finished runs.
    pub runs: Runs,
    /// Agents that agents have started.
    pub subagents: Subagents,
    /// Results by idempotency key.
    pub dedupe: Dedupe,
    /// Deliveries on their way out.
    pub outbox: Outbox,
    /// Those under way.
    pub deliveries: Deliveries,
    /// What is remembered of chats.
    pub chats: Chats,
    /// Which chats were told of commands that wait.
    pub approvals_told: forward_approvals::Told,
    /// Who is typing where.
    pub typing: Typing,
    /// The command line that somebody typed into a chat.
    pub typed: super::chat_commands::bash::Typed,
    /// The accounts of the chat networks.
    pub channels: Supervisor,
    /// What came in and is not handled yet.
    pub received: Arc<Received>,
    /// Lines waiting for prompts.
    pub system_events: Arc<SystemEvents>,
    /// Heartbeats that are wished for, and the last one.
    pub heartbeats: Arc<Heartbeats>,
    /// Restarts that clients ask for.
    pub lifecycle: Lifecycle,
    /// Speech.
    pub tts: Tts,
    /// Wake words.
    pub voicewake: VoiceWake,
    /// What is known of the skills' directories.
    pub skills: Skills,
    /// The wizard that clients drive.
    #[cfg(feature = "onboarding")]
    pub wizards: Wizards,
    /// Pages that nodes show, unless they are switched off.
    #[cfg(feature = "canvas")]
    pub canvas: Option<super::canvas_host::CanvasHandle>,
    /// The watcher of a mailbox.
    #[cfg(feature = "gmail")]
    pub mailbox: super::gmail::Mailbox,
    /// Cron jobs.
    pub cron: Cron,
    /// What is counted.
    pub metrics: Arc<super::metrics::Metrics>,
    /// What recent days cost.
    pub usage_costs: UsageCosts,
    /// This machine.
    pub host: Host,
    /// When this process started.
    pub started_at: Instant,
    /// Whether memory is about to be given back.
    pub is_settling: AtomicBool,
}

/// What this machine says about itself.
#[derive(Debug, Clone)]
pub struct Host {
    /// Host name.
    pub name: String,
    /// First external IPv4 address, else the host name.
    pub ip: String,
    /// `linux 6.1.0`.
    pub platform: String,
    /// `Linux`, `Mac`, `Windows`.
    pub family: &'static str,
    /// CPU architecture as Node names it (`x64`, `arm64`).
    pub model: &'static str,
}

impl Ctx {
    /// Returns the circumstances in which channels are asked.
    pub fn channels_at<'a>(&'a self, config: &'a Config) -> Setting<'a> {
        Setting::of_process(config, &self.paths, self.clock.now_ms())
    }

    /// Returns `snapshot.sessionDefaults`.
    pub fn session_defaults(&self) -> Value {
        let config = self.config.get();
        let agent = session::default_agent(&config);
        let scope = config.session.scope.as_deref().unwrap_or("per-sender");
        json!({
            "defaultAgentId": agent.as_str(),
            "mainKey": "main",
            "mainSessionKey": session::main_key(&config, &agent).as_str(),
            "scope": scope,
        })
    }

    /// Returns the key of the default agent's main session.
    pub fn main_session(&self) -> crate::base::ids::SessionKey {
        let config = self.config.get();
        session::main_key(&config, &session::default_agent(&config))
    }
}
