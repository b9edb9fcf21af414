//! One request to a model server and the answer it streams, the same for every wire format.
//!
//! Posts, reads server-sent events, and turns whatever goes wrong into one kind of error: a refusal with its status, an
//! error inside the stream, an end before the end, a silence. No error that leaves here holds a key. Runs on the job's
//! thread. Not here: what requests and events look like (a format's file), what an error is worth (`agent::failover`).

use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use serde_json::Value;

use super::draft::Draft;
use super::{Hearer, ProviderError, TurnRequest, copilot};
use crate::agent::message::AssistantMessage;
use crate::agent::models::Model;
use crate::base::clock::Clock;
use crate::base::text::ellipsize;
use crate::net::fetch::{Answer, Fetch, FetchError, RETRY_AFTER_MAX};
use crate::net::sse::Events;

/// Most of an error body that is read.
const ERROR_BYTES_MAX: u64 = 64 * 1024;
/// Most of an error body that is shown, in characters.
const ERROR_CHARS_MAX: usize = 600;
/// Largest answer that comes as one document.
const DOCUMENT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How long a server may send nothing at all before its answer counts as stalled.
const SILENCE_MAX: Duration = Duration::from_secs(180);
/// The same for servers of this machine, which may chew on a long prompt with one slow processor.
const SILENCE_LOCAL_MAX: Duration = Duration::from_secs(300);
/// Shortest text that is looked for as a secret in errors: shorter ones are words.
const SECRET_BYTES_MIN: usize = 8;

/// One request.
pub(super) struct Call {
    /// Where.
    pub(super) url: String,
    /// The format's own headers; those of the configuration come on top.
    pub(super) headers: Vec<(&'static str, String)>,
    /// What.
    pub(super) body: Value,
}

/// A wire format: how a turn is asked for, and what the events of an answer mean.
pub(super) trait Format {
    /// Returns the request.
    ///
    /// # Errors
    /// When something is missing that the server wants to be told.
    fn call(&self, request: &TurnRequest<'_>) -> Result<Call, ProviderError>;

    /// Takes one event of the stream.
    fn take(&mut self, event: &Value, draft: &mut Draft<'_>) -> Result<(), ProviderError>;

    /// Takes an answer that came as one document, although a stream was asked for.
    fn take_document(&mut self, _document: &Value, _draft: &mut Draft<'_>) -> Result<(), ProviderError> {
        Err(ProviderError::failed("the server answered with a document instead of a stream"))
    }

    /// Returns what else the `error` of a refusal tells.
    fn refused(&self, _status: u16, _error: &Value) -> Refused {
        Refused::default()
    }
}

/// What a format reads in a refusal.
#[derive(Default)]
pub(super) struct Refused {
    /// Better words than the server's.
    pub(super) message: Option<String>,
    /// How long it asks to wait.
    pub(super) wait: Option<Duration>,
}

/// Makes one turn.
pub(super) fn turn(
    format: &mut dyn Format,
    request: &TurnRequest<'_>,
    fetch: &Fetch,
    clock: &dyn Clock,
    hearer: &mut dyn Hearer,
) -> Result<AssistantMessage, ProviderError> {
    let mut draft = Draft::new(hearer);
    exchange(format, request, fetch, &mut draft)
        .and_then(|()| draft.finish(request.model, clock.now_ms()))
        .map_err(|error| without_secrets(error, request))
}

fn exchange(
    format: &mut dyn Format,
    request: &TurnRequest<'_>,
    fetch: &Fetch,
    draft: &mut Draft<'_>,
) -> Result<(), ProviderError> {
    let model = request.model;
    let mut call = format.call(request)?;
    copilot::adapt(request, &mut call);
    // A long conversation is megabytes; nothing of it is held while the answer streams.
    let body = std::mem::take(&mut call.body).to_string();
    let answer = fetch
        .post_json_within(&call.url, &headers(&call, model), body.as_bytes(), silence_max(model))
        .map_err(|error| unreachable(model, error))?;
    drop(body);
    if answer.status != 200 {
        return Err(refusal(format, answer));
    }
    if answer.content_type == "application/json" {
        let document = read_document(model, answer, fetch)?;
        return match error_of(&document) {
            Some(error) => Err(error),
            None => format.take_document(&document, draft),
        };
    }
    read_stream(format, &mut BufReader::new(answer.body), draft, &Connection { model, fetch })
}

/// What an answer is read from.
trait Link {
    /// Words its loss.
    fn lost(&self, error: io::Error) -> ProviderError;

    /// Has the next reads come back for now after so long.
    fn glance(&self, _wait: Option<Duration>) {}

    /// Returns whether the read that just failed did so only for now.
    fn came_back(&self) -> bool {
        false
    }
}

struct Connection<'a> {
    model: &'a Model,
    fetch: &'a Fetch,
}

impl Link for Connection<'_> {
    fn lost(&self, error: io::Error) -> ProviderError {
        unreachable(self.model, self.fetch.read_failure(&error))
    }

    fn glance(&self, wait: Option<Duration>) {
        self.fetch.glance(wait);
    }

    fn came_back(&self) -> bool {
        self.fetch.came_back()
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        // The next request of the job waits as long as it takes.
        self.fetch.glance(None);
    }
}

/// Reads events until the answer is whole.
fn read_stream(
    format: &mut dyn Format,
    stream: &mut dyn BufRead,
    draft: &mut Draft<'_>,
    link: &dyn Link,
) -> Result<(), ProviderError> {
    let cut_off = || {
        let what = "the connection ended before the answer was complete";
        Err(link.lost(io::Error::new(io::ErrorKind::UnexpectedEof, what)))
    };
    let mut events = Events::new(stream);
    while !draft.is_over {
        link.glance(draft.hearer.patience());
        let data = match events.next_data() {
            Ok(Some(data)) => data,
            // Shutting a socket down ends a body of unknown length like its server would.
            Ok(None) if draft.is_complete() => break,
            Ok(None) => return cut_off(),
            Err(_) if link.came_back() => {
                draft.hearer.pause();
                continue;
            }
            Err(_) if draft.is_complete() => break,
            Err(error) => return Err(link.lost(error)),
        };
        match data.trim() {
            "" => continue,
            "[DONE]" => break,
            _ => {}
        }
        match serde_json::from_str::<Value>(&data) {
            Ok(event) => match error_of(&event) {
                Some(error) => return Err(error),
                None => format.take(&event, draft)?,
            },
            // The answer is whole; what is torn came after it.
            Err(_) if draft.is_complete() => break,
            // The end of the data may be the end of the connection: then that is what is to be told.
            Err(_) if events.next_data().is_ok_and(|next| next.is_none()) => return cut_off(),
            Err(error) => {
                let start = ellipsize(&data, 120);
                return Err(ProviderError::failed(format!("the server sent a broken event ({error}): {start}")));
            }
        }
    }
    Ok(())
}

/// Returns the headers: the format's, then those of the configuration, which win.
fn headers(call: &Call, model: &Model) -> Vec<(String, String)> {
    let is_set = |name: &str| model.headers.keys().any(|own| own.eq_ignore_ascii_case(name));
    let of_format = call.headers.iter().filter(|(name, _)| !is_set(name));
    let of_format = of_format.map(|(name, value)| ((*name).to_owned(), value.clone()));
    of_format.chain(model.headers.iter().map(|(name, value)| (name.clone(), value.clone()))).collect()
}

fn silence_max(model: &Model) -> Duration {
    // A knob for tests and for unusual servers.
    let set = std::env::var("CLAWDBOT_MODEL_SILENCE_MS").ok().and_then(|text| text.trim().parse().ok());
    set.map(Duration::from_millis).unwrap_or(if model.is_local() { SILENCE_LOCAL_MAX } else { SILENCE_MAX })
}

fn read_document(model: &Model, answer: Answer, fetch: &Fetch) -> Result<Value, ProviderError> {
    let mut text = String::new();
    let read = answer.body.take(DOCUMENT_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| unreachable(model, fetch.read_failure(&error)))?;
    serde_json::from_str(&text).map_err(|error| {
        let start = ellipsize(text.trim(), 120);
        ProviderError::failed(format!("{} sent no valid JSON ({error}): {start}", model.provider))
    })
}

fn unreachable(model: &Model, error: FetchError) -> ProviderError {
    let at = shown_url(&model.base_url);
    match error {
        FetchError::Cancelled => ProviderError::Cancelled,
        FetchError::Failed(reason) => {
            ProviderError::failed(format!("connection error: {} at {at}: {reason}", model.provider))
        }
    }
}

/// Returns a URL without what may be secret in it.
fn shown_url(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}

/// Words what a server says with another status than 200.
fn refusal(format: &dyn Format, answer: Answer) -> ProviderError {
    let mut bytes = Vec::new();
    // What could be read of the explanation is better than none.
    let _ = answer.body.take(ERROR_BYTES_MAX).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    // Google wraps its errors in a list when it answers a stream.
    let parsed = serde_json::from_str::<Value>(&text).ok();
    let parsed = parsed.as_ref().map(|value| value.get(0).unwrap_or(value));
    let error = parsed.and_then(|value| value.get("error"));
    let refused = error.map(|error| format.refused(answer.status, error)).unwrap_or_default();
    let said = refused.message.or_else(|| said(error?)).unwrap_or_else(|| text.trim().to_owned());
    let said = if said.is_empty() { "status code (no body)".to_owned() } else { ellipsize(&said, ERROR_CHARS_MAX) };
    ProviderError::Failed {
        status: Some(answer.status),
        message: format!("{} {said}", answer.status),
        retry_after: answer.retry_after.or(refused.wait.map(|wait| wait.min(RETRY_AFTER_MAX))),
    }
}

/// Returns the error that an event is, if it is one: `{"error": …}` in most formats.
fn error_of(event: &Value) -> Option<ProviderError> {
    let error = event.get("error").filter(|error| !error.is_null())?;
    Some(stated(error))
}

/// Makes an error of what a server put inside an answer.
pub(super) fn stated(error: &Value) -> ProviderError {
    let number = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let word = ["type", "code", "status"].iter().find_map(|field| status_of(error.get(field)?.as_str()?));
    let said = said(error).unwrap_or_else(|| error.to_string());
    ProviderError::Failed { status: number.or(word), message: ellipsize(&said, ERROR_CHARS_MAX), retry_after: None }
}

/// Returns the words of an error, led by its kind where the words alone do not tell it.
fn said(error: &Value) -> Option<String> {
    let message = error.get("message").and_then(Value::as_str).or_else(|| error.as_str()).map(str::trim)?;
    let kind = error.get("type").and_then(Value::as_str).filter(|kind| kind.ends_with("_error"));
    match kind {
        _ if message.is_empty() => kind.map(str::to_owned),
        Some(kind) if status_of(kind).is_some() => Some(format!("{kind}: {message}")),
        _ => Some(message.to_owned()),
    }
}

/// Returns the status that stands for an error's name.
fn status_of(kind: &str) -> Option<u16> {
    Some(match kind {
        "authentication_error" | "invalid_api_key" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "timeout_error" => 408,
        "rate_limit_error" | "rate_limit_exceeded" | "insufficient_quota" => 429,
        "api_error" | "server_error" | "internal_server_error" => 500,
        "overloaded_error" => 529,
        _ => return None,
    })
}

/// Takes keys out of an error: servers like to repeat what they were sent.
fn without_secrets(error: ProviderError, request: &TurnRequest<'_>) -> ProviderError {
    let ProviderError::Failed { status, mut message, retry_after } = error else { return error };
    let key = request.key.map(crate::base::secret::Secret::expose);
    let of_headers = request.model.headers.values().flat_map(|value| value.split_whitespace());
    for secret in key.into_iter().chain(of_headers).filter(|it| it.len() >= SECRET_BYTES_MIN) {
        if message.contains(secret) {
            message = message.replace(secret, "***");
        }
    }
    ProviderError::Failed { status, message, retry_after }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn errors_inside_answers_are_told_apart() {
        for (error, status, message) in [
            (json!({"message": "overloaded", "code": 529}), Some(529), "overloaded"),
            (json!({"type": "overloaded_error", "message": "Overloaded"}), Some(529), "overloaded_error: Overloaded"),
            (json!({"code": 429, "message": "Resource exhausted", "status": "X"}), Some(429), "Resource exhausted"),
            (json!({"code": "server_error", "message": "sorry"}), Some(500), "sorry"),
            (json!("plain"), None, "plain"),
            (json!({"odd": 1}), None, "{\"odd\":1}"),
        ] {
            let expected = ProviderError::Failed { status, message: message.to_owned(), retry_after: None };
            assert_eq!(stated(&error), expected, "{error}");
        }
    }

    #[test]
    fn urls_are_shown_without_secrets() {
        assert_eq!(shown_url("https://u:p@x.example:1/v1?key=k"), "https://x.example:1/v1");
        assert_eq!(shown_url("http://127.0.0.1:9/v1"), "http://127.0.0.1:9/v1");
    }

    type Make = fn() -> Box<dyn Format>;

    /// Streams that end properly, one per format.
    fn streams() -> [(Make, Vec<Value>, &'static str); 5] {
        use super::super::{anthropic, code_assist, completions, google, responses};
        let delta = |delta: Value| json!({"choices": [{"delta": delta, "finish_reason": null}]});
        [
            (
                || Box::new(completions::Completions::default()),
                vec![
                    delta(json!({"reasoning_content": "hm"})),
                    delta(json!({"content": "a\u{e4}"})),
                    delta(
                        json!({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "t", "arguments": "{\"a\":1}"}}]}),
                    ),
                    json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}),
                ],
                "data: [DONE]\n\n",
            ),
            (
                || Box::new(anthropic::Anthropic::default()),
                vec![
                    json!({"type": "message_start", "message": {"usage": {"input_tokens": 1}}}),
                    json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                    json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a\u{e4}"}}),
                    json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "c", "name": "t"}}),
                    json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}}),
                    json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}}),
                    json!({"type": "message_stop"}),
                ],
                "",
            ),
            (
                || Box::new(google::Google::default()),
                vec![
                    json!({"candidates": [{"content": {"parts": [{"text": "a\u{e4}"}]}}]}),
                    json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "t", "args": {}}}]}, "finishReason": "STOP"}]}),
                ],
                "",
            ),
            (
                || Box::new(code_assist::CodeAssist::default()),
                vec![
                    json!({"response": {"candidates": [{"content": {"parts": [{"text": "a\u{e4}"}]}}]}}),
                    json!({"response": {"candidates": [{"content": {"parts": [{"functionCall": {"name": "t", "args": {}}}]},
                        "finishReason": "STOP"}]}}),
                ],
                "",
            ),
            (
                || Box::new(responses::Responses::default()),
                vec![
                    json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "m"}}),
                    json!({"type": "response.output_text.delta", "output_index": 0, "delta": "a\u{e4}"}),
                    json!({"type": "response.output_item.done", "output_index": 1, "item": {"type": "function_call",
                        "call_id": "c", "id": "fc_1", "name": "t", "arguments": "{}"}}),
                    json!({"type": "response.completed", "response": {"status": "completed"}}),
                ],
                "",
            ),
        ]
    }

    struct Bytes;

    impl Link for Bytes {
        fn lost(&self, error: io::Error) -> ProviderError {
            ProviderError::failed(format!("lost: {error}"))
        }
    }

    #[test]
    fn an_answer_that_is_cut_at_any_byte_is_whole_or_an_error() {
        for (format, events, end) in streams() {
            let lines: String = events.iter().map(|event| format!("event: x\r\ndata: {event}\r\n\r\n")).collect();
            let bytes = format!("{lines}{end}").into_bytes();
            let read = |bytes: &[u8]| {
                let mut on_text = |_: &str| ();
                let mut draft = Draft::new(&mut on_text);
                read_stream(&mut *format(), &mut &bytes[..], &mut draft, &Bytes)
                    .and_then(|()| draft.finish(&crate::agent::models::offline(), 1))
            };
            let whole = read(&bytes).expect("the whole answer");
            let mut errors = 0;
            for cut in 0..bytes.len() {
                match read(&bytes[..cut]) {
                    // Tokens may still be missing; what was said is all there.
                    Ok(message) => assert_eq!(message.content, whole.content, "cut at {cut}"),
                    Err(ProviderError::Failed { message, .. }) => {
                        errors += 1;
                        assert!(
                            message.starts_with("lost: ") || message.contains("content"),
                            "cut at {cut}: {message}"
                        );
                    }
                    Err(ProviderError::Cancelled) => panic!("nobody cancelled"),
                }
            }
            assert!(errors > bytes.len() / 2, "{errors} of {}", bytes.len());
        }
    }
}
