//! Help texts, derived from the tables and from what each command declares.

use std::fmt::Write as _;

use argh::{CommandInfoWithArgs, Optionality};

use super::argv::{children, flag_title, row_at};
use super::{GROUPS, output};

/// Columns of text.
const WIDTH: usize = 100;

/// Returns the help of a command, a group, or (for the empty path) the program.
pub(super) fn render(path: &[&str]) -> String {
    let row = row_at(path);
    let info = row.map(|row| (row.info)());
    let names = children(path);
    let mut text = String::new();
    let mut usage = ["clawdbot"].iter().chain(path).copied().collect::<Vec<_>>().join(" ");
    if path.is_empty() || info.is_some() {
        usage.push_str(" [options]");
    }
    if !names.is_empty() {
        usage.push_str(if info.is_some() { " [command]" } else { " <command>" });
    }
    for positional in info.iter().flat_map(|info| info.positionals) {
        let name = positional.name;
        let _ = match positional.optionality {
            Optionality::Required => write!(usage, " <{name}>"),
            Optionality::Optional => write!(usage, " [{name}]"),
            Optionality::Repeating | Optionality::Greedy => write!(usage, " [{name}...]"),
        };
    }
    push(&mut text, &format!("Usage: {usage}\n\n{}\n", sentence(summary(path))));
    if let Some(info) = &info {
        section(&mut text, "Arguments", &arguments(info));
        section(&mut text, "Options", &options(info));
    }
    if path.is_empty() {
        section(&mut text, "Options", &program_options());
    }
    let commands: Vec<(String, String)> = names
        .iter()
        .map(|name| {
            let path: Vec<&str> = path.iter().chain([name]).copied().collect();
            ((*name).to_owned(), summary(&path))
        })
        .collect();
    section(&mut text, "Commands", &commands);
    let examples: &[&str] = match row {
        Some(row) => row.examples,
        None if path.is_empty() => {
            &["setup", "gateway --port 18789", "status", "agent --agent main --message \"hello\""]
        }
        None => &[],
    };
    if !examples.is_empty() {
        push(&mut text, &format!("\n{}\n", output::bold("Examples:")));
        for example in examples {
            push(&mut text, &format!("  clawdbot {example}\n"));
        }
    }
    text.truncate(text.trim_end().len());
    text
}

fn summary(path: &[&str]) -> String {
    if path.is_empty() {
        return "your personal assistant: one gateway for chats, agents, nodes and apps".to_owned();
    }
    let group = GROUPS.iter().find(|group| group.0 == path).map(|group| group.1.to_owned());
    group.or_else(|| row_at(path).map(|row| (row.info)().description.to_owned())).unwrap_or_default()
}

fn arguments(info: &CommandInfoWithArgs) -> Vec<(String, String)> {
    info.positionals.iter().map(|it| (it.name.to_owned(), it.description.to_owned())).collect()
}

fn options(info: &CommandInfoWithArgs) -> Vec<(String, String)> {
    let shown = info.flags.iter().filter(|flag| !flag.hidden && flag.long != "--help");
    let mut rows: Vec<_> = shown.map(|flag| (flag_title(flag), flag.description.to_owned())).collect();
    rows.push(("-h, --help".to_owned(), "show this help".to_owned()));
    rows
}

fn program_options() -> Vec<(String, String)> {
    [
        ("--dev", "use the profile dev: its own state, configuration and port 19001"),
        ("--profile <name>", "use a named profile with its own state and configuration (~/.clawdbot-<name>)"),
        ("--no-color", "write no colours"),
        ("-V, --version", "print the version"),
        ("-h, --help", "show help, also after any command"),
    ]
    .map(|(title, text)| (title.to_owned(), text.to_owned()))
    .to_vec()
}

fn section(text: &mut String, title: &str, rows: &[(String, String)]) {
    if rows.is_empty() {
        return;
    }
    push(text, &format!("\n{}\n", output::bold(&format!("{title}:"))));
    let column = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).min(40) + 4;
    for (name, description) in rows {
        let mut line = format!("  {name:<width$}", width = column - 2);
        for word in description.split_whitespace() {
            if line.chars().count() + word.chars().count() >= WIDTH {
                push(text, line.trim_end());
                push(text, "\n");
                line = " ".repeat(column);
            }
            line.push_str(word);
            line.push(' ');
        }
        push(text, line.trim_end());
        push(text, "\n");
    }
}

fn push(text: &mut String, more: &str) {
    text.push_str(more);
}

fn sentence(text: String) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
