//! Devices: who they are (identity), what they may do (pairing) and what opens the door to them (tokens).

pub mod identity;
pub mod pairing;
mod record;
pub mod tokens;
