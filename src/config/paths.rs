//! Where everything is: state directory, configuration file, and what is derived from them (config.md §1, cli.md §25).
//!
//! Read from the environment once per process, after `--dev`, `--profile` and `.env` files have been applied. Plain data,
//! safe to clone into any thread.

use std::path::{Path, PathBuf};

use crate::base::clock::{UnixMs, local_date};
use crate::base::hash::sha1_hex;
use crate::base::text::{trimmed, unless_blank};
use crate::config::types::Config;

/// Port of the gateway unless something else is said.
pub const GATEWAY_PORT: u16 = 18789;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Home directory of the user.
    pub home: PathBuf,
    /// `~/.clawdbot` or what the environment says.
    pub state_dir: PathBuf,
    /// `<state>/clawdbot.json` or what the environment says.
    pub config_file: PathBuf,
    /// `CLAWDBOT_PROFILE`, when it is set.
    pub profile: Option<String>,
}

impl Paths {
    /// Reads the process environment.
    pub fn from_env() -> Self {
        Self::resolve(|name| std::env::var(name).ok())
    }

    /// Reads variables through `env`; blank ones count as unset.
    pub fn resolve(env: impl Fn(&str) -> Option<String>) -> Self {
        let var = |name: &str| env(name).and_then(trimmed);
        let home = var("HOME").or_else(|| var("USERPROFILE")).map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let path = |text: String| absolute(&expand_home(&text, &home));
        let state_dir = var("CLAWDBOT_STATE_DIR").map_or_else(|| home.join(".clawdbot"), path);
        let config_file = var("CLAWDBOT_CONFIG_PATH").map_or_else(|| state_dir.join("clawdbot.json"), path);
        Self { state_dir, config_file, profile: var("CLAWDBOT_PROFILE"), home }
    }

    /// Returns the same places for another user: what lies below this home lies below `home` there.
    pub fn moved_to(&self, home: &Path, env: impl Fn(&str) -> Option<String>) -> Self {
        let moved = |path: &str| {
            let path = self.expand(path);
            let rest = path.strip_prefix(&self.home).ok().filter(|_| self.home != Path::new("/"));
            rest.map_or_else(|| path.clone(), |rest| home.join(rest)).display().to_string()
        };
        Self::resolve(|name| match name {
            "HOME" => Some(home.display().to_string()),
            "CLAWDBOT_STATE_DIR" | "CLAWDBOT_CONFIG_PATH" => env(name).map(|path| moved(&path)),
            name => env(name),
        })
    }

    /// Returns `path` with a leading `~` replaced by the home directory.
    pub fn expand(&self, path: &str) -> PathBuf {
        absolute(&expand_home(path.trim(), &self.home))
    }

    /// Returns a path for people: `~/…` below the home directory.
    pub fn shorten(&self, path: &Path) -> String {
        match path.strip_prefix(&self.home) {
            Ok(rest) if self.home != Path::new("/") && !rest.as_os_str().is_empty() => format!("~/{}", rest.display()),
            Ok(_) if self.home != Path::new("/") => "~".to_owned(),
            _ => path.display().to_string(),
        }
    }

    /// Returns `clawdbot <rest>` as it must be typed for this profile.
    pub fn hint(&self, rest: &str) -> String {
        match self.profile.as_deref().filter(|profile| is_profile_name(profile) && *profile != "default") {
            Some("dev") => format!("clawdbot --dev {rest}"),
            Some(profile) => format!("clawdbot --profile {profile} {rest}"),
            None => format!("clawdbot {rest}"),
        }
    }

    /// Returns the directory of what must outlive the gateway: accepted runs, deliveries on their way out.
    pub fn journal_dir(&self) -> PathBuf {
        self.state_dir.join("journal")
    }

    /// Returns the directory of channels' credentials and pairings: `CLAWDBOT_OAUTH_DIR`, else below the state directory.
    pub fn credentials_dir(&self, env: impl Fn(&str) -> Option<String>) -> PathBuf {
        let given = env("CLAWDBOT_OAUTH_DIR").filter(|dir| !dir.trim().is_empty());
        given.map_or_else(|| self.state_dir.join("credentials"), |dir| self.expand(&dir))
    }

    /// Returns the directory of the device pairing files.
    pub fn devices_dir(&self) -> PathBuf {
        self.state_dir.join("devices")
    }

    /// Returns the directory of the older node pairing files.
    pub fn nodes_dir(&self) -> PathBuf {
        self.state_dir.join("nodes")
    }

    /// Returns where files of messages lie.
    pub fn media_dir(&self) -> PathBuf {
        self.state_dir.join("media")
    }

    /// Returns the policy file of exec approvals.
    ///
    /// compat: always under `~/.clawdbot`, even with another state directory, because companion apps share it.
    pub fn exec_approvals_file(&self) -> PathBuf {
        self.home.join(".clawdbot/exec-approvals.json")
    }

    /// Returns the gateway's certificate and its key.
    pub fn tls_files(&self, config: &Config) -> (PathBuf, PathBuf) {
        let tls = &config.gateway.tls;
        let file = |given: &Option<String>, name: &str| {
            let given = given.as_deref().filter(|path| !path.trim().is_empty()).map(|path| self.expand(path));
            given.unwrap_or_else(|| self.state_dir.join("gateway/tls").join(name))
        };
        (file(&tls.cert_path, "gateway-cert.pem"), file(&tls.key_path, "gateway-key.pem"))
    }

    /// Returns the directory of small settings that clients change: wake words, speech.
    pub fn settings_dir(&self) -> PathBuf {
        self.state_dir.join("settings")
    }

    /// Returns the directory of this machine's device identity.
    ///
    /// compat: always under `~/.clawdbot`, even with another state directory, because the original's clients share it.
    pub fn identity_dir(&self) -> PathBuf {
        self.home.join(".clawdbot/identity")
    }

    /// Returns the directory of everything that belongs to one agent.
    pub fn agent_dir(&self, agent: &str) -> PathBuf {
        self.state_dir.join("agents").join(agent)
    }

    /// Returns the directory of an agent's session index and transcripts.
    pub fn sessions_dir(&self, agent: &str) -> PathBuf {
        self.agent_dir(agent).join("sessions")
    }

    /// Returns the directory of what is worked out from agents' notes.
    pub fn memory_dir(&self) -> PathBuf {
        self.state_dir.join("memory")
    }

    /// Returns the default workspace, `~/clawd` or `~/clawd-<profile>`.
    pub fn default_workspace(&self) -> PathBuf {
        match self.profile.as_deref() {
            Some(profile) if !profile.eq_ignore_ascii_case("default") => self.home.join(format!("clawd-{profile}")),
            _ => self.home.join("clawd"),
        }
    }

    /// Returns the log file that the configuration names; `None` where each day has its own.
    pub fn configured_log_file(&self, config: &Config) -> Option<PathBuf> {
        config.logging.file.as_deref().and_then(unless_blank).map(|file| self.expand(file))
    }

    /// Returns the log file: the configured one, else that of the day of `now_ms`.
    pub fn log_file(&self, config: &Config, now_ms: UnixMs) -> PathBuf {
        let of_the_day = || log_dir().join(format!("clawdbot-{}.log", local_date(now_ms)));
        self.configured_log_file(config).unwrap_or_else(of_the_day)
    }

    /// Returns the gateway's lock file: one per configuration path, below the host's temporary directory (cli.md §3.4).
    pub fn lock_file(&self) -> PathBuf {
        let mut short = sha1_hex(self.config_file.as_os_str().as_encoded_bytes());
        short.truncate(8);
        std::env::temp_dir().join(format!("clawdbot-{}", uid())).join(format!("gateway.{short}.lock"))
    }
}

/// Returns the directory of the daily logs: `/tmp/clawdbot`, or `/tmp/clawdbot-<uid>` where that one is another user's.
pub fn log_dir() -> PathBuf {
    log_dir_of(Path::new("/tmp/clawdbot"), uid())
}

fn log_dir_of(usual: &Path, uid: u32) -> PathBuf {
    use std::os::unix::fs::MetadataExt as _;
    // Nobody writes where somebody else could put links.
    match std::fs::symlink_metadata(usual) {
        Ok(metadata) if metadata.uid() != uid || !metadata.is_dir() => {
            PathBuf::from(format!("{}-{uid}", usual.display()))
        }
        _ => usual.to_owned(),
    }
}

fn uid() -> u32 {
    // SAFETY: getuid has no preconditions and cannot fail.
    unsafe { libc::getuid() }
}

/// Returns whether somebody else keeps configuration and services, and nothing of them may be written (`CLAWDBOT_NIX_MODE=1`).
pub fn is_nix_mode() -> bool {
    std::env::var("CLAWDBOT_NIX_MODE").as_deref() == Ok("1")
}

/// Returns whether `name` may be a profile: a letter or digit, then up to 63 of letters, digits, `_` and `-`.
pub fn is_profile_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    name.len() <= 64 && name.bytes().all(allowed) && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
}

/// Returns the gateway's port: flag, then environment, then file, then [`GATEWAY_PORT`].
pub fn gateway_port(flag: Option<u16>, config: &Config) -> u16 {
    let from_env = || std::env::var("CLAWDBOT_GATEWAY_PORT").ok()?.trim().parse().ok().filter(|&port: &u16| port > 0);
    let from_file = || u16::try_from(config.gateway.port?).ok().filter(|&port| port > 0);
    flag.or_else(from_env).or_else(from_file).unwrap_or(GATEWAY_PORT)
}

fn expand_home(path: &str, home: &Path) -> PathBuf {
    match path.strip_prefix('~') {
        Some("") => home.to_owned(),
        Some(rest) => rest.strip_prefix('/').map_or_else(|| PathBuf::from(path), |rest| home.join(rest)),
        None => PathBuf::from(path),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(vars: &[(&str, &str)]) -> Paths {
        Paths::resolve(|name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn environment_decides_places() {
        let plain = with(&[("HOME", "/h")]);
        assert_eq!(plain.config_file, Path::new("/h/.clawdbot/clawdbot.json"));
        assert_eq!(plain.default_workspace(), Path::new("/h/clawd"));
        let moved = with(&[("HOME", "/h"), ("CLAWDBOT_STATE_DIR", " ~/s "), ("CLAWDBOT_PROFILE", "dev")]);
        assert_eq!(moved.config_file, Path::new("/h/s/clawdbot.json"));
        assert_eq!(moved.default_workspace(), Path::new("/h/clawd-dev"));
        assert_eq!(moved.identity_dir(), Path::new("/h/.clawdbot/identity"));
        assert_eq!(moved.hint("doctor"), "clawdbot --dev doctor");
        assert_eq!(moved.shorten(Path::new("/h/s/x")), "~/s/x");
    }

    #[test]
    fn places_below_a_home_move_to_another() {
        let vars = [
            ("HOME", "/root"),
            ("CLAWDBOT_PROFILE", "work"),
            ("CLAWDBOT_STATE_DIR", "/root/.clawdbot-work"),
            ("CLAWDBOT_CONFIG_PATH", "/etc/c.json"),
        ];
        let env = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let moved = Paths::resolve(env).moved_to(Path::new("/home/u"), env);
        assert_eq!((moved.home.as_path(), moved.profile.as_deref()), (Path::new("/home/u"), Some("work")));
        assert_eq!(moved.state_dir, Path::new("/home/u/.clawdbot-work"));
        assert_eq!(moved.config_file, Path::new("/etc/c.json"));
        let plain = with(&[("HOME", "/root")]).moved_to(Path::new("/home/u"), |_| None);
        assert_eq!(plain.config_file, Path::new("/home/u/.clawdbot/clawdbot.json"));
    }

    #[test]
    fn logs_of_another_user_are_left_alone() {
        let dir = crate::base::fs::testing::TempDir::new("logs");
        let usual = dir.path().join("clawdbot");
        assert_eq!(log_dir_of(&usual, uid()), usual, "nobody has it yet");
        std::fs::create_dir(&usual).expect("dir");
        assert_eq!(log_dir_of(&usual, uid()), usual);
        let other = uid() + 1;
        assert_eq!(log_dir_of(&usual, other), dir.path().join(format!("clawdbot-{other}")));
        std::os::unix::fs::symlink(&usual, dir.path().join("link")).expect("link");
        assert_ne!(log_dir_of(&dir.path().join("link"), uid()), dir.path().join("link"));
    }

    #[test]
    fn profile_names() {
        assert!(is_profile_name("work-2"));
        assert!(!is_profile_name("") && !is_profile_name("-x") && !is_profile_name("a b"));
    }
}
