//! In which order the credentials of a provider are tried (agent.md §14.2).
//!
//! Pure functions. Not here: the file (`store`), how long one rests (`cooldown`).

use super::cooldown::{last_used, resting_until};
use super::store::Store;
use super::{Kind, Profile, normalize_provider, of};
use crate::config::types::Config;

/// A credential whose turn it may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Which one.
    pub profile: Profile,
    /// Until when it rests.
    pub resting_until: Option<u64>,
}

/// Returns the credentials of a provider in the order of their use; those that rest come last.
pub fn order(config: &Config, store: &Store, provider: &str, now_ms: u64) -> Vec<Candidate> {
    let configured = config.auth.order.iter().find(|(key, _)| normalize_provider(key) == provider);
    let explicit =
        store.order(provider).or_else(|| configured.map(|(_, ids)| ids.clone())).filter(|ids| !ids.is_empty());
    let named = config.auth.profiles.iter().filter(|(_, profile)| normalize_provider(&profile.provider) == provider);
    let named: Vec<String> = named.map(|(id, _)| id.clone()).collect();
    let ids = match &explicit {
        Some(ids) => ids.clone(),
        None if !named.is_empty() => named,
        None => store.profiles().map(|(id, _)| id.to_owned()).collect(),
    };
    let mut candidates: Vec<Candidate> = Vec::new();
    for id in ids {
        let usable =
            store.profile(&id).and_then(|fields| of(&id, fields)).filter(|it| fits(config, it, provider, now_ms));
        if let Some(profile) = usable.filter(|it| candidates.iter().all(|known| known.profile.id != it.id)) {
            let resting_until = resting_until(&store.stats(&profile.id), now_ms);
            candidates.push(Candidate { profile, resting_until });
        }
    }
    let rank = |candidate: &Candidate| match candidate.profile.kind {
        Kind::OAuth => 0,
        Kind::Token => 1,
        Kind::ApiKey => 2,
    };
    // Stable: what was put in an order stays in it.
    candidates.sort_by_key(|it| match (it.resting_until, &explicit) {
        (Some(until), _) => (1, until, 0),
        (None, Some(_)) => (0, 0, 0),
        (None, None) => (0, rank(it), last_used(&store.stats(&it.profile.id))),
    });
    candidates
}

/// Returns which credential a session uses: the one it has, until that rests, the conversation was compacted, or it is
/// gone; then the next.
pub fn stick(candidates: &[Candidate], current: Option<&str>, moves_on: bool) -> Option<String> {
    let at = current.and_then(|id| candidates.iter().position(|it| it.profile.id == id));
    let is_awake = |it: &&Candidate| it.resting_until.is_none();
    let next = match at {
        Some(at) if moves_on => candidates[at + 1..].iter().chain(&candidates[..=at]).find(is_awake),
        Some(at) if candidates[at].resting_until.is_none() => candidates.get(at),
        _ => candidates.iter().find(is_awake),
    };
    next.or(candidates.first()).map(|it| it.profile.id.clone())
}

fn fits(config: &Config, profile: &Profile, provider: &str, now_ms: u64) -> bool {
    let mode_fits = config.auth.profiles.get(&profile.id).is_none_or(|said| {
        let is_mode = said.mode == profile.kind.as_str() || (said.mode == "oauth" && profile.kind == Kind::Token);
        is_mode && normalize_provider(&said.provider) == provider
    });
    let holds =
        profile.kind == Kind::ApiKey || profile.expires_at_ms.is_none_or(|at| now_ms < at) || profile.is_renewable;
    profile.provider == provider && mode_fits && holds
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn store(stats: Value, order: Value) -> Store {
        let key = |provider: &str| json!({"type": "api_key", "provider": provider, "key": "k"});
        let mut store = Store::default();
        for (id, profile) in [
            ("p:a", key("p")),
            ("p:b", key("P")),
            ("p:t", json!({"type": "token", "provider": "p", "token": "t", "expires": 500})),
            ("p:o", json!({"type": "oauth", "provider": "p", "access": "x", "expires": 5000})),
            ("q:a", key("q")),
        ] {
            store.put(id, profile);
        }
        for (id, stats) in stats.as_object().expect("object") {
            store.set_stats(id, stats.as_object().expect("object").clone());
        }
        let order: Vec<String> = serde_json::from_value(order).expect("ids");
        store.set_order("p", &order);
        store
    }

    fn ids(config: Value, store: &Store) -> Vec<String> {
        let config: Config = serde_json::from_value(config).expect("configuration");
        order(&config, store, "p", 1000).into_iter().map(|it| it.profile.id).collect()
    }

    #[test]
    fn kinds_then_the_longest_unused_and_the_resting_last() {
        let stats = json!({"p:a": {"lastUsed": 9}, "p:b": {"lastUsed": 3}});
        assert_eq!(ids(json!({}), &store(stats, json!([]))), ["p:o", "p:b", "p:a"], "the token has expired");
        let stats =
            json!({"p:o": {"cooldownUntil": 3000}, "p:b": {"disabledUntil": 2000}, "p:a": {"cooldownUntil": 1000}});
        assert_eq!(ids(json!({}), &store(stats, json!([]))), ["p:a", "p:b", "p:o"]);
    }

    #[test]
    fn orders_that_were_set_are_kept() {
        let stats = json!({"p:a": {"cooldownUntil": 3000}});
        assert_eq!(ids(json!({}), &store(stats, json!(["p:a", "p:b", "p:o", "gone", "p:b"]))), ["p:b", "p:o", "p:a"]);
        let config = json!({"auth": {"order": {"P": ["p:b", "q:a", "p:a"]}}});
        assert_eq!(ids(config, &store(json!({}), json!([]))), ["p:b", "p:a"]);
        let config = json!({"auth": {"profiles": {"p:a": {"provider": "p", "mode": "token"}, "p:b": {"provider": "p", "mode": "api_key"}}}});
        assert_eq!(ids(config, &store(json!({}), json!([]))), ["p:b"], "the mode does not fit");
    }

    #[test]
    fn sessions_stick_to_what_works() {
        let candidates = order(
            &Config::default(),
            &store(json!({"p:b": {"lastUsed": 1, "cooldownUntil": 5000}}), json!([])),
            "p",
            1000,
        );
        let ids: Vec<&str> = candidates.iter().map(|it| it.profile.id.as_str()).collect();
        assert_eq!(ids, ["p:o", "p:a", "p:b"]);
        for (current, moves_on, expected) in [
            (None, false, "p:o"),
            (Some("p:a"), false, "p:a"),
            (Some("p:b"), false, "p:o"),
            (Some("p:o"), true, "p:a"),
            (Some("p:a"), true, "p:o"),
            (Some("gone"), false, "p:o"),
        ] {
            assert_eq!(stick(&candidates, current, moves_on).as_deref(), Some(expected), "{current:?} {moves_on}");
        }
        assert_eq!(stick(&[], Some("p:a"), false), None);
    }
}
