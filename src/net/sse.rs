//! Server-sent events: the `data` of each event, read from any buffered reader.
//!
//! Only what model servers use: `data` lines joined by newlines; comments and other fields are skipped. Runs on the
//! reader's thread.

use std::io::{self, BufRead, Read as _};

/// Largest event.
const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Reads events from `reader`.
pub struct Events<R> {
    reader: R,
    /// The line that is being read, and the event: a read that fails for now is taken up again by the next.
    line: Vec<u8>,
    data: Option<String>,
}

impl<R: BufRead> Events<R> {
    /// Starts reading.
    pub fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), data: None }
    }

    /// Returns the data of the next event; `None` at the end. What stands behind the last blank line is still given:
    /// some servers close right after their last line, and the caller can tell a torn one.
    ///
    /// # Errors
    /// When reading fails, an event is larger than 8 MiB or is not UTF-8. Where reading failed only for now, calling again
    /// loses nothing.
    pub fn next_data(&mut self) -> io::Result<Option<String>> {
        loop {
            let data = &mut self.data;
            // With what was read of it before: a line that comes in pieces is not longer than another.
            let room = (EVENT_BYTES_MAX + 1).saturating_sub(self.line.len()) as u64;
            let count = self.reader.by_ref().take(room).read_until(b'\n', &mut self.line)?;
            if count == 0 && self.line.is_empty() {
                return Ok(data.take());
            }
            if self.line.len() + data.as_ref().map_or(0, String::len) > EVENT_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an event of the stream is too large"));
            }
            let line = std::str::from_utf8(&self.line)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the stream is not UTF-8 text"))?;
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                self.line.clear();
                if data.is_some() {
                    return Ok(data.take());
                }
                continue;
            }
            if let Some(value) = line.strip_prefix("data:") {
                let value = value.strip_prefix(' ').unwrap_or(value);
                match data {
                    None => *data = Some(value.to_owned()),
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                }
            }
            self.line.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_apart() {
        let text = ": hi\r\n\r\nevent: x\ndata: {\"a\":1}\r\n\r\ndata: 1\ndata:2\n\ndata: torn";
        let mut events = Events::new(text.as_bytes());
        let mut all = Vec::new();
        while let Some(data) = events.next_data().expect("readable") {
            all.push(data);
        }
        assert_eq!(all, ["{\"a\":1}", "1\n2", "torn"]);
    }

    /// Gives one byte, then nothing for now, and so on.
    struct Halting<'a>(&'a [u8], bool);

    impl io::Read for Halting<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(io::ErrorKind::TimedOut.into()) } else { self.0.read(&mut buffer[..1]) }
        }
    }

    #[test]
    fn a_read_that_comes_back_empty_loses_nothing() {
        let mut events = Events::new(io::BufReader::new(Halting(b"data: one\ndata: two\n\ndata: end", false)));
        let mut all = Vec::new();
        loop {
            match events.next_data() {
                Ok(Some(data)) => all.push(data),
                Ok(None) => break,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::TimedOut),
            }
        }
        assert_eq!(all, ["one\ntwo", "end"]);
    }

    /// Gives pieces of a line that has no end, and nothing for now between them.
    struct Endless(bool);

    impl io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 = !self.0;
            if self.0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            buffer.fill(b'x');
            Ok(buffer.len())
        }
    }

    #[test]
    fn a_line_without_end_is_refused_also_in_pieces() {
        let mut events = Events::new(io::BufReader::with_capacity(1 << 20, Endless(false)));
        let error = std::iter::from_fn(|| events.next_data().err()).take(100);
        let kinds: Vec<io::ErrorKind> =
            error.map(|error| error.kind()).take_while(|it| *it == io::ErrorKind::TimedOut).collect();
        assert!(kinds.len() < 12, "{}", kinds.len());
    }
}
