//! The gateway as a service: what is installed, and how a real service manager runs it.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::gateway::{Gateway, free_port};
use crate::support::home::{Home, Ran};
use crate::support::systemd::Systemd;
use crate::support::{TOKEN, eventually_some, skipped};

/// A tool of the system that writes down what it is told and plays a script.
pub fn with_tool(home: &Home, name: &str, script: &str) -> String {
    let bin = home.path().join("fake-bin");
    std::fs::create_dir_all(&bin).expect("directory");
    let file = bin.join(name);
    std::fs::write(&file, format!("#!/bin/sh\necho \"$*\" >> \"$HOME/{name}.log\"\n{script}\n")).expect("script");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("mode");
    format!("{}:/usr/bin:/bin", bin.display())
}

/// A `systemctl` that knows a unit by its file.
pub fn with_systemctl(home: &Home, unit: &str) -> String {
    let script = format!(
        "for verb in $*; do case $verb in is-enabled) test -e {unit}; exit $? ;; show) printf 'ActiveState=inactive\\nSubState=dead\\nMainPID=0\\nExecMainStatus=0\\nExecMainCode=1\\n' ;; esac; done"
    );
    with_tool(home, "systemctl", &script)
}

fn run(home: &Home, path: &str, env: &[(&str, &str)], args: &[&str]) -> Ran {
    let mut command = home.command(args);
    command.env("PATH", path).envs(env.iter().copied());
    Ran::of(command)
}

#[test]
fn a_gateway_is_installed_asked_and_removed() {
    let home = Home::with_config(&json!({ "env": { "vars": { "FROM_CONFIG": "a b" } } }));
    let unit = home.path().join(".config/systemd/user/clawdbot-gateway.service");
    let path = with_systemctl(&home, &unit.display().to_string());
    let cli = |args: &[&str]| run(&home, &path, &[], args);

    let absent = cli(&["gateway", "start"]);
    assert_eq!(absent.code, Some(0), "{absent:?}");
    let wanted = "Gateway service disabled.\nStart with: clawdbot gateway install\nStart with: clawdbot gateway\nStart with: systemctl --user start clawdbot-gateway.service";
    assert_eq!(absent.stdout, wanted);

    let installed = cli(&["gateway", "install", "--port", "7", "--json"]).json();
    assert_eq!((&installed["action"], &installed["result"]), (&json!("install"), &json!("installed")));
    let text = std::fs::read_to_string(&unit).expect("a unit");
    for line in [
        "After=network-online.target",
        "Wants=network-online.target",
        "Restart=always",
        "RestartSec=5",
        "KillMode=process",
        "MemoryMax=75%",
        "OOMScoreAdjust=200",
        "Environment=\"FROM_CONFIG=a b\"",
        "Environment=CLAWDBOT_GATEWAY_PORT=7",
        "Environment=CLAWDBOT_GATEWAY_TOKEN=tok",
        "Environment=CLAWDBOT_SYSTEMD_UNIT=clawdbot-gateway.service",
        "Environment=CLAWDBOT_SERVICE_MARKER=clawdbot",
        "Environment=CLAWDBOT_SERVICE_KIND=gateway",
        "WantedBy=default.target",
    ] {
        assert!(text.lines().any(|it| it == line), "no {line} in {text}");
    }
    assert!(text.contains(" gateway --port 7\n"), "{text}");
    let mode = std::fs::metadata(&unit).expect("a unit").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds a token");
    let log = std::fs::read_to_string(home.path().join("systemctl.log")).expect("a log");
    assert!(log.contains("--user daemon-reload\n--user enable clawdbot-gateway.service\n"), "{log}");

    let again = cli(&["daemon", "install"]);
    let wanted = "Gateway service already enabled.\nReinstall with: clawdbot gateway install --force";
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), wanted));
    let status = cli(&["gateway", "status", "--json", "--no-probe"]).json();
    assert_eq!(status["service"]["loaded"], true);
    assert_eq!(status["service"]["configAudit"], json!({"ok": true, "issues": []}));
    assert_eq!(status["service"]["command"]["environment"], json!({"CLAWDBOT_GATEWAY_PORT": "7"}), "no token");
    assert_eq!((&status["gateway"]["port"], &status["gateway"]["portSource"]), (&json!(7), &json!("service args")));
    assert_eq!(status["portCli"]["port"], 18789);
    assert!(status.get("rpc").is_none() && status["config"].get("mismatch").is_none(), "{status}");
    let human = cli(&["gateway", "status"]);
    assert_eq!(human.code, Some(0), "a gateway that is down is no failure of this command");
    for part in
        ["Service: systemd (enabled)\n", "Command: ", "Gateway: bind=loopback (127.0.0.1), port=7 (service args)\n"]
    {
        assert!(human.stdout.contains(part), "{part} in {human:?}");
    }
    assert!(human.stderr.contains("RPC probe: failed\nRPC target: ws://127.0.0.1:7\n"), "{human:?}");
    assert!(human.stderr.contains("Service is loaded but not running (likely exited immediately).\n"), "{human:?}");

    for (verb, said) in [("restart", "Restarted"), ("stop", "Stopped")] {
        let ran = cli(&["gateway", verb]);
        let wanted = format!("{said} systemd service: clawdbot-gateway.service");
        assert_eq!((ran.code, ran.stdout), (Some(0), wanted));
    }
    let removed = cli(&["gateway", "uninstall"]);
    assert!(removed.stdout.starts_with("Removed systemd service: ") && !unit.exists(), "{removed:?}");
    let bad = cli(&["gateway", "install", "--port", "x"]);
    assert_eq!((bad.code, bad.stderr.trim()), (Some(1), "Invalid port"));
    // A manager that keeps it loaded whatever it is told.
    let path = with_systemctl(&home, "/dev/null");
    let kept = run(&home, &path, &[], &["gateway", "uninstall", "--json"]);
    let wanted = json!({"action": "uninstall", "ok": false, "error": "Gateway service still loaded after uninstall."});
    let answer: Value = serde_json::from_str(&kept.stdout).expect("JSON");
    assert_eq!((kept.code, answer), (Some(1), wanted));
    let kept = run(&home, &path, &[], &["gateway", "uninstall"]);
    assert_eq!((kept.code, kept.stderr.trim()), (Some(1), "Gateway service still loaded after uninstall."));
    let nix = run(&home, &path, &[("CLAWDBOT_NIX_MODE", "1")], &["gateway", "install"]);
    assert_eq!((nix.code, nix.stderr.trim()), (Some(1), "Nix mode detected; service install is disabled."));
}

#[test]
fn profiles_and_the_system_have_units_of_their_own() {
    let home = Home::with_config(&json!({}));
    let system = home.path().join("etc");
    let path = with_systemctl(&home, "/nowhere");
    let env = [("CLAWDBOT_SYSTEMD_DIR", system.to_str().expect("a path"))];
    let ran = run(&home, &path, &env, &["--profile", "work", "gateway", "install"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("clawdbot --profile work config set gateway.mode local"), "{ran:?}");
    let text = std::fs::read_to_string(home.path().join(".config/systemd/user/clawdbot-gateway-work.service"));
    let text = text.expect("a unit");
    assert!(text.contains("Description=Clawdbot Gateway (profile: work, v"), "{text}");
    assert!(text.contains(".clawdbot-work/clawdbot.json\n"), "{text}");
    let ran = run(&home, &path, &env, &["gateway", "install", "--system"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let text = std::fs::read_to_string(system.join("clawdbot-gateway.service")).expect("a unit");
    assert!(text.contains("\nUser=") && text.contains("WantedBy=multi-user.target"), "{text}");
    let log = std::fs::read_to_string(home.path().join("systemctl.log")).expect("a log");
    assert!(log.ends_with("daemon-reload\nenable clawdbot-gateway.service\nrestart clawdbot-gateway.service\nstatus\nis-enabled clawdbot-gateway.service\n"), "{log}");
    std::fs::write(system.join("my-bot.service"), "[Service]\nExecStart=/opt/clawdbot-old/run\n").expect("write");
    let deep = run(&home, &path, &env, &["gateway", "status", "--deep", "--no-probe", "--json"]).json();
    let found = &deep["extraServices"];
    assert_eq!((&found[0]["label"], &found[0]["scope"]), (&json!("my-bot.service"), &json!("system")), "{found}");
    assert_eq!(found.as_array().map(Vec::len), Some(1));
}

#[test]
fn the_system_s_unit_of_a_sudo_user_has_that_user_s_places() {
    let home = Home::with_config(&json!({}));
    let (system, user_home) = (home.path().join("etc"), home.path().join("other-user"));
    with_systemctl(&home, "/nowhere");
    let path = with_tool(&home, "getent", &format!("echo 'other:x:1234:1234::{}:/bin/sh'", user_home.display()));
    let env = [("CLAWDBOT_SYSTEMD_DIR", system.to_str().expect("a path")), ("SUDO_USER", "other")];
    let status = ["--profile", "work", "gateway", "status", "--system", "--no-probe", "--json"];
    let before = run(&home, &path, &env, &status).json();
    let config = user_home.join(".clawdbot-work/clawdbot.json");
    assert_eq!(before["config"]["daemon"]["path"], json!(config), "nothing is installed yet: {before}");
    let ran = run(
        &home,
        &path,
        &env,
        &["--profile", "work", "gateway", "install", "--system", "--port", &free_port().to_string()],
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let text = std::fs::read_to_string(system.join("clawdbot-gateway-work.service")).expect("a unit");
    let of_user = |rest: &str| user_home.join(rest).display().to_string();
    for line in [
        "User=other".to_owned(),
        format!("Environment=HOME={}", user_home.display()),
        "Environment=CLAWDBOT_PROFILE=work".to_owned(),
        format!("Environment=CLAWDBOT_STATE_DIR={}", of_user(".clawdbot-work")),
        format!("Environment=CLAWDBOT_CONFIG_PATH={}", of_user(".clawdbot-work/clawdbot.json")),
    ] {
        assert!(text.lines().any(|it| it == line), "no {line} in {text}");
    }
    with_tool(
        &home,
        "systemctl",
        "case $1 in show) printf 'ActiveState=active\\nSubState=running\\nMainPID=1\\n' ;; esac",
    );
    with_tool(&home, "journalctl", "echo 'Gateway start blocked: x'");
    let after = run(&home, &path, &env, &status).json();
    assert_eq!(after["lastError"], "Gateway start blocked: x", "{after}");
    let asked = std::fs::read_to_string(home.path().join("journalctl.log")).expect("a log");
    assert!(asked.starts_with("-u clawdbot-gateway-work.service "), "the system's journal: {asked}");
}

#[test]
fn a_service_that_reads_another_file_is_pointed_out() {
    let home = Home::with_config(&json!({}));
    let dir = home.path().join(".config/systemd/user");
    std::fs::create_dir_all(&dir).expect("directory");
    // As the original writes it: quoted where there is an s.
    let text = "[Unit]\nDescription=x\n[Service]\nExecStart=/usr/bin/node \"/opt/clawdbot/dist/entry.js\" gateway --port 18790\nRestart=always\nRestartSec=5\nEnvironment=\"CLAWDBOT_STATE_DIR=/nowhere/state\"\n";
    std::fs::write(dir.join("clawdbot-gateway.service"), text).expect("write");
    let path = with_systemctl(&home, "/dev/null");
    let status = run(&home, &path, &[], &["gateway", "status", "--json", "--no-probe"]).json();
    assert_eq!(status["config"]["mismatch"], true);
    assert_eq!(status["config"]["daemon"]["path"], "/nowhere/state/clawdbot.json");
    assert_eq!(status["gateway"]["port"], 18790);
    let codes: Vec<&Value> =
        status["service"]["configAudit"]["issues"].as_array().expect("issues").iter().map(|it| &it["code"]).collect();
    assert_eq!(
        codes,
        ["gateway-path-missing", "systemd-after-network-online", "systemd-wants-network-online", "systemd-memory-max"]
    );
    let human = run(&home, &path, &[], &["gateway", "status", "--no-probe"]);
    assert!(human.stderr.contains("Root cause: CLI and service are using different config paths"), "{human:?}");
}

#[test]
fn a_gateway_without_a_service_is_reachable_and_its_port_s_holder_is_named() {
    let mut gateway = Gateway::start(json!({}));
    let port = gateway.port.to_string();
    let path = with_tool(&gateway.home, "systemctl", "echo 'Failed to connect to bus: No medium found' >&2; exit 1");
    let env = [("CLAWDBOT_GATEWAY_PORT", port.as_str()), ("CLAWDBOT_GATEWAY_TOKEN", TOKEN)];
    let status = run(&gateway.home, &path, &env, &["gateway", "status", "--json"]).json();
    assert_eq!((&status["rpc"]["ok"], &status["port"]["status"]), (&json!(true), &json!("busy")));
    assert_eq!(
        (&status["service"]["loaded"], &status["service"]["runtime"]["status"]),
        (&json!(false), &json!("unknown"))
    );
    if std::path::Path::new("/usr/bin/lsof").exists() {
        let listener = &status["port"]["listeners"][0];
        assert_eq!(listener["pid"], gateway.pid(), "{status}");
        assert!(listener["commandLine"].as_str().is_some_and(|line| line.contains(" gateway --port ")), "{listener}");
    }
    let human = run(&gateway.home, &path, &env, &["gateway", "status"]);
    assert!(
        human.stdout.contains("RPC probe: ok\n") && human.stderr.contains("systemd user services unavailable.\n"),
        "{human:?}"
    );
    // A second start says who is there, and which service may be behind it.
    let second = Gateway::run_to_end(&gateway.home, gateway.port, &[]);
    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains(&format!("gateway already running (pid {})", gateway.pid())), "{second:?}");
    gateway.stop();
}

#[test]
fn a_real_user_manager_runs_restarts_and_forgets_the_gateway() {
    let port = free_port();
    // The unit's gateway sees nothing of this test's environment: by its configuration it stays off the network.
    let quiet = json!({ "CLAWDBOT_DISABLE_BONJOUR": "1" });
    let home = Home::with_config(&json!({ "gateway": { "port": port }, "env": { "vars": quiet } }));
    let systemd = match Systemd::start(&home) {
        Ok(systemd) => systemd,
        Err(why) => return skipped(&format!("gateway under a real systemd --user: {why}")),
    };
    let cli = |args: &[&str]| systemd.clawdbot(&home, args);
    let installed = cli(&["gateway", "install", "--json"]);
    assert_eq!(installed.json()["result"], "installed", "{installed:?}");
    let unit = "clawdbot-gateway.service";
    assert_eq!(systemd.run(&home, &["systemctl", "--user", "is-enabled", unit]).stdout.trim(), "enabled");
    let file = home.path().join(".config/systemd/user").join(unit);
    let judged = systemd.run(&home, &["systemd-analyze", "--user", "verify", file.to_str().expect("a path")]);
    assert_eq!(judged.code, Some(0), "{judged:?}");
    let up = eventually_some("the gateway answers", || {
        Some(cli(&["gateway", "status", "--json"]).json()).filter(|it| it["rpc"]["ok"] == true)
    });
    assert_eq!(up["service"]["runtime"]["status"], "running", "{up}");
    let first = up["service"]["runtime"]["pid"].as_u64().expect("a pid");

    // SAFETY: plain system call; the pid is that of the test's own unit.
    unsafe { libc::kill(i32::try_from(first).expect("a pid"), libc::SIGKILL) };
    let again = eventually_some("it comes back", || {
        let status = cli(&["gateway", "status", "--json"]).json();
        let is_new = status["service"]["runtime"]["pid"].as_u64().is_some_and(|pid| pid != first);
        Some(status).filter(|it| is_new && it["rpc"]["ok"] == true)
    });
    let second = again["service"]["runtime"]["pid"].as_u64();
    assert_eq!(cli(&["gateway", "restart"]).stdout.trim(), format!("Restarted systemd service: {unit}"));
    eventually_some("it restarts", || {
        let status = cli(&["gateway", "status", "--json"]).json();
        Some(()).filter(|()| status["rpc"]["ok"] == true && status["service"]["runtime"]["pid"].as_u64() != second)
    });
    assert_eq!(cli(&["gateway", "stop", "--json"]).json()["service"]["loaded"], true, "it stays enabled");
    let stopped = cli(&["gateway", "status"]);
    assert!(
        stopped.stdout.contains("Runtime: stopped (state inactive, sub dead, last exit 0, reason 1)"),
        "{stopped:?}"
    );

    // A service that cannot start says why.
    let broken = Ran::of(home.command(&["config", "set", "gateway.mode", "remote"]));
    assert_eq!(broken.code, Some(0), "{broken:?}");
    cli(&["gateway", "start"]);
    let errors = home.state_dir().join("logs/gateway.err.log");
    eventually_some("the failure is kept", || {
        std::fs::read_to_string(&errors).ok().filter(|it| it.contains("Gateway start blocked"))
    });
    assert_eq!(cli(&["gateway", "uninstall"]).code, Some(0));
    assert!(!file.exists());
    let gone = cli(&["gateway", "status", "--json", "--no-probe"]).json();
    assert_eq!((&gone["service"]["loaded"], &gone["service"]["command"]), (&json!(false), &Value::Null));

    // The set-up by flags ends with a gateway that runs as a service and answers.
    let set_up = cli(&["onboard", "--non-interactive", "--accept-risk", "--install-daemon", "--skip-skills"]);
    assert_eq!(set_up.code, Some(0), "{set_up:?}");
    assert!(set_up.stdout.contains(&format!("Gateway: reachable at ws://127.0.0.1:{port}\n")), "{set_up:?}");
    assert!(set_up.stdout.contains("Heartbeat interval: "), "its health is shown: {set_up:?}");
    assert!(file.exists());
}
