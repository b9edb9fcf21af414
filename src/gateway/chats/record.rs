//! What a session's entry says of the chat behind it: where it began, how it is called, where answers go
//! (channels.md §5, agent.md §4).

use std::io;

use serde_json::Value;

use super::handle::Chat;
use super::routing::Place;
use crate::agent::session;
use crate::agent::sessions::{DeliveryContext, Entry, Origin};
use crate::channels::channel::{Account, Channel};
use crate::channels::envelope;
use crate::channels::inbound::{ChatKind, Inbound};
use crate::channels::message::Address;
use crate::gateway::ctx::Ctx;

/// Notes a message's chat in its session; a direct one is where the main session is answered from now on.
pub(super) fn note(chat: &Chat<'_>, message: &Inbound, place: &Place) -> io::Result<()> {
    let id = chat.channel.info().id;
    let is_group = message.chat.is_group();
    let thread = message.chat.thread.as_deref().map(Value::from);
    let kind = if is_group { "group" } else { "direct" };
    let from = match is_group {
        true => format!("{id}:group:{}", message.chat.place()),
        false => format!("{id}:{}", message.chat.id),
    };
    let to = format!("{id}:{}", message.chat.id);
    let origin = Origin {
        label: Some(envelope::conversation(message)),
        provider: Some(id.to_owned()),
        surface: Some(id.to_owned()),
        chat_type: Some(kind.to_owned()),
        from: Some(from),
        to: Some(to.clone()),
        account_id: Some(chat.account.id.clone()),
        thread_id: thread.clone(),
    };
    let context = DeliveryContext {
        channel: Some(id.to_owned()),
        // compat: a direct chat's route is the bare id.
        to: Some(if is_group { to } else { message.chat.id.clone() }),
        account_id: Some(chat.account.id.clone()),
        thread_id: thread,
    };
    let group = is_group.then(|| (message.chat.place(), message.chat.title.clone()));
    chat.cx.sessions.note(&place.session, |entry| {
        entry.chat_type = Some(kind.to_owned());
        entry.origin = Some(origin);
        if let Some((group_id, title)) = group {
            entry.channel = Some(id.to_owned());
            let shown = title.clone().unwrap_or_else(|| group_id.clone());
            entry.display_name = Some(display_name(id, &shown, title.is_none()));
            entry.subject = title;
            entry.group_id = Some(group_id);
        }
        set_route(entry, &context);
    })?;
    if !is_group {
        let main = session::main_key(chat.config, &place.agent);
        if main != place.session && chat.cx.sessions.entry(&main).is_some() {
            chat.cx.sessions.note(&main, |entry| set_route(entry, &context))?;
        }
    }
    Ok(())
}

/// Begins the session of a chat in which we spoke first.
pub fn note_target(
    cx: &Ctx,
    channel: &dyn Channel,
    account: &Account,
    address: &Address,
    place: &Place,
) -> io::Result<()> {
    let id = channel.info().id;
    let is_group = channel.chat_kind(&address.to) != ChatKind::Direct;
    let to = if is_group { format!("{id}:{}", address.to) } else { address.to.clone() };
    let context = DeliveryContext {
        channel: Some(id.to_owned()),
        to: Some(to),
        account_id: Some(account.id.clone()),
        thread_id: address.thread.as_deref().map(Value::from),
    };
    cx.sessions.note(&place.session, |entry| {
        entry.chat_type = Some(if is_group { "group" } else { "direct" }.to_owned());
        if is_group {
            entry.channel = Some(id.to_owned());
            entry.group_id = Some(address.to.clone());
            entry.display_name = Some(display_name(id, &address.to, true));
        }
        set_route(entry, &context);
    })?;
    Ok(())
}

/// Points a session's answers somewhere.
fn set_route(entry: &mut Entry, context: &DeliveryContext) {
    entry.last_channel.clone_from(&context.channel);
    entry.last_to.clone_from(&context.to);
    entry.last_account_id.clone_from(&context.account_id);
    match &context.thread_id {
        Some(thread) => entry.other.insert("lastThreadId".to_owned(), thread.clone()),
        None => entry.other.remove("lastThreadId"),
    };
    entry.delivery_context = Some(context.clone());
}

/// Returns `telegram:g-my-group`.
fn display_name(channel: &str, name: &str, is_id: bool) -> String {
    let mut slug = String::new();
    for c in name.trim().to_lowercase().chars() {
        let c = if matches!(c, 'a'..='z' | '0'..='9' | '#' | '@' | '.' | '_' | '+' | '-') { c } else { '-' };
        if c != '-' || !slug.ends_with('-') {
            slug.push(c);
        }
    }
    let mut slug = slug.trim_matches(['-', '.', '_', '+']).to_owned();
    if is_id && slug.len() > 14 {
        slug = format!("{}...{}", &slug[..6], &slug[slug.len() - 4..]);
    }
    let is_marked = slug.starts_with(['@', '#']) || slug.starts_with("g-") || slug.contains('#');
    if is_marked { format!("{channel}:{slug}") } else { format!("{channel}:g-{slug}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_short_names() {
        assert_eq!(display_name("telegram", "My  Group!", false), "telegram:g-my-group");
        assert_eq!(display_name("telegram", "#dev", false), "telegram:#dev");
        assert_eq!(display_name("telegram", "-1001234567890:topic:7", true), "telegram:g-100123...ic-7");
    }
}
