//! The last of a text that grows without bounds.

/// Keeps the end of what is pushed, at most so many bytes.
#[derive(Debug)]
pub struct Kept {
    text: String,
    bytes_max: usize,
    is_cut: bool,
}

impl Kept {
    /// Keeps at most `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        Self { text: String::new(), bytes_max, is_cut: false }
    }

    /// Adds to the end.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        // Cut at twice the cap, so that a long output is not moved at every read.
        if self.text.len() > self.bytes_max * 2 {
            self.cut();
        }
    }

    /// Returns what is kept.
    pub fn text(&mut self) -> &str {
        self.cut();
        &self.text
    }

    /// Takes what is kept and begins again.
    pub fn take(&mut self) -> String {
        self.cut();
        std::mem::take(&mut self.text)
    }

    /// Returns whether anything was dropped.
    pub fn is_cut(&self) -> bool {
        self.is_cut || self.text.len() > self.bytes_max
    }

    fn cut(&mut self) {
        if self.text.len() > self.bytes_max {
            let start = self.text.ceil_char_boundary(self.text.len() - self.bytes_max);
            self.text.drain(..start);
            self.is_cut = true;
        }
    }
}

/// Makes text of bytes that arrive in pieces: a character may be cut in two.
#[derive(Debug, Default)]
pub struct Decoder {
    rest: Vec<u8>,
}

impl Decoder {
    /// Returns the text of what is whole so far; what is no text becomes replacement characters.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.rest) {
            Ok(_) => self.rest.len(),
            // The end of the input, not a fault.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.rest.len() - unfinished(&self.rest),
        };
        let text = String::from_utf8_lossy(&self.rest[..whole]).into_owned();
        self.rest.drain(..whole);
        text
    }
}

/// Returns how many bytes at the end begin a character that is not whole.
fn unfinished(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let byte = bytes[bytes.len() - back];
        let length = match byte {
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF7 => 4,
            0x80..=0xBF => continue,
            _ => return 0,
        };
        return if length > back { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept() {
        let mut kept = Kept::new(5);
        for _ in 0..100 {
            kept.push("aé");
        }
        assert_eq!(kept.text(), "éaé");
        assert!(kept.is_cut());
        assert_eq!(kept.take(), "éaé");
        assert_eq!(kept.text(), "");
    }

    #[test]
    fn characters_are_whole_however_they_arrive() {
        let bytes = "aé€😀z".as_bytes();
        for size in 1..bytes.len() {
            let mut decoder = Decoder::default();
            let text: String = bytes.chunks(size).map(|chunk| decoder.push(chunk)).collect();
            assert_eq!(text, "aé€😀z", "in pieces of {size}");
        }
        let mut decoder = Decoder::default();
        assert_eq!(decoder.push(b"\xff\xfeok\xe2\x82"), "\u{fffd}\u{fffd}ok");
        assert_eq!(decoder.push(b"\xac!"), "€!");
    }
}
