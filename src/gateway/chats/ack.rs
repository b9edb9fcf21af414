//! The little sign under a message that says that it was seen (channels.md §7).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::handle::Chat;
use super::routing::{self, Peer};
use crate::agent::session;
use crate::base::route::Route;
use crate::channels::channel::AckGroup;
use crate::channels::inbound::Inbound;
use crate::channels::mentions::Mention;
use crate::channels::message::Reaction;
use crate::gateway::ctx::Ctx;
use crate::gateway::feedback;

/// The sign when none is configured.
const SIGN: &str = "👀";
/// Signs that are to be taken away again; beyond it they stay.
const SIGNS_MAX: usize = 1000;

/// Signs that go when the answer is there.
#[derive(Debug, Default)]
pub struct Acks(Mutex<HashSet<String>>);

impl Acks {
    fn key(route: &Route) -> String {
        let message = route.reply_to.as_deref().unwrap_or_default();
        format!("{}\n{}\n{}\n{message}", route.channel, route.account, route.to)
    }

    fn insert(&self, route: &Route) {
        let mut signs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if signs.len() < SIGNS_MAX {
            signs.insert(Self::key(route));
        }
    }

    /// Takes a sign that is to go; `false` when there is none.
    pub fn take(&self, route: &Route) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&Self::key(route))
    }
}

/// Shows the sign under a message, where it belongs there. `group`: whether only what is meant for us is answered there, and
/// whether this is.
pub(super) fn show(chat: &Chat<'_>, message: &Inbound, group: Option<(bool, Mention)>) {
    let ack = chat.channel.ack(chat.config, chat.account);
    let is_shown = match (group, ack.in_groups) {
        (None, _) => ack.in_direct,
        (Some(_), AckGroup::Always) => true,
        (Some(_), AckGroup::Never) => false,
        (Some((is_asked, mention)), AckGroup::MeantWhereAsked) => {
            is_asked && mention.is_meant && !mention.is_command_only
        }
        (Some((is_asked, mention)), AckGroup::Meant) => mention.is_meant || !is_asked,
    };
    let can = chat.channel.capabilities().has_reactions && !message.is_button && !message.message_id.is_empty();
    if !is_shown || !can {
        return;
    }
    let emoji = ack.emoji.unwrap_or_else(|| {
        let place = Peer::of(chat.channel.info().id, &chat.account.id, message);
        let agent = routing::place(chat.config, &place).agent;
        let identity = session::agent_entry(chat.config, &agent).and_then(|entry| entry.identity.as_ref());
        let own = identity.and_then(|identity| identity.emoji.clone());
        own.filter(|emoji| !emoji.trim().is_empty()).unwrap_or_else(|| SIGN.to_owned())
    });
    let emoji = emoji.trim().to_owned();
    if emoji.is_empty() {
        return;
    }
    let route = chat.route(message);
    if ack.is_passing {
        chat.cx.chats.acks.insert(&route);
    }
    set(chat.cx, &route, emoji);
}

/// Sets or, with an empty emoji, takes away the sign; nobody waits for it.
pub fn set(cx: &Arc<Ctx>, route: &Route, emoji: String) {
    let message_id = route.reply_to.clone().unwrap_or_default();
    feedback::aside(cx, route, move |it| {
        // An empty emoji takes ours away, whichever it was.
        let reaction = Reaction { message_id, emoji, ..Reaction::default() };
        if let Err(error) = it.channel.react(it.at, it.account, &it.to, &reaction, it.cancel) {
            log::debug!(target: "gateway/channels", "no sign under a message: {}", error.text());
        }
    });
}
