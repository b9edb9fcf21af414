//! What is measured: this build, other gateways given as commands, and the floor.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::fleet::Fleet;
use crate::home::Home;
use crate::proc::Group;
use crate::process::Process;
use crate::sheet::{FLOOR, OURS};

/// The token that every gateway under test asks for.
pub const TOKEN: &str = "t";

/// How long a gateway may be silent that should speak. The original takes some 20 s to start.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Between the reset of a connection and the end of the process that caused it.
const LAST_GASP: Duration = Duration::from_millis(300);

/// Pause between two tries to connect; it bounds the error of start times.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// A free port may be taken between its choice and its use.
const PORT_TRIES_MAX: usize = 5;

/// What a subject is to the figures.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// This build.
    Ours,
    /// The same work with nothing but the crates: no gateway can be faster.
    Floor,
    /// Another gateway.
    Peer,
}

/// A program under test.
pub struct Subject {
    /// Column in the table, `subject` in the JSON lines.
    pub name: String,
    /// See [`Kind`].
    pub kind: Kind,
    words: Vec<String>,
    patience: Duration,
}

impl Subject {
    /// This build.
    pub fn ours() -> Self {
        Self::of(OURS, Kind::Ours, vec![env!("CARGO_BIN_EXE_clawdbot").to_owned()])
    }

    fn of(name: &str, kind: Kind, words: Vec<String>) -> Self {
        Self { name: name.to_owned(), kind, words, patience: PATIENCE }
    }

    /// Changes how long it may take until it lets a client in, and how long it may then be silent.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// This program again, as the floor.
    pub fn floor() -> Result<Self> {
        let program = std::env::current_exe().context("find this program's own path")?;
        let words = vec![program.to_string_lossy().into_owned(), crate::floor::FLOOR.to_owned()];
        Ok(Self::of(FLOOR, Kind::Floor, words))
    }

    /// A gateway given as a command; blanks separate its words.
    pub fn peer(name: &str, command: &str) -> Result<Self> {
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            bail!("the command of `{name}` is empty: give one as `--peer \"node …/entry.js\"`");
        }
        Ok(Self::of(name, Kind::Peer, words))
    }

    /// Whether it knows what gateways know.
    pub fn is_gateway(&self) -> bool {
        self.kind != Kind::Floor
    }

    /// Its command, as it was given.
    pub fn command_line(&self) -> String {
        self.words.join(" ")
    }

    /// The file of a program that is one file.
    pub fn binary(&self) -> Option<&str> {
        (self.words.len() == 1).then(|| self.words[0].as_str())
    }

    /// A command of it in a home, pointed at a port.
    pub fn command(&self, home: &Home, args: &[&str], port: u16) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).args(args).env_clear().current_dir(home.path());
        command.env("HOME", home.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("CLAWDBOT_GATEWAY_PORT", port.to_string()).env("CLAWDBOT_GATEWAY_TOKEN", TOKEN);
        // Neither messages nor advertisements are measured, and a network is nobody's to be told of a benchmark.
        command.env("CLAWDBOT_SKIP_CHANNELS", "1").env("CLAWDBOT_DISABLE_BONJOUR", "1");
        command
    }

    /// Starts it with this configuration and waits until a client is let in.
    pub fn open(&self, config: &Value) -> Result<Gateway> {
        self.open_in(Home::new(config)?)
    }

    /// As [`Subject::open`], in a home that is ready.
    pub fn open_in(&self, home: Home) -> Result<Gateway> {
        let (name, patience) = (self.name.clone(), self.patience);
        for attempt in 1.. {
            let port = free_port()?;
            let start = Instant::now();
            let command = self.command(&home, &["gateway", "--port", &port.to_string()], port);
            let mut process = Process::start(command, home.path().join("output"))?;
            match self.await_open(&mut process, port) {
                Ok(()) => return Ok(Gateway { process, port, took: start.elapsed(), home, name, patience }),
                // It ended because somebody else listens there now.
                Err(_) if attempt < PORT_TRIES_MAX && process.ended().is_some() && is_taken(port) => {}
                Err(error) => return Err(error),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Waits for the first `hello-ok`; what listens on the port must be this process, so it must not have ended.
    fn await_open(&self, process: &mut Process, port: u16) -> Result<()> {
        let start = Instant::now();
        loop {
            let left = self.patience.saturating_sub(start.elapsed());
            let tried = Fleet::new(port)?.with_patience(left).open(1, 1);
            if let Some(status) = process.ended() {
                let said = process.last_words();
                bail!("{} ended before it let a client in on port {port} ({status}); it said:\n{said}", self.name);
            }
            let Err(error) = tried else { return Ok(()) };
            if left.is_zero() {
                let (seconds, said) = (self.patience.as_secs(), process.last_words());
                let name = &self.name;
                bail!(
                    "{name}, as `… gateway --port {port}`, let no client in within {seconds} s: {error:#}; it said:\n{said}"
                );
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// A running gateway, ended when dropped.
pub struct Gateway {
    // Before `home`: the process goes first.
    process: Process,
    /// Where it listens.
    pub port: u16,
    /// From the start of the process to the first `hello-ok`.
    pub took: Duration,
    /// Where it lives.
    pub home: Home,
    name: String,
    patience: Duration,
}

impl Gateway {
    /// Its processes.
    pub fn group(&self) -> Group {
        Group(self.process.group())
    }

    /// A fleet of clients for it, with none yet.
    pub fn fleet(&self) -> Result<Fleet> {
        Ok(Fleet::new(self.port)?.with_patience(self.patience))
    }

    /// A fleet of clients that have been let in.
    pub fn clients(&self, count: usize) -> Result<Fleet> {
        let mut fleet = self.fleet()?;
        fleet.open(count, 16)?;
        Ok(fleet)
    }

    /// Says of an error whose it is, and whether the process still lives.
    pub fn blame<T>(&mut self, result: Result<T>) -> Result<T> {
        result.map_err(|error| match self.process.wait(LAST_GASP) {
            Ok(status) => {
                error.context(format!("{} died ({status}); it said:\n{}", self.name, self.process.last_words()))
            }
            Err(_) => error.context(format!("{} (still running, port {})", self.name, self.port)),
        })
    }
}

fn address(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

fn is_taken(port: u16) -> bool {
    TcpListener::bind(address(port)).is_err()
}

/// A port that nobody listens on.
pub fn free_port() -> Result<u16> {
    let free = TcpListener::bind(address(0)).and_then(|free| free.local_addr());
    Ok(free.context("no free port on 127.0.0.1")?.port())
}
