//! What a finished wizard changes, and carrying it out.
//!
//! A plan is data until [`Plan::apply`], which blocks on files: what is put away goes first, then the workspace is made,
//! and the configuration is written last and whole, so that whatever fails before leaves the old one in force.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Mode;
use crate::agent::{session, workspace};
use crate::base::clock::{UnixMs, iso_utc};
use crate::base::trash;
use crate::config::load::load;
use crate::config::paths::Paths;
use crate::config::types::Config;
use crate::config::{tree, write};

/// Wire format of servers that are set up here.
const API: &str = "openai-completions";

/// What is put away before a fresh start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResetScope {
    /// The configuration.
    Config,
    /// Credentials and sessions too.
    State,
    /// The workspace too.
    Full,
}

impl ResetScope {
    /// Returns what the word of an answer means.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "config" => Some(Self::Config),
            "config+creds+sessions" => Some(Self::State),
            "full" => Some(Self::Full),
            _ => None,
        }
    }
}

/// The gateway's secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// None; only on this machine.
    Off,
    /// A token.
    Token(String),
    /// A password.
    Password(String),
}

impl Auth {
    /// Returns the word for its kind.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Token(_) => "token",
            Self::Password(_) => "password",
        }
    }
}

/// The gateway's place and secret.
#[derive(Clone)]
pub struct GatewayChoice {
    /// Port.
    pub port: u16,
    /// loopback, lan, tailnet, auto, custom.
    pub bind: String,
    /// Address of bind mode custom.
    pub custom_host: Option<String>,
    /// Secret.
    pub auth: Auth,
    /// off, serve, funnel.
    pub tailscale: String,
    /// `gateway.tailscale.resetOnExit`.
    pub reset_on_exit: bool,
}

impl GatewayChoice {
    /// Corrects what would be unsafe together with the kind of secret in `auth`; returns what was corrected.
    pub fn tighten(&mut self, auth: &mut String) -> Vec<String> {
        let mut notes = Vec::new();
        if self.tailscale != "off" && self.bind != "loopback" {
            "loopback".clone_into(&mut self.bind);
            self.custom_host = None;
            notes.push("Tailscale needs bind=loopback; bind is set to loopback.".to_owned());
        }
        if auth == "off" && self.bind != "loopback" {
            "token".clone_into(auth);
            notes.push("Beyond this machine the gateway needs a secret; auth is set to token.".to_owned());
        }
        if self.tailscale == "funnel" && auth != "password" {
            "password".clone_into(auth);
            notes.push("Tailscale funnel needs a password; auth is set to password.".to_owned());
        }
        notes
    }
}

/// The model that was chosen.
pub enum ModelChoice {
    /// What is there stays.
    Keep,
    /// The built-in agent that needs none.
    Offline,
    /// One of a provider that needs a key.
    Hosted {
        /// Variable of the key.
        variable: &'static str,
        /// The key.
        key: String,
        /// `provider/model`.
        model: String,
    },
    /// One of a provider that people sign in to, which comes after the plan.
    SignIn {
        /// The provider.
        provider: &'static str,
        /// `provider/model`.
        model: String,
    },
    /// One of the user's own server.
    Server {
        /// Provider id.
        id: String,
        /// Base URL.
        base_url: String,
        /// Key; blank for none.
        key: String,
        /// `provider/model`.
        model: String,
    },
}

/// One changed value; `None` removes it.
struct Edit {
    path: Vec<String>,
    value: Option<Value>,
}

/// See the module.
pub struct Plan {
    /// What to put away; the configuration then starts empty.
    pub reset: Option<ResetScope>,
    command: &'static str,
    mode: Option<Mode>,
    workspace: Option<PathBuf>,
    gateway: Option<GatewayChoice>,
    sign_in: Option<&'static str>,
    edits: Vec<Edit>,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets.
        let paths: Vec<String> = self.edits.iter().map(|edit| edit.path.join(".")).collect();
        write!(f, "Plan({} {:?} {})", self.command, self.reset, paths.join(" "))
    }
}

/// What was done.
#[derive(Debug)]
pub struct Applied {
    /// The workspace.
    pub workspace: Option<PathBuf>,
    /// The directory of sessions.
    pub sessions: Option<PathBuf>,
    /// What was put away.
    pub put_away: Vec<PathBuf>,
}

impl Plan {
    /// Returns a plan that changes nothing yet, made by this command.
    pub fn new(command: &'static str) -> Self {
        Self { reset: None, command, mode: None, workspace: None, gateway: None, sign_in: None, edits: Vec::new() }
    }

    /// Sets one value.
    pub fn set(&mut self, path: &[&str], value: Value) {
        self.edit(path, Some(value));
    }

    fn edit(&mut self, path: &[&str], value: Option<Value>) {
        self.edits.push(Edit { path: path.iter().map(|&segment| segment.to_owned()).collect(), value });
    }

    /// Decides where the gateway runs.
    pub fn mode(&mut self, mode: Mode) {
        self.mode = Some(mode);
        self.set(&["gateway", "mode"], mode.as_str().into());
    }

    /// Decides the gateway elsewhere.
    pub fn remote(&mut self, url: &str, token: Option<&str>) {
        self.set(&["gateway", "remote", "url"], url.into());
        self.edit(&["gateway", "remote", "token"], token.map(Value::from));
    }

    /// Decides the workspace; it is made when the plan is carried out.
    pub fn workspace(&mut self, paths: &Paths, given: &str) {
        let dir = paths.expand(given);
        self.set(&["agents", "defaults", "workspace"], dir.display().to_string().into());
        self.workspace = Some(dir);
    }

    /// Returns the workspace that will be made.
    pub fn workspace_dir(&self) -> Option<&Path> {
        self.workspace.as_deref()
    }

    /// Decides the gateway's place and secret.
    pub fn gateway(&mut self, choice: &GatewayChoice) {
        self.set(&["gateway", "port"], choice.port.into());
        self.set(&["gateway", "bind"], choice.bind.as_str().into());
        if let Some(host) = choice.custom_host.as_ref().filter(|_| choice.bind == "custom") {
            self.set(&["gateway", "customBindHost"], host.as_str().into());
        }
        let auth = |plan: &mut Self, key: &str, value: Option<&str>| {
            plan.edit(&["gateway", "auth", key], value.map(Value::from));
        };
        match &choice.auth {
            Auth::Token(token) => {
                auth(self, "mode", Some("token"));
                auth(self, "token", Some(token));
            }
            Auth::Password(password) => {
                auth(self, "mode", Some("password"));
                auth(self, "password", Some(password));
            }
            Auth::Off => ["mode", "token", "password"].iter().for_each(|key| auth(self, key, None)),
        }
        self.set(&["gateway", "tailscale", "mode"], choice.tailscale.as_str().into());
        self.set(&["gateway", "tailscale", "resetOnExit"], choice.reset_on_exit.into());
        self.gateway = Some(choice.clone());
    }

    /// Returns the gateway that was decided.
    pub fn gateway_choice(&self) -> Option<&GatewayChoice> {
        self.gateway.as_ref()
    }

    /// Returns the provider that somebody has to sign in to once the plan is carried out.
    pub fn sign_in(&self) -> Option<&'static str> {
        self.sign_in
    }

    /// Decides the model; `config` is what the plan starts from.
    pub fn model(&mut self, config: &Config, choice: ModelChoice) {
        let primary: &[&str] = &["agents", "defaults", "model", "primary"];
        match choice {
            ModelChoice::Keep => {}
            ModelChoice::Offline => self.set(primary, "offline/offline".into()),
            ModelChoice::Hosted { variable, key, model } => {
                self.key(config, variable, &key);
                self.set(primary, model.into());
            }
            ModelChoice::SignIn { provider, model } => {
                self.sign_in = Some(provider);
                self.set(primary, model.into());
            }
            ModelChoice::Server { id, base_url, key, model } => {
                let path = ["models", "providers", id.as_str()];
                let at = |key: &'static str| [path.as_slice(), &[key]].concat();
                self.set(&at("baseUrl"), base_url.into());
                self.edit(&at("apiKey"), Some(key).filter(|key| !key.is_empty()).map(Value::from));
                self.set(&at("api"), API.into());
                let models = config.tree.pointer(&format!("/models/providers/{id}/models"));
                let mut models = models.and_then(Value::as_array).cloned().unwrap_or_default();
                let name = model.strip_prefix(&format!("{id}/")).unwrap_or(&model);
                if !models.iter().any(|known| known["id"] == name) {
                    models.push(json!({"id": name, "name": name}));
                }
                self.set(&at("models"), models.into());
                self.set(primary, model.into());
            }
        }
    }

    /// Stores a provider's key under the name of its variable.
    pub fn key(&mut self, config: &Config, variable: &str, key: &str) {
        // A key directly under `env` wins over `env.vars`.
        let path: &[&str] = if config.env.inline.contains_key(variable) { &["env"] } else { &["env", "vars"] };
        self.set(&[path, &[variable]].concat(), key.into());
    }

    /// Carries the plan out.
    ///
    /// # Errors
    /// A text for people: what could not be done. The configuration is then as before.
    pub fn apply(&self, paths: &Paths, now_ms: UnixMs) -> Result<Applied, String> {
        let before = load(paths);
        let agent = session::default_agent(&before.typed);
        let sessions = paths.sessions_dir(agent.as_str());
        let put_away = self.put_away(paths, &before.typed, &sessions, now_ms)?;
        let mut applied = Applied { workspace: None, sessions: None, put_away };
        if let Some(dir) = &self.workspace {
            let has_files = self.reset.is_some() || before.typed.agents.defaults.skip_bootstrap != Some(true);
            let failed = |error: std::io::Error| format!("cannot make the workspace {}: {error}", dir.display());
            workspace::ensure_at(dir, has_files).map_err(failed)?;
            let sessions = workspace::ensure_sessions(paths, &agent);
            applied.sessions = Some(sessions.map_err(|error| format!("cannot make the sessions' directory: {error}"))?);
            applied.workspace = Some(dir.clone());
        }
        let written = if self.reset.is_some() {
            let mut fresh = Value::Object(Map::new());
            self.change(&mut fresh, None, now_ms)
                .and_then(|()| write::write(paths, &fresh).map(|_| ()).map_err(|error| error.to_string()))
        } else {
            let result = write::edit(paths, |file| self.change(file, Some(&before.config), now_ms));
            result.map(|_| ()).map_err(|error| error.to_string())
        };
        written.map_err(|error| format!("cannot write {}: {error}", paths.shorten(&paths.config_file)))?;
        Ok(applied)
    }

    /// Changes the file's tree. A value that is in force already stays as it is written there: it may come from an
    /// include or a variable.
    fn change(&self, file: &mut Value, in_force: Option<&Value>, now_ms: UnixMs) -> Result<(), String> {
        for Edit { path, value } in &self.edits {
            let current = in_force.and_then(|config| tree::get(config, path));
            match value {
                Some(value) if current == Some(value) => {}
                Some(value) => tree::set(file, path, value.clone())?,
                None => {
                    tree::unset(file, path);
                }
            }
        }
        let wizard = tree::object_mut(file, &["wizard"]);
        wizard.insert("lastRunAt".to_owned(), iso_utc(now_ms).into());
        wizard.insert("lastRunVersion".to_owned(), env!("CARGO_PKG_VERSION").into());
        match option_env!("GIT_COMMIT") {
            Some(commit) => wizard.insert("lastRunCommit".to_owned(), commit.into()),
            None => wizard.shift_remove("lastRunCommit"),
        };
        wizard.insert("lastRunCommand".to_owned(), self.command.into());
        if let Some(mode) = self.mode {
            wizard.insert("lastRunMode".to_owned(), mode.as_str().into());
        }
        Ok(())
    }

    /// Moves what a reset takes away into the trash. The configuration is not among it: it is replaced in one step, and
    /// the writer keeps the old one beside it.
    fn put_away(
        &self,
        paths: &Paths,
        before: &Config,
        sessions: &Path,
        now_ms: UnixMs,
    ) -> Result<Vec<PathBuf>, String> {
        let mut targets = Vec::new();
        if self.reset >= Some(ResetScope::State) {
            targets.push(paths.state_dir.join("credentials"));
            targets.push(sessions.to_owned());
        }
        if self.reset >= Some(ResetScope::Full) {
            targets.push(workspace::dir(before, paths, &session::default_agent(before)));
        }
        targets.retain(|target| target.exists());
        for target in &targets {
            trash::put_away(target, &paths.home, now_ms)
                .map_err(|error| format!("cannot put {} away: {error}", target.display()))?;
        }
        Ok(targets)
    }
}
