//! `web_search`: Brave or Perplexity, asked over their API.

use std::time::Duration;

use serde_json::{Value, json};

use super::arguments::Arguments;
use super::policy::Subject;
use super::web_fetch::{post, service};
use super::{Tool, ToolContext, ToolResult};
use crate::base::text::{percent_encoded, trimmed};

/// Results when nobody says how many, and at most.
const COUNT_DEFAULT: usize = 5;
const COUNT_MAX: usize = 10;
const TIMEOUT_SECONDS_DEFAULT: u64 = 30;
const CACHE_MINUTES_DEFAULT: f64 = 15.0;
const BRAVE_URL: &str = "https://api.search.brave.com/res/v1";
/// Variable of another address that speaks Brave's interface, for proxies and tests.
const BRAVE_URL_VARIABLE: &str = "CLAWDBOT_BRAVE_BASE_URL";
const PERPLEXITY_URL: &str = "https://api.perplexity.ai";
const OPENROUTER_URL: &str = "https://openrouter.ai/api/v1";
const PERPLEXITY_MODEL: &str = "perplexity/sonar-pro";
const DOCS: &str = "https://docs.clawd.bot/tools/web";

pub(super) const TOOL: Tool = Tool {
    name: "web_search",
    description: "Search the web: titles, URLs and snippets (Brave), or an answer with its sources (Perplexity).",
    parameters: &[
        ("query", "string*", "What to search for"),
        ("count", "number", "Results, 1 to 10"),
        ("country", "string", "Two letters, or ALL"),
        ("search_lang", "string", "Language of the results"),
        ("ui_lang", "string", "Language of the interface"),
        ("freshness", "string", "pd, pw, pm, py or YYYY-MM-DDtoYYYY-MM-DD (Brave)"),
    ],
    is_local: false,
    is_wanted: |subject: &Subject<'_>| subject.config.tree.pointer("/tools/web/search/enabled") != Some(&false.into()),
    run,
};

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let query = args.required("query")?;
    let text = |name: &str| {
        let text = cx.setting(&format!("web/search/{name}")).and_then(Value::as_str);
        text.and_then(trimmed)
    };
    let number = |name: &str| cx.setting(&format!("web/search/{name}")).and_then(Value::as_f64).filter(|it| *it >= 0.0);
    let is_perplexity = text("provider").is_some_and(|provider| provider.eq_ignore_ascii_case("perplexity"));
    let count = args.count("count").or_else(|| number("maxResults").map(|it| it as usize)).unwrap_or(COUNT_DEFAULT);
    let count = count.clamp(1, COUNT_MAX);
    let options = ["country", "search_lang", "ui_lang", "freshness"].map(|name| (name, args.text(name)));
    if let Some((_, Some(freshness))) = options.iter().find(|(name, _)| *name == "freshness") {
        if is_perplexity {
            return Ok(problem("unsupported_freshness", "freshness is only supported by the Brave provider."));
        }
        if !is_freshness(freshness) {
            return Ok(problem("invalid_freshness", "freshness must be pd, pw, pm, py, or YYYY-MM-DDtoYYYY-MM-DD."));
        }
    }
    let ttl_ms = (number("cacheTtlMinutes").unwrap_or(CACHE_MINUTES_DEFAULT) * 60_000.0) as u64;
    let now_ms = cx.clock.now_ms();
    let shown: Vec<&str> = options.iter().map(|(_, value)| value.unwrap_or("default")).collect();
    let key = format!("{is_perplexity} {query} {count} {}", shown.join(" ")).to_lowercase();
    if let Some(answer) = cx.toolbox.searches.get(&key, now_ms, ttl_ms) {
        return Ok(ToolResult::json(answer));
    }
    let within = Duration::from_secs(number("timeoutSeconds").map_or(TIMEOUT_SECONDS_DEFAULT, |it| it as u64).max(1));
    let begun = cx.clock.now();
    let mut answer = if is_perplexity {
        let key = text("perplexity/apiKey").or_else(|| cx.env("PERPLEXITY_API_KEY"));
        let Some(key) = key.or_else(|| cx.env("OPENROUTER_API_KEY")) else {
            return Ok(problem(
                "missing_perplexity_api_key",
                "web_search (perplexity) needs an API key. Set PERPLEXITY_API_KEY or OPENROUTER_API_KEY in the gateway's \
                 environment, or configure tools.web.search.perplexity.apiKey.",
            ));
        };
        let base = text("perplexity/baseUrl");
        let model = text("perplexity/model").unwrap_or_else(|| PERPLEXITY_MODEL.to_owned());
        perplexity(cx, query, &key, base, model, within)?
    } else {
        let Some(key) = text("apiKey").or_else(|| cx.env("BRAVE_API_KEY")) else {
            return Ok(problem(
                "missing_brave_api_key",
                "web_search needs a Brave Search API key. Run `clawdbot configure --section web` to store it, or set \
                 BRAVE_API_KEY in the gateway's environment.",
            ));
        };
        brave(cx, query, &key, count, &options, within)?
    };
    let took = cx.clock.now().saturating_duration_since(begun);
    answer["tookMs"] = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).into();
    cx.toolbox.searches.put(key, now_ms, answer.clone());
    Ok(ToolResult::json(answer))
}

fn problem(error: &str, message: &str) -> ToolResult {
    ToolResult::json(json!({"error": error, "message": message, "docs": DOCS}))
}

fn is_freshness(text: &str) -> bool {
    let is_date = |text: &str| {
        let parts: Vec<&str> = text.split('-').collect();
        let is_number = |text: &str, len: usize| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
        matches!(parts[..], [year, month, day] if is_number(year, 4) && is_number(month, 2) && is_number(day, 2))
    };
    matches!(text, "pd" | "pw" | "pm" | "py")
        || text.split_once("to").is_some_and(|(from, to)| is_date(from) && is_date(to) && from <= to)
}

fn brave(
    cx: &ToolContext<'_>,
    query: &str,
    key: &str,
    count: usize,
    options: &[(&str, Option<&str>)],
    within: Duration,
) -> Result<Value, String> {
    let base = cx.env(BRAVE_URL_VARIABLE).unwrap_or_else(|| BRAVE_URL.to_owned());
    let mut url = format!("{}/web/search?q={}&count={count}", base.trim_end_matches('/'), percent_encoded(query));
    for (name, value) in options {
        if let Some(value) = value {
            url.push_str(&format!("&{name}={}", percent_encoded(value)));
        }
    }
    let headers =
        [("x-subscription-token".to_owned(), key.to_owned()), ("accept".to_owned(), "application/json".to_owned())];
    let reply = service(cx, within, |fetch| fetch.get(&url, &headers))
        .map_err(|error| format!("Brave Search API error {}", error.replace(key, "***")))?;
    let results: Vec<Value> = reply["web"]["results"]
        .as_array()
        .into_iter()
        .flatten()
        .take(count)
        .map(|result| {
            let text = |name: &str| result[name].as_str().unwrap_or_default();
            let mut row = json!({"title": text("title"), "url": text("url"), "description": text("description")});
            if let Some(age) = result["age"].as_str() {
                row["published"] = age.into();
            }
            if let Some(host) = text("url").split("://").nth(1).and_then(|rest| rest.split('/').next()) {
                row["siteName"] = host.into();
            }
            row
        })
        .collect();
    Ok(json!({"query": query, "provider": "brave", "count": results.len(), "results": results}))
}

fn perplexity(
    cx: &ToolContext<'_>,
    query: &str,
    key: &str,
    base: Option<String>,
    model: String,
    within: Duration,
) -> Result<Value, String> {
    let base =
        base.unwrap_or_else(|| if key.starts_with("pplx-") { PERPLEXITY_URL } else { OPENROUTER_URL }.to_owned());
    // Asked directly, the service knows its models without its own name in front.
    let sent_model = if base.contains("api.perplexity.ai") { model.trim_start_matches("perplexity/") } else { &model };
    let body = json!({"model": sent_model, "messages": [{"role": "user", "content": query}]});
    let headers = [("authorization".to_owned(), format!("Bearer {key}"))];
    let url = format!("{}/chat/completions", base.trim_end_matches('/'));
    let reply = post(cx, &url, &headers, &body, within)
        .map_err(|error| format!("Perplexity API error {}", error.replace(key, "***")))?;
    let content = reply["choices"][0]["message"]["content"].as_str().unwrap_or("No response");
    let citations = reply["citations"].as_array().cloned().unwrap_or_default();
    Ok(json!({"query": query, "provider": "perplexity", "model": model, "content": content, "citations": citations}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_is_checked() {
        for good in ["pd", "py", "2026-01-01to2026-02-01"] {
            assert!(is_freshness(good), "{good}");
        }
        for bad in ["", "px", "2026-02-01to2026-01-01", "2026-1-1to2026-2-1", "today"] {
            assert!(!is_freshness(bad), "{bad}");
        }
    }
}
