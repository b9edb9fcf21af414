//! Asking with credentials: a token is renewed or traded first, one that is refused is renewed once, a credential that is to
//! blame for a failure rests and the next one is tried (agent.md §14).
//!
//! The one path for all who ask a provider: turns, summaries, pictures, embeddings. Runs on the asker's thread. Not here:
//! which credentials there are (`credentials`), what a failure is worth (`failover`).

use super::{Credential, ProfileAt};
use crate::agent::auth_profiles::oauth::{self, RenewError};
use crate::agent::auth_profiles::{Store, cooldown};
use crate::agent::failover::{self, Reason};
use crate::agent::models;
use crate::agent::providers::ProviderError;
use crate::base::clock::{Clock, UnixMs};
use crate::base::rng::Rng;
use crate::base::secret::Secret;
use crate::config::types::AuthCooldowns;
use crate::net::fetch::Fetch;

/// A success is noted again after so long even if it says nothing new: people look when a credential was used.
const NOTED_MS: UnixMs = 60 * 60_000;

/// Asks with one credential after the other, until one answers or none is to blame for the failure; `ask` is told whether
/// another one follows.
///
/// # Errors
/// The last one's failure, or that somebody stopped it.
pub fn each<T>(
    credentials: &[Credential],
    fetch: &Fetch,
    clock: &dyn Clock,
    cooldowns: &AuthCooldowns,
    mut ask: impl FnMut(&Credential, bool) -> Result<T, ProviderError>,
) -> Result<T, ProviderError> {
    let mut last = ProviderError::failed("there is no credential");
    for (at, credential) in credentials.iter().enumerate() {
        let has_next = at + 1 < credentials.len();
        match renewing(credential, fetch, clock, |fresh| ask(fresh, has_next)) {
            Ok(answer) => {
                worked(credential, clock.now_ms());
                return Ok(answer);
            }
            Err(ProviderError::Cancelled) => return Err(ProviderError::Cancelled),
            Err(error) => last = error,
        }
        let ProviderError::Failed { status, message, .. } = &last else { break };
        let reason = judge(credential, *status, message, cooldowns, clock.now_ms());
        if matches!(reason, None | Some(Reason::Format)) {
            break;
        }
    }
    Err(last)
}

/// Tries again what fails for a moment only, so many times at most; a key at its limit only if no other follows.
///
/// # Errors
/// The last failure, or that somebody stopped it.
pub fn tries<T>(
    count_max: u32,
    has_next: bool,
    fetch: &Fetch,
    rng: &dyn Rng,
    mut ask: impl FnMut() -> Result<T, ProviderError>,
) -> Result<T, ProviderError> {
    let mut backoff = failover::backoff();
    loop {
        let error = match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let ProviderError::Failed { status, message, .. } = &error else { return Err(error) };
        let is_limited = failover::reason(*status, message) == Some(Reason::RateLimit);
        let is_left = has_next && is_limited;
        if is_left || backoff.attempts() + 1 >= count_max || !failover::is_transient(&error) {
            return Err(error);
        }
        if !fetch.pause(backoff.next_delay(rng)) {
            return Err(ProviderError::Cancelled);
        }
    }
}

/// Asks with one credential: its token is renewed if it has run out, and once more if it is refused, for a token may be
/// worth nothing before its time.
///
/// # Errors
/// Those of `ask`, and why a token cannot be renewed.
pub fn renewing<T>(
    credential: &Credential,
    fetch: &Fetch,
    clock: &dyn Clock,
    mut ask: impl FnMut(&Credential) -> Result<T, ProviderError>,
) -> Result<T, ProviderError> {
    let fresh = fresh(credential, fetch, clock)?;
    let first = ask(&fresh);
    if !matches!(&first, Err(ProviderError::Failed { status: Some(401 | 403), .. })) {
        return first;
    }
    match instead(credential, &fresh, fetch, clock) {
        Some(renewed) => ask(&renewed),
        None => first,
    }
}

/// Returns a credential that can be used now: its token is renewed if it has run out.
///
/// # Errors
/// When it cannot be renewed; another credential may do.
pub fn fresh(credential: &Credential, fetch: &Fetch, clock: &dyn Clock) -> Result<Credential, ProviderError> {
    match credential.profile.as_ref().filter(|profile| profile.has_expired) {
        Some(profile) => renew(credential, profile, None, fetch, clock),
        None => traded(credential, None, fetch, clock),
    }
}

/// Returns a credential instead of the one that was refused; `None` when there is nothing to renew, or the issuer refuses
/// too.
fn instead(credential: &Credential, refused: &Credential, fetch: &Fetch, clock: &dyn Clock) -> Option<Credential> {
    let key = refused.key.as_ref();
    if credential.trade.is_some() {
        return traded(credential, key, fetch, clock).ok().filter(|traded| traded.key.as_ref() != key);
    }
    let profile = credential.profile.as_ref().filter(|profile| profile.is_renewable)?;
    renew(credential, profile, key, fetch, clock).ok()
}

fn renew(
    credential: &Credential,
    profile: &ProfileAt,
    refused: Option<&Secret>,
    fetch: &Fetch,
    clock: &dyn Clock,
) -> Result<Credential, ProviderError> {
    match oauth::renew(&profile.dir, &profile.id, refused, fetch, clock) {
        Ok(key) => Ok(Credential { key: Some(key), ..credential.clone() }),
        Err(error) => Err(failure(error)),
    }
}

/// Returns the credential with what its key is traded for, where a provider wants that.
fn traded(
    credential: &Credential,
    refused: Option<&Secret>,
    fetch: &Fetch,
    clock: &dyn Clock,
) -> Result<Credential, ProviderError> {
    let (Some(trade), Some(key)) = (&credential.trade, &credential.key) else { return Ok(credential.clone()) };
    let token = trade.token(key, refused, fetch, clock).map_err(failure)?;
    Ok(Credential { key: Some(token), ..credential.clone() })
}

fn failure(error: RenewError) -> ProviderError {
    match error {
        RenewError::Cancelled => ProviderError::Cancelled,
        RenewError::Failed(message) => ProviderError::failed(message),
    }
}

/// Takes a failure: the credential rests if it is to blame. Returns why another credential or model may do better.
pub fn judge(
    credential: &Credential,
    status: Option<u16>,
    message: &str,
    hours: &AuthCooldowns,
    now_ms: UnixMs,
) -> Option<Reason> {
    let reason = failover::reason(status, message);
    if let (Some(profile), Some(reason)) = (&credential.profile, reason.filter(|reason| reason.is_of_key())) {
        note(profile, |store| {
            let mut stats = store.stats(&profile.id);
            cooldown::failed(&mut stats, reason, hours, &profile.provider, now_ms);
            store.set_stats(&profile.id, stats);
            true
        });
        log::warn!(target: "agent", "credential {} rests after a failure ({})", profile.id, reason.as_str());
    }
    reason
}

/// Notes on the disk that a credential worked, if that says something new.
pub fn worked(credential: &Credential, now_ms: UnixMs) {
    let Some(profile) = &credential.profile else { return };
    note(profile, |store| {
        let mut stats = store.stats(&profile.id);
        let last_used = cooldown::last_used(&stats);
        let ids = store.profiles().filter(|(_, it)| {
            it.get("provider").and_then(|it| it.as_str()).map(models::normalize_provider).as_ref()
                == Some(&profile.provider)
        });
        // The order of use is all that others read of the time.
        let is_latest =
            ids.into_iter().all(|(id, _)| id == profile.id || cooldown::last_used(&store.stats(id)) < last_used);
        let is_known = !cooldown::has_failed(&stats)
            && is_latest
            && store.last_good(&profile.provider) == Some(profile.id.as_str())
            && now_ms < last_used.saturating_add(NOTED_MS);
        if is_known {
            return false;
        }
        cooldown::succeeded(&mut stats, now_ms);
        store.set_stats(&profile.id, stats);
        store.set_last_good(&profile.provider, &profile.id);
        true
    });
}

/// Changes what is known of a credential; `change` returns whether there is something to write.
fn note(profile: &ProfileAt, change: impl FnOnce(&mut Store) -> bool) {
    // A credential that was removed meanwhile is not brought back.
    let updated =
        Store::update(&profile.dir, |store| (store.profile(&profile.id).is_some() && change(store)).then_some(()));
    if let Err(error) = updated {
        log::warn!(target: "agent", "cannot note the use of credential {}: {error}", profile.id);
    }
}
