#![doc = include_str!("ARCHITECTURE.md")]

pub mod agent;
pub mod base;
pub mod cli;
pub mod client;
pub mod config;
pub mod devices;
pub mod gateway;
pub mod logging;
pub mod net;
pub mod nodes;
pub mod presence;
pub mod protocol;
pub mod work;
