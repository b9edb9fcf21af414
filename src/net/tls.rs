//! A socket of the loop: plain, or under TLS.
//!
//! Looks like a non-blocking stream from outside. Under TLS one read may take several records, what was written may
//! still wait in the session ([`Socket::settle`] moves it on), and a short read does not mean that nothing is left. Runs
//! on the loop. Not here: certificates (`gateway::tls`).

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::{ServerConfig, ServerConnection};

/// Plain bytes that a session keeps while the peer takes none, and while the handshake is under way.
const SESSION_BYTES_MAX: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

#[derive(Debug)]
pub(super) struct Tls {
    stream: TcpStream,
    session: ServerConnection,
}

impl Socket {
    /// Wraps an accepted stream; `None` when no session can be begun.
    pub fn new(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Option<Self> {
        // Without the feature nothing begins a session, so the linker drops them.
        let Some(config) = tls.filter(|_| cfg!(feature = "tls")) else { return Some(Self::Plain(stream)) };
        let mut session = ServerConnection::new(config.clone()).ok()?;
        session.set_buffer_limit(Some(SESSION_BYTES_MAX));
        Some(Self::Tls(Box::new(Tls { stream, session })))
    }

    /// Returns whether a short read took all there was.
    pub fn is_drained_by_short_read(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Sends what the session still holds; returns whether nothing is left.
    ///
    /// # Errors
    /// Any I/O error but `WouldBlock`.
    pub fn settle(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.settle(),
        }
    }

    /// Ends our side, or all of it.
    ///
    /// # Errors
    /// The system's.
    pub fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown(how),
            Self::Tls(tls) => {
                tls.session.send_close_notify();
                // Who does not take this much of a goodbye gets none.
                let _ = tls.settle();
                tls.stream.shutdown(how)
            }
        }
    }

    /// Returns the address that the peer came to.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<std::net::SocketAddr> {
        match self {
            Self::Plain(stream) => stream.local_addr(),
            Self::Tls(tls) => tls.stream.local_addr(),
        }
    }

    fn stream(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => &mut tls.stream,
        }
    }
}

impl Tls {
    fn settle(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                // The peer hung up without saying so: for this protocol the same as with.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            if self.session.read_tls(&mut self.stream)? == 0 {
                return Ok(0);
            }
            let processed = self.session.process_new_packets();
            // Answers of the handshake, or why it fails: what does not fit now goes with the next flush.
            let settled = self.settle();
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            settled?;
        }
    }
}

impl Write for Tls {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(data)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let taken = match self.session.writer().write_vectored(slices)? {
            0 if slices.iter().any(|slice| !slice.is_empty()) => {
                // Full: room comes once the peer takes something.
                if !self.settle()? {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                match self.session.writer().write_vectored(slices)? {
                    0 => return Err(io::ErrorKind::WouldBlock.into()),
                    taken => taken,
                }
            }
            taken => taken,
        };
        self.settle()?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.settle().map(drop)
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(data),
            Self::Tls(tls) => tls.write(data),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write_vectored(slices),
            Self::Tls(tls) => tls.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.stream().register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.stream().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.stream().deregister(registry)
    }
}
