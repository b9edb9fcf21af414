//! Model providers: the wire formats, each of their failures, stored credentials, and who is asked next.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Client, now_ms};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Asked, Gate, Provider};
use crate::support::wire_formats::{Part, Wire};

mod sign_in;

const MAIN: &str = "agent:main:main";
/// Valid base64, as one of the formats demands of signatures.
const SIGNATURE: &str = "c2lnbmF0dXJl";
/// A picture of one pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn entry(url: &str, api: &str) -> Value {
    json!({"baseUrl": url, "api": api, "models": [{
        "id": "m", "name": "m", "reasoning": true, "input": ["text", "image"], "contextWindow": 32000, "maxTokens": 4000,
        "cost": {"input": 1, "output": 2, "cacheRead": 0.5, "cacheWrite": 1},
    }]})
}

/// A home whose agent asks `test/m`, then the fallbacks.
fn home(providers: Value, fallbacks: &[&str]) -> Home {
    Home::with_config(&json!({
        "models": {"providers": providers},
        "agents": {"defaults": {"model": {"primary": "test/m", "fallbacks": fallbacks}}},
    }))
}

fn gateway_of(provider: &Provider, wire: Wire) -> Gateway {
    let mut test = entry(&provider.url(), wire.api());
    if wire.provider() == "test" {
        test["apiKey"] = "sk-configured-key".into();
        return Gateway::start_in(home(json!({"test": test}), &[]), &[], &[]);
    }
    // Their formats are no words of the configuration: they come with the provider, and with a sign-in.
    test.as_object_mut().unwrap().remove("api");
    let home = Home::with_config(&json!({
        "models": {"providers": {wire.provider(): test}},
        "agents": {"defaults": {"model": {"primary": format!("{}/m", wire.provider())}}},
    }));
    let expires = now_ms() + 3_600_000;
    write_profiles(
        &home,
        json!({"p:default": {"type": "oauth", "provider": wire.provider(), "access": "sk-configured-key",
        "refresh": "r", "expires": expires, "accountId": "acc", "projectId": "proj"}}),
    );
    Gateway::start_in(home, &[], &[])
}

fn send(client: &mut Client, session: &str, run: &str, message: &str) {
    let params = json!({"sessionKey": session, "message": message, "idempotencyKey": run});
    client.request("chat.send", params).expect("started");
}

/// The text or the error that a run ends with.
fn outcome(client: &mut Client, session: &str, run: &str, message: &str) -> Result<String, String> {
    send(client, session, run, message);
    let end = client.chat_end(run);
    match end["state"].as_str() {
        Some("final") => Ok(end["message"]["content"][0]["text"].as_str().unwrap_or_default().to_owned()),
        _ => Err(end["errorMessage"].as_str().unwrap_or_default().to_owned()),
    }
}

fn history(client: &mut Client) -> Vec<Value> {
    let history = client.request("chat.history", json!({"sessionKey": MAIN})).expect("history");
    history["messages"].as_array().expect("messages").clone()
}

/// What the transcripts of a home hold, line by line.
fn transcript(home: &Home) -> Vec<Value> {
    let texts = home.transcripts().into_iter().map(|path| std::fs::read_to_string(path).expect("a transcript"));
    let lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn each_format_streams_reasons_and_is_counted() {
    for wire in Wire::ALL {
        let answer = vec![Part::Thinking("let me see", SIGNATURE), Part::Text("Hello th\u{e9}re.")];
        let provider = Provider::always(Answer::Parts(answer));
        let gateway = gateway_of(&provider, wire);
        let mut client = gateway.client();
        assert_eq!(outcome(&mut client, MAIN, "r1", "hi model").as_deref(), Ok("Hello th\u{e9}re."), "{wire:?}");
        let delta = client.unread().iter().any(|it| it["event"] == "chat" && it["payload"]["state"] == "delta");
        assert!(delta || client.seqs().len() > 2, "{wire:?}: text arrived in pieces");

        let lines = transcript(&gateway.home);
        let message = &lines.iter().rfind(|line| line["message"]["role"] == "assistant").expect("a turn")["message"];
        assert_eq!(message["api"], wire.api());
        let thinking = &message["content"][0];
        assert_eq!((&thinking["type"], &thinking["thinking"]), (&json!("thinking"), &json!("let me see")), "{wire:?}");
        let usage = &message["usage"];
        let counted = ["input", "cacheRead", "output", "totalTokens"].map(|field| usage[field].as_u64());
        assert_eq!(counted, [Some(7), Some(4), Some(9), Some(20)], "{wire:?}");
        let cost = usage["cost"]["total"].as_f64().expect("a price");
        assert!((cost - (7.0 + 18.0 + 2.0) / 1e6).abs() < 1e-12, "{wire:?}: {cost}");

        // Reasoning goes back to where it came from, in the shape it came in.
        assert!(outcome(&mut client, MAIN, "r2", "and again").is_ok());
        let asked = provider.asked();
        let (first, second) = (&asked[0], asked[1].body.to_string());
        assert_eq!(Wire::of(&first.path), wire);
        let key = match wire {
            Wire::Anthropic => first.header("x-api-key"),
            Wire::Google => first.header("x-goog-api-key"),
            _ => first.header("authorization").and_then(|value| value.strip_prefix("Bearer ")),
        };
        assert_eq!(key, Some("sk-configured-key"), "{wire:?}");
        let back = if wire == Wire::Completions { "\"reasoning_content\":\"let me see\"" } else { SIGNATURE };
        assert!(second.contains(back) && second.contains("Hello th\u{e9}re."), "{wire:?}: {second}");
    }
}

#[test]
fn each_format_calls_tools_and_is_told_of_broken_arguments() {
    for wire in Wire::ALL {
        let provider = Provider::start(move |index, _| {
            Answer::Parts(match index {
                0 => vec![
                    Part::Text("Two."),
                    Part::Call("call.1", "exec", r#"{"command": "echo tool-$((40+2))"}"#),
                    Part::Call("call.2", "read", "{\"path\": \"unfini"),
                ],
                _ => vec![Part::Text("It printed that.")],
            })
        });
        let gateway = gateway_of(&provider, wire);
        let mut client = gateway.client();
        assert_eq!(outcome(&mut client, MAIN, "r1", "run it").as_deref(), Ok("It printed that."), "{wire:?}");
        let results: Vec<Value> = history(&mut client).into_iter().filter(|it| it["role"] == "toolResult").collect();
        assert_eq!(
            results.iter().map(|it| &it["isError"]).collect::<Vec<_>>(),
            [false, true],
            "{wire:?}: {results:#?}"
        );
        let request = provider.requests()[1].to_string();
        assert!(request.contains("tool-42") && request.contains("Validation failed"), "{wire:?}: {request}");
        assert!(provider.requests()[0].to_string().contains("\"exec\""), "tools are offered");
    }
}

#[test]
fn each_format_takes_images() {
    for wire in Wire::ALL {
        let provider = Provider::always(Answer::Parts(vec![Part::Text("A dot.")]));
        let gateway = gateway_of(&provider, wire);
        let mut client = gateway.client();
        let attachment = json!({"type": "image", "mimeType": "image/png", "content": PNG});
        let params =
            json!({"sessionKey": MAIN, "message": "look", "idempotencyKey": "r1", "attachments": [attachment]});
        client.request("chat.send", params).expect("started");
        assert_eq!(client.chat_end("r1")["state"], "final");
        let request = provider.requests()[0].to_string();
        assert!(request.contains(PNG) && request.contains("image/png"), "{wire:?}");
    }
}

#[test]
fn each_formats_failures_are_errors_and_the_next_run_works() {
    let said = vec![Part::Text("some words of an answer"), Part::Call("c1", "exec", "{\"command\":\"echo never\"}")];
    for wire in Wire::ALL {
        let whole = wire.stream(&said).len();
        let cuts = [1, whole / 4, whole / 2, whole * 5 / 8];
        let parts = said.clone();
        let provider = Provider::judging(move |asked| {
            let text = asked.body.to_string();
            match (0..cuts.len()).find(|at| text.contains(&format!("case-cut-{at}"))) {
                Some(at) if !text.contains("case-again") => Answer::Cut(parts.clone(), cuts[at]),
                _ if text.contains("case-again") => Answer::Parts(vec![Part::Text("fine")]),
                _ if text.contains("case-inside") => Answer::StreamError("overloaded_error", "come back later"),
                _ => Answer::Status(400, "no such luck"),
            }
        });
        let gateway = gateway_of(&provider, wire);
        let mut client = gateway.client();
        for case in ["cut-0", "cut-1", "cut-2", "cut-3", "inside", "refused"] {
            let session = format!("agent:main:{case}");
            let error = outcome(&mut client, &session, case, &format!("case-{case}")).expect_err("an error");
            let words = match case {
                "inside" => "come back later",
                "refused" => "400 no such luck",
                _ => "connection error",
            };
            assert!(error.contains(words), "{wire:?} {case}: {error}");
            let next = outcome(&mut client, &session, &format!("{case}-next"), "case-again");
            assert_eq!(next.as_deref(), Ok("fine"), "{wire:?} {case}");
        }
        let results = transcript(&gateway.home).iter().filter(|it| it["message"]["role"] == "toolResult").count();
        assert_eq!(results, 0, "{wire:?}: no call of a broken answer is carried out");
        let refused = provider.asked().iter().filter(|it| it.body.to_string().contains("case-refused")).count();
        assert_eq!(refused, 2, "{wire:?}: what is refused is not tried again");
    }
}

fn auth_file(home: &Home) -> std::path::PathBuf {
    home.state_dir().join("agents/main/agent/auth-profiles.json")
}

fn write_profiles(home: &Home, profiles: Value) {
    let file = auth_file(home);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, json!({"version": 1, "profiles": profiles, "kept": true}).to_string()).unwrap();
}

fn read_profiles(home: &Home) -> Value {
    serde_json::from_str(&std::fs::read_to_string(auth_file(home)).unwrap()).expect("JSON")
}

fn two_keys() -> Value {
    json!({
        "test:one": {"type": "api_key", "provider": "test", "key": "sk-secret-number-one"},
        "test:two": {"type": "token", "provider": "test", "token": "sk-secret-number-two", "expires": now_ms() + 3_600_000},
    })
}

fn key_of(asked: &Asked) -> &str {
    asked.header("authorization").unwrap_or_default().rsplit('-').next().unwrap_or_default()
}

#[test]
fn a_key_that_fails_rests_and_the_next_one_answers() {
    use std::os::unix::fs::PermissionsExt as _;
    let provider = Provider::judging(|asked| match key_of(asked) {
        "two" => Answer::Status(429, "key sk-secret-number-two is out of luck"),
        _ => Answer::Text(vec!["from one"]),
    });
    let home = home(json!({"test": entry(&provider.url(), "openai-completions")}), &[]);
    write_profiles(&home, two_keys());
    let gateway = Gateway::start_in(home, &[], &[]);
    let mut client = gateway.client();
    let before = now_ms();
    assert_eq!(outcome(&mut client, MAIN, "r1", "hello").as_deref(), Ok("from one"));
    // Tokens come before keys; a limited one is not asked again while there is another.
    assert_eq!(provider.asked().iter().map(key_of).collect::<Vec<_>>(), ["two", "one"]);

    let file = read_profiles(&gateway.home);
    let stats = &file["usageStats"];
    let rests = stats["test:two"]["cooldownUntil"].as_u64().expect("a rest");
    assert!((before + 60_000..=now_ms() + 60_000).contains(&rests), "{stats}");
    assert_eq!(
        (&stats["test:two"]["errorCount"], &stats["test:two"]["failureCounts"]["rate_limit"]),
        (&json!(1), &json!(1))
    );
    assert!(stats["test:one"]["lastUsed"].as_u64().is_some_and(|at| at >= before), "{stats}");
    assert_eq!((&file["lastGood"]["test"], &file["kept"]), (&json!("test:one"), &json!(true)));
    assert_eq!(file["profiles"].as_object().map(serde_json::Map::len), Some(2));
    let mode = std::fs::metadata(auth_file(&gateway.home)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    assert_eq!(outcome(&mut client, MAIN, "r2", "hello").as_deref(), Ok("from one"));
    assert_eq!(provider.asked().len(), 3, "the resting key was left alone");
    assert_eq!(gateway.home.sessions()[MAIN]["authProfileOverride"], "test:one", "the session sticks to it");

    let told: Vec<String> = transcript(&gateway.home).iter().map(Value::to_string).collect();
    let log = std::fs::read_to_string(gateway.home.log_file()).unwrap_or_default();
    for place in [told.join("\n"), log] {
        assert!(!place.contains("sk-secret"), "a key was told: {place}");
    }
    assert!(told.join("\n").contains("key *** is out of luck"), "{told:?}");
}

#[test]
fn with_all_keys_at_rest_nobody_is_asked() {
    let provider = Provider::always(Answer::Status(401, "who are you"));
    let home = home(json!({"test": entry(&provider.url(), "anthropic-messages")}), &[]);
    write_profiles(&home, two_keys());
    let gateway = Gateway::start_in(home, &[], &[]);
    let mut client = gateway.client();
    let error = outcome(&mut client, MAIN, "r1", "hello").expect_err("refused");
    assert_eq!(error, "401 who are you");
    assert_eq!(provider.asked().len(), 2, "each key once");
    let error = outcome(&mut client, MAIN, "r2", "hello").expect_err("nobody");
    assert_eq!(error, "No available auth profile for test (all in cooldown or unavailable).");
    assert_eq!(provider.asked().len(), 2);
}

#[test]
fn a_person_may_choose_the_key() {
    let provider = Provider::always(Answer::Text(vec!["fine"]));
    let home = home(json!({"test": entry(&provider.url(), "openai-completions")}), &[]);
    write_profiles(&home, two_keys());
    let gateway = Gateway::start_in(home, &[], &[]);
    let mut client = gateway.client();
    let said = outcome(&mut client, MAIN, "c1", "/model test/m@test:none").expect("answered");
    assert_eq!(said, "Auth profile \"test:none\" not found.");
    let said = outcome(&mut client, MAIN, "c2", "/model test/m@test:one").expect("answered");
    assert!(said.ends_with("Auth profile set to test:one."), "{said}");
    for run in ["r1", "r2"] {
        assert_eq!(outcome(&mut client, MAIN, run, "hello").as_deref(), Ok("fine"));
    }
    assert_eq!(provider.asked().iter().map(key_of).collect::<Vec<_>>(), ["one", "one"]);
}

#[test]
fn when_a_server_fails_the_next_model_answers() {
    let gate = Gate::default();
    let held = gate.clone();
    let silent = Provider::always(Answer::Hang(held));
    let broken = Provider::always(Answer::Status(500, "internal trouble"));
    let reset = Provider::always(Answer::Drop);
    let absent = Provider::absent();
    let spare = Provider::always(Answer::Parts(vec![Part::Text("spare answer")]));
    for (case, provider) in [("500", &broken), ("reset", &reset), ("refused", &absent), ("silent", &silent)] {
        let providers = json!({
            "test": entry(&provider.url(), "openai-completions"), "spare": entry(&spare.url(), "google-generative-ai"),
        });
        let gateway = Gateway::start_in(home(providers, &["spare/m"]), &[], &[("CLAWDBOT_MODEL_SILENCE_MS", "300")]);
        let mut client = gateway.client();
        assert_eq!(outcome(&mut client, MAIN, "r1", "hello").as_deref(), Ok("spare answer"), "{case}");
        let sessions = client.request("sessions.list", json!({})).unwrap();
        assert_eq!(sessions["sessions"][0]["modelProvider"], "spare", "{case}: {sessions}");
    }
    gate.open();
}

#[test]
fn when_the_time_is_over_the_next_model_gets_as_much_again() {
    let gate = Gate::default();
    let held = gate.clone();
    let slow = Provider::always(Answer::Held("Well", held, "never"));
    let spare = Provider::always(Answer::Parts(vec![Part::Text("spare answer")]));
    let providers = json!({
        "test": entry(&slow.url(), "openai-completions"), "spare": entry(&spare.url(), "openai-completions"),
    });
    let home = home(providers, &["spare/m"]);
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(home.config_file()).unwrap()).unwrap();
    config["agents"]["defaults"]["timeoutSeconds"] = 1.into();
    home.write_config(&config.to_string());
    let gateway = Gateway::start_in(home, &[], &[]);
    let mut client = gateway.client();
    assert_eq!(outcome(&mut client, MAIN, "r1", "hello").as_deref(), Ok("spare answer"));
    // Nobody is left after the last one.
    client.request("sessions.patch", json!({"key": MAIN, "model": "spare/m"})).expect("patched");
    let slow_too = Provider::always(Answer::Hang(gate.clone()));
    config["models"]["providers"]["spare"]["baseUrl"] = slow_too.url().into();
    gateway.home.write_config(&config.to_string());
    let gateway = Gateway::start_in(gateway.kill(), &[], &[]);
    let error = outcome(&mut gateway.client(), MAIN, "r2", "hello").expect_err("no answer");
    assert!(error.contains("limit of 1s"), "{error}");
    gate.open();
}

#[test]
fn when_all_fail_every_one_is_named() {
    let broken = Provider::always(Answer::Status(503, "no room"));
    let refused = Provider::always(Answer::Status(400, "bad request"));
    let providers = json!({
        "test": entry(&broken.url(), "openai-responses"), "spare": entry(&refused.url(), "anthropic-messages"),
    });
    let gateway = Gateway::start_in(home(providers, &["spare/m"]), &[], &[]);
    let error = outcome(&mut gateway.client(), MAIN, "r1", "hello").expect_err("all failed");
    assert_eq!(error, "All models failed (2): test/m: 503 no room (server) | spare/m: 400 bad request (unknown)");
    assert_eq!((broken.asked().len(), refused.asked().len()), (3, 1), "tries");
}

#[test]
fn a_server_may_ask_for_a_wait() {
    let provider = Provider::start(|index, _| match index {
        0 => Answer::Later(429, "slow down", 1500),
        _ => Answer::Text(vec!["now"]),
    });
    let gateway = gateway_of(&provider, Wire::Completions);
    assert_eq!(outcome(&mut gateway.client(), MAIN, "r1", "hello").as_deref(), Ok("now"));
    let asked = provider.asked();
    assert!(asked[1].at - asked[0].at >= Duration::from_millis(1500), "the second came too early");
}

#[test]
fn levels_of_thinking_that_a_model_lacks_are_replaced() {
    let provider = Provider::judging(|asked| match asked.body["reasoning_effort"].as_str() {
        Some("medium") => Answer::Text(vec!["thought"]),
        _ => Answer::Status(400, "Unsupported value. Supported values are: 'medium' and 'xhigh'."),
    });
    let gateway = gateway_of(&provider, Wire::Completions);
    assert_eq!(outcome(&mut gateway.client(), MAIN, "r1", "hello").as_deref(), Ok("thought"));
    assert_eq!(provider.asked().len(), 2);
}

#[test]
fn models_json_names_more_providers() {
    let provider = Provider::always(Answer::Parts(vec![Part::Text("from the file")]));
    let home = Home::with_config(&json!({"agents": {"defaults": {"model": {"primary": "filed/m"}}}}));
    let mut filed = entry(&provider.url(), "anthropic-messages");
    filed["apiKey"] = "FILED_KEY".into();
    filed["headers"] = json!({"X-Extra": "yes"});
    let dir = home.state_dir().join("agents/main/agent");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("models.json"), json!({"providers": {"filed": filed}}).to_string()).unwrap();
    let gateway = Gateway::start_in(home, &[], &[("FILED_KEY", "sk-from-env")]);
    assert_eq!(outcome(&mut gateway.client(), MAIN, "r1", "hello").as_deref(), Ok("from the file"));
    let asked = &provider.asked()[0];
    assert_eq!((asked.header("x-api-key"), asked.header("x-extra")), (Some("sk-from-env"), Some("yes")));
}

#[test]
fn credentials_are_stored_and_put_in_order_from_the_command_line() {
    use std::io::Write as _;
    use std::process::Stdio;
    let home = Home::with_config(&json!({}));
    let paste = |args: &[&str], secret: &str| {
        let mut command = home.command(&[&["models", "auth"], args].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("started");
        child.stdin.take().unwrap().write_all(format!("{secret}\n").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = paste(&["add", "--provider", "Test"], "sk-one");
    assert!(said.ends_with("Auth profile: test:default (test/api_key)\n") && !said.contains("sk-one"), "{said}");
    paste(&["paste-token", "--provider", "test", "--profile-id", "test:work", "--expires-in", "30"], "sk-two");
    let file = read_profiles(&home);
    assert_eq!(file["profiles"]["test:default"], json!({"type": "api_key", "provider": "test", "key": "sk-one"}));
    let expires = file["profiles"]["test:work"]["expires"].as_u64().expect("a time");
    assert!(expires.abs_diff(now_ms() + 30 * 86_400_000) < 600_000);
    let config: Value = serde_json::from_str(&std::fs::read_to_string(home.config_file()).unwrap()).unwrap();
    assert_eq!(config["auth"]["profiles"]["test:work"], json!({"provider": "test", "mode": "token"}));

    let token = format!("sk-ant-oat01-{}", "x".repeat(80));
    let said = paste(&["setup-token"], &token);
    assert!(said.contains("Auth profile: anthropic:default (anthropic/token)") && !said.contains(&token), "{said}");
    assert_eq!(read_profiles(&home)["profiles"]["anthropic:default"]["token"], token.as_str());

    let order = ["models", "auth", "order"];
    let set = home.run(&[&order[..], &["set", "--provider", "test", "test:default", "test:work"]].concat());
    assert!(set.code == Some(0) && set.stdout.ends_with("Order override: test:default, test:work"), "{set:?}");
    let shown = home.run(&[&order[..], &["get", "--provider", "test", "--json"]].concat()).json();
    assert_eq!((&shown["agentId"], &shown["order"]), (&json!("main"), &json!(["test:default", "test:work"])));
    let unknown = home.run(&[&order[..], &["set", "--provider", "test", "test:none"]].concat());
    assert!(unknown.code == Some(1) && unknown.stderr.contains("Auth profile \"test:none\" not found"), "{unknown:?}");
    home.run(&[&order[..], &["clear", "--provider", "test"]].concat());
    assert!(read_profiles(&home).get("order").is_none());
    let status = home.run(&["models", "status", "--json"]);
    assert!(status.stdout.contains("test:work") && !status.stdout.contains("sk-one"), "{status:?}");
}

/// A gateway whose `anthropic` is `provider`, which also issues its tokens.
fn signed_in(provider: &Provider, profiles: Value) -> Gateway {
    let config = json!({
        "models": {"providers": {"anthropic": entry(&provider.origin(), "anthropic-messages")}},
        "agents": {"defaults": {"model": {"primary": "anthropic/m"}}},
    });
    let home = Home::with_config(&config);
    write_profiles(&home, profiles);
    Gateway::start_in(home, &[], &[("CLAWDBOT_OAUTH_BASE_URL", &provider.origin())])
}

fn expired(access: &str, refresh: &str) -> Value {
    json!({"type": "oauth", "provider": "anthropic", "access": access, "refresh": refresh, "expires": 5, "email": "a@b"})
}

#[test]
fn a_token_that_has_run_out_is_renewed_once_and_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let provider = Provider::judging(|asked| match asked.path.as_str() {
        "/v1/oauth/token" => Answer::Json(json!({
            "access_token": "sk-ant-oat01-secret-new", "refresh_token": "secret-refresh-2", "expires_in": 28800,
        })),
        _ => Answer::Parts(vec![Part::Text("hello")]),
    });
    let gateway =
        signed_in(&provider, json!({"anthropic:a@b": expired("sk-ant-oat01-secret-old", "secret-refresh-1")}));
    let mut client = gateway.client();
    for (session, run) in [("agent:main:one", "r1"), ("agent:main:two", "r2"), ("agent:main:three", "r3")] {
        send(&mut client, session, run, "hello");
    }
    for run in ["r1", "r2", "r3"] {
        let end = client.request("agent.wait", json!({"runId": run, "timeoutMs": 20_000})).expect("an end");
        assert_eq!(end["status"], "ok", "{end}");
    }
    let (renewals, turns): (Vec<Asked>, Vec<Asked>) =
        provider.asked().into_iter().partition(|asked| asked.path == "/v1/oauth/token");
    assert_eq!(renewals.len(), 1, "a refresh token is good for one use");
    let wanted = json!({
        "grant_type": "refresh_token", "client_id": "9d1c250a-e61b-44d9-88ed-5944d1962f5e",
        "refresh_token": "secret-refresh-1",
    });
    assert_eq!(renewals[0].body, wanted);
    for turn in &turns {
        assert_eq!(turn.header("authorization"), Some("Bearer sk-ant-oat01-secret-new"));
    }
    let profile = &read_profiles(&gateway.home)["profiles"]["anthropic:a@b"];
    assert_eq!(
        (&profile["access"], &profile["refresh"]),
        (&json!("sk-ant-oat01-secret-new"), &json!("secret-refresh-2"))
    );
    assert_eq!(profile["email"], "a@b");
    let expires = profile["expires"].as_u64().expect("a time");
    assert!(expires.abs_diff(now_ms() + 28_800_000 - 300_000) < 60_000, "{expires}");
    let mode = std::fs::metadata(auth_file(&gateway.home)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let log = std::fs::read_to_string(gateway.home.log_file()).unwrap_or_default();
    assert!(log.contains("was renewed") && !log.contains("secret-"), "{log}");
}

#[test]
fn a_token_that_is_refused_before_its_time_is_renewed() {
    let provider = Provider::judging(|asked| match (asked.path.as_str(), asked.header("authorization")) {
        ("/v1/oauth/token", _) => Answer::Json(json!({"access_token": "sk-ant-oat01-new", "expires_in": 28800})),
        (_, Some("Bearer sk-ant-oat01-new")) => Answer::Parts(vec![Part::Text("hello")]),
        _ => Answer::Status(401, "revoked"),
    });
    let mut profile = expired("sk-ant-oat01-old", "refresh-1");
    profile["expires"] = (now_ms() + 3_600_000).into();
    let gateway = signed_in(&provider, json!({"anthropic:default": profile}));
    assert_eq!(outcome(&mut gateway.client(), MAIN, "r1", "hello").as_deref(), Ok("hello"));
    assert_eq!(provider.asked().len(), 3);
    let profile = &read_profiles(&gateway.home)["profiles"]["anthropic:default"];
    // An issuer that names no other refresh token means the same again.
    assert_eq!((&profile["access"], &profile["refresh"]), (&json!("sk-ant-oat01-new"), &json!("refresh-1")));
    // That the provider's cache was used is noted once, when all is said.
    let lines = transcript(&gateway.home);
    let touched: Vec<bool> = lines.iter().rev().map(|line| line["customType"] == "clawdbot.cache-ttl").collect();
    assert!(touched[0] && touched.iter().filter(|it| **it).count() == 1, "{lines:#?}");
}

#[test]
fn a_refused_renewal_is_told_and_another_key_answers() {
    let provider = Provider::judging(|asked| match asked.path.as_str() {
        "/v1/oauth/token" => Answer::Status(400, "refresh token secret-refresh-1 is spent"),
        _ => Answer::Parts(vec![Part::Text("from the key")]),
    });
    let gateway = signed_in(&provider, json!({"anthropic:default": expired("sk-old", "secret-refresh-1")}));
    let mut client = gateway.client();
    let error = outcome(&mut client, MAIN, "r1", "hello").expect_err("refused");
    assert_eq!(
        error,
        "OAuth token refresh failed for anthropic: status 400 test refresh token *** is spent. Please try again or \
         re-authenticate (clawdbot models auth login --provider anthropic)."
    );
    assert!(read_profiles(&gateway.home)["usageStats"]["anthropic:default"]["cooldownUntil"].is_u64());
    let both = json!({
        "anthropic:default": expired("sk-old", "secret-refresh-1"),
        "anthropic:key": {"type": "api_key", "provider": "anthropic", "key": "sk-ant-api-1"},
    });
    let gateway = signed_in(&provider, both);
    assert_eq!(outcome(&mut gateway.client(), MAIN, "r2", "hello").as_deref(), Ok("from the key"));
}

#[test]
fn a_github_token_is_traded_for_copilots_and_kept_until_it_is_refused() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let provider = Provider::judging(|asked| match (asked.path.as_str(), asked.header("authorization")) {
        ("/copilot_internal/v2/token", Some("Bearer secret-github")) => Answer::Json(json!({
            "token": format!("tid=secret-{};proxy-ep=proxy.nowhere.example", asked.index), "expires_at": now_ms() / 1000 + 1800,
        })),
        ("/copilot_internal/v2/token", _) => Answer::Status(404, "Not Found: secret-other"),
        // The first traded token is worth nothing after its second use.
        (_, Some(token)) if token.contains("secret-0;") && asked.index > 2 => Answer::Status(401, "expired"),
        _ => Answer::Parts(vec![Part::Text("hello")]),
    });
    let config = json!({
        "models": {"providers": {"github-copilot": entry(&provider.url(), "openai-completions")}},
        "agents": {"defaults": {"model": {"primary": "github-copilot/m"}}},
    });
    let token = |token: &str| json!({"type": "token", "provider": "github-copilot", "token": token});
    let home = Home::with_config(&config);
    write_profiles(&home, json!({"github-copilot:github": token("secret-github")}));
    let gateway = Gateway::start_in(home, &[], &[("CLAWDBOT_OAUTH_BASE_URL", &provider.origin())]);
    let mut client = gateway.client();
    let mut written = Vec::new();
    for (run, requests) in [("r1", 2), ("r2", 3), ("r3", 6)] {
        assert_eq!(outcome(&mut client, MAIN, run, "hello").as_deref(), Ok("hello"), "{run}");
        written.push(std::fs::metadata(auth_file(&gateway.home)).unwrap().ino());
        assert_eq!(provider.asked().len(), requests, "{run}: traded only when it has to be");
    }
    assert!(written.iter().all(|file| *file == written[0]), "a success that says nothing new is not written");
    let asked = provider.asked();
    assert_eq!(asked[1].header("authorization"), Some("Bearer tid=secret-0;proxy-ep=proxy.nowhere.example"));
    assert_eq!(
        (asked[1].header("x-initiator"), asked[1].header("openai-intent")),
        (Some("user"), Some("conversation-edits"))
    );
    let file = gateway.home.state_dir().join("credentials/github-copilot.token.json");
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(&file).expect("kept")).expect("JSON");
    assert!(kept["token"].as_str().is_some_and(|token| token.starts_with("tid=secret-4;")), "{kept}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    // Another account never gets this one's token, and an account without Copilot is told.
    write_profiles(&gateway.home, json!({"github-copilot:github": token("secret-other")}));
    let error = outcome(&mut client, MAIN, "r4", "hello").expect_err("refused");
    assert!(error.contains("Copilot token exchange failed: status 404") && !error.contains("secret"), "{error}");
    let log = std::fs::read_to_string(gateway.home.log_file()).unwrap_or_default();
    assert!(!log.contains("secret-"), "{log}");
}

#[test]
fn free_models_are_tried_and_made_fallbacks() {
    let model = |id: &str, modality: &str| {
        let pricing = json!({"prompt": "0", "completion": "0"});
        json!({"id": id, "name": id, "context_length": 65536, "architecture": {"modality": modality}, "pricing": pricing})
    };
    let list = json!({"data": [
        model("a/tools-70b:free", "text->text"), model("b/sees-30b", "text+image->text"), model("c/talks-8b:free", "text->text"),
        {"id": "d/costs", "pricing": {"prompt": "0.001", "completion": "0.002"}},
    ]});
    let provider = Provider::judging(move |asked| match asked.body["model"].as_str() {
        None => Answer::Json(list.clone()),
        Some("c/talks-8b:free") => Answer::Parts(vec![Part::Text("I would rather talk.")]),
        Some(_) if asked.body.to_string().contains("image_url") => Answer::Parts(vec![Part::Text("OK")]),
        Some(_) => Answer::Tool("ping", json!({})),
    });
    let home = Home::with_config(&json!({
        "models": {"providers": {"openrouter": {"baseUrl": provider.url(), "apiKey": "secret-router", "models": []}}},
        "agents": {"defaults": {"model": {"primary": "openrouter/first"}}},
    }));
    let listed = home.run(&["models", "scan", "--no-probe", "--json"]).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");
    let refused = home.run(&["models", "scan"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("pass --yes"), "{refused:?}");
    let scanned = home.run(&["models", "scan", "--yes", "--set-image"]);
    assert_eq!(scanned.code, Some(0), "{scanned:?}");
    assert!(
        scanned.stdout.contains("Scan results: tested 3, tool ok 2, image ok 1, tool+image ok 1, image only 0"),
        "{scanned:?}"
    );
    assert!(!format!("{scanned:?}").contains("secret-router"));
    let config: Value = serde_json::from_str(&std::fs::read_to_string(home.config_file()).unwrap()).unwrap();
    let defaults = &config["agents"]["defaults"];
    assert_eq!(defaults["model"], json!({"primary": "openrouter/first", "fallbacks": ["openrouter/b/sees-30b"]}));
    let image = json!({"primary": "openrouter/b/sees-30b", "fallbacks": ["openrouter/b/sees-30b"]});
    assert_eq!(defaults["imageModel"], image);
    assert_eq!(defaults["models"], json!({"openrouter/b/sees-30b": {}}));
    let asked = provider.asked();
    let keys: Vec<&str> = asked.iter().filter_map(|it| it.header("authorization")).collect();
    assert!(keys.iter().all(|key| *key == "Bearer secret-router") && !keys.is_empty(), "{keys:?}");
}

/// A proxy that leads wherever it is asked to go to one port of this machine; returns its port and what it was asked.
fn proxy_to(port: u16) -> (u16, std::sync::mpsc::Receiver<String>) {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::{TcpListener, TcpStream};
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let own = listener.local_addr().unwrap().port();
    let (asked, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut head = String::new();
            let mut reader = BufReader::new(client.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|count| count > 0) {}
            let _ = asked.send(head.lines().next().unwrap_or_default().to_owned());
            let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let begun = if head.starts_with("CONNECT ") {
                client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")
            } else {
                server.write_all(head.as_bytes())
            };
            let (mut to_server, mut from_server) = (server.try_clone().unwrap(), server);
            std::thread::spawn(move || std::io::copy(&mut reader, &mut to_server));
            let _ = begun.and_then(|()| std::io::copy(&mut from_server, &mut client));
            let _ = client.shutdown(std::net::Shutdown::Both);
        }
    });
    (own, seen)
}

#[test]
fn proxies_of_the_environment_are_used_and_not_for_this_machine() {
    let provider = Provider::always(Answer::Text(vec!["through"]));
    let port = provider.url().rsplit(':').next().and_then(|rest| rest.split('/').next()?.parse().ok()).expect("a port");
    let (proxy, seen) = proxy_to(port);
    let proxy = format!("http://user:sk-proxy-secret@127.0.0.1:{proxy}");
    for (url, is_proxied) in [("http://model.invalid/v1", true), (provider.url().as_str(), false)] {
        let home = home(json!({"test": entry(url, "openai-completions")}), &[]);
        let gateway = Gateway::start_in(home, &[], &[("HTTP_PROXY", &proxy)]);
        assert_eq!(outcome(&mut gateway.client(), MAIN, "r1", "hello").as_deref(), Ok("through"), "{url}");
        assert_eq!(seen.try_recv().is_ok_and(|asked| asked.contains("model.invalid")), is_proxied, "{url}");
        let log = std::fs::read_to_string(gateway.home.log_file()).unwrap_or_default();
        assert!(!log.contains("sk-proxy-secret"), "{log}");
    }
}
