//! What nobody needs any more. After a kill: temporary files beside the ones that they were to replace, and what programs
//! wrote that were putting files into words. Of every day: files that were to be sent.
//!
//! The first is looked for once, in a job after the start: names of [`crate::base::fs::write_atomic`] whose process is gone,
//! and places of [`crate::agent::understanding`]; the second hourly, in a place of [`crate::media`]. Never follows links and
//! never leaves the state directory.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::ctx::Ctx;
use crate::agent::understanding::SCRATCH;
use crate::base::fs::is_left_behind;
use crate::media;

/// Directories below the state directory that are looked into: `agents/<id>/sessions` is the deepest that is written.
const DEPTH_MAX: usize = 3;
/// Entries that are looked at.
const ENTRIES_MAX: usize = 100_000;

/// No delivery tries longer than a day, so nobody wants an older file to be sent.
const OUTBOUND_KEPT: Duration = Duration::from_secs(25 * 60 * 60);

/// Looks for what a kill left and removes it, in the lane of reads of files.
pub fn start(cx: &Arc<Ctx>) {
    let job = cx.clone();
    on_disk(cx, move || {
        let mut left = ENTRIES_MAX;
        let mut removed = sweep(&job.paths.state_dir, DEPTH_MAX, &mut left);
        // The file may be elsewhere.
        if let Some(dir) = job.paths.config_file.parent().filter(|dir| !dir.starts_with(&job.paths.state_dir)) {
            removed += sweep(dir, 0, &mut left);
        }
        removed += sweep_scratch(&job.paths.media_dir());
        if removed > 0 {
            log::info!(target: "gateway", "removed {removed} files of work that a kill had cut off");
        }
    });
}

/// Removes files that were to be sent a day ago, in the same lane.
pub fn outbound(cx: &Arc<Ctx>) {
    let job = cx.clone();
    on_disk(cx, move || {
        let removed = sweep_outbound(&job.paths.media_dir(), SystemTime::now());
        if removed > 0 {
            log::debug!(target: "gateway", "removed {removed} files that nobody sends any more");
        }
    });
}

fn on_disk(cx: &Ctx, job: impl FnOnce() + Send + 'static) {
    if let Err(error) = cx.jobs.submit(vec!["disk".to_owned()], job) {
        log::debug!(target: "gateway", "files that nobody needs are not looked for: {error}");
    }
}

/// One gateway owns the state directory: what programs write is nobody's when it starts.
fn sweep_scratch(dir: &Path) -> usize {
    let scratch = entries(dir)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(SCRATCH))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    scratch.filter(|entry| std::fs::remove_dir_all(entry.path()).is_ok()).count()
}

fn sweep_outbound(dir: &Path, now: SystemTime) -> usize {
    let is_old = |entry: &std::fs::DirEntry| {
        let age = entry.metadata().and_then(|of| of.modified()).map(|at| now.duration_since(at).unwrap_or_default());
        age.is_ok_and(|age| age > OUTBOUND_KEPT)
    };
    let sent = entries(&dir.join(media::OUTBOUND)).filter(is_old);
    sent.filter(|entry| std::fs::remove_file(entry.path()).is_ok()).count()
}

fn entries(dir: &Path) -> impl Iterator<Item = std::fs::DirEntry> + use<> {
    std::fs::read_dir(dir).into_iter().flatten().flatten()
}

fn sweep(dir: &Path, depth: usize, left: &mut usize) -> usize {
    let mut removed = 0;
    for entry in entries(dir) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn what_nobody_reads_or_sends_any_more_goes() {
        let dir = TempDir::new("sweep");
        for place in ["understanding-1", "outbound", "inbound"] {
            std::fs::create_dir(dir.path().join(place)).expect("made");
            std::fs::write(dir.path().join(place).join("a.ogg"), "sound").expect("written");
        }
        let now = SystemTime::now();
        assert_eq!(sweep_scratch(dir.path()) + sweep_outbound(dir.path(), now), 1, "only what a program wrote");
        assert!(!dir.path().join("understanding-1").exists());
        let later = now + OUTBOUND_KEPT + Duration::from_secs(60);
        assert_eq!(sweep_scratch(dir.path()) + sweep_outbound(dir.path(), later), 1, "and later what waits too long");
        assert!(!dir.path().join("outbound/a.ogg").exists() && dir.path().join("inbound/a.ogg").exists());
    }
}
