//! `configure`: the wizard's questions for parts of an existing configuration (cli.md §12.5).

use super::exit::{Failure, Outcome};
use super::{Cli, Command, onboard};
use crate::wizard::{Purpose, Request, Section};

/// change parts of the configuration, step by step
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Configure {
    /// part to ask about, again for more: workspace, model, web, gateway, daemon, channels, skills, health
    #[argh(option, arg_name = "section")]
    section: Vec<String>,
}

impl Command for Configure {
    // The wizard judges the file itself.
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let words = self.section.iter().map(|word| word.trim()).filter(|word| !word.is_empty());
        let (known, unknown): (Vec<&str>, Vec<&str>) = words.partition(|word| Section::parse(word).is_some());
        if !unknown.is_empty() {
            return Err(Failure::text(format!(
                "Invalid --section: {}. Expected one of: {}.",
                unknown.join(", "),
                Section::ALL.map(Section::as_str).join(", ")
            )));
        }
        onboard::require_terminal(cli, "configure", &["config set <path> <value>"])?;
        let sections = known.into_iter().filter_map(Section::parse).collect();
        let request = Request { purpose: Purpose::Configure(sections), ..Request::default() };
        onboard::ask(cli, onboard::facts(cli), request).map(|_| ())
    }
}
