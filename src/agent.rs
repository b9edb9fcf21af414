//! The agent runtime: sessions, transcripts, the run loop, providers and tools.
//!
//! `run` is the loop; the rest is what it stands on. Knows no clients and no connections: it tells a sink what happens.

pub mod auth_profiles;
pub mod commands;
pub mod compaction;
pub mod credentials;
pub mod elevation;
pub mod events;
pub mod failover;
pub mod levels;
pub mod listing;
pub mod looking;
#[cfg(feature = "memory")]
pub mod memory;
pub mod message;
pub mod models;
pub mod preview;
pub mod processes;
pub mod prompt;
pub mod providers;
pub mod pruning;
pub mod queue;
pub mod reply;
pub mod run;
pub mod run_journal;
pub mod session;
pub mod sessions;
pub mod speaker;
pub mod stream;
pub mod talk;
pub mod tools;
pub mod transcript;
pub mod understanding;
pub mod usage;
pub mod workspace;
