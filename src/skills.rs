//! Skills: instructions for the agent, one directory each with a `SKILL.md`, and whether they can be used (agent.md §25).
//!
//! [`Skills`] is the gateway's memory of what is in the directories: nothing is read before somebody asks, and read
//! again only when a file or directory has changed. One leaf lock, never held while files are read; any thread that may
//! touch the disk. No skill is built in. Not here: watching the directories.

pub mod commands;
mod front_matter;
pub mod install;
mod load;
pub mod manifest;
pub mod prompt;
pub mod status;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use self::load::Scan;
use self::manifest::{Skill, Source};
use self::status::Surroundings;
use crate::base::cancel::{CancelReason, CancelToken};
use crate::base::clock::UnixMs;
use crate::config::paths::Paths;
use crate::config::types::Config;

/// Directories that are remembered; beyond it all are forgotten and read again when asked for.
const ROOTS_MAX: usize = 64;
/// Names the directory of bundled skills.
const BUNDLED_DIR_VAR: &str = "CLAWDBOT_BUNDLED_SKILLS_DIR";

/// The directories of one agent's skills; of two skills with the same name the later source's counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources(Vec<(PathBuf, Source)>);

impl Sources {
    /// Returns the directories for a workspace: extra, bundled, managed, then its own.
    pub fn new(config: &Config, paths: &Paths, workspace: &Path) -> Self {
        let extra = config.skills.load.extra_dirs.iter().map(|dir| dir.trim()).filter(|dir| !dir.is_empty());
        let bundled = std::env::var(BUNDLED_DIR_VAR).ok().filter(|dir| !dir.trim().is_empty());
        let mut roots: Vec<_> = extra.map(|dir| (paths.expand(dir), Source::Extra)).collect();
        roots.extend(bundled.map(|dir| (paths.expand(&dir), Source::Bundled)));
        roots.push((managed_dir(paths), Source::Managed));
        roots.push((workspace.join("skills"), Source::Workspace));
        Self(roots)
    }

    /// Returns the skills without remembering anything, for a process that asks once.
    pub fn read(&self) -> Vec<Arc<Skill>> {
        merge(self.0.iter().map(|(root, source)| Arc::new(Scan::of(root, *source))))
    }
}

/// Returns the directory of the skills that all agents share.
pub fn managed_dir(paths: &Paths) -> PathBuf {
    paths.state_dir.join("skills")
}

/// See the module.
#[derive(Debug, Default)]
pub struct Skills {
    roots: Mutex<HashMap<(PathBuf, Source), Remembered>>,
    /// The token of the latest installation; they run one at a time.
    install: Mutex<CancelToken>,
}

#[derive(Debug, Clone)]
struct Remembered {
    scan: Arc<Scan>,
    scanned_at_ms: UnixMs,
}

impl Skills {
    /// Returns every skill, usable or not.
    pub fn all(&self, sources: &Sources, now_ms: UnixMs) -> Vec<Arc<Skill>> {
        merge(sources.0.iter().map(|(root, source)| self.scan(root, *source, now_ms)))
    }

    /// Returns the skills that can be used as things are.
    pub fn eligible(&self, sources: &Sources, around: &Surroundings<'_>, now_ms: UnixMs) -> Vec<Arc<Skill>> {
        let mut skills = self.all(sources, now_ms);
        skills.retain(|skill| status::of(skill, around).eligible);
        skills
    }

    /// Returns the token of an installation that begins now; once closed, one that is cancelled already.
    pub fn begin_install(&self) -> CancelToken {
        let mut latest = self.install.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.reason() != Some(CancelReason::Shutdown) {
            *latest = CancelToken::new();
        }
        latest.clone()
    }

    /// Ends the running installation, and later ones before they begin.
    pub fn close(&self) {
        self.install.lock().unwrap_or_else(PoisonError::into_inner).clone().cancel(CancelReason::Shutdown);
    }

    fn scan(&self, root: &Path, source: Source, now_ms: UnixMs) -> Arc<Scan> {
        let key = (root.to_owned(), source);
        let known = self.lock().get(&key).cloned();
        if let Some(known) = known
            && known.scan.is_settled(known.scanned_at_ms)
            && known.scan.is_fresh()
        {
            return known.scan;
        }
        let scan = Arc::new(Scan::of(root, source));
        let mut roots = self.lock();
        if roots.len() >= ROOTS_MAX && !roots.contains_key(&key) {
            roots.clear();
        }
        roots.insert(key, Remembered { scan: scan.clone(), scanned_at_ms: now_ms });
        scan
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(PathBuf, Source), Remembered>> {
        self.roots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Joins scans; a skill takes the place of one with its name that came before.
fn merge(scans: impl Iterator<Item = Arc<Scan>>) -> Vec<Arc<Skill>> {
    let mut skills: Vec<Arc<Skill>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for scan in scans {
        for skill in &scan.skills {
            match places.get(&skill.name) {
                Some(&place) => skills[place] = skill.clone(),
                None => {
                    places.insert(skill.name.clone(), skills.len());
                    skills.push(skill.clone());
                }
            }
        }
    }
    skills
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    fn write(root: &Path, name: &str, description: &str) {
        let dir = root.join(name);
        std::fs::create_dir_all(&dir).expect("directory");
        std::fs::write(dir.join("SKILL.md"), format!("---\ndescription: {description}\n---\n")).expect("file");
    }

    #[test]
    fn nearer_sources_win_and_changes_show() {
        let dir = TempDir::new("skills");
        let home = dir.path().display().to_string();
        let paths = Paths::resolve(|name| (name == "HOME").then(|| home.clone()));
        let mut config = Config::default();
        config.skills.load.extra_dirs = vec![" ~/extra ".to_owned(), String::new()];
        let workspace = dir.path().join("clawd");
        let sources = Sources::new(&config, &paths, &workspace);
        let skills = Skills::default();
        let shown = |now_ms| -> Vec<String> {
            let all = skills.all(&sources, now_ms);
            all.iter().map(|skill| format!("{}={} {}", skill.name, skill.description, skill.source.as_str())).collect()
        };
        assert!(shown(0).is_empty());
        write(&dir.path().join("extra"), "a", "extra");
        write(&dir.path().join("extra"), "b", "extra");
        write(&managed_dir(&paths), "b", "managed");
        write(&workspace.join("skills"), "c", "own");
        let wanted = ["a=extra clawdbot-extra", "b=managed clawdbot-managed", "c=own clawdbot-workspace"];
        assert_eq!(shown(u64::MAX / 2), wanted);
        assert_eq!(shown(u64::MAX / 2), wanted);
        write(&workspace.join("skills"), "a", "own");
        assert_eq!(shown(u64::MAX / 2)[0], "a=own clawdbot-workspace");
        std::fs::remove_dir_all(managed_dir(&paths)).expect("remove");
        assert_eq!(shown(u64::MAX / 2)[1], "b=extra clawdbot-extra");
        assert_eq!(sources.read().len(), 3);
    }

    #[test]
    fn memory_is_bounded() {
        let dir = TempDir::new("skills-bound");
        let skills = Skills::default();
        for number in 0..ROOTS_MAX * 2 {
            skills.all(&Sources(vec![(dir.path().join(number.to_string()), Source::Extra)]), 0);
            assert!(skills.lock().len() <= ROOTS_MAX);
        }
    }
}
