//! `completion`: scripts by which a shell completes commands and options, made from the tables of the command line.

use std::fmt::Write as _;

use super::exit::{Failure, Outcome};
use super::{COMMANDS, Cli, Command, GROUPS, argv, output};

/// print a script by which a shell completes the commands: bash, zsh or fish
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Completion {
    /// bash, zsh or fish
    #[argh(positional)]
    shell: String,
}

impl Command for Completion {
    const IS_LENIENT: bool = true;

    fn run(self, _: &Cli) -> Outcome {
        let script = match self.shell.as_str() {
            "bash" => bash("_clawdbot"),
            "zsh" => zsh(),
            "fish" => fish(),
            other => return Err(Failure::text(format!("Unknown shell: {other} (use bash, zsh or fish)"))),
        };
        output::line(script.trim_end());
        Ok(())
    }
}

/// A command or a group: its words, and what may follow them.
struct Place {
    path: Vec<&'static str>,
    children: Vec<&'static str>,
    options: Vec<String>,
}

fn places() -> Vec<Place> {
    let mut paths: Vec<Vec<&'static str>> = vec![Vec::new()];
    for path in GROUPS.iter().map(|group| group.0).chain(COMMANDS.iter().map(|row| row.path)) {
        for length in 1..=path.len() {
            if !paths.iter().any(|known| known.as_slice() == &path[..length]) {
                paths.push(path[..length].to_vec());
            }
        }
    }
    let options = |path: &[&'static str]| {
        let info = argv::row_at(path).map(|row| (row.info)());
        let mut options: Vec<String> =
            info.iter().flat_map(|info| info.flags.iter().map(|flag| flag.long.to_owned())).collect();
        options.retain(|option| option != "--help");
        options.push("--help".to_owned());
        options
    };
    let place = |path: Vec<&'static str>| Place { children: argv::children(&path), options: options(&path), path };
    paths.into_iter().map(place).collect()
}

/// Returns the script of bash; `function` is what it calls the function that completes.
fn bash(function: &str) -> String {
    let places = places();
    let mut script = format!("{function}() {{\n");
    script.push_str(
        "  local current=\"${COMP_WORDS[COMP_CWORD]}\" path=\"\" words=\"\" word\n  for word in \"${COMP_WORDS[@]:1:$((COMP_CWORD - 1))}\"; do\n    case \"$path $word\" in\n",
    );
    let patterns: Vec<String> = places
        .iter()
        .filter(|place| !place.path.is_empty())
        .map(|place| format!("\" {}\"", place.path.join(" ")))
        .collect();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        script,
        "      {}) path=\"$path $word\" ;;\n    esac\n  done\n  case \"$path\" in",
        patterns.join("|")
    );
    for place in &places {
        let path = if place.path.is_empty() { String::new() } else { format!(" {}", place.path.join(" ")) };
        let words = [place.children.join(" "), place.options.join(" ")].join(" ");
        let _ = writeln!(script, "    \"{path}\") words=\"{}\" ;;", words.trim());
    }
    script.push_str(
        "  esac\n  if [[ $current == -* || -n $words ]]; then\n    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n  fi\n}\n",
    );
    let _ = writeln!(script, "complete -o default -F {function} clawdbot");
    script
}

/// Returns that of zsh, to be sourced or to lie as `_clawdbot` where zsh looks for completions: then this text is the
/// body of a function of that name, which answers the first question itself and hands on the later ones.
fn zsh() -> String {
    let script = bash("__clawdbot_complete");
    format!(
        "#compdef clawdbot\nautoload -U +X bashcompinit && bashcompinit\n{script}if [[ $funcstack[1] == _clawdbot ]]; then\n  _bash_complete -o default -F __clawdbot_complete\nfi\n"
    )
}

fn fish() -> String {
    let places = places();
    let paths: Vec<String> = places
        .iter()
        .filter(|place| !place.path.is_empty())
        .map(|place| format!("' {}'", place.path.join(" ")))
        .collect();
    let mut script = format!(
        "set -g __clawdbot_paths {}\nfunction __clawdbot_at\n  set -l words (commandline -opc)\n  set -e words[1]\n  set -l path ''\n  for word in $words\n    if contains -- \"$path $word\" $__clawdbot_paths\n      set path \"$path $word\"\n    end\n  end\n  test \"$path\" = \"$argv[1]\"\nend\ncomplete -c clawdbot -f\n",
        paths.join(" ")
    );
    for place in &places {
        let path = if place.path.is_empty() { String::new() } else { format!(" {}", place.path.join(" ")) };
        let condition = format!("complete -c clawdbot -n \"__clawdbot_at '{path}'\"");
        for child in &place.children {
            let _ = writeln!(script, "{condition} -a {child}");
        }
        for option in &place.options {
            let _ = writeln!(script, "{condition} -l {}", option.trim_start_matches('-'));
        }
    }
    script
}
