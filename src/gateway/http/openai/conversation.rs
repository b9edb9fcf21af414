//! A conversation that a client sends along, as one prompt for the agent (http.md §2.3).
//!
//! Pure. Not here: how the two APIs write messages.

/// Who says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Speaker {
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool of the client's, by name or by the id of its call.
    Tool(Option<String>),
}

/// What a client sent.
#[derive(Debug, Default)]
pub struct Conversation {
    instructions: Vec<String>,
    entries: Vec<(Speaker, String)>,
}

impl Conversation {
    /// Adds instructions for the system prompt; blank ones are left out.
    pub fn instruct(&mut self, text: &str) {
        if !text.trim().is_empty() {
            self.instructions.push(text.to_owned());
        }
    }

    /// Adds what somebody said; what is blank was not said.
    pub fn say(&mut self, speaker: Speaker, text: &str) {
        if !text.trim().is_empty() {
            self.entries.push((speaker, text.to_owned()));
        }
    }

    /// Returns what belongs into the system prompt.
    pub fn instructions(&self) -> Option<String> {
        (!self.instructions.is_empty()).then(|| self.instructions.join("\n\n"))
    }

    /// Returns the prompt: what is to be answered, after what was said before. `None` when nobody said anything.
    pub fn prompt(&self) -> Option<String> {
        let is_asking = |(speaker, _): &(Speaker, String)| *speaker != Speaker::Assistant;
        let at = self.entries.iter().rposition(is_asking).or(self.entries.len().checked_sub(1))?;
        let (history, current) = (&self.entries[..at], &self.entries[at]);
        if history.is_empty() {
            return Some(current.1.clone());
        }
        let line = |(speaker, text): &(Speaker, String)| match speaker {
            Speaker::User => format!("User: {text}"),
            Speaker::Assistant => format!("Assistant: {text}"),
            Speaker::Tool(None) => format!("Tool: {text}"),
            Speaker::Tool(Some(name)) => format!("Tool:{name}: {text}"),
        };
        let history: Vec<String> = history.iter().map(line).collect();
        // compat: the marks by which the original tells a model what is old.
        Some(format!(
            "[Chat messages since your last reply - for context]\n{}\n\n[Current message - respond to this]\n{}",
            history.join("\n"),
            line(current)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(said: &[(Speaker, &str)]) -> Option<String> {
        let mut conversation = Conversation::default();
        for (speaker, text) in said {
            conversation.say(speaker.clone(), text);
        }
        conversation.prompt()
    }

    #[test]
    fn prompts() {
        use Speaker::{Assistant, Tool, User};
        assert_eq!(prompt(&[]), None);
        assert_eq!(prompt(&[(User, " ")]), None);
        assert_eq!(prompt(&[(User, "hi")]).as_deref(), Some("hi"));
        assert_eq!(prompt(&[(Assistant, "x")]).as_deref(), Some("x"));
        assert_eq!(prompt(&[(User, "hi"), (Assistant, "dropped")]).as_deref(), Some("hi"));
        assert_eq!(
            prompt(&[(User, "a"), (Assistant, "b"), (Tool(Some("t".into())), "c")]).as_deref(),
            Some(
                "[Chat messages since your last reply - for context]\nUser: a\nAssistant: b\n\n\
                 [Current message - respond to this]\nTool:t: c"
            )
        );
    }
}
