//! Gmail as a source of hooks: Google pushes to the program `gog` (gogcli), which posts mails to `/hooks/gmail` (http.md
//! §5.6).
//!
//! Here is what is configured, and the command lines that follow from it. [`watch`] keeps `gog` running, [`setup`] makes
//! what Google needs. Pure functions, but for [`Published::publish`]. Not here: what a mail makes the agent do (the preset
//! `gmail`, in `gateway::http::hooks`).

pub mod setup;
pub mod watch;

use std::path::PathBuf;
use std::time::Duration;

use crate::base::cancel::CancelToken;
use crate::base::process::{find_program, is_executable};
use crate::base::secret::Secret;
use crate::base::tailscale;
use crate::base::text::{trimmed, unless_blank};
use crate::client::target;
use crate::config::types::Config;
use crate::config::types::http::Hooks;

/// What to do where `gog` is missing.
const GOG_HINT: &str = "gog is not installed, or not on the PATH: install gogcli (https://gogcli.sh), sign in with `gog auth add <account>`, and try again";

const LABEL_DEFAULT: &str = "INBOX";
const SUBSCRIPTION_DEFAULT: &str = "gog-gmail-watch-push";
const BIND_DEFAULT: &str = "127.0.0.1";
const PORT_DEFAULT: u16 = 8788;
const PATH_DEFAULT: &str = "/gmail-pubsub";
const MAX_BYTES_DEFAULT: u64 = 20_000;
const RENEW_MINUTES_DEFAULT: u64 = 12 * 60;
const HOOKS_PATH_DEFAULT: &str = "/hooks";
/// How long Tailscale's command may take.
const TAILSCALE_WAIT: Duration = Duration::from_secs(30);

/// Finds `gog`: on the `PATH`, or where Homebrew puts programs, which services do not look.
///
/// # Errors
/// How to get it.
pub fn gog() -> Result<PathBuf, &'static str> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".linuxbrew"));
    let brews = home.into_iter().chain(["/home/linuxbrew/.linuxbrew", "/opt/homebrew"].map(PathBuf::from));
    let brewed = || brews.map(|brew| brew.join("bin/gog")).find(|file| is_executable(file));
    find_program("gog").or_else(brewed).ok_or(GOG_HINT)
}

/// What the command line says in place of the configuration.
#[derive(Debug, Default)]
pub struct Overrides {
    /// The account that is watched.
    pub account: Option<String>,
    /// Pub/Sub topic.
    pub topic: Option<String>,
    /// Pub/Sub subscription.
    pub subscription: Option<String>,
    /// Label that is watched.
    pub label: Option<String>,
    /// Where mails are posted.
    pub hook_url: Option<String>,
    /// What is shown there.
    pub hook_token: Option<Secret>,
    /// What Google shows.
    pub push_token: Option<Secret>,
    /// Address that `gog` listens on.
    pub bind: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// Its path.
    pub path: Option<String>,
    /// Whether bodies are posted.
    pub include_body: Option<bool>,
    /// Bytes of a body.
    pub max_bytes: Option<u64>,
    /// Minutes between renewals.
    pub renew_minutes: Option<u64>,
    /// off, serve or funnel.
    pub tailscale: Option<String>,
    /// Public path.
    pub tailscale_path: Option<String>,
    /// Where Tailscale passes requests on to.
    pub tailscale_target: Option<String>,
}

/// Where `gog` listens, and how that is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Address.
    pub bind: String,
    /// Port.
    pub port: u16,
    /// Path.
    pub path: String,
    /// Through Tailscale, unless that is off.
    pub published: Published,
}

/// Reach through Tailscale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// off, serve or funnel.
    pub mode: String,
    /// Public path.
    pub path: String,
    /// Where requests go, in place of the port.
    pub target: Option<String>,
}

/// All that the watcher needs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The account that is watched.
    pub account: String,
    /// Its label.
    pub label: String,
    /// Pub/Sub topic.
    pub topic: String,
    /// What Google shows.
    pub push_token: Secret,
    /// Where mails are posted.
    pub hook_url: String,
    /// What is shown there.
    pub hook_token: Secret,
    /// Whether bodies are posted.
    pub include_body: bool,
    /// Bytes of a body.
    pub max_bytes: u64,
    /// Minutes between renewals.
    pub renew_minutes: u64,
    /// Where `gog` listens.
    pub place: Place,
}

impl Settings {
    /// Reads them from the configuration of a gateway at `origin` (`http://127.0.0.1:18789`); what `over` says wins.
    ///
    /// # Errors
    /// What is missing and where to set it.
    pub fn resolve(config: &Config, origin: &str, over: &Overrides) -> Result<Self, String> {
        let gmail = &config.hooks.gmail;
        let secret = |over: &Option<Secret>, configured: &Option<String>| {
            over.clone().or_else(|| configured.as_deref().map(Secret::new)).filter(|it| !it.expose().trim().is_empty())
        };
        let missing = |what: &str, option: &str, key: &str| {
            format!("{what}: pass {option}, set {key}, or run `clawdbot webhooks gmail setup`")
        };
        let hook_token = secret(&over.hook_token, &config.hooks.token)
            .ok_or_else(|| missing("hooks.token missing (needed for gmail hook)", "--hook-token", "hooks.token"))?;
        let account = pick(&over.account, &gmail.account)
            .ok_or_else(|| missing("gmail account required", "--account", "hooks.gmail.account"))?;
        let topic = pick(&over.topic, &gmail.topic)
            .ok_or_else(|| missing("gmail topic required", "--topic", "hooks.gmail.topic"))?;
        let push_token = secret(&over.push_token, &gmail.push_token)
            .ok_or_else(|| missing("gmail push token required", "--push-token", "hooks.gmail.pushToken"))?;
        let mode = pick(&over.tailscale, &gmail.tailscale.mode).unwrap_or_else(|| "off".to_owned());
        Ok(Self {
            account,
            label: pick(&over.label, &gmail.label).unwrap_or_else(|| LABEL_DEFAULT.to_owned()),
            topic,
            push_token,
            hook_url: pick(&over.hook_url, &gmail.hook_url).unwrap_or_else(|| hook_url(&config.hooks, origin)),
            hook_token,
            include_body: over.include_body.or(gmail.include_body).unwrap_or(true),
            max_bytes: over.max_bytes.or(gmail.max_bytes).unwrap_or(MAX_BYTES_DEFAULT),
            renew_minutes: over.renew_minutes.or(gmail.renew_every_minutes).unwrap_or(RENEW_MINUTES_DEFAULT),
            place: Place::resolve(config, over, mode)?,
        })
    }

    /// Returns the arguments of `gog` that have Google push for some days.
    pub fn start_args(&self) -> Vec<&str> {
        start_args(&self.account, &self.label, &self.topic)
    }

    /// Returns the arguments of `gog` that receive what Google pushes. They hold the tokens: `gog` takes them no other
    /// way, so every user of this machine can read them while it runs.
    pub fn serve_args(&self) -> Vec<String> {
        self.serve_args_with(self.push_token.expose(), self.hook_token.expose())
    }

    /// Returns the same for people.
    pub fn shown_serve_args(&self) -> String {
        self.serve_args_with("***", "***").join(" ")
    }

    fn serve_args_with(&self, push_token: &str, hook_token: &str) -> Vec<String> {
        let Place { bind, port, path, .. } = &self.place;
        let (port, max_bytes) = (port.to_string(), self.max_bytes.to_string());
        let mut args = vec!["gmail", "watch", "serve", "--account", &self.account, "--bind", bind, "--port", &port];
        args.extend(["--path", path, "--token", push_token, "--hook-url", &self.hook_url, "--hook-token", hook_token]);
        if self.include_body {
            args.push("--include-body");
        }
        args.extend(["--max-bytes", &max_bytes]);
        args.into_iter().map(str::to_owned).collect()
    }

    /// Returns a text without the tokens.
    pub fn mask(&self, text: &str) -> String {
        let mut tokens = [self.push_token.expose(), self.hook_token.expose()];
        // One may begin with the other.
        tokens.sort_unstable_by_key(|token| std::cmp::Reverse(token.len()));
        tokens.iter().fold(text.to_owned(), |text, token| text.replace(token, "***"))
    }
}

/// Returns what the command line says, else what is configured.
fn pick(over: &Option<String>, configured: &Option<String>) -> Option<String> {
    over.as_ref().and_then(trimmed).or_else(|| configured.as_ref().and_then(trimmed))
}

fn start_args<'a>(account: &'a str, label: &'a str, topic: &'a str) -> Vec<&'a str> {
    vec!["gmail", "watch", "start", "--account", account, "--label", label, "--topic", topic]
}

impl Place {
    /// Reads it from the configuration; what `over` says wins.
    ///
    /// # Errors
    /// Which port or mode cannot be.
    pub fn resolve(config: &Config, over: &Overrides, mode: String) -> Result<Self, String> {
        let gmail = &config.hooks.gmail;
        if !matches!(mode.as_str(), "off" | "serve" | "funnel") {
            return Err(format!("tailscale mode {mode:?} is not known (use funnel, serve or off)"));
        }
        let port = match (over.port, gmail.serve.port) {
            (Some(port), _) => port,
            (None, None) => PORT_DEFAULT,
            (None, Some(port)) => u16::try_from(port)
                .map_err(|_| format!("hooks.gmail.serve.port is {port}; set it to a port from 1 to 65535"))?,
        };
        let is_on = mode != "off";
        let wanted = slashed(pick(&over.path, &gmail.serve.path), PATH_DEFAULT);
        let target = pick(&over.tailscale_target, &gmail.tailscale.target).filter(|_| is_on);
        // Tailscale takes its path off what it passes on.
        let path = if is_on && target.is_none() { "/".to_owned() } else { wanted.clone() };
        let public = pick(&over.tailscale_path, &gmail.tailscale.path).unwrap_or(wanted);
        Ok(Self {
            bind: pick(&over.bind, &gmail.serve.bind).unwrap_or_else(|| BIND_DEFAULT.to_owned()),
            port,
            path,
            published: Published { mode, path: slashed(Some(public), PATH_DEFAULT), target },
        })
    }
}

impl Published {
    /// Has Tailscale pass requests on to `port`, or the target; returns the public address. Blocks.
    ///
    /// # Errors
    /// What Tailscale said, for people.
    pub fn publish(&self, port: u16, cancel: &CancelToken) -> Result<String, String> {
        let status = tailscale::status(TAILSCALE_WAIT, cancel).map_err(|error| said("tailscale status", &error))?;
        let name = tailscale::dns_name(&status).ok_or("tailscale DNS name missing; run `tailscale up`")?;
        let target = self.target.clone().unwrap_or_else(|| port.to_string());
        let args = [&self.mode, "--bg", "--set-path", &self.path, "--yes", &target];
        tailscale::run(&args, TAILSCALE_WAIT, cancel)
            .map_err(|error| said(&format!("tailscale {}", args.join(" ")), &error))?;
        Ok(format!("https://{name}{}", self.path))
    }
}

fn said(command: &str, error: &str) -> String {
    format!("{command} failed: {}", if error.is_empty() { "it said nothing" } else { error })
}

/// Returns the hooks' path with a slash before and none behind.
fn hooks_path(hooks: &Hooks) -> String {
    let path = slashed(hooks.path.clone(), HOOKS_PATH_DEFAULT);
    if path == "/" { HOOKS_PATH_DEFAULT.to_owned() } else { path }
}

/// Returns where `gog` posts to a gateway.
fn hook_url(hooks: &Hooks, origin: &str) -> String {
    format!("{origin}{}/gmail", hooks_path(hooks))
}

/// Returns the origin of this machine's gateway, as far as the configuration tells.
pub fn local_origin(config: &Config) -> String {
    // ws and wss become http and https.
    target::local_url(config).0.replacen("ws", "http", 1)
}

fn slashed(path: Option<String>, default: &str) -> String {
    let path = path.as_deref().and_then(unless_blank).unwrap_or(default);
    match path.trim_start_matches('/').trim_end_matches('/') {
        "" => "/".to_owned(),
        inner => format!("/{inner}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn config(hooks: &Value) -> Config {
        Config { hooks: serde_json::from_value(hooks.clone()).expect("hooks"), ..Config::default() }
    }

    fn settings(hooks: &Value, over: &Overrides) -> Result<Settings, String> {
        Settings::resolve(&config(hooks), "http://127.0.0.1:18789", over)
    }

    fn least() -> Value {
        json!({"enabled": true, "token": "hooktok", "gmail": {"account": "me@x.y", "topic": "projects/p/topics/t", "pushToken": "push"}})
    }

    #[test]
    fn the_least_that_is_needed() {
        let found = settings(&least(), &Overrides::default()).expect("settings");
        let args = found.serve_args().join(" ");
        assert_eq!(
            args,
            "gmail watch serve --account me@x.y --bind 127.0.0.1 --port 8788 --path /gmail-pubsub --token push \
             --hook-url http://127.0.0.1:18789/hooks/gmail --hook-token hooktok --include-body --max-bytes 20000"
        );
        assert_eq!(
            found.start_args().join(" "),
            "gmail watch start --account me@x.y --label INBOX --topic projects/p/topics/t"
        );
        assert_eq!((found.renew_minutes, found.place.published.mode.as_str()), (720, "off"));
        assert!(!found.shown_serve_args().contains("push ") && !found.shown_serve_args().contains("hooktok"));
        assert_eq!(found.mask("bad token push for hooktok"), "bad token *** for ***");
        let longer = Settings { hook_token: Secret::new("push-and-more"), ..found };
        assert_eq!(longer.mask("push-and-more, push"), "***, ***");
        for (key, text) in [
            ("/token", "hooks.token missing (needed for gmail hook)"),
            ("/gmail/account", "gmail account required"),
            ("/gmail/topic", "gmail topic required"),
            ("/gmail/pushToken", "gmail push token required"),
        ] {
            let mut hooks = least();
            *hooks.pointer_mut(key).expect("there") = json!(" ");
            let error = settings(&hooks, &Overrides::default()).expect_err(key);
            assert!(error.starts_with(text) && error.contains("set hooks."), "{error}");
        }
    }

    #[test]
    fn paths_as_tailscale_needs_them() {
        for (gmail, path, public) in [
            (json!({}), "/gmail-pubsub", "/gmail-pubsub"),
            (json!({"serve": {"path": "a/b/"}}), "/a/b", "/a/b"),
            (json!({"tailscale": {"mode": "funnel"}}), "/", "/gmail-pubsub"),
            (json!({"tailscale": {"mode": "serve"}, "serve": {"path": "/in"}}), "/", "/in"),
            (json!({"tailscale": {"mode": "serve", "path": "out/"}, "serve": {"path": "/in"}}), "/", "/out"),
            (
                json!({"tailscale": {"mode": "funnel", "target": "http://127.0.0.1:9/in"}, "serve": {"path": "/in"}}),
                "/in",
                "/in",
            ),
            (json!({"tailscale": {"target": "unused"}}), "/gmail-pubsub", "/gmail-pubsub"),
        ] {
            let hooks = json!({"gmail": gmail});
            let config = config(&hooks);
            let mode = config.hooks.gmail.tailscale.mode.clone().unwrap_or_else(|| "off".to_owned());
            let place = Place::resolve(&config, &Overrides::default(), mode).expect("a place");
            assert_eq!((place.path.as_str(), place.published.path.as_str()), (path, public), "{hooks}");
        }
    }

    #[test]
    fn what_was_typed_wins() {
        let mut hooks = least();
        hooks["path"] = json!("wh/");
        hooks["gmail"]["serve"] = json!({"port": 70000});
        let error = settings(&hooks, &Overrides::default()).expect_err("no such port");
        assert!(error.contains("hooks.gmail.serve.port is 70000"), "{error}");
        let over = Overrides {
            port: Some(9),
            label: Some(" Work ".to_owned()),
            include_body: Some(false),
            hook_token: Some(Secret::new("other")),
            ..Overrides::default()
        };
        let found = settings(&hooks, &over).expect("settings");
        let args = found.serve_args().join(" ");
        assert!(
            args.ends_with("--hook-url http://127.0.0.1:18789/wh/gmail --hook-token other --max-bytes 20000"),
            "{args}"
        );
        assert_eq!((found.label.as_str(), found.place.port), ("Work", 9));
        let over = Overrides { tailscale: Some("on".to_owned()), ..Overrides::default() };
        assert!(settings(&least(), &over).expect_err("no mode").contains("use funnel, serve or off"));
    }
}
