//! The ground layer: threads, cancellation, timers, time, randomness, files, processes, text.
//!
//! Knows nothing of the product. Every other layer may use it; it uses only std and a few small crates.

pub mod backoff;
pub mod cancel;
pub mod certificate;
pub mod clock;
pub mod fs;
pub mod hash;
pub mod host;
pub mod ids;
pub mod journal;
pub mod memory;
pub mod meter;
pub mod order;
pub mod pending;
pub mod ports;
pub mod process;
pub mod program;
pub mod requests;
pub mod rng;
pub mod route;
pub mod secret;
pub mod signals;
pub mod stamp;
pub mod store;
pub mod tailscale;
pub mod text;
pub mod thread;
pub mod timer;
pub mod trash;
