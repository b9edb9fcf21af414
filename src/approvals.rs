//! Exec approvals: whether a command may run, must be asked about, or may not (agent.md §23).
//!
//! The policy is a file of the user's ([`mod@file`], [`store`]); what it means for a command is decided by pure functions: [`policy`] how
//! strict it is, [`command`] what a command line would start, [`allowlist`] whether all of that was allowed before.
//! [`requests`] holds the commands that wait for a person. Not here: running commands, asking anybody.

pub mod allowlist;
pub mod command;
pub mod file;
mod glob;
pub mod policy;
pub mod requests;
mod safe_bins;
pub mod store;
