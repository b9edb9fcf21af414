//! A connection that stays: one thread waits for the socket and for what other threads post, whichever comes first.
//!
//! The thread owns a [`Mailbox`], which outlives connections, and attaches each admitted [`Client`] to it. Other threads
//! hold a [`Post`]. Nothing is taken from the mailbox while the peer does not read, so that its bound holds for what
//! waits to be written, too. One `mio` poll; no thread of its own. Not here: when to connect again.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use serde_json::Value;

use super::error::broken;
use super::{Client, ClientError, Incoming};
use crate::base::clock::{Clock as _, SystemClock};

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

/// Posts messages to the thread of a [`Mailbox`]; cheap to clone.
#[derive(Debug)]
pub struct Post<T> {
    sender: Sender<T>,
    waker: Arc<Waker>,
}

impl<T> Clone for Post<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), waker: self.waker.clone() }
    }
}

impl<T> Post<T> {
    /// Posts a message; blocks while the mailbox is full, and drops the message once its owner is gone.
    pub fn send(&self, message: T) {
        if self.sender.send(message).is_ok() {
            self.wake();
        }
    }

    /// Makes the owner look around.
    pub fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            log::warn!(target: "client", "the connection's thread could not be woken error={error}");
        }
    }
}

/// Where messages wait for the thread that owns the connections.
#[derive(Debug)]
pub struct Mailbox<T> {
    poll: Poll,
    events: Events,
    inbox: Receiver<T>,
}

/// Makes a mailbox for at most `len_max` messages.
///
/// # Errors
/// The system's error when there is no descriptor left.
pub fn mailbox<T>(len_max: usize) -> io::Result<(Post<T>, Mailbox<T>)> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
    // Senders block when it is full; the owner is the only receiver and takes whenever the peer reads.
    let (sender, inbox) = bounded(len_max);
    Ok((Post { sender, waker }, Mailbox { poll, events: Events::with_capacity(4), inbox }))
}

impl<T> Mailbox<T> {
    /// Waits until the deadline or until woken; messages stay where they are.
    pub fn pause(&mut self, deadline: Instant) {
        self.wait(deadline);
    }

    /// Attaches an admitted client.
    ///
    /// # Errors
    /// `Closed` when the socket is gone.
    pub fn attach(&mut self, mut client: Client) -> Result<Link<'_, T>, ClientError> {
        let fd = client.socket.set_nonblocking().map_err(broken)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut SourceFd(&fd), SOCKET, interest).map_err(broken)?;
        Ok(Link { mailbox: self, client, fd })
    }

    fn wait(&mut self, deadline: Instant) {
        let left = deadline.saturating_duration_since(SystemClock.now());
        if let Err(error) = self.poll.poll(&mut self.events, Some(left))
            && error.kind() != io::ErrorKind::Interrupted
        {
            log::warn!(target: "client", "poll failed error={error}");
        }
    }
}

/// What happened on a link.
#[derive(Debug)]
pub enum Turn<T> {
    /// The gateway said something.
    Incoming(Incoming),
    /// Another thread posted something.
    Posted(T),
    /// The deadline passed, or somebody wants the owner to look around.
    Idle,
}

/// An admitted client attached to a mailbox.
pub struct Link<'a, T> {
    mailbox: &'a mut Mailbox<T>,
    client: Client,
    fd: RawFd,
}

impl<T> Link<'_, T> {
    /// Returns the payload of `hello-ok`.
    pub fn hello(&self) -> &Value {
        self.client.hello()
    }

    /// Waits for the next thing to happen, writing what is queued meanwhile.
    ///
    /// # Errors
    /// `Closed`.
    pub fn next(&mut self, deadline: Instant) -> Result<Turn<T>, ClientError> {
        let mut has_waited = false;
        loop {
            // The poll is edge-triggered: it may be asked only after both directions have said that they would block.
            if self.client.socket.try_flush()?
                && let Ok(message) = self.mailbox.inbox.try_recv()
            {
                return Ok(Turn::Posted(message));
            }
            if let Some(incoming) = self.client.socket.try_next()? {
                return Ok(Turn::Incoming(incoming));
            }
            if has_waited && self.mailbox.events.iter().any(|event| event.token() == WAKER)
                || SystemClock.now() >= deadline
            {
                return Ok(Turn::Idle);
            }
            self.mailbox.wait(deadline);
            has_waited = true;
        }
    }

    /// Queues a request and returns its id.
    ///
    /// # Errors
    /// `Closed`.
    pub fn send(&mut self, method: &str, params: Value) -> Result<String, ClientError> {
        let (id, frame) = self.client.request_frame(method, params);
        self.client.socket.queue(frame)?;
        Ok(id)
    }

    /// Says goodbye with a code and a reason; the peer's answer is not waited for.
    pub fn close(mut self, code: u16, reason: &str) {
        self.client.socket.close(Some((code, reason)));
    }
}

impl<T> Drop for Link<'_, T> {
    fn drop(&mut self) {
        // Closing the socket takes it out of the poll, too; nothing is lost when this fails.
        let _ = self.mailbox.poll.registry().deregister(&mut SourceFd(&self.fd));
    }
}
