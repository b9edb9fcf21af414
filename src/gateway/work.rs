//! Everything that can make the gateway act, as one closed enum, and the one `match` over it.
//!
//! Runs on frame workers. Timer entries that repeat arm themselves again here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::client::{Client, Role};
use super::ctx::Ctx;
use super::ticket::SharedTicket;
use super::{
    chats, connect, cron, deliveries, dispatch, events, exec_approvals, feedback, health, heartbeat, http, nodes,
    queue, remote_bins, subagents, sweep,
};
use crate::agent::sessions;
use crate::base::clock::UnixMs;
use crate::base::ids::{AgentId, ConnId, RunId, SessionKey};
use crate::base::memory;
use crate::base::pending::PendingId;
use crate::net::NetEvent;
use crate::protocol::TICK_INTERVAL_MS;
use crate::protocol::error::ErrorShape;

/// Interval of the periodic health refresh.
const HEALTH_INTERVAL: Duration = Duration::from_secs(60);
/// Interval at which caches are swept.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Interval of [`Due::Tidy`].
const TIDY_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// When a start, a run or a connect is over for sure, with what it causes (a health refresh comes up to a second later).
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// One item of work.
#[derive(Debug)]
pub enum Work {
    /// Something happened on the network.
    Net(NetEvent<Client>),
    /// Something is due.
    Due(Due),
}

/// What the timer delivers.
#[derive(Debug)]
pub enum Due {
    /// Keep-alive for every client.
    Tick,
    /// Periodic health refresh.
    Health,
    /// A health refresh that was asked for right after another one.
    HealthSoon,
    /// Caches are swept.
    Sweep,
    /// Session indexes are brought up to date, and files that nobody sends any more go.
    Tidy,
    /// The start, or a run, has been over for a moment.
    Settled,
    /// A client asked for a restart.
    Restart,
    /// What somebody asked for has not begun in time.
    Overdue {
        /// Who waits, if nobody took it up meanwhile.
        ticket: SharedTicket,
        /// What to answer.
        error: ErrorShape,
    },
    /// An audio file has been there long enough.
    #[cfg(feature = "tts")]
    SpeechExpired(std::path::PathBuf),
    /// A cron job may be due.
    Cron {
        /// Which arming of the timer this is; older ones say nothing any more.
        serial: u64,
    },
    /// A caller of `agent.wait` has waited long enough.
    AgentWait {
        /// Which waiter.
        waiter: PendingId<RunId>,
        /// The run it waits for.
        run: RunId,
    },
    /// Somebody wished for a heartbeat a moment ago.
    Heartbeat {
        /// Whose.
        agent: AgentId,
    },
    /// An agent's heartbeat interval is over.
    HeartbeatInterval {
        /// Whose.
        agent: AgentId,
        /// Which schedule planned it.
        schedule: u64,
    },
    /// Skills changed a while ago.
    RemoteBins,
    /// A node has had its time for a command.
    NodeInvoke {
        /// The request.
        id: String,
    },
    /// Messages of a session have waited long enough, perhaps.
    Queue {
        /// Whose.
        session: SessionKey,
    },
    /// What came in a moment ago, or could not be handled, may be handled now.
    Inbound {
        /// Which arming of the timer this is.
        until: UnixMs,
    },
    /// A chat shows again that somebody is at work.
    Typing {
        /// Which chat.
        place: String,
        /// Which run's typing.
        serial: u64,
    },
    /// What could not be sent may be tried again.
    Deliver {
        /// Channel and account.
        account: (String, String),
        /// Which arming of the timer this is.
        until: UnixMs,
    },
    /// Nobody decided about a command in time.
    ExecApproval(PendingId<String>),
}

impl From<NetEvent<Client>> for Work {
    fn from(event: NetEvent<Client>) -> Self {
        Self::Net(event)
    }
}

/// Arms what repeats. Called once when the gateway is up.
pub fn arm(cx: &Ctx) {
    cx.timer.arm(Duration::from_millis(TICK_INTERVAL_MS), Due::Tick);
    cx.timer.arm(HEALTH_INTERVAL, Due::Health);
    cx.timer.arm(SWEEP_INTERVAL, Due::Sweep);
    cx.timer.arm(SETTLED_AFTER, Due::Tidy);
    heartbeat::schedule(cx);
    arm_settled(cx);
}

/// Has memory given back when nothing goes on any more.
pub fn arm_settled(cx: &Ctx) {
    if !cx.is_settling.swap(true, Ordering::Relaxed) {
        cx.timer.arm(SETTLED_AFTER, Due::Settled);
    }
}

/// Handles one item.
pub fn handle(cx: &Arc<Ctx>, work: Work) {
    match work {
        Work::Net(NetEvent::Frames { conn, client: Some(client), frames, .. }) => {
            dispatch::frames(cx, conn, &client, frames.into())
        }
        Work::Net(NetEvent::Frames { conn, client: None, peer, frames }) => {
            if let (Some(peer), Some(first)) = (peer, frames.first()) {
                connect::first_frame(cx, conn, &peer, first);
            }
        }
        Work::Net(NetEvent::Http { conn, peer, body, flow }) => http::handle(cx, conn, peer, body, flow),
        Work::Net(NetEvent::HttpGone { flow }) => flow.hang_up(),
        Work::Net(NetEvent::Closed { conn, client }) => closed(cx, conn, &client),
        Work::Due(due) => self::due(cx, due),
    }
}

fn tidy_sessions(cx: &Arc<Ctx>) {
    let job_cx = cx.clone();
    on_sessions(cx, move || {
        let busy: Vec<_> = job_cx.runs.all().into_iter().map(|(_, active)| active.session).collect();
        for key in job_cx.sessions.tidy(&|key| busy.contains(key)) {
            log::info!(target: "gateway", "session {key} was not used any more and is gone");
        }
    });
}

/// Has the session indexes looked after, in their lane.
fn on_sessions(cx: &Ctx, job: impl FnOnce() + Send + 'static) {
    if let Err(error) = cx.jobs.submit(vec!["sessions".to_owned()], job) {
        log::debug!(target: "gateway", "the session indexes wait: {error}");
    }
}

fn closed(cx: &Arc<Ctx>, conn: ConnId, client: &Client) {
    log::debug!(target: "gateway/ws", "disconnected conn={} client={}", client.conn_id, client.id);
    arm_settled(cx);
    if client.role == Role::Node {
        nodes::disconnected(cx, conn, client);
    }
    exec_approvals::withdraw(cx, conn);
    #[cfg(feature = "onboarding")]
    cx.wizards.client_gone(conn);
    if let Some(key) = &client.presence_key {
        cx.presence.disconnect(key, cx.clock.now_ms());
        broadcast_presence(cx);
    }
}

/// Sends the whole presence list to everybody.
pub fn broadcast_presence(cx: &Ctx) {
    let (presence, version) = cx.presence.list(cx.clock.now_ms());
    let health_version = cx.health.version();
    events::broadcast(&cx.net, events::PRESENCE, &json!({"presence": presence}), Some((version, health_version)));
}

fn due(cx: &Arc<Ctx>, due: Due) {
    match due {
        Due::Tick => {
            nodes::broadcast(cx, events::TICK, &json!({"ts": cx.clock.now_ms()}), None, None);
            // Whatever went on since the last one, plain HTTP included, may have left something.
            arm_settled(cx);
            cx.timer.arm(Duration::from_millis(TICK_INTERVAL_MS), Due::Tick);
        }
        Due::Health => {
            health::refresh_soon(cx);
            cx.timer.arm(HEALTH_INTERVAL, Due::Health);
        }
        Due::HealthSoon => health::refresh_armed(cx),
        Due::Sweep => {
            let now_ms = cx.clock.now_ms();
            cx.dedupe.sweep(now_ms);
            cx.runs.sweep(now_ms);
            cx.agent.toolbox.processes.sweep(now_ms);
            subagents::sweep(cx);
            cx.timer.arm(SWEEP_INTERVAL, Due::Sweep);
        }
        Due::Tidy => {
            tidy_sessions(cx);
            sweep::outbound(cx);
            cx.timer.arm(TIDY_INTERVAL, Due::Tidy);
        }
        Due::Heartbeat { agent } => heartbeat::due(cx, &agent),
        Due::HeartbeatInterval { agent, schedule } => heartbeat::interval(cx, agent, schedule),
        Due::RemoteBins => remote_bins::ask_all(cx),
        Due::NodeInvoke { id } => nodes::time_out(cx, &id),
        Due::Settled => {
            cx.is_settling.store(false, Ordering::Relaxed);
            // The original's command line reads the file, not our journal.
            let behind = cx.sessions.behind();
            let folds = !behind.is_empty();
            if folds {
                on_sessions(cx, move || sessions::fold(behind));
            }
            // What workers hold comes back when they have ended.
            if cx.jobs.reap() || folds {
                arm_settled(cx);
            }
            cx.config_file.forget();
            if cx.runs.active_count() == 0 {
                memory::release();
            }
        }
        Due::Restart => cx.lifecycle.fire(),
        Due::Overdue { ticket, error } => {
            if let Some(ticket) = ticket.take() {
                ticket.finish(Err(error));
            }
        }
        #[cfg(feature = "tts")]
        Due::SpeechExpired(audio) => super::methods::tts::expire(cx, audio),
        Due::Cron { serial } => cron::due(cx, serial),
        Due::AgentWait { waiter, run } => {
            if let Some(ticket) = cx.runs.give_up(&waiter) {
                ticket.finish(Ok(json!({"runId": run.as_str(), "status": "timeout"})));
            }
        }
        Due::Inbound { until } => chats::pump::due(cx, until),
        Due::Typing { place, serial } => feedback::due(cx, place, serial),
        Due::Deliver { account, until } => deliveries::due(cx, &account, until),
        Due::Queue { session } => queue::advance(cx, &session),
        Due::ExecApproval(waiting) => exec_approvals::expire(cx, &waiting),
    }
}
