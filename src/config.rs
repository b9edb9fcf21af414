//! The configuration file and its meaning.

pub mod checks;
pub mod defaults;
pub mod diff;
pub mod env;
pub mod include;
pub mod issue;
pub mod json5;
pub mod keys;
pub mod live;
pub mod load;
pub mod migrate;
pub mod paths;
pub mod rewrite;
pub mod tree;
pub mod types;
pub mod watch;
pub mod write;
