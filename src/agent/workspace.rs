//! An agent's workspace: the directory it works in, the files that tell it who it is, and what they say of its name
//! (agent.md §1).
//!
//! Any thread; everything here is a few small files. Not here: how the files enter the prompt (`agent::prompt`).

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::agent::session;
use crate::base::cancel::CancelToken;
use crate::base::fs::{MODE_PUBLIC, create_dir_private, create_if_missing, read_text_capped};
use crate::base::ids::AgentId;
use crate::base::process;
use crate::config::paths::Paths;
use crate::config::types::Config;

/// Characters of a shown name.
const NAME_LEN_MAX: usize = 50;
/// Characters of an avatar.
const AVATAR_LEN_MAX: usize = 200;
/// How long `git init` may take.
const GIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest workspace file that is read.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A file of the workspace that the prompt carries.
pub struct WorkspaceFile {
    /// Its name.
    pub name: &'static str,
    /// What a new workspace gets.
    pub template: &'static str,
    /// Whether sub-agents see it too.
    pub is_for_subagents: bool,
}

/// Every file that is made and injected, in the order of injection; the last one only in a brand-new workspace.
pub const FILES: [WorkspaceFile; 7] = [
    WorkspaceFile { name: "AGENTS.md", template: include_str!("workspace/AGENTS.md"), is_for_subagents: true },
    WorkspaceFile { name: "SOUL.md", template: include_str!("workspace/SOUL.md"), is_for_subagents: false },
    WorkspaceFile { name: "TOOLS.md", template: include_str!("workspace/TOOLS.md"), is_for_subagents: true },
    WorkspaceFile { name: "IDENTITY.md", template: include_str!("workspace/IDENTITY.md"), is_for_subagents: false },
    WorkspaceFile { name: "USER.md", template: include_str!("workspace/USER.md"), is_for_subagents: false },
    WorkspaceFile { name: "HEARTBEAT.md", template: include_str!("workspace/HEARTBEAT.md"), is_for_subagents: false },
    WorkspaceFile { name: BOOTSTRAP, template: include_str!("workspace/BOOTSTRAP.md"), is_for_subagents: false },
];

/// The file of the first conversation; the agent deletes it afterwards.
pub const BOOTSTRAP: &str = "BOOTSTRAP.md";

/// Returns the workspace directory of an agent, whether or not it exists.
pub fn dir(config: &Config, paths: &Paths, agent: &AgentId) -> PathBuf {
    let path = |text: &Option<String>| {
        text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(|text| paths.expand(text))
    };
    if let Some(own) = session::agent_entry(config, agent).and_then(|entry| path(&entry.workspace)) {
        return own;
    }
    if *agent != session::default_agent(config) {
        return paths.home.join(format!("clawd-{agent}"));
    }
    path(&config.agents.defaults.workspace).unwrap_or_else(|| paths.default_workspace())
}

/// Makes the workspace and the files that are missing in it, unless `agents.defaults.skipBootstrap` forbids the files;
/// never touches a file that is there. A brand-new workspace also gets `BOOTSTRAP.md` and becomes a git repository.
///
/// # Errors
/// Any I/O error but a failing git.
pub fn ensure(config: &Config, paths: &Paths, agent: &AgentId) -> io::Result<PathBuf> {
    let dir = dir(config, paths, agent);
    ensure_at(&dir, config.agents.defaults.skip_bootstrap != Some(true))?;
    Ok(dir)
}

/// As [`ensure`], in a directory that is known, with or without the files.
///
/// # Errors
/// Any I/O error but a failing git.
pub fn ensure_at(dir: &Path, has_files: bool) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    if !has_files {
        return Ok(());
    }
    let is_first_run = |file: &&WorkspaceFile| file.name == BOOTSTRAP;
    let is_new = !FILES.iter().any(|file| !is_first_run(&file) && dir.join(file.name).exists());
    for file in FILES.iter().filter(|file| is_new || !is_first_run(file)) {
        create_if_missing(&dir.join(file.name), file.template.as_bytes(), MODE_PUBLIC)?;
    }
    if is_new && !dir.join(".git").exists() {
        git_init(dir);
    }
    Ok(())
}

/// Makes the directory of an agent's sessions, which it returns, and that of channels' credentials.
///
/// # Errors
/// Any I/O error.
pub fn ensure_sessions(paths: &Paths, agent: &AgentId) -> io::Result<PathBuf> {
    let dir = paths.sessions_dir(agent.as_str());
    create_dir_private(&dir)?;
    // Channels keep theirs there; `doctor` would miss it.
    create_dir_private(&paths.credentials_dir(|name| std::env::var(name).ok()))?;
    Ok(dir)
}

/// Makes a repository, so that the agent's notes have a history; without git there is none.
fn git_init(dir: &Path) {
    let mut command = Command::new("git");
    command.args(["init", "--quiet"]).current_dir(dir);
    // A variable of a surrounding git command would put the repository somewhere else.
    command.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
    if let Err(error) = process::run(command, Some(GIT_TIMEOUT), 4096, &CancelToken::new(), |_| (), |_| ()) {
        log::debug!(target: "agent", "no git repository in {}: {error}", dir.display());
    }
}

/// How an agent shows itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// A letter, an emoji, a URL or a path below the workspace.
    pub avatar: String,
}

/// Returns how an agent shows itself: `ui.assistant`, then its configuration, then its `IDENTITY.md`, then a default.
pub fn identity(config: &Config, paths: &Paths, agent: &AgentId) -> Identity {
    let file = file_identity(&dir(config, paths, agent).join("IDENTITY.md"));
    let own = session::agent_entry(config, agent).and_then(|entry| entry.identity.clone()).unwrap_or_default();
    let ui = &config.ui.assistant;
    let names = [&ui.name, &own.name, &file.name];
    let avatars = [&ui.avatar, &own.avatar, &own.emoji, &file.avatar, &file.emoji];
    Identity {
        name: names
            .into_iter()
            .find_map(|name| clean(name.as_deref(), NAME_LEN_MAX))
            .unwrap_or_else(|| "Assistant".to_owned()),
        avatar: avatars
            .into_iter()
            .filter_map(|avatar| clean(avatar.as_deref(), AVATAR_LEN_MAX))
            .find(|avatar| is_avatar(avatar))
            .unwrap_or_else(|| "A".to_owned()),
    }
}

fn clean(text: Option<&str>, len_max: usize) -> Option<String> {
    let text: String = text?.trim().chars().take(len_max).collect();
    (!text.is_empty()).then_some(text)
}

fn is_avatar(text: &str) -> bool {
    let lower = text.to_lowercase();
    let is_url = ["http://", "https://", "data:image/"].iter().any(|start| lower.starts_with(start));
    let is_image = [".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".ico"].iter().any(|end| lower.ends_with(end));
    let is_sign = !text.contains(char::is_whitespace) && text.encode_utf16().count() <= 4;
    is_url || text.contains(['/', '\\']) || is_image || is_sign
}

/// Reads the `- Name: …` lines of an `IDENTITY.md`; a missing or unreadable file says nothing.
pub fn file_identity(file: &Path) -> crate::config::types::Identity {
    let mut identity = crate::config::types::Identity::default();
    // What a theme is made of when none is named.
    let (mut creature, mut vibe) = (None, None);
    let Ok(Some(text)) = read_text_capped(file, FILE_BYTES_MAX) else { return identity };
    for line in text.lines() {
        let line = line.trim().trim_start_matches('-').trim();
        let Some((label, value)) = line.split_once(':') else { continue };
        let value = value.trim().trim_matches(['*', '_']).trim();
        // Templates ask in parentheses.
        if value.is_empty() || (value.starts_with('(') && value.ends_with(')')) {
            continue;
        }
        let slot = match label.replace(['*', '_'], "").trim().to_lowercase().as_str() {
            "name" => &mut identity.name,
            "emoji" => &mut identity.emoji,
            "theme" => &mut identity.theme,
            "avatar" => &mut identity.avatar,
            "creature" => &mut creature,
            "vibe" => &mut vibe,
            _ => continue,
        };
        *slot = Some(value.to_owned());
    }
    identity.theme = identity.theme.or(creature).or(vibe);
    identity
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use serde_json::json;

    fn paths(dir: &TempDir) -> Paths {
        let home = dir.path().display().to_string();
        Paths::resolve(|name| (name == "HOME").then(|| home.clone()))
    }

    #[test]
    fn files_are_made_once() {
        let temp = TempDir::new("workspace");
        let (config, paths, main) = (Config::default(), paths(&temp), AgentId::new("main"));
        let dir = ensure(&config, &paths, &main).expect("ensure");
        assert_eq!(dir, temp.path().join("clawd"));
        assert!(FILES.iter().all(|file| dir.join(file.name).exists()));
        std::fs::remove_file(dir.join(BOOTSTRAP)).expect("remove");
        std::fs::write(dir.join("SOUL.md"), "mine").expect("write");
        ensure(&config, &paths, &main).expect("ensure");
        assert!(!dir.join(BOOTSTRAP).exists());
        assert_eq!(std::fs::read_to_string(dir.join("SOUL.md")).expect("read"), "mine");
    }

    #[test]
    fn identities_come_from_the_nearest_source() {
        let temp = TempDir::new("identity");
        let paths = paths(&temp);
        let main = AgentId::new("main");
        let show = |config: &Config| {
            let Identity { name, avatar } = identity(config, &paths, &main);
            format!("{name} {avatar}")
        };
        let mut config = Config::default();
        assert_eq!(show(&config), "Assistant A");
        ensure(&config, &paths, &main).expect("ensure");
        assert_eq!(show(&config), "Assistant A", "templates name nobody");
        let file = dir(&config, &paths, &main).join("IDENTITY.md");
        std::fs::write(file, "- **Name:** Pip\n- **Emoji:** 🐣\n- Avatar: (none yet)\n").expect("write");
        assert_eq!(show(&config), "Pip 🐣");
        config.agents.list =
            serde_json::from_value(json!([{"id": "main", "identity": {"name": "Ops", "avatar": "a b"}}]))
                .expect("agents");
        assert_eq!(show(&config), "Ops 🐣");
    }
}
