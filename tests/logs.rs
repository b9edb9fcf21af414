//! The files of the log: full ones give way, old ones go.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::support::clock::Clock;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::{eventually, skipped};

#[test]
fn a_full_log_takes_the_place_of_the_one_before_it() {
    let home = Home::with_config(&json!({}));
    let (log, older) = (home.log_file(), home.path().join("gateway.log.1"));
    let full = 64 * 1024 * 1024;
    std::fs::File::create(&log).and_then(|file| file.set_len(full)).expect("a file full of nothing");
    std::fs::write(&older, "older still").expect("write");
    let mut gateway = Gateway::start_in(home, &[], &[]);
    assert_eq!(std::fs::metadata(&older).expect("kept").len(), full, "one is kept");
    let shown = gateway.cli(&["logs", "--plain"]);
    assert!(shown.stdout.contains("listening on ws://127.0.0.1"), "{shown:?}");
    assert_eq!(gateway.stop().code, Some(0));
    let text = std::fs::read_to_string(&log).expect("text");
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{text}");
}

#[test]
fn each_day_has_a_file_and_old_ones_go() {
    // SAFETY: geteuid has no preconditions and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return skipped("daily logs: their directory is everybody's, and a test's own needs root");
    }
    let mut home = Home::with_config(&json!({ "logging": { "file": null } }));
    let Some(clock) = Clock::of(&home) else { return skipped("daily logs: no C compiler here") };
    let logs = home.path().join("logs");
    std::fs::create_dir(&logs).expect("directory");
    let long_ago = SystemTime::now() - Duration::from_secs(3 * 24 * 3600);
    for (name, is_old) in
        [("clawdbot-a.log", true), ("clawdbot-b.log.1", true), ("clawdbot-c.log", false), ("other.log", true)]
    {
        let file = std::fs::File::create(logs.join(name)).expect("a file");
        if is_old {
            file.set_modified(long_ago).expect("a time");
        }
    }
    // The directory is the same for everybody on a machine: in a world of its own it is this one.
    let program = home.program.display().to_string();
    let script = format!(
        "#!/bin/sh\nexec unshare -m sh -c 'mount --make-rprivate / && mkdir -p /tmp/clawdbot && mount --bind \"$HOME/logs\" /tmp/clawdbot && exec \"$0\" \"$@\"' '{program}' \"$@\"\n"
    );
    home.program = home.path().join("with-logs");
    std::fs::write(&home.program, script).expect("write");
    std::fs::set_permissions(&home.program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("mode");
    if Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| !status.success()) {
        return skipped("daily logs: no mount namespace here");
    }
    let env = clock.env();
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut gateway = Gateway::start_in(home, &[], &env);
    let names = || {
        let mut names: Vec<String> = std::fs::read_dir(&logs)
            .expect("directory")
            .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let first = names();
    let today: Vec<&String> = first.iter().filter(|name| name.starts_with("clawdbot-2")).collect();
    assert_eq!((today.len(), first.len()), (1, 3), "{first:?}");
    assert!(first.contains(&"clawdbot-c.log".to_owned()) && first.contains(&"other.log".to_owned()), "{first:?}");
    // A minute after the next midnight, which is UTC's here.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    clock.set(i64::try_from(24 * 3600 - now % (24 * 3600) + 60).expect("fits"));
    // Something that is worth a line.
    gateway.signal(libc::SIGUSR1);
    eventually("the next day has a file", || names().iter().filter(|name| name.starts_with("clawdbot-2")).count() == 2);
    assert_eq!(gateway.stop().code, Some(0));
}
