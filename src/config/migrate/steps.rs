//! The steps of a migration, in their order; later ones rely on what earlier ones moved (config.md §7).
//!
//! A step without its source does nothing. Where source and target both stand, the target wins unless said otherwise.

use serde_json::{Map, Value, json};

use crate::base::text::text_of;
use crate::config::tree::{get, merge_missing, object_mut, set, unset};

type Changes = Vec<String>;

/// One step: changes the tree and says what it changed.
pub type Step = fn(&mut Value, &mut Changes);

/// All steps in order.
pub const STEPS: [Step; 21] = [
    bindings_channel,
    bindings_account,
    send_policy_channel,
    queue_by_channel,
    channel_sections,
    routing_allow_from,
    routing_require_mention,
    gateway_token,
    telegram_require_mention,
    agent_models,
    routing_agents,
    routing_default_agent,
    routing_rest,
    routing_transcription,
    audio_transcription,
    empty_routing,
    claude_cli_mode,
    tools_bash,
    tts_enabled,
    agent_defaults,
    identity,
];

const CHANNELS: [&str; 7] = ["whatsapp", "telegram", "discord", "slack", "signal", "imessage", "msteams"];

/// Moves one value; an existing target wins and the source is only removed.
fn relocate(tree: &mut Value, from: &[&str], to: &[&str], changes: &mut Changes) {
    if let Some(value) = take(tree, from) {
        place(tree, value, &from.join("."), to, changes);
    }
}

/// Puts a value that was taken from `from` at `to`, unless something stands there.
fn place(tree: &mut Value, value: Value, from: &str, to: &[&str], changes: &mut Changes) {
    let name = to.join(".");
    match to {
        [parents @ .., last] if get(tree, to).is_none() => {
            object_mut(tree, parents).insert((*last).to_owned(), value);
            changes.push(format!("Moved {from} → {name}."));
        }
        _ => changes.push(format!("Removed {from} ({name} already set).")),
    }
}

fn take(tree: &mut Value, path: &[&str]) -> Option<Value> {
    let value = get(tree, path).cloned();
    unset(tree, path);
    value
}

/// Takes an object; anything else stays where it is.
fn take_object(tree: &mut Value, path: &[&str]) -> Option<Map<String, Value>> {
    match get(tree, path)?.is_object().then(|| take(tree, path))?? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn list_mut<'a>(tree: &'a mut Value, path: &[&str]) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    let list = path.iter().try_fold(tree, |value, key| value.get_mut(*key)).and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

fn trimmed(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default().trim()
}

/// Renames `match.provider` to `match.channel` in every item of a list.
fn rename_provider(tree: &mut Value, path: &[&str], changes: &mut Changes, line: &str) {
    let mut touched = false;
    for found in list_mut(tree, path).filter_map(|item| item.get_mut("match")).filter_map(Value::as_object_mut) {
        let provider = trimmed(found.get("provider")).to_owned();
        if !provider.is_empty() && trimmed(found.get("channel")).is_empty() {
            found.shift_remove("provider");
            found.insert("channel".to_owned(), Value::from(provider));
            touched = true;
        }
    }
    if touched {
        changes.push(line.to_owned());
    }
}

fn bindings_channel(tree: &mut Value, changes: &mut Changes) {
    rename_provider(tree, &["bindings"], changes, "Moved bindings[].match.provider → bindings[].match.channel.");
}

fn bindings_account(tree: &mut Value, changes: &mut Changes) {
    let mut touched = false;
    for found in list_mut(tree, &["bindings"]).filter_map(|item| item.get_mut("match")).filter_map(Value::as_object_mut)
    {
        let account = match found.get("accountID") {
            Some(Value::String(text)) => Value::from(text.trim()),
            Some(other) => other.clone(),
            None => continue,
        };
        let empty = matches!(account, Value::Null | Value::Bool(false)) || account == "" || account == 0;
        if !empty && !found.contains_key("accountId") {
            found.shift_remove("accountID");
            found.insert("accountId".to_owned(), account);
            touched = true;
        }
    }
    if touched {
        changes.push("Moved bindings[].match.accountID → bindings[].match.accountId.".to_owned());
    }
}

fn send_policy_channel(tree: &mut Value, changes: &mut Changes) {
    let line = "Moved session.sendPolicy.rules[].match.provider → match.channel.";
    rename_provider(tree, &["session", "sendPolicy", "rules"], changes, line);
}

fn queue_by_channel(tree: &mut Value, changes: &mut Changes) {
    relocate(tree, &["messages", "queue", "byProvider"], &["messages", "queue", "byChannel"], changes);
}

fn channel_sections(tree: &mut Value, changes: &mut Changes) {
    for id in CHANNELS {
        let Some(old) = take_object(tree, &[id]) else { continue };
        let new = object_mut(tree, &["channels", id]);
        let verb = if new.is_empty() { "Moved" } else { "Merged" };
        merge_missing(new, old);
        changes.push(format!("{verb} {id} → channels.{id}."));
    }
}

fn routing_allow_from(tree: &mut Value, changes: &mut Changes) {
    if get(tree, &["channels", "whatsapp"]).is_some_and(Value::is_object) {
        relocate(tree, &["routing", "allowFrom"], &["channels", "whatsapp", "allowFrom"], changes);
    } else if take(tree, &["routing", "allowFrom"]).is_some() {
        changes.push("Removed routing.allowFrom (channels.whatsapp not configured).".to_owned());
    }
    empty_routing(tree, changes);
}

fn routing_require_mention(tree: &mut Value, changes: &mut Changes) {
    let Some(value) = take(tree, &["routing", "groupChat", "requireMention"]) else { return };
    for id in ["whatsapp", "telegram", "imessage"] {
        if id == "whatsapp" && !get(tree, &["channels", id]).is_some_and(Value::is_object) {
            continue;
        }
        mention(tree, value.clone(), "routing.groupChat.requireMention", id, changes);
    }
    empty_routing(tree, changes);
}

fn mention(tree: &mut Value, value: Value, from: &str, channel: &str, changes: &mut Changes) {
    let everywhere = object_mut(tree, &["channels", channel, "groups", "*"]);
    let to = format!("channels.{channel}.groups.\"*\"");
    if everywhere.contains_key("requireMention") {
        changes.push(format!("Removed {from} ({to} already set)."));
    } else {
        everywhere.insert("requireMention".to_owned(), value);
        changes.push(format!("Moved {from} → {to}.requireMention."));
    }
}

fn gateway_token(tree: &mut Value, changes: &mut Changes) {
    let fresh = get(tree, &["gateway", "auth", "token"]).is_none() && get(tree, &["gateway", "token"]).is_some();
    relocate(tree, &["gateway", "token"], &["gateway", "auth", "token"], changes);
    if fresh {
        object_mut(tree, &["gateway", "auth"]).entry("mode").or_insert_with(|| Value::from("token"));
    }
}

fn telegram_require_mention(tree: &mut Value, changes: &mut Changes) {
    if let Some(value) = take(tree, &["channels", "telegram", "requireMention"]) {
        mention(tree, value, "telegram.requireMention", "telegram", changes);
    }
}

fn agent_models(tree: &mut Value, changes: &mut Changes) {
    let label = if tree.get("agent").is_some_and(Value::is_object) { "agent" } else { "agents.defaults" };
    let path: Vec<_> = label.split('.').collect();
    if !get(tree, &path).is_some_and(Value::is_object) {
        return;
    }
    let agent = object_mut(tree, &path);
    let mut say = |from: &str, to: &str| changes.push(format!("Migrated {label}.{from} → {label}.{to}."));
    let mut named: Vec<String> = Vec::new();
    for (key, fallbacks_key) in [("model", "modelFallbacks"), ("imageModel", "imageModelFallbacks")] {
        let plain = agent.get(key).and_then(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned);
        let fallbacks = take_texts(agent, fallbacks_key);
        if plain.is_some() {
            say(&format!("{key} string"), &format!("{key}.primary"));
        }
        if !fallbacks.is_empty() {
            say(fallbacks_key, &format!("{key}.fallbacks"));
        }
        named.extend(plain.iter().chain(&fallbacks).cloned());
        if plain.is_some() || !fallbacks.is_empty() {
            join_model(agent.entry(key).or_insert(Value::Null), plain, fallbacks);
        }
    }
    let allowed = take_texts(agent, "allowedModels");
    if !allowed.is_empty() {
        say("allowedModels", "models");
    }
    named.extend(allowed);
    let aliases = match agent.shift_remove("modelAliases") {
        Some(Value::Object(aliases)) if !aliases.is_empty() => aliases,
        _ => Map::new(),
    };
    if !aliases.is_empty() {
        say("modelAliases", "models.*.alias");
    }
    name_models(agent, named, &aliases);
}

/// Removes a list and returns its texts.
fn take_texts(object: &mut Map<String, Value>, key: &str) -> Vec<String> {
    match object.shift_remove(key) {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Makes `{primary, fallbacks}` of a plain name and loose fallbacks.
fn join_model(slot: &mut Value, plain: Option<String>, fallbacks: Vec<String>) {
    if let Value::Object(model) = slot {
        let none = model.get("fallbacks").and_then(Value::as_array).is_none_or(Vec::is_empty);
        if none {
            model.insert("fallbacks".to_owned(), json!(fallbacks));
        }
        return;
    }
    let mut model = Map::new();
    if let Some(plain) = plain {
        model.insert("primary".to_owned(), Value::from(plain));
    }
    model.insert("fallbacks".to_owned(), json!(fallbacks));
    *slot = Value::Object(model);
}

/// Gives every named model an entry, and the aliased ones their alias unless they have one.
fn name_models(agent: &mut Map<String, Value>, named: Vec<String>, aliases: &Map<String, Value>) {
    if named.is_empty() && aliases.is_empty() {
        return;
    }
    let slot = agent.entry("models").or_insert(Value::Null);
    for name in named.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        object_mut(slot, &[name]);
    }
    for (alias, target) in aliases {
        let target = trimmed(Some(target));
        if !target.is_empty() {
            object_mut(slot, &[target]).entry("alias").or_insert_with(|| Value::from(alias.as_str()));
        }
    }
}

/// Returns the entry of `agents.list` with that id, made at the end where it is missing.
fn agent_entry<'a>(tree: &'a mut Value, id: &str) -> &'a mut Value {
    let slot = object_mut(tree, &["agents"]).entry("list").or_insert_with(|| json!([]));
    if !slot.is_array() {
        *slot = json!([]);
    }
    let list = match slot {
        Value::Array(list) => list,
        _ => unreachable!("just made a list"),
    };
    let index = list.iter().position(|entry| trimmed(entry.get("id")) == id).unwrap_or_else(|| {
        list.push(json!({ "id": id }));
        list.len() - 1
    });
    &mut list[index]
}

fn routing_agents(tree: &mut Value, changes: &mut Changes) {
    let Some(agents) = take_object(tree, &["routing", "agents"]) else { return };
    for (id, old) in agents {
        let id = id.trim();
        if id.is_empty() || !old.is_object() {
            continue;
        }
        let mut old = old;
        let new = agent_entry(tree, id);
        let from = format!("routing.agents.{id}");
        let to = format!("agents.list (id \"{id}\")");
        if let Some(patterns) = take(&mut old, &["mentionPatterns"]) {
            let group = object_mut(new, &["groupChat"]);
            if group.contains_key("mentionPatterns") {
                changes.push(format!(
                    "Removed {from}.mentionPatterns (agents.list groupChat mentionPatterns already set)."
                ));
            } else {
                group.insert("mentionPatterns".to_owned(), patterns);
                changes.push(format!("Moved {from}.mentionPatterns → {to}.groupChat.mentionPatterns."));
            }
        }
        if let Some(tools) = take_object(&mut old, &["sandbox", "tools"]) {
            merge_missing(object_mut(new, &["tools", "sandbox", "tools"]), tools);
            changes.push(format!("Moved {from}.sandbox.tools → {to}.tools.sandbox.tools."));
        }
        if let Value::Object(old) = old {
            merge_missing(object_mut(new, &[]), old);
        }
    }
    changes.push("Moved routing.agents → agents.list.".to_owned());
    empty_routing(tree, changes);
}

fn routing_default_agent(tree: &mut Value, changes: &mut Changes) {
    let id = trimmed(get(tree, &["routing", "defaultAgentId"])).to_owned();
    if id.is_empty() {
        return;
    }
    unset(tree, &["routing", "defaultAgentId"]);
    if list_mut(tree, &["agents", "list"]).any(|entry| entry.get("default") == Some(&Value::Bool(true))) {
        changes.push("Removed routing.defaultAgentId (agents.list default already set).".to_owned());
    } else {
        object_mut(agent_entry(tree, &id), &[]).insert("default".to_owned(), Value::Bool(true));
        changes.push(format!("Moved routing.defaultAgentId → agents.list (id \"{id}\").default."));
    }
    empty_routing(tree, changes);
}

fn routing_rest(tree: &mut Value, changes: &mut Changes) {
    for (from, to) in [
        (&["routing", "bindings"][..], &["bindings"][..]),
        (&["routing", "agentToAgent"], &["tools", "agentToAgent"]),
        (&["routing", "queue"], &["messages", "queue"]),
        (&["routing", "groupChat", "historyLimit"], &["messages", "groupChat", "historyLimit"]),
        (&["routing", "groupChat", "mentionPatterns"], &["messages", "groupChat", "mentionPatterns"]),
    ] {
        relocate(tree, from, to, changes);
    }
}

fn routing_transcription(tree: &mut Value, changes: &mut Changes) {
    transcription(tree, &["routing", "transcribeAudio"], changes);
}

fn audio_transcription(tree: &mut Value, changes: &mut Changes) {
    // compat: only a file that also has a `routing` section is old enough for this.
    if tree.get("routing").is_some_and(Value::is_object) {
        let before = changes.len();
        transcription(tree, &["audio", "transcription"], changes);
        if changes.len() > before {
            drop_empty(tree, &["audio"]);
        }
    }
}

fn transcription(tree: &mut Value, path: &[&str], changes: &mut Changes) {
    let Some(old) = take(tree, path) else { return };
    let from = path.join(".");
    let Some(model) = cli_model(&old) else {
        changes.push(format!("Removed {from} (unsupported transcription CLI)."));
        return;
    };
    let audio = object_mut(tree, &["tools", "media", "audio"]);
    if audio.get("models").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        audio.insert("enabled".to_owned(), Value::Bool(true));
        audio.insert("models".to_owned(), json!([model]));
        changes.push(format!("Moved {from} → tools.media.audio.models."));
    } else {
        changes.push(format!("Removed {from} (tools.media.audio.models already set)."));
    }
}

/// Returns the media model that runs an old transcription command; only `whisper` is supported.
fn cli_model(old: &Value) -> Option<Value> {
    let [program, args @ ..] = old.get("command")?.as_array()?.as_slice() else { return None };
    let program = program.as_str()?.trim();
    (program.rsplit(['/', '\\']).next() == Some("whisper")).then_some(())?;
    let mut model = json!({"command": program, "type": "cli"});
    let fields = object_mut(&mut model, &[]);
    if !args.is_empty() {
        let text = |arg: &Value| text_of(arg);
        fields.insert("args".to_owned(), args.iter().map(text).collect());
    }
    if let Some(seconds) = old.get("timeoutSeconds").filter(|seconds| seconds.is_number()) {
        fields.insert("timeoutSeconds".to_owned(), seconds.clone());
    }
    Some(model)
}

fn drop_empty(tree: &mut Value, path: &[&str]) {
    if get(tree, path).and_then(Value::as_object).is_some_and(Map::is_empty) {
        unset(tree, path);
    }
}

/// An empty section is gone for the steps that ask for it.
fn empty_routing(tree: &mut Value, _changes: &mut Changes) {
    drop_empty(tree, &["routing", "groupChat"]);
    drop_empty(tree, &["routing"]);
}

fn claude_cli_mode(tree: &mut Value, changes: &mut Changes) {
    let path = ["auth", "profiles", "anthropic:claude-cli", "mode"];
    if get(tree, &path).is_some_and(|mode| mode == "token") && set(tree, &path, Value::from("oauth")).is_ok() {
        changes.push("Updated auth.profiles[\"anthropic:claude-cli\"].mode → \"oauth\".".to_owned());
    }
}

fn tools_bash(tree: &mut Value, changes: &mut Changes) {
    if get(tree, &["tools", "bash"]).is_some_and(Value::is_object) {
        relocate(tree, &["tools", "bash"], &["tools", "exec"], changes);
    }
}

fn tts_enabled(tree: &mut Value, changes: &mut Changes) {
    let Some(enabled) = get(tree, &["messages", "tts", "enabled"]).cloned() else { return };
    let has_auto = get(tree, &["messages", "tts", "auto"]).is_some();
    match enabled {
        _ if has_auto => changes.push("Removed messages.tts.enabled (messages.tts.auto already set).".to_owned()),
        Value::Bool(enabled) => {
            let auto = if enabled { "always" } else { "off" };
            object_mut(tree, &["messages", "tts"]).insert("auto".to_owned(), Value::from(auto));
            changes.push(format!("Moved messages.tts.enabled → messages.tts.auto ({auto})."));
        }
        _ => return,
    }
    unset(tree, &["messages", "tts", "enabled"]);
}

fn agent_defaults(tree: &mut Value, changes: &mut Changes) {
    if !tree.get("agent").is_some_and(Value::is_object) {
        return;
    }
    for key in ["allow", "deny"] {
        // compat: a list that loses against an existing one goes without a word.
        if get(tree, &["tools", key]).is_none() {
            relocate(tree, &["agent", "tools", key], &["tools", key], changes);
        }
    }
    for (from, to) in [("elevated", "elevated"), ("bash", "exec")] {
        if get(tree, &["agent", from]).is_some_and(Value::is_object) {
            relocate(tree, &["agent", from], &["tools", to], changes);
        }
    }
    for key in ["sandbox", "subagents"] {
        if let Some(tools) = take_object(tree, &["agent", key, "tools"]) {
            merge_missing(object_mut(tree, &["tools", key, "tools"]), tools);
            changes.push(format!("Moved agent.{key}.tools → tools.{key}.tools."));
        }
    }
    let Some(mut agent) = take_object(tree, &["agent"]) else { return };
    for key in ["tools", "elevated", "bash"] {
        agent.shift_remove(key);
    }
    merge_missing(object_mut(tree, &["agents", "defaults"]), agent);
    changes.push("Moved agent → agents.defaults.".to_owned());
}

fn identity(tree: &mut Value, changes: &mut Changes) {
    let Some(identity) = take_object(tree, &["identity"]) else { return };
    let id = default_agent(tree);
    let entry = object_mut(agent_entry(tree, &id), &[]);
    if entry.contains_key("identity") {
        changes.push("Removed identity (agents.list identity already set).".to_owned());
    } else {
        entry.insert("identity".to_owned(), Value::Object(identity));
        changes.push(format!("Moved identity → agents.list (id \"{id}\").identity."));
    }
}

/// The entry marked as default, else the first, else `main`.
fn default_agent(tree: &mut Value) -> String {
    let named: Vec<_> =
        list_mut(tree, &["agents", "list"]).filter(|entry| !trimmed(entry.get("id")).is_empty()).collect();
    let marked = named.iter().find(|entry| entry.get("default") == Some(&Value::Bool(true)));
    let found = marked.or(named.first()).map(|entry| trimmed(entry.get("id")).to_owned());
    found.unwrap_or_else(|| "main".to_owned())
}
