//! PLACEHOLDER
use super::invoke::Shared;
use super::run::{Job, Params};
pub(super) struct Denial {
    pub(super) reason: &'static str,
    pub(super) message: String,
}
pub(super) fn judge(_: &Shared, _: &Job, params: &Params) -> Result<(), Denial> {
    if params.approved == Some(true) {
        return Ok(());
    }
    Err(Denial { reason: "approval-required", message: "SYSTEM_RUN_DENIED: approval required".to_owned() })
}
