//! Skills: what is found, what can be used, what installing and updating do.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, Device, connect_params, now_ms};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Provider};
use crate::support::replay::Replay;
use crate::tools::{call, error, text};

/// A gateway in a home with a directory of programs of its own, in front of the system's.
fn start(home: Home) -> Gateway {
    let path = format!("{}:/usr/bin:/bin", bin_dir(&home).display());
    let bundled = home.path().join("bundled");
    std::fs::create_dir_all(bin_dir(&home)).unwrap();
    let bundled = bundled.display().to_string();
    Gateway::start_in(home, &[], &[("PATH", &path), ("CLAWDBOT_BUNDLED_SKILLS_DIR", &bundled)])
}

fn bin_dir(home: &Home) -> PathBuf {
    home.path().join("bin")
}

fn write_skill(root: &Path, name: &str, head: &str) {
    let dir = root.join(name);
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("SKILL.md"), format!("---\nname: {name}\n{head}\n---\n\nInstructions.\n")).unwrap();
}

fn write_program(home: &Home, name: &str, script: &str) {
    let file = bin_dir(home).join(name);
    std::fs::create_dir_all(bin_dir(home)).unwrap();
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn own_skills(home: &Home) -> PathBuf {
    home.path().join("clawd/skills")
}

/// One skill of `skills.status`.
fn status_of(client: &mut Client, name: &str) -> Option<Value> {
    let status = client.request("skills.status", json!({})).expect("status");
    status["skills"].as_array().expect("a list").iter().find(|skill| skill["name"] == name).cloned()
}

/// An answer as it came, with payload and error.
fn answer(client: &mut Client, method: &str, params: Value) -> Value {
    let id = client.post(method, params);
    client.wait(method, |frame| frame["type"] == "res" && frame["id"] == id.as_str())
}

#[test]
fn status_as_recorded() {
    let home = Home::with_config(&json!({}));
    let head = "description: (one line)\nhomepage: https://developer.1password.com/docs/cli/get-started/\n\
        metadata: {\"clawdbot\":{\"emoji\":\"🔐\",\"requires\":{\"bins\":[\"op\"]},\"install\":[{\"id\":\"brew\",\"kind\":\"brew\",\
        \"formula\":\"1password-cli\",\"bins\":[\"op\"],\"label\":\"Install 1Password CLI (brew)\"}]}}";
    let bundled = home.path().join("bundled");
    write_skill(&bundled, "1password", head);
    let gateway = start(home);
    let mut client = gateway.client();
    let ignore = &["/payload/skills/0/filePath", "/payload/skills/0/baseDir"];
    Replay { ignore, ..Replay::of("skills.status") }.session(&gateway, &mut client);
    let skill = status_of(&mut client, "1password").expect("found");
    assert_eq!(skill["filePath"], json!(bundled.join("1password/SKILL.md")));
    assert_eq!(skill["baseDir"], json!(bundled.join("1password")));
    Replay::of("skills.bins-operator").session(&gateway, &mut client);
}

#[test]
fn a_skill_can_be_used_once_its_program_is_there() {
    let gateway = start(Home::with_config(&json!({})));
    let mut client = gateway.client();
    let skills = own_skills(&gateway.home);
    assert_eq!(status_of(&mut client, "frob"), None);
    // A colon in a description is no YAML, and yet what people write.
    write_skill(
        &skills,
        "frob",
        "description: Frobs things: all of them.\nmetadata: {clawdbot: {requires: {bins: [frob]}}}",
    );
    let before = status_of(&mut client, "frob").expect("found without a restart");
    assert_eq!((&before["eligible"], &before["missing"]["bins"]), (&json!(false), &json!(["frob"])));
    assert_eq!(before["description"], "Frobs things: all of them.");
    write_program(&gateway.home, "frob", "exit 0");
    let after = status_of(&mut client, "frob").expect("found");
    assert_eq!((&after["eligible"], &after["missing"]["bins"]), (&json!(true), &json!([])));

    write_skill(&skills, "frob", "description: changed");
    assert_eq!(status_of(&mut client, "frob").expect("found")["description"], "changed");
    // The agent's own skill hides the shared one of the same name.
    write_skill(&gateway.home.state_dir().join("skills"), "frob", "description: shared");
    assert_eq!(status_of(&mut client, "frob").expect("found")["source"], "clawdbot-workspace");
    std::fs::remove_dir_all(skills.join("frob")).unwrap();
    assert_eq!(status_of(&mut client, "frob").expect("found")["source"], "clawdbot-managed");
}

#[test]
fn nodes_are_told_which_programs_matter() {
    let config = json!({"agents": {"list": [{"id": "main"}, {"id": "ops", "workspace": "~/ops"}]}});
    let gateway = start(Home::with_config(&config));
    write_skill(
        &own_skills(&gateway.home),
        "a",
        "description: d\nmetadata: {clawdbot: {requires: {bins: [zed, awk], anyBins: [one]}, install: [{kind: uv, bins: [two]}]}}",
    );
    write_skill(
        &gateway.home.path().join("ops/skills"),
        "b",
        "description: d\nmetadata: {clawdbot: {requires: {bins: [ops]}}}",
    );
    let mut node = Client::open(gateway.port, &[]);
    let nonce = node.challenge();
    let mut params = connect_params();
    params["role"] = "node".into();
    params["client"]["mode"] = "node".into();
    params["scopes"] = json!([]);
    params["device"] = Device::of(9).sign(&params, now_ms(), Some(&nonce));
    node.request("connect", params).expect("a node on this machine is let in");
    let bins = node.request("skills.bins", json!({})).expect("bins");
    assert_eq!(bins, json!({"bins": ["awk", "one", "ops", "two", "zed"]}));
}

#[test]
fn an_update_changes_nothing_else() {
    let home = Home::with_config(&json!({
        "skills": {"entries": {"other": {"apiKey": "${OTHER_KEY}", "config": {"x": 1}}}},
        "env": {"vars": {"OTHER_KEY": "k"}},
    }));
    let text = std::fs::read_to_string(home.config_file()).unwrap();
    let mut before: Value = serde_json::from_str(&text).unwrap();
    // A variable that the file itself exports is not there yet when the file is read.
    before["skills"]["entries"]["other"]["apiKey"] = "${HOME}".into();
    home.write_config(&before.to_string());
    let gateway = start(home);
    write_skill(
        &own_skills(&gateway.home),
        "frob",
        "description: d\nmetadata: {clawdbot: {skillKey: frobber, primaryEnv: FROB_KEY, requires: {env: [FROB_KEY, FROB_MODE]}}}",
    );
    let mut client = gateway.client();
    assert_eq!(status_of(&mut client, "frob").expect("found")["missing"]["env"], json!(["FROB_KEY", "FROB_MODE"]));
    let params =
        json!({"skillKey": "frobber", "apiKey": " sk-frob-secret ", "env": {"FROB_MODE": "fast", "GONE": " "}});
    let answer = client.request("skills.update", params).expect("updated");
    let entry = json!({"apiKey": "sk-frob-secret", "env": {"FROB_MODE": "fast"}});
    assert_eq!(answer, json!({"ok": true, "skillKey": "frobber", "config": entry}));
    assert_eq!(status_of(&mut client, "frob").expect("found")["eligible"], true, "seen at once");

    let answer = client.request("skills.update", json!({"skillKey": "frobber", "enabled": false, "apiKey": ""}));
    let entry = json!({"env": {"FROB_MODE": "fast"}, "enabled": false});
    assert_eq!(answer.expect("updated")["config"], entry);
    let status = status_of(&mut client, "frob").expect("found");
    assert_eq!((&status["disabled"], &status["eligible"]), (&json!(true), &json!(false)));

    let mut after: Value = serde_json::from_str(&std::fs::read_to_string(gateway.home.config_file()).unwrap()).unwrap();
    assert!(after.as_object_mut().unwrap().remove("meta").is_some());
    before["skills"]["entries"]["frobber"] = entry;
    assert_eq!(after, before, "references stay references, and everything else as it was");
    let log = std::fs::read_to_string(gateway.home.log_file()).unwrap();
    assert!(!log.contains("sk-frob-secret"), "secrets stay out of the log");
    let bad = client.request("skills.update", json!({"skillKey": "", "more": 1})).unwrap_err();
    assert_eq!(bad["code"], "INVALID_REQUEST");
}

#[test]
fn installers_run_and_say_what_went_wrong() {
    let home = Home::with_config(&json!({}));
    let install = "description: d\nmetadata: {clawdbot: {install: [\
        {id: npm, kind: node, package: '@x/tool@1; touch pwned'}, {id: good, kind: node, package: '@x/tool@1'},\
        {id: bad, kind: uv, package: p}, {id: slow, kind: go, module: m}, {id: none, kind: brew}]}}";
    write_skill(&own_skills(&home), "tool", install);
    write_program(&home, "npm", "echo \"args: $*\"; echo \"token: $CLAWDBOT_GATEWAY_TOKEN\"");
    write_program(&home, "uv", "echo working; echo 'error: no   such package' >&2; exit 3");
    write_program(&home, "go", &format!("echo $$ > {}/go.pid; echo begun; exec sleep 60", home.path().display()));
    let gateway = start(home);
    let mut client = gateway.client();
    let mut install =
        |id: &str| answer(&mut client, "skills.install", json!({"name": "tool", "installId": id, "timeoutMs": 1000}));

    let good = install("good");
    let stdout = "args: install -g @x/tool@1\ntoken:";
    assert_eq!(good["payload"], json!({"ok": true, "message": "Installed", "stdout": stdout, "stderr": "", "code": 0}));
    let bad = install("bad");
    assert_eq!((&bad["ok"], &bad["error"]["code"]), (&json!(false), &json!("UNAVAILABLE")));
    let message = "Install failed (exit 3): error: no such package";
    assert_eq!((&bad["error"]["message"], &bad["payload"]["message"]), (&json!(message), &json!(message)));
    let parts = (&bad["payload"]["stdout"], &bad["payload"]["stderr"], &bad["payload"]["code"]);
    assert_eq!(parts, (&json!("working"), &json!("error: no   such package"), &json!(3)));
    for (id, message) in [
        ("slow", "Install failed (timed out after 1s): begun"),
        ("npm", "invalid node package: @x/tool@1; touch pwned"),
        ("none", "missing brew formula"),
        ("what", "Installer not found: what"),
    ] {
        let refused = install(id);
        assert_eq!(
            (&refused["error"]["message"], &refused["payload"]["code"]),
            (&json!(message), &Value::Null),
            "{id}"
        );
    }
    let unknown = client.request("skills.install", json!({"name": "who", "installId": "x"})).unwrap_err();
    assert_eq!(unknown["message"], "Skill not found: who");
    let short =
        client.request("skills.install", json!({"name": "tool", "installId": "good", "timeoutMs": 999})).unwrap_err();
    assert!(short["message"].as_str().unwrap().starts_with("invalid skills.install params: "), "{short}");
}

#[test]
fn a_missing_package_manager_is_named() {
    let home = Home::with_config(&json!({"skills": {"install": {"nodeManager": "bun"}}}));
    write_skill(
        &own_skills(&home),
        "tool",
        "description: d\nmetadata: {clawdbot: {install: [{id: n, kind: node, package: p}]}}",
    );
    // No system directories: one of them may hold the manager.
    let bin = bin_dir(&home).display().to_string();
    let gateway = Gateway::start_in(home, &[], &[("PATH", &bin), ("CLAWDBOT_PATH_BOOTSTRAPPED", "1")]);
    let refused = gateway.client().request("skills.install", json!({"name": "tool", "installId": "n"})).unwrap_err();
    assert!(refused["message"].as_str().unwrap().starts_with("bun not installed"), "{refused}");
}

#[test]
fn a_running_installer_delays_nobody_and_ends_with_the_gateway() {
    let home = Home::with_config(&json!({}));
    write_skill(
        &own_skills(&home),
        "tool",
        "description: d\nmetadata: {clawdbot: {install: [{id: slow, kind: go, module: m}]}}",
    );
    let pid_file = home.path().join("go.pid");
    write_program(&home, "go", &format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 60", pid_file.display()));
    let mut gateway = start(home);
    let mut client = gateway.client();
    client.post("skills.install", json!({"name": "tool", "installId": "slow"}));
    client.post("skills.install", json!({"name": "tool", "installId": "slow"}));
    assert_eq!(client.request("health", json!({})).expect("health")["ok"], true);
    assert!(client.request("skills.status", json!({})).is_ok());
    let until = Instant::now() + crate::support::PATIENCE;
    while !pid_file.exists() {
        assert!(Instant::now() < until, "the installer did not start");
        std::thread::yield_now();
    }
    let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    let began = Instant::now();
    assert_eq!(gateway.stop().code, Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // SAFETY: signal 0 only asks whether the process exists.
    assert_eq!(unsafe { libc::kill(pid, 0) }, -1, "the installer still runs");
}

#[test]
fn downloads_are_stored_and_unpacked() {
    let home = Home::with_config(&json!({}));
    let pack = home.path().join("pack");
    std::fs::create_dir_all(pack.join("top/in")).unwrap();
    std::fs::write(pack.join("top/in/file"), "content").unwrap();
    let archive = pack.join("a.tar.gz");
    let tar =
        std::process::Command::new("tar").arg("czf").arg(&archive).arg("-C").arg(&pack).arg("top").status().unwrap();
    assert!(tar.success());
    let url = serve(vec![("/x/a.tar.gz?sig=1", std::fs::read(&archive).unwrap()), ("/plain", b"text".to_vec())]);
    let install = format!(
        "description: d\nmetadata: {{clawdbot: {{install: [\
        {{id: pack, kind: download, url: '{url}/x/a.tar.gz?sig=1', stripComponents: 1}},\
        {{id: plain, kind: download, url: '{url}/plain', targetDir: '~/there'}},\
        {{id: gone, kind: download, url: '{url}/gone'}},\
        {{id: odd, kind: download, url: '{url}/plain', extract: true}},\
        {{id: file, kind: download, url: 'file:///etc/passwd'}}]}}}}"
    );
    write_skill(&own_skills(&home), "tool", &install);
    let gateway = start(home);
    let mut client = gateway.client();
    let mut install = |id: &str| answer(&mut client, "skills.install", json!({"name": "tool", "installId": id}));
    let tools = gateway.home.state_dir().join("tools/tool");
    let pack = install("pack");
    assert_eq!(pack["payload"]["message"], json!(format!("Downloaded and extracted to {}", tools.display())), "{pack}");
    assert_eq!(std::fs::read_to_string(tools.join("in/file")).unwrap(), "content");
    assert!(tools.join("a.tar.gz").is_file());
    assert_eq!(install("pack")["ok"], true, "again");
    let plain = install("plain");
    assert_eq!(plain["payload"]["stdout"], "downloaded=4", "{plain}");
    assert_eq!(std::fs::read_to_string(gateway.home.path().join("there/plain")).unwrap(), "text");
    for (id, message) in [
        ("gone", "Download failed (404)"),
        ("odd", "extract requested but archive type could not be detected"),
        ("file", "invalid download url: file:///etc/passwd"),
    ] {
        assert_eq!(install(id)["error"]["message"], message);
    }
    let left: Vec<_> = std::fs::read_dir(&tools).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".part")), "{left:?}");
}

/// Serves files by path until the test ends; gives the URL.
fn serve(files: Vec<(&'static str, Vec<u8>)>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).is_ok_and(|count| count > 0) {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let path = head.split_whitespace().nth(1).unwrap_or_default();
            let found = files.iter().find(|(known, _)| *known == path);
            let (status, body) = found.map_or(("404 Not Found", &[][..]), |(_, body)| ("200 OK", body));
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(body));
        }
    });
    url
}

#[test]
fn the_model_is_told_of_skills_and_its_commands_see_their_variables() {
    let provider = Provider::start(|index, _| match index {
        0 => Answer::Tool("exec", json!({ "command": "echo \"key=$TEA_KEY home=$HOME\"" })),
        _ => Answer::Text(vec!["Brewed."]),
    });
    let entries = json!({ "tea": { "apiKey": "tea-secret", "env": { "HOME": "/elsewhere" } } });
    let gateway = Gateway::with_provider(&provider, json!({ "skills": { "entries": entries } }));
    let skills = own_skills(&gateway.home);
    write_skill(&skills, "tea", "description: Brews tea.\nmetadata: {\"clawdbot\":{\"primaryEnv\":\"TEA_KEY\"}}");
    write_skill(
        &skills,
        "rocket",
        "description: Flies.\nmetadata: {\"clawdbot\":{\"requires\":{\"bins\":[\"no-such-rocket\"]}}}",
    );
    let mut client = gateway.client();
    let params = json!({ "sessionKey": "agent:main:main", "message": "tea, please", "idempotencyKey": "r1" });
    client.request("chat.send", params).expect("started");
    assert_eq!(client.chat_end("r1")["state"], "final");
    let requests = provider.requests();
    let prompt = requests[0]["messages"][0]["content"].as_str().expect("a system prompt").to_owned();
    assert!(prompt.contains("## Skills (mandatory)") && prompt.contains("<name>tea</name>"), "{prompt}");
    assert!(prompt.contains("## Heartbeats\nHeartbeat prompt: "), "{prompt}");
    assert!(!prompt.contains("rocket") && !prompt.contains("tea-secret"), "{prompt}");
    let result = requests[1]["messages"].as_array().expect("messages").last().expect("a result").to_string();
    let home = gateway.home.path().display().to_string();
    assert!(result.contains(&format!("key=tea-secret home={home}")), "{result}");
    let client_log = std::fs::read_to_string(gateway.home.log_file()).unwrap_or_default();
    assert!(!client_log.contains("tea-secret"), "{client_log}");
}

#[test]
fn people_may_call_a_skill_by_its_name() {
    let provider = Provider::always(Answer::Text(vec!["Brewed."]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let skills = own_skills(&gateway.home);
    write_skill(&skills, "tea-time", "description: Brews tea.");
    write_skill(&skills, "model", "description: Sits for painters.");
    let mut client = gateway.client();
    for (run, message, told) in [
        ("r1", "/tea_time green, hot", "Use the \"tea-time\" skill for this request.\n\nUser input:\ngreen, hot"),
        ("r2", "/model_2", "Use the \"model\" skill for this request."),
        ("r3", "/coffee", "/coffee"),
    ] {
        let params = json!({ "sessionKey": "agent:main:main", "message": message, "idempotencyKey": run });
        client.request("chat.send", params).expect("started");
        assert_eq!(client.chat_end(run)["state"], "final");
        let requests = provider.requests();
        let last = requests.last().unwrap()["messages"].as_array().unwrap().last().unwrap();
        let text = match &last["content"] {
            Value::String(text) => text.clone(),
            parts => parts[0]["text"].as_str().unwrap_or_default().to_owned(),
        };
        assert!(text.ends_with(told), "{message}: {text}");
    }
}

#[test]
fn programs_of_skills_run_unasked_where_the_owner_allows_it() {
    let home = Home::with_config(&json!({ "tools": { "exec": { "host": "gateway", "ask": "off" } } }));
    let skills = own_skills(&home);
    write_skill(
        &skills,
        "brew",
        "description: Brews.\nmetadata: {\"clawdbot\":{\"requires\":{\"bins\":[\"brewer\"]}}}",
    );
    write_program(&home, "brewer", "echo brewed");
    write_program(&home, "other", "echo other");
    let policy = home.path().join(".clawdbot/exec-approvals.json");
    let write = |allows: bool| {
        let policy_text = json!({ "version": 1, "defaults": { "autoAllowSkills": allows }, "agents": {} }).to_string();
        std::fs::write(&policy, policy_text).unwrap();
    };
    write(true);
    let gateway = start(home);
    let mut client = gateway.client();
    let ran = call(&mut client, "exec", &json!({ "command": "brewer" }));
    assert_eq!(text(&ran), "brewed", "{ran}");
    assert_eq!(error(&call(&mut client, "exec", &json!({ "command": "other" }))), "exec denied: allowlist miss");
    write(false);
    assert_eq!(error(&call(&mut client, "exec", &json!({ "command": "brewer" }))), "exec denied: allowlist miss");
}
