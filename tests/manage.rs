//! Commands that look after models, agents and skills; none of them needs a gateway.

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::wire;

fn config(home: &Home) -> Value {
    serde_json::from_str(&std::fs::read_to_string(home.config_file()).unwrap()).unwrap()
}

fn ok(home: &Home, args: &[&str]) -> String {
    let ran = home.run(args);
    assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
    ran.stdout.trim_end().to_owned()
}

fn refused(home: &Home, args: &[&str], words: &str) {
    let before = std::fs::read_to_string(home.config_file()).unwrap();
    let ran = home.run(args);
    assert_eq!(ran.code, Some(1), "{args:?}: {ran:?}");
    assert!(ran.stderr.contains(words), "{args:?}: {ran:?}");
    assert_eq!(std::fs::read_to_string(home.config_file()).unwrap(), before, "{args:?}");
}

#[test]
fn agents_come_and_go() {
    let home = Home::with_config(&json!({}));
    let rows = ok(&home, &["agents", "list", "--json"]);
    let rows: Value = serde_json::from_str(&rows).unwrap();
    let wanted = json!([{
        "id": "main", "workspace": home.path().join("clawd"), "agentDir": home.state_dir().join("agents/main/agent"),
        "bindings": 0, "isDefault": true, "routes": ["default (no explicit rules)"],
    }]);
    assert_eq!(rows, wanted);

    let said = ok(
        &home,
        &[
            "agents",
            "add",
            "Night Shift",
            "--workspace",
            "~/night",
            "--bind",
            "telegram:work",
            "--model",
            "openai/gpt-5-mini",
        ],
    );
    for line in [
        "Normalized agent id to \"night-shift\".",
        "Workspace OK: ~/night",
        "Agent: night-shift",
        "Model: openai/gpt-5-mini",
    ] {
        assert!(said.lines().any(|it| it == line), "{said}");
    }
    let written = config(&home);
    assert_eq!(written["agents"]["list"][0], json!({"id": "main"}), "the default agent stays the first");
    assert_eq!(written["agents"]["list"][1]["name"], "Night Shift");
    let binding = json!([{"agentId": "night-shift", "match": {"channel": "telegram", "accountId": "work"}}]);
    assert_eq!((&written["bindings"], &written["gateway"]["auth"]["token"]), (&binding, &json!("tok")));
    assert!(home.path().join("night/AGENTS.md").is_file());
    assert!(home.state_dir().join("agents/night-shift/sessions").is_dir());

    refused(&home, &["agents", "add", "night-shift", "--workspace", "~/x"], "Agent \"night-shift\" already exists.");
    refused(&home, &["agents", "add", "main", "--workspace", "~/x"], "\"main\" is reserved. Choose another name.");
    refused(&home, &["agents", "add", "x"], "Non-interactive mode requires --workspace.");
    refused(&home, &["agents", "add", "--workspace", "~/x"], "Agent name is required in non-interactive mode.");
    refused(&home, &["agents", "add", "x", "--workspace", "~/x", "--bind", "fax"], "Unknown channel \"fax\".");

    std::fs::write(home.path().join("night/IDENTITY.md"), "- **Name:** Owl\n- Vibe: quiet\n").unwrap();
    let said =
        ok(&home, &["agents", "set-identity", "--workspace", "~/night", "--emoji", "🦉", "--from-identity", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["identity"], json!({"name": "Owl", "emoji": "🦉", "theme": "quiet"}));
    assert_eq!(config(&home)["agents"]["list"][1]["identity"], said["identity"]);
    let list = ok(&home, &["agents", "--bindings"]);
    assert!(list.contains("- night-shift (Night Shift)\n  Identity: 🦉 Owl (IDENTITY.md)\n"), "{list}");
    assert!(list.contains("  Routing: Telegram work\n  Routing rules:\n    - telegram accountId=work\n"), "{list}");
    refused(&home, &["agents", "set-identity", "--workspace", "~/nowhere"], "No agent workspace matches ~/nowhere.");
    refused(&home, &["agents", "set-identity", "--agent", "main"], "No identity data found in ");

    refused(&home, &["agents", "delete", "main"], "\"main\" cannot be deleted.");
    refused(&home, &["agents", "delete", "ghost", "--force"], "Agent \"ghost\" not found.");
    refused(&home, &["agents", "delete", "night-shift"], "Non-interactive session. Re-run with --force.");
    let said = home.run(&["agents", "delete", "night-shift", "--force", "--json"]).json();
    assert_eq!((&said["agentId"], &said["removedBindings"]), (&json!("night-shift"), &json!(1)));
    let written = config(&home);
    assert_eq!((&written["agents"]["list"], written.get("bindings")), (&json!([{"id": "main"}]), None));
    assert!(!home.path().join("night").exists());
    let trash = std::fs::read_dir(home.path().join(".local/share/Trash/files")).unwrap().count();
    assert_eq!(trash, 2, "workspace and sessions can be had back");
}

#[test]
fn models_are_chosen() {
    let home = Home::with_config(&json!({"models": {"providers": {"mock": {
        "baseUrl": "http://127.0.0.1:9/v1", "apiKey": "sk-0123456789abcdefghij",
        "models": [{"id": "m1", "name": "M One", "contextWindow": 32000}, {"id": "m2", "name": "M Two"}],
    }}}}));
    let list = home.run(&["models", "list", "--json"]).json();
    assert_eq!((&list["count"], &list["models"][0]["key"]), (&json!(1), &json!("offline/offline")));

    assert!(
        ok(&home, &["models", "set", "m1"]).ends_with("Default model: mock/m1"),
        "a configured id needs no provider"
    );
    ok(&home, &["models", "set-image", "mock/m2"]);
    ok(&home, &["models", "aliases", "add", "two", "mock/m2"]);
    assert!(ok(&home, &["models", "fallbacks", "add", "two"]).ends_with("Fallbacks: mock/m2"));
    let defaults = config(&home)["agents"]["defaults"].clone();
    assert_eq!(defaults["model"], json!({"primary": "mock/m1", "fallbacks": ["mock/m2"]}));
    assert_eq!(defaults["imageModel"], json!({"primary": "mock/m2"}));
    assert_eq!(defaults["models"], json!({"mock/m1": {}, "mock/m2": {"alias": "two"}}));
    ok(&home, &["models", "set", "two"]);
    assert_eq!(config(&home)["agents"]["defaults"]["model"], json!({"primary": "mock/m2", "fallbacks": ["mock/m2"]}));

    let list = home.run(&["models", "list", "--json"]).json();
    let tags: Vec<(&Value, &Value)> =
        list["models"].as_array().unwrap().iter().map(|it| (&it["key"], &it["tags"])).collect();
    let of_two = json!(["default", "fallback#1", "image", "configured", "alias:two"]);
    assert_eq!(tags, [(&json!("mock/m2"), &of_two), (&json!("mock/m1"), &json!(["configured"]))]);
    let plain = ok(&home, &["models", "list", "--all", "--provider", "mock", "--plain"]);
    assert_eq!(plain, "mock/m1\nmock/m2");
    assert_eq!(ok(&home, &["models", "list", "--provider", "nobody"]), "No models found.");

    let status = home.run(&["models", "--status-json"]).json();
    assert_eq!((&status["resolvedDefault"], &status["auth"]["missingProvidersInUse"]), (&json!("mock/m2"), &json!([])));
    assert!(!status.to_string().contains("sk-0123456789abcdefghij"), "keys are masked: {status}");
    assert_eq!(ok(&home, &["models", "status", "--plain", "--check"]), "mock/m2");
    ok(&home, &["models", "fallbacks", "add", "openai/gpt-5-mini"]);
    let checked = home.run(&["models", "status", "--check"]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.stdout.contains("Missing auth\n- openai "), "{checked:?}");

    assert!(ok(&home, &["models", "fallbacks", "remove", "openai/gpt-5-mini"]).ends_with("Fallbacks: mock/m2"));
    assert!(ok(&home, &["models", "fallbacks", "clear"]).ends_with("Fallback list cleared."));
    assert_eq!(ok(&home, &["models", "fallbacks", "list"]), "Fallbacks (0):\n- none");
    // A model that has a short name by itself loses it for good.
    ok(&home, &["models", "set", "openai/gpt-5.2"]);
    assert_eq!(
        ok(&home, &["models", "aliases", "list", "--plain"]),
        "two mock/m2\ngpt-mini openai/gpt-5-mini\ngpt openai/gpt-5.2"
    );
    ok(&home, &["models", "aliases", "remove", "two"]);
    ok(&home, &["models", "aliases", "remove", "gpt-mini"]);
    assert!(ok(&home, &["models", "aliases", "remove", "gpt"]).ends_with("No aliases configured."));
    assert_eq!(ok(&home, &["models", "aliases", "list"]), "Aliases (0):\n- none");

    refused(&home, &["models", "set", " / "], "Invalid model reference:  /");
    refused(&home, &["models", "aliases", "add", "a b", "mock/m1"], "Alias must use letters");
    refused(&home, &["models", "aliases", "remove", "two"], "Alias not found: two");
    refused(&home, &["models", "image-fallbacks", "remove", "mock/m1"], "Image fallback not found: mock/m1");
    refused(&home, &["models", "list", "--json", "--plain"], "Choose either --json or --plain, not both.");
    refused(&home, &["models", "status", "--probe"], "--probe is not in this version");
}

#[test]
fn skills_are_shown() {
    let home = Home::with_config(&json!({"skills": {"entries": {"off": {"enabled": false}}}}));
    for (name, metadata) in [
        ("on", "{clawdbot: {emoji: '🧪', requires: {bins: [sh]}}}"),
        ("off", "{}"),
        ("lost", "{clawdbot: {requires: {bins: [no-such-program]}, install: [{kind: node, package: p}]}}"),
    ] {
        let dir = home.path().join("clawd/skills").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("SKILL.md"), format!("---\ndescription: About {name}.\nmetadata: {metadata}\n---\n"))
            .unwrap();
    }
    let check = home.run(&["skills", "check", "--json"]).json();
    let summary = json!({"total": 3, "eligible": 1, "disabled": 1, "blocked": 0, "missingRequirements": 1});
    assert_eq!(
        (&check["summary"], &check["eligible"], &check["disabled"]),
        (&summary, &json!(["on"]), &json!(["off"]))
    );
    assert_eq!(check["missingRequirements"][0]["install"][0]["label"], "Install p (npm)");
    let list = ok(&home, &["skills"]);
    assert!(
        list.starts_with("Skills (1/3 ready)\n") && list.contains("🧪 on") && list.contains("⏸ disabled"),
        "{list}"
    );
    let eligible = home.run(&["skills", "list", "--eligible", "--json"]).json();
    let row = json!({
        "name": "on", "description": "About on.", "emoji": "🧪", "eligible": true, "disabled": false,
        "blockedByAllowlist": false, "source": "clawdbot-workspace",
        "missing": {"bins": [], "anyBins": [], "env": [], "config": [], "os": []},
    });
    assert_eq!(eligible["skills"], json!([row]));
    let info = ok(&home, &["skills", "info", "lost"]);
    assert!(info.starts_with("📦 lost ✗ Missing requirements\n\nAbout lost.\n\nDetails:\n"), "{info}");
    assert!(
        info.contains("\nRequirements:\n  Binaries: ✗ no-such-program\n\nInstall options:\n  → Install p (npm)\n"),
        "{info}"
    );
    assert!(ok(&home, &["skills", "info", "who"]).starts_with("Skill \"who\" not found. Run `clawdbot skills list`"));
}

#[test]
fn models_as_recorded() {
    let recording = wire::load("models.list");
    let recorded = &recording.received[0]["payload"]["models"];
    let models: Vec<Value> = recorded
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let mut model = row.clone();
            model.as_object_mut().unwrap().remove("provider");
            model["maxTokens"] = 1000.into();
            model
        })
        .collect();
    let provider = json!({"baseUrl": "https://bedrock.example", "api": "bedrock-converse-stream", "models": models});
    let gateway = Gateway::start(json!({"models": {"providers": {"amazon-bedrock": provider}}}));
    let answer = gateway.client().request("models.list", json!({})).unwrap();
    // Behind them stands the agent that needs no model.
    let (own, more) = answer["models"].as_array().unwrap().split_at(models.len());
    assert_eq!(json!(own), *recorded);
    assert_eq!(more.iter().map(|row| &row["provider"]).collect::<Vec<_>>(), ["offline"]);
}
