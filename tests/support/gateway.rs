//! A running gateway: its process, its port, its home.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use super::client::Client;
use super::home::{Home, Ran};
use super::lines::Lines;
use super::provider::Provider;
use super::{PATIENCE, TOKEN};

/// Another process may take a free port between its choice and its use.
const PORT_TRIES_MAX: usize = 5;

/// Killed when dropped.
pub struct Gateway {
    // Before `home`, so that the process is gone when its directory is removed.
    process: Process,
    pub port: u16,
    pub home: Home,
}

struct Process {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a gateway ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stderr: String,
}

impl Gateway {
    /// Starts with a configuration laid over the usual one and waits until it listens.
    pub fn start(config: Value) -> Self {
        Self::start_in(Home::with_config(&config), &[], &[])
    }

    /// Starts with a scripted provider as the model.
    pub fn with_provider(provider: &Provider, config: Value) -> Self {
        let home = Home::with_config(&config);
        Self::use_provider(&home, provider);
        Self::start_in(home, &[], &[])
    }

    /// Makes a scripted provider the model of a home.
    pub fn use_provider(home: &Home, provider: &Provider) {
        Self::use_model(home, provider, "m", 32_000);
    }

    /// The same, with another name of the model and another window.
    pub fn use_model(home: &Home, provider: &Provider, name: &str, window: u32) {
        let mut all: Value = serde_json::from_str(&std::fs::read_to_string(home.config_file()).unwrap()).unwrap();
        let model = json!({
            "id": name, "name": name, "reasoning": false, "input": ["text"], "contextWindow": window, "maxTokens": 1000,
            "cost": { "input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0 },
        });
        let entry = json!({ "baseUrl": provider.url(), "apiKey": "k", "api": "openai-completions", "models": [model] });
        all["models"] = json!({ "providers": { "test": entry } });
        all["agents"]["defaults"]["model"] = json!({ "primary": format!("test/{name}") });
        home.write_config(&all.to_string());
    }

    /// Starts in a home that exists, with more arguments and environment.
    pub fn start_in(home: Home, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut last = String::new();
        for _ in 0..PORT_TRIES_MAX {
            let port = free_port();
            let process = spawn(&home, port, args, env);
            match process.wait_listening(port) {
                Ok(()) => return Self { process, port, home },
                Err(output) => last = output,
            }
            if !last.contains("already listening") {
                break;
            }
        }
        panic!("the gateway did not start:\n{last}");
    }

    /// Starts on the port of a gateway that was there before.
    pub fn start_on(port: u16, home: Home) -> Self {
        let process = spawn(&home, port, &[], &[]);
        process.wait_listening(port).unwrap_or_else(|output| panic!("the gateway did not start:\n{output}"));
        Self { process, port, home }
    }

    /// Runs a gateway that must end by itself.
    pub fn run_to_end(home: &Home, port: u16, args: &[&str]) -> Ended {
        let mut process = spawn(home, port, args, &[]);
        assert!(process.stdout.wait_end(PATIENCE), "still running:\n{}", process.stdout.text());
        process.ended()
    }

    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Waits until the console has so many lines that hold `text`.
    pub fn wait_lines(&self, text: &str, count: usize) {
        let stdout = &self.process.stdout;
        assert!(stdout.wait_count(PATIENCE, text, count), "no {count} lines with {text:?}:\n{}", stdout.text());
    }

    /// The same for what is wrong, which goes to stderr.
    pub fn wait_errors(&self, text: &str, count: usize) {
        let stderr = &self.process.stderr;
        assert!(stderr.wait_count(PATIENCE, text, count), "no {count} lines with {text:?}:\n{}", stderr.text());
    }

    /// How many lines of the console hold `text` so far.
    pub fn count_lines(&self, text: &str) -> usize {
        self.process.stdout.count(text)
    }

    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.pid()).expect("a pid");
        // SAFETY: plain system call on a child that has not been waited for, so the pid is still its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// SIGTERM, then the end of the process.
    pub fn stop(&mut self) -> Ended {
        self.signal(libc::SIGTERM);
        self.wait_end()
    }

    pub fn wait_end(&mut self) -> Ended {
        assert!(self.process.stdout.wait_end(PATIENCE), "still running:\n{}", self.process.stdout.text());
        self.process.ended()
    }

    /// SIGKILL, and the home for the next gateway.
    pub fn kill(self) -> Home {
        let Self { process, home, .. } = self;
        drop(process);
        home
    }

    /// An operator that is through the handshake.
    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }

    pub fn socket(&self) -> TcpStream {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).expect("the gateway accepts");
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// A command pointed at this gateway.
    pub fn cli(&self, args: &[&str]) -> Ran {
        let mut command = self.home.command(args);
        command.env("CLAWDBOT_GATEWAY_PORT", self.port.to_string()).env("CLAWDBOT_GATEWAY_TOKEN", TOKEN);
        Ran::of(command)
    }

    /// Peak resident memory so far; `None` where the system does not tell.
    pub fn memory_peak_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    }
}

impl Process {
    /// Waits for the line that says so; else everything it wrote.
    fn wait_listening(&self, port: u16) -> Result<(), String> {
        // ws or, under TLS, wss; the first address is the one that was asked for.
        let ready = format!(":{port} (PID ");
        let is_ready = |line: &str| line.contains("listening on ws") && line.contains(&ready);
        let found = self.stdout.wait(PATIENCE, |line| is_ready(line).then_some(()));
        found.ok_or_else(|| format!("{}\n{}", self.stdout.text(), self.stderr.text()))
    }

    fn ended(&mut self) -> Ended {
        let status = self.child.wait().expect("a child can be waited for");
        self.stderr.wait_end(PATIENCE);
        Ended { code: status.code(), stderr: self.stderr.text() }
    }
}

fn spawn(home: &Home, port: u16, args: &[&str], env: &[(&str, &str)]) -> Process {
    let port = port.to_string();
    let mut command = home.command(&["gateway", "--port", &port, "--allow-unconfigured"]);
    command.args(args).envs(env.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let stdout = Lines::collect(child.stdout.take().expect("piped"));
    let stderr = Lines::collect(child.stderr.take().expect("piped"));
    Process { child, stdout, stderr }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}
