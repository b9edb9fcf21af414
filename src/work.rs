//! Who does the work: frame workers for what is short, elastic job workers under lanes for what may take long.
//!
//! Generic over the items; what they mean is `gateway`. The two classes share no thread and no queue, so frame handling
//! never waits behind an agent run.

pub mod jobs;
pub mod lanes;
pub mod pool;
