//! `write`: a whole file.

use std::path::Path;

use super::arguments::Arguments;
use super::{Tool, ToolContext, ToolResult, always};
use crate::base::fs::{Durability, write_atomic};

/// Mode of a file that was not there before; the process's mask applies.
const MODE_NEW: u32 = 0o644;

pub(super) const TOOL: Tool = Tool {
    name: "write",
    description: "Write a file: makes it, or replaces all of it. Missing directories are made.",
    parameters: &[
        ("path", "string*", "File to write, relative to the workspace or absolute"),
        ("content", "string*", "All of its content"),
    ],
    is_local: true,
    is_wanted: always,
    run,
};

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let given = args.required("path")?;
    let content = args.raw("content").ok_or("content required")?;
    replace(&cx.resolve(given), content.as_bytes()).map_err(|error| format!("write {given}: {error}"))?;
    Ok(ToolResult::text(format!("Successfully wrote {} bytes to {given}", content.len()), None))
}

/// Puts content into a file as if it had been edited: its mode stays, a link keeps pointing where it does, and a full disk
/// leaves what was there.
pub(super) fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    // The file behind a link, which must not be replaced by a file itself.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mode = match std::fs::metadata(&target) {
        Ok(found) if found.is_file() => found.permissions().mode() & 0o7777,
        Ok(_) => return Err(std::io::Error::other("it is not a regular file")),
        Err(_) => MODE_NEW,
    };
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)?;
    }
    write_atomic(&target, content, mode, Durability::Process)
}
