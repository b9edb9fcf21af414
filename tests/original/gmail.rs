//! The watcher of a mailbox and its setup: both have the same programs do the same.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::gmail::{GCLOUD, GOG, TAILSCALE, calls, config, kill, pids, set_up, watched, written};
use crate::service::with_tool;
use crate::support::gateway::free_port;
use crate::support::home::{Home, Ran};
use crate::support::original::{Original, json_in};
use crate::support::{PATIENCE, eventually};

/// Killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(original: &Original, home: &Home, args: &[&str]) -> Command {
    let mut command = original.command_at(free_port(), home, args);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", home.path().join("fake-bin").display()));
    // Else it puts this machine's programs before those of the test.
    command.env("CLAWDBOT_PATH_BOOTSTRAPPED", "1").env_remove("CLAWDBOT_GATEWAY_PORT");
    command.env("CLAWDBOT_SKIP_CHANNELS", "1").env("CLAWDBOT_DISABLE_BONJOUR", "1");
    command.env("CLAWDBOT_SKIP_BROWSER_CONTROL_SERVER", "1");
    command
}

#[test]
fn gog_gcloud_and_tailscale_are_called_alike() {
    let Some(original) = Original::find() else { return };
    let mut with_funnel = config();
    with_funnel["hooks"]["gmail"]["tailscale"] = json!({"mode": "funnel"});
    with_funnel["hooks"]["gmail"]["hookUrl"] = "http://127.0.0.1:1/hooks/gmail".into();
    // Started first: it takes its time.
    let theirs = Home::with_config(&with_funnel);
    with_tool(&theirs, "tailscale", TAILSCALE);
    with_tool(&theirs, "gog", GOG);
    let port = free_port().to_string();
    let mut gateway = command(original, &theirs, &["gateway", "--port", &port, "--allow-unconfigured"]);
    let mut gateway = Running(gateway.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("node starts"));

    let (made_here, made_there) = (Home::with_config(&json!({})), Home::with_config(&json!({})));
    let args = ["--account", "me@example.com", "--project", "p", "--json", "--hook-token", "h1", "--push-token", "p1"];
    let made = set_up(&made_here, &args).json();
    for (name, script) in [("gog", GOG), ("tailscale", TAILSCALE), ("gcloud", GCLOUD)] {
        with_tool(&made_there, name, script);
    }
    let mut setup = command(original, &made_there, &[&["webhooks", "gmail", "setup"], &args[..]].concat());
    assert_eq!(json_in(&Ran::of_within(&mut setup, Duration::from_secs(120))), made);
    for program in ["gcloud", "tailscale", "gog"] {
        assert_eq!(calls(&made_here, program), calls(&made_there, program), "{program}");
    }
    // Ours is not written down: it follows the gateway's port.
    let mut gmail = written(&made_here)["hooks"]["gmail"].clone();
    gmail["hookUrl"] = "http://127.0.0.1:18789/hooks/gmail".into();
    assert_eq!(gmail, written(&made_there)["hooks"]["gmail"]);

    // A busy machine needs most of a minute for it.
    let until = Instant::now() + PATIENCE * 6;
    while !theirs.path().join("gog.pids").exists() {
        assert!(Instant::now() < until, "the original's watcher did not start");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    kill(i32::try_from(gateway.0.id()).expect("a pid"), libc::SIGTERM);
    eventually("the original stops", || gateway.0.try_wait().is_ok_and(|ended| ended.is_some()));
    let ours = Home::with_config(&with_funnel);
    with_tool(&ours, "tailscale", TAILSCALE);
    let watching = watched(ours, &[]);
    pids(&watching.home, 1);
    for program in ["tailscale", "gog"] {
        assert_eq!(calls(&watching.home, program), calls(&theirs, program), "{program}");
    }
}
