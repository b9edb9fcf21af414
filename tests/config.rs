//! The configuration as clients change it, and the restarts that follow.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::provider::{Answer, Provider};
use crate::support::replay::Replay;
use crate::support::wire;

fn file(gateway: &Gateway) -> Value {
    serde_json::from_str(&std::fs::read_to_string(gateway.home.config_file()).unwrap()).expect("JSON")
}

fn hash(client: &mut Client) -> String {
    client.request("config.get", json!({})).unwrap()["hash"].as_str().unwrap().to_owned()
}

/// A patch whose restart never comes in a test's lifetime.
fn patch(client: &mut Client, hash: &str, patch: Value) -> Result<Value, Value> {
    let params = json!({ "raw": patch.to_string(), "baseHash": hash, "restartDelayMs": 60_000 });
    client.request("config.patch", params)
}

#[test]
fn refusals_as_recorded() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let before = std::fs::read_to_string(gateway.home.config_file()).unwrap();
    for recording in ["config.set-bad-basehash", "config.set-no-basehash", "config.patch-bad-raw"] {
        Replay::of(recording).session(&gateway, &mut client);
    }
    let recording = wire::load("config.set");
    for (sent, expected) in recording.sent.iter().zip(&recording.received) {
        let mut params = sent["params"].clone();
        // The recorded paths were replaced afterwards, so the recorded hash is of no file.
        if sent["id"] != "6" {
            params["baseHash"] = hash(&mut client).into();
        }
        match client.request(sent["method"].as_str().unwrap(), params) {
            Err(error) if sent["id"] == "3" => {
                let message = error["message"].as_str().unwrap();
                assert!(message.starts_with("SyntaxError: JSON5: "), "the parser words it: {message}");
            }
            Err(error) => assert_eq!(error, expected["error"]),
            Ok(payload) => {
                assert_eq!(payload["path"], json!(gateway.home.config_file()));
                let sections: Vec<&str> = payload["config"].as_object().unwrap().keys().map(String::as_str).collect();
                let recorded = expected["payload"]["config"]["_keys"].as_array().unwrap();
                assert!(recorded.iter().all(|key| sections.contains(&key.as_str().unwrap())), "{sections:?}");
            }
        }
    }
    assert_ne!(std::fs::read_to_string(gateway.home.config_file()).unwrap(), before);
    let backup = gateway.home.state_dir().join("clawdbot.json.bak");
    assert_eq!(std::fs::read_to_string(backup).unwrap(), before);
}

/// The answer is kept while the file stays as it is, so each of a row of quick changes of equal length must be seen.
#[test]
fn every_edit_of_the_file_is_shown_at_once() {
    let gateway = Gateway::start(json!({ "gateway": { "reload": { "mode": "off" } } }));
    let mut client = gateway.client();
    let mut tree = file(&gateway);
    for level in ["debug", "error", "trace", "debug", "error", "trace"] {
        tree["logging"]["level"] = level.into();
        std::fs::write(gateway.home.config_file(), tree.to_string()).unwrap();
        for _ in 0..3 {
            let got = client.request("config.get", json!({})).unwrap();
            assert_eq!(got["config"]["logging"]["level"], level);
        }
    }
}

#[test]
fn the_schema_as_recorded() {
    let gateway = Gateway::start(json!({}));
    let answer = gateway.client().request("config.schema", json!({})).unwrap();
    let recorded = wire::load("config.schema").received[0]["payload"].clone();
    for key in ["$schema", "type"] {
        assert_eq!(answer["schema"][key], recorded["schema"][key]);
    }
    let sections: Vec<&String> = answer["schema"]["properties"].as_object().unwrap().keys().collect();
    assert_eq!(json!(sections), recorded["schema"]["propertyNames"], "in the original's order");
    for (path, hint) in recorded["uiHints"].as_object().unwrap() {
        assert_eq!(&answer["uiHints"][path], hint, "{path}");
    }
    let mut keys: Vec<&String> = answer.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["generatedAt", "schema", "uiHints", "version"]);
}

#[test]
fn set_applies_without_a_restart_and_keeps_the_files_words() {
    let gateway = Gateway::start(json!({ "messages": { "responsePrefix": "${HOME}" } }));
    let mut client = gateway.client();
    let got = client.request("config.get", json!({})).unwrap();
    // As a form does: the effective configuration with one change.
    let mut wanted = got["config"].clone();
    assert_eq!(wanted["messages"]["responsePrefix"], json!(gateway.home.path()));
    wanted["logging"]["level"] = "debug".into();
    let params = json!({ "raw": wanted.to_string(), "baseHash": got["hash"] });
    let answer = client.request("config.set", params).unwrap();
    assert_eq!(answer["config"]["logging"]["level"], "debug");
    gateway.wait_lines("config change applied (dynamic reads: logging.level, meta)", 1);
    let file = file(&gateway);
    assert_eq!(file["messages"], json!({ "responsePrefix": "${HOME}" }), "no secret is written out, no default");
    assert_eq!(file["logging"]["level"], "debug");
    assert!(file.get("agents").is_none() && file.get("commands").is_none(), "{file}");
    assert!(file["meta"]["lastTouchedAt"].is_string());
    assert_eq!(client.request("health", json!({})).unwrap()["ok"], true, "the connection outlives it");
}

#[test]
fn set_restarts_once_where_the_reload_rules_say_so() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let got = client.request("config.get", json!({})).unwrap();
    let mut wanted = got["config"].clone();
    wanted["gateway"]["controlUi"] = json!({ "basePath": "/x" });
    client.request("config.set", json!({ "raw": wanted.to_string(), "baseHash": got["hash"] })).unwrap();
    assert_eq!(client.event("shutdown", |_| true)["reason"], "gateway restarting");
    gateway.wait_lines("listening on ws://127.0.0.1", 2);
    assert_eq!(gateway.client().request("health", json!({})).unwrap()["ok"], true);
}

#[test]
fn patch_restarts_as_recorded_and_says_why() {
    let provider = Provider::always(Answer::Text(vec!["hi"]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    let recording = wire::load("config.patch");
    let mut params = recording.sent[0]["params"].clone();
    params["baseHash"] = hash(&mut client).into();
    let id = client.post("config.patch", params);
    let answer = client.response(&id).unwrap();
    let recorded = &recording.received[0]["payload"];
    let found = wire::differences(recorded, &answer, gateway.home.path(), &["/config"]);
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(answer["config"]["ui"], json!({ "assistant": { "name": "Probe2" } }));
    assert_eq!(client.event("shutdown", |_| true), recording.received[1]["payload"]);
    assert_eq!(Some(client.wait_close()), recording.close);

    gateway.wait_lines("listening on ws://127.0.0.1", 2);
    assert!(!gateway.home.state_dir().join("restart-sentinel.json").exists(), "read once");
    let mut client = gateway.client();
    let say = |client: &mut Client, session: &str, run: &str| {
        let params = json!({ "sessionKey": session, "message": "hello", "idempotencyKey": run });
        client.request("chat.send", params).unwrap();
        client.chat_end(run);
        provider.requests().last().unwrap()["messages"].to_string()
    };
    let said = say(&mut client, "main", "r1");
    assert!(said.contains("GatewayRestart:") && said.contains("why") && said.contains("config.patch"), "{said}");
    assert!(!say(&mut client, "main", "r2").ends_with("GatewayRestart"), "once");

    // Another session hears of it when it asked.
    let params = json!({
        "raw": json!({ "ui": { "assistant": { "name": "Probe3" } } }).to_string(), "baseHash": hash(&mut client),
        "sessionKey": "other", "restartDelayMs": 0,
    });
    client.request("config.patch", params).expect("the answer comes before the restart");
    gateway.wait_lines("listening on ws://127.0.0.1", 3);
    let mut client = gateway.client();
    assert!(say(&mut client, "other", "r3").contains("GatewayRestart:"));
}

#[test]
fn apply_replaces_everything_and_restarts() {
    let gateway = Gateway::start(json!({ "messages": { "responsePrefix": "x" } }));
    let mut client = gateway.client();
    let got = client.request("config.get", json!({})).unwrap();
    let mut wanted = got["parsed"].clone();
    wanted.as_object_mut().unwrap().remove("messages");
    let params = json!({ "raw": wanted.to_string(), "baseHash": got["hash"], "restartDelayMs": 0, "note": " n " });
    let answer = client.request("config.apply", params).unwrap();
    assert_eq!(answer["restart"]["reason"], "config.apply");
    let payload = &answer["sentinel"]["payload"];
    assert_eq!((&payload["message"], &payload["stats"]["mode"]), (&json!("n"), &json!("config.apply")));
    assert_eq!(client.wait_close().0, 1012);
    gateway.wait_lines("listening on ws://127.0.0.1", 2);
    assert!(file(&gateway).get("messages").is_none());
    assert_eq!(gateway.client().request("config.get", json!({})).unwrap()["valid"], true);
}

#[test]
fn a_patch_and_the_watcher_restart_once() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let base = hash(&mut client);
    // The watcher sees it after 300 ms, before the restart that was promised.
    let params =
        json!({ "raw": "{ gateway: { controlUi: { basePath: '/x' } } }", "baseHash": base, "restartDelayMs": 3000 });
    let answer = client.request("config.patch", params).unwrap();
    assert_eq!(answer["restart"]["delayMs"], 3000);
    gateway.wait_lines("the change waits for the restart that is coming anyway", 1);
    assert_eq!(client.request("health", json!({})).unwrap()["ok"], true, "not before its time");
    assert_eq!(client.event("shutdown", |_| true)["reason"], "gateway restarting");
    gateway.wait_lines("listening on ws://127.0.0.1", 2);
    let mut client = gateway.client();
    // When the watcher of the new start has done its work, nothing else can come of the patch.
    let got = client.request("config.get", json!({})).unwrap();
    let mut wanted = got["config"].clone();
    wanted["logging"]["level"] = "debug".into();
    client.request("config.set", json!({ "raw": wanted.to_string(), "baseHash": got["hash"] })).unwrap();
    gateway.wait_lines("config change applied (dynamic reads: logging.level", 1);
    assert_eq!(gateway.count_lines("listening on ws://127.0.0.1"), 2);
}

#[test]
fn a_chat_may_restart_where_that_is_allowed() {
    for is_allowed in [true, false] {
        let gateway = Gateway::start(json!({ "commands": { "restart": is_allowed } }));
        let mut client = gateway.client();
        let params = json!({ "sessionKey": "main", "message": "/restart", "idempotencyKey": "r1" });
        client.request("chat.send", params).unwrap();
        let said = client.chat_end("r1")["message"]["content"][0]["text"].clone();
        assert_eq!(said.as_str().unwrap().contains("is disabled"), !is_allowed, "{said}");
        if is_allowed {
            assert_eq!(client.event("shutdown", |_| true)["restartExpectedMs"], 1500);
            gateway.wait_lines("listening on ws://127.0.0.1", 2);
        }
    }
}

#[test]
fn a_stale_hash_loses_nothing() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let base = hash(&mut client);
    patch(&mut client, &base, json!({ "messages": { "responsePrefix": "one" } })).unwrap();
    let before = std::fs::read_to_string(gateway.home.config_file()).unwrap();
    let error = patch(&mut client, &base, json!({ "messages": { "responsePrefix": "two" } })).unwrap_err();
    assert_eq!(error["message"], "config changed since last load; re-run config.get and retry");
    assert_eq!(std::fs::read_to_string(gateway.home.config_file()).unwrap(), before, "a refusal writes nothing");
    // An edit by hand, or of a command line, counts as well.
    let base = hash(&mut client);
    let ran = gateway.home.run(&["config", "set", "messages.ackReaction", "x"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    patch(&mut client, &base, json!({ "messages": null })).unwrap_err();
    let file = file(&gateway);
    assert_eq!(file["messages"], json!({ "responsePrefix": "one", "ackReaction": "x" }));
    assert!(before.contains("\"one\""));
}

#[test]
fn of_eight_patches_on_one_hash_exactly_one_wins() {
    let gateway = Gateway::start(json!({}));
    let mut clients: Vec<Client> = (0..8).map(|_| gateway.client()).collect();
    for round in 0..5 {
        let base = hash(&mut clients[0]);
        let ids: Vec<String> = clients
            .iter_mut()
            .enumerate()
            .map(|(n, client)| {
                let raw = json!({ "messages": { "responsePrefix": format!("{round}.{n}") } }).to_string();
                client.post("config.patch", json!({ "raw": raw, "baseHash": base, "restartDelayMs": 60_000 }))
            })
            .collect();
        let answers = clients.iter_mut().zip(&ids).map(|(client, id)| client.response(id));
        let winners: Vec<usize> = answers
            .enumerate()
            .filter_map(|(n, answer)| match answer {
                Ok(_) => Some(n),
                Err(error) => {
                    assert_eq!(error["message"], "config changed since last load; re-run config.get and retry");
                    None
                }
            })
            .collect();
        let [winner] = winners.as_slice() else { panic!("round {round}: {winners:?} won") };
        assert_eq!(file(&gateway)["messages"]["responsePrefix"], format!("{round}.{winner}"));
    }
}

#[test]
fn patches_are_merged_migrated_and_checked() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let try_patch = |client: &mut Client, wanted: Value| {
        let base = hash(client);
        patch(client, &base, wanted)
    };
    // Old keys are moved, and a bare model becomes what it means.
    let old = json!({ "identity": { "name": "Sam" }, "agents": { "defaults": { "model": "mock/m1" } } });
    try_patch(&mut client, old).unwrap();
    let now = file(&gateway);
    assert_eq!(now["agents"]["list"][0]["identity"]["name"], "Sam", "{now}");
    assert_eq!(now["agents"]["defaults"]["model"]["primary"], "mock/m1");
    try_patch(&mut client, json!({ "agents": null })).unwrap();
    assert!(file(&gateway).get("agents").is_none());

    let error = try_patch(&mut client, json!({ "gateway": { "port": "x" } })).unwrap_err();
    assert_eq!(error["message"], "invalid config");
    let issue = json!({ "path": "gateway.port", "message": "Invalid input: expected number, received string" });
    assert_eq!(error["details"], json!({ "issues": [issue] }));
    let base = hash(&mut client);
    gateway.home.write_config("{ gateway: { prot: 1 } }");
    let error = try_patch(&mut client, json!({ "ui": {} })).unwrap_err();
    assert_eq!(error["message"], "invalid config; fix before patching");
    assert_ne!(base, hash(&mut client));
    // Whoever sends all of it may repair the file.
    let params = json!({ "raw": "{ gateway: { mode: 'local' } }", "baseHash": hash(&mut client) });
    client.request("config.set", params).unwrap();
    assert_eq!(client.request("config.get", json!({})).unwrap()["valid"], true);
}

#[test]
fn a_kill_during_patches_leaves_valid_files() {
    let mut gateway = Gateway::start(json!({}));
    for round in 0..4 {
        let mut clients: Vec<Client> = (0..4).map(|_| gateway.client()).collect();
        let (writers, reader) = clients.split_at_mut(3);
        for n in 0..12 + round {
            let base = hash(&mut reader[0]);
            for (at, client) in writers.iter_mut().enumerate() {
                let raw = json!({ "messages": { "responsePrefix": format!("{round}.{n}.{at}") } }).to_string();
                client.post("config.patch", json!({ "raw": raw, "baseHash": base, "restartDelayMs": 60_000 }));
            }
        }
        let home = gateway.kill();
        for name in ["clawdbot.json", "clawdbot.json.bak", "clawdbot.json.bak.1"] {
            let text = std::fs::read_to_string(home.state_dir().join(name)).unwrap_or_default();
            let whole = serde_json::from_str::<Value>(&text);
            assert!(whole.is_ok() || (text.is_empty() && name != "clawdbot.json"), "round {round}: {name}: {text}");
        }
        let sentinel = std::fs::read_to_string(home.state_dir().join("restart-sentinel.json"));
        assert!(sentinel.is_err() || serde_json::from_str::<Value>(&sentinel.unwrap()).is_ok());
        gateway = Gateway::start_in(home, &[], &[]);
    }
}
