//! Requests to speech providers, one at a time per job, each with its own deadline; a stop ends all of them.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::request::Request;
use crate::base::cancel::{CancelReason, CancelToken};
use crate::net::fetch::{Fetch, FetchError};

/// Largest answer that is kept, in bytes: some twenty minutes of speech.
const AUDIO_BYTES_MAX: u64 = 25 * 1024 * 1024;

#[derive(Default)]
struct State {
    running: HashMap<u64, CancelToken>,
    next: u64,
    closed: Option<CancelReason>,
}

/// The attempts under way.
#[derive(Default)]
pub(super) struct Attempts(Mutex<State>);

impl Attempts {
    /// Makes the request and returns the audio; waits until `deadline`.
    ///
    /// # Errors
    /// A text for people, without the provider's name.
    pub(super) fn make(&self, request: &Request, deadline: Instant) -> Result<Vec<u8>, String> {
        let token = CancelToken::new();
        token.set_deadline(deadline);
        let number = {
            let mut state = self.lock();
            if state.closed.is_some() {
                return Err("the gateway is stopping".to_owned());
            }
            state.next += 1;
            let number = state.next;
            state.running.insert(number, token.clone());
            number
        };
        let result = fetch(request, &token);
        self.lock().running.remove(&number);
        result
    }

    /// Cancels what runs and refuses what comes later.
    pub(super) fn close(&self, reason: CancelReason) {
        let running = {
            let mut state = self.lock();
            state.closed = Some(reason);
            std::mem::take(&mut state.running)
        };
        running.values().for_each(|token| token.cancel(reason));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fetch(request: &Request, token: &CancelToken) -> Result<Vec<u8>, String> {
    let fetch = Fetch::new(token);
    let word = |error: FetchError| match error {
        FetchError::Cancelled if token.reason() == Some(CancelReason::TimedOut) => "request timed out".to_owned(),
        FetchError::Cancelled => "the gateway is stopping".to_owned(),
        FetchError::Failed(text) => text,
    };
    let answer = fetch.post_json(&request.url, &request.headers, &request.body).map_err(word)?;
    if !(200..300).contains(&answer.status) {
        return Err(format!("{} ({})", request.refusal, answer.status));
    }
    let mut audio = Vec::new();
    let read = answer.body.take(AUDIO_BYTES_MAX + 1).read_to_end(&mut audio);
    read.map_err(|error| word(fetch.read_failure(&error)))?;
    match audio.len() as u64 {
        0 => Err("the answer holds no audio".to_owned()),
        len if len > AUDIO_BYTES_MAX => Err(format!("the answer is larger than {AUDIO_BYTES_MAX} bytes")),
        _ => Ok(audio),
    }
}
