//! What a changed configuration asks for: nothing, new values in place, or a restart (config.md §10).
//!
//! Pure. Not here: watching the file (`watch`) and acting on the plan (the gateway).

use std::collections::HashSet;

use serde_json::Value;

use super::types::Config;

/// `gateway.reload.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Changes wait for the next start.
    Off,
    /// Every change restarts.
    Restart,
    /// Changes are applied; those that need a restart are refused.
    Hot,
    /// Changes are applied, or restart where they must.
    Hybrid,
}

impl Mode {
    /// Returns the mode of a configuration, hybrid unless it says otherwise.
    pub fn of(config: &Config) -> Self {
        match config.gateway.reload.mode.as_deref() {
            Some("off") => Self::Off,
            Some("restart") => Self::Restart,
            Some("hot") => Self::Hot,
            _ => Self::Hybrid,
        }
    }
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing changed.
    Nothing,
    /// Reloading is switched off.
    Disabled,
    /// Put the new configuration into force.
    Apply,
    /// Restart the gateway.
    Restart,
    /// A restart is needed and mode hot forbids it.
    Refused,
}

/// The changed paths, sorted by what they ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// All of them.
    pub changed: Vec<String>,
    /// Those that need a restart.
    pub restart: Vec<String>,
    /// Those that a running part must be told of; the rest is read when it is used.
    pub hot: Vec<String>,
    /// What to do.
    pub decision: Decision,
}

/// What a change of a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    ReadAtUse,
    Hot,
    Restart,
}

/// The first entry that is the path or a parent of it decides; other paths restart.
const CLASSES: [(&str, Class); 29] = [
    // Stamped at every write of our own; a restart for it would make every such write one.
    ("meta", Class::ReadAtUse),
    ("gateway.remote", Class::ReadAtUse),
    ("gateway.reload", Class::ReadAtUse),
    ("hooks", Class::Hot),
    ("agents.defaults.heartbeat", Class::Hot),
    ("agent.heartbeat", Class::Hot),
    ("cron", Class::Hot),
    ("browser", Class::Hot),
    ("channels.telegram", Class::Hot),
    ("web", Class::Hot),
    ("channels.whatsapp", Class::ReadAtUse),
    ("identity", Class::ReadAtUse),
    ("wizard", Class::ReadAtUse),
    ("logging", Class::ReadAtUse),
    ("models", Class::ReadAtUse),
    ("agents", Class::ReadAtUse),
    ("tools", Class::ReadAtUse),
    ("bindings", Class::ReadAtUse),
    ("audio", Class::ReadAtUse),
    ("agent", Class::ReadAtUse),
    ("routing", Class::ReadAtUse),
    ("messages", Class::ReadAtUse),
    ("session", Class::ReadAtUse),
    ("talk", Class::ReadAtUse),
    ("skills", Class::ReadAtUse),
    ("plugins", Class::Restart),
    ("ui", Class::ReadAtUse),
    ("gateway", Class::Restart),
    ("discovery", Class::Restart),
];

/// Returns whether a changed path is a setting, or something below it.
pub fn covers(setting: &str, path: &str) -> bool {
    path.strip_prefix(setting).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn class_of(path: &str) -> Class {
    CLASSES.iter().find(|(prefix, _)| covers(prefix, path)).map_or(Class::Restart, |(_, class)| *class)
}

/// Compares two configurations and says what follows in `mode`.
pub fn plan(old: &Config, new: &Config, mode: Mode) -> Plan {
    let mut changed = Vec::new();
    compare("", &old.tree, &new.tree, &mut changed);
    let of_class = |class| changed.iter().filter(|path| class_of(path) == class).cloned().collect::<Vec<_>>();
    let restart = if mode == Mode::Restart { changed.clone() } else { of_class(Class::Restart) };
    let decision = match mode {
        _ if changed.is_empty() => Decision::Nothing,
        Mode::Off => Decision::Disabled,
        _ if restart.is_empty() => Decision::Apply,
        Mode::Hot => Decision::Refused,
        Mode::Restart | Mode::Hybrid => Decision::Restart,
    };
    Plan { hot: of_class(Class::Hot), changed, restart, decision }
}

/// Objects are compared key by key; for everything else the path itself has changed.
fn compare(path: &str, old: &Value, new: &Value, changed: &mut Vec<String>) {
    if old == new {
        return;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        changed.push(if path.is_empty() { "<root>".to_owned() } else { path.to_owned() });
        return;
    };
    let mut seen = HashSet::new();
    for key in old.keys().chain(new.keys()).filter(|key| seen.insert(key.as_str())) {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (old.get(key), new.get(key)) {
            (Some(old), Some(new)) => compare(&path, old, new, changed),
            _ => changed.push(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(tree: Value) -> Config {
        Config { tree, ..Config::default() }
    }

    #[test]
    fn decisions() {
        let old =
            json!({"logging": {"level": "info"}, "gateway": {"port": 1}, "bindings": [{"a": 1}], "meta": {"t": 1}});
        let with = |path: &[&str], value: Value| {
            let mut tree = old.clone();
            crate::config::tree::set(&mut tree, path, value).expect("set");
            tree
        };
        for (new, mode, changed, decision) in [
            (old.clone(), Mode::Restart, vec![], Decision::Nothing),
            (with(&["logging", "level"], json!("warn")), Mode::Hybrid, vec!["logging.level"], Decision::Apply),
            (with(&["logging", "level"], json!("warn")), Mode::Restart, vec!["logging.level"], Decision::Restart),
            (with(&["logging", "level"], json!("warn")), Mode::Off, vec!["logging.level"], Decision::Disabled),
            (with(&["meta", "t"], json!(2)), Mode::Hybrid, vec!["meta.t"], Decision::Apply),
            (with(&["gateway", "port"], json!(2)), Mode::Hybrid, vec!["gateway.port"], Decision::Restart),
            (with(&["gateway", "port"], json!(2)), Mode::Hot, vec!["gateway.port"], Decision::Refused),
            (with(&["gateway", "reload"], json!({})), Mode::Hot, vec!["gateway.reload"], Decision::Apply),
            (with(&["bindings", "0", "a"], json!(2)), Mode::Hybrid, vec!["bindings"], Decision::Apply),
            (with(&["env"], json!({})), Mode::Hybrid, vec!["env"], Decision::Restart),
            (json!(1), Mode::Hybrid, vec!["<root>"], Decision::Restart),
        ] {
            let plan = plan(&config(old.clone()), &config(new), mode);
            assert_eq!((plan.changed, plan.decision), (changed.into_iter().map(String::from).collect(), decision));
        }
    }

    #[test]
    fn classes() {
        for (path, class) in [
            ("agents.defaults.heartbeat.every", Class::Hot),
            ("agents.defaults.heartbeats", Class::ReadAtUse),
            ("channels.telegram.botToken", Class::Hot),
            ("channels.whatsapp", Class::ReadAtUse),
            ("channels.discord", Class::Restart),
            ("gatewayx", Class::Restart),
        ] {
            assert_eq!(class_of(path), class, "{path}");
        }
    }
}
