//! `/hooks/…`: other programs wake the agent, or give it something to do (http.md §5).
//!
//! Reads the request on a frame worker; a transform, and what is written down before the answer, on a job's thread. Not
//! here: what a hook's run does (`gateway::hooks`).

mod mapping;
mod template;
mod transform;

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use self::template::Seen;
use self::transform::Wish;
use super::exchange::{Exchange, Request};
use super::{BodyRule, Route, Serve, later, nothing_at_once, reply};
use crate::base::clock::iso_utc;
use crate::base::rng::uuid;
use crate::base::secret::Secret;
use crate::channels;
use crate::config::types::Config;
use crate::config::types::http::{HookMapping, Hooks};
use crate::gateway::ctx::Ctx;
use crate::gateway::hooks::{self, AgentHook};
use crate::net::http::{RequestHead, Response};

const BODY_BYTES_DEFAULT: usize = 256 * 1024;

pub(super) const ROUTE: Route = Route {
    claims: |config, path| below(&config.hooks, path).is_some(),
    glance: nothing_at_once,
    serve: Serve::Later(serve),
    body: BodyRule {
        bytes_max: |config| config.hooks.max_body_bytes.unwrap_or(BODY_BYTES_DEFAULT),
        may_send: |cx, head| shows_token(&cx.config.get().hooks, head),
        too_large: || refused(413, "payload too large"),
    },
};

/// Returns the path below the hooks' own.
fn below<'a>(hooks: &Hooks, path: &'a str) -> Option<&'a str> {
    let base = format!("/{}", hooks.path.as_deref().unwrap_or("/hooks").trim().trim_matches('/'));
    let rest = path.strip_prefix(&base).filter(|_| base.len() > 1)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

fn refused(status: u16, error: &str) -> Response {
    Response::json(status, &json!({"ok": false, "error": error}))
}

fn not_found() -> Response {
    Response::text(404, "Not Found")
}

/// The first place that holds a token decides.
fn shows_token(hooks: &Hooks, head: &RequestHead) -> bool {
    let Some(token) = hooks.token.as_deref().map(str::trim).filter(|token| !token.is_empty()) else { return false };
    let header = head.header("x-clawdbot-token").map(str::trim).filter(|given| !given.is_empty());
    let query = || reply::query(head).get("token").and_then(Value::as_str).map(|given| given.trim().to_owned());
    let given = reply::bearer(head).or(header).map(str::to_owned).or_else(query);
    given.is_some_and(|given| Secret::new(token).matches(&given))
}

fn serve(cx: &Arc<Ctx>, request: Request, exchange: Exchange) {
    let config = cx.config.get();
    let (body, name) = match read(&config.hooks, &request) {
        Ok(read) => read,
        Err(response) => return exchange.respond(&response),
    };
    if matches!(name.as_str(), "wake" | "agent") {
        let mut action = reply::fields(body);
        action.insert("kind".to_owned(), name.into());
        return act(cx, &action, exchange, "");
    }
    mapped(cx, &config, &request, body, &name, exchange);
}

/// Judges a request; returns its body and the path below the hooks' own.
fn read(hooks: &Hooks, request: &Request) -> Result<(Value, String), Response> {
    if hooks.enabled != Some(true) {
        return Err(not_found());
    }
    if !shows_token(hooks, request.head()) {
        return Err(Response::text(401, "Unauthorized"));
    }
    reply::require_post(request)?;
    let name = below(hooks, &request.path).unwrap_or_default();
    if name.is_empty() {
        return Err(not_found());
    }
    let body = reply::json_body(&request.body).map_err(|error| refused(400, &error))?;
    // compat: an array is an object without fields; what is neither is an empty one.
    let body = if body.is_object() || body.is_array() { body } else { json!({}) };
    Ok((body, name.to_owned()))
}

fn mapped(cx: &Arc<Ctx>, config: &Config, request: &Request, body: Value, name: &str, exchange: Exchange) {
    let (headers, query) = (header_map(request.head()), reply::query(request.head()));
    let now = iso_utc(cx.clock.now_ms());
    let seen = Seen { path: name, headers: &headers, query: &query, payload: &body, now: &now };
    let Some(mapping) = mapping::find(&config.hooks, &seen) else { return exchange.respond(&not_found()) };
    let action = mapping::action(&mapping, &seen);
    if mapping.transform.is_none() {
        return act(cx, &action, exchange, "hook mapping requires ");
    }
    let (job_cx, name) = (cx.clone(), name.to_owned());
    let target = request.head().target.clone();
    let job = move || {
        let seen = Seen { path: &name, headers: &headers, query: &query, payload: &body, now: &now };
        transformed(&job_cx, &mapping, action, &seen, &target, exchange);
    };
    later(cx, "a hook was not carried out", job);
}

fn transformed(
    cx: &Arc<Ctx>,
    mapping: &HookMapping,
    mut action: Map<String, Value>,
    seen: &Seen<'_>,
    target: &str,
    exchange: Exchange,
) {
    let config = cx.config.get();
    let Some(transform) = &mapping.transform else { return };
    let state = cx.paths.config_file.parent().unwrap_or(Path::new("/")).to_owned();
    let place = match config.hooks.transforms_dir.as_deref().map(str::trim).filter(|place| !place.is_empty()) {
        Some(place) if place.starts_with('~') => cx.paths.expand(place),
        Some(place) => state.join(place),
        None => state,
    };
    let module = place.join(&transform.module);
    let cancel = cx.lifecycle.stopping();
    match transform::run(&module, transform.export.as_deref(), seen, target, &cx.paths.home, cancel) {
        Ok(Wish::Skip) => exchange.respond(&Response { headers: Vec::new(), ..Response::text(204, "") }),
        Ok(wish) => {
            if let Wish::Over(over) = wish {
                mapping::overlay(&mut action, &over);
            }
            act(cx, &action, exchange, "hook mapping requires ");
        }
        Err(error) => {
            let id = mapping.id.as_deref().unwrap_or("mapping");
            log::warn!(target: "gateway/hooks", "{id}: the transform {} failed: {error}", module.display());
            exchange.respond(&refused(500, "hook mapping failed"));
        }
    }
}

/// Carries an action out and answers. `lacking` begins the words for what a mapping lacks.
fn act(cx: &Arc<Ctx>, action: &Map<String, Value>, exchange: Exchange, lacking: &str) {
    let lacks = |what: &str| match lacking {
        "" => refused(400, &format!("{what} required")),
        lacking => refused(400, &format!("{lacking}{what}")),
    };
    if action.get("kind").and_then(Value::as_str) == Some("wake") {
        let Some(text) = reply::text(action.get("text")) else { return exchange.respond(&lacks("text")) };
        let mode = wake_mode(action.get("mode"));
        hooks::wake(cx, text, mode == "now");
        return exchange.respond(&Response::json(200, &json!({"ok": true, "mode": mode})));
    }
    match agent_hook(cx, action) {
        Ok(hook) => {
            // compat: a receipt, not the id that the run's events carry.
            let receipt = json!({"ok": true, "runId": uuid(&*cx.rng)});
            hooks::agent(cx, hook, Box::new(move || exchange.respond(&Response::json(202, &receipt))));
        }
        Err(error) if error == "message required" => exchange.respond(&lacks("message")),
        Err(error) => exchange.respond(&refused(400, &error)),
    }
}

fn wake_mode(value: Option<&Value>) -> &'static str {
    if value.and_then(Value::as_str) == Some("next-heartbeat") { "next-heartbeat" } else { "now" }
}

fn agent_hook(cx: &Arc<Ctx>, fields: &Map<String, Value>) -> Result<AgentHook, String> {
    let text = |name: &str| reply::text(fields.get(name)).map(str::to_owned);
    let message = text("message").ok_or("message required")?;
    let channel = channel(cx, fields.get("channel"))?;
    let model = match fields.get("model") {
        None => None,
        value => Some(reply::text(value).ok_or("model required")?.to_owned()),
    };
    let seconds = fields.get("timeoutSeconds").and_then(Value::as_f64).filter(|seconds| *seconds > 0.0);
    Ok(AgentHook {
        message,
        name: text("name").unwrap_or_else(|| "Hook".to_owned()),
        wakes: wake_mode(fields.get("wakeMode")) == "now",
        session_key: text("sessionKey").unwrap_or_else(|| format!("hook:{}", uuid(&*cx.rng))),
        delivers: fields.get("deliver") != Some(&Value::Bool(false)),
        channel,
        to: text("to"),
        model,
        thinking: text("thinking"),
        timeout_seconds: seconds.map(|seconds| (seconds.floor() as u64).max(1)),
    })
}

/// Returns the channel that is meant; `None` for the last one.
fn channel(cx: &Ctx, given: Option<&Value>) -> Result<Option<String>, String> {
    let config = cx.config.get();
    let active: Vec<&str> =
        channels::active(&cx.channels_at(&config)).iter().map(|channel| channel.info().id).collect();
    let unknown = || {
        let list: Vec<&str> = std::iter::once("last").chain(active.iter().copied()).collect();
        format!("channel must be {}", list.join("|"))
    };
    let Some(given) = given else { return Ok(None) };
    let given = given.as_str().map(str::trim).ok_or_else(unknown)?;
    if given.is_empty() || given.eq_ignore_ascii_case("last") {
        return Ok(None);
    }
    let id = channels::normalize(given).filter(|id| active.contains(id)).ok_or_else(unknown)?;
    Ok(Some(id.to_owned()))
}

fn header_map(head: &RequestHead) -> Map<String, Value> {
    let mut all = Map::new();
    for (name, value) in &head.headers {
        let joined = match all.get(name).and_then(Value::as_str) {
            Some(before) => format!("{before}, {value}"),
            None => value.clone(),
        };
        all.insert(name.clone(), joined.into());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_the_hooks_own() {
        let at = |base: &str, path: &str| {
            let hooks = Hooks { path: Some(base.to_owned()), ..Hooks::default() };
            below(&hooks, path).map(str::to_owned)
        };
        assert_eq!(at("/hooks", "/hooks/wake"), Some("wake".into()));
        assert_eq!(at("hooks/", "/hooks"), Some(String::new()));
        assert_eq!(at("/hooks", "/hooks/"), Some(String::new()));
        assert_eq!(at("/hooks", "/hooksx"), None);
        assert_eq!(at("/", "/anything"), None);
        assert_eq!(at("/a/b", "/a/b/c/d"), Some("c/d".into()));
    }
}
