//! Addresses of APIs that this gateway, or this build of it, does not have.

use super::{NO_BODY, Route, Serve, nothing_at_once, reply};

/// The page must not answer programs that look for an API.
pub(super) const ROUTE: Route = Route {
    claims: |_, path| path == "/v1" || path.starts_with("/v1/") || path == "/tools/invoke",
    glance: nothing_at_once,
    serve: Serve::Now(|_, request| reply::openai_error(404, "not_found", format!("There is no {} here", request.path))),
    body: NO_BODY,
};
