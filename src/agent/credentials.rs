//! Which key a turn is asked with: stored credentials in their order, else the environment's or the configuration's
//! (agent.md §12.4, §14).
//!
//! Owns nothing: the files belong to `auth_profiles`, what a session sticks to is in its entry. Runs on the job's thread.
//! Not here: asking with them (`asking`), what a failure is worth (`failover`).

mod asking;

use std::path::PathBuf;

use serde_json::Value;

pub use self::asking::{each, fresh, judge, renewing, tries, worked};

use super::auth_profiles::copilot::{self, Trade};
use super::auth_profiles::order::{Candidate, order, stick};
use super::auth_profiles::{Kind, Store, dirs, of, read_store, store};
use super::models;
use super::sessions::Entry;
use crate::base::clock::UnixMs;
use crate::base::ids::AgentId;
use crate::base::secret::Secret;
use crate::base::text::unless_blank;
use crate::config::paths::Paths;
use crate::config::types::Config;

/// Fields of a session's entry, as the original spells them.
const OVERRIDE: &str = "authProfileOverride";
const OVERRIDE_SOURCE: &str = "authProfileOverrideSource";
const OVERRIDE_COUNT: &str = "authProfileOverrideCompactionCount";

/// What a turn is asked with.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The key; local servers need none.
    pub key: Option<Secret>,
    /// The account or the project that the key is for, where the provider wants to be told.
    pub account: Option<String>,
    /// The stored credential it is of, if it is of one.
    pub profile: Option<ProfileAt>,
    /// What the key is traded for before it is used, see [`fresh`].
    trade: Option<Trade>,
}

impl Credential {
    /// A key that nobody keeps, or none.
    pub fn of_key(key: Option<Secret>) -> Self {
        Self { key, account: None, profile: None, trade: None }
    }
}

/// A stored credential and where it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileAt {
    /// Its id.
    pub id: String,
    provider: String,
    dir: PathBuf,
    /// Whether its token has to be renewed before it is used: see [`fresh`].
    has_expired: bool,
    /// Whether its token can be renewed.
    is_renewable: bool,
}

/// Which credential is wished for.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// The next in order.
    Next,
    /// This one first.
    First(String),
    /// This one and no other: a person chose it.
    Only(String),
}

/// The credentials of one agent as they are now.
pub struct Wallet<'a> {
    config: &'a Config,
    state: PathBuf,
    stores: Vec<(PathBuf, Store)>,
    now_ms: UnixMs,
}

impl<'a> Wallet<'a> {
    /// Reads the files; those that cannot be read count as empty.
    pub fn open(config: &'a Config, paths: &Paths, agent: &AgentId, now_ms: UnixMs) -> Self {
        let stores = dirs(config, paths, agent).into_iter().map(|dir| (dir.clone(), read_store(&dir))).collect();
        Self { config, state: paths.state_dir.clone(), stores, now_ms }
    }

    /// Returns whether there is a credential of that id for that provider.
    pub fn has(&self, provider: &str, id: &str) -> bool {
        self.candidates(provider).iter().any(|it| it.profile.id == id)
    }

    /// Returns what to ask a provider with, in order; never empty.
    ///
    /// # Errors
    /// A text for the user: why there is nothing.
    pub fn keys(&self, provider: &str, wish: &Wish) -> Result<Vec<Credential>, String> {
        let mut candidates = self.candidates(provider);
        match wish {
            Wish::Next => {}
            Wish::First(id) => candidates.sort_by_key(|it| it.profile.id != *id),
            Wish::Only(id) => {
                candidates.retain(|it| it.profile.id == *id);
                if candidates.is_empty() {
                    return Err(format!(
                        "No credentials found for profile \"{id}\": it is gone or has expired; choose another with /model"
                    ));
                }
            }
        }
        if candidates.is_empty() {
            return self.unstored(provider);
        }
        let is_chosen = matches!(wish, Wish::Only(_));
        let awake: Vec<&Candidate> = candidates.iter().filter(|it| is_chosen || it.resting_until.is_none()).collect();
        if awake.is_empty() {
            return Err(format!("No available auth profile for {provider} (all in cooldown or unavailable)."));
        }
        let usable: Vec<Credential> = awake.iter().filter_map(|it| self.credential(&it.profile.id, provider)).collect();
        if !usable.is_empty() {
            return Ok(usable);
        }
        let ids: Vec<&str> = awake.iter().map(|it| it.profile.id.as_str()).collect();
        self.unstored(provider).map_err(|_| {
            format!(
                "The sign-in at {provider} has expired ({}). Sign in again, or store a key with: clawdbot models auth \
                 paste-token --provider {provider}",
                ids.join(", ")
            )
        })
    }

    /// Returns how a provider knows who asks, in the original's words: `api-key`, `token`, `oauth`, or `mixed`; `None` where
    /// there is nothing to ask with.
    pub fn mode(&self, provider: &str) -> Option<&'static str> {
        let candidates = self.candidates(provider);
        let word = |kind: Kind| match kind {
            Kind::ApiKey => "api-key",
            Kind::Token => "token",
            Kind::OAuth => "oauth",
        };
        if let Some(first) = candidates.first() {
            let is_mixed = candidates.iter().any(|it| it.profile.kind != first.profile.kind);
            return Some(if is_mixed { "mixed" } else { word(first.profile.kind) });
        }
        let keys = models::keys(self.config, provider);
        match keys.env {
            Some((variable, _)) if variable.contains("OAUTH_TOKEN") => Some("oauth"),
            Some(_) => Some("api-key"),
            None => keys.configured.map(|_| "api-key"),
        }
    }

    /// Returns the key of the environment or the configuration, or that none is needed.
    fn unstored(&self, provider: &str) -> Result<Vec<Credential>, String> {
        let key = models::key(self.config, provider)?;
        Ok(vec![Credential { trade: self.trade(provider, None), ..Credential::of_key(key) }])
    }

    fn trade(&self, provider: &str, domain: Option<&str>) -> Option<Trade> {
        (provider == copilot::PROVIDER).then(|| Trade::new(&self.state, domain))
    }

    /// Returns what a session wishes for, and whether its entry has to remember that.
    pub fn wish_of(&self, entry: &Entry, provider: &str) -> (Wish, bool) {
        let text =
            |field: &str| entry.other.get(field).and_then(Value::as_str).map(str::trim).filter(|it| !it.is_empty());
        let current = text(OVERRIDE);
        let count = entry.compaction_count.unwrap_or(0);
        let stored = entry.other.get(OVERRIDE_COUNT).and_then(Value::as_u64);
        let is_users = text(OVERRIDE_SOURCE).map_or(stored.is_none(), |source| source == "user");
        let candidates = self.candidates(provider);
        if let Some(id) = current.filter(|id| is_users && self.belongs(id, provider)) {
            return (Wish::Only(id.to_owned()), false);
        }
        let Some(next) = stick(&candidates, current, stored.is_some_and(|stored| count > stored)) else {
            return (Wish::Next, false);
        };
        let is_new = current != Some(next.as_str()) || stored != Some(count);
        (Wish::First(next), is_new)
    }

    fn candidates(&self, provider: &str) -> Vec<Candidate> {
        let mut merged = Store::default();
        // The agent's own come last, over those it inherits.
        for (_, store) in self.stores.iter().rev() {
            merged.overlay(store);
        }
        order(self.config, &merged, provider, self.now_ms)
    }

    fn belongs(&self, id: &str, provider: &str) -> bool {
        let of = |store: &Store| {
            store.profile(id).and_then(|it| it.get("provider")?.as_str()).map(models::normalize_provider)
        };
        self.stores.iter().any(|(_, store)| of(store).as_deref() == Some(provider))
    }

    fn credential(&self, id: &str, provider: &str) -> Option<Credential> {
        let (dir, profile) = self.stores.iter().find_map(|(dir, store)| Some((dir, store.profile(id)?)))?;
        let text = |field: &str| profile.get(field).and_then(Value::as_str).and_then(unless_blank);
        let key = store::secret(profile, self.now_ms);
        let has_expired = key.is_none();
        let is_renewable = of(id, profile)?.is_renewable;
        if has_expired && !is_renewable {
            return None;
        }
        let account = text("projectId").or(text("accountId")).map(str::to_owned);
        let trade = self.trade(provider, text("enterpriseUrl"));
        let (id, provider) = (id.to_owned(), provider.to_owned());
        let profile = ProfileAt { id, provider, dir: dir.clone(), has_expired, is_renewable };
        Some(Credential { key, account, profile: Some(profile), trade })
    }
}

/// Notes in a session's entry which credential it sticks to.
pub fn remember(entry: &mut Entry, id: &str, by_user: bool) {
    let count = entry.compaction_count.unwrap_or(0);
    entry.other.insert(OVERRIDE.to_owned(), id.into());
    entry.other.insert(OVERRIDE_SOURCE.to_owned(), (if by_user { "user" } else { "auto" }).into());
    if by_user {
        entry.other.remove(OVERRIDE_COUNT);
    } else {
        entry.other.insert(OVERRIDE_COUNT.to_owned(), count.into());
    }
}

/// Lets a session choose its credential afresh.
pub fn forget(entry: &mut Entry) {
    for field in [OVERRIDE, OVERRIDE_SOURCE, OVERRIDE_COUNT] {
        entry.other.remove(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wallet<'a>(config: &'a Config, own: Value, inherited: Value) -> Wallet<'a> {
        let store = |profiles: Value| {
            let mut store = Store::default();
            for (id, profile) in profiles.as_object().expect("object") {
                store.put(id, profile.clone());
            }
            store
        };
        let stores = vec![("/own".into(), store(own)), ("/main".into(), store(inherited))];
        Wallet { config, state: PathBuf::new(), stores, now_ms: 1000 }
    }

    fn key(key: &str) -> Value {
        json!({"type": "api_key", "provider": "mock", "key": key})
    }

    #[test]
    fn own_credentials_win_over_inherited_ones_and_stored_over_configured() {
        let config: Config = serde_json::from_value(json!({"models": {"providers": {
            "mock": {"baseUrl": "http://h", "apiKey": "sk-configured"}, "other": {"baseUrl": "http://h", "apiKey": "k2"},
        }}}))
        .expect("configuration");
        let wallet = wallet(&config, json!({"mock:a": key("own")}), json!({"mock:a": key("main"), "mock:b": key("b")}));
        let shown = |provider: &str, wish: Wish| -> Vec<String> {
            let keys = wallet.keys(provider, &wish).expect("keys");
            keys.iter().map(|it| it.key.as_ref().map_or("none", |key| key.expose()).to_owned()).collect()
        };
        assert_eq!(shown("mock", Wish::First("mock:b".into())), ["b", "own"]);
        assert_eq!(shown("mock", Wish::Only("mock:a".into())), ["own"]);
        assert_eq!(shown("other", Wish::Next), ["k2"]);
        assert!(wallet.keys("mock", &Wish::Only("gone".into())).is_err());
        assert!(wallet.keys("anthropic-nobody", &Wish::Next).is_ok_and(|keys| keys[0].key.is_none()));
    }

    #[test]
    fn all_at_rest_is_an_error_and_a_persons_choice_is_kept() {
        let config = Config::default();
        let mut wallet = wallet(&config, json!({"mock:a": key("a")}), json!({}));
        let resting = json!({"cooldownUntil": 5000});
        wallet.stores[0].1.set_stats("mock:a", resting.as_object().expect("object").clone());
        let error = wallet.keys("mock", &Wish::Next).expect_err("none");
        assert_eq!(error, "No available auth profile for mock (all in cooldown or unavailable).");
        assert!(wallet.keys("mock", &Wish::Only("mock:a".into())).is_ok());

        let mut entry = Entry::default();
        remember(&mut entry, "mock:a", true);
        assert_eq!(wallet.wish_of(&entry, "mock"), (Wish::Only("mock:a".into()), false));
        assert_eq!(wallet.wish_of(&entry, "other"), (Wish::Next, false));
        forget(&mut entry);
        assert_eq!(wallet.wish_of(&entry, "mock"), (Wish::First("mock:a".into()), true));
        remember(&mut entry, "mock:a", false);
        assert_eq!(wallet.wish_of(&entry, "mock"), (Wish::First("mock:a".into()), false));
    }
}
