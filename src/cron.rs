//! Cron: jobs that run by themselves, once, periodically or by a cron expression (agent.md §19).
//!
//! Owns the rules and the files: when a job is due ([`schedule`]), what may be asked for ([`input`], [`jobs`]), what
//! happens when ([`scheduler`]), the store ([`store`]) and the run logs ([`runs`]). Nothing here starts a thread, knows a
//! client or speaks to a model: the gateway feeds the scheduler with the time and carries out what it says.

pub mod delivery;
pub mod input;
pub mod jobs;
pub mod runs;
pub mod schedule;
pub mod scheduler;
pub mod store;
pub mod when;
