//! PLACEHOLDER
use super::invoke::{Refusal, Shared};
use serde_json::Value;
pub(super) fn get(_: &Shared, _: &str) -> Result<Value, Refusal> {
    Err(Refusal::unavailable("x"))
}
pub(super) fn set(_: &Shared, _: &str) -> Result<Value, Refusal> {
    Err(Refusal::unavailable("x"))
}
