//! A state directory of the original's: taken over in place, and given back so that the original reads it again.

use serde_json::json;

use crate::service::with_systemctl;
use crate::support::gateway::Gateway;
use crate::support::home::{Home, Ran};
use crate::support::original::Original;

#[test]
fn a_state_directory_goes_over_and_back() {
    let Some(original) = Original::find() else { return };
    let home = Home::empty();
    let run = |home: &Home, args: &[&str]| {
        let unit = home.path().join(".config/systemd/user/clawdbot-gateway.service");
        let path = with_systemctl(home, &unit.display().to_string());
        let mut command = original.command_at(18789, home, args);
        let node = std::path::Path::new(original.program()).parent().expect("a directory").display().to_string();
        // Its own search for programs would put other directories first.
        command.env("PATH", format!("{path}:{node}")).env("CLAWDBOT_PATH_BOOTSTRAPPED", "1");
        command.env_remove("CLAWDBOT_GATEWAY_PORT");
        Ran::of_within(&mut command, crate::support::PATIENCE * 3)
    };
    for args in [
        &["setup"][..],
        &["config", "set", "gateway.mode", "local"],
        &["config", "set", "logging.file", &home.log_file().display().to_string()],
        &["gateway", "install"],
    ] {
        let ran = run(&home, args);
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:#?}");
    }
    let unit = home.path().join(".config/systemd/user/clawdbot-gateway.service");
    assert!(std::fs::read_to_string(&unit).expect("the original's unit").contains("entry.js"));

    // Over: what the original wrote is understood, its service becomes ours.
    let path = with_systemctl(&home, &unit.display().to_string());
    let ours = |home: &Home, args: &[&str]| {
        let mut command = home.command(args);
        command.env("PATH", &path);
        Ran::of(command)
    };
    let status = ours(&home, &["gateway", "status", "--json", "--no-probe"]).json();
    let first = status["service"]["command"]["programArguments"][1].as_str().unwrap_or_default().to_owned();
    assert!(first.ends_with("entry.js"), "{status}");
    let doctor = ours(&home, &["doctor", "--fix", "--non-interactive"]);
    assert!(doctor.stdout.contains("entrypoint does not match") && doctor.code == Some(0), "{doctor:#?}");
    assert!(!std::fs::read_to_string(&unit).expect("our unit").contains("entry.js"));
    let mut gateway = Gateway::start_in(home, &[], &[]);
    let token = gateway.home.run(&["config", "get", "gateway.auth.token"]).stdout.trim().to_owned();
    let mut cron = gateway.home.command(&["cron", "add", "--name", "tea", "--every", "1h", "--system-event", "x"]);
    cron.env("CLAWDBOT_GATEWAY_PORT", gateway.port.to_string()).env("CLAWDBOT_GATEWAY_TOKEN", &token);
    assert_eq!(Ran::of(cron).code, Some(0));
    let mut said = gateway.home.command(&["agent", "--agent", "main", "--message", "hello"]);
    said.env("CLAWDBOT_GATEWAY_PORT", gateway.port.to_string()).env("CLAWDBOT_GATEWAY_TOKEN", &token);
    assert_eq!(Ran::of(said).code, Some(0));
    assert_eq!(gateway.stop().code, Some(0));
    let home = gateway.kill();

    // Back: the original finds its configuration valid, the session and the service.
    let mode = run(&home, &["config", "get", "gateway.mode"]);
    assert_eq!((mode.code, mode.stdout.trim()), (Some(0), "local"), "{mode:#?}");
    let sessions = run(&home, &["sessions", "--json"]);
    assert!(sessions.stdout.contains("agent:main:main"), "{sessions:#?}");
    let status = run(&home, &["gateway", "status", "--json", "--no-probe"]);
    let parsed = crate::support::original::json_in(&status);
    assert_eq!(parsed["service"]["command"]["programArguments"][1], json!("gateway"), "{parsed}");
    let jobs = std::fs::read_to_string(home.state_dir().join("cron/jobs.json")).expect("jobs");
    assert!(jobs.contains("\"tea\""), "{jobs}");
}
