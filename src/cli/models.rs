//! `models`: which models the configuration names, and changing that; no gateway needed.
//!
//! Here: what its commands share.

mod auth;
mod callback;
mod change;
mod list;
mod login;
mod scan;
mod status;

use serde_json::{Map, Value};

pub(super) use self::auth::{AuthAdd, OrderClear, OrderGet, OrderSet, PasteToken, SetupToken};
pub(super) use self::change::{
    AliasesAdd, AliasesList, AliasesRemove, FallbacksAdd, FallbacksClear, FallbacksList, FallbacksRemove,
    ImageFallbacksAdd, ImageFallbacksClear, ImageFallbacksList, ImageFallbacksRemove, Set, SetImage,
};
pub(super) use self::list::List;
#[cfg(feature = "onboarding")]
pub(super) use self::login::sign_in;
pub(super) use self::login::{Login, LoginGithubCopilot};
pub(super) use self::scan::ScanModels;
pub(super) use self::status::{Models, Status};
use super::Cli;
use super::exit::{Failure, Outcome};
use crate::agent::models::{self, Name};
use crate::config::tree;

/// What a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Human,
    Json,
    Plain,
}

impl Form {
    fn of(json: bool, plain: bool) -> Result<Self, Failure> {
        match (json, plain) {
            (true, true) => Err(Failure::error("Choose either --json or --plain, not both.")),
            (true, false) => Ok(Self::Json),
            (false, true) => Ok(Self::Plain),
            (false, false) => Ok(Self::Human),
        }
    }
}

/// A model that agents use by default: for text or for images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Text,
    Image,
}

impl Slot {
    fn key(self) -> &'static str {
        match self {
            Self::Text => "model",
            Self::Image => "imageModel",
        }
    }

    /// Returns what stands in the configuration: first choice and fallbacks.
    fn read(self, config: &Value) -> (Option<String>, Vec<String>) {
        let value = tree::get(config, &["agents", "defaults", self.key()]);
        let text = |value: &Value| value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        match value {
            Some(Value::Object(chain)) => {
                let fallbacks = chain.get("fallbacks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                (chain.get("primary").and_then(text), fallbacks.iter().filter_map(text).collect())
            }
            other => (other.and_then(text), Vec::new()),
        }
    }
}

/// Returns the aliases and what they stand for, in the order of the configuration.
fn aliases(config: &Value) -> Vec<(String, String)> {
    let listed = allowed(config).into_iter().flatten();
    let alias = |entry: &Value| entry["alias"].as_str().map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned);
    listed.filter_map(|(key, entry)| Some((alias(entry)?, key.clone()))).collect()
}

fn allowed(config: &Value) -> Option<&Map<String, Value>> {
    tree::get(config, &["agents", "defaults", "models"])?.as_object()
}

/// Finds what a reference or an alias means.
fn resolve(cli: &Cli, text: &str) -> Result<Name, Failure> {
    models::parse_name(cli.config(), text).ok_or_else(|| Failure::error(format!("Invalid model reference: {text}")))
}

/// Changes the configuration file and says so.
fn edit(cli: &Cli, change: impl FnOnce(&mut Value) -> Result<(), String>) -> Outcome {
    super::config::edit(&cli.paths, |config| change(config).map_err(|text| format!("Error: {text}")))?;
    super::output::line(&cli.updated());
    Ok(())
}
