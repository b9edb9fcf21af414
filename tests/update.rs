//! `update.run` on a git checkout of its own, with a cargo that only copies.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::home::Home;

fn git(home: &Home, dir: &Path, words: &[&str]) {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main"]);
    let output = command.args(words).current_dir(dir).env("HOME", home.path()).output().expect("git runs");
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn update(client: &mut Client) -> Value {
    let params = json!({ "note": "fresh", "restartDelayMs": 0 });
    let answer = client.request("update.run", params).unwrap();
    assert_eq!(answer["ok"], true);
    answer
}

#[test]
fn a_checkout_is_built_and_the_new_program_takes_over() {
    if Command::new("git").arg("--version").output().is_err() {
        eprintln!("skipped: there is no git");
        return;
    }
    let mut home = Home::with_config(&json!({}));
    let (root, origin, bin) = (home.path().join("src"), home.path().join("origin"), home.path().join("bin"));
    for dir in [&root, &origin, &bin] {
        std::fs::create_dir_all(dir).unwrap();
    }
    git(&home, &origin, &["init", "--bare", "--quiet"]);
    git(&home, &root, &["init", "--quiet"]);
    std::fs::write(root.join(".gitignore"), "target\n").unwrap();
    std::fs::write(root.join("Cargo.toml"), "[package]\nname = \"clawdbot\"\nversion = \"1.0.0\"\n").unwrap();
    git(&home, &root, &["add", "."]);
    git(&home, &root, &["commit", "--quiet", "-m", "one"]);
    git(&home, &root, &["remote", "add", "origin", "../origin"]);
    git(&home, &root, &["push", "--quiet", "--set-upstream", "origin", "main"]);
    // The commit that is to come.
    std::fs::write(root.join("Cargo.toml"), "[package]\nname = \"clawdbot\"\nversion = \"1.0.1\"\n").unwrap();
    git(&home, &root, &["commit", "--quiet", "-a", "-m", "two"]);
    git(&home, &root, &["push", "--quiet"]);
    git(&home, &root, &["reset", "--quiet", "--hard", "HEAD~1"]);

    let program = root.join("target/release/clawdbot");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::fs::copy(&home.program, &program).unwrap();
    home.program = program.clone();
    let cargo = bin.join("cargo");
    // A build only where there is something new, as cargo does.
    let script = "#!/bin/sh\necho building \"$@\"\ncmp -s Cargo.toml target/built && exit 0\ncp Cargo.toml target/built\n\
                  cp target/release/clawdbot target/release/new && mv target/release/new target/release/clawdbot\n";
    std::fs::write(&cargo, script).unwrap();
    std::fs::set_permissions(&cargo, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    // What is there is told without touching it, also on the page about everything.
    let look = home.run(&["update", "status", "--json"]).json();
    let git = &look["update"]["git"];
    assert_eq!(
        (&look["update"]["installKind"], &git["behind"], &git["dirty"]),
        (&json!("git"), &json!(1), &json!(false))
    );
    assert_eq!((&git["fetchOk"], &look["availability"]["available"]), (&json!(true), &json!(true)), "{look}");
    assert_eq!(look["channel"], json!({"value": "dev", "source": "git-branch", "label": "dev (main)", "config": null}));
    let human = home.run(&["update", "status"]).stdout;
    assert!(human.contains("available · git main · ↔ origin/main · behind 1"), "{human}");
    assert!(human.contains("Update available (git behind 1). Run: clawdbot update"), "{human}");
    let status = home.run(&["status", "--json"]).json();
    assert_eq!((&status["updateChannel"], &status["update"]["git"]["behind"]), (&json!("dev"), &json!(1)));
    let gateway = Gateway::start_in(home, &[], &[("PATH", &path)]);

    let mut client = gateway.client();
    let answer = update(&mut client);
    let result = &answer["result"];
    assert_eq!((&result["status"], &result["mode"]), (&json!("ok"), &json!("git")), "{answer:#}");
    assert_eq!((&result["before"]["version"], &result["after"]["version"]), (&json!("1.0.0"), &json!("1.0.1")));
    let steps: Vec<&str> =
        result["steps"].as_array().unwrap().iter().filter_map(|step| step["name"].as_str()).collect();
    assert_eq!(steps, ["clean check", "upstream check", "git fetch", "git merge", "cargo build"]);
    assert_eq!(result["steps"][4]["stdoutTail"], "building build --locked --release");
    assert_eq!((&answer["restart"]["reason"], &answer["restart"]["delayMs"]), (&json!("update.run"), &json!(0)));
    assert_eq!(answer["sentinel"]["payload"]["stats"]["after"]["version"], "1.0.1");
    assert_eq!(client.wait_close().0, 1012);
    gateway.wait_lines("listening on ws://127.0.0.1", 2);
    let running = std::fs::canonicalize(format!("/proc/{}/exe", gateway.pid())).expect("the same process");
    assert_eq!(running, program.canonicalize().unwrap(), "which runs what was built, not what was replaced");

    let mut client = gateway.client();
    let answer = update(&mut client);
    assert_eq!(answer["result"]["reason"], "already up to date", "{answer:#}");
    assert_eq!((&answer["restart"], &answer["sentinel"]["path"]), (&Value::Null, &Value::Null));
    std::fs::write(root.join("note"), "mine").unwrap();
    let answer = update(&mut client);
    assert_eq!(answer["result"]["status"], "skipped");
    let reason = answer["result"]["reason"].as_str().unwrap();
    assert!(reason.contains("Commit or stash them, then run: git -C "), "{reason}");
    assert_eq!(std::fs::read_to_string(root.join("note")).unwrap(), "mine");
    assert_eq!(client.request("health", json!({})).unwrap()["ok"], true);
}

#[test]
fn a_single_file_is_not_touched() {
    let mut home = Home::with_config(&json!({}));
    let program = home.path().join("clawdbot");
    std::fs::copy(&home.program, &program).unwrap();
    home.program = program.clone();
    let gateway = Gateway::start_in(home, &[], &[]);
    let answer = update(&mut gateway.client());
    assert_eq!(answer["result"]["status"], "skipped");
    let reason = answer["result"]["reason"].as_str().unwrap();
    assert!(reason.contains(&format!("Put a newer one in the place of {}", program.display())), "{reason}");
    assert_eq!((&answer["restart"], &answer["result"]["steps"]), (&Value::Null, &json!([])));
    let ran = gateway.home.run(&["update"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains(&format!("Skipped: {reason}")), "{ran:?}");
    assert_eq!(gateway.home.run(&["update", "--json"]).json()["status"], "skipped");
    let look = gateway.home.run(&["update", "status"]).stdout;
    assert!(look.contains("a single file") && look.contains("stable (default)"), "{look}");
    let channel = gateway.home.run(&["update", "--channel", "Beta", "--no-restart", "--yes"]);
    assert!(channel.stdout.starts_with("Update channel set to beta.\nSkipped: "), "{channel:?}");
    assert_eq!(gateway.home.run(&["update", "status", "--json"]).json()["channel"]["label"], "beta (config)");
    for (args, said) in [
        (
            vec!["update", "--channel", "nightly"],
            "--channel must be \"stable\", \"beta\", or \"dev\" (got \"nightly\")",
        ),
        (vec!["update", "status", "--timeout", "0"], "--timeout must be a positive integer (seconds)"),
        (vec!["update", "wizard"], "The update wizard asks questions and needs a terminal. Use: clawdbot update"),
    ] {
        let ran = gateway.home.run(&args);
        assert_eq!((ran.code, ran.stderr.trim()), (Some(1), said), "{args:?}");
    }
}
