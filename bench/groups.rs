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
    /// Whether it holds 10,000 clients.
    pub is_crowded: bool,
    run: fn(&mut Bench) -> Result<()>,
}

const fn group(name: &'static str, what: &'static str, run: fn(&mut Bench) -> Result<()>) -> Group {
    Group { name, what, is_crowded: false, run }
}

const fn crowded(name: &'static str, what: &'static str, run: fn(&mut Bench) -> Result<()>) -> Group {
    Group { is_crowded: true, ..group(name, what, run) }
}

/// All of them, in the order of a run.
pub const GROUPS: &[Group] = &[
    group("start", "process start to the first hello-ok; size of the program", start::run),
    group("idle", "CPU and wake-ups of 20 s without clients", idle::run),
    crowded("memory", "memory and threads: idle, with 1,000 and 10,000 clients, under load, after it", memory::run),
    group("rpc", "calls: rate, times, CPU each; clients x calls under way", rpc::run),
    group("handshakes", "clients let in", handshakes::run),
    crowded("fanout", "one event to many clients", fanout::run),
    group("http", "plain HTTP over 64 connections that stay, beside nginx", http::run),
    group("streams", "calls while runs stream; what a run adds to a word", streams::run),
    group("sessions", "an index of 10,000 sessions beside one of 10", sessions::run),
    group("cli", "wall time of commands", cli::run),
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
