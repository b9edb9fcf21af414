//! Short questions on the terminal, between a command and its work. Not here: the wizard's steps (`prompt`).

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

/// Returns whether somebody can be asked.
pub(super) fn has_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Asks for yes or no; an empty line, or the end of the input, is the default.
pub(super) fn confirm(question: &str, default: bool) -> bool {
    let choice = if default { "[Y/n]" } else { "[y/N]" };
    loop {
        match read(&format!("{question} {choice} ")).as_deref().map(str::trim) {
            None | Some("") => return default,
            Some("y" | "Y" | "yes" | "Yes" | "YES") => return true,
            Some("n" | "N" | "no" | "No" | "NO") => return false,
            Some(_) => super::output::line("Please answer y or n."),
        }
    }
}

/// Asks for one of several; `None` when nobody answers.
pub(super) fn choose(question: &str, options: &[&str]) -> Option<usize> {
    super::output::line(question);
    for (index, option) in options.iter().enumerate() {
        super::output::line(&format!("  {}) {option}", index + 1));
    }
    loop {
        let line = read("> ")?;
        let chosen = line.trim().parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        match chosen.filter(|&index| index < options.len()) {
            Some(index) => return Some(index),
            None => super::output::line(&format!("Please choose a number from 1 to {}.", options.len())),
        }
    }
}

/// Asks for a text, without the blanks around it; `None` at the end of the input.
pub(super) fn line(prompt: &str) -> Option<String> {
    read(prompt).map(|line| line.trim().to_owned())
}

/// Shows a prompt and reads a line; `None` at the end of the input.
fn read(prompt: &str) -> Option<String> {
    let mut stdout = io::stdout().lock();
    // A prompt that cannot be shown is answered by nobody: the read below ends it.
    let _ = stdout.write_all(prompt.as_bytes()).and_then(|()| stdout.flush());
    drop(stdout);
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line),
    }
}
