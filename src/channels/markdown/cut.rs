//! Cutting long text into messages (agent.md §9.3): at lines, else at words, else anywhere between characters.

use super::{Style, Styled};

/// Where text may be cut (`chunkMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Only what is too long, at its last line or word.
    Length,
    /// Each paragraph by itself, then by length.
    Paragraphs,
}

impl Styled {
    /// Returns it in pieces of at most `units_max` UTF-16 units, as networks count; nothing for no text.
    pub fn chunks(&self, units_max: usize, cut: Cut) -> Vec<Self> {
        let units_max = units_max.max(1);
        let mut pieces = Vec::new();
        match cut {
            Cut::Length => self.by_length(0, self.text.len(), units_max, &mut pieces),
            Cut::Paragraphs => {
                let mut start = 0;
                for (end, next) in self.blank_lines() {
                    self.by_length(start, end, units_max, &mut pieces);
                    start = next;
                }
                self.by_length(start, self.text.len(), units_max, &mut pieces);
            }
        }
        pieces
    }

    /// Returns the ends of paragraphs outside code, each with the start of the next.
    fn blank_lines(&self) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(end) = self.text[from..].find("\n\n").map(|at| from + at) {
            let next = self.text.len() - self.text[end..].trim_start_matches('\n').len();
            // The last line of code ends with the code.
            match self.code_at(end) {
                None => found.push((end, next)),
                Some(code_end) if code_end == end + 1 => found.push((code_end, next)),
                Some(_) => {}
            }
            from = next;
        }
        found
    }

    /// Returns the end of the code block around a byte.
    fn code_at(&self, at: usize) -> Option<usize> {
        let around = self.spans.iter().find(|it| it.style == Style::CodeBlock && it.start <= at && at < it.end);
        around.map(|span| span.end)
    }

    fn by_length(&self, mut start: usize, end: usize, units_max: usize, pieces: &mut Vec<Self>) {
        while start < end {
            let window = start + prefix_of(&self.text[start..end], units_max);
            let mut stop = end;
            if window < end {
                stop = start + break_in(&self.text[start..window], &self.text[window..end]).unwrap_or(window - start);
            }
            let is_code = self.code_at(stop).is_some_and(|code_end| code_end > stop + 1);
            let piece = self.slice(start, stop);
            let last_code = piece.spans.iter().filter(|it| it.style == Style::CodeBlock).map(|it| it.end).max();
            let len = piece.text.trim_end().len().max(last_code.unwrap_or(0));
            if !piece.text.trim().is_empty() {
                pieces.push(piece.slice(0, len));
            }
            // In code only the end of the line goes: the rest is indentation.
            let rest = &self.text[stop..end];
            let skipped = match rest.chars().next() {
                Some('\n') if is_code => 1,
                _ if is_code => 0,
                _ => rest.len() - rest.trim_start().len(),
            };
            start = stop + skipped;
        }
    }
}

/// Returns how many bytes of the text are at most `units_max` UTF-16 units, at least one character.
fn prefix_of(text: &str, units_max: usize) -> usize {
    let mut units = 0;
    for (at, it) in text.char_indices() {
        units += it.len_utf16();
        if units > units_max && at > 0 {
            return at;
        }
    }
    text.len()
}

/// Returns where a window is best cut: its last line outside brackets, else its last word.
fn break_in(window: &str, rest: &str) -> Option<usize> {
    if rest.starts_with(char::is_whitespace) {
        return Some(window.len());
    }
    let (mut line, mut word, mut depth) = (None, None, 0_usize);
    for (at, it) in window.char_indices() {
        match it {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '\n' if depth == 0 => line = Some(at),
            _ => {}
        }
        if it.is_whitespace() && depth == 0 {
            word = Some(at);
        }
    }
    line.filter(|at| *at > 0).or(word).filter(|at| *at > 0)
}
