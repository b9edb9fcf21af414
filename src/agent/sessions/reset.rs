//! When a session is stale and begins anew (agent.md §6).

use serde_json::Value;

use super::Entry;
use crate::agent::session::KeyKind;
use crate::base::clock::{UnixMs, last_local_hour};
use crate::base::ids::SessionKey;
use crate::config::types::Config;

/// Local hour of the daily boundary.
const HOUR_DEFAULT: i64 = 4;
/// Idle limit of mode `idle` that names none.
const IDLE_MINUTES_DEFAULT: u64 = 60;

/// The limits of one session; whichever expires first counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// Hour of the daily boundary, in mode `daily`.
    daily_hour: Option<i8>,
    /// Longest silence.
    idle_minutes: Option<u64>,
}

impl Policy {
    /// Reads the rules for one session.
    pub(super) fn new(config: &Config, key: &SessionKey, entry: Option<&Entry>) -> Self {
        let channel = entry.and_then(|entry| entry.channel.as_deref().or(entry.last_channel.as_deref()));
        let tree = |name: &str| config.tree.pointer(&format!("/session/{name}"));
        let by_channel = channel.and_then(|channel| tree("resetByChannel")?.get(channel.trim().to_lowercase()));
        let by_type = tree("resetByType").filter(|_| by_channel.is_none());
        let own = by_type.and_then(|types| types.get(kind(key, entry)));
        let general = &config.session.reset;
        let is_explicit = by_channel.is_some() || by_type.is_some() || general.is_some();
        let legacy_idle = config.session.idle_minutes.filter(|_| by_channel.is_none());

        // The more special rule wins field by field; a channel's rule stands alone.
        let general = general.as_ref().filter(|_| by_channel.is_none());
        let rules = [by_channel, own];
        let special = |name: &str| rules.iter().flatten().find_map(|rule| rule.get(name));
        let number = |name: &str| special(name).and_then(Value::as_f64).map(|number| number.floor() as i64);
        let mode = special("mode").and_then(Value::as_str).or_else(|| general?.mode.as_deref());
        let hour = number("atHour").or_else(|| general?.at_hour).unwrap_or(HOUR_DEFAULT);
        let idle = number("idleMinutes").map(|minutes| u64::try_from(minutes).unwrap_or(0));
        let idle = idle.or_else(|| general?.idle_minutes).or(legacy_idle).map(|minutes| minutes.max(1));

        let is_idle = mode.map_or(!is_explicit && legacy_idle.is_some(), |mode| mode == "idle");
        Self {
            daily_hour: (!is_idle).then(|| i8::try_from(hour.clamp(0, 23)).unwrap_or_default()),
            idle_minutes: idle.or(is_idle.then_some(IDLE_MINUTES_DEFAULT)),
        }
    }

    /// Returns whether a session that was last active at `updated_at` has expired.
    pub(super) fn is_stale(&self, updated_at: UnixMs, now_ms: UnixMs) -> bool {
        let is_idle =
            self.idle_minutes.is_some_and(|minutes| now_ms > updated_at.saturating_add(minutes.saturating_mul(60_000)));
        is_idle || self.daily_hour.is_some_and(|hour| updated_at < last_local_hour(now_ms, hour))
    }
}

/// Returns the name of the session's kind in `resetByType`.
fn kind(key: &SessionKey, entry: Option<&Entry>) -> &'static str {
    let is_group = |entry: &Entry| matches!(entry.chat_type.as_deref(), Some("group" | "channel"));
    match KeyKind::of(key) {
        KeyKind::Thread => "thread",
        KeyKind::Group => "group",
        KeyKind::Direct if entry.is_some_and(is_group) => "group",
        KeyKind::Direct => "dm",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(session: Value, key: &str) -> Policy {
        let tree = json!({"session": session});
        let mut config: Config = serde_json::from_value(tree.clone()).expect("configuration");
        config.tree = tree;
        Policy::new(&config, &SessionKey::new(key), None)
    }

    #[test]
    fn rules_merge() {
        let cases = [
            (json!({}), "agent:main:main", Some(4), None),
            (json!({"idleMinutes": 30}), "agent:main:main", None, Some(30)),
            (json!({"reset": {"mode": "idle"}}), "agent:main:main", None, Some(60)),
            (json!({"reset": {"atHour": 99, "idleMinutes": 0}}), "agent:main:main", Some(23), Some(1)),
            (
                json!({"resetByType": {"group": {"mode": "idle", "idleMinutes": 9}}}),
                "agent:main:x:group:1",
                None,
                Some(9),
            ),
            (
                json!({"resetByType": {"group": {"mode": "idle"}}, "idleMinutes": 7}),
                "agent:main:main",
                Some(4),
                Some(7),
            ),
        ];
        for (session, key, daily_hour, idle_minutes) in cases {
            assert_eq!(policy(session.clone(), key), Policy { daily_hour, idle_minutes }, "{session}");
        }
    }

    #[test]
    fn daily_boundary() {
        let policy = Policy { daily_hour: Some(4), idle_minutes: None };
        let now = 1_795_353_648_869;
        let boundary = last_local_hour(now, 4);
        assert!(policy.is_stale(boundary - 1, now) && !policy.is_stale(boundary, now));
    }
}
