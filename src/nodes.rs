//! Nodes: devices that offer commands.

pub mod pairing;
