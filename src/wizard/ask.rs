//! Asking: takes the next answer for a step, or stops the flow at the step that has none yet.

use serde_json::Value;

use super::{Choice, Kind, Step};

/// Longest text answer, in bytes.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// Why a flow does not go on.
pub(super) enum Stop {
    /// This has no answer yet.
    Ask(Step),
    /// The last answer cannot be taken.
    Rejected(String),
    /// Somebody does not want to.
    Cancelled(String),
    /// It makes no sense to go on.
    Failed(String),
}

/// What a question returns; boxed, because a step is large.
pub(super) type Asked<T> = Result<T, Box<Stop>>;

/// Ends the flow as cancelled.
pub(super) fn cancelled<T>(why: &str) -> Asked<T> {
    Err(Box::new(Stop::Cancelled(why.to_owned())))
}

/// Ends the flow as failed.
pub(super) fn failed<T>(why: impl Into<String>) -> Asked<T> {
    Err(Box::new(Stop::Failed(why.into())))
}

fn rejected<T>(why: impl Into<String>) -> Asked<T> {
    Err(Box::new(Stop::Rejected(why.into())))
}

/// Says what is wrong with a (trimmed) answer.
pub(super) type Check<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A question for a text.
#[derive(Default)]
pub(super) struct Text<'a> {
    pub(super) message: &'a str,
    pub(super) initial: String,
    pub(super) placeholder: &'a str,
    pub(super) is_sensitive: bool,
    pub(super) check: Option<Check<'a>>,
}

/// The answers so far, in order.
pub(super) struct Asker<'a> {
    answers: std::slice::Iter<'a, Value>,
}

impl<'a> Asker<'a> {
    pub(super) fn new(answers: &'a [Value]) -> Self {
        Self { answers: answers.iter() }
    }

    /// Shows something.
    pub(super) fn note(&mut self, title: &str, message: &str) -> Asked<()> {
        let title = Some(title.to_owned());
        self.take(|| Step { title, ..step(Kind::Note, message) }).map(|_| ())
    }

    /// Asks for one of the options and returns its value.
    pub(super) fn select(&mut self, message: &str, options: &[Choice], initial: Option<&str>) -> Asked<String> {
        let initial = initial.filter(|value| options.iter().any(|option| option.value == *value)).map(Value::from);
        let answer = self.take(|| Step { options: options.to_vec(), initial, ..step(Kind::Select, message) })?;
        match answer.as_str().filter(|value| options.iter().any(|option| option.value == *value)) {
            Some(value) => Ok(value.to_owned()),
            None => {
                let values: Vec<&str> = options.iter().map(|option| option.value.as_str()).collect();
                rejected(format!("{message}: choose one of {}", values.join(", ")))
            }
        }
    }

    /// Asks for yes or no. Anything but a plain yes is a no: consent is never guessed.
    pub(super) fn confirm(&mut self, message: &str, initial: bool) -> Asked<bool> {
        let answer = self.take(|| Step { initial: Some(initial.into()), ..step(Kind::Confirm, message) })?;
        Ok(*answer == Value::Bool(true))
    }

    /// Asks for a text and returns it trimmed.
    pub(super) fn text(&mut self, text: Text<'_>) -> Asked<String> {
        let answer = self.take(|| Step {
            initial: Some(text.initial.clone()).filter(|initial| !initial.is_empty()).map(Value::from),
            placeholder: Some(text.placeholder.to_owned()).filter(|placeholder| !placeholder.is_empty()),
            is_sensitive: text.is_sensitive,
            ..step(Kind::Text, text.message)
        })?;
        let given = match answer {
            Value::String(given) => given.trim().to_owned(),
            Value::Number(_) | Value::Bool(_) => answer.to_string(),
            _ => String::new(),
        };
        if given.len() > TEXT_BYTES_MAX || given.contains(char::is_control) {
            return rejected(format!("{}: the answer is too long or holds control characters", text.message));
        }
        match text.check.and_then(|check| check(&given)) {
            Some(problem) => rejected(problem),
            None => Ok(given),
        }
    }

    fn take(&mut self, step: impl FnOnce() -> Step) -> Asked<&'a Value> {
        self.answers.next().ok_or_else(|| Box::new(Stop::Ask(step())))
    }
}

fn step(kind: Kind, message: &str) -> Step {
    Step {
        kind,
        title: None,
        message: message.to_owned(),
        options: Vec::new(),
        initial: None,
        placeholder: None,
        is_sensitive: false,
    }
}

/// Refuses an empty answer.
pub(super) fn required(given: &str) -> Option<String> {
    given.is_empty().then(|| "Required".to_owned())
}
