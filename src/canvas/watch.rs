//! Watches the canvas: something that pages show has changed.
//!
//! Starts no thread of its own but the library's; whoever holds the receiver lets writers settle. Not here: who is told.

use std::io;
use std::path::{Path, PathBuf};

use crossbeam_channel::Sender;
use notify::event::{AccessKind, AccessMode};
use notify::{Config, EventKind, RecursiveMode, Watcher as _};

/// A running watch; dropping it ends it.
pub struct Watch(#[allow(dead_code, reason = "held for its end")] notify::RecommendedWatcher);

/// Watches a directory and what is below it; marks say that something changed, however much.
///
/// # Errors
/// The system's, for instance when there are too many directories.
pub fn start(root: &Path, mark: Sender<()>) -> io::Result<Watch> {
    let place: PathBuf = root.to_owned();
    let notice = move |event: notify::Result<notify::Event>| match event {
        Ok(event) if is_change(event.kind) => {
            if event.need_rescan() || event.paths.iter().any(|path| is_of_interest(&place, path)) {
                // Full means that a look is due anyway; closed means that the watch ends.
                let _ = mark.try_send(());
            }
        }
        Ok(_) => {}
        Err(error) => log::warn!(
            target: "canvas",
            "canvasHost watcher error: {error} (consider canvasHost.liveReload=false or a smaller canvasHost.root)",
        ),
    };
    // What a link leads to is never served, and may be a whole disk.
    let config = Config::default().with_follow_symlinks(false);
    let mut watcher = notify::RecommendedWatcher::new(notice, config).map_err(io::Error::other)?;
    watcher.watch(root, RecursiveMode::Recursive).map_err(io::Error::other)?;
    Ok(Watch(watcher))
}

/// Reading a file is reported too.
fn is_change(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(AccessKind::Close(AccessMode::Write))) || !matches!(kind, EventKind::Access(_))
}

/// Hidden things and installed modules are no part of a page.
fn is_of_interest(root: &Path, path: &Path) -> bool {
    let Ok(rest) = path.strip_prefix(root) else { return true };
    !rest.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        name.starts_with('.') || name == "node_modules"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_things_are_not_watched() {
        let root = Path::new("/r");
        for (path, is_seen) in [
            ("/r/a.html", true),
            ("/r", true),
            ("/r/.git/x", false),
            ("/r/a/node_modules/b.js", false),
            ("/r/a/.x", false),
        ] {
            assert_eq!(is_of_interest(root, Path::new(path)), is_seen, "{path}");
        }
    }
}
