//! `setup`: a configuration file, a workspace and a place for sessions (cli.md §12.1).

use super::exit::{Failure, Outcome};
use super::{Cli, Command, config, output};
use crate::agent::{session, workspace};
use crate::base::fs::create_dir_private;
use crate::config::load::load;
use crate::config::tree;

/// make the configuration file and the assistant's workspace
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Setup {
    /// directory of the workspace (default: the configured one, or ~/clawd)
    #[argh(option, arg_name = "dir")]
    workspace: Option<String>,
    /// ask for everything (as onboard does)
    #[argh(switch)]
    wizard: bool,
    /// ask nothing
    #[argh(switch)]
    non_interactive: bool,
    /// where the gateway runs: local or remote
    #[argh(option, arg_name = "mode")]
    mode: Option<String>,
    /// address of the remote gateway
    #[argh(option, arg_name = "url")]
    remote_url: Option<String>,
    /// token of the remote gateway
    #[argh(option, arg_name = "token")]
    remote_token: Option<String>,
}

impl Command for Setup {
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        if self.wizard || self.non_interactive {
            return Err(Failure::error(format!(
                "this build has no wizard; run \"{}\" and change values with \"{}\"",
                cli.paths.hint("setup"),
                cli.paths.hint("config set <path> <value>")
            )));
        }
        let before = cli.snapshot();
        let wanted = self.workspace.as_deref().map(str::trim).filter(|dir| !dir.is_empty());
        let existing = tree::get(&before.parsed, &["agents", "defaults", "workspace"]).and_then(|dir| dir.as_str());
        let chosen = match (wanted, existing) {
            (Some(dir), _) => cli.paths.expand(dir).display().to_string(),
            (None, Some(dir)) => dir.to_owned(),
            (None, None) => cli.paths.default_workspace().display().to_string(),
        };
        let shown = cli.paths.shorten(&before.path);
        let changes = self.changes(&chosen, existing)?;
        if changes.is_empty() {
            output::line(&format!("Config OK: {shown}"));
        } else {
            config::edit(&cli.paths, |config| {
                changes.iter().try_for_each(|(path, value)| tree::set(config, path, value.as_str().into()))
            })?;
            output::line(&match before.exists {
                true => format!("Updated {shown} (set {})", names(&changes)),
                false => format!("Wrote {shown}"),
            });
        }
        let after = load(&cli.paths);
        let agent = session::default_agent(&after.typed);
        let made = workspace::ensure(&after.typed, &cli.paths, &agent)
            .map_err(|error| Failure::error(format!("make the workspace: {error}")))?;
        output::line(&format!("Workspace OK: {}", cli.paths.shorten(&made)));
        let sessions = cli.paths.agent_dir(agent.as_str()).join("sessions");
        create_dir_private(&sessions)
            .map_err(|error| Failure::error(format!("make {}: {error}", sessions.display())))?;
        output::line(&format!("Sessions OK: {}", cli.paths.shorten(&sessions)));
        Ok(())
    }
}

/// A path of the configuration and its new value.
type Change = (Vec<&'static str>, String);

impl Setup {
    fn changes(&self, workspace: &str, existing: Option<&str>) -> Result<Vec<Change>, Failure> {
        let mut changes: Vec<Change> = Vec::new();
        if existing != Some(workspace) {
            changes.push((vec!["agents", "defaults", "workspace"], workspace.to_owned()));
        }
        if let Some(mode) = &self.mode {
            if !matches!(mode.as_str(), "local" | "remote") {
                return Err(Failure::error(format!("Invalid --mode \"{mode}\" (use local|remote).")));
            }
            if mode == "remote" && self.remote_url.is_none() {
                return Err(Failure::error("Missing --remote-url for remote mode."));
            }
            changes.push((vec!["gateway", "mode"], mode.clone()));
        }
        for (key, value) in [("url", &self.remote_url), ("token", &self.remote_token)] {
            if let Some(value) = value {
                changes.push((vec!["gateway", "remote", key], value.clone()));
            }
        }
        Ok(changes)
    }
}

fn names(changes: &[Change]) -> String {
    changes.iter().map(|(path, _)| path.join(".")).collect::<Vec<_>>().join(", ")
}
