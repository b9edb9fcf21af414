//! Black-box tests: every one runs the built binary with a fresh home and speaks to it from outside.
//!
//! One binary, because linking is the slow part; one module per theme. Nothing here sleeps to wait: every wait has a
//! condition and a deadline.

mod abuse;
mod cli;
mod handshake;
mod layers;
mod manage;
mod methods;
mod original;
mod page;
mod process;
mod runs;
mod skills;
mod support;
mod usage;
