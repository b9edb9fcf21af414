//! `skills`: which skills there are and what they lack; no gateway needed.

use serde_json::{Value, json};

use super::exit::Outcome;
use super::{Cli, Command, output};
use crate::agent::{session, workspace};
use crate::skills::manifest::Requires;
use crate::skills::status::{self, Status, Surroundings};
use crate::skills::{Sources, managed_dir};

/// Said at the end of everything for people.
const TIP: &str = "\nTip: use `npx clawdhub` to search, install, and sync skills.";
/// Shown where a skill has no sign of its own.
const SIGN_DEFAULT: &str = "📦";

/// list the agent's skills
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct List {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// only skills that can be used
    #[argh(switch)]
    eligible: bool,
    /// show what is missing, too
    #[argh(switch)]
    verbose: bool,
}

impl Command for List {
    fn run(self, cli: &Cli) -> Outcome {
        let mut skills = read(cli);
        if self.eligible {
            skills.retain(|skill| skill.eligible);
        }
        if self.json {
            output::json(&json!({
                "workspaceDir": workspace_dir(cli),
                "managedSkillsDir": managed_dir(&cli.paths),
                "skills": skills.iter().map(short_json).collect::<Vec<_>>(),
            }));
            return Ok(());
        }
        if skills.is_empty() {
            let all = cli.paths.hint("skills list");
            output::line(&match self.eligible {
                true => format!("No eligible skills found. Run `{all}` to see all skills."),
                false => "No skills found.".to_owned(),
            });
            output::line(TIP);
            return Ok(());
        }
        let ready = skills.iter().filter(|skill| skill.eligible).count();
        let count = output::dim(&format!("({ready}/{} ready)", skills.len()));
        output::line(&format!("{} {count}", output::bold("Skills")));
        let mut header = vec!["Status", "Skill", "Description", "Source"];
        header.extend(self.verbose.then_some("Missing"));
        let rows: Vec<Vec<String>> = skills.iter().map(|skill| self.row(skill)).collect();
        output::line(&output::table(&header, &rows));
        output::line(TIP);
        Ok(())
    }
}

impl List {
    fn row(&self, skill: &Status) -> Vec<String> {
        let mut row = vec![
            state(skill).to_owned(),
            format!("{} {}", sign(skill), skill.name),
            skill.description.clone(),
            skill.source.to_owned(),
        ];
        row.extend(self.verbose.then(|| missing(&skill.missing)));
        row
    }
}

/// show all about one skill
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Info {
    /// name or key of the skill
    #[argh(positional)]
    name: String,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for Info {
    fn run(self, cli: &Cli) -> Outcome {
        let skills = read(cli);
        let Some(skill) = skills.iter().find(|skill| skill.name == self.name || skill.skill_key == self.name) else {
            // compat: the original ends with 0 here, too.
            if self.json {
                output::json(&json!({"error": "not found", "skill": self.name}));
            } else {
                let all = cli.paths.hint("skills list");
                output::line(&format!(
                    "Skill \"{}\" not found. Run `{all}` to see available skills.\n{TIP}",
                    self.name
                ));
            }
            return Ok(());
        };
        if self.json {
            output::json(&json!(skill));
            return Ok(());
        }
        details(cli, skill).iter().for_each(|line| output::line(line));
        output::line(TIP);
        Ok(())
    }
}

/// check which skills are ready and what the others lack
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Check {
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for Check {
    fn run(self, cli: &Cli) -> Outcome {
        let skills = read(cli);
        let chosen =
            |wanted: &dyn Fn(&Status) -> bool| -> Vec<&Status> { skills.iter().filter(|it| wanted(it)).collect() };
        let eligible = chosen(&|it| it.eligible);
        let disabled = chosen(&|it| it.disabled);
        let blocked = chosen(&|it| it.blocked_by_allowlist && !it.disabled);
        let lacking = chosen(&|it| !it.eligible && !it.disabled && !it.blocked_by_allowlist);
        if self.json {
            let names = |list: &[&Status]| list.iter().map(|skill| skill.name.clone()).collect::<Vec<_>>();
            let lacks =
                |skill: &&Status| json!({"name": skill.name, "missing": skill.missing, "install": skill.install});
            output::json(&json!({
                "summary": {
                    "total": skills.len(), "eligible": eligible.len(), "disabled": disabled.len(),
                    "blocked": blocked.len(), "missingRequirements": lacking.len(),
                },
                "eligible": names(&eligible),
                "disabled": names(&disabled),
                "blocked": names(&blocked),
                "missingRequirements": lacking.iter().map(lacks).collect::<Vec<_>>(),
            }));
            return Ok(());
        }
        output::line(&format!("{}\n", output::bold("Skills Status Check")));
        output::line(&format!("{} {}", output::dim("Total:"), skills.len()));
        for (sign, what, count) in [
            (output::verdict(true, "✓"), "Eligible:", eligible.len()),
            ("⏸".to_owned(), "Disabled:", disabled.len()),
            ("🚫".to_owned(), "Blocked by allowlist:", blocked.len()),
            (output::verdict(false, "✗"), "Missing requirements:", lacking.len()),
        ] {
            output::line(&format!("{sign} {} {count}", output::dim(what)));
        }
        section("Ready to use:", &eligible, |_| String::new());
        section("Missing requirements:", &lacking, |skill| output::dim(&format!(" ({})", missing(&skill.missing))));
        output::line(TIP);
        Ok(())
    }
}

fn section(title: &str, skills: &[&Status], more: impl Fn(&Status) -> String) {
    if skills.is_empty() {
        return;
    }
    output::line(&format!("\n{}", output::bold(title)));
    for skill in skills {
        output::line(&format!("  {} {}{}", sign(skill), skill.name, more(skill)));
    }
}

/// Judges the skills of the default agent.
fn read(cli: &Cli) -> Vec<Status> {
    let config = cli.config();
    let around = Surroundings::of_process(config, None);
    let skills = Sources::new(config, &cli.paths, &workspace_dir(cli)).read();
    skills.iter().map(|skill| status::of(skill, &around)).collect()
}

fn workspace_dir(cli: &Cli) -> std::path::PathBuf {
    workspace::dir(cli.config(), &cli.paths, &session::default_agent(cli.config()))
}

fn short_json(skill: &Status) -> Value {
    let mut all = json!(skill);
    if let Some(object) = all.as_object_mut() {
        let left_out = ["filePath", "baseDir", "skillKey", "always", "requirements", "configChecks", "install"];
        object.retain(|key, _| !left_out.contains(&key.as_str()));
    }
    all
}

fn details(cli: &Cli, skill: &Status) -> Vec<String> {
    let state = match skill {
        it if it.eligible => output::verdict(true, "✓ Ready"),
        it if it.disabled => "⏸ Disabled".to_owned(),
        it if it.blocked_by_allowlist => "🚫 Blocked by allowlist".to_owned(),
        _ => output::verdict(false, "✗ Missing requirements"),
    };
    let mut lines = vec![
        format!("{} {} {state}\n\n{}\n", sign(skill), output::bold(&skill.name), skill.description),
        output::bold("Details:"),
        format!("{} {}", output::dim("  Source:"), skill.source),
        format!("{} {}", output::dim("  Path:"), cli.paths.shorten(std::path::Path::new(&skill.file_path))),
    ];
    for (title, value) in [("Homepage", &skill.homepage), ("Primary env", &skill.primary_env)] {
        lines.extend(value.iter().map(|value| format!("{} {value}", output::dim(&format!("  {title}:")))));
    }
    let required = parts(&skill.requirements).into_iter().zip(parts(&skill.missing));
    let required: Vec<String> = required
        .filter(|((_, _, names), _)| !names.is_empty())
        .map(|((_, title, names), (_, _, lacking))| {
            let mark = |name: &String| match lacking.contains(name) {
                true => output::verdict(false, &format!("✗ {name}")),
                false => output::verdict(true, &format!("✓ {name}")),
            };
            let marks: Vec<String> = names.iter().map(mark).collect();
            format!("{} {}", output::dim(&format!("  {title}:")), marks.join(", "))
        })
        .collect();
    if !required.is_empty() {
        lines.push(format!("\n{}", output::bold("Requirements:")));
        lines.extend(required);
    }
    if !skill.install.is_empty() && !skill.eligible {
        lines.push(format!("\n{}", output::bold("Install options:")));
        lines.extend(skill.install.iter().map(|option| format!("  → {}", option.label)));
    }
    lines
}

/// Returns the parts of what a skill requires, each with its names for lists and for details.
fn parts(requires: &Requires) -> [(&'static str, &'static str, &[String]); 5] {
    [
        ("bins", "Binaries", &requires.bins),
        ("anyBins", "Any binaries", &requires.any_bins),
        ("env", "Environment", &requires.env),
        ("config", "Config", &requires.config),
        ("os", "OS", &requires.os),
    ]
}

fn missing(requires: &Requires) -> String {
    let parts = parts(requires).into_iter().filter(|(_, _, names)| !names.is_empty());
    parts.map(|(title, _, names)| format!("{title}: {}", names.join(", "))).collect::<Vec<_>>().join("; ")
}

fn state(skill: &Status) -> &'static str {
    match skill {
        it if it.eligible => "✓ ready",
        it if it.disabled => "⏸ disabled",
        it if it.blocked_by_allowlist => "🚫 blocked",
        _ => "✗ missing",
    }
}

fn sign(skill: &Status) -> &str {
    skill.emoji.as_deref().unwrap_or(SIGN_DEFAULT)
}
