//! Channels: the chat networks a gateway can speak to.
//!
//! [`channel::Channel`] is what the gateway knows of each; the rest of the gateway never names a network. What comes in
//! goes through [`received`], what goes out through [`outbox`]; [`supervisor`] keeps the accounts receiving. Not here:
//! methods of the protocol, and what becomes of a message (`gateway`).

pub mod access;
pub mod batch;
pub mod channel;
pub mod envelope;
pub mod inbound;
pub mod markdown;
pub mod mentions;
pub mod message;
pub mod outbox;
pub mod pairing;
pub mod received;
pub mod reply;
pub mod state;
pub mod supervisor;
#[cfg(feature = "telegram")]
mod telegram;
mod whatsapp;

use channel::{Account, Channel, Setting};

/// The channels of this build, in the order in which clients show them: a network is a module and a row here.
static CHANNELS: &[&dyn Channel] = &[
    #[cfg(feature = "telegram")]
    &TELEGRAM,
    &whatsapp::WhatsApp,
];
/// What must be one in the process outlives a restart of the gateway in it.
#[cfg(feature = "telegram")]
static TELEGRAM: telegram::Telegram = telegram::Telegram::new();

/// Networks of the original that this build does not have; their configuration is kept.
const OTHERS: &[(&str, &str)] = &[
    #[cfg(not(feature = "telegram"))]
    ("telegram", "Telegram"),
    ("discord", "Discord"),
    ("googlechat", "Google Chat"),
    ("slack", "Slack"),
    ("signal", "Signal"),
    ("imessage", "iMessage"),
    ("nostr", "Nostr"),
    ("msteams", "Microsoft Teams"),
    ("mattermost", "Mattermost"),
    ("nextcloud-talk", "Nextcloud Talk"),
    ("matrix", "Matrix"),
    ("bluebubbles", "BlueBubbles"),
    ("line", "LINE"),
    ("zalo", "Zalo"),
    ("zalouser", "Zalo Personal"),
    ("tlon", "Tlon"),
];

/// Other spellings of ids.
const ALIASES: [(&str, &str); 3] = [("imsg", "imessage"), ("google-chat", "googlechat"), ("gchat", "googlechat")];

/// Where a send goes that names no channel.
pub const DEFAULT: &str = "whatsapp";

/// Returns the id that a client means, in any case and by any alias; `None` for words that name no network.
pub fn normalize(given: &str) -> Option<&'static str> {
    let given = given.trim().to_lowercase();
    let given = ALIASES.iter().find(|(alias, _)| *alias == given).map_or(given.as_str(), |(_, id)| id);
    labels().map(|(id, _)| id).find(|id| *id == given)
}

/// Returns the name for people of a network, whether or not this build has it.
pub fn label(id: &str) -> Option<&'static str> {
    labels().find(|(its, _)| *its == id).map(|(_, label)| label)
}

fn labels() -> impl Iterator<Item = (&'static str, &'static str)> {
    all().map(|channel| (channel.info().id, channel.info().label)).chain(OTHERS.iter().copied())
}

/// Returns the channels that are switched on, in order: configured, and not disabled as a plugin.
pub fn active(at: &Setting<'_>) -> Vec<&'static dyn Channel> {
    CHANNELS.iter().copied().filter(|channel| is_active(*channel, at)).collect()
}

/// Returns every channel of this build, switched on or not.
pub fn all() -> impl Iterator<Item = &'static dyn Channel> {
    CHANNELS.iter().copied()
}

/// Returns a channel of this build, switched on or not.
pub fn by_id(id: &str) -> Option<&'static dyn Channel> {
    all().find(|channel| channel.info().id == id)
}

/// Returns the account of a channel that is named, else its default.
///
/// # Errors
/// Which accounts there are.
pub fn account(channel: &dyn Channel, at: &Setting<'_>, named: Option<&str>) -> Result<Account, String> {
    let Some(named) = named.map(str::trim).filter(|named| !named.is_empty()) else {
        return Ok(channel.default_account(at));
    };
    let accounts = channel.accounts(at);
    let known: Vec<String> = accounts.iter().map(|account| account.id.clone()).collect();
    let wanted = named.to_lowercase();
    accounts.into_iter().find(|account| account.id == wanted).ok_or_else(|| {
        format!("{} has no account \"{named}\" (configured: {})", channel.info().label, known.join(", "))
    })
}

/// Returns a channel that is switched on.
pub fn find(at: &Setting<'_>, id: &str) -> Option<&'static dyn Channel> {
    by_id(id).filter(|channel| is_active(*channel, at))
}

fn is_active(channel: &dyn Channel, at: &Setting<'_>) -> bool {
    let id = channel.info().id;
    let plugins = &at.config.tree["plugins"];
    let lists = |key: &str| plugins[key].as_array().map(|list| list.iter().any(|entry| entry == id));
    if plugins["enabled"] == false || lists("deny") == Some(true) || plugins["entries"][id]["enabled"] == false {
        return false;
    }
    if plugins["entries"][id]["enabled"] == true {
        return true;
    }
    let is_named = at.config.channel(id).as_object().is_some_and(|section| !section.is_empty());
    (is_named || channel.has_credentials(at)) && lists("allow") != Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use crate::config::paths::Paths;
    use crate::config::types::Config;
    use serde_json::{Value, json};

    fn ids(tree: Value, token: Option<&str>) -> Vec<&'static str> {
        let dir = TempDir::new("channels");
        let home = dir.path().display().to_string();
        let paths = Paths::resolve(|name| (name == "HOME").then(|| home.clone()));
        let config = Config { tree, ..Config::default() };
        let env = |name: &str| (name == "TELEGRAM_BOT_TOKEN").then(|| token.map(str::to_owned)).flatten();
        let at = Setting { config: &config, paths: &paths, env: &env, now_ms: 0, is_skipped: true };
        active(&at).iter().map(|channel| channel.info().id).collect()
    }

    #[test]
    fn channels_are_on_when_configured_and_not_disabled() {
        assert!(ids(json!({}), None).is_empty());
        assert_eq!(ids(json!({}), Some("t")), ["telegram"]);
        let both = json!({"channels": {"whatsapp": {"dmPolicy": "pairing"}, "telegram": {"botToken": "x"}}});
        assert_eq!(ids(both, None), ["telegram", "whatsapp"]);
        assert!(ids(json!({"channels": {"whatsapp": {}}}), None).is_empty());
        for plugins in [
            json!({"entries": {"telegram": {"enabled": false}}}),
            json!({"enabled": false}),
            json!({"deny": ["telegram"]}),
            json!({"allow": ["whatsapp"]}),
        ] {
            let tree = json!({"channels": {"telegram": {"botToken": "x"}}, "plugins": plugins});
            assert!(ids(tree, None).is_empty(), "{plugins}");
        }
        assert_eq!(ids(json!({"plugins": {"entries": {"whatsapp": {"enabled": true}}}}), None), ["whatsapp"]);
    }

    #[test]
    fn names() {
        let found = ["WhatsApp", " gchat ", "imsg", "nope", ""].map(normalize);
        assert_eq!(found, [Some("whatsapp"), Some("googlechat"), Some("imessage"), None, None]);
    }
}
