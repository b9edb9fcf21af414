//! OpenAI Codex: the Responses format as ChatGPT's subscriptions are served it (`openai-codex-responses`).
//!
//! The system prompt is a field of its own, nothing is stored, the length of an answer cannot be set, and each request names
//! the account that its token is for. We introduce ourselves by our own name. Not here: items and events (`responses`),
//! the token (`auth_profiles`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::draft::Draft;
use super::exchange::{Call, Format, Refused};
use super::responses::{Responses, items, tools};
use super::{ProviderError, TurnRequest, bearer};

/// Where a token keeps which account it is for.
const CLAIM: &str = "https://api.openai.com/auth";
/// Codes of a plan that is used up.
const USED_UP: [&str; 3] = ["usage_limit_reached", "usage_not_included", "rate_limit_exceeded"];

#[derive(Default)]
pub(super) struct Codex(Responses);

impl Format for Codex {
    fn call(&self, request: &TurnRequest<'_>) -> Result<Call, ProviderError> {
        let model = request.model;
        let mut headers = bearer(request);
        if let Some(key) = request.key {
            let account = account(key.expose()).or_else(|| request.account.map(str::to_owned)).ok_or_else(|| {
                ProviderError::failed(format!(
                    "the token of {0} names no account: sign in again with: clawdbot models auth login --provider {0}",
                    model.provider
                ))
            })?;
            headers.push(("chatgpt-account-id", account));
        }
        headers.push(("openai-beta", "responses=experimental".to_owned()));
        headers.push(("originator", "clawdbot".to_owned()));
        headers.push(("accept", "text/event-stream".to_owned()));
        if !request.session_id.is_empty() {
            headers.push(("session_id", request.session_id.to_owned()));
        }
        Ok(Call { url: format!("{}/codex/responses", model.base_url), headers, body: body(request) })
    }

    fn take(&mut self, event: &Value, draft: &mut Draft<'_>) -> Result<(), ProviderError> {
        self.0.take(event, draft)
    }

    fn take_document(&mut self, document: &Value, draft: &mut Draft<'_>) -> Result<(), ProviderError> {
        self.0.take_document(document, draft)
    }

    fn refused(&self, status: u16, error: &Value) -> Refused {
        let code = error["code"].as_str().or(error["type"].as_str()).unwrap_or_default();
        if status != 429 && !USED_UP.contains(&code) {
            return Refused::default();
        }
        let plan = error["plan_type"].as_str().map(|plan| format!(" ({} plan)", plan.to_lowercase()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let wait = error["resets_at"].as_u64().map(|at| at.saturating_sub(now)).or(error["resets_in_seconds"].as_u64());
        let when = wait.map(|seconds| format!(" Try again in ~{} min.", seconds.div_ceil(60)));
        let text =
            format!("You have hit your ChatGPT usage limit{}.{}", plan.unwrap_or_default(), when.unwrap_or_default());
        Refused { message: Some(text), wait: wait.map(Duration::from_secs) }
    }
}

/// Returns the account that a token says it is for.
pub fn account(token: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&bytes).ok()?;
    claims[CLAIM]["chatgpt_account_id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned)
}

fn body(request: &TurnRequest<'_>) -> Value {
    let mut input = items(request);
    for item in input.iter_mut().filter(|item| item["type"] == "message") {
        // Nothing is stored there under an id.
        if let Some(item) = item.as_object_mut() {
            item.remove("id");
        }
    }
    let mut body = json!({
        "model": request.model.id,
        "store": false,
        "stream": true,
        "instructions": request.system_prompt,
        "text": {"verbosity": "medium"},
        "include": ["reasoning.encrypted_content"],
        "tool_choice": "auto",
        "parallel_tool_calls": true,
    });
    body["input"] = input.into();
    if !request.session_id.is_empty() {
        body["prompt_cache_key"] = request.session_id.into();
    }
    if let Some(temperature) = request.temperature() {
        body["temperature"] = temperature.clone();
    }
    if !request.tools.is_empty() {
        body["tools"] = tools(request, &Value::Null);
    }
    if request.model.reasoning && request.thinking != "off" {
        body["reasoning"] = json!({"effort": effort(&request.model.id, request.thinking), "summary": "auto"});
    }
    body
}

/// Returns the level nearest to the one that is wished for which the model takes.
fn effort<'a>(id: &str, level: &'a str) -> &'a str {
    let id = id.rsplit('/').next().unwrap_or(id);
    match level {
        "high" | "xhigh" if id == "gpt-5.1-codex-mini" => "high",
        _ if id == "gpt-5.1-codex-mini" => "medium",
        "minimal" if id.starts_with("gpt-5.2") => "low",
        "xhigh" if id == "gpt-5.1" => "high",
        level => level,
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::tests::{messages, model};
    use super::super::tests::request;
    use super::*;
    use crate::base::secret::Secret;

    #[test]
    fn requests_name_the_account_and_store_nothing() {
        let token =
            format!("x.{}.y", URL_SAFE_NO_PAD.encode(r#"{"https://api.openai.com/auth":{"chatgpt_account_id":"a1"}}"#));
        let said = messages(json!([
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "text", "text": "hello"}]},
        ]));
        let mut own = model("openai-codex", "gpt-5.2-codex", "openai-codex-responses");
        own.reasoning = true;
        let (token, opaque) = (Secret::new(token), Secret::new("opaque"));
        let mut asked = request(&own, &said);
        asked.key = Some(&token);
        let call = Codex::default().call(&asked).expect("a call");
        assert!(call.headers.contains(&("chatgpt-account-id", "a1".to_owned())));
        assert_eq!((&call.body["instructions"], &call.body["store"]), (&json!("be brief"), &json!(false)));
        assert_eq!(call.body["input"][0]["role"], "user");
        assert!(call.body["input"][1].get("id").is_none() && call.body.get("max_output_tokens").is_none());
        asked.key = Some(&opaque);
        assert!(Codex::default().call(&asked).is_err());
        asked.account = Some("stored");
        let call = Codex::default().call(&asked).expect("a call");
        assert!(call.headers.contains(&("chatgpt-account-id", "stored".to_owned())));
    }

    #[test]
    fn levels_are_those_of_the_model() {
        for (id, level, expected) in [
            ("gpt-5.2", "minimal", "low"),
            ("gpt-5.1", "xhigh", "high"),
            ("gpt-5.1-codex-mini", "low", "medium"),
            ("gpt-5.1-codex-mini", "xhigh", "high"),
            ("gpt-5.1-codex-max", "xhigh", "xhigh"),
        ] {
            assert_eq!(effort(id, level), expected, "{id} {level}");
        }
    }

    #[test]
    fn a_plan_that_is_used_up_is_told() {
        let error = json!({"type": "usage_limit_reached", "plan_type": "Plus", "resets_in_seconds": 119});
        let said = Codex::default().refused(429, &error).message.expect("words");
        assert_eq!(said, "You have hit your ChatGPT usage limit (plus plan). Try again in ~2 min.");
        assert!(Codex::default().refused(400, &json!({"code": "bad"})).message.is_none());
    }
}
