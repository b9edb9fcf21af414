//! What a chat shows of a run before there is a reply: typing, an acknowledgement, a draft.
//!
//! Called on the run's thread, so nothing here may wait for a network. No channel shows any of it yet.

use super::ctx::Ctx;
use crate::agent::speaker::Speaker;
use crate::base::route::Route;

/// A run for this message begins.
pub fn begun(_cx: &Ctx, _route: &Route, _speaker: Option<&Speaker>) {}

/// The run is at work: a tool starts, or the model speaks.
pub fn working(_cx: &Ctx, _route: &Route) {}

/// The answer so far.
pub fn draft(_cx: &Ctx, _route: &Route, _text: &str) {}

/// The run is over and its replies are in the outbox.
pub fn done(_cx: &Ctx, _route: &Route) {}
