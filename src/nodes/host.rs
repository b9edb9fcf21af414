//! The headless node host: this machine as a node of a gateway that runs elsewhere (`clawdbot node run`).
//!
//! A process of its own. `main` waits for signals; `node-link` owns the connection and keeps it (`connection`); each
//! command that is asked for runs on a thread `invoke-N` of its own (`invoke`) and posts what it has to say. A command
//! goes on when the connection is lost: its result is then of no use to anyone, but its event is told to the next one.
//! Not here: what the gateway does with nodes (`registry`, `gateway::nodes`).

mod approval;
mod approvals_file;
mod command;
pub mod config;
mod connection;
mod environment;
mod invoke;
mod outgoing;
mod run;
mod skill_bins;
mod which;

use std::time::Duration;

use anyhow::Context as _;
use crossbeam_channel::bounded;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::base::cancel::{CancelReason, CancelToken};
use crate::base::signals::CloseOnDrop;
use crate::base::thread::{self, STACK_WORKER_BYTES};
use crate::client::Profile;
use crate::client::link::mailbox;
use crate::client::target::Target;
use crate::config::paths::Paths;
use connection::Connection;
use invoke::{INVOKES_MAX, Invokes};

/// Messages that may wait for the connection: more than all commands at once can have to say, so that they never wait
/// for a gateway that is away.
const MAILBOX_LEN_MAX: usize = INVOKES_MAX * 4;
/// How long a stop may take; a connection that is just being made cannot be interrupted.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// Directories of programs where the environment names none.
pub const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything is.
    pub paths: Paths,
    /// The gateway.
    pub target: Target,
    /// Version of this program.
    pub version: String,
    /// `client.instanceId`.
    pub node_id: String,
    /// Shown name.
    pub display_name: String,
    /// Where programs are looked for.
    pub path_env: String,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When signals, threads or descriptors cannot be had, or the connection's thread ends by itself.
pub fn run(options: Options) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("signals")?;
    let end_of_signals = CloseOnDrop(signals.handle());
    let (post, mailbox) = mailbox(MAILBOX_LEN_MAX).context("poll")?;
    let stop = CancelToken::new();
    // Nothing is ever sent: the channel closes when the connection's thread ends.
    let (alive, ended) = bounded::<()>(0);
    let profile = profile(&options);
    let invokes = Invokes::new(options.paths.clone(), options.path_env.clone(), post.clone(), stop.clone());
    let connection = Connection::new(options.paths, options.target, profile, mailbox, invokes, stop.clone());
    let link = thread::spawn("node-link", STACK_WORKER_BYTES, move || {
        let _alive = (alive, end_of_signals);
        connection.keep();
    })
    .context("thread")?;
    let signal = signals.forever().next();
    if signal.is_none() {
        link.join();
        anyhow::bail!("the connection's thread ended; its last words are in the log");
    }
    log::info!(target: "node", "stopping");
    stop.cancel(CancelReason::Shutdown);
    post.wake();
    // The channel closes (an error) or the time is over.
    let _ = ended.recv_timeout(STOP_WAIT);
    if link.is_finished() {
        drop(link)
    } else {
        link.detach()
    }
    Ok(())
}

fn profile(options: &Options) -> Profile {
    Profile {
        id: "node-host",
        mode: "node",
        role: "node",
        scopes: Vec::new(),
        version: options.version.clone(),
        display_name: Some(options.display_name.clone()),
        instance_id: Some(options.node_id.clone()),
        caps: vec!["system"],
        commands: Some(invoke::names()),
        path_env: Some(options.path_env.clone()),
    }
}
