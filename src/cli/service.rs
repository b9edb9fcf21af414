//! Service verbs: what `install`, `uninstall`, `start`, `stop` and `restart` say, for any of our services (cli.md §4).
//!
//! Not here: what a service consists of and who manages it (`service`).

use serde_json::{Value, json};

use super::exit::{Failure, Outcome};
use super::{Cli, output};
use crate::base::program;
use crate::config::paths::is_nix_mode;
use crate::service::plan::Plan;
use crate::service::{Manager, systemd};

/// One service, one verb, and how its outcome is told.
pub(super) struct Verb<'a> {
    pub(super) cli: &'a Cli,
    /// `Node` or `Gateway`.
    pub(super) noun: &'static str,
    pub(super) manager: &'a dyn Manager,
    pub(super) action: &'static str,
    pub(super) is_json: bool,
    /// Whether it is the whole system's service.
    pub(super) is_system: bool,
}

impl Verb<'_> {
    /// Installs what `plan` makes, unless it is installed already and `force` is not given; `warnings` are told after it.
    pub(super) fn install(
        &self,
        force: bool,
        warnings: &[String],
        plan: impl FnOnce() -> Result<Plan, String>,
    ) -> Outcome {
        self.refuse_nix()?;
        let is_loaded = self.manager.is_loaded().map_err(|error| self.check_failed(&error))?;
        let noun = self.noun;
        if is_loaded && !force {
            let message = format!("{noun} service already {}.", self.manager.loaded_text());
            self.emit("already-installed", is_loaded, &Extra { message: Some(&message), ..Extra::default() });
            if !self.is_json {
                output::line(&message);
                output::line(&format!("Reinstall with: {}", self.hint("install --force")));
            }
            return Ok(());
        }
        let plan = plan().map_err(|message| self.failed(&message, &[]))?;
        let lines = self.manager.install(&plan).map_err(|error| self.verb_failed(&error, &[]))?;
        self.done("installed", &lines, warnings)
    }

    /// Stops the service and removes it; one that is not there is fine, too.
    pub(super) fn uninstall(&self) -> Outcome {
        self.refuse_nix()?;
        let lines = self.manager.uninstall().map_err(|error| self.verb_failed(&error, &[]))?;
        // compat: of a node host it is not asked.
        if self.noun == "Gateway" && self.manager.is_loaded().unwrap_or(false) {
            self.tell(&lines);
            return Err(self.failed("Gateway service still loaded after uninstall.", &[]));
        }
        self.done("uninstalled", &lines, &[])
    }

    /// Starts the service, or starts it anew.
    pub(super) fn restart(&self, result: &'static str) -> Outcome {
        if !self.manager.is_loaded().map_err(|error| self.check_failed(&error))? {
            return self.not_loaded(&self.start_hints());
        }
        let lines = self.manager.restart().map_err(|error| self.verb_failed(&error, &self.start_hints()))?;
        self.done(result, &lines, &[])
    }

    /// Stops the service; it stays installed.
    pub(super) fn stop(&self) -> Outcome {
        if !self.manager.is_loaded().map_err(|error| self.check_failed(&error))? {
            return self.not_loaded(&[]);
        }
        let lines = self.manager.stop().map_err(|error| self.verb_failed(&error, &[]))?;
        self.done("stopped", &lines, &[])
    }

    /// Returns the commands that would start it.
    pub(super) fn start_hints(&self) -> Vec<String> {
        // compat: a gateway runs in the foreground by its bare name; a node host has no such command.
        let other = if self.noun == "Node" { "node start" } else { "gateway" };
        vec![self.hint("install"), self.cli.paths.hint(other), self.manager.start_hint()]
    }

    /// Returns a verb of this service as it must be typed.
    fn hint(&self, verb: &str) -> String {
        let system = if self.is_system { " --system" } else { "" };
        self.cli.paths.hint(&format!("{} {verb}{system}", self.noun.to_lowercase()))
    }

    fn refuse_nix(&self) -> Outcome {
        if is_nix_mode() {
            return Err(self.failed(&format!("Nix mode detected; service {} is disabled.", self.action), &[]));
        }
        Ok(())
    }

    fn not_loaded(&self, hints: &[String]) -> Outcome {
        let message = format!("{} service {}.", self.noun, self.manager.not_loaded_text());
        self.emit("not-loaded", false, &Extra { message: Some(&message), hints, ..Extra::default() });
        if !self.is_json {
            output::line(&message);
            for hint in hints {
                output::line(&format!("Start with: {hint}"));
            }
        }
        Ok(())
    }

    fn done(&self, result: &str, lines: &[String], warnings: &[String]) -> Outcome {
        // What cannot be asked any more is what was just done.
        let is_loaded = self.manager.is_loaded().unwrap_or(self.action != "uninstall");
        self.emit(result, is_loaded, &Extra { warnings, ..Extra::default() });
        self.tell(lines);
        if !self.is_json {
            warnings.iter().for_each(|warning| output::error_line(warning));
        }
        Ok(())
    }

    /// Tells people what was done.
    fn tell(&self, lines: &[String]) {
        if !self.is_json {
            lines.iter().for_each(|line| output::line(line));
        }
    }

    fn check_failed(&self, error: &str) -> Failure {
        self.failed(&format!("{} service check failed: Error: {error}", self.noun), &self.unavailable_hints(error))
    }

    fn verb_failed(&self, error: &str, hints: &[String]) -> Failure {
        let hints = [hints, &self.unavailable_hints(error)].concat();
        self.failed(&format!("{} {} failed: Error: {error}", self.noun, self.action), &hints)
    }

    /// Returns what to do where there is no service manager at all.
    pub(super) fn unavailable_hints(&self, error: &str) -> Vec<String> {
        if !systemd::is_unavailable(error) {
            return Vec::new();
        }
        unavailable_hints(self.cli, if self.noun == "Node" { "node run" } else { "gateway" })
    }

    /// Tells of a failure in the form asked for.
    fn failed(&self, message: &str, hints: &[String]) -> Failure {
        if self.is_json {
            let mut answer = json!({"action": self.action, "ok": false, "error": message});
            if !hints.is_empty() {
                answer["hints"] = hints.into();
            }
            output::json(&answer);
            return Failure::code(1);
        }
        let tips = hints.iter().map(|hint| format!("\nTip: {hint}"));
        Failure::text(format!("{message}{}", tips.collect::<String>()))
    }

    fn emit(&self, result: &str, is_loaded: bool, extra: &Extra<'_>) {
        if !self.is_json {
            return;
        }
        let mut answer = json!({"action": self.action, "ok": true, "result": result});
        if let Some(message) = extra.message {
            answer["message"] = message.into();
        }
        for (key, texts) in [("hints", extra.hints), ("warnings", extra.warnings)] {
            if !texts.is_empty() {
                answer[key] = texts.into();
            }
        }
        answer["service"] = snapshot(self.manager, is_loaded);
        output::json(&answer);
    }
}

/// What an answer may say besides its result.
#[derive(Default)]
struct Extra<'a> {
    message: Option<&'a str>,
    hints: &'a [String],
    warnings: &'a [String],
}

/// Returns what to do where there is no systemd, for what `run` runs in the foreground.
pub(super) fn unavailable_hints(cli: &Cli, run: &str) -> Vec<String> {
    systemd::unavailable_hints(&cli.paths.hint(run))
}

/// Returns the `service` object of the answers.
pub(super) fn snapshot(manager: &dyn Manager, is_loaded: bool) -> Value {
    json!({
        "label": manager.label(), "loaded": is_loaded,
        "loadedText": manager.loaded_text(), "notLoadedText": manager.not_loaded_text(),
    })
}

/// Returns this program as a service should name it: the path it was called by, when that is a stable name for it.
pub(super) fn this_program() -> Result<String, String> {
    let current = program::file().map_err(|error| format!("the path of this program: {error}"))?;
    let called = std::env::args_os().next().map(std::path::PathBuf::from).unwrap_or_default();
    let candidates = if called.components().count() > 1 {
        vec![std::path::absolute(&called).unwrap_or_default()]
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|directory| directory.join(&called)).collect()
    };
    let is_this = |path: &std::path::PathBuf| path.canonicalize().is_ok_and(|path| path == current);
    Ok(candidates.into_iter().find(is_this).unwrap_or(current).to_string_lossy().into_owned())
}
