//! Watching the configuration file (config.md §10).
//!
//! Owns the thread `config-watch`, which waits for the file's directory to change, lets the writer settle, reads the
//! file and hands on what is valid and new. The directory is watched because editors replace files. Not here: deciding
//! what a change means (`diff`) and putting it into force (the gateway). Included files are not watched.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher as _};

use super::issue::Issue;
use super::load::{Snapshot, load};
use super::paths::Paths;
use crate::base::thread::{Joiner, STACK_WORKER_BYTES, spawn};

const LOG: &str = "gateway/reload";

/// A running watch; dropping it ends the thread and waits for it.
pub struct ConfigWatch {
    // Order matters: the watcher and the channel close before the thread is joined.
    _watcher: notify::RecommendedWatcher,
    _stop: Sender<()>,
    _thread: Joiner,
}

impl ConfigWatch {
    /// Watches the file of `paths` and calls `on_change`, on the thread of the watch, with every valid snapshot whose text is new.
    /// `debounce` holds until the file itself names another one.
    ///
    /// # Errors
    /// When the directory cannot be watched or no thread can be had.
    pub fn start(paths: Paths, debounce: Duration, on_change: impl Fn(Snapshot) + Send + 'static) -> io::Result<Self> {
        // One waiting mark is enough: it means "look again", however often.
        let (mark, marks) = bounded(1);
        let (stop, stopped) = bounded(0);
        let watcher = watch(&paths.config_file, mark)?;
        // Read after the watch began, so that nothing between the two is missed.
        let known = load(&paths).hash;
        let mut actor = Actor { paths, debounce, known, reported: String::new(), on_change };
        let thread = spawn("config-watch", STACK_WORKER_BYTES, move || actor.run(&marks, &stopped))?;
        Ok(Self { _watcher: watcher, _stop: stop, _thread: thread })
    }
}

/// Starts watching the directories of the file: where its name is and, for a link, where it leads.
fn watch(file: &Path, mark: Sender<()>) -> io::Result<notify::RecommendedWatcher> {
    let target = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let files = [file.to_owned(), target];
    let names: Vec<OsString> = files.iter().filter_map(|file| file.file_name().map(OsString::from)).collect();
    let notice = move |event: notify::Result<notify::Event>| match event {
        Ok(event)
            if is_write(event.kind)
                && (event.need_rescan() || event.paths.iter().any(|path| is_named(path, &names))) =>
        {
            // Full means that a look is due anyway; closed means that the watch ends.
            let _ = mark.try_send(());
        }
        Ok(_) => {}
        Err(error) => log::warn!(target: LOG, "config watcher error: {error}"),
    };
    let mut watcher = notify::recommended_watcher(notice).map_err(io::Error::other)?;
    let mut watched: Option<PathBuf> = None;
    for dir in files.iter().filter_map(|file| file.parent()) {
        if watched.as_deref() != Some(dir) {
            crate::base::fs::create_dir_private(dir)?;
            watcher.watch(dir, RecursiveMode::NonRecursive).map_err(io::Error::other)?;
            watched = Some(dir.to_owned());
        }
    }
    Ok(watcher)
}

fn is_named(path: &Path, names: &[OsString]) -> bool {
    path.file_name().is_some_and(|name| names.iter().any(|known| known == name))
}

/// Reading a file is reported too, and our own reading must not wake us.
fn is_write(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

struct Actor<F> {
    paths: Paths,
    debounce: Duration,
    /// Hash of the last text handed on.
    known: String,
    /// Hash of the last invalid text that was logged.
    reported: String,
    on_change: F,
}

impl<F: Fn(Snapshot)> Actor<F> {
    fn run(&mut self, marks: &Receiver<()>, stopped: &Receiver<()>) {
        while wait(marks, stopped, None) == Some(true) {
            loop {
                match wait(marks, stopped, Some(self.debounce)) {
                    Some(true) => {}
                    Some(false) => break,
                    None => return,
                }
            }
            self.look();
        }
    }

    fn look(&mut self) {
        let snapshot = load(&self.paths);
        if !snapshot.valid {
            if self.reported != snapshot.hash {
                let text = |issue: &Issue| issue.describe();
                let issues = snapshot.issues.iter().map(text).collect::<Vec<_>>().join(", ");
                log::warn!(target: LOG, "config reload skipped (invalid config): {issues}");
                self.reported = snapshot.hash;
            }
            return;
        }
        self.reported.clear();
        if let Some(ms) = snapshot.typed.gateway.reload.debounce_ms {
            self.debounce = Duration::from_millis(ms);
        }
        if self.known != snapshot.hash {
            self.known.clone_from(&snapshot.hash);
            (self.on_change)(snapshot);
        }
    }
}

/// Waits for a mark: `Some(true)` when one came, `Some(false)` when the time passed, `None` when the watch ends.
fn wait(marks: &Receiver<()>, stopped: &Receiver<()>, limit: Option<Duration>) -> Option<bool> {
    let timeout = limit.map_or_else(never, crossbeam_channel::after);
    select! {
        recv(stopped) -> _ => None,
        recv(marks) -> mark => mark.ok().map(|()| true),
        recv(timeout) -> _ => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn valid_changes_are_handed_on_and_broken_ones_are_not() {
        let dir = TempDir::new("watch");
        let home = dir.path().display().to_string();
        let paths = Paths::resolve(|name| (name == "HOME").then(|| home.clone()));
        let (sender, snapshots) = crossbeam_channel::unbounded();
        let watch = ConfigWatch::start(paths.clone(), Duration::from_millis(20), move |snapshot| {
            let _ = sender.send(snapshot.typed.gateway.port);
        })
        .expect("watch");
        let wait = Duration::from_secs(10);
        crate::config::write::write(&paths, &serde_json::json!({"gateway": {"port": 1}})).expect("write");
        assert_eq!(snapshots.recv_timeout(wait), Ok(Some(1)));
        std::fs::write(&paths.config_file, "{ broken").expect("write");
        std::fs::write(paths.state_dir.join("other.json"), "{}").expect("write");
        std::fs::write(&paths.config_file, "{ gateway: { port: 2 } }").expect("write");
        assert_eq!(snapshots.recv_timeout(wait), Ok(Some(2)));
        drop(watch);
        assert_eq!(snapshots.try_recv(), Err(crossbeam_channel::TryRecvError::Disconnected));
    }
}
