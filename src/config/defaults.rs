//! Defaults that become part of the effective configuration (config.md §5); all others are applied where they are used.
//!
//! Pure functions on a tree that has passed `keys`. One reader serves running code and `config.get` alike, so the
//! defaults are those of running code.

use serde_json::{Map, Value, json};

use super::tree::{get, object_mut};

/// Reads an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Short names of models, and the models they stand for.
pub const MODEL_ALIASES: [(&str, &str); 6] = [
    ("opus", "anthropic/claude-opus-4-5"),
    ("sonnet", "anthropic/claude-sonnet-4-5"),
    ("gpt", "openai/gpt-5.2"),
    ("gpt-mini", "openai/gpt-5-mini"),
    ("gemini", "google/gemini-3-pro-preview"),
    ("gemini-flash", "google/gemini-3-flash-preview"),
];

const CONTEXT_WINDOW: u64 = 200_000;
const MAX_TOKENS: u64 = 8192;

/// Applies every default for a file that exists.
pub fn apply(tree: &mut Value, env: Env) {
    apply_written(tree);
    messages(tree);
    logging(tree);
    anthropic(tree, env);
    compaction(tree);
}

/// Applies the defaults of a file that does not exist.
pub fn apply_missing(tree: &mut Value) {
    agents(tree);
    messages(tree);
    compaction(tree);
}

/// Applies the defaults that also stand in a file the gateway writes for a client.
pub fn apply_written(tree: &mut Value) {
    session(tree);
    agents(tree);
    models(tree);
    aliases(tree);
}

/// Inserts a value at a path unless something is there.
fn default_at(tree: &mut Value, path: &[&str], key: &str, value: impl Into<Value>) {
    object_mut(tree, path).entry(key).or_insert_with(|| value.into());
}

fn messages(tree: &mut Value) {
    default_at(tree, &["messages"], "ackReactionScope", "group-mentions");
}

fn logging(tree: &mut Value) {
    if tree.get("logging").is_some() {
        default_at(tree, &["logging"], "redactSensitive", "tools");
    }
}

fn agents(tree: &mut Value) {
    default_at(tree, &["agents", "defaults"], "maxConcurrent", 4);
    default_at(tree, &["agents", "defaults", "subagents"], "maxConcurrent", 8);
}

fn compaction(tree: &mut Value) {
    default_at(tree, &["agents", "defaults", "compaction"], "mode", "safeguard");
}

fn session(tree: &mut Value) {
    if let Some(key) = tree.get_mut("session").and_then(|session| session.get_mut("mainKey")) {
        *key = Value::from("main");
    }
}

fn models(tree: &mut Value) {
    let Some(Value::Object(providers)) = tree.get_mut("models").and_then(|models| models.get_mut("providers")) else {
        return;
    };
    for provider in providers.values_mut() {
        let Some(Value::Array(models)) = provider.get_mut("models") else { continue };
        for model in models.iter_mut().filter_map(Value::as_object_mut) {
            model.entry("reasoning").or_insert(Value::Bool(false));
            model.entry("input").or_insert_with(|| json!(["text"]));
            if let Value::Object(cost) = model.entry("cost").or_insert_with(|| Value::Object(Map::new())) {
                for key in ["input", "output", "cacheRead", "cacheWrite"] {
                    cost.entry(key).or_insert_with(|| Value::from(0));
                }
            }
            let window = model.entry("contextWindow").or_insert_with(|| Value::from(CONTEXT_WINDOW)).clone();
            let smaller = if window.as_f64().is_some_and(|tokens| tokens < MAX_TOKENS as f64) {
                window
            } else {
                MAX_TOKENS.into()
            };
            model.entry("maxTokens").or_insert(smaller);
        }
    }
}

fn aliases(tree: &mut Value) {
    for (alias, target) in MODEL_ALIASES {
        let entry = ["agents", "defaults", "models", target]
            .into_iter()
            .try_fold(&mut *tree, |value, key| value.get_mut(key))
            .and_then(Value::as_object_mut);
        if let Some(entry) = entry {
            entry.entry("alias").or_insert_with(|| Value::from(alias));
        }
    }
}

/// How Anthropic is paid for, which decides how long its cache is worth keeping warm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Anthropic {
    ApiKey,
    Subscription,
}

impl Anthropic {
    fn find(tree: &Value, env: Env) -> Option<Self> {
        let none = Map::new();
        let profiles = get(tree, &["auth", "profiles"]).and_then(Value::as_object).unwrap_or(&none);
        let of = |profile: &Value| {
            let mode = profile.get("mode")?.as_str()?;
            (profile.get("provider")?.as_str()? == "anthropic").then_some(match mode {
                "api_key" => Self::ApiKey,
                _ => Self::Subscription,
            })
        };
        let order = get(tree, &["auth", "order", "anthropic"]).and_then(Value::as_array);
        let ordered = order.into_iter().flatten().find_map(|id| of(profiles.get(id.as_str()?)?));
        let mut kinds: Vec<_> = profiles.values().filter_map(of).collect();
        kinds.dedup();
        let set = |name: &str| env(name).is_some_and(|value| !value.trim().is_empty());
        ordered
            .or_else(|| kinds.first().copied().filter(|kind| kinds.iter().all(|other| other == kind)))
            .or_else(|| set("ANTHROPIC_OAUTH_TOKEN").then_some(Self::Subscription))
            .or_else(|| set("ANTHROPIC_API_KEY").then_some(Self::ApiKey))
    }
}

fn anthropic(tree: &mut Value, env: Env) {
    let Some(kind) = Anthropic::find(tree, env) else { return };
    let pruning = object_mut(tree, &["agents", "defaults", "contextPruning"]);
    if !pruning.contains_key("mode") {
        pruning.insert("mode".to_owned(), Value::from("cache-ttl"));
        pruning.entry("ttl").or_insert_with(|| Value::from("1h"));
    }
    let every = if kind == Anthropic::ApiKey { "30m" } else { "1h" };
    default_at(tree, &["agents", "defaults", "heartbeat"], "every", every);
    if kind == Anthropic::ApiKey {
        cache_ttl(tree);
    }
}

fn cache_ttl(tree: &mut Value) {
    let defaults = ["agents", "defaults"];
    let models = get(tree, &["agents", "defaults", "models"]).and_then(Value::as_object);
    let listed = models.into_iter().flatten().map(|(name, _)| name.clone());
    let mut names: Vec<String> = listed.filter(|name| anthropic_model(name).is_some()).collect();
    let primary =
        get(tree, &["agents", "defaults", "model", "primary"]).and_then(Value::as_str).unwrap_or_default().trim();
    let alias = MODEL_ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(primary));
    names.extend(anthropic_model(alias.map_or(primary, |(_, target)| target)));
    for name in names {
        default_at(tree, &[defaults[0], defaults[1], "models", &name, "params"], "cacheControlTtl", "1h");
    }
}

/// Returns `anthropic/<model>` when the name means such a model; a name without provider does.
fn anthropic_model(name: &str) -> Option<String> {
    let (provider, model) = name.split_once('/').unwrap_or(("anthropic", name));
    (provider.trim().eq_ignore_ascii_case("anthropic") && !model.trim().is_empty())
        .then(|| format!("anthropic/{}", model.trim()))
}

/// Expands `~` in strings whose key says that they are paths.
pub fn expand_paths(tree: &mut Value, expand: &dyn Fn(&str) -> String) {
    expand_below(tree, "", expand);
}

fn expand_below(value: &mut Value, key: &str, expand: &dyn Fn(&str) -> String) {
    let is_list = matches!(key, "paths" | "pathPrepend");
    let lower = key.to_ascii_lowercase();
    let is_path = ["dir", "path", "paths", "file", "root", "workspace"].iter().any(|end| lower.ends_with(end));
    match value {
        Value::String(text) if is_list || is_path => {
            let trimmed = text.trim();
            if trimmed == "~" || trimmed.starts_with("~/") {
                *text = expand(trimmed);
            }
        }
        Value::Array(items) => {
            for item in items {
                let key = if item.is_string() && is_list { key } else { "" };
                expand_below(item, key, expand);
            }
        }
        Value::Object(object) => {
            for (key, value) in object {
                expand_below(value, key, expand);
            }
        }
        _ => {}
    }
}

/// Gives accounts of channels what their channel says where only a default of the table stands: an account that says nothing
/// means what its channel says. `written`: `channels` before the defaults.
// compat: in the original the default hides the channel's word.
pub fn inherit_by_accounts(written: &Value, tree: &mut Value) {
    let channels = tree.get_mut("channels").and_then(Value::as_object_mut).into_iter().flatten();
    for (channel, section) in channels {
        let Some(section) = section.as_object_mut() else { continue };
        let said: Vec<(String, Value)> = written[channel.as_str()]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(key, _)| Some((key.clone(), section.get(key)?.clone())))
            .collect();
        let accounts = section.get_mut("accounts").and_then(Value::as_object_mut).into_iter().flatten();
        for (id, account) in accounts {
            let Some(account) = account.as_object_mut() else { continue };
            let own = &written[channel.as_str()]["accounts"][id.as_str()];
            for (key, value) in &said {
                if own.get(key).is_none() && account.contains_key(key) {
                    account.insert(key.clone(), value.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_added_where_nothing_stands() {
        let mut tree = json!({
            "logging": {}, "session": {"mainKey": "x"},
            "models": {"providers": {"p": {"models": [{"id": "m", "contextWindow": 4000}]}}},
            "agents": {"defaults": {"maxConcurrent": 1, "models": {"openai/gpt-5.2": {}, "google/gemini-3-pro-preview": {"alias": "g"}}}},
        });
        apply(&mut tree, &|_| None);
        assert_eq!(tree["logging"]["redactSensitive"], "tools");
        assert_eq!(tree["session"]["mainKey"], "main");
        let model = &tree["models"]["providers"]["p"]["models"][0];
        assert_eq!((&model["maxTokens"], &model["cost"]["cacheRead"]), (&json!(4000), &json!(0)));
        let defaults = &tree["agents"]["defaults"];
        assert_eq!((&defaults["maxConcurrent"], &defaults["subagents"]["maxConcurrent"]), (&json!(1), &json!(8)));
        assert_eq!(defaults["models"]["openai/gpt-5.2"]["alias"], "gpt");
        assert_eq!(defaults["models"]["google/gemini-3-pro-preview"]["alias"], "g");
        assert!(defaults.get("contextPruning").is_none());
    }

    #[test]
    fn anthropic_credentials_bring_their_own() {
        for (tree, var, every, ttl) in [
            (json!({"agents": {"defaults": {"model": {"primary": "opus"}}}}), "ANTHROPIC_API_KEY", "30m", Some("1h")),
            (json!({}), "ANTHROPIC_OAUTH_TOKEN", "1h", None),
            (
                json!({"auth": {"profiles": {"a": {"provider": "anthropic", "mode": "token"}}}}),
                "ANTHROPIC_API_KEY",
                "1h",
                None,
            ),
        ] {
            let mut tree = tree;
            apply(&mut tree, &|name| (name == var).then(|| "x".to_owned()));
            let defaults = &tree["agents"]["defaults"];
            assert_eq!(defaults["heartbeat"]["every"], every);
            assert_eq!(defaults["contextPruning"], json!({"mode": "cache-ttl", "ttl": "1h"}));
            assert_eq!(defaults["models"]["anthropic/claude-opus-4-5"]["params"]["cacheControlTtl"].as_str(), ttl);
        }
    }

    #[test]
    fn home_is_expanded_in_paths() {
        let mut tree = json!({"workspace": "~/w", "logFile": " ~/l ", "name": "~/n", "paths": ["~/p", {"x": "~/x"}], "b": ["~/b"], "path": "~u"});
        expand_paths(&mut tree, &|text| text.replace('~', "/h"));
        assert_eq!(
            tree,
            json!({"workspace": "/h/w", "logFile": "/h/l", "name": "~/n", "paths": ["/h/p", {"x": "~/x"}], "b": ["~/b"], "path": "~u"})
        );
    }

    #[test]
    fn accounts_mean_what_their_channel_says() {
        let written = json!({"telegram": {"dmPolicy": "open", "groupPolicy": "disabled",
            "accounts": {"a": {}, "b": {"dmPolicy": "pairing"}}}});
        let filled = |policy: &str| json!({"dmPolicy": policy, "groupPolicy": "allowlist", "streamMode": "partial"});
        let mut tree = json!({"channels": {"telegram": {"dmPolicy": "open", "groupPolicy": "disabled", "streamMode": "partial",
            "accounts": {"a": filled("pairing"), "b": filled("pairing")}}}});
        inherit_by_accounts(&written, &mut tree);
        let accounts = &tree["channels"]["telegram"]["accounts"];
        let shown = |id: &str| (accounts[id]["dmPolicy"].clone(), accounts[id]["groupPolicy"].clone());
        assert_eq!(shown("a"), (json!("open"), json!("disabled")));
        assert_eq!(shown("b"), (json!("pairing"), json!("disabled")));
        inherit_by_accounts(&Value::Null, &mut json!({}));
    }
}
