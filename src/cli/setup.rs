//! `setup`: a configuration file, a workspace and a place for sessions (cli.md §12.1).

use super::exit::{Failure, Outcome};
#[cfg(feature = "onboarding")]
use super::onboard::Onboard;
use super::{Cli, Command, config, output};
use crate::agent::{session, workspace};
use crate::base::text::unless_blank;
use crate::config::load::load;
use crate::config::tree;

/// Where the configuration names the workspace.
const WORKSPACE: [&str; 3] = ["agents", "defaults", "workspace"];

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
        let is_asked = self.wizard || self.non_interactive;
        if is_asked || self.mode.is_some() || self.remote_url.is_some() || self.remote_token.is_some() {
            return self.onboard(cli);
        }
        let before = cli.snapshot();
        let wanted = self.workspace.as_deref().and_then(unless_blank);
        let existing = tree::get(&before.parsed, &WORKSPACE).and_then(|dir| dir.as_str());
        let chosen = match (wanted, existing) {
            (Some(dir), _) => cli.paths.expand(dir).display().to_string(),
            (None, Some(dir)) => dir.to_owned(),
            (None, None) => cli.paths.default_workspace().display().to_string(),
        };
        let shown = cli.paths.shorten(&before.path);
        if existing == Some(chosen.as_str()) {
            output::line(&format!("Config OK: {shown}"));
        } else {
            config::edit(&cli.paths, |config| tree::set(config, &WORKSPACE, chosen.as_str().into()))?;
            output::line(&match before.exists {
                true => format!("Updated {shown} (set {})", WORKSPACE.join(".")),
                false => format!("Wrote {shown}"),
            });
        }
        let after = load(&cli.paths);
        let agent = session::default_agent(&after.typed);
        let made = workspace::ensure(&after.typed, &cli.paths, &agent)
            .map_err(|error| Failure::error(format!("make the workspace: {error}")))?;
        output::line(&format!("Workspace OK: {}", cli.paths.shorten(&made)));
        let sessions = workspace::ensure_sessions(&cli.paths, &agent)
            .map_err(|error| Failure::error(format!("make the directory of sessions: {error}")))?;
        output::line(&format!("Sessions OK: {}", cli.paths.shorten(&sessions)));
        Ok(())
    }
}

impl Setup {
    /// Does what `onboard` does with the same options.
    #[cfg(feature = "onboarding")]
    fn onboard(self, cli: &Cli) -> Outcome {
        let Self { workspace, non_interactive, mode, remote_url, remote_token, wizard: _ } = self;
        Onboard { workspace, non_interactive, mode, remote_url, remote_token, ..Onboard::default() }.run(cli)
    }

    #[cfg(not(feature = "onboarding"))]
    fn onboard(self, _: &Cli) -> Outcome {
        Err(Failure::error("this small build asks no questions; set what you want with `config set`".to_owned()))
    }
}
