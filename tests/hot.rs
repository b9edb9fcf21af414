//! Hot reload: what an edit of the file does to a running gateway (config.md §10).

use std::path::Path;

use serde_json::{Value, json};

use crate::support::TOKEN;
use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::home::Home;

fn level(client: &mut Client) -> Value {
    client.request("config.get", json!({})).expect("config.get")["config"]["logging"]["level"].clone()
}

/// Waits until the gateway has taken the edit in: the line that says so comes once for each.
fn edit(gateway: &Gateway, file: &Path, text: &str, said: &str, count: usize) {
    std::fs::write(file, text).expect("write");
    gateway.wait_lines(said, count);
}

#[test]
fn included_files_editors_and_half_written_files() {
    let home = Home::empty();
    let more = home.state_dir().join("more.json5");
    let base = json!({
        "gateway": { "mode": "local", "auth": { "mode": "token", "token": TOKEN } },
        "logging": { "file": home.log_file() }, "bindings": [],
    });
    let with_include = |base: &Value| {
        let mut all = base.clone();
        all["$include"] = "more.json5".into();
        all.to_string()
    };
    home.write_config(&with_include(&base));
    std::fs::write(&more, "{ messages: { responsePrefix: 'a' } }").expect("write");
    let gateway = Gateway::start_in(home, &[], &[]);
    let mut client = gateway.client();
    let applied = "config change applied";
    edit(&gateway, &more, "{ messages: { responsePrefix: 'b' } }", applied, 1);
    // As editors do: a new file takes the name of the old one.
    let file = gateway.home.config_file();
    let mut changed = base.clone();
    changed["logging"]["level"] = "debug".into();
    std::fs::write(file.with_extension("swp"), with_include(&changed)).expect("write");
    std::fs::rename(file.with_extension("swp"), &file).expect("rename");
    gateway.wait_lines(applied, 2);
    assert_eq!(level(&mut client), "debug");
    // Half a file changes nothing, and clients hear of it.
    let text = with_include(&changed);
    std::fs::write(&file, &text[..text.len() / 2]).expect("write");
    gateway.wait_errors("config reload skipped (invalid config: ", 1);
    let told = client.event("health", |payload| payload["configProblem"].is_string());
    assert!(told.to_string().contains("invalid config: "), "{told}");
    let status = client.request("status", json!({})).expect("status");
    assert!(status["configProblem"].is_string(), "{status}");
    let page = gateway.cli(&["status"]);
    assert!(page.stdout.contains("not in force: invalid config"), "{page:?}");
    // So does a file that is gone: defaults may be looser than what it said.
    std::fs::remove_file(&file).expect("remove");
    gateway.wait_errors("config reload skipped (the config file is gone", 1);
    assert_eq!(client.request("health", json!({})).expect("the socket is kept")["ok"], true);
    std::fs::write(&file, text).expect("write");
    client.event("health", |payload| payload.get("configProblem").is_none());
    assert_eq!(gateway.count_lines("listening on ws://127.0.0.1"), 1, "nothing restarted");
}

#[test]
fn modes_decide_what_an_edit_may_do() {
    let gateway =
        Gateway::start(json!({ "gateway": { "reload": { "mode": "hot" } }, "ui": { "seamColor": "111111" } }));
    let file = gateway.home.config_file();
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&file).expect("read")).expect("JSON");
    let mut client = gateway.client();
    config["gateway"]["port"] = 7.into();
    std::fs::write(&file, config.to_string()).expect("write");
    gateway.wait_errors("hot mode ignoring (gateway.port)", 1);
    // What was refused once is not tried again with the next edit.
    config["ui"]["seamColor"] = "222222".into();
    edit(&gateway, &file, &config.to_string(), "config change applied (dynamic reads: ui.seamColor)", 1);
    config["gateway"]["reload"]["mode"] = "off".into();
    edit(&gateway, &file, &config.to_string(), "config reload disabled (gateway.reload.mode=off)", 1);
    assert_eq!(client.request("health", json!({})).expect("the socket is kept")["ok"], true);
    config["gateway"]["reload"]["mode"] = "restart".into();
    config["ui"]["seamColor"] = "333333".into();
    std::fs::write(&file, config.to_string()).expect("write");
    gateway.wait_lines("listening on ws://127.0.0.1", 2);
    assert_eq!(client.wait_close().0, 1012);
}
