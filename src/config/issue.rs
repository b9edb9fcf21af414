//! One finding about the configuration: where, what, and the line where it is known.

/// One thing that is wrong, or worth saying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Dot-joined path; empty for the root.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
    /// Line in the file, from 1, where it is known.
    pub line: Option<usize>,
}

impl Issue {
    /// Makes an issue without a line.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), line: None }
    }

    /// Returns `<path|<root>>: <message>`, and the line where it is known.
    pub fn describe(&self) -> String {
        let path = if self.path.is_empty() { "<root>" } else { &self.path };
        let line = self.line.map(|line| format!(" (line {line})")).unwrap_or_default();
        format!("{path}: {}{line}", self.message)
    }
}
