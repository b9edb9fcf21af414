//! Who may speak, and who may command: direct messages and groups (channels.md §3, §4.1, §6). Pure.

use serde_json::Value;

use super::channel::{Account, Capabilities, Info};
use super::inbound::Inbound;
use crate::base::text::text_of;

/// What a command's sender is told who may not give it.
pub const NOT_AUTHORISED: &str = "You are not authorized to use this command.";

/// Who is let in: ids and handles, and whether everybody is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    entries: Vec<String>,
    has_wildcard: bool,
}

impl Allow {
    /// Reads lists as people write them: prefixes of the channel do not count, `*` is everybody.
    pub fn new(lists: &[&[String]], prefixes: &[&str]) -> Self {
        let mut allow = Self::default();
        for entry in lists.iter().flat_map(|list| list.iter()) {
            let entry = strip(entry, prefixes);
            match entry.as_str() {
                "" => {}
                "*" => allow.has_wildcard = true,
                _ => allow.entries.push(entry),
            }
        }
        allow
    }

    /// Returns whether somebody is named at all.
    pub fn is_configured(&self) -> bool {
        self.has_wildcard || !self.entries.is_empty()
    }

    /// Returns whether this sender is let in. In a direct chat its id counts as the sender's.
    pub fn admits(&self, message: &Inbound) -> bool {
        if self.has_wildcard {
            return true;
        }
        let ids = [
            Some(message.sender.id.as_str()),
            message.sender.e164.as_deref(),
            (!message.chat.is_group()).then_some(message.chat.id.as_str()),
        ];
        let is_id = |entry: &String| ids.into_iter().flatten().any(|id| !id.is_empty() && entry == id);
        let handle = message.sender.username.as_deref().filter(|handle| !handle.is_empty());
        let is_handle = |entry: &String| {
            handle.is_some_and(|handle| entry.strip_prefix('@').unwrap_or(entry).eq_ignore_ascii_case(handle))
        };
        self.entries.iter().any(|entry| is_id(entry) || is_handle(entry))
    }
}

/// Returns an id as the network spells it: without the channel's prefix, in whatever case that is.
pub fn strip(entry: &str, prefixes: &[&str]) -> String {
    let entry = entry.trim();
    let has = |prefix: &&&str| entry.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    prefixes.iter().find(has).map_or(entry, |prefix| &entry[prefix.len()..]).trim().to_owned()
}

/// What is done with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is heard; `is_authorised` says whether its sender may command.
    Heard {
        /// Whether commands and directives count.
        is_authorised: bool,
    },
    /// Its sender is offered a code.
    Pairing,
    /// It is dropped.
    Dropped(&'static str),
}

/// The settings of a group and of a topic in it, as far as they are there.
#[derive(Debug, Clone, Copy, Default)]
pub struct GroupSettings<'a> {
    group: Option<&'a Value>,
    topic: Option<&'a Value>,
}

impl<'a> GroupSettings<'a> {
    /// Finds them: the group's own, else those of `*`; within them the topic's.
    pub fn find(account: &'a Account, chat: &str, thread: Option<&str>) -> Self {
        let groups = account.settings.get("groups");
        let group = groups.and_then(|groups| groups.get(chat).or_else(|| groups.get("*")));
        let topic = group.zip(thread).and_then(|(group, thread)| group["topics"].get(thread));
        Self { group, topic }
    }

    /// Returns a setting: the topic's, else the group's.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        let of = |settings: Option<&'a Value>| settings.and_then(|it| it.get(key)).filter(|it| !it.is_null());
        of(self.topic).or_else(|| of(self.group))
    }

    /// Returns both texts of a setting, the group's first.
    pub fn texts(&self, key: &str) -> Vec<&'a str> {
        let texts = [self.group, self.topic].into_iter().flatten().filter_map(|it| it[key].as_str());
        texts.map(str::trim).filter(|text| !text.is_empty()).collect()
    }

    fn is_disabled(settings: Option<&Value>) -> bool {
        settings.is_some_and(|it| it["enabled"] == false)
    }
}

/// What decides beside the account's own settings.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Who was let in by a code.
    pub paired: &'a [String],
    /// `channels.defaults.groupPolicy`.
    pub default_group_policy: Option<&'a str>,
    /// `commands.useAccessGroups`.
    pub uses_access_groups: bool,
    /// Whether the message is a command of ours.
    pub is_command: bool,
}

/// Decides about a message.
pub fn judge(message: &Inbound, account: &Account, caps: &Capabilities, rules: &Rules<'_>) -> Verdict {
    let prefixes = caps.id_prefixes;
    let own = account.list("allowFrom");
    if !message.chat.is_group() {
        let allow = Allow::new(&[&own, rules.paired], prefixes);
        let policy = account.text("dmPolicy").unwrap_or("pairing");
        let is_let_in = policy == "open" || allow.admits(message);
        return match policy {
            "disabled" => Verdict::Dropped("direct messages are disabled"),
            _ if is_let_in => Verdict::Heard { is_authorised: may_command(&allow, message, rules) },
            "pairing" if !message.is_button => Verdict::Pairing,
            _ => Verdict::Dropped("the sender is not on the list"),
        };
    }
    let settings = GroupSettings::find(account, &message.chat.id, message.chat.thread.as_deref());
    if GroupSettings::is_disabled(settings.group) {
        return Verdict::Dropped("the group is disabled");
    }
    if GroupSettings::is_disabled(settings.topic) {
        return Verdict::Dropped("the topic is disabled");
    }
    let (allow, is_special) = group_allow(account, &settings, &own, caps, rules);
    if is_special && allow.is_configured() && !allow.admits(message) {
        return Verdict::Dropped("the sender is not on the group's list");
    }
    match group_policy(account, rules) {
        "disabled" => return Verdict::Dropped("groups are disabled"),
        "open" => {}
        _ if !allow.admits(message) => return Verdict::Dropped("the sender is not on the list for groups"),
        _ => {}
    }
    if !is_listed_group(account, message) {
        return Verdict::Dropped("the group is not on the list");
    }
    let is_authorised = may_command(&allow, message, rules);
    if rules.is_command && !is_authorised {
        return Verdict::Dropped("the sender may not command here");
    }
    Verdict::Heard { is_authorised }
}

/// Decides about a command of the network's own menu; who gives it is answered in any case (channels.md §12.11).
///
/// # Errors
/// What its sender is told who may not give it.
pub fn judge_native(
    message: &Inbound,
    account: &Account,
    channel: &Info,
    caps: &Capabilities,
    rules: &Rules<'_>,
) -> Result<(), String> {
    let refused = || Err(NOT_AUTHORISED.to_owned());
    let own = account.list("allowFrom");
    // compat: a list that names nobody keeps nobody out here; the last one below must name the sender.
    let lets_in = |allow: &Allow| !allow.is_configured() || allow.admits(message);
    if message.chat.is_group() {
        let settings = GroupSettings::find(account, &message.chat.id, message.chat.thread.as_deref());
        if GroupSettings::is_disabled(settings.group) {
            return Err("This group is disabled.".to_owned());
        }
        if GroupSettings::is_disabled(settings.topic) {
            return Err("This topic is disabled.".to_owned());
        }
        let (allow, is_special) = group_allow(account, &settings, &own, caps, rules);
        if is_special && !lets_in(&allow) {
            return refused();
        }
        if rules.uses_access_groups {
            match group_policy(account, rules) {
                "disabled" => return Err(format!("{} group commands are disabled.", channel.label)),
                "open" => {}
                _ if message.sender.id.is_empty() || !lets_in(&allow) => return refused(),
                _ => {}
            }
            if !is_listed_group(account, message) {
                return Err("This group is not allowed.".to_owned());
            }
        }
    }
    let allow = Allow::new(&[&own, rules.paired], caps.id_prefixes);
    let may = if rules.uses_access_groups { allow.is_configured() && allow.admits(message) } else { lets_in(&allow) };
    if may { Ok(()) } else { refused() }
}

/// Returns who may speak in a group, and whether the group or topic itself says so.
fn group_allow(
    account: &Account,
    settings: &GroupSettings<'_>,
    own: &[String],
    caps: &Capabilities,
    rules: &Rules<'_>,
) -> (Allow, bool) {
    let paired: &[String] = if caps.pairing_counts_in_groups { rules.paired } else { &[] };
    let for_groups = account.list("groupAllowFrom");
    let special = settings.get("allowFrom").map(texts);
    let list = match &special {
        Some(special) => special,
        None if for_groups.is_empty() => own,
        None => &for_groups,
    };
    (Allow::new(&[list, paired], caps.id_prefixes), special.is_some())
}

fn group_policy<'a>(account: &'a Account, rules: &Rules<'a>) -> &'a str {
    account.text("groupPolicy").or(rules.default_group_policy).unwrap_or("allowlist")
}

/// Returns whether a group is on the list, if there is one.
fn is_listed_group(account: &Account, message: &Inbound) -> bool {
    let groups = account.settings.get("groups").and_then(Value::as_object).filter(|groups| !groups.is_empty());
    groups.is_none_or(|groups| groups.contains_key(&message.chat.id) || groups.contains_key("*"))
}

/// Returns whether a sender may command: with access groups only when a list says so.
fn may_command(allow: &Allow, message: &Inbound, rules: &Rules<'_>) -> bool {
    !rules.uses_access_groups || (allow.is_configured() && allow.admits(message))
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.map(text_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::inbound::{Chat, ChatKind, Sender};
    use serde_json::json;

    const CAPS: Capabilities = Capabilities {
        chat_types: &[],
        actions: &[],
        poll_options_max: None,
        has_reactions: false,
        has_threads: false,
        has_buttons: false,
        has_media: false,
        has_native_commands: false,
        has_block_streaming: false,
        has_web_login: false,
        id_prefixes: &["telegram:", "tg:"],
        id_label: "",
        id_column: "",
        target_hint: "",
        pairing_counts_in_groups: true,
        answers_sends_itself: false,
        binds_accounts: false,
        has_voice_notes: false,
        inbound_media_mb: 5,
        restarted_by: &[],
    };

    fn message(chat: &str, sender: &str, handle: Option<&str>) -> Inbound {
        let kind = if chat.starts_with('-') { ChatKind::Group } else { ChatKind::Direct };
        Inbound {
            chat: Chat { id: chat.into(), kind, thread: Some("7".into()), ..Chat::default() },
            sender: Sender { id: sender.into(), username: handle.map(str::to_owned), ..Sender::default() },
            ..Inbound::default()
        }
    }

    fn judge_in(settings: Value, message: &Inbound, paired: &[&str], is_command: bool) -> Verdict {
        let account = Account { id: "default".into(), settings: settings.as_object().cloned().expect("object") };
        let paired: Vec<String> = paired.iter().map(|id| (*id).to_owned()).collect();
        let rules = Rules { paired: &paired, default_group_policy: None, uses_access_groups: true, is_command };
        judge(message, &account, &CAPS, &rules)
    }

    #[test]
    fn direct_messages() {
        let heard = |is_authorised| Verdict::Heard { is_authorised };
        let dm = message("42", "42", Some("Ada"));
        assert_eq!(judge_in(json!({}), &dm, &[], false), Verdict::Pairing);
        assert_eq!(judge_in(json!({}), &dm, &["42"], false), heard(true));
        assert_eq!(judge_in(json!({"allowFrom": ["TG:42"]}), &dm, &[], false), heard(true));
        assert_eq!(judge_in(json!({"allowFrom": [42]}), &dm, &[], false), heard(true));
        assert_eq!(judge_in(json!({"allowFrom": ["@ada"], "dmPolicy": "allowlist"}), &dm, &[], false), heard(true));
        assert!(matches!(judge_in(json!({"dmPolicy": "allowlist"}), &dm, &[], false), Verdict::Dropped(_)));
        assert_eq!(judge_in(json!({"dmPolicy": "open", "allowFrom": ["*"]}), &dm, &[], false), heard(true));
        assert_eq!(judge_in(json!({"dmPolicy": "open"}), &dm, &[], true), heard(false));
        assert!(matches!(
            judge_in(json!({"dmPolicy": "disabled", "allowFrom": ["*"]}), &dm, &[], false),
            Verdict::Dropped(_)
        ));
    }

    #[test]
    fn groups() {
        let heard = |is_authorised| Verdict::Heard { is_authorised };
        let group = message("-1", "42", None);
        let is_dropped = |settings| matches!(judge_in(settings, &group, &[], false), Verdict::Dropped(_));
        assert!(is_dropped(json!({})), "an empty list lets nobody in");
        assert!(is_dropped(json!({"groupAllowFrom": ["1"], "allowFrom": ["42"]})));
        assert!(is_dropped(json!({"groupPolicy": "disabled", "allowFrom": ["*"]})));
        assert!(is_dropped(json!({"groupPolicy": "open", "groups": {"-2": {}}})));
        assert!(is_dropped(json!({"groupPolicy": "open", "groups": {"-1": {"enabled": false}}})));
        assert!(is_dropped(json!({"groupPolicy": "open", "groups": {"*": {"topics": {"7": {"enabled": false}}}}})));
        assert!(is_dropped(json!({"groupPolicy": "open", "groups": {"-1": {"allowFrom": ["1"]}}})));
        assert_eq!(judge_in(json!({"allowFrom": ["42"]}), &group, &[], true), heard(true));
        assert_eq!(judge_in(json!({}), &group, &["42"], false), heard(true), "a pairing counts");
        assert_eq!(judge_in(json!({"groupPolicy": "open", "groups": {"*": {}}}), &group, &[], false), heard(false));
        assert!(
            matches!(judge_in(json!({"groupPolicy": "open"}), &group, &[], true), Verdict::Dropped(_)),
            "a command"
        );
        let topics = json!({"groupPolicy": "open", "groups": {"-1": {"topics": {"7": {"allowFrom": ["42"]}}}}});
        assert_eq!(judge_in(topics, &group, &[], true), heard(true));
    }

    #[test]
    fn commands_of_the_menu_are_answered_in_any_case() {
        const INFO: Info = Info { id: "telegram", label: "Telegram", detail_label: "", system_image: "" };
        let check = |settings: Value, chat: &str, paired: &[&str], uses_access_groups: bool| {
            let account = Account { id: "default".into(), settings: settings.as_object().cloned().expect("object") };
            let paired: Vec<String> = paired.iter().map(|it| (*it).to_owned()).collect();
            let rules = Rules { paired: &paired, default_group_policy: None, uses_access_groups, is_command: true };
            let refusal = judge_native(&message(chat, "42", None), &account, &INFO, &CAPS, &rules).err();
            refusal.unwrap_or_else(|| "may".to_owned())
        };
        for (settings, chat, paired, expected) in [
            (json!({}), "42", &[][..], NOT_AUTHORISED),
            (json!({}), "42", &["42"], "may"),
            (json!({"dmPolicy": "open"}), "42", &[], NOT_AUTHORISED),
            (json!({"dmPolicy": "disabled", "allowFrom": ["42"]}), "42", &[], "may"),
            (json!({"allowFrom": ["*"]}), "-1", &[], "may"),
            // compat: the list for groups does not make anybody a commander.
            (json!({"groupAllowFrom": ["42"]}), "-1", &[], NOT_AUTHORISED),
            (json!({"groupAllowFrom": ["1"], "allowFrom": ["42"]}), "-1", &[], NOT_AUTHORISED),
            (json!({"groupPolicy": "open", "groupAllowFrom": ["1"], "allowFrom": ["42"]}), "-1", &[], "may"),
            (json!({"allowFrom": ["42"], "groups": {"-1": {"enabled": false}}}), "-1", &[], "This group is disabled."),
            (
                json!({"allowFrom": ["42"], "groups": {"-1": {"topics": {"7": {"enabled": false}}}}}),
                "-1",
                &[],
                "This topic is disabled.",
            ),
            (json!({"allowFrom": ["42"], "groups": {"-1": {"allowFrom": ["1"]}}}), "-1", &[], NOT_AUTHORISED),
            (
                json!({"allowFrom": ["42"], "groupPolicy": "disabled"}),
                "-1",
                &[],
                "Telegram group commands are disabled.",
            ),
            (json!({"allowFrom": ["42"], "groups": {"-2": {}}}), "-1", &[], "This group is not allowed."),
        ] {
            assert_eq!(check(settings.clone(), chat, paired, true), expected, "{settings} {chat}");
        }
        // Without access groups only a list that names others keeps somebody out.
        assert_eq!(check(json!({"groupPolicy": "disabled"}), "-1", &[], false), "may");
        assert_eq!(check(json!({"allowFrom": ["1"]}), "42", &[], false), NOT_AUTHORISED);
    }
}
