//! The chats: the accounts of the networks are started, stopped and started anew here, and what comes in is handled.
//!
//! Stopping an account may take two seconds, so all of it happens in lane [`LANE`]. A message goes from its journal through
//! [`pump`] and [`handle`] to the session that [`routing`] finds. Not here: how an account receives
//! (`channels::supervisor`), the run (`inbox`), what is said back (`deliveries`).

pub mod ack;
pub mod briefing;
mod files;
mod groups;
mod handle;
pub mod history;
pub mod pump;
pub mod record;
pub mod routing;
pub mod sent;
pub mod understanding;

use std::sync::Arc;
use std::time::Duration;

use super::chat_commands;
use super::ctx::Ctx;
use crate::agent::{commands, session};
use crate::base::cancel::CancelToken;
use crate::channels;
use crate::channels::inbound::Sink;
use crate::channels::received::AccountSink;
use crate::channels::supervisor::{MakeMenu, MakeSink};
use crate::config::diff;

/// Lane of starts and stops.
pub const LANE: &str = "channels";

/// What is remembered of chats; one per start.
#[derive(Debug, Default)]
pub struct Chats {
    /// Who handles what came in.
    pub pump: pump::Pump,
    /// What was said in groups.
    pub history: history::History,
    /// Messages of ours.
    pub sent: sent::Sent,
    /// Signs that go with the answer.
    pub acks: ack::Acks,
    /// Files that are being put into words, and what became of earlier ones.
    pub understanding: understanding::State,
}

/// Starts every account that is switched on and configured, and goes on with what came in before.
pub fn start(cx: &Arc<Ctx>) {
    let config = cx.config.get();
    for channel in channels::active(&cx.channels_at(&config)) {
        cx.channels.start(channel, &sinks(cx), &menus(cx));
    }
    pump::wake(cx);
}

/// Starts a channel's accounts anew, or one of them, as configured now.
pub fn restart(cx: &Arc<Ctx>, id: &'static str, account: Option<String>) {
    in_turn(cx, move |cx| {
        cx.channels.stop(id, account.as_deref());
        let config = cx.config.get();
        if let Some(channel) = channels::find(&cx.channels_at(&config), id) {
            cx.channels.start(channel, &sinks(cx), &menus(cx));
        }
    });
}

/// Starts those channels anew whose settings are among the changed paths and are not read at each use.
pub fn reload(cx: &Arc<Ctx>, changed: &[String]) {
    for channel in channels::all() {
        let id = channel.info().id;
        let own = channel.capabilities().restarted_by;
        let is_own = |path: &String| own.iter().any(|own| diff::covers(own, path));
        if changed.iter().any(is_own) {
            log::info!(target: "gateway/reload", "channel {id} starts anew");
            restart(cx, id, None);
        }
    }
}

fn in_turn(cx: &Arc<Ctx>, act: impl FnOnce(&Arc<Ctx>) + Send + 'static) {
    let job_cx = cx.clone();
    if let Err(error) = cx.jobs.submit(vec![LANE.to_owned()], move || act(&job_cx)) {
        log::warn!(target: "gateway/channels", "channels stay as they are: {error}");
    }
}

/// Returns a sink for an account whose network calls us; it waits for room at most so long.
pub fn sink(cx: &Arc<Ctx>, channel: &str, account: &str, within: Duration) -> Box<dyn Sink> {
    let cancel = CancelToken::new();
    cancel.set_deadline(cx.clock.now() + within);
    sinks(cx)(channel, account, &cancel)
}

/// Returns what lists the commands of accounts' menus: ours, and those of every agent's skills.
fn menus(cx: &Arc<Ctx>) -> MakeMenu {
    let weak = Arc::downgrade(cx);
    Arc::new(move |config, account| {
        let mut menu = commands::menu(config);
        let Some(cx) = weak.upgrade().filter(|_| account.wants_skill_commands(config)) else { return menu };
        for agent in session::agent_ids(config) {
            for skill in chat_commands::skill_commands(&cx, &agent, None) {
                if menu.iter().all(|(name, _)| *name != skill.name) {
                    menu.push((skill.name, skill.description));
                }
            }
        }
        menu
    })
}

/// Returns what makes the accounts' sinks.
fn sinks(cx: &Arc<Ctx>) -> MakeSink {
    let weak = Arc::downgrade(cx);
    let received = cx.received.clone();
    Arc::new(move |channel, account, cancel| {
        let weak = weak.clone();
        let wake = Arc::new(move || {
            if let Some(cx) = weak.upgrade() {
                pump::wake(&cx);
            }
        });
        let (channel, account) = (channel.to_owned(), account.to_owned());
        Box::new(AccountSink { received: received.clone(), channel, account, cancel: cancel.clone(), wake })
    })
}
