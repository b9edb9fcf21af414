//! Nodes: devices that offer commands to the gateway (a phone's camera, another machine's shell).

pub mod host;
pub mod pairing;
pub mod policy;
pub mod reference;
pub mod registry;
