//! The configuration file: what is old, unknown or missing in it. Changes are collected and written once.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Consent, note};
use crate::base::clock::{Clock as _, SystemClock, iso_utc};
use crate::base::rng::{SystemRng, hex_token};
use crate::cli::{Cli, output};
use crate::config::load::{Snapshot, from_text, load};
use crate::config::paths::{Paths, is_nix_mode};
use crate::config::types::Config;
use crate::config::{json5, keys, migrate, tree, write};

/// Bytes of a new token.
const TOKEN_BYTES: usize = 24;

/// The file as it is, and as it will be.
pub(super) struct Checked {
    /// As written: includes and `${NAME}` stay.
    tree: Value,
    is_changed: bool,
    /// Set when the file is not even JSON5, so that nothing may be written over it.
    is_broken: bool,
    /// Whether there are changes that nobody agreed to.
    has_offers: bool,
}

impl Checked {
    /// Looks at the file; changes that were agreed to are made here and written by [`Self::write`].
    pub(super) fn look(cli: &Cli, consent: &Consent) -> Self {
        let snapshot = cli.snapshot();
        let mut tree = snapshot.parsed.clone();
        // Nothing may also be what is left of a text that cannot be read.
        let is_empty = tree.as_object().is_some_and(|tree| tree.is_empty());
        let is_broken =
            snapshot.exists && is_empty && snapshot.raw.as_deref().is_none_or(|raw| json5::parse(raw).is_err());
        if snapshot.exists && !snapshot.valid && snapshot.legacy_issues.is_empty() {
            let mut lines = vec!["Config invalid; doctor will run with best-effort config.".to_owned()];
            lines.extend(snapshot.issues.iter().map(|issue| format!("- {}", issue.describe())));
            note("Config", &lines);
        }
        let warnings: Vec<String> =
            snapshot.warnings.iter().map(|issue| format!("- {}: {}", issue.path, issue.message)).collect();
        note("Config warnings", &warnings);
        if is_broken {
            if let Some(restored) = restore(cli, consent) {
                return Self { tree: restored, is_changed: false, is_broken: false, has_offers: false };
            }
            return Self { tree, is_changed: false, is_broken: true, has_offers: false };
        }

        let legacy: Vec<String> =
            snapshot.legacy_issues.iter().map(|issue| format!("- {}: {}", issue.path, issue.message)).collect();
        note("Legacy config keys detected", &legacy);
        let mut wanted = tree.clone();
        let mut changes = migrate::migrate(&mut wanted);
        changes.extend(normalise(&mut wanted));
        note("Doctor changes", &changes);
        let unknown = keys::strip_unknown(&mut wanted);
        let unknown: Vec<String> = unknown.iter().map(|path| format!("- {path}")).collect();
        note("Unknown config keys", &unknown);
        let has_changes = !changes.is_empty() || !unknown.is_empty();
        let is_agreed = has_changes && consent.repair("Apply recommended config repairs now?");
        if is_agreed {
            tree = wanted;
        } else if has_changes {
            let fix = cli.paths.hint("doctor --fix");
            let mut hints = Vec::new();
            if !changes.is_empty() {
                let what = if legacy.is_empty() { "these changes" } else { "legacy migrations" };
                hints.push(format!("Run \"{fix}\" to apply {what}."));
            }
            if !unknown.is_empty() {
                hints.push(format!("Run \"{fix}\" to remove these keys."));
            }
            note("Doctor", &hints);
        }
        Self { tree, is_changed: is_agreed, is_broken: false, has_offers: has_changes && !is_agreed }
    }

    /// Looks at what the gateway needs to start: its mode, the address of a remote one, and a token.
    pub(super) fn gateway(&mut self, cli: &Cli, consent: &Consent, wants_token: bool) {
        let text = |tree: &Value, path: &[&str]| {
            let text = tree::get(tree, path).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
            Some(text).filter(|text| !text.is_empty())
        };
        let effective = self.typed(cli).tree.clone();
        let mode = text(&effective, &["gateway", "mode"]);
        if mode.is_none() {
            let mut lines = vec![
                "gateway.mode is unset; gateway start will be blocked.".to_owned(),
                format!("Fix: run {} and set Gateway mode (local/remote).", cli.paths.hint("configure")),
                format!("Or set directly: {}", cli.paths.hint("config set gateway.mode local")),
            ];
            if !cli.snapshot().exists {
                lines.push(format!("Missing config: run {} first.", cli.paths.hint("setup")));
            }
            note("Gateway", &lines);
        }
        if mode.as_deref() == Some("remote") {
            if text(&effective, &["gateway", "remote", "url"]).is_none() {
                let warning = "Warn: gateway.mode=remote but gateway.remote.url is missing; set gateway.remote.url or switch gateway.mode=local.";
                note("Gateway", &[warning.to_owned()]);
            }
            return;
        }
        let auth = |key: &str| text(&effective, &["gateway", "auth", key]);
        let is_set = |name: &str| std::env::var(name).is_ok_and(|text| !text.trim().is_empty());
        let has_token = auth("token").is_some() || is_set("CLAWDBOT_GATEWAY_TOKEN");
        let is_password = auth("mode").as_deref() == Some("password")
            || auth("mode").is_none() && (auth("password").is_some() || is_set("CLAWDBOT_GATEWAY_PASSWORD"));
        if self.is_broken || has_token || is_password {
            return;
        }
        let line =
            "Gateway auth is off or missing a token. Token auth is now the recommended default (including loopback).";
        note("Gateway auth", &[line.to_owned()]);
        if !wants_token && !consent.repair("Generate and configure a gateway token now?") {
            self.has_offers = true;
            return;
        }
        let auth = tree::object_mut(&mut self.tree, &["gateway", "auth"]);
        auth.insert("mode".to_owned(), "token".into());
        auth.insert("token".to_owned(), hex_token(&SystemRng, TOKEN_BYTES).into());
        self.is_changed = true;
        note("Gateway auth", &["Gateway token configured.".to_owned()]);
    }

    /// Returns what the file will mean, as far as it means anything.
    pub(super) fn typed(&self, cli: &Cli) -> Config {
        let snapshot = self.snapshot(&cli.paths);
        if snapshot.valid {
            return (*snapshot.typed).clone();
        }
        // What is invalid somewhere still says something elsewhere.
        let mut tree = self.tree.clone();
        migrate::migrate(&mut tree);
        keys::strip_unknown(&mut tree);
        let mut config = serde_json::from_value::<Config>(tree.clone()).unwrap_or_default();
        config.tree = tree;
        config
    }

    fn snapshot(&self, paths: &Paths) -> Snapshot {
        from_text(paths, self.tree.to_string(), &|name| std::env::var(name).ok())
    }

    /// Writes what was agreed to.
    pub(super) fn write(&mut self, cli: &Cli) {
        let fix = cli.paths.hint("doctor --fix");
        if !self.is_changed {
            if self.has_offers {
                output::line(&format!("\nRun \"{fix}\" to apply changes."));
            }
            return;
        }
        if is_nix_mode() {
            note(
                "Config",
                &["Nix mode detected; the configuration is managed elsewhere and is left as it is.".to_owned()],
            );
            return;
        }
        let wizard = tree::object_mut(&mut self.tree, &["wizard"]);
        wizard.insert("lastRunAt".to_owned(), iso_utc(SystemClock.now_ms()).into());
        wizard.insert("lastRunVersion".to_owned(), env!("CARGO_PKG_VERSION").into());
        wizard.insert("lastRunCommand".to_owned(), "doctor".into());
        wizard.insert("lastRunMode".to_owned(), "local".into());
        let file = cli.paths.shorten(&cli.paths.config_file);
        match write::write(&cli.paths, &self.tree) {
            Ok(_) => {
                output::line(&format!("\nUpdated {file}"));
                if cli.snapshot().exists {
                    output::line(&format!("Backup: {file}.bak"));
                }
            }
            Err(error) => output::error_line(&format!("Cannot write {file}: {error}. It is as it was.")),
        }
    }

    /// Says what is still wrong.
    pub(super) fn last_look(&self, cli: &Cli) {
        let snapshot = load(&cli.paths);
        if snapshot.exists && !snapshot.valid {
            output::error_line("Invalid config:");
            for issue in &snapshot.issues {
                let path = if issue.path.is_empty() { "<root>" } else { &issue.path };
                output::error_line(&format!("- {path}: {}", issue.message));
            }
        }
    }
}

/// Copies values to where they are read now; what stands there already wins.
fn normalise(config: &mut Value) -> Vec<String> {
    let Some(emoji) = tree::get(config, &["messages", "ackReaction"]).cloned() else { return Vec::new() };
    let has_whatsapp = tree::get(config, &["channels", "whatsapp"]).is_some_and(Value::is_object);
    let path = ["channels", "whatsapp", "ackReaction"];
    let Some(emoji) = emoji.as_str().map(str::trim).filter(|emoji| !emoji.is_empty()) else { return Vec::new() };
    if !has_whatsapp || tree::get(config, &path).is_some() {
        return Vec::new();
    }
    let scope =
        tree::get(config, &["messages", "ackReactionScope"]).and_then(Value::as_str).unwrap_or("group-mentions");
    let (direct, group) = match scope {
        "all" => (true, "always"),
        "direct" => (true, "never"),
        "group-all" => (false, "always"),
        _ => (false, "mentions"),
    };
    let line = format!("Copied messages.ackReaction → channels.whatsapp.ackReaction (scope: {scope}).");
    let value = json!({"emoji": emoji, "direct": direct, "group": group});
    tree::set(config, &path, value).map(|()| vec![line]).unwrap_or_default()
}

/// Offers the newest older version that is valid; returns what the file says when it was taken.
fn restore(cli: &Cli, consent: &Consent) -> Option<Value> {
    let file = &cli.paths.config_file;
    let numbers = ["", ".1", ".2", ".3", ".4"];
    let backups = numbers.map(|number| PathBuf::from(format!("{}.bak{number}", file.display())));
    let read = |backup: &PathBuf| {
        let text = std::fs::read_to_string(backup).ok()?;
        from_text(&cli.paths, text.clone(), &|name| std::env::var(name).ok()).valid.then_some(text)
    };
    let (backup, text) = backups.iter().find_map(|backup| read(backup).map(|text| (backup, text)))?;
    let shown = cli.paths.shorten(backup);
    let question = format!("Put the broken file aside and restore {shown}?");
    if !consent.overwrite(&question) {
        let fix = cli.paths.hint("doctor --fix --force");
        note(
            "Config",
            &[format!("The newest version that works is {shown}. Mend the file, or run \"{fix}\" to go back to it.")],
        );
        return None;
    }
    let aside = crate::base::fs::set_aside(file, SystemClock.now_ms());
    let restored = aside.and_then(|aside| {
        let durability = crate::base::fs::Durability::Power;
        crate::base::fs::write_atomic(file, text.as_bytes(), crate::base::fs::MODE_PRIVATE, durability).map(|()| aside)
    });
    match restored {
        Ok(aside) => {
            note("Config", &[format!("Restored {shown}; the broken file is {}.", cli.paths.shorten(&aside))]);
            json5::parse(&text).ok()
        }
        Err(error) => {
            note("Config", &[format!("Cannot restore {shown}: {error}")]);
            None
        }
    }
}
