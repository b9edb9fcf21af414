//! The connection to the gateway: made, kept alive, made again.
//!
//! Runs on `node-link`, which does nothing slow: it hands requests to [`Invokes`] and writes what those post. Owns the
//! table of questions that commands ask the gateway. Stops within moments of its token's end, but for a connect under
//! way, which has a deadline.

use std::collections::HashMap;
use std::time::Duration;

use crossbeam_channel::Sender;
use serde_json::Value;

use super::invoke::Invokes;
use super::outgoing::Outgoing;
use crate::base::backoff::Backoff;
use crate::base::cancel::CancelToken;
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::rng::SystemRng;
use crate::client::link::{Link, Mailbox, Turn};
use crate::client::target::Target;
use crate::client::{Client, ClientError, Deadline, Incoming, Profile};
use crate::config::paths::Paths;
use crate::protocol::TICK_INTERVAL_MS;

/// How long a connect may take, handshake and all.
const CONNECT_WAIT: Duration = Duration::from_secs(15);
/// First and largest wait before the next try.
const RETRY_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Share of a wait that is random, so that nodes do not return all at once.
const RETRY_JITTER: f64 = 0.1;
/// Close code of a gateway that has gone quiet.
const CLOSE_TICK_TIMEOUT: u16 = 4000;

/// See the module.
pub(super) struct Connection {
    paths: Paths,
    target: Target,
    profile: Profile,
    // Before `invokes`: dropping it ends the waits of commands that post, which dropping `invokes` waits for.
    mailbox: Mailbox<Outgoing>,
    invokes: Invokes,
    stop: CancelToken,
    epoch: u64,
}

impl Connection {
    pub(super) fn new(
        paths: Paths,
        target: Target,
        profile: Profile,
        mailbox: Mailbox<Outgoing>,
        invokes: Invokes,
        stop: CancelToken,
    ) -> Self {
        Self { paths, target, profile, mailbox, invokes, stop, epoch: 0 }
    }

    /// Connects and serves until the token ends.
    pub(super) fn keep(mut self) {
        let mut backoff = Backoff::new(RETRY_WAITS.0, RETRY_WAITS.1, 2.0, RETRY_JITTER);
        while !self.stop.is_cancelled() {
            match Client::connect(&self.paths, &self.target, &self.profile, Deadline::after(CONNECT_WAIT)) {
                Ok(client) => {
                    log::info!(target: "node", "node host connected to {}", self.target.url);
                    backoff.reset();
                    match self.serve(client) {
                        Ok(()) => break,
                        Err(error) => tell_closed(&error),
                    }
                }
                Err(error) => {
                    match &error {
                        ClientError::Closed { refusal: Some(text), .. } => {
                            log::warn!(target: "node", "node host gateway connect failed: {text}");
                        }
                        error => log::warn!(target: "node", "node host gateway connect failed: {error}"),
                    }
                    tell_closed(&error);
                }
            }
            let again = SystemClock.now() + backoff.next_delay(&SystemRng);
            while !self.stop.is_cancelled() && SystemClock.now() < again {
                self.mailbox.pause(again);
            }
        }
    }

    /// Serves one connection; returns without an error when the token has ended.
    fn serve(&mut self, client: Client) -> Result<(), ClientError> {
        self.epoch += 1;
        let mut link = self.mailbox.attach(client)?;
        let interval_ms = link.hello()["policy"]["tickIntervalMs"].as_u64().filter(|&ms| ms > 0);
        let silence_max = Duration::from_millis(interval_ms.unwrap_or(TICK_INTERVAL_MS).saturating_mul(2));
        let mut asks: HashMap<String, Sender<Value>> = HashMap::new();
        let mut last_tick = SystemClock.now();
        loop {
            if self.stop.is_cancelled() {
                link.close(1000, "node host stopped");
                return Ok(());
            }
            match link.next(last_tick + silence_max)? {
                Turn::Incoming(Incoming::Event { event, payload }) => match event.as_str() {
                    "tick" => last_tick = SystemClock.now(),
                    "node.invoke.request" => {
                        if let Some(refusal) = self.invokes.start(&payload, self.epoch) {
                            link.send("node.invoke.result", refusal)?;
                        }
                    }
                    _ => {}
                },
                Turn::Incoming(Incoming::Response { id, result }) => {
                    if let (Some(reply), Ok(payload)) = (asks.remove(&id), result) {
                        // Whoever asked may have given up.
                        let _ = reply.send(payload);
                    }
                }
                Turn::Posted(outgoing) => Self::write(&mut link, &mut asks, self.epoch, outgoing)?,
                Turn::Idle => {
                    if SystemClock.now() >= last_tick + silence_max {
                        let reason = "tick timeout".to_owned();
                        link.close(CLOSE_TICK_TIMEOUT, &reason);
                        return Err(ClientError::Closed { code: CLOSE_TICK_TIMEOUT, reason, refusal: None });
                    }
                }
            }
        }
    }

    fn write(
        link: &mut Link<'_, Outgoing>,
        asks: &mut HashMap<String, Sender<Value>>,
        epoch: u64,
        outgoing: Outgoing,
    ) -> Result<(), ClientError> {
        match outgoing {
            Outgoing::Result { epoch: asked_by, params } if asked_by == epoch => {
                link.send("node.invoke.result", params)?;
            }
            // The gateway has told whoever waited that this node was away.
            Outgoing::Result { .. } => log::debug!(target: "node", "a result came after its connection's end"),
            Outgoing::Event(params) => {
                link.send("node.event", params)?;
            }
            Outgoing::Ask { method, reply } => {
                let id = link.send(method, serde_json::json!({}))?;
                asks.insert(id, reply);
            }
        }
        Ok(())
    }
}

fn tell_closed(error: &ClientError) {
    if let ClientError::Closed { code, reason, .. } = error {
        log::warn!(target: "node", "node host gateway closed ({code}): {reason}");
    }
}
