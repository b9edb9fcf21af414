//! Black-box tests: every one runs the built binary with a fresh home and speaks to it from outside.
//!
//! One binary, because linking is the slow part; one module per theme. Nothing here sleeps to wait: every wait has a
//! condition and a deadline.

mod abuse;
mod channels;
mod cli;
mod client_models;
mod config;
mod cron;
mod fairness;
mod handshake;
mod heartbeat;
mod layers;
mod methods;
mod nodes;
mod onboard;
mod original;
mod page;
mod process;
mod runs;
mod sessions;
mod support;
mod talk;
mod update;
mod wizard;
