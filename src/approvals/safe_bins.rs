//! Programs that only filter what they are fed: allowed without an entry, as long as no argument names a file.
//!
//! Stricter than the original, which lets pass what the shell turns into file names (`head *`, `head $HOME/.ssh/id`), a
//! program of that name in the current directory (`./jq`), and options that read, write or start something
//! (`sort -o x`, `sort --compress-program=x`, `grep -r x`, `jq -n env`). All of these are asked about here.

use std::path::Path;

use super::command::{Form, Word};

/// The list when `tools.exec.safeBins` names none.
pub const DEFAULT: [&str; 9] = ["jq", "grep", "cut", "sort", "uniq", "head", "tail", "tr", "wc"];

/// Options that reach beyond the input: the program, letters, long names.
const RISKY_OPTIONS: [(&str, &str, &[&str]); 4] = [
    ("grep", "fdrR", &["file", "exclude-from", "directories", "recursive", "dereference-recursive"]),
    ("sort", "oT", &["output", "temporary-directory", "compress-program", "files0-from", "random-source"]),
    ("jq", "fL", &["from-file", "rawfile", "slurpfile", "argfile", "library-path", "run-tests"]),
    ("wc", "", &["files0-from"]),
];

/// What reaches beyond the input in a filter of jq.
const RISKY_JQ_WORDS: [&str; 6] = ["env", "$ENV", "input_filename", "include", "import", "modulemeta"];

/// Returns whether these arguments name no file.
pub(super) fn is_safe_use(program: &str, arguments: &[Word], cwd: &Path) -> bool {
    let (letters, names) = RISKY_OPTIONS
        .iter()
        .find(|(name, ..)| *name == program)
        .map_or(("", &[][..]), |&(_, letters, names)| (letters, names));
    let is_file = |text: &str| is_path_like(text) || cwd.join(text).symlink_metadata().is_ok();
    let mut operands = 0;
    let mut has_options = true;
    for word in arguments {
        if word.form != Form::Plain {
            return false;
        }
        let text = word.text.as_str();
        let is_risky = match text {
            "--" if has_options => {
                has_options = false;
                false
            }
            _ if has_options && text.starts_with("--") => {
                let (name, value) = text[2..].split_once('=').unwrap_or((&text[2..], ""));
                // Programs take any beginning of an option for it.
                names.iter().any(|risky| risky.starts_with(name)) || (!value.is_empty() && is_file(value))
            }
            _ if has_options && text.len() > 1 && text.starts_with('-') => {
                // `-ofile`: a value may follow its letter.
                let value = text.char_indices().nth(2).map_or("", |(at, _)| &text[at..]);
                text.contains(|c| letters.contains(c)) || text.contains('/') || (!value.is_empty() && is_file(value))
            }
            _ => {
                operands += 1;
                !text.is_empty() && text != "-" && is_file(text)
            }
        };
        if is_risky {
            return false;
        }
    }
    match program {
        // Its second operand is written to.
        "uniq" => operands < 2,
        "jq" => !arguments.iter().any(|word| {
            word.text
                .split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$')
                .any(|part| RISKY_JQ_WORDS.contains(&part))
        }),
        _ => true,
    }
}

fn is_path_like(text: &str) -> bool {
    matches!(text, "." | "..") || ["/", "./", "../", "~"].iter().any(|start| text.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approvals::command::parse;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn files_and_risky_options_are_not_safe() {
        let dir = TempDir::new("safe-bins");
        std::fs::write(dir.path().join("there"), "").expect("write");
        std::fs::write(dir.path().join("-n"), "").expect("write");
        let check = |line: &str| {
            let segment = parse(line).expect("plain").remove(0);
            is_safe_use(&segment.words[0].text, &segment.words[1..], dir.path())
        };
        for line in [
            "head",
            "head -n 5",
            "head -5 -",
            "grep -v 'a b' -",
            "grep -E '^(a|b)/c$'",
            "grep --color=always x",
            "sort -k2,2 -u",
            "sort --reverse",
            "cut -d: -f1",
            "uniq -c",
            "uniq -c absent",
            "tr a-z A-Z",
            "jq -r '.items[] | {name, environment}'",
            "wc -l absent",
            "tool --flag=value",
        ] {
            assert!(check(line), "{line}");
        }
        for line in [
            "head there",
            "head /etc/passwd",
            "head ./absent",
            "head ../absent",
            "head ..",
            "head ~/x",
            "head '~/x'",
            "head *",
            "head th?re",
            "head $X",
            "head \"$HOME/x\"",
            "head -- there",
            "head -- -n",
            "grep -f/etc/shadow ''",
            "grep -fthere x",
            "grep -vfthere x",
            "grep -r x",
            "grep -Ri x",
            "grep --recursive x",
            "grep --recu x",
            "grep --directories=recurse x",
            "grep --fil=there x",
            "sort -o absent",
            "sort -oabsent",
            "sort --output=absent",
            "sort --comp=sh",
            "sort --files0-from=absent",
            "uniq - absent",
            "jq -n env",
            "jq -n '$ENV.KEY'",
            "jq -n 'env|keys'",
            "jq --rawfile a there .",
            "jq -f there",
            "jq 'import \"x\" as $x; .'",
            "wc --files0-from=-",
            "tool --flag=there",
            "tool --flag=/etc/passwd",
            "tool -xthere",
            "tool -x/etc/passwd",
        ] {
            assert!(!check(line), "{line}");
        }
    }
}
