//! The process: gates before the start, then start → wait → stop, as often as a restart is asked for (cli.md §3).
//!
//! Runs on `main`. Owns the lock file, the signals thread and the inbox through which everybody asks main to act. Not
//! here: what a gateway consists of (`boot`).

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, bounded, select};
use signal_hook::consts::{SIGALRM, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::{Handle, Signals};

use super::boot::{self, Carried, Gateway, PortInUse, StopKind};
use super::lifecycle::Ask;
use super::reload::Applied;
use super::{RunOptions, dev, force, lock};
use crate::base::clock::SystemClock;
use crate::base::ports;
use crate::base::thread::{self, Joiner};
use crate::config::env;
use crate::config::load::{self, Snapshot};
use crate::config::paths::{Paths, gateway_port, is_nix_mode, log_dir};
use crate::config::types::Config;
use crate::config::{migrate, write};
use crate::logging::{self, console::Style, file::Destination};

/// Requests that may wait for main; it handles each in milliseconds, but for a restart.
const INBOX_MAX: usize = 16;
/// Limit of a stop, in seconds; then the process ends without full clean-up.
const STOP_SECONDS_MAX: u32 = 5;

/// How long a restart waits for the runs under way.
const DRAIN_MAX: Duration = Duration::from_secs(15);

/// What main is asked for.
enum Control {
    /// A signal came.
    Signal(i32),
    /// The gateway of this start asks for something.
    Asked(u64, Ask),
}

/// Beyond this size the file of failed starts begins anew.
const FAILURES_BYTES_MAX: u64 = 64 * 1024;

/// Runs a gateway until it is told to stop; returns the exit code.
pub fn run(options: RunOptions) -> i32 {
    let paths = options.paths.clone();
    match supervise(options) {
        Ok(()) => 0,
        Err(failure) => {
            // Said as it is, without the shape of a log line: scripts look for these texts.
            log::logger().flush();
            eprintln!("{failure}");
            keep_failure(&paths, &failure);
            1
        }
    }
}

/// Keeps why a service did not start where `gateway status` looks: launchd does so by itself, systemd has a journal that
/// not everybody may read.
fn keep_failure(paths: &Paths, failure: &str) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    if !cfg!(target_os = "linux") || std::env::var("CLAWDBOT_SERVICE_KIND").as_deref() != Ok("gateway") {
        return;
    }
    let prefix = std::env::var("CLAWDBOT_LOG_PREFIX").unwrap_or_else(|_| "gateway".to_owned());
    let file = paths.state_dir.join("logs").join(format!("{prefix}.err.log"));
    let written = (|| {
        crate::base::fs::create_dir_private(&paths.state_dir.join("logs"))?;
        let is_full = std::fs::metadata(&file).is_ok_and(|metadata| metadata.len() > FAILURES_BYTES_MAX);
        let mut options = std::fs::OpenOptions::new();
        options.create(true).mode(0o600);
        let mut open = if is_full { options.write(true).truncate(true) } else { options.append(true) }.open(&file)?;
        writeln!(open, "{failure}")
    })();
    if let Err(error) = written {
        eprintln!("cannot write {}: {error}", file.display());
    }
}

fn supervise(mut options: RunOptions) -> Result<(), String> {
    let paths = options.paths.clone();
    if options.reset && !options.dev {
        return Err("Use --reset with --dev.".to_owned());
    }
    if options.dev {
        dev::bootstrap(&paths, options.reset, &SystemClock).map_err(|error| format!("{error:#}"))?;
    }
    let mut snapshot = load_valid(&paths)?;
    // SAFETY: no other thread runs yet, so nobody reads the environment meanwhile.
    unsafe { export(&snapshot.typed, &mut options) };
    start_logging(&snapshot.typed, &paths, options.verbose);
    let port = gateway_port(options.port, &snapshot.typed);
    if options.force {
        force::free_port(port).map_err(|error| format!("Force: Error: {error:#}"))?;
    }
    mode_gate(&options, &snapshot)?;
    boot::resolve_auth(&options, &snapshot.typed).map_err(|error| with_hints(&error.to_string(), &snapshot))?;
    let mut lock = take_lock(&options)?;
    let (sender, inbox) = bounded(INBOX_MAX);
    let signals = SignalThread::start(sender.clone()).map_err(|error| start_error(&error.into(), &options))?;
    let carried = Carried::new();
    let mut start = 0;
    loop {
        let asks = sender.clone();
        let ask = Arc::new(move |ask| asks.try_send(Control::Asked(start, ask)).is_ok());
        let gateway =
            Gateway::start(&options, snapshot, &carried, ask).map_err(|error| start_error(&error, &options))?;
        let next = drain(&gateway, &inbox, wait(&gateway, &inbox, start, &options));
        signals.limit_stop(STOP_SECONDS_MAX);
        if matches!(next, Next::End) {
            gateway.stop(StopKind::Stop, &carried);
            return Ok(());
        }
        gateway.stop(StopKind::Restart, &carried);
        // Before another program gets this process, which would inherit the alarm.
        signals.limit_stop(0);
        if let Next::Program(program) = next {
            drop(lock);
            // It may say something else, or nothing.
            carried.say_farewell();
            let error = exec(&program);
            log::error!(target: "gateway", "cannot run {}: {error}; going on as before", program.display());
            lock = take_lock(&options)?;
        }
        snapshot = load_valid(&paths)?;
        start_logging(&snapshot.typed, &paths, options.verbose);
        start += 1;
    }
}

/// Puts another program in this one's place, with its arguments and its process; returns why it cannot.
fn exec(program: &Path) -> std::io::Error {
    log::logger().flush();
    std::process::Command::new(program).args(std::env::args_os().skip(1)).exec()
}

/// What follows a gateway.
enum Next {
    /// Nothing.
    End,
    /// The next start.
    Again,
    /// Another program.
    Program(PathBuf),
}

/// Waits until the gateway is to stop or start anew.
fn wait(gateway: &Gateway, inbox: &Receiver<Control>, start: u64, options: &RunOptions) -> Next {
    // Main itself holds a sender, so the channel cannot close.
    while let Ok(control) = inbox.recv() {
        match control {
            Control::Signal(SIGUSR1) if gateway.may_restart_by_signal() => {
                log::info!(target: "gateway", "received SIGUSR1; restarting");
                return Next::Again;
            }
            Control::Signal(SIGUSR1) => log::warn!(
                target: "gateway",
                "SIGUSR1 restart ignored (not authorized; enable commands.restart or use gateway tool).",
            ),
            Control::Signal(signal) => {
                log::info!(target: "gateway", "received {}; shutting down", signal_name(signal));
                return Next::End;
            }
            // Asked by a gateway that is gone: this one began with what it asked for.
            Control::Asked(from, _) if from != start => {}
            Control::Asked(_, Ask::Restart(program)) => {
                log::info!(target: "gateway", "restarting as asked");
                return program.map_or(Next::Again, Next::Program);
            }
            Control::Asked(_, Ask::Logging) => start_logging(&gateway.config(), &options.paths, options.verbose),
            Control::Asked(_, Ask::Reload(change)) => match gateway.reload(change) {
                Applied::NeedsRestart(_) if gateway.is_restarting() => {
                    log::info!(target: "gateway/reload", "the change waits for the restart that is coming anyway");
                }
                Applied::NeedsRestart(_) => return Next::Again,
                // Levels and the log's place are read when it is started.
                Applied::InPlace => start_logging(&gateway.config(), &options.paths, options.verbose),
            },
        }
    }
    Next::End
}

/// Lets the runs under way end before a restart, within limits; what does not end goes on after it. A signal to stop is
/// obeyed at once.
fn drain(gateway: &Gateway, inbox: &Receiver<Control>, next: Next) -> Next {
    if matches!(next, Next::End) {
        return next;
    }
    let (count, idle) = gateway.drain();
    if count == 0 {
        return next;
    }
    let runs = if count == 1 { "run" } else { "runs" };
    log::info!(target: "gateway", "the restart waits for {count} {runs} under way, {}s at most", DRAIN_MAX.as_secs());
    let patience = after(DRAIN_MAX);
    loop {
        select! {
            recv(idle) -> _ => return next,
            recv(patience) -> _ => {
                log::info!(target: "gateway", "runs that have not ended go on after the restart");
                return next;
            }
            recv(inbox) -> control => if let Ok(Control::Signal(SIGTERM | SIGINT)) = control {
                log::info!(target: "gateway", "shutting down instead");
                return Next::End;
            },
        }
    }
}

/// Reads the configuration. Keys of older versions are moved to where they stand now; the old file is kept beside it.
fn load_valid(paths: &Paths) -> Result<Snapshot, String> {
    let mut snapshot = load::load(paths);
    if !snapshot.valid && !snapshot.legacy_issues.is_empty() {
        if is_nix_mode() {
            return Err("Legacy config entries detected while running in Nix mode. Update your Nix config to the latest schema and restart.".to_owned());
        }
        let mut changes = Vec::new();
        let edited = write::edit(paths, |tree| {
            changes = migrate::migrate(tree);
            if changes.is_empty() { Err(String::new()) } else { Ok(()) }
        });
        match edited {
            Ok(migrated) => {
                for change in changes {
                    log::info!(target: "gateway", "migrated legacy config: {change}");
                }
                snapshot = migrated;
            }
            Err(_) => {
                let doctor = paths.hint("doctor");
                let reason =
                    format!("Legacy config entries detected but auto-migration failed. Run \"{doctor}\" to migrate.");
                return Err(format!("{}\n{reason}", load::describe_invalid(paths, &snapshot)));
            }
        }
    }
    if snapshot.valid { Ok(snapshot) } else { Err(load::describe_invalid(paths, &snapshot)) }
}

/// Puts `env.vars`, the token and the port into the environment: children and later readers expect them there.
///
/// # Safety
/// No other thread may run.
unsafe fn export(config: &Config, options: &mut RunOptions) {
    let set = |name: &str, value: &str| {
        // SAFETY: the caller promises that this is the only thread.
        unsafe { std::env::set_var(name, value) }
    };
    for (name, value) in env::export(config, |name| std::env::var(name).ok()) {
        set(&name, &value);
    }
    if let Some(token) = &options.token {
        set("CLAWDBOT_GATEWAY_TOKEN", token);
    }
    let port = gateway_port(options.port, config);
    options.port = Some(port);
    set("CLAWDBOT_GATEWAY_PORT", &port.to_string());
}

/// Starts the log as the configuration has it; `is_verbose` shows debugging on the console whatever it says.
pub fn start_logging(config: &Config, paths: &Paths, is_verbose: bool) {
    let settings = &config.logging;
    let file = paths.configured_log_file(config).map_or_else(|| Destination::Daily(log_dir()), Destination::Fixed);
    let console_level =
        if is_verbose { log::LevelFilter::Debug } else { logging::parse_level(settings.console_level.as_deref()) };
    logging::init(logging::Settings {
        file,
        file_level: logging::parse_level(settings.level.as_deref()),
        console_level,
        style: Style::choose(settings.console_style.as_deref()),
        redact_patterns: settings.redact_patterns.clone(),
        is_redacting: settings.redact_sensitive.as_deref() != Some("off"),
    });
}

fn mode_gate(options: &RunOptions, snapshot: &Snapshot) -> Result<(), String> {
    let mode = snapshot.typed.gateway.mode.as_deref();
    if options.allow_unconfigured || mode == Some("local") {
        return Ok(());
    }
    if !snapshot.exists {
        let setup = options.paths.hint("setup");
        return Err(format!("Missing config. Run `{setup}` or set gateway.mode=local (or pass --allow-unconfigured)."));
    }
    let mode = mode.unwrap_or("unset");
    Err(format!("Gateway start blocked: set gateway.mode=local (current: {mode}) or pass --allow-unconfigured."))
}

/// Adds what the file says that looks like a secret but is none.
fn with_hints(message: &str, snapshot: &Snapshot) -> String {
    let mut text = message.to_owned();
    if snapshot.parsed.pointer("/gateway/token").is_some() {
        text.push_str("\nFound \"gateway.token\" in config. Use \"gateway.auth.token\" instead.");
    }
    if snapshot.parsed.pointer("/gateway/remote/token").is_some() {
        text.push_str("\n\"gateway.remote.token\" is for remote CLI calls; it does not enable local gateway auth.");
    }
    text
}

fn take_lock(options: &RunOptions) -> Result<Option<lock::Lock>, String> {
    if std::env::var("CLAWDBOT_ALLOW_MULTI_GATEWAY").as_deref() == Ok("1") {
        return Ok(None);
    }
    let paths = &options.paths;
    lock::acquire(&paths.lock_file(), &paths.config_file, &SystemClock).map(Some).map_err(|error| {
        let stop = paths.hint("gateway stop");
        let mut lines = vec![
            format!("Gateway failed to start: {error}"),
            format!("If the gateway is supervised, stop it with: {stop}"),
        ];
        lines.extend(supervisor(options));
        lines.join("\n")
    })
}

/// Says who may be keeping a gateway running; nothing where it is known that nobody is.
fn supervisor(options: &RunOptions) -> Vec<String> {
    (options.supervisor)(&options.paths)
}

/// Words a failed start, with who holds the port if that is why.
fn start_error(error: &anyhow::Error, options: &RunOptions) -> String {
    let paths = &options.paths;
    let Some(PortInUse(port)) = error.downcast_ref::<PortInUse>() else {
        return format!("Gateway failed to start: {error:#}");
    };
    let stop = paths.hint("gateway stop");
    let mut lines = vec![
        format!("Gateway failed to start: {}", error.root_cause()),
        format!("If the gateway is supervised, stop it with: {stop}"),
        format!("Port {port} is already in use."),
    ];
    let usage = ports::look(*port);
    lines.extend(usage.lines());
    lines.extend(usage.hints(&stop).iter().map(|hint| format!("- {hint}")));
    lines.extend(supervisor(options));
    lines.push(format!("Or take the port over: {}", paths.hint(&format!("gateway --port {port} --force"))));
    lines.join("\n")
}

/// The thread `signals`: turns signals into requests to main, and ends a stop that takes too long.
struct SignalThread {
    handle: Handle,
    is_stopping: Arc<AtomicBool>,
    /// Joined after [`Drop::drop`] has closed its iterator.
    _thread: Joiner,
}

impl SignalThread {
    fn start(sender: Sender<Control>) -> std::io::Result<Self> {
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGUSR1, SIGALRM])?;
        let handle = signals.handle();
        let is_stopping = Arc::new(AtomicBool::new(false));
        let stopping = is_stopping.clone();
        let body = move || {
            for signal in signals.forever() {
                let name = signal_name(signal);
                if signal == SIGALRM {
                    log::error!(target: "gateway", "shutdown timed out; exiting without full cleanup");
                    log::logger().flush();
                    std::process::exit(0);
                }
                if stopping.load(Ordering::Relaxed) {
                    log::info!(target: "gateway", "received {name} during shutdown; ignoring");
                    continue;
                }
                log::info!(target: "gateway", "signal {name} received");
                // A full inbox holds a stop already, or main handles one of these first.
                let _ = sender.try_send(Control::Signal(signal));
            }
        };
        let thread = thread::spawn("signals", thread::STACK_SMALL_BYTES, body)?;
        Ok(Self { handle, is_stopping, _thread: thread })
    }

    /// Gives the stop that begins now this many seconds; 0 says that it is over.
    fn limit_stop(&self, seconds: u32) {
        self.is_stopping.store(seconds > 0, Ordering::Relaxed);
        // SAFETY: alarm takes a plain integer; the signal it raises is handled by this thread.
        unsafe { libc::alarm(seconds) };
    }
}

impl Drop for SignalThread {
    fn drop(&mut self) {
        self.handle.close();
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        SIGTERM => "SIGTERM",
        SIGINT => "SIGINT",
        SIGUSR1 => "SIGUSR1",
        _ => "signal",
    }
}
