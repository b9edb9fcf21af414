//! `reset` and `uninstall`: take away what this program wrote (cli.md §22).
//!
//! What is removed is gone, so both ask, or want `--yes`. Not here: the wizard's reset, which moves things to the trash.

use std::path::{Path, PathBuf};

use super::exit::{Failure, Outcome};
use super::{Cli, Command, ask, environment, gateway_service, output};
use crate::agent::{session, workspace};
use crate::config::paths::is_nix_mode;
use crate::gateway::lock;

/// remove the configuration, or also credentials and sessions, or everything
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Reset {
    /// what to remove: config, config+creds+sessions or full
    #[argh(option, arg_name = "scope")]
    scope: Option<String>,
    /// ask nothing and do it
    #[argh(switch)]
    yes: bool,
    /// ask nothing; needs --yes and --scope
    #[argh(switch)]
    non_interactive: bool,
    /// only say what would be removed
    #[argh(switch)]
    dry_run: bool,
}

const SCOPES: [&str; 3] = ["config", "config+creds+sessions", "full"];

impl Command for Reset {
    // A file that is broken is a reason to reset.
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        require_consent(self.non_interactive, self.yes, self.dry_run)?;
        let scope = match &self.scope {
            Some(scope) => SCOPES.iter().position(|known| known == scope).ok_or_else(|| {
                Failure::text("Invalid --scope. Expected \"config\", \"config+creds+sessions\", or \"full\".")
            })?,
            None if self.non_interactive || !ask::has_terminal() => {
                return Err(Failure::text("Non-interactive mode requires --scope."));
            }
            None => {
                let options = [
                    "Configuration",
                    "Configuration, credentials and sessions (keys of model providers and the workspace stay)",
                    "Everything, the workspace too",
                ];
                match ask::choose("What is to be removed?", &options) {
                    Some(scope) => scope,
                    None => return cancelled("Reset"),
                }
            }
        };
        if !self.yes && !self.dry_run && !ask::confirm(&format!("Proceed with {} reset?", SCOPES[scope]), false) {
            return cancelled("Reset");
        }
        let removal = Removal { cli, is_dry: self.dry_run };
        if scope > 0 {
            removal.stop_service();
            removal.require_stopped()?;
        }
        match scope {
            0 => removal.all(std::slice::from_ref(&cli.paths.config_file)),
            1 => removal.all(
                &[vec![cli.paths.config_file.clone(), cli.paths.credentials_dir(environment::var)], session_dirs(cli)]
                    .concat(),
            ),
            _ => removal.all(&[state(cli), workspaces(cli)].concat()),
        }?;
        if scope > 0 {
            output::line(&format!("Next: {}", cli.paths.hint("onboard --install-daemon")));
        }
        Ok(())
    }
}

/// remove the service, the state, the workspaces: all but the program itself
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Uninstall {
    /// the gateway's service
    #[argh(switch)]
    service: bool,
    /// state and configuration
    #[argh(switch)]
    state: bool,
    /// the agents' workspaces
    #[argh(switch)]
    workspace: bool,
    /// the desktop app (macOS)
    #[argh(switch)]
    app: bool,
    /// all of these
    #[argh(switch)]
    all: bool,
    /// ask nothing and do it
    #[argh(switch)]
    yes: bool,
    /// ask nothing; needs --yes and what to remove
    #[argh(switch)]
    non_interactive: bool,
    /// only say what would be removed
    #[argh(switch)]
    dry_run: bool,
}

impl Command for Uninstall {
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        require_consent(self.non_interactive, self.yes, self.dry_run)?;
        let is_explicit = self.all || self.service || self.state || self.workspace || self.app;
        let [mut service, mut state_too, mut workspace, app] =
            [self.service, self.state, self.workspace, self.app].map(|scope| scope || self.all);
        if !is_explicit {
            if self.non_interactive || !ask::has_terminal() {
                return Err(Failure::text("Non-interactive mode requires explicit scopes (use --all)."));
            }
            service = ask::confirm("Remove the gateway service?", true);
            state_too = ask::confirm("Remove state and configuration?", true);
            workspace = ask::confirm("Remove the workspaces?", false);
        }
        if ![service, state_too, workspace, app].contains(&true) {
            output::line("Nothing selected.");
            return Ok(());
        }
        if !self.yes && !self.dry_run && !ask::confirm("Proceed with uninstall?", false) {
            return cancelled("Uninstall");
        }
        let removal = Removal { cli, is_dry: self.dry_run };
        if service {
            removal.remove_service();
        }
        // Read before the file that names them is gone.
        let workspaces = workspaces(cli);
        let mut paths = Vec::new();
        if state_too {
            removal.require_stopped()?;
            paths.extend(state(cli));
        }
        if workspace {
            paths.extend(workspaces.clone());
        }
        if app && cfg!(target_os = "macos") {
            paths.push("/Applications/Clawdbot.app".into());
        }
        removal.all(&paths)?;
        let program = crate::base::program::file().map(|path| path.display().to_string()).unwrap_or_default();
        output::line(&format!("The program itself is still installed: {program}"));
        if state_too && !workspace && workspaces.iter().any(|dir| dir.is_dir()) {
            output::line("Tip: workspaces were preserved. Re-run with --workspace to remove them.");
        }
        Ok(())
    }
}

fn require_consent(is_non_interactive: bool, yes: bool, is_dry: bool) -> Outcome {
    if !yes && (is_non_interactive || !is_dry && !ask::has_terminal()) {
        return Err(Failure::text("Non-interactive mode requires --yes."));
    }
    Ok(())
}

fn cancelled(what: &str) -> Outcome {
    output::line(&format!("{what} cancelled."));
    Ok(())
}

/// Returns the state directory, and what belongs to it elsewhere.
fn state(cli: &Cli) -> Vec<PathBuf> {
    let mut all = vec![cli.paths.state_dir.clone()];
    let outside = [cli.paths.config_file.clone(), cli.paths.credentials_dir(environment::var)];
    all.extend(outside.into_iter().filter(|path| !path.starts_with(&cli.paths.state_dir)));
    all
}

fn session_dirs(cli: &Cli) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cli.paths.state_dir.join("agents")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().join("sessions")).filter(|dir| dir.is_dir()).collect()
}

fn workspaces(cli: &Cli) -> Vec<PathBuf> {
    let config = cli.config();
    let mut all: Vec<PathBuf> =
        session::agent_ids(config).iter().map(|agent| workspace::dir(config, &cli.paths, agent)).collect();
    all.sort();
    all.dedup();
    all
}

struct Removal<'a> {
    cli: &'a Cli,
    is_dry: bool,
}

impl Removal<'_> {
    fn all(&self, paths: &[PathBuf]) -> Outcome {
        let mut is_whole = true;
        for path in paths {
            is_whole &= self.one(path);
        }
        if is_whole { Ok(()) } else { Err(Failure::code(1)) }
    }

    fn one(&self, path: &Path) -> bool {
        let shown = self.cli.paths.shorten(path);
        // A mistake in a setting must not take a home, or a whole system, with it.
        if path.parent().is_none() || self.cli.paths.home.starts_with(path) {
            output::error_line(&format!("Refusing to remove unsafe path: {shown}"));
            return false;
        }
        if self.is_dry {
            output::line(&format!("[dry-run] remove {shown}"));
            return true;
        }
        let removed = match std::fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
            Ok(_) => std::fs::remove_file(path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                output::error_line(&format!("Failed to remove {shown}: {error}"));
                false
            }
            _ => {
                output::line(&format!("Removed {shown}"));
                true
            }
        }
    }

    /// Stops the service, so that it does not write anew what is removed.
    fn stop_service(&self) {
        if self.is_dry {
            return output::line("[dry-run] stop gateway service");
        }
        let Ok(manager) = gateway_service::manager(&self.cli.paths) else { return };
        if manager.is_loaded() != Ok(true) {
            return;
        }
        match manager.stop() {
            Ok(lines) => lines.iter().for_each(|line| output::line(line)),
            Err(error) => output::error_line(&format!("Gateway stop failed: {error}")),
        }
    }

    /// Refuses while a gateway runs that is no service: it would go on with what is removed, and write it anew.
    fn require_stopped(&self) -> Outcome {
        match lock::holder(&self.cli.paths.lock_file()).filter(|_| !self.is_dry) {
            Some(pid) => Err(Failure::error(format!(
                "a gateway is running (pid {pid}). Stop it first, with Ctrl-C where it runs, then do this again."
            ))),
            None => Ok(()),
        }
    }

    fn remove_service(&self) {
        if self.is_dry {
            return output::line("[dry-run] remove gateway service");
        }
        if is_nix_mode() {
            return output::error_line("Nix mode detected; service uninstall is disabled.");
        }
        let manager = match gateway_service::manager(&self.cli.paths) {
            Ok(manager) => manager,
            Err(error) => return output::error_line(&error),
        };
        match manager.is_loaded() {
            Ok(true) => {}
            Ok(false) => return output::line(&format!("Gateway service {}.", manager.not_loaded_text())),
            Err(error) => return output::error_line(&format!("Gateway service check failed: {error}")),
        }
        self.stop_service();
        match manager.uninstall() {
            Ok(lines) => lines.iter().for_each(|line| output::line(line)),
            Err(error) => output::error_line(&format!("Gateway uninstall failed: {error}")),
        }
    }
}
