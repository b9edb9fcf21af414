//! Long conversations: what does not fit is summed up, on demand or because it must be.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::provider::{Answer, Asked, Provider};

const MAIN: &str = "agent:main:main";

fn answer(client: &mut Client, run: &str, message: &str) -> String {
    let params = json!({ "sessionKey": MAIN, "message": message, "idempotencyKey": run });
    assert_eq!(client.request("chat.send", params).expect("started")["status"], "started");
    let end = client.chat_end(run);
    assert_eq!(end["state"], "final", "{end}");
    end["message"]["content"][0]["text"].as_str().unwrap_or_default().to_owned()
}

fn is_summary(asked: &Asked) -> bool {
    asked.body.to_string().contains("<conversation>")
}

fn transcript(gateway: &Gateway) -> Vec<Value> {
    let path = gateway.home.transcripts().pop().expect("a transcript");
    let text = std::fs::read_to_string(path).expect("readable");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_conversation_that_does_not_fit_is_summed_up_and_the_turn_made_again() {
    let provider = Provider::judging(|asked| match asked {
        asked if is_summary(asked) => Answer::Text(vec!["The user told a long story."]),
        asked if asked.body.to_string().contains("once upon") && asked.index > 0 => {
            Answer::Status(400, "prompt is too long: 999999 tokens > 16000 maximum")
        }
        asked if asked.index == 0 => Answer::Text(vec!["I see."]),
        _ => Answer::Text(vec!["It ended well."]),
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    answer(&mut client, "r1", &format!("once upon a time {}", "there was more. ".repeat(800)));
    assert_eq!(answer(&mut client, "r2", "how did it end?"), "It ended well.");
    let events: Vec<Value> =
        client.unread().iter().map(|it| it["payload"].clone()).filter(|it| it["stream"] == "compaction").collect();
    assert_eq!(
        events.iter().map(|it| it["data"].clone()).collect::<Vec<_>>(),
        [json!({ "phase": "start" }), json!({ "phase": "end", "willRetry": true }),]
    );
    let last = provider.requests().pop().expect("a request").to_string();
    assert!(last.contains("The user told a long story.") && !last.contains("once upon"), "{last}");
    let lines = transcript(&gateway);
    let entry = lines.iter().find(|line| line["type"] == "compaction").expect("an entry");
    assert!(entry["summary"].as_str().expect("text").contains("The user told a long story."), "{entry}");
    assert!(lines.iter().any(|line| line["id"] == entry["firstKeptEntryId"]), "{entry}");
    assert!(entry["tokensBefore"].as_u64().expect("a number") > 0, "{entry}");
    // The next turn builds on it.
    answer(&mut client, "r3", "thanks");
    let last = provider.requests().pop().expect("a request").to_string();
    assert!(last.contains("The user told a long story.") && last.contains("how did it end?"), "{last}");
}

#[test]
fn old_results_of_tools_grow_short_for_a_cold_cache_and_stay_whole_on_the_disk() {
    let provider = Provider::start(|index, _| match index {
        0 => Answer::Tool("exec", json!({ "command": "seq 3000" })),
        _ => Answer::Text(vec!["I see."]),
    });
    let home = crate::support::home::Home::empty();
    let model = json!({ "id": "m", "name": "m", "input": ["text"], "contextWindow": 16000, "maxTokens": 1000 });
    let entry = json!({ "baseUrl": provider.url(), "apiKey": "k", "api": "openai-completions", "models": [model] });
    let pruning = json!({ "mode": "cache-ttl", "ttl": "1ms", "keepLastAssistants": 1, "softTrimRatio": 0.01 });
    home.write_config(
        &json!({
            "models": { "providers": { "anthropic": entry } },
            "agents": { "defaults": { "model": { "primary": "anthropic/m" }, "contextPruning": pruning, "heartbeat": { "every": "0m" } } },
        })
        .to_string(),
    );
    let gateway = Gateway::start_in(home, &[], &[]);
    let mut client = gateway.client();
    answer(&mut client, "r1", "count");
    let result = |request: &Value| {
        let messages = request["messages"].as_array().expect("messages").clone();
        messages.into_iter().find(|it| it["role"] == "tool").expect("a result").to_string()
    };
    let whole = result(&provider.requests()[1]);
    // A turn within the same millisecond finds the cache warm.
    let mut shown = (2..20).map(|at| {
        answer(&mut client, &format!("r{at}"), "and now?");
        result(&provider.requests()[at])
    });
    let short = shown.find(|it| !it.contains("\\n1500\\n")).expect("shortened");
    assert!(whole.contains("\\n1500\\n"), "{whole}");
    assert!(short.contains("[Tool result trimmed: kept first 1500 chars"), "{short}");
    assert!(transcript(&gateway).iter().any(|line| line.to_string().contains("\\n1500\\n")));
}

#[test]
fn a_conversation_is_summed_up_on_demand() {
    let provider = Provider::judging(|asked| match asked {
        asked if is_summary(asked) => Answer::Text(vec!["It was about cats."]),
        _ => Answer::Text(vec!["Yes."]),
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    assert_eq!(answer(&mut client, "c0", "/compact"), "⚙️ Compaction unavailable (missing session id).");
    for run in ["r1", "r2"] {
        answer(&mut client, run, &"cats are fine. ".repeat(2400));
    }
    let reply = answer(&mut client, "c1", "/compact mind the kittens");
    assert!(reply.starts_with("⚙️ Compacted (") && reply.contains(" • Context "), "{reply}");
    let asked = provider.requests().pop().expect("a request").to_string();
    assert!(asked.contains("mind the kittens"), "{asked}");
    answer(&mut client, "r3", "go on");
    let last = provider.requests().pop().expect("a request").to_string();
    assert!(last.contains("It was about cats."), "{last}");
    assert!(last.contains("Compacted ("), "the model is told, too: {last}");
}

#[test]
fn room_is_made_before_a_turn_that_would_not_fit() {
    let provider = Provider::judging(|asked| match asked {
        asked if is_summary(asked) => Answer::Text(vec!["They spoke of dogs."]),
        _ => Answer::Text(vec!["Fine."]),
    });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    answer(&mut client, "r1", &"dogs bark. ".repeat(3000));
    // More than the half of the window of 32,000 tokens that may be used.
    answer(&mut client, "r2", &"what else? ".repeat(6500));
    let ends: Vec<Value> = client
        .unread()
        .iter()
        .map(|it| it["payload"].clone())
        .filter(|it| it["stream"] == "compaction" && it["data"]["phase"] == "end")
        .collect();
    assert_eq!(ends.iter().map(|it| it["data"]["willRetry"].clone()).collect::<Vec<_>>(), [json!(false)]);
    let last = provider.requests().pop().expect("a request").to_string();
    assert!(last.contains("They spoke of dogs.") && !last.contains("dogs bark"), "the older part is summed up");
    assert!(last.contains("what else?"));
}

#[test]
fn notes_are_taken_once_before_the_conversation_is_shortened() {
    let provider = Provider::judging(|asked| match asked {
        asked if asked.index == 1 => Answer::Text(vec!["NO_REPLY"]),
        _ => Answer::Text(vec!["Hello."]),
    });
    // The scripted turns count 20 tokens: 32,000 of the window less 16,000 in reserve less this is 10.
    let flush = json!({ "memoryFlush": { "softThresholdTokens": 15_990 } });
    let gateway = Gateway::with_provider(&provider, json!({ "agents": { "defaults": { "compaction": flush } } }));
    let mut client = gateway.client();
    for run in ["r1", "r2", "r3"] {
        assert_eq!(answer(&mut client, run, &format!("this is {run}")), "Hello.", "nobody hears of the notes");
    }
    let requests: Vec<String> = provider.requests().iter().map(Value::to_string).collect();
    let asks: Vec<bool> =
        requests.iter().map(|it| it.contains("memory/YYYY-MM-DD.md of the workspace (make")).collect();
    assert_eq!((requests.len(), asks), (4, vec![false, true, true, true]), "once; later ones only remember it");
    assert!(!requests[1].contains("this is r2") && requests[2].contains("this is r2"));
}
