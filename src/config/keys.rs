//! Which keys the configuration accepts, with which values (config.md §6, §12).
//!
//! The keys stand in `keys/table.txt`; `notation` reads that table once, `check` walks a tree along it, `rules`
//! are the few conditions over several keys. [`check`](fn@check) is the way in. `schema` and `hints` describe the keys to
//! clients that show a form. Not here: conditions that need the file system or other agents (`load`).

pub mod check;
pub mod hints;
pub mod notation;
pub mod rules;
pub mod schema;

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use check::Found;
use notation::Shape;

const TABLE: &str = include_str!("keys/table.txt");

/// Returns the shape of the whole configuration.
pub fn root() -> &'static Shape {
    static ROOT: OnceLock<Arc<Shape>> = OnceLock::new();
    ROOT.get_or_init(|| {
        notation::parse(TABLE).unwrap_or_else(|error| {
            // A unit test parses the table, so this is never reached; everything would then be accepted.
            log::error!(target: "config", "table of keys is broken: {error}");
            Arc::new(Shape::Any)
        })
    })
}

/// Checks a tree, inserts the defaults of the table and drops the keys it drops; returns everything that is wrong.
pub fn check(tree: &mut Value) -> Vec<Found> {
    check::check(root(), tree)
}

/// Takes the keys away that nobody knows; returns their paths as the file would name them.
pub fn strip_unknown(tree: &mut Value) -> Vec<String> {
    let unknown: Vec<Vec<String>> = check(&mut tree.clone()).into_iter().flat_map(|found| found.unknown).collect();
    unknown.into_iter().filter(|path| super::tree::unset(tree, path)).map(|path| path.join(".")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_is_well_formed() {
        notation::parse(TABLE).expect("table");
    }

    /// Checks a tree against `path: message` lines.
    #[track_caller]
    fn expect(mut tree: Value, lines: &[&str]) {
        let found: Vec<_> =
            check(&mut tree).into_iter().map(|found| format!("{}: {}", found.path, found.message)).collect();
        assert_eq!(found, lines, "{tree}");
    }

    #[test]
    fn unknown_keys() {
        expect(json!({"gateway": {"foo": 1}}), &["gateway: Unrecognized key: \"foo\""]);
        expect(
            json!({"x": 1, "logging": {"a": 1, "b": 2}}),
            &["logging: Unrecognized keys: \"a\", \"b\"", ": Unrecognized key: \"x\""],
        );
        expect(
            json!({"env": {"A": 1}, "broadcast": {"p": "x"}}),
            &[
                "env.A: Invalid input: expected string, received number",
                "broadcast.p: Invalid input: expected array, received string",
            ],
        );
    }

    #[test]
    fn wrong_values() {
        for (tree, line) in [
            (json!({"gateway": {"port": "x"}}), "gateway.port: Invalid input: expected number, received string"),
            (json!({"gateway": {"port": 1.5}}), "gateway.port: Invalid input: expected int, received number"),
            (json!({"gateway": {"port": 0}}), "gateway.port: Too small: expected number to be >0"),
            (json!({"gateway": {"port": 1e16}}), "gateway.port: Too big: expected int to be <=9007199254740991"),
            (json!({"gateway": {"port": null}}), "gateway.port: Invalid input: expected number, received null"),
            (json!({"gateway": {"mode": "x"}}), "gateway.mode: Invalid input"),
            (json!({"gateway": []}), "gateway: Invalid input: expected object, received array"),
            (json!([]), ": Invalid input: expected object, received array"),
            (json!({"ui": {"seamColor": "red"}}), "ui.seamColor: expected hex color (RRGGBB)"),
            (
                json!({"ui": {"assistant": {"name": "a".repeat(51)}}}),
                "ui.assistant.name: Too big: expected string to have <=50 characters",
            ),
            (
                json!({"tools": {"exec": {"ask": "x"}}}),
                "tools.exec.ask: Invalid option: expected one of \"off\"|\"on-miss\"|\"always\"",
            ),
            (json!({"agents": {"list": [{}]}}), "agents.list.0.id: Invalid input: expected string, received undefined"),
            (json!({"agents": {"list": [{"id": "a", "model": {"primary": 1}}]}}), "agents.list.0.model: Invalid input"),
            (
                json!({"agents": {"list": [{"id": "a", "model": {"x": 1}}]}}),
                "agents.list.0.model: Unrecognized key: \"x\"",
            ),
            (
                json!({"agents": {"defaults": {"model": "x"}}}),
                "agents.defaults.model: Invalid input: expected object, received string",
            ),
            (
                json!({"browser": {"profiles": {"A": {"color": "00ff00", "cdpPort": 1}}}}),
                "browser.profiles.A: Invalid key in record",
            ),
            (
                json!({"browser": {"profiles": {"a": {"color": "00ff00"}}}}),
                "browser.profiles.a: Profile must set cdpPort or cdpUrl",
            ),
            (
                json!({"agents": {"defaults": {"heartbeat": {"every": "soon"}}}}),
                "agents.defaults.heartbeat.every: invalid duration (use ms, s, m, h)",
            ),
            (
                json!({"channels": {"telegram": {"dmPolicy": "open"}}}),
                "channels.telegram.allowFrom: channels.telegram.dmPolicy=\"open\" requires channels.telegram.allowFrom to include \"*\"",
            ),
            (
                json!({"agents": {"list": [{"id": "a"}]}, "broadcast": {"p": ["a", "b"]}}),
                "broadcast.p.1: Unknown agent id \"b\" (not in agents.list).",
            ),
            (
                json!({"audio": {"transcription": {"command": ["a b"]}}}),
                "audio.transcription.command.0: expected safe executable name or path",
            ),
            (
                json!({"channels": {"whatsapp": {"allowFrom": [1]}}}),
                "channels.whatsapp.allowFrom.0: Invalid input: expected string, received number",
            ),
        ] {
            expect(tree, &[line]);
        }
    }

    #[test]
    fn a_full_example_passes_and_gets_its_defaults() {
        let mut tree = json!({
            "env": {"shellEnv": {"enabled": true}, "vars": {"A": "b"}, "B": "c"},
            "logging": {"level": "info"},
            "models": {"mode": "merge", "providers": {"p": {"baseUrl": "http://h/v1", "api": "openai-completions",
                "models": [{"id": "m", "name": "M", "cost": {"input": 0.5}}]}}},
            "agents": {"defaults": {"model": {"primary": "p/m"}, "heartbeat": {"every": "30m", "activeHours": {"end": "24:00"}}},
                "list": [{"id": "main", "default": true, "model": "p/m", "tools": {"exec": {"approvalRunningNoticeMs": 0}}}]},
            "channels": {"telegram": {"customCommands": [{"command": " /Hi ", "description": " x "}]}, "other": 1},
            "gateway": {"port": 18789, "tls": {"enabled": false, "dropped": 1}, "customBindHost": "10.0.0.1"},
        });
        assert_eq!(check(&mut tree), []);
        assert_eq!(tree["commands"], json!({"native": "auto", "nativeSkills": "auto"}));
        assert_eq!(tree["channels"]["telegram"]["dmPolicy"], "pairing");
        assert_eq!(tree["channels"]["telegram"]["customCommands"], json!([{"command": "hi", "description": "x"}]));
        assert_eq!(tree["gateway"]["tls"], json!({"enabled": false}));
    }
}
