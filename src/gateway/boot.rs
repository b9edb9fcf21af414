//! Starting and stopping one gateway, in order.
//!
//! [`Gateway::start`] reads like a table of contents; what was started is dropped in reverse when a later step fails.
//! [`Gateway::stop`] is the order of architecture §8. Runs on `main`. Not here: the process (`supervise`).

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use crossbeam_channel::Receiver;
use serde_json::json;

use super::accepted::{self, Acceptance};
use super::auth::{Auth, Mode, Overrides};
use super::chats::{self, Chats};
use super::client::Client;
use super::config_file::ConfigFile;
use super::cron::{self, Cron};
use super::ctx::Ctx;
use super::dedupe::Dedupe;
use super::deliveries::{self, Deliveries};
#[cfg(feature = "discovery")]
use super::discovery;
use super::feedback::Typing;
use super::health::{self, HealthStore};
use super::heartbeat::Heartbeats;
use super::lifecycle::{Ask, AskMain, Lifecycle};
use super::queue::Queue;
use super::reload::Change;
use super::remote_bins::RemoteBins;
use super::runs::Runs;
use super::subagents::{self, Subagents};
use super::surfaces::GatewaySurface;
use super::system_events::SystemEvents;
use super::talks;
use super::usage_costs::UsageCosts;
#[cfg(feature = "onboarding")]
use super::wizards::Wizards;
use super::work::{self, Due, Work};
use super::{RunOptions, events, host, sentinel, sweep, tailscale, version};
use crate::agent::run::Agent;
use crate::agent::run_journal::RunJournal;
use crate::agent::sessions::Sessions;
use crate::agent::tools::Toolbox;
use crate::agent::{models, session};
use crate::approvals::requests::Requests;
use crate::approvals::store::PolicyStore;
use crate::base::clock::{Clock, SystemClock};
use crate::base::fs::{check_writable, create_dir_private};
use crate::base::rng::{Rng, SystemRng};
use crate::base::secret::Secret;
use crate::base::thread::{self, Joiner};
use crate::base::timer::Timer;
use crate::channels::outbox::Outbox;
use crate::channels::received::Received;
use crate::channels::supervisor::{Supervisor, Tools};
use crate::config::live::Live;
use crate::config::load::Snapshot;
use crate::config::paths::gateway_port;
use crate::config::types::Config;
use crate::config::watch::{ConfigWatch, Look};
use crate::devices::pairing::Pairing;
#[cfg(feature = "discovery")]
use crate::discovery::advertise::{Advertiser, Farewell};
use crate::logging;
use crate::net::{EventLoop, Limits, LoopMsg, mailbox};
use crate::nodes::pairing::NodePairing;
use crate::nodes::registry::Registry;
use crate::presence::{Presence, PresenceEntry};
use crate::skills::Skills;
use crate::tts::Tts;
use crate::voicewake::VoiceWake;
use crate::work::jobs::Jobs;
use crate::work::pool::{Pool, work_queue, worker_count};

/// Share of the file limit that connections may use, in percent.
const CONNECTION_SHARE_PERCENT: u64 = 90;
/// How long running jobs get to end after their tokens were cancelled.
const JOBS_GRACE: Duration = Duration::from_secs(3);
/// How much of that what is being sent gets before it is cut off.
const SEND_GRACE: Duration = Duration::from_secs(1);
/// How long sockets get to take what is queued for them: before the process ends, and before the gateway is back.
const FLUSH_GRACE: Duration = Duration::from_secs(1);
const FLUSH_GRACE_RESTART: Duration = Duration::from_millis(60);

/// What survives a restart in the process.
pub struct Carried {
    /// Who is there.
    pub presence: Arc<Presence>,
    /// Lines waiting for prompts.
    pub system_events: Arc<SystemEvents>,
    /// The switch of heartbeats, and the last one.
    pub heartbeats: Arc<Heartbeats>,
    /// When the process started.
    pub started_at: Instant,
    /// How often the gateway did.
    pub starts: Arc<AtomicU64>,
    /// What the network is told if it does not come back.
    #[cfg(feature = "discovery")]
    farewell: RefCell<Option<Farewell>>,
}

impl Carried {
    /// What the first start begins with.
    pub fn new() -> Self {
        let host = host::describe();
        let text = format!("Gateway: {} ({}) · app {} · mode gateway · reason self", host.name, host.ip, version());
        let entry = PresenceEntry {
            host: Some(host.name),
            ip: Some(host.ip),
            version: Some(version().to_owned()),
            platform: Some(host.platform),
            device_family: Some(host.family.to_owned()),
            model_identifier: Some(host.model.to_owned()),
            mode: Some("gateway".to_owned()),
            reason: Some("self".to_owned()),
            text,
            ..PresenceEntry::default()
        };
        Self {
            presence: Arc::new(Presence::new(entry)),
            system_events: Arc::default(),
            heartbeats: Arc::default(),
            started_at: Instant::now(),
            starts: Arc::default(),
            #[cfg(feature = "discovery")]
            farewell: RefCell::default(),
        }
    }

    /// Says what the gateway that is gone has left to say: another program takes its place, or nobody.
    pub fn say_farewell(&self) {
        #[cfg(feature = "discovery")]
        drop(self.farewell.take());
    }
}

/// Why a stop happens; decides what clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopKind {
    /// The process ends.
    Stop,
    /// The gateway comes back at once.
    Restart,
}

/// A running gateway.
pub struct Gateway {
    cx: Arc<Ctx>,
    // Dropped by `stop` in its own order; in this order when a start fails half-way.
    watch: Option<ConfigWatch>,
    timer: Option<Timer<Due>>,
    loop_thread: Option<Joiner>,
    pool: Option<Pool>,
    /// The last valid configuration that was seen: later ones are compared with it, also when it was not put into force.
    base: RefCell<Arc<Config>>,
    exposure: Option<Exposure>,
    #[cfg(feature = "canvas")]
    canvas: Option<super::canvas_host::Running>,
    #[cfg(feature = "discovery")]
    advertiser: Option<Advertiser>,
}

/// Reach through Tailscale.
#[derive(Debug, Clone, Copy)]
struct Exposure {
    mode: tailscale::Mode,
    /// Whether it ends with the gateway.
    is_reset_at_end: bool,
}

/// Where a gateway listens, decided before anything is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The bind mode.
    pub mode: String,
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
}

impl Gateway {
    /// Starts a gateway on the configuration in `snapshot`. `ask` hears of every valid edit of the file, and of restarts
    /// that clients want.
    ///
    /// # Errors
    /// Whatever keeps it from starting; nothing of it runs then.
    pub fn start(options: &RunOptions, snapshot: Snapshot, carried: &Carried, ask: AskMain) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let rng: Arc<dyn Rng> = Arc::new(SystemRng);
        let paths = options.paths.clone();
        let live = Live::new(snapshot);
        let config = live.get();
        let auth = resolve_auth(options, &config)?;
        let address = resolve_address(options, &config);
        refuse_open_door(&address, &auth)?;
        let exposure = resolve_exposure(options, &config, &address, &auth)?;
        let tls = super::tls::load(&config, &options.paths, &SystemClock)?;
        super::hooks::check(&config)?;

        // Stores. Without them nothing could be accepted. A disk that is merely full may have room again later.
        create_dir_private(&paths.state_dir).and_then(|()| check_writable(&paths.state_dir)).map_err(|error| {
            let dir = paths.shorten(&paths.state_dir);
            anyhow::anyhow!("the state directory {dir} cannot be written: {error}. Make it writable, or name another one in CLAWDBOT_STATE_DIR")
        })?;
        let pairing = Pairing::open(&paths.devices_dir())
            .with_context(|| format!("open the device pairing files in {}", paths.devices_dir().display()))?;
        let node_pairing = NodePairing::open(&paths.nodes_dir())
            .with_context(|| format!("open the node pairing files in {}", paths.nodes_dir().display()))?;
        let tts = Tts::new(paths.clone(), clock.clone(), rng.clone());
        let voicewake = VoiceWake::open(&paths.settings_dir()).context("open the wake words")?;
        let sessions = Arc::new(Sessions::new(live.clone(), paths.clone(), clock.clone(), rng.clone()));
        let runs = RunJournal::open(paths.journal_dir().join("runs.jsonl")).context("open the journal of runs")?;
        let accepted = Acceptance::new(runs, clock.now_ms());
        let outbox = Outbox::open(paths.journal_dir().join("outbox.jsonl"), clock.now_ms())
            .context("open the journal of deliveries")?;
        let received = Received::open(paths.journal_dir().join("received.jsonl"), clock.clone())
            .context("open the journal of received messages")?;
        let channels =
            Supervisor::new(Tools { live: live.clone(), paths: paths.clone(), clock: clock.clone(), rng: rng.clone() });
        let cron = Cron::open(&config, &paths).context("open the cron store")?;
        let subagents = Subagents::open(&paths.state_dir).context("open the list of sub-agents")?;
        let exec_policy = Arc::new(PolicyStore::new(paths.exec_approvals_file()));
        let toolbox = Arc::new(Toolbox::new(exec_policy.clone()));
        let agent = Agent::new(live.clone(), paths.clone(), clock.clone(), rng.clone(), sessions.clone(), toolbox);

        // Bound but not served: a busy port must be known before anything else starts.
        let listeners = host::listen(address.ip, address.port).map_err(|error| bind_error(&address, &error))?;
        let addresses: Vec<SocketAddr> = listeners.iter().map(|(address, _)| *address).collect();
        let listeners = listeners.into_iter().map(|(_, listener)| listener).collect();
        let (work_sender, work_receiver) = work_queue::<Work>();
        let (net, mailbox) = mailbox::<Client>().context("start the event loop")?;

        // Timer and workers.
        let timer_sender = work_sender.clone();
        let timer = Timer::start(move |due| {
            // The workers always drain their queue; a closed one means that the gateway is stopping.
            let _ = timer_sender.send(Work::Due(due));
        })
        .context("start the timer")?;
        let cx = Arc::new(Ctx {
            net: net.clone(),
            jobs: Jobs::new(super::reload::lane_caps(&config)),
            timer: timer.handle(),
            config: live,
            config_file: ConfigFile::default(),
            paths: paths.clone(),
            clock,
            rng,
            auth,
            pairing,
            nodes: Registry::default(),
            remote_bins: RemoteBins::default(),
            node_pairing,
            exec_policy,
            exec_requests: Requests::default(),
            presence: carried.presence.clone(),
            health: HealthStore::new(),
            sessions,
            agent,
            accepted,
            queue: Queue::default(),
            runs: Runs::default(),
            subagents,
            dedupe: Dedupe::default(),
            outbox,
            deliveries: Deliveries::default(),
            chats: Chats::default(),
            typing: Typing::default(),
            typed: super::chat_commands::bash::Typed::default(),
            approvals_told: Default::default(),
            channels,
            received: Arc::new(received),
            system_events: carried.system_events.clone(),
            heartbeats: carried.heartbeats.clone(),
            lifecycle: Lifecycle::new(timer.handle(), ask.clone()),
            tts,
            voicewake,
            skills: Skills::default(),
            #[cfg(feature = "onboarding")]
            wizards: Wizards::default(),
            #[cfg(feature = "canvas")]
            canvas: super::canvas_host::CanvasHandle::open(&config, &paths),
            #[cfg(feature = "gmail")]
            mailbox: super::gmail::Mailbox::new(addresses.first(), tls.is_some()),
            cron,
            metrics: Arc::new(super::metrics::Metrics::new(carried.starts.clone())),
            usage_costs: UsageCosts::default(),
            host: host::describe(),
            started_at: carried.started_at,
            is_settling: AtomicBool::new(false),
        });
        let surface = Box::new(GatewaySurface(cx.clone()));
        let event_loop =
            EventLoop::new(mailbox, listeners, surface, limits(), work_sender).context("start the event loop")?;
        let event_loop = event_loop.with_tls(tls.as_ref().map(|tls| tls.config.clone()));
        let worker_cx = cx.clone();
        let pool = Pool::start(
            worker_count(),
            &work_receiver,
            move || net.work_taken(),
            move |item| work::handle(&worker_cx, item),
        )
        .context("start the frame workers")?;
        // Only the workers may hold the receiving end: when they go, senders must notice.
        drop(work_receiver);

        accepted::restore(&cx);
        deliveries::restore(&cx);

        // Accept clients.
        let loop_thread = thread::spawn("loop", thread::STACK_SMALL_BYTES, move || event_loop.run())
            .context("start the event loop's thread")?;
        work::arm(&cx);
        cron::start(&cx);
        deliveries::resume(&cx);
        let left = cx.accepted.journal.unfinished();
        subagents::start(&cx, &left);
        talks::start(&cx, &left);
        accepted::resume(&cx, left);
        chats::start(&cx);
        sentinel::announce(&cx);
        banner(&cx, &config, &addresses, tls.as_ref());
        expose(&cx, exposure, &addresses, &config);
        sweep::start(&cx);
        super::hooks::judge_gmail_model(&config);
        #[cfg(feature = "gmail")]
        super::gmail::start(&cx);
        health::refresh_soon(&cx);

        // Watch the configuration.
        let watch = start_watch(&cx, ask);
        let base = RefCell::new(config);
        #[cfg(feature = "canvas")]
        let canvas =
            super::canvas_host::start(&cx, address.ip, address.port, tls.as_ref().map(|tls| tls.config.clone()));
        #[cfg(feature = "discovery")]
        let advertiser = {
            #[cfg(feature = "canvas")]
            let canvas_port = canvas.as_ref().and_then(|canvas| canvas.port);
            #[cfg(not(feature = "canvas"))]
            let canvas_port = None;
            let port = addresses.first().map_or(address.port, SocketAddr::port);
            let tls_fingerprint = tls.map(|tls| tls.fingerprint);
            let facts = discovery::Facts { port, tls_fingerprint, canvas_port, has_tailscale: exposure.is_some() };
            discovery::start(&cx, facts, carried.farewell.take())
        };
        Ok(Self {
            cx,
            watch,
            timer: Some(timer),
            loop_thread: Some(loop_thread),
            pool: Some(pool),
            base,
            exposure,
            #[cfg(feature = "canvas")]
            canvas,
            #[cfg(feature = "discovery")]
            advertiser,
        })
    }

    /// Applies a changed configuration.
    pub fn reload(&self, change: Change) -> super::reload::Applied {
        let base = self.base.replace(change.0.typed.clone());
        super::reload::apply(&self.cx, &base, change)
    }

    /// Returns the configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.cx.config.get()
    }

    /// Returns whether a client's restart is coming.
    pub fn is_restarting(&self) -> bool {
        self.cx.lifecycle.is_restarting()
    }

    /// Returns whether SIGUSR1 by hand restarts the gateway.
    pub fn may_restart_by_signal(&self) -> bool {
        self.cx.config.get().commands.restart == Some(true)
    }

    /// Begins no run any more; returns how many are under way, and something that closes when they have ended.
    pub fn drain(&self) -> (usize, Receiver<Infallible>) {
        self.cx.accepted.journal.pause(self.cx.clock.now_ms());
        let idle = self.cx.runs.watch();
        (self.cx.runs.active_count(), idle)
    }

    /// Stops, in order; what does not end in time is abandoned. What is to be said if no other start follows is left in
    /// `carried`.
    pub fn stop(mut self, kind: StopKind, carried: &Carried) {
        let (reason, restart_expected_ms) = match kind {
            StopKind::Stop => ("gateway stopping", None),
            StopKind::Restart => ("gateway restarting", Some(1500)),
        };
        drop(self.watch.take());
        // Its program may take three seconds to end; what follows goes on meanwhile.
        #[cfg(feature = "gmail")]
        self.cx.mailbox.watcher.cancel();
        #[cfg(feature = "discovery")]
        carried.farewell.replace(self.advertiser.take().and_then(Advertiser::leave));
        // The next start says the same again.
        if kind == StopKind::Stop {
            carried.say_farewell();
        }
        if let Some(exposure) = self.exposure.filter(|exposure| exposure.is_reset_at_end && kind == StopKind::Stop) {
            tailscale::reset(exposure.mode);
        }
        let payload = json!({"reason": reason, "restartExpectedMs": restart_expected_ms});
        events::broadcast(&self.cx.net, events::SHUTDOWN, &payload, None);
        drop(self.timer.take());
        // First: what ends now asks whether the gateway is stopping. Accepted runs go on after the next start.
        self.cx.lifecycle.stop();
        self.cx.accepted.journal.pause(self.cx.clock.now_ms());
        // Nothing comes in any more; what came in waits in its journal.
        self.cx.channels.close();
        self.cx.received.close();
        self.cx.chats.pump.close();
        self.cx.deliveries.close();
        self.cx.queue.close();
        // Queued jobs are dropped, which answers their tickets; running ones see their tokens.
        self.cx.jobs.close();
        self.cx.cron.cancel();
        self.cx.runs.cancel_all();
        self.cx.tts.close();
        self.cx.skills.close();
        // Dropped requests answer that the gateway is stopping.
        self.cx.exec_requests.close();
        self.cx.agent.toolbox.processes.close();
        // What is being sent gets a moment to arrive: cut off, nobody would know whether it did.
        let have_ended = self.cx.jobs.join(SEND_GRACE) || {
            self.cx.deliveries.cancel();
            self.cx.jobs.join(JOBS_GRACE.saturating_sub(SEND_GRACE))
        };
        if !have_ended {
            log::warn!(target: "gateway", "some jobs did not end in time and were abandoned");
        }
        self.cx.accepted.journal.close();
        self.cx.outbox.close();
        self.cx.sessions.close();
        self.cx.cron.close();
        self.cx.subagents.close();
        self.cx.pairing.close();
        self.cx.node_pairing.close();
        self.cx.voicewake.close();
        #[cfg(feature = "canvas")]
        if let Some(canvas) = self.canvas.take() {
            canvas.stop();
        }
        // compat: 1012 "service restart" for a plain stop too; clients wait for it.
        let reason = "service restart".to_owned();
        // At a restart everybody waits, so who does not read is cut off.
        let within = if kind == StopKind::Restart { FLUSH_GRACE_RESTART } else { FLUSH_GRACE };
        self.cx.net.send(LoopMsg::Shutdown { code: 1012, reason, within });
        drop(self.loop_thread.take());
        // The loop and the timer held the last senders of the work queue, so the workers run out of work.
        if let Some(pool) = self.pool.take() {
            pool.join();
        }
        // Last, when all that must be kept is on the disk: if it takes too long, nothing is lost by giving up.
        #[cfg(feature = "gmail")]
        self.cx.mailbox.watcher.join();
        log::logger().flush();
    }
}

fn limits() -> Limits {
    let files = host::raise_file_limit();
    let share = usize::try_from(files * CONNECTION_SHARE_PERCENT / 100).unwrap_or(usize::MAX);
    let limits = Limits::default();
    let connections_max = limits.connections_max.min(share.max(16));
    // On a host that grants few files, silent peers may still not take all of them.
    let unadmitted_max = limits.unadmitted_max.min(connections_max / 2);
    Limits { connections_max, unadmitted_max, ..limits }
}

/// Decides the authentication, or says what is missing.
pub fn resolve_auth(options: &RunOptions, config: &Config) -> anyhow::Result<Auth> {
    let secret = |text: &Option<String>| text.clone().filter(|text| !text.is_empty()).map(Secret::new);
    let overrides =
        Overrides { mode: options.auth.clone(), token: secret(&options.token), password: secret(&options.password) };
    let auth = Auth::resolve(config, &overrides, |name| std::env::var(name).ok());
    match &auth.mode {
        Mode::Token(None) => bail!(
            "Gateway auth is set to token, but no token is configured.\n\
             Set gateway.auth.token (or CLAWDBOT_GATEWAY_TOKEN), or pass --token."
        ),
        Mode::Password(None) => bail!(
            "Gateway auth is set to password, but no password is configured.\n\
             Set gateway.auth.password (or CLAWDBOT_GATEWAY_PASSWORD), or pass --password."
        ),
        _ => Ok(auth),
    }
}

/// Decides where to listen.
pub fn resolve_address(options: &RunOptions, config: &Config) -> Address {
    let mode = options.bind.clone().or_else(|| config.gateway.bind.clone()).unwrap_or_else(|| "loopback".to_owned());
    let ip = host::bind_address(&mode, config);
    Address { mode, ip, port: gateway_port(options.port, config) }
}

/// Beyond this machine only with a secret.
fn refuse_open_door(address: &Address, auth: &Auth) -> anyhow::Result<()> {
    if !address.ip.is_loopback() && !auth.is_required() {
        bail!(
            "Refusing to bind gateway to {} without auth.\n\
             Set gateway.auth.token (or CLAWDBOT_GATEWAY_TOKEN) or pass --token.",
            address.mode
        );
    }
    Ok(())
}

/// Decides about Tailscale: only a gateway of this machine's own is published, and to everybody only by a password.
fn resolve_exposure(
    options: &RunOptions,
    config: &Config,
    address: &Address,
    auth: &Auth,
) -> anyhow::Result<Option<Exposure>> {
    let settings = &config.gateway.tailscale;
    let word = options.tailscale.as_deref().or(settings.mode.as_deref());
    let Some(mode) = tailscale::Mode::parse(word) else { return Ok(None) };
    if mode == tailscale::Mode::Funnel && !matches!(auth.mode, Mode::Password(_)) {
        bail!(
            "tailscale funnel requires gateway auth mode=password (set gateway.auth.password or CLAWDBOT_GATEWAY_PASSWORD)"
        );
    }
    if !address.ip.is_loopback() {
        bail!("tailscale serve/funnel requires gateway bind=loopback (127.0.0.1)");
    }
    let is_reset_at_end = options.tailscale_reset_on_exit || settings.reset_on_exit == Some(true);
    Ok(Some(Exposure { mode, is_reset_at_end }))
}

/// Publishes the port, in a job: the command may take seconds.
fn expose(cx: &Arc<Ctx>, exposure: Option<Exposure>, addresses: &[SocketAddr], config: &Config) {
    let (Some(Exposure { mode, .. }), Some(address)) = (exposure, addresses.first()) else { return };
    let port = address.port();
    let base = config.gateway.control_ui.base_path.as_deref().unwrap_or_default().trim().trim_matches('/');
    let base = if base.is_empty() { "/".to_owned() } else { format!("/{base}/") };
    let stopping = cx.lifecycle.stopping().clone();
    let submitted = cx.jobs.submit(vec!["side".to_owned()], move || tailscale::publish(mode, port, &base, &stopping));
    if let Err(error) = submitted {
        log::warn!(target: "gateway/tailscale", "{} failed: {error}", mode.as_str());
    }
}

fn bind_error(address: &Address, error: &std::io::Error) -> anyhow::Error {
    let url = format!("ws://{}:{}", address.ip, address.port);
    if error.kind() == std::io::ErrorKind::AddrInUse {
        anyhow::anyhow!("another gateway instance is already listening on {url}").context(PortInUse(address.port))
    } else {
        anyhow::anyhow!("failed to bind gateway socket on {url}: {error}")
    }
}

/// Marks a start that failed because the port is taken.
#[derive(Debug)]
pub struct PortInUse(pub u16);

impl std::fmt::Display for PortInUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Port {} is already in use.", self.0)
    }
}

fn banner(cx: &Ctx, config: &Config, addresses: &[SocketAddr], tls: Option<&super::tls::Tls>) {
    let agent = session::default_agent(config);
    match models::resolve(config, &agent, None, None) {
        Ok(model) => log::info!(target: "gateway", "agent model: {}/{}", model.provider, model.id),
        Err(error) => log::warn!(target: "gateway", "agent model: {error}"),
    }
    let pid = std::process::id();
    for (index, address) in addresses.iter().enumerate() {
        let suffix = if index == 0 { format!(" (PID {pid})") } else { String::new() };
        let scheme = if tls.is_some() { "wss" } else { "ws" };
        log::info!(target: "gateway", "listening on {scheme}://{address}{suffix}");
    }
    if let Some(tls) = tls {
        log::info!(target: "gateway/tls", "certificate sha256:{}", tls.fingerprint);
    }
    if let Some(file) = logging::current_file() {
        match std::fs::OpenOptions::new().append(true).open(&file) {
            Ok(_) => log::info!(target: "gateway", "log file: {}", file.display()),
            Err(error) => {
                let file = file.display();
                log::warn!(target: "gateway", "log file {file}: {error}; nothing is kept of the log (logging.file names another)");
            }
        }
    }
    if !cx.auth.is_required() {
        log::warn!(
            target: "gateway",
            "no token or password is set: every program on this machine may use the gateway (set gateway.auth.token)",
        );
    }
}

fn start_watch(cx: &Arc<Ctx>, ask: AskMain) -> Option<ConfigWatch> {
    let debounce = Duration::from_millis(cx.config.get().gateway.reload.debounce_ms.unwrap_or(300));
    let watch_cx = cx.clone();
    let note = move |problem: Option<String>| {
        if watch_cx.config.problem() != problem {
            watch_cx.config.note_problem(problem);
            // Clients are told with the health.
            health::refresh_soon(&watch_cx);
        }
    };
    let watch = ConfigWatch::start(cx.paths.clone(), &cx.config.snapshot(), debounce, move |look| match look {
        Look::Changed(snapshot) => {
            note(None);
            // Main takes what is queued within milliseconds; if it cannot, it is stopping.
            if !ask(Ask::Reload(Change(snapshot))) {
                log::warn!(target: "gateway/reload", "config change not taken: the gateway is stopping");
            }
        }
        Look::Problem(problem) => note(Some(problem)),
        Look::Fine => note(None),
    });
    match watch {
        Ok(watch) => Some(watch),
        Err(error) => {
            log::warn!(target: "gateway/reload", "config watcher error: {error}; edits need a restart");
            None
        }
    }
}
