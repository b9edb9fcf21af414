//! Programs that put recordings into words: any command, and those that are known when they are installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{HEARING, Limits, Listener, PROMPT};
use crate::base::fs::{create_dir_private, read_text_capped};
use crate::base::process::{Ended, Keep, WITHHELD, capture, find_program, guard};
use crate::base::rng::uuid;
use crate::base::text::{ellipsize, unless_blank};
use crate::config::types::MediaModel;

/// Most that is read of what a program says.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Characters of its complaint that are shown.
const ERROR_CHARS_MAX: usize = 300;
const WHISPER_CPP_MODEL: &str = "/opt/homebrew/share/whisper-cpp/for-tests-ggml-tiny.bin";

/// See the module.
pub(super) struct Program<'a> {
    command: String,
    args: Vec<String>,
    prompt: String,
    with: &'a Listener<'a>,
}

impl<'a> Program<'a> {
    pub(super) fn new(entry: &MediaModel, with: &'a Listener<'a>) -> Result<Self, String> {
        let command = entry.command.as_deref().and_then(unless_blank).ok_or("it names no command")?;
        let shared = with.config.tools.media.audio.prompt.as_deref();
        let prompt = entry.prompt.as_deref().or(shared).and_then(unless_blank).unwrap_or(PROMPT);
        Ok(Self { command: command.to_owned(), args: entry.args.clone(), prompt: prompt.to_owned(), with })
    }

    /// Runs it; what it leaves in its directory goes with it.
    pub(super) fn run(&self, file: &Path, limits: &Limits) -> Result<String, String> {
        let scratch = Scratch::new(&self.with.paths.media_dir(), &uuid(self.with.rng))?;
        let path = |path: &Path| path.display().to_string();
        let base = scratch.0.join(file.file_stem().unwrap_or(file.as_os_str()));
        let fill = |name: &str| match name {
            "MediaPath" => path(file),
            "MediaDir" => file.parent().map(path).unwrap_or_default(),
            "OutputDir" => path(&scratch.0),
            "OutputBase" => path(&base),
            "Prompt" => self.prompt.clone(),
            "MaxChars" => limits.chars_max.to_string(),
            _ => String::new(),
        };
        let args: Vec<String> = self.args.iter().map(|arg| filled(arg, &fill)).collect();
        let mut command = Command::new(self.with.paths.expand(&self.command));
        command.args(&args).current_dir(&scratch.0);
        for name in WITHHELD {
            command.env_remove(name);
        }
        guard::put_before(&mut command, false);
        let ran = capture(command, Some(limits.patience), Keep::First(OUTPUT_BYTES_MAX), self.with.cancel);
        let ran = ran.map_err(|error| format!("it cannot be started: {error}"))?;
        match ran.ended {
            Ended::Exited(0) => Ok(self.said(&args, &base, &ran.stdout)),
            Ended::TimedOut => Err(format!("it took longer than {:.0?}", limits.patience)),
            Ended::Cancelled => Err("it was stopped".to_owned()),
            Ended::Exited(code) => {
                let complaint = unless_blank(&ran.stderr).or(unless_blank(&ran.stdout)).unwrap_or("without a word");
                Err(format!("it ended with {code}: {}", ellipsize(complaint, ERROR_CHARS_MAX)))
            }
            Ended::Signalled(signal) => Err(format!("signal {signal} ended it")),
        }
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
        let in_json = |key: &str| {
            let lines = stdout.lines().rev().chain([stdout]);
            let mut found = lines.filter_map(|line| serde_json::from_str::<Value>(line.trim()).ok());
            found.find_map(|value| value[key].as_str().and_then(unless_blank).map(str::to_owned))
        };
        let found = match program {
            "sherpa-onnx-offline" => in_json("text"),
            "gemini" => in_json("response"),
            _ => None,
        };
        found.unwrap_or_else(|| stdout.to_owned())
    }
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
    fn new(parent: &Path, id: &str) -> Result<Self, String> {
        let dir = parent.join(format!("{}{id}", HEARING));
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

/// Returns a program that is installed and needs nothing more.
pub(super) fn installed(env: &dyn Fn(&str) -> Option<String>) -> Option<MediaModel> {
    let entry = |command: &str, args: &[String]| {
        find_program(command).map(|_| MediaModel {
            command: Some(command.to_owned()),
            args: args.to_vec(),
            ..MediaModel::default()
        })
    };
    let texts = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<String>>();
    let sherpa = || {
        let dir = PathBuf::from(env("SHERPA_ONNX_MODEL_DIR").filter(|dir| !dir.trim().is_empty())?.trim());
        let file = |name: &str| Some(dir.join(name)).filter(|file| file.is_file());
        let arg = |key: &str, name: &str| Some(format!("--{key}={}", file(name)?.display()));
        let mut args = vec![arg("tokens", "tokens.txt")?];
        for part in ["encoder", "decoder", "joiner"] {
            args.push(arg(part, &format!("{part}.onnx"))?);
        }
        args.push("{{MediaPath}}".to_owned());
        entry("sherpa-onnx-offline", &args)
    };
    let whisper_cpp = || {
        let named = env("WHISPER_CPP_MODEL").map(|path| path.trim().to_owned());
        let model = named.into_iter().chain([WHISPER_CPP_MODEL.to_owned()]).find(|path| Path::new(path).is_file())?;
        entry("whisper-cli", &texts(&["-m", &model, "-otxt", "-of", "{{OutputBase}}", "-np", "-nt", "{{MediaPath}}"]))
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
        entry("whisper", &texts(&args))
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
