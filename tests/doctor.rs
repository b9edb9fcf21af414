//! `doctor` and `security audit`: what they find, and what they mend.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::service::with_tool;
use crate::support::gateway::Gateway;
use crate::support::home::{Home, Ran};

/// A doctor that finds no service manager, whatever machine the tests run on.
fn doctor(home: &Home, args: &[&str]) -> Ran {
    let path = with_tool(home, "systemctl", "echo 'Failed to connect to bus: No medium found' >&2; exit 1");
    let mut command = home.command(&[&["doctor"], args].concat());
    command.env("PATH", path).env("CLAWDBOT_GATEWAY_PORT", crate::support::gateway::free_port().to_string());
    let ran = Ran::of(command);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.trim_end().ends_with("Doctor complete."), "{ran:?}");
    ran
}

fn config_of(home: &Home) -> Value {
    serde_json::from_str(&std::fs::read_to_string(home.config_file()).expect("a file")).expect("JSON")
}

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[test]
fn old_and_unknown_keys_are_shown_and_mended_when_asked_for() {
    let home = Home::empty();
    home.write_config("{ gateway: { mode: 'local', port: 7, nonsense: 1 }, routing: { queue: {} }, logging: { file: '${HOME}/x.log' } }");
    let before = std::fs::read_to_string(home.config_file()).expect("a file");
    let shown = doctor(&home, &[]);
    for part in [
        "Legacy config keys detected\n  - routing.queue: ",
        "Moved routing.queue → messages.queue.",
        "Run \"clawdbot doctor --fix\" to apply legacy migrations.",
        "Unknown config keys\n  - gateway.nonsense\n",
        "Gateway auth is off or missing a token.",
        "State directory permissions are too open",
        "Gateway not running.",
        "systemd user services are unavailable",
    ] {
        assert!(shown.stdout.contains(part), "{part} in {shown:?}");
    }
    assert_eq!(std::fs::read_to_string(home.config_file()).expect("a file"), before, "nobody agreed to anything");
    let fixed = doctor(&home, &["--fix", "--non-interactive"]);
    assert!(
        fixed.stdout.contains("Updated ~/.clawdbot/clawdbot.json\nBackup: ~/.clawdbot/clawdbot.json.bak\n"),
        "{fixed:?}"
    );
    let config = config_of(&home);
    assert_eq!((&config["gateway"]["port"], config["gateway"].get("nonsense")), (&json!(7), None), "{config}");
    assert_eq!(config["logging"]["file"], "${HOME}/x.log", "what the owner wrote stays");
    assert_eq!((&config["messages"]["queue"], config.get("routing")), (&json!({}), None), "{config}");
    assert_eq!(config["gateway"]["auth"]["token"].as_str().map(str::len), Some(48), "{config}");
    assert_eq!(config["wizard"]["lastRunCommand"], "doctor");
    assert_eq!(mode(&home.state_dir()), 0o700);
    assert_eq!(mode(&home.config_file()), 0o600);
    assert!(home.state_dir().join("agents/main/sessions").is_dir() && home.state_dir().join("credentials").is_dir());
    let again = doctor(&home, &[]);
    for part in ["Unknown config keys", "Legacy config keys", "State integrity", "Gateway auth", "to apply changes"] {
        assert!(!again.stdout.contains(part), "{part} again in {again:?}");
    }
}

#[test]
fn a_broken_file_is_only_replaced_by_force() {
    let home = Home::empty();
    home.write_config("{ gateway: { mode: 'local', auth: { token: 'x' } } }");
    assert_eq!(home.run(&["config", "set", "gateway.port", "7"]).code, Some(0));
    std::fs::write(home.config_file(), "{ gateway: { port: ").expect("write");
    let shown = doctor(&home, &["--fix"]);
    assert!(shown.stdout.contains("The newest version that works is ~/.clawdbot/clawdbot.json.bak."), "{shown:?}");
    assert!(shown.stderr.contains("Invalid config:\n- <root>: JSON5 parse failed"), "{shown:?}");
    assert_eq!(std::fs::read_to_string(home.config_file()).expect("a file"), "{ gateway: { port: ");
    let forced = doctor(&home, &["--fix", "--force"]);
    assert!(forced.stdout.contains("Restored ~/.clawdbot/clawdbot.json.bak"), "{forced:?}");
    assert_eq!(home.run(&["config", "get", "gateway.mode"]).stdout.trim(), "local");
    let aside = std::fs::read_dir(home.state_dir()).expect("state").flatten();
    assert!(aside.into_iter().any(|entry| entry.file_name().to_string_lossy().contains(".corrupt-")));
}

#[test]
fn state_of_older_versions_moves_to_where_it_is_read_now() {
    let home = Home::with_config(&json!({}));
    let state = home.state_dir();
    std::fs::create_dir_all(state.join("sessions")).expect("directory");
    std::fs::create_dir_all(state.join("credentials")).expect("directory");
    let id = "11111111-2222-3333-4444-555555555555";
    std::fs::write(
        state.join("sessions/sessions.json"),
        json!({"main": {"sessionId": id, "updatedAt": 5}}).to_string(),
    )
    .expect("write");
    std::fs::write(state.join(format!("sessions/{id}.jsonl")), "{\"type\":\"session\"}\n{}\n").expect("write");
    std::fs::write(state.join("credentials/creds.json"), "{}").expect("write");
    std::fs::write(state.join("credentials/oauth.json"), "{}").expect("write");
    let ran = doctor(&home, &["--non-interactive"]);
    assert!(ran.stdout.contains("Legacy state detected\n  - Sessions: ~/.clawdbot/sessions → "), "{ran:?}");
    assert!(ran.stdout.contains("Moved 1 WhatsApp auth files"), "{ran:?}");
    assert!(
        state.join("credentials/whatsapp/default/creds.json").exists() && state.join("credentials/oauth.json").exists()
    );
    assert_eq!(home.sessions()["agent:main:main"]["sessionId"], id);
    assert_eq!(home.transcripts().len(), 1);
    assert!(!state.join("sessions").exists());
    let listed = home.run(&["sessions", "--json"]).json();
    assert_eq!(listed["sessions"][0]["key"], "agent:main:main", "{listed}");
}

#[test]
fn a_session_store_under_another_name_is_the_one_that_is_looked_at() {
    let home = Home::with_config(&json!({ "session": { "store": "~/stores/{agentId}.json" } }));
    let id = "11111111-2222-3333-4444-555555555555";
    std::fs::create_dir_all(home.path().join("stores")).expect("directory");
    let entries = json!({"agent:main:main": {"sessionId": id, "updatedAt": 5}});
    std::fs::write(home.path().join("stores/main.json"), entries.to_string()).expect("write");
    let sessions = home.state_dir().join("agents/main/sessions");
    std::fs::create_dir_all(&sessions).expect("directory");
    let shown = doctor(&home, &["--non-interactive"]);
    assert!(shown.stdout.contains("1/1 recent sessions are missing transcripts."), "{shown:?}");
    assert!(shown.stdout.contains("Main session transcript missing"), "{shown:?}");
    let transcript = sessions.join(format!("{id}.jsonl"));
    std::fs::write(&transcript, "{\"type\":\"session\"}\n\n").expect("write");
    let shown = doctor(&home, &["--non-interactive"]);
    assert!(shown.stdout.contains("Main session transcript has only 1 line."), "{shown:?}");
    std::fs::write(&transcript, "{\"type\":\"session\"}\n{}\n").expect("write");
    let shown = doctor(&home, &["--non-interactive"]);
    assert!(!shown.stdout.contains("ranscript"), "{shown:?}");
}

#[test]
fn a_service_of_the_original_is_repaired() {
    let home = Home::with_config(&json!({}));
    let dir = home.path().join(".config/systemd/user");
    std::fs::create_dir_all(&dir).expect("directory");
    let unit = dir.join("clawdbot-gateway.service");
    let state = format!("\nEnvironment=CLAWDBOT_STATE_DIR={}\n", home.path().join("data").display());
    let text = format!(
        "[Service]\nExecStart=/usr/bin/node \"/opt/clawdbot/dist/entry.js\" gateway --port 18790\nRestart=always\nRestartSec=5\nEnvironment=CLAWDBOT_GATEWAY_TOKEN=kept{state}"
    );
    std::fs::write(&unit, &text).expect("write");
    let path = crate::service::with_systemctl(&home, &unit.display().to_string());
    with_tool(&home, "loginctl", "echo Linger=no");
    let run = |args: &[&str]| {
        let mut command = home.command(args);
        command.env("PATH", &path);
        Ran::of(command)
    };
    let shown = run(&["doctor", "--non-interactive"]);
    assert!(
        shown.stdout.contains(
            "Gateway service entrypoint does not match the current install. (/opt/clawdbot/dist/entry.js -> "
        ),
        "{shown:?}"
    );
    assert!(shown.stdout.contains("Run: sudo loginctl enable-linger "), "{shown:?}");
    assert_eq!(std::fs::read_to_string(&unit).expect("unit"), text);
    let fixed = run(&["doctor", "--fix", "--non-interactive"]);
    assert!(fixed.stdout.contains("Installed systemd service: "), "{fixed:?}");
    let text = std::fs::read_to_string(&unit).expect("unit");
    assert!(text.contains("clawdbot gateway --port 18790\n") && text.contains("MemoryMax="), "{text}");
    assert!(text.contains("CLAWDBOT_GATEWAY_TOKEN=kept"), "{text}");
    // This shell knows nothing of it: the service does.
    assert!(text.contains(&state), "{text}");
}

#[test]
fn old_keys_do_not_keep_a_gateway_from_starting() {
    let home = Home::with_config(&json!({ "routing": { "queue": { "mode": "collect" } } }));
    let mut gateway = Gateway::start_in(home, &[], &[]);
    assert_eq!(config_of(&gateway.home)["messages"]["queue"]["mode"], "collect");
    assert!(gateway.home.state_dir().join("clawdbot.json.bak").exists());
    gateway.stop();
}

#[test]
fn open_doors_are_named_and_closed() {
    let home = Home::with_config(&json!({
        "channels": { "telegram": { "botToken": "1:x", "dmPolicy": "open", "allowFrom": ["*"], "groupPolicy": "open" } },
        "logging": { "redactSensitive": "off" },
    }));
    let report = home.run(&["security", "audit", "--json"]).json();
    let ids = |report: &Value| -> Vec<String> {
        let findings = report["findings"].as_array().expect("findings");
        findings.iter().map(|it| it["checkId"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let found = ids(&report);
    for id in [
        "summary.attack_surface",
        "gateway.token_too_short",
        "logging.redact_off",
        "fs.config.perms_world_readable",
        "channels.telegram.dm.open",
        "channels.telegram.groups.allowFrom.missing",
        "security.exposure.open_groups_with_elevated",
    ] {
        assert!(found.iter().any(|it| it == id), "{id} in {found:?}");
    }
    assert!(report["summary"]["critical"].as_u64() >= Some(4), "{report}");
    // Credentials that live elsewhere are looked at there: who was paired, and who may read them.
    let elsewhere = home.path().join("credentials-elsewhere");
    std::fs::create_dir(&elsewhere).expect("directory");
    std::fs::write(elsewhere.join("telegram-allowFrom.json"), "{\"allowFrom\": [\"42\"]}").expect("write");
    std::fs::set_permissions(&elsewhere, std::fs::Permissions::from_mode(0o770)).expect("mode");
    let mut command = home.command(&["security", "audit", "--json"]);
    command.env("CLAWDBOT_OAUTH_DIR", &elsewhere);
    let found = ids(&Ran::of(command).json());
    assert!(found.iter().any(|it| it == "fs.credentials_dir.perms_writable"), "{found:?}");
    assert!(!found.iter().any(|it| it == "channels.telegram.groups.allowFrom.missing"), "{found:?}");
    let fixed = home.run(&["security", "audit", "--fix"]);
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    assert!(fixed.stdout.contains("  chmod 700 ~/.clawdbot\n"), "{fixed:?}");
    let after = ids(&home.run(&["security", "audit", "--json", "--deep"]).json());
    assert!(!after.iter().any(|it| it == "logging.redact_off" || it.contains(".perms_")), "{after:?}");
    assert!(after.iter().any(|it| it == "gateway.probe_failed"), "{after:?}");
    assert_eq!(config_of(&home)["channels"]["telegram"]["groupPolicy"], "allowlist");
}

#[test]
fn an_open_group_alone_is_offered_to_be_closed() {
    let home = Home::with_config(&json!({
        "channels": { "telegram": { "botToken": "1:x", "groupPolicy": "open" } },
    }));
    for (path, mode) in [(home.state_dir(), 0o700), (home.config_file(), 0o600)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode");
    }
    let shown = home.run(&["security", "audit"]);
    assert!(shown.stdout.contains("\nFix: clawdbot security audit --fix\n"), "{shown:?}");
    assert_eq!(home.run(&["security", "audit", "--fix"]).code, Some(0));
    let again = home.run(&["security", "audit"]);
    assert!(!again.stdout.contains("\nFix: "), "{again:?}");
}

#[test]
fn a_reset_takes_away_what_it_says_and_asks_before() {
    let home = Home::with_config(&json!({}));
    assert_eq!(home.run(&["setup"]).code, Some(0));
    let refused = home.run(&["reset", "--scope", "full"]);
    assert_eq!((refused.code, refused.stderr.trim()), (Some(1), "Non-interactive mode requires --yes."));
    let bad = home.run(&["reset", "--scope", "x", "--yes"]);
    assert!(bad.stderr.starts_with("Invalid --scope. Expected \"config\""), "{bad:?}");
    let dry = home.run(&["reset", "--scope", "full", "--dry-run"]);
    assert_eq!(dry.stdout.lines().next(), Some("[dry-run] stop gateway service"), "{dry:?}");
    assert!(dry.stdout.contains("[dry-run] remove ~/clawd\n") && home.config_file().exists(), "{dry:?}");
    let unsafe_home = home.path().display().to_string();
    let config = json!({"gateway": {"mode": "local"}, "agents": {"defaults": {"workspace": unsafe_home}}});
    home.write_config(&config.to_string());
    let kept = home.run(&["uninstall", "--workspace", "--yes", "--non-interactive"]);
    assert_eq!((kept.code, kept.stderr.trim()), (Some(1), "Refusing to remove unsafe path: ~"), "{kept:?}");
    let done = home.run(&["reset", "--scope", "config+creds+sessions", "--yes", "--non-interactive"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("Removed ~/.clawdbot/clawdbot.json\n") && !home.config_file().exists(), "{done:?}");
    assert!(!home.state_dir().join("agents/main/sessions").exists() && home.path().join("clawd").exists());
    // A gateway in the foreground would go on with what is gone, and write it anew.
    let mut gateway = Gateway::start_in(home, &[], &[]);
    for words in [&["uninstall", "--state", "--yes"][..], &["reset", "--scope", "full", "--yes"]] {
        let refused = gateway.home.run(words);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(&format!("a gateway is running (pid {})", gateway.pid())), "{refused:?}");
    }
    assert!(gateway.home.state_dir().exists());
    gateway.stop();
    let home = gateway.kill();
    let gone = home.run(&["uninstall", "--state", "--yes"]);
    assert!(gone.stdout.contains("Tip: workspaces were preserved.") && !home.state_dir().exists(), "{gone:?}");
}
