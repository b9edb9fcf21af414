//! The agent runtime: sessions, transcripts, the run loop, providers and tools.
pub mod events;
pub mod message;
