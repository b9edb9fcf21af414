//! What was typed: global flags, the command, and its options checked against their declaration (cli.md §1.1, §1.3).
//!
//! Pure functions. The declarations are argh's; this module exists because `--a=b`, flags of the program after a
//! command and the original's error texts are not.

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};

use super::exit::Failure;
use super::{ALIASES, COMMANDS, GROUPS, Row};
use crate::config::paths::is_profile_name;

/// Flags of the program, and the words that remain.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Globals {
    pub(super) profile: Option<String>,
    pub(super) no_color: bool,
    pub(super) wants_version: bool,
    pub(super) words: Vec<String>,
}

/// Takes the program's flags out of the words; the error is one of the three of profile flags.
pub(super) fn globals(args: Vec<String>) -> Result<Globals, &'static str> {
    let mut globals = Globals::default();
    let (mut is_dev, mut is_command_seen, mut is_update_seen) = (false, false, false);
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let inline = arg.strip_prefix("--profile=").map(str::to_owned);
        match arg.as_str() {
            "--dev" if !is_command_seen => {
                if globals.profile.as_deref().is_some_and(|profile| profile != "dev") {
                    return Err("Cannot combine --dev with --profile");
                }
                is_dev = true;
                globals.profile = Some("dev".to_owned());
            }
            _ if !is_command_seen && (arg == "--profile" || inline.is_some()) => {
                if is_dev {
                    return Err("Cannot combine --dev with --profile");
                }
                let value = inline.or_else(|| args.next()).filter(|value| !value.is_empty());
                let value = value.ok_or("--profile requires a value")?;
                if !is_profile_name(&value) {
                    return Err("Invalid --profile (use letters, numbers, \"_\", \"-\" only)");
                }
                globals.profile = Some(value);
            }
            "--no-color" => globals.no_color = true,
            "-V" | "-v" | "--version" => globals.wants_version = true,
            "--update" if !is_update_seen => {
                is_update_seen = true;
                is_command_seen = true;
                globals.words.push("update".to_owned());
            }
            _ => {
                is_command_seen |= !arg.starts_with('-');
                globals.words.push(arg);
            }
        }
    }
    Ok(globals)
}

/// What the words ask for.
pub(super) enum Resolved<'a> {
    /// The help of a command or group; not asked for when a subcommand is missing.
    Help { path: Vec<&'a str>, asked: bool },
    /// A command and the words that are its own.
    Command { row: &'static Row, args: Vec<&'a str> },
}

/// Finds the command.
pub(super) fn resolve<'a>(words: &[&'a str]) -> Result<Resolved<'a>, Failure> {
    let mut words = words.to_vec();
    let mut asked = false;
    if words.first() == Some(&"help") {
        words.remove(0);
        asked = true;
    }
    let options_end = words.iter().position(|word| *word == "--").unwrap_or(words.len());
    let is_help = |word: &&str| matches!(*word, "-h" | "--help");
    asked |= words[..options_end].iter().any(is_help);
    if asked {
        words.truncate(options_end);
        words.retain(|word| !is_help(word));
    }
    let mut path: Vec<&'a str> = Vec::new();
    loop {
        // A row may also be a group (`gateway`): its own options may stand before the subcommand.
        let here = row_at(&path);
        let Some(index) = operand_index(&words, here) else { break };
        let word = words[index];
        path.push(word);
        if let Some((_, name)) = ALIASES.iter().find(|(alias, _)| *alias == path.as_slice()) {
            path.pop();
            path.push(name);
        }
        if is_known(&path) {
            words.remove(index);
            continue;
        }
        path.pop();
        if has_children(&path) && !asked {
            return Err(Failure::text(unknown_command(&path, word)));
        }
        break;
    }
    match row_at(&path) {
        Some(row) if !asked => Ok(Resolved::Command { row, args: words }),
        None if !asked && words.first().is_some_and(|word| word.starts_with('-')) => {
            Err(Failure::text(format!("error: unknown option '{}'", words[0])))
        }
        _ => Ok(Resolved::Help { path, asked }),
    }
}

/// Checks a command's words and returns them as argh reads them: options first, values apart, each option once.
pub(super) fn normalise(info: &CommandInfoWithArgs, words: &[&str]) -> Result<Vec<String>, Failure> {
    let mut options: Vec<(&str, Option<String>)> = Vec::new();
    let mut operands: Vec<String> = Vec::new();
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        if word == "--" {
            operands.extend(words.by_ref().map(|&word| word.to_owned()));
            break;
        }
        if !word.starts_with('-') || word == "-" {
            operands.push(word.to_owned());
            continue;
        }
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (word, None),
        };
        let flag = find_flag(info, name).ok_or_else(|| Failure::text(unknown_option(info, name)))?;
        let value = match flag.kind {
            FlagInfoKind::Switch => None,
            FlagInfoKind::Option { .. } => {
                let value = inline
                    .or_else(|| words.next().copied())
                    .ok_or_else(|| Failure::text(format!("error: option '{}' argument missing", flag_title(flag))))?;
                Some(value.to_owned())
            }
        };
        if flag.optionality != Optionality::Repeating {
            // The last one wins.
            options.retain(|(long, _)| *long != flag.long);
        }
        options.push((flag.long, value));
    }
    let is_given = |flag: &&FlagInfo<'_>| options.iter().any(|(long, _)| *long == flag.long);
    let is_required = |flag: &&FlagInfo<'_>| {
        flag.optionality == Optionality::Required && matches!(flag.kind, FlagInfoKind::Option { .. })
    };
    if let Some(flag) = info.flags.iter().filter(is_required).find(|flag| !is_given(flag)) {
        return Err(Failure::text(format!("error: required option '{}' not specified", flag_title(flag))));
    }
    let mut required = info.positionals.iter().filter(|positional| positional.optionality == Optionality::Required);
    if let Some(missing) = required.nth(operands.len()) {
        return Err(Failure::text(format!("error: missing required argument '{}'", missing.name)));
    }
    let takes_rest = info
        .positionals
        .last()
        .is_some_and(|positional| matches!(positional.optionality, Optionality::Repeating | Optionality::Greedy));
    if !takes_rest {
        // compat: the original's commands ignore words they have no use for.
        operands.truncate(info.positionals.len());
    }
    let mut normal: Vec<String> = Vec::new();
    for (long, value) in options {
        normal.push(long.to_owned());
        normal.extend(value);
    }
    if !operands.is_empty() {
        normal.push("--".to_owned());
        normal.append(&mut operands);
    }
    Ok(normal)
}

/// Formats an option as the help and the errors show it: `-m, --message <text>`.
pub(super) fn flag_title(flag: &FlagInfo<'_>) -> String {
    let short = flag.short.map(|short| format!("-{short}, ")).unwrap_or_default();
    match flag.kind {
        FlagInfoKind::Switch => format!("{short}{}", flag.long),
        FlagInfoKind::Option { arg_name } => format!("{short}{} <{arg_name}>", flag.long),
    }
}

/// Returns the command of exactly this path.
pub(super) fn row_at(path: &[&str]) -> Option<&'static Row> {
    COMMANDS.iter().find(|row| row.path == path)
}

/// Returns the next words that may follow `path`, in the order of the tables.
pub(super) fn children(path: &[&str]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    let all = COMMANDS.iter().map(|row| row.path).chain(GROUPS.iter().map(|group| group.0));
    for known in all.filter(|known| known.starts_with(path)) {
        if let Some(&name) = known.get(path.len())
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

fn has_children(path: &[&str]) -> bool {
    !children(path).is_empty()
}

fn is_known(path: &[&str]) -> bool {
    row_at(path).is_some() || GROUPS.iter().any(|group| group.0 == path)
}

/// Returns where the first word is that is neither an option of `row` nor its value.
fn operand_index(words: &[&str], row: Option<&Row>) -> Option<usize> {
    let info = row.map(|row| (row.info)());
    let mut index = 0;
    while let Some(word) = words.get(index) {
        if *word == "--" {
            return None;
        }
        if !word.starts_with('-') {
            return Some(index);
        }
        let flag = info.as_ref().and_then(|info| find_flag(info, word));
        let takes_value = flag.is_some_and(|flag| matches!(flag.kind, FlagInfoKind::Option { .. }));
        index += if takes_value { 2 } else { 1 };
    }
    None
}

fn find_flag<'a>(info: &'a CommandInfoWithArgs, name: &str) -> Option<&'a FlagInfo<'static>> {
    info.flags.iter().find(|flag| {
        let is_short = flag.short.is_some_and(|short| name.strip_prefix('-') == Some(short.to_string().as_str()));
        flag.long == name || is_short
    })
}

fn unknown_command(path: &[&str], word: &str) -> String {
    let names = children(path);
    with_suggestion(format!("error: unknown command '{word}'"), word, names.into_iter())
}

fn unknown_option(info: &CommandInfoWithArgs, name: &str) -> String {
    with_suggestion(format!("error: unknown option '{name}'"), name, info.flags.iter().map(|flag| flag.long))
}

fn with_suggestion<'a>(text: String, word: &str, names: impl Iterator<Item = &'a str>) -> String {
    let best = names.map(|name| (distance(word, name), name)).min().filter(|&(distance, name)| {
        // Close enough to be a slip: at most three edits, and most of the word right.
        distance <= 3 && distance * 2 < word.len().max(name.len())
    });
    match best {
        Some((_, name)) => format!("{text}\n(Did you mean {name}?)"),
        None => text,
    }
}

/// Edits (insert, delete, replace) from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn profile_flags_count_before_the_command_only() {
        let check = |text: &str, expected: Result<(Option<&str>, &str), &str>| {
            let globals = globals(words(text));
            let found = globals.as_ref().map(|found| (found.profile.as_deref(), found.words.join(" ")));
            let expected = expected.map(|(profile, words)| (profile, words.to_owned()));
            assert_eq!(found.map_err(|error| *error), expected, "{text}");
        };
        check("--dev gateway --dev", Ok((Some("dev"), "gateway --dev")));
        check("--profile a --profile=b status", Ok((Some("b"), "status")));
        check("status --profile x --no-color", Ok((None, "status --profile x")));
        check("--profile dev --dev status", Ok((Some("dev"), "status")));
        check("--dev --profile dev", Err("Cannot combine --dev with --profile"));
        check("--profile x --dev", Err("Cannot combine --dev with --profile"));
        check("--profile", Err("--profile requires a value"));
        check("--profile a/b", Err("Invalid --profile (use letters, numbers, \"_\", \"-\" only)"));
        check("--update --update", Ok((None, "update --update")));
    }

    fn check(text: &str, expected: Result<&str, &str>) {
        let words = words(text);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let result = resolve(&words).and_then(|resolved| match resolved {
            Resolved::Help { path, asked } => Ok(format!("help({asked}) {}", path.join(" "))),
            Resolved::Command { row, args } => {
                let args = normalise(&(row.info)(), &args)?;
                Ok(format!("{}: {}", row.path.join(" "), args.join(" ")))
            }
        });
        let expected = expected.map(str::to_owned).map_err(Failure::text);
        assert_eq!(result, expected, "{text}");
    }

    #[test]
    fn commands_and_options() {
        check("gateway --port=1 --token t", Ok("gateway: --port 1 --token t"));
        check("gateway --token status status --json", Ok("gateway status: --token status --json"));
        check("gateway call health --timeout 5 --timeout=6 junk", Ok("gateway call: --timeout 6 -- health"));
        check("agent -m hi --to x", Ok("agent: --message hi --to x"));
        check("config set a help", Ok("config set: -- a help"));
        check("system heartbeat last", Ok("system heartbeat last: "));
        check("help gateway call", Ok("help(true) gateway call"));
        check("gateway call --help", Ok("help(true) gateway call"));
        check("system", Ok("help(false) system"));
        check("", Ok("help(false) "));
    }

    #[test]
    fn errors_are_worded_as_the_original_s() {
        check("statuss", Err("error: unknown command 'statuss'\n(Did you mean status?)"));
        check("xyzzy", Err("error: unknown command 'xyzzy'"));
        check("gateway xyzzy", Err("error: unknown command 'xyzzy'"));
        check("health --bogus", Err("error: unknown option '--bogus'"));
        check("--bogus", Err("error: unknown option '--bogus'"));
        check("health --timeout", Err("error: option '--timeout <ms>' argument missing"));
        check("agent", Err("error: required option '-m, --message <text>' not specified"));
        check("gateway call", Err("error: missing required argument 'method'"));
    }
}
