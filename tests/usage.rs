//! What days cost, added up from transcripts, and what providers still allow.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::client::now_ms;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Provider};
use crate::support::replay::Replay;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn sessions_dir(home: &Home, agent: &str) -> PathBuf {
    let dir = home.state_dir().join("agents").join(agent).join("sessions");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// A line of a transcript: a turn of a model, some time ago.
fn turn(ago_ms: u64, message: Value) -> String {
    let mut all =
        json!({"role": "assistant", "content": [{"type": "text", "text": "x"}], "timestamp": now_ms() - ago_ms});
    all.as_object_mut().unwrap().extend(message.as_object().unwrap().clone());
    format!("{}\n", json!({"type": "message", "id": "a", "parentId": null, "message": all}))
}

fn usage(input: u64, output: u64, cost: f64) -> Value {
    json!({"usage": {"input": input, "output": output, "cacheRead": 0, "cacheWrite": 0, "totalTokens": input + output,
        "cost": {"total": cost}}})
}

#[test]
fn nothing_said_nothing_spent() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    Replay::of("usage.cost").session(&gateway, &mut client);
    Replay::of("usage.status").session(&gateway, &mut client);
}

#[test]
fn transcripts_are_added_up() {
    let model = json!({"id": "m", "name": "m", "reasoning": false, "input": ["text"], "contextWindow": 32000, "maxTokens": 1000,
        "cost": {"input": 2, "output": 4, "cacheRead": 0, "cacheWrite": 0}});
    let provider = json!({"baseUrl": "http://127.0.0.1:9/v1", "apiKey": "k", "models": [model]});
    let home = Home::with_config(&json!({"models": {"providers": {"mock": provider}}}));
    let dir = sessions_dir(&home, "main");
    let mut long = String::from("{\"type\":\"session\",\"version\":3,\"id\":\"s\"}\n");
    for number in 0..1000_u64 {
        long.push_str(&turn(number, usage(10, 5, 0.001)));
        let _ = writeln!(long, "{}", json!({"type": "message", "message": {"role": "user", "content": "hi"}}));
    }
    std::fs::write(dir.join("long.jsonl"), long).unwrap();
    let other = [
        turn(
            DAY_MS - 60_000,
            json!({"provider": "mock", "model": "m", "usage": {"input": 500_000, "output": 250_000}}),
        ),
        turn(DAY_MS - 60_000, json!({"provider": "mock", "model": "other", "usage": {"input": 7}})),
        turn(0, json!({"stopReason": "injected", "usage": {"input": 0, "output": 0, "totalTokens": 0}})),
        turn(2 * DAY_MS, usage(1_000_000, 0, 99.0)),
        "{\"type\":\"message\",\"message\":{\"role\":\"assistant\",".to_owned(),
    ];
    std::fs::write(dir.join("other.jsonl"), other.concat()).unwrap();
    // Archived, or another agent's.
    std::fs::write(dir.join("old.jsonl.deleted.1"), turn(0, usage(1, 1, 1.0))).unwrap();
    std::fs::write(sessions_dir(&home, "ops").join("x.jsonl"), turn(0, usage(1, 1, 1.0))).unwrap();
    let gateway = Gateway::start_in(home, &[], &[]);
    let mut client = gateway.client();
    let summary = client.request("usage.cost", json!({"days": "2"})).unwrap();
    assert_eq!(summary["days"], 2);
    let totals = &summary["totals"];
    assert_eq!(totals["input"], 10_000 + 500_000 + 7);
    assert_eq!(totals["output"], 5000 + 250_000);
    assert_eq!(totals["totalTokens"], 15_000 + 750_000 + 7);
    assert_eq!(totals["missingCostEntries"], 2);
    let cost = totals["totalCost"].as_f64().unwrap();
    assert!((cost - 3.0).abs() < 1e-9, "1000 turns at 0.001 and one at 1 + 1: {cost}");
    let daily = summary["daily"].as_array().unwrap();
    let dates: Vec<&str> = daily.iter().map(|day| day["date"].as_str().unwrap()).collect();
    assert!(dates.len() >= 2 && dates.is_sorted(), "{dates:?}");
    let sum = |key: &str| daily.iter().map(|day| day[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("totalTokens"), sum("missingCostEntries")), (765_007, 2));

    // Kept for half a minute, by number of days.
    std::fs::write(dir.join("new.jsonl"), turn(0, usage(1, 1, 1.0))).unwrap();
    assert_eq!(client.request("usage.cost", json!({"days": 2})).unwrap(), summary);
    let month = client.request("usage.cost", json!({})).unwrap();
    assert_eq!((&month["days"], &month["totals"]["totalTokens"]), (&json!(30), &json!(765_009 + 1_000_000)));

    let shown = gateway.cli(&["gateway", "usage-cost", "--days", "2"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert_eq!(lines[..3], ["Usage cost (2 days)", "Total: $3.00 · 765k tokens", "Missing entries: 2"], "{shown:?}");
    assert!(lines[3].starts_with(&format!("Latest day: {} · $", dates.last().unwrap())), "{shown:?}");
    assert_eq!(gateway.cli(&["gateway", "usage-cost", "--days", "2", "--json"]).json(), summary);
    assert!(gateway.cli(&["gateway", "usage-cost", "--days", "x"]).stdout.starts_with("Usage cost (30 days)"));
}

#[test]
fn a_huge_transcript_costs_no_memory() {
    let home = Home::with_config(&json!({}));
    let line = turn(0, json!({"content": "y".repeat(512 * 1024), "usage": {"input": 1, "cost": {"total": 0}}}));
    std::fs::write(sessions_dir(&home, "main").join("huge.jsonl"), line.repeat(128)).unwrap();
    let gateway = Gateway::start_in(home, &[], &[]);
    let mut client = gateway.client();
    client.request("health", json!({})).unwrap();
    let before = gateway.memory_peak_bytes();
    assert_eq!(client.request("usage.cost", json!({})).unwrap()["totals"]["input"], 128);
    if let (Some(before), Some(after)) = (before, gateway.memory_peak_bytes()) {
        assert!(after - before < 8 * 1024 * 1024, "{} KiB more for 64 MiB", (after - before) / 1024);
    }
}

#[test]
fn providers_say_what_is_used_up_and_others_that_they_cannot_be_asked() {
    let provider = Provider::judging(|asked| match asked.path.as_str() {
        "/api/oauth/usage" => {
            Answer::Json(json!({"five_hour": {"utilization": 12.5}, "seven_day": {"utilization": 60}}))
        }
        _ => Answer::Refused(401, json!({"error": {"message": "who is planted-key?"}})),
    });
    let home = Home::with_config(&json!({}));
    let agent = home.state_dir().join("agents/main/agent");
    std::fs::create_dir_all(&agent).unwrap();
    let profiles = json!({"version": 1, "profiles": {"anthropic:default": {"type": "token", "provider": "anthropic", "token": "t"}}});
    std::fs::write(agent.join("auth-profiles.json"), profiles.to_string()).unwrap();
    let origin = provider.origin();
    let env = [("ZAI_API_KEY", "planted-key"), ("MINIMAX_API_KEY", "k"), ("CLAWDBOT_OAUTH_BASE_URL", origin.as_str())];
    let gateway = Gateway::start_in(home, &[], &env);
    let status = gateway.client().request("usage.status", json!({})).unwrap();
    let windows = json!([{"label": "5h", "usedPercent": 12.5}, {"label": "Week", "usedPercent": 60.0}]);
    let error = "usage lookup is not built into this version";
    let wanted = json!([
        {"provider": "anthropic", "displayName": "Claude", "windows": windows},
        {"provider": "minimax", "displayName": "MiniMax", "windows": [], "error": error},
        {"provider": "zai", "displayName": "z.ai", "windows": [], "error": "HTTP 401: who is ***?"},
    ]);
    assert_eq!(status["providers"], wanted);
    let said = "Usage:\n  Claude\n    5h: 88% left\n    Week: 40% left\n  MiniMax: usage lookup is not built into this version\n  \
                z.ai: HTTP 401: who is ***?\n";
    for words in [&["channels", "list"][..], &["status", "--usage"]] {
        let shown = gateway.cli(words);
        assert!(shown.stdout.contains(said), "{shown:?}");
    }
    assert!(!gateway.cli(&["channels", "list", "--no-usage"]).stdout.contains("Usage"));
    let asked = provider.asked();
    let of_claude = asked.iter().find(|it| it.path == "/api/oauth/usage").expect("asked");
    assert_eq!(
        (of_claude.header("authorization"), of_claude.header("anthropic-beta")),
        (Some("Bearer t"), Some("oauth-2025-04-20"))
    );
}
