//! What the tests share: a gateway process, a client, a scripted model provider, the recorded exchanges.

pub mod bot_api;
pub mod browser;
pub mod client;
pub mod clock;
pub mod files;
pub mod gateway;
pub mod home;
pub mod http;
pub mod http_wire;
pub mod lines;
pub mod network;
pub mod node_host;
pub mod original;
pub mod provider;
pub mod replay;
pub mod schema;
pub mod speech;
pub mod systemd;
pub mod terminal;
pub mod wire;
pub mod wire_formats;

use std::io::Write as _;
use std::time::{Duration, Instant};

/// How long a wait for something that must happen may take, on a slow and busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The shared secret of every test gateway.
pub const TOKEN: &str = "tok";

/// Says that something was not tested. Goes around the capture of passing tests, because it must be seen.
pub fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

/// Returns whether tests may install what they want from npm: `CLAWDBOT_TEST_NPM=1`.
pub fn asks_npm() -> bool {
    std::env::var("CLAWDBOT_TEST_NPM").as_deref() == Ok("1")
}

/// Waits for something that another process does and tells nobody of.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    eventually_some(what, || is_so().then_some(()));
}

/// As [`eventually`], for something that is needed afterwards.
pub fn eventually_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
