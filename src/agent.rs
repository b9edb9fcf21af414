//! The agent runtime: sessions, transcripts, the run loop, providers and tools.
pub mod commands;
pub mod events;
pub mod levels;
pub mod listing;
pub mod message;
pub mod models;
pub mod preview;
pub mod session;
pub mod sessions;
pub mod transcript;
pub mod workspace;
