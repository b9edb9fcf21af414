//! Cron: jobs as clients see them, by the recordings and from outside.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::client::{Client, now_ms};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Gate, Provider};
use crate::support::replay::Replay;
use crate::support::wire;

/// Lines that wait for the main session stay there: no heartbeat takes them.
fn without_heartbeats() -> Value {
    json!({ "agents": { "defaults": { "heartbeat": { "every": "0m" } } } })
}

/// The jobs of the recordings, as the original wrote them.
fn recorded_jobs(home: &Home) {
    write_store(home, &wire::load("cron.list").received[0]["payload"]["jobs"]);
}

fn write_store(home: &Home, jobs: &Value) {
    let directory = home.state_dir().join("cron");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("jobs.json"), json!({ "version": 1, "jobs": jobs }).to_string()).unwrap();
}

fn main_job(name: &str, schedule: Value, wake: &str) -> Value {
    json!({
        "name": name, "schedule": schedule, "sessionTarget": "main", "wakeMode": wake,
        "payload": { "kind": "systemEvent", "text": format!("text of {name}") },
    })
}

fn agent_job(name: &str, more: Value) -> Value {
    let mut payload = json!({ "kind": "agentTurn", "message": "What is new?" });
    for (key, value) in more.as_object().unwrap() {
        payload[key] = value.clone();
    }
    let never = json!({ "kind": "at", "atMs": 4_000_000_000_000_u64 });
    json!({ "name": name, "schedule": never, "payload": payload })
}

fn add(client: &mut Client, job: Value) -> String {
    client.request("cron.add", job).expect("added")["id"].as_str().expect("an id").to_owned()
}

fn force(client: &mut Client, id: &str) -> Value {
    client.request("cron.run", json!({ "id": id, "mode": "force" })).expect("ran")
}

fn finished(client: &mut Client, id: &str) -> Value {
    client.event("cron", |event| event["jobId"] == id && event["action"] == "finished")
}

fn runs(client: &mut Client, id: &str) -> Vec<Value> {
    client.request("cron.runs", json!({ "id": id })).unwrap()["entries"].as_array().unwrap().clone()
}

fn jobs(client: &mut Client) -> Vec<Value> {
    client.request("cron.list", json!({ "includeDisabled": true })).unwrap()["jobs"].as_array().unwrap().clone()
}

fn waiting_lines(client: &mut Client) -> Vec<Value> {
    client.request("status", json!({})).unwrap()["queuedSystemEvents"].as_array().unwrap().clone()
}

#[test]
fn as_recorded_without_jobs() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    for recording in ["cron.status", "cron.list-empty", "cron.add", "cron.add-normalized"] {
        Replay::of(recording).session(&gateway, &mut client);
    }
    Replay::of("cron.add-bad").session(&gateway, &mut client);
}

#[test]
fn as_recorded_with_jobs_of_the_original() {
    let home = Home::with_config(&json!({}));
    recorded_jobs(&home);
    let gateway = Gateway::start_in(home, &[], &[]);
    let mut client = gateway.client();
    for recording in ["cron.list", "cron.update", "cron.run-not-due", "cron.run-force", "cron.runs", "cron.remove"] {
        Replay::of(recording).session(&gateway, &mut client);
    }
}

#[test]
fn a_job_one_second_ahead_fires_once() {
    let gateway = Gateway::start(without_heartbeats());
    let mut client = gateway.client();
    let at_ms = now_ms() + 1000;
    let id = add(&mut client, main_job("soon", json!({ "kind": "at", "atMs": at_ms }), "next-heartbeat"));
    let started = client.event("cron", |event| event["jobId"] == id.as_str() && event["action"] == "started");
    assert!(started["runAtMs"].as_u64() >= Some(at_ms), "{started}");
    let ended = finished(&mut client, &id);
    assert_eq!((&ended["status"], &ended["summary"]), (&json!("ok"), &json!("text of soon")));
    assert_eq!(ended.get("nextRunAtMs"), None);
    assert_eq!(waiting_lines(&mut client), ["text of soon"]);
    let job = jobs(&mut client).remove(0);
    assert_eq!((&job["enabled"], &job["state"]["lastStatus"]), (&json!(false), &json!("ok")));
    let log = runs(&mut client, &id);
    assert_eq!((log.len(), &log[0]["summary"]), (1, &json!("text of soon")));
}

#[test]
fn deleted_after_its_run() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.client();
    let mut job = main_job("once", json!({ "kind": "at", "atMs": now_ms() }), "next-heartbeat");
    job["deleteAfterRun"] = json!(true);
    let id = add(&mut client, job);
    finished(&mut client, &id);
    client.event("cron", |event| event["jobId"] == id.as_str() && event["action"] == "removed");
    assert!(jobs(&mut client).is_empty());
    assert_eq!(runs(&mut client, &id).len(), 1, "its log stays");
}

#[test]
fn a_job_that_is_skipped_backs_off() {
    // A job that wants a heartbeat now cannot have it.
    let gateway = Gateway::start(without_heartbeats());
    let mut client = gateway.client();
    let id = add(&mut client, main_job("wake", json!({ "kind": "at", "atMs": now_ms() }), "now"));
    let ended = finished(&mut client, &id);
    assert_eq!(ended["status"], "skipped", "{ended}");
    assert_eq!(ended["error"], "disabled");
    let next = ended["nextRunAtMs"].as_u64().expect("it is tried again");
    assert!(next >= now_ms() + 20_000, "but not at once: {ended}");
    assert_eq!(waiting_lines(&mut client), ["text of wake"]);
}

#[test]
fn a_job_that_wakes_the_agent_ends_with_its_heartbeat() {
    let provider = Provider::always(Answer::Text(vec!["HEARTBEAT_OK"]));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    let id = add(&mut client, main_job("tea", json!({ "kind": "at", "atMs": now_ms() }), "now"));
    let ended = finished(&mut client, &id);
    assert_eq!((&ended["status"], &ended["summary"]), (&json!("ok"), &json!("text of tea")), "{ended}");
    assert_eq!(client.event("heartbeat", |_| true)["reason"], format!("cron:{id}"));
    assert!(provider.requests()[0].to_string().contains("text of tea"));
    assert!(waiting_lines(&mut client).is_empty(), "the agent has been told");
}

#[test]
fn an_isolated_job_asks_the_agent() {
    let provider = Provider::always(Answer::Text(vec!["Nothing", " new."]));
    let gateway = Gateway::with_provider(&provider, without_heartbeats());
    let mut client = gateway.client();
    let id = add(&mut client, agent_job("news", json!({ "timeoutSeconds": 30 })));
    for run in 1..=2 {
        assert_eq!(force(&mut client, &id), json!({ "ok": true, "ran": true }));
        let ended = finished(&mut client, &id);
        assert_eq!((&ended["status"], &ended["summary"]), (&json!("ok"), &json!("Nothing new.")));
        assert_eq!(gateway.home.transcripts().len(), run, "a session of its own for every run");
    }
    let asked = provider.requests()[1]["messages"].as_array().unwrap().last().unwrap().to_string();
    assert!(asked.contains(&format!("[cron:{id} news] What is new?\\nCurrent time: ")), "{asked}");
    assert!(asked.contains("(UTC)"), "{asked}");
    assert!(provider.requests()[1]["messages"].as_array().unwrap().len() == 2, "nothing of the run before");
    let key = format!("agent:main:cron:{id}");
    let end = client.event("agent", |event| event["sessionKey"] == key.as_str() && event["data"]["phase"] == "end");
    let history = client.request("chat.history", json!({ "sessionKey": key })).unwrap();
    assert_eq!(history["messages"].as_array().unwrap().len(), 2);
    assert!(end["runId"].is_string());
    assert_eq!(waiting_lines(&mut client), ["Cron: Nothing new."]);
    assert_eq!(runs(&mut client, &id).len(), 2);
}

#[test]
fn of_a_jobs_earlier_runs_the_last_transcripts_stay() {
    let provider = Provider::always(Answer::Text(vec!["Nothing new."]));
    let gateway = Gateway::with_provider(&provider, without_heartbeats());
    let mut client = gateway.client();
    let id = add(&mut client, agent_job("news", json!({})));
    // One run puts the session there; many are told of by the index alone.
    force(&mut client, &id);
    finished(&mut client, &id);
    let home = gateway.kill();
    let sessions = home.state_dir().join("agents/main/sessions");
    let mut index = home.sessions();
    let key = format!("agent:main:cron:{id}");
    let earlier: Vec<String> = (0..25).map(|number| format!("earlier-{number}")).collect();
    for id in &earlier {
        std::fs::write(sessions.join(format!("{id}.jsonl")), "{}\n").unwrap();
    }
    index[&key]["earlierTranscripts"] = json!(earlier);
    std::fs::remove_file(sessions.join("sessions.json.journal")).ok();
    std::fs::write(sessions.join("sessions.json"), index.to_string()).unwrap();
    let gateway = Gateway::start_in(home, &[], &[]);
    let mut client = gateway.client();
    force(&mut client, &id);
    finished(&mut client, &id);
    let names: Vec<String> =
        gateway.home.transcripts().iter().map(|it| it.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    // The present one, the one before, and the nineteen before that.
    assert_eq!(names.len(), 21, "{names:?}");
    assert!(!names.contains(&"earlier-5".to_owned()) && names.contains(&"earlier-6".to_owned()), "{names:?}");
}

#[test]
fn what_cannot_be_delivered_is_said() {
    let provider = Provider::always(Answer::Text(vec!["Here it is."]));
    let gateway =
        Gateway::with_provider(&provider, json!({ "agents": { "defaults": { "models": { "test/m": {} } } } }));
    let mut client = gateway.client();
    let mut check = |payload: Value, status: &str, error: Option<&str>, summary: Option<&str>| {
        let id = add(&mut client, agent_job("deliver", payload.clone()));
        assert_eq!(force(&mut client, &id)["ran"], true);
        let ended = finished(&mut client, &id);
        let found = (ended["status"].as_str(), ended["error"].as_str(), ended["summary"].as_str());
        assert_eq!(found, (Some(status), error, summary), "{payload}");
    };
    let said = Some("Here it is.");
    check(json!({ "deliver": true }), "error", Some("Cron delivery requires a recipient (--to)."), said);
    check(json!({ "to": "+15550001" }), "error", Some("Unsupported channel: whatsapp"), said);
    let skipped = "Delivery skipped (Unsupported channel: telegram).";
    let best_effort = json!({ "to": "1", "channel": "telegram", "bestEffortDeliver": true });
    check(best_effort, "skipped", None, Some(skipped));
    check(json!({ "deliver": false, "to": "1" }), "ok", None, said);
    check(json!({ "model": "openai/other" }), "error", Some("model not allowed: openai/other"), None);
    let lines = waiting_lines(&mut client);
    assert_eq!(lines[0], "Cron (error): Here it is.");
    assert!(lines.contains(&json!("Cron (error): model not allowed: openai/other")), "{lines:?}");
}

#[test]
fn reads_are_answered_while_a_job_runs_and_it_runs_once() {
    let gate = Gate::default();
    let provider = Provider::always(Answer::Held("Wait", gate.clone(), " is over."));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    let id = add(&mut client, agent_job("slow", json!({})));
    let run = client.post("cron.run", json!({ "id": id, "mode": "force" }));
    provider.wait_requests(1);
    let job = jobs(&mut client).remove(0);
    assert!(job["state"]["runningAtMs"].is_u64(), "{job}");
    assert_eq!(client.request("cron.status", json!({})).unwrap()["jobs"], 1);
    assert!(runs(&mut client, &id).is_empty());
    assert_eq!(force(&mut client, &id), json!({ "ok": true, "ran": false, "reason": "already-running" }));
    // A second job waits for its turn: one runs at a time.
    let other = add(&mut client, main_job("other", json!({ "kind": "at", "atMs": now_ms() }), "next-heartbeat"));
    let listed = jobs(&mut client);
    assert!(listed.iter().all(|job| job["id"] != other.as_str() || job["state"].get("runningAtMs").is_none()));
    // It is removed while it runs: its run still ends, and is answered.
    assert_eq!(client.request("cron.remove", json!({ "jobId": id })).unwrap()["removed"], true);
    gate.open();
    assert_eq!(client.response(&run).unwrap(), json!({ "ok": true, "ran": true }));
    assert_eq!(finished(&mut client, &id)["summary"], "Wait is over.");
    assert_eq!(finished(&mut client, &other)["status"], "ok");
    assert_eq!(provider.requests().len(), 1);
}

#[test]
fn jobs_survive_kill_in_the_middle_of_a_run() {
    let gate = Gate::default();
    let provider = Provider::always(Answer::Hang(gate.clone()));
    let gateway = Gateway::with_provider(&provider, json!({}));
    let mut client = gateway.client();
    let mut once = agent_job("once", json!({}));
    once["schedule"] = json!({ "kind": "at", "atMs": now_ms() });
    let once = add(&mut client, once);
    let every = add(&mut client, main_job("every", json!({ "kind": "every", "everyMs": 3_600_000 }), "now"));
    provider.wait_requests(1);
    let gateway = Gateway::start_in(gateway.kill(), &[], &[]);
    let mut client = gateway.client();
    provider.wait_requests(2);
    let find = |client: &mut Client, id: &str| jobs(client).into_iter().find(|job| job["id"] == id).expect("listed");
    let state = &find(&mut client, &once)["state"];
    assert!(state["runningAtMs"].is_u64() && state.get("lastStatus").is_none(), "it goes on: {state}");
    assert!(find(&mut client, &every)["state"]["nextRunAtMs"].as_u64() > Some(now_ms() + 3_500_000));
    assert!(runs(&mut client, &once).is_empty());
    // The provider breaks off: a failure like any other.
    gate.open();
    assert_eq!(finished(&mut client, &once)["status"], "error");
    let job = find(&mut client, &once);
    assert_eq!((&job["enabled"], job["state"].get("runningAtMs")), (&json!(true), None), "{job}");
    assert!(job["state"]["nextRunAtMs"].as_u64() <= Some(now_ms() + 30_000), "{job}");
    assert_eq!(runs(&mut client, &once).len(), 1);
}

#[test]
fn an_overdue_job_of_the_original_runs_at_start_and_missed_periods_do_not() {
    let home = Home::with_config(&without_heartbeats());
    let hour_ago = now_ms() - 3_600_000;
    let stored = |id: &str, schedule: Value, enabled: bool| {
        let mut job = main_job(id, schedule, "next-heartbeat");
        let more = json!({ "id": id, "enabled": enabled, "createdAtMs": 1, "updatedAtMs": 1, "color": "red",
            "state": { "nextRunAtMs": hour_ago, "runningAtMs": hour_ago - 3 * 3_600_000 } });
        for (key, value) in more.as_object().unwrap() {
            job[key] = value.clone();
        }
        job
    };
    let mut once = stored("once", json!({ "kind": "at", "atMs": hour_ago }), true);
    once["state"] = json!({ "nextRunAtMs": hour_ago });
    let every = stored("every", json!({ "kind": "every", "everyMs": 600_000, "anchorMs": hour_ago - 1 }), true);
    let off = stored("off", json!({ "kind": "at", "atMs": hour_ago }), false);
    write_store(&home, &json!([once, every, off, { "id": "odd", "schedule": { "kind": "moon" } }]));
    let gateway = Gateway::start_in(home, &[], &[]);
    let mut client = gateway.client();
    // It may have ended before the client came.
    while jobs(&mut client).iter().any(|job| job["id"] == "once" && job["enabled"] == true) {
        finished(&mut client, "once");
    }
    assert_eq!(waiting_lines(&mut client), ["text of once"]);
    let listed = jobs(&mut client);
    let every = listed.iter().find(|job| job["id"] == "every").unwrap();
    assert!(every["state"]["nextRunAtMs"].as_u64() > Some(now_ms()), "{every}");
    assert!(every["state"].get("runningAtMs").is_none());
    let text = std::fs::read_to_string(gateway.home.state_dir().join("cron/jobs.json")).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&file["jobs"][3]["id"], &file["jobs"][0]["color"]), (&json!("odd"), &json!("red")));
}

#[test]
fn a_torn_store_is_kept_aside_and_reported() {
    let home = Home::with_config(&json!({}));
    let directory = home.state_dir().join("cron");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("jobs.json"), r#"{"version":1,"jobs":[{"id":"#).unwrap();
    let gateway = Gateway::start_in(home, &[], &[]);
    let mut client = gateway.client();
    assert!(jobs(&mut client).is_empty());
    let id = add(&mut client, main_job("new", json!({ "kind": "every", "everyMs": 60_000 }), "now"));
    let kept = |directory: &Path| {
        let entries = std::fs::read_dir(directory).unwrap().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().contains(".corrupt-")).count()
    };
    assert_eq!(kept(&directory), 1);
    let log = std::fs::read_to_string(gateway.home.log_file()).unwrap();
    assert!(log.contains("could not be read"), "{log}");

    // The next time there is a copy.
    let home = gateway.kill();
    std::fs::write(directory.join("jobs.json"), "{").unwrap();
    let gateway = Gateway::start_in(home, &[], &[]);
    assert_eq!(jobs(&mut gateway.client())[0]["id"], id.as_str());
    assert_eq!(kept(&directory), 2);
}

#[test]
fn switched_off_jobs_run_by_hand_only() {
    let home = Home::with_config(&without_heartbeats());
    let gateway = Gateway::start_in(home, &[], &[("CLAWDBOT_SKIP_CRON", "1")]);
    let mut client = gateway.client();
    let id = add(&mut client, main_job("due", json!({ "kind": "at", "atMs": now_ms() }), "next-heartbeat"));
    let status = client.request("cron.status", json!({})).unwrap();
    assert_eq!((&status["enabled"], &status["nextWakeAtMs"]), (&json!(false), &Value::Null));
    assert!(waiting_lines(&mut client).is_empty());
    assert_eq!(force(&mut client, &id)["ran"], true);
    assert_eq!(waiting_lines(&mut client), ["text of due"]);
}

#[test]
fn a_reload_switches_cron_on_and_moves_its_store() {
    let gateway = Gateway::start(json!({ "cron": { "enabled": false } }));
    let mut client = gateway.client();
    let id = add(&mut client, main_job("due", json!({ "kind": "at", "atMs": now_ms() }), "next-heartbeat"));
    let mut config: Value =
        serde_json::from_str(&std::fs::read_to_string(gateway.home.config_file()).unwrap()).unwrap();
    config["cron"] = json!({ "enabled": true });
    gateway.home.write_config(&config.to_string());
    assert_eq!(finished(&mut client, &id)["status"], "ok");

    let elsewhere = gateway.home.path().join("elsewhere/jobs.json");
    std::fs::create_dir_all(elsewhere.parent().unwrap()).unwrap();
    let mut due = main_job("moved", json!({ "kind": "at", "atMs": now_ms() }), "next-heartbeat");
    due["id"] = json!("moved");
    due["enabled"] = json!(true);
    std::fs::write(&elsewhere, json!({ "jobs": [due] }).to_string()).unwrap();
    config["cron"] = json!({ "store": elsewhere });
    gateway.home.write_config(&config.to_string());
    assert_eq!(finished(&mut client, "moved")["status"], "ok");
    assert_eq!(client.request("cron.status", json!({})).unwrap()["storePath"], json!(elsewhere));
}

#[test]
fn the_command_line() {
    let gateway = Gateway::start(without_heartbeats());
    let cli = |args: &[&str]| gateway.cli(&[&["cron"], args].concat());
    let fails = |args: &[&str], error: &str| {
        let ran = cli(args);
        assert_eq!((ran.code, ran.stderr.trim_end()), (Some(1), error), "{args:?}");
    };
    assert_eq!(cli(&["list"]).stdout, "No cron jobs.");
    let added = cli(&["add", "--name", "tea", "--at", "2h", "--system-event", "Tea!", "--wake", "now"]).json();
    let id = added["id"].as_str().expect("an id");
    let status = cli(&["status"]).json();
    assert_eq!((&status["enabled"], &status["jobs"]), (&json!(true), &json!(1)));
    let table = cli(&["list"]).stdout;
    let row = table.lines().nth(1).expect("a row");
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(words[..3], [id, "tea", "at"]);
    assert_eq!(words[5..], ["in", "2h", "-", "idle", "main", "default"], "{table}");

    assert_eq!(cli(&["run", id]).json(), json!({ "ok": true, "ran": false, "reason": "not-due" }));
    let edited = cli(&["edit", id, "--wake", "next-heartbeat", "--cron", "0 9 * * *", "--tz", "Europe/Berlin"]).json();
    assert_eq!(edited["schedule"], json!({ "kind": "cron", "expr": "0 9 * * *", "tz": "Europe/Berlin" }));
    assert_eq!(cli(&["run", id, "--force"]).json(), json!({ "ok": true, "ran": true }));
    assert_eq!(cli(&["runs", "--id", id]).json()["entries"][0]["summary"], "Tea!");
    assert_eq!(cli(&["disable", id]).json()["enabled"], false);
    assert_eq!(cli(&["list"]).stdout, "No cron jobs.");
    assert_eq!(cli(&["list", "--all", "--json"]).json()["jobs"][0]["id"], id);
    assert_eq!(cli(&["enable", id]).json()["enabled"], true);
    assert_eq!(cli(&["rm", id]).json(), json!({ "ok": true, "removed": true }));
    assert_eq!(cli(&["delete", id]).json()["removed"], false);

    fails(&["run", "nope"], "Error: Error: unknown cron job id: nope");
    fails(
        &["add", "--name", "x", "--system-event", "t"],
        "Error: Choose exactly one schedule: --at, --every, or --cron",
    );
    fails(&["add"], "error: required option '--name <name>' not specified");
    let help = cli(&["add", "--help"]).stdout;
    assert!(help.contains("--system-event <text>") && help.contains("Examples:"), "{help}");
}

#[test]
fn the_command_line_warns_when_jobs_do_not_run() {
    let gateway = Gateway::start(json!({ "cron": { "enabled": false } }));
    let ran = gateway.cli(&["cron", "add", "--name", "x", "--every", "1h", "--system-event", "t"]);
    assert_eq!(ran.json()["name"], "x");
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("warning: cron scheduler is disabled in the Gateway"), "{lines:?}");
    assert_eq!(lines[2], format!("store: {}", gateway.home.state_dir().join("cron/jobs.json").display()));
}
