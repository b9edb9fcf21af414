//! The setup wizard: which questions come in which order, and what the answers change (protocol.md §5.12, cli.md §12).
//!
//! No terminal, no socket, no thread: a [`session::Session`] hands out one [`Step`] and takes its answer, whoever carries
//! them. The questions are plain code that reads top to bottom (`flow`); with each answer it runs again from the start
//! on all answers so far, which costs microseconds and leaves no half-way state to keep. Nothing is written before the
//! last answer: then there is a [`plan::Plan`], and applying it is the only thing here that touches files.

mod ask;
mod flow;
mod model;
mod place;
pub mod plan;
pub mod session;

#[cfg(test)]
mod tests;

pub use model::{HOSTED, Hosted, SIGNED_IN, hosted_env, is_model_choice};
pub use place::{current_gateway, default_workspace};

use std::sync::Arc;

use serde_json::Value;

use crate::config::env;
use crate::config::load::Snapshot;
use crate::config::paths::Paths;
use plan::ResetScope;

/// What a step asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it is read and passed.
    Note,
    /// One of the options.
    Select,
    /// A text.
    Text,
    /// Yes or no.
    Confirm,
}

/// One thing to read or to answer.
#[derive(Clone, PartialEq)]
pub struct Step {
    /// What it asks for.
    pub kind: Kind,
    /// Heading of a note.
    pub title: Option<String>,
    /// The question, or the note's text.
    pub message: String,
    /// What can be chosen; only in a select.
    pub options: Vec<Choice>,
    /// The answer that is meant when nothing else is said.
    pub initial: Option<Value>,
    /// What an answer looks like.
    pub placeholder: Option<String>,
    /// Whether the answer must not be shown.
    pub is_sensitive: bool,
}

/// One option of a select.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The answer.
    pub value: String,
    /// Its name.
    pub label: String,
    /// More about it.
    pub hint: Option<String>,
}

impl Choice {
    /// Returns an option without a hint.
    pub fn new(value: impl Into<String>, label: impl Into<String>) -> Self {
        Self { value: value.into(), label: label.into(), hint: None }
    }

    /// Adds a hint.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Where the gateway runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// On this machine.
    Local,
    /// Elsewhere; only its address is kept.
    Remote,
}

impl Mode {
    /// Returns the word in files and flags.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }

    /// Returns what the word means.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Local, Self::Remote].into_iter().find(|mode| mode.as_str() == word)
    }
}

/// How much is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Only what has no good default.
    QuickStart,
    /// Everything.
    Manual,
}

impl Pace {
    /// Returns what the word of a flag means: `quickstart`, `advanced` or `manual`.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "quickstart" => Some(Self::QuickStart),
            "advanced" | "manual" => Some(Self::Manual),
            _ => None,
        }
    }
}

/// A part of the configuration that `configure` asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Where the assistant works.
    Workspace,
    /// Who thinks.
    Model,
    /// Web search and fetch.
    Web,
    /// Port, bind, secret.
    Gateway,
    /// The service.
    Daemon,
    /// Chat networks.
    Channels,
    /// Skills.
    Skills,
    /// A look at the running gateway.
    Health,
}

impl Section {
    /// Every section, in the order in which they are offered and asked.
    pub const ALL: [Self; 8] = [
        Self::Workspace,
        Self::Model,
        Self::Web,
        Self::Gateway,
        Self::Daemon,
        Self::Channels,
        Self::Skills,
        Self::Health,
    ];

    /// Returns the word of flags and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Model => "model",
            Self::Web => "web",
            Self::Gateway => "gateway",
            Self::Daemon => "daemon",
            Self::Channels => "channels",
            Self::Skills => "skills",
            Self::Health => "health",
        }
    }

    /// Returns what the word means.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.as_str() == word)
    }
}

/// Which wizard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Purpose {
    /// A first set-up, or a new one.
    #[default]
    Onboard,
    /// Some sections of an existing configuration; without any, they are asked for.
    Configure(Vec<Section>),
}

/// What was decided before the first question.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Which wizard.
    pub purpose: Purpose,
    /// Where the gateway runs.
    pub mode: Option<Mode>,
    /// How much is asked.
    pub pace: Option<Pace>,
    /// The workspace.
    pub workspace: Option<String>,
    /// The model provider, as one of [`is_model_choice`].
    pub model: Option<String>,
    /// Whether the risk was accepted.
    pub accepts_risk: bool,
    /// What to put away first.
    pub reset: Option<ResetScope>,
    /// Whether chat networks are passed over.
    pub skip_channels: bool,
    /// Whether skills are passed over.
    pub skip_skills: bool,
    /// Whether the Control UI is passed over.
    pub skip_ui: bool,
}

/// What the wizard knows of this machine; it does not change while it runs.
#[derive(Clone)]
pub struct Facts {
    /// Where files are.
    pub paths: Paths,
    /// The configuration as it is.
    pub snapshot: Arc<Snapshot>,
    /// The token of a gateway that has none yet.
    pub fresh_token: String,
    /// Whether something answers at the gateway's port, where that was looked at.
    pub is_gateway_up: Option<bool>,
    /// Whether credentials, sessions and the workspace may be put away: not below a running gateway.
    pub may_put_state_away: bool,
    /// Reads a variable of the process.
    pub env: fn(&str) -> Option<String>,
    /// Model servers that answer on this machine, where that was looked at.
    pub servers: Vec<LocalServer>,
}

/// A model server on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalServer {
    /// The word that chooses it: ollama or custom.
    pub word: &'static str,
    /// What it is called.
    pub label: &'static str,
    /// Its address, with `/v1`.
    pub base_url: String,
    /// Its models, as far as it tells.
    pub models: Vec<String>,
}

/// Why a run is cancelled when the risk is not accepted.
pub const RISK_REFUSED: &str = "risk not accepted";
/// Random bytes of a gateway token.
const TOKEN_BYTES: usize = 24;

impl Facts {
    /// Returns the facts of this process, without what only the caller can know.
    pub fn new(paths: Paths, snapshot: Arc<Snapshot>, rng: &dyn crate::base::rng::Rng) -> Self {
        Self {
            paths,
            snapshot,
            fresh_token: crate::base::rng::hex_token(rng, TOKEN_BYTES),
            is_gateway_up: None,
            may_put_state_away: false,
            env: |name| std::env::var(name).ok(),
            servers: Vec::new(),
        }
    }

    fn var(&self, config: &crate::config::types::Config, name: &str) -> Option<String> {
        env::lookup(config, &self.env, name)
    }
}
