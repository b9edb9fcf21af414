//! How much of a plan is used up, as the providers themselves say: Claude, Codex, Gemini, Copilot, z.ai.
//!
//! One request each, with the credential that models of the provider are asked with. Runs on a job's thread. Not here:
//! which providers count (`quotas`).

use std::io::Read as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::agent::auth_profiles::oauth::address;
use crate::agent::credentials::{self, Wallet, Wish};
use crate::agent::providers::ProviderError;
use crate::base::cancel::CancelToken;
use crate::base::clock::{Clock, parse_iso};
use crate::base::text::ellipsize;
use crate::net::fetch::{Fetch, FetchError};

/// How long a provider has for its answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;
/// Characters of an error that are shown.
const ERROR_CHARS_MAX: usize = 200;

/// Makes `windows` and `plan` of an answer.
type Reader = fn(&Value) -> Result<Value, String>;

/// Returns `windows` and `plan` of a provider, or `error`; `None` for providers that are not asked.
pub fn ask(provider: &str, wallet: &Wallet<'_>, clock: &dyn Clock) -> Option<Value> {
    let (url, read): (&str, Reader) = match provider {
        "anthropic" => ("https://api.anthropic.com/api/oauth/usage", claude),
        "openai-codex" => ("https://chatgpt.com/backend-api/wham/usage", codex),
        "google-gemini-cli" => ("https://cloudcode-pa.googleapis.com/v1internal:retrieveUserQuota", gemini),
        "github-copilot" => ("https://api.github.com/copilot_internal/user", copilot),
        "zai" => ("https://api.z.ai/api/monitor/usage/quota/limit", zai),
        _ => return None,
    };
    let said = asked(provider, url, wallet, clock).and_then(|said| read(&said));
    Some(said.unwrap_or_else(|error| json!({"windows": [], "error": error})))
}

fn asked(provider: &str, url: &str, wallet: &Wallet<'_>, clock: &dyn Clock) -> Result<Value, String> {
    let cancel = CancelToken::new().within(TIMEOUT);
    let fetch = Fetch::new(&cancel);
    let keys = wallet.keys(provider, &Wish::Next)?;
    let credential = keys.first().ok_or("no credential")?;
    let fresh = match provider {
        // GitHub itself is asked, not the models' server.
        "github-copilot" => Ok(credential.clone()),
        _ => credentials::fresh(credential, &fetch, clock),
    };
    let fresh = fresh.map_err(|error| match error {
        ProviderError::Cancelled => "timeout".to_owned(),
        ProviderError::Failed { message, .. } => message,
    })?;
    let key = fresh.key.ok_or("no credential")?;
    let mut headers =
        vec![("authorization", format!("Bearer {}", key.expose())), ("accept", "application/json".to_owned())];
    if provider == "github-copilot" {
        headers.push(("x-github-api-version", "2025-04-01".to_owned()));
    }
    if provider == "anthropic" {
        headers.push(("anthropic-version", "2023-06-01".to_owned()));
        headers.push(("anthropic-beta", "oauth-2025-04-20".to_owned()));
    }
    let account = fresh.account.filter(|_| provider == "openai-codex");
    headers.extend(account.map(|account| ("chatgpt-account-id", account)));
    let headers: Vec<(String, String)> = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let answer = match provider {
        "google-gemini-cli" => fetch.post_json(&address(url), &headers, b"{}"),
        _ => fetch.get(&address(url), &headers),
    };
    let answer = answer.map_err(|error| match error {
        FetchError::Cancelled => "timeout".to_owned(),
        FetchError::Failed(error) => error,
    })?;
    let mut text = String::new();
    answer.body.take(ANSWER_BYTES_MAX).read_to_string(&mut text).map_err(|_| "timeout".to_owned())?;
    let said: Value = serde_json::from_str(&text).unwrap_or_default();
    if answer.status == 200 {
        return Ok(said);
    }
    let words = said["error"]["message"].as_str().unwrap_or_default().replace(key.expose(), "***");
    let words = ellipsize(words.trim(), ERROR_CHARS_MAX);
    Err(if words.is_empty() { format!("HTTP {}", answer.status) } else { format!("HTTP {}: {words}", answer.status) })
}

fn window(label: impl Into<String>, percent: &Value, reset_at_ms: Option<u64>) -> Option<Value> {
    let percent = percent.as_f64()?.clamp(0.0, 100.0);
    let mut window = json!({"label": label.into(), "usedPercent": percent});
    if let Some(at) = reset_at_ms {
        window["resetAt"] = at.into();
    }
    Some(window)
}

fn claude(said: &Value) -> Result<Value, String> {
    let reset = |value: &Value| value["resets_at"].as_str().and_then(parse_iso);
    let of_model = match said["seven_day_sonnet"].is_object() {
        true => window("Sonnet", &said["seven_day_sonnet"]["utilization"], None),
        false => window("Opus", &said["seven_day_opus"]["utilization"], None),
    };
    let windows = [
        window("5h", &said["five_hour"]["utilization"], reset(&said["five_hour"])),
        window("Week", &said["seven_day"]["utilization"], reset(&said["seven_day"])),
        of_model,
    ];
    Ok(json!({"windows": windows.into_iter().flatten().collect::<Vec<_>>()}))
}

fn codex(said: &Value) -> Result<Value, String> {
    let of = |name: &str, seconds_default: u64| {
        let it = said["rate_limit"][name].as_object()?;
        let seconds = it.get("limit_window_seconds").and_then(Value::as_u64).filter(|it| *it > 0);
        let hours = (seconds.unwrap_or(seconds_default) + 1800) / 3600;
        let label = if name == "secondary_window" && hours >= 24 { "Day".to_owned() } else { format!("{hours}h") };
        let reset = it.get("reset_at").and_then(Value::as_u64).map(|at| at.saturating_mul(1000));
        window(label, it.get("used_percent").unwrap_or(&json!(0)), reset)
    };
    let windows = [of("primary_window", 10_800), of("secondary_window", 86_400)];
    let mut answer = json!({"windows": windows.into_iter().flatten().collect::<Vec<_>>()});
    let balance = &said["credits"]["balance"];
    let balance = balance.as_f64().or_else(|| balance.as_str()?.parse().ok()).map(|balance| format!("${balance:.2}"));
    let plan = match (said["plan_type"].as_str(), balance) {
        (Some(plan), Some(balance)) => Some(format!("{plan} ({balance})")),
        (plan, balance) => plan.map(str::to_owned).or(balance),
    };
    if let Some(plan) = plan {
        answer["plan"] = plan.into();
    }
    Ok(answer)
}

fn gemini(said: &Value) -> Result<Value, String> {
    // The model of a family of which least is left stands for it.
    let left = |family: &str| {
        let buckets = said["buckets"].as_array().into_iter().flatten();
        let of = buckets.filter(|it| it["modelId"].as_str().is_some_and(|id| id.to_lowercase().contains(family)));
        of.map(|it| it["remainingFraction"].as_f64().unwrap_or(1.0)).reduce(f64::min)
    };
    let window = |(label, family): (&str, &str)| window(label, &json!(100.0 - left(family)? * 100.0), None);
    let windows = [("Pro", "pro"), ("Flash", "flash")].into_iter().filter_map(window);
    Ok(json!({"windows": windows.collect::<Vec<_>>()}))
}

fn copilot(said: &Value) -> Result<Value, String> {
    let window = |(label, name): (&str, &str)| {
        let left = said["quota_snapshots"][name].as_object()?.get("percent_remaining").and_then(Value::as_f64);
        window(label, &json!(100.0 - left.unwrap_or(0.0)), None)
    };
    let windows = [("Premium", "premium_interactions"), ("Chat", "chat")].into_iter().filter_map(window);
    let mut answer = json!({"windows": windows.collect::<Vec<_>>()});
    if let Some(plan) = said["copilot_plan"].as_str() {
        answer["plan"] = plan.into();
    }
    Ok(answer)
}

fn zai(said: &Value) -> Result<Value, String> {
    if said["success"] != true || said["code"] != 200 {
        return Err(said["msg"].as_str().unwrap_or("API error").to_owned());
    }
    let limits = said["data"]["limits"].as_array().into_iter().flatten();
    let windows = limits.filter_map(|limit| {
        let unit = match limit["unit"].as_u64() {
            Some(1) => format!("{}d", limit["number"]),
            Some(3) => format!("{}h", limit["number"]),
            Some(5) => format!("{}m", limit["number"]),
            _ => "Limit".to_owned(),
        };
        let label = match limit["type"].as_str()? {
            "TOKENS_LIMIT" => format!("Tokens ({unit})"),
            "TIME_LIMIT" => "Monthly".to_owned(),
            _ => return None,
        };
        let reset = &limit["nextResetTime"];
        let reset = reset.as_u64().or_else(|| reset.as_str().and_then(parse_iso));
        window(label, limit.get("percentage").unwrap_or(&json!(0)), reset)
    });
    let mut answer = json!({"windows": windows.collect::<Vec<_>>()});
    if let Some(plan) = said["data"]["planName"].as_str().or(said["data"]["plan"].as_str()) {
        answer["plan"] = plan.into();
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_windows() {
        let said = json!({
            "five_hour": {"utilization": 12.5, "resets_at": "2026-01-01T00:00:00Z"}, "seven_day": {"utilization": 130},
            "seven_day_opus": {"utilization": 3},
        });
        let wanted = json!({"windows": [
            {"label": "5h", "usedPercent": 12.5, "resetAt": 1_767_225_600_000_u64},
            {"label": "Week", "usedPercent": 100.0}, {"label": "Opus", "usedPercent": 3.0},
        ]});
        assert_eq!(claude(&said), Ok(wanted));
        let said = json!({
            "plan_type": "plus", "credits": {"balance": "4.5"}, "rate_limit": {
                "primary_window": {"limit_window_seconds": 18000, "used_percent": 40, "reset_at": 5},
                "secondary_window": {"limit_window_seconds": 604_800, "used_percent": 7},
            },
        });
        let wanted = json!({"windows": [
            {"label": "5h", "usedPercent": 40.0, "resetAt": 5000}, {"label": "Day", "usedPercent": 7.0},
        ], "plan": "plus ($4.50)"});
        assert_eq!(codex(&said), Ok(wanted));
        let bucket = |id: &str, left: f64| json!({"modelId": id, "remainingFraction": left});
        let said =
            json!({"buckets": [bucket("gemini-2.5-pro", 0.75), bucket("gemini-3-pro-preview", 0.5), {"modelId": "x"}]});
        assert_eq!(gemini(&said), Ok(json!({"windows": [{"label": "Pro", "usedPercent": 50.0}]})));
        let said = json!({"copilot_plan": "business", "quota_snapshots": {"chat": {"percent_remaining": 90}}});
        let wanted = json!({"windows": [{"label": "Chat", "usedPercent": 10.0}], "plan": "business"});
        assert_eq!(copilot(&said), Ok(wanted));
        let limits = json!([
            {"type": "TOKENS_LIMIT", "unit": 3, "number": 5, "percentage": 9, "nextResetTime": 77},
            {"type": "TIME_LIMIT", "unit": 5, "number": 1, "percentage": 1}, {"type": "OTHER"},
        ]);
        let said = json!({"success": true, "code": 200, "data": {"planName": "Pro", "limits": limits}});
        let wanted = json!({"windows": [
            {"label": "Tokens (5h)", "usedPercent": 9.0, "resetAt": 77}, {"label": "Monthly", "usedPercent": 1.0},
        ], "plan": "Pro"});
        assert_eq!(zai(&said), Ok(wanted));
        assert_eq!(zai(&json!({"success": false, "msg": "no plan"})), Err("no plan".to_owned()));
    }
}
