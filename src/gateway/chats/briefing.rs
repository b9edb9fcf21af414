//! What a run that answers a chat is told of it: which skills count there, and what its network can.

use std::sync::Arc;

use serde_json::Value;

use crate::agent::tools::{ChatBriefing, Reactions};
use crate::base::ids::AgentId;
use crate::base::route::Route;
use crate::channels;
use crate::channels::access::GroupSettings;
use crate::channels::channel::{Account, Channel, Reacting};
use crate::channels::inbound::ChatKind;
use crate::config::types::Config;
use crate::gateway::ctx::Ctx;
use crate::gateway::methods::skills::usable;
use crate::skills::manifest::Skill;

/// Returns the skills that an agent can use in a chat: of those that it has, those that its group or topic lists, where it
/// has a list.
pub fn skills(cx: &Ctx, config: &Config, agent: &AgentId, route: Option<&Route>) -> Vec<Arc<Skill>> {
    let mut skills = usable(cx, config, agent);
    if let Some(names) = route.and_then(|route| listed(cx, config, route)) {
        skills.retain(|skill| names.contains(&skill.name));
    }
    skills
}

fn listed(cx: &Ctx, config: &Config, route: &Route) -> Option<Vec<String>> {
    let (channel, account) = place(cx, config, route)?;
    if channel.chat_kind(&route.to) == ChatKind::Direct {
        return None;
    }
    let settings = GroupSettings::find(&account, &route.to, route.thread.as_deref());
    let names = settings.get("skills")?.as_array()?.iter().filter_map(Value::as_str);
    Some(names.map(|name| name.trim().to_owned()).collect())
}

/// Returns what the chat's network can, as far as an agent is to know.
pub fn chat(cx: &Ctx, config: &Config, route: &Route) -> ChatBriefing {
    let Some((channel, account)) = place(cx, config, route) else { return ChatBriefing::default() };
    let reacting = channel.reacting(&account).filter(|reacting| *reacting != Reacting::Off);
    ChatBriefing {
        abilities: channel.abilities(&account),
        has_buttons: channel.capabilities().has_buttons,
        reactions: reacting.map(|reacting| Reactions {
            network: channel.info().label.to_owned(),
            is_free: reacting == Reacting::Freely,
        }),
    }
}

fn place(cx: &Ctx, config: &Config, route: &Route) -> Option<(&'static dyn Channel, Account)> {
    let at = cx.channels_at(config);
    let channel = channels::find(&at, &route.channel)?;
    let account = channels::account(channel, &at, Some(&route.account)).ok()?;
    Some((channel, account))
}
