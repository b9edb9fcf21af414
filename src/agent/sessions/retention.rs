//! Which sessions go by themselves: those that no person began and nobody uses any more.
//!
//! Pure. A sub-agent's session goes `agents.defaults.subagents.archiveAfterMinutes` (default 60) after its last activity,
//! as in the original; a cron job's, which the original keeps for ever, after [`CRON_IDLE_MS`]. What somebody has given a
//! name stays.

use crate::agent::session;
use serde_json::Value;

use super::Entry;
use crate::base::clock::UnixMs;
use crate::base::ids::SessionKey;
use crate::config::types::Config;

/// How long a cron job's session stays unused: four runs of a weekly job.
pub(super) const CRON_IDLE_MS: UnixMs = 28 * 24 * 60 * 60_000;
/// Field of an entry: ids of the transcripts of earlier runs, oldest first. The original keeps no list and all files.
pub(super) const EARLIER: &str = "earlierTranscripts";
/// How many of them stay.
pub(super) const EARLIER_KEPT: usize = 20;
/// Default of `archiveAfterMinutes`.
const SUBAGENT_IDLE_MINUTES: u64 = 60;

/// Returns the ids of an entry's [`EARLIER`].
pub(super) fn earlier(entry: &Entry) -> Vec<String> {
    let listed = entry.other.get(EARLIER).and_then(Value::as_array).into_iter().flatten();
    listed.filter_map(|id| id.as_str().map(str::to_owned)).collect()
}

/// Returns whether a session may go.
pub(super) fn is_over(config: &Config, key: &SessionKey, updated_at: UnixMs, now_ms: UnixMs) -> bool {
    let minutes = config.agents.defaults.subagents.archive_after_minutes.unwrap_or(SUBAGENT_IDLE_MINUTES);
    let idle_max_ms = if session::is_subagent(key) {
        minutes.saturating_mul(60_000)
    } else if session::rest_of(key.as_str()).starts_with("cron:") {
        CRON_IDLE_MS
    } else {
        return false;
    };
    now_ms.saturating_sub(updated_at) > idle_max_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_no_person_began_goes() {
        let hour = 60 * 60_000;
        let config = |minutes: u64| -> Config {
            let subagents = json!({"archiveAfterMinutes": minutes});
            serde_json::from_value(json!({"agents": {"defaults": {"subagents": subagents}}})).expect("configuration")
        };
        for (config, key, idle_ms, goes) in [
            (Config::default(), "agent:main:subagent:1", hour, false),
            (Config::default(), "agent:main:subagent:1", hour + 1, true),
            (config(120), "agent:main:subagent:1", hour + 1, false),
            (config(120), "agent:main:subagent:1", 2 * hour + 1, true),
            (Config::default(), "agent:main:cron:a", CRON_IDLE_MS, false),
            (Config::default(), "agent:main:cron:a", CRON_IDLE_MS + 1, true),
            (Config::default(), "agent:main:main", 100 * CRON_IDLE_MS, false),
            (Config::default(), "agent:main:telegram:group:cron:1", 100 * CRON_IDLE_MS, false),
        ] {
            let over = is_over(&config, &SessionKey::new(key), 5, 5 + idle_ms);
            assert_eq!(over, goes, "{key} {idle_ms}");
        }
    }
}
