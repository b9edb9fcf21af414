//! The harness tried on bad input: each case runs this program again and looks at how it ends, what it says, and whether
//! anything that it started is left.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{baseline, floor};

/// How long a case may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the guard may take to end what is left.
const GUARD_PATIENCE: Duration = Duration::from_secs(5);

/// Runs all cases.
pub fn run() -> Result<()> {
    let scratch = Scratch::new()?;
    let figures = scratch.directory.join("figures.jsonl");
    let (json, itself) = (figures.display().to_string(), std::env::current_exe()?.display().to_string());
    let (deaf, frail) =
        (format!("{itself} {} {}", floor::FLOOR, floor::DEAF), format!("{itself} {} {}", floor::FLOOR, floor::FRAIL));
    let (foreign, low) = (scratch.baseline("foreign", "{\"figures\": 1")?, scratch.baseline("low", LOW)?);

    check("an option that is none", &["--onyl", "rpc"], 2, "Unrecognized argument: --onyl")?;
    check("a group that is none", &["--only", "rpc,walks"], 2, "`walks`, which is no group; the groups are start,")?;
    check("no group", &["--only", ","], 2, "--only names no group")?;
    check("no such baseline", &["--baseline", "never-saved"], 2, "make one with `--save never-saved`")?;
    check("a foreign baseline", &["--baseline", &foreign], 2, "is no baseline of this bench")?;
    check("a baseline elsewhere", &["--baseline", "../x"], 2, "is no name of a baseline")?;
    check("a quick baseline", &["--quick", "--save", "x"], 2, "too noisy")?;
    check("figures nowhere", &["--json", "/no/such/place"], 2, "cannot write the figures to /no/such/place")?;
    check("an empty command", &["--peer", " "], 2, "the command of `peer` is empty")?;
    check("no such command", &["--peer", "/no/such/gateway"], 2, "cannot start `/no/such/gateway`")?;
    check("a command that ends at once", &["--peer", "true"], 2, "peer ended before it let a client in")?;
    check("a target that never opens", &["--peer", &deaf, "--patience", "1"], 2, "let no client in within 1 s")?;
    let dying = ["--peer", &frail, "--only", "rpc", "--quick", "--json", &json];
    check("a target that dies midway", &dying, 2, "peer died (exit status: 2)")?;
    check_lines(&figures)?;
    let worse = ["--only", "start", "--quick", "--baseline", &low];
    check("a regression", &worse, 1, "WORSE  start/binary: was 0.001, is ")?;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGKILL] {
        interrupt(signal, &json)?;
        check_lines(&figures)?;
    }
    println!("The harness holds.");
    Ok(())
}

/// A baseline that no build reaches.
const LOW: &str = r#"{"format": "clawdbot-bench-1", "figures": {"start/binary": {"value": 0.001, "spread": 0.0}}}"#;

/// Files of the self-check, removed at its end.
struct Scratch {
    directory: PathBuf,
}

impl Scratch {
    fn new() -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("clawdbot-bench-check-{}", std::process::id()));
        std::fs::create_dir_all(&directory).context("make a directory for the self-check")?;
        Ok(Self { directory })
    }

    /// Puts a baseline where baselines are; returns its name.
    fn baseline(&self, name: &str, text: &str) -> Result<String> {
        let name = format!("self-check-{}-{name}", std::process::id());
        let path = baseline::path(&name)?;
        std::fs::create_dir_all(path.parent().expect("a file in a directory"))?;
        std::fs::write(path, text).context("write a baseline")?;
        Ok(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
        for name in ["foreign", "low"] {
            if let Ok(path) = baseline::path(&format!("self-check-{}-{name}", std::process::id())) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

fn harness(args: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(args)
        .env_remove("CLAWDBOT_ORIGINAL")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

/// Runs the harness; it must end with this code, say this, and leave nothing.
fn check(case: &str, args: &[&str], code: i32, says: &str) -> Result<()> {
    let start = Instant::now();
    let child = harness(args)?.spawn()?;
    let root = root_of(child.id());
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(code), "{case}: {} instead of {code}; it said:\n{said}", output.status);
    ensure!(said.contains(says), "{case}: it did not say `{says}` but:\n{said}");
    ensure!(start.elapsed() < PATIENCE, "{case}: took {:?}", start.elapsed());
    await_nothing_left(case, &root)?;
    println!("ok  {case}");
    Ok(())
}

/// Ends the harness from outside once it has measured something.
fn interrupt(signal: i32, json: &str) -> Result<()> {
    let case = format!("ended by signal {signal}");
    let _ = std::fs::remove_file(json);
    let mut child = harness(&["--only", "rpc", "--json", json])?.spawn()?;
    let (root, start) = (root_of(child.id()), Instant::now());
    while std::fs::metadata(json).map_or(0, |file| file.len()) == 0 {
        ensure!(start.elapsed() < PATIENCE && child.try_wait()?.is_none(), "{case}: it measured nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
    ensure!(!processes_in(&root).is_empty(), "{case}: nothing runs that could be left");
    // SAFETY: plain system call on a child that has not been waited for.
    unsafe { libc::kill(i32::try_from(child.id()).expect("a pid"), signal) };
    ensure!(!child.wait()?.success(), "{case}: it ended as if all were well");
    await_nothing_left(&case, &root)?;
    println!("ok  {case}");
    Ok(())
}

/// What is left of an interrupted run: whole lines.
fn check_lines(figures: &Path) -> Result<()> {
    let text = std::fs::read_to_string(figures).context("partial results")?;
    ensure!(text.lines().count() > 0 && text.ends_with('\n'), "no partial results in {}", figures.display());
    for line in text.lines() {
        let figure: Value = serde_json::from_str(line).with_context(|| format!("half a line: {line}"))?;
        ensure!(figure["group"] == "rpc" && figure["value"].is_f64(), "no figure: {line}");
    }
    Ok(())
}

fn root_of(pid: u32) -> PathBuf {
    std::env::temp_dir().join(format!("clawdbot-bench-{pid}"))
}

fn await_nothing_left(case: &str, root: &Path) -> Result<()> {
    let start = Instant::now();
    while root.exists() || !processes_in(root).is_empty() {
        if start.elapsed() > GUARD_PATIENCE {
            bail!("{case}: left are {} ({}) and processes {:?}", root.display(), root.exists(), processes_in(root));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Processes whose home is below the directory of a run.
fn processes_in(root: &Path) -> Vec<String> {
    let home = format!("HOME={}/", root.display());
    let lives_there = |entry: &std::fs::DirEntry| {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(home.as_bytes()))
    };
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten().filter(lives_there);
    all.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
