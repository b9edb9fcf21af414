//! What the tests share: a gateway process, a client, a scripted model provider, the recorded exchanges.

pub mod client;
pub mod gateway;
pub mod home;
pub mod lines;
pub mod provider;
pub mod replay;
pub mod wire;

use std::time::Duration;

/// How long a wait for something that must happen may take, on a slow and busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The shared secret of every test gateway.
pub const TOKEN: &str = "tok";

/// Polls a condition that no event announces (a file, `/proc`) until it gives a value.
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(std::time::Instant::now() < until, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
