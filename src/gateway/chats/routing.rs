//! Which agent answers a conversation, and in which session (channels.md §8, agent.md §3). Pure.

use crate::agent::session;
use crate::base::ids::{AgentId, SessionKey};
use crate::channels::channel::DEFAULT_ACCOUNT;
use crate::channels::inbound::{Chat, ChatKind, Inbound};
use crate::config::types::{Binding, Config};

/// Where a conversation is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// By whom.
    pub agent: AgentId,
    /// In which session.
    pub session: SessionKey,
    /// Whether that is the agent's main session, or one that is answered beside it.
    pub is_main: bool,
}

/// Somebody or something that is spoken with.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// Channel id.
    pub channel: &'a str,
    /// Account id.
    pub account: &'a str,
    /// What kind of conversation.
    pub kind: ChatKind,
    /// The chat.
    pub chat: &'a str,
    /// Thread or topic within it.
    pub thread: Option<&'a str>,
}

impl<'a> Peer<'a> {
    /// Returns the peer of a message.
    pub fn of(channel: &'a str, account: &'a str, message: &'a Inbound) -> Self {
        let Chat { id, kind, thread, .. } = &message.chat;
        // In a direct chat the person may have a better name than the chat.
        let chat = message.sender.e164.as_deref().filter(|_| *kind == ChatKind::Direct).unwrap_or(id);
        Self { channel, account, kind: *kind, chat, thread: thread.as_deref() }
    }

    fn kind_word(&self) -> &'static str {
        match self.kind {
            ChatKind::Direct => "dm",
            ChatKind::Group => "group",
            ChatKind::Channel => "channel",
        }
    }

    /// Returns the chat with its topic, as keys have it.
    fn place(&self) -> String {
        match self.thread.filter(|_| self.kind != ChatKind::Direct) {
            Some(thread) => format!("{}:topic:{thread}", self.chat),
            None => self.chat.to_owned(),
        }
    }
}

/// Finds the place of a conversation.
pub fn place(config: &Config, peer: &Peer<'_>) -> Place {
    let agent = agent(config, peer);
    let key = match peer.kind {
        ChatKind::Direct => direct_key(config, &agent, peer),
        _ => format!("agent:{agent}:{}:{}:{}", peer.channel, peer.kind_word(), peer.place()).to_lowercase(),
    };
    let main = session::main_key(config, &agent);
    let key = if config.session.scope.as_deref() == Some("global") { main.as_str().to_owned() } else { key };
    let is_main = key == main.as_str();
    let key = match peer.thread.filter(|_| peer.kind == ChatKind::Direct) {
        Some(thread) => format!("{key}:thread:{}", thread.to_lowercase()),
        None => key,
    };
    Place { agent, session: SessionKey::new(key), is_main }
}

fn direct_key(config: &Config, agent: &AgentId, peer: &Peer<'_>) -> String {
    let scope = config.session.dm_scope.as_deref().unwrap_or("main");
    let name = linked_name(config, peer).unwrap_or_else(|| peer.chat.to_lowercase());
    match scope {
        "per-peer" if !name.is_empty() => format!("agent:{agent}:dm:{name}"),
        "per-channel-peer" if !name.is_empty() => format!("agent:{agent}:{}:dm:{name}", peer.channel),
        _ => session::main_key(config, agent).as_str().to_owned(),
    }
}

/// Returns the one name of a person with several addresses.
fn linked_name(config: &Config, peer: &Peer<'_>) -> Option<String> {
    let plain = peer.chat.to_lowercase();
    let with_channel = format!("{}:{plain}", peer.channel);
    let is_it = |id: &String| [&plain, &with_channel].contains(&&id.trim().to_lowercase());
    let (name, _) = config.session.identity_links.iter().find(|(_, ids)| ids.iter().any(is_it))?;
    Some(name.trim().to_lowercase()).filter(|name| !name.is_empty())
}

/// Returns the agent that the bindings name: for this peer, for this account, for the channel; else the default one.
fn agent(config: &Config, peer: &Peer<'_>) -> AgentId {
    let bindings = config.bindings.iter().filter(|binding| binding.is_of(peer.channel));
    let own: Vec<&Binding> = bindings
        .filter(|binding| match binding.account().as_deref() {
            None => peer.account == DEFAULT_ACCOUNT,
            Some("*") => true,
            Some(account) => account == peer.account,
        })
        .collect();
    let has_no_peer = |binding: &Binding| {
        let covers = &binding.covers;
        covers.peer.is_none() && covers.guild_id.is_none() && covers.team_id.is_none()
    };
    let is_for = |binding: &Binding, id: &str| {
        let wanted = binding.covers.peer.as_ref();
        wanted.is_some_and(|it| it.kind == peer.kind_word() && it.id.trim().eq_ignore_ascii_case(id))
    };
    let place = peer.place();
    let found = own
        .iter()
        .find(|binding| is_for(binding, &place))
        .or_else(|| own.iter().find(|binding| is_for(binding, peer.chat)))
        .or_else(|| {
            let is_any = |binding: &Binding| binding.account().as_deref() == Some("*");
            let whole = |binding: &&&Binding| has_no_peer(binding);
            own.iter().filter(whole).find(|binding| !is_any(binding)).or_else(|| own.iter().find(whole))
        });
    let named = found.map(|binding| session::normalize_agent_id(&binding.agent_id));
    // A binding to an agent that is gone must not invent one.
    named.filter(|agent| session::agent_ids(config).contains(agent)).unwrap_or_else(|| session::default_agent(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(tree: Value, peer: Peer<'_>, agent: &str, key: &str) {
        let place = place(&Config::of(tree.clone()), &peer);
        assert_eq!((place.agent.as_str(), place.session.as_str()), (agent, key), "{tree} {peer:?}");
    }

    #[test]
    fn agents_and_keys() {
        let dm = Peer { channel: "telegram", account: "default", kind: ChatKind::Direct, chat: "42", thread: None };
        let group = Peer { kind: ChatKind::Group, chat: "-1", ..dm };
        let topic = Peer { thread: Some("7"), ..group };
        check(json!({}), dm, "main", "agent:main:main");
        check(json!({}), Peer { thread: Some("5"), ..dm }, "main", "agent:main:main:thread:5");
        check(json!({}), topic, "main", "agent:main:telegram:group:-1:topic:7");
        check(json!({"session": {"dmScope": "per-peer"}}), dm, "main", "agent:main:dm:42");
        let links = json!({"session": {"dmScope": "per-channel-peer", "identityLinks": {"Ada": ["telegram:42"]}}});
        check(links, dm, "main", "agent:main:telegram:dm:ada");
        check(json!({"session": {"scope": "global"}}), group, "main", "global");
        let agents = json!({"list": [{"id": "a", "default": true}, {"id": "b"}, {"id": "c"}, {"id": "d"}]});
        let bound = |bindings: Value| json!({"agents": agents, "bindings": bindings});
        let channel = |agent: &str, more: Value| {
            let mut rule = json!({"channel": "telegram"});
            rule.as_object_mut().expect("object").extend(more.as_object().cloned().expect("object"));
            json!({"agentId": agent, "match": rule})
        };
        let rules = bound(json!([
            channel("b", json!({"accountId": "*"})),
            channel("c", json!({})),
            channel("d", json!({"peer": {"kind": "group", "id": "-1"}})),
        ]));
        check(rules.clone(), dm, "c", "agent:c:main");
        check(rules.clone(), Peer { account: "work", ..dm }, "b", "agent:b:main");
        check(rules.clone(), topic, "d", "agent:d:telegram:group:-1:topic:7");
        check(rules, Peer { account: "work", ..group }, "b", "agent:b:telegram:group:-1");
        check(bound(json!([channel("gone", json!({}))])), dm, "a", "agent:a:main");
    }
}
