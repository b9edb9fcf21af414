//! The original's own clients against this gateway. `support/original.rs` says where they come from; each of its
//! commands takes a second or two.

mod cli;
mod control_ui;
mod gmail;
mod node_host;
mod state;
