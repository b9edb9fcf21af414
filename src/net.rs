//! Bytes: sockets, HTTP and WebSocket framing, the one event loop.
//!
//! Knows connections, not methods: it hands over [`NetEvent`]s and takes [`LoopMsg`]s. What frames and requests mean is
//! decided in `gateway`.

mod conn;
mod crowd;
pub mod event_loop;
pub mod fetch;
pub mod flow;
pub mod form;
pub mod handle;
pub mod http;
pub mod outbox;
pub mod partial;
pub mod public;
pub mod sse;
pub mod stats;
mod tls;
pub mod ws;

pub use event_loop::{EventLoop, Greeting, Limits, Listener, Surface};
pub use handle::{Broadcast, LoopHandle, LoopMsg, NetEvent, Peer, mailbox};
