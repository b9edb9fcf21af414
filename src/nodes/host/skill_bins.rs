//! The programs that the gateway's skills use, for policies that allow those by themselves.
//!
//! Asked from the gateway when needed and kept for a while; without an answer the last list counts.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use super::outgoing::Outgoing;
use crate::base::clock::{Clock as _, SystemClock};
use crate::client::link::Post;

/// How long an answer counts.
const FRESH_MAX: Duration = Duration::from_secs(90);
/// How long the gateway may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct SkillBins {
    known: Mutex<(BTreeSet<String>, Option<Instant>)>,
}

impl SkillBins {
    /// Returns the names; may wait for the gateway.
    pub(super) fn current(&self, post: &Post<Outgoing>) -> BTreeSet<String> {
        let (bins, asked_at) = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if asked_at.is_some_and(|at| SystemClock.now().saturating_duration_since(at) < FRESH_MAX) {
            return bins;
        }
        let (reply, answer) = bounded(1);
        post.send(Outgoing::Ask { method: "skills.bins", reply });
        let Ok(payload) = answer.recv_timeout(ANSWER_WAIT) else { return bins };
        let names = payload["bins"].as_array().into_iter().flatten();
        let bins: BTreeSet<String> = names.filter_map(|name| name.as_str()).map(str::to_owned).collect();
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = (bins.clone(), Some(SystemClock.now()));
        bins
    }
}
