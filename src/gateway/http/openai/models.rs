//! `GET /v1/models`: the agents, as models of OpenAI's APIs.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::exchange::Request;
use super::super::{NO_BODY, Route, Serve, nothing_at_once, reply};
use crate::agent::session;
use crate::config::types::Config;
use crate::gateway::ctx::Ctx;
use crate::net::http::Response;

const PATH: &str = "/v1/models";

pub(in super::super) const ROUTE: Route = Route {
    claims: |_, path| path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    glance: nothing_at_once,
    serve: Serve::Now(serve),
    body: NO_BODY,
};

fn serve(cx: &Arc<Ctx>, request: &Request) -> Response {
    answer(cx, request).unwrap_or_else(|response| response)
}

fn answer(cx: &Arc<Ctx>, request: &Request) -> Result<Response, Response> {
    let config = cx.config.get();
    let endpoints = &config.gateway.http.endpoints;
    if endpoints.chat_completions.enabled != Some(true) && endpoints.responses.enabled != Some(true) {
        return Err(reply::off("chatCompletions"));
    }
    if !request.head().is_asking() {
        return Err(reply::not_allowed("GET, HEAD"));
    }
    reply::require_secret(cx, request)?;
    let created = cx.clock.now_ms() / 1000;
    let model = |id: &str| json!({"id": id, "object": "model", "created": created, "owned_by": "clawdbot"});
    let ids = ids(&config);
    match request.path[PATH.len()..].trim_matches('/') {
        "" => {
            let data: Vec<Value> = ids.iter().map(|id| model(id)).collect();
            Ok(Response::json(200, &json!({"object": "list", "data": data})))
        }
        id if ids.iter().any(|it| it == id) => Ok(Response::json(200, &model(id))),
        id => Err(reply::openai_error(
            404,
            "not_found",
            format!("The model {id} does not exist; GET /v1/models lists them"),
        )),
    }
}

/// Returns the names under which agents can be asked.
fn ids(config: &Config) -> Vec<String> {
    let agents = session::agent_ids(config);
    std::iter::once("clawdbot".to_owned()).chain(agents.iter().map(|agent| format!("clawdbot:{agent}"))).collect()
}
