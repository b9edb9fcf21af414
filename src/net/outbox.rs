//! Bytes queued for one connection. Owned by the loop alone.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

use bytes::{Buf as _, Bytes};

/// Buffers handed to one `writev`.
const SLICES_MAX: usize = 32;

/// A queue of byte strings, many of them shared between connections.
#[derive(Debug, Default)]
pub struct Outbox {
    /// What goes next; in itself, so that the usual case, one string and out, allocates nothing.
    front: Bytes,
    /// What follows it.
    rest: VecDeque<Bytes>,
    /// Of all of them; without any, `front` is empty.
    bytes: usize,
}

impl Outbox {
    /// Appends bytes.
    pub fn push(&mut self, bytes: Bytes) {
        if self.bytes == 0 {
            self.bytes = bytes.len();
            self.front = bytes;
        } else if !bytes.is_empty() {
            self.bytes += bytes.len();
            self.rest.push_back(bytes);
        }
    }

    /// Returns how many bytes wait.
    pub fn len_bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Writes until nothing is left or the socket would block; returns whether nothing is left.
    ///
    /// # Errors
    /// Any I/O error of the socket but `WouldBlock` and `Interrupted`.
    pub fn flush(&mut self, socket: &mut impl Write) -> io::Result<bool> {
        while self.bytes > 0 {
            // One buffer, the usual case, takes the shorter way through the kernel.
            let written = if self.rest.is_empty() { socket.write(&self.front) } else { self.write_vectored(socket) };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // A burst may have grown the queue; an idle connection keeps no buffer.
        self.rest = VecDeque::new();
        Ok(true)
    }

    fn write_vectored(&self, socket: &mut impl Write) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let all = std::iter::once(&self.front).chain(&self.rest);
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(all) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        socket.write_vectored(&slices[..count])
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while written >= self.front.len() {
            written -= self.front.len();
            self.front = self.rest.pop_front().unwrap_or_default();
            if self.front.is_empty() {
                return;
            }
        }
        self.front.advance(written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `room` bytes, then would block.
    struct Socket {
        room: usize,
        taken: Vec<u8>,
    }

    impl Write for Socket {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = data.len().min(self.room);
            self.taken.extend_from_slice(&data[..count]);
            self.room -= count;
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn keeps_order_over_partial_writes() {
        let mut outbox = Outbox::default();
        for text in ["abc", "", "de", "f"] {
            outbox.push(Bytes::from_static(text.as_bytes()));
        }
        let mut socket = Socket { room: 4, taken: Vec::new() };
        assert!(!outbox.flush(&mut socket).expect("flush"));
        assert_eq!(outbox.len_bytes(), 2);
        socket.room = 9;
        assert!(outbox.flush(&mut socket).expect("flush"));
        assert_eq!(socket.taken, b"abcdef");
    }
}
