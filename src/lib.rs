#![doc = include_str!("ARCHITECTURE.md")]
// What no row of a lean build reaches is dropped by the linker; only the whole of it is judged.
#![cfg_attr(
    not(all(
        feature = "canvas",
        feature = "control-ui",
        feature = "discovery",
        feature = "gmail",
        feature = "http-api",
        feature = "memory",
        feature = "node-host",
        feature = "onboarding",
        feature = "telegram",
        feature = "tls",
        feature = "tts"
    )),
    allow(dead_code)
)]

pub mod agent;
pub mod approvals;
pub mod base;
#[cfg(feature = "canvas")]
pub mod canvas;
pub mod channels;
pub mod cli;
pub mod client;
pub mod config;
pub mod cron;
pub mod devices;
#[cfg(feature = "discovery")]
pub mod discovery;
pub mod gateway;
#[cfg(feature = "gmail")]
pub mod gmail;
pub mod heartbeat;
pub mod logging;
pub mod media;
pub mod net;
pub mod nodes;
pub mod presence;
pub mod protocol;
pub mod service;
pub mod skills;
pub mod tts;
pub mod update;
pub mod voicewake;
pub mod wizard;
pub mod work;
