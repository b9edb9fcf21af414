//! Google Cloud Code Assist: Gemini as accounts of Google's Gemini CLI are served it (`google-gemini-cli`).
//!
//! A request of the Generative AI interface in an envelope that names the project and the model; events come in an envelope
//! too. We introduce ourselves by our own name. Not here: what is inside (`google`), the project (`auth_profiles`).

use std::time::Duration;

use serde_json::{Value, json};

use super::draft::Draft;
use super::exchange::{Call, Format, Refused};
use super::google::{self, Google};
use super::{ProviderError, TurnRequest};

/// Tokens of thinking: minimal, low, medium, high.
const BUDGETS: [u64; 4] = [1024, 2048, 8192, 16_384];
/// What is left for the answer of a model that could think as long as it may speak.
const ANSWER_TOKENS_MIN: u64 = 1024;

#[derive(Default)]
pub(super) struct CodeAssist {
    inner: Google,
    has_content: bool,
}

impl Format for CodeAssist {
    fn call(&self, request: &TurnRequest<'_>) -> Result<Call, ProviderError> {
        let model = request.model;
        let project = request.account.ok_or_else(|| {
            ProviderError::failed(format!(
                "the sign-in at {0} names no Google Cloud project: sign in again with: clawdbot models auth login --provider {0}",
                model.provider
            ))
        })?;
        let mut headers = vec![("accept", "text/event-stream".to_owned())];
        headers.extend(request.key.map(|key| ("authorization", format!("Bearer {}", key.expose()))));
        let inner = body(request);
        let mut body = json!({"project": project, "model": model.id, "userAgent": "clawdbot"});
        body["request"] = inner;
        Ok(Call { url: format!("{}/v1internal:streamGenerateContent?alt=sse", model.base_url), headers, body })
    }

    fn take(&mut self, event: &Value, draft: &mut Draft<'_>) -> Result<(), ProviderError> {
        let inner = &event["response"];
        let parts = inner.pointer("/candidates/0/content/parts").and_then(Value::as_array).into_iter().flatten();
        self.has_content |= parts
            .into_iter()
            .any(|part| part["text"].as_str().is_some_and(|text| !text.is_empty()) || part["functionCall"].is_object());
        self.inner.take(inner, draft)?;
        if draft.is_complete() && !self.has_content {
            // It happens now and then, and asking again helps.
            return Err(ProviderError::failed("connection error: the provider sent an empty answer"));
        }
        Ok(())
    }

    fn refused(&self, _status: u16, error: &Value) -> Refused {
        let details = error["details"].as_array().into_iter().flatten();
        let stated = details.filter_map(|detail| detail["retryDelay"].as_str()).next().and_then(duration);
        let text = error["message"].as_str().unwrap_or_default();
        let after = |mark: &str| text.find(mark).map(|at| &text[at + mark.len()..]).and_then(duration);
        Refused { message: None, wait: stated.or_else(|| after("reset after ")).or_else(|| after("retry in ")) }
    }
}

/// Reads what a text begins with as a duration: `18h31m10s`, `34.07s`, `250ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    loop {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let Ok(number) = rest[..end].parse::<f64>() else { break };
        let units = [("ms", 0.001), ("h", 3600.0), ("m", 60.0), ("s", 1.0)];
        let Some((unit, factor)) = units.into_iter().find(|(unit, _)| rest[end..].starts_with(unit)) else { break };
        seconds += number * factor;
        rest = &rest[end + unit.len()..];
    }
    (rest.len() < text.len()).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

fn body(request: &TurnRequest<'_>) -> Value {
    let mut body = google::body(request);
    if let Some(system) = body.get_mut("systemInstruction").and_then(Value::as_object_mut) {
        system.remove("role");
    }
    if !request.session_id.is_empty() {
        body["sessionId"] = request.session_id.into();
    }
    let generation = &mut body["generationConfig"];
    if generation["thinkingConfig"].get("thinkingBudget").is_some() {
        let levels = ["minimal", "low", "medium", "high"];
        let step = levels.iter().position(|level| *level == request.thinking).unwrap_or(BUDGETS.len() - 1);
        let tokens_max = request.max_tokens().saturating_add(BUDGETS[step]).min(request.model.max_tokens);
        let budget = BUDGETS[step].min(tokens_max.saturating_sub(ANSWER_TOKENS_MIN));
        generation["thinkingConfig"]["thinkingBudget"] = budget.into();
        generation["maxOutputTokens"] = tokens_max.into();
    }
    body
}

#[cfg(test)]
mod tests {
    use super::super::history::tests::{messages, model};
    use super::super::tests::{request, take};
    use super::*;

    #[test]
    fn requests_are_wrapped_and_answers_unwrapped() {
        let said = messages(json!([{"role": "user", "content": "hi"}]));
        let mut own = model("google-gemini-cli", "gemini-2.5-pro", "google-gemini-cli");
        (own.reasoning, own.max_tokens) = (true, 4000);
        let mut asked = request(&own, &said);
        assert!(CodeAssist::default().call(&asked).is_err());
        asked.account = Some("my-project");
        let call = CodeAssist::default().call(&asked).expect("a call");
        assert_eq!((&call.body["project"], &call.body["model"]), (&json!("my-project"), &json!("gemini-2.5-pro")));
        let inner = &call.body["request"];
        assert_eq!(inner["systemInstruction"], json!({"parts": [{"text": "be brief"}]}));
        assert_eq!((&inner["sessionId"], &inner["contents"][0]["role"]), (&json!("s"), &json!("user")));
        let thinking = json!({"includeThoughts": true, "thinkingBudget": 2048});
        assert_eq!(inner["generationConfig"], json!({"maxOutputTokens": 4000, "thinkingConfig": thinking}));

        let wrapped = |part: Value, end: Value| json!({"response": {"candidates": [{"content": {"parts": [part]}, "finishReason": end}]}});
        let whole =
            take(&mut CodeAssist::default(), &[wrapped(json!({"text": "hello"}), json!("STOP"))]).expect("whole");
        assert_eq!(whole.content.len(), 1);
        let empty = take(&mut CodeAssist::default(), &[wrapped(json!({"text": ""}), json!("STOP"))]);
        assert!(empty.is_err_and(|error| crate::agent::failover::is_transient(&error)));
    }

    #[test]
    fn waits_are_found_in_errors() {
        for (error, seconds) in [
            (json!({"message": "Your quota will reset after 1h1m10s."}), Some(3670)),
            (json!({"message": "Please retry in 2s"}), Some(2)),
            (json!({"message": "x", "details": [{}, {"retryDelay": "34.0s"}]}), Some(34)),
            (json!({"message": "no"}), None),
        ] {
            assert_eq!(CodeAssist::default().refused(429, &error).wait, seconds.map(Duration::from_secs), "{error}");
        }
    }
}
