//! Keys, tokens and secrets stay where their owner put them: none reaches a log, a transcript, a journal, an answer or an
//! event, also when a server repeats it in its errors.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Asked, Provider};
use crate::support::wire_formats::Part;

/// What is planted, each in another place.
const PROFILE: &str = "planted-profile-key-0001";
const SPARE: &str = "planted-config-key-0002";
const REFRESH: &str = "planted-refresh-token-0003";
const SKILL: &str = "planted-skill-key-0004";
const HEADER: &str = "planted-header-0005";
const BRAVE: &str = "planted-brave-key-0006";
const EMBED: &str = "planted-embed-key-0007";
/// What all of them have in common.
const MARK: &str = "planted-";

/// Repeats everything secret that it was sent, and more than once.
fn loose_tongue(asked: &Asked) -> String {
    format!("I was sent {} and {}", asked.head.replace('\n', " "), asked.body)
}

/// The files of a home that hold what is planted, but for those where their owner put it.
fn told(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            told(&path, found);
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_owners = name.starts_with("clawdbot.json") || name == "auth-profiles.json";
        let bytes = std::fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        if let Some(at) = text.find(MARK).filter(|_| !is_owners) {
            let from = text[..at].char_indices().rev().nth(200).map_or(0, |(from, _)| from);
            found.push(format!("{}: {}", path.display(), text[from..].chars().take(400).collect::<String>()));
        }
    }
}

#[test]
fn what_is_planted_is_found_nowhere() {
    let provider = Provider::judging(|asked| match asked.index {
        // Each way to fail, for every one of the first run's tries.
        0..4 => Answer::Refused(401, json!({ "error": { "message": loose_tongue(asked) } })),
        4 => Answer::Parts(vec![Part::Text("Fine.")]),
        _ if asked.path.contains("/web/search")
            || asked.path.ends_with("/embeddings")
            || asked.path.contains("oauth") =>
        {
            Answer::Refused(403, json!({ "error": { "message": loose_tongue(asked), "type": loose_tongue(asked) } }))
        }
        _ => Answer::StreamError("invalid_request_error", "nothing to add"),
    });
    let model =
        json!({ "id": "m", "name": "m", "input": ["text", "image"], "contextWindow": 32000, "maxTokens": 1000 });
    let entry = |key: Option<&str>, api: &str| {
        let mut entry = json!({
            "baseUrl": provider.url(), "api": api, "models": [model], "headers": { "X-Team-Secret": HEADER },
        });
        if let Some(key) = key {
            entry["apiKey"] = key.into();
        }
        entry
    };
    let home = Home::with_config(&json!({
        "models": { "providers": {
            "test": entry(None, "openai-completions"), "spare": entry(Some(SPARE), "anthropic-messages"),
            "anthropic": entry(None, "anthropic-messages"),
        } },
        "agents": { "defaults": {
            "model": { "primary": "test/m", "fallbacks": ["spare/m", "anthropic/m"] },
            "imageModel": { "primary": "spare/m" },
            "memorySearch": { "provider": "openai", "remote": { "baseUrl": provider.url(), "apiKey": EMBED } },
        } },
        "skills": { "entries": { "tea": { "apiKey": SKILL } } },
        "tools": { "web": { "search": { "apiKey": BRAVE } } },
    }));
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(home.config_file()).unwrap()).unwrap();
    config["logging"]["level"] = "trace".into();
    home.write_config(&config.to_string());
    let agent = home.state_dir().join("agents/main/agent");
    std::fs::create_dir_all(&agent).unwrap();
    let profiles = json!({
        "test:a": { "type": "api_key", "provider": "test", "key": PROFILE },
        "anthropic:a": { "type": "oauth", "provider": "anthropic", "access": "planted-access-0008", "refresh": REFRESH, "expires": 5 },
    });
    std::fs::write(agent.join("auth-profiles.json"), json!({ "version": 1, "profiles": profiles }).to_string())
        .unwrap();
    std::fs::create_dir_all(home.path().join("clawd/memory")).unwrap();
    std::fs::write(home.path().join("clawd/MEMORY.md"), "Likes tea.\n").unwrap();
    let origin = provider.origin();
    let env = [("CLAWDBOT_OAUTH_BASE_URL", origin.as_str()), ("CLAWDBOT_BRAVE_BASE_URL", origin.as_str())];
    let gateway = Gateway::start_in(home, &["--verbose"], &env);
    let mut client = gateway.client();
    let mut observer = gateway.client();
    let mut seen: Vec<Value> = Vec::new();
    let mut answers = Vec::new();
    for run in ["r1", "r2", "r3"] {
        let params = json!({ "sessionKey": "agent:main:main", "message": "hello", "idempotencyKey": run });
        client.request("chat.send", params).expect("started");
        seen.push(client.chat_end(run));
    }
    assert_eq!(seen[0]["state"], "error", "{seen:?}");
    assert!(seen[0]["errorMessage"].as_str().is_some_and(|it| it.contains("***")), "{}", seen[0]);
    for (tool, args) in [
        ("web_search", json!({ "query": "tea" })),
        ("memory_search", json!({ "query": "tea" })),
        ("image", json!({ "image": "data:image/png;base64,iVBORw0KGgo=" })),
    ] {
        let params = json!({ "sessionKey": "agent:main:side", "model": "offline", "key": "agent:main:side" });
        client.request("sessions.patch", json!({ "key": params["key"], "model": "offline" })).expect("patched");
        let message = format!("!tool {tool} {args}");
        client
            .request(
                "chat.send",
                json!({ "sessionKey": "agent:main:side", "message": message, "idempotencyKey": tool }),
            )
            .expect("started");
        seen.push(client.chat_end(tool));
    }
    for (method, params) in [
        ("status", json!({})),
        ("health", json!({})),
        ("models.list", json!({})),
        ("sessions.list", json!({})),
        ("chat.history", json!({ "sessionKey": "agent:main:main" })),
        ("chat.history", json!({ "sessionKey": "agent:main:side" })),
        ("skills.status", json!({})),
        ("usage.status", json!({})),
        ("channels.status", json!({})),
        ("logs.tail", json!({})),
    ] {
        answers.push(client.request(method, params).unwrap_or_else(|error| error));
    }
    for args in
        [&["models", "status", "--json"][..], &["models", "status"], &["status"], &["memory", "status"], &["logs"]]
    {
        let ran = gateway.cli(args);
        answers.push(json!([ran.stdout, ran.stderr]));
    }
    observer.event("chat", |chat| chat["runId"] == "image" && chat["state"] == "final");
    let events = observer.unread().iter().chain(client.unread()).chain(&seen).chain(&answers);
    for event in events {
        assert!(!event.to_string().contains(MARK), "{event}");
    }
    let keys: Vec<Option<String>> = provider
        .asked()
        .iter()
        .map(|it| it.header("authorization").or(it.header("x-api-key")).map(str::to_owned))
        .collect();
    assert!(
        keys.iter().flatten().any(|key| key.contains(PROFILE)) && keys.iter().flatten().any(|key| key.contains(SPARE)),
        "{keys:?}"
    );
    let mut found = Vec::new();
    let home = gateway.kill();
    told(home.path(), &mut found);
    assert_eq!(found, Vec::<String>::new());
}
