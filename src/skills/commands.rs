//! Skills as slash commands: what they are called, and what the model is told when one is used.
//!
//! Pure. Not here: who may give commands, and those that are built in (`gateway`, `agent::commands`).

use std::sync::Arc;

use super::manifest::Skill;
use crate::base::text::{collapse_whitespace, unless_blank};

/// Longest name and description: chats show no more.
const NAME_CHARS_MAX: usize = 32;
const DESCRIPTION_CHARS_MAX: usize = 100;
/// What a skill is called of whose name nothing is left.
const NAME_FALLBACK: &str = "skill";

/// A command that stands for a skill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkillCommand {
    /// What is typed behind the slash.
    pub name: String,
    /// For menus of chats.
    pub description: String,
    /// The skill's own name.
    pub skill: String,
    /// The tool that it calls; without one the model is told to use the skill.
    pub tool: Option<String>,
}

/// Returns the commands of skills; none is called like one of `taken`, nor like another.
pub fn list(skills: &[Arc<Skill>], taken: &dyn Fn(&str) -> bool) -> Vec<SkillCommand> {
    let mut commands: Vec<SkillCommand> = Vec::new();
    for skill in skills.iter().filter(|skill| skill.is_user_invocable) {
        let is_free = |name: &str| !taken(name) && commands.iter().all(|known| known.name != name);
        let base = plain(&skill.name);
        let numbered = (2..1000).map(|number| {
            let suffix = format!("_{number}");
            format!("{}{suffix}", &base[..base.len().min(NAME_CHARS_MAX - suffix.len())])
        });
        let Some(name) = std::iter::once(base.clone()).chain(numbered).find(|name| is_free(name)) else { continue };
        let description = collapse_whitespace(unless_blank(&skill.description).unwrap_or(&skill.name));
        let description = match description.char_indices().nth(DESCRIPTION_CHARS_MAX) {
            Some(_) => description.chars().take(DESCRIPTION_CHARS_MAX - 1).chain(['…']).collect(),
            None => description,
        };
        commands.push(SkillCommand { name, description, skill: skill.name.clone(), tool: skill.tool.clone() });
    }
    commands
}

/// Returns the skill that a message uses, and what is said to it: by its command, or by `/skill name`. `None` when it uses
/// none, and is an ordinary text.
pub fn used<'a, 'b>(commands: &'a [SkillCommand], message: &'b str) -> Option<(&'a SkillCommand, &'b str)> {
    let (word, rest) = split(message.trim().strip_prefix('/')?);
    let is_named = word.eq_ignore_ascii_case("skill");
    let (name, input) = if is_named { split(rest) } else { (word, rest) };
    // A skill that is called like a built-in command does not take its place.
    let is_it =
        |it: &&SkillCommand| it.name.eq_ignore_ascii_case(name) || (is_named && it.skill.eq_ignore_ascii_case(name));
    Some((commands.iter().find(is_it)?, input))
}

/// Returns what the model is told when a message uses a skill.
pub fn prompt(found: &SkillCommand, input: &str) -> String {
    let mut prompt = format!("Use the \"{}\" skill for this request.", found.skill);
    if !input.is_empty() {
        prompt.push_str(&format!("\n\nUser input:\n{input}"));
    }
    prompt
}

/// Splits off the first word; a colon may stand behind it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (text[..end].trim_end_matches(':'), text[end..].trim())
}

/// Returns a name in the letters that every chat takes for a command.
fn plain(name: &str) -> String {
    let mut plain = String::new();
    for c in name.to_lowercase().chars() {
        let c = if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' };
        if c != '_' || !(plain.is_empty() || plain.ends_with('_')) {
            plain.push(c);
        }
    }
    plain.truncate(plain.trim_end_matches('_').len());
    plain.truncate(NAME_CHARS_MAX);
    if plain.is_empty() { NAME_FALLBACK.to_owned() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(name: &str, skill: &str) -> SkillCommand {
        SkillCommand { name: name.into(), description: String::new(), skill: skill.into(), tool: None }
    }

    #[test]
    fn names_are_what_chats_take() {
        for (name, expected) in [
            ("Tea Time!", "tea_time"),
            ("__x--y__", "x_y"),
            ("日本", "skill"),
            ("a-very-long-name-that-no-chat-would-take", "a_very_long_name_that_no_chat_wo"),
        ] {
            assert_eq!(plain(name), expected, "{name}");
        }
    }

    #[test]
    fn a_message_may_use_a_skill() {
        let commands = [command("tea_time", "Tea Time"), command("status_2", "status")];
        let told = "Use the \"Tea Time\" skill for this request.";
        for (message, expected) in [
            ("/tea_time", Some(told.to_owned())),
            ("/TEA_TIME: green\nhot", Some(format!("{told}\n\nUser input:\ngreen\nhot"))),
            ("/skill tea_time green", Some(format!("{told}\n\nUser input:\ngreen"))),
            ("/skill status", Some("Use the \"status\" skill for this request.".to_owned())),
            ("/status", None),
            ("/skill coffee", None),
            ("/skill", None),
            ("tea_time", None),
            ("/tea", None),
        ] {
            assert_eq!(used(&commands, message).map(|(found, input)| prompt(found, input)), expected, "{message}");
        }
    }
}
