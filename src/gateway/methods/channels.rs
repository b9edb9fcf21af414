//! channels.status, channels.logout, send, poll, web.login.*.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::{Method, methods};
use crate::agent::session;
use crate::channels::channel::{Account, Channel, Setting};
use crate::channels::message::{Address, Poll, SendError, Sent};
use crate::channels::outbox::{Delivery, PutError};
use crate::channels::state::State;
use crate::channels::{self, normalize};
use crate::config::load;
use crate::gateway::ctx::Ctx;
use crate::gateway::dedupe::Flight;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::ticket::Outcome;
use crate::gateway::{chats, deliveries, targets};
use crate::protocol::channels::{
    ChannelsLogoutParams, ChannelsStatusParams, PollParams, SendParams, WebLoginStartParams, WebLoginWaitParams,
};
use crate::protocol::error::ErrorShape;

pub(super) const METHODS: &[Method] = methods! {
    "channels.status" Read ChannelsStatusParams status on side;
    "channels.logout" Admin ChannelsLogoutParams log_out on disk;
    "send" Write SendParams send;
    "poll" Admin PollParams poll, hidden;
    "web.login.start" Admin WebLoginStartParams login_start;
    "web.login.wait" Admin WebLoginWaitParams login_wait;
};

/// How long trying credentials may take, in milliseconds.
const PROBE_MS: u64 = 10_000;

fn status(cx: &Arc<Ctx>, _call: &Call, params: ChannelsStatusParams) -> Result<Reply, ErrorShape> {
    let config = cx.config.get();
    let at = cx.channels_at(&config);
    let active = channels::active(&at);
    if params.probe == Some(true) {
        let within = Duration::from_millis(params.timeout_ms.unwrap_or(PROBE_MS).max(1000));
        probe(cx, &at, within);
    }
    let by_id = |value: &dyn Fn(&dyn Channel) -> Value| -> Map<String, Value> {
        active.iter().map(|channel| (channel.info().id.to_owned(), value(*channel))).collect()
    };
    let meta = |channel: &dyn Channel| {
        let info = channel.info();
        json!({"id": info.id, "label": info.label, "detailLabel": info.detail_label, "systemImage": info.system_image})
    };
    let accounts = |channel: &dyn Channel| -> Value {
        channel
            .accounts(&at)
            .iter()
            .map(|account| {
                let state = state(cx, channel, account);
                let mut row = channel.snapshot(&at, account, &state);
                if let Some((at, probe)) = state.probe {
                    row["probe"] = probe;
                    row["lastProbeAt"] = at.into();
                }
                if let Some(audit) = state.audit {
                    row["audit"] = audit;
                }
                row
            })
            .collect()
    };
    Ok(Reply::Now(json!({
        "ts": at.now_ms,
        "channelOrder": active.iter().map(|channel| channel.info().id).collect::<Vec<_>>(),
        "channelLabels": by_id(&|channel| channel.info().label.into()),
        "channelDetailLabels": by_id(&|channel| channel.info().detail_label.into()),
        "channelSystemImages": by_id(&|channel| channel.info().system_image.into()),
        "channelMeta": active.iter().map(|channel| meta(*channel)).collect::<Vec<_>>(),
        "channels": by_id(&|channel| {
            let account = channel.default_account(&at);
            channel.summary(&at, &account, &state(cx, channel, &account))
        }),
        "channelAccounts": by_id(&accounts),
        "channelDefaultAccountId": by_id(&|channel| channel.default_account(&at).id.into()),
    })))
}

/// Tries the credentials of every account that is to run, one after the other.
pub fn probe(cx: &Ctx, at: &Setting<'_>, within: Duration) {
    let until = Instant::now() + within;
    for channel in channels::active(at) {
        for account in channel.accounts(at) {
            if !account.is_enabled() || !channel.is_configured(at, &account) {
                continue;
            }
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(500));
            if let Some((probe, audit)) = channel.probe(at, &account, left) {
                cx.channels.handle(channel.info().id, &account.id).update(|state| {
                    state.probe = Some((cx.clock.now_ms(), probe));
                    state.audit = audit;
                });
            }
        }
    }
}

fn state(cx: &Ctx, channel: &dyn Channel, account: &Account) -> State {
    cx.channels.state(channel.info().id, &account.id)
}

fn log_out(cx: &Arc<Ctx>, _call: &Call, params: ChannelsLogoutParams) -> Result<Reply, ErrorShape> {
    let config = cx.config.get();
    let at = cx.channels_at(&config);
    let channel = normalize(&params.channel).and_then(|id| channels::find(&at, id));
    let channel = channel.ok_or_else(|| ErrorShape::invalid("invalid channels.logout channel"))?;
    if !load::load(&cx.paths).valid {
        return Err(ErrorShape::invalid("config invalid; fix it before logging out"));
    }
    let account = named_account(channel, &at, params.account_id.as_deref())?;
    // First: what still receives must not go on with credentials that are gone.
    cx.channels.stop(channel.info().id, Some(&account.id));
    let done = channel.log_out(&at, &account).map_err(ErrorShape::exception)?;
    cx.channels.handle(channel.info().id, &account.id).update(|state| {
        if state.last_start_at.is_some() {
            state.last_error = Some("logged out".to_owned());
        }
    });
    log::info!(target: "gateway/channels", "logged out {} account={}", channel.info().id, account.id);
    let mut answer = json!({"channel": channel.info().id, "accountId": account.id, "cleared": done.cleared});
    if let Value::Object(answer) = &mut answer {
        answer.extend(done.more);
    }
    Ok(Reply::Now(answer))
}

fn named_account(channel: &dyn Channel, at: &Setting<'_>, named: Option<&str>) -> Result<Account, ErrorShape> {
    channels::account(channel, at, named).map_err(|text| ErrorShape::invalid(format!("Error: {text}")))
}

/// Where a message goes.
struct Route {
    channel: &'static dyn Channel,
    account: Account,
    to: Address,
    /// As the channel spelled it, thread included.
    target: String,
}

impl Route {
    /// Finds channel, account and target; `kind` is how a channel that cannot do it is called.
    fn find(
        at: &Setting<'_>,
        kind: &str,
        channel: Option<&str>,
        account_id: Option<&str>,
        to: &str,
        can: fn(&dyn Channel) -> bool,
    ) -> Result<Self, ErrorShape> {
        let given = channel.map(str::trim).filter(|channel| !channel.is_empty()).unwrap_or(channels::DEFAULT);
        let id = normalize(given).ok_or_else(|| ErrorShape::invalid(format!("unsupported {kind}: {given}")))?;
        let channel = channels::find(at, id).filter(|channel| can(*channel));
        let channel = channel.ok_or_else(|| ErrorShape::invalid(format!("unsupported {kind}: {id}")))?;
        let account = named_account(channel, at, account_id)?;
        let to = channel.target(at, &account, to).map_err(|text| ErrorShape::invalid(format!("Error: {text}")))?;
        let address = channel.address(&to);
        Ok(Self { channel, account, to: address, target: to })
    }

    /// Returns what the outbox keeps of a delivery that a client asked for; it waits for the end, so nothing is promised.
    fn delivery(&self, cx: &Ctx, key: &str, content: Value) -> Delivery {
        let id = self.channel.info().id;
        let new = Delivery::new(key.to_owned(), id, &self.account.id, &self.to.to, content, cx.clock.now_ms());
        Delivery { thread: self.to.thread.clone(), ..new }
    }
}

fn send(cx: &Arc<Ctx>, call: &Call, params: SendParams) -> Result<Reply, ErrorShape> {
    let key = format!("send:{}", params.idempotency_key.0);
    if let Some(outcome) = cx.dedupe.get(&key) {
        call.ticket(cx).finish(outcome);
        return Ok(Reply::Later);
    }
    let config = cx.config.get();
    let at = cx.channels_at(&config);
    let route =
        Route::find(&at, "channel", params.channel.as_deref(), params.account_id.as_deref(), params.to.trim(), |_| {
            true
        })?;
    let media = params.media_url.into_iter().chain(params.media_urls.into_iter().flatten());
    let reply = channels::reply::Reply {
        text: params.message.trim().to_owned(),
        media: media.filter(|url| !url.trim().is_empty()).collect(),
        is_gif: params.gif_playback == Some(true),
        ..Default::default()
    };
    let session = params.session_key.map(|key| key.trim().to_lowercase()).filter(|key| !key.is_empty());
    let session = match session {
        Some(named) => session::canonical_key(&config, &named, None),
        None => targets::session_at(&config, route.channel, &route.account, &route.target).session,
    };
    let text = reply.text.clone();
    let delivery = route.delivery(cx, &key, json!(reply));
    deliver(cx, call, delivery, params.idempotency_key.0, move |cx| targets::mirror(cx, &session, &text))
}

fn poll(cx: &Arc<Ctx>, call: &Call, params: PollParams) -> Result<Reply, ErrorShape> {
    let key = format!("poll:{}", params.idempotency_key.0);
    if let Some(outcome) = cx.dedupe.get(&key) {
        call.ticket(cx).finish(outcome);
        return Ok(Reply::Later);
    }
    let config = cx.config.get();
    let at = cx.channels_at(&config);
    let channel = params.channel.as_deref();
    let can_poll = |channel: &dyn Channel| channel.capabilities().poll_options_max.is_some();
    let route = Route::find(&at, "poll channel", channel, params.account_id.as_deref(), params.to.trim(), can_poll)?;
    let trimmed = params.options.iter().map(|option| option.trim().to_owned()).filter(|option| !option.is_empty());
    let poll = Poll {
        question: params.question.trim().to_owned(),
        options: trimmed.collect(),
        selections_max: params.max_selections.map_or(1, |max| usize::try_from(max).unwrap_or(usize::MAX)),
        duration_hours: params.duration_hours,
    };
    let options_max = route.channel.capabilities().poll_options_max.unwrap_or(0);
    if let Err(fault) = judge_poll(&poll, options_max) {
        let outcome: Outcome = Err(ErrorShape::exception(fault)).into();
        cx.dedupe.put(&key, outcome.clone(), cx.clock.now_ms());
        call.ticket(cx).finish(outcome);
        return Ok(Reply::Later);
    }
    let delivery = route.delivery(cx, &key, json!({"poll": poll}));
    deliver(cx, call, delivery, params.idempotency_key.0, |_| ())
}

pub(super) fn judge_poll(poll: &Poll, options_max: usize) -> Result<(), String> {
    match poll.options.len() {
        _ if poll.question.is_empty() => Err("Poll question is required".to_owned()),
        0 | 1 => Err("Poll requires at least 2 options".to_owned()),
        count if count > options_max => Err(format!("Poll supports at most {options_max} options")),
        count if poll.selections_max > count => Err("maxSelections cannot exceed option count".to_owned()),
        _ => Ok(()),
    }
}

/// Has a delivery made; whoever asks with the same key meanwhile gets the same answer, and also after a restart.
fn deliver(
    cx: &Arc<Ctx>,
    call: &Call,
    delivery: Delivery,
    run: String,
    sent: impl FnOnce(&Ctx) + Send + 'static,
) -> Result<Reply, ErrorShape> {
    let Some(flight) = Flight::board(cx, delivery.id.clone(), call.ticket(cx)) else { return Ok(Reply::Later) };
    let job_cx = cx.clone();
    // A job that is refused drops the flight, which answers everybody.
    let submitted = cx.jobs.submit(vec!["side".to_owned()], move || {
        let flight = Arc::new(Mutex::new(Some(flight)));
        let (waiting, channel) = (flight.clone(), delivery.channel.clone());
        let land = move |outcome: Outcome| {
            if let Some(flight) = waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
                flight.land(outcome);
            }
        };
        let waiter = Box::new(move |cx: &Arc<Ctx>, result: Result<Sent, SendError>| {
            if result.is_ok() {
                sent(cx);
            }
            land(match result {
                Ok(it) => Outcome::Ok(deliveries::payload(&run, &channel, it)),
                Err(error) => Err(shape(&error)).into(),
            });
        });
        let refused = deliveries::send(&job_cx, delivery, waiter).err();
        let flight = refused.as_ref().and_then(|_| flight.lock().unwrap_or_else(PoisonError::into_inner).take());
        match (refused, flight) {
            (Some(PutError::Done(done)), Some(flight)) => flight.land(deliveries::answer_of(done)),
            (Some(error), Some(flight)) => flight.land(Err(ErrorShape::busy(format!("Error: {error}"))).into()),
            _ => {}
        }
    });
    if let Err(error) = submitted {
        log::warn!(target: "gateway/channels", "send not started: {error}");
    }
    Ok(Reply::Later)
}

/// Returns the error of a delivery that was not made: whether trying again may help is said truly.
pub(super) fn shape(error: &SendError) -> ErrorShape {
    match error {
        SendError::NotLinked(text) => ErrorShape::not_linked(format!("Error: {text}")),
        SendError::Failed(text) | SendError::Unclear(text) => ErrorShape::exception(text),
        SendError::Later { text, after } => {
            let retry_after_ms = after.and_then(|after| u64::try_from(after.as_millis()).ok());
            ErrorShape { retryable: Some(true), retry_after_ms, ..ErrorShape::exception(text) }
        }
    }
}

/// Returns the channel that is linked by scanning a code.
fn login_channel(at: &Setting<'_>) -> Result<&'static dyn Channel, ErrorShape> {
    let channel = channels::active(at).into_iter().find(|channel| channel.capabilities().has_web_login);
    channel.ok_or_else(|| ErrorShape::invalid("web login provider is not available"))
}

fn login_start(cx: &Arc<Ctx>, call: &Call, params: WebLoginStartParams) -> Result<Reply, ErrorShape> {
    let config = cx.config.get();
    let at = cx.channels_at(&config);
    let channel = login_channel(&at)?;
    let account = named_account(channel, &at, params.account_id.as_deref())?;
    let within = Duration::from_millis(params.timeout_ms.unwrap_or(30_000).max(5000));
    let is_forced = params.force == Some(true);
    log_in_by(cx, call, move |cx, at| {
        cx.channels.stop(channel.info().id, Some(&account.id));
        channel.log_in(at, &account, is_forced, within)
    })
}

fn login_wait(cx: &Arc<Ctx>, call: &Call, params: WebLoginWaitParams) -> Result<Reply, ErrorShape> {
    let config = cx.config.get();
    let at = cx.channels_at(&config);
    let channel = login_channel(&at)?;
    let account = named_account(channel, &at, params.account_id.as_deref())?;
    let within = Duration::from_millis(params.timeout_ms.unwrap_or(120_000).max(1000));
    log_in_by(cx, call, move |cx, at| {
        let answer = channel.wait_for_login(at, &account, within);
        if answer["connected"] == true {
            chats::restart(cx, channel.info().id, Some(account.id.clone()));
        }
        answer
    })
}

fn log_in_by(
    cx: &Arc<Ctx>,
    call: &Call,
    act: impl FnOnce(&Arc<Ctx>, &Setting<'_>) -> Value + Send + 'static,
) -> Result<Reply, ErrorShape> {
    let (job_cx, ticket) = (cx.clone(), call.ticket(cx));
    let submitted = cx.jobs.submit(vec!["login".to_owned()], move || {
        let config = job_cx.config.get();
        let answer = act(&job_cx, &job_cx.channels_at(&config));
        ticket.finish(Ok(answer));
    });
    if let Err(error) = submitted {
        log::warn!(target: "gateway/channels", "login not started: {error}");
    }
    Ok(Reply::Later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_are_judged() {
        let poll = |question: &str, options: usize, selections_max| Poll {
            question: question.to_owned(),
            options: (0..options).map(|index| index.to_string()).collect(),
            selections_max,
            duration_hours: None,
        };
        for (poll, fault) in [
            (poll("q", 2, 1), None),
            (poll("", 2, 1), Some("Poll question is required")),
            (poll("q", 1, 1), Some("Poll requires at least 2 options")),
            (poll("q", 5, 1), Some("Poll supports at most 4 options")),
            (poll("q", 3, 4), Some("maxSelections cannot exceed option count")),
        ] {
            let expected = fault.map_or(Ok(()), |text| Err(text.to_owned()));
            assert_eq!(judge_poll(&poll, 4), expected);
        }
    }
}
