//! config.get, config.set, config.patch, config.apply, config.schema, update.run.
//!
//! Whoever writes names the version they have seen. `set` leaves the rest to the watcher of the file; `patch` and `apply`
//! restart; an update restarts only into a new program. Not here: what is written (`config::rewrite`, `config::write`), how
//! an update goes (`update`).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Method, methods};
use crate::base::clock::iso_utc;
use crate::config::load::Snapshot;
use crate::config::write::{self, EditError, Replaced};
use crate::config::{json5, keys, migrate, tree};
use crate::gateway::config_file;
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::lifecycle::Planned;
use crate::gateway::sentinel;
use crate::protocol::config::{
    ConfigApplyParams, ConfigGetParams, ConfigPatchParams, ConfigSchemaParams, ConfigSetParams, UpdateRunParams,
};
use crate::protocol::error::ErrorShape;
use crate::update::{self, Status};

// The file has a lane of its own, one after the other: what a client sends in a row happens in that order.
pub(super) const METHODS: &[Method] = methods! {
    "config.get" Admin ConfigGetParams get on config;
    "config.set" Admin ConfigSetParams set on config;
    "config.apply" Admin ConfigApplyParams apply on config;
    "config.patch" Admin ConfigPatchParams patch on config;
    "config.schema" Admin ConfigSchemaParams schema on disk;
    "update.run" Admin UpdateRunParams update on update;
};

/// The file as it is on disk now, valid or not; the configuration in force stays the last good one.
fn get(cx: &Arc<Ctx>, _call: &Call, _params: ConfigGetParams) -> Result<Reply, ErrorShape> {
    Ok(Reply::Text(cx.config_file.shown(&cx.paths, cx.clock.now_ms()).as_ref().to_owned()))
}

fn set(cx: &Arc<Ctx>, _call: &Call, params: ConfigSetParams) -> Result<Reply, ErrorShape> {
    let replaced = replace(cx, params.base_hash.as_deref(), |_| parse(&params.raw))?;
    Ok(Reply::Now(json!({"ok": true, "path": replaced.snapshot.path, "config": replaced.config})))
}

fn apply(cx: &Arc<Ctx>, call: &Call, params: ConfigApplyParams) -> Result<Reply, ErrorShape> {
    let ConfigApplyParams { raw, base_hash, session_key, note, restart_delay_ms } = params;
    let replaced = replace(cx, base_hash.as_deref(), |_| parse(&raw))?;
    Ok(restart_with(cx, call, replaced, "config.apply", Wish { session_key, note, restart_delay_ms }))
}

fn patch(cx: &Arc<Ctx>, call: &Call, params: ConfigPatchParams) -> Result<Reply, ErrorShape> {
    let ConfigPatchParams { raw, base_hash, session_key, note, restart_delay_ms } = params;
    let merge = |present: &Snapshot| {
        if !present.valid {
            return Err("invalid config; fix before patching".to_owned());
        }
        let patch = parse(&raw)?;
        if !patch.is_object() {
            return Err("config.patch raw must be an object".to_owned());
        }
        let mut wanted = present.config.clone();
        tree::merge_patch(&mut wanted, patch);
        for change in migrate::migrate(&mut wanted) {
            log::info!(target: "gateway", "config.patch: {change}");
        }
        Ok(wanted)
    };
    let replaced = replace(cx, base_hash.as_deref(), merge)?;
    Ok(restart_with(cx, call, replaced, "config.patch", Wish { session_key, note, restart_delay_ms }))
}

fn schema(cx: &Arc<Ctx>, _call: &Call, _params: ConfigSchemaParams) -> Result<Reply, ErrorShape> {
    Ok(Reply::Now(json!({
        "schema": keys::schema::schema(),
        "uiHints": keys::hints::hints(),
        "version": crate::gateway::version(),
        "generatedAt": iso_utc(cx.clock.now_ms()),
    })))
}

/// The original restarts whatever came of it, and leaves a note for that; here only a new program is worth it.
fn update(cx: &Arc<Ctx>, call: &Call, params: UpdateRunParams) -> Result<Reply, ErrorShape> {
    let program = update::Program::find()
        .map_err(|error| ErrorShape::exception(format!("cannot find this program's file: {error}")))?;
    let step_timeout = params.timeout_ms.map_or(update::STEP_TIMEOUT, |ms| Duration::from_millis(ms.max(1000)));
    let updated = update::run(&program, &cx.paths.home, step_timeout, cx.lifecycle.stopping());
    let status = updated.status;
    let (key, note) = (params.session_key.as_deref(), params.note.as_deref());
    let payload = sentinel::payload(cx, "update", status.as_str(), key, note, updated.stats());
    let restart =
        (status == Status::Ok).then(|| Planned::new(params.restart_delay_ms, "update.run", Some(program.file)));
    let sentinel = match restart {
        Some(_) => sentinel::leave(&cx.paths, payload),
        None => json!({"path": null, "payload": payload}),
    };
    let answer = json!({
        "ok": true, "result": updated.result(), "restart": restart.as_ref().map(Planned::answer), "sentinel": sentinel,
    });
    call.ticket(cx).finish(Ok(answer));
    if let Some(restart) = restart {
        cx.lifecycle.restart(restart);
    }
    Ok(Reply::Later)
}

fn parse(raw: &str) -> Result<Value, String> {
    json5::parse(raw).map_err(|error| error.message)
}

fn replace(
    cx: &Ctx,
    base_hash: Option<&str>,
    wanted: impl FnOnce(&Snapshot) -> Result<Value, String>,
) -> Result<Replaced, ErrorShape> {
    write::replace(&cx.paths, base_hash, wanted).map_err(|error| match error {
        EditError::Change(text) => ErrorShape::invalid(text),
        EditError::Invalid(issues) => {
            ErrorShape::invalid("invalid config").with_details(json!({"issues": config_file::issues(&issues)}))
        }
        EditError::Io(error) => {
            ErrorShape::exception(format!("cannot write {}: {error}", cx.paths.config_file.display()))
        }
    })
}

/// What a client says about the restart.
struct Wish {
    session_key: Option<String>,
    note: Option<String>,
    restart_delay_ms: Option<u64>,
}

/// Leaves a note for the next start, answers, and only then restarts.
fn restart_with(cx: &Ctx, call: &Call, replaced: Replaced, reason: &'static str, wish: Wish) -> Reply {
    let path = &replaced.snapshot.path;
    let stats = json!({"mode": reason, "root": path});
    let payload = sentinel::payload(cx, "config-apply", "ok", wish.session_key.as_deref(), wish.note.as_deref(), stats);
    let sentinel = sentinel::leave(&cx.paths, payload);
    let restart = Planned::new(wish.restart_delay_ms, reason, None);
    let answer = json!({
        "ok": true, "path": path, "config": replaced.config, "restart": restart.answer(), "sentinel": sentinel,
    });
    call.ticket(cx).finish(Ok(answer));
    cx.lifecycle.restart(restart);
    Reply::Later
}
