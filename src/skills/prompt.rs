//! What a run gets of its skills: the list in the prompt, and the variables that its commands see.
//!
//! Pure. Not here: which skills can be used (`status`).

use std::sync::Arc;

use super::manifest::Skill;
use crate::base::text::{collapse_whitespace, ellipsize};
use crate::config::types::Config;

/// Skills of one prompt, and characters of one description; the files have the rest.
const SKILLS_MAX: usize = 200;
const DESCRIPTION_CHARS_MAX: usize = 1024;

/// Returns the list of skills for the model; `None` when it may use none.
pub fn list(skills: &[Arc<Skill>]) -> Option<String> {
    let visible: Vec<&Arc<Skill>> = skills.iter().filter(|skill| !skill.is_hidden_from_model).collect();
    if visible.is_empty() {
        return None;
    }
    if visible.len() > SKILLS_MAX {
        log::warn!(target: "agent", "{} skills are left out of the prompt, which names {SKILLS_MAX}", visible.len() - SKILLS_MAX);
    }
    let mut text = "<available_skills>\n".to_owned();
    for skill in visible.into_iter().take(SKILLS_MAX) {
        let description = ellipsize(&collapse_whitespace(&skill.description), DESCRIPTION_CHARS_MAX);
        text.push_str(&format!(
            "  <skill>\n    <name>{}</name>\n    <description>{}</description>\n    <location>{}</location>\n  </skill>\n",
            escaped(&skill.name),
            escaped(&description),
            escaped(&skill.file.display().to_string()),
        ));
    }
    text.push_str("</available_skills>");
    Some(text)
}

/// Returns the variables that the configuration gives to skills, but for those that the process has.
pub fn variables(skills: &[Arc<Skill>], config: &Config, is_set: &dyn Fn(&str) -> bool) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for skill in skills {
        let Some(entry) = config.skills.entries.get(&skill.key) else { continue };
        let key = skill.primary_env.clone().zip(entry.api_key.clone());
        let own = entry.env.iter().map(|(name, value)| (name.clone(), value.clone()));
        for (name, value) in own.chain(key) {
            let is_name = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
            let is_new = !is_set(&name) && variables.iter().all(|(known, _)| *known != name);
            if is_name && is_new && !value.trim().is_empty() {
                variables.push((name, value));
            }
        }
    }
    variables
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use crate::config::paths::Paths;
    use crate::skills::Sources;
    use serde_json::json;

    #[test]
    fn the_model_sees_visible_skills_and_commands_their_variables() {
        let dir = TempDir::new("skills-prompt");
        let write = |name: &str, head: &str| {
            let dir = dir.path().join("skills").join(name);
            std::fs::create_dir_all(&dir).expect("directory");
            std::fs::write(dir.join("SKILL.md"), format!("---\nname: {name}\n{head}\n---\nbody\n")).expect("file");
        };
        write("tea", "description: Brews <tea> & more\nmetadata: {\"clawdbot\":{\"primaryEnv\":\"TEA_KEY\"}}");
        write("secret", "description: hidden\ndisable-model-invocation: true");
        let entries = json!({"tea": {"apiKey": "k", "env": {"TEA_HOST": "h", "HOME": "/x", "A=B": "x"}}});
        let config: Config = serde_json::from_value(json!({"skills": {"entries": entries}})).expect("configuration");
        let paths = Paths::resolve(|name| (name == "HOME").then(|| dir.path().display().to_string()));
        let skills = Sources::new(&config, &paths, dir.path()).read();
        let list = list(&skills).expect("a list");
        assert!(
            list.contains("<name>tea</name>\n    <description>Brews &lt;tea&gt; &amp; more</description>"),
            "{list}"
        );
        assert!(list.contains("tea/SKILL.md</location>") && !list.contains("hidden"), "{list}");
        let found = variables(&skills, &config, &|name| name == "HOME");
        assert_eq!(found, [("TEA_HOST".to_owned(), "h".to_owned()), ("TEA_KEY".to_owned(), "k".to_owned())]);
        assert_eq!(super::list(&[]), None);
    }
}
