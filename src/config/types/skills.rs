//! `skills`: which skills there are, which may be used, and what they need.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::StringMap;

/// `skills`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Skills {
    /// Bundled skills that may be used, by key or name; absent or empty = all.
    pub allow_bundled: Option<Vec<String>>,
    /// `skills.load`.
    pub load: SkillsLoad,
    /// `skills.install`.
    pub install: SkillsInstall,
    /// What is set for single skills, by key.
    pub entries: BTreeMap<String, SkillEntry>,
}

/// `skills.load`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SkillsLoad {
    /// Further directories; a skill of another source with the same name wins.
    pub extra_dirs: Vec<String>,
}

/// `skills.install`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SkillsInstall {
    /// Whether Homebrew is offered first where it is installed, default true.
    pub prefer_brew: Option<bool>,
    /// npm (default), pnpm, yarn, bun.
    pub node_manager: Option<String>,
}

/// `skills.entries.<key>`.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SkillEntry {
    /// Whether it may be used, default true.
    pub enabled: Option<bool>,
    /// Value of the variable that the skill calls its primary one.
    pub api_key: Option<String>,
    /// Variables of its runs.
    pub env: StringMap,
}

impl std::fmt::Debug for SkillEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SkillEntry").field("enabled", &self.enabled).finish_non_exhaustive()
    }
}
