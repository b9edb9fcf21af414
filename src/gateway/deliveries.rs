//! Replies on their way out: into the outbox, then to their network, those of one chat in order.
//!
//! What is promised here goes out also after a restart. Each chat has a lane of its own, so that a slow one keeps nobody
//! else waiting. Not here: the journal (`channels::outbox`), what a network can do (`channels::channel`).

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::ctx::Ctx;
use super::work::Due;
use crate::base::backoff::Backoff;
use crate::base::route::Route;
use crate::channels;
use crate::channels::channel::{Outbound, SendError, Sent};
use crate::channels::outbox::{Delivery, PutError};
use crate::channels::reply::Reply;

/// Attempts of one delivery.
const ATTEMPTS_MAX: u32 = 5;
/// Waits between them.
const WAIT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// Returns what the outbox keeps of a reply. Equal ids are one delivery.
pub fn of(cx: &Ctx, id: String, route: &Route, reply: &Reply) -> Delivery {
    Delivery {
        id,
        channel: route.channel.clone(),
        account: route.account.clone(),
        to: route.to.clone(),
        content: serde_json::to_value(reply).unwrap_or(Value::Null),
        is_promised: true,
        asked_at: cx.clock.now_ms(),
        failures: 0,
        due_at: 0,
        is_interrupted: false,
    }
}

/// Writes deliveries down, in order, and sends them; they are on the disk when this returns. One that is known already is
/// left as it is.
///
/// # Errors
/// What could not be written down.
pub fn promise(cx: &Arc<Ctx>, deliveries: Vec<Delivery>) -> Result<(), String> {
    for delivery in deliveries {
        let id = delivery.id.clone();
        match cx.outbox.put(delivery.clone()) {
            Ok(()) => send_soon(cx, delivery),
            Err(PutError::Known | PutError::Done(_)) => {}
            Err(error) => return Err(format!("reply {id}: {error}")),
        }
    }
    Ok(())
}

/// Sends what was promised before this start, and says of what was cut off that nobody knows whether it arrived.
pub fn resume(cx: &Arc<Ctx>) {
    for delivery in cx.outbox.waiting().into_iter().filter(|it| it.is_promised) {
        if delivery.is_interrupted {
            log::warn!(target: "gateway/channels", "a reply by {} was cut off by a stop of the gateway", delivery.channel);
            let text = "the gateway stopped while this was being sent; it may have arrived".to_owned();
            cx.outbox.finish(&delivery.id, Err(text), cx.clock.now_ms());
        } else {
            send_soon(cx, delivery);
        }
    }
}

/// A delivery is due again.
pub fn due(cx: &Arc<Ctx>, id: &str) {
    if let Some(delivery) = cx.outbox.waiting().into_iter().find(|it| it.id == id) {
        send_soon(cx, delivery);
    }
}

fn send_soon(cx: &Arc<Ctx>, delivery: Delivery) {
    let lane = format!("deliver:{}:{}:{}", delivery.channel, delivery.account, delivery.to);
    let job_cx = cx.clone();
    if let Err(error) = cx.jobs.submit(vec![lane], move || attempt(&job_cx, &delivery)) {
        log::warn!(target: "gateway/channels", "a reply waits for the next start: {error}");
    }
}

fn attempt(cx: &Arc<Ctx>, delivery: &Delivery) {
    if !cx.outbox.begin(&delivery.id) {
        return;
    }
    match send(cx, delivery) {
        Ok(sent) => cx.outbox.finish(&delivery.id, Ok(Value::Object(sent)), cx.clock.now_ms()),
        Err(SendError::Failed(text)) if delivery.failures + 1 < ATTEMPTS_MAX => {
            let mut backoff = Backoff::new(WAIT.0, WAIT.1, 2.0, 0.1);
            let wait = (0..=delivery.failures).map(|_| backoff.next_delay(&*cx.rng)).last().unwrap_or(WAIT.0);
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            log::warn!(target: "gateway/channels", "reply by {} failed ({text}); trying again in {wait:?}", delivery.channel);
            cx.outbox.fail(&delivery.id, cx.clock.now_ms().saturating_add(wait_ms));
            cx.timer.arm(wait, Due::Delivery { id: delivery.id.clone() });
        }
        Err(SendError::NotLinked(text) | SendError::Failed(text)) => {
            log::error!(target: "gateway/channels", "reply by {} was given up: {text}", delivery.channel);
            cx.outbox.finish(&delivery.id, Err(text), cx.clock.now_ms());
        }
    }
}

fn send(cx: &Ctx, delivery: &Delivery) -> Result<Sent, SendError> {
    let config = cx.config.get();
    let at = cx.channels_at(&config);
    let reply: Reply = serde_json::from_value(delivery.content.clone())
        .map_err(|error| SendError::NotLinked(format!("the reply cannot be read: {error}")))?;
    let channel = channels::find(&at, &delivery.channel)
        .ok_or_else(|| SendError::NotLinked(format!("channel {} is switched off", delivery.channel)))?;
    let message = Outbound {
        account: delivery.account.clone(),
        to: delivery.to.clone(),
        text: reply.text,
        media: reply.media,
        is_gif: false,
    };
    channel.send(&at, &message)
}
