//! What killed writes leave behind: temporary files beside the ones that they were to replace.
//!
//! Looked for once, in a job after the start: names of [`crate::base::fs::write_atomic`] whose process is gone. Never
//! follows links and never leaves the state directory.

use std::path::Path;
use std::sync::Arc;

use super::ctx::Ctx;
use crate::base::fs::is_left_behind;

/// Directories below the state directory that are looked into: `agents/<id>/sessions` is the deepest that is written.
const DEPTH_MAX: usize = 3;
/// Entries that are looked at.
const ENTRIES_MAX: usize = 100_000;

/// Looks and removes, in the lane of reads of files.
pub fn start(cx: &Arc<Ctx>) {
    let job = cx.clone();
    let submitted = cx.jobs.submit(vec!["disk".to_owned()], move || {
        let mut left = ENTRIES_MAX;
        let mut removed = sweep(&job.paths.state_dir, DEPTH_MAX, &mut left);
        // The file may be elsewhere.
        if let Some(dir) = job.paths.config_file.parent().filter(|dir| !dir.starts_with(&job.paths.state_dir)) {
            removed += sweep(dir, 0, &mut left);
        }
        if removed > 0 {
            log::info!(target: "gateway", "removed {removed} temporary files of writes that a kill had cut off");
        }
    });
    if let Err(error) = submitted {
        log::debug!(target: "gateway", "temporary files are not looked for: {error}");
    }
}

fn sweep(dir: &Path, depth: usize, left: &mut usize) -> usize {
    let mut removed = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if *left == 0 {
            return removed;
        }
        *left -= 1;
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth > 0 {
            removed += sweep(&entry.path(), depth - 1, left);
        } else if kind.is_file() && is_left_behind(&entry.file_name().to_string_lossy()) {
            // Somebody else may have been quicker.
            removed += usize::from(std::fs::remove_file(entry.path()).is_ok());
        }
    }
    removed
}
