//! The wizard on a terminal: prints each step and reads a line for it.
//!
//! Plain lines without cursor movement, so that it also works over a serial console or in a log. Not here: the questions
//! (`crate::wizard`), and what happens when they are answered.

use std::io::{self, BufRead as _, Write as _};

use serde_json::Value;

use super::output;
use crate::wizard::session::{End, Session, State};
use crate::wizard::{Kind, Step};

/// Asks until the run needs no more answers; the end of the input cancels it.
pub(super) fn drive(session: &mut Session) {
    while let State::Asking { step, .. } = session.state() {
        show(step);
        let answer = match step.kind {
            Kind::Note => Some(Value::Null),
            _ => read(step),
        };
        match answer {
            None => session.end(End::Cancelled("cancelled".to_owned())),
            Some(answer) => {
                if let Err(why) = session.answer(answer) {
                    output::line(&format!("  {}", output::verdict(false, &why)));
                }
            }
        }
    }
}

fn show(step: &Step) {
    if let Some(title) = &step.title {
        output::line(&format!("\n{}", output::bold(title)));
        for line in step.message.lines() {
            output::line(&format!("  {line}"));
        }
        return;
    }
    output::line(&format!("\n{}", output::bold(&step.message)));
    for (index, option) in step.options.iter().enumerate() {
        let hint = option.hint.as_ref().map(|hint| output::dim(&format!(" — {hint}"))).unwrap_or_default();
        output::line(&format!("  {}) {}{hint}", index + 1, option.label));
    }
}

/// Reads an answer; `None` at the end of the input.
fn read(step: &Step) -> Option<Value> {
    loop {
        let mut stdout = io::stdout().lock();
        let prompted = write!(stdout, "{} ", prompt(step)).and_then(|()| stdout.flush());
        drop(stdout);
        let mut line = String::new();
        let count = prompted.and_then(|()| io::stdin().lock().read_line(&mut line)).unwrap_or(0);
        if count == 0 {
            output::line("");
            return None;
        }
        match understand(step, line.trim()) {
            Ok(answer) => return Some(answer),
            Err(help) => output::line(&format!("  {help}")),
        }
    }
}

/// Returns what stands before the cursor: in brackets what an empty line means, in parentheses what an answer looks like.
fn prompt(step: &Step) -> String {
    let initial = step.initial.as_ref();
    let shown = match step.kind {
        Kind::Confirm => Some(if initial == Some(&Value::Bool(true)) { "Y/n" } else { "y/N" }.to_owned()),
        Kind::Select => initial
            .and_then(|initial| step.options.iter().position(|option| *initial == *option.value))
            .map(|index| (index + 1).to_string()),
        Kind::Text if step.is_sensitive => initial.map(|_| "keep the current one".to_owned()),
        Kind::Text => initial.and_then(Value::as_str).map(str::to_owned),
        Kind::Note => None,
    };
    match (shown, &step.placeholder) {
        (Some(shown), _) => format!("[{shown}] >"),
        (None, Some(placeholder)) => format!("({placeholder}) >"),
        (None, None) => ">".to_owned(),
    }
}

fn understand(step: &Step, line: &str) -> Result<Value, String> {
    if line.is_empty() {
        return match (step.kind, &step.initial) {
            (_, Some(initial)) => Ok(initial.clone()),
            (Kind::Text, None) => Ok(Value::from("")),
            (_, None) => Err("Please choose.".to_owned()),
        };
    }
    match step.kind {
        Kind::Confirm => match line.to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(true.into()),
            "n" | "no" => Ok(false.into()),
            _ => Err("Please answer y or n.".to_owned()),
        },
        Kind::Select => {
            let by_number = line.parse::<usize>().ok().and_then(|number| step.options.get(number.checked_sub(1)?));
            let chosen = by_number.or_else(|| step.options.iter().find(|option| option.value == line));
            chosen
                .map(|option| option.value.as_str().into())
                .ok_or_else(|| format!("Please choose a number from 1 to {}.", step.options.len()))
        }
        Kind::Text | Kind::Note => Ok(line.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wizard::Choice;
    use serde_json::json;

    fn step(kind: Kind, initial: Option<Value>) -> Step {
        let options =
            if kind == Kind::Select { vec![Choice::new("a", "A"), Choice::new("b", "B")] } else { Vec::new() };
        Step { kind, title: None, message: "?".into(), options, initial, placeholder: None, is_sensitive: false }
    }

    #[test]
    fn lines_become_answers() {
        let check = |kind: Kind, initial: Option<Value>, line: &str, expected: Option<Value>| {
            assert_eq!(understand(&step(kind, initial), line).ok(), expected, "{kind:?} {line:?}");
        };
        check(Kind::Select, None, "2", Some(json!("b")));
        check(Kind::Select, None, "b", Some(json!("b")));
        check(Kind::Select, None, "0", None);
        check(Kind::Select, None, "", None);
        check(Kind::Select, Some(json!("a")), "", Some(json!("a")));
        check(Kind::Confirm, Some(json!(false)), "", Some(json!(false)));
        check(Kind::Confirm, Some(json!(false)), "YES", Some(json!(true)));
        check(Kind::Confirm, Some(json!(true)), "maybe", None);
        check(Kind::Text, None, "", Some(json!("")));
        check(Kind::Text, Some(json!("x")), "y", Some(json!("y")));
    }

    #[test]
    fn secrets_are_not_shown_again() {
        let secret = Step { is_sensitive: true, ..step(Kind::Text, Some(json!("hush"))) };
        assert_eq!(prompt(&secret), "[keep the current one] >");
        assert_eq!(prompt(&step(Kind::Select, Some(json!("b")))), "[2] >");
        assert_eq!(prompt(&step(Kind::Confirm, Some(json!(true)))), "[Y/n] >");
        assert_eq!(prompt(&step(Kind::Text, None)), ">");
    }
}
