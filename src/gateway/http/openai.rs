//! OpenAI's APIs, answered by agents: `/v1/chat/completions`, `/v1/responses`, `/v1/models` (http.md §2–3). The feature
//! `http-api` brings them.
//!
//! Requests are read on a frame worker, large ones and those with media on a job's thread; a run has its own. Not here:
//! `/tools/invoke`, which the same feature brings.

mod completions;
mod conversation;
mod media;
mod models;
mod pdf;
mod responses;
mod sse;
mod turn;

pub(super) use self::completions::ROUTE as COMPLETIONS;
pub(super) use self::models::ROUTE as MODELS;
pub(super) use self::responses::ROUTE as RESPONSES;
