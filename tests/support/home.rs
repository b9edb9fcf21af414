//! A home directory of one test's own, and commands that see nothing but it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::lines::Lines;
use super::{PATIENCE, TOKEN};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Removed with everything in it when dropped.
pub struct Home {
    path: PathBuf,
    /// The binary under test, or a copy of it.
    pub program: PathBuf,
}

/// The program under test: this build's, or the one that `CLAWDBOT_TEST_PROGRAM` names.
fn program() -> PathBuf {
    std::env::var_os("CLAWDBOT_TEST_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_clawdbot").into(), PathBuf::from)
}

impl Home {
    /// An empty home.
    pub fn empty() -> Self {
        let name = format!("clawdbot-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(path.join("tmp")).expect("a temporary directory can be made");
        Self { path, program: program() }
    }

    /// A home whose configuration is `config` laid over one that lets a gateway start.
    pub fn with_config(config: &Value) -> Self {
        let home = Self::empty();
        let mut all = json!({
            "gateway": { "mode": "local", "auth": { "mode": "token", "token": TOKEN } },
            "logging": { "file": home.log_file() },
        });
        merge(&mut all, config);
        home.write_config(&all.to_string());
        home
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn state_dir(&self) -> PathBuf {
        self.path.join(".clawdbot")
    }

    pub fn config_file(&self) -> PathBuf {
        self.state_dir().join("clawdbot.json")
    }

    pub fn log_file(&self) -> PathBuf {
        self.path.join("gateway.log")
    }

    pub fn write_config(&self, text: &str) {
        std::fs::create_dir_all(self.state_dir()).expect("state directory");
        std::fs::write(self.config_file(), text).expect("configuration file");
    }

    /// The sessions of the default agent: the file, and what the journal beside it says since.
    pub fn sessions(&self) -> Value {
        let file = self.state_dir().join("agents/main/sessions/sessions.json");
        let mut all = std::fs::read_to_string(&file)
            .map_or(Value::Object(Map::new()), |text| serde_json::from_str(&text).expect("the index is whole"));
        let journal = std::fs::read_to_string(file.with_extension("json.journal")).unwrap_or_default();
        // Only a line that was under way may be torn.
        let (whole, _torn) = journal.rsplit_once('\n').unwrap_or_default();
        for line in whole.lines() {
            let line: Value = serde_json::from_str(line).expect("the journal is whole");
            let Some(key) = line["key"].as_str() else { continue };
            match line.get("entry") {
                Some(entry) => all[key] = entry.clone(),
                None => drop(all.as_object_mut().expect("an object").remove(key)),
            }
        }
        all
    }

    /// The transcripts of the default agent, oldest name first.
    pub fn transcripts(&self) -> Vec<PathBuf> {
        let directory = self.state_dir().join("agents/main/sessions");
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let mut found: Vec<_> =
            entries.map(|it| it.path()).filter(|it| it.extension().is_some_and(|it| it == "jsonl")).collect();
        found.sort();
        found
    }

    /// The binary under test with an environment that holds only this home.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .env_clear()
            .env("HOME", &self.path)
            .env("TMPDIR", self.path.join("tmp"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env("CLAWDBOT_DISABLE_BONJOUR", "1")
            .env("CLAWDBOT_SKIP_CHANNELS", "1")
            .env("CLAWDBOT_SKIP_CANVAS_HOST", "1")
            .current_dir(&self.path)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// What a finished command left behind.
#[derive(Debug)]
pub struct Ran {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Runs a command that has to end by itself.
    pub fn of(mut command: Command) -> Self {
        Self::of_within(&mut command, PATIENCE)
    }

    /// The same for other programs, which may take their time.
    pub fn of_within(command: &mut Command, patience: Duration) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let stdout = Lines::collect(child.stdout.take().expect("piped"));
        let stderr = Lines::collect(child.stderr.take().expect("piped"));
        let ended = stdout.wait_end(patience) && stderr.wait_end(patience);
        if !ended {
            let _ = child.kill();
        }
        let status = child.wait().expect("a child can be waited for");
        let ran = Self { code: status.code(), stdout: stdout.text(), stderr: stderr.text() };
        assert!(ended, "still running after {patience:?}: {ran:?}");
        ran
    }

    /// The output of a command that had to succeed, as JSON.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }
}

fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                // As in a JSON merge patch, null takes a key away.
                if value.is_null() {
                    base.remove(key);
                } else {
                    merge(base.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}
