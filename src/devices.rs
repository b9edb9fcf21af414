//! Devices: who they are (identity) and what they may do (pairing).

pub mod pairing;
