//! `memory`: looking into an agent's notes as its tool `memory_search` does; no gateway needed.

use serde_json::{Value, json};

use super::exit::{Failure, Outcome};
use super::{Cli, Command, output};
use crate::agent::memory::search::Search;
use crate::agent::{session, workspace};
use crate::base::cancel::CancelToken;
use crate::base::clock::SystemClock;
use crate::base::ids::AgentId;
use crate::base::rng::SystemRng;
use crate::base::text::unless_blank;

/// search an agent's notes (MEMORY.md and memory/*.md)
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct SearchNotes {
    /// what to look for
    #[argh(positional)]
    query: String,
    /// agent (default: the default one)
    #[argh(option, arg_name = "id")]
    agent: Option<String>,
    /// most results (default: 6)
    #[argh(option, arg_name = "n")]
    max_results: Option<usize>,
    /// least score, 0 to 1
    #[argh(option, arg_name = "n")]
    min_score: Option<f64>,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for SearchNotes {
    fn run(self, cli: &Cli) -> Outcome {
        let found =
            with(cli, self.agent.as_deref(), |search| search.find(&self.query, self.max_results, self.min_score));
        let found = found.map_err(Failure::error)?;
        if self.json {
            output::json(&found.to_json());
            return Ok(());
        }
        if let Some((from, reason)) = &found.fallback {
            output::error_line(&format!("Searched by words only: {from}: {reason}"));
        }
        if found.results.is_empty() {
            output::line("No matches.");
        }
        for row in &found.results {
            let text = |key: &str| row[key].as_str().unwrap_or_default();
            let place = format!("{}:{}-{}", text("path"), row["startLine"], row["endLine"]);
            output::line(&format!(
                "{} {}",
                output::bold(&format!("{:.3}", row["score"].as_f64().unwrap_or(0.0))),
                place
            ));
            output::line(text("snippet"));
            output::line("");
        }
        Ok(())
    }
}

/// show how many of an agent's notes can be searched by meaning
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Status {
    /// agent (default: the default one)
    #[argh(option, arg_name = "id")]
    agent: Option<String>,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for Status {
    fn run(self, cli: &Cli) -> Outcome {
        let agent = agent_of(cli, self.agent.as_deref());
        if self.json {
            output::json(&view(cli, &agent));
            return Ok(());
        }
        let found = with(cli, self.agent.as_deref(), |search| search.indexed());
        let (service, error) = match &found.service {
            Ok(service) => (Some(service), None),
            Err(error) => (None, Some(error)),
        };
        output::line(&format!("Agent: {agent}"));
        let conversations = match found.conversations {
            0 => String::new(),
            count => format!(" and {count} conversations"),
        };
        output::line(&format!("Notes: {}{conversations} in {} pieces", found.files, found.chunks));
        match (service, error) {
            (Some(service), _) => {
                output::line(&format!("Searched by words and by meaning: {} pieces ({service})", found.vectors))
            }
            (_, error) => output::line(&format!("Searched by words only: {}", error.map_or("", String::as_str))),
        }
        Ok(())
    }
}

/// Returns how much of an agent's notes can be searched, as JSON has it here and in `status`.
pub(super) fn view(cli: &Cli, agent: &AgentId) -> Value {
    let found = with(cli, Some(agent.as_str()), |search| search.indexed());
    let service = found.service.as_deref().ok();
    let (provider, model) = service.and_then(|service| service.split_once('/')).unzip();
    json!({
        "agentId": agent.as_str(), "files": found.files, "conversations": found.conversations, "chunks": found.chunks,
        "vectors": found.vectors, "workspaceDir": workspace::dir(cli.config(), &cli.paths, agent),
        "provider": provider, "model": model, "service": service, "error": found.service.as_ref().err(),
    })
}

/// prepare an agent's notes for the search by meaning
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Index {
    /// agent (default: the default one)
    #[argh(option, arg_name = "id")]
    agent: Option<String>,
    /// prepare all of them again
    #[argh(switch)]
    force: bool,
}

impl Command for Index {
    fn run(self, cli: &Cli) -> Outcome {
        let made = with(cli, self.agent.as_deref(), |search| search.index(self.force));
        let made = made.map_err(|error| Failure::error(format!("The notes are not prepared: {error}")))?;
        match made.service {
            Ok(service) => {
                output::line(&format!("{} of {} pieces are prepared ({service}).", made.vectors, made.chunks))
            }
            Err(error) => output::line(&format!("Nothing to prepare: {error}; notes are searched by words.")),
        }
        Ok(())
    }
}

fn agent_of(cli: &Cli, given: Option<&str>) -> AgentId {
    let given = given.and_then(unless_blank).map(session::normalize_agent_id);
    given.unwrap_or_else(|| session::default_agent(cli.config()))
}

fn with<R>(cli: &Cli, agent: Option<&str>, act: impl FnOnce(&Search<'_>) -> R) -> R {
    let agent = agent_of(cli, agent);
    let workspace = workspace::dir(cli.config(), &cli.paths, &agent);
    act(&Search {
        config: cli.config(),
        paths: &cli.paths,
        agent: &agent,
        workspace: &workspace,
        session_id: None,
        clock: &SystemClock,
        rng: &SystemRng,
        cancel: &CancelToken::new(),
    })
}
