//! Home directories for the programs under test, all below one directory of the run.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// The directory of this run; the guard removes it.
pub fn root() -> PathBuf {
    std::env::temp_dir().join(format!("clawdbot-bench-{}", std::process::id()))
}

/// A home directory of its own, removed when dropped.
pub struct Home(PathBuf);

impl Home {
    /// Makes one whose gateway has this configuration, besides what all need.
    pub fn new(config: &Value) -> Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let path = root().join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
        let home = Self(path);
        let mut config = config.clone();
        config["gateway"] = json!({"mode": "local", "auth": {"token": super::subject::TOKEN}});
        config["logging"] = json!({"file": home.0.join("log")});
        home.write(".clawdbot/clawdbot.json", &config.to_string())?;
        Ok(home)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file below it.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.0.join(name);
        let parent = path.parent().expect("a name below the home");
        std::fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
