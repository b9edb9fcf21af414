//! What commands print: lines, JSON, tables, and colours where a person looks.
//!
//! Writing to a closed pipe ends the process quietly, as `clawdbot … | head` expects.

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::Value;

use super::environment::var;
use crate::base::text::is_truthy;

/// Columns when the terminal does not say.
const COLUMNS_DEFAULT: usize = 120;

/// Prints one line (or block) on stdout.
pub(super) fn line(text: &str) {
    if try_line(text).is_err() {
        std::process::exit(0);
    }
}

/// Prints one line on stdout, for commands that end on a closed pipe in their own way.
pub(super) fn try_line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Prints one line (or block) on stderr.
pub(super) fn error_line(text: &str) {
    // Nothing can be told to anyone when stderr is gone.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a document as JSON with two-space indentation.
pub(super) fn json(value: &Value) {
    line(&format!("{value:#}"));
}

/// Prints the banner where a person starts a command.
pub(super) fn banner(words: &[String]) {
    let is_machine = words.iter().any(|word| word == "--json" || word.starts_with("--json="));
    let is_hidden = var("CLAWDBOT_HIDE_BANNER").is_some_and(|text| is_truthy(&text));
    if is_machine || is_hidden || !io::stdout().is_terminal() {
        return;
    }
    let commit = option_env!("CLAWDBOT_COMMIT").unwrap_or("unknown");
    let version = crate::gateway::version();
    line(&format!("\n🦞 {} {version} ({commit}) — at your service, claws and all.\n", bold("Clawdbot")));
}

/// Returns the text in bold where colours are shown.
pub(super) fn bold(text: &str) -> String {
    paint("1", text)
}

/// Returns the text dimmed where colours are shown.
pub(super) fn dim(text: &str) -> String {
    paint("2", text)
}

/// Returns the text in a colour for good or bad news where colours are shown.
pub(super) fn verdict(is_good: bool, text: &str) -> String {
    paint(if is_good { "32" } else { "31" }, text)
}

/// Returns whether escape sequences are written.
pub(super) fn has_colour() -> bool {
    let forced = var("FORCE_COLOR").is_some_and(|text| text != "0");
    var("NO_COLOR").is_none() && (forced || io::stdout().is_terminal())
}

/// Returns a table with a border, no wider than the terminal.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let columns = var("COLUMNS").and_then(|text| text.trim().parse().ok()).unwrap_or(COLUMNS_DEFAULT);
    let count = header.len();
    let room = columns.saturating_sub(1).max(60).saturating_sub(3 * count + 1);
    let mut widths: Vec<usize> = header.iter().map(|name| name.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    // The widest column gives way until the table fits.
    while widths.iter().sum::<usize>() > room {
        let Some(widest) = widths.iter_mut().max() else { break };
        *widest -= 1;
    }
    let rule = |left: &str, middle: &str, right: &str| {
        let parts: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}", parts.join(middle))
    };
    let show = |cells: &[String]| {
        let wrapped: Vec<Vec<String>> = cells.iter().zip(&widths).map(|(cell, &width)| wrap(cell, width)).collect();
        let height = wrapped.iter().map(Vec::len).max().unwrap_or(1);
        let lines: Vec<String> = (0..height)
            .map(|index| {
                let parts = wrapped
                    .iter()
                    .zip(&widths)
                    .map(|(cell, &width)| format!(" {:<width$} ", cell.get(index).map_or("", String::as_str)));
                format!("│{}│", parts.collect::<Vec<_>>().join("│"))
            })
            .collect();
        lines.join("\n")
    };
    let names: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    let mut lines = vec![rule("┌", "┬", "┐"), show(&names), rule("├", "┼", "┤")];
    lines.extend(rows.iter().map(|row| show(row)));
    lines.push(rule("└", "┴", "┘"));
    lines.join("\n")
}

/// Breaks a text into lines of at most `width` characters, after a word or at a joint of one where there is any.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut rest: Vec<char> = text.chars().collect();
    let mut lines = Vec::new();
    while rest.len() > width {
        // A blank that would begin the next line may end this one, unseen.
        let fits = if rest[width] == ' ' { width + 1 } else { width };
        let joint = rest[..fits].iter().rposition(|c| matches!(c, ' ' | '/' | '-' | '_' | '.'));
        let next = rest.split_off(joint.map_or(width, |at| at + 1));
        lines.push(rest.iter().collect::<String>().trim_end().to_owned());
        rest = next.into_iter().skip_while(|c| *c == ' ').collect();
    }
    lines.push(rest.into_iter().collect());
    lines
}

fn paint(code: &str, text: &str) -> String {
    if has_colour() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_fit_and_wrap() {
        let long = "x".repeat(200);
        let text = table(&["Key", "Value"], &[vec!["a".to_owned(), long]]);
        assert!(text.lines().all(|line| line.chars().count() <= 119), "{text}");
        assert_eq!(text.matches('x').count(), 200);
    }

    #[test]
    fn words_stay_whole_where_they_can() {
        for (text, lines) in [
            ("", vec![""]),
            ("one two three", vec!["one", "two", "three"]),
            ("abcde fg", vec!["abcde", "fg"]),
            ("abcdefg", vec!["abcde", "fg"]),
            ("a/bc-def", vec!["a/bc-", "def"]),
            ("ééééé é", vec!["ééééé", "é"]),
        ] {
            assert_eq!(wrap(text, 5), lines, "{text}");
        }
    }
}
