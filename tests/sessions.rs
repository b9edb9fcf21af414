//! Sessions as clients change them: found, patched, cut down, deleted.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Gate, Provider};
use crate::support::replay::Replay;
use crate::support::wire;

/// Says something and waits for the answer.
fn chat(client: &mut Client, session: &str, run: &str) {
    let params = json!({ "sessionKey": session, "message": format!("hello {run}"), "idempotencyKey": run });
    client.request("chat.send", params).expect("started");
    assert_eq!(client.chat_end(run)["state"], "final");
}

#[test]
fn patched_and_found_as_recorded() {
    let provider = Provider::always(Answer::Text(vec!["hi"]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    for recording in ["sessions.resolve-missing", "sessions.resolve-unknown", "sessions.delete-main"] {
        Replay::of(recording).session(&gateway, &mut client);
    }
    // The recorded session had been written to from a channel before.
    let ignore = &["/payload/entry/origin"];
    for recording in ["sessions.patch", "sessions.patch-errors", "sessions.resolve", "sessions.delete"] {
        Replay { ignore, ..Replay::of(recording) }.session(&gateway, &mut client);
    }
    Replay::of("sessions.compact-no-transcript").session(&gateway, &mut client);
    let list = client.request("sessions.list", json!({ "label": "My label" })).unwrap();
    assert_eq!((&list["count"], &list["sessions"][0]["thinkingLevel"]), (&json!(1), &json!("low")), "{list}");
}

#[test]
fn a_patch_is_all_or_nothing() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let patch = json!({ "key": "a", "label": "A", "execNode": " " });
    assert_eq!(client.request("sessions.patch", patch).unwrap_err()["message"], "invalid execNode: empty");
    assert_eq!(client.request("sessions.list", json!({})).unwrap()["count"], 0);
    let child = json!({ "key": "subagent:1", "spawnedBy": "agent:main:main", "groupActivation": "always" });
    let entry = client.request("sessions.patch", child).unwrap()["entry"].clone();
    assert_eq!((&entry["spawnedBy"], &entry["groupActivation"]), (&json!("agent:main:main"), &json!("always")));
    let cleared = client.request("sessions.patch", json!({ "key": "subagent:1", "groupActivation": null })).unwrap();
    assert!(cleared["entry"].get("groupActivation").is_none(), "{cleared}");
}

#[test]
fn a_compacted_session_goes_on() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    for run in ["r1", "r2", "r3"] {
        chat(&mut client, "agent:main:main", run);
    }
    let [transcript] = gateway.home.transcripts().try_into().expect("one transcript");
    let before = std::fs::read_to_string(&transcript).unwrap();
    let recording = wire::load("sessions.compact");
    let answer = client.request("sessions.compact", recording.sent[0]["params"].clone()).unwrap();
    let ignore = &["/archived"];
    let found = wire::differences(&recording.received[0]["payload"], &answer, gateway.home.path(), ignore);
    assert!(found.is_empty(), "{found:?}");
    let archived = answer["archived"].as_str().unwrap();
    let stem = archived.strip_prefix(transcript.to_str().unwrap()).expect("beside the transcript");
    assert!(stem.starts_with(".bak.2") && stem.ends_with('Z') && !stem.contains(':'), "{stem}");
    assert_eq!(std::fs::read_to_string(archived).unwrap(), before);
    let lines: Vec<String> = std::fs::read_to_string(&transcript).unwrap().lines().map(str::to_owned).collect();
    let kept: Vec<&str> = before.lines().rev().take(3).collect();
    assert_eq!(lines.len(), 4, "the header and three");
    assert_eq!(lines.iter().rev().take(3).map(String::as_str).collect::<Vec<_>>(), kept);
    let again = client.request("sessions.compact", recording.sent[0]["params"].clone()).unwrap();
    assert_eq!(again, json!({ "ok": true, "key": "agent:main:main", "compacted": false, "kept": 4 }));

    chat(&mut client, "main", "r4");
    let history = client.request("chat.history", json!({ "sessionKey": "main" })).unwrap();
    let texts = history["messages"].to_string();
    assert!(texts.contains("hello r4") && texts.contains("hello r3") && !texts.contains("hello r1"), "{texts}");
    let list = client.request("sessions.list", json!({})).unwrap();
    assert_eq!(list["sessions"][0]["key"], "agent:main:main");
}

#[test]
fn deleting_a_session_stops_its_run() {
    let gate = Gate::default();
    let hanging = gate.clone();
    let provider =
        Provider::start(move |n, _| if n == 0 { Answer::Hang(hanging.clone()) } else { Answer::Text(vec!["hi"]) });
    let gateway = Gateway::with_provider(&provider, json!({}));
    let (mut client, mut other) = (gateway.client(), gateway.client());
    let params = json!({ "sessionKey": "agent:main:tmp", "message": "hello", "idempotencyKey": "r1" });
    client.request("chat.send", params).unwrap();
    provider.wait_requests(1);
    let [transcript] = gateway.home.transcripts().try_into().expect("the user's message is written at once");

    let id = other.post("sessions.delete", json!({ "key": "agent:main:tmp" }));
    // Sent behind it in the same breath: begins anew, behind the deletion.
    let params = json!({ "sessionKey": "agent:main:tmp", "message": "again", "idempotencyKey": "r2" });
    other.request("chat.send", params).unwrap();
    let answer = other.response(&id).unwrap();
    assert_eq!((&answer["key"], &answer["deleted"]), (&json!("agent:main:tmp"), &json!(true)));
    let archived = answer["archived"][0].as_str().expect("one transcript");
    assert!(archived.starts_with(&format!("{}.deleted.2", transcript.display())), "{archived}");
    assert!(std::fs::read_to_string(archived).unwrap().contains("hello"));
    assert!(!transcript.exists());
    assert_eq!(client.chat_end("r1")["state"], "aborted");
    assert_eq!(other.chat_end("r2")["state"], "final");
    let history = other.request("chat.history", json!({ "sessionKey": "agent:main:tmp" })).unwrap();
    assert!(!history["messages"].to_string().contains("hello"), "{history}");
    gate.open();
}

#[test]
fn the_transcript_may_stay() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    chat(&mut client, "agent:main:tmp", "r1");
    let transcripts = gateway.home.transcripts();
    let params = json!({ "key": "agent:main:tmp", "deleteTranscript": false });
    let answer = client.request("sessions.delete", params).unwrap();
    assert_eq!((&answer["deleted"], &answer["archived"]), (&json!(true), &json!([])));
    assert_eq!(gateway.home.transcripts(), transcripts);
    assert_eq!(client.request("sessions.list", json!({})).unwrap()["count"], 0);
}

#[test]
fn a_kill_during_compactions_leaves_whole_transcripts() {
    let mut gateway = Gateway::start(json!({}));
    chat(&mut gateway.client(), "main", "r1");
    for round in 0..4 {
        let mut client = gateway.client();
        let mut last = String::new();
        for n in 0..40 {
            client.post("chat.inject", json!({ "sessionKey": "main", "message": format!("note {round}.{n}") }));
            last = client.post("sessions.compact", json!({ "key": "main", "maxLines": 3 + n % 3 }));
            if n == 10 + round * 7 {
                break;
            }
        }
        // Some are answered, some are under way, some wait.
        let half = format!("t{}", last[1..].parse::<u32>().unwrap() / 2);
        client.response(&half).expect("an answer");
        let home = gateway.kill();
        let all = home.sessions();
        let id = all["agent:main:main"]["sessionId"].as_str().unwrap();
        let path = home.state_dir().join(format!("agents/main/sessions/{id}.jsonl"));
        let text = std::fs::read_to_string(path).expect("there is a transcript");
        // Only an append that was under way may be cut.
        let (whole, _torn) = text.rsplit_once('\n').unwrap();
        assert!(text.starts_with("{\"type\":\"session\","), "round {round}: the header is gone: {text}");
        for line in whole.lines() {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("round {round}: {error}: {line}"));
        }
        gateway = Gateway::start_in(home, &[], &[]);
    }
    chat(&mut gateway.client(), "main", "r2");
}

/// A home whose index has so many sessions, as the original writes them.
fn home_with_sessions(count: usize) -> Home {
    let home = Home::with_config(&json!({}));
    let directory = home.state_dir().join("agents/main/sessions");
    std::fs::create_dir_all(&directory).unwrap();
    let entry = |number: usize| {
        let key = format!("agent:main:telegram:group:-{number}");
        let id = format!("00000000-0000-4000-8000-{number:012}");
        (
            key,
            json!({ "sessionId": id, "updatedAt": 1_795_000_000_000_u64 + number as u64, "label": format!("L{number}") }),
        )
    };
    let index: serde_json::Map<String, Value> = (0..count).map(entry).collect();
    std::fs::write(directory.join("sessions.json"), format!("{:#}", Value::Object(index))).unwrap();
    home
}

#[test]
fn a_change_of_one_session_writes_no_more_among_ten_thousand_than_among_ten() {
    let mut written = Vec::new();
    for count in [10, 10_000] {
        let gateway = Gateway::start_in(home_with_sessions(count), &[], &[]);
        let mut client = gateway.client();
        let index = gateway.home.state_dir().join("agents/main/sessions/sessions.json");
        let before = std::fs::read(&index).unwrap();
        let patched = json!({ "key": "agent:main:telegram:group:-7", "label": "seven" });
        client.request("sessions.patch", patched).expect("patched");
        let journal = index.with_extension("json.journal");
        written.push(std::fs::metadata(&journal).expect("a journal").len() / 64);
        assert!(std::fs::read(&index).unwrap() == before, "the index waits");
        let list = client.request("sessions.list", json!({ "limit": 3, "search": "seven" })).unwrap();
        assert_eq!((&list["count"], &list["sessions"][0]["label"]), (&json!(1), &json!("seven")));
        let found = client.request("sessions.resolve", json!({ "label": format!("L{}", count - 1) })).unwrap();
        assert_eq!(found["key"], format!("agent:main:telegram:group:-{}", count - 1));
        client.request("sessions.delete", json!({ "key": found["key"] })).expect("deleted");
        assert_eq!(client.request("sessions.list", json!({})).unwrap()["count"], count - 1);
        let home = gateway.kill();
        let mut client = Gateway::start_in(home, &[], &[]);
        assert_eq!(client.client().request("sessions.list", json!({})).unwrap()["count"], count - 1);
        assert_eq!(client.stop().code, Some(0));
    }
    assert_eq!(written[0], written[1], "in steps of 64 bytes");
}

#[test]
fn a_long_transcript_is_read_from_its_end() {
    const BYTES: usize = 50 * 1024 * 1024;
    let provider = Provider::always(Answer::Text(vec!["Still here."]));
    let mut gateway = Gateway::with_provider(&provider, json!({}));
    chat(&mut gateway.client(), "main", "r1");
    gateway.stop();
    let [transcript] = gateway.home.transcripts().try_into().expect("one transcript");
    let mut parent = std::fs::read_to_string(&transcript).unwrap();
    parent = serde_json::from_str::<Value>(parent.lines().last().unwrap()).unwrap()["id"].as_str().unwrap().to_owned();
    let words = "words and more words ".repeat(200);
    let mut more = String::with_capacity(BYTES + 10_000);
    let mut number = 0;
    while more.len() < BYTES {
        let id = format!("{number:08x}");
        let message = format!("{{\"role\":\"user\",\"content\":\"{number} {words}\",\"timestamp\":1}}");
        let line =
            format!("{{\"type\":\"message\",\"id\":\"{id}\",\"parentId\":\"{parent}\",\"message\":{message}}}\n");
        more.push_str(&line);
        (parent, number) = (id, number + 1);
    }
    let mut file = std::fs::OpenOptions::new().append(true).open(&transcript).unwrap();
    std::io::Write::write_all(&mut file, more.as_bytes()).unwrap();
    drop((file, more));

    let gateway = Gateway::start_in(gateway.kill(), &[], &[]);
    let mut client = gateway.client();
    let list = json!({ "includeDerivedTitles": true, "includeLastMessage": true });
    let list = client.request("sessions.list", list).unwrap();
    assert_eq!(list["sessions"][0]["derivedTitle"], "hello r1");
    let preview = client.request("sessions.preview", json!({ "keys": ["main"] })).unwrap();
    assert_eq!(preview["previews"][0]["status"], "ok");
    let history = client.request("chat.history", json!({ "sessionKey": "main", "limit": 5 })).unwrap();
    let last = history["messages"][4]["content"].as_str().unwrap();
    assert!(last.starts_with(&format!("{} words", number - 1)), "{last:.40}");
    chat(&mut client, "main", "r2");
    let request = provider.requests().pop().unwrap().to_string();
    assert!(request.contains("hello r2") && request.len() < BYTES / 4, "{} bytes", request.len());
    if let Some(peak) = gateway.memory_peak_bytes() {
        assert!(peak < BYTES as u64, "{peak} bytes of memory for a transcript of {BYTES}");
    }
}
