//! cron.list, cron.status, cron.add, cron.update, cron.remove, cron.run, cron.runs.
//!
//! All but the reading of run logs pass one lane, one after the other; see `gateway::cron`.

use std::sync::Arc;

use serde_json::json;

use super::{Any, Method, decode, methods};
use crate::agent::session;
use crate::base::rng::uuid;
use crate::cron::jobs::{self, Refused};
use crate::cron::scheduler::Claimed;
use crate::cron::{input, runs};
use crate::gateway::cron;
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::protocol::cron::{
    CronAddParams, CronListParams, CronRemoveParams, CronRunMode, CronRunParams, CronRunsParams, CronStatusParams,
    CronUpdateParams,
};
use crate::protocol::error::ErrorShape;

pub(super) const METHODS: &[Method] = methods! {
    "cron.list" Read CronListParams list on cron_store;
    "cron.status" Read CronStatusParams status on cron_store;
    "cron.add" Admin Any add on cron_store;
    "cron.update" Admin Any update on cron_store;
    "cron.remove" Admin CronRemoveParams remove on cron_store;
    "cron.run" Admin CronRunParams run on cron_store;
    "cron.runs" Read CronRunsParams read_runs on disk;
};

fn list(cx: &Arc<Ctx>, _call: &Call, params: CronListParams) -> Result<Reply, ErrorShape> {
    let scheduler = cx.cron.store().get();
    Ok(Reply::Now(json!({"jobs": scheduler.list(params.include_disabled == Some(true))})))
}

fn status(cx: &Arc<Ctx>, _call: &Call, _params: CronStatusParams) -> Result<Reply, ErrorShape> {
    let store = cx.cron.store();
    let scheduler = store.get();
    Ok(Reply::Now(json!({
        "enabled": scheduler.is_enabled(),
        "storePath": store.path().display().to_string(),
        "jobs": scheduler.jobs().len(),
        // compat: null
        "nextWakeAtMs": scheduler.next_wake(),
    })))
}

fn add(cx: &Arc<Ctx>, _call: &Call, params: Any) -> Result<Reply, ErrorShape> {
    let params: CronAddParams = decode("cron.add", "CronAddParams", input::add(params, agent_id))?;
    let now_ms = cx.clock.now_ms();
    let store = cx.cron.store();
    let job = jobs::create(params, uuid(&*cx.rng), now_ms).map_err(refused)?;
    let (job, event) = store.change(|scheduler| scheduler.add(job, now_ms)).map_err(refused)?;
    cron::announce(cx, &store, &[event]);
    cron::arm(cx);
    Ok(Reply::Now(json!(job)))
}

fn update(cx: &Arc<Ctx>, _call: &Call, params: Any) -> Result<Reply, ErrorShape> {
    let params: CronUpdateParams = decode("cron.update", "CronUpdateParams", input::update(params, agent_id))?;
    let (id, patch) = params.into_parts();
    let store = cx.cron.store();
    let now_ms = cx.clock.now_ms();
    let (job, event) = store.change(|scheduler| scheduler.update(&id, patch, now_ms)).map_err(refused)?;
    cron::announce(cx, &store, &[event]);
    cron::arm(cx);
    Ok(Reply::Now(json!(job)))
}

fn remove(cx: &Arc<Ctx>, _call: &Call, params: CronRemoveParams) -> Result<Reply, ErrorShape> {
    let (id,) = params.into_parts();
    let store = cx.cron.store();
    let event = store.change(|scheduler| Ok(scheduler.remove(&id))).map_err(refused)?;
    let removed = event.is_some();
    cron::announce(cx, &store, event.as_slice());
    cron::arm(cx);
    Ok(Reply::Now(json!({"ok": true, "removed": removed})))
}

fn run(cx: &Arc<Ctx>, call: &Call, params: CronRunParams) -> Result<Reply, ErrorShape> {
    let (id, mode) = params.into_parts();
    let by_force = mode == Some(CronRunMode::Force);
    let not_run = |reason: &str| Ok(Reply::Now(json!({"ok": true, "ran": false, "reason": reason})));
    match cron::run_by_hand(cx, &id, by_force, || call.ticket(cx)).map_err(refused)? {
        Claimed::Yes => Ok(Reply::Later),
        Claimed::NotDue => not_run("not-due"),
        // The original would wait and run it once more; later versions of it answer so.
        Claimed::Running => not_run("already-running"),
    }
}

fn read_runs(cx: &Arc<Ctx>, _call: &Call, params: CronRunsParams) -> Result<Reply, ErrorShape> {
    let (id, limit) = params.into_parts();
    let entries = runs::read(cx.cron.store().path(), &id, limit.unwrap_or(runs::LIMIT_DEFAULT));
    Ok(Reply::Now(json!({"entries": entries})))
}

fn agent_id(given: &str) -> String {
    session::normalize_agent_id(given).into()
}

fn refused(Refused(text): Refused) -> ErrorShape {
    ErrorShape::unavailable(text)
}
