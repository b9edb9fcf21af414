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
    line: Vec<u8>,
}

impl<R: BufRead> Events<R> {
    /// Starts reading.
    pub fn new(reader: R) -> Self {
        Self { reader, line: Vec::new() }
    }

    /// Returns the data of the next event; `None` at the end. What stands behind the last blank line is still given:
    /// some servers close right after their last line, and the caller can tell a torn one.
    ///
    /// # Errors
    /// When reading fails, an event is larger than 8 MiB or is not UTF-8.
    pub fn next_data(&mut self) -> io::Result<Option<String>> {
        let mut data: Option<String> = None;
        loop {
            self.line.clear();
            let room = u64::try_from(EVENT_BYTES_MAX).unwrap_or(u64::MAX) + 1;
            let count = self.reader.by_ref().take(room).read_until(b'\n', &mut self.line)?;
            if count == 0 {
                return Ok(data);
            }
            if self.line.len() + data.as_ref().map_or(0, String::len) > EVENT_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an event of the stream is too large"));
            }
            let line = std::str::from_utf8(&self.line)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the stream is not UTF-8 text"))?;
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                if data.is_some() {
                    return Ok(data);
                }
            } else if let Some(value) = line.strip_prefix("data:") {
                let value = value.strip_prefix(' ').unwrap_or(value);
                match &mut data {
                    None => data = Some(value.to_owned()),
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                }
            }
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
}
