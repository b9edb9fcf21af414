//! What a command line would start: the programs and their words, as a POSIX shell reads them. Pure.
//!
//! The shell is far richer than what is understood here, so everything that is not plainly a chain (`&&`, `||`, `;`) of
//! pipelines (`|`) of plain words is *unclear*, and what is unclear was never allowed. Where the original looks at nothing
//! inside double quotes (`ls "$(rm x)"` passes there) and loses its place at `\"`, this reader follows the shell.

use std::iter::Peekable;
use std::str::Chars;

/// Longest command line that is read, in bytes.
const LINE_BYTES_MAX: usize = 128 * 1024;

/// Commands of the shell itself that run other words or change what later ones mean; their namesakes on the disk, where
/// there are any, are not what the shell would start.
const SHELL_COMMANDS: [&str; 44] = [
    "!", ".", "[[", "alias", "bind", "builtin", "case", "cd", "command", "coproc", "declare", "do", "done", "elif",
    "else", "enable", "esac", "eval", "exec", "export", "fi", "for", "function", "hash", "if", "let", "local", "popd",
    "pushd", "readonly", "select", "set", "shopt", "source", "then", "time", "trap", "typeset", "unalias", "unset",
    "until", "while", "{", "}",
];

/// How much the shell makes of a word before the program sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Nothing: the text is what the program gets.
    Plain,
    /// A leading `~` becomes the home directory; the rest is plain.
    Home,
    /// Variables, patterns or braces become something else.
    Expands,
}

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Its text without quotes.
    pub text: String,
    /// What the shell does with it.
    pub form: Form,
}

/// One program with its arguments; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The program's name first.
    pub words: Vec<Word>,
}

/// Why a command line is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unclear(pub &'static str);

/// Reads a command line for a shell.
///
/// # Errors
/// [`Unclear`] for everything that is not a chain of pipelines of plain words.
pub fn parse(line: &str) -> Result<Vec<Segment>, Unclear> {
    if line.len() > LINE_BYTES_MAX {
        return Err(Unclear("the command is too long"));
    }
    let mut reader = Reader { chars: line.chars().peekable(), segments: Vec::new(), words: Vec::new(), word: None };
    while let Some(c) = reader.chars.next() {
        reader.take(c)?;
    }
    reader.end_segment()?;
    Ok(reader.segments)
}

/// Takes the words of a command that no shell reads.
///
/// # Errors
/// [`Unclear`] when there is no program.
pub fn from_words(words: &[String]) -> Result<Vec<Segment>, Unclear> {
    if words.first().is_none_or(|program| program.trim().is_empty()) {
        return Err(Unclear("there is no program"));
    }
    let words = words.iter().map(|text| Word { text: text.clone(), form: Form::Plain }).collect();
    Ok(vec![Segment { words }])
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    segments: Vec<Segment>,
    words: Vec<Word>,
    word: Option<Word>,
}

impl Reader<'_> {
    fn take(&mut self, c: char) -> Result<(), Unclear> {
        match c {
            ' ' | '\t' => self.end_word(),
            '\'' => self.single_quoted()?,
            '"' => self.double_quoted()?,
            '\\' => match self.chars.next() {
                Some(next) if !next.is_control() => self.push(next),
                Some(_) => return Err(Unclear("an escaped line end or control character")),
                None => return Err(Unclear("an escape without its character")),
            },
            '$' => {
                if matches!(self.chars.peek(), Some('\'' | '"')) {
                    return Err(Unclear("a quoting that not every shell knows ($' or $\")"));
                }
                self.dollar()?;
            }
            '&' if self.chars.next_if_eq(&'&').is_some() => self.end_segment()?,
            '&' => return Err(Unclear("a command in the background (&)")),
            '|' if self.chars.next_if_eq(&'|').is_some() => self.end_segment()?,
            '|' if self.chars.peek() == Some(&'&') => return Err(Unclear("a redirection (|&)")),
            '|' | ';' => self.end_segment()?,
            '`' => return Err(Unclear("a command in backticks")),
            '<' | '>' => return Err(Unclear("a redirection (< or >)")),
            '(' | ')' => return Err(Unclear("a subshell, function or pattern (parentheses)")),
            '#' if self.word.is_none() => return Err(Unclear("a comment")),
            '*' | '?' | '[' | ']' | '{' | '}' => self.push_expanding(c),
            '~' => self.tilde(),
            _ if c.is_control() => return Err(Unclear("more than one line, or a control character")),
            _ => self.push(c),
        }
        Ok(())
    }

    fn single_quoted(&mut self) -> Result<(), Unclear> {
        self.start();
        loop {
            match self.chars.next() {
                Some('\'') => return Ok(()),
                Some(c) => self.push_quoted(c)?,
                None => return Err(Unclear("a quote without its end")),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<(), Unclear> {
        self.start();
        loop {
            match self.chars.next() {
                Some('"') => return Ok(()),
                Some('`') => return Err(Unclear("a command in backticks")),
                Some('$') => self.dollar()?,
                Some('\\') => match self.chars.peek() {
                    Some('$' | '`' | '"' | '\\') => {
                        let escaped = self.chars.next().unwrap_or('\\');
                        self.push(escaped);
                    }
                    // The shell drops both; nobody needs that on one line.
                    Some('\n') => return Err(Unclear("an escaped line end")),
                    _ => self.push('\\'),
                },
                Some(c) => self.push_quoted(c)?,
                None => return Err(Unclear("a quote without its end")),
            }
        }
    }

    /// After a `$` that is not escaped.
    fn dollar(&mut self) -> Result<(), Unclear> {
        match self.chars.peek() {
            Some('(' | '{' | '[' | '`') => Err(Unclear("an expansion that can run commands ($( or ${)")),
            Some(c) if c.is_alphanumeric() || "_@*#?-$!".contains(*c) => {
                self.push_expanding('$');
                Ok(())
            }
            _ => {
                self.push('$');
                Ok(())
            }
        }
    }

    fn tilde(&mut self) {
        let is_first = self.word.is_none();
        let before = self.word.as_ref().and_then(|word| word.text.chars().next_back());
        let is_home = is_first && matches!(self.chars.peek(), None | Some('/' | ' ' | '\t' | ';' | '|' | '&'));
        if is_home {
            self.word = Some(Word { text: "~".to_owned(), form: Form::Home });
        } else if is_first || matches!(before, Some('=' | ':')) {
            self.push_expanding('~');
        } else {
            self.push('~');
        }
    }

    fn start(&mut self) -> &mut Word {
        self.word.get_or_insert_with(|| Word { text: String::new(), form: Form::Plain })
    }

    fn push(&mut self, c: char) {
        self.start().text.push(c);
    }

    fn push_expanding(&mut self, c: char) {
        let word = self.start();
        word.text.push(c);
        word.form = Form::Expands;
    }

    /// Inside quotes lines and tabs are text like any other.
    fn push_quoted(&mut self, c: char) -> Result<(), Unclear> {
        if c.is_control() && !matches!(c, '\n' | '\t') {
            return Err(Unclear("a control character"));
        }
        self.push(c);
        Ok(())
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn end_segment(&mut self) -> Result<(), Unclear> {
        self.end_word();
        let words = std::mem::take(&mut self.words);
        let Some(program) = words.first() else { return Err(Unclear("an empty command")) };
        if program.form == Form::Expands {
            return Err(Unclear("a program whose name the shell makes up"));
        }
        if program.text.split('/').next().is_some_and(|start| start.contains('=')) {
            return Err(Unclear("an assignment before the program"));
        }
        if SHELL_COMMANDS.contains(&program.text.as_str()) {
            return Err(Unclear("a command of the shell itself"));
        }
        self.segments.push(Segment { words });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;
    use crate::base::rng::SeededRng;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::process::Stdio;

    /// Words joined by `·`, programs by `║`; `~` and `?` mark forms.
    fn show(line: &str) -> String {
        let word = |word: &Word| match word.form {
            Form::Plain => word.text.clone(),
            Form::Home => format!("~{}", word.text),
            Form::Expands => format!("?{}", word.text),
        };
        match parse(line) {
            Ok(segments) => {
                let shown = segments.iter().map(|it| it.words.iter().map(word).collect::<Vec<_>>().join("·"));
                shown.collect::<Vec<_>>().join("║")
            }
            Err(Unclear(why)) => format!("✗ {why}"),
        }
    }

    #[test]
    fn reads_what_a_shell_reads() {
        for (line, expected) in [
            ("ls", "ls"),
            ("  ls\t-l  ", "ls·-l"),
            ("a && b || c; d | e", "a║b║c║d║e"),
            ("echo 'a b' \"c d\"e", "echo·a b·c de"),
            ("echo '' \"\"", "echo··"),
            (r#"echo "a\"b" '\' \'"#, r#"echo·a"b·\·'"#),
            (r#"echo "\n\x""#, r#"echo·\n\x"#),
            (r"echo a\ b \$(x", "✗ a subshell, function or pattern (parentheses)"),
            (r"echo \$x \`", "echo·$x·`"),
            ("echo ';' '&&' \"|\" '$(x)' '`'", "echo·;·&&·|·$(x)·`"),
            ("echo 'two\nlines'", "echo·two\nlines"),
            ("echo $HOME \"$HOME/x\" 5$ \"$\"", "echo·?$HOME·?$HOME/x·5$·$"),
            ("ls *.rs a?b [x] {a,b}", "ls·?*.rs·?a?b·?[x]·?{a,b}"),
            ("ls '*' \"?\" \\*", "ls·*·?·*"),
            ("~/bin/x ~ a~b ~root --o=~/x", "~~/bin/x·~~·a~b·?~root·?--o=~/x"),
            ("'~/bin/x'", "~/bin/x"),
            ("/bin/a=b", "/bin/a=b"),
            ("echo a#b", "echo·a#b"),
            ("écho é\u{a0}x", "écho·é\u{a0}x"),
        ] {
            assert_eq!(show(line), expected, "{line:?}");
        }
    }

    #[test]
    fn what_could_hide_a_command_is_unclear() {
        for line in [
            // Substitutions, in and out of double quotes.
            "ls $(rm x)",
            "ls \"$(rm x)\"",
            "ls `rm x`",
            "ls \"`rm x`\"",
            "ls \"a\\\"$(rm x)\"",
            "ls \"a\\\\\" $(rm x)",
            "ls ${x:=$(rm)}",
            "ls \"${x}\"",
            "ls $[1]",
            "ls \"$[1]\"",
            "ls $((1))",
            "ls \"x\"$(rm x)",
            "ls '\\'$(rm x)",
            // Quotings that shells read differently.
            "ls $'\\''; rm x #'",
            "ls $\"x\"",
            // Redirections, subshells, background.
            "ls > x",
            "ls 2>&1",
            "ls < x",
            "ls <(rm x)",
            "ls >(rm x)",
            "cat <<E",
            "(rm x)",
            "ls & rm x",
            "ls &",
            "ls |& rm",
            "ls &> x",
            "f() { rm x; }; f",
            "{ rm x; }",
            "! rm x",
            // Lines, escapes, control characters.
            "ls\nrm x",
            "ls\r\nrm x",
            "ls \\\nx",
            "ls \"\\\nx\"",
            "ls\u{0}x",
            "ls 'a\u{1b}b'",
            "ls\u{b}rm",
            "ls\u{85}rm",
            // Half of something.
            "ls '",
            "ls \"",
            "ls \\",
            "ls &&",
            "&& ls",
            "ls ;; rm",
            "ls | | rm",
            "ls || ; rm",
            "| ls",
            ";",
            "",
            "   ",
            "ls;",
            // Programs that are not what they seem.
            "X=1 rm",
            "PATH=/evil ls",
            "LD_PRELOAD=./x.so ls",
            "a+=b ls",
            "a[0]=b ls",
            "$SHELL -c x",
            "/bin/l? x",
            "{rm,x}",
            "~root/x",
            "eval rm",
            "exec rm",
            "command rm",
            "builtin eval rm",
            ". ./x",
            "source x",
            "cd /evil && ls",
            "alias ls=rm",
            "trap 'rm x' EXIT",
            "time rm",
            "if ls",
            "then rm",
            "ls # it's fine",
        ] {
            assert!(parse(line).is_err(), "{line:?} was read as {}", show(line));
        }
        assert!(parse(&"x".repeat(LINE_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn every_program_of_a_chain_is_seen() {
        for line in [
            "ls && rm x",
            "ls || rm x",
            "ls; rm x",
            "ls | rm x",
            "ls&&rm x",
            "ls;rm x",
            "ls|rm x",
            "ls \"\\\\\" ; rm x",
        ] {
            let segments = parse(line).expect("plain");
            assert!(segments.iter().any(|segment| segment.words[0].text == "rm"), "{line}");
        }
        // Quoted operators are text, and the text is one word.
        let segments = parse("ls \"\\\" ; rm x ; \\\"\"").expect("plain");
        assert_eq!((segments.len(), segments[0].words[1].text.as_str()), (1, "\" ; rm x ; \""));
    }

    /// Random lines of hostile pieces: what a real shell starts must be what was read, program for program.
    #[test]
    fn shells_start_nothing_that_was_not_read() {
        const PIECES: [&str; 40] = [
            "a",
            "b",
            "a ",
            " b",
            "x",
            " ",
            " ",
            "\t",
            "'",
            "'",
            "\"",
            "\"",
            "\\",
            "\\",
            "$",
            "$(evil)",
            "`evil`",
            "\"$(evil)\"",
            "${x:-$(evil)}",
            "$x",
            "(",
            ")",
            ";",
            "; evil",
            "&",
            "&&",
            " && b",
            "|",
            "| b",
            "||",
            "\n",
            "\nevil",
            "#",
            "~",
            "*",
            "{a,evil}",
            "=",
            "!",
            "<",
            "[",
        ];
        let dir = TempDir::new("command-fuzz");
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin).expect("directory");
        for name in ["a", "b", "evil"] {
            let path = bin.join(name);
            // One write per program: those of a pipeline run side by side.
            let script = format!(
                "#!/bin/sh\nall=\nfor word in {name} \"$@\"; do all=\"$all$word\u{1}\"; done\nprintf '%s\u{2}' \"$all\" >> \"$LOG\"\n"
            );
            std::fs::write(&path, script).expect("write");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
        }
        let shells: Vec<&str> = ["/bin/sh", "/bin/bash"].into_iter().filter(|path| Path::new(path).exists()).collect();
        let seed = crate::base::rng::testing::seeds(1).start;
        let rng = SeededRng::new(seed);
        let mut read = 0;
        while read < 150 {
            let count = 1 + rng.below(9);
            let line: String = (0..count).map(|_| PIECES[rng.below(PIECES.len() as u64) as usize]).collect();
            let Ok(segments) = parse(&line) else { continue };
            read += 1;
            for shell in &shells {
                let log = dir.path().join("log");
                std::fs::write(&log, "").expect("log");
                let mut command = std::process::Command::new(shell);
                command.arg("-c").arg(&line).current_dir(dir.path()).env_clear().env("PATH", &bin).env("LOG", &log);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                command.status().expect("a shell");
                let started = std::fs::read_to_string(&log).expect("log");
                for started in started.split_terminator('\u{2}') {
                    let words: Vec<&str> = started.split_terminator('\u{1}').collect();
                    assert!(
                        segments.iter().any(|segment| is_as_read(segment, &words)),
                        "seed {seed}: {shell} {line:?} started {words:?}"
                    );
                }
            }
        }
    }

    fn is_as_read(segment: &Segment, words: &[&str]) -> bool {
        let has_plain_words = segment.words.iter().all(|word| word.form == Form::Plain);
        segment.words[0].text == words[0]
            && (!has_plain_words || segment.words.iter().map(|word| word.text.as_str()).eq(words.iter().copied()))
    }
}
