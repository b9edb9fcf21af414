//! How long a credential rests after it failed (agent.md §14.3).
//!
//! Pure functions over `usageStats` of one credential, which keep what they do not know.

use serde_json::{Map, Value, json};

use crate::agent::failover::Reason;
use crate::config::types::AuthCooldowns;

const MINUTE_MS: f64 = 60_000.0;
const HOUR_MS: f64 = 60.0 * MINUTE_MS;
/// Fields that a success takes away.
const OF_FAILURES: [&str; 4] = ["cooldownUntil", "disabledUntil", "disabledReason", "failureCounts"];

/// Returns until when a credential rests; `None` when it may be used.
pub fn resting_until(stats: &Map<String, Value>, now_ms: u64) -> Option<u64> {
    let until = ["cooldownUntil", "disabledUntil"].iter().filter_map(|field| stats.get(*field)?.as_f64());
    let until = until.filter(|at| at.is_finite()).fold(0.0, f64::max) as u64;
    (until > now_ms).then_some(until)
}

/// Returns whether a credential has failed since it worked last.
pub fn has_failed(stats: &Map<String, Value>) -> bool {
    OF_FAILURES.iter().any(|field| stats.contains_key(*field))
        || stats.get("errorCount").and_then(Value::as_u64) != Some(0)
}

/// Returns when a credential was used last; 0 for never.
pub fn last_used(stats: &Map<String, Value>) -> u64 {
    stats.get("lastUsed").and_then(Value::as_f64).map_or(0, |at| at as u64)
}

/// Notes a failure and how long the credential rests for it.
pub fn failed(stats: &mut Map<String, Value>, reason: Reason, hours: &AuthCooldowns, provider: &str, now_ms: u64) {
    let positive = |hours: Option<f64>, otherwise: f64| hours.filter(|it| *it > 0.0).unwrap_or(otherwise) * HOUR_MS;
    let now = now_ms as f64;
    let last = stats.get("lastFailureAt").and_then(Value::as_f64).unwrap_or(0.0);
    if last > 0.0 && now - last > positive(hours.failure_window_hours, 24.0) {
        stats.remove("errorCount");
        stats.remove("failureCounts");
    }
    let number = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or(0);
    let errors = number(stats.get("errorCount")).saturating_add(1);
    let counts = stats.entry("failureCounts").or_insert_with(|| json!({}));
    let of_reason = number(counts.get(reason.as_str())).saturating_add(1);
    match counts.as_object_mut() {
        Some(counts) => drop(counts.insert(reason.as_str().to_owned(), of_reason.into())),
        None => *counts = json!({reason.as_str(): of_reason}),
    }
    stats.insert("errorCount".to_owned(), errors.into());
    stats.insert("lastFailureAt".to_owned(), now_ms.into());
    let until = |wait_ms: f64| Value::from(now_ms.saturating_add(wait_ms as u64));
    if reason == Reason::Billing {
        let own = hours.billing_backoff_hours_by_provider.iter();
        let own = own.filter(|(key, _)| super::normalize_provider(key) == provider).map(|(_, hours)| *hours).next();
        let base = positive(own.or(hours.billing_backoff_hours), 5.0).max(MINUTE_MS);
        let most = positive(hours.billing_max_hours, 24.0).max(base);
        let steps = i32::try_from(of_reason.saturating_sub(1).min(10)).unwrap_or(10);
        stats.insert("disabledUntil".to_owned(), until((base * 2.0_f64.powi(steps)).min(most)));
        stats.insert("disabledReason".to_owned(), reason.as_str().into());
    } else {
        let steps = i32::try_from(errors.saturating_sub(1).min(3)).unwrap_or(3);
        stats.insert("cooldownUntil".to_owned(), until((MINUTE_MS * 5.0_f64.powi(steps)).min(HOUR_MS)));
    }
}

/// Notes a success.
pub fn succeeded(stats: &mut Map<String, Value>, now_ms: u64) {
    for field in OF_FAILURES {
        stats.remove(field);
    }
    stats.insert("lastUsed".to_owned(), now_ms.into());
    stats.insert("errorCount".to_owned(), 0.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000_000;

    #[test]
    fn rests_grow_up_to_an_hour_and_end_with_a_success() {
        let hours = AuthCooldowns::default();
        let mut stats = Map::new();
        stats.insert("odd".to_owned(), 1.into());
        let mut minutes = Vec::new();
        for _ in 0..5 {
            failed(&mut stats, Reason::RateLimit, &hours, "p", NOW);
            minutes.push((resting_until(&stats, NOW).expect("rests") - NOW) / 60_000);
        }
        assert_eq!(minutes, [1, 5, 25, 60, 60]);
        assert_eq!((&stats["errorCount"], &stats["failureCounts"]["rate_limit"]), (&json!(5), &json!(5)));
        succeeded(&mut stats, NOW + 1);
        assert_eq!(Value::Object(stats), json!({"odd": 1, "errorCount": 0, "lastFailureAt": NOW, "lastUsed": NOW + 1}));
    }

    #[test]
    fn lack_of_money_disables_for_hours() {
        let hours: AuthCooldowns =
            serde_json::from_value(json!({"billingBackoffHoursByProvider": {"z.ai": 2}, "billingMaxHours": 3}))
                .expect("hours");
        let mut stats = Map::new();
        failed(&mut stats, Reason::Billing, &hours, "zai", NOW);
        assert_eq!(stats["disabledUntil"], NOW + 2 * 3_600_000);
        failed(&mut stats, Reason::Billing, &hours, "zai", NOW);
        assert_eq!(stats["disabledUntil"], NOW + 3 * 3_600_000);
        assert_eq!((&stats["disabledReason"], stats.get("cooldownUntil")), (&json!("billing"), None));
    }

    #[test]
    fn old_failures_are_forgotten() {
        let mut stats: Map<String, Value> =
            serde_json::from_value(json!({"errorCount": 9, "lastFailureAt": 1, "failureCounts": {"auth": 9}}))
                .expect("stats");
        failed(&mut stats, Reason::Auth, &AuthCooldowns::default(), "p", NOW);
        assert_eq!((&stats["errorCount"], &stats["failureCounts"]), (&json!(1), &json!({"auth": 1})));
    }
}
