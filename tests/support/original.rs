//! The original, where it is to be had: `CLAWDBOT_ORIGINAL` says how to start it (`node …/dist/entry.js`), or
//! `CLAWDBOT_TEST_NPM=1` lets `scripts/original.sh` install it once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use super::gateway::Gateway;
use super::home::{Home, Ran};
use super::{PATIENCE, TOKEN, asks_npm, skipped};

/// How to start it.
pub struct Original {
    words: Vec<String>,
}

impl Original {
    /// `None`, with one line about it, where it is not.
    pub fn find() -> Option<&'static Self> {
        static FOUND: OnceLock<Option<Original>> = OnceLock::new();
        FOUND.get_or_init(Self::look).as_ref()
    }

    fn look() -> Option<Self> {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        if let Ok(program) = std::env::var("CLAWDBOT_ORIGINAL") {
            return Some(Self { words: words(&program) });
        }
        if !asks_npm() {
            skipped("the original's clients (set CLAWDBOT_TEST_NPM=1, or CLAWDBOT_ORIGINAL to how it starts)");
            return None;
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/original.sh");
        let output = Command::new("bash").arg(script).output().expect("bash starts");
        if output.status.success() {
            return Some(Self { words: words(&String::from_utf8_lossy(&output.stdout)) });
        }
        skipped(&format!("the original's clients: {}", String::from_utf8_lossy(&output.stderr).trim()));
        None
    }

    /// The program that runs it: Node.
    pub fn program(&self) -> &str {
        &self.words[0]
    }

    /// A directory of its installation.
    pub fn directory(&self, name: &str) -> PathBuf {
        let entry = Path::new(self.words.last().expect("a program"));
        entry.parent().expect("dist/").join(name)
    }

    /// A command in a home, seeing nothing but it and this gateway.
    pub fn command(&self, gateway: &Gateway, home: &Home, args: &[&str]) -> Command {
        self.command_at(gateway.port, home, args)
    }

    /// The same for a gateway of which only the port is known.
    pub fn command_at(&self, port: u16, home: &Home, args: &[&str]) -> Command {
        let mut command = Command::new(&self.words[0]);
        command
            .args(&self.words[1..])
            .args(args)
            .env_clear()
            .current_dir(home.path())
            .env("HOME", home.path())
            .env("TMPDIR", home.path().join("tmp"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env("CLAWDBOT_GATEWAY_PORT", port.to_string())
            .env("CLAWDBOT_GATEWAY_TOKEN", TOKEN)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command in the gateway's own home to its end.
    pub fn run(&self, gateway: &Gateway, args: &[&str]) -> Ran {
        Ran::of_within(&mut self.command(gateway, &gateway.home, args), PATIENCE * 3)
    }
}

/// The JSON document in an output that may say other things first; `gateway call` says what it calls.
pub fn json_in(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let text = match ran.stdout.split_once('\n') {
        Some((first, rest)) if first.starts_with("Gateway call: ") => rest,
        _ => &ran.stdout[ran.stdout.find(['{', '[']).unwrap_or_default()..],
    };
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {ran:#?}"))
}
