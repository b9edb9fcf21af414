//! Programs that put files into words: any command, and those that are known when they are installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Failure, Interpreter, SCRATCH, Task, too_slow};
use crate::base::fs::{create_dir_private, read_text_capped};
use crate::base::process::{Ended, Keep, capture_all, find_program, withhold};
use crate::base::rng::uuid;
use crate::base::text::{ellipsize, unless_blank};
use crate::config::types::MediaModel;

/// Google's program, which looks at files of any kind.
const GEMINI: &str = "gemini";
/// Most that is read of what a program says.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Characters of its complaint that are shown.
const ERROR_CHARS_MAX: usize = 300;
const WHISPER_CPP_MODEL: &str = "/opt/homebrew/share/whisper-cpp/for-tests-ggml-tiny.bin";
/// How long Gemini's program may take to show that it answers.
const PROBE_PATIENCE: Duration = Duration::from_secs(8);
/// How long it is not asked again after it did not.
const PROBE_REST: Duration = Duration::from_secs(10 * 60);

/// What is known of this machine's programs; one per start.
#[derive(Debug, Default)]
pub struct Programs {
    /// Whether Gemini's program answered, and when.
    gemini: Mutex<Option<(bool, Instant)>>,
}

impl Programs {
    /// Returns Gemini's program if it is installed and answers: who is not signed in to it is asked for that instead.
    pub(super) fn gemini(&self, with: &Interpreter<'_>) -> Option<MediaModel> {
        find_program(GEMINI)?;
        let now = with.clock.now();
        let known = *self.gemini.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.filter(|(answers, at)| *answers || now.saturating_duration_since(*at) < PROBE_REST);
        let answers = known.map_or_else(|| gemini_answers(with), |(answers, _)| answers);
        // Not held meanwhile: who comes then asks as well.
        *self.gemini.lock().unwrap_or_else(PoisonError::into_inner) = Some((answers, known.map_or(now, |(_, at)| at)));
        let args = [
            "--output-format",
            "json",
            "--allowed-tools",
            "read_many_files",
            "--include-directories",
            "{{MediaDir}}",
            "{{Prompt}}",
            "Use read_many_files to read {{MediaPath}} and respond with only the text output.",
        ];
        answers.then(|| program_entry(GEMINI, args))
    }
}

fn gemini_answers(with: &Interpreter<'_>) -> bool {
    let args = ["--output-format", "json", "ok"].map(str::to_owned);
    let ran = Scratch::new(with).map_err(Failure::from);
    let ran = ran.and_then(|scratch| execute(GEMINI, &args, &scratch.0, PROBE_PATIENCE, with));
    let is_ok = |stdout: String| in_json(&stdout, "response").is_some() || stdout.to_lowercase().contains("ok");
    let answers = ran.is_ok_and(is_ok);
    if !answers {
        log::info!(target: "agent", "{GEMINI} is installed and does not answer, so it is not asked about files");
    }
    answers
}

/// See the module.
pub(super) struct Program<'a> {
    command: String,
    args: &'a [String],
    task: &'a Task<'a>,
    with: &'a Interpreter<'a>,
}

impl<'a> Program<'a> {
    pub(super) fn new(entry: &'a MediaModel, task: &'a Task<'a>, with: &'a Interpreter<'a>) -> Result<Self, String> {
        let command = entry.command.as_deref().and_then(unless_blank).ok_or("it names no command")?;
        Ok(Self { command: command.to_owned(), args: &entry.args, task, with })
    }

    /// Runs it; what it leaves in its directory goes with it.
    pub(super) fn run(&self) -> Result<String, Failure> {
        let (file, task) = (self.task.file, self.task);
        let scratch = Scratch::new(self.with)?;
        let path = |path: &Path| path.display().to_string();
        let base = scratch.0.join(file.file_stem().unwrap_or(file.as_os_str()));
        let fill = |name: &str| match name {
            "MediaPath" => path(file),
            "MediaDir" => file.parent().map(path).unwrap_or_default(),
            "OutputDir" => path(&scratch.0),
            "OutputBase" => path(&base),
            "Prompt" => task.prompt.clone(),
            "MaxChars" => task.chars_max.map(|chars| chars.to_string()).unwrap_or_default(),
            _ => String::new(),
        };
        let args: Vec<String> = self.args.iter().map(|arg| filled(arg, &fill)).collect();
        let stdout = execute(&self.command, &args, &scratch.0, task.patience, self.with)?;
        Ok(self.said(&args, &base, &stdout))
    }

    /// Finds what it said: some write a file, some JSON.
    fn said(&self, args: &[String], base: &Path, stdout: &str) -> String {
        let after = |names: &[&str]| {
            let at = args.iter().position(|arg| names.contains(&arg.as_str()))?;
            args.get(at + 1).map(String::as_str)
        };
        let program = Path::new(&self.command).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let file = match program {
            "whisper-cli" if args.iter().any(|arg| matches!(arg.as_str(), "-otxt" | "--output-txt")) => {
                after(&["-of", "--output-file"]).map(|base| PathBuf::from(format!("{base}.txt")))
            }
            "whisper" if after(&["--output_format"]).is_some_and(|it| it.split(',').any(|it| it.trim() == "txt")) => {
                let name = base.file_name().unwrap_or_default().to_string_lossy().into_owned();
                after(&["--output_dir", "-o"]).map(|dir| Path::new(dir).join(format!("{name}.txt")))
            }
            _ => None,
        };
        let written = file.and_then(|file| read_text_capped(&file, OUTPUT_BYTES_MAX as u64).ok().flatten());
        if let Some(text) = written.as_deref().and_then(unless_blank) {
            return text.to_owned();
        }
        let found = match program {
            "sherpa-onnx-offline" => in_json(stdout, "text"),
            GEMINI => in_json(stdout, "response"),
            _ => None,
        };
        found.unwrap_or_else(|| stdout.to_owned())
    }
}

/// Has a program say something about a link.
pub(super) fn read_link(
    entry: &MediaModel,
    url: &str,
    patience: Duration,
    with: &Interpreter<'_>,
) -> Result<String, Failure> {
    let command = entry.command.as_deref().and_then(unless_blank).ok_or("it names no command")?;
    let fill = |name: &str| if name == "LinkUrl" { url.to_owned() } else { String::new() };
    let args: Vec<String> = entry.args.iter().map(|arg| filled(arg, &fill)).collect();
    let scratch = Scratch::new(with)?;
    execute(command, &args, &scratch.0, patience, with)
}

/// Runs a program that must end well; returns what it says.
fn execute(
    program: &str,
    args: &[String],
    dir: &Path,
    patience: Duration,
    with: &Interpreter<'_>,
) -> Result<String, Failure> {
    let mut command = Command::new(with.paths.expand(program));
    command.args(args).current_dir(dir);
    withhold(&mut command);
    let ran = capture_all(command, Some(patience), Keep::First(OUTPUT_BYTES_MAX), with.cancel);
    let ran = ran.map_err(|error| format!("it cannot be started: {error}"))?;
    match ran.ended {
        Ended::Exited(0) => Ok(ran.stdout),
        Ended::TimedOut => Err(too_slow(patience)),
        Ended::Cancelled => Err("it was stopped".into()),
        Ended::Exited(code) => {
            let complaint = ran.said().unwrap_or("without a word");
            Err(format!("it ended with {code}: {}", ellipsize(complaint, ERROR_CHARS_MAX)).into())
        }
        Ended::Signalled(signal) => Err(format!("signal {signal} ended it").into()),
    }
}

/// Returns a text of the last JSON that a program wrote, in one line or in all.
fn in_json(stdout: &str, key: &str) -> Option<String> {
    let lines = stdout.lines().rev().chain([stdout]);
    let mut found = lines.filter_map(|line| serde_json::from_str::<Value>(line.trim()).ok());
    found.find_map(|value| value[key].as_str().and_then(unless_blank).map(str::to_owned))
}

/// Puts values into `{{Name}}`.
fn filled(text: &str, fill: &dyn Fn(&str) -> String) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        match after.split_once("}}") {
            Some((name, behind)) if name.trim().chars().all(|c| c.is_alphanumeric() || c == '_') => {
                out.push_str(&fill(name.trim()));
                rest = behind;
            }
            _ => {
                out.push_str("{{");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// A directory of its own, gone when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(with: &Interpreter<'_>) -> Result<Self, String> {
        let dir = with.paths.media_dir().join(format!("{SCRATCH}{}", uuid(with.rng)));
        create_dir_private(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            log::warn!(target: "agent", "{} stays: {error}", self.0.display());
        }
    }
}

fn program_entry(command: &str, args: impl IntoIterator<Item: Into<String>>) -> MediaModel {
    let args = args.into_iter().map(Into::into).collect();
    MediaModel { command: Some(command.to_owned()), args, ..MediaModel::default() }
}

/// Returns a program that is installed, puts recordings into words and needs nothing more.
pub(super) fn installed(env: &dyn Fn(&str) -> Option<String>) -> Option<MediaModel> {
    fn entry<const N: usize>(command: &str, args: [&str; N]) -> Option<MediaModel> {
        find_program(command).map(|_| program_entry(command, args))
    }
    let sherpa = || {
        let dir = PathBuf::from(env("SHERPA_ONNX_MODEL_DIR").filter(|dir| !dir.trim().is_empty())?.trim());
        let file = |name: &str| Some(dir.join(name)).filter(|file| file.is_file());
        let arg = |key: &str, name: &str| Some(format!("--{key}={}", file(name)?.display()));
        let mut args = vec![arg("tokens", "tokens.txt")?];
        for part in ["encoder", "decoder", "joiner"] {
            args.push(arg(part, &format!("{part}.onnx"))?);
        }
        args.push("{{MediaPath}}".to_owned());
        find_program("sherpa-onnx-offline").map(|_| program_entry("sherpa-onnx-offline", args))
    };
    let whisper_cpp = || {
        let named = env("WHISPER_CPP_MODEL").map(|path| path.trim().to_owned());
        let model = named.into_iter().chain([WHISPER_CPP_MODEL.to_owned()]).find(|path| Path::new(path).is_file())?;
        entry("whisper-cli", ["-m", &model, "-otxt", "-of", "{{OutputBase}}", "-np", "-nt", "{{MediaPath}}"])
    };
    let whisper = || {
        let args = [
            "--model",
            "turbo",
            "--output_format",
            "txt",
            "--output_dir",
            "{{OutputDir}}",
            "--verbose",
            "False",
            "{{MediaPath}}",
        ];
        entry("whisper", args)
    };
    sherpa().or_else(whisper_cpp).or_else(whisper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled() {
        let fill = |name: &str| format!("<{name}>");
        for (text, expected) in [
            ("{{MediaPath}}", "<MediaPath>"),
            ("--in={{ MediaPath }} {{x}}", "--in=<MediaPath> <x>"),
            ("{{a b}} {{", "{{a b}} {{"),
            ("plain", "plain"),
        ] {
            assert_eq!(filled(text, &fill), expected);
        }
    }
}
