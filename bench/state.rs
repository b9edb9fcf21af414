//! What big state costs: many sessions in the index, a long transcript. Times, memory, and bytes read from disk.
//!
//! `cargo bench --bench state` measures this build, or the program in `CLAWDBOT_BIN`. Figures of different machines do not
//! compare; what should hold on each is that a row does not grow with the number of sessions.

use std::io::{BufWriter, Write as _};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

mod support;
use support::{Gateway, Home, connect, program, request};

/// Sessions in the index.
const SIZES: [usize; 3] = [10, 1_000, 10_000];
const UPDATES: usize = 200;
const TRANSCRIPT_BYTES: usize = 50 * 1024 * 1024;
/// Memory is looked at this long after the last activity.
const QUIET: Duration = Duration::from_secs(4);

fn main() {
    for size in SIZES {
        sessions(size);
    }
    transcript();
}

fn sessions(size: usize) {
    let home = Home::new(&program(), &json!({}));
    let directory = home.path().join(".clawdbot/agents/main/sessions");
    std::fs::create_dir_all(&directory).expect("a directory");
    let index: serde_json::Map<String, Value> = (0..size).map(|number| (key(number), entry(number))).collect();
    let text = format!("{:#}", Value::Object(index));
    std::fs::write(directory.join("sessions.json"), &text).expect("an index");
    let gateway = Gateway::spawn(&home);
    let mut socket = connect(gateway.port);
    println!("{size} sessions, {} KiB", text.len() / 1024);
    let mut number = 0;
    let resident = |when: &str| {
        std::thread::sleep(QUIET);
        let (all, private) = (gateway.resident_kib() / 1024.0, gateway.private_kib() / 1024.0);
        println!("  {:<40} {all:>9.2} MiB, {private:.2} of it private", format!("resident {when}"));
    };
    let mut ask = |name: &str, count: usize, method: &str, params: &dyn Fn(usize) -> Value| {
        let mut times: Vec<Duration> = (0..count)
            .map(|round| {
                number += 1;
                let start = Instant::now();
                let answer = request(&mut socket, &number.to_string(), method, params(round));
                assert_eq!(answer["ok"], true, "{answer}");
                start.elapsed()
            })
            .collect();
        times.sort();
        println!("  {name:<40} {:>9.2} ms median, {:>9.2} worst", millis(times[count / 2]), millis(times[count - 1]));
    };
    let any = |round: usize| round * 7919 % size;
    ask("first list, which reads the index", 1, "sessions.list", &|_| json!({"limit": 50}));
    resident("with the index read");
    ask(
        "update (sessions.patch)",
        UPDATES,
        "sessions.patch",
        &|round| json!({"key": key(any(round)), "thinkingLevel": (["low", "high"][round % 2])}),
    );
    ask("list of 50", 20, "sessions.list", &|_| json!({"limit": 50}));
    ask("list of all", 3, "sessions.list", &|_| json!({}));
    ask("resolve a label", 20, "sessions.resolve", &|round| json!({"label": format!("label {}", any(round))}));
    ask("health", 20, "health", &|_| json!({"probe": true}));
    resident("after all that");
}

fn key(number: usize) -> String {
    format!("agent:main:telegram:group:-100{number}")
}

/// About what the original keeps of a group's session, its snapshot of skills included.
fn entry(number: usize) -> Value {
    json!({
        "sessionId": format!("00000000-0000-4000-8000-{number:012}"), "updatedAt": 1_795_000_000_000_u64 + number as u64,
        "systemSent": true, "abortedLastRun": false, "chatType": "group", "label": format!("label {number}"),
        "channel": "telegram", "groupId": format!("-100{number}"), "subject": format!("Group number {number}"),
        "origin": {"label": format!("Group number {number}"), "provider": "telegram", "surface": "telegram", "chatType": "group",
            "from": format!("telegram:group:-100{number}"), "to": format!("telegram:-100{number}"), "accountId": "default"},
        "deliveryContext": {"channel": "telegram", "to": format!("telegram:-100{number}"), "accountId": "default"},
        "lastChannel": "telegram", "lastTo": format!("telegram:-100{number}"), "lastAccountId": "default",
        "inputTokens": 1200, "outputTokens": 300, "totalTokens": 15000, "contextTokens": 200_000,
        "modelProvider": "anthropic", "model": "claude-opus-4-5", "compactionCount": 0,
        "skillsSnapshot": {"prompt": "<available_skills>\n".to_owned() + &"<skill>something it can do</skill>\n".repeat(30),
            "skills": [{"name": "weather"}, {"name": "notes"}], "version": 1},
    })
}

fn transcript() {
    let home = Home::new(&program(), &json!({}));
    let directory = home.path().join(".clawdbot/agents/main/sessions");
    std::fs::create_dir_all(&directory).expect("a directory");
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    let now_ms = u64::try_from(now_ms).expect("fits");
    let index = json!({"agent:main:main": {"sessionId": "long", "updatedAt": now_ms}});
    std::fs::write(directory.join("sessions.json"), index.to_string()).expect("an index");
    let path = directory.join("long.jsonl");
    let mut file = BufWriter::new(std::fs::File::create(&path).expect("a transcript"));
    writeln!(file, "{}", json!({"type": "session", "version": 3, "id": "long", "cwd": "/"})).expect("written");
    let (mut written, mut parent, mut number) = (0, Value::Null, 0_usize);
    while written < TRANSCRIPT_BYTES {
        let id = format!("{number:08x}");
        let content = json!([{"type": "text", "text": format!("{number} ") + &"words and more words ".repeat(80)}]);
        let message = match number % 2 {
            0 => json!({"role": "user", "content": content, "timestamp": now_ms}),
            _ => json!({"role": "assistant", "content": content, "stopReason": "stop", "timestamp": now_ms}),
        };
        let line = json!({"type": "message", "id": id, "parentId": parent, "message": message}).to_string();
        written += line.len() + 1;
        writeln!(file, "{line}").expect("written");
        parent = id.into();
        number += 1;
    }
    file.flush().expect("written");
    let gateway = Gateway::spawn(&home);
    let mut socket = connect(gateway.port);
    println!("a transcript of {} MiB, {number} messages", written / 1024 / 1024);
    let mut ask = |name: &str, method: &str, params: Value| {
        let (start, before) = (Instant::now(), gateway.read_kib());
        let answer = request(&mut socket, name, method, params);
        assert_eq!(answer["ok"], true, "{answer}");
        if method == "chat.send" {
            while support::read(&mut socket)["payload"]["state"] != "final" {}
        }
        let (time, read) = (millis(start.elapsed()), gateway.read_kib() - before);
        println!("  {name:<40} {time:>9.2} ms, {read:>7.0} KiB read, peak {:.1} MiB", gateway.peak_kib() / 1024.0);
    };
    ask(
        "sessions.list with title and last message",
        "sessions.list",
        json!({"includeDerivedTitles": true, "includeLastMessage": true}),
    );
    ask("sessions.preview", "sessions.preview", json!({"keys": ["main"]}));
    ask("chat.history", "chat.history", json!({"sessionKey": "main"}));
    ask("the next turn", "chat.send", json!({"sessionKey": "main", "message": "hi", "idempotencyKey": "b1"}));
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
