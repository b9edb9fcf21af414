//! `doctor`: looks at everything that keeps a gateway from working, and mends what it may (cli.md §11).
//!
//! The order of the checks is here; each is a file of `doctor/`. Findings are told as they are made, under a heading.
//! What is mended needs `--fix` (or `--yes`), or somebody at the terminal who agrees; a service is only started or
//! installed with `--yes` or by somebody's word.

mod config;
mod health;
mod legacy;
mod service;
mod state;

#[cfg(feature = "onboarding")]
pub(super) use service::ensure_linger;

use super::exit::Outcome;
use super::{Cli, Command, ask, output, security};
use crate::agent::{models, session};
use crate::config::paths::Paths;
use crate::config::types::Config;

/// look for problems and mend them
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Doctor {
    /// leave tips for the workspace out
    #[argh(switch)]
    no_workspace_suggestions: bool,
    /// agree to every repair, services included
    #[argh(switch)]
    yes: bool,
    /// mend what can be mended
    #[argh(switch)]
    repair: bool,
    /// same as --repair
    #[argh(switch)]
    fix: bool,
    /// with --repair: also overwrite a service that somebody edited, and put a broken configuration file aside
    #[argh(switch)]
    force: bool,
    /// ask nothing
    #[argh(switch)]
    non_interactive: bool,
    /// make a token for the gateway if it has none
    #[argh(switch)]
    generate_gateway_token: bool,
    /// look for services in the system's directories, too
    #[argh(switch)]
    deep: bool,
}

impl Command for Doctor {
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        output::line(&output::bold("Clawdbot doctor"));
        let consent = Consent {
            repairs: self.repair || self.fix || self.yes,
            yes: self.yes && !self.non_interactive,
            force: self.force,
            may_ask: !self.non_interactive && !self.yes && ask::has_terminal(),
        };
        let mut config = config::Checked::look(cli, &consent);
        config.gateway(cli, &consent, self.generate_gateway_token);
        let typed = config.typed(cli);
        // Before the service and the gateway are looked at: they read the file.
        config.write(cli);
        legacy::check(cli, &typed, &consent);
        state::check(cli, &typed, &consent);
        let is_remote = typed.gateway.mode.as_deref() == Some("remote");
        service::check(cli, &consent, is_remote, self.deep);
        security(&cli.paths, &typed);
        hooks(&typed);
        health::check(cli, &typed, &consent, is_remote);
        if !self.no_workspace_suggestions {
            state::workspace_tip(cli, &typed);
        }
        config.last_look(cli);
        output::line("Doctor complete.");
        Ok(())
    }
}

/// What may be done without asking, and whether anybody can be asked.
pub(super) struct Consent {
    repairs: bool,
    yes: bool,
    force: bool,
    may_ask: bool,
}

impl Consent {
    /// Asks for a repair of files.
    fn repair(&self, question: &str) -> bool {
        self.repairs || self.may_ask && ask::confirm(question, true)
    }

    /// Asks for something that starts or stops processes.
    fn act(&self, question: &str, default: bool) -> bool {
        self.yes || self.may_ask && ask::confirm(question, default)
    }

    /// Asks for something that undoes what a person did.
    fn overwrite(&self, question: &str) -> bool {
        self.force && self.repairs || self.may_ask && ask::confirm(question, false)
    }
}

/// Tells of a finding.
fn note(title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    output::line(&format!("\n{}", output::bold(title)));
    lines.iter().flat_map(|text| text.lines()).for_each(|line| output::line(&format!("  {line}")));
}

fn hooks(config: &Config) {
    let model = config.hooks.gmail.model.as_deref().unwrap_or_default();
    let agent = session::default_agent(config);
    let faults = models::faults(config, &agent, "hooks.gmail.model", model);
    note("Hooks", &faults.iter().map(|fault| format!("- {fault}")).collect::<Vec<_>>());
}

fn security(paths: &Paths, config: &Config) {
    let findings = security::audit(paths, config);
    let mut lines: Vec<String> = findings
        .iter()
        .filter(|finding| finding.check_id.starts_with("channels.") && finding.severity != security::Severity::Info)
        .map(|finding| format!("- {}: {}", finding.title, finding.detail))
        .collect();
    if lines.is_empty() {
        lines.push("- No channel security warnings detected.".to_owned());
    }
    lines.push(format!("- Summary of all checks: {}", security::summary_line(&findings)));
    lines.push(format!("- Run: {}", paths.hint("security audit --deep")));
    note("Security", &lines);
}
