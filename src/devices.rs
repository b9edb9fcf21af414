//! Devices: who they are (identity) and what they may do (pairing).

pub mod identity;
pub mod pairing;
