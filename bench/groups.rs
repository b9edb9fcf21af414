//! The groups of figures, one file each, and the run through them.

mod cli;
mod fanout;
mod handshakes;
mod http;
mod idle;
mod memory;
mod rpc;
mod sessions;
mod start;
mod streams;

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::sheet::Sheet;
use crate::subject::{Gateway, Subject};

/// One group.
pub struct Group {
    /// As `--only` names it.
    pub name: &'static str,
    /// What it measures, in a line.
    pub what: &'static str,
    run: fn(&mut Bench) -> Result<()>,
}

/// All of them, in the order of a run.
pub const GROUPS: &[Group] = &[
    Group { name: "start", what: "process start to the first hello-ok; size of the program", run: start::run },
    Group { name: "idle", what: "CPU and wake-ups of 20 s without clients", run: idle::run },
    Group {
        name: "memory",
        what: "memory and threads: idle, with 1,000 and 10,000 clients, under load, after it",
        run: memory::run,
    },
    Group { name: "rpc", what: "calls: rate, times, CPU each; clients x calls under way", run: rpc::run },
    Group { name: "handshakes", what: "clients let in", run: handshakes::run },
    Group { name: "fanout", what: "one event to many clients", run: fanout::run },
    Group { name: "http", what: "plain HTTP over 64 connections that stay, beside nginx", run: http::run },
    Group { name: "streams", what: "calls while runs stream; what a run adds to a word", run: streams::run },
    Group { name: "sessions", what: "an index of 10,000 sessions beside one of 10", run: sessions::run },
    Group { name: "cli", what: "wall time of commands", run: cli::run },
];

/// The least number of turns that has a middle.
pub const FEW_TURNS: usize = 3;

/// One run: who is measured, how often, and the sheet.
pub struct Bench {
    /// Ours first.
    pub subjects: Vec<Subject>,
    /// Turns of each subject; a group whose figures hardly vary takes [`FEW_TURNS`].
    pub turns: usize,
    /// Whether turns are short.
    pub is_quick: bool,
    /// The figures.
    pub sheet: Sheet,
}

impl Bench {
    /// Measures these groups; returns the names of those that failed. What a failed one has is kept.
    pub fn run(&mut self, groups: &[&Group]) -> Result<Vec<&'static str>> {
        let mut failed = Vec::new();
        for group in groups {
            self.sheet.begin(group.name, group.what);
            let result = (group.run)(self);
            self.sheet.settle()?;
            if let Err(error) = result {
                eprintln!("bench: {} ended early: {error:#}", group.name);
                failed.push(group.name);
            }
        }
        Ok(failed)
    }

    /// Length of a turn: a tenth of it in quick runs.
    pub fn length(&self, full: Duration) -> Duration {
        if self.is_quick { full / 10 } else { full }
    }

    /// Opens one gateway of each subject.
    pub fn open_all(&self, config: &Value) -> Result<Vec<Gateway>> {
        self.subjects.iter().map(|subject| subject.open(config)).collect()
    }
}
