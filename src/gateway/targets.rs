//! Where something goes that answers no message: a named channel and person, or wherever a session was last spoken with
//! (agent.md §26).
//!
//! Used by `agent`, cron, heartbeats, hooks and the note after a restart. Any worker. Not here: sending (`deliveries`).

use std::sync::Arc;

use super::chats::routing::{self, Peer, Place};
use super::ctx::Ctx;
use super::deliveries;
use crate::base::ids::SessionKey;
use crate::base::route::Route;
use crate::base::text::text_of;
use crate::channels::channel::{Account, Channel};
use crate::channels::message::Address;
use crate::channels::reply::Reply;
use crate::channels::{self, DEFAULT, normalize};
use crate::config::types::Config;

/// What somebody asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Aim<'a> {
    /// A channel, or `last`; nothing means `last`.
    pub channel: Option<&'a str>,
    /// Whom.
    pub to: Option<&'a str>,
    /// By which account.
    pub account: Option<&'a str>,
    /// In which thread.
    pub thread: Option<&'a str>,
}

/// Finds where an aim leads, seen from a session.
///
/// # Errors
/// What is missing, for people.
pub fn resolve(cx: &Ctx, key: &SessionKey, aim: &Aim<'_>) -> Result<Route, String> {
    let text = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let entry = cx.sessions.entry(key).unwrap_or_default();
    let last = entry.delivery_context.unwrap_or_default();
    let last_channel = last.channel.or(entry.last_channel).filter(|channel| channel != "webchat");
    let named = text(aim.channel).map(|channel| channel.to_lowercase()).filter(|channel| channel != "last");
    if named.as_deref() == Some("webchat") {
        let text =
            "Delivering to WebChat is not supported via `clawdbot agent`; name a chat channel or leave --deliver out.";
        return Err(text.to_owned());
    }
    let is_last = named.is_none() || named == last_channel;
    let given = named.or(last_channel).unwrap_or_else(|| DEFAULT.to_owned());
    let id = normalize(&given).ok_or_else(|| format!("Unsupported channel: {given}"))?;
    let config = cx.config.get();
    let at = cx.channels_at(&config);
    let channel = channels::find(&at, id).ok_or_else(|| format!("Unsupported channel: {id}"))?;
    let last_account = last.account_id.or(entry.last_account_id).filter(|_| is_last);
    let account = channels::account(channel, &at, text(aim.account).or(last_account).as_deref())?;
    let given_to = text(aim.to);
    let is_explicit = given_to.is_some();
    let to = given_to.or_else(|| last.to.or(entry.last_to).filter(|_| is_last));
    let to = channel.target(&at, &account, to.as_deref().unwrap_or_default())?;
    let address = channel.address(&to);
    let last_thread = last.thread_id.as_ref().map(text_of).filter(|_| is_last && !is_explicit);
    let thread = text(aim.thread).or(address.thread).or(last_thread);
    Ok(Route { channel: id.to_owned(), account: account.id, to: address.to, thread, reply_to: None })
}

/// Returns why nothing could be sent there at all.
pub fn obstacle(cx: &Ctx, route: &Route) -> Option<String> {
    let config = cx.config.get();
    let at = cx.channels_at(&config);
    let Some(channel) = channels::find(&at, &route.channel) else {
        return Some(format!("Unsupported channel: {}", route.channel));
    };
    let label = channel.info().label;
    match channels::account(channel, &at, Some(&route.account)) {
        Err(text) => Some(text),
        Ok(account) if !account.is_enabled() => Some(format!("{label} is switched off (account {})", account.id)),
        Ok(account) if !channel.is_configured(&at, &account) => {
            Some(format!("{label} is not linked (account {})", account.id))
        }
        Ok(_) => None,
    }
}

/// Promises to send replies somewhere, in order; they are on the disk when this returns.
///
/// # Errors
/// Why they cannot be sent.
pub fn deliver(
    cx: &Arc<Ctx>,
    id: &str,
    route: &Route,
    session: &SessionKey,
    replies: Vec<Reply>,
) -> Result<(), String> {
    if let Some(why) = obstacle(cx, route) {
        return Err(why);
    }
    let deliveries = replies.into_iter().enumerate().map(|(number, reply)| {
        let reply = Reply { session: Some(session.to_string()), ..reply };
        deliveries::of(cx, format!("{id}/{number}"), route, &reply)
    });
    deliveries::promise(cx, deliveries.collect())
}

/// Returns the session that belongs to a target: what is sent there without an answer is kept in it.
pub fn session_at(config: &Config, channel: &dyn Channel, account: &Account, target: &str) -> Place {
    place_at(config, channel, &account.id, &channel.address(target))
}

/// Returns the session that belongs to where a route leads; `None` when its channel is switched off.
pub fn session_of(cx: &Ctx, route: &Route) -> Option<SessionKey> {
    let config = cx.config.get();
    let channel = channels::find(&cx.channels_at(&config), &route.channel)?;
    let address = Address { to: route.to.clone(), thread: route.thread.clone() };
    Some(place_at(&config, channel, &route.account, &address).session)
}

fn place_at(config: &Config, channel: &dyn Channel, account: &str, address: &Address) -> Place {
    let peer = Peer {
        channel: channel.info().id,
        account,
        kind: channel.chat_kind(&address.to),
        chat: &address.to,
        thread: address.thread.as_deref(),
    };
    routing::place(config, &peer)
}

/// Keeps what was sent in the session of its target; one that nobody has begun is begun.
pub fn mirror(cx: &Ctx, key: &SessionKey, text: &str) {
    if text.trim().is_empty() {
        return;
    }
    if let Err(error) = cx.sessions.append_injected(key, text) {
        log::warn!(target: "gateway/channels", "a sent message is missing in the transcript of {key}: {error}");
    }
}
