//! The runs that were accepted and have not ended: they outlive the gateway.
//!
//! Owns one journal. A run is in it before anybody is told that it was accepted, and stays until it has ended; how it
//! ended stays for as long as a client may ask again. What happens in between is in the transcript, so that it need not
//! be here: the run's message has its transcript id from the start. Any thread, one leaf lock, which accepting holds
//! across the disk. Not here: carrying runs on (`gateway::accepted`).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::run::RunRequest;
use super::talk::Talk;
use crate::base::clock::UnixMs;
use crate::base::fs::Durability;
use crate::base::ids::RunId;
use crate::base::journal::Journal;
use crate::base::order;

/// The journal is rewritten when it is longer, unless most of it is still of interest.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How long, how many and how much of the runs that have ended is kept.
const ENDED_TTL_MS: UnixMs = 5 * 60_000;
const ENDED_MAX: usize = 1000;
const ENDED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Who asked for a run, and is told how it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// `chat.send`.
    Chat,
    /// `agent`.
    Agent,
    /// A node.
    Node,
    /// A message of a chat network.
    Channel,
    /// A cron job.
    Cron {
        /// Its id.
        job: String,
    },
    /// A hook; what is to be done at the end.
    Hook(HookEnd),
    /// An agent that wants a task done apart.
    Subagent,
    /// A step of a conversation between two sessions.
    Talk {
        /// The run that opened it.
        opening: String,
        /// Where it stands.
        talk: Box<Talk>,
    },
    /// The end of a sub-agent, which the session that asked for it is told.
    Announcement {
        /// The sub-agent's run.
        of: RunId,
    },
}

/// What is still to be done when the run of a hook ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookEnd {
    /// The hook's name.
    pub name: String,
    /// Whether the main session is woken.
    pub wakes: bool,
    /// Why its answer goes nowhere though it should.
    #[serde(default)]
    pub undelivered: Option<String>,
}

/// A run that was accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// What is asked for.
    pub request: RunRequest,
    /// By whom.
    pub origin: Origin,
    /// The session key as the client spelled it.
    pub echo: Option<String>,
    /// Whether waiting system events go into the prompt.
    pub takes_system_events: bool,
    /// When.
    pub accepted_at: UnixMs,
    /// The id that its message has in the transcript.
    pub entry_id: String,
    /// When it began for the first time.
    #[serde(default)]
    pub begun_at: Option<UnixMs>,
    /// How often the gateway went down while it ran.
    #[serde(default)]
    pub crashes: u32,
    /// Whether somebody has stopped it since.
    #[serde(default)]
    pub is_aborted: bool,
    /// Whether that was because its session was deleted.
    #[serde(default)]
    pub is_deleted: bool,
    /// Whether another run has read its message.
    #[serde(default)]
    pub is_read: bool,
    /// Messages that this run answers with its own; they have no runs any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<RunId>,
}

/// How an accepted run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// Which.
    pub run: RunId,
    /// Who asked for it.
    pub origin: Origin,
    /// When it ended.
    pub at: UnixMs,
    /// When it began.
    pub started_at: Option<UnixMs>,
    /// What went wrong.
    pub error: Option<String>,
    /// Whether its deadline ended it.
    #[serde(default)]
    pub timed_out: bool,
    /// What it gave.
    #[serde(default)]
    pub result: Option<Value>,
}

impl Ended {
    /// Returns what was said last.
    pub fn last_text(&self) -> Option<&str> {
        self.result.as_ref()?["payloads"].as_array()?.last()?["text"].as_str()
    }

    /// Returns whether somebody stopped it.
    pub fn is_aborted(&self) -> bool {
        self.result.as_ref().is_some_and(|result| result["meta"]["aborted"] == true)
    }
}

/// See the module.
pub struct RunJournal {
    state: Mutex<State>,
}

struct State {
    journal: Journal,
    live: HashMap<RunId, Live>,
    ended: VecDeque<(Ended, usize)>,
    ended_bytes: usize,
    next_order: u64,
    is_paused: bool,
    is_closed: bool,
}

struct Live {
    order: u64,
    accepted: Accepted,
    /// Whether it runs, as far as the journal knows.
    is_going: bool,
}

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Accepted(Box<Accepted>),
    Begun {
        run: RunId,
        at: UnixMs,
    },
    #[serde(rename_all = "camelCase")]
    Aborted {
        run: RunId,
        #[serde(default)]
        is_deleted: bool,
    },
    /// Another run reads the message.
    Read {
        run: RunId,
    },
    Ended(Ended),
    /// The gateway stopped of its own will: no run took it down.
    Paused {
        at: UnixMs,
    },
}

impl RunJournal {
    /// Opens the journal and keeps of it what is still of interest.
    ///
    /// # Errors
    /// Any I/O error but "not found".
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let mut lines = Vec::new();
        let journal = Journal::open(path, &mut |line| lines.push(line))?;
        let mut state = State {
            journal,
            live: HashMap::new(),
            ended: VecDeque::new(),
            ended_bytes: 0,
            next_order: 0,
            is_paused: false,
            is_closed: false,
        };
        let is_empty = lines.is_empty();
        for line in lines {
            match serde_json::from_value(line) {
                Ok(line) => state.take(line),
                Err(error) => log::error!(target: "agent", "an accepted run cannot be read and is left out: {error}"),
            }
        }
        for live in state.live.values_mut().filter(|live| live.is_going) {
            live.accepted.crashes += 1;
            live.is_going = false;
        }
        // By number and size only: whoever takes a run's end up at the start has not had its five minutes yet.
        state.forget(0);
        if !is_empty {
            state.rewrite()?;
        }
        Ok(Self { state: Mutex::new(state) })
    }

    /// Writes accepted runs down, all or none; they are on the disk when this returns.
    ///
    /// # Errors
    /// Any I/O error, and after [`RunJournal::close`].
    pub fn accept(&self, runs: Vec<Accepted>) -> io::Result<()> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(io::Error::other("the gateway is stopping"));
        }
        let lines: Vec<Line> = runs.into_iter().map(|run| Line::Accepted(Box::new(run))).collect();
        let texts = lines.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
        state.journal.append(&texts, Durability::Power)?;
        lines.into_iter().for_each(|line| state.take(line));
        Ok(())
    }

    /// Notes that a run begins; `false`, and it must not, when the gateway is stopping: it begins after the next start.
    pub fn begin(&self, run: &RunId, now_ms: UnixMs) -> bool {
        let mut state = self.lock();
        if state.is_paused {
            return false;
        }
        state.note(Line::Begun { run: run.clone(), at: now_ms });
        true
    }

    /// Notes that somebody stopped a run, or deleted its session, if it is one of these.
    pub fn abort(&self, run: &RunId, is_deleted: bool) {
        let mut state = self.lock();
        if state.live.contains_key(run) {
            state.note(Line::Aborted { run: run.clone(), is_deleted });
        }
    }

    /// Notes that another run is about to read a run's message.
    pub fn read(&self, run: &RunId) {
        self.lock().note(Line::Read { run: run.clone() });
    }

    /// Notes how a run ended. Also for what never was a run and must not happen twice.
    pub fn end(&self, ended: Ended) {
        let mut state = self.lock();
        let now_ms = ended.at;
        state.note(Line::Ended(ended));
        state.forget(now_ms);
        if state.journal.is_long(BYTES_MAX)
            && let Err(error) = state.rewrite()
        {
            log::warn!(target: "agent", "cannot shorten the journal of runs: {error}");
        }
    }

    /// From now on no run begins, and those that go will be carried on after the next start.
    pub fn pause(&self, now_ms: UnixMs) {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.is_paused, true) && !state.live.is_empty() {
            state.note(Line::Paused { at: now_ms });
        }
    }

    /// Returns whether no run may begin.
    pub fn is_paused(&self) -> bool {
        self.lock().is_paused
    }

    /// Refuses to write from now on, so that a run that outlives its gateway cannot write behind the next one's back.
    pub fn close(&self) {
        self.lock().is_closed = true;
    }

    /// Returns the runs that have not ended, in the order in which they were accepted.
    pub fn unfinished(&self) -> Vec<Accepted> {
        self.lock().in_order().into_iter().map(|live| live.accepted.clone()).collect()
    }

    /// Returns how the recent ones ended, oldest first.
    pub fn recent(&self) -> Vec<Ended> {
        self.lock().ended.iter().map(|(ended, _)| ended.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Appends a line that the death of the process does not undo, and takes it.
    fn note(&mut self, line: Line) {
        if self.is_closed {
            return;
        }
        let written = serde_json::to_value(&line)
            .map_err(io::Error::from)
            .and_then(|text| self.journal.append(&[text], Durability::Process));
        if let Err(error) = written {
            // What was done is in the transcript; at worst a run is looked at once more after the next start.
            log::warn!(target: "agent", "cannot write the journal of runs: {error}");
        }
        self.take(line);
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Accepted(accepted) => {
                let run = accepted.request.run_id.clone();
                accepted.supersedes.iter().for_each(|run| drop(self.live.remove(run)));
                // Written down again when it answers others too.
                let order = self.live.get(&run).map_or(self.next_order, |live| live.order);
                self.next_order += 1;
                self.live.insert(run, Live { order, accepted: *accepted, is_going: false });
            }
            Line::Begun { run, at } => {
                if let Some(live) = self.live.get_mut(&run) {
                    live.accepted.begun_at.get_or_insert(at);
                    // It was begun before and nothing said that it was put down in between.
                    live.accepted.crashes += u32::from(live.is_going);
                    live.is_going = true;
                }
            }
            Line::Aborted { run, is_deleted } => {
                if let Some(live) = self.live.get_mut(&run) {
                    live.accepted.is_aborted = true;
                    live.accepted.is_deleted |= is_deleted;
                }
            }
            Line::Read { run } => {
                if let Some(live) = self.live.get_mut(&run) {
                    live.accepted.is_read = true;
                }
            }
            Line::Ended(ended) => {
                self.live.remove(&ended.run);
                let bytes = ended.result.as_ref().map_or(0, |result| result.to_string().len());
                self.ended_bytes += bytes;
                self.ended.push_back((ended, bytes));
            }
            Line::Paused { .. } => self.live.values_mut().for_each(|live| live.is_going = false),
        }
    }

    /// Forgets the oldest of what has ended.
    fn forget(&mut self, now_ms: UnixMs) {
        while let Some((oldest, bytes)) = self.ended.front() {
            let is_old = now_ms.saturating_sub(oldest.at) > ENDED_TTL_MS;
            if !is_old && self.ended.len() <= ENDED_MAX && self.ended_bytes <= ENDED_BYTES_MAX {
                break;
            }
            self.ended_bytes -= bytes;
            self.ended.pop_front();
        }
    }

    /// Returns the runs that have not ended, in the order in which they were accepted.
    fn in_order(&self) -> Vec<&Live> {
        let mut live: Vec<&Live> = self.live.values().collect();
        order::by_key(&mut live, |live| live.order);
        live
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let mut lines = Vec::new();
        for live in self.in_order() {
            lines.push(json!({"accepted": live.accepted}));
            if live.is_going {
                lines.push(
                    json!({"begun": {"run": live.accepted.request.run_id, "at": live.accepted.begun_at.unwrap_or(0)}}),
                );
            }
        }
        lines.extend(self.ended.iter().map(|(ended, _)| json!({"ended": ended})));
        if lines.is_empty() { self.journal.clear() } else { self.journal.rewrite(&lines) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use crate::base::ids::{AgentId, SessionKey};
    use std::path::Path;

    fn request(run: &str, message: &str) -> RunRequest {
        RunRequest::new(RunId::new(run), AgentId::new("main"), SessionKey::new("agent:main:main"), message)
    }

    fn accepted(run: &str) -> Accepted {
        Accepted {
            request: request(run, "hello"),
            origin: Origin::Chat,
            echo: Some("main".into()),
            takes_system_events: true,
            accepted_at: 5,
            entry_id: "0123abcd".into(),
            begun_at: None,
            crashes: 0,
            is_aborted: false,
            is_deleted: false,
            is_read: false,
            supersedes: Vec::new(),
        }
    }

    fn ended(run: &str, at: UnixMs) -> Ended {
        Ended {
            run: RunId::new(run),
            origin: Origin::Agent,
            at,
            started_at: Some(1),
            error: None,
            timed_out: false,
            result: Some(json!({"payloads": []})),
        }
    }

    fn open(path: &Path) -> RunJournal {
        RunJournal::open(path.to_owned()).expect("open")
    }

    /// Shows each unfinished run as `id begun crashes aborted`.
    fn shown(journal: &RunJournal) -> Vec<String> {
        let shown = |it: &Accepted| {
            let begun = it.begun_at.map_or("-".to_owned(), |at| at.to_string());
            format!("{} {begun} {} {}", it.request.run_id, it.crashes, it.is_aborted)
        };
        journal.unfinished().iter().map(shown).collect()
    }

    #[test]
    fn runs_stay_until_they_end_and_crashes_are_counted() {
        let dir = TempDir::new("run-journal");
        let path = dir.path().join("runs.jsonl");
        let run = RunId::new;
        let journal = open(&path);
        assert!(!path.exists());
        journal.accept(vec![accepted("b"), accepted("a")]).expect("accept");
        journal.accept(vec![accepted("c")]).expect("accept");
        assert!(journal.begin(&run("a"), 7));
        journal.abort(&run("c"), false);
        journal.abort(&run("unknown"), true);
        journal.end(ended("b", 50));
        for crashes in 1..4 {
            // Killed: nobody closed it.
            let journal = open(&path);
            assert_eq!(shown(&journal), [format!("a 7 {crashes} false"), "c - 0 true".to_owned()]);
            assert_eq!(journal.recent(), [ended("b", 50)]);
            assert!(journal.begin(&run("a"), 8));
        }
        let journal = open(&path);
        assert!(journal.begin(&run("a"), 9));
        journal.pause(60);
        assert!(!journal.begin(&run("c"), 9) && journal.is_paused());
        journal.close();
        assert!(journal.accept(vec![accepted("d")]).is_err());
        let journal = open(&path);
        assert_eq!(shown(&journal)[0], "a 7 4 false", "a stop of its own will is no crash");
        journal.end(ended("a", 60));
        journal.end(ended("c", 60));
        assert!(shown(&open(&path)).is_empty());
        let later = open(&path);
        assert_eq!(later.recent().len(), 3, "nobody has had the time to ask");
        later.end(ended("z", 61 + ENDED_TTL_MS));
        assert_eq!(later.recent().len(), 1);
    }

    #[test]
    fn it_stays_short() {
        let dir = TempDir::new("run-journal-short");
        let path = dir.path().join("runs.jsonl");
        let journal = open(&path);
        let long = || Ended { result: Some(json!("x".repeat(100_000))), ..ended("r", 100) };
        journal.accept(vec![accepted("live")]).expect("accept");
        (0..200).for_each(|_| journal.end(long()));
        assert!(std::fs::metadata(&path).expect("file").len() < 3 * BYTES_MAX);
        assert!(journal.recent().len() < 50);
        assert_eq!(shown(&open(&path)), ["live - 0 false"]);
    }
}
