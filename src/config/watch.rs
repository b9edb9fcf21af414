//! Watching the configuration file and what it includes (config.md §10).
//!
//! Owns the thread `config-watch`, which waits for the files' directories to change, lets the writer settle, reads the
//! file and hands on what is valid and new. Directories are watched because editors replace files. A file that is broken
//! or gone is reported and changes nothing. Not here: deciding what a change means (`diff`) and putting it into force
//! (the gateway).

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher as _};
use serde_json::Value;

use super::include;
use super::issue::Issue;
use super::load::{Snapshot, load};
use super::paths::Paths;
use crate::base::thread::{Joiner, STACK_WORKER_BYTES, spawn};

const LOG: &str = "gateway/reload";

/// A running watch; dropping it ends the thread and waits for it.
pub struct ConfigWatch {
    // Order matters: the channel closes before the thread is joined.
    _stop: Sender<()>,
    _thread: Joiner,
}

/// What a look at the file found.
pub enum Look {
    /// A valid content that is new.
    Changed(Box<Snapshot>),
    /// Why what is there now is not in force.
    Problem(String),
    /// What is in force is what is there.
    Fine,
}

impl ConfigWatch {
    /// Watches the files of `paths`, of which `in_force` was read, and calls `on_look`, on the thread of the watch, after every change of them.
    /// `debounce` holds until the file itself names another one.
    ///
    /// # Errors
    /// When the directory cannot be watched or no thread can be had.
    pub fn start(
        paths: Paths,
        in_force: &Snapshot,
        debounce: Duration,
        on_look: impl Fn(Look) + Send + 'static,
    ) -> io::Result<Self> {
        // One waiting mark is enough: it means "look again", however often.
        let (mark, marks) = bounded(1);
        let (stop, stopped) = bounded(0);
        let mut watched = Watched::start(mark)?;
        if let Some(dir) = paths.config_file.parent() {
            crate::base::fs::create_dir_private(dir)?;
        }
        watched.follow(&paths.config_file)?;
        let known = Known { hash: in_force.hash.clone(), config: in_force.config.clone(), exists: in_force.exists };
        let mut actor = Actor { paths, debounce, watched, known, reported: String::new(), on_look };
        let thread = spawn("config-watch", STACK_WORKER_BYTES, move || actor.run(&marks, &stopped))?;
        Ok(Self { _stop: stop, _thread: thread })
    }
}

/// The directories that are watched, and the names in them that matter.
struct Watched {
    watcher: notify::RecommendedWatcher,
    dirs: Vec<PathBuf>,
    names: Arc<Mutex<Vec<OsString>>>,
}

impl Watched {
    fn start(mark: Sender<()>) -> io::Result<Self> {
        let names: Arc<Mutex<Vec<OsString>>> = Arc::default();
        let wanted = names.clone();
        let notice = move |event: notify::Result<notify::Event>| match event {
            Ok(event) if is_write(event.kind) => {
                let names = wanted.lock().unwrap_or_else(PoisonError::into_inner);
                if event.need_rescan() || event.paths.iter().any(|path| is_named(path, &names)) {
                    // Full means that a look is due anyway; closed means that the watch ends.
                    let _ = mark.try_send(());
                }
            }
            Ok(_) => {}
            Err(error) => log::warn!(target: LOG, "config watcher error: {error}"),
        };
        let watcher = notify::recommended_watcher(notice).map_err(io::Error::other)?;
        Ok(Self { watcher, dirs: Vec::new(), names })
    }

    /// Watches the configuration file and what it includes now: where their names are and, for links, where they lead.
    fn follow(&mut self, file: &Path) -> io::Result<()> {
        let mut files = include::files(file);
        files.insert(0, file.to_owned());
        let targets: Vec<PathBuf> = files.iter().filter_map(|file| file.canonicalize().ok()).collect();
        files.extend(targets);
        let names = files.iter().filter_map(|file| file.file_name().map(OsString::from)).collect();
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        for (index, dir) in files.iter().map(|file| file.parent()).enumerate() {
            let Some(dir) = dir.filter(|dir| !self.dirs.iter().any(|known| known == dir)) else { continue };
            match self.watcher.watch(dir, RecursiveMode::NonRecursive) {
                Ok(()) => self.dirs.push(dir.to_owned()),
                Err(error) if index == 0 => return Err(io::Error::other(error)),
                // An included file that cannot be watched is read at the next change of the others.
                Err(error) => log::warn!(target: LOG, "config watcher error: {}: {error}", dir.display()),
            }
        }
        Ok(())
    }
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

/// What was handed on last.
struct Known {
    /// Hash of the file's text.
    hash: String,
    /// What it meant, includes and all.
    config: Value,
    exists: bool,
}

struct Actor<F> {
    paths: Paths,
    debounce: Duration,
    watched: Watched,
    known: Known,
    /// The last problem that was reported.
    reported: String,
    on_look: F,
}

impl<F: Fn(Look)> Actor<F> {
    fn run(&mut self, marks: &Receiver<()>, stopped: &Receiver<()>) {
        // The file may have changed between its reading and the begin of the watch.
        self.look();
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
        if let Err(error) = self.watched.follow(&self.paths.config_file) {
            log::warn!(target: LOG, "config watcher error: {error}");
        }
        let snapshot = load(&self.paths);
        if !snapshot.valid {
            let text = |issue: &Issue| issue.describe();
            let issues = snapshot.issues.iter().map(text).collect::<Vec<_>>().join(", ");
            return self.report(format!("invalid config: {issues}"));
        }
        if !snapshot.exists && self.known.exists {
            // Defaults may be looser than what the file said: they are for those who never had one.
            return self
                .report("the config file is gone; what it said last stays in force until the next start".to_owned());
        }
        self.reported.clear();
        if let Some(ms) = snapshot.typed.gateway.reload.debounce_ms {
            self.debounce = Duration::from_millis(ms);
        }
        let is_new = self.known.hash != snapshot.hash || self.known.config != snapshot.config;
        if is_new {
            self.known =
                Known { hash: snapshot.hash.clone(), config: snapshot.config.clone(), exists: snapshot.exists };
            (self.on_look)(Look::Changed(Box::new(snapshot)));
        } else {
            (self.on_look)(Look::Fine);
        }
    }

    fn report(&mut self, problem: String) {
        if self.reported != problem {
            log::warn!(target: LOG, "config reload skipped ({problem})");
            (self.on_look)(Look::Problem(problem.clone()));
            self.reported = problem;
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
        let (sender, looks) = crossbeam_channel::unbounded();
        let watch = ConfigWatch::start(paths.clone(), &load(&paths), Duration::from_millis(20), move |look| {
            let _ = sender.send(match look {
                Look::Changed(snapshot) => Ok(snapshot.typed.gateway.port),
                Look::Problem(problem) => Err(problem),
                Look::Fine => Ok(None),
            });
        })
        .expect("watch");
        let next = || looks.recv_timeout(Duration::from_secs(10)).expect("a look in time");
        let until = |wanted: u64| while next() != Ok(Some(wanted)) {};
        crate::config::write::write(&paths, &serde_json::json!({"gateway": {"port": 1}})).expect("write");
        until(1);
        std::fs::write(&paths.config_file, "{ broken").expect("write");
        while !next().is_err_and(|problem| problem.starts_with("invalid config: ")) {}
        std::fs::write(paths.state_dir.join("other.json"), "{}").expect("write");
        std::fs::create_dir(paths.state_dir.join("more")).expect("directory");
        std::fs::write(paths.state_dir.join("more/port.json"), "{ gateway: { port: 2 } }").expect("write");
        std::fs::write(&paths.config_file, "{ $include: 'more/port.json' }").expect("write");
        until(2);
        // As an editor does it: another file takes the name.
        std::fs::write(paths.state_dir.join("more/new"), "{ gateway: { port: 3 } }").expect("write");
        std::fs::rename(paths.state_dir.join("more/new"), paths.state_dir.join("more/port.json")).expect("rename");
        until(3);
        std::fs::remove_file(&paths.config_file).expect("remove");
        while !next().is_err_and(|problem| problem.starts_with("the config file is gone")) {}
        drop(watch);
        assert!(looks.iter().count() < 3, "nothing comes after the end");
    }
}
