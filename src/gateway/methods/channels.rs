//! channels.status, channels.logout, send, poll, web.login.*.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Method, methods};
use crate::agent::session;
use crate::channels::channel::{Account, Channel, Outbound, Poll, SendError, Sent, Setting};
use crate::channels::outbox::{Delivery, Done, PutError};
use crate::channels::{self, normalize};
use crate::config::load;
use crate::gateway::ctx::Ctx;
use crate::gateway::dedupe::Flight;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::ticket::Outcome;
use crate::protocol::channels::{
    ChannelsLogoutParams, ChannelsStatusParams, PollParams, SendParams, WebLoginStartParams, WebLoginWaitParams,
};
use crate::protocol::error::ErrorShape;

pub(super) const METHODS: &[Method] = methods! {
    "channels.status" Read ChannelsStatusParams status on disk;
    "channels.logout" Admin ChannelsLogoutParams log_out on disk;
    "send" Write SendParams send;
    "poll" Admin PollParams poll, hidden;
    "web.login.start" Admin WebLoginStartParams login_start;
    "web.login.wait" Admin WebLoginWaitParams login_wait;
};

fn status(cx: &Arc<Ctx>, _call: &Call, _params: ChannelsStatusParams) -> Result<Reply, ErrorShape> {
    let config = cx.config.get();
    let at = cx.channels_at(&config);
    let active = channels::active(&at);
    let by_id = |value: &dyn Fn(&dyn Channel) -> Value| -> Map<String, Value> {
        active.iter().map(|channel| (channel.info().id.to_owned(), value(*channel))).collect()
    };
    let meta = |channel: &dyn Channel| {
        let info = channel.info();
        json!({"id": info.id, "label": info.label, "detailLabel": info.detail_label, "systemImage": info.system_image})
    };
    let accounts = |channel: &dyn Channel| -> Value {
        channel.accounts(&at).iter().map(|account| channel.snapshot(&at, account)).collect()
    };
    Ok(Reply::Now(json!({
        "ts": at.now_ms,
        "channelOrder": active.iter().map(|channel| channel.info().id).collect::<Vec<_>>(),
        "channelLabels": by_id(&|channel| channel.info().label.into()),
        "channelDetailLabels": by_id(&|channel| channel.info().detail_label.into()),
        "channelSystemImages": by_id(&|channel| channel.info().system_image.into()),
        "channelMeta": active.iter().map(|channel| meta(*channel)).collect::<Vec<_>>(),
        "channels": by_id(&|channel| channel.summary(&at, &channel.default_account(&at))),
        "channelAccounts": by_id(&accounts),
        "channelDefaultAccountId": by_id(&|channel| channel.default_account(&at).id.into()),
    })))
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
    let done = channel.log_out(&at, &account).map_err(ErrorShape::exception)?;
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
    to: String,
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
        Ok(Self { channel, account, to })
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
    let message = Outbound {
        account: route.account.id,
        to: route.to,
        text: params.message.trim().to_owned(),
        media: media.filter(|url| !url.trim().is_empty()).collect(),
        is_gif: params.gif_playback == Some(true),
    };
    let run = params.idempotency_key.0;
    let session = params.session_key.map(|key| key.trim().to_lowercase()).filter(|key| !key.is_empty());
    let content = json!({"text": message.text, "media": message.media});
    let delivery = delivery(cx, &key, route.channel, &message.account, &message.to, content);
    deliver(cx, call, delivery, run, route.channel, move |cx, at| {
        if message.text.is_empty() && message.media.is_empty() {
            return Err(SendError::Failed("No delivery result".to_owned()));
        }
        let sent = route.channel.send(at, &message)?;
        if let Some(session) = session {
            mirror(cx, &session, &message.text);
        }
        Ok(sent)
    })
}

/// Keeps what was sent in the conversation it belongs to.
fn mirror(cx: &Ctx, session: &str, text: &str) {
    let key = session::canonical_key(&cx.config.get(), session, None);
    if let Err(error) = cx.sessions.append_injected(&key, text) {
        log::warn!(target: "gateway/channels", "a sent message is missing in the transcript of {key}: {error}");
    }
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
    let can_poll = |channel: &dyn Channel| channel.poll_options_max().is_some();
    let route = Route::find(&at, "poll channel", channel, params.account_id.as_deref(), params.to.trim(), can_poll)?;
    let trimmed = params.options.iter().map(|option| option.trim().to_owned()).filter(|option| !option.is_empty());
    let poll = Poll {
        account: route.account.id,
        to: route.to,
        question: params.question.trim().to_owned(),
        options: trimmed.collect(),
        selections_max: params.max_selections.map_or(1, |max| usize::try_from(max).unwrap_or(usize::MAX)),
    };
    let options_max = route.channel.poll_options_max().unwrap_or(0);
    let content = json!({"question": poll.question, "options": poll.options});
    let delivery = delivery(cx, &key, route.channel, &poll.account, &poll.to, content);
    deliver(cx, call, delivery, params.idempotency_key.0, route.channel, move |_, at| {
        judge_poll(&poll, options_max)?;
        route.channel.poll(at, &poll)
    })
}

fn judge_poll(poll: &Poll, options_max: usize) -> Result<(), SendError> {
    let fault = match poll.options.len() {
        _ if poll.question.is_empty() => "Poll question is required".to_owned(),
        0 | 1 => "Poll requires at least 2 options".to_owned(),
        count if count > options_max => format!("Poll supports at most {options_max} options"),
        count if poll.selections_max > count => "maxSelections cannot exceed option count".to_owned(),
        _ => return Ok(()),
    };
    Err(SendError::Failed(fault))
}

/// Returns what the outbox keeps of a delivery that a client asked for; it waits for the end, so nothing is promised.
fn delivery(cx: &Ctx, key: &str, channel: &dyn Channel, account: &str, to: &str, content: Value) -> Delivery {
    Delivery {
        id: key.to_owned(),
        channel: channel.info().id.to_owned(),
        account: account.to_owned(),
        to: to.to_owned(),
        content,
        is_promised: false,
        asked_at: cx.clock.now_ms(),
        failures: 0,
        due_at: 0,
        is_interrupted: false,
    }
}

/// Runs `act` once for a delivery, as a job; whoever asks with the same key meanwhile gets the same answer, and also after
/// a restart.
fn deliver(
    cx: &Arc<Ctx>,
    call: &Call,
    delivery: Delivery,
    run: String,
    channel: &'static dyn Channel,
    act: impl FnOnce(&Ctx, &Setting<'_>) -> Result<Sent, SendError> + Send + 'static,
) -> Result<Reply, ErrorShape> {
    let Some(flight) = Flight::board(cx, delivery.id.clone(), call.ticket(cx)) else { return Ok(Reply::Later) };
    let job_cx = cx.clone();
    // A job that is refused drops the flight, which answers everybody.
    let submitted = cx.jobs.submit(vec!["side".to_owned()], move || {
        let config = job_cx.config.get();
        let id = delivery.id.clone();
        let result = match job_cx.outbox.put(delivery) {
            Ok(()) if job_cx.outbox.begin(&id) => act(&job_cx, &job_cx.channels_at(&config)),
            Ok(()) => Err(SendError::Failed("the delivery could not be written down; see the log".to_owned())),
            Err(PutError::Done(done)) => return flight.land(answer_of(done)),
            Err(error) => return flight.land(Err(ErrorShape::exception(error.to_string())).into()),
        };
        let result = result.map(|sent| {
            let mut payload = Map::from_iter([("runId".to_owned(), run.into())]);
            payload.insert("messageId".to_owned(), sent.get("messageId").cloned().unwrap_or(Value::Null));
            payload.insert("channel".to_owned(), channel.info().id.into());
            payload.extend(sent);
            Value::Object(payload)
        });
        let kept = result.clone().map_err(|(SendError::NotLinked(text) | SendError::Failed(text))| text);
        job_cx.outbox.finish(&id, kept, job_cx.clock.now_ms());
        flight.land(match result {
            Ok(payload) => Outcome::Ok(payload),
            Err(SendError::NotLinked(text)) => Err(ErrorShape::not_linked(format!("Error: {text}"))).into(),
            Err(SendError::Failed(text)) => Err(ErrorShape::exception(text)).into(),
        });
    });
    if let Err(error) = submitted {
        log::warn!(target: "gateway/channels", "send not started: {error}");
    }
    Ok(Reply::Later)
}

fn answer_of(done: Done) -> Outcome {
    done.result.map_err(ErrorShape::exception).into()
}

/// Makes known again what was sent before this start, and what was cut off: nobody knows whether that arrived, so it is
/// not sent again under the same key.
pub fn restore(cx: &Ctx) {
    for delivery in cx.outbox.waiting().into_iter().filter(|it| !it.is_promised) {
        log::warn!(target: "gateway/channels", "a message by {} was cut off by a stop of the gateway", delivery.channel);
        let text = "the gateway stopped while this was being sent; it may have arrived. Look before you send it again";
        cx.outbox.finish(&delivery.id, Err(text.to_owned()), cx.clock.now_ms());
    }
    for done in cx.outbox.recent() {
        let (id, at) = (done.id.clone(), done.at);
        cx.dedupe.put(&id, answer_of(done), at);
    }
}

/// Returns the channel that is linked by scanning a code.
fn login_channel(at: &Setting<'_>) -> Result<&'static dyn Channel, ErrorShape> {
    let channel = channels::active(at).into_iter().find(|channel| channel.has_web_login());
    channel.ok_or_else(|| ErrorShape::invalid("web login provider is not available"))
}

fn login_start(cx: &Arc<Ctx>, _call: &Call, _params: WebLoginStartParams) -> Result<Reply, ErrorShape> {
    let config = cx.config.get();
    let label = login_channel(&cx.channels_at(&config))?.info().label;
    let reason = channels::channel::NOT_BUILT_IN;
    Ok(Reply::Now(json!({"message": format!("Failed to start {label} login: {label} is {reason}")})))
}

fn login_wait(cx: &Arc<Ctx>, _call: &Call, _params: WebLoginWaitParams) -> Result<Reply, ErrorShape> {
    let config = cx.config.get();
    let label = login_channel(&cx.channels_at(&config))?.info().label;
    Ok(Reply::Now(json!({"connected": false, "message": format!("No active {label} login in progress.")})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_are_judged() {
        let poll = |question: &str, options: usize, selections_max| Poll {
            account: String::new(),
            to: String::new(),
            question: question.to_owned(),
            options: (0..options).map(|index| index.to_string()).collect(),
            selections_max,
        };
        for (poll, fault) in [
            (poll("q", 2, 1), None),
            (poll("", 2, 1), Some("Poll question is required")),
            (poll("q", 1, 1), Some("Poll requires at least 2 options")),
            (poll("q", 5, 1), Some("Poll supports at most 4 options")),
            (poll("q", 3, 4), Some("maxSelections cannot exceed option count")),
        ] {
            let expected = fault.map_or(Ok(()), |text| Err(SendError::Failed(text.to_owned())));
            assert_eq!(judge_poll(&poll, 4), expected);
        }
    }
}
