//! The process environment before a command runs: profile, colours and `.env` files (cli.md §1.1–1.3).
//!
//! The only place that changes environment variables; it runs first, while the process has one thread.

use super::argv::Globals;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use crate::base::program;
use crate::config::paths::Paths;

/// Port of the gateway in profile `dev`, apart from an everyday gateway's.
const DEV_PORT: &str = "19001";

/// Applies the flags before the command, then the `.env` files; variables that exist win over both.
pub(super) fn apply(globals: &Globals) {
    if globals.no_color {
        set("NO_COLOR", "1");
        set("FORCE_COLOR", "0");
    }
    if let Some(profile) = &globals.profile {
        apply_profile(profile);
    }
    // Files that are missing or malformed change nothing, as with the original's reader.
    let _ = dotenvy::from_path(".env");
    let _ = dotenvy::from_path(Paths::from_env().state_dir.join(".env"));
    if let (Some(key), None) = (var("Z_AI_API_KEY"), var("ZAI_API_KEY")) {
        set("ZAI_API_KEY", &key);
    }
}

/// Sets a variable for this process and its children. Only before the first thread is started.
pub(super) fn set(name: &str, value: &str) {
    // SAFETY: the command line calls this before any thread exists, so nobody reads the environment meanwhile.
    unsafe { std::env::set_var(name, value) };
}

/// How glibc's malloc keeps memory in a process that stays: with caches per thread for small pieces
/// alone and with two arenas, so that what a load leaves lies together and whole pages go back. Without it, five times the
/// live memory stays; without any caches, threads that share an arena wait for each other.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LEAN_MALLOC: &str = "glibc.malloc.tcache_max=64:glibc.malloc.arena_max=2";

/// Variable that marks a program that has begun again.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const BEGUN_AGAIN: &str = "CLAWDBOT_BEGUN_AGAIN";

/// Puts a process that stays under [`LEAN_MALLOC`]. The C library reads it when a program begins, and nowhere else, so the
/// program begins again, in the same process: a millisecond. Returns there and then where that cannot be had.
pub(super) fn lean_malloc() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::os::unix::process::CommandExt as _;
        const NAME: &str = "GLIBC_TUNABLES";
        let given = std::env::var_os(NAME);
        // Where a program has more rights than who starts it, the C library takes its settings out of the environment:
        // only a mark of one's own tells then that this is the second time.
        if std::env::var_os(BEGUN_AGAIN).is_some() {
            let is_ours = given.is_some_and(|given| given == LEAN_MALLOC);
            // The commands that it starts are not meant.
            for name in [Some(BEGUN_AGAIN), Some(NAME).filter(|_| is_ours)].into_iter().flatten() {
                // SAFETY: as in `set`.
                unsafe { std::env::remove_var(name) };
            }
            return;
        }
        // Otherwise the owner has other wishes, or there is no way to the program but by its loader.
        if let (None, Some(program)) = (given, program::started()) {
            let mut words = std::env::args_os();
            let mut again = std::process::Command::new(program);
            if let Some(name) = words.next() {
                again.arg0(name);
            }
            // Returns only where it fails, and then the process goes on as it is.
            let _ = again.args(words).env(NAME, LEAN_MALLOC).env(BEGUN_AGAIN, "1").exec();
        }
    }
}

/// Returns a variable unless it is missing or blank.
pub(super) fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

fn apply_profile(profile: &str) {
    set("CLAWDBOT_PROFILE", profile);
    let home = Paths::from_env().home;
    let suffix = if profile.eq_ignore_ascii_case("default") { String::new() } else { format!("-{profile}") };
    set_default("CLAWDBOT_STATE_DIR", &home.join(format!(".clawdbot{suffix}")).to_string_lossy());
    // The variable may name another directory than the one above.
    let state_dir = Paths::from_env().state_dir;
    set_default("CLAWDBOT_CONFIG_PATH", &state_dir.join("clawdbot.json").to_string_lossy());
    if profile == "dev" {
        set_default("CLAWDBOT_GATEWAY_PORT", DEV_PORT);
    }
}

fn set_default(name: &str, value: &str) {
    if var(name).is_none() {
        set(name, value);
    }
}

/// Appends the usual directories of programs to `PATH`, once per process tree: services start with a bare one.
pub(super) fn enrich_path() {
    if var("CLAWDBOT_PATH_BOOTSTRAPPED").is_some() {
        return;
    }
    set("CLAWDBOT_PATH_BOOTSTRAPPED", "1");
    let home = Paths::from_env().home;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<_> = std::env::split_paths(&path).collect();
    let usual = [
        home.join(".local/bin"),
        "/usr/local/bin".into(),
        "/opt/homebrew/bin".into(),
        "/usr/bin".into(),
        "/bin".into(),
    ];
    for directory in usual {
        if !directories.contains(&directory) && directory.is_dir() {
            directories.push(directory);
        }
    }
    if let Ok(joined) = std::env::join_paths(directories) {
        set("PATH", &joined.to_string_lossy());
    }
}
