//! OpenAI's APIs on the gateway port: as recorded, streams that wait for their readers, runs that end with their clients.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::gateway::Gateway;
use crate::support::http;
use crate::support::http_wire::{events, replay, unlike};
use crate::support::provider::{Answer, Gate, Provider};
use crate::support::wire_formats::Part;

fn both() -> Value {
    json!({"gateway": {"http": {"endpoints": {"chatCompletions": {"enabled": true}, "responses": {"enabled": true}}}}})
}

/// The words of the recorded model.
pub fn recorded() -> Provider {
    Provider::start(|_, body| {
        let messages = body["messages"].as_array().expect("messages");
        let asked = messages.last().expect("one").to_string();
        match () {
            () if asked.contains("FAIL500") => Answer::Status(400, "boom from fake"),
            () if asked.contains("EMPTY") => Answer::Parts(vec![]),
            () => Answer::Text(vec!["Hello", " there,", " friend."]),
        }
    })
}

#[test]
fn chat_completions_as_recorded() {
    let provider = recorded();
    let gateway = Gateway::with_provider(&provider, both());
    let unlike = [
        unlike("too_large", 400, "the limit is that of the other endpoint: pictures are long; this body is no JSON"),
        unlike("provider_error_nonstream", 500, "what a provider says of an error is no answer"),
        unlike("models_404", 200, "it is an API here"),
    ];
    replay(&gateway, "chat_completions", &[], &unlike);
}

#[test]
fn responses_as_recorded() {
    let provider = recorded();
    let gateway = Gateway::with_provider(&provider, both());
    let unlike = [
        unlike("bad_tool_flat", 200, "OpenAI's clients send tools like this"),
        unlike("err_nonstream", 500, "what a provider says of an error is no answer"),
        unlike("err_stream", 200, "the stream says that it failed"),
    ];
    replay(&gateway, "responses", &[], &unlike);
}

#[test]
fn a_disabled_api_says_so() {
    let gateway = Gateway::start(json!({}));
    for path in ["/v1/chat/completions", "/v1/responses", "/v1/models", "/v1/nothing"] {
        let response = http::get(gateway.socket(), "GET", path);
        assert_eq!(response.status, 404, "{path}: {}", response.body);
        let body: Value = serde_json::from_str(&response.body).expect("JSON, not the page");
        assert_eq!(body["error"]["type"], "not_found", "{body}");
    }
}

#[test]
fn models_are_the_agents() {
    let mut config = both();
    config["agents"] = json!({"list": [{"id": "main"}, {"id": "ops"}]});
    let gateway = Gateway::start(config);
    let get = |path: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer tok\r\n\r\n");
        http::exchange(gateway.socket(), request.as_bytes()).expect("a response")
    };
    let list: Value = serde_json::from_str(&get("/v1/models").body).expect("JSON");
    let ids: Vec<&str> = list["data"].as_array().expect("data").iter().filter_map(|it| it["id"].as_str()).collect();
    assert_eq!(ids, ["clawdbot", "clawdbot:main", "clawdbot:ops"]);
    assert_eq!(get("/v1/models/clawdbot:ops").status, 200);
    assert_eq!(get("/v1/models/gpt-5").status, 404);
    assert_eq!(http::get(gateway.socket(), "GET", "/v1/models").status, 401);
}

/// The model that calls the client's tool, and answers once it knows the weather.
fn weather() -> Provider {
    Provider::start(|_, body| {
        let asked = body["messages"].as_array().expect("messages").last().expect("one").to_string();
        match asked.contains("sunny") {
            true => Answer::Text(vec!["It is", " sunny."]),
            false => Answer::Parts(vec![
                Part::Text("Let me see."),
                Part::Call("call_7", "get_weather", r#"{"city":"Graz"}"#),
            ]),
        }
    })
}

#[test]
fn client_tools_reach_the_model_and_come_back() {
    let provider = weather();
    let gateway = Gateway::with_provider(&provider, both());
    let function = json!({"name": "get_weather", "description": "d", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}});
    let tools = json!([{"type": "function", "function": function}]);
    let question = json!({"role": "user", "content": "weather?"});
    let mut body = json!({"model": "clawdbot", "messages": [question], "tools": tools});
    let response = http::post(&gateway, "/v1/chat/completions", "", &body);
    let answer: Value = serde_json::from_str(&response.body).expect("JSON");
    let choice = &answer["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], &choice["message"]["content"]),
        (&json!("tool_calls"), &json!("Let me see."))
    );
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(
        (&call["function"]["name"], &call["function"]["arguments"]),
        (&json!("get_weather"), &json!(r#"{"city":"Graz"}"#))
    );
    let offered = provider.requests()[0]["tools"].to_string();
    assert!(offered.contains("get_weather") && offered.contains("\"exec\""), "{offered}");

    body["messages"] =
        json!([question, choice["message"], {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}]);
    let response = http::post(&gateway, "/v1/chat/completions", "", &body);
    let answer: Value = serde_json::from_str(&response.body).expect("JSON");
    assert_eq!(answer["choices"][0]["message"]["content"], "It is sunny.");
    assert_eq!(answer["usage"]["total_tokens"], 20);

    body["messages"] = json!([question]);
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let response = http::post(&gateway, "/v1/chat/completions", "", &body);
    let chunks = events(&response.body);
    let has = |pointer: &str, value: &Value| chunks.iter().any(|(_, chunk)| chunk.pointer(pointer) == Some(value));
    assert!(has("/choices/0/delta/tool_calls/0/function/name", &json!("get_weather")), "{}", response.body);
    assert!(has("/choices/0/finish_reason", &json!("tool_calls")) && has("/usage/total_tokens", &json!(20)));

    let ask = json!({"model": "clawdbot", "input": "weather?", "tools": tools, "stream": true});
    let response = http::post(&gateway, "/v1/responses", "", &ask);
    let all = events(&response.body);
    let (_, completed) = all.iter().find(|(name, _)| name == "response.completed").expect("completed");
    assert_eq!(completed["response"]["status"], "incomplete");
    let item = &completed["response"]["output"][1];
    assert_eq!(
        (&item["type"], &item["call_id"], &item["name"]),
        (&json!("function_call"), &json!("call_7"), &json!("get_weather"))
    );
    assert_eq!(all.last().expect("events").1, "[DONE]");
}

#[test]
fn a_user_has_one_session() {
    let provider = Provider::always(Answer::Text(vec!["Hi."]));
    let gateway = Gateway::with_provider(&provider, both());
    for (text, user) in [("first-words", "Alice"), ("more-words", "alice"), ("other-words", "bob")] {
        let body = json!({"model": "clawdbot:main", "user": user, "messages": [{"role": "user", "content": text}]});
        assert_eq!(http::post(&gateway, "/v1/chat/completions", "", &body).status, 200);
    }
    let sessions = gateway.home.sessions();
    assert!(
        sessions.get("agent:main:openai-user:alice").is_some() && sessions.get("agent:main:openai-user:bob").is_some()
    );
    let requests = provider.requests();
    assert!(requests[1].to_string().contains("first-words") && !requests[2].to_string().contains("first-words"));
}

#[test]
fn pictures_and_files_reach_the_model() {
    const PNG: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let provider = Provider::always(Answer::Text(vec!["I see."]));
    let mut config = both();
    config["models"] = json!({"providers": {"test": {"baseUrl": provider.url(), "apiKey": "k", "api": "openai-completions", "models": [{
        "id": "m", "name": "m", "reasoning": false, "input": ["text", "image"], "contextWindow": 32000, "maxTokens": 1000,
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}}]}}});
    config["agents"] = json!({"defaults": {"model": {"primary": "test/m"}}});
    let gateway = Gateway::start(config);
    let url = format!("data:image/png;base64,{PNG}");
    let content = json!([{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}},
        {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,Zm9ydHktdHdv"}}]);
    let body = json!({"model": "clawdbot", "messages": [{"role": "user", "content": content}]});
    assert_eq!(http::post(&gateway, "/v1/chat/completions", "", &body).status, 200);
    let asked = provider.requests()[0].to_string();
    assert!(asked.contains(PNG) && asked.contains("forty-two") && asked.contains("a.txt"), "{asked}");
}

/// Whoever hangs up in the middle wants no more: the model's server sees its connection end.
#[test]
fn a_run_ends_with_its_client() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |_, _| Answer::Held("Hello", held.clone(), " again."));
    let gateway = Gateway::with_provider(&provider, both());
    let mut client = gateway.client();
    for stream in [true, false] {
        let mut socket = gateway.socket();
        let body = json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hi"}]});
        http::send(&mut socket, "/v1/chat/completions", "", &body);
        if stream {
            let mut seen = String::new();
            while !seen.contains("Hello") {
                let mut piece = [0; 1024];
                let count = socket.read(&mut piece).expect("events");
                seen.push_str(&String::from_utf8_lossy(&piece[..count]));
            }
        } else {
            provider.wait_requests(2);
        }
        drop(socket);
        let end = client.wait("the end of the run", |frame| {
            frame["payload"]["stream"] == "lifecycle" && frame["payload"]["data"]["phase"] == "end"
        });
        assert_eq!(end["payload"]["data"]["aborted"], true, "stream: {stream}");
    }
    gate.open();
}

/// A stream that nobody reads is held up at its source, not collected here.
/// More silent connections than may stand before their handshake: the oldest of them goes, and not who is being answered.
#[test]
fn silent_connections_do_not_end_an_answer_under_way() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |_, _| Answer::Held("Hello", held.clone(), " again."));
    let gateway = Gateway::with_provider(&provider, both());
    let mut socket = gateway.socket();
    let body = json!({"stream": true, "messages": [{"role": "user", "content": "hi"}]});
    http::send(&mut socket, "/v1/chat/completions", "", &body);
    let mut piece = [0; 1024];
    let count = socket.read(&mut piece).unwrap();
    let mut received = piece[..count].to_vec();
    let silent: Vec<_> = (0..1100).map(|_| gateway.socket()).collect();
    // Answered after all of them were accepted.
    gateway.client().request("health", json!({})).unwrap();
    gate.open();
    socket.read_to_end(&mut received).unwrap();
    let received = String::from_utf8_lossy(&received);
    assert!(received.contains("[DONE]"), "{received}");
    drop(silent);
}

#[test]
fn a_stream_waits_for_its_reader() {
    const PIECES: usize = 60;
    // Together more than the kernel holds for both sides.
    let piece: &'static str = "0123456789abcdef".repeat(4096).leak();
    let provider = Provider::always(Answer::Text(vec![piece; PIECES]));
    let gateway = Gateway::with_provider(&provider, both());
    let mut socket = gateway.socket();
    let body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    http::send(&mut socket, "/v1/chat/completions", "", &body);
    provider.wait_requests(1);
    // Others are served meanwhile.
    let began = Instant::now();
    assert_eq!(gateway.client().request("health", json!({})).expect("health")["ok"], true);
    assert!(began.elapsed() < PATIENCE);
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("all of it");
    let text = String::from_utf8(answer).expect("text");
    assert!(text.ends_with("0\r\n\r\n"), "the end is there");
    let said = http::unchunked(text.split_once("\r\n\r\n").expect("a head").1);
    let spoken: usize =
        events(&said).iter().filter_map(|(_, it)| it["choices"][0]["delta"]["content"].as_str()).map(str::len).sum();
    assert_eq!(spoken, piece.len() * PIECES);
}

#[test]
fn large_bodies_of_strangers_are_not_taken_in() {
    let gateway = Gateway::start(both());
    let ask = |secret: &str, length: usize| {
        let mut socket = gateway.socket();
        let head = format!(
            "POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\nContent-Length: {length}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).expect("sent");
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        http::read_response(&socket).map(|it| it.status)
    };
    assert_eq!(ask("nobody", 10_000_000), Some(401));
    assert_eq!(ask("tok", 100_000_000), Some(413));
}
