//! `--dev`: a configuration and a workspace to play with, made when missing (cli.md §3.10).
//!
//! Runs on main before the configuration is read. `--reset` moves the old ones to the desktop's trash directory; nothing
//! is deleted.

use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use crate::agent::workspace;
use crate::base::clock::Clock;
use crate::base::fs::{MODE_PUBLIC, create_if_missing};
use crate::base::trash;
use crate::config::paths::Paths;
use crate::config::write;

/// Id of the agent that the bootstrap configures.
const AGENT: &str = "dev";
/// Workspace files that are made; there is no BOOTSTRAP.md, because the agent is who the configuration says.
const FILES: [&str; 5] = ["AGENTS.md", "SOUL.md", "TOOLS.md", "IDENTITY.md", "USER.md"];

/// Makes what is missing; with `reset`, puts away what is there first.
///
/// # Errors
/// When files cannot be written; says which.
pub fn bootstrap(paths: &Paths, reset: bool, clock: &dyn Clock) -> anyhow::Result<()> {
    let workspace_dir = paths.home.join("clawd-dev");
    if reset {
        let sessions = paths.sessions_dir(AGENT);
        for path in [&paths.config_file, &paths.state_dir.join("credentials"), &sessions, &workspace_dir] {
            put_away(path, paths, clock);
        }
    }
    if !reset && paths.config_file.exists() {
        return Ok(());
    }
    let config = json!({
        "gateway": {"mode": "local", "bind": "loopback"},
        "agents": {
            "defaults": {"workspace": workspace_dir, "skipBootstrap": true},
            "list": [{
                "id": AGENT, "default": true, "workspace": workspace_dir,
                "identity": {"name": "C3-PO", "theme": "protocol droid", "emoji": "🤖"},
            }],
        },
    });
    write::write(paths, &config).with_context(|| format!("write {}", paths.config_file.display()))?;
    std::fs::create_dir_all(&workspace_dir).with_context(|| format!("create {}", workspace_dir.display()))?;
    for file in workspace::FILES.iter().filter(|file| FILES.contains(&file.name)) {
        let path = workspace_dir.join(file.name);
        create_if_missing(&path, file.template.as_bytes(), MODE_PUBLIC)
            .with_context(|| format!("write {}", path.display()))?;
    }
    println!("Dev config ready: {}", paths.shorten(&paths.config_file));
    println!("Dev workspace ready: {}", paths.shorten(&workspace_dir));
    Ok(())
}

fn put_away(path: &Path, paths: &Paths, clock: &dyn Clock) {
    if !path.exists() {
        return;
    }
    match trash::put_away(path, &paths.home, clock.now_ms()) {
        Ok(_) => println!("Moved to Trash: {}", paths.shorten(path)),
        Err(error) => eprintln!("Failed to move to Trash (manual delete): {} ({error})", paths.shorten(path)),
    }
}
