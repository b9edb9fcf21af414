//! Black-box tests: every one runs the built binary with a fresh home and speaks to it from outside.
//!
//! One binary, because linking is the slow part; one module per theme. Nothing here sleeps to wait: every wait has a
//! condition and a deadline.

mod abuse;
mod approvals;
mod canvas;
mod channels;
mod chats;
mod cli;
mod client_models;
mod commands;
mod compaction;
mod config;
mod cron;
#[cfg(feature = "discovery")]
mod discovery;
mod doctor;
mod fairness;
mod faults;
mod gmail;
mod golden;
mod handshake;
mod heartbeat;
mod hooks;
mod hot;
mod http;
mod layers;
mod logs;
mod manage;
mod methods;
mod nodes;
mod nodes_cli;
mod nodes_host;
mod onboard;
mod openai;
mod openai_sdks;
mod original;
mod packaging;
mod page;
mod pairing;
mod process;
mod provider_sdks;
mod providers;
mod queue;
mod reach;
mod restarts;
mod runs;
mod secrets;
mod service;
mod sessions;
mod skills;
mod soak;
mod support;
mod survival;
mod talk;
mod telegram;
mod tool_services;
mod tools;
mod tools_invoke;
mod update;
mod usage;
mod variants;
mod wizard;
