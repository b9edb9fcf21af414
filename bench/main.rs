//! `cargo bench`: what the gateway costs and how fast it is, beside the floor, other gateways and an earlier run.
//!
//! A run takes *subjects* (`subject`) through *groups* of figures (`groups`, a file each), in turns: ours, the floor,
//! the peers, and again. A `Sheet` takes the middle of the turns and shows how far they lie apart, because other work
//! disturbs every machine. Clients are those of one load generator (`fleet`). What is started ends with the run
//! (`process`). Exit code: 0; 1 when a figure got worse than its baseline; 2 when something could not be measured.

mod baseline;
mod dial;
mod fleet;
mod floor;
mod goals;
mod groups;
mod history;
mod home;
mod link;
mod model;
mod proc;
mod process;
mod self_check;
mod sheet;
mod subject;
mod times;
mod wire;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use argh::FromArgs;

use self::baseline::Baseline;
use self::groups::{Bench, GROUPS, Group};
use self::sheet::Sheet;
use self::subject::Subject;

/// Turns of each subject in one run.
const TURNS: usize = 5;

/// Open files of a gateway with 10,000 clients, and some.
const FILES_MIN: u64 = 10_500;

/// Measures this build of the gateway beside the floor (a bare server of the same crates) and other gateways. Figures of
/// one run compare, those of two machines do not: ratios do.
#[derive(FromArgs)]
#[argh(
    example = "cargo bench --bench gateway\ncargo bench --bench gateway -- --only rpc,fanout --quick",
    example = "CLAWDBOT_ORIGINAL=\"node /opt/clawdbot/dist/entry.js\" cargo bench --bench gateway -- --json figures.jsonl",
    example = "cargo bench --bench gateway -- --peer target/old/clawdbot --only http",
    example = "cargo bench --bench gateway -- --save before\ncargo bench --bench gateway -- --baseline before",
    example = "cargo bench --bench gateway -- --self-check",
    note = "CLAWDBOT_ORIGINAL is the command of the original, measured as `original` when set.",
    error_code(1, "a figure is worse than in the baseline"),
    error_code(2, "something could not be measured, or the command line is wrong")
)]
struct Options {
    /// groups to measure, by name, with commas between them (default: all; `--list` names them)
    #[argh(option)]
    only: Option<String>,

    /// the command of another gateway to measure, without `gateway --port …`; repeatable
    #[argh(option)]
    peer: Vec<String>,

    /// leaves the floor out
    #[argh(switch)]
    no_floor: bool,

    /// short turns: for a look, not for a baseline
    #[argh(switch)]
    quick: bool,

    /// seconds until a silent gateway is given up (default: 90)
    #[argh(option)]
    patience: Option<u64>,

    /// writes each figure of each subject to this file, one JSON object a line
    #[argh(option)]
    json: Option<String>,

    /// compares with `bench/baselines/NAME.json`; exits 1 on what got worse beyond the noise
    #[argh(option)]
    baseline: Option<String>,

    /// keeps the figures as `bench/baselines/NAME.json`
    #[argh(option)]
    save: Option<String>,

    /// names the groups and ends
    #[argh(switch)]
    list: bool,

    /// tries this harness on bad input instead: wrong commands, targets that die, baselines that are none, interruption
    #[argh(switch)]
    self_check: bool,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.first().map(String::as_str) {
        Some(floor::FLOOR) => floor::floor(&args[1..]).map(|()| ExitCode::SUCCESS),
        Some(process::GUARD) => {
            process::guard(args.get(1).map_or_else(home::root, Into::into).as_path());
            Ok(ExitCode::SUCCESS)
        }
        _ => match parse(&args) {
            Ok(options) => run(&options),
            Err(code) => return code,
        },
    };
    result.unwrap_or_else(|error| {
        eprintln!("bench: {error:#}");
        ExitCode::from(2)
    })
}

fn parse(args: &[String]) -> Result<Options, ExitCode> {
    // Cargo adds it.
    let args: Vec<&str> = args.iter().map(String::as_str).filter(|arg| *arg != "--bench").collect();
    Options::from_args(&["cargo bench --bench gateway --"], &args).map_err(|exit| match exit.status {
        Ok(()) => {
            println!("{}", exit.output);
            ExitCode::SUCCESS
        }
        Err(()) => {
            eprintln!("{}\nRun with --help for the options.", exit.output.trim_end());
            ExitCode::from(2)
        }
    })
}

fn run(options: &Options) -> Result<ExitCode> {
    if options.list {
        GROUPS.iter().for_each(|group| println!("{:<12} {}", group.name, group.what));
        return Ok(ExitCode::SUCCESS);
    }
    if options.self_check {
        return self_check::run().map(|()| ExitCode::SUCCESS);
    }
    let groups = chosen(options.only.as_deref())?;
    let baseline = options.baseline.as_deref().map(Baseline::load).transpose()?;
    if let Some(name) = &options.save {
        ensure!(!options.quick, "--quick is too noisy for a baseline: leave one of --quick and --save {name} out");
        baseline::path(name)?;
    }
    let subjects = subjects(options)?;
    let sheet = Sheet::new(options.json.as_deref())?;
    raise_file_limit(&groups)?;
    std::fs::create_dir_all(home::root()).context("make a directory for this run")?;
    process::start_guard(&home::root())?;
    check(&subjects)?;

    println!("\nvalue ±spread of the turns = how many times better this build is than that subject");
    let turns = if options.quick { groups::FEW_TURNS } else { TURNS };
    let mut bench = Bench { subjects, turns, is_quick: options.quick, sheet };
    let failed = bench.run(&groups)?;
    conclude(&bench.sheet);
    if let Some(name) = &options.save {
        ensure!(failed.is_empty(), "not saved as {name}, because {} could not be measured", failed.join(", "));
        println!("\nSaved as {}", Baseline::of(&bench.sheet).save(name)?.display());
    }
    if !failed.is_empty() {
        bail!("{} could not be measured to the end; the figures above are kept", failed.join(", "));
    }
    let is_worse = baseline.map(|baseline| baseline.judge(&bench.sheet)).transpose()?;
    Ok(ExitCode::from(u8::from(is_worse == Some(true))))
}

fn chosen(only: Option<&str>) -> Result<Vec<&'static Group>> {
    let Some(only) = only else { return Ok(GROUPS.iter().collect()) };
    let names: Vec<&str> = only.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let known = || GROUPS.iter().map(|group| group.name).collect::<Vec<_>>().join(", ");
    ensure!(!names.is_empty(), "--only names no group; the groups are {}", known());
    if let Some(name) = names.iter().find(|name| GROUPS.iter().all(|group| group.name != **name)) {
        bail!("--only names `{name}`, which is no group; the groups are {}", known());
    }
    Ok(GROUPS.iter().filter(|group| names.contains(&group.name)).collect())
}

/// Ours first: ratios are to it.
fn subjects(options: &Options) -> Result<Vec<Subject>> {
    let mut subjects = vec![Subject::ours()];
    if !options.no_floor {
        subjects.push(Subject::floor()?);
    }
    if let Ok(command) = std::env::var("CLAWDBOT_ORIGINAL") {
        subjects.push(Subject::peer("original", &command).context("CLAWDBOT_ORIGINAL")?);
    }
    for (index, command) in options.peer.iter().enumerate() {
        let name = if index == 0 { "peer".to_owned() } else { format!("peer{}", index + 1) };
        subjects.push(Subject::peer(&name, command)?);
    }
    let patience = options.patience.map_or(subject::PATIENCE, Duration::from_secs);
    Ok(subjects.into_iter().map(|subject| subject.with_patience(patience)).collect())
}

/// Starts each once, so that a wrong command is known now and not after ten minutes, and files are in the cache.
fn check(subjects: &[Subject]) -> Result<()> {
    for subject in subjects {
        let gateway = subject.open(&serde_json::json!({}))?;
        println!("{:<9} {}  (up in {:.0} ms)", subject.name, subject.command_line(), times::millis(gateway.took));
    }
    Ok(())
}

/// Ten thousand clients are so many files, here and in the gateway, which inherits the limit.
fn raise_file_limit(groups: &[&Group]) -> Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid structure.
    let is_raised = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0
        }
    };
    let crowded: Vec<&str> = groups.iter().filter(|group| group.is_crowded).map(|group| group.name).collect();
    ensure!(
        crowded.is_empty() || is_raised && limit.rlim_cur >= FILES_MIN,
        "no process may have more than {} open files here, but {} needs {FILES_MIN}: raise the hard limit \
         (`ulimit -n {FILES_MIN}` as root), or choose other groups with --only",
        limit.rlim_cur,
        crowded.join(", ")
    );
    Ok(())
}

fn conclude(sheet: &Sheet) {
    match sheet.missed.len() {
        0 => println!("\nNo goal is missed."),
        count => println!("\n{count} goals are missed:\n  {}", sheet.missed.join("\n  ")),
    }
}
