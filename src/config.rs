//! The configuration file and its meaning.

pub mod live;
pub mod load;
pub mod paths;
pub mod types;
