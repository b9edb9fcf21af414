//! The configuration file and its meaning.
pub mod types;
